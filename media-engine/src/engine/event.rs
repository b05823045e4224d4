//! What the engine tells the control plane.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::prompt::{GatherId, PlayId, PlayState};
use crate::call::script;
pub use crate::call::{EndedBy, Ending, GatherEnd, LegRole, SuperviseMode, Unparked};
use crate::error::HangupCause;
use crate::record_io::Space;
pub use crate::speech::{ProviderKind, ProviderState};
use crate::translate::TranslationEvent;
use crate::units::{CallId, Group, LegId};
pub use crate::worker::{Flow, LegQuality, Rating};

/// Something that happened, with the wall-clock time at which it did.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// The call it belongs to; `None` for events of the whole engine.
    pub call: Option<CallId>,
    /// What.
    pub kind: EventKind,
}

/// Status of a call, as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Accepted, nothing sent yet.
    Queued,
    /// A leg rings.
    Ringing,
    /// The first leg answered, the other is not joined yet.
    Answered,
    /// Both legs are joined, or an application has the call.
    Bridged,
    /// Over, after an answer.
    Ended,
    /// Over, without an answer.
    Failed,
}

/// Who started the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From a trunk or an agent to us.
    Inbound,
    /// By the API.
    Outbound,
}

/// A leg's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// Being called.
    Ringing,
    /// Answered.
    Answered,
    /// Over.
    Ended,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferStage {
    /// The new leg is being called, or fetched from another call.
    Started,
    /// It is joined with the party that stays.
    Done,
    /// It is not; the call goes on as before, if the transferor is still there.
    Failed,
}

/// A recording's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// Being written.
    Started,
    /// Complete and on the disk.
    Finished,
    /// Ended before the call did; the text says why (disk full, folder gone).
    Interrupted(String),
}

/// A part of a recording, and who is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingPart {
    /// The recording's number in its call, 1 for the first.
    pub number: u32,
    /// The leg that the recording is of; `None`: everybody.
    pub of: Option<LegId>,
    /// The part's number, 1 for the first.
    pub part: u32,
    /// Whose its channels are, as far as they are anybody's.
    pub channels: Vec<RecordingChannel>,
}

/// A channel of a part of a recording: one leg's and nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingChannel {
    /// 0 for the first.
    pub channel: usize,
    /// Whose.
    pub leg: LegId,
    /// Its part in the call.
    pub role: LegRole,
    /// The other end: number, agent's name or URI.
    pub peer: String,
    /// The agent whose leg it is.
    pub agent: Option<String>,
    /// From when on.
    pub from: SystemTime,
    /// Up to when; `None`: to the end of the part.
    pub until: Option<SystemTime>,
}

/// News of a call program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramNews {
    /// It runs.
    Began {
        /// The steps of its first program, with its labels.
        steps: usize,
    },
    /// Of one of its steps, or of its fallback.
    Step(script::Notice),
    /// It has ended, once.
    Ended(script::Ended),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// A call came in and waits for `CallProceed` or `CallReject` (2 s, then it goes on with default settings).
    CallIncoming {
        /// Caller's user part or URI.
        from: String,
        /// Called user part.
        to: String,
        /// The trunk it came from, or none when an agent calls.
        trunk: Option<String>,
        /// The agent it is routed to or comes from, if any.
        agent: Option<String>,
    },
    /// A transfer is about to call somebody, and waits for `LegProceed` or `LegReject` (2 s, then it fails; an emergency number is
    /// called).
    LegWanted {
        /// The leg to be called.
        leg: LegId,
        /// Number, agent's name or URI.
        to: String,
        /// The agent who transfers; `None`: somebody on a trunk.
        agent: Option<String>,
        /// Somebody in need is called.
        emergency: bool,
    },
    /// The call's status changed.
    CallStatus {
        /// New status.
        status: CallStatus,
        /// With `Ended` and `Failed`.
        cause: Option<HangupCause>,
    },
    /// A leg's state changed.
    Leg {
        /// The leg.
        leg: LegId,
        /// Its part.
        role: LegRole,
        /// New state.
        state: LegState,
        /// The other end: number, agent's name or URI.
        peer: String,
        /// The agent whose leg it is, as proven by a password or reached by a registration; `None`: nobody of this system.
        agent: Option<String>,
        /// Codec once answered, such as `PCMU` or `opus`.
        codec: Option<&'static str>,
        /// How it ended, with [`LegState::Ended`].
        ending: Option<Ending>,
    },
    /// What a leg does in the call has changed: it is held or muted, or what it supervises.
    LegSeat {
        /// The leg.
        leg: LegId,
        /// Its part.
        role: LegRole,
        /// It is set aside, with music.
        held: bool,
        /// Nobody hears it.
        muted: bool,
        /// Its own telephone has put the call on hold.
        holds: bool,
        /// How loud the others hear it, in decibels.
        gain_db: i8,
        /// What it does in the gallery; `None`: it takes part in the conversation.
        supervises: Option<SuperviseMode>,
    },
    /// A party of the call waits for the first time: `CallMusic` says what it hears, if that is not the soft tone.
    MusicWanted {
        /// Whose call it is.
        group: Group,
    },
    /// A party is parked: it waits with music until somebody picks it up.
    Parked {
        /// The party's leg.
        leg: LegId,
        /// Where.
        slot: u16,
        /// SIP user name of the agent who parked it.
        parked_by: Option<String>,
        /// How long it waits at most, unless somebody is on the way.
        until: SystemTime,
    },
    /// The party is parked no more.
    Unparked {
        /// Its leg.
        leg: LegId,
        /// Where it was.
        slot: u16,
        /// Why.
        why: Unparked,
    },
    /// A leg of a conversation of three or more has become the one who speaks, or is it no more.
    ActiveSpeaker {
        /// The leg.
        leg: LegId,
        /// Its part.
        role: LegRole,
        /// Became, or is no more.
        active: bool,
    },
    /// A party has its call transferred: the other party is joined with somebody else in its place.
    Transfer {
        /// The leg whose party wants it.
        leg: LegId,
        /// Its part, which the new leg takes over.
        role: LegRole,
        /// Who takes its place: number, agent's name or URI; empty while that is not known.
        to: String,
        /// How far it has come.
        stage: TransferStage,
        /// Why it failed.
        cause: Option<HangupCause>,
        /// The call that the leg goes on in, when this call ends by it.
        other: Option<CallId>,
    },
    /// Words: partial, final, translated.
    Translation(TranslationEvent),
    /// The state of a part of a recording changed. A recording that is long, or that somebody joins, has several parts, each a file.
    Recording {
        /// Which part of which recording.
        part: RecordingPart,
        /// The file.
        path: PathBuf,
        /// New state.
        state: RecordingState,
        /// Audio in it, in milliseconds.
        duration_ms: u64,
    },
    /// Somebody else has a channel of a part that is being written, or has left.
    RecordingSeated(RecordingPart),
    /// A recording has paused, or goes on: between the two there is silence in it.
    RecordingPaused {
        /// Its number in the call.
        number: u32,
        /// Paused, or goes on.
        paused: bool,
    },
    /// A key was pressed.
    Dtmf {
        /// On this leg.
        leg: LegId,
        /// 0-9, *, #, A-D.
        digit: char,
        /// How long it was held.
        duration_ms: u32,
    },
    /// Something that a verb plays has begun, or is over.
    Play {
        /// What.
        play: PlayId,
        /// Who hears it.
        legs: Vec<LegId>,
        /// How far it has come.
        state: PlayState,
    },
    /// How far a leg's call program is.
    Program {
        /// The leg.
        leg: LegId,
        /// What is new.
        news: ProgramNews,
    },
    /// Digits were collected, or could not be.
    Gathered {
        /// Which collection.
        gather: GatherId,
        /// From which leg.
        leg: LegId,
        /// The digits, without the finish key.
        digits: String,
        /// Why there are no more.
        end: GatherEnd,
        /// They are as many as were wanted, and nobody broke it off.
        enough: bool,
    },
    /// Media of a leg, every 5 s while it runs and once at its end.
    LegQuality {
        /// The leg.
        leg: LegId,
        /// Its part.
        role: LegRole,
        /// Numbers since it began, and what both directions are worth.
        quality: LegQuality,
    },
    /// Whether sound flows on a leg, per direction: told when it changes.
    LegFlow {
        /// The leg.
        leg: LegId,
        /// Its part.
        role: LegRole,
        /// What comes, what goes, and why not.
        flow: Flow,
    },
    /// A leg is dead: nothing came from it for the time-out. Its call ends with cause `MediaTimeout`.
    MediaTimeout {
        /// The leg.
        leg: LegId,
        /// Its part.
        role: LegRole,
        /// The time-out.
        after: Duration,
    },
    /// A speech provider's state changed.
    Provider {
        /// Which.
        kind: ProviderKind,
        /// Its name, such as `local`.
        name: String,
        /// New state.
        state: ProviderState,
    },
    /// The room for recordings changed.
    Disk(Space),
    /// An address that guesses passwords: its requests are not heard for a while.
    Scanner {
        /// The address.
        address: IpAddr,
        /// For how long.
        silence: Duration,
    },
    /// An agent's device registered or unregistered.
    Registration {
        /// SIP user name.
        user: String,
        /// Devices registered now.
        contacts: usize,
    },
}
