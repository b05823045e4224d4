//! Playing into a running call, and collecting digits from it.
//!
//! A prompt is a sound of the organization, a tone or a spoken text.
//!
//! ```text
//! request ─▶ actor, tenant's call ─▶ once (Idempotency-Key) ─▶ Command::CallVerb ─▶ audit ─▶ number of the play, of the collection
//! ```
//!
//! The results are reported by the events `call.play` and `call.gathered`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::verbs::{running_call, verb};
use crate::auth::Actor;
use crate::engine::{self, GatherId, GatherRules, LegId, NewGather, PlayId, Sound, Verb};
use crate::gate::idempotency::{Keyed, Reply, once};
use crate::http::body::CallPath;
use crate::http::problem::Problem;
use crate::media::sound;
use crate::state::AppState;
use crate::store::Deed;
use crate::tenant::rbac::Action;
use crate::tenant::voice_config;

/// Allowed waiting times for a key, in seconds.
pub(super) const WAIT_S: std::ops::RangeInclusive<u16> = 1..=300;

/// Tones that are played together.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tone {
    /// Frequencies in Hz, one to four, each 20 to 3400.
    #[schema(min_items = 1, max_items = 4, example = json!([440, 480]))]
    hz: Vec<u16>,
    /// Duration in milliseconds, 20 to 10,000.
    #[schema(minimum = 20, maximum = 10_000)]
    duration_ms: u32,
}

/// Text to speak.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Speech {
    /// Text to speak, in `language`.
    #[schema(example = "Please hold the line.")]
    text: String,
    /// Language of the text as a BCP 47 tag.
    #[schema(example = "en")]
    language: String,
}

/// Prompt to play. Exactly one of `media`, `tone` and `speak` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prompt {
    /// Name of one of the organization's sounds.
    media: Option<String>,
    /// Tones to play.
    tone: Option<Tone>,
    /// Text to speak.
    speak: Option<Speech>,
}

/// Sound to play. Exactly one of `media`, `tone` and `speak` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlayRequest {
    /// Number of the leg that hears the sound. By default all parties of the conversation hear it.
    leg: Option<u64>,
    /// Name of one of the organization's sounds.
    #[schema(example = "Greeting")]
    media: Option<String>,
    /// Tones to play.
    tone: Option<Tone>,
    /// Text to speak.
    speak: Option<Speech>,
}

/// PlayLog and collections to stop. Without `play` and `gather`, everything in this call is stopped.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopRequest {
    /// Number of the play to stop.
    play: Option<u64>,
    /// Number of the collection of digits to stop.
    gather: Option<u64>,
}

/// Collection of digits.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GatherRequest {
    /// Number of the leg that enters the digits.
    leg: u64,
    /// Fewest digits. With fewer, the collection fails.
    #[serde(default)]
    #[schema(maximum = 64)]
    min: u8,
    /// Most digits. The collection is complete when they are entered.
    #[schema(minimum = 1, maximum = 64)]
    max: u8,
    /// Key that ends the collection and is not part of the digits. With `null`, every key is a digit.
    #[serde(default = "hash")]
    #[schema(default = "#", example = "#")]
    finish: Option<char>,
    /// Seconds to wait for the first key after the prompt.
    #[serde(default = "first_s")]
    #[schema(minimum = 1, maximum = 300, default = 5)]
    first_s: u16,
    /// Seconds to wait for each further key.
    #[serde(default = "between_s")]
    #[schema(minimum = 1, maximum = 300, default = 3)]
    between_s: u16,
    /// Prompt to play first.
    prompt: Option<Prompt>,
    /// Whether a key ends the prompt and counts as a digit. Otherwise keys are ignored until the prompt has ended.
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

/// Play that has been started.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct PlayNumber {
    /// Number of the play, as in `call.play`.
    play: u64,
}

/// Collection of digits that has been started.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct GatherNumber {
    /// Number of the collection, as in `call.gathered`.
    gather: u64,
    /// Number of the play of the prompt, as in `call.play`.
    play: Option<u64>,
}

/// Result of a stop.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Stopped {
    /// Always `true`: the named plays and collections end.
    stopped: bool,
}

/// PlayLog a sound, a tone or a spoken text into a call, mixed with the conversation.
#[utoipa::path(post, path = "/calls/{id}/play", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = PlayRequest,
    responses((status = 202, body = PlayNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
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
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Stops plays and collections of digits in a call.
#[utoipa::path(post, path = "/calls/{id}/stop", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = StopRequest,
    responses((status = 200, body = Stopped,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
        verb(&inner, id, Verb::Stop { play: play.map(PlayId), gather: gather.map(GatherId) }).await?;
        let after = json!({"play": play, "gather": gather});
        inner.audit(&by, Deed::new("call.stop", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::OK, &Stopped { stopped: true })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Collects digits that a party enters, after a prompt or at once.
///
/// Keys are detected as telephone-events (RFC 4733), as SIP INFO, and in the audio of a leg without telephone-events. The result
/// is reported by `call.gathered`.
#[utoipa::path(post, path = "/calls/{id}/gather", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = GatherRequest,
    responses((status = 202, body = GatherNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
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
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Reads the sound of a prompt and checks its fields.
async fn sound(state: &AppState, actor: &Actor, prompt: Prompt) -> Result<Sound, Problem> {
    match (prompt.media, prompt.tone, prompt.speak) {
        (Some(name), None, None) => media(state, actor, &name).await,
        (None, Some(Tone { hz, duration_ms }), None) => Ok(Sound::Tone { hz, duration_ms }),
        (None, None, Some(Speech { text, language })) => {
            if !voice_config::is_language_tag(&language) {
                return Err(Problem::field("speak.language", "expected a language tag such as en or es-MX"));
            }
            Ok(Sound::Speech { text, language })
        }
        (None, None, None) => Err(Problem::field("tone", "expected `media`, `tone` or `speak`")),
        _ => Err(Problem::field("speak", "expected only one of `media`, `tone` and `speak`")),
    }
}

/// Returns a sound of the organization by its name.
async fn media(state: &AppState, actor: &Actor, name: &str) -> Result<Sound, Problem> {
    let wav = state.store.media_file_named(actor.organization, name).await?;
    let wav = wav.ok_or_else(|| Problem::field("media", "your organization has no sound with this name"))?;
    let heard = tokio::task::spawn_blocking(move || sound::read(&wav)).await.map_err(|_| Problem::internal())?;
    // The file was read successfully when it was added.
    let sound::Heard { rate, samples, .. } = heard.map_err(|_| Problem::internal())?;
    Ok(Sound::Samples { rate, samples })
}

/// Adds `prompt.` to the field of a problem.
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

/// Returns the kind of a sound for the audit log, which never contains texts.
fn kind_of(sound: &Sound) -> &'static str {
    match sound {
        Sound::Samples { .. } => "media",
        Sound::Tone { .. } => "tone",
        Sound::Speech { .. } => "speech",
    }
}
