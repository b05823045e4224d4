//! What answered a leg, as the detection has reported it so far. The events tell it stage by stage; a leg keeps the sum.
//!
//! Invariant: the first verdict that was acted upon stays, whatever follows. `later` holds verdicts after a reply to a call
//! assistant, `revised` the newest correction.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::{AmdEvidence, AmdMode, AmdNews, AmdVerdict, Answer, MessageAfter, MessageEnd};

/// Number of beeps that a leg keeps: the newest ones.
const BEEPS_MAX: usize = 4;
/// Number of verdicts after the first one that a leg keeps: the newest ones.
const LATER_MAX: usize = 4;

/// What answered a leg. Times are milliseconds of sound since the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LegAmd {
    /// Speed of the detection: `fast`, `balanced` or `careful`.
    #[schema(value_type = Option<String>)]
    pub mode: Option<AmdMode>,
    /// First verdict that was acted upon: `human`, `machine`, `screening`, `ivr`, `fax`, `sit`, `busy`, `ringback`, `music`,
    /// `silence` or `unknown`.
    #[schema(value_type = Option<String>)]
    pub verdict: Option<Answer>,
    /// Probability that this verdict is right, from 0 to 1.
    pub probability: Option<f32>,
    /// Time of this verdict.
    pub decided_at_ms: Option<u64>,
    /// Action that followed it: `connect`, `hang_up`, `retry_later`, `reply`, `message`, `transfer` or `program`.
    pub action: Option<String>,
    /// What it rests on: `ground`, and where known `hz`, `speech`, `line`, `phrases` and `features`.
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<AmdEvidence>,
    /// Verdicts after a reply, oldest first; the newest 4.
    pub later: Vec<LegVerdict>,
    /// Newest verdict that contradicts the one that was acted upon. Nothing follows it.
    pub revised: Option<LegVerdict>,
    /// End of the last word of a machine's greeting.
    pub greeting_end_ms: Option<u64>,
    /// Beeps, oldest first; the newest 4.
    pub beeps: Vec<LegBeep>,
    /// Time at which a message began to play.
    pub message_begun_ms: Option<u64>,
    /// What the message waited for: `beep`, `greeting_end` or `limit`.
    #[schema(value_type = Option<String>)]
    pub message_after: Option<MessageAfter>,
    /// How the message ended: `left`, `human`, `stopped` or `failed`.
    #[schema(value_type = Option<String>)]
    pub message_end: Option<MessageEnd>,
    /// Time at which the message ended.
    pub message_end_ms: Option<u64>,
}

/// A further verdict on a leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LegVerdict {
    /// What answered, in the words of the first verdict.
    #[schema(value_type = String)]
    pub verdict: Answer,
    /// Probability that it is right, from 0 to 1.
    pub probability: f32,
    /// Time of the verdict, in milliseconds of sound since the answer.
    pub decided_at_ms: u64,
    /// Action that followed it; empty if nothing followed.
    pub action: String,
    /// What it rests on: `ground`, and where known `hz`, `speech`, `line`, `phrases` and `features`.
    #[schema(value_type = Object)]
    pub evidence: AmdEvidence,
}

/// A beep that was heard on a leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LegBeep {
    /// Start, in milliseconds since the answer.
    pub start_ms: u64,
    /// End, in milliseconds since the answer.
    pub end_ms: u64,
    /// Frequencies in hertz.
    pub hz: Vec<u16>,
}

impl From<&AmdVerdict> for LegVerdict {
    fn from(verdict: &AmdVerdict) -> LegVerdict {
        let AmdVerdict { verdict, probability, decided_at_ms, action, evidence } = verdict.clone();
        LegVerdict { verdict, probability, decided_at_ms, action, evidence }
    }
}

impl LegAmd {
    /// Adds news of the detection.
    pub(super) fn add(&mut self, news: &AmdNews) {
        match news {
            AmdNews::Listening { mode } => self.mode = Some(*mode),
            AmdNews::Heard(_) => {}
            AmdNews::Verdict(verdict) if self.verdict.is_some() => {
                push_newest(&mut self.later, verdict.into(), LATER_MAX)
            }
            AmdNews::Verdict(verdict) => {
                let LegVerdict { verdict, probability, decided_at_ms, action, evidence } = verdict.into();
                self.verdict = Some(verdict);
                self.probability = Some(probability);
                self.decided_at_ms = Some(decided_at_ms);
                self.action = Some(action);
                self.evidence = Some(evidence);
            }
            AmdNews::Revised(verdict) => self.revised = Some(verdict.into()),
            AmdNews::GreetingEnd { at_ms } => self.greeting_end_ms = Some(*at_ms),
            AmdNews::Beep { start_ms, end_ms, hz } => {
                push_newest(
                    &mut self.beeps,
                    LegBeep { start_ms: *start_ms, end_ms: *end_ms, hz: hz.clone() },
                    BEEPS_MAX,
                );
            }
            AmdNews::MessageBegun { at_ms, after } => {
                self.message_begun_ms = Some(*at_ms);
                self.message_after = Some(*after);
            }
            AmdNews::MessageLeft { at_ms, end } => {
                self.message_end_ms = Some(*at_ms);
                self.message_end = Some(*end);
            }
        }
    }
}

/// Appends to a list that keeps its newest `most` entries.
fn push_newest<T>(list: &mut Vec<T>, one: T, most: usize) {
    list.push(one);
    let surplus = list.len().saturating_sub(most);
    list.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(verdict: Answer, decided_at_ms: u64, action: &str) -> AmdVerdict {
        let evidence = AmdEvidence { ground: "sound".into(), ..AmdEvidence::default() };
        AmdVerdict { verdict, probability: 0.93, decided_at_ms, action: action.into(), evidence }
    }

    #[test]
    fn the_first_verdict_stays_whatever_follows() {
        let mut amd = LegAmd::default();
        amd.add(&AmdNews::Listening { mode: AmdMode::Balanced });
        amd.add(&AmdNews::Verdict(verdict(Answer::Screening, 2_400, "reply")));
        amd.add(&AmdNews::Verdict(verdict(Answer::Human, 9_100, "connect")));
        amd.add(&AmdNews::Revised(verdict(Answer::Machine, 12_000, "")));
        assert_eq!((amd.verdict, amd.decided_at_ms), (Some(Answer::Screening), Some(2_400)));
        assert_eq!(amd.action.as_deref(), Some("reply"));
        assert_eq!(amd.later, [LegVerdict::from(&verdict(Answer::Human, 9_100, "connect"))]);
        assert_eq!(amd.revised, Some(LegVerdict::from(&verdict(Answer::Machine, 12_000, ""))));
        for ms in 0..9 {
            amd.add(&AmdNews::Verdict(verdict(Answer::Ivr, ms, "reply")));
        }
        let times: Vec<u64> = amd.later.iter().map(|later| later.decided_at_ms).collect();
        assert_eq!(times, [5, 6, 7, 8]);
    }

    #[test]
    fn a_leg_keeps_its_newest_beeps_and_the_end_of_its_message() {
        let mut amd = LegAmd::default();
        for n in 1..=6 {
            amd.add(&AmdNews::Beep { start_ms: n * 1_000, end_ms: n * 1_000 + 300, hz: vec![1_000] });
        }
        amd.add(&AmdNews::GreetingEnd { at_ms: 5_800 });
        amd.add(&AmdNews::MessageBegun { at_ms: 6_400, after: MessageAfter::Beep });
        amd.add(&AmdNews::MessageLeft { at_ms: 14_000, end: MessageEnd::Left });
        let starts: Vec<u64> = amd.beeps.iter().map(|beep| beep.start_ms).collect();
        assert_eq!(starts, [3_000, 4_000, 5_000, 6_000]);
        let text = serde_json::to_string(&amd).unwrap();
        assert_eq!(serde_json::from_str::<LegAmd>(&text).unwrap(), amd);
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["message_after"], "beep");
        assert_eq!((&shown["message_end"], &shown["message_end_ms"]), (&json!("left"), &json!(14_000)));
        assert_eq!((&shown["verdict"], &shown["revised"]), (&json!(null), &json!(null)));
    }

    #[test]
    fn what_an_earlier_version_has_written_is_read() {
        let amd: LegAmd = serde_json::from_value(json!({"mode": "fast", "verdict": "human"})).unwrap();
        assert_eq!((amd.verdict, amd.beeps.len()), (Some(Answer::Human), 0));
    }
}
