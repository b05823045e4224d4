//! Far ends beyond plain RTP: SRTP keyed by SDES, and browsers.
//!
//! A browser here is str0m through the engine's own `WebRtcPeer`, on its own socket, because the engine distinguishes browsers by
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

/// SRTP on a plain leg with keys from SDP.
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

    /// Protects the packet in the first `length` bytes and sends it; returns the send time.
    pub(crate) fn say(&mut self, socket: &UdpSocket, bytes: &mut [u8], length: usize) -> Result<u64> {
        let length = self.protect.rtp(bytes, length).context("a packet could not be protected")?;
        let now = wire::now_ns();
        wire::send(socket, self.to, &bytes[..length]);
        Ok(now)
    }

    /// Returns the decrypted packet; `None` when it is not from this leg or not RTP.
    pub(crate) fn open<'a>(&mut self, bytes: &'a mut [u8]) -> Option<&'a [u8]> {
        let length = self.unprotect.rtp(bytes).ok()?;
        bytes.get(..length)
    }
}

/// A browser, on its own socket.
pub(crate) struct Browser {
    peer: WebRtcPeer,
    pub(crate) socket: UdpSocket,
    here: SocketAddr,
    connected: bool,
    /// Reason for which the connection was closed.
    closed: Option<String>,
}

impl Browser {
    /// Creates a browser and its offer.
    pub(crate) fn new(certificate: &DtlsCert) -> Result<(Browser, String)> {
        let socket = wire::open()?;
        let here = socket.local_addr()?;
        let (peer, offer) = WebRtcPeer::offer(&[here], certificate, Instant::now())?;
        Ok((Browser { peer, socket, here, connected: false, closed: None }, offer))
    }

    /// Applies the answer; the connection begins with the next `tick`.
    pub(crate) fn answer(&mut self, sdp: &str) -> Result<()> {
        Ok(self.peer.handle_answer(sdp)?)
    }

    /// Returns whether media can flow.
    ///
    /// # Errors
    /// The connection was closed and will never be established.
    pub(crate) fn is_connected(&self) -> Result<bool> {
        match &self.closed {
            Some(why) => bail!("a browser leg ended: {why}"),
            None => Ok(self.connected),
        }
    }

    /// Sends one packet; returns the send time.
    pub(crate) fn say(&mut self, header: RtpHeader, number: usize, payload: &[u8]) -> Result<u64> {
        let RtpHeader { payload_type, timestamp, marker, .. } = header;
        self.peer.write_rtp(payload_type, number as u64, timestamp, marker, payload, Instant::now())?;
        self.drain(|_, _| {}).context("the browser's packet did not leave at once")
    }

    /// Processes a datagram; `hear` gets the timestamp and payload of each media packet in it.
    pub(crate) fn take(&mut self, from_port: u16, bytes: &[u8], hear: impl FnMut(u32, &[u8])) {
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, from_port));
        self.peer.handle_datagram(from, self.here, bytes, Instant::now());
        self.drain(hear);
    }

    /// Processes timers that are due at `now`.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.peer.poll_timeout() <= now {
            self.peer.handle_timeout(now);
            self.drain(|_, _| {});
        }
    }

    /// Executes the peer's output; returns the send time of the last RTP packet.
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

/// Returns whether a datagram is RTP, as opposed to RTCP, STUN or DTLS (RFC 7983, RFC 5761).
fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if first >> 6 == 2 && !(192..224).contains(second))
}
