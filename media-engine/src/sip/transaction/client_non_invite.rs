//! Client transaction of any request except INVITE and ACK (RFC 3261 section 17.1.2).
//!
//! ```text
//!   Trying ──1xx──▶ Proceeding ──final──▶ Completed ──K──▶ end
//!      │ E: again, F: give up │ E at T2, F
//! ```

use std::time::Instant;

use super::{Effects, Pace, Resend, StatusClass};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientNonInvite {
    /// The request has been sent and has no response. Timers E and F.
    Trying(Resend),
    /// A provisional response has arrived. Timers E (at T2) and F.
    Proceeding(Resend),
    /// The final response has arrived; copies are absorbed. Timer K.
    Completed { until: Instant },
}

impl ClientNonInvite {
    /// Starts the transaction; the request is being sent now.
    pub(crate) fn start(now: Instant, pace: &Pace) -> ClientNonInvite {
        ClientNonInvite::Trying(Resend::start(now, pace))
    }

    pub(crate) fn deadline(&self) -> Instant {
        match self {
            ClientNonInvite::Trying(resend) | ClientNonInvite::Proceeding(resend) => resend.deadline(),
            ClientNonInvite::Completed { until } => *until,
        }
    }

    pub(crate) fn on_response(
        self,
        class: StatusClass,
        now: Instant,
        pace: &Pace,
    ) -> (Option<ClientNonInvite>, Effects) {
        use ClientNonInvite::{Completed, Proceeding, Trying};
        match (self, class) {
            (Trying(mut resend), StatusClass::Provisional) => {
                resend.slow_down(now, pace.timers.t2);
                (Some(Proceeding(resend)), Effects::DELIVER)
            }
            (Proceeding(_), StatusClass::Provisional) => (Some(self), Effects::DELIVER),
            (Trying(_) | Proceeding(_), _) => {
                (pace.linger(now, pace.timers.t4).map(|until| Completed { until }), Effects::DELIVER)
            }
            (Completed { .. }, _) => (Some(self), Effects::NONE),
        }
    }

    pub(crate) fn on_timer(self, now: Instant, pace: &Pace) -> (Option<ClientNonInvite>, Effects) {
        use ClientNonInvite::{Completed, Proceeding, Trying};
        match self {
            Trying(resend) | Proceeding(resend) if resend.until <= now => (None, Effects::TIMED_OUT),
            Trying(mut resend) => {
                let again = resend.due(now, pace.timers.t2);
                (Some(Trying(resend)), if again { Effects::TRANSMIT } else { Effects::NONE })
            }
            Proceeding(mut resend) => {
                let again = resend.due(now, pace.timers.t2);
                (Some(Proceeding(resend)), if again { Effects::TRANSMIT } else { Effects::NONE })
            }
            Completed { until } => ((now < until).then_some(self), Effects::NONE),
        }
    }
}
