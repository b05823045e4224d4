//! Short-lived SIP credentials for browser phones.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Actor, Secret};
use crate::calls::phones;
use crate::calls::turn::{self, TurnCredentials};
use crate::engine::{Command, group};
use crate::http::body::QueryPairs;
use crate::http::client::Client;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Role, now};
use crate::tenant::rbac::Action;

/// Validity of a password. The page requests a new one before it expires.
const VALID_FOR: Duration = Duration::from_secs(3600);

/// Credentials and addresses for a browser phone.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct WebrtcToken {
    /// User name for SIP and for digest authentication.
    username: String,
    /// Password, valid until `expires_at`. Passwords issued earlier stay valid until they expire.
    password: String,
    /// Expiry of the password.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// URL of SIP over WebSocket.
    #[schema(example = "wss://voice.example.com/sip")]
    ws_url: String,
    /// SIP address of record.
    #[schema(example = "sip:anna@voice.example.com")]
    sip_uri: String,
    /// ICE servers for RTCPeerConnection. Empty if the server itself has reachable addresses.
    ice_servers: Vec<IceServer>,
    /// The TURN servers among them, in the form of the TURN REST API. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<TurnCredentials>,
}

/// STUN or TURN server with its credentials.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct IceServer {
    /// URLs of the server.
    urls: Vec<String>,
    /// User name for the server.
    username: String,
    /// Password for the server.
    credential: String,
}

/// Creates credentials for a browser phone.
///
/// A logged-in user gets credentials for their own phone, an API key for the phone of the agent that `agent` names.
///
/// A key gets credentials only for agents, and for members whose role has no permissions that the key lacks.
#[utoipa::path(post, path = "/webrtc/token", tag = "webrtc", security(("key" = []), ("session" = [])),
    params(("agent" = Option<String>, Query, description = "SIP user name of the agent; required with an API key")),
    responses((status = 200, body = WebrtcToken), (status = 503, body = Problem)))]
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
        (Some(_), Some(_)) => return Err(Problem::forbidden("you can create credentials only for your own phone")),
        (None, None) => {
            return Err(Problem::field("agent", "expected the SIP user name of the agent, which an API key must name"));
        }
        (None, Some(agent)) => {
            let member = state.store.membership_by_sip_name(actor.organization, &agent).await?;
            // A phone answers its member's calls, so a key must not get the phone of a member with more rights.
            if let Some(member) = &member
                && member.role != Role::Agent
            {
                actor.covers_role(member.role)?;
            }
            if !member.is_some_and(|member| phones::may_call(member.role)) {
                return Err(Problem::field(
                    "agent",
                    "no member of your organization with this SIP user name may make calls",
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
        state.phones.record_given(key.id, &username, Instant::now() + VALID_FOR);
    }
    // The right may have ended in the meantime. The new credentials are then revoked.
    if !actor.is_still_good(&state.auth).await || !has_phone(&state, &actor, &username).await? {
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

/// Returns whether the organization has a member with this SIP user name who may make calls.
async fn has_phone(state: &AppState, actor: &Actor, name: &str) -> Result<bool, Problem> {
    let member = state.store.membership_by_sip_name(actor.organization, name).await?;
    Ok(member.is_some_and(|member| phones::may_call(member.role)))
}
