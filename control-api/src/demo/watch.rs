//! Follows the call through the same bus that feeds the pages, and shows words while they are spoken.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::watch;
use uuid::Uuid;

use crate::engine::TranslationEvent;
use crate::events::Bus;
use crate::state::AppState;
use crate::store::{OrganizationId, StoredEvent, StreamFilter};

/// Events read at once.
const PAGE: usize = 256;
/// How long a line's translation and its voice may take.
const SPOKEN: Duration = Duration::from_secs(6);
/// How long the call's end may take.
const OVER: Duration = Duration::from_secs(8);
/// The voice is heard for about as long as a short sentence lasts before the next line begins.
const SPEECH_PER_CHARACTER: Duration = Duration::from_millis(65);

/// What one call has told so far.
pub(super) struct Watch {
    bus: Bus,
    filter: StreamFilter,
    after: i64,
    more: watch::Receiver<i64>,
    call: Option<Uuid>,
    over: bool,
    /// Newest state of each segment, and when its voice began, by number.
    segments: BTreeMap<u64, (TranslationEvent, Option<Instant>)>,
    /// Segments that `until_spoken` has handed out.
    shown: u64,
    partial: bool,
}

impl Watch {
    pub(super) fn new(state: &AppState, organization: OrganizationId) -> Watch {
        let bus = state.bus.clone();
        let (after, more) = (bus.latest(), bus.watch());
        let filter = StreamFilter::Organization { organization, translations: true };
        Watch { bus, filter, after, more, call: None, over: false, segments: BTreeMap::new(), shown: 0, partial: false }
    }

    /// Devices under which an agent is registered.
    pub(super) fn agent_devices(&self, agent: &str) -> usize {
        self.bus.agent_devices(agent)
    }

    /// The call, once it was announced.
    pub(super) fn call(&self) -> Option<Uuid> {
        self.call
    }

    /// The segments, in order, with the time at which their voice began.
    pub(super) fn segments(&self) -> impl Iterator<Item = &(TranslationEvent, Option<Instant>)> {
        self.segments.values()
    }

    /// Waits for events and takes them in. Cancel-safe.
    pub(super) async fn look(&mut self) {
        if self.bus.latest() <= self.after && self.more.changed().await.is_err() {
            return std::future::pending().await;
        }
        match self.bus.page(&self.filter, self.after, PAGE).await {
            Ok((events, seen)) => {
                self.after = seen;
                for event in &events {
                    self.take(event);
                }
            }
            Err(error) => {
                tracing::error!(%error, "events cannot be read");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// Until the next segment of `leg` was translated and its voice has been heard.
    pub(super) async fn until_spoken(&mut self, leg: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + SPOKEN;
        loop {
            let next = self.segments.values().find(|(words, _)| words.segment > self.shown && words.leg == leg);
            if let Some((words, Some(began))) = next {
                self.shown = words.segment;
                let length = words.translation.as_deref().unwrap_or_default().chars().count() as u32;
                let heard = *began + SPEECH_PER_CHARACTER * length + Duration::from_millis(400);
                tokio::time::sleep_until(heard.into()).await;
                return Ok(());
            }
            if let Some((words, None)) = next
                && words.is_final
                && words.text.is_empty()
            {
                bail!("was heard, but not understood");
            }
            if tokio::time::timeout_at(deadline, self.look()).await.is_err() {
                bail!("was not translated and spoken within {} s", SPOKEN.as_secs());
            }
        }
    }

    /// Until the call's end was told.
    pub(super) async fn until_over(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + OVER;
        while !self.over {
            if tokio::time::timeout_at(deadline, self.look()).await.is_err() {
                bail!("the call's end was not told within {} s", OVER.as_secs());
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &StoredEvent) {
        self.call.get_or_insert(event.call);
        if self.call != Some(event.call) {
            return;
        }
        if event.kind.starts_with("translation.") {
            match serde_json::from_str::<TranslationEvent>(&event.body) {
                Ok(words) => self.take_words(words),
                Err(error) => tracing::error!(%error, "a translation event cannot be read"),
            }
            return;
        }
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
        if let Some(status) = body.get("status").and_then(serde_json::Value::as_str) {
            self.print_line(&format!("  [{status}]"));
            self.over |= matches!(status, "ended" | "failed");
        }
    }

    fn take_words(&mut self, words: TranslationEvent) {
        let who = if words.leg == "customer" { "customer" } else { "agent   " };
        let known = self.segments.get(&words.segment);
        let was_final = known.is_some_and(|(old, _)| old.is_final);
        let was_translated = known.is_some_and(|(old, _)| old.translation.is_some());
        let known_began = known.and_then(|(_, began)| *began);
        if !words.is_final {
            self.print_partial(&format!("  {who}  {}", words.text));
        } else if !was_final {
            let text = if words.text.is_empty() { "(not recognised)" } else { &words.text };
            self.print_line(&format!("  {who}  {text}"));
        }
        if let Some(translation) = words.translation.as_ref().filter(|_| !was_translated) {
            self.print_line(&format!("            {translation}"));
        }
        let began = known_began.or_else(|| words.lag_ms.tts.map(|_| Instant::now()));
        self.segments.insert(words.segment, (words, began));
    }

    /// A line that the next one overwrites, where the output is a terminal.
    fn print_partial(&mut self, text: &str) {
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[2K\x1b[90m{text}\x1b[0m");
            // A terminal that is gone hurts nobody.
            let _gone = std::io::stdout().flush();
            self.partial = true;
        } else {
            println!("{text} ...");
        }
    }

    fn print_line(&mut self, text: &str) {
        if std::mem::take(&mut self.partial) {
            print!("\r\x1b[2K");
        }
        println!("{text}");
    }
}
