//! Determines per direction whether sound flows on a leg, and if not, why, so that one-way audio can be explained.
//!
//! ```text
//! arrivals ─▶ FlowWatch::on_* (a time stamp each, nothing else per packet)
//!                   │ once a second
//!                   ▼
//!              FlowWatch::check ─▶ Flow { incoming, outgoing }, when it changed
//! ```
//!
//! Invariants: nothing here decides what happens to a packet; only the texts allocate. A state changes at most once a
//! second, except for a far end that becomes unreachable, which is reported at once. Evidence of a fault (foreign
//! packets, wrong payload types) counts only while no valid packet arrives, so a stranger who sends junk to a working
//! leg changes nothing.
//!
//! Not here: delivery of the reports (the switch), and the rating of quality (`rtcp::mos`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::rtcp::FarEnd;
use crate::sdp::Codec;

/// The stream flows if a valid packet came within this time. Opus sends one each 400 ms even while silent.
const FLOWING: Duration = Duration::from_secs(2);
/// A far end that checks its path (ICE) is unreachable when nothing at all has arrived for this long: media arrives
/// each 20 ms, each 400 ms while Opus is silent; without media, there are its checks, and its answers to ours.
const REACHED: Duration = Duration::from_secs(1);
/// Time for which a fault is remembered, and for which a stream may pause before it is reported as stopped.
const EVIDENCE: Duration = Duration::from_secs(5);
/// Packets without sound for this long count as silence.
const SILENT: Duration = Duration::from_secs(5);
/// Three intervals of RTCP (RFC 3550 section 6.3.5 counts five for members), after which a report counts as missing.
const REPORTED: Duration = Duration::from_secs(15);
/// Share of lost packets above which the far end is said to report loss, and below which it no longer is.
const LOSS: f64 = 0.05;
const LOSS_OVER: f64 = 0.03;
/// Interval, in packets, at which a payload is checked for sound.
const LOOK_EVERY: u8 = 10;
/// Time for which no check is needed after sound was found.
const LOOKED: Duration = Duration::from_secs(1);
/// Highest sample value that counts as silence: −62 dBFS, two steps of G.711 around zero.
const QUIET_PEAK: u16 = 24;

/// State of the media from the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The far end may not send: on hold or send-only.
    OnHold,
    /// No packet has arrived since the leg was connected, or since hold ended.
    NoPacketsYet,
    /// Packets arrive from an address that the description does not name.
    WrongAddress {
        /// Address that the packets come from.
        from: SocketAddr,
        /// Address that the description names, or that valid packets came from before.
        expected: Option<SocketAddr>,
    },
    /// Packets arrive that the leg's keys do not decrypt.
    Undecryptable,
    /// Packets arrive with a payload type that was not negotiated.
    WrongPayloadType {
        /// Payload type of the packets.
        payload_type: u8,
        /// Negotiated payload type.
        expected: u8,
    },
    /// Packets flow, but contain no sound.
    Silence,
    /// Packets with sound flow.
    Flowing,
    /// Packets arrived earlier, and have stopped.
    Stopped,
    /// Packets arrived earlier, but nothing arrives any more, not even connectivity checks.
    Unreachable,
}

/// State of the media to the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// We may not send: on hold or receive-only.
    OnHold,
    /// There is nothing to send: no audio is generated for the leg, or its media path is not ready yet.
    NothingToSend,
    /// Packets are sent, and no problem is reported.
    Sending,
    /// Packets are sent, and the far end reports that many are lost.
    LossReported {
        /// Lost share of packets, according to the last report.
        percent: u8,
    },
    /// Packets are sent, and no report about them arrives.
    NothingReported {
        /// Whether the far end sends RTCP at all.
        rtcp: bool,
    },
}

/// State of both directions of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// State of the media from the far end.
    pub incoming: Incoming,
    /// State of the media to the far end.
    pub outgoing: Outgoing,
}

impl Incoming {
    /// Names of all states, in the order of [`Incoming::index`].
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

    /// Returns the state's index in [`Incoming::WORDS`].
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

    /// Returns the state's name for API and metrics.
    pub fn word(&self) -> &'static str {
        Incoming::WORDS[self.index()]
    }

    /// Returns an explanation for a supervisor; `None` when all is well.
    pub fn detail(&self) -> Option<String> {
        Some(match self {
            Incoming::Flowing => return None,
            Incoming::OnHold => "the far end has put the call on hold, or only listens".into(),
            Incoming::NoPacketsYet => "no packet has arrived from the far end yet".into(),
            Incoming::WrongAddress { from, expected: Some(expected) } => {
                format!("packets come from {from}, not from {expected}")
            }
            Incoming::WrongAddress { from, expected: None } => {
                format!("packets come from {from}, which the SDP does not name")
            }
            Incoming::Undecryptable => "packets arrive, but the negotiated keys do not decrypt them".into(),
            Incoming::WrongPayloadType { payload_type, expected } => {
                format!("packets carry payload type {payload_type} instead of the negotiated {expected}")
            }
            Incoming::Silence => {
                "packets contain no sound: the far end is muted, has a dead microphone, or has announced a pause".into()
            }
            Incoming::Stopped => "packets have stopped, though the call is not on hold".into(),
            Incoming::Unreachable => {
                "nothing arrives any more, not even connectivity checks: the network is down".into()
            }
        })
    }
}

impl Outgoing {
    /// Names of all states, in the order of [`Outgoing::index`].
    pub const WORDS: [&'static str; 5] =
        ["on_hold", "nothing_to_send", "sending", "far_end_reports_loss", "far_end_reports_nothing"];

    /// Returns the state's index in [`Outgoing::WORDS`].
    pub fn index(&self) -> usize {
        match self {
            Outgoing::OnHold => 0,
            Outgoing::NothingToSend => 1,
            Outgoing::Sending => 2,
            Outgoing::LossReported { .. } => 3,
            Outgoing::NothingReported { .. } => 4,
        }
    }

    /// Returns the state's name for API and metrics.
    pub fn word(&self) -> &'static str {
        Outgoing::WORDS[self.index()]
    }

    /// Returns an explanation for a supervisor; `None` when all is well.
    pub fn detail(&self) -> Option<String> {
        Some(match self {
            Outgoing::Sending => return None,
            Outgoing::OnHold => "the far end has put the call on hold, or does not listen".into(),
            Outgoing::NothingToSend => "there is no audio for this leg, or its media path is not ready yet".into(),
            Outgoing::LossReported { percent } => format!("the far end reports a loss of {percent} % of our packets"),
            Outgoing::NothingReported { rtcp: false } => {
                "the far end sends no RTCP, so it is unknown whether it receives our packets".into()
            }
            Outgoing::NothingReported { rtcp: true } => {
                "the far end's reports do not mention our packets: they may not reach it".into()
            }
        })
    }
}

/// State of the leg at the time of a check.
#[derive(Clone, Copy, Debug)]
pub struct LegView {
    /// Whether the media path is connected.
    pub connected: bool,
    /// Whether the far end may send.
    pub receives: bool,
    /// Whether we may send.
    pub sends: bool,
    /// Packets sent since the leg began.
    pub sent: u64,
    /// Source of packets according to the description; `None` if any source is accepted.
    pub expected: Option<SocketAddr>,
    /// Negotiated payload type of incoming audio.
    pub payload_type: u8,
    /// Reports of the far end.
    pub far_end: FarEnd,
    /// Whether [`FlowWatch::on_reached`] is called for reports and connectivity checks, so that silence means an
    /// unreachable far end.
    pub checked: bool,
}

/// Observer of one leg. See the module head.
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
    /// Records a valid packet.
    pub fn on_valid(&mut self, now: Instant) {
        self.valid_at = Some(now);
        if self.first_at.is_none() {
            self.first_at = Some(now);
        }
    }

    /// Records a report or connectivity check that proves that the far end is reachable.
    pub fn on_reached(&mut self, now: Instant) {
        self.reached_at = Some(now);
    }

    /// Records a media packet from an address that is not the leg's. Of several sources the first is kept.
    pub fn on_foreign(&mut self, from: SocketAddr, now: Instant) {
        match self.foreign {
            Some((at, known)) if known != from && now.saturating_duration_since(at) < EVIDENCE => {}
            _ => self.foreign = Some((now, from)),
        }
    }

    /// Records a packet that the keys do not decrypt.
    pub fn on_undecryptable(&mut self, now: Instant) {
        self.undecryptable_at = Some(now);
    }

    /// Records a packet with a payload type that was not negotiated.
    pub fn on_wrong_type(&mut self, payload_type: u8, now: Instant) {
        self.wrong_type = Some((now, payload_type));
    }

    /// Records that the far end announced a pause (comfort noise), so that missing packets count as silence.
    pub fn on_pause(&mut self) {
        self.pausing = true;
    }

    /// Records that audio arrived, which ends a pause.
    pub fn on_audio(&mut self) {
        self.pausing = false;
    }

    /// Records that the media contains sound, or that this cannot be determined.
    pub fn on_sound(&mut self, now: Instant) {
        self.sound_at = Some(now);
    }

    /// Whether the media should be checked for sound now. To be called once per frame or packet.
    pub fn wants_look(&mut self, now: Instant) -> bool {
        self.looks = (self.looks + 1) % LOOK_EVERY;
        self.looks == 0 && self.sound_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOKED)
    }

    /// Returns the state as it was last reported.
    pub fn flow(&self) -> Option<Flow> {
        self.flow
    }

    /// Whether a far end whose checks are recorded has just fallen silent, so that [`FlowWatch::check`] is due at once.
    pub fn fell_silent(&self, now: Instant) -> bool {
        self.is_silent(now)
            && self.flow.is_some_and(|flow| matches!(flow.incoming, Incoming::Flowing | Incoming::Silence))
    }

    fn is_silent(&self, now: Instant) -> bool {
        let heard_at = self.valid_at.max(self.reached_at);
        self.valid_at.is_some() && heard_at.is_some_and(|at| now.saturating_duration_since(at) >= REACHED)
    }

    /// Evaluates both directions, to be called once a second; returns the state if it has changed.
    pub fn check(&mut self, leg: &LegView, now: Instant) -> Option<Flow> {
        let flow = Flow { incoming: self.incoming(leg, now), outgoing: self.outgoing(leg, now) };
        // Only the kind of state and the address matter: a share of loss varies with every report.
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
            // Packets after hold are evaluated afresh.
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
        // Evidence from before the last valid packet explains nothing.
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

/// Whether a packet's payload is silent, for codecs where this is visible without decoding; `None` for the others.
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
        // RFC 6716 section 3.1: a packet of one or two bytes carries no frame, which is how DTX signals silence.
        Codec::Opus if payload.len() <= 2 => Some(true),
        _ => None,
    }
}

/// Whether decoded samples are silent: no sample is louder than −62 dBFS.
pub fn is_silent(samples: &[i16]) -> bool {
    samples.iter().all(|sample| sample.unsigned_abs() <= QUIET_PEAK)
}

#[cfg(test)]
mod tests;
