//! What listens to a call: its recording, its translation.

use std::time::{Duration, SystemTime};

use codecs::SampleRate;

use super::CallTask;
use crate::engine::consumers::{self, Translation};
use crate::engine::event::{EventKind, LegRole, RecordingState};
use crate::net::clock;
use crate::record_io::{PartReport, PartState, Recording};

/// How long the disk may take to seal a recording when its call is over.
const SEALING: Duration = Duration::from_secs(2);

impl CallTask {
    /// Starts what the settings ask for, on the legs that are heard; a recording begins with the first of them.
    pub(super) fn listen(&mut self) {
        self.listens = true;
        if self.settings.record || (self.record_app && self.settings.record_app) {
            self.record();
        }
        let wanted = self.settings.live_translate || self.settings.transcribe;
        // The announcements before a direct call's answer are words too.
        let is_on = self.call.is_talking() || self.topology.floor().count() == 1;
        if wanted && is_on && self.translation.is_none() && !self.record_app {
            let speakers = [LegRole::Customer, LegRole::Agent].map(|role| self.speaker(role));
            self.translation = Some(Translation::start(&self.shared, &self.worker, &self.settings, speakers));
        }
    }

    /// Whoever speaks now is recorded and translated as the one before was.
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

    fn record(&mut self) {
        if !self.legs.iter().any(|leg| self.topology.is_heard(leg.id)) {
            return;
        }
        if self.recording.is_none() {
            let wide = self.legs.iter().any(|leg| leg.codec == Some("opus"));
            let rate = if wide { SampleRate::HZ_16000 } else { SampleRate::HZ_8000 };
            let began = clock::system_now();
            match consumers::record(&self.shared, self.id, rate) {
                Ok(recording) => self.recording = Some(CallRecording { recording, began, open: None }),
                Err(note) => return self.tell_unrecorded(1, note, began),
            }
        }
        let Some(CallRecording { recording, .. }) = &self.recording else { return };
        for leg in self.legs.iter_mut().filter(|leg| !leg.recorded && self.topology.is_heard(leg.id)) {
            let Some(media) = leg.media() else { continue };
            match consumers::record_leg(recording, &self.worker, media, leg.role) {
                Ok(()) => leg.recorded = true,
                Err(note) => tracing::error!(call = %self.id, leg = %leg.id, note, "leg is not recorded"),
            }
        }
    }

    /// Tells what became of a part of the recording. A part begins when its first sample was, not when its file was made.
    pub(super) fn on_recorded(&mut self, report: PartReport) {
        let PartReport { part, path, state, offset, duration_ms } = report;
        let Some(recording) = &mut self.recording else { return };
        recording.open = (state == PartState::Started).then_some(part);
        let (state, at) = match state {
            PartState::Started => (RecordingState::Started, recording.began + offset),
            PartState::Finished => (RecordingState::Finished, clock::system_now()),
            PartState::Interrupted(note) => (RecordingState::Interrupted(note), clock::system_now()),
        };
        self.shared.tell_at(at, Some(self.id), EventKind::Recording { part, path, state, duration_ms });
    }

    /// Seals the recording and tells of its last parts. A writer that hangs on its disk is not waited for longer than 2 s.
    pub(super) async fn finish_recording(&mut self) {
        let Some(CallRecording { recording, .. }) = &mut self.recording else { return };
        let mut late = recording.finish().err().map(|error| error.to_string());
        let deadline = tokio::time::Instant::now() + SEALING;
        while let (None, Some(CallRecording { recording, .. })) = (&late, &mut self.recording) {
            match tokio::time::timeout_at(deadline, recording.report()).await {
                Ok(Some(report)) => self.on_recorded(report),
                Ok(None) => break,
                Err(_) => late = Some("the disk did not answer within 2 s".into()),
            }
        }
        let open = self.recording.take().and_then(|recording| recording.open);
        if let (Some(part), Some(note)) = (open, late) {
            self.tell_unrecorded(part, note, clock::system_now());
        }
    }

    fn tell_unrecorded(&self, part: u32, note: String, at: SystemTime) {
        let name = if part == 1 { format!("{}.wav", self.id) } else { format!("{}.{part}.wav", self.id) };
        let path = self.shared.config.record_dir.join(name);
        let state = RecordingState::Interrupted(note);
        self.shared.tell_at(at, Some(self.id), EventKind::Recording { part, path, state, duration_ms: 0 });
    }
}

/// A recording and what is known of it.
pub(super) struct CallRecording {
    recording: Recording,
    /// When its first sample was.
    began: SystemTime,
    /// The part that is being written.
    open: Option<u32>,
}

/// The next report of a recording; never without one, nor after the last.
pub(super) async fn next_recorded(recording: &mut Option<CallRecording>) -> PartReport {
    if let Some(CallRecording { recording, .. }) = recording
        && let Some(report) = recording.report().await
    {
        return report;
    }
    std::future::pending().await
}
