//! Tests of call programs: each step, refused programs, random callers and servers, and the shipped programs.

mod examples;
mod fuzzing;
mod model;
mod parsing;
mod running;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::units::test_epoch;

const SECOND: Duration = Duration::from_secs(1);

fn program(steps: &Value) -> Program {
    match Program::parse(steps.to_string().as_bytes()) {
        Ok(program) => program,
        Err(error) => panic!("{error}"),
    }
}

fn start(steps: &Value) -> Start {
    Start { program: program(steps), fallback: None, variables: Variables::default(), limits: Limits::default() }
}

fn say(text: &str) -> Value {
    json!({"speak": {"text": text, "language": "en"}})
}

/// A script with its virtual clock and the last blocking effect.
struct Lab {
    script: Script,
    now: Instant,
    ticket: Ticket,
}

impl Lab {
    /// Starts a program, and returns its first effects.
    fn new(start: Start) -> (Lab, Vec<Effect>) {
        let now = test_epoch();
        let (script, effects) = Script::new(start, now);
        let mut lab = Lab { script, now, ticket: Ticket(0) };
        let effects = lab.see(effects);
        (lab, effects)
    }

    /// Returns the effects without reports.
    fn see(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        effects.retain(|effect| !matches!(effect, Effect::Tell(_)));
        self.ticket = effects.iter().filter_map(Effect::blocks).next_back().unwrap_or(self.ticket);
        effects
    }

    fn give(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.script.handle(input, self.now);
        self.see(effects)
    }

    fn after(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.give(Input::Timeout)
    }

    fn played(&mut self) -> Vec<Effect> {
        self.give(Input::Played(self.ticket, PlayEnd::Done))
    }

    fn pressed(&mut self, digits: &str) -> Vec<Effect> {
        let end = if digits.is_empty() { GatherEnd::Timeout } else { GatherEnd::Length };
        self.give(Input::Gathered { ticket: self.ticket, digits: digits.into(), end })
    }

    fn dialled(&mut self, outcome: DialOutcome) -> Vec<Effect> {
        self.give(Input::Dialled(self.ticket, outcome))
    }

    fn recorded(&mut self, end: RecordEnd, duration: Duration) -> Vec<Effect> {
        self.give(Input::RecordEnded { ticket: self.ticket, end, duration })
    }

    fn fetched(&mut self, steps: &Value) -> Vec<Effect> {
        self.give(Input::Fetched(self.ticket, Ok(steps.to_string().into_bytes())))
    }
}

/// Returns the first text that is spoken.
#[track_caller]
fn spoken(effects: &[Effect]) -> &str {
    let sound = effects.iter().find_map(|effect| match effect {
        Effect::Play { sound, .. } => Some(sound),
        Effect::Gather { prompts, .. } => prompts.first(),
        _ => None,
    });
    match sound {
        Some(Sound::Speech { text, .. }) => text,
        _ => panic!("no text is spoken: {effects:?}"),
    }
}

/// Returns how the script ended.
#[track_caller]
fn ended(effects: &[Effect]) -> &Ended {
    match effects.last() {
        Some(Effect::Done(ended)) => ended,
        _ => panic!("the script has not ended: {effects:?}"),
    }
}
