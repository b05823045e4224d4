//! Consumers of a call's audio: recording, recognition and translation.
//!
//! ```text
//! customer leg ─ tap ─▶ Pipeline ─ voice of en→es ─▶ agent leg
//! agent leg    ─ tap ─▶    │     ─ voice of es→en ─▶ customer leg      (and of the agent's typed text)
//!                          └ words ─▶ events
//! ```

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::command::CommandError;
use super::{CallSettings, LegRole, Shared};
use crate::audio::tap::{self, TapPoint, TapReader};
use crate::record_io::{Joining, Side};
use crate::speech::pipeline::{self, Clock, Pipeline, PipelineParams, PlayOrder, SideTaps};
use crate::translate::schedule::Level;
use crate::translate::{Listener, ListenerPatch, Presence, Speaker, TranslationEvent};
use crate::units::{CallId, LegId};
use crate::worker::{Worker, WorkerRequest};

/// Capacity of a tap for recognition, in frames of 20 ms: one second.
const SPEECH_TAP: usize = 50;
/// Capacity of a tap for the recorder, whose disk may pause: four seconds.
const RECORD_TAP: usize = 200;
/// Number of pieces of synthesised speech that may wait for the listeners.
const PLAY_ORDERS: usize = 1_024;
/// Number of translation events that may wait for the call's task.
const TRANSLATIONS: usize = 256;

/// Recognition and translation of one call.
pub(super) struct Translation {
    pipeline: Pipeline,
    orders: mpsc::Receiver<PlayOrder>,
    events: mpsc::Receiver<TranslationEvent>,
    /// Media that the words of each side come from.
    sources: [Option<LegId>; 2],
    /// Legs that each side is spoken to on.
    listeners: [Option<LegId>; 2],
    presence: [Presence; 2],
    /// How each side listens, as last reported.
    listening: [Listener; 2],
    is_over: bool,
}

/// Next output of a running translation.
pub(super) enum FromTranslation {
    Words(TranslationEvent),
    Play(PlayOrder),
    /// The pipeline's task has ended before the call has.
    Over,
}

impl Translation {
    /// Starts the translation of a call in which no one is heard yet.
    pub(super) fn start(shared: &Shared, settings: &CallSettings, call: CallId) -> Translation {
        let (events_in, events) = mpsc::channel(TRANSLATIONS);
        let (orders_in, orders) = mpsc::channel(PLAY_ORDERS);
        let listening = listeners(settings);
        let params = PipelineParams {
            listeners: listening.clone(),
            translate: settings.live_translate,
            budget: settings.budget,
            glossary: Arc::clone(&settings.glossary),
            clock: Clock::real(),
        };
        let span = tracing::info_span!("translation", %call);
        let pipeline = span.in_scope(|| pipeline::start(params, shared.providers.clone(), orders_in, events_in));
        Translation {
            pipeline,
            orders,
            events,
            sources: [None; 2],
            listeners: [None; 2],
            presence: Default::default(),
            listening,
            is_over: false,
        }
    }

    /// Makes this media the source of a side's words from now on; see [`Pipeline::follow`].
    pub(super) fn follow(&mut self, worker: &Worker, speaker: Speaker, media: LegId) {
        let source = &mut self.sources[speaker as usize];
        if *source != Some(media)
            && let Some(speech) = listen(worker, media, SPEECH_TAP)
            && let Some(hearing) = open_tap(worker, media, TapPoint::Hearing, SPEECH_TAP)
            && self.pipeline.follow(speaker, SideTaps { speech, hearing: Some(hearing) })
        {
            *source = Some(media);
        }
    }

    /// Sets which sides are heard, and the legs on which they are spoken to, customer first.
    pub(super) fn set_presence(&mut self, is_heard: [bool; 2], listeners: [Option<LegId>; 2]) {
        let of = |side: usize| Presence { is_heard: is_heard[side], is_spoken_to: listeners[side].is_some() };
        let presence = [of(0), of(1)];
        for next in [without_successors(presence, self.listeners, listeners), presence] {
            if self.presence != next && self.pipeline.set_presence(next) {
                self.presence = next;
            }
        }
        self.listeners = listeners;
    }

    /// Returns the next words or orders.
    pub(super) async fn next(&mut self) -> FromTranslation {
        if self.is_over {
            return std::future::pending().await;
        }
        tokio::select! {
            Some(words) = self.events.recv() => FromTranslation::Words(words),
            Some(order) = self.orders.recv() => FromTranslation::Play(order),
            else => FromTranslation::Over,
        }
    }

    /// Notes how each side listens from now on.
    pub(super) fn listen(&mut self, listening: [Listener; 2]) {
        self.listening = listening;
    }

    /// Notes that nothing is translated any more. Returns how each side listens from now on.
    pub(super) fn end(&mut self) -> [Listener; 2] {
        self.is_over = true;
        self.listening.clone().map(|listener| Listener { level: Level::Original, ..listener })
    }

    /// Returns whether a side hears translations in place of the original.
    pub(super) fn replaces_original(&self, listener: Speaker) -> bool {
        self.listening[listener as usize].replaces(&self.listening[listener.other() as usize])
    }

    /// Changes how the sides listen; the receiver gets the result.
    pub(super) fn change_listening(
        &self,
        patches: [ListenerPatch; 2],
    ) -> Result<oneshot::Receiver<[Listener; 2]>, CommandError> {
        if self.is_over {
            return Err(CommandError::Conflict("the translation of the call has ended".into()));
        }
        self.pipeline.listening(patches).map_err(|_| CommandError::Busy("too many orders are waiting"))
    }

    /// Translates and speaks the text that the agent typed.
    pub(super) fn say(&self, text: String) -> Result<(), CommandError> {
        self.pipeline.say(text).map_err(|_| CommandError::Busy("too many sentences are waiting"))
    }

    /// Reports that a listener's leg has started to play a clause.
    pub(super) fn play_started(&self, clause: u64, at: Instant) {
        self.pipeline.play_started(clause, at);
    }

    /// Reports that a listener's leg has played a clause, or that there is no such leg.
    pub(super) fn played(&self, listener: Speaker, clause: u64) {
        self.pipeline.played(listener, clause);
    }

    /// Finalises open segments, and returns the last words.
    pub(super) async fn stop(mut self) -> Vec<TranslationEvent> {
        self.pipeline.stop().await;
        let mut last = Vec::new();
        while let Ok(words) = self.events.try_recv() {
            last.push(words);
        }
        last
    }
}

/// Returns how the sides of a call listen before anything is translated.
pub(super) fn listeners(settings: &CallSettings) -> [Listener; 2] {
    let [customer, agent] = settings.hears;
    [Listener::new(&settings.translate_from, customer), Listener::new(&settings.translate_to, agent)]
}

/// Returns the presence without sides whose leg has changed: a successor does not hear what was meant for the leg before it.
fn without_successors(
    presence: [Presence; 2],
    before: [Option<LegId>; 2],
    listeners: [Option<LegId>; 2],
) -> [Presence; 2] {
    let mut without = presence;
    for ((side, before), now) in without.iter_mut().zip(before).zip(listeners) {
        side.is_spoken_to &= before.is_none() || before == now;
    }
    without
}

/// Returns the side of a call on which a leg of this role speaks.
pub(super) fn side(role: LegRole) -> Speaker {
    match role {
        LegRole::Customer => Speaker::Customer,
        LegRole::Agent | LegRole::Supervisor => Speaker::Agent,
    }
}

/// Returns the taps of a leg that is to be recorded. `heard`: what it hears is recorded too.
pub(super) fn record_leg(
    worker: &Worker,
    (leg, media): (LegId, LegId),
    role: LegRole,
    heard: bool,
) -> Result<Joining, String> {
    let side = match role {
        LegRole::Customer => Side::Customer,
        LegRole::Agent | LegRole::Supervisor => Side::Agent,
    };
    let tap = |point| open_tap(worker, media, point, RECORD_TAP).ok_or("the media worker is overloaded");
    let said = tap(TapPoint::Speech)?;
    let heard = heard.then(|| tap(TapPoint::Hearing)).transpose()?;
    Ok(Joining { leg, side, said, heard })
}

/// Opens a tap on a leg's incoming audio.
pub(super) fn listen(worker: &Worker, leg: LegId, frames: usize) -> Option<TapReader> {
    open_tap(worker, leg, TapPoint::Speech, frames)
}

fn open_tap(worker: &Worker, leg: LegId, point: TapPoint, frames: usize) -> Option<TapReader> {
    let (tap, reader) = tap::tap(frames);
    worker.send(WorkerRequest::Tap { leg, point, tap }).ok().map(|()| reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_side_whose_leg_was_replaced_is_not_spoken_to_in_between() {
        let [customer, old, new] = [1, 2, 3].map(|id| Some(LegId(id)));
        let spoken_to =
            |before, now| without_successors([Presence::JOINED; 2], before, now).map(|presence| presence.is_spoken_to);
        assert_eq!(spoken_to([customer, old], [customer, new]), [true, false]);
        assert_eq!(spoken_to([customer, old], [customer, old]), [true, true]);
        assert_eq!(spoken_to([None, None], [customer, old]), [true, true], "the first leg is no successor");
        let heard = without_successors([Presence::JOINED; 2], [customer, old], [customer, new]);
        assert!(heard.iter().all(|presence| presence.is_heard));
    }
}
