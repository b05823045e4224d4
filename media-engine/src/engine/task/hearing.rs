//! Applies the topology that the machine reports.
//!
//! ```text
//! Floor, two legs     bridged, and hear each other or translations only; listeners overhear both beside the bridge
//! Floor, more legs,   a conference: legs on the floor take part, a whisperer is heard by one of them, a listener by none
//!   or a whisperer
//! Muted               as on the floor, but muted (also to taps)
//! Aside               parted, muted, hears its sound; translated speech that waits for it is dropped
//! Scripted            has its application; listeners overhear it
//! Screened            alone, in silence; only its detector's tap hears it
//! ```
//!
//! A leg that moves from a bridge to a conference, or back, enters the new one before it leaves the old one, so that no gap is
//! heard.
//!
//! Invariant: recording and translation listen to legs, and a leg is audible to them only while the topology says that it is
//! heard.

use super::CallTask;
use crate::call::{Input, Place, Sound, Topology};
use crate::config::App;
use crate::engine::event::LegRole;
use crate::engine::leg::Leg;
use crate::units::{ConferenceId, LegId};
use crate::worker::{ConferenceRole, WorkerCommand};

/// State of one leg's media as the worker was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    link: Link,
    app: Option<App>,
    muted: bool,
    /// The leg hears translations in place of its partner.
    without_original: bool,
    /// The leg is out of the conversation: speech that waits for it is dropped.
    aside: bool,
    overhears: Vec<LegId>,
}

/// How the leg is joined with others.
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

/// The state that the worker was last told, and the state that is wanted now.
struct Change {
    before: Vec<(LegId, Heard)>,
    wanted: Vec<(LegId, Heard)>,
    conference: ConferenceId,
}

impl Change {
    /// Returns the commands, in an order that leaves no gap in the sound.
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
                // A bridge takes both legs out of the conference, and out of other bridges.
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
        if new.without_original != old.without_original {
            commands.push(WorkerCommand::SilenceOriginal { leg, silenced: new.without_original });
        }
        if new.aside && !old.aside {
            commands.push(WorkerCommand::StopPlay { leg, segment: None });
        }
    }

    /// Returns whether this leg has to take its old bridge down: one of the two does, once. A new bridge of either has parted
    /// both.
    fn is_parted(&self, leg: LegId, old: &Heard, new: &Heard) -> bool {
        let Some(peer) = old.peer().filter(|_| new.peer().is_none()) else { return false };
        match self.wanted.iter().find(|(known, _)| *known == peer) {
            Some((_, heard)) => heard.peer().is_none() && leg < peer,
            None => true,
        }
    }

    /// Returns every leg that has media, with its old and its new state.
    fn legs(&self) -> impl Iterator<Item = (LegId, Heard, &Heard)> {
        self.wanted.iter().map(|(leg, new)| {
            let old = self.before.iter().find(|(known, _)| known == leg).map(|(_, heard)| heard.clone());
            (*leg, old.unwrap_or_default(), new)
        })
    }
}

impl CallTask {
    /// Applies a new topology.
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

    /// Returns the wanted state of every leg that has media.
    fn wanted(&self) -> Vec<(LegId, Heard)> {
        let media = |leg: LegId| self.leg(leg).and_then(Leg::media);
        let floor: Vec<LegId> = self.topology.floor().filter_map(media).collect();
        let scripted = self.topology.places().filter(|(_, place)| matches!(place, Place::Scripted(_)));
        let audible: Vec<LegId> = floor.iter().copied().chain(scripted.filter_map(|(leg, _)| media(leg))).collect();
        let whispers = self.topology.places().any(|(_, place)| matches!(place, Place::Whispering(_)));
        let mixes = floor.len() > 2 || whispers;
        let heard = |(leg, place): (LegId, Place)| {
            let (media_of, role) = (media(leg)?, self.leg(leg)?.role);
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
                    heard.without_original = heard.peer().is_some() && self.hears_no_original(role);
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
                Place::Screened => {}
            }
            Some((media_of, heard))
        };
        self.topology.places().filter_map(heard).collect()
    }

    fn run_record_app(&mut self) {
        let records = self.topology.places().any(|(_, place)| place == Place::Scripted(App::Record));
        if records && !self.record_app && !self.settings.record_app {
            tracing::warn!(call = %self.id, "the application `record` cannot record: recording is switched off");
        }
        self.record_app |= records;
    }

    /// Returns the media of the leg that speaks in this role and is heard.
    pub(super) fn speaker(&self, role: LegRole) -> Option<LegId> {
        let heard = self.legs.iter().filter(|leg| self.topology.is_heard(leg.id));
        heard.filter(|leg| leg.role == role).find_map(Leg::media)
    }

    /// Returns the media of the leg that is spoken to in this role: one that is joined with another.
    pub(super) fn listener(&self, role: LegRole) -> Option<LegId> {
        let joined = self.legs.iter().filter(|leg| self.topology.is_joined(leg.id));
        joined.filter(|leg| leg.role == role).find_map(Leg::media)
    }

    /// Judges whether a leg is lost: nothing comes from it any more, or it has neither a connection nor sound. It is back with
    /// sound, or, if it is on hold, with a connection.
    pub(super) async fn judge_loss(&mut self, id: LegId, learn: impl FnOnce(&mut Leg)) {
        let Some(leg) = self.leg_mut(id) else { return };
        learn(leg);
        if leg.out_of_reach || leg.unreachable && (leg.silent || leg.on_hold) {
            self.handle(Input::Lost(id)).await;
        // A silent leg will offer its media again, or is declared dead by the worker's time-out.
        } else if !leg.silent && leg.media().is_some() {
            self.handle(Input::Back(id)).await;
        }
    }
}
