//! A device that leaves one network for another in mid-call, made of a network namespace.
//!
//! ```text
//!  this namespace               namespace "away"
//!  Tandem on .9 ── veth ─ .1  .2  first network, until it is left
//!               ── veth ─ .5  .6  second network, from then on
//! ```
//!
//! Nothing is said when the first network goes: its interface is gone, and what was sent by it is lost.
//!
//! Invariant: what was made is taken away with this value, also when the test fails.

use std::net::{IpAddr, Ipv4Addr};

use crate::netns::{ip, take_away};

/// The namespace and its ways here.
pub struct Roam {
    name: String,
    /// Third byte of all addresses, in 198.19.0.0/16 (RFC 2544): nobody's.
    net: u8,
}

impl Roam {
    /// Makes the namespace, in its first network.
    ///
    /// # Panics
    /// When that cannot be done, with what it needs.
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

    /// Leaves the first network for the second.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn change(&self) {
        ip(&format!("-n {} link del {}a2", self.away(), self.name));
        self.join('b', 5);
    }

    /// Enters a network: its near end has the address `host`, its far end the next one.
    fn join(&self, network: char, host: u8) {
        let (away, near) = (self.away(), format!("{}{network}1", self.name));
        let far = format!("{}{network}2", self.name);
        ip(&format!("link add {near} type veth peer name {far} netns {away}"));
        ip(&format!("addr add {}/30 dev {near}", self.address(host)));
        ip(&format!("link set {near} up"));
        ip(&format!("-n {away} addr add {}/30 dev {far}", self.address(host + 1)));
        ip(&format!("-n {away} link set {far} up"));
        ip(&format!("-n {away} route add default via {}", self.address(host)));
    }

    /// Where Tandem is reached from every network.
    pub fn home(&self) -> IpAddr {
        self.address(9)
    }

    /// The namespace of the device.
    pub fn away(&self) -> String {
        format!("{}away", self.name)
    }

    fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(198, 19, self.net, host).into()
    }
}

impl Drop for Roam {
    fn drop(&mut self) {
        // With the namespace its interfaces go, and with those their other ends.
        take_away(&format!("netns del {}", self.away()));
        take_away(&format!("addr del {}/32 dev lo", self.home()));
    }
}
