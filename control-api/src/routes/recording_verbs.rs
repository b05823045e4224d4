//! Recordings of a running call: starting, pausing and stopping them; and the list of a call's recordings.
//!
//! ```text
//! request ─▶ actor, tenant's call ─▶ once (Idempotency-Key) ─▶ Command::CallVerb ─▶ audit ─▶ the recording's number
//! ```
//!
//! Invariant: the list contains only recordings that the actor may hear. Not here: the audio (`recordings`) and the list of the
//! recordings of all calls (`recording_list`).

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
use super::verbs::{running_call, verb};
use crate::auth::Actor;
use crate::auth::visibility::Seen;
use crate::engine::{self, LegId, Verb};
use crate::gate::idempotency::{Keyed, KeyedBare, Reply, once};
use crate::http::body::{CallPath, RecordingPath};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Deed, Gap, RecordedChannel, Recording};
use crate::tenant::capabilities::SwitchedOff;
use crate::tenant::rbac::Action;

/// Reference to a recording of a call.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct RecordingNumber {
    /// Number of the recording within its call, counted from 1.
    recording: u32,
}

/// Recording to start.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordRequest {
    /// Number of the only leg to record. By default all parties are recorded.
    leg: Option<u64>,
    /// Whether what each party hears is recorded too, on channels of its own, with what is whispered to it. By default as `record_heard`
    /// of the call says.
    heard: Option<bool>,
}

/// Starts a recording of a running call, in addition to recordings that are already running.
///
/// Each leg is recorded on a channel of its own. The progress is reported by `call.recording`.
#[utoipa::path(post, path = "/calls/{id}/recordings", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = RecordRequest,
    responses((status = 201, body = RecordingNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
pub(super) async fn recording_start(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<RecordRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (RecordRequest { leg, heard }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running_call(&inner, &by, id).await?;
        if !inner.store.capabilities_show(by.organization).await?.record {
            return Err(SwitchedOff("record").into());
        }
        let begun = verb(&inner, id, Verb::Record { leg: leg.map(LegId), heard }).await?;
        let engine::Reply::Recording(recording) = begun else { return Err(Problem::internal()) };
        let after = json!({"recording": recording, "leg": leg, "heard": heard});
        inner.audit(&by, Deed::new("call.record.start", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::CREATED, &RecordingNumber { recording })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Pauses a recording.
///
/// Until it is resumed, the recording contains silence, which is listed as a gap. Pausing a paused recording is not an error.
#[utoipa::path(post, path = "/calls/{id}/recordings/{number}/pause", tag = "calls",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("number" = u32, Path, description = "Number of the recording"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = RecordingNumber),
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

/// Resumes a paused recording.
#[utoipa::path(post, path = "/calls/{id}/recordings/{number}/resume", tag = "calls",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("number" = u32, Path, description = "Number of the recording"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = RecordingNumber),
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

/// Stops a recording.
///
/// The call continues. Starting again creates another recording.
#[utoipa::path(post, path = "/calls/{id}/recordings/{number}/stop", tag = "calls",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("number" = u32, Path, description = "Number of the recording"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = RecordingNumber),
              (status = 503, body = Problem)))]
pub(super) async fn recording_stop(
    State(state): State<AppState>,
    actor: Actor,
    path: RecordingPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    recording_verb(state, actor, path, keyed, "call.record.stop", |number| Verb::RecordStop { number }).await
}

/// Runs a verb that needs only the recording's number, and records `deed` in the audit log.
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
        running_call(&inner, &by, id).await?;
        verb(&inner, id, wanted).await?;
        let after = json!({"recording": recording});
        inner.audit(&by, Deed::new(deed, format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::OK, &RecordingNumber { recording })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// All recordings of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallRecordings {
    /// The recordings, in the order in which they began.
    recordings: Vec<CallRecording>,
}

/// Recording of a call, with all its files.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallRecording {
    /// Number of the recording within its call, counted from 1.
    #[schema(minimum = 1)]
    number: u32,
    /// Number of the only leg that is recorded, or null if all parties are.
    leg: Option<u64>,
    /// State: `started`, `paused`, `finished` or `interrupted`.
    state: String,
    /// Reason why the recording was interrupted.
    note: Option<String>,
    /// Length of the audio in milliseconds, including pauses.
    duration_ms: u64,
    /// Time of the first audio.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Time of the last audio. Set once the recording has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Pauses of the recording. The files contain silence for them.
    gaps: Vec<Gap>,
    /// Files of the recording that you may hear, in order.
    parts: Vec<CallRecordingPart>,
}

/// File of a recording.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallRecordingPart {
    /// Number of the file within the recording, counted from 1.
    #[schema(minimum = 1)]
    part: u32,
    /// State: `started`, `finished` or `interrupted`.
    state: String,
    /// Reason why the file was interrupted.
    note: Option<String>,
    /// Length of the audio in milliseconds.
    duration_ms: u64,
    /// Time of the first audio.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Time of the last audio. Set once the file has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// URL of the audio mixed to at most two channels, relative to this server.
    url: String,
    /// URL of the audio with one channel for each leg, relative to this server.
    original_url: String,
    /// Legs of the channels. Channels that are not listed are silent.
    channels: Vec<RecordedChannel>,
}

/// Lists a call's recordings with their channels, pauses and files.
///
/// Files that you may not hear are left out.
#[utoipa::path(get, path = "/calls/{id}/recordings", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 200, body = CallRecordings)))]
pub(super) async fn call_recordings(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<CallRecordings>, Problem> {
    call_of(&state, &actor, id).await?;
    let Some(sight) = Seen::recordings(&actor).sight(&state.store, actor.organization, id).await? else {
        return Err(Problem::forbidden("this requires the permission `recordings.read`"));
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

    /// Ends the last pause with the recording; a recording with an open pause is `paused`.
    fn close(&mut self) {
        match (self.ended_at, self.gaps.last_mut()) {
            (Some(ended_at), Some(gap)) => gap.until = gap.until.or(Some(ended_at)),
            (None, Some(Gap { until: None, .. })) => self.state = "paused".into(),
            _ => {}
        }
    }
}
