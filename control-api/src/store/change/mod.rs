//! Changes that the engine reports, written as rows together with the events that announce them.
//!
//! ```text
//! Change ──▶ row (calls, legs, recordings, translations) ─┐
//!        └─▶ call_events row ── id ──▶ StoredEvent        ├─ one commit (`record`)
//! ```
//!
//! A [`Change`] is also what the spool keeps while the database is away, so its fields stay readable by later versions.
//!
//! Invariants: there is one writer, so event ids grow in the order of commits. A call that has ended never changes its
//! status again. The tenant of a change is the tenant of its call; a change of an unknown call is skipped and counted.
//!
//! Not here: transactions, batches and refused changes (`record`), limits on texts (`clean`).

mod apply;
mod call;
mod leg;
mod media;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::{LegFlow, OrganizationId, PartId, ProgramStep, Quality, RecordedChannel};
use crate::engine::translation::Listener;
use crate::engine::{
    AmdNews, CallStatus, Ending, GatherEnd, LegRole, LegState, SuperviseMode, TransferStage, TranslationEvent, Unparked,
};
use crate::tenant::voice_config::VoiceConfig;

pub(super) use apply::{Draft, apply, leg_report};
pub(super) use call::{CRASH, ending_unreported};

/// One of a fixed set of words. The fields use this alias because serde would borrow a literal `&'static str` from its
/// input.
type Word = &'static str;

/// A new call whose organization is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCall {
    /// Identity of the call.
    pub id: Uuid,
    /// Organization that the call belongs to.
    pub organization: OrganizationId,
    /// Direction: `inbound` or `outbound`.
    #[serde(deserialize_with = "direction")]
    pub direction: Word,
    /// `direct`, `bridge` or `webrtc`; `None` for incoming calls and for calls that an agent dials.
    pub mode: Option<String>,
    /// Caller identity, if one was given.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// SIP user name of the agent who dials, or for whom the call is made.
    pub agent: Option<String>,
    /// How the audio is processed.
    pub config: VoiceConfig,
}

/// A call that came in, or that an agent dialled, while its organization could not be determined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnassignedCall {
    /// Identity of the call.
    pub id: Uuid,
    /// Direction: `inbound` or `outbound`.
    #[serde(default = "inbound", deserialize_with = "direction")]
    pub direction: Word,
    /// Caller identity, if one was given.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// SIP user name of the agent who dials, or for whom the call is made.
    pub agent: Option<String>,
    /// How the audio was processed.
    pub config: VoiceConfig,
}

impl UnassignedCall {
    /// Returns the same call with its organization.
    pub(in crate::store) fn assigned(self, organization: OrganizationId) -> NewCall {
        let UnassignedCall { id, direction, from, to, agent, config } = self;
        NewCall { id, organization, direction, mode: None, from, to, agent, config }
    }
}

/// One change to be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A call begins in status `queued`.
    CallCreated {
        /// Data of the new call.
        call: NewCall,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A call begins in status `queued`; its organization is determined when the change is written.
    CallUnassigned {
        /// Data of the new call.
        call: UnassignedCall,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A call's status changed.
    CallStatus {
        /// Identity of the call.
        call: Uuid,
        /// New status of the call.
        status: CallStatus,
        /// Cause of the end, once the call has ended.
        cause: Option<String>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg's state changed.
    Leg {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// New state of the leg.
        state: LegState,
        /// The other end: number, agent's SIP user name or URI.
        peer: String,
        /// SIP user name of the agent whose leg it is, known by password or registration.
        #[serde(default)]
        agent: Option<String>,
        /// Codec, once answered.
        codec: Option<String>,
        /// How the leg ended, once it has.
        #[serde(default)]
        ending: Option<Ending>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg was held, muted, made louder, or changed its work as a supervisor.
    LegSeat {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Whether the leg is on hold and hears music or a soft tone.
        held: bool,
        /// Whether the others hear silence in its place.
        muted: bool,
        /// Whether its own telephone has put the call on hold.
        #[serde(default)]
        holds: bool,
        /// Gain at which the others hear the leg, in decibels.
        #[serde(default)]
        gain_db: i8,
        /// Mode of supervision; `None` if the leg is no supervisor.
        supervises: Option<SuperviseMode>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A party was parked.
    Parked {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Number of the parking slot.
        slot: u16,
        /// SIP user name of the agent who parked it.
        parked_by: Option<String>,
        /// End of the longest wait.
        until: Timestamp,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A party is no longer parked.
    Unparked {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Number of the parking slot.
        slot: u16,
        /// Why it is no longer parked.
        why: Unparked,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// In a call of three or more, a leg became the active speaker or ceased to be it. Sent to listeners, not stored.
    ActiveSpeaker {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Whether the leg is the active speaker now.
        active: bool,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// Something that a verb plays has begun or ended.
    Play {
        /// Identity of the call.
        call: Uuid,
        /// Number of the playback in its call.
        play: u64,
        /// The numbers of the legs that hear it.
        legs: Vec<u64>,
        /// State of the playback: `started`, `done`, `stopped` or `failed`.
        #[serde(deserialize_with = "play_state")]
        state: Word,
        /// Why it failed.
        note: Option<String>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A call's program has made progress.
    Program {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg whose program it is.
        leg: u64,
        /// The progress that was made.
        news: ProgramStep,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A collection of digits has ended.
    Gathered {
        /// Identity of the call.
        call: Uuid,
        /// Number of the collection in its call.
        gather: u64,
        /// Number of the leg in its call.
        leg: u64,
        /// The digits that were pressed, without the finish key.
        digits: String,
        /// Why the collection ended.
        ended_by: GatherEnd,
        /// Whether as many digits came as were wanted.
        enough: bool,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A party's transfer has reached another stage.
    Transfer {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg whose party asked for the transfer.
        leg: u64,
        /// Role of that leg, which the new leg takes over.
        role: LegRole,
        /// Target that takes its place; empty while unknown.
        to: String,
        /// Stage that the transfer has reached.
        stage: TransferStage,
        /// Why the transfer failed, if it did.
        cause: Option<String>,
        /// The call in which the other leg continues, if this call ends by the transfer.
        other: Option<Uuid>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg's media report. It replaces the previous one and is sent to listeners, not stored as an event.
    LegQuality {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Media quality since the leg began.
        quality: Quality,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// The flow of a leg's audio has changed.
    LegFlow {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// State of both directions.
        flow: LegFlow,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// The sides of a translated call listen differently from now on.
    Listening {
        /// Identity of the call.
        call: Uuid,
        /// The customer and the agent.
        listeners: Box<[Listener; 2]>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// The detection of what answered a leg has news. A strip of what is heard is sent to listeners and not stored.
    Amd {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// The stage that was reached, and what was found.
        news: AmdNews,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// No packet came from a leg for the media time-out, so its call ends.
    MediaTimeout {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Time without packets, in seconds.
        after_s: u64,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// The state of a part of a recording changed.
    Recording {
        /// Identity of the call.
        call: Uuid,
        /// Number of the recording and of the part.
        #[serde(flatten)]
        file: PartId,
        /// The only leg that is recorded; `None` for the whole call.
        #[serde(default)]
        of_leg: Option<u64>,
        /// The legs on its channels.
        #[serde(default)]
        channels: Vec<RecordedChannel>,
        /// Path of the file.
        path: String,
        /// State of the part: `started`, `finished` or `interrupted`.
        #[serde(deserialize_with = "recording_state")]
        state: Word,
        /// Why the recording was interrupted.
        note: Option<String>,
        /// Length of the audio, in milliseconds.
        duration_ms: u64,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg has taken or left a channel of a part that is being written.
    RecordingSeated {
        /// Identity of the call.
        call: Uuid,
        /// Number of the recording and of the part.
        #[serde(flatten)]
        file: PartId,
        /// The legs on its channels.
        channels: Vec<RecordedChannel>,
    },
    /// A recording was paused or resumed.
    RecordingPaused {
        /// Identity of the call.
        call: Uuid,
        /// Number of the recording in its call.
        number: u32,
        /// Whether the recording is paused now.
        paused: bool,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A key was pressed.
    Dtmf {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// The key: 0-9, *, #, A-D.
        digit: char,
        /// Time for which the key was held, in milliseconds.
        duration_ms: u32,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// Recognised words: partial, final or translated.
    Translation {
        /// Identity of the call.
        call: Uuid,
        /// The segment's text and translation.
        event: TranslationEvent,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
}

/// Reads one of the words that a field may hold.
fn word_of<'de, D: Deserializer<'de>>(from: D, words: &[&'static str]) -> Result<&'static str, D::Error> {
    let text = String::deserialize(from)?;
    let found = words.iter().find(|word| **word == text);
    found.copied().ok_or_else(|| D::Error::custom(format!("`{text}`: expected one of {}", words.join(", "))))
}

/// Returns the direction of an unassigned call in the spool of an earlier version, which did not write it.
fn inbound() -> Word {
    "inbound"
}

fn direction<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["inbound", "outbound"])
}

fn play_state<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["started", "done", "stopped", "failed"])
}

fn recording_state<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["started", "finished", "interrupted"])
}

impl Change {
    /// Returns the kind of change in one word, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Change::CallCreated { .. } => "call_created",
            Change::CallUnassigned { .. } => "call_unassigned",
            Change::CallStatus { .. } => "call_status",
            Change::Leg { .. } => "leg",
            Change::LegSeat { .. } => "leg_seat",
            Change::Parked { .. } => "parked",
            Change::Unparked { .. } => "unparked",
            Change::ActiveSpeaker { .. } => "active_speaker",
            Change::Play { .. } => "play",
            Change::Program { .. } => "program",
            Change::Gathered { .. } => "gathered",
            Change::Transfer { .. } => "transfer",
            Change::LegQuality { .. } => "leg_quality",
            Change::LegFlow { .. } => "leg_flow",
            Change::Listening { .. } => "listening",
            Change::Amd { .. } => "amd",
            Change::MediaTimeout { .. } => "media_timeout",
            Change::Recording { .. } => "recording",
            Change::RecordingSeated { .. } => "recording_seated",
            Change::RecordingPaused { .. } => "recording_paused",
            Change::Dtmf { .. } => "dtmf",
            Change::Translation { .. } => "translation",
        }
    }

    /// Returns the same beginning of a call without its texts, for a database that refused them, so that every call
    /// gets its row. `None` if this is no beginning of a call or has no texts.
    pub fn without_texts(&self) -> Option<Change> {
        let (call, at) = match self {
            Change::CallCreated { call, at } => (call, at),
            Change::CallUnassigned { call, at } => {
                let config = VoiceConfig::default();
                let (id, direction) = (call.id, call.direction);
                let bare = UnassignedCall { id, direction, from: None, to: String::new(), agent: None, config };
                return (bare != *call).then_some(Change::CallUnassigned { call: bare, at: *at });
            }
            _ => return None,
        };
        let bare = NewCall {
            mode: None,
            from: None,
            to: String::new(),
            agent: None,
            config: VoiceConfig::default(),
            ..call.clone()
        };
        (bare != *call).then_some(Change::CallCreated { call: bare, at: *at })
    }

    /// Returns whether the change is only sent to current listeners and leaves no row and no event.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Change::ActiveSpeaker { .. } | Change::Amd { news: AmdNews::Heard(_), .. } => true,
            Change::Translation { event, .. } => event.is_passing,
            _ => false,
        }
    }

    /// Returns the call that the change belongs to.
    pub fn call(&self) -> Uuid {
        match self {
            Change::CallCreated { call, .. } => call.id,
            Change::CallUnassigned { call, .. } => call.id,
            Change::CallStatus { call, .. }
            | Change::Leg { call, .. }
            | Change::LegSeat { call, .. }
            | Change::Parked { call, .. }
            | Change::Unparked { call, .. }
            | Change::ActiveSpeaker { call, .. }
            | Change::Play { call, .. }
            | Change::Program { call, .. }
            | Change::Gathered { call, .. }
            | Change::Transfer { call, .. }
            | Change::LegQuality { call, .. }
            | Change::LegFlow { call, .. }
            | Change::Listening { call, .. }
            | Change::Amd { call, .. }
            | Change::MediaTimeout { call, .. }
            | Change::Recording { call, .. }
            | Change::RecordingSeated { call, .. }
            | Change::RecordingPaused { call, .. }
            | Change::Dtmf { call, .. }
            | Change::Translation { call, .. } => *call,
        }
    }
}
