//! Verification calls: calls that speak a code, by which an organization proves that a number is its own.
//!
//! ```text
//! request ─▶ code, stored as argon2 hash ─▶ engine: call the number ─▶ answered ─▶ speak the code ─▶ hang up
//!                                                                     ▲ ingest passes on this call's events
//! ```
//!
//! Invariants: such a call has no row, no transcript, no trace and no recording, so that the code can be heard only at the
//! number. The number of simultaneous calls is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::engine::translation::Hears;
use crate::engine::{App, CallSettings, CallStatus, CallTarget, Callee, Command, Engine, EventKind, NewCall, call_id};

/// Largest number of simultaneous calls, for all organizations together.
const AT_ONCE: usize = 16;
/// Longest time from dialling to an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Pause between the answer and the first word, while the person lifts the phone to the ear.
const BEFORE_WORDS: Duration = Duration::from_secs(1);
/// Time for the words, which are spoken twice.
const WORDS: Duration = Duration::from_secs(25);
/// Language of the words.
const LANGUAGE: &str = "en";

/// State of a verification call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialling,
    Answered,
    Ended,
}

/// Verification calls that are running; clones share the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberCalls {
    running: Arc<Mutex<HashMap<Uuid, watch::Sender<Stage>>>>,
}

/// Place of a verification call. It is released when this is dropped.
pub(crate) struct NumberCall {
    calls: NumberCalls,
    id: Uuid,
    stage: watch::Receiver<Stage>,
}

impl NumberCalls {
    /// Reserves a place for a call. Returns `None` if all places are taken.
    pub(crate) fn begin(&self) -> Option<NumberCall> {
        let (id, (sender, stage)) = (Uuid::now_v7(), watch::channel(Stage::Dialling));
        let mut running = self.running();
        if running.len() >= AT_ONCE {
            return None;
        }
        running.insert(id, sender);
        Some(NumberCall { calls: self.clone(), id, stage })
    }

    /// Handles an event of a verification call. Returns `false` if the call is not one.
    pub(crate) fn take(&self, call: Uuid, event: &EventKind) -> bool {
        let running = self.running();
        let Some(stage) = running.get(&call) else { return false };
        match event {
            EventKind::CallStatus { cause: Some(_), .. } => stage.send_replace(Stage::Ended),
            EventKind::CallStatus { status: CallStatus::Answered, .. } => stage.send_replace(Stage::Answered),
            _ => return true,
        };
        true
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<Stage>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NumberCall {
    fn drop(&mut self) {
        // Late events of this call must not be taken for those of another call.
        let (calls, id) = (self.calls.clone(), self.id);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                sleep(Duration::from_secs(10)).await;
                calls.running().remove(&id);
            })),
            Err(_) => drop(calls.running().remove(&id)),
        }
    }
}

impl NumberCall {
    /// Returns the id of the call.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Calls `number` and speaks `code`. Returns when the call has ended; the outcome is logged.
    pub(crate) async fn speak(mut self, engine: Engine, number: String, code: String) {
        let call = call_id(self.id);
        let outcome = self.dial_and_speak(&engine, number, &code).await;
        // It does not matter if the call has ended already or never began.
        let _over = engine.command(Command::CallHangup { call }).await;
        metrics::counter!("tandem_number_calls_total", "outcome" => outcome).increment(1);
        tracing::info!(call = %self.id, outcome, "a verification call has ended");
    }

    async fn dial_and_speak(&mut self, engine: &Engine, number: String, code: &str) -> &'static str {
        let call = call_id(self.id);
        let settings = CallSettings {
            // Text to speak passes through a translation. Between equal languages it is not changed.
            live_translate: true,
            hears: [Hears::Ducked; 2],
            translate_from: LANGUAGE.into(),
            translate_to: LANGUAGE.into(),
            ..CallSettings::default()
        };
        let app = Some(App::Hold);
        let first = CallTarget::new(Callee::Number(number));
        let create = Command::CallCreate(Box::new(NewCall { call, first, second: None, app, settings }));
        if let Err(error) = engine.command(create).await {
            tracing::warn!(call = %self.id, %error, "cannot call the number");
            return "refused";
        }
        let answered = self.stage.wait_for(|stage| *stage != Stage::Dialling);
        match timeout(ANSWER_MAX, answered).await {
            Ok(Ok(stage)) if *stage == Stage::Answered => {}
            _ => return "unanswered",
        }
        sleep(BEFORE_WORDS).await;
        let digits: Vec<String> = code.chars().map(String::from).collect();
        let digits = digits.join(". ");
        let text = format!("Your code is: {digits}. Once more: {digits}.");
        if let Err(error) = engine.command(Command::CallSay { call, text }).await {
            tracing::warn!(call = %self.id, %error, "cannot speak the code");
            return "unspoken";
        }
        // The person may hang up before all words were spoken.
        let _ended = timeout(WORDS, self.stage.wait_for(|stage| *stage == Stage::Ended)).await;
        "spoken"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn simultaneous_calls_are_bounded_and_take_only_their_own_events() {
        let calls = NumberCalls::default();
        let held: Vec<NumberCall> = (0..AT_ONCE).map(|_| calls.begin().unwrap()).collect();
        assert!(calls.begin().is_none());
        let answered = EventKind::CallStatus { status: CallStatus::Answered, cause: None };
        assert!(calls.take(held[0].id(), &answered) && !calls.take(Uuid::now_v7(), &answered));
        assert_eq!((*held[0].stage.borrow(), *held[1].stage.borrow()), (Stage::Answered, Stage::Dialling));
    }
}
