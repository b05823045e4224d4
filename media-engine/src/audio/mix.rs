//! The mix of one room: N parties, each hears all others and never itself.
//!
//! ```text
//! say ─▶ party's frame ─▶ sum of its rate ─┬─▶ total at 8 kHz  ─┐
//!                                          ├─▶ total at 16 kHz ─┼─▶ − own ± pairs ─▶ limit ─▶ hear
//!                          (once per rates)└─▶ total at 48 kHz ─┘
//! ```
//!
//! A party speaks and hears at one rate. Frames of one rate are summed, the sum is converted to every other rate in
//! use, and a listener hears the total of its rate without its own share. Wideband voices keep their band for wideband
//! listeners; a tick costs O(parties + rates²).
//!
//! The volume of each party for each other is a matrix that costs only where it deviates: [`HeardBy`] says which
//! listeners hear a party at full level, and a *pair* overrides that for one listener. A monitor is `HeardBy::Nobody`,
//! a whisper `HeardBy::Only`, barging in `HeardBy::All`, ducking a pair below 1.
//!
//! Invariants:
//! - Nothing has a step: a gain reaches its new value over one tick, a voice that begins rises over one tick, and one
//!   that breaks off or leaves fades.
//! - Below −2.5 dBFS a mix is the exact sum; louder sums are bent below full scale ([`limit`](super::limit)).
//! - `say`, `mix` and `hear` neither allocate nor free (`tests/no_alloc_worker.rs`); the calls that change the room
//!   allocate and free what the change requires.
//!
//! Not here: the legs behind the parties and the times of ticks (`worker`), drift and loss (`jitter`).

mod band;
mod party;
mod speaker;

use crate::units::SampleRate;

use super::limit::limit;
use band::{Band, Conversion, RATES, add, sum_up};
use party::{Member, Pair, Stay};
use speaker::Speaker;

/// Highest gain of a pair: +12 dB.
pub const MAX_GAIN: f32 = 4.0;
/// Length of the longest frame in samples: 20 ms at 48 kHz.
const MAX_FRAME: usize = 960;

/// Handle of a party in one room. Invalid once the party has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Party(u32);

impl Party {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Listeners that hear a party at full level, unless a pair overrides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeardBy {
    /// All other parties: a participant, or a supervisor who barges in.
    All,
    /// No other party: a monitor.
    Nobody,
    /// One other party: a whisper.
    Only(Party),
}

impl HeardBy {
    /// Returns the gain towards parties that are not named.
    fn base(self) -> f32 {
        f32::from(u8::from(self == HeardBy::All))
    }

    fn gain_to(self, listener: Party) -> f32 {
        if self == HeardBy::Only(listener) { 1.0 } else { self.base() }
    }
}

/// A change of the active speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeakerChange {
    /// Previous speaker, if any; may have left the room.
    pub before: Option<Party>,
    /// New speaker, if any.
    pub after: Option<Party>,
}

/// Mixer of one room. See the module head.
pub struct Mix {
    members: Vec<Option<Member>>,
    bands: [Band; RATES.len()],
    speaker: Speaker,
    told: Option<usize>,
    scratch: Box<[f32; MAX_FRAME]>,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix::new()
    }
}

impl Mix {
    /// Creates an empty room.
    pub fn new() -> Mix {
        Mix {
            members: Vec::new(),
            bands: Default::default(),
            speaker: Speaker::default(),
            told: None,
            scratch: Box::new([0.0; MAX_FRAME]),
        }
    }

    // ---- changes of the room: not on the packet path ----

    /// Adds a party that speaks and hears at `rate`; returns its handle.
    pub fn join(&mut self, rate: SampleRate, heard_by: HeardBy) -> Party {
        self.reap();
        let index = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        if index == self.members.len() {
            self.members.push(None);
        }
        self.members[index] = Some(Member::new(rate, heard_by));
        self.rewire();
        Party(index as u32)
    }

    /// Removes a party; the end of its speech fades over the next tick.
    pub fn leave(&mut self, party: Party) {
        self.reap();
        let Some(member) = self.member_mut(party) else { return };
        member.stay = Stay::Leaving;
        self.speaker.forget(party.index());
        self.rewire();
    }

    /// Changes which listeners hear a party.
    pub fn heard_by(&mut self, party: Party, heard_by: HeardBy) {
        if self.member_mut(party).is_none_or(|member| member.heard_by == heard_by) {
            return;
        }
        self.reap();
        if let Some(member) = self.member_mut(party) {
            member.heard_by = heard_by;
            if heard_by != HeardBy::All {
                self.speaker.forget(party.index());
            }
            self.rewire();
        }
    }

    /// Changes how loud `to` hears `from`: 0 is silence, 1 is unchanged, at most [`MAX_GAIN`]; `None` follows
    /// `heard_by`. Returns `false` if one of the two is not in the room, both are the same, or the gain is out of
    /// range.
    pub fn gain(&mut self, from: Party, to: Party, gain: Option<f32>) -> bool {
        self.reap();
        let possible = gain.is_none_or(|gain| (0.0..=MAX_GAIN).contains(&gain));
        if !possible || from == to || self.member_mut(from).is_none() {
            return false;
        }
        let Some(listener) = self.member_mut(to) else { return false };
        match listener.pairs.iter_mut().find(|pair| pair.from == from) {
            Some(pair) => pair.asked = gain,
            None if gain.is_some() => self.pair_up(from, to, gain),
            None => {}
        }
        self.rewire();
        true
    }

    /// Returns the number of parties in the room.
    pub fn len(&self) -> usize {
        self.members.iter().flatten().filter(|member| member.stay == Stay::Here).count()
    }

    /// Whether the room has no party.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the active speaker; `None` while no party speaks.
    pub fn active_speaker(&self) -> Option<Party> {
        self.speaker.active().map(|index| Party(index as u32))
    }

    // ---- each tick: every party says, the room mixes, every party hears ----

    /// Sets the party's speech in this tick: 20 ms at its rate. `None`, another length, or no call at all before `mix`
    /// means silence.
    pub fn say(&mut self, party: Party, frame: Option<&[i16]>) {
        if let Some(member) = self.member_mut(party) {
            member.say(frame);
        }
    }

    /// Mixes the tick after all parties have spoken; returns a change of the active speaker.
    pub fn mix(&mut self) -> Option<SpeakerChange> {
        self.members.iter_mut().flatten().for_each(Member::close_tick);
        self.move_gains();
        self.bands.iter_mut().for_each(Band::clear);
        for member in self.members.iter_mut().flatten() {
            let Member { said, voiced, conversions, .. } = member;
            conversions.iter_mut().flatten().for_each(|conversion| conversion.process(said, *voiced));
            if *voiced && member.base != (0.0, 0.0) {
                self.bands[member.band].say(said, member.base);
            }
        }
        sum_up(&mut self.bands);
        self.follow_speaker()
    }

    /// Writes what the party hears in this tick: all others, each at the volume that the room's gains define. `out`
    /// holds 20 ms at the party's rate; with another length, or for an unknown party, it is filled with silence.
    pub fn hear(&mut self, party: Party, out: &mut [i16]) {
        let Mix { members, bands, scratch, .. } = self;
        let member = members.get(party.index()).and_then(Option::as_ref);
        let Some(member) = member.filter(|m| m.stay == Stay::Here && m.said.len() == out.len()) else {
            out.fill(0);
            return;
        };
        let sum = &mut scratch[..out.len()];
        match bands[member.band].total() {
            Some(total) => sum.copy_from_slice(total),
            None => sum.fill(0.0),
        }
        if member.voiced {
            add(sum, &member.said, (-member.base.0, -member.base.1));
        }
        for pair in &member.pairs {
            let Some(Some(from)) = members.get(pair.from.index()) else { continue };
            let deviation = (pair.gain.0 - from.base.0, pair.gain.1 - from.base.1);
            let voice = if from.band == member.band {
                from.voiced.then_some(&*from.said)
            } else {
                from.conversions[member.band].as_ref().and_then(|conversion| conversion.voice())
            };
            if let Some(voice) = voice.filter(|_| deviation != (0.0, 0.0)) {
                add(sum, voice, deviation);
            }
        }
        limit(sum, out);
    }

    // ---- inside ----

    fn member_mut(&mut self, party: Party) -> Option<&mut Member> {
        self.members.get_mut(party.index())?.as_mut().filter(|member| member.stay == Stay::Here)
    }

    /// Frees the places of parties that have left.
    fn reap(&mut self) {
        for index in 0..self.members.len() {
            if self.members[index].as_ref().is_some_and(|member| member.stay == Stay::Gone) {
                self.members[index] = None;
                for other in self.members.iter_mut().flatten() {
                    other.pairs.retain(|pair| pair.from.index() != index);
                    if other.heard_by == HeardBy::Only(Party(index as u32)) {
                        other.heard_by = HeardBy::Nobody;
                    }
                }
            }
        }
    }

    fn pair_up(&mut self, from: Party, to: Party, asked: Option<f32>) {
        let Some(base) = self.member_mut(from).map(|member| member.base.1) else { return };
        if let Some(listener) = self.member_mut(to) {
            listener.pairs.push(Pair { from, asked, gain: (base, base) });
        }
    }

    /// Creates the pairs of whispers, and the conversions that bands and pairs need.
    fn rewire(&mut self) {
        for index in 0..self.members.len() {
            let Some(HeardBy::Only(to)) = self.members[index].as_ref().map(|member| member.heard_by) else { continue };
            let from = Party(index as u32);
            if self.member_mut(to).is_some_and(|listener| listener.pairs.iter().all(|pair| pair.from != from))
                && to != from
            {
                self.pair_up(from, to, None);
            }
        }
        let mut in_use = [false; RATES.len()];
        self.members.iter().flatten().for_each(|member| in_use[member.band] = true);
        self.bands.iter_mut().enumerate().for_each(|(own, band)| band.fit(own, &in_use));
        let mut needed = vec![[false; RATES.len()]; self.members.len()];
        for listener in self.members.iter().flatten() {
            listener.pairs.iter().for_each(|pair| needed[pair.from.index()][listener.band] = true);
        }
        for (member, needed) in self.members.iter_mut().zip(needed) {
            let Some(member) = member else { continue };
            for (band, conversion) in member.conversions.iter_mut().enumerate() {
                if !needed[band] || band == member.band {
                    *conversion = None;
                } else if conversion.is_none() {
                    *conversion = Some(Box::new(Conversion::new(member.band, band)));
                    member.cold = true;
                }
            }
        }
    }

    /// Updates the gains of this tick: each goes from its last value to its target.
    fn move_gains(&mut self) {
        let Mix { members, .. } = self;
        for index in 0..members.len() {
            // Taken out for a moment, because the gains depend on other members.
            let Some(mut pairs) = members[index].as_mut().map(|member| std::mem::take(&mut member.pairs)) else {
                continue;
            };
            pairs.retain_mut(|pair| {
                let Some(Some(from)) = members.get(pair.from.index()) else { return false };
                let (wanted, base) = (from.heard_by.gain_to(Party(index as u32)), from.heard_by.base());
                let to = if from.cold { pair.gain.1 } else { pair.asked.unwrap_or(wanted) };
                pair.gain = (pair.gain.1, to);
                // A pair is superfluous once it equals the base and both have reached their targets.
                pair.asked.is_some() || wanted != base || pair.gain != (base, base) || from.base.1 != base
            });
            if let Some(member) = &mut members[index] {
                member.pairs = pairs;
            }
        }
        for member in members.iter_mut().flatten() {
            let wanted = member.heard_by.base();
            member.base = (member.base.1, if member.cold { member.base.1 } else { wanted });
            member.cold = false;
        }
    }

    fn follow_speaker(&mut self) -> Option<SpeakerChange> {
        let Mix { members, speaker, told, .. } = self;
        let (mut loudest, mut active_level) = (None, None);
        for (index, member) in members.iter().enumerate() {
            let Some(member) = member else { continue };
            if member.stay != Stay::Here || member.heard_by != HeardBy::All {
                continue;
            }
            let Some(level) = member.voice.speaking() else { continue };
            if loudest.is_none_or(|(_, most)| level > most) {
                loudest = Some((index, level));
            }
            if speaker.active() == Some(index) {
                active_level = Some(level);
            }
        }
        speaker.on_tick(loudest, active_level);
        let before = std::mem::replace(told, speaker.active());
        let name = |index: Option<usize>| index.map(|index| Party(index as u32));
        (before != *told).then(|| SpeakerChange { before: name(before), after: name(*told) })
    }
}

#[cfg(test)]
mod tests;
