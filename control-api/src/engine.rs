//! The one door to the media engine: nothing else in this crate names `media_engine`.
//!
//! ```text
//! routes ── Command ──▶ Engine            Receiver<Event> ──▶ events::ingest
//! config ── settings ─▶ start
//! ```
//!
//! Not here: what is done with an event (`events`), what a request may ask (`routes`).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use media_engine::call::Guard;
use media_engine::config::DialConfig;
use rustls::ServerConfig;
use uuid::Uuid;

pub use codecs::SampleRate;
pub use media_engine::admission::{ConnectionBounds, ConnectionTable, Standing};
pub use media_engine::audio::tap::TapReader;
pub use media_engine::call::knows_country;
pub use media_engine::config::{
    App, Config as EngineConfig, NameServer, Profile, RecordConfig, RouteTarget, SpeechProvider,
};
pub use media_engine::engine::{
    CallMode, CallSettings, CallStatus, CallTrace, Command, CommandError, Engine, Envelope, Event, EventKind, Flow,
    LagMs, LegQuality, LegRole, LegState, ProviderKind, ProviderState, Rating, RecordingState, Reply, Room, Space,
    Started, TraceParty, TraceStep, TransferStage, TranslationEvent,
};
pub use media_engine::error::{HangupCause, StartError};
pub use media_engine::leg::flow::{Incoming, Outgoing};
pub use media_engine::net::descriptors::{Budget, limit as descriptor_limit, raise_limit as descriptor_limit_raise};
pub use media_engine::net::memory;
pub use media_engine::net::supervisor::{Fault, Supervisor};
pub use media_engine::party::{Noticed, Party};
pub use media_engine::sdp::{Codec, Srtp};
pub use media_engine::sip::trunk::{NumberFormat, TrunkCredentials, TrunkSettings};
pub use media_engine::sip::{Advertise, PlaceStatus, TraceLevel, Transport, TrunkStatus};
pub use media_engine::sip_io::{Listener, WsConnection};
pub use media_engine::speech::{Providers, SpeechError};
pub use media_engine::units::{CallId, LegId, mask};
pub use media_engine::worker::capture::{Difference, replay};

use crate::capabilities::Capabilities;
use crate::config::Config;
use crate::voice_config::VoiceConfig;

/// How long a leg rings before the call fails.
const RING_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the engine that `config` describes. Recordings lie in `record_dir`; `sip_tls` is for TLS listeners; `supervisor` is told
/// of a part that ends.
///
/// # Errors
/// [`StartError`] names the key and what to do.
pub async fn start(
    config: &Config,
    record_dir: &Path,
    sip_tls: Option<Arc<ServerConfig>>,
    supervisor: Supervisor,
) -> Result<Started, StartError> {
    let mut settings = settings(config, record_dir);
    settings.sip.tls = sip_tls;
    media_engine::engine::start_supervised(settings, supervisor).await
}

/// The speech providers' part of the engine's configuration.
pub fn speech_config(speech: &crate::config::SpeechConfig) -> media_engine::config::SpeechConfig {
    media_engine::config::SpeechConfig {
        stt: speech.stt.clone(),
        translator: speech.translator.clone(),
        tts: speech.tts.clone(),
    }
}

/// How loud samples are, relative to a full-scale sine.
pub fn level_dbfs(samples: &[i16]) -> f32 {
    codecs::tones::level_dbfs(samples)
}

/// What the engine needs to know, from our configuration.
pub fn settings(config: &Config, record_dir: &Path) -> EngineConfig {
    use media_engine::config::{MediaConfig, RouteConfig, SipConfig, TrunkConfig};
    EngineConfig {
        sip: SipConfig {
            listen: config.sip.listen.clone(),
            domain: config.sip_domain(),
            tls: None,
            tls_ca: config.sip.tls_ca.clone(),
            resolver: config.sip.resolver,
            advertise: config.sip.advertise.as_ref().map(ToString::to_string),
            trace: config.sip.trace,
        },
        media: MediaConfig {
            addresses: config.media.address.clone(),
            advertise: config.media.advertise.clone(),
            ports: config.media.ports,
            workers: config.media.workers,
            cpus: config.media.cpus.clone(),
            profile: config.media.profile,
            realtime: config.media.realtime,
            opus: media_engine::config::opus(config.media.opus_bitrate, config.media.opus_complexity),
            capture: config.debug.capture.clone(),
        },
        trunks: config
            .trunks
            .iter()
            .map(|trunk| TrunkConfig {
                name: trunk.name.clone(),
                hosts: trunk.hosts.clone(),
                nat: trunk.nat,
                codecs: trunk.codecs.clone(),
                srtp: trunk.srtp,
                sip: trunk_settings(trunk),
            })
            .collect(),
        routes: config
            .routes
            .iter()
            .map(|route| RouteConfig { pattern: route.pattern.clone(), to: route.to.clone() })
            .collect(),
        dial: dial_config(config),
        speech: speech_config(&config.speech),
        record_dir: record_dir.to_owned(),
        record: RecordConfig {
            part: Duration::from_secs(config.recording.part_s.into()),
            min_free: u64::from(config.recording.min_free_mb) << 20,
            warn_free: u64::from(config.recording.warn_free_mb) << 20,
        },
        ring_timeout: RING_TIMEOUT,
        media_timeout: (config.media.timeout_s > 0).then(|| Duration::from_secs(config.media.timeout_s.into())),
        max_call: (config.sip.max_call_s > 0).then(|| Duration::from_secs(config.sip.max_call_s.into())),
    }
}

fn dial_config(config: &Config) -> DialConfig {
    DialConfig {
        allow: config.dial.allow.clone(),
        satellite: config.dial.satellite,
        premium: config.dial.premium,
        countries: config.dial.countries.clone(),
        emergency_trunk: config.dial.emergency_trunk.clone(),
    }
}

/// Whether somebody in need calls this number.
pub fn is_emergency(config: &Config, number: &str) -> bool {
    Guard::new(dial_config(config)).is_emergency(number)
}

/// Time that a registration at a trunk asks for: short enough to keep a NAT's mapping known.
const REGISTER: Duration = Duration::from_secs(600);

fn trunk_settings(trunk: &crate::config::TrunkConfig) -> TrunkSettings {
    let limit = |most: u32| (most > 0).then_some(most);
    let credentials = trunk.user.clone().zip(trunk.password.as_ref());
    TrunkSettings {
        credentials: credentials
            .map(|(user, password)| TrunkCredentials { user, password: password.reveal().to_owned() }),
        register: trunk.register.then_some(REGISTER),
        probe: limit(trunk.options_s).map(|seconds| Duration::from_secs(seconds.into())),
        numbers: trunk.numbers.clone(),
        from_host: trunk.from_host.clone(),
        assert_identity: trunk.assert_identity,
        pass_headers: trunk.pass_headers.clone(),
        channels: limit(trunk.channels),
        calls_per_second: limit(trunk.calls_per_second),
    }
}

/// What a call is to do: its audio by `config`, which `capabilities` have been applied to, its parties by these.
pub fn call_settings(config: &VoiceConfig, capabilities: &Capabilities) -> CallSettings {
    CallSettings {
        live_translate: config.live_translate,
        transcribe: config.transcribe,
        translate_from: config.translate_from.clone(),
        translate_to: config.translate_to.clone(),
        voice_to_voice: config.voice_to_voice,
        record: config.record,
        record_app: capabilities.record,
        transfer: capabilities.transfer,
    }
}

/// The engine's form of a call's identity.
pub fn call_id(id: Uuid) -> CallId {
    CallId(id.as_u128())
}

/// Our form of a call's identity.
pub fn call_uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.0)
}

/// The word that the API uses for one of the engine's plain enums, such as `no_answer`.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
