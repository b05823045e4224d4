//! What a worker is asked, and what it tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::{mpsc, oneshot};

use crate::audio::tap::TapWriter;
use crate::config::App;
use crate::leg::LegError;
use crate::leg::flow::{Flow, Incoming, Outgoing};
use crate::net::ports::PortLease;
use crate::rtcp::mos::Rating;
use crate::sdp;
use crate::units::{ConferenceId, LegId, SampleRate};
use crate::worker::switch::MovingLeg;

/// What a worker may be asked: a command, or one of the requests that carry what lives in this process alone (ports, channels,
/// the ends of taps) and stay with the worker's thread.
pub enum WorkerRequest {
    /// Something for the switch.
    Command(WorkerCommand),
    /// Take a leg. It lives until `LegClose` or its own failure; its last event is `Closed` either way. An identity that the
    /// worker has already is refused: the ports are freed and the event channel closes without an event.
    LegOpen {
        /// Its identity; unique in the process.
        leg: LegId,
        /// Where its media goes.
        media: LegMedia,
        /// Where its events go: bounded by the maker; what does not fit is dropped and counted.
        events: mpsc::Sender<WorkerEvent>,
    },
    /// Give a plain RTP leg away, to be sent to another worker as [`WorkerRequest::LegAttach`]. Its events end here without `Closed`.
    LegDetach {
        /// The leg.
        leg: LegId,
        /// The leg; dropped when there is no such leg, or it is a browser's.
        reply: oneshot::Sender<DetachedLeg>,
    },
    /// Take a leg that left another worker. As in `LegOpen`, an identity that is there is refused.
    LegAttach {
        /// Its identity.
        leg: LegId,
        /// What the other worker gave.
        detached: DetachedLeg,
        /// As in `LegOpen`.
        events: mpsc::Sender<WorkerEvent>,
    },
    /// Tell the leg's events to somebody else from now on: another call has taken it over.
    LegEvents {
        /// The leg.
        leg: LegId,
        /// As in `LegOpen`.
        events: mpsc::Sender<WorkerEvent>,
    },
    /// The browser's answer to our offer.
    WebRtcAnswer {
        /// The leg.
        leg: LegId,
        /// The answer.
        sdp: String,
        /// Whether it could be applied.
        reply: oneshot::Sender<Result<(), LegError>>,
    },
    /// The browser offers again (hold, ICE restart).
    WebRtcReoffer {
        /// The leg.
        leg: LegId,
        /// The new offer.
        sdp: String,
        /// Our answer.
        reply: oneshot::Sender<Result<String, LegError>>,
    },
    /// Copy what the leg says into this tap too.
    Tap {
        /// The leg.
        leg: LegId,
        /// The tap's writing end.
        tap: TapWriter,
    },
    /// Drop the leg's taps whose reading end is gone.
    Untap {
        /// The leg.
        leg: LegId,
    },
    /// Count what the worker holds.
    Census {
        /// The answer.
        reply: oneshot::Sender<Census>,
    },
}

impl From<WorkerCommand> for WorkerRequest {
    fn from(command: WorkerCommand) -> WorkerRequest {
        WorkerRequest::Command(command)
    }
}

/// A verb of the switch. Commands that name a leg it does not have are counted and do nothing. A new verb is a variant here
/// and an arm of `Switch::command`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerCommand {
    /// The plain RTP leg's negotiated audio: the first answer or a re-INVITE's.
    RtpUpdate {
        /// The leg.
        leg: LegId,
        /// What offer and answer agreed.
        audio: sdp::Audio,
    },
    /// Let two legs hear each other; each leaves the bridge and the conference it was in.
    Bridge {
        /// One.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// Part the leg from its peer; both hear silence.
    Unbridge {
        /// Either of the two.
        leg: LegId,
    },
    /// Take the leg into a conference, or change its role there. The first leg opens the conference, the last one to leave or
    /// close gives it back. A leg is in one conference at most: it leaves the one it was in. Its bridge rests meanwhile; a
    /// bridged peer that is not in the conference hears silence.
    ConferenceJoin {
        /// The conference.
        conference: ConferenceId,
        /// The leg.
        leg: LegId,
        /// Who hears it there.
        role: ConferenceRole,
    },
    /// Change how loud one leg of a conference hears another: from one tick to the next, without a click.
    ConferenceGain {
        /// Who is heard.
        from: LegId,
        /// Who hears.
        to: LegId,
        /// 0 not at all, 1 as it is, at most 4 (+12 dB); `None`: as the role of `from` has it. Others do nothing and are counted.
        #[serde(with = "gain_number")]
        gain: Option<f32>,
    },
    /// Take the leg out of its conference; its bridge, if it has one, is as before.
    ConferenceLeave {
        /// The leg.
        leg: LegId,
    },
    /// Let the leg overhear what these others say, each of which goes on as it was; an empty list: nobody any more. It hears them
    /// while it has no application, no bridge and no conference.
    Overhear {
        /// The listener.
        leg: LegId,
        /// Whom it overhears from now on.
        of: Vec<LegId>,
    },
    /// Give the leg an application, or take it away. While it has one, it hears nothing else (but `Play`).
    App {
        /// The leg.
        leg: LegId,
        /// The application; `Record` is silence to the caller.
        app: Option<App>,
    },
    /// Queue voice for the leg to hear, over the ducked original.
    Play {
        /// The listener.
        leg: LegId,
        /// Which piece of speech it belongs to; chunks of one segment follow one another.
        segment: u64,
        /// Rate of `samples`.
        rate: SampleRate,
        /// Mono; listeners may share them.
        #[serde(with = "shared_samples")]
        samples: Arc<[i16]>,
        /// No more of this segment will come.
        last: bool,
    },
    /// Forget what is queued; segments that were not done are told as done.
    StopPlay {
        /// The listener.
        leg: LegId,
        /// This one alone, which fades when it is being heard; `None`: everything, at once.
        segment: Option<u64>,
    },
    /// Others hear silence instead of this leg, and so do its taps.
    Mute {
        /// The leg.
        leg: LegId,
        /// On or off.
        muted: bool,
    },
    /// Let others hear the leg louder or softer, and its taps too; the change glides over 10 ms. While it is not 0 the leg's packets are
    /// not relayed.
    Gain {
        /// The leg.
        leg: LegId,
        /// −20 to 20; others do nothing and are counted.
        db: i8,
    },
    /// What the leg hears on hold from now on in place of the soft tone, over and over; no samples: the soft tone again.
    Music {
        /// The leg.
        leg: LegId,
        /// Rate of `samples`.
        rate: SampleRate,
        /// Mono; legs may share them.
        #[serde(with = "shared_samples")]
        samples: Arc<[i16]>,
    },
    /// After how long without media the leg is dead, which is told once (`MediaTimeout`): 60 s unless this says otherwise.
    MediaTimeout {
        /// The leg.
        leg: LegId,
        /// `None`: never.
        after: Option<Duration>,
    },
    /// Press a key towards the leg (telephone-event). Without a negotiated telephone-event it does nothing and is counted.
    SendDtmf {
        /// The leg that hears it.
        leg: LegId,
        /// 0-9, *, #, A-D.
        digit: char,
        /// 40 to 6,000.
        duration_ms: u32,
    },
    /// End the leg: BYE by RTCP, ports freed, `Closed` told.
    LegClose {
        /// The leg.
        leg: LegId,
    },
}

/// Least and most decibels of [`WorkerCommand::Gain`].
pub const GAIN_DB: std::ops::RangeInclusive<i8> = -20..=20;

/// Gains that JSON has no number for: a gain that is not finite is written as one that is refused as well.
mod gain_number {
    use super::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(gain: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        gain.map(|gain| if gain.is_finite() { gain } else { -1.0 }).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
        Option::deserialize(deserializer)
    }
}

/// Samples that several listeners share.
mod shared_samples {
    use super::{Arc, Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(samples: &Arc<[i16]>, serializer: S) -> Result<S::Ok, S::Error> {
        samples[..].serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[i16]>, D::Error> {
        Vec::deserialize(deserializer).map(Arc::from)
    }
}

/// Who hears a leg of a conference. All legs of a conference hear all that is heard by all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConferenceRole {
    /// Heard by all others; also what a supervisor becomes who barges in.
    Participant,
    /// Heard by nobody.
    Monitor,
    /// Heard by this leg only, now or as soon as it joins.
    Whisper(LegId),
}

/// A leg between two workers: its sockets are open and nobody reads them. What falls closes them.
#[derive(Debug)]
pub struct DetachedLeg {
    pub(super) moving: MovingLeg,
    pub(super) ports: PortLease,
}

/// Where a leg's media goes.
#[expect(clippy::large_enum_variant, reason = "moved once when a leg opens")]
pub enum LegMedia {
    /// Plain RTP on a leased pair of ports.
    Rtp {
        /// The bound sockets, freed when the leg closes.
        ports: PortLease,
        /// What was negotiated; `None` until it is.
        audio: Option<sdp::Audio>,
        /// The far end may be behind NAT: where the address that the SDP names sends nothing, the source is learnt from packets.
        nat: bool,
    },
    /// A browser has offered.
    WebRtcOffered {
        /// Its offer.
        offer: String,
        /// Our answer.
        reply: oneshot::Sender<Result<String, LegError>>,
    },
    /// We offer to a browser.
    WebRtcOffering {
        /// Our offer.
        reply: oneshot::Sender<Result<String, LegError>>,
    },
}

/// Something that happened to a leg.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerEvent {
    /// The leg.
    pub leg: LegId,
    /// What.
    pub kind: WorkerEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerEventKind {
    /// The media path is there: the remote address is known, or DTLS is done.
    Connected,
    /// The first valid packet came.
    FirstPacket,
    /// A key was pressed on the leg's far end.
    Dtmf {
        /// 0-9, *, #, A-D.
        digit: char,
        /// How long it was held.
        duration_ms: u32,
    },
    /// The leg has become the one who speaks in its conference, or is it no more. Not told of a leg that left.
    ActiveSpeaker {
        /// The conference.
        conference: ConferenceId,
        /// Became, or is no more.
        active: bool,
    },
    /// The first sample of a segment left.
    PlayStarted {
        /// The segment.
        segment: u64,
        /// When.
        at: Instant,
    },
    /// The last sample of a segment left, or it was dropped.
    PlayDone {
        /// The segment.
        segment: u64,
    },
    /// The media of a leg behind NAT comes from another address than was known, and ours goes there from now on.
    SourceMoved {
        /// The address.
        to: SocketAddr,
    },
    /// How the leg's media does, every 5 s.
    Quality(LegQuality),
    /// The leg ended by itself; the text says why. `Closed` follows.
    Failed(String),
    /// Whether sound flows, per direction, when that changed; judged once a second.
    Flow(Flow),
    /// Neither media nor reports for the leg's time-out, though its far end should send. Told once per silence; ending the leg is
    /// for its owner.
    MediaTimeout,
    /// The leg is gone, its ports are free. Always the last event.
    Closed(LegQuality),
}

/// Numbers of a leg's media since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegQuality {
    /// Valid packets received.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets that never came, as far as sequence numbers tell.
    pub packets_lost: u64,
    /// Packets that came before, and were dropped.
    pub packets_repeated: u64,
    /// Packets that came too late to be played.
    pub packets_late: u64,
    /// Frames that concealment made.
    pub frames_concealed: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter_ms: f32,
    /// Round trip, when RTCP told one.
    pub round_trip_ms: Option<f32>,
    /// What comes from the far end is worth, by our own reception.
    pub incoming: Rating,
    /// What goes to the far end is worth, by its reports.
    pub outgoing: Rating,
}

/// What a worker holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Legs of any kind.
    pub legs: usize,
    /// Legs of browsers.
    pub browser_legs: usize,
    /// Legs that are bridged (two per bridge).
    pub bridged: usize,
    /// Conferences.
    pub conferences: usize,
    /// Legs in conferences.
    pub mixed: usize,
    /// Leased pairs of ports.
    pub ports: usize,
    /// Taps.
    pub taps: usize,
    /// Legs that overhear others.
    pub overhearing: usize,
    /// Legs that are overheard.
    pub overheard: usize,
    /// Legs by the state of what comes, in the order of [`Incoming::WORDS`].
    pub incoming: [usize; Incoming::WORDS.len()],
    /// Legs by the state of what goes out, in the order of [`Outgoing::WORDS`].
    pub outgoing: [usize; Outgoing::WORDS.len()],
    /// Requests that wait.
    pub mailbox: usize,
}

/// The worker's mailbox is full, or it has stopped. The command was dropped: the caller ends what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media worker takes no more commands now")]
pub struct Overloaded;
