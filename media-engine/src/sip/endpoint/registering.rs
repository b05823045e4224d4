//! Our own registrations at trunks (RFC 3261 section 10.2): sent, authenticated by digest, refreshed.
//!
//! ```text
//!   Register ─▶ REGISTER ─ 401/407 ─▶ REGISTER with credentials ─ 2xx ─▶ RegistrationState(ok)
//!                  ▲                                                        │ at 80 % of the granted time
//!                  └────────────────────────────────────────────────────────┘
//! ```
//!
//! A refusal is reported, and tried again after half a minute at the trunk's next destination; the pause doubles up to
//! half an hour.
//! Not here: registrations of others at this endpoint (`registration`).

use std::time::{Duration, Instant};

use super::Endpoint;
use super::challenging::Proof;
use super::event::SipEvent;
use super::outbox::Timeout;
use super::place::Place;
use super::tables::ClientUser;
use crate::sip::flow::{Flow, FlowId};
use crate::sip::header::{Contact, Name, NameAddr};
use crate::sip::message::{Message, Method, parse_delta_seconds};
use crate::sip::transaction::StatusClass;
use crate::sip::trunk::TrunkIndex;
use crate::sip::wheel::TimerKey;
use crate::sip::write::RequestBuilder;

/// Shortest pause before a refresh.
const REFRESH_MIN: Duration = Duration::from_secs(5);

/// Pause after the first refusal; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_secs(30);
/// Longest pause between attempts.
const RETRY_MOST: Duration = Duration::from_secs(1800);

/// One registration of ours.
pub(super) struct OwnRegistration {
    trunk: TrunkIndex,
    user: String,
    password: String,
    expires: Duration,
    /// Destination of the last REGISTER, and its flow.
    to: Option<(Place, Flow)>,
    call_id: String,
    tag: String,
    cseq: u32,
    /// Challenges answered since the last grant: one, and two more if a nonce was stale.
    answered: u8,
    /// Consecutive refusals since the last grant.
    refusals: u32,
    granted: bool,
    /// Whether the last try found no registrar.
    unreached: bool,
    timer: Option<TimerKey>,
}

impl OwnRegistration {
    /// Returns whether its requests use this connection.
    pub(super) fn uses_flow(&self, flow: FlowId) -> bool {
        self.to.as_ref().is_some_and(|(_, own)| own.id == flow)
    }
}

impl Endpoint {
    /// Registers `user` at a trunk; replaces an earlier registration of the same user there.
    pub(super) fn register(&mut self, trunk: String, user: String, password: String, expires: Duration, now: Instant) {
        let Some(index) = self.trunks.find(&trunk) else {
            return self.event(SipEvent::RegistrationState { trunk, user, ok: false, status: 404 });
        };
        let old = self.registrations.iter().position(|known| known.trunk == index && known.user == user);
        let timer = old.and_then(|index| self.registrations[index].timer.take());
        let registration = OwnRegistration {
            trunk: index,
            user,
            password,
            expires,
            to: None,
            call_id: self.tokens.fresh(),
            tag: self.tokens.fresh(),
            cseq: 0,
            answered: 0,
            refusals: 0,
            granted: false,
            unreached: false,
            timer,
        };
        let index = match old {
            Some(index) => {
                self.registrations[index] = registration;
                index
            }
            None => {
                self.registrations.push(registration);
                self.registrations.len() - 1
            }
        };
        self.send_register(index, None, now);
    }

    /// Returns whether every registration at a trunk is granted; `None` if there is none.
    pub(super) fn is_registered(&self, trunk: TrunkIndex) -> Option<bool> {
        let mut of_trunk = self.registrations.iter().filter(|known| known.trunk == trunk).peekable();
        of_trunk.peek()?;
        Some(of_trunk.all(|registration| registration.granted))
    }

    /// Returns whether a registrar has not yet confirmed the removal of our registration.
    pub fn is_unregistering(&self) -> bool {
        self.registrations.iter().any(|registration| registration.granted && registration.expires.is_zero())
    }

    /// Removes all registrations of ours.
    pub(super) fn unregister(&mut self, now: Instant) {
        for index in 0..self.registrations.len() {
            let registration = &mut self.registrations[index];
            registration.expires = Duration::ZERO;
            self.out.cancel(&mut registration.timer);
            if self.registrations[index].granted {
                self.send_register(index, None, now);
            }
        }
    }

    /// Retries waiting registrations at once after a trunk's names have resolved to new addresses.
    pub(super) fn wake_registrations(&mut self, trunk: TrunkIndex, now: Instant) {
        for index in 0..self.registrations.len() {
            let registration = &self.registrations[index];
            if registration.trunk == trunk && registration.unreached && registration.timer.is_some() {
                self.register_after(index, Duration::ZERO, now);
            }
        }
    }

    /// Handles a closed connection: the contact that was registered over it is lost.
    pub(super) fn registrations_lost(&mut self, flow: FlowId, now: Instant) {
        for index in 0..self.registrations.len() {
            if self.registrations[index].granted && self.registrations[index].uses_flow(flow) {
                self.register_failed(index, 503, None, now);
            }
        }
    }

    pub(super) fn registration_timer(&mut self, index: usize, now: Instant) {
        if let Some(registration) = self.registrations.get_mut(index) {
            registration.timer = None;
            registration.answered = 0;
            self.send_register(index, None, now);
        }
    }

    fn send_register(&mut self, index: usize, proof: Option<Proof>, now: Instant) {
        let to = match &proof {
            Some(_) => self.registrations.get(index).and_then(|registration| registration.to.clone()),
            None => self.register_place(index, now),
        };
        let Some((place, flow)) = to.filter(|_| self.has_room()) else {
            return self.register_failed(index, 503, None, now);
        };
        let branch = self.tokens.branch();
        let registration = &mut self.registrations[index];
        registration.cseq += 1;
        registration.to = Some((place.clone(), flow));
        let registration = &self.registrations[index];
        let address = format!("<{}>", place.uri(&registration.user));
        let mut request = RequestBuilder::new("REGISTER", &place.uri(""))
            .header("Via", self.config.via(&flow, &branch))
            .header("Max-Forwards", 70)
            .header("From", format_args!("{address};tag={}", registration.tag))
            .header("To", &address)
            .header("Call-ID", &registration.call_id)
            .header("CSeq", format_args!("{} REGISTER", registration.cseq))
            .header("Contact", self.config.contact(&flow, &registration.user))
            .header("Expires", registration.expires.as_secs())
            .header("User-Agent", &self.config.user_agent);
        if let Some(Proof { header, value }) = proof {
            request = request.header(header.as_str(), value);
        }
        let user = ClientUser::Register(index);
        self.start_client(flow, &branch, Method::Register, request.build(), user, now);
    }

    /// Returns the destination for a REGISTER: the one that granted it, or the next one after each refusal.
    fn register_place(&mut self, index: usize, now: Instant) -> Option<(Place, Flow)> {
        let registration = self.registrations.get(index)?;
        let (trunk, refusals) = (registration.trunk, registration.refusals as usize);
        let known = registration.to.as_ref().filter(|_| registration.granted).map(|(place, _)| place.clone());
        let places = self.places(trunk, now);
        let place = match known.filter(|known| places.contains(known)) {
            Some(known) => known,
            None => places.get(refusals % places.len().max(1))?.clone(),
        };
        let flow = self.flow_of(&place)?;
        Some((place, flow))
    }

    pub(super) fn register_answer(&mut self, index: usize, response: &Message<'_>, status: u16, now: Instant) {
        match StatusClass::of(status) {
            StatusClass::Provisional => {}
            StatusClass::Success => self.register_granted(index, response, status, now),
            StatusClass::Failure => {
                if self.register_again(index, response, status, now) {
                    return;
                }
                let after = response.header(Name::RetryAfter).and_then(parse_delta_seconds);
                self.register_failed(index, status, after.map(|seconds| Duration::from_secs(u64::from(seconds))), now);
            }
        }
    }

    /// Retries at once after a challenge or a too short expiry; returns whether it did.
    fn register_again(&mut self, index: usize, response: &Message<'_>, status: u16, now: Instant) -> bool {
        let Some(registration) = self.registrations.get_mut(index) else { return true };
        let least = response.header(Name::MinExpires).and_then(parse_delta_seconds).map(u64::from);
        if let (423, Some(least)) = (status, least.map(Duration::from_secs))
            && least > registration.expires
            && !registration.expires.is_zero()
        {
            (registration.expires, registration.answered) = (least, 0);
            self.send_register(index, None, now);
            return true;
        }
        let OwnRegistration { user, password, answered, to, .. } = registration;
        let (user, password, answered) = (user.clone(), password.clone(), *answered);
        // The digest covers the URI of the REGISTER.
        let uri = to.as_ref().map(|(place, _)| place.uri("")).unwrap_or_default();
        let account = (user.as_str(), password.as_str());
        let Some(proof) = self.proof(response, status, answered, account, ("REGISTER", &uri)) else { return false };
        self.registrations[index].answered += 1;
        self.send_register(index, Some(proof), now);
        true
    }

    pub(super) fn register_failed(&mut self, index: usize, status: u16, after: Option<Duration>, now: Instant) {
        let Some(registration) = self.registrations.get_mut(index) else { return };
        let pause = RETRY_FIRST.saturating_mul(1 << registration.refusals.min(6)).min(RETRY_MOST);
        registration.refusals = registration.refusals.saturating_add(1);
        (registration.granted, registration.unreached) = (false, matches!(status, 408 | 503));
        let (trunk, user) = (registration.trunk, registration.user.clone());
        if !registration.expires.is_zero() {
            let pause = match status {
                // An operator must change something: until then every further attempt risks a lock-out.
                401 | 403 | 404 | 407 => RETRY_MOST,
                // A random half to all of it, so that many clients that lost the same registrar do not come back at
                // once.
                _ => after.unwrap_or(pause / 2 + pause * self.tokens.below(50) / 100).min(RETRY_MOST),
            };
            self.register_after(index, pause, now);
        }
        self.trunks.note_error(trunk, &format!("registration refused with {status}"));
        let trunk = self.trunks.trunk(trunk).name.clone();
        self.event(SipEvent::RegistrationState { trunk, user, ok: false, status });
    }

    fn register_after(&mut self, index: usize, pause: Duration, now: Instant) {
        let mut timer = self.registrations[index].timer.take();
        self.out.rearm_after(&mut timer, pause, now, Timeout::Register(index));
        self.registrations[index].timer = timer;
    }

    fn register_granted(&mut self, index: usize, response: &Message<'_>, status: u16, now: Instant) {
        let Some(registration) = self.registrations.get_mut(index) else { return };
        (registration.answered, registration.refusals, registration.unreached) = (0, 0, false);
        if registration.expires.is_zero() && !registration.granted {
            // It was under way when draining began: it is removed again.
            registration.granted = true;
            return self.send_register(index, None, now);
        }
        registration.granted = !registration.expires.is_zero();
        let (trunk, user) = (registration.trunk, registration.user.clone());
        let granted = granted_expiry(response, &user).unwrap_or(registration.expires);
        if registration.granted {
            self.register_after(index, (granted * 4 / 5).max(REFRESH_MIN), now);
        }
        let (trunk, ok) = (self.trunks.trunk(trunk).name.clone(), self.registrations[index].granted);
        self.event(SipEvent::RegistrationState { trunk, user, ok, status });
    }
}

/// Returns the expiry that the registrar gave our contact.
fn granted_expiry(response: &Message<'_>, user: &str) -> Option<Duration> {
    let of_contact = |address: NameAddr<'_>| {
        let ours = address.uri.user_decoded().is_some_and(|name| name == user);
        address.params.value("expires").filter(|_| ours).and_then(parse_delta_seconds)
    };
    let contacts = response.headers(Name::Contact).filter_map(|value| match Contact::parse(value) {
        Ok(Contact::Address(address)) => of_contact(address),
        _ => None,
    });
    contacts.max().or_else(|| response.expires()).map(|seconds| Duration::from_secs(u64::from(seconds)))
}
