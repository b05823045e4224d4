//! Writes recordings off the packet path.
//!
//! ```text
//! worker ─ tap ─▶ ring ─▶ writer thread: resample ─▶ record::Timeline ─▶ WAV (a channel per leg; customer left, agent right)
//!                              │                                          └─ part full, or no channel for a leg that joins: next file
//!                              ├─ sealed file ─▶ syncing thread: fsync of file and folder ─▶ PartReport
//!                              └─ free space, once a second ─▶ Room
//! ```
//!
//! One thread writes all recordings of the process: it makes the files, wakes every 100 ms, empties the taps, and flushes each
//! file with a true header once a second, so that a killed process leaves a readable file that lacks at most its last second.
//!
//! Invariants: a fault in one recording (a panic, an I/O error, a full disk) ends that recording with a note, never another and
//! never a call. A recording longer than [`RecordConfig::part`] goes on in a next file, without a lost sample; each file is a valid
//! WAV, with a channel for each leg that took part while it was written. A pause is silence of its length. A part is reported
//! finished when it is on the disk. Below [`RecordConfig::min_free`] nothing is written.
//!
//! Not here: who may record, where the row about it lives (control plane).

mod disk;
mod seal;
mod take;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use codecs::SampleRate;
use tokio::sync::{mpsc, watch};

use crate::audio::tap::TapReader;
use crate::config::RecordConfig;
use crate::net::supervisor::Supervisor;
pub use crate::record::Side;
use crate::units::LegId;
pub use disk::{Room, Space};

/// Orders that may wait for the writer thread; more are refused.
const ORDERS: usize = 1024;
/// Reports of one recording that may wait for its call, whose task reads them as they come.
const REPORTS: usize = 256;

/// A leg that is to be recorded.
pub struct Joining {
    /// Which.
    pub leg: LegId,
    /// Which of the first two channels it takes if it can.
    pub side: Side,
    /// What it says.
    pub tap: TapReader,
}

/// How a part of a recording fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Its file is there and is being written.
    Started,
    /// Somebody else has a channel of it, or has left.
    Seated,
    /// Complete and on the disk.
    Finished,
    /// Ended before its call, with the reason; what was written until then is there.
    Interrupted(String),
}

/// What became of one file of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReport {
    /// 1 for the first.
    pub part: u32,
    /// The file.
    pub path: PathBuf,
    /// How it fares.
    pub state: PartState,
    /// Where its first sample stands after the recording's start.
    pub offset: Duration,
    /// Audio in it.
    pub duration_ms: u64,
    /// Whose its channels are, as far as they are anybody's.
    pub channels: Vec<ChannelReport>,
}

/// A channel of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelReport {
    /// 0 for the first.
    pub channel: usize,
    /// The leg that is heard in it, and nobody else.
    pub leg: LegId,
    /// From when on, after the recording's start.
    pub from: Duration,
    /// Up to when; `None`: to the end of the part.
    pub until: Option<Duration>,
}

/// A recording to begin.
pub struct NewRecording {
    /// Its files are `NAME.wav`, `NAME.2.wav` and so on.
    pub name: String,
    /// Samples per second.
    pub rate: SampleRate,
    /// Where its first sample stands in time.
    pub start: Instant,
    /// Fewest channels of its files: one for a single leg, two for a customer's and an agent's.
    pub least: usize,
    /// Who is there when it begins.
    pub legs: Vec<Joining>,
}

/// The writer thread has too much to do.
#[derive(Debug, thiserror::Error)]
#[error("the recorder is overloaded")]
pub struct Overloaded;

/// The thread that writes. Clones share it; it ends when the last is dropped and all files are sealed.
#[derive(Clone, Debug)]
pub struct Recorder {
    orders: std_mpsc::SyncSender<writer::Order>,
    folder: PathBuf,
    space: watch::Receiver<Space>,
}

/// One running recording. Dropping it seals the file.
#[derive(Debug)]
pub struct Recording {
    id: u64,
    orders: std_mpsc::SyncSender<writer::Order>,
    reports: mpsc::Receiver<PartReport>,
    sealed: bool,
}

impl Recorder {
    /// Starts the writer thread, `recorder` to its supervisor.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(folder: &Path, config: &RecordConfig, supervisor: &Supervisor) -> std::io::Result<Recorder> {
        let (orders, inbox) = std_mpsc::sync_channel(ORDERS);
        let (disk, space) = disk::Watch::new(folder, config);
        let sealer = seal::start()?;
        let part = config.part;
        supervisor.thread("recorder", move |post| writer::Writer::new(part, disk, sealer).run(&inbox, post))?;
        Ok(Recorder { orders, folder: folder.to_owned(), space })
    }

    /// Begins a recording, whose files lie in the folder of recordings; that they cannot be made is reported, and the call goes on
    /// without a recording.
    ///
    /// # Errors
    /// [`Overloaded`]: nothing is recorded.
    pub fn begin(&self, new: NewRecording) -> Result<Recording, Overloaded> {
        let (reporter, reports) = mpsc::channel(REPORTS);
        let id = writer::next_id();
        let NewRecording { name, rate, start, least, legs } = new;
        let stem = self.folder.join(name);
        let order = writer::Order::Begin(writer::Begin { id, stem, rate, start, least, legs, reporter });
        self.orders.try_send(order).map_err(|_| Overloaded)?;
        Ok(Recording { id, orders: self.orders.clone(), reports, sealed: false })
    }

    /// Free space in the folder of recordings; told anew when the room changes.
    pub fn space(&self) -> watch::Receiver<Space> {
        self.space.clone()
    }
}

impl Recording {
    /// Adds a leg from this moment on.
    ///
    /// # Errors
    /// [`Overloaded`]: it is not recorded.
    pub fn attach(&self, leg: Joining, at: Instant) -> Result<(), Overloaded> {
        self.order(writer::Order::Attach { id: self.id, leg, at })
    }

    /// A leg has left.
    ///
    /// # Errors
    /// [`Overloaded`]: it is recorded for as long as its media lasts.
    pub fn detach(&self, leg: LegId, at: Instant) -> Result<(), Overloaded> {
        self.order(writer::Order::Detach { id: self.id, leg, at })
    }

    /// Nothing of what is said from this moment on is recorded, or everything again.
    ///
    /// # Errors
    /// [`Overloaded`]: it goes on as before.
    pub fn pause(&self, on: bool, at: Instant) -> Result<(), Overloaded> {
        self.order(writer::Order::Pause { id: self.id, on, at })
    }

    fn order(&self, order: writer::Order) -> Result<(), Overloaded> {
        self.orders.try_send(order).map_err(|_| Overloaded)
    }

    /// The next report; `None` when the last part has ended.
    pub fn poll_report(&mut self, context: &mut Context<'_>) -> Poll<Option<PartReport>> {
        self.reports.poll_recv(context)
    }

    /// Asks for what the taps still hold to be written and the file to be sealed; [`Recording::poll_report`] then tells of the rest.
    ///
    /// # Errors
    /// [`Overloaded`]: the file is sealed when this is dropped, or the thread ends.
    pub fn finish(&mut self) -> Result<(), Overloaded> {
        self.order(writer::Order::Finish { id: self.id })?;
        self.sealed = true;
        Ok(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.sealed && self.orders.try_send(writer::Order::Finish { id: self.id }).is_err() {
            metrics::counter!("recording_seal_lost_total").increment(1);
        }
    }
}
