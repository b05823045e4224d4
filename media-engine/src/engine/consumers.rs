//! Consumers of a call's audio: recording, recognition and translation.
//!
//! ```text
//! customer leg ─ tap ─▶ Pipeline en→es ─ speech ─▶ agent leg
//! agent leg    ─ tap ─▶ Pipeline es→en ─ speech ─▶ customer leg      (and the agent's typed text)
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

use super::command::CommandError;
use super::{CallSettings, LegRole, Shared};
use crate::audio::tap;
use crate::record_io::{Joining, Side};
use crate::speech::pipeline::{self, Pipeline, PipelineParams, PlayChunk};
use crate::translate::TranslationEvent;
use crate::units::LegId;
use crate::worker::{Worker, WorkerRequest};

/// Capacity of a tap for recognition, in frames of 20 ms: one second.
const SPEECH_TAP: usize = 50;
/// Capacity of a tap for the recorder, whose disk may pause: four seconds.
const RECORD_TAP: usize = 200;
/// Number of pieces of synthesised speech that may wait for a listener.
const PLAY_CHUNKS: usize = 256;
/// Number of translation events that may wait for the call's task.
const TRANSLATIONS: usize = 256;

/// Speech on its way to a listener.
pub(super) struct Spoken {
    /// Role of the leg that hears it.
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
    ends: Ends,
    /// Media that the customer's and the agent's words come from.
    speakers: [Option<LegId>; 2],
}

/// Channels and counters that the pipelines of a call share, whoever speaks.
struct Ends {
    events: mpsc::Sender<TranslationEvent>,
    to_agent: mpsc::Sender<PlayChunk>,
    to_customer: mpsc::Sender<PlayChunk>,
    /// Number of the next segment; segments are numbered through the whole call.
    segments: Arc<AtomicU64>,
}

/// Next output of a running translation.
pub(super) enum FromTranslation {
    Words(TranslationEvent),
    Speech(Spoken),
}

impl Ends {
    /// Starts the direction of one speaker. A leg without media has no tap yet.
    fn start(
        &self,
        shared: &Shared,
        worker: &Worker,
        settings: &CallSettings,
        speaker: LegRole,
        leg: Option<LegId>,
    ) -> Pipeline {
        let (from, to) = (settings.translate_from.clone(), settings.translate_to.clone());
        let (leg_name, source_language, target_language, playout) = match speaker {
            LegRole::Customer => ("customer", from, to, &self.to_agent),
            LegRole::Agent | LegRole::Supervisor => ("agent", to, from, &self.to_customer),
        };
        let params = PipelineParams {
            leg_name,
            source_language,
            target_language,
            translate: settings.live_translate,
            voice: settings.live_translate && settings.voice_to_voice,
            first_segment: self.segments.clone(),
        };
        let reader = leg.and_then(|leg| listen(worker, leg, SPEECH_TAP));
        pipeline::start(params, reader, shared.providers.clone(), playout.clone(), self.events.clone())
    }
}

impl Translation {
    /// Starts both directions, with the media that the customer's and the agent's words come from, if it exists.
    pub(super) fn start(
        shared: &Shared,
        worker: &Worker,
        settings: &CallSettings,
        speakers: [Option<LegId>; 2],
    ) -> Translation {
        let [customer, agent] = speakers;
        let (events_in, events) = mpsc::channel(TRANSLATIONS);
        let (to_agent_in, to_agent) = mpsc::channel(PLAY_CHUNKS);
        let (to_customer_in, to_customer) = mpsc::channel(PLAY_CHUNKS);
        let segments = Arc::new(AtomicU64::new(1));
        let ends = Ends { events: events_in, to_agent: to_agent_in, to_customer: to_customer_in, segments };
        Translation {
            customer: ends.start(shared, worker, settings, LegRole::Customer, customer),
            agent: ends.start(shared, worker, settings, LegRole::Agent, agent),
            to_agent,
            to_customer,
            events,
            ends,
            speakers,
        }
    }

    /// Makes this media the speaker's from now on; words from the previous media are finished meanwhile.
    pub(super) fn follow(
        &mut self,
        shared: &Shared,
        worker: &Worker,
        settings: &CallSettings,
        speaker: LegRole,
        media: LegId,
    ) {
        let known = match speaker {
            LegRole::Customer => &mut self.speakers[0],
            LegRole::Agent | LegRole::Supervisor => &mut self.speakers[1],
        };
        if known.replace(media) == Some(media) {
            return;
        }
        let next = self.ends.start(shared, worker, settings, speaker, Some(media));
        let pipeline = match speaker {
            LegRole::Customer => &mut self.customer,
            LegRole::Agent | LegRole::Supervisor => &mut self.agent,
        };
        let before = std::mem::replace(pipeline, next);
        tokio::spawn(async move { before.stop().await });
    }

    /// Returns the next words or speech; `None` when both directions have ended.
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

    /// Translates and speaks the text that the agent typed.
    pub(super) fn say(&self, text: String) -> Result<(), CommandError> {
        self.agent.say(text).map_err(|_| CommandError::Busy("too many sentences are waiting"))
    }

    /// Reports that a listener's leg has started to play a segment.
    pub(super) fn play_started(&self, listener: LegRole, segment: u64, at: std::time::Instant) {
        match listener {
            LegRole::Agent | LegRole::Supervisor => self.customer.play_started(segment, at),
            LegRole::Customer => self.agent.play_started(segment, at),
        }
    }

    /// Finalises open segments, and returns the last words.
    pub(super) async fn stop(mut self) -> Vec<TranslationEvent> {
        tokio::join!(self.customer.stop(), self.agent.stop());
        let mut last = Vec::new();
        while let Ok(words) = self.events.try_recv() {
            last.push(words);
        }
        last
    }
}

/// Returns the tap of a leg that is to be recorded.
pub(super) fn record_leg(worker: &Worker, (leg, media): (LegId, LegId), role: LegRole) -> Result<Joining, String> {
    let side = match role {
        LegRole::Customer => Side::Customer,
        LegRole::Agent | LegRole::Supervisor => Side::Agent,
    };
    let tap = listen(worker, media, RECORD_TAP).ok_or("the media worker is overloaded")?;
    Ok(Joining { leg, side, tap })
}

/// Opens a tap on a leg's incoming audio.
pub(super) fn listen(worker: &Worker, leg: LegId, frames: usize) -> Option<tap::TapReader> {
    let (tap, reader) = tap::tap(frames);
    worker.send(WorkerRequest::Tap { leg, tap }).ok().map(|()| reader)
}
