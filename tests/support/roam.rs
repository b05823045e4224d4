//! A device that changes from one network to another during a call, built from a network namespace.
//!
//! ```text
//!  this namespace               namespace "away"
//!  Tandem on .9 ── veth ─ .1  .2  first network, until it is left
//!               ── veth ─ .5  .6  second network, from then on
//! ```
//!
//! The first network disappears without notice: its interface is removed, and datagrams sent through it are lost.
//!
//! Invariant: the namespace and its interfaces are deleted with this value, also when the test fails.

use std::net::{IpAddr, Ipv4Addr};

use crate::netns::{ip, take_away};

/// The namespace and its connections to this one.
pub struct Roam {
    name: String,
    /// Third byte of all addresses, in 198.19.0.0/16, which RFC 2544 reserves for tests.
    net: u8,
}

impl Roam {
    /// Creates the namespace and connects its first network.
    ///
    /// # Panics
    /// When that fails, with the required privileges.
    pub fn start() -> Roam {
        let pid = std::process::id();
        let roam = Roam { name: format!("tr{}", pid % 100_000), net: (pid % 251) as u8 };
        let away = roam.away();
        ip(&format!("netns add {away}"));
        ip(&format!("-n {away} link set lo up"));
        ip(&format!("addr add {}/32 dev lo", roam.home()));
        roam.join('a', 1);
        roam
    }

    /// Replaces the first network by the second.
    ///
    /// # Panics
    /// When that fails.
    pub fn change(&self) {
        ip(&format!("-n {} link del {}a2", self.away(), self.name));
        self.join('b', 5);
    }

    /// Connects a network: its near end gets the address `host`, its far end the next one.
    fn join(&self, network: char, host: u8) {
        let (away, near) = (self.away(), format!("{}{network}1", self.name));
        let far = format!("{}{network}2", self.name);
        ip(&format!("link add {near} type veth peer name {far} netns {away}"));
        // A link-local IPv6 address would appear a second later, and Chromium would take it for another change of networks.
        ip(&format!("link set {near} addrgenmode none"));
        ip(&format!("-n {away} link set {far} addrgenmode none"));
        ip(&format!("addr add {}/30 dev {near}", self.address(host)));
        ip(&format!("link set {near} up"));
        ip(&format!("-n {away} addr add {}/30 dev {far}", self.address(host + 1)));
        ip(&format!("-n {away} link set {far} up"));
        ip(&format!("-n {away} route add default via {}", self.address(host)));
    }

    /// Address at which Tandem is reachable from both networks.
    pub fn home(&self) -> IpAddr {
        self.address(9)
    }

    /// Name of the device's namespace.
    pub fn away(&self) -> String {
        format!("{}away", self.name)
    }

    fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(198, 19, self.net, host).into()
    }
}

impl Drop for Roam {
    fn drop(&mut self) {
        // Deleting the namespace deletes its interfaces, and those delete their peers.
        take_away(&format!("netns del {}", self.away()));
        take_away(&format!("addr del {}/32 dev lo", self.home()));
    }
}
