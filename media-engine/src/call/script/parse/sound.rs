//! Parsing of audible steps and prompts.

use super::ProgramError;
use super::value::Value;
use crate::call::script::limits::{TEXT_MAX, TONE_MS_MAX, TONES_MAX};
use crate::call::script::program::Prompt;

/// Maximum length of a media name, in characters.
const MEDIA_MAX: usize = 128;
/// Maximum length of a language tag, in characters.
const LANGUAGE_MAX: usize = 35;

/// Parses a prompt of a gather: an object with one field, `play` or `speak`.
pub(super) fn prompt(value: &Value) -> Result<Prompt, ProgramError> {
    let expected = "expected an object with one field, play or speak";
    match value.fields()?.only() {
        Ok(("play", value)) => play(&value),
        Ok(("speak", value)) => speak(&value),
        _ => Err(value.error(expected)),
    }
}

/// Parses `{"media": NAME}` or `{"tone": {…}}`.
pub(super) fn play(value: &Value) -> Result<Prompt, ProgramError> {
    let mut fields = value.fields()?;
    let prompt = match (fields.optional("media"), fields.optional("tone")) {
        (Some(media), None) => Prompt::Media(media_name(&media)?),
        (None, Some(tone)) => self::tone(&tone)?,
        (Some(_), Some(_)) => return Err(value.error("expected media or tone, not both")),
        (None, None) => {
            fields.end()?;
            return Err(value.error("expected media or tone"));
        }
    };
    fields.end()?;
    Ok(prompt)
}

/// Parses `{"text": TEXT, "language": TAG}`.
pub(super) fn speak(value: &Value) -> Result<Prompt, ProgramError> {
    let mut fields = value.fields()?;
    let text = fields.required("text")?;
    let prompt = Prompt::Speech { text: text.template(TEXT_MAX)?, language: language(&fields.required("language")?)? };
    if text.text(TEXT_MAX)?.trim().is_empty() {
        return Err(text.error("expected words"));
    }
    fields.end()?;
    Ok(prompt)
}

fn media_name(value: &Value) -> Result<String, ProgramError> {
    let name = value.line(MEDIA_MAX)?;
    if name.starts_with('.') || name.contains(['/', '\\']) {
        return Err(value.error("expected the name of a file in the media store, without a path"));
    }
    Ok(name.to_owned())
}

fn tone(value: &Value) -> Result<Prompt, ProgramError> {
    let mut fields = value.fields()?;
    let hz = fields.required("hz")?.items(1..=TONES_MAX, "frequencies")?;
    let hz = hz.into_iter().map(|hz| hz.number(20..=3_400).map(|hz| hz as u16)).collect::<Result<_, _>>()?;
    let duration_ms = fields.required("duration_ms")?.number(20..=TONE_MS_MAX)?;
    fields.end()?;
    Ok(Prompt::Tone { hz, duration_ms })
}

/// Parses a BCP 47 tag by its form: a primary subtag of 2 or 3 letters, then subtags of 2 to 8 letters or digits.
pub(super) fn language(value: &Value) -> Result<String, ProgramError> {
    let tag = value.line(LANGUAGE_MAX)?;
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    let is_tag = (2..=3).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags
            .all(|subtag| (2..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !is_tag {
        return Err(value.error("expected a language tag such as en or pt-BR"));
    }
    Ok(tag.to_owned())
}
