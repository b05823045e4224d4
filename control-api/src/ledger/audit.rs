//! Audit log writer: combines many deeds into one commit when many are added at once.
//!
//! ```text
//! handler ─▶ AuditLog::append ─▶ queue ─▶ one writer: all waiting deeds, per tenant ─▶ store
//!    ▲                                         │
//!    └──────────── written, or failed ◀────────┘
//! ```
//!
//! Invariants: the caller learns whether the deed was written. The queue is bounded; deeds that do not fit are refused and
//! counted.
//!
//! Not here: the content of a row and the chain of rows (`store/audit_log`). Changes of rows write their deed in the
//! same transaction, in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::http::problem::Problem;
use crate::store::{By, Deed, OrganizationId, Store, StoreError};

/// Largest number of deeds that may wait.
const WAITING_MAX: usize = 10_000;
/// Largest number of deeds in one commit.
const TOGETHER_MAX: usize = 256;

/// Handle to the audit log; clones share the queue.
#[derive(Clone)]
pub struct AuditLog {
    store: Store,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    writing: bool,
}

struct Waiting {
    organization: OrganizationId,
    by: By,
    deed: Deed,
    done: oneshot::Sender<bool>,
}

/// Deeds of one tenant, and the senders that report their result.
type Together = (Vec<(By, Deed)>, Vec<oneshot::Sender<bool>>);

/// Error of a deed that could not be written. The server's log has the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct NotWritten;

impl From<NotWritten> for Problem {
    fn from(_: NotWritten) -> Problem {
        Problem::internal()
    }
}

impl AuditLog {
    /// Creates an audit log in this store.
    pub fn new(store: Store) -> AuditLog {
        AuditLog { store, queue: Arc::default() }
    }

    /// Writes a deed and returns when it is committed.
    ///
    /// # Errors
    ///
    /// Returns [`NotWritten`] if the queue is full or the store fails; the request should then fail with 500.
    pub async fn append(&self, organization: OrganizationId, by: By, deed: Deed) -> Result<(), NotWritten> {
        let (done, written) = oneshot::channel();
        let first = {
            let mut queue = self.queue();
            if queue.waiting.len() >= WAITING_MAX {
                metrics::counter!("tandem_audit_refused_total").increment(1);
                return Err(NotWritten);
            }
            queue.waiting.push(Waiting { organization, by, deed, done });
            !std::mem::replace(&mut queue.writing, true)
        };
        if first {
            // In a task of its own, so that a client that disconnects does not cancel the write.
            let log = self.clone();
            tokio::spawn(async move { log.write().await });
        }
        match written.await {
            Ok(true) => Ok(()),
            _ => Err(NotWritten),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the queue is empty.
    async fn write(&self) {
        loop {
            let batch: Vec<Waiting> = {
                let mut queue = self.queue();
                let count = queue.waiting.len().min(TOGETHER_MAX);
                if count == 0 {
                    queue.writing = false;
                    return;
                }
                queue.waiting.drain(..count).collect()
            };
            let mut tenants: BTreeMap<OrganizationId, Together> = BTreeMap::new();
            for Waiting { organization, by, deed, done } in batch {
                let (deeds, askers) = tenants.entry(organization).or_default();
                deeds.push((by, deed));
                askers.push(done);
            }
            for (organization, (deeds, askers)) in tenants {
                let written = self.store.audit_append(organization, &deeds).await;
                if let Err(error) = &written {
                    report_failure(error, deeds.len());
                }
                for asker in askers {
                    // The caller may have gone away.
                    let _gone = asker.send(written.is_ok());
                }
            }
        }
    }
}

fn report_failure(error: &StoreError, deeds: usize) {
    metrics::counter!("tandem_audit_failed_total").increment(deeds as u64);
    tracing::error!(%error, deeds, "cannot write the audit log");
}
