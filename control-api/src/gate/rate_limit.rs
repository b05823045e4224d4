//! Rate limits: number of requests in a window of time, per user or key, or per address.
//!
//! ```text
//! request ─▶ charge of its route ─▶ buckets (GCRA) ─▶ handler ─▶ X-RateLimit-Limit, -Remaining, -Reset
//!                                        └─ empty: 429, Retry-After
//! ```
//!
//! Invariants: each bucket belongs to one tenant or one address, so that nobody uses up the limit of another. Tables are bounded.
//! `X-RateLimit-Reset` is the number of seconds until the bucket is full again.
//!
//! Calls to emergency numbers are counted but never refused; for calls the handler decides ([`Deferred`]).
//!
//! Not counted: pages, assets, health, SIP, streams, and requests with a valid signature. A bad signature counts for its address.

use crate::http::client::network;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, MonotonicClock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::Gate;
use crate::auth::{Actor, Identified};
use crate::config::{LimitsConfig, Rate};
use crate::gate::signature::{Checked, SignedLink};
use crate::http::client::Client;
use crate::http::problem::Problem;
use crate::store::OrganizationId;

/// Largest number of buckets in each of the two tables.
const BUCKETS_MAX: usize = 65_536;
/// Number of parts of a table, each with its own lock.
const SHARDS: usize = 16;

/// Group of requests with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// All requests of a user or key, or of an address without either.
    Default,
    /// Requests that start calls, per user or key.
    Calls,
    /// Requests for synthesised speech, per user or key.
    Speech,
    /// Changes of the configuration, per user or key.
    Configuration,
    /// Changes of retention times, per user or key.
    Retention,
    /// Sign-up, log-in and invitations, per address.
    Entrance,
}

impl Group {
    /// Groups for which an organization may set its own limits.
    pub const OF_ORGANIZATIONS: [Group; 5] =
        [Group::Default, Group::Calls, Group::Speech, Group::Configuration, Group::Retention];

    /// Returns the name of the group in configuration and API.
    pub fn as_str(self) -> &'static str {
        match self {
            Group::Default => "default",
            Group::Calls => "calls",
            Group::Speech => "speech",
            Group::Configuration => "configuration",
            Group::Retention => "retention",
            Group::Entrance => "entrance",
        }
    }

    /// Returns the operator's limit, or `None` if there is none.
    pub fn rate(self, config: &LimitsConfig, organization: Option<OrganizationId>) -> Option<Rate> {
        let own = config.organizations.iter().find(|own| Some(own.id) == organization.map(|id| id.0));
        let (general, own) = match self {
            Group::Default => (config.default, own.and_then(|own| own.default)),
            Group::Calls => (config.calls, own.and_then(|own| own.calls)),
            Group::Speech => (config.speech, own.and_then(|own| own.speech)),
            Group::Configuration => (config.configuration, own.and_then(|own| own.configuration)),
            Group::Retention => (config.retention, own.and_then(|own| own.retention)),
            Group::Entrance => (config.entrance, None),
        };
        own.unwrap_or(general)
    }

    /// Returns the limit for an actor: that of the operator, or a lower one that the organization has set itself.
    pub fn rate_of(self, config: &LimitsConfig, actor: &Actor) -> Option<Rate> {
        let rate = self.rate(config, Some(actor.organization))?;
        let own = actor.limits().get(self.as_str()).copied().unwrap_or(u32::MAX);
        Some(Rate { limit: rate.limit.min(own.max(1)), ..rate })
    }
}

/// Way in which a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// The request is not counted.
    Free,
    /// Counted for the user or key, and also in this group.
    Actor(Option<Group>),
    /// Counted for the address, before authentication.
    Address,
    /// Counted for both the address and the user or key.
    Both,
    /// Counted for the address unless the signature is valid.
    Signed,
}

/// Charges of all routes of the API, by method and path with placeholders.
#[derive(Clone, Debug, Default)]
pub struct Charges(HashMap<(Method, String), Charge>);

impl Charges {
    /// Adds a route. Reads are never counted in the group of the changes at the same path.
    pub(crate) fn add(&mut self, method: Method, route: String, charge: Charge) {
        let charge = match charge {
            Charge::Actor(Some(_)) | Charge::Both if method == Method::GET => Charge::Actor(None),
            charge => charge,
        };
        self.0.insert((method, route), charge);
    }

    /// Adds other routes.
    pub(crate) fn extend(&mut self, others: Charges) {
        self.0.extend(others.0);
    }

    /// Returns how a request to this route is counted. HEAD is counted like GET. What is not a route of the API is not counted;
    /// an unknown method of one is counted for its sender.
    pub fn of(&self, method: &Method, route: &str) -> Charge {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        match self.0.get(&(method.clone(), route.to_owned())) {
            Some(charge) => *charge,
            None if route.starts_with("/api/") => Charge::Actor(None),
            None => Charge::Free,
        }
    }
}

/// State of [`enforce`].
#[derive(Clone)]
pub(crate) struct Enforcement {
    /// State of the checks.
    pub(crate) gate: Gate,
    /// Charges of all routes.
    pub(crate) charges: Arc<Charges>,
}

/// Owner of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    /// Organization and id of a user or key.
    Actor(uuid::Uuid, uuid::Uuid),
    /// IPv4 address, or IPv6 network of 64 bits, which belongs to one subscriber.
    Address(IpAddr),
}

/// State of a bucket after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Limit that applies.
    pub rate: Rate,
    /// Number of requests that may be sent at once.
    pub remaining: u32,
    /// Seconds until the bucket is full again.
    pub reset_s: u64,
    /// Seconds until the next request is allowed, if none is allowed now.
    pub wait_s: Option<u64>,
}

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>;

struct Bucket<C: Clock> {
    rate: Rate,
    limiter: Limiter<C>,
    /// State at the latest request, and the time of that request.
    remaining: u32,
    at: C::Instant,
}

type Shard<C> = Mutex<HashMap<(Group, Holder), Bucket<C>>>;

/// Bounded table of buckets.
struct Buckets<C: Clock> {
    shards: Vec<Shard<C>>,
    hasher: RandomState,
    clock: C,
}

/// Buckets of all users, keys and addresses.
pub struct RateLimits<C: Clock = MonotonicClock> {
    /// Buckets of authenticated users and keys. Others cannot displace them.
    known: Buckets<C>,
    /// Buckets of addresses.
    addresses: Buckets<C>,
}

impl<C: Clock + Clone> Buckets<C> {
    fn new(clock: C) -> Buckets<C> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Buckets { shards, hasher: RandomState::new(), clock }
    }

    fn with<T>(&self, key: &(Group, Holder), work: impl FnOnce(&mut HashMap<(Group, Holder), Bucket<C>>) -> T) -> T {
        let at = usize::try_from(self.hasher.hash_one(key)).unwrap_or(usize::MAX) % SHARDS;
        work(&mut self.shards[at].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes one request from a bucket.
    fn take(&self, group: Group, holder: Holder, rate: Rate) -> Standing {
        let key = (group, holder);
        let now = self.clock.now();
        self.with(&key.clone(), |buckets| {
            if buckets.len() >= BUCKETS_MAX / SHARDS && !buckets.contains_key(&key) {
                make_room(buckets, now);
            }
            let fresh = || Bucket { rate, limiter: limiter(rate, &self.clock), remaining: rate.limit, at: now };
            let bucket = buckets.entry(key).or_insert_with(fresh);
            if bucket.rate != rate {
                // Used requests stay used, so that a changed rate does not fill the bucket.
                let left = refilled(bucket, now).min(rate.limit);
                *bucket = fresh();
                if let Some(used) = NonZeroU32::new(rate.limit - left) {
                    let _taken = bucket.limiter.check_n(used);
                }
            }
            bucket.at = now;
            let wait_s = match bucket.limiter.check() {
                Ok(snapshot) => {
                    bucket.remaining = snapshot.remaining_burst_capacity();
                    None
                }
                Err(not_until) => {
                    bucket.remaining = 0;
                    Some(not_until.wait_time_from(now).as_millis().div_ceil(1000).max(1) as u64)
                }
            };
            standing(rate, bucket.remaining, wait_s)
        })
    }

    /// Returns the state of a bucket without taking from it.
    fn look(&self, group: Group, holder: Holder, rate: Rate) -> Standing {
        let key = (group, holder);
        let now = self.clock.now();
        let remaining = self.with(&key, |buckets| match buckets.get(&key) {
            Some(bucket) => refilled(bucket, now).min(rate.limit),
            None => rate.limit,
        });
        standing(rate, remaining, None)
    }
}

/// Returns the number of requests that a bucket allows at once at this time.
fn refilled<C: Clock>(bucket: &Bucket<C>, now: C::Instant) -> u32 {
    let elapsed: Duration = now.duration_since(bucket.at).into();
    let back = elapsed.as_nanos() / step(bucket.rate).as_nanos().max(1);
    u32::try_from(back).unwrap_or(u32::MAX).saturating_add(bucket.remaining).min(bucket.rate.limit)
}

/// Returns the time after which one request is refilled.
fn step(rate: Rate) -> Duration {
    (rate.window() / rate.limit).max(Duration::from_nanos(1))
}

fn limiter<C: Clock + Clone>(rate: Rate, clock: &C) -> Limiter<C> {
    let burst = NonZeroU32::new(rate.limit).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(step(rate)).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
    RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware()
}

fn standing(rate: Rate, remaining: u32, wait_s: Option<u64>) -> Standing {
    let missing = rate.limit.saturating_sub(remaining);
    let reset_s = (step(rate) * missing).as_millis().div_ceil(1000) as u64;
    Standing { rate, remaining, reset_s, wait_s }
}

/// Removes buckets that are full again, and if that is not enough, the quarter that was used least recently.
fn make_room<C: Clock>(buckets: &mut HashMap<(Group, Holder), Bucket<C>>, now: C::Instant) {
    let before = buckets.len();
    buckets.retain(|_, bucket| Duration::from(now.duration_since(bucket.at)) < bucket.rate.window());
    if buckets.len() >= before.saturating_sub(before / 4) {
        let mut ages: Vec<Duration> = buckets.values().map(|bucket| now.duration_since(bucket.at).into()).collect();
        let middle = ages.len() - ages.len() / 4 - 1;
        let (_, threshold, _) = ages.select_nth_unstable(middle);
        let threshold = *threshold;
        buckets.retain(|_, bucket| Duration::from(now.duration_since(bucket.at)) < threshold);
        metrics::counter!("tandem_rate_limit_forgotten_total").increment(before.saturating_sub(buckets.len()) as u64);
    }
}

impl RateLimits {
    /// Creates empty tables.
    pub fn new() -> RateLimits {
        RateLimits::with_clock(MonotonicClock)
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        RateLimits::new()
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    /// Creates empty tables with another clock.
    pub fn with_clock(clock: C) -> RateLimits<C> {
        RateLimits { known: Buckets::new(clock.clone()), addresses: Buckets::new(clock) }
    }

    /// Counts a request of an actor in a group. Returns `None` if there is no limit.
    fn take_actor(&self, config: &LimitsConfig, actor: &Actor, group: Group) -> Option<Standing> {
        let rate = group.rate_of(config, actor)?;
        Some(self.known.take(group, holder(actor), rate))
    }

    /// Counts a request of an address. Returns `None` if there is no limit.
    fn take_address(&self, config: &LimitsConfig, address: IpAddr, group: Group) -> Option<Standing> {
        let rate = group.rate(config, None)?;
        Some(self.addresses.take(group, Holder::Address(network(address)), rate))
    }

    /// Returns whether an address has used up its limit for unauthenticated requests.
    fn is_address_spent(&self, config: &LimitsConfig, address: IpAddr) -> bool {
        let Some(rate) = Group::Default.rate(config, None) else { return false };
        self.addresses.look(Group::Default, Holder::Address(network(address)), rate).remaining == 0
    }

    /// Returns the state of an actor in a group, or `None` if there is no limit.
    pub fn standing(&self, config: &LimitsConfig, actor: &Actor, group: Group) -> Option<Standing> {
        let rate = group.rate_of(config, actor)?;
        Some(self.known.look(group, holder(actor), rate))
    }
}

fn holder(actor: &Actor) -> Holder {
    // Never the session, because a new log-in would have a full bucket.
    Holder::Actor(actor.organization.0, actor.by.id.unwrap_or_default())
}

/// Counts requests, refuses those over a limit, and adds the state to the headers of every counted response.
pub(crate) async fn enforce(State(enforcement): State<Enforcement>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let charge = route.map_or(Charge::Free, |route| enforcement.charges.of(request.method(), &route));
    if charge == Charge::Free {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let may_be_urgent = charge == Charge::Actor(Some(Group::Calls));
    let standing = match count_request(&enforcement.gate, &mut parts, charge).await {
        Ok(standing) => standing,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match standing {
        Some(Standing { wait_s: Some(wait_s), .. }) if may_be_urgent => {
            parts.extensions.insert(too_many(wait_s));
            next.run(Request::from_parts(parts, body)).await
        }
        Some(Standing { wait_s: Some(wait_s), .. }) => too_many(wait_s).into_response(),
        _ => next.run(Request::from_parts(parts, body)).await,
    };
    if let Some(standing) = standing {
        let headers = response.headers_mut();
        for (name, value) in [
            ("x-ratelimit-limit", u64::from(standing.rate.limit)),
            ("x-ratelimit-remaining", u64::from(standing.remaining)),
            ("x-ratelimit-reset", standing.reset_s),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
    response
}

/// Counts a request in all its groups. Returns the first state that refuses it, or else that of the most specific group.
async fn count_request(gate: &Gate, parts: &mut Parts, charge: Charge) -> Result<Option<Standing>, Problem> {
    let client = Client::from_request_parts(parts, &gate.auth).await?;
    let (limits, config) = (&gate.rate_limits, &gate.auth.config.limits);
    let by_address = |group| limits.take_address(config, client.address.ip(), group);
    let mut standing = None;
    if matches!(charge, Charge::Address | Charge::Both) {
        standing = by_address(Group::Entrance);
    }
    if charge == Charge::Address || standing.is_some_and(|standing| standing.wait_s.is_some()) {
        return Ok(standing);
    }
    if charge == Charge::Signed {
        let checked = SignedLink::check(parts, &gate.auth.store).await;
        let standing = if checked.is_err() { by_address(Group::Default) } else { None };
        parts.extensions.insert(Checked(checked));
        return Ok(standing);
    }
    // An address with too many guesses is refused before the store is asked, unless the credential was valid recently.
    if limits.is_address_spent(config, client.address.ip()) && Actor::may_be_guess(&parts.headers, &gate.auth) {
        return Ok(by_address(Group::Default));
    }
    let identified = Actor::identify(parts, &gate.auth).await;
    let standing = match &identified {
        Ok(actor) => {
            if let Charge::Actor(Some(group)) = charge {
                standing = limits.take_actor(config, actor, group);
            }
            if standing.is_some_and(|standing| standing.wait_s.is_some()) {
                standing
            } else {
                let general = limits.take_actor(config, actor, Group::Default);
                general.filter(|general| general.wait_s.is_some()).or(standing).or(general)
            }
        }
        // The store did not answer for a credential that was valid recently.
        Err(problem) if problem.status.is_server_error() && !Actor::may_be_guess(&parts.headers, &gate.auth) => None,
        // The request is not authenticated.
        Err(_) => by_address(Group::Default),
    };
    parts.extensions.insert(Identified(identified));
    Ok(standing)
}

/// Refusal of a call that may turn out to be to an emergency number, which is never refused.
pub(crate) struct Deferred(Option<Problem>);

impl Deferred {
    /// Returns the refusal, if there is one, unless the call is an emergency call.
    pub(crate) fn unless(self, urgent: bool) -> Result<(), Problem> {
        match self.0 {
            Some(problem) if !urgent => Err(problem),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Deferred {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Deferred(parts.extensions.get::<Problem>().cloned()))
    }
}

fn too_many(wait_s: u64) -> Problem {
    metrics::counter!("tandem_rate_limited_total").increment(1);
    Problem {
        retry_after: Some(u32::try_from(wait_s).unwrap_or(u32::MAX)),
        ..Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate-limit",
            "Too many requests",
            format!("try again in {wait_s} s; GET /api/usage/limits returns the limits"),
        )
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn limits() -> (RateLimits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (RateLimits::with_clock(clock.clone()), clock)
    }

    fn somebody(name: &str) -> Holder {
        let bytes = name.bytes().fold(0_u128, |sum, byte| sum * 256 + u128::from(byte));
        Holder::Actor(uuid::Uuid::nil(), uuid::Uuid::from_u128(bytes))
    }

    #[test]
    fn a_changed_rate_does_not_refill_a_bucket() {
        let limits = RateLimits::with_clock(FakeRelativeClock::default());
        let take = |limit| limits.known.take(Group::Default, somebody("a"), Rate { limit, window_s: 60 });
        for _ in 0..10 {
            assert_eq!(take(10).wait_s, None);
        }
        for limit in [9, 10, 20, 10, 600] {
            assert!(take(limit).wait_s.is_some(), "a full bucket by the limit {limit}");
        }
    }

    #[test]
    fn a_bucket_empties_and_refills_at_its_rate() {
        let (limits, clock) = limits();
        let rate = Rate { limit: 10, window_s: 300 };
        let take = || limits.known.take(Group::Speech, somebody("a"), rate);
        for left in (0..10).rev() {
            let standing = take();
            assert_eq!((standing.remaining, standing.wait_s), (left, None));
        }
        let refused = take();
        assert_eq!((refused.remaining, refused.wait_s, refused.reset_s), (0, Some(30), 300));
        clock.advance(Duration::from_secs(29));
        assert_eq!(take().wait_s, Some(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(take().wait_s, None);
        clock.advance(Duration::from_secs(300));
        let look = limits.known.look(Group::Speech, somebody("a"), rate);
        assert_eq!((look.remaining, look.reset_s), (10, 0));
        assert_eq!(take().remaining, 9);
    }

    #[test]
    fn one_holder_at_the_limit_takes_nothing_from_another() {
        let (limits, _clock) = limits();
        let rate = Rate { limit: 1, window_s: 60 };
        let take = |who: &str| limits.known.take(Group::Default, somebody(who), rate).wait_s;
        assert_eq!(take("a"), None);
        assert!(take("a").is_some());
        assert_eq!(take("b"), None);
    }

    #[test]
    fn a_changed_limit_applies_at_once() {
        let (limits, clock) = limits();
        let take = |limit| limits.known.take(Group::Default, somebody("a"), Rate { limit, window_s: 60 });
        assert_eq!(take(1).remaining, 0);
        assert_eq!(take(1).wait_s, Some(60));
        assert_eq!(take(5).wait_s, Some(12), "requests are refilled at the new rate");
        clock.advance(Duration::from_secs(12));
        assert_eq!(take(5).wait_s, None);
    }

    #[test]
    fn the_tables_stay_bounded_and_addresses_displace_no_known_actor() {
        let (limits, clock) = limits();
        let config = LimitsConfig { entrance: Some(Rate { limit: 1, window_s: 900 }), ..LimitsConfig::default() };
        let known = || limits.known.take(Group::Default, somebody("a"), Rate { limit: 1, window_s: 900 });
        assert_eq!(known().wait_s, None);
        for n in 0..BUCKETS_MAX as u32 + 5_000 {
            clock.advance(Duration::from_micros(1));
            let address = IpAddr::from(std::net::Ipv4Addr::from(n));
            assert_eq!(
                limits.take_address(&config, address, Group::Entrance).and_then(|standing| standing.wait_s),
                None
            );
        }
        let held: usize = limits.addresses.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= BUCKETS_MAX, "{held}");
        assert!(known().wait_s.is_some(), "still at the limit");
    }

    #[test]
    fn an_ipv6_subscriber_is_one_address() {
        let (limits, _clock) = limits();
        let config = LimitsConfig { entrance: Some(Rate { limit: 1, window_s: 900 }), ..LimitsConfig::default() };
        let take = |text: &str| limits.take_address(&config, text.parse().unwrap(), Group::Entrance).unwrap().wait_s;
        assert_eq!(take("2001:db8:1:2::1"), None);
        assert!(take("2001:db8:1:2:ffff::9").is_some());
        assert_eq!(take("2001:db8:1:3::1"), None);
        assert_eq!(take("::ffff:192.0.2.1"), None);
        assert!(take("192.0.2.1").is_some());
    }

    #[test]
    fn no_limit_counts_nothing() {
        let (limits, _clock) = limits();
        let config = LimitsConfig { entrance: None, ..LimitsConfig::default() };
        assert_eq!(limits.take_address(&config, HOME, Group::Entrance), None);
    }
}
