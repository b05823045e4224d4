//! Properties of [`Conversation`] under random inputs, and its behaviour in named situations.
//!
//! ```text
//! seed ─▶ world: parties talk, providers answer late, twice, never or for old revisions, topology changes ─▶ Conversation
//!                                   effects ─▶ Ledger: what each listener may hear, was given, and in which order
//! ```
//!
//! A failure prints its seed. Time is virtual.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::commit::{Rule, Word};
use super::conversation::{CLAUSES_MAX, Conversation};
use super::exchange::{ClauseId, Effect, Hypothesis, PartyId, Policy, Request, Translation, Voice};
use super::schedule::Level;

const ANNA: PartyId = PartyId(0);
const BEN: PartyId = PartyId(1);
const CLEO: PartyId = PartyId(2);
const DORA: PartyId = PartyId(3);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Generator of numbers from a seed (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit.max(1)
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What one listener was given of one clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Playing,
    Played,
    Shown,
    Lost,
    Stopped,
    Dropped,
}

/// What effects said, and the rules that they must keep.
#[derive(Default)]
struct Ledger {
    seed: u64,
    requests: BTreeMap<ClauseId, Request>,
    /// Parties that heard the speaker when the clause was cut.
    meant_for: BTreeMap<ClauseId, BTreeSet<PartyId>>,
    given: BTreeMap<(PartyId, ClauseId), Given>,
    /// Listening in which each clause was cut.
    cut_in: BTreeMap<ClauseId, u32>,
    voiced: BTreeSet<(ClauseId, u32)>,
    listening: BTreeMap<PartyId, u32>,
    hearing: Vec<(PartyId, PartyId)>,
    last_played: BTreeMap<PartyId, ClauseId>,
}

impl Ledger {
    fn take(&mut self, conversation: &mut Conversation) {
        while let Some(effect) = conversation.poll_effect() {
            self.note(effect);
        }
    }

    fn note(&mut self, effect: Effect) {
        let seed = self.seed;
        match effect {
            Effect::Listen(party, listening) => drop(self.listening.insert(party, listening)),
            Effect::Unlisten(party) => drop(self.listening.remove(&party)),
            Effect::Translate(request) => {
                assert!(!request.words.is_empty(), "seed {seed}: an empty clause");
                let listening = self.listening.get(&request.speaker).copied();
                let listening = listening.unwrap_or_else(|| panic!("seed {seed}: nobody hears {:?}", request.speaker));
                self.cut_in.entry(request.clause).or_insert(listening);
                let heard = self.hearing.iter().filter(|(speaker, _)| *speaker == request.speaker);
                let listeners = heard.map(|(_, listener)| *listener).collect();
                self.meant_for.entry(request.clause).or_insert(listeners);
                let before = self.requests.insert(request.clause, request.clone());
                let revision = before.map(|before| before.revision + 1).unwrap_or_default();
                assert_eq!(request.revision, revision, "seed {seed}: revisions are counted");
            }
            Effect::Play { listener, clause, speed, .. } => {
                assert!((1.0..=1.25).contains(&speed), "seed {seed}: speed {speed}");
                let revision = self.requests[&clause].revision;
                assert!(self.voiced.contains(&(clause, revision)), "seed {seed}: {clause:?} plays without a voice");
                let plays = self.given.iter().any(|((other, _), given)| *other == listener && *given == Given::Playing);
                assert!(!plays, "seed {seed}: {listener:?} hears two voices");
                let last = self.last_played.insert(listener, clause);
                assert!(last.is_none_or(|last| last < clause), "seed {seed}: {clause:?} plays after {last:?}");
                self.give(listener, clause, Given::Playing);
            }
            Effect::Dropped(listener, clause) => {
                let speaker = self.requests[&clause].speaker;
                assert!(
                    !self.hearing.contains(&(speaker, listener)),
                    "seed {seed}: {clause:?} is dropped without need"
                );
                let before = self.given.insert((listener, clause), Given::Dropped);
                assert_eq!(before, None, "seed {seed}: {clause:?} is dropped after it was given");
            }
            Effect::Show(listener, clause) => self.give(listener, clause, Given::Shown),
            Effect::Lost(listener, clause) => self.give(listener, clause, Given::Lost),
            Effect::Stop(listener, clause) => {
                let before = self.given.insert((listener, clause), Given::Stopped);
                assert_eq!(before, Some(Given::Playing), "seed {seed}: stopped without playing");
            }
            _ => {}
        }
    }

    fn give(&mut self, listener: PartyId, clause: ClauseId, given: Given) {
        let seed = self.seed;
        assert!(self.meant_for[&clause].contains(&listener), "seed {seed}: {clause:?} is not for {listener:?}");
        let speaker = self.requests[&clause].speaker;
        assert!(self.hearing.contains(&(speaker, listener)), "seed {seed}: {listener:?} must not hear {speaker:?}");
        let before = self.given.insert((listener, clause), given);
        assert_eq!(before, None, "seed {seed}: {clause:?} twice for {listener:?}");
    }
}

/// Speaker of a random conversation: what it says in a turn, and how far the recogniser shows it.
#[derive(Default)]
struct Talk {
    turn: u32,
    words: Vec<String>,
    shown: usize,
    /// Whether the audience has not changed since the turn began.
    is_whole: bool,
    /// Listening in which the turn began.
    listening: u32,
}

/// Turn of which the final hypothesis was taken.
struct Ended {
    speaker: PartyId,
    listening: u32,
    turn: u32,
    words: Vec<String>,
    is_whole: bool,
}

struct World {
    random: Random,
    conversation: Conversation,
    ledger: Ledger,
    talks: BTreeMap<PartyId, Talk>,
    ended: Vec<Ended>,
    now: Duration,
    said: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            random: Random(seed),
            conversation: Conversation::new(Policy::default()),
            ledger: Ledger { seed, ..Ledger::default() },
            talks: BTreeMap::new(),
            ended: Vec::new(),
            now: Duration::ZERO,
            said: 0,
        };
        for (party, language, hears_in) in
            [(ANNA, "en", Some("en")), (BEN, "es", Some("es")), (CLEO, "fr", Some("fr")), (DORA, "en", Some("es"))]
        {
            world.conversation.join(party, language, hears_in);
            world.talks.insert(party, Talk::default());
        }
        world.hear(&all_pairs());
        world
    }

    fn hear(&mut self, pairs: &[(PartyId, PartyId)]) {
        // Effects of the change itself are judged by the new topology.
        self.take();
        self.ledger.hearing = pairs.to_vec();
        self.talks.values_mut().for_each(|talk| talk.is_whole = false);
        self.conversation.set_hearing(pairs, self.now);
        self.take();
    }

    fn take(&mut self) {
        self.ledger.take(&mut self.conversation);
    }

    fn step(&mut self) {
        self.now += ms(self.random.below(300));
        match self.random.below(20) {
            0..=8 => self.talk(),
            9..=12 => self.answer(),
            13 | 14 => self.speak(),
            15..=17 => self.play(),
            18 => self.conversation.handle_timeout(self.now),
            _ if self.random.one_in(4) => {
                let pairs: Vec<_> = all_pairs().into_iter().filter(|_| !self.random.one_in(3)).collect();
                self.hear(&pairs);
            }
            _ => self.conversation.on_activity(PartyId(self.random.below(5) as u32), 0.1, self.now),
        }
        self.take();
        assert!(self.conversation.clauses() <= CLAUSES_MAX);
        assert!(self.conversation.poll_timeout(self.now).is_none_or(|at| at > self.now));
    }

    /// Lets a party say and its recogniser show more, sometimes wrongly at first.
    fn talk(&mut self) {
        let party = PartyId(self.random.below(4) as u32);
        let listening = self.ledger.listening.get(&party).copied();
        let Some(talk) = self.talks.get_mut(&party) else { return };
        if talk.words.is_empty() || Some(talk.listening) != listening {
            talk.turn += 1;
            talk.listening = listening.unwrap_or_default();
            talk.words = (0..3 + self.random.below(25)).map(|n| format!("w{}x{n}", self.said)).collect();
            (talk.shown, talk.is_whole) = (0, listening.is_some());
            self.said += 1;
        }
        talk.shown = (talk.shown + 1 + self.random.below(3) as usize).min(talk.words.len());
        let is_final = talk.shown == talk.words.len();
        let mut words: Vec<Word> = talk.words[..talk.shown].iter().map(Word::new).collect();
        if !is_final && self.random.one_in(5) {
            words.last_mut().into_iter().for_each(|word| word.text = "wrong".into());
        }
        let settled = if self.random.one_in(6) { words.len().saturating_sub(1) } else { 0 };
        let hypothesis = Hypothesis { listening: talk.listening, turn: talk.turn, words, settled, is_final };
        self.conversation.on_hypothesis(party, &hypothesis, self.now);
        // A recogniser that repeats itself or comes late changes nothing.
        if self.random.one_in(8) {
            let old = Hypothesis { turn: hypothesis.turn.saturating_sub(1), ..hypothesis.clone() };
            self.conversation.on_hypothesis(party, &old, self.now);
        }
        if is_final {
            let words = std::mem::take(&mut talk.words);
            let Talk { turn, listening, is_whole, .. } = *talk;
            self.ended.push(Ended { speaker: party, listening, turn, words, is_whole });
        }
    }

    fn any_request(&mut self) -> Option<Request> {
        let skip = self.random.below(self.ledger.requests.len().min(12) as u64) as usize;
        self.ledger.requests.values().nth_back(skip).cloned()
    }

    /// Answers a translation: in time, late, again, for an old revision or not at all.
    fn answer(&mut self) {
        let Some(request) = self.any_request() else { return };
        let progress = match self.random.below(8) {
            0 => Translation::Failed,
            1..=3 => Translation::Begun,
            _ => Translation::Done(request.text()),
        };
        let revision = if self.random.one_in(6) { request.revision.wrapping_sub(1) } else { request.revision };
        self.conversation.on_translation(request.clause, revision, progress, self.now);
    }

    fn speak(&mut self) {
        let Some(request) = self.any_request() else { return };
        let progress = if self.random.one_in(8) { Voice::Failed } else { Voice::Begun };
        if progress == Voice::Begun {
            self.ledger.voiced.insert((request.clause, request.revision));
        }
        self.conversation.on_voice(request.clause, request.revision, progress, self.now);
    }

    fn play(&mut self) {
        let playing = self.ledger.given.iter().filter(|(_, given)| **given == Given::Playing);
        let playing: Vec<(PartyId, ClauseId)> = playing.map(|(key, _)| *key).collect();
        let Some((listener, clause)) = playing.get(self.random.below(4) as usize).copied() else { return };
        self.ledger.given.insert((listener, clause), Given::Played);
        self.conversation.on_played(listener, clause, self.now);
    }

    /// Checks the words that each language got of the turns: in order and none twice, and all of them when the audience was the same
    /// throughout.
    fn check_words(&self) {
        let seed = self.ledger.seed;
        let mut by_turn: BTreeMap<(PartyId, u32, u32, &str), Vec<&String>> = BTreeMap::new();
        for Request { clause, speaker, turn, to, words, .. } in self.ledger.requests.values() {
            by_turn.entry((*speaker, self.ledger.cut_in[clause], *turn, to)).or_default().extend(words);
        }
        for Ended { speaker, listening, turn, words, is_whole } in &self.ended {
            let begin = (*speaker, *listening, *turn, "");
            let end = (*speaker, *listening, *turn + 1, "");
            for ((.., language), sent) in by_turn.range(begin..end) {
                let places = sent.iter().filter_map(|sent| words.iter().position(|word| word == *sent));
                let places: Vec<usize> = places.collect();
                assert!(places.is_sorted_by(|a, b| a < b), "seed {seed}: order in {language}: {sent:?} of {words:?}");
                let unknown = sent.iter().filter(|sent| !words.contains(sent) && **sent != "wrong").count();
                assert_eq!(unknown, 0, "seed {seed}: {language} got {sent:?} of {words:?}");
                if *is_whole {
                    assert_eq!(sent.len(), words.len(), "seed {seed}: {language} got {sent:?} of {words:?}");
                }
            }
        }
    }
}

fn all_pairs() -> Vec<(PartyId, PartyId)> {
    let parties = [ANNA, BEN, CLEO, DORA];
    parties.into_iter().flat_map(|a| parties.into_iter().map(move |b| (a, b))).filter(|(a, b)| a != b).collect()
}

#[test]
fn no_clause_is_lost_doubled_reordered_or_given_to_whom_must_not_hear_it() {
    for seed in 0..25 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.check_words();
        assert!(world.ledger.requests.len() > 20, "seed {seed}: little was said");
    }
}

#[test]
fn every_clause_of_an_unchanged_audience_is_given_to_each_listener_in_the_end() {
    for seed in 100..110 {
        let mut world = World::new(seed);
        for _ in 0..250 {
            world.now += ms(world.random.below(200));
            world.talk();
            world.take();
        }
        // All answers come, in any order, and everything is played.
        for round in 0..1_500 {
            world.now += ms(100);
            let request = world.ledger.requests.values().nth(round % world.ledger.requests.len()).cloned();
            let Some(request) = request else { continue };
            world.ledger.voiced.insert((request.clause, request.revision));
            let done = Translation::Done(request.text());
            world.conversation.on_translation(request.clause, request.revision, done, world.now);
            world.conversation.on_voice(request.clause, request.revision, Voice::Begun, world.now);
            world.take();
            world.play();
            world.take();
        }
        world.check_words();
        for ended in &world.ended {
            let sent = world.ledger.requests.values().filter(|of| (of.speaker, of.turn) == (ended.speaker, ended.turn));
            assert!(sent.count() > 0, "seed {seed}: a turn of {:?} is lost", ended.speaker);
        }
        for request in world.ledger.requests.values() {
            for listener in [ANNA, BEN, CLEO, DORA].into_iter().filter(|listener| *listener != request.speaker) {
                let wants = match listener {
                    ANNA => "en",
                    CLEO => "fr",
                    _ => "es",
                };
                let given = world.ledger.given.get(&(listener, request.clause));
                assert_eq!(given.is_some(), wants == request.to, "seed {seed}: {:?} for {listener:?}", request.clause);
            }
        }
    }
}

/// Two parties that hear each other: Anna speaks English, Ben Spanish. Words are committed when two hypotheses agree.
fn pair() -> (Conversation, Ledger) {
    let mut conversation = Conversation::new(Policy { rule: Rule::Agreement(2), ..Policy::default() });
    conversation.join(ANNA, "en", Some("en"));
    conversation.join(BEN, "es", Some("es"));
    conversation.set_hearing(&[(ANNA, BEN), (BEN, ANNA)], Duration::ZERO);
    let mut ledger = Ledger { hearing: vec![(ANNA, BEN), (BEN, ANNA)], ..Ledger::default() };
    ledger.take(&mut conversation);
    (conversation, ledger)
}

fn hypothesis(turn: u32, text: &str, is_final: bool) -> Hypothesis {
    let words = text.split_whitespace().map(Word::new).collect();
    Hypothesis { listening: 1, turn, words, settled: 0, is_final }
}

fn effects(conversation: &mut Conversation) -> Vec<Effect> {
    std::iter::from_fn(|| conversation.poll_effect()).collect()
}

fn requests(effects: &[Effect]) -> Vec<(u64, u32, String)> {
    let of = |effect: &Effect| match effect {
        Effect::Translate(request) => Some((request.clause.0, request.revision, request.text())),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

#[test]
fn a_clause_flows_from_agreement_to_play_with_its_lag() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we met him", false), ms(1_000));
    assert_eq!(effects(&mut conversation), []);
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we met him, and", false), ms(1_200));
    assert_eq!(requests(&effects(&mut conversation)), [(0, 0, "we met him,".into())]);
    conversation.on_translation(ClauseId(0), 0, Translation::Begun, ms(1_300));
    assert_eq!(effects(&mut conversation), [Effect::Speak { clause: ClauseId(0), revision: 0 }]);
    conversation.on_voice(ClauseId(0), 0, Voice::Begun, ms(1_400));
    let played = effects(&mut conversation);
    let [Effect::Play { listener: BEN, speed: 1.0, stamps, .. }] = played[..] else { panic!("{played:?}") };
    assert_eq!(stamps.span(), Some(ms(850)), "from 450 ms before the word was shown");
    conversation.on_translation(ClauseId(0), 0, Translation::Done("lo encontramos,".into()), ms(1_800));
    conversation.on_played(BEN, ClauseId(0), ms(2_500));
    assert_eq!(conversation.clauses(), 0);
    assert_eq!(conversation.spans().count(), 1);
}

#[test]
fn a_correction_before_any_answer_translates_the_clause_anew_and_old_answers_die() {
    let (mut conversation, _) = pair();
    for (at, text) in [(1_000, "we met him"), (1_200, "we met him"), (1_300, "we let him")] {
        conversation.on_hypothesis(ANNA, &hypothesis(1, text, false), ms(at));
    }
    let all = effects(&mut conversation);
    assert_eq!(requests(&all), [(0, 0, "we met him".into()), (0, 1, "we let him".into())]);
    assert!(all.iter().any(|effect| matches!(effect, Effect::Corrected(ANNA, 1, correction) if correction.at == 1)));
    conversation.on_translation(ClauseId(0), 0, Translation::Begun, ms(1_400));
    assert_eq!(effects(&mut conversation), [], "the answer is for the old revision");
    assert_eq!(conversation.stale(), 1);
    conversation.on_translation(ClauseId(0), 1, Translation::Begun, ms(1_500));
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we bet him", false), ms(1_600));
    assert_eq!(requests(&effects(&mut conversation)), [], "an answer has come: the text is corrected only");
    assert_eq!(conversation.counts(ANNA).contradicted, 1);
}

#[test]
fn what_a_party_said_while_aside_is_not_carried_over() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "the number is", false), ms(1_000));
    conversation.set_hearing(&[], ms(1_100));
    assert!(effects(&mut conversation).contains(&Effect::Unlisten(ANNA)));
    conversation.on_hypothesis(ANNA, &hypothesis(1, "the number is secret", true), ms(1_200));
    conversation.set_hearing(&[(ANNA, BEN), (BEN, ANNA)], ms(1_300));
    assert!(effects(&mut conversation).contains(&Effect::Listen(ANNA, 2)));
    conversation.on_hypothesis(ANNA, &hypothesis(2, "the number is secret", true), ms(1_400));
    assert_eq!(effects(&mut conversation), [], "a late hypothesis of the old listening");
    let fresh = Hypothesis { listening: 2, ..hypothesis(1, "hello there", true) };
    conversation.on_hypothesis(ANNA, &fresh, ms(2_000));
    assert_eq!(requests(&effects(&mut conversation)), [(0, 0, "hello there".into())]);
}

#[test]
fn a_party_put_aside_is_spoken_to_no_more() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we met him, but she left early", true), ms(1_000));
    for clause in [0, 1] {
        conversation.on_translation(ClauseId(clause), 0, Translation::Begun, ms(1_200));
        conversation.on_voice(ClauseId(clause), 0, Voice::Begun, ms(1_300));
    }
    effects(&mut conversation);
    conversation.set_hearing(&[(BEN, ANNA)], ms(1_400));
    let all = effects(&mut conversation);
    assert!(all.contains(&Effect::Stop(BEN, ClauseId(0))), "{all:?}");
    assert!(all.contains(&Effect::Dropped(BEN, ClauseId(1))), "{all:?}");
    conversation.on_played(BEN, ClauseId(0), ms(2_000));
    assert_eq!(effects(&mut conversation), [], "the second clause is not played");
    for clause in [0, 1] {
        conversation.on_translation(ClauseId(clause), 0, Translation::Done("traducido".into()), ms(2_100));
    }
    let all = effects(&mut conversation);
    let is_text = |effect: &Effect| matches!(effect, Effect::Translated(..));
    assert!(all.len() == 2 && all.iter().all(is_text), "the translations are completed as text: {all:?}");
    assert_eq!(conversation.clauses(), 0);
}

#[test]
fn a_clause_is_translated_once_for_each_language_that_somebody_listens_to() {
    let mut conversation = Conversation::new(Policy::default());
    for (party, hears_in) in [(ANNA, Some("en")), (BEN, Some("es")), (CLEO, Some("es")), (DORA, Some("fr"))] {
        conversation.join(party, "en", hears_in);
    }
    conversation.set_hearing(&[(ANNA, BEN), (ANNA, CLEO), (ANNA, DORA)], Duration::ZERO);
    conversation.on_hypothesis(ANNA, &hypothesis(1, "good morning", true), ms(1_000));
    let all = effects(&mut conversation);
    assert_eq!(requests(&all).len(), 2);
    conversation.on_translation(ClauseId(0), 0, Translation::Begun, ms(1_100));
    conversation.on_voice(ClauseId(0), 0, Voice::Begun, ms(1_200));
    let played = effects(&mut conversation);
    let speaks = played.iter().filter(|effect| matches!(effect, Effect::Speak { .. })).count();
    let plays = played.iter().filter(|effect| matches!(effect, Effect::Play { listener: BEN | CLEO, .. })).count();
    assert_eq!((speaks, plays), (1, 2), "{played:?}");
}

#[test]
fn speech_in_the_language_of_the_listener_is_not_translated() {
    let mut conversation = Conversation::new(Policy::default());
    conversation.join(ANNA, "en-GB", Some("en"));
    conversation.join(BEN, "en-US", Some("en"));
    conversation.set_hearing(&[(ANNA, BEN)], Duration::ZERO);
    conversation.on_hypothesis(ANNA, &hypothesis(1, "good morning", true), ms(1_000));
    assert_eq!(requests(&effects(&mut conversation)), []);
}

#[test]
fn a_back_channel_is_not_translated_but_its_words_in_a_sentence_are() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "Mhm.", true), ms(1_000));
    assert_eq!(effects(&mut conversation), [Effect::BackChannel(ANNA, 1, "Mhm.".into())]);
    conversation.on_hypothesis(ANNA, &hypothesis(2, "Mhm", false), ms(2_000));
    conversation.on_hypothesis(ANNA, &hypothesis(2, "Mhm", false), ms(2_200));
    assert_eq!(effects(&mut conversation), []);
    conversation.on_hypothesis(ANNA, &hypothesis(2, "Mhm, I see him", true), ms(2_400));
    assert_eq!(requests(&effects(&mut conversation)), [(0, 0, "Mhm, I see him".into())]);
}

#[test]
fn a_turn_without_final_is_cut_whole_by_the_next_one_and_by_a_lost_recogniser() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we met", false), ms(1_000));
    conversation.on_hypothesis(ANNA, &hypothesis(2, "she left", false), ms(2_000));
    assert_eq!(requests(&effects(&mut conversation)), [(0, 0, "we met".into())]);
    conversation.on_recogniser_lost(ANNA, ms(2_100));
    let all = effects(&mut conversation);
    assert_eq!(requests(&all), [(1, 0, "she left".into())]);
    assert!(all.contains(&Effect::Listen(ANNA, 2)));
}

#[test]
fn silence_ends_a_turn_and_its_words_when_no_final_comes() {
    let (mut conversation, _) = pair();
    let mut now = ms(0);
    let mut pass = |conversation: &mut Conversation, ms: u64, probability: f32| {
        for _ in 0..ms / 20 {
            now += Duration::from_millis(20);
            conversation.on_activity(ANNA, probability, now);
        }
        now
    };
    let at = pass(&mut conversation, 1_000, 0.9);
    conversation.on_hypothesis(ANNA, &hypothesis(1, "well", false), at);
    pass(&mut conversation, 800, 0.1);
    assert_eq!(effects(&mut conversation), [Effect::EndTurn(ANNA, 1)]);
    let due = conversation.poll_timeout(ms(1_800)).expect("the final is awaited");
    conversation.handle_timeout(due.max(ms(4_000)));
    assert_eq!(requests(&effects(&mut conversation)), [(0, 0, "well".into())]);
}

#[test]
fn providers_that_fail_bring_the_original_back() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(
        ANNA,
        &hypothesis(1, "we met him, but she left, and they paid, so he called her back", true),
        ms(1_000),
    );
    for clause in 0..4 {
        conversation.on_translation(ClauseId(clause), 0, Translation::Failed, ms(1_200));
    }
    let all = effects(&mut conversation);
    assert_eq!(all.iter().filter(|effect| matches!(effect, Effect::Lost(BEN, _))).count(), 4);
    assert!(all.contains(&Effect::Level(BEN, Level::Original)));
    assert_eq!(conversation.clauses(), 0);
}

#[test]
fn a_translator_that_never_answers_fills_no_memory() {
    let (mut conversation, _) = pair();
    for turn in 1..1_000 {
        conversation.on_hypothesis(ANNA, &hypothesis(turn, "we met him there", true), ms(u64::from(turn) * 10));
        effects(&mut conversation);
    }
    assert!(conversation.clauses() <= CLAUSES_MAX);
}

#[test]
fn a_listener_who_speaks_stops_no_translation() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we met him", true), ms(1_000));
    conversation.on_translation(ClauseId(0), 0, Translation::Begun, ms(1_200));
    conversation.on_voice(ClauseId(0), 0, Voice::Begun, ms(1_300));
    effects(&mut conversation);
    for n in 1..50 {
        conversation.on_activity(BEN, 0.9, ms(1_300 + n * 20));
    }
    conversation.on_hypothesis(BEN, &hypothesis(1, "no no espera un momento", true), ms(2_400));
    let all = effects(&mut conversation);
    assert!(all.iter().all(|effect| matches!(effect, Effect::Translate(_))), "{all:?}");
}

#[test]
fn a_clause_that_is_later_than_the_budget_is_shown_and_its_late_voice_is_not_played() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we met him", true), ms(1_000));
    effects(&mut conversation);
    let mut now = ms(1_000);
    while let Some(at) = conversation.poll_timeout(now) {
        now = at;
        conversation.handle_timeout(now);
    }
    assert_eq!(effects(&mut conversation), [Effect::Show(BEN, ClauseId(0))]);
    assert!(now <= ms(1_000 + 3_000), "{now:?}");
    conversation.on_translation(ClauseId(0), 0, Translation::Done("lo encontramos".into()), ms(5_000));
    conversation.on_voice(ClauseId(0), 0, Voice::Begun, ms(5_500));
    let text = "lo encontramos".to_owned();
    assert_eq!(effects(&mut conversation), [Effect::Translated(ClauseId(0), text, Vec::new())]);
}

#[test]
fn a_listener_who_changes_language_hears_what_follows_in_the_new_one() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "we met him", true), ms(1_000));
    conversation.set_hears_in(BEN, Some("fr"), ms(1_100));
    conversation.on_hypothesis(ANNA, &hypothesis(2, "she left early", true), ms(2_000));
    conversation.set_hears_in(BEN, None, ms(2_100));
    conversation.on_hypothesis(ANNA, &hypothesis(3, "they paid", true), ms(3_000));
    let all = effects(&mut conversation);
    let languages: Vec<&str> = all
        .iter()
        .filter_map(|effect| if let Effect::Translate(request) = effect { Some(request.to.as_str()) } else { None })
        .collect();
    assert_eq!(languages, ["es", "fr"]);
}

#[test]
fn a_changed_amount_is_flagged_with_the_translation() {
    let (mut conversation, _) = pair();
    conversation.on_hypothesis(ANNA, &hypothesis(1, "it costs fifteen euros", true), ms(1_000));
    conversation.on_translation(ClauseId(0), 0, Translation::Done("cuesta cincuenta euros".into()), ms(1_200));
    let all = effects(&mut conversation);
    let flagged = all
        .iter()
        .find_map(|effect| if let Effect::Translated(_, _, found) = effect { Some(found.len()) } else { None });
    assert_eq!(flagged, Some(1), "{all:?}");
}

#[test]
fn a_party_that_leaves_and_returns_begins_a_listening_of_its_own() {
    let (mut conversation, _) = pair();
    conversation.leave(ANNA, ms(1_000));
    conversation.join(ANNA, "en", Some("en"));
    conversation.set_hearing(&[(ANNA, BEN)], ms(2_000));
    assert!(effects(&mut conversation).contains(&Effect::Listen(ANNA, 2)));
    conversation.on_hypothesis(ANNA, &hypothesis(1, "said before", true), ms(2_100));
    assert_eq!(effects(&mut conversation), []);
}
