//! What is known of a leg's media, as it is kept and shown: its quality and whether its sound flows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::{Flow, LegQuality, Rating};

/// A leg's media since it began, told every 5 s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// Packets received.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets that never came.
    pub packets_lost: u64,
    /// Packets that came too late to be played.
    pub packets_late: u64,
    /// Interarrival jitter of what comes (RFC 3550), in milliseconds.
    pub jitter_ms: f64,
    /// Round trip, when the far end's reports tell it, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// What comes from the far end, as we receive it.
    #[serde(default)]
    pub incoming: Score,
    /// What goes to the far end, as it reports.
    #[serde(default)]
    pub outgoing: Score,
}

/// What one direction is worth. Null where nothing came, or nobody told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// Estimated MOS-CQE of the last 5 s: 1 to 4.5, by ITU-T G.107; 4.41 is perfect.
    pub mos: Option<f64>,
    /// The same over the whole call.
    pub mos_call: Option<f64>,
    /// Lost or late in the last 5 s, in percent; outgoing: as the far end reports.
    pub loss_percent: Option<f64>,
    /// Lost or late over the whole call, in percent.
    pub loss_percent_call: Option<f64>,
    /// Interarrival jitter, in milliseconds.
    pub jitter_ms: Option<f64>,
    /// One way from mouth to ear as far as it is known: half the round trip, one packet, the codec's look-ahead, the jitter
    /// buffer (twice the jitter where the buffer is not ours).
    pub delay_ms: Option<f64>,
}

/// Whether sound flows on a leg, per direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LegFlow {
    /// From the far end. `flowing`, or why not: `no_packets_yet`, `wrong_address`, `undecryptable`,
    /// `wrong_payload_type`, `silence`, `stopped`, `unreachable`, `on_hold`.
    pub incoming: FlowState,
    /// To the far end. `sending`, or what is known besides: `far_end_reports_loss`, `far_end_reports_nothing`,
    /// `nothing_to_send`, `on_hold`.
    pub outgoing: FlowState,
}

/// One direction's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowState {
    /// Which.
    #[schema(example = "wrong_address")]
    pub state: String,
    /// What to know about it, in a sentence; null when all is well.
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

/// Two digits behind the point: what a reader can use.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}
