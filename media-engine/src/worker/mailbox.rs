//! Mailbox of a worker: a bounded lock-free queue of requests and an eventfd.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

use super::command::{Overloaded, WorkerRequest};
use crate::net::epoll::Wake;

/// Requests that may wait. A call needs about ten in its lifetime.
const CAPACITY: usize = 4096;

/// Shared by the worker and the calls that command it.
pub(crate) struct Mailbox {
    queue: ArrayQueue<WorkerRequest>,
    pub(crate) wake: Wake,
    stopping: AtomicBool,
    /// Number of requests refused so far.
    pub(crate) refused: AtomicU64,
    /// Legs that were sent here and have not ended yet; placement compares them.
    pub(crate) legs: AtomicUsize,
    /// Load that the worker measured last, in thousandths of a CPU, and the number of legs at that time.
    load: AtomicU32,
    legs_measured: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Arc<Mailbox>> {
        Ok(Arc::new(Mailbox {
            queue: ArrayQueue::new(CAPACITY),
            wake: Wake::new()?,
            stopping: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            legs: AtomicUsize::new(0),
            load: AtomicU32::new(0),
            legs_measured: AtomicUsize::new(0),
        }))
    }

    /// Queues a request and wakes the worker.
    ///
    /// # Errors
    /// [`Overloaded`]: the queue is full or the worker is stopping. The request was dropped and counted.
    pub(crate) fn send(&self, request: WorkerRequest) -> Result<(), Overloaded> {
        let opens = matches!(request, WorkerRequest::LegOpen { .. } | WorkerRequest::LegAttach { .. });
        if self.stopping.load(Ordering::Acquire) || self.queue.push(request).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Overloaded);
        }
        if opens {
            self.legs.fetch_add(1, Ordering::Relaxed);
        }
        self.wake.wake();
        Ok(())
    }

    /// Takes the oldest request out of the queue.
    pub(crate) fn next(&self) -> Option<WorkerRequest> {
        self.queue.pop()
    }

    /// Returns the number of requests that wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Publishes the worker's load for placement: a share of one CPU, 0 to 1.
    pub(crate) fn publish_load(&self, load: f32) {
        self.load.store((load * 1e3) as u32, Ordering::Relaxed);
        self.legs_measured.store(self.legs.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Returns the load to expect: as measured, plus the average cost per leg for legs that came since then.
    pub(crate) fn expected_load(&self) -> f32 {
        let (legs, measured) = (self.legs.load(Ordering::Relaxed), self.legs_measured.load(Ordering::Relaxed));
        let growth = if measured == 0 { 1.0 } else { (legs as f32 / measured as f32).max(1.0) };
        self.load.load(Ordering::Relaxed) as f32 / 1e3 * growth
    }

    /// Asks the worker to close its legs and to end.
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
    use crate::worker::command::WorkerCommand;

    fn close(leg: u64) -> WorkerRequest {
        WorkerCommand::LegClose { leg: LegId(leg) }.into()
    }

    #[test]
    fn full_mailbox_refuses_and_counts() {
        let mailbox = Mailbox::new().unwrap();
        for n in 0..CAPACITY {
            mailbox.send(close(n as u64)).unwrap();
        }
        assert_eq!(mailbox.send(close(0)), Err(Overloaded));
        assert_eq!(mailbox.refused.load(Ordering::Relaxed), 1);
        let oldest = mailbox.next();
        assert!(matches!(oldest, Some(WorkerRequest::Command(WorkerCommand::LegClose { leg: LegId(0) }))));
    }

    #[test]
    fn legs_that_came_since_the_measurement_count_at_the_average_cost() {
        let mailbox = Mailbox::new().unwrap();
        assert_eq!(mailbox.expected_load(), 0.0);
        mailbox.legs.store(100, Ordering::Relaxed);
        mailbox.publish_load(0.5);
        assert_eq!(mailbox.expected_load(), 0.5);
        mailbox.legs.store(180, Ordering::Relaxed);
        assert!((mailbox.expected_load() - 0.9).abs() < 1e-3);
        mailbox.legs.store(10, Ordering::Relaxed);
        assert_eq!(mailbox.expected_load(), 0.5, "the measurement is kept until the next one");
    }
}
