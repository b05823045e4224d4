//! Reliable provisional responses that we send (RFC 3262 section 3).
//!
//! ```text
//!   Progress ─▶ queue ─▶ one waits ── PRACK ──▶ the next one; a delayed Accept is sent
//!                          └─ T1, 2·T1, … 64·T1: 504, the call ends
//! ```
//!
//! - A session description is sent reliably to a caller that supports 100rel, and every progress to one that requires
//!   it; one at a time waits for its PRACK.
//! - A 2xx waits for the PRACK of a session description (section 5), so both sides agree on what was answered.
//! - For an INVITE without an offer, the first session description that we send is an offer, and its PRACK brings the
//!   answer.
//!
//! Not here: reliable responses of a callee (`early`).

use std::collections::VecDeque;
use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, SDP, SUPPORTED, has_option};
use super::command::DialogId;
use super::event::SipEvent;
use super::legs::{Leg, LegState, PeerOffer, Ringing};
use super::outbox::Timeout;
use super::requests::{BadBody, session_description};
use crate::sip::flow::Flow;
use crate::sip::header::{Name, parse_digits};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{Pace, Resend};
use crate::sip::write::{ResponseBuilder, ResponseHead};

/// Most progress that may queue behind a response without its PRACK.
const MAX_QUEUED: usize = 8;

/// The provisional response that a PRACK acknowledges; its method is always INVITE here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RAck {
    pub(super) rseq: u32,
    pub(super) cseq: u32,
}

impl RAck {
    fn of(prack: &Message<'_>) -> Option<RAck> {
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
    pub(super) settled: bool,
    /// Our latest session description that was sent reliably: once both sides know offer and answer, it defines the
    /// session, whatever the engine accepts the call with.
    pub(super) said: Option<String>,
    /// The engine's answer to the call, held back.
    pub(super) accepted: Option<String>,
}

/// A response that was sent and has no PRACK yet.
struct Waiting {
    resend: Resend,
    reply: Flow,
    bytes: Vec<u8>,
    described: bool,
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
}

impl Ringing {
    /// Returns whether a 2xx has to wait: for the PRACK of a session description, or for the engine's answer to an
    /// offer.
    pub(super) fn holds_back(&self) -> bool {
        self.peer_offer.is_some() || self.reliable.waiting.as_ref().is_some_and(|waiting| waiting.described)
    }

    /// Returns the time of the next action.
    fn deadline(&self) -> Instant {
        let resend = self.reliable.waiting.as_ref().map(|waiting| waiting.resend.deadline());
        resend.map_or(self.until, |at| at.min(self.until))
    }
}

impl Endpoint {
    /// Sends ringing or early media for the engine.
    pub(super) fn progress(&mut self, id: DialogId, status: u16, sdp: Option<String>, now: Instant) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        let Ringing { wants_offer, reliable, .. } = &mut *ringing;
        if !(101..200).contains(&status) || reliable.accepted.is_some() {
            return;
        }
        // An offer of ours must be delivered for certain (RFC 3261 section 13.2.1).
        let uncertain_offer = *wants_offer && reliable.demand == Demand::Nothing;
        let sdp = sdp.filter(|_| !(reliable.described || uncertain_offer));
        match (reliable.demand, &sdp) {
            // The first reliable response to an INVITE without an offer has to make one (section 5).
            (Demand::Everything, None) if *wants_offer && !reliable.described => {}
            (Demand::Everything, _) | (Demand::Descriptions, Some(_)) => {
                if reliable.queue.len() >= MAX_QUEUED {
                    self.out.overflow();
                    return;
                }
                reliable.described |= sdp.is_some();
                reliable.queue.push_back((status, sdp));
                self.send_next_progress(id, now);
            }
            _ => {
                let (server, contact) = (ringing.invite, ringing.dialog.contact.clone());
                self.send_progress(server, &contact, (status, sdp), None, now);
            }
        }
    }

    fn send_progress(
        &mut self,
        server: super::ids::ServerId,
        contact: &str,
        (status, sdp): (u16, Option<String>),
        rseq: Option<u32>,
        now: Instant,
    ) -> Option<(Flow, Vec<u8>)> {
        let finish = |response: ResponseBuilder, head: &ResponseHead| {
            let response = response.record_routes(head).header("Contact", contact).header("Allow", ALLOW);
            let response = match rseq {
                Some(rseq) => response.header("Require", "100rel").header("RSeq", rseq),
                None => response,
            };
            match sdp {
                Some(sdp) => response.body(SDP, sdp),
                None => response,
            }
        };
        self.respond(server, status, None, finish, now)
    }

    /// Sends what is queued, unless a response waits for its PRACK.
    fn send_next_progress(&mut self, id: DialogId, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Ringing(ringing) = &mut leg.state
            && ringing.reliable.waiting.is_none()
            && let Some((status, sdp)) = ringing.reliable.queue.pop_front()
        {
            let reliable = &mut ringing.reliable;
            reliable.rseq += 1;
            let described = sdp.is_some();
            if described {
                reliable.said.clone_from(&sdp);
            }
            let (rseq, contact) = (Some(reliable.rseq), &ringing.dialog.contact);
            let sent = self.send_progress(ringing.invite, contact, (status, sdp), rseq, now);
            // Repeated over reliable transports too, as proxies may lose it (section 3).
            let pace = Pace { timers: self.config.timers, reliable: false };
            let resend = Resend::start(now, &pace);
            reliable.waiting = sent.map(|(reply, bytes)| Waiting { resend, reply, bytes, described });
        }
        self.watch_ringing(&mut leg, now);
        self.legs.put(leg);
    }

    /// Arms the leg's timer for a call that rings.
    pub(super) fn watch_ringing(&mut self, leg: &mut Leg, now: Instant) {
        let LegState::Ringing(ringing) = &leg.state else { return };
        let deadline = Some(ringing.deadline());
        self.out.rearm(&mut leg.timer, deadline, now, Timeout::Leg(leg.id));
    }

    /// Handles a ringing call's timer: the call was not answered, or a PRACK is late.
    pub(super) fn ringing_timer(&mut self, id: DialogId, now: Instant) {
        let give_up = self.config.timers.give_up();
        let Some(ringing) = self.legs.ringing(id) else { return };
        if ringing.until <= now {
            return self.end_ringing(id, 480, (None, Some("the call was not answered")), now);
        }
        if let Some(waiting) = &mut ringing.reliable.waiting {
            if waiting.resend.until <= now {
                return self.end_ringing(id, 504, (None, Some("no PRACK was received")), now);
            }
            // Doubles without a bound below 64·T1 (section 3).
            if waiting.resend.due(now, give_up) {
                let (reply, bytes) = (waiting.reply, waiting.bytes.clone());
                self.transmit(reply, bytes);
            }
        }
        let Some(mut leg) = self.legs.take(id) else { return };
        self.watch_ringing(&mut leg, now);
        self.legs.put(leg);
    }

    /// Handles a PRACK whose CSeq is in order.
    pub(super) fn receive_prack(&mut self, flow: &Flow, prack: &Message<'_>, id: DialogId, now: Instant) {
        let rack = RAck::of(prack);
        let meant = match self.legs.get_mut(id).map(|leg| &mut leg.state) {
            Some(LegState::Ringing(ringing)) => ringing.reliable.outstanding(ringing.cseq),
            Some(LegState::Talking(talking)) => talking.unpracked.take_if(|unpracked| Some(*unpracked) == rack),
            _ => None,
        };
        if rack.is_none() || meant != rack {
            return self.refuse_in_dialog(flow, prack, id, (481, "prack"), now);
        }
        let sdp = match session_description(prack) {
            Ok(sdp) => sdp,
            Err(BadBody(status)) => return self.refuse_in_dialog(flow, prack, id, (status, "body"), now),
        };
        let Some(ringing) = self.legs.ringing(id) else {
            return self.answer(flow, prack, self.response(flow, prack, 200), now);
        };
        let described = ringing.reliable.waiting.as_ref().is_some_and(|waiting| waiting.described);
        match (described && ringing.wants_offer, sdp) {
            (true, None) => self.refuse_in_dialog(flow, prack, id, (400, "prack_without_answer"), now),
            (true, Some(sdp)) => {
                self.answer(flow, prack, self.response(flow, prack, 200), now);
                self.event(SipEvent::ReinviteAnswered { dialog: id, sdp });
                self.provisional_acknowledged(id, now);
            }
            (false, None) => {
                self.answer(flow, prack, self.response(flow, prack, 200), now);
                self.provisional_acknowledged(id, now);
            }
            (false, Some(_)) if !(described || ringing.reliable.settled) || self.full_for(flow).is_some() => {
                self.refuse_in_dialog(flow, prack, id, (488, "prack_offer"), now);
            }
            (false, Some(sdp)) => {
                let server = self.open_non_invite(flow, prack, Method::Prack, id);
                let Some(ringing) = self.legs.ringing(id) else { return };
                let session = ringing.session;
                ringing.peer_offer = Some(PeerOffer { server, cseq: 0, is_invite: false, session });
                self.event(SipEvent::Reoffer { dialog: id, sdp });
                self.provisional_acknowledged(id, now);
            }
        }
    }

    fn provisional_acknowledged(&mut self, id: DialogId, now: Instant) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        let reliable = &mut ringing.reliable;
        reliable.settled |= reliable.waiting.take().is_some_and(|waiting| waiting.described);
        if reliable.accepted.is_none() {
            return self.send_next_progress(id, now);
        }
        self.send_held_answer(id, now);
    }

    /// Sends the engine's 2xx if nothing holds it back any more.
    pub(super) fn send_held_answer(&mut self, id: DialogId, now: Instant) {
        let Some(ringing) = self.legs.ringing(id).filter(|ringing| !ringing.holds_back()) else { return };
        if let Some(sdp) = ringing.reliable.accepted.take() {
            self.accept(id, sdp, now);
        }
    }

    /// Handles an UPDATE before our answer to the call (RFC 3311 section 5.2): with an offer only once the first one is
    /// settled.
    pub(super) fn receive_early_update(
        &mut self,
        flow: &Flow,
        update: &Message<'_>,
        id: DialogId,
        sdp: String,
        now: Instant,
    ) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        let refusal = match &ringing.reliable {
            _ if ringing.peer_offer.is_some() => Some((500, "offer_pending")),
            reliable if reliable.settled => None,
            reliable if ringing.wants_offer && reliable.described => Some((491, "glare")),
            _ => Some((500, "invite_pending")),
        };
        if let Some(refusal) = refusal {
            return self.refuse_in_dialog(flow, update, id, refusal, now);
        }
        let session = ringing.session;
        let server = self.open_non_invite(flow, update, Method::Update, id);
        if let Some(ringing) = self.legs.ringing(id) {
            ringing.peer_offer = Some(PeerOffer { server, cseq: 0, is_invite: false, session });
            self.event(SipEvent::Reoffer { dialog: id, sdp });
        }
    }

    /// Sends the engine's answer (`Ok`) or refusal to an offer that arrived before our answer to the call.
    pub(super) fn answer_ringing_offer(&mut self, id: DialogId, verdict: Result<String, u16>, now: Instant) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        let Some(offer) = ringing.peer_offer.take() else { return };
        let contact = ringing.dialog.contact.clone();
        if let Ok(answer) = &verdict {
            ringing.reliable.said = Some(answer.clone());
        }
        self.answer_update(offer.server, &contact, verdict, now);
        self.send_held_answer(id, now);
    }

    /// Answers the peer's UPDATE or PRACK that made an offer.
    pub(super) fn answer_update(
        &mut self,
        server: super::ids::ServerId,
        contact: &str,
        verdict: Result<String, u16>,
        now: Instant,
    ) {
        let finish = |response: ResponseBuilder, sdp: String| {
            let response = response.header("Contact", contact).header("Allow", ALLOW);
            response.header("Supported", SUPPORTED).body(SDP, sdp)
        };
        match verdict {
            Ok(sdp) => self.respond(server, 200, None, |response, _| finish(response, sdp), now),
            Err(status) => self.respond(server, status, None, |response, _| response, now),
        };
    }
}
