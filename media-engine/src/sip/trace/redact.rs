//! A message as it may be shown: without what would let somebody act or listen in its parties' place, and without what a
//! terminal would obey.
//!
//! ```text
//!  Authorization, Authentication-Info, X-...-Token: (removed)      also in bodies that hold messages, and in URIs' headers
//!  a=crypto:1 AES_CM_128_HMAC_SHA1_80 (removed)                    also a=ice-pwd, a=key-mgmt, k=
//!  sip:user:(removed)@host
//! ```
//!
//! When in doubt it is removed. Challenges stay: they hold no secret, and say why a password was not taken.
//! Sources: RFC 3261 sections 19.1.1 and 22, RFC 4568, RFC 4567, RFC 8839, RFC 4566 section 5.12.

/// What stands where a secret was.
pub const REMOVED: &str = "(removed)";

/// A header is secret when its name holds one of these, in lower case.
const SECRET_NAMES: [&str; 8] = ["auth", "token", "secret", "passw", "key", "cookie", "credential", "signature"];
/// But these say only what is asked for.
const OPEN_NAMES: [&str; 2] = ["www-authenticate", "proxy-authenticate"];
/// Attributes and fields of session descriptions that are secret, in lower case.
const SECRET_FIELDS: [&str; 4] = ["a=crypto:", "a=ice-pwd:", "a=key-mgmt:", "k="];
/// Longest name of a header that is looked at.
const NAME_MAX: usize = 64;

/// The text of a message without secrets and control characters, its lines ended by `\n`.
pub fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    // The header before was removed: the lines that continue it go with it.
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

/// A text on one line that no terminal obeys.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Lines, whichever way they end: a body may have another way than the headers.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// What of a line with a secret may be shown; `None`: it has none of these forms.
fn open_part(line: &str) -> Option<&str> {
    let lower = line.to_ascii_lowercase();
    let start = lower.len() - lower.trim_start().len();
    if let Some(field) = SECRET_FIELDS.iter().find(|field| lower[start..].starts_with(**field)) {
        let end = start + field.len();
        // Tag and suite of a=crypto say what was agreed; the key comes after them.
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
    // Credentials by another header's name.
    let digest = lower.find("digest ")?;
    lower[digest..].contains("response=").then(|| &line[..digest])
}

/// A line whose URIs have neither passwords nor headers with credentials.
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

/// Where a URI can no longer go on.
fn uri_end(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"')).unwrap_or(text.len())
}
