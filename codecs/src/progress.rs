//! Call progress: tones of exchanges, of fax machines, of keys, and the beep after which a message may be left.
//!
//! ```text
//!   samples --> 8 kHz --> spectrum --> segment --> tone ----> beep: one, two or three pulses, nothing that is something else
//!                            |                      +-------> sit: three rising tones
//!                            |                      +-------> cadence, plan: busy, ringback, ... by country
//!                            +--> fax                +------> call waiting
//!   samples --> dtmf --> keys
//! ```
//!
//! Times are milliseconds of sound heard since construction. Edges of tones are measured at 20 dB below their peak, to 5 ms in
//! clean sound and to 20 ms in noise or beside a lost packet. A tone has ended when it is missing for 50 ms, so its end is
//! known 70 to 90 ms after it. A beep is told then, unless it may be part of something else, as [`Beep`] describes.
//!
//! Tones are found from −35 to −5 dBFS and beyond, through G.711 and GSM, within 2 % of their nominal frequency. Of beeps from
//! 100 ms on (`tests`), 97 % are found 10 dB above white or pink noise, more than 90 % when 5 % of the packets are lost, and more
//! than 80 % 10 dB above babble, which hides short low ones.
//!
//! Invariants: nothing is allocated after `new`; the state is below 32 kB; every event depends only on what was heard.
//!
//! Not here: who answered. A tone in the room of a person who answered is a beep for this module. Music has no event of its own;
//! [`Progress::notes`] counts what it is suspected by.
//!
//! Sources: ITU-T E.180, E.180 Supplement 2, E.182, Q.23, T.30, V.8, V.21, V.25; for the kinds of SIT the practice of
//! North American exchanges.

mod beep;
mod cadence;
mod fax;
mod plan;
mod segment;
mod sit;
mod spectrum;
#[cfg(test)]
mod tests;
mod tone;

pub use plan::{PLANS, Plan};

use crate::SampleRate;
use crate::dtmf::{DtmfDetector, DtmfEvent};
use crate::resample::Resampler;
use beep::Beeps;
use cadence::Cadence;
use fax::Flags;
use segment::{Found, Segment, Segments};
use sit::Rising;
use tone::judge;

/// Most samples that are processed at once: 20 ms at 48 kHz.
const PIECE: usize = 960;
/// Samples per millisecond at 8 kHz.
const PER_MS: u64 = 8;
/// Events of one call of [`Progress::push`] that are kept.
const EVENTS: usize = 16;
/// Most frequencies of a tone.
const FREQUENCIES: usize = 3;

/// How the lines of a tone relate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToneKind {
    /// One steady frequency.
    #[default]
    Single,
    /// Two steady frequencies.
    Dual,
    /// Three or more steady frequencies, such as a tone with its harmonics.
    Harmonic,
    /// One frequency that moves; the tone has its first and its last frequency.
    Chirp,
    /// A frequency whose level is modulated; the tone has it and its two sidebands.
    Modulated,
}

/// A stretch of tone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tone {
    /// Time of its first sample.
    pub start_ms: u32,
    /// Time of its end; of a tone that still sounds, the time up to which it was heard.
    pub end_ms: u32,
    /// Frequencies in Hz, the strongest first; 0 where there is none.
    pub frequencies: [f32; FREQUENCIES],
    /// Level while it sounds.
    pub level_dbfs: f32,
    /// How its frequencies relate.
    pub kind: ToneKind,
    /// Whether it already sounded when the first sample was heard, so that its start is unknown.
    pub cut: bool,
}

impl Tone {
    /// Returns its length.
    pub fn length_ms(&self) -> u32 {
        self.end_ms.saturating_sub(self.start_ms)
    }

    /// Returns the frequencies that it has.
    pub fn lines(&self) -> &[f32] {
        let count = self.frequencies.iter().take_while(|hz| **hz > 0.0).count();
        &self.frequencies[..count]
    }

    /// Returns the frequencies without sidebands.
    fn carrier(&self) -> &[f32] {
        if self.kind == ToneKind::Modulated { &self.frequencies[..1] } else { self.lines() }
    }

    /// Returns the mean of its frequencies.
    fn center_hz(&self) -> f32 {
        let lines = self.lines();
        lines.iter().sum::<f32>() / lines.len().max(1) as f32
    }
}

/// How the pulses of a beep relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeepKind {
    /// One tone of one frequency.
    Single,
    /// One tone of several frequencies.
    Dual,
    /// One tone whose frequency moves.
    Chirp,
    /// Two or three tones with short gaps.
    Double,
}

/// The tone after which a message may be left: 0.1 to 1.5 s, 350 to 2,500 Hz.
///
/// It is reported when its end is known, some 75 ms after it, and later in three cases. When another tone follows at once, it is
/// reported when that is known not to continue a melody (at most 500 ms). When nothing was said before and it may be the first tone of an
/// SIT, it waits for 260 ms, or for the end of the second tone. When it has a frequency of call progress (400 to 450 Hz), it waits
/// for 1.2 s of silence, since it may be a call waiting tone. A beep whose next pulse follows is reported again
/// ([`revises`](Beep::revises)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beep {
    /// Time of its first sample.
    pub start_ms: u32,
    /// Time of its end: of its last pulse.
    pub end_ms: u32,
    /// The first pulse.
    pub tone: Tone,
    /// How its pulses relate.
    pub kind: BeepKind,
    /// Number of pulses.
    pub pulses: u32,
    /// Whether the beep that was reported last goes on in this one, which has the same start.
    pub revises: bool,
    /// Level above the noise floor of the line, dB. A machine's beep is rarely less than 20 dB above it; one in the room of a
    /// person who answered may be.
    pub above_floor_db: f32,
}

/// Meaning of a call progress tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// The called telephone rings.
    Ringback,
    /// The called line is in use.
    Busy,
    /// No line or equipment is free; also called reorder or fast busy.
    Congestion,
    /// The number cannot be reached.
    Unobtainable,
    /// The exchange waits for digits.
    Dial,
}

/// A call progress signal, reported once until another one is heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// What it means.
    pub kind: SignalKind,
    /// Start of the first burst that is remembered.
    pub start_ms: u32,
    /// The burst that was heard last, or still sounds.
    pub tone: Tone,
    /// Number of bursts that had ended.
    pub cycles: u32,
    /// Lengths of sound and silence in turn, oldest first, beginning with sound.
    lengths: [u32; 12],
    count: usize,
}

/// Meaning of special information tones in North America; by ITU-T E.180 all are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SitKind {
    /// The number was changed or disconnected.
    Intercept,
    /// The number is not assigned.
    Vacant,
    /// The call failed on its way.
    Reorder,
    /// All circuits are in use.
    NoCircuit,
    /// The tones of the ITU, or a combination without a meaning.
    Other,
}

/// Tone of a fax machine or a modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaxKind {
    /// A calling fax machine: 1100 Hz for 0.5 s, every 3.5 s.
    Cng,
    /// An answering fax machine: 2100 Hz.
    Ced,
    /// An answering modem or fast fax machine: 2100 Hz with phase reversals (V.25 ANS).
    AnsReversed,
    /// An answering modem or fast fax machine: 2100 Hz, modulated by 15 Hz (V.8 ANSam), with or without phase reversals.
    AnsAm,
    /// The flags before a fax machine's first message (V.21, upper channel).
    Flags,
    /// An answering modem of Bell 103: 2225 Hz.
    ModemAnswer,
}

/// A tone, or the meaning of several tones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Heard {
    /// A tone has sounded for about 90 ms and goes on.
    ToneBegan(Tone),
    /// A tone has ended. What it is part of is told by the other events.
    Tone(Tone),
    /// A beep has ended.
    Beep(Beep),
    /// A key was pressed and has been released.
    Key {
        /// Digit: 0–9, A–D, `*`, `#`.
        digit: char,
        /// Start of its sound, to within 15 ms.
        start_ms: u32,
        /// End of its sound, to within 15 ms.
        end_ms: u32,
    },
    /// A tone in the middle of speech that announces another call.
    CallWaiting(Tone),
    /// A tone of an exchange.
    Signal(Signal),
    /// Three rising tones; told while the third one sounds.
    Sit {
        /// What they mean.
        kind: SitKind,
        /// Start of the first tone.
        start_ms: u32,
        /// Frequencies of the three tones.
        frequencies: [f32; 3],
    },
    /// A tone of a fax machine or a modem.
    Fax {
        /// Which one it is.
        kind: FaxKind,
        /// Time of its start.
        start_ms: u32,
    },
}

/// An event with the time at which it was decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToneEvent {
    /// Time of sound that had been heard.
    pub at_ms: u32,
    /// The tone, or its meaning.
    pub heard: Heard,
}

/// Detector of tones in one stream.
///
/// ```
/// use codecs::progress::{Heard, Progress};
/// use codecs::tones::Sine;
/// use codecs::SampleRate;
///
/// let mut progress = Progress::new(SampleRate::HZ_8000);
/// let mut sine = Sine::new(SampleRate::HZ_8000, 1_000.0, -20.0);
/// let mut beep = None;
/// for n in 0..50 {
///     let mut frame = [0; 160];
///     if (10..20).contains(&n) {
///         sine.fill(&mut frame);
///     }
///     for event in progress.push(&frame) {
///         if let Heard::Beep(heard) = event.heard {
///             beep = Some(heard);
///         }
///     }
/// }
/// let beep = beep.expect("200 ms of 1 kHz are a beep");
/// assert!(beep.start_ms.abs_diff(200) <= 5 && beep.end_ms.abs_diff(400) <= 5);
/// ```
#[derive(Clone, Debug)]
pub struct Progress {
    resampler: Resampler,
    piece: Box<[i16]>,
    hearing: Box<Hearing>,
    keys: DtmfDetector,
    events: [ToneEvent; EVENTS],
    count: usize,
    lost: u32,
}

impl Progress {
    /// Creates a detector for a stream at `rate`. Sound of higher rates than 8 kHz is downsampled.
    pub fn new(rate: SampleRate) -> Progress {
        let resampler = Resampler::new(rate, SampleRate::HZ_8000);
        let piece = vec![0; resampler.max_output(PIECE)].into_boxed_slice();
        let nothing = ToneEvent { at_ms: 0, heard: Heard::Tone(Tone::default()) };
        Progress {
            resampler,
            piece,
            hearing: Box::new(Hearing::new()),
            keys: DtmfDetector::new(SampleRate::HZ_8000),
            events: [nothing; EVENTS],
            count: 0,
            lost: 0,
        }
    }

    /// Processes the next samples and returns what they decide, in order. Frames of 20 ms bring a few events at most; of longer
    /// input the first 16 are kept, and the others are counted by [`lost`](Progress::lost).
    pub fn push(&mut self, frame: &[i16]) -> &[ToneEvent] {
        self.count = 0;
        for part in frame.chunks(PIECE) {
            let length = self.resampler.process(part, &mut self.piece);
            let (events, count, lost) = (&mut self.events, &mut self.count, &mut self.lost);
            let mut tell = |event: ToneEvent| match events.get_mut(*count) {
                Some(place) => {
                    *place = event;
                    *count += 1;
                }
                None => *lost = lost.saturating_add(1),
            };
            for &sample in &self.piece[..length] {
                self.hearing.on_sample(sample, &mut self.keys, &mut tell);
            }
        }
        &self.events[..self.count]
    }

    /// Returns the number of events that had no room, because too much sound was passed at once.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// Returns the number of notes heard in the last four seconds: stretches of 90 ms or longer with a steady line, tones among
    /// them. Speech has one or two, music four or more.
    pub fn notes(&self) -> u32 {
        self.hearing.beeps.notes(self.hearing.now_ms(), u32::MAX)
    }

    /// Returns the level of the last 32 ms between 200 and 3,800 Hz.
    pub fn level_dbfs(&self) -> f32 {
        spectrum::dbfs(self.hearing.segments.frame().power)
    }

    /// Returns the flatness of the last 32 ms: about 0.56 for white noise, near 0 for a tone.
    pub fn flatness(&self) -> f32 {
        self.hearing.segments.frame().flatness
    }
}

/// Returns the time of a sample at 8 kHz.
fn ms(sample: u64) -> u32 {
    u32::try_from(sample / PER_MS).unwrap_or(u32::MAX)
}

/// Everything that listens to the sound at 8 kHz.
#[derive(Clone, Debug)]
struct Hearing {
    segments: Segments,
    beeps: Beeps,
    cadence: Cadence,
    rising: Rising,
    flags: Flags,
    /// Samples for the detector of keys, which takes them in any number.
    block: [i16; 80],
    /// Whether the tone that sounds has been announced.
    announced: bool,
    /// Start of the answer tone that was reported last, so that it is reported once.
    answered: Option<u32>,
}

impl Hearing {
    fn new() -> Hearing {
        Hearing {
            segments: Segments::new(),
            beeps: Beeps::default(),
            cadence: Cadence::default(),
            rising: Rising::default(),
            flags: Flags::default(),
            block: [0; 80],
            announced: false,
            answered: None,
        }
    }

    fn now_ms(&self) -> u32 {
        ms(self.segments.heard())
    }

    fn on_sample(&mut self, sample: i16, keys: &mut DtmfDetector, tell: &mut impl FnMut(ToneEvent)) {
        self.block[(self.segments.heard() % 80) as usize] = sample;
        let mut found = None;
        if !self.segments.push(sample, |what| found = Some(what)) {
            return;
        }
        let at_ms = self.now_ms();
        let mut tell = |heard| tell(ToneEvent { at_ms, heard });
        keys.push(&self.block, |event| {
            if let Some(heard) = self.beeps.on_key(event, at_ms) {
                tell(heard);
            }
        });
        self.beeps.on_window(&self.segments);
        match found {
            Some(Found::Began(segment) | Found::GoesOn(segment)) => self.on_sound(&segment, &mut tell),
            Some(Found::Ended(segment)) => self.on_end(&segment, &mut tell),
            None => {}
        }
        if !self.segments.is_following()
            && let Some(signal) = self.cadence.on_silence(at_ms)
        {
            tell(Heard::Signal(signal));
        }
        if self.flags.on_window(&self.segments) {
            tell(Heard::Fax { kind: FaxKind::Flags, start_ms: at_ms.saturating_sub(310) });
            self.beeps.on_fax(at_ms);
        }
        if let Some(heard) = self.beeps.poll(at_ms, self.segments.is_following() || self.segments.sounds(2)) {
            tell(heard);
        }
    }

    fn on_sound(&mut self, segment: &Segment, tell: &mut impl FnMut(Heard)) {
        let start_ms = ms(segment.start);
        let after_speech = self.beeps.spoke_before(start_ms);
        if let Some(kind) = fax::answer_tone(segment, &self.segments, after_speech) {
            if self.answered != Some(start_ms) {
                self.answered = Some(start_ms);
                self.beeps.on_fax(start_ms);
                tell(Heard::Fax { kind, start_ms });
            }
            return;
        }
        let Some(tone) = judge(segment) else {
            if !self.announced {
                self.beeps.on_other_sound();
            }
            return;
        };
        if !self.announced {
            self.announced = true;
            tell(Heard::ToneBegan(tone));
        }
        self.beeps.on_sound(&tone);
        if let Some(heard) = self.rising.on_sound(&tone) {
            tell(heard);
            self.beeps.on_sit();
        }
        if Cadence::concerns(&tone)
            && let Some(signal) = self.cadence.on_sound(&tone, after_speech)
        {
            tell(Heard::Signal(signal));
        }
    }

    fn on_end(&mut self, segment: &Segment, tell: &mut impl FnMut(Heard)) {
        self.announced = false;
        let tone = judge(segment);
        self.beeps.on_segment(segment, tone.is_some());
        let Some(tone) = tone else {
            self.cadence.on_nothing();
            return;
        };
        let after_speech = self.beeps.spoke_before(tone.start_ms);
        tell(Heard::Tone(tone));
        if self.answered == Some(tone.start_ms) {
            return;
        }
        let is_part = self.rising.on_end(&tone);
        if Cadence::concerns(&tone) {
            self.cadence.on_end(&tone, after_speech);
        }
        if is_part {
            return;
        }
        if let Some(heard) = self.beeps.on_tone(&tone, after_speech) {
            tell(heard);
        }
    }
}
