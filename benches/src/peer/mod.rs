//! Peers under test: each is a separate process on the peer's CPU, started anew for every measurement.
//!
//! ```text
//! Running::start ─▶ idle ── open(Setup) ─▶ calls that talk to the generator ── stop ─▶ gone
//! ```
//!
//! Tandem's worker and the bare forwarder are this binary, started with `peer NAME CASE`, and use JSON lines on stdin and stdout;
//! rtpengine uses its control protocol. All inherit CPU and scheduling from the thread that starts them, including for their
//! threads.

mod floor;
mod rtpengine;
mod tandem;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use media_engine::srtp::Suite;
use serde::{Deserialize, Serialize};

use crate::cpu;
use crate::plan::{Case, Entry, Peer};

pub(crate) use rtpengine::version as rtpengine_version;
pub(crate) use tandem::EQUAL;

/// SRTP suite of SDES legs.
pub(crate) const SUITE: Suite = Suite::AesCm128HmacSha1_80;

/// Legs that a peer must open. Leg `2n` of `offers` is joined with leg `2n + 1`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) case: Case,
    /// Address of the far ends of plain and SDES legs.
    pub(crate) generator: SocketAddr,
    /// Address to which RTCP may be sent.
    pub(crate) rtcp: SocketAddr,
    /// Offer of the browser of each leg, if it has one.
    pub(crate) offers: Vec<Option<String>>,
}

/// One leg as its far end sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FarEnd {
    /// Address to which media is sent.
    pub(crate) address: SocketAddr,
    /// Payload type of the audio in both directions.
    pub(crate) payload_type: u8,
    /// Answer to the browser's offer.
    pub(crate) answer: Option<String>,
    /// Keys of an SDES leg.
    pub(crate) keys: Option<Keys>,
}

/// Master keys and salts of [`SUITE`] in base64, as SDP carries them (RFC 4568).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// Key with which the generator protects.
    pub(crate) generator: String,
    /// Key with which the peer protects.
    pub(crate) peer: String,
}

/// CPU and scheduling of peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) cpu: usize,
    pub(crate) realtime: bool,
}

/// A running peer, killed when dropped.
pub(crate) struct Running {
    process: Process,
    control: Control,
}

enum Control {
    Lines { orders: Option<ChildStdin>, replies: BufReader<ChildStdout> },
    Rtpengine(rtpengine::Control),
}

/// A process that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has already ended is only reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts the peer; it is idle and ready when this returns.
    pub(crate) fn start(entry: Entry, place: Place) -> Result<Running> {
        if entry.peer == Peer::Rtpengine {
            let (process, control) = rtpengine::start(place)?;
            return Ok(Running { process, control: Control::Rtpengine(control) });
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["peer", entry.peer.name(), entry.case.name()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = spawn(command, place)?;
        let orders = process.0.stdin.take();
        let replies = BufReader::new(process.0.stdout.take().context("the peer has no output")?);
        let mut running = Running { process, control: Control::Lines { orders, replies } };
        let ready: String = running.reply()?;
        ensure!(ready == "ready", "unexpected output of the peer: {ready:?}");
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Sets up all calls and returns the peer's ends.
    pub(crate) fn open(&mut self, setup: &Setup) -> Result<Vec<FarEnd>> {
        match &mut self.control {
            Control::Rtpengine(control) => control.open(setup),
            Control::Lines { orders, .. } => {
                let orders = orders.as_mut().context("the peer takes no orders any more")?;
                writeln!(orders, "{}", serde_json::to_string(setup)?)?;
                orders.flush()?;
                self.reply()
            }
        }
    }

    /// Stops the peer in an orderly way, which includes that it released every resource.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Control::Lines { orders, .. } = &mut self.control {
            drop(orders.take());
            let status = self.process.0.wait()?;
            ensure!(status.success(), "the peer ended with {status}");
        }
        Ok(())
    }

    fn reply<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let Control::Lines { replies, .. } = &mut self.control else { anyhow::bail!("no lines are spoken") };
        let mut line = String::new();
        replies.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("unexpected output of the peer: {line:?}"))
    }
}

/// Starts a process with the placement of `place`.
fn spawn(mut command: Command, place: Place) -> Result<Process> {
    let start = move || -> Result<Process> {
        cpu::pin(place.cpu);
        if place.realtime {
            cpu::run_before_others()?;
        }
        let name = command.get_program().to_string_lossy().into_owned();
        Ok(Process(command.spawn().with_context(|| format!("{name} cannot be started"))?))
    };
    // A separate thread: the process inherits its CPU and scheduling, and those of the caller do not change.
    std::thread::spawn(start).join().map_err(|_| anyhow::anyhow!("the starting thread panicked"))?
}

/// Main function of a peer process that is this binary.
pub(crate) fn run(peer: Peer, case: Case) -> Result<()> {
    match peer {
        Peer::Tandem | Peer::TandemLowDelay => tandem::run(peer, case),
        Peer::Floor => floor::run(),
        Peer::Rtpengine => anyhow::bail!("rtpengine is a separate program"),
    }
}

/// Writes one line to the meter.
fn say<T: Serialize>(reply: &T) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(reply)?)?;
    Ok(out.flush()?)
}

/// Waits for a command; `None` when stdin has ended.
fn order() -> Result<Option<Setup>> {
    let mut line = String::new();
    let length = std::io::stdin().lock().read_line(&mut line)?;
    if length == 0 { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
}
