//! Output: `results.json`, one row per measurement, and `RESULTS.md` beside it.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::floors::Floors;
use crate::plan::Entry;
use crate::score::Measured;
use crate::{Arguments, page};

/// One measurement. Names contain the units; `page` explains the columns.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) case: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) calls: usize,
    pub(crate) cpu_ms_per_call_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) audio_delay_us: Option<f64>,
    /// Delays of both directions: A to B, B to A.
    pub(crate) audio_delays_us: Option<[f64; 2]>,
    pub(crate) loss_pct: f64,
    pub(crate) rss_kb_per_call: f64,
    pub(crate) codec_floor_ms: Option<f64>,
    pub(crate) codec_floor_paced_ms: Option<f64>,
    pub(crate) generator_lag_p99_us: f64,
    pub(crate) generator_lag_p999_us: f64,
    pub(crate) attempts: usize,
    pub(crate) run: usize,
    pub(crate) commit: String,
}

impl Row {
    pub(crate) fn new(entry: Entry, run: usize, measured: &Measured, memory_kb: f64, floors: Floors) -> Row {
        let rounded = |value: f64, digits: i32| (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
        Row {
            case: entry.case.name(),
            peer: entry.peer.name(),
            calls: entry.calls,
            cpu_ms_per_call_s: rounded(measured.cpu_ms_per_call_s, 4),
            p50_us: rounded(measured.p50_us, 1),
            p99_us: rounded(measured.p99_us, 1),
            p999_us: rounded(measured.p999_us, 1),
            audio_delay_us: measured.audio_delay_us.map(|delay| rounded(delay, 0)),
            audio_delays_us: measured.audio_delays_us.map(|delays| delays.map(|delay| rounded(delay, 0))),
            loss_pct: rounded(measured.loss_pct, 4),
            rss_kb_per_call: rounded(memory_kb, 1),
            codec_floor_ms: floors.hot_ms.map(|floor| rounded(floor, 3)),
            codec_floor_paced_ms: floors.paced_ms.map(|floor| rounded(floor, 3)),
            generator_lag_p99_us: rounded(measured.lag_p99_us, 1),
            generator_lag_p999_us: rounded(measured.lag_p999_us, 1),
            attempts: measured.attempts,
            run,
            commit: commit(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<15} {:<16} {:>3} calls: {:>7.3} ms CPU, delay {:>6.0} / {:>6.0} / {:>6.0} µs, loss {:.3} %, {:>6.1} kB",
            self.case,
            self.peer,
            self.calls,
            self.cpu_ms_per_call_s,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.loss_pct,
            self.rss_kb_per_call
        )?;
        if let Some([there, back]) = self.audio_delays_us {
            write!(f, ", audio {:.1} and {:.1} ms", there / 1e3, back / 1e3)?;
        }
        if let Some(floor) = self.codec_floor_ms {
            write!(f, ", codec floor {floor:.2} ms")?;
        }
        if let Some(floor) = self.codec_floor_paced_ms {
            write!(f, " (paced {floor:.2})")?;
        }
        write!(f, ", generator p99 {:.0} µs late", self.generator_lag_p99_us)
    }
}

/// Prints the tables and, if requested, writes both files.
pub(crate) fn write(arguments: &Arguments, realtime: bool, rows: &[Row]) -> Result<()> {
    let tables = page::tables(rows);
    println!("\n{tables}");
    let Some(out) = &arguments.out else { return Ok(()) };
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let json = serde_json::to_string_pretty(rows)? + "\n";
    fs::write(out.join("results.json"), json).context("results.json cannot be written")?;
    let page = page::page(&tables, rows, arguments, realtime);
    fs::write(out.join("RESULTS.md"), page).context("RESULTS.md cannot be written")?;
    Ok(())
}

/// The checked-out commit, with a `+` when files differ from it.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".into() };
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ".",
        ":!benches/RESULTS.md",
        ":!benches/results.json",
    ]);
    if changed.is_some_and(|files| !files.is_empty()) { commit + "+" } else { commit }
}

/// Returns the unchanged rows of cases that are not `own`.
pub(crate) fn others(text: &str, own: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Case {
        case: String,
    }
    let rows: Vec<Box<RawValue>> = serde_json::from_str(text)?;
    let mut others = Vec::new();
    for row in rows {
        let Case { case } = serde_json::from_str(row.get())?;
        if !own(&case) {
            others.push(row.get().to_owned());
        }
    }
    Ok(others)
}

/// `results.json` of kept rows and new ones, one row per line.
pub(crate) fn joined(kept: Vec<String>, new: Vec<String>) -> String {
    let new = new.iter().map(|row| row.replace('\n', "\n  "));
    let all: Vec<String> = kept.into_iter().chain(new).map(|row| format!("  {row}")).collect();
    format!("[\n{}\n]\n", all.join(",\n"))
}

/// Returns the page with a new section under `heading`, in its old place or at the end.
pub(crate) fn with_part(page: &str, heading: &str, part: &str) -> String {
    let Some(start) = page.find(heading) else { return format!("{}\n\n{part}", page.trim_end()) };
    let after = page[start + heading.len()..].find("\n## ").map(|end| start + heading.len() + end + 1);
    format!("{}{part}{}", &page[..start], after.map_or(String::new(), |after| format!("\n{}", &page[after..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_cases_stay_unchanged() {
        let text = "[\n  {\n    \"z\": 1.50,\n    \"case\": \"pcmu\"\n  },\n  { \"case\": \"sip-b2bua\" }\n]\n";
        assert_eq!(
            others(text, |case| case.starts_with("sip-")).unwrap(),
            ["{\n    \"z\": 1.50,\n    \"case\": \"pcmu\"\n  }"]
        );
        assert!(others("[{}]", |_| true).is_err());
    }

    #[test]
    fn own_section_is_replaced_in_place_and_the_rest_stays_unchanged() {
        let page = "# Results\n\ntext\n\n## Signalling\n\nold\n\n## Sound\n\nmore\n";
        assert_eq!(
            with_part(page, "## Signalling", "## Signalling\n\nnew\n"),
            "# Results\n\ntext\n\n## Signalling\n\nnew\n\n## Sound\n\nmore\n"
        );
        assert_eq!(
            with_part("# Results\n\n## Signalling\nold\n", "## Signalling", "## Signalling\nnew\n"),
            "# Results\n\n## Signalling\nnew\n"
        );
        assert_eq!(
            with_part("# Results\n", "## Signalling", "## Signalling\nnew\n"),
            "# Results\n\n## Signalling\nnew\n"
        );
    }
}
