//! Interface to the media engine. No other module of this crate names `media_engine`.
//!
//! ```text
//! routes ── Command ──▶ Engine            Receiver<Event> ──▶ events::ingest
//! config ── settings ─▶ start_supervised
//! ```
//!
//! Not here: handling of events (`events`), and requests (`routes`).

use uuid::Uuid;

pub use codecs::SampleRate;
pub use codecs::progress::Beep;
pub use codecs::resample::Resampler;
pub use media_engine::admission::{ConnectionBounds, ConnectionTable, Standing};
pub use media_engine::amd::{AmdEvent, Answer, Detector as AmdDetector, LineHint, Mode as AmdMode};
pub use media_engine::audio::tap;
pub use media_engine::audio::tap::TapReader;
pub use media_engine::call::script::{
    Ended, FetchFailure, GatherBranch, Limits as ProgramLimits, Notice, PROGRAM_BYTES, Program, Start as ProgramStart,
    StepAt, StepEnd, URL_MAX, Variables,
};
pub use media_engine::call::{DIGITS_MAX, GatherRules, Replay};
pub use media_engine::config::{
    App, Config as EngineConfig, DtmfWay, HoldShown, NameServer, Profile, RecordConfig, RouteTarget, SpeechProvider,
    SttProvider, TranscriptionServer,
};
pub use media_engine::engine::{
    AMD_LIMIT_MAX, AMD_LIMIT_MIN, AmdAction, AmdEvidence, AmdFeature, AmdNews, AmdPhrase, AmdSettings, AmdStrip,
    AmdVerdict, MessageAfter, MessageEnd,
};
pub use media_engine::engine::{
    CallProgram, CallSettings, CallStatus, CallTarget, CallTrace, Callee, Command, CommandError, DTMF_MAX, EndedBy,
    Ending, Engine, Envelope, Event, EventKind, Flow, GAIN_DB, GatherEnd, GatherId, IfFails, LagMs, LegQuality,
    LegRole, LegState, NewCall, NewGather, NewLeg, Park, ParkedCall, PlayId, PlayState, ProgramHost, ProgramNews,
    ProgramRequest, ProviderKind, ProviderState, Rating, RecordingChannel, RecordingPart, RecordingState, Reply, Room,
    SLOTS, SPEECH_MAX, Sound, Space, Started, SuperviseMode, TONE_MS_MAX, TraceParty, TraceStep, TransferStage,
    TranslationEvent, Unparked, Verb, VerbTarget,
};
pub use media_engine::engine::{replay_calls, start_supervised};
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
pub use media_engine::speech::{ProviderStatus, Providers, SpeechError, pipeline, to_live_rate};
pub use media_engine::translate as translation;
pub use media_engine::units::{CallId, Group, LegId, mask};
pub use media_engine::worker::capture::{Difference, replay};

/// Settings of the engine, which `config` fills.
pub(crate) mod settings {
    pub(crate) use media_engine::config::{
        DialConfig, MediaConfig, RouteConfig, SipConfig, SpeechConfig, TrunkConfig, opus,
    };
    pub(crate) use media_engine::sip::dial::{Dialled, Guard, HostRules, Plan};
}

/// Returns the level of samples relative to a full-scale sine, in dBFS.
pub fn level_dbfs(samples: &[i16]) -> f32 {
    codecs::tones::level_dbfs(samples)
}

/// Returns the engine's id of an organization, by which calls and phones are grouped.
pub fn group(organization: Uuid) -> Group {
    Group(organization.as_u128())
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
