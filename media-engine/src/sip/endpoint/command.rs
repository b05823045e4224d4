//! Commands from the engine to the endpoint, and what they name: dialogs, destinations, calls.
//!
//! - A command names a dialog by its [`DialogId`]. One for a dialog that has ended is ignored.
//! - An outgoing call is one [`Invite`] from the engine to the wire; [`Invite::new`] sets what most callers leave as it is.
//! - `Debug` of a command shows neither a password nor a number.
//!
//! Not here: what the commands do (`outgoing`, `incoming`, `offers`, `referring`, `registering`), events (`event`).

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sip::flow::Transport;
use crate::sip::trunk::Destination;

/// Identity of one call leg's dialog: even numbers are incoming, odd ones outgoing. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId(pub u64);

static OUTGOING: AtomicU64 = AtomicU64::new(1);

impl DialogId {
    /// Returns a new identity for an [`Invite`], unique in the process.
    pub fn outgoing() -> DialogId {
        DialogId(OUTGOING.fetch_add(2, Ordering::Relaxed))
    }

    /// Returns whether we sent the INVITE.
    pub fn is_outgoing(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Number of a REFER within its dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReferId(pub u32);

/// A dialog that a new call takes over (RFC 3891), as seen by the user agent that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID of that dialog.
    pub call_id: String,
    /// Tag of the user agent that is asked to give the dialog up.
    pub to_tag: String,
    /// Tag of that user agent's peer.
    pub from_tag: String,
    /// Whether the dialog may be taken over only before it is answered.
    pub early_only: bool,
}

impl Replaces {
    /// Reads the value of a Replaces header (RFC 3891 section 6.1).
    pub(super) fn parse(value: &str) -> Option<Replaces> {
        let mut fields = value.split(';').map(str::trim);
        let call_id = fields.next().filter(|call_id| !call_id.is_empty())?.to_owned();
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for field in fields {
            match field.split_once('=') {
                Some((name, tag)) if name.trim().eq_ignore_ascii_case("to-tag") => to_tag = Some(tag.trim().to_owned()),
                Some((name, tag)) if name.trim().eq_ignore_ascii_case("from-tag") => {
                    from_tag = Some(tag.trim().to_owned());
                }
                _ => early_only |= field.eq_ignore_ascii_case("early-only"),
            }
        }
        Some(Replaces { call_id, to_tag: to_tag?, from_tag: from_tag?, early_only })
    }
}

impl fmt::Display for Replaces {
    /// Writes the value of a Replaces header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}

/// Destination of an outgoing call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A trunk from the configuration: its destinations are tried in turn.
    Trunk {
        /// Name of the trunk.
        name: String,
        /// User part of the Request-URI: the number.
        user: String,
    },
    /// Like `Trunk`, for an emergency call: neither the trunk's limits nor draining stop it.
    Emergency {
        /// Name of the trunk.
        name: String,
        /// User part of the Request-URI: the number.
        user: String,
    },
    /// All registered contacts of a user at once; the first that answers gets the call and the others are cancelled.
    User(String),
    /// The contacts of a user that are behind a WebSocket, that is, browsers.
    Browser(String),
    /// A URI at a known address.
    Uri {
        /// The Request-URI, such as `sip:bob@192.0.2.7`.
        uri: String,
        /// Address to which the request is sent; the endpoint resolves nothing.
        addr: SocketAddr,
        /// Transport of the request. Over TLS the certificate must be for the URI's host.
        transport: Transport,
    },
}

/// Origin of an INVITE of ours: its remaining hops, and the called user by which a loop is detected when the call comes
/// back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Max-Forwards of the INVITEs that result.
    pub max_forwards: u8,
    /// User part that was called; `None` if no incoming call led to this one.
    pub called: Option<String>,
}

impl Default for Cause {
    /// No incoming call: 70 hops (RFC 3261 section 8.1.1.6).
    fn default() -> Cause {
        Cause { max_forwards: 70, called: None }
    }
}

/// An outgoing call as the engine orders it.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// New identity from [`DialogId::outgoing`].
    pub dialog: DialogId,
    /// Destination of the call.
    pub target: Target,
    /// User part of From: a number, or an agent's name towards agents. `None`: the trunk's own number or account; if
    /// there is none, the caller is hidden (RFC 3323).
    pub from_user: Option<String>,
    /// Display name in From.
    pub from_display: Option<String>,
    /// Whether the caller is hidden from the callee (RFC 3323): it is asserted only to the trunk.
    pub anonymous: bool,
    /// The incoming INVITE that led to this call.
    pub cause: Cause,
    /// Extra headers. Names that the endpoint writes itself and values with control characters are left out.
    pub headers: Vec<(String, String)>,
    /// The SDP offer.
    pub sdp: String,
    /// The offer for peers that are reached over IPv6; `None`: they get `sdp` too.
    pub sdp_v6: Option<String>,
    /// The offer for contacts behind a WebSocket, which are browsers; `None`: they get `sdp` too.
    pub webrtc_sdp: Option<String>,
}

impl Invite {
    /// Returns a call with one offer for every peer that no incoming call has caused. Its caller is the trunk's own
    /// number unless `from_user` is set.
    pub fn new(dialog: DialogId, target: Target, sdp: impl Into<String>) -> Invite {
        Invite {
            dialog,
            target,
            from_user: None,
            from_display: None,
            anonymous: false,
            cause: Cause::default(),
            headers: Vec::new(),
            sdp: sdp.into(),
            sdp_v6: None,
            webrtc_sdp: None,
        }
    }

    /// Sets the user part of From.
    pub fn from_user(mut self, user: impl Into<String>) -> Invite {
        self.from_user = Some(user.into());
        self
    }
}

impl From<Invite> for SipCommand {
    fn from(invite: Invite) -> SipCommand {
        SipCommand::Invite(Box::new(invite))
    }
}

/// A command to the endpoint. Commands for a dialog that has ended are ignored; its last event has reported the end.
#[derive(Clone, PartialEq, Eq)]
pub enum SipCommand {
    /// Starts an outgoing call.
    Invite(Box<Invite>),
    /// Sends a provisional response to an incoming call: 180, or 183 with early media. It is sent reliably (RFC 3262)
    /// if the caller supports that.
    Progress {
        /// The incoming dialog that rings.
        dialog: DialogId,
        /// Status code, 101 to 199.
        status: u16,
        /// The SDP answer if early media starts.
        sdp: Option<String>,
    },
    /// Answers an incoming call with 200, after the caller has acknowledged any early media that was sent reliably.
    Accept {
        /// The incoming dialog to answer.
        dialog: DialogId,
        /// The SDP answer; an offer if the INVITE had none (the caller's answer arrives as
        /// [`SipEvent::ReinviteAnswered`]).
        ///
        /// [`SipEvent::ReinviteAnswered`]: super::SipEvent::ReinviteAnswered
        sdp: String,
    },
    /// Adds a header to the 200 that will answer an incoming call. A call that has been answered is not changed.
    AnswerHeader {
        /// The incoming dialog that has not been answered.
        dialog: DialogId,
        /// Name of the header: a token.
        name: &'static str,
        /// Value of the header.
        value: String,
    },
    /// Rejects an incoming call.
    Reject {
        /// The incoming dialog to reject.
        dialog: DialogId,
        /// Status code, 300 to 699.
        status: u16,
        /// Reason phrase; `None` for the standard one.
        reason: Option<String>,
        /// Q.850 cause for a Reason header beside the status (RFC 6432).
        q850: Option<u8>,
    },
    /// Gives up an outgoing call before its answer. CANCEL is sent once a provisional response has arrived; an answer
    /// that crosses it is acknowledged and hung up.
    Cancel {
        /// The outgoing dialog to cancel.
        dialog: DialogId,
    },
    /// Hangs up. Before the answer it acts as [`SipCommand::Cancel`] with this reason, or as a rejection with 480.
    Bye {
        /// The dialog to end.
        dialog: DialogId,
        /// Value of a Reason header (RFC 3326), such as `Q.850;cause=16;text="Normal call clearing"`.
        reason: Option<String>,
    },
    /// Offers a changed session in an answered dialog.
    Reinvite {
        /// The answered dialog.
        dialog: DialogId,
        /// The new SDP offer.
        sdp: String,
    },
    /// Answers a [`SipEvent::Reoffer`](super::SipEvent::Reoffer).
    AcceptReinvite {
        /// The dialog that received the offer.
        dialog: DialogId,
        /// The SDP answer.
        sdp: String,
    },
    /// Refuses a [`SipEvent::Reoffer`](super::SipEvent::Reoffer); the session continues unchanged.
    RejectReinvite {
        /// The dialog that received the offer.
        dialog: DialogId,
        /// Status code, such as 488.
        status: u16,
    },
    /// Makes a password valid for a user, in addition to those already valid.
    CredentialSet {
        /// SIP user name.
        user: String,
        /// The password in plain text.
        password: String,
        /// Period of validity from now on.
        valid_for: Duration,
    },
    /// Removes all passwords and contacts of a user; dialogs continue.
    /// [`SipEvent::Registered`](super::SipEvent::Registered) is sent if there were contacts.
    CredentialEnd {
        /// SIP user name.
        user: String,
    },
    /// Sends an INFO request within a dialog.
    Info {
        /// The answered dialog.
        dialog: DialogId,
        /// Content-Type, such as `application/dtmf-relay`.
        content_type: String,
        /// Body of the request.
        body: String,
    },
    /// Asks the peer of an answered call to call another party; [`SipEvent::ReferResult`](super::SipEvent::ReferResult)
    /// reports the result.
    Refer {
        /// The answered dialog.
        dialog: DialogId,
        /// Refer-To: a SIP URI without headers.
        to: String,
        /// The dialog that the peer's new call takes over at its target.
        replaces: Option<Replaces>,
    },
    /// Reports the progress of the peer's REFER to it ([`SipEvent::Referred`](super::SipEvent::Referred)).
    ReferProgress {
        /// The dialog that received the REFER.
        dialog: DialogId,
        /// The REFER of that dialog.
        refer: ReferId,
        /// Status code, 100 to 699; one of 200 or above is final.
        status: u16,
        /// Reason phrase; `None` for the standard one.
        reason: Option<String>,
    },
    /// Registers us at a trunk and keeps the registration fresh;
    /// [`SipEvent::RegistrationState`](super::SipEvent::RegistrationState) reports the result.
    Register {
        /// Name of the trunk.
        trunk: String,
        /// SIP user name at the trunk.
        user: String,
        /// Password of that user.
        password: String,
        /// Expiry to ask for.
        expires: Duration,
    },
    /// Starts what trunks do on their own: registrations and health probes.
    TrunksStart,
    /// Replaces a trunk's destinations after its names were resolved; its incoming calls are accepted from these
    /// addresses too.
    TrunkResolved {
        /// Name of the trunk.
        trunk: String,
        /// All its destinations, including those configured as addresses.
        destinations: Vec<Destination>,
    },
    /// Rejects new calls from now on with 503 and unregisters; calls in progress continue.
    Drain,
}

impl fmt::Debug for SipCommand {
    /// Names the command and its dialog; never a password or a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, dialog) = match self {
            SipCommand::Invite(invite) => ("Invite", Some(&invite.dialog)),
            SipCommand::Progress { dialog, .. } => ("Progress", Some(dialog)),
            SipCommand::Accept { dialog, .. } => ("Accept", Some(dialog)),
            SipCommand::AnswerHeader { dialog, .. } => ("AnswerHeader", Some(dialog)),
            SipCommand::Reject { dialog, .. } => ("Reject", Some(dialog)),
            SipCommand::Cancel { dialog } => ("Cancel", Some(dialog)),
            SipCommand::Bye { dialog, .. } => ("Bye", Some(dialog)),
            SipCommand::Reinvite { dialog, .. } => ("Reinvite", Some(dialog)),
            SipCommand::AcceptReinvite { dialog, .. } => ("AcceptReinvite", Some(dialog)),
            SipCommand::RejectReinvite { dialog, .. } => ("RejectReinvite", Some(dialog)),
            SipCommand::CredentialSet { .. } => ("CredentialSet", None),
            SipCommand::CredentialEnd { .. } => ("CredentialEnd", None),
            SipCommand::Info { dialog, .. } => ("Info", Some(dialog)),
            SipCommand::Refer { dialog, .. } => ("Refer", Some(dialog)),
            SipCommand::ReferProgress { dialog, .. } => ("ReferProgress", Some(dialog)),
            SipCommand::Register { .. } => ("Register", None),
            SipCommand::TrunksStart => ("TrunksStart", None),
            SipCommand::TrunkResolved { .. } => ("TrunkResolved", None),
            SipCommand::Drain => ("Drain", None),
        };
        match dialog {
            Some(dialog) => write!(f, "{name}({})", dialog.0),
            None => f.write_str(name),
        }
    }
}
