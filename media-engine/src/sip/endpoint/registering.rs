//! Registrations of our own at a trunk (RFC 3261 section 10.2): made, proven by digest, refreshed.
//!
//! ```text
//!   Register ─▶ REGISTER ─ 401/407 ─▶ REGISTER with credentials ─ 2xx ─▶ RegistrationState(ok)
//!                  ▲                                                        │ at 80 % of the granted time
//!                  └────────────────────────────────────────────────────────┘
//! ```
//!
//! A refusal is told and not tried again: what to change is the operator's affair. Not here: registrations of
//! others at us (`registration`).

use std::time::{Duration, Instant};

use super::event::SipEvent;
use super::flow::{Flow, FlowId};
use super::tables::ClientUser;
use super::{Endpoint, Timeout};
use crate::sip::digest::{self, Challenge};
use crate::sip::header::{Contact, Name, NameAddr};
use crate::sip::message::{Message, Method, parse_delta_seconds};
use crate::sip::transaction::StatusClass;
use crate::sip::uri::escape_user;
use crate::sip::wheel::TimerKey;
use crate::sip::write::RequestBuilder;

/// Shortest pause before a refresh.
const REFRESH_MIN: Duration = Duration::from_secs(5);

/// One registration of ours.
pub(super) struct OwnRegistration {
    trunk: String,
    user: String,
    password: String,
    expires: Duration,
    flow: Flow,
    uri: String,
    call_id: String,
    tag: String,
    cseq: u32,
    /// Challenges answered since the last grant: one, and two more when a nonce was stale.
    answered: u8,
    timer: Option<TimerKey>,
}

impl OwnRegistration {
    /// Whether its requests go by this connection.
    pub(super) fn goes_by(&self, flow: FlowId) -> bool {
        self.flow.id == flow
    }
}

impl Endpoint {
    /// Registers `user` at a trunk, in place of an earlier registration of the same user there.
    pub(super) fn register(&mut self, trunk: String, user: String, password: String, expires: Duration, now: Instant) {
        let target = self.config.trunks.iter().find(|known| known.name == trunk);
        let found = target.and_then(|known| known.destinations.iter().find(|to| !to.addresses.is_empty()).cloned());
        let flow = found.and_then(|to| self.flow_towards(to.transport, *to.addresses.first()?, &to.host));
        let Some(flow) = flow else {
            return self.event(SipEvent::RegistrationState { trunk, user, ok: false, status: 503 });
        };
        let old = self.registrations.iter().position(|known| known.trunk == trunk && known.user == user);
        let timer = old.and_then(|index| self.registrations[index].timer.take());
        let registration = OwnRegistration {
            trunk,
            user,
            password,
            expires,
            flow,
            uri: format!("sip:{}", flow.peer),
            call_id: self.tokens.fresh(),
            tag: self.tokens.fresh(),
            cseq: 0,
            answered: 0,
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

    pub(super) fn registration_timer(&mut self, index: usize, now: Instant) {
        if let Some(registration) = self.registrations.get_mut(index) {
            registration.timer = None;
            registration.answered = 0;
            self.send_register(index, None, now);
        }
    }

    /// `proof`: header and value that answer a challenge.
    fn send_register(&mut self, index: usize, proof: Option<(Name, String)>, now: Instant) {
        let branch = self.tokens.branch();
        let Some(registration) = self.registrations.get_mut(index) else { return };
        registration.cseq += 1;
        let registration = &self.registrations[index];
        let flow = registration.flow;
        let address = format!("<sip:{}@{}>", escape_user(&registration.user), flow.peer);
        let mut request = RequestBuilder::new("REGISTER", &registration.uri)
            .header("Via", self.via(&flow, &branch))
            .header("Max-Forwards", 70)
            .header("From", format_args!("{address};tag={}", registration.tag))
            .header("To", &address)
            .header("Call-ID", &registration.call_id)
            .header("CSeq", format_args!("{} REGISTER", registration.cseq))
            .header("Contact", self.contact(&flow, &registration.user))
            .header("Expires", registration.expires.as_secs())
            .header("User-Agent", &self.config.user_agent);
        if let Some((name, value)) = proof {
            request = request.header(name.as_str(), value);
        }
        let bytes = request.build();
        self.start_client(flow, &branch, Method::Register, bytes, ClientUser::Register(index), now);
    }

    pub(super) fn register_answer(&mut self, index: usize, response: &Message<'_>, status: u16, now: Instant) {
        match StatusClass::of(status) {
            StatusClass::Provisional => {}
            StatusClass::Success => self.register_granted(index, response, status, now),
            StatusClass::Failure => match self.proof(index, response, status) {
                Some(proof) => self.send_register(index, Some(proof), now),
                None => self.register_failed(index, status),
            },
        }
    }

    pub(super) fn register_failed(&mut self, index: usize, status: u16) {
        let Some(registration) = self.registrations.get(index) else { return };
        let (trunk, user) = (registration.trunk.clone(), registration.user.clone());
        self.event(SipEvent::RegistrationState { trunk, user, ok: false, status });
    }

    fn register_granted(&mut self, index: usize, response: &Message<'_>, status: u16, now: Instant) {
        let Some(registration) = self.registrations.get_mut(index) else { return };
        registration.answered = 0;
        let ours = registration.user.clone();
        let granted = granted(response, &ours).unwrap_or(registration.expires);
        let mut timer = registration.timer.take();
        let (trunk, user) = (registration.trunk.clone(), registration.user.clone());
        let refresh = (granted * 4 / 5).max(REFRESH_MIN);
        self.rearm_after(&mut timer, refresh, now, Timeout::Register(index));
        if let Some(registration) = self.registrations.get_mut(index) {
            registration.timer = timer;
        }
        self.event(SipEvent::RegistrationState { trunk, user, ok: true, status });
    }

    /// The answer to the first challenge that we understand; nothing when our proof was refused.
    fn proof(&mut self, index: usize, response: &Message<'_>, status: u16) -> Option<(Name, String)> {
        let (asked, given) = match status {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return None,
        };
        let challenge = response.lines(asked).find_map(|line| Challenge::parse(line).ok())?;
        let cnonce = self.tokens.fresh();
        let registration = self.registrations.get_mut(index)?;
        let most = if challenge.stale { 3 } else { 1 };
        if registration.answered >= most {
            return None;
        }
        registration.answered += 1;
        let OwnRegistration { user, password, uri, .. } = registration;
        Some((given, digest::answer(&challenge, user, password, "REGISTER", uri, &cnonce, 1)))
    }
}

/// The time that the registrar gave our contact.
fn granted(response: &Message<'_>, user: &str) -> Option<Duration> {
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
