//! API keys: listed, created and revoked. A key is shown once, has scopes, and may expire.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Actor, KEY_PREFIX, KeyTerms, Secret, check_name};
use crate::calls::phones;
use crate::http::body::{JsonBody, PathId, QueryPairs};
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{KeyRow, NewKey, Place};
use crate::tenant::rbac::{self, Action, Rights};

/// API key, without the key itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KeyInfo {
    /// Id of the key.
    id: Uuid,
    /// Name that says what the key is for.
    name: String,
    /// First characters of the key, by which people recognise it.
    prefix: String,
    /// Scopes of the key, such as `calls.dial`.
    scopes: Vec<&'static str>,
    /// Time of creation.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Expiry, or null if the key never expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Time of the last use, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Time of revocation, or null if the key was not revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// One page of API keys, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KeyList {
    /// The keys, newest first.
    api_keys: Vec<KeyInfo>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// API key to create.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    /// Name that says what the key is for.
    name: String,
    /// Scopes of the key. Only scopes that both an admin and the caller have can be given.
    #[serde(default)]
    #[schema(required, min_items = 1, example = json!(["calls.read"]))]
    scopes: Vec<String>,
    /// Days until the key expires. Without it the key never expires.
    expires_in_days: Option<u32>,
}

/// New API key. The key itself is shown only in this response.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct KeyMade {
    #[serde(flatten)]
    info: KeyInfo,
    /// The API key in full.
    key: String,
}

impl From<KeyRow> for KeyInfo {
    fn from(row: KeyRow) -> KeyInfo {
        let scopes = rbac::key_scopes(row.scopes.as_deref());
        let KeyRow { id, name, prefix, created_at, expires_at, last_used_at, revoked_at, .. } = row;
        KeyInfo { id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at }
    }
}

/// Lists the organization's API keys, newest first, including revoked ones.
#[utoipa::path(get, path = "/api-keys", tag = "api-keys", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
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

/// Creates an API key. The key is shown only in this response.
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

/// Revokes an API key.
///
/// The key stops working at once, and streams opened with it end within five seconds. Agents whose SIP passwords were created
/// with it must register again. A key with scopes that the caller lacks cannot be revoked.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "api-keys", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the key")),
    responses((status = 204)))]
pub(super) async fn key_revoke(State(state): State<AppState>, actor: Actor, id: PathId) -> Result<StatusCode, Problem> {
    actor.may(Action::ApiKeysWrite)?;
    let key = id.of("key")?;
    let none = || Problem::not_found("key");
    let row = state.store.api_key_show(actor.organization, key).await?.ok_or_else(none)?;
    if !actor.rights().cover(Rights::of_key_words(row.scopes.as_deref())) {
        return Err(Problem::forbidden("this key has scopes that you do not have"));
    }
    if !state.store.api_key_revoke(actor.organization, key, &actor.by).await? {
        return Err(none());
    }
    state.auth.credentials.forget();
    phones::end(&state.engine, state.phones.of_key(key)).await;
    Ok(StatusCode::NO_CONTENT)
}
