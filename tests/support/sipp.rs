//! sipp with our scenarios.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::{data, ports};

const INSTALL: &str = "install Debian's sip-tester (`make setup-test`)";
/// A callee listens within this.
const READY: Duration = Duration::from_secs(5);

/// A running sipp.
pub struct Sipp {
    process: Process,
    folder: TempDir,
    /// Its SIP port on 127.0.0.1.
    pub port: u16,
}

impl Sipp {
    /// A callee that answers `calls` calls on `port` and sends every RTP packet back.
    pub async fn echo_callee(port: u16, calls: usize) -> Sipp {
        let media = ports::free().to_string();
        let extra = ["-mi", "127.0.0.1", "-mp", &media, "-rtp_echo"].map(str::to_owned);
        let callee = Sipp::start("echo_callee.xml", port, calls, &extra);
        ports::until_bound(port, READY).await;
        callee
    }

    /// A carrier on `port` that wants the password `hush` of `account` for each of `calls` calls, and sends every RTP
    /// packet back.
    pub async fn carrier(port: u16, calls: usize) -> Sipp {
        let media = ports::free().to_string();
        let extra = ["-mi", "127.0.0.1", "-mp", &media, "-rtp_echo"].map(str::to_owned);
        let carrier = Sipp::start("carrier.xml", port, calls, &extra);
        ports::until_bound(port, READY).await;
        carrier
    }

    /// A callee that answers one call on `port` with the test's own RTP port `media` in its SDP.
    pub async fn callee(port: u16, media: u16) -> Sipp {
        let callee = Sipp::start("callee.xml", port, 1, &["-key", "media_end", &media.to_string()].map(str::to_owned));
        ports::until_bound(port, READY).await;
        callee
    }

    /// A caller that makes one call to `tandem` for each of `calls` (called user part, RTP port in its SDP), at
    /// `rate` calls a second, and holds each for `hold`.
    pub fn caller(tandem: SocketAddr, calls: &[(String, u16)], rate: u32, hold: Duration) -> Sipp {
        let mut injected = String::from("SEQUENTIAL\n");
        for (user, port) in calls {
            writeln!(injected, "{user};{port};").expect("writing to a String");
        }
        let (rate, hold) = (rate.to_string(), hold.as_millis().to_string());
        let tandem = tandem.to_string();
        let extra = [&tandem, "-inf", "calls.csv", "-r", &rate, "-d", &hold, "-trace_logs"].map(str::to_owned);
        let folder = tempfile::tempdir().expect("a folder for sipp");
        std::fs::write(folder.path().join("calls.csv"), injected).expect("the injected fields written");
        Sipp::start_in(folder, "caller.xml", ports::free(), calls.len(), &extra)
    }

    fn start(scenario: &str, port: u16, calls: usize, extra: &[String]) -> Sipp {
        Sipp::start_in(tempfile::tempdir().expect("a folder for sipp"), scenario, port, calls, extra)
    }

    fn start_in(folder: TempDir, scenario: &str, port: u16, calls: usize, extra: &[String]) -> Sipp {
        let mut command = Command::new("sipp");
        command.current_dir(folder.path()).arg("-sf").arg(data("sipp").join(scenario));
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-m", &calls.to_string()]);
        command.args(["-nostdin", "-trace_err", "-error_file", "errors.log", "-log_file", "calls.log"]).args(extra);
        Sipp { process: Process::start(&format!("sipp {scenario}"), INSTALL, &mut command), folder, port }
    }

    /// Calls answered so far: RTP port in the caller's SDP, and in the answer.
    pub fn answered(&self) -> Vec<(u16, SocketAddr)> {
        let text = std::fs::read_to_string(self.file("calls.log")).unwrap_or_default();
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let call = |line: &str| {
            let (ours, theirs) = line.strip_prefix("answered ")?.split_once(' ')?;
            Some((ours.parse().ok()?, SocketAddr::from((Ipv4Addr::LOCALHOST, theirs.trim().parse().ok()?))))
        };
        whole.lines().filter_map(call).collect()
    }

    /// Waits until one more than the calls `known` was answered.
    pub async fn next_answered(&self, known: usize, deadline: Duration) -> (u16, SocketAddr) {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            loop {
                look.tick().await;
                if let Some(call) = self.answered().get(known) {
                    return *call;
                }
            }
        };
        let answered = tokio::time::timeout(deadline, wait).await;
        answered
            .unwrap_or_else(|_| panic!("sipp: call {known} was not answered within {deadline:?}\n{}", self.errors()))
    }

    /// Waits until all calls are over and asserts that all went as the scenario says.
    pub async fn succeeds(mut self, deadline: Duration) {
        let status = self.process.exited(deadline).await;
        assert!(status.success(), "sipp: {status}\n{}", self.errors());
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.file("errors.log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
