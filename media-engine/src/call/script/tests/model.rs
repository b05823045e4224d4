//! Random programs, callers and servers under virtual time, checked against the invariants of a script.
//!
//! `World` follows a script by its effects only. After every input it checks that at most one blocking effect is open, that every
//! step that started also ends, that the limits hold, and that nothing follows the end.
//!
//! Each seed is one script; a failure prints its seed.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::error::HangupCause;

/// Maximum number of inputs of one script; after that, only its time-outs follow.
const INPUTS: usize = 60;

/// The outside world's view of a script, derived from the effects and its own inputs, and never from the machine.
#[derive(Debug, Default)]
struct World {
    /// Tickets that have been neither answered nor stopped.
    open: BTreeSet<Ticket>,
    /// The blocking effect among them.
    blocking: Option<Effect>,
    /// A dial that was answered.
    talk: Option<(Ticket, Instant)>,
    talked: Duration,
    /// A running recording, and whether it is paused.
    recording: Option<(Ticket, bool)>,
    /// Number of starts minus ends that were reported for each step.
    steps: BTreeMap<StepAt, i32>,
    begun: u32,
    fetches: u32,
    fell_back: usize,
    hung_up: Option<HangupCause>,
    ended: Option<Ended>,
}

impl World {
    /// Notes an input, and returns whether it answers an open ticket or is an event.
    fn answered(&mut self, input: &Input, now: Instant) -> bool {
        let blocking = self.blocking.as_ref().and_then(Effect::blocks);
        let (ticket, fits) = match (input, &self.blocking) {
            (Input::Played(ticket, _), Some(Effect::Play { .. }))
            | (Input::Gathered { ticket, .. }, Some(Effect::Gather { .. }))
            | (Input::RecordEnded { ticket, .. }, Some(Effect::RecordMessage { .. }))
            | (Input::MessageLeft(ticket, _), Some(Effect::LeaveMessage { .. }))
            | (Input::Transferred(ticket, _), Some(Effect::Transfer { .. }))
            | (Input::Dialled(ticket, _), Some(Effect::Dial { .. }))
            | (Input::Fetched(ticket, _), Some(Effect::Fetch { .. })) => (*ticket, blocking == Some(*ticket)),
            (Input::Dialled(ticket, DialOutcome::Ended), _) => {
                (*ticket, self.talk.is_some_and(|(talk, _)| talk == *ticket))
            }
            (Input::RecordEnded { ticket, .. }, _) => (*ticket, false),
            _ => return matches!(input, Input::Timeout | Input::FarEndGone | Input::Withdrawn),
        };
        if let Input::RecordEnded { ticket, .. } = input
            && self.recording.take_if(|(recording, _)| recording == ticket).is_some()
        {
            return self.open.remove(ticket);
        }
        if !fits {
            return false;
        }
        if let Some((_, since)) = self.talk.take() {
            self.talked += now - since;
        } else {
            self.blocking = None;
        }
        match input {
            Input::Dialled(ticket, DialOutcome::Answered) => self.talk = Some((*ticket, now)),
            _ => drop(self.open.remove(&ticket)),
        }
        true
    }

    fn carry_out(&mut self, effects: &[Effect]) {
        for (n, effect) in effects.iter().enumerate() {
            assert!(self.ended.is_none(), "{effect:?} follows the end");
            if let Some(ticket) = effect.blocks() {
                assert!(self.blocking.is_none(), "{effect:?} beside {:?}", self.blocking);
                assert!(self.talk.is_none(), "{effect:?} while the caller talks");
                assert!(self.open.insert(ticket), "{ticket:?} is used twice");
                self.blocking = Some(effect.clone());
            }
            match effect {
                Effect::Fetch { payload, .. } => {
                    self.fetches += 1;
                    assert!(payload.values().all(|value| value.chars().count() <= VALUE_MAX));
                }
                Effect::Play { sound: Sound::Speech { text, .. }, .. } => {
                    assert!((1..=TEXT_MAX).contains(&text.chars().count()));
                }
                Effect::Record(ticket) => {
                    assert!(
                        self.open.insert(*ticket) && self.recording.is_none(),
                        "a second recording was started beside the first"
                    );
                    self.recording = Some((*ticket, false));
                }
                Effect::PauseRecording { ticket, on } => {
                    assert_eq!(
                        self.recording,
                        Some((*ticket, !on)),
                        "the recording is not running, or has this state already"
                    );
                    self.recording = Some((*ticket, *on));
                }
                Effect::Stop(ticket) => self.stop(*ticket),
                Effect::HangUp(cause) => {
                    assert!(
                        matches!(effects.get(n + 1), Some(Effect::Done(_))),
                        "the caller is hung up before the last effect"
                    );
                    self.hung_up = Some(cause.clone());
                }
                Effect::Tell(notice) => self.tell(notice),
                Effect::Done(ended) => self.ended = Some(ended.clone()),
                _ => {}
            }
        }
    }

    fn stop(&mut self, ticket: Ticket) {
        assert!(self.open.remove(&ticket), "{ticket:?} is stopped although it was not open");
        self.blocking.take_if(|effect| effect.blocks() == Some(ticket));
        self.talk.take_if(|(talk, _)| *talk == ticket);
        self.recording.take_if(|(recording, _)| *recording == ticket);
    }

    fn tell(&mut self, notice: &Notice) {
        match notice {
            Notice::Started(at) => {
                self.begun += 1;
                *self.steps.entry(*at).or_default() += 1;
            }
            Notice::Ended(at, _) => {
                let count = self.steps.entry(*at).or_default();
                *count -= 1;
                assert!(*count >= 0, "{at:?} ended although it had not started");
            }
            Notice::FellBack(_) => self.fell_back += 1,
        }
    }

    fn check(&self, script: &Script, limits: &Limits, began: Instant, now: Instant) {
        assert!(self.begun <= limits.steps && self.fetches <= limits.fetches && self.fell_back <= 1);
        assert_eq!(script.is_over(), self.ended.is_some(), "the end is reported exactly when the script is over");
        if let Some(ended) = &self.ended {
            assert!(self.open.is_empty(), "tickets are left open: {:?}", self.open);
            assert!(self.steps.values().all(|count| *count == 0), "steps without an end: {:?}", self.steps);
            assert_eq!(script.poll_timeout(), None);
            let is_caller_here = !matches!(ended, Ended::Transferred | Ended::FarEndGone | Ended::Withdrawn);
            assert_eq!(self.hung_up.is_some(), is_caller_here, "{ended:?}");
            return;
        }
        if self.talk.is_some() {
            assert_eq!(script.poll_timeout(), None, "a conversation has no time limit");
            return;
        }
        let due = script.poll_timeout().expect("a running script has a time-out");
        assert!(due > now, "overdue actions have been carried out");
        assert!(now - began < limits.time + self.talked, "the script has exceeded its time");
    }
}

struct Random(SmallRng);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit)
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.0.random_ratio(1, count)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn limits(&mut self) -> Limits {
        let usual = Limits::default();
        Limits {
            steps: self.pick(&[5, 40, usual.steps]),
            burst: self.pick(&[8, usual.burst]),
            time: self.pick(&[20 * SECOND, usual.time]),
            fetches: self.pick(&[0, 1, usual.fetches]),
            fetch: self.pick(&[SECOND, usual.fetch]),
            program_bytes: self.pick(&[200, usual.program_bytes]),
        }
    }

    fn start(&mut self, limits: Limits) -> Start {
        let fallback = self.one_in(2).then(|| program(&self.steps()));
        Start { program: program(&self.steps()), fallback, variables: Variables::default(), limits }
    }

    /// Returns a program of all verbs, with random labels.
    fn steps(&mut self) -> Value {
        let labels = 1 + self.below(3);
        let mut steps: Vec<Value> = (0..1 + self.below(9)).map(|_| self.step(labels)).collect();
        for label in 0..labels {
            let at = self.below(steps.len() + 1);
            steps.insert(at, json!({ "label": format!("l{label}") }));
        }
        Value::Array(steps)
    }

    fn step(&mut self, labels: usize) -> Value {
        let label = format!("l{}", self.below(labels));
        let other = format!("l{}", self.below(labels));
        match self.below(18) {
            0 => json!({"play": {"media": "hello"}}),
            1 => say(self.pick(&["Hello", "${digits}", "You pressed ${digits}."])),
            2 => {
                json!({"gather": {"max_digits": 2, "prompts": [say("Press.")], "on_digits": label, "on_timeout": other}})
            }
            3 => json!({"gather": {"max_digits": 1, "on_digits": {"1": label, "2": other}, "on_invalid": other}}),
            4 | 5 => json!({"record": {"action": "start"}}),
            6 => json!({"record": {"action": self.pick(&["pause", "resume", "stop"])}}),
            7 => json!({"record": {"action": "message", "into": "length"}}),
            8 | 9 => {
                let mut dial = json!({"targets": [{"agent": "ana"}], "into": "dial"});
                for branch in ["on_answered", "on_failed", "on_ended"] {
                    if self.one_in(2) {
                        dial[branch] = json!(label);
                    }
                }
                json!({ "dial": dial })
            }
            10 => json!({"transfer": {"targets": [{"to": "+15555550142"}], "on_failed": label}}),
            11 => json!({"pause": {"ms": 1 + self.below(3_000)}}),
            12 => json!({"jump": {"to": label, "times": 1 + self.below(3)}}),
            13 if self.one_in(2) => json!({"jump": {"to": label}}),
            14 if self.one_in(3) => json!({"hangup": {}}),
            17 => json!({"set_language": {"language": self.pick(&["en", "fr", "pt-BR"])}}),
            16 => {
                json!({"leave_message": {"speak": {"text": "Please call back.", "language": "en"}, "on_human": label}})
            }
            _ => json!({"webhook": {"url": "https://programs.example/"}}),
        }
    }

    /// Returns a random answer to an effect.
    fn answer(&mut self, effect: &Effect) -> Input {
        let causes = [HangupCause::Busy, HangupCause::NoAnswer, HangupCause::Unreachable];
        match *effect {
            Effect::Gather { ticket, .. } => {
                let digits = self.pick(&["", "1", "2", "12", "#", "123", "x"]).into();
                Input::Gathered { ticket, digits, end: self.gather_end() }
            }
            Effect::RecordMessage { ticket, .. } | Effect::Record(ticket) => {
                Input::RecordEnded { ticket, end: self.record_end(), duration: SECOND }
            }
            Effect::LeaveMessage { ticket, .. } => Input::MessageLeft(
                ticket,
                self.pick(&[MessageEnd::Left, MessageEnd::Human, MessageEnd::Stopped, MessageEnd::Failed]),
            ),
            Effect::Dial { ticket, .. } => {
                let failed = DialOutcome::Failed(self.pick(&causes));
                Input::Dialled(
                    ticket,
                    self.pick(&[DialOutcome::Answered, DialOutcome::Answered, failed, DialOutcome::Ended]),
                )
            }
            Effect::Transfer { ticket, .. } if self.one_in(2) => Input::Transferred(ticket, Ok(())),
            Effect::Transfer { ticket, .. } => Input::Transferred(ticket, Err(self.pick(&causes))),
            Effect::Fetch { ticket, .. } => {
                let program = Ok(self.steps().to_string().into_bytes());
                let huge = Ok(vec![b' '; PROGRAM_BYTES + 1]);
                let broken = Ok(b"[{\"say\": 1}]".to_vec());
                let gone = Err(FetchFailure::Unreachable);
                Input::Fetched(ticket, self.pick(&[program.clone(), program.clone(), program, huge, broken, gone]))
            }
            _ => Input::Played(
                effect.blocks().unwrap_or(Ticket(0)),
                self.pick(&[PlayEnd::Done, PlayEnd::Done, PlayEnd::Stopped, PlayEnd::Failed]),
            ),
        }
    }

    fn gather_end(&mut self) -> GatherEnd {
        match self.below(20) {
            0 => GatherEnd::FarEndGone,
            1 => GatherEnd::Stopped,
            2..8 => GatherEnd::Timeout,
            8..12 => GatherEnd::FinishKey,
            _ => GatherEnd::Length,
        }
    }

    fn record_end(&mut self) -> RecordEnd {
        match self.below(10) {
            0 => RecordEnd::FarEndGone,
            1 => RecordEnd::Failed,
            2 => RecordEnd::Stopped,
            3..6 => RecordEnd::Longest,
            6..8 => RecordEnd::FinishKey,
            _ => RecordEnd::Silence,
        }
    }

    fn input(&mut self, world: &World) -> Input {
        match self.below(24) {
            0 if self.one_in(3) => Input::FarEndGone,
            1 if self.one_in(6) => Input::Withdrawn,
            2..5 => Input::Timeout,
            // A stale input, or an answer to another ticket.
            5..9 => {
                let ticket = Ticket(self.below(12) as u64);
                let targets = Vec::new();
                let kinds = [
                    Effect::Play { ticket, sound: Sound::Media("a".into()) },
                    Effect::Record(ticket),
                    Effect::Dial { ticket, targets: targets.clone(), ring: None, from: None },
                    Effect::Transfer { ticket, targets, ring: None, from: None },
                    Effect::Fetch { ticket, url: String::new(), payload: BTreeMap::new() },
                ];
                let kind = self.pick(&kinds);
                self.answer(&kind)
            }
            9 => match world.recording {
                Some((ticket, _)) => self.answer(&Effect::Record(ticket)),
                None => Input::Timeout,
            },
            _ => match (&world.blocking, world.talk) {
                (Some(effect), _) => self.answer(effect),
                (None, Some((ticket, _))) if self.one_in(2) => Input::Dialled(ticket, DialOutcome::Ended),
                _ => Input::Timeout,
            },
        }
    }
}

/// Runs one script with random inputs, and returns how it ended.
fn live(seed: u64) -> Ended {
    let mut random = Random(SmallRng::seed_from_u64(seed));
    let limits = random.limits();
    let began = test_epoch();
    let mut now = began;
    let (mut script, effects) = Script::new(random.start(limits), now);
    let mut world = World::default();
    world.carry_out(&effects);
    world.check(&script, &limits, began, now);
    for n in 0.. {
        if let Some(ended) = world.ended {
            return ended;
        }
        // At the end no input comes any more, except that a dialled party leaves.
        let input = match world.talk {
            _ if n < INPUTS => random.input(&world),
            Some((ticket, _)) => Input::Dialled(ticket, DialOutcome::Ended),
            None => Input::Timeout,
        };
        now = match script.poll_timeout() {
            Some(due) if input == Input::Timeout && (n >= INPUTS || random.one_in(2)) => due,
            _ => now + Duration::from_millis(random.0.random_range(0..800)),
        };
        let is_due = script.poll_timeout().is_some_and(|due| due <= now);
        // An overdue step has ended before its answer arrives.
        let is_answer = !is_due && world.answered(&input, now);
        if is_due {
            let effects = script.handle(Input::Timeout, now);
            world.carry_out(&effects);
            world.check(&script, &limits, began, now);
        } else {
            let effects = script.handle(input.clone(), now);
            assert!(is_answer || effects.is_empty(), "{input:?} was not wanted, and has effects: {effects:?}");
            world.carry_out(&effects);
            world.check(&script, &limits, began, now);
        }
        assert!(n < INPUTS + 3 * limits.steps as usize, "the script does not end");
    }
    unreachable!("the loop ends by its returns");
}

fn live_all(count: u64) {
    let mut endings: BTreeSet<String> = BTreeSet::new();
    for seed in 0..count {
        match std::panic::catch_unwind(|| live(seed)) {
            Ok(ended) => drop(endings.insert(format!("{ended:?}"))),
            Err(panic) => {
                eprintln!("the script with seed {seed} breaks an invariant");
                std::panic::resume_unwind(panic);
            }
        }
    }
    for ending in [
        "Finished",
        "HungUp",
        "Transferred",
        "FarEndGone",
        "Withdrawn",
        "Bound(Steps)",
        "Bound(Burst)",
        "Bound(Time)",
        "Bound(Fetches)",
        "NotFetched(Slow)",
        "NotFetched(TooLarge)",
        "NotFetched(Unreachable)",
    ] {
        assert!(endings.contains(ending), "the inputs are too tame: no script ended by {ending}");
    }
}

#[test]
fn a_script_keeps_its_invariants_under_random_inputs() {
    live_all(2_000);
}

#[test]
#[ignore = "soak: a hundred thousand scripts"]
fn a_hundred_thousand_scripts_keep_their_invariants() {
    live_all(100_000);
}
