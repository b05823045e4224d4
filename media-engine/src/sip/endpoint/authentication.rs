//! Proof of a sender's password (RFC 3261 section 22, RFC 8760).
//!
//! ```text
//!   request ─┬─ without credentials of our realm ──────────▶ Challenge
//!            ├─ nonce of another address, old or used ─────▶ Challenge, stale
//!            ├─ wrong password ─▶ counted by `scanners` ───▶ Refused
//!            └─ right password ────────────────────────────▶ Admitted
//! ```
//! [`Authentication`] owns the realm, the nonces that were given out with their counts, and the records of addresses that
//! fail again and again (`scanners`). It never holds a password: the registrar is an argument.
//!
//! - A challenge leaves no state.
//! - A failure counts only with a nonce that was sent to the address it comes from.
//!
//! Not here: what an admitted sender may do (`admission`, `registration`), credentials of ours (`proof`).

use std::time::{Duration, Instant};

use super::outbox::Outbox;
use super::scanners::Scanners;
use super::tokens::Tokens;
use crate::sip::digest::{Algorithm, Credentials, NonceStore, Verdict, ha1};
use crate::sip::flow::{Flow, network};
use crate::sip::message::Message;
use crate::sip::registrar::Registrar;

/// Age at which a nonce becomes stale. Its counts are remembered, so an old nonce is no danger.
const NONCE_LIFE: Duration = Duration::from_secs(3600);

/// The outcome of authenticating a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission<T> {
    Admitted(T),
    Challenge { stale: bool },
    Refused { status: u16, why: &'static str },
}

/// What is known of senders' proofs.
pub(super) struct Authentication {
    realm: String,
    /// Key of the nonces.
    secret: [u8; 32],
    /// Created with the first challenge, whose time is the store's origin.
    nonces: Option<NonceStore>,
    scanners: Scanners,
}

impl Authentication {
    pub(super) fn new(realm: &str, tokens: &Tokens) -> Authentication {
        Authentication {
            realm: realm.to_owned(),
            secret: tokens.secret("nonce"),
            nonces: None,
            scanners: Scanners::default(),
        }
    }

    /// Returns whether a message is ignored unread, unless it comes from a trunk.
    pub(super) fn ignores(&self, flow: &Flow, bytes: &[u8], now: Instant) -> bool {
        self.scanners.ignores(flow, bytes, now)
    }

    /// Returns the user whose password the request proves. A failure of a `trusted` sender, which is a trunk, silences
    /// nobody.
    pub(super) fn authenticate(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        (registrar, trusted): (&Registrar, bool),
        now: Instant,
        out: &mut Outbox,
    ) -> Admission<String> {
        // A request may hold credentials for several realms; without any of ours it is challenged.
        let credentials = request
            .proxy_authorization()
            .chain(request.authorization())
            .filter_map(|line| Credentials::parse(line).ok())
            .find(|credentials| credentials.realm == self.realm);
        let Some(credentials) = credentials else { return Admission::Challenge { stale: false } };
        let peer = network(flow.peer.ip());
        let nonces = nonces(&mut self.nonces, &self.secret, now);
        nonces.expire(now);
        // The sender may have forged its address unless it was given this nonce there, so this failure counts against
        // nobody.
        if !nonces.is_for(&credentials.nonce, peer) {
            return Admission::Challenge { stale: true };
        }
        let method = request.method().map_or("", |method| method.as_str());
        let user = &credentials.username;
        let secret = registrar
            .passwords(user, now)
            .map(|password| ha1(credentials.algorithm, user, &self.realm, password))
            .find(|secret| credentials.matches(method, secret));
        let Some(secret) = secret else {
            if !trusted && let Some(event) = self.scanners.failed(flow, now) {
                out.event(event);
            }
            return Admission::Refused { status: 403, why: "wrong_password" };
        };
        match nonces.authenticate(&credentials, method, |_, _| Some(secret), peer, now) {
            Verdict::Accepted => {
                self.scanners.succeeded(flow, now);
                Admission::Admitted(credentials.username)
            }
            // The password is right; the nonce is old or was used before.
            Verdict::Stale | Verdict::Rejected => Admission::Challenge { stale: true },
        }
    }

    /// Returns the values of the headers that ask for a password. Behind a WebSocket only MD5 is offered: JsSIP and
    /// SIP.js support nothing else, and JsSIP reads the last challenge only. Elsewhere both are offered, MD5 first against
    /// the advice of RFC 8760 section 2.4: old peers read the first challenge only, and peers that support more read all
    /// of them.
    pub(super) fn challenges(&mut self, flow: &Flow, stale: bool, now: Instant) -> Vec<String> {
        let algorithms: &[Algorithm] = match flow.transport.is_websocket() {
            true => &[Algorithm::Md5],
            false => &[Algorithm::Md5, Algorithm::Sha256],
        };
        let nonces = nonces(&mut self.nonces, &self.secret, now);
        let peer = network(flow.peer.ip());
        let challenge = |algorithm: &Algorithm| nonces.challenge(&self.realm, *algorithm, stale, peer, now).write();
        algorithms.iter().map(challenge).collect()
    }
}

fn nonces<'n>(nonces: &'n mut Option<NonceStore>, secret: &[u8; 32], now: Instant) -> &'n mut NonceStore {
    nonces.get_or_insert_with(|| NonceStore::new(secret, NONCE_LIFE, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::digest::{self, Challenge};
    use crate::sip::endpoint::event::SipEvent;
    use crate::sip::flow::{FlowId, Transport};
    use crate::sip::limits::Limits;
    use crate::units::test_epoch;

    /// The authentication of one user with the password "pw", and its clock.
    struct Bench {
        authentication: Authentication,
        registrar: Registrar,
        out: Outbox,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            let (mut registrar, now) = (Registrar::new(Limits::default()), test_epoch());
            registrar.credential_set("alice", "pw", Duration::from_secs(86_400), now).unwrap();
            let authentication = Authentication::new("example.com", &Tokens::new(&[7; 32]));
            Bench { authentication, registrar, out: Outbox::new(), now }
        }

        fn challenge(&mut self, flow: &Flow) -> Challenge {
            Challenge::parse(&self.authentication.challenges(flow, false, self.now)[0]).unwrap()
        }

        fn try_with(&mut self, flow: &Flow, challenge: &Challenge, password: &str, trusted: bool) -> Admission<String> {
            let answer = digest::answer(challenge, "alice", password, "REGISTER", "sip:example.com", "c", 1);
            let text = format!(
                "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nAuthorization: {answer}\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            let request = Message::parse(text.as_bytes()).unwrap();
            let by = (&self.registrar, trusted);
            self.authentication.authenticate(flow, &request, by, self.now, &mut self.out)
        }
    }

    fn flow(transport: Transport, peer: &str) -> Flow {
        Flow { id: FlowId(1), transport, local: "192.0.2.1:5060".parse().unwrap(), peer: peer.parse().unwrap() }
    }

    const REFUSED: Admission<String> = Admission::Refused { status: 403, why: "wrong_password" };
    const STALE: Admission<String> = Admission::Challenge { stale: true };

    #[test]
    fn a_proof_is_accepted_once_from_the_address_that_was_challenged() {
        let mut bench = Bench::new();
        let (here, there) = (flow(Transport::Udp, "203.0.113.9:5060"), flow(Transport::Udp, "203.0.113.10:5060"));
        let challenge = bench.challenge(&here);
        assert_eq!(bench.try_with(&there, &challenge, "pw", false), STALE);
        assert_eq!(bench.try_with(&here, &challenge, "pw", false), Admission::Admitted("alice".into()));
        assert_eq!(bench.try_with(&here, &challenge, "pw", false), STALE, "a proof that was used before");
        let challenge = bench.challenge(&here);
        bench.now += NONCE_LIFE + Duration::from_secs(1);
        assert_eq!(bench.try_with(&here, &challenge, "pw", false), STALE);
    }

    #[test]
    fn ten_wrong_passwords_silence_an_address_but_neither_a_trunk_nor_a_page() {
        let (phone, page) = (flow(Transport::Udp, "203.0.113.9:5060"), flow(Transport::Ws, "203.0.113.9:5060"));
        for (flow, trusted, silenced) in [(&phone, false, true), (&phone, true, false), (&page, false, false)] {
            let mut bench = Bench::new();
            for _ in 0..10 {
                let challenge = bench.challenge(flow);
                assert_eq!(bench.try_with(flow, &challenge, "guess", trusted), REFUSED);
            }
            let reported = matches!(bench.out.drain_events()[..], [SipEvent::Scanner { .. }]);
            assert_eq!(reported, silenced);
            assert_eq!(bench.authentication.ignores(flow, b"INVITE sip:x SIP/2.0\r\n", bench.now), silenced);
            assert!(!bench.authentication.ignores(flow, b"OPTIONS sip:x SIP/2.0\r\n", bench.now));
        }
    }

    #[test]
    fn failures_with_a_nonce_of_another_address_silence_nobody() {
        let mut bench = Bench::new();
        let (victim, attacker) = (flow(Transport::Udp, "203.0.113.9:5060"), flow(Transport::Udp, "203.0.113.66:5060"));
        let challenge = bench.challenge(&attacker);
        for _ in 0..20 {
            assert_eq!(bench.try_with(&victim, &challenge, "guess", false), STALE);
        }
        assert!(bench.out.is_empty());
    }

    #[test]
    fn a_page_is_offered_md5_only_and_a_phone_both() {
        let mut bench = Bench::new();
        for (transport, offered) in [(Transport::Wss, 1), (Transport::Udp, 2)] {
            let challenges = bench.authentication.challenges(&flow(transport, "203.0.113.9:5060"), false, bench.now);
            assert_eq!(challenges.len(), offered, "{transport}");
            assert!(challenges[0].contains("MD5") || !challenges[0].contains("SHA"), "{challenges:?}");
        }
    }
}
