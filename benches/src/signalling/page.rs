//! Output of signalling: rows in `results.json`, and a section of `RESULTS.md`.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::peer::{self, Kind};
use super::{Arguments, Further, Measured, SILENT, STANDING, sipp};
use crate::report::{self, Stored};
use crate::{compare, page as machine};

/// Heading of this module's section.
const HEADING: &str = "## Signalling";

/// One measurement. Run 0 is at the full rate; others are at half of it, or at the product's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) case: String,
    pub(super) peer: String,
    calls_per_s: f64,
    cpu_ms_per_call: f64,
    p99_ms: f64,
    failed: u64,
    pub(super) kb_standing: Option<f64>,
    kb_finished: Option<f64>,
    run: usize,
    commit: String,
}

impl Row {
    pub(super) fn new(kind: Kind, run: usize, measured: Measured) -> Row {
        let Measured { outcome, cpu_ms_per_call, kb_finished } = measured;
        Row {
            case: kind.case().into(),
            peer: kind.name().into(),
            calls_per_s: rounded(outcome.calls_per_s, 1),
            cpu_ms_per_call: rounded(cpu_ms_per_call, 4),
            p99_ms: rounded(outcome.p99_ms, 1),
            failed: outcome.failed,
            kb_standing: None,
            kb_finished: kb_finished.map(|kb| rounded(kb, 2)),
            run,
            commit: report::commit(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { case, peer, calls_per_s, cpu_ms_per_call, p99_ms, failed, .. } = self;
        write!(f, "{case:<12} {peer:<9} {calls_per_s:>7.1} calls/s: {cpu_ms_per_call:.3} ms CPU a call, ")?;
        write!(f, "p99 {p99_ms:.1} ms, {failed} failed")?;
        self.kb_finished.map_or(Ok(()), |kb| write!(f, ", {kb:.1} kB a finished call"))
    }
}

pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits)
}

/// Prints the table and, if requested, updates this module's part of both files. Rows that were not measured this time stay.
pub(super) fn write(arguments: &Arguments, measured: Vec<Row>, further: &Further) -> Result<()> {
    let Some(out) = &arguments.out else {
        println!("\n{}", part(arguments, &measured, further));
        return Ok(());
    };
    let stored = Stored::read(out)?;
    let own = |case: &str| case.starts_with("sip-");
    let rows = stored.rows_with(measured.clone(), own, |row| (row.case.clone(), row.peer.clone(), row.run == 0))?;
    let part = part(arguments, &rows, further);
    println!("\n{part}");
    stored.write(&rows, own, &report::with_part(&stored.page, HEADING, &part))?;
    compare::print(&stored.rows, &measured)
}

fn part(arguments: &Arguments, rows: &[Row], further: &Further) -> String {
    let mut text = format!("{HEADING}\n\n{}\n\n", environment());
    text += "| case | peer | calls/s | CPU a call, ms | of Kamailio's / with tlsf | p99 INVITE to 200, ms | failed | kB standing | kB finished |\n";
    text += "|---|---|---:|---:|---:|---:|---:|---:|---:|\n";
    for (case, peer, full) in groups(rows) {
        text += &line(rows, &of(rows, case, peer, full));
    }
    text += "\n| target | measured | |\n|---|---|---|\n";
    for (target, measured, reached) in verdicts(arguments, rows, further) {
        let verdict = if reached { "reached" } else { "**not reached**" };
        text += &format!("| {target} | {measured} | {verdict} |\n");
    }
    text + "\n" + WHAT
}

/// Kinds of measurement, in the order in which they ran.
fn groups(rows: &[Row]) -> Vec<(&str, &str, bool)> {
    let mut groups = Vec::new();
    for row in rows {
        let group = (row.case.as_str(), row.peer.as_str(), row.run == 0);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn of<'a>(rows: &'a [Row], case: &str, peer: &str, full: bool) -> Vec<&'a Row> {
    rows.iter().filter(|row| row.case == case && row.peer == peer && (row.run == 0) == full).collect()
}

fn line(all: &[Row], rows: &[&Row]) -> String {
    let Some(&first) = rows.first() else { return String::new() };
    let figure = |value: Option<f64>, digits: usize| value.map_or("–".into(), |value| format!("{value:.digits$}"));
    let cpu: Vec<f64> = rows.iter().map(|row| row.cpu_ms_per_call).collect();
    let spread = match (cpu.iter().copied().reduce(f64::min), cpu.iter().copied().reduce(f64::max)) {
        (Some(least), Some(most)) if cpu.len() > 1 => format!(" ({least:.3}–{most:.3})"),
        _ => String::new(),
    };
    let ratio = |rival| (first.peer == "tandem").then(|| ratio(all, &first.case, rival, first.run == 0)).flatten();
    let failed: u64 = rows.iter().map(|row| row.failed).sum();
    format!(
        "| {} | {} | {} | {}{spread} | {} | {} | {failed} | {} | {} |\n",
        first.case,
        first.peer,
        figure(median(rows.iter().map(|row| row.calls_per_s)), 0),
        figure(median(cpu.iter().copied()), 3),
        [ratio("kamailio"), ratio("kamailio-tlsf")]
            .map(|ratio| ratio.map_or("–".into(), |ratio| format!("{ratio:.2} ×")))
            .join(" / "),
        figure(median(rows.iter().map(|row| row.p99_ms)), 0),
        figure(median(rows.iter().filter_map(|row| row.kb_standing)), 1),
        figure(median(rows.iter().filter_map(|row| row.kb_finished)), 1),
    )
}

/// Median over repetitions of Tandem's CPU divided by Kamailio's in the same repetition.
fn ratio(rows: &[Row], case: &str, rival: &str, full: bool) -> Option<f64> {
    let theirs = of(rows, case, rival, full);
    median(of(rows, case, "tandem", full).into_iter().filter_map(|ours| {
        let same = theirs.iter().find(|row| row.run == ours.run)?;
        Some(ours.cpu_ms_per_call / same.cpu_ms_per_call)
    }))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Target, measured value, and whether it is reached.
fn verdicts(arguments: &Arguments, rows: &[Row], further: &Further) -> Vec<(String, String, bool)> {
    let mut verdicts = Vec::new();
    let mut add = |target: String, value: Option<f64>, digits: usize, unit: &str, reached: fn(f64) -> bool| {
        if let Some(value) = value {
            verdicts.push((target, format!("{value:.digits$} {unit}"), reached(value)));
        }
    };
    let ours = of(rows, "sip-b2bua", "tandem", false);
    for (rival, which) in [("kamailio", "as Debian's starts"), ("kamailio-tlsf", "with its fastest allocator")] {
        let target = format!("CPU a call ≤ 1.0 × Kamailio's, {which}");
        add(target, ratio(rows, "sip-b2bua", rival, false), 2, "×", |ratio| ratio <= 1.0);
    }
    let p99 = median(ours.iter().map(|row| row.p99_ms));
    add(format!("p99 INVITE to 200 at {} calls/s ≤ 50 ms", arguments.rate / 2), p99, 0, "ms", |p99| p99 <= 50.0);
    for row in of(rows, "sip-b2bua", "tandem", true) {
        let target = format!("{} calls/s for {} s, none failed", arguments.rate, arguments.sustained_s);
        add(target, Some(row.failed as f64), 0, "failed", |failed| failed == 0.0);
    }
    let standing = median(ours.iter().filter_map(|row| row.kb_standing));
    add("a standing call ≤ 20 kB".into(), standing, 1, "kB", |kb| kb <= 20.0);
    let finished = median(ours.iter().filter_map(|row| row.kb_finished));
    add("a finished call ≤ 4 kB while it lingers".into(), finished, 1, "kB", |kb| kb <= 4.0);
    let silent =
        format!("{} INVITE/s to a silent callee for {} s ≤ 256 MB", SILENT.rate, SILENT.calls / u64::from(SILENT.rate));
    add(silent, further.silent_mb, 0, "MB", |mb| mb <= 256.0);
    let target = format!("{STANDING} standing calls < 5 % of a CPU");
    add(target, further.standing_cpu_percent, 2, "%", |percent| percent < 5.0);
    let product = of(rows, "sip-product", "tandem", false);
    let failed = (!product.is_empty()).then(|| product.iter().map(|row| row.failed).sum::<u64>() as f64);
    add(format!("the whole product: {} calls/s, none failed", arguments.product_rate), failed, 0, "failed", |failed| {
        failed == 0.0
    });
    verdicts
}

fn environment() -> String {
    let unknown = || "unknown".to_owned();
    format!(
        "{}, {}. sipp: {}. Kamailio: {}. Commit {}. `make bench`.",
        machine::date(),
        machine::machine(),
        sipp::version().unwrap_or_else(unknown),
        peer::kamailio_version().unwrap_or_else(unknown),
        report::commit(),
    )
}

const WHAT: &str = "\
A call is INVITE, 180, 200, ACK, BYE, 200 on each of two legs, over UDP on loopback. `sip-b2bua`: `tandem` is the program `benches \
signalling agent`, the engine's SIP stack with both legs of a call tied together, no media and no store; `kamailio` is Debian's as a \
stateful proxy with Record-Route and one receiving process (`kamailio-tlsf`: started with `-x tlsf`; otherwise Debian's checks its \
memory during operation). A proxy forwards messages and keeps no dialog, so it does less. `sip-product`: the binary `tandem` with \
`[store] url = \"none\"`, recording off and one media thread; its ports and legs are opened and closed with every call, but no media \
packets flow. All threads and processes of a peer share one CPU, both far ends (sipp) the other.

- **CPU a call**: run time of all threads of the peer, from before the first call until after the last, divided by calls.
- **kB finished**: growth of resident memory over a run, divided by its calls; all of them are still kept for retransmissions (32 s).
- **kB standing**: the same for calls that are answered and continue.
";
