//! The switch: all legs of one worker and the audio paths between them. Pure: no socket, no clock, no thread.
//!
//! ```text
//!            source leg                                              listening leg
//! datagram ─▶ checked, parsed ─┬─ relayed: same codec, or PCMU and PCMA ─▶ header mapped ─────▶ datagram
//!                              └─▶ Playout ─(tick)─▶ frame ─┬─▶ taps
//!                                                          └─▶ resample, or mix with others ─▶ duck ─▶ + Play ─▶ encode
//!                                                                                                           └─▶ datagram
//! ```
//!
//! The driver's duty: after every [`Switch::handle`] empty `poll_output`; hand in [`Input::Timeout`] when `poll_timeout` is due.
//!
//! Invariants:
//! - Every leg ticks each 20 ms in one of twenty phases 1 ms apart. The phase follows the arrival of the leg's packets (`align`);
//!   what a leg said is heard by its peer in the speaker's tick, what nobody said (tone, silence) in the listener's.
//! - A leg's outgoing stream has one SSRC with unbroken numbering over relay, decoded path, tones and silence.
//! - What a listener hears is relayed or generated, decided per direction; a tap changes nothing of it.
//! - No allocation per packet or frame (`tests/no_alloc_worker.rs`), browser legs apart until they are connected, and at
//!   their timers: str0m allocates.
//! - A panic while a leg is worked on ends that leg and its bridged peer, counted; all others go on. In a conference it ends
//!   that leg alone.
//!
//! Not here: sockets and event channels (`thread`), who is to hear whom and why (`call`).
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
use crate::units::LegId;

pub use input::{Bytes, Input, Outcome};
use leg::{Leg, Tap};
pub use legs::MovingLeg;

/// Length of a tick and of the frames that it moves.
pub const TICK: Duration = Duration::from_millis(20);
/// Phases of ticks, 1 ms apart: the work of a tick is spread over its length.
const PHASES: usize = 20;
/// A leg whose packets are relayed both ways ticks once in so many rounds, for its upkeep: 200 ms.
const REST_ROUNDS: u32 = 10;
/// A worker that was held up longer than this does not make up for the ticks it missed.
const MAX_LAG: Duration = Duration::from_millis(200);
/// Source addresses a browser leg may be known by at once.
const MAX_SOURCES: usize = 32;

/// A leg's place in the worker; used again after the leg is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u32);

impl Slot {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which socket a datagram came by or leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Socket {
    /// The leg's even port.
    Rtp,
    /// The leg's odd port.
    Rtcp,
    /// The worker's shared port number n, for browser legs.
    Shared(usize),
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed in.
    pub datagrams: u64,
    /// RTP packets sent, by any path.
    pub packets_sent: u64,
    /// Of these, relayed: header mapped, between PCMU and PCMA each byte too.
    pub packets_relayed: u64,
    /// Datagrams from an address that is not the leg's.
    pub foreign: u64,
    /// Packets from an address that may yet turn out to be that of a leg behind NAT.
    pub unproven: u64,
    /// Legs behind NAT whose media was found to come from another address than before.
    pub sources_moved: u64,
    /// Datagrams that were no valid packet of the leg's.
    pub malformed: u64,
    /// Encrypted datagrams that the leg's key did not open.
    pub unauthentic: u64,
    /// Packets that had come before; with keys also those far too late.
    pub replayed: u64,
    /// Valid packets that had nowhere to go: held, no common telephone-event, before a new base.
    pub unroutable: u64,
    /// Datagrams on the shared port of no leg.
    pub strangers: u64,
    /// Frames generated.
    pub frames: u64,
    /// Frames that could not be encoded or sent.
    pub frames_failed: u64,
    /// Ticks that were skipped because the worker was held up.
    pub ticks_skipped: u64,
    /// Chunks of voice that did not fit their queue.
    pub play_overflow: u64,
    /// Commands that named no leg or did not fit it.
    pub commands_void: u64,
    /// Legs that were found dead: nothing came for their time-out.
    pub media_timeouts: u64,
    /// Panics caught.
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
    /// By slot: nothing but upkeep is to be done at the leg's tick.
    rests: Vec<bool>,
    shared: Vec<SocketAddr>,
    outbox: Outbox,
    counters: Counters,
    random: Random,
    scratch: Scratch,
    /// Legs whose paths are to be chosen anew.
    stale: Vec<Slot>,
    /// How Opus is encoded while there is CPU to spare.
    opus: OpusSettings,
    /// Effort of encoders that have a choice, now.
    effort: u8,
    conferences: mix::Conferences,
    /// Browser legs on their way to be connected: their timers are kept to the millisecond, later they wait for the tick.
    connecting: Vec<Slot>,
    born: (Instant, SystemTime),
}

/// Legs that tick together.
struct Phase {
    due: Instant,
    /// Ticks so far.
    round: u32,
    slots: Vec<Slot>,
}

/// Buffers of the work in hand.
struct Scratch {
    /// A frame; or a run of samples that is cut into packets and the packets behind it: 60 ms that wait, a frame, 240 ms that a
    /// playout may have decoded ahead, and a splice, at 48 kHz, twice.
    pcm: Box<[i16]>,
    payload: [u8; 2048],
}

/// Numbers that nobody should be able to guess by counting: SplitMix64 over a random seed.
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
    /// An empty switch. `seed` is random; `shared` are the addresses of the worker's ports for browser legs, in order; `wall` is the
    /// time of day at `now`.
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

    /// How Opus is encoded; `dtx` goes by what each far end asks for.
    pub fn with_opus(mut self, opus: OpusSettings) -> Switch {
        (self.opus, self.effort) = (opus, opus.complexity);
        self
    }

    /// Takes what happened at `now`, which never goes back. What names no leg, or does not fit the leg that it names, is
    /// counted and does nothing.
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
            Input::Tap { leg, tap, writer } => {
                self.with_leg(leg, now, |_, leg| leg.speech.taps.push(Tap { id: tap, writer }));
            }
            Input::Untap { leg, taps } => {
                self.with_leg(leg, now, |_, leg| leg.speech.taps.retain(|tap| !taps.contains(&tap.id)))
            }
            Input::Effort { complexity } => self.set_effort(complexity),
            Input::Fail { leg, why } => self.end(leg, Some(why), now),
        }
        Outcome::Done
    }

    /// One arm a verb.
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

    /// When `Input::Timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ticks = self.phases.iter().filter(|phase| !phase.slots.is_empty()).map(|phase| phase.due);
        let timer = |slot: &Slot| Some(self.legs.get(slot.index())?.as_ref()?.transport.browser()?.timer_at);
        let timers = self.connecting.iter().filter_map(timer);
        ticks.chain(timers).min()
    }

    /// The next time at or after `at` at which ticks may be due.
    pub(super) fn next_tick_after(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.born.0).as_micros().div_ceil(1_000);
        self.born.0 + Duration::from_millis(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.outbox.next()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Datagrams and events that did not fit the outbox.
    pub fn outbox_overflow(&self) -> u64 {
        self.outbox.overflow
    }

    /// What the switch holds; `ports` and `mailbox` are the driver's.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for leg in self.legs.iter().flatten() {
            census.legs += 1;
            census.browser_legs += usize::from(leg.transport.is_browser());
            census.bridged += usize::from(leg.peer.is_some());
            census.mixed += usize::from(leg.seat.is_some());
            census.taps += leg.speech.taps.len();
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

    /// Where a leg is.
    pub fn slot_of(&self, id: LegId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// Any leg that is still there: for closing them all, one by one, so that the outbox can be emptied in between.
    pub fn any_leg(&self) -> Option<LegId> {
        self.by_id.keys().next().copied()
    }

    /// Taps on what the leg says that nobody reads any more: what `Input::Untap` is to name.
    pub fn deserted_taps(&self, id: LegId) -> Vec<u64> {
        let leg = self.by_id.get(&id).and_then(|slot| self.legs.get(slot.index())?.as_ref());
        leg.map_or_else(Vec::new, |leg| {
            leg.speech.taps.iter().filter(|tap| tap.is_deserted()).map(|tap| tap.id).collect()
        })
    }
}

/// Runs what outside bytes may bring to a fault; the error says which, and what was worked on is not to be used again.
pub(super) fn contained<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| format!("a fault in the media path: {}", panic_text(panic.as_ref())))
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
