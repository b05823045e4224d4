//! The bus: writes changes in order, keeps the latest events at hand, wakes readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::number_call::NumberCalls;
use crate::store::{Change, LegReport, Mark, OrganizationId, Store, StoreError, StoredEvent, StreamFilter};

/// Events kept in memory for readers that are not far behind; older ones come from the store.
const RING: usize = 4_096;
/// A request's write is given up after this.
const REQUEST: Duration = Duration::from_secs(10);
/// A batch of events is given up after this and tried again under the same mark: so long that a slow store gets on, so short that
/// one that hangs does not keep the order for ever.
const BATCH: Duration = Duration::from_secs(120);
/// Passing events that wait for a slow reader before it gets a gap marker.
const PASSING: usize = 1_024;

/// Writes, keeps and tells; clones share it.
#[derive(Clone, Debug)]
pub struct Bus {
    number_calls: NumberCalls,
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Held over commit and publication: events reach the ring in the order of their ids.
    order: tokio::sync::Mutex<()>,
    ring: Mutex<Ring>,
    latest: watch::Sender<i64>,
    passing: broadcast::Sender<Passing>,
    providers: Mutex<BTreeMap<String, Provider>>,
    devices: Mutex<BTreeMap<String, usize>>,
}

#[derive(Debug)]
struct Ring {
    /// Every event after this one is in the ring.
    floor: i64,
    events: VecDeque<StoredEvent>,
}

/// State of a speech provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Provider {
    /// `stt`, `translator` or `tts`.
    pub kind: String,
    /// Its name, such as `local`.
    pub name: String,
    /// `up`, `restarting`, `down` or `unsupported`.
    pub state: String,
    /// What is wrong and what to do.
    pub detail: Option<String>,
}

/// A state that is told but not kept: only the newest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passing {
    /// A provider's state changed; of interest to all.
    Provider(Provider),
    /// An agent's devices changed.
    Registration {
        /// Whose agent.
        organization: OrganizationId,
        /// SIP user name.
        agent: String,
        /// Devices registered now.
        contacts: usize,
    },
    /// How a leg's media does.
    LegReport(LegReport),
}

impl Bus {
    /// A bus over a store; what is in the store already is read from there.
    pub async fn start(store: Store) -> Result<Bus, StoreError> {
        let floor = match store.stream_latest().await {
            // Nobody reads before it is connected, and then it catches up.
            Err(StoreError::Away) => 0,
            latest => latest?,
        };
        let shared = Shared {
            order: tokio::sync::Mutex::new(()),
            ring: Mutex::new(Ring { floor, events: VecDeque::with_capacity(RING) }),
            latest: watch::Sender::new(floor),
            passing: broadcast::Sender::new(PASSING),
            providers: Mutex::new(BTreeMap::new()),
            devices: Mutex::new(BTreeMap::new()),
        };
        Ok(Bus { number_calls: NumberCalls::default(), store, shared: Arc::new(shared) })
    }

    /// The same bus over another handle to its store.
    pub(crate) fn through(&self, store: Store) -> Bus {
        Bus { store, ..self.clone() }
    }

    /// Calls that speak a code: nothing of them is written down.
    pub(crate) fn number_calls(&self) -> &NumberCalls {
        &self.number_calls
    }

    /// Writes changes down and tells their events. Runs to its end even when the caller is dropped: what is
    /// committed is told.
    pub async fn record(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.record_marked(None, changes).await
    }

    /// The same, unless the batch of this mark was written before.
    pub(super) async fn record_once(&self, mark: Mark, changes: Vec<Change>) -> Result<(), StoreError> {
        self.record_marked(Some(mark), changes).await
    }

    /// Which of these changes the store refuses, by their index, and why: `Store::changes_refused`.
    pub(super) async fn refused(&self, changes: Vec<Change>) -> Result<Vec<(usize, StoreError)>, StoreError> {
        self.store.changes_refused(&changes).await
    }

    async fn record_marked(&self, mark: Option<Mark>, changes: Vec<Change>) -> Result<(), StoreError> {
        let bus = self.clone();
        let work = tokio::spawn(async move {
            let most = if mark.is_some() { BATCH } else { REQUEST };
            let write = async {
                let order = bus.shared.order.lock().await;
                let written = match mark {
                    None => bus.store.changes_record(&changes).await.map(Some),
                    Some(mark) => bus.store.changes_record_once(mark, &changes).await,
                };
                written.map(|written| (order, written))
            };
            let written = timeout(most, write).await.unwrap_or_else(|_| {
                metrics::counter!("tandem_store_timeouts_total").increment(1);
                tracing::warn!(after = ?most, "the store did not answer in time: this write is given up, and tried again if it is a batch of events");
                Err(StoreError::Away)
            });
            let (_order, written) = written?;
            let Some(written) = written else { return bus.catch_up().await };
            if written.unknown > 0 {
                metrics::counter!("tandem_events_of_unknown_calls_total").increment(written.unknown as u64);
            }
            bus.publish(written.events);
            written.reports.into_iter().for_each(|report| bus.pass(Passing::LegReport(report)));
            Ok(())
        });
        work.await.unwrap_or_else(|error| Err(StoreError::Migrate(format!("writing an event failed: {error}"))))
    }

    /// Events were committed that were not told: readers take them from the store.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        let latest = self.store.stream_latest().await?;
        let mut ring = self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.events.clear();
        ring.floor = latest;
        drop(ring);
        self.shared.latest.send_replace(latest);
        Ok(())
    }

    fn publish(&self, events: Vec<StoredEvent>) {
        let Some(latest) = events.last().map(|event| event.id) else { return };
        metrics::counter!("tandem_events_total").increment(events.len() as u64);
        let mut ring = self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if ring.events.len() == RING
                && let Some(gone) = ring.events.pop_front()
            {
                ring.floor = gone.id;
            }
            ring.events.push_back(event);
        }
        drop(ring);
        self.shared.latest.send_replace(latest);
    }

    /// Up to `limit` wanted events after `after`, and the id up to which there is nothing more to see.
    pub async fn page(
        &self,
        filter: &StreamFilter,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<StoredEvent>, i64), StoreError> {
        let latest = *self.shared.latest.borrow();
        if let Some(found) = self.ring_after(filter, after, limit) {
            return Ok(found);
        }
        let events = self.store.stream_after(filter, after, limit as u32).await?;
        let seen = match events.last() {
            Some(last) if events.len() == limit => last.id,
            Some(last) => last.id.max(latest),
            None => after.max(latest),
        };
        Ok((events, seen))
    }

    /// From memory, when memory reaches back far enough.
    fn ring_after(&self, filter: &StreamFilter, after: i64, limit: usize) -> Option<(Vec<StoredEvent>, i64)> {
        let ring = self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if after < ring.floor {
            return None;
        }
        let from = ring.events.partition_point(|event| event.id <= after);
        let mut found = Vec::new();
        for event in ring.events.range(from..) {
            if filter.matches(event) {
                found.push(event.clone());
                if found.len() == limit {
                    return Some((found, event.id));
                }
            }
        }
        Some((found, ring.events.back().map_or(after, |last| last.id.max(after))))
    }

    /// The last event of all tenants.
    pub fn latest(&self) -> i64 {
        *self.shared.latest.borrow()
    }

    /// Wakes when there is more.
    pub(crate) fn watch(&self) -> watch::Receiver<i64> {
        self.shared.latest.subscribe()
    }

    /// What is told and not kept.
    pub(super) fn passing(&self) -> broadcast::Receiver<Passing> {
        self.shared.passing.subscribe()
    }

    /// Tells what is not kept. The newest state of each provider and agent is remembered for those who ask later.
    pub fn pass(&self, passing: Passing) {
        if let Passing::Registration { agent, contacts, .. } = &passing {
            let mut devices = self.shared.devices.lock().unwrap_or_else(PoisonError::into_inner);
            match contacts {
                0 => devices.remove(agent),
                _ => devices.insert(agent.clone(), *contacts),
            };
        }
        if let Passing::Provider(provider) = &passing {
            let mut providers = self.shared.providers.lock().unwrap_or_else(PoisonError::into_inner);
            providers.insert(provider.kind.clone(), provider.clone());
        }
        // Nobody listening is no error.
        let _listeners = self.shared.passing.send(passing);
    }

    /// Devices under which an agent is registered now.
    pub fn agent_devices(&self, agent: &str) -> usize {
        let devices = self.shared.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.get(agent).copied().unwrap_or(0)
    }

    /// The newest state of each provider.
    pub fn providers(&self) -> Vec<Provider> {
        let providers = self.shared.providers.lock().unwrap_or_else(PoisonError::into_inner);
        providers.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::engine::CallStatus;
    use crate::store::{NewCall, StorePlace, now};
    use crate::voice_config::VoiceConfig;

    async fn bus() -> (tempfile::TempDir, Bus, OrganizationId) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        (folder, Bus::start(store).await.unwrap(), organization)
    }

    fn created(organization: OrganizationId) -> (Uuid, Change) {
        let id = Uuid::now_v7();
        let call = NewCall {
            id,
            organization,
            direction: "outbound",
            mode: Some("direct".into()),
            from: None,
            to: "+15555550142".into(),
            agent: None,
            config: VoiceConfig::default(),
        };
        (id, Change::CallCreated { call, at: now() })
    }

    #[tokio::test]
    async fn memory_and_store_tell_the_same() {
        let (_folder, bus, organization) = bus().await;
        for _ in 0..20 {
            let (call, change) = created(organization);
            let status = Change::CallStatus { call, status: CallStatus::Ringing, cause: None, at: now() };
            bus.record(vec![change, status]).await.unwrap();
        }
        let filter = StreamFilter::Organization { organization, translations: true };
        for after in [0, 1, 17, 39, 40, 99] {
            for limit in [1, 7, 100] {
                let (memory, _) = bus.ring_after(&filter, after, limit).unwrap();
                let store = bus.store.stream_after(&filter, after, limit as u32).await.unwrap();
                assert_eq!(memory, store, "after {after}, limit {limit}");
            }
        }
    }

    #[tokio::test]
    async fn a_reader_behind_the_ring_reads_from_the_store() {
        let (_folder, bus, organization) = bus().await;
        let (call, change) = created(organization);
        bus.record(vec![change]).await.unwrap();
        let press = |n: usize| Change::Dtmf {
            call,
            leg: 1,
            digit: char::from(b'0' + (n % 10) as u8),
            duration_ms: 100,
            at: now(),
        };
        bus.record((0..RING + 100).map(press).collect()).await.unwrap();
        let filter = StreamFilter::Organization { organization, translations: false };
        assert!(bus.ring_after(&filter, 0, 10).is_none());
        let (mut after, mut seen) = (0, 0);
        loop {
            let (events, upto) = bus.page(&filter, after, 256).await.unwrap();
            if events.is_empty() {
                break;
            }
            assert!(events.iter().all(|event| event.id > after));
            seen += events.len();
            after = upto;
        }
        assert_eq!((seen, after), (RING + 101, bus.latest()));
    }

    #[tokio::test]
    async fn a_call_that_is_over_stays_over() {
        let (_folder, bus, organization) = bus().await;
        let (call, change) = created(organization);
        let status =
            |status, cause: Option<&str>| Change::CallStatus { call, status, cause: cause.map(Into::into), at: now() };
        bus.record(vec![
            change,
            status(CallStatus::Answered, None),
            status(CallStatus::Ended, Some("normal")),
            status(CallStatus::Bridged, None),
            status(CallStatus::Failed, Some("internal")),
        ])
        .await
        .unwrap();
        let shown = bus.store.call_show(organization, call).await.unwrap().unwrap();
        assert_eq!((shown.status.as_str(), shown.ended_reason.as_deref()), ("ended", Some("normal")));
        assert_eq!(bus.latest(), 3);
    }

    #[tokio::test]
    async fn calls_left_open_by_a_crash_are_closed_at_start() {
        let (_folder, bus, organization) = bus().await;
        let (answered, first) = created(organization);
        let (queued, second) = created(organization);
        bus.record(vec![
            first,
            second,
            Change::CallStatus { call: answered, status: CallStatus::Bridged, cause: None, at: now() },
            Change::Recording {
                call: answered,
                file: crate::store::PartId::FIRST,
                of_leg: None,
                channels: Vec::new(),
                path: "/r.wav".into(),
                state: "started",
                note: None,
                duration_ms: 0,
                at: now(),
            },
        ])
        .await
        .unwrap();
        assert_eq!(bus.store.calls_close_left_open().await.unwrap(), 2);
        assert_eq!(bus.store.calls_close_left_open().await.unwrap(), 0);
        let show = async |id| bus.store.call_show(organization, id).await.unwrap().unwrap();
        assert_eq!(show(answered).await.status, "ended");
        assert_eq!(show(queued).await.status, "failed");
        assert_eq!(show(queued).await.ended_reason.as_deref(), Some("crash"));
        let recording = bus.store.recording_by_call(organization, answered).await.unwrap().unwrap();
        assert_eq!(recording.state, "interrupted");
        assert!(recording.note.is_some() && recording.ended_at.is_some());
    }

    #[tokio::test]
    async fn events_cannot_be_changed_afterwards() {
        let (_folder, bus, organization) = bus().await;
        bus.record(vec![created(organization).1]).await.unwrap();
        let text = bus.store.tamper_for_test(organization).await.unwrap_err().to_string();
        assert!(text.contains("append-only"), "{text}");
    }
}
