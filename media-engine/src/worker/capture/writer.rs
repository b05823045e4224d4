//! The writing side: gathers lines into blocks and hands them to a thread that owns the file.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use codecs::opus::OpusSettings;

use super::entry::{Entry, Line, Start, VERSION, Written};

/// Size in bytes at which a block is handed over.
const BLOCK: usize = 256 * 1024;
/// Blocks that may wait for the disk: 16 MiB.
const BLOCKS: usize = 64;

impl Start {
    /// Creates the parameters of a capture that begins at the time of day `wall`.
    pub(crate) fn new(seed: u64, wall: SystemTime, shared: Vec<SocketAddr>, opus: OpusSettings) -> Start {
        let wall = wall.duration_since(UNIX_EPOCH).map_or(0, |span| span.as_nanos() as u64);
        // DTX depends on the far end and is not a setting of the switch.
        Start { version: VERSION, seed, wall, shared, opus: OpusSettings { dtx: false, ..opus } }
    }
}

/// A capture that is being written. Dropping it writes the last block and closes the file.
pub(crate) struct Capture {
    started: Instant,
    block: Vec<u8>,
    blocks: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    lost: u64,
}

impl Capture {
    /// Begins a capture of worker `index` in `folder`, which is created if it does not exist.
    ///
    /// # Errors
    /// The folder or the file could not be created, or the writer's thread could not be started.
    pub(crate) fn start(folder: &Path, index: usize, start: Start, now: Instant) -> io::Result<(Capture, PathBuf)> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("media-{index}-{}.jsonl", start.wall / 1_000_000));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let (blocks, waiting) = mpsc::sync_channel::<Vec<u8>>(BLOCKS);
        let name = path.display().to_string();
        let writer = std::thread::Builder::new().name(format!("capture-{index}")).spawn(move || {
            for block in waiting {
                if let Err(error) = file.write_all(&block) {
                    tracing::error!(file = name, %error, "a capture could not be written and ends here");
                    return;
                }
            }
        })?;
        Ok((Capture::into_blocks(blocks, Some(writer), start, now), path))
    }

    /// Creates a capture that hands its blocks over to `writer`.
    pub(super) fn into_blocks(
        blocks: SyncSender<Vec<u8>>,
        writer: Option<JoinHandle<()>>,
        start: Start,
        now: Instant,
    ) -> Capture {
        let block = Vec::with_capacity(BLOCK * 2);
        let mut capture = Capture { started: now, block, blocks: Some(blocks), writer, lost: 0 };
        capture.note(now, &Entry::Start(start));
        capture
    }

    /// Appends one line, unless the writer has ended.
    pub(crate) fn note(&mut self, now: Instant, entry: &Written<'_>) {
        if self.blocks.is_none() {
            return;
        }
        let at = now.saturating_duration_since(self.started).as_nanos() as u64;
        // Writing into a Vec cannot fail, and every entry has a JSON representation.
        if serde_json::to_writer(&mut self.block, &Line { at, entry }).is_ok() {
            self.block.push(b'\n');
        }
        if self.block.len() >= BLOCK {
            self.send_block(at);
        }
    }

    fn send_block(&mut self, at: u64) {
        let Some(blocks) = &self.blocks else { return };
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK * 2));
        match blocks.try_send(block) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                metrics::counter!("tandem_capture_blocks_dropped_total").increment(1);
                let broken = Line { at, entry: Written::Broken { blocks: self.lost } };
                if serde_json::to_writer(&mut self.block, &broken).is_ok() {
                    self.block.push(b'\n');
                }
            }
            // The writer has logged why it ended.
            Err(TrySendError::Disconnected(_)) => self.blocks = None,
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(blocks) = self.blocks.take() {
            // The thread is ending, so it may wait for the disk. A writer that has ended has logged the reason.
            let _ = blocks.send(std::mem::take(&mut self.block));
        }
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of a capture ended with a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;
    use crate::worker::switch::Input;

    #[test]
    fn a_capture_whose_writer_has_ended_buffers_nothing_more() {
        let (blocks, waiting) = mpsc::sync_channel(BLOCKS);
        let mut capture =
            Capture { started: test_epoch(), block: Vec::new(), blocks: Some(blocks), writer: None, lost: 0 };
        drop(waiting);
        for _ in 0..BLOCK {
            capture.note(test_epoch(), &Entry::Input(&Input::Timeout));
        }
        assert!(capture.block.capacity() <= BLOCK * 2, "{} bytes", capture.block.capacity());
    }
}
