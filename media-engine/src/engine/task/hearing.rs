//! Applies what the machine says of who hears whom.
//!
//! ```text
//! Floor, two legs   bridged
//! Aside             parted, muted (also to taps), hears its sound; translated speech that waits for it is dropped
//! Scripted          has its application
//! ```
//!
//! Invariant: recording and translation listen to legs, and a leg is audible to them only while the machine says that it is heard.

use super::CallTask;
use crate::call::{Input, Place, Sound, Topology};
use crate::config::App;
use crate::engine::event::LegRole;
use crate::engine::leg::Leg;
use crate::units::LegId;
use crate::worker::WorkerCommand;

/// What the worker was told of one leg's media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    peer: Option<LegId>,
    app: Option<App>,
    muted: bool,
}

impl CallTask {
    /// Who hears whom from now on.
    pub(super) fn hear(&mut self, topology: Topology) {
        self.topology = topology;
        let wanted = self.wanted();
        let before = std::mem::take(&mut self.applied);
        let was = |media: LegId| before.iter().find(|(known, _)| *known == media).map(|(_, heard)| *heard);
        let is_there = |media: LegId| wanted.iter().any(|(known, _)| *known == media);
        for (media, heard) in &wanted {
            let old = was(*media).unwrap_or_default();
            let leg = *media;
            // Either of the two, once; a bridge with somebody else parts them too.
            if heard.peer.is_none() && old.peer.is_some_and(|peer| leg < peer || !is_there(peer)) {
                self.media_command(WorkerCommand::Unbridge { leg });
            }
            if heard.app != old.app {
                self.media_command(WorkerCommand::App { leg, app: heard.app });
            }
            if heard.muted != old.muted {
                self.media_command(WorkerCommand::Mute { leg, muted: heard.muted });
                if heard.muted {
                    self.media_command(WorkerCommand::StopPlay { leg });
                }
            }
        }
        for (a, heard) in &wanted {
            if let Some(b) = heard.peer
                && *a < b
                && was(*a).and_then(|old| old.peer) != Some(b)
            {
                self.media_command(WorkerCommand::Bridge { a: *a, b });
            }
        }
        self.applied = wanted;
        self.run_record_app();
        self.follow_speakers();
    }

    /// What the worker is to be told of every leg that has media.
    fn wanted(&self) -> Vec<(LegId, Heard)> {
        let media = |leg: LegId| self.leg(leg).and_then(Leg::media);
        let floor: Vec<LegId> = self.topology.floor().filter_map(media).collect();
        let heard = |(leg, place): (LegId, Place)| {
            let media = media(leg)?;
            let peer = match floor[..] {
                [a, b] if place == Place::Floor => Some(if a == media { b } else { a }),
                _ => None,
            };
            let (app, muted) = match place {
                Place::Floor => (None, false),
                Place::Aside(Sound::Silence) => (None, true),
                Place::Aside(Sound::Ringback) => (Some(App::Ringback), true),
                Place::Aside(Sound::Hold) => (Some(App::Hold), true),
                Place::Scripted(app) => (Some(app), false),
            };
            Some((media, Heard { peer, app, muted }))
        };
        self.topology.places().filter_map(heard).collect()
    }

    fn run_record_app(&mut self) {
        let records = self.topology.places().any(|(_, place)| place == Place::Scripted(App::Record));
        if records && !self.record_app && !self.settings.record_app {
            tracing::warn!(call = %self.id, "the application `record` was reached, and recording is switched off: nothing is recorded");
        }
        self.record_app |= records;
    }

    /// The media of whoever speaks in this role, and is heard.
    pub(super) fn speaker(&self, role: LegRole) -> Option<LegId> {
        let heard = self.legs.iter().filter(|leg| self.topology.is_heard(leg.id));
        heard.filter(|leg| leg.role == role).find_map(Leg::media)
    }

    /// The media of whoever is spoken to in this role: somebody who talks with somebody.
    pub(super) fn listener(&self, role: LegRole) -> Option<LegId> {
        let joined = self.legs.iter().filter(|leg| self.topology.is_joined(leg.id));
        joined.filter(|leg| leg.role == role).find_map(Leg::media)
    }

    /// A leg of which nothing comes any more is lost, and one without a connection and without sound; until there is sound, or a
    /// connection to one that is on hold.
    pub(super) async fn judge_loss(&mut self, id: LegId, learn: impl FnOnce(&mut Leg)) {
        let Some(leg) = self.leg_mut(id) else { return };
        learn(leg);
        if leg.out_of_reach || leg.unreachable && (leg.silent || leg.on_hold) {
            self.handle(Input::Lost(id)).await;
        // A silent one will offer its media anew, or is dead by the worker's clock.
        } else if !leg.silent && leg.media().is_some() {
            self.handle(Input::Back(id)).await;
        }
    }
}
