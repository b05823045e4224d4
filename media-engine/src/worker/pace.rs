//! Measures a worker's load and derives from it how often the thread looks for packets, how hard encoders work, and
//! whether new calls are admitted.
//!
//! ```text
//! run time of the thread ─▶ load (share of one CPU, over the last second)
//!    low-delay    woken by every packet that is relayed
//!    throughput   packets gather for 1 ms: a wake-up costs several times what a relayed packet costs
//!    auto         low-delay below half a CPU, throughput above
//!    load > 60 %  encoders that offer a choice work less hard, in steps
//!    load > 85 %  placement refuses new calls before running ones suffer
//! ```
//!
//! Packets that wait for their tick in a playout buffer anyway gather under every profile: it adds no delay.
//!
//! Where many packets gather, the thread works by a beat, in time with its ticks: setting a timer for each rest costs
//! more than the rest saves, especially on a virtual machine.

use std::time::{Duration, Instant};

use crate::config::Profile;

/// How often the load is measured.
const WINDOW: Duration = Duration::from_millis(100);
/// Time for which packets gather.
pub(crate) const GATHER: Duration = Duration::from_millis(1);
/// Packets per window that make a beat worth while: one every other millisecond.
const BEAT_FROM: u64 = 50;
/// Load at which `auto` begins to gather.
const BUSY: f32 = 0.5;
/// Load below which `auto` stops gathering. Gathering about halves the load, so half of [`BUSY`] would alternate.
const CALM: f32 = 0.2;
/// Weight of a window in the load: a memory of about a second.
const SMOOTHING: f32 = 0.15;

/// Effort of encoders from a given load on, in ascending order of load.
const EFFORTS: [(f32, u8); 3] = [(0.6, 3), (0.7, 1), (0.8, 0)];
/// A step is taken back only when the load is this much below it, because the lower effort itself reduced the load.
const EFFORT_BACK: f32 = 0.25;

/// Decides how long a worker rests between two looks at its sockets. See the module head.
#[derive(Debug)]
pub(crate) struct Pace {
    profile: Profile,
    window_start: Instant,
    ran_before: Duration,
    packets: u64,
    relayed_before: u64,
    load: f32,
    busy: bool,
    gathers: bool,
    beats: bool,
    full_effort: u8,
    effort: u8,
}

impl Pace {
    /// Starts the first window. `full_effort` is the effort of encoders while CPU is available, `ran` the thread's run
    /// time so far.
    pub(crate) fn new(profile: Profile, full_effort: u8, now: Instant, ran: Duration) -> Pace {
        let busy = profile == Profile::Throughput;
        Pace {
            profile,
            window_start: now,
            ran_before: ran,
            packets: 0,
            relayed_before: 0,
            load: 0.0,
            busy,
            gathers: busy,
            beats: false,
            full_effort,
            effort: full_effort,
        }
    }

    /// Returns the effort of encoders if it has changed since the last call.
    pub(crate) fn new_effort(&mut self) -> Option<u8> {
        let at = |load: f32| {
            let step = EFFORTS.iter().rev().find(|(from, _)| load > *from);
            step.map_or(self.full_effort, |&(_, effort)| effort.min(self.full_effort))
        };
        let effort = self.effort.min(at(self.load)).max(at(self.load + EFFORT_BACK));
        (effort != std::mem::replace(&mut self.effort, effort)).then_some(effort)
    }

    /// Counts the packets that a look found.
    pub(crate) fn on_packets(&mut self, packets: u64) {
        self.packets += packets;
    }

    /// Whether `on_window` is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.window_start) >= WINDOW
    }

    /// Ends a window. `ran` is the thread's run time and `relayed` the number of relayed packets, both since the start.
    pub(crate) fn on_window(&mut self, now: Instant, ran: Duration, relayed: u64) {
        let span = now.saturating_duration_since(self.window_start).as_secs_f32();
        let share = ran.saturating_sub(self.ran_before).as_secs_f32() / span.max(1e-3);
        self.load += SMOOTHING * (share.min(1.0) - self.load);
        self.busy = match self.profile {
            Profile::Throughput => true,
            Profile::LowDelay => false,
            Profile::Auto => self.load > if self.busy { CALM } else { BUSY },
        };
        self.gathers = self.busy || (self.packets > 0 && relayed == self.relayed_before);
        self.beats = self.gathers && self.packets >= BEAT_FROM;
        (self.window_start, self.ran_before, self.packets, self.relayed_before) = (now, ran, 0, relayed);
    }

    /// Returns the share of one CPU that the thread used lately, 0 to 1.
    pub(crate) fn load(&self) -> f32 {
        self.load
    }

    /// Whether relayed packets wait for others, as the profile in force says.
    pub(crate) fn is_gathering(&self) -> bool {
        self.busy
    }

    /// Whether to work by a beat of [`GATHER`] instead of waking up for packets.
    pub(crate) fn is_beating(&self) -> bool {
        self.beats
    }

    /// Returns the end of the rest after a look at `looked`; `None` means no rest.
    pub(crate) fn rest_until(&self, looked: Instant) -> Option<Instant> {
        self.gathers.then(|| looked + GATHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Run {
        pace: Pace,
        now: Instant,
        ran: Duration,
        relayed: u64,
    }

    impl Run {
        fn new(profile: Profile) -> Run {
            let now = crate::units::test_epoch();
            Run { pace: Pace::new(profile, 5, now, Duration::ZERO), now, ran: Duration::ZERO, relayed: 0 }
        }

        /// Runs five seconds at this load and returns whether the worker rests then.
        fn at(&mut self, load: f32, relays: bool) -> bool {
            for _ in 0..50 {
                self.now += WINDOW;
                self.ran += WINDOW.mul_f32(load);
                self.relayed += u64::from(relays);
                self.pace.on_packets(10);
                assert!(self.pace.is_due(self.now));
                self.pace.on_window(self.now, self.ran, self.relayed);
            }
            assert!((self.pace.load() - load).abs() < 0.01, "{}", self.pace.load());
            self.pace.rest_until(self.now).is_some()
        }
    }

    #[test]
    fn auto_gathers_from_half_a_cpu_until_it_is_calm() {
        let mut run = Run::new(Profile::Auto);
        for (load, expected) in [(0.4, false), (0.6, true), (0.3, true), (0.1, false), (0.45, false)] {
            assert_eq!(run.at(load, true), expected, "load {load}");
            assert_eq!(run.pace.is_gathering(), expected);
        }
    }

    #[test]
    fn the_other_profiles_ignore_the_load() {
        assert!(Run::new(Profile::Throughput).at(0.01, true));
        assert!(!Run::new(Profile::LowDelay).at(0.99, true));
    }

    #[test]
    fn encoders_work_less_hard_under_load_and_harder_again_well_below_it() {
        let mut run = Run::new(Profile::Auto);
        let cases =
            [(0.5, None), (0.65, Some(3)), (0.5, None), (0.9, Some(0)), (0.6, None), (0.5, Some(1)), (0.2, Some(5))];
        for (load, expected) in cases {
            run.at(load, true);
            assert_eq!(run.pace.new_effort(), expected, "load {load}");
        }
    }

    #[test]
    fn many_packets_that_gather_are_read_by_a_beat() {
        for (profile, beats) in [(Profile::Throughput, true), (Profile::LowDelay, false)] {
            let mut run = Run::new(profile);
            run.at(0.1, true);
            assert!(!run.pace.is_beating(), "few packets");
            run.now += WINDOW;
            run.relayed += 1;
            run.pace.on_packets(BEAT_FROM);
            run.pace.on_window(run.now, run.ran, run.relayed);
            assert_eq!(run.pace.is_beating(), beats);
            run.at(0.1, true);
            assert!(!run.pace.is_beating(), "few packets again");
        }
    }

    #[test]
    fn packets_that_wait_for_a_tick_gather_under_every_profile() {
        let mut run = Run::new(Profile::LowDelay);
        assert!(run.at(0.1, false));
        assert!(!run.pace.is_gathering(), "no relayed packet waits");
        assert!(!run.at(0.1, true));
    }
}
