//! From commands and invitations to the start of a call: resolves what was dialled to a destination.
//!
//! ```text
//!   Dialled ─┬─ emergency ─▶ the trunk named for it
//!            ├─ number ─────▶ the trunk that its host names, else the first one: judged by that trunk's plan
//!            └─ name ───────▶ an agent here, a trunk's, or a listed host
//!   a listed host ─▶ resolved when the call is made ─▶ a trunk's address? that trunk : each address is judged ─▶ called there
//! ```
//!
//! Invariant: every leg that is called passes through here, and nothing is sent to an address that was not judged. Not here: the
//! dial rules themselves (`sip::dial`), and the choice of a trunk's address (`sip::trunk`).

use std::net::SocketAddr;
use std::time::Duration;

use super::command::{CallSettings, CallTarget, Callee, CommandError, NewCall};
use super::{LegRole, Shared};
use crate::call::{self, Destination, Plan};
use crate::config::{App, RouteTarget, TrunkConfig};
use crate::sip::dial::place::ranked;
use crate::sip::dial::{DialError, Dialled, Number, Place, Verdict, Written, uri_of};
use crate::sip::trunk::NumberFormat;
use crate::sip::{Cause, DialogId, Source, Target, Uri};
use crate::units::{CallId, Group};

/// Time for a name to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// Reason why a destination is not called: the SIP status for it, and a sentence that contains nothing of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) why: &'static str,
}

const NOT_AN_AGENT: Refusal = Refusal { status: 403, why: "a trunk's party can transfer to agents only" };
const NO_SUCH_TRUNK: Refusal = Refusal { status: 404, why: "no trunk has this name" };
const TRUNK_FOR_NUMBERS: Refusal = Refusal { status: 400, why: "a trunk can be chosen for a number only" };
const NO_TRUNK: Refusal =
    Refusal { status: 404, why: "no trunk is configured: add one under [[trunks]], or give a sip: URI" };
const NO_SUCH_USER: Refusal = Refusal { status: 404, why: "no user has this name" };
const NOT_LISTED: Refusal = Refusal { status: 403, why: "this host may not be called: [dial] uris does not list it" };
const NOT_PUBLIC: Refusal =
    Refusal { status: 403, why: "the host leads to an address that may not be called: [dial] uris does not list it" };
const UNKNOWN_HOST: Refusal = Refusal { status: 404, why: "the host has no address that can be reached" };
const SILENT_NAMES: Refusal = Refusal { status: 504, why: "the name server did not answer within 2 s" };

impl Refusal {
    fn forbidden(why: &'static str) -> Refusal {
        Refusal { status: 403, why }
    }

    /// Counts the refusal by its reason.
    pub(super) fn counted(self) -> Refusal {
        metrics::counter!("tandem_dial_refused_total", "why" => self.why).increment(1);
        self
    }
}

impl From<Refusal> for CommandError {
    fn from(Refusal { status, why }: Refusal) -> CommandError {
        match status {
            403 => CommandError::Forbidden(why.to_owned()),
            _ => CommandError::Invalid { field: "to", problem: why.to_owned() },
        }
    }
}

impl From<DialError> for Refusal {
    fn from(error: DialError) -> Refusal {
        Refusal { status: 400, why: error.why() }
    }
}

/// An incoming call that is announced to the control plane.
pub(super) struct Incoming {
    pub(super) id: CallId,
    /// Plan that follows once the call may proceed.
    pub(super) plan: Plan,
    pub(super) dialog: DialogId,
    /// Source of the call.
    pub(super) from: Source,
    pub(super) from_user: String,
    /// Agent that the call comes from or goes to.
    pub(super) agent: Option<String>,
    /// Trunk that the call comes from; `None`: an authenticated agent calls.
    pub(super) trunk: Option<String>,
    /// The caller's identity must be hidden.
    pub(super) anonymous: bool,
    /// Cause that is sent with every INVITE of this call.
    pub(super) cause: Cause,
    /// Headers that the trunk lets pass.
    pub(super) headers: Vec<(String, String)>,
    /// The application `amd` tells the caller what answered.
    pub(super) tells_amd: bool,
    /// Offer of the caller; `None`: the caller wants an offer from us.
    pub(super) offer: Option<String>,
}

/// A call that the engine makes.
pub(super) struct Outgoing {
    pub(super) id: CallId,
    /// Destination that is called first.
    pub(super) to: Destination,
    /// Plan that follows the first leg's answer.
    pub(super) plan: Plan,
    pub(super) settings: CallSettings,
    /// Identity that is shown to the first leg.
    pub(super) first_shown: Option<String>,
    /// Identity that is shown to further agents.
    pub(super) caller: Option<String>,
    /// Identity that is shown to all others.
    pub(super) from: Option<String>,
    /// Maximum ring times of the first and the second leg; `None`: the default of every leg.
    pub(super) ring: [Option<Duration>; 2],
    /// Role of the first leg.
    pub(super) first_role: LegRole,
}

/// Returns a random (version 4) UUID.
pub(super) fn new_call_id() -> CallId {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
    let version = 0x4000_u128 << 64;
    let variant = 0x8000_u128 << 48;
    let id = u128::from_be_bytes(bytes);
    CallId((id & !(0xf000_u128 << 64) & !(0xc000_u128 << 48)) | version | variant)
}

/// Checks a new call, and works out its plan and identities.
pub(super) fn outgoing(shared: &Shared, new: NewCall) -> Result<Outgoing, CommandError> {
    let NewCall { call: id, first, second, app, settings } = new;
    let leads = |target: &CallTarget| {
        callee_by(shared, &target.to, target.trunk.as_deref()).inspect_err(|error| {
            tracing::info!(call = %id, %error, "the destination is not called");
        })
    };
    let to = leads(&first)?;
    let plan = match &second {
        Some(second) => Plan::Join(leads(second)?),
        None if settings.program.is_some() => Plan::Application(App::Program),
        None => app.map_or(Plan::Hold, Plan::Application),
    };
    let first_role = match &first.to {
        Callee::Agent(_) | Callee::Browser(_) => LegRole::Agent,
        Callee::Number(_) => LegRole::Customer,
    };
    let ring = [first.ring, second.as_ref().and_then(|second| second.ring)];
    let identity = second.as_ref().and_then(|second| second.from.clone());
    let (first_shown, caller, from) = match (&first.to, second.map(|second| second.to)) {
        (_, None) => (first.from.clone(), first.from.clone(), first.from),
        // An agent who is called first sees the identity that the other side will see.
        (Callee::Agent(_) | Callee::Browser(_), Some(Callee::Number(_))) => {
            (identity.clone(), identity.clone(), identity)
        }
        (Callee::Agent(one) | Callee::Browser(one), Some(Callee::Agent(other) | Callee::Browser(other))) => {
            (Some(other), Some(one.clone()), identity)
        }
        (Callee::Number(number), Some(_)) => (first.from, Some(number.clone()), identity),
    };
    Ok(Outgoing { id, to, plan, settings, first_shown, caller, from, ring, first_role })
}

/// Returns the destination of a verb's callee.
pub(super) fn callee(shared: &Shared, callee: &Callee) -> Result<Destination, CommandError> {
    callee_by(shared, callee, None)
}

/// Returns the destination of a callee. `trunk` names the trunk that carries a number.
fn callee_by(shared: &Shared, callee: &Callee, trunk: Option<&str>) -> Result<Destination, CommandError> {
    let of_trunk =
        |refusal: Refusal| CommandError::Invalid { field: "trunk", problem: refusal.counted().why.to_owned() };
    let number = match (callee, trunk) {
        (Callee::Agent(_) | Callee::Browser(_), Some(_)) => return Err(of_trunk(TRUNK_FOR_NUMBERS)),
        (Callee::Agent(user), None) => return Ok(Destination::Agent(user.clone())),
        (Callee::Browser(user), None) => return Ok(Destination::Browser(user.clone())),
        (Callee::Number(number), _) => number,
    };
    let dialled = shared.guard.read(number).map_err(|error| Refusal::from(error).counted())?;
    let leads = match (trunk, dialled) {
        (Some(_), dialled @ Dialled::Emergency(_)) | (None, dialled) => destination(shared, dialled),
        (Some(name), dialled @ Dialled::Number { at: None, .. }) => match shared.trunk(Some(name)) {
            Some(_) => through(shared, name, dialled),
            None => return Err(of_trunk(NO_SUCH_TRUNK)),
        },
        (Some(_), Dialled::Number { .. } | Dialled::Uri { .. }) => return Err(of_trunk(TRUNK_FOR_NUMBERS)),
    };
    leads.map_err(|refusal| CommandError::from(refusal.counted()))
}

/// Returns the number, agent's name or URI of a destination.
pub(super) fn name_of(destination: &Destination) -> &str {
    match destination {
        Destination::Agent(user)
        | Destination::Browser(user)
        | Destination::Trunk { user, .. }
        | Destination::Emergency { user, .. } => user,
        Destination::Uri(uri) => uri,
    }
}

/// Returns the destination of what the API or an agent dialled.
fn destination(shared: &Shared, dialled: Dialled) -> Result<Destination, Refusal> {
    match dialled {
        Dialled::Emergency(number) => emergency(shared, number),
        Dialled::Number { number, at } => {
            let first = || shared.config.trunks.first().ok_or(NO_TRUNK);
            match at.as_ref().map(|place| (place, host_of(shared, place))) {
                None => number_through(first()?, shared, &number),
                Some((_, Host::Trunk(trunk))) => number_through(trunk, shared, &number),
                Some((_, Host::Here)) => number_through(first()?, shared, &number),
                Some((place, Host::Elsewhere)) => {
                    let plan = shared.config.trunks.first().map(|trunk| trunk.sip.plan.clone()).unwrap_or_default();
                    allowed(shared.guard.verdict(&number, &plan))?;
                    elsewhere(shared, number.as_str(), place)
                }
            }
        }
        Dialled::Uri { user, at } => match at.as_ref().map(|place| (place, host_of(shared, place))) {
            Some((_, Host::Trunk(trunk))) => name_through(trunk, shared, user),
            Some((_, Host::Here)) if !user.is_empty() => Ok(Destination::Agent(user)),
            Some((place, Host::Elsewhere)) => elsewhere(shared, &user, place),
            Some(_) | None => Err(NO_SUCH_USER),
        },
    }
}

/// Returns the destination of what a route leads through a trunk.
pub(super) fn through(shared: &Shared, trunk: &str, dialled: Dialled) -> Result<Destination, Refusal> {
    let known = || shared.trunk(Some(trunk)).ok_or(NO_TRUNK);
    match dialled {
        Dialled::Emergency(number) => emergency(shared, number),
        Dialled::Number { number, .. } => number_through(known()?, shared, &number),
        Dialled::Uri { user, .. } => name_through(known()?, shared, user),
    }
}

/// Returns the destination of an emergency call, or refuses it at once if no trunk can carry it.
pub(super) fn emergency(shared: &Shared, number: String) -> Result<Destination, Refusal> {
    let trunk = shared.guard.emergency_trunk().map_err(Refusal::forbidden)?;
    Ok(Destination::Emergency { trunk: trunk.to_owned(), user: number })
}

fn number_through(trunk: &TrunkConfig, shared: &Shared, number: &Number) -> Result<Destination, Refusal> {
    let plan = &trunk.sip.plan;
    allowed(shared.guard.verdict(number, plan))?;
    // The number is also judged as the trunk would understand it: national numbers may cost money too.
    if let Some(understood) = Number::parse(&trunk.sip.numbers.from_trunk(number.as_str())) {
        allowed(shared.guard.verdict(&understood, plan))?;
    }
    let user = match (&trunk.sip.numbers, number.international(plan)) {
        (NumberFormat::AsIs, _) | (_, None) => number.as_str().to_owned(),
        (_, Some(digits)) => format!("+{digits}"),
    };
    Ok(Destination::Trunk { trunk: trunk.name.clone(), user })
}

fn name_through(trunk: &TrunkConfig, shared: &Shared, user: String) -> Result<Destination, Refusal> {
    allowed(shared.guard.verdict_of_name(&user, &trunk.sip.plan))?;
    Ok(Destination::Trunk { trunk: trunk.name.clone(), user })
}

fn elsewhere(shared: &Shared, user: &str, place: &Place) -> Result<Destination, Refusal> {
    if !shared.guard.uris().may_call(place) {
        return Err(NOT_LISTED);
    }
    Ok(Destination::Uri(uri_of(user, place)))
}

fn allowed(verdict: Verdict) -> Result<(), Refusal> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Refused(why) => Err(Refusal::forbidden(why)),
    }
}

/// Returns the destination that a party may have called in its place by REFER: one that it could call by itself.
///
/// A user may call what routes and the API allow. A trunk's party can reach agents only: it must not dial by a transfer what it
/// may not dial directly. `group` is the group of the call; agents of other groups are unknown to it.
pub(super) fn referred(
    shared: &Shared,
    (owner, group): (&Source, Option<Group>),
    to: &str,
) -> Result<Destination, Refusal> {
    let uri = Uri::parse(to).map_err(|_| DialError::Malformed)?;
    let written = Written::of_uri(&uri)?;
    let name = uri.user_decoded().unwrap_or_default();
    let name = name.split(';').next().unwrap_or_default().to_owned();
    let may_dial = matches!(owner, Source::User(_));
    let is_local = written.at.as_ref().is_none_or(|place| is_here(shared, place));
    let dialled = match (shared.guard.dialled(written), owner) {
        (Dialled::Number { number, at }, Source::Trunk(trunk)) => {
            let read = |trunk: &TrunkConfig| Number::parse(&trunk.sip.numbers.from_trunk(number.as_str()));
            let number = shared.trunk(Some(trunk)).and_then(read).unwrap_or(number);
            Dialled::Number { number, at }
        }
        (dialled, _) => dialled,
    };
    if let Dialled::Emergency(number) = &dialled
        && may_dial
    {
        return emergency(shared, number.clone());
    }
    if !is_local {
        return if may_dial { destination(shared, dialled) } else { Err(NOT_AN_AGENT) };
    }
    if shared.registered.contains_key(&name) && shared.group_of(&name) == group {
        return Ok(Destination::Agent(name));
    }
    let known_as = match &dialled {
        Dialled::Emergency(number) => number.as_str(),
        Dialled::Number { number, .. } => number.as_str(),
        Dialled::Uri { user, .. } => user.as_str(),
    };
    match call::route(&shared.config.routes, known_as) {
        Some(RouteTarget::Agent(agent)) => Ok(Destination::Agent(agent.clone())),
        Some(RouteTarget::App(_)) => Err(Refusal { status: 488, why: "an application takes no transferred call" }),
        Some(RouteTarget::Trunk(_) | RouteTarget::Amd(_)) | None if !may_dial => Err(NOT_AN_AGENT),
        Some(RouteTarget::Trunk(trunk) | RouteTarget::Amd(trunk)) => through(shared, trunk, dialled),
        None => match dialled {
            Dialled::Number { number, .. } => destination(shared, Dialled::Number { number, at: None }),
            _ => Err(NO_SUCH_USER),
        },
    }
}

/// The host of a URI.
enum Host<'s> {
    /// A trunk, under any of its names or addresses.
    Trunk(&'s TrunkConfig),
    /// This system itself.
    Here,
    Elsewhere,
}

fn host_of<'s>(shared: &'s Shared, place: &Place) -> Host<'s> {
    match trunk_named(shared, place) {
        Some(trunk) => Host::Trunk(trunk),
        None if is_here(shared, place) => Host::Here,
        None => Host::Elsewhere,
    }
}

/// Returns the trunk whose hosts name this one, preferably at its port, or whose address it currently is.
fn trunk_named<'s>(shared: &'s Shared, place: &Place) -> Option<&'s TrunkConfig> {
    let named = |port: Option<u16>| {
        let is_it = |host: &String| {
            ranked(host).is_some_and(|known| {
                known.place.host() == place.host() && port.is_none_or(|port| known.place.port().unwrap_or(5060) == port)
            })
        };
        shared.config.trunks.iter().find(|trunk| trunk.hosts.iter().any(is_it))
    };
    let port = place.port().unwrap_or(5060);
    named(Some(port)).or_else(|| named(None)).or_else(|| {
        let trunk = shared.sip.trunk_at(SocketAddr::new(place.ip()?, port))?;
        shared.trunk(Some(&trunk))
    })
}

/// Returns whether a host is this system: its domain, or an address at which it listens or is known.
fn is_here(shared: &Shared, place: &Place) -> bool {
    let known_port = |port: u16| shared.sip.local_addresses().iter().any(|listener| listener.address.port() == port);
    let port_suits = place.port().is_none_or(|port| known_port(port) || matches!(port, 5060 | 5061));
    let own = [Some(shared.config.sip.domain.as_str()), shared.config.sip.advertise.as_deref()];
    let named = own.into_iter().flatten().filter_map(ranked).any(|own| own.place.host() == place.host());
    let listens = |ip| shared.sip.local_addresses().iter().any(|listener| listener.address.ip().to_canonical() == ip);
    port_suits && (named || place.ip().is_some_and(listens))
}

/// Returns the current destination, and the SIP core's target for it. Names are resolved here, and their addresses are judged.
pub(super) async fn target(shared: &Shared, destination: Destination) -> Result<(Destination, Target), Refusal> {
    let target = match &destination {
        Destination::Agent(user) => Target::User(user.clone()),
        Destination::Browser(user) => Target::Browser(user.clone()),
        Destination::Trunk { trunk, user } => Target::Trunk { name: trunk.clone(), user: user.clone() },
        Destination::Emergency { trunk, user } => Target::Emergency { name: trunk.clone(), user: user.clone() },
        Destination::Uri(uri) => {
            let (Written { at: Some(place), .. }, dialled) = (Written::parse(uri)?, shared.guard.read(uri)?) else {
                return Err(NO_SUCH_USER);
            };
            let found = tokio::time::timeout(RESOLVE, shared.sip.addresses(&place)).await;
            let found = found.map_err(|_| SILENT_NAMES)?.map_err(|_| UNKNOWN_HOST)?;
            if let Some(trunk) = found.iter().find_map(|(_, address)| shared.sip.trunk_at(*address)) {
                let destination = through(shared, &trunk, dialled)?;
                return Box::pin(target(shared, destination)).await;
            }
            let near = || found.iter().filter(|(_, address)| shared.sip.reaches(*address));
            near().next().ok_or(UNKNOWN_HOST)?;
            let uris = shared.guard.uris();
            let (transport, addr) = *near().find(|(_, address)| uris.may_send(&place, *address)).ok_or(NOT_PUBLIC)?;
            Target::Uri { uri: uri.clone(), addr, transport }
        }
    };
    Ok((destination, target))
}
