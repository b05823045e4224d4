//! One browser leg: ICE, DTLS-SRTP and RTP over one UDP flow, driven sans-IO over `str0m`.
//!
//! ```text
//!  SDP ──────▶ accept_offer / offer, handle_answer, handle_reoffer ──▶ SDP
//!  datagram ─▶ handle_datagram ─┐                       ┌─▶ Transmit (to the worker's socket)
//!  RTP ──────▶ write_rtp ───────┼─▶ str0m ─▶ poll_output┼─▶ Rtp (to the jitter buffer or relay)
//!  time ─────▶ handle_timeout ──┘                       └─▶ Connected, Closed(reason)
//!
//!  once connected, bypassing str0m:  datagram ─▶ handle_media ─▶ RtpPacket      RTP ─▶ write_media ─▶ datagram
//! ```
//!
//! str0m's packet path costs about 20 µs a packet and allocates. After the DTLS handshake, media is decrypted and
//! protected by our own modules with the keys that `capture` intercepts; STUN, DTLS and timers remain with str0m. With
//! an unknown profile or another crypto provider, media remains with str0m too.
//!
//! The driver must drain `poll_output` until `None` after every call, and then read `poll_timeout`. A deadline in the
//! past means at once.
//!
//! Invariants: one audio m-line, one codec, one telephone-event of the codec's clock. Datagrams that are junk or belong
//! to others change only a counter. `Closed` is returned at most once and is the last output.
//!
//! Not here: sockets, the demultiplexing table (see `stun_username_ufrag`), jitter buffer, codecs.
//! Sources: RFC 8445 (ICE), RFC 7675 (consent), RFC 5764 (DTLS-SRTP), RFC 8834 (RTP in WebRTC), RFC 7587.

mod capture;
mod carrier;
mod formats;
mod media;
mod remote;
mod stun;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::config::CryptoProvider;
use str0m::format::{CodecConfig, PayloadParams};
use str0m::media::{Direction as MediaDirection, Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};

use crate::rtcp::FarEnd;
use crate::sdp::Codec;

use capture::{Link, QUESTION};
pub use carrier::Media;
use carrier::{Carrier, Route};
pub use formats::PeerAudio;
use formats::{clock_of, event_format, voice_format};
use media::{is_rtp_or_rtcp, rtp_output};
use remote::{Choice, ChosenCodec, Origin, Remote, compose};
pub use stun::stun_username_ufrag;

/// Fuzz targets of the parsers in this module.
#[doc(hidden)]
pub mod fuzz {
    pub use super::remote::fuzz::fuzz_remote_description;
    pub use super::stun::fuzz::fuzz_stun_username_ufrag;
}

/// Longest time from the last SDP to working media: a browser behind a firewall gives up after about as long.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// Time for which a leg whose ICE consent is lost (some 15 s after the last answer) may wait for an ICE restart.
const LOST_GRACE: Duration = Duration::from_secs(12);
/// How often round trip and the browser's reception reports are read.
const STATS_INTERVAL: Duration = Duration::from_secs(2);
/// Number of remembered source addresses of authenticated connectivity checks.
const MAX_VERIFIED: usize = 8;
/// Largest RTP payload in bytes: the rest of a 1,200-byte datagram after header and SRTP tag.
const MAX_PAYLOAD: usize = 1_100;

/// Reason why a leg refuses a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegError {
    /// The SDP cannot be used: answer 488, or 400 when none of it is readable. The text gives the reason.
    #[error("the SDP cannot be used: {0}")]
    Sdp(String),
    /// The offer and this leg have no codec in common: answer 488.
    #[error("no codec in common: expected Opus, PCMU or PCMA")]
    NoCommonCodec,
    /// The call does not fit the state of the negotiation: a bug of the caller, or a late answer.
    #[error("out of order: {0}")]
    OutOfOrder(&'static str),
    /// Nothing can be sent now: the leg is not connected yet, or the other side has put it on hold. Drop and count.
    #[error("nothing can be sent now: {0}")]
    NotSending(&'static str),
    /// A packet does not match the negotiated formats. Drop and count.
    #[error("payload type {0} was not negotiated, or the payload is too long")]
    BadPacket(u8),
    /// The leg has ended; the text gives the reason.
    #[error("the leg has ended: {0}")]
    Closed(String),
    /// The media side cannot serve the leg: no ports, no worker, or an unknown leg. End the call; the text is for the
    /// log.
    #[error("{0}")]
    Media(String),
}

/// Certificate of this process for all its browser legs, and the crypto provider that it belongs to.
///
/// Created once: generating a key costs milliseconds, and browsers compare only its fingerprint.
#[derive(Clone, Debug)]
pub struct DtlsCert {
    certificate: str0m::config::DtlsCert,
    crypto: Arc<CryptoProvider>,
}

impl DtlsCert {
    /// Generates a self-signed certificate.
    ///
    /// # Errors
    /// `LegError::Closed` when the crypto library has no randomness; browser legs are then impossible.
    pub fn generate() -> Result<DtlsCert, LegError> {
        DtlsCert::with(capture::provider())
    }

    /// Creates a certificate for legs whose media remains with str0m, as a reference for our own media path.
    #[cfg(test)]
    pub(crate) fn of_str0m_alone() -> DtlsCert {
        DtlsCert::with(str0m::crypto::from_feature_flags()).expect("the crypto library makes a certificate")
    }

    fn with(crypto: CryptoProvider) -> Result<DtlsCert, LegError> {
        let crypto = Arc::new(crypto);
        match crypto.dtls_provider.generate_certificate() {
            Some(certificate) => Ok(DtlsCert { certificate, crypto }),
            None => Err(LegError::Closed("the crypto library cannot make a certificate".into())),
        }
    }
}

/// Statistics from ICE and from the browser's RTCP reports. Counters start with the leg.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeerQuality {
    /// Number of RTP packets received.
    pub packets_received: u64,
    /// RTP packets passed to `write_rtp`.
    pub packets_sent: u64,
    /// Datagrams that were junk or belonged to others.
    pub datagrams_ignored: u64,
    /// Round-trip time of the latest connectivity check or RTCP report.
    pub round_trip: Option<Duration>,
    /// Reports of the browser on our stream.
    pub far_end: FarEnd,
}

/// Output that the driver must deliver or react to.
#[derive(Debug)]
pub enum PeerOutput {
    /// Datagram to send.
    Transmit {
        /// Address of the browser.
        to: SocketAddr,
        /// Our candidate address that it is sent from.
        from: SocketAddr,
        /// Contents of the datagram.
        bytes: Vec<u8>,
    },
    /// A decrypted RTP packet. Sequence number and timestamp are as on the wire.
    Rtp {
        /// Payload type of the codec or of telephone-event.
        payload_type: u8,
        /// RTP sequence number, as on the wire.
        seq: u16,
        /// Timestamp in ticks of the RTP clock.
        timestamp: u32,
        /// Synchronisation source of the stream.
        ssrc: u32,
        /// Marks the start of a talkspurt or event.
        marker: bool,
        /// Payload without header, extensions and padding.
        payload: Arc<[u8]>,
        /// Arrival time of its datagram.
        arrival: Instant,
    },
    /// Media flows from now on. Returned once.
    Connected,
    /// The leg has ended; the text is for log and API. Returned once, as the last output.
    Closed(String),
}

#[derive(Debug)]
enum Life {
    Open,
    /// Ended, but not reported yet.
    Failed(String),
    /// Closed from our side: the remaining datagrams of str0m may still be sent.
    Closing,
    Closed,
}

/// One browser leg. See the module head for how to drive it.
pub struct WebRtcPeer {
    rtc: Rtc,
    life: Life,
    addresses: Vec<SocketAddr>,
    mid: Option<Mid>,
    pending: Option<SdpPendingOffer>,
    remote: Option<Remote>,
    audio: Option<PeerAudio>,
    ufrag: String,
    previous_ufrag: Option<String>,
    verified: Vec<SocketAddr>,
    session: u64,
    version: u64,
    connected: bool,
    connect_by: Option<Instant>,
    lost_since: Option<Instant>,
    last_now: Instant,
    timeout: Instant,
    quality: PeerQuality,
    /// Pair of an instant and its time of day, for sender reports.
    wall: (Instant, SystemTime),
    link: Option<Arc<Link>>,
    carrier: Option<Box<Carrier>>,
    /// Outputs that did not come from str0m and wait for `poll_output`.
    queue: VecDeque<PeerOutput>,
    /// Highest sequence number in the browser's latest report.
    remote_highest: Option<u64>,
}

/// Addresses under which browsers may reach a worker's UDP ports.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// Addresses of the ports, at least one.
    pub own: &'a [SocketAddr],
    /// Addresses that a 1:1 NAT in front of them shows, port by port.
    pub advertised: &'a [IpAddr],
}

impl<'a, const N: usize> From<&'a [SocketAddr; N]> for Candidates<'a> {
    fn from(own: &'a [SocketAddr; N]) -> Candidates<'a> {
        Candidates { own, advertised: &[] }
    }
}

impl WebRtcPeer {
    /// Answers a browser's offer. Returns the leg and the SDP of the answer.
    ///
    /// `candidates` are the addresses under which browsers may reach the worker's UDP port.
    /// The answer has one audio m-line with all candidates; other m-lines are rejected.
    ///
    /// # Errors
    /// `Sdp` and `NoCommonCodec`: refuse the call with 488.
    pub fn accept_offer<'a>(
        offer_sdp: &str,
        candidates: impl Into<Candidates<'a>>,
        certificate: &DtlsCert,
        now: Instant,
    ) -> Result<(WebRtcPeer, String), LegError> {
        let offer = Remote::parse(offer_sdp, Choice::Best)?;
        let mut formats = vec![voice_format(offer.codec)];
        if let Some(payload_type) = offer.telephone_event {
            formats.push(event_format(payload_type, clock_of(offer.codec.codec)));
        }
        let mut peer = WebRtcPeer::build(formats, candidates.into(), certificate, now)?;
        let answer = peer.answer(offer)?;
        Ok((peer, answer))
    }

    /// Offers a call to a browser: Opus, PCMU, PCMA in that order, telephone-event at 48 kHz. Returns the leg and the
    /// SDP of the offer.
    ///
    /// # Errors
    /// `Sdp` when `candidates` contains no usable address.
    pub fn offer<'a>(
        candidates: impl Into<Candidates<'a>>,
        certificate: &DtlsCert,
        now: Instant,
    ) -> Result<(WebRtcPeer, String), LegError> {
        // Payload types as Chromium numbers them; 48 kHz events only: see ARCHITECTURE.md on str0m.
        let mut formats: Vec<PayloadParams> = [(Codec::Opus, 111), (Codec::Pcmu, 0), (Codec::Pcma, 8)]
            .into_iter()
            .map(|(codec, payload_type)| voice_format(ChosenCodec { codec, payload_type }))
            .collect();
        formats.push(event_format(110, Frequency::FORTY_EIGHT_KHZ));
        let mut peer = WebRtcPeer::build(formats, candidates.into(), certificate, now)?;
        let mut changes = peer.rtc.sdp_api();
        peer.mid = Some(changes.add_media(MediaKind::Audio, MediaDirection::SendRecv, None, None, None));
        let (offer, pending) = changes.apply().expect("a new m-line needs an offer");
        peer.pending = Some(pending);
        let text = compose(&offer.to_sdp_string(), None, &peer.origin());
        Ok((peer, text))
    }

    /// Applies the browser's answer to `offer`.
    ///
    /// # Errors
    /// `OutOfOrder` without an open offer; `Sdp` and `NoCommonCodec`: end the call.
    pub fn handle_answer(&mut self, sdp: &str) -> Result<(), LegError> {
        self.check_open()?;
        let pending = self.pending.take().ok_or(LegError::OutOfOrder("an answer arrived without an open offer"))?;
        let remote = Remote::parse(sdp, Choice::Best)?;
        let answer = SdpAnswer::from_sdp_string(&remote.canonical()).map_err(unusable_sdp)?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(unusable_sdp)?;
        self.on_negotiated(remote);
        Ok(())
    }

    /// Answers a later offer: hold, resume, ICE restart, session refresh. Returns the SDP of the answer.
    ///
    /// # Errors
    /// `Sdp` and `NoCommonCodec`: refuse with 488; the leg continues unchanged.
    pub fn handle_reoffer(&mut self, sdp: &str) -> Result<String, LegError> {
        self.check_open()?;
        let before = self.remote.as_ref().ok_or(LegError::OutOfOrder("the first negotiation is still open"))?;
        let offer = Remote::parse(sdp, Choice::Same(before.codec))?;
        if offer.fingerprint != before.fingerprint {
            return Err(LegError::Sdp("a changed certificate needs a new call".into()));
        }
        let restart = offer.restarts(before);
        let old = self.ufrag.clone();
        let answer = self.answer(offer)?;
        if restart {
            self.previous_ufrag = Some(old);
        }
        Ok(answer)
    }

    /// Returns our ICE user fragment: connectivity checks that name it belong to this leg.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Returns the fragment before the latest ICE restart; checks that name it may still be in transit.
    pub fn previous_ufrag(&self) -> Option<&str> {
        self.previous_ufrag.as_deref()
    }

    /// Returns the negotiated audio; `None` before the first answer.
    pub fn audio(&self) -> Option<PeerAudio> {
        self.audio
    }

    /// Returns counters, the round-trip time and the browser's reports on our stream.
    pub fn quality(&self) -> PeerQuality {
        self.quality
    }

    /// Whether a check with the right password has come from this address lately.
    pub fn has_verified(&self, from: SocketAddr) -> bool {
        self.verified.contains(&from)
    }

    /// Handles a datagram for this leg: STUN is assigned by its user fragment, other datagrams by source address.
    ///
    /// `to` is the local address that it arrived at. If that is not a candidate (a wildcard bind, 1:1 NAT), it stands
    /// for the first candidate of its family.
    pub fn handle_datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], now: Instant) {
        if !matches!(self.life, Life::Open | Life::Closing) {
            return;
        }
        let now = self.advance(now);
        if self.is_media(bytes) {
            let mut bytes = bytes.to_vec();
            if let Media::Rtp(packet) = self.handle_media(from, &mut bytes, now) {
                let output = rtp_output(&packet, now);
                self.queue.push_back(output);
            }
            return;
        }
        let to = self.candidate_for(to);
        let Ok(receive) = Receive::new(Protocol::Udp, from, to, bytes) else {
            self.quality.datagrams_ignored += 1;
            return;
        };
        let input = Input::Receive(now, receive);
        let accepted = self.rtc.accepts(&input);
        if accepted && stun_username_ufrag(bytes).is_some() {
            self.remember(from);
        }
        // Browsers send their ClientHello with the first answer to a check, some 20 ms before str0m considers the pair
        // viable; if it is lost, it is repeated after 300 ms.
        let early_handshake = !self.connected && is_dtls(bytes) && self.verified.contains(&from);
        // An error here concerns one unauthenticated datagram. Errors that break the leg (a wrong fingerprint, a failed
        // handshake) come out of `poll_output` or the deadline.
        if !(accepted || early_handshake) || self.rtc.handle_input(input).is_err() {
            self.quality.datagrams_ignored += 1;
        }
        // A check may have nominated another pair.
        self.ask_for_route();
        if !self.rtc.is_alive() {
            self.fail("the browser closed the media connection".into());
        }
    }

    /// Advances the time to `now`; to be called when `poll_timeout` is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !matches!(self.life, Life::Open | Life::Closing) {
            return;
        }
        let now = self.advance(now);
        if self.connect_by.is_some_and(|deadline| deadline <= now) {
            let problem = "the browser could not be reached for media within 30 s; check `media.address` and firewalls";
            self.fail(problem.into());
        } else if self.lost_since.is_some_and(|since| since + LOST_GRACE <= now) {
            self.fail("the browser stopped answering".into());
        } else {
            if self.timeout <= now {
                self.feed_time(now);
                self.ask_for_route();
            }
            let report = self.carrier.as_mut().and_then(|carrier| carrier.report(now));
            self.enqueue(report);
        }
    }

    /// Returns when `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Instant {
        match self.life {
            Life::Failed(_) => self.last_now,
            Life::Closed => self.last_now + Duration::from_secs(3_600),
            Life::Open | Life::Closing => {
                let lost = self.lost_since.map(|since| since + LOST_GRACE);
                let report = self.carrier.as_ref().map(|carrier| carrier.report_at());
                [self.connect_by, lost, report].into_iter().flatten().fold(self.timeout, Instant::min)
            }
        }
    }

    /// Returns the next output; `None` until `poll_timeout` is due or the next input arrives.
    pub fn poll_output(&mut self) -> Option<PeerOutput> {
        loop {
            match &mut self.life {
                Life::Open | Life::Closing => {}
                Life::Failed(reason) => {
                    let reason = std::mem::take(reason);
                    self.life = Life::Closed;
                    return Some(PeerOutput::Closed(reason));
                }
                Life::Closed => return None,
            }
            if let Some(output) = self.queue.pop_front() {
                return Some(output);
            }
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    if matches!(self.life, Life::Closing) && !self.rtc.is_alive() {
                        self.life = Life::Closed;
                    }
                    return None;
                }
                Ok(Output::Transmit(datagram)) if *datagram.contents == QUESTION => {
                    if let Some(carrier) = &mut self.carrier {
                        carrier.route = Some(Route { to: datagram.destination, from: datagram.source });
                    }
                }
                // Only the carrier may use the keys: str0m's reports would repeat its SRTCP indices.
                Ok(Output::Transmit(datagram)) if self.carrier.is_some() && is_rtp_or_rtcp(&datagram.contents) => {}
                Ok(Output::Transmit(datagram)) => {
                    return Some(PeerOutput::Transmit {
                        to: datagram.destination,
                        from: datagram.source,
                        bytes: datagram.contents.into(),
                    });
                }
                Ok(Output::Event(event)) => {
                    if let Some(output) = self.handle_event(event) {
                        return Some(output);
                    }
                }
                Err(error) => self.fail(failure_text(&error)),
            }
        }
    }

    /// Says goodbye to the browser (DTLS close_notify); drain `poll_output` once more afterwards.
    pub fn close(&mut self) {
        if matches!(self.life, Life::Open) {
            let now = self.last_now;
            let goodbye = self.carrier.as_mut().and_then(|carrier| carrier.goodbye(now));
            self.enqueue(goodbye);
            self.life = if self.rtc.close().is_ok() { Life::Closing } else { Life::Closed };
        }
    }

    fn build(
        formats: Vec<PayloadParams>,
        candidates: Candidates<'_>,
        certificate: &DtlsCert,
        now: Instant,
    ) -> Result<WebRtcPeer, LegError> {
        let mut extensions = ExtensionMap::empty();
        extensions.set(1, Extension::RtpMid);
        let mut config = RtcConfig::new()
            .set_crypto_provider(certificate.crypto.clone())
            .set_dtls_cert(certificate.certificate.clone())
            .set_rtp_mode(true)
            .set_extension_map(extensions)
            .set_stats_interval(Some(STATS_INTERVAL));
        *config.codec_config() = CodecConfig::new_from_payload_params(formats);
        let mut rtc = config.build(now);
        let link = capture::take_link();
        let addresses = candidates.own.to_vec();
        for address in &addresses {
            let candidate = Candidate::host(*address, "udp").map_err(unusable_sdp)?;
            rtc.add_local_candidate(candidate);
        }
        for ip in candidates.advertised {
            let Some(base) = addresses.iter().find(|own| own.is_ipv4() == ip.is_ipv4()) else { continue };
            let seen = SocketAddr::new(*ip, base.port());
            let candidate = Candidate::server_reflexive(seen, *base, "udp").map_err(unusable_sdp)?;
            rtc.add_local_candidate(candidate);
        }
        if addresses.is_empty() {
            return Err(LegError::Sdp("there is no local address to offer; set `media.address`".into()));
        }
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        // Only the browser compares it, and only with its own previous value: any number that differs between legs will
        // do.
        let session = ufrag.bytes().fold(1, |number: u64, byte| (number << 6) ^ u64::from(byte)) >> 1;
        Ok(WebRtcPeer {
            rtc,
            life: Life::Open,
            addresses,
            mid: None,
            pending: None,
            remote: None,
            audio: None,
            ufrag,
            previous_ufrag: None,
            verified: Vec::with_capacity(MAX_VERIFIED),
            session,
            version: 0,
            connected: false,
            connect_by: None,
            lost_since: None,
            last_now: now,
            timeout: now,
            quality: PeerQuality::default(),
            wall: (now, UNIX_EPOCH),
            link,
            carrier: None,
            queue: VecDeque::new(),
            remote_highest: None,
        })
    }

    fn answer(&mut self, offer: Remote) -> Result<String, LegError> {
        let parsed = SdpOffer::from_sdp_string(&offer.canonical()).map_err(unusable_sdp)?;
        let answer = self.rtc.sdp_api().accept_offer(parsed).map_err(unusable_sdp)?;
        self.pending = None;
        let text = compose(&answer.to_sdp_string(), Some(&offer), &self.origin());
        self.on_negotiated(offer);
        Ok(text)
    }

    /// Adopts the result of both descriptions from str0m.
    fn on_negotiated(&mut self, remote: Remote) {
        self.ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
        self.mid = Some(Mid::from(remote.mid()));
        let direction =
            self.mid.and_then(|mid| self.rtc.media(mid)).map_or(MediaDirection::Inactive, |m| m.direction());
        let audio = PeerAudio::new(&remote, direction);
        self.audio = Some(audio);
        if let Some(carrier) = &mut self.carrier {
            carrier.set_clock(audio.clock());
        }
        self.remote = Some(remote);
        if !self.connected {
            self.connect_by = Some(self.last_now + CONNECT_DEADLINE);
        }
        // SDP functions take no time: the deadline in the past makes the driver come back at once.
        self.feed_time(self.last_now);
        self.timeout = self.last_now;
    }

    fn handle_event(&mut self, event: Event) -> Option<PeerOutput> {
        match event {
            Event::RtpPacket(packet) => {
                self.quality.packets_received += 1;
                Some(PeerOutput::Rtp {
                    payload_type: *packet.header.payload_type,
                    seq: packet.header.sequence_number,
                    timestamp: packet.header.timestamp,
                    ssrc: *packet.header.ssrc,
                    marker: packet.header.marker,
                    payload: packet.payload,
                    arrival: packet.timestamp,
                })
            }
            Event::Connected => {
                self.connect_by = None;
                let first = !std::mem::replace(&mut self.connected, true);
                self.take_over();
                first.then_some(PeerOutput::Connected)
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.lost_since = self.lost_since.or(Some(self.last_now));
                None
            }
            Event::IceConnectionStateChange(state) => {
                if state.is_connected() {
                    self.lost_since = None;
                }
                None
            }
            Event::PeerStats(stats) => {
                let pair = stats.selected_candidate_pair.and_then(|pair| pair.current_round_trip_time);
                self.quality.round_trip = stats.rtt.or(pair).or(self.quality.round_trip);
                None
            }
            Event::MediaEgressStats(stats) if self.carrier.is_none() => {
                if let (Some(remote), Some(audio)) = (stats.remote, self.audio) {
                    let highest = *remote.maximum_sequence_number;
                    if self.remote_highest.replace(highest) != Some(highest) {
                        let told = &mut self.quality.far_end;
                        told.jitter = Duration::from_secs_f64(f64::from(remote.jitter) / f64::from(audio.clock().0));
                        (told.reported_at, told.heard_at) = (Some(stats.timestamp), Some(stats.timestamp));
                        // The mean share of the reports since the previous event; the first report yields none.
                        if let Some(loss) = stats.loss.map(|loss| f64::from(loss).clamp(0.0, 1.0)) {
                            (told.reports, told.loss_sum, told.loss) = (told.reports + 1, told.loss_sum + loss, loss);
                        }
                    }
                }
                None
            }
            Event::Closed if matches!(self.life, Life::Open) => {
                self.fail("the browser closed the media connection".into());
                None
            }
            _ => None,
        }
    }

    fn feed_time(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            self.fail(failure_text(&error));
        }
    }

    fn fail(&mut self, reason: String) {
        match self.life {
            Life::Open => self.life = Life::Failed(reason),
            Life::Closing => self.life = Life::Closed,
            Life::Failed(_) | Life::Closed => {}
        }
    }

    fn check_open(&self) -> Result<(), LegError> {
        match &self.life {
            Life::Open => Ok(()),
            Life::Failed(reason) => Err(LegError::Closed(reason.clone())),
            Life::Closing | Life::Closed => Err(LegError::Closed("the leg was closed".into())),
        }
    }

    /// Returns the later of `now` and the last time: time never runs backwards, whatever order the driver's batches
    /// have.
    fn advance(&mut self, now: Instant) -> Instant {
        self.last_now = self.last_now.max(now);
        self.last_now
    }

    fn origin(&mut self) -> Origin {
        self.version += 1;
        Origin { session: self.session, version: self.version, address: self.addresses[0] }
    }

    /// Remembers the source of an authenticated check; the oldest one is dropped if there are too many.
    fn remember(&mut self, from: SocketAddr) {
        if !self.verified.contains(&from) {
            if self.verified.len() == MAX_VERIFIED {
                self.verified.remove(0);
            }
            self.verified.push(from);
        }
    }

    fn candidate_for(&self, to: SocketAddr) -> SocketAddr {
        if self.addresses.contains(&to) {
            return to;
        }
        self.addresses.iter().copied().find(|address| address.is_ipv4() == to.is_ipv4()).unwrap_or(to)
    }
}

impl std::fmt::Debug for WebRtcPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let WebRtcPeer { life, audio, ufrag, connected, .. } = self;
        f.debug_struct("WebRtcPeer")
            .field("ufrag", ufrag)
            .field("life", life)
            .field("audio", audio)
            .field("connected", connected)
            .finish_non_exhaustive()
    }
}

/// Whether the datagram is DTLS (RFC 7983 section 7).
fn is_dtls(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| (20..64).contains(first))
}

fn unusable_sdp(error: impl std::fmt::Display) -> LegError {
    LegError::Sdp(error.to_string())
}

/// Returns a text for operators about str0m's final error.
fn failure_text(error: &RtcError) -> String {
    match error {
        RtcError::RemoteSdp(text) if text.contains("fingerprint") => {
            "the browser's certificate does not match the fingerprint in its SDP".into()
        }
        RtcError::Dtls(error) => format!("the DTLS handshake failed: {error}"),
        other => format!("the media connection failed: {other}"),
    }
}
