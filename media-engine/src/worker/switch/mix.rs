//! Conferences: mixed legs, each of which hears the others.
//!
//! ```text
//! tick ─▶ every leg of the phase: pull ─▶ mix_phase: say of every leg, mix ─▶ every leg: Path::Generate(Source::Mix): hear
//! ```
//!
//! Invariants:
//! - The legs of a conference tick in one phase, so each is heard by the others in the same tick. Alignment never moves
//!   a single one of them to another phase.
//! - A leg speaks and hears at one rate: that of its codec; Opus at the widest rate that another leg provides, and
//!   never at a lower one than before, because a change costs its playout buffer.
//! - A conference is freed with its last leg. Everything that ends a leg takes it out of its conference first.
//! - A panic while a conference is mixed ends its legs and is counted; all other legs continue.
//!
//! Not here: the sums ([`crate::audio::mix`]) and the purpose of a conference (`call`). Keys are not mixed; they are
//! reported as events.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use codecs::splice;

use super::leg::{Leg, Source};
use super::{Slot, Switch, panic_text};
use crate::audio::{HeardBy, Mix, Party, SpeakerChange};
use crate::units::{ConferenceId, LegId, SampleRate};
use crate::worker::command::{ConferenceRole, WorkerEventKind};
use crate::worker::outbox::Outbox;

/// Length of the longest fade in samples: at 48 kHz.
const SEAM: usize = splice::overlap(SampleRate::HZ_48000);

/// A leg's place in a conference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    at: usize,
    role: ConferenceRole,
    /// Present as soon as a codec is known.
    party: Option<(Party, SampleRate)>,
}

impl Seat {
    /// Returns the index of the conference.
    pub(super) fn conference(&self) -> usize {
        self.at
    }

    /// Returns the rate at which the leg speaks and hears.
    pub(super) fn rate(&self) -> Option<SampleRate> {
        self.party.map(|(_, rate)| rate)
    }
}

/// State of one conference.
struct Conference {
    id: ConferenceId,
    phase: usize,
    mix: Mix,
    members: Vec<Slot>,
    /// Requested gains, kept for legs that are mixed later or at another rate.
    gains: Vec<PairGain>,
}

struct PairGain {
    from: Slot,
    to: Slot,
    gain: f32,
}

/// The conferences of one worker.
#[derive(Default)]
pub(super) struct Conferences {
    rooms: Vec<Option<Box<Conference>>>,
    by_id: HashMap<ConferenceId, usize>,
}

impl Conferences {
    /// Returns the number of conferences.
    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Writes the samples that the leg in `seat` hears in this tick.
    pub(super) fn hear(&mut self, seat: Option<Seat>, pcm: &mut [i16]) {
        let room = seat.and_then(|seat| Some((self.rooms.get_mut(seat.at)?.as_mut()?, seat.party?.0)));
        match room {
            Some((room, party)) => room.mix.hear(party, pcm),
            None => pcm.fill(0),
        }
    }

    /// Returns the index of the conference; opens it if it does not exist.
    fn open(&mut self, id: ConferenceId, phase: usize) -> usize {
        if let Some(&at) = self.by_id.get(&id) {
            return at;
        }
        let at = self.rooms.iter().position(Option::is_none).unwrap_or(self.rooms.len());
        if at == self.rooms.len() {
            self.rooms.push(None);
        }
        let conference = Conference { id, phase, mix: Mix::new(), members: Vec::new(), gains: Vec::new() };
        self.rooms[at] = Some(Box::new(conference));
        self.by_id.insert(id, at);
        at
    }

    /// Makes the next tick of this conference panic.
    #[cfg(test)]
    pub(super) fn spoil(&mut self, id: ConferenceId) {
        let at = self.by_id[&id];
        self.rooms[at].as_mut().expect("the conference is open").members.push(Slot(u32::MAX));
    }

    fn room(&mut self, at: usize) -> Option<&mut Conference> {
        self.rooms.get_mut(at)?.as_deref_mut()
    }
}

impl Switch {
    /// Adds a leg to a conference or changes its role there.
    pub(super) fn conference_join(&mut self, conference: ConferenceId, leg: LegId, role: ConferenceRole, now: Instant) {
        let Some(&slot) = self.by_id.get(&leg).filter(|_| role != ConferenceRole::Whisper(leg)) else {
            self.counters.commands_void += 1;
            return;
        };
        let there = self.conferences.by_id.get(&conference).copied();
        if let Some(seat) = self.leg_mut(slot).seat.as_mut().filter(|seat| Some(seat.at) == there) {
            seat.role = role;
        } else {
            self.unseat(slot, now);
            let phase = self.leg_mut(slot).timing.phase;
            let at = self.conferences.open(conference, phase);
            let Some(room) = self.conferences.room(at) else { return };
            room.members.push(slot);
            let (phase, members) = (room.phase, room.members.len());
            self.outbox.reserve(members);
            self.guarded(slot, now, |switch, leg| {
                leg.seat = Some(Seat { at, role, party: None });
                leg.timing.skips_tick = false;
                switch.rephase(leg, phase, now);
            });
        }
        self.refresh(slot, now);
    }

    /// Changes how loud one leg hears another.
    pub(super) fn conference_gain(&mut self, from: LegId, to: LegId, gain: Option<f32>) {
        let seat = |id| {
            let slot = *self.by_id.get(&id)?;
            Some((slot, self.legs.get(slot.index())?.as_ref()?.seat?))
        };
        let possible = gain.is_none_or(|gain| (0.0..=crate::audio::mix::MAX_GAIN).contains(&gain));
        let (Some((from, speaker)), Some((to, listener)), true) = (seat(from), seat(to), possible && from != to) else {
            self.counters.commands_void += 1;
            return;
        };
        let Some(room) = self.conferences.room(speaker.at).filter(|_| speaker.at == listener.at) else {
            self.counters.commands_void += 1;
            return;
        };
        room.gains.retain(|pair| (pair.from, pair.to) != (from, to));
        room.gains.extend(gain.map(|gain| PairGain { from, to, gain }));
        if let (Some((from, _)), Some((to, _))) = (speaker.party, listener.party) {
            room.mix.gain(from, to, gain);
        }
    }

    /// Takes a leg out of its conference.
    pub(super) fn conference_leave(&mut self, leg: LegId, now: Instant) {
        let seated = self.by_id.get(&leg).copied().filter(|&slot| self.leg_mut(slot).seat.is_some());
        let Some(slot) = seated else {
            self.counters.commands_void += 1;
            return;
        };
        self.unseat(slot, now);
        self.refresh(slot, now);
    }

    /// Takes the leg out of its conference, if it is in one. The caller chooses the leg's paths.
    pub(super) fn unseat(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get_mut(slot.index()) else { return };
        if let Some(seat) = leg.seat.take() {
            self.vacate(slot, seat, now);
        }
    }

    /// Frees the seat, also of a leg that no longer exists.
    pub(super) fn vacate(&mut self, slot: Slot, seat: Seat, now: Instant) {
        let Some(room) = self.conferences.room(seat.at) else { return };
        if let Some((party, _)) = seat.party {
            room.mix.leave(party);
        }
        room.members.retain(|&member| member != slot);
        room.gains.retain(|pair| pair.from != slot && pair.to != slot);
        if room.members.is_empty() {
            let id = room.id;
            self.conferences.by_id.remove(&id);
            self.conferences.rooms[seat.at] = None;
        } else {
            self.fit_conference(seat.at, None, now);
        }
    }

    /// Updates a conference's parties to the present rates, roles and gains of its legs. Legs whose rate changed get
    /// new codecs here, except for `except`, whose caller does so. Not on the packet path.
    pub(super) fn fit_conference(&mut self, at: usize, except: Option<Slot>, now: Instant) {
        let Switch { conferences, legs, .. } = self;
        let Some(room) = conferences.room(at) else { return };
        let rates = Rates::of(room.members.iter().filter_map(|slot| legs[slot.index()].as_deref()));
        let mut changed = Vec::new();
        for &slot in &room.members {
            let Some(leg) = legs[slot.index()].as_deref_mut() else { continue };
            let rate = rates.rate_for(leg);
            let Some(seat) = leg.seat.as_mut().filter(|seat| seat.rate() != rate) else { continue };
            if let Some((party, _)) = seat.party {
                room.mix.leave(party);
            }
            seat.party = rate.map(|rate| (room.mix.join(rate, HeardBy::Nobody), rate));
            changed.push(slot);
        }
        let party_of = |slot: Slot| Some(legs[slot.index()].as_ref()?.seat?.party?.0);
        for &slot in &room.members {
            let Some(seat) = legs[slot.index()].as_ref().and_then(|leg| leg.seat) else { continue };
            let Some((party, _)) = seat.party else { continue };
            let heard_by = match seat.role {
                ConferenceRole::Participant => HeardBy::All,
                ConferenceRole::Monitor => HeardBy::Nobody,
                ConferenceRole::Whisper(to) => {
                    let there = |slot: &&Slot| legs[slot.index()].as_ref().is_some_and(|leg| leg.id == to);
                    let to = room.members.iter().find(there).and_then(|&slot| party_of(slot));
                    to.map_or(HeardBy::Nobody, HeardBy::Only)
                }
            };
            room.mix.heard_by(party, heard_by);
        }
        for pair in room.gains.iter().filter(|pair| changed.contains(&pair.from) || changed.contains(&pair.to)) {
            if let (Some(from), Some(to)) = (party_of(pair.from), party_of(pair.to)) {
                room.mix.gain(from, to, Some(pair.gain));
            }
        }
        for slot in changed.into_iter().filter(|&slot| Some(slot) != except) {
            self.choose_path(slot, now);
            self.fit_codecs(slot, now);
        }
    }

    /// Mixes the conferences of a phase, after all of its legs have been pulled for this tick.
    pub(super) fn mix_phase(&mut self, phase: usize, now: Instant) {
        for at in 0..self.conferences.rooms.len() {
            let room = &mut self.conferences.rooms[at];
            let Some(mut room) = room.take_if(|room| room.phase == phase) else { continue };
            let Switch { legs, outbox, .. } = self;
            // The conference is dropped after a panic; the legs were only read.
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                room.mix(legs, outbox);
                room
            }));
            match outcome {
                Ok(room) => self.conferences.rooms[at] = Some(room),
                Err(panic) => self.on_mix_fault(at, panic_text(panic.as_ref()), now),
            }
        }
    }

    fn on_mix_fault(&mut self, at: usize, why: &str, now: Instant) {
        self.counters.panics += 1;
        self.conferences.by_id.retain(|_, other| *other != at);
        for index in 0..self.legs.len() {
            let Some(leg) = self.legs[index].as_mut().filter(|leg| leg.seat.is_some_and(|seat| seat.at == at)) else {
                continue;
            };
            leg.seat = None;
            self.remove(Slot(index as u32), Some(format!("a panic in its conference: {why}")), now);
        }
    }
}

impl Conference {
    fn mix(&mut self, legs: &[Option<Box<Leg>>], outbox: &mut Outbox) {
        for slot in &self.members {
            let Some(leg) = legs[slot.index()].as_deref() else { continue };
            let Some((party, rate)) = leg.seat.and_then(|seat| seat.party) else { continue };
            let said = !leg.speech.muted && !leg.speech.frame.samples.is_empty() && leg.speech.frame.rate == rate;
            self.mix.say(party, said.then_some(&*leg.speech.frame.samples));
        }
        if let Some(SpeakerChange { before, after }) = self.mix.mix() {
            for (party, active) in [(before, false), (after, true)] {
                let Some(party) = party else { continue };
                let mut members = self.members.iter().filter_map(|slot| legs[slot.index()].as_deref());
                let is = |leg: &&Leg| leg.seat.and_then(|seat| seat.party).is_some_and(|(other, _)| other == party);
                if let Some(leg) = members.find(is) {
                    let kind = WorkerEventKind::ActiveSpeaker { conference: self.id, active };
                    outbox.event(leg.slot, leg.id, kind);
                }
            }
        }
    }
}

/// Sample rates that the legs of a conference allow.
#[derive(Default)]
struct Rates {
    /// Widest rate of the legs whose codec has one rate.
    widest: Option<SampleRate>,
    /// Number of legs that can choose a rate.
    free: usize,
}

impl Rates {
    fn of<'a>(legs: impl Iterator<Item = &'a Leg>) -> Rates {
        let mut rates = Rates::default();
        for format in legs.filter_map(|leg| leg.format) {
            if format.has_free_rate() {
                rates.free += 1;
            } else {
                rates.widest = rates.widest.max(Some(format.codec_rate()));
            }
        }
        rates
    }

    /// Returns the rate for one of the legs; `None` while its codec is unknown.
    fn rate_for(&self, leg: &Leg) -> Option<SampleRate> {
        let format = leg.format?;
        if !format.has_free_rate() || self.free > 1 {
            return Some(format.codec_rate());
        }
        let tapped = if leg.speech.taps.is_empty() { SampleRate::HZ_8000 } else { SampleRate::HZ_16000 };
        let before = leg.seat.and_then(|seat| seat.rate());
        Some(tapped.max(self.widest.unwrap_or(tapped)).max(before.unwrap_or(tapped)))
    }
}

/// The end of the sound that a leg heard last, so that another source begins without a step.
pub(super) struct Seam {
    source: Option<Source>,
    rate: SampleRate,
    /// Samples backwards from the last one.
    tail: [i16; SEAM + 1],
}

impl Seam {
    pub(super) fn new() -> Seam {
        Seam { source: None, rate: SampleRate::HZ_8000, tail: [0; SEAM + 1] }
    }

    /// Fades from the previous sound into `pcm`, the next frame, if its source differs from the previous one.
    /// `follows`: the previous sound was generated too.
    pub(super) fn close(&mut self, source: Source, follows: bool, pcm: &mut [i16], rate: SampleRate) {
        let before = self.source.replace(source).filter(|_| follows);
        if before != Some(source) && (before.is_some() || source == Source::Mix) {
            let mut old = [0; SEAM];
            if before.is_some() && self.rate == rate {
                // The previous sound, mirrored about its last sample, continues with the same slope.
                let about = 2 * i32::from(self.tail[0]);
                for (old, &sample) in old.iter_mut().zip(&self.tail[1..]) {
                    *old = (about - i32::from(sample)).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
                }
            }
            splice::fade(&old, rate, pcm);
        }
        self.rate = rate;
        self.tail.iter_mut().zip(pcm.iter().rev()).for_each(|(kept, &sample)| *kept = sample);
    }
}
