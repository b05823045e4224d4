//! Recognition of whole segments by a server of OpenAI's transcription API (`POST …/audio/transcriptions`): OpenAI itself, speaches,
//! vLLM, whisper.cpp and others.
//!
//! ```text
//! Begin, Audio ─▶ samples ─ End ─▶ queue of segments ─▶ WAV, model, language ─ HTTP ─▶ text ─▶ Final, or Missed
//! ```
//!
//! There are no partial texts: the text of a segment comes after its end. A server that fails is asked again once. It is up again when it
//! has recognised a segment, or when it can be reached after it could not.
//!
//! Invariants: segments of a speaker are answered in order; at most [`QUEUE`] of them wait, and a further one is missed at once; every
//! request has a limit. Not here: the bounds of segments (`translate`).

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use hound::{SampleFormat, WavSpec, WavWriter};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinHandle;

use super::{
    BoxFuture, ProviderKind, ProviderState, ProviderStatus, SpeechError, Stt, SttInput, SttOutput, SttSession,
};
use crate::config::TranscriptionServer;

/// Longest time for the text of a segment, of both attempts together.
const ANSWER: Duration = Duration::from_secs(15);
/// Longest time until a server is connected, and until it lists its models.
const CONNECT: Duration = Duration::from_secs(3);
/// Number of whole segments of a speaker that may wait for their text.
const QUEUE: usize = 4;
/// Number of inputs that may wait for the session.
const INPUTS: usize = 512;
/// Number of results that may wait for the pipeline.
const OUTPUTS: usize = 64;
/// Longest prompt, in characters. Models read the last 224 tokens of it.
const PROMPT_MAX: usize = 600;
/// Longest segment; the rest of a longer one is not sent.
const SEGMENT_MAX: Duration = Duration::from_secs(60);
/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 256 * 1024;
/// Pauses between attempts to reach a lost server, in seconds.
const BACKOFF_S: [u64; 5] = [1, 2, 5, 10, 30];
/// Longest pause before the second attempt that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3);
/// Pause before the second attempt otherwise.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Client of a server; see the module head.
pub(super) struct Transcriptions {
    shared: Arc<Shared>,
    /// Looks at the server while it is lost.
    watch: JoinHandle<()>,
}

struct Shared {
    /// An error says why there is none, such as missing certificate authorities.
    client: Result<Client, SpeechError>,
    server: TranscriptionServer,
    state: Mutex<Option<ProviderState>>,
    status: mpsc::Sender<ProviderStatus>,
    lost: Notify,
}

/// Answer in the form `json` or `verbose_json`.
#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// Why there is no text.
#[derive(Debug)]
enum Failure {
    /// Another attempt may succeed after this time.
    Again(SpeechError, Duration),
    Final(SpeechError),
}

impl Transcriptions {
    /// Looks at the server at once, so that a missing one is reported before the first call.
    pub(super) fn start(server: &TranscriptionServer, status: mpsc::Sender<ProviderStatus>) -> Transcriptions {
        let client = Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build().map_err(|error| {
            SpeechError::Unavailable(format!("{}: no HTTP client: {error}; install ca-certificates", server.url))
        });
        let server = server.clone();
        let (state, lost) = (Mutex::new(None), Notify::new());
        let shared = Arc::new(Shared { client, server, state, status, lost });
        let watch = tokio::spawn(watch(Arc::clone(&shared)));
        Transcriptions { shared, watch }
    }
}

impl Drop for Transcriptions {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Stt for Transcriptions {
    fn open<'a>(
        &'a self,
        language: &'a str,
        hints: &'a [String],
        rate: SampleRate,
    ) -> BoxFuture<'a, Result<SttSession, SpeechError>> {
        let (input, inputs) = mpsc::channel(INPUTS);
        let (outputs, output) = mpsc::channel(OUTPUTS);
        let (segments_in, segments) = mpsc::channel(QUEUE);
        tokio::spawn(collect(rate, inputs, segments_in, outputs.clone()));
        // The API names languages by ISO 639-1: the first subtag.
        let language = language.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let asked = Asked { language, prompt: prompt_of(hints), rate };
        tokio::spawn(answer(Arc::clone(&self.shared), asked, segments, outputs));
        Box::pin(async { Ok(SttSession { input, output }) })
    }
}

/// What a recognition asks the server for.
struct Asked {
    language: String,
    /// Terms and names that are likely.
    prompt: Option<String>,
    rate: SampleRate,
}

/// Returns the hints as a prompt: as many as it takes, the first ones first.
fn prompt_of(hints: &[String]) -> Option<String> {
    let mut prompt = String::new();
    for hint in hints {
        if prompt.chars().count() + hint.chars().count() + 2 > PROMPT_MAX {
            break;
        }
        if !prompt.is_empty() {
            prompt.push_str(", ");
        }
        prompt.push_str(hint);
    }
    (!prompt.is_empty()).then_some(prompt)
}

/// Speech of a whole segment.
struct Segment {
    number: u64,
    samples: Vec<i16>,
}

/// Collects the samples of each segment.
async fn collect(
    rate: SampleRate,
    mut inputs: mpsc::Receiver<SttInput>,
    segments: mpsc::Sender<Segment>,
    outputs: mpsc::Sender<SttOutput>,
) {
    let most = SEGMENT_MAX.as_secs() as usize * rate.hz() as usize;
    let mut open: Option<Segment> = None;
    while let Some(input) = inputs.recv().await {
        match input {
            SttInput::Begin(number) => open = Some(Segment { number, samples: Vec::new() }),
            SttInput::Audio(samples) => {
                if let Some(segment) = &mut open {
                    let room = most.saturating_sub(segment.samples.len());
                    segment.samples.extend(samples.into_iter().take(room));
                }
            }
            SttInput::End(number) => {
                let Some(whole) = open.take_if(|segment| segment.number == number) else { continue };
                if segments.try_send(whole).is_err() {
                    metrics::counter!("tandem_speech_overflow_total", "kind" => "stt").increment(1);
                    tracing::warn!("the recogniser does not keep up: a segment is missed");
                    if outputs.send(SttOutput::Missed { segment: number, begun: true }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Has the segments recognised in order, until the speaker or the pipeline has ended.
async fn answer(
    shared: Arc<Shared>,
    asked: Asked,
    mut segments: mpsc::Receiver<Segment>,
    outputs: mpsc::Sender<SttOutput>,
) {
    while let Some(Segment { number: segment, samples }) = segments.recv().await {
        let transcribed = tokio::select! {
            transcribed = shared.transcribe(&samples, &asked) => transcribed,
            // The call has ended.
            () = outputs.closed() => return,
        };
        let output = match transcribed {
            Ok(text) => SttOutput::Final { segment, text, unrecognised: false },
            // It would be refused again, also from the recording.
            Err(SpeechError::Unsupported(_)) => SttOutput::Final { segment, text: String::new(), unrecognised: false },
            Err(error) => {
                tracing::warn!(%error, "a segment is missed");
                metrics::counter!("tandem_speech_failures_total", "kind" => "stt").increment(1);
                SttOutput::Missed { segment, begun: true }
            }
        };
        if outputs.send(output).await.is_err() {
            return;
        }
    }
}

/// Looks at the server at the start, and with growing pauses while it cannot be reached.
async fn watch(shared: Arc<Shared>) {
    let mut was_away = true;
    loop {
        for attempt in 0_usize.. {
            match shared.look().await {
                Ok(()) => break,
                Err(error) => shared.report(ProviderState::Down(error.to_string())).await,
            }
            was_away = true;
            let pause = BACKOFF_S[attempt.min(BACKOFF_S.len() - 1)];
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        // A server that can be reached and fails on segments stays down until it recognises one.
        if std::mem::take(&mut was_away) {
            shared.report(ProviderState::Up).await;
        }
        shared.lost.notified().await;
    }
}

impl Shared {
    /// Asks for the list of models. An answer of any kind shows that the server can be reached, also from one without such a list.
    async fn look(&self) -> Result<(), SpeechError> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let request = self.request(client.get(format!("{}/models", self.server.url))).timeout(CONNECT);
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.unauthorised()),
            status if status.is_server_error() => Err(self.failed(status, "")),
            _ => Ok(()),
        }
    }

    /// Returns the text of a segment; the state of the server follows from the outcome.
    async fn transcribe(&self, samples: &[i16], asked: &Asked) -> Result<String, SpeechError> {
        let sound = wav(samples, asked.rate).map_err(|error| SpeechError::Refused(error.to_string()))?;
        let attempts = async {
            match self.attempt(sound.clone(), asked).await {
                Err(Failure::Again(_, pause)) => {
                    tokio::time::sleep(pause).await;
                    self.attempt(sound, asked).await
                }
                outcome => outcome,
            }
        };
        let outcome = match tokio::time::timeout(ANSWER, attempts).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(Failure::Again(error, _) | Failure::Final(error))) => Err(error),
            Err(_) => Err(SpeechError::TimedOut(ANSWER.as_secs())),
        };
        match &outcome {
            Ok(_) | Err(SpeechError::Refused(_)) => self.report(ProviderState::Up).await,
            Err(SpeechError::Unsupported(text)) => self.report(ProviderState::Unsupported(text.clone())).await,
            Err(error @ (SpeechError::Unavailable(_) | SpeechError::TimedOut(_))) => {
                self.report(ProviderState::Down(error.to_string())).await;
                self.lost.notify_one();
            }
        }
        outcome
    }

    async fn attempt(&self, sound: Vec<u8>, asked: &Asked) -> Result<String, Failure> {
        let Asked { language, prompt, .. } = asked;
        let client = self.client.as_ref().map_err(|error| Failure::Final(error.clone()))?;
        let file = Part::bytes(sound).file_name("speech.wav");
        let file = file.mime_str("audio/wav").map_err(|error| Failure::Final(self.unreachable(&error)))?;
        let mut form = Form::new()
            .part("file", file)
            .text("model", self.server.model.clone())
            .text("language", language.to_owned())
            .text("response_format", "json");
        if let Some(prompt) = prompt {
            form = form.text("prompt", prompt.clone());
        }
        let request = self.request(client.post(format!("{}/audio/transcriptions", self.server.url)));
        let sent = request.multipart(form).send().await;
        let answer = sent.map_err(|error| Failure::Again(self.unreachable(&error), RETRY_AFTER))?;
        let (status, pause) = (answer.status(), retry_after(&answer));
        let body = self.body(answer).await.map_err(|error| Failure::Again(error, RETRY_AFTER))?;
        match status {
            status if status.is_success() => text_of(&body).ok_or_else(|| {
                Failure::Final(SpeechError::Refused(format!("{}: the answer has no field `text`", self.server.url)))
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Final(self.unauthorised())),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if names_language(&body) => {
                let text = format!("{} does not recognise the language `{language}`", self.server.url);
                Err(Failure::Final(SpeechError::Unsupported(text)))
            }
            StatusCode::NOT_FOUND => {
                let Self { server: TranscriptionServer { url, model, .. }, .. } = self;
                let text = format!("{url}: no such address or model (404); check [speech] stt and stt_model `{model}`");
                Err(Failure::Final(SpeechError::Unavailable(text)))
            }
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::Again(self.failed(status, &body), pause)),
            status if status.is_server_error() => Err(Failure::Again(self.failed(status, &body), pause)),
            status => Err(Failure::Final(SpeechError::Refused(self.failed(status, &body).to_string()))),
        }
    }

    fn request(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.server.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Reads an answer, up to [`ANSWER_MAX`] bytes.
    async fn body(&self, mut answer: Response) -> Result<String, SpeechError> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.unreachable(&error))? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_MAX {
                return Err(SpeechError::Unavailable(format!("{}: the answer is too long", self.server.url)));
            }
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn unreachable(&self, error: &reqwest::Error) -> SpeechError {
        // The innermost cause says what happened; those around it repeat the address.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let url = &self.server.url;
        SpeechError::Unavailable(format!("{url}: {cause}; start the server or change its address under [speech]"))
    }

    fn unauthorised(&self) -> SpeechError {
        SpeechError::Unavailable(format!("{}: the key is refused; check [speech] stt_key", self.server.url))
    }

    fn failed(&self, status: StatusCode, body: &str) -> SpeechError {
        let said = body.trim();
        let said: String = said.chars().take(200).collect();
        let colon = if said.is_empty() { "" } else { ": " };
        SpeechError::Unavailable(format!("{}: status {}{colon}{said}", self.server.url, status.as_u16()))
    }

    /// Reports a state once, until it changes.
    async fn report(&self, state: ProviderState) {
        let mut last = self.state.lock().await;
        if last.as_ref() == Some(&state) {
            return;
        }
        let name = &self.server.url;
        tracing::info!(kind = "stt", name, ?state, "speech provider");
        *last = Some(state.clone());
        let status = ProviderStatus { kind: ProviderKind::Stt, name: name.clone(), state };
        if self.status.try_send(status).is_err() {
            tracing::warn!(kind = "stt", name, "the state of a speech provider was not reported: the queue is full");
        }
    }
}

/// Returns the text of an answer: a JSON object with `text`, or plain text of a server that knows no other form.
fn text_of(body: &str) -> Option<String> {
    match serde_json::from_str::<Answer>(body) {
        Ok(answer) => Some(answer.text.trim().to_owned()),
        Err(_) if body.trim_start().starts_with(['{', '[', '<']) => None,
        Err(_) => Some(body.trim().trim_matches('"').to_owned()),
    }
}

/// Returns whether an error is about the language.
fn names_language(body: &str) -> bool {
    body.to_ascii_lowercase().contains("language")
}

/// Returns the time after which a server wants to be asked again.
fn retry_after(answer: &Response) -> Duration {
    let header = answer.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|value| value.trim().parse::<u64>().ok()).map(Duration::from_secs);
    seconds.unwrap_or(RETRY_AFTER).min(RETRY_AFTER_MAX)
}

/// Returns samples as a WAV file of 16 bits.
fn wav(samples: &[i16], rate: SampleRate) -> Result<Vec<u8>, hound::Error> {
    let spec = WavSpec { channels: 1, sample_rate: rate.hz(), bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut file = Cursor::new(Vec::with_capacity(64 + samples.len() * 2));
    let mut writer = WavWriter::new(&mut file, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_answer_is_a_field_or_the_whole() {
        for (body, text) in [
            ("{\"text\": \" Good morning. \", \"usage\": {\"seconds\": 2}}", Some("Good morning.")),
            ("{\"task\":\"transcribe\",\"language\":\"english\",\"text\":\"hello\",\"segments\":[]}", Some("hello")),
            ("Good morning.\n", Some("Good morning.")),
            ("\"Good morning.\"", Some("Good morning.")),
            ("", Some("")),
            ("{\"error\": {}}", None),
            ("<html></html>", None),
            ("{\"text\": 7}", None),
        ] {
            assert_eq!(text_of(body).as_deref(), text, "{body}");
        }
    }

    #[test]
    fn a_segment_is_sent_as_a_wav_file() {
        let file = wav(&[1, -2, 3], SampleRate::HZ_8000).expect("a file");
        let mut reader = hound::WavReader::new(Cursor::new(&file)).expect("a WAV file");
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 8_000));
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [1, -2, 3]);
    }
}
