//! Writes recordings off the packet path.
//!
//! ```text
//! worker ─ tap ─▶ ring ─▶ writer thread: resample ─▶ record::Timeline ─▶ WAV (customer left, agent right)
//! ```
//!
//! One thread writes all recordings of the process: it wakes every 100 ms, empties the taps, and flushes each
//! file with a true header once a second, so that a killed process leaves a readable file that lacks at most
//! its last second. A disk that is full or slow ends the recording with a note, never the call.
//! Not here: who may record, where the row about it lives (control plane).

mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::time::Instant;

use codecs::SampleRate;
use tokio::sync::oneshot;

use crate::audio::tap::TapReader;

/// Recording channel of the customer.
pub const CUSTOMER_CHANNEL: usize = 0;
/// Recording channel of the agent.
pub const AGENT_CHANNEL: usize = 1;

/// Orders that may wait for the writer thread; more are refused.
const ORDERS: usize = 1024;

/// What a recording came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The file.
    pub path: PathBuf,
    /// Audio in it.
    pub duration_ms: u64,
    /// Why it ended before its call; `None` when it is complete.
    pub interrupted: Option<String>,
}

/// Why a recording could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be made.
    #[error("recording {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The writer thread has too much to do.
    #[error("recording: the writer is overloaded")]
    Overloaded,
}

/// The thread that writes. Clones share it; it ends when the last is dropped and all files are sealed.
#[derive(Clone, Debug)]
pub struct Recorder {
    orders: std_mpsc::SyncSender<writer::Order>,
}

/// One running recording. Dropping it seals the file.
#[derive(Debug)]
pub struct Recording {
    id: u64,
    path: PathBuf,
    orders: std_mpsc::SyncSender<writer::Order>,
    sealed: bool,
}

impl Recorder {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start() -> std::io::Result<Recorder> {
        let (orders, inbox) = std_mpsc::sync_channel(ORDERS);
        std::thread::Builder::new().name("recorder".into()).spawn(move || writer::run(&inbox))?;
        Ok(Recorder { orders })
    }

    /// Makes the file and begins: `start` is where its first sample stands in time.
    ///
    /// # Errors
    /// See [`RecordError`]; the call goes on without a recording.
    pub fn begin(&self, path: &Path, rate: SampleRate, start: Instant) -> Result<Recording, RecordError> {
        let file = |problem: String| RecordError::File { path: path.to_owned(), problem };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| file(error.to_string()))?;
        }
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: rate.hz(),
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(path, spec).map_err(|error| file(error.to_string()))?;
        wav.flush().map_err(|error| file(error.to_string()))?;
        let id = writer::next_id();
        let order = writer::Order::Begin { id, path: path.to_owned(), wav, rate, start };
        self.orders.try_send(order).map_err(|_| RecordError::Overloaded)?;
        Ok(Recording { id, path: path.to_owned(), orders: self.orders.clone(), sealed: false })
    }
}

impl Recording {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a leg's audio to a channel.
    ///
    /// # Errors
    /// [`RecordError::Overloaded`]: that channel stays silent.
    pub fn attach(&self, channel: usize, tap: TapReader) -> Result<(), RecordError> {
        let order = writer::Order::Attach { id: self.id, channel, tap };
        self.orders.try_send(order).map_err(|_| RecordError::Overloaded)
    }

    /// Writes what the taps still hold, seals the file and tells what it came to.
    pub async fn finish(mut self) -> Recorded {
        let (reply, answer) = oneshot::channel();
        let path = self.path.clone();
        let lost = |why: &str| Recorded { path: path.clone(), duration_ms: 0, interrupted: Some(why.to_owned()) };
        if self.orders.try_send(writer::Order::Finish { id: self.id, reply: Some(reply) }).is_err() {
            return lost("the writer is overloaded");
        }
        self.sealed = true;
        answer.await.unwrap_or_else(|_| lost("the writer has stopped"))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.sealed && self.orders.try_send(writer::Order::Finish { id: self.id, reply: None }).is_err() {
            metrics::counter!("recording_seal_lost_total").increment(1);
        }
    }
}
