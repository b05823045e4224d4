//! What is wrong with a configuration, in one sentence that names the key.

use std::path::Path;

use figment::error::{Error, Kind};

/// Why a configuration cannot be used. Each text is one sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, or is no TOML.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A key is not known.
    #[error("{key}: unknown key{place}; {expected}")]
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// Where it was found.
        place: String,
        /// The nearest known key, or all.
        expected: String,
    },
    /// A value cannot be used.
    #[error("{key}: {problem}")]
    Value {
        /// The key, with its section.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, source: &std::io::Error) -> ConfigError {
        let hint = if source.kind() == std::io::ErrorKind::NotFound {
            "; copy tandem.example.toml there, or leave --config out to take the defaults"
        } else {
            ""
        };
        ConfigError::File { path: path.display().to_string(), problem: format!("cannot be read: {source}{hint}") }
    }

    pub(super) fn syntax(path: &Path, error: &Error) -> ConfigError {
        let text = error.to_string();
        // The parser shows the line with a caret: a log wants one line, and that line may hold a password.
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
            // What stands there may be a secret.
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if may_hold_secret(&section) => {
                ConfigError::Value { key: section, problem: format!("has another form{place}, expected {expected}") }
            }
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                ConfigError::Value { key: section, problem: format!("found {actual}{place}, expected {expected}") }
            }
            other => ConfigError::Value { key: section, problem: format!("{other}{place}") },
        }
    }
}

/// Whether what stands under this key, or in its section, may be a secret: then it is not repeated.
fn may_hold_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default();
    matches!(last, "password" | "secret" | "url" | "migrate_url")
        || matches!(key, "store" | "mail" | "turn" | "trunks" | "routes")
}

/// The known name that is fewest edits away, when that is near enough to be a slip.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len() / 3)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
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
