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
//! The driver's duty: after every `handle_*` and every command, empty `poll_output`; call `handle_timeout` when `poll_timeout`
//! is due.
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
mod frame;
mod keys;
mod leg;
mod mix;
mod overhear;
mod packet;
mod paths;
mod report;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use codecs::opus::OpusSettings;

use super::command::{Census, LegQuality, WorkerEventKind};
use super::outbox::{Outbox, Output};
use crate::audio::tap::TapWriter;
use crate::config::App;
use crate::leg::LegError;
use crate::leg::rtp::RtpLeg;
use crate::leg::webrtc::WebRtcPeer;
use crate::sdp;
use crate::units::{LegId, SampleRate};

use leg::{Leg, Transport};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which socket a datagram came by or leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    // ---- legs come and go ----

    /// Takes a plain RTP leg.
    pub fn leg_open_rtp(&mut self, id: LegId, audio: Option<sdp::Audio>, nat: bool, now: Instant) -> Slot {
        let cname = format!("{:012x}@tandem", self.random.next() & 0xffff_ffff_ffff);
        let rtp = RtpLeg::new(self.random.next() as u32, &cname, nat, now, self.wall_at(now));
        let slot = self.insert(id, Transport::Rtp(Box::new(rtp)), now);
        if let Some(audio) = audio {
            self.rtp_update(id, audio, now);
        }
        slot
    }

    /// Takes a leg in place of a browser's, in a replay: it has its number and its bridges, and no media.
    pub(super) fn leg_open_absent(&mut self, id: LegId, now: Instant) -> Slot {
        let rtp = RtpLeg::new(0, "absent", false, now, self.wall_at(now));
        self.insert(id, Transport::Rtp(Box::new(rtp)), now)
    }

    /// Takes a browser leg.
    pub fn leg_open_webrtc(&mut self, id: LegId, mut peer: WebRtcPeer, now: Instant) -> Slot {
        peer.set_wall(now, self.wall_at(now));
        let slot = self.insert(id, Transport::WebRtc(Box::new(peer)), now);
        self.connecting.push(slot);
        self.on_webrtc_negotiated(slot, now);
        slot
    }

    /// Applies what offer and answer agreed for a plain RTP leg.
    pub fn rtp_update(&mut self, id: LegId, audio: sdp::Audio, now: Instant) {
        self.with_leg(id, now, |switch, leg| {
            if leg.on_audio(audio, now) {
                switch.outbox.event(leg.slot, leg.id, WorkerEventKind::Connected);
            }
        });
    }

    /// Applies the browser's answer.
    pub fn webrtc_answer(&mut self, id: LegId, sdp: &str, now: Instant) -> Result<(), LegError> {
        let slot = self.webrtc_slot(id)?;
        let result = self.with_peer(slot, now, |peer| {
            let result = peer.handle_answer(sdp);
            peer.handle_timeout(now);
            result
        });
        self.on_webrtc_negotiated(slot, now);
        result.unwrap_or(Err(LegError::OutOfOrder("the leg is gone")))
    }

    /// Answers the browser's new offer.
    pub fn webrtc_reoffer(&mut self, id: LegId, sdp: &str, now: Instant) -> Result<String, LegError> {
        let slot = self.webrtc_slot(id)?;
        let result = self.with_peer(slot, now, |peer| {
            let result = peer.handle_reoffer(sdp);
            peer.handle_timeout(now);
            result
        });
        self.on_webrtc_negotiated(slot, now);
        result.unwrap_or(Err(LegError::OutOfOrder("the leg is gone")))
    }

    /// Ends a leg: RTCP BYE, then `Closed`.
    pub fn leg_close(&mut self, id: LegId, now: Instant) {
        match self.by_id.get(&id) {
            Some(&slot) => self.remove(slot, None, now),
            None => self.counters.commands_void += 1,
        }
    }

    /// Ends a leg that cannot go on: `Failed`, then `Closed`.
    pub fn leg_fail(&mut self, id: LegId, why: String, now: Instant) {
        if let Some(&slot) = self.by_id.get(&id) {
            self.remove(slot, Some(why), now);
        }
    }

    /// Where a leg is.
    pub fn slot_of(&self, id: LegId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// Any leg that is still there: for closing them all, one by one, so that the outbox can be emptied in between.
    pub fn any_leg(&self) -> Option<LegId> {
        self.by_id.keys().next().copied()
    }

    // ---- who hears what ----

    /// Lets two legs hear each other.
    pub fn bridge(&mut self, a: LegId, b: LegId, now: Instant) {
        let (Some(&a), Some(&b)) = (self.by_id.get(&a), self.by_id.get(&b)) else {
            self.counters.commands_void += 1;
            return;
        };
        if a == b {
            self.counters.commands_void += 1;
            return;
        }
        for slot in [a, b] {
            self.part(slot, now);
            self.unseat(slot, now);
        }
        self.leg_mut(a).peer = Some(b);
        self.leg_mut(b).peer = Some(a);
        self.refresh(a, now);
    }

    /// Parts a leg from its peer.
    pub fn unbridge(&mut self, id: LegId, now: Instant) {
        match self.by_id.get(&id) {
            Some(&slot) => self.part(slot, now),
            None => self.counters.commands_void += 1,
        }
    }

    /// Gives the leg an application or takes it away.
    pub fn app(&mut self, id: LegId, app: Option<App>, now: Instant) {
        self.with_leg(id, now, |_, leg| leg.app = app);
    }

    /// Adds a tap on what the leg says.
    pub fn tap(&mut self, id: LegId, tap: TapWriter, now: Instant) {
        self.with_leg(id, now, |_, leg| leg.taps.push(tap));
    }

    /// Drops taps that nobody reads.
    pub fn untap(&mut self, id: LegId, now: Instant) {
        self.with_leg(id, now, |_, leg| leg.taps.retain(|tap| !tap.is_reader_gone()));
    }

    /// Taps on what the leg says.
    pub(super) fn taps(&self, id: LegId) -> usize {
        self.by_id.get(&id).and_then(|slot| self.legs[slot.index()].as_ref()).map_or(0, |leg| leg.taps.len())
    }

    /// How Opus is encoded from the next leg on; `dtx` goes by what each far end asks for.
    pub fn set_opus(&mut self, opus: OpusSettings) {
        (self.opus, self.effort) = (opus, opus.complexity);
    }

    /// How hard encoders work that have a choice, now and from now on: 0 to 10.
    pub(super) fn set_effort(&mut self, effort: u8) {
        self.effort = effort;
        for leg in self.legs.iter_mut().flatten() {
            leg.set_effort(self.effort);
        }
    }

    /// Queues voice for the leg to hear.
    pub fn play(&mut self, id: LegId, segment: u64, rate: SampleRate, samples: Arc<[i16]>, last: bool, now: Instant) {
        self.with_leg(id, now, |switch, leg| {
            let (slot, id) = (leg.slot, leg.id);
            let Switch { outbox, counters, .. } = switch;
            let mut notice = |notice| outbox.event(slot, id, leg::play_event(notice, now));
            if !leg.play.push(segment, rate, samples, last, &mut notice) {
                counters.play_overflow += 1;
            }
        });
    }

    /// Forgets one segment of the voice queued for the leg, or all of it.
    pub fn stop_play(&mut self, id: LegId, segment: Option<u64>, now: Instant) {
        self.with_leg(id, now, |switch, leg| {
            let (slot, id) = (leg.slot, leg.id);
            let mut notice = |notice| switch.outbox.event(slot, id, leg::play_event(notice, now));
            match segment {
                Some(segment) => leg.play.cancel(segment, &mut notice),
                None => leg.play.stop(&mut notice),
            }
        });
    }

    /// Silences the leg towards others.
    pub fn mute(&mut self, id: LegId, muted: bool, now: Instant) {
        self.with_leg(id, now, |_, leg| leg.muted = muted);
    }

    /// After how long without media the leg is dead; `None`: never.
    pub fn media_timeout(&mut self, id: LegId, after: Option<Duration>, now: Instant) {
        self.with_leg(id, now, |_, leg| leg.reporting.timeout = after);
    }

    /// Presses a key towards the leg.
    pub fn send_dtmf(&mut self, id: LegId, digit: char, duration_ms: u32, now: Instant) {
        self.with_leg(id, now, |switch, leg| {
            if !leg.press(digit, duration_ms) {
                switch.counters.commands_void += 1;
            }
        });
    }

    // ---- driving ----

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ticks = self.phases.iter().filter(|phase| !phase.slots.is_empty()).map(|phase| phase.due);
        let timers = self.connecting.iter().filter_map(|slot| Some(self.legs.get(slot.index())?.as_ref()?.timer_at));
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
            census.browser_legs += usize::from(matches!(leg.transport, Transport::WebRtc(_)));
            census.bridged += usize::from(leg.peer.is_some());
            census.mixed += usize::from(leg.seat.is_some());
            census.taps += leg.taps.len();
            census.overhearing += usize::from(leg.ears.is_some());
            census.overheard += usize::from(!leg.overheard.is_empty());
            if let Some(flow) = leg.reporting.flow.flow() {
                census.incoming[flow.incoming.index()] += 1;
                census.outgoing[flow.outgoing.index()] += 1;
            }
        }
        census.conferences = self.conferences.count();
        census
    }

    // ---- inside ----

    fn wall_at(&self, now: Instant) -> SystemTime {
        self.born.1 + now.saturating_duration_since(self.born.0)
    }

    fn insert(&mut self, id: LegId, transport: Transport, now: Instant) -> Slot {
        let slot = self.free.pop().unwrap_or(Slot(self.legs.len() as u32));
        if slot.index() == self.legs.len() {
            self.legs.push(None);
            self.rests.push(false);
            // Ticks move from phase to phase on the packet path, where nothing allocates.
            for phase in &mut self.phases {
                phase.slots.reserve(self.legs.len() - phase.slots.len());
            }
        }
        // Spread, and the same whatever other legs have done since: a replay has no browsers.
        let phase = slot.index() * 7 % PHASES;
        let leg = Leg::new(id, slot, phase, transport, self.random.next(), now);
        self.rests[slot.index()] = false;
        self.legs[slot.index()] = Some(Box::new(leg));
        self.enter_phase(slot, phase, now);
        self.by_id.insert(id, slot);
        slot
    }

    fn enter_phase(&mut self, slot: Slot, index: usize, now: Instant) {
        let phase = &mut self.phases[index];
        if phase.slots.is_empty() {
            while phase.due <= now {
                phase.due += TICK;
                // A phase that lay empty for long catches up in one step.
                let behind = now.saturating_duration_since(phase.due);
                phase.due += TICK * (behind.as_nanos() / TICK.as_nanos()) as u32;
            }
        }
        phase.slots.push(slot);
    }

    /// Moves a leg that is being worked on to another phase.
    fn rephase(&mut self, leg: &mut Leg, index: usize, now: Instant) {
        let before = std::mem::replace(&mut leg.phase, index);
        if before != index {
            self.phases[before].slots.retain(|&other| other != leg.slot);
            self.enter_phase(leg.slot, index, now);
        }
    }

    /// The phase whose tick is the first at or after `at`.
    fn phase_at(&self, at: Instant) -> usize {
        let since = at.saturating_duration_since(self.born.0).as_micros();
        (since.div_ceil(1_000) % PHASES as u128) as usize
    }

    /// Only for slots that were just found to be filled.
    fn leg_mut(&mut self, slot: Slot) -> &mut Leg {
        self.legs[slot.index()].as_mut().expect("the slot was looked up in this call")
    }

    /// Does something with a leg by name, then brings the paths around it up to date.
    fn with_leg(&mut self, id: LegId, now: Instant, change: impl FnOnce(&mut Switch, &mut Leg)) {
        let Some(&slot) = self.by_id.get(&id) else {
            self.counters.commands_void += 1;
            return;
        };
        self.guarded(slot, now, change);
        self.refresh(slot, now);
    }

    /// Takes a leg out, works on it, puts it back; a panic ends the leg and the one it is bridged to.
    fn guarded(&mut self, slot: Slot, now: Instant, work: impl FnOnce(&mut Switch, &mut Leg)) {
        let Some(mut leg) = self.legs.get_mut(slot.index()).and_then(Option::take) else { return };
        let (id, peer, phase, seat) = (leg.id, leg.peer, leg.phase, leg.seat);
        // The leg and what the work changed of the switch are whole again: the leg is dropped, the switch's parts are
        // changed by single assignments.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            work(self, &mut leg);
            leg
        }));
        match outcome {
            Ok(leg) => self.legs[slot.index()] = Some(leg),
            Err(panic) => {
                self.counters.panics += 1;
                self.forget(slot, id, phase);
                if let Some(seat) = seat {
                    self.vacate(slot, seat, now);
                }
                let why = format!("a fault in the media path: {}", panic_text(panic.as_ref()));
                self.outbox.event(slot, id, WorkerEventKind::Failed(why.clone()));
                self.outbox.event(slot, id, WorkerEventKind::Closed(LegQuality::default()));
                match (peer, seat) {
                    (Some(peer), None) => self.remove(peer, Some(why), now),
                    (Some(peer), Some(_)) => self.unlink(peer, now),
                    (None, _) => {}
                }
            }
        }
    }

    fn remove(&mut self, slot: Slot, why: Option<String>, now: Instant) {
        self.unseat(slot, now);
        self.part(slot, now);
        let Some(mut leg) = self.legs.get_mut(slot.index()).and_then(Option::take) else { return };
        let (id, phase, ears) = (leg.id, leg.phase, leg.ears.take());
        let Switch { outbox, shared, .. } = self;
        let goodbye = catch_unwind(AssertUnwindSafe(|| {
            let quality = leg.goodbye(outbox, now);
            packet::transmit_pending(&mut leg, outbox, shared);
            quality
        }));
        self.counters.panics += u64::from(goodbye.is_err());
        self.forget(slot, id, phase);
        if let Some(why) = why {
            self.outbox.event(slot, id, WorkerEventKind::Failed(why));
        }
        self.outbox.event(slot, id, WorkerEventKind::Closed(goodbye.unwrap_or_default()));
        self.forget_ears(ears, now);
    }

    fn forget(&mut self, slot: Slot, id: LegId, phase: usize) {
        self.by_id.remove(&id);
        self.by_ufrag.retain(|_, s| *s != slot);
        self.by_source.retain(|_, s| *s != slot);
        self.phases[phase].slots.retain(|&other| other != slot);
        self.connecting.retain(|&other| other != slot);
        self.free.push(slot);
    }

    fn part(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get_mut(slot.index()) else { return };
        let Some(peer) = leg.peer.take() else { return };
        self.unlink(peer, now);
        self.refresh(slot, now);
    }

    fn unlink(&mut self, slot: Slot, now: Instant) {
        if let Some(Some(leg)) = self.legs.get_mut(slot.index()) {
            leg.peer = None;
            self.refresh(slot, now);
        }
    }

    fn webrtc_slot(&self, id: LegId) -> Result<Slot, LegError> {
        self.by_id.get(&id).copied().ok_or(LegError::OutOfOrder("the leg is gone"))
    }

    /// Negotiates with a browser leg; a panic ends it.
    fn with_peer<R>(
        &mut self,
        slot: Slot,
        now: Instant,
        work: impl FnOnce(&mut WebRtcPeer) -> Result<R, LegError>,
    ) -> Option<Result<R, LegError>> {
        let worked = match &mut self.legs.get_mut(slot.index())?.as_mut()?.transport {
            Transport::WebRtc(peer) => contained(|| work(peer)),
            Transport::Rtp(_) => Ok(Err(LegError::OutOfOrder("the leg is plain RTP"))),
        };
        Some(worked.unwrap_or_else(|why| {
            self.counters.panics += 1;
            self.remove(slot, Some(why.clone()), now);
            Err(LegError::Closed(why))
        }))
    }

    /// After any offer or answer of a browser leg: names to demultiplex by, codec, first checks.
    fn on_webrtc_negotiated(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get_mut(slot.index()) else { return };
        if let Transport::WebRtc(peer) = &leg.transport {
            for ufrag in [Some(peer.ufrag()), peer.previous_ufrag()].into_iter().flatten() {
                if !self.by_ufrag.contains_key(ufrag) {
                    self.by_ufrag.insert(ufrag.to_owned(), slot);
                }
            }
        }
        self.guarded(slot, now, |switch, leg| {
            leg.on_webrtc_audio(now);
            switch.pump(leg, now);
        });
        self.refresh(slot, now);
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
