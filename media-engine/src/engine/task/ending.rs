//! The end of a call: everything that the end event promises is complete when it is sent.

use std::time::{Duration, Instant};

use super::{CallTask, Newcomer, TaskInput};
use crate::engine::Shared;
use crate::engine::command::CommandError;
use crate::engine::event::{CallStatus, EventKind, LegState};
use crate::engine::parking::NOT_PARKED;
use crate::engine::signalling::Signals;
use crate::error::HangupCause;
use crate::net::clock;
use crate::sip::DialogId;
use crate::units::CallId;
use crate::worker::{WorkerEvent, WorkerEventKind, WorkerRequest};

/// Time for the worker to close legs.
const CLOSING: Duration = Duration::from_millis(500);

impl CallTask {
    /// Closes media, seals the recordings, and reports the last words and then the end, so that the files are complete by then.
    pub(super) async fn finish(mut self, began: Instant) {
        let ended_at = clock::system_now();
        self.inbox.close();
        while let Ok(input) = self.inbox.try_recv() {
            self.turn_away(input);
        }
        if let Some(translation) = self.translation.take() {
            for words in translation.stop().await {
                self.shared.tell(Some(self.id), EventKind::Translation(words));
            }
        }
        self.gathers_leave(None);
        self.end_plays();
        self.close_media().await;
        self.finish_recordings().await;
        self.end_program();
        for leg in &self.legs {
            if let Some(dialog) = leg.dialog {
                self.shared.dialogs.remove(&dialog);
            }
            if leg.dialog.is_some() || leg.added {
                self.tell_leg_of(leg, LegState::Ended);
            }
        }
        // Taps of this call on media that now belongs to another call have ended.
        for given in std::mem::take(&mut self.given).into_iter().filter(|given| !given.moved) {
            self.media_command(WorkerRequest::Untap { leg: given.leg });
        }
        let (cause, answered) = self.over.take().unwrap_or((HangupCause::Internal, false));
        let duration_ms = clock::now().saturating_duration_since(began).as_millis() as u64;
        tracing::info!(call = %self.id, cause = cause.as_str(), answered, duration_ms, "call ended");
        let status = if answered { CallStatus::Ended } else { CallStatus::Failed };
        self.shared.tell_end(ended_at, self.id, EventKind::CallStatus { status, cause: Some(cause) }).await;
    }

    /// Refuses inputs that arrive after the end. A call that asked for a leg notices that its reply channel is dropped.
    pub(super) fn turn_away(&self, input: TaskInput) {
        match input {
            TaskInput::Replace(Newcomer { dialog, .. }, _) => {
                self.shared.dialogs.remove(&dialog);
                self.signals().refuse(dialog, 481, None);
            }
            TaskInput::PickUp(Newcomer { dialog, .. }, _) => {
                self.shared.dialogs.remove(&dialog);
                let (status, why) = NOT_PARKED;
                self.signals().refuse(dialog, status, Some(why));
            }
            // The requester may have gone away.
            TaskInput::Say { reply, .. } | TaskInput::Verb { reply, .. } => {
                let _ = reply.send(Err(CommandError::NotFound));
            }
            _ => {}
        }
    }

    async fn close_media(&mut self) {
        let closing: usize = self.closing.iter().map(|leg| leg.open).sum();
        let worker = &self.worker;
        let mut open = closing + self.legs.iter_mut().map(|leg| leg.close_media(worker)).sum::<usize>();
        let deadline = tokio::time::Instant::now() + CLOSING;
        while open > 0 {
            match tokio::time::timeout_at(deadline, self.media.recv()).await {
                Ok(Some(event)) => {
                    if let Some(given) = self.given.iter().find(|given| given.leg == event.leg) {
                        // The worker sent this before it knew the new owner of the media.
                        if given.events.try_send(event).is_err() {
                            metrics::counter!("tandem_call_inputs_dropped_total").increment(1);
                        }
                        continue;
                    }
                    let WorkerEvent { leg, kind: WorkerEventKind::Closed(quality) } = event else { continue };
                    open -= 1;
                    match self.legs.iter().find(|known| known.owns(leg)).map(|leg| (leg.id, leg.role)) {
                        Some((leg, role)) => self.tell_last_quality(leg, role, quality),
                        None => {
                            self.on_media_of_closing_leg(WorkerEvent { leg, kind: WorkerEventKind::Closed(quality) })
                        }
                    }
                }
                Ok(None) | Err(_) => {
                    tracing::error!(call = %self.id, legs = open, "the worker did not report that the legs are closed");
                    return;
                }
            }
        }
    }
}

/// Ends the dialogs of a call whose task panicked; its media, ports and files were released with the task.
pub(in crate::engine) async fn clear_after_panic(shared: &Shared, id: CallId) {
    let dialogs: Vec<DialogId> =
        shared.dialogs.iter().filter(|entry| entry.value().0 == id).map(|entry| *entry.key()).collect();
    for dialog in dialogs {
        shared.dialogs.remove(&dialog);
        Signals::of(shared, id).abandon(dialog);
    }
    let cause = Some(HangupCause::Internal);
    shared.tell_end(clock::system_now(), id, EventKind::CallStatus { status: CallStatus::Failed, cause }).await;
}
