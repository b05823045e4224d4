//! Format of one line of a capture.

use std::borrow::Cow;
use std::net::SocketAddr;

use codecs::opus::OpusSettings;
use serde::{Deserialize, Serialize};

use crate::units::LegId;
use crate::worker::command::{WorkerEvent, WorkerEventKind};
use crate::worker::outbox::Output;
use crate::worker::switch::{Input, Slot, Socket};

/// Version of the capture format; a replay refuses any other.
pub(super) const VERSION: u32 = 2;

/// Time of an entry, and the entry itself.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line<E> {
    /// Nanoseconds since the capture began.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) entry: E,
}

/// Entry that is being written.
pub(crate) type Written<'a> = Entry<'a, &'a Input<'a>>;
/// Entry that was read.
pub(super) type Read = Entry<'static, Input<'static>>;

/// An input or output of the switch, or a remark of the writer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry<'a, I> {
    /// Parameters that the switch was created from; always the first entry.
    Start(Start),
    /// Blocks of lines before this line are missing.
    Broken {
        /// Number of missing blocks so far.
        blocks: u64,
    },
    /// Input that the switch handled.
    Input(I),
    /// Datagram that was handed over for sending.
    Sent {
        slot: Slot,
        socket: Socket,
        to: SocketAddr,
        #[serde(with = "digits")]
        bytes: Cow<'a, [u8]>,
    },
    /// Event that was sent to the leg's channel.
    Told { leg: LegId, event: String },
}

/// Parameters that a switch was created from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Version of the capture format.
    pub(crate) version: u32,
    /// Seed of the switch's random numbers.
    pub(crate) seed: u64,
    /// Time of day at the start, in nanoseconds since 1970.
    pub(crate) wall: u64,
    /// Addresses of the ports that browser legs share.
    pub(crate) shared: Vec<SocketAddr>,
    /// Settings of Opus encoders.
    pub(crate) opus: OpusSettings,
}

/// Serialises bytes as hexadecimal digits.
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
    /// Returns the entry of an output; `None` if it went to a browser, whose datagrams are not captured.
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

/// Returns the text of an event in a capture.
pub(super) fn text_of(event: &WorkerEvent) -> String {
    match &event.kind {
        // The time of the event comes from the engine's clock and differs in every run.
        WorkerEventKind::PlayStarted { segment, .. } => format!("PlayStarted {{ segment: {segment} }}"),
        kind => format!("{kind:?}"),
    }
}
