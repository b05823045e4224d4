use std::path::Path;

use super::super::seal;
use super::*;
use crate::audio::tap::{FrameKind, tap};
use crate::net::clock;
use crate::record::{Reserved, Side};

const RATE: SampleRate = SampleRate::HZ_8000;
const HOURS: Duration = Duration::from_secs(6 * 3_600);
const ALICE: LegId = LegId(1);
const ANNA: LegId = LegId(2);
const BEN: LegId = LegId(3);

/// Returns a take into `folder`, and its reports.
fn take(folder: &Path, part: Duration, start: Instant) -> (Take, mpsc::Receiver<PartReport>) {
    let (reporter, reports) = mpsc::channel(64);
    let stem = folder.join("call");
    let begin =
        Begin { id: 1, stem, rate: RATE, start, reserved: Reserved { said: 2, heard: 0 }, legs: Vec::new(), reporter };
    (Take::new(begin, part), reports)
}

/// Feeds `seconds` of a ramp from `start` on as the agent's audio, so that each sample identifies its position.
fn speak(take: &mut Take, start: Instant, seconds: u32) {
    take.attach(Joining { leg: ANNA, side: Side::Agent, said: says(start, seconds * 50, ramp), heard: None }, start);
}

/// Returns a tap with `frames` frames of 20 ms from `start` on.
fn says(start: Instant, frames: u32, sample: fn(u64) -> i16) -> TapReader {
    let (mut writer, reader) = tap(frames as usize);
    for frame in 0..frames {
        let at = start + Duration::from_millis(20) * frame;
        let samples: Vec<i16> = (0..160).map(|at| sample(u64::from(frame) * 160 + at)).collect();
        writer.push(at, Some(at), FrameKind::Voice, RATE, &samples);
    }
    reader
}

fn ramp(sample: u64) -> i16 {
    (sample % 30_000) as i16 + 1
}

/// Returns all reports until the last part has ended, except changes of channels.
fn all(mut reports: mpsc::Receiver<PartReport>) -> Vec<PartReport> {
    let all = std::iter::from_fn(|| reports.blocking_recv());
    all.filter(|report| report.state != PartState::Seated).collect()
}

/// Returns one channel of a file.
fn channel(path: &Path, channel: usize) -> Vec<i16> {
    let channels = hound::WavReader::open(path).unwrap().spec().channels.into();
    samples(path).into_iter().skip(channel).step_by(channels).collect()
}

fn samples(path: &Path) -> Vec<i16> {
    hound::WavReader::open(path).unwrap().into_samples().map(Result::unwrap).collect()
}

#[test]
fn audio_is_in_the_file_before_it_is_sealed() {
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
    let report = |state, duration_ms, channels| {
        let (path, offset) = (path.clone(), Duration::ZERO);
        PartReport { part: 1, path, state, offset, duration_ms, channels }
    };
    let anna = ChannelReport { channel: 1, track: Track::said(ANNA), from: Duration::ZERO, until: None };
    let (begun, ended) = (report(PartState::Started, 0, vec![]), report(PartState::Finished, 1_000, vec![anna]));
    assert_eq!(all(reports), [begun, ended]);
}

#[test]
fn a_long_recording_continues_in_the_next_file_without_losing_a_sample() {
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
    let agent: Vec<i16> = names.iter().flat_map(|path| channel(path, 1)).collect();
    assert_eq!(agent, (0..5 * 8_000).map(ramp).collect::<Vec<i16>>());
}

/// Creates a file of almost 4 GiB, which takes no disk space because it is sparse.
fn almost_full(path: &Path, bytes: u32) -> Part {
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    let mut wav = hound::WavWriter::new(BufWriter::new(open()), spec(RATE, 2)).unwrap();
    wav.flush().unwrap();
    drop(wav);
    let head = std::fs::metadata(path).unwrap().len();
    let file = open();
    file.set_len(head + u64::from(bytes)).unwrap();
    let size = |value: u32| value.to_le_bytes();
    std::os::unix::fs::FileExt::write_all_at(&file, &size(bytes + head as u32 - 8), 4).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &size(bytes), head - 4).unwrap();
    let (wav, frames) = (hound::WavWriter::append(path).unwrap(), u64::from(bytes) / 4);
    Part { wav, file, frames, frames_max: frames_max(RATE, 2, Duration::MAX), channels: 2 }
}

#[test]
fn a_file_is_replaced_by_the_next_before_it_reaches_4_gib() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    // A configuration without a limit of its own.
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
    assert!(u64::from(first.duration()) <= frames_max(RATE, 2, Duration::MAX) && first.duration() > 1_000_000_000);
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
    let wav = hound::WavWriter::new(BufWriter::new(full()), spec(RATE, 2)).unwrap();
    take.part = Some(Part { wav, file: full(), frames: 0, frames_max: u64::MAX, channels: 2 });
    speak(&mut take, start, 1);
    take.round(start + Duration::from_millis(1_500), &sealer);
    assert!(!take.is_running());
    // Further rounds and the seal have nothing left to do, and must not fail.
    take.round(start + Duration::from_secs(3), &sealer);
    take.finish(start + Duration::from_secs(4), &sealer);
    let reports = all(reports);
    let [PartReport { state: PartState::Interrupted(note), .. }] = &reports[..] else { panic!("{reports:?}") };
    assert!(note.contains("free space"), "{note}");
}

#[test]
fn a_file_that_cannot_be_created_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("call.wav"), "somebody else's").unwrap();
    let (mut take, reports) = take(folder.path(), HOURS, clock::now());
    take.open_part();
    take.finish(clock::now(), &seal::start().unwrap());
    let reports = all(reports);
    let [PartReport { state: PartState::Interrupted(note), .. }] = &reports[..] else { panic!("{reports:?}") };
    assert!(note.contains("cannot be created"), "{note}");
    assert_eq!(std::fs::read_to_string(folder.path().join("call.wav")).unwrap(), "somebody else's");
}

#[test]
fn a_joining_leg_gets_a_channel_in_a_next_file_without_loss_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    let at = |ms| start + Duration::from_millis(ms);
    let (mut take, reports) = take(folder.path(), HOURS, start);
    take.open_part();
    speak(&mut take, start, 4);
    take.attach(Joining { leg: ALICE, side: Side::Customer, said: says(start, 200, |_| 7), heard: None }, start);
    take.round(at(1_500), &sealer);
    // Two join, whose first words come with them; one of them leaves again.
    take.attach(Joining { leg: BEN, side: Side::Agent, said: says(at(1_600), 70, |_| 9), heard: None }, at(1_600));
    let carla = LegId(4);
    take.attach(Joining { leg: carla, side: Side::Customer, said: says(at(1_700), 20, |_| 5), heard: None }, at(1_700));
    take.round(at(2_000), &sealer);
    take.round(at(2_300), &sealer);
    take.detach(BEN, at(3_000));
    take.finish(at(4_000), &sealer);
    let [first, second] = ["call.wav", "call.2.wav"].map(|name| folder.path().join(name));
    let agent = [channel(&first, 1), channel(&second, 1)].concat();
    assert!(agent == (0..4 * 8_000).map(ramp).collect::<Vec<i16>>());
    assert!([channel(&first, 0), channel(&second, 0)].concat() == vec![7; 4 * 8_000]);
    assert_eq!(channel(&first, 0).len(), 1_600 * 8);
    assert!(channel(&second, 2) == [vec![9; 1_400 * 8], vec![0; 1_000 * 8]].concat());
    assert!(channel(&second, 3) == [vec![0; 100 * 8], vec![5; 400 * 8], vec![0; 1_900 * 8]].concat());
    let ended: Vec<PartReport> =
        all(reports).into_iter().filter(|report| report.state == PartState::Finished).collect();
    let who = |report: &PartReport| -> Vec<_> {
        let channels = report.channels.iter();
        channels
            .map(|one| (one.channel, one.track.leg, one.from.as_millis(), one.until.map(|at| at.as_millis())))
            .collect()
    };
    assert_eq!(who(&ended[0]), [(0, ALICE, 0, None), (1, ANNA, 0, None)]);
    let joined = [(2, BEN, 1_600, Some(3_000)), (3, carla, 1_700, None)];
    assert_eq!(who(&ended[1]), [vec![(0, ALICE, 1_600, None), (1, ANNA, 1_600, None)], joined.to_vec()].concat());
}

#[test]
fn a_leg_that_replaces_another_takes_over_its_channel_in_the_next_file() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    let at = |ms| start + Duration::from_millis(ms);
    let (mut take, _reports) = take(folder.path(), HOURS, start);
    take.open_part();
    take.attach(Joining { leg: ALICE, side: Side::Customer, said: says(start, 100, |_| 7), heard: None }, start);
    speak(&mut take, start, 1);
    take.detach(ANNA, at(1_000));
    take.attach(Joining { leg: BEN, side: Side::Agent, said: says(at(1_100), 45, |_| 9), heard: None }, at(1_100));
    take.finish(at(2_000), &sealer);
    let [first, second] = ["call.wav", "call.2.wav"].map(|name| folder.path().join(name));
    let anna: Vec<i16> = (0..8_000).map(ramp).chain([0; 800]).collect();
    assert!((channel(&first, 1), channel(&second, 1)) == (anna, vec![9; 7_200]));
    assert!([channel(&first, 0), channel(&second, 0)].concat() == vec![7; 16_000]);
}

#[test]
fn a_pause_is_silence_of_the_same_length() {
    let folder = tempfile::tempdir().unwrap();
    let (start, sealer) = (clock::now(), seal::start().unwrap());
    let at = |ms| start + Duration::from_millis(ms);
    let (mut take, _reports) = take(folder.path(), HOURS, start);
    take.open_part();
    speak(&mut take, start, 3);
    take.round(at(900), &sealer);
    take.pause(true, at(1_000));
    take.round(at(1_800), &sealer);
    take.pause(false, at(2_000));
    take.finish(at(3_000), &sealer);
    let said = channel(&folder.path().join("call.wav"), 1);
    let expected = (0..24_000).map(|n| if (8_000..16_000).contains(&n) { 0 } else { ramp(n) });
    assert!(said == expected.collect::<Vec<i16>>());
}
