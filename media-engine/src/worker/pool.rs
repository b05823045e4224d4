//! The workers of a process, and the placement of calls on them.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;

use super::command::{Overloaded, WorkerRequest};
use super::mailbox::Mailbox;
use super::thread::{Schedule, Thread, start_error};
use crate::config::MediaConfig;
use crate::error::StartError;
use crate::leg::webrtc::DtlsCert;
use crate::net::ports::bind_shared;
use crate::net::supervisor::Supervisor;

/// Load at which a worker gets no more new calls: a share of one CPU. Media is intact up to 90 %.
const FULL: f32 = 0.85;

/// All media workers. Dropping it closes every leg and joins the threads.
pub struct Pool {
    workers: Vec<Worker>,
    threads: ArrayQueue<JoinHandle<()>>,
    next: AtomicUsize,
}

/// Handle to one worker; clones share it. All legs of a call must go to the same worker.
#[derive(Clone)]
pub struct Worker {
    index: usize,
    mailbox: Arc<Mailbox>,
}

impl Pool {
    /// Starts `media.workers` threads (at least one), each with one UDP port of the range per address for browser legs.
    ///
    /// # Errors
    /// An address cannot be bound, no port is free, no certificate or random number can be made, or the system refuses
    /// a thread. The engine does not start.
    pub fn start(media: &MediaConfig) -> Result<Pool, StartError> {
        Pool::start_supervised(media, &Supervisor::log_only())
    }

    /// Starts the threads like [`Pool::start`] under a supervisor, which knows them as `media-0` and so on.
    ///
    /// # Errors
    /// See [`Pool::start`].
    pub fn start_supervised(media: &MediaConfig, supervisor: &Supervisor) -> Result<Pool, StartError> {
        let certificate = DtlsCert::generate()
            .map_err(|error| StartError::Config { key: "media".into(), problem: error.to_string() })?;
        let count = media.workers.max(1);
        let mut pool = Pool { workers: Vec::new(), threads: ArrayQueue::new(count), next: AtomicUsize::new(0) };
        for index in 0..count {
            let shared = bind_all(media)?;
            let mailbox = Mailbox::new().map_err(|error| start_error(&error))?;
            let cpu = (!media.cpus.is_empty()).then(|| media.cpus[index % media.cpus.len()]);
            let schedule = Schedule { profile: media.profile, opus: media.opus, cpu, realtime: media.realtime };
            let mut thread = Thread::new(
                index,
                Arc::clone(&mailbox),
                shared,
                certificate.clone(),
                seed()?,
                schedule,
                media.capture.as_deref(),
            )?;
            thread.advertised.clone_from(&media.advertise);
            let handle = supervisor
                .thread(&format!("media-{index}"), move |post| thread.run(post))
                .map_err(|error| start_error(&error))?;
            pool.workers.push(Worker { index, mailbox });
            let _ = pool.threads.push(handle);
        }
        Ok(pool)
    }

    /// Whether some worker has room for a new call. Otherwise refuse the call (503), before running calls suffer.
    pub fn has_room(&self) -> bool {
        self.workers.iter().any(|worker| worker.mailbox.expected_load() < FULL && !worker.mailbox.is_stopping())
    }

    /// Returns the least loaded worker, for a new call; among equals the one with the fewest legs.
    pub fn place(&self) -> Worker {
        // Equally loaded workers take turns.
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.workers.len();
        (0..count)
            .map(|step| &self.workers[start.wrapping_add(step) % count])
            .min_by_key(|worker| {
                let load = worker.mailbox.expected_load();
                (
                    worker.mailbox.is_stopping(),
                    load >= FULL,
                    (load * 10.0) as u32,
                    worker.mailbox.legs.load(Ordering::Relaxed),
                )
            })
            .expect("a pool has at least one worker")
            .clone()
    }

    /// Returns the worker with this index while it has room, otherwise the result of [`Pool::place`].
    pub fn place_at(&self, index: usize) -> Worker {
        let has_room = |worker: &&Worker| worker.mailbox.expected_load() < FULL && !worker.mailbox.is_stopping();
        self.workers.get(index).filter(has_room).cloned().unwrap_or_else(|| self.place())
    }

    /// Returns all workers, ordered by index.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// Closes every leg and waits for the threads to end; commands are refused from then on. A second call does
    /// nothing.
    pub fn shutdown(&self) {
        for worker in &self.workers {
            worker.mailbox.stop();
        }
        while let Some(thread) = self.threads.pop() {
            if thread.join().is_err() {
                tracing::error!("a media thread ended with a panic");
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Worker {
    /// Queues a request without waiting. The worker handles it within a millisecond or two, in the order of sending.
    ///
    /// # Errors
    /// [`Overloaded`]: the mailbox is full or the worker has stopped. The request was dropped; end the leg or call
    /// concerned.
    pub fn send(&self, request: impl Into<WorkerRequest>) -> Result<(), Overloaded> {
        self.mailbox.send(request.into())
    }

    /// Returns the worker's index in the pool, which labels its metrics.
    pub fn index(&self) -> usize {
        self.index
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let legs = self.mailbox.legs.load(Ordering::Relaxed);
        f.debug_struct("Worker").field("index", &self.index).field("legs", &legs).finish_non_exhaustive()
    }
}

fn bind_all(media: &MediaConfig) -> Result<Vec<(UdpSocket, SocketAddr)>, StartError> {
    let bind = |&address| {
        bind_shared(address, media.ports).map_err(|source| StartError::Listen {
            key: "media.ports",
            address: format!("{address}, ports {}-{}", media.ports.0, media.ports.1),
            source,
        })
    };
    media.addresses.iter().map(bind).collect()
}

fn seed() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StartError::Config {
        key: "media".into(),
        problem: "the system provides no random numbers".into(),
    })?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_workers_take_no_new_call_until_one_has_room_again() {
        let worker = |index| Worker { index, mailbox: Mailbox::new().unwrap() };
        let pool = Pool { workers: vec![worker(0), worker(1)], threads: ArrayQueue::new(1), next: AtomicUsize::new(0) };
        let publish =
            |loads: [f32; 2]| pool.workers.iter().zip(loads).for_each(|(w, load)| w.mailbox.publish_load(load));
        publish([0.86, 0.86]);
        assert!(!pool.has_room());
        publish([0.86, 0.84]);
        assert!(pool.has_room());
        assert_eq!(pool.place().index(), 1, "the worker that has room");
        assert_eq!((pool.place_at(1).index(), pool.place_at(0).index()), (1, 1));
    }
}
