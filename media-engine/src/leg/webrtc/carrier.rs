//! Media of a connected browser leg, past str0m: opened, protected and reported on by our own rooms.
//!
//! ```text
//! SRTP  ─▶ known source? ─▶ open ─▶ RtpPacket (to the jitter buffer or relay)
//! SRTCP ─▶ known source? ─▶ open ─▶ reports read
//! header, payload ─▶ protect ─▶ datagram to the nominated address
//! ```
//!
//! STUN, DTLS and the nomination of addresses stay str0m's. Invariants: one SSRC with unbroken roll-over for the leg's whole life;
//! nothing allocates per packet; nothing is learned from a packet that is not authentic.
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

/// Room for a report and its tag.
const REPORT: usize = 400 + MAX_OVERHEAD;

/// Where a leg's datagrams go: browser's address and the candidate of ours that they leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: SocketAddr,
    pub(super) from: SocketAddr,
}

/// One connected leg's media.
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
    /// `ssrc`: what our descriptions named; `wall`: the time of day at `now`.
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

    /// Statistics run by the codec's clock.
    pub(super) fn set_clock(&mut self, clock: ClockRate) {
        if self.clock != clock {
            self.clock = clock;
            (self.received, self.sent) = (ReceiveStats::new(clock), SendStats::new(clock));
        }
    }

    /// Opens a datagram.
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

    /// Writes one protected packet into `out`; its length. `None`: it does not fit, or its number was used.
    pub(super) fn write(&mut self, header: &RtpHeader, payload: &[u8], out: &mut [u8], now: Instant) -> Option<usize> {
        RtpHeader { ssrc: self.ssrc, ..*header }.write_to(out).ok()?;
        out.get_mut(HEADER_LEN..HEADER_LEN + payload.len())?.copy_from_slice(payload);
        let length = self.protect.rtp(out, HEADER_LEN + payload.len())?;
        self.sent.on_packet(payload.len(), header.timestamp, now);
        Some(length)
    }

    /// When [`Carrier::report`] is due.
    pub(super) fn report_at(&self) -> Instant {
        self.reports.poll_timeout()
    }

    /// The report that is due, protected. One allocation in five seconds.
    pub(super) fn report(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut out = vec![0; REPORT];
        let length = self.reports.poll_report(now, &self.sent, &mut self.received, &mut out)?.ok()?;
        let length = self.protect.rtcp(&mut out, length)?;
        out.truncate(length);
        Some(out)
    }

    /// The goodbye, protected.
    pub(super) fn goodbye(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut out = vec![0; REPORT];
        let length = self.reports.write_bye(now, &self.sent, &mut self.received, &mut out).ok()?;
        let length = self.protect.rtcp(&mut out, length)?;
        out.truncate(length);
        Some(out)
    }

    /// Round trip by RTCP.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.reports.round_trip()
    }

    /// What the browser says of our stream.
    pub(super) fn far_end(&self) -> FarEnd {
        self.reports.far_end(self.clock)
    }
}

/// What became of a browser's datagram.
#[derive(Debug)]
pub enum Media<'a> {
    /// A packet with one of the negotiated payload types.
    Rtp(RtpPacket<'a>),
    /// Reports; they are taken in.
    Rtcp,
    /// From an address that no authenticated connectivity check came from. Drop and count.
    Foreign,
    /// Not a packet that was negotiated. Drop and count.
    Malformed,
    /// Not protected by the browser's key. Drop and count.
    Unauthentic,
    /// Its number has come before, or far too late; whether it is authentic was not asked. Drop and count.
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
