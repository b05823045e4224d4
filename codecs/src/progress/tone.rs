//! Which segments are tones: what is as steady as an oscillator, or moves as smoothly as one that is swept.
//!
//! Measured on segments of the same length: an oscillator through G.711, GSM, packet loss or 10 dB of noise wobbles by less than
//! 0.15 % about its course, voices by 0.3 to 10 %; where a vowel happens to be steady, its level moves, its pitch drifts by more
//! than 1 %, or its other harmonics have a quarter of the power. No single figure parts them, so each limit below is wide and
//! all of them must hold.

use super::spectrum::{Line, dbfs};
use super::segment::Segment;
use super::{Tone, ToneKind, ms};

/// Lowest and highest frequency of tones.
const LOWEST_HZ: f32 = 330.0;
const HIGHEST_HZ: f32 = 3_400.0;
/// Shortest tone, ms.
const SHORTEST_MS: f32 = 80.0;
/// Tones that are shorter than this must be steadier, since vowels are long enough too.
const SHORT_MS: f32 = 170.0;
/// Largest distance of two lines that beat, and of a sideband from its carrier, in Hz. Dial tones of 350 Hz with 440 or 450 Hz are
/// wider apart.
const CLOSE_HZ: f32 = 60.0;
const DIAL_HZ: f32 = 104.0;

/// Returns the tone that a segment is, or `None` for voices and other sounds.
pub(super) fn judge(segment: &Segment) -> Option<Tone> {
    let hz = (segment.first_hz + segment.last_hz) / 2.0;
    if segment.ms() < SHORTEST_MS || !(LOWEST_HZ..HIGHEST_HZ).contains(&hz) {
        return None;
    }
    let kind = if is_beating(segment) {
        ToneKind::Modulated
    } else if is_steady(segment) || is_pure(segment) {
        ToneKind::Single
    } else if is_swept(segment) {
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
    let drift = segment.drift();
    let (fall, short) = (segment.decay_db * seconds, segment.ms() < SHORT_MS);
    let level = segment.ripple_db < 1.2 && fall.abs() < 3.0;
    let course = if short { segment.wobble < 0.001 && drift < 0.006 } else { segment.wobble < 0.002 && drift < 0.008 };
    let pure = segment.share > if short { 0.85 } else { 0.75 };
    level && course && pure && segment.narrow > 0.75 && segment.wobble_most < 0.05
}

/// Returns whether one line has nearly everything, so that its level may swell and fade, as that of a bell does, and a worn
/// recording may wobble.
fn is_pure(segment: &Segment) -> bool {
    let fall = segment.decay_db * segment.ms() / 1_000.0;
    let alone = segment.lines[1].power < 0.09 * segment.lines[0].power;
    let course = segment.wobble < if segment.lines[0].hz > 500.0 && segment.ms() > 120.0 { 0.008 } else { 0.0015 };
    let level = segment.ripple_db < 3.5 && (-4.0..30.0).contains(&fall);
    alone && course && level && segment.drift() < 0.012 && segment.share > 0.97 && segment.narrow > 0.94
}

/// Returns whether one line moves smoothly.
fn is_swept(segment: &Segment) -> bool {
    let fall = segment.decay_db * segment.ms() / 1_000.0;
    (0.008..1.5).contains(&segment.drift())
        && segment.ms() > 130.0
        && segment.share > 0.93
        && segment.ripple_db < 0.6
        && fall.abs() < 2.5
        && segment.wobble < if segment.ms() < 200.0 { 0.0015 } else { 0.0025 }
        && segment.wobble_most < 0.008
}

/// Returns whether close lines stand still: two of about the same power, or one with a pair of sidebands.
fn is_beating(segment: &Segment) -> bool {
    let lines = &segment.lines[..count(&segment.lines, 0.04)];
    let [main, near, far] = segment.lines;
    let is_close = |line: Line| line.power > 0.0 && (line.hz - main.hz).abs() < CLOSE_HZ;
    let is_dial = (near.hz - main.hz).abs() < DIAL_HZ && (main.hz.min(near.hz) - 350.0).abs() < 8.0;
    let is_pair = near.power > 0.0 && (is_close(near) || is_dial) && near.hz > LOWEST_HZ && near.power > 0.3 * main.power && far.power < 0.1 * near.power;
    let sidebands = lines.len() == 3 && is_close(near) && is_close(far) && far.power > 0.4 * near.power;
    let is_symmetric = sidebands && ((near.hz + far.hz) / 2.0 - main.hz).abs() < 0.08 * (near.hz - far.hz).abs();
    let fall = segment.decay_db * segment.ms() / 1_000.0;
    (is_pair || is_symmetric)
        && (330.0..520.0).contains(&main.hz)
        && segment.ms() > 150.0
        && segment.narrow > 0.9
        && segment.share > 0.85
        && fall.abs() < 4.0
        && segment.ripple_db < 4.0
}

fn tone(segment: &Segment, kind: ToneKind) -> Tone {
    let mut frequencies = [0.0; 3];
    let least = if kind == ToneKind::Modulated { 0.06 } else { 0.03 };
    let lines = count(&segment.lines, least);
    for (place, line) in frequencies.iter_mut().zip(&segment.lines[..lines]) {
        *place = line.hz;
    }
    let kind = match kind {
        ToneKind::Chirp => {
            frequencies = [segment.first_hz, segment.last_hz, 0.0];
            ToneKind::Chirp
        }
        ToneKind::Modulated if lines == 2 => ToneKind::Dual,
        ToneKind::Single if lines == 2 => ToneKind::Dual,
        ToneKind::Single if lines == 3 => ToneKind::Harmonic,
        kind => kind,
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
