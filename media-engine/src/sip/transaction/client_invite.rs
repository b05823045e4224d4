//! INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2).
//!
//! ```text
//!   Calling ──1xx──▶ Proceeding ──2xx──▶ Accepted ──M──▶ end        every 2xx goes to the user, who sends its ACK
//!      │ A: again, B: give up  └──3xx-6xx──▶ Completed ──D──▶ end   every copy is acknowledged here
//! ```

use std::time::Instant;

use super::{Effects, Pace, Resend, StatusClass};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientInvite {
    /// The request has been sent and has no response. Timers A and B.
    Calling(Resend),
    /// A provisional response has arrived.
    Proceeding,
    /// A 2xx has arrived; copies and forked ones may follow. Timer M.
    Accepted { until: Instant },
    /// A failure has arrived; copies may follow. Timer D.
    Completed { until: Instant },
}

impl ClientInvite {
    /// Starts the transaction; the request is being sent now.
    pub(crate) fn start(now: Instant, pace: &Pace) -> ClientInvite {
        ClientInvite::Calling(Resend::start(now, pace))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            ClientInvite::Calling(resend) => Some(resend.deadline()),
            ClientInvite::Proceeding => None,
            ClientInvite::Accepted { until } | ClientInvite::Completed { until } => Some(*until),
        }
    }

    pub(crate) fn on_response(self, class: StatusClass, now: Instant, pace: &Pace) -> (Option<ClientInvite>, Effects) {
        use ClientInvite::{Accepted, Calling, Completed, Proceeding};
        match (self, class) {
            (Calling(_) | Proceeding, StatusClass::Provisional) => (Some(Proceeding), Effects::DELIVER),
            (Calling(_) | Proceeding, StatusClass::Success) => {
                (Some(Accepted { until: now + pace.timers.give_up() }), Effects::DELIVER)
            }
            (Calling(_) | Proceeding, StatusClass::Failure) => {
                let lingering = pace.linger(now, pace.timers.give_up()).map(|until| Completed { until });
                (lingering, Effects { acknowledge: true, ..Effects::DELIVER })
            }
            (Accepted { .. }, StatusClass::Success) => (Some(self), Effects::DELIVER),
            // The kept message is the ACK by now.
            (Completed { .. }, StatusClass::Failure) => (Some(self), Effects::TRANSMIT),
            (Accepted { .. } | Completed { .. }, _) => (Some(self), Effects::NONE),
        }
    }

    pub(crate) fn on_timer(self, now: Instant) -> (Option<ClientInvite>, Effects) {
        match self {
            ClientInvite::Calling(resend) if resend.until <= now => (None, Effects::TIMED_OUT),
            ClientInvite::Calling(mut resend) => {
                // Timer A doubles without a bound below B (section 17.1.1.2).
                let again = resend.due(now, resend.interval * 2);
                let effects = if again { Effects::TRANSMIT } else { Effects::NONE };
                (Some(ClientInvite::Calling(resend)), effects)
            }
            ClientInvite::Proceeding => (Some(self), Effects::NONE),
            ClientInvite::Accepted { until } | ClientInvite::Completed { until } => {
                ((now < until).then_some(self), Effects::NONE)
            }
        }
    }
}
