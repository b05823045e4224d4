//! Trunks: carriers' SIP connections as they are configured.
//!
//! Calls come from a trunk's addresses over UDP, TCP or TLS. A WebSocket never belongs to a trunk, whatever its
//! address: browsers must give a password even from the same host. Calls go to a trunk's destinations; their challenges
//! are answered with the trunk's own password and no other.
//!
//! Not here: the choice of a destination and the handling of its responses (`endpoint`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::sip::dial::Plan;
use crate::sip::flow::{Flow, Transport};

/// A trunk, by its index in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TrunkIndex(pub(crate) usize);

/// A carrier's SIP connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trunk {
    /// Name used in routes and commands.
    pub name: String,
    /// Addresses from which calls are accepted.
    pub addresses: Vec<IpAddr>,
    /// Destinations of outgoing calls.
    pub destinations: Vec<Destination>,
    /// Protocol settings of the trunk.
    pub settings: TrunkSettings,
}

/// One host to which a trunk's calls can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Host as configured: used in Request-URIs, and the name that a TLS certificate must be for.
    pub host: String,
    /// Port as configured, if any.
    pub port: Option<u16>,
    /// Transport of requests to it.
    pub transport: Transport,
    /// Its addresses as last resolved, in the order in which they are tried.
    pub addresses: Vec<SocketAddr>,
    /// Priority: lower is tried first (RFC 2782).
    pub priority: u16,
    /// Share of calls among destinations of the same priority (RFC 2782).
    pub weight: u16,
}

impl Destination {
    /// Returns a destination at an address over UDP, with the same rank as any other.
    pub fn udp(address: SocketAddr) -> Destination {
        Destination {
            host: address.ip().to_string(),
            port: Some(address.port()),
            transport: Transport::Udp,
            addresses: vec![address],
            priority: 0,
            weight: 1,
        }
    }

    /// Returns host and port as written in a Request-URI; the standard port is left out.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        match self.port {
            Some(port) if port != 5060 || self.transport == Transport::Tls => format!("{host}:{port}"),
            _ => host,
        }
    }
}

/// Protocol settings of a trunk. The default: identified only by address, numbers unchanged, no limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkSettings {
    /// User and password that answer its challenges.
    pub credentials: Option<TrunkCredentials>,
    /// Expiry to ask for when registering there; `None`: no registration. Needs credentials.
    pub register: Option<Duration>,
    /// Interval of OPTIONS health probes to each destination; `None`: never.
    pub probe: Option<Duration>,
    /// Format in which it writes numbers.
    pub numbers: NumberFormat,
    /// Numbering plan for numbers that are not written with `+`.
    pub plan: Plan,
    /// Number shown by calls that show none of their own; `None`: the user of the account, if there is one.
    pub from: Option<String>,
    /// Host of From and P-Asserted-Identity; `None`: the destination's for trunks with credentials, otherwise our
    /// domain.
    pub from_host: Option<String>,
    /// Whether P-Asserted-Identity (RFC 3325) is written beside From, and trusted in incoming calls.
    pub assert_identity: bool,
    /// Names of headers that are copied between a call of the trunk and the leg it is joined with, both ways.
    pub pass_headers: Vec<String>,
    /// Most calls at once, both directions together; `None`: no limit.
    pub channels: Option<u32>,
    /// Most outgoing calls per second; `None`: no limit.
    pub calls_per_second: Option<u32>,
}

impl TrunkSettings {
    /// Returns the number of a call that has no identity of its own.
    pub(crate) fn own_number(&self) -> Option<&str> {
        let account = || self.credentials.as_ref().map(|account| account.user.as_str());
        self.from.as_deref().or_else(account)
    }

    /// Returns whether a header is copied between its calls and the legs that they are joined with.
    pub fn passes(&self, name: &str) -> bool {
        self.pass_headers.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// User and password of an account at a trunk.
#[derive(Clone, PartialEq, Eq)]
pub struct TrunkCredentials {
    /// Digest user name, and user part of our address at the trunk.
    pub user: String,
    /// The password in plain text.
    pub password: String,
}

impl fmt::Debug for TrunkCredentials {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrunkCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A trunk's format for numbers. Inside the engine a number is `+` and E.164 digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// Numbers are not changed.
    #[default]
    AsIs,
    /// As in `+34911222333`.
    PlusE164,
    /// As in `34911222333`.
    E164,
    /// `0911222333` within the country, `0034…` beyond it.
    National {
        /// Country code without `+`.
        country: String,
        /// Prefix of national numbers, such as `0`; may be empty.
        prefix: String,
    },
}

/// Numbers shorter than this are services of the carrier, such as 112 or 0800's short codes: never rewritten.
const SHORTEST_NUMBER: usize = 7;

impl NumberFormat {
    /// Converts a number of ours to the trunk's format. A number without `+` is returned unchanged.
    pub fn to_trunk(&self, number: &str) -> String {
        let digits = number.strip_prefix('+').filter(|digits| is_number(digits));
        match (self, digits) {
            (NumberFormat::E164, Some(digits)) => digits.to_owned(),
            (NumberFormat::National { country, prefix }, Some(digits)) => match digits.strip_prefix(country.as_str()) {
                Some(national) => format!("{prefix}{national}"),
                None => format!("00{digits}"),
            },
            _ => number.to_owned(),
        }
    }

    /// Converts a number of the trunk to `+` and digits. Names and short service numbers are returned unchanged.
    pub fn from_trunk(&self, number: &str) -> String {
        if *self == NumberFormat::AsIs || !is_number(number) {
            return number.to_owned();
        }
        match (self, number.strip_prefix("00")) {
            (_, Some(international)) => format!("+{international}"),
            (NumberFormat::National { country, prefix }, None) => match number.strip_prefix(prefix.as_str()) {
                Some(national) => format!("+{country}{national}"),
                None => number.to_owned(),
            },
            (_, None) => format!("+{number}"),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.len() >= SHORTEST_NUMBER && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Trunk {
    /// Replaces the destinations after names were resolved. Calls are accepted from all of them, and from configured
    /// addresses that never belonged to a destination.
    pub(crate) fn resolved(&mut self, destinations: Vec<Destination>) {
        let hosts = |destinations: &[Destination]| -> Vec<IpAddr> {
            destinations.iter().flat_map(|destination| &destination.addresses).map(SocketAddr::ip).collect()
        };
        let (before, after) = (hosts(&self.destinations), hosts(&destinations));
        self.addresses.retain(|address| !before.contains(address) && !after.contains(address));
        self.addresses.extend(after);
        self.destinations = destinations;
    }

    /// Returns whether a message on `flow` comes from the trunk.
    pub(crate) fn owns(&self, flow: &Flow) -> bool {
        let peer = flow.peer.ip().to_canonical();
        !flow.transport.is_websocket() && self.addresses.iter().any(|address| address.to_canonical() == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::flow::FlowId;

    fn flow(transport: Transport, peer: &str) -> Flow {
        Flow { id: FlowId(1), transport, local: "192.0.2.1:5060".parse().unwrap(), peer: peer.parse().unwrap() }
    }

    #[test]
    fn resolved_addresses_come_and_go_and_configured_ones_stay() {
        let at = |address: &str| Destination::udp(address.parse().unwrap());
        let mut trunk = Trunk {
            name: "carrier".into(),
            addresses: vec!["192.0.2.1".parse().unwrap(), "198.51.100.7".parse().unwrap()],
            destinations: vec![at("198.51.100.7:5060")],
            ..Trunk::default()
        };
        trunk.resolved(vec![at("198.51.100.8:5060"), at("198.51.100.7:5070")]);
        assert_eq!(
            trunk.addresses,
            ["192.0.2.1", "198.51.100.8", "198.51.100.7"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        trunk.resolved(vec![at("198.51.100.9:5060")]);
        assert_eq!(trunk.addresses, ["192.0.2.1", "198.51.100.9"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        assert_eq!(trunk.destinations, [at("198.51.100.9:5060")]);
    }

    #[test]
    fn a_trunk_is_identified_by_address_on_any_port_but_not_over_a_websocket() {
        let trunk = Trunk { addresses: vec!["198.51.100.7".parse().unwrap()], ..Trunk::default() };
        for (transport, peer, found) in [
            (Transport::Udp, "198.51.100.7:5060", true),
            (Transport::Tcp, "198.51.100.7:40123", true),
            (Transport::Udp, "[::ffff:198.51.100.7]:5060", true),
            (Transport::Udp, "198.51.100.8:5060", false),
            (Transport::Ws, "198.51.100.7:40123", false),
            (Transport::Wss, "198.51.100.7:40123", false),
        ] {
            assert_eq!(trunk.owns(&flow(transport, peer)), found, "{transport} {peer}");
        }
    }

    #[test]
    fn numbers_are_written_as_the_trunk_wants_and_read_back() {
        let national =
            |country: &str, prefix: &str| NumberFormat::National { country: country.into(), prefix: prefix.into() };
        for (format, ours, theirs) in [
            (NumberFormat::AsIs, "+34911222333", "+34911222333"),
            (NumberFormat::PlusE164, "+34911222333", "+34911222333"),
            (NumberFormat::E164, "+34911222333", "34911222333"),
            (national("44", "0"), "+442079460123", "02079460123"),
            (national("44", "0"), "+34911222333", "0034911222333"),
            (national("34", ""), "+34911222333", "911222333"),
            (NumberFormat::E164, "112", "112"),
            (national("44", "0"), "anna", "anna"),
        ] {
            assert_eq!(format.to_trunk(ours), theirs, "{format:?}");
            assert_eq!(format.from_trunk(theirs), ours, "{format:?}");
        }
        assert_eq!(NumberFormat::PlusE164.from_trunk("0034911222333"), "+34911222333");
        assert_eq!(NumberFormat::E164.from_trunk("+34911222333"), "+34911222333", "written with + all the same");
    }

    #[test]
    fn a_password_is_not_printed() {
        let credentials = TrunkCredentials { user: "account".into(), password: "hush".into() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }

    #[test]
    fn the_standard_port_is_left_out() {
        let at = |host: &str, port, transport| {
            Destination { host: host.into(), port, transport, ..Destination::udp("192.0.2.1:1".parse().unwrap()) }
                .authority()
        };
        assert_eq!(at("sip.example.com", None, Transport::Udp), "sip.example.com");
        assert_eq!(at("192.0.2.1", Some(5060), Transport::Tcp), "192.0.2.1");
        assert_eq!(at("2001:db8::1", Some(5070), Transport::Udp), "[2001:db8::1]:5070");
        assert_eq!(at("sip.example.com", Some(5060), Transport::Tls), "sip.example.com:5060");
    }
}
