//! Tracks the tenants whose settings this server has changed, so that the data that decide about calls are reread at
//! once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::{OrganizationId, Store};

/// Tenants with changed settings, switches, numbers or members.
#[derive(Debug, Default)]
pub(super) struct Settings {
    version: AtomicU64,
    changed: Mutex<BTreeSet<OrganizationId>>,
    wake: Notify,
}

impl Store {
    /// Returns a number that grows with every change by this server that affects incoming calls: of settings, switches,
    /// numbers or members.
    pub fn settings_version(&self) -> u64 {
        self.settings.version.load(Ordering::Acquire)
    }

    /// Waits for a change since the last call. Only one task may wait.
    pub async fn settings_wait(&self) {
        self.settings.wake.notified().await;
    }

    /// Returns the tenants with changes since the last call.
    pub fn settings_take(&self) -> BTreeSet<OrganizationId> {
        std::mem::take(&mut *self.settings.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn settings_changed(&self, organization: OrganizationId) {
        self.settings.version.fetch_add(1, Ordering::AcqRel);
        self.settings.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(organization);
        self.settings.wake.notify_one();
    }
}
