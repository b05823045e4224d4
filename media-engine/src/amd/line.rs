//! Hint at the kind of line on which a person answered: a business names itself and offers help, a residence says hello.
//!
//! A hint is weaker than a verdict and never changes one: what follows a person is the same on either line. Coefficients come from
//! `train.py line` (`amd-training`), which prints how often the hints are right.

use super::features::NAMES;

/// Log odds of a business: a constant, and a share of the log odds of an offer of help and of a welcome.
const CONSTANT: f32 = 1.44;
const HELP: f32 = 0.97;
const WELCOME: f32 = 0.51;
/// Probabilities of a business from which it is named, and up to which a residence is.
const LIKELY: f32 = 0.6;
const UNLIKELY: f32 = 0.15;

/// Kind of line that a person seems to have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineHint {
    /// A private line: a short greeting.
    Residence,
    /// A line of a business: a welcome or an offer of help.
    Business,
}

impl LineHint {
    /// Returns the word for the hint in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            LineHint::Residence => "residence",
            LineHint::Business => "business",
        }
    }

    /// Returns the hint for the features of a person's greeting; `None` in doubt.
    pub(crate) fn of(features: &[f32]) -> Option<LineHint> {
        let value = |name| NAMES.iter().position(|known| *known == name).map_or(0.0, |at| features[at]);
        let odds = CONSTANT + HELP * value("said_help") + WELCOME * value("said_welcome");
        let business = 1.0 / (1.0 + (-odds).exp());
        if business >= LIKELY {
            Some(LineHint::Business)
        } else if business <= UNLIKELY {
            Some(LineHint::Residence)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::N;
    use super::*;

    fn features(help: f32, welcome: f32) -> [f32; N] {
        let mut features = [0.0; N];
        let mut set = |name, value| features[NAMES.iter().position(|known| *known == name).expect("a feature")] = value;
        set("said_help", help);
        set("said_welcome", welcome);
        features
    }

    #[test]
    fn an_offer_and_a_welcome_hint_at_a_business_their_absence_at_a_residence() {
        assert_eq!(LineHint::of(&features(3.0, 1.0)), Some(LineHint::Business));
        assert_eq!(LineHint::of(&features(-6.0, -6.0)), Some(LineHint::Residence));
    }

    #[test]
    fn doubt_gives_no_hint() {
        assert_eq!(LineHint::of(&features(-2.0, -1.0)), None);
    }
}
