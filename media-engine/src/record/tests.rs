use std::time::{Duration, Instant};

use super::{Timeline, Track};
use crate::units::{LegId, SampleRate, test_epoch};

const RATE: SampleRate = SampleRate::HZ_8000;
const LEFT: Track = Track { leg: LegId(1), heard: false };
const RIGHT: Track = Track { leg: LegId(2), heard: false };

/// Returns a timeline of one leg.
fn of_one(start: Instant) -> Timeline {
    let mut timeline = Timeline::new(RATE, start);
    timeline.add(LEFT);
    timeline
}

fn ms(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

fn drained(timeline: &mut Timeline, until: Instant) -> Vec<i16> {
    let mut out = Vec::new();
    timeline.drain(until, &[Some(LEFT)], &mut out);
    out
}

#[test]
fn frames_are_placed_at_their_capture_times() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    timeline.add(RIGHT);
    timeline.place(LEFT, ms(start, 20), &[1; 160]);
    timeline.place(RIGHT, ms(start, 40), &[2; 160]);
    let mut out = Vec::new();
    timeline.drain(ms(start, 80), &[Some(LEFT), Some(RIGHT)], &mut out);
    assert_eq!(out.len(), 80 * 8 * 2);
    let left: Vec<i16> = out.iter().step_by(2).copied().collect();
    let right: Vec<i16> = out.iter().skip(1).step_by(2).copied().collect();
    assert_eq!(left, [vec![0; 160], vec![1; 160], vec![0; 320]].concat());
    assert_eq!(right, [vec![0; 320], vec![2; 160], vec![0; 160]].concat());
}

#[test]
fn frames_within_a_millisecond_follow_each_other_without_a_seam() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    timeline.place(LEFT, start, &[1; 160]);
    timeline.place(LEFT, start + Duration::from_micros(20_700), &[2; 160]);
    assert_eq!(drained(&mut timeline, ms(start, 40)), [vec![1; 160], vec![2; 160]].concat());
}

#[test]
fn a_skewed_channel_is_stretched_without_gaps() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    // 1000 ppm slow for 20 s: 20 ms behind at the end without correction.
    let mut out = Vec::new();
    for frame in 0..1_000u64 {
        timeline.place(LEFT, start + Duration::from_micros(frame * 20_020), &[7; 160]);
        timeline.drain(ms(start, (frame * 20).saturating_sub(500)), &[Some(LEFT)], &mut out);
    }
    timeline.drain(ms(start, 20_015), &[Some(LEFT)], &mut out);
    let gaps = out.iter().filter(|&&sample| sample != 7).count();
    assert!(gaps <= 16, "{gaps} samples are missing");
}

#[test]
fn drained_samples_do_not_change_and_frames_too_far_ahead_are_refused() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    assert_eq!(drained(&mut timeline, ms(start, 30)), vec![0; 240]);
    timeline.place(LEFT, ms(start, 20), &[5; 160]);
    timeline.place(LEFT, ms(start, 3_600_000), &[6; 160]);
    assert_eq!(drained(&mut timeline, ms(start, 50)), [vec![5; 80], vec![0; 80]].concat());
}

#[test]
fn a_frame_that_goes_back_replaces_what_was_concealed() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    timeline.place(LEFT, start, &[1; 160]);
    timeline.place(LEFT, ms(start, 20), &[2; 320]);
    timeline.place(LEFT, ms(start, 20), &[9; 160]);
    timeline.place(LEFT, ms(start, 40), &[9; 160]);
    let out = drained(&mut timeline, ms(start, 60));
    assert_eq!(out.iter().filter(|&&sample| sample == 9).count(), 320 - 32, "{out:?}");
    assert!(out[160..192].is_sorted(), "faded in: {:?}", &out[160..192]);
}

#[test]
fn missing_frames_leave_silence_and_later_frames_are_aligned() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    timeline.place(LEFT, start, &[1; 160]);
    timeline.place(LEFT, ms(start, 40), &[2; 160]);
    assert_eq!(drained(&mut timeline, ms(start, 60)), [vec![1; 160], vec![0; 160], vec![2; 160]].concat());
}

#[test]
fn splices_of_the_jitter_buffer_are_reversed_at_the_same_pitch() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    let tone = |n: i64| ((n as f64 * std::f64::consts::TAU / 80.0).sin() * 10_000.0) as i16;
    let mut media = 0;
    for frame in 0..50 {
        // Every tenth frame begins 10 ms later, which is one period.
        media += if frame % 10 == 9 { 80 } else { 0 };
        let samples: Vec<i16> = (media..media + 160).map(tone).collect();
        timeline.place(LEFT, start + Duration::from_micros(media as u64 * 125), &samples);
        media += 160;
    }
    let out = drained(&mut timeline, start + Duration::from_micros(media as u64 * 125));
    let wrong = out.iter().zip(0..).filter(|&(&sample, n)| sample.abs_diff(tone(n)) > 50).count();
    assert_eq!(wrong, 0);
}

#[test]
fn audio_from_a_pause_is_never_returned_and_later_frames_are_aligned() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    timeline.pause(ms(start, 10));
    // Pausing twice has the effect of one pause.
    timeline.pause(ms(start, 20));
    for frame in 0..5 {
        timeline.place(LEFT, ms(start, frame * 20), &[7; 160]);
    }
    timeline.resume(ms(start, 70));
    timeline.resume(ms(start, 90));
    let mut out = drained(&mut timeline, ms(start, 40));
    out.extend(drained(&mut timeline, ms(start, 100)));
    assert_eq!(out, [vec![7; 80], vec![0; 480], vec![7; 240]].concat());
    // A pause that does not end.
    timeline.pause(ms(start, 110));
    timeline.place(LEFT, ms(start, 100), &[7; 320]);
    assert_eq!(drained(&mut timeline, ms(start, 140)), [vec![7; 80], vec![0; 240]].concat());
    timeline.place(LEFT, ms(start, 140), &[7; 160]);
    timeline.resume(ms(start, 150));
    assert_eq!(drained(&mut timeline, ms(start, 160)), [vec![0; 80], vec![7; 80]].concat());
}

#[test]
fn a_leg_is_heard_only_in_its_own_channel() {
    let start = test_epoch();
    let mut timeline = of_one(start);
    timeline.add(RIGHT);
    timeline.place(LEFT, start, &[1; 160]);
    timeline.place(RIGHT, start, &[2; 320]);
    let mut out = Vec::new();
    timeline.drain(ms(start, 20), &[None, Some(LEFT)], &mut out);
    assert_eq!(out, [0, 1].repeat(160), "the audio of the other leg was not requested");
    out.clear();
    timeline.drain(ms(start, 30), &[Some(RIGHT), None, Some(LEFT)], &mut out);
    assert_eq!(out, [2, 0, 0].repeat(80));
    timeline.retain(|leg| leg == LEFT);
    out.clear();
    timeline.drain(ms(start, 40), &[Some(RIGHT)], &mut out);
    assert_eq!(out, [0; 80]);
}
