//! Applies what the machine says of who hears whom.
//!
//! ```text
//! Floor, two legs     bridged; who listens overhears both beside the bridge
//! Floor, more legs,   a conference: those on the floor take part, a whisperer is heard by one of them, who listens by nobody
//!   or a whisperer
//! Muted               as on the floor, without a voice (also to taps)
//! Aside               parted, muted, hears its sound; translated speech that waits for it is dropped
//! Scripted            has its application; who listens overhears it
//! ```
//!
//! Whoever goes from a bridge to a conference, or back, is in the new one before it is out of the old one: nobody hears a gap.
//!
//! Invariant: recording and translation listen to legs, and a leg is audible to them only while the machine says that it is heard.

use super::CallTask;
use crate::call::{Input, Place, Sound, Topology};
use crate::config::App;
use crate::engine::event::LegRole;
use crate::engine::leg::Leg;
use crate::units::{ConferenceId, LegId};
use crate::worker::{ConferenceRole, WorkerCommand};

/// What the worker was told of one leg's media.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    link: Link,
    app: Option<App>,
    muted: bool,
    /// It is out of the conversation: what waits to be spoken to it is not for it any more.
    aside: bool,
    overhears: Vec<LegId>,
}

/// How it is joined with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Alone,
    Bridged(LegId),
    Seated(ConferenceRole),
}

impl Heard {
    fn peer(&self) -> Option<LegId> {
        match self.link {
            Link::Bridged(peer) => Some(peer),
            Link::Alone | Link::Seated(_) => None,
        }
    }
}

/// What the worker was told before, and is to be told now.
struct Change {
    before: Vec<(LegId, Heard)>,
    wanted: Vec<(LegId, Heard)>,
    conference: ConferenceId,
}

impl Change {
    /// The commands, in the order in which nobody hears a gap.
    fn commands(&self) -> Vec<WorkerCommand> {
        let mut commands = Vec::new();
        for (leg, old, new) in self.legs() {
            self.set_voice(leg, &old, new, &mut commands);
        }
        for (leg, old, new) in self.legs() {
            if let Link::Seated(role) = new.link
                && old.link != new.link
            {
                commands.push(WorkerCommand::ConferenceJoin { conference: self.conference, leg, role });
            }
        }
        for (a, old, new) in self.legs() {
            if let Some(b) = new.peer().filter(|b| a < *b && old.peer() != Some(*b)) {
                // It takes both out of the conference, and out of other bridges.
                commands.push(WorkerCommand::Bridge { a, b });
            }
        }
        for (leg, old, new) in self.legs() {
            if matches!(old.link, Link::Seated(_)) && new.link == Link::Alone {
                commands.push(WorkerCommand::ConferenceLeave { leg });
            }
            if self.is_parted(leg, &old, new) {
                commands.push(WorkerCommand::Unbridge { leg });
            }
            if old.overhears != new.overhears {
                commands.push(WorkerCommand::Overhear { leg, of: new.overhears.clone() });
            }
        }
        commands
    }

    fn set_voice(&self, leg: LegId, old: &Heard, new: &Heard, commands: &mut Vec<WorkerCommand>) {
        if new.app != old.app {
            commands.push(WorkerCommand::App { leg, app: new.app });
        }
        if new.muted != old.muted {
            commands.push(WorkerCommand::Mute { leg, muted: new.muted });
        }
        if new.aside && !old.aside {
            commands.push(WorkerCommand::StopPlay { leg, segment: None });
        }
    }

    /// Whether an old bridge of this leg is to be taken down: by either of the two, once. A new bridge of one has parted both.
    fn is_parted(&self, leg: LegId, old: &Heard, new: &Heard) -> bool {
        let Some(peer) = old.peer().filter(|_| new.peer().is_none()) else { return false };
        match self.wanted.iter().find(|(known, _)| *known == peer) {
            Some((_, heard)) => heard.peer().is_none() && leg < peer,
            None => true,
        }
    }

    /// Every leg that is there, as it was and as it is to be.
    fn legs(&self) -> impl Iterator<Item = (LegId, Heard, &Heard)> {
        self.wanted.iter().map(|(leg, new)| {
            let old = self.before.iter().find(|(known, _)| known == leg).map(|(_, heard)| heard.clone());
            (*leg, old.unwrap_or_default(), new)
        })
    }
}

impl CallTask {
    /// Who hears whom from now on.
    pub(super) fn hear(&mut self, topology: Topology) {
        self.topology = topology;
        self.want_music();
        let before = std::mem::take(&mut self.applied);
        let change = Change { before, wanted: self.wanted(), conference: self.conference };
        self.bring_music(change.wanted.iter().filter(|(_, heard)| heard.app == Some(App::Hold)).map(|(leg, _)| *leg));
        for command in change.commands() {
            if let WorkerCommand::StopPlay { leg, .. } = &command {
                self.plays_are_cut(*leg);
            }
            self.media_command(command);
        }
        self.applied = change.wanted;
        self.run_record_app();
        self.follow_speakers();
        self.program_hears();
    }

    /// What the worker is to be told of every leg that has media.
    fn wanted(&self) -> Vec<(LegId, Heard)> {
        let media = |leg: LegId| self.leg(leg).and_then(Leg::media);
        let floor: Vec<LegId> = self.topology.floor().filter_map(media).collect();
        let scripted = self.topology.places().filter(|(_, place)| matches!(place, Place::Scripted(_)));
        let audible: Vec<LegId> = floor.iter().copied().chain(scripted.filter_map(|(leg, _)| media(leg))).collect();
        let whispers = self.topology.places().any(|(_, place)| matches!(place, Place::Whispering(_)));
        let mixes = floor.len() > 2 || whispers;
        let heard = |(leg, place): (LegId, Place)| {
            let media_of = media(leg)?;
            let other = || floor.iter().copied().find(|other| *other != media_of);
            let mut heard = Heard::default();
            match place {
                Place::Floor | Place::Muted => {
                    heard.muted = place == Place::Muted;
                    heard.link = match other() {
                        _ if mixes => Link::Seated(ConferenceRole::Participant),
                        Some(peer) => Link::Bridged(peer),
                        None => Link::Alone,
                    };
                }
                Place::Whispering(to) => {
                    heard.link = Link::Seated(media(to).map_or(ConferenceRole::Monitor, ConferenceRole::Whisper));
                }
                Place::Listening if mixes => heard.link = Link::Seated(ConferenceRole::Monitor),
                Place::Listening => heard.overhears.clone_from(&audible),
                Place::Aside(sound) => {
                    (heard.muted, heard.aside) = (true, true);
                    heard.app = match sound {
                        Sound::Silence => None,
                        Sound::Ringback => Some(App::Ringback),
                        Sound::Wait if self.music.is_there() => Some(App::Hold),
                        Sound::Wait => Some(App::Ringback),
                        Sound::Hold => Some(App::Hold),
                    };
                }
                Place::Scripted(app) => heard.app = Some(app),
            }
            Some((media_of, heard))
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
