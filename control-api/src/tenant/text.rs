//! Checks of names, notes and outcomes that people enter, and the patterns that describe them.

use super::invalid::Invalid;

/// White space, which is trimmed, as the content of a character class.
const WHITE: &str = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
/// Control characters as the content of a character class.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
/// Control characters except line ends and tabs.
const CONTROL_IN_PROSE: &str = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f";

/// Returns the pattern of texts that [`name`] accepts, for the API's description.
pub(crate) fn name_pattern(most: usize) -> String {
    format!("^[{WHITE}]*{}[{WHITE}]*$", trimmed(CONTROL, most))
}

/// Returns the pattern of texts that [`prose`] accepts.
pub(crate) fn prose_pattern(most: usize) -> String {
    format!("^[{WHITE}]*{}[{WHITE}]*$", trimmed(CONTROL_IN_PROSE, most))
}

/// Returns the pattern of texts that [`name`] accepts, or of an empty text.
pub(crate) fn label_pattern(most: usize) -> String {
    format!("^[{WHITE}]*({}[{WHITE}]*)?$", trimmed(CONTROL, most))
}

/// Returns the pattern of a name that must be trimmed already.
pub(crate) fn trimmed_name_pattern(most: usize) -> String {
    format!("^{}$", trimmed(CONTROL, most))
}

/// Returns the pattern of `USER@HOST` without white space.
pub(crate) fn email_pattern() -> String {
    format!("^[^@{WHITE}{CONTROL}]+@[^@{WHITE}{CONTROL}]+$")
}

/// Returns the pattern of a text without control characters.
pub(crate) fn plain_pattern() -> String {
    format!("^[^{CONTROL}]*$")
}

/// Returns the pattern of 1 to `most` characters without the unfit ones, with no white space at the beginning and end.
fn trimmed(unfit: &str, most: usize) -> String {
    let between = most.saturating_sub(2);
    format!("[^{WHITE}{unfit}]([^{unfit}]{{0,{between}}}[^{WHITE}{unfit}])?")
}

/// Trims and checks a name on one line: 1 to `most` characters and no control characters.
pub(crate) fn name(field: impl Into<String>, text: &str, most: usize) -> Result<String, Invalid> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Invalid::new(field, format!("expected 1 to {most} characters and no control characters")));
    }
    Ok(text.to_owned())
}

/// Trims and checks a text of several lines: 1 to `most` characters, and no control characters except line ends and tabs.
pub(crate) fn prose(field: impl Into<String>, text: &str, most: usize) -> Result<String, Invalid> {
    let text = text.trim();
    let unfit = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.chars().count() > most || text.chars().any(unfit) {
        return Err(Invalid::new(field, format!("expected 1 to {most} characters and no control characters")));
    }
    Ok(text.to_owned())
}

/// Returns a store's URL for display: `postgres://USER:***@HOST:PORT/DATABASE`. Every part that may be a password, or that is in
/// an unexpected position, is omitted.
pub(crate) fn without_password(url: &str) -> String {
    let scheme = ["postgres://", "postgresql://"].into_iter().find(|scheme| url.starts_with(scheme));
    let Some(scheme) = scheme else {
        let has_none = url == "none" || url.starts_with("sqlite:");
        return if has_none { url.to_owned() } else { "***".to_owned() };
    };
    let rest = &url[scheme.len()..];
    // A query may contain a password too.
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let masked = || format!("{scheme}***");
    if query.is_some_and(|query| query.contains('@')) {
        return masked();
    }
    let (user, place) = match place.rsplit_once('@') {
        None => (String::new(), place),
        Some((user, place)) => match user.split_once(':') {
            None => (format!("{user}@"), place),
            Some((user, _)) => (format!("{user}:***@"), place),
        },
    };
    let authority = place.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    // The text after a host's colon is a port, or a password whose @ was forgotten.
    if !port.bytes().all(|byte| byte.is_ascii_digit() || byte == b']') {
        return masked();
    }
    format!("{scheme}{user}{place}{}", if query.is_some() { "?***" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_url_is_shown_without_possible_passwords() {
        for (url, shown) in [
            ("sqlite:tandem.db", "sqlite:tandem.db"),
            ("none", "none"),
            ("postgres://tandem:hush@db.example:5432/voice", "postgres://tandem:***@db.example:5432/voice"),
            ("postgresql://tandem:hush@[2001:db8::1]/voice", "postgresql://tandem:***@[2001:db8::1]/voice"),
            ("postgres://tandem:hu:s@h/@db/voice", "postgres://tandem:***@db/voice"),
            ("postgres://tandem@db/voice", "postgres://tandem@db/voice"),
            ("postgres://db:5432/voice", "postgres://db:5432/voice"),
            ("postgres://db/voice?user=tandem&password=hush", "postgres://db/voice?***"),
            ("postgres://db/voice?password=hu@sh", "postgres://***"),
            ("postgres://tandem:hu?sh@db/voice", "postgres://***"),
            ("postgres://tandem:hush", "postgres://***"),
            ("postgers://tandem:hush@db/voice", "***"),
            ("hush", "***"),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
}
