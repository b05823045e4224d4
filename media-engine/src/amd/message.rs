//! The moment at which a message may begin, and a person who speaks while it plays.
//!
//! ```text
//!   sound, beeps ─▶ Waiting ─ beep, or quiet for long enough ─▶ Begin ─▶ Playing ─ speech ─▶ Human
//!                                                                 ▲        └─ a beep after all ─┐
//!                                                                 └─────────────────────────────┘
//! ```
//!
//! A message begins when the beep that follows a greeting has ended. When none comes within the time that is given for it after the
//! last speech, the message begins without one; a beep that comes soon after that begins it anew, since only what follows the beep
//! is recorded. While it plays, a voicemail is silent: speech that lasts is a person.
//!
//! Invariants: a decision rests only on sound that was heard; nothing is allocated after `new`. Not here: the detector of beeps
//! (`codecs::progress`), the message's sound and its playing (the engine).

use std::time::Duration;

use codecs::SampleRate;
use codecs::progress::Beep;
use codecs::vad::Vad;

/// Quiet after a beep before the message begins: a second pulse of a beep would have begun.
const AFTER_BEEP: Duration = Duration::from_millis(140);
/// Longest time between the end of a beep and the request for a message that still begins at once.
const FRESH_BEEP: Duration = Duration::from_secs(8);
/// Longest greeting that is waited out.
const LONGEST_GREETING: Duration = Duration::from_secs(90);
/// Speech that must be heard within [`HUMAN_WITHIN`] while the message plays for a person to be noticed.
const HUMAN_SPEECH: u32 = 32;
/// Frames of 20 ms in which that speech must fall.
const HUMAN_WITHIN: usize = 60;
/// Quiet frames that must precede such speech, so that a greeting that goes on is none.
const HUMAN_QUIET: u32 = 20;
/// Level below the loudest speech at which speech is no longer taken for the far end's: an echo of the message.
const ECHO_DB: f32 = 18.0;
/// Least level of a person, if the greeting was not heard.
const PERSON_DBFS: f32 = -48.0;
/// Time after the start of a message without a beep in which a beep begins it anew.
const LATE_BEEP: Duration = Duration::from_secs(15);
/// Length of the frames that are taken.
const FRAME: Duration = Duration::from_millis(20);

/// What a message waited for before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageAfter {
    /// The end of a beep.
    Beep,
    /// The end of the greeting, because no beep came within the limit.
    GreetingEnd,
    /// The time limit, because the leg went on speaking.
    Limit,
}

/// What the driver of a message is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCue {
    /// Play the message from its beginning, also when it is playing already.
    Begin(MessageAfter),
    /// A person speaks while the message plays.
    Human,
}

/// Watches one leg for the sake of a message.
pub struct MessageWatch {
    vad: Vad,
    /// Time to wait for a beep after the last speech.
    beep: Duration,
    for_machine: bool,
    state: State,
    /// Sound that was heard since the answer.
    heard: Duration,
    asked: Duration,
    speech_end: Duration,
    /// End of the newest beep.
    beeped: Option<Duration>,
    loudest: f32,
    quiet: u32,
    recent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Playing { since: Duration, after: MessageAfter },
    Over,
}

impl MessageWatch {
    /// Creates a watch on a leg's sound at `rate`, of which `heard` was heard before, the last speech ending at `speech_end`, and
    /// the newest beep being `beep`. The message begins without a beep after `wait`; with `for_machine`, a person who speaks while
    /// it plays is noticed.
    pub fn new(
        rate: SampleRate,
        (heard, speech_end, beep): (Duration, Option<Duration>, Option<Beep>),
        (wait, for_machine): (Duration, bool),
    ) -> MessageWatch {
        let speech_end = speech_end.unwrap_or_default();
        let end = |beep: Beep| Duration::from_millis(beep.end_ms.into());
        let is_fresh = |end: &Duration| *end >= speech_end && heard.saturating_sub(*end) <= FRESH_BEEP;
        MessageWatch {
            vad: Vad::new(rate),
            beep: wait,
            for_machine,
            state: State::Waiting,
            heard,
            asked: heard,
            speech_end,
            beeped: beep.map(end).filter(is_fresh),
            loudest: PERSON_DBFS + ECHO_DB,
            quiet: 0,
            recent: 0,
        }
    }

    /// Takes a beep that the detector has found. A later pulse of the same beep replaces it.
    pub fn on_beep(&mut self, beep: &Beep) {
        self.beeped = Some(Duration::from_millis(beep.end_ms.into()));
    }

    /// Takes the next 20 ms of sound, and returns what is to be done.
    pub fn push(&mut self, frame: &[i16]) -> Option<MessageCue> {
        self.heard += FRAME;
        let speaks = self.vad.push(frame) && self.beeped.is_none_or(|end| self.heard > end + AFTER_BEEP);
        let level = codecs::tones::level_dbfs(frame);
        if speaks {
            self.speech_end = self.heard;
        }
        match self.state {
            State::Waiting => {
                if speaks {
                    self.loudest = self.loudest.max(level);
                }
                self.waiting()
            }
            State::Playing { since, after } => self.playing(since, after, speaks && level > self.loudest - ECHO_DB),
            State::Over => None,
        }
    }

    fn waiting(&mut self) -> Option<MessageCue> {
        let after = match self.beeped {
            Some(end) if self.heard >= end + AFTER_BEEP => MessageAfter::Beep,
            Some(_) => return None,
            None if self.heard.saturating_sub(self.speech_end.max(self.asked)) >= self.beep => {
                MessageAfter::GreetingEnd
            }
            None if self.heard.saturating_sub(self.asked) >= LONGEST_GREETING => MessageAfter::Limit,
            None => return None,
        };
        self.begin(after)
    }

    fn begin(&mut self, after: MessageAfter) -> Option<MessageCue> {
        self.state = State::Playing { since: self.heard, after };
        (self.beeped, self.quiet, self.recent) = (None, 0, 0);
        if after == MessageAfter::Beep {
            self.quiet = HUMAN_QUIET;
        }
        Some(MessageCue::Begin(after))
    }

    fn playing(&mut self, since: Duration, after: MessageAfter, speaks: bool) -> Option<MessageCue> {
        let late = self.heard.saturating_sub(since) <= LATE_BEEP;
        let pulse = self.heard.saturating_sub(since) <= Duration::from_secs(1);
        if let Some(end) = self.beeped
            && if after == MessageAfter::Beep { pulse } else { late }
        {
            return if self.heard >= end + AFTER_BEEP { self.begin(MessageAfter::Beep) } else { None };
        }
        if self.quiet < HUMAN_QUIET {
            self.quiet = if speaks { 0 } else { self.quiet + 1 };
            return None;
        }
        self.recent = (self.recent << 1 | u64::from(speaks)) & ((1 << HUMAN_WITHIN) - 1);
        if self.for_machine && self.recent.count_ones() >= HUMAN_SPEECH {
            self.state = State::Over;
            return Some(MessageCue::Human);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use codecs::progress::{BeepKind, Tone};

    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;
    const WAIT: Duration = Duration::from_secs(4);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn beep(start_ms: u32, end_ms: u32) -> Beep {
        let tone = Tone { start_ms, end_ms, frequencies: [1_000.0, 0.0, 0.0], ..Tone::default() };
        Beep { start_ms, end_ms, tone, kind: BeepKind::Single, pulses: 1, revises: false, above_floor_db: 40.0 }
    }

    /// Returns frame `n` of a voice with a level of about −20 dBFS.
    fn voice(n: u32) -> Vec<i16> {
        let sample = |i: u32| {
            let t = f64::from(n * 160 + i) / 8_000.0;
            let pitch = 120.0 + 15.0 * (std::f64::consts::TAU * 3.0 * t).sin();
            let harmonics = (1..24).map(|h| {
                let hz = pitch * f64::from(h);
                let formants = [500.0, 1_500.0, 2_500.0].map(|f: f64| 1.0 / (1.0 + ((hz - f) / 120.0).powi(2)));
                (std::f64::consts::TAU * hz * t).sin() * (0.02 + formants.iter().sum::<f64>())
            });
            let syllable = 0.5 + 0.5 * (std::f64::consts::TAU * 4.0 * t).sin();
            (3_500.0 * syllable * harmonics.sum::<f64>()) as i16
        };
        (0..160).map(sample).collect()
    }

    /// Plays frames until a cue comes, and returns it with the time at which it came.
    fn play(
        watch: &mut MessageWatch,
        from: u32,
        count: u32,
        sound: impl Fn(u32) -> Vec<i16>,
    ) -> Option<(MessageCue, Duration)> {
        (from..from + count).find_map(|n| watch.push(&sound(n)).map(|cue| (cue, FRAME * (n + 1))))
    }

    fn silence(_: u32) -> Vec<i16> {
        vec![0; 160]
    }

    #[test]
    fn a_message_begins_after_the_beep_that_ends_the_greeting() {
        let mut watch = MessageWatch::new(RATE, (Duration::ZERO, None, None), (WAIT, true));
        assert_eq!(play(&mut watch, 0, 150, voice), None, "the greeting is waited out");
        assert_eq!(play(&mut watch, 150, 20, silence), None);
        watch.on_beep(&beep(3_000, 3_300));
        let (cue, at) = play(&mut watch, 170, 50, silence).expect("a cue");
        assert_eq!(cue, MessageCue::Begin(MessageAfter::Beep));
        assert!(at <= ms(3_300) + ms(160), "{at:?}");
    }

    #[test]
    fn a_beep_that_was_heard_just_before_counts_and_an_old_one_does_not() {
        let mut fresh = MessageWatch::new(RATE, (ms(4_000), Some(ms(3_000)), Some(beep(3_200, 3_500))), (WAIT, true));
        assert_eq!(fresh.push(&silence(0)), Some(MessageCue::Begin(MessageAfter::Beep)));
        let mut spoken = MessageWatch::new(RATE, (ms(6_000), Some(ms(6_000)), Some(beep(3_200, 3_500))), (WAIT, true));
        assert_eq!(play(&mut spoken, 0, 150, silence), None, "the greeting went on after it");
    }

    #[test]
    fn without_a_beep_a_message_begins_when_the_greeting_has_ended_for_long_enough() {
        let mut watch = MessageWatch::new(RATE, (Duration::ZERO, None, None), (WAIT, true));
        assert_eq!(play(&mut watch, 0, 100, voice), None);
        let (cue, at) = play(&mut watch, 100, 300, silence).expect("a cue");
        assert_eq!(cue, MessageCue::Begin(MessageAfter::GreetingEnd));
        assert!(at >= ms(2_000) + WAIT && at <= ms(2_300) + WAIT, "{at:?}");
        let mut endless = MessageWatch::new(RATE, (Duration::ZERO, None, None), (WAIT, true));
        let (cue, at) = play(&mut endless, 0, 6_000, voice).expect("a cue");
        assert_eq!((cue, at), (MessageCue::Begin(MessageAfter::Limit), LONGEST_GREETING));
    }

    #[test]
    fn a_second_pulse_and_a_late_beep_begin_the_message_anew() {
        let mut watch = MessageWatch::new(RATE, (ms(4_000), None, Some(beep(3_500, 3_800))), (WAIT, true));
        assert_eq!(watch.push(&silence(0)), Some(MessageCue::Begin(MessageAfter::Beep)));
        watch.on_beep(&beep(3_500, 4_200));
        let (cue, at) = play(&mut watch, 1, 50, silence).expect("a cue");
        assert_eq!(cue, MessageCue::Begin(MessageAfter::Beep));
        assert!(at + ms(4_000) <= ms(4_400), "{at:?}");
        let mut late = MessageWatch::new(RATE, (ms(9_000), None, None), (ms(1_000), true));
        assert_eq!(play(&mut late, 0, 60, silence).expect("a cue").0, MessageCue::Begin(MessageAfter::GreetingEnd));
        late.on_beep(&beep(10_500, 10_900));
        assert_eq!(play(&mut late, 60, 60, silence).expect("a cue").0, MessageCue::Begin(MessageAfter::Beep));
    }

    #[test]
    fn a_person_who_speaks_during_the_message_is_noticed_within_a_second_and_a_half() {
        let begun = || {
            let mut watch = MessageWatch::new(RATE, (ms(4_000), None, Some(beep(3_500, 3_800))), (WAIT, true));
            assert!(watch.push(&silence(0)).is_some());
            watch
        };
        let mut watch = begun();
        assert_eq!(play(&mut watch, 1, 100, silence), None);
        let (cue, at) = play(&mut watch, 101, 100, voice).expect("a cue");
        assert_eq!(cue, MessageCue::Human);
        assert!(at <= ms(2_020) + ms(1_500), "{at:?}");
        assert_eq!(play(&mut watch, 201, 100, voice), None, "a person is reported once");
        let mut quiet = begun();
        let hum = |n: u32| voice(n).into_iter().map(|sample| sample / 40).collect();
        assert_eq!(play(&mut quiet, 1, 500, hum), None, "an echo far below a voice is no person");
    }

    #[test]
    fn a_greeting_that_goes_on_after_the_limit_is_no_person() {
        let mut watch = MessageWatch::new(RATE, (Duration::ZERO, None, None), (WAIT, true));
        let begun = play(&mut watch, 0, 6_000, voice).expect("a cue");
        assert_eq!(begun.0, MessageCue::Begin(MessageAfter::Limit));
        assert_eq!(play(&mut watch, 0, 200, voice), None);
        assert_eq!(play(&mut watch, 200, 30, silence), None);
        assert_eq!(play(&mut watch, 230, 100, voice).map(|(cue, _)| cue), Some(MessageCue::Human));
    }
}
