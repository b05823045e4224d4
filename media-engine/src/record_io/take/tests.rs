use std::path::Path;

use super::super::seal;
use super::*;
use crate::audio::tap::{FrameKind, tap};
use crate::net::clock;

const RATE: SampleRate = SampleRate::HZ_8000;
const HOURS: Duration = Duration::from_secs(6 * 3_600);

/// A take into `folder`, and its reports.
fn take(folder: &Path, part: Duration, start: Instant) -> (Take, mpsc::Receiver<PartReport>) {
    let (reporter, reports) = mpsc::channel(64);
    let begin = Begin { id: 1, stem: folder.join("call"), rate: RATE, start, reporter };
    (Take::new(begin, part), reports)
}

/// A leg's audio for channel 1: `seconds` of a ramp from `start` on, so that each sample is known by its place.
fn speak(take: &mut Take, start: Instant, seconds: u32) {
    let frames = seconds * 50;
    let (mut writer, reader) = tap(frames as usize);
    for frame in 0..frames {
        let at = start + Duration::from_millis(20) * frame;
        let samples: Vec<i16> = (0..160).map(|sample| ramp(u64::from(frame) * 160 + sample)).collect();
        writer.push(at, Some(at), FrameKind::Voice, RATE, &samples);
    }
    take.sources.push(Source { channel: 1, tap: reader, resampler: None });
}

fn ramp(sample: u64) -> i16 {
    (sample % 30_000) as i16 + 1
}

/// What comes until the last part has ended.
fn all(mut reports: mpsc::Receiver<PartReport>) -> Vec<PartReport> {
    std::iter::from_fn(|| reports.blocking_recv()).collect()
}

fn samples(path: &Path) -> Vec<i16> {
    hound::WavReader::open(path).unwrap().into_samples().map(Result::unwrap).collect()
}

#[test]
fn what_was_heard_is_in_the_file_before_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    let (mut take, reports) = take(folder.path(), HOURS, start);
    take.open_part();
    speak(&mut take, start, 1);
    take.round(start + Duration::from_millis(1_400), &sealer);
    // The process may be killed from here on.
    let path = folder.path().join("call.wav");
    assert_eq!(samples(&path).len(), 2 * 900 * 8, "all but the half second that is still open");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    take.finish(start + Duration::from_secs(1), &sealer);
    let report =
        |state, duration_ms| PartReport { part: 1, path: path.clone(), state, offset: Duration::ZERO, duration_ms };
    assert_eq!(all(reports), [report(PartState::Started, 0), report(PartState::Finished, 1_000)]);
}

#[test]
fn a_long_recording_goes_on_in_the_next_file_without_losing_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    let (mut take, reports) = take(folder.path(), Duration::from_secs(2), start);
    take.open_part();
    speak(&mut take, start, 5);
    for tenth in 1..=50 {
        take.round(start + Duration::from_millis(100) * tenth, &sealer);
    }
    take.finish(start + Duration::from_secs(5), &sealer);
    let names = ["call.wav", "call.2.wav", "call.3.wav"].map(|name| folder.path().join(name));
    let ended: Vec<PartReport> =
        all(reports).into_iter().filter(|report| report.state == PartState::Finished).collect();
    let told =
        ended.iter().map(|report| (report.part, report.path.clone(), report.offset.as_secs(), report.duration_ms));
    let [first, second, third] = names.clone();
    assert_eq!(told.collect::<Vec<_>>(), [(1, first, 0, 2_000), (2, second, 2, 2_000), (3, third, 4, 1_000)]);
    let whole: Vec<i16> = names.iter().flat_map(|path| samples(path)).collect();
    let agent: Vec<i16> = whole.iter().copied().skip(1).step_by(2).collect();
    assert_eq!(agent, (0..5 * 8_000).map(ramp).collect::<Vec<i16>>());
}

/// A file of almost 4 GiB, which takes no room because its samples are a hole.
fn almost_full(path: &Path, bytes: u32) -> Part {
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    let mut wav = hound::WavWriter::new(BufWriter::new(open()), spec(RATE)).unwrap();
    wav.flush().unwrap();
    drop(wav);
    let head = std::fs::metadata(path).unwrap().len();
    let file = open();
    file.set_len(head + u64::from(bytes)).unwrap();
    let size = |value: u32| value.to_le_bytes();
    std::os::unix::fs::FileExt::write_all_at(&file, &size(bytes + head as u32 - 8), 4).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &size(bytes), head - 4).unwrap();
    Part { wav: hound::WavWriter::append(path).unwrap(), file, frames: u64::from(bytes) / 4 }
}

#[test]
fn a_file_that_nears_4_gib_is_left_for_the_next_in_good_time() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    // A configuration that names no bound of its own.
    let (mut take, reports) = take(folder.path(), Duration::MAX, start);
    take.number = 1;
    let full = folder.path().join("call.wav");
    take.part = Some(almost_full(&full, u32::MAX - 4_096 - 3 - 8_000));
    speak(&mut take, start, 5);
    take.finish(start + Duration::from_secs(5), &sealer);
    let reports = all(reports);
    let finished: Vec<u32> =
        reports.iter().filter(|report| report.state == PartState::Finished).map(|report| report.part).collect();
    assert_eq!(finished, [1, 2], "{reports:?}");
    let first = hound::WavReader::open(&full).unwrap();
    assert!(u64::from(first.duration()) <= PART_FRAMES_MAX && first.duration() > 1_000_000_000);
    let second = hound::WavReader::open(folder.path().join("call.2.wav")).unwrap();
    assert_eq!(u64::from(first.duration()) + u64::from(second.duration()), u64::from(u32::MAX - 12_099) / 4 + 40_000);
}

#[test]
fn a_full_disk_ends_the_recording_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    let (mut take, reports) = take(folder.path(), HOURS, start);
    take.number = 1;
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let wav = hound::WavWriter::new(BufWriter::new(full()), spec(RATE)).unwrap();
    take.part = Some(Part { wav, file: full(), frames: 0 });
    speak(&mut take, start, 1);
    take.round(start + Duration::from_millis(1_500), &sealer);
    assert!(!take.is_running());
    // Further rounds and the seal have nothing left to do, and fail at nothing.
    take.round(start + Duration::from_secs(3), &sealer);
    take.finish(start + Duration::from_secs(4), &sealer);
    let reports = all(reports);
    let [PartReport { state: PartState::Interrupted(note), .. }] = &reports[..] else { panic!("{reports:?}") };
    assert!(note.contains("free space"), "{note}");
}

#[test]
fn a_file_that_cannot_be_made_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("call.wav"), "somebody else's").unwrap();
    let (mut take, reports) = take(folder.path(), HOURS, clock::now());
    take.open_part();
    take.finish(clock::now(), &seal::start().unwrap());
    let reports = all(reports);
    let [PartReport { state: PartState::Interrupted(note), .. }] = &reports[..] else { panic!("{reports:?}") };
    assert!(note.contains("cannot be made"), "{note}");
    assert_eq!(std::fs::read_to_string(folder.path().join("call.wav")).unwrap(), "somebody else's");
}
