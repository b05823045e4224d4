//! A leg's media as it is stored and shown: its quality and the flow of its audio.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::{Flow, LegQuality, Rating};

/// Media quality of a leg since it began, reported every 5 s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// Packets received from the far end.
    pub packets_received: u64,
    /// Packets sent to the far end.
    pub packets_sent: u64,
    /// Packets that never arrived.
    pub packets_lost: u64,
    /// Packets that arrived too late to be played.
    pub packets_late: u64,
    /// Interarrival jitter of received packets (RFC 3550), in milliseconds.
    pub jitter_ms: f64,
    /// Round-trip time, if the far end's reports contain it, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Rating of the audio from the far end, as received here.
    #[serde(default)]
    pub incoming: Score,
    /// Rating of the audio to the far end, as the far end reports it.
    #[serde(default)]
    pub outgoing: Score,
}

/// Rating of one direction. Fields are null if no packets came or the far end reported nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// Estimated MOS-CQE of the last 5 s: 1 to 4.5, by ITU-T G.107; 4.41 is perfect.
    pub mos: Option<f64>,
    /// Estimated MOS-CQE over the whole call.
    pub mos_call: Option<f64>,
    /// Packets lost or late in the last 5 s, in percent; for outgoing audio, as the far end reports.
    pub loss_percent: Option<f64>,
    /// Packets lost or late over the whole call, in percent.
    pub loss_percent_call: Option<f64>,
    /// Interarrival jitter (RFC 3550), in milliseconds.
    pub jitter_ms: Option<f64>,
    /// One-way delay from mouth to ear as far as it is known, in milliseconds: half the round trip, one packet, the
    /// codec's look-ahead, the jitter buffer (twice the jitter if the buffer is the far end's).
    pub delay_ms: Option<f64>,
}

/// Flow of audio on a leg, per direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LegFlow {
    /// Audio from the far end: `flowing`, or the reason why not: `no_packets_yet`, `wrong_address`, `undecryptable`,
    /// `wrong_payload_type`, `silence`, `stopped`, `unreachable`, `on_hold`.
    pub incoming: FlowState,
    /// Audio to the far end: `sending`, or more precisely `far_end_reports_loss`, `far_end_reports_nothing`,
    /// `nothing_to_send`, `on_hold`.
    pub outgoing: FlowState,
}

/// State of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowState {
    /// Name of the state, as listed for the direction.
    #[schema(example = "wrong_address")]
    pub state: String,
    /// Explanation in one sentence; null when all is well.
    #[schema(example = "packets come from 192.0.2.7:4000, not from 192.0.2.1:4000")]
    pub detail: Option<String>,
}

impl From<&LegQuality> for Quality {
    fn from(quality: &LegQuality) -> Quality {
        Quality {
            packets_received: quality.packets_received,
            packets_sent: quality.packets_sent,
            packets_lost: quality.packets_lost,
            packets_late: quality.packets_late,
            jitter_ms: rounded(quality.jitter_ms),
            round_trip_ms: quality.round_trip_ms.map(rounded),
            incoming: (&quality.incoming).into(),
            outgoing: (&quality.outgoing).into(),
        }
    }
}

impl From<&Rating> for Score {
    fn from(rating: &Rating) -> Score {
        let percent = |share: f32| rounded(share * 100.0);
        Score {
            mos: rating.mos.map(rounded),
            mos_call: rating.mos_call.map(rounded),
            loss_percent: rating.loss.map(percent),
            loss_percent_call: rating.loss_call.map(percent),
            jitter_ms: rating.jitter_ms.map(rounded),
            delay_ms: rating.delay_ms.map(rounded),
        }
    }
}

impl From<&Flow> for LegFlow {
    fn from(flow: &Flow) -> LegFlow {
        let state = |word: &str, detail| FlowState { state: word.into(), detail };
        LegFlow {
            incoming: state(flow.incoming.word(), flow.incoming.detail()),
            outgoing: state(flow.outgoing.word(), flow.outgoing.detail()),
        }
    }
}

/// Rounds to two decimal places, which is enough for a reader.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}
