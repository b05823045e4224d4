//! An RTP leg of a phone or trunk, plain or with SDES keys: which sources it accepts, where its packets go, and what
//! RTCP reports.
//!
//! ```text
//! datagram ─▶ source check ─▶ (SRTP opened) ─▶ RTCP? ─▶ reports read
//!                                            └▶ RTP: version, payload type, (latch), repeated? ─▶ Received::Rtp
//! write_rtp, write_report, write_bye ─▶ (SRTP protected) ─▶ datagram and its destination
//! ```
//!
//! Invariants: packets are accepted from the SDP's addresses only; with `nat`, also from a source that `latch` has
//! learnt. Each packet is accepted once: with keys by their replay windows, without by [`Repeats`]. A refused packet
//! changes only a counter; with keys, a packet that is not authentic is refused before anything is learnt from it.
//! While a key is kept, its roll-over counter and replay windows are kept, whatever is negotiated. No allocation per
//! packet.
//!
//! Not here: sockets, playout, codecs, and the numbering of outgoing packets.
//!
//! Sources: RFC 3550 (RTP, RTCP), RFC 3711 (SRTP), RFC 4568 (SDES), RFC 5761 (rtcp-mux), RFC 7362 (latching), RFC 4961 (symmetric RTP).

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use super::latch::{Arrival, Latch, Verdict};
use crate::rtcp;
use crate::rtp::{ReceiveStats, Repeats, RtpHeader, RtpPacket, SendStats, is_rtcp};
use crate::sdp::{Audio, SrtpKeys};
use crate::srtp::{Protect, SrtpError, Unprotect};
use crate::units::ClockRate;

/// One of a leg's two flows (an ICE term).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// RTP packets, the media.
    Rtp,
    /// RTCP packets, the reports.
    Rtcp,
}

/// Result of handling a datagram.
#[derive(Debug)]
pub enum Received<'a> {
    /// A valid packet with one of the negotiated payload types.
    Rtp(RtpPacket<'a>),
    /// A valid packet that moves the leg: from now on its media comes from this packet's source, and ours goes there.
    Moved(RtpPacket<'a>),
    /// Reports, which have been processed.
    Rtcp,
    /// Not from the source of this leg's media. Drop and count.
    Foreign,
    /// From an address that may yet prove to be the source of this leg's media (`nat`). Drop and count.
    Unproven,
    /// Not a valid packet of a negotiated type. Drop and count.
    Malformed,
    /// Not protected by the far end's key: forged, damaged, plain, or with an unknown key. Drop and count.
    Unauthentic,
    /// Received before, or with keys far too late; its authenticity was not checked. Drop and count.
    Replayed,
}

impl From<SrtpError> for Received<'_> {
    fn from(error: SrtpError) -> Self {
        match error {
            SrtpError::Malformed => Received::Malformed,
            SrtpError::Unauthentic => Received::Unauthentic,
            SrtpError::Replayed => Received::Replayed,
        }
    }
}

/// Statistics of the leg's media since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RtpQuality {
    /// Number of valid packets received.
    pub packets_received: u64,
    /// Packets that never arrived, according to sequence numbers.
    pub packets_lost: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// Round-trip time; `None` until RTCP reports one.
    pub round_trip: Option<Duration>,
    /// Packets, including reports, that the far end's key did not open.
    pub packets_unauthentic: u64,
    /// Packets that had been received before.
    pub packets_repeated: u64,
}

/// Contexts of an encrypted leg, with the keys that they belong to.
struct Secure {
    keys: SrtpKeys,
    protect: Protect,
    unprotect: Unprotect,
}

/// One RTP leg. See the module head.
pub struct RtpLeg {
    ssrc: u32,
    audio: Option<Audio>,
    /// Behind NAT: finds the source of its media.
    latch: Option<Latch>,
    /// Behind NAT: the source of its reports, if it is not the described one.
    latched_rtcp: Option<SocketAddr>,
    repeats: Repeats,
    repeated: u64,
    received: ReceiveStats,
    sent: SendStats,
    reports: rtcp::Session,
    received_before: u64,
    lost_before: u64,
    secure: Option<Box<Secure>>,
    unauthentic: u64,
}

impl RtpLeg {
    /// Creates a leg that does not know its far end yet. `ssrc` is random; `cname` names the leg in RTCP (RFC 7022:
    /// random too); `wall` is the time of day at `now`.
    pub fn new(ssrc: u32, cname: &str, nat: bool, now: Instant, wall: SystemTime) -> RtpLeg {
        RtpLeg {
            ssrc,
            audio: None,
            latch: nat.then(Latch::default),
            latched_rtcp: None,
            repeats: Repeats::new(),
            repeated: 0,
            received: ReceiveStats::new(ClockRate::HZ_8000),
            sent: SendStats::new(ClockRate::HZ_8000),
            reports: rtcp::Session::new(ssrc, cname, now, wall, u64::from(ssrc)),
            received_before: 0,
            lost_before: 0,
            secure: None,
            unauthentic: 0,
        }
    }

    /// Applies the result of an offer and answer, the first or a later one. Behind NAT, a new remote address restarts
    /// the search for the source; hold (no address) does not.
    pub fn update(&mut self, audio: Audio, now: Instant) {
        if let Some(latch) = self.latch.as_mut().filter(|_| is_reachable(audio.remote_rtp)) {
            latch.describe(audio.remote_rtp, now);
            if latch.source().is_none() {
                self.latched_rtcp = None;
            }
        }
        let clock = audio.codec.clock();
        if self.audio.is_none_or(|before| before.codec.clock() != clock) {
            self.lost_before += self.received.lost();
            self.received_before += self.received.packets();
            (self.received, self.sent) = (ReceiveStats::new(clock), SendStats::new(clock));
        }
        self.rekey(audio.srtp);
        self.audio = Some(audio);
    }

    /// Begins a new context for every key that has changed.
    fn rekey(&mut self, keys: Option<SrtpKeys>) {
        let Some(keys) = keys else {
            self.secure = None;
            return;
        };
        match &mut self.secure {
            None => {
                let (protect, unprotect) = (Protect::new(&keys.send), Unprotect::new(&keys.receive));
                self.secure = Some(Box::new(Secure { keys, protect, unprotect }));
            }
            Some(secure) => {
                if secure.keys.send != keys.send {
                    secure.protect = Protect::new(&keys.send);
                }
                if secure.keys.receive != keys.receive {
                    secure.unprotect = Unprotect::new(&keys.receive);
                }
                secure.keys = keys;
            }
        }
    }

    /// Returns the SSRC of our stream.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Handles a datagram that arrived at `component`'s port; with keys it is decrypted in place.
    pub fn handle_datagram<'a>(
        &mut self,
        component: Component,
        from: SocketAddr,
        bytes: &'a mut [u8],
        now: Instant,
    ) -> Received<'a> {
        let Some(audio) = self.audio else { return Received::Foreign };
        let is_report = is_rtcp(bytes);
        if component == Component::Rtcp || (is_report && audio.rtcp_mux) {
            return self.handle_report(component, from, bytes, now);
        }
        if !self.concerns(audio, from, bytes) {
            return Received::Foreign;
        }
        let opened = match &mut self.secure {
            Some(secure) => secure.unprotect.rtp(bytes),
            None => Ok(bytes.len()),
        };
        let length = match opened {
            Ok(length) => length,
            Err(error) => return self.refuse(error),
        };
        let Ok(packet) = RtpPacket::parse(&bytes[..length]) else { return Received::Malformed };
        let payload_type = packet.payload_type();
        let event = audio.telephone_event.as_ref().map(|event| event.receive_payload_type);
        let noise = audio.comfort_noise.as_ref().map(|noise| noise.receive_payload_type);
        if payload_type != audio.receive_payload_type && ![event, noise].contains(&Some(payload_type)) {
            return Received::Malformed;
        }
        let verdict = match &mut self.latch {
            Some(latch) => {
                let (clock, authentic) = (audio.codec.clock(), self.secure.is_some());
                latch.on_packet(&Arrival { from, packet: &packet, clock, authentic, now })
            }
            None => Verdict::Heard,
        };
        match verdict {
            Verdict::Heard => {}
            Verdict::Moved => self.latched_rtcp = None,
            Verdict::Unproven => return Received::Unproven,
            Verdict::Foreign => return Received::Foreign,
        }
        if self.secure.is_none() && self.repeats.is_repeat(&packet) {
            self.repeated += 1;
            return Received::Replayed;
        }
        if event == Some(payload_type) {
            self.received.on_untimed_rtp(&packet, now);
        } else {
            self.received.on_rtp(&packet, now);
        }
        if verdict == Verdict::Moved { Received::Moved(packet) } else { Received::Rtp(packet) }
    }

    /// Returns the header of a packet to send.
    pub fn header(&self, payload_type: u8, marker: bool, sequence: u16, timestamp: u32) -> RtpHeader {
        RtpHeader { payload_type, marker, sequence, timestamp, ssrc: self.ssrc }
    }

    /// Writes a packet into `out`. Returns its destination and length; `None` if there is no destination or it does not
    /// fit.
    pub fn write_rtp(
        &mut self,
        header: &RtpHeader,
        payload: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Option<(SocketAddr, usize)> {
        let audio = self.audio.as_ref()?;
        let to = self.learnt_source().unwrap_or(audio.remote_rtp);
        if !is_reachable(to) {
            return None;
        }
        let length = header.write_to(out).ok()?;
        out.get_mut(length..length + payload.len())?.copy_from_slice(payload);
        let mut length = length + payload.len();
        if let Some(secure) = &mut self.secure {
            length = secure.protect.rtp(out, length)?;
        }
        self.sent.on_packet(payload.len(), header.timestamp, now);
        Some((to, length))
    }

    /// Whether [`RtpLeg::write_report`] has something to write.
    pub fn is_report_due(&self, now: Instant) -> bool {
        self.audio.is_some() && self.reports.poll_timeout() <= now
    }

    /// Writes the report that is due. Returns its flow, destination and length; `None` if there is no destination or it
    /// does not fit.
    pub fn write_report(&mut self, now: Instant, out: &mut [u8]) -> Option<(Component, SocketAddr, usize)> {
        let written = self.reports.poll_report(now, &self.sent, &mut self.received, out);
        let (component, to) = self.report_target()?;
        let length = self.protect_report(written?.ok()?, out)?;
        Some((component, to, length))
    }

    /// Writes the goodbye. Returns its flow, destination and length; `None` if there is no destination.
    pub fn write_bye(&mut self, now: Instant, out: &mut [u8]) -> Option<(Component, SocketAddr, usize)> {
        let (component, to) = self.report_target()?;
        let length = self.reports.write_bye(now, &self.sent, &mut self.received, out).ok()?;
        let length = self.protect_report(length, out)?;
        Some((component, to, length))
    }

    fn protect_report(&mut self, length: usize, out: &mut [u8]) -> Option<usize> {
        match &mut self.secure {
            Some(secure) => secure.protect.rtcp(out, length),
            None => Some(length),
        }
    }

    /// Counts a datagram that could not be decrypted.
    fn refuse<'a>(&mut self, error: SrtpError) -> Received<'a> {
        self.unauthentic += u64::from(error == SrtpError::Unauthentic);
        self.repeated += u64::from(error == SrtpError::Replayed);
        error.into()
    }

    /// Returns the statistics since the leg began.
    pub fn quality(&self) -> RtpQuality {
        RtpQuality {
            packets_received: self.received_before + self.received.packets(),
            packets_lost: self.lost_before + self.received.lost(),
            jitter: self.received.jitter(),
            round_trip: self.reports.round_trip(),
            packets_unauthentic: self.unauthentic,
            packets_repeated: self.repeated,
        }
    }

    /// Returns the far end's reports about our stream.
    pub fn far_end(&self) -> rtcp::FarEnd {
        self.reports.far_end(self.audio.map_or(ClockRate::HZ_8000, |audio| audio.codec.clock()))
    }

    /// Returns the source of valid packets; `None` until it is learnt from packets, or until something is negotiated.
    pub fn source(&self) -> Option<SocketAddr> {
        if self.latch.is_some() { self.learnt_source() } else { self.audio.map(|audio| audio.remote_rtp) }
    }

    /// Returns the leg's address behind NAT, once it is learnt.
    fn learnt_source(&self) -> Option<SocketAddr> {
        self.latch.as_ref()?.source()
    }

    /// Whether a packet from this address must be examined.
    fn concerns(&self, audio: Audio, from: SocketAddr, bytes: &[u8]) -> bool {
        match &self.latch {
            None => from == audio.remote_rtp,
            // The header is never encrypted.
            Some(latch) => bytes
                .get(8..12)
                .is_none_or(|ssrc| latch.concerns(from, u32::from_be_bytes([ssrc[0], ssrc[1], ssrc[2], ssrc[3]]))),
        }
    }

    /// Whether a report from this address must be read. Behind NAT, a report from an address other than the described
    /// one must come from the host that sends the media, and name its SSRC; with keys, decryption is sufficient proof
    /// until media identifies the host.
    fn concerns_report(&self, audio: Audio, component: Component, from: SocketAddr, bytes: &[u8]) -> bool {
        let described = if component == Component::Rtp { audio.remote_rtp } else { audio.remote_rtcp };
        let Some(latch) = &self.latch else { return from == described };
        let Some(source) = latch.source() else { return from == described || self.secure.is_some() };
        if component == Component::Rtp {
            return from == source;
        }
        let ssrc = bytes.get(4..8).map(|ssrc| u32::from_be_bytes([ssrc[0], ssrc[1], ssrc[2], ssrc[3]]));
        self.latched_rtcp == Some(from) || source.ip() == from.ip() && (ssrc == latch.ssrc() || from == described)
    }

    fn handle_report<'a>(
        &mut self,
        component: Component,
        from: SocketAddr,
        bytes: &mut [u8],
        now: Instant,
    ) -> Received<'a> {
        let Some(audio) = self.audio else { return Received::Foreign };
        if !self.concerns_report(audio, component, from, bytes) {
            return Received::Foreign;
        }
        if !is_rtcp(bytes) {
            return Received::Malformed;
        }
        let opened = match &mut self.secure {
            Some(secure) => secure.unprotect.rtcp(bytes),
            None => Ok(bytes.len()),
        };
        let length = match opened {
            Ok(length) => length,
            Err(error) => return self.refuse(error),
        };
        self.reports.handle_datagram(&bytes[..length], now);
        if self.learnt_source().is_some() && component == Component::Rtcp {
            self.latched_rtcp = Some(from);
        }
        Received::Rtcp
    }

    /// Returns the destination of reports and the flow that carries them.
    fn report_target(&self) -> Option<(Component, SocketAddr)> {
        let audio = self.audio.as_ref()?;
        let target = if audio.rtcp_mux {
            (Component::Rtp, self.learnt_source().unwrap_or(audio.remote_rtp))
        } else {
            (Component::Rtcp, self.latched_rtcp.unwrap_or(audio.remote_rtcp))
        };
        is_reachable(target.1).then_some(target)
    }
}

fn is_reachable(to: SocketAddr) -> bool {
    !to.ip().is_unspecified() && to.port() != 0
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::sdp::Codec;
    use crate::units::test_epoch;

    fn at(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    fn audio(remote: SocketAddr, rtcp_mux: bool) -> Audio {
        Audio {
            remote_rtcp: if rtcp_mux { remote } else { SocketAddr::new(remote.ip(), remote.port() + 1) },
            rtcp_mux,
            ..Audio::plain(Codec::Pcmu, remote)
        }
    }

    fn leg(nat: bool, rtcp_mux: bool) -> RtpLeg {
        let mut leg = RtpLeg::new(77, "test", nat, test_epoch(), UNIX_EPOCH);
        leg.update(audio(at(1, 4000), rtcp_mux), test_epoch());
        leg
    }

    fn packet() -> [u8; 172] {
        numbered(3, 1)
    }

    fn numbered(ssrc: u32, sequence: u16) -> [u8; 172] {
        let mut bytes = [0xd5; 172];
        let timestamp = u32::from(sequence) * 160;
        let header = RtpHeader { payload_type: 0, marker: false, sequence, timestamp, ssrc };
        header.write_to(&mut bytes).unwrap();
        bytes
    }

    /// A time at which the described address is no longer preferred.
    fn later() -> Instant {
        test_epoch() + Duration::from_secs(1)
    }

    /// An empty receiver report.
    const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];

    fn verdict(leg: &mut RtpLeg, component: Component, from: SocketAddr, bytes: &[u8]) -> &'static str {
        match leg.handle_datagram(component, from, &mut bytes.to_vec(), later()) {
            Received::Rtp(_) => "rtp",
            Received::Moved(_) => "moved",
            Received::Unproven => "unproven",
            Received::Rtcp => "rtcp",
            Received::Foreign => "foreign",
            Received::Malformed => "malformed",
            Received::Unauthentic => "unauthentic",
            Received::Replayed => "replayed",
        }
    }

    #[test]
    fn only_the_sdp_s_addresses_are_accepted() {
        let mut leg = leg(false, false);
        for (component, from, bytes, expected) in [
            (Component::Rtp, at(1, 4000), &packet()[..], "rtp"),
            (Component::Rtp, at(1, 4000), &packet(), "replayed"),
            (Component::Rtp, at(1, 4002), &packet(), "foreign"),
            (Component::Rtp, at(2, 4000), &packet(), "foreign"),
            (Component::Rtp, at(1, 4000), &packet()[..11], "malformed"),
            (Component::Rtcp, at(1, 4001), &REPORT, "rtcp"),
            (Component::Rtcp, at(1, 4000), &REPORT, "foreign"),
            (Component::Rtcp, at(1, 4001), &packet(), "malformed"),
            (Component::Rtp, at(1, 4000), &REPORT, "malformed"),
        ] {
            assert_eq!(verdict(&mut leg, component, from, bytes), expected, "{component:?} {from}");
        }
        assert_eq!(leg.quality().packets_received, 1);
    }

    #[test]
    fn a_leg_without_a_description_accepts_no_packet() {
        let mut leg = RtpLeg::new(77, "test", true, test_epoch(), UNIX_EPOCH);
        assert_eq!(verdict(&mut leg, Component::Rtp, at(1, 4000), &packet()), "foreign");
        assert!(!leg.is_report_due(test_epoch() + Duration::from_secs(60)));
    }

    /// Sends a row of packets from a source and returns the verdict on the last one.
    fn row(leg: &mut RtpLeg, from: SocketAddr, ssrc: u32, numbers: std::ops::Range<u16>) -> &'static str {
        numbers.map(|n| verdict(leg, Component::Rtp, from, &numbered(ssrc, n))).last().unwrap()
    }

    #[test]
    fn a_leg_behind_nat_sends_media_and_reports_to_their_sources() {
        let mut leg = leg(true, false);
        let (mine, other, reports) = (at(9, 555), at(8, 666), at(9, 556));
        let report = |ssrc: u8| [0x80, 201, 0, 1, 0, 0, 0, ssrc];
        assert_eq!(verdict(&mut leg, Component::Rtcp, reports, &report(3)), "foreign");
        assert_eq!(verdict(&mut leg, Component::Rtp, other, &[0x80; 11]), "malformed");
        assert_eq!(row(&mut leg, mine, 3, 1..5), "unproven");
        assert_eq!(row(&mut leg, mine, 3, 5..6), "moved");
        assert_eq!(row(&mut leg, other, 4, 1..50), "foreign");
        let mut out = [0; 1500];
        let header = leg.header(0, false, 1, 2);
        assert_eq!(leg.write_rtp(&header, &[1; 160], &mut out, later()), Some((mine, 172)));
        // Reports about another SSRC, or from another host, are not the leg's.
        for (from, ssrc, expected) in
            [(reports, 9, "foreign"), (at(8, 556), 3, "foreign"), (reports, 3, "rtcp"), (reports, 9, "rtcp")]
        {
            assert_eq!(verdict(&mut leg, Component::Rtcp, from, &report(ssrc)), expected, "{from} {ssrc}");
        }
        assert_eq!(leg.write_bye(later(), &mut out).map(|(_, to, _)| to), Some(reports));
        // A refresh and hold change nothing; another address restarts the search.
        leg.update(audio(SocketAddr::from(([0, 0, 0, 0], 4000)), false), later());
        leg.update(audio(at(1, 4000), false), later());
        assert_eq!(row(&mut leg, mine, 3, 6..7), "rtp");
        leg.update(audio(at(1, 5000), false), later());
        assert_eq!(leg.write_bye(later(), &mut out).map(|(_, to, _)| to), Some(at(1, 5001)));
        assert_eq!(row(&mut leg, mine, 3, 7..50), "unproven", "one second of preference for the new address");
        assert_eq!(row(&mut leg, at(1, 5000), 5, 1..2), "rtp");
        assert_eq!(row(&mut leg, mine, 3, 50..99), "foreign");
    }

    #[test]
    fn a_copy_of_a_packet_is_dropped_for_every_kind_of_source() {
        for nat in [false, true] {
            let mut leg = leg(nat, false);
            let verdicts = [1, 1, 3, 2, 1, 2, 3].map(|n| row(&mut leg, at(1, 4000), 3, n..n + 1));
            assert_eq!(verdicts, ["rtp", "replayed", "rtp", "rtp", "replayed", "replayed", "replayed"]);
            let quality = leg.quality();
            assert_eq!((quality.packets_received, quality.packets_lost, quality.packets_repeated), (3, 0, 4));
        }
    }

    #[test]
    fn reports_share_the_port_if_negotiated() {
        let mut leg = leg(false, true);
        assert_eq!(verdict(&mut leg, Component::Rtp, at(1, 4000), &REPORT), "rtcp");
        let mut out = [0; 1500];
        let (component, to, length) = leg.write_bye(test_epoch(), &mut out).unwrap();
        assert_eq!((component, to), (Component::Rtp, at(1, 4000)));
        assert!(is_rtcp(&out[..length]));
    }

    #[test]
    fn a_stranger_s_report_does_not_keep_a_leg_without_media_alive() {
        let mut leg = leg(true, true);
        let (mine, stranger) = (at(9, 555), at(8, 666));
        assert_eq!(verdict(&mut leg, Component::Rtp, stranger, &REPORT), "foreign");
        assert_eq!(leg.far_end().heard_at, None);
        assert_eq!(row(&mut leg, mine, 3, 1..6), "moved");
        assert_eq!(verdict(&mut leg, Component::Rtp, mine, &REPORT), "rtcp");
        assert_eq!(verdict(&mut leg, Component::Rtp, stranger, &REPORT), "foreign");
    }

    #[test]
    fn nothing_is_sent_to_an_unusable_address() {
        let mut leg = leg(false, false);
        leg.update(audio(SocketAddr::from(([0, 0, 0, 0], 4000)), false), later());
        let header = leg.header(0, false, 1, 2);
        assert_eq!(leg.write_rtp(&header, &[1; 160], &mut [0; 1500], test_epoch()), None);
        assert!(leg.write_bye(test_epoch(), &mut [0; 1500]).is_none());
    }
}
