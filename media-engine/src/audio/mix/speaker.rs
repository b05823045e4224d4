//! Finds the active speaker of a room from the levels of its parties.
//!
//! ```text
//! mean square of a frame ─▶ Voice: smoothed, against a floor of its own ─▶ loudest speaking party ─▶ Speaker: hysteresis ─▶ change
//! ```
//!
//! Levels are used instead of a speech detector: a neural network for each of a thousand parties would cost more than
//! all else here.
//! A steady hum becomes its party's floor within half a minute and then no longer counts.
//!
//! Not here: the report of a change.

/// Mean square of a full-scale sine: 0 dBFS.
const FULL_SCALE: f32 = 32_767.0 * 32_767.0 / 2.0;
/// Lowest level of speech: −45 dBFS. Speech on a telephone lies at −15 to −35, idle lines below −55.
const LEAST: f32 = FULL_SCALE * 3.162e-5;
/// Least distance of speech from the party's own floor: 10 dB.
const ABOVE_FLOOR: f32 = 10.0;
/// Lowest floor: −80 dBFS.
const LOWEST_FLOOR: f32 = FULL_SCALE * 1e-8;
/// Factor by which the floor rises while the level stays above it: 1 dB a second, 0.02 dB a tick.
const FLOOR_RISE: f32 = 1.004_616;
/// Weight of a louder frame in the level: about 50 ms to rise.
const ATTACK: f32 = 0.35;
/// Weight of a quieter frame in the level: about 250 ms to fall.
const RELEASE: f32 = 0.08;
/// Frames without speech that end it: 200 ms, so that the end of a syllable is not a pause.
const PAUSE_TICKS: u32 = 10;

/// Factor by which another party must be louder to take over from one that still speaks: 3 dB.
const LOUDER: f32 = 2.0;
/// Time for which it must be louder: 300 ms, so that a "yes" or a cough does not suffice.
const TAKE_OVER_TICKS: u32 = 15;
/// Time for which a party must speak while no other does: 100 ms.
const ONSET_TICKS: u32 = 5;
/// Silence of all parties after which there is no active speaker: 1.5 s.
const END_TICKS: u32 = 75;

/// Level of one party.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    level: f32,
    floor: f32,
    /// Ticks since the last frame that was speech.
    pause: u32,
}

impl Voice {
    /// Creates the level of a party that has been silent so far.
    pub(super) fn new() -> Voice {
        Voice { level: 0.0, floor: LOWEST_FLOOR, pause: PAUSE_TICKS }
    }

    /// Records the mean square of the next 20 ms.
    pub(super) fn on_frame(&mut self, mean_square: f32) {
        let share = if mean_square > self.level { ATTACK } else { RELEASE };
        self.level += (mean_square - self.level) * share;
        self.floor = (self.floor * FLOOR_RISE).min(mean_square).max(LOWEST_FLOOR);
        let speech = mean_square > LEAST && mean_square > self.floor * ABOVE_FLOOR;
        self.pause = if speech { 0 } else { self.pause.saturating_add(1) };
    }

    /// Returns the level if it is one of speech.
    pub(super) fn speaking(&self) -> Option<f32> {
        (self.pause < PAUSE_TICKS).then_some(self.level)
    }
}

/// Decides on the active speaker. Parties are known by their index.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speaker {
    active: Option<usize>,
    /// Party that is about to take over, and the number of ticks so far.
    contender: Option<(usize, u32)>,
    quiet_ticks: u32,
}

impl Speaker {
    /// Returns the index of the active speaker.
    pub(super) fn active(&self) -> Option<usize> {
        self.active
    }

    /// Removes a party that has left.
    pub(super) fn forget(&mut self, party: usize) {
        self.active = self.active.filter(|&active| active != party);
        self.contender = self.contender.filter(|&(contender, _)| contender != party);
    }

    /// Advances by one tick. `loudest` is the loudest speaking party with its level; `active_level` is the level of the
    /// active speaker if it speaks.
    pub(super) fn on_tick(&mut self, loudest: Option<(usize, f32)>, active_level: Option<f32>) {
        let Some((loudest, level)) = loudest else {
            self.contender = None;
            self.quiet_ticks += 1;
            if self.quiet_ticks >= END_TICKS {
                (self.active, self.quiet_ticks) = (None, 0);
            }
            return;
        };
        self.quiet_ticks = 0;
        let needed = match active_level {
            None => ONSET_TICKS,
            Some(active) if level > active * LOUDER => TAKE_OVER_TICKS,
            Some(_) => u32::MAX,
        };
        if self.active == Some(loudest) || needed == u32::MAX {
            self.contender = None;
            return;
        }
        let ticks = match self.contender {
            Some((contender, ticks)) if contender == loudest => ticks + 1,
            _ => 1,
        };
        self.contender = Some((loudest, ticks));
        if ticks >= needed {
            (self.active, self.contender) = (Some(loudest), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEECH: f32 = FULL_SCALE * 0.01;

    fn run(speaker: &mut Speaker, levels: [f32; 2], ticks: u32) -> Option<usize> {
        for _ in 0..ticks {
            let speaking = levels.map(|level| (level > 0.0).then_some(level));
            let loudest = if levels[1] > levels[0] { 1 } else { 0 };
            let active_level = speaker.active().and_then(|active| speaking[active]);
            speaker.on_tick(speaking[loudest].map(|level| (loudest, level)), active_level);
        }
        speaker.active()
    }

    #[test]
    fn the_first_speaker_becomes_active_after_100_ms() {
        let mut speaker = Speaker::default();
        assert_eq!(run(&mut speaker, [SPEECH, 0.0], 4), None);
        assert_eq!(run(&mut speaker, [SPEECH, 0.0], 1), Some(0));
    }

    #[test]
    fn another_takes_over_only_when_louder_for_300_ms() {
        let mut speaker = Speaker::default();
        run(&mut speaker, [SPEECH, 0.0], 10);
        assert_eq!(run(&mut speaker, [SPEECH, SPEECH * 1.9], 500), Some(0), "equally loud is not louder");
        assert_eq!(run(&mut speaker, [SPEECH, SPEECH * 2.1], 14), Some(0));
        assert_eq!(run(&mut speaker, [SPEECH, SPEECH], 1), Some(0), "a pause restarts the count");
        assert_eq!(run(&mut speaker, [SPEECH, SPEECH * 2.1], 14), Some(0));
        assert_eq!(run(&mut speaker, [SPEECH, SPEECH * 2.1], 1), Some(1));
    }

    #[test]
    fn a_speaker_who_stopped_is_replaced_at_once_or_cleared_after_a_while() {
        let mut speaker = Speaker::default();
        run(&mut speaker, [SPEECH, 0.0], 10);
        assert_eq!(run(&mut speaker, [0.0, 0.0], 74), Some(0));
        assert_eq!(run(&mut speaker, [0.0, SPEECH], 5), Some(1));
        assert_eq!(run(&mut speaker, [0.0, 0.0], 75), None);
        run(&mut speaker, [SPEECH, 0.0], 10);
        speaker.forget(0);
        assert_eq!(speaker.active(), None);
    }

    #[test]
    fn a_hum_becomes_the_floor_above_which_speech_is_detected() {
        let mut voice = Voice::new();
        let hum = FULL_SCALE * 1e-4;
        let speaking_after = |voice: &mut Voice, level: f32, ticks: u32| {
            (0..ticks).for_each(|_| voice.on_frame(level));
            voice.speaking().is_some()
        };
        assert!(!speaking_after(&mut voice, 0.0, 50));
        assert!(speaking_after(&mut voice, hum, 50), "a hum that begins may be a voice");
        assert!(!speaking_after(&mut voice, hum, 50 * 35), "a hum of half a minute is not a voice");
        assert!(speaking_after(&mut voice, SPEECH, 5), "a voice above it is heard");
        assert!(speaking_after(&mut voice, 0.0, 9), "the end of a syllable is not a pause");
        assert!(!speaking_after(&mut voice, 0.0, 1));
        assert!(!speaking_after(&mut voice, FULL_SCALE * 1e-5, 100), "−50 dBFS is too faint");
    }

    #[test]
    fn pauses_in_speech_keep_the_floor_low_indefinitely() {
        let mut voice = Voice::new();
        for _ in 0..600 {
            (0..75).for_each(|_| voice.on_frame(SPEECH));
            assert!(voice.speaking().is_some());
            (0..25).for_each(|_| voice.on_frame(0.0));
        }
    }
}
