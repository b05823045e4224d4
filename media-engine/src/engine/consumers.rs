//! What listens to a call's audio: recording, recognition and translation.
//!
//! ```text
//! customer leg ─ tap ─▶ Pipeline en→es ─ speech ─▶ agent leg
//! agent leg    ─ tap ─▶ Pipeline es→en ─ speech ─▶ customer leg      (and the agent's typed text)
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use codecs::SampleRate;
use tokio::sync::mpsc;

use super::command::CommandError;
use super::{CallSettings, LegRole, Shared};
use crate::audio::tap;
use crate::record_io::{AGENT_CHANNEL, CUSTOMER_CHANNEL, Recorded, Recording};
use crate::speech::pipeline::{self, Pipeline, PipelineParams, PlayChunk};
use crate::translate::TranslationEvent;
use crate::units::{CallId, LegId};
use crate::worker::{Worker, WorkerCommand};

/// Frames of 20 ms that a tap may hold: one second for recognition.
const SPEECH_TAP: usize = 50;
/// Four seconds for the recorder, whose disk may pause.
const RECORD_TAP: usize = 200;
/// Pieces of synthesised speech that may wait for a listener.
const PLAY_CHUNKS: usize = 256;
/// Translation events that may wait for the call's task.
const TRANSLATIONS: usize = 256;

/// Speech on its way to a listener.
pub(super) struct Spoken {
    /// Who hears it.
    pub(super) listener: LegRole,
    pub(super) chunk: PlayChunk,
}

/// Recognition and translation of one call.
pub(super) struct Translation {
    customer: Pipeline,
    agent: Pipeline,
    to_agent: mpsc::Receiver<PlayChunk>,
    to_customer: mpsc::Receiver<PlayChunk>,
    events: mpsc::Receiver<TranslationEvent>,
}

/// What a running translation gives next.
pub(super) enum FromTranslation {
    Words(TranslationEvent),
    Speech(Spoken),
}

impl Translation {
    /// Starts both directions. A leg without media yet is not listened to.
    pub(super) fn start(
        shared: &Shared,
        worker: &Worker,
        settings: &CallSettings,
        customer: Option<LegId>,
        agent: Option<LegId>,
    ) -> Translation {
        let (events_in, events) = mpsc::channel(TRANSLATIONS);
        let (to_agent_in, to_agent) = mpsc::channel(PLAY_CHUNKS);
        let (to_customer_in, to_customer) = mpsc::channel(PLAY_CHUNKS);
        let segments = Arc::new(AtomicU64::new(1));
        let start = |name: &'static str, source: &str, target: &str, leg: Option<LegId>, playout| {
            let params = PipelineParams {
                leg_name: name,
                source_language: source.to_owned(),
                target_language: target.to_owned(),
                translate: settings.live_translate,
                voice: settings.live_translate && settings.voice_to_voice,
                first_segment: segments.clone(),
            };
            let reader = leg.and_then(|leg| listen(worker, leg, SPEECH_TAP));
            pipeline::start(params, reader, shared.providers.clone(), playout, events_in.clone())
        };
        let (from, to) = (settings.translate_from.as_str(), settings.translate_to.as_str());
        Translation {
            customer: start("customer", from, to, customer, to_agent_in),
            agent: start("agent", to, from, agent, to_customer_in),
            to_agent,
            to_customer,
            events,
        }
    }

    /// The next words or speech; `None` when both directions have ended.
    pub(super) async fn next(&mut self) -> Option<FromTranslation> {
        tokio::select! {
            Some(words) = self.events.recv() => Some(FromTranslation::Words(words)),
            Some(chunk) = self.to_agent.recv() => {
                Some(FromTranslation::Speech(Spoken { listener: LegRole::Agent, chunk }))
            }
            Some(chunk) = self.to_customer.recv() => {
                Some(FromTranslation::Speech(Spoken { listener: LegRole::Customer, chunk }))
            }
            else => None,
        }
    }

    /// Translates and speaks what the agent typed.
    pub(super) fn say(&self, text: String) -> Result<(), CommandError> {
        self.agent.say(text).map_err(|_| CommandError::Busy("too many sentences are waiting"))
    }

    /// A listener's leg began to play a segment.
    pub(super) fn play_started(&self, listener: LegRole, segment: u64, at: std::time::Instant) {
        match listener {
            LegRole::Agent => self.customer.play_started(segment, at),
            LegRole::Customer => self.agent.play_started(segment, at),
        }
    }

    /// Finalises open segments, and gives the last words.
    pub(super) async fn stop(mut self) -> Vec<TranslationEvent> {
        tokio::join!(self.customer.stop(), self.agent.stop());
        let mut last = Vec::new();
        while let Ok(words) = self.events.try_recv() {
            last.push(words);
        }
        last
    }
}

/// Begins a recording in the call's file and listens to the legs that are up.
pub(super) fn record(shared: &Shared, call: CallId, rate: SampleRate) -> Result<Recording, String> {
    let path = shared.config.record_dir.join(format!("{call}.wav"));
    shared.recorder.begin(&path, rate, crate::net::clock::now()).map_err(|error| error.to_string())
}

/// Adds a leg to a recording.
pub(super) fn record_leg(recording: &Recording, worker: &Worker, leg: LegId, role: LegRole) -> Result<(), String> {
    let channel = match role {
        LegRole::Customer => CUSTOMER_CHANNEL,
        LegRole::Agent => AGENT_CHANNEL,
    };
    let reader = listen(worker, leg, RECORD_TAP).ok_or("the media worker is overloaded")?;
    recording.attach(channel, reader).map_err(|error| error.to_string())
}

/// Seals a recording; a writer that hangs on its disk is not waited for longer than 2 s.
pub(super) async fn finish(recording: Recording) -> Recorded {
    let path = recording.path().to_owned();
    match tokio::time::timeout(Duration::from_secs(2), recording.finish()).await {
        Ok(recorded) => recorded,
        Err(_) => Recorded { path, duration_ms: 0, interrupted: Some("the disk did not answer within 2 s".into()) },
    }
}

fn listen(worker: &Worker, leg: LegId, frames: usize) -> Option<tap::TapReader> {
    let (tap, reader) = tap::tap(frames);
    worker.send(WorkerCommand::Tap { leg, tap }).ok().map(|()| reader)
}
