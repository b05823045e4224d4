//! Connections that the stack opens.

use std::io::Write;
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn calls_go_out_over_tcp_and_tls_and_share_a_connection() {
    let authority = Authority::new();
    let mut far = Stack::start(&authority, &[HERE], ConnectionLimits::default()).await;
    let (by_tcp, by_tls) = (far.host(Transport::Tcp), far.host(Transport::Tls));
    let trunks = [("tcp", &*by_tcp), ("tls", &*by_tls)];
    let mut near = Stack::start(&authority, &trunks, ConnectionLimits::default()).await;
    for (trunk, connections) in [("tcp", 1), ("tls", 2), ("tcp", 2), ("tls", 2)] {
        let dialog = near.invite(trunk);
        let there = far.take_call().await;
        assert_eq!(near.answered().await, dialog);
        assert_eq!(far.census().await.connections, connections, "{trunk}");
        // Either end may hang up over the same connection.
        let (ends, dialog) = if connections == 2 { (&far, there) } else { (&near, dialog) };
        ends.handle.send(SipCommand::Bye { dialog, reason: None }).unwrap();
        assert!(matches!(near.event().await, SipEvent::Ended { .. }));
        assert!(matches!(far.event().await, SipEvent::Ended { .. }));
    }
}

#[tokio::test]
async fn a_refused_connection_fails_the_call_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let host = format!("tcp:{closed}");
    let mut stack = Stack::start(&Authority::new(), &[("gone", &host)], ConnectionLimits::default()).await;
    let dialog = stack.invite("gone");
    assert_eq!(timeout(PROMPT, stack.failed()).await.expect("reported at once"), (dialog, 503));
    let before = stack.census().await;
    assert_eq!((before.connections, before.sizes.client_transactions, before.sizes.index_entries), (0, 0, 0));
}

/// Log output of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_invalid_certificate_fails_the_call_and_the_log_names_the_reason() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let authority = Authority::new();
    let other = Stack::start_with(authority.config("other.example"), &[], ConnectionLimits::default()).await;
    let right = Stack::start(&authority, &[], ConnectionLimits::default()).await;
    let trusting = authority.config("127.0.0.1");
    let trusting_nobody = SipConfig { tls_ca: None, ..trusting.clone() };
    for (config, far, why) in [(trusting, &other, "not valid for name"), (trusting_nobody, &right, "UnknownIssuer")] {
        let host = far.host(Transport::Tls);
        let mut stack = Stack::start_with(config, &[("far", &host)], ConnectionLimits::default()).await;
        let dialog = stack.invite("far");
        assert_eq!(stack.failed().await, (dialog, 503), "{why}");
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(why), "{why} is not in the log:\n{text}");
    }
}

/// Opens a listener whose queue of new connections is full: it answers no SYN.
fn black_hole() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        // The connection stays in progress for ever, or is one of the few that fit the queue.
        let _ = client.connect(&address);
        sockets.push(client);
    }
    (address.as_socket().unwrap(), sockets)
}

#[tokio::test]
async fn a_host_that_never_answers_delays_no_other_call() {
    let authority = Authority::new();
    let mut far = Stack::start(&authority, &[HERE], ConnectionLimits::default()).await;
    let (hole, _sockets) = black_hole();
    let (hole, good) = (format!("tcp:{hole}"), far.host(Transport::Tcp));
    let limits = ConnectionLimits { connect: Duration::from_secs(2), ..ConnectionLimits::default() };
    let mut stack = Stack::start(&authority, &[("hole", &hole), ("good", &good)], limits).await;
    let lost = stack.invite("hole");
    let dialog = stack.invite("good");
    far.take_call().await;
    assert_eq!(timeout(PROMPT, stack.answered()).await.expect("not behind the other"), dialog);
    assert_eq!(stack.failed().await, (lost, 503));
    assert_eq!(stack.census().await.connections, 1);
}

#[tokio::test]
async fn too_many_attempts_at_once_fail_at_once() {
    let (hole, _sockets) = black_hole();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (hole, closed) = (format!("tcp:{hole}"), format!("tcp:{closed}"));
    let limits = ConnectionLimits { connecting: 1, connect: Duration::from_secs(60), ..ConnectionLimits::default() };
    let mut stack = Stack::start(&Authority::new(), &[("hole", &hole), ("other", &closed)], limits).await;
    stack.invite("hole");
    let second = stack.invite("other");
    assert_eq!(timeout(PROMPT, stack.failed()).await.expect("reported at once"), (second, 503));
    assert_eq!(stack.census().await.connections, 1, "the first is still being opened");
}

#[tokio::test]
async fn an_outgoing_connection_stays_while_a_call_needs_it_and_is_closed_when_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp:{}", listener.local_addr().unwrap());
    let limits = ConnectionLimits {
        idle: Duration::from_millis(300),
        ping: Duration::from_millis(100),
        ..ConnectionLimits::default()
    };
    let mut stack = Stack::start(&Authority::new(), &[("peer", &host)], limits).await;
    let dialog = stack.invite("peer");
    let mut peer = Peer::new(listener.accept().await.unwrap().0);
    peer.take_call().await;
    assert_eq!(stack.answered().await, dialog);
    // Longer than the lifetime of an idle connection, including the check interval.
    while peer.pings < 25 {
        assert_eq!(peer.next().await, Some(Frame::Ping));
    }
    stack.handle.send(SipCommand::Bye { dialog, reason: None }).unwrap();
    let bye = peer.message().await;
    let answer = response_to(&Message::parse(bye.as_bytes()).unwrap(), None, 200, "OK", None);
    peer.send(answer.build()).await;
    peer.closed().await;
    assert_eq!(stack.census().await.connections, 0);
}

#[tokio::test]
async fn a_peer_that_stops_answering_pings_is_closed_and_its_calls_continue_on_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp:{}", listener.local_addr().unwrap());
    let (ping, pong) = (Duration::from_millis(100), Duration::from_millis(200));
    let limits = ConnectionLimits { ping, pong, ..ConnectionLimits::default() };
    let mut stack = Stack::start(&Authority::new(), &[("peer", &host)], limits).await;
    let dialog = stack.invite("peer");
    let mut peer = Peer::new(listener.accept().await.unwrap().0);
    peer.take_call().await;
    assert_eq!(stack.answered().await, dialog);
    // The peer has shown that it supports pings.
    let answered = peer.pings;
    while peer.pings == answered {
        peer.next().await;
    }
    peer.answers_pings = false;
    peer.closed().await;
    stack.handle.send(SipCommand::Bye { dialog, reason: None }).unwrap();
    assert_eq!(stack.event().await, SipEvent::Ended { dialog, reason: None, fault: None });
    let mut again = Peer::new(listener.accept().await.unwrap().0);
    let bye = again.message().await;
    assert!(bye.starts_with("BYE "), "{bye}");
}

#[tokio::test]
async fn a_peer_that_never_answers_pings_keeps_its_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp:{}", listener.local_addr().unwrap());
    let (ping, pong) = (Duration::from_millis(50), Duration::from_millis(50));
    let limits = ConnectionLimits { ping, pong, ..ConnectionLimits::default() };
    let mut stack = Stack::start(&Authority::new(), &[("peer", &host)], limits).await;
    let dialog = stack.invite("peer");
    let mut peer = Peer::new(listener.accept().await.unwrap().0);
    peer.answers_pings = false;
    peer.take_call().await;
    assert_eq!(stack.answered().await, dialog);
    while peer.pings < 10 {
        assert_eq!(peer.next().await, Some(Frame::Ping));
    }
}

#[tokio::test]
async fn connections_opened_by_peers_need_not_answer_pings() {
    let limits = ConnectionLimits {
        ping: Duration::from_millis(50),
        pong: Duration::from_millis(50),
        ..ConnectionLimits::default()
    };
    let stack = Stack::start(&Authority::new(), &[], limits).await;
    let mut peer = tcp(&stack).await;
    peer.answers_pings = false;
    while peer.pings < 10 {
        assert_eq!(peer.next().await, Some(Frame::Ping));
    }
    peer.options().await;
}

#[tokio::test]
async fn a_large_request_is_sent_whole_over_udp() {
    let authority = Authority::new();
    let mut far = Stack::start(&authority, &[HERE], ConnectionLimits::default()).await;
    let host = far.host(Transport::Udp);
    let near = Stack::start(&authority, &[("far", &host)], ConnectionLimits::default()).await;
    let long = format!("{SDP}{}", "a=candidate:1 1 udp 1 192.0.2.1 4000 typ host\r\n".repeat(300));
    let target = Target::Trunk { name: "far".into(), user: "100".into() };
    let order = SipCommand::from(Invite::new(DialogId::outgoing(), target, long.clone()).from_user("200"));
    near.handle.send(order).unwrap();
    let SipEvent::Incoming { sdp, .. } = far.event().await else { panic!("a call arrives") };
    assert!(long.len() > 10_000);
    assert_eq!(sdp, Some(long));
}
