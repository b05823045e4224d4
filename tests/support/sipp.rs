//! sipp with our scenarios.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::{data, ports};

const INSTALL: &str = "install Debian's sip-tester (`make setup-test`)";

/// A running sipp.
pub struct Sipp {
    process: Process,
    folder: TempDir,
    /// Its SIP port on 127.0.0.1.
    pub port: u16,
}

impl Sipp {
    /// A callee that answers `calls` calls on `port` and sends every RTP packet back.
    pub fn echo_callee(port: u16, calls: usize) -> Sipp {
        let media = ports::free().to_string();
        let extra = ["-mi", "127.0.0.1", "-mp", &media, "-rtp_echo"].map(str::to_owned);
        Sipp::start("echo_callee.xml", port, calls, &extra)
    }

    /// A caller that makes one call to `tandem` for each of `calls` (called user part, RTP port in its SDP), at
    /// `rate` calls a second, and holds each for `hold`.
    pub fn caller(tandem: SocketAddr, calls: &[(String, u16)], rate: u32, hold: Duration) -> Sipp {
        let mut injected = String::from("SEQUENTIAL\n");
        for (user, port) in calls {
            writeln!(injected, "{user};{port};").expect("writing to a String");
        }
        let (rate, hold) = (rate.to_string(), hold.as_millis().to_string());
        let file = tempfile::NamedTempFile::new().expect("a file for the injected fields").keep().expect("kept").1;
        std::fs::write(&file, injected).expect("the injected fields written");
        let file_name = file.to_string_lossy().into_owned();
        let tandem = tandem.to_string();
        let extra = [&tandem, "-inf", &file_name, "-r", &rate, "-d", &hold, "-trace_logs"].map(str::to_owned);
        Sipp::start("caller.xml", ports::free(), calls.len(), &extra)
    }

    fn start(scenario: &str, port: u16, calls: usize, extra: &[String]) -> Sipp {
        let folder = tempfile::tempdir().expect("a folder for sipp");
        let mut command = Command::new("sipp");
        command.current_dir(folder.path()).arg("-sf").arg(data("sipp").join(scenario));
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-m", &calls.to_string()]);
        command.args(["-nostdin", "-trace_err", "-error_file", "errors.log", "-log_file", "calls.log"]).args(extra);
        Sipp { process: Process::start(&format!("sipp {scenario}"), INSTALL, &mut command), folder, port }
    }

    /// The lines that the scenario logged so far.
    pub fn logged(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("calls.log")).unwrap_or_default();
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Waits until all calls are over and asserts that all went as the scenario says.
    pub async fn succeeds(mut self, deadline: Duration) {
        let status = self.process.exited(deadline).await;
        let errors = std::fs::read_to_string(self.file("errors.log")).unwrap_or_default();
        assert!(status.success(), "sipp: {status}\n{errors}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
