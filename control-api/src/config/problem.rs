//! Errors of a configuration, each one sentence that names the key.

use std::path::Path;

use figment::error::{Error, Kind};

/// Reason why a configuration cannot be used. The text is one sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is not TOML.
    #[error("{path}: {problem}")]
    File {
        /// Path of the file.
        path: String,
        /// Description of the problem.
        problem: String,
    },
    /// The configuration contains an unknown key.
    #[error("{key}: unknown key{place}; {expected}")]
    UnknownKey {
        /// Name of the key, with its section.
        key: String,
        /// File or environment variable that contains it.
        place: String,
        /// The nearest known key, or a list of all.
        expected: String,
    },
    /// A value cannot be used.
    #[error("{key}: {problem}")]
    Value {
        /// Name of the key, with its section.
        key: String,
        /// Description of the problem, with the values that were expected.
        problem: String,
    },
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, source: &std::io::Error) -> ConfigError {
        let hint = if source.kind() == std::io::ErrorKind::NotFound {
            "; copy tandem.example.toml there, or omit --config to use the defaults"
        } else {
            ""
        };
        ConfigError::File { path: path.display().to_string(), problem: format!("cannot be read: {source}{hint}") }
    }

    pub(super) fn syntax(path: &Path, error: &Error) -> ConfigError {
        let text = error.to_string();
        // The parser shows the line with a caret. A log needs a single line, and the shown line may contain a password.
        let is_shown = |line: &&str| {
            let number = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
            !number.starts_with('|')
        };
        let said = text.lines().filter(is_shown).flat_map(str::split_whitespace);
        let one_line = said.collect::<Vec<_>>().join(" ");
        ConfigError::File { path: path.display().to_string(), problem: format!("is not TOML: {one_line}") }
    }
}

impl From<Error> for ConfigError {
    fn from(error: Error) -> ConfigError {
        let section = error.path.join(".");
        let place = match &error.metadata {
            Some(metadata) if metadata.name.contains("environment") => {
                format!(" (environment variable TANDEM_{})", error.path.join("__").to_ascii_uppercase())
            }
            Some(metadata) => match metadata.source.as_ref().and_then(|source| source.file_path()) {
                Some(path) => format!(" in {}", path.display()),
                None => String::new(),
            },
            None => String::new(),
        };
        match error.kind {
            Kind::UnknownField(name, known) => {
                let parent = section.strip_suffix(&name).unwrap_or(&section).trim_end_matches('.');
                let key = |name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
                let expected = match nearest(&name, known) {
                    Some(near) => format!("did you mean `{}`?", key(near)),
                    None => format!("known here: {}", known.join(", ")),
                };
                ConfigError::UnknownKey { key: key(&name), place, expected }
            }
            Kind::MissingField(name) => {
                let key = if section.is_empty() { name.to_string() } else { format!("{section}.{name}") };
                ConfigError::Value { key, problem: format!("is missing{place}") }
            }
            Kind::Message(problem) => ConfigError::Value { key: section, problem: format!("{problem}{place}") },
            // The value may be a secret, so it is not shown.
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if may_hold_secret(&section) => {
                ConfigError::Value { key: section, problem: format!("has the wrong type{place}, expected {expected}") }
            }
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                ConfigError::Value { key: section, problem: format!("found {actual}{place}, expected {expected}") }
            }
            other => ConfigError::Value { key: section, problem: format!("{other}{place}") },
        }
    }
}

/// Returns whether the value of this key, or in its section, may be a secret that must not be shown.
fn may_hold_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default();
    matches!(last, "password" | "secret" | "url" | "migrate_url")
        || matches!(key, "store" | "mail" | "turn" | "trunks" | "routes")
}

/// Returns the known name with the smallest edit distance, if it is small enough for a typing error.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len() / 3)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Returns the Levenshtein distance of two texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
