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

use media_engine::config::DialConfig;
use media_engine::sip::dial::{Dialled, Guard, HostRules, Plan};
use rustls::ServerConfig;
use uuid::Uuid;

pub use codecs::SampleRate;
pub use media_engine::admission::{ConnectionBounds, ConnectionTable, Standing};
pub use media_engine::audio::tap::TapReader;
pub use media_engine::call::script::{
    Ended, FetchFailure, GatherBranch, Limits as ProgramLimits, Notice, PROGRAM_BYTES, Program, Start as ProgramStart,
    StepAt, StepEnd, URL_MAX, Variables,
};
pub use media_engine::call::{DIGITS_MAX, GatherRules, Replay};
pub use media_engine::config::{
    App, Config as EngineConfig, DtmfWay, HoldShown, NameServer, Profile, RecordConfig, RouteTarget, SpeechProvider,
};
pub use media_engine::engine::replay_calls;
pub use media_engine::engine::{
    CallProgram, CallSettings, CallStatus, CallTarget, CallTrace, Callee, Command, CommandError, DTMF_MAX, EndedBy,
    Ending, Engine, Envelope, Event, EventKind, Flow, GAIN_DB, GatherEnd, GatherId, IfFails, LagMs, LegQuality,
    LegRole, LegState, NewCall, NewGather, NewLeg, Park, ParkedCall, PlayId, PlayState, ProgramHost, ProgramNews,
    ProgramRequest, ProviderKind, ProviderState, Rating, RecordingChannel, RecordingPart, RecordingState, Reply, Room,
    SLOTS, SPEECH_MAX, Sound, Space, Started, SuperviseMode, TONE_MS_MAX, TraceParty, TraceStep, TransferStage,
    TranslationEvent, Unparked, Verb, VerbTarget,
};
pub use media_engine::error::{HangupCause, StartError};
pub use media_engine::leg::flow::{Incoming, Outgoing};
pub use media_engine::net::descriptors::{Budget, limit as descriptor_limit, raise_limit as descriptor_limit_raise};
pub use media_engine::net::memory;
pub use media_engine::net::supervisor::{Fault, Supervisor};
pub use media_engine::party::{Noticed, Party};
pub use media_engine::record::CHANNELS_MAX;
pub use media_engine::sdp::{Codec, Srtp};
pub use media_engine::sip::dial::{HostRule, is_public, knows_country};
pub use media_engine::sip::trunk::{NumberFormat, TrunkCredentials, TrunkSettings};
pub use media_engine::sip::{Advertise, PlaceStatus, TraceLevel, Transport, TrunkStatus};
pub use media_engine::sip_io::{Listener, WsConnection};
pub use media_engine::speech::{Providers, SpeechError, carried};
pub use media_engine::units::{CallId, Group, LegId, mask};
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
            hold: config.sip.hold,
            dial: dial_config(config),
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
                hold: trunk.hold,
                dtmf: trunk.dtmf,
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
        // The configuration's own check has read them all.
        uris: HostRules(config.dial.uris.iter().filter_map(|rule| rule.parse().ok()).collect()),
    }
}

/// How numbers are dialled at a trunk.
fn plan(trunk: &crate::config::TrunkConfig) -> Plan {
    let mut plan = match (&trunk.country, &trunk.numbers) {
        (Some(country), _) => Plan::of_country(country),
        (None, NumberFormat::National { country, prefix }) => {
            Plan { national: prefix.clone(), ..Plan::of_country(country) }
        }
        (None, _) => Plan::default(),
    };
    if let Some(national) = &trunk.national_prefix {
        plan.national.clone_from(national);
    }
    if !trunk.international_prefixes.is_empty() {
        plan.international.clone_from(&trunk.international_prefixes);
    }
    // Such a trunk is sent international numbers with `00`, and is believed to understand it.
    if matches!(trunk.numbers, NumberFormat::National { .. }) && !plan.international.iter().any(|known| known == "00") {
        plan.international.push("00".into());
    }
    plan
}

/// Whether somebody in need calls this number, in whatever way it is written.
pub fn is_emergency(config: &Config, number: &str) -> bool {
    Guard::new(dial_config(config)).is_emergency(number)
}

/// The number that is dialled, as `+` and digits where the first trunk would read it so, else as it is dialled; `None`: it is no
/// number.
pub fn dialled_number(config: &Config, to: &str) -> Option<String> {
    match Guard::new(dial_config(config)).read(to).ok()? {
        Dialled::Emergency(digits) => Some(digits),
        Dialled::Number { number, .. } => {
            let readings = number.readings(&config.trunks.first().map(plan).unwrap_or_default());
            Some(match &readings[..] {
                [one] => format!("+{one}"),
                _ => number.as_str().to_owned(),
            })
        }
        Dialled::Uri { .. } => None,
    }
}

/// The engine's form of an organization: whose calls and telephones belong together.
pub fn group(organization: Uuid) -> Group {
    Group(organization.as_u128())
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
        plan: plan(trunk),
        from: trunk.from.clone(),
        from_host: trunk.from_host.clone(),
        assert_identity: trunk.assert_identity,
        pass_headers: trunk.pass_headers.clone(),
        channels: limit(trunk.channels),
        calls_per_second: limit(trunk.calls_per_second),
    }
}

/// What a call of an organization is to do: its audio by `config`, which `capabilities` have been applied to, its parties by
/// these.
pub fn call_settings(config: &VoiceConfig, capabilities: &Capabilities, organization: Option<Uuid>) -> CallSettings {
    CallSettings {
        live_translate: config.live_translate,
        transcribe: config.transcribe,
        translate_from: config.translate_from.clone(),
        translate_to: config.translate_to.clone(),
        voice_to_voice: config.voice_to_voice,
        record: config.record,
        record_app: capabilities.record,
        transfer: capabilities.transfer,
        group: organization.map(group),
        from: None,
        program: None,
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
