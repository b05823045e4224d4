//! One line of a capture.

use std::net::SocketAddr;

use codecs::opus::OpusSettings;
use serde::{Deserialize, Serialize};

use crate::config::App;
use crate::sdp::{Audio, Codec, ComfortNoiseFormat, Direction, RtpMap, SrtpKeys, TelephoneEventFormat};
use crate::srtp::{MasterKey, Suite};
use crate::units::{ClockRate, LegId, Ptime};
use crate::worker::command::{ConferenceRole, LegMedia, WorkerCommand, WorkerEvent, WorkerEventKind};
use crate::worker::switch::{Slot, Socket};

/// Lengths of packets that can be agreed on.
const PTIME_US: std::ops::RangeInclusive<u64> = 1_000..=120_000;

/// Format of captures; another one is refused.
pub(super) const VERSION: u32 = 1;

/// When, and what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Nanoseconds since the capture began.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) entry: Entry,
}

/// What came in or left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// Always the first: what the switch was made from. `wall`: nanoseconds since 1970.
    Start {
        version: u32,
        seed: u64,
        wall: u64,
        shared: Vec<SocketAddr>,
        opus: OpusText,
    },
    /// So many blocks before this line are missing.
    Broken {
        blocks: u64,
    },
    Datagram {
        slot: u32,
        socket: SocketText,
        from: SocketAddr,
        bytes: Hex,
    },
    Timeout,
    Open {
        leg: u64,
        audio: Option<AudioText>,
        nat: bool,
    },
    /// A browser leg came: it cannot be replayed.
    OpenBrowser {
        leg: u64,
    },
    Update {
        leg: u64,
        audio: AudioText,
    },
    Bridge {
        a: u64,
        b: u64,
    },
    Unbridge {
        leg: u64,
    },
    App {
        leg: u64,
        app: Option<AppText>,
    },
    Tap {
        leg: u64,
    },
    Untap {
        leg: u64,
        kept: usize,
    },
    Play {
        leg: u64,
        segment: u64,
        hz: u32,
        samples: Vec<i16>,
        last: bool,
    },
    StopPlay {
        leg: u64,
        #[serde(default)]
        segment: Option<u64>,
    },
    Mute {
        leg: u64,
        muted: bool,
    },
    Press {
        leg: u64,
        digit: char,
        duration_ms: u32,
    },
    Join {
        conference: u64,
        leg: u64,
        role: RoleText,
    },
    Gain {
        from: u64,
        to: u64,
        gain: Option<f32>,
    },
    Leave {
        leg: u64,
    },
    Overhear {
        leg: u64,
        of: Vec<u64>,
    },
    DeadAfter {
        leg: u64,
        ms: Option<u64>,
    },
    Effort {
        complexity: u8,
    },
    Close {
        leg: u64,
    },
    Fail {
        leg: u64,
        why: String,
    },
    Sent {
        slot: u32,
        socket: SocketText,
        to: SocketAddr,
        bytes: Hex,
    },
    Told {
        leg: u64,
        event: String,
    },
}

/// Bytes as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map(Hex).map_err(serde::de::Error::custom)
    }
}

/// A [`Socket`]: `rtp`, `rtcp`, or the shared port's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SocketText {
    Rtp,
    Rtcp,
    Shared(usize),
}

impl From<Socket> for SocketText {
    fn from(socket: Socket) -> SocketText {
        match socket {
            Socket::Rtp => SocketText::Rtp,
            Socket::Rtcp => SocketText::Rtcp,
            Socket::Shared(at) => SocketText::Shared(at),
        }
    }
}

impl From<SocketText> for Socket {
    fn from(socket: SocketText) -> Socket {
        match socket {
            SocketText::Rtp => Socket::Rtp,
            SocketText::Rtcp => Socket::Rtcp,
            SocketText::Shared(at) => Socket::Shared(at),
        }
    }
}

/// [`OpusSettings`], but what goes by the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpusText {
    bitrate: u32,
    complexity: u8,
    fec: bool,
    expected_loss_percent: u8,
}

impl From<OpusSettings> for OpusText {
    fn from(opus: OpusSettings) -> OpusText {
        let OpusSettings { bitrate, complexity, fec, expected_loss_percent, .. } = opus;
        OpusText { bitrate, complexity, fec, expected_loss_percent }
    }
}

impl From<OpusText> for OpusSettings {
    fn from(opus: OpusText) -> OpusSettings {
        let OpusText { bitrate, complexity, fec, expected_loss_percent } = opus;
        OpusSettings { bitrate, complexity, fec, dtx: false, expected_loss_percent }
    }
}

/// A [`ConferenceRole`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleText {
    Participant,
    Monitor,
    Whisper(u64),
}

impl From<ConferenceRole> for RoleText {
    fn from(role: ConferenceRole) -> RoleText {
        match role {
            ConferenceRole::Participant => RoleText::Participant,
            ConferenceRole::Monitor => RoleText::Monitor,
            ConferenceRole::Whisper(to) => RoleText::Whisper(to.0),
        }
    }
}

impl From<RoleText> for ConferenceRole {
    fn from(role: RoleText) -> ConferenceRole {
        match role {
            RoleText::Participant => ConferenceRole::Participant,
            RoleText::Monitor => ConferenceRole::Monitor,
            RoleText::Whisper(to) => ConferenceRole::Whisper(LegId(to)),
        }
    }
}

/// An [`App`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AppText {
    Echo,
    Tone,
    Record,
    Ringback,
    Hold,
    Program,
}

impl From<App> for AppText {
    fn from(app: App) -> AppText {
        match app {
            App::Echo => AppText::Echo,
            App::Tone => AppText::Tone,
            App::Record => AppText::Record,
            App::Ringback => AppText::Ringback,
            App::Hold => AppText::Hold,
            App::Program => AppText::Program,
        }
    }
}

impl From<AppText> for App {
    fn from(app: AppText) -> App {
        match app {
            AppText::Echo => App::Echo,
            AppText::Tone => App::Tone,
            AppText::Record => App::Record,
            AppText::Ringback => App::Ringback,
            AppText::Hold => App::Hold,
            AppText::Program => App::Program,
        }
    }
}

/// An [`Audio`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AudioText {
    /// Name and clock, as in rtpmap.
    codec: (String, u32),
    payload_type: u8,
    receive_payload_type: u8,
    /// Payload types and clock.
    event: Option<(u8, u8, u32)>,
    /// Payload types of comfort noise.
    noise: Option<(u8, u8)>,
    dtx: bool,
    ptime_us: u64,
    remote_rtp: SocketAddr,
    remote_rtcp: SocketAddr,
    rtcp_mux: bool,
    sends: bool,
    receives: bool,
    /// Without the keys nothing of an encrypted leg could be replayed.
    srtp: Option<KeysText>,
}

/// Suite, our key and the far end's, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeysText(String, String, String);

impl From<SrtpKeys> for KeysText {
    fn from(keys: SrtpKeys) -> KeysText {
        let text = |key: MasterKey| {
            let (bytes, length) = key.key_and_salt();
            hex::encode(&bytes[..length])
        };
        KeysText(keys.send.suite().name().to_owned(), text(keys.send), text(keys.receive))
    }
}

impl KeysText {
    fn keys(&self) -> Option<SrtpKeys> {
        let suite = Suite::ALL.into_iter().find(|suite| suite.name() == self.0)?;
        let key = |text: &str| MasterKey::new(suite, &hex::decode(text).ok()?);
        Some(SrtpKeys { send: key(&self.1)?, receive: key(&self.2)? })
    }
}

impl From<&Audio> for AudioText {
    fn from(audio: &Audio) -> AudioText {
        AudioText {
            codec: (audio.codec.name().to_owned(), audio.codec.clock().0),
            payload_type: audio.payload_type,
            receive_payload_type: audio.receive_payload_type,
            event: audio.telephone_event.map(|e| (e.payload_type, e.receive_payload_type, e.clock.0)),
            noise: audio.comfort_noise.map(|noise| (noise.payload_type, noise.receive_payload_type)),
            dtx: audio.dtx,
            ptime_us: audio.ptime.0.as_micros() as u64,
            remote_rtp: audio.remote_rtp,
            remote_rtcp: audio.remote_rtcp,
            rtcp_mux: audio.rtcp_mux,
            sends: audio.direction.sends(),
            receives: audio.direction.receives(),
            srtp: audio.srtp.map(KeysText::from),
        }
    }
}

impl AudioText {
    /// `None`: no codec or key of ours, or packets of a length that nobody agrees on.
    pub(super) fn audio(&self) -> Option<Audio> {
        if !PTIME_US.contains(&self.ptime_us) {
            return None;
        }
        let (name, clock) = (self.codec.0.as_str(), self.codec.1);
        let channels = if name.eq_ignore_ascii_case("opus") { 2 } else { 1 };
        Some(Audio {
            codec: Codec::of(&RtpMap { name, clock, channels })?,
            payload_type: self.payload_type,
            receive_payload_type: self.receive_payload_type,
            telephone_event: self.event.map(|(payload_type, receive_payload_type, clock)| TelephoneEventFormat {
                payload_type,
                receive_payload_type,
                clock: ClockRate(clock),
            }),
            comfort_noise: self
                .noise
                .map(|(payload_type, receive_payload_type)| ComfortNoiseFormat { payload_type, receive_payload_type }),
            dtx: self.dtx,
            ptime: Ptime(std::time::Duration::from_micros(self.ptime_us)),
            remote_rtp: self.remote_rtp,
            remote_rtcp: self.remote_rtcp,
            rtcp_mux: self.rtcp_mux,
            direction: match (self.sends, self.receives) {
                (true, true) => Direction::SendRecv,
                (true, false) => Direction::SendOnly,
                (false, true) => Direction::RecvOnly,
                (false, false) => Direction::Inactive,
            },
            srtp: match &self.srtp {
                Some(text) => Some(text.keys()?),
                None => None,
            },
        })
    }
}

impl Entry {
    /// A datagram that came by a leg's socket.
    pub(crate) fn datagram(slot: Slot, socket: Socket, from: SocketAddr, bytes: &[u8]) -> Entry {
        Entry::Datagram { slot: slot.0, socket: socket.into(), from, bytes: Hex(bytes.to_vec()) }
    }

    /// A datagram that was given to be sent.
    pub(crate) fn sent(slot: Slot, socket: Socket, to: SocketAddr, bytes: &[u8]) -> Entry {
        Entry::Sent { slot: slot.0, socket: socket.into(), to, bytes: Hex(bytes.to_vec()) }
    }

    /// A command's line; `None` for those whose outcome is noted as they are done, or that change nothing.
    pub(crate) fn command(command: &WorkerCommand) -> Option<Entry> {
        Some(match command {
            WorkerCommand::LegOpen { leg, media: LegMedia::Rtp { audio, nat, .. }, .. } => {
                Entry::Open { leg: leg.0, audio: audio.as_ref().map(AudioText::from), nat: *nat }
            }
            WorkerCommand::RtpUpdate { leg, audio } => Entry::Update { leg: leg.0, audio: audio.into() },
            WorkerCommand::Bridge { a, b } => Entry::Bridge { a: a.0, b: b.0 },
            WorkerCommand::Unbridge { leg } => Entry::Unbridge { leg: leg.0 },
            WorkerCommand::App { leg, app } => Entry::App { leg: leg.0, app: app.map(AppText::from) },
            WorkerCommand::Tap { leg, .. } => Entry::Tap { leg: leg.0 },
            WorkerCommand::Play { leg, segment, rate, samples, last } => {
                Entry::Play { leg: leg.0, segment: *segment, hz: rate.hz(), samples: samples.to_vec(), last: *last }
            }
            WorkerCommand::StopPlay { leg, segment } => Entry::StopPlay { leg: leg.0, segment: *segment },
            WorkerCommand::Mute { leg, muted } => Entry::Mute { leg: leg.0, muted: *muted },
            WorkerCommand::SendDtmf { leg, digit, duration_ms } => {
                Entry::Press { leg: leg.0, digit: *digit, duration_ms: *duration_ms }
            }
            WorkerCommand::ConferenceJoin { conference, leg, role } => {
                Entry::Join { conference: conference.0, leg: leg.0, role: (*role).into() }
            }
            // What is no number has no form in JSON, and is refused anyway.
            WorkerCommand::ConferenceGain { gain: Some(gain), .. } if !gain.is_finite() => return None,
            WorkerCommand::ConferenceGain { from, to, gain } => Entry::Gain { from: from.0, to: to.0, gain: *gain },
            WorkerCommand::ConferenceLeave { leg } => Entry::Leave { leg: leg.0 },
            WorkerCommand::Overhear { leg, of } => {
                Entry::Overhear { leg: leg.0, of: of.iter().map(|other| other.0).collect() }
            }
            WorkerCommand::MediaTimeout { leg, after } => {
                Entry::DeadAfter { leg: leg.0, ms: after.map(|span| span.as_millis() as u64) }
            }
            WorkerCommand::LegClose { leg } => Entry::Close { leg: leg.0 },
            WorkerCommand::LegOpen { .. }
            | WorkerCommand::LegEvents { .. }
            | WorkerCommand::Untap { .. }
            | WorkerCommand::WebRtcAnswer { .. }
            | WorkerCommand::WebRtcReoffer { .. }
            | WorkerCommand::Census { .. } => return None,
        })
    }

    /// An event that was told.
    pub(crate) fn told(event: &WorkerEvent) -> Entry {
        let LegId(leg) = event.leg;
        let event = match &event.kind {
            // Its time is the engine's, which is another one at every run.
            WorkerEventKind::PlayStarted { segment, .. } => format!("PlayStarted {{ segment: {segment} }}"),
            kind => format!("{kind:?}"),
        };
        Entry::Told { leg, event }
    }
}
