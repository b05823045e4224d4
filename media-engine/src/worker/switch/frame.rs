//! Ticks: frames from the playout buffers pass through taps and paths into the listeners' encoders.
//!
//! ```text
//! phase due ─▶ every leg of the phase: Playout::pull ─▶ frame ─▶ taps on what it says
//!           ─▶ every conference of the phase: mix
//!           ─▶ its listener, and every leg that hears no other leg: frame | mix | tone | silence ─▶ duck ─▶ + Play ─▶ frame
//!              frame ─▶ taps on what the listener hears; ─▶ encode ─▶ send
//!           ─▶ every leg of the phase: RTCP, time-outs, reports; its tick moves nearer to its packets
//! ```

use std::time::Instant;

use super::leg::{Entry, Format, Frame, Hearing, Leg, Path, Source, play_event};
use super::transport::Transport;
use super::{MAX_LAG, REST_ROUNDS, Slot, Switch, TICK};
use crate::audio::Original;
use crate::audio::tap::FrameKind;

/// Longest gap between relayed packets and frames, in ticks, that counts as loss.
const LONGEST_GAP: i32 = 10;

impl Switch {
    /// Runs every phase that is due, or as many as fit into the outbox; `poll_timeout` is then still due.
    pub(super) fn run_due_phases(&mut self, now: Instant) {
        self.handle_connecting(now);
        for index in 0..self.phases.len() {
            let due = self.phases[index].due;
            if self.phases[index].slots.is_empty() || due > now {
                continue;
            }
            let lag = now.saturating_duration_since(due);
            if lag > MAX_LAG {
                let missed = (lag.as_nanos() / TICK.as_nanos()) as u32;
                self.counters.ticks_skipped += u64::from(missed);
                self.phases[index].due += TICK * missed;
            }
            let due = self.phases[index].due;
            self.phases[index].due += TICK;
            self.tick(index, due);
            if self.outbox.is_half_full() {
                return;
            }
        }
    }

    fn tick(&mut self, index: usize, now: Instant) {
        let mut at = 0;
        let round = self.phases[index].round.wrapping_add(1);
        self.phases[index].round = round;
        // A leg that fails in a pass leaves the list, and the next leg takes its index.
        let passes: [fn(&mut Switch, Slot, Instant); 4] =
            [Switch::tick_in, Switch::tick_out, Switch::tick_upkeep, Switch::tick_align];
        for (number, pass) in passes.into_iter().enumerate() {
            if number == 1 {
                self.mix_phase(index, now);
            }
            while let Some(&slot) = self.phases[index].slots.get(at) {
                if self.rests[slot.index()] && !round.wrapping_add(slot.0).is_multiple_of(REST_ROUNDS) {
                    at += 1;
                    continue;
                }
                pass(self, slot, now);
                if self.phases[index].slots.get(at) == Some(&slot) {
                    at += 1;
                }
            }
            at = 0;
        }
    }

    /// First pass: pulls the leg's frame.
    fn tick_in(&mut self, slot: Slot, now: Instant) {
        self.guarded(slot, now, |switch, leg| {
            if leg.timing.skips_tick {
                return;
            }
            leg.pull(switch.entry_into(leg), now);
            switch.let_overhear(leg);
            switch.copy_relayed(leg, now);
            if let (Some(format), Some(digit)) = (leg.format, leg.speech.events_in.on_timeout(now)) {
                switch.on_digit(leg, &format, digit, now);
            }
        });
    }

    /// Copies the leg's frame to the taps on what its listener hears, if the listener is sent the leg's packets themselves.
    fn copy_relayed(&mut self, leg: &mut Leg, now: Instant) {
        if !leg.speech.is_decoded() {
            return;
        }
        let Leg { slot, peer, speech, hearing, .. } = leg;
        let is_relayed = |hearing: &Hearing| hearing.path == Path::Relay(*slot);
        let Frame { samples, rate, kind } = &speech.frame;
        let peer = peer.and_then(|peer| self.legs.get_mut(peer.index())?.as_mut()).map(|peer| &mut peer.hearing);
        for listener in peer.into_iter().chain([hearing]).filter(|hearing| is_relayed(hearing)) {
            listener.copy_to_taps(samples, *rate, *kind, now);
        }
    }

    /// Returns the change of a listener from relayed packets of this leg to its frames.
    fn entry_into(&self, leg: &Leg) -> Option<Entry> {
        let hears = |listener: &&Leg| listener.hearing.path == Path::Generate(Source::Leg(leg.slot));
        let peer = leg.peer.and_then(|peer| self.legs.get(peer.index())?.as_deref());
        [Some(leg), peer].into_iter().flatten().filter(hears).find_map(|listener| listener.hearing.entry)
    }

    /// Second pass: generates the frame of the peer, which hears the leg, and of the leg itself if no other leg drives
    /// it.
    fn tick_out(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get(slot.index()) else { return };
        if leg.timing.skips_tick {
            return;
        }
        let speaks_to = leg.peer;
        if !leg.hearing.path.is_driven_by_another(slot) {
            self.generate_for(slot, now);
        }
        let hears = |other: &Leg| other.hearing.path == Path::Generate(Source::Leg(slot));
        if let Some(peer) = speaks_to
            && self.legs[peer.index()].as_deref().is_some_and(hears)
        {
            self.generate_for(peer, now);
        }
    }

    fn generate_for(&mut self, slot: Slot, now: Instant) {
        self.guarded(slot, now, |switch, leg| {
            if let Path::Generate(source) = leg.hearing.path {
                switch.generate(leg, source, now);
            }
        });
    }

    /// Third pass: RTCP, ICE and DTLS timers, reports, time-outs, and paths that may become relays again.
    fn tick_upkeep(&mut self, slot: Slot, now: Instant) {
        self.guarded(slot, now, |switch, leg| {
            match &mut leg.transport {
                Transport::Rtp(rtp) => {
                    if rtp.is_report_due(now) {
                        switch.outbox.transmit_report(slot, |out| rtp.write_report(now, out));
                    }
                }
                Transport::WebRtc(browser) => {
                    if browser.run_timers(now) {
                        switch.pump(leg, now);
                    }
                }
            }
            leg.report(&mut switch.outbox, &mut switch.counters, now);
            if leg.hearing.played_at.is_some() && leg.may_be_relayed_to(now) {
                leg.hearing.played_at = None;
                switch.stale.push(slot);
            } else if leg.hearing.keys.take_ended() {
                switch.stale.push(slot);
            }
            if leg.speech.drop_resting_gain() {
                switch.stale.push(slot);
            }
        });
        self.settle(slot, now);
    }

    /// Last pass: moves the tick towards the leg's packets.
    fn tick_align(&mut self, slot: Slot, now: Instant) {
        self.guarded(slot, now, |switch, leg| {
            if std::mem::take(&mut leg.timing.skips_tick) {
                return;
            }
            let phase = leg.align();
            switch.rephase(leg, phase, now);
        });
    }

    fn generate(&mut self, leg: &mut Leg, source: Source, now: Instant) {
        let Some(format) = leg.format else { return };
        if leg.hearing.keys.are_due(now) {
            leg.break_off();
            self.send_key(leg, &format, now);
            return;
        }
        if !leg.can_send() {
            if leg.connected {
                // On hold: queued voice would be outdated later, and everything after it would be delayed.
                let (slot, id, outbox) = (leg.slot, leg.id, &mut self.outbox);
                leg.hearing.play.stop(&mut |notice| outbox.event(slot, id, play_event(notice, now)));
            }
            leg.break_off();
            leg.hearing.outgoing.skip(format.tick());
            return;
        }
        if source == Source::Silence && leg.hearing.play.is_idle() && leg.settles() {
            leg.hearing.outgoing.skip(format.tick());
            return;
        }
        // The listener's source has changed, and with it the tick that serves it: a frame right after another would be
        // one too many.
        let before = leg.hearing.served.replace((source, now));
        if before.is_some_and(|(other, at)| other != source && now.saturating_duration_since(at) < TICK / 2) {
            leg.hearing.served = before;
            return;
        }
        let follows = leg.hearing.talking;
        let Some(heard_before) = self.enter(leg, &format, source, now) else { return };
        let Some(send) = leg.hearing.send.as_mut() else { return };
        let rate = send.rate();
        let pcm = &mut self.scratch.pcm[..rate.samples_in_ms(20)];
        match source {
            Source::Tone => send.tone(pcm),
            Source::Ringback | Source::Hold => send.waiting(source, pcm),
            Source::Music => match &mut leg.hearing.music {
                Some(music) => music.fill(pcm, rate),
                None => pcm.fill(0),
            },
            Source::Silence => pcm.fill(0),
            Source::Mix => self.conferences.hear(leg.seat, pcm),
            Source::Overheard => match &mut leg.hearing.ears {
                Some(ears) => ears.hear(pcm, rate),
                None => pcm.fill(0),
            },
            Source::Leg(from) if from == leg.slot => send.fit(&leg.speech.frame, pcm),
            Source::Leg(from) => match self.legs.get(from.index()) {
                Some(Some(other)) => send.fit(&other.speech.frame, pcm),
                _ => pcm.fill(0),
            },
        }
        leg.hearing.seam.close(source, follows, pcm, rate);
        let original = match source {
            Source::Leg(from) if leg.hearing.silenced && from != leg.slot => Original::Silent,
            _ if leg.hearing.play.is_active() => Original::Ducked,
            _ => Original::Full,
        };
        leg.hearing.ducker.process(original, pcm, rate);
        if original == Original::Silent {
            leg.hearing.played_at = Some(now);
        }
        if !leg.hearing.play.is_idle() {
            let (slot, id, outbox) = (leg.slot, leg.id, &mut self.outbox);
            leg.hearing.play.mix(pcm, rate, &mut |notice| outbox.event(slot, id, play_event(notice, now)));
            leg.hearing.played_at = Some(now);
        }
        leg.hearing.copy_to_taps(pcm, rate, FrameKind::Voice, now);
        self.counters.frames += 1;
        let frame = rate.samples_in_ms(20);
        if let (Some(exit), 0) = (leg.hearing.exit, heard_before)
            && self.leave(leg, &format, exit.from, frame, now)
        {
            leg.hearing.exit = None;
            return;
        }
        if !(format.noise.is_some() && self.is_quiet(leg, source)) {
            leg.hearing.break_silence();
        } else if self.pause(leg, &format, frame, now) {
            return;
        }
        let heard_before = frame * heard_before / TICK.as_micros() as usize;
        self.encode(leg, &format, heard_before..frame, now);
    }

    /// Whether the leg would only be sent the pause of another.
    fn is_quiet(&self, leg: &Leg, source: Source) -> bool {
        let Source::Leg(from) = source else { return false };
        let frame = if from == leg.slot {
            Some(&leg.speech.frame)
        } else {
            self.legs.get(from.index()).and_then(Option::as_ref).map(|source| &source.speech.frame)
        };
        let pauses = frame.is_some_and(|frame| frame.kind == FrameKind::Silence && !frame.samples.is_empty());
        pauses && leg.hearing.play.is_idle() && !leg.hearing.silenced
    }

    /// Begins frames for a leg that heard relayed packets until now, where those ended. Returns how much of this frame
    /// it has already heard, in microseconds; `None` if all of it, or if playout has not come that far.
    fn enter(&self, leg: &mut Leg, format: &Format, source: Source, now: Instant) -> Option<usize> {
        let (Some(entry), Source::Leg(from)) = (leg.hearing.entry, source) else { return Some(0) };
        let played_to = if from == leg.slot {
            leg.speech.played_to()
        } else {
            self.legs.get(from.index()).and_then(Option::as_ref).and_then(|source| source.speech.played_to())
        };
        let fresh = entry.beyond(played_to, now)?;
        let tick = format.tick() as i32;
        leg.hearing.entry = None;
        // A lost stretch in between shows in the time stamps; a source that paused or was replaced shows as time.
        let gap = fresh.saturating_sub(tick);
        if fresh <= 0 || gap > LONGEST_GAP * tick {
            return Some(0);
        }
        (leg.hearing.seamless, leg.hearing.talking) = (true, true);
        if gap >= 0 {
            leg.hearing.outgoing.skip(gap as u32);
            return Some(0);
        }
        Some((-gap) as usize * TICK.as_micros() as usize / tick.max(1) as usize)
    }
}
