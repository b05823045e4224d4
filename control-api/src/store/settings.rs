//! Which tenants' settings this server has changed: what decides about calls is read again at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::{OrganizationId, Store};

/// Changes of settings, switches, numbers and members.
#[derive(Debug, Default)]
pub(super) struct Settings {
    version: AtomicU64,
    changed: Mutex<BTreeSet<OrganizationId>>,
    wake: Notify,
}

impl Store {
    /// Another number after every change, by this server, of what decides about incoming calls: settings, switches, numbers,
    /// members.
    pub fn settings_version(&self) -> u64 {
        self.settings.version.load(Ordering::Acquire)
    }

    /// Waits until there are changes, or were since the last time. For one task.
    pub async fn settings_wait(&self) {
        self.settings.wake.notified().await;
    }

    /// The tenants with changes since the last time.
    pub fn settings_take(&self) -> BTreeSet<OrganizationId> {
        std::mem::take(&mut *self.settings.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn settings_changed(&self, organization: OrganizationId) {
        self.settings.version.fetch_add(1, Ordering::AcqRel);
        self.settings.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(organization);
        self.settings.wake.notify_one();
    }
}
