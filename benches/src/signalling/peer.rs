//! Programs between the far ends: the agent, Kamailio, or the whole product.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{CALLEE, CALLER};
use crate::cpu;

const STARTING: Duration = Duration::from_secs(20);

/// Program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `benches signalling agent`: the engine's SIP stack, both legs tied together.
    Agent,
    /// Kamailio as a stateful proxy with Record-Route, with Debian's defaults.
    Kamailio,
    /// Kamailio with the fastest of its allocators.
    KamailioFast,
    /// `tandem serve` without a store.
    Product,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Agent | Kind::Product => "tandem",
            Kind::Kamailio => "kamailio",
            Kind::KamailioFast => "kamailio-tlsf",
        }
    }

    pub(super) fn case(self) -> &'static str {
        match self {
            Kind::Agent | Kind::Kamailio | Kind::KamailioFast => "sip-b2bua",
            Kind::Product => "sip-product",
        }
    }
}

/// A running peer, killed when dropped.
pub(super) struct Running {
    process: Child,
    /// Address to which callers send.
    pub(super) address: SocketAddr,
    _folder: TempDir,
}

/// Version as reported by `kamailio -v`.
pub(super) fn kamailio_version() -> Option<String> {
    let output = Command::new("kamailio").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next()?.trim_start_matches("version:").trim().to_owned())
}

impl Running {
    /// Starts a peer only on `cpu`, which forwards calls to `callee` at [`CALLEE`].
    pub(super) fn start(kind: Kind, callee: u16, cpu: usize) -> Result<Running> {
        let folder = tempfile::tempdir()?;
        match kind {
            Kind::Agent => Running::agent(callee, cpu, folder),
            Kind::Kamailio => Running::kamailio("qm", callee, cpu, folder),
            Kind::KamailioFast => Running::kamailio("tlsf", callee, cpu, folder),
            Kind::Product => Running::product(callee, cpu, folder),
        }
    }

    fn agent(callee: u16, cpu: usize, folder: TempDir) -> Result<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["signalling", "agent", &format!("{CALLEE}:{callee}")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = spawn(command, cpu)?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("the agent has no stdout")?).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("unexpected output of the agent: `{line}`"))?;
        Ok(Running { process, address, _folder: folder })
    }

    fn kamailio(allocator: &str, callee: u16, cpu: usize, folder: TempDir) -> Result<Running> {
        let address = free_address()?;
        let script =
            KAMAILIO.replace("{listen}", &address.to_string()).replace("{next}", &format!("{CALLEE}:{callee}"));
        let path = folder.path().join("kamailio.cfg");
        fs::write(&path, script)?;
        let mut command = Command::new("kamailio");
        command
            .args(["-DD", "-E", "-x", allocator, "-m", "512", "-M", "16", "-Y"])
            .arg(folder.path())
            .arg("-f")
            .arg(path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = spawn(command, cpu).context("install it with `scripts/setup.sh bench`")?;
        let mut running = Running { process, address, _folder: folder };
        running.until_bound()?;
        Ok(running)
    }

    fn product(callee: u16, cpu: usize, folder: TempDir) -> Result<Running> {
        let address = free_address()?;
        let config = PRODUCT
            .replace("{listen}", &address.to_string())
            .replace("{caller}", CALLER)
            .replace("{callee}", &format!("{CALLEE}:{callee}"));
        let path = folder.path().join("tandem.toml");
        fs::write(&path, config)?;
        let binary = std::env::current_exe()?.with_file_name("tandem");
        let mut command = Command::new(&binary);
        command.args(["serve", "--config"]).arg(path).arg("--data").arg(folder.path());
        command.env("TANDEM_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let process =
            spawn(command, cpu).with_context(|| format!("{} is missing: `make bench` builds it", binary.display()))?;
        let mut running = Running { process, address, _folder: folder };
        running.until_bound()?;
        Ok(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until its port is in use.
    fn until_bound(&mut self) -> Result<()> {
        let deadline = Instant::now() + STARTING;
        while UdpSocket::bind(self.address).is_ok() {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended at its start: {status}");
            }
            if Instant::now() > deadline {
                bail!("it does not listen on {} after {STARTING:?}", self.address);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // On SIGTERM, Kamailio's main process ends its children.
        cpu::terminate(self.process.id());
        let deadline = Instant::now() + STARTING;
        drop(self.process.stdin.take());
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(mut command: Command, cpu: usize) -> Result<Child> {
    let start = move || {
        cpu::pin(cpu);
        let name = Path::new(command.get_program()).display().to_string();
        command.spawn().with_context(|| format!("{name} cannot be started"))
    };
    std::thread::spawn(start).join().map_err(|_| anyhow::anyhow!("the starting thread panicked"))?
}

/// Returns an address that is free now; no other program starts meanwhile.
fn free_address() -> Result<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

/// Configuration of a transaction-stateful proxy that stays in the path. One process receives, because all share one CPU.
const KAMAILIO: &str = include_str!("../../../tests/data/kamailio.cfg");

const PRODUCT: &str = r#"
[http]
listen = "127.0.0.1:0"
[metrics]
listen = "off"
[sip]
listen = ["udp:{listen}"]
drain_s = 0
[media]
address = ["127.0.0.1"]
workers = 1
[store]
url = "none"
[speech]
stt = "wyoming://127.0.0.1:9"
translator = "wyoming://127.0.0.1:9"
tts = "wyoming://127.0.0.1:9"
[[trunks]]
name = "caller"
hosts = ["{caller}"]
options_s = 0
[[trunks]]
name = "callee"
hosts = ["{callee}"]
options_s = 0
[[routes]]
match = "*"
to = "trunk:callee"
"#;
