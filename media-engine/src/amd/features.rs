//! Features of what a caller hears after the answer: timing, voice, channel and kinds of phrases (`net`).
//!
//! ```text
//! 160 samples --push--> level, bands, pitch, tonality of the frame --vector--> segments --> N numbers for the classifier
//! ```
//!
//! Each frame of 20 ms leaves a few bytes in a history of at most 30 s. [`Features::vector`] reads the whole history again, so that
//! the threshold between speech and background follows what has been heard so far, and what was taken for speech before the
//! level of the voice was known is corrected. Only frames that have been heard are used: there is no look-ahead.
//!
//! Invariants: no allocation after `new`; the state is below 48 kB; the order of [`NAMES`] is the order of the trained trees, so a
//! feature is added at the end and the forest is trained again. The definitions are in `amd-training/README.md`; the trainer runs this
//! very file.
//!
//! Not here: the classifier (`forest`), the policy, the detectors of beeps and signalling tones (`codecs`).

use std::time::Duration;

use super::frame::{BANDS, FRAME, Heard, Meter, SILENT_DB};
use super::net::{Ear, Net, SUMMARY};
use super::numbers::{mean, percentile, seconds};
use super::segments::{Burst, Mark, Segments};

/// Frames that are kept. What comes later no longer changes the features.
pub(crate) const MAX_FRAMES: usize = 1500;

/// Names of the features, in the order of [`Features::vector`].
pub(crate) const NAMES: [&str; N] = [
    // Timing.
    "elapsed",
    "onset",
    "since_onset",
    "speech",
    "bursts",
    "run",
    "quiet",
    "longest",
    "first",
    "longest_pause",
    "mean_pause",
    "first_pause",
    "speech_share",
    "phrase_longest",
    "phrases",
    "phrase_last",
    "phrase_first",
    "pause_in_phrase",
    "last",
    "speech_3s",
    "phrase_quiet",
    "tone_total",
    "tone_last",
    "tone_since",
    "tone_after_speech",
    "tone_before",
    "tones",
    "tone_now",
    "tone_freq",
    "tone_early",
    "loud_speech",
    "loud_bursts",
    "loud_run",
    "loud_quiet",
    "loud_longest",
    "loud_pause",
    // Voice.
    "pitch",
    "pitch_spread",
    "pitch_range",
    "pitch_end",
    "pitch_end_first",
    "pitch_jump",
    "voiced_share",
    "voicing",
    "syllables",
    "level_spread",
    "level_slope",
    "burst_spread",
    "first_level",
    "flux",
    "centroid",
    "centroid_spread",
    "pitch_last",
    "tonal_share",
    "band0",
    "band1",
    "band2",
    "band3",
    "band4",
    "band5",
    "band6",
    "band7",
    "band8",
    "band9",
    "band10",
    "band11",
    "band12",
    "band13",
    // Channel.
    "level",
    "floor",
    "range",
    "quiet_spread",
    "quiet_level",
    "before_level",
    "before_after",
    "zero_share",
    "zero_before",
    "decay",
    "attack",
    "quiet_tilt",
    "quiet_voiced",
    "quiet_tonal",
    "holes",
    "click",
    "peak_level",
    "low_edge",
    "high_edge",
    "quiet_now",
    "quiet_now_spread",
    "quiet_now_zero",
    "music",
    // Words.
    "said_hello",
    "said_name",
    "said_help",
    "said_talk",
    "said_reached",
    "said_away",
    "said_leave",
    "said_network",
    "said_full",
    "said_who",
    "said_welcome",
    "said_option",
    "said_gone",
    "net_human",
    "net_machine",
    "net_screening",
    "net_ivr",
    "net_music",
    "net_silence",
    "net_other",
];
/// Number of features.
pub(crate) const N: usize = WORDS + SUMMARY;
/// Place of the first feature that the net gives.
pub(crate) const WORDS: usize = 91;

/// The history of one leg and the tables of its analysis.
pub(crate) struct Features {
    heard: Box<[Heard]>,
    frames: usize,
    meter: Meter,
    ear: Ear,
    net: Net,
}

impl Features {
    pub(crate) fn new() -> Self {
        Features {
            heard: vec![Heard::default(); MAX_FRAMES].into_boxed_slice(),
            frames: 0,
            meter: Meter::new(),
            ear: Ear::new(),
            net: Net::new(),
        }
    }

    /// Takes the next 20 ms.
    pub(crate) fn push(&mut self, frame: &[i16; FRAME]) {
        if self.frames == MAX_FRAMES {
            return;
        }
        let (heard, power) = self.meter.measure(frame);
        self.net.push(&self.ear.bands(&power));
        self.heard[self.frames] = heard;
        self.frames += 1;
    }

    /// Returns the end of the last speech that began before a moment. Of sound beyond the history nothing is known.
    pub(crate) fn speech_end(&self, before: Duration) -> Option<Duration> {
        let heard = &self.heard[..self.frames];
        if heard.is_empty() {
            return None;
        }
        let before = usize::try_from(before.as_millis() / 20).unwrap_or(usize::MAX);
        let segments = Segments::find(heard, &mut [Mark::Quiet; MAX_FRAMES]);
        let last = segments.bursts().iter().rfind(|burst| burst.start < before)?;
        Some(Duration::from_millis(20 * last.end.min(before) as u64))
    }

    /// The kinds of phrases that were most likely said, and their probabilities.
    pub(crate) fn phrases(&self) -> [Option<(&'static str, f32)>; 3] {
        self.net.phrases()
    }

    /// The features of everything heard so far.
    pub(crate) fn vector(&self) -> [f32; N] {
        let heard = &self.heard[..self.frames];
        let mut out = Vector { values: [0.0; N], at: 0 };
        if heard.is_empty() {
            return out.values;
        }
        let mut marks = [Mark::Quiet; MAX_FRAMES];
        let segments = Segments::find(heard, &mut marks);
        let marks = &marks[..heard.len()];
        timing(&mut out, heard, marks, &segments);
        voice(&mut out, heard, marks, &segments);
        channel(&mut out, heard, marks, &segments);
        self.net.summary().iter().for_each(|value| out.put(*value));
        debug_assert_eq!(out.at, N);
        out.values
    }
}

struct Vector {
    values: [f32; N],
    at: usize,
}

impl Vector {
    fn put(&mut self, value: f32) {
        if self.at < N {
            self.values[self.at] = if value.is_finite() { value + 0.0 } else { 0.0 };
        }
        self.at += 1;
    }
}

fn timing(out: &mut Vector, heard: &[Heard], marks: &[Mark], segments: &Segments) {
    let now = heard.len();
    let bursts = segments.bursts();
    let first = bursts.first().copied().unwrap_or(Burst { start: now, end: now });
    let last = bursts.last().copied().unwrap_or(first);
    let speech: f32 = bursts.iter().map(Burst::seconds).sum();
    let since_onset = seconds(now - first.start);
    // A pause below 160 ms does not end a burst, so speech that paused for less is still running.
    let quiet = seconds(now - last.end);
    let speaking = !bursts.is_empty() && now - last.end <= 8;
    out.put(seconds(now));
    out.put(seconds(first.start));
    out.put(since_onset);
    out.put(speech);
    out.put(bursts.len() as f32);
    out.put(if speaking { last.seconds() } else { 0.0 });
    out.put(if bursts.is_empty() { 0.0 } else { quiet });
    out.put(bursts.iter().map(Burst::seconds).fold(0.0, f32::max));
    out.put(first.seconds());
    let pauses = || bursts.windows(2).map(|pair| seconds(pair[1].start - pair[0].end));
    out.put(pauses().fold(0.0, f32::max));
    out.put(pauses().sum::<f32>() / (bursts.len().max(2) - 1) as f32);
    out.put(pauses().next().unwrap_or(quiet));
    out.put(if since_onset > 0.0 { speech / since_onset } else { 0.0 });
    // Phrases: bursts that are joined over pauses of up to 0.7 s.
    let (mut phrase, mut phrases, mut longest, mut first_phrase) = (first, 1, 0.0f32, 0.0);
    let mut inner = 0.0f32;
    for pair in bursts.windows(2) {
        let pause = seconds(pair[1].start - pair[0].end);
        if pause > 0.7 {
            longest = longest.max(phrase.seconds());
            if phrases == 1 {
                first_phrase = phrase.seconds();
            }
            phrases += 1;
            phrase.start = pair[1].start;
        } else {
            inner = inner.max(pause);
        }
        phrase.end = pair[1].end;
    }
    out.put(longest.max(phrase.seconds()));
    out.put(if bursts.is_empty() { 0.0 } else { phrases as f32 });
    out.put(phrase.seconds());
    out.put(if phrases == 1 { phrase.seconds() } else { first_phrase });
    out.put(inner);
    out.put(last.seconds());
    let near = marks[now.saturating_sub(150)..].iter().filter(|mark| **mark == Mark::Speech).count();
    out.put(seconds(near));
    // How long the quiet is, measured by the length of what was said before it.
    out.put(quiet / (phrase.seconds() + 0.5));
    let tones = segments.tones();
    let last_tone = tones.last().copied().unwrap_or_default();
    let after = tones.iter().filter(|tone| !bursts.is_empty() && tone.start >= last.end);
    out.put(tones.iter().map(Burst::seconds).sum());
    out.put(last_tone.seconds());
    out.put(if tones.is_empty() { 30.0 } else { seconds(now - last_tone.end) });
    out.put(after.map(Burst::seconds).sum());
    out.put(tones.iter().filter(|tone| tone.end <= first.start).map(Burst::seconds).sum());
    out.put(tones.len() as f32);
    out.put(f32::from(marks.last() == Some(&Mark::Tone)));
    let middle = (last_tone.start + last_tone.end) / 2;
    out.put(if tones.is_empty() { 0.0 } else { f32::from(heard[middle].peak) * 31.25 });
    out.put(tones.first().map_or(30.0, |tone| seconds(tone.start)));
    loud(out, heard, marks, segments);
}

/// Speech within 12 dB of its level: what a person near the microphone says while others talk in the background.
fn loud(out: &mut Vector, heard: &[Heard], marks: &[Mark], segments: &Segments) {
    let (mut bursts, mut speech, mut longest, mut pause) = (0.0f32, 0, 0, 0);
    let mut current: Option<Burst> = None;
    for n in (0..heard.len()).filter(|n| marks[*n] == Mark::Speech && heard[*n].db() > segments.level - 12.0) {
        match &mut current {
            Some(burst) if n - burst.end <= 15 => burst.end = n + 1,
            _ => {
                pause = pause.max(current.map_or(0, |burst| n - burst.end));
                bursts += 1.0;
                current = Some(Burst { start: n, end: n + 1 });
            }
        }
        let length = current.map_or(0, |burst| burst.end - burst.start);
        longest = longest.max(length);
        speech += 1;
    }
    let quiet = current.map_or(0, |burst| heard.len() - burst.end);
    out.put(seconds(speech));
    out.put(bursts);
    out.put(current.filter(|_| quiet <= 15).map_or(0.0, |burst| burst.seconds()));
    out.put(seconds(quiet));
    out.put(seconds(longest));
    out.put(seconds(pause));
}

fn voice(out: &mut Vector, heard: &[Heard], marks: &[Mark], segments: &Segments) {
    let bursts = segments.bursts();
    let speech = || heard.iter().zip(marks).filter(|(_, mark)| **mark == Mark::Speech).map(|(h, _)| h);
    let voiced = || speech().filter(|h| h.voiced());
    let tones_of = |h: &Heard| f32::from(h.pitch) / 4.0;
    let total = speech().count().max(1) as f32;
    let median = percentile(voiced().map(tones_of), 0.5).unwrap_or(0.0);
    let quartile = |share| percentile(voiced().map(tones_of), share).unwrap_or(0.0);
    out.put(median);
    out.put(quartile(0.75) - quartile(0.25));
    out.put(quartile(0.95) - quartile(0.05));
    let end_of = |burst: Option<&Burst>| {
        let burst = burst.copied().unwrap_or_default();
        let middle = percentile(heard[burst.start..burst.end].iter().filter(|h| h.voiced()).map(tones_of), 0.5);
        let tail = mean(
            heard[burst.end.saturating_sub(14).max(burst.start)..burst.end].iter().filter(|h| h.voiced()).map(tones_of),
        );
        (middle.zip(tail).map_or(0.0, |(middle, tail)| tail.0 - middle), middle.unwrap_or(0.0))
    };
    let (last_end, last_middle) = end_of(bursts.last());
    out.put(last_end);
    out.put(end_of(bursts.first()).0);
    let mut jumps = (0.0, 0.0f32);
    for (pair, mark) in heard.windows(2).zip(&marks[1..]) {
        if *mark == Mark::Speech && pair[0].voiced() && pair[1].voiced() {
            jumps = (jumps.0 + (tones_of(&pair[1]) - tones_of(&pair[0])).abs().min(6.0), jumps.1 + 1.0);
        }
    }
    out.put(jumps.0 / jumps.1.max(1.0));
    out.put(voiced().count() as f32 / total);
    out.put(mean(speech().map(|h| f32::from(h.voicing))).map_or(0.0, |m| m.0));
    out.put(syllables(heard, marks) / seconds(total as usize).max(0.1));
    let loud = mean(speech().map(Heard::db)).unwrap_or_default();
    out.put(loud.1);
    let half = |burst: &Burst, late: bool| {
        let middle = (burst.start + burst.end) / 2;
        mean(heard[if late { middle..burst.end } else { burst.start..middle }].iter().map(Heard::db))
            .map_or(0.0, |m| m.0)
    };
    out.put(mean(bursts.iter().map(|b| half(b, true) - half(b, false))).map_or(0.0, |m| m.0));
    let of_burst = |b: &Burst| mean(heard[b.start..b.end].iter().map(Heard::db)).map_or(0.0, |m| m.0);
    out.put(mean(bursts.iter().map(of_burst)).map_or(0.0, |m| m.1));
    out.put(bursts.first().map_or(0.0, |b| of_burst(b) - loud.0));
    let mut flux = (0.0, 0.0f32);
    for (pair, mark) in heard.windows(2).zip(&marks[1..]) {
        if *mark == Mark::Speech {
            let moved: u32 = pair[0].bands.iter().zip(&pair[1].bands).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            flux = (flux.0 + moved as f32 / BANDS as f32, flux.1 + 1.0);
        }
    }
    out.put(flux.0 / flux.1.max(1.0));
    let centre = mean(speech().map(|h| f32::from(h.centre) / 16.0)).unwrap_or_default();
    out.put(centre.0);
    out.put(centre.1);
    out.put(last_middle - median);
    out.put(mean(speech().map(|h| f32::from(h.share2))).map_or(0.0, |m| m.0));
    for value in profile(speech()) {
        out.put(value);
    }
}

fn channel(out: &mut Vector, heard: &[Heard], marks: &[Mark], segments: &Segments) {
    let bursts = segments.bursts();
    let now = heard.len();
    let onset = bursts.first().map_or(now, |b| b.start);
    let end = bursts.last().map_or(now, |b| b.end);
    // Quiet frames that do not touch speech: 60 ms after it and 40 ms before it are left out.
    let apart = |n: usize| marks[n.saturating_sub(3)..(n + 3).min(now)].iter().all(|mark| *mark == Mark::Quiet);
    let quiet = |from: usize, to: usize| (from..to).filter(move |n| apart(*n)).map(|n| &heard[n]);
    let level_of = |from, to| mean(quiet(from, to).filter(|h| !h.zero).map(Heard::db));
    let zeros = |from, to| mean(quiet(from, to).map(|h| f32::from(h.zero))).map_or(0.0, |m| m.0);
    let between = level_of(onset, now);
    let before = level_of(0, onset);
    out.put(segments.level);
    out.put(segments.floor);
    out.put(segments.level - segments.floor);
    out.put(between.map_or(-1.0, |m| m.1));
    out.put(between.map_or(-1.0, |m| m.0 - segments.level));
    out.put(before.map_or(-1.0, |m| m.0 - segments.level));
    out.put(between.zip(before).map_or(0.0, |(a, b)| a.0 - b.0));
    out.put(zeros(onset, now));
    out.put(zeros(0, onset));
    let fall = |b: &Burst| {
        let tail = mean(heard[b.end.min(now - 1)..(b.end + 5).min(now)].iter().map(Heard::db));
        let body = mean(heard[b.end.saturating_sub(4).max(b.start)..b.end].iter().map(Heard::db));
        body.zip(tail).map_or(0.0, |(body, tail)| body.0 - tail.0)
    };
    let ended = || bursts.iter().filter(|b| b.end + 5 <= now);
    out.put(mean(ended().map(fall)).map_or(-1.0, |m| m.0));
    let rise = |b: &Burst| heard[(b.start + 2).min(now - 1)].db() - heard[b.start.saturating_sub(2)].db();
    out.put(mean(bursts.iter().map(rise)).map_or(0.0, |m| m.0));
    let ground = profile(quiet(0, now).filter(|h| !h.zero));
    out.put(ground[2] + ground[3] + ground[4] - ground[9] - ground[10] - ground[11]);
    out.put(mean(quiet(onset, now).map(|h| f32::from(h.voiced()))).map_or(0.0, |m| m.0));
    out.put(mean(quiet(onset, now).map(|h| f32::from(h.share2))).map_or(0.0, |m| m.0));
    let lost = bursts.iter().flat_map(|b| &heard[b.start..b.end]).filter(|h| h.zero).count();
    out.put(lost as f32);
    let clicks = heard[..onset.min(50).saturating_sub(3)].iter().map(Heard::db).fold(SILENT_DB, f32::max);
    out.put(if onset > 3 { clicks - segments.floor } else { 0.0 });
    out.put(heard.iter().map(Heard::db).fold(SILENT_DB, f32::max) - segments.level);
    let body = profile(heard.iter().zip(marks).filter(|(_, mark)| **mark == Mark::Speech).map(|(h, _)| h));
    out.put(body[0] - body[3]);
    out.put(body[13] - body[11]);
    let tail = (end + 5).min(now);
    let current = level_of(tail, now);
    out.put(current.map_or(-1.0, |m| m.0 - segments.level));
    out.put(current.map_or(-1.0, |m| m.1));
    out.put(zeros(tail, now));
    // Music and tones keep their peaks where they are from frame to frame.
    let still = heard.windows(2).filter(|pair| {
        pair[0].db() > segments.floor + 6.0 && pair[0].peak.abs_diff(pair[1].peak) <= 1 && pair[1].share >= 40
    });
    out.put(still.count() as f32 / now as f32);
}

/// Rises of the smoothed level by 3 dB after a fall by 3 dB, within speech.
fn syllables(heard: &[Heard], marks: &[Mark]) -> f32 {
    let (mut count, mut low, mut high, mut rising) = (0.0, 0.0f32, SILENT_DB, false);
    for n in 1..heard.len().saturating_sub(1) {
        if marks[n] != Mark::Speech {
            (low, high, rising) = (0.0, SILENT_DB, false);
            continue;
        }
        let smooth = (heard[n - 1].db() + heard[n].db() + heard[n + 1].db()) / 3.0;
        if rising {
            high = high.max(smooth);
            if smooth < high - 3.0 {
                (rising, low) = (false, smooth);
            }
        } else {
            low = low.min(smooth);
            if smooth > low + 3.0 {
                (rising, high) = (true, smooth);
                count += 1.0;
            }
        }
    }
    count
}

/// Mean level of each band against the mean of all of them.
fn profile<'a>(frames: impl Iterator<Item = &'a Heard>) -> [f32; BANDS] {
    let mut sum = [0.0f32; BANDS];
    let mut count = 0.0f32;
    for h in frames {
        for (slot, band) in sum.iter_mut().zip(h.bands) {
            *slot += f32::from(band);
        }
        count += 1.0;
    }
    let middle = sum.iter().sum::<f32>() / BANDS as f32;
    sum.map(|s| (s - middle) / count.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(vector: &[f32; N], name: &str) -> f32 {
        vector[NAMES.iter().position(|n| *n == name).expect("a feature of that name")]
    }

    /// Frames of a signal given by time in seconds, over a little noise.
    fn heard(length: f32, signal: impl Fn(f32) -> f32) -> Features {
        let (mut features, mut seed) = (Features::new(), 7u32);
        for n in 0..(length * 50.0) as usize {
            let mut frame = [0i16; FRAME];
            for (k, slot) in frame.iter_mut().enumerate() {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (seed >> 16) as f32 / 65_536.0 * 20.0 - 10.0;
                *slot = (signal((n * FRAME + k) as f32 / 8000.0) + noise) as i16;
            }
            features.push(&frame);
        }
        features
    }

    /// A buzz of 125 Hz whose harmonics fall off, which moves in level as syllables do.
    fn vowel(t: f32) -> f32 {
        let harmonics = (1..20).map(|h| (std::f32::consts::TAU * 125.0 * h as f32 * t).sin() / h as f32);
        3000.0 * harmonics.sum::<f32>() * (0.6 + 0.4 * (std::f32::consts::TAU * 4.0 * t).sin())
    }

    #[test]
    fn a_short_word_is_found_with_its_onset_length_and_pitch() {
        let vector = heard(3.0, |t| if (0.8..1.3).contains(&t) { vowel(t) } else { 0.0 }).vector();
        assert!((feature(&vector, "onset") - 0.8).abs() <= 0.06, "{}", feature(&vector, "onset"));
        assert!((feature(&vector, "speech") - 0.5).abs() <= 0.1, "{}", feature(&vector, "speech"));
        assert!((feature(&vector, "quiet") - 1.7).abs() <= 0.1, "{}", feature(&vector, "quiet"));
        assert!((feature(&vector, "pitch") - 14.2).abs() <= 0.6, "{}", feature(&vector, "pitch"));
        assert!(feature(&vector, "tone_total") < 0.1);
    }

    #[test]
    fn a_beep_is_a_tone_and_no_speech() {
        let beep =
            |t: f32| if (1.0..1.4).contains(&t) { 6000.0 * (std::f32::consts::TAU * 1000.0 * t).sin() } else { 0.0 };
        let vector = heard(2.0, beep).vector();
        assert_eq!(feature(&vector, "bursts"), 0.0);
        assert!((feature(&vector, "tone_total") - 0.4).abs() <= 0.06, "{}", feature(&vector, "tone_total"));
        assert!((feature(&vector, "tone_freq") - 1000.0).abs() <= 32.0, "{}", feature(&vector, "tone_freq"));
    }

    #[test]
    fn noise_alone_and_silence_hold_no_speech() {
        assert_eq!(feature(&heard(3.0, |_| 0.0).vector(), "bursts"), 0.0);
        assert_eq!(feature(&Features::new().vector(), "bursts"), 0.0);
    }

    #[test]
    fn history_is_bounded_and_the_state_is_below_48_kb() {
        let features = heard(31.0, vowel);
        assert_eq!(features.frames, MAX_FRAMES);
        assert!(MAX_FRAMES * size_of::<Heard>() + size_of::<Features>() < 48 * 1024);
    }

    #[test]
    fn every_feature_is_a_number() {
        assert!(heard(2.0, vowel).vector().iter().all(|value| value.is_finite()));
    }
}
