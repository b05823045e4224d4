//! The control plane: reads, call starts, captions to many, search; on SQLite and on PostgreSQL.
//!
//! ```text
//! clients (one CPU) ── HTTP, SSE ─▶ tandem (the other CPU) ─▶ SQLite, or PostgreSQL (the clients' CPU)
//! sipp ─────────────── SIP ───────▶
//! ```
//!
//! client: HTTP at little cost. server: the binary, and one over an engine of ours that speaks captions. search: lists, without HTTP.
//! page: what is kept.

mod client;
mod page;
mod search;
mod server;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use tests::postgres::{Database, Postgres};

use crate::cpu;
use crate::latencies::Latencies;
use client::Connection;
use page::Row;
use server::Server;

/// Authenticated reads a second.
const READS: u32 = 2_000;
/// Over so many connections, after so long a time that is not counted.
const CONNECTIONS: usize = 48;
const WARM_UP_S: u32 = 2;
/// Calls begun a second.
const STARTS: u32 = 300;
/// Listeners of one call's captions, and captions a second.
pub(crate) const LISTENERS: usize = 1_000;
const CAPTIONS: u32 = 10;
/// Calls in the store while it is read.
const CALLS: usize = 5_000;

/// Measures the control plane: reads, call starts, captions, search.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// Folder of results.json and RESULTS.md, whose part about the control plane is written anew; without it results are
    /// printed only.
    #[arg(long)]
    out: Option<PathBuf>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Length of one measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Only these cases: api-reads, call-starts, sse-fanout, call-search.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// CPU of the server.
    #[arg(long, default_value_t = 0)]
    peer_cpu: usize,
    /// CPU of clients and of PostgreSQL.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
}

#[derive(Subcommand, Debug)]
enum Process {
    /// The control plane over an engine that says captions: prints where it is, then talks until its stdin ends.
    Captions {
        /// Data folder.
        data: PathBuf,
        /// Store URL.
        url: String,
        /// Captions a second.
        rate: u32,
    },
}

/// Where rows are kept.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Sqlite,
    Postgres(Database),
}

impl Kept {
    fn name(&self) -> &'static str {
        match self {
            Kept::Sqlite => "sqlite",
            Kept::Postgres(_) => "postgres",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Process::Captions { data, url, rate }) = &arguments.process {
        return server::captions(data, url, *rate);
    }
    let _alone = crate::alone()?;
    // Clients, and what they start, have a CPU of their own; the page is made by a thread that sees them all.
    let rows = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            cpu::pin(arguments.client_cpu);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(measure(arguments))
        });
        clients.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the clients' thread ended by a fault")))
    })?;
    page::write(arguments, &rows)
}

async fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let postgres = Postgres::start().await;
    let mut rows = Vec::new();
    let asked = |case: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == case);
    for run in 1..=arguments.repetitions {
        for case in ["api-reads", "call-starts", "sse-fanout", "call-search"].into_iter().filter(|case| asked(case)) {
            // A store that is filled once is read often enough.
            if case == "call-search" && run > 1 {
                continue;
            }
            for kept in [Kept::Sqlite, Kept::Postgres(postgres.database().await)] {
                let row = match case {
                    "api-reads" => reads(&kept, arguments).await,
                    "call-starts" => starts(&kept, arguments).await,
                    "call-search" => search::search(&kept).await,
                    _ => fan_out(&kept, arguments).await,
                };
                let (rate, latencies, failed) = row.with_context(|| format!("{case} on {}", kept.name()))?;
                let row = Row::new(case, kept.name(), rate, latencies, failed, run);
                println!("{row}");
                rows.push(row);
            }
        }
    }
    postgres.stop().await;
    Ok(rows)
}

/// Rate that was reached, latencies, failures.
type Measured = (f64, Latencies, u64);

/// One call, a page of calls, settings: by an API key, beside each other.
async fn reads(kept: &Kept, arguments: &Arguments) -> Result<Measured> {
    let server = Server::start(kept, arguments.peer_cpu).await?;
    let calls = server.fill(kept, CALLS).await?;
    let mut paths = vec!["/api/voice/config".to_owned(), "/api/calls?limit=20".to_owned()];
    paths.extend(calls.iter().take(6).map(|call| format!("/api/calls/{call}")));
    let of = async |seconds| client::requests(server.http, &server.key, &paths, READS, seconds, CONNECTIONS).await;
    // The database's processes learn its tables and our statements first.
    of(WARM_UP_S).await?;
    let (latencies, failed, took) = of(arguments.seconds).await?;
    Ok((latencies.len() as f64 / took.as_secs_f64(), latencies, failed))
}

/// Calls by SIP to a built-in application: each start becomes a row and events; a latency is from the event's own time
/// until a listener hears of it.
async fn starts(kept: &Kept, arguments: &Arguments) -> Result<Measured> {
    let server = Server::start(kept, arguments.peer_cpu).await?;
    let mut events = Connection::open(server.http).await?.listen("/api/events", &server.key).await?;
    let total = u64::from(STARTS) * u64::from(arguments.seconds);
    let caller = server.calls(STARTS, total)?;
    let begin = Instant::now();
    let (mut latencies, mut created) = (Latencies::default(), 0);
    let patience = Duration::from_secs(u64::from(arguments.seconds) + 10);
    let mut last = begin;
    while created < total {
        let Ok(event) = tokio::time::timeout(patience, events.next()).await else { break };
        let (data, came) = event?;
        if let Some(at) = data.contains("\"call.created\"").then(|| server::time_of(&data)).flatten() {
            latencies.add(at.elapsed().unwrap_or_default());
            created += 1;
            last = came;
        }
    }
    let failed = caller.failed()? + (total - created);
    Ok((created as f64 / (last - begin).as_secs_f64(), latencies, failed))
}

/// Captions of one call to many listeners, and to one that reads nothing.
async fn fan_out(kept: &Kept, arguments: &Arguments) -> Result<Measured> {
    let mut server = Server::captions(kept, arguments.peer_cpu, CAPTIONS).await?;
    let path = format!("/api/calls/{}/translations/stream", server.call);
    let stalled = Connection::open(server.http).await?.listen(&path, &server.key).await?.stall();
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        listeners.push(Connection::open(server.http).await?.listen(&path, &server.key).await?);
    }
    let captions = u64::from(CAPTIONS) * u64::from(arguments.seconds);
    server.speak(captions)?;
    let begin = Instant::now();
    let mut tasks = Vec::new();
    let patience = Duration::from_secs(u64::from(arguments.seconds) + 15);
    for mut events in listeners {
        tasks.push(tokio::spawn(async move {
            let mut latencies = Latencies::default();
            let listen = async {
                while (latencies.len() as u64) < captions {
                    let Ok((data, _)) = events.next().await else { break };
                    if let Some(said) = server::said_at(&data) {
                        latencies.add(said.elapsed().unwrap_or_default());
                    }
                }
            };
            // Who has not heard all by then has failed.
            let _in_time = tokio::time::timeout(patience, listen).await;
            latencies
        }));
    }
    let mut latencies = Latencies::default();
    for task in tasks {
        latencies.merge(task.await?);
    }
    drop(stalled);
    let wanted = captions * LISTENERS as u64;
    let rate = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    let failed = wanted - latencies.len() as u64;
    Ok((rate, latencies, failed))
}
