//! Which hosts may be called by URI: those that the configuration lists, and no address inside the operator's network
//! unless it is listed as an address.
//!
//! ```text
//!   sip:x@NAME    ─▶ a rule for the name? ─▶ looked up ─▶ each address: public, or a rule for the address?
//!   sip:x@ADDRESS ─▶ a rule for the address, or `*` and public?
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::place::{self, Place};

/// One entry of `[dial] uris`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// `*`: every public host.
    Public,
    /// `example.com`, or `*.example.com` for all names below it; an entry with a port applies to that port only.
    Name {
        /// Name in lower case, without `*.`.
        name: String,
        /// Whether the names below it are meant, and not the name itself.
        below: bool,
        /// Port; `None` for every port.
        port: Option<u16>,
    },
    /// `192.0.2.7`, `192.0.2.0/24`, `[2001:db8::7]:5070`: public or not.
    Addresses {
        /// Address of the network.
        network: IpAddr,
        /// Length of the network prefix in bits.
        bits: u8,
        /// Port; `None` for every port.
        port: Option<u16>,
    },
}

impl FromStr for HostRule {
    type Err = String;

    fn from_str(text: &str) -> Result<HostRule, String> {
        let expected = || {
            format!(
                "`{text}`: expected a host such as sip.example.com, *.example.com, 192.0.2.7, 10.1.0.0/16, \
                     with or without a port, or * for every public host"
            )
        };
        if text == "*" {
            return Ok(HostRule::Public);
        }
        if let Some((network, bits)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| expected())?;
            let most = if network.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(expected)?;
            return Ok(HostRule::Addresses { network, bits, port: None });
        }
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let place = place::of_host(name).filter(|place| place.transport.is_none()).ok_or_else(expected)?;
        match place.ip() {
            Some(_) if below => Err(expected()),
            Some(network) => {
                Ok(HostRule::Addresses { network, bits: if network.is_ipv4() { 32 } else { 128 }, port: place.port })
            }
            None => Ok(HostRule::Name { name: place.host, below, port: place.port }),
        }
    }
}

/// The hosts that may be called by URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules(pub Vec<HostRule>);

impl HostRules {
    /// Returns whether a URI's host may be called, as far as is known before it is resolved.
    pub fn may_call(&self, place: &Place) -> bool {
        let port = place.port.unwrap_or(5060);
        match place.ip() {
            Some(ip) => self.may_reach(SocketAddr::new(ip, port)),
            None => self.0.iter().any(|rule| match rule {
                HostRule::Public => true,
                HostRule::Name { name, below, port: only } => {
                    let is_it = match below {
                        true => place.host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.')),
                        false => place.host == *name,
                    };
                    is_it && only.is_none_or(|only| place.port == Some(only))
                }
                HostRule::Addresses { .. } => false,
            }),
        }
    }

    /// Returns whether a host that was written as an address may be called.
    fn may_reach(&self, address: SocketAddr) -> bool {
        self.lists(address) || self.0.contains(&HostRule::Public) && is_public(address.ip())
    }

    /// Returns whether an address to which a listed host resolves may be called.
    pub fn may_send(&self, place: &Place, address: SocketAddr) -> bool {
        match place.ip() {
            Some(_) => self.may_reach(address),
            None => self.may_call(place) && (is_public(address.ip()) || self.lists(address)),
        }
    }

    fn lists(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.0.iter().any(|rule| match rule {
            HostRule::Addresses { network, bits, port } => {
                is_within(ip, *network, *bits) && port.is_none_or(|port| port == address.port())
            }
            _ => false,
        })
    }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let leading = |one: u128, other: u128, width: u32| {
        let ignored = width.saturating_sub(u32::from(bits));
        (one ^ other).checked_shr(ignored).unwrap_or(0) == 0
    };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => leading(u32::from(ip).into(), u32::from(network).into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => leading(u128::from(ip), u128::from(network), 128),
        _ => false,
    }
}

/// Returns whether an address belongs to a host on the public internet: not to this machine, its networks, a carrier's
/// NAT, a cloud's metadata service or a multicast group, and not reserved (IANA special-purpose registries, RFC 6890).
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    const NOT: [([u8; 4], u8); 15] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    !NOT.iter().any(|(network, bits)| is_within(ip.into(), Ipv4Addr::from(*network).into(), *bits))
}

/// Returns whether an address is global unicast (2000::/3), without the ranges that lead to IPv4 addresses or nowhere.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    const NOT: [(u128, u8); 4] = [
        // Teredo, ORCHID and other protocol assignments; documentation; 6to4; documentation.
        (0x2001_0000 << 96, 23),
        (0x2001_0db8 << 96, 32),
        (0x2002_0000 << 96, 16),
        (0x3fff_0000 << 96, 20),
    ];
    let within = |network: u128, bits: u8| is_within(ip.into(), Ipv6Addr::from(network).into(), bits);
    within(0x2000 << 112, 3) && !NOT.iter().any(|(network, bits)| within(*network, *bits))
}
