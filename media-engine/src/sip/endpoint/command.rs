//! What the engine asks of the endpoint.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::flow::Transport;
use crate::sip::trunk::Destination;

/// Identity of one call leg's dialog: even numbers are incoming, odd ones outgoing. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId(pub u64);

static OUTGOING: AtomicU64 = AtomicU64::new(1);

impl DialogId {
    /// A fresh identity for [`SipCommand::Invite`], unique in the process.
    pub fn outgoing() -> DialogId {
        DialogId(OUTGOING.fetch_add(2, Ordering::Relaxed))
    }

    /// Whether we sent the INVITE.
    pub fn is_outgoing(self) -> bool {
        self.0 & 1 == 1
    }
}

/// One REFER of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReferId(pub u32);

/// A dialog that a new call takes over (RFC 3891), named as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID.
    pub call_id: String,
    /// The tag of whoever is called.
    pub to_tag: String,
    /// The tag of its peer.
    pub from_tag: String,
    /// Only while it has no answer.
    pub early_only: bool,
}

/// Where an outgoing call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Through a trunk from the configuration: its destinations are tried in turn.
    Trunk {
        /// The trunk's name.
        name: String,
        /// User part of the Request-URI: the number.
        user: String,
    },
    /// As `Trunk`, for somebody in need: no limit of the trunk and no draining stops it.
    Emergency {
        /// The trunk's name.
        name: String,
        /// User part of the Request-URI: the number.
        user: String,
    },
    /// All registered contacts of a user at once; the first that answers wins and the others are cancelled.
    User(String),
    /// Those of a user's contacts that are behind a WebSocket: browsers.
    Browser(String),
    /// A given address.
    Uri {
        /// The Request-URI, such as `sip:bob@192.0.2.7`.
        uri: String,
        /// Where the request is sent: nothing is resolved here.
        addr: SocketAddr,
        /// What carries it there. Over TLS the certificate must be for the URI's host.
        transport: Transport,
    },
}

/// What led to an INVITE of ours: how far it may still go, and by what it is known again should it come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Max-Forwards of the INVITEs that it causes.
    pub max_forwards: u8,
    /// The user part that was called; `None`: nobody called us.
    pub called: Option<String>,
}

impl Default for Cause {
    /// Nobody called us: 70 hops (RFC 3261 section 8.1.1.6).
    fn default() -> Cause {
        Cause { max_forwards: 70, called: None }
    }
}

/// An order to the endpoint. Orders for a dialog that has ended are ignored: its last event has told so.
#[derive(Clone, PartialEq, Eq)]
pub enum SipCommand {
    /// Calls out.
    Invite {
        /// From [`DialogId::outgoing`].
        dialog: DialogId,
        /// Where to.
        target: Target,
        /// User part of From: a number, or an agent's name towards agents. `None`: the trunk's own number or account, else the
        /// caller is not shown (RFC 3323).
        from_user: Option<String>,
        /// Display name of From.
        from_display: Option<String>,
        /// The caller is not to be shown to the callee (RFC 3323).
        anonymous: bool,
        /// The INVITE that led to this one.
        cause: Cause,
        /// Extra headers. Names that the endpoint writes itself and values with control characters are left out.
        headers: Vec<(String, String)>,
        /// The offer.
        sdp: String,
        /// The offer for peers that are reached over IPv6; without one they get `sdp` too.
        sdp_v6: Option<String>,
        /// The offer for contacts behind a WebSocket, which are browsers; without one they get `sdp` too.
        webrtc_sdp: Option<String>,
    },
    /// A provisional answer to an incoming call: 180, or 183 with early media. Sent reliably (RFC 3262) where the caller can
    /// acknowledge it.
    Progress {
        /// The incoming dialog.
        dialog: DialogId,
        /// 101 to 199.
        status: u16,
        /// The answer, when early media starts.
        sdp: Option<String>,
    },
    /// Answers an incoming call with 200, once the caller has acknowledged early media that was sent reliably.
    Accept {
        /// The incoming dialog.
        dialog: DialogId,
        /// The answer; an offer when the INVITE had none (its answer comes as [`SipEvent::ReinviteAnswered`]).
        ///
        /// [`SipEvent::ReinviteAnswered`]: super::SipEvent::ReinviteAnswered
        sdp: String,
    },
    /// Refuses an incoming call.
    Reject {
        /// The incoming dialog.
        dialog: DialogId,
        /// 300 to 699.
        status: u16,
        /// Reason phrase; `None`: the standard one.
        reason: Option<String>,
        /// Cause of Q.850 that a Reason header tells beside the status (RFC 6432).
        q850: Option<u8>,
    },
    /// Gives up an outgoing call before its answer. CANCEL leaves after a provisional answer has come; an answer
    /// that crosses it is acknowledged and hung up.
    Cancel {
        /// The outgoing dialog.
        dialog: DialogId,
    },
    /// Hangs up. Before the answer it means [`SipCommand::Cancel`], with this reason, or a rejection with 480.
    Bye {
        /// The dialog.
        dialog: DialogId,
        /// Value of a Reason header (RFC 3326), such as `Q.850;cause=16;text="Normal call clearing"`.
        reason: Option<String>,
    },
    /// Offers a changed session on an answered dialog.
    Reinvite {
        /// The dialog.
        dialog: DialogId,
        /// The offer.
        sdp: String,
    },
    /// Answers a [`SipEvent::Reoffer`](super::SipEvent::Reoffer).
    AcceptReinvite {
        /// The dialog.
        dialog: DialogId,
        /// The answer.
        sdp: String,
    },
    /// Refuses a [`SipEvent::Reoffer`](super::SipEvent::Reoffer); the session goes on as it was.
    RejectReinvite {
        /// The dialog.
        dialog: DialogId,
        /// Such as 488.
        status: u16,
    },
    /// Makes a password valid for a user, beside those that are valid already.
    CredentialSet {
        /// SIP user name.
        user: String,
        /// The password.
        password: String,
        /// From now on.
        valid_for: Duration,
    },
    /// Ends all passwords and contacts of a user; dialogs go on. Told by
    /// [`SipEvent::Registered`](super::SipEvent::Registered) when there were contacts.
    CredentialEnd {
        /// SIP user name.
        user: String,
    },
    /// Sends an INFO request within a dialog.
    Info {
        /// The dialog.
        dialog: DialogId,
        /// Such as `application/dtmf-relay`.
        content_type: String,
        /// The body.
        body: String,
    },
    /// Asks the peer of an answered call to call somebody else; told by
    /// [`SipEvent::ReferResult`](super::SipEvent::ReferResult).
    Refer {
        /// The dialog.
        dialog: DialogId,
        /// A SIP URI without headers.
        to: String,
        /// The dialog that the peer's call takes over there.
        replaces: Option<Replaces>,
    },
    /// Tells the peer how its REFER goes ([`SipEvent::Referred`](super::SipEvent::Referred)).
    ReferProgress {
        /// The dialog.
        dialog: DialogId,
        /// Which REFER.
        refer: ReferId,
        /// 100 to 699; from 200 on it is the last word.
        status: u16,
        /// Reason phrase; `None`: the standard one.
        reason: Option<String>,
    },
    /// Registers us at a trunk and keeps the registration fresh; told by
    /// [`SipEvent::RegistrationState`](super::SipEvent::RegistrationState).
    Register {
        /// The trunk's name.
        trunk: String,
        /// SIP user name there.
        user: String,
        /// Its password.
        password: String,
        /// The time to ask for.
        expires: Duration,
    },
    /// Starts what trunks do by themselves: registrations, and probes of their health.
    TrunksStart,
    /// Where a trunk's names lead now: its destinations are replaced, and its calls are taken from their addresses too.
    TrunkResolved {
        /// The trunk's name.
        trunk: String,
        /// All its destinations, those that are written as addresses included.
        destinations: Vec<Destination>,
    },
    /// Refuses new calls from now on with 503 and unregisters; running ones go on.
    Drain,
}

impl std::fmt::Debug for SipCommand {
    /// Names the order and its dialog; never a password or a number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, dialog) = match self {
            SipCommand::Invite { dialog, .. } => ("Invite", Some(dialog)),
            SipCommand::Progress { dialog, .. } => ("Progress", Some(dialog)),
            SipCommand::Accept { dialog, .. } => ("Accept", Some(dialog)),
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
