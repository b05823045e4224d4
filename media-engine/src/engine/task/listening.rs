//! Consumers of a call's audio that its settings ask for: its recording and its translation.

use super::CallTask;
use crate::call::Input;
use crate::engine::command::CommandError;
use crate::engine::consumers::{FromTranslation, Translation, listeners, side};
use crate::engine::event::{EventKind, LegRole};
use crate::engine::leg::Leg;
use crate::speech::pipeline::{PlayChunk, PlayOrder};
use crate::translate::{Listener, ListenerPatch, Speaker};
use crate::worker::WorkerCommand;

impl CallTask {
    /// Starts the recording and translation that the settings ask for, on the legs that are heard; a recording starts with the
    /// first of them.
    pub(super) fn listen(&mut self) {
        self.listens = true;
        self.record_by_settings();
        let wanted = self.settings.live_translate || self.settings.transcribe;
        // Announcements before a direct call's answer are translated too.
        let is_on = self.call.is_talking() || self.topology.floor().count() == 1;
        if wanted && is_on && self.translation.is_none() && !self.record_app {
            self.translation = Some(Translation::start(&self.shared, &self.settings, self.id));
        }
        self.attend();
    }

    /// Moves the translation to the current speakers and listeners.
    pub(super) fn follow_speakers(&mut self) {
        if self.listens {
            self.listen();
        }
    }

    fn attend(&mut self) {
        const ROLES: [LegRole; 2] = [LegRole::Customer, LegRole::Agent];
        let speakers = ROLES.map(|role| self.speaker(role));
        let listeners = ROLES.map(|role| self.listener(role));
        let Some(translation) = &mut self.translation else { return };
        // Sound of a new source is heard only if its side is.
        let is_heard = speakers.map(|speaker| speaker.is_some());
        translation.set_presence(is_heard, listeners);
        for (role, media) in ROLES.into_iter().zip(speakers) {
            if let Some(media) = media {
                translation.follow(&self.worker, side(role), media);
            }
        }
    }

    /// Reports words of the translation, or passes its voice on.
    pub(super) fn on_translation(&mut self, next: FromTranslation) {
        match next {
            FromTranslation::Words(words) => self.shared.tell(Some(self.id), EventKind::Translation(words)),
            FromTranslation::Play(PlayOrder::Chunk(chunk)) => self.play_translation(chunk),
            FromTranslation::Play(PlayOrder::Stop { listener, clause }) => {
                // The leg that hears it may have left the conversation meanwhile.
                let of_side = self.legs.iter().filter(|leg| side(leg.role) == listener);
                for leg in of_side.filter_map(Leg::media) {
                    self.media_command(WorkerCommand::StopPlay { leg, segment: Some(clause) });
                }
            }
            FromTranslation::Play(PlayOrder::Listeners(listeners)) => self.on_listeners(listeners),
            FromTranslation::Over => {
                tracing::error!(call = %self.id, "the translation of the call has failed: only the original is heard");
                metrics::counter!("tandem_translation_failures_total").increment(1);
                if let Some(listeners) = self.translation.as_mut().map(Translation::end) {
                    self.on_listeners(listeners);
                }
            }
        }
    }

    /// Reports how each side listens, and lets it hear the original or not.
    fn on_listeners(&mut self, listeners: [Listener; 2]) {
        if self.settings.live_translate {
            self.shared.tell(Some(self.id), EventKind::Listening(listeners.clone()));
        }
        if let Some(translation) = &mut self.translation {
            translation.listen(listeners);
        }
        self.hear(self.topology.clone());
    }

    /// Changes how the sides of a translated call listen, also before its translation begins. Returns how they do.
    pub(super) async fn change_listening(
        &mut self,
        patches: [ListenerPatch; 2],
    ) -> Result<[Listener; 2], CommandError> {
        if !self.settings.live_translate {
            return Err(CommandError::Conflict("the call is not translated".into()));
        }
        self.apply_listening(patches).await
    }

    /// Does the same, also in a call that is only transcribed.
    async fn apply_listening(&mut self, patches: [ListenerPatch; 2]) -> Result<[Listener; 2], CommandError> {
        let Some(translation) = &self.translation else {
            self.choose_listening(patches);
            return Ok(listeners(&self.settings));
        };
        let ended = |_| CommandError::Conflict("the translation of the call has ended".into());
        translation.change_listening(patches)?.await.map_err(ended)
    }

    /// Sets how the sides will listen when the translation begins.
    fn choose_listening(&mut self, patches: [ListenerPatch; 2]) {
        let mut both = listeners(&self.settings);
        both.iter_mut().zip(patches).for_each(|(listener, patch)| listener.apply(patch));
        let [customer, agent] = both;
        self.settings.hears = [customer.hears, agent.hears];
        (self.settings.translate_from, self.settings.translate_to) = (customer.language, agent.language);
    }

    /// Sets the language that the side of a leg with this role speaks and hears when the call is translated or transcribed.
    pub(super) async fn set_language(&mut self, role: LegRole, language: String) {
        let mut patches = [ListenerPatch::default(), ListenerPatch::default()];
        patches[side(role) as usize].language = Some(language);
        if let Err(error) = self.apply_listening(patches).await {
            tracing::error!(call = %self.id, %error, "the language of a party was not changed");
        }
    }

    /// Returns whether the leg hears translations in place of the leg that it is bridged with.
    pub(super) fn hears_no_original(&self, role: LegRole) -> bool {
        self.translation.as_ref().is_some_and(|translation| translation.replaces_original(side(role)))
    }

    fn play_translation(&mut self, PlayChunk { listener, clause, rate, samples, last }: PlayChunk) {
        let role = match listener {
            Speaker::Customer => LegRole::Customer,
            Speaker::Agent => LegRole::Agent,
        };
        match self.listener(role) {
            Some(leg) => self.media_command(WorkerCommand::Play { leg, segment: clause, rate, samples, last }),
            // Speech for a listener that was set aside meanwhile is dropped.
            None => {
                if let Some(translation) = self.translation.as_ref().filter(|_| last) {
                    translation.played(listener, clause);
                }
            }
        }
    }

    /// Starts the one recording that the settings or the application ask for, as soon as a leg is heard.
    fn record_by_settings(&mut self) {
        let wanted = self.settings.record || (self.record_app && self.settings.record_app);
        let is_anybody_heard = || self.legs.iter().any(|leg| self.topology.is_heard(leg.id));
        let input = Input::Record { leg: None, heard: self.settings.record_heard };
        if wanted && !self.is_recorded && is_anybody_heard() && self.call.check(&input).is_ok() {
            self.is_recorded = true;
            self.pending.push_back(input);
        }
    }
}
