//! Consumers of a call's audio that its settings ask for: its recording and its translation.

use super::CallTask;
use crate::call::Input;
use crate::engine::consumers::Translation;
use crate::engine::event::LegRole;

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
            let speakers = [LegRole::Customer, LegRole::Agent].map(|role| self.speaker(role));
            self.translation = Some(Translation::start(&self.shared, &self.worker, &self.settings, speakers));
        }
    }

    /// Moves the translation to the current speakers.
    pub(super) fn follow_speakers(&mut self) {
        if self.listens {
            self.listen();
        }
        for role in [LegRole::Customer, LegRole::Agent] {
            let speaker = self.speaker(role);
            if let (Some(translation), Some(media)) = (&mut self.translation, speaker) {
                translation.follow(&self.shared, &self.worker, &self.settings, role, media);
            }
        }
    }

    /// Starts the one recording that the settings or the application ask for, as soon as a leg is heard.
    fn record_by_settings(&mut self) {
        let wanted = self.settings.record || (self.record_app && self.settings.record_app);
        let is_anybody_heard = || self.legs.iter().any(|leg| self.topology.is_heard(leg.id));
        let input = Input::Record { leg: None };
        if wanted && !self.is_recorded && is_anybody_heard() && self.call.check(&input).is_ok() {
            self.is_recorded = true;
            self.pending.push_back(input);
        }
    }
}
