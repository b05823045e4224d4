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
/// Datagrams that may wait: the driver empties the box after every input, and no single input makes this many.
const DATAGRAMS: usize = 1024;
/// Events that may wait.
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

/// The box.
pub(crate) struct Outbox {
    ring: Box<[Datagram]>,
    head: usize,
    length: usize,
    events: VecDeque<(Slot, WorkerEvent)>,
    /// Datagrams and events that did not fit.
    pub(crate) overflow: u64,
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let ring = (0..DATAGRAMS)
            .map(|_| Datagram { slot: Slot(0), socket: Socket::Rtp, to: nowhere, length: 0, bytes: [0; MAX_DATAGRAM] })
            .collect();
        Outbox { ring, head: 0, length: 0, events: VecDeque::with_capacity(EVENTS), overflow: 0 }
    }

    /// Queues the datagram that `write` makes: it gets the buffer and returns the length, or `None` for nothing to send.
    pub(crate) fn transmit(
        &mut self,
        slot: Slot,
        socket: Socket,
        write: impl FnOnce(&mut [u8]) -> Option<(SocketAddr, usize)>,
    ) -> bool {
        if self.length == DATAGRAMS {
            self.overflow += 1;
            return false;
        }
        let datagram = &mut self.ring[(self.head + self.length) % DATAGRAMS];
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
            self.ring[(self.head + self.length - 1) % DATAGRAMS].socket = socket;
        }
    }

    /// Queues an event.
    pub(crate) fn event(&mut self, slot: Slot, leg: LegId, kind: WorkerEventKind) {
        if self.events.len() == EVENTS {
            self.overflow += 1;
            return;
        }
        self.events.push_back((slot, WorkerEvent { leg, kind }));
    }

    /// The next thing to do: datagrams first.
    pub(crate) fn next(&mut self) -> Option<Output<'_>> {
        if self.length > 0 {
            let datagram = &self.ring[self.head];
            self.head = (self.head + 1) % DATAGRAMS;
            self.length -= 1;
            let Datagram { slot, socket, to, length, bytes } = datagram;
            return Some(Output::Transmit { slot: *slot, socket: *socket, to: *to, bytes: &bytes[..*length] });
        }
        self.events.pop_front().map(|(slot, event)| Output::Event(slot, event))
    }
}
