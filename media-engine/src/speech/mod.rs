//! Recognition, translation and synthesis: traits, providers, and the pipeline between a tap and a listener.
//!
//! ```text
//! tap ─▶ pipeline ─▶ Stt ─▶ text ─▶ Translator ─▶ text ─▶ Tts ─▶ samples ─▶ playout
//! ```
//!
//! A provider sees samples and text, never RTP, SIP or calls. When one fails, calls continue without it: requests fail
//! at once, its state is reported, and it is restarted with growing pauses. Not here: the beginning and end of a
//! segment, its clauses and their lag (`translate`).

mod ears;
mod echo;
mod live_rate;
mod pace;
pub mod pipeline;
mod status;
mod transcriptions;
mod wyoming;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use codecs::resample::Resampler;
use tokio::sync::mpsc;

use crate::config::{SpeechConfig, SttProvider};
use transcriptions::Transcriptions;

pub use status::{ProviderKind, ProviderState};

/// A boxed future, as needed by traits behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a provider gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    /// The provider cannot be reached; the text says what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The provider works, but does not support this language.
    #[error("{0}")]
    Unsupported(String),
    /// The provider answered with an error.
    #[error("{0}")]
    Refused(String),
    /// There was no answer within this number of seconds.
    #[error("no answer within {0} s")]
    TimedOut(u64),
}

/// Input of a recogniser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SttInput {
    /// A segment begins.
    Begin(u64),
    /// Mono samples of the open segment, at the session's rate.
    Audio(Vec<i16>),
    /// The open segment is complete: its final text is expected.
    End(u64),
}

/// Output of a recogniser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SttOutput {
    /// A guess that may change.
    Partial {
        /// Number of the segment.
        segment: u64,
        /// Complete text so far.
        text: String,
    },
    /// The final text. Every begun segment gets exactly one, or [`SttOutput::Missed`].
    Final {
        /// Number of the segment.
        segment: u64,
        /// Text; empty if nothing was understood.
        text: String,
        /// Whether there were words, but none in the recogniser's vocabulary.
        unrecognised: bool,
    },
    /// The segment was not recognised: the provider was unavailable, ended, or failed on it.
    Missed {
        /// Number of the segment.
        segment: u64,
        /// Whether the provider had received a part of it; otherwise no provider was available.
        begun: bool,
    },
}

/// A running recognition of one speaker. Dropping it ends it.
#[derive(Debug)]
pub struct SttSession {
    /// Audio to recognise; bounded: what does not fit waits at the sender (`ears`), which drops whole segments in the end.
    pub input: mpsc::Sender<SttInput>,
    /// Results, in order of segments.
    pub output: mpsc::Receiver<SttOutput>,
}

/// A piece of synthesised speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TtsChunk {
    /// Samples per second, any.
    pub rate_hz: u32,
    /// Mono samples at `rate_hz`.
    pub samples: Vec<i16>,
}

/// Recognition of speech.
pub trait Stt: Send + Sync {
    /// Starts a session for one speaker whose samples come at `rate`. `hints` are terms and names that are likely; a provider that
    /// cannot use them ignores them.
    ///
    /// # Errors
    /// `Unsupported` for languages that this provider cannot recognise.
    fn open<'a>(
        &'a self,
        language: &'a str,
        hints: &'a [String],
        rate: SampleRate,
    ) -> BoxFuture<'a, Result<SttSession, SpeechError>>;
}

/// Translation of text.
pub trait Translator: Send + Sync {
    /// Translates `text` into another language.
    ///
    /// # Errors
    /// See [`SpeechError`]; the caller should show the text untranslated.
    fn translate<'a>(&'a self, text: &'a str, from: &'a str, to: &'a str)
    -> BoxFuture<'a, Result<String, SpeechError>>;

    /// Returns whether it translates phrases that it knows, so that short sentences should not be cut.
    fn knows_phrases(&self) -> bool {
        false
    }
}

/// Synthesis of speech.
pub trait Tts: Send + Sync {
    /// Speaks `text`. The channel closes after the last chunk.
    ///
    /// # Errors
    /// See [`SpeechError`]; the caller should show the translation without speech.
    fn speak<'a>(
        &'a self,
        text: &'a str,
        language: &'a str,
    ) -> BoxFuture<'a, Result<mpsc::Receiver<TtsChunk>, SpeechError>>;
}

/// State of a provider, sent when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Kind of the provider.
    pub kind: ProviderKind,
    /// Name of the provider, such as `local`.
    pub name: String,
    /// New state of the provider.
    pub state: ProviderState,
}

/// The configured providers; clones share them.
#[derive(Clone)]
pub struct Providers {
    /// Provider of recognition.
    pub stt: Arc<dyn Stt>,
    /// Provider of translation.
    pub translator: Arc<dyn Translator>,
    /// Provider of synthesis.
    pub tts: Arc<dyn Tts>,
}

impl Providers {
    /// Starts the configured providers. Their states are sent to `status`; if that channel is full, a report is only
    /// logged.
    pub fn start(config: &SpeechConfig, status: mpsc::Sender<ProviderStatus>) -> Providers {
        let client = |kind, provider| Arc::new(wyoming::Client::start(kind, provider, status.clone()));
        Providers {
            stt: match &config.stt {
                SttProvider::Transcriptions(server) => Arc::new(Transcriptions::start(server, status.clone())),
                SttProvider::Wyoming(provider) => client(ProviderKind::Stt, provider),
            },
            translator: client(ProviderKind::Translator, &config.translator),
            tts: client(ProviderKind::Tts, &config.tts),
        }
    }
}

impl Providers {
    /// Synthesises a whole sentence, for scripts and announcements.
    ///
    /// # Errors
    /// See [`SpeechError`]; the sentence cannot be played.
    pub async fn utterance(&self, text: &str, language: &str) -> Result<(SampleRate, Vec<i16>), SpeechError> {
        let mut chunks = self.tts.speak(text, language).await?;
        let mut carried = live_rate::LiveRateResampler::default();
        let mut whole = Vec::new();
        let mut at = live_rate::LIVE_RATE;
        while let Some(chunk) = chunks.recv().await {
            if let Some((rate, samples)) = carried.push(chunk) {
                at = rate;
                whole.extend(samples);
            }
        }
        whole.extend(carried.finish());
        Ok((at, whole))
    }
}

/// Converts mono samples of any rate to one that the live path supports; `None` for rates below 4,000 or above 192,000 samples per
/// second.
pub fn to_live_rate(rate_hz: u32, samples: Vec<i16>) -> Option<(SampleRate, Vec<i16>)> {
    let mut carried = live_rate::LiveRateResampler::default();
    let (rate, mut whole) = carried.push(TtsChunk { rate_hz, samples })?;
    whole.extend(carried.finish());
    Some((rate, whole))
}

/// Result of the recognition of a whole segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Text; empty if nothing was understood.
    pub text: String,
    /// Whether there were words, but none in the recogniser's vocabulary.
    pub unrecognised: bool,
}

/// Number of links to try: after a restart of the provider several may be stale.
const RECOGNISE_LINKS: usize = 5;
/// Longest time that a recogniser may take for a whole segment.
const RECOGNISE: Duration = Duration::from_secs(20);

impl Providers {
    /// Recognises the speech in `samples` (mono, at `rate`), outside of any call. Waits for at most 20 s.
    ///
    /// # Errors
    /// `Unavailable`: there is no provider; try again later. Others: the provider failed on this segment.
    pub async fn recognise(
        &self,
        samples: &[i16],
        rate: SampleRate,
        language: &str,
        hints: &[String],
    ) -> Result<Recognised, SpeechError> {
        let (samples, rate) = at_recognisers_rate(samples, rate);
        let several = async {
            for _ in 0..RECOGNISE_LINKS {
                let session = self.stt.open(language, hints, rate).await?;
                match recognise_once(session, &samples, rate).await {
                    Some(SttOutput::Final { text, unrecognised, .. }) => return Ok(Recognised { text, unrecognised }),
                    Some(SttOutput::Missed { begun: true, .. }) => {}
                    _ => return Err(SpeechError::Unavailable("no recogniser can be reached".into())),
                }
            }
            Err(SpeechError::Refused("the recogniser failed on the segment".into()))
        };
        tokio::time::timeout(RECOGNISE, several).await.unwrap_or(Err(SpeechError::TimedOut(RECOGNISE.as_secs())))
    }
}

/// Converts samples as in calls: narrowband stays, and all other rates become wideband.
fn at_recognisers_rate(samples: &[i16], rate: SampleRate) -> (Vec<i16>, SampleRate) {
    let wanted = SampleRate::HZ_16000;
    if rate == SampleRate::HZ_8000 || rate == wanted {
        return (samples.to_vec(), rate);
    }
    (Resampler::new(rate, wanted).converted(samples), wanted)
}

/// Recognises one segment with a session of its own; `None` if the session ended without an answer.
async fn recognise_once(session: SttSession, samples: &[i16], rate: SampleRate) -> Option<SttOutput> {
    const SEGMENT: u64 = 1;
    let SttSession { input, mut output } = session;
    let feed = async {
        input.send(SttInput::Begin(SEGMENT)).await.ok()?;
        for piece in samples.chunks(rate.samples_in_ms(20)) {
            input.send(SttInput::Audio(piece.to_vec())).await.ok()?;
        }
        input.send(SttInput::End(SEGMENT)).await.ok()
    };
    let hear = async {
        loop {
            match output.recv().await {
                Some(SttOutput::Partial { .. }) => {}
                last => return last,
            }
        }
    };
    tokio::pin!(feed, hear);
    tokio::select! {
        last = &mut hear => last,
        // A session that accepts no more input may still have sent the reason.
        _ = &mut feed => hear.await,
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Providers")
    }
}
