//! From commands and invitations to the start of a call.

use std::time::Duration;

use super::command::{CallMode, CallSettings, Command, CommandError};
use super::{LegRole, Shared};
use crate::call::{self, Call, Destination, Effect, Plan, Verdict};
use crate::config::RouteTarget;
use crate::sip::{DialogId, Source, Target, Uri};
use crate::sip_io::SipHandle;
use crate::units::CallId;

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// An announced call.
pub(super) struct Incoming {
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) dialog: DialogId,
    /// Who calls.
    pub(super) from: Source,
    pub(super) from_user: String,
    /// The agent that it comes from or goes to.
    pub(super) agent: Option<String>,
    /// The trunk that it comes from; `None`: an authenticated agent calls.
    pub(super) trunk: Option<String>,
    /// The caller wants not to be shown.
    pub(super) anonymous: bool,
    /// What the trunk lets pass.
    pub(super) headers: Vec<(String, String)>,
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
    let (call, effects) = Call::outgoing(to_first, plan);
    Ok(Outgoing { id, call, effects, settings, from, first_role })
}

/// Where `to` leads: numbers to the first trunk, URIs to the trunk or agent that serves their host, else to
/// the host itself.
fn destination(shared: &Shared, to: &str) -> Result<Destination, CommandError> {
    if let Some(uri) = to.strip_prefix("sip:").or_else(|| to.strip_prefix("sips:")) {
        let (user, host) = uri.split_once('@').unwrap_or(("", uri));
        let host = without_port(host.split([';', '?']).next().unwrap_or(host));
        let is_this = |known: &str| {
            let transports = ["udp:", "tcp:", "tls:"];
            let known = transports.iter().find_map(|transport| known.strip_prefix(transport)).unwrap_or(known);
            without_port(known).eq_ignore_ascii_case(host)
        };
        let served = shared.config.trunks.iter().find(|trunk| trunk.hosts.iter().any(|known| is_this(known)));
        return Ok(match served {
            Some(trunk) => through(shared, &trunk.name, user).map_err(forbidden)?,
            None if host.eq_ignore_ascii_case(without_port(&shared.config.sip.domain)) => {
                Destination::Agent(user.to_owned())
            }
            // Some hosts are a carrier under another name: a number is judged wherever it goes.
            None if user.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+') => {
                match shared.guard.verdict(user) {
                    Verdict::Allowed => Destination::Uri(to.to_owned()),
                    Verdict::Emergency { .. } => through(shared, "", user).map_err(forbidden)?,
                    Verdict::Refused(why) => return Err(forbidden(why)),
                }
            }
            None => Destination::Uri(to.to_owned()),
        });
    }
    // An emergency call is refused for what it is, not for what is not configured.
    if let Verdict::Refused(why) = shared.guard.verdict(to) {
        return Err(forbidden(why));
    }
    let trunk = shared.config.trunks.first().ok_or(CommandError::Invalid {
        field: "to",
        problem: "no trunk is configured: add one under [[trunks]], or give a sip: URI".into(),
    })?;
    through(shared, &trunk.name, to).map_err(forbidden)
}

/// Whom a party may have called in its place by REFER: what it could call by itself. `Err`: the status that says why not.
///
/// A user may call what routes and the API let it call. A trunk's party reaches agents alone: what it may not dial it does not
/// dial by a transfer.
pub(super) fn referred(shared: &Shared, owner: &Source, to: &str) -> Result<Destination, (u16, &'static str)> {
    let uri = Uri::parse(to).map_err(|_| (400, "not a URI"))?;
    let user = uri.user_decoded().unwrap_or_default();
    let user = user.split(';').next().unwrap_or_default();
    let user = match owner {
        Source::Trunk(name) => {
            shared.trunk(Some(name)).map_or_else(|| user.to_owned(), |trunk| trunk.sip.numbers.from_trunk(user))
        }
        Source::User(_) => user.to_owned(),
    };
    let may_dial = matches!(owner, Source::User(_));
    if !is_here(shared, &uri) {
        return match may_dial {
            true => destination(shared, to).map_err(|error| refusal(&error)),
            false => Err((403, "a trunk's party transfers to agents alone")),
        };
    }
    if may_dial && shared.guard.is_emergency(&user) {
        return through(shared, "", &user).map_err(|why| (403, why));
    }
    if shared.registered.contains_key(&user) {
        return Ok(Destination::Agent(user));
    }
    match call::route(&shared.config.routes, &user) {
        Some(RouteTarget::Agent(agent)) => Ok(Destination::Agent(agent.clone())),
        Some(RouteTarget::App(_)) => Err((488, "an application takes no transferred call")),
        Some(RouteTarget::Trunk(_)) | None if !may_dial => Err((403, "a trunk's party transfers to agents alone")),
        Some(RouteTarget::Trunk(trunk)) => through(shared, trunk, &user).map_err(|why| (403, why)),
        None if user.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+') && !user.is_empty() => {
            destination(shared, &user).map_err(|error| refusal(&error))
        }
        None => Err((404, "nobody has this name")),
    }
}

fn refusal(error: &CommandError) -> (u16, &'static str) {
    match error {
        CommandError::Forbidden(_) => (403, "the number may not be called"),
        _ => (404, "it leads nowhere"),
    }
}

/// Whether a URI names this system: its domain, or an address at which it listens or is known.
fn is_here(shared: &Shared, uri: &Uri<'_>) -> bool {
    let host = uri.host.to_string();
    let known_port = |port: u16| shared.sip.local_addresses().iter().any(|listener| listener.address.port() == port);
    let port_suits = uri.port.is_none_or(|port| known_port(port) || matches!(port, 5060 | 5061));
    let advertised = shared.config.sip.advertise.as_deref().map(without_port);
    let named = [Some(without_port(&shared.config.sip.domain)), advertised].into_iter().flatten();
    let ip = uri.host.ip();
    let listens = shared.sip.local_addresses().iter().any(|listener| ip == Some(listener.address.ip()));
    port_suits && (listens || named.into_iter().any(|name| name.eq_ignore_ascii_case(&host)))
}

/// A host as it is compared: a name or an IPv4 address without its port; an IPv6 address stays as it is.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn forbidden(why: &str) -> CommandError {
    CommandError::Forbidden(why.to_owned())
}

/// A number through a trunk, if it may be called; an emergency number through the trunk named for it.
pub(super) fn through(shared: &Shared, trunk: &str, number: &str) -> Result<Destination, &'static str> {
    // Also as the trunk would understand it: national numbers may cost too.
    let known = shared.trunk(Some(trunk));
    let understood = known.map_or_else(|| number.to_owned(), |trunk| trunk.sip.numbers.from_trunk(number));
    match (shared.guard.verdict(number), shared.guard.verdict(&understood)) {
        (Verdict::Emergency { trunk, number }, _) => {
            Ok(Destination::Emergency { trunk: trunk.to_owned(), user: number })
        }
        (Verdict::Refused(why), _) | (_, Verdict::Refused(why)) => Err(why),
        _ => Ok(Destination::Trunk { trunk: trunk.to_owned(), user: number.to_owned() }),
    }
}

/// The SIP core's target for a destination; names are resolved here.
pub(super) async fn target(destination: &Destination, sip: &SipHandle) -> Result<Target, String> {
    Ok(match destination {
        Destination::Agent(user) => Target::User(user.clone()),
        Destination::Trunk { trunk, user } => Target::Trunk { name: trunk.clone(), user: user.clone() },
        Destination::Emergency { trunk, user } => Target::Emergency { name: trunk.clone(), user: user.clone() },
        Destination::Uri(uri) => {
            let found = tokio::time::timeout(RESOLVE, sip.locate(uri)).await;
            let (transport, addr) =
                found.map_err(|_| format!("{uri}: the name server did not answer within 2 s"))??;
            Target::Uri { uri: uri.clone(), addr, transport }
        }
    })
}
