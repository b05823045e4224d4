//! From commands and invitations to the start of a call.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::command::{CallMode, CallSettings, Command, CommandError};
use super::{LegRole, Shared};
use crate::call::{Call, Destination, Effect, Plan};
use crate::sip::{DialogId, Target};
use crate::units::CallId;

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// An announced call.
pub(super) struct Incoming {
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) dialog: DialogId,
    pub(super) from_user: String,
    /// An authenticated agent calls, not a trunk.
    pub(super) from_agent: bool,
    /// `None`: the caller wants ours.
    pub(super) offer: Option<String>,
}

/// A call of our own.
pub(super) struct Outgoing {
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) effects: Vec<Effect>,
    pub(super) settings: CallSettings,
    /// Caller identity shown to the customer.
    pub(super) from: Option<String>,
    /// Role of the first leg.
    pub(super) first_role: LegRole,
}

/// A random (version 4) UUID.
pub(super) fn new_call_id() -> CallId {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source answers");
    let version = 0x4000_u128 << 64;
    let variant = 0x8000_u128 << 48;
    let id = u128::from_be_bytes(bytes);
    CallId((id & !(0xf000_u128 << 64) & !(0xc000_u128 << 48)) | version | variant)
}

/// Checks a `CallCreate` and lays out its call.
pub(super) fn outgoing(shared: &Shared, command: Command) -> Result<Outgoing, CommandError> {
    let Command::CallCreate { call: id, mode, to, from, agent, app, settings } = command else {
        return Err(CommandError::Conflict("not a call".into()));
    };
    let customer = destination(shared, &to)?;
    let (first, second) = (shared.new_leg(), shared.new_leg());
    let (to_first, plan, first_role) = match mode {
        CallMode::Direct => (customer, app.map_or(Plan::Hold, Plan::Application), LegRole::Customer),
        CallMode::Bridge | CallMode::Webrtc => {
            let agent = agent.ok_or(CommandError::Invalid {
                field: "agent",
                problem: "modes bridge and webrtc need the agent's SIP user name".into(),
            })?;
            (Destination::Agent(agent), Plan::Join(customer), LegRole::Agent)
        }
    };
    let (call, effects) = Call::outgoing(first, second, to_first, plan);
    Ok(Outgoing { id, call, effects, settings, from, first_role })
}

/// Where `to` leads: numbers to the first trunk, URIs to the trunk or agent that serves their host, else to
/// the host itself.
fn destination(shared: &Shared, to: &str) -> Result<Destination, CommandError> {
    if let Some(uri) = to.strip_prefix("sip:") {
        let (user, host) = uri.split_once('@').unwrap_or(("", uri));
        let host = host.split([';', '?']).next().unwrap_or(host);
        let served = shared.config.trunks.iter().find(|trunk| trunk.hosts.iter().any(|known| known == host));
        return Ok(match served {
            Some(trunk) => Destination::Trunk { trunk: trunk.name.clone(), user: user.to_owned() },
            None if host == shared.config.sip.domain => Destination::Agent(user.to_owned()),
            None => Destination::Uri(to.to_owned()),
        });
    }
    let trunk = shared.config.trunks.first().ok_or(CommandError::Invalid {
        field: "to",
        problem: "no trunk is configured: add one under [[trunks]], or give a sip: URI".into(),
    })?;
    Ok(Destination::Trunk { trunk: trunk.name.clone(), user: to.to_owned() })
}

/// The SIP core's target for a destination; names are resolved here.
pub(super) async fn target(destination: &Destination) -> Result<Target, String> {
    Ok(match destination {
        Destination::Agent(user) => Target::User(user.clone()),
        Destination::Trunk { trunk, user } => Target::Trunk { name: trunk.clone(), user: user.clone() },
        Destination::Uri(uri) => Target::Uri { uri: uri.clone(), addr: resolve(uri).await? },
    })
}

async fn resolve(uri: &str) -> Result<SocketAddr, String> {
    let rest = uri.strip_prefix("sip:").unwrap_or(uri);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split([';', '?']).next().unwrap_or(host);
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, 5060));
    }
    let name = if host.contains(':') { host.to_owned() } else { format!("{host}:5060") };
    let found = tokio::time::timeout(RESOLVE, tokio::net::lookup_host(name))
        .await
        .map_err(|_| format!("{host}: the name server did not answer within 2 s"))?
        .map_err(|error| format!("{host}: {error}"))?;
    found.into_iter().next().ok_or_else(|| format!("{host}: no address"))
}
