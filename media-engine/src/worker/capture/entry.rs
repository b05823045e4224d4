//! One line of a capture.

use std::borrow::Cow;
use std::net::SocketAddr;

use codecs::opus::OpusSettings;
use serde::{Deserialize, Serialize};

use crate::units::LegId;
use crate::worker::command::{WorkerEvent, WorkerEventKind};
use crate::worker::outbox::Output;
use crate::worker::switch::{Input, Slot, Socket};

/// Format of captures; another one is refused.
pub(super) const VERSION: u32 = 2;

/// When, and what.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line<E> {
    /// Nanoseconds since the capture began.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) entry: E,
}

/// A line that is written.
pub(crate) type Written<'a> = Entry<'a, &'a Input<'a>>;
/// A line that was read.
pub(super) type Read = Entry<'static, Input<'static>>;

/// What came in or left.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry<'a, I> {
    /// Always the first: what the switch was made from.
    Start(Start),
    /// Blocks of lines before this line are missing.
    Broken {
        /// How many so far.
        blocks: u64,
    },
    /// What the switch took.
    Input(I),
    /// A datagram that was given to be sent.
    Sent {
        slot: Slot,
        socket: Socket,
        to: SocketAddr,
        #[serde(with = "digits")]
        bytes: Cow<'a, [u8]>,
    },
    /// An event that was told.
    Told { leg: LegId, event: String },
}

/// What a switch was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Format of the capture.
    pub(crate) version: u32,
    /// Seed of the switch.
    pub(crate) seed: u64,
    /// Time of day at the beginning, nanoseconds since 1970.
    pub(crate) wall: u64,
    /// Addresses of the ports that browser legs share.
    pub(crate) shared: Vec<SocketAddr>,
    /// How Opus is encoded.
    pub(crate) opus: OpusSettings,
}

/// Bytes as hexadecimal digits.
mod digits {
    use std::borrow::Cow;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'static, [u8]>, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map(Cow::Owned).map_err(serde::de::Error::custom)
    }
}

impl<'a> Written<'a> {
    /// What left; `None`: it went to a browser, whose datagrams are not captured.
    pub(crate) fn output(output: &'a Output<'a>) -> Option<Written<'a>> {
        match output {
            Output::Transmit { socket: Socket::Shared(_), .. } => None,
            Output::Transmit { slot, socket, to, bytes } => {
                Some(Entry::Sent { slot: *slot, socket: *socket, to: *to, bytes: Cow::Borrowed(bytes) })
            }
            Output::Event(_, event) => Some(Entry::Told { leg: event.leg, event: text_of(event) }),
        }
    }
}

/// An event as captures have it.
pub(super) fn text_of(event: &WorkerEvent) -> String {
    match &event.kind {
        // Its time is the engine's, which is another one at every run.
        WorkerEventKind::PlayStarted { segment, .. } => format!("PlayStarted {{ segment: {segment} }}"),
        kind => format!("{kind:?}"),
    }
}
