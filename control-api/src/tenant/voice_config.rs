//! Voice configuration: processing of a call's audio, in the form used by API, store and events.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::amd::{AmdConfig, AmdPatch};
use super::invalid::Invalid;
use crate::engine::translation;

/// What a side of a translated call hears of the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hears {
    /// The original; translations are shown as text.
    Original,
    /// Translations over the lowered original.
    #[default]
    Ducked,
    /// Translations without the original.
    Translation,
}

impl From<Hears> for translation::Hears {
    fn from(hears: Hears) -> translation::Hears {
        match hears {
            Hears::Original => translation::Hears::Original,
            Hears::Ducked => translation::Hears::Ducked,
            Hears::Translation => translation::Hears::Translation,
        }
    }
}

/// Allowed budgets of lateness, in milliseconds.
pub(crate) const BUDGET_MS: std::ops::RangeInclusive<u32> = 1_000..=10_000;

fn budget_ms() -> u32 {
    3_000
}

/// Voice configuration: processing of a call's audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfig {
    /// Whether both sides are recognised and translated and the text is shown. If off, no audio is sent to a provider for this.
    pub live_translate: bool,
    /// Whether both sides are recognised without translation.
    pub transcribe: bool,
    /// Language of the customer as a BCP 47 tag.
    #[schema(example = "en")]
    pub translate_from: String,
    /// Language of the agent as a BCP 47 tag.
    #[schema(example = "es")]
    pub translate_to: String,
    /// Whether translations are spoken to the other side.
    pub voice_to_voice: bool,
    /// What the customer hears of the agent when translations are spoken.
    #[serde(default)]
    pub customer_hears: Hears,
    /// What the agent hears of the customer when translations are spoken.
    #[serde(default)]
    pub agent_hears: Hears,
    /// Highest lateness of a clause that is spoken, in milliseconds. A later one is shown as text.
    #[serde(default = "budget_ms")]
    #[schema(minimum = 1000, maximum = 10000, default = 3000)]
    pub budget_ms: u32,
    /// Whether both sides are recorded, each on its own channel.
    pub record: bool,
    /// Whether recordings also hold what each side hears, on channels of its own.
    #[serde(default)]
    pub record_heard: bool,
    /// Detection of what answers the customers that a call dials.
    #[serde(default)]
    pub amd: AmdConfig,
}

impl Default for VoiceConfig {
    /// Everything is off, so no audio leaves the engine.
    fn default() -> Self {
        VoiceConfig {
            live_translate: false,
            transcribe: false,
            translate_from: "en".into(),
            translate_to: "es".into(),
            voice_to_voice: false,
            customer_hears: Hears::default(),
            agent_hears: Hears::default(),
            budget_ms: budget_ms(),
            record: false,
            record_heard: false,
            amd: AmdConfig::default(),
        }
    }
}

/// Settings to change. Fields that are left out keep their value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfigPatch {
    /// Whether both sides are recognised and translated and the text is shown.
    pub live_translate: Option<bool>,
    /// Whether both sides are recognised without translation.
    pub transcribe: Option<bool>,
    /// Language of the customer as a BCP 47 tag.
    pub translate_from: Option<String>,
    /// Language of the agent as a BCP 47 tag.
    pub translate_to: Option<String>,
    /// Whether translations are spoken to the other side.
    pub voice_to_voice: Option<bool>,
    /// What the customer hears of the agent when translations are spoken.
    pub customer_hears: Option<Hears>,
    /// What the agent hears of the customer when translations are spoken.
    pub agent_hears: Option<Hears>,
    /// Highest lateness of a clause that is spoken, in milliseconds, 1,000 to 10,000.
    #[schema(minimum = 1000, maximum = 10000)]
    pub budget_ms: Option<u32>,
    /// Whether both sides are recorded, each on its own channel.
    pub record: Option<bool>,
    /// Whether recordings also hold what each side hears, on channels of its own.
    pub record_heard: Option<bool>,
    /// Detection of what answers the customers that a call dials. Only what it names is changed.
    pub amd: Option<AmdPatch>,
}

impl VoiceConfig {
    /// Returns these settings with the changes of `patch`. `prefix` is put before field names in problems, such as `config.`.
    ///
    /// # Errors
    ///
    /// Returns [`Invalid`] with the field if a language is not a BCP 47 tag, the budget is out of range, or a setting of the detection
    /// cannot be used.
    pub fn patched(mut self, patch: VoiceConfigPatch, prefix: &str) -> Result<VoiceConfig, Invalid> {
        for (field, language) in [("translate_from", &patch.translate_from), ("translate_to", &patch.translate_to)] {
            if language.as_deref().is_some_and(|tag| !is_language_tag(tag)) {
                return Err(Invalid::new(
                    format!("{prefix}{field}"),
                    "expected a BCP 47 language tag such as `en` or `es-419`",
                ));
            }
        }
        if patch.budget_ms.is_some_and(|budget| !BUDGET_MS.contains(&budget)) {
            let expected = format!("expected {} to {}", BUDGET_MS.start(), BUDGET_MS.end());
            return Err(Invalid::new(format!("{prefix}budget_ms"), expected));
        }
        self.live_translate = patch.live_translate.unwrap_or(self.live_translate);
        self.transcribe = patch.transcribe.unwrap_or(self.transcribe);
        self.translate_from = patch.translate_from.unwrap_or(self.translate_from);
        self.translate_to = patch.translate_to.unwrap_or(self.translate_to);
        self.voice_to_voice = patch.voice_to_voice.unwrap_or(self.voice_to_voice);
        self.customer_hears = patch.customer_hears.unwrap_or(self.customer_hears);
        self.agent_hears = patch.agent_hears.unwrap_or(self.agent_hears);
        self.budget_ms = patch.budget_ms.unwrap_or(self.budget_ms);
        self.record = patch.record.unwrap_or(self.record);
        self.record_heard = patch.record_heard.unwrap_or(self.record_heard);
        if let Some(amd) = patch.amd {
            self.amd = self.amd.patched(amd, &format!("{prefix}amd."))?;
        }
        Ok(self)
    }
}

/// Longest language tag, in characters.
pub(crate) const LANGUAGE_MAX: usize = 35;
/// Pattern of tags that [`is_language_tag`] accepts, for the API's description.
pub(crate) const LANGUAGE_PATTERN: &str = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$";

/// Returns whether a text has the form of a BCP 47 tag: a primary subtag of 2 or 3 letters, then subtags of 2 to 8 letters or
/// digits.
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
    fn settings_of_earlier_versions_have_the_defaults_of_later_fields() {
        let stored = r#"{"live_translate": true, "transcribe": false, "translate_from": "en", "translate_to": "es",
            "voice_to_voice": true, "record": false}"#;
        let config: VoiceConfig = serde_json::from_str(stored).unwrap();
        assert_eq!(
            (config.customer_hears, config.agent_hears, config.budget_ms),
            (Hears::Ducked, Hears::Ducked, 3_000)
        );
    }

    #[test]
    fn a_budget_out_of_range_is_refused() {
        for (budget, is_fine) in [(999, false), (1_000, true), (10_000, true), (10_001, false)] {
            let patch = VoiceConfigPatch { budget_ms: Some(budget), ..Default::default() };
            let patched = VoiceConfig::default().patched(patch, "config.");
            assert_eq!(patched.is_ok(), is_fine, "{budget}");
            if let Err(invalid) = patched {
                assert_eq!(invalid.field, "config.budget_ms");
            }
        }
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let patch = VoiceConfigPatch { record: Some(true), translate_to: Some("fr".into()), ..Default::default() };
        let config = VoiceConfig::default().patched(patch, "").unwrap();
        assert_eq!(config, VoiceConfig { record: true, translate_to: "fr".into(), ..VoiceConfig::default() });
    }
}
