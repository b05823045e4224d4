//! Targets of a new call: either two targets, or a mode with a number and an agent.
//!
//! ```text
//!   { first, second? } ──────────────┐
//!                                    ├─▶ Wanted ─ identities ─▶ engine::NewCall
//!   { mode, to, from?, agent? } ─────┘   direct: to · bridge: agent, to · webrtc: agent's browser, to
//! ```
//!
//! Invariant: a request uses one of the two forms; a mixture is refused. Not here: whether a number may be called, which the
//! engine decides.

use crate::config::is_emergency;
use std::time::Duration;

use serde::Deserialize;
use utoipa::ToSchema;

use super::calls::{CallRequest, Mode};
use super::verbs::ring;
use crate::auth::Actor;
use crate::engine::{CallTarget, Callee};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::tenant::number;
use crate::tenant::rbac::Action;

/// Party to call. Exactly one of `agent` and `to` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallTargetRequest {
    /// SIP user name of an agent of your organization.
    agent: Option<String>,
    /// Phone number in E.164 format, or a `sip:` URI.
    #[schema(example = "+15555550142")]
    to: Option<String>,
    /// Caller ID shown to `to`. The default is the same as for `from` of a call. Not allowed with `agent`.
    from: Option<String>,
    /// Longest ringing time in seconds. Defaults to the server's ringing time.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// Name of the trunk that carries the call to `to`. Defaults to the trunk that the routes select. Requires the permission
    /// `voice.write`. Emergency numbers always use the trunk configured for them.
    trunk: Option<String>,
}

/// Checked targets of a request. Caller IDs are not checked yet.
pub(super) struct Wanted {
    /// Party that is called first.
    pub(super) first: Asked,
    /// Party that is called next and connected to the first one.
    pub(super) second: Option<Asked>,
    /// Mode under which the call is stored.
    pub(super) mode: &'static str,
}

/// One checked target of a request.
pub(super) struct Asked {
    /// Agent, browser or number to call.
    pub(super) callee: Callee,
    /// Caller ID that was requested.
    pub(super) from: Option<String>,
    /// Request field that holds the caller ID, for problems.
    pub(super) from_field: String,
    ring: Option<Duration>,
    trunk: Option<String>,
    urgent: bool,
}

impl Asked {
    /// Returns whether the target is an emergency number.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    fn new(callee: Callee) -> Asked {
        Asked { callee, from: None, from_field: "from".into(), ring: None, trunk: None, urgent: false }
    }

    /// Returns the number or URI to call, or `None` for an agent.
    pub(super) fn number(&self) -> Option<&str> {
        match &self.callee {
            Callee::Number(number) => Some(number),
            Callee::Agent(_) | Callee::Browser(_) => None,
        }
    }

    /// Returns the agent to call, or `None` for a number.
    pub(super) fn agent(&self) -> Option<&str> {
        match &self.callee {
            Callee::Agent(agent) | Callee::Browser(agent) => Some(agent),
            Callee::Number(_) => None,
        }
    }

    fn name(&self) -> &str {
        match &self.callee {
            Callee::Agent(name) | Callee::Browser(name) | Callee::Number(name) => name,
        }
    }

    /// Returns the target for the engine, with `from` as its caller ID.
    pub(super) fn target(&self, from: Option<String>) -> CallTarget {
        CallTarget { to: self.callee.clone(), trunk: self.trunk.clone(), from, ring: self.ring }
    }
}

impl Wanted {
    fn all(&self) -> impl Iterator<Item = &Asked> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// Returns whether an emergency number is called.
    pub(super) fn is_urgent(&self) -> bool {
        self.all().any(|asked| asked.urgent)
    }

    /// Returns whether the call needs the capability to dial from a program. An emergency call does not, unless another number is
    /// called too.
    pub(super) fn dials(&self) -> bool {
        !self.is_urgent() || self.all().any(|asked| asked.number().is_some() && !asked.urgent)
    }

    /// Returns the agent that the call belongs to: the first target that is an agent.
    pub(super) fn agent(&self) -> Option<&str> {
        self.all().find_map(Asked::agent)
    }

    /// Returns the other party, as the call is stored: the number that is called last, or else the last target.
    pub(super) fn to(&self) -> &str {
        let last = self.second.as_ref().unwrap_or(&self.first);
        let numbers = self.second.iter().chain([&self.first]);
        numbers.into_iter().find_map(Asked::number).unwrap_or(last.name())
    }

    /// Returns the target that counts against limits: a number that is not an emergency number, if there is one.
    pub(super) fn counted(&self) -> &str {
        self.all().find(|asked| !asked.urgent && asked.number().is_some()).map_or_else(|| self.to(), Asked::name)
    }
}

/// Returns whether a request calls an emergency number.
pub(super) fn is_urgent(state: &AppState, request: &CallRequest) -> bool {
    let targets = [&request.first, &request.second].into_iter().flatten();
    let numbers = targets.filter_map(|target| target.to.as_ref()).chain(&request.to);
    numbers.into_iter().any(|number| is_emergency(&state.config, number))
}

/// Reads and checks the targets of a request.
pub(super) async fn wanted(state: &AppState, actor: &Actor, request: &CallRequest) -> Result<Wanted, Problem> {
    let Some(first) = &request.first else {
        if request.second.is_some() {
            return Err(Problem::field("second", "expected `first` too: `second` is connected to it"));
        }
        return of_mode(state, actor, request).await;
    };
    let others = [
        ("mode", request.mode.is_some()),
        ("to", request.to.is_some()),
        ("agent", request.agent.is_some()),
        ("from", request.from.is_some()),
    ];
    if let Some((field, _)) = others.into_iter().find(|(_, is_there)| *is_there) {
        return Err(Problem::field(
            field,
            "expected either `first` and `second`, or `mode` with `to` and `agent`, not both",
        ));
    }
    if request.app.is_some() && request.second.is_some() {
        return Err(Problem::field(
            "app",
            "expected no `app` with `second`: the two parties are connected to each other",
        ));
    }
    let first = asked(state, actor, ("first", first)).await?;
    let second = match &request.second {
        Some(second) => Some(asked(state, actor, ("second", second)).await?),
        None => None,
    };
    let mode = if second.is_some() { "bridge" } else { "direct" };
    Ok(Wanted { first, second, mode })
}

/// Reads and checks the target in the field `name` of the request.
async fn asked(state: &AppState, actor: &Actor, (name, target): (&str, &CallTargetRequest)) -> Result<Asked, Problem> {
    let CallTargetRequest { agent, to, from, ring_s, trunk } = target;
    let field = |of: &str| format!("{name}.{of}");
    let mut asked = match (agent, to) {
        (Some(agent), None) => Asked::new(Callee::Agent(known(state, actor, &field("agent"), agent).await?)),
        (None, Some(to)) => number(state, &field("to"), to)?,
        (Some(_), Some(_)) => return Err(Problem::field(field("to"), "expected `agent` or `to`, not both")),
        (None, None) => {
            let expected = "expected `agent` (a SIP user name) or `to` (a number or URI)";
            return Err(Problem::field(field("to"), expected));
        }
    };
    if from.is_some() && asked.agent().is_some() {
        let expected = "expected no `from` with `agent`: an agent sees the other party";
        return Err(Problem::field(field("from"), expected));
    }
    asked.from_field = field("from");
    asked.from = identity(&asked.from_field, from.as_ref())?;
    asked.ring = ring(&field("ring_s"), *ring_s)?;
    if let Some(trunk) = trunk {
        actor.may(Action::VoiceWrite)?;
        if asked.agent().is_some() {
            return Err(Problem::field(field("trunk"), "expected no `trunk` with `agent`: agents are called directly"));
        }
        if !state.config.trunks.iter().any(|known| known.name == *trunk) {
            return Err(Problem::field(field("trunk"), "there is no trunk with this name"));
        }
        asked.trunk = Some(trunk.clone());
    }
    Ok(asked)
}

/// Reads the targets of a request with a mode.
async fn of_mode(state: &AppState, actor: &Actor, request: &CallRequest) -> Result<Wanted, Problem> {
    let Some(mode) = request.mode else {
        return Err(Problem::field("mode", "expected `direct`, `bridge` or `webrtc`, or a party to call as `first`"));
    };
    let Some(to) = &request.to else { return Err(Problem::field("to", number::EXPECTED)) };
    let mut customer = number(state, "to", to)?;
    customer.from = identity("from", request.from.as_ref())?;
    if request.app.is_some() && mode != Mode::Direct {
        return Err(Problem::field("app", "only a call with mode `direct` can run an application"));
    }
    if mode == Mode::Direct {
        return match &request.agent {
            Some(_) => Err(Problem::field("agent", "a call with mode `direct` has no agent")),
            None => Ok(Wanted { first: customer, second: None, mode: "direct" }),
        };
    }
    let own = actor.person.as_ref().map(|person| person.sip_name.clone());
    let Some(agent) = request.agent.clone().or(own.filter(|_| mode == Mode::Webrtc)) else {
        return Err(Problem::field("agent", "this mode needs the SIP user name of the agent who is called first"));
    };
    let agent = known(state, actor, "agent", &agent).await?;
    let (callee, mode) = match mode {
        Mode::Webrtc => (Callee::Browser(agent), "webrtc"),
        Mode::Bridge | Mode::Direct => (Callee::Agent(agent), "bridge"),
    };
    Ok(Wanted { first: Asked::new(callee), second: Some(customer), mode })
}

/// Returns the SIP user name if the organization has such an agent.
async fn known(state: &AppState, actor: &Actor, field: &str, agent: &str) -> Result<String, Problem> {
    match state.store.membership_by_sip_name(actor.organization, agent).await? {
        Some(_) => Ok(agent.to_owned()),
        None => Err(Problem::field(field, "no agent of your organization has this SIP user name")),
    }
}

fn number(state: &AppState, field: &str, to: &str) -> Result<Asked, Problem> {
    let urgent = is_emergency(&state.config, to);
    match number::is_callable(to) || urgent {
        true => Ok(Asked { urgent, ..Asked::new(Callee::Number(to.to_owned())) }),
        false => Err(Problem::field(field, number::EXPECTED)),
    }
}

fn identity(field: &str, from: Option<&String>) -> Result<Option<String>, Problem> {
    match from {
        Some(from) if !number::is_callable(from) => Err(Problem::field(field, number::EXPECTED)),
        from => Ok(from.cloned()),
    }
}
