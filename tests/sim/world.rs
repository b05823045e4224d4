//! A world of SIP endpoints under virtual time, with disturbances of their messages.
//!
//! ```text
//!   endpoint A ── message n: lost | doubled | late ──▶ endpoint B (, C)      scripts answer events with orders
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media_engine::sip::trunk::Destination;
use media_engine::sip::{
    Endpoint, EndpointConfig, Flow, FlowId, SipCommand, SipEvent, SipOutput, Sizes, Transport, Trunk,
};

pub(crate) const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
pub(crate) const ANSWER: &str =
    "v=0\r\no=- 2 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

pub(crate) fn ms(span: u64) -> Duration {
    Duration::from_millis(span)
}

pub(crate) fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, side as u8 + 1], 5060))
}

/// Fate of the message with this number, counted over all sides.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    Lost(usize),
    Doubled(usize),
    Late(usize, Duration),
}

pub(crate) struct Side {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: Vec<SipEvent>,
}

/// Behaviour of a side's engine: the commands with which it answers an event, each after a delay.
pub(crate) type Script = fn(usize, &SipEvent) -> Vec<(Duration, SipCommand)>;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) sides: Vec<Side>,
    /// Messages in flight and future commands, by time.
    agenda: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
    pub(crate) sent: usize,
    fault: Fault,
    script: Script,
}

enum Happening {
    Arrival { to: usize, from: SocketAddr, bytes: Vec<u8> },
    Order { side: usize, command: SipCommand },
}

impl World {
    pub(crate) fn new(sides: usize, fault: Fault, script: Script) -> World {
        let side = |own: usize| {
            let trunk = |other: usize| Trunk {
                name: format!("side{other}"),
                addresses: vec![address(other).ip()],
                destinations: vec![Destination::udp(address(other))],
                ..Trunk::default()
            };
            let trunks = (0..sides).filter(|other| *other != own).map(trunk).collect();
            let config = EndpointConfig { trunks, ..EndpointConfig::new("example.com", [own as u8; 32]) };
            let mut endpoint = Endpoint::new(config);
            endpoint.listener(flow(own, address(own)));
            Side { endpoint, events: Vec::new() }
        };
        World {
            now: Instant::now(),
            sides: (0..sides).map(side).collect(),
            agenda: BTreeMap::new(),
            serial: 0,
            sent: 0,
            fault,
            script,
        }
    }

    fn later(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.agenda.insert((self.now + delay, self.serial), happening);
    }

    pub(crate) fn order(&mut self, delay: Duration, side: usize, command: SipCommand) {
        self.later(delay, Happening::Order { side, command });
    }

    /// Puts a message on the link.
    fn send(&mut self, from: SocketAddr, to: usize, bytes: &[u8]) {
        let number = self.sent;
        self.sent += 1;
        let arrival = || Happening::Arrival { to, from, bytes: bytes.to_vec() };
        match self.fault {
            Fault::Lost(n) if n == number => {}
            Fault::Doubled(n) if n == number => {
                self.later(LATENCY, arrival());
                self.later(LATENCY * 3, arrival());
            }
            Fault::Late(n, delay) if n == number => self.later(LATENCY + delay, arrival()),
            _ => self.later(LATENCY, arrival()),
        }
    }

    /// Collects the output of a side until it has none left.
    fn collect(&mut self, side: usize) {
        while let Some(output) = self.sides[side].endpoint.poll_output() {
            match output {
                SipOutput::Transmit { flow, bytes } => {
                    let to = (0..self.sides.len()).find(|other| address(*other) == flow.peer);
                    self.send(address(side), to.expect("only known sides are spoken to"), &bytes);
                }
                SipOutput::Event(event) => {
                    for (delay, command) in (self.script)(side, &event) {
                        self.order(delay, side, command);
                    }
                    self.sides[side].events.push(event);
                }
                SipOutput::Connect { .. } | SipOutput::CloseFlow(_) => panic!("nothing here deserves that"),
            }
        }
    }

    /// Runs until no message is in flight and no timer is armed.
    pub(crate) fn run(&mut self) {
        let start = self.now;
        loop {
            let arrival = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let timers = self.sides.iter().filter_map(|side| side.endpoint.poll_timeout());
            let Some(next) = timers.chain(arrival).min() else { return };
            self.now = self.now.max(next);
            assert!(self.now - start < Duration::from_secs(600), "the world does not come to rest");
            if arrival == Some(next) {
                let (_, happening) = self.agenda.pop_first().expect("it was just seen");
                let side = match happening {
                    Happening::Arrival { to, from, bytes } => {
                        self.sides[to].endpoint.handle_message(&flow(to, from), &bytes, self.now);
                        to
                    }
                    Happening::Order { side, command } => {
                        self.sides[side].endpoint.handle_command(command, self.now);
                        side
                    }
                };
                self.collect(side);
            } else {
                for side in 0..self.sides.len() {
                    self.sides[side].endpoint.handle_timeout(self.now);
                    self.collect(side);
                }
            }
        }
    }

    /// Events that each side's engine received, except for provisional answers, which are not retransmitted when they are lost.
    pub(crate) fn story(&self) -> Vec<Vec<String>> {
        let told = |event: &SipEvent| match event {
            SipEvent::Incoming { sdp, .. } => Some(format!("incoming {}", sdp.is_some())),
            SipEvent::Progress { .. }
            | SipEvent::RegistrationState { .. }
            | SipEvent::TrunkHealth { .. }
            | SipEvent::Scanner { .. }
            | SipEvent::Refused { .. } => None,
            SipEvent::Answered { sdp, .. } => Some(format!("answered {}", sdp == ANSWER)),
            SipEvent::Failed { status, .. } => Some(format!("failed {status}")),
            SipEvent::Reoffer { .. } => Some("offered".into()),
            SipEvent::ReinviteAnswered { .. } => Some("offer answered".into()),
            SipEvent::ReinviteFailed { status, .. } => Some(format!("offer refused {status}")),
            SipEvent::Info { body, .. } => Some(format!("info {body}")),
            SipEvent::Referred { to, .. } => Some(format!("referred {to}")),
            SipEvent::ReferResult { status, .. } => Some(format!("transfer {status}")),
            SipEvent::Unreachable { .. } => Some("unreachable".into()),
            SipEvent::Reachable { .. } => Some("reachable".into()),
            SipEvent::Ended { .. } => Some("ended".into()),
            SipEvent::Registered { contacts, .. } => Some(format!("registered {contacts}")),
        };
        self.sides.iter().map(|side| side.events.iter().filter_map(told).collect()).collect()
    }

    pub(crate) fn assert_nothing_left(&self) {
        for side in &self.sides {
            let sizes = side.endpoint.sizes();
            assert_eq!(Sizes { contacts: 0, passwords: 0, ..sizes }, Sizes::default());
            assert!(side.endpoint.is_idle());
        }
    }
}

pub(crate) fn flow(own: usize, peer: SocketAddr) -> Flow {
    Flow { id: FlowId(1), transport: Transport::Udp, local: address(own), peer }
}

/// Runs a flow with every message lost, doubled and late; `check` gets each world at rest and the undisturbed events.
pub(crate) fn disturb(name: &str, run: impl Fn(Fault) -> World, check: impl Fn(&World, &[Vec<String>])) {
    let undisturbed = run(Fault::None);
    let story = undisturbed.story();
    assert!(undisturbed.sent >= 4, "{name}: {story:?}");
    undisturbed.assert_nothing_left();
    for number in 0..undisturbed.sent {
        for fault in
            [Fault::Lost(number), Fault::Doubled(number), Fault::Late(number, ms(700)), Fault::Late(number, ms(3_000))]
        {
            let world = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let world = run(fault);
                world.assert_nothing_left();
                check(&world, &story);
                world
            }));
            assert!(world.is_ok(), "{name} with message {fault:?}");
        }
    }
}
