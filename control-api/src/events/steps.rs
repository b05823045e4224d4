//! Conversion of news of call programs into events.

use std::time::Duration;

use crate::engine::{Ended, GatherBranch, Notice, ProgramNews, StepAt, StepEnd, word};
use crate::store::ProgramStep;

/// Returns the body of the event for this news.
pub(super) fn program_step(news: ProgramNews) -> ProgramStep {
    let state = |state: &str| ProgramStep { state: state.into(), ..ProgramStep::default() };
    match news {
        ProgramNews::Began { steps } => ProgramStep { steps: Some(steps as u64), ..state("started") },
        ProgramNews::Step(Notice::Started(at)) => step(at, state("step_started")),
        ProgramNews::Step(Notice::Ended(at, end)) => step(at, ended(end, state("step_ended"))),
        ProgramNews::Step(Notice::FellBack(why)) => ProgramStep { detail: Some(why.to_string()), ..state("fell_back") },
        ProgramNews::Ended(end) => {
            let (outcome, detail) = match end {
                Ended::Finished => ("finished", None),
                Ended::HungUp => ("hung_up", None),
                Ended::Transferred => ("transferred", None),
                Ended::FarEndGone => ("caller_gone", None),
                Ended::Withdrawn => ("withdrawn", None),
                Ended::Bound(bound) => ("bound", Some(word(&bound))),
                Ended::NotFetched(why) => ("not_fetched", Some(why.to_string())),
            };
            ProgramStep { outcome: Some(outcome.into()), detail, ..state("ended") }
        }
    }
}

fn step(at: StepAt, news: ProgramStep) -> ProgramStep {
    let StepAt { program, step, verb } = at;
    let path = Some(format!("steps[{step}]"));
    ProgramStep { program: Some(program), step: Some(step as u64), path, verb: Some(word(&verb)), ..news }
}

fn ended(end: StepEnd, news: ProgramStep) -> ProgramStep {
    let outcome = |outcome: &str| ProgramStep { outcome: Some(outcome.into()), ..news.clone() };
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).ok();
    match end {
        StepEnd::Completed => outcome("completed"),
        StepEnd::Skipped => outcome("skipped"),
        StepEnd::Failed => outcome("failed"),
        StepEnd::Stopped => outcome("stopped"),
        StepEnd::Gathered { branch, digits } => {
            let branch = match branch {
                GatherBranch::Digits => "digits",
                GatherBranch::Timeout => "timeout",
                GatherBranch::Invalid => "invalid",
            };
            ProgramStep { digits, ..outcome(branch) }
        }
        StepEnd::Recorded { end, duration } => {
            ProgramStep { detail: Some(word(&end)), duration_ms: ms(duration), ..outcome("recorded") }
        }
        StepEnd::NotReached(cause) => ProgramStep { detail: Some(cause.as_str().into()), ..outcome("not_reached") },
        StepEnd::Talked(duration) => ProgramStep { duration_ms: ms(duration), ..outcome("talked") },
        StepEnd::MessageLeft(end) => ProgramStep { detail: Some(word(&end)), ..outcome("message") },
        StepEnd::Transferred => outcome("transferred"),
        StepEnd::Fetched { steps } => ProgramStep { steps: Some(steps as u64), ..outcome("fetched") },
        StepEnd::NotFetched(why) => ProgramStep { detail: Some(why.to_string()), ..outcome("not_fetched") },
    }
}
