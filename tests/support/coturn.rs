//! coturn, a TURN server that shares a secret with Tandem.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::process::Process;
use crate::wall::Wall;

const INSTALL: &str = "install Debian's coturn (`make setup-test`)";
const READY: Duration = Duration::from_secs(10);
const PLAIN: u16 = 3478;
const TLS: u16 = 5349;

/// A running coturn in the namespace "gate" of a [`Wall`], where its ports cannot collide with others.
pub struct Coturn {
    process: Process,
    address: IpAddr,
    _folder: TempDir,
}

impl Coturn {
    /// Secret that is shared with Tandem.
    pub const SECRET: &'static str = "north-by-northwest";

    /// Starts a server with a self-signed certificate and waits until it listens.
    pub async fn start(wall: &Wall) -> Coturn {
        let folder = tempfile::tempdir().expect("a folder for coturn");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (key, certificate, address) = (file("key.pem"), file("certificate.pem"), wall.relay());
        let subject = ["-subj", "/CN=turn.test", "-addext", &format!("subjectAltName=IP:{address}")].map(str::to_owned);
        let mut command = Command::new("openssl");
        command.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ]);
        let made = command.args(["-keyout", &key, "-out", &certificate]).args(subject).output().expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &wall.gate(),
            "turnserver",
            "-n",
            "--no-cli",
            "--log-file=stdout",
            "--simple-log",
        ]);
        command.arg("--verbose").args(["--use-auth-secret", &format!("--static-auth-secret={}", Coturn::SECRET)]);
        command.args(["--realm=turn.test", &format!("--listening-ip={address}"), &format!("--relay-ip={address}")]);
        command.args([&format!("--listening-port={PLAIN}"), &format!("--tls-listening-port={TLS}")]);
        command.args([&format!("--cert={certificate}"), &format!("--pkey={key}")]);
        command.args([format!("--pidfile={}", file("pid")), format!("--userdb={}", file("users"))]);
        let process = Process::start("coturn", INSTALL, &mut command);
        let turn = Coturn { process, address, _folder: folder };
        turn.listens(PLAIN).await;
        turn.listens(TLS).await;
        turn
    }

    /// TURN URLs for browsers over UDP and TCP.
    pub fn plain(&self) -> Vec<String> {
        ["udp", "tcp"].map(|transport| format!("turn:{}:{PLAIN}?transport={transport}", self.address)).to_vec()
    }

    /// TURN URLs for browsers over TLS.
    pub fn secure(&self) -> Vec<String> {
        vec![format!("turns:{}:{TLS}?transport=tcp", self.address)]
    }

    /// Returns the output so far.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Stops the process and waits for its end.
    pub async fn stop(self) {
        self.process.stop().await;
    }

    async fn listens(&self, port: u16) {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            loop {
                look.tick().await;
                if TcpStream::connect(SocketAddr::new(self.address, port)).await.is_ok() {
                    return;
                }
            }
        };
        let listens = tokio::time::timeout(READY, wait).await.is_ok();
        assert!(listens, "coturn does not listen on port {port}: {INSTALL}\n{}", self.process.output());
    }
}
