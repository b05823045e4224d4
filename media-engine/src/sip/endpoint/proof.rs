//! Credentials of ours: the answer to a challenge (RFC 3261 section 22, RFC 8760).
//!
//! Not here: which password may answer whose challenge (`challenging`, `registrations`).

use super::tokens::Tokens;
use crate::sip::digest::{self, Challenge};
use crate::sip::header::Name;
use crate::sip::message::Message;

/// Most stale nonces of one request that are replaced.
const STALE: u8 = 3;

/// A header that proves who we are, and its value.
pub(super) struct Proof {
    pub(super) header: Name,
    pub(super) value: String,
}

/// Returns the credentials of `account` for the first supported challenge of a response; `None` also if the account's
/// were refused before. `answered` challenges of the same request were answered so far.
pub(super) fn proof(
    response: &Message<'_>,
    status: u16,
    answered: u8,
    (user, password): (&str, &str),
    (method, uri): (&str, &str),
    tokens: &mut Tokens,
) -> Option<Proof> {
    let (asked, header) = match status {
        401 => (Name::WwwAuthenticate, Name::Authorization),
        407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        _ => return None,
    };
    let challenge = response.lines(asked).find_map(|line| Challenge::parse(line).ok())?;
    let most = if challenge.stale { STALE } else { 1 };
    if answered >= most {
        return None;
    }
    let value = digest::answer(&challenge, user, password, method, uri, &tokens.fresh(), 1);
    Some(Proof { header, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_is_not_sent_again_but_a_stale_nonce_is_replaced() {
        let mut tokens = Tokens::new(&[7; 32]);
        for (status, header, stale, answers) in [
            (401, "WWW-Authenticate", "", 1),
            (407, "Proxy-Authenticate", "", 1),
            (407, "Proxy-Authenticate", ", stale=true", 3),
            (401, "Proxy-Authenticate", "", 0),
            (403, "WWW-Authenticate", "", 0),
        ] {
            let text = format!(
                "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n\
                 {header}: Digest realm=\"r\", nonce=\"n\"{stale}\r\nContent-Length: 0\r\n\r\n"
            );
            let response = Message::parse(text.as_bytes()).unwrap();
            let mut answer =
                |answered| proof(&response, status, answered, ("u", "p"), ("INVITE", "sip:x"), &mut tokens);
            let answered = (0..5).take_while(|answered| answer(*answered).is_some()).count();
            assert_eq!(answered, answers, "{status} {header} {stale}");
        }
    }
}
