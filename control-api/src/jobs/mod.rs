//! Work in the background, tenant by tenant: what is due is put on the store's list once per period, claimed by lease,
//! done, told.
//!
//! ```text
//! every 15 s, each tenant:  schedule (one slot per period) ─▶ claim (lease) ─▶ work ─▶ done | again later | failed
//! ```
//!
//! Invariants: several servers on one database do each job once; a server that dies gives its jobs back when their lease
//! runs out; a job that panics or fails is tried again with back-off, a bounded number of times. `tandem jobs` lists them.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Job, OrganizationId, Store, StoreError, now};

/// How often what is due is looked for.
const LOOK: Duration = Duration::from_secs(15);
/// A job takes far less.
const LEASE: Duration = Duration::from_secs(300);
/// Jobs that are over are listed for so long.
const LISTED: SignedDuration = SignedDuration::from_hours(24 * 14);
/// Partial words are kept for so long after they were said.
const PARTIALS: SignedDuration = SignedDuration::from_hours(24 * 7);

/// What is done in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Sessions that have expired are removed, hourly.
    SessionsExpire,
    /// What has become old is forgotten, daily at midnight UTC.
    Forget,
}

/// Every kind of work, with its word.
pub const WORKS: [(Work, &str); 2] = [(Work::SessionsExpire, "sessions.expire"), (Work::Forget, "retention.apply")];

impl Work {
    /// The period that has begun last before `at`: its name and its beginning.
    fn slot(self, at: Timestamp) -> (String, Timestamp) {
        let civil = at.to_zoned(TimeZone::UTC).datetime();
        match self {
            Work::SessionsExpire => {
                (format!("{}T{:02}", civil.date(), civil.hour()), start(civil.date(), civil.hour()))
            }
            Work::Forget => (civil.date().to_string(), start(civil.date(), 0)),
        }
    }
}

fn start(day: Date, hour: i8) -> Timestamp {
    let begin = day.at(hour, 0, 0, 0).to_zoned(TimeZone::UTC);
    begin.map_or(Timestamp::UNIX_EPOCH, |begin| begin.timestamp())
}

/// Runs until it is cancelled.
pub(crate) async fn run(store: Store, stopping: CancellationToken) {
    let worker = Uuid::now_v7();
    let mut tick = tokio::time::interval(LOOK);
    let work = async {
        loop {
            tick.tick().await;
            if let Err(error) = round(&store, worker, now()).await {
                tracing::warn!(%error, "jobs wait: the store does not answer");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopping.cancelled() => {}
    }
}

/// Puts on the list what is due at `at` and does what can be claimed, tenant by tenant.
async fn round(store: &Store, worker: Uuid, at: Timestamp) -> Result<(), StoreError> {
    for organization in store.organization_list().await? {
        for (work, word) in WORKS {
            let (slot, due_at) = work.slot(at);
            store.job_add(organization, word, &slot, due_at).await?;
        }
        while let Some(job) = store.job_claim(organization, worker, LEASE).await? {
            settle(store, organization, &job, worker).await?;
        }
    }
    Ok(())
}

/// Does one job and writes down how it went.
async fn settle(store: &Store, organization: OrganizationId, job: &Job, worker: Uuid) -> Result<(), StoreError> {
    let work = WORKS.iter().find(|(_, word)| *word == job.kind).map(|(work, _)| *work);
    let inner = store.clone();
    // A task of its own: a panic is that job's failure.
    let done = tokio::spawn(async move {
        match work {
            Some(work) => perform(&inner, organization, work).await.map_err(|error| error.to_string()),
            None => Err("this version does not know such a job".to_owned()),
        }
    });
    let outcome = done.await.unwrap_or_else(|_| Err("it panicked; the log says where".to_owned()));
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

/// What was done, in words.
async fn perform(store: &Store, organization: OrganizationId, work: Work) -> Result<String, StoreError> {
    match work {
        Work::SessionsExpire => Ok(format!("{} sessions removed", store.session_expire(organization).await?)),
        Work::Forget => {
            let partials = store.partial_prune(organization, now() - PARTIALS).await?;
            let jobs = store.job_prune(organization, now() - LISTED).await?;
            Ok(format!("{partials} partial texts and {jobs} jobs forgotten"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{NewMember, Role, StorePlace};

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
            (Work::Forget, "2026-11-23T23:59:59Z", "2026-11-23", "2026-11-23T00:00:00Z"),
            (Work::Forget, "2026-11-24T00:00:00Z", "2026-11-24", "2026-11-24T00:00:00Z"),
        ] {
            assert_eq!(work.slot(at(when)), (slot.to_owned(), at(due)), "{work:?} at {when}");
        }
    }

    #[tokio::test]
    async fn each_period_is_worked_on_once_for_every_tenant() {
        let (_folder, store, organization) = store().await;
        let other = store.organization_create("other").await.unwrap().id;
        let new = NewMember { email: "a@example.com", name: "a", password_hash: "h", role: Role::Agent, sip_name: "a" };
        let user = store.user_create(organization, new).await.unwrap().0.id;
        store.session_create(organization, user, "over", now() - SignedDuration::from_secs(1)).await.unwrap();
        store.session_create(organization, user, "runs", now() + SignedDuration::from_secs(60)).await.unwrap();
        let time = now();
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        let (first, second) = tokio::join!(round(&store, one, time), round(&store, two, time));
        first.and(second).unwrap();
        round(&store, one, time).await.unwrap();
        for tenant in [organization, other] {
            let jobs = store.job_list(tenant, 10).await.unwrap();
            assert_eq!(jobs.len(), WORKS.len(), "{jobs:?}");
            assert!(jobs.iter().all(|job| job.state == "done" && job.attempts == 1), "{jobs:?}");
        }
        let jobs = store.job_list(organization, 10).await.unwrap();
        let expired = jobs.iter().find(|job| job.kind == "sessions.expire").unwrap();
        assert_eq!(expired.result.as_deref(), Some("1 sessions removed"));
        assert!(store.session_by_hash("runs").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_job_that_fails_is_tried_again_later_and_not_for_ever() {
        let (_folder, store, organization) = store().await;
        let worker = Uuid::now_v7();
        store.job_add(organization, "no.such.work", "x", now()).await.unwrap();
        assert!(!store.job_add(organization, "no.such.work", "x", now()).await.unwrap());
        let job = store.job_claim(organization, worker, LEASE).await.unwrap().unwrap();
        let before = now();
        settle(&store, organization, &job, worker).await.unwrap();
        let again = store.job_list(organization, 1).await.unwrap().remove(0);
        assert_eq!((again.state.as_str(), again.attempts), ("waiting", 1));
        assert!(again.due_at >= before + SignedDuration::from_secs(30), "{again:?}");
        assert!(again.error.is_some_and(|error| error.contains("does not know")));
        assert!(store.job_claim(organization, worker, LEASE).await.unwrap().is_none(), "it is not due yet");
        let last = Job { attempts: crate::store::ATTEMPTS_MAX, ..job };
        // As its last attempt sees it.
        store.job_add(organization, "no.such.work", "y", now()).await.unwrap();
        let second = store.job_claim(organization, worker, LEASE).await.unwrap().unwrap();
        settle(&store, organization, &Job { attempts: last.attempts, ..second }, worker).await.unwrap();
        let failed = store.job_list(organization, 1).await.unwrap().remove(0);
        assert_eq!((failed.state.as_str(), failed.slot.as_str()), ("failed", "y"));
    }

    #[tokio::test]
    async fn a_worker_that_dies_gives_its_job_back() {
        let (_folder, store, organization) = store().await;
        let (dead, alive) = (Uuid::now_v7(), Uuid::now_v7());
        store.job_add(organization, "sessions.expire", "x", now()).await.unwrap();
        let taken = store.job_claim(organization, dead, Duration::ZERO).await.unwrap().unwrap();
        // The next millisecond: its lease has run out.
        let mut claimed = None;
        while claimed.is_none() {
            claimed = store.job_claim(organization, alive, LEASE).await.unwrap();
        }
        let claimed = claimed.unwrap();
        assert_eq!((claimed.id, claimed.attempts), (taken.id, 2));
        // What the dead one says now changes nothing.
        store.job_done(organization, taken.id, dead, "too late").await.unwrap();
        assert_eq!(store.job_list(organization, 1).await.unwrap()[0].state, "running");
        store.job_done(organization, claimed.id, alive, "done").await.unwrap();
        assert_eq!(store.job_list(organization, 1).await.unwrap()[0].result.as_deref(), Some("done"));
    }
}
