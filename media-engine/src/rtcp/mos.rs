//! Mean opinion score of one direction of a leg, estimated from its packets: the E-model (ITU-T G.107, 06/2015).
//!
//! ```text
//! codec (Ie, Bpl) ──────────────┐
//! lost + late, of expected ─────┼─▶ Ie,eff ─┐
//! one-way delay ────────────────┴─▶ Id ─────┴─▶ R = Ro − Is − Id − Ie,eff ─▶ MOS-CQE
//! ```
//!
//! Quantities that a media engine cannot know (loudness, room noise, side tone, echo of the telephones) have the
//! recommendation's default values: a perfect path has R = 93.2 and MOS 4.41. All codecs use the narrowband scale, so that
//! legs are comparable: a wideband codec has the same maximum.
//!
//! Not here: the origin of loss and delay (the leg). Sources: G.107 clauses 7.1, 7.4, 7.5, Annex B; G.113 Appendix I.

use std::time::Duration;

/// Signal-to-noise ratio of a path with default values (clause 7.2: 15 − 1.5 (SLR + No), SLR 8 dB, No −61.18 dBm0p).
const RO: f64 = 94.77;
/// Impairments simultaneous with the voice at default values (clause 7.3).
const IS: f64 = 1.41;
/// Noise at the receiver (clause 7.2), dBm0p, and receive loudness, dB.
const NO: f64 = -61.18;
const RLR: f64 = 2.0;
/// Talker echo loudness and weighted echo path loss at default values (table 2), dB.
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;

/// Sensitivity of a codec and its concealment to loss (G.113).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Robustness {
    /// Ie: impairment without loss.
    pub impairment: f64,
    /// Bpl: robustness against packet loss; higher is better.
    pub loss_robustness: f64,
}

impl Robustness {
    /// G.711 with concealment, random loss (G.113 table I.4: Ie 0, Bpl 25.1).
    pub const G711_CONCEALED: Robustness = Robustness { impairment: 0.0, loss_robustness: 25.1 };
    /// Wideband codecs at 24 kbit/s and more. G.113 rates them on the wideband scale only, where G.722 (Ie,WB 13) ranks
    /// above G.711 (Ie,WB 36, G.107.1): on the narrowband scale that is no impairment. Loss weighs as for concealed G.711,
    /// which Opus with FEC surpasses.
    pub const WIDEBAND: Robustness = Robustness { impairment: 0.0, loss_robustness: 25.1 };
}

/// Returns the transmission rating R of a path. `delay` is one way from mouth to ear, `loss` the share of packets that were not
/// played (0 to 1), `burst_ratio` 1 for independent losses, more when they cluster.
pub fn rating(codec: Robustness, delay: Duration, loss: f64, burst_ratio: f64) -> f64 {
    RO - IS - delay_impairment(delay.as_secs_f64() * 1e3) - loss_impairment(codec, loss * 100.0, burst_ratio)
}

/// Computes clause 7.5: Ie,eff = Ie + (95 − Ie) · Ppl / (Ppl / BurstR + Bpl).
fn loss_impairment(codec: Robustness, percent: f64, burst_ratio: f64) -> f64 {
    let Robustness { impairment, loss_robustness } = codec;
    let percent = percent.clamp(0.0, 100.0);
    impairment + (95.0 - impairment) * percent / (percent / burst_ratio.max(1.0) + loss_robustness)
}

/// Computes clause 7.4: talker echo, listener echo and delay alone; `delay_ms` is one way, all of it inside the echo path.
fn delay_impairment(delay_ms: f64) -> f64 {
    let (delay, round) = (delay_ms.max(0.0), 2.0 * delay_ms.max(0.0));
    let echo_loudness =
        TELR - 40.0 * ((1.0 + delay / 10.0) / (1.0 + delay / 150.0)).log10() + 6.0 * (-0.3 * delay * delay).exp();
    let without_echo = -1.5 * (NO - RLR);
    let with_echo = 80.0 + 2.5 * (echo_loudness - 14.0);
    let difference = (without_echo - with_echo) / 2.0;
    let talker = (difference + (difference * difference + 100.0).sqrt() - 1.0) * (1.0 - (-delay).exp());
    let listener_rating = 10.5 * (WEPL + 7.0) * (round + 1.0).powf(-0.25);
    let difference = (RO - listener_rating) / 2.0;
    let listener = difference + (difference * difference + 169.0).sqrt();
    talker + listener + absolute_delay_impairment(delay)
}

/// Computes Idd with the default sensitivity to delay: zero up to 100 ms.
fn absolute_delay_impairment(delay_ms: f64) -> f64 {
    if delay_ms <= 100.0 {
        return 0.0;
    }
    let x = (delay_ms / 100.0).log2();
    let sixth = |value: f64| (1.0 + value.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

/// Returns the MOS-CQE of a rating (Annex B), 1 to 4.5. The formula's dip below 1 for ratings under 6.5 is cut off.
pub fn mos(rating: f64) -> f64 {
    match rating {
        r if r >= 100.0 => 4.5,
        r if r <= 0.0 => 1.0,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

/// Measurements of one direction in an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Packets that should have arrived.
    pub expected: u64,
    /// Expected packets that did not arrive, or arrived too late to be played.
    pub lost: f64,
    /// One-way delay from mouth to ear.
    pub delay: Duration,
    /// Interarrival jitter at the end of the interval.
    pub jitter: Duration,
}

/// Estimated quality of one direction of a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rating {
    /// MOS of the latest interval; `None` when no packets were expected, or there was no report.
    pub mos: Option<f32>,
    /// MOS of the whole call; `None` before the first rated interval.
    pub mos_call: Option<f32>,
    /// Share of packets that were lost or late in the latest interval, 0 to 1.
    pub loss: Option<f32>,
    /// Share of packets that were lost or late over the whole call, 0 to 1.
    pub loss_call: Option<f32>,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: Option<f32>,
    /// One-way delay from mouth to ear in milliseconds, as far as it is known.
    pub delay_ms: Option<f32>,
}

/// Rates one direction, interval by interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rater {
    expected: u64,
    lost: f64,
    /// Sum of delays in ms, each weighted by the number of packets that it applied to.
    delay_ms: f64,
    latest: Rating,
}

impl Rater {
    /// Adds an interval. `None`, or an interval without expected packets, does not change the call's rating.
    pub fn on_interval(&mut self, codec: Robustness, interval: Option<Interval>) {
        let Some(Interval { expected, lost, delay, jitter }) = interval.filter(|interval| interval.expected > 0) else {
            self.latest =
                Rating { mos_call: self.latest.mos_call, loss_call: self.latest.loss_call, ..Rating::default() };
            return;
        };
        let share = |lost: f64, expected: u64| (lost / expected as f64).clamp(0.0, 1.0);
        let delay_ms = delay.as_secs_f64() * 1e3;
        self.expected += expected;
        self.lost += lost;
        self.delay_ms += delay_ms * expected as f64;
        let mean_delay = Duration::from_secs_f64(self.delay_ms / self.expected as f64 / 1e3);
        let (loss, loss_call) = (share(lost, expected), share(self.lost, self.expected));
        self.latest = Rating {
            mos: Some(mos(rating(codec, delay, loss, 1.0)) as f32),
            mos_call: Some(mos(rating(codec, mean_delay, loss_call, 1.0)) as f32),
            loss: Some(loss as f32),
            loss_call: Some(loss_call as f32),
            jitter_ms: Some(jitter.as_secs_f32() * 1e3),
            delay_ms: Some(delay_ms as f32),
        };
    }

    /// Returns the rating after the latest interval.
    pub fn rating(&self) -> Rating {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// G.711 without concealment (G.113 table I.4).
    const G711_BARE: Robustness = Robustness { impairment: 0.0, loss_robustness: 4.3 };

    #[test]
    fn ratings_become_scores_as_in_annex_b() {
        // R and MOS-CQE as paired in G.107 table B.1 and G.109.
        for (r, expected) in [
            (93.2, 4.41),
            (90.0, 4.34),
            (80.0, 4.02),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
            (0.0, 1.0),
            (120.0, 4.5),
        ] {
            assert!((mos(r) - expected).abs() < 0.01, "R {r}: {}", mos(r));
        }
        assert!((0..1000).all(|tenth| (1.0..=4.5).contains(&mos(f64::from(tenth) / 10.0))));
    }

    #[test]
    fn default_path_has_the_recommendation_s_rating() {
        let r = rating(Robustness::G711_CONCEALED, Duration::ZERO, 0.0, 1.0);
        assert!((r - 93.2).abs() < 0.05, "{r}");
        assert!((mos(r) - 4.41).abs() < 0.005);
    }

    #[test]
    fn loss_weighs_as_in_the_factors_of_g113() {
        // Ie,eff by hand: 95 p / (p + Bpl).
        for (codec, percent, expected) in [
            (Robustness::G711_CONCEALED, 1.0, 3.64),
            (Robustness::G711_CONCEALED, 5.0, 15.78),
            (Robustness::G711_CONCEALED, 10.0, 27.07),
            (G711_BARE, 1.0, 17.92),
            (G711_BARE, 5.0, 51.08),
            // G.729A with VAD (G.113: Ie 11, Bpl 19): 3 % loss.
            (Robustness { impairment: 11.0, loss_robustness: 19.0 }, 3.0, 22.45),
        ] {
            assert!((loss_impairment(codec, percent, 1.0) - expected).abs() < 0.01, "{codec:?} {percent} %");
        }
        let (scattered, bursts) = (
            loss_impairment(Robustness::G711_CONCEALED, 5.0, 1.0),
            loss_impairment(Robustness::G711_CONCEALED, 5.0, 2.0),
        );
        assert!(bursts > scattered);
    }

    #[test]
    fn delay_weighs_as_in_published_fits_of_the_model() {
        // Cole and Rosenbluth's fit: Id = 0.024 d + 0.11 (d − 177.3) above 177.3 ms.
        for delay_ms in (0..=320).step_by(20) {
            let d = f64::from(delay_ms);
            let fit = 0.024 * d + 0.11 * (d - 177.3).max(0.0);
            let id = delay_impairment(d);
            assert!((id - fit).abs() < 1.0, "{d} ms: {id:.2}, fit {fit:.2}");
        }
        // Idd alone, by hand: x = 1 at 200 ms: 25 (2^(1/6) − 3 (1 + 3^−6)^(1/6) + 2).
        assert!((absolute_delay_impairment(200.0) - 3.04).abs() < 0.01, "{}", absolute_delay_impairment(200.0));
        assert_eq!(absolute_delay_impairment(100.0), 0.0);
    }

    #[test]
    fn more_delay_or_loss_is_never_better() {
        let codec = Robustness::G711_CONCEALED;
        for step in 0..100_u32 {
            let (delay, loss) = (MS * 10 * step, f64::from(step) / 100.0);
            assert!(rating(codec, delay + MS * 10, 0.0, 1.0) <= rating(codec, delay, 0.0, 1.0) + 1e-9, "{delay:?}");
            assert!(rating(codec, MS * 50, loss + 0.01, 1.0) < rating(codec, MS * 50, loss, 1.0), "{loss}");
        }
    }

    #[test]
    fn call_s_score_weighs_intervals_by_their_packets() {
        let codec = Robustness::G711_CONCEALED;
        let mut rater = Rater::default();
        let interval = |expected, lost| Some(Interval { expected, lost, delay: MS * 40, jitter: MS * 2 });
        rater.on_interval(codec, interval(250, 0.0));
        let perfect = rater.rating();
        assert_eq!(perfect.mos, perfect.mos_call);
        rater.on_interval(codec, interval(250, 25.0));
        let mixed = rater.rating();
        assert!(mixed.mos < mixed.mos_call && mixed.mos_call < perfect.mos);
        assert_eq!((mixed.loss, mixed.loss_call), (Some(0.1), Some(0.05)));
        assert!((mixed.mos_call.unwrap() - mos(rating(codec, MS * 40, 0.05, 1.0)) as f32).abs() < 1e-4);
        // Hold: the interval has no score, and the call's score stays.
        rater.on_interval(codec, interval(0, 0.0));
        rater.on_interval(codec, None);
        assert_eq!((rater.rating().mos, rater.rating().mos_call), (None, mixed.mos_call));
    }
}
