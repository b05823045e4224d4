//! What the log says of a call: the request that created it, and the Call-ID of its SIP messages.
#![cfg(feature = "io")]
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_types, reason = "a lock between a test and its log")]

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use media_engine::config::{
    App, Config, DialConfig, MediaConfig, RouteConfig, RouteTarget, SipConfig, SpeechConfig, SpeechProvider,
    TrunkConfig,
};
use media_engine::engine::{self, CallSettings, CallTarget, Callee, Command, Event, EventKind, NewCall, Started};
use media_engine::error::HangupCause;
use media_engine::sip::write::response_to;
use media_engine::sip::{Message, TraceLevel};
use media_engine::units::CallId;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use tracing::Instrument;

/// Deadline of every wait.
const DEADLINE: Duration = Duration::from_secs(10);

/// Text of a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logs into the returned text while the guard lives.
fn logged() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// Starts an engine with a trunk at this address.
async fn started(trunk: &UdpSocket, folder: &Path, ports: (u16, u16)) -> Started {
    let hosts = vec![trunk.local_addr().unwrap().to_string()];
    // The calls use no speech, so a port without a listener suffices.
    let nobody = || SpeechProvider::Wyoming("127.0.0.1:9".into());
    let listen = vec!["udp:127.0.0.1:0".into()];
    let sip = SipConfig { listen, domain: "127.0.0.1".into(), trace: TraceLevel::Headers, ..SipConfig::default() };
    let config = Config {
        sip,
        media: MediaConfig { ports, ..MediaConfig::default() },
        trunks: vec![TrunkConfig { name: "carrier".into(), hosts, ..TrunkConfig::default() }],
        dial: DialConfig::default(),
        routes: vec![RouteConfig { pattern: "*".into(), to: RouteTarget::App(App::Echo) }],
        speech: SpeechConfig { stt: nobody().into(), translator: nobody(), tts: nobody() },
        record_dir: folder.to_owned(),
        record: Default::default(),
        ring_timeout: Duration::from_secs(30),
        media_timeout: None,
        max_call: None,
    };
    engine::start(config).await.unwrap()
}

/// Waits for an event of a call that `picked` accepts, and returns the call.
async fn event(events: &mut Receiver<Event>, picked: impl Fn(&EventKind) -> bool) -> CallId {
    let next = async {
        loop {
            let Event { call, kind, .. } = events.recv().await.expect("the engine runs");
            if picked(&kind) {
                return call.expect("an event of a call");
            }
        }
    };
    timeout(DEADLINE, next).await.expect("the event arrives")
}

/// Returns the lines about a call.
fn lines_of(text: &str, call: CallId) -> Vec<&str> {
    text.lines().filter(|line| line.contains(&format!("call={call}"))).collect()
}

#[tokio::test]
async fn a_call_is_followed_from_its_request_to_its_sip_messages() {
    let (log, _logging) = logged();
    let callee = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Started { engine, mut events, .. } = started(&callee, folder.path(), (41_200, 41_299)).await;

    let call = CallId(0x0199_3f2e_7b11_7d4e_9c39_5b1f_0a6f_2a01);
    let first = CallTarget::new(Callee::Number("+34910000001".into()));
    let new = NewCall { call, first, second: None, app: None, settings: CallSettings::default() };
    let request = tracing::info_span!("request", id = "trail-7");
    engine.command(Command::CallCreate(Box::new(new))).instrument(request).await.unwrap();

    let mut buffer = vec![0; 65_536];
    let (length, from) = timeout(DEADLINE, callee.recv_from(&mut buffer)).await.expect("an INVITE arrives").unwrap();
    let invite = Message::parse(&buffer[..length]).unwrap();
    let busy = response_to(&invite, None, 486, "Busy Here", Some("callee")).build();
    callee.send_to(&busy, from).await.unwrap();
    event(&mut events, |kind| matches!(kind, EventKind::CallStatus { cause: Some(_), .. })).await;

    let text = log.text();
    let of_call = lines_of(&text, call);
    let by_request: Vec<&&str> = of_call.iter().filter(|line| line.contains("request{id=\"trail-7\"}")).collect();
    assert!(by_request.iter().any(|line| line.contains("calling")), "{text}");
    assert!(by_request.iter().any(|line| line.contains("call ended")), "{text}");
    let call_id = format!("sip_call_id={:?}", invite.call_id().unwrap());
    assert_eq!(of_call.iter().filter(|line| line.contains(&call_id)).count(), 1, "{call_id}: {text}");
}

#[tokio::test]
async fn an_incoming_call_is_logged_with_the_call_id_of_its_caller() {
    let (log, _logging) = logged();
    let caller = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Started { engine, mut events, sip, .. } = started(&caller, folder.path(), (41_300, 41_399)).await;
    let own = caller.local_addr().unwrap();
    let invite = format!(
        "INVITE sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550142@{own}>;tag=caller\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: trail@there\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:+15550142@{own}>\r\nContent-Length: 0\r\n\r\n"
    );
    caller.send_to(invite.as_bytes(), sip[0].address).await.unwrap();
    let call = event(&mut events, |kind| matches!(kind, EventKind::CallIncoming { .. })).await;
    engine.command(Command::CallReject { call, cause: HangupCause::Busy }).await.unwrap();
    event(&mut events, |kind| matches!(kind, EventKind::CallStatus { cause: Some(_), .. })).await;

    let text = log.text();
    let named = lines_of(&text, call).iter().filter(|line| line.contains("sip_call_id=\"trail@there\"")).count();
    assert_eq!(named, 1, "{text}");
}
