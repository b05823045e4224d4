//! Carries out actions of users and programs on a running call: add and drop legs, hold, mute, send keys, supervise.
//!
//! ```text
//!   Verb ─▶ Call::check ─ refused ─▶ CommandError, and nothing has changed
//!                └──────▶ Call::handle ─▶ Reply, once its effects are carried out
//! ```
//!
//! Not here: permissions (the control plane), the effect on the conversation (`call::verbs`), the topology (`hearing`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::dtmf::DtmfGenerator;
use codecs::tones::Sine;
use tokio::sync::oneshot;

use super::CallTask;
use super::prompts::Owner;
use crate::call::{Destination, Input, Refused, Target};
use crate::config::DtmfWay;
use crate::engine::command::{Callee, CommandError, DTMF_MAX, NewLeg, Reply, Verb, VerbTarget};
use crate::engine::dial;
use crate::engine::event::LegRole;
use crate::engine::leg::Leg;
use crate::net::clock;
use crate::sip::Source;
use crate::units::{LegId, mask};
use crate::worker::WorkerCommand;

/// Length of a key that we send, in milliseconds.
const KEY_MS: u32 = 160;
/// Time from the start of one key to the start of the next.
const KEY_STEP: Duration = Duration::from_millis(260);
/// Pause that a comma stands for.
const KEY_PAUSE: Duration = Duration::from_millis(500);
/// Number of keys that may wait for one leg.
const KEYS_WAITING: usize = 2 * DTMF_MAX;
/// Segment number of key tones; no segment of speech has it.
const KEY_SEGMENT: u64 = u64::MAX;
/// Segment number of the supervision notice.
const NOTICE_SEGMENT: u64 = u64::MAX - 1;
/// Supervision notice: frequency in Hz, level in dBFS and length in ms of the tone that telephones use to announce a recording.
const NOTICE: (f32, f32, u32) = (1_400.0, -20.0, 200);

/// Keys that wait to be sent to a leg.
#[derive(Debug)]
pub(super) struct Keys {
    leg: LegId,
    waiting: VecDeque<char>,
    /// Time at which the next key is due.
    at: Instant,
}

impl From<Refused> for CommandError {
    fn from(refused: Refused) -> CommandError {
        match refused {
            Refused::NoLeg => CommandError::NoLeg,
            Refused::NoRecording => CommandError::NoRecording,
            refused => CommandError::Conflict(refused.to_string()),
        }
    }
}

impl CallTask {
    pub(super) async fn on_verb(&mut self, verb: Verb, reply: oneshot::Sender<Result<Reply, CommandError>>) {
        let result = self.carry_out_verb(verb).await;
        if let Err(error) = &result {
            tracing::info!(call = %self.id, %error, "a verb was refused");
        }
        // The requester may have gone away; the verb was carried out all the same.
        let _ = reply.send(result);
    }

    async fn carry_out_verb(&mut self, verb: Verb) -> Result<Reply, CommandError> {
        let input = match verb {
            Verb::LegAdd(new) => return self.add_leg(new).await,
            Verb::SendDtmf { leg, digits } => return self.press(leg, &digits),
            Verb::Listening(patches) => return self.change_listening(patches).await.map(Reply::Listening),
            Verb::Play { leg, sound } => return self.play(leg, sound, Owner::Verb).map(Reply::Play),
            Verb::Stop { play, gather } => return self.stop(play, gather).map(|()| Reply::Done),
            Verb::Gather { leg, gather } => {
                let begun = self.gather(leg, gather, Owner::Verb);
                return begun.map(|(gather, prompt)| Reply::Gather(gather, prompt));
            }
            Verb::Record { leg, heard } => {
                let heard = heard.unwrap_or(self.settings.record_heard);
                return self.record_start(leg, heard).await.map(Reply::Recording);
            }
            Verb::RecordPause { number, on } => {
                return self.record_pause(number, on).await.map(|()| Reply::Done);
            }
            Verb::RecordStop { number } => return self.record_stop(number).await.map(|()| Reply::Done),
            Verb::Park { leg, park } => return self.park(leg, park).await,
            Verb::PickUp { slot, agent, ring } => return self.pick_up(slot, agent, ring).await,
            Verb::Transfer { leg, to, ring, if_fails, program } => {
                let to = self.targets(&to)?;
                self.check_transfer(&to)?;
                let back = match self.leg(leg).and_then(Leg::owner) {
                    Some(Source::User(user)) => Some(Destination::Agent(user.clone())),
                    Some(Source::Trunk(_)) | None => None,
                };
                let input = Input::TransferTo { by: leg, to, ring, if_fails, back };
                self.call.check(&input)?;
                // The program starts if no target answers, and is forgotten with the next transfer.
                self.next_program = program;
                input
            }
            Verb::Gain { leg, db } => Input::Gain { leg, db },
            Verb::LegDrop { leg } => Input::Drop(leg),
            Verb::Hold { leg, on } => Input::Hold { leg, on },
            Verb::Mute { leg, on } => Input::Mute { leg, on },
            Verb::Supervise { leg, mode } => Input::Supervise { leg, mode },
        };
        self.call.check(&input)?;
        self.handle(input).await;
        Ok(Reply::Done)
    }

    /// Calls a new leg into the call.
    pub(super) async fn add_leg(&mut self, new: NewLeg) -> Result<Reply, CommandError> {
        let NewLeg { to, supervises, from, ring, or_else, if_fails, notice } = new;
        let role = match &to {
            _ if supervises.is_some() => LegRole::Supervisor,
            Callee::Agent(_) | Callee::Browser(_) => LegRole::Agent,
            Callee::Number(_) => LegRole::Customer,
        };
        let destination = dial::callee(&self.shared, &to)?;
        let or_else = self.targets(&or_else)?;
        let input = Input::Add { to: destination.clone(), role, supervises, ring, or_else, if_fails, notice };
        self.call.check(&input)?;
        match &destination {
            Destination::Agent(user) | Destination::Browser(user) if !self.reaches(user) => {
                let problem = "no agent of this call's organization has this name".to_owned();
                return Err(CommandError::Invalid { field: "agent", problem });
            }
            Destination::Emergency { .. } => {}
            _ if !self.shared.pool.has_room() => {
                return Err(CommandError::Busy("the media threads have no room for another leg; try again later"));
            }
            _ => {}
        }
        let id = self.call.next_leg();
        let mut leg = Leg::new(id, role, dial::name_of(&destination).to_owned());
        (leg.added, leg.shown) = (true, from);
        tracing::info!(call = %self.id, leg = %id, to = %mask(&leg.peer), ?role, "adding a leg");
        self.legs.push(leg);
        self.handle(input).await;
        Ok(Reply::Leg(id))
    }

    /// Checks the targets of a transfer. The control plane decides on each target when its turn comes, as in a transfer by REFER.
    fn check_transfer(&self, to: &[Target]) -> Result<(), CommandError> {
        if !self.settings.transfer {
            return Err(CommandError::Conflict("transfer is switched off for this call".into()));
        }
        if !self.shared.pool.has_room() && !to.iter().any(|target| matches!(target.to, Destination::Emergency { .. })) {
            return Err(CommandError::Busy("the media threads have no room for another leg; try again later"));
        }
        Ok(())
    }

    /// Resolves the targets that are called in turn.
    fn targets(&self, to: &[VerbTarget]) -> Result<Vec<Target>, CommandError> {
        let target =
            |VerbTarget { to, ring }: &VerbTarget| Ok(Target { to: dial::callee(&self.shared, to)?, ring: *ring });
        to.iter().map(target).collect()
    }

    /// Changes the gain with which the others hear a leg.
    pub(super) fn change_gain(&mut self, id: LegId, db: i8) {
        let Some(leg) = self.leg_mut(id) else { return };
        if std::mem::replace(&mut leg.gain_db, db) == db {
            return;
        }
        if let Some(leg) = leg.media() {
            self.media_command(WorkerCommand::Gain { leg, db });
        }
    }

    /// Plays the supervision notice to these legs, over whatever else they hear.
    pub(super) fn notify(&self, legs: &[LegId]) {
        let (rate, (hertz, dbfs, length)) = (SampleRate::HZ_8000, NOTICE);
        let mut samples = vec![0; rate.samples_in_ms(length)];
        Sine::new(rate, hertz, dbfs).fill(&mut samples);
        let samples: Arc<[i16]> = samples.into();
        for leg in legs.iter().filter_map(|leg| self.leg(*leg)?.media()) {
            let (segment, samples) = (NOTICE_SEGMENT, samples.clone());
            self.media_command(WorkerCommand::Play { leg, segment, rate, samples, last: true });
        }
    }

    /// Queues keys to be sent to a leg.
    fn press(&mut self, leg: LegId, digits: &str) -> Result<Reply, CommandError> {
        let keys = keys(digits).ok_or_else(|| CommandError::Invalid {
            field: "digits",
            problem: format!("expected 1 to {DTMF_MAX} of 0-9, *, #, A-D and , (a pause of half a second)"),
        })?;
        self.call.check_connected(leg)?;
        let at = match self.keys.iter().position(|waiting| waiting.leg == leg) {
            Some(at) => at,
            None => {
                self.keys.push(Keys { leg, waiting: VecDeque::new(), at: clock::now() });
                self.keys.len() - 1
            }
        };
        let waiting = &mut self.keys[at].waiting;
        if waiting.len() + keys.len() > KEYS_WAITING {
            return Err(CommandError::Busy("earlier keys are still being sent to this leg"));
        }
        waiting.extend(keys);
        Ok(Reply::Done)
    }

    /// Returns when the next key is due.
    pub(super) fn next_key(&self) -> Option<Instant> {
        self.keys.iter().map(|keys| keys.at).min()
    }

    /// Sends the keys that are due. Keys for a leg that has gone are dropped.
    pub(super) fn press_due(&mut self) {
        let now = clock::now();
        let mut due = Vec::new();
        self.keys.retain_mut(|keys| {
            if keys.at > now {
                return true;
            }
            match keys.waiting.pop_front() {
                Some(',') => keys.at = now + KEY_PAUSE,
                Some(key) => {
                    due.push((keys.leg, key));
                    keys.at = now + KEY_STEP;
                }
                // The pause after the last key has passed as well.
                None => return false,
            }
            true
        });
        for (leg, digit) in due {
            self.press_key(leg, digit);
        }
    }

    /// Sends a key in the way that the trunk wants; otherwise as a telephone-event (RFC 4733) if the leg supports them, else as
    /// sound.
    fn press_key(&mut self, id: LegId, digit: char) {
        let Some((leg, media)) = self.leg(id).and_then(|leg| Some((leg, leg.media()?))) else {
            return self.keys.retain(|keys| keys.leg != id);
        };
        let way = leg.dtmf;
        if let (DtmfWay::Info, Some(dialog)) = (way, leg.dialog) {
            return self.signals().press(dialog, digit, Duration::from_millis(KEY_MS.into()));
        }
        if way != DtmfWay::Inband && leg.knows_telephone_events() {
            return self.media_command(WorkerCommand::SendDtmf { leg: media, digit, duration_ms: KEY_MS });
        }
        let rate = SampleRate::HZ_8000;
        let Some(mut sound) = DtmfGenerator::new(rate, digit, KEY_MS, DtmfGenerator::LEVEL_DBFS) else { return };
        let mut samples = vec![0; rate.samples_in_ms(KEY_MS)];
        sound.fill(&mut samples);
        self.media_command(WorkerCommand::Play {
            leg: media,
            segment: KEY_SEGMENT,
            rate,
            samples: samples.into(),
            last: true,
        });
    }
}

/// Returns the keys of a sequence in capitals; `None`: it is empty, too long, or contains other characters.
fn keys(digits: &str) -> Option<Vec<char>> {
    let keys: Vec<char> = digits.chars().take(DTMF_MAX + 1).map(|key| key.to_ascii_uppercase()).collect();
    let is_key = |key: &char| key.is_ascii_digit() || matches!(key, '*' | '#' | 'A'..='D' | ',');
    ((1..=DTMF_MAX).contains(&keys.len()) && keys.iter().all(is_key)).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_digits_letters_to_d_star_hash_and_pauses() {
        assert_eq!(keys("1,a*#"), Some(vec!['1', ',', 'A', '*', '#']));
        assert_eq!(keys(&"7".repeat(DTMF_MAX)).map(|keys| keys.len()), Some(DTMF_MAX));
        for wrong in ["", "e", "1 2", "+1", "\0", "٣", &"7".repeat(DTMF_MAX + 1)] {
            assert_eq!(keys(wrong), None, "{wrong:?}");
        }
    }
}
