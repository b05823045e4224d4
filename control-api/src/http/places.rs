//! Admission of connections: the table of one listener, and each connection's place in it.
//!
//! A connection between two requests may be displaced by another. One whose request is being answered may not, unless the server
//! waits for its client to send the rest of the request or to accept the response. Connections that have shown a valid key or
//! session, that were upgraded, or that come from the operator's reverse proxies, are known: see [`ConnectionTable`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::engine::{ConnectionBounds, ConnectionTable, Standing};

/// Number of displaced connections that may still be closing. Each holds a file descriptor until it is closed.
const CLOSING: usize = 16;

/// Returns the limits of a listener with `total` places.
pub(crate) fn connection_bounds(total: usize) -> ConnectionBounds {
    let strangers = total - total / 4;
    let per_address = (strangers / 3).clamp(2, 128);
    ConnectionBounds { total, strangers, per_address, per_site: per_address * 4 }
}

/// Connections of one listener.
#[derive(Clone)]
pub(crate) struct Places(Arc<Table>);

struct Table {
    name: &'static str,
    seats: Mutex<Seats>,
    /// Sockets that may be open, with or without a place.
    sockets: Arc<Semaphore>,
    next: AtomicU64,
    /// Refused and displaced connections since they were last logged.
    refused: AtomicU64,
    displaced: AtomicU64,
}

struct Seats {
    table: ConnectionTable<u64>,
    /// Tokens that are cancelled to displace a connection.
    tokens: HashMap<u64, CancellationToken>,
}

impl Places {
    /// Creates an empty table.
    pub(crate) fn new(name: &'static str, bounds: ConnectionBounds) -> Places {
        let sockets = Arc::new(Semaphore::new(bounds.total + CLOSING));
        let seats = Mutex::new(Seats { table: ConnectionTable::new(bounds), tokens: HashMap::new() });
        let (next, refused, displaced) = Default::default();
        Places(Arc::new(Table { name, seats, sockets, next, refused, displaced }))
    }

    /// Waits until another socket may be open.
    pub(crate) async fn socket(&self) -> Socket {
        Socket(Arc::clone(&self.0.sockets).acquire_owned().await.ok())
    }

    /// Returns a place for a connection from `address`, possibly by displacing another one. `None` means that there is none.
    pub(crate) fn admit(&self, socket: Socket, address: IpAddr, is_proxy: bool) -> Option<Place> {
        let table = &self.0;
        let (id, now) = (table.next.fetch_add(1, Ordering::Relaxed), Instant::now());
        let standing = if is_proxy { Standing::Known } else { Standing::Stranger };
        let token = CancellationToken::new();
        let mut seats = table.lock();
        match seats.table.admit(id, address, standing, Some(now), now) {
            Ok(displaced) => {
                if let Some(token) = displaced.and_then(|id| seats.tokens.remove(&id)) {
                    table.displaced.fetch_add(1, Ordering::Relaxed);
                    token.cancel();
                }
                seats.tokens.insert(id, token.clone());
            }
            Err(full) => {
                table.refused.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("tandem_http_connections_refused_total", "listener" => table.name, "why" => full.word())
                    .increment(1);
                return None;
            }
        }
        table.tell_count(&seats);
        drop(seats);
        let (asked, answering, upgraded) = Default::default();
        Some(Place { table: Arc::clone(table), id, token, asked, answering, upgraded, _socket: socket })
    }

    /// Returns the number of connections with a place.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().table.len()
    }

    /// Logs the connections that were refused and displaced since the last call.
    pub(crate) fn tell(&self, listener: &'static str) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let (refused, displaced) = (take(&self.0.refused), take(&self.0.displaced));
        if refused + displaced > 0 {
            tracing::warn!(listener, refused, displaced, "too many HTTP connections from unknown clients");
        }
    }
}

impl Table {
    fn lock(&self) -> std::sync::MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_count(&self, seats: &Seats) {
        metrics::gauge!("tandem_http_connections", "listener" => self.name).set(seats.table.len() as f64);
    }
}

/// Place of one connection. It is released when the last holder drops it; an upgraded connection keeps it.
pub(crate) struct Place {
    table: Arc<Table>,
    id: u64,
    token: CancellationToken,
    asked: AtomicBool,
    answering: AtomicBool,
    upgraded: AtomicBool,
    _socket: Socket,
}

/// Right to have a socket open, until it is dropped.
pub(crate) struct Socket(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

impl Place {
    /// Returns when another connection has been given this place.
    pub(crate) async fn displaced(&self) {
        self.token.cancelled().await;
    }

    /// Returns whether a complete request has arrived.
    pub(crate) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Marks the connection as answering a request until the returned value is dropped.
    pub(crate) fn busy(place: &Arc<Place>) -> Busy {
        place.asked.store(true, Ordering::Relaxed);
        place.answering.store(true, Ordering::Relaxed);
        place.idle_since(None);
        Busy(Arc::clone(place))
    }

    /// Marks the connection as known: its client has shown a valid key or session.
    pub(crate) fn proven(&self) {
        self.table.lock().table.set_standing(self.id, Standing::Known);
    }

    /// Marks the connection as upgraded. The new protocol has limits of its own.
    pub(crate) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
        let mut seats = self.table.lock();
        seats.table.set_standing(self.id, Standing::Known);
        seats.table.set_idle_since(self.id, None);
    }

    /// Returns whether the connection was upgraded.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    /// Records that the client accepts nothing (`true`), or something again.
    pub(super) fn stalls(&self, stalls: bool) {
        let idle = stalls || !self.answering.load(Ordering::Relaxed);
        self.idle_since(idle.then(Instant::now));
    }

    /// Records that the server waits for the rest of a request's body (`true`), or that some of it has arrived.
    pub(super) fn awaits_body(&self, awaits: bool) {
        self.idle_since(awaits.then(Instant::now));
    }

    fn idle_since(&self, idle_since: Option<Instant>) {
        if !self.is_upgraded() {
            self.table.lock().table.set_idle_since(self.id, idle_since);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.table.lock();
        seats.table.leave(self.id);
        seats.tokens.remove(&self.id);
        self.table.tell_count(&seats);
    }
}

/// Marks a request as being answered, until it is dropped.
pub(crate) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::Relaxed);
        self.0.idle_since(Some(Instant::now()));
    }
}
