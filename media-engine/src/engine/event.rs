//! Events that the engine sends to the control plane.
//!
//! The tasks of calls and the switchboard send [`Event`]s through one bounded queue ([`super::Started::events`]). A full queue
//! drops and counts events, except the ends of calls, for which the sender waits.
//!
//! Invariants: an event carries the time at which it happened; the end of a call is sent exactly once, as its last
//! [`EventKind::CallStatus`]. Not here: the names and forms of events in the API, which the control plane chooses.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::amd::AmdNews;
use super::prompt::{GatherId, PlayId, PlayState};
use crate::call::script;
pub use crate::call::{EndedBy, Ending, GatherEnd, LegRole, SuperviseMode, Unparked};
use crate::error::HangupCause;
use crate::record_io::Space;
pub use crate::speech::{ProviderKind, ProviderState};
use crate::translate::{Listener, TranslationEvent};
use crate::units::{CallId, Group, LegId};
pub use crate::worker::{Flow, LegQuality, Rating};

/// An event with its wall-clock time.
#[derive(Clone, Debug)]
pub struct Event {
    /// Time at which it happened.
    pub at: SystemTime,
    /// Call that the event belongs to; `None` for events of the whole engine.
    pub call: Option<CallId>,
    /// Kind of the event, with its details.
    pub kind: EventKind,
}

/// Status of a call, as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Accepted; nothing has been sent yet.
    Queued,
    /// A leg is ringing.
    Ringing,
    /// The first leg has answered; the other is not joined yet.
    Answered,
    /// Both legs are joined, or an application has the call.
    Bridged,
    /// The call has ended after an answer.
    Ended,
    /// The call has ended without an answer.
    Failed,
}

/// Side that started the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A trunk or an agent called us.
    Inbound,
    /// The API started the call.
    Outbound,
}

/// State of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// The leg is being called.
    Ringing,
    /// The leg has answered.
    Answered,
    /// The leg has ended.
    Ended,
}

/// Progress of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferStage {
    /// The new leg is being called, or fetched from another call.
    Started,
    /// The new leg is joined with the party that stays.
    Done,
    /// The new leg could not be joined; the call continues as before if the transferor is still there.
    Failed,
}

/// State of a part of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// The file is being written.
    Started,
    /// The file is complete and on the disk.
    Finished,
    /// The part ended before the call did; the text gives the reason (disk full, folder gone).
    Interrupted(String),
}

/// A part of a recording, and the legs recorded in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingPart {
    /// Number of the recording in its call, starting at 1.
    pub number: u32,
    /// Leg that the recording is of; `None`: all legs.
    pub of: Option<LegId>,
    /// Number of the part in the recording, starting at 1.
    pub part: u32,
    /// Channels that belong to a leg; the others are silent.
    pub channels: Vec<RecordingChannel>,
}

/// A channel of a part of a recording, which holds one side of one leg only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingChannel {
    /// Number of the channel in the file, starting at 0.
    pub channel: usize,
    /// Leg that the channel holds.
    pub leg: LegId,
    /// Whether the channel holds what the leg hears, rather than what it says.
    pub heard: bool,
    /// Role of the leg in the call.
    pub role: LegRole,
    /// Far end of the leg: number, agent's name or URI.
    pub peer: String,
    /// Agent whose leg it is; `None`: no agent of this system.
    pub agent: Option<String>,
    /// Time from which the channel holds the leg.
    pub from: SystemTime,
    /// Time until which it does; `None`: until the end of the part.
    pub until: Option<SystemTime>,
}

/// Progress of a call program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramNews {
    /// The program has started.
    Began {
        /// Number of steps in the first program, including its labels.
        steps: usize,
    },
    /// News of a step or of the fallback.
    Step(script::Notice),
    /// The program has ended; sent once.
    Ended(script::Ended),
}

/// Kind of an event, with its details.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// A call has come in and waits for `CallProceed` or `CallReject`. After 2 s it proceeds with the default settings.
    CallIncoming {
        /// User part or URI of the caller.
        from: String,
        /// User part of the called address.
        to: String,
        /// Trunk that the call came from; `None` when an agent calls.
        trunk: Option<String>,
        /// Agent that the call is routed to or comes from, if any.
        agent: Option<String>,
    },
    /// A transfer wants to call a leg, and waits for `LegProceed` or `LegReject`. After 2 s it fails; an emergency number is
    /// called all the same.
    LegWanted {
        /// Leg that is to be called.
        leg: LegId,
        /// Far end of the leg: number, agent's name or URI.
        to: String,
        /// Agent who transfers the call; `None`: a party on a trunk.
        agent: Option<String>,
        /// An emergency number is called.
        emergency: bool,
    },
    /// The status of the call has changed.
    CallStatus {
        /// New status of the call.
        status: CallStatus,
        /// Cause of the end; set with `Ended` and `Failed`.
        cause: Option<HangupCause>,
    },
    /// The state of a leg has changed.
    Leg {
        /// Leg whose state has changed.
        leg: LegId,
        /// Role of the leg in the call.
        role: LegRole,
        /// New state of the leg.
        state: LegState,
        /// Far end of the leg: number, agent's name or URI.
        peer: String,
        /// Agent whose leg it is, proven by a password or reached by a registration; `None`: no user of this system.
        agent: Option<String>,
        /// Codec of an answered leg, such as `PCMU` or `opus`.
        codec: Option<&'static str>,
        /// How the leg ended; set with [`LegState::Ended`].
        ending: Option<Ending>,
    },
    /// The state of a leg has changed: hold, mute, gain or supervision.
    LegSeat {
        /// Leg that has changed.
        leg: LegId,
        /// Role of the leg in the call.
        role: LegRole,
        /// The leg is on hold and hears music.
        held: bool,
        /// The leg is muted for the others.
        muted: bool,
        /// The leg's own telephone has put the call on hold.
        holds: bool,
        /// Gain with which the others hear the leg, in decibels.
        gain_db: i8,
        /// Supervision mode of the leg; `None`: the leg takes part in the conversation.
        supervises: Option<SuperviseMode>,
    },
    /// A party of the call waits for the first time. `CallMusic` supplies the music; without it, the party hears the soft tone.
    MusicWanted {
        /// Group that the call belongs to.
        group: Group,
    },
    /// A party is parked: it hears music until it is picked up.
    Parked {
        /// Leg of the parked party.
        leg: LegId,
        /// Slot that the party is parked in.
        slot: u16,
        /// SIP user name of the agent who parked it.
        parked_by: Option<String>,
        /// Time until which the party waits, unless it is being picked up by then.
        until: SystemTime,
    },
    /// The party is no longer parked.
    Unparked {
        /// Leg of the party.
        leg: LegId,
        /// Slot that the party was parked in.
        slot: u16,
        /// Reason why the party is no longer parked.
        why: Unparked,
    },
    /// A leg in a conversation of three or more has started or stopped being the active speaker.
    ActiveSpeaker {
        /// Leg that has started or stopped.
        leg: LegId,
        /// Role of the leg in the call.
        role: LegRole,
        /// The leg is the active speaker now.
        active: bool,
    },
    /// A party transfers its call: the other party is joined with a new leg in its place.
    Transfer {
        /// Leg of the transferor.
        leg: LegId,
        /// Role of the transferor's leg, which the new leg takes over.
        role: LegRole,
        /// Far end that takes its place: number, agent's name or URI; empty while it is not known.
        to: String,
        /// Progress of the transfer.
        stage: TransferStage,
        /// Cause of a failed transfer.
        cause: Option<HangupCause>,
        /// Call in which the leg continues, when this call ends because of the transfer.
        other: Option<CallId>,
    },
    /// Recognised or translated text, partial or final.
    Translation(TranslationEvent),
    /// The customer and the agent listen to the translation like this from now on.
    Listening([Listener; 2]),
    /// The state of a part of a recording has changed. A long recording, or one in which a leg joins, has several parts, each in
    /// its own file.
    Recording {
        /// Part of the recording whose state has changed.
        part: RecordingPart,
        /// File that holds the part.
        path: PathBuf,
        /// New state of the part.
        state: RecordingState,
        /// Length of its audio, in milliseconds.
        duration_ms: u64,
    },
    /// The legs in the channels of a part that is being written have changed.
    RecordingSeated(RecordingPart),
    /// A recording has been paused or resumed; it is silent in between.
    RecordingPaused {
        /// Number of the recording in its call.
        number: u32,
        /// Paused (`true`) or resumed (`false`).
        paused: bool,
    },
    /// A party has pressed a key.
    Dtmf {
        /// Leg whose party pressed the key.
        leg: LegId,
        /// Key that was pressed: 0-9, *, #, A-D.
        digit: char,
        /// How long the key was held, in milliseconds.
        duration_ms: u32,
    },
    /// A sound that a verb plays has started or ended.
    Play {
        /// Id of the play.
        play: PlayId,
        /// Legs that hear the sound.
        legs: Vec<LegId>,
        /// Progress of the play.
        state: PlayState,
    },
    /// Progress of a leg's call program.
    Program {
        /// Leg that the program runs for.
        leg: LegId,
        /// Step, outcome or fault that the program reports.
        news: ProgramNews,
    },
    /// News of the detection of what answered a leg.
    Amd {
        /// Leg that the detector listens to.
        leg: LegId,
        /// Role of the leg in the call.
        role: LegRole,
        /// Verdict, tone or message that is reported.
        news: AmdNews,
    },
    /// A collection of digits has ended.
    Gathered {
        /// Id of the collection.
        gather: GatherId,
        /// Leg whose keys were collected.
        leg: LegId,
        /// Digits that were collected, without the finish key.
        digits: String,
        /// Reason why the collection has ended.
        end: GatherEnd,
        /// Enough digits were collected, and the collection was not stopped.
        enough: bool,
    },
    /// Media quality of a leg; sent every 5 s while its media runs, and once at its end.
    LegQuality {
        /// Leg that was measured.
        leg: LegId,
        /// Role of the leg in the call.
        role: LegRole,
        /// Counters since the leg's media began, and a rating of each direction.
        quality: LegQuality,
    },
    /// Sound has started or stopped flowing on a leg; sent when that changes in either direction.
    LegFlow {
        /// Leg whose flow has changed.
        leg: LegId,
        /// Role of the leg in the call.
        role: LegRole,
        /// Flow of each direction, with the reason why no sound flows.
        flow: Flow,
    },
    /// A leg is dead: no packet has come from it for the media time-out. Its call ends with cause `MediaTimeout`.
    MediaTimeout {
        /// Leg that is dead.
        leg: LegId,
        /// Role of the leg in the call.
        role: LegRole,
        /// Media time-out that has passed.
        after: Duration,
    },
    /// The state of a speech provider has changed.
    Provider {
        /// Kind of the provider.
        kind: ProviderKind,
        /// Name of the provider, such as `local`.
        name: String,
        /// New state of the provider.
        state: ProviderState,
    },
    /// The disk space for recordings has changed.
    Disk(Space),
    /// An address has tried to guess passwords: its requests are ignored for a while.
    Scanner {
        /// IP address that is ignored.
        address: IpAddr,
        /// How long its requests are ignored.
        silence: Duration,
    },
    /// A device of an agent has registered or unregistered.
    Registration {
        /// SIP user name of the agent.
        user: String,
        /// Number of devices that are registered now.
        contacts: usize,
    },
}
