//! Texts that people give names, notes and outcomes in.

use crate::problem::Problem;

/// A name of one line: trimmed, 1 to `most` characters, none of them control.
pub(crate) fn name(field: &'static str, text: &str, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Problem::field(field, format!("expected 1 to {most} characters, none of them control")));
    }
    Ok(text.to_owned())
}

/// A text of any lines: trimmed, 1 to `most` characters, none of them control but line ends and tabs.
pub(crate) fn prose(field: &'static str, text: &str, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    let unfit = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.chars().count() > most || text.chars().any(unfit) {
        return Err(Problem::field(field, format!("expected 1 to {most} characters, none of them control")));
    }
    Ok(text.to_owned())
}
