//! What is done with a call's audio: the six switches, as API, store and events show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// What is done with a call's audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfig {
    /// Recognise and translate both sides and show the text. Off: nothing is sent to any provider.
    pub live_translate: bool,
    /// Recognise without translating.
    pub transcribe: bool,
    /// Customer's language, BCP 47.
    #[schema(example = "en")]
    pub translate_from: String,
    /// Agent's language, BCP 47.
    #[schema(example = "es")]
    pub translate_to: String,
    /// Speak translations to the other side over the ducked original.
    pub voice_to_voice: bool,
    /// Record both sides, each on its own channel.
    pub record: bool,
}

impl Default for VoiceConfig {
    /// Everything off: nothing leaves the engine.
    fn default() -> Self {
        VoiceConfig {
            live_translate: false,
            transcribe: false,
            translate_from: "en".into(),
            translate_to: "es".into(),
            voice_to_voice: false,
            record: false,
        }
    }
}

/// Some of the switches; what is left out keeps its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfigPatch {
    /// Recognise and translate both sides and show the text.
    pub live_translate: Option<bool>,
    /// Recognise without translating.
    pub transcribe: Option<bool>,
    /// Customer's language, BCP 47.
    pub translate_from: Option<String>,
    /// Agent's language, BCP 47.
    pub translate_to: Option<String>,
    /// Speak translations to the other side over the ducked original.
    pub voice_to_voice: Option<bool>,
    /// Record both sides, each on its own channel.
    pub record: Option<bool>,
}

impl VoiceConfig {
    /// These settings with `patch` over them. `prefix` stands before field names in problems, such as `config.`.
    pub fn patched(mut self, patch: VoiceConfigPatch, prefix: &str) -> Result<VoiceConfig, Problem> {
        for (field, language) in [("translate_from", &patch.translate_from), ("translate_to", &patch.translate_to)] {
            if language.as_deref().is_some_and(|tag| !is_language_tag(tag)) {
                return Err(Problem::field(
                    format!("{prefix}{field}"),
                    "expected a BCP 47 language tag such as `en` or `es-419`",
                ));
            }
        }
        self.live_translate = patch.live_translate.unwrap_or(self.live_translate);
        self.transcribe = patch.transcribe.unwrap_or(self.transcribe);
        self.translate_from = patch.translate_from.unwrap_or(self.translate_from);
        self.translate_to = patch.translate_to.unwrap_or(self.translate_to);
        self.voice_to_voice = patch.voice_to_voice.unwrap_or(self.voice_to_voice);
        self.record = patch.record.unwrap_or(self.record);
        Ok(self)
    }
}

/// Longest language tag.
pub(crate) const LANGUAGE_MAX: usize = 35;
/// What [`is_language_tag`] takes, for the API's description.
pub(crate) const LANGUAGE_PATTERN: &str = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$";

/// The shape of a BCP 47 tag: a primary subtag of 2 or 3 letters, then subtags of 2 to 8 letters or digits.
pub(crate) fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    tag.len() <= LANGUAGE_MAX
        && (2..=3).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags.all(|subtag| (2..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_tags_are_checked_by_shape() {
        for good in ["en", "es-419", "zh-Hant-TW", "fil"] {
            assert!(is_language_tag(good), "{good}");
        }
        for bad in ["", "e", "english", "en_US", "en-", "-en", "en-a", "e1", "en; DROP"] {
            assert!(!is_language_tag(bad), "{bad}");
        }
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let patch = VoiceConfigPatch { record: Some(true), translate_to: Some("fr".into()), ..Default::default() };
        let config = VoiceConfig::default().patched(patch, "").unwrap();
        assert_eq!(config, VoiceConfig { record: true, translate_to: "fr".into(), ..VoiceConfig::default() });
    }
}
