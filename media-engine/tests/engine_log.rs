//! What the log says of a call: the request that created it, and the Call-ID of its SIP messages.
#![cfg(feature = "io")]
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use media_engine::config::{Config, DialConfig, MediaConfig, SipConfig, SpeechConfig, SpeechProvider, TrunkConfig};
use media_engine::engine::{self, CallSettings, CallTarget, Callee, Command, EventKind, NewCall, Started};
use media_engine::sip::Message;
use media_engine::sip::write::response_to;
use media_engine::units::CallId;
use tokio::net::UdpSocket;
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

#[tokio::test]
async fn a_call_is_followed_from_its_request_to_its_sip_messages() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let callee = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let hosts = vec![callee.local_addr().unwrap().to_string()];
    let folder = tempfile::tempdir().unwrap();
    // The call uses no speech, so a port without a listener suffices.
    let nobody = || SpeechProvider::Wyoming("127.0.0.1:9".into());
    let config = Config {
        sip: SipConfig { listen: vec!["udp:127.0.0.1:0".into()], domain: "127.0.0.1".into(), ..SipConfig::default() },
        media: MediaConfig { ports: (41_200, 41_299), ..MediaConfig::default() },
        trunks: vec![TrunkConfig { name: "carrier".into(), hosts, ..TrunkConfig::default() }],
        dial: DialConfig::default(),
        routes: Vec::new(),
        speech: SpeechConfig { stt: nobody(), translator: nobody(), tts: nobody() },
        record_dir: folder.path().to_owned(),
        record: Default::default(),
        ring_timeout: Duration::from_secs(30),
        media_timeout: None,
        max_call: None,
    };
    let Started { engine, mut events, .. } = engine::start(config).await.unwrap();

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
    let ended = async {
        while let Some(event) = events.recv().await {
            if matches!(event.kind, EventKind::CallStatus { cause: Some(_), .. }) {
                return;
            }
        }
    };
    timeout(DEADLINE, ended).await.expect("the call ends");

    let text = log.text();
    let of_call: Vec<&str> = text.lines().filter(|line| line.contains(&format!("call={call}"))).collect();
    let by_request: Vec<&&str> = of_call.iter().filter(|line| line.contains("request{id=\"trail-7\"}")).collect();
    assert!(by_request.iter().any(|line| line.contains("calling")), "{text}");
    assert!(by_request.iter().any(|line| line.contains("call ended")), "{text}");
    let call_id = format!("sip_call_id={:?}", invite.call_id().unwrap());
    assert_eq!(of_call.iter().filter(|line| line.contains(&call_id)).count(), 1, "{call_id}: {text}");
}
