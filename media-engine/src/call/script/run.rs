//! The machine that runs a program: what it waits for, what the answers lead to, and how it ends.
//!
//! ```text
//!            ┌────────────── answer, time-out ◀──────────────┐
//!            ▼                                               │
//! new ─▶ Running ─ blocking step ─▶ Waiting ─────────────────┘
//!            │          dial, answered ─▶ Talking ─ the other left ─▶ Running
//!            └─ last step, hangup, bound, no program ─▶ Over          (from everywhere: caller gone, withdrawn)
//! ```
//!
//! `Running` is a state within one input only. While the caller talks, instant steps may run (`on_answered`); the first other
//! step waits until the conversation has ended.
//!
//! Invariants: at most one step waits at a time, and it holds the only blocking ticket; answers to other tickets have no effect;
//! `finish` is the only way to `Over`. Not here: the steps themselves (`steps`), and parsing (`parse`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::{Bound, Effect, Ended, Notice, StepAt, StepEnd, Ticket};
use super::input::{FetchFailure, Input, RecordEnd};
use super::limits::{Limits, PROGRAM_BYTES};
use super::program::{Place, Program};
use super::text::{Name, Variables};
use crate::error::HangupCause;

/// Program and limits that a script starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Program that runs first.
    pub program: Program,
    /// Program that runs, once, when the next program cannot be fetched.
    pub fallback: Option<Program>,
    /// Initial variables, such as the caller's number.
    pub variables: Variables,
    /// Limits over the life of the script.
    pub limits: Limits,
}

/// A running program with its state.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) program: Arc<Program>,
    fallback: Option<Program>,
    pub(super) limits: Limits,
    pub(super) variables: Variables,
    /// Number of programs that were replaced.
    generation: u32,
    /// Index of the next step.
    pub(super) next: Place,
    pub(super) state: State,
    /// Conversation with a dialled party.
    pub(super) talk: Option<Talk>,
    /// Recording that continues beside the program.
    pub(super) recording: Option<Recording>,
    /// Number of times that each jump of the program was taken.
    pub(super) jumps: BTreeMap<Place, u32>,
    last_ticket: u64,
    steps: u32,
    pub(super) fetches: u32,
    /// Start of the current second, and the number of steps since then.
    burst: (Instant, u32),
    /// End of the running time, which does not pass while the caller talks.
    deadline: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The next step is about to start.
    Running,
    /// A step has started and has not ended.
    Waiting(StepAt, Wait),
    /// The caller talks: the program continues when the conversation ends.
    Talking,
    Over,
}

/// Event that a step waits for. Only pauses and fetches have a time-out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Play(Ticket),
    Gather(Ticket),
    Message(Ticket),
    LeaveMessage(Ticket),
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
            | Wait::LeaveMessage(ticket)
            | Wait::Dial(ticket)
            | Wait::Transfer(ticket)
            | Wait::Fetch(ticket, _) => Some(ticket),
            Wait::Pause(_) => None,
        }
    }

    fn until(self) -> Option<Instant> {
        match self {
            Wait::Fetch(_, until) | Wait::Pause(until) => until,
            Wait::Play(_)
            | Wait::Gather(_)
            | Wait::Message(_)
            | Wait::LeaveMessage(_)
            | Wait::Dial(_)
            | Wait::Transfer(_) => None,
        }
    }
}

/// A conversation with a dialled party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) ticket: Ticket,
    pub(super) at: StepAt,
    pub(super) since: Instant,
    /// Place where the program continues; `None`: the place where it waits.
    pub(super) on_ended: Option<Place>,
}

/// A recording that continues beside the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) ticket: Ticket,
    pub(super) at: StepAt,
    pub(super) is_paused: bool,
}

impl Script {
    /// Starts a program, and returns the script with its first effects.
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

    /// Takes an input and returns its effects; there are none after [`Effect::Done`].
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            _ if self.is_over() => {}
            Input::FarEndGone => self.finish(Ended::FarEndGone, None, &mut out),
            Input::Withdrawn => self.finish(Ended::Withdrawn, None, &mut out),
            input => {
                // An overdue step has ended, even if its answer has arrived just now.
                self.expire(now, &mut out);
                self.take(input, now, &mut out);
                self.run(now, &mut out);
            }
        }
        out
    }

    /// Returns when [`Input::Timeout`] is due; `None`: never, unless another input changes that.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadline.filter(|_| self.talk.is_none());
        match self.state {
            State::Waiting(_, wait) => wait.until().into_iter().chain(deadline).min(),
            State::Running => deadline,
            State::Talking | State::Over => None,
        }
    }

    /// Returns whether [`Effect::Done`] has been returned.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Returns the variables of the script.
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

    /// Takes an answer, unless its ticket is closed or belongs to something else.
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
            (Input::MessageLeft(ticket, end), Some(at), Some(Wait::LeaveMessage(open))) if ticket == open => {
                self.on_message_left(at, end, out);
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

    /// Starts steps until one of them takes time.
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

    /// Ends a step; the next one follows.
    pub(super) fn end_step(&mut self, at: StepAt, end: StepEnd, out: &mut Vec<Effect>) {
        out.push(Effect::Tell(Notice::Ended(at, end)));
        self.state = State::Running;
    }

    /// Ends a step; the program continues at `place` if it is given.
    pub(super) fn end_step_at(&mut self, at: StepAt, end: StepEnd, place: Option<Place>, out: &mut Vec<Effect>) {
        self.next = place.unwrap_or(self.next);
        self.end_step(at, end, out);
    }

    /// Sets a variable. `false`: there are too many variables, and the script has ended.
    pub(super) fn set(&mut self, name: &Name, value: &str, out: &mut Vec<Effect>) -> bool {
        let is_set = self.variables.set(name.clone(), value).is_ok();
        if !is_set {
            self.exceed(Bound::Variables, out);
        }
        is_set
    }

    /// Replaces the running program with another one.
    pub(super) fn replace(&mut self, program: Program) {
        self.program = Arc::new(program);
        self.generation += 1;
        self.next = 0;
        self.jumps.clear();
    }

    /// Runs the fallback, once, because there is no next program; without a fallback, the script ends.
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

    /// Handles a recording that has ended by itself.
    fn on_recording_ended(&mut self, ticket: Ticket, end: RecordEnd, duration: Duration, out: &mut Vec<Effect>) {
        if let Some(recording) = self.recording.take_if(|recording| recording.ticket == ticket) {
            out.push(Effect::Tell(Notice::Ended(recording.at, StepEnd::Recorded { end, duration })));
        }
    }

    /// Extends the running time by the time in which the caller talked.
    pub(super) fn extend(&mut self, talked: Duration) {
        self.deadline = self.deadline.and_then(|deadline| deadline.checked_add(talked));
    }

    pub(super) fn exceed(&mut self, bound: Bound, out: &mut Vec<Effect>) {
        let cause = if bound == Bound::Time { HangupCause::MaxDuration } else { HangupCause::Internal };
        self.finish(Ended::Bound(bound), Some(cause), out);
    }

    /// Ends the script: everything that is open is stopped, and the caller is hung up if there is a cause.
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

    /// Stops the recording; returns whether one was running.
    pub(super) fn stop_recording(&mut self, out: &mut Vec<Effect>) -> bool {
        let Some(recording) = self.recording.take() else { return false };
        out.push(Effect::Stop(recording.ticket));
        out.push(Effect::Tell(Notice::Ended(recording.at, StepEnd::Stopped)));
        true
    }
}
