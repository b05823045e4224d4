//! API keys: shown once, scoped, with an end.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Actor, KEY_PREFIX, KeyTerms, Secret, check_name};
use crate::body::{JsonBody, PathId, QueryPairs};
use crate::cursor::Page;
use crate::phones;
use crate::problem::Problem;
use crate::rbac::{self, Action, Rights};
use crate::state::AppState;
use crate::store::{KeyRow, NewKey, Place};

/// A key, without itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KeyInfo {
    id: Uuid,
    /// What it is for.
    name: String,
    /// Its first characters.
    prefix: String,
    /// What it may do, such as `calls.dial`.
    scopes: Vec<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// Keys, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KeyList {
    api_keys: Vec<KeyInfo>,
    /// For the next page; nothing: this was the last.
    next_cursor: Option<String>,
}

/// A key to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    /// What it is for.
    name: String,
    /// What it may do, at most what an admin and the caller may.
    #[serde(default)]
    #[schema(required, min_items = 1, example = json!(["calls.read"]))]
    scopes: Vec<String>,
    /// In how many days it ends; never when left out.
    expires_in_days: Option<u32>,
}

/// A key with itself, shown this once.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct KeyMade {
    #[serde(flatten)]
    info: KeyInfo,
    /// The key.
    key: String,
}

impl From<KeyRow> for KeyInfo {
    fn from(row: KeyRow) -> KeyInfo {
        let scopes = rbac::key_scopes(row.scopes.as_deref());
        let KeyRow { id, name, prefix, created_at, expires_at, last_used_at, revoked_at, .. } = row;
        KeyInfo { id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at }
    }
}

/// The tenant's keys, also those that were revoked.
#[utoipa::path(get, path = "/api-keys", tag = "api-keys", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = KeyList)))]
pub(super) async fn key_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<KeyList>, Problem> {
    actor.may(Action::ApiKeysRead)?;
    let [limit, cursor] = query.take(["limit", "cursor"])?;
    let page = Page::read("api-keys", actor.organization, "", cursor.as_deref(), limit.as_deref())?;
    let after = page.after.unwrap_or(Place::LAST);
    let mut keys = state.store.api_key_list(actor.organization, after, page.fetch()).await?;
    let next_cursor = page.cut(&mut keys, |last| Place::of(last.created_at, last.id));
    Ok(Json(KeyList { api_keys: keys.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Makes a key, shown this once.
#[utoipa::path(post, path = "/api-keys", tag = "api-keys", security(("key" = []), ("session" = [])),
    request_body = KeyRequest, responses((status = 201, body = KeyMade)))]
pub(super) async fn key_create(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::ApiKeysWrite)?;
    check_name("name", &request.name)?;
    let terms = KeyTerms { scopes: Some(request.scopes), expires_in_days: request.expires_in_days };
    let scopes = terms.granted(|action| actor.allows(action))?;
    let expires_at = terms.expires_at()?;
    let key = Secret::random(KEY_PREFIX);
    let new = NewKey {
        name: &request.name,
        prefix: key.prefix(),
        key_hash: &key.hash(),
        scopes,
        expires_at,
        created_by: actor.person.as_ref().map(|person| person.user),
    };
    let row = state.store.api_key_create(actor.organization, new, &actor.by).await?;
    let made = KeyMade { info: row.into(), key: key.reveal().to_owned() };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

/// Revokes a key, which may do nothing that the caller may not: it opens nothing more, and streams that it opened end
/// within five seconds. Agents whose telephones it got passwords for must register anew.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "api-keys", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The key")),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn key_revoke(State(state): State<AppState>, actor: Actor, id: PathId) -> Result<StatusCode, Problem> {
    actor.may(Action::ApiKeysWrite)?;
    let key = id.of("key")?;
    let none = || Problem::not_found("key");
    let row = state.store.api_key_show(actor.organization, key).await?.ok_or_else(none)?;
    if !actor.rights().cover(Rights::of_key_words(row.scopes.as_deref())) {
        return Err(Problem::forbidden("this key may do what you may not"));
    }
    if !state.store.api_key_revoke(actor.organization, key, &actor.by).await? {
        return Err(none());
    }
    state.credentials.forget();
    phones::end(&state.engine, state.phones.of_key(key)).await;
    Ok(StatusCode::NO_CONTENT)
}
