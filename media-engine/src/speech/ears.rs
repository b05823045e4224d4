//! Recognition of one side of a call: voice activity detection, and a recogniser whose opening holds up no audio.
//!
//! ```text
//! tap frames ─▶ rate ─▶ EchoGate ─▶ Vad ─▶ Session ─ Begin, Audio, End ─▶ backlog ─▶ SttSession
//! ```
//!
//! What the recogniser does not take yet, because it is being opened or is slow, waits in the backlog. When the backlog is full,
//! whole segments are dropped and reported as missed; the order of segments and texts is never shifted.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::resample::Resampler;
use codecs::vad::Vad;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

use super::echo::EchoGate;
use super::{Providers, SpeechError, SttInput, SttOutput, SttSession};
use crate::audio::tap::TapItem;

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Number of inputs that may wait for the recogniser: 30 s of audio.
const BACKLOG: usize = 1_500;
/// Longest gap of a tap that is filled with silence, in frames: as long as the backlog.
const GAP_FRAMES: u64 = BACKLOG as u64;

/// Output of one side's recogniser.
#[derive(Debug)]
pub(super) enum FromRecogniser {
    Result(SttOutput),
    /// It was opened, or could not be.
    Opened(Result<SttSession, SpeechError>),
    /// It has ended: what was owed does not come.
    Gone,
}

#[derive(Debug)]
enum Recogniser {
    Closed,
    Opening(JoinHandle<Result<SttSession, SpeechError>>),
    Open(SttSession),
    /// The language is not supported: nothing is recognised.
    Deaf,
}

/// Hearing of one side; see the module head.
pub(super) struct Ears {
    language: String,
    /// Words that the recogniser should expect.
    hints: Vec<String>,
    rate: SampleRate,
    vad: Vad,
    resampler: Option<(SampleRate, Resampler)>,
    recogniser: Recogniser,
    backlog: VecDeque<SttInput>,
    /// Segments that the recogniser has begun and not finished.
    owed: BTreeSet<u64>,
    /// Segment whose audio is being fed.
    fed: Option<u64>,
    scratch: Vec<i16>,
    /// Samples that wait for a whole 20 ms frame.
    partial: VecDeque<i16>,
}

impl Ears {
    /// Creates the ears of a speaker of `language` whose tap has `tap_rate`, and begins to open the recogniser, which should expect
    /// the `hints`.
    pub(super) fn open(language: &str, hints: Vec<String>, tap_rate: SampleRate, providers: &Providers) -> Ears {
        let rate = recognised_at(tap_rate);
        let mut ears = Ears {
            language: language.to_owned(),
            hints,
            rate,
            vad: Vad::new(rate),
            resampler: None,
            recogniser: Recogniser::Closed,
            backlog: VecDeque::new(),
            owed: BTreeSet::new(),
            fed: None,
            scratch: Vec::new(),
            partial: VecDeque::new(),
        };
        ears.reopen(providers);
        ears
    }

    /// Returns whether a tap of this rate can be heard by the same recogniser.
    pub(super) fn suits(&self, tap_rate: SampleRate) -> bool {
        self.rate == recognised_at(tap_rate)
    }

    /// Forgets the sound of the former source.
    pub(super) fn change_source(&mut self) {
        self.vad = Vad::new(self.rate);
        self.resampler = None;
        self.partial.clear();
    }

    /// Passes the frames of a tap on to `frame`, as 20 ms at the recogniser's rate with the decision of voice activity detection and
    /// their end. A gap is filled with silence of its length; the echo of what the party was played becomes silence.
    pub(super) fn on_item(
        &mut self,
        item: &TapItem,
        gate: &mut EchoGate,
        mut frame: impl FnMut(&[i16], bool, Instant),
    ) {
        if matches!(self.recogniser, Recogniser::Deaf) {
            return;
        }
        let silence = vec![0; self.rate.samples_in_ms(20)];
        for n in (1..=item.gap.min(GAP_FRAMES)).rev() {
            let at = item.frame.at.checked_sub(FRAME * n as u32).unwrap_or(item.frame.at);
            let speech = self.vad.push(&silence);
            frame(&silence, speech, at);
        }
        let (samples, from) = (item.frame.samples(), item.frame.rate);
        if from == self.rate {
            self.partial.extend(samples);
        } else {
            if self.resampler.as_ref().is_none_or(|(known, _)| *known != from) {
                self.resampler = Some((from, Resampler::new(from, self.rate)));
            }
            if let Some((_, resampler)) = &mut self.resampler {
                self.scratch.resize(resampler.max_output(samples.len()), 0);
                let written = resampler.process(samples, &mut self.scratch);
                self.partial.extend(&self.scratch[..written]);
            }
        }
        while self.partial.len() >= silence.len() {
            let whole: Vec<i16> = self.partial.drain(..silence.len()).collect();
            if gate.is_echo(item.frame.at, self.rate, &whole) {
                metrics::counter!("tandem_speech_echo_frames_total").increment(1);
                // The detector goes on with the party's own background afterwards.
                frame(&silence, false, item.frame.at);
            } else {
                let speech = self.vad.push(&whole);
                frame(&whole, speech, item.frame.at);
            }
        }
    }

    /// Gives input to the recogniser. Returns the segments that it will never finish.
    pub(super) fn feed(&mut self, input: SttInput, providers: &Providers) -> Vec<u64> {
        match (&self.recogniser, &input) {
            (Recogniser::Closed, SttInput::Begin(_)) => self.reopen(providers),
            // The rest of a segment that was reported as missed.
            (Recogniser::Closed | Recogniser::Deaf, _) => return Vec::new(),
            _ => {}
        }
        match input {
            SttInput::Begin(segment) => self.fed = Some(segment),
            SttInput::End(_) => self.fed = None,
            SttInput::Audio(_) => {}
        }
        self.backlog.push_back(input);
        self.pump();
        if self.backlog.len() <= BACKLOG {
            return Vec::new();
        }
        metrics::counter!("tandem_speech_overflow_total", "kind" => "stt").increment(1);
        let dropped = self.drop_backlog();
        tracing::warn!(segments = dropped.len(), "the recogniser does not keep up: segments are missed");
        dropped
    }

    /// Passes on what waits, as far as the recogniser takes it.
    pub(super) fn pump(&mut self) {
        let Recogniser::Open(session) = &self.recogniser else { return };
        while let Some(input) = self.backlog.pop_front() {
            let begun = if let SttInput::Begin(segment) = input { Some(segment) } else { None };
            match session.input.try_send(input) {
                Ok(()) => self.owed.extend(begun),
                // A session that has ended reports it in its output.
                Err(TrySendError::Full(input) | TrySendError::Closed(input)) => return self.backlog.push_front(input),
            }
        }
    }

    /// Returns the next output of the recogniser. Cancel safe.
    pub(super) async fn next(&mut self) -> FromRecogniser {
        match &mut self.recogniser {
            Recogniser::Opening(opening) => FromRecogniser::Opened(opening.await.unwrap_or_else(|error| {
                Err(SpeechError::Unavailable(format!("the recogniser's task failed: {error}")))
            })),
            Recogniser::Open(session) => {
                session.output.recv().await.map_or(FromRecogniser::Gone, FromRecogniser::Result)
            }
            Recogniser::Closed | Recogniser::Deaf => std::future::pending().await,
        }
    }

    /// Takes an opened recogniser. Returns the segments that will not be recognised.
    pub(super) fn opened(&mut self, result: Result<SttSession, SpeechError>) -> Vec<u64> {
        match result {
            Ok(session) => {
                self.recogniser = Recogniser::Open(session);
                self.pump();
                return Vec::new();
            }
            Err(error) => {
                let language = &self.language;
                self.recogniser = if let SpeechError::Unsupported(_) = error {
                    tracing::info!(language, %error, "this language is not recognised");
                    Recogniser::Deaf
                } else {
                    tracing::warn!(language, %error, "speech is missed until a recogniser can be opened");
                    metrics::counter!("tandem_speech_failures_total", "kind" => "stt").increment(1);
                    Recogniser::Closed
                };
            }
        }
        self.fed = None;
        self.drop_backlog()
    }

    /// Notes that a segment was finished by the recogniser.
    pub(super) fn finished(&mut self, segment: u64) {
        self.owed.remove(&segment);
    }

    /// Notes that the recogniser has ended. The next segment opens another one.
    pub(super) fn gone(&mut self) {
        self.recogniser = Recogniser::Closed;
        self.owed.clear();
        self.backlog.clear();
        self.fed = None;
    }

    /// Returns whether the language cannot be recognised.
    pub(super) fn is_deaf(&self) -> bool {
        matches!(self.recogniser, Recogniser::Deaf)
    }

    /// Returns whether a segment has begun and not ended.
    pub(super) fn is_fed(&self) -> bool {
        self.fed.is_some()
    }

    /// Returns whether results are still expected.
    pub(super) fn expects(&self) -> bool {
        !self.owed.is_empty() || !self.backlog.is_empty()
    }

    fn reopen(&mut self, providers: &Providers) {
        let (stt, language, rate) = (providers.stt.clone(), self.language.clone(), self.rate);
        let hints = self.hints.clone();
        self.recogniser = Recogniser::Opening(tokio::spawn(async move { stt.open(&language, &hints, rate).await }));
    }

    /// Drops whole segments from the backlog, and returns them. The end of one that the recogniser has begun is kept, so that it
    /// finishes it before the next one begins.
    fn drop_backlog(&mut self) -> Vec<u64> {
        let begun = |input: &SttInput| if let SttInput::Begin(segment) = input { Some(*segment) } else { None };
        let mut dropped: Vec<u64> = self.backlog.iter().filter_map(begun).collect();
        let owed = &self.owed;
        self.backlog.retain(|input| matches!(input, SttInput::End(segment) if owed.contains(segment)));
        let ends = self
            .backlog
            .iter()
            .filter_map(|input| if let SttInput::End(segment) = input { Some(*segment) } else { None });
        dropped.extend(ends.chain(self.fed.filter(|fed| owed.contains(fed))));
        dropped.sort_unstable();
        dropped
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        if let Recogniser::Opening(opening) = &self.recogniser {
            opening.abort();
        }
    }
}

/// Returns the rate at which a tap is recognised. Narrowband is not converted: the provider decides how to recognise it.
fn recognised_at(tap_rate: SampleRate) -> SampleRate {
    if tap_rate == SampleRate::HZ_8000 { tap_rate } else { SampleRate::HZ_16000 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audio::tap::{FrameKind, tap};
    use crate::net::clock;
    use crate::speech::ProviderKind;
    use crate::speech::wyoming::tests::client;

    async fn ears() -> Ears {
        let (stt, ..) = client(ProviderKind::Stt).await;
        let (translator, ..) = client(ProviderKind::Translator).await;
        let (tts, ..) = client(ProviderKind::Tts).await;
        let providers = Providers { stt: Arc::new(stt), translator: Arc::new(translator), tts: Arc::new(tts) };
        Ears::open("en", Vec::new(), SampleRate::HZ_8000, &providers)
    }

    #[tokio::test]
    async fn a_gap_of_the_tap_becomes_silence_of_its_length() {
        let mut ears = ears().await;
        let (mut writer, mut reader) = tap(2);
        let began = clock::now();
        // The ring keeps the last two of five frames.
        for n in 1..=5 {
            writer.push(began + FRAME * n, None, FrameKind::Voice, SampleRate::HZ_8000, &[9; 160]);
        }
        let mut heard = Vec::new();
        while let Some(item) = reader.pop() {
            ears.on_item(&item, &mut EchoGate::new(), |samples, _, at| {
                heard.push((samples[0], (at - began).as_millis()))
            });
        }
        assert_eq!(heard, [(0, 20), (0, 40), (0, 60), (9, 80), (9, 100)]);
    }

    #[tokio::test]
    async fn sound_of_another_rate_comes_in_whole_frames() {
        let mut ears = ears().await;
        let (mut writer, mut reader) = tap(100);
        for _ in 0..50 {
            writer.push(clock::now(), None, FrameKind::Voice, SampleRate::HZ_48000, &[100; 960]);
        }
        let mut lengths = Vec::new();
        while let Some(item) = reader.pop() {
            ears.on_item(&item, &mut EchoGate::new(), |samples, _, _| lengths.push(samples.len()));
        }
        assert_eq!(lengths, [160; 50]);
        assert!(!ears.suits(SampleRate::HZ_48000) && ears.suits(SampleRate::HZ_8000));
    }
}
