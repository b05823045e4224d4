//! Lag of simultaneous translation over the trace of the study (`TANDEM_SHARED/translation-study`), beside two simple policies.
//!
//! ```text
//! trace ─ control_api::translate::run, each policy ─▶ run ─ score.py ─▶ table against the targets
//! ```
//!
//! Beside it what the pipelines of 50 calls add to the lag (`pipeline`). The trace is not shipped with Tandem: without it that table is
//! left out, and the part says so.

mod pipeline;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use control_api::translate::{StudyPolicy, parse, run as study};
use serde_json::Value;

use crate::goal::Goal::{self, AtLeast, AtMost};
use crate::goal::{self, shared};
use crate::latencies::Latencies;
use crate::report;

/// Measures the lag of simultaneous translation.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Folder of RESULTS.md, whose section is replaced; without it results are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Trace to run over; `score.py` is expected beside it. By default `translation-study/trace.jsonl` in `TANDEM_SHARED`.
    #[arg(long)]
    trace: Option<PathBuf>,
}

/// Policies with their names in the table.
const POLICIES: [(&str, StudyPolicy); 3] = [
    ("waiting for finals", StudyPolicy::Finals),
    ("agreement of two, four words", StudyPolicy::Agreement),
    ("Tandem", StudyPolicy::Adaptive),
];

/// A figure: its field in the score, its name with the unit, and what is to be reached.
struct Figure {
    field: &'static str,
    name: &'static str,
    goal: Option<Goal>,
}

const fn figure(field: &'static str, name: &'static str, goal: Option<Goal>) -> Figure {
    Figure { field, name, goal }
}

const FIGURES: [Figure; 13] = [
    figure("word_lag_p50_ms", "word lag, p50, ms", Some(AtMost(3_000.0))),
    figure("word_lag_p95_ms", "word lag, p95, ms", Some(AtMost(4_500.0))),
    figure("ear_voice_span_p50_ms", "ear-voice span, p50, ms", Some(AtMost(2_000.0))),
    figure("ear_voice_span_p95_ms", "ear-voice span, p95, ms", Some(AtMost(3_000.0))),
    figure("long_turns_p50_ms", "the same in turns of 15 s and more, p50, ms", Some(AtMost(2_000.0))),
    figure("long_turns_p95_ms", "the same in turns of 15 s and more, p95, ms", Some(AtMost(3_000.0))),
    figure("first_sound_p50_ms", "first word to first sound, p50, ms", None),
    figure("backlog_max_ms", "backlog, longest, ms", Some(AtMost(4_000.0))),
    figure("contradicted_pct", "committed words contradicted, %", Some(AtMost(2.0))),
    figure("spoken_pct", "words spoken, %", Some(AtLeast(90.0))),
    figure("words_per_clause", "words a clause, mean", None),
    figure("speed_mean", "speed of the voice, mean", None),
    figure("broken", "clauses that break a rule of the study", Some(AtMost(0.0))),
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let share = share(pipeline::measure()?);
    println!("{share}");
    let trace = arguments.trace.clone().unwrap_or_else(|| shared("translation-study/trace.jsonl"));
    if !trace.is_file() {
        println!("translate: {} is not there: not scored (1 skipped)", trace.display());
        return Ok(());
    }
    let bytes = fs::read(&trace).with_context(|| format!("{} cannot be read", trace.display()))?;
    let turns = parse(&bytes).with_context(|| trace.display().to_string())?;
    let scores = POLICIES.iter().map(|(name, policy)| {
        let lines = study(&turns, *policy).iter().map(serde_json::to_string).collect::<serde_json::Result<Vec<_>>>()?;
        Ok((*name, score(&trace, &lines)?))
    });
    let mut section = section(&scores.collect::<Result<Vec<_>>>()?, turns.len());
    println!("{section}");
    section.push_str(&share);
    arguments.out.as_ref().map_or(Ok(()), |out| report::write_section(out, &section))
}

/// Scores a run by the script that came with the trace.
fn score(trace: &Path, lines: &[String]) -> Result<Value> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("run.jsonl");
    fs::write(&file, lines.join("\n"))?;
    goal::score(&trace.with_file_name("score.py"), &[trace.as_os_str(), file.as_os_str()])
}

/// Returns what the pipelines add and cost as a table.
fn share(share: pipeline::Share) -> String {
    let pipeline::Share { mut heard, mut sent, cpu_ms } = share;
    let mut text = format!(
        "\n{} calls whose sides both talk without a pause, with a recogniser, a translator and a synthesiser over TCP: the share of the \
         pipelines in the lag, from a tap's frame to the recogniser and from a piece of voice to the order to play it. The media \
         thread takes an order at its next tick, up to 20 ms later.\n\n| figure | target | p50 | p95 | p99 |\n|---|---|---|---|---|\n",
        pipeline::CALLS
    );
    let mut row = |name: &str, latencies: &mut Latencies| {
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| latencies.percentile(percent));
        let _ = writeln!(
            text,
            "| {name}, ms ({}) | p95 ≤ 20, p99 ≤ 40 | {p50:.1} | {p95:.1} | {p99:.1} |",
            latencies.len()
        );
    };
    row("frame to recogniser", &mut heard);
    row("voice to order", &mut sent);
    let _ = writeln!(
        text,
        "\nProcessor time of the pipelines with voice detection and the protocol of the providers: {cpu_ms:.1} ms for each second of a \
         call (at most 6 ms)."
    );
    text
}

fn section(scores: &[(&str, Value)], turns: usize) -> String {
    let mut text = String::from("## Simultaneous translation\n\n");
    let date = jiff::Zoned::now().strftime("%Y-%m-%d");
    let _ = writeln!(
        text,
        "{date}, `make bench PART=translate`, commit {}: the trace of the study ({turns} turns) under virtual time, scored by the \
         script beside it. Recogniser, translator and synthesiser are simulated, so that the figures show the policy alone.\n",
        report::commit()
    );
    let names: Vec<&str> = scores.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(text, "| figure | target | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(names.len()));
    for Figure { field, name, goal } in &FIGURES {
        let target = goal.map_or("–".into(), Goal::words);
        let _ = write!(text, "| {name} | {target} |");
        for (_, score) in scores {
            let _ = match score[*field].as_f64() {
                None => write!(text, " – |"),
                Some(value) if !goal.is_none_or(|goal| goal.is_reached(value)) => write!(text, " **{value}** |"),
                Some(value) => write!(text, " {value} |"),
            };
        }
        text.push('\n');
    }
    text.push_str("\nBold: the target is not reached.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_misses_its_target_is_bold() {
        let score = |lag: f64| serde_json::json!({ "word_lag_p50_ms": lag, "spoken_pct": 95.0 });
        let text = section(&[("slow", score(3_200.0)), ("fast", score(2_800.0))], 200);
        assert!(text.contains("| word lag, p50, ms | ≤ 3000 | **3200** | 2800 |"), "{text}");
        assert!(text.contains("| words spoken, % | ≥ 90 | 95 | 95 |"), "{text}");
        assert!(text.contains("| first word to first sound, p50, ms | – | – | – |"), "{text}");
    }
}
