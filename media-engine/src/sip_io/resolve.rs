//! Name resolution: SRV records, then addresses (RFC 3263, without NAPTR), and the current addresses of trunks.
//!
//! ```text
//!   Place ─┬─ an address ───────────────────────────────▶ itself
//!          ├─ with a port ────────▶ A, AAAA ────────────▶ its addresses
//!          └─ else ─▶ SRV of udp, tcp, tls (or the one asked for) ─▶ their targets' addresses
//!                     if there are none ─▶ A, AAAA at the standard port
//!   Book: every name of every trunk ── at start, when its records expire, after a failure ──▶ TrunkResolved
//! ```
//!
//! Look-ups run independently side by side: one that never ends delays no other. A name that cannot be resolved keeps
//! the addresses it had. Sources: RFC 2782, RFC 3263, RFC 5922 (a certificate must be for the configured name, not for
//! the target of an SRV record).
//!
//! Not here: which of several destinations a call takes (`sip`).

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::alarm::until;
use crate::config::{NameServer, TrunkConfig};
use crate::error::StartError;
use crate::net::clock;
use crate::sip::dial::Place;
use crate::sip::dial::place::{self, Ranked};
use crate::sip::{Destination, SipCommand, Transport, Trunk};

/// How long the start waits for trunks' names.
const START: Duration = Duration::from_secs(2);
/// Time-out of one query to a name server; each is sent twice.
const QUESTION: Duration = Duration::from_secs(2);
/// Time-out of one look-up in all.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Shortest and longest time for which records are used, whatever their own TTL.
const TTL: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));
/// Pause after a first failure; it doubles up to the longest time for which records are used.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Most SRV records of one name, and most addresses of one host, that are used.
const RECORDS: usize = 16;
/// Transports in the order in which SRV records are preferred, with their service and standard port.
const SERVICES: [(Transport, &str, u16); 3] =
    [(Transport::Udp, "_sip._udp", 5060), (Transport::Tcp, "_sip._tcp", 5060), (Transport::Tls, "_sips._tcp", 5061)];

/// The result of resolving a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// At least one destination, in order of priority.
    pub(super) destinations: Vec<Destination>,
    /// How long the records may be used.
    ttl: Duration,
}

/// Queries name servers.
#[derive(Debug)]
pub(super) struct Names {
    /// The resolver, or why there is none.
    resolver: Result<TokioResolver, String>,
}

impl Names {
    pub(super) fn new(server: NameServer) -> Names {
        let builder = match server {
            NameServer::System => TokioResolver::builder_tokio().map_err(|error| error.to_string()),
            NameServer::At(address) => {
                let at_port = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
                let server = NameServerConfig::new(address.ip(), true, connections);
                let config = ResolverConfig::from_name_servers(vec![server]);
                Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
            }
        };
        let resolver = builder.and_then(|mut builder| {
            builder.options_mut().timeout = QUESTION;
            builder.options_mut().attempts = 1;
            // Results are cached here, for as long as they may be used.
            builder.options_mut().cache_size = 0;
            builder.build().map_err(|error| error.to_string())
        });
        Names { resolver: resolver.map_err(|error| format!("no name server is available: {error}")) }
    }

    /// Returns the addresses of `place`. The error is a text for people.
    pub(super) async fn find(&self, place: &Place) -> Result<Found, String> {
        if place.ip().is_none() && place.port.is_none() {
            let looked_up = self.services(place).await.map_err(|error| format!("{}: {error}", place.host))?;
            if let Some(found) = looked_up {
                return Ok(found);
            }
        }
        let transport = place.transport.unwrap_or(Transport::Udp);
        let port = place.port.unwrap_or(if transport == Transport::Tls { 5061 } else { 5060 });
        let (ips, ttl) = match place.ip() {
            Some(ip) => (vec![ip], Duration::MAX),
            None => self.addresses(&place.host).await.map_err(|error| format!("{}: {error}", place.host))?,
        };
        let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let destination =
            Destination { host: place.host.clone(), port: place.port, transport, addresses, priority: 0, weight: 1 };
        Ok(Found { destinations: vec![destination], ttl })
    }

    /// Returns the content of SRV records; `None` if there are none.
    async fn services(&self, place: &Place) -> Result<Option<Found>, String> {
        let asked = |transport| place.transport.is_none_or(|wanted| wanted == transport);
        let ask = async |(transport, service, _): (Transport, &str, u16)| {
            if asked(transport) { self.service(service, &place.host).await } else { Ok((Vec::new(), Duration::MAX)) }
        };
        let [udp, tcp, tls] = SERVICES;
        let answers = tokio::join!(ask(udp), ask(tcp), ask(tls));
        let answers = [answers.0, answers.1, answers.2];
        let holds_any = |(records, _): &(Vec<SRV>, Duration)| !records.is_empty();
        let Some(n) = answers.iter().position(|answer| answer.as_ref().is_ok_and(holds_any)) else {
            // A query that failed may have had some.
            return answers.into_iter().collect::<Result<Vec<_>, _>>().map(|_| None);
        };
        let (transport, _, _) = SERVICES[n];
        let (records, mut ttl) = answers.into_iter().nth(n).transpose()?.unwrap_or_default();
        let targets = records.iter().map(|record| record.target.to_utf8());
        let found = join_all(targets.map(async |target| self.addresses(&target).await)).await;
        let mut destinations = Vec::new();
        let mut failure = None;
        for (SRV { priority, weight, port, .. }, found) in records.into_iter().zip(found) {
            match found {
                Ok((ips, valid)) => {
                    ttl = ttl.min(valid);
                    let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
                    let host = place.host.clone();
                    destinations.push(Destination { host, port: None, transport, addresses, priority, weight });
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if destinations.is_empty() => Err(error),
            // If one of its targets is missing, the name is resolved again soon.
            Some(_) => Ok(Some(Found { destinations, ttl: TTL.0 })),
            None => Ok(Some(Found { destinations, ttl })),
        }
    }

    /// Returns SRV records in order of priority. A target of "." means that the service does not exist.
    async fn service(&self, service: &str, host: &str) -> Result<(Vec<SRV>, Duration), String> {
        let name = format!("{service}.{}.", host.trim_end_matches('.'));
        match self.resolver.as_ref()?.srv_lookup(name).await {
            Ok(lookup) => {
                let records = lookup.answers().iter().filter_map(|record| match &record.data {
                    RData::SRV(srv) if !srv.target.is_root() && srv.port != 0 => Some(srv.clone()),
                    _ => None,
                });
                let mut records: Vec<SRV> = records.take(RECORDS).collect();
                records.sort_by_key(|record| record.priority);
                Ok((records, valid_for(lookup.valid_until())))
            }
            Err(error) => no_records(&error).map(|()| (Vec::new(), Duration::MAX)),
        }
    }

    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let lookup = self.resolver.as_ref()?.lookup_ip(host).await.map_err(|error| error_text(&error))?;
        let ips: Vec<IpAddr> = lookup.iter().take(RECORDS).collect();
        if ips.is_empty() {
            return Err("no address".into());
        }
        Ok((ips, valid_for(lookup.valid_until())))
    }
}

fn valid_for(until: Instant) -> Duration {
    until.saturating_duration_since(clock::now())
}

/// Maps the answer that there are no records to `Ok`.
fn no_records(error: &NetError) -> Result<(), String> {
    if error.is_no_records_found() { Ok(()) } else { Err(error_text(error)) }
}

fn error_text(error: &NetError) -> String {
    if error.is_no_records_found() { "the name server knows no such host".into() } else { error.to_string() }
}

/// One host of a trunk.
#[derive(Debug)]
struct Entry {
    trunk: String,
    place: Place,
    /// Rank: lower is tried first.
    rank: u16,
    /// Share of calls among hosts of the same rank; a name's SRV records have their own.
    weight: Option<u16>,
    /// Destinations that it led to last.
    found: Vec<Destination>,
    /// Time of the next look-up; `None` for addresses, and while a look-up is running.
    due: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
}

/// Current addresses of trunks, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Owners(RwLock<Vec<(String, SocketAddr)>>);

impl Owners {
    /// Returns the trunk with this address and port, else one with this address: a carrier uses many ports.
    pub(super) fn of(&self, address: SocketAddr) -> Option<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ip = address.ip().to_canonical();
        let at_ip = || known.iter().filter(|(_, known)| known.ip().to_canonical() == ip);
        let exact = at_ip().find(|(_, known)| known.port() == address.port());
        exact.or_else(|| at_ip().next()).map(|(trunk, _)| trunk.clone())
    }
}

/// All hosts of all trunks, and their current addresses.
#[derive(Debug)]
pub(super) struct Book {
    names: Arc<Names>,
    owners: Arc<Owners>,
    entries: Vec<Entry>,
    look_ups: JoinSet<(usize, Result<Found, String>)>,
}

impl Book {
    /// Resolves everything. Names that are not resolved within 2 s are resolved later by [`Book::run`].
    ///
    /// # Errors
    /// Returns an error for a host that cannot be read, or a trunk without hosts; correct the configuration.
    pub(super) async fn open(trunks: &[TrunkConfig], names: &Arc<Names>) -> Result<Book, StartError> {
        let mut book =
            Book { names: Arc::clone(names), owners: Arc::default(), entries: Vec::new(), look_ups: JoinSet::new() };
        for trunk in trunks {
            book.add_trunk(trunk)?;
        }
        for index in 0..book.entries.len() {
            book.look_up(index);
        }
        let all = async {
            while let Some(joined) = book.look_ups.join_next().await {
                let (index, result) = joined.map_err(|_| ())?;
                book.take(index, result);
            }
            Ok::<(), ()>(())
        };
        if timeout(START, all).await.is_err() {
            for entry in book.entries.iter().filter(|entry| entry.found.is_empty() && entry.due.is_none()) {
                let (trunk, host) = (&entry.trunk, &entry.place.host);
                tracing::warn!(trunk, host, "not resolved in time; the trunk starts without this host's addresses");
            }
        }
        Ok(book)
    }

    /// Adds the hosts of a trunk.
    fn add_trunk(&mut self, trunk: &TrunkConfig) -> Result<(), StartError> {
        let fail = |problem| StartError::Config { key: format!("trunks.{}.hosts", trunk.name), problem };
        if trunk.hosts.is_empty() {
            return Err(fail("expected at least one host".into()));
        }
        let read = |host: &String| {
            let expected = "expected HOST, HOST:PORT, or one of these after udp:, tcp: or tls:, then optionally ;priority=N and ;weight=N";
            place::ranked(host).ok_or_else(|| fail(format!("`{host}`: {expected}")))
        };
        let hosts = trunk.hosts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if hosts.iter().any(|host| host.priority.is_some() != hosts[0].priority.is_some()) {
            return Err(fail("expected ;priority=N with all hosts, or with none; then they are tried in order".into()));
        }
        for (n, Ranked { place, priority, weight }) in hosts.into_iter().enumerate() {
            let rank = priority.unwrap_or(u16::try_from(n).unwrap_or(u16::MAX));
            let trunk = trunk.name.clone();
            self.entries.push(Entry { trunk, place, rank, weight, found: vec![], due: None, failures: 0 });
        }
        Ok(())
    }

    /// Returns the trunks' addresses, which this book keeps up to date.
    pub(super) fn owners(&self) -> Arc<Owners> {
        Arc::clone(&self.owners)
    }

    /// Returns the trunks with the addresses known now.
    pub(super) fn trunks(&self) -> Vec<Trunk> {
        let mut trunks: Vec<Trunk> = Vec::new();
        for entry in &self.entries {
            if trunks.iter().all(|trunk| trunk.name != entry.trunk) {
                let mut trunk = Trunk { name: entry.trunk.clone(), ..Trunk::default() };
                trunk.resolved(self.destinations(&entry.trunk));
                trunks.push(trunk);
            }
        }
        trunks
    }

    /// Returns a trunk's destinations: those of one rank after all those of lower ranks.
    fn destinations(&self, trunk: &str) -> Vec<Destination> {
        let mut entries: Vec<&Entry> = self.entries.iter().filter(|entry| entry.trunk == trunk).collect();
        entries.sort_by_key(|entry| entry.rank);
        let mut all: Vec<Destination> = Vec::new();
        for same in entries.chunk_by(|one, other| one.rank == other.rank) {
            let before = all.iter().map(|destination| destination.priority).max();
            let first = before.map_or(0, |priority| priority.saturating_add(1));
            all.extend(same.iter().flat_map(|entry| &entry.found).map(|destination| {
                let priority = destination.priority.saturating_add(first);
                Destination { priority, ..destination.clone() }
            }));
        }
        all
    }

    fn look_up(&mut self, index: usize) {
        let Some(entry) = self.entries.get(index) else { return };
        let (names, place) = (Arc::clone(&self.names), entry.place.clone());
        self.await_answer(index, async move { names.find(&place).await });
    }

    /// Runs a look-up that always ends with a result: only then is its host due again.
    fn await_answer(&mut self, index: usize, answer: impl Future<Output = Result<Found, String>> + Send + 'static) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.due = None;
        let host = entry.place.host.clone();
        self.look_ups.spawn(async move {
            let found = match timeout(LOOK_UP, AssertUnwindSafe(answer).catch_unwind()).await {
                Ok(Ok(found)) => found,
                Ok(Err(_)) => Err(format!("{host}: the look-up ended with an internal error")),
                Err(_) => Err(format!("{host}: the name server did not answer")),
            };
            (index, found)
        });
    }

    /// Applies the result of a look-up; returns the trunk if its destinations have changed.
    fn take(&mut self, index: usize, result: Result<Found, String>) -> Option<String> {
        let entry = self.entries.get_mut(index)?;
        let (trunk, now) = (&entry.trunk, clock::now());
        match result {
            Ok(found) => {
                if entry.failures > 0 {
                    tracing::info!(trunk, host = entry.place.host, "resolved again");
                }
                entry.failures = 0;
                entry.due = entry.place.ip().is_none().then(|| now + found.ttl.clamp(TTL.0, TTL.1));
                let mut destinations = found.destinations;
                if let (Some(weight), [destination]) = (entry.weight, &mut destinations[..]) {
                    destination.weight = weight;
                }
                let changed = entry.found != destinations;
                entry.found = destinations;
                let trunk = entry.trunk.clone();
                if changed {
                    self.update_owners();
                }
                changed.then_some(trunk)
            }
            Err(error) => {
                let pause = AFTER_FAILURE.saturating_mul(1 << entry.failures.min(8)).min(TTL.1);
                tracing::warn!(trunk, error, again_in = ?pause, "a host of the trunk cannot be resolved");
                entry.failures = entry.failures.saturating_add(1);
                entry.due = Some(now + pause);
                None
            }
        }
    }

    fn update_owners(&self) {
        let of_entry = |entry: &Entry| -> Vec<(String, SocketAddr)> {
            let addresses = entry.found.iter().flat_map(|destination| &destination.addresses);
            addresses.map(|address| (entry.trunk.clone(), *address)).collect()
        };
        let owners = self.entries.iter().flat_map(of_entry).collect();
        *self.owners.0.write().unwrap_or_else(PoisonError::into_inner) = owners;
    }

    /// Keeps all names up to date until it is dropped.
    pub(super) async fn run(mut self, orders: mpsc::Sender<SipCommand>) {
        loop {
            let next = self.entries.iter().filter_map(|entry| entry.due).min();
            tokio::select! {
                Some(joined) = self.look_ups.join_next() => {
                    // Only a cancelled look-up has no result, and none is cancelled.
                    let Ok((index, result)) = joined else { continue };
                    let Some(trunk) = self.take(index, result) else { continue };
                    let destinations = self.destinations(&trunk);
                    if orders.send(SipCommand::TrunkResolved { trunk, destinations }).await.is_err() {
                        return;
                    }
                }
                () = until(next) => {
                    let now = clock::now();
                    let due = |entry: &Entry| entry.due.is_some_and(|due| due <= now);
                    for index in 0..self.entries.len() {
                        if due(&self.entries[index]) {
                            self.look_up(index);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(hosts: &[&str]) -> Book {
        let mut book = Book {
            names: Arc::new(Names::new(NameServer::System)),
            owners: Arc::default(),
            entries: Vec::new(),
            look_ups: JoinSet::new(),
        };
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        book.add_trunk(&TrunkConfig { name: "carrier".into(), hosts, ..TrunkConfig::default() }).unwrap();
        book
    }

    fn found(addresses: &[(&str, u16)], ttl: u64) -> Result<Found, String> {
        let destination = |(address, priority): &(&str, u16)| Destination {
            priority: *priority,
            ..Destination::udp(address.parse().unwrap())
        };
        Ok(Found { destinations: addresses.iter().map(destination).collect(), ttl: Duration::from_secs(ttl) })
    }

    /// Returns the seconds until a host is resolved again after `result`.
    fn pause(book: &mut Book, result: Result<Found, String>) -> u64 {
        let now = clock::now();
        book.take(0, result);
        book.entries[0].due.unwrap().saturating_duration_since(now).as_secs()
    }

    #[tokio::test]
    async fn a_failing_name_keeps_its_addresses_and_is_resolved_less_and_less_often() {
        let mut book = book(&["carrier.test"]);
        let there = || found(&[("192.0.2.1:5060", 0)], 60);
        assert_eq!(book.take(0, there()).as_deref(), Some("carrier"));
        assert_eq!(book.take(0, there()), None, "nothing has changed");
        let known = book.destinations("carrier");
        assert_eq!(known.len(), 1);
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(pause(&mut book, Err("no answer".into())), seconds);
            assert_eq!(book.destinations("carrier"), known);
        }
        assert_eq!(pause(&mut book, there()), 60);
        assert_eq!(pause(&mut book, Err("no answer".into())), 10);
    }

    #[tokio::test]
    async fn a_look_up_that_panics_counts_as_a_failure_and_is_repeated() {
        let mut book = book(&["carrier.test"]);
        book.take(0, found(&[("192.0.2.1:5060", 0)], 60));
        book.await_answer(0, async { panic!("a look-up panics on purpose") });
        assert_eq!(book.entries[0].due, None, "it is under way");
        let (index, result) = book.look_ups.join_next().await.unwrap().expect("an answer, not a panic");
        assert!(result.as_ref().unwrap_err().contains("carrier.test"));
        assert_eq!((index, pause(&mut book, result)), (0, 10));
        assert_eq!(book.destinations("carrier").len(), 1, "its addresses stay");
    }

    #[tokio::test]
    async fn records_are_used_for_half_a_minute_to_five_minutes() {
        let mut book = book(&["carrier.test"]);
        for (ttl, seconds) in [(0, 30), (60, 60), (86_400, 300)] {
            assert_eq!(pause(&mut book, found(&[("192.0.2.1:5060", 0)], ttl)), seconds);
        }
    }

    #[tokio::test]
    async fn hosts_of_one_priority_share_calls_by_weight_before_the_next_priority() {
        let mut book = book(&["192.0.2.1;priority=2", "192.0.2.2;priority=1;weight=3", "c.test;priority=1;weight=1"]);
        for (index, address) in [(0, "192.0.2.1:5060"), (1, "192.0.2.2:5060")] {
            book.take(index, found(&[(address, 0)], 60));
        }
        // Its SRV records are weighted among themselves.
        book.take(2, found(&[("192.0.2.3:5060", 0), ("192.0.2.4:5060", 5)], 60));
        let order: Vec<(String, u16, u16)> = book
            .destinations("carrier")
            .iter()
            .map(|to| (to.addresses[0].ip().to_string(), to.priority, to.weight))
            .collect();
        let expected = [("192.0.2.2", 0, 3), ("192.0.2.3", 0, 1), ("192.0.2.4", 5, 1), ("192.0.2.1", 6, 1)];
        assert_eq!(order, expected.map(|(address, priority, weight)| (address.to_owned(), priority, weight)));
    }

    #[tokio::test]
    async fn hosts_that_cannot_be_read_or_ranked_are_explained() {
        for (hosts, told) in [
            (vec![], "at least one host"),
            (vec!["a b"], "`a b`"),
            (vec!["host;priority=x"], "`host;priority=x`"),
            (vec!["a.test;priority=1", "b.test"], "with all hosts, or with none"),
        ] {
            let hosts = hosts.into_iter().map(str::to_owned).collect();
            let trunk = TrunkConfig { name: "carrier".into(), hosts, ..TrunkConfig::default() };
            let error = book(&["192.0.2.9"]).add_trunk(&trunk).unwrap_err().to_string();
            assert!(error.contains("trunks.carrier.hosts") && error.contains(told), "{error}");
        }
    }

    #[tokio::test]
    async fn destinations_keep_the_order_of_the_hosts() {
        let mut book = book(&["a.test", "b.test", "192.0.2.3"]);
        book.take(1, found(&[("192.0.2.2:5060", 0)], 60));
        book.take(2, found(&[("192.0.2.3:5060", 0)], 60));
        book.take(0, found(&[("192.0.2.1:5060", 10), ("192.0.2.1:5070", 20)], 60));
        assert_eq!(book.entries[2].due, None, "addresses are not looked up again");
        let order: Vec<(String, u16)> =
            book.destinations("carrier").iter().map(|to| (to.addresses[0].to_string(), to.priority)).collect();
        let expected = [("192.0.2.1:5060", 10), ("192.0.2.1:5070", 20), ("192.0.2.2:5060", 21), ("192.0.2.3:5060", 22)];
        assert_eq!(order, expected.map(|(address, priority)| (address.to_owned(), priority)));
        let trunk = &book.trunks()[0];
        for source in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            assert!(trunk.addresses.contains(&source.parse().unwrap()), "calls are taken from {source}");
        }
    }
}
