//! Start and stop of the whole server: store, engine, listeners. `tandem serve` and `tandem demo` both use it.
//!
//! ```text
//! folder, lock ─▶ store (`opening`) ─▶ TLS, listeners ─▶ engine ─▶ ingest, admin socket, HTTP ─▶ Running
//! stop: engine ends its calls ─▶ ingest writes the last events ─▶ streams and HTTP end ─▶ store closes
//! ```
//!
//! Invariants: every failure at start is one sentence that says what to do, and leaves nothing running; whatever has to run until
//! the stop is supervised, by name, and the first that ends before it ends the process ([`Running::fault`]).

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

use crate::admin;
use crate::config::Config;
use crate::engine::{self, Budget, Command, Engine, Event, Fault, Listener, StartError, Supervisor};
use crate::events::{Bus, KnownFile, Tenants, Writer, ingest};
use crate::http::{self, Door, Places, connection_bounds};
use crate::jobs;
use crate::opening::{self, Later, Opened};
use crate::private;
use crate::setup::{self, Setup};
use crate::state::AppState;
use crate::store::{SPOOL, Store, StoreError};
use crate::tls::{self, TlsError, TlsListeners};

/// The engine ends its calls within this.
const ENGINE_STOP: Duration = Duration::from_secs(10);
/// The last events are written within this.
const INGEST_STOP: Duration = Duration::from_secs(5);
/// Each task ends within this.
const TASK_STOP: Duration = Duration::from_secs(6);
/// Connections that the system keeps until they are accepted; at most `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// The metrics' histograms are drained this often.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// Free memory goes back to the system this often.
const GIVE_BACK: Duration = Duration::from_secs(15);
/// Buckets of durations, in seconds.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Buckets of mean opinion scores: the grades of ITU-T G.109, and halves below.
const MOS: [f64; 8] = [1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.34, 4.5];

/// Why the server did not start. Each text is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error("{}: {source}; choose with --data a folder that this user owns and may write", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another server uses the data folder.
    #[error("{}: another tandem is running on this data folder; stop it or choose another with --data", .0.display())]
    InUse(PathBuf),
    /// An address is taken or not ours.
    #[error("{key}: cannot listen on {address}: {source}; free the port or change `{key}` in the configuration")]
    Listen {
        /// Configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
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
    /// The admin socket cannot be made.
    #[error(transparent)]
    Admin(#[from] admin::AdminError),
}

/// A running server. [`Running::stop`] ends it properly; dropping it does not.
pub struct Running {
    /// Where pages and API are.
    pub http: SocketAddr,
    /// Where metrics are, unless off.
    pub metrics: Option<SocketAddr>,
    /// SIP listeners with the ports they really have.
    pub sip: Vec<Listener>,
    /// What requests use: store, engine, bus.
    pub state: AppState,
    closing: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    ingest: JoinHandle<()>,
    admin: admin::Listener,
    supervisor: Supervisor,
    faults: mpsc::Receiver<Fault>,
    _lock: File,
}

/// All that can fail before the engine starts.
struct Prepared {
    store: Store,
    /// What connects the store when it is away.
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
    /// Dropped before the launch, it ends what runs already.
    stopping: DropGuard,
    lock: File,
}

/// Starts the server that `config` describes, with its data in `data`.
pub async fn serve(config: Config, data: &Path) -> Result<Running, ServeError> {
    let prepared = prepare(&config, data).await?;
    let engine::Started { engine, events, sip, providers } =
        engine::start(&config, &config.record_dir(data), prepared.tls.sip.clone(), prepared.supervisor.clone()).await?;
    launch(prepared, config, data, Launched { engine, events, sip, providers: Some(providers) }).await
}

/// Like [`serve`], over an engine that runs already.
pub async fn serve_with(
    config: Config,
    data: &Path,
    engine: Engine,
    events: mpsc::Receiver<Event>,
) -> Result<Running, ServeError> {
    let prepared = prepare(&config, data).await?;
    launch(prepared, config, data, Launched { engine, events, sip: Vec::new(), providers: None }).await
}

/// An engine that runs, and what it gives us.
struct Launched {
    engine: Engine,
    events: mpsc::Receiver<Event>,
    sip: Vec<engine::Listener>,
    /// `None`: an engine of somebody else's making, which keeps them for itself.
    providers: Option<engine::Providers>,
}

async fn prepare(config: &Config, data: &Path) -> Result<Prepared, ServeError> {
    tls::install_provider();
    private_folder(data)?;
    private_folder(&config.record_dir(data))?;
    let lock = lock(data)?;
    // SQLite lies in a file of this machine: without it there is nothing to start with.
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
        None => state.is_fresh().await?,
    };
    if fresh {
        let path = data.to_owned();
        let begun = Setup::begin(&state.config, http_address, data);
        state.setup = Some(Arc::new(begun.map_err(|source| ServeError::Folder { path, source })?));
    } else {
        setup::forget(data);
    }
    let ingest = ingest(tenants.clone(), engine, bus, Arc::clone(&state.limits), writer.clone(), events);
    let ingest = supervisor.spawn("ingest", ingest);
    let served = admin::Served {
        store: store.clone(),
        passwords: state.passwords.clone(),
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
        supervisor.spawn("HTTP", http::serve(door, crate::app(state.clone()), closing.clone())),
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
        tasks.push(supervisor.spawn("metrics", http::serve(door, page, closing.clone())));
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
    /// Where a browser on this machine finds the pages.
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

    /// The code that the first sign-up needs, while it needs one.
    pub async fn signup_code(&self) -> Option<&str> {
        let code = self.state.setup.as_ref()?.code()?;
        matches!(self.state.is_fresh().await, Ok(true)).then_some(code)
    }

    /// Waits until something that has to run has ended: [`Running::stop`] then saves what can be saved, and the process ends.
    pub async fn fault(&mut self) -> Fault {
        match self.faults.recv().await {
            Some(fault) => fault,
            // The supervisor is ours, and holds the other end.
            None => std::future::pending().await,
        }
    }

    /// Takes no new calls, and waits until the running ones have ended, or the time of `sip.drain_s` is over.
    ///
    /// # Errors
    /// Something that has to run has ended meanwhile.
    pub async fn drain(&mut self) -> Result<(), Fault> {
        let limit = Duration::from_secs(self.state.config.sip.drain_s.into());
        let drained = tokio::select! {
            drained = timeout(limit, self.state.engine.command(Command::Drain)) => drained,
            Some(fault) = self.faults.recv() => return Err(fault),
        };
        match drained {
            Ok(Ok(_)) => tracing::info!("no call is running any more"),
            Ok(Err(error)) => tracing::warn!(%error, "the engine was not there to be drained"),
            Err(_) => tracing::warn!(after = ?limit, "calls are still running: they are ended now"),
        }
        Ok(())
    }

    /// Ends every call, writes down what is left to write, closes everything.
    pub async fn stop(self) {
        self.supervisor.stopping();
        match timeout(ENGINE_STOP, self.state.engine.command(Command::Shutdown)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the engine was not there to be stopped"),
            Err(_) => tracing::error!("the engine did not stop in time"),
        }
        if timeout(INGEST_STOP, self.ingest).await.is_err() {
            tracing::error!("the last events could not be written in time");
        }
        self.state.stopping.cancel();
        self.closing.cancel();
        self.admin.close().await;
        for task in self.tasks {
            // A task that panicked was logged by the panic hook.
            let _ended = timeout(TASK_STOP, task).await;
        }
        self.state.store.close().await;
    }
}

fn private_folder(path: &Path) -> Result<(), ServeError> {
    private::folder(path).map_err(|source| ServeError::Folder { path: path.to_owned(), source })
}

/// Makes the data folder and holds it, so that no server runs on it meanwhile.
pub fn claim(data: &Path) -> Result<File, ServeError> {
    private_folder(data)?;
    lock(data)
}

/// Held for the life of the server; the system frees it when the process ends, however it ends.
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
        // Connections of a stopped server linger in TIME_WAIT and would keep the port taken.
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
            // Off the async threads: it takes the allocator's locks.
            _ = give_back.tick() => drop(tokio::task::spawn_blocking(engine::memory::give_back)),
            () = stopping.cancelled() => return,
        }
    }
}

/// The process's one metrics recorder, made at the first start.
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
                tracing::warn!("another metrics recorder is in place; /metrics stays empty");
            }
            handle
        })
        .clone()
}
