//! Names, variables, and templates.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::limits::{NAME_MAX, VALUE_MAX, VARIABLES_MAX};

/// Name of a variable or label: a letter, then letters, digits and `_`, at most 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

/// The text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name: a letter, then letters, digits and _, at most {NAME_MAX} characters")]
pub struct BadName;

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Name, BadName> {
        let is_name = text.len() <= NAME_MAX
            && text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name { Ok(Name(text.to_owned())) } else { Err(BadName) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// There are already [`VARIABLES_MAX`] variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are already {VARIABLES_MAX} variables")]
pub struct TooMany;

/// Variables of a script: values by name, limited in number and length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<Name, String>);

impl Variables {
    /// Sets a variable; a value of more than [`VALUE_MAX`] characters is cut.
    ///
    /// # Errors
    /// [`TooMany`] when the variable is new and there are [`VARIABLES_MAX`] already; nothing is changed.
    pub fn set(&mut self, name: Name, value: &str) -> Result<(), TooMany> {
        if self.0.len() >= VARIABLES_MAX && !self.0.contains_key(&name) {
            return Err(TooMany);
        }
        self.0.insert(name, value.chars().take(VALUE_MAX).collect());
        Ok(())
    }

    /// Returns the value of a variable; a variable that was never set is empty.
    pub fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Returns all variables with their values, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.0.as_str(), value.as_str()))
    }
}

/// A text in which `${name}` stands for a variable's value and `$${` for `${`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Name),
}

impl Template {
    /// Parses a template. The error says what was expected.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, behind) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                pieces.push(Piece::Text(format!("{before}${{")));
                rest = behind;
                continue;
            }
            let expected = || "expected ${NAME} with the name of a variable, or $${ for the characters ${".to_owned();
            let end = behind.find('}').ok_or_else(expected)?;
            let name = behind[..end].parse().map_err(|BadName| expected())?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Value(name));
            rest = &behind[end + 1..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Template(pieces))
    }

    /// Returns the text with the values substituted, cut to `most` characters.
    pub(super) fn fill(&self, variables: &Variables, most: usize) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Value(name) => variables.value(&name.0),
        });
        pieces.flat_map(str::chars).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_a_letter_then_up_to_31_letters_digits_or_underscores() {
        for good in ["a", "Digits_2", &"a".repeat(32)] {
            assert_eq!(good.parse::<Name>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "_a", "2a", "a-b", "ä", "a b", &"a".repeat(33)] {
            assert_eq!(bad.parse::<Name>(), Err(BadName), "{bad}");
        }
    }

    #[test]
    fn a_template_substitutes_the_values_of_its_variables() {
        let mut variables = Variables::default();
        variables.set(name("digits"), "42").unwrap();
        variables.set(name("nested"), "${digits}").unwrap();
        for (text, filled) in [
            ("", ""),
            ("You pressed ${digits}.", "You pressed 42."),
            ("${digits}${digits}", "4242"),
            ("costs $5, not $${digits}", "costs $5, not ${digits}"),
            ("${unknown}", ""),
            ("${nested}", "${digits}"),
            ("$", "$"),
            ("{digits}", "{digits}"),
        ] {
            assert_eq!(Template::parse(text).unwrap().fill(&variables, 100), filled, "{text}");
        }
        for bad in ["${", "${digits", "${}", "${a b}", "${a${digits}}"] {
            assert!(Template::parse(bad).unwrap_err().contains("expected ${NAME}"), "{bad}");
        }
        assert_eq!(
            Template::parse("ä${digits}").unwrap().fill(&variables, 2),
            "ä4",
            "the limit counts characters, not bytes"
        );
    }

    #[test]
    fn variables_are_bounded_in_number_and_length() {
        let mut variables = Variables::default();
        for n in 0..VARIABLES_MAX {
            variables.set(name(&format!("v{n}")), "1").unwrap();
        }
        assert_eq!(variables.set(name("more"), "1"), Err(TooMany));
        assert_eq!(variables.set(name("v0"), &"ä".repeat(300)), Ok(()));
        assert_eq!(variables.value("v0").chars().count(), VALUE_MAX);
        assert_eq!((variables.value("more"), variables.iter().count()), ("", VARIABLES_MAX));
    }
}
