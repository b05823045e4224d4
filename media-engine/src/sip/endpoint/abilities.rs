//! Methods and extensions that we serve, and those that a peer announces.

use crate::sip::header::Name;
use crate::sip::message::Message;

/// Methods served, as listed in Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, REGISTER";
/// Extensions served, as listed in Supported (RFC 3262, RFC 4028, RFC 4488, RFC 3891, RFC 3327, RFC 5626).
pub(super) const SUPPORTED: &str = "100rel, timer, norefersub, replaces, path, outbound";
/// Content type of a session description.
pub(super) const SDP: &str = "application/sdp";

/// Methods and extensions that the peer announced in Allow and Supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerAbilities {
    pub(super) update: bool,
    pub(super) timer: bool,
}

impl PeerAbilities {
    /// Reads the abilities that a message announces for its sender.
    pub(super) fn of(message: &Message<'_>) -> PeerAbilities {
        let has = |name, option| has_option(message, name, option);
        PeerAbilities { update: has(Name::Allow, "UPDATE"), timer: has(Name::Supported, "timer") }
    }
}

/// Returns whether a list header names an option tag.
pub(super) fn has_option(message: &Message<'_>, name: Name, option: &str) -> bool {
    message.headers(name).any(|value| value.eq_ignore_ascii_case(option))
}
