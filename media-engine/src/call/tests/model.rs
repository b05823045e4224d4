//! Random inputs under virtual time, checked against the invariants of a call.
//!
//! `World` follows a call by its effects only. After every input it checks that each leg is opened and released once, that its
//! ending is reported once, that the topology fits, and that the call ends once.
//!
//! The last test captures a random call and replays it to the same effects.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::units::test_epoch;

/// Maximum number of inputs of one call.
const STEPS: usize = 60;
/// Time for which an answered customer is screened.
const SCREENED: Duration = Duration::from_secs(6);

/// The outside world's view of a call, derived from the effects and its own inputs, and never from the machine.
#[derive(Debug, Default)]
struct World {
    /// Legs that were opened and have not been released.
    open: BTreeSet<LegId>,
    /// Legs whose far end is connected.
    lines: BTreeSet<LegId>,
    /// Legs that have media.
    media: BTreeSet<LegId>,
    /// Legs for whose place another leg is called, by heir.
    parted: BTreeMap<LegId, LegId>,
    lost: BTreeSet<LegId>,
    /// Legs that were added and have not answered.
    added: BTreeSet<LegId>,
    held: BTreeSet<LegId>,
    muted: BTreeSet<LegId>,
    /// Supervisors, with whether all parties hear them.
    supervisors: BTreeMap<LegId, bool>,
    /// The party that waits to be picked up.
    parked: Option<LegId>,
    /// Legs that a detector listens to, with the end of their time.
    screened: BTreeMap<LegId, Instant>,
    /// Legs whose ending was reported.
    ended: BTreeSet<LegId>,
    hearing: Topology,
    recorded: Vec<Recorded>,
    ends: usize,
}

impl World {
    fn see(&mut self, input: &Input, effects: &[Effect], (call, now): (&Call, Instant)) {
        match input {
            Input::Verdict { leg, followed: Followed::Again(limit) } => {
                self.screened.entry(*leg).and_modify(|until| *until = now + *limit);
            }
            Input::Verdict { leg, .. } => drop(self.screened.remove(leg)),
            Input::Timeout => self.screened.retain(|_, until| *until > now),
            _ => {}
        }
        for effect in effects {
            if let Effect::Tell(Notice::Screened(leg)) = effect {
                self.screened.insert(*leg, now + SCREENED);
            }
        }
        match *input {
            Input::Gone(leg, _) => {
                self.lines.remove(&leg);
                let is_over = effects.iter().any(|effect| matches!(effect, Effect::Tell(Notice::Over { .. })));
                assert!(!is_over || !self.supervisors.contains_key(&leg), "a supervisor ends the call");
            }
            Input::EarlyMedia(leg) if self.added.contains(&leg) => {}
            Input::Answered(leg) | Input::EarlyMedia(leg) if self.lines.contains(&leg) => {
                self.media.insert(leg);
                self.added.remove(&leg);
            }
            Input::Add { supervises, .. } => {
                if let [Effect::Ask { leg, .. }, ..] = effects {
                    self.supervisors.extend(supervises.map(|mode| (*leg, mode == SuperviseMode::Barge)));
                }
            }
            Input::Fetched { heir, leg } if call.role(leg).is_some() && self.open.remove(&heir) => {
                for set in [&mut self.open, &mut self.lines, &mut self.media] {
                    set.insert(leg);
                }
            }
            Input::Back(leg) => drop(self.lost.remove(&leg)),
            _ => {}
        }
        let mut before = None;
        for effect in effects {
            self.see_asked(before, effect, effects);
            before = Some(effect);
        }
        effects.iter().for_each(|effect| self.carry_out(effect));
    }

    /// Notes a leg that is to be called: as an heir, beside the others, or in turn after a leg that was not reached.
    fn see_asked(&mut self, before: Option<&Effect>, effect: &Effect, effects: &[Effect]) {
        let Effect::Ask { leg, by, .. } = effect else { return };
        let is_heir =
            |effect: &Effect| matches!(effect, Effect::Tell(Notice::Transfer { heir: Some(heir), .. }) if heir == leg);
        if effects.iter().any(is_heir) {
            self.parted.insert(*leg, *by);
            return;
        }
        self.added.insert(*leg);
        if let Some(Effect::Forget(before)) = before
            && let Some(barges) = self.supervisors.get(before).copied()
        {
            self.supervisors.insert(*leg, barges);
        }
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Ask { leg, .. } => assert!(self.open.insert(*leg)),
            Effect::Await(leg) => assert!(self.open.insert(*leg)),
            Effect::Ring(leg, _) => {
                self.open.insert(*leg);
                assert!(self.lines.insert(*leg), "{leg} is called twice");
            }
            Effect::Answer(leg) | Effect::AnswerEarly(leg) => {
                for set in [&mut self.open, &mut self.lines, &mut self.media] {
                    set.insert(*leg);
                }
            }
            Effect::Alert(leg) => assert!(self.lines.contains(leg)),
            Effect::Ended(leg, _) => assert!(self.ended.insert(*leg), "{leg} ends twice"),
            Effect::HangUp { leg, .. } => {
                assert!(self.ended.contains(leg), "the ending of {leg} was not reported");
                assert!(self.lines.remove(leg), "{leg} is hung up without a connection");
            }
            Effect::Retire(leg) => assert!(self.media.remove(leg), "{leg} is retired without media"),
            Effect::Forget(leg) => {
                assert!(self.open.remove(leg), "{leg} is released twice");
                assert!(self.ended.contains(leg), "the ending of {leg} was not reported");
                assert!(!self.lines.contains(leg), "{leg} is released while its far end is connected");
                self.media.remove(leg);
                self.parted.remove(leg);
                self.supervisors.remove(leg);
                self.screened.remove(leg);
                for set in [&mut self.lost, &mut self.added, &mut self.held, &mut self.muted] {
                    set.remove(leg);
                }
            }
            Effect::Notify(legs) => {
                let is_party = |leg: &LegId| self.media.contains(leg) && !self.supervisors.contains_key(leg);
                assert!(!legs.is_empty() && legs.iter().all(is_party), "{legs:?} hear the supervision notice");
            }
            Effect::Give(leg) => {
                assert!(self.open.remove(leg) && self.lines.remove(leg) && self.media.remove(leg));
            }
            Effect::Hearing(topology) => self.hearing.clone_from(topology),
            Effect::Record(recorded) => {
                assert!(recorded.len() <= RECORDINGS_AT_ONCE);
                self.recorded.clone_from(recorded);
            }
            Effect::Tell(Notice::Lost(leg)) => drop(self.lost.insert(*leg)),
            Effect::Tell(Notice::Seat { leg, held, muted, supervises, .. }) => {
                for (set, is_in) in [(&mut self.held, held), (&mut self.muted, muted)] {
                    if *is_in {
                        set.insert(*leg)
                    } else {
                        set.remove(leg)
                    };
                }
                assert_eq!(
                    supervises.is_some(),
                    self.supervisors.contains_key(leg),
                    "a leg has changed between party and supervisor"
                );
                self.supervisors.extend(supervises.map(|mode| (*leg, mode == SuperviseMode::Barge)));
            }
            Effect::Tell(Notice::Transfer { heir: Some(heir), state: TransferState::Done, by, .. }) => {
                self.parted.remove(heir);
                self.lost.remove(by);
            }
            Effect::Tell(Notice::Parked { leg, .. }) => {
                assert_eq!(self.parked.replace(*leg), None, "two parties are parked in one call");
            }
            Effect::Tell(Notice::Unparked { leg, .. }) => assert_eq!(self.parked.take(), Some(*leg)),
            Effect::Tell(Notice::Over { .. }) => self.ends += 1,
            Effect::Tell(_) => {}
        }
    }

    fn check(&self, call: &Call) {
        if call.is_over() {
            assert_eq!(self.ends, 1);
            assert!(self.lines.is_empty(), "connections are left over: {:?}", self.lines);
            assert_eq!(self.parked, None, "the end of the parking was not reported");
            assert!(self.open.is_subset(&self.ended), "the ending of {:?} was not reported", self.open);
            assert_eq!(call.poll_timeout(), None);
            return;
        }
        assert_eq!(self.ends, 0);
        assert_eq!(self.hearing, call.hearing(), "the last reported topology is out of date");
        for (leg, place) in self.hearing.places() {
            assert!(self.media.contains(&leg), "{leg} has a place but no media");
            let is_apart = self.lost.contains(&leg)
                || self.held.contains(&leg)
                || self.parked == Some(leg)
                || self.parted.values().any(|by| *by == leg)
                || self.supervisors.get(&leg) == Some(&false);
            assert!(!place.is_on_floor() || !is_apart, "{leg} is in the conversation although it is set aside");
            let is_screened = self.screened.contains_key(&leg);
            assert_eq!(place == Place::Screened, is_screened, "{leg} is screened until its verdict");
            assert!(!is_screened || !self.hearing.is_heard(leg), "{leg} is heard before its verdict");
            // A leg with an application does not wait for a lost leg.
            let is_scripted = matches!(place, Place::Scripted(_));
            let is_silent = is_apart && !is_scripted || self.muted.contains(&leg);
            let is_recorded = self.recorded.iter().any(|recorded| recorded.legs.contains(&leg));
            assert!(
                !(self.hearing.is_heard(leg) || is_recorded) || !is_silent,
                "{leg} is heard or recorded although it is silent"
            );
            if let Place::Whispering(to) = place {
                assert!(self.hearing.floor().any(|leg| leg == to), "{leg} whispers to a leg that is not on the floor");
            }
        }
        for Recorded { number, of, legs, .. } in &self.recorded {
            assert!(of.is_none_or(|of| call.role(of).is_some()), "recording {number} has outlived its leg");
            let takes = |leg: LegId| self.hearing.is_heard(leg) && of.is_none_or(|of| of == leg);
            let heard: Vec<LegId> = self.hearing.places().map(|(leg, _)| leg).filter(|leg| takes(*leg)).collect();
            assert_eq!(*legs, heard, "recording {number} takes exactly the legs that are heard");
        }
        let is_party = |leg: &LegId| !self.supervisors.contains_key(leg);
        let waits_for_nobody = self.parked.is_none()
            && self.lost.is_empty()
            && self.parted.is_empty()
            && self.held.is_empty()
            && !self.added.iter().any(is_party);
        assert!(self.hearing.floor().count() != 1 || waits_for_nobody, "a leg waits alone in silence");
    }
}

/// Runs one call with random inputs, and returns its number of legs.
fn live(seed: u64) -> u64 {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut lab, effects) = match random.random_range(0..9) {
        7 => Lab::outgoing(agent(), Plan::Join(customer())),
        8 => Lab::outgoing_customer(Plan::Join(agent())),
        5 => (Lab::incoming(Plan::Application(App::Program)), Vec::new()),
        6 => Lab::outgoing(customer(), Plan::Application(App::Program)),
        0 => (Lab::incoming(Plan::Application(App::Tone)), Vec::new()),
        1 => Lab::outgoing(agent(), Plan::Join(customer())),
        2 => Lab::outgoing(customer(), Plan::Hold),
        _ => (Lab::incoming(Plan::Join(agent())), Vec::new()),
    };
    let mut world = World::default();
    if effects.is_empty() {
        world.open.insert(FIRST);
        world.lines.insert(FIRST);
    }
    effects.iter().for_each(|effect| world.carry_out(effect));
    let mut foreign = 1_000_000;
    if random.random_ratio(1, 2) {
        lab.call.handle(Input::Screen(Some(SCREENED)), lab.now);
    }
    for _ in 0..STEPS {
        let input = any_input(&mut random, &lab, &mut foreign);
        lab.now += Duration::from_millis(random.random_range(0..1_500));
        let effects = lab.call.handle(input.clone(), lab.now);
        world.see(&input, &effects, (&lab.call, lab.now));
        world.check(&lab.call);
    }
    let end = Input::HangUp(HangupCause::Requested);
    let effects = lab.call.handle(end.clone(), lab.now);
    world.see(&end, &effects, (&lab.call, lab.now));
    world.check(&lab.call);
    lab.call.next_leg().0 - FIRST.0
}

fn any_input(random: &mut SmallRng, lab: &Lab, foreign: &mut u64) -> Input {
    let leg = {
        let known: Vec<LegId> = lab.call.legs.iter().map(|leg| leg.id).collect();
        match known.len() {
            0 => FIRST,
            // Sometimes an earlier or a later leg.
            _ if random.random_ratio(1, 16) => LegId(random.random_range(1..8)),
            count => known[random.random_range(0..count)],
        }
    };
    let on = random.random_ratio(1, 2);
    match random.random_range(0..72) {
        0..6 => Input::Proceed,
        6..14 => Input::Answered(leg),
        14..17 => Input::Rang(leg),
        17..19 => Input::EarlyMedia(leg),
        19 => Input::Gone(leg, HangupCause::Normal.into()),
        20..22 => Input::Transfer { by: leg, to: Some(agent()) },
        22..24 => {
            let to = vec![agent().into(); random.random_range(0..4)];
            let if_fails = any_fate(random);
            Input::TransferTo {
                by: leg,
                to,
                ring: on.then_some(Duration::from_secs(3)),
                if_fails,
                back: on.then(agent),
            }
        }
        24..28 => Input::Allowed(leg),
        28 => Input::Denied(leg, HangupCause::Rejected.into()),
        29..31 => Input::Transfer { by: leg, to: None },
        31 => {
            *foreign += 1;
            Input::Fetched { heir: leg, leg: LegId(*foreign) }
        }
        32..34 => Input::Replace(leg),
        34 => Input::Lost(leg),
        35 => Input::Back(leg),
        36 if random.random_ratio(1, 4) => Input::Take(leg),
        37 if random.random_ratio(1, 4) => Input::MediaGone(leg),
        38 if random.random_ratio(1, 8) => Input::MediaDead(leg),
        40..44 => {
            let mode = any_mode(random, leg);
            let supervises = random.random_ratio(1, 3).then_some(mode);
            let role = if supervises.is_some() { LegRole::Supervisor } else { LegRole::Agent };
            let or_else = vec![customer().into(); random.random_range(0..3)];
            Input::Add { to: agent(), role, supervises, ring: None, or_else, if_fails: any_fate(random), notice: on }
        }
        44 if random.random_ratio(1, 4) => Input::Drop(leg),
        45..47 => Input::Hold { leg, on },
        47..49 => Input::Mute { leg, on },
        51 if random.random_ratio(1, 4) => Input::ProceedWithProgram,
        52 if random.random_ratio(1, 8) => Input::ProgramOver(leg),
        53..55 => Input::Park { by: leg, wait: Duration::from_secs(4), back: on.then(agent) },
        55 => Input::PickUp { to: agent(), ring: None },
        56 => Input::PickUpByCaller,
        57..59 => Input::Gain { leg, db: random.random_range(-21..22) },
        59..61 => {
            Input::Holds { leg, holding: [Holding::No, Holding::Sounding, Holding::Silent][random.random_range(0..3)] }
        }
        61 => Input::Record { leg: on.then_some(leg), heard: on },
        62..64 => Input::RecordPause { number: random.random_range(0..4), on },
        64 if random.random_ratio(1, 2) => Input::RecordStop { number: random.random_range(0..4) },
        66..69 => Input::Verdict { leg, followed: any_verdict(random) },
        69 if random.random_ratio(1, 4) => Input::EarlyVerdict(leg, HangupCause::Busy),
        49..51 => Input::Supervise { leg, mode: any_mode(random, leg) },
        _ => Input::Timeout,
    }
}

fn any_fate(random: &mut SmallRng) -> IfFails {
    match random.random_range(0..4) {
        0 => IfFails::HangUp,
        1 => IfFails::Program,
        _ => IfFails::Return,
    }
}

fn any_verdict(random: &mut SmallRng) -> Followed {
    match random.random_range(0..6) {
        0 => Followed::Program,
        1 => Followed::HangUp(HangupCause::NotHuman),
        2..4 => Followed::Again(Duration::from_secs(3)),
        _ => Followed::Connect,
    }
}

fn any_mode(random: &mut SmallRng, leg: LegId) -> SuperviseMode {
    match random.random_range(0..4) {
        0 => SuperviseMode::Listen,
        1 => SuperviseMode::Whisper(None),
        2 => SuperviseMode::Whisper(Some(leg)),
        _ => SuperviseMode::Barge,
    }
}

fn live_all(count: u64) {
    let mut busiest = 0;
    for seed in 0..count {
        match std::panic::catch_unwind(|| live(seed)) {
            Ok(legs) => busiest = busiest.max(legs),
            Err(panic) => {
                eprintln!("the sequence with seed {seed} breaks an invariant");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(busiest >= 6, "the inputs are too tame: at most {busiest} legs");
}

#[test]
fn a_call_keeps_its_invariants_under_random_inputs() {
    live_all(2_000);
}

#[test]
#[ignore = "soak: a hundred thousand calls"]
fn a_hundred_thousand_calls_keep_their_invariants() {
    live_all(100_000);
}

#[test]
fn a_captured_call_replays_to_the_same_effects_and_a_changed_line_is_found() {
    let start = Start { legs: FIRST, timing: TIMING, now: test_epoch() };
    let (mut call, _) = Call::incoming(Plan::Join(agent()), LegRole::Customer, start);
    let mut lines = Vec::new();
    let mut write = |at: Duration, happened| {
        let captured = Captured { call: "0190f3c4".into(), at: at.as_nanos() as u64, happened };
        serde_json::to_writer(&mut lines, &captured).unwrap();
        lines.push(b'\n');
    };
    write(Duration::ZERO, Happened::began(None, Plan::Join(agent()), LegRole::Customer, &start));
    let inputs = [
        Input::Proceed,
        Input::Answered(SECOND),
        Input::Transfer { by: SECOND, to: Some(customer()) },
        Input::Timeout,
        Input::Lost(FIRST),
        Input::Timeout,
    ];
    for (n, input) in (1..).zip(inputs) {
        let at = 5 * n * Duration::from_secs(1);
        let effects = call.handle(input.clone(), start.now + at);
        write(at, Happened::Took { input, effects });
    }
    let replay = Replay::of(&lines[..], test_epoch()).unwrap();
    assert_eq!((replay.calls, replay.inputs, &replay.difference), (1, 6, &None), "{replay:?}");
    assert!(replay.effects > 6, "{replay:?}");
    let text = String::from_utf8(lines).unwrap();
    let changed = text.replacen("\"lost\":1}", "\"lost\":2}", 1);
    assert_ne!(changed, text);
    let replay = Replay::of(changed.as_bytes(), test_epoch()).unwrap();
    assert_eq!(replay.difference.map(|(line, ..)| line), Some(6));
    let mut random = SmallRng::seed_from_u64(1);
    for _ in 0..2_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        // A mutated capture is either refused or replayed.
        let _ = Replay::of(&bytes[..], test_epoch());
    }
    for (broken, why) in [("{}\n", "line 1: expected"), (&text.replace("\"version\":1", "\"version\":9"), "version 9")]
    {
        let error = Replay::of(broken.as_bytes(), test_epoch()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
