//! Tasks that ask the translator and the synthesiser, one of each for each speaker, so that clauses are answered in order.
//!
//! ```text
//! Request ─▶ translator ─▶ Translated          Sentence ─▶ synthesiser ─▶ Voiced: pieces, then the end or a failure
//! ```
//!
//! Not here: what becomes of the answers, and which of them are still current (`pipeline`).

use std::convert::Infallible;
use std::sync::Arc;

use codecs::SampleRate;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::CLAUSES;
use crate::speech::live_rate::{LIVE_RATE, LiveRateResampler};
use crate::speech::{Providers, SpeechError, Translator};
use crate::translate::exchange::{ClauseId, Request};
use crate::translate::glossary::Glossary;

/// Result of a translation.
pub(super) struct Translated {
    pub(super) clause: ClauseId,
    pub(super) revision: u32,
    pub(super) result: Result<String, SpeechError>,
}

/// Translates clauses in order, with the terms of a glossary.
pub(super) fn translator(
    provider: Arc<dyn Translator>,
    glossary: Arc<Glossary>,
    results: mpsc::Sender<Translated>,
) -> mpsc::Sender<Request> {
    let (clauses_in, mut clauses) = mpsc::channel::<Request>(CLAUSES);
    tokio::spawn(async move {
        while let Some(Request { clause, revision, words, from, to, .. }) = clauses.recv().await {
            let text = glossary.applied(&words.join(" "), &from, &to);
            let result = provider.translate(&text, &from, &to).await;
            if results.send(Translated { clause, revision, result }).await.is_err() {
                return;
            }
        }
    });
    clauses_in
}

/// Text to be spoken.
pub(super) struct Sentence {
    pub(super) clause: ClauseId,
    pub(super) revision: u32,
    pub(super) text: String,
    pub(super) language: String,
    /// Closed when the voice is not wanted any more.
    pub(super) wanted: oneshot::Receiver<Infallible>,
}

/// Piece of a clause's voice.
pub(super) struct Voiced {
    pub(super) clause: ClauseId,
    pub(super) revision: u32,
    pub(super) piece: Piece,
}

pub(super) enum Piece {
    Samples(SampleRate, Vec<i16>),
    End,
    Failed,
}

/// Speaks clauses in order.
pub(super) fn synthesiser(providers: Providers, voiced: mpsc::Sender<Voiced>) -> mpsc::Sender<Sentence> {
    let (sentences_in, mut sentences) = mpsc::channel::<Sentence>(CLAUSES);
    let run = async move {
        while let Some(Sentence { clause, revision, text, language, mut wanted }) = sentences.recv().await {
            // Only the end of this channel is of interest.
            let unwanted = async { drop((&mut wanted).await) };
            tokio::select! {
                biased;
                () = unwanted => {}
                is_taken = speak(Spoken { clause, revision, text: &text, language: &language }, &providers, &voiced) => {
                    if is_taken.is_err() {
                        return;
                    }
                }
            }
        }
    };
    tokio::spawn(run.in_current_span());
    sentences_in
}

/// A clause with the text to speak.
struct Spoken<'a> {
    clause: ClauseId,
    revision: u32,
    text: &'a str,
    language: &'a str,
}

/// Speaks a clause.
///
/// # Errors
/// The pipeline has ended.
async fn speak(
    Spoken { clause, revision, text, language }: Spoken<'_>,
    providers: &Providers,
    voiced: &mpsc::Sender<Voiced>,
) -> Result<(), SendError<Voiced>> {
    let send = |piece| voiced.send(Voiced { clause, revision, piece });
    let mut chunks = match providers.tts.speak(text, language).await {
        Ok(chunks) => chunks,
        Err(error) => {
            tracing::warn!(clause = clause.0, %error, "the translation is not spoken: it is shown as text");
            metrics::counter!("tandem_speech_failures_total", "kind" => "tts").increment(1);
            return send(Piece::Failed).await;
        }
    };
    let mut carried = LiveRateResampler::default();
    while let Some(chunk) = chunks.recv().await {
        if let Some((rate, samples)) = carried.push(chunk).filter(|(_, samples)| !samples.is_empty()) {
            send(Piece::Samples(rate, samples)).await?;
        }
    }
    let rest = carried.finish();
    if !rest.is_empty() {
        send(Piece::Samples(LIVE_RATE, rest)).await?;
    }
    send(Piece::End).await
}
