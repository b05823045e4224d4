//! Which numbers may be called: protects against toll fraud and never blocks an emergency call.
//!
//! ```text
//!   number ─▶ emergency? ─ yes ─▶ the trunk configured for it, or refused at once with a sentence
//!                └─ no ─▶ every reading by the trunk's plan: satellite, premium only if switched on ─▶ allow-list ─▶ called
//! ```
//!
//! Invariants: an emergency number is subject to no list and no limit; a number is allowed only if all its readings
//! are. Not here: who may place calls (SIP admission, the control plane), how many calls a trunk carries.
//! Sources: ITU-T E.164 assigned country codes; 3GPP TS 22.101 section 10 and national numbering plans for emergency numbers.

use super::hosts::HostRules;
use super::number::{Number, Plan, hidden_in};
use super::{DialError, Dialled, User, Written};

/// The text that refuses emergency calls if none can be placed.
pub const NO_EMERGENCY_CALLS: &str = "This system does not place emergency calls: use another phone";

/// Emergency numbers that are known everywhere, whatever the country.
const EMERGENCY_EVERYWHERE: [&str; 3] = ["112", "911", "999"];

/// Emergency numbers by country (ISO 3166-1), in addition to those that are known everywhere.
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

/// Country codes of satellite and international networks, whose minutes cost euros.
const SATELLITE: [&str; 4] = ["870", "881", "882", "883"];

/// Prefixes of numbers that earn money for the party called. `979`: the international premium rate service.
const PREMIUM: [&str; 36] = [
    "1900", "1976", "979", "3189", "3190", "3389", "34803", "34806", "34807", "34905", "34907", "3489", "3906",
    "39144", "39166", "39199", "32900", "32901", "32902", "32903", "32904", "32905", "32906", "32907", "32909",
    "351601", "351607", "353156", "353157", "353158", "353159", "4190", "43930", "4487", "449", "49900",
];

/// Which numbers may be called through trunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialConfig {
    /// Prefixes of numbers that may be called: `+34` for international numbers however they are written, `7` for
    /// numbers of a private plan. Empty: all but satellite and premium numbers.
    pub allow: Vec<String>,
    /// Whether satellite networks may be called, as far as `allow` permits.
    pub satellite: bool,
    /// Whether premium numbers may be called, as far as `allow` permits.
    pub premium: bool,
    /// Countries (ISO 3166-1, such as `ES`) whose emergency numbers are known, in addition to 112, 911 and 999.
    pub countries: Vec<String>,
    /// Trunk that carries emergency calls; `None`: they are refused at once with [`NO_EMERGENCY_CALLS`].
    pub emergency_trunk: Option<String>,
    /// Hosts other than trunks that may be called by URI.
    pub uris: HostRules,
    /// Begin of what a user's telephone dials to pick up a parked call, followed by the number of its slot; empty: parked calls
    /// are not picked up by dialling.
    pub pickup: String,
}

/// The configured rules for what may be called.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    config: DialConfig,
}

/// The verdict on a number that is not an emergency number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The number may be called.
    Allowed,
    /// The number may not be called; the sentence says why.
    Refused(&'static str),
}

/// The refusal of a name that a trunk would be asked for.
const NOT_LISTED: Verdict = Verdict::Refused("This destination is not allowed");

impl Guard {
    /// Creates a guard from a configuration whose names were checked.
    pub fn new(config: DialConfig) -> Guard {
        Guard { config }
    }

    /// Reads a number, name or URI and returns its meaning here.
    ///
    /// # Errors
    /// Returns a [`DialError`] that says what was expected; tell the caller and do not call.
    pub fn read(&self, text: &str) -> Result<Dialled, DialError> {
        Written::parse(text).map(|written| self.dialled(written))
    }

    /// Returns the meaning here of a destination that was read.
    pub fn dialled(&self, written: Written) -> Dialled {
        let Written { user, at } = written;
        match user {
            User::Number(number) if self.is_urgent(&number) => Dialled::Emergency(number.digits().to_owned()),
            User::Number(number) => Dialled::Number { number, at },
            User::Name(user) => Dialled::Uri { user, at },
        }
    }

    /// Returns whether the text is an emergency number, in any spelling that telephones and programs use.
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

    /// Returns the trunk that carries emergency calls.
    ///
    /// # Errors
    /// Returns [`NO_EMERGENCY_CALLS`] if no trunk is configured for them.
    pub fn emergency_trunk(&self) -> Result<&str, &'static str> {
        self.config.emergency_trunk.as_deref().ok_or(NO_EMERGENCY_CALLS)
    }

    /// Returns the number of the parking slot that is dialled after the pickup prefix; `None`: something else was dialled.
    pub fn slot(&self, dialled: &Dialled) -> Option<u16> {
        let Dialled::Number { number, .. } = dialled else { return None };
        let slot =
            number.as_str().strip_prefix(self.config.pickup.as_str()).filter(|_| !self.config.pickup.is_empty())?;
        slot.bytes().all(|byte| byte.is_ascii_digit()).then(|| slot.parse().ok())?
    }

    /// Returns the hosts other than trunks that may be called by URI.
    pub fn uris(&self) -> &HostRules {
        &self.config.uris
    }

    /// Returns whether a number may be called where this plan applies.
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

    /// Returns whether a name may be called through a trunk with this plan: only without an allow-list, and only if the
    /// name hides no forbidden number.
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

/// Returns whether a country's emergency numbers are known.
pub fn knows_country(code: &str) -> bool {
    EMERGENCY.iter().any(|(known, _)| known.eq_ignore_ascii_case(code))
}
