//! Trunks in operation: which of their places are healthy, how many calls they carry, what failed last.
//!
//! ```text
//!   response, silence, probe ─▶ answered, failed ─▶ health of a place ─▶ TrunkHealth, when it changes
//!   places: healthy first, then by priority, then by weight
//!   three failures, or Retry-After ─▶ set aside until it answers, or for a time
//! ```
//! [`Trunks`] owns the configured trunks, the health of each of their addresses, the count of calls of each trunk, its
//! allowance of new calls, and the timer of its next probe.
//!
//! - A place that was reported as down is reported as up before it is reported as down again.
//! - At most [`MOST_PLACES`] places are tried for one request.
//! - A trunk's count of calls is the number of `call_started` without their `call_ended`.
//!
//! Not here: the requests themselves (`trunking`), challenges (`challenging`), registrations (`registrations`), names
//! (`sip_io`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::event::SipEvent;
use super::outbox::{Outbox, Timeout};
use super::place::Place;
use super::tokens::Tokens;
use crate::sip::flow::{Flow, Transport};
use crate::sip::header::Name;
use crate::sip::message::{Message, parse_delta_seconds};
use crate::sip::trunk::{Destination, Trunk, TrunkIndex, TrunkSettings};
use crate::sip::wheel::TimerKey;

/// Consecutive failures after which a place is set aside.
const FAILURES: u8 = 3;
/// How long a silent place is set aside.
const ASIDE: Duration = Duration::from_secs(30);
/// Longest time that a place can ask for with Retry-After.
const ASIDE_MOST: Duration = Duration::from_secs(300);
/// Most places that one request tries.
const MOST_PLACES: usize = 8;

/// State of a trunk, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkStatus {
    /// Name of the trunk.
    pub name: String,
    /// Calls that it carries now, both directions together.
    pub calls: u32,
    /// Whether we are registered there; `None` if no registration is configured.
    pub registered: Option<bool>,
    /// State of each of its addresses.
    pub places: Vec<PlaceStatus>,
    /// The last failure in words.
    pub last_error: Option<String>,
}

/// State of one address of a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceStatus {
    /// Host as configured.
    pub host: String,
    /// Transport of requests to it.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
    /// Whether calls go there; otherwise it is set aside until it answers.
    pub healthy: bool,
}

/// Direction of a call through a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// All trunks of the endpoint, in the order of the configuration.
pub(super) struct Trunks(Vec<State>);

/// A trunk and its current state.
struct State {
    trunk: Trunk,
    health: Vec<Health>,
    probing: Option<TimerKey>,
    /// Number of legs of this trunk.
    calls: u32,
    /// Calls that may start now, in thousandths, as of `refilled`.
    allowance: u64,
    refilled: Option<Instant>,
    last_error: Option<String>,
}

/// Health of one address of a trunk.
struct Health {
    transport: Transport,
    address: SocketAddr,
    /// Consecutive failures since the last success.
    failures: u8,
    aside_until: Option<Instant>,
    /// Whether the last health event said that it is down.
    told_down: bool,
}

impl Trunks {
    pub(super) fn new(trunks: Vec<Trunk>) -> Trunks {
        Trunks(trunks.into_iter().map(State::new).collect())
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = TrunkIndex> + use<> {
        (0..self.0.len()).map(TrunkIndex)
    }

    pub(super) fn find(&self, name: &str) -> Option<TrunkIndex> {
        self.0.iter().position(|state| state.trunk.name == name).map(TrunkIndex)
    }

    pub(super) fn trunk(&self, index: TrunkIndex) -> &Trunk {
        &self.0[index.0].trunk
    }

    pub(super) fn settings(&self, index: TrunkIndex) -> &TrunkSettings {
        &self.trunk(index).settings
    }

    /// Returns the trunk that a message on `flow` comes from.
    pub(super) fn owner_of(&self, flow: &Flow) -> Option<&Trunk> {
        self.0.iter().map(|state| &state.trunk).find(|trunk| trunk.owns(flow))
    }

    /// Returns the state of every trunk; `registered` says whether we are registered there.
    pub(super) fn status(&self, registered: impl Fn(TrunkIndex) -> Option<bool>, now: Instant) -> Vec<TrunkStatus> {
        let place = |state: &State, destination: &Destination, address: SocketAddr| PlaceStatus {
            host: destination.host.clone(),
            transport: destination.transport,
            address,
            healthy: state.is_healthy(destination.transport, address, now),
        };
        let status = |(index, state): (usize, &State)| TrunkStatus {
            name: state.trunk.name.clone(),
            calls: state.calls,
            registered: registered(TrunkIndex(index)),
            places: state
                .trunk
                .destinations
                .iter()
                .flat_map(|to| to.addresses.iter().map(move |address| place(state, to, *address)))
                .collect(),
            last_error: state.last_error.clone(),
        };
        self.0.iter().enumerate().map(status).collect()
    }

    /// Replaces a trunk's destinations after its names were resolved. Addresses that stay keep their health.
    pub(super) fn resolved(&mut self, index: TrunkIndex, destinations: Vec<Destination>) {
        let state = &mut self.0[index.0];
        let is_kept = |health: &Health| {
            destinations.iter().any(|to| to.transport == health.transport && to.addresses.contains(&health.address))
        };
        state.health.retain(is_kept);
        state.trunk.resolved(destinations);
    }

    /// Returns whether one more call fits; an outgoing call that fits uses up its share of the calls per second.
    pub(super) fn has_room(&mut self, index: TrunkIndex, way: Way, now: Instant) -> bool {
        self.0[index.0].has_room(way, now)
    }

    /// Counts a call until its `call_ended`.
    pub(super) fn call_started(&mut self, index: TrunkIndex) {
        self.0[index.0].calls += 1;
    }

    pub(super) fn call_ended(&mut self, index: TrunkIndex) {
        self.0[index.0].calls -= 1;
    }

    /// Returns the places of a trunk in the order in which they are tried, of those whose address `is_near` admits.
    pub(super) fn places(
        &self,
        index: TrunkIndex,
        is_near: impl Fn(SocketAddr) -> bool,
        tokens: &mut Tokens,
        now: Instant,
    ) -> Vec<Place> {
        let state = &self.0[index.0];
        let mut places = Vec::new();
        for destination in &state.trunk.destinations {
            for &address in destination.addresses.iter().filter(|address| is_near(**address)) {
                let doubtful = !state.is_healthy(destination.transport, address, now);
                let order = (doubtful, destination.priority, tokens.rank(destination.weight));
                places.push((order, Place::of(index, destination, address)));
            }
        }
        places.sort_by_key(|(order, _)| *order);
        places.into_iter().map(|(_, place)| place).take(MOST_PLACES).collect()
    }

    pub(super) fn is_healthy(&self, place: &Place, now: Instant) -> bool {
        self.0[place.trunk.0].is_healthy(place.transport, place.address, now)
    }

    /// Updates the health of a place by its response.
    pub(super) fn answered(
        &mut self,
        place: &Place,
        response: &Message<'_>,
        status: u16,
        now: Instant,
        out: &mut Outbox,
    ) {
        if matches!(status, 408 | 503 | 504) {
            let after =
                response.header(Name::RetryAfter).map(|value| value.split([';', '(', ' ']).next().unwrap_or(value));
            let after = after.and_then(parse_delta_seconds).map(|seconds| Duration::from_secs(u64::from(seconds)));
            return self.failed(place, &format!("{status}"), after, now, out);
        }
        let health = self.health_mut(place);
        (health.failures, health.aside_until) = (0, None);
        if std::mem::take(&mut health.told_down) {
            self.report(place, true, "answers again", out);
        }
    }

    /// Records a failure of a place. `aside` is the pause that it asked for.
    pub(super) fn failed(&mut self, place: &Place, why: &str, aside: Option<Duration>, now: Instant, out: &mut Outbox) {
        self.note_error(place.trunk, format!("{}: {why}", place.address));
        let health = self.health_mut(place);
        health.failures = health.failures.saturating_add(1);
        let aside = match aside {
            Some(asked) => Some(asked.min(ASIDE_MOST)),
            None => (health.failures >= FAILURES).then_some(ASIDE),
        };
        if let Some(aside) = aside {
            health.aside_until = Some(now + aside);
        }
        if health.failures >= FAILURES && !std::mem::replace(&mut health.told_down, true) {
            self.report(place, false, why, out);
        }
    }

    /// Records the last failure of a trunk in words.
    pub(super) fn note_error(&mut self, index: TrunkIndex, why: impl Into<String>) {
        self.0[index.0].last_error = Some(why.into());
    }

    /// Arms the timer for the next probe of a trunk after about its configured interval.
    pub(super) fn probe_later(&mut self, index: TrunkIndex, tokens: &mut Tokens, now: Instant, out: &mut Outbox) {
        let state = &mut self.0[index.0];
        let Some(every) = state.trunk.settings.probe else { return };
        // A tenth earlier or later, so that trunks are not probed in step.
        let pause = every * 9 / 10 + every * tokens.below(20) / 100;
        out.rearm_after(&mut state.probing, pause, now, Timeout::Probe(index));
    }

    /// Ends the probes of a trunk.
    pub(super) fn stop_probing(&mut self, index: TrunkIndex, out: &mut Outbox) {
        out.cancel(&mut self.0[index.0].probing);
    }

    fn health_mut(&mut self, place: &Place) -> &mut Health {
        let &Place { trunk, transport, address, .. } = place;
        let health = &mut self.0[trunk.0].health;
        let known = health.iter().position(|health| health.is_of(transport, address));
        let at = known.unwrap_or_else(|| {
            health.push(Health { transport, address, failures: 0, aside_until: None, told_down: false });
            health.len() - 1
        });
        &mut health[at]
    }

    fn report(&self, place: &Place, healthy: bool, why: &str, out: &mut Outbox) {
        let trunk = self.trunk(place.trunk).name.clone();
        out.event(SipEvent::TrunkHealth { trunk, address: place.address, healthy, why: why.to_owned() });
    }
}

impl Health {
    fn is_of(&self, transport: Transport, address: SocketAddr) -> bool {
        self.transport == transport && self.address == address
    }
}

impl State {
    fn new(trunk: Trunk) -> State {
        State { trunk, health: Vec::new(), probing: None, calls: 0, allowance: 0, refilled: None, last_error: None }
    }

    fn is_healthy(&self, transport: Transport, address: SocketAddr, now: Instant) -> bool {
        let health = self.health.iter().find(|health| health.is_of(transport, address));
        health.and_then(|health| health.aside_until).is_none_or(|until| until <= now)
    }

    fn has_room(&mut self, way: Way, now: Instant) -> bool {
        let TrunkSettings { channels, calls_per_second, .. } = self.trunk.settings;
        if channels.is_some_and(|most| self.calls >= most) {
            return false;
        }
        let Some(rate) = calls_per_second.map(u64::from).filter(|_| way == Way::Out) else { return true };
        let full = rate * 1000;
        let since = self.refilled.map_or(full, |at| {
            let millis = u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
            millis.saturating_mul(rate)
        });
        self.allowance = self.allowance.saturating_add(since).min(full);
        self.refilled = Some(now);
        let fits = self.allowance >= 1000;
        if fits {
            self.allowance -= 1000;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    const TRUNK: TrunkIndex = TrunkIndex(0);

    /// A trunk with a destination for each pair of the last number of its address and its priority.
    fn trunks(destinations: &[(u8, u16)], settings: TrunkSettings) -> Trunks {
        let destination = |&(n, priority): &(u8, u16)| {
            let address = SocketAddr::from(([198, 51, 100, n], 5060));
            Destination { priority, ..Destination::udp(address) }
        };
        let destinations = destinations.iter().map(destination).collect();
        Trunks::new(vec![Trunk { name: "carrier".into(), destinations, settings, ..Trunk::default() }])
    }

    fn order(trunks: &Trunks, now: Instant) -> Vec<u8> {
        let places = trunks.places(TRUNK, |_| true, &mut Tokens::new(&[7; 32]), now);
        places
            .iter()
            .map(|place| if let std::net::IpAddr::V4(ip) = place.address.ip() { ip.octets()[3] } else { 0 })
            .collect()
    }

    fn first(trunks: &Trunks, now: Instant) -> Place {
        trunks.places(TRUNK, |_| true, &mut Tokens::new(&[7; 32]), now).swap_remove(0)
    }

    fn response(status: u16, extra: &str) -> String {
        format!("SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n{extra}Content-Length: 0\r\n\r\n")
    }

    /// The health events so far: whether each says that the place is healthy.
    fn reports(out: &mut Outbox) -> Vec<bool> {
        let healthy = |event| if let SipEvent::TrunkHealth { healthy, .. } = event { Some(healthy) } else { None };
        out.drain_events().into_iter().filter_map(healthy).collect()
    }

    #[test]
    fn a_place_is_set_aside_after_three_failures_and_reported_once() {
        let (mut trunks, mut out, now) =
            (trunks(&[(1, 1), (2, 2)], TrunkSettings::default()), Outbox::new(), test_epoch());
        let place = first(&trunks, now);
        for failure in 1..=5 {
            trunks.failed(&place, "silent", None, now, &mut out);
            assert_eq!(order(&trunks, now), if failure < 3 { [1, 2] } else { [2, 1] }, "failure {failure}");
        }
        assert_eq!(reports(&mut out), [false]);
        assert_eq!(order(&trunks, now + ASIDE), [1, 2]);
        let ok = response(200, "");
        trunks.answered(&place, &Message::parse(ok.as_bytes()).unwrap(), 200, now, &mut out);
        assert_eq!((order(&trunks, now), reports(&mut out)), (vec![1, 2], vec![true]));
        assert_eq!(trunks.status(|_| None, now)[0].last_error.as_deref(), Some("198.51.100.1:5060: silent"));
    }

    #[test]
    fn a_place_may_ask_for_a_pause_but_for_no_long_one() {
        for (asked, pause) in [("60", 60), ("60;duration=9", 60), ("86400", 300)] {
            let (mut trunks, mut out, now) =
                (trunks(&[(1, 1), (2, 2)], TrunkSettings::default()), Outbox::new(), test_epoch());
            let busy = response(503, &format!("Retry-After: {asked}\r\n"));
            trunks.answered(&first(&trunks, now), &Message::parse(busy.as_bytes()).unwrap(), 503, now, &mut out);
            let before = now + Duration::from_secs(pause) - Duration::from_millis(1);
            assert_eq!((order(&trunks, before), reports(&mut out)), (vec![2, 1], vec![]), "{asked}");
            assert_eq!(order(&trunks, now + Duration::from_secs(pause)), [1, 2], "{asked}");
        }
    }

    #[test]
    fn addresses_that_stay_after_resolution_keep_their_health() {
        let (mut trunks, mut out, now) =
            (trunks(&[(1, 1), (2, 2)], TrunkSettings::default()), Outbox::new(), test_epoch());
        let place = first(&trunks, now);
        (0..3).for_each(|_| trunks.failed(&place, "silent", None, now, &mut out));
        let mut destinations = trunks.trunk(TRUNK).destinations.clone();
        trunks.resolved(TRUNK, destinations.clone());
        assert_eq!(order(&trunks, now), [2, 1]);
        let old = destinations.remove(0);
        trunks.resolved(TRUNK, destinations.clone());
        destinations.insert(0, old);
        trunks.resolved(TRUNK, destinations);
        assert_eq!(order(&trunks, now), [1, 2], "an address that was gone starts anew");
    }

    #[test]
    fn channels_bind_both_ways_and_the_rate_outgoing_calls_only() {
        let settings = TrunkSettings { channels: Some(3), calls_per_second: Some(2), ..TrunkSettings::default() };
        let (mut trunks, now) = (trunks(&[(1, 1)], settings), test_epoch());
        assert!(trunks.has_room(TRUNK, Way::Out, now) && trunks.has_room(TRUNK, Way::Out, now));
        assert!(!trunks.has_room(TRUNK, Way::Out, now) && trunks.has_room(TRUNK, Way::In, now));
        assert!(trunks.has_room(TRUNK, Way::Out, now + Duration::from_millis(500)), "one more in half a second");
        (0..3).for_each(|_| trunks.call_started(TRUNK));
        assert!(!trunks.has_room(TRUNK, Way::In, now + Duration::from_secs(9)));
        trunks.call_ended(TRUNK);
        assert!(trunks.has_room(TRUNK, Way::In, now) && trunks.status(|_| None, now)[0].calls == 2);
    }

    #[test]
    fn probes_follow_about_their_interval_until_they_are_stopped() {
        let every = Duration::from_secs(60);
        let (mut tokens, mut out, mut now) = (Tokens::new(&[7; 32]), Outbox::new(), test_epoch());
        let mut trunks = trunks(&[(1, 1)], TrunkSettings { probe: Some(every), ..TrunkSettings::default() });
        for _ in 0..50 {
            trunks.probe_later(TRUNK, &mut tokens, now, &mut out);
            assert_eq!(out.expire(now + every * 9 / 10 - Duration::from_millis(1)), None);
            assert_eq!(out.expire(now + every * 11 / 10), Some(Timeout::Probe(TRUNK)));
            now += every * 2;
        }
        trunks.probe_later(TRUNK, &mut tokens, now, &mut out);
        trunks.stop_probing(TRUNK, &mut out);
        assert_eq!(out.timer_count(), 0);
    }
}
