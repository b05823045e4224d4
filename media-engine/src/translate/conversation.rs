//! A translated conversation: speakers, listeners and languages, from hypotheses of words to decisions about sound.
//!
//! ```text
//! hypotheses ─▶ Committer ─▶ Cutter (one per target language) ─▶ clause ─ Translate ─▶ translator
//! activity ───▶ Turns ─ EndTurn ─▶ recogniser                      │                       │ first words, text
//!                                                                  │       synthesis ◀─ Speak
//!                       Schedule (one per listener) ◀──────────────┴──────── first sample, end
//!                          └─ Play, Show, Lost, Level ─▶ player, pages
//! ```
//!
//! Who hears whom comes from outside ([`Conversation::set_hearing`]). A party that no one hears is not recognised, and a party that
//! hears no one is not spoken to; what was said meanwhile or is still on its way is not carried over.
//!
//! Invariants (`tests_conversation` tries them with random inputs): only committed words become clauses; each committed word is in
//! exactly one clause of each target language, in order; a clause is translated once for each language that has a listener;
//! an answer that is not for the current revision of its clause changes nothing; sound that began is never taken back, unless its
//! listener must not hear the speaker any more; at most [`CLAUSES_MAX`] clauses are remembered. A correction of a committed word
//! translates its clause anew only while no answer has come.
//!
//! Not here: providers, sound, and the clock: every input brings its time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::clauses::{Cutter, Lengths, Moment};
use super::commit::{Committer, Counts, Pending};
use super::exchange::{ClauseId, ContextLine, Effect, Hypothesis, PartyId, Policy, Request, Translation, Voice};
use super::guard::{self, Text};
use super::lag::{Percentiles, Stage, Stamps};
use super::lexicon::{self, is_same};
use super::schedule::{Schedule, Step};
use super::turns::Turns;

/// Maximum number of clauses remembered. Beyond it the oldest ones are lost.
pub const CLAUSES_MAX: usize = 256;
/// Number of clauses of both sides that a translator gets as context.
const CONTEXT: usize = 6;
/// Time from the end of a word until a recogniser shows it, assumed when the provider gives no times.
const RECOGNITION: Duration = Duration::from_millis(450);
/// Time that a provider has to send the final hypothesis of a turn after its end.
const FINAL_WAIT: Duration = Duration::from_millis(1_500);

/// How a listener gets a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Queued,
    Playing,
    Done,
}

#[derive(Debug)]
struct Clause {
    request: Request,
    /// Words of the turn: position of the first one, and number.
    first: usize,
    words: usize,
    stamps: Stamps,
    is_translated: bool,
    translation: Option<String>,
    parts: BTreeMap<PartyId, Part>,
}

#[derive(Debug)]
struct Lane {
    cutter: Cutter,
    /// Number of words of the turn that are in clauses.
    sent: usize,
    clauses: u32,
}

#[derive(Debug)]
struct Member {
    language: String,
    hears_in: Option<String>,
    committer: Committer,
    turns: Turns,
    /// Number of the listening that goes on while `is_heard`, or of the last one.
    listening: u32,
    is_heard: bool,
    turn: u32,
    /// Time by which the turn is cut whole although no final hypothesis has come.
    flush_at: Option<Duration>,
    lanes: BTreeMap<String, Lane>,
    schedule: Schedule<ClauseId>,
}

/// State of a translated conversation.
#[derive(Debug)]
pub struct Conversation {
    policy: Policy,
    members: BTreeMap<PartyId, Member>,
    /// Number of listenings of each party that ever joined, so that none has the number of an earlier one.
    listenings: BTreeMap<PartyId, u32>,
    /// Pairs of speaker and listener.
    hearing: BTreeSet<(PartyId, PartyId)>,
    clauses: BTreeMap<ClauseId, Clause>,
    context: VecDeque<ContextLine>,
    next_clause: u64,
    spans: Percentiles,
    stale: u64,
    effects: VecDeque<Effect>,
}

impl Conversation {
    /// Creates a conversation without parties.
    pub fn new(policy: Policy) -> Conversation {
        Conversation {
            policy,
            members: BTreeMap::new(),
            listenings: BTreeMap::new(),
            hearing: BTreeSet::new(),
            clauses: BTreeMap::new(),
            context: VecDeque::new(),
            next_clause: 0,
            spans: Percentiles::default(),
            stale: 0,
            effects: VecDeque::new(),
        }
    }

    /// Adds a party that speaks `language` and hears others in `hears_in`, or as they speak (`None`). It hears no one and is heard
    /// by no one before [`Conversation::set_hearing`] says so. A party that is there already stays as it is.
    pub fn join(&mut self, party: PartyId, language: &str, hears_in: Option<&str>) {
        let member = || Member {
            language: language.into(),
            hears_in: hears_in.map(Into::into),
            committer: Committer::new(self.policy.rule, language),
            turns: Turns::new(language),
            listening: 0,
            is_heard: false,
            turn: 0,
            flush_at: None,
            lanes: BTreeMap::new(),
            schedule: Schedule::new(self.policy.limits),
        };
        self.members.entry(party).or_insert_with(member);
    }

    /// Removes a party and everything that was meant for it.
    pub fn leave(&mut self, party: PartyId, now: Duration) {
        let hearing = self.hearing.iter().copied().filter(|(a, b)| *a != party && *b != party).collect::<Vec<_>>();
        self.set_hearing(&hearing, now);
        self.members.remove(&party);
        for clause in self.clauses.values_mut() {
            clause.parts.remove(&party);
        }
        self.forget_done();
    }

    /// Changes the language that a party speaks. What it has said so far is cut in the old one, and nothing more of its turn is taken.
    pub fn set_language(&mut self, party: PartyId, language: &str, now: Duration) {
        self.cut(party, true, now);
        let rule = self.policy.rule;
        if let Some(member) = self.members.get_mut(&party) {
            if member.committer.word(0).is_some() {
                member.turn = member.turn.saturating_add(1);
            }
            member.stop_turn();
            member.language = language.into();
            (member.committer, member.turns) = (Committer::new(rule, language), Turns::new(language));
        }
        self.advance(now);
    }

    /// Changes the language in which a party hears others. Clauses that were cut before come in the old one.
    pub fn set_hears_in(&mut self, party: PartyId, language: Option<&str>, now: Duration) {
        if let Some(member) = self.members.get_mut(&party) {
            member.hears_in = language.map(Into::into);
        }
        self.advance(now);
    }

    /// Says who hears whom: pairs of speaker and listener. What was queued for a pair that is not in the list is dropped; its
    /// translation is completed all the same.
    pub fn set_hearing(&mut self, pairs: &[(PartyId, PartyId)], now: Duration) {
        self.hearing = pairs.iter().copied().filter(|(speaker, listener)| speaker != listener).collect();
        let hearing = &self.hearing;
        for clause in self.clauses.values_mut() {
            let Request { clause: id, speaker, .. } = clause.request;
            clause.parts.retain(|listener, part| {
                let stays = *part == Part::Done || hearing.contains(&(speaker, *listener));
                if let Some(member) = self.members.get_mut(listener).filter(|_| !stays) {
                    member.schedule.remove(id);
                    self.effects.push_back(match part {
                        Part::Playing => Effect::Stop(*listener, id),
                        _ => Effect::Dropped(*listener, id),
                    });
                }
                stays
            });
        }
        for (party, member) in &mut self.members {
            let is_heard = hearing.iter().any(|(speaker, _)| speaker == party);
            if is_heard == std::mem::replace(&mut member.is_heard, is_heard) {
                continue;
            }
            if is_heard {
                self.effects.push_back(member.listen(*party, &mut self.listenings));
            } else {
                member.stop_turn();
                member.turns.abandon();
                self.effects.push_back(Effect::Unlisten(*party));
            }
        }
        self.forget_done();
        self.advance(now);
    }

    /// Takes a hypothesis of a party's recogniser. One of an earlier turn or listening changes nothing.
    pub fn on_hypothesis(&mut self, party: PartyId, hypothesis: &Hypothesis, now: Duration) {
        let Hypothesis { listening, turn, words, settled, is_final } = hypothesis;
        let Some(member) = self.members.get(&party) else { return };
        let is_late = *turn < member.turn || (*turn == member.turn && member.committer.is_final());
        if !member.is_heard || *listening != member.listening || is_late {
            self.stale += 1;
            return;
        }
        if *turn > member.turn {
            self.cut(party, true, now);
        }
        let Some(member) = self.members.get_mut(&party) else { return };
        if *turn > member.turn {
            member.stop_turn();
            member.turn = *turn;
        }
        member.turns.on_text(words.iter().map(|word| word.text.as_str()));
        let corrections = member.committer.on_hypothesis(words, *settled, *is_final, now);
        for correction in corrections {
            self.revise(party, *turn, correction.at);
            self.effects.push_back(Effect::Corrected(party, *turn, correction));
        }
        if *is_final && let Some(member) = self.members.get_mut(&party) {
            member.turns.on_final();
            member.flush_at = None;
        }
        self.advance(now);
    }

    /// Takes words that a party typed for one listener: a clause of its own, in the listener's language. `turn` is the number that
    /// the request carries. A listener that hears others as they speak gets nothing; for one with the language of the text, the request
    /// asks for the text itself.
    pub fn on_typed(&mut self, party: PartyId, listener: PartyId, turn: u32, text: &str, now: Duration) {
        let Some(language) = self.members.get(&listener).and_then(|listener| listener.hears_in.clone()) else { return };
        let mut stamps = Stamps::default();
        stamps.stamp(Stage::Captured, now);
        stamps.stamp(Stage::Committed, now);
        let words = text.split_whitespace().map(str::to_owned).collect();
        let cut = Cut { turn, index: 0, first: 0, words, stamps };
        self.open_clause((party, &language), &[listener], cut);
        self.advance(now);
    }

    /// Forgets the words of a turn that are not committed, because its text is not reliable. A turn without words is not known here,
    /// so that nothing is forgotten and an earlier one may still be completed.
    pub fn forget_turn(&mut self, party: PartyId, turn: u32, now: Duration) {
        if let Some(member) = self.members.get_mut(&party).filter(|member| member.turn == turn) {
            member.stop_turn();
            // Nothing more of this turn is taken.
            member.turn = turn.saturating_add(1);
        }
        self.advance(now);
    }

    /// The recogniser of a party was lost: what it has shown of the turn is all there will be.
    pub fn on_recogniser_lost(&mut self, party: PartyId, now: Duration) {
        self.cut(party, true, now);
        if let Some(member) = self.members.get_mut(&party).filter(|member| member.is_heard) {
            member.stop_turn();
            member.turns.abandon();
            self.effects.push_back(member.listen(party, &mut self.listenings));
        }
        self.advance(now);
    }

    /// Takes the probability of speech, from 0 to 1, in a party's frame of 20 ms that ends at `now`.
    pub fn on_activity(&mut self, party: PartyId, probability: f32, now: Duration) {
        if let Some(member) = self.members.get_mut(&party).filter(|member| member.is_heard) {
            member.turns.on_activity(probability, now);
        }
        self.advance(now);
    }

    /// Nothing more is heard of the party for now: what it was saying has ended.
    pub fn on_speech_cut(&mut self, party: PartyId, now: Duration) {
        if let Some(member) = self.members.get_mut(&party) {
            member.turns.on_speech_cut(now);
        }
        self.advance(now);
    }

    /// The provider says that the party's turn has ended.
    pub fn on_provider_end(&mut self, party: PartyId, now: Duration) {
        if let Some(member) = self.members.get_mut(&party).filter(|member| member.is_heard) {
            member.turns.on_provider_end();
        }
        self.advance(now);
    }

    /// Takes progress of a clause's translation. Answers for other revisions or unknown clauses change nothing.
    pub fn on_translation(&mut self, clause: ClauseId, revision: u32, progress: Translation, now: Duration) {
        let Some(found) = self.current(clause, revision) else { return };
        if found.is_translated && progress == Translation::Begun || found.translation.is_some() {
            return;
        }
        let begins = !std::mem::replace(&mut found.is_translated, true);
        if let Translation::Failed = progress {
            let listeners = found.queued();
            found.translation.get_or_insert_default();
            self.each_schedule(&listeners, |schedule| schedule.on_failed(clause));
            self.advance(now);
            return;
        }
        found.stamps.stamp(Stage::Translated, now);
        if begins && !found.queued().is_empty() {
            self.effects.push_back(Effect::Speak { clause, revision });
        }
        if let Translation::Done(text) = progress {
            self.on_translated(clause, text);
        }
        self.advance(now);
    }

    /// Takes progress of a clause's voice. Answers for other revisions or unknown clauses change nothing.
    pub fn on_voice(&mut self, clause: ClauseId, revision: u32, progress: Voice, now: Duration) {
        let Some(found) = self.current(clause, revision) else { return };
        let listeners = found.queued();
        match progress {
            Voice::Begun if found.is_translated => {
                found.stamps.stamp(Stage::Voiced, now);
                self.each_schedule(&listeners, |schedule| schedule.on_ready(clause));
            }
            Voice::Begun => {}
            Voice::Failed => self.each_schedule(&listeners, |schedule| schedule.on_mute(clause)),
        }
        self.advance(now);
    }

    /// A listener has heard a clause to its end.
    pub fn on_played(&mut self, listener: PartyId, clause: ClauseId, now: Duration) {
        if let Some(member) = self.members.get_mut(&listener) {
            member.schedule.on_played(clause, now);
        }
        let part = self.clauses.get_mut(&clause).and_then(|clause| clause.parts.get_mut(&listener));
        if let Some(part) = part.filter(|part| **part == Part::Playing) {
            *part = Part::Done;
        }
        self.forget_done();
        self.advance(now);
    }

    /// Lets time pass. To be called at the time of [`Conversation::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
    }

    /// Returns the time after `now` at which [`Conversation::handle_timeout`] is due, or `None` when nothing depends on time.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let of = |member: &Member| {
            let lanes = member.lanes.values();
            let cuts = lanes.filter_map(|lane| lane.cutter.poll_timeout(&member.waiting(lane), now)).min();
            [cuts, member.schedule.poll_timeout(now), member.turns.poll_timeout(), member.flush_at]
                .into_iter()
                .flatten()
                .filter(|at| *at > now)
                .min()
        };
        self.members.values().filter_map(of).min()
    }

    /// Returns the next effect, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns the distribution of the ear-voice spans of all clauses that were played.
    pub fn spans(&self) -> &Percentiles {
        &self.spans
    }

    /// Returns the number of answers that were dropped because they were not current.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Returns how many words of a party were committed and contradicted.
    pub fn counts(&self, party: PartyId) -> Counts {
        self.members.get(&party).map(|member| member.committer.counts()).unwrap_or_default()
    }

    /// Returns the number of committed words of a party's turn; `None` when it is not the current one.
    pub fn committed(&self, party: PartyId, turn: u32) -> Option<usize> {
        let member = self.members.get(&party).filter(|member| member.turn == turn)?;
        Some(member.committer.committed_len())
    }

    /// Returns the times of a clause so far; `None` when it is not remembered.
    pub fn stamps(&self, clause: ClauseId) -> Option<Stamps> {
        self.clauses.get(&clause).map(|clause| clause.stamps)
    }

    /// Returns whether a clause is remembered and has this revision.
    pub fn is_current(&self, clause: ClauseId, revision: u32) -> bool {
        self.clauses.get(&clause).is_some_and(|clause| clause.request.revision == revision)
    }

    /// Returns the number of clauses that are remembered.
    pub fn clauses(&self) -> usize {
        self.clauses.len()
    }

    fn current(&mut self, clause: ClauseId, revision: u32) -> Option<&mut Clause> {
        let found = self.clauses.get_mut(&clause).filter(|found| found.request.revision == revision);
        if found.is_none() {
            self.stale += 1;
        }
        found
    }

    fn each_schedule(&mut self, listeners: &[PartyId], change: impl Fn(&mut Schedule<ClauseId>)) {
        for listener in listeners {
            if let Some(member) = self.members.get_mut(listener) {
                change(&mut member.schedule);
            }
        }
    }

    fn on_translated(&mut self, id: ClauseId, text: String) {
        let Some(clause) = self.clauses.get_mut(&id) else { return };
        let Request { from, to, .. } = &clause.request;
        let source = clause.request.text();
        let (source_text, translated) = (Text { text: &source, language: from }, Text { text: &text, language: to });
        let differences = guard::compare(source_text, translated, &self.policy.glossary.terms(from, to));
        let line = self.context.iter_mut().rev().find(|line| line.source == source && line.translation.is_none());
        if let Some(line) = line {
            line.translation = Some(text.clone());
        }
        clause.translation = Some(text.clone());
        self.effects.push_back(Effect::Translated(id, text, differences));
        self.forget_done();
    }

    /// Does everything that is due: ends turns, cuts clauses, decides for the listeners.
    fn advance(&mut self, now: Duration) {
        let parties: Vec<PartyId> = self.members.keys().copied().collect();
        for party in parties {
            if let Some(member) = self.members.get_mut(&party)
                && member.turns.poll(now)
            {
                member.flush_at = Some(now.saturating_add(FINAL_WAIT));
                self.effects.push_back(Effect::EndTurn(party, member.turn));
            }
            self.cut(party, false, now);
            self.serve(party, now);
        }
    }

    /// Cuts all clauses of a speaker that are due. `is_over`: the turn has no further words.
    fn cut(&mut self, speaker: PartyId, is_over: bool, now: Duration) {
        self.open_lanes(speaker);
        let other_speaks = self.members.iter().any(|(party, member)| *party != speaker && member.turns.is_open());
        let Some(member) = self.members.get(&speaker).filter(|member| member.is_heard) else { return };
        let is_over = is_over || member.committer.is_final() || member.flush_at.is_some_and(|at| at <= now);
        if self.holds_back_channel(speaker, other_speaks, is_over) {
            return;
        }
        let languages = self.members.get(&speaker).map(|member| member.lanes.keys().cloned().collect::<Vec<_>>());
        for language in languages.unwrap_or_default() {
            let listeners = self.listeners(speaker, &language);
            loop {
                let busy = listeners.iter().filter_map(|listener| Some(self.members.get(listener)?.schedule.busy(now)));
                let busy = busy.min().unwrap_or_default();
                let Some(member) = self.members.get_mut(&speaker) else { return };
                let Some(mut lane) = member.lanes.remove(&language) else { break };
                let waiting = member.waiting(&lane);
                let allowed_risk = member.committer.allowed_risk();
                let count = lane.cutter.cut(&waiting, Moment { now, allowed_risk, busy, is_over });
                let first = lane.sent;
                let index = lane.clauses;
                lane.sent += count.unwrap_or(0);
                lane.clauses += u32::from(count.is_some());
                let committed = member.committer.committed_len();
                member.committer.commit(lane.sent.saturating_sub(committed));
                member.lanes.insert(language.clone(), lane);
                let Some(count) = count else { break };
                let Some(turn) = self.members.get(&speaker).map(|member| member.turn) else { return };
                let (words, stamps) = Cut::words(&waiting[..count], now);
                let cut = Cut { turn, index, first, words, stamps };
                self.open_clause((speaker, &language), &listeners, cut);
            }
        }
    }

    /// Opens a lane for each language that has a listener, and closes the others.
    fn open_lanes(&mut self, speaker: PartyId) {
        let Some(member) = self.members.get(&speaker) else { return };
        let heard = self.hearing.iter().filter(|(from, _)| *from == speaker);
        let languages = heard.filter_map(|(_, listener)| self.members.get(listener)?.hears_in.clone());
        let languages: BTreeSet<String> = languages.filter(|language| !is_same(language, &member.language)).collect();
        let lengths = self.policy.lengths;
        let Some(member) = self.members.get_mut(&speaker) else { return };
        member.lanes.retain(|language, _| languages.contains(language));
        // A listener that joins within a turn hears what is committed from now on.
        let sent = member.committer.committed_len();
        for language in languages {
            let lengths = lengths.unwrap_or_else(|| Lengths::towards(&language));
            member.lanes.entry(language).or_insert_with(|| Lane { cutter: Cutter::new(lengths), sent, clauses: 0 });
        }
    }

    fn listeners(&self, speaker: PartyId, language: &str) -> Vec<PartyId> {
        let heard = self.hearing.iter().filter(|(from, _)| *from == speaker).map(|(_, listener)| *listener);
        let hears = |listener: &PartyId| {
            self.members.get(listener).is_some_and(|member| member.hears_in.as_deref() == Some(language))
        };
        heard.filter(hears).collect()
    }

    /// Returns whether the turn so far only shows attention, so that nothing of it is translated. Reports it when the turn has ended.
    fn holds_back_channel(&mut self, speaker: PartyId, other_speaks: bool, is_over: bool) -> bool {
        let Some(member) = self.members.get_mut(&speaker) else { return false };
        let pending = member.committer.pending();
        if member.committer.committed_len() > 0 || pending.is_empty() || pending.len() > lexicon::BACK_CHANNEL_WORDS {
            return false;
        }
        if !member.turns.is_back_channel(pending.iter().map(|word| word.word.text.as_str()), other_speaks) {
            return false;
        }
        if is_over {
            let text = texts(&pending);
            let turn = member.turn;
            member.stop_turn();
            // Nothing more of this turn is taken.
            member.turn = turn.saturating_add(1);
            self.effects.push_back(Effect::BackChannel(speaker, turn, text));
        }
        true
    }

    fn open_clause(&mut self, (speaker, language): (PartyId, &str), listeners: &[PartyId], cut: Cut) {
        let Some(member) = self.members.get(&speaker) else { return };
        let Cut { turn, index, first, words, stamps } = cut;
        let captured = stamps.at(Stage::Captured).unwrap_or_default();
        let clause = ClauseId(self.next_clause);
        self.next_clause += 1;
        let count = words.len();
        let request = Request {
            clause,
            revision: 0,
            speaker,
            turn,
            index,
            from: member.language.clone(),
            to: language.into(),
            words,
            context: self.context.iter().cloned().collect(),
        };
        self.add_context(ContextLine { speaker, source: request.text(), translation: None });
        self.effects.push_back(Effect::Translate(request.clone()));
        let parts = listeners.iter().map(|listener| (*listener, Part::Queued)).collect();
        let opened = Clause { request, first, words: count, stamps, is_translated: false, translation: None, parts };
        self.clauses.insert(clause, opened);
        for listener in listeners {
            let Some(member) = self.members.get_mut(listener) else { continue };
            if let Some(oldest) = member.schedule.push(clause, count, captured) {
                self.show(*listener, oldest);
            }
        }
        self.forget_oldest();
    }

    fn add_context(&mut self, line: ContextLine) {
        if self.context.len() >= CONTEXT {
            self.context.pop_front();
        }
        self.context.push_back(line);
    }

    /// Translates the clauses anew that contain a corrected word and have no answer yet. Their lag counts from the first commitment.
    fn revise(&mut self, speaker: PartyId, turn: u32, word: usize) {
        if !self.policy.revises {
            return;
        }
        let Some(member) = self.members.get(&speaker) else { return };
        for clause in self.clauses.values_mut() {
            let Request { speaker: said_by, turn: said_in, .. } = clause.request;
            let is_hit =
                said_by == speaker && said_in == turn && (clause.first..clause.first + clause.words).contains(&word);
            if !is_hit || clause.is_translated || clause.queued().is_empty() {
                continue;
            }
            let words = member.committer.committed(clause.first).take(clause.words).filter(|word| !word.is_empty());
            clause.request.words = words.map(str::to_owned).collect();
            clause.request.revision += 1;
            self.effects.push_back(Effect::Translate(clause.request.clone()));
        }
    }

    /// Carries out what a listener's schedule decides.
    fn serve(&mut self, listener: PartyId, now: Duration) {
        while let Some(step) = self.members.get_mut(&listener).and_then(|member| member.schedule.poll(now)) {
            match step {
                Step::Play { clause, speed } => {
                    let Some(found) = self.clauses.get_mut(&clause) else { continue };
                    found.parts.insert(listener, Part::Playing);
                    let mut stamps = found.stamps;
                    stamps.stamp(Stage::Playing, now);
                    self.spans.add(stamps.span().unwrap_or_default());
                    self.effects.push_back(Effect::Play { listener, clause, speed, stamps });
                }
                Step::Text(clause) => self.show(listener, clause),
                Step::Lost(clause) => {
                    self.finish(listener, clause);
                    self.effects.push_back(Effect::Lost(listener, clause));
                }
                Step::Level(level) => self.effects.push_back(Effect::Level(listener, level)),
            }
        }
        self.forget_done();
    }

    fn show(&mut self, listener: PartyId, clause: ClauseId) {
        self.finish(listener, clause);
        self.effects.push_back(Effect::Show(listener, clause));
    }

    fn finish(&mut self, listener: PartyId, clause: ClauseId) {
        if let Some(clause) = self.clauses.get_mut(&clause) {
            clause.parts.insert(listener, Part::Done);
        }
    }

    /// Forgets clauses of which nothing more is expected.
    fn forget_done(&mut self) {
        self.clauses.retain(|_, clause| {
            let is_heard = clause.parts.values().all(|part| *part == Part::Done);
            !is_heard || clause.translation.is_none()
        });
    }

    fn forget_oldest(&mut self) {
        while self.clauses.len() > CLAUSES_MAX {
            let Some((id, clause)) = self.clauses.pop_first() else { return };
            for listener in clause.queued() {
                if let Some(member) = self.members.get_mut(&listener) {
                    member.schedule.remove(id);
                }
                self.effects.push_back(Effect::Lost(listener, id));
            }
        }
    }
}

/// Words that are to become a clause.
struct Cut {
    turn: u32,
    /// Position of the clause in the turn, and of its first word.
    index: u32,
    first: usize,
    words: Vec<String>,
    /// Times of the clause; at least those of capture and commitment.
    stamps: Stamps,
}

impl Cut {
    /// Returns the texts of words that are committed now, and their times. The last one decides when they were captured.
    fn words(words: &[Pending], now: Duration) -> (Vec<String>, Stamps) {
        let mut stamps = Stamps::default();
        let seen_at = words.last().map_or(now, |last| last.seen_at);
        let to = words.last().and_then(|last| last.word.to).unwrap_or(seen_at.saturating_sub(RECOGNITION));
        stamps.stamp(Stage::Captured, to.min(seen_at));
        stamps.stamp(Stage::Recognised, seen_at);
        stamps.stamp(Stage::Committed, now);
        (words.iter().map(|word| word.word.text.clone()).collect(), stamps)
    }
}

impl Clause {
    /// Returns the listeners that have not begun to hear the clause.
    fn queued(&self) -> Vec<PartyId> {
        let queued = self.parts.iter().filter(|(_, part)| **part == Part::Queued);
        queued.map(|(listener, _)| *listener).collect()
    }
}

impl Member {
    /// Returns the words of the turn that are in no clause of a lane.
    fn waiting(&self, lane: &Lane) -> Vec<Pending> {
        (lane.sent..).map_while(|at| self.committer.word(at)).collect()
    }

    /// Begins a listening with a number of its own.
    fn listen(&mut self, party: PartyId, listenings: &mut BTreeMap<PartyId, u32>) -> Effect {
        let count = listenings.entry(party).or_default();
        *count += 1;
        (self.listening, self.turn) = (*count, 0);
        Effect::Listen(party, self.listening)
    }

    /// Forgets the words of the turn.
    fn stop_turn(&mut self) {
        self.committer.begin_turn();
        self.flush_at = None;
        for lane in self.lanes.values_mut() {
            (lane.sent, lane.clauses) = (0, 0);
        }
    }
}

fn texts(words: &[Pending]) -> String {
    words.iter().map(|word| word.word.text.as_str()).collect::<Vec<_>>().join(" ")
}
