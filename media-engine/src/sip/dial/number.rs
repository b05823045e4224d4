//! Telephone numbers as people, telephones and trunks write them, and what they mean where they are dialled.
//!
//! ```text
//!   text ─▶ separators off ─▶ `+` and digits, or digits of a national or private plan, or service codes with * and #
//!              └─▶ readings by a plan: every international number that the network behind it may take it for
//! ```
//!
//! Invariant: a number with `+` has one reading. One without may have several; what is forbidden for one of them is
//! forbidden.

use super::DialError;

/// Digits as many as only a number with its country has: some trunks take them without `+`.
const WITH_COUNTRY: usize = 11;
/// Fewer digits are an extension or a service of the network, never a national number.
const NATIONAL: usize = 7;
/// Keys of a telephone and their letters (ITU-T E.161).
const KEYS: [(char, &str); 8] =
    [('2', "abc"), ('3', "def"), ('4', "ghi"), ('5', "jkl"), ('6', "mno"), ('7', "pqrs"), ('8', "tuv"), ('9', "wxyz")];

/// A number: perhaps `+`, then digits, `*` and `#`; at least one digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    text: String,
    /// Digits as they were dialled, without what a `phone-context` adds.
    local: String,
    /// As it was written, decoded: names of agents may look like numbers.
    written: String,
}

/// How numbers are dialled at a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Country code without `+`, to which national numbers belong; `None`: not known.
    pub country: Option<String>,
    /// Digits before national numbers; may be empty.
    pub national: String,
    /// Digits before international numbers.
    pub international: Vec<String>,
}

impl Default for Plan {
    /// No country is known; `00` and `011` begin international numbers.
    fn default() -> Plan {
        Plan { country: None, national: "0".into(), international: vec!["00".into(), "011".into()] }
    }
}

impl Plan {
    /// The plan of a country by its code: `1` has `011` and `1`, Italy and Spain among others no national prefix, the rest `00`
    /// and `0`.
    pub fn of_country(code: &str) -> Plan {
        let (national, international) = match code {
            "1" => ("1", "011"),
            "7" => ("8", "810"),
            "61" => ("0", "0011"),
            "81" => ("0", "010"),
            "30" | "34" | "39" | "45" | "47" | "48" | "351" | "352" | "420" => ("", "00"),
            _ => ("0", "00"),
        };
        Plan { country: Some(code.into()), national: national.into(), international: vec![international.into()] }
    }
}

impl Number {
    /// Reads a user part without parameters; `None`: it is a name. `context`: its `phone-context`, empty when there is none.
    ///
    /// # Errors
    /// Letters behind `+`, `+` behind digits, or a context that is no number.
    pub(super) fn read(name: &str, context: &str) -> Result<Option<Number>, DialError> {
        let is_key = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#');
        let start = name.find(|c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '#')).unwrap_or(name.len());
        let (before, body) = name.split_at(start);
        let plus = before.contains('+');
        if name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return if plus { Err(DialError::Letters) } else { Ok(None) };
        }
        let keys: String = body.chars().filter(|c| is_key(*c)).collect();
        if !keys.bytes().any(|byte| byte.is_ascii_digit()) {
            return if plus { Err(DialError::Letters) } else { Ok(None) };
        }
        if body.contains('+') {
            return Err(DialError::Character);
        }
        let written = name.to_owned();
        if plus {
            let digits = international_digits(keys.trim_end_matches('#'));
            return match is_digits(&digits) {
                true => Ok(Some(Number { text: format!("+{digits}"), local: digits, written })),
                false => Err(DialError::Character),
            };
        }
        let area = context.trim().strip_prefix('+').filter(|_| is_digits(&keys));
        let Some(area) = area else { return Ok(Some(Number { text: keys.clone(), local: keys, written })) };
        let area: String = area.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
        if !is_digits(&area) {
            return Err(DialError::Character);
        }
        let digits = international_digits(&format!("{area}{}", keys.trim_start_matches('0')));
        Ok(Some(Number { text: format!("+{digits}"), local: keys, written }))
    }

    /// A number from another source, such as a trunk's way of writing it; `None`: it is none.
    pub fn parse(text: &str) -> Option<Number> {
        Number::read(text, "").ok().flatten()
    }

    /// `+` and digits, or digits, `*` and `#`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Digits as they were dialled, for short numbers such as emergency ones.
    pub fn digits(&self) -> &str {
        &self.local
    }

    /// As it was written, decoded.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether it begins with `+`.
    pub fn is_international(&self) -> bool {
        self.text.starts_with('+')
    }

    /// Every international number (digits without `+`) that a network with this plan may take it for; none: it is of a
    /// private plan, or of a national one that is not known.
    pub fn readings(&self, plan: &Plan) -> Vec<String> {
        if let Some(digits) = self.text.strip_prefix('+') {
            return vec![digits.to_owned()];
        }
        let mut found = Vec::new();
        let last = self.text.rsplit(['*', '#']).find(|part| !part.is_empty()).unwrap_or_default();
        let all: String = self.text.chars().filter(char::is_ascii_digit).collect();
        for digits in [all.as_str(), last] {
            read_digits(digits, plan, &mut found);
        }
        found.sort();
        found.dedup();
        found
    }

    /// The one international number that its own prefix says it is: digits behind `+` or behind one of the plan's prefixes.
    pub fn international(&self, plan: &Plan) -> Option<String> {
        if let Some(digits) = self.text.strip_prefix('+') {
            return Some(digits.to_owned());
        }
        if is_digits(&self.text) { behind_prefix(&self.text, plan) } else { None }
    }
}

fn read_digits(digits: &str, plan: &Plan, found: &mut Vec<String>) {
    // Where no country is known, prefixes may be dialled in any order and number.
    let bare = international_digits(digits);
    let bare = (plan.country.is_none() && bare.len() >= WITH_COUNTRY).then_some(bare);
    if let Some(international) = behind_prefix(digits, plan) {
        found.extend(bare);
        return found.push(international);
    }
    if let Some(country) = plan.country.as_ref().filter(|_| digits.len() >= NATIONAL) {
        let behind = digits.strip_prefix(plan.national.as_str()).filter(|_| !plan.national.is_empty());
        if let Some(national) = behind {
            return found.push(format!("{country}{}", national.trim_start_matches(leading_zero(country))));
        }
        found.push(format!("{country}{digits}"));
    }
    found.extend(bare);
    let whole = digits.trim_start_matches('0');
    if whole.len() >= WITH_COUNTRY {
        found.push(whole.to_owned());
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Zeros that somebody dials too many: none in countries whose numbers begin with one.
fn leading_zero(country: &str) -> &'static [char] {
    if country == "39" { &[] } else { &['0'] }
}

fn behind_prefix(digits: &str, plan: &Plan) -> Option<String> {
    // The longest prefix wins, as at an exchange.
    let prefixes = plan.international.iter().filter(|prefix| !prefix.is_empty());
    let behind =
        prefixes.filter_map(|prefix| digits.strip_prefix(prefix.as_str())).min_by_key(|behind| behind.len())?;
    let international = international_digits(behind);
    (!international.is_empty()).then_some(international)
}

/// Digits behind `+` or an international prefix. No country code begins with 0: such prefixes that were dialled twice, as in
/// `+00` and `+011`, are taken off.
fn international_digits(keys: &str) -> String {
    let mut digits = keys;
    while let Some(behind) = digits.strip_prefix("011").or_else(|| digits.strip_prefix('0')) {
        digits = behind;
    }
    digits.to_owned()
}

/// Numbers that hide in a name with letters: its digits alone, and where it begins with one its letters as the keys of a
/// telephone that have them.
pub(super) fn hidden_in(name: &str) -> Vec<Number> {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let begins = name.chars().find(char::is_ascii_alphanumeric).is_some_and(|first| first.is_ascii_digit());
    let key = |c: char| {
        let letter = c.to_ascii_lowercase();
        KEYS.iter().find(|(_, letters)| letters.contains(letter)).map_or(c, |(key, _)| *key)
    };
    let keyed: String = name.chars().filter(char::is_ascii_alphanumeric).map(key).collect();
    let keyed = if begins { keyed } else { String::new() };
    [digits, keyed].iter().filter_map(|text| Number::parse(text)).collect()
}
