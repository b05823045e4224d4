//! The writer thread, which serves the orders for all recordings.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use codecs::SampleRate;
use tokio::sync::mpsc;

use super::disk::{Room, Space, Watch};
use super::seal::{Sealer, send_report};
use super::take::Take;
use super::{Joining, PartReport, Reserved};
use crate::net::clock;
use crate::net::supervisor::Post;
use crate::units::LegId;

/// Interval at which the taps are emptied.
const ROUND: Duration = Duration::from_millis(100);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// Order to begin a recording.
pub(super) struct Begin {
    pub(super) id: u64,
    /// Folder and base name of its files, without extension.
    pub(super) stem: PathBuf,
    pub(super) rate: SampleRate,
    pub(super) start: Instant,
    /// Channels that each of its files has at least.
    pub(super) reserved: Reserved,
    /// Legs that take part from the beginning.
    pub(super) legs: Vec<Joining>,
    pub(super) reporter: mpsc::Sender<PartReport>,
}

pub(super) enum Order {
    Begin(Begin),
    Attach { id: u64, leg: Joining, at: Instant },
    Detach { id: u64, leg: LegId, at: Instant },
    Pause { id: u64, on: bool, at: Instant },
    Finish { id: u64 },
}

/// State of the writer thread: all running recordings.
pub(super) struct Writer {
    takes: HashMap<u64, Take>,
    /// Maximum duration of a file.
    part: Duration,
    disk: Watch,
    sealer: Sealer,
}

impl Writer {
    pub(super) fn new(part: Duration, disk: Watch, sealer: Sealer) -> Writer {
        Writer { takes: HashMap::new(), part, disk, sealer }
    }

    /// Serves orders until every [`super::Recorder`] and [`super::Recording`] is dropped, then seals the remaining files.
    pub(super) fn run(mut self, inbox: &Receiver<Order>, post: &Post) {
        let mut next_round = clock::now() + ROUND;
        loop {
            post.check();
            match inbox.recv_timeout(next_round.saturating_duration_since(clock::now())) {
                Ok(order) => self.handle_order(order),
                Err(RecvTimeoutError::Timeout) => {
                    let now = clock::now();
                    self.round(now);
                    next_round = now + ROUND;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    for id in self.takes.keys().copied().collect::<Vec<_>>() {
                        self.finish(id);
                    }
                    return;
                }
            }
        }
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Begin(begin) => {
                let (id, space) = (begin.id, self.disk.look(clock::now()));
                self.takes.insert(id, Take::new(begin, self.part));
                self.guarded(id, |take, _| match space.room {
                    Room::Exhausted => take.refuse(&no_room(space)),
                    Room::Enough | Room::Low => take.open_part(),
                });
            }
            Order::Attach { id, leg, at } => self.guarded(id, |take, _| take.attach(leg, at)),
            Order::Detach { id, leg, at } => self.guarded(id, |take, _| take.detach(leg, at)),
            Order::Pause { id, on, at } => self.guarded(id, |take, _| take.pause(on, at)),
            Order::Finish { id } => self.finish(id),
        }
    }

    fn round(&mut self, now: Instant) {
        let space = self.disk.look(now);
        for id in self.takes.keys().copied().collect::<Vec<_>>() {
            self.guarded(id, |take, sealer| match space.room {
                Room::Exhausted if take.is_running() => take.interrupt(&no_room(space), sealer),
                _ => take.round(now, sealer),
            });
        }
    }

    fn finish(&mut self, id: u64) {
        let Some(take) = self.takes.remove(&id) else { return };
        let (reporter, lost) = take.lost(FAULT);
        let sealer = &self.sealer;
        if catch_unwind(AssertUnwindSafe(|| take.finish(clock::now(), sealer))).is_err() {
            fault(&reporter, lost);
        }
    }

    /// Runs work on one recording. A panic in it ends this recording; all others continue.
    fn guarded(&mut self, id: u64, work: impl FnOnce(&mut Take, &Sealer)) {
        let Some(take) = self.takes.get_mut(&id) else { return };
        let sealer = &self.sealer;
        if catch_unwind(AssertUnwindSafe(|| work(take, sealer))).is_ok() {
            return;
        }
        let Some(take) = self.takes.remove(&id) else { return };
        let (reporter, lost) = take.lost(FAULT);
        // hound writes the header of the file when it is dropped, and may panic again where it panicked before.
        if catch_unwind(AssertUnwindSafe(|| drop(take))).is_err() {
            tracing::error!("the file of a recording could not be closed properly");
        }
        fault(&reporter, lost);
    }
}

/// Note sent to the call whose recording was ended by a fault of the engine.
const FAULT: &str = "a fault in the recorder; the log has the details";

fn fault(reporter: &mpsc::Sender<PartReport>, lost: PartReport) {
    tracing::error!(path = %lost.path.display(), "a fault ended this recording; the others continue");
    metrics::counter!("tandem_recordings_interrupted_total").increment(1);
    metrics::counter!("tandem_recording_panics_total").increment(1);
    send_report(reporter, lost);
}

fn no_room(space: Space) -> String {
    let Space { free, floor, .. } = space;
    format!(
        "only {} MB are free in the recordings' folder, and {} MB are kept free; make room",
        free >> 20,
        floor >> 20
    )
}

#[cfg(test)]
mod tests;
