//! Which numbers may be called: against toll fraud, and never against somebody in need.
//!
//! ```text
//!   number ─▶ emergency? ─ yes ─▶ the trunk named for it, or refused at once with a sentence
//!                └─ no ─▶ satellite, premium: only if switched on ─▶ allow-list ─▶ called
//! ```
//!
//! Invariant: an emergency number meets no list and no limit. Not here: who may call at all (SIP's admission, the
//! control plane), how many calls a trunk carries.
//! Sources: ITU-T E.164 assigned country codes; 3GPP TS 22.101 section 10 and national numbering plans for emergency numbers.

use crate::config::DialConfig;

/// What emergency calls are told where none can be placed.
pub const NO_EMERGENCY_CALLS: &str = "This system does not place emergency calls: use another phone";

/// Known everywhere, whatever the country.
const EMERGENCY_EVERYWHERE: [&str; 3] = ["112", "911", "999"];

/// Emergency numbers by country (ISO 3166-1), beside those that are known everywhere.
const EMERGENCY: [(&str, &[&str]); 24] = [
    ("AR", &["100", "101", "107"]),
    ("AT", &["122", "133", "140", "144"]),
    ("AU", &["000", "106"]),
    ("BE", &["100", "101", "110", "116000"]),
    ("BR", &["190", "191", "192", "193", "194", "199"]),
    ("CA", &["988"]),
    ("CH", &["117", "118", "144", "1414"]),
    ("CL", &["131", "132", "133"]),
    ("CN", &["110", "119", "120", "122"]),
    ("CO", &["123"]),
    ("DE", &["110", "116117"]),
    ("ES", &["016", "061", "062", "080", "085", "088", "091", "092"]),
    ("FR", &["114", "115", "119", "15", "17", "18", "191", "196", "197"]),
    ("GB", &["101", "105", "111", "116000", "18000"]),
    ("IE", &[]),
    ("IN", &["100", "101", "102", "108", "1091"]),
    ("IT", &["113", "114", "115", "118", "1522"]),
    ("JP", &["110", "118", "119"]),
    ("MX", &["060", "065", "066", "068"]),
    ("NL", &["113", "144"]),
    ("NZ", &["111"]),
    ("PT", &["115", "117"]),
    ("US", &["933", "988"]),
    ("ZA", &["10111", "10177"]),
];

/// Satellite and international networks, whose minutes cost euros.
const SATELLITE: [&str; 4] = ["870", "881", "882", "883"];

/// Numbers that pay whoever is called. `979`: the international premium rate service.
const PREMIUM: [&str; 36] = [
    "1900", "1976", "979", "3189", "3190", "3389", "34803", "34806", "34807", "34905", "34907", "3489", "3906",
    "39144", "39166", "39199", "32900", "32901", "32902", "32903", "32904", "32905", "32906", "32907", "32909",
    "351601", "351607", "353156", "353157", "353158", "353159", "4190", "43930", "4487", "449", "49900",
];

/// What may be called, as configured.
#[derive(Clone, Debug)]
pub struct Guard {
    config: DialConfig,
}

/// What becomes of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'g> {
    /// It may be called.
    Allowed,
    /// It must be called through this trunk, past every limit, by these digits.
    Emergency {
        /// The trunk's name.
        trunk: &'g str,
        /// What is dialled there.
        number: String,
    },
    /// It may not; the sentence says why.
    Refused(&'static str),
}

impl Guard {
    /// Of a configuration whose names were checked.
    pub fn new(config: DialConfig) -> Guard {
        Guard { config }
    }

    /// Whether somebody in need dials this, in whatever way phones write it.
    pub fn is_emergency(&self, number: &str) -> bool {
        let digits = digits(number);
        let of_country = |(country, numbers): &(&str, &[&str])| {
            self.config.countries.iter().any(|known| known.eq_ignore_ascii_case(country)) && numbers.contains(&&*digits)
        };
        EMERGENCY_EVERYWHERE.contains(&&*digits) || EMERGENCY.iter().any(of_country)
    }

    /// What becomes of a number that an agent, the API or a route wants to call.
    pub fn verdict(&self, number: &str) -> Verdict<'_> {
        if self.is_emergency(number) {
            return match &self.config.emergency_trunk {
                Some(trunk) => Verdict::Emergency { trunk, number: digits(number) },
                None => Verdict::Refused(NO_EMERGENCY_CALLS),
            };
        }
        let Some(international) = international(number) else { return self.listed(number) };
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| international.starts_with(prefix));
        match () {
            () if begins(&SATELLITE) && !self.config.satellite => {
                Verdict::Refused("Satellite numbers are switched off")
            }
            () if begins(&PREMIUM) && !self.config.premium => Verdict::Refused("Premium numbers are switched off"),
            () => self.listed(number),
        }
    }

    fn listed(&self, number: &str) -> Verdict<'_> {
        let (whole, bare) = (digits(number), international(number));
        let allows = |prefix: &String| match prefix.strip_prefix('+') {
            Some(prefix) => bare.as_ref().is_some_and(|bare| bare.starts_with(prefix)),
            None => whole.starts_with(prefix.as_str()),
        };
        match self.config.allow.is_empty() || self.config.allow.iter().any(allows) {
            true => Verdict::Allowed,
            false => Verdict::Refused("This destination is not allowed"),
        }
    }
}

/// Whether a country is known here.
pub fn knows_country(code: &str) -> bool {
    EMERGENCY.iter().any(|(known, _)| known.eq_ignore_ascii_case(code))
}

/// The digits of a number, without what people and phones put between them, and without URI parameters (RFC 3966).
fn digits(number: &str) -> String {
    let number = number.split(';').next().unwrap_or(number);
    number.chars().filter(|c| !matches!(c, '+' | ' ' | '-' | '.' | '(' | ')' | '/')).collect()
}

/// Digits as many as only a number with its country has: some trunks take them without `+`.
const WITH_COUNTRY: usize = 11;

/// The digits behind `+`, `00` or `011`, or too many for a national number; `None` for those of a national or private plan.
fn international(number: &str) -> Option<String> {
    let digits = digits(number);
    if number.trim_start().starts_with('+') {
        return Some(digits);
    }
    if let Some(behind) = ["00", "011"].iter().find_map(|prefix| digits.strip_prefix(prefix)) {
        return Some(behind.to_owned());
    }
    let whole = digits.len() >= WITH_COUNTRY && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(config: DialConfig) -> Guard {
        Guard::new(config)
    }

    #[test]
    fn emergency_numbers_meet_no_list_and_go_to_their_trunk() {
        let config = DialConfig {
            allow: vec!["+34".into()],
            countries: vec!["es".into()],
            emergency_trunk: Some("local".into()),
            ..DialConfig::default()
        };
        let guard = guard(config);
        for number in ["112", "911", "999", "+112", "1-1-2", " 112", "112;phone-context=+34", "091", "061"] {
            let Verdict::Emergency { trunk: "local", number: dialled } = guard.verdict(number) else {
                panic!("{number}")
            };
            assert!(["112", "911", "999", "091", "061"].contains(&&*dialled), "{dialled}");
        }
        for number in ["1123", "0112", "15", "+34112112112", "anna112"] {
            assert!(!matches!(guard.verdict(number), Verdict::Emergency { .. }), "{number}");
        }
    }

    #[test]
    fn without_a_trunk_for_them_emergency_calls_are_refused_in_words() {
        assert_eq!(guard(DialConfig::default()).verdict("112"), Verdict::Refused(NO_EMERGENCY_CALLS));
    }

    #[test]
    fn satellite_and_premium_numbers_are_off_until_they_are_switched_on() {
        let numbers = [
            "+870776123456",
            "00881612345678",
            "+19005551234",
            "011979112345678",
            "+449098790000",
            "+34803123456",
            "881612345678",
            "449098790000",
        ];
        let off = guard(DialConfig::default());
        let on = guard(DialConfig { satellite: true, premium: true, ..DialConfig::default() });
        for number in numbers {
            assert!(matches!(off.verdict(number), Verdict::Refused(_)), "{number}");
            assert_eq!(on.verdict(number), Verdict::Allowed, "{number}");
        }
        // Even an allow-list that names the country does not switch them on.
        let listed = guard(DialConfig { allow: vec!["+1".into(), "+44".into()], ..DialConfig::default() });
        assert!(matches!(listed.verdict("+1 900 555 1234"), Verdict::Refused(_)));
        assert_eq!(listed.verdict("+1 (555) 010-0199"), Verdict::Allowed);
        assert_eq!(listed.verdict("0044 2079460123"), Verdict::Allowed);
    }

    #[test]
    fn only_what_the_list_names_is_called() {
        let guard = guard(DialConfig { allow: vec!["+34".into(), "7".into()], ..DialConfig::default() });
        for (number, allowed) in [
            ("+34911222333", true),
            ("0034911222333", true),
            ("700", true),
            ("+15550100", false),
            ("34911222333", true),
        ] {
            assert_eq!(guard.verdict(number) == Verdict::Allowed, allowed, "{number}");
        }
    }

    #[test]
    fn without_a_list_everything_else_may_be_called() {
        for number in ["+34911222333", "echo", "1001", "anna"] {
            assert_eq!(guard(DialConfig::default()).verdict(number), Verdict::Allowed, "{number}");
        }
    }
}
