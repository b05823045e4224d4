//! What the switch wants done: datagrams to send and events to tell, in buffers made once.
//!
//! Invariants: bounded; what does not fit is dropped and counted; no allocation after construction (event texts apart).

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::command::{WorkerEvent, WorkerEventKind};
use super::switch::{Slot, Socket};
use crate::leg::rtp::Component;
use crate::units::LegId;

/// Longest datagram sent.
const MAX_DATAGRAM: usize = 1500;
/// Datagrams that may wait. The driver empties the box after every input; ticks stop half way for it.
const DATAGRAMS: usize = 1024;
/// What a leg sends in one tick at most: audio cut to packets of 10 ms, and a report.
const DATAGRAMS_PER_LEG: usize = 3;
/// Events that may wait, but for the last one of a leg, which is never dropped.
const EVENTS: usize = 1024;

/// One thing to do.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send this datagram.
    Transmit {
        /// The leg's place in the worker.
        slot: Slot,
        /// From which of its sockets.
        socket: Socket,
        /// Where to.
        to: SocketAddr,
        /// What.
        bytes: &'a [u8],
    },
    /// Tell this event on the leg's channel.
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

/// The box.
pub(crate) struct Outbox {
    ring: Vec<Datagram>,
    head: usize,
    length: usize,
    events: VecDeque<(Slot, WorkerEvent)>,
    /// Datagrams and events that did not fit.
    pub(crate) overflow: u64,
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        let ring = (0..DATAGRAMS).map(|_| Datagram::empty()).collect();
        Outbox { ring, head: 0, length: 0, events: VecDeque::with_capacity(EVENTS), overflow: 0 }
    }

    /// Makes room for what one tick of so many legs sends at once.
    pub(crate) fn reserve(&mut self, legs: usize) {
        let wanted = legs * DATAGRAMS_PER_LEG;
        if wanted > self.ring.len() {
            self.ring.rotate_left(self.head);
            self.head = 0;
            self.ring.resize_with(wanted, Datagram::empty);
        }
    }

    /// Whether the driver should empty it before more is made.
    pub(crate) fn is_half_full(&self) -> bool {
        self.length * 2 >= self.ring.len()
    }

    fn place(&mut self, nth: usize) -> &mut Datagram {
        let at = (self.head + nth) % self.ring.len();
        &mut self.ring[at]
    }

    /// Queues the datagram that `write` makes: it gets the buffer and returns the length, or `None` for nothing to send.
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

    /// Queues a report of a plain RTP leg; `write` says by which of its flows it leaves.
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

    /// Queues an event.
    pub(crate) fn event(&mut self, slot: Slot, leg: LegId, kind: WorkerEventKind) {
        if self.events.len() >= EVENTS && !matches!(kind, WorkerEventKind::Closed(_)) {
            self.overflow += 1;
            return;
        }
        self.events.push_back((slot, WorkerEvent { leg, kind }));
    }

    /// The next thing to do: datagrams first.
    pub(crate) fn next(&mut self) -> Option<Output<'_>> {
        if self.length > 0 {
            let datagram = &self.ring[self.head];
            self.length -= 1;
            // An empty box begins at the front again: the same few places stay in the cache.
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
    fn what_waits_keeps_its_order_while_the_box_grows_and_what_is_beyond_is_counted() {
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
    fn the_end_of_a_leg_is_told_however_full_the_box_is() {
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
