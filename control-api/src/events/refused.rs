//! Events that the store refused permanently, in a file beside the spool. `tandem refused` shows them.
//!
//! Each line is one JSON object. It is synced before the rest of its batch is written. After a crash in between, a line can occur
//! twice; both name the same batch and position. At most two files of [`FILE_MAX`] bytes are kept, with the newest events.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::{Change, Mark};

/// Name of the file in the data folder.
const NAME: &str = "events.refused";
/// Name of the previous file.
const OLDER: &str = "events.refused.1";
/// Size in bytes above which a new file is started.
const FILE_MAX: u64 = 8 * 1024 * 1024;

/// Event that the store refused permanently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedEvent {
    /// Time of the refusal.
    pub at: Timestamp,
    /// Mark of the batch that contained the event.
    pub mark: Mark,
    /// Index of the event within the batch.
    pub piece: usize,
    /// Id of the call; nil for an unreadable line of the spool.
    pub call: Uuid,
    /// Kind of change, such as `dtmf`.
    pub kind: String,
    /// Error message of the database.
    pub error: String,
    /// The change itself as JSON.
    pub change: Value,
}

impl RefusedEvent {
    pub(super) fn new(mark: Mark, piece: usize, change: &Change, error: String) -> RefusedEvent {
        RefusedEvent {
            at: crate::store::now(),
            mark,
            piece,
            call: change.call(),
            kind: change.kind().to_owned(),
            error,
            change: serde_json::to_value(change).unwrap_or_default(),
        }
    }
}

impl RefusedEvent {
    /// Creates an entry for a line of the spool from which no batch can be read. The same text gives the same mark.
    pub(super) fn unreadable(line: &str) -> RefusedEvent {
        let digest = Sha256::digest(line.as_bytes());
        let run = Uuid::from_slice(&digest[..16]).unwrap_or_default();
        RefusedEvent {
            at: crate::store::now(),
            mark: Mark { run, seq: 0 },
            piece: 0,
            call: Uuid::nil(),
            kind: "unreadable".to_owned(),
            error: "a line of the event spool is damaged or was written by another version".to_owned(),
            change: Value::String(line.to_owned()),
        }
    }
}

/// Files of refused events in a data folder.
#[derive(Clone, Debug)]
pub(super) struct RefusedFile {
    folder: PathBuf,
}

impl RefusedFile {
    pub(super) fn in_folder(folder: &Path) -> RefusedFile {
        RefusedFile { folder: folder.to_owned() }
    }

    /// Appends events. They are on the disk when this returns without an error. Blocks.
    pub(super) fn append(&self, events: &[RefusedEvent]) -> std::io::Result<()> {
        let path = self.folder.join(NAME);
        if std::fs::metadata(&path).is_ok_and(|file| file.len() > FILE_MAX) {
            std::fs::rename(&path, self.folder.join(OLDER))?;
        }
        let mut text = Vec::new();
        for event in events {
            serde_json::to_writer(&mut text, event)?;
            text.push(b'\n');
        }
        let mut file = open_private(&path)?;
        file.write_all(&text)?;
        file.sync_data()
    }
}

fn open_private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Returns the events of this data folder that the store refused, oldest first and without duplicates.
///
/// # Errors
/// Fails if a file exists but cannot be read.
pub fn refused_list(data: &Path) -> std::io::Result<Vec<RefusedEvent>> {
    let mut seen = HashSet::new();
    let mut events = Vec::new();
    for name in [OLDER, NAME] {
        let file = match File::open(data.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            // A line that was cut off by a crash is written again in full.
            let Ok(event) = serde_json::from_slice::<RefusedEvent>(&line?) else { continue };
            if seen.insert((event.mark.run, event.mark.seq, event.piece)) {
                events.push(event);
            }
        }
    }
    Ok(events)
}

/// Removes the files of refused events.
///
/// # Errors
/// Fails if a file exists but cannot be removed.
pub fn refused_clear(data: &Path) -> std::io::Result<()> {
    for name in [OLDER, NAME] {
        match std::fs::remove_file(data.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::now;

    fn event(seq: i64, piece: usize) -> RefusedEvent {
        let change = Change::Dtmf { call: Uuid::from_u128(7), leg: 1, digit: '5', duration_ms: 100, at: now() };
        RefusedEvent::new(Mark { run: Uuid::from_u128(1), seq }, piece, &change, "refused".into())
    }

    #[test]
    fn refused_events_are_listed_once_in_order_and_torn_lines_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(refused_list(folder.path()).unwrap(), []);
        let file = RefusedFile::in_folder(folder.path());
        let (first, second) = (event(1, 0), event(1, 3));
        file.append(&[first.clone(), second.clone()]).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join(NAME))
            .unwrap()
            .write_all(b"{\"at\": \"20\n")
            .unwrap();
        let third = event(2, 0);
        file.append(&[second.clone(), third.clone()]).unwrap();
        assert_eq!(refused_list(folder.path()).unwrap(), [first, second, third]);
        refused_clear(folder.path()).unwrap();
        assert_eq!(refused_list(folder.path()).unwrap(), []);
    }

    #[test]
    fn the_files_stay_within_their_limit_and_keep_the_newest_events() {
        let folder = tempfile::tempdir().unwrap();
        let file = RefusedFile::in_folder(folder.path());
        let long = RefusedEvent { error: "x".repeat(1_000_000), ..event(0, 0) };
        for seq in 1..=30 {
            file.append(&[RefusedEvent { mark: Mark { seq, ..long.mark }, ..long.clone() }]).unwrap();
        }
        let size: u64 = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        assert!(size < 2 * (FILE_MAX + 1_100_000), "{size}");
        assert_eq!(refused_list(folder.path()).unwrap().last().unwrap().mark.seq, 30);
    }
}
