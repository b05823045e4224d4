//! In-band DTMF (ITU-T Q.23, Q.24): a tone generator and a detector.
//!
//! ```text
//!   samples --> blocks of 12.75 ms, --> 8 Goertzel powers --> rules: level, twist, lone pair, purity
//!               one every 6.4 ms                                  |
//!              a digit begins: four equal blocks in a row <-------+
//!              it ends: four blocks in a row without it
//! ```
//!
//! A block shows a digit if the tones fill about three quarters of it. A tone of 40 ms therefore shows in at least four
//! blocks wherever it begins, and one of 23 ms in at most three: tones that Q.24 requires to be found are found, and tones
//! that it requires to be refused are refused. An interruption of up to 10 ms affects three blocks and splits no digit.
//! Not here: telephone-events (RFC 4733), which most peers send instead.

use crate::SampleRate;
use crate::tones::{Sine, energy, goertzel_coefficient, goertzel_power};

/// Frequencies in Hz: rows, then columns (Q.23).
const FREQUENCIES: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];
/// Digits by row, then column.
const DIGITS: [[char; 4]; 4] = [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Samples of a block at 8 kHz; at other rates a block has the same duration. 102 places the eight frequencies near whole
/// numbers of periods.
const BLOCK_AT_8000: usize = 102;
/// Number of consecutive blocks that make a digit begin or end.
const BLOCKS_TO_TURN: u32 = 4;
/// Least level of each tone: 25 dB below the usual level of −9 dBm0 a tone (full scale is +3 dBm0).
const LEAST_TONE_DBFS: f64 = -37.0;
/// The row's tone may be louder than the column's by up to 8 dB, as lines attenuate high tones more; the column's may be
/// louder by up to 4 dB (Q.24 annex, AT&T and most administrations).
const ROW_LOUDER: f64 = 6.31;
const COLUMN_LOUDER: f64 = 2.51;
/// Power ratio by which the strongest tone of a group must exceed every other: 8 dB.
const ALONE: f64 = 6.31;
/// Share of the sound's energy that the two tones must have. Tones 1.5 % off still have 0.73 at this block length; voices rarely
/// exceed 0.6 in several consecutive blocks.
const PURITY: f64 = 0.70;

/// Generator of the sound of one digit, with fades of 2 ms at both ends.
#[derive(Clone, Debug)]
pub struct DtmfGenerator {
    row: Sine,
    column: Sine,
    edge: usize,
    length: usize,
    position: usize,
}

impl DtmfGenerator {
    /// Usual level of the row's tone, −13 dBFS; the column's is 2 dB higher.
    pub const LEVEL_DBFS: f32 = -13.0;

    /// Creates `duration_ms` of `digit` (0–9, A–D in either case, `*`, `#`), its row at `level_dbfs`, its column 2 dB above.
    /// Returns `None` for other characters.
    pub fn new(rate: SampleRate, digit: char, duration_ms: u32, level_dbfs: f32) -> Option<DtmfGenerator> {
        let digit = digit.to_ascii_uppercase();
        let (row, column) = (0..16).map(|n| (n / 4, n % 4)).find(|&(row, column)| DIGITS[row][column] == digit)?;
        let duration_ms = duration_ms.min(10_000);
        Some(DtmfGenerator {
            row: Sine::new(rate, FREQUENCIES[row], level_dbfs.min(-9.0)),
            column: Sine::new(rate, FREQUENCIES[4 + column], level_dbfs.min(-9.0) + 2.0),
            edge: rate.samples_in_ms(2),
            length: rate.samples_in_ms(duration_ms),
            position: 0,
        })
    }

    /// Overwrites the front of `out` with the remainder of the digit; returns the number of samples, 0 once it has ended.
    pub fn fill(&mut self, out: &mut [i16]) -> usize {
        let count = out.len().min(self.length - self.position);
        for sample in &mut out[..count] {
            let from_edge = (self.position + 1).min(self.length - self.position).min(self.edge);
            let envelope = from_edge as f64 / self.edge as f64;
            *sample = ((self.row.next_value() + self.column.next_value()) * envelope).round() as i16;
            self.position += 1;
        }
        self.row.keep_length();
        self.column.keep_length();
        count
    }
}

/// Beginning or end of a digit in the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtmfEvent {
    /// A digit has sounded for 32 to 40 ms.
    Began {
        /// Digit: 0–9, A–D, `*`, `#`.
        digit: char,
    },
    /// The digit has stopped.
    Ended {
        /// Digit: 0–9, A–D, `*`, `#`.
        digit: char,
        /// Duration of the sound in milliseconds, to within 13 ms.
        duration_ms: u32,
    },
}

/// Detector of digits in one stream.
#[derive(Clone, Debug)]
pub struct DtmfDetector {
    rate: SampleRate,
    coefficients: [f64; 8],
    least_power: f64,
    block: Box<[i16]>,
    filled: usize,
    /// Result of the last blocks, and the number of consecutive blocks with it.
    run: (Option<char>, u32),
    /// The digit that is sounding, and its length in blocks.
    sounding: Option<(char, u32)>,
    /// Number of consecutive blocks without it.
    missing: u32,
}

impl DtmfDetector {
    /// Creates a detector for a stream at `rate`.
    pub fn new(rate: SampleRate) -> DtmfDetector {
        let length = BLOCK_AT_8000 * rate.hz() as usize / 8000;
        let amplitude = 32_767.0 * 10f64.powf(LEAST_TONE_DBFS / 20.0) * length as f64 / 2.0;
        DtmfDetector {
            rate,
            coefficients: FREQUENCIES.map(|frequency| goertzel_coefficient(rate, frequency)),
            least_power: amplitude * amplitude,
            block: vec![0; length].into_boxed_slice(),
            filled: 0,
            run: (None, 0),
            sounding: None,
            missing: 0,
        }
    }

    /// Processes the next samples, in any number; passes each event to `heard` in order.
    pub fn push(&mut self, samples: &[i16], mut heard: impl FnMut(DtmfEvent)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.block.len() - self.filled));
            self.block[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = later;
            if self.filled == self.block.len() {
                let digit = digit_in(&self.block, &self.coefficients, self.least_power);
                self.on_block(digit, &mut heard);
                let hop = self.hop();
                self.block.copy_within(hop.., 0);
                self.filled -= hop;
            }
        }
    }

    fn on_block(&mut self, digit: Option<char>, heard: &mut impl FnMut(DtmfEvent)) {
        self.run = if self.run.0 == digit { (digit, self.run.1.saturating_add(1)) } else { (digit, 1) };
        if let Some((sounding, blocks)) = self.sounding {
            if digit == Some(sounding) {
                // A few failed blocks inside a digit belong to it.
                self.sounding = Some((sounding, blocks.saturating_add(1 + self.missing)));
                self.missing = 0;
                return;
            }
            self.missing += 1;
            if self.missing < BLOCKS_TO_TURN {
                return;
            }
            heard(DtmfEvent::Ended { digit: sounding, duration_ms: self.duration_ms(blocks) });
            self.sounding = None;
        }
        if let (Some(digit), BLOCKS_TO_TURN..) = self.run {
            heard(DtmfEvent::Began { digit });
            self.sounding = Some((digit, self.run.1));
            self.missing = 0;
        }
    }

    /// Returns the distance between the beginnings of two consecutive blocks.
    fn hop(&self) -> usize {
        self.block.len() / 2
    }

    /// Returns a duration; the blocks that show a digit begin from a quarter of a block before it to three quarters before its end.
    fn duration_ms(&self, blocks: u32) -> u32 {
        let samples = u64::from(blocks) * self.hop() as u64 + self.block.len() as u64 / 2;
        u32::try_from(samples * 1000 / u64::from(self.rate.hz())).unwrap_or(u32::MAX)
    }
}

/// Returns the digit that a block consists of, applying the four rules in the order of their cost.
fn digit_in(block: &[i16], coefficients: &[f64; 8], least_power: f64) -> Option<char> {
    let energy = energy(block) as f64;
    // |X|² of both tones together is at most energy × n/2: silence needs no filter.
    let whole = energy * block.len() as f64 / 2.0;
    if whole < 2.0 * least_power {
        return None;
    }
    let powers = coefficients.map(|coefficient| goertzel_power(block, coefficient));
    let (row, column) = (strongest(&powers[..4])?, strongest(&powers[4..])?);
    let (row_power, column_power) = (powers[row], powers[4 + column]);
    let loud = row_power >= least_power && column_power >= least_power;
    let even = row_power <= column_power * ROW_LOUDER && column_power <= row_power * COLUMN_LOUDER;
    let pure = row_power + column_power >= whole * PURITY;
    (loud && even && pure).then_some(DIGITS[row][column])
}

/// Returns the one of four that exceeds every other by [`ALONE`].
fn strongest(powers: &[f64]) -> Option<usize> {
    let best = (0..powers.len()).max_by(|&a, &b| powers[a].total_cmp(&powers[b]))?;
    let alone = (0..powers.len()).all(|other| other == best || powers[other] * ALONE <= powers[best]);
    alone.then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [SampleRate; 4] =
        [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

    fn events(rate: SampleRate, samples: &[i16]) -> Vec<DtmfEvent> {
        let mut detector = DtmfDetector::new(rate);
        let mut events = Vec::new();
        samples.chunks(rate.samples_in_ms(20)).for_each(|frame| detector.push(frame, |event| events.push(event)));
        events
    }

    fn begun(rate: SampleRate, samples: &[i16]) -> String {
        events(rate, samples)
            .into_iter()
            .filter_map(|event| if let DtmfEvent::Began { digit } = event { Some(digit) } else { None })
            .collect()
    }

    fn digit(rate: SampleRate, digit: char, ms: u32) -> Vec<i16> {
        let mut out = vec![0; rate.samples_in_ms(ms)];
        assert_eq!(DtmfGenerator::new(rate, digit, ms, DtmfGenerator::LEVEL_DBFS).unwrap().fill(&mut out), out.len());
        out
    }

    /// Returns two plain tones with silence around them, the first beginning after `offset` samples.
    fn pair(row: (f32, f32), column: (f32, f32), ms: u32, offset: usize) -> Vec<i16> {
        let rate = SampleRate::HZ_8000;
        let length = rate.samples_in_ms(ms);
        let (mut one, mut other) = (vec![0; length], vec![0; length]);
        Sine::new(rate, row.0, row.1).fill(&mut one);
        Sine::new(rate, column.0, column.1).fill(&mut other);
        let mut out = vec![0; offset];
        out.extend(one.iter().zip(&other).map(|(a, b)| a + b));
        out.extend([0; 400]);
        out
    }

    #[test]
    fn every_digit_is_heard_once_at_every_rate() {
        for rate in RATES {
            let mut samples = Vec::new();
            for name in "0123456789ABCD*#".chars() {
                samples.extend(digit(rate, name, 60));
                samples.extend(vec![0; rate.samples_in_ms(50)]);
            }
            assert_eq!(begun(rate, &samples), "0123456789ABCD*#", "{rate}");
        }
    }

    #[test]
    fn same_digit_twice_is_two_digits() {
        let rate = SampleRate::HZ_8000;
        let mut samples = Vec::new();
        for _ in 0..5 {
            samples.extend(digit(rate, '7', 50));
            samples.extend(vec![0; rate.samples_in_ms(50)]);
        }
        assert_eq!(begun(rate, &samples), "77777");
    }

    #[test]
    fn tone_of_40_ms_is_heard_and_of_23_ms_is_not_wherever_it_begins() {
        for offset in 0..BLOCK_AT_8000 {
            let (row, column) = ((852.0, -13.0), (1336.0, -11.0));
            assert_eq!(begun(SampleRate::HZ_8000, &pair(row, column, 40, offset)), "8", "offset {offset}");
            assert_eq!(begun(SampleRate::HZ_8000, &pair(row, column, 23, offset)), "", "offset {offset}");
        }
    }

    #[test]
    fn interruption_of_10_ms_splits_no_digit() {
        for offset in 0..BLOCK_AT_8000 {
            let mut samples = pair((852.0, -13.0), (1336.0, -11.0), 120, offset);
            samples[offset + 400..offset + 480].fill(0);
            assert_eq!(begun(SampleRate::HZ_8000, &samples), "8", "offset {offset}");
        }
    }

    #[test]
    fn digits_without_a_pause_between_them_are_distinguished() {
        let rate = SampleRate::HZ_8000;
        let mut samples = digit(rate, '1', 80);
        samples.extend(digit(rate, '6', 80));
        assert_eq!(begun(rate, &samples), "16");
    }

    #[test]
    fn a_digit_ends_with_its_duration() {
        for (ms, rate) in [(60, SampleRate::HZ_8000), (200, SampleRate::HZ_16000), (1000, SampleRate::HZ_48000)] {
            let mut samples = vec![0; 333];
            samples.extend(digit(rate, '5', ms));
            samples.extend(vec![0; rate.samples_in_ms(60)]);
            let events = events(rate, &samples);
            let [DtmfEvent::Began { digit: '5' }, DtmfEvent::Ended { digit: '5', duration_ms }] = events[..] else {
                panic!("{events:?}")
            };
            assert!(duration_ms.abs_diff(ms) <= 13, "{duration_ms} of {ms}");
        }
    }

    #[test]
    fn twist_is_accepted_up_to_its_limits() {
        for (row, column, heard) in
            [(-13.0, -13.0, "1"), (-13.0, -20.0, "1"), (-13.0, -22.5, ""), (-16.5, -13.0, "1"), (-18.5, -13.0, "")]
        {
            let samples = pair((697.0, row), (1209.0, column), 80, 50);
            assert_eq!(begun(SampleRate::HZ_8000, &samples), heard, "row {row}, column {column}");
        }
    }

    #[test]
    fn levels_from_minus_4_to_minus_35_are_heard_and_fainter_ones_are_not() {
        for (level, heard) in [(-6.1, "9"), (-20.0, "9"), (-35.0, "9"), (-40.0, ""), (-60.0, "")] {
            let samples = pair((852.0, level), (1477.0, level), 80, 50);
            assert_eq!(begun(SampleRate::HZ_8000, &samples), heard, "{level} dBFS");
        }
    }

    #[test]
    fn tones_off_by_one_and_a_half_percent_are_heard() {
        for (row_index, row) in FREQUENCIES[..4].iter().enumerate() {
            for (column_index, column) in FREQUENCIES[4..].iter().enumerate() {
                for (row_factor, column_factor) in [(1.015, 1.015), (0.985, 0.985), (1.015, 0.985), (0.985, 1.015)] {
                    let samples = pair((row * row_factor, -13.0), (column * column_factor, -13.0), 80, 50);
                    let expected = DIGITS[row_index][column_index].to_string();
                    assert_eq!(begun(SampleRate::HZ_8000, &samples), expected, "{row_factor} {column_factor}");
                }
            }
        }
    }

    #[test]
    fn single_tones_noise_and_three_tones_are_no_digit() {
        let rate = SampleRate::HZ_8000;
        for frequency in FREQUENCIES.into_iter().chain([400.0, 440.0, 1000.0, 2000.0]) {
            let mut samples = [0; 8000];
            Sine::new(rate, frequency, -10.0).fill(&mut samples);
            assert_eq!(begun(rate, &samples), "", "{frequency} Hz");
        }
        let mut seed = 1u32;
        let noise: Vec<i16> = (0..80_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 16) as i16 / 4
            })
            .collect();
        assert_eq!(begun(rate, &noise), "");
        let (mut three, mut third) = (pair((697.0, -13.0), (1209.0, -13.0), 200, 0), vec![0; 2000]);
        Sine::new(rate, 941.0, -13.0).fill(&mut third);
        three.iter_mut().zip(third).for_each(|(sample, more)| *sample += more);
        assert_eq!(begun(rate, &three), "");
    }

    #[test]
    fn digit_survives_noise_20_db_below_it() {
        let rate = SampleRate::HZ_8000;
        let mut samples = digit(rate, '#', 100);
        let mut seed = 7u32;
        for sample in &mut samples {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample += (seed >> 16) as i16 / 20;
        }
        assert_eq!(begun(rate, &samples), "#");
    }

    #[test]
    fn generator_stops_at_its_length_and_refuses_other_characters() {
        let rate = SampleRate::HZ_16000;
        let mut generator = DtmfGenerator::new(rate, 'd', 50, -13.0).unwrap();
        let mut out = [0; 320];
        let mut counts = Vec::new();
        loop {
            let count = generator.fill(&mut out);
            counts.push(count);
            if count == 0 {
                break;
            }
        }
        assert_eq!(counts, [320, 320, 160, 0]);
        assert!(DtmfGenerator::new(rate, 'E', 50, -13.0).is_none());
        assert!(DtmfGenerator::new(rate, ' ', 50, -13.0).is_none());
    }
}
