//! Outputs of the switch that the driver must deliver: datagrams and events, in preallocated buffers.
//!
//! Invariants: bounded; outputs that do not fit are dropped and counted; no allocation after construction, except for
//! event texts.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::command::{WorkerEvent, WorkerEventKind};
use super::switch::{Slot, Socket};
use crate::leg::rtp::Component;
use crate::units::LegId;

/// Length of the longest datagram, in bytes.
const MAX_DATAGRAM: usize = 1500;
/// Datagrams that may wait. The driver empties the box after every input; long runs of ticks pause for it when half is
/// used.
const DATAGRAMS: usize = 1024;
/// Datagrams that a leg sends in one tick, at most: audio cut to packets of 10 ms, and a report.
const DATAGRAMS_PER_LEG: usize = 3;
/// Events that may wait, not counting the last one of a leg, which is never dropped.
const EVENTS: usize = 1024;

/// One output that the driver must deliver.
#[derive(Debug)]
pub enum Output<'a> {
    /// A datagram to send.
    Transmit {
        /// Slot of the leg that sends.
        slot: Slot,
        /// Socket of the leg to send it by.
        socket: Socket,
        /// Address that it is sent to.
        to: SocketAddr,
        /// Contents of the datagram.
        bytes: &'a [u8],
    },
    /// An event to send on the channel of the leg in this slot.
    Event(Slot, WorkerEvent),
}

struct Datagram {
    slot: Slot,
    socket: Socket,
    to: SocketAddr,
    length: usize,
    bytes: [u8; MAX_DATAGRAM],
}

impl Datagram {
    fn empty() -> Datagram {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Datagram { slot: Slot(0), socket: Socket::Rtp, to: nowhere, length: 0, bytes: [0; MAX_DATAGRAM] }
    }
}

/// Bounded queue of outputs: a ring of datagrams, and the events.
pub(crate) struct Outbox {
    ring: Vec<Datagram>,
    head: usize,
    length: usize,
    events: VecDeque<(Slot, WorkerEvent)>,
    /// Number of datagrams and events that did not fit.
    pub(crate) overflow: u64,
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        let ring = (0..DATAGRAMS).map(|_| Datagram::empty()).collect();
        Outbox { ring, head: 0, length: 0, events: VecDeque::with_capacity(EVENTS), overflow: 0 }
    }

    /// Makes room for the datagrams that this many legs send in one tick.
    pub(crate) fn reserve(&mut self, legs: usize) {
        let wanted = legs * DATAGRAMS_PER_LEG;
        if wanted > self.ring.len() {
            self.ring.rotate_left(self.head);
            self.head = 0;
            self.ring.resize_with(wanted, Datagram::empty);
        }
    }

    /// Whether the driver should empty the box before more is produced.
    pub(crate) fn is_half_full(&self) -> bool {
        self.length * 2 >= self.ring.len()
    }

    fn place(&mut self, nth: usize) -> &mut Datagram {
        let at = (self.head + nth) % self.ring.len();
        &mut self.ring[at]
    }

    /// Queues the datagram that `write` produces: it gets the buffer and returns the address and length, or `None` for
    /// nothing to send.
    pub(crate) fn transmit(
        &mut self,
        slot: Slot,
        socket: Socket,
        write: impl FnOnce(&mut [u8]) -> Option<(SocketAddr, usize)>,
    ) -> bool {
        if self.length == self.ring.len() {
            self.overflow += 1;
            return false;
        }
        let datagram = self.place(self.length);
        let Some((to, length)) = write(&mut datagram.bytes) else { return false };
        (datagram.slot, datagram.socket, datagram.to, datagram.length) = (slot, socket, to, length.min(MAX_DATAGRAM));
        self.length += 1;
        true
    }

    /// Queues a report of a plain RTP leg; `write` also decides which of the leg's sockets sends it.
    pub(crate) fn transmit_report(
        &mut self,
        slot: Slot,
        write: impl FnOnce(&mut [u8]) -> Option<(Component, SocketAddr, usize)>,
    ) {
        let mut socket = Socket::Rtcp;
        let queued = self.transmit(slot, socket, |out| {
            let (component, to, length) = write(out)?;
            if component == Component::Rtp {
                socket = Socket::Rtp;
            }
            Some((to, length))
        });
        if queued {
            self.place(self.length - 1).socket = socket;
        }
    }

    /// Queues an event, or counts it as overflow if the box is full.
    pub(crate) fn event(&mut self, slot: Slot, leg: LegId, kind: WorkerEventKind) {
        if self.events.len() >= EVENTS && !matches!(kind, WorkerEventKind::Closed(_)) {
            self.overflow += 1;
            return;
        }
        self.events.push_back((slot, WorkerEvent { leg, kind }));
    }

    /// Returns the next output, datagrams before events.
    pub(crate) fn next(&mut self) -> Option<Output<'_>> {
        if self.length > 0 {
            let datagram = &self.ring[self.head];
            self.length -= 1;
            // An empty box starts at the front again, so that the same few places stay in the cache.
            self.head = if self.length == 0 { 0 } else { (self.head + 1) % self.ring.len() };
            let Datagram { slot, socket, to, length, bytes } = datagram;
            return Some(Output::Transmit { slot: *slot, socket: *socket, to: *to, bytes: &bytes[..*length] });
        }
        self.events.pop_front().map(|(slot, event)| Output::Event(slot, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::command::LegQuality;

    fn push(outbox: &mut Outbox, n: usize) -> bool {
        let to = SocketAddr::from(([192, 0, 2, 1], n as u16));
        outbox.transmit(Slot(n as u32), Socket::Rtp, |out| {
            out[0] = n as u8;
            Some((to, 1))
        })
    }

    fn pop(outbox: &mut Outbox) -> Option<usize> {
        match outbox.next()? {
            Output::Transmit { slot, bytes, .. } => {
                assert_eq!(bytes, [slot.0 as u8]);
                Some(slot.index())
            }
            Output::Event(..) => None,
        }
    }

    #[test]
    fn waiting_datagrams_keep_their_order_while_the_box_grows_and_overflow_is_counted() {
        let mut outbox = Outbox::new();
        (0..10).for_each(|n| assert!(push(&mut outbox, n)));
        (0..7).for_each(|n| assert_eq!(pop(&mut outbox), Some(n)));
        outbox.reserve(2 * DATAGRAMS / DATAGRAMS_PER_LEG + 1);
        assert!(!outbox.is_half_full());
        (10..DATAGRAMS + 8).for_each(|n| assert!(push(&mut outbox, n)));
        assert!(outbox.is_half_full());
        while push(&mut outbox, 5_000) {}
        assert_eq!(outbox.overflow, 1);
        (7..DATAGRAMS + 8).for_each(|n| assert_eq!(pop(&mut outbox), Some(n)));
    }

    #[test]
    fn the_end_of_a_leg_is_reported_even_if_the_box_is_full() {
        let mut outbox = Outbox::new();
        for _ in 0..EVENTS + 3 {
            outbox.event(Slot(1), LegId(1), WorkerEventKind::FirstPacket);
        }
        assert_eq!(outbox.overflow, 3);
        outbox.event(Slot(1), LegId(1), WorkerEventKind::Closed(LegQuality::default()));
        let mut last = None;
        while let Some(Output::Event(_, event)) = outbox.next() {
            last = Some(event.kind);
        }
        assert_eq!(last, Some(WorkerEventKind::Closed(LegQuality::default())));
    }
}
