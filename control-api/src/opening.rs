//! Opening the store at start, also later than that: calls do not wait for PostgreSQL.
//!
//! ```text
//! reachable ─▶ schema, checks, seal ─▶ spool of earlier runs ─▶ calls left open are closed ─▶ serve
//! away, and organizations are known from an earlier run ─▶ serve: SIP, media, spool; API 503
//!                        └─▶ again and again: the same steps, through a handle of their own ─▶ Store::adopt
//! ```
//!
//! Invariants: nothing reads or writes through the server's handle before the steps are done, so that no call of this run is
//! taken for one that was left open. A store that can be reached and is refused (password, schema, key) ends the start; later,
//! it is logged at every try.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::events::{Bus, Tenants, Writer};
use crate::store::{Store, StoreError};

/// Between tries to connect: from the first to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// The store at start.
pub(crate) enum Opened {
    /// It is connected.
    Now(Store),
    /// It is away. This handle to it fails until it is connected.
    Later(Store),
}

/// Opens the store that the configuration names. `known`: organizations are known from an earlier run, so that the server may start
/// while the store is away.
pub(crate) async fn open(config: &Config, data: &Path, known: bool) -> Result<Opened, StoreError> {
    match connect(config, data).await {
        Ok(store) => Ok(Opened::Now(store)),
        Err(error) if known && error.is_transient() => {
            tracing::error!(%error, "the database is away: calls run with the settings of organizations as last read (tandem.known), the API answers 503 until it is back");
            Ok(Opened::Later(Store::not_connected()))
        }
        Err(error) => Err(error),
    }
}

async fn connect(config: &Config, data: &Path) -> Result<Store, StoreError> {
    Store::open_sealed(&config.store.place(data), &config.store.seal_key(data)).await
}

/// Brings a store up to what earlier runs left: their events are written, and calls that they left open are closed.
pub(crate) async fn recover(store: &Store, bus: &Bus, writer: &Writer) -> Result<(), StoreError> {
    writer.recover().await?;
    let closed = store.calls_close_left_open().await?;
    if closed > 0 {
        tracing::warn!(closed, "calls were left open by a run that ended without a word; they are closed");
    }
    bus.catch_up().await
}

/// A store that is connected later.
pub(crate) struct Later {
    pub(crate) config: Config,
    pub(crate) data: PathBuf,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) writer: Writer,
    pub(crate) tenants: Tenants,
}

impl Later {
    /// Runs until it is cancelled: connects the store.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        metrics::gauge!("tandem_store_connected").set(0.0);
        let work = async {
            let mut pause = PAUSE.0;
            while let Err(error) = self.once().await {
                metrics::counter!("tandem_store_connect_failures_total").increment(1);
                tracing::warn!(%error, "the database is not connected yet");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            metrics::gauge!("tandem_store_connected").set(1.0);
            tracing::info!("the database is connected");
            // Whoever supervises it takes an end for a fault.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            () = stopping.cancelled() => {}
        }
    }

    async fn once(&self) -> Result<(), StoreError> {
        let (config, data) = (self.config.clone(), self.data.clone());
        // On a thread of its own: sqlx's migrations cannot be proven to be `Send`.
        let connecting = spawn_blocking(move || Handle::current().block_on(connect(&config, &data)));
        let opened = connecting.await.unwrap_or(Err(StoreError::Away))?;
        let recovered = recover(&opened, &self.bus.through(opened.clone()), &self.writer.through(opened.clone())).await;
        if let Err(error) = recovered {
            opened.close().await;
            return Err(error);
        }
        self.store.adopt(&opened);
        self.tenants.first_reading().await;
        Ok(())
    }
}
