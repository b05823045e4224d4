//! Which tones are beeps: what is left when everything else that sounds like one has been ruled out.
//!
//! ```text
//!   tone ends --> length, frequency --> key? fax? ringing? melody? --> chain of pulses --> waits if it must --> Beep
//!   frames, segments that are no tones --> when speech was heard --> call waiting?
//! ```
//!
//! Ruled out are: keys, CNG, tones of ringing and busy lines, what sounded when the sound began, SIT, three different tones in a
//! row, more than three pulses, and everything amid music.
//!
//! A frequency of call progress (400 to 450 Hz) is used by a few machines for their beep too. It counts when something was
//! said before, when it is shorter than a ring, and when no speech goes on after it.

use super::fax::is_cng;
use super::segment::{Segment, Segments};
use super::spectrum::dbfs;
use super::{Beep, BeepKind, DtmfEvent, FaxKind, Heard, Tone, ToneKind, sit};

/// Length of a beep, ms: 0.1 to 1.5 s, with the accuracy of edges in noise.
const LENGTH_MS: std::ops::RangeInclusive<u32> = 80..=1_640;
/// Frequencies of beeps, Hz, with the tolerance of clocks.
const LOWEST_HZ: f32 = 342.0;
const HIGHEST_HZ: f32 = 2_560.0;
/// Longest pause between pulses of one beep, ms, and their longest length.
const PAUSE_MS: u32 = 260;
const PULSE_MS: u32 = 700;
/// Most pulses of a beep.
const PULSES: usize = 3;
/// Longest time for which a beep waits for what the sound after it is, ms.
const PATIENCE_MS: u32 = 500;
/// Wait for the second tone of an SIT, and for its end, ms.
const RISE_MS: u32 = 260;
const RISEN_MS: u32 = 750;
/// Wait for speech after a tone with a frequency of call progress, and the speech that makes it a call waiting tone, ms.
const CALM_MS: u32 = 1_200;
const SPEECH_AFTER_MS: u32 = 150;
/// Frequencies of call progress that beeps have too: 400 to 450 Hz with the tolerance of clocks.
const PROGRESS_HZ: std::ops::RangeInclusive<f32> = 391.0..=460.0;
/// Length from which such a tone is a ring, ms.
const RING_MS: u32 = 800;
/// Speech before a tone: at least this much within this time, ms.
const SPEECH_MS: u32 = 200;
const SPEECH_WITHIN_MS: u32 = 3_000;
/// Level above the noise floor, and least level, at which sound is something that is said, dB.
const ABOVE_FLOOR_DB: f32 = 9.0;
const FAINTEST_DBFS: f32 = -52.0;
/// Rise of the noise floor per window, dB: 3 dB per second.
const FLOOR_RISE_DB: f32 = 0.03;
/// Number of windows from which on a track that is followed is judged at its end.
const FOLLOWED: u32 = 4;
/// Number of windows of which is known whether something was said: 5.12 s.
const WINDOWS: usize = 512;
const WINDOW_MS: u32 = 10;
/// Least level of a beep above the noise floor, dB. Music has no floor below its notes.
const ABOVE_NOISE_DB: f32 = 8.0;
/// Level relative to a tone at which what follows it is loud, and the notes before that make the tone one of a melody, dB.
const LOUD_AFTER_DB: f32 = -6.0;
/// Time for which nothing that a fax machine sends is a beep, ms.
const FAX_MS: u32 = 10_000;
/// Time within which notes count as music, ms, and number of them.
const MUSIC_MS: u32 = 4_000;
const MUSIC_NOTES: u32 = 4;
const NOTES: usize = 12;
/// Tones of keys (Q.23), low and high group, Hz, and their tolerance.
const LOW_GROUP_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH_GROUP_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEY_WITHIN: f32 = 0.018;

/// Pulses that follow each other closely.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: Tone,
    last: Tone,
    pulses: usize,
    /// Whether all pulses have one frequency.
    alike: bool,
    /// Number of pulses with which it was told last; 0 before.
    told: usize,
    /// Whether it cannot be a beep.
    ruled_out: bool,
    after_speech: bool,
    /// Noise floor when the first pulse ended.
    floor_dbfs: f32,
}

/// Finder of beeps and call waiting tones.
#[derive(Clone, Debug)]
pub(super) struct Beeps {
    chain: Option<Chain>,
    /// Whether a sound after the chain turned out to be no tone.
    other_sound: bool,
    /// For each of the last windows whether something was said in it.
    spoken: [bool; WINDOWS],
    windows: u32,
    floor_dbfs: f32,
    /// Times and frequencies of the last notes.
    notes: [(u32, f32); NOTES],
    key_start_ms: u32,
    key_end_ms: Option<u32>,
    /// Frequency of the call waiting tone heard last.
    waiting_hz: f32,
    /// Time at which a fax machine was heard.
    fax_ms: Option<u32>,
    /// Level of the last window.
    level_dbfs: f32,
    /// End of the CNG heard last.
    cng_ms: Option<u32>,
}

impl Default for Beeps {
    fn default() -> Beeps {
        Beeps {
            chain: None,
            other_sound: false,
            spoken: [false; WINDOWS],
            windows: 0,
            floor_dbfs: 0.0,
            notes: [(0, 0.0); NOTES],
            key_start_ms: 0,
            key_end_ms: Some(0),
            waiting_hz: 0.0,
            fax_ms: None,
            level_dbfs: 0.0,
            cng_ms: None,
        }
    }
}

impl Beeps {
    /// Learns of a window: whether something is said, unless a track is being followed, which is judged at its end.
    pub(super) fn on_window(&mut self, segments: &Segments) {
        let level = dbfs(segments.frame().power);
        self.level_dbfs = level;
        // The first windows are not full.
        if self.windows >= 4 {
            self.floor_dbfs = (self.floor_dbfs + FLOOR_RISE_DB).min(level.max(-75.0));
        }
        let is_loud = level > (self.floor_dbfs + ABOVE_FLOOR_DB).max(FAINTEST_DBFS);
        let index = self.windows as usize % WINDOWS;
        self.spoken[index] = is_loud && !segments.sounds(FOLLOWED);
        self.windows += 1;
    }

    /// Learns of a segment that has ended: it was said, or it was not.
    pub(super) fn on_segment(&mut self, segment: &Segment, is_tone: bool) {
        let is_note = segment.ms() >= 90.0
            && segment.wobble < 0.006
            && segment.drift() < 0.012
            && segment.narrow > 0.9
            && segment.ripple_db < 1.3;
        if is_note {
            self.notes.rotate_left(1);
            self.notes[NOTES - 1] = (super::ms(segment.end), segment.first_hz);
        }
        // A window sees 32 ms, and a track is followed from its fourth window on.
        let (before, after) = if is_tone { (10, 40) } else { (0, 0) };
        let first = (super::ms(segment.start).saturating_sub(before) / WINDOW_MS)
            .max(self.windows.saturating_sub(WINDOWS as u32));
        let last = ((super::ms(segment.end) + after) / WINDOW_MS).min(self.windows.saturating_sub(1));
        let is_loud = !is_tone && dbfs(segment.power) > (self.floor_dbfs + ABOVE_FLOOR_DB).max(FAINTEST_DBFS);
        for window in first..=last {
            self.spoken[window as usize % WINDOWS] = is_loud;
        }
    }

    /// Returns how much was said between two times, ms.
    fn spoken_ms(&self, from_ms: u32, to_ms: u32) -> u32 {
        let first = (from_ms / WINDOW_MS).max(self.windows.saturating_sub(WINDOWS as u32));
        let last = (to_ms / WINDOW_MS).min(self.windows);
        (first..last).filter(|&window| self.spoken[window as usize % WINDOWS]).count() as u32 * WINDOW_MS
    }

    /// Returns whether something was said shortly before a time.
    pub(super) fn spoke_before(&self, ms: u32) -> bool {
        self.spoken_ms(ms.saturating_sub(SPEECH_WITHIN_MS), ms) >= SPEECH_MS
    }

    /// Returns the number of notes that ended within four seconds before `now_ms`, those from `until_ms` on left out.
    pub(super) fn notes(&self, now_ms: u32, until_ms: u32) -> u32 {
        let is_recent = |note: &&(u32, f32)| note.0 > 0 && note.0 + MUSIC_MS >= now_ms && note.0 < until_ms;
        self.notes.iter().filter(is_recent).count() as u32
    }

    /// Learns of a key.
    pub(super) fn on_key(&mut self, event: DtmfEvent, now_ms: u32) -> Option<Heard> {
        match event {
            DtmfEvent::Began { .. } => {
                self.key_start_ms = now_ms.saturating_sub(45);
                self.key_end_ms = None;
                None
            }
            DtmfEvent::Ended { digit, duration_ms } => {
                // It is told four blocks of 6.4 ms after the end.
                let end_ms = now_ms.saturating_sub(30);
                let start_ms = end_ms.saturating_sub(duration_ms);
                (self.key_start_ms, self.key_end_ms) = (start_ms, Some(end_ms));
                Some(Heard::Key { digit, start_ms, end_ms })
            }
        }
    }

    /// Learns that the tones heard last were special information tones.
    pub(super) fn on_sit(&mut self) {
        self.chain = None;
    }

    /// Learns that a fax machine sends.
    pub(super) fn on_fax(&mut self, now_ms: u32) {
        self.chain = None;
        self.fax_ms = Some(now_ms);
    }

    /// Learns that what sounds now is no tone.
    pub(super) fn on_other_sound(&mut self) {
        self.other_sound = true;
    }

    /// Learns that a tone sounds: if it has the frequency of call progress that the last one had, both are bursts of one.
    pub(super) fn on_sound(&mut self, tone: &Tone) {
        if let Some(chain) = &mut self.chain {
            let hz = chain.first.frequencies[0];
            let is_same = (tone.frequencies[0] - hz).abs() < 0.015 * hz && tone.start_ms > chain.last.end_ms + PAUSE_MS;
            chain.ruled_out |= is_progress(&chain.first) && is_same;
        }
    }

    /// Learns of a tone that has ended. Tells CNG at once.
    pub(super) fn on_tone(&mut self, tone: &Tone, after_speech: bool) -> Option<Heard> {
        self.other_sound = false;
        let hz = tone.frequencies[0];
        if tone.kind == ToneKind::Single && is_cng(hz, tone.length_ms()) && !tone.cut {
            // Said before it: a machine that beeps at this frequency. It is CNG when it comes again after 3 s.
            let again = self.cng_ms.is_some_and(|end| (2_550..=3_450).contains(&tone.start_ms.saturating_sub(end)));
            self.cng_ms = Some(tone.end_ms);
            if again || !after_speech {
                self.chain = None;
                return Some(Heard::Fax { kind: FaxKind::Cng, start_ms: tone.start_ms });
            }
        }
        let mut chain = Chain {
            first: *tone,
            last: *tone,
            pulses: 1,
            alike: true,
            told: 0,
            ruled_out: false,
            after_speech,
            floor_dbfs: self.floor_dbfs,
        };
        if let Some(before) = self.chain.filter(|before| tone.start_ms.saturating_sub(before.last.end_ms) <= PAUSE_MS) {
            chain = before;
            chain.pulses += 1;
            chain.alike &= (hz - before.last.frequencies[0]).abs() < 0.02 * hz;
            let is_pulse = tone.length_ms() <= PULSE_MS && before.last.length_ms() <= PULSE_MS;
            chain.ruled_out |= sit::may_begin(&before.last) && sit::may_follow(tone);
            chain.ruled_out |= !is_pulse || chain.pulses > PULSES || chain.pulses == PULSES && !chain.alike;
            chain.last = *tone;
        }
        chain.ruled_out |= !self.may_be_beep(tone, after_speech);
        self.chain = Some(chain);
        None
    }

    /// Returns whether a tone may be a pulse of a beep.
    fn may_be_beep(&self, tone: &Tone, after_speech: bool) -> bool {
        let is_in_band = tone.lines().first().is_some_and(|hz| (LOWEST_HZ..=HIGHEST_HZ).contains(hz));
        let is_key = self.key_end_ms.is_none_or(|end| end > tone.start_ms) && self.key_start_ms < tone.end_ms;
        let ringing = tone.kind == ToneKind::Modulated
            || is_close_pair(tone)
            || is_progress(tone) && (!after_speech || tone.length_ms() >= RING_MS);
        let notes = self.notes(tone.start_ms, tone.start_ms);
        let is_loud_after = self.level_dbfs > tone.level_dbfs + LOUD_AFTER_DB;
        let melody = notes >= MUSIC_NOTES || notes > 0 && is_loud_after && !is_progress(tone);
        let is_faxed = self.fax_ms.is_some_and(|ms| tone.start_ms.saturating_sub(ms) < FAX_MS);
        LENGTH_MS.contains(&tone.length_ms())
            && is_in_band
            && !tone.cut
            && !is_key
            && !is_key_pair(tone)
            && !ringing
            && !melody
            && !is_faxed
            && tone.level_dbfs > self.floor_dbfs + ABOVE_NOISE_DB
    }

    /// Returns the beep or call waiting tone that can be decided now. `sounds`: whether a line is being followed.
    pub(super) fn poll(&mut self, now_ms: u32, sounds: bool) -> Option<Heard> {
        let chain = self.chain?;
        let since = now_ms.saturating_sub(chain.last.end_ms);
        let over = since > PAUSE_MS + PATIENCE_MS.max(CALM_MS);
        if chain.ruled_out {
            // It is remembered for as long as a pulse may follow.
            if over {
                self.chain = None;
            }
            return None;
        }
        if chain.told == chain.pulses {
            if over {
                self.chain = None;
            }
            return None;
        }
        if is_progress(&chain.first) {
            return self.poll_progress(chain, now_ms, since);
        }
        // Something sounds that may be the next tone of a melody or of an SIT.
        let rising = sit::may_begin(&chain.last) && !chain.after_speech;
        let patience = if rising { RISEN_MS } else { PATIENCE_MS };
        if sounds && (rising || !self.other_sound) && since < patience {
            return None;
        }
        if rising && since < RISE_MS {
            return None;
        }
        Some(self.tell(chain))
    }

    fn poll_progress(&mut self, chain: Chain, now_ms: u32, since: u32) -> Option<Heard> {
        let said = self.spoken_ms(chain.last.end_ms + 60, now_ms);
        let is_known = (chain.first.frequencies[0] - self.waiting_hz).abs() < 8.0;
        if said >= SPEECH_AFTER_MS || is_known {
            self.waiting_hz = chain.first.frequencies[0];
            self.chain = None;
            return Some(Heard::CallWaiting(chain.first));
        }
        if since < CALM_MS { None } else { Some(self.tell(chain)) }
    }

    fn tell(&mut self, chain: Chain) -> Heard {
        let kind = match (chain.pulses, chain.first.kind) {
            (2.., _) => BeepKind::Double,
            (_, ToneKind::Chirp) => BeepKind::Chirp,
            (_, ToneKind::Single) => BeepKind::Single,
            _ => BeepKind::Dual,
        };
        self.chain = Some(Chain { told: chain.pulses, ..chain });
        Heard::Beep(Beep {
            start_ms: chain.first.start_ms,
            end_ms: chain.last.end_ms,
            tone: chain.first,
            kind,
            pulses: chain.pulses as u32,
            revises: chain.told > 0,
            above_floor_db: chain.first.level_dbfs - chain.floor_dbfs,
        })
    }
}

/// Returns whether a tone has one of the frequencies of call progress.
fn is_progress(tone: &Tone) -> bool {
    tone.kind == ToneKind::Single && PROGRESS_HZ.contains(&tone.frequencies[0])
}

/// Returns whether a tone consists of two lines of an exchange, or of two that beat.
fn is_close_pair(tone: &Tone) -> bool {
    let [one, two, _] = tone.frequencies;
    let beats = (one - two).abs() < 104.0;
    tone.kind == ToneKind::Dual && (beats || super::PLANS.iter().any(|plan| plan.sounds_like(tone.lines())))
}

/// Returns whether a tone consists of the two lines of a key.
fn is_key_pair(tone: &Tone) -> bool {
    let near = |hz: f32, group: [f32; 4]| group.into_iter().any(|own| (hz - own).abs() < KEY_WITHIN * own);
    let [one, two, _] = tone.frequencies;
    let (low, high) = if one < two { (one, two) } else { (two, one) };
    tone.kind == ToneKind::Dual && near(low, LOW_GROUP_HZ) && near(high, HIGH_GROUP_HZ)
}
