//! Legs that take the place of others: transfers by REFER (RFC 3515, RFC 5589), and INVITE with Replaces (RFC 3891).
//!
//! ```text
//!   blind      Referred ─▶ dial::referred ─▶ heir dialled ─▶ it takes the place
//!   attended   Referred ─▶ Fetch ─▶ the other call: Take, Give ─▶ Given ─▶ heir ─▶ it takes the place        (that call ends)
//!   replaced   Newcomer ─▶ heir answered ─▶ it takes the place
//! ```
//!
//! - A fetched leg always has an owner: on its way it is a [`Given`], which hangs up if no call takes it.
//! - All legs of a call are on one worker. Calls of one user are placed on one worker (`placement`) if there is room; a fetched leg
//!   of another worker moves with its sockets (`WorkerRequest::LegDetach`), unnoticed by its far end. A browser's leg cannot
//!   move, because the browser knows one worker's port: then the transfer fails and both calls continue.
//! - The party that asks for another call's leg, or for a leg's place, must be the party that has it, and both calls must belong
//!   to one group.
//! - A leg that is to be called waits for the control plane: it counts against limits, and is shown an identity (`dialling`).
//! - A call whose settings forbid transfers keeps its parties: REFER is refused with 403, and no other call gets its legs.
//!   Another device of the same party may still take over, and emergency numbers can still be reached.
//!
//! Not here: permission to call a destination (`dial`), the order of steps (`call::succession`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{CallTask, TaskInput};
use crate::call::{Destination, Ending, Holding, Input, Stage, TransferState};
use crate::engine::Shared;
use crate::engine::dial::{self, Refusal};
use crate::engine::event::{EventKind, LegRole, LegState, TransferStage};
use crate::engine::leg::Leg;
use crate::engine::signalling::Signals;
use crate::error::HangupCause;
use crate::sip::{Cause, DialogId, ReferId, Replaces, SipEvent, Source};
use crate::units::{CallId, Group, LegId, mask};
use crate::worker::{DetachedLeg, Worker, WorkerEvent, WorkerRequest};

/// Reason of a 403 to a party that may not transfer its call.
const SWITCHED_OFF: &str = "transfer is switched off";
/// Time for a worker to release a leg.
const LEAVING: Duration = Duration::from_secs(1);
/// Number of events of a fetched leg that may arrive before the leg itself.
const AHEAD: usize = 16;

/// A request to a call for the partner of the leg that has `dialog`.
#[derive(Debug)]
pub(in crate::engine) struct Fetch {
    dialog: DialogId,
    /// Owner of the requesting leg.
    owner: Source,
    /// Group of the requesting call.
    group: Option<Group>,
    call: CallId,
    inbox: mpsc::Sender<TaskInput>,
    media: mpsc::Sender<WorkerEvent>,
    worker: usize,
    reply: oneshot::Sender<Result<Given, HangupCause>>,
}

/// A leg on its way between two calls; dropping it hangs it up.
pub(in crate::engine) struct Given {
    leg: Option<Leg>,
    /// Call that asked for the leg.
    call: CallId,
    shared: Arc<Shared>,
    worker: Worker,
    /// Media of the leg on its way to another worker.
    detached: Vec<(LegId, DetachedLeg)>,
}

/// Media of a leg that was given to another call.
pub(super) struct GivenMedia {
    pub(super) leg: LegId,
    /// Channel of the call that now owns its events.
    pub(super) events: mpsc::Sender<WorkerEvent>,
    /// The media has left this call's worker.
    pub(super) moved: bool,
}

/// A caller that wants to enter a running call.
#[derive(Debug)]
pub(in crate::engine) struct Newcomer {
    pub(in crate::engine) dialog: DialogId,
    pub(in crate::engine) from: Source,
    pub(in crate::engine) from_user: String,
    pub(in crate::engine) cause: Cause,
    pub(in crate::engine) offer: Option<String>,
}

/// State of a leg between the request for it and its arrival.
pub(super) struct Fetching {
    /// Id under which the machine awaits it.
    pub(super) heir: Option<LegId>,
    reply: oneshot::Receiver<Result<Given, HangupCause>>,
    /// Events of its dialog that arrived meanwhile.
    ahead: Vec<SipEvent>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("leg", &self.leg.as_ref().map(|leg| leg.id)).finish_non_exhaustive()
    }
}

impl Drop for Given {
    /// Hangs the leg up, because no call took it.
    fn drop(&mut self) {
        let Some(mut leg) = self.leg.take() else { return };
        leg.close_media(&self.worker);
        if let Some(dialog) = leg.dialog {
            self.shared.dialogs.remove(&dialog);
            Signals::of(&self.shared, self.call).hang_up(dialog, Stage::Up, (&HangupCause::Transferred, None), None);
        }
    }
}

impl Given {
    /// Takes over the leg, and attaches its media to `worker`. `None`: that worker accepts no media now, and the leg is hung up.
    fn take(mut self, worker: &Worker, media: &mpsc::Sender<WorkerEvent>) -> Option<Leg> {
        // From here on, dropping it closes its media there.
        self.worker = worker.clone();
        for (leg, detached) in self.detached.drain(..) {
            worker.send(WorkerRequest::LegAttach { leg, detached, events: media.clone() }).ok()?;
        }
        self.leg.take()
    }
}

impl CallTask {
    /// Handles a party's REFER.
    pub(super) async fn on_referred(
        &mut self,
        id: LegId,
        refer: ReferId,
        to: &str,
        (replaces, replaced): (Option<Replaces>, Option<DialogId>),
    ) {
        let Some(leg) = self.leg_mut(id) else { return };
        leg.refer = Some(refer);
        let (owner, role) = (leg.owner().cloned(), leg.role);
        let (Some(owner), true) = (owner, self.call.may_be_succeeded(id)) else {
            return self.refer_progress(id, 603, None);
        };
        let refused = |status, why| Err(Refusal { status, why });
        let destination = match (replaces, replaced) {
            (Some(_), _) if !self.settings.transfer => refused(403, SWITCHED_OFF),
            (_, Some(dialog)) => return self.fetch(id, dialog, owner).await,
            (Some(_), None) => refused(481, "the call in Replaces is not one of this system"),
            (None, None) => dial::referred(&self.shared, (&owner, self.group), to).map_err(Refusal::counted),
        };
        let destination = match destination {
            Ok(Destination::Emergency { .. }) => destination,
            _ if !self.settings.transfer => refused(403, SWITCHED_OFF),
            Ok(_) if !self.shared.pool.has_room() => refused(503, "no media thread has room for another leg"),
            Ok(_) | Err(_) => destination,
        };
        match destination {
            Ok(destination) => self.handle(Input::Transfer { by: id, to: Some(destination) }).await,
            Err(Refusal { status, why }) => {
                tracing::info!(call = %self.id, leg = %id, to = %mask(to), status, why, "transfer refused");
                let cause = HangupCause::from_sip_status(status);
                self.tell_transfer_event((id, role), to.to_owned(), TransferStage::Failed, Some(cause), None);
                self.refer_progress(id, status, Some(why));
            }
        }
    }

    /// Asks the other call for its far party.
    async fn fetch(&mut self, leg: LegId, dialog: DialogId, owner: Source) {
        let there = self.shared.dialogs.get(&dialog).map(|entry| entry.value().clone());
        let Some((_, task)) = there.filter(|(call, _)| *call != self.id) else {
            return self.refer_progress(leg, 481, None);
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
            return self.refer_progress(leg, 480, None);
        }
        self.fetching = Some(Fetching { heir: None, reply: answer, ahead: Vec::new() });
        self.handle(Input::Transfer { by: leg, to: None }).await;
        // If the call's state allows no transfer, no leg is awaited, and the other call keeps its leg.
        self.fetching.take_if(|fetching| fetching.heir.is_none());
    }

    /// Handles the other call's answer.
    pub(super) async fn on_fetched(&mut self, fetched: Result<Given, HangupCause>) {
        let Some(Fetching { heir: Some(heir), ahead, .. }) = self.fetching.take() else { return };
        // A leg that is no longer awaited is hung up when it is dropped.
        let Some(role) = self.call.role(heir) else { return };
        match fetched.map(|given| given.take(&self.worker, &self.media_in)) {
            Ok(Some(mut leg)) => {
                leg.role = role;
                let id = leg.id;
                self.name_dialog(&leg);
                self.legs.push(leg);
                self.tell_leg(id, LegState::Answered);
                self.handle(Input::Fetched { heir, leg: id }).await;
                self.change_gain(id, 0);
                if let Some(holding) = self.leg(id).map(|leg| leg.holding).filter(|holding| *holding != Holding::No) {
                    self.handle(Input::Holds { leg: id, holding }).await;
                }
            }
            Ok(None) => self.handle(Input::Gone(heir, HangupCause::Unreachable.into())).await,
            Err(cause) => {
                tracing::info!(call = %self.id, cause = cause.as_str(), "the other call cannot be joined with this one");
                self.handle(Input::Gone(heir, cause.into())).await;
            }
        }
        for event in ahead {
            Box::pin(self.on_sip(event)).await;
        }
    }

    /// Handles an event of a dialog that this call does not have, perhaps one of a leg that is being fetched.
    pub(super) fn on_stray(&mut self, event: SipEvent) {
        match &mut self.fetching {
            Some(fetching) if fetching.ahead.len() < AHEAD => fetching.ahead.push(event),
            _ => {
                tracing::debug!(call = %self.id, dialog = ?event.dialog(), "event of an unknown dialog")
            }
        }
    }

    /// Handles another call's request for the partner of one of our legs.
    pub(super) async fn on_fetch(&mut self, fetch: Fetch) {
        let leg = self.leg_of_dialog(fetch.dialog);
        let refusal = match leg {
            None => Some(HangupCause::NotFound),
            Some(leg) if self.owner(leg) != Some(&fetch.owner) || !self.settings.transfer => {
                Some(HangupCause::Rejected)
            }
            Some(_) if self.group != fetch.group => Some(HangupCause::Rejected),
            Some(leg) if !self.call.may_give_partner(leg) => Some(HangupCause::NoAnswer),
            Some(leg) if self.worker.index() != fetch.worker && !self.partner_may_move(leg) => {
                let reason = "a browser's leg cannot move to the other call's media thread";
                tracing::warn!(call = %self.id, to = %fetch.call, reason, "the calls cannot be joined");
                Some(HangupCause::Unreachable)
            }
            Some(_) => None,
        };
        if let Some(cause) = refusal {
            // The requester may have gone away.
            let _ = fetch.reply.send(Err(cause));
            return;
        }
        if fetch.reply.is_closed() {
            return;
        }
        self.asked = Some(fetch);
        if let Some(leg) = leg {
            self.handle(Input::Take(leg)).await;
        }
    }

    /// Returns whether this leg's partner can move to another worker.
    fn partner_may_move(&self, leg: LegId) -> bool {
        let partner = self.call.partner(leg).and_then(|partner| self.leg(partner));
        partner.is_some_and(|partner| !partner.has_browser_media())
    }

    fn owner(&self, leg: LegId) -> Option<&Source> {
        self.leg(leg).and_then(Leg::owner)
    }

    /// Hands a leg to the call that asked for it.
    pub(super) async fn give(&mut self, id: LegId) {
        let Some(Fetch { dialog, call, inbox, media, worker, reply, .. }) = self.asked.take() else { return };
        let transferor = self.legs.iter().find(|leg| leg.dialog == Some(dialog)).map(|leg| (leg.id, leg.role));
        self.leave_prompts(id);
        self.leave_recordings(id);
        let Some(mut leg) = self.take_leg(id) else { return };
        if let Some(dialog) = leg.dialog {
            // From here on, no event of the leg reaches this call: the switchboard locks the entry while it sends.
            self.shared.dialogs.insert(dialog, (call, inbox.clone()));
            while let Ok(input) = self.inbox.try_recv() {
                match input {
                    TaskInput::Sip(event) if event.dialog() == Some(dialog) => {
                        if inbox.try_send(TaskInput::Sip(event)).is_err() {
                            metrics::counter!("tandem_call_inputs_dropped_total").increment(1);
                            tracing::error!(%call, "dialog event dropped: the call's task is too slow");
                        }
                    }
                    // This call has ended.
                    input => self.turn_away(input),
                }
            }
        }
        let moves = self.worker.index() != worker;
        let (mut detached, mut is_whole) = (Vec::new(), true);
        for media_leg in leg.open_media() {
            self.given.push(GivenMedia { leg: media_leg, events: media.clone(), moved: moves });
            if !moves {
                self.media_command(WorkerRequest::LegEvents { leg: media_leg, events: media.clone() });
            } else if let Some(taken) = self.detach(media_leg).await {
                detached.push((media_leg, taken));
            } else {
                is_whole = false;
                tracing::error!(call = %self.id, leg = %leg.id, "a leg's media could not leave its media thread: the leg is hung up");
            }
        }
        leg.ending = Some(HangupCause::Transferred.into());
        self.tell_leg_of(&leg, LegState::Ended);
        // The leg has not ended in the other call.
        leg.ending = None;
        if let Some(by) = transferor {
            self.tell_transfer_event(by, leg.peer.clone(), TransferStage::Done, None, Some(call));
        }
        tracing::info!(call = %self.id, to = %call, leg = %leg.id, "a leg continues in another call");
        let (shared, worker) = (self.shared.clone(), self.worker.clone());
        let given = Given { leg: Some(leg), call, shared, worker, detached };
        if is_whole {
            // If the requester has gone, the leg is dropped, which hangs it up.
            let _ = reply.send(Ok(given));
        }
    }

    /// Takes media out of this call's worker.
    async fn detach(&self, leg: LegId) -> Option<DetachedLeg> {
        let (reply, detached) = oneshot::channel();
        self.worker.send(WorkerRequest::LegDetach { leg, reply }).ok()?;
        tokio::time::timeout(LEAVING, detached).await.ok()?.ok()
    }

    /// Handles an INVITE with Replaces.
    pub(super) async fn on_replacement(&mut self, newcomer: Newcomer, replaced: DialogId) {
        let Newcomer { dialog, ref from, .. } = newcomer;
        let place = self.leg_of_dialog(replaced);
        let is_ours = match from {
            Source::User(user) => self.shared.group_of(user) == self.group,
            Source::Trunk(_) => true,
        };
        let refusal = match place {
            None => Some((481, "the dialog has ended")),
            Some(leg) if self.owner(leg) != Some(from) || !is_ours => Some((403, "the leg belongs to another party")),
            Some(leg) if !self.call.may_be_succeeded(leg) => Some((480, "the call's state does not allow it")),
            Some(_) => None,
        };
        let (place, role) = match (place.zip(place.and_then(|leg| self.call.role(leg))), refusal) {
            (Some(found), None) => found,
            (_, refusal) => {
                let (status, why) = refusal.unwrap_or((481, "the dialog has ended"));
                tracing::info!(call = %self.id, status, why, "a caller's request to replace a leg was refused");
                self.shared.dialogs.remove(&dialog);
                return self.signals().refuse(dialog, status, None);
            }
        };
        self.admit(newcomer, role);
        self.handle(Input::Replace(place)).await;
    }

    /// Adds the leg of a caller that the machine is about to take into the call.
    pub(super) fn admit(&mut self, newcomer: Newcomer, role: LegRole) {
        let Newcomer { dialog, from, from_user, cause, offer } = newcomer;
        let mut leg = Leg::new(self.call.next_leg(), role, from_user);
        leg.dialog = Some(dialog);
        leg.offer = offer;
        if let Source::Trunk(name) = &from
            && let Some(trunk) = self.shared.trunk(Some(name))
        {
            leg.goes_through(trunk);
        }
        leg.owner = Some(self.shared.claim(from, &self.worker));
        self.cause.max_forwards = self.cause.max_forwards.min(cause.max_forwards);
        self.name_dialog(&leg);
        self.legs.push(leg);
    }

    /// Closes the media of a leg that was replaced.
    pub(super) fn retire(&mut self, id: LegId) {
        self.leave_prompts(id);
        let worker = self.worker.clone();
        let closing = self.leg_mut(id).and_then(|leg| leg.part_with_media(&worker));
        self.closing.extend(closing);
    }

    /// Releases everything that a leg holds whose dialog has ended or is about to end.
    pub(super) fn forget(&mut self, id: LegId) {
        self.leave_prompts(id);
        let Some(mut leg) = self.take_leg(id) else { return };
        self.program_forgets(&leg);
        self.closing.extend(leg.part_with_media(&self.worker));
        if let Some(dialog) = leg.dialog {
            self.shared.dialogs.remove(&dialog);
        }
        // The requester that added a leg knows its id.
        if leg.dialog.is_some() || leg.added {
            self.tell_leg_of(&leg, LegState::Ended);
        }
    }

    /// Ends plays to the leg and collections from it.
    fn leave_prompts(&mut self, id: LegId) {
        self.screenings.end(id);
        self.gathers_leave(Some(id));
        let media: Vec<LegId> = self.leg(id).into_iter().flat_map(Leg::open_media).collect();
        for media in media {
            self.plays_leave(media);
        }
    }

    fn take_leg(&mut self, id: LegId) -> Option<Leg> {
        let at = self.legs.iter().position(|leg| leg.id == id)?;
        Some(self.legs.remove(at))
    }

    pub(super) fn tell_transfer(&mut self, (by, role): (LegId, LegRole), heir: Option<LegId>, state: &TransferState) {
        let (status, stage, cause) = match state {
            TransferState::Started => (None, Some(TransferStage::Started), None),
            TransferState::Ringing => (Some(180), None, None),
            TransferState::Done => (Some(200), Some(TransferStage::Done), None),
            TransferState::Failed(Ending { cause, sip_status, .. }) => {
                (Some(sip_status.unwrap_or(cause.sip_status())), Some(TransferStage::Failed), Some(cause.clone()))
            }
            TransferState::Refused => (Some(603), None, None),
        };
        if let Some(stage) = stage {
            tracing::info!(call = %self.id, leg = %by, ?stage, cause = cause.as_ref().map(HangupCause::as_str), "transfer");
            let to = heir.and_then(|heir| self.leg(heir)).map(|leg| leg.peer.clone()).unwrap_or_default();
            self.tell_transfer_event((by, role), to, stage, cause, None);
        }
        if let Some(status) = status {
            self.refer_progress(by, status, None);
        }
    }

    fn tell_transfer_event(
        &self,
        (leg, role): (LegId, LegRole),
        to: String,
        stage: TransferStage,
        cause: Option<HangupCause>,
        other: Option<CallId>,
    ) {
        self.shared.tell(Some(self.id), EventKind::Transfer { leg, role, to, stage, cause, other });
    }

    /// Reports the progress to the transferor by NOTIFY; a final status ends its REFER.
    fn refer_progress(&mut self, leg: LegId, status: u16, why: Option<&str>) {
        let Some(leg) = self.leg_mut(leg) else { return };
        let (Some(dialog), Some(refer)) = (leg.dialog, leg.refer) else { return };
        if status >= 200 {
            leg.refer = None;
        }
        self.signals().transfer_progress(dialog, refer, status, why);
    }
}

/// Returns the other call's answer; waits forever if none was asked.
pub(super) async fn next_fetched(fetching: &mut Option<Fetching>) -> Result<Given, HangupCause> {
    match fetching {
        // A call that ended without an answer no longer has the leg.
        Some(fetching) => (&mut fetching.reply).await.unwrap_or(Err(HangupCause::NotFound)),
        None => std::future::pending().await,
    }
}
