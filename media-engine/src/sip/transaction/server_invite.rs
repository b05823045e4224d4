//! INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).
//!
//! ```text
//!   Proceeding ──our 2xx──▶ Accepted ──L──▶ end       copies of the INVITE are absorbed; the user repeats the 2xx
//!        └──our 3xx-6xx──▶ Completed ──ACK──▶ Confirmed ──I──▶ end
//!                              │ G: again, H: give up
//! ```

use std::time::Instant;

use super::{Effects, Pace, Resend, StatusClass};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerInvite {
    /// 100 or another provisional response has been sent.
    Proceeding,
    /// A failure has been sent and waits for its ACK. Timers G and H.
    Completed(Resend),
    /// The ACK has arrived; its copies are absorbed. Timer I.
    Confirmed { until: Instant },
    /// A 2xx has been sent. Timer L.
    Accepted { until: Instant },
}

impl ServerInvite {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            ServerInvite::Proceeding => None,
            ServerInvite::Completed(resend) => Some(resend.deadline()),
            ServerInvite::Confirmed { until } | ServerInvite::Accepted { until } => Some(*until),
        }
    }

    /// Handles a copy of the INVITE.
    pub(crate) fn on_request(self) -> (Option<ServerInvite>, Effects) {
        match self {
            ServerInvite::Proceeding | ServerInvite::Completed(_) => (Some(self), Effects::TRANSMIT),
            ServerInvite::Confirmed { .. } | ServerInvite::Accepted { .. } => (Some(self), Effects::NONE),
        }
    }

    /// Handles the user's response, which the endpoint has stored already.
    pub(crate) fn on_answer(self, class: StatusClass, now: Instant, pace: &Pace) -> (Option<ServerInvite>, Effects) {
        match (self, class) {
            (ServerInvite::Proceeding, StatusClass::Provisional) => (Some(self), Effects::TRANSMIT),
            (ServerInvite::Proceeding, StatusClass::Success) => {
                (Some(ServerInvite::Accepted { until: now + pace.timers.give_up() }), Effects::TRANSMIT)
            }
            (ServerInvite::Proceeding, StatusClass::Failure) => {
                (Some(ServerInvite::Completed(Resend::start(now, pace))), Effects::TRANSMIT)
            }
            (_, _) => (Some(self), Effects::NONE),
        }
    }

    /// Handles an ACK with the INVITE's branch: it acknowledges a failure.
    pub(crate) fn on_ack(self, now: Instant, pace: &Pace) -> (Option<ServerInvite>, Effects) {
        match self {
            ServerInvite::Completed(_) => {
                let lingering = pace.linger(now, pace.timers.t4).map(|until| ServerInvite::Confirmed { until });
                (lingering, Effects::NONE)
            }
            _ => (Some(self), Effects::NONE),
        }
    }

    pub(crate) fn on_timer(self, now: Instant, pace: &Pace) -> (Option<ServerInvite>, Effects) {
        match self {
            ServerInvite::Proceeding => (Some(self), Effects::NONE),
            ServerInvite::Completed(resend) if resend.until <= now => (None, Effects::TIMED_OUT),
            ServerInvite::Completed(mut resend) => {
                let again = resend.due(now, pace.timers.t2);
                let effects = if again { Effects::TRANSMIT } else { Effects::NONE };
                (Some(ServerInvite::Completed(resend)), effects)
            }
            ServerInvite::Confirmed { until } | ServerInvite::Accepted { until } => {
                ((now < until).then_some(self), Effects::NONE)
            }
        }
    }
}
