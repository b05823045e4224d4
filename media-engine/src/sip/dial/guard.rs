//! Which numbers may be called: against toll fraud, and never against somebody in need.
//!
//! ```text
//!   number ─▶ emergency? ─ yes ─▶ the trunk named for it, or refused at once with a sentence
//!                └─ no ─▶ every reading by the trunk's plan: satellite, premium only if switched on ─▶ allow-list ─▶ called
//! ```
//!
//! Invariants: an emergency number meets no list and no limit; a number is allowed only if all its readings are. Not here: who
//! may call at all (SIP's admission, the control plane), how many calls a trunk carries.
//! Sources: ITU-T E.164 assigned country codes; 3GPP TS 22.101 section 10 and national numbering plans for emergency numbers.

use super::hosts::HostRules;
use super::number::{Number, Plan, hidden_in};
use super::{DialError, Dialled, User, Written};

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

/// Which numbers may be called through trunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialConfig {
    /// Prefixes of numbers that may be called: `+34` for international numbers however they are written, `7` for numbers of a
    /// private plan; empty: all but satellite and premium numbers.
    pub allow: Vec<String>,
    /// Satellite networks may be called, as far as `allow` goes.
    pub satellite: bool,
    /// Premium numbers may be called, as far as `allow` goes.
    pub premium: bool,
    /// Countries (ISO 3166-1, such as `ES`) whose emergency numbers are known, beside 112, 911 and 999.
    pub countries: Vec<String>,
    /// Trunk that carries emergency calls; `None`: they are refused at once, in words.
    pub emergency_trunk: Option<String>,
    /// Hosts other than trunks that may be called by URI.
    pub uris: HostRules,
}

/// What may be called, as configured.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    config: DialConfig,
}

/// What becomes of a number that is no emergency number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be called.
    Allowed,
    /// It may not; the sentence says why.
    Refused(&'static str),
}

/// What is said where a trunk would be asked for a name.
const NOT_LISTED: Verdict = Verdict::Refused("This destination is not allowed");

impl Guard {
    /// Of a configuration whose names were checked.
    pub fn new(config: DialConfig) -> Guard {
        Guard { config }
    }

    /// What a number, name or URI means here.
    ///
    /// # Errors
    /// What was expected.
    pub fn read(&self, text: &str) -> Result<Dialled, DialError> {
        Written::parse(text).map(|written| self.dialled(written))
    }

    /// What a destination that was read means here.
    pub fn dialled(&self, written: Written) -> Dialled {
        let Written { user, at } = written;
        match user {
            User::Number(number) if self.is_urgent(&number) => Dialled::Emergency(number.digits().to_owned()),
            User::Number(number) => Dialled::Number { number, at },
            User::Name(user) => Dialled::Uri { user, at },
        }
    }

    /// Whether somebody in need dials this, in whatever way telephones and programs write it.
    pub fn is_emergency(&self, text: &str) -> bool {
        matches!(self.read(text), Ok(Dialled::Emergency(_)))
    }

    fn is_urgent(&self, number: &Number) -> bool {
        let digits = number.digits();
        let of_country = |(country, numbers): &(&str, &[&str])| {
            self.config.countries.iter().any(|known| known.eq_ignore_ascii_case(country)) && numbers.contains(&digits)
        };
        EMERGENCY_EVERYWHERE.contains(&digits) || EMERGENCY.iter().any(of_country)
    }

    /// The trunk that carries emergency calls.
    ///
    /// # Errors
    /// The sentence that says that there is none.
    pub fn emergency_trunk(&self) -> Result<&str, &'static str> {
        self.config.emergency_trunk.as_deref().ok_or(NO_EMERGENCY_CALLS)
    }

    /// Hosts other than trunks that may be called by URI.
    pub fn uris(&self) -> &HostRules {
        &self.config.uris
    }

    /// Whether a number may be called where this plan holds.
    pub fn verdict(&self, number: &Number, plan: &Plan) -> Verdict {
        let readings = number.readings(plan);
        let begins = |prefixes: &[&str]| {
            readings.iter().any(|reading| prefixes.iter().any(|prefix| reading.starts_with(prefix)))
        };
        if begins(&SATELLITE) && !self.config.satellite {
            return Verdict::Refused("Satellite numbers are switched off");
        }
        if begins(&PREMIUM) && !self.config.premium {
            return Verdict::Refused("Premium numbers are switched off");
        }
        let allow = &self.config.allow;
        let listed = |reading: &String| {
            allow.iter().filter_map(|prefix| prefix.strip_prefix('+')).any(|prefix| reading.starts_with(prefix))
        };
        let allowed = match readings.is_empty() {
            true => allow.iter().any(|prefix| !prefix.starts_with('+') && number.as_str().starts_with(prefix.as_str())),
            false => readings.iter().all(listed),
        };
        if allow.is_empty() || allowed { Verdict::Allowed } else { NOT_LISTED }
    }

    /// Whether a name may be called through a trunk with this plan: where no list says what may, as long as no number hides in
    /// it that may not.
    pub fn verdict_of_name(&self, name: &str, plan: &Plan) -> Verdict {
        if !self.config.allow.is_empty() {
            return NOT_LISTED;
        }
        let hidden = hidden_in(name);
        if hidden.iter().any(|number| self.is_urgent(number)) {
            return Verdict::Refused("An emergency number has no letters");
        }
        let verdicts = hidden.iter().map(|number| self.verdict(number, plan));
        verdicts.into_iter().find(|verdict| *verdict != Verdict::Allowed).unwrap_or(Verdict::Allowed)
    }
}

/// Whether a country is known here.
pub fn knows_country(code: &str) -> bool {
    EMERGENCY.iter().any(|(known, _)| known.eq_ignore_ascii_case(code))
}
