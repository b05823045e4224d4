//! Search for text that must not occur in a log: complete phone numbers, keys, cookies and passwords.

use std::sync::LazyLock;

use regex::Regex;

static LEAKS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let pattern = |what, text: &str| (what, Regex::new(text).expect("a pattern"));
    vec![
        pattern("a phone number", r"\+[1-9][0-9]{6,14}"),
        pattern("a phone number in a URI", r"(?i)(sips?|tel):(\+|%2b|00)?[0-9]{7,15}@?"),
        pattern("an API key", r"tdm_[A-Za-z0-9_-]{20,}"),
        pattern("a session's cookie", r"tandem_(session|csrf)=[A-Za-z0-9_-]{8,}"),
        pattern("a credential", r"(?i)(bearer [A-Za-z0-9_-]{8,}|digest username=|response=.?[0-9a-f]{32})"),
        pattern("a password in a URL", r"://[^/@\s]+:[^/@\s]+@"),
        pattern("a key of SRTP", r"inline:[A-Za-z0-9+/]{20,}"),
    ]
});

/// Returns every secret in a log, with its line.
pub fn leaks(log: &str) -> Vec<String> {
    let of = |line: &str| {
        let found = LEAKS.iter().find(|(_, pattern)| pattern.is_match(line));
        found.map(|(what, _)| format!("{what}: {}", line.trim()))
    };
    log.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_log_are_found_and_permitted_text_is_not() {
        for bad in [
            "call in from=\"+15555550142\"",
            "INVITE sip:+34910000001@host",
            "why=\"tel:34910000001 cannot be called\"",
            "key tdm_0123456789abcdefghijABCDEFGHIJ0123456789abc",
            "cookie tandem_session=abcdefghijkl",
            "Authorization: Bearer abcdefgh12",
            "postgres://tandem:hush@127.0.0.1/x",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        ] {
            assert_eq!(leaks(bad).len(), 1, "{bad}");
        }
        for good in [
            "2026-11-23T00:07:34.185280Z  INFO call in call=45f12a46-f6eb-440b-94e0-9071a9d571f8 from=\"+1555•••0142\"",
            "listening for SIP listener=udp:127.0.0.1:45799",
            "postgres://127.0.0.1:5432/x",
            "took +12 ms",
        ] {
            assert!(leaks(good).is_empty(), "{good}");
        }
    }
}
