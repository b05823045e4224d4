//! Start and stop of the whole server: store, engine, listeners. Used by `tandem serve` and `tandem demo`.
//!
//! ```text
//! folder, lock ─▶ store (`opening`) ─▶ TLS, listeners ─▶ engine ─▶ ingest, admin socket, HTTP ─▶ Running
//! stop: engine ends its calls ─▶ ingest writes the last events ─▶ streams and HTTP end ─▶ store closes
//! ```
//!
//! Invariants: every failure at the start is one sentence that says what to do, and leaves nothing running. Every task that must
//! run until the stop is supervised by name, and the first that ends early ends the process ([`Running::fault`]).

mod metric_table;
mod opening;

pub mod private;

use std::fs::{File, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::opening::{Later, Opened};
use crate::admin;
use crate::config::{Config, engine_settings};
use crate::engine::{self, Budget, Command, Engine, Event, Fault, Listener, StartError, Supervisor};
use crate::events::{Bus, KnownFile, Tenants, Writer, ingest};
use crate::gate::setup::{self, Setup};
use crate::http::listener::{self, Door, Places, connection_bounds};
use crate::http::tls::{self, TlsError, TlsListeners};
use crate::jobs;
use crate::state::AppState;
use crate::store::{SPOOL, Store, StoreError};

/// Time in which the engine must end its calls.
const ENGINE_STOP: Duration = Duration::from_secs(10);
/// Time in which the last events must be written.
const INGEST_STOP: Duration = Duration::from_secs(5);
/// Time in which each task must end.
const TASK_STOP: Duration = Duration::from_secs(6);
/// Number of connections that the system queues until they are accepted; limited by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Interval at which the histograms of the metrics are drained.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// Interval at which free memory is returned to the system.
const GIVE_BACK: Duration = Duration::from_secs(15);
/// Buckets of durations, in seconds.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Buckets of mean opinion scores: the grades of ITU-T G.109, and halves below them.
const MOS: [f64; 8] = [1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.34, 4.5];

/// Reason why the server did not start. Each text is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error("{}: {source}; choose a folder that this user owns and may write with --data", path.display())]
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// Another server uses the data folder.
    #[error("{}: another tandem is running on this data folder; stop it or choose another with --data", .0.display())]
    InUse(PathBuf),
    /// The address is in use or does not belong to this machine.
    #[error("{key}: cannot listen on {address}: {source}; free the port or change `{key}` in the configuration")]
    Listen {
        /// Configuration key of the address.
        key: &'static str,
        /// Address of the listener.
        address: SocketAddr,
        /// Error of the system.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] StartError),
    /// The admin socket cannot be created.
    #[error(transparent)]
    Admin(#[from] admin::AdminError),
}

/// Running server. [`Running::stop`] ends it in an orderly way; dropping it does not.
pub struct Running {
    /// Address of pages and API.
    pub http: SocketAddr,
    /// Address of the metrics, unless they are off.
    pub metrics: Option<SocketAddr>,
    /// SIP listeners with their actual ports.
    pub sip: Vec<Listener>,
    /// State of the request handlers: store, engine, bus.
    pub state: AppState,
    closing: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    ingest: JoinHandle<()>,
    admin: admin::Listener,
    supervisor: Supervisor,
    faults: mpsc::Receiver<Fault>,
    _lock: File,
}

/// Everything that can fail before the engine starts.
struct Prepared {
    store: Store,
    /// Task that connects the store if it is unavailable.
    later: Option<Later>,
    tenants: Tenants,
    bus: Bus,
    writer: Writer,
    http: TcpListener,
    metrics: Option<TcpListener>,
    tls: TlsListeners,
    admin: admin::Listener,
    supervisor: Supervisor,
    faults: mpsc::Receiver<Fault>,
    /// If dropped before the launch, it stops the tasks that are already running.
    stopping: DropGuard,
    lock: File,
}

/// Starts the server that `config` describes, with its data in `data`.
///
/// # Errors
///
/// Fails if the folder, the store, TLS, a listener or the engine cannot be used. The text says what to do; nothing is left
/// running.
pub async fn serve(config: Config, data: &Path) -> Result<Running, ServeError> {
    let prepared = prepare(&config, data).await?;
    let mut settings = engine_settings(&config, &config.record_dir(data));
    settings.sip.tls = prepared.tls.sip.clone();
    let engine::Started { engine, events, sip, providers } =
        engine::start_supervised(settings, prepared.supervisor.clone()).await?;
    launch(prepared, config, data, Launched { engine, events, sip, providers: Some(providers) }).await
}

/// Starts the server with an engine that is already running.
///
/// # Errors
///
/// Fails as [`serve`] does, except for errors of the engine.
pub async fn serve_with(
    config: Config,
    data: &Path,
    engine: Engine,
    events: mpsc::Receiver<Event>,
) -> Result<Running, ServeError> {
    let prepared = prepare(&config, data).await?;
    launch(prepared, config, data, Launched { engine, events, sip: Vec::new(), providers: None }).await
}

/// Running engine with its channels.
struct Launched {
    engine: Engine,
    events: mpsc::Receiver<Event>,
    sip: Vec<engine::Listener>,
    /// Speech providers; `None` for an engine that was started elsewhere and keeps them.
    providers: Option<engine::Providers>,
}

async fn prepare(config: &Config, data: &Path) -> Result<Prepared, ServeError> {
    tls::install_provider();
    private_folder(data)?;
    private_folder(&config.record_dir(data))?;
    let lock = lock(data)?;
    // SQLite is a file on this machine. If it cannot be opened, there is no reason to start.
    let known = config.store.place(data).is_postgres().then(|| KnownFile::new(data, config.store.url.reveal()));
    let opened = opening::open(config, data, known.as_ref().is_some_and(KnownFile::is_there)).await?;
    let (Opened::Now(store) | Opened::Later(store)) = &opened;
    let store = store.clone();
    let tenants = Tenants::open(store.clone(), known);
    let bus = Bus::start(store.clone()).await?;
    let spool = data.join(SPOOL);
    let writer = Writer::open_sized(bus.clone(), &spool, config.store.spool_bytes());
    let writer = writer.map_err(|source| ServeError::Folder { path: spool, source })?;
    let later = match opened {
        Opened::Now(_) => {
            opening::recover(&store, &bus, &writer).await?;
            tenants.first_reading().await;
            None
        }
        Opened::Later(_) => Some(Later {
            config: config.clone(),
            data: data.to_owned(),
            store: store.clone(),
            bus: bus.clone(),
            writer: writer.clone(),
            tenants: tenants.clone(),
        }),
    };
    let stopping = CancellationToken::new().drop_guard();
    let tls = tls::start(config, data, stopping.token())?;
    let http = listen("http.listen", config.http.listen)?;
    let metrics = config.metrics.listen.map(|address| listen("metrics.listen", address)).transpose()?;
    let admin = admin::Listener::bind(data)?;
    let (supervisor, faults) = Supervisor::new();
    Ok(Prepared { store, later, tenants, bus, writer, http, metrics, tls, admin, supervisor, faults, stopping, lock })
}

async fn launch(prepared: Prepared, config: Config, data: &Path, launched: Launched) -> Result<Running, ServeError> {
    let Launched { engine, events, sip, providers } = launched;
    let Prepared {
        store,
        later,
        tenants,
        bus,
        writer,
        http,
        metrics,
        tls,
        mut admin,
        supervisor,
        faults,
        stopping,
        lock,
    } = prepared;
    let exporter = exporter();
    let stopping = stopping.disarm();
    let address_of = |key, listener: &TcpListener, asked| {
        listener.local_addr().map_err(|source| ServeError::Listen { key, address: asked, source })
    };
    let http_address = address_of("http.listen", &http, config.http.listen)?;
    let metrics_address =
        metrics.as_ref().map(|listener| address_of("metrics.listen", listener, http_address)).transpose()?;
    let mut state = AppState::new(config, store.clone(), engine.clone(), bus.clone());
    state.stopping = stopping.clone();
    let fresh = match later {
        Some(_) => tenants.is_empty(),
        None => state.gate.is_fresh().await?,
    };
    if fresh {
        let path = data.to_owned();
        let begun = Setup::begin(&state.config, http_address, data);
        state.gate.setup = Some(Arc::new(begun.map_err(|source| ServeError::Folder { path, source })?));
    } else {
        setup::forget(data);
    }
    let ingest = ingest(tenants.clone(), engine, bus, Arc::clone(&state.limits), writer.clone(), events);
    let ingest = supervisor.spawn("ingest", ingest);
    let served = admin::Served {
        store: store.clone(),
        passwords: state.auth.passwords.clone(),
        engine: state.engine.clone(),
        supervisor: supervisor.clone(),
    };
    admin.serve(served, stopping.clone());
    let budget = Budget::of(engine::descriptor_limit());
    tracing::info!(
        descriptors = budget.limit,
        http = budget.http,
        websockets = budget.websockets,
        sip = budget.sip,
        metrics = budget.metrics,
        "connections that may be open at once"
    );
    let closing = CancellationToken::new();
    let trusted = Arc::clone(&state.config);
    let door = Door {
        name: "http",
        listener: http,
        tls: tls.http,
        places: Places::new("http", connection_bounds(budget.http)),
        is_proxy: Box::new(move |address| trusted.http.trusted_proxies.iter().any(|proxy| proxy.contains(address))),
    };
    let stopping_later = stopping.clone();
    let mut tasks = vec![
        supervisor.spawn("HTTP", listener::serve(door, crate::app(state.clone()), closing.clone())),
        supervisor.spawn("spool", writer.clone().replay(stopping.clone())),
        supervisor.spawn("tenants", tenants.keep_up(stopping.clone())),
        supervisor.spawn("jobs", jobs::run(store, providers, writer, stopping.clone())),
        supervisor.spawn("metrics upkeep", upkeep(exporter.clone(), stopping)),
    ];
    if let Some(later) = later {
        tasks.push(supervisor.spawn("store connection", later.run(stopping_later)));
    }
    if let Some(listener) = metrics {
        let page = Router::new().route("/metrics", get(move || async move { exporter.render() }));
        let places = Places::new("metrics", connection_bounds(budget.metrics));
        let door = Door { name: "metrics", listener, tls: None, places, is_proxy: Box::new(|_| false) };
        tasks.push(supervisor.spawn("metrics", listener::serve(door, page, closing.clone())));
    }
    Ok(Running {
        http: http_address,
        metrics: metrics_address,
        sip,
        state,
        closing,
        tasks,
        ingest,
        admin,
        supervisor,
        faults,
        _lock: lock,
    })
}

impl Running {
    /// Returns the URL at which a browser on this machine finds the pages.
    pub fn url(&self) -> String {
        let config = &self.state.config;
        if let Some(url) = &config.http.public_url {
            return url.to_string();
        }
        let scheme = if config.http.tls.is_on() { "https" } else { "http" };
        let host = if self.http.ip().is_unspecified() { "localhost".into() } else { self.http.ip().to_string() };
        let host = if self.http.is_ipv6() && host.contains(':') { format!("[{host}]") } else { host };
        format!("{scheme}://{host}:{}", self.http.port())
    }

    /// Returns the code that the first sign-up requires, as long as it does.
    pub async fn signup_code(&self) -> Option<&str> {
        let code = self.state.gate.setup.as_ref()?.code()?;
        matches!(self.state.gate.is_fresh().await, Ok(true)).then_some(code)
    }

    /// Waits until a necessary task has ended. Call [`Running::stop`] then, which saves what can be saved, and end the process.
    pub async fn fault(&mut self) -> Fault {
        match self.faults.recv().await {
            Some(fault) => fault,
            // This server owns the supervisor, which holds the other end.
            None => std::future::pending().await,
        }
    }

    /// Accepts no new calls and waits until the running calls have ended, at most for `sip.drain_s`.
    ///
    /// # Errors
    /// Returns the fault if a necessary task has ended meanwhile; the server must then be stopped.
    pub async fn drain(&mut self) -> Result<(), Fault> {
        let limit = Duration::from_secs(self.state.config.sip.drain_s.into());
        let drained = tokio::select! {
            drained = timeout(limit, self.state.engine.command(Command::Drain)) => drained,
            Some(fault) = self.faults.recv() => return Err(fault),
        };
        match drained {
            Ok(Ok(_)) => tracing::info!("all calls have ended"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot drain the engine"),
            Err(_) => tracing::warn!(after = ?limit, "calls are still running and are ended now"),
        }
        Ok(())
    }

    /// Ends all calls, writes the remaining events and closes everything.
    pub async fn stop(self) {
        self.supervisor.stopping();
        match timeout(ENGINE_STOP, self.state.engine.command(Command::Shutdown)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot stop the engine"),
            Err(_) => tracing::error!("the engine did not stop in time"),
        }
        if timeout(INGEST_STOP, self.ingest).await.is_err() {
            tracing::error!("the last events could not be written in time");
        }
        self.state.stopping.cancel();
        self.closing.cancel();
        self.admin.close().await;
        for task in self.tasks {
            // A panic of a task was logged by the panic hook.
            let _ended = timeout(TASK_STOP, task).await;
        }
        self.state.store.close().await;
    }
}

fn private_folder(path: &Path) -> Result<(), ServeError> {
    private::folder(path).map_err(|source| ServeError::Folder { path: path.to_owned(), source })
}

/// Creates the data folder if necessary and locks it, so that no server runs on it meanwhile.
///
/// # Errors
///
/// Fails if the folder cannot be used or another server is running on it; the text says what to do.
pub fn claim(data: &Path) -> Result<File, ServeError> {
    private_folder(data)?;
    lock(data)
}

/// Locks the data folder. The lock is held for the life of the server, and the system releases it when the process ends.
fn lock(data: &Path) -> Result<File, ServeError> {
    let path = data.join("tandem.lock");
    let unusable = |source| ServeError::Folder { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::InUse(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let refused = |source| ServeError::Listen { key, address, source };
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Connections of a stopped server linger in TIME_WAIT and would keep the port in use.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bind().map_err(refused)
}

async fn upkeep(exporter: PrometheusHandle, stopping: CancellationToken) {
    let mut tick = tokio::time::interval(METRICS_UPKEEP);
    let mut give_back = tokio::time::interval(GIVE_BACK);
    loop {
        tokio::select! {
            _ = tick.tick() => exporter.run_upkeep(),
            // On a blocking thread, because it takes the locks of the allocator.
            _ = give_back.tick() => drop(tokio::task::spawn_blocking(engine::memory::give_back)),
            () = stopping.cancelled() => return,
        }
    }
}

/// Returns the metrics recorder of the process, which is created at the first start.
fn exporter() -> PrometheusHandle {
    static EXPORTER: OnceLock<PrometheusHandle> = OnceLock::new();
    EXPORTER
        .get_or_init(|| {
            let mos = Matcher::Full("tandem_media_mos".into());
            let builder = PrometheusBuilder::new()
                .set_buckets(&SECONDS)
                .and_then(|builder| builder.set_buckets_for_metric(mos, &MOS))
                .expect("the lists of buckets are not empty");
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed, so /metrics stays empty");
            }
            metric_table::describe();
            handle
        })
        .clone()
}
