//! SIP trace of a call.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::calls::call_seen;
use crate::auth::Actor;
use crate::calls::trace::Ladder;
use crate::engine::{Command, CommandError, Reply, call_id};
use crate::http::body::{CallPath, QueryPairs};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::tenant::rbac::Action;

/// Returns the SIP messages of a call as a ladder diagram.
///
/// The trace exists while the call is running and for some time afterwards.
///
/// With `messages=true` the full messages are included, without passwords and keys. Only owners and admins may request them,
/// because they can contain numbers of other parties.
#[utoipa::path(get, path = "/calls/{id}/trace", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("messages" = Option<bool>, Query, description = "`true` to include the text of each message")),
    responses((status = 200, body = Ladder), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn trace_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    query: QueryPairs,
) -> Result<Response, Problem> {
    let (_, sight) = call_seen(&state, &actor, id).await?;
    let [messages] = query.take(["messages"])?;
    let messages = match messages.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::field("messages", "expected true or false")),
    };
    if messages {
        actor.may(Action::CallsTrace)?;
    }
    let ladder = match state.engine.command(Command::Trace { call: call_id(id) }).await {
        Ok(Reply::Trace(trace)) => Ladder::new(*trace, messages).until(sight.left_at()),
        Ok(_) | Err(CommandError::NotFound) => return Err(Problem::not_found("trace")),
        Err(error) => return Err(error.into()),
    };
    let mut response = Json(ladder).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
