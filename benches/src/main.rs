//! Load generator and meter of the packet path: `make bench`.
//!
//! ```text
//! generator (a CPU of its own) ── 50 packets/s per leg ─▶ peer under test (a process on the other CPU)
//!           ◀───────────────────────────────────────────── relayed or transcoded
//! ```
//!
//! plan: cases and peers. peer: Tandem's worker, rtpengine (controlled through `ng`), a bare forwarder. generator, far, wire,
//! sound: far ends of all legs. score: evaluation of a record. floors: bare codecs. report, page: output. compare: what changed
//! against the stored figures. signalling: SIP only.
//! amd: what answered. translate: lag of simultaneous translation. control: HTTP, events and the store. verbs: supervisors,
//! conferences, and the time until a verb is heard.
//!
//! Every measurement starts its peer anew. Repetitions run the whole plan in turn, so that a disturbance of the machine does not
//! affect one peer only.

mod amd;
mod compare;
mod control;
mod cpu;
mod far;
mod floors;
mod generator;
mod goal;
mod latencies;
mod ng;
mod page;
mod peer;
mod plan;
mod report;
mod score;
mod signalling;
mod sound;
mod translate;
mod verbs;
mod wire;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use floors::Floors;
use generator::Generator;
use peer::{Place, Running};
use plan::{Entry, Peer};
use report::Row;
use score::Measured;
use sound::Recordings;

/// Lateness of the generator at its 99.9th percentile above which a measurement is repeated, because it measures the machine.
const TOLERATED_LAG_US: f64 = 2_000.0;
/// Maximum number of attempts for one measurement.
const ATTEMPTS: usize = 3;

/// Measures CPU, delay, loss and memory of the media path.
#[derive(Parser, Debug)]
struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// Folder for results.json and RESULTS.md; without it results are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Number of repetitions of each case.
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Duration of one measurement, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Only entries whose `case peer calls` contains one of these (several with commas).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One repetition of 3 s.
    #[arg(long)]
    quick: bool,
    /// Run generator and peer with priority over everything else on the machine (SCHED_RR); by default where the system permits
    /// it.
    #[arg(long)]
    realtime: Option<bool>,
    /// CPU of the peer under test.
    #[arg(long, default_value_t = 0)]
    peer_cpu: usize,
    /// CPU of the generator.
    #[arg(long, default_value_t = 1)]
    generator_cpu: usize,
}

#[derive(Subcommand, Debug)]
enum Process {
    /// The process of a peer under test, started by the meter.
    #[command(hide = true)]
    Peer {
        /// Name of the peer.
        name: String,
        /// Name of the case.
        case: String,
    },
    /// Measures how well and how fast the detector tells what answered.
    Amd(amd::Arguments),
    /// Measures the control plane instead, on both databases.
    Control(control::Arguments),
    /// Measures signalling instead, beside Kamailio.
    Signalling(signalling::Arguments),
    /// Measures the lag of simultaneous translation over a trace, beside simple policies.
    Translate(translate::Arguments),
    /// Measures calls of more than two parties instead, and the time until a verb is heard.
    Verbs(verbs::Arguments),
    /// Replaces the section of RESULTS.md whose text is read from stdin.
    Section {
        /// Folder of RESULTS.md.
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    match &arguments.process {
        Some(Process::Peer { name, case }) => {
            let (peer, case) = plan::known(name, case).context("unknown peer or case")?;
            return peer::run(peer, case);
        }
        Some(Process::Amd(arguments)) => return amd::run(arguments),
        Some(Process::Control(arguments)) => return control::run(arguments),
        Some(Process::Signalling(arguments)) => return signalling::run(arguments),
        Some(Process::Translate(arguments)) => return translate::run(arguments),
        Some(Process::Verbs(arguments)) => return verbs::run(arguments),
        Some(Process::Section { out }) => {
            return report::write_section(out, &std::io::read_to_string(std::io::stdin())?);
        }
        None => {}
    }
    if arguments.quick {
        (arguments.repetitions, arguments.seconds) = (1, 3);
    }
    let terms = Terms {
        span: arguments.span(),
        peer: Place { cpu: arguments.peer_cpu, realtime: realtime(arguments.realtime) },
        generator_cpu: arguments.generator_cpu,
    };
    let plan = chosen(&arguments.only)?;
    let _alone = alone()?;
    let sounds = Arc::new(Recordings::new(generator::recorded_packets(terms.span))?);
    let mut rows = Vec::new();
    for run in 1..=arguments.repetitions.max(1) {
        for &entry in &plan {
            let (measured, memory_kb, floors) =
                measure_calmly(entry, terms, &sounds).with_context(|| entry.to_string())?;
            let row = Row::new(entry, run, &measured, memory_kb, floors);
            println!("{run}/{}: {row}", arguments.repetitions);
            rows.push(row);
        }
    }
    report::write(&arguments, terms.peer.realtime, rows)
}

impl Arguments {
    /// Duration of one measurement.
    fn span(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }
}

/// Settings of measurements of the media path.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// Duration of one measurement.
    span: Duration,
    peer: Place,
    generator_cpu: usize,
}

/// Returns whether peer and generator run with priority, as requested or where the system permits it; prints conditions that
/// distort figures.
fn realtime(asked: Option<bool>) -> bool {
    if cpu::count() < 2 {
        eprintln!("only one CPU: generator and peer share it, so the figures mean little");
    }
    let realtime = asked.unwrap_or_else(cpu::may_run_before_others);
    if !realtime {
        eprintln!("without real-time scheduling: other work on this machine shows in the figures");
    }
    realtime
}

/// Waits until no other run measures on this machine: two would share the same CPUs, and both would be wrong.
fn alone() -> Result<File> {
    let path = std::env::temp_dir().join("tandem-benches.lock");
    let file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("another run measures on this machine; waiting for its end");
        file.lock()?;
    }
    Ok(file)
}

/// Returns the entries of the plan that are selected and possible on this machine.
fn chosen(only: &[String]) -> Result<Vec<Entry>> {
    let mut plan = plan::plan();
    plan.retain(|entry| only.is_empty() || only.iter().any(|part| entry.to_string().contains(part.as_str())));
    if plan.is_empty() {
        bail!("nothing of the plan matches {only:?}; it is:\n{}", listed(&plan::plan()));
    }
    if plan.iter().any(|entry| entry.peer == Peer::Rtpengine) && peer::rtpengine_version().is_none() {
        bail!("rtpengine is missing: run `scripts/setup.sh bench`, or leave it out by --only");
    }
    Ok(plan)
}

fn listed(plan: &[Entry]) -> String {
    plan.iter().map(|entry| format!("  {entry}")).collect::<Vec<_>>().join("\n")
}

/// Repeats a measurement until the generator was punctual, up to a limit; the last attempt counts.
fn measure_calmly(entry: Entry, terms: Terms, sounds: &Arc<Recordings>) -> Result<(Measured, f64, Floors)> {
    let mut attempt = 1;
    loop {
        let mut result = measure(entry, terms, sounds)?;
        result.0.attempts = attempt;
        if result.0.lag_p999_us <= TOLERATED_LAG_US || attempt == ATTEMPTS {
            return Ok(result);
        }
        println!("{entry}: the generator was {:.0} µs late at p99.9; once more", result.0.lag_p999_us);
        attempt += 1;
    }
}

/// Runs one measurement: score, kB per call, bare codec work.
fn measure(entry: Entry, terms: Terms, sounds: &Arc<Recordings>) -> Result<(Measured, f64, Floors)> {
    let floors = floors::codec_floors(entry, terms.peer, sounds)?;
    let mut generator = Generator::new(entry, terms.span, Arc::clone(sounds))?;
    let mut peer = Running::start(entry, terms.peer)?;
    let idle_kb = cpu::resident_kb(peer.pid())?;
    generator.connect(&peer.open(&generator.setup()?)?)?;
    let mut record = generator.run(peer.pid(), terms.generator_cpu, terms.peer.realtime)?;
    let loaded_kb = cpu::resident_kb(peer.pid())?;
    peer.stop()?;
    let memory_kb = loaded_kb.saturating_sub(idle_kb) as f64 / entry.calls as f64;
    Ok((score::score(&mut record)?, memory_kb, floors))
}
