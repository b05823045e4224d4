//! Parsing of programs.
//!
//! ```text
//! bytes ─ json ─▶ Node ─ value ─▶ typed fields with their paths ─ step ─▶ Step      labels were collected before
//! ```
//!
//! Every error names the field by its path, as in `steps[3].gather.max_digits`, and says what was expected there. It never
//! contains values of the program, except labels and names of fields.

mod json;
mod sound;
mod step;
mod value;

use std::collections::BTreeMap;

use super::limits::{LABELS_MAX, PROGRAM_BYTES, STEPS_MAX, URL_MAX};
use super::program::{Place, Program};
use value::Value;

/// Reason why some bytes are not a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ProgramError {
    /// Path of the field, such as `steps[3].gather.max_digits`; `program` for the whole.
    pub path: String,
    /// Description of the fault and of the expected value.
    pub problem: String,
}

/// Parses a program.
pub(super) fn program(bytes: &[u8]) -> Result<Program, ProgramError> {
    let whole = |problem: String| ProgramError { path: "program".into(), problem };
    if bytes.len() > PROGRAM_BYTES {
        return Err(whole(format!("expected at most {PROGRAM_BYTES} bytes, found {}", bytes.len())));
    }
    let root = json::read(bytes).map_err(|error| whole(format!("expected JSON: {error}")))?;
    let root = Value::root(&root, "program");
    let items = root.items(1..=STEPS_MAX, "steps")?;
    let items: Vec<Value> =
        items.into_iter().enumerate().map(|(at, item)| item.named(format!("steps[{at}]"))).collect();
    let labels = labels(&items)?;
    let steps = items.iter().map(|item| step::step(item, &labels)).collect::<Result<_, _>>()?;
    Ok(Program { steps })
}

/// Returns the places of all labels.
fn labels<'a>(items: &[Value<'a>]) -> Result<Labels<'a>, ProgramError> {
    let mut labels = Labels::default();
    for (place, item) in items.iter().enumerate() {
        let Some(label) = item.peek("label") else { continue };
        let name = label.name()?;
        if let Some(other) = labels.0.insert(name, place) {
            return Err(label.error(format!("expected a name of its own: steps[{other}] has this label as well")));
        }
        if labels.0.len() > LABELS_MAX {
            return Err(label.error(format!("expected at most {LABELS_MAX} labels")));
        }
    }
    Ok(labels)
}

/// Place of each label.
#[derive(Default)]
struct Labels<'a>(BTreeMap<&'a str, Place>);

impl Labels<'_> {
    /// Returns the place that a field names.
    fn place(&self, value: &Value) -> Result<Place, ProgramError> {
        let name = value.name()?;
        self.0
            .get(name)
            .copied()
            .ok_or_else(|| value.error(format!("expected a label of this program: there is no label {name}")))
    }

    fn optional(&self, value: Option<Value>) -> Result<Option<Place>, ProgramError> {
        value.map(|value| self.place(&value)).transpose()
    }
}

/// Checks the form of a URL that is given without a program.
pub(super) fn url(text: &str) -> Result<String, ProgramError> {
    check_url(text).map_err(|problem| ProgramError { path: "url".into(), problem })?;
    Ok(text.to_owned())
}

/// Checks for an absolute URL of http or https, in ASCII and with a host, without credentials and without a fragment.
fn check_url(text: &str) -> Result<(), String> {
    if text.len() > URL_MAX {
        return Err(format!("expected at most {URL_MAX} bytes"));
    }
    let begins = |scheme: &&str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    let Some(scheme) = ["https://", "http://"].into_iter().find(begins) else {
        return Err("expected a URL that begins with https:// or http://".into());
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err("expected a URL in ASCII without spaces; anything else is written with % escapes".into());
    }
    let rest = &text[scheme.len()..];
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err("expected a URL with a host".into());
    }
    if host.contains('@') {
        return Err("expected a URL without a user name or password".into());
    }
    if rest.contains('#') {
        return Err("expected a URL without a fragment".into());
    }
    Ok(())
}
