//! What a worker is asked, and what it tells.

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::audio::tap::TapWriter;
use crate::config::App;
use crate::leg::LegError;
use crate::net::ports::PortLease;
use crate::sdp;
use crate::units::{LegId, SampleRate};

/// What a worker may be asked. Commands that name a leg it does not have are counted and do nothing.
pub enum WorkerCommand {
    /// Take a leg. It lives until `LegClose` or its own failure; its last event is `Closed` either way.
    LegOpen {
        /// Its identity; unique in the process.
        leg: LegId,
        /// Where its media goes.
        media: LegMedia,
        /// Where its events go: bounded by the maker; what does not fit is dropped and counted.
        events: mpsc::Sender<WorkerEvent>,
    },
    /// The plain RTP leg's negotiated audio: the first answer or a re-INVITE's.
    RtpUpdate {
        /// The leg.
        leg: LegId,
        /// What offer and answer agreed.
        audio: sdp::Audio,
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
    /// Let two legs hear each other; each leaves the bridge it was in.
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
    /// Give the leg an application, or take it away. While it has one, it hears nothing else (but `Play`).
    App {
        /// The leg.
        leg: LegId,
        /// The application; `Record` is silence to the caller.
        app: Option<App>,
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
    /// Queue voice for the leg to hear, over the ducked original.
    Play {
        /// The listener.
        leg: LegId,
        /// Which piece of speech it belongs to; chunks of one segment follow one another.
        segment: u64,
        /// Rate of `samples`.
        rate: SampleRate,
        /// Mono.
        samples: Box<[i16]>,
        /// No more of this segment will come.
        last: bool,
    },
    /// Forget all that is queued; segments that were not done are told as done.
    StopPlay {
        /// The listener.
        leg: LegId,
    },
    /// Others hear silence instead of this leg, and so do its taps.
    Mute {
        /// The leg.
        leg: LegId,
        /// On or off.
        muted: bool,
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
    /// Count what the worker holds.
    Census {
        /// The answer.
        reply: oneshot::Sender<Census>,
    },
}

/// Where a leg's media goes.
pub enum LegMedia {
    /// Plain RTP on a leased pair of ports.
    Rtp {
        /// The bound sockets, freed when the leg closes.
        ports: PortLease,
        /// What was negotiated; `None` until it is.
        audio: Option<sdp::Audio>,
        /// Learn the source from the first valid packet instead of the SDP.
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
    /// How the leg's media does, every 5 s.
    Quality(LegQuality),
    /// The leg ended by itself; the text says why. `Closed` follows.
    Failed(String),
    /// No packet for 60 s on a leg that should send. Told once per silence; the leg goes on.
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
    /// Packets that came too late to be played.
    pub packets_late: u64,
    /// Frames that concealment made.
    pub frames_concealed: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter_ms: f32,
    /// Round trip, when RTCP told one.
    pub round_trip_ms: Option<f32>,
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
    /// Leased pairs of ports.
    pub ports: usize,
    /// Taps.
    pub taps: usize,
    /// Commands that wait.
    pub mailbox: usize,
}

/// The worker's mailbox is full, or it has stopped. The command was dropped: the caller ends what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media worker takes no more commands now")]
pub struct Overloaded;
