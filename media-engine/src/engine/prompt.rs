//! Sounds that are played into a call, and digits that are collected from it: types shared by commands and events.

use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use codecs::tones::Sine;

use super::command::CommandError;
use crate::audio::mix_into;
use crate::speech::Providers;

/// Maximum number of tones that sound together.
pub const TONES_MAX: usize = 4;
/// Maximum length of a tone, in milliseconds.
pub const TONE_MS_MAX: u32 = 10_000;
/// Maximum length of a text that is spoken at once, in characters.
pub const SPEECH_MAX: usize = 1_000;
/// Level of each tone, in dBFS.
const TONE_DBFS: f32 = -16.0;

/// Id of a sound that is played; unique while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PlayId(pub u64);

/// Id of a collection of digits; unique while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct GatherId(pub u64);

/// A sound that is played to legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Samples of one channel.
    Samples {
        /// Sample rate of the samples.
        rate: SampleRate,
        /// The samples, at least one.
        samples: Arc<[i16]>,
    },
    /// Tones that sound together.
    Tone {
        /// 1 to [`TONES_MAX`] frequencies, each 20 to 3,400 Hz.
        hz: Vec<u16>,
        /// Duration in milliseconds, 20 to [`TONE_MS_MAX`].
        duration_ms: u32,
    },
    /// A text that is spoken.
    Speech {
        /// Text of 1 to [`SPEECH_MAX`] characters.
        text: String,
        /// Language of the text as a BCP 47 tag.
        language: String,
    },
}

/// Progress of a sound that is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayState {
    /// The first listener hears its first sample.
    Started,
    /// All listeners have heard all of it.
    Done,
    /// It was stopped by a request, by a key, or because its listeners were set aside or left.
    Stopped,
    /// No listener has heard it; the text gives the reason.
    Failed(String),
}

/// A collection of digits that is to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGather {
    /// Number of digits, and how long to wait for them.
    pub rules: crate::call::GatherRules,
    /// Prompts that are played before, in turn; the time for the first key starts when they end.
    pub prompts: Vec<Sound>,
    /// A key ends the prompts, and counts; otherwise keys are ignored until the prompts have ended.
    pub barge_in: bool,
    /// Keys are secret: no events report them one by one.
    pub secret: bool,
}

impl Sound {
    /// Checks that the sound can be played.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] names the field.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let invalid = |field, problem: String| Err(CommandError::Invalid { field, problem });
        match self {
            Sound::Samples { samples, .. } if samples.is_empty() => {
                invalid("samples", "expected at least one sample".into())
            }
            Sound::Tone { hz, .. }
                if !(1..=TONES_MAX).contains(&hz.len()) || !hz.iter().all(|hz| (20..=3_400).contains(hz)) =>
            {
                invalid("tone.hz", format!("expected 1 to {TONES_MAX} frequencies of 20 to 3400 Hz"))
            }
            Sound::Tone { duration_ms, .. } if !(20..=TONE_MS_MAX).contains(duration_ms) => {
                invalid("tone.duration_ms", format!("expected 20 to {TONE_MS_MAX} ms"))
            }
            Sound::Speech { text, .. } if !(1..=SPEECH_MAX).contains(&text.trim().chars().count()) => {
                invalid("speak.text", format!("expected 1 to {SPEECH_MAX} characters"))
            }
            Sound::Samples { .. } | Sound::Tone { .. } | Sound::Speech { .. } => Ok(()),
        }
    }
}

/// Returns the samples of tones that sound together, faded at both ends to avoid clicks.
pub(super) fn tone(hz: &[u16], duration_ms: u32) -> (SampleRate, Arc<[i16]>) {
    let rate = SampleRate::HZ_8000;
    let mut whole = vec![0; rate.samples_in_ms(duration_ms)];
    let mut one = whole.clone();
    for &hz in hz {
        Sine::new(rate, f32::from(hz), TONE_DBFS).fill(&mut one);
        mix_into(&mut whole, &one);
    }
    let (count, edge) = (whole.len(), rate.samples_in_ms(5));
    for (at, sample) in whole.iter_mut().enumerate() {
        let from_edge = (at + 1).min(count - at).min(edge);
        *sample = (i32::from(*sample) * from_edge as i32 / edge as i32) as i16;
    }
    (rate, whole.into())
}

/// Time for a synthesiser to produce a whole text.
const SPEECH_TIME: Duration = Duration::from_secs(10);

/// Returns the samples of a spoken text, or the reason why it could not be spoken.
pub(super) async fn spoken(tts: &Providers, text: &str, language: &str) -> Result<(SampleRate, Arc<[i16]>), String> {
    let spoken = match tokio::time::timeout(SPEECH_TIME, tts.utterance(text, language)).await {
        Ok(Ok((_, samples))) if samples.is_empty() => Err("the text contains no words".to_owned()),
        Ok(Ok((rate, samples))) => Ok((rate, samples.into())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no speech within {} s", SPEECH_TIME.as_secs())),
    };
    if spoken.is_err() {
        metrics::counter!("tandem_speech_failures_total", "kind" => "tts").increment(1);
    }
    spoken
}

#[cfg(test)]
mod tests {
    use codecs::tones::{goertzel_dbfs, level_dbfs};

    use super::*;

    #[test]
    fn tones_sound_together_and_begin_and_end_softly() {
        let (rate, samples) = tone(&[440, 480], 500);
        assert_eq!((rate, samples.len()), (SampleRate::HZ_8000, 4_000));
        for hz in [440.0, 480.0] {
            let level = goertzel_dbfs(&samples, rate, hz);
            assert!((-17.0..-15.0).contains(&level), "{level} dBFS at {hz} Hz");
        }
        assert!(level_dbfs(&samples[..4]) < -25.0 && level_dbfs(&samples[3_996..]) < -25.0);
    }

    #[test]
    fn an_unplayable_sound_is_refused_with_its_field() {
        let tone = |hz: &[u16], duration_ms| Sound::Tone { hz: hz.to_vec(), duration_ms };
        let speech = |text: &str| Sound::Speech { text: text.into(), language: "en".into() };
        for (sound, named) in [
            (tone(&[], 100), "tone.hz"),
            (tone(&[440; 5], 100), "tone.hz"),
            (tone(&[10], 100), "tone.hz"),
            (tone(&[440], 19), "tone.duration_ms"),
            (tone(&[440], u32::MAX), "tone.duration_ms"),
            (speech("  "), "speak.text"),
            (speech(&"a".repeat(SPEECH_MAX + 1)), "speak.text"),
            (Sound::Samples { rate: SampleRate::HZ_8000, samples: Arc::new([]) }, "samples"),
        ] {
            let Err(CommandError::Invalid { field, .. }) = sound.check() else { panic!("{sound:?} is accepted") };
            assert_eq!(field, named);
        }
        assert_eq!(tone(&[440, 480], 1_000).check(), Ok(()));
        assert_eq!(speech("Good morning").check(), Ok(()));
    }
}
