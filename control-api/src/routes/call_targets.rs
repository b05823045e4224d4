//! Whom a new call calls: two targets, or a mode with the number and the agent that it takes.
//!
//! ```text
//!   { first, second? } ──────────────┐
//!                                    ├─▶ Wanted ─ identities ─▶ engine::NewCall
//!   { mode, to, from?, agent? } ─────┘   direct: to · bridge: agent, to · webrtc: agent's browser, to
//! ```
//!
//! Invariant: a request says it in one way; a mixture is refused. Not here: whether a number may be called (the engine).

use std::time::Duration;

use serde::Deserialize;
use utoipa::ToSchema;

use super::calls::{CallRequest, Mode};
use super::verbs::ring;
use crate::auth::Actor;
use crate::engine::{self, CallTarget, Callee};
use crate::number;
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;

/// Somebody to be called: `agent` or `to`, one of both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallTargetRequest {
    /// An agent's SIP user name.
    agent: Option<String>,
    /// A number in E.164, or a `sip:` URI.
    #[schema(example = "+15555550142")]
    to: Option<String>,
    /// Caller identity shown to `to`; by default as for a call's `from`.
    from: Option<String>,
    /// How long it may ring, in seconds; by default as long as any leg.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// Name of the trunk that carries the number; by default the one that a route would take. Needs the permission `voice.write`.
    /// An emergency number goes through the trunk that is set for them, whatever stands here.
    trunk: Option<String>,
}

/// Whom a request names, checked but for caller identities.
pub(super) struct Wanted {
    /// Who is called first.
    pub(super) first: Asked,
    /// Who is called and joined with the first one.
    pub(super) second: Option<Asked>,
    /// As the call is stored.
    pub(super) mode: &'static str,
}

/// One of them.
pub(super) struct Asked {
    /// Who.
    pub(super) callee: Callee,
    /// The identity that was asked for.
    pub(super) from: Option<String>,
    /// The field of the request in which it stands.
    pub(super) from_field: String,
    ring: Option<Duration>,
    trunk: Option<String>,
    urgent: bool,
}

impl Asked {
    /// Somebody in need.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    fn new(callee: Callee) -> Asked {
        Asked { callee, from: None, from_field: "from".into(), ring: None, trunk: None, urgent: false }
    }

    /// The number or URI that is called; `None`: an agent.
    pub(super) fn number(&self) -> Option<&str> {
        match &self.callee {
            Callee::Number(number) => Some(number),
            Callee::Agent(_) | Callee::Browser(_) => None,
        }
    }

    /// The agent who is called.
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

    /// For the engine, shown as `from`.
    pub(super) fn target(&self, from: Option<String>) -> CallTarget {
        CallTarget { to: self.callee.clone(), trunk: self.trunk.clone(), from, ring: self.ring }
    }
}

impl Wanted {
    fn all(&self) -> impl Iterator<Item = &Asked> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// Somebody in need is called.
    pub(super) fn is_urgent(&self) -> bool {
        self.all().any(|asked| asked.urgent)
    }

    /// Whether it needs the right to dial by a program: all calls but those to somebody in need, with an agent at most.
    pub(super) fn dials(&self) -> bool {
        !self.is_urgent() || self.all().any(|asked| asked.number().is_some() && !asked.urgent)
    }

    /// The agent whose call it is: the one who is called, and the first of two.
    pub(super) fn agent(&self) -> Option<&str> {
        self.all().find_map(Asked::agent)
    }

    /// The other side, as the call is stored: the number that is called last, else whoever is called last.
    pub(super) fn to(&self) -> &str {
        let last = self.second.as_ref().unwrap_or(&self.first);
        let numbers = self.second.iter().chain([&self.first]);
        numbers.into_iter().find_map(Asked::number).unwrap_or(last.name())
    }

    /// What limits are held against: a number that is no emergency, if there is one.
    pub(super) fn counted(&self) -> &str {
        self.all().find(|asked| !asked.urgent && asked.number().is_some()).map_or_else(|| self.to(), Asked::name)
    }
}

/// Whether a request calls somebody in need.
pub(super) fn is_urgent(state: &AppState, request: &CallRequest) -> bool {
    let targets = [&request.first, &request.second].into_iter().flatten();
    let numbers = targets.filter_map(|target| target.to.as_ref()).chain(&request.to);
    numbers.into_iter().any(|number| engine::is_emergency(&state.config, number))
}

/// Reads a request's callees.
pub(super) async fn wanted(state: &AppState, actor: &Actor, request: &CallRequest) -> Result<Wanted, Problem> {
    let Some(first) = &request.first else {
        if request.second.is_some() {
            return Err(Problem::field("second", "expected `first` too: `second` is joined with it"));
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
        return Err(Problem::field("app", "expected no `app` beside `second`: the two are joined with each other"));
    }
    let first = asked(state, actor, ("first", first)).await?;
    let second = match &request.second {
        Some(second) => Some(asked(state, actor, ("second", second)).await?),
        None => None,
    };
    let mode = if second.is_some() { "bridge" } else { "direct" };
    Ok(Wanted { first, second, mode })
}

/// A target of the request, in the field of this name.
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
        let expected = "expected no `from` beside `agent`: agents are shown the other side";
        return Err(Problem::field(field("from"), expected));
    }
    asked.from_field = field("from");
    asked.from = identity(&asked.from_field, from.as_ref())?;
    asked.ring = ring(&field("ring_s"), *ring_s)?;
    if let Some(trunk) = trunk {
        actor.may(Action::VoiceWrite)?;
        if asked.agent().is_some() {
            return Err(Problem::field(
                field("trunk"),
                "expected no `trunk` beside `agent`: agents are called directly",
            ));
        }
        if !state.config.trunks.iter().any(|known| known.name == *trunk) {
            return Err(Problem::field(field("trunk"), "there is no trunk of this name"));
        }
        asked.trunk = Some(trunk.clone());
    }
    Ok(asked)
}

/// The callees of a mode.
async fn of_mode(state: &AppState, actor: &Actor, request: &CallRequest) -> Result<Wanted, Problem> {
    let Some(mode) = request.mode else {
        return Err(Problem::field("mode", "expected `direct`, `bridge` or `webrtc`, or whom to call as `first`"));
    };
    let Some(to) = &request.to else { return Err(Problem::field("to", number::EXPECTED)) };
    let mut customer = number(state, "to", to)?;
    customer.from = identity("from", request.from.as_ref())?;
    if request.app.is_some() && mode != Mode::Direct {
        return Err(Problem::field("app", "only a call in mode `direct` connects an application"));
    }
    if mode == Mode::Direct {
        return match &request.agent {
            Some(_) => Err(Problem::field("agent", "a call in mode `direct` has no agent")),
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

/// An agent of the organization.
async fn known(state: &AppState, actor: &Actor, field: &str, agent: &str) -> Result<String, Problem> {
    match state.store.membership_by_sip_name(actor.organization, agent).await? {
        Some(_) => Ok(agent.to_owned()),
        None => Err(Problem::field(field, "there is no agent of this SIP user name in your organization")),
    }
}

fn number(state: &AppState, field: &str, to: &str) -> Result<Asked, Problem> {
    let urgent = engine::is_emergency(&state.config, to);
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
