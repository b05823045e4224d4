//! Recordings of a running call, started, paused and ended; and all that a call has.
//!
//! ```text
//! request ─▶ who, whose call ─▶ once (Idempotency-Key) ─▶ Command::CallVerb ─▶ audit ─▶ the recording's number
//! ```
//!
//! Invariant: whoever may not hear what was said while they were away is not told of the files either. Not here: audio
//! (`recordings`), the list of all calls' recordings (`recording_list`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::{call_of, recording_url};
use super::verbs::{running, verb};
use crate::auth::Actor;
use crate::body::{CallPath, RecordingPath};
use crate::capabilities::switched_off;
use crate::engine::{self, LegId, Verb};
use crate::idempotency::{Keyed, KeyedBare, Reply, once};
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{Deed, Gap, RecordedChannel, Recording};
use crate::who::Seen;

/// A recording of a call.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct RecordingNumber {
    /// Its number in its call, 1 for the first.
    recording: u32,
}

/// What is to be recorded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordRequest {
    /// The number of the leg that is recorded alone; everybody by default.
    leg: Option<u64>,
}

/// Starts a recording of a running call, beside those that run already.
///
/// Each leg that takes part has a channel of its own. How it goes is told by `call.recording`.
#[utoipa::path(post, path = "/calls/{id}/recordings", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = RecordRequest,
    responses((status = 201, body = RecordingNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn recording_start(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<RecordRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (RecordRequest { leg }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        if !inner.store.capabilities_show(by.organization).await?.record {
            return Err(switched_off("record"));
        }
        let begun = verb(&inner, id, Verb::Record { leg: leg.map(LegId) }).await?;
        let engine::Reply::Recording(recording) = begun else { return Err(Problem::internal()) };
        let after = json!({"recording": recording, "leg": leg});
        inner.audit(&by, Deed::new("call.record.start", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::CREATED, &RecordingNumber { recording })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Pauses a recording: until it is resumed there is silence in it, which is listed as a gap. Pausing it twice is no error.
#[utoipa::path(post, path = "/calls/{id}/recordings/{number}/pause", tag = "calls",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("number" = u32, Path, description = "Number of the recording"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = RecordingNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn recording_pause(
    State(state): State<AppState>,
    actor: Actor,
    path: RecordingPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    let make = |number| Verb::RecordPause { number, on: true };
    recording_verb(state, actor, path, keyed, "call.record.pause", make).await
}

/// Lets a paused recording go on.
#[utoipa::path(post, path = "/calls/{id}/recordings/{number}/resume", tag = "calls",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("number" = u32, Path, description = "Number of the recording"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = RecordingNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn recording_resume(
    State(state): State<AppState>,
    actor: Actor,
    path: RecordingPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    let make = |number| Verb::RecordPause { number, on: false };
    recording_verb(state, actor, path, keyed, "call.record.resume", make).await
}

/// Ends a recording; the call goes on. Another start is another recording.
#[utoipa::path(post, path = "/calls/{id}/recordings/{number}/stop", tag = "calls",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("number" = u32, Path, description = "Number of the recording"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = RecordingNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn recording_stop(
    State(state): State<AppState>,
    actor: Actor,
    path: RecordingPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    recording_verb(state, actor, path, keyed, "call.record.stop", |number| Verb::RecordStop { number }).await
}

/// A verb on one recording that needs nothing but its number.
async fn recording_verb(
    state: AppState,
    actor: Actor,
    RecordingPath(id, recording): RecordingPath,
    KeyedBare { key, hash }: KeyedBare,
    deed: &'static str,
    make: impl FnOnce(u32) -> Verb,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (inner, by, wanted) = (state.clone(), actor.clone(), make(recording));
    let work = async move {
        running(&inner, &by, id).await?;
        verb(&inner, id, wanted).await?;
        let after = json!({"recording": recording});
        inner.audit(&by, Deed::new(deed, format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::OK, &RecordingNumber { recording })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// A call's recordings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallRecordings {
    /// In the order in which they began.
    recordings: Vec<CallRecording>,
}

/// One recording of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallRecording {
    /// Its number in its call, 1 for the first.
    #[schema(minimum = 1)]
    number: u32,
    /// The number of the leg that is recorded alone; null: everybody.
    leg: Option<u64>,
    /// `started`, `paused`, `finished` or `interrupted`.
    state: String,
    /// Why it was interrupted.
    note: Option<String>,
    /// Audio in it, in milliseconds, pauses included.
    duration_ms: u64,
    /// First audio.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Last audio, once it is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// When it was paused: there is silence in the files meanwhile.
    gaps: Vec<Gap>,
    /// Its files that you may hear, in order.
    parts: Vec<CallRecordingPart>,
}

/// A file of a recording.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallRecordingPart {
    /// Number of the file, 1 for the first.
    #[schema(minimum = 1)]
    part: u32,
    /// `started`, `finished` or `interrupted`.
    state: String,
    /// Why it was interrupted.
    note: Option<String>,
    /// Audio in it, in milliseconds.
    duration_ms: u64,
    /// First audio.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Last audio, once it is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Where it is heard in at most two channels, relative to this server.
    url: String,
    /// Where it is had with a channel for each leg.
    original_url: String,
    /// Whose its channels are. Those that are not named are silent.
    channels: Vec<RecordedChannel>,
}

/// A call's recordings, with who is in which channel, and when they were paused: what you may hear of them.
#[utoipa::path(get, path = "/calls/{id}/recordings", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")),
    responses((status = 200, body = CallRecordings), (status = 404, body = Problem)))]
pub(super) async fn call_recordings(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<CallRecordings>, Problem> {
    call_of(&state, &actor, id).await?;
    let Some(sight) = Seen::recordings(&actor).sight(&state.store, actor.organization, id).await? else {
        return Err(Problem::forbidden("this takes the permission `recordings.read`"));
    };
    let gaps = state.store.recording_gaps(actor.organization, id).await?;
    let parts = state.store.recording_parts(actor.organization, id).await?;
    let mut recordings: Vec<CallRecording> = Vec::new();
    for part in parts.into_iter().filter(|part| part.is_heard_by(&sight)) {
        match recordings.last_mut().filter(|last| last.number == part.file.number) {
            Some(recording) => recording.add(id, part),
            None => {
                let of_it = gaps.iter().filter(|(number, _)| *number == part.file.number);
                let gaps = of_it.map(|(_, gap)| *gap).collect();
                recordings.push(CallRecording::begin(id, part, gaps));
            }
        }
    }
    recordings.iter_mut().for_each(CallRecording::close);
    Ok(Json(CallRecordings { recordings }))
}

impl CallRecording {
    fn begin(call: Uuid, first: Recording, gaps: Vec<Gap>) -> CallRecording {
        let mut recording = CallRecording {
            number: first.file.number,
            leg: first.of_leg,
            state: String::new(),
            note: None,
            duration_ms: 0,
            started_at: first.started_at,
            ended_at: None,
            gaps,
            parts: Vec::new(),
        };
        recording.add(call, first);
        recording
    }

    fn add(&mut self, call: Uuid, part: Recording) {
        let url = recording_url(call, part.file);
        let original_url =
            format!("/api/calls/{call}/recording?number={}&part={}&channels=all", part.file.number, part.file.part);
        let Recording { file, channels, state, note, duration_ms, started_at, ended_at, .. } = part;
        (self.state, self.note, self.ended_at) = (state.clone(), note.clone(), ended_at);
        self.duration_ms += duration_ms;
        self.parts.push(CallRecordingPart {
            part: file.part,
            state,
            note,
            duration_ms,
            started_at,
            ended_at,
            url,
            original_url,
            channels,
        });
    }

    /// A pause lasts at most as long as its recording.
    fn close(&mut self) {
        match (self.ended_at, self.gaps.last_mut()) {
            (Some(ended_at), Some(gap)) => gap.until = gap.until.or(Some(ended_at)),
            (None, Some(Gap { until: None, .. })) => self.state = "paused".into(),
            _ => {}
        }
    }
}
