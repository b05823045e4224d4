//! Captures of calls: the inputs of every call's machine, in one file in the folder of the media captures.
//!
//! Invariants: a call never waits for the disk: if the writer is busy, the line is dropped and counted, and the capture marks the
//! call as broken there. The file contains names and numbers, so only its owner can read it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::time::{Instant, UNIX_EPOCH};

use crate::call::{Captured, Happened, Replay};
use crate::error::ReplayError;
use crate::net::clock;
use crate::units::CallId;

/// Number of lines that may wait for the disk.
const LINES: usize = 4_096;

/// Replays a capture of calls and compares the effects.
///
/// # Errors
/// [`ReplayError`] when the file cannot be read or is not a capture. A difference is not an error: the result reports it.
pub fn replay_calls(capture: impl std::io::BufRead) -> Result<Replay, ReplayError> {
    Replay::of(capture, clock::now())
}

/// The open capture file; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Captures {
    lines: SyncSender<Vec<u8>>,
}

/// The part of the capture that belongs to one call.
#[derive(Debug)]
pub(super) struct CallCapture {
    call: CallId,
    began: Instant,
    lines: SyncSender<Vec<u8>>,
    /// A line of this call was dropped, so later lines cannot be replayed.
    broke: bool,
}

impl Captures {
    /// Creates a file in `folder`, which is created if it does not exist. The file is closed with the last clone.
    pub(super) fn start(folder: &Path) -> std::io::Result<Captures> {
        std::fs::create_dir_all(folder)?;
        let now = clock::system_now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_millis());
        let path = folder.join(format!("calls-{now}.jsonl"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let (lines, waiting) = mpsc::sync_channel::<Vec<u8>>(LINES);
        std::thread::Builder::new().name("capture-calls".into()).spawn(move || {
            for line in waiting {
                if let Err(error) = file.write_all(&line) {
                    tracing::error!(file = %path.display(), %error, "the capture of calls cannot be written; it ends here");
                    return;
                }
            }
        })?;
        Ok(Captures { lines })
    }

    /// Starts the capture of a call.
    pub(super) fn begin(&self, call: CallId, began: Instant, how: Happened) -> CallCapture {
        let mut capture = CallCapture { call, began, lines: self.lines.clone(), broke: false };
        capture.note(began, how);
        capture
    }
}

impl CallCapture {
    /// Writes one line.
    pub(super) fn note(&mut self, now: Instant, happened: Happened) {
        let happened = if self.broke { Happened::Broke } else { happened };
        let at = u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
        let captured = Captured { call: self.call.to_string(), at, happened };
        let Ok(mut line) = serde_json::to_vec(&captured) else { return };
        line.push(b'\n');
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.broke = true;
                metrics::counter!("tandem_capture_lines_dropped_total").increment(1);
            }
            // The writer has already logged the error.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}
