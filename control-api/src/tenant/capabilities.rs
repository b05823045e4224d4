//! Call capabilities of an organization: switches that take precedence over the voice configuration.
//!
//! If a switch is off, a request that needs it is refused (403, with the name of the switch). Defaults of the configuration and
//! incoming calls go without it silently. The switches are needed by:
//!
//! | switch | needed by |
//! |---|---|
//! | `record` | `record` of a call's or the voice configuration; the application `record` (incoming calls get no recording) |
//! | `transcribe` | `transcribe` and `live_translate` of a call's or the voice configuration |
//! | `translate` | `live_translate` of a call's or the voice configuration |
//! | `voice_to_voice` | `voice_to_voice` of a call's or the voice configuration |
//! | `transfer` | REFER of a party in a call that began while it is off: 403 by SIP, and an event `call.transfer` |
//! | `api_dialing` | `POST /api/calls` with an API key |
//! | `conference` | `POST /api/calls/{id}/legs` |
//! | `amd` | an `amd.mode` other than `off` of a call's or the voice configuration; the application `amd` judges nothing |
//!
//! Emergency numbers are exempt from `api_dialing` and from `transfer`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::engine::{CallSettings, group, translation};

use super::amd::{AmdConfig, AmdPatch, DetectionMode};
use super::glossary::Glossary;
use super::voice_config::{VoiceConfig, VoiceConfigPatch};

/// Call capabilities of an organization. All are on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Whether calls may be recorded.
    pub record: bool,
    /// Whether speech may be recognised.
    pub transcribe: bool,
    /// Whether speech may be translated.
    pub translate: bool,
    /// Whether translations may be spoken.
    pub voice_to_voice: bool,
    /// Whether answering machines may be detected.
    pub amd: bool,
    /// Whether calls may be transferred.
    pub transfer: bool,
    /// Whether a call may have more than two parties.
    pub conference: bool,
    /// Whether programs may start calls with API keys.
    pub api_dialing: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities {
            record: true,
            transcribe: true,
            translate: true,
            voice_to_voice: true,
            amd: true,
            transfer: true,
            conference: true,
            api_dialing: true,
        }
    }
}

/// Switches to change. Switches that are left out keep their value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapabilitiesPatch {
    /// Whether calls may be recorded.
    pub(crate) record: Option<bool>,
    /// Whether speech may be recognised.
    pub(crate) transcribe: Option<bool>,
    /// Whether speech may be translated.
    pub(crate) translate: Option<bool>,
    /// Whether translations may be spoken.
    pub(crate) voice_to_voice: Option<bool>,
    /// Whether answering machines may be detected.
    pub(crate) amd: Option<bool>,
    /// Whether calls may be transferred.
    pub(crate) transfer: Option<bool>,
    /// Whether a call may have more than two parties.
    pub(crate) conference: Option<bool>,
    /// Whether programs may start calls with API keys.
    pub(crate) api_dialing: Option<bool>,
}

/// Capability that is needed and switched off, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is switched off in your organization's call capabilities; an admin can switch it on")]
pub(crate) struct SwitchedOff(pub(crate) &'static str);

impl Capabilities {
    /// Returns these switches with the changes of `patch`.
    pub(crate) fn patched(self, patch: CapabilitiesPatch) -> Capabilities {
        Capabilities {
            record: patch.record.unwrap_or(self.record),
            transcribe: patch.transcribe.unwrap_or(self.transcribe),
            translate: patch.translate.unwrap_or(self.translate),
            voice_to_voice: patch.voice_to_voice.unwrap_or(self.voice_to_voice),
            amd: patch.amd.unwrap_or(self.amd),
            transfer: patch.transfer.unwrap_or(self.transfer),
            conference: patch.conference.unwrap_or(self.conference),
            api_dialing: patch.api_dialing.unwrap_or(self.api_dialing),
        }
    }

    /// Returns the settings without those that are switched off, for settings that were not requested explicitly. Live
    /// translation also requires recognition.
    pub fn applied(&self, config: VoiceConfig) -> VoiceConfig {
        VoiceConfig {
            live_translate: config.live_translate && self.translate && self.transcribe,
            transcribe: config.transcribe && self.transcribe,
            voice_to_voice: config.voice_to_voice && self.voice_to_voice,
            record: config.record && self.record,
            amd: match self.amd {
                true => config.amd,
                false => AmdConfig { mode: DetectionMode::Off, ..config.amd },
            },
            ..config
        }
    }

    /// Refuses settings that explicitly request a capability that is off.
    pub(crate) fn must_allow(&self, asked: &VoiceConfigPatch) -> Result<(), SwitchedOff> {
        let on = |switch: Option<bool>| switch == Some(true);
        let wanted = [
            ("record", on(asked.record), self.record),
            ("transcribe", on(asked.transcribe) || on(asked.live_translate), self.transcribe),
            ("translate", on(asked.live_translate), self.translate),
            ("voice_to_voice", on(asked.voice_to_voice), self.voice_to_voice),
            ("amd", asked.amd.as_ref().is_some_and(AmdPatch::switches_on), self.amd),
        ];
        match wanted.into_iter().find(|(_, wanted, allowed)| *wanted && !allowed) {
            Some((name, ..)) => Err(SwitchedOff(name)),
            None => Ok(()),
        }
    }
}

/// Returns the settings of a call: for its audio those of `config`, to which `capabilities` have been applied, with the terms of
/// `glossary`, and for its parties those of `capabilities`. Call programs, and the detection of what answers, which may run some, are
/// added by whoever can supply them.
pub fn call_settings(
    config: &VoiceConfig,
    glossary: &Glossary,
    capabilities: &Capabilities,
    organization: Option<Uuid>,
) -> CallSettings {
    CallSettings {
        live_translate: config.live_translate,
        transcribe: config.transcribe,
        translate_from: config.translate_from.clone(),
        translate_to: config.translate_to.clone(),
        hears: match config.voice_to_voice {
            true => [config.customer_hears.into(), config.agent_hears.into()],
            false => [translation::Hears::Original; 2],
        },
        budget: Duration::from_millis(config.budget_ms.into()),
        glossary: glossary.for_calls(),
        record: config.record,
        record_heard: config.record_heard,
        record_app: capabilities.record,
        amd_app: capabilities.amd,
        transfer: capabilities.transfer,
        group: organization.map(group),
        from: None,
        program: None,
        amd: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switched_off_settings_are_refused_if_requested_and_otherwise_omitted() {
        let all = VoiceConfig {
            live_translate: true,
            transcribe: true,
            voice_to_voice: true,
            record: true,
            amd: AmdConfig { mode: DetectionMode::Fast, ..AmdConfig::default() },
            ..VoiceConfig::default()
        };
        let asked = |name: &str| VoiceConfigPatch {
            record: (name == "record").then_some(true),
            transcribe: (name == "transcribe").then_some(true),
            live_translate: (name == "translate").then_some(true),
            voice_to_voice: (name == "voice_to_voice").then_some(true),
            amd: (name == "amd").then(|| AmdPatch { mode: Some(DetectionMode::Careful), ..AmdPatch::default() }),
            ..VoiceConfigPatch::default()
        };
        for name in ["record", "transcribe", "translate", "voice_to_voice", "amd"] {
            let mut switches = Capabilities::default();
            match name {
                "record" => switches.record = false,
                "transcribe" => switches.transcribe = false,
                "translate" => switches.translate = false,
                "amd" => switches.amd = false,
                _ => switches.voice_to_voice = false,
            }
            assert_eq!(switches.must_allow(&asked(name)), Err(SwitchedOff(name)));
            assert_ne!(switches.applied(all.clone()), all, "{name}");
            assert_eq!(switches.applied(VoiceConfig::default()), VoiceConfig::default());
        }
        assert_eq!(Capabilities::default().applied(all.clone()), all);
        assert!(Capabilities::default().must_allow(&asked("record")).is_ok());
        let off = AmdPatch { mode: Some(DetectionMode::Off), limit_s: Some(4), actions: None };
        let without = Capabilities { amd: false, ..Capabilities::default() };
        assert!(without.must_allow(&VoiceConfigPatch { amd: Some(off), ..VoiceConfigPatch::default() }).is_ok());
    }
}
