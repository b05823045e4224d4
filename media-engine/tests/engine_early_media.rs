//! Calls through the whole engine over real sockets: early media, and callers who make no offer.
#![cfg(feature = "io")]
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use media_engine::config::{
    App, Config, DialConfig, MediaConfig, RouteConfig, RouteTarget, SipConfig, SpeechConfig, SpeechProvider,
    TrunkConfig,
};
use media_engine::engine::{self, CallSettings, Command, EventKind, Started};
use media_engine::sip::write::response_to;
use media_engine::sip::{Message, Method, Name};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Deadline of every wait.
const DEADLINE: Duration = Duration::from_secs(10);
/// SSRC of the phones.
const SSRC: u32 = 0x5151;

/// A telephone with one socket for SIP and one for media.
struct Phone {
    sip: UdpSocket,
    rtp: UdpSocket,
    /// Sequence number of the next packet.
    sequence: u16,
}

impl Phone {
    async fn new() -> Phone {
        let bind = || UdpSocket::bind("127.0.0.1:0");
        Phone { sip: bind().await.unwrap(), rtp: bind().await.unwrap(), sequence: 1 }
    }

    fn address(&self) -> SocketAddr {
        self.sip.local_addr().unwrap()
    }

    fn sdp(&self) -> String {
        let port = self.rtp.local_addr().unwrap().port();
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\n"
        )
    }

    /// Waits for the next message that begins with `start`.
    async fn hears(&self, start: &str) -> String {
        let mut buffer = vec![0; 65_536];
        loop {
            let next = timeout(DEADLINE, self.sip.recv(&mut buffer)).await;
            let length = next.unwrap_or_else(|_| panic!("no {start} arrived")).unwrap();
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if text.starts_with(start) {
                return text;
            }
        }
    }

    async fn says(&self, to: SocketAddr, text: &str) {
        self.sip.send_to(text.as_bytes(), to).await.unwrap();
    }

    /// Answers a received request.
    async fn answers(&self, to: SocketAddr, request: &str, status: u16, sdp: &str) {
        let request = Message::parse(request.as_bytes()).unwrap();
        let contact = format!("<sip:bob@{}>", self.address());
        let answer = response_to(&request, None, status, "Said", Some("callee")).header("Contact", contact);
        let bytes = if sdp.is_empty() { answer.build() } else { answer.body("application/sdp", sdp).build() };
        self.sip.send_to(&bytes, to).await.unwrap();
    }

    /// Builds a request of a caller; the tag of the other side is taken from `answer`.
    fn request(&self, method: &str, cseq: u32, answer: Option<&str>, sdp: &str) -> String {
        let (own, to) =
            (self.address(), answer.map_or("<sip:100@127.0.0.1>".to_owned(), |text| header(text, Name::To)));
        let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+15550142@{own}>;tag=caller\r\nTo: {to}\r\nCall-ID: call@{own}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:+15550142@{own}>\r\n{kind}Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        )
    }

    /// Sends audio until packets arrive at the other phone, or at this one; returns the packet.
    async fn speaks_to(&mut self, engine: SocketAddr, other: Option<&UdpSocket>) -> Vec<u8> {
        let other = other.unwrap_or(&self.rtp);
        let mut buffer = vec![0; 2_000];
        // Packets from before do not count.
        while other.try_recv(&mut buffer).is_ok() {}
        for _ in 0..200 {
            let mut packet = vec![0x80, 0];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
            packet.extend(SSRC.to_be_bytes());
            packet.extend([0x55; 160]);
            self.sequence += 1;
            self.rtp.send_to(&packet, engine).await.unwrap();
            if let Ok(length) = timeout(Duration::from_millis(20), other.recv(&mut buffer)).await {
                return buffer[..length.unwrap()].to_vec();
            }
        }
        panic!("no audio arrived");
    }
}

fn header(text: &str, name: Name) -> String {
    Message::parse(text.as_bytes()).unwrap().header(name).unwrap().to_owned()
}

/// Returns the address to which a session description asks audio to be sent.
fn sound_of(text: &str) -> SocketAddr {
    let line = text.lines().find(|line| line.starts_with("m=audio ")).expect("a session description");
    SocketAddr::from(([127, 0, 0, 1], line.split(' ').nth(1).unwrap().parse::<u16>().unwrap()))
}

/// Returns SSRC and sequence number of a packet.
fn place(packet: &[u8]) -> (u32, u16) {
    (u32::from_be_bytes(packet[8..12].try_into().unwrap()), u16::from_be_bytes([packet[2], packet[3]]))
}

/// Starts an engine that routes every call to `to`, and answers each announced call with permission to proceed.
async fn engine(callee: SocketAddr, to: RouteTarget, ports: (u16, u16)) -> (tempfile::TempDir, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    // These calls use no speech, so a port without a listener suffices.
    let nobody = || SpeechProvider::Wyoming("127.0.0.1:9".into());
    let config = Config {
        sip: SipConfig { listen: vec!["udp:127.0.0.1:0".into()], domain: "127.0.0.1".into(), ..SipConfig::default() },
        media: MediaConfig { ports, ..MediaConfig::default() },
        trunks: vec![TrunkConfig { name: "carrier".into(), hosts: vec![callee.to_string()], ..TrunkConfig::default() }],
        dial: DialConfig::default(),
        routes: vec![RouteConfig { pattern: "*".into(), to }],
        speech: SpeechConfig { stt: nobody().into(), translator: nobody(), tts: nobody() },
        record_dir: folder.path().to_owned(),
        record: Default::default(),
        ring_timeout: Duration::from_secs(30),
        media_timeout: None,
        max_call: None,
    };
    let Started { engine, mut events, sip, .. } = engine::start(config).await.unwrap();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let (Some(call), EventKind::CallIncoming { .. }) = (event.call, event.kind) {
                engine.command(Command::CallProceed { call, settings: CallSettings::default() }).await.unwrap();
            }
        }
    });
    (folder, sip[0].address)
}

#[tokio::test]
async fn early_media_is_heard_and_continues_without_a_gap_after_the_answer() {
    let (caller, mut callee) = (Phone::new().await, Phone::new().await);
    let route = RouteTarget::Trunk("carrier".into());
    let (_folder, engine) = engine(callee.address(), route, (41_000, 41_099)).await;
    caller.says(engine, &caller.request("INVITE", 1, None, &caller.sdp())).await;
    let invite = callee.hears("INVITE ").await;
    callee.answers(engine, &invite, 183, &callee.sdp()).await;
    let early = caller.hears("SIP/2.0 183").await;
    let before = place(&callee.speaks_to(sound_of(&invite), Some(&caller.rtp)).await);
    callee.answers(engine, &invite, 200, &callee.sdp()).await;
    callee.hears("ACK ").await;
    let answer = caller.hears("SIP/2.0 200").await;
    assert_eq!(header(&answer, Name::CSeq), "1 INVITE");
    assert_eq!(sound_of(&answer), sound_of(&early), "the same ports");
    caller.says(engine, &caller.request("ACK", 1, Some(&answer), "")).await;
    let after = place(&callee.speaks_to(sound_of(&invite), Some(&caller.rtp)).await);
    assert_eq!(after.0, before.0, "one stream");
    assert!((1..100).contains(&after.1.wrapping_sub(before.1)), "its numbers go on: {before:?} {after:?}");
    caller.says(engine, &caller.request("BYE", 2, Some(&answer), "")).await;
    let bye = callee.hears("BYE ").await;
    assert_eq!(Message::parse(bye.as_bytes()).unwrap().method(), Some(Method::Bye));
}

#[tokio::test]
async fn a_caller_without_an_offer_gets_one_and_is_heard() {
    let mut caller = Phone::new().await;
    let (_folder, engine) = engine(caller.address(), RouteTarget::App(App::Echo), (41_100, 41_199)).await;
    caller.says(engine, &caller.request("INVITE", 1, None, "")).await;
    let offer = caller.hears("SIP/2.0 200").await;
    assert!(offer.contains("PCMU/8000"));
    caller.says(engine, &caller.request("ACK", 1, Some(&offer), &caller.sdp())).await;
    let echo = caller.speaks_to(sound_of(&offer), None).await;
    assert_ne!(place(&echo).0, SSRC, "the packet was sent by the engine");
    caller.says(engine, &caller.request("BYE", 2, Some(&offer), "")).await;
    caller.hears("SIP/2.0 200").await;
}
