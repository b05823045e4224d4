//! Recognition, translation and synthesis: traits, providers, and the pipeline between a tap and a listener.
//!
//! ```text
//! tap ─▶ pipeline ─▶ Stt ─▶ text ─▶ Translator ─▶ text ─▶ Tts ─▶ samples ─▶ playout
//! ```
//!
//! A provider sees samples and text, never RTP, SIP or calls. When one dies, calls go on without it: requests fail
//! at once, its state is reported, and it is started again with growing pauses. Not here: when a segment begins
//! and ends, what its lag is (translate).

mod odd_rate;
pub mod pipeline;
mod status;
mod wyoming;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use codecs::resample::Resampler;
use tokio::sync::mpsc;

use crate::config::SpeechConfig;

pub use status::{ProviderKind, ProviderState};

/// A boxed future, as traits behind `dyn` need.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a provider gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    /// The provider cannot be reached; the text says what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The provider works, but not for this language.
    #[error("{0}")]
    Unsupported(String),
    /// The provider answered with an error.
    #[error("{0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer within {0} s")]
    TimedOut(u64),
}

/// What a recogniser is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SttInput {
    /// A segment begins.
    Begin(u64),
    /// Mono samples of the open segment, at the session's rate.
    Audio(Vec<i16>),
    /// The open segment is complete: its final text is wanted.
    End(u64),
}

/// What a recogniser says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SttOutput {
    /// A guess that may change.
    Partial {
        /// Segment.
        segment: u64,
        /// Text so far, whole.
        text: String,
    },
    /// Every begun segment gets exactly one, or [`SttOutput::Missed`].
    Final {
        /// Segment.
        segment: u64,
        /// Text; empty when nothing was understood.
        text: String,
        /// There were words, but none that the recogniser knows.
        unrecognised: bool,
    },
    /// Nobody heard it: the provider was gone, died, or failed at it.
    Missed {
        /// Segment.
        segment: u64,
        /// The provider had been given some of it; otherwise there was none to give it to.
        begun: bool,
    },
}

/// A running recognition of one speaker. Dropping it ends it.
#[derive(Debug)]
pub struct SttSession {
    /// Audio to recognise; bounded: what does not fit is dropped by the sender and counted.
    pub input: mpsc::Sender<SttInput>,
    /// Results, in order of segments.
    pub output: mpsc::Receiver<SttOutput>,
}

/// Synthesised speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TtsChunk {
    /// Samples per second, any.
    pub rate_hz: u32,
    /// Mono.
    pub samples: Vec<i16>,
}

/// Recognition of speech.
pub trait Stt: Send + Sync {
    /// Starts a session for one speaker whose samples come at `rate`.
    ///
    /// # Errors
    /// `Unsupported` for languages that this provider cannot recognise.
    fn open<'a>(&'a self, language: &'a str, rate: SampleRate) -> BoxFuture<'a, Result<SttSession, SpeechError>>;
}

/// Translation of text.
pub trait Translator: Send + Sync {
    /// `text` in another language.
    ///
    /// # Errors
    /// See [`SpeechError`]: show the text untranslated.
    fn translate<'a>(&'a self, text: &'a str, from: &'a str, to: &'a str)
    -> BoxFuture<'a, Result<String, SpeechError>>;
}

/// Synthesis of speech.
pub trait Tts: Send + Sync {
    /// Speaks `text`. The channel closes after the last chunk.
    ///
    /// # Errors
    /// See [`SpeechError`]: show the translation unspoken.
    fn speak<'a>(
        &'a self,
        text: &'a str,
        language: &'a str,
    ) -> BoxFuture<'a, Result<mpsc::Receiver<TtsChunk>, SpeechError>>;
}

/// A provider's state, as it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Which.
    pub kind: ProviderKind,
    /// Its name, such as `local`.
    pub name: String,
    /// New state.
    pub state: ProviderState,
}

/// The configured providers; clones share them.
#[derive(Clone)]
pub struct Providers {
    /// Recognition.
    pub stt: Arc<dyn Stt>,
    /// Translation.
    pub translator: Arc<dyn Translator>,
    /// Synthesis.
    pub tts: Arc<dyn Tts>,
}

impl Providers {
    /// Starts the configured providers. Their state goes to `status`; a full channel loses a report, which the log
    /// still has.
    pub fn start(config: &SpeechConfig, status: mpsc::Sender<ProviderStatus>) -> Providers {
        let client = |kind, provider| Arc::new(wyoming::Client::start(kind, provider, status.clone()));
        Providers {
            stt: client(ProviderKind::Stt, &config.stt),
            translator: client(ProviderKind::Translator, &config.translator),
            tts: client(ProviderKind::Tts, &config.tts),
        }
    }
}

impl Providers {
    /// A whole sentence as samples, for scripts and announcements.
    ///
    /// # Errors
    /// See [`SpeechError`].
    pub async fn utterance(&self, text: &str, language: &str) -> Result<(SampleRate, Vec<i16>), SpeechError> {
        let mut chunks = self.tts.speak(text, language).await?;
        let mut carried = odd_rate::ToCarried::default();
        let mut whole = Vec::new();
        let mut at = odd_rate::CARRIED;
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

/// Mono samples of any rate at one that the live path carries; `None`: at 0 to 3,999 or above 192,000 samples per second there is
/// no sound.
pub fn carried(rate_hz: u32, samples: Vec<i16>) -> Option<(SampleRate, Vec<i16>)> {
    let mut carried = odd_rate::ToCarried::default();
    let (rate, mut whole) = carried.push(TtsChunk { rate_hz, samples })?;
    whole.extend(carried.finish());
    Some((rate, whole))
}

/// What recognition made of a whole segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Text; empty when nothing was understood.
    pub text: String,
    /// There were words, but none that the recogniser knows.
    pub unrecognised: bool,
}

/// Links to a provider that restarted may all be stale; more are not tried.
const RECOGNISE_LINKS: usize = 5;
/// How long a recogniser may take over a whole segment.
const RECOGNISE: Duration = Duration::from_secs(20);

impl Providers {
    /// What is said in `samples` (mono, at `rate`), outside of any call. At most 20 s are waited for it.
    ///
    /// # Errors
    /// `Unavailable`: there is no provider, so try later. Others: it failed at this segment.
    pub async fn recognise(
        &self,
        samples: &[i16],
        rate: SampleRate,
        language: &str,
    ) -> Result<Recognised, SpeechError> {
        let (samples, rate) = at_recognisers_rate(samples, rate);
        let several = async {
            for _ in 0..RECOGNISE_LINKS {
                let session = self.stt.open(language, rate).await?;
                match recognise_once(session, &samples, rate).await {
                    Some(SttOutput::Final { text, unrecognised, .. }) => return Ok(Recognised { text, unrecognised }),
                    Some(SttOutput::Missed { begun: true, .. }) => {}
                    _ => return Err(SpeechError::Unavailable("no recogniser can be reached".into())),
                }
            }
            Err(SpeechError::Refused("the recogniser failed at it".into()))
        };
        tokio::time::timeout(RECOGNISE, several).await.unwrap_or(Err(SpeechError::TimedOut(RECOGNISE.as_secs())))
    }
}

/// As in calls: narrowband stays, all else is wideband.
fn at_recognisers_rate(samples: &[i16], rate: SampleRate) -> (Vec<i16>, SampleRate) {
    let wanted = SampleRate::HZ_16000;
    if rate == SampleRate::HZ_8000 || rate == wanted {
        return (samples.to_vec(), rate);
    }
    let mut resampler = Resampler::new(rate, wanted);
    let mut out = vec![0; resampler.max_output(samples.len())];
    let written = resampler.process(samples, &mut out);
    out.truncate(written);
    (out, wanted)
}

/// One segment over a session of its own; `None`: the session ended without an answer.
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
        // A session that takes no more may still have said why.
        _ = &mut feed => hear.await,
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Providers")
    }
}
