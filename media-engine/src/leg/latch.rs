//! Determines the address that a leg behind NAT sends from: the one that its description names, else one learnt from
//! its packets.
//!
//! ```text
//!                from the described address ──────────────────────────────▶ Heard, at any time
//! valid packet ──┤ from the learnt source ────────────────────────────────▶ Heard
//!                │ same SSRC, next numbers and time, PROOF_AGAIN in a row ──▶ Moved: the source is learnt again
//!                │ nothing learnt, PREFERENCE over, PROOF in a row ─────────▶ Moved: the source is learnt
//!                └ else ──▶ Unproven or Foreign: dropped, nothing is sent there
//! ```
//!
//! Invariants: packets of a source are dropped, and nothing is sent to it, until it is learnt. Signalling takes
//! precedence over packets. A learnt source gives way to the described address, or to another one that continues its
//! stream while it is silent itself: that requires an SSRC, a sequence number and a timestamp that only its sender and
//! observers of its packets know. An authentic packet (SRTP) needs no further proof at first. Nothing allocates; at
//! most [`CANDIDATES`] sources are tracked.
//!
//! Not here: the validity of packets, and reports.
//!
//! Sources: RFC 7362 (latching and its risks), RFC 3550 appendix A.1.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::rtp::RtpPacket;
use crate::units::ClockRate;

/// Time after a description in which only the address that it names is accepted.
const PREFERENCE: Duration = Duration::from_secs(1);
/// Packets in a row that make a source plausible.
const PROOF: u8 = 5;
/// Packets in a row for a source that continues the stream of the previous one.
const PROOF_AGAIN: u8 = 3;
/// Largest number of sources watched before one is learnt.
const CANDIDATES: usize = 4;
/// Numbers that may be missing within a row: a burst of loss, or packets dropped by NAT (RFC 3550 appendix A.1,
/// MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3_000;
/// Largest lead of a timestamp over the elapsed time: jitter, and packets that waited.
const SLACK: Duration = Duration::from_secs(2);

/// Verdict on the source of a valid packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// From the leg's source: to be accepted.
    Heard,
    /// From an address that has just become the leg's source, and that neither the description named nor the source had
    /// before.
    Moved,
    /// From an address that may yet become the leg's source: to be dropped.
    Unproven,
    /// From a stranger: to be dropped.
    Foreign,
}

/// A valid packet with the circumstances of its arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    /// Source address of the packet.
    pub(super) from: SocketAddr,
    pub(super) packet: &'a RtpPacket<'a>,
    /// Clock of the packet's timestamps.
    pub(super) clock: ClockRate,
    /// Whether the leg's key has decrypted it.
    pub(super) authentic: bool,
    pub(super) now: Instant,
}

/// Packets in a row from one source.
#[derive(Clone, Copy, Debug)]
struct Trail {
    from: SocketAddr,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    at: Instant,
    run: u8,
}

impl Trail {
    fn begin(&Arrival { from, packet, now, .. }: &Arrival<'_>) -> Trail {
        let (ssrc, sequence, timestamp) = (packet.ssrc(), packet.sequence(), packet.timestamp());
        Trail { from, ssrc, sequence, timestamp, at: now, run: 1 }
    }

    /// Whether the packet is next in the stream, by its number and by the clock.
    fn continues(&self, &Arrival { packet, clock, now, .. }: &Arrival<'_>) -> bool {
        let ahead = packet.sequence().wrapping_sub(self.sequence);
        let ticks = u64::from(packet.timestamp().wrapping_sub(self.timestamp));
        let most = clock.ticks(now.saturating_duration_since(self.at) + SLACK);
        packet.ssrc() == self.ssrc && (1..=MAX_DROPOUT).contains(&ahead) && ticks <= most
    }

    /// Whether the packet is an older or repeated one of the stream.
    fn is_behind(&self, packet: &RtpPacket<'_>) -> bool {
        packet.ssrc() == self.ssrc && self.sequence.wrapping_sub(packet.sequence()) < MAX_DROPOUT
    }

    fn advance(&mut self, arrival: &Arrival<'_>) {
        let run = self.run.saturating_add(1);
        *self = Trail { run, ..Trail::begin(arrival) };
    }
}

/// Source of a leg behind NAT. See the module head.
#[derive(Debug, Default)]
pub(super) struct Latch {
    /// Address that the description names, and the time of the description.
    described: Option<(SocketAddr, Instant)>,
    /// Newest packet of the leg's source.
    source: Option<Trail>,
    candidates: [Option<Trail>; CANDIDATES],
    /// Packets that continue the source's stream from another address.
    heir: Option<Trail>,
}

impl Latch {
    /// Records that the description names `remote`. A changed address restarts the search.
    pub(super) fn describe(&mut self, remote: SocketAddr, now: Instant) {
        if self.described.is_none_or(|(before, _)| before != remote) {
            *self = Latch { described: Some((remote, now)), ..Latch::default() };
        }
    }

    /// Returns the leg's source, once it is learnt.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.source.map(|source| source.from)
    }

    /// Returns the SSRC of the leg's source, once it is learnt.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// Whether a packet from this address could be accepted or serve as proof; otherwise it need not be decrypted.
    pub(super) fn concerns(&self, from: SocketAddr, ssrc: u32) -> bool {
        self.is_described(from) || self.source.is_none_or(|source| source.from == from || source.ssrc == ssrc)
    }

    /// Returns the verdict on a valid packet.
    pub(super) fn on_packet(&mut self, arrival: &Arrival<'_>) -> Verdict {
        let from = arrival.from;
        let Some(mut source) = self.source else {
            return self.on_candidate(arrival);
        };
        let is_behind = source.is_behind(arrival.packet);
        if source.from == from {
            if !is_behind {
                source.advance(arrival);
            }
            (self.source, self.heir) = (Some(source), None);
            return Verdict::Heard;
        }
        if self.is_described(from) {
            // Stragglers may still arrive from a stream that has moved away.
            return if is_behind { Verdict::Heard } else { self.learn(Trail::begin(arrival)) };
        }
        match &mut self.heir {
            Some(heir) if heir.from == from && heir.continues(arrival) => heir.advance(arrival),
            _ if source.continues(arrival) => self.heir = Some(Trail::begin(arrival)),
            _ => return Verdict::Foreign,
        }
        match self.heir.filter(|heir| heir.run >= PROOF_AGAIN) {
            Some(heir) => self.learn(heir),
            None => Verdict::Unproven,
        }
    }

    fn on_candidate(&mut self, arrival: &Arrival<'_>) -> Verdict {
        let &Arrival { from, authentic, now, .. } = arrival;
        if self.is_described(from) {
            self.learn(Trail::begin(arrival));
            return Verdict::Heard;
        }
        if authentic {
            return self.learn(Trail::begin(arrival));
        }
        let known = self.candidates.iter().position(|trail| trail.is_some_and(|trail| trail.from == from));
        let at = known.unwrap_or_else(|| self.weakest());
        let trail = match &mut self.candidates[at] {
            Some(trail) if trail.from == from => {
                if trail.continues(arrival) {
                    trail.advance(arrival);
                } else if !trail.is_behind(arrival.packet) {
                    *trail = Trail::begin(arrival);
                }
                *trail
            }
            place => *place.insert(Trail::begin(arrival)),
        };
        let waits = self.described.is_none_or(|(_, since)| now.saturating_duration_since(since) < PREFERENCE);
        if waits || trail.run < PROOF || self.is_outdone(&trail, now) { Verdict::Unproven } else { self.learn(trail) }
    }

    /// Returns the index of the candidate to replace: the one with the least proof, and among equals the one silent for
    /// longest.
    fn weakest(&self) -> usize {
        let order = |at: &usize| self.candidates[*at].map(|trail| (self.is_near(&trail), trail.run >= PROOF, trail.at));
        (0..CANDIDATES).min_by_key(order).unwrap_or(0)
    }

    /// Whether another candidate, on the described host, sends too.
    fn is_outdone(&self, trail: &Trail, now: Instant) -> bool {
        let lives = |other: &Trail| now.saturating_duration_since(other.at) < PREFERENCE;
        !self.is_near(trail) && self.candidates.iter().flatten().any(|other| self.is_near(other) && lives(other))
    }

    /// Whether the trail comes from the described host, at another port.
    fn is_near(&self, trail: &Trail) -> bool {
        self.described.is_some_and(|(remote, _)| remote.ip() == trail.from.ip())
    }

    fn is_described(&self, from: SocketAddr) -> bool {
        self.described.is_some_and(|(remote, _)| remote == from)
    }

    fn learn(&mut self, source: Trail) -> Verdict {
        self.source = Some(source);
        self.heir = None;
        self.candidates = [None; CANDIDATES];
        Verdict::Moved
    }
}

#[cfg(test)]
mod tests;
