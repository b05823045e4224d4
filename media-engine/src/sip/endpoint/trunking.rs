//! Trunks in operation: the destination that a call tries, the health of destinations, the limits of a trunk.
//!
//! ```text
//!   Invite ─▶ places: healthy first, then by priority, then by weight
//!     ├─ 408, 480, 503, 504, connection failed ──▶ next place at once
//!     ├─ silence for 2 s (4 s if only unhealthy places are left) ──▶ next place; this one is cancelled
//!     └─ anything else ends the call
//!   OPTIONS every `probe` ─▶ health: three failures ─▶ set aside until it answers, or for half a minute
//! ```
//!
//! Not here: challenges (`challenging`), registrations (`registering`), names (`sip_io`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Endpoint;
use super::abilities::ALLOW;
use super::command::{DialogId, Invite};
use super::event::SipEvent;
use super::ids::ClientId;
use super::legs::{Calling, Failure, Leg, LegState};
use super::outbox::Timeout;
use super::outgoing::Goal;
use super::place::Place;
use super::tables::ClientUser;
use crate::sip::flow::{Flow, Transport};
use crate::sip::header::Name;
use crate::sip::message::{Message, Method, parse_delta_seconds};
use crate::sip::trunk::{Destination, Trunk, TrunkIndex};
use crate::sip::wheel::TimerKey;
use crate::sip::write::RequestBuilder;

/// Consecutive failures after which a place is set aside.
const FAILURES: u8 = 3;
/// How long a silent place is set aside.
const ASIDE: Duration = Duration::from_secs(30);
/// Longest time that a place can ask for with Retry-After.
const ASIDE_MOST: Duration = Duration::from_secs(300);
/// How long a place may be silent while a healthy one is left to try.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a place may be silent while only unhealthy ones are left to try.
const PATIENCE_WITHOUT_CHOICE: Duration = Duration::from_secs(4);
/// Most places that one call tries.
const MOST_PLACES: usize = 8;

/// A trunk and its current state.
pub(super) struct TrunkState {
    pub(super) trunk: Trunk,
    health: Vec<Health>,
    probing: Option<TimerKey>,
    /// Number of legs of this trunk.
    pub(super) calls: u32,
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

/// A call that may try further places of its trunk.
pub(super) struct Attempts {
    call: Invite,
    user: String,
    /// Places left to try, the next one last.
    left: Vec<Place>,
    /// Timer for the silence of the place that is being tried.
    pub(super) patience: Option<TimerKey>,
}

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

impl TrunkState {
    pub(super) fn new(trunk: Trunk) -> TrunkState {
        TrunkState {
            trunk,
            health: Vec::new(),
            probing: None,
            calls: 0,
            allowance: 0,
            refilled: None,
            last_error: None,
        }
    }

    fn health(&self, transport: Transport, address: SocketAddr) -> Option<&Health> {
        self.health.iter().find(|health| health.transport == transport && health.address == address)
    }

    fn is_healthy(&self, transport: Transport, address: SocketAddr, now: Instant) -> bool {
        self.health(transport, address).and_then(|health| health.aside_until).is_none_or(|until| until <= now)
    }

    fn health_mut(&mut self, transport: Transport, address: SocketAddr) -> &mut Health {
        let known = self.health.iter().position(|health| health.transport == transport && health.address == address);
        let at = known.unwrap_or_else(|| {
            self.health.push(Health { transport, address, failures: 0, aside_until: None, told_down: false });
            self.health.len() - 1
        });
        &mut self.health[at]
    }

    /// Returns whether one more call fits; an outgoing call that fits uses up its share of the calls per second.
    fn has_room(&mut self, goes_out: bool, now: Instant) -> bool {
        if self.trunk.settings.channels.is_some_and(|most| self.calls >= most) {
            return false;
        }
        let Some(rate) = self.trunk.settings.calls_per_second.map(u64::from).filter(|_| goes_out) else { return true };
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

impl Endpoint {
    pub(super) fn trunk_named(&self, name: &str) -> Option<TrunkIndex> {
        self.trunks.iter().position(|state| state.trunk.name == name).map(TrunkIndex)
    }

    pub(super) fn trunk(&self, index: TrunkIndex) -> &Trunk {
        &self.trunks[index.0].trunk
    }

    /// Returns the state of every trunk.
    pub fn trunk_status(&self, now: Instant) -> Vec<TrunkStatus> {
        let place = |state: &TrunkState, destination: &Destination, address: SocketAddr| PlaceStatus {
            host: destination.host.clone(),
            transport: destination.transport,
            address,
            healthy: state.is_healthy(destination.transport, address, now),
        };
        let status = |(index, state): (usize, &TrunkState)| TrunkStatus {
            name: state.trunk.name.clone(),
            calls: state.calls,
            registered: self.is_registered(TrunkIndex(index)),
            places: state
                .trunk
                .destinations
                .iter()
                .flat_map(|to| to.addresses.iter().map(move |address| place(state, to, *address)))
                .collect(),
            last_error: state.last_error.clone(),
        };
        self.trunks.iter().enumerate().map(status).collect()
    }

    /// Replaces a trunk's destinations after its names were resolved.
    pub(super) fn trunk_resolved(&mut self, name: &str, destinations: Vec<Destination>, now: Instant) {
        let Some(index) = self.trunk_named(name) else { return };
        let state = &mut self.trunks[index.0];
        let is_kept = |health: &Health| {
            destinations.iter().any(|to| to.transport == health.transport && to.addresses.contains(&health.address))
        };
        state.health.retain(is_kept);
        state.trunk.resolved(destinations);
        self.wake_registrations(index, now);
    }

    /// Starts what trunks do on their own: registrations and probes.
    pub(super) fn start_trunks(&mut self, now: Instant) {
        for index in (0..self.trunks.len()).map(TrunkIndex) {
            let settings = &self.trunk(index).settings;
            if let (Some(expires), Some(credentials)) = (settings.register, settings.credentials.clone()) {
                let name = self.trunk(index).name.clone();
                self.register(name, credentials.user, credentials.password, expires, now);
            }
            self.probe(index, now);
        }
    }

    /// Calls a number through a trunk. `urgent` calls ignore its limits.
    pub(super) fn invite_trunk(&mut self, call: Invite, name: &str, user: &str, urgent: bool, now: Instant) {
        let id = call.dialog;
        let fail = |status, reason: &str| SipEvent::Failed { dialog: id, status, reason: reason.into(), told: None };
        let Some(index) = self.trunk_named(name) else { return self.event(fail(404, "No Such Trunk")) };
        let mut left = self.places(index, now);
        if left.is_empty() {
            self.trunk_failed(index, "no address is known: its name does not resolve");
            return self.event(fail(503, "Trunk Without Address"));
        }
        if !self.trunks[index.0].has_room(true, now) && !urgent {
            self.trunk_failed(index, "its call limit was reached");
            return self.event(fail(503, "Trunk Full"));
        }
        left.reverse();
        let user = self.trunk(index).settings.numbers.to_trunk(user);
        let attempts = Attempts { call, user, left, patience: None };
        let mut leg =
            Leg::new(id, LegState::Calling(Calling { attempts: Some(Box::new(attempts)), ..Calling::default() }));
        self.belongs_to(&mut leg, index);
        self.out.rearm_after(&mut leg.timer, self.config.unanswered, now, Timeout::Leg(id));
        self.legs.insert(id, leg);
        if !self.try_next_place(id, now) {
            self.drop_leg(id, now);
            self.trunk_failed(index, "no listener can reach its addresses");
            self.event(fail(503, "No Listener"));
        }
    }

    /// Counts a leg as a call of its trunk until it is dismantled.
    pub(super) fn belongs_to(&mut self, leg: &mut Leg, index: TrunkIndex) {
        leg.trunk = Some(index);
        self.trunks[index.0].calls += 1;
    }

    /// Returns whether a call of the trunk fits into its channels.
    pub(super) fn has_channel(&mut self, index: TrunkIndex, now: Instant) -> bool {
        self.trunks[index.0].has_room(false, now)
    }

    /// Tries the next place of a call's trunk; returns `false` if none is left.
    pub(super) fn try_next_place(&mut self, id: DialogId, now: Instant) -> bool {
        let Some(mut leg) = self.legs.remove(&id) else { return false };
        let tried = self.start_attempt(&mut leg, now);
        self.legs.insert(id, leg);
        tried
    }

    fn start_attempt(&mut self, leg: &mut Leg, now: Instant) -> bool {
        let id = leg.id;
        let LegState::Calling(calling) = &mut leg.state else { return false };
        let Some(mut attempts) = calling.attempts.take() else { return false };
        self.out.rearm(&mut attempts.patience, None, now, Timeout::Attempt(id));
        let mut tried = None;
        while let Some(place) = attempts.left.pop() {
            if let Some(flow) = self.flow_of(&place) {
                let uri = place.uri(&attempts.user);
                let goal = Goal { to: format!("<{uri}>"), uri, flow, routes: Vec::new(), place: Some(place) };
                tried = Some((self.start_fork(&attempts.call, goal, now), flow));
                break;
            }
            self.place_failed(&place, "no listener can reach this address", None, now);
        }
        if tried.is_some() {
            self.watch_attempt(&mut attempts, id, now);
        }
        calling.attempts = Some(attempts);
        if let Some((client, flow)) = tried {
            calling.forks.push((client, flow));
            self.attach(leg, &flow);
        }
        tried.is_some()
    }

    fn watch_attempt(&mut self, attempts: &mut Attempts, id: DialogId, now: Instant) {
        let Some(next) = attempts.left.last() else { return };
        let healthy = self.trunks[next.trunk.0].is_healthy(next.transport, next.address, now);
        let patience = if healthy { PATIENCE } else { PATIENCE_WITHOUT_CHOICE };
        self.out.rearm_after(&mut attempts.patience, patience, now, Timeout::Attempt(id));
    }

    /// Restarts the patience for the same place, which is asked once more with a password or a longer interval.
    pub(super) fn attempt_again(&mut self, id: DialogId, now: Instant) {
        let Some(LegState::Calling(calling)) = self.legs.get_mut(&id).map(|leg| &mut leg.state) else { return };
        let Some(mut attempts) = calling.attempts.take() else { return };
        self.watch_attempt(&mut attempts, id, now);
        if let Some(LegState::Calling(calling)) = self.legs.get_mut(&id).map(|leg| &mut leg.state) {
            calling.attempts = Some(attempts);
        }
    }

    /// Updates the health of a trunk's place by a response to a request that may have gone there.
    pub(super) fn note_trunk_response(&mut self, user: &ClientUser, response: &Message<'_>, status: u16, now: Instant) {
        match user {
            ClientUser::Fork(fork) => {
                if let Some(place) = fork.tried_place() {
                    self.place_answered(place, response, status, now);
                }
                if fork.place.is_some() && !fork.abandoned {
                    self.attempt_answered(fork.dialog);
                }
            }
            ClientUser::Probe(place) if status >= 200 => self.place_answered(place, response, status, now),
            _ => {}
        }
    }

    /// Handles a place that has been silent for too long: the next one is tried, and a late answer of this one is
    /// cancelled.
    pub(super) fn attempt_timer(&mut self, id: DialogId, now: Instant) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let LegState::Calling(calling) = &mut leg.state else { return };
        let Some(attempts) = &mut calling.attempts else { return };
        attempts.patience = None;
        let nobody = || Failure { status: 408, reason: "Request Timeout".into(), told: None };
        calling.failure.get_or_insert_with(nobody);
        for (client, _) in std::mem::take(&mut calling.forks) {
            let place = self.place_of(client);
            self.abandon_fork(client, now);
            if let Some(place) = place {
                self.place_failed(&place, "no answer, not even a provisional one", None, now);
            }
        }
        if !self.try_next_place(id, now) {
            self.call_failed(id, now);
        }
    }

    /// Stops the timer for the place's silence, since it has responded.
    fn attempt_answered(&mut self, id: DialogId) {
        if let Some(LegState::Calling(calling)) = self.legs.get_mut(&id).map(|leg| &mut leg.state)
            && let Some(attempts) = &mut calling.attempts
        {
            self.out.cancel(&mut attempts.patience);
        }
    }

    /// Returns the flow towards a place.
    pub(super) fn flow_of(&mut self, place: &Place) -> Option<Flow> {
        self.flow_towards(place.transport, place.address, &place.host)
    }

    /// Returns every address of a trunk in the order in which they are tried.
    pub(super) fn places(&mut self, index: TrunkIndex, now: Instant) -> Vec<Place> {
        let state = &self.trunks[index.0];
        let mut places = Vec::new();
        for destination in &state.trunk.destinations {
            let near =
                |address: &SocketAddr| self.listeners.iter().any(|flow| flow.local.is_ipv4() == address.is_ipv4());
            for &address in destination.addresses.iter().filter(|address| near(address)) {
                let doubtful = !state.is_healthy(destination.transport, address, now);
                let order = (doubtful, destination.priority, self.tokens.rank(destination.weight));
                places.push((order, Place::of(index, destination, address)));
            }
        }
        places.sort_by_key(|(order, _)| *order);
        places.into_iter().map(|(_, place)| place).take(MOST_PLACES).collect()
    }

    fn place_of(&mut self, client: ClientId) -> Option<Place> {
        let client = self.tables.client(client)?;
        match &client.user {
            ClientUser::Fork(fork) => fork.tried_place().cloned(),
            _ => None,
        }
    }

    /// Updates the health of a place by its response.
    fn place_answered(&mut self, place: &Place, response: &Message<'_>, status: u16, now: Instant) {
        if matches!(status, 408 | 503 | 504) {
            let after =
                response.header(Name::RetryAfter).map(|value| value.split([';', '(', ' ']).next().unwrap_or(value));
            let after = after.and_then(parse_delta_seconds).map(|seconds| Duration::from_secs(u64::from(seconds)));
            return self.place_failed(place, &format!("{status}"), after, now);
        }
        let health = self.trunks[place.trunk.0].health_mut(place.transport, place.address);
        (health.failures, health.aside_until) = (0, None);
        if std::mem::take(&mut health.told_down) {
            self.report_health(place, true, "answers again");
        }
    }

    /// Records a failure of a place. `aside` is the pause that it asked for.
    pub(super) fn place_failed(&mut self, place: &Place, why: &str, aside: Option<Duration>, now: Instant) {
        self.trunk_failed(place.trunk, &format!("{}: {why}", place.address));
        let health = self.trunks[place.trunk.0].health_mut(place.transport, place.address);
        health.failures = health.failures.saturating_add(1);
        let aside = match aside {
            Some(asked) => Some(asked.min(ASIDE_MOST)),
            None => (health.failures >= FAILURES).then_some(ASIDE),
        };
        if let Some(aside) = aside {
            health.aside_until = Some(now + aside);
        }
        if health.failures >= FAILURES && !std::mem::replace(&mut health.told_down, true) {
            self.report_health(place, false, why);
        }
    }

    fn report_health(&mut self, place: &Place, healthy: bool, why: &str) {
        let trunk = self.trunk(place.trunk).name.clone();
        self.event(SipEvent::TrunkHealth { trunk, address: place.address, healthy, why: why.to_owned() });
    }

    pub(super) fn trunk_failed(&mut self, index: TrunkIndex, why: &str) {
        self.trunks[index.0].last_error = Some(why.to_owned());
    }

    /// Probes every address of a trunk, and arms the timer for the next time.
    pub(super) fn probe(&mut self, index: TrunkIndex, now: Instant) {
        let Some(every) = self.trunk(index).settings.probe else { return };
        let places = if self.draining { Vec::new() } else { self.places(index, now) };
        for place in places {
            if let Some(flow) = self.flow_of(&place)
                && self.has_room()
            {
                let (branch, call_id, tag) = (self.tokens.branch(), self.tokens.fresh(), self.tokens.fresh());
                let uri = place.uri("");
                let from = format!("<sip:{}>;tag={tag}", self.config.domain);
                let options = RequestBuilder::new("OPTIONS", &uri)
                    .header("Via", self.config.via(&flow, &branch))
                    .header("Max-Forwards", 70)
                    .header("From", from)
                    .header("To", format_args!("<{uri}>"))
                    .header("Call-ID", call_id)
                    .header("CSeq", "1 OPTIONS")
                    .header("Contact", self.config.contact(&flow, ""))
                    .header("Allow", ALLOW)
                    .header("User-Agent", &self.config.user_agent);
                let user = ClientUser::Probe(Box::new(place));
                self.start_client(flow, &branch, Method::Options, options.build(), user, now);
            }
        }
        let mut timer = self.trunks[index.0].probing.take();
        if self.draining {
            return self.out.rearm(&mut timer, None, now, Timeout::Probe(index));
        }
        // A tenth earlier or later, so that trunks are not probed in step.
        let pause = every * 9 / 10 + every * self.tokens.below(20) / 100;
        self.out.rearm_after(&mut timer, pause, now, Timeout::Probe(index));
        self.trunks[index.0].probing = timer;
    }
}
