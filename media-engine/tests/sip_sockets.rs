//! The SIP stack over real sockets: hostile messages, peers that stop reading, time-outs, caps, shutdown.
//!
//! ```text
//! UdpPeer, TcpPeer ─ loopback ─▶ stack ─▶ events       WsPeer ─▶ attached WebSocket ─▶ the same stack
//! ```
//!
//! Every test starts its own stack with short limits where it tests them. After an attack, another peer must still be answered at
//! once. Not here: outgoing connections, TLS, name resolution (`sip_sockets_out`); dialogs and transactions (the endpoint's own
//! tests).
#![cfg(feature = "io")]
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use media_engine::config::{SipConfig, TrunkConfig};
use media_engine::sip::framing::{Frame, StreamFramer};
use media_engine::sip::{Message, SipEvent, Transport};
use media_engine::sip_io::{Census, ConnectionLimits, SipHandle, SipStack, WsConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Maximum time for an answer; on loopback it takes microseconds.
const PROMPT: Duration = Duration::from_millis(500);
/// Deadline for a connection to be closed, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(15);

struct Stack {
    handle: SipHandle,
    events: mpsc::Receiver<SipEvent>,
}

impl Stack {
    async fn start(limits: ConnectionLimits) -> Stack {
        Stack::start_with_trunks(&[], limits).await
    }

    async fn start_with_trunks(trunks: &[TrunkConfig], limits: ConnectionLimits) -> Stack {
        let listen = vec!["udp:127.0.0.1:0".to_owned(), "tcp:127.0.0.1:0".to_owned()];
        let config = SipConfig { listen, domain: "example.com".into(), ..SipConfig::default() };
        let (handle, events) = SipStack::start_with(&config, trunks, limits).await.unwrap();
        Stack { handle, events }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        self.handle.local_addresses().iter().find(|listener| listener.transport == transport).unwrap().address
    }

    async fn udp(&self) -> UdpPeer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address(Transport::Udp)).await.unwrap();
        UdpPeer { socket, sent: 0 }
    }

    /// Opens a peer on port 5060, to which answers to requests without rport are sent. Each test process has its own address.
    async fn udp_at_sip_port(&self) -> UdpPeer {
        let id = std::process::id();
        let own = std::net::Ipv4Addr::new(127, 64 | (id >> 16 & 63) as u8, (id >> 8) as u8, id as u8);
        let socket = UdpSocket::bind((own, 5060)).await.unwrap();
        socket.connect(self.address(Transport::Udp)).await.unwrap();
        UdpPeer { socket, sent: 0 }
    }

    async fn tcp(&self) -> TcpPeer {
        let stream = TcpStream::connect(self.address(Transport::Tcp)).await.unwrap();
        TcpPeer { stream, framer: StreamFramer::new() }
    }

    async fn tcp_from(&self, own: &str) -> TcpPeer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(own.parse().unwrap(), 0)).unwrap();
        let stream = socket.connect(self.address(Transport::Tcp)).await.unwrap();
        TcpPeer { stream, framer: StreamFramer::new() }
    }

    async fn websocket(&self, outgoing: usize) -> WsPeer {
        let (to_stack, incoming) = mpsc::channel(64);
        let (outgoing, from_stack) = mpsc::channel(outgoing);
        let peer = "127.0.0.1:55555".parse().unwrap();
        // One connection too many is refused and closed.
        let _refused = self.handle.attach(WsConnection { secure: false, peer, incoming, outgoing }).await;
        WsPeer { to_stack, from_stack }
    }

    async fn census(&self) -> Census {
        self.handle.census().await.unwrap()
    }
}

struct UdpPeer {
    socket: UdpSocket,
    sent: u32,
}

impl UdpPeer {
    /// Sends OPTIONS and waits for its 200; returns (status, Call-ID) of every other message before it.
    async fn options(&mut self) -> Vec<(u16, String)> {
        self.sent += 1;
        let call_id = format!("probe-{}", self.sent);
        self.socket.send(options("UDP", &call_id, "").as_bytes()).await.unwrap();
        let mut others = Vec::new();
        let answered = async {
            let mut buffer = vec![0; 65_536];
            loop {
                let length = self.socket.recv(&mut buffer).await.unwrap();
                let message = Message::parse(&buffer[..length]).expect("received messages parse");
                let status = message.status().expect("we are only answered");
                if message.call_id() == Ok(&call_id) {
                    assert_eq!(status, 200, "OPTIONS");
                    return;
                }
                others.push((status, message.call_id().unwrap_or("").to_owned()));
            }
        };
        timeout(PROMPT, answered).await.expect("OPTIONS is answered within 500 ms");
        others
    }
}

struct TcpPeer {
    stream: TcpStream,
    framer: StreamFramer,
}

impl TcpPeer {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Returns the next frame; `None` at the end of the stream, whatever its reason.
    async fn next(&mut self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.framer.poll().unwrap() {
                return Some(frame);
            }
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("a frame arrives") {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.framer.push(&buffer[..length]),
            }
        }
    }

    async fn status(&mut self) -> u16 {
        loop {
            match self.next().await.expect("an answer") {
                Frame::Message(bytes) => return Message::parse(&bytes).unwrap().status().unwrap(),
                Frame::Ping | Frame::Pong => {}
            }
        }
    }

    async fn options(&mut self) {
        self.send(&options("TCP", "tcp-probe", "")).await;
        let status = timeout(PROMPT, self.status()).await.expect("OPTIONS is answered within 500 ms");
        assert_eq!(status, 200);
    }

    async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

struct WsPeer {
    to_stack: mpsc::Sender<Bytes>,
    from_stack: mpsc::Receiver<Bytes>,
}

impl WsPeer {
    async fn options(&mut self) {
        self.to_stack.send(options("WS", "ws-probe", "").into()).await.unwrap();
        let bytes = timeout(PROMPT, self.from_stack.recv()).await.expect("answered within 500 ms").unwrap();
        assert_eq!(Message::parse(&bytes).unwrap().status(), Some(200));
    }
}

fn options(transport: &str, call_id: &str, extra: &str) -> String {
    format!(
        "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/{transport} peer.invalid;branch=z9hG4bK{call_id}{extra};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:probe@example.com>;tag=p\r\nTo: <sip:example.com>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

struct Torture {
    id: String,
    class: String,
    want: Vec<u16>,
    bytes: Vec<u8>,
}

fn torture() -> Vec<Torture> {
    let rows: serde_json::Value = serde_json::from_str(include_str!("data/sip-torture/rfc.json")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let row = |row: &serde_json::Value| Torture {
        id: text(&row["id"]),
        class: text(&row["cls"]),
        want: row["want"].as_array().unwrap().iter().map(|status| status.as_u64().unwrap() as u16).collect(),
        bytes: hex::decode(text(&row["data"]).strip_prefix("hex:").unwrap()).unwrap(),
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

/// Returns whether a valid message is a request whose answer goes to port 5060.
fn comes_back(bytes: &[u8]) -> bool {
    let message = Message::parse(bytes).unwrap();
    message.is_request() && message.top_via().unwrap().port.unwrap_or(5060) == 5060
}

#[tokio::test]
async fn torture_messages_over_udp_are_answered_as_the_rfcs_say_and_leave_no_state() {
    let stack = Stack::start(ConnectionLimits::default()).await;
    let mut peer = stack.udp_at_sip_port().await;
    peer.options().await;
    let before = stack.census().await;
    let messages = torture();
    assert_eq!(messages.len(), 61);
    for Torture { id, class, want, bytes } in messages {
        peer.socket.send(&bytes).await.unwrap();
        let answers: Vec<u16> = peer.options().await.into_iter().map(|(status, _)| status).collect();
        let finals: Vec<u16> = answers.iter().copied().filter(|status| *status >= 200).collect();
        assert!(finals.len() <= 1, "{id}: {answers:?}");
        match (class.as_str(), finals.first()) {
            ("R", answer) => assert_eq!(answer, None, "{id} is not to be answered"),
            ("I", answer) => assert!(answer.is_none_or(|status| want.contains(status)), "{id}: {answer:?}, {want:?}"),
            ("V", Some(status)) => assert!(*status != 400 && *status < 500 || want.contains(status), "{id}: {status}"),
            ("V", None) => assert!(!comes_back(&bytes), "{id} is valid and gets an answer"),
            _ => {}
        }
    }
    let after = stack.census().await;
    assert_eq!(after.sizes, before.sizes);
    assert_eq!(after.connections, 0);
}

#[tokio::test]
async fn torture_messages_over_a_websocket_leave_it_usable() {
    let stack = Stack::start(ConnectionLimits::default()).await;
    let before = stack.census().await;
    for Torture { id, bytes, .. } in torture() {
        let mut peer = stack.websocket(16).await;
        peer.to_stack.send(bytes.into()).await.unwrap();
        peer.to_stack.send(options("WS", "after", "").into()).await.unwrap();
        let answered = async {
            loop {
                let bytes = peer.from_stack.recv().await.unwrap_or_else(|| panic!("{id} closed the connection"));
                let message = Message::parse(&bytes).unwrap();
                if message.call_id() == Ok("after") {
                    return message.status();
                }
            }
        };
        let status = timeout(PROMPT, answered).await.unwrap_or_else(|_| panic!("{id}: OPTIONS after it in time"));
        assert_eq!(status, Some(200), "{id}");
        drop(peer.to_stack);
        while peer.from_stack.recv().await.is_some() {}
    }
    let after = stack.census().await;
    assert_eq!((after.sizes, after.connections), (before.sizes, 0));
}

#[tokio::test]
async fn a_tcp_peer_that_stops_reading_is_closed_and_affects_no_other_peer() {
    let stack = Stack::start(ConnectionLimits::default()).await;
    let (mut udp, mut tcp, mut ws) = (stack.udp().await, stack.tcp().await, stack.websocket(16).await);
    let mut deaf = TcpStream::connect(stack.address(Transport::Tcp)).await.unwrap();
    // Long branches are returned in every answer and soon fill the buffers of the peer that does not read.
    let request = options("TCP", "deaf", &"x".repeat(8000));
    let flood = tokio::spawn(async move { while deaf.write_all(request.as_bytes()).await.is_ok() {} });
    let started = media_engine::net::clock::now();
    while !flood.is_finished() {
        udp.options().await;
        tcp.options().await;
        ws.options().await;
        assert!(started.elapsed() < PATIENCE, "the deaf peer is closed");
    }
    udp.options().await;
    tcp.options().await;
    ws.options().await;
    assert_eq!(stack.census().await.connections, 2, "only the deaf peer's connection is closed");
}

#[tokio::test]
async fn a_websocket_that_stops_reading_is_closed_and_affects_no_other_peer() {
    let stack = Stack::start(ConnectionLimits::default()).await;
    let (mut udp, mut tcp, mut ws) = (stack.udp().await, stack.tcp().await, stack.websocket(16).await);
    let deaf = stack.websocket(4).await;
    for count in 0..5 {
        deaf.to_stack.send(options("WS", &format!("deaf-{count}"), "").into()).await.unwrap();
    }
    timeout(PATIENCE, deaf.to_stack.closed()).await.expect("the deaf peer is closed");
    udp.options().await;
    tcp.options().await;
    ws.options().await;
    assert_eq!(stack.census().await.connections, 2);
}

#[tokio::test]
async fn messages_on_a_stream_may_arrive_in_any_pieces() {
    let stack = Stack::start(ConnectionLimits::default()).await;
    let mut peer = stack.tcp().await;
    let text = options("TCP", "pieces", "");
    peer.send(&format!("{text}{text}")).await;
    assert_eq!((peer.status().await, peer.status().await), (200, 200));
    peer.stream.set_nodelay(true).unwrap();
    let (head, tail) = text.split_at(40);
    peer.send(head).await;
    stack.udp().await.options().await;
    peer.send(tail).await;
    assert_eq!(peer.status().await, 200);
}

#[tokio::test]
async fn pings_are_answered_and_sent() {
    let limits = ConnectionLimits { ping: Duration::from_millis(50), ..ConnectionLimits::default() };
    let stack = Stack::start(limits).await;
    let mut tcp = stack.tcp().await;
    assert_eq!([tcp.next().await, tcp.next().await], [Some(Frame::Pong), Some(Frame::Ping)], "the stack pings");
    let mut ws = stack.websocket(16).await;
    assert_eq!(timeout(PATIENCE, ws.from_stack.recv()).await.unwrap().as_deref(), Some(&b"\r\n\r\n"[..]));

    let stack = Stack::start(ConnectionLimits::default()).await;
    let mut tcp = stack.tcp().await;
    tcp.send("\r\n\r\n").await;
    assert_eq!(tcp.next().await, Some(Frame::Pong), "the stack answers a ping");
    let mut ws = stack.websocket(16).await;
    ws.to_stack.send(Bytes::from_static(b"\r\n\r\n")).await.unwrap();
    assert_eq!(timeout(PATIENCE, ws.from_stack.recv()).await.unwrap().as_deref(), Some(&b"\r\n"[..]));
}

#[tokio::test]
async fn a_tcp_peer_that_sends_no_complete_message_in_time_is_closed() {
    let short = Duration::from_millis(100);
    let limits = ConnectionLimits { first_message: short, message: short, ..ConnectionLimits::default() };
    let stack = Stack::start(limits).await;
    stack.tcp().await.closed().await;

    let mut pinging = stack.tcp().await;
    pinging.send("\r\n\r\n").await;
    pinging.closed().await;

    let mut trickling = stack.tcp().await;
    trickling.options().await;
    let trickle = async {
        for byte in options("TCP", "slow", "").as_bytes() {
            // One byte every 10 ms: the message would take seconds; its deadline is 100 ms.
            tokio::time::sleep(Duration::from_millis(10)).await;
            if trickling.stream.write_all(&[*byte]).await.is_err() {
                return true;
            }
        }
        trickling.next().await.is_none()
    };
    assert!(trickle.await, "trickling does not keep a connection open");
    assert_eq!(stack.census().await.connections, 0);
}

#[tokio::test]
async fn streams_that_cannot_be_parsed_are_refused_and_closed() {
    let stack = Stack::start(ConnectionLimits::default()).await;
    let mut peer = stack.tcp().await;
    let text = options("TCP", "lengths", "").replace("Content-Length: 0", "Content-Length: -1");
    peer.send(&text).await;
    assert_eq!(peer.status().await, 400);
    peer.closed().await;
    let mut peer = stack.tcp().await;
    peer.send("\u{16}\u{3}\u{1} no SIP at all").await;
    peer.closed().await;
}

#[tokio::test]
async fn tcp_connections_are_capped_by_address_and_in_total_apart_from_websockets() {
    let limits = ConnectionLimits { tcp: 3, tcp_per_address: 2, websockets: 1, ..ConnectionLimits::default() };
    let stack = Stack::start(limits).await;
    let (mut first, mut second) = (stack.tcp().await, stack.tcp().await);
    first.options().await;
    second.options().await;
    stack.tcp().await.closed().await;
    let mut other = stack.tcp_from("127.0.0.2").await;
    other.options().await;
    stack.tcp_from("127.0.0.3").await.closed().await;
    stack.websocket(16).await.options().await;
    first.stream.shutdown().await.unwrap();
    first.closed().await;
    stack.tcp().await.options().await;
}

#[tokio::test]
async fn a_silent_stranger_is_closed_for_another_one_of_its_address() {
    let limits = ConnectionLimits { tcp_per_address: 2, silent_grace: Duration::ZERO, ..ConnectionLimits::default() };
    let stack = Stack::start(limits).await;
    let mut spoken = stack.tcp().await;
    spoken.options().await;
    let mut silent = stack.tcp().await;
    stack.tcp().await.options().await;
    silent.closed().await;
    spoken.options().await;
}

#[tokio::test]
async fn trunks_keep_and_get_connections_when_strangers_fill_the_rest() {
    let trunk = TrunkConfig { name: "here".into(), hosts: vec!["127.0.0.7".into()], ..TrunkConfig::default() };
    let limits =
        ConnectionLimits { tcp: 8, tcp_per_address: 4, silent_grace: Duration::ZERO, ..ConnectionLimits::default() };
    let stack = Stack::start_with_trunks(&[trunk], limits).await;
    let mut carrier = stack.tcp_from("127.0.0.7").await;
    carrier.options().await;
    let mut strangers = Vec::new();
    for n in 0..40 {
        strangers.push(stack.tcp_from(&format!("127.0.1.{}", n % 10)).await);
    }
    for _ in 0..7 {
        let mut more = stack.tcp_from("127.0.0.7").await;
        more.options().await;
        strangers.push(more);
    }
    carrier.options().await;
    assert_eq!(stack.census().await.connections, 8);
    stack.tcp_from("127.0.1.1").await.closed().await;
}

#[tokio::test]
async fn a_stranger_is_closed_however_much_it_sends() {
    const LIFE: Duration = Duration::from_secs(1);
    let trunk = TrunkConfig { name: "here".into(), hosts: vec!["127.0.0.7".into()], ..TrunkConfig::default() };
    let stack =
        Stack::start_with_trunks(&[trunk], ConnectionLimits { stranger_life: LIFE, ..ConnectionLimits::default() })
            .await;
    let (mut known, mut stranger, ws) =
        (stack.tcp_from("127.0.0.7").await, stack.tcp().await, stack.websocket(16).await);
    known.options().await;
    let mut pace = tokio::time::interval(LIFE / 10);
    let talk = async {
        loop {
            pace.tick().await;
            let ws_is_open = ws.to_stack.send(Bytes::from_static(b"\r\n\r\n")).await.is_ok();
            let tcp_is_open = stranger.stream.write_all(b"\r\n\r\n").await.is_ok();
            if !ws_is_open && !tcp_is_open {
                return;
            }
        }
    };
    timeout(PATIENCE, talk).await.expect("both are closed though they talk");
    known.options().await;
}

#[tokio::test]
async fn strangers_may_be_silent_for_a_short_time_only() {
    const SHORT: Duration = Duration::from_millis(500);
    let trunk = TrunkConfig { name: "here".into(), hosts: vec!["127.0.0.7".into()], ..TrunkConfig::default() };
    let limits = ConnectionLimits { stranger_idle: SHORT, ..ConnectionLimits::default() };
    let stack = Stack::start_with_trunks(&[trunk], limits).await;
    let (mut known, mut alive) = (stack.tcp_from("127.0.0.7").await, stack.tcp().await);
    known.options().await;
    alive.options().await;
    let (mut stranger, mut ws) = (stack.tcp().await, stack.websocket(16).await);
    stranger.options().await;
    ws.options().await;
    let mut silent = pin!(async {
        stranger.closed().await;
        timeout(PATIENCE, ws.to_stack.closed()).await.expect("a WebSocket is closed, too");
    });
    // The connection is older than both limits when it is closed.
    let mut pace = tokio::time::interval(SHORT / 4);
    loop {
        tokio::select! {
            () = &mut silent => break,
            _ = pace.tick() => {
                alive.send("\r\n\r\n").await;
                assert!(matches!(alive.next().await, Some(Frame::Pong | Frame::Ping)), "it is answered");
            }
        }
    }
    alive.options().await;
    known.options().await;
}

#[tokio::test]
async fn one_websocket_too_many_is_closed_and_the_others_stay_open() {
    let stack = Stack::start(ConnectionLimits { websockets: 1, ..ConnectionLimits::default() }).await;
    let mut ws = stack.websocket(16).await;
    ws.options().await;
    let refused = stack.websocket(16).await;
    timeout(PATIENCE, refused.to_stack.closed()).await.expect("one too many is closed");
    ws.options().await;
    drop(ws.to_stack);
    while ws.from_stack.recv().await.is_some() {}
    stack.websocket(16).await.options().await;
}

#[tokio::test]
async fn events_that_the_engine_has_not_read_wait_in_order() {
    // More calls than the engine's channel holds.
    const CALLS: usize = 1500;
    let trunk = TrunkConfig { name: "here".into(), hosts: vec!["127.0.0.1:9".into()], ..TrunkConfig::default() };
    let mut stack = Stack::start_with_trunks(&[trunk], ConnectionLimits::default()).await;
    let mut peer = stack.udp().await;
    for call in 0..CALLS {
        let invite = options("UDP", &format!("call-{call}"), "").replace("OPTIONS", "INVITE");
        let invite = invite.replace("sip:example.com SIP", "sip:100@example.com SIP");
        let invite = invite.replace("CSeq", "Contact: <sip:me@127.0.0.1:9>\r\nCSeq");
        peer.socket.send(invite.as_bytes()).await.unwrap();
        if call % 50 == 0 {
            peer.options().await;
        }
    }
    peer.options().await;
    assert!(stack.census().await.waiting_events > 0, "the test fills the channel");
    for call in 0..CALLS {
        let event = timeout(PATIENCE, stack.events.recv()).await.expect("an event reports every call").unwrap();
        let SipEvent::Incoming { call_id, .. } = event else { panic!("{event:?}") };
        assert_eq!(call_id, format!("call-{call}"));
    }
}

#[tokio::test]
async fn stopping_closes_connections_and_frees_ports() {
    let stack = Stack::start(ConnectionLimits::default()).await;
    let (mut tcp, mut ws) = (stack.tcp().await, stack.websocket(16).await);
    tcp.options().await;
    ws.options().await;
    timeout(PATIENCE, stack.handle.stop()).await.expect("stops");
    tcp.closed().await;
    timeout(PATIENCE, ws.to_stack.closed()).await.expect("closed");
    assert_eq!(ws.from_stack.recv().await, None);
    UdpSocket::bind(stack.address(Transport::Udp)).await.expect("the port is free");
    assert_eq!(stack.handle.census().await, None);
}
