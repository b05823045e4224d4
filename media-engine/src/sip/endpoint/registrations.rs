//! Our own registrations at trunks (RFC 3261 section 10.2): authenticated by digest, refreshed, tried again.
//!
//! ```text
//!   register ─▶ REGISTER ─ 401/407 ─▶ REGISTER with credentials ─ 2xx ─▶ RegistrationState(ok)
//!                  ▲                                                        │ at 80 % of the granted time
//!                  └────────────────────────────────────────────────────────┘
//! ```
//! [`Registrations`] owns for each of them its account, its Call-ID and CSeq, the place where it stands, and the timer of
//! its next REGISTER. A method that returns a [`Turn`] or a [`Next`] says what the endpoint does now: it sends the
//! REGISTER that [`Registrations::request`] writes, or reports with [`Registrations::failed`] that it could not.
//!
//! - A refusal is reported, and tried again after half a minute at the trunk's next place; the pause doubles up to half
//!   an hour. After a refusal that only an operator can resolve, it is half an hour at once.
//! - A password is sent as the answer to one challenge, and to two more if only the nonce was stale.
//! - A registration is in its list for ever, so its index stays valid.
//!
//! Not here: the transaction of a REGISTER and the choice of its connection (`registering`), registrations of others at
//! this endpoint (`registration`).

use std::time::{Duration, Instant};

use super::config::EndpointConfig;
use super::event::SipEvent;
use super::outbox::{Outbox, Timeout};
use super::place::Place;
use super::proof::{Proof, proof};
use super::tokens::Tokens;
use crate::sip::flow::{Flow, FlowId};
use crate::sip::header::{Contact, Name, NameAddr};
use crate::sip::message::{Message, parse_delta_seconds};
use crate::sip::transaction::StatusClass;
use crate::sip::trunk::{TrunkCredentials, TrunkIndex};
use crate::sip::wheel::TimerKey;
use crate::sip::write::RequestBuilder;

/// Shortest pause before a refresh.
const REFRESH_MIN: Duration = Duration::from_secs(5);
/// Pause after the first refusal; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_secs(30);
/// Longest pause between attempts.
const RETRY_MOST: Duration = Duration::from_secs(1800);

/// All registrations of ours.
#[derive(Default)]
pub(super) struct Registrations(Vec<Registration>);

/// A registration that the endpoint is asked to keep.
pub(super) struct Wish {
    pub(super) trunk: TrunkIndex,
    /// Name of the trunk, for events.
    pub(super) name: String,
    pub(super) account: TrunkCredentials,
    /// Expiry to ask for.
    pub(super) expires: Duration,
}

/// A REGISTER that is to be sent now.
pub(super) struct Turn {
    pub(super) index: usize,
    /// The answer to a challenge, which goes to the place that sent it.
    pub(super) proof: Option<Proof>,
}

/// What follows from a response to a REGISTER.
pub(super) enum Next {
    /// Nothing is to be sent now.
    Rest,
    Send(Turn),
    /// It was refused at this trunk.
    Refused(TrunkIndex),
}

struct Registration {
    wish: Wish,
    /// Destination of the last REGISTER, and its flow.
    to: Option<(Place, Flow)>,
    call_id: String,
    tag: String,
    cseq: u32,
    /// Challenges answered since the last grant.
    answered: u8,
    /// Consecutive refusals since the last grant.
    refusals: u32,
    granted: bool,
    /// Whether the last try found no registrar.
    unreached: bool,
    timer: Option<TimerKey>,
}

impl Registrations {
    /// Takes a new registration; it replaces an earlier one of the same user at the same trunk.
    pub(super) fn register(&mut self, wish: Wish, tokens: &mut Tokens) -> Turn {
        let same =
            |known: &Registration| known.wish.trunk == wish.trunk && known.wish.account.user == wish.account.user;
        let old = self.0.iter().position(same);
        let registration = Registration {
            to: None,
            call_id: tokens.fresh(),
            tag: tokens.fresh(),
            cseq: 0,
            answered: 0,
            refusals: 0,
            granted: false,
            unreached: false,
            timer: old.and_then(|index| self.0[index].timer.take()),
            wish,
        };
        let index = match old {
            Some(index) => {
                self.0[index] = registration;
                index
            }
            None => {
                self.0.push(registration);
                self.0.len() - 1
            }
        };
        Turn { index, proof: None }
    }

    /// Returns whether every registration at a trunk is granted; `None` if there is none.
    pub(super) fn is_registered(&self, trunk: TrunkIndex) -> Option<bool> {
        let mut of_trunk = self.0.iter().filter(|known| known.wish.trunk == trunk).peekable();
        of_trunk.peek()?;
        Some(of_trunk.all(|registration| registration.granted))
    }

    /// Returns whether a registrar has not yet confirmed the removal of a registration.
    pub(super) fn is_unregistering(&self) -> bool {
        self.0.iter().any(|registration| registration.granted && registration.wish.expires.is_zero())
    }

    /// Returns whether a registration stands on this connection.
    pub(super) fn uses_flow(&self, flow: FlowId) -> bool {
        self.0.iter().any(|registration| registration.uses_flow(flow))
    }

    /// Begins to remove all registrations; those that are granted need a REGISTER for it.
    pub(super) fn unregister(&mut self, out: &mut Outbox) -> Vec<Turn> {
        let mut turns = Vec::new();
        for (index, registration) in self.0.iter_mut().enumerate() {
            registration.wish.expires = Duration::ZERO;
            out.cancel(&mut registration.timer);
            if registration.granted {
                turns.push(Turn { index, proof: None });
            }
        }
        turns
    }

    /// Makes waiting registrations due at once after a trunk's names have resolved to new addresses.
    pub(super) fn wake(&mut self, trunk: TrunkIndex, now: Instant, out: &mut Outbox) {
        for (index, registration) in self.0.iter_mut().enumerate() {
            if registration.wish.trunk == trunk && registration.unreached && registration.timer.is_some() {
                registration.send_after(index, Duration::ZERO, now, out);
            }
        }
    }

    /// Returns the registrations whose contact was lost with this connection.
    pub(super) fn lost_with(&self, flow: FlowId) -> Vec<usize> {
        let lost = |(_, registration): &(usize, &Registration)| registration.granted && registration.uses_flow(flow);
        self.0.iter().enumerate().filter(lost).map(|(index, _)| index).collect()
    }

    /// Handles the timer of a registration.
    pub(super) fn due(&mut self, index: usize) -> Option<Turn> {
        let registration = self.0.get_mut(index)?;
        (registration.timer, registration.answered) = (None, 0);
        Some(Turn { index, proof: None })
    }

    pub(super) fn trunk_of(&self, index: usize) -> Option<TrunkIndex> {
        self.0.get(index).map(|registration| registration.wish.trunk)
    }

    /// Returns the place for a REGISTER among the trunk's `places`: the one that granted it, or the next one after each
    /// refusal.
    pub(super) fn place(&self, index: usize, places: &[Place]) -> Option<Place> {
        let registration = self.0.get(index)?;
        let known = registration.to.as_ref().filter(|_| registration.granted).map(|(place, _)| place);
        let next = || places.get(registration.refusals as usize % places.len().max(1));
        known.filter(|known| places.contains(known)).or_else(next).cloned()
    }

    /// Returns the place and flow of the last REGISTER, to which the answer to its challenge goes.
    pub(super) fn last_place(&self, index: usize) -> Option<(Place, Flow)> {
        self.0.get(index)?.to.clone()
    }

    /// Writes the next REGISTER, which leaves for `place` by `flow` in the transaction of this branch.
    pub(super) fn request(
        &mut self,
        Turn { index, proof }: Turn,
        (place, flow): (Place, Flow),
        branch: &str,
        config: &EndpointConfig,
    ) -> Vec<u8> {
        let registration = &mut self.0[index];
        registration.cseq += 1;
        let user = &registration.wish.account.user;
        let address = format!("<{}>", place.uri(user));
        let mut request = RequestBuilder::new("REGISTER", &place.uri(""))
            .header("Via", config.via(&flow, branch))
            .header("Max-Forwards", 70)
            .header("From", format_args!("{address};tag={}", registration.tag))
            .header("To", &address)
            .header("Call-ID", &registration.call_id)
            .header("CSeq", format_args!("{} REGISTER", registration.cseq))
            .header("Contact", config.contact(&flow, user))
            .header("Expires", registration.wish.expires.as_secs())
            .header("User-Agent", &config.user_agent);
        if let Some(Proof { header, value }) = proof {
            request = request.header(header.as_str(), value);
        }
        registration.to = Some((place, flow));
        request.build()
    }

    /// Handles a response to a REGISTER.
    pub(super) fn answered(
        &mut self,
        index: usize,
        (response, status): (&Message<'_>, u16),
        now: Instant,
        tokens: &mut Tokens,
        out: &mut Outbox,
    ) -> Next {
        match StatusClass::of(status) {
            StatusClass::Provisional => Next::Rest,
            StatusClass::Success => self.granted(index, response, status, now, out).map_or(Next::Rest, Next::Send),
            StatusClass::Failure => {
                if let Some(proof) = self.again(index, response, status, tokens) {
                    return Next::Send(Turn { index, proof });
                }
                let after = response.header(Name::RetryAfter).and_then(parse_delta_seconds);
                let after = after.map(|seconds| Duration::from_secs(u64::from(seconds)));
                self.failed(index, status, after, now, tokens, out).map_or(Next::Rest, Next::Refused)
            }
        }
    }

    /// Returns the retry at once after a challenge or a too short expiry, with the answer to the challenge.
    fn again(
        &mut self,
        index: usize,
        response: &Message<'_>,
        status: u16,
        tokens: &mut Tokens,
    ) -> Option<Option<Proof>> {
        let registration = self.0.get_mut(index)?;
        let Registration { wish: Wish { account, expires, .. }, answered, to, .. } = registration;
        let least = response.header(Name::MinExpires).and_then(parse_delta_seconds).map(u64::from);
        if let (423, Some(least)) = (status, least.map(Duration::from_secs))
            && least > *expires
            && !expires.is_zero()
        {
            (*expires, *answered) = (least, 0);
            return Some(None);
        }
        // The digest covers the URI of the REGISTER.
        let uri = to.as_ref().map(|(place, _)| place.uri("")).unwrap_or_default();
        let account = (account.user.as_str(), account.password.as_str());
        let proof = proof(response, status, *answered, account, ("REGISTER", &uri), tokens)?;
        *answered += 1;
        Some(Some(proof))
    }

    /// Handles a refusal, or a missing response that stands for one; reports it, and returns its trunk. `after` is the
    /// pause that the registrar asked for.
    pub(super) fn failed(
        &mut self,
        index: usize,
        status: u16,
        after: Option<Duration>,
        now: Instant,
        tokens: &mut Tokens,
        out: &mut Outbox,
    ) -> Option<TrunkIndex> {
        let registration = self.0.get_mut(index)?;
        let pause = RETRY_FIRST.saturating_mul(1 << registration.refusals.min(6)).min(RETRY_MOST);
        registration.refusals = registration.refusals.saturating_add(1);
        (registration.granted, registration.unreached) = (false, matches!(status, 408 | 503));
        if !registration.wish.expires.is_zero() {
            let pause = match status {
                // An operator must change something: until then every further attempt risks a lock-out.
                401 | 403 | 404 | 407 => RETRY_MOST,
                // A random half to all of it, so that many clients that lost the same registrar do not come back at
                // once.
                _ => after.unwrap_or(pause / 2 + pause * tokens.below(50) / 100).min(RETRY_MOST),
            };
            registration.send_after(index, pause, now, out);
        }
        registration.report(status, out);
        Some(registration.wish.trunk)
    }

    /// Handles a 2xx; returns the REGISTER that follows at once.
    fn granted(
        &mut self,
        index: usize,
        response: &Message<'_>,
        status: u16,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<Turn> {
        let registration = self.0.get_mut(index)?;
        (registration.answered, registration.refusals, registration.unreached) = (0, 0, false);
        let expires = registration.wish.expires;
        if expires.is_zero() && !registration.granted {
            // It was under way when draining began: it is removed again.
            registration.granted = true;
            return Some(Turn { index, proof: None });
        }
        registration.granted = !expires.is_zero();
        if registration.granted {
            let granted = granted_expiry(response, &registration.wish.account.user).unwrap_or(expires);
            registration.send_after(index, (granted * 4 / 5).max(REFRESH_MIN), now, out);
        }
        registration.report(status, out);
        None
    }
}

impl Registration {
    fn uses_flow(&self, flow: FlowId) -> bool {
        self.to.as_ref().is_some_and(|(_, own)| own.id == flow)
    }

    fn send_after(&mut self, index: usize, pause: Duration, now: Instant, out: &mut Outbox) {
        out.rearm_after(&mut self.timer, pause, now, Timeout::Register(index));
    }

    fn report(&self, status: u16, out: &mut Outbox) {
        let (trunk, user) = (self.wish.name.clone(), self.wish.account.user.clone());
        out.event(SipEvent::RegistrationState { trunk, user, ok: self.granted, status });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::flow::Transport;
    use crate::sip::trunk::Destination;
    use crate::units::test_epoch;

    const TRUNK: TrunkIndex = TrunkIndex(0);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Registrations at a trunk of two places, and their clock.
    struct Bench {
        registrations: Registrations,
        places: Vec<Place>,
        tokens: Tokens,
        out: Outbox,
        now: Instant,
        config: EndpointConfig,
    }

    impl Bench {
        fn new() -> Bench {
            let place = |n: u8| {
                let destination = Destination::udp(([198, 51, 100, n], 5060).into());
                Place::of(TRUNK, &destination, destination.addresses[0])
            };
            Bench {
                registrations: Registrations::default(),
                places: vec![place(1), place(2)],
                tokens: Tokens::new(&[7; 32]),
                out: Outbox::new(),
                now: test_epoch(),
                config: EndpointConfig::new("example.com", [7; 32]),
            }
        }

        /// Registers the account and sends its first REGISTER, which is returned.
        fn register(&mut self) -> String {
            let account = TrunkCredentials { user: "acct".into(), password: "pw".into() };
            let wish = Wish { trunk: TRUNK, name: "carrier".into(), account, expires: secs(600) };
            let turn = self.registrations.register(wish, &mut self.tokens);
            self.send(turn)
        }

        fn send(&mut self, turn: Turn) -> String {
            let to = match turn.proof {
                Some(_) => self.registrations.last_place(turn.index).unwrap(),
                None => {
                    let place = self.registrations.place(turn.index, &self.places).unwrap();
                    let local = "192.0.2.1:5060".parse().unwrap();
                    let flow = Flow { id: FlowId(1), transport: Transport::Udp, local, peer: place.address };
                    (place, flow)
                }
            };
            String::from_utf8(self.registrations.request(turn, to, "z9hG4bKa", &self.config)).unwrap()
        }

        fn answer(&mut self, status: u16, extra: &str) -> Next {
            let text =
                format!("SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n{extra}Content-Length: 0\r\n\r\n");
            let response = (&Message::parse(text.as_bytes()).unwrap(), status);
            self.registrations.answered(0, response, self.now, &mut self.tokens, &mut self.out)
        }

        /// Lets time pass; returns whether the registration became due.
        fn wait(&mut self, span: Duration) -> bool {
            self.now += span;
            self.out.expire(self.now) == Some(Timeout::Register(0))
        }

        /// Statuses of the reports so far, and whether each was a grant.
        fn reports(&mut self) -> Vec<(bool, u16)> {
            let report = |event| match event {
                SipEvent::RegistrationState { ok, status, .. } => Some((ok, status)),
                _ => None,
            };
            self.out.drain_events().into_iter().filter_map(report).collect()
        }
    }

    const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\"\r\n";

    #[test]
    fn a_grant_is_refreshed_after_four_fifths_at_the_same_place() {
        let mut bench = Bench::new();
        let first = bench.register();
        assert!(first.starts_with("REGISTER sip:198.51.100.1 SIP/2.0\r\n") && first.contains("CSeq: 1 REGISTER\r\n"));
        let granted =
            bench.answer(200, "Contact: <sip:acct@192.0.2.1>;expires=100, <sip:other@192.0.2.9>;expires=9\r\n");
        assert!(matches!(granted, Next::Rest));
        assert_eq!((bench.reports(), bench.registrations.is_registered(TRUNK)), (vec![(true, 200)], Some(true)));
        bench.places.reverse();
        assert!(!bench.wait(secs(79)) && bench.wait(secs(1)));
        let turn = bench.registrations.due(0).unwrap();
        let second = bench.send(turn);
        assert!(
            second.starts_with("REGISTER sip:198.51.100.1 ") && second.contains("CSeq: 2 REGISTER\r\n"),
            "{second}"
        );
    }

    #[test]
    fn a_challenge_is_answered_once_and_the_second_waits_for_the_operator() {
        let mut bench = Bench::new();
        bench.register();
        let Next::Send(turn) = bench.answer(401, CHALLENGE) else { panic!("an answer is due") };
        assert!(bench.send(turn).contains("\r\nAuthorization: Digest "));
        assert!(matches!(bench.answer(401, CHALLENGE), Next::Refused(TRUNK)));
        assert_eq!(bench.reports(), [(false, 401)]);
        assert!(!bench.wait(RETRY_MOST - secs(1)) && bench.wait(secs(1)));
    }

    #[test]
    fn each_refusal_leads_to_the_next_place_after_a_longer_pause() {
        let mut bench = Bench::new();
        bench.register();
        let mut asked = Vec::new();
        for longest in [30, 60, 120, 240] {
            assert!(matches!(bench.answer(500, ""), Next::Refused(TRUNK)));
            assert!(!bench.wait(secs(longest / 2 - 1)) && bench.wait(secs(longest / 2 + 1)), "within {longest} s");
            let turn = bench.registrations.due(0).unwrap();
            asked.push(bench.send(turn).contains("sip:198.51.100.2 "));
        }
        assert_eq!(asked, [true, false, true, false]);
        bench.answer(503, "Retry-After: 7\r\n");
        assert!(!bench.wait(secs(6)) && bench.wait(secs(1)), "the registrar's own wish is respected");
    }

    #[test]
    fn only_a_registration_without_registrar_is_woken_by_new_addresses() {
        let mut bench = Bench::new();
        bench.register();
        for (status, woken) in [(500, false), (408, true)] {
            bench.answer(status, "");
            bench.registrations.wake(TRUNK, bench.now, &mut bench.out);
            assert_eq!(bench.wait(Duration::from_millis(1)), woken, "{status}");
        }
    }

    #[test]
    fn draining_removes_what_is_granted_and_what_is_granted_later() {
        let mut bench = Bench::new();
        bench.register();
        assert!(bench.registrations.unregister(&mut bench.out).is_empty(), "nothing is granted yet");
        let Next::Send(turn) = bench.answer(200, "") else { panic!("it is removed again") };
        assert!(bench.send(turn).contains("\r\nExpires: 0\r\n") && bench.registrations.is_unregistering());
        assert!(matches!(bench.answer(200, ""), Next::Rest));
        assert!(!bench.registrations.is_unregistering());
        assert_eq!((bench.reports(), bench.out.timer_count()), (vec![(false, 200)], 0));
    }

    #[test]
    fn a_lost_connection_concerns_only_what_was_granted_there() {
        let mut bench = Bench::new();
        bench.register();
        assert!(bench.registrations.lost_with(FlowId(1)).is_empty(), "not granted");
        bench.answer(200, "");
        assert_eq!(bench.registrations.lost_with(FlowId(1)), [0]);
        assert!(bench.registrations.lost_with(FlowId(2)).is_empty());
        assert!(bench.registrations.uses_flow(FlowId(1)));
    }

    #[test]
    fn a_too_short_expiry_is_raised_and_never_twice_to_the_same() {
        let mut bench = Bench::new();
        bench.register();
        let Next::Send(turn) = bench.answer(423, "Min-Expires: 900\r\n") else { panic!("a longer expiry is tried") };
        assert!(bench.send(turn).contains("\r\nExpires: 900\r\n"));
        assert!(matches!(bench.answer(423, "Min-Expires: 900\r\n"), Next::Refused(TRUNK)));
    }
}
