//! Captures of calls: the inputs of every call's machine, in one file of the folder that captures of media are in.
//!
//! Invariants: a call never waits for the disk: a line that finds the writer busy is dropped and counted, and the capture says that
//! the call is broken there. Names and numbers stand in it: its file is readable by its owner only.

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

/// Lines that may wait for the disk.
const LINES: usize = 4_096;

/// Replays a capture of calls.
///
/// # Errors
/// [`ReplayError`] when the file cannot be read or is no capture. A difference is no error: it stands in the result.
pub fn replay_calls(capture: impl std::io::BufRead) -> Result<Replay, ReplayError> {
    Replay::of(capture, clock::now())
}

/// The open file; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Captures {
    lines: SyncSender<Vec<u8>>,
}

/// One call's part of it.
#[derive(Debug)]
pub(super) struct CallCapture {
    call: CallId,
    began: Instant,
    lines: SyncSender<Vec<u8>>,
    /// A line of this call was dropped: nothing behind it can be replayed.
    broke: bool,
}

impl Captures {
    /// Begins a file in `folder`, which is made when it does not exist. It ends with the last clone.
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

    /// The capture of a call that begins now.
    pub(super) fn begin(&self, call: CallId, began: Instant, how: Happened) -> CallCapture {
        let mut capture = CallCapture { call, began, lines: self.lines.clone(), broke: false };
        capture.note(began, how);
        capture
    }
}

impl CallCapture {
    /// Takes one line.
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
            // The writer has told why it ended.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}
