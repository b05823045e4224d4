//! What an organization's calls may do at all: switches above the voice configuration.
//!
//! Off means: who asks for it is refused (403, with the switch's name); what was only set as a default, or comes with a
//! call from outside, is simply not done. What asks each of them:
//!
//! | switch | asked by |
//! |---|---|
//! | `record` | `record` of a call's or the voice configuration; the application `record`, which answers and records nothing for a call from outside |
//! | `transcribe` | `transcribe` and `live_translate` of a call's or the voice configuration |
//! | `translate` | `live_translate` of a call's or the voice configuration |
//! | `voice_to_voice` | `voice_to_voice` of a call's or the voice configuration |
//! | `transfer` | REFER of a party in a call that began while it is off: 403 by SIP, and an event `call.transfer` |
//! | `api_dialing` | `POST /api/calls` with an API key |
//! | `conference` | `POST /api/calls/{id}/legs` |
//! | `amd` | nothing yet: a request that names it is refused as unknown (422), on or off |
//!
//! Emergency numbers stay open: to `api_dialing` and to `transfer`.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::voice_config::{VoiceConfig, VoiceConfigPatch};

/// The switches. All are on until they are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Recording calls.
    pub record: bool,
    /// Recognising what is said.
    pub transcribe: bool,
    /// Translating what is said.
    pub translate: bool,
    /// Speaking translations.
    pub voice_to_voice: bool,
    /// Finding out whether a machine answered.
    pub amd: bool,
    /// Transferring calls.
    pub transfer: bool,
    /// More than two parties.
    pub conference: bool,
    /// Calls that programs start with API keys.
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

/// Some of the switches; what is left out keeps its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapabilitiesPatch {
    /// Recording calls.
    pub(crate) record: Option<bool>,
    /// Recognising what is said.
    pub(crate) transcribe: Option<bool>,
    /// Translating what is said.
    pub(crate) translate: Option<bool>,
    /// Speaking translations.
    pub(crate) voice_to_voice: Option<bool>,
    /// Finding out whether a machine answered.
    pub(crate) amd: Option<bool>,
    /// Transferring calls.
    pub(crate) transfer: Option<bool>,
    /// More than two parties.
    pub(crate) conference: Option<bool>,
    /// Calls that programs start with API keys.
    pub(crate) api_dialing: Option<bool>,
}

/// 403: the organization has this switched off.
pub(crate) fn switched_off(capability: &'static str) -> Problem {
    Problem {
        capability: Some(capability),
        ..Problem::new(
            StatusCode::FORBIDDEN,
            "capability-off",
            "Your organization has this switched off",
            format!(
                "`{capability}` is switched off in your organization's call capabilities; an admin can switch it on"
            ),
        )
    }
}

impl Capabilities {
    /// These switches with `patch` over them.
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

    /// What is left of settings that nobody asked for just now. Live translation needs recognition too.
    pub fn applied(&self, config: VoiceConfig) -> VoiceConfig {
        VoiceConfig {
            live_translate: config.live_translate && self.translate && self.transcribe,
            transcribe: config.transcribe && self.transcribe,
            voice_to_voice: config.voice_to_voice && self.voice_to_voice,
            record: config.record && self.record,
            ..config
        }
    }

    /// Refuses settings that ask for what is off.
    pub(crate) fn must_allow(&self, asked: &VoiceConfigPatch) -> Result<(), Problem> {
        let on = |switch: Option<bool>| switch == Some(true);
        let wanted = [
            ("record", on(asked.record), self.record),
            ("transcribe", on(asked.transcribe) || on(asked.live_translate), self.transcribe),
            ("translate", on(asked.live_translate), self.translate),
            ("voice_to_voice", on(asked.voice_to_voice), self.voice_to_voice),
        ];
        match wanted.into_iter().find(|(_, wanted, allowed)| *wanted && !allowed) {
            Some((name, ..)) => Err(switched_off(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_refused_when_asked_for_and_left_out_when_not() {
        let all = VoiceConfig {
            live_translate: true,
            transcribe: true,
            voice_to_voice: true,
            record: true,
            ..VoiceConfig::default()
        };
        let asked = |name: &str| VoiceConfigPatch {
            record: (name == "record").then_some(true),
            transcribe: (name == "transcribe").then_some(true),
            live_translate: (name == "translate").then_some(true),
            voice_to_voice: (name == "voice_to_voice").then_some(true),
            ..VoiceConfigPatch::default()
        };
        for name in ["record", "transcribe", "translate", "voice_to_voice"] {
            let mut switches = Capabilities::default();
            match name {
                "record" => switches.record = false,
                "transcribe" => switches.transcribe = false,
                "translate" => switches.translate = false,
                _ => switches.voice_to_voice = false,
            }
            let problem = switches.must_allow(&asked(name)).unwrap_err();
            assert_eq!((problem.status, problem.capability), (StatusCode::FORBIDDEN, Some(name)));
            assert!(problem.detail.contains(name));
            assert_ne!(switches.applied(all.clone()), all, "{name}");
            assert_eq!(switches.applied(VoiceConfig::default()), VoiceConfig::default());
        }
        assert_eq!(Capabilities::default().applied(all.clone()), all);
        assert!(Capabilities::default().must_allow(&asked("record")).is_ok());
    }
}
