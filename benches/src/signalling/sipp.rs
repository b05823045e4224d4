//! sipp as both far ends: a callee that answers every call, and a caller at a given rate.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{CALLEE, CALLER};
use crate::cpu;

const CALLER_SCENARIO: &str = include_str!("caller.xml");
const CALLEE_SCENARIO: &str = include_str!("callee.xml");
/// Time for the last calls to end after the last one was begun.
const ENDING: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(50);

/// Version as reported by `sipp -v`.
pub(super) fn version() -> Option<String> {
    // `sipp -v` exits with a failure status.
    let output = Command::new("sipp").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().map(str::trim).find(|line| line.contains("SIPp v"))?;
    Some(line.trim_end_matches('.').to_owned())
}

/// Calls to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Calls per second.
    pub(super) rate: u32,
    pub(super) calls: u64,
    /// Time from the answer to the BYE.
    pub(super) hold: Duration,
}

/// Result of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) successful: u64,
    pub(super) failed: u64,
    /// Successful calls per second, from the first INVITE to the last 200.
    pub(super) calls_per_s: f64,
    /// 99th percentile of the time from INVITE to 200.
    pub(super) p99_ms: f64,
}

/// A running sipp, killed when dropped.
pub(super) struct Sipp {
    process: Child,
    folder: TempDir,
    began: Instant,
}

/// Starts a callee at [`CALLEE`]`:port`.
pub(super) fn callee(port: u16, cpu: usize) -> Result<Sipp> {
    Sipp::start(CALLEE_SCENARIO, &["-i", CALLEE, "-p", &port.to_string()], cpu)
}

/// Starts a caller at [`CALLER`] that calls `peer`.
pub(super) fn caller(peer: SocketAddr, load: Load, cpu: usize) -> Result<Sipp> {
    let Load { rate, calls, hold } = load;
    let (peer, rate, calls, hold) =
        (peer.to_string(), rate.to_string(), calls.to_string(), hold.as_millis().to_string());
    let mut arguments = vec![peer.as_str(), "-i", CALLER, "-r", &rate, "-m", &calls, "-d", &hold, "-l", "200000"];
    arguments.extend(["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_rtt", "-rtt_freq", "100"]);
    Sipp::start(CALLER_SCENARIO, &arguments, cpu)
}

impl Sipp {
    fn start(scenario: &str, arguments: &[&str], on: usize) -> Result<Sipp> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("scenario.xml"), scenario)?;
        let mut command = Command::new("sipp");
        command.current_dir(folder.path()).args(["-sf", "scenario.xml", "-nostdin", "-buff_size", "4194304"]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let spawn = move || {
            cpu::pin(on);
            command.spawn().context("sipp cannot be started; install it with `scripts/setup.sh bench`")
        };
        // A separate thread: the process inherits its CPU, and the caller's CPU does not change.
        let process = std::thread::spawn(spawn).join().map_err(|_| anyhow::anyhow!("the starting thread failed"))??;
        Ok(Sipp { process, folder, began: Instant::now() })
    }

    /// Waits until all calls have ended.
    pub(super) fn outcome(mut self, load: Load) -> Result<Outcome> {
        let span = Duration::from_secs_f64(load.calls as f64 / f64::from(load.rate.max(1)));
        let deadline = self.began + span * 2 + load.hold + ENDING;
        while self.process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("sipp did not end within {:?}; {:?}", deadline - self.began, self.counts()?);
            }
            std::thread::sleep(LOOK);
        }
        let counts = self.counts()?.context("sipp wrote no statistics")?;
        let mut times = self.response_times()?;
        times.sort_by(f64::total_cmp);
        let p99_ms = times.get(times.len() * 99 / 100).copied().context("sipp wrote no response times")?;
        let count = |name: &str| counts.get(name).copied().with_context(|| format!("sipp counts no {name}"));
        let (successful, failed) = (count("SuccessfulCall(C)")?, count("FailedCall(C)")?);
        // Calls that it never began count as failed, because the rate was not sustained.
        let failed = failed.max(load.calls.saturating_sub(successful));
        let calls_per_s = successful as f64 / self.began.elapsed().saturating_sub(load.hold).as_secs_f64();
        Ok(Outcome { successful, failed, calls_per_s, p99_ms })
    }

    /// Waits until `calls` calls were begun, and one more second, in which they are answered.
    pub(super) fn until_standing(&mut self, calls: u64, within: Duration) -> Result<()> {
        let mut whole = false;
        loop {
            let begun = self.counts()?.and_then(|counts| counts.get("OutgoingCall(C)").copied());
            if whole {
                return Ok(());
            }
            whole = begun.is_some_and(|begun| begun >= calls);
            if let Some(status) = self.process.try_wait()? {
                bail!("sipp ended early: {status}");
            }
            if self.began.elapsed() > within {
                bail!("only {begun:?} of {calls} calls were begun within {within:?}");
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Last line of its statistics; `None` before the first. An incomplete line is ignored.
    fn counts(&self) -> Result<Option<HashMap<String, u64>>> {
        let text = fs::read_to_string(self.folder.path().join("stat.csv")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines = whole.lines();
        let Some(names) = lines.next() else { return Ok(None) };
        let Some(values) = lines.next_back() else { return Ok(None) };
        let counts = names.split(';').zip(values.split(';'));
        Ok(Some(counts.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()))
    }

    /// Milliseconds from INVITE to 200 of every call.
    fn response_times(&self) -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for entry in fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with("_rtt.csv") {
                let text = fs::read_to_string(path)?;
                times.extend(text.lines().filter_map(|line| line.split(';').nth(1)?.parse::<f64>().ok()));
            }
        }
        Ok(times)
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
