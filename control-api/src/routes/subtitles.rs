//! Transcript or translation of a call as subtitles for its recording.
//!
//! ```text
//! transcript ─ in one language, or as spoken ─▶ cues, timed from the start of the recording ─▶ WebVTT or SRT
//! ```

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use jiff::Timestamp;

use super::calls::call_seen;
use crate::auth::Actor;
use crate::engine::translation::lexicon::primary;
use crate::http::body::{CallPath, QueryPairs};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::TranscriptSegment;
use crate::tenant::voice_config::is_language_tag;

/// Shortest time for which a line is shown, and the time for each character of a line whose end is not known.
const SHORTEST_MS: i64 = 1_000;
const CHARACTER_MS: i64 = 60;

/// Form of subtitles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Vtt,
    Srt,
}

/// Returns what was said in a call as subtitles (WebVTT or SRT) that fit its recording, or its beginning if it was not recorded.
///
/// A user who may see only their own calls gets the part that was said while they were in the call.
#[utoipa::path(get, path = "/calls/{id}/subtitles", tag = "translations", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("format" = Option<String>, Query, description = "`vtt` (the default) or `srt`"),
           ("language" = Option<String>, Query, description = "BCP 47 tag: every line in this language, as spoken or translated; lines \
                                                              that are not available in it are left out. By default, lines as spoken")),
    responses((status = 200, description = "The subtitles",
               content((String = "text/vtt"), (String = "application/x-subrip")))))]
pub(super) async fn subtitles_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    query: QueryPairs,
) -> Result<impl IntoResponse, Problem> {
    let [format, language] = query.take(["format", "language"])?;
    let format = match format.as_deref() {
        None | Some("vtt") => Format::Vtt,
        Some("srt") => Format::Srt,
        Some(_) => return Err(Problem::field("format", "expected `vtt` or `srt`")),
    };
    if language.as_deref().is_some_and(|tag| !is_language_tag(tag)) {
        return Err(Problem::field("language", "expected a BCP 47 language tag such as `en` or `es-419`"));
    }
    let (call, sight) = call_seen(&state, &actor, id).await?;
    let mut segments = state.store.transcript_list(actor.organization, id).await?;
    segments.retain(|segment| sight.reads(segment.started_at, segment.ended_at));
    let recording = state.store.recording_by_call(actor.organization, id).await?;
    let zero = recording.map_or(call.created_at, |recording| recording.started_at);
    let media_type = match format {
        Format::Vtt => "text/vtt; charset=utf-8",
        Format::Srt => "application/x-subrip; charset=utf-8",
    };
    Ok(([(CONTENT_TYPE, media_type)], subtitles(&segments, zero, language.as_deref(), format)))
}

/// Writes the segments as subtitles whose times count from `zero`.
fn subtitles(segments: &[TranscriptSegment], zero: Timestamp, language: Option<&str>, format: Format) -> String {
    let mut text = String::from(if format == Format::Vtt { "WEBVTT\n\n" } else { "" });
    let mut number = 0;
    for segment in segments {
        let Some(words) = in_language(segment, language).map(one_line).filter(|words| !words.is_empty()) else {
            continue;
        };
        number += 1;
        let ms = |at: Timestamp| at.duration_since(zero).as_millis().clamp(0, i64::MAX.into()) as i64;
        let from = ms(segment.started_at);
        let length = i64::try_from(words.chars().count()).unwrap_or(i64::MAX).saturating_mul(CHARACTER_MS);
        let until = segment.ended_at.map_or(from.saturating_add(length), ms).max(from.saturating_add(SHORTEST_MS));
        let speaker = if segment.leg == "agent" { "Agent" } else { "Customer" };
        // Writing to a string does not fail.
        let _ = match format {
            Format::Vtt => {
                let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                write!(text, "{} --> {}\n<v {speaker}>{words}\n\n", time(from, '.'), time(until, '.'))
            }
            Format::Srt => {
                let words = words.replace("-->", "→");
                write!(text, "{number}\n{} --> {}\n{speaker}: {words}\n\n", time(from, ','), time(until, ','))
            }
        };
    }
    text
}

/// Returns the words of a segment in a language, or as spoken.
fn in_language<'a>(segment: &'a TranscriptSegment, language: Option<&str>) -> Option<&'a str> {
    let is = |tag: &str| language.is_none_or(|wanted| primary(wanted).eq_ignore_ascii_case(primary(tag)));
    if is(&segment.language) {
        return Some(&segment.text);
    }
    segment.translation.as_deref().filter(|_| segment.translation_language.as_deref().is_some_and(is))
}

/// A blank line would end the cue.
fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn time(ms: i64, separator: char) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    format!("{:02}:{:02}:{:02}{separator}{ms:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + ms).expect("a time")
    }

    fn segment(leg: &str, text: &str, (from, until): (i64, Option<i64>)) -> TranscriptSegment {
        let (language, other) = if leg == "agent" { ("es", "en") } else { ("en-US", "es") };
        TranscriptSegment {
            segment: 1,
            leg: leg.into(),
            language: language.into(),
            text: text.into(),
            translation: Some(format!("({text})")),
            translation_language: Some(other.into()),
            version: 1,
            source: "live".into(),
            started_at: at(from),
            ended_at: until.map(at),
        }
    }

    #[test]
    fn lines_are_timed_from_the_start_and_name_their_speaker() {
        let said =
            [segment("customer", "Good\n\nmorning", (1_250, Some(3_000))), segment("agent", "hola", (3_725_000, None))];
        assert_eq!(
            subtitles(&said, at(0), None, Format::Srt),
            "1\n00:00:01,250 --> 00:00:03,000\nCustomer: Good morning\n\n\
             2\n01:02:05,000 --> 01:02:06,000\nAgent: hola\n\n"
        );
        assert_eq!(
            subtitles(&said[..1], at(0), None, Format::Vtt),
            "WEBVTT\n\n00:00:01.250 --> 00:00:03.000\n<v Customer>Good morning\n\n"
        );
    }

    #[test]
    fn a_language_takes_what_was_said_in_it_and_translations_into_it() {
        let mut said = [segment("customer", "yes", (0, None)), segment("agent", "no", (0, None))];
        let words = |said: &[TranscriptSegment], language| subtitles(said, at(0), Some(language), Format::Srt);
        assert!(words(&said, "es-MX").contains("Customer: (yes)\n") && words(&said, "es-MX").contains("Agent: no\n"));
        assert!(words(&said, "EN").contains("Customer: yes\n") && words(&said, "EN").contains("Agent: (no)\n"));
        assert_eq!(words(&said, "fr"), "");
        said[0].translation = None;
        assert!(
            words(&said, "es").starts_with("1\n") && !words(&said, "es").contains("Customer"),
            "numbers have no gaps"
        );
    }

    #[test]
    fn words_cannot_end_a_cue_or_open_a_tag() {
        let said = [segment("customer", "a --> <b> & c", (-500, None))];
        assert!(subtitles(&said, at(0), None, Format::Vtt).contains("<v Customer>a --&gt; &lt;b&gt; &amp; c\n"));
        let srt = subtitles(&said, at(0), None, Format::Srt);
        assert!(srt.contains("Customer: a → <b> & c\n") && srt.contains("00:00:00,000 -->"), "{srt}");
    }
}
