//! Which calls an actor sees and what of them, and under which name what the actor writes is kept.

use uuid::Uuid;

use crate::auth::Actor;
use crate::rbac::Action;
use crate::store::{OrganizationId, Sight, Store, StoreError};

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
    /// Those in which the agent with this SIP user name took part, and of them what happened meanwhile.
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

    /// Calls with their words, as `calls.read` and `calls.read_own` let them be seen.
    pub(crate) fn calls(actor: &Actor) -> Seen {
        Seen::by(actor, Action::CallsRead, Action::CallsReadOwn)
    }

    /// Recordings, as `recordings.read` and `recordings.read_own` let them be heard.
    pub(crate) fn recordings(actor: &Actor) -> Seen {
        Seen::by(actor, Action::RecordingsRead, Action::RecordingsReadOwn)
    }

    /// What may be seen of a call that the organization has; `None`: nothing.
    pub(crate) async fn sight(
        &self,
        store: &Store,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Option<Sight>, StoreError> {
        match self {
            Seen::All => Ok(Some(Sight::Whole)),
            Seen::Own(agent) => {
                let stays = store.stay_list_of(organization, agent, &[call]).await?;
                Ok(stays.get(&call).and_then(|stays| Sight::of(stays)))
            }
            Seen::Nothing => Ok(None),
        }
    }
}
