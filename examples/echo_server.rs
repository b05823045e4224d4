//! The engine without a control plane: every call from this machine gets its audio back.
//!
//! Run `cargo run -p examples --bin echo_server`, then call `sip:anything@127.0.0.1:5060` with a SIP phone.

use std::time::Duration;

use anyhow::Result;
use media_engine::config::{
    App, DialConfig, MediaConfig, RouteConfig, RouteTarget, SipConfig, SpeechConfig, SpeechProvider, TrunkConfig,
};
use media_engine::engine::CallSettings;
use media_engine::{Command, Config, EventKind};

#[tokio::main]
async fn main() -> Result<()> {
    let config = Config {
        sip: SipConfig {
            listen: vec!["udp:127.0.0.1:5060".into()],
            domain: "127.0.0.1".into(),
            ..SipConfig::default()
        },
        media: MediaConfig { ports: (20_000, 20_999), ..MediaConfig::default() },
        trunks: vec![TrunkConfig { name: "local".into(), hosts: vec!["127.0.0.1".into()], ..TrunkConfig::default() }],
        routes: vec![RouteConfig { pattern: "*".into(), to: RouteTarget::App(App::Echo) }],
        speech: SpeechConfig {
            stt: SpeechProvider::Local(None).into(),
            translator: SpeechProvider::Local(None),
            tts: SpeechProvider::Local(None),
        },
        dial: DialConfig::default(),
        record_dir: std::env::temp_dir().join("tandem-echo"),
        record: Default::default(),
        ring_timeout: Duration::from_secs(60),
        media_timeout: Some(Duration::from_secs(60)),
        max_call: None,
    };
    let media_engine::engine::Started { engine, mut events, .. } = media_engine::engine::start(config).await?;
    println!("call sip:anything@127.0.0.1:5060; Ctrl-C ends");
    loop {
        tokio::select! {
            Some(event) = events.recv() => match (event.call, event.kind) {
                (Some(call), EventKind::CallIncoming { .. }) => {
                    // By default a call is neither recorded nor translated.
                    engine.command(Command::CallProceed { call, settings: CallSettings::default() }).await?;
                }
                (Some(call), EventKind::CallStatus { status, cause }) => println!("{call} {status:?} {cause:?}"),
                _ => {}
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    engine.command(Command::Shutdown).await?;
    Ok(())
}
