//! Echo gate: tells the echo of what a party was played from its own speech.
//!
//! ```text
//! what it was sent (TapPoint::Hearing) ─▶ 16 bands ─▶ history ─┬─▶ lag: where the envelopes of both agree
//! what comes from its microphone ───────▶ 16 bands ────────────┴─▶ expected echo of each band ─▶ echo, or its own speech
//! ```
//!
//! A loudspeaker telephone sends back the translated voice that it was just sent. Recognised and translated again, it would be said to
//! the other party as if this one had said it. Telephones cancel echo, but not all of it, and some none.
//!
//! A frame is the echo if an echo path is known, its expected level is above the background, and the frame does not exceed it. The path
//! is a delay and an attenuation by band, learnt from the sound itself. Levels of bands, not samples, are compared: they survive codecs,
//! clocks that differ and loudspeakers that distort.
//!
//! On synthetic rooms (40 to 300 ms, −6 to −30 dB, 80 and 250 ms of reverberation) at most 3 % of the frames with nothing but echo pass
//! once the path is known, and of the frames in which the party is louder than the echo at most 10 % are taken for it, 20 % at −6 dB
//! (`tests`). Both sides' spectra and the comparison take about 9 µs per frame.
//!
//! Invariants: without a path nothing is taken for an echo. A party that talks over an echo is let through from its second frame on, and
//! for 300 ms after its last one. Everything has a fixed size. Not here: the words of an echo that passes before the path is known
//! (`translate::session`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::fourier::{Fourier, WINDOW};
use codecs::resample::Resampler;

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Number of bands whose levels are compared.
const BANDS: usize = 16;
/// First bins of the bands at 8 kHz, 31.25 Hz apart, and the end of the last one: 220 to 3,600 Hz, wider towards the top.
const EDGES: [usize; BANDS + 1] = [7, 9, 11, 13, 16, 19, 23, 27, 32, 38, 45, 53, 62, 73, 86, 100, 115];
/// Longest delay of an echo, in frames of 20 ms: 800 ms, network both ways included.
const LAGS: usize = 41;
/// Frames for which a room may go on after the sound that it echoes.
const TAIL: usize = 12;
/// Decay of a room, in decibels per frame.
const DECAY_DB: f32 = 2.4;
/// Level below which nothing is compared, in dBFS.
const FLOOR_DB: f32 = -72.0;
/// Level of a band above which the party's played sound counts as sound.
const SOUND_DB: f32 = -50.0;
/// Largest deviation from the mean level that counts for the agreement.
const DEVIATION_DB: f32 = 20.0;
/// Weight of a frame in the mean level of a band: the mean goes back about 1 s.
const MEAN_STEP: f32 = 0.02;
/// Share of the agreement that is left after a frame: it goes back about 2 s.
const REMEMBERED: f32 = 0.99;
/// Agreement above which a lag is the echo's, and its distance from all other lags that are not its neighbours.
const AGREES: f32 = 0.5;
const DISTINCT: f32 = 0.15;
const NEIGHBOURS: usize = 5;
/// Agreement above which sound that exceeds the expected echo is a louder echo, not the party.
const LOUDER: f32 = 0.75;
/// Agreement below which the path is forgotten.
const DISAGREES: f32 = 0.15;
/// Frames with sound that must have been compared before a lag is believed: 0.6 s.
const EVIDENCE: u32 = 30;
/// Level of a loudspeaker's distortion relative to its loudest band.
const DISTORTION_DB: f32 = -25.0;
/// Level by which a band must exceed the expected echo to be the party's own.
const MARGIN_DB: f32 = 6.0;
/// Bands that must exceed it, and their share of the expected power.
const OWN_BANDS: usize = 3;
const OWN_POWER: f32 = 0.5;
/// Frames in a row in which the party must talk; frames for which it goes on talking after the last one: 300 ms.
const ONSET: u32 = 2;
const HOLD: u32 = 15;
/// Weight of a frame in the attenuation that a lag would mean.
const GAIN_STEP: f32 = 0.05;
/// Steps by which the attenuation of a band is learnt, in decibels: in the first 2 s of a path, and later.
const FAST_STEP_DB: f32 = 1.0;
const SLOW_STEP_DB: f32 = 0.25;
/// Steps towards a louder echo, in steps towards a quieter one: four frames of five lie below what is learnt.
const RISE: f32 = 4.0;
/// Longest time for which the last frame stands for one that has not come.
const BRIDGED: Duration = Duration::from_millis(30);
/// Reference frames that may wait for the microphone's.
const WAITING: usize = 100;

type Levels = [f32; BANDS];

const SILENCE: Levels = [FLOOR_DB; BANDS];

/// Delay and attenuation of the echo that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct EchoPath {
    pub(super) delay: Duration,
    /// Mean level of the echo relative to what was played.
    pub(super) gain_db: f32,
}

/// Echo gate of one party; see the module head.
pub(super) struct EchoGate {
    played: Spectrum,
    captured: Spectrum,
    /// Played frames that are later than the last captured one.
    waiting: VecDeque<(Instant, Levels)>,
    last_played: Option<(Instant, Levels)>,
    /// Time of the last frame of the microphone.
    advanced_to: Option<Instant>,
    /// Played levels by frame of the microphone, the present one first.
    history: VecDeque<Levels>,
    means: [Mean; 2],
    /// Deviations of what was played, as `history`.
    deviations: VecDeque<Levels>,
    agreement: [Agreement; LAGS],
    /// Level of what was captured relative to what was played, by lag and band: the attenuation, if the lag is the echo's.
    gains_by_lag: [Levels; LAGS],
    evidence: u32,
    lag: Option<usize>,
    /// Agreement at the lag while the party does not talk over the echo.
    kept: Agreement,
    gains: [f32; BANDS],
    learnt: u32,
    talks_for: u32,
    hold: u32,
}

impl EchoGate {
    pub(super) fn new() -> EchoGate {
        EchoGate {
            played: Spectrum::new(),
            captured: Spectrum::new(),
            waiting: VecDeque::with_capacity(WAITING),
            last_played: None,
            advanced_to: None,
            history: VecDeque::from(vec![SILENCE; LAGS + TAIL]),
            means: Default::default(),
            deviations: VecDeque::from(vec![[0.0; BANDS]; LAGS]),
            agreement: [Agreement::default(); LAGS],
            gains_by_lag: [[-20.0; BANDS]; LAGS],
            evidence: 0,
            lag: None,
            kept: Agreement::default(),
            gains: [0.0; BANDS],
            learnt: 0,
            talks_for: 0,
            hold: 0,
        }
    }

    /// Notes a frame of 20 ms that was sent to the party at `at`.
    pub(super) fn played(&mut self, at: Instant, rate: SampleRate, samples: &[i16]) {
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        let levels = self.played.levels(rate, samples);
        self.waiting.push_back((at, levels));
    }

    /// Returns whether a frame of 20 ms that came from the party at `at` is the echo of what it was played.
    pub(super) fn is_echo(&mut self, at: Instant, rate: SampleRate, samples: &[i16]) -> bool {
        self.advance(at);
        if self.history.iter().all(|levels| !is_sound(levels)) {
            // Nothing that could come back: the party is heard as it is.
            (self.talks_for, self.hold) = (0, 0);
            self.captured.push(rate, samples);
            return false;
        }
        let captured = self.captured.levels(rate, samples);
        let deviation = self.compare(&captured);
        self.find_lag();
        let Some(lag) = self.lag else { return false };
        let expected = self.expected(lag);
        let is_own = self.is_own(&captured, &expected);
        self.talks_for = if is_own { self.talks_for + 1 } else { 0 };
        self.hold = if self.talks_for >= ONSET { HOLD } else { self.hold.saturating_sub(1) };
        let talks = self.hold > 0;
        if talks && self.agreement[lag].value() > LOUDER {
            self.learn(lag, &captured);
        }
        if !talks && !is_own {
            self.learn(lag, &captured);
            self.kept.update(&deviation, &self.deviations[lag]);
            if self.kept.value() < DISAGREES {
                self.lag = None;
            }
        }
        !talks && is_sound(&self.loudest(lag))
    }

    /// Returns the path of the echo, if one is known.
    pub(super) fn path(&self) -> Option<EchoPath> {
        let gain_db = self.gains.iter().sum::<f32>() / BANDS as f32;
        self.lag.map(|lag| EchoPath { delay: FRAME * lag as u32, gain_db })
    }

    /// Moves the history on to the time of a frame of the microphone.
    fn advance(&mut self, at: Instant) {
        // Frames that the party did not send, or that were not taken, have passed too.
        let since = self.advanced_to.map_or(FRAME, |before| at.saturating_duration_since(before));
        let passed = ((since + FRAME / 2).as_millis() / FRAME.as_millis()).clamp(1, self.history.len() as u128);
        for before in (0..passed as u32).rev() {
            self.advance_to(at.checked_sub(FRAME * before).unwrap_or(at));
        }
        self.advanced_to = Some(at);
    }

    fn advance_to(&mut self, at: Instant) {
        let mut levels: Option<Levels> = None;
        while let Some((played_at, next)) = self.waiting.pop_front_if(|(played_at, _)| *played_at <= at) {
            self.last_played = Some((played_at, next));
            let before = levels.unwrap_or(next);
            levels = Some(std::array::from_fn(|band| before[band].max(next[band])));
        }
        let bridged = self.last_played.filter(|(played_at, _)| at.saturating_duration_since(*played_at) <= BRIDGED);
        let levels = levels.or(bridged.map(|(_, levels)| levels)).unwrap_or(SILENCE);
        self.history.pop_back();
        self.history.push_front(levels);
        self.deviations.pop_back();
        let deviation = if is_sound(&levels) { self.means[0].deviation(&levels) } else { [0.0; BANDS] };
        self.deviations.push_front(deviation);
    }

    /// Compares what was captured with what was played at each lag. Returns how far the captured levels are from their mean.
    fn compare(&mut self, captured: &Levels) -> Levels {
        let deviation = self.means[1].deviation(captured);
        for (lag, agreement) in self.agreement.iter_mut().enumerate() {
            agreement.update(&deviation, &self.deviations[lag]);
            for (band, gain) in self.gains_by_lag[lag].iter_mut().enumerate() {
                if self.history[lag][band] > SOUND_DB {
                    *gain += GAIN_STEP * (captured[band] - self.history[lag][band] - *gain);
                }
            }
        }
        self.evidence = self.evidence.saturating_add(1);
        deviation
    }

    fn find_lag(&mut self) {
        if self.evidence < EVIDENCE {
            return;
        }
        let values = self.agreement.map(|agreement| agreement.value());
        let best = (0..LAGS).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(0);
        let is_distinct =
            (0..LAGS).filter(|lag| lag.abs_diff(best) > NEIGHBOURS).all(|lag| values[best] - values[lag] >= DISTINCT);
        if values[best] > AGREES && is_distinct {
            if self.lag.is_none_or(|lag| lag.abs_diff(best) > 1) {
                self.gains = self.gains_by_lag[best];
                self.learnt = 0;
                self.kept = self.agreement[best];
            }
            self.lag = Some(best);
        }
    }

    /// Returns the loudest played level by band whose echo may still be heard, less what the room has swallowed.
    fn loudest(&self, lag: usize) -> Levels {
        let mut loudest = SILENCE;
        for (age, levels) in self.history.iter().enumerate().skip(lag.saturating_sub(1)).take(TAIL + 2) {
            let decay = DECAY_DB * age.saturating_sub(lag) as f32;
            for (loudest, level) in loudest.iter_mut().zip(levels) {
                *loudest = loudest.max(level - decay);
            }
        }
        loudest
    }

    fn expected(&self, lag: usize) -> Levels {
        let loudest = self.loudest(lag);
        let levels: Levels = std::array::from_fn(|band| loudest[band] + self.gains[band]);
        // A loudspeaker that distorts moves some of a loud band's power to all others.
        let distortion = levels.into_iter().fold(FLOOR_DB, f32::max) + DISTORTION_DB;
        levels.map(|level| level.max(distortion).max(FLOOR_DB) + MARGIN_DB)
    }

    /// Returns whether a frame has more than the expected echo.
    fn is_own(&self, captured: &Levels, expected: &Levels) -> bool {
        let (mut bands, mut own, mut all) = (0, 0.0, 0.0);
        for (captured, expected) in captured.iter().zip(expected) {
            all += power(*expected);
            if captured > expected {
                bands += 1;
                own += power(*captured);
            }
        }
        bands >= OWN_BANDS && own > OWN_POWER * all
    }

    /// Moves the attenuation of each band that was played towards what came back.
    fn learn(&mut self, lag: usize, captured: &Levels) {
        let step = if self.learnt < 100 { FAST_STEP_DB } else { SLOW_STEP_DB };
        let loudest = self.loudest(lag);
        for ((gain, captured), loudest) in self.gains.iter_mut().zip(captured).zip(loudest) {
            if loudest > SOUND_DB {
                let step = if captured - loudest > *gain { RISE * step } else { -step };
                *gain = (*gain + step).clamp(-60.0, 20.0);
            }
        }
        self.learnt = self.learnt.saturating_add(1);
    }
}

/// Mean level by band.
#[derive(Default)]
struct Mean {
    levels: Levels,
    frames: u32,
}

impl Mean {
    /// Takes levels into the mean, and returns how far they are from it.
    fn deviation(&mut self, levels: &Levels) -> Levels {
        self.frames = self.frames.saturating_add(1);
        let step = MEAN_STEP.max(1.0 / self.frames as f32);
        std::array::from_fn(|band| {
            let mean = &mut self.levels[band];
            *mean += step * (levels[band] - *mean);
            (levels[band] - *mean).clamp(-DEVIATION_DB, DEVIATION_DB)
        })
    }
}

/// Agreement of two envelopes at one lag.
#[derive(Clone, Copy, Debug, Default)]
struct Agreement {
    both: f32,
    captured: f32,
    played: f32,
}

impl Agreement {
    fn update(&mut self, captured: &Levels, played: &Levels) {
        let product = |a: &Levels, b: &Levels| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        self.both = REMEMBERED * self.both + product(captured, played);
        self.captured = REMEMBERED * self.captured + product(captured, captured);
        self.played = REMEMBERED * self.played + product(played, played);
    }

    /// Returns the agreement from −1 to 1.
    fn value(&self) -> f32 {
        self.both / (self.captured * self.played).sqrt().max(1.0)
    }
}

/// Levels by band of the last 32 ms of a sound.
struct Spectrum {
    fourier: Fourier,
    window: [f32; WINDOW],
    resampler: Option<Resampler>,
    scratch: Vec<i16>,
}

impl Spectrum {
    fn new() -> Spectrum {
        Spectrum { fourier: Fourier::new(), window: [0.0; WINDOW], resampler: None, scratch: Vec::new() }
    }

    /// Takes a frame into the window.
    fn push(&mut self, rate: SampleRate, samples: &[i16]) {
        let narrow = if rate == SampleRate::HZ_8000 {
            samples
        } else {
            if self.resampler.as_ref().is_none_or(|resampler| resampler.from_rate() != rate) {
                self.resampler = Some(Resampler::new(rate, SampleRate::HZ_8000));
            }
            let Some(resampler) = &mut self.resampler else { return };
            self.scratch.resize(resampler.max_output(samples.len()), 0);
            let written = resampler.process(samples, &mut self.scratch);
            &self.scratch[..written]
        };
        let narrow = &narrow[narrow.len().saturating_sub(WINDOW)..];
        self.window.copy_within(narrow.len().., 0);
        for (slot, sample) in self.window[WINDOW - narrow.len()..].iter_mut().zip(narrow) {
            *slot = f32::from(*sample) / 32_768.0;
        }
    }

    /// Takes a frame into the window, and returns its levels by band in dBFS.
    fn levels(&mut self, rate: SampleRate, samples: &[i16]) -> Levels {
        self.push(rate, samples);
        let powers = self.fourier.powers(&self.window);
        // A full-scale sine has the power of (half the sum of the window)² in its bin.
        let full = (WINDOW as f32 / 4.0).powi(2);
        std::array::from_fn(|band| {
            let power: f32 = powers[EDGES[band]..EDGES[band + 1]].iter().sum();
            (10.0 * (power / full).max(1e-12).log10()).max(FLOOR_DB)
        })
    }
}

fn is_sound(levels: &Levels) -> bool {
    levels.iter().any(|level| *level > SOUND_DB)
}

fn power(db: f32) -> f32 {
    10f32.powf(db / 10.0)
}

#[cfg(test)]
mod tests;
