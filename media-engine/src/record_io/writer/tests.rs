use std::path::Path;

use super::*;
use crate::config::RecordConfig;
use crate::record_io::{PartState, seal};

fn writer(folder: &Path, config: &RecordConfig) -> Writer {
    let (disk, _) = Watch::new(folder, config);
    Writer::new(config.part, disk, seal::start().unwrap())
}

fn begin(writer: &mut Writer, folder: &Path, id: u64) -> mpsc::Receiver<PartReport> {
    let (reporter, reports) = mpsc::channel(8);
    let (stem, start) = (folder.join(id.to_string()), clock::now());
    let rate = SampleRate::HZ_8000;
    writer.handle_order(Order::Begin(Begin {
        id,
        stem,
        rate,
        start,
        reserved: Reserved { said: 2, heard: 0 },
        legs: Vec::new(),
        reporter,
    }));
    reports
}

fn last(mut reports: mpsc::Receiver<PartReport>) -> PartReport {
    std::iter::from_fn(|| reports.blocking_recv()).last().expect("the recording was reported")
}

#[test]
fn a_panic_in_one_recording_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), &RecordConfig { min_free: 0, warn_free: 0, ..RecordConfig::default() });
    let (broken, whole) = (begin(&mut writer, folder.path(), 1), begin(&mut writer, folder.path(), 2));
    writer.guarded(1, |_, _| panic!("on purpose"));
    writer.round(clock::now() + Duration::from_secs(2));
    let report = last(broken);
    let PartState::Interrupted(note) = &report.state else { panic!("{report:?}") };
    assert!(note.contains("a fault in the recorder"), "{note}");
    hound::WavReader::open(&report.path).expect("the flushed file is a WAV");
    writer.handle_order(Order::Finish { id: 2 });
    let report = last(whole);
    assert_eq!(report.state, PartState::Finished);
    assert!(report.duration_ms >= 1_000, "{report:?}");
}

#[test]
fn below_the_floor_recordings_end_and_none_begins() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), &RecordConfig { min_free: 0, warn_free: 0, ..RecordConfig::default() });
    let running = begin(&mut writer, folder.path(), 1);
    // More than any file system has free.
    let config = RecordConfig { min_free: u64::MAX, warn_free: u64::MAX, ..RecordConfig::default() };
    let (mut disk, told) = Watch::new(folder.path(), &config);
    disk.judge(0, 1 << 30);
    disk.hold();
    assert_eq!(told.borrow().room, Room::Exhausted);
    writer.disk = disk;
    writer.round(clock::now());
    let refused = begin(&mut writer, folder.path(), 2);
    writer.handle_order(Order::Finish { id: 1 });
    writer.handle_order(Order::Finish { id: 2 });
    for reports in [running, refused] {
        let report = last(reports);
        let PartState::Interrupted(note) = &report.state else { panic!("{report:?}") };
        assert!(note.contains("are kept free"), "{note}");
    }
    assert!(folder.path().join("1.wav").exists() && !folder.path().join("2.wav").exists());
}
