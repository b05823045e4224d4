//! The control plane: reads, call starts, caption fan-out, search; on SQLite and on PostgreSQL.
//!
//! ```text
//! clients (one CPU) ── HTTP, SSE ─▶ tandem (the other CPU) ─▶ SQLite, or PostgreSQL (the clients' CPU)
//! sipp ─────────────── SIP ───────▶
//! ```
//!
//! client: inexpensive HTTP clients. server: the binary, and one with a simulated engine that sends captions. search: lists,
//! without HTTP. page: output.

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

/// Authenticated reads per second.
const READS: u32 = 2_000;
/// Number of connections of the readers.
const CONNECTIONS: usize = 48;
const WARM_UP_S: u32 = 2;
/// Calls started per second.
const STARTS: u32 = 300;
/// Number of listeners to one call's captions.
pub(crate) const LISTENERS: usize = 1_000;
const CAPTIONS: u32 = 10;
/// Number of calls in the store during reads.
const CALLS: usize = 5_000;

/// Measures the control plane: reads, call starts, captions, search.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// Folder of results.json and RESULTS.md, whose section about the control plane is replaced; without it results are only
    /// printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Number of repetitions of each measurement.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Duration of one measurement, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Only these cases: api-reads, call-starts, sse-fanout, call-search.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// CPU of the server.
    #[arg(long, default_value_t = 0)]
    peer_cpu: usize,
    /// CPU of the clients and of PostgreSQL.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
}

#[derive(Subcommand, Debug)]
enum Process {
    /// Runs the control plane with a simulated engine that sends captions: prints its address and runs until its stdin ends.
    Captions {
        /// Data folder of the server.
        data: PathBuf,
        /// URL of its store.
        url: String,
        /// Captions per second.
        rate: u32,
    },
}

/// Database of a measurement.
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
    // Clients, and the processes that they start, have a CPU of their own; the page is made by a thread that sees all CPUs.
    let rows = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            cpu::pin(arguments.client_cpu);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(measure(arguments))
        });
        clients.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the clients' thread panicked")))
    })?;
    page::write(arguments, rows)
}

async fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let postgres = Postgres::start().await;
    let mut rows = Vec::new();
    let asked = |case: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == case);
    for run in 1..=arguments.repetitions {
        for case in ["api-reads", "call-starts", "sse-fanout", "call-search"].into_iter().filter(|case| asked(case)) {
            // The store is filled once, and one run reads it often enough.
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

/// Achieved rate, latencies, failures.
type Measured = (f64, Latencies, u64);

/// Reads one call, a page of calls and the settings with an API key, in parallel.
async fn reads(kept: &Kept, arguments: &Arguments) -> Result<Measured> {
    let server = Server::start(kept, arguments.peer_cpu).await?;
    let calls = server.fill(kept, CALLS).await?;
    let mut paths = vec!["/api/voice/config".to_owned(), "/api/calls?limit=20".to_owned()];
    paths.extend(calls.iter().take(6).map(|call| format!("/api/calls/{call}")));
    let of = async |seconds| client::requests(server.http, &server.key, &paths, READS, seconds, CONNECTIONS).await;
    // The database's processes first load its tables and prepare the statements.
    of(WARM_UP_S).await?;
    let (latencies, failed, took) = of(arguments.seconds).await?;
    Ok((latencies.len() as f64 / took.as_secs_f64(), latencies, failed))
}

/// Places SIP calls to a built-in application. Each start becomes a row and events; a latency is the time from the event's own
/// timestamp until a listener receives it.
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

/// Sends captions of one call to many listeners, one of which reads nothing.
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
            // A listener that has not received everything by then counts as failed.
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
