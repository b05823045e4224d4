//! Commands on their way to a worker: a bounded lock-free queue and an eventfd.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

use super::command::{Overloaded, WorkerCommand};
use crate::net::epoll::Wake;

/// Commands that may wait. A call needs about ten in its life.
const CAPACITY: usize = 4096;

/// Shared by the worker and those who command it.
pub(crate) struct Mailbox {
    queue: ArrayQueue<WorkerCommand>,
    pub(crate) wake: Wake,
    stopping: AtomicBool,
    /// Commands refused so far.
    pub(crate) refused: AtomicU64,
    /// Legs that were sent here and are not gone yet: what placement goes by.
    pub(crate) legs: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Arc<Mailbox>> {
        Ok(Arc::new(Mailbox {
            queue: ArrayQueue::new(CAPACITY),
            wake: Wake::new()?,
            stopping: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            legs: AtomicUsize::new(0),
        }))
    }

    /// Puts a command in and wakes the worker.
    pub(crate) fn send(&self, command: WorkerCommand) -> Result<(), Overloaded> {
        let opens = matches!(command, WorkerCommand::LegOpen { .. });
        if self.stopping.load(Ordering::Acquire) || self.queue.push(command).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Overloaded);
        }
        if opens {
            self.legs.fetch_add(1, Ordering::Relaxed);
        }
        self.wake.wake();
        Ok(())
    }

    /// The next command, oldest first.
    pub(crate) fn next(&self) -> Option<WorkerCommand> {
        self.queue.pop()
    }

    /// Commands that wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Asks the worker to close its legs and end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.wake();
    }

    /// Whether `stop` was called.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::LegId;

    #[test]
    fn full_mailbox_refuses_and_counts() {
        let mailbox = Mailbox::new().unwrap();
        for n in 0..CAPACITY {
            mailbox.send(WorkerCommand::LegClose { leg: LegId(n as u64) }).unwrap();
        }
        assert_eq!(mailbox.send(WorkerCommand::LegClose { leg: LegId(0) }), Err(Overloaded));
        assert_eq!(mailbox.refused.load(Ordering::Relaxed), 1);
        assert!(matches!(mailbox.next(), Some(WorkerCommand::LegClose { leg: LegId(0) })));
    }
}
