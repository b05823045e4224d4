//! How well and how fast the detector tells what answered, on the development clips (`TANDEM_SHARED/amd-dev`).
//!
//! ```text
//! clips ─ control_api::amd::hear, each mode ─▶ predictions ─ score.py ─▶ tables against the targets, ROC as SVG
//!    └─── decoded, one thread ─▶ CPU of the detector per second of sound
//! ```
//!
//! The clips are not shipped with Tandem: without them the part is skipped, and says so.

mod messages;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use control_api::amd::{Heard, hear, samples};
use control_api::engine::{AmdDetector, AmdMode};
use serde_json::Value;

use crate::goal::Goal::{self, AtLeast, AtMost};
use crate::goal::{self, shared};
use crate::{cpu, report};

/// Measures how well and how fast the detector tells what answered.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Folder of RESULTS.md, whose section is replaced; without it results are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder with clips, truth and `score.py`; by default `amd-dev` in `TANDEM_SHARED`.
    #[arg(long)]
    clips: Option<PathBuf>,
}

/// A mode with its name.
const MODES: [(&str, AmdMode); 3] =
    [("fast", AmdMode::Fast), ("balanced", AmdMode::Balanced), ("careful", AmdMode::Careful)];

/// A figure: its path in the score, its name, and what `balanced` and `fast` are to reach.
struct Figure {
    path: &'static [&'static str],
    name: &'static str,
    balanced: Goal,
    fast: Goal,
}

const fn figure(path: &'static [&'static str], name: &'static str, balanced: Goal, fast: Goal) -> Figure {
    Figure { path, name, balanced, fast }
}

const FIGURES: [Figure; 18] = [
    figure(&["human_vs_recorded_pct"], "human against recorded, right, %", AtLeast(95.0), AtLeast(90.0)),
    figure(&["human_called_auto_pct"], "human called automated, %", AtMost(3.0), AtMost(5.0)),
    figure(&["machine_called_human_pct"], "machine called human, %", AtMost(4.0), AtMost(8.0)),
    figure(&["unknown_pct"], "unknown, %", AtMost(1.0), AtMost(1.0)),
    figure(&["exact_pct"], "exact, all classes, %", AtLeast(92.0), AtLeast(85.0)),
    figure(&["per_class_exact_pct", "fax"], "fax exact, %", AtLeast(99.0), AtLeast(99.0)),
    figure(&["per_class_exact_pct", "sit"], "sit exact, %", AtLeast(99.0), AtLeast(99.0)),
    figure(&["per_class_exact_pct", "busy"], "busy exact, %", AtLeast(99.0), AtLeast(99.0)),
    figure(&["per_class_exact_pct", "ringback"], "ringback exact, %", AtLeast(99.0), AtLeast(99.0)),
    figure(
        &["human_after_greeting_ms", "p50"],
        "human after the greeting's end, p50, ms",
        AtMost(900.0),
        AtMost(600.0),
    ),
    figure(&["human_after_greeting_ms", "p95"], "the same, p95, ms", AtMost(1_800.0), AtMost(1_200.0)),
    figure(&["latency_ms", "machine", "p50"], "machine after the answer, p50, ms", AtMost(3_500.0), AtMost(2_500.0)),
    figure(&["latency_ms", "machine", "p95"], "the same, p95, ms", AtMost(6_000.0), AtMost(5_000.0)),
    figure(&["beep", "recall_pct"], "beep recall, %", AtLeast(97.0), AtLeast(97.0)),
    figure(&["beep", "precision_pct"], "beep precision, %", AtLeast(99.0), AtLeast(99.0)),
    figure(&["beep", "err_p50_ms"], "error of the beep's start, p50, ms", AtMost(30.0), AtMost(30.0)),
    figure(&["beep", "err_p95_ms"], "the same, p95, ms", AtMost(120.0), AtMost(120.0)),
    figure(&["greeting_end_ms", "err_p95"], "error of the greeting's end, p95, ms", AtMost(400.0), AtMost(400.0)),
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.clips.clone().unwrap_or_else(|| shared("amd-dev"));
    if !folder.join("truth.jsonl").is_file() {
        println!("amd: {} has no clips: not scored (1 skipped)", folder.display());
        return Ok(());
    }
    let mut clips: Vec<PathBuf> =
        fs::read_dir(folder.join("clips"))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    clips.sort();
    let mut scores = Vec::new();
    let mut heard_by_mode = Vec::new();
    for (name, mode) in MODES {
        let heard = clips.iter().map(|clip| hear(clip, mode)).collect::<Result<Vec<Heard>>>()?;
        scores.push((name, score(&folder, &heard)?));
        heard_by_mode.push((name, heard));
    }
    let mut section = section(&scores, clips.len(), &cpu_of(&clips)?);
    let truth = truth(&folder)?;
    let waits = waits(&truth, &heard_by_mode);
    let _ = writeln!(
        section,
        "\nThe longest that a person who was recognised waits after the greeting's end: {waits} (law: 2 s)."
    );
    let _ = writeln!(section, "\n{}", messages::leave(&folder, &truth)?.words());
    println!("{section}");
    if let Some(out) = &arguments.out {
        report::write_section(out, &section)?;
        fs::write(out.join("amd-roc.svg"), roc(&heard_by_mode, &people(&truth)))
            .context("amd-roc.svg cannot be written")?;
    }
    Ok(())
}

/// Scores predictions by the script that came with the clips.
fn score(folder: &Path, heard: &[Heard]) -> Result<Value> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("predictions.jsonl");
    let lines = heard.iter().map(serde_json::to_string).collect::<serde_json::Result<Vec<_>>>()?;
    fs::write(&file, lines.join("\n"))?;
    goal::score(&folder.join("score.py"), &[file.as_os_str(), OsStr::new("--json-only")])
}

/// CPU time of the detector, in milliseconds per second of sound.
struct Cpu {
    /// Until the verdict, as of a leg that is being screened.
    screened: f64,
    /// Of everything that the clips hold.
    all: f64,
}

/// Measures the detector on all clips; medians of five runs.
fn cpu_of(clips: &[PathBuf]) -> Result<Cpu> {
    let sounds = clips.iter().map(|clip| samples(clip)).collect::<Result<Vec<_>>>()?;
    let run = |until_verdict: bool| {
        let before = cpu::own_run_time_ns();
        let mut seconds = 0.0;
        for (rate, samples) in &sounds {
            let mut detector = AmdDetector::new(*rate, AmdMode::Balanced);
            for frame in samples.chunks(rate.samples_in_ms(20)) {
                detector.push(frame, |_| ());
                if until_verdict && detector.verdict().is_some() {
                    break;
                }
            }
            seconds += detector.heard().as_secs_f64();
        }
        (cpu::own_run_time_ns() - before) as f64 / 1e6 / seconds
    };
    let median = |until_verdict| {
        let mut spent: Vec<f64> = (0..5).map(|_| run(until_verdict)).collect();
        spent.sort_by(f64::total_cmp);
        spent[2]
    };
    Ok(Cpu { screened: median(true), all: median(false) })
}

/// Returns the longest wait of the persons who were recognised, in each mode, in words.
fn waits(truth: &[Value], modes: &[(&str, Vec<Heard>)]) -> String {
    let ends = truth.iter().filter(|row| row["class"] == "human").map(|row| (&row["clip"], &row["greeting_end_ms"]));
    let ends: Vec<(&str, u64)> = ends.filter_map(|(clip, end)| Some((clip.as_str()?, end.as_u64()?))).collect();
    let longest = |heard: &[Heard]| {
        let of = |(clip, end): &(&str, u64)| {
            let heard = heard.iter().find(|heard| heard.clip == *clip && heard.verdict == "human")?;
            Some(heard.decided_at_ms.saturating_sub(*end))
        };
        ends.iter().filter_map(of).max().unwrap_or_default()
    };
    let words: Vec<String> = modes.iter().map(|(mode, heard)| format!("{mode} {} ms", longest(heard))).collect();
    words.join(", ")
}

fn section(scores: &[(&str, Value)], clips: usize, cpu: &Cpu) -> String {
    let mut text = String::from("## What answered\n\n");
    let date = jiff::Zoned::now().strftime("%Y-%m-%d");
    let _ = writeln!(
        text,
        "{date}, `make bench PART=amd`, commit {}: the {clips} development clips, judged as files by `tandem amd`, scored by the \
         script beside them. `amd-training/CARD.md` has figures on more clips, with intervals, and what limits them.\n",
        report::commit()
    );
    text.push_str("| figure | target: fast, balanced | fast | balanced | careful |\n|---|---|---|---|---|\n");
    for Figure { path, name, balanced, fast } in &FIGURES {
        let _ = write!(text, "| {name} | {}, {} |", fast.words(), balanced.words());
        for (mode, score) in scores {
            let value = path.iter().fold(score, |value, field| &value[*field]).as_f64();
            let goal = match *mode {
                "fast" => Some(fast),
                "balanced" => Some(balanced),
                _ => None,
            };
            let _ = match (value, goal) {
                (None, _) => write!(text, " – |"),
                (Some(value), Some(goal)) if !goal.is_reached(value) => write!(text, " **{value}** |"),
                (Some(value), _) => write!(text, " {value} |"),
            };
        }
        text.push('\n');
    }
    let Cpu { screened, all } = cpu;
    let _ = writeln!(
        text,
        "\nBold: the target is not reached. CPU: {screened:.2} ms per second of sound until the verdict (target 3), so that 100 \
         screened legs take {:.0} % of a core (target 10); {all:.2} ms over whole clips. [ROC](amd-roc.svg): persons against all that \
         is recorded, by the probability at the verdict.",
        screened * 10.0
    );
    text
}

/// Reads what the clips are: a JSON object for each.
fn truth(folder: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(folder.join("truth.jsonl"))?;
    Ok(text.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>()?)
}

/// Returns for each clip with a person or recorded speech whether it is a person.
fn people(truth: &[Value]) -> Vec<(String, bool)> {
    let speaks = |row: &&Value| ["human", "machine", "screening", "ivr"].iter().any(|class| row["class"] == *class);
    let rows = truth.iter().filter(speaks);
    rows.map(|row| (row["clip"].as_str().unwrap_or_default().to_owned(), row["class"] == "human")).collect()
}

/// Draws the share of persons who are recognised against the share of recordings that are taken for persons.
fn roc(modes: &[(&str, Vec<Heard>)], truth: &[(String, bool)]) -> String {
    let (left, size) = (60.0, 400.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {w}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{w}\" height=\"{w}\" fill=\"#fff\"/>\n\
         <rect x=\"{left}\" y=\"20\" width=\"{size}\" height=\"{size}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{x}\" y=\"455\" text-anchor=\"middle\">recordings taken for a person, %</text>\n\
         <text transform=\"translate(18,{y}) rotate(-90)\" text-anchor=\"middle\">persons recognised, %</text>\n",
        w = size + left + 20.0,
        x = left + size / 2.0,
        y = 20.0 + size / 2.0,
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, y) = (left + tick * size, 20.0 + (1.0 - tick) * size);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"436\" text-anchor=\"middle\">{:.0}</text>", tick * 100.0);
        let _ = writeln!(svg, "<text x=\"54\" y=\"{}\" text-anchor=\"end\">{:.0}</text>", y + 4.0, tick * 100.0);
    }
    for (n, ((name, heard), colour)) in modes.iter().zip(["#c60", "#06c", "#080"]).enumerate() {
        let points = curve(heard, truth);
        let line: Vec<String> =
            points.iter().map(|(x, y)| format!("{:.1},{:.1}", left + x * size, 20.0 + (1.0 - y) * size)).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        let area: f64 = points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum();
        let y = 340.0 + 20.0 * n as f64;
        let _ = writeln!(svg, "<text x=\"300\" y=\"{y}\" fill=\"{colour}\">{name}: area {area:.3}</text>");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Returns the points of a curve: recordings taken for persons, persons recognised.
fn curve(heard: &[Heard], truth: &[(String, bool)]) -> Vec<(f64, f64)> {
    let person = |heard: &Heard| match heard.verdict {
        "human" => f64::from(heard.probability),
        _ => 1.0 - f64::from(heard.probability),
    };
    let mut judged: Vec<(f64, bool)> = truth
        .iter()
        .filter_map(|(clip, is_person)| Some((person(heard.iter().find(|heard| heard.clip == *clip)?), *is_person)))
        .collect();
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let people = judged.iter().filter(|(_, is_person)| *is_person).count().max(1) as f64;
    let others = (judged.len() as f64 - people).max(1.0);
    let (mut right, mut wrong) = (0.0, 0.0);
    let mut points = vec![(0.0, 0.0)];
    for (_, is_person) in judged {
        if is_person {
            right += 1.0
        } else {
            wrong += 1.0
        }
        points.push((wrong / others, right / people));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_with_persons_and_moves_right_with_recordings() {
        let heard =
            |clip: &str, verdict, probability| Heard { clip: clip.into(), verdict, probability, ..Heard::default() };
        let all =
            [heard("a", "human", 0.9), heard("b", "machine", 0.9), heard("c", "human", 0.6), heard("d", "ivr", 0.8)];
        let truth =
            [("a", true), ("b", false), ("c", false), ("d", true)].map(|(clip, person)| (clip.to_owned(), person));
        assert_eq!(curve(&all, &truth), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
    }
}
