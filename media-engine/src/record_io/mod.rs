//! Writes recordings off the packet path.
//!
//! ```text
//! worker ─ taps ─▶ rings ─▶ writer thread: resample ─▶ record::Timeline ─▶ WAV (a channel per leg; customer left, agent right)
//!                              │                                          └─ part full, or no channel for a leg that joins: next file
//!                              ├─ sealed file ─▶ syncing thread: fsync of file and folder ─▶ PartReport
//!                              └─ free space, once a second ─▶ Room
//! ```
//!
//! One thread writes all recordings of the process: it creates the files, wakes every 100 ms, empties the taps, and flushes each
//! file with a correct header once a second, so that a killed process leaves a readable file that lacks at most its last second.
//!
//! Invariants: a fault in one recording (a panic, an I/O error, a full disk) ends that recording with a note, never another and
//! never a call. A recording longer than [`RecordConfig::part`] continues in a next file, without a lost sample; each file is a valid
//! WAV, with a channel for each leg that took part while it was written. A pause is silence of the same length. A part is reported
//! as finished when it is on the disk. Below [`RecordConfig::min_free`] nothing is written.
//!
//! Not here: permissions, and the database row of a recording (control plane).

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
pub use crate::record::{Reserved, Side, Track};
use crate::units::LegId;
pub use disk::{Room, Space};

/// Capacity of the writer thread's queue of orders; further orders are refused.
const ORDERS: usize = 1024;
/// Capacity of a recording's queue of reports for the task of its call, which reads them as they come.
const REPORTS: usize = 256;

/// Leg that is to be recorded.
pub struct Joining {
    /// Leg to be recorded.
    pub leg: LegId,
    /// Preferred one of the first two channels.
    pub side: Side,
    /// Tap on what the leg says.
    pub said: TapReader,
    /// Tap on what the leg hears, if that is recorded.
    pub heard: Option<TapReader>,
}

impl Joining {
    /// Returns the tracks of the leg with their taps.
    fn tracks(self) -> impl Iterator<Item = (Track, TapReader)> {
        let heard = self.heard.map(|tap| (Track::heard(self.leg), tap));
        std::iter::once((Track::said(self.leg), self.said)).chain(heard)
    }
}

/// State of one part of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// The file exists and is being written.
    Started,
    /// The assignment of channels has changed: a leg has joined or left.
    Seated,
    /// The file is complete and on the disk.
    Finished,
    /// The part ended before its call, with the reason; the audio written until then is kept.
    Interrupted(String),
}

/// Report on one file of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReport {
    /// Number of the part, counted from 1.
    pub part: u32,
    /// Path of the file.
    pub path: PathBuf,
    /// State of the part.
    pub state: PartState,
    /// Offset of the first sample from the start of the recording.
    pub offset: Duration,
    /// Duration of the audio in the file, in milliseconds.
    pub duration_ms: u64,
    /// Assignment of the channels that belong to a leg.
    pub channels: Vec<ChannelReport>,
}

/// Channel of a part that belongs to a track of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelReport {
    /// Number of the channel, counted from 0.
    pub channel: usize,
    /// The only track in the channel.
    pub track: Track,
    /// Time at which the leg joined, after the recording's start.
    pub from: Duration,
    /// Time at which the leg left; `None`: it takes part until the end of the part.
    pub until: Option<Duration>,
}

/// Parameters of a recording to begin.
pub struct NewRecording {
    /// Base name of the files `NAME.wav`, `NAME.2.wav` and so on.
    pub name: String,
    /// Sample rate of the files.
    pub rate: SampleRate,
    /// Time of the first sample.
    pub start: Instant,
    /// Channels that each file has at least.
    pub reserved: Reserved,
    /// Legs that take part from the beginning.
    pub legs: Vec<Joining>,
}

/// The order queue of the writer thread is full.
#[derive(Debug, thiserror::Error)]
#[error("the recorder is overloaded")]
pub struct Overloaded;

/// Handle of the writer thread. Clones share it; it ends when the last is dropped and all files are sealed.
#[derive(Clone, Debug)]
pub struct Recorder {
    orders: std_mpsc::SyncSender<writer::Order>,
    folder: PathBuf,
    space: watch::Receiver<Space>,
}

/// Handle of one running recording. Dropping it seals the file.
#[derive(Debug)]
pub struct Recording {
    id: u64,
    orders: std_mpsc::SyncSender<writer::Order>,
    reports: mpsc::Receiver<PartReport>,
    sealed: bool,
}

impl Recorder {
    /// Starts the writer thread, which `supervisor` knows as `recorder`.
    ///
    /// # Errors
    /// The error of the operating system if no thread can be started.
    pub fn start(folder: &Path, config: &RecordConfig, supervisor: &Supervisor) -> std::io::Result<Recorder> {
        let (orders, inbox) = std_mpsc::sync_channel(ORDERS);
        let (disk, space) = disk::Watch::new(folder, config);
        let sealer = seal::start()?;
        let part = config.part;
        supervisor.thread("recorder", move |post| writer::Writer::new(part, disk, sealer).run(&inbox, post))?;
        Ok(Recorder { orders, folder: folder.to_owned(), space })
    }

    /// Begins a recording, whose files are in the folder of recordings. If they cannot be created, this is reported, and the call
    /// continues without a recording.
    ///
    /// # Errors
    /// [`Overloaded`]: nothing is recorded; the caller may try again later.
    pub fn begin(&self, new: NewRecording) -> Result<Recording, Overloaded> {
        let (reporter, reports) = mpsc::channel(REPORTS);
        let id = writer::next_id();
        let NewRecording { name, rate, start, reserved, legs } = new;
        let stem = self.folder.join(name);
        let order = writer::Order::Begin(writer::Begin { id, stem, rate, start, reserved, legs, reporter });
        self.orders.try_send(order).map_err(|_| Overloaded)?;
        Ok(Recording { id, orders: self.orders.clone(), reports, sealed: false })
    }

    /// Returns a receiver of the free space in the folder of recordings, updated when its [`Room`] changes.
    pub fn space(&self) -> watch::Receiver<Space> {
        self.space.clone()
    }
}

impl Recording {
    /// Adds a leg from `at` on.
    ///
    /// # Errors
    /// [`Overloaded`]: the leg is not recorded.
    pub fn attach(&self, leg: Joining, at: Instant) -> Result<(), Overloaded> {
        self.order(writer::Order::Attach { id: self.id, leg, at })
    }

    /// Removes a leg that has left.
    ///
    /// # Errors
    /// [`Overloaded`]: the leg is recorded for as long as its media lasts.
    pub fn detach(&self, leg: LegId, at: Instant) -> Result<(), Overloaded> {
        self.order(writer::Order::Detach { id: self.id, leg, at })
    }

    /// Begins (`on`) or ends a pause; audio from a pause is not recorded.
    ///
    /// # Errors
    /// [`Overloaded`]: the recording continues as before.
    pub fn pause(&self, on: bool, at: Instant) -> Result<(), Overloaded> {
        self.order(writer::Order::Pause { id: self.id, on, at })
    }

    fn order(&self, order: writer::Order) -> Result<(), Overloaded> {
        self.orders.try_send(order).map_err(|_| Overloaded)
    }

    /// Polls for the next report; `None` when the last part has ended.
    pub fn poll_report(&mut self, context: &mut Context<'_>) -> Poll<Option<PartReport>> {
        self.reports.poll_recv(context)
    }

    /// Requests that the rest of the taps is written and the file is sealed; [`Recording::poll_report`] then returns the remaining reports.
    ///
    /// # Errors
    /// [`Overloaded`]: the file is sealed when this handle is dropped, or when the thread ends.
    pub fn finish(&mut self) -> Result<(), Overloaded> {
        self.order(writer::Order::Finish { id: self.id })?;
        self.sealed = true;
        Ok(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.sealed && self.orders.try_send(writer::Order::Finish { id: self.id }).is_err() {
            metrics::counter!("tandem_recording_seal_lost_total").increment(1);
        }
    }
}
