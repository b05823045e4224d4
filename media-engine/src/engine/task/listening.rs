//! What listens to a call: its recording, its translation.

use codecs::SampleRate;

use super::CallTask;
use crate::call::Side;
use crate::engine::consumers::{self, Translation};
use crate::engine::event::{EventKind, LegRole, RecordingState};

impl CallTask {
    /// Starts what the settings ask for, on the legs that are up; called again when the second leg joins.
    pub(super) fn listen(&mut self) {
        if self.settings.record || (self.record_app && self.settings.record_app) {
            self.record();
        }
        let wanted = self.settings.live_translate || self.settings.transcribe;
        if wanted && self.call.is_talking() && self.translation.is_none() && !self.record_app {
            let customer = self.leg_of(LegRole::Customer).media();
            let agent = self.leg_of(LegRole::Agent).media();
            let translation = Translation::start(&self.shared, &self.worker, &self.settings, customer, agent);
            self.translation = Some(translation);
        }
    }

    /// Whoever stands on this side now is translated as the one before was.
    pub(super) fn listen_to_successor(&mut self, side: Side) {
        let (role, media) = (self.leg(side).role, self.leg(side).media());
        if let Some(translation) = &mut self.translation {
            translation.follow(&self.shared, &self.worker, &self.settings, role, media);
        }
    }

    fn record(&mut self) {
        let fresh = self.recording.is_none();
        if fresh {
            let wide = [&self.first, &self.second].iter().any(|leg| leg.codec == Some("opus"));
            let rate = if wide { SampleRate::HZ_16000 } else { SampleRate::HZ_8000 };
            match consumers::record(&self.shared, self.id, rate) {
                Ok(recording) => self.recording = Some(recording),
                Err(note) => return self.tell_recording(RecordingState::Interrupted(note), 0),
            }
            self.tell_recording(RecordingState::Started, 0);
        }
        let Some(recording) = &self.recording else { return };
        for leg in [&mut self.first, &mut self.second] {
            let Some(media) = leg.media().filter(|_| !leg.recorded) else { continue };
            match consumers::record_leg(recording, &self.worker, media, leg.role) {
                Ok(()) => leg.recorded = true,
                Err(note) => tracing::error!(call = %self.id, leg = %leg.id, note, "leg is not recorded"),
            }
        }
    }

    pub(super) fn tell_recording(&self, state: RecordingState, duration_ms: u64) {
        let path = self.shared.config.record_dir.join(format!("{}.wav", self.id));
        self.shared.tell(Some(self.id), EventKind::Recording { path, state, duration_ms });
    }
}
