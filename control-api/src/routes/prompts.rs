//! What a running call is played, and what is collected from it: tones, spoken texts, digits.
//!
//! ```text
//! request ─▶ who, whose call ─▶ once (Idempotency-Key) ─▶ Command::CallVerb ─▶ audit ─▶ number of the play, of the collection
//! ```
//!
//! What becomes of it is told by the events `call.play` and `call.gathered`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::verbs::{running, verb};
use crate::auth::Actor;
use crate::body::CallPath;
use crate::engine::{self, GatherId, GatherRules, LegId, NewGather, PlayId, Sound, Verb};
use crate::idempotency::{Keyed, Reply, once};
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::Deed;
use crate::{sound, voice_config};

/// Seconds that a key is waited for.
pub(super) const WAIT_S: std::ops::RangeInclusive<u16> = 1..=300;

/// Tones that sound together.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tone {
    /// Frequencies, each 20 to 3400 Hz.
    #[schema(min_items = 1, max_items = 4, example = json!([440, 480]))]
    hz: Vec<u16>,
    /// How long they sound, in milliseconds.
    #[schema(minimum = 20, maximum = 10_000)]
    duration_ms: u32,
}

/// A text that is spoken.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Speech {
    /// The text.
    #[schema(example = "Please hold the line.")]
    text: String,
    /// Its language, BCP 47.
    #[schema(example = "en")]
    language: String,
}

/// Something to be heard: `media`, `tone` or `speak`, one of them.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prompt {
    /// Name of a sound of the organization's.
    media: Option<String>,
    /// Tones.
    tone: Option<Tone>,
    /// A text.
    speak: Option<Speech>,
}

/// Something to be heard in a call: `media`, `tone` or `speak`, one of them.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlayRequest {
    /// The leg that hears it; by default everybody in the conversation.
    leg: Option<u64>,
    /// Name of a sound of the organization's.
    #[schema(example = "Greeting")]
    media: Option<String>,
    /// Tones.
    tone: Option<Tone>,
    /// A text.
    speak: Option<Speech>,
}

/// What is to be cut short; without `play` and `gather`: everything in this call.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopRequest {
    /// Number of a play.
    play: Option<u64>,
    /// Number of a collection of digits.
    gather: Option<u64>,
}

/// Digits to be collected.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GatherRequest {
    /// The leg whose party presses them.
    leg: u64,
    /// Fewer are too few.
    #[serde(default)]
    #[schema(maximum = 64)]
    min: u8,
    /// As many are complete.
    #[schema(minimum = 1, maximum = 64)]
    max: u8,
    /// The key that completes them, and is none of them; `null`: every key is a digit.
    #[serde(default = "hash")]
    #[schema(default = "#", example = "#")]
    finish: Option<char>,
    /// How long the first key is waited for behind the prompt, in seconds.
    #[serde(default = "first_s")]
    #[schema(minimum = 1, maximum = 300, default = 5)]
    first_s: u16,
    /// How long each further key is waited for, in seconds.
    #[serde(default = "between_s")]
    #[schema(minimum = 1, maximum = 300, default = 3)]
    between_s: u16,
    /// Heard before.
    prompt: Option<Prompt>,
    /// A key ends the prompt, and counts; else keys do not count until the prompt is over.
    #[serde(default = "yes")]
    #[schema(default = true)]
    barge_in: bool,
}

fn hash() -> Option<char> {
    Some('#')
}

fn first_s() -> u16 {
    5
}

fn between_s() -> u16 {
    3
}

fn yes() -> bool {
    true
}

/// Something that is played.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct PlayNumber {
    /// Its number, as in `call.play`.
    play: u64,
}

/// A collection of digits under way.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct GatherNumber {
    /// Its number, as in `call.gathered`.
    gather: u64,
    /// Number of the prompt, as in `call.play`.
    play: Option<u64>,
}

/// What was cut short.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Stopped {
    /// Always true: what was named, or everything, ends.
    stopped: bool,
}

/// Lets a leg, or everybody in the conversation, hear a sound of the organization's, a tone or a spoken text over what else they hear.
#[utoipa::path(post, path = "/calls/{id}/play", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = PlayRequest,
    responses((status = 202, body = PlayNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn call_play(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<PlayRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (PlayRequest { leg, media, tone, speak }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        let sound = sound(&inner, &by, Prompt { media, tone, speak }).await?;
        let what = kind_of(&sound);
        let engine::Reply::Play(PlayId(play)) = verb(&inner, id, Verb::Play { leg: leg.map(LegId), sound }).await?
        else {
            return Err(Problem::internal());
        };
        let after = json!({"leg": leg, "play": play, "sound": what});
        inner.audit(&by, Deed::new("call.play", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::ACCEPTED, &PlayNumber { play })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Cuts short what is played into a call, and ends collections of digits.
#[utoipa::path(post, path = "/calls/{id}/stop", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = StopRequest,
    responses((status = 200, body = Stopped,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn call_stop(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<StopRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (StopRequest { play, gather }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        verb(&inner, id, Verb::Stop { play: play.map(PlayId), gather: gather.map(GatherId) }).await?;
        let after = json!({"play": play, "gather": gather});
        inner.audit(&by, Deed::new("call.stop", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::OK, &Stopped { stopped: true })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Collects digits that a leg's party presses, behind a prompt or at once.
///
/// They are heard as telephone-events (RFC 4733), as SIP INFO, and in the sound of a leg that knows no telephone-events. What was
/// collected is told by `call.gathered`.
#[utoipa::path(post, path = "/calls/{id}/gather", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = GatherRequest,
    responses((status = 202, body = GatherNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn call_gather(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<GatherRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (request, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        let GatherRequest { leg, min, max, finish, first_s, between_s, prompt, barge_in } = request;
        let prompt = match prompt {
            Some(prompt) => Some(sound(&inner, &by, prompt).await.map_err(within_prompt)?),
            None => None,
        };
        let rules = GatherRules {
            min,
            max,
            finish: finish.map(|key| key.to_ascii_uppercase()),
            first: wait("first_s", first_s)?,
            between: wait("between_s", between_s)?,
        };
        let new = NewGather { rules, prompts: prompt.into_iter().collect(), barge_in, secret: false };
        let begun = verb(&inner, id, Verb::Gather { leg: LegId(leg), gather: new }).await?;
        let engine::Reply::Gather(GatherId(gather), play) = begun else { return Err(Problem::internal()) };
        let after = json!({"leg": leg, "gather": gather});
        inner.audit(&by, Deed::new("call.gather", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::ACCEPTED, &GatherNumber { gather, play: play.map(|PlayId(play)| play) })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// What is to be heard.
async fn sound(state: &AppState, actor: &Actor, prompt: Prompt) -> Result<Sound, Problem> {
    match (prompt.media, prompt.tone, prompt.speak) {
        (Some(name), None, None) => media(state, actor, &name).await,
        (None, Some(Tone { hz, duration_ms }), None) => Ok(Sound::Tone { hz, duration_ms }),
        (None, None, Some(Speech { text, language })) => {
            if !voice_config::is_language_tag(&language) {
                return Err(Problem::field("speak.language", "expected a language such as en or es-MX"));
            }
            Ok(Sound::Speech { text, language })
        }
        (None, None, None) => Err(Problem::field("tone", "expected `media`, `tone` or `speak`")),
        _ => Err(Problem::field("speak", "expected one of `media`, `tone` and `speak`, not several")),
    }
}

/// A sound of the organization's, by its name.
async fn media(state: &AppState, actor: &Actor, name: &str) -> Result<Sound, Problem> {
    let wav = state.store.media_file_named(actor.organization, name).await?;
    let wav = wav.ok_or_else(|| Problem::field("media", "there is no sound of this name in your organization"))?;
    let heard = tokio::task::spawn_blocking(move || sound::read(&wav)).await.map_err(|_| Problem::internal())?;
    // It was read when it came.
    let sound::Heard { rate, samples, .. } = heard.map_err(|_| Problem::internal())?;
    Ok(Sound::Samples { rate, samples })
}

/// A problem with a field of the prompt.
fn within_prompt(problem: Problem) -> Problem {
    let field = problem.field.as_ref().map(|field| format!("prompt.{field}"));
    Problem { field, ..problem }
}

fn wait(field: &'static str, seconds: u16) -> Result<Duration, Problem> {
    match WAIT_S.contains(&seconds) {
        true => Ok(Duration::from_secs(seconds.into())),
        false => Err(Problem::field(field, format!("expected {} to {} seconds", WAIT_S.start(), WAIT_S.end()))),
    }
}

/// What the audit log tells of a sound: never the words.
fn kind_of(sound: &Sound) -> &'static str {
    match sound {
        Sound::Samples { .. } => "media",
        Sound::Tone { .. } => "tone",
        Sound::Speech { .. } => "speech",
    }
}
