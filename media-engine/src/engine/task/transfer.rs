//! Legs that take another's place: transfers by REFER (RFC 3515, RFC 5589), and INVITE with Replaces (RFC 3891).
//!
//! ```text
//!   blind      Referred ─▶ dial::referred ─▶ third leg dialled ─▶ Exchange
//!   attended   Referred ─▶ Fetch ─▶ the other call: Take, Give ─▶ Given ─▶ third leg ─▶ Exchange        (that call ends)
//!   replaced   Replacement ─▶ third leg accepted ─▶ Exchange
//! ```
//!
//! - A fetched leg never belongs to nobody: on its way it is a [`Given`], which hangs up when nobody takes it.
//! - All legs of a call are on one worker. Calls of one user are placed on one worker (`homes`), so that they can be
//!   merged; where that did not help, the transfer fails and both calls go on.
//! - Whoever asks for another call's leg, or for a leg's place, must be the party that has it, and both calls one group's.
//! - A leg that is to be called waits for the control plane: it counts, and is shown an identity (`dialling`).
//! - A call whose settings forbid transfers keeps its parties: REFER is told 403, no other call gets its legs. Another device
//!   of the same party may still take over, and somebody in need is still reached.
//!
//! Not here: who may call whom (`dial`), the order of things (`call::succession`).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{CallTask, TaskInput};
use crate::call::{Destination, Effect, Input, Side, TransferState};
use crate::engine::dial::{self, Refusal};
use crate::engine::event::{EventKind, LegState, TransferStage};
use crate::engine::leg::Leg;
use crate::engine::{LegRole, Shared};
use crate::error::HangupCause;
use crate::sip::{Cause, DialogId, ReferId, Replaces, SipCommand, SipEvent, Source};
use crate::units::{CallId, Group, mask};
use crate::worker::{Worker, WorkerCommand, WorkerEvent};

/// What a party that may not transfer its call is told, with 403.
const SWITCHED_OFF: &str = "transfer is switched off";
/// Events of a fetched leg that may come before the leg itself.
const AHEAD: usize = 16;

/// Asks a call for the leg that is joined with the one of `dialog`.
#[derive(Debug)]
pub(in crate::engine) struct Fetch {
    dialog: DialogId,
    /// Who wants it.
    owner: Source,
    /// Whose its call is.
    group: Option<Group>,
    call: CallId,
    inbox: mpsc::Sender<TaskInput>,
    media: mpsc::Sender<WorkerEvent>,
    worker: usize,
    reply: oneshot::Sender<Result<Given, HangupCause>>,
}

/// A leg between two calls.
pub(in crate::engine) struct Given {
    leg: Option<Leg>,
    shared: Arc<Shared>,
    worker: Worker,
}

/// A caller that wants the place of an answered leg.
#[derive(Debug)]
pub(in crate::engine) struct Replacement {
    pub(in crate::engine) dialog: DialogId,
    pub(in crate::engine) replaced: DialogId,
    pub(in crate::engine) from: Source,
    pub(in crate::engine) from_user: String,
    pub(in crate::engine) cause: Cause,
    pub(in crate::engine) offer: Option<String>,
}

/// A leg's state between the request for it and its arrival.
pub(super) struct Fetching {
    reply: oneshot::Receiver<Result<Given, HangupCause>>,
    /// What happened to its dialog meanwhile.
    ahead: Vec<SipEvent>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("leg", &self.leg.as_ref().map(|leg| leg.id)).finish_non_exhaustive()
    }
}

impl Drop for Given {
    /// Nobody took it.
    fn drop(&mut self) {
        let Some(mut leg) = self.leg.take() else { return };
        leg.close_media(&self.worker);
        if let Some(dialog) = leg.dialog {
            self.shared.dialogs.remove(&dialog);
            if self.shared.sip.send(SipCommand::Bye { dialog, reason: None }).is_err() {
                tracing::error!(leg = %leg.id, "the SIP stack is overloaded: a dialog was left to its timers");
            }
        }
    }
}

impl CallTask {
    /// REFER of a party.
    pub(super) async fn on_referred(
        &mut self,
        side: Side,
        refer: ReferId,
        to: &str,
        (replaces, replaced): (Option<Replaces>, Option<DialogId>),
    ) {
        self.leg_mut(side).refer = Some(refer);
        let owner = self.leg(side).owner().cloned();
        let (Some(owner), true) = (owner, self.call.may_be_succeeded(side)) else {
            return self.tell_transfer(side, &TransferState::Refused);
        };
        let refused = |status, why| Err(Refusal { status, why });
        let destination = match (replaces, replaced) {
            (Some(_), _) if !self.settings.transfer => refused(403, SWITCHED_OFF),
            (_, Some(dialog)) => return self.fetch(side, dialog, owner).await,
            (Some(_), None) => refused(481, "the call that it names is not one of this system"),
            (None, None) => dial::referred(&self.shared, (&owner, self.group), to).map_err(Refusal::counted),
        };
        let destination = match destination {
            Ok(Destination::Emergency { .. }) => destination,
            _ if !self.settings.transfer => refused(403, SWITCHED_OFF),
            Ok(_) if !self.shared.pool.has_room() => refused(503, "no media thread has room"),
            Ok(_) | Err(_) => destination,
        };
        match destination {
            Ok(destination) => self.transition(Input::Transfer { by: side, to: Some(destination) }).await,
            Err(Refusal { status, why }) => {
                tracing::info!(call = %self.id, leg = %self.leg(side).id, to = %mask(to), status, why, "transfer refused");
                let cause = HangupCause::from_sip_status(status);
                self.tell_transfer_event(side, to.to_owned(), TransferStage::Failed, Some(cause), None);
                self.refer_progress(side, status, Some(why));
            }
        }
    }

    /// Asks the other call for its far party.
    async fn fetch(&mut self, side: Side, dialog: DialogId, owner: Source) {
        let there = self.shared.dialogs.get(&dialog).map(|entry| entry.value().clone());
        let Some((_, task)) = there.filter(|(call, _)| *call != self.id) else {
            return self.refer_progress(side, 481, None);
        };
        let (reply, answer) = oneshot::channel();
        let fetch = Fetch {
            dialog,
            owner,
            group: self.group,
            call: self.id,
            inbox: self.inbox_in.clone(),
            media: self.media_in.clone(),
            worker: self.worker.index(),
            reply,
        };
        if task.try_send(TaskInput::Fetch(fetch)).is_err() {
            return self.refer_progress(side, 480, None);
        }
        self.fetching = Some(Fetching { reply: answer, ahead: Vec::new() });
        self.transition(Input::Transfer { by: side, to: None }).await;
    }

    /// The other call has answered.
    pub(super) async fn on_fetched(&mut self, fetched: Result<Given, HangupCause>) {
        let ahead = self.fetching.take().map(|fetching| fetching.ahead).unwrap_or_default();
        let role = self.role_of_third();
        match fetched.map(|mut given| given.leg.take()) {
            Ok(Some(mut leg)) => {
                (leg.role, leg.recorded, leg.waits) = (role, false, false);
                self.third = leg;
                self.name_dialog(Side::Third);
                self.tell_leg(Side::Third, LegState::Answered);
                self.transition(Input::Answered(Side::Third)).await;
            }
            Ok(None) => self.transition(Input::Failed(Side::Third, HangupCause::NotFound)).await,
            Err(cause) => {
                tracing::info!(call = %self.id, cause = cause.as_str(), "the other call cannot be joined with this one");
                self.transition(Input::Failed(Side::Third, cause)).await;
            }
        }
        for event in ahead {
            Box::pin(self.on_sip(event)).await;
        }
    }

    /// An event of a dialog that is not ours: of a leg that is being fetched, perhaps.
    pub(super) fn on_stray(&mut self, event: SipEvent) {
        match &mut self.fetching {
            Some(fetching) if fetching.ahead.len() < AHEAD => fetching.ahead.push(event),
            _ => {
                tracing::debug!(call = %self.id, dialog = ?event.dialog(), "event of a dialog that this call does not have")
            }
        }
    }

    /// Another call asks for the leg that is joined with one of ours.
    pub(super) async fn on_fetch(&mut self, fetch: Fetch) {
        let refusal = match self.side_of_dialog(fetch.dialog) {
            None => Some(HangupCause::NotFound),
            Some(side) if self.leg(side).owner() != Some(&fetch.owner) || !self.settings.transfer => {
                Some(HangupCause::Rejected)
            }
            Some(_) if self.group != fetch.group => Some(HangupCause::Rejected),
            Some(side) if !self.call.may_be_succeeded(side) => Some(HangupCause::NoAnswer),
            Some(_) if self.worker.index() != fetch.worker => Some(HangupCause::Unreachable),
            Some(_) => None,
        };
        if let Some(cause) = refusal {
            // The asker may have ended meanwhile.
            let _ = fetch.reply.send(Err(cause));
            return;
        }
        if fetch.reply.is_closed() {
            return;
        }
        let side = self.side_of_dialog(fetch.dialog).unwrap_or(Side::First);
        self.asked = Some(fetch);
        self.transition(Input::Take(side)).await;
    }

    /// Hands a leg to the call that asked for it.
    pub(super) fn give(&mut self, side: Side) {
        let Some(Fetch { call, inbox, media, reply, .. }) = self.asked.take() else { return };
        let transferor = self.call.partner(side);
        let leg = self.take_leg(side);
        if let Some(dialog) = leg.dialog {
            // From here on nothing more of it comes to this call: the switchboard holds the entry while it sends.
            self.shared.dialogs.insert(dialog, (call, inbox.clone()));
            while let Ok(input) = self.inbox.try_recv() {
                match input {
                    TaskInput::Sip(event) if event.dialog() == Some(dialog) => {
                        if inbox.try_send(TaskInput::Sip(event)).is_err() {
                            metrics::counter!("call_inputs_dropped_total").increment(1);
                            tracing::error!(%call, "dialog event dropped: the call's task does not keep up");
                        }
                    }
                    // This call is over.
                    input => self.turn_away(input),
                }
            }
        }
        for leg in leg.open_media() {
            self.media_command(WorkerCommand::LegEvents { leg, events: media.clone() });
            self.given.push((leg, media.clone()));
        }
        self.tell_leg_of(&leg, LegState::Ended);
        self.tell_transfer_event(transferor, leg.peer.clone(), TransferStage::Done, None, Some(call));
        tracing::info!(call = %self.id, to = %call, leg = %leg.id, "its leg goes on in another call");
        let given = Given { leg: Some(leg), shared: self.shared.clone(), worker: self.worker.clone() };
        // An asker that has gone lets it fall, and falling it hangs up.
        let _ = reply.send(Ok(given));
    }

    /// INVITE with Replaces.
    pub(super) async fn on_replacement(&mut self, replacement: Replacement) {
        let Replacement { dialog, replaced, from, from_user, cause, offer } = replacement;
        let side = self.side_of_dialog(replaced);
        let is_ours = match &from {
            Source::User(user) => self.shared.group_of(user) == self.group,
            Source::Trunk(_) => true,
        };
        let refusal = match side {
            None => Some((481, "the dialog is over")),
            Some(side) if self.leg(side).owner() != Some(&from) || !is_ours => Some((403, "it is somebody else's")),
            Some(side) if !self.call.may_be_succeeded(side) => Some((480, "the call does not stand so")),
            Some(_) => None,
        };
        let side = match (side, refusal) {
            (Some(side), None) => side,
            (_, refusal) => {
                let (status, why) = refusal.unwrap_or((481, "the dialog is over"));
                tracing::info!(call = %self.id, status, why, "a leg's place was refused to a caller");
                self.shared.dialogs.remove(&dialog);
                return self.sip(SipCommand::Reject { dialog, status, reason: None });
            }
        };
        let mut leg = Leg::new(self.shared.new_leg(), self.leg(side).role, from_user);
        leg.dialog = Some(dialog);
        leg.offer = offer;
        if let Source::Trunk(name) = &from
            && let Some(trunk) = self.shared.trunk(Some(name))
        {
            leg.goes_through(trunk);
        }
        leg.owner = Some(self.shared.claim(from, &self.worker));
        self.cause.max_forwards = self.cause.max_forwards.min(cause.max_forwards);
        self.arrived = Some(leg);
        self.transition(Input::Replace(side)).await;
    }

    /// What of the third leg is to be done; the rest of the effects is the call's.
    pub(super) fn carry_out_succession(&mut self, effect: Effect) {
        match effect {
            Effect::JoinThird(side) => self.join_with_third(side),
            Effect::Wait(side, sound) => self.wait(side, sound),
            Effect::Exchange(side) => self.exchange(side),
            Effect::Forget(side) => self.forget(side),
            Effect::Give(side) => self.give(side),
            Effect::TellTransfer(side, state) => self.tell_transfer(side, &state),
            _ => tracing::error!(call = %self.id, "not an effect of a succession"),
        }
    }

    /// The third leg and this one change places. Who was replaced is heard no more.
    fn exchange(&mut self, side: Side) {
        let third = self.take_leg(Side::Third);
        self.third = std::mem::replace(self.leg_mut(side), third);
        let worker = self.worker.clone();
        self.closing.extend(self.third.part_with_media(&worker));
    }

    /// Gives back what a leg has whose dialog is over, or as good as.
    fn forget(&mut self, side: Side) {
        if side == Side::Third {
            self.wanted = None;
        }
        let mut leg = self.take_leg(side);
        self.closing.extend(leg.part_with_media(&self.worker));
        if let Some(dialog) = leg.dialog {
            self.shared.dialogs.remove(&dialog);
            self.tell_leg_of(&leg, LegState::Ended);
        }
    }

    /// Takes a leg out; nobody is in its place then.
    fn take_leg(&mut self, side: Side) -> Leg {
        let empty = self.empty_leg(self.leg(side).role);
        std::mem::replace(self.leg_mut(side), empty)
    }

    fn empty_leg(&self, role: LegRole) -> Leg {
        Leg::new(self.shared.new_leg(), role, String::new())
    }

    /// The part of whoever is to take a place: that of the leg that has it now.
    pub(super) fn role_of_third(&self) -> LegRole {
        match self.leg(self.call.partner(Side::Third)).role {
            LegRole::Customer => LegRole::Agent,
            LegRole::Agent => LegRole::Customer,
        }
    }

    fn tell_transfer(&mut self, side: Side, state: &TransferState) {
        let (status, stage, cause) = match state {
            TransferState::Started => (None, Some(TransferStage::Started), None),
            TransferState::Ringing => (Some(180), None, None),
            TransferState::Done => (Some(200), Some(TransferStage::Done), None),
            TransferState::Failed(cause) => {
                let status = self.third.failed_status.unwrap_or(cause.sip_status());
                (Some(status), Some(TransferStage::Failed), Some(cause.clone()))
            }
            TransferState::Refused => (Some(603), None, None),
        };
        if let Some(stage) = stage {
            let leg = self.leg(side);
            tracing::info!(call = %self.id, leg = %leg.id, ?stage, cause = cause.as_ref().map(HangupCause::as_str), "transfer");
            self.tell_transfer_event(side, self.third.peer.clone(), stage, cause, None);
        }
        if let Some(status) = status {
            self.refer_progress(side, status, None);
        }
    }

    fn tell_transfer_event(
        &self,
        by: Side,
        to: String,
        stage: TransferStage,
        cause: Option<HangupCause>,
        other: Option<CallId>,
    ) {
        let Leg { id, role, .. } = *self.leg(by);
        self.shared.tell(Some(self.id), EventKind::Transfer { leg: id, role, to, stage, cause, other });
    }

    /// Tells the transferor by NOTIFY; after a final status its REFER is over.
    fn refer_progress(&mut self, side: Side, status: u16, why: Option<&str>) {
        let leg = self.leg_mut(side);
        let (Some(dialog), Some(refer)) = (leg.dialog, leg.refer) else { return };
        if status >= 200 {
            leg.refer = None;
        }
        self.sip(SipCommand::ReferProgress { dialog, refer, status, reason: why.map(str::to_owned) });
    }
}

/// The other call's answer; never, when none was asked.
pub(super) async fn next_fetched(fetching: &mut Option<Fetching>) -> Result<Given, HangupCause> {
    match fetching {
        // A call that ended without an answer has no leg any more.
        Some(fetching) => (&mut fetching.reply).await.unwrap_or(Err(HangupCause::NotFound)),
        None => std::future::pending().await,
    }
}
