//! Call progress tones by country: frequencies and cadences.
//!
//! Source: ITU-T E.180 Supplement 2 (various tones used in national networks), and for countries whose exchanges changed since, the
//! cadences that national operators publish. Frequencies may deviate by 2 %, cadences by 15 %.
//!
//! The classes of [`super::cadence`] are decided by rules that hold for all countries, so that a country that is missing here is
//! still understood; the table names the countries whose tone was heard, and tells dial tones from unobtainable ones.

use super::SignalKind::{self, Busy, Congestion, Dial, Ringback, Unobtainable};

/// One tone of one country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Country code of ISO 3166-1.
    pub country: &'static str,
    /// Meaning of the tone.
    pub kind: SignalKind,
    /// Frequencies in Hz that sound together. A modulated tone has its carrier only.
    pub frequencies: &'static [f32],
    /// Times of sound and silence in turn, in ms. Empty for a continuous tone.
    pub cadence: &'static [u32],
}

const fn plan(country: &'static str, kind: SignalKind, frequencies: &'static [f32], cadence: &'static [u32]) -> Plan {
    Plan { country, kind, frequencies, cadence }
}

const US_RING: &[f32] = &[440.0, 480.0];
const US_BUSY: &[f32] = &[480.0, 620.0];
const US_DIAL: &[f32] = &[350.0, 440.0];
const UK_RING: &[f32] = &[400.0, 450.0];
const UK_DIAL: &[f32] = &[350.0, 450.0];
const AU_PAIR: &[f32] = &[413.0, 438.0];
const HZ_400: &[f32] = &[400.0];
const HZ_420: &[f32] = &[420.0];
const HZ_425: &[f32] = &[425.0];
const HZ_440: &[f32] = &[440.0];
const HZ_450: &[f32] = &[450.0];

/// Tones that are known, by country.
pub static PLANS: &[Plan] = &[
    plan("AR", Ringback, HZ_425, &[1000, 4500]),
    plan("AR", Busy, HZ_425, &[300, 300]),
    plan("AR", Congestion, HZ_425, &[200, 300]),
    plan("AT", Ringback, HZ_420, &[1000, 5000]),
    plan("AT", Busy, HZ_420, &[400, 400]),
    plan("AT", Congestion, HZ_420, &[200, 200]),
    plan("AT", Dial, HZ_420, &[]),
    plan("AU", Ringback, AU_PAIR, &[400, 200, 400, 2000]),
    plan("AU", Ringback, UK_RING, &[400, 200, 400, 2000]),
    plan("AU", Busy, HZ_425, &[375, 375]),
    plan("AU", Unobtainable, HZ_425, &[2500, 500]),
    plan("AU", Dial, AU_PAIR, &[]),
    plan("BE", Ringback, HZ_425, &[1000, 3000]),
    plan("BE", Busy, HZ_425, &[500, 500]),
    plan("BE", Congestion, HZ_425, &[167, 167]),
    plan("BR", Ringback, HZ_425, &[1000, 4000]),
    plan("BR", Busy, HZ_425, &[250, 250]),
    plan("CA", Ringback, US_RING, &[2000, 4000]),
    plan("CA", Busy, US_BUSY, &[500, 500]),
    plan("CA", Congestion, US_BUSY, &[250, 250]),
    plan("CA", Dial, US_DIAL, &[]),
    plan("CH", Ringback, HZ_425, &[1000, 4000]),
    plan("CH", Busy, HZ_425, &[500, 500]),
    plan("CH", Congestion, HZ_425, &[200, 200]),
    plan("CL", Ringback, HZ_400, &[1000, 3000]),
    plan("CL", Busy, HZ_400, &[500, 500]),
    plan("CL", Congestion, HZ_400, &[200, 200]),
    plan("CN", Ringback, HZ_450, &[1000, 4000]),
    plan("CN", Busy, HZ_450, &[350, 350]),
    plan("CN", Congestion, HZ_450, &[700, 700]),
    plan("CN", Dial, HZ_450, &[]),
    plan("CZ", Ringback, HZ_425, &[1000, 4000]),
    plan("CZ", Busy, HZ_425, &[330, 330]),
    plan("CZ", Congestion, HZ_425, &[165, 165]),
    plan("DE", Ringback, HZ_425, &[1000, 4000]),
    plan("DE", Busy, HZ_425, &[480, 480]),
    plan("DE", Congestion, HZ_425, &[240, 240]),
    plan("DE", Dial, HZ_425, &[]),
    plan("DK", Ringback, HZ_425, &[1000, 4000]),
    plan("DK", Busy, HZ_425, &[500, 500]),
    plan("DK", Congestion, HZ_425, &[250, 250]),
    plan("EE", Ringback, HZ_425, &[1000, 4000]),
    plan("EE", Busy, HZ_425, &[300, 300]),
    plan("ES", Ringback, HZ_425, &[1500, 3000]),
    plan("ES", Busy, HZ_425, &[200, 200]),
    plan("ES", Congestion, HZ_425, &[200, 200, 200, 200, 200, 600]),
    plan("FI", Ringback, HZ_425, &[1000, 4000]),
    plan("FI", Busy, HZ_425, &[300, 300]),
    plan("FI", Congestion, HZ_425, &[200, 200]),
    plan("FR", Ringback, HZ_440, &[1500, 3500]),
    plan("FR", Busy, HZ_440, &[500, 500]),
    plan("FR", Congestion, HZ_440, &[250, 250]),
    plan("FR", Dial, HZ_440, &[]),
    plan("GB", Ringback, UK_RING, &[400, 200, 400, 2000]),
    plan("GB", Busy, HZ_400, &[375, 375]),
    plan("GB", Congestion, HZ_400, &[400, 350, 225, 525]),
    plan("GB", Unobtainable, HZ_400, &[]),
    plan("GB", Dial, UK_DIAL, &[]),
    plan("GR", Ringback, HZ_425, &[1000, 4000]),
    plan("GR", Busy, HZ_425, &[300, 300]),
    plan("HK", Ringback, US_RING, &[400, 200, 400, 3000]),
    plan("HK", Busy, US_BUSY, &[500, 500]),
    plan("HK", Congestion, US_BUSY, &[250, 250]),
    plan("HU", Ringback, HZ_425, &[1250, 3750]),
    plan("HU", Busy, HZ_425, &[300, 300]),
    plan("IE", Ringback, UK_RING, &[400, 200, 400, 2000]),
    plan("IE", Busy, HZ_425, &[500, 500]),
    plan("IL", Ringback, HZ_400, &[1000, 3000]),
    plan("IL", Busy, HZ_400, &[500, 500]),
    plan("IL", Congestion, HZ_400, &[250, 250]),
    // Modulated by 25 Hz.
    plan("IN", Ringback, HZ_400, &[400, 200, 400, 2000]),
    plan("IN", Busy, HZ_400, &[750, 750]),
    plan("IN", Congestion, HZ_400, &[250, 250]),
    plan("IT", Ringback, HZ_425, &[1000, 4000]),
    plan("IT", Busy, HZ_425, &[500, 500]),
    plan("IT", Congestion, HZ_425, &[200, 200]),
    // Modulated by 16 Hz.
    plan("JP", Ringback, HZ_400, &[1000, 2000]),
    plan("JP", Busy, HZ_400, &[500, 500]),
    plan("JP", Dial, HZ_400, &[]),
    plan("KR", Ringback, US_RING, &[1000, 2000]),
    plan("KR", Busy, US_BUSY, &[500, 500]),
    plan("KR", Congestion, US_BUSY, &[300, 200]),
    plan("MX", Ringback, HZ_425, &[1000, 4000]),
    plan("MX", Busy, HZ_425, &[250, 250]),
    // Modulated by 50 Hz.
    plan("MY", Ringback, HZ_425, &[400, 200, 400, 2000]),
    plan("MY", Busy, HZ_425, &[500, 500]),
    plan("NL", Ringback, HZ_425, &[1000, 4000]),
    plan("NL", Busy, HZ_425, &[500, 500]),
    plan("NL", Congestion, HZ_425, &[250, 250]),
    plan("NO", Ringback, HZ_425, &[1000, 4000]),
    plan("NO", Busy, HZ_425, &[500, 500]),
    plan("NO", Congestion, HZ_425, &[200, 200]),
    plan("NZ", Ringback, UK_RING, &[400, 200, 400, 2000]),
    plan("NZ", Busy, HZ_400, &[500, 500]),
    plan("NZ", Congestion, HZ_400, &[250, 250]),
    plan("PH", Ringback, &[425.0, 480.0], &[1000, 4000]),
    plan("PH", Busy, US_BUSY, &[500, 500]),
    plan("PL", Ringback, HZ_425, &[1000, 4000]),
    plan("PL", Busy, HZ_425, &[500, 500]),
    plan("PT", Ringback, HZ_425, &[1000, 5000]),
    plan("PT", Busy, HZ_425, &[500, 500]),
    plan("PT", Congestion, HZ_425, &[200, 200]),
    plan("RU", Ringback, HZ_425, &[800, 3200]),
    plan("RU", Ringback, HZ_425, &[1000, 4000]),
    plan("RU", Busy, HZ_425, &[400, 400]),
    plan("RU", Congestion, HZ_425, &[200, 200]),
    plan("SE", Ringback, HZ_425, &[1000, 5000]),
    plan("SE", Busy, HZ_425, &[250, 250]),
    plan("SE", Congestion, HZ_425, &[250, 750]),
    // Modulated by 24 Hz.
    plan("SG", Ringback, HZ_425, &[400, 200, 400, 2000]),
    plan("SG", Busy, HZ_425, &[750, 750]),
    plan("SG", Congestion, HZ_425, &[250, 250]),
    plan("TR", Ringback, HZ_450, &[2000, 4000]),
    plan("TR", Busy, HZ_450, &[500, 500]),
    plan("TW", Ringback, US_RING, &[1000, 2000]),
    plan("TW", Busy, US_BUSY, &[500, 500]),
    plan("TW", Congestion, US_BUSY, &[250, 250]),
    plan("US", Ringback, US_RING, &[2000, 4000]),
    plan("US", Busy, US_BUSY, &[500, 500]),
    plan("US", Congestion, US_BUSY, &[250, 250]),
    plan("US", Dial, US_DIAL, &[]),
    // Modulated by 33 Hz.
    plan("ZA", Ringback, HZ_400, &[400, 200, 400, 2000]),
    plan("ZA", Busy, HZ_400, &[500, 500]),
    plan("ZA", Congestion, HZ_400, &[250, 250]),
];

impl Plan {
    /// Returns whether a tone of these frequencies is this one, cadence apart.
    pub(super) fn sounds_like(&self, frequencies: &[f32]) -> bool {
        let close = |a: f32, b: f32| (a - b).abs() < 0.022 * b;
        self.frequencies.len() == frequencies.len()
            && self.frequencies.iter().all(|&own| frequencies.iter().any(|&hz| close(hz, own)))
    }

    /// Returns whether the lengths of sound and silence that were heard, oldest first, are this cadence from some place on.
    pub(super) fn goes_like(&self, lengths: &[u32]) -> bool {
        let count = self.cadence.len();
        let fits = |shift: usize| {
            let own = (0..lengths.len()).map(|n| self.cadence[(n + shift) % count]);
            lengths.iter().zip(own).all(|(&heard, own)| heard.abs_diff(own) <= 30 + own * 3 / 20)
        };
        // Sound is compared with sound.
        count > 0 && !lengths.is_empty() && (0..count).step_by(2).any(fits)
    }
}
