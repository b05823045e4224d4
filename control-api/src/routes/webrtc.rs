//! Short-lived SIP credentials for a browser telephone.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Actor, Secret};
use crate::body::QueryPairs;
use crate::client::Client;
use crate::engine::{Command, group};
use crate::phones;
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{Role, now};
use crate::turn::{self, TurnCredentials};

/// How long a password is good. The page asks again before that.
const VALID_FOR: Duration = Duration::from_secs(3600);

/// What a browser telephone needs to register.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct WebrtcToken {
    /// SIP and digest user name.
    username: String,
    /// Good until `expires_at`; others issued before stay good until theirs.
    password: String,
    /// When the password ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// SIP over WebSocket.
    #[schema(example = "wss://voice.example.com/sip")]
    ws_url: String,
    /// Address of record.
    #[schema(example = "sip:anna@voice.example.com")]
    sip_uri: String,
    /// For RTCPeerConnection. Empty: the server has reachable addresses of its own.
    ice_servers: Vec<IceServer>,
    /// The same for TURN servers alone, in the REST form; nothing when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<TurnCredentials>,
}

/// A STUN or TURN server.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct IceServer {
    urls: Vec<String>,
    username: String,
    credential: String,
}

/// Makes credentials for the logged-in user's browser telephone; with an API key, for the named agent's.
///
/// A key gets those of agents, and of members whose role may do nothing that the key may not.
#[utoipa::path(post, path = "/webrtc/token", tag = "webrtc", security(("key" = []), ("session" = [])),
    params(("agent" = Option<String>, Query, description = "With an API key: the agent's SIP user name")),
    responses((status = 200, body = WebrtcToken), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn token_create(
    State(state): State<AppState>,
    actor: Actor,
    client: Client,
    query: QueryPairs,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let [agent] = query.take(["agent"])?;
    let username = match (&actor.person, agent) {
        (Some(person), None) => person.sip_name.clone(),
        (Some(person), Some(agent)) if agent == person.sip_name => agent,
        (Some(_), Some(_)) => return Err(Problem::forbidden("credentials are for your own telephone only")),
        (None, None) => return Err(Problem::field("agent", "with an API key, name the agent's SIP user name")),
        (None, Some(agent)) => {
            let member = state.store.membership_by_sip_name(actor.organization, &agent).await?;
            // A telephone answers its member's calls: nobody gets that of somebody mightier.
            if let Some(member) = &member
                && member.role != Role::Agent
            {
                actor.covers_role(member.role)?;
            }
            if !member.is_some_and(|member| phones::may_call(member.role)) {
                return Err(Problem::field(
                    "agent",
                    "nobody of this SIP user name in your organization may make calls",
                ));
            }
            agent
        }
    };
    let password = Secret::random("");
    let command = Command::CredentialSet {
        user: username.clone(),
        password: password.reveal().to_owned(),
        valid_for: VALID_FOR,
        group: Some(group(actor.organization.0)),
    };
    state.engine.command(command).await?;
    if let Some(key) = &actor.key {
        state.phones.given(key.id, &username, Instant::now() + VALID_FOR);
    }
    // The right may have ended in the meantime: then what was just given ends too.
    if !actor.is_still_good(&state).await || !has_phone(&state, &actor, &username).await? {
        phones::end(&state.engine, vec![username]).await;
        return Err(Problem::unauthorized());
    }
    let base = client.base_url(&state.config);
    // http://x becomes ws://x, https://x becomes wss://x.
    let ws_url = format!("ws{}/sip", base.strip_prefix("http").unwrap_or_default());
    let turn = turn::credentials(&state.config.turn, &username, now());
    let ice_servers = turn.iter().map(|turn| IceServer {
        urls: turn.uris.clone(),
        username: turn.username.clone(),
        credential: turn.password.clone(),
    });
    let token = WebrtcToken {
        sip_uri: format!("sip:{username}@{}", state.config.sip_domain()),
        username,
        password: password.reveal().to_owned(),
        expires_at: now() + VALID_FOR,
        ws_url,
        ice_servers: ice_servers.collect(),
        turn,
    };
    let mut response = Json(token).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Whether the tenant has a member of this SIP name who may call.
async fn has_phone(state: &AppState, actor: &Actor, name: &str) -> Result<bool, Problem> {
    let member = state.store.membership_by_sip_name(actor.organization, name).await?;
    Ok(member.is_some_and(|member| phones::may_call(member.role)))
}
