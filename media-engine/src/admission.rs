//! Admission of connections to a listener: bounds in total, by address and by network, and the choice of a connection to close.
//!
//! ```text
//!  admit(address) ─▶ room ────────────────────────────────────────▶ admitted
//!                 ─▶ the address, /64 or /48 is full ─▶ its own longest idle stranger makes room, else refused
//!                 ─▶ the table is full ─▶ the longest idle stranger of the network with the most makes room,
//!                                         else an idle known peer, else refused
//! ```
//!
//! - A stranger is a peer that has not authenticated. Only strangers count towards the bounds of an address, and as long as
//!   there are strangers, only they make room for others.
//! - [`ConnectionBounds::strangers`] is below [`ConnectionBounds::total`]: the remaining places are for known peers.
//! - A newcomer never displaces a connection of a network that has fewer strangers than its own. A flood from few networks
//!   therefore displaces its own connections, and a peer from elsewhere finds a place.
//! - Every step costs O(log n); no state is kept for networks without connections.
//!
//! Not here: sockets, deadlines, and the decision that a peer is known.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Number of networks, the fullest first, that are searched for a stranger that may make room.
const LOOKS: usize = 16;

/// Upper bounds of a [`ConnectionTable`], in connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// Bound on all connections.
    pub total: usize,
    /// Bound on all strangers.
    pub strangers: usize,
    /// Bound on strangers from one IPv4 address, or from one IPv6 /64, which is what one subscriber has (RFC 6177).
    pub per_address: usize,
    /// Bound on strangers from one IPv6 /48, which is what one site may have.
    pub per_site: usize,
}

/// Whether the peer of a connection is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The peer has not authenticated.
    Stranger,
    /// The peer has authenticated, or its address is named in the configuration.
    Known,
}

/// Why a connection was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The address, or its network, has reached its bound.
    Address,
    /// The whole table is full.
    Table,
}

impl Full {
    /// Returns the name used in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Full::Address => "connections_of_address",
            Full::Table => "connections",
        }
    }
}

/// Connections by the network they come from. `K` identifies a connection and must grow with every new one.
#[derive(Debug)]
pub struct ConnectionTable<K> {
    bounds: ConnectionBounds,
    entries: HashMap<K, Entry>,
    strangers: usize,
    /// Networks by IPv4 address or IPv6 /48.
    networks: HashMap<IpAddr, Network<K>>,
    /// Number of strangers from each IPv6 /64.
    subnets: HashMap<IpAddr, usize>,
    /// Networks with strangers, ordered by rank: the last one makes room first.
    by_rank: BTreeSet<(Rank, IpAddr)>,
    /// Known peers that may make room when no stranger can.
    idle_known: BTreeSet<(Instant, K)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: IpAddr,
    standing: Standing,
    /// Time from which the connection may make room for another; `None`: never.
    idle_since: Option<Instant>,
}

#[derive(Debug)]
struct Network<K> {
    strangers: usize,
    idle: BTreeSet<(Instant, K)>,
}

/// Number of strangers of a network, and the time since which its longest idle stranger has been idle.
type Rank = (usize, Option<Reverse<Instant>>);

impl<K: Ord> Network<K> {
    fn rank(&self) -> Rank {
        (self.strangers, self.idle.first().map(|(since, _)| Reverse(*since)))
    }
}

impl<K: Copy + Ord + Hash> ConnectionTable<K> {
    /// Creates an empty table.
    pub fn new(bounds: ConnectionBounds) -> ConnectionTable<K> {
        ConnectionTable {
            bounds,
            entries: HashMap::new(),
            strangers: 0,
            networks: HashMap::new(),
            subnets: HashMap::new(),
            by_rank: BTreeSet::new(),
            idle_known: BTreeSet::new(),
        }
    }

    /// Admits the connection `id`, which may make room for another from `idle_since` on. `Ok(Some(other))` means that `other`
    /// was removed from the table to make room; the caller must close it.
    ///
    /// # Errors
    /// [`Full`] when there is no place; the table is unchanged and the caller should refuse the connection.
    pub fn admit(
        &mut self,
        id: K,
        address: IpAddr,
        standing: Standing,
        idle_since: Option<Instant>,
        now: Instant,
    ) -> Result<Option<K>, Full> {
        let address = address.to_canonical();
        let victim = match standing {
            Standing::Stranger if self.is_address_full(address) => {
                Some(self.idle_of_address(address, now).ok_or(Full::Address)?)
            }
            Standing::Stranger if self.strangers >= self.bounds.strangers => {
                Some(self.idle_of_fullest(self.load(address), now).ok_or(Full::Table)?)
            }
            _ if self.entries.len() >= self.bounds.total => {
                let load = if standing == Standing::Known { 0 } else { self.load(address) };
                let idle = self.idle_of_fullest(load, now).or_else(|| self.idle_known(now));
                Some(idle.ok_or(Full::Table)?)
            }
            _ => None,
        };
        if let Some(victim) = victim {
            self.leave(victim);
        }
        self.insert(id, Entry { address, standing, idle_since });
        Ok(victim)
    }

    /// Sets the time from which a connection may make room for another; `None` means that it is in use and never does.
    pub fn set_idle_since(&mut self, id: K, idle_since: Option<Instant>) {
        if let Some(entry) = self.remove(id) {
            self.insert(id, Entry { idle_since, ..entry });
        }
    }

    /// Sets whether the peer of a connection is known.
    pub fn set_standing(&mut self, id: K, standing: Standing) {
        if let Some(entry) = self.remove(id) {
            self.insert(id, Entry { standing, ..entry });
        }
    }

    /// Removes a connection that has ended.
    pub fn leave(&mut self, id: K) {
        self.remove(id);
    }

    /// Returns the number of connections in the table.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the table has no connections.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn load(&self, address: IpAddr) -> usize {
        self.networks.get(&site(address)).map_or(0, |network| network.strangers)
    }

    fn is_address_full(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.load(address) >= self.bounds.per_address,
            IpAddr::V6(_) => {
                let of_subnet = self.subnets.get(&subnet(address)).copied().unwrap_or(0);
                of_subnet >= self.bounds.per_address || self.load(address) >= self.bounds.per_site
            }
        }
    }

    /// Returns the longest idle stranger of the address or, if its /48 is full, of the /48.
    fn idle_of_address(&self, address: IpAddr, now: Instant) -> Option<K> {
        let network = self.networks.get(&site(address))?;
        let site_is_full = network.strangers >= self.bounds.per_site && address.is_ipv6();
        let mut idle = network.idle.iter().take_while(|(since, _)| *since <= now).map(|(_, id)| *id);
        let own = subnet(address);
        idle.find(|id| site_is_full || self.entries.get(id).is_some_and(|entry| subnet(entry.address) == own))
    }

    /// Returns the longest idle stranger of the network with the most strangers, if that network has at least `load`.
    fn idle_of_fullest(&self, load: usize, now: Instant) -> Option<K> {
        let fullest = self.by_rank.iter().rev().take(LOOKS).take_while(|((count, _), _)| *count >= load);
        let mut idle = fullest.filter_map(|(_, network)| self.networks.get(network)?.idle.first());
        idle.find(|(since, _)| *since <= now).map(|(_, id)| *id)
    }

    fn idle_known(&self, now: Instant) -> Option<K> {
        self.idle_known.first().filter(|(since, _)| *since <= now).map(|(_, id)| *id)
    }

    fn insert(&mut self, id: K, entry: Entry) {
        self.entries.insert(id, entry);
        if entry.standing == Standing::Known {
            self.idle_known.extend(entry.idle_since.map(|since| (since, id)));
            return;
        }
        self.strangers += 1;
        if entry.address.is_ipv6() {
            *self.subnets.entry(subnet(entry.address)).or_default() += 1;
        }
        let key = site(entry.address);
        let network = self.networks.entry(key).or_insert_with(|| Network { strangers: 0, idle: BTreeSet::new() });
        self.by_rank.remove(&(network.rank(), key));
        network.strangers += 1;
        network.idle.extend(entry.idle_since.map(|since| (since, id)));
        self.by_rank.insert((network.rank(), key));
    }

    fn remove(&mut self, id: K) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if entry.standing == Standing::Known {
            entry.idle_since.map(|since| self.idle_known.remove(&(since, id)));
            return Some(entry);
        }
        self.strangers -= 1;
        let subnet = subnet(entry.address);
        if let Some(count) = self.subnets.get_mut(&subnet) {
            *count -= 1;
            if *count == 0 {
                self.subnets.remove(&subnet);
            }
        }
        let key = site(entry.address);
        if let Some(network) = self.networks.get_mut(&key) {
            self.by_rank.remove(&(network.rank(), key));
            entry.idle_since.map(|since| network.idle.remove(&(since, id)));
            network.strangers -= 1;
            if network.strangers == 0 {
                self.networks.remove(&key);
            } else {
                self.by_rank.insert((network.rank(), key));
            }
        }
        Some(entry)
    }
}

/// Returns an IPv4 address unchanged, or the /48 of an IPv6 address.
fn site(address: IpAddr) -> IpAddr {
    prefix(address, 3)
}

/// Returns an IPv4 address unchanged, or the /64 of an IPv6 address.
fn subnet(address: IpAddr) -> IpAddr {
    prefix(address, 4)
}

/// Keeps the first `groups` groups of 16 bits of an IPv6 address.
fn prefix(address: IpAddr, groups: usize) -> IpAddr {
    match address {
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[groups..].fill(0);
            IpAddr::V6(Ipv6Addr::from(segments))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::units::test_epoch;

    const BOUNDS: ConnectionBounds = ConnectionBounds { total: 10, strangers: 8, per_address: 3, per_site: 5 };

    struct Bench {
        table: ConnectionTable<u32>,
        next: u32,
        now: Instant,
    }

    impl Bench {
        fn new(bounds: ConnectionBounds) -> Bench {
            Bench { table: ConnectionTable::new(bounds), next: 0, now: test_epoch() }
        }

        /// Admits a stranger that may make room at once (`idle`) or never.
        fn connect(&mut self, address: &str, idle: bool) -> Result<Option<u32>, Full> {
            self.connect_as(address, Standing::Stranger, idle)
        }

        fn connect_as(&mut self, address: &str, standing: Standing, idle: bool) -> Result<Option<u32>, Full> {
            self.next += 1;
            self.now += Duration::from_millis(1);
            let since = idle.then_some(self.now);
            self.table.admit(self.next, address.parse().unwrap(), standing, since, self.now)
        }
    }

    #[test]
    fn a_full_address_displaces_its_own_longest_idle_stranger_or_is_refused() {
        let mut bench = Bench::new(BOUNDS);
        assert_eq!(bench.connect("192.0.2.1", false), Ok(None));
        assert_eq!(bench.connect("192.0.2.1", true), Ok(None));
        assert_eq!(bench.connect("::ffff:192.0.2.1", false), Ok(None), "the same address");
        assert_eq!(bench.connect("192.0.2.1", false), Ok(Some(2)), "only the second is idle");
        assert_eq!(bench.connect("192.0.2.1", true), Err(Full::Address));
        assert_eq!(bench.connect("192.0.2.2", true), Ok(None), "another address has places of its own");
        assert_eq!(bench.table.len(), 4);
    }

    #[test]
    fn ipv6_is_bounded_by_64_and_by_48() {
        let mut bench = Bench::new(BOUNDS);
        for last in 1..=3 {
            assert_eq!(bench.connect(&format!("2001:db8:1:1::{last}"), false), Ok(None));
        }
        assert_eq!(bench.connect("2001:db8:1:1::4", false), Err(Full::Address), "the /64 is full");
        assert_eq!(bench.connect("2001:db8:1:2::1", true), Ok(None));
        assert_eq!(bench.connect("2001:db8:1:3::1", false), Ok(None));
        assert_eq!(
            bench.connect("2001:db8:1:4::1", false),
            Ok(Some(5)),
            "the /48 is full: its idle connection makes room"
        );
        assert_eq!(bench.connect("2001:db8:1:5::1", false), Err(Full::Address));
        assert_eq!(bench.connect("2001:db8:2:1::1", false), Ok(None), "another /48");
    }

    #[test]
    fn a_flood_from_few_networks_displaces_itself_and_a_newcomer_finds_a_place() {
        let mut bench = Bench::new(ConnectionBounds { total: 1000, strangers: 800, per_address: 100, per_site: 200 });
        for n in 0..20_000 {
            let _refused = bench.connect(&format!("127.0.1.{}", n % 50), true);
        }
        assert_eq!(bench.table.strangers, 800);
        let newcomer = bench.next + 1;
        assert!(matches!(bench.connect("192.0.2.1", true), Ok(Some(_))));
        for n in 0..20_000 {
            let displaced = bench.connect(&format!("127.0.1.{}", n % 50), true);
            assert_ne!(displaced, Ok(Some(newcomer)), "the flood displaces itself");
        }
    }

    #[test]
    fn a_newcomer_displaces_nobody_of_a_network_with_fewer_strangers() {
        let mut bench = Bench::new(ConnectionBounds { total: 4, strangers: 4, per_address: 4, per_site: 4 });
        for _ in 0..3 {
            assert_eq!(bench.connect("192.0.2.1", false), Ok(None));
        }
        assert_eq!(bench.connect("192.0.2.2", true), Ok(None));
        assert_eq!(bench.connect("192.0.2.1", true), Err(Full::Table));
        assert_eq!(bench.connect("192.0.2.3", true), Ok(Some(4)));
    }

    #[test]
    fn known_peers_keep_their_places_and_have_some_of_their_own() {
        let mut bench = Bench::new(BOUNDS);
        for n in 1..=8 {
            assert_eq!(bench.connect(&format!("192.0.2.{n}"), true), Ok(None));
        }
        assert_eq!(bench.connect("192.0.2.9", true), Ok(Some(1)), "strangers fill no more than their share");
        for n in 0..2 {
            assert_eq!(bench.connect_as("198.51.100.1", Standing::Known, false), Ok(None), "{n}");
        }
        // All ten places are taken: strangers make room until none is left.
        for n in 0..8 {
            assert!(matches!(bench.connect_as("198.51.100.1", Standing::Known, false), Ok(Some(_))), "{n}");
        }
        assert_eq!(bench.connect_as("198.51.100.1", Standing::Known, false), Err(Full::Table));
        assert_eq!(bench.connect("192.0.2.77", true), Err(Full::Table), "a stranger displaces no known peer in use");
    }

    #[test]
    fn an_idle_known_peer_makes_room_when_no_stranger_can() {
        let mut bench = Bench::new(ConnectionBounds { total: 2, strangers: 2, per_address: 2, per_site: 2 });
        bench.connect_as("198.51.100.1", Standing::Known, true).unwrap();
        bench.connect("192.0.2.1", true).unwrap();
        assert_eq!(bench.connect("192.0.2.2", false), Ok(Some(2)), "the stranger first");
        assert_eq!(bench.connect("192.0.2.3", false), Ok(Some(1)));
        assert_eq!(bench.connect("192.0.2.4", false), Err(Full::Table));
    }

    #[test]
    fn a_connection_makes_no_room_before_it_is_idle() {
        let mut bench = Bench::new(ConnectionBounds { total: 1, strangers: 1, per_address: 1, per_site: 1 });
        let (from, grace) = ("192.0.2.1".parse().unwrap(), Duration::from_secs(1));
        let idle = bench.now + grace;
        bench.table.admit(1, from, Standing::Stranger, Some(idle), bench.now).unwrap();
        assert_eq!(bench.table.admit(2, from, Standing::Stranger, None, bench.now), Err(Full::Address));
        assert_eq!(bench.table.admit(2, from, Standing::Stranger, None, bench.now + grace), Ok(Some(1)));
    }

    #[test]
    fn no_state_is_kept_for_connections_that_have_ended() {
        let mut bench = Bench::new(ConnectionBounds { total: 500, strangers: 400, per_address: 40, per_site: 90 });
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let id = (random >> 32) as u32 % (bench.next + 1);
            let address = match random % 3 {
                0 => format!("2001:db8:{}:{}::1", random % 5, random % 7),
                _ => format!("192.0.2.{}", random % 20),
            };
            match random % 7 {
                0..=2 => drop(bench.connect(&address, random.is_multiple_of(2))),
                3 => drop(bench.connect_as(&address, Standing::Known, random.is_multiple_of(2))),
                4 => bench.table.set_idle_since(id, (random.is_multiple_of(2)).then_some(bench.now)),
                5 => bench
                    .table
                    .set_standing(id, if random.is_multiple_of(2) { Standing::Known } else { Standing::Stranger }),
                _ => bench.table.leave(id),
            }
            assert!(bench.table.len() <= 500);
        }
        for id in 0..=bench.next {
            bench.table.leave(id);
        }
        let table = bench.table;
        assert!(table.is_empty() && table.strangers == 0 && table.idle_known.is_empty());
        assert!(table.networks.is_empty() && table.subnets.is_empty() && table.by_rank.is_empty());
    }
}
