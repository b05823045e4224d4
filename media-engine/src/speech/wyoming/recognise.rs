//! Recognition of one speaker over one link, which survives failures of its process.

use std::collections::VecDeque;
use std::sync::Arc;

use codecs::SampleRate;
use tokio::sync::mpsc;
use wyoming::{AudioFormat, Event};

use super::client::{Shared, refusal};
use super::link::Link;
use crate::speech::{ProviderState, SpeechError, SttInput, SttOutput, SttSession};

/// Number of inputs, frames of 20 ms and segment bounds, that may wait for the recogniser: ten seconds.
const INPUTS: usize = 512;
/// Number of results that may wait for the pipeline.
const OUTPUTS: usize = 64;

pub(super) fn start(
    shared: Arc<Shared>,
    link: Result<Link, SpeechError>,
    language: &str,
    rate: SampleRate,
) -> SttSession {
    let (input, inputs) = mpsc::channel(INPUTS);
    let (outputs, output) = mpsc::channel(OUTPUTS);
    let session =
        Recognition { shared, language: language.to_owned(), rate, outputs, owed: VecDeque::new(), open: None };
    tokio::spawn(session.run(link, inputs));
    SttSession { input, output }
}

struct Recognition {
    shared: Arc<Shared>,
    language: String,
    rate: SampleRate,
    outputs: mpsc::Sender<SttOutput>,
    /// Segments that were begun on this link and have no final text yet, in order.
    owed: VecDeque<u64>,
    /// Segment whose audio is being sent.
    open: Option<u64>,
}

impl Recognition {
    async fn run(mut self, link: Result<Link, SpeechError>, mut inputs: mpsc::Receiver<SttInput>) {
        let mut link = link;
        loop {
            let ended = match link {
                Ok(mut working) => self.serve(&mut working, &mut inputs).await,
                Err(error) => Err(error),
            };
            let Err(error) = ended else { return };
            self.report_missed().await;
            // While there is no recogniser, speech is not recognised, and the call continues.
            let shared = self.shared.clone();
            let next = shared.reconnect(&error);
            tokio::pin!(next);
            link = loop {
                tokio::select! {
                    found = &mut next => break Ok(found),
                    input = inputs.recv() => match input {
                        Some(SttInput::Begin(segment)) => {
                            self.send_result(SttOutput::Missed { segment, begun: false }).await;
                        }
                        Some(_) => {}
                        None => return,
                    },
                }
            };
        }
    }

    /// Serves until the speaker has finished (`Ok`) or the link breaks.
    async fn serve(&mut self, link: &mut Link, inputs: &mut mpsc::Receiver<SttInput>) -> Result<(), SpeechError> {
        loop {
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.on_input(link, input).await?,
                    None => return Ok(()),
                },
                event = link.receive() => self.on_event(&event?).await,
            }
        }
    }

    async fn on_input(&mut self, link: &mut Link, input: SttInput) -> Result<(), SpeechError> {
        match input {
            SttInput::Begin(segment) => {
                self.open = Some(segment);
                self.owed.push_back(segment);
                link.send(&Event::new("transcribe").with("language", self.language.as_str())).await?;
                link.send(&Event::audio_start(AudioFormat::mono(self.rate.hz()))).await
            }
            SttInput::Audio(samples) if self.open.is_some() => {
                link.send(&Event::audio_chunk(self.rate.hz(), &samples)).await
            }
            SttInput::End(segment) if self.open == Some(segment) => {
                self.open = None;
                link.send(&Event::new("audio-stop")).await
            }
            // Input of a segment whose beginning was not recognised.
            SttInput::Audio(_) | SttInput::End(_) => Ok(()),
        }
    }

    async fn on_event(&mut self, event: &Event) {
        let text = event.text("text").to_owned();
        match event.kind.as_str() {
            "transcript-partial" => {
                if let Some(&segment) = self.owed.front() {
                    self.send_result(SttOutput::Partial { segment, text }).await;
                }
            }
            "transcript" => {
                if let Some(segment) = self.owed.pop_front() {
                    let unrecognised = event.flag("unrecognised");
                    self.send_result(SttOutput::Final { segment, text, unrecognised }).await;
                }
            }
            "error" => {
                let error = refusal(event);
                tracing::warn!(%error, "the recogniser refused a segment");
                let owed = self.owed.pop_front();
                // A language that it does not support would be refused again.
                let silent = |segment| SttOutput::Final { segment, text: String::new(), unrecognised: false };
                if let SpeechError::Unsupported(text) = error {
                    self.shared.report(ProviderState::Unsupported(text)).await;
                    if let Some(segment) = owed {
                        self.send_result(silent(segment)).await;
                    }
                } else if let Some(segment) = owed {
                    self.send_result(SttOutput::Missed { segment, begun: true }).await;
                }
            }
            _ => {}
        }
    }

    /// Reports the unfinished segments of a broken link as missed.
    async fn report_missed(&mut self) {
        self.open = None;
        while let Some(segment) = self.owed.pop_front() {
            self.send_result(SttOutput::Missed { segment, begun: true }).await;
        }
    }

    /// Sends a result. If the pipeline has ended, it will close the input next.
    async fn send_result(&self, output: SttOutput) {
        if self.outputs.send(output).await.is_err() {
            tracing::debug!("a result came after the pipeline's end");
        }
    }
}
