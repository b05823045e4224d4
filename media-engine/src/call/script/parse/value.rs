//! Values with their paths, and checks of their form.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::ProgramError;
use super::json::Node;
use crate::call::script::text::{Name, Template};

/// Maximum length in an error of a name from the program, in characters.
const NAME_SHOWN_MAX: usize = 40;

/// A value and its path.
pub(super) struct Value<'a> {
    node: &'a Node,
    path: String,
}

impl<'a> Value<'a> {
    pub(super) fn root(node: &'a Node, path: &str) -> Value<'a> {
        Value { node, path: path.into() }
    }

    pub(super) fn named(self, path: String) -> Value<'a> {
        Value { path, ..self }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> ProgramError {
        ProgramError { path: self.path.clone(), problem: problem.into() }
    }

    fn wrong_kind(&self, expected: &str) -> ProgramError {
        self.error(format!("expected {expected}, found {}", self.node.kind()))
    }

    /// Returns a field, if this is an object that has it; other fields are ignored.
    pub(super) fn peek(&self, name: &str) -> Option<Value<'a>> {
        let Node::Object(fields) = self.node else { return None };
        let (_, node) = fields.iter().find(|(field, _)| field == name)?;
        Some(Value { node, path: format!("{}.{name}", self.path) })
    }

    /// Returns a text of 1 to `most` characters; the only control characters in it may be line ends and tabs.
    pub(super) fn text(&self, most: usize) -> Result<&'a str, ProgramError> {
        let Node::Text(text) = self.node else { return Err(self.wrong_kind("a text")) };
        if text.is_empty() || text.chars().count() > most {
            return Err(self.error(format!("expected 1 to {most} characters")));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(self.error("expected a text without control characters"));
        }
        Ok(text)
    }

    /// Returns a text of one line.
    pub(super) fn line(&self, most: usize) -> Result<&'a str, ProgramError> {
        let text = self.text(most)?;
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(self.error("expected a text of one line, without spaces around it"));
        }
        Ok(text)
    }

    pub(super) fn template(&self, most: usize) -> Result<Template, ProgramError> {
        Template::parse(self.text(most)?).map_err(|problem| self.error(problem))
    }

    /// Returns the name of a variable or label.
    pub(super) fn name(&self) -> Result<&'a str, ProgramError> {
        let Node::Text(text) = self.node else { return Err(self.wrong_kind("a name")) };
        text.parse::<Name>().map(|_| text.as_str()).map_err(|error| self.error(error.to_string()))
    }

    pub(super) fn variable(&self) -> Result<Name, ProgramError> {
        self.name()?.parse().map_err(|error: super::super::text::BadName| self.error(error.to_string()))
    }

    pub(super) fn flag(&self) -> Result<bool, ProgramError> {
        match self.node {
            Node::Flag(flag) => Ok(*flag),
            _ => Err(self.wrong_kind("true or false")),
        }
    }

    pub(super) fn number(&self, range: RangeInclusive<u32>) -> Result<u32, ProgramError> {
        let expected = || format!("expected a whole number from {} to {}", range.start(), range.end());
        let Node::Whole(number) = self.node else { return Err(self.wrong_kind(&expected()["expected ".len()..])) };
        u32::try_from(*number)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.error(format!("{}, found {number}", expected())))
    }

    pub(super) fn seconds(&self, range: RangeInclusive<u32>) -> Result<Duration, ProgramError> {
        self.number(range).map(|seconds| Duration::from_secs(seconds.into()))
    }

    pub(super) fn millis(&self, range: RangeInclusive<u32>) -> Result<Duration, ProgramError> {
        self.number(range).map(|millis| Duration::from_millis(millis.into()))
    }

    /// Returns the value for one of these words.
    pub(super) fn word<T: Clone>(&self, words: &[(&str, T)]) -> Result<T, ProgramError> {
        let expected = || {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("expected one of {}", words.join(", "))
        };
        let Node::Text(text) = self.node else { return Err(self.error(expected())) };
        words
            .iter()
            .find(|(word, _)| word == text)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| self.error(expected()))
    }

    pub(super) fn items(
        &self,
        count: RangeInclusive<usize>,
        of: &str,
    ) -> Result<impl IntoIterator<Item = Value<'a>> + use<'a>, ProgramError> {
        let Node::List(items) = self.node else { return Err(self.wrong_kind(&format!("a list of {of}"))) };
        if !count.contains(&items.len()) {
            let (least, most) = count.into_inner();
            return Err(self.error(format!("expected {least} to {most} {of}, found {}", items.len())));
        }
        let path = self.path.clone();
        Ok(items.iter().enumerate().map(move |(at, node)| Value { node, path: format!("{path}[{at}]") }))
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.node, Node::Object(_))
    }

    /// Returns the fields of an object, in which each may occur only once.
    pub(super) fn fields(&self) -> Result<Fields<'a>, ProgramError> {
        let Node::Object(fields) = self.node else { return Err(self.wrong_kind("an object")) };
        for (at, (name, _)) in fields.iter().enumerate() {
            if fields[..at].iter().any(|(other, _)| other == name) {
                return Err(self.field_error(name, "expected this field once"));
            }
        }
        let left = fields.iter().map(|(name, node)| (name.as_str(), node)).collect();
        Ok(Fields { path: self.path.clone(), left, asked: Vec::new() })
    }

    fn field_error(&self, name: &str, problem: impl Into<String>) -> ProgramError {
        ProgramError { path: format!("{}.{}", self.path, printable(name)), problem: problem.into() }
    }
}

/// Makes a name from the program fit for an error message.
fn printable(name: &str) -> String {
    name.chars().take(NAME_SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// Fields of an object that have not been read yet.
pub(super) struct Fields<'a> {
    path: String,
    left: Vec<(&'a str, &'a Node)>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Returns a field if it is present.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Value<'a>> {
        self.asked.push(name);
        let at = self.left.iter().position(|(field, _)| *field == name)?;
        let (_, node) = self.left.remove(at);
        Some(Value { node, path: format!("{}.{name}", self.path) })
    }

    /// Returns a field that must be present.
    pub(super) fn required(&mut self, name: &'static str) -> Result<Value<'a>, ProgramError> {
        let missing = ProgramError { path: format!("{}.{name}", self.path), problem: "expected this field".into() };
        self.optional(name).ok_or(missing)
    }

    /// Returns the only field, whatever its name; `Err`: there is no field, or more than one.
    pub(super) fn only(self) -> Result<(&'a str, Value<'a>), ()> {
        let [(name, node)] = self.left[..] else { return Err(()) };
        Ok((name, Value { node, path: format!("{}.{}", self.path, printable(name)) }))
    }

    /// Returns the number of fields that are left.
    pub(super) fn count(&self) -> usize {
        self.left.len()
    }

    /// Returns all fields that are left, whatever their names.
    pub(super) fn all(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let Fields { path, left, .. } = self;
        left.into_iter().map(move |(name, node)| (name, Value { node, path: format!("{path}.{}", printable(name)) }))
    }

    /// Checks that no other field is present.
    pub(super) fn end(self) -> Result<(), ProgramError> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let problem = match self.asked[..] {
            [] => "unknown field: none is expected here".to_owned(),
            _ => format!("unknown field: expected one of {}", self.asked.join(", ")),
        };
        Err(ProgramError { path: format!("{}.{}", self.path, printable(name)), problem })
    }
}
