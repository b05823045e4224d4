//! Far ends that do more than plain RTP: SRTP keyed by SDES, and browsers.
//!
//! A browser here is str0m by way of the engine's own `WebRtcPeer`, on a socket of its own: the engine tells browsers apart by
//! their addresses.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use media_engine::leg::webrtc::{DtlsCert, PeerOutput, WebRtcPeer};
use media_engine::rtp::RtpHeader;
use media_engine::srtp::{MasterKey, Protect, Unprotect};

use crate::peer::{Keys, SUITE};
use crate::wire;

/// SRTP on a plain leg, keys known from SDP.
pub(crate) struct Sdes {
    to: SocketAddr,
    protect: Protect,
    unprotect: Unprotect,
}

impl Sdes {
    pub(crate) fn new(to: SocketAddr, keys: &Keys) -> Result<Sdes> {
        let master = |text: &str| {
            let bytes = BASE64_STANDARD.decode(text).context("a key is not base64")?;
            MasterKey::new(SUITE, &bytes).context("a key is not of the suite's length")
        };
        let (protect, unprotect) = (Protect::new(&master(&keys.generator)?), Unprotect::new(&master(&keys.peer)?));
        Ok(Sdes { to, protect, unprotect })
    }

    /// Protects the packet in the first `length` bytes and sends it; returns when.
    pub(crate) fn say(&mut self, socket: &UdpSocket, bytes: &mut [u8], length: usize) -> Result<u64> {
        let length = self.protect.rtp(bytes, length).context("a packet could not be protected")?;
        let now = wire::now_ns();
        wire::send(socket, self.to, &bytes[..length]);
        Ok(now)
    }

    /// The clear packet; `None`: not from this leg, or not RTP.
    pub(crate) fn open<'a>(&mut self, bytes: &'a mut [u8]) -> Option<&'a [u8]> {
        let length = self.unprotect.rtp(bytes).ok()?;
        bytes.get(..length)
    }
}

/// One browser.
pub(crate) struct Browser {
    peer: WebRtcPeer,
    pub(crate) socket: UdpSocket,
    here: SocketAddr,
    connected: bool,
    /// Why it is over.
    closed: Option<String>,
}

impl Browser {
    /// A browser and its offer.
    pub(crate) fn new(certificate: &DtlsCert) -> Result<(Browser, String)> {
        let socket = wire::open()?;
        let here = socket.local_addr()?;
        let (peer, offer) = WebRtcPeer::offer(&[here], certificate, Instant::now())?;
        Ok((Browser { peer, socket, here, connected: false, closed: None }, offer))
    }

    /// Takes the answer; the connection begins with the next `tick`.
    pub(crate) fn answer(&mut self, sdp: &str) -> Result<()> {
        Ok(self.peer.handle_answer(sdp)?)
    }

    /// Whether media can flow.
    ///
    /// # Errors
    /// It never will.
    pub(crate) fn is_connected(&self) -> Result<bool> {
        match &self.closed {
            Some(why) => bail!("a browser leg ended: {why}"),
            None => Ok(self.connected),
        }
    }

    /// Sends one packet; returns when.
    pub(crate) fn say(&mut self, header: RtpHeader, number: usize, payload: &[u8]) -> Result<u64> {
        let RtpHeader { payload_type, timestamp, marker, .. } = header;
        self.peer.write_rtp(payload_type, number as u64, timestamp, marker, payload, Instant::now())?;
        self.drain(|_, _| {}).context("the browser's packet did not leave at once")
    }

    /// Takes a datagram; `hear` gets timestamp and payload of what it brings.
    pub(crate) fn take(&mut self, from_port: u16, bytes: &[u8], hear: impl FnMut(u32, &[u8])) {
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, from_port));
        self.peer.handle_datagram(from, self.here, bytes, Instant::now());
        self.drain(hear);
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.peer.poll_timeout() <= now {
            self.peer.handle_timeout(now);
            self.drain(|_, _| {});
        }
    }

    /// Does what the peer wants; returns when the last RTP packet was sent.
    fn drain(&mut self, mut hear: impl FnMut(u32, &[u8])) -> Option<u64> {
        let mut sent = None;
        while let Some(output) = self.peer.poll_output() {
            match output {
                PeerOutput::Transmit { to, bytes, .. } => {
                    let now = wire::now_ns();
                    if is_rtp(&bytes) {
                        sent = Some(now);
                    }
                    wire::send(&self.socket, to, &bytes);
                }
                PeerOutput::Rtp { timestamp, payload, .. } => hear(timestamp, &payload),
                PeerOutput::Connected => self.connected = true,
                PeerOutput::Closed(why) => self.closed = Some(why),
            }
        }
        sent
    }
}

/// RTP, not RTCP, STUN or DTLS (RFC 7983, RFC 5761).
fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if first >> 6 == 2 && !(192..224).contains(second))
}
