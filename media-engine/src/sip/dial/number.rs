//! Telephone numbers as people, telephones and trunks write them, and their meaning where they are dialled.
//!
//! ```text
//!   text ─▶ separators off ─▶ `+` and digits, or digits of a national or private plan, or service codes with * and #
//!              └─▶ readings by a plan: every international number that the network behind it may take it for
//! ```
//!
//! Invariant: a number with `+` has one reading. A number without `+` may have several; if one of them is forbidden, so
//! is the number.

use super::DialError;

/// From this many digits on a number includes its country code: some trunks take such numbers without `+`.
const WITH_COUNTRY: usize = 11;
/// A number with fewer digits is an extension or a service of the network, never a national number.
const NATIONAL: usize = 7;
/// Keys of a telephone and their letters (ITU-T E.161).
const KEYS: [(char, &str); 8] =
    [('2', "abc"), ('3', "def"), ('4', "ghi"), ('5', "jkl"), ('6', "mno"), ('7', "pqrs"), ('8', "tuv"), ('9', "wxyz")];

/// A telephone number: an optional `+`, then digits, `*` and `#`; at least one digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    text: String,
    /// Digits as dialled, without the prefix that a `phone-context` adds.
    local: String,
    /// The decoded text as written: names of agents may look like numbers.
    written: String,
}

/// The numbering plan that applies to numbers dialled at a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Country code without `+`, to which national numbers belong; `None` if unknown.
    pub country: Option<String>,
    /// Prefix of national numbers; may be empty.
    pub national: String,
    /// Prefixes of international numbers.
    pub international: Vec<String>,
}

impl Default for Plan {
    /// No country is known; `00` and `011` begin international numbers.
    fn default() -> Plan {
        Plan { country: None, national: "0".into(), international: vec!["00".into(), "011".into()] }
    }
}

impl Plan {
    /// Returns the plan of a country by its calling code: `1` has the prefixes `011` and `1`, some countries such as
    /// Italy and Spain have no national prefix, and most others have `00` and `0`.
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
    /// Reads a user part without parameters; `None` if it is a name. `context` is its `phone-context`, empty if there
    /// is none.
    ///
    /// # Errors
    /// Letters after `+`, `+` after digits, or a context that is not a number.
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

    /// Reads a number from another source, such as a trunk's own format; `None` if the text is not a number.
    pub fn parse(text: &str) -> Option<Number> {
        Number::read(text, "").ok().flatten()
    }

    /// Returns the number as `+` and digits, or as digits, `*` and `#`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the digits as dialled, for short numbers such as emergency numbers.
    pub fn digits(&self) -> &str {
        &self.local
    }

    /// Returns the decoded text as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Returns whether the number begins with `+`.
    pub fn is_international(&self) -> bool {
        self.text.starts_with('+')
    }

    /// Returns every international number (digits without `+`) that a network with this plan may take it for; empty if
    /// it belongs to a private plan, or to a national plan that is not known.
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

    /// Returns the international number that the number's own prefix (`+` or one of the plan's) makes certain, as
    /// digits.
    pub fn international(&self, plan: &Plan) -> Option<String> {
        if let Some(digits) = self.text.strip_prefix('+') {
            return Some(digits.to_owned());
        }
        if is_digits(&self.text) { behind_prefix(&self.text, plan) } else { None }
    }
}

fn read_digits(digits: &str, plan: &Plan, found: &mut Vec<String>) {
    // If no country is known, prefixes may be dialled in any order and number.
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

/// Superfluous leading zeros of national numbers; none in countries whose numbers begin with one.
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

/// Returns the digits after `+` or an international prefix. No country code begins with 0, so prefixes that were
/// dialled twice, as in `+00` and `+011`, are removed.
fn international_digits(keys: &str) -> String {
    let mut digits = keys;
    while let Some(behind) = digits.strip_prefix("011").or_else(|| digits.strip_prefix('0')) {
        digits = behind;
    }
    digits.to_owned()
}

/// Returns the numbers hidden in a name with letters: its digits only, and if it begins with a digit, the number
/// dialled by pressing the telephone keys of its letters.
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
