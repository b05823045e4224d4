//! Legs that are SIP dialogs.

use std::time::Duration;

use crate::call::Stage;
use crate::engine::Shared;
use crate::engine::command::CommandError;
use crate::engine::leg::Offers;
use crate::error::HangupCause;
use crate::sip::reason::Q850;
use crate::sip::{Cause, DialogId, Invite, ReferId, SipCommand, Target};
use crate::sip_io::SipHandle;
use crate::units::CallId;

/// A leg that is to be called.
pub(in crate::engine) struct Ring {
    pub(in crate::engine) target: Target,
    /// Caller identity that is shown; `None`: the trunk's own number, or none.
    pub(in crate::engine) from: Option<String>,
    /// The caller's identity must be hidden (RFC 3323).
    pub(in crate::engine) anonymous: bool,
    /// Cause that is sent with the INVITE.
    pub(in crate::engine) cause: Cause,
    pub(in crate::engine) headers: Vec<(String, String)>,
    pub(in crate::engine) offers: Offers,
}

/// The signalling of one call's legs.
pub(in crate::engine) struct Signals<'a> {
    sip: &'a SipHandle,
    call: CallId,
}

impl Signals<'_> {
    /// Returns the signalling of this call.
    pub(in crate::engine) fn of(shared: &Shared, call: CallId) -> Signals<'_> {
        Signals { sip: &shared.sip, call }
    }

    pub(in crate::engine) fn ring(&self, dialog: DialogId, ring: Ring) {
        let Ring { target, from, anonymous, cause, headers, offers } = ring;
        let Offers { sdp, sdp_v6, webrtc_sdp } = offers;
        let invite = Invite::new(dialog, target, sdp);
        let invite = Invite { from_user: from, anonymous, cause, headers, sdp_v6, webrtc_sdp, ..invite };
        self.send(invite.into());
    }

    /// Sends ringing to a caller.
    pub(in crate::engine) fn alert(&self, dialog: DialogId) {
        self.send(SipCommand::Progress { dialog, status: 180, sdp: None });
    }

    /// Opens a caller's media before the answer.
    pub(in crate::engine) fn answer_early(&self, dialog: DialogId, sdp: String) {
        self.send(SipCommand::Progress { dialog, status: 183, sdp: Some(sdp) });
    }

    pub(in crate::engine) fn answer(&self, dialog: DialogId, sdp: String) {
        self.send(SipCommand::Accept { dialog, sdp });
    }

    /// Adds a header to the answer that a caller will get.
    pub(in crate::engine) fn answer_header(&self, dialog: DialogId, name: &'static str, value: String) {
        self.send(SipCommand::AnswerHeader { dialog, name, value });
    }

    /// Informs a peer during the call.
    pub(in crate::engine) fn inform(&self, dialog: DialogId, content_type: &str, body: String) {
        self.send(SipCommand::Info { dialog, content_type: content_type.into(), body });
    }

    /// Refuses a caller.
    pub(in crate::engine) fn refuse(&self, dialog: DialogId, status: u16, reason: Option<&str>) {
        self.send(SipCommand::Reject { dialog, status, reason: reason.map(str::to_owned), q850: None });
    }

    /// Answers a peer's offer during the call; `None` refuses it.
    pub(in crate::engine) fn answer_offer(&self, dialog: DialogId, sdp: Option<String>) {
        self.send(match sdp {
            Some(sdp) => SipCommand::AcceptReinvite { dialog, sdp },
            None => SipCommand::RejectReinvite { dialog, status: 488 },
        });
    }

    /// Offers a changed session during the call.
    pub(in crate::engine) fn offer(&self, dialog: DialogId, sdp: String) {
        self.send(SipCommand::Reinvite { dialog, sdp });
    }

    /// Sends a key by INFO.
    pub(in crate::engine) fn press(&self, dialog: DialogId, digit: char, length: Duration) {
        let body = format!("Signal={digit}\r\nDuration={}\r\n", length.as_millis());
        self.send(SipCommand::Info { dialog, content_type: "application/dtmf-relay".into(), body });
    }

    /// Hangs up a peer whose answer is not usable.
    pub(in crate::engine) fn hang_up_incompatible(&self, dialog: DialogId) {
        self.send(SipCommand::Bye { dialog, reason: Some("SIP;cause=488".into()) });
    }

    /// Refuses, cancels or hangs up, with a Q.850 cause: `q850`, which another leg's peer gave, else the cause's own. `words` is
    /// the reason phrase of a refusal; `None`: the standard one.
    pub(in crate::engine) fn hang_up(
        &self,
        dialog: DialogId,
        stage: Stage,
        (cause, q850): (&HangupCause, Option<u8>),
        words: Option<&str>,
    ) {
        let q850 = q850.unwrap_or(cause.q850());
        self.send(match stage {
            Stage::Offered => {
                let (status, reason) = (cause.sip_status(), words.map(str::to_owned));
                SipCommand::Reject { dialog, status, reason, q850: Some(q850) }
            }
            Stage::Dialling | Stage::Up => SipCommand::Bye { dialog, reason: Some(Q850(q850).to_string()) },
        });
    }

    /// Ends a leg whose progress is unknown; commands that do not fit its state are ignored.
    pub(in crate::engine) fn abandon(&self, dialog: DialogId) {
        self.refuse(dialog, 500, None);
        self.send(SipCommand::Cancel { dialog });
        self.send(SipCommand::Bye { dialog, reason: None });
    }

    /// Reports the progress of a transfer to the transferor.
    pub(in crate::engine) fn transfer_progress(
        &self,
        dialog: DialogId,
        refer: ReferId,
        status: u16,
        why: Option<&str>,
    ) {
        self.send(SipCommand::ReferProgress { dialog, refer, status, reason: why.map(str::to_owned) });
    }

    fn send(&self, command: SipCommand) {
        if self.sip.send(command).is_err() {
            metrics::counter!("tandem_sip_commands_dropped_total").increment(1);
            tracing::error!(call = %self.call, "the SIP stack is overloaded: a command was lost");
        }
    }
}

/// Ends the registrations at trunks.
pub(in crate::engine) fn drain(shared: &Shared) -> Result<(), CommandError> {
    order(shared, SipCommand::Drain)
}

/// Lets a user register and call with this password.
pub(in crate::engine) fn set_credential(
    shared: &Shared,
    user: String,
    password: String,
    valid_for: Duration,
) -> Result<(), CommandError> {
    order(shared, SipCommand::CredentialSet { user, password, valid_for })
}

/// Ends all passwords and registrations of a user.
pub(in crate::engine) fn end_credential(shared: &Shared, user: String) -> Result<(), CommandError> {
    order(shared, SipCommand::CredentialEnd { user })
}

/// Refuses a caller whose call was not created.
pub(in crate::engine) fn refuse(shared: &Shared, dialog: DialogId, status: u16, reason: &str) {
    let reason = Some(reason.to_owned());
    if shared.sip.send(SipCommand::Reject { dialog, status, reason, q850: None }).is_err() {
        tracing::error!("the SIP stack is overloaded: a refusal was lost");
    }
}

fn order(shared: &Shared, command: SipCommand) -> Result<(), CommandError> {
    shared.sip.send(command).map_err(|_| CommandError::Busy("too many commands are waiting for the SIP stack"))
}
