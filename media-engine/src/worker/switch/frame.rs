//! Ticks: frames out of the playout buffers, through taps and paths, into the listeners' encoders.
//!
//! ```text
//! phase due ─▶ every leg of the phase: Playout::pull ─▶ frame ─▶ taps
//!           ─▶ every leg of the phase: source's frame | tone | silence ─▶ duck ─▶ + Play ─▶ encode ─▶ send
//!           ─▶ every leg of the phase: RTCP, time-outs, reports
//! ```

use std::time::Instant;

use super::leg::{Leg, Path, Source, play_event};
use super::{MAX_LAG, Slot, Switch, TICK};

impl Switch {
    /// Runs every phase that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
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
        }
    }

    fn tick(&mut self, index: usize, now: Instant) {
        let mut at = 0;
        // A leg that fails in a pass leaves the list: the next one then stands in its place.
        let passes: [fn(&mut Switch, Slot, Instant); 3] = [Switch::tick_in, Switch::tick_out, Switch::tick_upkeep];
        for pass in passes {
            while let Some(&slot) = self.phases[index].slots.get(at) {
                pass(self, slot, now);
                if self.phases[index].slots.get(at) == Some(&slot) {
                    at += 1;
                }
            }
            at = 0;
        }
    }

    /// First pass: what the leg says now.
    fn tick_in(&mut self, slot: Slot, now: Instant) {
        self.guarded(slot, now, |switch, leg| {
            leg.pull(now);
            if let (Some(format), Some(digit)) = (leg.format, leg.events_in.on_timeout(now)) {
                switch.on_digit(leg, &format, digit);
            }
        });
    }

    /// Second pass: what the leg hears now.
    fn tick_out(&mut self, slot: Slot, now: Instant) {
        self.guarded(slot, now, |switch, leg| {
            if let Path::Generate(source) = leg.path {
                switch.generate(leg, source, now);
            }
        });
    }

    fn generate(&mut self, leg: &mut Leg, source: Source, now: Instant) {
        let Some(format) = leg.format else { return };
        if leg.keys.is_busy() {
            self.send_key(leg, &format, now);
            leg.talking = false;
            return;
        }
        if !leg.can_send() {
            leg.outgoing.skip(format.tick());
            leg.talking = false;
            return;
        }
        let Some(send) = leg.send.as_mut() else { return };
        let rate = send.rate();
        let pcm = &mut self.scratch.pcm[..rate.samples_in_ms(20)];
        match source {
            Source::Tone => send.tone(pcm),
            Source::Silence => pcm.fill(0),
            Source::Leg(from) if from == leg.slot => send.fit(&leg.frame, pcm),
            Source::Leg(from) => match self.legs.get(from.index()) {
                Some(Some(other)) => send.fit(&other.frame, pcm),
                _ => pcm.fill(0),
            },
        }
        let active = leg.play.is_active();
        leg.ducker.process(active, pcm, rate);
        if !leg.play.is_idle() {
            let (slot, id, outbox) = (leg.slot, leg.id, &mut self.outbox);
            leg.play.mix(pcm, rate, &mut |notice| outbox.event(slot, id, play_event(notice, now)));
            leg.played_at = Some(now);
        }
        self.counters.frames += 1;
        self.encode(leg, &format, rate.samples_in_ms(20), now);
    }
}
