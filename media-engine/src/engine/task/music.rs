//! The music for waiting parties: the organization's own, requested when a party waits for the first time.
//!
//! ```text
//!   a party waits ─▶ MusicWanted ─▶ control plane ─ CallMusic ─▶ every leg on hold, now and later
//!                        └ none ─▶ the soft tone, or ring-back
//! ```

use std::sync::Arc;

use codecs::SampleRate;

use super::CallTask;
use crate::call::{Place, Sound};
use crate::engine::event::EventKind;
use crate::units::LegId;
use crate::worker::WorkerCommand;

/// The music of a call, as described in the module head.
#[derive(Debug, Default)]
pub(super) struct WaitingMusic {
    /// The control plane has been asked.
    asked: bool,
    sound: Option<(SampleRate, Arc<[i16]>)>,
    /// Media that has received it.
    given: Vec<LegId>,
}

impl WaitingMusic {
    pub(super) fn is_there(&self) -> bool {
        self.sound.is_some()
    }
}

impl CallTask {
    /// Requests music when a party waits for the first time.
    pub(super) fn want_music(&mut self) {
        let waits = |place| matches!(place, Place::Aside(Sound::Hold | Sound::Wait));
        if self.music.asked || !self.topology.places().any(|(_, place)| waits(place)) {
            return;
        }
        let Some(group) = self.group else { return };
        self.music.asked = true;
        self.shared.tell(Some(self.id), EventKind::MusicWanted { group });
    }

    /// Takes the music, and applies it to legs that wait.
    pub(super) fn on_music(&mut self, rate: SampleRate, samples: Arc<[i16]>) {
        if samples.is_empty() {
            return;
        }
        self.music.sound = Some((rate, samples));
        self.music.given.clear();
        self.hear(self.topology.clone());
    }

    /// Sends the music to media on hold that has not received it yet.
    pub(super) fn bring_music(&mut self, media: impl Iterator<Item = LegId>) {
        let Some((rate, samples)) = self.music.sound.clone() else { return };
        for leg in media {
            if !self.music.given.contains(&leg) {
                self.music.given.push(leg);
                self.media_command(WorkerCommand::Music { leg, rate, samples: samples.clone() });
            }
        }
    }
}
