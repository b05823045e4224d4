//! What an endpoint hands to its driver: messages, events, orders for connections, and the time of its next action.
//!
//! ```text
//!   machines ─▶ transmit, event, connect, close ─▶ queue ─▶ poll ─▶ driver
//!           └─▶ rearm, cancel ─▶ timers ─▶ expire ─▶ the owner that the Timeout names
//! ```
//! It owns the queue of outputs, the timers of everything in the endpoint, and the count of refusals for lack of room.
//! The machines of the endpoint get it as an argument and keep only the keys of their timers.
//!
//! - Outputs leave in the order in which they came.
//! - A timer that was cancelled or rearmed does not expire at its old time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::command::DialogId;
use super::event::{SipEvent, SipOutput};
use super::ids::{ClientId, ServerId};
use crate::sip::flow::{Flow, FlowId};
use crate::sip::trunk::TrunkIndex;
use crate::sip::wheel::{TimerKey, TimerWheel};

/// Capacity above which an empty queue gives its memory back.
const RETAINED: usize = 4096;

/// The owner of an expired timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    Client(ClientId),
    Server(ServerId),
    Leg(DialogId),
    Session(DialogId),
    /// Retry of an offer of ours.
    Offer(DialogId),
    /// A REFER of ours whose progress the peer does not report.
    Refer(DialogId),
    /// A registration of our own, by its index.
    Register(usize),
    /// The trunk destination that a call is trying has not responded.
    Attempt(DialogId),
    /// The next health probe of a trunk.
    Probe(TrunkIndex),
}

/// Outputs that the driver has not taken yet, and all timers.
pub(super) struct Outbox {
    queue: VecDeque<SipOutput>,
    wheel: TimerWheel<Timeout>,
    overflows: u64,
}

impl Outbox {
    pub(super) fn new() -> Outbox {
        Outbox { queue: VecDeque::new(), wheel: TimerWheel::new(), overflows: 0 }
    }

    pub(super) fn transmit(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.queue.push_back(SipOutput::Transmit { flow, bytes });
    }

    pub(super) fn event(&mut self, event: SipEvent) {
        self.queue.push_back(SipOutput::Event(event));
    }

    /// Reports that a message was refused.
    pub(super) fn refused(&mut self, flow: &Flow, why: &'static str) {
        self.event(SipEvent::Refused { peer: flow.peer, why });
    }

    /// Has a connection opened; `server_name` is the name that the certificate of a TLS peer must be for.
    pub(super) fn connect(&mut self, flow: Flow, server_name: String) {
        self.queue.push_back(SipOutput::Connect { flow, server_name });
    }

    /// Has a connection closed that we opened.
    pub(super) fn close(&mut self, flow: FlowId) {
        self.queue.push_back(SipOutput::CloseFlow(flow));
    }

    /// Counts a refusal for lack of room.
    pub(super) fn overflow(&mut self) {
        self.overflows += 1;
    }

    /// Returns the number of refusals for lack of room so far.
    pub(super) fn overflows(&self) -> u64 {
        self.overflows
    }

    /// Moves a timer to `deadline`, or cancels it for `None`.
    pub(super) fn rearm(
        &mut self,
        timer: &mut Option<TimerKey>,
        deadline: Option<Instant>,
        now: Instant,
        timeout: Timeout,
    ) {
        self.cancel(timer);
        *timer = deadline.map(|at| self.wheel.arm(now, at.saturating_duration_since(now), timeout));
    }

    /// Moves a timer to the end of `delay`.
    pub(super) fn rearm_after(
        &mut self,
        timer: &mut Option<TimerKey>,
        delay: Duration,
        now: Instant,
        timeout: Timeout,
    ) {
        self.rearm(timer, Some(now + delay), now, timeout);
    }

    /// Cancels a timer, if it is armed.
    pub(super) fn cancel(&mut self, timer: &mut Option<TimerKey>) {
        if let Some(key) = timer.take() {
            self.wheel.cancel(key);
        }
    }

    /// Takes one timer that is due; its owner forgets its key.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Timeout> {
        self.wheel.expire(now)
    }

    /// Returns a time not after the first timer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Returns the number of armed timers.
    pub(super) fn timer_count(&self) -> usize {
        self.wheel.len()
    }

    /// Takes the oldest output.
    pub(super) fn poll(&mut self) -> Option<SipOutput> {
        let output = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > RETAINED {
            self.queue = VecDeque::new();
        }
        output
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Steps of the timers so far: unlike time, the same number on every machine.
    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.wheel.steps
    }

    /// Takes all outputs that are events.
    #[cfg(test)]
    pub(super) fn drain_events(&mut self) -> Vec<SipEvent> {
        let event = |output| if let SipOutput::Event(event) = output { Some(event) } else { None };
        self.queue.drain(..).filter_map(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    #[test]
    fn outputs_leave_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::new();
        outbox.event(SipEvent::Unreachable { dialog: DialogId(1) });
        outbox.close(FlowId(7));
        outbox.event(SipEvent::Reachable { dialog: DialogId(1) });
        assert!(matches!(outbox.poll(), Some(SipOutput::Event(SipEvent::Unreachable { .. }))));
        assert_eq!(outbox.poll(), Some(SipOutput::CloseFlow(FlowId(7))));
        assert!(!outbox.is_empty());
        assert!(matches!(outbox.poll(), Some(SipOutput::Event(SipEvent::Reachable { .. }))));
        assert!(outbox.poll().is_none() && outbox.is_empty());
    }

    #[test]
    fn a_rearmed_timer_expires_only_at_its_new_time() {
        let (mut outbox, now, mut timer) = (Outbox::new(), test_epoch(), None);
        let (second, timeout) = (Duration::from_secs(1), Timeout::Register(3));
        outbox.rearm_after(&mut timer, second, now, timeout);
        outbox.rearm_after(&mut timer, second * 3, now, timeout);
        assert_eq!((outbox.timer_count(), outbox.expire(now + second * 2)), (1, None));
        assert_eq!(outbox.expire(now + second * 3), Some(timeout));
        outbox.rearm_after(&mut timer, second, now + second * 3, timeout);
        outbox.cancel(&mut timer);
        assert_eq!((timer, outbox.timer_count(), outbox.next()), (None, 0, None));
    }
}
