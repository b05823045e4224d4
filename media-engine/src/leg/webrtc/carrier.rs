//! Media of a connected browser leg that bypasses str0m: decrypted, protected and reported on by our own modules.
//!
//! ```text
//! SRTP  ─▶ known source? ─▶ open ─▶ RtpPacket (to the jitter buffer or relay)
//! SRTCP ─▶ known source? ─▶ open ─▶ reports read
//! header, payload ─▶ protect ─▶ datagram to the nominated address
//! ```
//!
//! STUN, DTLS and the nomination of addresses remain with str0m. Invariants: one SSRC with an unbroken roll-over
//! counter for the leg's whole life; no allocation per packet; nothing is learnt from a packet that is not authentic.
//!
//! Sources: RFC 3711, RFC 5764, RFC 8834.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use super::PeerAudio;
use super::capture::ExportedKeys;
use crate::rtcp::{self, FarEnd};
use crate::rtp::{HEADER_LEN, ReceiveStats, RtpHeader, RtpPacket, SendStats, is_rtcp};
use crate::srtp::{MAX_OVERHEAD, Protect, SrtpError, Unprotect};
use crate::units::ClockRate;

/// Buffer size for a report and its tag, in bytes.
const REPORT: usize = 400 + MAX_OVERHEAD;

/// Path of a leg's datagrams: the browser's address, and the candidate of ours that they are sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: SocketAddr,
    pub(super) from: SocketAddr,
}

/// Media of one connected leg.
pub(super) struct Carrier {
    ssrc: u32,
    protect: Protect,
    unprotect: Unprotect,
    pub(super) route: Option<Route>,
    clock: ClockRate,
    received: ReceiveStats,
    sent: SendStats,
    reports: rtcp::Session,
}

impl Carrier {
    /// Creates the carrier. `ssrc` is the one in our descriptions; `wall` is the time of day at `now`.
    pub(super) fn new(keys: ExportedKeys, ssrc: u32, cname: &str, now: Instant, wall: SystemTime) -> Carrier {
        let clock = ClockRate::HZ_48000;
        Carrier {
            ssrc,
            protect: Protect::new(&keys.send),
            unprotect: Unprotect::new(&keys.receive),
            route: None,
            clock,
            received: ReceiveStats::new(clock),
            sent: SendStats::new(clock),
            reports: rtcp::Session::new(ssrc, cname, now, wall, u64::from(ssrc)),
        }
    }

    /// Adopts the codec's clock for statistics.
    pub(super) fn set_clock(&mut self, clock: ClockRate) {
        if self.clock != clock {
            self.clock = clock;
            (self.received, self.sent) = (ReceiveStats::new(clock), SendStats::new(clock));
        }
    }

    /// Decrypts a datagram in place and parses it.
    pub(super) fn open<'a>(&mut self, audio: &PeerAudio, bytes: &'a mut [u8], now: Instant) -> Media<'a> {
        if is_rtcp(bytes) {
            return match self.unprotect.rtcp(bytes) {
                Ok(length) => {
                    self.reports.handle_datagram(&bytes[..length], now);
                    Media::Rtcp
                }
                Err(error) => error.into(),
            };
        }
        let length = match self.unprotect.rtp(bytes) {
            Ok(length) => length,
            Err(error) => return error.into(),
        };
        let Ok(packet) = RtpPacket::parse(&bytes[..length]) else { return Media::Malformed };
        if packet.payload_type() == audio.payload_type {
            self.received.on_rtp(&packet, now);
        } else if audio.telephone_event.is_some_and(|event| event.payload_type == packet.payload_type()) {
            self.received.on_untimed_rtp(&packet, now);
        } else {
            return Media::Malformed;
        }
        Media::Rtp(packet)
    }

    /// Writes one protected packet into `out` and returns its length; `None` if it does not fit or its number was
    /// already used.
    pub(super) fn write(&mut self, header: &RtpHeader, payload: &[u8], out: &mut [u8], now: Instant) -> Option<usize> {
        RtpHeader { ssrc: self.ssrc, ..*header }.write_to(out).ok()?;
        out.get_mut(HEADER_LEN..HEADER_LEN + payload.len())?.copy_from_slice(payload);
        let length = self.protect.rtp(out, HEADER_LEN + payload.len())?;
        self.sent.on_packet(payload.len(), header.timestamp, now);
        Some(length)
    }

    /// Returns when [`Carrier::report`] is due.
    pub(super) fn report_at(&self) -> Instant {
        self.reports.poll_timeout()
    }

    /// Returns the report that is due, protected. One allocation in five seconds.
    pub(super) fn report(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut out = vec![0; REPORT];
        let length = self.reports.poll_report(now, &self.sent, &mut self.received, &mut out)?.ok()?;
        let length = self.protect.rtcp(&mut out, length)?;
        out.truncate(length);
        Some(out)
    }

    /// Returns the goodbye, protected.
    pub(super) fn goodbye(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut out = vec![0; REPORT];
        let length = self.reports.write_bye(now, &self.sent, &mut self.received, &mut out).ok()?;
        let length = self.protect.rtcp(&mut out, length)?;
        out.truncate(length);
        Some(out)
    }

    /// Returns the round-trip time measured by RTCP.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.reports.round_trip()
    }

    /// Returns the browser's reports on our stream.
    pub(super) fn far_end(&self) -> FarEnd {
        self.reports.far_end(self.clock)
    }
}

/// Result of handling a browser's datagram.
#[derive(Debug)]
pub enum Media<'a> {
    /// A packet with one of the negotiated payload types.
    Rtp(RtpPacket<'a>),
    /// Reports, which have been processed.
    Rtcp,
    /// From an address that no authenticated connectivity check came from. Drop and count.
    Foreign,
    /// Not a valid packet of a negotiated type. Drop and count.
    Malformed,
    /// Not protected by the browser's key. Drop and count.
    Unauthentic,
    /// Received before, or far too late; its authenticity was not checked. Drop and count.
    Replayed,
}

impl From<SrtpError> for Media<'_> {
    fn from(error: SrtpError) -> Self {
        match error {
            SrtpError::Malformed => Media::Malformed,
            SrtpError::Unauthentic => Media::Unauthentic,
            SrtpError::Replayed => Media::Replayed,
        }
    }
}
