//! Server transaction of any request except INVITE and ACK (RFC 3261 section 17.2.2).
//!
//! ```text
//!   Trying ──our final answer──▶ Completed ──J──▶ end
//! ```
//! No provisional responses are sent here (RFC 4320 section 4.1).

use std::time::Instant;

use super::{Effects, Pace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerNonInvite {
    /// The user has not answered yet; copies are absorbed.
    Trying,
    /// The final response has been sent; copies get it again. Timer J.
    Completed { until: Instant },
}

impl ServerNonInvite {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            ServerNonInvite::Trying => None,
            ServerNonInvite::Completed { until } => Some(*until),
        }
    }

    /// Handles a copy of the request.
    pub(crate) fn on_request(self) -> (Option<ServerNonInvite>, Effects) {
        match self {
            ServerNonInvite::Trying => (Some(self), Effects::NONE),
            ServerNonInvite::Completed { .. } => (Some(self), Effects::TRANSMIT),
        }
    }

    /// Handles the user's final response, which the endpoint has stored already.
    pub(crate) fn on_answer(self, now: Instant, pace: &Pace) -> (Option<ServerNonInvite>, Effects) {
        match self {
            ServerNonInvite::Trying => {
                let lingering = pace.linger(now, pace.timers.give_up());
                (lingering.map(|until| ServerNonInvite::Completed { until }), Effects::TRANSMIT)
            }
            ServerNonInvite::Completed { .. } => (Some(self), Effects::NONE),
        }
    }

    pub(crate) fn on_timer(self, now: Instant) -> (Option<ServerNonInvite>, Effects) {
        match self {
            ServerNonInvite::Completed { until } if until <= now => (None, Effects::NONE),
            _ => (Some(self), Effects::NONE),
        }
    }
}
