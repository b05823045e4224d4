//! Writes events to the store, once and in order, even if the database is unavailable for some time.
//!
//! ```text
//! ingest ─▶ write ─┬─ nothing waits: Store ── away? ─┐
//!                  └─ something waits ───────────────┴─▶ Spool ─▶ replay ─▶ Store
//!                                                                refused ─▶ RefusedFile
//! ```
//!
//! Invariants: changes given to [`Writer::write`] are in the store or in the spool when it returns, unless the spool is full,
//! which is counted. Order is kept. A batch keeps its mark until it is written, even if changes are removed from it. A change
//! that the store refuses permanently is set aside (`refused`), logged and counted, and blocks no other.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bus::Bus;
use super::refused::{RefusedEvent, RefusedFile};
use super::spool::{self, Batch, Kept, Spool, Waiting};
use crate::store::{Change, Mark, Store, StoreError};

/// Time that a batch waits for a store that does not answer. After that it goes to the spool, and the attempt continues under the
/// same mark.
const DIRECT: Duration = Duration::from_secs(2);
/// Pause between attempts while the store is unavailable: the first and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Writer for the engine's events; clones share the spool.
#[derive(Clone, Debug)]
pub struct Writer {
    bus: Bus,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spool: Mutex<Spool>,
    /// Number of bytes that are waiting in the spool, so that queries do not wait for the disk.
    waiting: AtomicU64,
    /// Held while the oldest batch is taken out of the spool.
    draining: tokio::sync::Mutex<()>,
    /// Held while a batch is being written, so that none overtakes another.
    order: tokio::sync::Mutex<()>,
    run: Uuid,
    seq: AtomicI64,
    /// Notified when a batch is put into the spool.
    waits: Notify,
    refused: RefusedFile,
}

impl Writer {
    /// Opens a writer over a bus, with a spool file of the default size and the refused events beside it.
    ///
    /// # Errors
    ///
    /// Fails if the spool file cannot be opened; the operator must repair it or free disk space.
    pub fn open(bus: Bus, spool: &Path) -> std::io::Result<Writer> {
        Writer::open_sized(bus, spool, spool::LIMIT)
    }

    /// Opens a writer over a bus, with a spool file for which `spool_bytes` of disk space are allocated at once.
    ///
    /// # Errors
    ///
    /// Fails if the spool file cannot be opened; the operator must repair it or free disk space.
    pub fn open_sized(bus: Bus, spool: &Path, spool_bytes: u64) -> std::io::Result<Writer> {
        let refused = RefusedFile::in_folder(spool.parent().unwrap_or(Path::new(".")));
        let spool = Spool::open(spool, spool_bytes)?;
        let shared = Shared {
            waiting: AtomicU64::new(spool.waiting()),
            spool: Mutex::new(spool),
            draining: tokio::sync::Mutex::default(),
            order: tokio::sync::Mutex::new(()),
            run: Uuid::now_v7(),
            seq: AtomicI64::new(0),
            waits: Notify::new(),
            refused,
        };
        Ok(Writer { bus, shared: Arc::new(shared) })
    }

    /// Returns the number of bytes of events that are waiting for the database.
    pub fn waiting(&self) -> u64 {
        self.shared.waiting.load(Ordering::Acquire)
    }

    /// Returns the same writer with another handle to its store.
    pub(crate) fn through(&self, store: Store) -> Writer {
        Writer { bus: self.bus.through(store), shared: Arc::clone(&self.shared) }
    }

    /// Writes changes to the store, or to the spool if the store is unavailable.
    pub(crate) async fn write(&self, changes: Vec<Change>) {
        let _order = self.shared.order.lock().await;
        let batch = self.batch(changes);
        if self.waiting() == 0 {
            match timeout(DIRECT, self.record(&batch)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the store does not accept events; they wait in the spool"),
                Err(_) => tracing::warn!(after = ?DIRECT, "the store does not answer; events wait in the spool"),
            }
        }
        self.keep(batch).await;
    }

    /// Writes the events that earlier runs left in the spool. Batches of this run, and those that cannot be written, stay there.
    pub(crate) async fn recover(&self) -> Result<(), StoreError> {
        let waiting = self.waiting();
        if waiting > 0 {
            tracing::warn!(bytes = waiting, "events of an earlier run are waiting in the spool and are now written");
        }
        let own = self.shared.run;
        self.drain(|batch| batch.mark.run != own).await
    }

    /// Writes waiting batches as soon as the store accepts them again. Runs until it is cancelled.
    pub(crate) async fn replay(self, stopping: CancellationToken) {
        let work = async {
            loop {
                self.shared.waits.notified().await;
                let mut pause = PAUSE.0;
                while let Err(error) = self.drain(|_| true).await {
                    metrics::counter!("tandem_store_retries_total").increment(1);
                    tracing::debug!(%error, "the store is still unavailable");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                tracing::info!("the spool is empty; all events are in the store");
            }
        };
        tokio::select! {
            () = work => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Writes waiting batches, oldest first, until none is left, the next one is not `wanted`, or the store is unavailable.
    async fn drain(&self, wanted: impl Fn(&Batch) -> bool) -> Result<(), StoreError> {
        loop {
            let _turn = self.shared.draining.lock().await;
            let oldest = self.blocking(Spool::oldest).await.map_err(spool_error)?;
            let Some((waiting, next)) = oldest else { return Ok(()) };
            match waiting {
                Waiting::Batch(batch) if !wanted(&batch) => return Ok(()),
                Waiting::Batch(batch) => self.record(&batch).await?,
                Waiting::Unreadable(line) => self.keep_refused(vec![RefusedEvent::unreadable(&line)]).await?,
            }
            self.blocking(move |spool| spool.done(next)).await.map_err(spool_error)?;
            self.tell_waiting();
        }
    }

    /// Writes one batch exactly once. Changes that the store refuses permanently are set aside, and the others are written. An
    /// error means that the store is unavailable and the batch must be written again under the same mark.
    async fn record(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut pieces: Vec<(usize, Change)> = batch.changes.iter().cloned().enumerate().collect();
        loop {
            let changes: Vec<Change> = pieces.iter().map(|(_, change)| change.clone()).collect();
            let refused = match self.bus.record_once(batch.mark, changes.clone()).await {
                Err(error) if !error.is_transient() => error,
                done => return done,
            };
            let culprits = self.bus.refused(changes).await?;
            if culprits.is_empty() {
                tracing::error!(error = %refused, "the store refuses to write although no single event is the cause; events wait");
                return Err(refused);
            }
            self.put_aside(batch.mark, &mut pieces, culprits).await?;
        }
    }

    /// Writes refused changes to a file for the operator, and removes them from `pieces`. From the beginning of a call, the part
    /// that no store refuses stays.
    async fn put_aside(
        &self,
        mark: Mark,
        pieces: &mut Vec<(usize, Change)>,
        culprits: Vec<(usize, StoreError)>,
    ) -> Result<(), StoreError> {
        let mut events = Vec::with_capacity(culprits.len());
        for (index, error) in culprits.into_iter().rev() {
            let (piece, change) = pieces.remove(index);
            let (call, kind) = (change.call(), change.kind());
            tracing::error!(%call, kind, %error, "the store refused an event; `tandem refused` shows it");
            events.push(RefusedEvent::new(mark, piece, &change, error.to_string()));
            if let Some(rest) = change.without_texts() {
                pieces.insert(index, (piece, rest));
            }
        }
        events.reverse();
        self.keep_refused(events).await
    }

    async fn keep_refused(&self, events: Vec<RefusedEvent>) -> Result<(), StoreError> {
        let count = events.len() as u64;
        let file = self.shared.refused.clone();
        self.blocking(move |_| file.append(&events)).await.map_err(spool_error)?;
        metrics::counter!("tandem_events_refused_total").increment(count);
        Ok(())
    }

    /// Puts a batch into the spool, without what only current listeners would have received.
    async fn keep(&self, mut batch: Batch) {
        batch.changes.retain(|change| !change.is_passing());
        if batch.changes.is_empty() {
            return;
        }
        let count = batch.changes.len() as u64;
        let kept = self.blocking(move |spool| spool.append(&batch)).await;
        match kept {
            Ok(Kept::Yes) => {
                metrics::counter!("tandem_spool_events_total").increment(count);
                self.shared.waits.notify_one();
            }
            Ok(Kept::Full) => {
                metrics::counter!("tandem_spool_dropped_total").increment(count);
                tracing::error!(
                    events = count,
                    "the spool is full; events are lost until the database is available again"
                );
            }
            Err(error) => {
                metrics::counter!("tandem_spool_dropped_total").increment(count);
                tracing::error!(events = count, %error, "cannot write the spool; events are lost");
            }
        }
        self.tell_waiting();
    }

    fn batch(&self, changes: Vec<Change>) -> Batch {
        let seq = self.shared.seq.fetch_add(1, Ordering::Relaxed) + 1;
        Batch { mark: Mark { run: self.shared.run, seq }, changes }
    }

    fn tell_waiting(&self) {
        metrics::gauge!("tandem_spool_bytes").set(self.waiting() as f64);
    }

    fn with_spool<T>(&self, work: impl FnOnce(&mut Spool) -> T) -> T {
        work(&mut self.shared.spool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs file operations on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let writer = self.clone();
        let work = move || {
            writer.with_spool(|spool| {
                let done = work(spool);
                writer.shared.waiting.store(spool.waiting(), Ordering::Release);
                done
            })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }
}

/// Converts an error of the spool into one of the store. It is handled like an unavailable store: nothing is dropped, and the
/// operator must look into it.
fn spool_error(error: std::io::Error) -> StoreError {
    tracing::error!(%error, "cannot read or truncate the event spool");
    StoreError::Spool(error)
}

#[cfg(test)]
mod tests {
    use ::tests::postgres::Postgres;

    use super::*;
    use crate::engine::{
        AmdEvidence, AmdNews, AmdStrip, AmdVerdict, Answer, CallStatus, LagMs, LegRole, LegState, TranslationEvent,
    };
    use crate::store::{NewCall, OrganizationId, Store, StorePlace, StreamFilter, now};
    use crate::tenant::voice_config::VoiceConfig;

    fn created(organization: OrganizationId, call: Uuid) -> Change {
        let new = NewCall {
            id: call,
            organization,
            direction: "inbound",
            mode: None,
            from: None,
            to: "100".into(),
            agent: None,
            config: VoiceConfig::default(),
        };
        Change::CallCreated { call: new, at: now() }
    }

    fn press(call: Uuid, duration_ms: u32) -> Change {
        Change::Dtmf { call, leg: 1, digit: '5', duration_ms, at: now() }
    }

    /// Returns the duration of every key press, in the order of the events.
    async fn presses(store: &Store, organization: OrganizationId) -> Vec<u64> {
        let filter = StreamFilter::Organization { organization, translations: false };
        let events = store.stream_after(&filter, 0, 10_000).await.unwrap();
        let bodies = events.iter().map(|event| serde_json::from_str::<serde_json::Value>(&event.body).unwrap());
        bodies.filter_map(|body| body["duration_ms"].as_u64()).collect()
    }

    /// Returns a change that every store refuses: a second call with the same id.
    fn refused_by_any(organization: OrganizationId, call: Uuid) -> Change {
        created(organization, call)
    }

    /// Every tenth batch contains a change that is refused permanently. Batches wait in the spool, some already written by an
    /// earlier run, and replays are interrupted.
    async fn one_in_ten_is_poisoned(store: Store, folder: &Path) {
        let organization = store.organization_create("acme").await.unwrap().id;
        let call = Uuid::now_v7();
        let spool = folder.join("spool");
        let mut expected = Vec::new();
        for run in 0..3_u32 {
            let bus = Bus::start(store.clone()).await.unwrap();
            let writer = Writer::open(bus, &spool).unwrap();
            if run == 0 {
                writer.write(vec![created(organization, call)]).await;
            }
            for number in 0..40_u32 {
                let first = run * 1_000 + number * 2 + 1;
                let mut changes = vec![press(call, first), press(call, first + 1)];
                expected.extend([u64::from(first), u64::from(first) + 1]);
                if number % 10 == 3 {
                    changes.insert(1, refused_by_any(organization, call));
                }
                writer.keep(writer.batch(changes)).await;
            }
            // Written, but without confirmation, so these batches are written again by the next run.
            let mut at = writer.blocking(Spool::oldest).await.unwrap();
            for _ in 0..25 {
                let Some((Waiting::Batch(batch), next)) = at else { panic!("a batch waits") };
                writer.record(&batch).await.unwrap();
                at = writer.blocking(move |spool| spool.line_at_for_test(next)).await.unwrap();
            }
        }
        let writer = Writer::open(Bus::start(store.clone()).await.unwrap(), &spool).unwrap();
        writer.recover().await.unwrap();
        writer.write(vec![press(call, 9_999)]).await;
        expected.push(9_999);
        assert_eq!(presses(&store, organization).await, expected);
        let refused = super::super::refused_list(folder).unwrap();
        assert_eq!(refused.len(), 12, "each refused event is stored once: {refused:?}");
        assert!(refused.iter().all(|event| (event.call, &*event.kind, event.piece) == (call, "call_created", 1)));
    }

    #[tokio::test]
    async fn refused_events_are_set_aside_and_others_written_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        one_in_ten_is_poisoned(store, folder.path()).await;
    }

    #[tokio::test]
    async fn refused_events_are_set_aside_and_others_written_on_postgresql() {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
        let store = Store::open(&place).await.unwrap();
        one_in_ten_is_poisoned(store.clone(), folder.path()).await;
        store.close().await;
        postgres.stop().await;
    }

    #[tokio::test]
    async fn the_spool_carries_verdicts_of_the_detection_but_no_strips() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let call = Uuid::now_v7();
        let writer = Writer::open(Bus::start(store.clone()).await.unwrap(), &folder.path().join("spool")).unwrap();
        let (role, at) = (LegRole::Customer, now());
        let leg = Change::Leg {
            call,
            leg: 2,
            role,
            state: LegState::Answered,
            peer: "+15555550142".into(),
            agent: None,
            codec: None,
            ending: None,
            at,
        };
        let amd = |news| Change::Amd { call, leg: 2, role, news, at };
        let verdict = AmdVerdict {
            verdict: Answer::Human,
            probability: 0.97,
            decided_at_ms: 1_500,
            action: "connect".into(),
            evidence: AmdEvidence::default(),
        };
        writer.keep(writer.batch(vec![amd(AmdNews::Heard(AmdStrip::default()))])).await;
        assert_eq!(writer.waiting(), 0, "a batch of nothing but strips is not kept");
        let strip = amd(AmdNews::Heard(AmdStrip { from_ms: 500, ..AmdStrip::default() }));
        let changes = vec![created(organization, call), leg, strip, amd(AmdNews::Verdict(verdict))];
        writer.keep(writer.batch(changes)).await;
        let Some((Waiting::Batch(batch), _)) = writer.blocking(Spool::oldest).await.unwrap() else {
            panic!("a batch waits")
        };
        let kinds: Vec<&str> = batch.changes.iter().map(Change::kind).collect();
        assert_eq!(kinds, ["call_created", "leg", "amd"]);
        writer.drain(|_| true).await.unwrap();
        let legs = store.leg_list(organization, call).await.unwrap();
        let amd = legs[0].amd.as_ref().unwrap();
        assert_eq!((amd.verdict, amd.probability, amd.decided_at_ms), (Some(Answer::Human), Some(0.97), Some(1_500)));
    }

    /// Texts that a column or an index does not accept unchanged.
    #[tokio::test]
    async fn a_call_gets_its_row_whatever_its_texts_contain() {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
        let store = Store::open(&place).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let writer = Writer::open(Bus::start(store.clone()).await.unwrap(), &folder.path().join("spool")).unwrap();
        // On a busy machine, slow writes go through the spool.
        let write = async |changes| {
            writer.write(changes).await;
            writer.drain(|_| true).await.unwrap();
        };
        // Incompressible text; otherwise an index entry would not exceed its limit.
        let mut state = 1_u64;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (state >> 33) as u8 % 26)
        };
        let long: String = (0..3_500).map(|_| letter()).collect();
        let page: String = (0..2_000_000).map(|at| if at % 9 == 8 { ' ' } else { letter() }).collect();
        for text in ["\0evil", "\u{1b}[2J", &long, &page] {
            let call = Uuid::now_v7();
            let Change::CallCreated { call: new, at } = created(organization, call) else { unreachable!() };
            let [from, agent] = [Some(text.to_owned()), Some(text.to_owned())];
            let new = NewCall { from, agent, to: text.into(), ..new };
            let status = Change::CallStatus { call, status: CallStatus::Ended, cause: Some(text.into()), at };
            write(vec![Change::CallCreated { call: new, at }, words(call, text), status]).await;
            let shown = store.call_show(organization, call).await.unwrap().expect("the call has its row");
            assert_eq!(shown.status, "ended");
            assert!(shown.to.chars().count() <= 256 && !shown.to.contains(char::is_control), "{}", shown.to);
        }
        // More different words in one call than its full-text index can hold.
        let call = Uuid::now_v7();
        write(vec![created(organization, call)]).await;
        let segment = |n: usize| {
            let mut change = words(call, &page[n * 17_000..(n + 1) * 17_000]);
            if let Change::Translation { event, .. } = &mut change {
                event.segment = n as u64 + 1;
            }
            change
        };
        for some in (0..80).map(segment).collect::<Vec<Change>>().chunks(20) {
            write(some.to_vec()).await;
        }
        let filter = StreamFilter::Translations { organization, call, people: false };
        assert_eq!(store.stream_after(&filter, 0, 1_000).await.unwrap().len(), 80);
        assert_eq!(writer.waiting(), 0);
        assert_eq!(super::super::refused_list(folder.path()).unwrap(), []);
        store.close().await;
        postgres.stop().await;
    }

    fn words(call: Uuid, text: &str) -> Change {
        let event = TranslationEvent {
            segment: 1,
            leg: text.into(),
            source_language: text.into(),
            target_language: text.into(),
            text: text.into(),
            translation: Some(text.into()),
            is_final: true,
            unrecognised: false,
            missed: false,
            began_ms_ago: Some(u64::MAX),
            ended_ms_ago: Some(u64::MAX),
            lag_ms: LagMs::default(),
            ..TranslationEvent::default()
        };
        Change::Translation { call, event, at: now() }
    }

    #[tokio::test]
    async fn a_change_that_the_store_refuses_affects_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let bus = Bus::start(store).await.unwrap();
        let call = Uuid::now_v7();
        let refused = Change::Recording {
            call,
            file: crate::store::PartId::FIRST,
            of_leg: None,
            channels: Vec::new(),
            path: "/r.wav".into(),
            state: "sideways",
            note: None,
            duration_ms: 0,
            at: now(),
        };
        let writer = Writer::open(bus.clone(), &folder.path().join("spool")).unwrap();
        writer.write(vec![created(organization, call), press(call, 1), refused, press(call, 2)]).await;
        let filter = StreamFilter::Organization { organization, translations: false };
        let (events, _) = bus.page(&filter, 0, 10).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| &*event.kind).collect();
        assert_eq!(kinds, ["call.created", "call.dtmf", "call.dtmf"]);
    }

    #[tokio::test]
    async fn a_batch_with_an_unconfirmed_commit_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let bus = Bus::start(store.clone()).await.unwrap();
        let call = Uuid::now_v7();
        let writer = Writer::open(bus.clone(), &folder.path().join("spool")).unwrap();
        writer.write(vec![created(organization, call)]).await;
        // Committed without confirmation: the batch also waits in the spool, as after a crash.
        let batch = writer.batch(vec![press(call, 1), press(call, 2)]);
        store.changes_record_once(batch.mark, &batch.changes).await.unwrap().unwrap();
        writer.keep(batch).await;
        writer.write(vec![press(call, 3)]).await;
        assert!(writer.waiting() > 0, "order is kept, so later events wait too");
        drop(writer);
        let writer = Writer::open(bus.clone(), &folder.path().join("spool")).unwrap();
        writer.recover().await.unwrap();
        assert_eq!((presses(&store, organization).await, writer.waiting()), (vec![1, 2, 3], 0));
        // Readers see the same events as the store.
        let filter = StreamFilter::Organization { organization, translations: false };
        assert_eq!(bus.page(&filter, 0, 10).await.unwrap().0.len(), 4);
    }

    #[tokio::test]
    async fn events_survive_an_outage_of_the_database_in_order_and_once() {
        let mut postgres = Postgres::start().await;
        let database = postgres.database().await;
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
        let store = Store::open(&place).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let bus = Bus::start(store.clone()).await.unwrap();
        let writer = Writer::open(bus.clone(), &folder.path().join("spool")).unwrap();
        let stopping = CancellationToken::new();
        let replay = tokio::spawn(writer.clone().replay(stopping.clone()));
        let call = Uuid::now_v7();
        writer.write(vec![created(organization, call)]).await;
        let mut expected = Vec::new();
        let mut next = async |count: u64| {
            for _ in 0..count {
                expected.push(expected.len() as u64 + 1);
                writer.write(vec![press(call, expected.len() as u32)]).await;
            }
            expected.clone()
        };
        for _ in 0..2 {
            // The database stops and returns while events are being written.
            let ((), _) = tokio::join!(postgres.halt(), next(200));
            next(200).await;
            assert!(writer.waiting() > 0);
            let ((), _) = tokio::join!(postgres.resume(), next(200));
            let told = next(1).await;
            let mut latest = bus.watch();
            let everything = async {
                while presses(&store, organization).await.len() < told.len() {
                    latest.changed().await.unwrap();
                }
            };
            tokio::time::timeout(Duration::from_secs(30), everything).await.expect("everything is written");
            assert_eq!(presses(&store, organization).await, told);
        }
        stopping.cancel();
        replay.await.unwrap();
        store.close().await;
        postgres.stop().await;
    }
}
