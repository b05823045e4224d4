//! Background jobs, tenant by tenant: due work is added to the store's list once per period, claimed by lease, done,
//! and its result recorded.
//!
//! ```text
//! every 15 s, each tenant:  schedule (one slot per period) ─▶ claim (lease) ─▶ work ─▶ done | retry later | failed
//! ```
//!
//! Invariants: several servers on one database do each job once; the jobs of a server that died are claimed again when
//! their lease runs out; a job that panics or fails is retried with back-off, a bounded number of times. `tandem jobs`
//! lists them.
//!
//! Not here: the table of jobs (`store`).

mod repair;

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::Providers;
use crate::events::Writer;
use crate::store::{By, Deed, Job, OrganizationId, PartId, Store, StoreError, now};

/// Interval between two looks for due work.
const LOOK: Duration = Duration::from_secs(15);
/// Lease of a claimed job, which takes far less.
const LEASE: Duration = Duration::from_secs(300);
/// Time for which ended jobs are listed.
const LISTED: SignedDuration = SignedDuration::from_hours(24 * 14);
/// Recordings removed in one step.
const RECORDINGS: u32 = 100;
/// Time for which partial texts are kept after they were said.
const PARTIALS: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Kinds of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Removes expired sessions and kept answers, hourly.
    SessionsExpire,
    /// Counts the usage of the previous day, daily at midnight UTC.
    UsageRollUp,
    /// Removes data that have become too old, daily at midnight UTC.
    Forget,
    /// Recognises segments that live recognition missed from the recording, every 5 minutes.
    TranscriptsRepair,
}

/// Every kind of work with its name in the store.
pub const WORKS: [(Work, &str); 4] = [
    (Work::SessionsExpire, "sessions.expire"),
    (Work::UsageRollUp, "usage.roll_up"),
    (Work::Forget, "retention.apply"),
    (Work::TranscriptsRepair, "transcripts.repair"),
];

impl Work {
    /// Returns the name and the beginning of the latest period that had begun by `at`.
    fn slot(self, at: Timestamp) -> (String, Timestamp) {
        let civil = at.to_zoned(TimeZone::UTC).datetime();
        match self {
            Work::SessionsExpire => {
                (format!("{}T{:02}", civil.date(), civil.hour()), start(civil.date(), civil.hour(), 0))
            }
            Work::Forget => (civil.date().to_string(), start(civil.date(), 0, 0)),
            Work::TranscriptsRepair => {
                let minute = civil.minute() / 5 * 5;
                let slot = format!("{}T{:02}:{minute:02}", civil.date(), civil.hour());
                (slot, start(civil.date(), civil.hour(), minute))
            }
            Work::UsageRollUp => (day_before(civil.date()).to_string(), start(civil.date(), 0, 0)),
        }
    }
}

fn day_before(day: Date) -> Date {
    day.yesterday().unwrap_or(day)
}

fn start(day: Date, hour: i8, minute: i8) -> Timestamp {
    let begin = day.at(hour, minute, 0, 0).to_zoned(TimeZone::UTC);
    begin.map_or(Timestamp::UNIX_EPOCH, |begin| begin.timestamp())
}

/// Runs jobs until it is cancelled. Without `providers`, missed segments are not recognised. While events wait in the
/// spool, no job runs, because a day must not be counted before its calls are written.
pub(crate) async fn run(store: Store, providers: Option<Providers>, writer: Writer, stopping: CancellationToken) {
    let worker = Uuid::now_v7();
    let mut tick = tokio::time::interval(LOOK);
    let work = async {
        loop {
            tick.tick().await;
            if writer.waiting() > 0 {
                tracing::debug!("jobs wait: events are in the spool");
                continue;
            }
            if let Err(error) = run_round(&store, providers.as_ref(), worker, now()).await {
                tracing::warn!(%error, "jobs wait: the store failed");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopping.cancelled() => {}
    }
}

/// Adds the jobs that are due at `at` and runs those that can be claimed, tenant by tenant.
async fn run_round(
    store: &Store,
    providers: Option<&Providers>,
    worker: Uuid,
    at: Timestamp,
) -> Result<(), StoreError> {
    for organization in store.organization_list().await? {
        for (work, word) in WORKS {
            let (slot, due_at) = work.slot(at);
            store.job_add(organization, word, &slot, due_at).await?;
        }
        while let Some(job) = store.job_claim(organization, worker, LEASE).await? {
            run_job(store, providers, organization, &job, worker).await?;
        }
    }
    Ok(())
}

/// Runs one job and records its result.
async fn run_job(
    store: &Store,
    providers: Option<&Providers>,
    organization: OrganizationId,
    job: &Job,
    worker: Uuid,
) -> Result<(), StoreError> {
    let work = WORKS.iter().find(|(_, word)| *word == job.kind).map(|(work, _)| *work);
    let (inner, providers, slot) = (store.clone(), providers.cloned(), job.slot.clone());
    // In a task of its own, so that a panic fails this job only.
    let done = tokio::spawn(async move {
        match work {
            Some(work) => {
                let done = perform(&inner, providers.as_ref(), organization, work, &slot).await;
                done.map_err(|error| error.to_string())
            }
            None => Err("this version does not know this kind of job".to_owned()),
        }
    });
    let outcome = done.await.unwrap_or_else(|_| Err("the job panicked; the log says where".to_owned()));
    let labels = [("kind", job.kind.clone()), ("outcome", if outcome.is_ok() { "done" } else { "failed" }.to_owned())];
    metrics::counter!("tandem_jobs_total", &labels).increment(1);
    match outcome {
        Ok(result) => {
            tracing::debug!(%organization, kind = job.kind, slot = job.slot, result, "job done");
            store.job_done(organization, job.id, worker, &result).await
        }
        Err(error) => {
            tracing::warn!(%organization, kind = job.kind, slot = job.slot, attempt = job.attempts, error, "job failed");
            store.job_failed(organization, job, worker, &error).await
        }
    }
}

/// Does the work of a job. Returns what was done, in words.
async fn perform(
    store: &Store,
    providers: Option<&Providers>,
    organization: OrganizationId,
    work: Work,
    slot: &str,
) -> Result<String, StoreError> {
    match work {
        Work::SessionsExpire => {
            let sessions = store.session_expire(organization).await?;
            let answers = store.idempotency_expire(organization).await?;
            Ok(format!("{sessions} sessions and {answers} kept answers removed"))
        }
        Work::UsageRollUp => {
            let day = slot.parse().map_err(|_| StoreError::Corrupt { column: "slot" })?;
            store.usage_roll_up(organization, day).await?;
            Ok(format!("{day} counted"))
        }
        Work::Forget => forget(store, organization).await,
        Work::TranscriptsRepair => repair::run(store, providers, organization).await,
    }
}

/// Removes data that are older than the organization's retention times, and data that are no longer of use.
async fn forget(store: &Store, organization: OrganizationId) -> Result<String, StoreError> {
    let days = |days: u32| now() - SignedDuration::from_hours(24 * i64::from(days));
    let settings = store.organization_settings(organization).await?;
    let retention = settings.map(|settings| settings.retention).unwrap_or_default();
    let events = match retention.events_days {
        Some(kept) => store.event_prune(organization, days(kept)).await?,
        None => 0,
    };
    let recordings = match retention.recordings_days {
        Some(kept) => recordings_forget(store, organization, days(kept)).await?,
        None => 0,
    };
    let partials = store.partial_prune(organization, now() - PARTIALS).await?;
    let jobs = store.job_prune(organization, now() - LISTED).await?;
    Ok(format!("{recordings} recordings, {events} events, {partials} partial texts and {jobs} jobs forgotten"))
}

/// Removes recordings from before `before`. The file goes first, because a file without a row would never be found
/// again.
async fn recordings_forget(store: &Store, organization: OrganizationId, before: Timestamp) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    loop {
        let mut went_on = false;
        for (call, file, path) in store.recording_old(organization, before, RECORDINGS).await? {
            match tokio::fs::remove_file(&path).await {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!(%call, ?file, %error, "an old recording cannot be removed");
                    continue;
                }
            }
            store.recording_delete(organization, call, file).await?;
            let deed = Deed::new("recording.delete", format!("call:{call}"));
            let deed = if file == PartId::FIRST { deed } else { deed.before(json!(file)) };
            store.audit_append(organization, &[(By::system("retention"), deed)]).await?;
            (forgotten, went_on) = (forgotten + 1, true);
        }
        if !went_on {
            return Ok(forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, NewCall, NewMember, OrganizationChange, Retention, Role, StorePlace};
    use crate::tenant::voice_config::VoiceConfig;

    async fn store() -> (tempfile::TempDir, Store, OrganizationId) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        (folder, store, organization)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_begin_at_the_hour_and_at_midnight_utc() {
        for (work, when, slot, due) in [
            (Work::SessionsExpire, "2026-11-23T00:59:59.999Z", "2026-11-23T00", "2026-11-23T00:00:00Z"),
            (Work::SessionsExpire, "2026-11-23T01:00:00Z", "2026-11-23T01", "2026-11-23T01:00:00Z"),
            (Work::UsageRollUp, "2026-11-23T23:59:59Z", "2026-11-22", "2026-11-23T00:00:00Z"),
            (Work::UsageRollUp, "2026-11-24T00:00:00Z", "2026-11-23", "2026-11-24T00:00:00Z"),
            (Work::Forget, "2026-11-23T23:59:59Z", "2026-11-23", "2026-11-23T00:00:00Z"),
            (Work::Forget, "2026-11-24T00:00:00Z", "2026-11-24", "2026-11-24T00:00:00Z"),
            (Work::TranscriptsRepair, "2026-11-24T07:09:59.999Z", "2026-11-24T07:05", "2026-11-24T07:05:00Z"),
            (Work::TranscriptsRepair, "2026-11-24T07:10:00Z", "2026-11-24T07:10", "2026-11-24T07:10:00Z"),
        ] {
            assert_eq!(work.slot(at(when)), (slot.to_owned(), at(due)), "{work:?} at {when}");
        }
    }

    #[tokio::test]
    async fn the_jobs_of_each_period_run_once_for_every_tenant() {
        let (_folder, store, organization) = store().await;
        let other = store.organization_create("other").await.unwrap().id;
        let new = NewMember { email: "a@example.com", name: "a", password_hash: "h", role: Role::Agent, sip_name: "a" };
        let user = store.user_create(organization, new).await.unwrap().0.id;
        store.session_create(organization, user, "over", now() - SignedDuration::from_secs(1)).await.unwrap();
        store.session_create(organization, user, "runs", now() + SignedDuration::from_secs(60)).await.unwrap();
        let time = now();
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        let (first, second) = tokio::join!(run_round(&store, None, one, time), run_round(&store, None, two, time));
        first.and(second).unwrap();
        run_round(&store, None, one, time).await.unwrap();
        for tenant in [organization, other] {
            let jobs = store.job_list(tenant, 10).await.unwrap();
            assert_eq!(jobs.len(), WORKS.len(), "{jobs:?}");
            assert!(jobs.iter().all(|job| job.state == "done" && job.attempts == 1), "{jobs:?}");
        }
        let jobs = store.job_list(organization, 10).await.unwrap();
        let expired = jobs.iter().find(|job| job.kind == "sessions.expire").unwrap();
        assert_eq!(expired.result.as_deref(), Some("1 sessions and 0 kept answers removed"));
        assert!(store.session_by_hash("runs").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn old_recordings_are_removed_by_retention_and_recorded_in_the_audit_log() {
        let (folder, store, organization) = store().await;
        let (file, kept) = (folder.path().join("old.wav"), folder.path().join("new.wav"));
        let day = SignedDuration::from_hours(24);
        let mut calls = Vec::new();
        for (path, age) in [(&file, 40), (&kept, 10)] {
            std::fs::write(path, "RIFF").unwrap();
            let call = Uuid::now_v7();
            let at = now() - day * age;
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
            let path = path.to_string_lossy().into_owned();
            let recording = |state| Change::Recording {
                call,
                file: PartId::FIRST,
                of_leg: None,
                channels: Vec::new(),
                path: path.clone(),
                state,
                note: None,
                duration_ms: 1_000,
                at,
            };
            let changes = [Change::CallCreated { call: new, at }, recording("started"), recording("finished")];
            store.changes_record(&changes).await.unwrap();
            calls.push(call);
        }
        let told = forget(&store, organization).await.unwrap();
        assert!(told.starts_with("0 recordings") && file.exists(), "no retention time is set: {told}");
        let retention = Retention { recordings_days: Some(30), events_days: None };
        let change = OrganizationChange { retention: Some(retention), ..OrganizationChange::default() };
        store.organization_update(organization, change, &By::system("test")).await.unwrap();
        let told = forget(&store, organization).await.unwrap();
        assert!(told.starts_with("1 recordings"), "{told}");
        assert!(!file.exists() && kept.exists());
        assert!(store.recording_by_call(organization, calls[0]).await.unwrap().is_none());
        assert!(store.recording_by_call(organization, calls[1]).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_failed_job_is_retried_later_a_bounded_number_of_times() {
        let (_folder, store, organization) = store().await;
        let worker = Uuid::now_v7();
        store.job_add(organization, "no.such.work", "x", now()).await.unwrap();
        assert!(!store.job_add(organization, "no.such.work", "x", now()).await.unwrap());
        let job = store.job_claim(organization, worker, LEASE).await.unwrap().unwrap();
        let before = now();
        run_job(&store, None, organization, &job, worker).await.unwrap();
        let again = store.job_list(organization, 1).await.unwrap().remove(0);
        assert_eq!((again.state.as_str(), again.attempts), ("waiting", 1));
        assert!(again.due_at >= before + SignedDuration::from_secs(30), "{again:?}");
        assert!(again.error.is_some_and(|error| error.contains("does not know")));
        assert!(store.job_claim(organization, worker, LEASE).await.unwrap().is_none(), "the retry is not due yet");
        let last = Job { attempts: crate::store::ATTEMPTS_MAX, ..job };
        // The job as its last attempt sees it.
        store.job_add(organization, "no.such.work", "y", now()).await.unwrap();
        let second = store.job_claim(organization, worker, LEASE).await.unwrap().unwrap();
        run_job(&store, None, organization, &Job { attempts: last.attempts, ..second }, worker).await.unwrap();
        let failed = store.job_list(organization, 1).await.unwrap().remove(0);
        assert_eq!((failed.state.as_str(), failed.slot.as_str()), ("failed", "y"));
    }

    #[tokio::test]
    async fn the_job_of_a_dead_worker_is_claimed_by_another() {
        let (_folder, store, organization) = store().await;
        let (dead, alive) = (Uuid::now_v7(), Uuid::now_v7());
        store.job_add(organization, "sessions.expire", "x", now()).await.unwrap();
        let taken = store.job_claim(organization, dead, Duration::ZERO).await.unwrap().unwrap();
        // In the next millisecond its lease has run out.
        let mut claimed = None;
        while claimed.is_none() {
            claimed = store.job_claim(organization, alive, LEASE).await.unwrap();
        }
        let claimed = claimed.unwrap();
        assert_eq!((claimed.id, claimed.attempts), (taken.id, 2));
        // A late result of the dead worker has no effect.
        store.job_done(organization, taken.id, dead, "too late").await.unwrap();
        assert_eq!(store.job_list(organization, 1).await.unwrap()[0].state, "running");
        store.job_done(organization, claimed.id, alive, "done").await.unwrap();
        assert_eq!(store.job_list(organization, 1).await.unwrap()[0].result.as_deref(), Some("done"));
    }
}
