//! What a party hears that waits: the organization's music, asked for when somebody waits for the first time.
//!
//! ```text
//!   somebody waits ─▶ MusicWanted ─▶ control plane ─ CallMusic ─▶ every leg on hold, now and later
//!                         └ none ─▶ the soft tone, or ring-back
//! ```

use std::sync::Arc;

use codecs::SampleRate;

use super::CallTask;
use crate::call::{Place, Sound};
use crate::engine::event::EventKind;
use crate::units::LegId;
use crate::worker::WorkerCommand;

/// See the module head.
#[derive(Debug, Default)]
pub(super) struct WaitingMusic {
    /// The control plane was asked.
    asked: bool,
    sound: Option<(SampleRate, Arc<[i16]>)>,
    /// The media that has it already.
    given: Vec<LegId>,
}

impl WaitingMusic {
    pub(super) fn is_there(&self) -> bool {
        self.sound.is_some()
    }
}

impl CallTask {
    /// Asks for music when somebody waits for the first time.
    pub(super) fn want_music(&mut self) {
        let waits = |place| matches!(place, Place::Aside(Sound::Hold | Sound::Wait));
        if self.music.asked || !self.topology.places().any(|(_, place)| waits(place)) {
            return;
        }
        let Some(group) = self.group else { return };
        self.music.asked = true;
        self.shared.tell(Some(self.id), EventKind::MusicWanted { group });
    }

    /// The music has come.
    pub(super) fn on_music(&mut self, rate: SampleRate, samples: Arc<[i16]>) {
        if samples.is_empty() {
            return;
        }
        self.music.sound = Some((rate, samples));
        self.music.given.clear();
        self.hear(self.topology.clone());
    }

    /// Gives the music to media on hold that does not have it yet.
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
