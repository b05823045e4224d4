//! Addresses that can be called: E.164 numbers and `sip:` URIs.

/// Text of the problem for an address that is neither.
pub(crate) const EXPECTED: &str =
    "expected a number in E.164 form such as +15555550142, or a SIP URI such as sip:anna@example.com";

/// Longest SIP URI that is accepted, in bytes.
pub(crate) const URI_MAX: usize = 256;

/// Pattern of numbers that [`is_e164`] accepts, for the API's description.
pub(crate) const E164_PATTERN: &str = r"^\+[1-9][0-9]{1,14}$";
/// Pattern of the first digits of E.164 numbers.
pub(crate) const PREFIX_PATTERN: &str = r"^\+[1-9][0-9]{0,14}$";

/// Returns the pattern of addresses that [`is_callable`] accepts, for the API's description. IPv6 addresses that contain an IPv4
/// address are accepted too, although the pattern does not describe them.
pub(crate) fn callable_pattern() -> String {
    format!("^({})$", callable())
}

/// Returns the same pattern with short numbers added, which may be emergency numbers.
pub(crate) fn dialled_pattern() -> String {
    format!("^({}|[0-9]{{2,6}})$", callable())
}

fn callable() -> String {
    let user = r"[A-Za-z0-9_.!~*'()&=+$,/%-]+@";
    let group = "[0-9A-Fa-f]{1,4}";
    let address = [
        format!("({group}:){{7}}{group}"),
        format!("({group}:){{1,7}}:"),
        format!("({group}:){{1,6}}:{group}"),
        format!("({group}:){{1,5}}(:{group}){{1,2}}"),
        format!("({group}:){{1,4}}(:{group}){{1,3}}"),
        format!("({group}:){{1,3}}(:{group}){{1,4}}"),
        format!("({group}:){{1,2}}(:{group}){{1,5}}"),
        format!("{group}:(:{group}){{1,6}}"),
        format!(":((:{group}){{1,7}}|:)"),
    ];
    let port = "0{0,4}[1-9]|0{0,3}[1-9][0-9]|0{0,2}[1-9][0-9]{2}|0?[1-9][0-9]{3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|\
                65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]";
    let host = format!(r"([A-Za-z0-9][A-Za-z0-9.-]*|\[({})\])", address.join("|"));
    format!(r"\+[1-9][0-9]{{1,14}}|sip:({user})?{host}(:({port}))?")
}

/// Returns whether `text` is `+` and 2 to 15 digits, the first not 0: `^\+[1-9]\d{1,14}$`.
pub(crate) fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    let digits = digits.as_bytes();
    (2..=15).contains(&digits.len()) && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit)
}

/// Returns a called number in E.164 format. Trunks may omit the plus.
pub(crate) fn as_e164(to: &str) -> Option<String> {
    let number = if to.starts_with('+') { to.to_owned() } else { format!("+{to}") };
    is_e164(&number).then_some(number)
}

/// Returns whether `text` is `sip:[user@]host[:port]` in printable ASCII, without characters that could end a header or a URI.
///
/// Parameters and headers (`;`, `?`) are refused, because they would let a caller of the API control transport and headers.
pub(crate) fn is_sip_uri(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("sip:") else { return false };
    if text.len() > URI_MAX {
        return false;
    }
    let (user, hostport) = match rest.rsplit_once('@') {
        Some((user, hostport)) => (Some(user), hostport),
        None => (None, rest),
    };
    let user_char = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/%".contains(&b);
    if user.is_some_and(|user| user.is_empty() || !user.bytes().all(user_char)) {
        return false;
    }
    is_host_port(hostport)
}

fn is_host_port(text: &str) -> bool {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else { return false };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        ("v6", after.strip_prefix(':').or(if after.is_empty() { None } else { Some("") }))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let host_ok = !host.is_empty()
        && !host.starts_with(['-', '.'])
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let port_ok = port.is_none_or(|port| {
        port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    host_ok && port_ok
}

/// Returns whether `text` has the form of an address that can be called.
pub(crate) fn is_callable(text: &str) -> bool {
    is_e164(text) || is_sip_uri(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e164_is_plus_and_two_to_fifteen_digits() {
        for good in [
            "+15555550142",
            "+12",
            "+123456789012345",
            "+99999999999",
            "+34600000001",
            "+4930123456",
            "+8613800138000",
            "+390612345678",
            "+5511987654321",
            "+912212345678",
            "+81312345678",
            "+61291234567",
            "+27211234567",
            "+2348012345678",
            "+6565551234",
            "+881612345678",
        ] {
            assert!(is_e164(good), "{good}");
        }
        for bad in [
            "",
            "+",
            "+1",
            "+0123456",
            "15555550142",
            "+1234567890123456",
            "+1 555 555 0142",
            "+1-555",
            "++15555550142",
            "+1555555014a",
            " +15555550142",
            "+15555550142\n",
            "0015555550142",
            "+１２３４５",
            "tel:+15555550142",
            "+(1)5555550142",
            "+1.555.555.0142",
            "+1555\u{a0}5550142",
            "+1555555014\u{0661}",
            "+1555550142x9",
            "＋15555550142",
            "+-15555550142",
            "+1e10",
            "+15555550142;ext=5",
            "+15555550142 ",
            "+00155555501",
        ] {
            assert!(!is_e164(bad), "{bad:?}");
        }
    }

    #[test]
    fn sip_uris_name_a_host_and_carry_no_parameters() {
        for good in ["sip:anna@example.com", "sip:example.com:5070", "sip:a.b+c@127.0.0.1:5060", "sip:x@[::1]:5060"] {
            assert!(is_sip_uri(good), "{good}");
        }
        for bad in [
            "sip:",
            "sip:@example.com",
            "sip:a@",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b;transport=tcp",
            "sip:a@b?x=y",
            "sip:a b@c",
            "sip:a@b\r\nTo: x",
            "sips:a@b",
            "SIP:a@b",
            "sip:a@-b",
            "sip:a@[::1",
            "sip:a@[::1]x",
            "sip:<a>@b",
            "http://a",
        ] {
            assert!(!is_sip_uri(bad), "{bad:?}");
        }
    }

    /// Seeded and bounded: no bytes cause a panic, and accepted addresses are harmless.
    #[test]
    fn mutated_addresses_never_panic_and_never_contain_a_line_end() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand::rngs::SmallRng::seed_from_u64(7);
        let seeds = ["+15555550142", "sip:anna@example.com:5060", "sip:x@[2001:db8::1]"];
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            let text = String::from_utf8_lossy(&bytes);
            if is_callable(&text) {
                assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
                assert!(!text.contains(['<', '>', '"', ';', '?']), "{text:?}");
            }
        }
    }
}
