//! Configuration of an endpoint, fixed at its start.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::sip::dial::Guard;
use crate::sip::flow::{Flow, Transport};
use crate::sip::limits::Limits;
use crate::sip::transaction::Timers;
use crate::sip::trunk::Trunk;
use crate::sip::uri::{escape_user, parse_host_port, push_authority, push_number};

/// Identity, trunks and bounds of an [`Endpoint`](super::Endpoint).
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Digest realm, and the host of users' addresses.
    pub domain: String,
    /// Value of User-Agent and Server headers.
    pub user_agent: String,
    /// Address given to peers in Via and Contact instead of our own.
    pub advertise: Option<Advertise>,
    /// Carriers: calls from these addresses need no password, and calls can be sent to them.
    pub trunks: Vec<Trunk>,
    /// Judges the numbers to which a trunk redirects a call.
    pub guard: Guard,
    /// Source of every tag, branch, Call-ID and nonce key; must be secret and fresh for each start.
    pub seed: [u8; 32],
    /// Longest registration granted; also what a REGISTER without an expiry gets.
    pub registration_expires: Duration,
    /// Shortest registration granted: less is refused with 423 (RFC 3261 section 10.3).
    pub registration_min: Duration,
    /// How long an incoming call may stay unanswered, or an outgoing one without a final response, before this endpoint
    /// ends it by itself. A backstop behind the engine's own ring time-out.
    pub unanswered: Duration,
    /// Bounds of everything that outside messages can make grow.
    pub limits: Limits,
    /// T1, T2 and T4 (RFC 3261 table 4).
    pub timers: Timers,
}

impl EndpointConfig {
    /// Returns the defaults for `domain`, with the caller's fresh `seed`.
    pub fn new(domain: impl Into<String>, seed: [u8; 32]) -> EndpointConfig {
        EndpointConfig {
            domain: domain.into(),
            user_agent: concat!("Tandem/", env!("CARGO_PKG_VERSION")).into(),
            advertise: None,
            trunks: Vec::new(),
            guard: Guard::default(),
            seed,
            registration_expires: Duration::from_secs(3600),
            registration_min: Duration::from_secs(30),
            unanswered: Duration::from_secs(300),
            limits: Limits::default(),
            timers: Timers::default(),
        }
    }

    /// Returns the Via value for a request of ours.
    pub(super) fn via(&self, flow: &Flow, branch: &str) -> String {
        let mut via = String::with_capacity(96);
        via.extend(["SIP/2.0/", flow.transport.via_token(), " "]);
        match &self.advertise {
            Some(advertise) => via.push_str(&advertise.authority(flow)),
            None => push_authority(&mut via, flow.local),
        }
        via.extend([";branch=", branch]);
        if flow.transport == Transport::Udp {
            via.push_str(";rport");
        }
        via
    }

    /// Returns our Contact value for messages that leave by `flow`.
    pub(super) fn contact(&self, flow: &Flow, user: &str) -> String {
        let user = if user.is_empty() { "tandem" } else { user };
        let mut contact = String::with_capacity(64);
        contact.extend(["<sip:", &escape_user(user), "@"]);
        match &self.advertise {
            Some(advertise) => contact.push_str(&advertise.authority(flow)),
            None if flow.local.ip().is_unspecified() => {
                contact.extend([&self.domain, ":"]);
                push_number(&mut contact, flow.local.port());
            }
            None => push_authority(&mut contact, flow.local),
        }
        if let Some(transport) = flow.transport.uri_parameter() {
            contact.extend([";transport=", transport]);
        }
        contact.push('>');
        contact
    }
}

/// The address under which peers reach us if it is not our own: that of a 1:1 NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Address or host name; IPv6 in brackets.
    pub host: String,
    /// Port for UDP and TCP. `None`, and always for TLS and WebSockets: the port of the listener.
    pub port: Option<u16>,
}

impl Advertise {
    /// Returns `host:port` for messages on `flow`.
    pub(super) fn authority(&self, flow: &Flow) -> String {
        let port = self.port.filter(|_| !flow.transport.is_secure() && !flow.transport.is_websocket());
        format!("{}:{}", self.host, port.unwrap_or(flow.local.port()))
    }
}

impl FromStr for Advertise {
    type Err = String;

    fn from_str(text: &str) -> Result<Advertise, String> {
        // An IPv6 address without port may come without brackets.
        if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
            return Ok(Advertise { host: format!("[{address}]"), port: None });
        }
        let (host, port) = parse_host_port(text, false)
            .filter(|(host, _)| host.ip().is_none_or(|ip| !ip.is_unspecified()))
            .ok_or_else(|| format!("`{text}`: expected ADDRESS or HOST[:PORT] that peers can reach"))?;
        Ok(Advertise { host: host.to_string(), port })
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
