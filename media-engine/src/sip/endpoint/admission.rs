//! Authentication of calls and registrations (RFC 3261 section 22, RFC 8760).
//!
//! A call comes from a trunk's address, or from a user who proves its password and whose name is in From. A stranger is
//! challenged once and then refused; neither leaves any state.

use std::time::{Duration, Instant};

use super::Endpoint;
use super::event::Source;
use crate::sip::digest::{Algorithm, Credentials, NonceStore, Verdict, ha1};
use crate::sip::flow::{Flow, network};
use crate::sip::header::Name;
use crate::sip::message::Message;

/// Age at which a nonce becomes stale. Its counts are remembered, so an old nonce is no danger.
const NONCE_LIFE: Duration = Duration::from_secs(3600);

/// The outcome of authenticating a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission<T> {
    Admitted(T),
    Challenge { stale: bool },
    Refused { status: u16, why: &'static str },
}

impl Endpoint {
    /// Returns whether a request outside dialogs may be acted upon, and its proven source.
    pub(super) fn source_of(&mut self, flow: &Flow, request: &Message<'_>, now: Instant) -> Admission<Source> {
        if let Some(trunk) = self.trunks.owner_of(flow) {
            return Admission::Admitted(Source::Trunk(trunk.name.clone()));
        }
        let from = request.from().ok().and_then(|from| from.uri.user_decoded()).unwrap_or_default().into_owned();
        match self.authenticate(flow, request, now) {
            Admission::Admitted(user) if user == from => Admission::Admitted(Source::User(user)),
            Admission::Admitted(_) => Admission::Refused { status: 403, why: "other_user" },
            Admission::Challenge { stale } => Admission::Challenge { stale },
            Admission::Refused { status, why } => Admission::Refused { status, why },
        }
    }

    /// Returns the user whose password the request proves.
    pub(super) fn authenticate(&mut self, flow: &Flow, request: &Message<'_>, now: Instant) -> Admission<String> {
        let realm = &self.config.domain;
        // A request may hold credentials for several realms; without any of ours it is challenged.
        let credentials = request
            .proxy_authorization()
            .chain(request.authorization())
            .filter_map(|line| Credentials::parse(line).ok())
            .find(|credentials| credentials.realm == *realm);
        let Some(credentials) = credentials else { return Admission::Challenge { stale: false } };
        let peer = network(flow.peer.ip());
        let nonces = nonce_store(&mut self.nonces, &self.tokens, now);
        nonces.expire(now);
        // The sender may have forged its address unless it was given this nonce there, so this failure counts against
        // nobody.
        if !nonces.is_for(&credentials.nonce, peer) {
            return Admission::Challenge { stale: true };
        }
        let method = request.method().map_or("", |method| method.as_str());
        let user = &credentials.username;
        let secret = self
            .registrar
            .passwords(user, now)
            .map(|password| ha1(credentials.algorithm, user, realm, password))
            .find(|secret| credentials.matches(method, secret));
        let Some(secret) = secret else {
            self.authentication_failed(flow, now);
            return Admission::Refused { status: 403, why: "wrong_password" };
        };
        let nonces = nonce_store(&mut self.nonces, &self.tokens, now);
        match nonces.authenticate(&credentials, method, |_, _| Some(secret), peer, now) {
            Verdict::Accepted => {
                self.authentication_succeeded(flow, now);
                Admission::Admitted(credentials.username)
            }
            // The password is right; the nonce is old or was used before.
            Verdict::Stale | Verdict::Rejected => Admission::Challenge { stale: true },
        }
    }

    /// Asks for a password. Behind a WebSocket only MD5 is offered: JsSIP and SIP.js support nothing else, and JsSIP
    /// reads the last challenge only. Elsewhere both are offered, MD5 first against the advice of RFC 8760 section 2.4:
    /// old peers read the first challenge only, and peers that support more read all of them.
    pub(super) fn challenge(&mut self, flow: &Flow, request: &Message<'_>, status: u16, stale: bool, now: Instant) {
        let name = if status == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
        let mut response = self.response(flow, request, status);
        let nonces = nonce_store(&mut self.nonces, &self.tokens, now);
        let algorithms: &[Algorithm] = match flow.transport.is_websocket() {
            true => &[Algorithm::Md5],
            false => &[Algorithm::Md5, Algorithm::Sha256],
        };
        for algorithm in algorithms {
            let challenge = nonces.challenge(&self.config.domain, *algorithm, stale, network(flow.peer.ip()), now);
            response = response.header(name.as_str(), challenge.write());
        }
        self.reply(flow, request, response);
    }
}

fn nonce_store<'n>(
    nonces: &'n mut Option<NonceStore>,
    tokens: &super::tokens::Tokens,
    now: Instant,
) -> &'n mut NonceStore {
    nonces.get_or_insert_with(|| NonceStore::new(&tokens.secret("nonce"), NONCE_LIFE, now))
}
