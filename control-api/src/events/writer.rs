//! Writes what happened, once and in order, also when the database is away for a while.
//!
//! ```text
//! ingest ─▶ write ─┬─ nothing waits: Store ── away? ─┐
//!                  └─ something waits ───────────────┴─▶ Spool ─▶ replay ─▶ Store
//!                                                                refused ─▶ RefusedFile
//! ```
//!
//! Invariants: what [`Writer::write`] took is in the store or in the spool when it returns, unless the spool is full,
//! which is counted. Order is kept. A batch keeps its mark until it is written, whatever is taken out of it. A change that
//! the store refuses for good is put aside (`refused`), logged and counted, and holds up no other.

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

/// A batch waits this long for a store that does not answer, then in the spool; the attempt goes on under the same mark.
const DIRECT: Duration = Duration::from_secs(2);
/// Between tries while the store is away: from the first to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The way into the store for what the engine tells; clones share it.
#[derive(Clone, Debug)]
pub struct Writer {
    bus: Bus,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spool: Mutex<Spool>,
    /// Bytes in it that wait, so that whoever asks does not wait for the disk.
    waiting: AtomicU64,
    /// Held while the oldest batch of the spool is taken out.
    draining: tokio::sync::Mutex<()>,
    /// Held while a batch finds its way, so that none overtakes another.
    order: tokio::sync::Mutex<()>,
    run: Uuid,
    seq: AtomicI64,
    /// Something waits.
    waits: Notify,
    refused: RefusedFile,
}

impl Writer {
    /// A writer over a bus, with its spool in a file of the usual size, and refused events beside it.
    pub fn open(bus: Bus, spool: &Path) -> std::io::Result<Writer> {
        Writer::open_sized(bus, spool, spool::LIMIT)
    }

    /// A writer over a bus, with its spool in a file that is given `spool_bytes` of the disk at once.
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

    /// Bytes of events that wait for the database.
    pub fn waiting(&self) -> u64 {
        self.shared.waiting.load(Ordering::Acquire)
    }

    /// The same writer over another handle to its store.
    pub(crate) fn through(&self, store: Store) -> Writer {
        Writer { bus: self.bus.through(store), shared: Arc::clone(&self.shared) }
    }

    /// Writes changes down, or keeps them until that can be done.
    pub(crate) async fn write(&self, changes: Vec<Change>) {
        let _order = self.shared.order.lock().await;
        let batch = self.batch(changes);
        if self.waiting() == 0 {
            match timeout(DIRECT, self.record(&batch)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the store does not take events; they wait in the spool"),
                Err(_) => tracing::warn!(after = ?DIRECT, "the store does not answer; events wait in the spool"),
            }
        }
        self.keep(batch).await;
    }

    /// Writes down what earlier runs left in the spool. What cannot be written stays there, and so does what is of this run.
    pub(crate) async fn recover(&self) -> Result<(), StoreError> {
        let waiting = self.waiting();
        if waiting > 0 {
            tracing::warn!(bytes = waiting, "events of an earlier run wait in the spool; they are written now");
        }
        let own = self.shared.run;
        self.drain(|batch| batch.mark.run != own).await
    }

    /// Runs until it is cancelled: writes what waits, as soon as the store takes it again.
    pub(crate) async fn replay(self, stopping: CancellationToken) {
        let work = async {
            loop {
                self.shared.waits.notified().await;
                let mut pause = PAUSE.0;
                while let Err(error) = self.drain(|_| true).await {
                    metrics::counter!("tandem_store_retries_total").increment(1);
                    tracing::debug!(%error, "the store is still away");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                tracing::info!("the spool is empty: every event is in the store");
            }
        };
        tokio::select! {
            () = work => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Writes what waits, oldest first, until nothing does, the next is not `wanted`, or the store is away.
    async fn drain(&self, wanted: impl Fn(&Batch) -> bool) -> Result<(), StoreError> {
        loop {
            let _turn = self.shared.draining.lock().await;
            let oldest = self.blocking(Spool::oldest).await.map_err(lost)?;
            let Some((waiting, next)) = oldest else { return Ok(()) };
            match waiting {
                Waiting::Batch(batch) if !wanted(&batch) => return Ok(()),
                Waiting::Batch(batch) => self.record(&batch).await?,
                Waiting::Unreadable(line) => self.keep_refused(vec![RefusedEvent::unreadable(&line)]).await?,
            }
            self.blocking(move |spool| spool.done(next)).await.map_err(lost)?;
            self.tell_waiting();
        }
    }

    /// Writes one batch, once. What the store refuses for good is put aside, the rest is written. An error: the store is
    /// away, and the batch is to be tried again under the same mark.
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
                tracing::error!(error = %refused, "the store refuses to write, and no event is to blame; events wait");
                return Err(refused);
            }
            self.put_aside(batch.mark, &mut pieces, culprits).await?;
        }
    }

    /// Keeps refused changes where an operator finds them, and takes them out of `pieces`. Of a call's beginning stays what
    /// no store refuses.
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
        self.blocking(move |_| file.append(&events)).await.map_err(lost)?;
        metrics::counter!("tandem_events_refused_total").increment(count);
        Ok(())
    }

    async fn keep(&self, batch: Batch) {
        let count = batch.changes.len() as u64;
        let kept = self.blocking(move |spool| spool.append(&batch)).await;
        match kept {
            Ok(Kept::Yes) => {
                metrics::counter!("tandem_spool_events_total").increment(count);
                self.shared.waits.notify_one();
            }
            Ok(Kept::Full) => {
                metrics::counter!("tandem_spool_dropped_total").increment(count);
                tracing::error!(events = count, "the spool is full: events are lost until the database is back");
            }
            Err(error) => {
                metrics::counter!("tandem_spool_dropped_total").increment(count);
                tracing::error!(events = count, %error, "the spool cannot be written: events are lost");
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

    /// File work off the async threads.
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

/// A spool that cannot be read is like a store that is away: nothing is dropped, and somebody must look.
fn lost(error: std::io::Error) -> StoreError {
    tracing::error!(%error, "the event spool cannot be read or cut");
    StoreError::Spool(error)
}

#[cfg(test)]
mod tests {
    use ::tests::postgres::Postgres;

    use super::*;
    use crate::engine::{CallStatus, LagMs, TranslationEvent};
    use crate::store::{NewCall, OrganizationId, Store, StorePlace, StreamFilter, now};
    use crate::voice_config::VoiceConfig;

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

    /// How long each key was held, in the order of events.
    async fn presses(store: &Store, organization: OrganizationId) -> Vec<u64> {
        let filter = StreamFilter::Organization { organization, translations: false };
        let events = store.stream_after(&filter, 0, 10_000).await.unwrap();
        let bodies = events.iter().map(|event| serde_json::from_str::<serde_json::Value>(&event.body).unwrap());
        bodies.filter_map(|body| body["duration_ms"].as_u64()).collect()
    }

    /// What every store refuses: a second call of the same identity.
    fn refused_by_any(organization: OrganizationId, call: Uuid) -> Change {
        created(organization, call)
    }

    /// Every tenth batch holds a change that is refused for good; batches wait in the spool, some written by an earlier run,
    /// and replays are cut off in the middle.
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
            // Written, but the end of it was not heard of: what is done comes again with the next run.
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
        assert_eq!(refused.len(), 12, "each refused event is kept, once: {refused:?}");
        assert!(refused.iter().all(|event| (event.call, &*event.kind, event.piece) == (call, "call_created", 1)));
    }

    #[tokio::test]
    async fn refused_events_cost_no_other_and_are_kept_apart_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        one_in_ten_is_poisoned(store, folder.path()).await;
    }

    #[tokio::test]
    async fn refused_events_cost_no_other_and_are_kept_apart_on_postgresql() {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
        let store = Store::open(&place).await.unwrap();
        one_in_ten_is_poisoned(store.clone(), folder.path()).await;
        store.close().await;
        postgres.stop().await;
    }

    /// Texts that a column or an index does not take as they are.
    #[tokio::test]
    async fn a_call_gets_its_row_whatever_its_texts_hold() {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
        let store = Store::open(&place).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let writer = Writer::open(Bus::start(store.clone()).await.unwrap(), &folder.path().join("spool")).unwrap();
        // What takes the store long, on a busy machine, goes by the spool.
        let write = async |changes| {
            writer.write(changes).await;
            writer.drain(|_| true).await.unwrap();
        };
        // Incompressible, or an index would take more than its limit.
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
        // More different words in one call than its index of words can hold.
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
        };
        Change::Translation { call, event, at: now() }
    }

    #[tokio::test]
    async fn a_change_that_the_store_refuses_takes_no_other_with_it() {
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
    async fn a_batch_whose_commit_was_not_heard_of_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let bus = Bus::start(store.clone()).await.unwrap();
        let call = Uuid::now_v7();
        let writer = Writer::open(bus.clone(), &folder.path().join("spool")).unwrap();
        writer.write(vec![created(organization, call)]).await;
        // Committed, but nobody heard: it waits in the spool as well, as a run that crashed leaves it.
        let batch = writer.batch(vec![press(call, 1), press(call, 2)]);
        store.changes_record_once(batch.mark, &batch.changes).await.unwrap().unwrap();
        writer.keep(batch).await;
        writer.write(vec![press(call, 3)]).await;
        assert!(writer.waiting() > 0, "order is kept: what comes later waits too");
        drop(writer);
        let writer = Writer::open(bus.clone(), &folder.path().join("spool")).unwrap();
        writer.recover().await.unwrap();
        assert_eq!((presses(&store, organization).await, writer.waiting()), (vec![1, 2, 3], 0));
        // Readers see the same as the store.
        let filter = StreamFilter::Organization { organization, translations: false };
        assert_eq!(bus.page(&filter, 0, 10).await.unwrap().0.len(), 4);
    }

    #[tokio::test]
    async fn events_survive_a_database_that_goes_away_in_order_and_once() {
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
            // The database goes in the middle of it, comes back in the middle of it.
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
