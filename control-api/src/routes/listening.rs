//! How the sides of a translated call listen: in which language, and what they hear of the original.
//!
//! ```text
//! GET   ─▶ actor, tenant's call ─▶ Verb::Listening without changes ─▶ both sides
//! PATCH ─▶ actor, tenant's call ─▶ once (Idempotency-Key) ─▶ voice_to_voice allowed? ─▶ Verb::Listening ─▶ audit ─▶ both sides
//! ```
//!
//! Not here: when a change takes effect (the engine), and the choice at the beginning of a call (`voice_config`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::verbs::{running_call, verb};
use crate::auth::Actor;
use crate::engine::translation::{Listener, ListenerPatch};
use crate::engine::{self, Verb, word};
use crate::gate::idempotency::{Keyed, Reply, once};
use crate::http::body::CallPath;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::Deed;
use crate::tenant::capabilities::SwitchedOff;
use crate::tenant::rbac::Action;
use crate::tenant::voice_config::{Hears, is_language_tag};

/// How the sides of a translated call listen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Listening {
    /// How the customer listens.
    customer: ListeningSide,
    /// The agent. With several agents, the first one that is in the conversation.
    agent: ListeningSide,
}

/// How one side listens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ListeningSide {
    /// Language that the side speaks and hears, as a BCP 47 tag.
    #[schema(example = "es")]
    language: String,
    /// What the side hears: `original`, `ducked` or `translation`.
    hears: String,
    /// How translations reach the side at present: `voice`, `faster` (sped up, because they are late), `text` (too late to be
    /// spoken) or `original` (none come, so that the original is heard).
    level: String,
}

impl From<Listener> for ListeningSide {
    fn from(listener: Listener) -> ListeningSide {
        let (hears, level) = (word(&listener.hears), word(&listener.level));
        ListeningSide { language: listener.language, hears, level }
    }
}

impl From<[Listener; 2]> for Listening {
    fn from([customer, agent]: [Listener; 2]) -> Listening {
        Listening { customer: customer.into(), agent: agent.into() }
    }
}

/// Changes of how the sides listen. At least one is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListeningPatch {
    /// Changes for the customer.
    #[serde(default)]
    customer: ListeningSidePatch,
    /// Changes for the agent.
    #[serde(default)]
    agent: ListeningSidePatch,
}

/// Changes of how one side listens. Fields that are left out keep their value.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListeningSidePatch {
    /// Language that the side speaks and hears, as a BCP 47 tag. It takes effect with the next sentence of each speaker.
    #[schema(example = "fr")]
    language: Option<String>,
    /// What the side hears from now on.
    hears: Option<Hears>,
}

impl ListeningPatch {
    /// Checks the changes and converts them for the engine.
    fn changes(self) -> Result<[ListenerPatch; 2], Problem> {
        for (side, patch) in [("customer", &self.customer), ("agent", &self.agent)] {
            if patch.language.as_deref().is_some_and(|tag| !is_language_tag(tag)) {
                let expected = "expected a BCP 47 language tag such as `en` or `es-419`";
                return Err(Problem::field(format!("{side}.language"), expected));
            }
        }
        let patches = [self.customer, self.agent]
            .map(|side| ListenerPatch { language: side.language, hears: side.hears.map(Into::into) });
        if patches.iter().all(ListenerPatch::is_empty) {
            return Err(Problem::field("agent", "expected `language` or `hears` for the agent, the customer or both"));
        }
        Ok(patches)
    }
}

/// Returns how the sides of a translated call listen.
///
/// A call that is not translated gets 409.
#[utoipa::path(get, path = "/calls/{id}/listening", tag = "translations", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 200, body = Listening),
              (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn listening_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<Listening>, Problem> {
    actor.may(Action::CallsDial)?;
    running_call(&state, &actor, id).await?;
    Ok(Json(listening(verb(&state, id, Verb::Listening(Default::default())).await?)?))
}

/// Changes how the sides of a translated call listen.
///
/// What a side hears changes at once; a language changes with the next sentence of each speaker. `call.listening` reports the
/// change. A call that is not translated gets 409.
#[utoipa::path(patch, path = "/calls/{id}/listening", tag = "translations", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = ListeningPatch,
    responses((status = 200, body = Listening,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn listening_update(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<ListeningPatch>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (request, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running_call(&inner, &by, id).await?;
        let wants_voice = [&request.customer, &request.agent]
            .iter()
            .any(|side| side.hears.is_some_and(|hears| hears != Hears::Original));
        let patches = request.changes()?;
        if wants_voice && !inner.store.capabilities_show(by.organization).await?.voice_to_voice {
            return Err(SwitchedOff("voice_to_voice").into());
        }
        let both = listening(verb(&inner, id, Verb::Listening(patches)).await?)?;
        let deed = Deed::new("call.listening", format!("call:{id}")).after(json!(both));
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::OK, &both)
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

fn listening(reply: engine::Reply) -> Result<Listening, Problem> {
    match reply {
        engine::Reply::Listening(both) => Ok(both.into()),
        _ => Err(Problem::internal()),
    }
}
