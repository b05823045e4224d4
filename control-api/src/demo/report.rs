//! The result of the call, printed and checked.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use uuid::Uuid;

use super::agent::Loudness;
use super::customer::Line;
use super::watch::Watch;
use crate::engine::TranslationEvent;
use crate::state::AppState;
use crate::store::OrganizationId;

/// Level above which a frame counts as voice.
const VOICE_DBFS: f32 = -40.0;
/// Shortest voice that the agent must hear after a translation begins.
const VOICE: Duration = Duration::from_millis(200);
/// Time within which the voice must be heard, from the sending of the first sample.
const WINDOW: Duration = Duration::from_millis(1_500);

/// The result of one call.
pub(super) struct Report {
    segments: Vec<(TranslationEvent, Option<Instant>)>,
    recording: Option<(PathBuf, String, u64)>,
    ended_reason: Option<String>,
    status: String,
    /// Loudness on the scripted agent's line; `None` if a person answered.
    heard: Option<Vec<Loudness>>,
}

impl Report {
    pub(super) async fn make(
        state: &AppState,
        organization: OrganizationId,
        call: Uuid,
        watch: &Watch,
        heard: Vec<Loudness>,
    ) -> Result<Report> {
        let row = state.store.call_show(organization, call).await?.context("the call is not in the store")?;
        let recording = state.store.recording_by_call(organization, call).await?;
        Ok(Report {
            segments: watch.segments().cloned().collect(),
            recording: recording.map(|recording| (recording.path, recording.state, recording.duration_ms)),
            ended_reason: row.ended_reason,
            status: row.status,
            heard: (!heard.is_empty()).then_some(heard),
        })
    }

    /// Prints the text, translation and lag by stage of every sentence, the recording, and what to try next.
    pub(super) fn print(&self) {
        println!("\nLag in milliseconds, from the end of speech:");
        println!("  {:>5} {:>9} {:>5} {:>6}  said -> meant", "heard", "translate", "voice", "total");
        for (words, _) in &self.segments {
            let lag = words.lag_ms;
            let show = |ms: Option<u32>| ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
            let meant = words.translation.as_deref().unwrap_or("-");
            println!(
                "  {:>5} {:>9} {:>5} {:>6}  {} -> {meant}",
                show(lag.stt),
                show(lag.translate),
                show(lag.tts),
                show(lag.total),
                words.text
            );
        }
        match &self.recording {
            Some((path, state, ms)) => println!("Recording {} ({state}, {:.1} s)", path.display(), *ms as f64 / 1000.0),
            None => println!("Nothing was recorded."),
        }
        println!("Try next: open /agent and answer yourself; call sip:echo@ with a SIP phone; read README.md.");
    }

    /// Returns a sentence for every step that failed.
    pub(super) fn failures(&self, script: &[Line], reply: &Line) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.status != "ended" {
            wrong.push(format!(
                "the call is `{}` ({}) instead of ended",
                self.status,
                self.ended_reason.as_deref().unwrap_or("-")
            ));
        }
        for line in script.iter().chain([reply]) {
            let found = self.segments.iter().find(|(words, _)| words.translation.as_deref() == Some(line.meant));
            match found {
                None => wrong.push(format!("`{}` was not translated as `{}`", line.said, line.meant)),
                Some((words, None)) => wrong.push(format!("`{}` was not spoken", words.text)),
                Some((words, Some(began))) if words.leg == "customer" && !self.agent_heard(*began) => {
                    wrong.push(format!("the agent did not hear `{}`", line.meant));
                }
                Some(_) => {}
            }
        }
        match &self.recording {
            Some((path, state, ms)) if state == "finished" && *ms > 1_000 && path.is_file() => {}
            Some((path, state, ms)) => {
                wrong.push(format!("the recording {} has state {state} and {ms} ms of audio", path.display()))
            }
            None => wrong.push("there is no recording".into()),
        }
        wrong
    }

    /// Returns whether the agent's line carried a voice while the translation was spoken. Always true if a person
    /// answered.
    fn agent_heard(&self, began: Instant) -> bool {
        let Some(heard) = &self.heard else { return true };
        let during = |frame: &&Loudness| frame.at >= began && frame.at < began + WINDOW;
        let voiced = heard.iter().filter(during).filter(|frame| frame.dbfs > VOICE_DBFS).count();
        Duration::from_millis(20) * voiced as u32 >= VOICE
    }
}
