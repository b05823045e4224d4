//! Finds the browser leg that a STUN datagram belongs to.
//!
//! All browser legs of a worker share one UDP port; a connectivity check names its leg in the
//! USERNAME attribute: the receiver's ICE user fragment, a colon, the sender's (RFC 8445 section 7.2.2).
//!
//! Not here: the check of MESSAGE-INTEGRITY, which the leg's ICE agent does before it trusts the datagram.
//! Sources: RFC 8489 sections 5, 14.3; RFC 7983 section 7.

const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const USERNAME: u16 = 0x0006;
/// ICE fragments have 4 to 256 characters (RFC 8839 section 5.4).
const FRAGMENT: std::ops::RangeInclusive<usize> = 4..=256;

/// Returns the receiver's user fragment in a STUN binding request; `None` for everything else.
pub fn stun_username_ufrag(bytes: &[u8]) -> Option<&str> {
    let header = bytes.get(..HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[..2] != BINDING_REQUEST || header[4..8] != MAGIC_COOKIE || length % 4 != 0 {
        return None;
    }
    let mut rest = bytes.get(HEADER..HEADER + length)?;
    while let [kind_high, kind_low, length_high, length_low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let value = tail.get(..length)?;
        if u16::from_be_bytes([*kind_high, *kind_low]) == USERNAME {
            return receiver_fragment(value);
        }
        rest = tail.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn receiver_fragment(username: &[u8]) -> Option<&str> {
    let (fragment, _) = std::str::from_utf8(username).ok()?.split_once(':')?;
    let valid = FRAGMENT.contains(&fragment.len()) && fragment.bytes().all(super::remote::is_ice_char);
    valid.then_some(fragment)
}

/// Fuzz target: a returned fragment lies inside the input and is valid.
#[doc(hidden)]
pub(super) mod fuzz {
    /// Runs the target with one datagram.
    pub fn fuzz_stun_username_ufrag(bytes: &[u8]) {
        if let Some(fragment) = super::stun_username_ufrag(bytes) {
            assert!(super::FRAGMENT.contains(&fragment.len()));
            assert!(bytes.as_ptr_range().contains(&fragment.as_ptr()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut bytes = vec![0, 1];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(MAGIC_COOKIE);
        bytes.extend([7; 12]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn the_receiver_s_fragment_precedes_the_colon() {
        assert_eq!(stun_username_ufrag(&request(&[(USERNAME, b"abcd:wxyz")])), Some("abcd"));
    }

    #[test]
    fn attributes_before_the_username_are_skipped_with_their_padding() {
        let bytes = request(&[(0x0024, &[1, 2, 3, 4]), (0x8022, b"agent"), (USERNAME, b"ab+/12:wxyz")]);
        assert_eq!(stun_username_ufrag(&bytes), Some("ab+/12"));
    }

    #[test]
    fn other_datagrams_have_no_fragment() {
        let good = request(&[(USERNAME, b"abcd:wxyz")]);
        let mut response = good.clone();
        response[0] = 1;
        let mut cookieless = good.clone();
        cookieless[4] ^= 1;
        let mut long = good.clone();
        long[3] = 200;
        for (name, bytes) in [
            ("empty", Vec::new()),
            ("cut", good[..good.len() - 1].to_vec()),
            ("response", response),
            ("no magic cookie", cookieless),
            ("length beyond the end", long),
            ("no colon", request(&[(USERNAME, b"abcdwxyz")])),
            ("short fragment", request(&[(USERNAME, b"abc:wxyz")])),
            ("strange characters", request(&[(USERNAME, b"ab cd:wxyz")])),
            ("RTP", vec![0x80; 172]),
        ] {
            assert_eq!(stun_username_ufrag(&bytes), None, "{name}");
        }
    }

    #[test]
    fn mutated_requests_never_panic() {
        let seeds = [request(&[(USERNAME, b"abcd:wxyz")]), request(&[(0x8022, b"x"), (USERNAME, b"abcdefgh:wxyz")])];
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        super::super::tests::mutate(&seeds, 100_000, fuzz::fuzz_stun_username_ufrag);
    }
}
