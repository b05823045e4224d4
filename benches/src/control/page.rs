//! Output of the control plane: rows in `results.json`, and a section of `RESULTS.md`.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Arguments, LISTENERS, READS, STARTS};
use crate::latencies::Latencies;
use crate::report::{self, Stored};
use crate::{compare, page as machine};

/// Heading of this module's section.
const HEADING: &str = "## Control plane";
/// Cases of this module in `results.json`.
const CASES: [&str; 4] = ["api-reads", "call-starts", "sse-fanout", "call-search"];

/// Result of one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    case: String,
    peer: String,
    rate_per_s: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    failed: u64,
    run: usize,
    commit: String,
}

impl Row {
    pub(super) fn new(case: &str, peer: &str, rate: f64, mut latencies: Latencies, failed: u64, run: usize) -> Row {
        let mut at = |percent| rounded(latencies.percentile(percent));
        let (p50_ms, p95_ms, p99_ms) = (at(50.0), at(95.0), at(99.0));
        let (case, peer, rate_per_s) = (case.into(), peer.into(), rounded(rate));
        Row { case, peer, rate_per_s, p50_ms, p95_ms, p99_ms, failed, run, commit: report::commit() }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { case, peer, rate_per_s, p50_ms, p95_ms, p99_ms, failed, .. } = self;
        write!(f, "{case:<12} {peer:<9} {rate_per_s:>9.1}/s: p50 {p50_ms:.2}, p95 {p95_ms:.2}, p99 {p99_ms:.2} ms, ")?;
        write!(f, "{failed} failed")
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Prints the table and, if requested, updates this module's part of both files. Rows that were not measured this time stay.
pub(super) fn write(arguments: &Arguments, measured: Vec<Row>) -> Result<()> {
    let Some(out) = &arguments.out else {
        println!("\n{}", part(&measured));
        return Ok(());
    };
    let stored = Stored::read(out)?;
    let own = |case: &str| CASES.contains(&case);
    let rows = stored.rows_with(measured.clone(), own, |row| (row.case.clone(), row.peer.clone()))?;
    let part = part(&rows);
    println!("\n{part}");
    stored.write(&rows, own, &report::with_part(&stored.page, HEADING, &part))?;
    compare::print(&stored.rows, &measured)
}

fn part(rows: &[Row]) -> String {
    let mut text = format!(
        "{HEADING}\n\n{}, {}. Commit {}. `make bench`.\n\n",
        machine::date(),
        machine::machine(),
        report::commit()
    );
    text += "| case | store | per second | p50, ms | p95, ms | p99, ms | failed | target | |\n";
    text += "|---|---|---:|---:|---:|---:|---:|---|---|\n";
    for case in CASES {
        for peer in ["sqlite", "postgres"] {
            let of: Vec<&Row> = rows.iter().filter(|row| row.case == case && row.peer == peer).collect();
            let median = |value: fn(&Row) -> f64| {
                let mut values: Vec<f64> = of.iter().map(|row| value(row)).collect();
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).copied().unwrap_or_default()
            };
            if of.is_empty() {
                continue;
            }
            let (rate, p99) = (median(|row| row.rate_per_s), median(|row| row.p99_ms));
            let failed: u64 = of.iter().map(|row| row.failed).sum();
            let (target, reached) = target(case, rate, median(|row| row.p95_ms), p99, failed);
            text += &format!(
                "| {case} | {peer} | {rate:.0} | {:.2} | {:.2} | {p99:.2} | {failed} | {target} | {} |\n",
                median(|row| row.p50_ms),
                median(|row| row.p95_ms),
                if reached { "reached" } else { "**not reached**" },
            );
        }
    }
    text + "\n" + WHAT
}

/// Returns the target and whether it was reached.
fn target(case: &str, rate: f64, p95: f64, p99: f64, failed: u64) -> (String, bool) {
    // A sustained rate is the requested one, except for the time of the last answer.
    let kept = |wanted: u32| failed == 0 && rate >= f64::from(wanted) * 0.97;
    match case {
        "api-reads" => (format!("{READS} reads/s, p99 ≤ 25 ms"), kept(READS) && p99 <= 25.0),
        "call-starts" => (format!("{STARTS} starts/s, none behind (p99 ≤ 1 s)"), kept(STARTS) && p99 <= 1_000.0),
        "call-search" => ("p95 ≤ 20 ms".to_owned(), failed == 0 && p95 <= 20.0),
        _ => (format!("{LISTENERS} listeners, p99 ≤ 100 ms"), failed == 0 && p99 <= 100.0),
    }
}

const WHAT: &str = "\
The server has one CPU, its clients and PostgreSQL the other; limits are off. Figures are medians of the repetitions.

- **api-reads**: requests with an API key over 48 keep-alive connections: one call, a page of 20 calls and the voice configuration, \
among 5,000 calls. Each request has a scheduled time, whether the one before was answered or not; latency counts from that time. The \
same load runs for 2 s before the measurement, in which the database's processes load its tables.
- **call-starts**: calls by SIP to the echo, 500 ms each, with all rows and events of a call stored; latency is the time from the \
event's own timestamp until a listener of `/api/events` receives it.
- **sse-fanout**: 10 captions a second of one call to 1,000 listeners of its stream, and to one that reads nothing; latency is the \
time from the engine's caption until a listener receives it, including the commit to the store.
- **call-search**: lists of 50 calls from the store by time, agent, number, outcome and words, separately and combined, in sequence, \
among 100,000 calls with words of five tenants. Measured once: each list 50 times.
";
