//! Whether sound flows on a leg, per direction, and if not, why: one-way audio is explained, not suffered.
//!
//! ```text
//! what came ─▶ FlowWatch::on_* (a time stamp each, nothing else per packet)
//!                   │ once a second
//!                   ▼
//!              FlowWatch::check ─▶ Flow { incoming, outgoing }, when it changed
//! ```
//!
//! Invariants: nothing here decides what happens to a packet; nothing allocates but the texts. A state changes at most once a
//! second, but for a far end that is out of reach, which is told as soon as it is known. Evidence of a fault (foreign packets, wrong payload types) counts only while no valid packet comes: a stranger
//! who sends junk to a leg that works changes nothing.
//!
//! Not here: who takes the numbers (the switch), what they are worth (`rtcp::mos`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::rtcp::FarEnd;
use crate::sdp::Codec;

/// Valid packets within this: the stream flows. Opus sends one each 400 ms even while silent.
const FLOWING: Duration = Duration::from_secs(2);
/// A far end that sends checks of its path (ICE) is out of reach when nothing at all has come for this long: media comes each 20 ms,
/// each 400 ms while Opus is silent; without media there are its checks, and its answers to ours.
const REACHED: Duration = Duration::from_secs(1);
/// How long a fault is remembered, and how long a stream may pause before it is told as stopped.
const EVIDENCE: Duration = Duration::from_secs(5);
/// Packets without sound for this long are silence.
const SILENT: Duration = Duration::from_secs(5);
/// Three intervals of RTCP (RFC 3550 section 6.3.5 counts five for members): after these, no report is one that is missing.
const REPORTED: Duration = Duration::from_secs(15);
/// Lost share from which on the far end reports loss, and below which it does not any more.
const LOSS: f64 = 0.05;
const LOSS_OVER: f64 = 0.03;
/// How often a packet's payload is looked at for sound, in packets.
const LOOK_EVERY: u8 = 10;
/// Sound that was seen makes looking needless for this long.
const LOOKED: Duration = Duration::from_secs(1);
/// Samples up to this are silence: −62 dBFS, two steps of G.711 around zero.
const QUIET_PEAK: u16 = 24;

/// What comes from the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The far end may not send: held, or send-only.
    OnHold,
    /// Nothing has come since the leg was up, or since hold ended.
    NoPacketsYet,
    /// Packets come from somewhere else than the description says.
    WrongAddress {
        /// Where they come from.
        from: SocketAddr,
        /// What the description said, or where valid packets came from before.
        expected: Option<SocketAddr>,
    },
    /// Packets come that the leg's keys do not open.
    Undecryptable,
    /// Packets come with a payload type that was not agreed.
    WrongPayloadType {
        /// What they carry.
        payload_type: u8,
        /// What was agreed.
        expected: u8,
    },
    /// Packets flow, but there is no sound in them.
    Silence,
    /// Sound flows.
    Flowing,
    /// Packets came, and have stopped.
    Stopped,
    /// Packets came, and nothing comes any more, not even checks of the path.
    Unreachable,
}

/// What goes to the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// We may not send: held, or receive-only.
    OnHold,
    /// There is nothing to send: nobody speaks to the leg, or its media path is not up yet.
    NothingToSend,
    /// Packets leave.
    Sending,
    /// Packets leave, and the far end misses many of them.
    LossReported {
        /// How many, as it last said.
        percent: u8,
    },
    /// Packets leave, and no report about them comes back.
    NothingReported {
        /// The far end does send RTCP.
        rtcp: bool,
    },
}

/// Both directions of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// From the far end.
    pub incoming: Incoming,
    /// To the far end.
    pub outgoing: Outgoing,
}

impl Incoming {
    /// The words of all states, in the order of [`Incoming::index`].
    pub const WORDS: [&'static str; 9] = [
        "on_hold",
        "no_packets_yet",
        "wrong_address",
        "undecryptable",
        "wrong_payload_type",
        "silence",
        "flowing",
        "stopped",
        "unreachable",
    ];

    /// Which of [`Incoming::WORDS`] it is.
    pub fn index(&self) -> usize {
        match self {
            Incoming::OnHold => 0,
            Incoming::NoPacketsYet => 1,
            Incoming::WrongAddress { .. } => 2,
            Incoming::Undecryptable => 3,
            Incoming::WrongPayloadType { .. } => 4,
            Incoming::Silence => 5,
            Incoming::Flowing => 6,
            Incoming::Stopped => 7,
            Incoming::Unreachable => 8,
        }
    }

    /// The word for API and metrics.
    pub fn word(&self) -> &'static str {
        Incoming::WORDS[self.index()]
    }

    /// What a supervisor should know; `None` when all is well.
    pub fn detail(&self) -> Option<String> {
        Some(match self {
            Incoming::Flowing => return None,
            Incoming::OnHold => "the far end has put the call on hold, or only listens".into(),
            Incoming::NoPacketsYet => "not one packet has come from the far end".into(),
            Incoming::WrongAddress { from, expected: Some(expected) } => {
                format!("packets come from {from}, not from {expected}")
            }
            Incoming::WrongAddress { from, expected: None } => {
                format!("packets come from {from}, which the SDP does not name")
            }
            Incoming::Undecryptable => "packets come, but the keys that were agreed do not open them".into(),
            Incoming::WrongPayloadType { payload_type, expected } => {
                format!("packets carry payload type {payload_type}, SDP said {expected}")
            }
            Incoming::Silence => {
                "there is no sound in what comes: muted, or a dead microphone; or the far end has told of a pause"
                    .into()
            }
            Incoming::Stopped => "packets came, and have stopped without hold".into(),
            Incoming::Unreachable => "nothing comes any more, not even checks of the path: the network is gone".into(),
        })
    }
}

impl Outgoing {
    /// The words of all states, in the order of [`Outgoing::index`].
    pub const WORDS: [&'static str; 5] =
        ["on_hold", "nothing_to_send", "sending", "far_end_reports_loss", "far_end_reports_nothing"];

    /// Which of [`Outgoing::WORDS`] it is.
    pub fn index(&self) -> usize {
        match self {
            Outgoing::OnHold => 0,
            Outgoing::NothingToSend => 1,
            Outgoing::Sending => 2,
            Outgoing::LossReported { .. } => 3,
            Outgoing::NothingReported { .. } => 4,
        }
    }

    /// The word for API and metrics.
    pub fn word(&self) -> &'static str {
        Outgoing::WORDS[self.index()]
    }

    /// What a supervisor should know; `None` when all is well.
    pub fn detail(&self) -> Option<String> {
        Some(match self {
            Outgoing::Sending => return None,
            Outgoing::OnHold => "the far end has put the call on hold, or does not listen".into(),
            Outgoing::NothingToSend => "nobody speaks to this leg, or its media path is not up yet".into(),
            Outgoing::LossReported { percent } => format!("the far end misses {percent} % of what is sent to it"),
            Outgoing::NothingReported { rtcp: false } => {
                "the far end sends no RTCP: whether it hears us cannot be told".into()
            }
            Outgoing::NothingReported { rtcp: true } => {
                "the far end's reports do not mention our packets: they may not reach it".into()
            }
        })
    }
}

/// What the leg knows of itself when its flow is checked.
#[derive(Clone, Copy, Debug)]
pub struct LegView {
    /// The media path is up.
    pub connected: bool,
    /// The far end may send.
    pub receives: bool,
    /// We may send.
    pub sends: bool,
    /// Packets sent since the start.
    pub sent: u64,
    /// Where the description says that packets come from; `None` where any source would do.
    pub expected: Option<SocketAddr>,
    /// Agreed payload type of incoming audio.
    pub payload_type: u8,
    /// What the far end told.
    pub far_end: FarEnd,
    /// Reports and checks of the path are noticed too ([`FlowWatch::on_reached`]): without any, the far end is out of reach.
    pub checked: bool,
}

/// Watches one leg. See the module head.
#[derive(Clone, Debug, Default)]
pub struct FlowWatch {
    valid_at: Option<Instant>,
    reached_at: Option<Instant>,
    sound_at: Option<Instant>,
    first_at: Option<Instant>,
    foreign: Option<(Instant, SocketAddr)>,
    undecryptable_at: Option<Instant>,
    wrong_type: Option<(Instant, u8)>,
    pausing: bool,
    looks: u8,
    sent_before: u64,
    sent_at: Option<Instant>,
    sending_since: Option<Instant>,
    flow: Option<Flow>,
}

impl FlowWatch {
    /// A valid packet came.
    pub fn on_valid(&mut self, now: Instant) {
        self.valid_at = Some(now);
        if self.first_at.is_none() {
            self.first_at = Some(now);
        }
    }

    /// A report or a check of the path came that proves that the far end is there.
    pub fn on_reached(&mut self, now: Instant) {
        self.reached_at = Some(now);
    }

    /// A packet of media came from an address that is not the leg's. Of several sources the first is kept.
    pub fn on_foreign(&mut self, from: SocketAddr, now: Instant) {
        match self.foreign {
            Some((at, known)) if known != from && now.saturating_duration_since(at) < EVIDENCE => {}
            _ => self.foreign = Some((now, from)),
        }
    }

    /// A packet came that the keys do not open.
    pub fn on_undecryptable(&mut self, now: Instant) {
        self.undecryptable_at = Some(now);
    }

    /// A packet came with a payload type that was not agreed.
    pub fn on_wrong_type(&mut self, payload_type: u8, now: Instant) {
        self.wrong_type = Some((now, payload_type));
    }

    /// The far end told that it pauses (comfort noise): what does not come now is silence.
    pub fn on_pause(&mut self) {
        self.pausing = true;
    }

    /// Audio came: a pause, if there was one, is over.
    pub fn on_audio(&mut self) {
        self.pausing = false;
    }

    /// There is sound in what comes, or no way to know.
    pub fn on_sound(&mut self, now: Instant) {
        self.sound_at = Some(now);
    }

    /// Whether what comes should be looked at for sound now; asked once per frame or packet.
    pub fn wants_look(&mut self, now: Instant) -> bool {
        self.looks = (self.looks + 1) % LOOK_EVERY;
        self.looks == 0 && self.sound_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOKED)
    }

    /// The state as it was last told.
    pub fn flow(&self) -> Option<Flow> {
        self.flow
    }

    /// Whether a far end of which everything is noticed has just fallen silent: to be judged now.
    pub fn fell_silent(&self, now: Instant) -> bool {
        self.is_silent(now)
            && self.flow.is_some_and(|flow| matches!(flow.incoming, Incoming::Flowing | Incoming::Silence))
    }

    fn is_silent(&self, now: Instant) -> bool {
        let heard_at = self.valid_at.max(self.reached_at);
        self.valid_at.is_some() && heard_at.is_some_and(|at| now.saturating_duration_since(at) >= REACHED)
    }

    /// Judges both directions, to be called once a second; gives the state when it is another than before.
    pub fn check(&mut self, leg: &LegView, now: Instant) -> Option<Flow> {
        let flow = Flow { incoming: self.incoming(leg, now), outgoing: self.outgoing(leg, now) };
        // Only the kind of state and the address are news: a share of loss wobbles with every report.
        let same = self.flow.is_some_and(|before| {
            let address = |incoming: &Incoming| match incoming {
                Incoming::WrongAddress { from, .. } => Some(*from),
                _ => None,
            };
            before.incoming.index() == flow.incoming.index()
                && address(&before.incoming) == address(&flow.incoming)
                && before.outgoing.index() == flow.outgoing.index()
        });
        if same {
            return None;
        }
        self.flow = Some(flow);
        Some(flow)
    }

    fn incoming(&mut self, leg: &LegView, now: Instant) -> Incoming {
        if !leg.receives {
            // What comes after hold is judged anew.
            (self.valid_at, self.first_at, self.sound_at, self.pausing) = (None, None, None, false);
            (self.undecryptable_at, self.wrong_type, self.foreign) = (None, None, None);
            return Incoming::OnHold;
        }
        let within = |at: Option<Instant>, span| at.is_some_and(|at| now.saturating_duration_since(at) < span);
        if leg.checked && self.is_silent(now) {
            return Incoming::Unreachable;
        }
        if within(self.valid_at, FLOWING) {
            let heard = within(self.sound_at.max(self.first_at), SILENT);
            return if heard { Incoming::Flowing } else { Incoming::Silence };
        }
        // What came before the last valid packet explains nothing.
        let proves = |at: Instant| within(Some(at), EVIDENCE) && self.valid_at.is_none_or(|valid| valid < at);
        if self.undecryptable_at.is_some_and(proves) {
            return Incoming::Undecryptable;
        }
        if let Some((at, payload_type)) = self.wrong_type
            && proves(at)
        {
            return Incoming::WrongPayloadType { payload_type, expected: leg.payload_type };
        }
        if let Some((at, from)) = self.foreign
            && proves(at)
        {
            return Incoming::WrongAddress { from, expected: leg.expected };
        }
        match (self.valid_at, self.flow) {
            (None, _) => Incoming::NoPacketsYet,
            (Some(_), _) if self.pausing => Incoming::Silence,
            (Some(_), Some(before)) if within(self.valid_at, EVIDENCE) && before.incoming != Incoming::Unreachable => {
                before.incoming
            }
            (Some(_), _) => Incoming::Stopped,
        }
    }

    fn outgoing(&mut self, leg: &LegView, now: Instant) -> Outgoing {
        if leg.sent != std::mem::replace(&mut self.sent_before, leg.sent) {
            self.sent_at = Some(now);
            self.sending_since = self.sending_since.or(Some(now));
        }
        let within = |at: Option<Instant>, span| at.is_some_and(|at| now.saturating_duration_since(at) < span);
        if !leg.sends {
            self.sending_since = None;
            return Outgoing::OnHold;
        }
        if !leg.connected || !within(self.sent_at, FLOWING) {
            self.sending_since = None;
            return Outgoing::NothingToSend;
        }
        let FarEnd { loss, reported_at, heard_at, .. } = leg.far_end;
        if !within(reported_at, REPORTED) {
            let early = within(self.sending_since, REPORTED);
            return if early {
                Outgoing::Sending
            } else {
                Outgoing::NothingReported { rtcp: within(heard_at, REPORTED) }
            };
        }
        let lossy = matches!(self.flow, Some(Flow { outgoing: Outgoing::LossReported { .. }, .. }));
        if loss >= if lossy { LOSS_OVER } else { LOSS } {
            return Outgoing::LossReported { percent: (loss * 100.0).round() as u8 };
        }
        Outgoing::Sending
    }
}

/// Whether a packet's payload is silent, for codecs of which that can be seen without decoding; `None` for the others.
pub fn is_silent_payload(codec: Codec, payload: &[u8]) -> Option<bool> {
    match codec {
        // µ-law: zero is 0xff and 0x7f, and the magnitude grows as the lower seven bits fall.
        Codec::Pcmu => Some(payload.iter().all(|byte| byte & 0x7f >= 0x7d)),
        // A-law: alternate bits are inverted; magnitudes of 8 and 24.
        Codec::Pcma => Some(payload.iter().all(|byte| (byte ^ 0x55) & 0x7f <= 1)),
        Codec::L16 { .. } => {
            let samples = payload.as_chunks::<2>().0;
            Some(samples.iter().all(|&bytes| i16::from_be_bytes(bytes).unsigned_abs() <= QUIET_PEAK))
        }
        // RFC 6716 section 3.1: a packet of one or two bytes carries no frame, which is how DTX says nothing.
        Codec::Opus if payload.len() <= 2 => Some(true),
        _ => None,
    }
}

/// Whether decoded samples are silent.
pub fn is_silent(samples: &[i16]) -> bool {
    samples.iter().all(|sample| sample.unsigned_abs() <= QUIET_PEAK)
}

#[cfg(test)]
mod tests;
