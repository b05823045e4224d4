//! Transactions (RFC 3261 section 17, as corrected by RFC 6026).
//!
//! ```text
//!   message ─▶ key ─▶ state ── on_* ──▶ (next state or its end, Effects) ─▶ endpoint: send, deliver, arm one timer
//! ```
//!
//! Each of the four machines is an enum whose states hold their own deadlines; its transitions are pure functions.
//!
//! - Every state but `Proceeding` has a deadline; the endpoint ends a transaction that stays in `Proceeding` too long.
//! - A machine never holds a message: the endpoint keeps the one that a state may send again.
//!
//! Not here: tables, matching and timers (`endpoint`), retransmission of 2xx until ACK (`endpoint`, RFC 3261 13.3.1.4).

mod client_invite;
mod client_non_invite;
mod server_invite;
mod server_non_invite;

use std::time::{Duration, Instant};

pub(crate) use client_invite::ClientInvite;
pub(crate) use client_non_invite::ClientNonInvite;
pub(crate) use server_invite::ServerInvite;
pub(crate) use server_non_invite::ServerNonInvite;

/// The three base times from which all timers follow (RFC 3261 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round trip: 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions of everything except INVITE requests: 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network: 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// Returns the time of timers B, F, H, L, M, and J and D over UDP: 32 s with the standard T1.
    pub fn give_up(&self) -> Duration {
        self.t1 * 64
    }
}

/// The times of one transaction on its transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) timers: Timers,
    /// Whether the transport itself ensures delivery: nothing is retransmitted and no copies need absorbing.
    pub(crate) reliable: bool,
}

impl Pace {
    /// Returns until when copies of a message may arrive: for `span` over UDP, not at all over a reliable transport.
    fn linger(&self, now: Instant, span: Duration) -> Option<Instant> {
        if self.reliable { None } else { Some(now + span) }
    }
}

/// The actions of the endpoint after a transition, in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Send the kept message (again).
    pub(crate) transmit: bool,
    /// Make the ACK for a non-2xx response, keep it and send it.
    pub(crate) acknowledge: bool,
    /// Pass the message to the transaction's user.
    pub(crate) deliver: bool,
    /// Report to the user that no response (client) or no ACK (server) has arrived.
    pub(crate) timed_out: bool,
}

impl Effects {
    pub(crate) const NONE: Effects = Effects { transmit: false, acknowledge: false, deliver: false, timed_out: false };
    const TRANSMIT: Effects = Effects { transmit: true, ..Effects::NONE };
    const DELIVER: Effects = Effects { deliver: true, ..Effects::NONE };
    const TIMED_OUT: Effects = Effects { timed_out: true, ..Effects::NONE };
}

/// The kinds of responses that the machines distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusClass {
    /// Status 100 to 199.
    Provisional,
    /// Status 200 to 299.
    Success,
    /// Status 300 to 699.
    Failure,
}

impl StatusClass {
    pub(crate) fn of(status: u16) -> StatusClass {
        match status {
            ..200 => StatusClass::Provisional,
            200..300 => StatusClass::Success,
            _ => StatusClass::Failure,
        }
    }
}

/// A message that is retransmitted at growing intervals until a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resend {
    /// Time of the next transmission; `None` over reliable transports.
    next: Option<Instant>,
    interval: Duration,
    /// Time at which it is given up.
    pub(crate) until: Instant,
}

impl Resend {
    /// Starts with a first retransmission after T1, if `pace` is not reliable; given up after 64·T1.
    pub(crate) fn start(now: Instant, pace: &Pace) -> Resend {
        let interval = pace.timers.t1;
        let next = if pace.reliable { None } else { Some(now + interval) };
        Resend { next, interval, until: now + pace.timers.give_up() }
    }

    /// Returns the time of the next action.
    pub(crate) fn deadline(&self) -> Instant {
        self.next.map_or(self.until, |next| next.min(self.until))
    }

    /// Returns whether to send now; doubles the interval up to `longest`.
    pub(crate) fn due(&mut self, now: Instant, longest: Duration) -> bool {
        match self.next {
            Some(next) if next <= now => {
                self.interval = (self.interval * 2).min(longest);
                self.next = Some(now + self.interval);
                true
            }
            _ => false,
        }
    }

    /// Sends at the slowest rate from now on (RFC 3261 section 17.1.2.2: after a provisional response).
    fn slow_down(&mut self, now: Instant, longest: Duration) {
        if self.next.is_some() {
            self.interval = longest;
            self.next = Some(now + longest);
        }
    }
}

#[cfg(test)]
mod tests;
