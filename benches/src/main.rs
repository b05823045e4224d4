//! Load generator and meter of the packet path: `make bench`.
//!
//! ```text
//! generator (one CPU, one socket, spinning) ── 50 packets/s per leg ─▶ peer under test (the other CPU)
//!           ◀──────────────────────────────────────────────────────── relayed or transcoded
//! ```
//!
//! Peers: `tandem`, the engine's worker pool in this process; `floor`, a bare forwarder that only receives and sends, as the least
//! that any relay on sockets costs. Every repetition starts its peer anew; cases take turns, so that a disturbance of the machine
//! does not fall on one of them alone.

mod cpu;
mod floor;
mod generator;
mod report;
mod tandem;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;

use generator::{Measured, Stream};
use report::Row;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Both legs PCMU: headers mapped.
    PcmuPcmu,
    /// One leg PCMU, the other Opus: decoded and encoded.
    PcmuOpus,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Case::PcmuPcmu => "pcmu-pcmu",
            Case::PcmuOpus => "pcmu-opus",
        }
    }
}

/// Measures CPU, delay and loss of the media path.
#[derive(Parser, Debug)]
struct Arguments {
    /// Folder for results.json and RESULTS.md.
    #[arg(long, default_value = "benches")]
    out: PathBuf,
    /// How often each case is measured.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Length of one measurement.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Only cases whose `case peer calls` contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Run generator and peer before everything else on the machine (SCHED_RR; needs root), when it is shared.
    #[arg(long)]
    realtime: bool,
    /// CPU of the peer under test.
    #[arg(long, default_value_t = 0)]
    peer_cpu: usize,
    /// CPU of the generator.
    #[arg(long, default_value_t = 1)]
    generator_cpu: usize,
}

/// Case, peer, calls.
const PLAN: [(Case, &str, usize); 6] = [
    (Case::PcmuPcmu, "floor", 50),
    (Case::PcmuPcmu, "tandem", 50),
    (Case::PcmuPcmu, "floor", 200),
    (Case::PcmuPcmu, "tandem", 200),
    (Case::PcmuOpus, "tandem", 18),
    (Case::PcmuOpus, "tandem", 50),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if cpu::count() < 2 {
        eprintln!("only one CPU: generator and peer share it, and the numbers say little");
    }
    if arguments.realtime {
        cpu::run_before_others().context("--realtime was refused; run as root or leave it out")?;
    }
    let label = |(case, peer, calls): &(Case, &str, usize)| format!("{} {peer} {calls}", case.name());
    let plan: Vec<_> = PLAN.into_iter().filter(|entry| label(entry).contains(&arguments.only)).collect();
    if plan.is_empty() {
        bail!("no case matches `{}`", arguments.only);
    }
    let mut rows = Vec::new();
    for repetition in 1..=arguments.repetitions.max(1) {
        for &(case, peer, calls) in &plan {
            let measured = measure(case, peer, calls, &arguments)
                .with_context(|| format!("{} with {peer} at {calls} calls", case.name()))?;
            let row = Row::new(case.name(), peer, calls, &measured);
            println!("{repetition}/{}: {row}", arguments.repetitions);
            rows.push(row);
        }
    }
    report::write(&arguments.out, &rows, arguments.seconds)
}

fn measure(case: Case, peer: &str, calls: usize, arguments: &Arguments) -> Result<Measured> {
    let span = Duration::from_secs(arguments.seconds.max(1));
    let socket = generator::open()?;
    match peer {
        "tandem" => {
            let (running, legs) = tandem::start(case, calls, socket.local_addr()?, arguments.peer_cpu)?;
            let streams = legs.into_iter().map(Stream::new).collect();
            let measured = generator::run(socket, streams, span, arguments.generator_cpu, "media-0");
            running.stop()?;
            measured
        }
        "floor" => {
            let (running, legs) = floor::start(calls, socket.local_addr()?, arguments.peer_cpu)?;
            let streams = legs.into_iter().map(Stream::new).collect();
            let measured = generator::run(socket, streams, span, arguments.generator_cpu, "floor-0");
            running.stop()?;
            measured
        }
        other => bail!("no such peer: {other}"),
    }
}
