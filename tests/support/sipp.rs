//! sipp with the scenarios of `tests/data/sipp`.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout_at};

use crate::process::Process;
use crate::{data, ports};

const INSTALL: &str = "install Debian's sip-tester (`make setup-test`)";
/// Deadline for a callee to start listening.
const READY: Duration = Duration::from_secs(5);

/// A running sipp with one scenario.
pub struct Sipp {
    process: Process,
    folder: TempDir,
    /// Name of its scenario.
    name: String,
    /// Its local SIP port.
    pub port: u16,
}

impl Sipp {
    /// Starts a callee that answers `calls` calls on `port` and returns every RTP packet to its sender.
    pub async fn echo_callee(port: u16, calls: usize) -> Sipp {
        let media = ports::free().to_string();
        let extra = ["-mi", "127.0.0.1", "-mp", &media, "-rtp_echo"].map(str::to_owned);
        let callee = Sipp::start("echo_callee.xml", port, calls, &extra);
        ports::until_bound(port, READY).await;
        callee
    }

    /// Starts a carrier on `port` that challenges each of `calls` calls for `account` with the password `hush`, and returns every
    /// RTP packet to its sender.
    pub async fn carrier(port: u16, calls: usize) -> Sipp {
        let media = ports::free().to_string();
        let extra = ["-mi", "127.0.0.1", "-mp", &media, "-rtp_echo"].map(str::to_owned);
        let carrier = Sipp::start("carrier.xml", port, calls, &extra);
        ports::until_bound(port, READY).await;
        carrier
    }

    /// Starts a callee that answers one call on `port` with the test's own RTP port `media` in its SDP.
    pub async fn callee(port: u16, media: u16) -> Sipp {
        let callee = Sipp::start("callee.xml", port, 1, &["-key", "media_end", &media.to_string()].map(str::to_owned));
        ports::until_bound(port, READY).await;
        callee
    }

    /// Starts a caller that makes one call to `tandem` for each entry of `calls` (called user part, RTP port in its SDP), at
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

    /// Starts a caller that runs a scenario once against `tandem`; `extra` holds further options of sipp. Its SDP contains the
    /// test's own RTP port `media`.
    pub fn plays(scenario: &str, tandem: SocketAddr, media: u16, extra: &[&str]) -> Sipp {
        let (tandem, media) = (tandem.to_string(), media.to_string());
        let mut options = vec![tandem.as_str(), "-mi", "127.0.0.1", "-key", "media_end", &media, "-trace_logs"];
        options.extend(extra);
        let options: Vec<String> = options.into_iter().map(str::to_owned).collect();
        Sipp::start(&format!("{scenario}.xml"), ports::free(), 1, &options)
    }

    /// Starts a callee at `address` that runs a scenario for `calls` calls, with the test's own RTP port `media` in its SDP.
    pub async fn awaits(scenario: &str, address: SocketAddr, media: u16, calls: usize) -> Sipp {
        let media = media.to_string();
        let extra = ["-mi", "127.0.0.1", "-key", "media_end", media.as_str(), "-trace_logs"].map(str::to_owned);
        let folder = tempfile::tempdir().expect("a folder for sipp");
        let callee = Sipp::start_at(folder, &format!("{scenario}.xml"), address, calls, &extra);
        ports::until_bound(address.port(), READY).await;
        callee
    }

    /// Starts a callee at `address` that answers one call, plays a clip of samples at 8 kHz in PCMU, and then sends nothing.
    pub async fn playing(clip: &[i16], address: SocketAddr) -> Sipp {
        let folder = tempfile::tempdir().expect("a folder for sipp");
        let codes: Vec<u8> = clip.iter().map(|sample| codecs::g711::ulaw_encode(*sample)).collect();
        std::fs::write(folder.path().join("clip.ulaw"), codes).expect("the clip written");
        let extra = ["-mi", &address.ip().to_string()].map(str::to_owned);
        let callee = Sipp::start_at(folder, "callee_plays_a_clip.xml", address, 1, &extra);
        ports::until_bound(address.port(), READY).await;
        callee
    }

    fn start(scenario: &str, port: u16, calls: usize, extra: &[String]) -> Sipp {
        Sipp::start_in(tempfile::tempdir().expect("a folder for sipp"), scenario, port, calls, extra)
    }

    fn start_in(folder: TempDir, scenario: &str, port: u16, calls: usize, extra: &[String]) -> Sipp {
        Sipp::start_at(folder, scenario, (Ipv4Addr::LOCALHOST, port).into(), calls, extra)
    }

    fn start_at(folder: TempDir, scenario: &str, own: SocketAddr, calls: usize, extra: &[String]) -> Sipp {
        let port = own.port();
        let mut command = Command::new("sipp");
        command.current_dir(folder.path()).arg("-sf").arg(data("sipp").join(scenario));
        command.args(["-i", &own.ip().to_string(), "-p", &port.to_string(), "-m", &calls.to_string()]);
        command.args(["-nostdin", "-trace_err", "-error_file", "errors.log", "-log_file", "calls.log"]).args(extra);
        let name = format!("sipp {scenario}");
        Sipp { process: Process::start(&name, INSTALL, &mut command), folder, name, port }
    }

    /// Returns the calls answered so far: RTP port in the caller's SDP, and address in the answer.
    pub fn answered(&self) -> Vec<(u16, SocketAddr)> {
        let text = std::fs::read_to_string(self.file("calls.log")).unwrap_or_default();
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let call = |line: &str| {
            let (ours, theirs) = line.strip_prefix("answered ")?.split_once(' ')?;
            Some((ours.parse().ok()?, SocketAddr::from((Ipv4Addr::LOCALHOST, theirs.trim().parse().ok()?))))
        };
        whole.lines().filter_map(call).collect()
    }

    /// Waits until one more call than the `known` ones has been answered, and returns it.
    pub async fn next_answered(&self, known: usize, deadline: Duration) -> (u16, SocketAddr) {
        self.until(&format!("call {known} is answered"), deadline, || self.answered().get(known).copied()).await
    }

    /// Waits until its log contains `text`.
    pub async fn logs(&self, text: &str, deadline: Duration) {
        self.until(text, deadline, || self.logged(text).then_some(())).await;
    }

    async fn until<T>(&self, what: &str, deadline: Duration, find: impl Fn() -> Option<T>) -> T {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            loop {
                look.tick().await;
                if let Some(found) = find() {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(deadline, wait).await;
        found.unwrap_or_else(|_| panic!("{}: not within {deadline:?}: {what}\n{}", self.name, self.errors()))
    }

    /// Waits until all calls have ended and asserts that each followed the scenario.
    pub async fn succeeds(self, deadline: Duration) {
        Sipp::all_succeed([self], deadline).await;
    }

    /// Like [`Sipp::succeeds`] for several processes; reports every one that failed.
    pub async fn all_succeed(all: impl IntoIterator<Item = Sipp>, deadline: Duration) {
        let mut failed = String::new();
        let until = Instant::now() + deadline;
        for mut one in all {
            // The longer time is never reached, because the outer deadline ends first.
            let outcome = match timeout_at(until, one.process.exited(deadline * 2)).await {
                Ok(status) if status.success() => continue,
                Ok(status) => status.to_string(),
                Err(_) => format!("did not end within {deadline:?}"),
            };
            writeln!(failed, "{}: {outcome}\n{}", one.name, one.errors()).expect("writing to a String");
        }
        assert!(failed.is_empty(), "{failed}");
    }

    /// Returns whether its log contains `text`.
    pub fn logged(&self, text: &str) -> bool {
        std::fs::read_to_string(self.file("calls.log")).unwrap_or_default().contains(text)
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.file("errors.log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
