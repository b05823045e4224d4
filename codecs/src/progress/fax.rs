//! Tones of fax machines and modems (ITU-T T.30, V.8, V.21, V.25; Bell 103).
//!
//! ```text
//!   1100 Hz for 0.5 s, then silence --> CNG              2100 Hz without end --> CED, or by V.8 with its phase reversed every
//!   1650 / 1850 Hz in turns of 3.3 ms --> V.21 flags     450 ms and its level modulated by 15 Hz
//! ```
//!
//! 2100 Hz is decided after 1 s when nothing was said before, else when no beep would be that long.

use super::FaxKind;
use super::segment::{Segment, Segments};
use super::spectrum::RATE_HZ;

/// Frequency of CNG and its tolerance, Hz (T.30 §4.1.1).
const CNG_HZ: f32 = 1_100.0;
const CNG_WITHIN_HZ: f32 = 38.0;
/// Length of CNG, ms: 0.5 s within 15 %, and the length of our edges.
const CNG_MS: std::ops::RangeInclusive<u32> = 415..=590;
/// Frequency of CED and ANSam; 15 Hz of tolerance by T.30, and 1.5 % of sample clocks.
const ANSWER_HZ: f32 = 2_100.0;
const ANSWER_WITHIN_HZ: f32 = 46.0;
/// Answer tone of Bell 103, and the one of V.22 modems.
const BELL_HZ: f32 = 2_225.0;
const BELL_WITHIN_HZ: f32 = 34.0;
/// Length after which an answer tone is decided in a call without and with speech before it, ms.
const DECIDED_MS: f32 = 1_000.0;
const DECIDED_AFTER_SPEECH_MS: f32 = 1_750.0;
/// Frequencies of V.21's upper channel.
const MARK_HZ: f32 = 1_650.0;
const SPACE_HZ: f32 = 1_850.0;
/// Number of windows of 10 ms in which both must have nearly everything.
const FLAG_WINDOWS: u32 = 30;

/// Returns whether a tone of this frequency and length is CNG.
pub(super) fn is_cng(hz: f32, length_ms: u32) -> bool {
    (hz - CNG_HZ).abs() <= CNG_WITHIN_HZ && CNG_MS.contains(&length_ms)
}

/// Returns the answer tone that a segment which still sounds is, once it is long enough.
pub(super) fn answer_tone(segment: &Segment, segments: &Segments, after_speech: bool) -> Option<FaxKind> {
    let least = if after_speech { DECIDED_AFTER_SPEECH_MS } else { DECIDED_MS };
    if segment.ms() < least || segment.share < 0.75 || segment.wobble > 0.004 {
        return None;
    }
    let hz = (segment.first_hz + segment.last_hz) / 2.0;
    if (hz - BELL_HZ).abs() < BELL_WITHIN_HZ {
        return Some(FaxKind::ModemAnswer);
    }
    if (hz - ANSWER_HZ).abs() > ANSWER_WITHIN_HZ {
        return None;
    }
    let shape = Shape::of(segments, hz);
    Some(match (shape.is_modulated, shape.is_reversed) {
        (true, _) => FaxKind::AnsAm,
        (false, true) => FaxKind::AnsReversed,
        (false, false) => FaxKind::Ced,
    })
}

/// What happens to the phase and the level of an answer tone within the last half second.
struct Shape {
    is_reversed: bool,
    is_modulated: bool,
}

/// Number of places that are looked at, 8 ms apart.
const PLACES: usize = 58;

impl Shape {
    fn of(segments: &Segments, hz: f32) -> Shape {
        let end = segments.heard() as i64 - 16;
        let mut levels = [0.0f32; PLACES];
        let mut phases = [0.0f32; PLACES];
        for n in 0..PLACES {
            let begin = end - ((PLACES - n) * 64) as i64;
            let (mut re, mut im) = (0.0, 0.0);
            for k in 0..64 {
                // The phase is counted from the beginning of the stretch, so that a tone of exactly this frequency keeps it.
                let angle = std::f32::consts::TAU * (hz / RATE_HZ) * (n as f32 * 64.0 + k as f32);
                let (sin, cos) = (angle % std::f32::consts::TAU).sin_cos();
                let value = segments.sample(begin + k);
                re += value * cos;
                im -= value * sin;
            }
            (levels[n], phases[n]) = (re.hypot(im), im.atan2(re));
        }
        let mean = levels.iter().sum::<f32>() / PLACES as f32;
        Shape { is_reversed: has_reversal(&phases), is_modulated: has_modulation(&levels, mean) }
    }
}

/// Returns whether the phase jumps by half a turn, against its own drift.
fn has_reversal(phases: &[f32; PLACES]) -> bool {
    let turn = |angle: f32| {
        let wrapped = angle.rem_euclid(std::f32::consts::TAU);
        if wrapped > std::f32::consts::PI { wrapped - std::f32::consts::TAU } else { wrapped }
    };
    let mut steps: [f32; PLACES - 2] = std::array::from_fn(|n| turn(phases[n + 2] - phases[n]));
    let is_jump = |drift: f32| move |step: &&f32| turn(**step - drift).abs() > 2.3;
    let plain = steps;
    steps.sort_unstable_by(f32::total_cmp);
    let drift = steps[steps.len() / 2];
    // A reversal shows in two steps; a lost packet in any number.
    let jumps = plain.iter().filter(is_jump(drift)).count();
    (1..=6).contains(&jumps)
}

/// Returns whether the level follows a sine of 15 Hz by a tenth or more: V.8 prescribes a fifth.
fn has_modulation(levels: &[f32; PLACES], mean: f32) -> bool {
    let depth_at = |hz: f32| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, level) in levels.iter().enumerate() {
            let (sin, cos) = (std::f32::consts::TAU * hz * n as f32 * 0.008).sin_cos();
            re += (level - mean) * cos;
            im += (level - mean) * sin;
        }
        2.0 * re.hypot(im) / PLACES as f32 / mean.max(1e-9)
    };
    let depth = depth_at(15.0);
    depth > 0.1 && depth > 1.5 * depth_at(9.0) && depth > 1.5 * depth_at(21.0)
}

/// Finder of the flags with which a fax machine begins to send.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags {
    windows: u32,
    mark: f32,
    space: f32,
    told: bool,
}

impl Flags {
    /// Learns of a window; returns whether flags have been heard for 300 ms, once.
    pub(super) fn on_window(&mut self, segments: &Segments) -> bool {
        let (mark, space) = (segments.power_near(MARK_HZ), segments.power_near(SPACE_HZ));
        let whole = segments.frame().power;
        if mark + space < 0.7 * whole || whole < 1_000.0 {
            // A lost packet does not end them.
            self.windows = self.windows.saturating_sub(4);
            if self.windows == 0 {
                *self = Flags::default();
            }
            return false;
        }
        self.windows += 1;
        self.mark += mark;
        self.space += space;
        let both = self.mark.min(self.space) > 0.07 * (self.mark + self.space);
        let is_heard = self.windows >= FLAG_WINDOWS && both && !self.told;
        self.told |= is_heard;
        is_heard
    }
}
