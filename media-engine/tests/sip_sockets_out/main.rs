//! The SIP stack over real sockets as a client: TLS, outgoing connections, name resolution.
#![cfg(feature = "io")]
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_types, reason = "a lock between a test and its servers")]

mod authority;
mod dns;
mod names;
mod outgoing;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use authority::Authority;
use media_engine::config::{SipConfig, TrunkConfig};
use media_engine::sip::framing::{Frame, PONG, StreamFramer};
use media_engine::sip::write::response_to;
use media_engine::sip::{DialogId, Invite, Message, SipCommand, SipEvent, Target, Transport};
use media_engine::sip_io::{Census, ConnectionLimits, SipHandle, SipStack};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Maximum time for an answer; on loopback it takes microseconds.
const PROMPT: Duration = Duration::from_millis(1_500);
/// Deadline of every wait, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(15);
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

struct Stack {
    handle: SipHandle,
    events: mpsc::Receiver<SipEvent>,
}

impl Stack {
    /// Starts a stack on loopback with every kind of listener; calls from loopback belong to its trunk.
    async fn start(authority: &Authority, trunks: &[(&str, &str)], limits: ConnectionLimits) -> Stack {
        Stack::start_with(authority.config("127.0.0.1"), trunks, limits).await
    }

    async fn start_with(config: SipConfig, trunks: &[(&str, &str)], limits: ConnectionLimits) -> Stack {
        let trunks: Vec<TrunkConfig> = trunks
            .iter()
            .map(|(name, host)| TrunkConfig {
                name: (*name).into(),
                hosts: vec![(*host).into()],
                ..TrunkConfig::default()
            })
            .collect();
        let (handle, events) = SipStack::start_with(&config, &trunks, limits).await.unwrap();
        Stack { handle, events }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        self.handle.local_addresses().iter().find(|listener| listener.transport == transport).unwrap().address
    }

    /// Address of the stack itself, as a trunk's host.
    fn host(&self, transport: Transport) -> String {
        format!("{}:{}", transport.via_token().to_ascii_lowercase(), self.address(transport))
    }

    fn invite(&self, trunk: &str) -> DialogId {
        self.call(Target::Trunk { name: trunk.into(), user: "100".into() })
    }

    fn call(&self, target: Target) -> DialogId {
        let dialog = DialogId::outgoing();
        let invite = SipCommand::from(Invite::new(dialog, target, SDP).from_user("200"));
        self.handle.send(invite).unwrap();
        dialog
    }

    async fn event(&mut self) -> SipEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event arrives").expect("the stack runs")
    }

    /// Waits for the next call, answers it and returns its dialog.
    async fn take_call(&mut self) -> DialogId {
        let SipEvent::Incoming { dialog, .. } = self.event().await else { panic!("a call arrives") };
        self.handle.send(SipCommand::Accept { dialog, sdp: SDP.into() }).unwrap();
        dialog
    }

    async fn answered(&mut self) -> DialogId {
        match self.event().await {
            SipEvent::Answered { dialog, .. } => dialog,
            other => panic!("{other:?}"),
        }
    }

    async fn failed(&mut self) -> (DialogId, u16) {
        match self.event().await {
            SipEvent::Failed { dialog, status, .. } => (dialog, status),
            other => panic!("{other:?}"),
        }
    }

    async fn census(&self) -> Census {
        self.handle.census().await.unwrap()
    }
}

/// A trunk host for every stack here: calls from loopback are matched to it.
const HERE: (&str, &str) = ("here", "127.0.0.1:9");

/// A SIP peer on a stream connection.
struct Peer<S> {
    stream: S,
    framer: StreamFramer,
    answers_pings: bool,
    pings: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn new(stream: S) -> Peer<S> {
        Peer { stream, framer: StreamFramer::new(), answers_pings: true, pings: 0 }
    }

    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Returns the next message or ping; `None` at the end of the stream, whatever its reason.
    async fn next(&mut self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        loop {
            match self.framer.poll().unwrap() {
                Some(Frame::Ping) => {
                    self.pings += 1;
                    if self.answers_pings {
                        self.send(PONG).await;
                    }
                    return Some(Frame::Ping);
                }
                Some(Frame::Pong) => continue,
                Some(message) => return Some(message),
                None => {}
            }
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("a frame arrives") {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.framer.push(&buffer[..length]),
            }
        }
    }

    async fn message(&mut self) -> String {
        loop {
            match self.next().await.expect("a message") {
                Frame::Message(bytes) => return String::from_utf8(bytes).unwrap(),
                Frame::Ping | Frame::Pong => {}
            }
        }
    }

    /// Sends a request and returns its first response.
    async fn ask(&mut self, request: impl AsRef<[u8]>) -> String {
        self.send(request).await;
        timeout(PROMPT, self.message()).await.expect("answered in time")
    }

    async fn options(&mut self) {
        let answer = self.ask(request("OPTIONS", "probe", "", "")).await;
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    }

    /// Answers the next INVITE and waits for its ACK.
    async fn take_call(&mut self) {
        let invite = self.message().await;
        assert!(invite.starts_with("INVITE"), "{invite}");
        let invite = Message::parse(invite.as_bytes()).unwrap();
        let answer = response_to(&invite, None, 200, "OK", Some("peer")).header("Contact", "<sip:peer@127.0.0.1>");
        self.send(answer.body("application/sdp", SDP).build()).await;
        let ack = self.message().await;
        assert!(ack.starts_with("ACK"), "{ack}");
    }

    async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

async fn tcp(stack: &Stack) -> Peer<TcpStream> {
    Peer::new(TcpStream::connect(stack.address(Transport::Tcp)).await.unwrap())
}

fn request(method: &str, call_id: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} sip:100@example.com SIP/2.0\r\nVia: SIP/2.0/TLS peer.invalid;branch=z9hG4bK{call_id}{};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:anna@example.com>;tag=p\r\nTo: <sip:anna@example.com>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:anna@127.0.0.1:9>\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        headers.len(),
        body.len()
    )
}
