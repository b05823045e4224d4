//! Opening of the store at the start or later, so that calls do not have to wait for PostgreSQL.
//!
//! ```text
//! reachable ─▶ schema, checks, seal ─▶ spool of earlier runs ─▶ calls left open are closed ─▶ serve
//! unavailable, but organizations are known from an earlier run ─▶ serve: SIP, media, spool; API 503
//!                        └─▶ repeatedly: the same steps, through a handle of their own ─▶ Store::adopt
//! ```
//!
//! Invariants: nothing reads or writes through the server's handle before these steps are done, so that no call of this run is
//! taken for one that was left open. An error other than unavailability (password, schema, key) ends the start; later, it is
//! logged at every attempt.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::events::{Bus, Tenants, Writer};
use crate::store::{Store, StoreError};

/// Pause between attempts to connect: the first and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Result of opening the store at the start.
pub(crate) enum Opened {
    /// The store is connected.
    Now(Store),
    /// The store is unavailable. This handle fails until it is connected.
    Later(Store),
}

/// Opens the configured store. With `known`, organizations are known from an earlier run, so that the server may start while the
/// store is unavailable.
pub(crate) async fn open(config: &Config, data: &Path, known: bool) -> Result<Opened, StoreError> {
    match connect(config, data).await {
        Ok(store) => Ok(Opened::Now(store)),
        Err(error) if known && error.is_transient() => {
            tracing::error!(%error, "the database is unavailable; calls use saved settings (tandem.known), the API answers 503");
            Ok(Opened::Later(Store::not_connected()))
        }
        Err(error) => Err(error),
    }
}

async fn connect(config: &Config, data: &Path) -> Result<Store, StoreError> {
    Store::open_sealed(&config.store.place(data), &config.store.seal_key(data)).await
}

/// Completes the work of earlier runs: writes their events and closes calls that they left open.
pub(crate) async fn recover(store: &Store, bus: &Bus, writer: &Writer) -> Result<(), StoreError> {
    writer.recover().await?;
    let closed = store.calls_close_left_open().await?;
    if closed > 0 {
        tracing::warn!(closed, "closed calls that were left open by a run that crashed");
    }
    bus.catch_up().await
}

/// Task that connects the store later.
pub(crate) struct Later {
    pub(crate) config: Config,
    pub(crate) data: PathBuf,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) writer: Writer,
    pub(crate) tenants: Tenants,
}

impl Later {
    /// Connects the store, with repeated attempts. Then waits until it is cancelled.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        metrics::gauge!("tandem_store_connected").set(0.0);
        let work = async {
            let mut pause = PAUSE.0;
            while let Err(error) = self.connect_once().await {
                metrics::counter!("tandem_store_connect_failures_total").increment(1);
                tracing::warn!(%error, "the database is not connected yet");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            metrics::gauge!("tandem_store_connected").set(1.0);
            tracing::info!("the database is connected");
            // The supervisor would take the end of this task for a fault.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            () = stopping.cancelled() => {}
        }
    }

    async fn connect_once(&self) -> Result<(), StoreError> {
        let (config, data) = (self.config.clone(), self.data.clone());
        // On a blocking thread, because the compiler cannot prove that sqlx's migrations are `Send`.
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
