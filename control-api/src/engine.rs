//! Interface to the media engine. No other module of this crate names `media_engine`.
//!
//! ```text
//! routes ── Command ──▶ Engine            Receiver<Event> ──▶ events::ingest
//! config ── settings ─▶ start
//! ```
//!
//! Not here: handling of events (`events`), and requests (`routes`).

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
pub use media_engine::speech::{Providers, SpeechError, to_live_rate};
pub use media_engine::units::{CallId, Group, LegId, mask};
pub use media_engine::worker::capture::{Difference, replay};

use crate::capabilities::Capabilities;
use crate::config::Config;
use crate::voice_config::VoiceConfig;

/// Time for which a leg rings before the call fails.
const RING_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the engine that `config` describes. Recordings are stored in `record_dir`, `sip_tls` is used by TLS listeners, and
/// `supervisor` is notified when a part of the engine ends.
///
/// # Errors
/// Returns a [`StartError`] that names the configuration key and says what to do.
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

/// Returns the engine's configuration of the speech providers.
pub fn speech_config(speech: &crate::config::SpeechConfig) -> media_engine::config::SpeechConfig {
    media_engine::config::SpeechConfig {
        stt: speech.stt.clone(),
        translator: speech.translator.clone(),
        tts: speech.tts.clone(),
    }
}

/// Returns the level of samples relative to a full-scale sine, in dBFS.
pub fn level_dbfs(samples: &[i16]) -> f32 {
    codecs::tones::level_dbfs(samples)
}

/// Converts the configuration into that of the engine.
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
        // All rules were parsed when the configuration was checked.
        uris: HostRules(config.dial.uris.iter().filter_map(|rule| rule.parse().ok()).collect()),
        pickup: config.dial.pickup.clone(),
    }
}

/// Returns the plan by which numbers are dialled at a trunk.
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
    // International numbers are sent to such a trunk with `00`, so it is assumed to understand that prefix.
    if matches!(trunk.numbers, NumberFormat::National { .. }) && !plan.international.iter().any(|known| known == "00") {
        plan.international.push("00".into());
    }
    plan
}

/// Returns whether this is an emergency number, in any spelling.
pub fn is_emergency(config: &Config, number: &str) -> bool {
    Guard::new(dial_config(config)).is_emergency(number)
}

/// Returns the dialled number: as `+` and digits if the first trunk reads it in exactly one way, otherwise as dialled. `None`
/// means that it is not a number.
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

/// Returns the engine's id of an organization, by which calls and phones are grouped.
pub fn group(organization: Uuid) -> Group {
    Group(organization.as_u128())
}

/// Registration time requested from trunks. It is short enough to keep the mapping of a NAT.
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

/// Returns the settings of a call: for its audio those of `config`, to which `capabilities` have been applied, and for its
/// parties those of `capabilities`.
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

/// Converts the id of a call for the engine.
pub fn call_id(id: Uuid) -> CallId {
    CallId(id.as_u128())
}

/// Converts the engine's id of a call.
pub fn call_uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.0)
}

/// Returns the API's name for a value of one of the engine's plain enums, such as `no_answer`.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
