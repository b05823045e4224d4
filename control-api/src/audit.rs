//! Writing down what was done: many deeds in one commit when many are done at once.
//!
//! ```text
//! handler ─▶ AuditLog::append ─▶ queue ─▶ one writer: all that waits, tenant by tenant ─▶ store
//!    ▲                                         │
//!    └──────────── written, or why not ◀───────┘
//! ```
//!
//! Invariants: whoever appends hears that it is written; the queue is bounded, what does not fit is refused and counted.
//!
//! Not here: what stands in a row and how rows hang together (`store/audit_log`). Changes of a noun's own rows write their
//! deed in the same unit of work, in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::problem::Problem;
use crate::store::{By, Deed, OrganizationId, Store, StoreError};

/// Deeds that may wait.
const WAITING_MAX: usize = 10_000;
/// Deeds in one commit.
const TOGETHER_MAX: usize = 256;

/// The way into the audit log; clones share it.
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

/// A deed could not be written down; the log of the process says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct NotWritten;

impl From<NotWritten> for Problem {
    fn from(_: NotWritten) -> Problem {
        Problem::internal()
    }
}

impl AuditLog {
    /// Into this store.
    pub fn new(store: Store) -> AuditLog {
        AuditLog { store, queue: Arc::default() }
    }

    /// Writes a deed down; returns when it is committed.
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
            // Apart from the request: a client that goes away takes no deed with it.
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

    /// Writes until nothing waits.
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
            let mut tenants: BTreeMap<OrganizationId, (Vec<(By, Deed)>, Vec<oneshot::Sender<bool>>)> = BTreeMap::new();
            for Waiting { organization, by, deed, done } in batch {
                let (deeds, askers) = tenants.entry(organization).or_default();
                deeds.push((by, deed));
                askers.push(done);
            }
            for (organization, (deeds, askers)) in tenants {
                let written = self.store.audit_append(organization, &deeds).await;
                if let Err(error) = &written {
                    failed(error, deeds.len());
                }
                for asker in askers {
                    // Who asked may have gone.
                    let _gone = asker.send(written.is_ok());
                }
            }
        }
    }
}

fn failed(error: &StoreError, deeds: usize) {
    metrics::counter!("tandem_audit_failed_total").increment(deeds as u64);
    tracing::error!(%error, deeds, "the audit log cannot be written");
}
