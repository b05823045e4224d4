//! Which calls an actor sees, and under which name what the actor writes is kept.

use crate::auth::Actor;
use crate::problem::Problem;
use crate::rbac::Action;

/// Tells actors apart: whose an idempotency key or a note is.
pub(crate) fn identity(actor: &Actor) -> String {
    match (&actor.person, &actor.key) {
        (Some(person), _) => format!("user:{}", person.user),
        (None, Some(key)) => format!("key:{}", key.id),
        (None, None) => "nobody".to_owned(),
    }
}

/// The SIP user name to whose calls this actor is kept; nothing: every call of the organization may be seen.
pub(crate) fn only_own(actor: &Actor, all: Action, own: Action) -> Result<Option<String>, Problem> {
    if actor.allows(all) {
        return Ok(None);
    }
    actor.may(own)?;
    // A key is nobody's own.
    let person =
        actor.person.as_ref().ok_or_else(|| Problem::forbidden("this takes a person with calls of one's own"))?;
    Ok(Some(person.sip_name.clone()))
}
