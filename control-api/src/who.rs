//! Which calls an actor sees, and under which name what the actor writes is kept.

use crate::auth::Actor;
use crate::rbac::Action;

/// Tells actors apart: whose an idempotency key or a note is.
pub(crate) fn identity(actor: &Actor) -> String {
    match (&actor.person, &actor.key) {
        (Some(person), _) => format!("user:{}", person.user),
        (None, Some(key)) => format!("key:{}", key.id),
        (None, None) => "nobody".to_owned(),
    }
}

/// Which calls an actor sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Every call of the organization.
    All,
    /// Those of the agent with this SIP user name.
    Own(String),
    /// None: each looks like one that does not exist.
    Nothing,
}

impl Seen {
    /// `all` lets every call be seen, `own` one's own. A key is nobody's own.
    pub(crate) fn by(actor: &Actor, all: Action, own: Action) -> Seen {
        match &actor.person {
            _ if actor.allows(all) => Seen::All,
            Some(person) if actor.allows(own) => Seen::Own(person.sip_name.clone()),
            _ => Seen::Nothing,
        }
    }

    /// Whether a call with this agent is among them.
    pub(crate) fn has(&self, agent: Option<&str>) -> bool {
        match self {
            Seen::All => true,
            Seen::Own(own) => agent == Some(own),
            Seen::Nothing => false,
        }
    }
}
