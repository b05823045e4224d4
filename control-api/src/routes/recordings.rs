//! Audio of a call's recordings, with range requests, also while they are being written.
//!
//! A file with more than two channels is mixed to two (`mixdown`), unless `channels=all` is requested.

use std::io::SeekFrom;
use std::ops::RangeInclusive;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::calls::call_of;
use crate::auth::Actor;
use crate::auth::visibility::{Seen, identity};
use crate::http::body::{CallPath, QueryPairs};
use crate::http::problem::Problem;
use crate::media::mixdown::Mixdown;
use crate::media::wav;
use crate::state::AppState;
use crate::store::{PartId, Recording};

/// Returns the audio of a call's recording.
///
/// While the call is running, the audio recorded so far is returned.
///
/// Customers are on the left channel and all other parties on the right; a recording of one leg has one channel. With
/// `channels=all` there is one channel for each leg, as listed by `GET /calls/{id}/recordings`.
#[utoipa::path(get, path = "/calls/{id}/recording", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("number" = Option<u32>, Query, minimum = 1, description = "Number of the recording; 1 by default"),
           ("part" = Option<u32>, Query, minimum = 1, description = "Number of the file; 1 by default"),
           ("channels" = Option<String>, Query, description = "`all` for one channel per leg"),
           ("Range" = Option<String>, Header, description = "A single byte range")),
    responses((status = 200, content_type = "audio/wav", body = Vec<u8>),
              (status = 206, content_type = "audio/wav", body = Vec<u8>), (status = 416, body = Problem)))]
pub(super) async fn recording_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    query: QueryPairs,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    call_of(&state, &actor, id).await?;
    let Some(sight) = Seen::recordings(&actor).sight(&state.store, actor.organization, id).await? else {
        return Err(Problem::forbidden("this requires the permission `recordings.read`"));
    };
    let none = || Problem::not_found("recording");
    let [number, part, channels] = query.take(["number", "part", "channels"])?;
    let file = file_of(number.as_deref(), part.as_deref())?;
    let form = match channels.as_deref() {
        None => Form::Playable,
        Some("all") => Form::Original,
        Some(_) => return Err(Problem::field("channels", "expected `all` or no value")),
    };
    let recording = state.store.recording_part(actor.organization, id, file).await?.ok_or_else(none)?;
    if !recording.is_heard_by(&sight) {
        return Err(Problem::forbidden(
            "the recording contains audio from before or after your part in the call; this requires the permission `recordings.read`",
        ));
    }
    let response = file_response(id, &recording, form, &headers).await?;
    if response.status().is_success() {
        let listener = (actor.organization, actor.by.clone(), identity(&actor));
        state.plays.record_play(&state.audit_log, listener, id, |deed| deed).await?;
    }
    Ok(response)
}

/// Reads the number of the recording and of the file. Both default to 1.
pub(super) fn file_of(number: Option<&str>, part: Option<&str>) -> Result<PartId, Problem> {
    let read = |field, text: Option<&str>, of: &str| {
        let Some(text) = text else { return Ok(1) };
        let number = text.parse().ok().filter(|part| *part >= 1 && text.bytes().all(|byte| byte.is_ascii_digit()));
        number.ok_or_else(|| Problem::field(field, format!("expected the number of a {of}, 1 for the first")))
    };
    Ok(PartId { number: read("number", number, "recording")?, part: read("part", part, "file")? })
}

/// Form in which a recording is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Mixed to at most two channels.
    Playable,
    /// Unchanged, with all channels.
    Original,
}

/// Returns the audio of a recording, or the requested range of it.
pub(super) async fn file_response(
    id: Uuid,
    recording: &Recording,
    form: Form,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let mut file = match tokio::fs::File::open(&recording.path).await {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(call = %id, %error, "cannot open the file of a recording");
            return Err(Problem::not_found("recording"));
        }
    };
    let unreadable = |error: std::io::Error| {
        tracing::error!(call = %id, %error, "cannot read the file of a recording");
        Problem::internal()
    };
    let length = file.metadata().await.map_err(unreadable)?.len();
    let mut head = Vec::new();
    (&mut file).take(wav::HEAD_MAX.min(length)).read_to_end(&mut head).await.map_err(unreadable)?;
    if recording.state != "finished" {
        wav::complete(&mut head, length);
    }
    let mixdown = match form {
        Form::Playable => Mixdown::of(&head, length, &recording.channels),
        Form::Original => None,
    };
    let length = mixdown.as_ref().map_or(length, Mixdown::length);
    let range = requested_range(headers.get(header::RANGE), length);
    let (status, range) = match range {
        Ok(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Ok(None) if length == 0 => return Ok(audio(StatusCode::OK, 0, Body::empty())),
        Ok(None) => (StatusCode::OK, 0..=length - 1),
        Err(()) => return Ok(unsatisfiable(length)),
    };
    let content_range = format!("bytes {}-{}/{length}", range.start(), range.end());
    let size = range.end() - range.start() + 1;
    let body = match mixdown {
        Some(mixdown) => mixdown.body(file, range).await,
        None => body(file, head, range).await,
    };
    let body = body.map_err(unreadable)?;
    let mut response = audio(status, size, body);
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::from_str(&content_range)
    {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

fn audio(status: StatusCode, size: u64, body: Body) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unsatisfiable(length: u64) -> Response {
    let problem = Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range",
        "Range not satisfiable",
        format!("the recording has {length} bytes"),
    );
    let mut response = problem.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Returns the bytes of `range`: first from the head in memory, then from the file.
async fn body(mut file: tokio::fs::File, head: Vec<u8>, range: RangeInclusive<u64>) -> std::io::Result<Body> {
    let head_length = head.len() as u64;
    let size = range.end() - range.start() + 1;
    let from_head = if *range.start() < head_length {
        let end = (range.end() + 1).min(head_length);
        Bytes::from(head).slice(*range.start() as usize..end as usize)
    } else {
        Bytes::new()
    };
    file.seek(SeekFrom::Start(range.start() + from_head.len() as u64)).await?;
    let rest = ReaderStream::with_capacity(file.take(size - from_head.len() as u64), 64 * 1024);
    let first = futures_util::stream::iter((!from_head.is_empty()).then_some(Ok(from_head)));
    Ok(Body::from_stream(first.chain(rest)))
}

/// Reads the requested range. `None` means that the whole file is sent: no range, several ranges, or another unit (RFC 9110
/// section 14.2). `Err` means that the range is not satisfiable.
fn requested_range(value: Option<&HeaderValue>, length: u64) -> Result<Option<RangeInclusive<u64>>, ()> {
    let Some(text) = value.and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text if text.bytes().all(|b| b.is_ascii_digit()) => Some(Some(text.parse::<u64>().unwrap_or(u64::MAX))),
        _ => None,
    };
    let (Some(first), Some(last)) = (number(first), number(last)) else { return Ok(None) };
    match (first, last) {
        (None, None) => Ok(None),
        (Some(first), Some(last)) if last < first => Ok(None),
        (None, Some(0)) => Err(()),
        (Some(first), _) if first >= length => Err(()),
        (None, Some(_)) if length == 0 => Err(()),
        (None, Some(last)) => Ok(Some(length.saturating_sub(last)..=length - 1)),
        (Some(first), last) => Ok(Some(first..=last.unwrap_or(u64::MAX).min(length - 1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str, length: u64) -> Result<Option<RangeInclusive<u64>>, ()> {
        requested_range(Some(&HeaderValue::from_str(text).unwrap()), length)
    }

    #[test]
    fn ranges_follow_rfc_9110() {
        assert_eq!(range("bytes=0-0", 10), Ok(Some(0..=0)));
        assert_eq!(range("bytes=2-5", 10), Ok(Some(2..=5)));
        assert_eq!(range("bytes=5-", 10), Ok(Some(5..=9)));
        assert_eq!(range("bytes=-3", 10), Ok(Some(7..=9)));
        assert_eq!(range("bytes=-30", 10), Ok(Some(0..=9)));
        assert_eq!(range("bytes=5-500", 10), Ok(Some(5..=9)));
        for whole in ["bytes=5-2", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2", "bytes=-", "", "bytes=--1"] {
            assert_eq!(range(whole, 10), Ok(None), "{whole}");
        }
        for outside in ["bytes=10-", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(range(outside, 10), Err(()), "{outside}");
        }
        assert_eq!(range("bytes=-5", 0), Err(()));
    }
}
