//! Kamailio as a record-routing proxy in front of another SIP server.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::ports;
use crate::process::Process;

const INSTALL: &str = "install Debian's kamailio (`make setup-test`)";
const READY: Duration = Duration::from_secs(10);

/// A running Kamailio proxy.
pub struct Kamailio {
    process: Process,
    /// Its UDP listener.
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Kamailio {
    /// Starts a proxy that forwards new calls to `next` and stays in the path of their dialogs.
    pub async fn in_front_of(next: SocketAddr) -> Kamailio {
        let folder = tempfile::tempdir().expect("a folder for Kamailio");
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let script = SCRIPT.replace("{listen}", &address.to_string()).replace("{next}", &next.to_string());
        let file = folder.path().join("kamailio.cfg");
        std::fs::write(&file, script).expect("its configuration written");
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]).arg(folder.path()).arg("-f").arg(&file);
        let process = Process::start("kamailio", INSTALL, &mut command);
        ports::until_bound(address.port(), READY).await;
        Kamailio { process, address, _folder: folder }
    }

    /// Stops the proxy with its child processes.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// Configuration of a transaction-stateful proxy that forwards every request to one next hop.
const SCRIPT: &str = include_str!("../data/kamailio.cfg");
