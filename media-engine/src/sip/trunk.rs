//! Trunks: carriers' SIP connections as they are configured.
//!
//! Calls come from a trunk's addresses over UDP, TCP or TLS. A WebSocket never belongs to a trunk, whatever its address:
//! browsers must give a password even from the same host. Calls go to a trunk's destinations; a challenge of theirs is
//! answered with the trunk's own password and no other.
//!
//! Not here: which destination is tried when, and what becomes of its answers (`endpoint`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::sip::dial::Plan;
use crate::sip::endpoint::{Flow, Transport};

/// A carrier's SIP connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trunk {
    /// Name used in routes and commands.
    pub name: String,
    /// Addresses from which calls are taken.
    pub addresses: Vec<IpAddr>,
    /// Where calls go.
    pub destinations: Vec<Destination>,
    /// How it wants to be spoken to.
    pub settings: TrunkSettings,
}

/// One place to which a trunk's calls can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Host as it was configured: in Request-URIs, and the name that a TLS certificate must be for.
    pub host: String,
    /// Port as it was configured.
    pub port: Option<u16>,
    /// What carries requests there.
    pub transport: Transport,
    /// Its addresses as they were last resolved, in the order to be tried.
    pub addresses: Vec<SocketAddr>,
    /// Lower is tried first (RFC 2782).
    pub priority: u16,
    /// Share of calls among destinations of the same priority (RFC 2782).
    pub weight: u16,
}

impl Destination {
    /// A destination by its address over UDP, as good as any other.
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

    /// Host and port as they stand in a Request-URI; the standard port is left out.
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

/// How a trunk wants to be spoken to. The default: known by address alone, numbers as they are, no limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkSettings {
    /// What its challenges are answered with.
    pub credentials: Option<TrunkCredentials>,
    /// Register there, asking for this time; needs credentials.
    pub register: Option<Duration>,
    /// How often each destination is asked by OPTIONS whether it lives; `None`: never.
    pub probe: Option<Duration>,
    /// How it writes numbers.
    pub numbers: NumberFormat,
    /// How numbers are dialled there, when they are not written with `+`.
    pub plan: Plan,
    /// Number shown by calls that show none of their own; `None`: the account's user, else none.
    pub from: Option<String>,
    /// Host of From and P-Asserted-Identity; `None`: the destination's for trunks with credentials, else our domain.
    pub from_host: Option<String>,
    /// Write P-Asserted-Identity (RFC 3325) beside From, and believe that of its calls.
    pub assert_identity: bool,
    /// Headers, by name, that pass from a call of the trunk to the leg it is joined with, and the other way.
    pub pass_headers: Vec<String>,
    /// Most calls at once, both directions together.
    pub channels: Option<u32>,
    /// Most calls a second that go out.
    pub calls_per_second: Option<u32>,
}

impl TrunkSettings {
    /// What a call shows that has no identity of its own.
    pub(crate) fn own_number(&self) -> Option<&str> {
        let account = || self.credentials.as_ref().map(|account| account.user.as_str());
        self.from.as_deref().or_else(account)
    }

    /// Whether a header of its calls passes to the leg that a call is joined with, and back.
    pub fn passes(&self, name: &str) -> bool {
        self.pass_headers.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// User and password at a trunk.
#[derive(Clone, PartialEq, Eq)]
pub struct TrunkCredentials {
    /// Digest user name, and user part of our address there.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for TrunkCredentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrunkCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How a trunk writes numbers. Inside the engine a number is `+` and E.164 digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// As they come.
    #[default]
    AsIs,
    /// `+34911222333`.
    PlusE164,
    /// `34911222333`.
    E164,
    /// `0911222333` within the country, `0034…` beyond it.
    National {
        /// Country code without `+`.
        country: String,
        /// Digits before national numbers, such as `0`; may be empty.
        prefix: String,
    },
}

/// Numbers shorter than this are services of the carrier, such as 112 or 0800's short codes: never rewritten.
const SHORTEST_NUMBER: usize = 7;

impl NumberFormat {
    /// A number of ours as the trunk wants it. What is no `+` number stays as it is.
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

    /// A number of the trunk's as `+` and digits. Names and short service numbers stay as they are.
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
    /// Names lead elsewhere now. Calls are taken from all destinations, and from addresses that were never one's.
    pub(crate) fn resolved(&mut self, destinations: Vec<Destination>) {
        let hosts = |destinations: &[Destination]| -> Vec<IpAddr> {
            destinations.iter().flat_map(|destination| &destination.addresses).map(SocketAddr::ip).collect()
        };
        let (before, after) = (hosts(&self.destinations), hosts(&destinations));
        self.addresses.retain(|address| !before.contains(address) && !after.contains(address));
        self.addresses.extend(after);
        self.destinations = destinations;
    }

    /// Whether a message on `flow` comes from the trunk.
    pub(crate) fn owns(&self, flow: &Flow) -> bool {
        let peer = flow.peer.ip().to_canonical();
        !flow.transport.is_websocket() && self.addresses.iter().any(|address| address.to_canonical() == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::FlowId;

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
    fn a_trunk_is_known_by_address_whatever_its_port_and_never_over_a_websocket() {
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
