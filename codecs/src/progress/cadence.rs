//! From bursts of tone to call progress signals: ringback, busy, congestion, dial tone, number unobtainable.
//!
//! ```text
//!   bursts of one tone, 300 to 700 Hz --> lengths of sound and silence --> rules --> Signal, with the plans that fit
//! ```
//!
//! When a signal is decided:
//!
//! - busy and congestion: when the third burst has begun, after two cycles of equal sound and equal silence (four bursts when two
//!   different ones alternate);
//! - ringback of two close lines or of a modulated tone, which nothing else has: in the silence after the first ring, when the
//!   second half of a double ring begins, or after 1.5 s of an unbroken ring of 440 + 480 Hz;
//! - ringback of one line: 1.5 s into the silence after the first whole ring of at least 0.7 s, as no busy tone is that slow; or
//!   when the second ring begins;
//! - dial tone and number unobtainable: after 2.5 s of unbroken sound.
//!
//! A burst that was cut, because it sounded when the sound began, may be the remainder of a ring before an answer. It proves
//! nothing alone. Nor does one that follows speech.

use super::plan::{PLANS, Plan};
use super::{Signal, SignalKind, Tone, ToneKind};

/// Frequencies of call progress tones.
const LOWEST_HZ: f32 = 300.0;
const HIGHEST_HZ: f32 = 700.0;
/// Number of bursts that are remembered.
const BURSTS: usize = 6;
/// Bounds of sound and of silence in busy and congestion tones, ms.
const QUICK_MS: std::ops::RangeInclusive<u32> = 110..=900;
/// Sound up to this length in a busy tone means congestion in most countries, ms.
const CONGESTION_MS: u32 = 300;
/// Least length of a whole ring of one line, ms.
const RING_MS: u32 = 700;
/// Silence after such a ring that decides, ms.
const RING_PAUSE_MS: u32 = 1_500;
/// Silence between two rings, ms.
const BETWEEN_RINGS_MS: std::ops::RangeInclusive<u32> = 1_000..=6_500;
/// Silence within a double ring, ms.
const WITHIN_RING_MS: std::ops::RangeInclusive<u32> = 130..=320;
/// Unbroken sound that is a dial tone or means an unobtainable number, ms.
const ENDLESS_MS: u32 = 2_500;

#[derive(Clone, Copy, Debug)]
struct Burst {
    tone: Tone,
    /// Whether speech was heard shortly before.
    after_speech: bool,
}

/// Lengths of sound and silence of one tone.
#[derive(Clone, Debug, Default)]
pub(super) struct Cadence {
    bursts: [Option<Burst>; BURSTS],
    /// The burst that sounds now.
    sounding: Option<Burst>,
    /// Signal that was reported last for this tone.
    told: Option<SignalKind>,
}

impl Cadence {
    /// Returns whether a tone may belong to a call progress signal.
    pub(super) fn concerns(tone: &Tone) -> bool {
        tone.lines().iter().all(|hz| (LOWEST_HZ..HIGHEST_HZ).contains(hz)) && tone.kind != ToneKind::Chirp
    }

    /// Learns that a tone sounds, from its announcement on and every 100 ms; `tone` ends now.
    pub(super) fn on_sound(&mut self, tone: &Tone, after_speech: bool) -> Option<Signal> {
        self.keep_to(tone);
        let after_speech = self.sounding.map_or(after_speech, |burst| burst.after_speech);
        let burst = Burst { tone: *tone, after_speech };
        self.sounding = Some(burst);
        let kind = self.quick().or_else(|| self.ring_again()).or_else(|| self.endless(burst))?;
        self.tell(kind)
    }

    /// Learns that the tone that sounded has ended.
    pub(super) fn on_end(&mut self, tone: &Tone, after_speech: bool) {
        self.keep_to(tone);
        let after_speech = self.sounding.take().map_or(after_speech, |burst| burst.after_speech);
        self.bursts.rotate_left(1);
        self.bursts[BURSTS - 1] = Some(Burst { tone: *tone, after_speech });
    }

    /// Learns that the track that was announced turned out to be no tone.
    pub(super) fn on_nothing(&mut self) {
        self.sounding = None;
    }

    /// Learns of silence up to `now_ms`.
    pub(super) fn on_silence(&mut self, now_ms: u32) -> Option<Signal> {
        let last = self.bursts[BURSTS - 1].filter(|_| self.sounding.is_none())?;
        let silence = now_ms.saturating_sub(last.tone.end_ms);
        let length = last.tone.length_ms();
        let is_alone =
            self.bursts[BURSTS - 2].is_none_or(|other| last.tone.start_ms.saturating_sub(other.tone.end_ms) > 1_000);
        if last.tone.cut || last.after_speech || !is_alone || length > 3_000 {
            return None;
        }
        let pause = if is_ring_only(&last.tone) { 300 } else { RING_PAUSE_MS };
        if length >= RING_MS && silence >= pause { self.tell(SignalKind::Ringback) } else { None }
    }

    /// Forgets all bursts when `tone` is another one.
    fn keep_to(&mut self, tone: &Tone) {
        let last = self.sounding.or(self.bursts[BURSTS - 1]);
        if last.is_some_and(|burst| {
            !is_same(&burst.tone, tone) || tone.start_ms.saturating_sub(burst.tone.end_ms) > 12_000
        }) {
            *self = Cadence::default();
        }
    }

    fn tell(&mut self, kind: SignalKind) -> Option<Signal> {
        if self.told.replace(kind) == Some(kind) {
            return None;
        }
        let mut lengths = [0; 2 * BURSTS];
        let mut count = 0;
        let mut before: Option<u32> = None;
        let mut cycles = 0;
        let mut start_ms = None;
        let bursts = self.bursts.iter().flatten();
        for burst in bursts.clone() {
            start_ms = start_ms.or(Some(burst.tone.start_ms));
            if let Some(end) = before.filter(|_| count > 0) {
                lengths[count] = burst.tone.start_ms.saturating_sub(end);
                count += 1;
            }
            if !burst.tone.cut {
                lengths[count] = burst.tone.length_ms();
                count += 1;
            }
            before = Some(burst.tone.end_ms);
            cycles += 1;
        }
        if let (Some(sounding), Some(end), true) = (self.sounding, before, count > 0) {
            lengths[count] = sounding.tone.start_ms.saturating_sub(end);
            count += 1;
        }
        let tone = self.sounding.or(self.bursts[BURSTS - 1])?.tone;
        let start_ms = start_ms.unwrap_or(tone.start_ms);
        let mut signal = Signal { kind, start_ms, tone, cycles, lengths, count };
        if is_either_busy(kind) {
            // Where only one of the two has this cadence, it is that one.
            let has = |kind| signal.plans().any(|plan| plan.kind == kind);
            signal.kind = match (has(SignalKind::Busy), has(SignalKind::Congestion)) {
                (true, false) => SignalKind::Busy,
                (false, true) => SignalKind::Congestion,
                _ => kind,
            };
        }
        Some(signal)
    }

    /// Returns the lengths of the last `n + 1` bursts that have ended and of the silences after them: sound, silence. The last
    /// silence ends with the burst that sounds.
    fn cycle(&self, n: usize) -> Option<(u32, u32)> {
        let burst = self.bursts.get((BURSTS - 1).checked_sub(n)?).copied().flatten()?;
        let next = if n == 0 { self.sounding } else { self.bursts[BURSTS - n] }?;
        if burst.tone.cut {
            return None;
        }
        Some((burst.tone.length_ms(), next.tone.start_ms.saturating_sub(burst.tone.end_ms)))
    }

    /// Decides busy and congestion.
    fn quick(&self) -> Option<SignalKind> {
        let (one, two) = (self.cycle(0)?, self.cycle(1)?);
        let is_quick = |cycle: (u32, u32)| QUICK_MS.contains(&cycle.0) && QUICK_MS.contains(&cycle.1);
        if !is_quick(one) || !is_quick(two) {
            return None;
        }
        let like = |a: (u32, u32), b: (u32, u32)| is_like(a.0, b.0) && is_like(a.1, b.1);
        if like(one, two) && one.0 < 3 * one.1 && one.1 <= 4 * one.0 {
            return Some(if one.0 <= CONGESTION_MS { SignalKind::Congestion } else { SignalKind::Busy });
        }
        let (three, four) = (self.cycle(2)?, self.cycle(3)?);
        // A double ring alternates too, but is silent for longer.
        (is_quick(three) && is_quick(four) && like(one, three) && like(two, four)).then_some(SignalKind::Congestion)
    }

    /// Decides ringback by a ring before the burst that sounds.
    fn ring_again(&self) -> Option<SignalKind> {
        let (sounding, last) = (self.sounding?, self.bursts[BURSTS - 1]?);
        let silence = sounding.tone.start_ms.saturating_sub(last.tone.end_ms);
        let length = last.tone.length_ms();
        let whole = !last.tone.cut;
        if is_ring_only(&sounding.tone) && WITHIN_RING_MS.contains(&silence) && whole && (250..650).contains(&length) {
            return Some(SignalKind::Ringback);
        }
        // A single line is a ring when it is long, or when it is the second one of a double ring.
        let is_apart = self.cycle(2).is_none_or(|(_, pause)| *BETWEEN_RINGS_MS.start() <= pause);
        let second = is_apart
            && self.cycle(1).is_some_and(|(ring, pause)| is_like(ring, length) && WITHIN_RING_MS.contains(&pause));
        let long = length >= RING_MS || last.tone.cut || is_ring_only(&last.tone) && length > 250;
        let is_ring = BETWEEN_RINGS_MS.contains(&silence) && (long || second) && silence > length.min(1_500);
        // Two rings after speech are rings; one may be a beep, and the next sound its repetition.
        let sounded = sounding.tone.length_ms() >= if last.tone.cut { 300 } else { 0 };
        if long && (2_200..3_200).contains(&length) && silence < 700 {
            return Some(SignalKind::Unobtainable);
        }
        (is_ring && sounded).then_some(SignalKind::Ringback)
    }

    /// Decides what goes on without end.
    fn endless(&self, burst: Burst) -> Option<SignalKind> {
        let length = burst.tone.length_ms();
        let is_us_ring = burst.tone.kind == ToneKind::Dual && (burst.tone.center_hz() - 460.0).abs() < 10.0;
        if is_us_ring && is_ring_only(&burst.tone) && !burst.tone.cut && (1_500..ENDLESS_MS).contains(&length) {
            return Some(SignalKind::Ringback);
        }
        if length < ENDLESS_MS || self.told.is_some() {
            return None;
        }
        let lines = burst.tone.carrier();
        let has =
            |kind| PLANS.iter().any(|plan| plan.kind == kind && plan.cadence.is_empty() && plan.sounds_like(lines));
        // Britain's number unobtainable is the dial tone of Japan, which a caller who has dialled does not hear.
        Some(if has(SignalKind::Unobtainable) { SignalKind::Unobtainable } else { SignalKind::Dial })
    }
}

/// Returns whether two lengths are the same within the accuracy of exchanges and of edges in noise.
fn is_like(a: u32, b: u32) -> bool {
    a.abs_diff(b) <= 30 + a.max(b) / 12
}

fn is_same(a: &Tone, b: &Tone) -> bool {
    (a.center_hz() - b.center_hz()).abs() < 0.03 * a.center_hz()
}

/// Returns whether a tone is of the kind that is used for ringing only: two lines at most 60 Hz apart, or a modulated one.
fn is_ring_only(tone: &Tone) -> bool {
    let lines = tone.lines();
    tone.kind == ToneKind::Modulated || lines.len() == 2 && (lines[0] - lines[1]).abs() < 60.0
}

impl Signal {
    /// Returns the plans of countries that fit what was heard.
    pub fn plans(&self) -> impl Iterator<Item = &'static Plan> + '_ {
        let lines = self.tone.carrier();
        let lengths = &self.lengths[..self.count];
        PLANS.iter().filter(move |plan| {
            let is_same_meaning = plan.kind == self.kind || is_either_busy(plan.kind) && is_either_busy(self.kind);
            let is_endless = lengths.is_empty() && plan.cadence.is_empty();
            is_same_meaning && plan.sounds_like(lines) && (is_endless || plan.goes_like(lengths))
        })
    }
}

fn is_either_busy(kind: SignalKind) -> bool {
    matches!(kind, SignalKind::Busy | SignalKind::Congestion)
}
