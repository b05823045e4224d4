//! Media of a leg, received and sent by its driver: bypassing str0m once that is possible, otherwise through it.
//!
//! ```text
//! handshake complete ─▶ take_over ─▶ Carrier
//! datagram ─▶ is_media? ─▶ handle_media ─▶ Media        header, payload ─▶ write_media ─▶ datagram for `route`
//! ```

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use str0m::rtp::RtpWrite;

use super::carrier::{Carrier, Media};
use super::{LegError, MAX_PAYLOAD, PeerOutput, WebRtcPeer};
use crate::rtp::{RtpHeader, RtpPacket};

impl WebRtcPeer {
    /// Whether a datagram is for [`WebRtcPeer::handle_media`]: RTP or RTCP (RFC 7983) of a leg whose media bypasses
    /// str0m.
    pub fn is_media(&self, bytes: &[u8]) -> bool {
        self.carrier.is_some() && is_rtp_or_rtcp(bytes)
    }

    /// Handles a datagram for which `is_media` holds; it is decrypted in place.
    pub fn handle_media<'a>(&mut self, from: SocketAddr, bytes: &'a mut [u8], now: Instant) -> Media<'a> {
        let now = self.advance(now);
        let (Some(carrier), Some(audio)) = (&mut self.carrier, &self.audio) else { return Media::Foreign };
        let known = carrier.route.is_some_and(|route| route.to == from) || self.verified.contains(&from);
        let media = if known { carrier.open(audio, bytes, now) } else { Media::Foreign };
        match &media {
            Media::Rtp(_) => self.quality.packets_received += 1,
            Media::Rtcp => {
                self.quality.round_trip = carrier.round_trip().or(self.quality.round_trip);
                self.quality.far_end = carrier.far_end();
            }
            Media::Foreign | Media::Malformed | Media::Unauthentic | Media::Replayed => {
                self.quality.datagrams_ignored += 1;
            }
        }
        media
    }

    /// Returns the path of [`WebRtcPeer::write_media`]'s datagrams: the browser's address, and our candidate that they
    /// are sent from. `None`: media is sent through `write_rtp` and `poll_output`.
    pub fn route(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.carrier.as_ref()?.route.map(|route| (route.to, route.from))
    }

    /// Writes one protected packet under this leg's own SSRC into `out` and returns its length. The header's SSRC is
    /// ignored.
    ///
    /// # Errors
    /// `NotSending` and `BadPacket`: drop the packet and count it.
    pub fn write_media(
        &mut self,
        header: &RtpHeader,
        payload: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Result<usize, LegError> {
        self.check_sending(header.payload_type, payload)?;
        let Some(carrier) = self.carrier.as_mut().filter(|carrier| carrier.route.is_some()) else {
            return Err(LegError::NotSending("no address is nominated yet"));
        };
        let written = carrier.write(header, payload, out, now);
        let length = written.ok_or(LegError::NotSending("the packet's sequence number was already used"))?;
        self.quality.packets_sent += 1;
        Ok(length)
    }

    /// Sets the time of day at `now`, which reports to the browser carry.
    pub fn set_wall(&mut self, now: Instant, wall: SystemTime) {
        self.wall = (now, wall);
    }

    /// Sends one RTP packet under this leg's own SSRC.
    ///
    /// `seq` is the sequence number extended by the roll-over count, so that relays keep gaps and reordering; the first
    /// one must be below 65,536. Costs one allocation for the payload and str0m's own.
    ///
    /// # Errors
    /// `NotSending` and `BadPacket`: drop the packet and count it.
    pub fn write_rtp(
        &mut self,
        payload_type: u8,
        seq: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), LegError> {
        self.check_sending(payload_type, payload)?;
        let now = self.advance(now);
        if self.carrier.is_some() {
            let header = RtpHeader { payload_type, marker, sequence: seq as u16, timestamp, ssrc: 0 };
            let mut bytes = vec![0; MAX_PAYLOAD + 100];
            let length = self.write_media(&header, payload, &mut bytes, now)?;
            bytes.truncate(length);
            self.enqueue(Some(bytes));
            return Ok(());
        }
        let mid = self.mid.ok_or(LegError::NotSending("nothing is negotiated yet"))?;
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).ok_or(LegError::NotSending("no stream is declared"))?;
        stream.write_rtp(RtpWrite::new(payload_type.into(), seq.into(), timestamp, now, payload).marker(marker));
        self.quality.packets_sent += 1;
        // Without this call the packet waits for the next timer, up to 25 ms.
        self.feed_time(now);
        Ok(())
    }

    /// Lets media bypass str0m from now on, if its keys were intercepted: the handshake is complete and the certificate
    /// is right.
    pub(super) fn take_over(&mut self) {
        let keys = self.link.as_ref().and_then(|link| link.keys());
        let (Some(keys), Some(mid), Some(audio), None) = (keys, self.mid, self.audio, &self.carrier) else { return };
        let Some(ssrc) = self.rtc.direct_api().stream_tx_by_mid(mid, None).map(|stream| *stream.ssrc()) else { return };
        let (since, wall) = self.wall;
        let wall = wall + self.last_now.saturating_duration_since(since);
        let cname = format!("{:x}@tandem", self.session);
        let mut carrier = Carrier::new(keys, ssrc, &cname, self.last_now, wall);
        carrier.set_clock(audio.clock());
        self.carrier = Some(Box::new(carrier));
        self.ask_for_route();
    }

    pub(super) fn ask_for_route(&self) {
        if let (Some(link), Some(_)) = (&self.link, &self.carrier) {
            link.ask();
        }
    }

    /// Queues a datagram of the carrier.
    pub(super) fn enqueue(&mut self, bytes: Option<Vec<u8>>) {
        let (Some(bytes), Some((to, from))) = (bytes, self.route()) else { return };
        self.queue.push_back(PeerOutput::Transmit { to, from, bytes });
    }

    /// Checks whether this packet may be sent now.
    ///
    /// # Errors
    /// `NotSending` and `BadPacket`: drop the packet and count it.
    fn check_sending(&self, payload_type: u8, payload: &[u8]) -> Result<(), LegError> {
        self.check_open()?;
        let audio = self.audio.ok_or(LegError::NotSending("nothing is negotiated yet"))?;
        if !self.connected {
            return Err(LegError::NotSending("not connected yet"));
        }
        if !audio.direction.sends() {
            return Err(LegError::NotSending("the other side has put the call on hold"));
        }
        let event = audio.telephone_event.map(|event| event.payload_type);
        if (payload_type != audio.payload_type && Some(payload_type) != event) || payload.len() > MAX_PAYLOAD {
            return Err(LegError::BadPacket(payload_type));
        }
        Ok(())
    }
}

/// Returns a packet as an output for the driver.
pub(super) fn rtp_output(packet: &RtpPacket<'_>, arrival: Instant) -> PeerOutput {
    let RtpHeader { payload_type, marker, sequence, timestamp, ssrc } = packet.header();
    let payload = packet.payload().into();
    PeerOutput::Rtp { payload_type, seq: sequence, timestamp, ssrc, marker, payload, arrival }
}

/// Whether the datagram is RTP or RTCP (RFC 7983 section 7).
pub(super) fn is_rtp_or_rtcp(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| (128..192).contains(first))
}
