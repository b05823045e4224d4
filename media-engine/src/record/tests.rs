use std::time::{Duration, Instant};

use super::Timeline;
use crate::units::{SampleRate, test_epoch};

const RATE: SampleRate = SampleRate::HZ_8000;

fn ms(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

fn drained(timeline: &mut Timeline, until: Instant) -> Vec<i16> {
    let mut out = Vec::new();
    timeline.drain(until, &mut out);
    out
}

#[test]
fn channels_stand_where_they_were_captured() {
    let start = test_epoch();
    let mut timeline = Timeline::new(RATE, start, 2);
    timeline.place(0, ms(start, 20), &[1; 160]);
    timeline.place(1, ms(start, 40), &[2; 160]);
    let out = drained(&mut timeline, ms(start, 80));
    assert_eq!(out.len(), 80 * 8 * 2);
    let left: Vec<i16> = out.iter().step_by(2).copied().collect();
    let right: Vec<i16> = out.iter().skip(1).step_by(2).copied().collect();
    assert_eq!(left, [vec![0; 160], vec![1; 160], vec![0; 320]].concat());
    assert_eq!(right, [vec![0; 320], vec![2; 160], vec![0; 160]].concat());
}

#[test]
fn frames_within_a_millisecond_follow_each_other_without_a_seam() {
    let start = test_epoch();
    let mut timeline = Timeline::new(RATE, start, 1);
    timeline.place(0, start, &[1; 160]);
    timeline.place(0, start + Duration::from_micros(20_700), &[2; 160]);
    assert_eq!(drained(&mut timeline, ms(start, 40)), [vec![1; 160], vec![2; 160]].concat());
}

#[test]
fn a_skewed_channel_is_stretched_never_torn() {
    let start = test_epoch();
    let mut timeline = Timeline::new(RATE, start, 1);
    // 1000 ppm slow for 20 s: 20 ms behind at the end if nothing were done.
    let mut out = Vec::new();
    for frame in 0..1_000u64 {
        timeline.place(0, start + Duration::from_micros(frame * 20_020), &[7; 160]);
        timeline.drain(ms(start, (frame * 20).saturating_sub(500)), &mut out);
    }
    timeline.drain(ms(start, 20_015), &mut out);
    let gaps = out.iter().filter(|&&sample| sample != 7).count();
    assert!(gaps <= 16, "{gaps} samples are missing");
}

#[test]
fn what_was_drained_is_not_changed_and_what_is_too_far_ahead_is_refused() {
    let start = test_epoch();
    let mut timeline = Timeline::new(RATE, start, 1);
    assert_eq!(drained(&mut timeline, ms(start, 30)), vec![0; 240]);
    timeline.place(0, ms(start, 20), &[5; 160]);
    timeline.place(0, ms(start, 3_600_000), &[6; 160]);
    assert_eq!(drained(&mut timeline, ms(start, 50)), [vec![5; 80], vec![0; 80]].concat());
}

#[test]
fn a_frame_that_goes_back_replaces_what_was_concealed() {
    let start = test_epoch();
    let mut timeline = Timeline::new(RATE, start, 1);
    timeline.place(0, start, &[1; 160]);
    timeline.place(0, ms(start, 20), &[2; 320]);
    timeline.place(0, ms(start, 20), &[9; 160]);
    timeline.place(0, ms(start, 40), &[9; 160]);
    let out = drained(&mut timeline, ms(start, 60));
    assert_eq!(out.iter().filter(|&&sample| sample == 9).count(), 320 - 32, "{out:?}");
    assert!(out[160..192].is_sorted(), "faded in: {:?}", &out[160..192]);
}

#[test]
fn missing_frames_leave_silence_and_what_follows_lies_right() {
    let start = test_epoch();
    let mut timeline = Timeline::new(RATE, start, 1);
    timeline.place(0, start, &[1; 160]);
    timeline.place(0, ms(start, 40), &[2; 160]);
    assert_eq!(drained(&mut timeline, ms(start, 60)), [vec![1; 160], vec![0; 160], vec![2; 160]].concat());
}

#[test]
fn what_the_jitter_buffer_spliced_is_put_back_at_the_same_pitch() {
    let start = test_epoch();
    let mut timeline = Timeline::new(RATE, start, 1);
    let tone = |n: i64| ((n as f64 * std::f64::consts::TAU / 80.0).sin() * 10_000.0) as i16;
    let mut media = 0;
    for frame in 0..50 {
        // Every tenth frame begins 10 ms, which is a period, later.
        media += if frame % 10 == 9 { 80 } else { 0 };
        let samples: Vec<i16> = (media..media + 160).map(tone).collect();
        timeline.place(0, start + Duration::from_micros(media as u64 * 125), &samples);
        media += 160;
    }
    let out = drained(&mut timeline, start + Duration::from_micros(media as u64 * 125));
    let wrong = out.iter().zip(0..).filter(|&(&sample, n)| sample.abs_diff(tone(n)) > 50).count();
    assert_eq!(wrong, 0);
}
