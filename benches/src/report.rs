//! What is printed and kept: `results.json` (one row per repetition) and `RESULTS.md` (medians).

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::generator::Measured;

/// One repetition.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    case: &'static str,
    peer: String,
    calls: usize,
    cpu_ms_per_call_s: f64,
    p50_us: f64,
    p99_us: f64,
    loss_pct: f64,
}

impl Row {
    pub(crate) fn new(case: &'static str, peer: &str, calls: usize, measured: &Measured) -> Row {
        debug_assert_eq!(calls, measured.calls);
        let rounded = |value: f64, digits: i32| (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
        Row {
            case,
            peer: peer.into(),
            calls,
            cpu_ms_per_call_s: rounded(measured.cpu_ms_per_call_s, 4),
            p50_us: rounded(measured.p50_us, 1),
            p99_us: rounded(measured.p99_us, 1),
            loss_pct: rounded(measured.loss_pct, 4),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { case, peer, calls, cpu_ms_per_call_s, p50_us, p99_us, loss_pct } = self;
        write!(
            f,
            "{case} {peer:<6} {calls:>4} calls: {cpu_ms_per_call_s:>8.4} ms CPU per call-second, \
             delay p50 {p50_us:>8.1} µs, p99 {p99_us:>8.1} µs, loss {loss_pct:.3} %"
        )
    }
}

/// Writes both files and prints the table.
pub(crate) fn write(out: &Path, rows: &[Row], seconds: u64) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let table = table(rows);
    println!("\n{table}");
    let json = serde_json::to_string_pretty(rows)? + "\n";
    fs::write(out.join("results.json"), json).context("results.json cannot be written")?;
    fs::write(out.join("RESULTS.md"), page(&table, rows.len(), seconds)).context("RESULTS.md cannot be written")?;
    Ok(())
}

fn page(table: &str, rows: usize, seconds: u64) -> String {
    format!(
        "# Packet path: CPU, delay, loss\n\n\
         Date: {}. Machine: {}. Command: `{}` (`make bench` is `cargo run --release -p benches -- --out benches/`); \
         {rows} measurements of {seconds} s, cases taking turns. Medians (and range) over repetitions; every repetition \
         is in `results.json`.\n\n{table}\n\
         A call is two legs, 50 packets/s each way. CPU: run time of the peer's one media thread, pinned to a CPU of its own \
         (`schedstat`), per call and second; the generator spins on another CPU and is not counted. Loopback sockets; a packet \
         that is sent is delivered in the sender's time, so the peer pays for its own deliveries.\n\n\
         Delay, `pcmu-pcmu`: from the generator's send to its receipt of the packet with the same payload (number written into it): \
         two passes of the loopback interface included. Under load the worker gathers packets for up to 1 ms before it wakes, which \
         is most of that delay and most of what it saves; `floor` wakes per packet.\n\n\
         Delay, `pcmu-opus`: from the send of an input packet to the receipt of the output packet that carries its sound, \
         both counted by RTP timestamp from the onset of sound after silence (found by decoding until then). The wait in the \
         jitter buffer and for the 20 ms tick is part of it; it is resolved to whole packets of sound.\n\n\
         Loss: input packets of the window without an output, in percent.\n\n\
         Peers: `tandem`, the engine's worker in the generator's process; `floor`, a bare epoll forwarder with a socket per \
         leg that parses and changes nothing.\n",
        date(),
        machine(),
        command()
    )
}

/// How this run was started.
fn command() -> String {
    std::iter::once("benches".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| case | peer | calls | CPU ms per call-second | p50 µs | p99 µs | loss % |\n|---|---|---:|---:|---:|---:|---:|\n",
    );
    let mut seen: Vec<(&str, &str, usize)> = Vec::new();
    for row in rows {
        let key = (row.case, row.peer.as_str(), row.calls);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let of = |pick: fn(&Row) -> f64, digits: usize| {
            let mut values: Vec<f64> =
                rows.iter().filter(|r| (r.case, r.peer.as_str(), r.calls) == key).map(pick).collect();
            values.sort_by(f64::total_cmp);
            let (low, high) = (values[0], values[values.len() - 1]);
            format!("{:.digits$} ({low:.digits$}–{high:.digits$})", values[values.len() / 2])
        };
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.case,
            row.peer,
            row.calls,
            of(|r| r.cpu_ms_per_call_s, 3),
            of(|r| r.p50_us, 0),
            of(|r| r.p99_us, 0),
            of(|r| r.loss_pct, 3),
        );
    }
    text
}

fn date() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |span| span.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Gregorian date of a day since 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn machine() -> String {
    let field = |path: &str, name: &str| {
        fs::read_to_string(path).ok().and_then(|text| {
            text.lines()
                .find(|line| line.starts_with(name))
                .and_then(|line| line.split_once(':'))
                .map(|(_, v)| v.trim().to_owned())
        })
    };
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into());
    let mhz = field("/proc/cpuinfo", "cpu MHz").map_or(String::new(), |mhz| format!(" at {mhz} MHz"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!(
        "{model}{mhz}, {} CPUs, Linux {}, load average at the end {load} (of which this run is about 1.5)",
        crate::cpu::count(),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_778), (2026, 11, 21));
    }

    #[test]
    fn table_has_one_line_of_medians_per_case() {
        let measured = |cpu| Measured { calls: 50, cpu_ms_per_call_s: cpu, p50_us: 1.0, p99_us: 2.0, loss_pct: 0.0 };
        let rows: Vec<Row> = [3.0, 1.0, 2.0].map(|cpu| Row::new("pcmu-pcmu", "tandem", 50, &measured(cpu))).to_vec();
        let table = table(&rows);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.contains("| 2.000 (1.000–3.000) |"), "{table}");
    }
}
