//! Hosts as they are written: in `trunks.hosts`, and in URIs to be called.
//!
//! Invariant: every host has one form here. Names are in lower case without a trailing dot, IPv4-mapped IPv6 addresses
//! become IPv4 addresses, and numbers that only some systems read as addresses are refused.

use std::net::IpAddr;

use super::DialError;
use crate::sip::Transport;
use crate::sip::uri::{Host, Scheme, Uri, parse_host_port};

/// A host with its port and transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address without brackets, or host name.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// `None`: the transport found by DNS, or else UDP.
    pub(crate) transport: Option<Transport>,
}

impl Place {
    /// Returns the host to which a `sip:` or `sips:` URI leads (RFC 3263 section 4.1): `sips:` means TLS, otherwise the
    /// `transport` parameter decides.
    ///
    /// # Errors
    /// [`DialError::Host`] for a host that can be read in two ways, [`DialError::Malformed`] for a transport that is
    /// not supported.
    pub fn of_uri(uri: &Uri<'_>) -> Result<Place, DialError> {
        let transport = match (uri.scheme, uri.transport().map(str::to_ascii_lowercase).as_deref()) {
            (Scheme::Sips, None | Some("tcp" | "tls")) | (_, Some("tls")) => Some(Transport::Tls),
            (Scheme::Sips, Some(_)) => return Err(DialError::Malformed),
            (_, Some("tcp")) => Some(Transport::Tcp),
            (_, Some("udp")) => Some(Transport::Udp),
            // A WebSocket contact is reached only by its own connection; elsewhere the host is used with its default
            // transport.
            (_, Some("ws" | "wss") | None) => None,
            (_, Some(_)) => return Err(DialError::Malformed),
        };
        Ok(Place { host: canonical(&uri.host).ok_or(DialError::Host)?, port: uri.port, transport })
    }

    /// Returns the address if the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Returns the address without brackets, or the host name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port if one was written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns host and port as they are written in a URI.
    pub(super) fn authority(&self) -> String {
        let host = match self.ip() {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    pub(super) fn transport_parameter(&self) -> &'static str {
        match self.transport {
            Some(Transport::Tcp) => ";transport=tcp",
            Some(Transport::Tls) => ";transport=tls",
            Some(Transport::Udp) => ";transport=udp",
            _ => "",
        }
    }
}

/// Returns the single form of a host; `None` for an empty label, and for text that `inet_aton` would read as an address
/// while others look it up.
fn canonical(host: &Host<'_>) -> Option<String> {
    if let Some(ip) = host.ip() {
        return Some(ip.to_canonical().to_string());
    }
    let Host::Name(name) = host else { return None };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    (!is_number && name.split('.').all(|label| (1..=63).contains(&label.len()))).then_some(name)
}

/// Reads `[udp:|tcp:|tls:]HOST[:PORT]`, such as `192.0.2.1`, `tls:sip.example.com`, `[2001:db8::1]:5070`.
pub(crate) fn of_host(text: &str) -> Option<Place> {
    let known = [("udp:", Transport::Udp), ("tcp:", Transport::Tcp), ("tls:", Transport::Tls)];
    let named = known.into_iter().find_map(|(prefix, transport)| Some((text.strip_prefix(prefix)?, transport)));
    let (text, transport) = named.map_or((text, None), |(rest, transport)| (rest, Some(transport)));
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Place { host: ip.to_canonical().to_string(), port: None, transport });
    }
    let (host, port) = parse_host_port(text, false)?;
    Some(Place { host: canonical(&host)?, port, transport })
}

/// A trunk's host, and its rank among the others.
#[cfg_attr(not(feature = "io"), allow(dead_code, reason = "names are resolved by the half with sockets"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranked {
    pub(crate) place: Place,
    /// Lower is tried first; `None`: the order in which the hosts are written.
    pub(crate) priority: Option<u16>,
    /// Share of calls among hosts of the same priority.
    pub(crate) weight: Option<u16>,
}

/// Reads a host that may be followed by `;priority=N` and `;weight=N`.
#[cfg_attr(not(feature = "io"), allow(dead_code, reason = "names are resolved by the half with sockets"))]
pub(crate) fn ranked(text: &str) -> Option<Ranked> {
    let mut parts = text.split(';').map(str::trim);
    let mut ranked = Ranked { place: of_host(parts.next()?)?, priority: None, weight: None };
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let field = match name {
            "priority" => &mut ranked.priority,
            "weight" => &mut ranked.weight,
            _ => return None,
        };
        if field.replace(value.parse().ok()?).is_some() {
            return None;
        }
    }
    Some(ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_port_and_transport() {
        for (text, host, port, transport) in [
            ("192.0.2.1", "192.0.2.1", None, None),
            ("192.0.2.1:5080", "192.0.2.1", Some(5080), None),
            ("2001:db8::1", "2001:db8::1", None, None),
            ("[2001:db8::1]", "2001:db8::1", None, None),
            ("tcp:[2001:db8::1]:5080", "2001:db8::1", Some(5080), Some(Transport::Tcp)),
            ("sip.example.com", "sip.example.com", None, None),
            ("tls:sip.example.com:5061", "sip.example.com", Some(5061), Some(Transport::Tls)),
            ("udp:sip.example.com", "sip.example.com", None, Some(Transport::Udp)),
        ] {
            assert_eq!(of_host(text), Some(Place { host: host.into(), port, transport }), "{text}");
        }
        for text in ["", "tls:", "a b", "host:0", "host:x", "[::1", "ws:host:80"] {
            assert_eq!(of_host(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_may_have_a_priority_and_a_weight() {
        for (text, priority, weight) in [
            ("tls:host:5061", None, None),
            ("tls:host:5061;priority=2", Some(2), None),
            ("tls:host:5061;weight=10;priority=0", Some(0), Some(10)),
            ("tls:host:5061; priority=65535 ;weight=0", Some(65535), Some(0)),
        ] {
            let place = Place { host: "host".into(), port: Some(5061), transport: Some(Transport::Tls) };
            assert_eq!(ranked(text), Some(Ranked { place, priority, weight }), "{text}");
        }
        for text in [
            "host;",
            "host;priority",
            "host;priority=65536",
            "host;priority=-1",
            "host;weight=1;weight=2",
            "host;lr=1",
            ";priority=1",
        ] {
            assert_eq!(ranked(text), None, "{text}");
        }
    }

    fn of_uri(text: &str) -> Option<Place> {
        Place::of_uri(&Uri::parse(text).ok().filter(|uri| uri.scheme.is_sip())?).ok()
    }

    #[test]
    fn a_host_has_one_form_and_ambiguous_numeric_hosts_are_refused() {
        for (text, host) in [
            ("sip:a@Carrier.EXAMPLE.", "carrier.example"),
            ("sip:a@[::ffff:192.0.2.7]", "192.0.2.7"),
            ("sip:a@[2001:DB8:0::1]", "2001:db8::1"),
        ] {
            assert_eq!(of_uri(text).map(|place| place.host).as_deref(), Some(host), "{text}");
        }
        for text in
            ["127.1", "2130706433", "0x7f000001", "0x7f.0.0.0x1", "0177.0.0.1", "127.0.0.01", "a..b", ".", "a.."]
        {
            assert_eq!(of_uri(&format!("sip:a@{text}")), None, "{text}");
            assert_eq!(of_host(text), None, "{text}");
        }
    }

    #[test]
    fn the_transport_follows_scheme_and_parameter() {
        for (text, port, transport) in [
            ("sip:bob@host", None, None),
            ("sip:bob@host:5070;transport=UDP", Some(5070), Some(Transport::Udp)),
            ("sip:host;transport=tcp", None, Some(Transport::Tcp)),
            ("sip:host;transport=tls", None, Some(Transport::Tls)),
            ("sips:bob@host", None, Some(Transport::Tls)),
            ("sips:bob@host;transport=tcp", None, Some(Transport::Tls)),
        ] {
            assert_eq!(of_uri(text), Some(Place { host: "host".into(), port, transport }), "{text}");
        }
        assert_eq!(of_uri("sip:[2001:db8::1]").map(|place| place.host).as_deref(), Some("2001:db8::1"));
        for text in ["tel:+1", "sip:host;transport=sctp", "sips:host;transport=udp", "host", ""] {
            assert_eq!(of_uri(text), None, "{text}");
        }
    }
}
