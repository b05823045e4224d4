//! Which segments are tones: what is as steady as an oscillator, or moves as smoothly as one that is swept.
//!
//! Measured on segments of the same length: an oscillator through G.711, GSM, packet loss or 10 dB of noise wobbles by less than
//! 0.15 % about its course, voices by 0.3 to 10 %; where a vowel happens to be steady, its level moves, its pitch drifts by more
//! than 1 %, or its other harmonics have a quarter of the power. No single figure parts them, so each limit below is wide and
//! all of them must hold.

use super::segment::Segment;
use super::spectrum::{Line, dbfs};
use super::{Tone, ToneKind, ms};

/// Lowest and highest frequency of tones.
const LOWEST_HZ: f32 = 330.0;
const HIGHEST_HZ: f32 = 3_400.0;
/// Shortest tone, ms.
const SHORTEST_MS: f32 = 80.0;
/// Least power of a line of a tone relative to the strongest one; noise 10 dB below a tone has weaker lines.
const LEAST_LINE: f32 = 0.045;
/// Tones that are shorter than this must be steadier, since vowels are long enough too.
const SHORT_MS: f32 = 170.0;
/// Largest distance of two lines that beat, and of a sideband from its carrier, in Hz. Dial tones of 350 Hz with 440 or 450 Hz are
/// wider apart.
const CLOSE_HZ: f32 = 60.0;
const DIAL_HZ: std::ops::Range<f32> = 86.0..104.0;

/// Returns the tone that a segment is, or `None` for voices and other sounds.
pub(super) fn judge(segment: &Segment) -> Option<Tone> {
    let hz = (segment.first_hz + segment.last_hz) / 2.0;
    if segment.ms() < SHORTEST_MS || !(LOWEST_HZ..HIGHEST_HZ).contains(&hz) {
        return None;
    }
    let kind = if !segment.part && is_beating(segment) {
        ToneKind::Modulated
    } else if is_steady(segment) {
        ToneKind::Harmonic
    } else if !segment.part && is_pure(segment) {
        ToneKind::Single
    } else if !segment.part && is_swept(segment) {
        ToneKind::Chirp
    } else {
        return None;
    };
    Some(tone(segment, kind))
}

fn count(lines: &[Line], least: f32) -> usize {
    lines.iter().filter(|line| line.power > least * lines[0].power).count()
}

/// Returns whether the lines stand still.
fn is_steady(segment: &Segment) -> bool {
    let seconds = segment.ms() / 1_000.0;
    let fall = segment.decay_db * seconds;
    if segment.ripple_db > 1.2 || fall.abs() > 3.0 || segment.drift() > 0.008 || segment.wobble_most > 0.3 {
        return false;
    }
    let lines = count(&segment.lines, LEAST_LINE);
    let [one, other, _] = segment.lines;
    if lines > 1 && (one.hz - other.hz).abs() < CLOSE_HZ {
        return false;
    }
    if is_exact(segment) {
        return lines == 1 || segment.ms() > 250.0 || !is_voiced(segment) && (lines == 2 || segment.ms() > SHORT_MS);
    }
    // In noise a window shows a frequency to within about a hertz, which low frequencies feel most.
    let hertz = |width: f32, least: f32| (width / segment.lines[0].hz.max(1.0)).max(least);
    let long = segment.ms() > 250.0;
    match lines {
        1 if long => {
            let quiet = segment.wobble < hertz(1.1, 0.002) && segment.share > 0.75 && segment.narrow > 0.75;
            let babble = segment.wobble < hertz(2.0, 0.0) && segment.share > 0.85 && segment.narrow > 0.95;
            let regular = !segment.part || segment.wobble < 0.0008 || segment.wobble_most < 0.01;
            (quiet && segment.wobble_most < 0.05 || babble) && regular
        }
        1 => {
            let least = if segment.ms() < SHORT_MS { 0.001 } else { 0.002 };
            let course = segment.wobble < hertz(0.8, least) && segment.wobble_most < 0.05 && segment.drift() < 0.006;
            course && segment.share > 0.85 && segment.narrow > 0.75 && !segment.part
        }
        _ => {
            let course = segment.wobble < 0.002 && segment.wobble_most < 0.05;
            let whole = !segment.part && segment.ms() > SHORT_MS && !is_voiced(segment);
            course && whole && segment.share > 0.75 && segment.narrow > 0.75
        }
    }
}

/// Returns whether nothing moves at all, which is asked of what otherwise looks like a part of a voice.
fn is_exact(segment: &Segment) -> bool {
    // A repeated packet breaks the phase, so that the zoom sees a wider line, but not the frequency.
    let narrow = segment.narrow > 0.75 || segment.wobble < 0.0005 && segment.ripple_db < 0.3;
    let course = segment.wobble < 0.0008 && segment.drift() < 0.004;
    let regular = segment.wobble_most < if segment.part && segment.ms() < 250.0 { 0.004 } else { 0.06 };
    course && regular && segment.ripple_db < 0.5 && segment.share > 0.85 && narrow
}

/// Returns whether the lines are neighbouring harmonics of a pitch that voices have.
fn is_voiced(segment: &Segment) -> bool {
    let lines = &segment.lines[..count(&segment.lines, LEAST_LINE)];
    let [one, other, ..] = lines else { return false };
    let pitch = (one.hz - other.hz).abs();
    let is_multiple = |line: &Line| ((line.hz / pitch).round() - line.hz / pitch).abs() * pitch < 0.04 * pitch;
    // The second strongest line may be the next but one, and both odd harmonics.
    let is_odd =
        |line: &Line| ((line.hz - pitch / 2.0) / pitch - ((line.hz - pitch / 2.0) / pitch).round()).abs() < 0.04;
    (70.0..340.0).contains(&pitch) && lines.iter().all(is_multiple)
        || (140.0..680.0).contains(&pitch) && is_odd(one) && is_odd(other)
}

/// Returns whether one line has nearly everything, so that its level may swell and fade, as that of a bell does, and a worn
/// recording may wobble.
fn is_pure(segment: &Segment) -> bool {
    let fall = segment.decay_db * segment.ms() / 1_000.0;
    let alone = segment.lines[1].power < 0.09 * segment.lines[0].power;
    let is_worn = segment.lines[0].hz > 500.0 && (120.0..350.0).contains(&segment.ms()) && fall > 4.0;
    let course = segment.wobble < if is_worn { 0.008 } else { 0.0015 };
    let narrow = segment.narrow > if segment.wobble < 0.0015 { 0.85 } else { 0.94 };
    let level = segment.ripple_db < 3.5 && (-4.0..30.0).contains(&fall);
    alone && course && level && segment.drift() < 0.012 && segment.share > 0.97 && narrow
}

/// Returns whether one line moves smoothly.
fn is_swept(segment: &Segment) -> bool {
    let fall = segment.decay_db * segment.ms() / 1_000.0;
    (0.02..1.5).contains(&segment.drift())
        && segment.ms() > 180.0
        && segment.share > 0.93
        && segment.ripple_db < 0.6
        && fall.abs() < 2.5
        && segment.wobble < 0.002
        && segment.wobble_most < 0.008
}

/// Returns whether close lines stand still: two of about the same power, or one with a pair of sidebands.
pub(super) fn is_beating(segment: &Segment) -> bool {
    let lines = &segment.lines[..count(&segment.lines, 0.04)];
    let [main, near, far] = segment.lines;
    let is_close = |line: Line| line.power > 0.0 && (line.hz - main.hz).abs() < CLOSE_HZ;
    let apart = (near.hz - main.hz).abs();
    let is_dial = DIAL_HZ.contains(&apart) && (main.hz.min(near.hz) - 350.0).abs() < 8.0;
    let is_pair = (is_close(near) && apart > 20.0 || is_dial)
        && near.hz > LOWEST_HZ
        && near.power > 0.3 * main.power
        && far.power < 0.1 * near.power;
    let sidebands =
        lines.len() == 3 && is_close(near) && is_close(far) && far.power > (0.4 * near.power).max(0.1 * main.power);
    let is_symmetric = sidebands && ((near.hz + far.hz) / 2.0 - main.hz).abs() < 0.08 * (near.hz - far.hz).abs();
    // The level of windows swings with the beat.
    (is_pair || is_symmetric)
        && (330.0..520.0).contains(&main.hz)
        && segment.ms() > 150.0
        && segment.ms() * apart > 4_000.0
        && segment.narrow > 0.93
        && segment.share > 0.85
}

fn tone(segment: &Segment, kind: ToneKind) -> Tone {
    let mut frequencies = [0.0; 3];
    let least = match kind {
        ToneKind::Single => 0.1,
        _ => LEAST_LINE,
    };
    let lines = count(&segment.lines, least);
    for (place, line) in frequencies.iter_mut().zip(&segment.lines[..lines]) {
        *place = line.hz;
    }
    let kind = match (kind, lines) {
        (ToneKind::Chirp, _) => {
            frequencies = [segment.first_hz, segment.last_hz, 0.0];
            ToneKind::Chirp
        }
        (ToneKind::Harmonic, 0 | 1) => ToneKind::Single,
        (ToneKind::Harmonic | ToneKind::Modulated, 2) => ToneKind::Dual,
        (kind, _) => kind,
    };
    Tone {
        start_ms: ms(segment.start),
        end_ms: ms(segment.end),
        frequencies,
        level_dbfs: dbfs(segment.power),
        kind,
        cut: segment.cut,
    }
}
