//! From frames to segments: stretches of sound that consist of a few lines, with their edges and how steady they are.
//!
//! ```text
//!   samples --> ring of 512 ms --> every 10 ms a window --> lines that go on? --> track --ends--> Segment
//!                  |                                          challenger                            ^
//!                  +-- envelope of the line around the edges, one value a millisecond --------------+
//! ```
//!
//! A **track** follows up to three lines from window to window. It ends when its lines are missing for more than 50 ms, so that a
//! lost packet does not part a tone, or as soon as other lines have taken their place for 30 ms (the challenger).
//!
//! Every stretch with a dominant line becomes a segment, vowels of voices among them; whether it is a tone is judged by
//! [`super::tone`] from the figures that the segment carries.

use super::spectrum::{Frame, LINES, Line, RATE_HZ, Spectrum, WINDOW, ZOOM_LONGEST, dbfs};
use super::tone::{is_beating, judge};

/// Samples between two windows: 10 ms.
pub(super) const HOP: usize = 80;
/// Samples that are kept: 512 ms, which covers the search for an edge and the longest zoom.
const RING: usize = 4_096;
/// Number of windows whose figures a track keeps: the longest beep with room for its edges.
const POINTS: usize = 176;
/// Shares of the power that one, two or three lines must have for a track to begin.
const BEGIN: [f32; LINES] = [0.70, 0.80, 0.88];
/// Share of the power that the followed lines must have for a track to go on.
const GO_ON: f32 = 0.55;
/// Level below which nothing is a tone.
const FAINTEST_DBFS: f32 = -56.0;
/// Level relative to that of the track below which a window does not continue it.
const FADED: f32 = 0.05;
/// Number of windows without the lines after which a track has ended.
const MISSING: u32 = 5;
/// Number of windows in which other lines must show to end a track at once.
const CHALLENGE: u32 = 3;
/// Number of good windows from which a track counts: less is a click.
const LEAST_GOOD: u32 = 4;
/// Number of good windows from which a track is announced before its end.
const ANNOUNCED: u32 = 9;
/// Number of windows by which a steady part is shorter than the track, at least on one side.
const TRIM: usize = 3;
/// Distance in Hz at which two followed lines are one.
const TOGETHER_HZ: f32 = 65.0;
/// Number of windows at one frequency that make a steady part.
const STEADY: usize = 8;
/// Distance in Hz by which a followed line may move from one window to the next.
const STRIDE_HZ: f32 = 60.0;

/// Figures of one window of a track.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    /// Frequencies of the followed lines.
    hz: [f32; LINES],
    /// Power of all followed lines.
    power: f32,
    /// Share of the followed lines in the sound.
    share: f32,
    /// Strongest line that is not followed.
    other: Line,
    good: bool,
}

/// Lines that are being followed.
#[derive(Clone, Debug)]
struct Track {
    lines: [Line; LINES],
    count: usize,
    /// Number of the first window.
    first: u64,
    /// Number of the last window that continued the track.
    last_good: u64,
    good: u32,
    missing: u32,
    /// Mean power of the followed lines, the highest one, and the mean of each line.
    power: f32,
    peak: f32,
    means: [f32; LINES],
    points: [Point; POINTS],
    /// Start as found when the track was announced; the ring may have forgotten it by the time the track ends.
    start: Option<u64>,
}

/// Part of a track: numbers of its first window and of the one after its last.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: usize,
    last: usize,
}

/// A stretch of sound with dominant lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Segment {
    /// First sample, and the one after the last.
    pub(super) start: u64,
    pub(super) end: u64,
    /// Lines in falling order of power; those that do not exist have no power.
    pub(super) lines: [Line; LINES],
    /// Frequency of the strongest line at its beginning and at its end.
    pub(super) first_hz: f32,
    pub(super) last_hz: f32,
    /// Median distance of the strongest line from a straight course, relative to its frequency; and the distance that nine of ten
    /// windows keep.
    pub(super) wobble: f32,
    pub(super) wobble_most: f32,
    /// Median distance of the level from a straight course, and slope of that course in dB per second.
    pub(super) ripple_db: f32,
    pub(super) decay_db: f32,
    /// Median share of the lines in the sound, a steady line that was not followed included.
    pub(super) share: f32,
    /// Share of the neighbourhood of the strongest line that narrow lines have, by the zoom.
    pub(super) narrow: f32,
    /// Median power of the lines.
    pub(super) power: f32,
    /// Whether the sound started before the segment could be followed.
    pub(super) cut: bool,
    /// Whether this is only the steady part of a longer tone that was followed.
    pub(super) part: bool,
}

impl Segment {
    pub(super) fn ms(&self) -> f32 {
        (self.end - self.start) as f32 * 1_000.0 / RATE_HZ
    }

    /// Returns the distance that the strongest line covers, relative to its frequency.
    pub(super) fn drift(&self) -> f32 {
        (self.last_hz - self.first_hz).abs() / self.first_hz.abs().max(1.0)
    }
}

/// What a window brought.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// A track has gone on long enough to be announced. The figures are those so far.
    Began(Segment),
    /// A track goes on; told every 100 ms.
    GoesOn(Segment),
    Ended(Segment),
}

/// Finder of segments in sound of 8 kHz.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    spectrum: Spectrum,
    ring: [i16; RING],
    /// Number of samples heard.
    heard: u64,
    /// Number of windows analysed.
    windows: u64,
    track: Option<Track>,
    challenger: Option<Track>,
    frame: Frame,
}

impl Segments {
    pub(super) fn new() -> Segments {
        Segments {
            spectrum: Spectrum::new(),
            ring: [0; RING],
            heard: 0,
            windows: 0,
            track: None,
            challenger: None,
            frame: Frame::default(),
        }
    }

    /// Returns the number of samples heard.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// Returns the estimates from the last window.
    pub(super) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Returns one of the last 4096 samples by its number.
    pub(super) fn sample(&self, index: i64) -> f32 {
        at(&self.ring, index)
    }

    /// Returns the power of the last window near a frequency.
    pub(super) fn power_near(&self, hz: f32) -> f32 {
        self.spectrum.near(hz).power
    }

    /// Returns whether a track is being followed that has been announced.
    pub(super) fn is_following(&self) -> bool {
        self.track.as_ref().is_some_and(|track| track.good >= ANNOUNCED)
    }

    /// Returns whether a line has been followed for `windows` windows or more, the last one included.
    pub(super) fn sounds(&self, windows: u32) -> bool {
        self.track.as_ref().is_some_and(|track| track.good >= windows && track.missing == 0)
    }

    /// Adds one sample; every [`HOP`] samples a window is analysed, which may end one segment and begin another.
    pub(super) fn push(&mut self, sample: i16, mut found: impl FnMut(Found)) -> bool {
        self.ring[(self.heard % RING as u64) as usize] = sample;
        self.heard += 1;
        if !self.heard.is_multiple_of(HOP as u64) {
            return false;
        }
        let begin = self.heard as i64 - WINDOW as i64;
        let window = std::array::from_fn(|n| at(&self.ring, begin + n as i64));
        self.frame = self.spectrum.analyse(&window);
        self.on_window(&mut found);
        self.windows += 1;
        true
    }

    fn on_window(&mut self, found: &mut impl FnMut(Found)) {
        let Some(track) = &mut self.track else {
            self.track = Track::begin(&self.frame, self.windows);
            return;
        };
        if track.go_on(&self.frame, &self.spectrum, self.windows) {
            self.challenger = None;
            if track.good == ANNOUNCED {
                track.start = track.start_of(track.whole(), &self.ring, self.heard);
                if let Some(segment) = self.segment_so_far() {
                    found(Found::Began(segment));
                }
            } else if track.good > ANNOUNCED
                && (self.windows - track.first).is_multiple_of(10)
                && let Some(segment) = self.segment_so_far()
            {
                found(Found::GoesOn(segment));
            }
            return;
        }
        let (frame, spectrum, window) = (&self.frame, &self.spectrum, self.windows);
        if !self.challenger.as_mut().is_some_and(|challenger| challenger.go_on(frame, spectrum, window)) {
            self.challenger = Track::begin(frame, window);
        }
        let is_replaced = self.challenger.as_ref().is_some_and(|challenger| challenger.good >= CHALLENGE);
        let short = track.good < LEAST_GOOD;
        if track.missing > MISSING || is_replaced || short && self.challenger.is_some() || short && track.missing > 1 {
            if !short && let Some(segment) = self.segment_so_far() {
                let part = if is_beating(&segment) { None } else { self.steady_part() };
                let steady = part.filter(|part| judge(part).is_some());
                found(Found::Ended(steady.unwrap_or(segment)));
            }
            self.track = self.challenger.take();
        }
    }

    /// Returns the figures of the track that is being followed.
    fn segment_so_far(&mut self) -> Option<Segment> {
        let track = self.track.as_ref()?;
        track.measure(track.whole(), &self.ring, self.heard, &mut self.spectrum)
    }

    /// Returns the figures of the steady part of the track that is being followed.
    fn steady_part(&mut self) -> Option<Segment> {
        let track = self.track.as_ref()?;
        let (span, whole) = (track.steady_span()?, track.whole());
        if span.first < whole.first + TRIM && span.last + TRIM > whole.last {
            return None;
        }
        track.measure(span, &self.ring, self.heard, &mut self.spectrum)
    }
}

/// Returns the sample with the number `index`; those not heard yet and those forgotten are silent.
fn at(ring: &[i16; RING], index: i64) -> f32 {
    if index < 0 { 0.0 } else { f32::from(ring[index as usize % RING]) }
}

/// Returns the number of the sample in the middle of a window.
fn middle_of(window: u64) -> i64 {
    (window as i64 + 1) * HOP as i64 - WINDOW as i64 / 2
}

impl Track {
    /// Begins a track when a few lines have nearly all of the power.
    fn begin(frame: &Frame, window: u64) -> Option<Track> {
        if dbfs(frame.power) < FAINTEST_DBFS {
            return None;
        }
        let count = (1..=LINES).find(|&count| frame.share(count) >= BEGIN[count - 1])?;
        let mut track = Track {
            lines: frame.lines,
            count,
            first: window,
            last_good: window,
            good: 1,
            missing: 0,
            power: frame.lines[..count].iter().map(|line| line.power).sum(),
            peak: 0.0,
            means: frame.lines.map(|line| line.power),
            points: [Point::default(); POINTS],
            start: None,
        };
        track.points[0] = track.point(frame, track.power, frame.share(count), true);
        Some(track)
    }

    /// Continues with the next window; returns whether the lines are in it.
    fn go_on(&mut self, frame: &Frame, spectrum: &Spectrum, window: u64) -> bool {
        let mut lines = self.lines;
        let mut power = 0.0;
        let strongest = self.means[..self.count].iter().copied().fold(0.0, f32::max);
        for line in &mut lines[..self.count] {
            let near = spectrum.near(line.hz);
            // A line that is no longer there stays, else it would wander to another one.
            let step = if near.power < 0.05 * strongest { 0.0 } else { near.hz - line.hz };
            *line = Line { hz: line.hz + 0.6 * step.clamp(-STRIDE_HZ, STRIDE_HZ), power: near.power };
            power += near.power;
        }
        let share = (power / frame.power.max(1e-9)).min(1.0);
        let is_good = share >= GO_ON && power > self.power * FADED && dbfs(power) >= FAINTEST_DBFS - 3.0;
        if is_good {
            self.lines = lines;
            self.good += 1;
            for (mean, line) in self.means.iter_mut().zip(lines) {
                *mean += (line.power - *mean) / self.good.min(20) as f32;
            }
            self.drop_lines();
            self.missing = 0;
            self.last_good = window;
            self.peak = self.peak.max(power);
            self.power += (power - self.power) / self.good.min(20) as f32;
        } else {
            self.missing += 1;
        }
        let index = (window - self.first) as usize;
        if index < POINTS {
            self.points[index] = self.point(frame, power, share, is_good);
        }
        is_good
    }

    /// Forgets lines that have vanished or have run into a stronger one.
    fn drop_lines(&mut self) {
        let strongest = self.strongest();
        let mut kept = 0;
        for n in 0..self.count {
            let (line, main) = (self.lines[n], self.lines[strongest]);
            let is_gone = self.good > 5 && self.means[n] < 0.01 * self.means[strongest];
            if n == strongest || !is_gone && (line.hz - main.hz).abs() > TOGETHER_HZ {
                self.lines.swap(kept, n);
                self.means.swap(kept, n);
                if kept != n {
                    self.points.iter_mut().for_each(|point| point.hz.swap(kept, n));
                }
                kept += 1;
            }
        }
        self.count = kept;
    }

    fn point(&self, frame: &Frame, power: f32, share: f32, good: bool) -> Point {
        let followed = &self.lines[..self.count];
        // The estimate of this window is finer than the followed frequency, which lags behind.
        let near = |hz: f32| frame.lines.iter().find(|line| (line.hz - hz).abs() < STRIDE_HZ && line.power > 0.0);
        let hz = self.lines.map(|line| near(line.hz).map_or(line.hz, |line| line.hz));
        let is_other = |line: &&Line| followed.iter().all(|followed| (followed.hz - line.hz).abs() > 90.0);
        let other = frame.lines.iter().find(is_other).copied().unwrap_or_default();
        Point { hz, power, share, other, good }
    }

    /// Returns the number of the followed line that is strongest on the whole.
    fn strongest(&self) -> usize {
        (0..self.count).max_by(|&a, &b| self.means[a].total_cmp(&self.means[b])).unwrap_or(0)
    }

    fn whole(&self) -> Span {
        Span { first: 0, last: self.recorded().len() }
    }

    fn recorded(&self) -> &[Point] {
        let length = (self.last_good - self.first + 1) as usize;
        &self.points[..length.min(POINTS)]
    }

    /// Returns the figures of a part of the track.
    fn measure(&self, span: Span, ring: &[i16; RING], heard: u64, spectrum: &mut Spectrum) -> Option<Segment> {
        let points = self.recorded();
        let main = self.strongest();
        let start = match self.start.filter(|_| span.first == 0) {
            Some(start) => start,
            None => self.start_of(span, ring, heard)?,
        };
        let end = self.end_of(span, ring, heard)?.max(start + 8);
        // Windows that lie within the segment; of a short one, those whose middle does.
        let inside = |margin: i64| {
            let inside = move |n: usize| {
                let middle = middle_of(self.first + n as u64);
                middle - margin >= start as i64 && middle + margin <= end as i64
            };
            (span.first..span.last.min(points.len())).filter(move |&n| inside(n) && points[n].good)
        };
        let half = WINDOW as i64 / 2;
        let margin = [half, half * 2 / 3, half / 3, 0].into_iter().find(|&margin| inside(margin).count() >= 4)?;
        let hz = Course::of(inside(margin).map(|n| (n as f32, points[n].hz[main])));
        let level = Course::of(inside(margin).map(|n| (n as f32, dbfs(points[n].power))));
        let shares = Sorted::of(inside(margin).map(|n| points[n].share));
        let powers = Sorted::of(inside(margin).map(|n| points[n].power));
        let step_s = HOP as f32 / RATE_HZ;
        let mut segment = Segment {
            start,
            end,
            first_hz: hz.at(span.first as f32),
            last_hz: hz.at(span.last as f32 - 1.0),
            wobble: hz.residual(0.5) / hz.middle.max(1.0),
            wobble_most: hz.residual(0.9) / hz.middle.max(1.0),
            ripple_db: level.residual(0.5),
            decay_db: -level.slope / step_s,
            share: shares.quantile(0.5),
            power: powers.quantile(0.5),
            cut: start <= 40,
            part: span.first > 0 || span.last < points.len(),
            ..Segment::default()
        };
        self.refine_lines(&mut segment, hz.middle, ring, spectrum, inside(margin).map(|n| points[n].other));
        Some(segment)
    }

    /// Returns the windows in which the strongest line stays where it is for longest: a tone that a voice at the same pitch
    /// preceded or followed.
    fn steady_span(&self) -> Option<Span> {
        let points = self.recorded();
        let main = self.strongest();
        let near = |n: usize, hz: f32, within: f32| points[n].good && (points[n].hz[main] - hz).abs() < within * hz;
        let count = |hz: f32| (0..points.len()).filter(|&n| near(n, hz, 0.004)).count();
        let middle = (0..points.len()).max_by_key(|&n| count(points[n].hz[main]))?;
        let hz = points[middle].hz[main];
        if count(hz) < STEADY {
            return None;
        }
        let power =
            Sorted::of((0..points.len()).filter(|&n| near(n, hz, 0.004)).map(|n| points[n].power)).quantile(0.5);
        let fits = |n: usize| near(n, hz, 0.01) && points[n].power < 4.0 * power && points[n].power > 0.05 * power;
        let mut span = Span { first: middle, last: middle + 1 };
        let mut missing = 0;
        for n in (0..middle).rev() {
            missing = if fits(n) { 0 } else { missing + 1 };
            if missing > MISSING {
                break;
            }
            span.first = if missing == 0 { n } else { span.first };
        }
        missing = 0;
        for n in middle + 1..points.len() {
            missing = if fits(n) { 0 } else { missing + 1 };
            if missing > MISSING {
                break;
            }
            span.last = if missing == 0 { n + 1 } else { span.last };
        }
        Some(span)
    }

    /// Finds the exact lines of a segment that does not move.
    fn refine_lines(
        &self,
        segment: &mut Segment,
        main_hz: f32,
        ring: &[i16; RING],
        spectrum: &mut Spectrum,
        others: impl Iterator<Item = Line> + Clone,
    ) {
        let mut lines = [Line::default(); LINES];
        let strongest = self.strongest();
        for (n, line) in lines[..self.count].iter_mut().enumerate() {
            let hz = if n == strongest { main_hz } else { self.lines[n].hz };
            *line = Line { hz, power: self.means[n] };
        }
        if self.count < LINES {
            // A weak second line is a line if it stays where it is.
            let hz = Sorted::of(others.clone().map(|line| line.hz));
            let powers = Sorted::of(others.map(|line| line.power));
            let spread = hz.quantile(0.75) - hz.quantile(0.25);
            if powers.quantile(0.25) > 0.02 * segment.power && spread < 6.0 {
                lines[self.count] = Line { hz: hz.quantile(0.5), power: powers.quantile(0.5) };
                segment.share = (segment.share * (1.0 + lines[self.count].power / segment.power.max(1e-9))).min(1.0);
            }
        }
        lines.sort_unstable_by(|a, b| b.power.total_cmp(&a.power));
        // Away from the edges, and what the ring still has.
        let margin = 64.min((segment.end - segment.start) / 8);
        let end = segment.end - margin;
        let length = (end - (segment.start + margin)).min(ZOOM_LONGEST as u64);
        let begin = end - length;
        let mut narrow = 0.0;
        let mut whole = 0.0;
        let mut found = [Line::default(); LINES * LINES];
        for (n, line) in lines.iter().filter(|line| line.power > 0.0).enumerate() {
            let (parts, around) = spectrum.zoom(line.hz, length as usize, |n| at(ring, (begin + n as u64) as i64));
            let strong = parts.map(|part| if part.power > 0.05 * parts[0].power { part } else { Line::default() });
            narrow += strong.iter().map(|part| part.power).sum::<f32>();
            whole += around;
            found[n * LINES..(n + 1) * LINES].copy_from_slice(&strong);
        }
        segment.narrow = (narrow / whole.max(1e-9)).min(1.0);
        found.sort_unstable_by(|a, b| b.power.total_cmp(&a.power));
        let mut kept = 0;
        for line in found.iter().filter(|line| line.power > 0.02 * found[0].power) {
            // A lost packet modulates a tone: weak lines beside it are no lines.
            let least = if line.power < 0.1 * found[0].power { TOGETHER_HZ } else { 6.0 };
            let is_new = segment.lines[..kept].iter().all(|other| (other.hz - line.hz).abs() > least);
            if is_new && kept < LINES {
                segment.lines[kept] = *line;
                kept += 1;
            }
        }
    }
}

/// Values of a track in order of size.
struct Sorted {
    values: [f32; POINTS],
    length: usize,
}

impl Sorted {
    fn of(values: impl Iterator<Item = f32>) -> Sorted {
        let mut sorted = Sorted { values: [0.0; POINTS], length: 0 };
        for (place, value) in sorted.values.iter_mut().zip(values) {
            *place = value;
            sorted.length += 1;
        }
        sorted.values[..sorted.length].sort_unstable_by(f32::total_cmp);
        sorted
    }

    /// Returns the value that the share `part` of all values does not exceed; 0 without values.
    fn quantile(&self, part: f32) -> f32 {
        let values = &self.values[..self.length];
        let index = (part * self.length.saturating_sub(1) as f32).round() as usize;
        values.get(index).copied().unwrap_or(0.0)
    }
}

/// Straight course of values over time that single outliers do not bend: it leads through the medians of both halves.
struct Course {
    values: [(f32, f32); POINTS],
    length: usize,
    middle: f32,
    middle_time: f32,
    slope: f32,
}

impl Course {
    fn of(values: impl Iterator<Item = (f32, f32)>) -> Course {
        let mut course = Course { values: [(0.0, 0.0); POINTS], length: 0, middle: 0.0, middle_time: 0.0, slope: 0.0 };
        for (place, value) in course.values.iter_mut().zip(values) {
            *place = value;
            course.length += 1;
        }
        let values = &course.values[..course.length];
        let (one, other) = values.split_at(course.length / 2);
        let median = |values: &[(f32, f32)]| {
            let value = Sorted::of(values.iter().map(|value| value.1)).quantile(0.5);
            let time = Sorted::of(values.iter().map(|value| value.0)).quantile(0.5);
            (time, value)
        };
        let (early, late) = (median(one), median(other));
        if late.0 > early.0 && !one.is_empty() {
            course.slope = (late.1 - early.1) / (late.0 - early.0);
        }
        let (time, value) = median(values);
        (course.middle_time, course.middle) = (time, value);
        course
    }

    fn at(&self, time: f32) -> f32 {
        self.middle + self.slope * (time - self.middle_time)
    }

    /// Returns the distance from the course that the share `part` of the values keeps.
    fn residual(&self, part: f32) -> f32 {
        let values = &self.values[..self.length];
        let offsets = Sorted::of(values.iter().map(|&(time, value)| value - self.at(time)));
        let middle = offsets.quantile(0.5);
        Sorted::of(values.iter().map(|&(time, value)| (value - self.at(time) - middle).abs())).quantile(part)
    }
}

/// Samples of the window that looks for edges: 8 ms.
const EDGE_WINDOW: i64 = 64;
/// Samples between two of its positions: 1 ms.
const EDGE_STEP: i64 = 8;
/// Number of steps without the tone that are still inside it: the zero of a beat is shorter.
const EDGE_GAP: u32 = 12;
/// Returns power of the line and of everything else in a window of 8 ms around a sample.
fn envelope(ring: &[i16; RING], hz: f32, middle: i64) -> (f32, f32) {
    let (sin, cos) = (std::f32::consts::TAU * hz / RATE_HZ).sin_cos();
    let (hann_sin, hann_cos) = (std::f32::consts::TAU / EDGE_WINDOW as f32).sin_cos();
    let (mut re, mut im) = (1.0f32, 0.0f32);
    let (mut hann_re, mut hann_im) = (1.0f32, 0.0f32);
    let (mut sum_re, mut sum_im, mut energy) = (0.0, 0.0, 0.0);
    for n in 0..EDGE_WINDOW {
        let weight = 0.5 - 0.5 * hann_re;
        let value = at(ring, middle - EDGE_WINDOW / 2 + n);
        sum_re += value * weight * re;
        sum_im += value * weight * im;
        energy += value * value * weight;
        (re, im) = (re * cos - im * sin, re * sin + im * cos);
        (hann_re, hann_im) = (hann_re * hann_cos - hann_im * hann_sin, hann_re * hann_sin + hann_im * hann_cos);
    }
    // A sine of amplitude a gives |sum| = a·Σw/2, and Σw is half the window.
    let weights = EDGE_WINDOW as f32 / 2.0;
    let line = 2.0 * (sum_re * sum_re + sum_im * sum_im) / (weights * weights);
    let rest = (energy / weights - line).max(0.0);
    (line, rest)
}

/// Search for the edge of a tone.
struct EdgeSearch<'a> {
    ring: &'a [i16; RING],
    hz: f32,
    /// Power of the line, and of the rest, where the tone certainly sounds.
    line: f32,
    rest: f32,
    /// Power of the line where it is loudest.
    peak: f32,
    oldest: i64,
    newest: i64,
}

impl EdgeSearch<'_> {
    /// Walks from `from` in steps of `step` samples, and returns the outermost place at which the tone still sounds.
    fn walk(&self, from: i64, step: i64, furthest: i64) -> i64 {
        let noise = self.noise_beyond(furthest, step);
        let least = (0.01 * self.peak).max((5.0 * noise).min(0.25 * self.line));
        let most_rest = (3.0 * self.rest).max(0.4 * self.line);
        let (mut place, mut edge, mut missing) = (from, from, 0);
        while missing <= EDGE_GAP && (place - furthest) * step.signum() < 0 {
            place += step;
            let (line, rest) = envelope(self.ring, self.hz, place);
            // A loud sound of its own around the tone is not the tone, even when it contains the frequency.
            if line >= least && line <= 4.0 * self.line && rest <= most_rest {
                (edge, missing) = (place, 0);
            } else {
                missing += 1;
            }
        }
        edge
    }

    /// Returns the power of the line's neighbourhood at the far end of the search.
    fn noise_beyond(&self, furthest: i64, step: i64) -> f32 {
        let mut powers = [0.0; 8];
        for (n, power) in powers.iter_mut().enumerate() {
            *power = envelope(self.ring, self.hz, furthest - step.signum() * n as i64 * 24).0;
        }
        powers.sort_unstable_by(f32::total_cmp);
        powers[4]
    }
}

impl Track {
    /// Prepares the search for an edge: what the tone is like at `window`, around the sample `around`.
    fn search<'a>(&self, ring: &'a [i16; RING], heard: u64, hz: f32, around: i64) -> EdgeSearch<'a> {
        let (oldest, newest) = ((heard as i64 - RING as i64).max(0), heard as i64 - EDGE_WINDOW / 2);
        let (mut lines, mut rests) = ([0.0; 9], [0.0; 9]);
        for n in 0..9 {
            let place = (around + (n as i64 - 4) * 20).clamp(oldest, newest);
            (lines[n], rests[n]) = envelope(ring, hz, place);
        }
        lines.sort_unstable_by(f32::total_cmp);
        rests.sort_unstable_by(f32::total_cmp);
        EdgeSearch { ring, hz, line: lines[6], rest: rests[6], peak: lines[6], oldest, newest }
    }

    /// Finds the first sample of a part; without the sound, which the ring may have forgotten, to within a window.
    fn start_of(&self, span: Span, ring: &[i16; RING], heard: u64) -> Option<u64> {
        let points = self.recorded();
        // The third window lies within the tone.
        let n = (span.first + 2).min(span.last.checked_sub(1)?);
        let anchor = middle_of(self.first + n as u64);
        let search = self.search(ring, heard, points.get(n)?.hz[self.strongest()], anchor + 40);
        if anchor - 2 * EDGE_WINDOW < search.oldest && search.oldest > 0 {
            return u64::try_from(anchor - 2 * HOP as i64).ok();
        }
        let furthest = (anchor - 3 * WINDOW as i64 / 2).max(search.oldest);
        Some(search.walk(anchor, -EDGE_STEP, furthest).max(0) as u64)
    }

    /// Finds the sample after the last one of a part.
    fn end_of(&self, span: Span, ring: &[i16; RING], heard: u64) -> Option<u64> {
        let points = self.recorded();
        let is_last = span.last == points.len();
        // A long track goes on after its last figures.
        let (n, window) = (span.last.checked_sub(1)?, self.first + span.last as u64 - 1);
        let window = if is_last { self.last_good } else { window };
        let anchor = middle_of(window) - 2 * HOP as i64;
        let main = self.strongest();
        let mut search = self.search(ring, heard, points.get(n.saturating_sub(2))?.hz[main], anchor - 40);
        // The loudest window counts only when the level moved; near it, the local measure is the better one.
        if span.first == 0 && is_last {
            let here = points[n.saturating_sub(2)..=n].iter().map(|point| point.power).fold(0.0, f32::max);
            search.peak *= (self.peak / here.max(1e-9)).max(1.0);
        }
        if anchor - 2 * EDGE_WINDOW < search.oldest && search.oldest > 0 {
            return u64::try_from(anchor + 2 * HOP as i64).ok();
        }
        let furthest = (anchor + 3 * WINDOW as i64 / 2).min(search.newest);
        Some(search.walk(anchor, EDGE_STEP, furthest).max(0) as u64)
    }
}
