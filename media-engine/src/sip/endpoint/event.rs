//! What the endpoint tells the engine and asks of its driver.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::command::{Cause, DialogId, ReferId, Replaces};
use super::flow::{Flow, FlowId};
use crate::sip::reason::Told;

/// Who calls, as proven by address or password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A trunk, by its address.
    Trunk(String),
    /// A user, by digest.
    User(String),
}

/// Something that the engine should know.
///
/// Every dialog ends with exactly one [`Ended`](SipEvent::Ended) or [`Failed`](SipEvent::Failed), also when the
/// engine itself asked for the end; after it no event names that dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipEvent {
    /// A call comes in; 100 Trying has been sent.
    Incoming {
        /// The new dialog (even).
        dialog: DialogId,
        /// Who calls.
        from: Source,
        /// User part of From, or of P-Asserted-Identity where the trunk's word is taken; a number as `+` and digits.
        from_user: String,
        /// Display name of From.
        from_display: Option<String>,
        /// The caller wants not to be shown (RFC 3323).
        anonymous: bool,
        /// The headers that its trunk's `pass_headers` names.
        headers: Vec<(String, String)>,
        /// User part of the Request-URI: the number that was called.
        to_user: String,
        /// What goes with INVITEs of ours that this one causes.
        cause: Cause,
        /// Call-ID.
        call_id: String,
        /// The offer; `None` when the caller wants ours.
        sdp: Option<String>,
        /// The answered dialog whose place the caller wants (RFC 3891). It has shown that it knows that dialog; whether it
        /// may have it is for the engine to say.
        replaces: Option<DialogId>,
    },
    /// An outgoing call rings or has early media.
    Progress {
        /// The dialog.
        dialog: DialogId,
        /// 101 to 199.
        status: u16,
        /// The answer that starts or changes early media; `None`: nothing new.
        sdp: Option<String>,
        /// Which early dialog of the call: several ring at once where a call is forked.
        fork: u32,
    },
    /// An outgoing call was answered; the ACK has been sent.
    Answered {
        /// The dialog.
        dialog: DialogId,
        /// The answer.
        sdp: String,
        /// Where the answer came from.
        remote: SocketAddr,
    },
    /// An outgoing call ended before an answer.
    Failed {
        /// The dialog.
        dialog: DialogId,
        /// Final status; 408 when nobody answered, 480 for a user without contacts, 503 when nothing could be sent,
        /// 487 after our own Cancel.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// What the peer's refusal says besides; `None`: the endpoint failed the call by itself.
        told: Option<Box<Told>>,
    },
    /// The peer offers a changed session (re-INVITE or UPDATE): answer by AcceptReinvite or RejectReinvite.
    Reoffer {
        /// The dialog.
        dialog: DialogId,
        /// The offer.
        sdp: String,
    },
    /// The peer answered our re-INVITE, the one that keeps the session alive included, or an offer that a request without SDP had asked for; before our answer to the call,
    /// the offer in our reliable provisional answer.
    ReinviteAnswered {
        /// The dialog.
        dialog: DialogId,
        /// The answer.
        sdp: String,
    },
    /// The peer refused our re-INVITE; the session goes on as it was. 491: it offers at the same time, and trying again did
    /// not help or would offer what the peer's offer has outdated: make a new one.
    ReinviteFailed {
        /// The dialog.
        dialog: DialogId,
        /// Final status.
        status: u16,
    },
    /// An INFO request came within a dialog (DTMF by `application/dtmf-relay`).
    Info {
        /// The dialog.
        dialog: DialogId,
        /// Content-Type without parameters, in lower case.
        content_type: String,
        /// The body.
        body: String,
    },
    /// The peer wants us to call somebody else in its place (REFER): answer by
    /// [`SipCommand::ReferProgress`](super::SipCommand::ReferProgress), with a final status at the end.
    Referred {
        /// The dialog.
        dialog: DialogId,
        /// Which REFER of the dialog.
        refer: ReferId,
        /// Whom to call: a SIP URI without headers.
        to: String,
        /// The dialog that the new call takes over at its target (attended transfer).
        replaces: Option<Replaces>,
        /// That dialog, when it is an answered one of this endpoint.
        replaced: Option<DialogId>,
        /// Referred-By as it came.
        referred_by: Option<String>,
    },
    /// How our REFER ended.
    ReferResult {
        /// The dialog.
        dialog: DialogId,
        /// Final status of the call that the peer made, or of its refusal (405, 603); 408 when nobody answered, 491 while
        /// another REFER is in progress, 500 when the peer stopped telling.
        status: u16,
    },
    /// The connection of a user's device is gone in mid-call. The dialog goes on when the device comes back by another one; until
    /// then nothing reaches it, and the engine says how long it is waited for.
    Unreachable {
        /// The dialog.
        dialog: DialogId,
    },
    /// The device has come back: by a request within the dialog, or by registering its contact anew.
    Reachable {
        /// The dialog.
        dialog: DialogId,
    },
    /// The dialog is over: BYE or CANCEL came, an ACK, a PRACK or a session's refresh never came, the flow was lost, or the
    /// engine ended it.
    Ended {
        /// The dialog.
        dialog: DialogId,
        /// The peer's Reason header.
        reason: Option<String>,
        /// In words why the endpoint gave the dialog up by itself; `None`: the peer or the engine ended it.
        fault: Option<&'static str>,
    },
    /// A user's contacts changed.
    Registered {
        /// The user.
        user: String,
        /// Contacts now; 0: not reachable.
        contacts: usize,
    },
    /// A registration of our own was granted or refused.
    RegistrationState {
        /// The trunk's name.
        trunk: String,
        /// SIP user name there.
        user: String,
        /// Granted.
        ok: bool,
        /// Final status; 408 when nobody answered, 503 when nothing could be sent.
        status: u16,
    },
    /// An address of a trunk stopped answering, or answers again.
    TrunkHealth {
        /// The trunk's name.
        trunk: String,
        /// The address.
        address: SocketAddr,
        /// Calls go there again; else it is set aside.
        healthy: bool,
        /// In words.
        why: String,
    },
    /// An address failed to prove itself so often that its requests are not heard for a while.
    Scanner {
        /// The address.
        address: IpAddr,
        /// For how long.
        silence: Duration,
    },
    /// A stranger or a message was refused; for counters and logs.
    Refused {
        /// Who sent it.
        peer: SocketAddr,
        /// Why, in one of a few fixed texts.
        why: &'static str,
    },
}

impl SipEvent {
    /// The dialog it is about, if it is about one.
    pub fn dialog(&self) -> Option<DialogId> {
        match self {
            SipEvent::Incoming { dialog, .. }
            | SipEvent::Progress { dialog, .. }
            | SipEvent::Answered { dialog, .. }
            | SipEvent::Failed { dialog, .. }
            | SipEvent::Reoffer { dialog, .. }
            | SipEvent::ReinviteAnswered { dialog, .. }
            | SipEvent::ReinviteFailed { dialog, .. }
            | SipEvent::Info { dialog, .. }
            | SipEvent::Referred { dialog, .. }
            | SipEvent::ReferResult { dialog, .. }
            | SipEvent::Unreachable { dialog }
            | SipEvent::Reachable { dialog }
            | SipEvent::Ended { dialog, .. } => Some(*dialog),
            SipEvent::Registered { .. }
            | SipEvent::RegistrationState { .. }
            | SipEvent::TrunkHealth { .. }
            | SipEvent::Scanner { .. }
            | SipEvent::Refused { .. } => None,
        }
    }
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipOutput {
    /// Send one message.
    Transmit {
        /// By this flow; for UDP, to `flow.peer`.
        flow: Flow,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// Tell the engine.
    Event(SipEvent),
    /// Open a connection to `flow.peer`; what is transmitted meanwhile waits for it. When it cannot be opened, and when it
    /// ends, the endpoint wants to hear it by [`Endpoint::handle_flow_closed`](super::Endpoint::handle_flow_closed).
    Connect {
        /// TCP or TLS, with an id of its own.
        flow: Flow,
        /// Whom the certificate of a TLS peer must be for.
        server_name: String,
    },
    /// Close a connection of ours: it gives way to another.
    CloseFlow(FlowId),
}

/// How much the endpoint holds, for tests and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Server transactions, finished ones included until their timers end.
    pub server_transactions: usize,
    /// Client transactions, finished ones included until their timers end.
    pub client_transactions: usize,
    /// Call legs in any state.
    pub dialogs: usize,
    /// Entries in look-up tables that belong to transactions and dialogs.
    pub index_entries: usize,
    /// Armed timers of transactions and dialogs.
    pub timers: usize,
    /// Registered contacts.
    pub contacts: usize,
    /// Valid passwords.
    pub passwords: usize,
    /// Requests refused because a bound was reached, since the start.
    pub overflows: u64,
}
