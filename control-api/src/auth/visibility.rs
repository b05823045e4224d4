//! Calls that an actor may see and the visible parts of them, and the identity under which an actor's texts are stored.

use uuid::Uuid;

use crate::auth::Actor;
use crate::store::{OrganizationId, Sight, Store, StoreError};
use crate::tenant::rbac::Action;

/// Returns an identifier of the actor, for the owner of an idempotency key or a note.
pub(crate) fn identity(actor: &Actor) -> String {
    match (&actor.person, &actor.key) {
        (Some(person), _) => format!("user:{}", person.user),
        (None, Some(key)) => format!("key:{}", key.id),
        (None, None) => "nobody".to_owned(),
    }
}

/// Calls that an actor may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Every call of the organization.
    All,
    /// Calls in which the agent with this SIP user name took part, and of them the time that the agent was in the call.
    Own(String),
    /// No calls: each looks like one that does not exist.
    Nothing,
}

impl Seen {
    /// Returns the visible calls: `all` permits every call, `own` those of the user. A key has no calls of its own.
    pub(crate) fn by(actor: &Actor, all: Action, own: Action) -> Seen {
        match &actor.person {
            _ if actor.allows(all) => Seen::All,
            Some(person) if actor.allows(own) => Seen::Own(person.sip_name.clone()),
            _ => Seen::Nothing,
        }
    }

    /// Returns the calls with transcripts that `calls.read` and `calls.read_own` permit.
    pub(crate) fn calls(actor: &Actor) -> Seen {
        Seen::by(actor, Action::CallsRead, Action::CallsReadOwn)
    }

    /// Returns the calls whose recordings `recordings.read` and `recordings.read_own` permit.
    pub(crate) fn recordings(actor: &Actor) -> Seen {
        Seen::by(actor, Action::RecordingsRead, Action::RecordingsReadOwn)
    }

    /// Returns the part of a call of the organization that may be seen, or `None`.
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
