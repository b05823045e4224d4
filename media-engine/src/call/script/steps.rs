//! The start of each step, and the effect of its answer.

use std::time::{Duration, Instant};

use super::effect::{Bound, Effect, Ended, GatherBranch, GatherRules, Notice, StepAt, StepEnd, Ticket};
use super::input::{DialOutcome, GatherEnd, MessageEnd, PlayEnd, RecordEnd};
use super::program::{Dial, Gather, Jump, LeaveMessage, OnDigits, Place, Prompt, Record, Step, Webhook};
use super::run::{Recording, Script, State, Talk, Wait};
use crate::error::HangupCause;

impl Script {
    /// Starts a step, which ends at once or leaves the script waiting.
    pub(super) fn begin(&mut self, at: StepAt, step: &Step, now: Instant, out: &mut Vec<Effect>) {
        match step {
            Step::Label => return,
            Step::Jump(jump) => return self.jump(at, *jump),
            _ => out.push(Effect::Tell(Notice::Started(at))),
        }
        match step {
            Step::Label | Step::Jump(_) => {}
            Step::Play(prompt) => self.play(at, prompt, out),
            Step::Gather(gather) => self.gather(at, gather, out),
            Step::Record(record) => self.record(at, record, out),
            Step::LeaveMessage(leave) => self.leave_message(at, leave, out),
            Step::Dial(Dial { callees, .. }) => {
                let ticket = self.wait(at, Wait::Dial);
                let callees = callees.clone();
                out.push(Effect::Dial { ticket, targets: callees.targets, ring: callees.ring, from: callees.from });
            }
            Step::Transfer(transfer) => {
                let ticket = self.wait(at, Wait::Transfer);
                let callees = transfer.callees.clone();
                out.push(Effect::Transfer { ticket, targets: callees.targets, ring: callees.ring, from: callees.from });
            }
            Step::SetLanguage(language) => {
                out.push(Effect::SetLanguage(language.clone()));
                self.end_step(at, StepEnd::Completed, out);
            }
            Step::Pause(pause) => self.state = State::Waiting(at, Wait::Pause(now.checked_add(*pause))),
            Step::Hangup(cause) => {
                self.end_step(at, StepEnd::Completed, out);
                self.finish(Ended::HungUp, Some(cause.clone()), out);
            }
            Step::Webhook(webhook) => self.webhook(at, webhook, now, out),
        }
    }

    fn wait(&mut self, at: StepAt, wait: impl FnOnce(Ticket) -> Wait) -> Ticket {
        let ticket = self.ticket();
        self.state = State::Waiting(at, wait(ticket));
        ticket
    }

    fn jump(&mut self, at: StepAt, jump: Jump) {
        let taken = self.jumps.entry(at.step).or_default();
        if jump.times.is_none_or(|times| *taken < times) {
            *taken = taken.saturating_add(1);
            self.next = jump.to;
        }
    }

    fn play(&mut self, at: StepAt, prompt: &Prompt, out: &mut Vec<Effect>) {
        match prompt.fill(&self.variables) {
            Some(sound) => {
                let ticket = self.wait(at, Wait::Play);
                out.push(Effect::Play { ticket, sound });
            }
            None => self.end_step(at, StepEnd::Skipped, out),
        }
    }

    fn leave_message(&mut self, at: StepAt, leave: &LeaveMessage, out: &mut Vec<Effect>) {
        match leave.message.fill(&self.variables) {
            Some(sound) => {
                let ticket = self.wait(at, Wait::LeaveMessage);
                let (beep, for_machine) = (leave.beep, leave.on_human.is_some());
                out.push(Effect::LeaveMessage { ticket, sound, beep, for_machine });
            }
            None => self.end_step(at, StepEnd::Skipped, out),
        }
    }

    pub(super) fn on_message_left(&mut self, at: StepAt, end: MessageEnd, out: &mut Vec<Effect>) {
        let Some(Step::LeaveMessage(leave)) = self.step(at) else { return };
        let place = leave.on_human.filter(|_| end == MessageEnd::Human);
        self.end_step_at(at, StepEnd::MessageLeft(end), place, out);
        if let Some(name) = leave.into {
            let result = match end {
                MessageEnd::Left => "left",
                MessageEnd::Human => "human",
                MessageEnd::Stopped => "stopped",
                MessageEnd::Failed => "failed",
            };
            self.set(&name, result, out);
        }
    }

    fn gather(&mut self, at: StepAt, gather: &Gather, out: &mut Vec<Effect>) {
        let prompts = gather.prompts.iter().filter_map(|prompt| prompt.fill(&self.variables)).collect();
        let ticket = self.wait(at, Wait::Gather);
        out.push(Effect::Gather {
            ticket,
            rules: gather.rules,
            prompts,
            barge_in: gather.barge_in,
            secret: gather.secret,
        });
    }

    fn record(&mut self, at: StepAt, record: &Record, out: &mut Vec<Effect>) {
        let is_done = match record {
            Record::Start => {
                // A second start begins a second recording instead of extending the first.
                self.stop_recording(out);
                let ticket = self.ticket();
                self.recording = Some(Recording { ticket, at, is_paused: false });
                // This step ends with the recording.
                return out.push(Effect::Record(ticket));
            }
            Record::Message { rules, .. } => {
                let ticket = self.wait(at, Wait::Message);
                return out.push(Effect::RecordMessage { ticket, rules: *rules });
            }
            Record::Stop => self.stop_recording(out),
            Record::Pause | Record::Resume => {
                let on = *record == Record::Pause;
                match &mut self.recording {
                    Some(recording) if recording.is_paused != on => {
                        recording.is_paused = on;
                        out.push(Effect::PauseRecording { ticket: recording.ticket, on });
                        true
                    }
                    _ => false,
                }
            }
        };
        self.end_step(at, if is_done { StepEnd::Completed } else { StepEnd::Skipped }, out);
    }

    fn webhook(&mut self, at: StepAt, webhook: &Webhook, now: Instant, out: &mut Vec<Effect>) {
        if self.fetches >= self.limits.fetches {
            self.end_step(at, StepEnd::Stopped, out);
            return self.exceed(Bound::Fetches, out);
        }
        self.fetches += 1;
        let until = now.checked_add(self.limits.fetch);
        let ticket = self.wait(at, |ticket| Wait::Fetch(ticket, until));
        out.push(Effect::Fetch { ticket, url: webhook.url.clone(), payload: webhook.fill(&self.variables) });
    }

    /// Returns the step that the script waits for.
    fn step(&self, at: StepAt) -> Option<Step> {
        self.program.steps.get(at.step).cloned()
    }

    pub(super) fn on_gathered(&mut self, at: StepAt, digits: &str, end: GatherEnd, out: &mut Vec<Effect>) {
        let Some(Step::Gather(gather)) = self.step(at) else { return };
        let digits = if are_keys(digits, &gather.rules) { digits } else { "" };
        let (branch, place) = judge(&gather, digits, end);
        let reported = (!gather.secret).then(|| digits.to_owned());
        self.end_step_at(at, StepEnd::Gathered { branch, digits: reported }, place, out);
        if self.set(&gather.into, digits, out) && end == GatherEnd::FarEndGone {
            self.finish(Ended::FarEndGone, None, out);
        }
    }

    pub(super) fn on_message(&mut self, at: StepAt, end: RecordEnd, duration: Duration, out: &mut Vec<Effect>) {
        self.end_step(at, StepEnd::Recorded { end, duration }, out);
        let Some(Step::Record(Record::Message { into, .. })) = self.step(at) else { return };
        let is_set = into.is_none_or(|name| self.set(&name, &duration.as_secs().to_string(), out));
        if is_set && end == RecordEnd::FarEndGone {
            self.finish(Ended::FarEndGone, None, out);
        }
    }

    pub(super) fn on_dialled(
        &mut self,
        ticket: Ticket,
        outcome: DialOutcome,
        waiting: Option<(StepAt, Wait)>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let dialling = waiting.filter(|(_, wait)| *wait == Wait::Dial(ticket)).map(|(at, _)| at);
        match (outcome, dialling) {
            (DialOutcome::Answered, Some(at)) => self.on_answered(at, ticket, now, out),
            (DialOutcome::Failed(cause), Some(at)) => {
                let Some(Step::Dial(dial)) = self.step(at) else { return };
                let result = dial_result(&cause);
                self.end_step_at(at, StepEnd::NotReached(cause), dial.on_failed, out);
                if let Some(name) = dial.into {
                    self.set(&name, result, out);
                }
            }
            // The party answered, and had gone before the answer was reported.
            (DialOutcome::Ended, Some(at)) => {
                self.on_answered(at, ticket, now, out);
                self.on_talk_ended(ticket, now, out);
            }
            (DialOutcome::Ended, None) => self.on_talk_ended(ticket, now, out),
            (DialOutcome::Answered | DialOutcome::Failed(_), None) => {}
        }
    }

    fn on_answered(&mut self, at: StepAt, ticket: Ticket, now: Instant, out: &mut Vec<Effect>) {
        let Some(Step::Dial(dial)) = self.step(at) else { return };
        self.talk = Some(Talk { ticket, at, since: now, on_ended: dial.on_ended });
        self.state = State::Talking;
        if dial.into.is_some_and(|name| !self.set(&name, "answered", out)) {
            return;
        }
        if let Some(place) = dial.on_answered {
            (self.next, self.state) = (place, State::Running);
        }
    }

    fn on_talk_ended(&mut self, ticket: Ticket, now: Instant, out: &mut Vec<Effect>) {
        let Some(talk) = self.talk.take_if(|talk| talk.ticket == ticket) else { return };
        let talked = now.saturating_duration_since(talk.since);
        self.extend(talked);
        self.end_step_at(talk.at, StepEnd::Talked(talked), talk.on_ended, out);
    }

    pub(super) fn on_transferred(&mut self, at: StepAt, outcome: Result<(), HangupCause>, out: &mut Vec<Effect>) {
        let Some(Step::Transfer(transfer)) = self.step(at) else { return };
        match outcome {
            Ok(()) => {
                self.end_step(at, StepEnd::Transferred, out);
                self.finish(Ended::Transferred, None, out);
            }
            Err(cause) => self.end_step_at(at, StepEnd::NotReached(cause), transfer.on_failed, out),
        }
    }
}

impl From<PlayEnd> for StepEnd {
    fn from(end: PlayEnd) -> StepEnd {
        match end {
            PlayEnd::Done => StepEnd::Completed,
            PlayEnd::Stopped => StepEnd::Stopped,
            PlayEnd::Failed => StepEnd::Failed,
        }
    }
}

/// Returns whether a collection with these rules can have returned these digits.
fn are_keys(digits: &str, rules: &GatherRules) -> bool {
    digits.len() <= usize::from(rules.max)
        && digits.chars().all(|digit| matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D') && Some(digit) != rules.finish)
}

/// Returns the branch for the pressed digits, and the place where the program continues.
fn judge(gather: &Gather, digits: &str, end: GatherEnd) -> (GatherBranch, Option<Place>) {
    let invalid = (GatherBranch::Invalid, gather.on_invalid);
    match (&gather.on_digits, end) {
        (_, GatherEnd::Timeout | GatherEnd::Stopped | GatherEnd::FarEndGone) if digits.is_empty() => {
            (GatherBranch::Timeout, gather.on_timeout)
        }
        _ if digits.len() < usize::from(gather.rules.min) => invalid,
        (OnDigits::Any(place), _) => (GatherBranch::Digits, *place),
        (OnDigits::Choices(choices), _) => {
            choices.get(digits).map_or(invalid, |place| (GatherBranch::Digits, Some(*place)))
        }
    }
}

/// Returns the value that a variable receives for a dial that no target answered.
fn dial_result(cause: &HangupCause) -> &'static str {
    match cause {
        HangupCause::Busy => "busy",
        HangupCause::NoAnswer | HangupCause::Cancelled => "no_answer",
        HangupCause::Rejected => "rejected",
        HangupCause::NotFound => "not_found",
        _ => "failed",
    }
}
