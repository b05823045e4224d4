//! State of a call's recognition and translation: what each party says, in segments, and how it is translated while it is said.
//!
//! ```text
//! frames ─▶ Endpointer ─ begin, audio, end ─▶ recogniser ─ partial, final ─┐
//!                  ▲ end of the turn                                      ▼
//!                  └──────────────────── Conversation ◀─ hypothesis ─ segment ─▶ TranslationEvent
//!                                         │  ▲  clauses                   ▲
//!                     translate, speak, play │ ──── progress ─────────────┘
//! ```
//!
//! A *segment* is what a party says between two pauses, or what it typed: a line of the transcript. It is a turn of the
//! [`Conversation`], which cuts it into clauses. When the other party is not in the conversation, a *reader* takes its place: the clauses
//! are translated all the same, as text (for the pages and the store). The reader also takes the place of a party that wants to hear
//! the original.
//!
//! A change of language takes effect for a speaker when all its segments are final, so that each has one pair of languages. The open one
//! ends between two words.
//!
//! Invariants: results that are not current change nothing; at most [`SEGMENTS_MAX`] segments are remembered; each change is published
//! once. Not here: which words are committed, where clauses are cut and when they are played (`conversation`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clauses::Lengths;
use super::conversation::Conversation;
use super::echo::is_repeated;
use super::endpoint::{Endpointer, Heard};
use super::event::{ClauseHeard, TranslationEvent};
use super::exchange::{ClauseId, Effect as Decided, Hypothesis, PartyId, Policy, Request, Translation, Voice};
use super::glossary::Glossary;
use super::guard::Difference;
use super::lag::Stage;
use super::lexicon::is_same;
use super::listening::{Listener, ListenerPatch, Listening};
use super::schedule::Limits;
use super::segment::{Clause, Segment, millis, words};
use super::speaker::{Presence, Speaker};

/// Number of segments of both sides that are remembered. An older one that is not final is reported as missed.
pub const SEGMENTS_MAX: usize = 32;
/// Number of frames from before the onset that the recogniser gets: 10 frames, 200 ms.
const PRE_ROLL: usize = 10;
/// Probability of speech that stands for the decision of voice activity detection.
const SPEECH: f32 = 0.95;
const SILENCE: f32 = 0.05;

/// Parameters of a [`Session`].
#[derive(Clone, Debug)]
pub struct SessionParams {
    /// How the customer and the agent listen at the beginning.
    pub listeners: [Listener; 2],
    /// Whether words are translated; otherwise they are only transcribed.
    pub translate: bool,
    /// Highest lateness of a clause that is spoken.
    pub budget: Duration,
    /// Lengths of clauses; `None`: by the target language.
    pub lengths: Option<Lengths>,
    /// Terms that translations must keep.
    pub glossary: Arc<Glossary>,
    /// Time from which the session counts; no frame is earlier.
    pub epoch: Instant,
}

/// Work that the caller must do for the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Begin a segment: its audio follows.
    Begin(Speaker, u64),
    /// Recognise audio of the open segment, at the side's rate.
    Audio(Speaker, Vec<i16>),
    /// Finish the segment: its audio is complete.
    End(Speaker, u64),
    /// Translate a clause.
    Translate(Request),
    /// Synthesise the translation of a clause.
    Speak {
        /// Side that said it.
        speaker: Speaker,
        /// Clause to speak.
        clause: ClauseId,
        /// Revision that answers must carry.
        revision: u32,
        /// Translation of the clause.
        text: String,
        /// BCP 47 tag of the language of `text`.
        language: String,
    },
    /// Play the voice of a clause to this side, at a speed from 1 to 1.25.
    Play(Speaker, ClauseId, f32),
    /// Stop playing a clause to this side.
    Stop(Speaker, ClauseId),
    /// The voice of a clause will not be played.
    Discard(ClauseId),
    /// Recognise this side in another language from its next segment on: [`Session::language`].
    Recognise(Speaker),
    /// A segment is dropped: it is a translation that its speaker was just played.
    Echo(Speaker, u64),
    /// How the customer and the agent listen has changed, or the session has begun.
    Listeners([Listener; 2]),
    /// Send an event to the listeners.
    Publish(TranslationEvent),
}

/// Translation of a call; see the module head.
#[derive(Debug)]
pub struct Session {
    translate: bool,
    epoch: Instant,
    conversation: Conversation,
    presence: [Presence; 2],
    listening: Listening,
    ears: [Ear; 2],
    segments: BTreeMap<u64, Segment>,
    next_segment: u64,
    /// Segments that changed and are not published yet.
    changed: BTreeSet<u64>,
    /// The same for segments of which nothing but unsettled words has changed.
    reworded: BTreeSet<u64>,
    effects: VecDeque<Effect>,
}

#[derive(Debug, Default)]
struct Ear {
    endpointer: Endpointer,
    pre_roll: VecDeque<Vec<i16>>,
    open: Option<u64>,
    /// Number of the listening that goes on.
    listening: u32,
}

impl Session {
    /// Creates a session in which no one is heard; see [`Session::set_presence`].
    pub fn new(params: SessionParams) -> Session {
        let SessionParams { listeners, translate, budget, lengths, glossary, epoch } = params;
        let policy = Policy { lengths, limits: Limits::of_budget(budget), glossary, ..Policy::default() };
        let mut conversation = Conversation::new(policy);
        for side in Speaker::BOTH {
            let language = &listeners[side as usize].language;
            let others = &listeners[side.other() as usize].language;
            let hears_in = translate.then_some(language.as_str());
            conversation.join(side.party(), language, hears_in);
            // The reader of this side's words understands what the other side does.
            conversation.join(side.reader(), others, translate.then_some(others.as_str()));
        }
        Session {
            translate,
            epoch,
            conversation,
            presence: [Presence::default(); 2],
            listening: Listening::new(listeners),
            ears: Default::default(),
            segments: BTreeMap::new(),
            next_segment: 1,
            changed: BTreeSet::new(),
            reworded: BTreeSet::new(),
            effects: VecDeque::new(),
        }
    }

    /// Sets who is in the conversation, customer first. A side that is not heard is not recognised, and what waits for a side that is
    /// not spoken to becomes text. What a side said before it was muted is still spoken; what it said before it was set aside is not.
    pub fn set_presence(&mut self, presence: [Presence; 2], now: Instant) {
        if self.presence == presence {
            return;
        }
        self.presence = presence;
        for side in Speaker::BOTH.into_iter().filter(|side| !presence[*side as usize].is_heard) {
            self.end_speech(side, now);
        }
        self.pair(now);
        self.settle(now);
    }

    /// Changes how the customer and the agent listen. A language takes effect with the next segment of each speaker. What waits for a
    /// side that wants the original from now on becomes text, and what plays stops.
    pub fn set_listening(&mut self, patches: [ListenerPatch; 2], now: Instant) {
        self.listening.choose(patches);
        self.pair(now);
        self.settle(now);
    }

    /// Returns how the customer and the agent listen.
    pub fn listeners(&self) -> [Listener; 2] {
        self.listening.both()
    }

    /// Returns the language in which a side is recognised.
    pub fn language(&self, side: Speaker) -> &str {
        let [spoken, _] = self.listening.languages(side);
        spoken
    }

    /// Tells the conversation who hears whom.
    fn pair(&mut self, now: Instant) {
        let joined = Speaker::BOTH.into_iter().filter(|side| !self.presence[*side as usize].is_aside());
        let pairs: Vec<_> = joined.map(|side| (side.party(), self.listener_of(side))).collect();
        self.conversation.set_hearing(&pairs, self.time(now));
    }

    /// Returns the party for which the words of a side are translated.
    fn listener_of(&self, speaker: Speaker) -> PartyId {
        if self.is_spoken(speaker) { speaker.other().party() } else { speaker.reader() }
    }

    /// Returns whether translations of a side's words are spoken to the other one.
    fn is_spoken(&self, speaker: Speaker) -> bool {
        let listener = speaker.other();
        self.translate && self.presence[listener as usize].is_spoken_to && self.listening.wants_voice(listener)
    }

    /// Applies the chosen languages to each side of which nothing is being said or recognised.
    fn change_languages(&mut self, now: Instant) {
        let time = self.time(now);
        for side in Speaker::BOTH {
            let is_silent = self.ears[side as usize].open.is_none();
            if !self.listening.is_changing(side) || !is_silent || !self.unfinished(side).is_empty() {
                continue;
            }
            let is_spoken_anew = self.listening.change(side);
            let [from, to] = self.listening.languages(side);
            if is_spoken_anew {
                self.conversation.set_language(side.party(), from, time);
                self.effects.push_back(Effect::Recognise(side));
            }
            for listener in [side.other().party(), side.reader()].into_iter().filter(|_| self.translate) {
                self.conversation.set_hears_in(listener, Some(to), time);
            }
        }
    }

    /// Ends the open segment of a side, because its words come from elsewhere from now on.
    pub fn end_speech(&mut self, speaker: Speaker, now: Instant) {
        let ear = &mut self.ears[speaker as usize];
        ear.pre_roll.clear();
        if let Some(ended_at) = ear.endpointer.finish() {
            self.close_segment(speaker, ended_at);
        }
        self.conversation.on_speech_cut(speaker.party(), self.time(now));
        self.settle(now);
    }

    /// Processes one frame of a side that ended at `until`; `speech` is the decision of voice activity detection. Frames of a side
    /// that is not heard change nothing.
    pub fn handle_frame(&mut self, speaker: Speaker, samples: &[i16], speech: bool, until: Instant) {
        if !self.presence[speaker as usize].is_heard {
            return;
        }
        let is_changing = self.listening.is_changing(speaker);
        let ear = &mut self.ears[speaker as usize];
        match ear.endpointer.on_frame(speech, until) {
            Heard::Nothing => {
                if ear.pre_roll.len() == PRE_ROLL {
                    ear.pre_roll.pop_front();
                }
                ear.pre_roll.push_back(samples.to_vec());
            }
            Heard::Begin(began_at) => {
                let before: Vec<i16> = ear.pre_roll.drain(..).flatten().collect();
                let listening = ear.listening;
                let languages = self.listening.languages(speaker).clone();
                let segment = Segment { listening, ..Segment::new(speaker, languages, Some(began_at)) };
                let number = self.open_segment(segment, until);
                self.ears[speaker as usize].open = Some(number);
                self.effects.push_back(Effect::Begin(speaker, number));
                if !before.is_empty() {
                    self.effects.push_back(Effect::Audio(speaker, before));
                }
                self.effects.push_back(Effect::Audio(speaker, samples.to_vec()));
            }
            // A new language does not wait for the end of a long speech.
            Heard::Speech if is_changing && ear.endpointer.is_between_words() => {
                ear.pre_roll.push_back(samples.to_vec());
                let ended_at = ear.endpointer.finish();
                self.close_segment(speaker, ended_at.unwrap_or(until));
            }
            Heard::Speech => self.effects.push_back(Effect::Audio(speaker, samples.to_vec())),
            Heard::End(ended_at) => {
                ear.pre_roll.push_back(samples.to_vec());
                self.close_segment(speaker, ended_at);
            }
        }
        let probability = if speech { SPEECH } else { SILENCE };
        self.conversation.on_activity(speaker.party(), probability, self.time(until));
        self.settle(until);
    }

    /// Lets time pass: clauses that have waited long enough are cut, spoken or shown.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.conversation.handle_timeout(self.time(now));
        self.settle(now);
    }

    /// Ends the open segments, as when the call ends.
    pub fn finish(&mut self, now: Instant) {
        for side in Speaker::BOTH {
            self.end_speech(side, now);
        }
    }

    /// Ends the session: what is not recognised by now is missed, and a clause that is not translated has no translation.
    pub fn close(&mut self, now: Instant) {
        for side in Speaker::BOTH {
            self.handle_recogniser_gone(side, now);
        }
        for (number, segment) in &mut self.segments {
            for clause in segment.clauses.iter_mut().filter(|clause| clause.heard == ClauseHeard::Pending) {
                let is_translated = clause.translation.is_some();
                clause.heard = if is_translated { ClauseHeard::Text } else { ClauseHeard::Original };
                self.changed.insert(*number);
            }
        }
        self.settle(now);
    }

    /// Processes the recogniser's current guess.
    pub fn handle_partial(&mut self, number: u64, text: &str, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.is_final || segment.missed || text.is_empty() {
            return;
        }
        self.listening.set_recognised(segment.speaker, true);
        if self.is_echo(number, text) {
            return self.settle(now);
        }
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.text != text {
            segment.text = text.to_owned();
            self.reworded.insert(number);
        }
        self.hypothesise(number, false, now);
        self.settle(now);
    }

    /// Processes the final text. `unrecognised`: there were words, but none in the recogniser's vocabulary.
    pub fn handle_final(&mut self, number: u64, text: &str, unrecognised: bool, now: Instant) {
        let is_echo = self.is_echo(number, text);
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.is_final || segment.missed {
            return;
        }
        let text = if is_echo { "" } else { text };
        let was_shown = !segment.text.is_empty();
        segment.is_final = true;
        segment.unrecognised = unrecognised;
        segment.text = if unrecognised { String::new() } else { text.trim().to_owned() };
        segment.stt = segment.ended_at.map(|ended| millis(ended, now));
        let speaker = segment.speaker;
        self.listening.set_recognised(speaker, true);
        if is_echo {
            self.effects.push_back(Effect::Echo(speaker, number));
        }
        if segment.text.is_empty() {
            let is_published = unrecognised || was_shown;
            self.forget_turn(speaker, number, now);
            if is_published {
                self.changed.insert(number);
            } else {
                // A cough that was taken for speech: it is not published.
                self.segments.remove(&number);
            }
            return self.settle(now);
        }
        self.changed.insert(number);
        self.hypothesise(number, true, now);
        self.settle(now);
    }

    /// Notes that recognition of a segment failed. Listeners are informed when its speech has ended, so that its duration is known.
    pub fn handle_missed(&mut self, number: u64, now: Instant) {
        self.miss(number, now);
        self.settle(now);
    }

    /// Marks all unfinished segments of a side as missed because its recogniser has ended.
    pub fn handle_recogniser_gone(&mut self, speaker: Speaker, now: Instant) {
        for number in self.unfinished(speaker) {
            self.miss(number, now);
        }
        self.settle(now);
    }

    /// Forgets all unfinished segments of a side, because its language cannot be recognised: they are not published.
    pub fn handle_unsupported(&mut self, speaker: Speaker, now: Instant) {
        for number in self.unfinished(speaker) {
            self.segments.remove(&number);
        }
        self.ears[speaker as usize] = Ear { listening: self.ears[speaker as usize].listening, ..Ear::default() };
        self.listening.set_recognised(speaker, false);
        self.settle(now);
    }

    /// Processes the translation of a clause; `None`: it failed.
    pub fn handle_translation(&mut self, clause: ClauseId, revision: u32, translation: Option<&str>, now: Instant) {
        let time = self.time(now);
        let is_current = self.conversation.is_current(clause, revision);
        if let Some((number, found)) = self.clause_mut(clause).filter(|_| is_current) {
            match translation {
                Some(text) => text.trim().clone_into(&mut found.returned),
                // It was to be shown as text, which will not come.
                None if found.heard == ClauseHeard::Text && found.translation.is_none() => {
                    found.heard = ClauseHeard::Original;
                    self.changed.insert(number);
                }
                None => {}
            }
        }
        let progress = translation.map_or(Translation::Failed, |text| Translation::Done(text.trim().to_owned()));
        self.conversation.on_translation(clause, revision, progress, time);
        self.settle(now);
    }

    /// Processes progress of a clause's voice.
    pub fn handle_voice(&mut self, clause: ClauseId, revision: u32, progress: Voice, now: Instant) {
        self.conversation.on_voice(clause, revision, progress, self.time(now));
        self.settle(now);
    }

    /// Notes that the first sample of a clause's voice was sent to the listener at `at`.
    pub fn handle_play_started(&mut self, clause: ClauseId, at: Instant, now: Instant) {
        let at = self.time(at);
        if let Some((number, found)) = self.clause_mut(clause)
            && found.stamps.at(Stage::Playing).is_none()
        {
            found.stamps.stamp(Stage::Playing, at);
            self.changed.insert(number);
        }
        self.settle(now);
    }

    /// Notes that a listener has heard the voice of a clause to its end.
    pub fn handle_played(&mut self, listener: Speaker, clause: ClauseId, now: Instant) {
        let time = self.time(now);
        if let Some((_, found)) = self.clause_mut(clause) {
            found.played.get_or_insert(time);
        }
        self.conversation.on_played(listener.party(), clause, self.time(now));
        self.settle(now);
    }

    /// Processes typed text: a segment that was spoken and recognised at once.
    pub fn handle_typed(&mut self, speaker: Speaker, text: &str, now: Instant) {
        let mut segment = Segment::new(speaker, self.listening.languages(speaker).clone(), None);
        (segment.text, segment.is_final) = (text.trim().to_owned(), true);
        (segment.ended_at, segment.stt) = (Some(now), Some(0));
        if segment.text.is_empty() {
            return;
        }
        segment.committed = words(&segment.text).count() as u32;
        let text = segment.text.clone();
        let number = self.open_segment(segment, now);
        self.changed.insert(number);
        let listener = self.listener_of(speaker);
        self.conversation.on_typed(speaker.party(), listener, turn(number), &text, self.time(now));
        self.settle(now);
    }

    /// Returns whether every segment is final, and how each clause is heard is decided.
    pub fn is_idle(&self) -> bool {
        self.segments.values().all(|segment| {
            segment.is_final && segment.clauses.iter().all(|clause| clause.heard != ClauseHeard::Pending)
        })
    }

    /// Returns whether a clause can still be played.
    pub fn is_remembered(&self, clause: ClauseId) -> bool {
        self.conversation.stamps(clause).is_some()
    }

    /// Returns the next effect to carry out.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn time(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.epoch)
    }

    fn open_segment(&mut self, segment: Segment, now: Instant) -> u64 {
        let number = self.next_segment;
        self.next_segment += 1;
        if self.segments.len() == SEGMENTS_MAX
            && let Some((&oldest, segment)) = self.segments.first_key_value()
        {
            if !segment.is_final {
                self.miss_oldest(oldest, now);
            }
            self.segments.remove(&oldest);
        }
        self.segments.insert(number, segment);
        number
    }

    fn close_segment(&mut self, speaker: Speaker, ended_at: Instant) {
        let Some(number) = self.ears[speaker as usize].open.take() else { return };
        self.effects.push_back(Effect::End(speaker, number));
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.ended_at = Some(ended_at);
            self.publish_missed(number);
        }
    }

    fn unfinished(&self, speaker: Speaker) -> Vec<u64> {
        let of_speaker = self.segments.iter().filter(|(_, segment)| segment.speaker == speaker && !segment.is_final);
        of_speaker.map(|(number, _)| *number).collect()
    }

    fn miss(&mut self, number: u64, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.is_final || segment.missed {
            return;
        }
        segment.missed = true;
        segment.text.clear();
        let speaker = segment.speaker;
        self.listening.set_recognised(speaker, false);
        self.forget_turn(speaker, number, now);
        self.publish_missed(number);
    }

    /// Reports a segment as missed before it is forgotten, whether or not its speech has ended.
    fn miss_oldest(&mut self, number: u64, now: Instant) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.ended_at.get_or_insert(now);
        }
        self.miss(number, now);
        self.publish_missed(number);
        self.publish(number, false, now);
        self.changed.remove(&number);
    }

    fn publish_missed(&mut self, number: u64) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.missed && !segment.is_final && segment.ended_at.is_some() {
            segment.is_final = true;
            self.changed.insert(number);
        }
    }

    fn forget_turn(&mut self, speaker: Speaker, number: u64, now: Instant) {
        self.conversation.forget_turn(speaker.party(), turn(number), self.time(now));
    }

    /// Gives the text of a segment to the conversation.
    fn hypothesise(&mut self, number: u64, is_final: bool, now: Instant) {
        let Some(segment) = self.segments.get(&number) else { return };
        let (listening, words) = (segment.listening, segment.words(self.epoch));
        let hypothesis = Hypothesis { listening, turn: turn(number), words, settled: 0, is_final };
        self.conversation.on_hypothesis(segment.speaker.party(), &hypothesis, self.time(now));
    }

    /// Returns whether a text of a segment is what its speaker was played when the segment began. Clauses that were cut from it stay.
    fn is_echo(&self, number: u64, text: &str) -> bool {
        let Some(segment) = self.segments.get(&number).filter(|segment| segment.clauses.is_empty()) else {
            return false;
        };
        let Some(began) = segment.began_at.map(|at| self.time(at)) else { return false };
        let others = self.segments.values().filter(|other| other.speaker != segment.speaker);
        let mut played =
            others.flat_map(|other| &other.clauses).skip_while(|clause| !clause.sounds_at(began)).peekable();
        played.peek().is_some() && is_repeated(text, played.filter_map(|clause| clause.spoken()))
    }

    fn clause_mut(&mut self, id: ClauseId) -> Option<(u64, &mut Clause)> {
        let mut all = self.segments.iter_mut().rev();
        all.find_map(|(number, segment)| {
            Some((*number, segment.clauses.iter_mut().rev().find(|clause| clause.id == id)?))
        })
    }

    /// Carries out what the conversation has decided, and publishes what has changed.
    fn settle(&mut self, now: Instant) {
        self.change_languages(now);
        while let Some(decided) = self.conversation.poll_effect() {
            self.on_decided(decided, now);
        }
        self.effects.extend(self.listening.news().map(Effect::Listeners));
        let changed = std::mem::take(&mut self.changed);
        for number in std::mem::take(&mut self.reworded).difference(&changed) {
            self.publish(*number, true, now);
        }
        for number in changed {
            self.publish(number, false, now);
        }
    }

    fn on_decided(&mut self, decided: Decided, now: Instant) {
        match decided {
            Decided::Listen(party, listening) => {
                if let Some(side) = Speaker::of(party) {
                    self.ears[side as usize].listening = listening;
                }
            }
            Decided::Unlisten(_) | Decided::BackChannel(..) => {}
            Decided::EndTurn(party, _) => {
                let Some(side) = Speaker::of(party) else { return };
                if let Some(ended_at) = self.ears[side as usize].endpointer.finish() {
                    self.close_segment(side, ended_at);
                }
            }
            Decided::Translate(request) => self.on_clause(request, now),
            Decided::Speak { clause, revision } => self.speak(clause, revision, now),
            Decided::Play { listener, clause, speed, .. } => self.play(listener, clause, speed, now),
            Decided::Stop(listener, clause) => {
                let time = self.time(now);
                if let Some((_, found)) = self.clause_mut(clause) {
                    found.played.get_or_insert(time);
                }
                self.effects.extend(Speaker::of(listener).map(|side| Effect::Stop(side, clause)));
            }
            Decided::Show(_, clause) | Decided::Dropped(_, clause) => self.set_heard(clause, ClauseHeard::Text),
            Decided::Lost(_, clause) => self.set_heard(clause, ClauseHeard::Original),
            Decided::Level(listener, level) => {
                if let Some(side) = Speaker::of(listener) {
                    self.listening.set_level(side, level);
                }
            }
            Decided::Translated(clause, text, differences) => {
                let time = self.time(now);
                let Some((number, found)) = self.clause_mut(clause) else { return };
                found.stamps.stamp(Stage::Translated, time);
                found.translation = Some(text);
                found.differences = differences.iter().map(Difference::to_string).collect();
                self.changed.insert(number);
            }
            Decided::Corrected(party, number, _) => {
                if let Some(segment) = self.segments.get_mut(&u64::from(number))
                    && Some(segment.speaker) == Speaker::of(party)
                {
                    segment.corrections += 1;
                    self.changed.insert(u64::from(number));
                }
            }
        }
    }

    /// Adds a clause to its segment, or its new words, and passes it on to the translator.
    fn on_clause(&mut self, request: Request, now: Instant) {
        let number = u64::from(request.turn);
        let stamps = self.conversation.stamps(request.clause).unwrap_or_default();
        if let Some(segment) = self.segments.get_mut(&number) {
            match segment.clauses.iter_mut().find(|clause| clause.id == request.clause) {
                Some(clause) => clause.text = request.text(),
                None => segment.clauses.push(Clause::new(&request, stamps)),
            }
            self.changed.insert(number);
        }
        if is_same(&request.from, &request.to) {
            // Text that was typed in the listener's language.
            self.on_text(request.clause, request.revision, &request.text(), now);
        } else {
            self.effects.push_back(Effect::Translate(request));
        }
    }

    /// Takes the text that a listener gets of a clause.
    fn on_text(&mut self, clause: ClauseId, revision: u32, text: &str, now: Instant) {
        if let Some((_, found)) = self.clause_mut(clause) {
            text.clone_into(&mut found.returned);
        }
        self.conversation.on_translation(clause, revision, Translation::Done(text.to_owned()), self.time(now));
    }

    /// Has a clause synthesised if its listener can hear it.
    fn speak(&mut self, id: ClauseId, revision: u32, now: Instant) {
        let Some((number, clause)) = self.clause_mut(id) else { return };
        let (text, language) = (std::mem::take(&mut clause.returned), clause.language.clone());
        let Some(speaker) = self.segments.get(&number).map(|segment| segment.speaker) else { return };
        if self.is_spoken(speaker) && !text.is_empty() {
            self.effects.push_back(Effect::Speak { speaker, clause: id, revision, text, language });
        } else {
            self.conversation.on_voice(id, revision, Voice::Failed, self.time(now));
        }
    }

    fn play(&mut self, listener: PartyId, id: ClauseId, speed: f32, now: Instant) {
        let Some(side) = Speaker::of(listener) else {
            self.set_heard(id, ClauseHeard::Text);
            return self.conversation.on_played(listener, id, self.time(now));
        };
        if let Some((number, clause)) = self.clause_mut(id) {
            (clause.heard, clause.speed) = (ClauseHeard::Voice, speed);
            self.changed.insert(number);
        }
        self.effects.push_back(Effect::Play(side, id, speed));
    }

    fn set_heard(&mut self, id: ClauseId, heard: ClauseHeard) {
        if let Some((number, clause)) = self.clause_mut(id) {
            clause.heard = heard;
            self.changed.insert(number);
        }
        self.effects.push_back(Effect::Discard(id));
    }

    fn publish(&mut self, number: u64, is_passing: bool, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        // Its end is awaited, so that its duration is known.
        if segment.missed && !segment.is_final {
            return;
        }
        let party = segment.speaker.party();
        if let Some(committed) = self.conversation.committed(party, turn(number)).filter(|_| segment.began_at.is_some())
        {
            segment.committed = u32::try_from(committed).unwrap_or(u32::MAX);
        }
        segment.revision += 1;
        let voice = self.listening.wants_voice(segment.speaker.other());
        let event = TranslationEvent { is_passing, ..segment.event(number, voice, now) };
        self.effects.push_back(Effect::Publish(event));
    }
}

/// Returns the turn of the conversation that a segment is.
fn turn(segment: u64) -> u32 {
    u32::try_from(segment).unwrap_or(u32::MAX)
}
