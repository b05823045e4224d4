//! The server under test: the binary `tandem`, or its control plane with a simulated engine that sends captions.
//!
//! ```text
//! Server::start    ─▶ tandem serve                 (reads, call starts)
//! Server::captions ─▶ benches control captions     (a complete server; its engine is `captions` below)
//! ```
//!
//! Both are child processes on the server's CPU, with limits and recording off, and are stopped with their handle. Not here:
//! clients.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use control_api::auth::{KeyTerms, api_key_create};
use control_api::config::Config;
use control_api::engine::{CallStatus, Engine, Envelope, Event, EventKind, LagMs, Reply, TranslationEvent, call_id};
use control_api::serve;
use control_api::store::{Change, NewCall, Store, StorePlace, now};
use control_api::tenant::voice_config::VoiceConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Kept;
use crate::cpu;

const STARTING: Duration = Duration::from_secs(30);
/// Organization of every call and key.
const ORGANIZATION: &str = "Bench";

/// A running server, stopped when the value is dropped.
pub(super) struct Server {
    process: Child,
    stdin: Option<ChildStdin>,
    folder: TempDir,
    pub(super) http: SocketAddr,
    sip: Option<SocketAddr>,
    /// API key of the organization.
    pub(super) key: String,
    /// The call that has captions.
    pub(super) call: Uuid,
}

/// A running caller process.
pub(super) struct Caller(Child);

impl Server {
    /// Starts the binary without limits and recording.
    pub(super) async fn start(kept: &Kept, cpu: usize) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let key = prepare(kept, &data).await?;
        let file = folder.path().join("tandem.toml");
        std::fs::write(&file, CONFIG.replace("{store}", &store_toml(kept)))?;
        let binary = std::env::current_exe()?.with_file_name("tandem");
        let mut command = Command::new(&binary);
        command.args(["serve", "--config"]).arg(&file).arg("--data").arg(&data).env("TANDEM_LOG", "warn");
        let (process, stdin, ready) =
            spawn(command, cpu, "ready ").with_context(|| format!("{}: `make bench` builds it", binary.display()))?;
        let http = ready["http"].as_str().and_then(|url| url.rsplit_once('/')).context("no http address")?.1;
        let sip = ready["sip"][0].as_str().and_then(|text| text.strip_prefix("udp:")).context("no SIP address")?;
        let (http, sip) = (http.parse()?, Some(sip.parse()?));
        Ok(Server { process, stdin, folder, http, sip, key, call: Uuid::nil() })
    }

    /// Starts only the control plane; [`Server::speak`] starts the captions.
    pub(super) async fn captions(kept: &Kept, cpu: usize, rate: u32) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let key = prepare(kept, &data).await?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["control", "captions"]).arg(&data);
        command.args([store_url(kept), rate.to_string()]);
        let (process, stdin, ready) = spawn(command, cpu, "ready ")?;
        let http = ready["http"].as_str().context("no http address")?.parse()?;
        let call = ready["call"].as_str().context("no call")?.parse()?;
        Ok(Server { process, stdin, folder, http, sip: None, key, call })
    }

    /// Starts the sending of captions.
    pub(super) fn speak(&mut self, count: u64) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its stdin is closed")?;
        Ok(writeln!(stdin, "{count}")?)
    }

    /// Inserts ended calls into the store and returns their ids.
    pub(super) async fn fill(&self, kept: &Kept, count: usize) -> Result<Vec<Uuid>> {
        let url = store_url(kept);
        let data = self.folder.path().join("data");
        let store = Store::open(&StorePlace::new(&url, &data)).await?;
        let organization = store.organization_by_name(ORGANIZATION).await?.context("no organization")?.id;
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count / 100 {
            let mut changes = Vec::new();
            for _ in 0..100 {
                let call = new_call(organization);
                let id = call.id;
                ids.push(id);
                changes.push(Change::CallCreated { call, at: now() });
                for status in [CallStatus::Ringing, CallStatus::Answered, CallStatus::Ended] {
                    changes.push(Change::CallStatus { call: id, status, cause: Some("normal".into()), at: now() });
                }
            }
            store.changes_record(&changes).await?;
        }
        store.close().await;
        Ok(ids)
    }

    /// Lets sipp call the echo, `rate` times a second.
    pub(super) fn calls(&self, rate: u32, total: u64) -> Result<Caller> {
        let scenario = self.folder.path().join("caller.xml");
        std::fs::write(&scenario, include_str!("../signalling/caller.xml"))?;
        let server = self.sip.context("no SIP here")?.to_string();
        let mut command = Command::new("sipp");
        command.arg(&server).arg("-sf").arg(&scenario).args(["-i", "127.0.0.1", "-nostdin"]);
        command.args(["-r", &rate.to_string(), "-m", &total.to_string(), "-d", "500", "-l", "100000"]);
        command.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        Ok(Caller(command.spawn().context("sipp cannot be started; run `scripts/setup.sh bench`")?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        cpu::terminate(self.process.id());
        // The process ends within its own deadlines.
        let _ended = self.process.wait();
    }
}

impl Caller {
    /// Waits for its end and returns the number of failed runs: 0, or 1 when sipp reports failed calls.
    pub(super) fn failed(mut self) -> Result<u64> {
        Ok(u64::from(!self.0.wait()?.success()))
    }
}

/// Returns the timestamp of an event.
pub(super) fn time_of(data: &str) -> Option<SystemTime> {
    let event: Value = serde_json::from_str(data).ok()?;
    let at: jiff::Timestamp = event["at"].as_str()?.parse().ok()?;
    Some(at.into())
}

/// Returns the time at which a caption was sent, which its text contains.
pub(super) fn said_at(data: &str) -> Option<SystemTime> {
    let event: Value = serde_json::from_str(data).ok()?;
    let micros: u64 = event["text"].as_str()?.parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_micros(micros))
}

fn store_url(kept: &Kept) -> String {
    match kept {
        Kept::Sqlite => "sqlite:tandem.db".into(),
        Kept::Postgres(database) => database.url.clone(),
    }
}

fn store_toml(kept: &Kept) -> String {
    format!("url = {:?}", store_url(kept))
}

/// Creates the schema, the organization and a key.
async fn prepare(kept: &Kept, data: &Path) -> Result<String> {
    let url = store_url(kept);
    let migrate_url = match kept {
        Kept::Sqlite => None,
        Kept::Postgres(database) => Some(database.migrate_url.as_str()),
    };
    let store = Store::open(&StorePlace { url: &url, migrate_url, folder: data }).await?;
    let (_, _, key) = api_key_create(&store, ORGANIZATION, "bench", &KeyTerms::default()).await?;
    store.close().await;
    Ok(key.reveal().to_owned())
}

fn new_call(organization: control_api::store::OrganizationId) -> NewCall {
    NewCall {
        id: Uuid::now_v7(),
        organization,
        direction: "inbound",
        mode: None,
        from: Some("+15555550142".into()),
        to: "+34910000001".into(),
        agent: Some("anna".into()),
        config: VoiceConfig { live_translate: true, ..VoiceConfig::default() },
    }
}

/// Starts a process on a CPU and waits for the line that contains its address.
fn spawn(mut command: Command, cpu: usize, prefix: &'static str) -> Result<(Child, Option<ChildStdin>, Value)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let started = std::thread::spawn(move || {
        cpu::pin(cpu);
        command.spawn()
    });
    let mut process = started.join().map_err(|_| anyhow::anyhow!("the starting thread panicked"))??;
    let stdin = process.stdin.take();
    let stdout = BufReader::new(process.stdout.take().context("the process has no stdout")?);
    let (told, ready) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut told = Some(told);
        // The output is read to its end, because a full pipe would block the process.
        for line in stdout.lines().map_while(Result::ok) {
            if let Some(rest) = line.strip_prefix(prefix)
                && let Some(told) = told.take()
            {
                // The waiting function may have given up.
                let _gone = told.send(rest.to_owned());
            }
        }
    });
    let Ok(ready) = ready.recv_timeout(STARTING) else {
        let _gone = process.kill();
        bail!("the process did not report that it is ready within {STARTING:?}");
    };
    Ok((process, stdin, serde_json::from_str(&ready)?))
}

/// The process `benches control captions`: a complete server whose engine is this function.
pub(super) fn captions(data: &Path, url: &str, rate: u32) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (engine, mut envelopes) = Engine::pair(64);
        tokio::spawn(async move {
            while let Some(Envelope { reply, .. }) = envelopes.recv().await {
                // The caller may have gone away.
                let _gone = reply.send(Ok(Reply::Done));
            }
        });
        let (events, told) = mpsc::channel(4_096);
        let config = Config::from_toml(&CONFIG.replace("{store}", &format!("url = {url:?}")))?;
        let running = serve::serve_with(config, data, engine, told).await?;
        let organization = running.state.store.organization_by_name(ORGANIZATION).await?.context("no organization")?;
        let call = new_call(organization.id);
        let id = call.id;
        running.state.bus.record(vec![Change::CallCreated { call, at: now() }]).await?;
        println!("ready {}", serde_json::json!({ "http": running.http.to_string(), "call": id }));
        let (asked, mut counts) = mpsc::channel(1);
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if asked.blocking_send(line.parse::<u64>().unwrap_or(0)).is_err() {
                    return;
                }
            }
        });
        let mut segment = 0;
        while let Some(count) = counts.recv().await {
            let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / f64::from(rate)));
            for _ in 0..count {
                pace.tick().await;
                segment += 1;
                let kind = EventKind::Translation(caption(segment));
                events.send(Event { at: SystemTime::now(), call: Some(call_id(id)), kind }).await?;
            }
        }
        drop(events);
        running.stop().await;
        Ok(())
    })
}

/// A caption whose text is the time of its sending.
fn caption(segment: u64) -> TranslationEvent {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    TranslationEvent {
        segment,
        leg: "customer".into(),
        source_language: "en".into(),
        target_language: "es".into(),
        text: micros.to_string(),
        translation: None,
        is_final: true,
        unrecognised: false,
        missed: false,
        began_ms_ago: None,
        ended_ms_ago: None,
        lag_ms: LagMs::default(),
        ..TranslationEvent::default()
    }
}

const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
[metrics]
listen = "off"
[sip]
listen = ["udp:127.0.0.1:0"]
drain_s = 0
[media]
address = ["127.0.0.1"]
workers = 1
[store]
{store}
[limits]
default = "off"
[dial]
calls = 0
calls_per_second = 0
[speech]
stt = "wyoming://127.0.0.1:9"
translator = "wyoming://127.0.0.1:9"
tts = "wyoming://127.0.0.1:9"
[[trunks]]
name = "local"
hosts = ["127.0.0.1"]
options_s = 0
[[routes]]
match = "*"
to = "app:echo"
"#;
