//! The one input of the switch.
//!
//! ```text
//! network ── Datagram, SharedDatagram ───────────┐
//! time ───── Timeout ────────────────────────────┤
//! calls ──── Command, Open, Tap, WebRtcAnswer … ─┼─▶ Switch::handle(Input, now) ─▶ Outcome; poll_output
//! driver ─── Effort, Fail ───────────────────────┘
//!                │ serialised
//!                └─▶ capture ─▶ replay
//! ```
//!
//! Everything that changes a switch after it was made is an input, so that the inputs of a capture do in a replay what they did
//! at first. What lives in one process alone travels in the fields that serde skips: a browser's transport, the writing end of
//! a tap, a leg on its way from another switch. A replay has none of them: the leg is then without media, and the tap copies nothing.
//!
//! Not here: requests that concern the thread and not the switch, such as where a leg's events go (`WorkerRequest`).

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Slot;
use super::legs::MovingLeg;
use crate::audio::tap::TapWriter;
use crate::leg::LegError;
use crate::leg::rtp::Component;
use crate::leg::webrtc::WebRtcPeer;
use crate::sdp::Audio;
use crate::units::LegId;
use crate::worker::command::WorkerCommand;

/// Something that happened to a switch.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input<'a> {
    /// A datagram came by one of a plain RTP leg's ports.
    Datagram {
        /// The leg's place.
        slot: Slot,
        /// By which of its ports.
        component: Component,
        /// Source address.
        from: SocketAddr,
        /// The datagram; it is opened in place.
        bytes: Bytes<'a>,
    },
    /// A datagram came by a port that browser legs share.
    SharedDatagram {
        /// Number of the port, in the order that [`super::Switch::new`] was given.
        port: usize,
        /// Source address.
        from: SocketAddr,
        /// The datagram; it is opened in place.
        bytes: Bytes<'a>,
    },
    /// `poll_timeout` is due.
    Timeout,
    /// A verb.
    Command(WorkerCommand),
    /// A plain RTP leg comes. An identity that is there already is refused.
    Open {
        /// Its identity.
        leg: LegId,
        /// What was negotiated; `None` until it is.
        audio: Option<Audio>,
        /// The far end may be behind NAT.
        nat: bool,
    },
    /// A browser's leg comes. An identity that is there already is refused.
    OpenBrowser {
        /// Its identity.
        leg: LegId,
        /// Its transport; `None` in a replay, where the leg has its place and its bridges, and no media.
        #[serde(skip)]
        peer: Option<Box<WebRtcPeer>>,
    },
    /// A plain RTP leg leaves for another switch, without a word to its far end and without its taps. A browser's leg stays: its
    /// far end knows this worker's port alone.
    Detach {
        /// Its identity.
        leg: LegId,
    },
    /// A leg comes that left another switch. An identity that is there already is refused.
    Attach {
        /// Its identity.
        leg: LegId,
        /// The leg; `None` in a replay, where it has its place and its bridges, and no media.
        #[serde(skip)]
        moving: Option<MovingLeg>,
    },
    /// The browser's answer to our offer.
    WebRtcAnswer {
        /// The leg.
        leg: LegId,
        /// The answer.
        sdp: String,
    },
    /// The browser offers again.
    WebRtcReoffer {
        /// The leg.
        leg: LegId,
        /// The new offer.
        sdp: String,
    },
    /// What the leg says is copied into this tap too.
    Tap {
        /// The leg.
        leg: LegId,
        /// The tap's identity.
        tap: u64,
        /// Its writing end; `None` in a replay.
        #[serde(skip)]
        writer: Option<TapWriter>,
    },
    /// Nobody reads these taps of the leg any more.
    Untap {
        /// The leg.
        leg: LegId,
        /// Identities of the taps.
        taps: Vec<u64>,
    },
    /// How hard encoders work from now on that have a choice.
    Effort {
        /// 0 (least) to 10 (best).
        complexity: u8,
    },
    /// The leg cannot go on: `Failed`, then `Closed`.
    Fail {
        /// The leg.
        leg: LegId,
        /// Reason, for the log.
        why: String,
    },
}

impl<'a> Input<'a> {
    /// A datagram that came by a port of the leg's.
    pub fn datagram(slot: Slot, component: Component, from: SocketAddr, bytes: &'a mut [u8]) -> Input<'a> {
        Input::Datagram { slot, component, from, bytes: Bytes::Borrowed(bytes) }
    }

    /// A datagram that came by shared port number `port`.
    pub fn shared_datagram(port: usize, from: SocketAddr, bytes: &'a mut [u8]) -> Input<'a> {
        Input::SharedDatagram { port, from, bytes: Bytes::Borrowed(bytes) }
    }

    /// What the leg says is copied into this tap too.
    pub fn tap(leg: LegId, writer: TapWriter) -> Input<'static> {
        Input::Tap { leg, tap: writer.id(), writer: Some(writer) }
    }

    /// Whether a replay has a use for it: without its DTLS keys, nothing that a browser says can be understood.
    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(self, Input::SharedDatagram { .. } | Input::WebRtcAnswer { .. } | Input::WebRtcReoffer { .. })
    }
}

impl From<WorkerCommand> for Input<'_> {
    fn from(command: WorkerCommand) -> Self {
        Input::Command(command)
    }
}

/// What an input led to at once. Everything else comes out of `poll_output`.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing that the driver must know; what did not fit was counted.
    Done,
    /// A leg has come: its place.
    Opened(Slot),
    /// A leg has left: the leg, and the place that it had.
    Detached(MovingLeg, Slot),
    /// Whether the browser's answer could be applied.
    Applied(Result<(), LegError>),
    /// Our answer to the browser's offer.
    Answer(Result<String, LegError>),
}

impl Outcome {
    /// The place of the leg that came.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Outcome::Opened(slot) => Some(*slot),
            _ => None,
        }
    }
}

/// A datagram's bytes, which may be changed: the driver's own buffer, or out of a capture. Serialised as hexadecimal digits.
#[derive(Debug)]
pub enum Bytes<'a> {
    /// In the driver's buffer.
    Borrowed(&'a mut [u8]),
    /// Read from a capture.
    Owned(Vec<u8>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl DerefMut for Bytes<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&**self))
    }
}

impl<'de> Deserialize<'de> for Bytes<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map(Bytes::Owned).map_err(serde::de::Error::custom)
    }
}
