//! Audio of the generator: speech-like sound, and the detection of its onsets in sent and received streams.
//!
//! ```text
//! |◀──────────────── phrase: 2 s ────────────────▶|
//! ····▄█▆▄▃▅█▆▄▃░░▄█▆▄▃▅█▆▄▃░░▄█▆▄▃▅█▆▄▃············▄█▆▄▃
//!     onset, 7 ms into a packet            pause: 300 ms
//! ```
//!
//! Every phrase begins with a glottal pulse at full strength after digital silence, so that its onset is sharp in every codec's
//! output. Streams begin at different places of the same long recording, which one encoder encodes once without a break.

use std::f32::consts::TAU;

use anyhow::Result;
use codecs::g711::{alaw_decode, alaw_encode, ulaw_decode, ulaw_encode};
use codecs::opus::{OpusDecoder, OpusEncoder, OpusSettings};
use codecs::{Decoder, Encoder, SampleRate};
use media_engine::sdp::Codec;

/// Packets of 20 ms in a phrase.
pub(crate) const PHRASE: usize = 100;
/// Start and end of the sound within the phrase, in seconds.
const SOUND: (f32, f32) = (0.007, 1.707);
/// Magnitude above which a sample is loud. Pauses stay far below it in every codec.
const LOUD: i16 = 2_000;
/// Minimum silence before an onset, in milliseconds.
const QUIET_MS: u32 = 150;
/// RTP payload type of Opus; G.711 has static types.
const OPUS_PAYLOAD_TYPE: u8 = 111;

/// Payload type of a codec for all peers and the generator.
pub(crate) fn payload_type(codec: Codec) -> u8 {
    codec.static_payload_type().unwrap_or(OPUS_PAYLOAD_TYPE)
}

/// RTP ticks of one packet.
pub(crate) fn packet_ticks(codec: Codec) -> u32 {
    codec.clock().0 / 50
}

/// Position at which sound begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Onset {
    /// Number of the packet.
    pub(crate) packet: usize,
    /// Offset within the packet, in nanoseconds.
    pub(crate) offset_ns: u64,
}

/// Payloads of one codec, packet by packet, and their onsets.
pub(crate) struct Recording {
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) onsets: Vec<Onset>,
}

impl Recording {
    /// Encodes `packets` packets of 20 ms.
    fn new(codec: Codec, packets: usize) -> Result<Recording> {
        let payloads = match codec {
            Codec::Opus => opus_payloads(packets)?,
            _ => {
                let code = if codec == Codec::Pcma { alaw_encode } else { ulaw_encode };
                let samples = speech(SampleRate::HZ_8000, packets);
                samples.chunks(160).map(|frame| frame.iter().map(|&sample| code(sample)).collect()).collect()
            }
        };
        let mut finder = OnsetFinder::new(codec)?;
        let onset =
            |(packet, payload): (usize, &Vec<u8>)| finder.look(payload).map(|offset_ns| Onset { packet, offset_ns });
        let onsets = payloads.iter().enumerate().filter_map(onset).collect();
        Ok(Recording { payloads, onsets })
    }
}

/// Recordings in every codec, created once.
pub(crate) struct Recordings {
    pcmu: Recording,
    pcma: Recording,
    opus: Recording,
    /// Samples of one phrase, for encoders.
    pub(crate) phrase_8k: Vec<i16>,
    pub(crate) phrase_48k: Vec<i16>,
}

impl Recordings {
    /// Creates recordings of `packets` packets of 20 ms in every codec.
    pub(crate) fn new(packets: usize) -> Result<Recordings> {
        Ok(Recordings {
            pcmu: Recording::new(Codec::Pcmu, packets)?,
            pcma: Recording::new(Codec::Pcma, packets)?,
            opus: Recording::new(Codec::Opus, packets)?,
            phrase_8k: speech(SampleRate::HZ_8000, PHRASE),
            phrase_48k: speech(SampleRate::HZ_48000, PHRASE),
        })
    }

    pub(crate) fn of(&self, codec: Codec) -> &Recording {
        match codec {
            Codec::Opus => &self.opus,
            Codec::Pcma => &self.pcma,
            _ => &self.pcmu,
        }
    }
}

/// Detector of onsets in a stream of payloads, with the bare codec.
pub(crate) struct OnsetFinder {
    codec: Codec,
    opus: Option<OpusDecoder>,
    pcm: Vec<i16>,
    quiet: u32,
}

impl OnsetFinder {
    pub(crate) fn new(codec: Codec) -> Result<OnsetFinder> {
        let opus = if codec == Codec::Opus { Some(OpusDecoder::new(SampleRate::HZ_48000)?) } else { None };
        Ok(OnsetFinder { codec, opus, pcm: vec![0; 5_760], quiet: 0 })
    }

    /// Processes the next payload; returns the offset of an onset in it, if there is one.
    pub(crate) fn look(&mut self, payload: &[u8]) -> Option<u64> {
        let count = self.decode(payload)?;
        let hz = self.codec.sample_rate().hz();
        let mut found = None;
        for (index, sample) in self.pcm[..count].iter().enumerate() {
            if sample.unsigned_abs() < LOUD.unsigned_abs() {
                self.quiet += 1;
                continue;
            }
            if self.quiet >= hz / 1_000 * QUIET_MS {
                found = Some(index as u64 * 1_000_000_000 / u64::from(hz));
            }
            self.quiet = 0;
        }
        found
    }

    /// Processes the next payload; returns whether it contains loud sound.
    pub(crate) fn is_loud(&mut self, payload: &[u8]) -> bool {
        let count = self.decode(payload).unwrap_or_default();
        self.pcm[..count].iter().any(|sample| sample.unsigned_abs() >= LOUD.unsigned_abs())
    }

    /// Decodes the next payload and returns the number of samples.
    fn decode(&mut self, payload: &[u8]) -> Option<usize> {
        let OnsetFinder { codec, opus, pcm, .. } = self;
        match opus {
            Some(decoder) => decoder.decode(payload, pcm).ok(),
            None => {
                let decode = if *codec == Codec::Pcma { alaw_decode } else { ulaw_decode };
                Some(payload.iter().zip(pcm.iter_mut()).map(|(&code, sample)| *sample = decode(code)).count())
            }
        }
    }
}

/// Speech-like sound of `packets` packets of 20 ms: voiced syllables of changing vowels over a wandering pitch, with hisses
/// between them.
fn speech(rate: SampleRate, packets: usize) -> Vec<i16> {
    let hz = rate.hz() as f32;
    let per_phrase = rate.samples_in_ms(2_000);
    let (mut phase, mut noise, mut hiss) = (0.0_f32, 0x1234_5678_u32, 0.0_f32);
    (0..rate.samples_in_ms(20) * packets)
        .map(|n| {
            let t = (n % per_phrase) as f32 / hz;
            if !(SOUND.0..SOUND.1).contains(&t) {
                phase = 0.0;
                return 0;
            }
            let phrase = (n / per_phrase) as f32;
            let t = t - SOUND.0;
            let pitch = 125.0 + 12.0 * (phrase % 5.0) - 14.0 * t + 9.0 * (TAU * 2.3 * t).sin();
            phase = (phase + pitch / hz).fract();
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = (noise >> 16) as f32 / 32_768.0 - 1.0;
            hiss = white - 0.6 * hiss;
            // Syllables of 240 ms, each ending in 50 ms of hiss.
            let (syllable, within) = ((t / 0.24).floor(), (t % 0.24) / 0.24);
            let sample = if within > 0.79 {
                1_400.0 * hiss
            } else {
                let strength = 1.0 - 0.65 * within;
                9_000.0 * strength * voiced(phase, pitch, (phrase + syllable) as usize) + 60.0 * white
            };
            sample.clamp(-32_000.0, 32_000.0) as i16
        })
        .collect()
}

/// One sample of a vowel: harmonics below 3.4 kHz, strongest at the vowel's two formants.
fn voiced(phase: f32, pitch: f32, vowel: usize) -> f32 {
    const FORMANTS: [(f32, f32); 5] =
        [(700.0, 1_200.0), (400.0, 2_000.0), (300.0, 2_300.0), (500.0, 900.0), (350.0, 700.0)];
    let (first, second) = FORMANTS[vowel % FORMANTS.len()];
    let near = |at: f32, formant: f32, width: f32| 1.0 / (1.0 + ((at - formant) / width).powi(2));
    (1..=(3_400.0 / pitch) as usize)
        .map(|harmonic| {
            let at = harmonic as f32 * pitch;
            let weight = 0.25 / harmonic as f32 + 0.30 * near(at, first, 90.0) + 0.16 * near(at, second, 130.0);
            weight * (TAU * (phase * harmonic as f32).fract()).cos()
        })
        .sum()
}

fn opus_payloads(packets: usize) -> Result<Vec<Vec<u8>>> {
    let mut encoder = OpusEncoder::new(SampleRate::HZ_48000, OpusSettings::default())?;
    let mut out = [0; 1_500];
    let mut payloads = Vec::with_capacity(packets);
    for frame in speech(SampleRate::HZ_48000, packets).chunks(960) {
        let length = encoder.encode(frame, &mut out)?;
        payloads.push(out[..length].to_vec());
    }
    Ok(payloads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_has_one_onset_where_it_begins() {
        for (codec, latest_ms) in [(Codec::Pcmu, 8.0), (Codec::Pcma, 8.0), (Codec::Opus, 7.0 + 8.0)] {
            let recording = Recording::new(codec, 4 * PHRASE).unwrap();
            let places: Vec<f64> = recording
                .onsets
                .iter()
                .map(|onset| onset.packet as f64 * 20.0 + onset.offset_ns as f64 / 1e6)
                .collect();
            // The first phrase has no silence before it: 7 ms are too short.
            assert_eq!(places.len(), 3, "{codec:?}: {places:?}");
            for (phrase, place) in places.iter().enumerate() {
                let after = place - (phrase + 1) as f64 * 2_000.0;
                assert!((6.9..latest_ms).contains(&after), "{codec:?}: {places:?}");
            }
        }
    }

    #[test]
    fn streams_of_all_rates_carry_the_same_sound() {
        let (narrow, full) = (speech(SampleRate::HZ_8000, 50), speech(SampleRate::HZ_48000, 50));
        let level = |samples: &[i16]| {
            (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
        };
        let ratio = level(&narrow) / level(&full);
        assert!((0.8..1.25).contains(&ratio), "{ratio}");
        assert!((800.0..9_000.0).contains(&level(&narrow)), "{}", level(&narrow));
    }
}
