//! Which provisional responses of ours to one INVITE are reliable, their order and their repetition (RFC 3262 section 3).
//!
//! ```text
//!   progress ─▶ queue ─▶ next ─▶ sent: one waits ── acknowledged ──▶ next …, or the answer that was held back
//!                                   └─ due at T1, 2·T1, … 64·T1: given up
//! ```
//! [`Reliable`] owns the numbers, the queue, the response that waits for its PRACK, and the engine's answer while it is
//! held back.
//!
//! - A session description is sent reliably to a caller that supports 100rel, and every progress to one that requires
//!   it; one at a time waits for its PRACK.
//! - At most one session description is sent before the answer (section 5); both sides agree on it once its PRACK has
//!   arrived.
//! - For an INVITE without an offer, the first session description that we send is an offer, and its PRACK brings the
//!   answer.
//!
//! Not here: the responses themselves (`provisional`), reliable responses of a callee (`early`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::abilities::has_option;
use crate::sip::flow::Flow;
use crate::sip::header::{Name, parse_digits};
use crate::sip::message::Message;
use crate::sip::transaction::{Pace, Resend, Timers};

/// Most progress that may queue behind a response without its PRACK.
const MAX_QUEUED: usize = 8;

/// The provisional response that a PRACK acknowledges; its method is always INVITE here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RAck {
    pub(super) rseq: u32,
    pub(super) cseq: u32,
}

impl RAck {
    pub(super) fn of(prack: &Message<'_>) -> Option<RAck> {
        let mut fields = prack.header(Name::RAck)?.split_ascii_whitespace();
        let (rseq, cseq) = (parse_digits(fields.next()?)?, parse_digits(fields.next()?)?);
        (fields.next() == Some("INVITE") && fields.next().is_none()).then_some(RAck { rseq, cseq })
    }
}

/// Provisional responses that a caller wants to acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Nothing,
    Descriptions,
    Everything,
}

/// The reliable side of an incoming call's provisional responses.
pub(super) struct Reliable {
    demand: Demand,
    /// RSeq of the last one sent.
    rseq: u32,
    waiting: Option<Waiting>,
    queue: VecDeque<(u16, Option<String>)>,
    /// Whether a session description has been sent or queued: no second one may follow (section 5).
    described: bool,
    /// Whether both sides know offer and answer: the 2xx needs none, and UPDATE may make a new offer.
    settled: bool,
    /// Our latest session description that was sent reliably: once both sides know offer and answer, it defines the
    /// session, whatever the engine accepts the call with.
    said: Option<String>,
    /// The engine's answer to the call, held back.
    accepted: Option<String>,
}

/// A response that was sent and has no PRACK yet.
struct Waiting {
    resend: Resend,
    reply: Flow,
    bytes: Vec<u8>,
    described: bool,
}

/// What follows from progress of the engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is left out.
    Nothing,
    /// Too much of it waits already.
    Overflow,
    /// It is sent at once and not acknowledged, with this session description.
    Unreliably(Option<String>),
    /// It is sent when nothing else waits for its PRACK.
    Queued,
}

/// A reliable response that is to be sent now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) status: u16,
    pub(super) sdp: Option<String>,
    pub(super) rseq: u32,
}

/// What is due for the response that waits for its PRACK.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// These bytes are sent once more.
    Repeat(Flow, Vec<u8>),
    /// No PRACK will come.
    GiveUp,
}

impl Reliable {
    /// Reads the demand of the INVITE; numbers count up from `rseq`.
    pub(super) fn of(invite: &Message<'_>, rseq: u32) -> Reliable {
        let demand = match (has_option(invite, Name::Require, "100rel"), has_option(invite, Name::Supported, "100rel"))
        {
            (true, _) => Demand::Everything,
            (false, true) => Demand::Descriptions,
            (false, false) => Demand::Nothing,
        };
        Reliable {
            demand,
            rseq,
            waiting: None,
            queue: VecDeque::new(),
            described: false,
            settled: false,
            said: None,
            accepted: None,
        }
    }

    /// Returns the provisional response whose PRACK may still arrive after a 2xx.
    pub(super) fn outstanding(&self, cseq: u32) -> Option<RAck> {
        self.waiting.as_ref().map(|_| RAck { rseq: self.rseq, cseq })
    }

    /// Takes progress of the engine; `wants_offer` if the INVITE had no offer.
    pub(super) fn progress(&mut self, status: u16, sdp: Option<String>, wants_offer: bool) -> Step {
        if self.accepted.is_some() {
            return Step::Nothing;
        }
        // An offer of ours must be delivered for certain (RFC 3261 section 13.2.1).
        let uncertain_offer = wants_offer && self.demand == Demand::Nothing;
        let sdp = sdp.filter(|_| !(self.described || uncertain_offer));
        match (self.demand, &sdp) {
            // The first reliable response to an INVITE without an offer has to make one (section 5).
            (Demand::Everything, None) if wants_offer && !self.described => Step::Nothing,
            (Demand::Everything, _) | (Demand::Descriptions, Some(_)) => {
                if self.queue.len() >= MAX_QUEUED {
                    return Step::Overflow;
                }
                self.described |= sdp.is_some();
                self.queue.push_back((status, sdp));
                Step::Queued
            }
            _ => Step::Unreliably(sdp),
        }
    }

    /// Takes the next response from the queue, unless one waits for its PRACK.
    pub(super) fn next(&mut self) -> Option<Next> {
        if self.waiting.is_some() {
            return None;
        }
        let (status, sdp) = self.queue.pop_front()?;
        self.rseq += 1;
        if sdp.is_some() {
            self.said.clone_from(&sdp);
        }
        Some(Next { status, sdp, rseq: self.rseq })
    }

    /// Begins to wait for the PRACK of a response that was sent; `described` if it had a session description.
    pub(super) fn sent(&mut self, (reply, bytes): (Flow, Vec<u8>), described: bool, timers: Timers, now: Instant) {
        // Repeated over reliable transports too, as proxies may lose it (section 3).
        let resend = Resend::start(now, &Pace { timers, reliable: false });
        self.waiting = Some(Waiting { resend, reply, bytes, described });
    }

    /// Handles the PRACK of the response that waits for it.
    pub(super) fn acknowledged(&mut self) {
        self.settled |= self.waiting.take().is_some_and(|waiting| waiting.described);
    }

    /// Returns the time at which something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.resend.deadline())
    }

    /// Returns what is due; the interval of repetitions doubles up to `longest`.
    pub(super) fn due(&mut self, now: Instant, longest: Duration) -> Due {
        let Some(waiting) = &mut self.waiting else { return Due::Nothing };
        if waiting.resend.until <= now {
            return Due::GiveUp;
        }
        // Doubles without a bound below 64·T1 (section 3).
        match waiting.resend.due(now, longest) {
            true => Due::Repeat(waiting.reply, waiting.bytes.clone()),
            false => Due::Nothing,
        }
    }

    /// Returns whether a session description waits for its PRACK.
    pub(super) fn awaits_description(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.described)
    }

    /// Returns whether a session description has been sent or queued.
    pub(super) fn is_described(&self) -> bool {
        self.described
    }

    /// Returns whether both sides know offer and answer.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Records our answer to a later offer of the caller.
    pub(super) fn answered_offer(&mut self, sdp: String) {
        self.said = Some(sdp);
    }

    /// Holds back the engine's answer to the call; a second one is left out.
    pub(super) fn hold(&mut self, sdp: String) {
        self.accepted.get_or_insert(sdp);
    }

    pub(super) fn holds_answer(&self) -> bool {
        self.accepted.is_some()
    }

    /// Takes the answer that was held back.
    pub(super) fn release(&mut self) -> Option<String> {
        self.accepted.take()
    }

    /// Returns the session description that defines the session, if both sides know it already.
    pub(super) fn agreed(&mut self) -> Option<String> {
        self.said.take().filter(|_| self.settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::flow::{FlowId, Transport};
    use crate::units::test_epoch;

    const GIVE_UP: Duration = Duration::from_secs(32);

    fn of(extra: &str) -> Reliable {
        let text =
            format!("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n{extra}Content-Length: 0\r\n\r\n");
        Reliable::of(&Message::parse(text.as_bytes()).unwrap(), 7)
    }

    fn flow() -> Flow {
        let address = "192.0.2.1:5060".parse().unwrap();
        Flow { id: FlowId(1), transport: Transport::Udp, local: address, peer: address }
    }

    fn sdp() -> Option<String> {
        Some("v=0".into())
    }

    /// Sends the next response; returns its number.
    fn send(reliable: &mut Reliable, now: Instant) -> Option<u32> {
        let next = reliable.next()?;
        reliable.sent((flow(), vec![1]), next.sdp.is_some(), Timers::default(), now);
        Some(next.rseq)
    }

    #[test]
    fn the_caller_decides_which_progress_is_reliable() {
        for (extra, ringing, media) in [
            ("", Step::Unreliably(None), Step::Unreliably(sdp())),
            ("Supported: 100rel\r\n", Step::Unreliably(None), Step::Queued),
            ("Require: 100rel\r\n", Step::Queued, Step::Queued),
        ] {
            assert_eq!(of(extra).progress(180, None, false), ringing, "{extra}");
            assert_eq!(of(extra).progress(183, sdp(), false), media, "{extra}");
        }
    }

    #[test]
    fn an_offer_of_ours_is_made_once_and_only_reliably() {
        assert_eq!(of("").progress(183, sdp(), true), Step::Unreliably(None));
        let mut reliable = of("Require: 100rel\r\n");
        assert_eq!(reliable.progress(180, None, true), Step::Nothing, "the first one has to make an offer");
        assert_eq!(reliable.progress(183, sdp(), true), Step::Queued);
        assert_eq!(reliable.progress(183, sdp(), true), Step::Queued);
        assert_eq!(reliable.next(), Some(Next { status: 183, sdp: sdp(), rseq: 8 }));
        assert_eq!(reliable.next(), Some(Next { status: 183, sdp: None, rseq: 9 }));
    }

    #[test]
    fn one_at_a_time_waits_and_a_description_settles_the_session() {
        let (mut reliable, now) = (of("Require: 100rel\r\n"), test_epoch());
        reliable.progress(180, None, false);
        reliable.progress(183, sdp(), false);
        assert_eq!((send(&mut reliable, now), send(&mut reliable, now)), (Some(8), None));
        assert!(!reliable.awaits_description());
        reliable.acknowledged();
        assert_eq!((reliable.is_settled(), send(&mut reliable, now)), (false, Some(9)));
        assert!(reliable.awaits_description());
        assert_eq!(reliable.outstanding(5), Some(RAck { rseq: 9, cseq: 5 }));
        reliable.acknowledged();
        assert_eq!((reliable.is_settled(), reliable.agreed(), reliable.outstanding(5)), (true, sdp(), None));
    }

    #[test]
    fn a_response_is_repeated_at_doubling_intervals_and_then_given_up() {
        let (mut reliable, start) = (of("Require: 100rel\r\n"), test_epoch());
        reliable.progress(180, None, false);
        send(&mut reliable, start);
        let mut repeats = Vec::new();
        while let Some(at) = reliable.deadline() {
            match reliable.due(at, GIVE_UP) {
                Due::Repeat(..) => repeats.push((at - start).as_millis()),
                Due::GiveUp => break,
                Due::Nothing => panic!("something is due at the deadline"),
            }
        }
        assert_eq!(repeats, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    }

    #[test]
    fn the_queue_is_bounded_and_ends_with_the_answer() {
        let mut reliable = of("Require: 100rel\r\n");
        for _ in 0..MAX_QUEUED {
            assert_eq!(reliable.progress(180, None, false), Step::Queued);
        }
        assert_eq!(reliable.progress(180, None, false), Step::Overflow);
        reliable.hold("first".into());
        reliable.hold("second".into());
        assert_eq!(reliable.progress(180, None, false), Step::Nothing);
        assert_eq!((reliable.release().as_deref(), reliable.holds_answer()), (Some("first"), false));
    }
}
