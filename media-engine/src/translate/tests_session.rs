//! Properties of [`Session`] under random inputs.
//!
//! ```text
//! seed ─▶ world: both sides talk and type, providers answer late, twice or never, sides are set aside ─▶ Session
//!                                   effects ─▶ Ledger: what was recognised, translated and played, and in which order
//! ```
//!
//! A failure prints its seed. Time is virtual.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::exchange::{ClauseId, Voice};
use super::tests_conversation::Random;
use super::*;
use crate::units::test_epoch;

const FRAME: Duration = Duration::from_millis(20);
const WORDS: [&str; 12] = ["we", "met", "the", "owner", "of", "a", "house", "and", "paid", "15", "euros", "yesterday"];

/// What effects said, and the rules that they must keep.
#[derive(Default)]
struct Ledger {
    seed: u64,
    /// Whether a side may want to hear voices.
    voice: bool,
    open: [Option<u64>; 2],
    /// Speaker of every segment that was begun or typed.
    speakers: BTreeMap<u64, Speaker>,
    /// Clauses that were sent to the translator, with their speaker and current revision.
    clauses: BTreeMap<ClauseId, (Speaker, u32)>,
    spoken: BTreeSet<(ClauseId, u32)>,
    played: BTreeSet<(Speaker, ClauseId)>,
    last_played: [Option<ClauseId>; 2],
    playing: [Option<ClauseId>; 2],
    /// What each side wants to hear.
    hears: [Hears; 2],
    latest: BTreeMap<u64, TranslationEvent>,
}

impl Ledger {
    fn drain(&mut self, session: &mut Session, presence: [Presence; 2]) {
        while let Some(effect) = session.poll_effect() {
            self.take(effect, presence);
        }
    }

    fn take(&mut self, effect: Effect, presence: [Presence; 2]) {
        let seed = self.seed;
        match effect {
            Effect::Begin(side, number) => {
                assert!(presence[side as usize].is_heard, "seed {seed}: a side that no one hears is recognised");
                assert_eq!(self.open[side as usize].replace(number), None, "seed {seed}: two segments are open");
                assert!(self.speakers.insert(number, side).is_none(), "seed {seed}: a number was used twice");
            }
            Effect::Audio(side, samples) => {
                assert!(self.open[side as usize].is_some() && !samples.is_empty(), "seed {seed}: audio of no segment");
            }
            Effect::End(side, number) => {
                assert_eq!(self.open[side as usize].take(), Some(number), "seed {seed}: another segment ends");
            }
            Effect::Translate(request) => {
                let side = Speaker::BOTH[request.speaker.0 as usize];
                self.clauses.insert(request.clause, (side, request.revision));
            }
            Effect::Speak { speaker, clause, revision, text, .. } => {
                // Typed text in the listener's language was not sent to the translator.
                let sent = *self.clauses.entry(clause).or_insert((speaker, revision));
                assert!(!text.is_empty() && sent == (speaker, revision), "seed {seed}: {clause:?}");
                assert!(self.spoken.insert((clause, revision)), "seed {seed}: {clause:?} is spoken twice");
            }
            Effect::Play(listener, clause, speed) => {
                assert!(presence[listener as usize].is_spoken_to, "seed {seed}: {listener:?} must not hear {clause:?}");
                assert!(self.hears[listener as usize] != Hears::Original, "seed {seed}: {listener:?} wants no voice");
                assert_eq!(self.clauses[&clause].0, listener.other(), "seed {seed}: {clause:?}");
                assert!(self.played.insert((listener, clause)), "seed {seed}: {clause:?} is played twice");
                assert!((1.0..=1.25).contains(&speed), "seed {seed}: {speed}");
                let before = self.last_played[listener as usize].replace(clause);
                assert!(before < Some(clause), "seed {seed}: {clause:?} is played after {before:?}");
                assert_eq!(self.playing[listener as usize].replace(clause), None, "seed {seed}: two voices at once");
            }
            Effect::Stop(listener, clause) => {
                assert_eq!(self.playing[listener as usize].take(), Some(clause), "seed {seed}: it was not playing");
            }
            Effect::Publish(event) => {
                if event.clauses.is_empty() && event.began_ms_ago.is_none() {
                    self.speakers
                        .insert(event.segment, if event.leg == "agent" { Speaker::Agent } else { Speaker::Customer });
                }
                let before = self.latest.get(&event.segment);
                let revision = before.map_or(1, |before| before.revision + 1);
                assert_eq!(event.revision, revision, "seed {seed}: {event:?}");
                if event.is_passing {
                    assert_eq!(
                        lasting(&event),
                        before.map_or_else(Default::default, lasting),
                        "seed {seed}: {event:?}"
                    );
                }
                if let Some(before) = before {
                    let languages =
                        |event: &TranslationEvent| (event.source_language.clone(), event.target_language.clone());
                    assert_eq!(languages(before), languages(&event), "seed {seed}: a segment changed its languages");
                    assert!(event.is_final || !before.is_final, "seed {seed}: a final text became partial: {event:?}");
                    assert!(event.clauses.len() >= before.clauses.len(), "seed {seed}: a clause was taken back");
                }
                self.latest.insert(event.segment, event);
            }
            Effect::Recognise(side) => {
                assert_eq!(self.open[side as usize], None, "seed {seed}: the language changes within a segment");
            }
            Effect::Discard(_) | Effect::Echo(..) | Effect::Listeners(_) => {}
        }
    }
}

/// Returns the part of a state that must be stored: all but words that may still change, and lags.
fn lasting(event: &TranslationEvent) -> (bool, u32, Vec<ClauseEvent>) {
    let clauses = event.clauses.iter().map(|clause| ClauseEvent { lag_ms: LagMs::default(), ..clause.clone() });
    (event.is_final, event.corrections, clauses.collect())
}

/// Runs one random call.
fn run(seed: u64) {
    let mut random = Random(seed);
    let (translate, voice) = (!random.one_in(8), !random.one_in(6));
    let lengths = random.one_in(3).then(super::clauses::Lengths::of_phrases);
    let mut now = test_epoch();
    let hears = Speaker::BOTH.map(|_| if voice { Hears::Ducked } else { Hears::Original });
    let [customer, agent] = hears;
    let listeners = [Listener::new("en", customer), Listener::new("es", agent)];
    let params = SessionParams {
        listeners,
        translate,
        budget: super::schedule::BUDGET,
        lengths,
        glossary: Default::default(),
        epoch: now,
    };
    let mut session = Session::new(params);
    let mut presence = [Presence::JOINED; 2];
    session.set_presence(presence, now);
    let mut ledger = Ledger { seed, voice, hears, ..Ledger::default() };
    let mut talks = [false; 2];
    for _ in 0..600 {
        now += FRAME;
        for side in Speaker::BOTH {
            if random.one_in(40) {
                talks[side as usize] ^= true;
            }
            session.handle_frame(side, &[1; 160], talks[side as usize], now);
        }
        ledger.drain(&mut session, presence);
        act(&mut random, &mut session, &mut ledger, &mut presence, now);
        ledger.drain(&mut session, presence);
        session.handle_timeout(now);
        ledger.drain(&mut session, presence);
    }
    session.finish(now);
    session.close(now);
    ledger.drain(&mut session, presence);
    assert_eq!(ledger.open, [None; 2], "seed {seed}: the call has ended");
    let open = ledger.latest.values().find(|event| !event.is_final && !event.text.is_empty());
    assert!(open.is_none(), "seed {seed}: a shown segment has no end: {open:?}");
    let mut clauses = ledger.latest.values().rev().take(8).flat_map(|event| &event.clauses);
    let pending = clauses.find(|clause| clause.heard == ClauseHeard::Pending);
    assert!(pending.is_none(), "seed {seed}: how a clause was heard is not known: {pending:?}");
    assert!(translate || ledger.clauses.is_empty(), "seed {seed}");
    assert!(voice || ledger.spoken.is_empty(), "seed {seed}");
}

/// One thing that a provider, a listener or the call does.
fn act(random: &mut Random, session: &mut Session, ledger: &mut Ledger, presence: &mut [Presence; 2], now: Instant) {
    let segment = ledger.speakers.keys().rev().nth(random.below(3) as usize).copied().unwrap_or(1);
    let clause = ledger.clauses.keys().rev().nth(random.below(4) as usize).copied().unwrap_or(ClauseId(0));
    let revision = ledger.clauses.get(&clause).map_or(0, |(_, revision)| *revision);
    let text = |random: &mut Random| -> String {
        let count = random.below(WORDS.len() as u64 + 1) as usize;
        // Mostly the beginning of the same sentence, so that hypotheses agree.
        let shift = if random.one_in(5) { random.below(3) as usize } else { 0 };
        WORDS.iter().cycle().skip(shift).take(count).copied().collect::<Vec<_>>().join(" ")
    };
    match random.below(24) {
        0..=5 => session.handle_partial(segment, &text(random), now),
        6 => session.handle_final(segment, &text(random), random.one_in(6), now),
        7 if random.one_in(4) => session.handle_missed(segment, now),
        8 if random.one_in(8) => session.handle_recogniser_gone(Speaker::BOTH[random.below(2) as usize], now),
        9..=12 => {
            let answer = (!random.one_in(8)).then_some("cuesta 50 euros");
            session.handle_translation(clause, revision, answer, now);
        }
        13..=15 => {
            let progress = if random.one_in(6) { Voice::Failed } else { Voice::Begun };
            session.handle_voice(clause, revision, progress, now);
        }
        16..=19 => {
            let listener = Speaker::BOTH[random.below(2) as usize];
            if let Some(clause) = ledger.playing[listener as usize].take() {
                session.handle_play_started(clause, now, now);
                session.handle_played(listener, clause, now);
            }
        }
        20 if random.one_in(3) => session.handle_typed(Speaker::BOTH[random.below(2) as usize], "cuesta 15 euros", now),
        21 if random.one_in(10) => {
            let side = &mut presence[random.below(2) as usize];
            *side = Presence { is_heard: !random.one_in(3), is_spoken_to: !random.one_in(3) };
            session.set_presence(*presence, now);
        }
        23 if random.one_in(8) => {
            let side = Speaker::BOTH[random.below(2) as usize];
            let mut patches = [ListenerPatch::default(), ListenerPatch::default()];
            let patch = &mut patches[side as usize];
            patch.language = random.one_in(2).then(|| ["en", "es", "de"][random.below(3) as usize].to_owned());
            // A call without voices stays one.
            patch.hears = (ledger.voice && random.one_in(2))
                .then(|| [Hears::Original, Hears::Ducked, Hears::Translation][random.below(3) as usize]);
            ledger.hears[side as usize] = patch.hears.unwrap_or(ledger.hears[side as usize]);
            session.set_listening(patches, now);
        }
        22 if random.one_in(30) => session.end_speech(Speaker::BOTH[random.below(2) as usize], now),
        _ => {}
    }
}

#[test]
fn random_calls_recognise_translate_and_play_only_what_they_may() {
    let seeds = if std::env::var_os("TANDEM_SOAK").is_some() { 20_000 } else { 400 };
    for seed in 0..seeds {
        run(seed);
    }
}
