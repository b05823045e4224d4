//! Requests to a media worker, and the events that it sends.
//!
//! ```text
//! calls ─▶ WorkerRequest ─▶ mailbox ─▶ worker's thread ─▶ Switch ─▶ WorkerEvent ─▶ the leg's event channel
//! ```
//!
//! [`WorkerCommand`] holds the serialisable commands: a capture records them and a replay repeats them.
//! [`WorkerRequest`] adds the requests that carry values of this process (ports, channels, writing ends of taps), which
//! cannot be recorded.
//!
//! Invariants: commands for a leg are executed in the order in which they were sent; the last event of a leg is
//! `Closed`, unless it was detached or refused. Not here: the delivery of requests (`mailbox`) and their effect
//! (`switch`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::{mpsc, oneshot};

use crate::audio::tap::{TapPoint, TapWriter};
use crate::config::App;
use crate::leg::LegError;
use crate::leg::flow::{Flow, Incoming, Outgoing};
use crate::net::ports::PortLease;
use crate::rtcp::mos::Rating;
use crate::sdp;
use crate::units::{ConferenceId, LegId, SampleRate};
use crate::worker::switch::MovingLeg;

/// Request to a worker: a command, or a request that carries values of this process (ports, channels, the ends of taps)
/// and stays with the worker's thread.
pub enum WorkerRequest {
    /// Command for the switch.
    Command(WorkerCommand),
    /// Opens a leg. The leg lives until `LegClose` or until it fails; its last event is `Closed` either way. An
    /// identity that the worker already has is refused: the ports are freed and the event channel closes without an
    /// event.
    LegOpen {
        /// Identity of the new leg; unique in the process.
        leg: LegId,
        /// Transport that carries its media.
        media: LegMedia,
        /// Channel for the leg's events. The caller chooses its capacity; events that do not fit are dropped and
        /// counted.
        events: mpsc::Sender<WorkerEvent>,
    },
    /// Gives a plain RTP leg away, to be sent to another worker as [`WorkerRequest::LegAttach`]. Its events end here
    /// without `Closed`.
    LegDetach {
        /// Leg that leaves this worker.
        leg: LegId,
        /// Receives the leg; dropped if there is no such leg or it is a browser leg.
        reply: oneshot::Sender<DetachedLeg>,
    },
    /// Takes over a leg that left another worker. As with `LegOpen`, an identity that already exists is refused.
    LegAttach {
        /// Identity of the leg; unique in the process.
        leg: LegId,
        /// Leg and sockets that the other worker handed over.
        detached: DetachedLeg,
        /// Channel for the leg's events, as in `LegOpen`.
        events: mpsc::Sender<WorkerEvent>,
    },
    /// Sends the leg's events to another channel from now on, because another call has taken the leg over.
    LegEvents {
        /// Leg whose events are redirected.
        leg: LegId,
        /// Channel for the leg's events, as in `LegOpen`.
        events: mpsc::Sender<WorkerEvent>,
    },
    /// Applies the browser's answer to our offer.
    WebRtcAnswer {
        /// Browser leg that was opened as [`LegMedia::WebRtcOffering`].
        leg: LegId,
        /// SDP of the browser's answer.
        sdp: String,
        /// Receives whether the answer could be applied.
        reply: oneshot::Sender<Result<(), LegError>>,
    },
    /// Answers a new offer of the browser (hold, ICE restart).
    WebRtcReoffer {
        /// Browser leg that the offer is for.
        leg: LegId,
        /// SDP of the new offer.
        sdp: String,
        /// Receives the SDP of our answer.
        reply: oneshot::Sender<Result<String, LegError>>,
    },
    /// Copies one side of a leg into one more tap.
    Tap {
        /// Leg whose sound is copied.
        leg: LegId,
        /// Side that is copied.
        point: TapPoint,
        /// Writing end of the tap.
        tap: TapWriter,
    },
    /// Drops the leg's taps whose reading end is gone.
    Untap {
        /// Leg whose taps are checked.
        leg: LegId,
    },
    /// Counts the worker's legs, conferences and other resources.
    Census {
        /// Receives the counts.
        reply: oneshot::Sender<Census>,
    },
}

impl From<WorkerCommand> for WorkerRequest {
    fn from(command: WorkerCommand) -> WorkerRequest {
        WorkerRequest::Command(command)
    }
}

/// Command to the switch. A command that names an unknown leg is counted and does nothing. A new command needs a
/// variant here and an arm in `Switch::command`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerCommand {
    /// Sets the negotiated audio of a plain RTP leg, after the first answer or a re-INVITE.
    RtpUpdate {
        /// Plain RTP leg that was negotiated.
        leg: LegId,
        /// Audio that offer and answer agreed on.
        audio: sdp::Audio,
    },
    /// Connects two legs so that they hear each other; each leaves its previous bridge and conference.
    Bridge {
        /// First leg of the bridge.
        a: LegId,
        /// Second leg of the bridge.
        b: LegId,
    },
    /// Separates the leg from its peer; both hear silence.
    Unbridge {
        /// Either leg of the bridge.
        leg: LegId,
    },
    /// Adds the leg to a conference, or changes its role there. The first leg opens the conference; when the last one
    /// leaves or closes, the conference is freed. A leg is in at most one conference: it leaves the previous one. Its
    /// bridge is suspended meanwhile; a bridged peer that is not in the conference hears silence.
    ConferenceJoin {
        /// Conference to join; opened if it does not exist.
        conference: ConferenceId,
        /// Leg that joins.
        leg: LegId,
        /// Role of the leg: which members hear it.
        role: ConferenceRole,
    },
    /// Changes how loud one leg of a conference hears another. Takes effect from one tick to the next, without a click.
    ConferenceGain {
        /// Leg that is heard.
        from: LegId,
        /// Leg that hears it.
        to: LegId,
        /// 0 is silence, 1 is unchanged, at most 4 (+12 dB); `None` follows the role of `from`. Other values do nothing
        /// and are counted.
        #[serde(with = "gain_number")]
        gain: Option<f32>,
    },
    /// Removes the leg from its conference; its bridge, if it has one, resumes.
    ConferenceLeave {
        /// Leg that leaves.
        leg: LegId,
    },
    /// Lets the leg overhear other legs, which are not affected; an empty list ends the overhearing. The leg hears them
    /// while it has no application, no bridge and no conference.
    Overhear {
        /// Leg that listens.
        leg: LegId,
        /// Legs that it overhears from now on.
        of: Vec<LegId>,
    },
    /// Gives the leg an application, or removes it. While the leg has one, it hears nothing else except `Play`.
    App {
        /// Leg that gets or loses the application.
        leg: LegId,
        /// New application; `None` removes it. The caller hears silence during `Record`.
        app: Option<App>,
    },
    /// Queues voice for the leg to hear; the original is ducked underneath.
    Play {
        /// Leg that hears it.
        leg: LegId,
        /// Segment of speech that the samples belong to; chunks of one segment follow one another.
        segment: u64,
        /// Sample rate of `samples`.
        rate: SampleRate,
        /// Mono samples; several listeners may share them.
        #[serde(with = "shared_samples")]
        samples: Arc<[i16]>,
        /// Whether this is the last chunk of the segment.
        last: bool,
    },
    /// Discards queued voice; segments that were not finished are reported as done.
    StopPlay {
        /// Leg that the voice was queued for.
        leg: LegId,
        /// Only this segment, which fades out if it is being heard; `None` discards everything at once.
        segment: Option<u64>,
    },
    /// Keeps the original from a leg that is bridged with another: it hears queued voice only. The change takes 50 ms, and 300 ms
    /// back.
    SilenceOriginal {
        /// Leg that listens.
        leg: LegId,
        /// Whether it does not hear the original from now on.
        silenced: bool,
    },
    /// Replaces the leg's speech by silence for the others and for its taps.
    Mute {
        /// Leg to mute or unmute.
        leg: LegId,
        /// Whether the leg is muted from now on.
        muted: bool,
    },
    /// Makes the leg louder or softer for the others and for its taps; the change is spread over 10 ms. While the gain
    /// is not 0, the leg's packets are not relayed.
    Gain {
        /// Leg whose speech is changed.
        leg: LegId,
        /// Decibels, −20 to 20; other values do nothing and are counted.
        db: i8,
    },
    /// Sets the music that the leg hears on hold instead of the soft tone, in a loop; no samples restore the soft tone.
    Music {
        /// Leg that hears it on hold.
        leg: LegId,
        /// Sample rate of `samples`.
        rate: SampleRate,
        /// Mono samples; several legs may share them.
        #[serde(with = "shared_samples")]
        samples: Arc<[i16]>,
    },
    /// Sets the time without media after which the leg is considered dead, which is reported once (`MediaTimeout`). The
    /// default is 60 s.
    MediaTimeout {
        /// Leg that is supervised.
        leg: LegId,
        /// Time without media; `None` means never.
        after: Option<Duration>,
    },
    /// Sends a key press to the leg's far end (telephone-event). Without a negotiated telephone-event it does nothing
    /// and is counted.
    SendDtmf {
        /// Leg whose far end receives the key.
        leg: LegId,
        /// One of 0-9, *, #, A-D.
        digit: char,
        /// Milliseconds, 40 to 6,000.
        duration_ms: u32,
    },
    /// Ends the leg: sends RTCP BYE, frees the ports and reports `Closed`.
    LegClose {
        /// Leg to end.
        leg: LegId,
    },
}

/// Range of decibels that [`WorkerCommand::Gain`] accepts.
pub const GAIN_DB: std::ops::RangeInclusive<i8> = -20..=20;

/// Serialises gains. JSON has no number for a gain that is not finite, so it is written as −1, which is refused as
/// well.
mod gain_number {
    use super::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(gain: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        gain.map(|gain| if gain.is_finite() { gain } else { -1.0 }).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
        Option::deserialize(deserializer)
    }
}

/// Serialises samples that several listeners share.
mod shared_samples {
    use super::{Arc, Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(samples: &Arc<[i16]>, serializer: S) -> Result<S::Ok, S::Error> {
        samples[..].serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[i16]>, D::Error> {
        Vec::deserialize(deserializer).map(Arc::from)
    }
}

/// Decides which members of a conference hear a leg. Every member, whatever its role, hears all participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConferenceRole {
    /// Heard by all others; also the role of a supervisor who barges in.
    Participant,
    /// Heard by no other leg.
    Monitor,
    /// Heard by this leg only, from now on or from the moment it joins.
    Whisper(LegId),
}

/// A leg between two workers: its sockets are open, but no thread reads them. Dropping it closes them.
#[derive(Debug)]
pub struct DetachedLeg {
    pub(super) moving: MovingLeg,
    pub(super) ports: PortLease,
}

/// Transport of a leg's media.
#[expect(clippy::large_enum_variant, reason = "moved once when a leg opens")]
pub enum LegMedia {
    /// Plain RTP on a leased pair of ports.
    Rtp {
        /// Bound sockets, freed when the leg closes.
        ports: PortLease,
        /// Negotiated audio; `None` until offer and answer are complete.
        audio: Option<sdp::Audio>,
        /// Whether the far end may be behind NAT. If it is and the address in its SDP sends nothing, the source is
        /// learnt from packets.
        nat: bool,
    },
    /// A browser made the offer.
    WebRtcOffered {
        /// SDP of the browser's offer.
        offer: String,
        /// Receives the SDP of our answer.
        reply: oneshot::Sender<Result<String, LegError>>,
    },
    /// We make the offer to a browser.
    WebRtcOffering {
        /// Receives the SDP of our offer.
        reply: oneshot::Sender<Result<String, LegError>>,
    },
}

/// An event of one leg.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerEvent {
    /// Leg that the event is about.
    pub leg: LegId,
    /// Kind of event, with its data.
    pub kind: WorkerEventKind,
}

/// Kind of a [`WorkerEvent`].
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerEventKind {
    /// The media path is ready: the remote address is known, or the DTLS handshake is complete.
    Connected,
    /// The first valid packet arrived.
    FirstPacket,
    /// A key was pressed at the leg's far end.
    Dtmf {
        /// One of 0-9, *, #, A-D.
        digit: char,
        /// Milliseconds that the key was held.
        duration_ms: u32,
    },
    /// The leg has become the active speaker of its conference, or no longer is. Not sent for a leg that has left.
    ActiveSpeaker {
        /// Conference in which the leg speaks.
        conference: ConferenceId,
        /// Whether the leg is the active speaker now.
        active: bool,
    },
    /// The first sample of a segment was sent.
    PlayStarted {
        /// Segment, as numbered in [`WorkerCommand::Play`].
        segment: u64,
        /// Time at which it was sent.
        at: Instant,
    },
    /// The last sample of a segment was sent, or the segment was dropped.
    PlayDone {
        /// Segment, as numbered in [`WorkerCommand::Play`].
        segment: u64,
    },
    /// The media of a leg behind NAT comes from a new address; our media goes there from now on.
    SourceMoved {
        /// New address of the far end.
        to: SocketAddr,
    },
    /// Quality of the leg's media so far, every 5 s.
    Quality(LegQuality),
    /// The leg failed; the text gives the reason. `Closed` follows.
    Failed(String),
    /// Whether sound flows in each direction, when that changed; evaluated once a second.
    Flow(Flow),
    /// Neither media nor reports arrived for the leg's time-out, though its far end should send. Sent once per silence;
    /// the leg's owner decides whether to end it.
    MediaTimeout,
    /// The leg has ended and its ports are free. Always the last event.
    Closed(LegQuality),
}

/// Statistics of a leg's media since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegQuality {
    /// Number of valid packets received.
    pub packets_received: u64,
    /// Number of packets sent.
    pub packets_sent: u64,
    /// Packets that never arrived, according to sequence numbers.
    pub packets_lost: u64,
    /// Packets that had arrived before; dropped.
    pub packets_repeated: u64,
    /// Packets that arrived too late to be played.
    pub packets_late: u64,
    /// Frames produced by concealment.
    pub frames_concealed: u64,
    /// Interarrival jitter in milliseconds (RFC 3550 section 6.4.1).
    pub jitter_ms: f32,
    /// Round-trip time in milliseconds; `None` until RTCP reports one.
    pub round_trip_ms: Option<f32>,
    /// Rating of the media from the far end, measured at our reception.
    pub incoming: Rating,
    /// Rating of the media to the far end, according to its reports.
    pub outgoing: Rating,
}

/// Numbers of legs and other resources that a worker holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Legs of any kind.
    pub legs: usize,
    /// Legs of browsers (WebRTC).
    pub browser_legs: usize,
    /// Legs that are bridged (two per bridge).
    pub bridged: usize,
    /// Number of open conferences.
    pub conferences: usize,
    /// Legs in conferences.
    pub mixed: usize,
    /// Leased pairs of ports.
    pub ports: usize,
    /// Number of taps on legs.
    pub taps: usize,
    /// Legs that overhear others.
    pub overhearing: usize,
    /// Legs that are overheard.
    pub overheard: usize,
    /// Legs by the state of their incoming media, in the order of [`Incoming::WORDS`].
    pub incoming: [usize; Incoming::WORDS.len()],
    /// Legs by the state of their outgoing media, in the order of [`Outgoing::WORDS`].
    pub outgoing: [usize; Outgoing::WORDS.len()],
    /// Requests that wait in the mailbox.
    pub mailbox: usize,
}

/// The worker's mailbox is full, or the worker has stopped. The command was dropped: the caller ends the leg or call
/// concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media worker accepts no more commands at present")]
pub struct Overloaded;
