//! The real binary, started on its own ports with its own data folder.
//!
//! ```text
//! Setup ─▶ tandem.toml ─▶ Tandem::start ─▶ ready: http, sip listeners ─▶ api, agents, metrics ─▶ stop | kill | ends | fails
//! ```
//!
//! Invariants: every port is chosen by the system, so that servers run in parallel; the process is stopped with this value; its
//! log is searched for secrets in every test ([`crate::leaks`]). [`Holdings`] shows resources that calls did not release.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::api::Api;
use crate::leaks::leaks;
use crate::ports;
use crate::process::Process;

/// Deadline for start-up with migrations on a busy machine.
const READY: Duration = Duration::from_secs(20);
/// Deadline for an operator's command, some of which hash passwords.
const OPERATOR: Duration = Duration::from_secs(20);
/// The server updates its gauges once a second; a read after this interval sees a new value.
const TOLD: Duration = Duration::from_millis(1_300);
/// Interval between two reads of the gauges.
const LOOK: Duration = Duration::from_millis(200);
/// Advice when the binary is missing.
const BUILD: &str = "run `make test`, which builds it";

/// Settings that a server is started with. Every port is 0; the server reports where it listens.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `off` or `self-signed`.
    pub tls: &'static str,
    /// Listener of the pages and the API.
    pub http: String,
    /// `[media] address`; SDP contains the one of the peer's address family.
    pub addresses: Vec<String>,
    /// Keys of `[turn]`, as TOML lines.
    pub turn: String,
    /// SIP listeners, as in the configuration.
    pub sip: Vec<&'static str>,
    /// Trunks: name and hosts.
    pub trunks: Vec<(&'static str, Vec<String>)>,
    /// Further keys of every trunk, as TOML lines. Probes are off by default, because most peers of tests are scripts of one call.
    pub trunk_settings: &'static str,
    /// Seconds that running calls have to end by themselves when the server is stopped.
    pub drain_s: u32,
    /// Routes: pattern and target.
    pub routes: Vec<(&'static str, &'static str)>,
    /// Further keys of `[sip]`, as TOML lines.
    pub sip_settings: &'static str,
    /// Keys of `[store]`, as TOML lines; if empty, SQLite in the data folder.
    pub store: String,
    /// Further sections of the configuration, as TOML.
    pub further: &'static str,
    /// Seconds without media after which a leg is considered dead.
    pub media_timeout_s: u32,
    /// Leaves colours in the log enabled.
    pub colours: bool,
    /// Further environment variables of the process.
    pub environment: Vec<(&'static str, String)>,
    /// Limit of open descriptors (`ulimit -n`); `None` keeps the system's limit.
    pub descriptors: Option<u32>,
    /// Starts speech providers. Otherwise their address is unreachable, so that no test waits for them.
    pub speech: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            tls: "off",
            http: "127.0.0.1:0".into(),
            addresses: vec!["127.0.0.1".into()],
            turn: String::new(),
            sip: vec!["udp:127.0.0.1:0"],
            trunks: vec![("local", vec!["127.0.0.1".into()])],
            trunk_settings: "options_s = 0\n",
            drain_s: 0,
            routes: vec![("echo", "app:echo"), ("tone", "app:tone"), ("record", "app:record"), ("*", "agent:anna")],
            sip_settings: "",
            store: String::new(),
            further: "",
            media_timeout_s: 60,
            colours: false,
            environment: Vec::new(),
            descriptors: None,
            speech: false,
        }
    }
}

impl Setup {
    /// Routes calls to +1555… to a trunk whose only host is this port on 127.0.0.1.
    pub fn to_callees(port: u16) -> Setup {
        Setup {
            trunks: vec![("callees", vec![format!("127.0.0.1:{port}")])],
            routes: vec![("+1555*", "trunk:callees")],
            ..Setup::default()
        }
    }

    fn toml(&self) -> String {
        let quoted = |list: &[String]| list.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ");
        let listen: Vec<String> = self.sip.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "[http]\nlisten = {:?}\ntls = {:?}\n[metrics]\nlisten = \"127.0.0.1:0\"\n[sip]\nlisten = [{}]\ndrain_s = {}\n{}\
             [media]\naddress = [{}]\nports = {:?}\nworkers = 2\ntimeout_s = {}\n[turn]\n{}",
            self.http,
            self.tls,
            quoted(&listen),
            self.drain_s,
            self.sip_settings,
            quoted(&self.addresses),
            ports::MEDIA,
            self.media_timeout_s,
            self.turn,
        );
        if !self.speech {
            // Port 9 (discard) refuses connections at once.
            let nowhere = "wyoming://127.0.0.1:9";
            text += &format!("[speech]\nstt = {nowhere:?}\ntranslator = {nowhere:?}\ntts = {nowhere:?}\n");
        }
        // Tests send more requests than people do; control-api's own tests run with the default limits.
        if !self.further.contains("[limits]") {
            text += "[limits]\ndefault = \"off\"\ncalls = \"off\"\nspeech = \"off\"\nconfiguration = \"off\"\nretention = \"off\"\nentrance = \"off\"\n";
        }
        text += &format!("[store]\n{}", self.store);
        text += self.further;
        for (name, hosts) in &self.trunks {
            text += &format!("[[trunks]]\nname = {name:?}\nhosts = [{}]\n{}", quoted(hosts), self.trunk_settings);
        }
        for (pattern, to) in &self.routes {
            text += &format!("[[routes]]\nmatch = {pattern:?}\nto = {to:?}\n");
        }
        text
    }
}

/// A running server. It is killed when the value is dropped.
pub struct Tandem {
    process: Option<Process>,
    /// Base URL of the pages and the API.
    pub http: String,
    /// SIP listeners, in the order of [`Setup::sip`].
    pub sip: Vec<SocketAddr>,
    metrics: String,
    client: reqwest::Client,
    folder: TempDir,
}

/// Credentials of a member who can log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Email address for the login.
    pub email: String,
    /// Password for the login.
    pub password: String,
}

/// Resources that a server holds. The values are equal before and after calls when every resource was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Number of UDP sockets.
    pub udp_sockets: usize,
    /// Number of descriptors that are neither sockets nor files of the data folder. The database pool and the sockets of clients
    /// vary independently of calls and are not counted.
    pub descriptors: usize,
    /// Number of the server's own threads. Those of the runtime's and the database's pools vary and are not counted.
    pub threads: usize,
    /// Values of the server's own gauges: legs, bridged legs, taps, calls, dialogs.
    pub gauges: Vec<(String, i64)>,
}

/// Gauges of the resources that calls hold.
const GAUGES: [&str; 6] = [
    "tandem_media_legs",
    "tandem_media_browser_legs",
    "tandem_media_bridged_legs",
    "tandem_media_taps",
    "tandem_calls_running",
    "tandem_sip_dialogs",
];

impl Tandem {
    /// Starts the binary and waits until it reports that it is ready.
    pub async fn start(setup: &Setup) -> Tandem {
        Tandem::start_in(tempfile::tempdir().expect("a folder for the server's data"), setup).await
    }

    /// Like [`Tandem::start`], with the data folder of an earlier run.
    pub async fn start_in(folder: TempDir, setup: &Setup) -> Tandem {
        let file = folder.path().join("tandem.toml");
        std::fs::write(&file, setup.toml()).expect("the configuration written");
        let mut command = match setup.descriptors {
            None => Command::new(binary("tandem")),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]).arg(binary("tandem"));
                shell
            }
        };
        command.args(["serve", "--config"]).arg(&file).arg("--data").arg(folder.path().join("data"));
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("TANDEM_")) {
            command.env_remove(key);
        }
        if !setup.colours {
            command.env("NO_COLOR", "1");
        }
        command.envs(setup.environment.iter().map(|(key, value)| (key, value)));
        let process = Process::start("tandem", BUILD, &mut command);
        let ready =
            process.line("ready {..}", READY, |line| serde_json::from_str::<Value>(line.strip_prefix("ready ")?).ok());
        let ready = ready.await;
        let text = |value: &Value| value.as_str().expect("text in the ready line").to_owned();
        let address = |value: &Value| {
            let text = text(value);
            let address = text.split_once(':').map_or(text.as_str(), |(_transport, address)| address);
            address.parse().expect("an address in the ready line")
        };
        Tandem {
            http: text(&ready["http"]),
            sip: ready["sip"].as_array().expect("SIP listeners").iter().map(address).collect(),
            metrics: text(&ready["metrics"]),
            client: reqwest::Client::new(),
            folder,
            process: Some(process),
        }
    }

    /// Starts the binary, which must refuse to serve, and returns its output.
    pub async fn fails_in(folder: &TempDir, setup: &Setup) -> String {
        let file = folder.path().join("tandem.toml");
        std::fs::write(&file, setup.toml()).expect("the configuration written");
        let mut command = tokio::process::Command::new(binary("tandem"));
        command.args(["serve", "--config"]).arg(&file).arg("--data").arg(folder.path().join("data"));
        command.env("NO_COLOR", "1").kill_on_drop(true);
        let output = tokio::time::timeout(READY, command.output()).await.expect("it ends").expect("tandem runs");
        assert!(!output.status.success(), "it started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Address of the first SIP listener.
    pub fn sip(&self) -> SocketAddr {
        self.sip[0]
    }

    /// Address of the metrics listener.
    pub fn metrics_listener(&self) -> SocketAddr {
        let address = self.metrics.strip_prefix("http://").and_then(|address| address.parse().ok());
        address.expect("an address in the ready line")
    }

    /// Address of the listener of the pages and the API.
    pub fn http_listener(&self) -> SocketAddr {
        let (_, address) = self.http.split_once("://").expect("a URL");
        address.parse().expect("an address in the ready line")
    }

    /// Path of the data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's process and its output.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("running until it is stopped")
    }

    /// Creates an API key of an organization with the operator's command.
    pub async fn api(&self, organization: &str) -> Api {
        let key = self.operator(&["apikey", "create", "--org", organization]).await;
        Api::new(&self.http, &key)
    }

    /// Creates an agent who can log in and whose SIP user name is `name`.
    pub async fn agent(&self, organization: &str, name: &str) -> Account {
        self.member(organization, name, "admin").await
    }

    /// Creates a member with a role who can log in; `name` is the SIP user name.
    pub async fn member(&self, organization: &str, name: &str, role: &str) -> Account {
        let email = format!("{name}@test.example");
        let arguments = ["user", "create", "--org", organization, "--email", &email, "--role", role];
        let password = self.operator(&arguments).await;
        Account { email, password }
    }

    /// Runs an operator's command, which must succeed, and returns its output.
    pub async fn run_command(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new(binary("tandem"));
        let output = command.args(arguments).arg("--data").arg(self.data()).output().await.expect("tandem runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs an operator's command, which must fail, and returns its output.
    pub async fn run_refused_command(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new(binary("tandem"));
        let output = command.args(arguments).arg("--data").arg(self.data()).output().await.expect("tandem runs");
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    async fn operator(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary("tandem"));
        command.args(arguments).arg("--data").arg(self.data());
        let mut process = Process::start("tandem (operator)", BUILD, &mut command);
        // The secret is a line of its own without spaces; every other line is text with spaces.
        let secret = process.line("a secret", OPERATOR, |line| (!line.contains(' ')).then(|| line.to_owned())).await;
        assert!(process.exited(OPERATOR).await.success(), "{arguments:?} failed");
        secret
    }

    /// Returns a metric's value, summed over all label sets that contain `labels`; 0 if it was never set.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        sum(&self.metrics_page().await, name, labels)
    }

    async fn metrics_page(&self) -> String {
        let page = self.client.get(format!("{}/metrics", self.metrics)).send().await.expect("the metrics page");
        page.text().await.expect("the metrics page's text")
    }

    /// Returns the resources that the server holds now.
    pub async fn holdings(&self) -> Holdings {
        let page = self.metrics_page().await;
        let pid = self.process().pid();
        let sockets = udp_inodes(pid);
        let links: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("the server's open files")
            .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.to_string_lossy().into_owned()))
            .collect();
        let is_udp = |link: &&String| {
            link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).is_some_and(|id| sockets.contains(id))
        };
        let udp_sockets = links.iter().filter(is_udp).count();
        let data = self.folder.path().to_string_lossy().into_owned();
        let descriptors = links.iter().filter(|link| !link.starts_with("socket:") && !link.starts_with(&data)).count();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
            .expect("the server's threads")
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok())
            .filter(|name| !name.starts_with("tokio") && !name.starts_with("sqlx"))
            .count();
        let gauges = GAUGES.iter().map(|name| ((*name).to_owned(), sum(&page, name, "") as i64)).collect();
        Holdings { udp_sockets, descriptors, threads, gauges }
    }

    /// Waits until the server holds exactly `before` again, and still does after every gauge has been updated.
    pub async fn gives_back(&self, before: &Holdings, deadline: Duration) {
        let mut now = self.holdings().await;
        let wait = async {
            let mut again = tokio::time::interval(LOOK);
            let mut since = Instant::now();
            while since.elapsed() < TOLD {
                again.tick().await;
                now = self.holdings().await;
                if now != *before {
                    since = Instant::now();
                }
            }
        };
        let in_time = tokio::time::timeout(deadline, wait).await.is_ok();
        assert!(in_time, "not every resource was released\nbefore {before:?}\nnow    {now:?}");
    }

    /// Waits until a gauge is 0, and still is after it has been updated.
    pub async fn becomes_zero(&self, gauge: &str, deadline: Duration) {
        self.becomes(gauge, "", 0.0, deadline).await;
    }

    /// Waits until a gauge, summed over all label sets that contain `labels`, is `wanted`, and still is after it has been updated.
    pub async fn becomes(&self, gauge: &str, labels: &str, wanted: f64, deadline: Duration) {
        let page = self.metrics_page().await;
        assert!(page.lines().any(|line| line.starts_with(gauge)), "gauge {gauge} does not exist");
        let mut value = f64::NAN;
        let wait = async {
            let mut again = tokio::time::interval(LOOK);
            let mut since = Instant::now();
            while since.elapsed() < TOLD {
                again.tick().await;
                value = self.metric(gauge, labels).await;
                if value != wanted {
                    since = Instant::now();
                }
            }
        };
        let in_time = tokio::time::timeout(deadline, wait).await.is_ok();
        assert!(in_time, "{gauge}{{{labels}}} is still {value} after {deadline:?}, and not {wanted}");
    }

    /// Sends SIGTERM, as a service manager does; [`Tandem::ends`] waits for the end.
    pub fn terminate(&self) {
        self.process().signal(libc::SIGTERM);
    }

    /// Asserts that the server exits successfully by itself within `deadline`.
    pub async fn ends(mut self, deadline: Duration) {
        let mut process = self.process.take().expect("running");
        let status = process.exited(deadline).await;
        assert!(status.success(), "tandem did not end in order: {status}");
        keeps_secrets(&process);
    }

    /// Asserts that the server exits with a failure by itself within `deadline`, and returns its output.
    pub async fn fails(&mut self, deadline: Duration) -> String {
        let mut process = self.process.take().expect("running");
        let status = process.exited(deadline).await;
        assert!(!status.success(), "tandem ended as if all were well");
        keeps_secrets(&process);
        process.output()
    }

    /// Stops the server as an operator does, and asserts that it exits successfully.
    pub async fn stop(mut self) {
        let process = self.process.take().expect("running");
        keeps_secrets(&process);
        let status = process.stop().await;
        assert!(status.success(), "tandem did not end in order: {status}");
    }

    /// Kills the server with SIGKILL and returns its data folder.
    pub async fn kill(mut self) -> TempDir {
        let mut process = self.process.take().expect("running");
        process.signal(libc::SIGKILL);
        process.exited(Duration::from_secs(5)).await;
        std::mem::replace(&mut self.folder, tempfile::tempdir().expect("an empty folder"))
    }
}

/// Every test checks the output of its server for secrets.
fn keeps_secrets(process: &Process) {
    let leaks = leaks(&process.output());
    assert!(leaks.is_empty(), "the server's log contains secrets: {leaks:#?}");
}

/// Path of a binary of the same build, in the folder of this test's (or this program's) own.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    // Tests are in target/PROFILE/deps, programs in target/PROFILE.
    let folder = own.ancestors().find(|folder| folder.ends_with("deps")).or(Some(own.as_path())).and_then(Path::parent);
    let path = folder.expect("programs lie in a folder").join(name);
    assert!(path.exists(), "{} is missing: {BUILD}", path.display());
    path
}

/// Inodes of the UDP sockets in the process's network namespace.
fn udp_inodes(pid: u32) -> std::collections::HashSet<String> {
    ["udp", "udp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|text| {
            text.lines().skip(1).filter_map(|row| row.split_whitespace().nth(9).map(str::to_owned)).collect::<Vec<_>>()
        })
        .collect()
}

fn sum(page: &str, name: &str, labels: &str) -> f64 {
    page.lines()
        .filter_map(|line| {
            let (metric, value) = line.rsplit_once(' ')?;
            let (found, found_labels) = metric.split_once('{').unwrap_or((metric, ""));
            (found == name && found_labels.contains(labels)).then(|| value.parse::<f64>().ok())?
        })
        .sum()
}
