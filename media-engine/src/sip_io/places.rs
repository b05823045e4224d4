//! Hosts as they are written: in `trunks.hosts`, and in URIs to be called.

use std::net::IpAddr;

use crate::sip::uri::parse_host_port;
use crate::sip::{Scheme, Transport, Uri};

/// A host, and how it is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Address without brackets, or name.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// `None`: what the name server says, else UDP.
    pub(super) transport: Option<Transport>,
}

impl Place {
    /// The address, when the host is one.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Reads `[udp:|tcp:|tls:]HOST[:PORT]`, such as `192.0.2.1`, `tls:sip.example.com`, `[2001:db8::1]:5070`.
pub(super) fn of_host(text: &str) -> Option<Place> {
    let known = [("udp:", Transport::Udp), ("tcp:", Transport::Tcp), ("tls:", Transport::Tls)];
    let named = known.into_iter().find_map(|(prefix, transport)| Some((text.strip_prefix(prefix)?, transport)));
    let (text, transport) = named.map_or((text, None), |(rest, transport)| (rest, Some(transport)));
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Place { host: ip.to_string(), port: None, transport });
    }
    let (host, port) = parse_host_port(text, false)?;
    let host = host.ip().map_or_else(|| host.to_string(), |ip| ip.to_string());
    Some(Place { host, port, transport })
}

/// A trunk's host, and its turn among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranked {
    pub(super) place: Place,
    /// Lower is tried first; `None`: in the order in which the hosts are written.
    pub(super) priority: Option<u16>,
    /// Share of calls among hosts of the same priority.
    pub(super) weight: Option<u16>,
}

/// Reads a host with `;priority=N` and `;weight=N` behind it.
pub(super) fn ranked(text: &str) -> Option<Ranked> {
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

/// Where a URI leads (RFC 3263 section 4.1): `sips:` means TLS, else its `transport` decides.
pub(super) fn of_uri(text: &str) -> Option<Place> {
    let uri = Uri::parse(text).ok().filter(|uri| uri.scheme.is_sip())?;
    let transport = match (uri.scheme, uri.transport().map(str::to_ascii_lowercase).as_deref()) {
        (Scheme::Sips, None | Some("tcp" | "tls")) | (_, Some("tls")) => Some(Transport::Tls),
        (Scheme::Sips, Some(_)) => return None,
        (_, Some("tcp")) => Some(Transport::Tcp),
        (_, Some("udp")) => Some(Transport::Udp),
        (_, Some(_)) => return None,
        (_, None) => None,
    };
    let host = uri.host.ip().map_or_else(|| uri.host.to_string(), |ip| ip.to_string());
    Some(Place { host, port: uri.port, transport })
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
    fn a_host_says_its_turn() {
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

    #[test]
    fn a_uri_says_how_it_is_reached() {
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
        for text in ["tel:+1", "sip:host;transport=ws", "sips:host;transport=udp", "host", ""] {
            assert_eq!(of_uri(text), None, "{text}");
        }
    }
}
