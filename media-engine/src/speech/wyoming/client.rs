//! Client of one provider: its links, their supervision, and the implementations of the three traits.
//!
//! A request takes an idle link, or connects a new one, and returns it after the answer. A broken link is replaced; while the
//! provider is lost, attempts to reach it are made with growing pauses, and each change of its state is reported once.
//!
//! Not here: the transport and framing of a link (`link`), the course of a recognition (`recognise`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use codecs::SampleRate;
use tokio::sync::{Mutex, OnceCell, mpsc};
use wyoming::{AudioFormat, Event, SampleReader};

use super::link::Link;
use super::recognise;
use crate::config::SpeechProvider;
use crate::speech::{
    BoxFuture, ProviderKind, ProviderState, ProviderStatus, SpeechError, Stt, SttSession, Translator, Tts, TtsChunk,
};
use crate::translate::lexicon::is_same as is_same_language;

/// Longest time to wait for a translation, or for the first sound of a sentence.
const ANSWER: Duration = Duration::from_secs(3);
/// Maximum number of idle links.
const IDLE_MAX: usize = 4;
/// Number of pieces of speech that may wait for the listener.
const CHUNKS: usize = 32;
/// Pauses between attempts to reach a lost provider, in milliseconds.
const BACKOFF: [u64; 6] = [0, 100, 250, 500, 1_000, 2_000];

/// Client of one provider of one kind.
pub(in crate::speech) struct Client {
    shared: Arc<Shared>,
}

/// State shared by the tasks of a client.
pub(super) struct Shared {
    kind: ProviderKind,
    provider: SpeechProvider,
    name: String,
    idle: Mutex<Vec<Link>>,
    /// Languages that the provider names; if empty, it names none, and any may be tried.
    languages: OnceCell<Vec<String>>,
    state: Mutex<Option<ProviderState>>,
    status: mpsc::Sender<ProviderStatus>,
    failures: AtomicU64,
}

impl Client {
    /// Connects to the provider at once, so that a missing one is reported before the first call.
    pub(in crate::speech) fn start(
        kind: ProviderKind,
        provider: &SpeechProvider,
        status: mpsc::Sender<ProviderStatus>,
    ) -> Client {
        let name = match provider {
            SpeechProvider::Local(_) => "local".to_owned(),
            SpeechProvider::Wyoming(address) => address.clone(),
        };
        let shared = Arc::new(Shared {
            kind,
            provider: provider.clone(),
            name,
            idle: Mutex::new(Vec::new()),
            languages: OnceCell::new(),
            state: Mutex::new(None),
            status,
            failures: AtomicU64::new(0),
        });
        let first_look = shared.clone();
        tokio::spawn(async move {
            match first_look.connect().await {
                Ok(link) => first_look.give_back(link).await,
                Err(error) => first_look.report(ProviderState::Down(error.to_string())).await,
            }
        });
        Client { shared }
    }
}

impl Shared {
    /// Returns an idle link, or a new one.
    pub(super) async fn take(&self) -> Result<Link, SpeechError> {
        let idle = self.idle.lock().await.pop();
        match idle {
            Some(link) => Ok(link),
            None => self.connect().await,
        }
    }

    /// Connects a new link, which has answered and is ready for its work.
    pub(super) async fn connect(&self) -> Result<Link, SpeechError> {
        let connected = async {
            let mut link = Link::connect(&self.provider).await?;
            self.languages.get_or_try_init(|| describe(&mut link, self.kind)).await?;
            if self.kind == ProviderKind::Stt {
                // Makes the provider load the model now, not when a person speaks.
                link.send(&Event::new("transcribe")).await?;
            }
            Ok(link)
        };
        let link =
            tokio::time::timeout(ANSWER, connected).await.unwrap_or(Err(SpeechError::TimedOut(ANSWER.as_secs())))?;
        self.failures.store(0, Ordering::Relaxed);
        self.report(ProviderState::Up).await;
        Ok(link)
    }

    /// Connects a new link, trying with growing pauses until it succeeds.
    pub(super) async fn reconnect(&self, why: &SpeechError) -> Link {
        self.report(ProviderState::Restarting(why.to_string())).await;
        metrics::counter!("tandem_speech_restarts_total", "kind" => self.kind_name()).increment(1);
        loop {
            let failures = self.failures.fetch_add(1, Ordering::Relaxed);
            let pause = BACKOFF[(failures as usize).min(BACKOFF.len() - 1)];
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match self.connect().await {
                Ok(link) => return link,
                Err(error) => self.report(ProviderState::Down(error.to_string())).await,
            }
        }
    }

    async fn give_back(&self, link: Link) {
        let mut idle = self.idle.lock().await;
        if idle.len() < IDLE_MAX {
            idle.push(link);
        }
    }

    /// Reports a state once, until it changes.
    pub(super) async fn report(&self, state: ProviderState) {
        let mut last = self.state.lock().await;
        if last.as_ref() == Some(&state) {
            return;
        }
        tracing::info!(kind = self.kind_name(), name = self.name, ?state, "speech provider");
        *last = Some(state.clone());
        let status = ProviderStatus { kind: self.kind, name: self.name.clone(), state };
        if self.status.try_send(status).is_err() {
            metrics::counter!("tandem_provider_reports_dropped_total").increment(1);
        }
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            ProviderKind::Stt => "stt",
            ProviderKind::Translator => "translator",
            ProviderKind::Tts => "tts",
        }
    }

    /// Sends one request and reads until an event of type `wanted`. A broken link is replaced: idle ones may have been closed
    /// long ago, and a process may end at any time.
    async fn request(&self, request: &Event, wanted: &str) -> Result<(Link, Event), SpeechError> {
        let attempt = async {
            let mut tries = 0;
            loop {
                let mut link = self.take().await?;
                match exchange(&mut link, request, wanted).await {
                    Err(SpeechError::Unavailable(_)) if tries <= IDLE_MAX => tries += 1,
                    Err(error) => return Err(error),
                    Ok(event) => return Ok((link, event)),
                }
            }
        };
        let result =
            tokio::time::timeout(ANSWER, attempt).await.unwrap_or(Err(SpeechError::TimedOut(ANSWER.as_secs())));
        if let Err(error @ SpeechError::Unavailable(_)) = &result {
            self.report(ProviderState::Down(error.to_string())).await;
        }
        result
    }
}

async fn exchange(link: &mut Link, request: &Event, wanted: &str) -> Result<Event, SpeechError> {
    link.send(request).await?;
    loop {
        let event = link.receive().await?;
        if event.kind == wanted {
            return Ok(event);
        }
        if event.kind == "error" {
            return Err(refusal(&event));
        }
    }
}

pub(super) fn refusal(event: &Event) -> SpeechError {
    let text = match event.text("text") {
        "" => "the provider gave no reason",
        text => text,
    };
    match event.text("code") {
        "unsupported-language" => SpeechError::Unsupported(text.to_owned()),
        _ => SpeechError::Refused(text.to_owned()),
    }
}

/// Returns the languages that a provider names in `info`.
///
/// If all programs of a provider are marked as not installed, it is unavailable, and its own description gives the reason.
async fn describe(link: &mut Link, kind: ProviderKind) -> Result<Vec<String>, SpeechError> {
    let section = match kind {
        ProviderKind::Stt => "asr",
        ProviderKind::Tts => "tts",
        ProviderKind::Translator => "translate",
    };
    let info = exchange(link, &Event::new("describe"), "info").await?;
    let mut languages = Vec::new();
    let programs = info.data.get(section).and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_missing = |program: &serde_json::Value| program["installed"] == false;
    if let Some(missing) = programs.first().filter(|_| programs.iter().all(is_missing)) {
        let why = missing["description"].as_str().unwrap_or("its program is not installed");
        return Err(SpeechError::Unavailable(why.to_owned()));
    }
    for program in programs {
        for list in ["models", "voices"] {
            let voices = program.get(list).and_then(serde_json::Value::as_array);
            for voice in voices.into_iter().flatten() {
                let named = voice.get("languages").and_then(serde_json::Value::as_array);
                languages.extend(named.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)));
            }
        }
    }
    Ok(languages)
}

impl Stt for Client {
    fn open<'a>(
        &'a self,
        language: &'a str,
        _: &'a [String],
        rate: SampleRate,
    ) -> BoxFuture<'a, Result<SttSession, SpeechError>> {
        Box::pin(async move {
            let link = self.shared.take().await;
            let known = self.shared.languages.get().map(Vec::as_slice).unwrap_or_default();
            if !known.is_empty() && !known.iter().any(|name| is_same_language(name, language)) {
                if let Ok(link) = link {
                    self.shared.give_back(link).await;
                }
                let text = format!(
                    "speech in `{language}` cannot be recognised by the provider `{}` (it knows {}); \
                     type into the agent's page instead",
                    self.shared.name,
                    known.join(", ")
                );
                self.shared.report(ProviderState::Unsupported(text.clone())).await;
                return Err(SpeechError::Unsupported(text));
            }
            // Without a link the session begins by searching for one.
            let session = recognise::start(self.shared.clone(), link, language, rate);
            self.keep_one_warm();
            Ok(session)
        })
    }
}

impl Client {
    /// Prepares a link for the next call, so that the recogniser loads its model during this call.
    fn keep_one_warm(&self) {
        let shared = self.shared.clone();
        tokio::spawn(async move {
            if shared.idle.lock().await.is_empty()
                && let Ok(link) = shared.connect().await
            {
                shared.give_back(link).await;
            }
        });
    }
}

impl Translator for Client {
    fn translate<'a>(
        &'a self,
        text: &'a str,
        from: &'a str,
        to: &'a str,
    ) -> BoxFuture<'a, Result<String, SpeechError>> {
        Box::pin(async move {
            let request =
                Event::new("translate").with("text", text).with("source_language", from).with("target_language", to);
            let (link, event) = self.shared.request(&request, "translation").await?;
            self.shared.give_back(link).await;
            self.shared.report(ProviderState::Up).await;
            Ok(event.text("text").to_owned())
        })
    }

    fn knows_phrases(&self) -> bool {
        matches!(self.shared.provider, SpeechProvider::Local(_))
    }
}

impl Tts for Client {
    fn speak<'a>(
        &'a self,
        text: &'a str,
        language: &'a str,
    ) -> BoxFuture<'a, Result<mpsc::Receiver<TtsChunk>, SpeechError>> {
        Box::pin(async move {
            let voice = serde_json::json!({ "language": language });
            let request = Event::new("synthesize").with("text", text).with("voice", voice);
            let (link, _start) = self.shared.request(&request, "audio-start").await?;
            self.shared.report(ProviderState::Up).await;
            let (chunks_in, chunks) = mpsc::channel(CHUNKS);
            tokio::spawn(forward(self.shared.clone(), link, chunks_in));
            Ok(chunks)
        })
    }
}

/// Forwards the chunks of a sentence until its `audio-stop`; the link is then free again.
async fn forward(shared: Arc<Shared>, mut link: Link, chunks: mpsc::Sender<TtsChunk>) {
    let mut reader = SampleReader::default();
    loop {
        let event = match tokio::time::timeout(ANSWER, link.receive()).await {
            Ok(Ok(event)) => event,
            Ok(Err(error)) => return shared.report(ProviderState::Restarting(error.to_string())).await,
            Err(_) => return shared.report(ProviderState::Restarting("speech stopped in mid-sentence".into())).await,
        };
        match event.kind.as_str() {
            "audio-chunk" => {
                let Some(format) = AudioFormat::of(&event).filter(|format| *format == AudioFormat::mono(format.rate))
                else {
                    metrics::counter!("tandem_speech_bad_chunks_total").increment(1);
                    tracing::warn!(name = shared.name, "a chunk that is not mono with 16 bits is left out");
                    continue;
                };
                let mut samples = Vec::with_capacity(event.payload.len() / 2 + 1);
                reader.read(&event.payload, &mut samples);
                // The listener has gone away: the link is dropped with the rest of the sentence.
                if chunks.send(TtsChunk { rate_hz: format.rate, samples }).await.is_err() {
                    return;
                }
            }
            "audio-stop" => return shared.give_back(link).await,
            _ => {}
        }
    }
}
