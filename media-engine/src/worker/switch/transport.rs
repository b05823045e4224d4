//! Transports of a leg's media: plain RTP on ports of its own, or a browser's flow on a shared port.
//!
//! Apart from negotiation and demultiplexing, all differences between the two are handled here and nowhere else.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::send::Wire;
use super::{Slot, Socket};
use crate::leg::rtp::RtpLeg;
use crate::leg::webrtc::{PeerOutput, WebRtcPeer};
use crate::rtcp::FarEnd;
use crate::rtp::{ReceiveStats, RelayMap, RtpHeader, RtpPacket};
use crate::units::ClockRate;
use crate::worker::command::LegQuality;
use crate::worker::outbox::Outbox;

/// Least time between two runs of a browser leg's timers, so that the driver's loop ends whatever the peer wants.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// Transport of one leg's media.
pub(super) enum Transport {
    Rtp(Box<RtpLeg>),
    WebRtc(Box<Browser>),
}

/// A browser's transport, and the state that the switch keeps for it.
pub(super) struct Browser {
    pub(super) peer: WebRtcPeer,
    /// Statistics of reception; a plain leg keeps its own.
    received: ReceiveStats,
    /// Outputs that arose while another leg was worked on.
    pub(super) deferred: VecDeque<PeerOutput>,
    /// Time at which its timers are due.
    pub(super) timer_at: Instant,
}

impl Browser {
    pub(super) fn new(peer: WebRtcPeer, now: Instant) -> Browser {
        let received = ReceiveStats::new(ClockRate::HZ_48000);
        Browser { peer, received, deferred: VecDeque::new(), timer_at: now }
    }

    /// Moves datagrams to the outbox; other outputs wait until the leg itself is worked on.
    pub(super) fn transmit_pending(&mut self, slot: Slot, outbox: &mut Outbox, shared: &[SocketAddr]) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                PeerOutput::Transmit { to, from, bytes } => {
                    let at = shared_index(shared, from);
                    outbox.transmit(slot, Socket::Shared(at), |out| {
                        out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                        Some((to, bytes.len()))
                    });
                }
                other => self.deferred.push_back(other),
            }
        }
    }

    /// Updates the timer. To be called after anything that may have changed it.
    pub(super) fn set_timer(&mut self, now: Instant) {
        self.timer_at = self.peer.poll_timeout().max(now + TIMER_STEP);
    }

    /// Runs the timers if they are due. Returns whether to fetch the outputs: that costs microseconds in str0m, and a
    /// leg whose media bypasses it has none between its timers.
    pub(super) fn run_timers(&mut self, now: Instant) -> bool {
        let due = self.timer_at <= now;
        if due {
            self.peer.handle_timeout(now);
        }
        due || self.peer.route().is_none() || !self.deferred.is_empty()
    }
}

impl Transport {
    pub(super) fn is_browser(&self) -> bool {
        matches!(self, Transport::WebRtc(_))
    }

    pub(super) fn browser(&self) -> Option<&Browser> {
        match self {
            Transport::Rtp(_) => None,
            Transport::WebRtc(browser) => Some(browser),
        }
    }

    pub(super) fn browser_mut(&mut self) -> Option<&mut Browser> {
        match self {
            Transport::Rtp(_) => None,
            Transport::WebRtc(browser) => Some(browser),
        }
    }

    /// Returns the synchronisation source of outgoing packets; 0 for a browser leg, whose peer writes it.
    pub(super) fn ssrc(&self) -> u32 {
        match self {
            Transport::Rtp(rtp) => rtp.ssrc(),
            Transport::WebRtc(_) => 0,
        }
    }

    /// Returns the address that media is expected from; `None` for a browser leg, which proves its own.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        match self {
            Transport::Rtp(rtp) => rtp.source(),
            Transport::WebRtc(_) => None,
        }
    }

    /// Returns the far end's reports on our stream.
    pub(super) fn far_end(&self) -> FarEnd {
        match self {
            Transport::Rtp(rtp) => rtp.far_end(),
            Transport::WebRtc(browser) => browser.peer.quality().far_end,
        }
    }

    /// Returns the interarrival jitter of incoming packets (RFC 3550 section 6.4.1).
    pub(super) fn jitter(&self) -> Duration {
        match self {
            Transport::Rtp(rtp) => rtp.quality().jitter,
            Transport::WebRtc(browser) => browser.received.jitter(),
        }
    }

    /// Returns the statistics of reception since the leg began; the other numbers are zero.
    pub(super) fn reception(&self) -> LegQuality {
        let jitter_ms = self.jitter().as_secs_f32() * 1e3;
        let (received, lost, repeated, round_trip) = match self {
            Transport::Rtp(rtp) => {
                let told = rtp.quality();
                (told.packets_received, told.packets_lost, told.packets_repeated, told.round_trip)
            }
            Transport::WebRtc(browser) => {
                let told = browser.peer.quality();
                (told.packets_received, browser.received.lost(), 0, told.round_trip)
            }
        };
        LegQuality {
            packets_received: received,
            packets_lost: lost,
            packets_repeated: repeated,
            jitter_ms,
            round_trip_ms: round_trip.map(|span| span.as_secs_f32() * 1e3),
            ..LegQuality::default()
        }
    }

    /// Adopts the clock of a newly negotiated codec.
    pub(super) fn set_clock(&mut self, clock: ClockRate) {
        if let Transport::WebRtc(browser) = self {
            browser.received = ReceiveStats::new(clock);
        }
    }

    /// Counts a valid packet; `timed`: its timestamp corresponds to its arrival.
    pub(super) fn on_received(&mut self, packet: &RtpPacket<'_>, timed: bool, now: Instant) {
        match self {
            Transport::Rtp(_) => {}
            Transport::WebRtc(browser) if timed => browser.received.on_rtp(packet, now),
            Transport::WebRtc(browser) => browser.received.on_untimed_rtp(packet, now),
        }
    }

    /// Writes one packet of the stream that `outgoing` numbers. Returns `false` if it cannot be sent now.
    pub(super) fn send(
        &mut self,
        slot: Slot,
        header: &RtpHeader,
        payload: &[u8],
        outgoing: &RelayMap,
        wire: &mut Wire<'_>,
    ) -> bool {
        let Wire { outbox, shared, now, .. } = wire;
        match self {
            Transport::Rtp(rtp) => outbox.transmit(slot, Socket::Rtp, |out| rtp.write_rtp(header, payload, out, *now)),
            Transport::WebRtc(browser) => match browser.peer.route() {
                Some((to, from)) => outbox.transmit(slot, Socket::Shared(shared_index(shared, from)), |out| {
                    Some((to, browser.peer.write_media(header, payload, out, *now).ok()?))
                }),
                None => {
                    let sequence = outgoing.extend_outgoing(header.sequence);
                    let RtpHeader { payload_type, timestamp, marker, .. } = *header;
                    let sent = browser.peer.write_rtp(payload_type, sequence, timestamp, marker, payload, *now).is_ok();
                    browser.transmit_pending(slot, outbox, shared);
                    sent
                }
            },
        }
    }

    /// Sends the end of the leg to the far end.
    pub(super) fn say_goodbye(&mut self, slot: Slot, outbox: &mut Outbox, shared: &[SocketAddr], now: Instant) {
        match self {
            Transport::Rtp(rtp) => outbox.transmit_report(slot, |out| rtp.write_bye(now, out)),
            Transport::WebRtc(browser) => {
                browser.peer.close();
                browser.transmit_pending(slot, outbox, shared);
            }
        }
    }
}

/// Returns the index of the shared port with this candidate address.
fn shared_index(shared: &[SocketAddr], candidate: SocketAddr) -> usize {
    shared.iter().position(|&address| address == candidate).unwrap_or(0)
}
