//! Signalling: the cost of a bridged call without media, compared with Kamailio, and the rate of the whole product.
//!
//! ```text
//! sipp (caller, 127.0.0.2) ─▶ peer under test (a CPU of its own) ─▶ sipp (callee, 127.0.0.3; the callers' CPU)
//! ```
//!
//! agent: the program under test. peer: start of the agent, of Kamailio and of the product. sipp: far ends. page: output. Every
//! measurement starts its peer anew; repetitions take the peers in turn.

mod agent;
mod page;
mod peer;
mod sipp;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::cpu::{self, RunTime};
use page::Row;
use peer::{Kind, Running};
use sipp::{Load, Outcome};

/// Address of the callers; the agent identifies its trunks by this one and the callee's.
const CALLER: &str = "127.0.0.2";
const CALLEE: &str = "127.0.0.3";
/// Number of established calls while memory and CPU are read.
const STANDING: u64 = 2_000;
/// Load of calls to a callee that never answers.
const SILENT: Load = Load { rate: 2_000, calls: 64_000, hold: Duration::ZERO };

/// Measures signalling: CPU, rate and delay of bridged calls, and what they hold.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// Folder of results.json and RESULTS.md, whose section about signalling is replaced; without it results are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Number of repetitions of the comparison.
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Calls per second to sustain; peers are compared at half of this rate.
    #[arg(long, default_value_t = 1_800)]
    rate: u32,
    /// Calls per second for the whole product.
    #[arg(long, default_value_t = 300)]
    product_rate: u32,
    /// Duration of one comparison, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Duration of the sustained rate, in seconds.
    #[arg(long, default_value_t = 40)]
    sustained_s: u32,
    /// Only these parts: compare, sustain, stand, silent, product.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// CPU of the peer under test.
    #[arg(long, default_value_t = 0)]
    peer_cpu: usize,
    /// CPU of the callers and callees.
    #[arg(long, default_value_t = 1)]
    sipp_cpu: usize,
}

#[derive(Subcommand, Debug)]
enum Process {
    /// The signalling-only agent: bridges calls from 127.0.0.2 to a callee until its stdin ends.
    Agent {
        /// ADDRESS:PORT of the callee.
        callee: String,
    },
}

/// Results outside the rows.
#[derive(Debug, Default)]
struct Further {
    /// Percentage of a CPU with [`STANDING`] calls.
    standing_cpu_percent: Option<f64>,
    /// Maximum memory under [`SILENT`], in MB.
    silent_mb: Option<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Process::Agent { callee }) = &arguments.process {
        return agent::run(callee);
    }
    for (program, version) in [("sipp", sipp::version()), ("kamailio", peer::kamailio_version())] {
        if version.is_none() {
            bail!("{program} is missing: run `scripts/setup.sh bench`");
        }
    }
    let _alone = crate::alone()?;
    let asked = |part: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == part);
    let mut rows = Vec::new();
    let mut further = Further::default();
    let mut add = |row: Row| {
        println!("{row}");
        rows.push(row);
    };
    let half = Load { rate: arguments.rate / 2, calls: 0, hold: Duration::ZERO };
    for run in 1..=arguments.repetitions {
        for kind in [Kind::Kamailio, Kind::KamailioFast, Kind::Agent] {
            if asked("compare") {
                add(Row::new(kind, run, measure(kind, lasting(half, arguments.seconds), arguments)?));
            }
        }
        if asked("product") {
            let load = Load { rate: arguments.product_rate, ..half };
            let measured = measure(Kind::Product, lasting(load, arguments.seconds), arguments)?;
            add(Row::new(Kind::Product, run, measured));
        }
    }
    if asked("sustain") {
        let load = Load { rate: arguments.rate, ..half };
        for kind in [Kind::KamailioFast, Kind::Agent] {
            add(Row::new(kind, 0, measure(kind, lasting(load, arguments.sustained_s), arguments)?));
        }
    }
    if asked("stand") {
        let (kb, percent) = stand(arguments)?;
        println!("{STANDING} standing calls: {kb:.1} kB each, {percent:.2} % of a CPU");
        further.standing_cpu_percent = Some(percent);
        // A finished call is measured where calls end; an established one is the same in every run.
        for row in rows.iter_mut().filter(|row| row.peer == "tandem" && row.case == "sip-b2bua") {
            row.kb_standing = Some(page::rounded(kb, 1));
        }
    }
    if asked("silent") {
        let mb = silent(arguments)?;
        println!("{} INVITE/s to a silent callee: {mb:.0} MB at most", SILENT.rate);
        further.silent_mb = Some(mb);
    }
    page::write(arguments, rows, &further)
}

fn lasting(load: Load, seconds: u32) -> Load {
    Load { calls: u64::from(load.rate) * u64::from(seconds), ..load }
}

/// Result of one load on a fresh peer.
#[derive(Clone, Copy, Debug)]
struct Measured {
    outcome: Outcome,
    cpu_ms_per_call: f64,
    /// Memory in kB that each finished call leaves; not for Kamailio, which allocates at its start.
    kb_finished: Option<f64>,
}

fn measure(kind: Kind, load: Load, arguments: &Arguments) -> Result<Measured> {
    let port = free_port()?;
    let peer = Running::start(kind, port, arguments.peer_cpu).with_context(|| kind.name().to_owned())?;
    let _callee = sipp::callee(port, arguments.sipp_cpu)?;
    let time = RunTime::of_family(peer.pid())?;
    let (idle_kb, idle_ns) = (cpu::resident_kb(peer.pid())?, time.read_ns()?);
    let outcome = sipp::caller(peer.address, load, arguments.sipp_cpu)?.outcome(load)?;
    let busy_ns = time.read_ns()?.saturating_sub(idle_ns);
    let grown_kb = cpu::resident_kb(peer.pid())?.saturating_sub(idle_kb);
    let calls = outcome.successful.max(1) as f64;
    Ok(Measured {
        outcome,
        cpu_ms_per_call: busy_ns as f64 / 1e6 / calls,
        kb_finished: (kind == Kind::Agent).then_some(grown_kb as f64 / calls),
    })
}

/// Memory of an established call in kB, and the percentage of a CPU that all such calls take.
fn stand(arguments: &Arguments) -> Result<(f64, f64)> {
    const WATCHED: Duration = Duration::from_secs(20);
    let port = free_port()?;
    let peer = Running::start(Kind::Agent, port, arguments.peer_cpu)?;
    let _callee = sipp::callee(port, arguments.sipp_cpu)?;
    let idle_kb = cpu::resident_kb(peer.pid())?;
    let load = Load { rate: 400, calls: STANDING, hold: Duration::from_secs(600) };
    let mut caller = sipp::caller(peer.address, load, arguments.sipp_cpu)?;
    caller.until_standing(STANDING, Duration::from_secs(60))?;
    let kb = cpu::resident_kb(peer.pid())?.saturating_sub(idle_kb) as f64 / STANDING as f64;
    let time = RunTime::of_family(peer.pid())?;
    let before = time.read_ns()?;
    std::thread::sleep(WATCHED);
    let busy_ns = time.read_ns()?.saturating_sub(before);
    Ok((kb, busy_ns as f64 / WATCHED.as_nanos() as f64 * 100.0))
}

/// Maximum memory of the agent in MB under calls whose callee never answers.
fn silent(arguments: &Arguments) -> Result<f64> {
    // Bound and never read: datagrams beyond its buffer are lost.
    let callee = UdpSocket::bind((CALLEE, 0))?;
    let peer = Running::start(Kind::Agent, callee.local_addr()?.port(), arguments.peer_cpu)?;
    let _caller = sipp::caller(peer.address, SILENT, arguments.sipp_cpu)?;
    let until = Instant::now() + Duration::from_secs(SILENT.calls / u64::from(SILENT.rate) + 5);
    let mut most_kb = 0;
    while Instant::now() < until {
        most_kb = most_kb.max(cpu::resident_kb(peer.pid())?);
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(most_kb as f64 / 1024.0)
}

fn free_port() -> Result<u16> {
    Ok(UdpSocket::bind((CALLEE, 0))?.local_addr()?.port())
}
