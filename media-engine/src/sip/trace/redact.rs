//! A message in a form that may be shown: without secrets that would let a reader act or listen in a party's place, and
//! without control sequences for terminals.
//!
//! ```text
//!  Authorization, Authentication-Info, X-...-Token: (removed)      also in bodies that hold messages, and in URIs' headers
//!  a=crypto:1 AES_CM_128_HMAC_SHA1_80 (removed)                    also a=ice-pwd, a=key-mgmt, k=
//!  sip:user:(removed)@host
//! ```
//!
//! In doubt, text is removed. Challenges stay: they hold no secret, and show why a password was rejected.
//! Sources: RFC 3261 sections 19.1.1 and 22, RFC 4568, RFC 4567, RFC 8839, RFC 4566 section 5.12.

/// The text that replaces a secret.
pub const REMOVED: &str = "(removed)";

/// A header is secret if its name contains one of these, in lower case.
const SECRET_NAMES: [&str; 8] = ["auth", "token", "secret", "passw", "key", "cookie", "credential", "signature"];
/// Exceptions: these only state what is asked for.
const OPEN_NAMES: [&str; 2] = ["www-authenticate", "proxy-authenticate"];
/// Attributes and fields of session descriptions that are secret, in lower case.
const SECRET_FIELDS: [&str; 4] = ["a=crypto:", "a=ice-pwd:", "a=key-mgmt:", "k="];
/// Longest name of a header that is checked.
const NAME_MAX: usize = 64;

/// Returns the text of a message without secrets and control characters, with lines that end in `\n`.
pub fn redacted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    // Whether the previous header was removed, and the lines that continue it with it.
    let mut hiding = false;
    for line in lines(&text) {
        if hiding && line.starts_with([' ', '\t']) {
            continue;
        }
        let open = open_part(line);
        hiding = open.is_some();
        match open {
            Some(open) => {
                out.push_str(&plain(open));
                if open.ends_with(':') && !open.contains('=') {
                    out.push(' ');
                }
                out.push_str(REMOVED);
            }
            None => out.push_str(&plain(&without_uri_secrets(line))),
        }
        out.push('\n');
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// Returns a text on one line without control characters.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Returns the lines, whatever their ends: those of a body may differ from those of the headers.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Returns the part of a secret line that may be shown; `None` if it has none of these forms.
fn open_part(line: &str) -> Option<&str> {
    let lower = line.to_ascii_lowercase();
    let start = lower.len() - lower.trim_start().len();
    if let Some(field) = SECRET_FIELDS.iter().find(|field| lower[start..].starts_with(**field)) {
        let end = start + field.len();
        // Tag and suite of a=crypto show what was agreed; the key comes after them.
        let Some(key) = lower.find("inline:").filter(|_| *field == "a=crypto:") else { return Some(&line[..end]) };
        return Some(&line[..key.max(end)]);
    }
    if let Some(colon) = lower.find(':') {
        let name = lower[..colon].trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let secret = name.len() <= NAME_MAX
            && !OPEN_NAMES.contains(&name)
            && !name.contains(char::is_whitespace)
            && SECRET_NAMES.iter().any(|word| name.contains(word));
        if secret {
            return Some(&line[..=colon]).filter(|open| !open.is_empty());
        }
    }
    // Credentials under another header's name.
    let digest = lower.find("digest ")?;
    lower[digest..].contains("response=").then(|| &line[..digest])
}

/// Returns a line without the passwords and credentials in its URIs.
fn without_uri_secrets(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    loop {
        let lower = rest.to_ascii_lowercase();
        let scheme = ["sip:", "sips:"].iter().filter_map(|scheme| Some((lower.find(scheme)?, scheme.len()))).min();
        let header = lower.find("authorization=").map(|at| at + "authorization=".len());
        match (scheme, header) {
            (Some((at, length)), header) if header.is_none_or(|header| at < header) => {
                let start = at + length;
                let end = start + uri_end(&rest[start..]);
                let user = rest[start..end].split_once('@').map(|(user, _)| user);
                match user.and_then(|user| user.split_once(':')) {
                    Some((name, password)) => {
                        out.push_str(&rest[..start + name.len() + 1]);
                        out.push_str(REMOVED);
                        rest = &rest[start + name.len() + 1 + password.len()..];
                    }
                    None => {
                        out.push_str(&rest[..start]);
                        rest = &rest[start..];
                    }
                }
            }
            (_, Some(start)) => {
                out.push_str(&rest[..start]);
                out.push_str(REMOVED);
                let value = rest[start..].find(['&', '>', '"', ' ', ',']);
                rest = &rest[value.map_or(rest.len(), |length| start + length)..];
            }
            _ => {
                out.push_str(rest);
                return out;
            }
        }
    }
}

/// Returns the index at which a URI must end.
fn uri_end(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"')).unwrap_or(text.len())
}
