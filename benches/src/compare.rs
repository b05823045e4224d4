//! What changed against the stored figures: one line per case at the end of each part.
//!
//! Rows are grouped by case, peer, number of calls, and whether they are at the full rate (run 0 of signalling). A line has the
//! medians of the group's CPU and of its p99, as far as its rows have them, beside the medians of the same group in `results.json`.
//!
//! Not here: judgement. A figure differs from the stored one when the machine differs, too; the rivals' lines show by how much.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

/// Columns of `results.json` that are compared, with their name and unit. Of those with the same name a row's first one counts.
const FIGURES: [(&str, &str, &str); 6] = [
    ("CPU", "ms", "cpu_ms_per_party_s"),
    ("CPU", "ms", "cpu_ms_per_call_s"),
    ("CPU", "ms", "cpu_ms_per_call"),
    ("p99", "µs", "p99_us"),
    ("p99", "µs", "beat_off_p99_us"),
    ("p99", "ms", "p99_ms"),
];

/// Prints for each case of `rows` what changed against `stored`, the text of `results.json`.
pub(crate) fn print(stored: &str, rows: &[impl Serialize]) -> Result<()> {
    let stored: Vec<Value> = serde_json::from_str(stored).context("results.json is not a list of rows")?;
    let rows = rows.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    let lines = lines(&stored, &rows);
    if !lines.is_empty() {
        println!("\ncompared with the stored figures:");
    }
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

fn lines(stored: &[Value], rows: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().map(name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().filter_map(|name| line(stored, rows, &name)).collect()
}

/// What a row measured, such as `pcmu-pcmu tandem 200`.
fn name(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().map(str::to_owned);
    let calls = row["calls"].as_u64().map(|calls| calls.to_string());
    let full = (row["run"] == 0).then(|| "at the full rate".to_owned());
    [text("case"), text("peer"), calls, full].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Returns the line of one group; `None` if its rows have none of the figures.
fn line(stored: &[Value], rows: &[Value], group: &str) -> Option<String> {
    let mut figures: Vec<(&str, String)> = Vec::new();
    for (what, unit, column) in FIGURES {
        let now = median(rows, group, column);
        if let Some(now) = now.filter(|_| figures.iter().all(|(known, _)| *known != what)) {
            let change = change(median(stored, group, column), now);
            figures.push((what, format!("{what} {} {unit} ({change})", number(now))));
        }
    }
    let figures: Vec<String> = figures.into_iter().map(|(_, text)| text).collect();
    (!figures.is_empty()).then(|| format!("{group}: {}", figures.join(", ")))
}

/// Median of a column over the rows of a group; the upper one of two middle values.
fn median(rows: &[Value], group: &str, column: &str) -> Option<f64> {
    let of = rows.iter().filter(|row| name(row) == group);
    let mut values: Vec<f64> = of.filter_map(|row| row[column].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn change(stored: Option<f64>, now: f64) -> String {
    match stored {
        None => "not stored".into(),
        Some(0.0) => "stored 0".into(),
        Some(stored) => {
            // Without the zero, a small decrease would be shown as -0.
            let percent = ((now - stored) / stored * 100.0).round() + 0.0;
            format!("stored {}, {percent:+.0} %", number(stored))
        }
    }
}

/// A number with at least three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        small if small < 1.0 => format!("{value:.3}"),
        few if few < 10.0 => format!("{value:.2}"),
        some if some < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_case_is_compared_by_the_medians_of_its_runs() {
        let row = |run: u64, cpu: f64, p99: f64| {
            let (case, peer) = ("pcmu-pcmu", "tandem");
            json!({ "case": case, "peer": peer, "calls": 200, "run": run, "cpu_ms_per_call_s": cpu, "p99_us": p99 })
        };
        let stored = [row(1, 1.81, 400.0), row(2, 1.80, 900.0), row(3, 9.0, 400.0)];
        let rows = [row(1, 1.73, 404.0)];
        assert_eq!(
            lines(&stored, &rows),
            ["pcmu-pcmu tandem 200: CPU 1.73 ms (stored 1.81, -4 %), p99 404 µs (stored 400, +1 %)"]
        );
    }

    #[test]
    fn groups_are_told_apart_by_peer_calls_and_rate() {
        let row = |peer: &str, run: u64, cpu: f64| json!({ "case": "sip-b2bua", "peer": peer, "run": run, "cpu_ms_per_call": cpu });
        let stored = [row("kamailio", 1, 0.5), row("tandem", 1, 0.25), row("tandem", 0, 0.2)];
        let rows = [row("tandem", 1, 0.25), row("tandem", 0, 0.3)];
        assert_eq!(
            lines(&stored, &rows),
            [
                "sip-b2bua tandem: CPU 0.250 ms (stored 0.250, +0 %)",
                "sip-b2bua tandem at the full rate: CPU 0.300 ms (stored 0.200, +50 %)",
            ]
        );
    }

    #[test]
    fn a_party_comes_before_its_call_and_a_beat_stands_for_a_missing_delay() {
        let room = json!({
            "case": "conference-8-pcmu", "peer": "tandem", "calls": 12, "run": 1, "cpu_ms_per_call_s": 8.0,
            "cpu_ms_per_party_s": 1.0, "p99_us": null, "beat_off_p99_us": 95.0,
        });
        assert_eq!(
            lines(&[], &[room]),
            ["conference-8-pcmu tandem 12: CPU 1.00 ms (not stored), p99 95.0 µs (not stored)"]
        );
    }

    #[test]
    fn a_verb_is_compared_by_its_p99_and_a_stored_zero_has_no_percentage() {
        let verb = |p99: f64| json!({ "case": "verb-hold", "count": 300, "p99_ms": p99 });
        assert_eq!(lines(&[verb(0.0)], &[verb(20.1)]), ["verb-hold: p99 20.1 ms (stored 0)"]);
        assert_eq!(lines(&[verb(20.1)], &[verb(20.04)]), ["verb-hold: p99 20.0 ms (stored 20.1, +0 %)"]);
    }
}
