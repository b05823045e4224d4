//! Follows the call through the bus that also feeds the pages, and prints words while they are spoken.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use crate::engine::TranslationEvent;
use crate::events::{Bus, Passing};
use crate::state::AppState;
use crate::store::{OrganizationId, StreamFilter};

/// Events read at once.
const PAGE: usize = 256;
/// Time limit for the translation of a line and the beginning of its voice.
const SPOKEN: Duration = Duration::from_secs(6);
/// Time limit for the end of the call.
const ENDED: Duration = Duration::from_secs(8);
/// Estimated duration of speech per character, by which the next line waits for the end of the voice.
const SPEECH_PER_CHARACTER: Duration = Duration::from_millis(65);

/// State of one call, as known from its events.
pub(super) struct Watch {
    bus: Bus,
    filter: StreamFilter,
    after: i64,
    more: watch::Receiver<i64>,
    /// Words that may still change, which are not stored.
    passing: broadcast::Receiver<Passing>,
    call: Option<Uuid>,
    over: bool,
    /// Latest state of each segment and the time at which its voice began, by number of the segment.
    segments: BTreeMap<u64, (TranslationEvent, Option<Instant>)>,
    /// Number of the latest segment that `until_spoken` has waited for.
    shown: u64,
    partial: bool,
}

impl Watch {
    pub(super) fn new(state: &AppState, organization: OrganizationId) -> Watch {
        let bus = state.bus.clone();
        let (after, more, passing) = (bus.latest_id(), bus.watch(), bus.passing());
        let filter = StreamFilter::Organization { organization, translations: true };
        Watch {
            bus,
            filter,
            after,
            more,
            passing,
            call: None,
            over: false,
            segments: BTreeMap::new(),
            shown: 0,
            partial: false,
        }
    }

    /// Returns the number of devices on which an agent is registered.
    pub(super) fn agent_devices(&self, agent: &str) -> usize {
        self.bus.agent_devices(agent)
    }

    /// Returns the call, once it has been announced.
    pub(super) fn call(&self) -> Option<Uuid> {
        self.call
    }

    /// Returns the segments in order, with the time at which their voice began.
    pub(super) fn segments(&self) -> impl Iterator<Item = &(TranslationEvent, Option<Instant>)> {
        self.segments.values()
    }

    /// Waits for events and applies them. Cancel-safe.
    pub(super) async fn read_events(&mut self) {
        if self.bus.latest_id() <= self.after {
            tokio::select! {
                changed = self.more.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                // Lost words are part of the next state of their segment.
                Ok(passing) = self.passing.recv() => {
                    if let Passing::LegReport(report) = passing && self.filter.passes(&report) {
                        self.apply(report.call, report.kind, &report.body);
                    }
                    return;
                }
            }
        }
        match self.bus.page(&self.filter, self.after, PAGE).await {
            Ok((events, seen)) => {
                self.after = seen;
                for event in &events {
                    self.apply(event.call, &event.kind, &event.body);
                }
            }
            Err(error) => {
                tracing::error!(%error, "events cannot be read");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// Waits until the next segment of `leg` has been translated and its voice has been heard.
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
                bail!("was heard but not recognised");
            }
            if tokio::time::timeout_at(deadline, self.read_events()).await.is_err() {
                bail!("was not translated and spoken within {} s", SPOKEN.as_secs());
            }
        }
    }

    /// Waits for the end of the call.
    pub(super) async fn until_ended(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + ENDED;
        while !self.over {
            if tokio::time::timeout_at(deadline, self.read_events()).await.is_err() {
                bail!("the call did not end within {} s", ENDED.as_secs());
            }
        }
        Ok(())
    }

    fn apply(&mut self, call: Uuid, kind: &str, body: &str) {
        self.call.get_or_insert(call);
        if self.call != Some(call) {
            return;
        }
        if kind.starts_with("translation.") {
            match serde_json::from_str::<TranslationEvent>(body) {
                Ok(words) => self.apply_words(words),
                Err(error) => tracing::error!(%error, "a translation event cannot be read"),
            }
            return;
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        if let Some(status) = body.get("status").and_then(serde_json::Value::as_str) {
            self.print_line(&format!("  [{status}]"));
            self.over |= matches!(status, "ended" | "failed");
        }
    }

    fn apply_words(&mut self, words: TranslationEvent) {
        let who = if words.leg == "customer" { "customer" } else { "agent   " };
        let known = self.segments.get(&words.segment);
        if known.is_some_and(|(old, _)| old.revision > words.revision) {
            return;
        }
        let was_final = known.is_some_and(|(old, _)| old.is_final);
        let shown = known.map_or(0, |(old, _)| translations(old).count());
        let known_began = known.and_then(|(_, began)| *began);
        if !words.is_final {
            self.print_partial(&format!("  {who}  {}", words.text));
        } else if !was_final {
            let text = if words.text.is_empty() { "(not recognised)" } else { &words.text };
            self.print_line(&format!("  {who}  {text}"));
        }
        for translation in translations(&words).skip(shown) {
            self.print_line(&format!("            {translation}"));
        }
        let began = known_began.or_else(|| words.lag_ms.tts.map(|_| Instant::now()));
        self.segments.insert(words.segment, (words, began));
    }

    /// Prints a line that the next one overwrites if the output is a terminal.
    fn print_partial(&mut self, text: &str) {
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[2K\x1b[90m{text}\x1b[0m");
            // A closed terminal does no harm.
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

/// Returns the translations of a sentence's clauses.
fn translations(words: &TranslationEvent) -> impl Iterator<Item = &str> {
    words.clauses.iter().filter_map(|clause| clause.translation.as_deref())
}
