//! The syncing thread: a part is reported as finished once its file and its directory entry are on the disk.
//!
//! ```text
//! writer ─ Sealed ─▶ [ bounded ] ─▶ fsync each file ─▶ fsync each folder once ─▶ reports
//! ```
//!
//! This is a separate thread because a sync may take longer than taps can hold frames.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::mpsc;

use super::{PartReport, PartState};

/// Number of files that may wait; beyond that the writer syncs them itself.
const WAITING: usize = 1024;
/// Number of files whose folders are synced together.
const TOGETHER: usize = 64;

/// A part that has been written completely.
pub(super) struct Sealed {
    pub(super) file: File,
    pub(super) report: PartReport,
    pub(super) reporter: mpsc::Sender<PartReport>,
}

/// Handle of the syncing thread.
pub(super) struct Sealer {
    waiting: SyncSender<Sealed>,
}

/// Starts the thread; it ends after the [`Sealer`] is dropped and all waiting files are synced.
pub(super) fn start() -> std::io::Result<Sealer> {
    let (waiting, inbox) = sync_channel(WAITING);
    std::thread::Builder::new().name("recorder-sync".into()).spawn(move || run(&inbox))?;
    Ok(Sealer { waiting })
}

impl Sealer {
    /// Syncs and reports a part later, in the thread.
    pub(super) fn seal(&self, sealed: Sealed) {
        if let Err(TrySendError::Full(sealed) | TrySendError::Disconnected(sealed)) = self.waiting.try_send(sealed) {
            metrics::counter!("tandem_recordings_synced_by_writer_total").increment(1);
            settle(vec![sealed]);
        }
    }
}

fn run(inbox: &Receiver<Sealed>) {
    while let Ok(first) = inbox.recv() {
        let mut some = vec![first];
        some.extend(inbox.try_iter().take(TOGETHER - 1));
        settle(some);
    }
}

/// Syncs files, then their folders, then reports.
fn settle(mut some: Vec<Sealed>) {
    for sealed in &mut some {
        let synced = sealed.file.sync_all();
        fail(sealed, synced);
    }
    let folders: BTreeSet<PathBuf> =
        some.iter().filter_map(|sealed| Some(sealed.report.path.parent()?.into())).collect();
    for folder in folders {
        if let Err(error) = File::open(&folder).and_then(|folder| folder.sync_all()) {
            let error = error.to_string();
            let in_folder = |sealed: &&mut Sealed| sealed.report.path.parent() == Some(Path::new(&folder));
            some.iter_mut()
                .filter(in_folder)
                .for_each(|sealed| fail(sealed, Err(std::io::Error::other(error.clone()))));
        }
    }
    for Sealed { report, reporter, .. } in some {
        send_report(&reporter, report);
    }
}

/// Marks a part as interrupted if it could not be synced, because it may be lost after a power failure.
fn fail(sealed: &mut Sealed, synced: std::io::Result<()>) {
    let (Err(error), PartState::Finished) = (synced, &sealed.report.state) else { return };
    tracing::error!(path = %sealed.report.path.display(), %error, "a recording could not be synced to the disk");
    metrics::counter!("tandem_recordings_interrupted_total").increment(1);
    sealed.report.state = PartState::Interrupted(format!("the file could not be synced to the disk: {error}"));
}

/// Sends a report to the call, which may have ended.
pub(super) fn send_report(reporter: &mpsc::Sender<PartReport>, report: PartReport) {
    if let Err(mpsc::error::TrySendError::Full(report)) = reporter.try_send(report) {
        metrics::counter!("tandem_recording_reports_dropped_total").increment(1);
        tracing::error!(path = %report.path.display(), "a report of a recording was lost: its call does not read them");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns the state of a part with this file or folder.
    fn state(file: File, path: &Path) -> PartState {
        let (reporter, mut reports) = mpsc::channel(1);
        let report = PartReport {
            part: 1,
            path: path.to_owned(),
            state: PartState::Finished,
            offset: Duration::ZERO,
            duration_ms: 20,
            channels: Vec::new(),
        };
        settle(vec![Sealed { file, report, reporter }]);
        reports.try_recv().expect("a report").state
    }

    #[test]
    fn a_part_is_finished_only_when_file_and_folder_are_synced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let file = || File::create(&path).unwrap();
        assert_eq!(state(file(), &path), PartState::Finished);
        let not_synced = |state| matches!(state, PartState::Interrupted(note) if note.contains("synced"));
        // A device that does not support sync, and a folder that does not exist.
        assert!(not_synced(state(File::open("/dev/null").unwrap(), &path)));
        assert!(not_synced(state(file(), &folder.path().join("gone/call.wav"))));
    }
}
