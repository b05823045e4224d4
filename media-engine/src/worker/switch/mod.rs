//! The switch: all legs of one worker and the audio paths between them. Pure: it has no socket, no clock and no thread.
//!
//! ```text
//!            source leg                                              listening leg
//! datagram ─▶ checked, parsed ─┬─ relayed: same codec, or PCMU and PCMA ─▶ header mapped ─────▶ datagram
//!                              └─▶ Playout ─(tick)─▶ frame ─┬─▶ taps on what it says
//!                                                          └─▶ resample, or mix with others ─▶ duck ─▶ + Play ─┬─▶ taps on what it hears
//!                                                                                                            └─▶ encode ─▶ datagram
//! ```
//!
//! The driver must empty `poll_output` after every [`Switch::handle`], and pass in [`Input::Timeout`] when
//! `poll_timeout` is due.
//!
//! Invariants:
//! - Every leg ticks each 20 ms in one of twenty phases 1 ms apart. The phase follows the arrival of the leg's packets
//!   (`align`). A leg's speech is heard by its peer in the speaker's tick, generated sound (tone, silence) in the
//!   listener's tick.
//! - A leg's outgoing stream has one SSRC with unbroken numbering over relay, decoded path, tones and silence.
//! - A listener's sound is relayed or generated, decided per direction; a tap does not change that.
//! - No allocation per packet or frame (`tests/no_alloc_worker.rs`), except for browser legs until they are connected,
//!   and at their timers: str0m allocates.
//! - A panic during work on a leg ends that leg and its bridged peer and is counted; all others continue. In a
//!   conference it ends only that leg.
//!
//! Not here: sockets and event channels (`thread`), and the decisions about which leg hears which (`call`).
//!
//! Sources: RFC 3550, RFC 4733, RFC 7362 (latching).

mod align;
mod browser;
mod demux;
mod frame;
mod input;
mod keys;
mod leg;
mod legs;
mod mix;
mod overhear;
mod paths;
mod receive;
mod relay;
mod report;
mod send;
mod transport;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

use codecs::opus::OpusSettings;

use super::command::{Census, GAIN_DB, WorkerCommand};
use super::music::Music;
use super::outbox::{Outbox, Output};
use crate::audio::tap::TapPoint;
use crate::units::LegId;

pub use input::{Bytes, Input, Outcome};
use leg::{Leg, Tap};
pub use legs::MovingLeg;

/// Length of a tick and of the frames that it moves: 20 ms.
pub const TICK: Duration = Duration::from_millis(20);
/// Phases of ticks, 1 ms apart: the work of a tick is spread over its length.
const PHASES: usize = 20;
/// A leg whose packets are relayed both ways ticks only once in this many rounds, for its upkeep: 200 ms.
const REST_ROUNDS: u32 = 10;
/// A worker that was held up longer than this does not make up for the missed ticks.
const MAX_LAG: Duration = Duration::from_millis(200);
/// Largest number of source addresses of a browser leg at one time.
const MAX_SOURCES: usize = 32;

/// Index of a leg in the worker; reused after the leg has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u32);

impl Slot {
    /// Returns the slot as an index into tables of legs.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Socket that a datagram arrived at or leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Socket {
    /// The leg's even port, for RTP.
    Rtp,
    /// The leg's odd port, for RTCP.
    Rtcp,
    /// The worker's shared port with this index, for browser legs.
    Shared(usize),
}

/// Counters since the switch was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams passed in.
    pub datagrams: u64,
    /// RTP packets sent, over any path.
    pub packets_sent: u64,
    /// Packets of these that were relayed: header mapped, between PCMU and PCMA also every byte.
    pub packets_relayed: u64,
    /// Datagrams from an address that does not belong to the leg.
    pub foreign: u64,
    /// Packets from an address that may yet prove to belong to a leg behind NAT.
    pub unproven: u64,
    /// Legs behind NAT whose media turned out to come from a new address.
    pub sources_moved: u64,
    /// Datagrams that were not a valid packet for the leg.
    pub malformed: u64,
    /// Encrypted datagrams that the leg's key could not open.
    pub unauthentic: u64,
    /// Packets that had arrived before; with SRTP also packets that were far too late.
    pub replayed: u64,
    /// Valid packets that could not be forwarded: on hold, no common telephone-event, or before a new base.
    pub unroutable: u64,
    /// Datagrams at the shared port that belong to no leg.
    pub strangers: u64,
    /// Frames generated for listeners.
    pub frames: u64,
    /// Frames that could not be encoded or sent.
    pub frames_failed: u64,
    /// Ticks skipped because the worker was held up.
    pub ticks_skipped: u64,
    /// Chunks of voice that did not fit into their queue.
    pub play_overflow: u64,
    /// Commands that named an unknown leg or did not fit their leg.
    pub commands_void: u64,
    /// Legs that were found dead: nothing arrived for their time-out.
    pub media_timeouts: u64,
    /// Panics that were caught.
    pub panics: u64,
}

/// All legs of one worker. See the module head.
pub struct Switch {
    legs: Vec<Option<Box<Leg>>>,
    free: Vec<Slot>,
    by_id: HashMap<LegId, Slot>,
    by_ufrag: HashMap<String, Slot>,
    by_source: HashMap<SocketAddr, Slot>,
    phases: [Phase; PHASES],
    /// By slot: only upkeep is due at the leg's tick.
    rests: Vec<bool>,
    shared: Vec<SocketAddr>,
    outbox: Outbox,
    counters: Counters,
    random: Random,
    scratch: Scratch,
    /// Legs whose paths must be chosen again.
    stale: Vec<Slot>,
    /// Settings of Opus encoders while CPU is available.
    opus: OpusSettings,
    /// Present effort of encoders that offer a choice.
    effort: u8,
    conferences: mix::Conferences,
    /// Browser legs that are connecting: their timers are exact to the millisecond, later they wait for the tick.
    connecting: Vec<Slot>,
    born: (Instant, SystemTime),
}

/// Legs that tick together.
struct Phase {
    due: Instant,
    /// Number of ticks so far.
    round: u32,
    slots: Vec<Slot>,
}

/// Buffers for the work in progress.
struct Scratch {
    /// One frame; or a run of samples that is cut into packets, and the packets behind it: 60 ms that wait, a frame,
    /// 240 ms that a playout may have decoded ahead, and a splice, at 48 kHz, twice.
    pcm: Box<[i16]>,
    payload: [u8; 2048],
}

/// Generates numbers that cannot be guessed by counting: SplitMix64 over a random seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Switch {
    /// Creates an empty switch. `seed` is random; `shared` are the addresses of the worker's ports for browser legs, in
    /// order; `wall` is the time of day at `now`.
    pub fn new(seed: u64, shared: Vec<SocketAddr>, now: Instant, wall: SystemTime) -> Switch {
        let phase =
            |index: usize| Phase { due: now + Duration::from_millis(index as u64), round: 0, slots: Vec::new() };
        Switch {
            legs: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_source: HashMap::new(),
            rests: Vec::new(),
            phases: std::array::from_fn(phase),
            shared,
            outbox: Outbox::new(),
            counters: Counters::default(),
            random: Random(seed),
            scratch: Scratch { pcm: vec![0; 2 * 48 * (60 + 20 + 240 + 10)].into(), payload: [0; 2048] },
            stale: Vec::with_capacity(64),
            opus: OpusSettings::default(),
            effort: OpusSettings::default().complexity,
            conferences: mix::Conferences::default(),
            connecting: Vec::new(),
            born: (now, wall),
        }
    }

    /// Sets how Opus is encoded; `dtx` is ignored, because each far end chooses it.
    pub fn with_opus(mut self, opus: OpusSettings) -> Switch {
        (self.opus, self.effort) = (opus, opus.complexity);
        self
    }

    /// Handles an input at time `now`, which never goes back. An input that names an unknown leg, or does not fit its
    /// leg, is counted and does nothing.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Outcome {
        match input {
            Input::Datagram { slot, component, from, mut bytes } => {
                self.leg_datagram(slot, component, from, &mut bytes, now);
            }
            Input::SharedDatagram { port, from, mut bytes } => self.shared_datagram(port, from, &mut bytes, now),
            Input::Timeout => self.run_due_phases(now),
            Input::Command(command) => self.command(command, now),
            Input::Open { leg, audio, nat } => return self.open_rtp(leg, audio, nat, now),
            Input::OpenBrowser { leg, peer } => return self.open_browser(leg, peer, now),
            Input::Detach { leg } => return self.detach(leg, now),
            Input::Attach { leg, moving } => return self.attach(leg, moving, now),
            Input::WebRtcAnswer { leg, sdp } => return Outcome::Applied(self.webrtc_answer(leg, &sdp, now)),
            Input::WebRtcReoffer { leg, sdp } => return Outcome::Answer(self.webrtc_reoffer(leg, &sdp, now)),
            Input::Tap { leg, point, tap, writer } => self.with_leg(leg, now, |_, leg| {
                let taps = match point {
                    TapPoint::Speech => &mut leg.speech.taps,
                    TapPoint::Hearing => &mut leg.hearing.taps,
                };
                taps.push(Tap { id: tap, writer });
            }),
            Input::Untap { leg, taps } => self.with_leg(leg, now, |_, leg| {
                leg.speech.taps.retain(|tap| !taps.contains(&tap.id));
                leg.hearing.taps.retain(|tap| !taps.contains(&tap.id));
            }),
            Input::Effort { complexity } => self.set_effort(complexity),
            Input::Fail { leg, why } => self.end(leg, Some(why), now),
        }
        Outcome::Done
    }

    /// Executes a command.
    fn command(&mut self, command: WorkerCommand, now: Instant) {
        match command {
            WorkerCommand::RtpUpdate { leg, audio } => self.rtp_update(leg, audio, now),
            WorkerCommand::Bridge { a, b } => self.bridge(a, b, now),
            WorkerCommand::Unbridge { leg } => match self.by_id.get(&leg) {
                Some(&slot) => self.part(slot, now),
                None => self.counters.commands_void += 1,
            },
            WorkerCommand::ConferenceJoin { conference, leg, role } => self.conference_join(conference, leg, role, now),
            WorkerCommand::ConferenceGain { from, to, gain } => self.conference_gain(from, to, gain),
            WorkerCommand::ConferenceLeave { leg } => self.conference_leave(leg, now),
            WorkerCommand::Overhear { leg, of } => self.overhear(leg, &of, now),
            WorkerCommand::App { leg, app } => self.with_leg(leg, now, |_, leg| leg.hearing.app = app),
            WorkerCommand::Play { leg, segment, rate, samples, last } => self.with_leg(leg, now, |switch, leg| {
                let (slot, id) = (leg.slot, leg.id);
                let Switch { outbox, counters, .. } = switch;
                let mut notice = |notice| outbox.event(slot, id, leg::play_event(notice, now));
                if !leg.hearing.play.push(segment, rate, samples, last, &mut notice) {
                    counters.play_overflow += 1;
                }
            }),
            WorkerCommand::StopPlay { leg, segment } => self.with_leg(leg, now, |switch, leg| {
                let (slot, id) = (leg.slot, leg.id);
                let mut notice = |notice| switch.outbox.event(slot, id, leg::play_event(notice, now));
                match segment {
                    Some(segment) => leg.hearing.play.cancel(segment, &mut notice),
                    None => leg.hearing.play.stop(&mut notice),
                }
            }),
            WorkerCommand::SilenceOriginal { leg, silenced } => {
                self.with_leg(leg, now, |_, leg| leg.hearing.silenced = silenced);
            }
            WorkerCommand::Mute { leg, muted } => self.with_leg(leg, now, |_, leg| leg.speech.muted = muted),
            WorkerCommand::Gain { leg, db } if GAIN_DB.contains(&db) => {
                self.with_leg(leg, now, |_, leg| leg.speech.change_gain(db));
            }
            WorkerCommand::Gain { .. } => self.counters.commands_void += 1,
            WorkerCommand::Music { leg, rate, samples } => {
                self.with_leg(leg, now, |_, leg| leg.hearing.music = Music::new(rate, samples));
            }
            WorkerCommand::MediaTimeout { leg, after } => {
                self.with_leg(leg, now, |_, leg| leg.reporting.timeout = after);
            }
            WorkerCommand::SendDtmf { leg, digit, duration_ms } => self.with_leg(leg, now, |switch, leg| {
                if !leg.press(digit, duration_ms) {
                    switch.counters.commands_void += 1;
                }
            }),
            WorkerCommand::LegClose { leg } => self.end(leg, None, now),
        }
    }

    /// Returns when [`Input::Timeout`] is due; `None` while there is no leg.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ticks = self.phases.iter().filter(|phase| !phase.slots.is_empty()).map(|phase| phase.due);
        let timer = |slot: &Slot| Some(self.legs.get(slot.index())?.as_ref()?.transport.browser()?.timer_at);
        let timers = self.connecting.iter().filter_map(timer);
        ticks.chain(timers).min()
    }

    /// Returns the first time at or after `at` at which ticks may be due.
    pub(super) fn next_tick_after(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.born.0).as_micros().div_ceil(1_000);
        self.born.0 + Duration::from_millis(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Returns the next datagram or event, which the driver must deliver; `None` when all are done.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.outbox.next()
    }

    /// Returns the counters since the switch was created.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns how many datagrams and events did not fit into the outbox.
    pub fn outbox_overflow(&self) -> u64 {
        self.outbox.overflow
    }

    /// Counts the switch's legs and conferences; `ports` and `mailbox` are left 0 for the driver to fill in.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for leg in self.legs.iter().flatten() {
            census.legs += 1;
            census.browser_legs += usize::from(leg.transport.is_browser());
            census.bridged += usize::from(leg.peer.is_some());
            census.mixed += usize::from(leg.seat.is_some());
            census.taps += leg.taps().count();
            census.overhearing += usize::from(leg.hearing.ears.is_some());
            census.overheard += usize::from(!leg.speech.overheard.is_empty());
            if let Some(flow) = leg.reporting.flow.flow() {
                census.incoming[flow.incoming.index()] += 1;
                census.outgoing[flow.outgoing.index()] += 1;
            }
        }
        census.conferences = self.conferences.count();
        census
    }

    /// Returns the slot of the leg, if the leg exists.
    pub fn slot_of(&self, id: LegId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// Returns an arbitrary leg, so that the driver can close all legs one by one and empty the outbox in between.
    pub fn any_leg(&self) -> Option<LegId> {
        self.by_id.keys().next().copied()
    }

    /// Returns the leg's taps that no longer have a reader, for `Input::Untap`.
    pub fn deserted_taps(&self, id: LegId) -> Vec<u64> {
        let leg = self.by_id.get(&id).and_then(|slot| self.legs.get(slot.index())?.as_ref());
        leg.map_or_else(Vec::new, |leg| leg.taps().filter(|tap| tap.is_deserted()).map(|tap| tap.id).collect())
    }
}

/// Runs work on untrusted bytes and turns a panic into an error text. After an error, the object worked on must not be
/// used again.
pub(super) fn contained<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| format!("a panic in the media path: {}", panic_text(panic.as_ref())))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_srtp;
#[cfg(test)]
mod tests_webrtc;
