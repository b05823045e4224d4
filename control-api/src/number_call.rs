//! Calls that speak a code, by which an organization proves that a number is its own.
//!
//! ```text
//! request ─▶ code, kept as argon2 hash ─▶ engine: call the number ─▶ answered ─▶ speak the code ─▶ hang up
//!                                                                     ▲ ingest gives us this call's events
//! ```
//!
//! Invariants: such a call has no row, no words, no trace and no recording, so that the code can be heard at the number
//! alone; the number of such calls at once is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::engine::{App, CallSettings, CallStatus, CallTarget, Callee, Command, Engine, EventKind, NewCall, call_id};

/// Calls at once, over all organizations.
const AT_ONCE: usize = 16;
/// From dialling to an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Between the answer and the first word: the called person lifts the phone to the ear.
const BEFORE_WORDS: Duration = Duration::from_secs(1);
/// Time for the words, which are said twice.
const WORDS: Duration = Duration::from_secs(25);
/// Language of the words.
const LANGUAGE: &str = "en";

/// How far such a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialling,
    Answered,
    Ended,
}

/// Calls that speak a code and run now; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberCalls {
    running: Arc<Mutex<HashMap<Uuid, watch::Sender<Stage>>>>,
}

/// The place of a call; it is free again when this is dropped.
pub(crate) struct NumberCall {
    calls: NumberCalls,
    id: Uuid,
    stage: watch::Receiver<Stage>,
}

impl NumberCalls {
    /// A place for a call; nothing: all are taken.
    pub(crate) fn begin(&self) -> Option<NumberCall> {
        let (id, (sender, stage)) = (Uuid::now_v7(), watch::channel(Stage::Dialling));
        let mut running = self.running();
        if running.len() >= AT_ONCE {
            return None;
        }
        running.insert(id, sender);
        Some(NumberCall { calls: self.clone(), id, stage })
    }

    /// Takes an event of a call that speaks a code. `false`: it is another call's.
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
        // Events that are still on their way must not look like another call's.
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
    /// Identity of the call.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Calls `number` and speaks `code`. Returns when the call has ended; how it went is in the log.
    pub(crate) async fn speak(mut self, engine: Engine, number: String, code: String) {
        let call = call_id(self.id);
        let outcome = self.dial_and_speak(&engine, number, &code).await;
        // Ended by the called, or never begun, is as good.
        let _over = engine.command(Command::CallHangup { call }).await;
        metrics::counter!("tandem_number_calls_total", "outcome" => outcome).increment(1);
        tracing::info!(call = %self.id, outcome, "a call that speaks a code has ended");
    }

    async fn dial_and_speak(&mut self, engine: &Engine, number: String, code: &str) -> &'static str {
        let call = call_id(self.id);
        let settings = CallSettings {
            // Typed text is spoken by the direction of a translation; between the same languages it stays as it is.
            live_translate: true,
            voice_to_voice: true,
            translate_from: LANGUAGE.into(),
            translate_to: LANGUAGE.into(),
            ..CallSettings::default()
        };
        let app = Some(App::Hold);
        let first = CallTarget::new(Callee::Number(number));
        let create = Command::CallCreate(Box::new(NewCall { call, first, second: None, app, settings }));
        if let Err(error) = engine.command(create).await {
            tracing::warn!(call = %self.id, %error, "the number was not called");
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
            tracing::warn!(call = %self.id, %error, "the code was not spoken");
            return "unspoken";
        }
        // Whoever hangs up earlier has heard enough.
        let _ended = timeout(WORDS, self.stage.wait_for(|stage| *stage == Stage::Ended)).await;
        "spoken"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_at_once_are_bounded_and_their_events_are_nobody_elses() {
        let calls = NumberCalls::default();
        let held: Vec<NumberCall> = (0..AT_ONCE).map(|_| calls.begin().unwrap()).collect();
        assert!(calls.begin().is_none());
        let answered = EventKind::CallStatus { status: CallStatus::Answered, cause: None };
        assert!(calls.take(held[0].id(), &answered) && !calls.take(Uuid::now_v7(), &answered));
        assert_eq!((*held[0].stage.borrow(), *held[1].stage.borrow()), (Stage::Answered, Stage::Dialling));
    }
}
