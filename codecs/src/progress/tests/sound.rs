//! Generated sound for the tests: tones with edges, noises, voices, music, and the channels that they pass.
//!
//! Everything is seeded. Samples are `f32` on the scale of 16 bits until [`Channel::pass`] rounds them.
//!
//! Voices are pulses through three resonances, whose periods differ from each other as those of people do; babble is seven of
//! them. Music is notes of a scale with harmonics and a decay.

use std::f32::consts::TAU;

use crate::g711::{alaw_decode, alaw_encode, ulaw_decode, ulaw_encode};

pub(super) const RATE: f32 = 8_000.0;

/// Xorshift generator, so that every run is the same.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.unit();
        random
    }

    /// Returns a number from 0 to 1.
    pub(super) fn unit(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f32) as usize % count
    }

    /// Returns a number of a normal distribution.
    pub(super) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

pub(super) fn samples(ms: u32) -> usize {
    ms as usize * 8
}

/// Returns the amplitude of a sine of this level.
pub(super) fn amplitude(dbfs: f32) -> f32 {
    32_767.0 * 10f32.powf(dbfs / 20.0)
}

/// Sound that is put together piece by piece.
#[derive(Clone, Default)]
pub(super) struct Sound(pub(super) Vec<f32>);

impl Sound {
    pub(super) fn silence(ms: u32) -> Sound {
        Sound(vec![0.0; samples(ms)])
    }

    pub(super) fn then(mut self, other: Sound) -> Sound {
        self.0.extend(other.0);
        self
    }

    pub(super) fn and(mut self, other: &Sound) -> Sound {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own += other);
        self
    }

    pub(super) fn pause(self, ms: u32) -> Sound {
        self.then(Sound::silence(ms))
    }

    pub(super) fn ms(&self) -> u32 {
        (self.0.len() / 8) as u32
    }

    /// Returns the sound at a level: its RMS over the samples that are not silent becomes that of a sine.
    pub(super) fn at(mut self, dbfs: f32) -> Sound {
        let loud: Vec<f32> = self.0.iter().copied().filter(|value| *value != 0.0).collect();
        let mean = loud.iter().map(|value| value * value).sum::<f32>() / loud.len().max(1) as f32;
        let gain = amplitude(dbfs) / (2.0 * mean.max(1e-9)).sqrt();
        self.0.iter_mut().for_each(|value| *value *= gain);
        self
    }

    /// Fades in and out over 3 ms.
    fn faded(mut self) -> Sound {
        let length = self.0.len();
        for n in 0..24.min(length / 2) {
            let gain = n as f32 / 24.0;
            self.0[n] *= gain;
            self.0[length - 1 - n] *= gain;
        }
        self
    }
}

/// Returns steady frequencies, the level being that of each.
pub(super) fn tone(frequencies: &[f32], ms: u32, dbfs: f32) -> Sound {
    let value = |n: usize| frequencies.iter().map(|hz| (TAU * hz * n as f32 / RATE).sin() * amplitude(dbfs)).sum();
    Sound((0..samples(ms)).map(value).collect()).faded()
}

/// Returns a carrier whose level follows a sine.
pub(super) fn modulated(hz: f32, by_hz: f32, depth: f32, ms: u32, dbfs: f32) -> Sound {
    let mut sound = tone(&[hz], ms, dbfs);
    for (n, value) in sound.0.iter_mut().enumerate() {
        *value *= 1.0 + depth * (TAU * by_hz * n as f32 / RATE).sin();
    }
    sound
}

/// Returns a frequency that moves from one value to another.
pub(super) fn chirp(from: f32, to: f32, ms: u32, dbfs: f32) -> Sound {
    let length = samples(ms);
    let mut phase = 0.0f32;
    let values = (0..length).map(|n| {
        phase = (phase + TAU * (from + (to - from) * n as f32 / length as f32) / RATE) % TAU;
        phase.sin() * amplitude(dbfs)
    });
    Sound(values.collect()).faded()
}

pub(super) fn white(random: &mut Random, ms: u32) -> Sound {
    Sound((0..samples(ms)).map(|_| random.normal() * 1_000.0).collect())
}

/// Returns noise whose power falls by 3 dB per octave (a sum of three low-passes).
pub(super) fn pink(random: &mut Random, ms: u32) -> Sound {
    let mut states = [0.0f32; 3];
    let values = (0..samples(ms)).map(|_| {
        let white = random.normal() * 100.0;
        for (state, (pole, gain)) in states.iter_mut().zip([(0.997, 0.1), (0.963, 0.3), (0.57, 1.05)]) {
            *state = pole * *state + gain * white;
        }
        states.iter().sum::<f32>() + 0.18 * white
    });
    Sound(values.collect())
}

/// Returns syllables of a voice: pulses through three resonances, at a pitch that moves, wobbles and jitters.
pub(super) fn voice(random: &mut Random, ms: u32) -> Sound {
    let mut out = Vec::with_capacity(samples(ms));
    let base = random.between(85.0, 260.0);
    while out.len() < samples(ms) {
        let syllable = random.between(90.0, 380.0) as u32;
        let vowel = [random.between(280.0, 850.0), random.between(850.0, 2_300.0), random.between(2_300.0, 3_200.0)];
        let (from, to) = (base * random.between(0.85, 1.3), base * random.between(0.8, 1.2));
        out.extend(vowel_sound(random, vowel, (from, to), syllable, 0.015).0);
        if random.unit() < 0.4 {
            out.extend(vec![0.0; samples(random.between(20.0, 160.0) as u32)]);
        }
        if random.unit() < 0.2 {
            out.extend(white(random, 60).0.iter().map(|value| value * 0.2));
        }
    }
    out.truncate(samples(ms));
    Sound(out)
}

/// Returns one vowel; `wobble` is the relative depth of the vibrato of 5 to 6 Hz.
pub(super) fn vowel_sound(
    random: &mut Random,
    formants: [f32; 3],
    (from, to): (f32, f32),
    ms: u32,
    wobble: f32,
) -> Sound {
    let length = samples(ms);
    let (mut phase, mut states) = (0.0f32, [[0.0f32; 2]; 3]);
    let rate = random.between(4.8, 6.2);
    let mut jitter = 0.0f32;
    let mut out = Vec::with_capacity(length);
    for n in 0..length {
        let part = n as f32 / length as f32;
        jitter = 0.995 * jitter + 0.001 * random.normal();
        let vibrato = wobble * (TAU * rate * n as f32 / RATE).sin();
        let pitch = (from + (to - from) * part) * (1.0 + vibrato + jitter);
        phase += pitch / RATE;
        // Each period of a voice differs from the one before.
        let pulse = if phase >= 1.0 { 1_000.0 * random.between(0.95, 1.05) } else { 0.0 };
        phase = if phase >= 1.0 { phase - 1.0 + 0.004 * random.normal() } else { phase };
        let mut value = 0.0;
        for (k, (state, hz)) in states.iter_mut().zip(formants).enumerate() {
            let radius = (-std::f32::consts::PI * (70.0 + 40.0 * k as f32) / RATE).exp();
            let next = pulse + 2.0 * radius * (TAU * hz / RATE).cos() * state[0] - radius * radius * state[1];
            *state = [next, state[0]];
            value += next / (k + 1) as f32;
        }
        out.push(value * (part * 12.0).min(1.0).min((1.0 - part) * 8.0));
    }
    Sound(out)
}

/// Returns several voices at once.
pub(super) fn babble(random: &mut Random, ms: u32) -> Sound {
    (0..7).fold(Sound::silence(ms), |sum, _| sum.and(&voice(random, ms)))
}

/// Returns chords and melodies of notes with harmonics and a decay.
pub(super) fn music(random: &mut Random, ms: u32, voices: usize) -> Sound {
    let mut sum = Sound::silence(ms);
    for _ in 0..voices {
        let mut line = Sound::default();
        while line.ms() < ms {
            let hz = 220.0 * 2f32.powf([0, 2, 4, 5, 7, 9, 11, 12, 14, 16][random.below(10)] as f32 / 12.0);
            let length = [180, 240, 360, 480][random.below(4)];
            let decay = random.between(1.0, 5.0);
            let mut note = Sound::silence(length);
            for harmonic in 1..=4 {
                let gain = random.between(0.1, 0.9) / harmonic as f32;
                note = note.and(&tone(&[hz * harmonic as f32], length, 20.0 * gain.log10() - 20.0));
            }
            for (n, value) in note.0.iter_mut().enumerate() {
                *value *= (-decay * n as f32 / RATE).exp();
            }
            line = line.then(note);
        }
        line.0.truncate(samples(ms));
        sum = sum.and(&line);
    }
    sum
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Law {
    Linear,
    Mu,
    A,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Noise {
    None,
    White,
    Pink,
    Babble,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Loss {
    None,
    /// Lost packets are silent.
    Zero,
    /// Lost packets are replaced by the one before.
    Repeat,
}

/// What sound passes on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) noise: Noise,
    pub(super) noise_dbfs: f32,
    pub(super) law: Law,
    pub(super) loss: Loss,
    pub(super) seed: u64,
}

impl Channel {
    pub(super) const CLEAN: Channel =
        Channel { noise: Noise::None, noise_dbfs: -120.0, law: Law::Linear, loss: Loss::None, seed: 1 };

    pub(super) fn pass(self, sound: &Sound) -> Vec<i16> {
        let mut random = Random::new(self.seed);
        let ms = sound.ms() + 1;
        let noise = match self.noise {
            Noise::None => Sound::silence(ms),
            Noise::White => white(&mut random, ms).at(self.noise_dbfs),
            Noise::Pink => pink(&mut random, ms).at(self.noise_dbfs),
            Noise::Babble => babble(&mut random, ms).at(self.noise_dbfs),
        };
        let sum = sound.clone().and(&noise);
        let coded = sum.0.iter().map(|value| value.round() as i16).map(|sample| match self.law {
            Law::Linear => sample,
            Law::Mu => ulaw_decode(ulaw_encode(sample)),
            Law::A => alaw_decode(alaw_encode(sample)),
        });
        let mut out: Vec<i16> = coded.collect();
        for packet in 1..out.len() / 160 {
            if self.loss != Loss::None && random.unit() < 0.05 {
                if self.loss == Loss::Zero {
                    out[packet * 160..][..160].fill(0);
                } else {
                    out.copy_within((packet - 1) * 160..packet * 160, packet * 160);
                }
            }
        }
        out
    }
}

/// Returns the channels that a tone of this level must survive: each noise 10 dB below it, each law, each loss, and all at once.
pub(super) fn channels(dbfs: f32, seed: u64) -> Vec<Channel> {
    let clean = Channel { noise_dbfs: dbfs - 10.0, seed, ..Channel::CLEAN };
    let mut channels = vec![clean];
    for (n, noise) in [Noise::White, Noise::Pink, Noise::Babble].into_iter().enumerate() {
        let law = [Law::Linear, Law::Mu, Law::A][n];
        channels.push(Channel { noise, law, seed: seed + n as u64, ..clean });
    }
    for (law, loss) in [(Law::Mu, Loss::Zero), (Law::A, Loss::Repeat)] {
        channels.push(Channel { law, loss, seed: seed + 7, ..clean });
    }
    channels.push(Channel {
        noise: Noise::Pink,
        noise_dbfs: dbfs - 20.0,
        law: Law::A,
        loss: Loss::Zero,
        seed: seed + 9,
    });
    channels
}
