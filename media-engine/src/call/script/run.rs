//! The machine that runs a program: what it waits for, what its answers lead to, and how it ends.
//!
//! ```text
//!            ┌────────────── answer, time-out ◀──────────────┐
//!            ▼                                               │
//! new ─▶ Running ─ blocking step ─▶ Waiting ─────────────────┘
//!            │          dial, answered ─▶ Talking ─ the other left ─▶ Running
//!            └─ last step, hangup, bound, no program ─▶ Over          (from everywhere: caller gone, withdrawn)
//! ```
//!
//! Running is a state within one input only. While the caller talks with somebody, instant steps may run (`on_answered`); the first
//! other one waits until the conversation has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::{Bound, Effect, Ended, Notice, StepAt, StepEnd, Ticket};
use super::input::{FetchFailure, Input, RecordEnd};
use super::limits::{Limits, PROGRAM_BYTES};
use super::program::{Place, Program};
use super::text::{Name, Variables};
use crate::error::HangupCause;

/// What a script begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What it runs.
    pub program: Program,
    /// What it runs, once, when the next program cannot be had.
    pub fallback: Option<Program>,
    /// What it knows, such as the caller's number.
    pub variables: Variables,
    /// What it may do.
    pub limits: Limits,
}

/// A program that runs.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) program: Arc<Program>,
    fallback: Option<Program>,
    pub(super) limits: Limits,
    pub(super) variables: Variables,
    /// Programs that were begun, less one.
    generation: u32,
    /// The next step.
    pub(super) next: Place,
    pub(super) state: State,
    /// The conversation with somebody who was dialled.
    pub(super) talk: Option<Talk>,
    /// The recording that goes on beside the program.
    pub(super) recording: Option<Recording>,
    /// How often each jump of the program was taken.
    pub(super) jumps: BTreeMap<Place, u32>,
    last_ticket: u64,
    steps: u32,
    pub(super) fetches: u32,
    /// Steps since the second began that is being looked at.
    burst: (Instant, u32),
    /// The end of its time; it does not pass while the caller talks.
    deadline: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The next step is to be begun.
    Running,
    /// A step has begun, and is not over.
    Waiting(StepAt, Wait),
    /// The caller talks with somebody: only that conversation's end goes on.
    Talking,
    Over,
}

/// What a step waits for. Only pauses and fetches have an end of their own here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Play(Ticket),
    Gather(Ticket),
    Message(Ticket),
    Dial(Ticket),
    Transfer(Ticket),
    Fetch(Ticket, Option<Instant>),
    Pause(Option<Instant>),
}

impl Wait {
    fn ticket(self) -> Option<Ticket> {
        match self {
            Wait::Play(ticket)
            | Wait::Gather(ticket)
            | Wait::Message(ticket)
            | Wait::Dial(ticket)
            | Wait::Transfer(ticket)
            | Wait::Fetch(ticket, _) => Some(ticket),
            Wait::Pause(_) => None,
        }
    }

    fn until(self) -> Option<Instant> {
        match self {
            Wait::Fetch(_, until) | Wait::Pause(until) => until,
            Wait::Play(_) | Wait::Gather(_) | Wait::Message(_) | Wait::Dial(_) | Wait::Transfer(_) => None,
        }
    }
}

/// A conversation with somebody who was dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) ticket: Ticket,
    pub(super) at: StepAt,
    pub(super) since: Instant,
    /// Where the program goes on; `None`: where it waits.
    pub(super) on_ended: Option<Place>,
}

/// A recording that goes on beside the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) ticket: Ticket,
    pub(super) at: StepAt,
    pub(super) is_paused: bool,
}

impl Script {
    /// Begins a program: the script, and its first effects.
    pub fn new(start: Start, now: Instant) -> (Script, Vec<Effect>) {
        let Start { program, fallback, variables, limits } = start;
        let mut script = Script {
            program: Arc::new(program),
            fallback,
            limits,
            variables,
            generation: 0,
            next: 0,
            state: State::Running,
            talk: None,
            recording: None,
            jumps: BTreeMap::new(),
            last_ticket: 0,
            steps: 0,
            fetches: 0,
            burst: (now, 0),
            deadline: now.checked_add(limits.time),
        };
        let mut out = Vec::new();
        script.run(now, &mut out);
        (script, out)
    }

    /// What an input leads to; nothing after [`Effect::Done`].
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            _ if self.is_over() => {}
            Input::FarEndGone => self.finish(Ended::FarEndGone, None, &mut out),
            Input::Withdrawn => self.finish(Ended::Withdrawn, None, &mut out),
            input => {
                // What is overdue is over, whatever has come a moment later.
                self.expire(now, &mut out);
                self.take(input, now, &mut out);
                self.run(now, &mut out);
            }
        }
        out
    }

    /// When [`Input::Timeout`] is due; `None`: never, unless another input changes that.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadline.filter(|_| self.talk.is_none());
        match self.state {
            State::Waiting(_, wait) => wait.until().into_iter().chain(deadline).min(),
            State::Running => deadline,
            State::Talking | State::Over => None,
        }
    }

    /// Whether [`Effect::Done`] was said.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What it knows.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    fn expire(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.talk.is_none() && self.deadline.is_some_and(|deadline| deadline <= now) {
            return self.exceed(Bound::Time, out);
        }
        match self.state {
            State::Waiting(at, Wait::Pause(Some(until))) if until <= now => self.end_step(at, StepEnd::Completed, out),
            State::Waiting(at, Wait::Fetch(ticket, Some(until))) if until <= now => {
                out.push(Effect::Stop(ticket));
                self.on_not_fetched(at, FetchFailure::Slow, out);
            }
            _ => {}
        }
    }

    /// Takes an answer, unless its ticket is not open or belongs to something else.
    fn take(&mut self, input: Input, now: Instant, out: &mut Vec<Effect>) {
        let (at, wait) = match self.state {
            State::Waiting(at, wait) => (Some(at), Some(wait)),
            State::Running | State::Talking | State::Over => (None, None),
        };
        match (input, at, wait) {
            (Input::Played(ticket, end), Some(at), Some(Wait::Play(open))) if ticket == open => {
                self.end_step(at, end.into(), out);
            }
            (Input::Gathered { ticket, digits, end }, Some(at), Some(Wait::Gather(open))) if ticket == open => {
                self.on_gathered(at, &digits, end, out);
            }
            (Input::RecordEnded { ticket, end, duration }, Some(at), Some(Wait::Message(open))) if ticket == open => {
                self.on_message(at, end, duration, out);
            }
            (Input::RecordEnded { ticket, end, duration }, ..) => self.on_recording_ended(ticket, end, duration, out),
            (Input::Dialled(ticket, outcome), at, wait) => self.on_dialled(ticket, outcome, at.zip(wait), now, out),
            (Input::Transferred(ticket, outcome), Some(at), Some(Wait::Transfer(open))) if ticket == open => {
                self.on_transferred(at, outcome, out);
            }
            (Input::Fetched(ticket, answer), Some(at), Some(Wait::Fetch(open, _))) if ticket == open => {
                self.on_fetched(at, answer, out);
            }
            _ => {}
        }
    }

    /// Begins steps until one of them takes time.
    fn run(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while self.state == State::Running {
            let program = Arc::clone(&self.program);
            let step = program.steps.get(self.next);
            if self.talk.is_some() && !step.is_some_and(super::program::Step::is_instant) {
                self.state = State::Talking;
                return;
            }
            let Some(step) = step else {
                return self.finish(Ended::Finished, Some(HangupCause::Normal), out);
            };
            if let Some(bound) = self.count_step(now) {
                return self.exceed(bound, out);
            }
            let at = StepAt { program: self.generation, step: self.next, verb: step.verb() };
            self.next += 1;
            self.begin(at, step, now, out);
        }
    }

    fn count_step(&mut self, now: Instant) -> Option<Bound> {
        let (began, steps) = self.burst;
        self.burst = match now.saturating_duration_since(began) >= Duration::from_secs(1) {
            true => (now, 1),
            false => (began, steps.saturating_add(1)),
        };
        self.steps = self.steps.saturating_add(1);
        if self.steps > self.limits.steps {
            return Some(Bound::Steps);
        }
        (self.burst.1 > self.limits.burst).then_some(Bound::Burst)
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// A step is over; the next one follows.
    pub(super) fn end_step(&mut self, at: StepAt, end: StepEnd, out: &mut Vec<Effect>) {
        out.push(Effect::Tell(Notice::Ended(at, end)));
        self.state = State::Running;
    }

    /// A step is over; the program goes on at a place, if one is given.
    pub(super) fn end_step_at(&mut self, at: StepAt, end: StepEnd, place: Option<Place>, out: &mut Vec<Effect>) {
        self.next = place.unwrap_or(self.next);
        self.end_step(at, end, out);
    }

    /// Sets a variable. `false`: there are too many, and the script has ended.
    pub(super) fn set(&mut self, name: &Name, value: &str, out: &mut Vec<Effect>) -> bool {
        let is_set = self.variables.set(name.clone(), value).is_ok();
        if !is_set {
            self.exceed(Bound::Variables, out);
        }
        is_set
    }

    /// Another program takes this one's place.
    pub(super) fn replace(&mut self, program: Program) {
        self.program = Arc::new(program);
        self.generation += 1;
        self.next = 0;
        self.jumps.clear();
    }

    /// There is no next program: the fallback runs, once, or it is the end.
    pub(super) fn on_not_fetched(&mut self, at: StepAt, why: FetchFailure, out: &mut Vec<Effect>) {
        self.end_step(at, StepEnd::NotFetched(why.clone()), out);
        match self.fallback.take() {
            Some(fallback) => {
                self.replace(fallback);
                out.push(Effect::Tell(Notice::FellBack(why)));
            }
            None => self.finish(Ended::NotFetched(why), Some(HangupCause::Internal), out),
        }
    }

    fn on_fetched(&mut self, at: StepAt, answer: Result<Vec<u8>, FetchFailure>, out: &mut Vec<Effect>) {
        let most = self.limits.program_bytes.min(PROGRAM_BYTES);
        let program = answer.and_then(|bytes| match bytes.len() > most {
            true => Err(FetchFailure::TooLarge),
            false => Program::parse(&bytes).map_err(|error| FetchFailure::Malformed(error.to_string())),
        });
        match program {
            Ok(program) => {
                self.end_step(at, StepEnd::Fetched { steps: program.steps() }, out);
                self.replace(program);
            }
            Err(why) => self.on_not_fetched(at, why, out),
        }
    }

    /// A recording has ended by itself.
    fn on_recording_ended(&mut self, ticket: Ticket, end: RecordEnd, duration: Duration, out: &mut Vec<Effect>) {
        if let Some(recording) = self.recording.take_if(|recording| recording.ticket == ticket) {
            out.push(Effect::Tell(Notice::Ended(recording.at, StepEnd::Recorded { end, duration })));
        }
    }

    /// The time in which the caller talked does not count.
    pub(super) fn extend(&mut self, talked: Duration) {
        self.deadline = self.deadline.and_then(|deadline| deadline.checked_add(talked));
    }

    pub(super) fn exceed(&mut self, bound: Bound, out: &mut Vec<Effect>) {
        let cause = if bound == Bound::Time { HangupCause::MaxDuration } else { HangupCause::Internal };
        self.finish(Ended::Bound(bound), Some(cause), out);
    }

    /// The end: everything that is open is stopped, and with a cause the caller is hung up.
    pub(super) fn finish(&mut self, ended: Ended, cause: Option<HangupCause>, out: &mut Vec<Effect>) {
        if let State::Waiting(at, wait) = std::mem::replace(&mut self.state, State::Over) {
            out.extend(wait.ticket().map(Effect::Stop));
            out.push(Effect::Tell(Notice::Ended(at, StepEnd::Stopped)));
        }
        if let Some(talk) = self.talk.take() {
            out.push(Effect::Stop(talk.ticket));
            out.push(Effect::Tell(Notice::Ended(talk.at, StepEnd::Stopped)));
        }
        self.stop_recording(out);
        out.extend(cause.map(Effect::HangUp));
        out.push(Effect::Done(ended));
    }

    /// Whether a recording was running.
    pub(super) fn stop_recording(&mut self, out: &mut Vec<Effect>) -> bool {
        let Some(recording) = self.recording.take() else { return false };
        out.push(Effect::Stop(recording.ticket));
        out.push(Effect::Tell(Notice::Ended(recording.at, StepEnd::Stopped)));
        true
    }
}
