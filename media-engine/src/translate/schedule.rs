//! What one listener hears of the clauses meant for it: their order, as voice or as text, and how fast.
//!
//! ```text
//! clause ─▶ queue, in order ─▶ Step::Play(speed)        one voice at a time
//!  translated, ready, failed ▶       │ later than the budget
//!                                    └▶ Step::Text      shown, not spoken
//! ```
//!
//! The *lateness* of a clause is the time from the end of its capture until it could begin to play. The budget limits it in steps,
//! each announced as [`Step::Level`]: faster speech, then text only, then the original at full level; and back. A single late clause
//! is shown without a change of level; several in a row are. A level is left at a lower lateness than it is entered at, so that it
//! does not flap. A share of the words ([`Limits::voice_share`]) stays voice
//! even when it is late, up to [`Limits::give_up`].
//!
//! Invariants: clauses play in the order in which they were queued, one at a time; what plays is never interrupted here; a clause
//! leaves the queue exactly once, as voice, text or lost; the queue holds at most [`QUEUE_MAX`] clauses. Not here: changing the speed
//! without changing the pitch, and fading (the player).

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Maximum number of clauses that wait for a listener. When it is reached, the oldest one becomes text.
pub const QUEUE_MAX: usize = 64;
/// Budget of a listener that has chosen none.
pub const BUDGET: Duration = Duration::from_secs(3);
/// Highest speed of a voice.
pub const SPEED_MAX: f32 = 1.25;

/// Limits of one listener's schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Highest lateness of a clause that is spoken, as far as `voice_share` permits.
    pub budget: Duration,
    /// Share of the words that is spoken even when late, from 0 to 1. With 1 every clause is, up to `give_up`.
    pub voice_share: f32,
    /// Lateness from which nothing is spoken, whatever the share; at least `budget`.
    pub give_up: Duration,
    /// Highest speed, from 1 to [`SPEED_MAX`].
    pub speed: f32,
}

impl Limits {
    /// Returns the limits of a listener with this budget.
    pub fn of_budget(budget: Duration) -> Limits {
        Limits { budget, voice_share: 0.91, give_up: budget.mul_f32(1.5), speed: SPEED_MAX }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::of_budget(BUDGET)
    }
}

/// How a listener is served, from the least late to the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Voice at normal speed.
    #[default]
    Voice,
    /// Voice that is sped up.
    Faster,
    /// Text only, until what follows is in time again.
    Text,
    /// The original at full level: translations do not come.
    Original,
}

impl Level {
    /// Returns the name as in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Voice => "voice",
            Level::Faster => "faster",
            Level::Text => "text",
            Level::Original => "original",
        }
    }
}

/// Decision about the next clause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<K> {
    /// Play the voice of the clause from now on, at a speed from 1 to [`SPEED_MAX`].
    Play {
        /// Clause to play.
        clause: K,
        /// Factor of the speed.
        speed: f32,
    },
    /// Show the clause as text as soon as it is translated; its voice is not needed.
    Text(K),
    /// The clause cannot be translated; the original is all there is.
    Lost(K),
    /// The listener is served at another level.
    Level(Level),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// The first sample of the voice is there.
    Ready,
    /// There is a translation without a voice.
    Mute,
    Failed,
}

#[derive(Debug)]
struct Queued<K> {
    clause: K,
    words: usize,
    captured: Duration,
    state: State,
}

#[derive(Debug)]
struct Playing<K> {
    clause: K,
    words: usize,
    since: Duration,
    speed: f32,
}

/// Queue of one listener. `K` identifies a clause.
#[derive(Debug)]
pub struct Schedule<K> {
    limits: Limits,
    queue: VecDeque<Queued<K>>,
    playing: Option<Playing<K>>,
    level: Level,
    announced: Level,
    /// Duration of a word at normal speed, as played so far.
    word: Duration,
    /// Words of late: all, and those that were shown only; halved now and then.
    words: f32,
    shown: f32,
    /// Numbers of successive clauses that were shown, and that had no translation.
    shown_in_row: u32,
    failures: u32,
}

/// Duration of a word before any was played.
const WORD: Duration = Duration::from_millis(420);
/// Number of words after which the shares of voice and text are halved, so that they follow the call.
const WORDS_MAX: f32 = 600.0;
/// Multiple of the lateness at which voice is given up, from which the original is heard.
const ORIGINAL_FROM: f32 = 1.33;
/// Number of words by which the share of voice is reckoned in advance at the beginning of a call.
const FIRST_WORDS: f32 = 60.0;
/// Number of successive clauses shown after which the level is text only.
const SHOWN: u32 = 3;
/// Number of successive clauses without translation after which the original is heard.
const FAILURES: u32 = 3;
/// Shares of the budget: where voice speeds up and is fastest, where a clause without voice makes room for the next one, and below
/// which voice resumes after text only.
const FASTER_FROM: f32 = 0.33;
const FASTEST_FROM: f32 = 0.6;
const SKIP_FROM: f32 = 0.8;
const RESUME_BELOW: f32 = 0.85;

impl<K: Copy + PartialEq> Schedule<K> {
    /// Creates an empty schedule.
    pub fn new(limits: Limits) -> Schedule<K> {
        Schedule {
            limits,
            queue: VecDeque::new(),
            playing: None,
            level: Level::Voice,
            announced: Level::Voice,
            word: WORD,
            words: 0.0,
            shown: 0.0,
            shown_in_row: 0,
            failures: 0,
        }
    }

    /// Queues a clause of `words` words whose capture ended at `captured`. Returns a clause that had to become text because the queue
    /// is full.
    pub fn push(&mut self, clause: K, words: usize, captured: Duration) -> Option<K> {
        let oldest = if self.queue.len() >= QUEUE_MAX { self.queue.pop_front() } else { None };
        self.queue.push_back(Queued { clause, words, captured, state: State::Waiting });
        let oldest = oldest?;
        self.count(oldest.words, true);
        Some(oldest.clause)
    }

    /// The first sample of the clause's voice is there.
    pub fn on_ready(&mut self, clause: K) {
        self.set(clause, State::Ready);
    }

    /// The clause is translated but will have no voice.
    pub fn on_mute(&mut self, clause: K) {
        self.set(clause, State::Mute);
    }

    /// The clause will not be translated.
    pub fn on_failed(&mut self, clause: K) {
        self.set(clause, State::Failed);
    }

    /// The clause has been played to its end.
    pub fn on_played(&mut self, clause: K, now: Duration) {
        let Some(played) = self.playing.take_if(|playing| playing.clause == clause) else { return };
        let took = now.saturating_sub(played.since).mul_f32(played.speed) / played.words.max(1) as u32;
        let word = took.clamp(WORD / 4, WORD * 4);
        self.word = (self.word * 7 + word) / 8;
    }

    /// Removes a clause, whether it waits or plays.
    pub fn remove(&mut self, clause: K) {
        self.queue.retain(|queued| queued.clause != clause);
        self.playing.take_if(|playing| playing.clause == clause);
    }

    /// Returns the level at which the listener is served.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Returns the clause that plays.
    pub fn playing(&self) -> Option<K> {
        self.playing.as_ref().map(|playing| playing.clause)
    }

    /// Returns the time that is needed for what plays and what is queued, as estimated from what was played.
    pub fn busy(&self, now: Duration) -> Duration {
        let of = |words: usize, speed: f32| self.word.mul_f32(words.min(1_000) as f32 / speed.max(0.1));
        let playing = self.playing.as_ref().map_or(Duration::ZERO, |playing| {
            of(playing.words, playing.speed).saturating_sub(now.saturating_sub(playing.since))
        });
        playing + of(self.queue.iter().map(|queued| queued.words).sum(), self.limits.speed)
    }

    /// Returns the next decision that is due, or `None`. To be asked until there is none, after every change and at the time of
    /// [`Schedule::poll_timeout`].
    pub fn poll(&mut self, now: Duration) -> Option<Step<K>> {
        if self.announced != self.level {
            self.announced = self.level;
            return Some(Step::Level(self.level));
        }
        if self.playing.is_some() {
            return None;
        }
        let head = self.queue.front()?;
        let lateness = now.saturating_sub(head.captured);
        match head.state {
            State::Failed => {
                self.failures += 1;
                if self.failures >= FAILURES {
                    self.level = Level::Original;
                }
                self.take(|clause, _| Step::Lost(clause))
            }
            State::Mute => self.text(lateness),
            State::Waiting if self.gives_up(lateness) => self.text(lateness),
            State::Waiting => None,
            State::Ready if self.is_too_late(lateness) => self.text(lateness),
            State::Ready => self.play(lateness, now),
        }
    }

    /// Returns the time at which [`Schedule::poll`] may have a decision without anything else happening.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let head = self.queue.front().filter(|head| self.playing.is_none() && head.state == State::Waiting)?;
        let limits = [self.limits.budget.mul_f32(SKIP_FROM), self.limits.budget, self.limits.give_up];
        limits.into_iter().map(|limit| head.captured.saturating_add(limit)).find(|at| *at > now)
    }

    fn set(&mut self, clause: K, state: State) {
        if let Some(queued) = self.queue.iter_mut().find(|queued| queued.clause == clause) {
            queued.state = state;
        }
    }

    /// Returns whether a clause without voice is given up, because it is too late or keeps those back that are ready.
    fn gives_up(&self, lateness: Duration) -> bool {
        let next_is_ready = self.queue.get(1).is_some_and(|next| next.state == State::Ready);
        let skips = next_is_ready && lateness >= self.limits.budget.mul_f32(SKIP_FROM);
        (skips && self.may_show()) || self.is_too_late(lateness)
    }

    fn is_too_late(&self, lateness: Duration) -> bool {
        let factor = if self.level >= Level::Text { RESUME_BELOW } else { 1.0 };
        let is_late = lateness >= self.limits.budget.mul_f32(factor);
        (is_late && self.may_show()) || lateness >= self.limits.give_up
    }

    /// Returns whether the share of voice permits that the next clause is shown only.
    fn may_show(&self) -> bool {
        let head = self.queue.front().map_or(0, |head| head.words) as f32;
        self.shown + head <= (1.0 - self.limits.voice_share) * (self.words + head + FIRST_WORDS)
    }

    fn text(&mut self, lateness: Duration) -> Option<Step<K>> {
        let limit =
            if self.level == Level::Original { self.limits.budget } else { self.limits.give_up.mul_f32(ORIGINAL_FROM) };
        self.shown_in_row = self.shown_in_row.saturating_add(1);
        if lateness >= limit {
            self.level = Level::Original;
        } else if self.shown_in_row >= SHOWN || self.level == Level::Original {
            self.level = Level::Text;
        }
        self.take(|clause, _| Step::Text(clause))
    }

    fn play(&mut self, lateness: Duration, now: Duration) -> Option<Step<K>> {
        // What waits behind the clause gains by its end as well.
        let behind = self.queue.iter().skip(1).map(|queued| queued.words).sum::<usize>();
        let behind = self.word * behind.min(1_000) as u32;
        let share = (lateness + behind).as_secs_f32() / self.limits.budget.as_secs_f32().max(0.001);
        let rise = ((share - FASTER_FROM) / (FASTEST_FROM - FASTER_FROM)).clamp(0.0, 1.0);
        let speed = 1.0 + (self.limits.speed.clamp(1.0, SPEED_MAX) - 1.0) * rise;
        // Back to normal only when there is some distance to where it sped up.
        let stays_faster = self.level == Level::Faster && share > FASTER_FROM / 2.0;
        self.level = if speed > 1.0 || stays_faster { Level::Faster } else { Level::Voice };
        (self.shown_in_row, self.failures) = (0, 0);
        let head = self.queue.pop_front()?;
        self.count(head.words, false);
        self.playing = Some(Playing { clause: head.clause, words: head.words, since: now, speed });
        Some(Step::Play { clause: head.clause, speed })
    }

    fn take(&mut self, step: impl FnOnce(K, usize) -> Step<K>) -> Option<Step<K>> {
        let head = self.queue.pop_front()?;
        self.count(head.words, true);
        Some(step(head.clause, head.words))
    }

    fn count(&mut self, words: usize, is_shown: bool) {
        self.words += words as f32;
        self.shown += if is_shown { words as f32 } else { 0.0 };
        if self.words > WORDS_MAX {
            self.words /= 2.0;
            self.shown /= 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn schedule() -> Schedule<u32> {
        Schedule::new(Limits::default())
    }

    /// Returns all decisions that are due, without changes of the level.
    fn steps(schedule: &mut Schedule<u32>, now: u64) -> Vec<Step<u32>> {
        let steps = std::iter::from_fn(|| schedule.poll(ms(now)));
        steps.filter(|step| !matches!(step, Step::Level(_))).collect()
    }

    fn levels(schedule: &mut Schedule<u32>, now: u64) -> Vec<Level> {
        let level = |step| if let Step::Level(level) = step { Some(level) } else { None };
        std::iter::from_fn(|| schedule.poll(ms(now))).filter_map(level).collect()
    }

    #[test]
    fn clauses_play_in_order_and_one_at_a_time() {
        let mut schedule = schedule();
        schedule.push(1, 1, ms(0));
        schedule.push(2, 1, ms(0));
        schedule.on_ready(2);
        assert_eq!(steps(&mut schedule, 100), []);
        schedule.on_ready(1);
        assert_eq!(steps(&mut schedule, 200), [Step::Play { clause: 1, speed: 1.0 }]);
        schedule.on_played(2, ms(300));
        assert_eq!(steps(&mut schedule, 300), [], "only the end of what plays makes room");
        schedule.on_played(1, ms(400));
        assert_eq!(steps(&mut schedule, 400), [Step::Play { clause: 2, speed: 1.0 }]);
    }

    #[test]
    fn lateness_speeds_up_then_shows_text_then_gives_way_to_the_original_and_back() {
        let mut schedule = schedule();
        let mut at = |lateness: u64, n: u32| {
            schedule.push(n, 1, ms(10_000));
            schedule.on_ready(n);
            let levels = levels(&mut schedule, 10_000 + lateness);
            schedule.on_played(n, ms(10_400 + lateness));
            levels
        };
        assert_eq!(at(500, 1), []);
        assert_eq!(at(2_000, 2), [Level::Faster]);
        assert_eq!(at(3_000, 3), [], "a single late clause is shown");
        assert_eq!(at(3_000, 4), []);
        assert_eq!(at(3_000, 5), [Level::Text]);
        assert_eq!(at(2_600, 6), [], "voice resumes below 0.85 of the budget");
        assert_eq!(at(6_000, 7), [Level::Original]);
        assert_eq!(at(2_000, 8), [Level::Faster]);
        assert_eq!(at(700, 9), [], "normal speed resumes at half of where it was left");
        assert_eq!(at(400, 10), [Level::Voice]);
    }

    #[test]
    fn a_share_of_the_words_stays_voice_until_it_is_given_up() {
        let mut schedule = schedule();
        let mut shown = 0;
        for n in 0..200 {
            schedule.push(n, 2, ms(0));
            schedule.on_ready(n);
            shown += steps(&mut schedule, 4_000).iter().filter(|step| matches!(step, Step::Text(_))).count();
            schedule.on_played(n, ms(4_500));
        }
        assert!((15..=20).contains(&shown), "{shown} of 200 are text");
        schedule.push(900, 2, ms(0));
        schedule.on_ready(900);
        assert_eq!(steps(&mut schedule, 4_500), [Step::Text(900)]);
    }

    #[test]
    fn a_clause_that_keeps_ready_ones_back_is_shown_early() {
        let mut schedule = schedule();
        schedule.push(1, 2, ms(0));
        schedule.push(2, 2, ms(500));
        schedule.on_ready(2);
        let at = schedule.poll_timeout(ms(0)).expect("a time-out");
        assert!(at > ms(2_000) && at < ms(3_000));
        assert_eq!(steps(&mut schedule, 2_000), []);
        let due = steps(&mut schedule, at.as_millis() as u64 + 1);
        assert!(matches!(due[..], [Step::Text(1), Step::Play { clause: 2, .. }]), "{due:?}");
    }

    #[test]
    fn failures_are_lost_and_several_in_a_row_bring_the_original_back() {
        let mut schedule = schedule();
        for n in 0..3 {
            schedule.push(n, 2, ms(0));
            schedule.on_failed(n);
        }
        assert_eq!(steps(&mut schedule, 10), [Step::Lost(0), Step::Lost(1), Step::Lost(2)]);
        assert_eq!(schedule.level(), Level::Original);
    }

    #[test]
    fn a_full_queue_shows_its_oldest_clause() {
        let mut schedule = schedule();
        let overflow: Vec<u32> = (0..QUEUE_MAX as u32 + 2).filter_map(|n| schedule.push(n, 1, ms(0))).collect();
        assert_eq!(overflow, [0, 1]);
        assert_eq!(schedule.queue.len(), QUEUE_MAX);
    }

    #[test]
    fn the_backlog_is_estimated_from_what_was_played() {
        let mut schedule = schedule();
        for n in 0..40 {
            schedule.push(n, 2, ms(0));
            schedule.on_ready(n);
            steps(&mut schedule, 100);
            schedule.on_played(n, ms(1_700));
        }
        schedule.push(99, 5, ms(0));
        let busy = schedule.busy(ms(0)).as_millis();
        assert!((2_900..3_300).contains(&busy), "5 words of 800 ms at 1.25: {busy} ms");
    }
}
