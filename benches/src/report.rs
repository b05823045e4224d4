//! Output: `results.json`, one row per measurement, and `RESULTS.md` beside it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::floors::Floors;
use crate::plan::Entry;
use crate::score::Measured;
use crate::{Arguments, compare, page, plan};

/// One measurement. Names contain the units; `page` explains the columns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) peer: String,
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
            case: entry.case.name().into(),
            peer: entry.peer.name().into(),
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

/// Prints the tables and, if requested, updates the packet path's part of both files. Rows that were not measured this time stay.
pub(crate) fn write(arguments: &Arguments, realtime: bool, measured: Vec<Row>) -> Result<()> {
    let Some(out) = &arguments.out else {
        println!("\n{}", page::tables(&measured));
        return Ok(());
    };
    let stored = Stored::read(out)?;
    let place = |row: &Row| {
        plan::plan().iter().position(|entry| {
            entry.case.name() == row.case && entry.peer.name() == row.peer && entry.calls == row.calls
        })
    };
    let mut rows = stored.rows_with(measured.clone(), is_own, place)?;
    rows.sort_by_key(|row| (row.run, place(row)));
    let tables = page::tables(&rows);
    println!("\n{tables}");
    let page = page::page(&tables, &rows, arguments, realtime);
    stored.write(&rows, is_own, &with_head(&stored.page, &page))?;
    compare::print(&stored.rows, &measured)
}

/// Returns whether a row of `results.json` belongs to the packet path.
fn is_own(case: &str) -> bool {
    plan::plan().iter().any(|entry| entry.case.name() == case)
}

/// Both files as they were before this run.
pub(crate) struct Stored {
    out: PathBuf,
    /// Text of `results.json`; an empty list if there is none.
    pub(crate) rows: String,
    /// Text of `RESULTS.md`.
    pub(crate) page: String,
}

impl Stored {
    /// Reads both files of a folder, which is made if it is missing.
    pub(crate) fn read(out: &Path) -> Result<Stored> {
        fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
        let rows = fs::read_to_string(out.join("results.json")).unwrap_or_else(|_| "[]".into());
        let page = fs::read_to_string(out.join("RESULTS.md")).unwrap_or_default();
        Ok(Stored { out: out.to_owned(), rows, page })
    }

    /// Returns the stored rows of cases that are `own` and were not measured this time, followed by `measured`. Rows with the same
    /// `key` measure the same.
    pub(crate) fn rows_with<R: DeserializeOwned, K: PartialEq>(
        &self,
        measured: Vec<R>,
        own: impl Fn(&str) -> bool,
        key: impl Fn(&R) -> K,
    ) -> Result<Vec<R>> {
        let before: Vec<Value> = serde_json::from_str(&self.rows).context("results.json is not a list of rows")?;
        let own = before.into_iter().filter(|row| row["case"].as_str().is_some_and(&own));
        let mut all = own.map(serde_json::from_value).collect::<Result<Vec<R>, _>>()?;
        all.retain(|row| measured.iter().all(|new| key(new) != key(row)));
        all.extend(measured);
        Ok(all)
    }

    /// Writes both files: `rows` in place of the stored rows of `own` cases, and `page`.
    pub(crate) fn write(&self, rows: &[impl Serialize], own: impl Fn(&str) -> bool, page: &str) -> Result<()> {
        let kept = others(&self.rows, own).context("results.json is not a list of rows")?;
        let own = rows.iter().map(serde_json::to_string_pretty).collect::<Result<Vec<_>, _>>()?;
        fs::write(self.out.join("results.json"), joined(kept, own)).context("results.json cannot be written")?;
        fs::write(self.out.join("RESULTS.md"), page).context("RESULTS.md cannot be written")
    }
}

/// Replaces the section of `RESULTS.md` with the same heading, in its place or at the end.
pub(crate) fn write_section(out: &Path, section: &str) -> Result<()> {
    let section = section.trim_start();
    let heading = section.lines().next().filter(|line| line.starts_with("## ")).context("a section has a heading")?;
    let page = with_part(&Stored::read(out)?.page, heading, section);
    fs::write(out.join("RESULTS.md"), page).context("RESULTS.md cannot be written")
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
fn others(text: &str, own: impl Fn(&str) -> bool) -> Result<Vec<String>> {
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
fn joined(kept: Vec<String>, new: Vec<String>) -> String {
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

/// Returns the page with a new head in place of everything before the first section that is not one of the head's own.
fn with_head(page: &str, head: &str) -> String {
    let is_foreign = |line: &str| line.starts_with("## ") && head.lines().all(|own| own != line);
    let rest: Vec<&str> = page.lines().skip_while(|line| !is_foreign(line)).collect();
    if rest.is_empty() { head.to_owned() } else { format!("{}\n\n{}\n", head.trim_end(), rest.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_replaced_and_foreign_sections_stay_unchanged() {
        let head = "# Results\n\nnew\n\n## What is measured\n\nmore\n";
        let page = "# Results\n\nold\n\n## What is measured\n\nless\n\n## Sound\n\ntable\n\n## Signalling\n";
        assert_eq!(with_head(page, head), format!("{head}\n## Sound\n\ntable\n\n## Signalling\n"));
        assert_eq!(with_head("", head), head);
    }

    #[test]
    fn stored_rows_stay_unless_they_were_measured_again() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Small {
            case: String,
            cpu: f64,
        }
        let out = tempfile::tempdir().unwrap();
        let small = |case: &str, cpu| Small { case: case.into(), cpu };
        let text = "[\n  { \"case\": \"other\" },\n  { \"case\": \"own-a\", \"cpu\": 1.5 },\n  { \"case\": \"own-b\", \"cpu\": 1.5 }\n]\n";
        fs::write(out.path().join("results.json"), text).unwrap();
        let own = |case: &str| case.starts_with("own-");
        let stored = Stored::read(out.path()).unwrap();
        let rows = stored.rows_with(vec![small("own-b", 2.5)], own, |row| row.case.clone()).unwrap();
        assert_eq!(rows, [small("own-a", 1.5), small("own-b", 2.5)]);
        stored.write(&rows, own, "# Results\n").unwrap();
        let written: Vec<Value> = serde_json::from_str(&Stored::read(out.path()).unwrap().rows).unwrap();
        let cases: Vec<(&str, Option<f64>)> =
            written.iter().map(|row| (row["case"].as_str().unwrap(), row["cpu"].as_f64())).collect();
        assert_eq!(cases, [("other", None), ("own-a", Some(1.5)), ("own-b", Some(2.5))]);
    }

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
