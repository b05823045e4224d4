//! The page `RESULTS.md`: medians beside rtpengine's and beside the targets, the machine, and the meaning of every column.
//!
//! Rows of `results.json` are grouped by case, peer and number of calls. Tables show the median and the range of each group; a
//! share is the median of the shares within each run. Targets are judged by medians, loss by the worst run. The texts of the page
//! are here.
//!
//! Invariant: the page follows from the rows and the arguments only, except for date, commit and machine. Not here: the sections
//! of control plane, signalling and verbs, which have their own `page` modules.

use std::fmt::Write as _;
use std::fs;

use crate::report::Row;
use crate::{Arguments, peer};

/// Target of a row.
struct Target {
    case: &'static str,
    peer: &'static str,
    calls: usize,
    what: What,
}

/// A bound on a median.
enum What {
    /// CPU, as a share of rtpengine's in the same run.
    ShareOfRtpengine(f64),
    /// CPU: bare codec work plus this many ms, and below rtpengine's.
    FloorPlus(f64),
    /// CPU in ms per call-second.
    Cpu(f64),
    /// Delay in µs at p50, p99, p99.9; infinite means no bound.
    Delay([f64; 3]),
    /// Audio delay of the slower direction, in ms.
    Audio(f64),
    /// Memory in kB per call.
    Memory(f64),
}

const ANY: f64 = f64::INFINITY;

const TARGETS: [Target; 17] = {
    const fn target(case: &'static str, peer: &'static str, calls: usize, what: What) -> Target {
        Target { case, peer, calls, what }
    }
    const THROUGHPUT: &str = "tandem";
    const LOW: &str = "tandem-low-delay";
    [
        target("pcmu-pcmu", THROUGHPUT, 200, What::ShareOfRtpengine(0.6)),
        target("pcmu-pcmu", LOW, 200, What::ShareOfRtpengine(0.8)),
        target("pcmu-pcmu", THROUGHPUT, 500, What::ShareOfRtpengine(0.6)),
        target("pcmu-pcmu", LOW, 500, What::ShareOfRtpengine(0.8)),
        target("pcmu-pcma", THROUGHPUT, 200, What::ShareOfRtpengine(0.35)),
        target("pcmu-srtp", THROUGHPUT, 200, What::ShareOfRtpengine(0.7)),
        target("pcmu-opus", THROUGHPUT, 18, What::ShareOfRtpengine(0.25)),
        target("pcmu-opus-equal", THROUGHPUT, 18, What::FloorPlus(2.5)),
        target("pcmu-webrtc", THROUGHPUT, 18, What::ShareOfRtpengine(0.3)),
        target("webrtc-webrtc", THROUGHPUT, 100, What::Cpu(2.5)),
        target("pcmu-pcmu", LOW, 200, What::Delay([100.0, 500.0, 1_500.0])),
        target("pcmu-pcmu", THROUGHPUT, 200, What::Delay([ANY, 2_000.0, ANY])),
        target("pcmu-opus", THROUGHPUT, 18, What::Audio(12.0)),
        target("pcmu-pcmu", THROUGHPUT, 500, What::Memory(50.0)),
        target("pcmu-opus", THROUGHPUT, 100, What::Memory(300.0)),
        target("pcmu-webrtc", THROUGHPUT, 100, What::Memory(500.0)),
        target("webrtc-webrtc", THROUGHPUT, 100, What::Memory(500.0)),
    ]
};

/// The rows of one case, peer and number of calls.
struct Group<'a> {
    rows: Vec<&'a Row>,
}

impl<'a> Group<'a> {
    fn find(rows: &'a [Row], case: &str, peer: &str, calls: usize) -> Option<Group<'a>> {
        let rows: Vec<&Row> =
            rows.iter().filter(|row| row.case == case && row.peer == peer && row.calls == calls).collect();
        (!rows.is_empty()).then_some(Group { rows })
    }

    fn values(&self, pick: impl Fn(&Row) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.rows.iter().map(|row| pick(row)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, pick: impl Fn(&Row) -> f64) -> f64 {
        median(&self.values(pick))
    }

    /// Median, followed by the range if there is one.
    fn spread(&self, digits: usize, pick: impl Fn(&Row) -> f64) -> String {
        let values = self.values(pick);
        let (low, high) = (values[0], values[values.len() - 1]);
        let middle = median(&values);
        if values.len() < 2 {
            return format!("{middle:.digits$}");
        }
        format!("{middle:.digits$} ({low:.digits$}–{high:.digits$})")
    }

    /// Median over runs of this group's CPU divided by the other group's in the same run.
    fn share_of(&self, other: &Group<'_>) -> Option<f64> {
        let mut shares: Vec<f64> = self
            .rows
            .iter()
            .filter_map(|row| {
                let rival = other.rows.iter().find(|rival| rival.run == row.run)?;
                Some(row.cpu_ms_per_call_s / rival.cpu_ms_per_call_s)
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        (!shares.is_empty()).then(|| median(&shares))
    }
}

/// Median of sorted values, of which there is at least one; the upper one of two middle values.
fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Formats both tables.
pub(crate) fn tables(rows: &[Row]) -> String {
    format!("{}\n{}", measurements(rows), reached(rows))
}

fn measurements(rows: &[Row]) -> String {
    let mut text = String::from(
        "| case | calls | peer | CPU, ms per call-second | of rtpengine's | codec floor, ms | paced, ms | p50, µs | p99, µs | p99.9, µs \
         | audio delay, ms | loss, % | memory, kB per call | generator late, p99, µs |\n\
         |---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut seen: Vec<(&str, &str, usize)> = Vec::new();
    for row in rows {
        let key = (row.case.as_str(), row.peer.as_str(), row.calls);
        let Some(group) = Group::find(rows, key.0, key.1, key.2).filter(|_| !seen.contains(&key)) else { continue };
        seen.push(key);
        let share = Group::find(rows, &row.case, "rtpengine", row.calls).and_then(|rival| group.share_of(&rival));
        let audio = row.audio_delays_us.map(|_| {
            let of = |side: usize| group.median(|row| row.audio_delays_us.map_or(f64::NAN, |both| both[side])) / 1e3;
            format!("{:.1} → / {:.1} ←", of(0), of(1))
        });
        let floor = |pick: fn(&Row) -> Option<f64>| {
            pick(row).map(|_| format!("{:.2}", group.median(|row| pick(row).unwrap_or(f64::NAN))))
        };
        let none = || "–".to_owned();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {} | {:.3} | {:.1} | {:.0} |",
            row.case,
            row.calls,
            row.peer,
            group.spread(3, |row| row.cpu_ms_per_call_s),
            share.filter(|_| row.peer != "rtpengine").map_or_else(none, |share| format!("{share:.2} ×")),
            floor(|row| row.codec_floor_ms).unwrap_or_else(none),
            floor(|row| row.codec_floor_paced_ms).unwrap_or_else(none),
            group.median(|row| row.p50_us),
            group.median(|row| row.p99_us),
            group.median(|row| row.p999_us),
            audio.unwrap_or_else(none),
            group.median(|row| row.loss_pct),
            group.median(|row| row.rss_kb_per_call),
            group.median(|row| row.generator_lag_p99_us),
        );
    }
    text
}

/// Table of every target whose row was measured.
fn reached(rows: &[Row]) -> String {
    let mut text = String::from("| case | calls | peer | target | measured | |\n|---|---:|---|---|---|---|\n");
    let mut line = |place: String, asked: String, measured: String, good: bool| {
        let verdict = if good { "reached" } else { "**not reached**" };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "| {place} | {asked} | {measured} | {verdict} |");
    };
    for Target { case, peer, calls, what } in &TARGETS {
        let Some(group) = Group::find(rows, case, peer, *calls) else { continue };
        if let Some((asked, measured, good)) =
            judge(what, &group, Group::find(rows, case, "rtpengine", *calls).as_ref())
        {
            line(format!("{case} | {calls} | {peer}"), asked, measured, good);
        }
    }
    let tandem = Group { rows: rows.iter().filter(|row| row.peer.starts_with("tandem")).collect() };
    if !tandem.rows.is_empty() {
        let worst = tandem.values(|row| row.loss_pct).pop().unwrap_or(0.0);
        line("all | – | tandem, both".into(), "no packet lost".into(), format!("at worst {worst:.4} %"), worst == 0.0);
    }
    text
}

/// Returns target, measured value and verdict; `None` when the rival was not measured.
fn judge(what: &What, group: &Group<'_>, rtpengine: Option<&Group<'_>>) -> Option<(String, String, bool)> {
    let cpu = group.median(|row| row.cpu_ms_per_call_s);
    Some(match *what {
        What::ShareOfRtpengine(most) => {
            let share = group.share_of(rtpengine?)?;
            (format!("CPU ≤ {most} × rtpengine"), format!("{share:.2} ×"), share <= most)
        }
        What::FloorPlus(most) => {
            let above = group.median(|row| row.cpu_ms_per_call_s - row.codec_floor_ms.unwrap_or(0.0));
            let share = group.share_of(rtpengine?)?;
            let asked = format!("CPU ≤ codec floor + {most} ms, and below rtpengine");
            (asked, format!("floor + {above:.2} ms, {share:.2} ×"), above <= most && share < 1.0)
        }
        What::Cpu(most) => (format!("CPU ≤ {most} ms"), format!("{cpu:.2} ms"), cpu <= most),
        What::Delay(most) => {
            let are = [group.median(|row| row.p50_us), group.median(|row| row.p99_us), group.median(|row| row.p999_us)];
            let named =
                ["p50", "p99", "p99.9"].into_iter().zip(most.into_iter().zip(are)).filter(|(_, (most, _))| *most < ANY);
            let asked: Vec<String> =
                named.clone().map(|(name, (most, _))| format!("{name} ≤ {:.1} ms", most / 1e3)).collect();
            let measured: Vec<String> = named.clone().map(|(_, (_, is))| format!("{:.2} ms", is / 1e3)).collect();
            (asked.join(", "), measured.join(", "), most.iter().zip(are).all(|(most, is)| is <= *most))
        }
        What::Audio(most) => {
            let is = group.median(|row| row.audio_delay_us.unwrap_or(f64::NAN)) / 1e3;
            (format!("audio delay ≤ {most} ms"), format!("{is:.1} ms"), is <= most)
        }
        What::Memory(most) => {
            let is = group.median(|row| row.rss_kb_per_call);
            (format!("memory ≤ {most} kB per call"), format!("{is:.1} kB"), is <= most)
        }
    })
}

const MEANING: &str = "\
## What is measured

A call is two legs; the far end of each leg sends and receives 50 packets of 20 ms a second. Every measurement starts its peer anew as \
a separate process, pinned to one CPU with all its threads; the generator runs on another CPU and sleeps between packets if the time \
suffices. Repetitions run the whole list in turn. Figures are medians over the repetitions, with the range for the CPU; every \
measurement that counts is a row of `results.json`.

- **CPU**: run time of all threads of the peer's process (`/proc/PID/task/*/schedstat`) during the window, per call and second. \
Sockets are on loopback, where a packet is delivered in its sender's time: every peer pays for its own deliveries.
- **of rtpengine's**: the median over repetitions of the CPU divided by rtpengine's in the same repetition.
- **codec floor**: bare codec work of the call (SRTP work in `pcmu-srtp`) with the settings of case and peer, measured on the peer's \
CPU right before: the frames of one call in sequence, the best of five rounds. **paced**: the same for all calls of the case at the \
rhythm of packets, with rests in between, so that caches are as cold as in a relay. Opus floors are those of the libopus named above, \
SRTP floors those of Tandem's own code; rtpengine itself uses Debian's libraries.
- **p50, p99, p99.9**: delay of packets through the peer, including both passes of the loopback interface, from the timestamp taken \
right before a packet's send call to the kernel's timestamp of the output packet's arrival (`SO_TIMESTAMPNS`); delays of the generator \
itself are not included. Relayed: delay of the packet with the same payload. Transcoded: see audio delay; packets between onsets are \
matched by RTP timestamp.
- **audio delay**: speech-like sound begins after silence every 2 s. The delay is the time from sending the packet with the first loud \
sample of such an onset to receiving the packet with the same onset in the output, plus the position of the onset in the output \
packet, minus its position in the input packet. Onsets are found by decoding the sent and the received packets with the bare codec. A \
transcoder that takes no time has 0: the 20 ms that it takes to fill a packet are not included, an encoder's look-ahead is. → is from \
leg A to leg B, ← the way back; the target applies to the slower direction.
- **loss**: packets of the window without an output. Transcoded: output packets missing from one every 20 ms.
- **memory**: resident memory of the peer's process at the end of the window minus that of the idle process, divided by calls.
- **generator late**: lateness of sent packets. It is not included in any delay, but late packets come in bursts, which are harder on \
the peer; a measurement whose generator was later than 2 ms at p99.9 is repeated, at most twice, and the last attempt counts \
(`attempts` and `generator_lag_p999_us` of its row).

Peers: `tandem`, the engine's worker pool with one thread and profile `throughput`; `tandem-low-delay`, the same with that profile; \
`rtpengine`, Debian's, in user space (`--table=-1 --num-threads=1`, otherwise defaults), controlled by its ng protocol; `floor`, a \
bare epoll forwarder, woken for each packet, that parses and changes nothing. Tandem's process contains only the media path: no SIP, \
no call tasks, no store; rtpengine's also contains the signalling state of its calls. The kernel's timer interrupts are not part of \
any peer's CPU.

Cases: `pcmu-pcma`: Tandem converts each byte by a table while it relays, rtpengine decodes and encodes; the codec floor of both is to \
decode and encode. `pcmu-srtp`: leg B is SRTP, AES_CM_128_HMAC_SHA1_80, keyed by SDES. `pcmu-opus`: every peer encodes with its \
defaults (Tandem: 8 kHz narrowband, 24 kbit/s, complexity 5, in-band redundancy while there is loss; rtpengine: 48 kHz stereo, 32 \
kbit/s, complexity 10). `pcmu-opus-equal`: mono, 24 kbit/s, complexity 10, no redundancy (rtpengine by the codec string \
`opus/48000/1`; it still encodes 48 kHz samples, Tandem 8 kHz samples). `pcmu-webrtc`: leg B is Opus over SRTP; Tandem's is a browser \
leg (ICE, DTLS), rtpengine's is keyed by SDES. `webrtc-webrtc`: two browser legs, relayed. Cases with 100 calls in addition to 18 \
measure memory.
";

/// Formats the whole page.
pub(crate) fn page(tables: &str, rows: &[Row], arguments: &Arguments, realtime: bool) -> String {
    let scheduling = if realtime {
        "generator and peer have real-time priority (SCHED_RR)"
    } else {
        "without real-time scheduling: other work on the machine affects the figures"
    };
    let rtpengine = peer::rtpengine_version().unwrap_or_else(|| "not installed".into());
    let mut commits: Vec<&str> = rows.iter().map(|row| row.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    format!(
        "# The packet path beside rtpengine's\n\n\
         {}. {}. Commit {}. rtpengine: {rtpengine}. Codec: {}. {} measurements, the last of {} s each, {} repetitions; {scheduling}. \
         Command: `{}`; `make bench` installs missing packages and runs `benches --out benches`.\n\n{tables}\n{MEANING}",
        date(),
        machine(),
        commits.join(", "),
        opus::version(),
        rows.len(),
        arguments.seconds,
        arguments.repetitions,
        command(),
    )
}

/// Command line of this run.
fn command() -> String {
    std::iter::once("benches".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

pub(crate) fn date() -> String {
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

pub(crate) fn machine() -> String {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("{model}, {} CPUs, Linux {}, load average at the end {load}", crate::cpu::count(), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: &'static str, run: usize, cpu: f64, loss: f64) -> Row {
        Row {
            case: "pcmu-pcmu".into(),
            peer: peer.into(),
            calls: 200,
            cpu_ms_per_call_s: cpu,
            p50_us: 50.0,
            p99_us: 400.0,
            p999_us: 1_600.0,
            audio_delay_us: None,
            audio_delays_us: None,
            loss_pct: loss,
            rss_kb_per_call: 20.0,
            codec_floor_ms: None,
            codec_floor_paced_ms: None,
            generator_lag_p99_us: 9.0,
            generator_lag_p999_us: 90.0,
            attempts: 1,
            run,
            commit: "abc".into(),
        }
    }

    #[test]
    fn days_since_the_epoch_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_778), (2026, 11, 21));
    }

    #[test]
    fn rows_become_one_line_of_medians_with_the_share_of_the_same_run() {
        let mut rows = Vec::new();
        // The second run was disturbed: both peers needed twice as much.
        for (run, factor) in [(1, 1.0), (2, 2.0), (3, 1.0)] {
            rows.push(row("rtpengine", run, 2.0 * factor, 0.0));
            rows.push(row("tandem", run, 1.0 * factor, 0.0));
        }
        let table = measurements(&rows);
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.contains("| tandem | 1.000 (1.000–2.000) | 0.50 × |"), "{table}");
    }

    #[test]
    fn targets_are_judged_by_the_median_and_loss_by_the_worst_run() {
        let mut rows: Vec<Row> = (1..=3).map(|run| row("rtpengine", run, 2.0, 0.0)).collect();
        rows.extend((1..=3).map(|run| row("tandem", run, 1.3, 0.0)));
        rows.extend((1..=3).map(|run| row("tandem-low-delay", run, 1.3, if run == 2 { 0.01 } else { 0.0 })));
        let table = reached(&rows);
        assert!(table.contains("| tandem | CPU ≤ 0.6 × rtpengine | 0.65 × | **not reached** |"), "{table}");
        assert!(table.contains("| tandem-low-delay | CPU ≤ 0.8 × rtpengine | 0.65 × | reached |"), "{table}");
        assert!(table.contains("p99.9 ≤ 1.5 ms | 0.05 ms, 0.40 ms, 1.60 ms | **not reached** |"), "{table}");
        assert!(table.contains("| p99 ≤ 2.0 ms | 0.40 ms | reached |"), "{table}");
        assert!(table.contains("no packet lost | at worst 0.0100 % | **not reached** |"), "{table}");
    }
}
