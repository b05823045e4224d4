//! An RTP leg of a phone or trunk, plain or with SDES keys: who may send to it, where its packets go, what RTCP tells.
//!
//! ```text
//! datagram ─▶ source check ─▶ (SRTP opened) ─▶ RTCP? ─▶ reports read
//!                                            └▶ RTP: version, payload type, (first packet: latch) ─▶ Received::Rtp
//! write_rtp, write_report, write_bye ─▶ (SRTP protected) ─▶ datagram and its destination
//! ```
//!
//! Invariants: packets are taken from the SDP's addresses only; with `nat`, from the first source that sends a valid packet and never from
//! another until the SDP names a new address. A refused packet changes nothing but a counter; with keys, one that is not authentic is
//! refused before anything is learned from it. As long as a key stays, its roll-over counter and replay windows stay, whatever is
//! negotiated. Nothing allocates per packet.
//!
//! Not here: sockets, playout, codecs, numbering of what is sent.
//!
//! Sources: RFC 3550 (RTP, RTCP), RFC 3711 (SRTP), RFC 4568 (SDES), RFC 5761 (rtcp-mux), RFC 7362 (latching), RFC 4961 (symmetric RTP).

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::rtcp;
use crate::rtp::{ReceiveStats, RtpHeader, RtpPacket, SendStats, is_rtcp};
use crate::sdp::{Audio, SrtpKeys};
use crate::srtp::{Protect, SrtpError, Unprotect};
use crate::units::ClockRate;

/// Which of a leg's two flows (the word is ICE's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Media.
    Rtp,
    /// Reports.
    Rtcp,
}

/// What became of a datagram.
#[derive(Debug)]
pub enum Received<'a> {
    /// A valid packet with one of the negotiated payload types.
    Rtp(RtpPacket<'a>),
    /// Reports; they are taken in.
    Rtcp,
    /// Not from where this leg's media comes. Drop and count.
    Foreign,
    /// Not a packet that was negotiated. Drop and count.
    Malformed,
    /// Not protected by the far end's key: forged, damaged, plain, or by a key that we do not know. Drop and count.
    Unauthentic,
    /// Its number has come before, or far too late; whether it is authentic was not asked. Drop and count.
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

/// Numbers of the leg's media since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RtpQuality {
    /// Valid packets received.
    pub packets_received: u64,
    /// Packets that never came, as far as sequence numbers tell.
    pub packets_lost: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// Round trip, when RTCP told one.
    pub round_trip: Option<Duration>,
    /// Packets, reports among them, that the far end's key did not open.
    pub packets_unauthentic: u64,
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
    nat: bool,
    audio: Option<Audio>,
    latched: Option<SocketAddr>,
    latched_rtcp: Option<SocketAddr>,
    received: ReceiveStats,
    sent: SendStats,
    reports: rtcp::Session,
    received_before: u64,
    lost_before: u64,
    secure: Option<Box<Secure>>,
    unauthentic: u64,
}

impl RtpLeg {
    /// A leg that does not know its far end yet. `ssrc` is random; `cname` names the leg in RTCP (RFC 7022: random too); `wall` is the
    /// time of day at `now`.
    pub fn new(ssrc: u32, cname: &str, nat: bool, now: Instant, wall: SystemTime) -> RtpLeg {
        RtpLeg {
            ssrc,
            nat,
            audio: None,
            latched: None,
            latched_rtcp: None,
            received: ReceiveStats::new(ClockRate::HZ_8000),
            sent: SendStats::new(ClockRate::HZ_8000),
            reports: rtcp::Session::new(ssrc, cname, now, wall, u64::from(ssrc)),
            received_before: 0,
            lost_before: 0,
            secure: None,
            unauthentic: 0,
        }
    }

    /// What offer and answer agreed, at first or again. A new remote address begins a new latch.
    pub fn update(&mut self, audio: Audio) {
        if self.audio.as_ref().is_none_or(|before| before.remote_rtp != audio.remote_rtp) {
            (self.latched, self.latched_rtcp) = (None, None);
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

    /// Begins a new context for every key that is new.
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

    /// SSRC of what we send.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes a datagram that came to `component`'s port; with keys it is opened in place.
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
        if !self.accepts(audio, from) {
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
        if self.nat {
            self.latched = Some(from);
        }
        if event == Some(payload_type) {
            self.received.on_untimed_rtp(&packet, now);
        } else {
            self.received.on_rtp(&packet, now);
        }
        Received::Rtp(packet)
    }

    /// The header of a packet to send.
    pub fn header(&self, payload_type: u8, marker: bool, sequence: u16, timestamp: u32) -> RtpHeader {
        RtpHeader { payload_type, marker, sequence, timestamp, ssrc: self.ssrc }
    }

    /// Writes a packet into `out`: where it goes and its length. `None`: there is nowhere to send it, or it does not fit.
    pub fn write_rtp(
        &mut self,
        header: &RtpHeader,
        payload: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Option<(SocketAddr, usize)> {
        let audio = self.audio.as_ref()?;
        let to = self.latched.unwrap_or(audio.remote_rtp);
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

    /// Whether `write_report` has something to write.
    pub fn is_report_due(&self, now: Instant) -> bool {
        self.audio.is_some() && self.reports.poll_timeout() <= now
    }

    /// Writes the report that is due: by which flow it leaves, where to, its length.
    pub fn write_report(&mut self, now: Instant, out: &mut [u8]) -> Option<(Component, SocketAddr, usize)> {
        let written = self.reports.poll_report(now, &self.sent, &mut self.received, out);
        let (component, to) = self.report_target()?;
        let length = self.protect_report(written?.ok()?, out)?;
        Some((component, to, length))
    }

    /// Writes the goodbye. `None`: nobody to say it to.
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

    /// Counts a datagram that was not opened.
    fn refuse<'a>(&mut self, error: SrtpError) -> Received<'a> {
        self.unauthentic += u64::from(error == SrtpError::Unauthentic);
        error.into()
    }

    /// Numbers since the leg began.
    pub fn quality(&self) -> RtpQuality {
        RtpQuality {
            packets_received: self.received_before + self.received.packets(),
            packets_lost: self.lost_before + self.received.lost(),
            jitter: self.received.jitter(),
            round_trip: self.reports.round_trip(),
            packets_unauthentic: self.unauthentic,
        }
    }

    /// What the far end told of the stream that we send.
    pub fn far_end(&self) -> rtcp::FarEnd {
        self.reports.far_end(self.audio.map_or(ClockRate::HZ_8000, |audio| audio.codec.clock()))
    }

    /// Where valid packets come from; `None` where the first valid packet will tell, or nothing was agreed.
    pub fn source(&self) -> Option<SocketAddr> {
        let described = self.audio.filter(|_| !self.nat).map(|audio| audio.remote_rtp);
        described.or(self.latched)
    }

    fn accepts(&self, audio: Audio, from: SocketAddr) -> bool {
        match (self.nat, self.latched) {
            (false, _) => from == audio.remote_rtp,
            (true, Some(latched)) => from == latched,
            (true, None) => true,
        }
    }

    fn handle_report<'a>(
        &mut self,
        component: Component,
        from: SocketAddr,
        bytes: &mut [u8],
        now: Instant,
    ) -> Received<'a> {
        let Some(audio) = self.audio else { return Received::Foreign };
        let expected = match (component, self.nat) {
            // A report tells nobody's place: before media does, only its keys can speak for it.
            (Component::Rtp, true) if self.secure.is_none() => self.latched == Some(from),
            (Component::Rtp, _) => self.accepts(audio, from),
            (Component::Rtcp, false) => from == audio.remote_rtcp,
            // Reports come from the host that media was learnt from; their port is learnt from the first.
            (Component::Rtcp, true) => {
                self.latched_rtcp.map_or(self.latched.is_some_and(|media| media.ip() == from.ip()), |l| l == from)
            }
        };
        if !expected {
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
        if self.nat && component == Component::Rtcp {
            self.latched_rtcp = Some(from);
        }
        Received::Rtcp
    }

    /// Where reports go, and by which flow.
    fn report_target(&self) -> Option<(Component, SocketAddr)> {
        let audio = self.audio.as_ref()?;
        let target = if audio.rtcp_mux {
            (Component::Rtp, self.latched.unwrap_or(audio.remote_rtp))
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
        leg.update(audio(at(1, 4000), rtcp_mux));
        leg
    }

    fn packet() -> [u8; 172] {
        let mut bytes = [0xd5; 172];
        let header = RtpHeader { payload_type: 0, marker: false, sequence: 1, timestamp: 2, ssrc: 3 };
        header.write_to(&mut bytes).unwrap();
        bytes
    }

    /// An empty receiver report.
    const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];

    fn verdict(leg: &mut RtpLeg, component: Component, from: SocketAddr, bytes: &[u8]) -> &'static str {
        match leg.handle_datagram(component, from, &mut bytes.to_vec(), test_epoch()) {
            Received::Rtp(_) => "rtp",
            Received::Rtcp => "rtcp",
            Received::Foreign => "foreign",
            Received::Malformed => "malformed",
            Received::Unauthentic => "unauthentic",
            Received::Replayed => "replayed",
        }
    }

    #[test]
    fn only_the_sdp_s_addresses_are_heard() {
        let mut leg = leg(false, false);
        for (component, from, bytes, expected) in [
            (Component::Rtp, at(1, 4000), &packet()[..], "rtp"),
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
    fn leg_without_a_description_hears_nobody() {
        let mut leg = RtpLeg::new(77, "test", true, test_epoch(), UNIX_EPOCH);
        assert_eq!(verdict(&mut leg, Component::Rtp, at(1, 4000), &packet()), "foreign");
        assert!(!leg.is_report_due(test_epoch() + Duration::from_secs(60)));
    }

    #[test]
    fn latch_takes_the_first_valid_source_and_keeps_it_until_the_sdp_moves() {
        let mut leg = leg(true, false);
        let (mine, other) = (at(9, 555), at(8, 666));
        assert_eq!(verdict(&mut leg, Component::Rtcp, SocketAddr::new(mine.ip(), 556), &REPORT), "foreign");
        assert_eq!(verdict(&mut leg, Component::Rtp, other, &[0x80; 11]), "malformed");
        assert_eq!(verdict(&mut leg, Component::Rtp, mine, &packet()), "rtp");
        assert_eq!(verdict(&mut leg, Component::Rtp, other, &packet()), "foreign");
        assert_eq!(verdict(&mut leg, Component::Rtcp, SocketAddr::new(mine.ip(), 556), &REPORT), "rtcp");
        assert_eq!(verdict(&mut leg, Component::Rtcp, SocketAddr::new(mine.ip(), 557), &REPORT), "foreign");
        let mut out = [0; 1500];
        let header = leg.header(0, false, 1, 2);
        assert_eq!(leg.write_rtp(&header, &[1; 160], &mut out, test_epoch()), Some((mine, 172)));
        // A refresh changes nothing; another address begins anew.
        leg.update(audio(at(1, 4000), false));
        assert_eq!(verdict(&mut leg, Component::Rtp, other, &packet()), "foreign");
        leg.update(audio(at(1, 5000), false));
        assert_eq!(verdict(&mut leg, Component::Rtp, other, &packet()), "rtp");
    }

    #[test]
    fn reports_share_the_port_where_that_was_agreed() {
        let mut leg = leg(false, true);
        assert_eq!(verdict(&mut leg, Component::Rtp, at(1, 4000), &REPORT), "rtcp");
        let mut out = [0; 1500];
        let (component, to, length) = leg.write_bye(test_epoch(), &mut out).unwrap();
        assert_eq!((component, to), (Component::Rtp, at(1, 4000)));
        assert!(is_rtcp(&out[..length]));
    }

    #[test]
    fn a_stranger_s_report_keeps_no_leg_alive_that_has_had_no_media() {
        let mut leg = leg(true, true);
        let (mine, stranger) = (at(9, 555), at(8, 666));
        assert_eq!(verdict(&mut leg, Component::Rtp, stranger, &REPORT), "foreign");
        assert_eq!(leg.far_end().heard_at, None);
        assert_eq!(verdict(&mut leg, Component::Rtp, mine, &packet()), "rtp");
        assert_eq!(verdict(&mut leg, Component::Rtp, mine, &REPORT), "rtcp");
        assert_eq!(verdict(&mut leg, Component::Rtp, stranger, &REPORT), "foreign");
    }

    #[test]
    fn nothing_is_sent_to_an_address_that_is_none() {
        let mut leg = leg(false, false);
        leg.update(audio(SocketAddr::from(([0, 0, 0, 0], 4000)), false));
        let header = leg.header(0, false, 1, 2);
        assert_eq!(leg.write_rtp(&header, &[1; 160], &mut [0; 1500], test_epoch()), None);
        assert!(leg.write_bye(test_epoch(), &mut [0; 1500]).is_none());
    }
}
