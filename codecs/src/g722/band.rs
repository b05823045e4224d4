//! ADPCM of one band (G.722 §3.2 to §3.6, §4.1 to §4.3, §6.2): quantises the prediction error, and adapts step and
//! prediction using only values that the other end knows too.
//!
//! Numbers are the standard's 16-bit ones in `i32`: products fit, and sums are limited by [`saturate`].

/// Upper six bits of the low band's thresholds: the magnitude at which each level begins, for a step of 4096.
const LEVELS: [u16; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
const HIGHEST_LEVEL: usize = LEVELS[LEVELS.len() - 1] as usize;
/// Number of [`LEVELS`] that a magnitude reaches.
static LEVEL_OF: [u8; HIGHEST_LEVEL + 1] = table_of_levels();
/// Low band: values decoded from all six bits, and from the upper four.
static LOW_BY_6: [i16; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
static LOW_BY_4: [i16; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
/// Change of the logarithm of the low band's step for each value of the upper four bits.
static LOW_STEP: [i16; 16] = [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];
const LOW_LOG_MOST: i32 = 18_432;
const LOW_SHIFT: i32 = 8;

/// High band: threshold of the larger of two levels, for a step of 4096.
const HIGH_LEVEL: i32 = 564;
static HIGH_BY_2: [i16; 4] = [-7408, -1616, 7408, 1616];
static HIGH_STEP: [i16; 4] = [798, -214, 798, -214];
const HIGH_LOG_MOST: i32 = 22_528;
const HIGH_SHIFT: i32 = 10;

/// 2048 × 2^(n/32), rounded down.
static POWERS: [i16; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// Codec of the low band, for one direction.
#[derive(Clone, Debug)]
pub(super) struct Low {
    step: i32,
    log_step: i32,
    prediction: Prediction,
}

impl Low {
    pub(super) fn new() -> Low {
        Low { step: 32, log_step: 0, prediction: Prediction::default() }
    }

    /// Encodes one value of the band to six bits.
    #[inline]
    pub(super) fn encode(&mut self, value: i32) -> u8 {
        let missed = saturate(value - self.prediction.value);
        let magnitude = if missed < 0 { !missed } else { missed };
        // A level begins where level × step / 4096, rounded down, is reached; this is the inverse.
        let reached = (((magnitude + 1) << 12) - 1) / self.step;
        let level = LEVEL_OF[usize::try_from(reached).unwrap_or(0).min(HIGHEST_LEVEL)];
        let code = match (missed < 0, level) {
            (false, _) => 61 - level,
            (true, 0..2) => 63 - level,
            (true, _) => 33 - level,
        };
        self.adapt(code);
        code
    }

    /// Decodes six bits to a value.
    #[inline]
    pub(super) fn decode(&mut self, code: u8) -> i32 {
        let missed = scale(self.step, i32::from(LOW_BY_6[usize::from(code & 63)]));
        let value = self.prediction.value.wrapping_add(missed);
        self.adapt(code);
        value
    }

    #[inline]
    fn adapt(&mut self, code: u8) {
        let upper = usize::from(code >> 2 & 15);
        let missed = scale(self.step, i32::from(LOW_BY_4[upper]));
        let log_step = (self.log_step.wrapping_mul(127) >> 7).wrapping_add(i32::from(LOW_STEP[upper]));
        self.log_step = log_step.clamp(0, LOW_LOG_MOST);
        self.step = exponential(self.log_step, LOW_SHIFT);
        self.prediction.adapt(missed);
    }
}

/// Codec of the high band, for one direction.
#[derive(Clone, Debug)]
pub(super) struct High {
    step: i32,
    log_step: i32,
    prediction: Prediction,
}

impl High {
    pub(super) fn new() -> High {
        High { step: 8, log_step: 0, prediction: Prediction::default() }
    }

    /// Encodes one value of the band to two bits.
    #[inline]
    pub(super) fn encode(&mut self, value: i32) -> u8 {
        let missed = saturate(value - self.prediction.value);
        let magnitude = if missed < 0 { !missed } else { missed };
        let large = magnitude >= (HIGH_LEVEL * self.step) >> 12;
        let code = match (missed < 0, large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.decode(code);
        code
    }

    /// Decodes two bits to a value.
    #[inline]
    pub(super) fn decode(&mut self, code: u8) -> i32 {
        let code = usize::from(code & 3);
        let missed = scale(self.step, i32::from(HIGH_BY_2[code]));
        let value = self.prediction.value.wrapping_add(missed);
        let log_step = (self.log_step.wrapping_mul(127) >> 7).wrapping_add(i32::from(HIGH_STEP[code]));
        self.log_step = log_step.clamp(0, HIGH_LOG_MOST);
        self.step = exponential(self.log_step, HIGH_SHIFT);
        self.prediction.adapt(missed);
        value
    }
}

/// Computes a step from its logarithm (32 a factor of two, in the upper bits).
#[inline]
fn exponential(log_step: i32, shift: i32) -> i32 {
    let power = i32::from(POWERS[(log_step >> 6 & 31) as usize]);
    let down = shift - (log_step >> 11);
    (if down < 0 { power << -down } else { power >> down }) << 2
}

/// Predictor of a band: two poles over decoded values, six zeros over prediction errors.
///
/// Its sums cannot exceed 32 bits and so need no overflow checks, which would take half of the codec's time.
#[derive(Clone, Debug, Default)]
struct Prediction {
    /// The next value, and the share of the zeros in it.
    value: i32,
    by_zeros: i32,
    poles: [i32; 2],
    zeros: [i32; 6],
    /// Newest first: decoded values, the same without the poles' share, and prediction errors.
    decoded: [i32; 2],
    partial: [i32; 2],
    missed: [i32; 6],
}

impl Prediction {
    #[inline]
    fn adapt(&mut self, missed: i32) {
        let decoded = saturate(self.value.wrapping_add(missed));
        let partial = saturate(self.by_zeros.wrapping_add(missed));
        self.adapt_poles(partial);
        self.adapt_zeros(missed);
        self.decoded = [decoded, self.decoded[0]];
        self.partial = [partial, self.partial[0]];
        self.missed.copy_within(..5, 1);
        self.missed[0] = missed;

        let by_poles = share(self.poles[0], self.decoded[0]).wrapping_add(share(self.poles[1], self.decoded[1]));
        let by_zeros = self.zeros.iter().zip(&self.missed).map(|(&zero, &missed)| share(zero, missed));
        self.by_zeros = saturate(by_zeros.fold(0, i32::wrapping_add));
        self.value = saturate(saturate(by_poles).wrapping_add(self.by_zeros));
    }

    #[inline]
    fn adapt_poles(&mut self, partial: i32) {
        let like = |other: i32| (partial < 0) == (other < 0);
        let first = saturate(self.poles[0] << 2);
        let turned = if like(self.partial[0]) { first.wrapping_neg().min(32_767) } else { first };
        let second = (turned >> 7).wrapping_add(if like(self.partial[1]) { 128 } else { -128 });
        let second = second.wrapping_add(scale(self.poles[1], 32_512)).clamp(-12_288, 12_288);
        let first = if like(self.partial[0]) { 192 } else { -192_i32 };
        let first = first.wrapping_add(scale(self.poles[0], 32_640));
        // Keeps the poles inside the unit circle.
        let most = 15_360_i32.wrapping_sub(second);
        self.poles = [first.max(most.wrapping_neg()).min(most), second];
    }

    #[inline]
    fn adapt_zeros(&mut self, missed: i32) {
        let step = if missed == 0 { 0 } else { 128_i32 };
        for (zero, &before) in self.zeros.iter_mut().zip(&self.missed) {
            let change = if (missed < 0) == (before < 0) { step } else { step.wrapping_neg() };
            *zero = saturate(change.wrapping_add(scale(*zero, 32_640)));
        }
    }
}

/// Returns the contribution of a coefficient and a value.
#[inline]
fn share(coefficient: i32, value: i32) -> i32 {
    scale(coefficient, saturate(value << 1))
}

/// Returns the product of two numbers, of which the second is in units of 1/32768.
#[inline]
fn scale(number: i32, by: i32) -> i32 {
    number.wrapping_mul(by) >> 15
}

#[inline]
fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

const fn table_of_levels() -> [u8; HIGHEST_LEVEL + 1] {
    let mut table = [0; HIGHEST_LEVEL + 1];
    let (mut magnitude, mut level) = (0, 0);
    while magnitude < table.len() {
        if level < LEVELS.len() && magnitude >= LEVELS[level] as usize {
            level += 1;
        }
        table[magnitude] = level as u8;
        magnitude += 1;
    }
    table
}
