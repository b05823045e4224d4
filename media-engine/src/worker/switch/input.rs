//! The single input type of the switch.
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
//! Every change to a switch after its construction is an input, so the inputs of a capture have the same effect in a
//! replay as they had originally. Values that exist in one process only travel in fields that serde skips: a browser's
//! transport, the writing end of a tap, a leg on its way from another switch. A replay has none of them: the leg then
//! has no media, and the tap copies nothing.
//!
//! Not here: requests that concern the thread instead of the switch, such as the channel of a leg's events
//! (`WorkerRequest`).

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Slot;
use super::legs::MovingLeg;
use crate::audio::tap::{TapPoint, TapWriter};
use crate::leg::LegError;
use crate::leg::rtp::Component;
use crate::leg::webrtc::WebRtcPeer;
use crate::sdp::Audio;
use crate::units::LegId;
use crate::worker::command::WorkerCommand;

/// An input that the switch handles.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input<'a> {
    /// A datagram arrived at a port of a plain RTP leg.
    Datagram {
        /// Slot of the leg that owns the port.
        slot: Slot,
        /// Which port of the leg it arrived at.
        component: Component,
        /// Source address of the datagram.
        from: SocketAddr,
        /// The datagram; it is decrypted in place.
        bytes: Bytes<'a>,
    },
    /// A datagram arrived at a port that browser legs share.
    SharedDatagram {
        /// Index of the port in the list that was given to [`super::Switch::new`].
        port: usize,
        /// Source address of the datagram.
        from: SocketAddr,
        /// The datagram; it is decrypted in place.
        bytes: Bytes<'a>,
    },
    /// The time that `poll_timeout` returned has come.
    Timeout,
    /// A command from a call.
    Command(WorkerCommand),
    /// A plain RTP leg is opened. An identity that already exists is refused.
    Open {
        /// Identity of the new leg.
        leg: LegId,
        /// Negotiated audio; `None` until offer and answer are complete.
        audio: Option<Audio>,
        /// Whether the far end may be behind NAT.
        nat: bool,
    },
    /// A browser leg is opened. An identity that already exists is refused.
    OpenBrowser {
        /// Identity of the new leg.
        leg: LegId,
        /// Transport of the leg; `None` in a replay, where the leg has its slot and its bridges but no media.
        #[serde(skip)]
        peer: Option<Box<WebRtcPeer>>,
    },
    /// A plain RTP leg leaves for another switch, without a message to its far end and without its taps. A browser leg
    /// cannot leave: its far end knows only this worker's port.
    Detach {
        /// Leg that leaves.
        leg: LegId,
    },
    /// A leg arrives that left another switch. An identity that already exists is refused.
    Attach {
        /// Identity of the leg.
        leg: LegId,
        /// The leg itself; `None` in a replay, where it has its slot and its bridges but no media.
        #[serde(skip)]
        moving: Option<MovingLeg>,
    },
    /// The browser answered our offer.
    WebRtcAnswer {
        /// Browser leg that we offered.
        leg: LegId,
        /// SDP of the answer.
        sdp: String,
    },
    /// The browser made a new offer.
    WebRtcReoffer {
        /// Browser leg that the offer is for.
        leg: LegId,
        /// SDP of the new offer.
        sdp: String,
    },
    /// One side of the leg is copied into one more tap.
    Tap {
        /// Leg whose sound is copied.
        leg: LegId,
        /// Side that is copied; captures from before there was a choice have none.
        #[serde(default)]
        point: TapPoint,
        /// Identity of the tap.
        tap: u64,
        /// Writing end of the tap; `None` in a replay.
        #[serde(skip)]
        writer: Option<TapWriter>,
    },
    /// These taps of the leg have no reader any more.
    Untap {
        /// Leg that has the taps.
        leg: LegId,
        /// Identities of the taps.
        taps: Vec<u64>,
    },
    /// The complexity of encoders that offer a choice changes.
    Effort {
        /// From 0 (least CPU) to 10 (best quality).
        complexity: u8,
    },
    /// The leg cannot continue: it reports `Failed`, then `Closed`.
    Fail {
        /// Leg that ends.
        leg: LegId,
        /// Reason, for the log.
        why: String,
    },
}

impl<'a> Input<'a> {
    /// Returns the input for a datagram that arrived at a port of the leg in `slot`.
    pub fn datagram(slot: Slot, component: Component, from: SocketAddr, bytes: &'a mut [u8]) -> Input<'a> {
        Input::Datagram { slot, component, from, bytes: Bytes::Borrowed(bytes) }
    }

    /// Returns the input for a datagram that arrived at shared port number `port`.
    pub fn shared_datagram(port: usize, from: SocketAddr, bytes: &'a mut [u8]) -> Input<'a> {
        Input::SharedDatagram { port, from, bytes: Bytes::Borrowed(bytes) }
    }

    /// Returns the input that copies one side of the leg into one more tap.
    pub fn tap(leg: LegId, point: TapPoint, writer: TapWriter) -> Input<'static> {
        Input::Tap { leg, point, tap: writer.id(), writer: Some(writer) }
    }

    /// Whether a replay can use the input. Datagrams and SDP of browsers are useless there, because it lacks their DTLS
    /// keys.
    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(self, Input::SharedDatagram { .. } | Input::WebRtcAnswer { .. } | Input::WebRtcReoffer { .. })
    }
}

impl From<WorkerCommand> for Input<'_> {
    fn from(command: WorkerCommand) -> Self {
        Input::Command(command)
    }
}

/// Immediate result of an input. Everything else is returned by `poll_output`.
#[derive(Debug)]
pub enum Outcome {
    /// The driver has nothing to do; refused inputs were counted.
    Done,
    /// A leg was opened in this slot.
    Opened(Slot),
    /// A leg has left; with the slot that it had.
    Detached(MovingLeg, Slot),
    /// Whether the browser's answer could be applied.
    Applied(Result<(), LegError>),
    /// SDP of our answer to the browser's offer.
    Answer(Result<String, LegError>),
}

impl Outcome {
    /// Returns the slot of the leg that was opened.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Outcome::Opened(slot) => Some(*slot),
            _ => None,
        }
    }
}

/// Bytes of a datagram, which may be changed in place. Serialised as hexadecimal digits.
#[derive(Debug)]
pub enum Bytes<'a> {
    /// Bytes in the driver's buffer.
    Borrowed(&'a mut [u8]),
    /// Bytes read from a capture.
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
