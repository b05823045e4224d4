//! Sounds that are played into a call: tones, texts, samples.
//!
//! ```text
//! play ─┬─ samples, tone ──────────────────▶ worker: Play to each listener ─ PlayStarted, PlayDone ─▶ reported
//!       └─ text ─▶ synthesiser ─ on_spoken ─▶ the same, or Failed
//! stop, a key, a listener that is set aside or leaves ─▶ worker: StopPlay ─ PlayDone ─▶ reported as stopped
//! ```
//!
//! Invariant: the end of every play that was started is reported exactly once. Not here: digits that are collected after a prompt
//! (`gathers`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use codecs::SampleRate;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::CallTask;
use crate::call::Place;
use crate::engine::command::CommandError;
use crate::engine::event::EventKind;
use crate::engine::leg::Leg;
use crate::engine::prompt::{self, GatherId, PlayId, PlayState, Sound};
use crate::units::LegId;
use crate::worker::WorkerCommand;

/// Number of plays that one call may have at once.
const PLAYS: usize = 16;
/// Segment numbers of our plays at the worker: clauses of a translation count from 0, key tones have the highest number.
const SEGMENTS: u64 = 1 << 63;

/// Plays in progress.
pub(super) struct Prompts {
    playing: Vec<Playing>,
    spoken_in: mpsc::Sender<Spoken>,
    spoken: mpsc::Receiver<Spoken>,
}

struct Playing {
    id: PlayId,
    legs: Vec<LegId>,
    /// Media that has not played all of it.
    waiting: Vec<LegId>,
    /// A listener has heard its beginning.
    started: bool,
    /// It was stopped before its end.
    cut: bool,
    /// Owner that receives its reports.
    owner: Owner,
    /// Synthesiser task that makes its samples.
    synthesis: Option<AbortHandle>,
}

/// Owner of a play or collection, which receives its reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A verb: reports are sent as events of the call.
    Verb,
    /// The call's program, which reports its steps itself.
    Program,
    /// The answer to a call assistant.
    Screening,
}

/// Result of the synthesis of a text.
pub(super) struct Spoken {
    play: PlayId,
    result: Result<(SampleRate, Arc<[i16]>), String>,
}

impl Prompts {
    pub(super) fn new() -> Prompts {
        let (spoken_in, spoken) = mpsc::channel(PLAYS);
        Prompts { playing: Vec::new(), spoken_in, spoken }
    }

    /// Returns the next result of a synthesis.
    pub(super) async fn next(&mut self) -> Option<Spoken> {
        self.spoken.recv().await
    }

    /// Returns whether the play is in progress.
    pub(super) fn is_playing(&self, id: PlayId) -> bool {
        self.playing.iter().any(|playing| playing.id == id)
    }

    fn find(&mut self, id: PlayId) -> Option<&mut Playing> {
        self.playing.iter_mut().find(|playing| playing.id == id)
    }

    fn ids(&self) -> Vec<PlayId> {
        self.playing.iter().map(|playing| playing.id).collect()
    }
}

impl Drop for Playing {
    /// Aborts the synthesis of a text that is no longer wanted.
    fn drop(&mut self) {
        if let Some(synthesis) = self.synthesis.take() {
            synthesis.abort();
        }
    }
}

impl CallTask {
    /// Plays a sound to one leg, or to all legs in the conversation.
    pub(super) fn play(&mut self, leg: Option<LegId>, sound: Sound, owner: Owner) -> Result<PlayId, CommandError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        sound.check()?;
        let legs = match leg {
            Some(leg) => {
                self.call.check_connected(leg)?;
                vec![leg]
            }
            None => self.listeners(),
        };
        if legs.is_empty() {
            return Err(CommandError::Conflict("no leg could hear it: none is connected".into()));
        }
        if self.prompts.playing.len() >= PLAYS {
            return Err(CommandError::Busy("too many sounds are being played into this call"));
        }
        let id = PlayId(NEXT.fetch_add(1, Ordering::Relaxed));
        let mut playing = Playing { id, legs, waiting: Vec::new(), started: false, cut: false, owner, synthesis: None };
        match sound {
            Sound::Speech { text, language } => {
                playing.synthesis = Some(self.synthesise(id, text, language));
                self.prompts.playing.push(playing);
            }
            Sound::Tone { hz, duration_ms } => {
                self.prompts.playing.push(playing);
                let (rate, samples) = prompt::tone(&hz, duration_ms);
                self.begin_play(id, rate, &samples);
            }
            Sound::Samples { rate, samples } => {
                self.prompts.playing.push(playing);
                self.begin_play(id, rate, &samples);
            }
        }
        Ok(id)
    }

    /// Returns the legs that are in the conversation or with an application.
    fn listeners(&self) -> Vec<LegId> {
        let hears = |place: Place| place.is_on_floor() || matches!(place, Place::Scripted(_));
        let up = |leg: &LegId| self.call.check_connected(*leg).is_ok();
        self.topology.places().filter(|(_, place)| hears(*place)).map(|(leg, _)| leg).filter(up).collect()
    }

    fn synthesise(&self, play: PlayId, text: String, language: String) -> AbortHandle {
        let (tts, spoken) = (self.shared.providers.clone(), self.prompts.spoken_in.clone());
        let task = tokio::spawn(async move {
            let result = prompt::spoken(&tts, &text, &language).await;
            // An error means that the call has ended.
            let _ = spoken.send(Spoken { play, result }).await;
        });
        task.abort_handle()
    }

    /// Handles the result of a synthesis.
    pub(super) fn on_spoken(&mut self, spoken: Spoken) {
        let Spoken { play, result } = spoken;
        match result {
            Ok((rate, samples)) => self.begin_play(play, rate, &samples),
            Err(why) => {
                tracing::warn!(call = %self.id, play = play.0, why, "a prompt could not be spoken");
                self.end_play(play, PlayState::Failed(why));
            }
        }
    }

    fn begin_play(&mut self, id: PlayId, rate: SampleRate, samples: &Arc<[i16]>) {
        let Some(playing) = self.prompts.find(id) else { return };
        playing.synthesis = None;
        let listeners = playing.legs.clone();
        let waiting: Vec<LegId> = listeners.iter().filter_map(|leg| self.leg(*leg).and_then(Leg::media)).collect();
        for &leg in &waiting {
            let samples = Arc::clone(samples);
            self.media_command(WorkerCommand::Play { leg, segment: SEGMENTS | id.0, rate, samples, last: true });
        }
        match self.prompts.find(id) {
            Some(playing) if !waiting.is_empty() => playing.waiting = waiting,
            _ => self.end_play(id, PlayState::Stopped),
        }
    }

    /// Reports that the worker plays a segment to a leg; `false`: the segment is not a play.
    pub(super) fn on_play_started(&mut self, segment: u64, at: Instant) -> bool {
        let Some(id) = play_of(segment) else { return false };
        if let Some(playing) = self.prompts.find(id)
            && !std::mem::replace(&mut playing.started, true)
        {
            match playing.owner {
                Owner::Verb => {
                    let legs = playing.legs.clone();
                    self.shared.tell(Some(self.id), EventKind::Play { play: id, legs, state: PlayState::Started });
                }
                Owner::Program => self.message_started(id, at),
                Owner::Screening => {}
            }
        }
        true
    }

    /// Handles a segment that the worker has played to a leg or has dropped; `false`: the segment is not a play.
    pub(super) fn on_play_done(&mut self, media: LegId, segment: u64) -> bool {
        let Some(id) = play_of(segment) else { return segment & SEGMENTS != 0 };
        self.play_left(id, media);
        true
    }

    fn play_left(&mut self, id: PlayId, media: LegId) {
        let Some(playing) = self.prompts.find(id) else { return };
        playing.waiting.retain(|waiting| *waiting != media);
        if playing.waiting.is_empty() && playing.synthesis.is_none() {
            let state = if playing.cut { PlayState::Stopped } else { PlayState::Done };
            self.end_play(id, state);
        }
    }

    fn end_play(&mut self, id: PlayId, state: PlayState) {
        let Some(at) = self.prompts.playing.iter().position(|playing| playing.id == id) else { return };
        let mut playing = self.prompts.playing.swap_remove(at);
        let legs = std::mem::take(&mut playing.legs);
        match playing.owner {
            Owner::Verb => self.shared.tell(Some(self.id), EventKind::Play { play: id, legs, state }),
            Owner::Program => self.program_played(id, &state),
            Owner::Screening => self.reply_played(id),
        }
        self.on_prompt_over(id);
    }

    /// Stops one play, which fades out. `false`: it has ended or never existed.
    pub(super) fn stop_play(&mut self, id: PlayId) -> bool {
        let Some(playing) = self.prompts.find(id) else { return false };
        playing.cut = true;
        let waiting = playing.waiting.clone();
        if waiting.is_empty() {
            self.end_play(id, PlayState::Stopped);
        }
        for leg in waiting {
            self.media_command(WorkerCommand::StopPlay { leg, segment: Some(SEGMENTS | id.0) });
        }
        true
    }

    /// Stops all plays and collections, or only those that are named.
    pub(super) fn stop(&mut self, play: Option<PlayId>, gather: Option<GatherId>) -> Result<(), CommandError> {
        let unknown =
            |what| Err(CommandError::Conflict(format!("{what} with this number is in progress in this call")));
        match (play, gather) {
            (None, None) => {
                self.stop_gathers();
                for id in self.prompts.ids() {
                    self.stop_play(id);
                }
            }
            (play, gather) => {
                if gather.is_some_and(|id| !self.stop_gather(id)) {
                    return unknown("no collection of digits");
                }
                if play.is_some_and(|id| !self.stop_play(id)) {
                    return unknown("no play");
                }
            }
        }
        Ok(())
    }

    /// Marks the plays to this media as stopped before their end.
    pub(super) fn plays_are_cut(&mut self, media: LegId) {
        for playing in self.prompts.playing.iter_mut().filter(|playing| playing.waiting.contains(&media)) {
            playing.cut = true;
        }
    }

    /// Ends the plays to media that has gone.
    pub(super) fn plays_leave(&mut self, media: LegId) {
        self.plays_are_cut(media);
        for id in self.prompts.ids() {
            if self.prompts.find(id).is_some_and(|playing| playing.waiting.contains(&media)) {
                self.play_left(id, media);
            }
        }
    }

    /// Ends all plays, because the call has ended.
    pub(super) fn end_plays(&mut self) {
        for id in self.prompts.ids() {
            self.end_play(id, PlayState::Stopped);
        }
    }
}

/// Returns the play that a segment number of the worker stands for.
fn play_of(segment: u64) -> Option<PlayId> {
    (segment & SEGMENTS != 0 && segment != u64::MAX).then_some(PlayId(segment & !SEGMENTS))
}
