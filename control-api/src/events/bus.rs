//! The event bus: writes changes to the store in order, keeps the latest events in memory, and wakes readers.
//!
//! ```text
//! changes ─▶ record ─▶ store (commit) ─▶ ring of the latest events ─▶ watch: id of the last event ─▶ readers: page
//! states  ─▶ pass ─────────────────────▶ broadcast, not stored ─────────────────────────────────▶ readers: passing
//! ```
//!
//! Invariants: events reach the ring in the order of their ids. A committed event is always published, even if its caller is
//! dropped. The ring is bounded; readers that are further behind read from the store.
//!
//! Not here: streams to clients (`sse`) and batches of the engine's events (`writer`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::calls::number_call::NumberCalls;
use crate::store::{Change, LegReport, Mark, OrganizationId, Store, StoreError, StoredEvent, StreamFilter, Written};

/// Number of events kept in memory. Readers that are further behind read from the store.
const RING: usize = 4_096;
/// Time after which a write for a request is given up.
const REQUEST: Duration = Duration::from_secs(10);
/// Time after which a batch of events is given up and repeated under the same mark. It is long enough for a slow store and short
/// enough that a store that hangs does not block the order for ever.
const BATCH: Duration = Duration::from_secs(120);
/// Number of transient states that may wait for a slow reader before it gets a gap marker.
const PASSING: usize = 1_024;

/// Handle to the event bus; clones share it.
#[derive(Clone, Debug)]
pub struct Bus {
    number_calls: NumberCalls,
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Held during commit and publication, so that events reach the ring in the order of their ids.
    order: tokio::sync::Mutex<()>,
    ring: Mutex<Ring>,
    latest: watch::Sender<i64>,
    passing: broadcast::Sender<Passing>,
    providers: Mutex<BTreeMap<String, Provider>>,
    devices: Mutex<BTreeMap<String, usize>>,
}

#[derive(Debug)]
struct Ring {
    /// Id such that every later event is in the ring.
    floor: i64,
    events: VecDeque<StoredEvent>,
}

/// State of a speech provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Provider {
    /// Kind of provider: `stt`, `translator` or `tts`.
    pub kind: String,
    /// Name of the provider, such as `local`.
    pub name: String,
    /// State: `up`, `restarting`, `down` or `unsupported`.
    pub state: String,
    /// Description of the problem and what to do about it, if there is one.
    pub detail: Option<String>,
}

/// Transient state that is published but not stored. Only the newest one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passing {
    /// The state of a provider has changed. Sent to all listeners.
    Provider(Provider),
    /// The registered devices of an agent have changed.
    Registration {
        /// Organization of the agent.
        organization: OrganizationId,
        /// SIP user name of the agent.
        agent: String,
        /// Number of devices that are registered now.
        contacts: usize,
    },
    /// A report on a leg, or unsettled words.
    LegReport(LegReport),
}

impl Bus {
    /// Starts a bus over a store. Events that are already in the store are read from there.
    ///
    /// # Errors
    ///
    /// Fails if the store fails for a reason other than being unavailable; do not start the server then.
    pub async fn start(store: Store) -> Result<Bus, StoreError> {
        let floor = match store.stream_latest().await {
            // There are no readers before the store is connected, and then [`Bus::catch_up`] sets the position.
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

    /// Returns the same bus with another handle to its store.
    pub(crate) fn through(&self, store: Store) -> Bus {
        Bus { store, ..self.clone() }
    }

    /// Returns the verification calls that speak a code. They leave no events.
    pub(crate) fn number_calls(&self) -> &NumberCalls {
        &self.number_calls
    }

    /// Writes changes to the store and publishes their events. It runs to its end even if the caller is dropped, so that every
    /// committed event is published.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Away`] if the store does not answer within 10 s; the caller may try again. Other errors mean that
    /// nothing was written.
    pub async fn record(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.record_marked(None, changes).await
    }

    /// Does the same, unless the batch with this mark has been written before.
    pub(super) async fn record_once(&self, mark: Mark, changes: Vec<Change>) -> Result<(), StoreError> {
        self.record_marked(Some(mark), changes).await
    }

    /// Returns the changes that the store refuses, by index and with the reason (`Store::changes_refused`).
    pub(super) async fn refused(&self, changes: Vec<Change>) -> Result<Vec<(usize, StoreError)>, StoreError> {
        self.store.changes_refused(&changes).await
    }

    async fn record_marked(&self, mark: Option<Mark>, changes: Vec<Change>) -> Result<(), StoreError> {
        let bus = self.clone();
        let work = tokio::spawn(async move {
            let most = if mark.is_some() { BATCH } else { REQUEST };
            let write = async {
                let order = bus.shared.order.lock().await;
                if let Some(reports) = bus.store.passing_reports(&changes) {
                    return Ok((order, Some(Written { reports, ..Written::default() })));
                }
                let written = match mark {
                    None => bus.store.changes_record(&changes).await.map(Some),
                    Some(mark) => bus.store.changes_record_once(mark, &changes).await,
                };
                written.map(|written| (order, written))
            };
            let written = timeout(most, write).await.unwrap_or_else(|_| {
                metrics::counter!("tandem_store_timeouts_total").increment(1);
                tracing::warn!(after = ?most, "the store did not answer in time; this write is given up (a batch is repeated)");
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
        work.await
            .unwrap_or_else(|error| Err(StoreError::Migrate(format!("the task that writes events failed: {error}"))))
    }

    /// Moves the position to the last event in the store. Used when events were committed without being published, so that
    /// readers take them from the store.
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

    /// Returns up to `limit` events after `after` that match the filter, and the id up to which there are no more.
    ///
    /// # Errors
    ///
    /// Fails if the events are not in memory and the store cannot be read; the caller may try again.
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

    /// Returns events from memory, or `None` if memory does not reach back far enough.
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

    /// Returns the id of the last event of all organizations.
    pub fn latest_id(&self) -> i64 {
        *self.shared.latest.borrow()
    }

    /// Returns a receiver that is notified when there are new events.
    pub(crate) fn watch(&self) -> watch::Receiver<i64> {
        self.shared.latest.subscribe()
    }

    /// Returns a receiver of transient states, which are not stored.
    pub(crate) fn passing(&self) -> broadcast::Receiver<Passing> {
        self.shared.passing.subscribe()
    }

    /// Publishes a transient state. The newest state of each provider and agent is remembered for later queries.
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
        // It is not an error if there are no listeners.
        let _listeners = self.shared.passing.send(passing);
    }

    /// Returns the number of devices under which an agent is registered.
    pub fn agent_devices(&self, agent: &str) -> usize {
        let devices = self.shared.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.get(agent).copied().unwrap_or(0)
    }

    /// Returns the newest state of each provider.
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
    use crate::tenant::voice_config::VoiceConfig;

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
    async fn memory_and_store_return_the_same_events() {
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
        assert_eq!((seen, after), (RING + 101, bus.latest_id()));
    }

    #[tokio::test]
    async fn an_ended_call_stays_ended() {
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
        assert_eq!(bus.latest_id(), 3);
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
