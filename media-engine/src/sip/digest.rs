//! Digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760): both sides, MD5 and SHA-256, qop=auth.
//!
//! ```text
//!  NonceStore::issue ─▶ Challenge ─▶ peer ─▶ Credentials ─▶ authenticate ─▶ Verdict
//!                                            (signature and age, response, nonce count)
//! ```
//!
//! Nonces carry their own time and an HMAC, so an unanswered challenge costs no memory. Only a nonce that was used with
//! the right password is remembered, with a window of 64 counts. The memory is bounded: forgetting a nonce makes all
//! older ones stale, so nothing can be replayed.
//!
//! The digest's `uri` is not compared with the Request-URI: sipp and some telephone exchanges write another one, and
//! the nonce count already forbids a second use.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::header::{SplitOutside, quote, quoted_end, unescape_quoted};
use super::uri::is_token;

/// Hash algorithm of a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The default, and the only one that most peers support.
    #[default]
    Md5,
    /// SHA-256 (RFC 8760).
    Sha256,
}

impl Algorithm {
    /// Returns the name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn parse(text: &str) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Sha256].into_iter().find(|known| text.eq_ignore_ascii_case(known.as_str()))
    }

    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex::encode(Md5::digest(text.as_bytes())),
            Algorithm::Sha256 => hex::encode(Sha256::digest(text.as_bytes())),
        }
    }
}

/// Returns `H(user:realm:password)` in hex, which can be stored instead of a password.
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&format!("{user}:{realm}:{password}"))
}

/// Why a challenge or credentials cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The authentication scheme is not `Digest`.
    #[error("authentication scheme is not Digest")]
    Scheme,
    /// The parameters do not follow the grammar.
    #[error("malformed digest parameters")]
    Malformed,
    /// A mandatory parameter is missing.
    #[error("digest without {0}")]
    Missing(&'static str),
    /// The algorithm is neither MD5 nor SHA-256.
    #[error("unknown digest algorithm")]
    Algorithm,
    /// The quality of protection is not `auth`.
    #[error("unsupported quality of protection")]
    Qop,
}

/// The content of WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Realm of the password.
    pub realm: String,
    /// Nonce to be hashed into the response.
    pub nonce: String,
    /// Text that must be sent back unchanged.
    pub opaque: Option<String>,
    /// Hash algorithm to be used.
    pub algorithm: Algorithm,
    /// Whether `qop=auth` is offered; else the old form without nonce count.
    pub qop_auth: bool,
    /// Whether only the nonce was too old: try again with the same password.
    pub stale: bool,
}

impl Challenge {
    /// Reads the header's value.
    ///
    /// # Errors
    /// Returns a [`DigestError`] for a malformed or unsupported challenge; ignore it.
    pub fn parse(text: &str) -> Result<Challenge, DigestError> {
        let fields = Fields::parse(text)?;
        let qop = fields.text("qop");
        let qop_auth = qop.as_deref().is_some_and(|qop| qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")));
        if qop.is_some() && !qop_auth {
            return Err(DigestError::Qop);
        }
        Ok(Challenge {
            realm: fields.required("realm")?,
            nonce: fields.required("nonce")?,
            opaque: fields.text("opaque"),
            algorithm: fields.algorithm()?,
            qop_auth,
            stale: fields.text("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// Returns the header's value.
    pub fn write(&self) -> String {
        let mut out = format!("Digest realm={}, nonce={}", quote(&self.realm), quote(&self.nonce));
        if let Some(opaque) = &self.opaque {
            let _ = write!(out, ", opaque={}", quote(opaque));
        }
        let _ = write!(out, ", algorithm={}", self.algorithm.as_str());
        out.push_str(if self.qop_auth { ", qop=\"auth\"" } else { "" });
        out.push_str(if self.stale { ", stale=true" } else { "" });
        out
    }
}

/// The content of Authorization or Proxy-Authorization of a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name that the peer claims.
    pub username: String,
    /// Realm of the password.
    pub realm: String,
    /// Nonce of the challenge.
    pub nonce: String,
    /// The URI that was hashed.
    pub uri: String,
    /// The response in hex.
    pub response: String,
    /// Hash algorithm that was used.
    pub algorithm: Algorithm,
    /// Client nonce and nonce count; `None` without `qop=auth`.
    pub auth: Option<AuthCount>,
}

/// The parameters that come with `qop=auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthCount {
    /// Nonce chosen by the client.
    pub cnonce: String,
    /// Nonce count as written: it is hashed in this form.
    pub nc: String,
    /// Nonce count as a number, from 1.
    pub count: u32,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials {{ user: {}, realm: {:?} }}", crate::units::mask(&self.username), self.realm)
    }
}

impl Credentials {
    /// Reads the header's value.
    ///
    /// # Errors
    /// Returns a [`DigestError`] for malformed or unsupported credentials; treat the request as one without
    /// credentials.
    pub fn parse(text: &str) -> Result<Credentials, DigestError> {
        let fields = Fields::parse(text)?;
        let auth = match fields.text("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let nc = fields.required("nc")?;
                let digits = (1..=8).contains(&nc.len()) && nc.bytes().all(|b| b.is_ascii_hexdigit());
                let count = digits.then(|| u32::from_str_radix(&nc, 16).ok()).flatten().filter(|&count| count > 0);
                let count = count.ok_or(DigestError::Malformed)?;
                Some(AuthCount { cnonce: fields.required("cnonce")?, nc, count })
            }
            Some(_) => return Err(DigestError::Qop),
        };
        Ok(Credentials {
            username: fields.required("username")?,
            realm: fields.required("realm")?,
            nonce: fields.required("nonce")?,
            uri: fields.required("uri")?,
            response: fields.required("response")?,
            algorithm: fields.algorithm()?,
            auth,
        })
    }

    /// Returns whether the response fits `ha1` (of the same algorithm). The comparison takes the same time wherever the
    /// two differ. Nonce and count are not checked.
    pub fn matches(&self, method: &str, ha1: &str) -> bool {
        let auth = self.auth.as_ref().map(|auth| (auth.nc.as_str(), auth.cnonce.as_str()));
        let expected = response(self.algorithm, ha1, &self.nonce, auth, method, &self.uri);
        let given = self.response.to_ascii_lowercase();
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok()
    }
}

fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    auth: Option<(&str, &str)>,
    method: &str,
    uri: &str,
) -> String {
    let ha2 = algorithm.hash(&format!("{method}:{uri}"));
    match auth {
        Some((nc, cnonce)) => algorithm.hash(&format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}")),
        None => algorithm.hash(&format!("{ha1}:{nonce}:{ha2}")),
    }
}

/// Returns the value of Authorization or Proxy-Authorization that answers `challenge`.
///
/// `cnonce` is random text; `count` starts at 1 for each nonce and grows with each use of it.
pub fn answer(
    challenge: &Challenge,
    user: &str,
    password: &str,
    method: &str,
    uri: &str,
    cnonce: &str,
    count: u32,
) -> String {
    let ha1 = ha1(challenge.algorithm, user, &challenge.realm, password);
    let nc = format!("{count:08x}");
    let auth = challenge.qop_auth.then_some((nc.as_str(), cnonce));
    let response = response(challenge.algorithm, &ha1, &challenge.nonce, auth, method, uri);
    let (user, realm, nonce) = (quote(user), quote(&challenge.realm), quote(&challenge.nonce));
    let mut out = format!("Digest username={user}, realm={realm}, nonce={nonce}, uri={}", quote(uri));
    let _ = write!(out, ", response=\"{response}\", algorithm={}", challenge.algorithm.as_str());
    if challenge.qop_auth {
        let _ = write!(out, ", qop=auth, nc={nc}, cnonce={}", quote(cnonce));
    }
    if let Some(opaque) = &challenge.opaque {
        let _ = write!(out, ", opaque={}", quote(opaque));
    }
    out
}

/// The `name=value` pairs after the word `Digest`.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Fields<'a>, DigestError> {
        let (scheme, rest) = text.trim().split_once([' ', '\t']).ok_or(DigestError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(DigestError::Scheme);
        }
        let mut fields: Vec<(&str, &str)> = Vec::with_capacity(10);
        for item in SplitOutside::new(rest, b',') {
            let (name, value) = item.split_once('=').ok_or(DigestError::Malformed)?;
            let (name, value) = (name.trim(), value.trim());
            let quoted = value.starts_with('"');
            let good = if quoted { quoted_end(value) == Some(value.len()) } else { is_token(value) };
            let repeated = fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            if !good || !is_token(name) || repeated {
                return Err(DigestError::Malformed);
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }

    fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(match value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
            Some(inner) => unescape_quoted(inner).into_owned(),
            None => (*value).to_owned(),
        })
    }

    fn required(&self, name: &'static str) -> Result<String, DigestError> {
        self.text(name).ok_or(DigestError::Missing(name))
    }

    fn algorithm(&self) -> Result<Algorithm, DigestError> {
        self.text("algorithm").map_or(Ok(Algorithm::Md5), |text| Algorithm::parse(&text).ok_or(DigestError::Algorithm))
    }
}

/// The verdict on credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The peer knows the password, and this nonce count is new.
    Accepted,
    /// The password is right but the nonce is too old or its count was used: challenge again with `stale`.
    Stale,
    /// The nonce was not issued to this peer, the user is unknown or the password is wrong: challenge again.
    Rejected,
}

/// Identity of a nonce: its time in milliseconds and its number within that millisecond.
type NonceKey = (u64, u64);

/// Issues nonces and remembers the counts of those in use.
#[derive(Debug)]
pub struct NonceStore {
    key: hmac::Key,
    epoch: Instant,
    valid_for: Duration,
    issued: u64,
    used: BTreeMap<NonceKey, Window>,
    /// The newest forgotten nonce: this one and all older ones are stale.
    floor: Option<NonceKey>,
}

/// Counts of one nonce: the highest, and a bit for each of the 64 up to it.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u32,
    seen: u64,
}

impl Window {
    /// Marks a count as used; returns `false` if it was used before or is too old to tell.
    fn spend(&mut self, count: u32) -> bool {
        if count > self.highest {
            let shift = count - self.highest;
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = match self.highest - count {
            age @ 0..=63 => 1 << age,
            _ => return false,
        };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

/// Bytes of the HMAC that a nonce carries.
const TAG_LEN: usize = 16;

impl NonceStore {
    /// Most nonces whose counts are remembered.
    pub const CAPACITY: usize = 4096;

    /// Creates a store that signs with `secret`; `epoch` is any instant not after the first `now`.
    pub fn new(secret: &[u8; 32], valid_for: Duration, epoch: Instant) -> NonceStore {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        NonceStore { key, epoch, valid_for, issued: 0, used: BTreeMap::new(), floor: None }
    }

    /// Returns a new nonce for the peer at address `peer`.
    pub fn issue(&mut self, peer: IpAddr, now: Instant) -> String {
        self.issued = self.issued.wrapping_add(1);
        let mut bytes = Vec::with_capacity(16 + TAG_LEN);
        bytes.extend_from_slice(&self.age_of(now).to_be_bytes());
        bytes.extend_from_slice(&self.issued.to_be_bytes());
        let tag = self.sign(&bytes, peer);
        bytes.extend_from_slice(&tag.as_ref()[..TAG_LEN]);
        hex::encode(bytes)
    }

    /// Returns a new challenge with `qop=auth` for the peer at address `peer`.
    pub fn challenge(
        &mut self,
        realm: &str,
        algorithm: Algorithm,
        stale: bool,
        peer: IpAddr,
        now: Instant,
    ) -> Challenge {
        let (realm, nonce) = (realm.to_owned(), self.issue(peer, now));
        Challenge { realm, nonce, opaque: None, algorithm, qop_auth: true, stale }
    }

    /// Returns whether this store issued a nonce to `peer`; its sender then really receives messages there.
    pub fn is_for(&self, nonce: &str, peer: IpAddr) -> bool {
        self.verify(nonce, peer).is_some()
    }

    /// Judges credentials of `peer` for a request with `method`. `ha1` looks up `H(user:realm:password)` in hex for the
    /// algorithm; it returns `None` for an unknown user.
    pub fn authenticate(
        &mut self,
        credentials: &Credentials,
        method: &str,
        ha1: impl FnOnce(&str, Algorithm) -> Option<String>,
        peer: IpAddr,
        now: Instant,
    ) -> Verdict {
        let Some(key) = self.verify(&credentials.nonce, peer) else { return Verdict::Rejected };
        let Some(auth) = &credentials.auth else { return Verdict::Rejected };
        let ha1 = ha1(&credentials.username, credentials.algorithm);
        if !ha1.is_some_and(|ha1| credentials.matches(method, &ha1)) {
            return Verdict::Rejected;
        }
        let age = self.age_of(now).saturating_sub(key.0);
        if u128::from(age) > self.valid_for.as_millis() || self.floor.is_some_and(|floor| key <= floor) {
            return Verdict::Stale;
        }
        if self.spend(key, auth.count) { Verdict::Accepted } else { Verdict::Stale }
    }

    /// Returns the number of remembered nonces.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Returns whether no nonce is remembered.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Forgets nonces that are too old to be accepted anyway.
    pub fn expire(&mut self, now: Instant) {
        let age = self.age_of(now);
        let oldest = age.saturating_sub(u64::try_from(self.valid_for.as_millis()).unwrap_or(u64::MAX));
        self.used = self.used.split_off(&(oldest, 0));
    }

    fn spend(&mut self, key: NonceKey, count: u32) -> bool {
        let fresh = self.used.entry(key).or_default().spend(count);
        if self.used.len() > Self::CAPACITY
            && let Some((oldest, _)) = self.used.pop_first()
        {
            self.floor = self.floor.max(Some(oldest));
        }
        fresh
    }

    fn sign(&self, head: &[u8], peer: IpAddr) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(head);
        match peer {
            IpAddr::V4(peer) => context.update(&peer.octets()),
            IpAddr::V6(peer) => context.update(&peer.octets()),
        }
        context.sign()
    }

    /// Returns the identity of a nonce that was issued to `peer`; `None` for any other.
    fn verify(&self, nonce: &str, peer: IpAddr) -> Option<NonceKey> {
        let mut bytes = [0u8; 16 + TAG_LEN];
        hex::decode_to_slice(nonce, &mut bytes).ok()?;
        let (signed, tag) = bytes.split_at(16);
        let expected = self.sign(signed, peer);
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG_LEN], tag).ok()?;
        let (time, number) = signed.split_at(8);
        Some((u64::from_be_bytes(time.try_into().ok()?), u64::from_be_bytes(number.try_into().ok()?)))
    }

    fn age_of(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    use crate::units::test_epoch;

    /// RFC 7616 section 3.9.1, in both algorithms.
    #[test]
    fn rfc_7616_examples_match() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let text = format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let credentials = Credentials::parse(&text).unwrap();
            let secret = ha1(credentials.algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            assert!(credentials.matches("GET", &secret), "{algorithm}");
            assert!(!credentials.matches("POST", &secret), "{algorithm}");
        }
    }

    /// The older form, RFC 2617 section 3.5 without qop, as its algorithm gives it.
    #[test]
    fn challenge_without_qop_is_answered_in_the_old_form() {
        let challenge = Challenge::parse("Digest realm=\"r\", nonce=\"n\"").unwrap();
        let answer = answer(&challenge, "u", "p", "REGISTER", "sip:r", "unused", 1);
        let credentials = Credentials::parse(&answer).unwrap();
        assert_eq!(credentials.auth, None);
        assert!(credentials.matches("REGISTER", &ha1(Algorithm::Md5, "u", "r", "p")));
    }

    fn exchange(store: &mut NonceStore, nonce: &str, count: u32, password: &str, now: Instant) -> Verdict {
        let challenge = Challenge {
            realm: "example.com".into(),
            nonce: nonce.into(),
            opaque: None,
            algorithm: Algorithm::Sha256,
            qop_auth: true,
            stale: false,
        };
        let challenge = Challenge::parse(&challenge.write()).unwrap();
        let text = answer(&challenge, "ali\"ce", password, "REGISTER", "sip:example.com", "c", count);
        let credentials = Credentials::parse(&text).unwrap();
        let lookup = |user: &str, algorithm| (user == "ali\"ce").then(|| ha1(algorithm, user, "example.com", "secret"));
        store.authenticate(&credentials, "REGISTER", lookup, PEER, now)
    }

    fn store(now: Instant) -> NonceStore {
        NonceStore::new(&[7; 32], Duration::from_secs(60), now)
    }

    #[test]
    fn every_nonce_count_of_32_bits_is_accepted_once() {
        let now = test_epoch();
        let mut store = store(now);
        let nonce = store.issue(PEER, now);
        for count in [1, 2, 0xff, 0x100, 0x101, 0xffff, 0x0100_0000, u32::MAX] {
            assert_eq!(exchange(&mut store, &nonce, count, "secret", now), Verdict::Accepted, "{count:x}");
            assert_eq!(exchange(&mut store, &nonce, count, "secret", now), Verdict::Stale, "{count:x}");
        }
    }

    #[test]
    fn counts_may_arrive_out_of_order_within_the_window() {
        let now = test_epoch();
        let mut store = store(now);
        let nonce = store.issue(PEER, now);
        assert_eq!(exchange(&mut store, &nonce, 100, "secret", now), Verdict::Accepted);
        assert_eq!(exchange(&mut store, &nonce, 37, "secret", now), Verdict::Accepted);
        assert_eq!(exchange(&mut store, &nonce, 37, "secret", now), Verdict::Stale);
        assert_eq!(exchange(&mut store, &nonce, 36, "secret", now), Verdict::Stale, "older than the window");
    }

    #[test]
    fn wrong_password_and_foreign_nonce_are_rejected_and_leave_no_trace() {
        let now = test_epoch();
        let mut store = store(now);
        let nonce = store.issue(PEER, now);
        assert_eq!(exchange(&mut store, &nonce, 1, "guess", now), Verdict::Rejected);
        let forged = NonceStore::new(&[8; 32], Duration::from_secs(60), now).issue(PEER, now);
        assert_eq!(exchange(&mut store, &forged, 1, "secret", now), Verdict::Rejected);
        assert_eq!(exchange(&mut store, "zz", 1, "secret", now), Verdict::Rejected);
        assert!(store.is_empty());
    }

    #[test]
    fn an_old_nonce_is_stale_only_with_the_right_password() {
        let now = test_epoch();
        let mut store = store(now);
        let nonce = store.issue(PEER, now);
        let later = now + Duration::from_secs(61);
        assert_eq!(exchange(&mut store, &nonce, 1, "secret", later), Verdict::Stale);
        assert_eq!(exchange(&mut store, &nonce, 1, "guess", later), Verdict::Rejected);
    }

    #[test]
    fn memory_is_bounded_and_forgotten_nonces_cannot_be_replayed() {
        let now = test_epoch();
        let mut store = store(now);
        let first = store.issue(PEER, now);
        assert_eq!(exchange(&mut store, &first, 1, "secret", now), Verdict::Accepted);
        for _ in 0..NonceStore::CAPACITY {
            let nonce = store.issue(PEER, now);
            assert_eq!(exchange(&mut store, &nonce, 1, "secret", now), Verdict::Accepted);
        }
        assert_eq!(store.len(), NonceStore::CAPACITY);
        assert_eq!(exchange(&mut store, &first, 1, "secret", now), Verdict::Stale);
        store.expire(now + Duration::from_secs(120));
        assert!(store.is_empty());
    }

    #[test]
    fn malformed_headers_are_refused() {
        for (text, error) in [
            ("NoOneKnowsThisScheme opaque-data=here", DigestError::Scheme),
            ("Digest", DigestError::Scheme),
            ("Digest realm", DigestError::Malformed),
            ("Digest realm=\"a, nonce=\"b\"", DigestError::Malformed),
            ("Digest realm=\"a\", realm=\"b\"", DigestError::Malformed),
            ("Digest username=\"u\", qop=auth, nc=0, cnonce=\"c\"", DigestError::Malformed),
            ("Digest username=\"u\", qop=auth, nc=123456789, cnonce=\"c\"", DigestError::Malformed),
            ("Digest username=\"u\", qop=auth-int", DigestError::Qop),
            ("Digest username=\"u\", realm=\"r\"", DigestError::Missing("nonce")),
        ] {
            assert_eq!(Credentials::parse(text).map(|_| ()), Err(error), "{text}");
        }
        let text = "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-512-256";
        assert_eq!(Challenge::parse(text), Err(DigestError::Algorithm));
    }
}
