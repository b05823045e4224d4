//! Events for the engine, and actions for the driver of the endpoint.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::command::{Cause, DialogId, ReferId, Replaces};
use crate::sip::flow::{Flow, FlowId};
use crate::sip::reason::Told;

/// Identity of a caller, proven by address or password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Name of a trunk, proven by its address.
    Trunk(String),
    /// Name of a user, proven by digest authentication.
    User(String),
}

/// An event for the engine.
///
/// Every dialog ends with exactly one [`Ended`](SipEvent::Ended) or [`Failed`](SipEvent::Failed), also if the engine
/// itself asked for the end; after it no event names that dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipEvent {
    /// A call arrives; 100 Trying has been sent.
    Incoming {
        /// Identity of the new dialog (even).
        dialog: DialogId,
        /// The proven caller.
        from: Source,
        /// User part of From, or of P-Asserted-Identity if the trunk is trusted with it; a number as `+` and digits.
        from_user: String,
        /// Display name in From.
        from_display: Option<String>,
        /// Whether the caller asks to be hidden (RFC 3323).
        anonymous: bool,
        /// Headers that are named in the trunk's `pass_headers`.
        headers: Vec<(String, String)>,
        /// User part of the Request-URI: the number that was called.
        to_user: String,
        /// To be passed on in every outgoing INVITE that results from this one.
        cause: Cause,
        /// Call-ID of the call.
        call_id: String,
        /// The SDP offer; `None` if the caller wants us to make the offer.
        sdp: Option<String>,
        /// The answered dialog that the caller wants to take over (RFC 3891). The caller has proven that it knows the
        /// dialog; the engine decides whether it may have it.
        replaces: Option<DialogId>,
    },
    /// An outgoing call rings or has early media.
    Progress {
        /// The outgoing dialog.
        dialog: DialogId,
        /// Status code, 101 to 199.
        status: u16,
        /// The SDP answer that starts or changes early media; `None` if nothing changed.
        sdp: Option<String>,
        /// Number of the early dialog within the call: several ring at once if the call is forked.
        fork: u32,
    },
    /// An outgoing call was answered; the ACK has been sent.
    Answered {
        /// The outgoing dialog.
        dialog: DialogId,
        /// The SDP answer.
        sdp: String,
        /// Address that the answer came from.
        remote: SocketAddr,
    },
    /// An outgoing call ended before it was answered.
    Failed {
        /// The outgoing dialog.
        dialog: DialogId,
        /// Final status; 408 if the peer did not answer, 480 for a user without contacts, 503 if nothing could be sent,
        /// 487 after our own Cancel.
        status: u16,
        /// Reason phrase of the final status.
        reason: String,
        /// Details of the peer's refusal; `None`: the endpoint itself failed the call.
        told: Option<Box<Told>>,
    },
    /// The peer offers a changed session (re-INVITE or UPDATE); reply with AcceptReinvite or RejectReinvite.
    Reoffer {
        /// The answered dialog.
        dialog: DialogId,
        /// The SDP offer.
        sdp: String,
    },
    /// The peer answered our re-INVITE (including one that only keeps the session alive), or an offer of ours that it
    /// had requested by an INVITE or re-INVITE without SDP; before our answer to the call, the offer in our reliable
    /// provisional response.
    ReinviteAnswered {
        /// The dialog of the offer.
        dialog: DialogId,
        /// The SDP answer.
        sdp: String,
    },
    /// The peer refused our re-INVITE; the session continues unchanged. 491: both sides offered at once, and a retry
    /// failed too or would repeat an offer that the peer's own has made obsolete; make a new one.
    ReinviteFailed {
        /// The answered dialog.
        dialog: DialogId,
        /// Final status of the re-INVITE.
        status: u16,
    },
    /// An INFO request arrived within a dialog (DTMF by `application/dtmf-relay`).
    Info {
        /// The dialog of the request.
        dialog: DialogId,
        /// Content-Type without parameters, in lower case.
        content_type: String,
        /// Body of the request.
        body: String,
    },
    /// The peer asks us to call another party in its place (REFER); reply with
    /// [`SipCommand::ReferProgress`](super::SipCommand::ReferProgress), the last time with a final status.
    Referred {
        /// The dialog that received the REFER.
        dialog: DialogId,
        /// Number of the REFER within the dialog.
        refer: ReferId,
        /// Party to call: a SIP URI without headers.
        to: String,
        /// The dialog that the new call takes over at its target (attended transfer).
        replaces: Option<Replaces>,
        /// The same dialog, if it is an answered one of this endpoint.
        replaced: Option<DialogId>,
        /// Value of Referred-By as received.
        referred_by: Option<String>,
    },
    /// Our REFER has ended.
    ReferResult {
        /// The dialog of the REFER.
        dialog: DialogId,
        /// Final status of the call that the peer made, or of its refusal (405, 603); 408 if the peer did not answer,
        /// 491 while another REFER is in progress, 500 if the peer stopped reporting.
        status: u16,
    },
    /// A user's device lost its connection in an answered call. The dialog continues if the device comes back by
    /// another connection; until then nothing can be sent to it, and the engine decides how long to wait.
    Unreachable {
        /// The dialog of the device.
        dialog: DialogId,
    },
    /// The device has come back: by a request within the dialog, or by a new registration of its contact.
    Reachable {
        /// The dialog of the device.
        dialog: DialogId,
    },
    /// The dialog has ended: the peer sent BYE or CANCEL, an ACK, a PRACK or a session refresh did not arrive, the flow
    /// was lost, or the engine ended it.
    Ended {
        /// The dialog that ended.
        dialog: DialogId,
        /// Value of the peer's Reason header.
        reason: Option<String>,
        /// Why the endpoint itself ended the dialog, in words; `None`: the peer or the engine ended it.
        fault: Option<&'static str>,
    },
    /// The contacts of a user changed.
    Registered {
        /// SIP user name.
        user: String,
        /// Contacts now registered; 0: the user cannot be reached.
        contacts: usize,
    },
    /// A registration of our own was granted or refused.
    RegistrationState {
        /// Name of the trunk.
        trunk: String,
        /// SIP user name at the trunk.
        user: String,
        /// Whether the registration was granted.
        ok: bool,
        /// Final status; 408 if the trunk did not answer, 503 if nothing could be sent.
        status: u16,
    },
    /// An address of a trunk stopped answering, or answers again.
    TrunkHealth {
        /// Name of the trunk.
        trunk: String,
        /// The address concerned.
        address: SocketAddr,
        /// Whether calls go there again; otherwise it is set aside.
        healthy: bool,
        /// The reason in words.
        why: String,
    },
    /// An address failed to authenticate so often that its requests are ignored for a while.
    Scanner {
        /// The silenced address.
        address: IpAddr,
        /// Period for which its requests are ignored.
        silence: Duration,
    },
    /// A message was refused; for counters and logs.
    Refused {
        /// Address of the sender.
        peer: SocketAddr,
        /// The reason, one of a few fixed texts.
        why: &'static str,
    },
}

impl SipEvent {
    /// Returns the dialog of the event, if it has one.
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

/// An action that the driver has to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipOutput {
    /// Send one message.
    Transmit {
        /// Flow that carries it; a UDP message goes to `flow.peer`.
        flow: Flow,
        /// The whole encoded message.
        bytes: Vec<u8>,
    },
    /// Pass an event to the engine.
    Event(SipEvent),
    /// Open a connection to `flow.peer`; messages transmitted in the meantime wait for it. Report a failure to open it,
    /// and its end, with [`Endpoint::handle_flow_closed`](super::Endpoint::handle_flow_closed).
    Connect {
        /// TCP or TLS flow with its own id.
        flow: Flow,
        /// Name for which the certificate of a TLS peer must be valid.
        server_name: String,
    },
    /// Close a connection that we opened, to make room for another.
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
    /// Registered contacts of all users.
    pub contacts: usize,
    /// Valid passwords of all users.
    pub passwords: usize,
    /// Requests refused because a bound was reached, since the start.
    pub overflows: u64,
}
