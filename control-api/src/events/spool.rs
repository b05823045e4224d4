//! Spool for changes while the database is unavailable: one file, written in order and synced.
//!
//! ```text
//! ingest ─▶ Spool::append ─ line ─▶ fsync ─▶ waits
//!                                             └─▶ replay: oldest first, each once ─▶ Store ─▶ empty: lines become zeros
//! ```
//!
//! A line consists of the first digits of the SHA-256 of the rest in hexadecimal, a space, and the batch as JSON. The last line
//! is followed by zeros: the file's blocks are allocated when it is opened and never released, so that events can be stored even
//! on a full disk.
//!
//! Invariants: batches keep the order in which they were appended. At most [`Spool::limit`] bytes are stored; what exceeds them
//! is counted and logged. A line that was cut off by a crash was never confirmed, and is dropped at the next start. A line that
//! cannot be read does not hide those after it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{Change, Mark};

/// Default size of the spool in bytes: about 300,000 events.
pub(crate) const LIMIT: u64 = 128 * 1024 * 1024;
/// Number of bytes overwritten with zeros at a time.
const ZEROS: usize = 1 << 20;
/// Longest line that is read, in bytes. Batches are far shorter.
const LINE_MAX: usize = 16 * 1024 * 1024;

/// Changes that are written together, exactly once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Mark by which a repeated attempt is recognised.
    pub(crate) mark: Mark,
    /// Changes in the order in which they happened.
    pub(crate) changes: Vec<Change>,
}

/// Content of a line of the spool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Waiting {
    /// A readable batch.
    Batch(Batch),
    /// Text of a line that is damaged or was written by another version.
    Unreadable(String),
}

/// The spool file. Its methods block, so they must not be called on async threads.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    path: PathBuf,
    /// Offset of the oldest batch that is still waiting.
    read: u64,
    /// Offset at which the next batch is written.
    end: u64,
    limit: u64,
}

/// Result of appending a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The batch is on the disk and survives a crash.
    Yes,
    /// The batch was refused because the spool is full.
    Full,
}

impl Spool {
    /// Opens or creates the file. Batches of an earlier run are waiting again.
    pub(crate) fn open(path: &Path, limit: u64) -> std::io::Result<Spool> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut spool = Spool { file, path: path.to_owned(), read: 0, end: 0, limit };
        // Find the end of the last complete line.
        while let Some((_, next)) = spool.line_at(spool.end)? {
            spool.end = next;
        }
        let written = spool.written_end()?;
        if spool.end < written {
            tracing::warn!(
                bytes = written - spool.end,
                "the event spool ends with a line that was cut off; it is dropped"
            );
            spool.clear(spool.end, written)?;
        }
        spool.reserve()?;
        Ok(spool)
    }

    /// Allocates the file's blocks now. If the disk has no room for all of them, the file stays as it is.
    fn reserve(&self) -> std::io::Result<()> {
        let size = self.file.metadata()?.len();
        if size > self.limit {
            // The file was written under a higher limit. Waiting batches stay.
            self.file.set_len(self.end.max(self.limit))?;
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, self.limit) {
            Ok(()) => {}
            Err(Errno::NOSPC | Errno::OPNOTSUPP | Errno::NOSYS | Errno::DQUOT) => {
                metrics::counter!("tandem_spool_unreserved_total").increment(1);
                tracing::warn!(path = %self.path.display(), bytes = self.limit,
                    "cannot reserve disk space for the event spool; free disk space or lower store.spool_mb");
            }
            Err(error) => return Err(error.into()),
        }
        self.file.sync_all()
    }

    /// Returns the offset after the last byte that is not zero, beginning at the last complete line.
    fn written_end(&self) -> std::io::Result<u64> {
        let mut reader = BufReader::with_capacity(ZEROS, &self.file);
        reader.seek(SeekFrom::Start(self.end))?;
        let (mut at, mut written) = (self.end, self.end);
        loop {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                return Ok(written);
            }
            if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
                written = at + last as u64 + 1;
            }
            let length = piece.len();
            at += length as u64;
            reader.consume(length);
        }
    }

    /// Overwrites bytes with zeros, which are on the disk when this returns. Their blocks stay allocated.
    fn clear(&mut self, from: u64, to: u64) -> std::io::Result<()> {
        let zeros = vec![0; ZEROS.min(usize::try_from(to - from).unwrap_or(ZEROS))];
        let mut at = from;
        self.file.seek(SeekFrom::Start(at))?;
        while at < to {
            let length = (to - at).min(zeros.len() as u64);
            self.file.write_all(&zeros[..length as usize])?;
            at += length;
        }
        self.file.sync_data()
    }

    /// Returns whether no batch is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.end
    }

    /// Returns the number of bytes that are waiting.
    pub(crate) fn waiting(&self) -> u64 {
        self.end - self.read
    }

    /// Appends a batch. When this returns [`Kept::Yes`], it is on the disk.
    pub(crate) fn append(&mut self, batch: &Batch) -> std::io::Result<Kept> {
        let json = serde_json::to_vec(batch)?;
        let mut line = checksum(&json).into_bytes();
        line.push(b' ');
        line.extend_from_slice(&json);
        line.push(b'\n');
        let length = line.len() as u64;
        if self.end.saturating_add(length) > self.limit || line.len() > LINE_MAX {
            return Ok(Kept::Full);
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A partly written line must not remain between complete lines.
            let written = self.file.metadata()?.len().min(self.end + length);
            self.clear(self.end, written.max(self.end))?;
            return Err(error);
        }
        self.end += length;
        Ok(Kept::Yes)
    }

    /// Returns the oldest batch and the byte offset of the next one.
    pub(crate) fn oldest(&mut self) -> std::io::Result<Option<(Waiting, u64)>> {
        if self.is_empty() {
            return Ok(None);
        }
        match self.line_at(self.read)? {
            Some(found) => Ok(Some(found)),
            None => Err(std::io::Error::new(
                ErrorKind::InvalidData,
                format!("{}: a stored line can no longer be read", self.path.display()),
            )),
        }
    }

    /// Removes the oldest batch after it was written. The next one begins at `next`.
    pub(crate) fn done(&mut self, next: u64) -> std::io::Result<()> {
        self.read = next.min(self.end);
        if self.is_empty() {
            let end = std::mem::take(&mut self.end);
            self.read = 0;
            self.clear(0, end)?;
        }
        Ok(())
    }

    /// Returns the line at `at` and the offset of the next one, or `None` if the line is incomplete.
    fn line_at(&self, at: u64) -> std::io::Result<Option<(Waiting, u64)>> {
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(at))?;
        let mut line = Vec::new();
        std::io::Read::take(&mut reader, LINE_MAX as u64).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") && (line.len() < LINE_MAX || line.contains(&0)) {
            return Ok(None);
        }
        let waiting = match parse(&line) {
            Some(batch) => Waiting::Batch(batch),
            None => Waiting::Unreadable(String::from_utf8_lossy(&line).trim_end().to_owned()),
        };
        Ok(Some((waiting, at + line.len() as u64)))
    }
}

#[cfg(test)]
impl Spool {
    /// Returns a line behind the oldest one, without removing any.
    pub(crate) fn line_at_for_test(&self, at: u64) -> std::io::Result<Option<(Waiting, u64)>> {
        self.line_at(at)
    }
}

/// Returns the batch of a complete line, if its checksum is correct.
fn parse(line: &[u8]) -> Option<Batch> {
    let rest = line.strip_suffix(b"\n")?;
    let (sum, json) = rest.split_at_checked(9)?;
    (sum.strip_suffix(b" ")? == checksum(json).as_bytes()).then(|| serde_json::from_slice(json).ok())?
}

/// Returns eight hexadecimal digits, enough to detect a line that was cut or damaged.
fn checksum(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..4])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::now;

    const LIMIT: u64 = 1 << 20;

    fn batch(seq: i64) -> Batch {
        let press = |digit| Change::Dtmf { call: Uuid::from_u128(7), leg: 1, digit, duration_ms: 100, at: now() };
        Batch { mark: Mark { run: Uuid::from_u128(1), seq }, changes: vec![press('1'), press('#')] }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        (folder, path)
    }

    fn seqs(spool: &mut Spool) -> Vec<i64> {
        std::iter::from_fn(|| {
            let (waiting, next) = spool.oldest().unwrap()?;
            spool.done(next).unwrap();
            Some(match waiting {
                Waiting::Batch(batch) => batch.mark.seq,
                Waiting::Unreadable(_) => 0,
            })
        })
        .collect()
    }

    #[test]
    fn batches_are_returned_in_order_even_after_a_restart() {
        let (_folder, path) = place();
        let mut spool = Spool::open(&path, LIMIT).unwrap();
        for seq in 1..=3 {
            assert_eq!(spool.append(&batch(seq)).unwrap(), Kept::Yes);
        }
        let (Waiting::Batch(first), next) = spool.oldest().unwrap().unwrap() else { panic!("a batch waits") };
        assert_eq!(first, Batch { changes: first.changes.clone(), ..batch(1) });
        spool.done(next).unwrap();
        drop(spool);
        // A batch that was written to the database but not yet removed is returned again. Its mark identifies it.
        let mut spool = Spool::open(&path, LIMIT).unwrap();
        spool.append(&batch(4)).unwrap();
        assert_eq!(seqs(&mut spool), [1, 2, 3, 4]);
        assert_eq!(spool.waiting(), 0);
        assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
        spool.append(&batch(5)).unwrap();
        assert_eq!(seqs(&mut spool), [5]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_dropped_wherever_it_was_cut() {
        let (_folder, path) = place();
        let mut spool = Spool::open(&path, LIMIT).unwrap();
        spool.append(&batch(1)).unwrap();
        let whole = spool.end;
        spool.append(&batch(2)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in whole as usize..spool.end as usize {
            // The cut is followed by zeros, as if only some blocks had reached the disk, or by nothing.
            let mut torn = bytes[..cut].to_vec();
            if cut % 2 == 0 {
                torn.resize(bytes.len(), 0);
            }
            std::fs::write(&path, &torn).unwrap();
            let mut spool = Spool::open(&path, LIMIT).unwrap();
            spool.append(&batch(3)).unwrap();
            assert_eq!(seqs(&mut spool), [1, 3], "cut at {cut}");
        }
    }

    #[test]
    fn the_blocks_are_allocated_at_once_and_stay() {
        use std::os::unix::fs::MetadataExt;
        let (_folder, path) = place();
        let blocks = || std::fs::metadata(&path).map(|file| (file.len(), file.blocks() * 512 >= LIMIT)).unwrap();
        let mut spool = Spool::open(&path, LIMIT).unwrap();
        assert_eq!(blocks(), (LIMIT, true));
        spool.append(&batch(1)).unwrap();
        assert_eq!(seqs(&mut spool), [1]);
        assert_eq!(blocks(), (LIMIT, true), "an empty spool keeps its blocks");
        // A line of the same length replaces an older one. What followed the older one must not return.
        for seq in 2..=4 {
            spool.append(&batch(seq)).unwrap();
        }
        assert_eq!(seqs(&mut spool), [2, 3, 4]);
        spool.append(&batch(5)).unwrap();
        drop(spool);
        assert_eq!(seqs(&mut Spool::open(&path, LIMIT).unwrap()), [5]);
        drop(Spool::open(&path, LIMIT / 2).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LIMIT / 2, "a lower limit releases disk space");
    }

    #[test]
    fn a_damaged_line_does_not_hide_those_after_it() {
        let (_folder, path) = place();
        let mut spool = Spool::open(&path, LIMIT).unwrap();
        (1..=4).for_each(|seq| assert_eq!(spool.append(&batch(seq)).unwrap(), Kept::Yes));
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text[..spool.end as usize].lines().map(str::to_owned).collect();
        // A flipped bit, and a complete line of another version.
        lines[1] = lines[1].replace("Dtmf", "Dtmg");
        let json = lines[2][9..].replace("\"Dtmf\"", "\"Later\"");
        lines[2] = format!("{} {json}", checksum(json.as_bytes()));
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let mut spool = Spool::open(&path, LIMIT).unwrap();
        assert_eq!(seqs(&mut spool), [1, 0, 0, 4]);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let (_folder, path) = place();
        let mut spool = Spool::open(&path, LIMIT).unwrap();
        spool.append(&batch(1)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(spool.end as usize);
        for at in 0..bytes.len() {
            for value in [0, b'\n', b' ', 0xff, bytes[at] ^ 1] {
                let mut changed = bytes.clone();
                changed[at] = value;
                if changed != bytes {
                    assert!(parse(&changed).is_none(), "byte {at} as {value}");
                }
            }
        }
        assert!(parse(b"").is_none() && parse(b"\n").is_none() && parse(b"00000000 \n").is_none());
    }

    #[test]
    fn batches_beyond_the_limit_are_refused_and_the_others_stay() {
        let (_folder, path) = place();
        let mut spool = Spool::open(&path, 1_000).unwrap();
        let kept = (1..=20).filter(|seq| spool.append(&batch(*seq)).unwrap() == Kept::Yes).count();
        assert!((1..20).contains(&kept));
        assert_eq!(seqs(&mut spool), (1..=kept as i64).collect::<Vec<_>>());
        assert_eq!(spool.append(&batch(30)).unwrap(), Kept::Yes);
    }
}
