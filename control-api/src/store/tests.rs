//! One suite for both databases: isolation of tenants, stored data, refused operations, backups and migrations.
//!
//! ```text
//! CASES ─▶ each on an empty SQLite store, and on an empty database of a real PostgreSQL server
//! ```
//!
//! The tests start a real PostgreSQL server, once per test function, which is why cases are in lists. Calls have a
//! suite of their own (`tests_calls`).

mod people;
mod stays;

use std::future::Future;
use std::pin::Pin;

use ::tests::postgres::{Database, Postgres};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::engine::{CallStatus, EndedBy, Ending, HangupCause, LegRole, LegState, TranslationEvent};
use crate::tenant::voice_config::VoiceConfig;

pub(super) type Case = (&'static str, fn(Store) -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// Cases that run on an empty store of each kind.
const CASES: &[Case] = &[
    ("a tenant sees no data of another", |store| Box::pin(tenants_are_apart(store))),
    ("names that must be unique are unique over all tenants", |store| Box::pin(names_are_unique(store))),
    ("a log-in is found by its address in any case", |store| Box::pin(logins_are_found(store))),
    ("a changed password ends every session", |store| Box::pin(passwords_end_sessions(store))),
    ("a panic inside a unit of work is rolled back and leaves no tenant entered", |store| {
        Box::pin(panics_leave_nothing(store))
    }),
    ("tenants do not leak through reused connections", |store| Box::pin(reuse_keeps_tenants_apart(store))),
    ("changes are written as rows and events in order", |store| Box::pin(changes_are_written_in_order(store))),
    ("stays in a call follow its legs", |store| Box::pin(stays::stays_follow_legs(store))),
    ("every participant finds the call by the words that they may read", |store| {
        Box::pin(stays::participants_find_the_call(store))
    }),
    ("a crash ends all stays", |store| Box::pin(stays::a_crash_ends_stays(store))),
    ("the first report of how a leg ended is kept", |store| Box::pin(endings_are_kept(store))),
    ("calls left open are closed as crashed", |store| Box::pin(open_calls_are_closed(store))),
    ("events cannot be changed", |store| Box::pin(events_are_immutable(store))),
    ("only one of many simultaneous first sign-ups succeeds", |store| {
        Box::pin(people::one_sign_up_is_the_first(store))
    }),
    ("audit chains are intact and separate", |store| Box::pin(people::chains_are_intact(store))),
    ("an invitation is accepted once", |store| Box::pin(people::invitations_are_accepted_once(store))),
    ("a tenant always has an owner", |store| Box::pin(people::tenants_have_an_owner(store))),
    ("attempts to log in are counted and forgotten", |store| Box::pin(people::attempts_are_counted(store))),
    ("a full quota stays full for its window", |store| Box::pin(people::quotas_fill_up(store))),
    ("a SIP name stays reserved for its organization", |store| Box::pin(people::sip_names_stay_reserved(store))),
    ("settings and keys belong to one tenant", |store| Box::pin(people::settings_and_keys_belong_to_a_tenant(store))),
    ("unsettled words are reported and not stored", |store| Box::pin(unsettled_words_are_reported(store))),
    ("old events and partial texts are removed in steps", |store| Box::pin(old_events_are_removed(store))),
];

pub(super) async fn sqlite() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
    (folder, store)
}

pub(super) fn place(database: &Database) -> StorePlace<'_> {
    StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: shared_folder() }
}

/// Returns the folder of the key that all stores of these tests share.
pub(super) fn shared_folder() -> &'static std::path::Path {
    static FOLDER: std::sync::LazyLock<std::path::PathBuf> = std::sync::LazyLock::new(|| {
        let folder = std::env::temp_dir().join("tandem-store-tests");
        std::fs::create_dir_all(&folder).expect("the folder must be creatable among the temporary files");
        folder
    });
    &FOLDER
}

#[tokio::test]
async fn the_suite_holds_on_sqlite() {
    hold_on_sqlite(CASES).await;
}

#[tokio::test]
async fn the_suite_holds_on_postgresql() {
    hold_on_postgresql(CASES).await;
}

pub(super) async fn hold_on_sqlite(cases: &[Case]) {
    for (name, case) in cases {
        println!("{name}");
        let (_folder, store) = sqlite().await;
        case(store.clone()).await;
        store.close().await;
    }
}

pub(super) async fn hold_on_postgresql(cases: &[Case]) {
    let postgres = Postgres::start().await;
    for (name, case) in cases {
        println!("{name}");
        let database = postgres.database().await;
        let store = Store::open(&place(&database)).await.unwrap();
        case(store.clone()).await;
        store.close().await;
    }
    postgres.stop().await;
}

/// Two tenants, one of which has a member, a key, a session, and a call with a leg, a recording and words.
struct Two {
    mine: OrganizationId,
    theirs: OrganizationId,
    user: UserId,
    call: Uuid,
}

async fn member(store: &Store, organization: OrganizationId, name: &str) -> UserId {
    let email = format!("{name}@example.com");
    let new = NewMember { email: &email, name, password_hash: "hash", role: Role::Agent, sip_name: name };
    store.user_create(organization, new).await.unwrap().0.id
}

fn new_call(organization: OrganizationId) -> NewCall {
    NewCall {
        id: Uuid::now_v7(),
        organization,
        direction: "outbound",
        mode: Some("direct".into()),
        from: None,
        to: "+15555550142".into(),
        agent: Some("anna".into()),
        config: VoiceConfig::default(),
    }
}

fn words(call: Uuid, segment: u64, text: &str, last: bool) -> Change {
    let event = TranslationEvent {
        segment,
        leg: "customer".into(),
        source_language: "en".into(),
        target_language: "es".into(),
        text: text.into(),
        translation: None,
        is_final: last,
        unrecognised: false,
        missed: false,
        began_ms_ago: None,
        ended_ms_ago: None,
        lag_ms: Default::default(),
        ..TranslationEvent::default()
    };
    Change::Translation { call, event, at: now() }
}

async fn two(store: &Store) -> Two {
    let mine = store.organization_create("mine").await.unwrap().id;
    let theirs = store.organization_create("theirs").await.unwrap().id;
    let user = member(store, theirs, "theo").await;
    member(store, mine, "mia").await;
    store.session_create(theirs, user, "session", now() + std::time::Duration::from_secs(60)).await.unwrap();
    let new = NewKey { name: "key", prefix: "tdm_", key_hash: "key", scopes: None, expires_at: None, created_by: None };
    store.api_key_create(theirs, new, &By::system("test")).await.unwrap();
    store
        .voice_config_put(
            theirs,
            &VoiceConfig::default(),
            &VoiceConfig { record: true, ..VoiceConfig::default() },
            &By::system("test"),
        )
        .await
        .unwrap();
    let new = new_call(theirs);
    let call = new.id;
    let leg = Change::Leg {
        call,
        leg: 1,
        role: LegRole::Customer,
        state: LegState::Answered,
        peer: "+15555550142".into(),
        agent: None,
        codec: Some("PCMU".into()),
        ending: None,
        at: now(),
    };
    let recording = Change::Recording {
        call,
        file: PartId::FIRST,
        of_leg: None,
        channels: Vec::new(),
        path: "/r.wav".into(),
        state: "started",
        note: None,
        duration_ms: 5,
        at: now(),
    };
    let changes = [Change::CallCreated { call: new, at: now() }, leg, recording, words(call, 1, "secret words", true)];
    assert_eq!(store.changes_record(&changes).await.unwrap().unknown, 0);
    Two { mine, theirs, user, call }
}

async fn tenants_are_apart(store: Store) {
    let Two { mine, theirs, user, call } = two(&store).await;
    // The owner sees its own data.
    assert!(store.call_show(theirs, call).await.unwrap().is_some());
    assert_eq!(store.leg_list(theirs, call).await.unwrap().len(), 1);
    assert_eq!(store.translation_list(theirs, call).await.unwrap().len(), 1);
    assert!(store.recording_by_call(theirs, call).await.unwrap().is_some());
    assert!(store.user_by_id(theirs, user).await.unwrap().is_some());
    assert!(store.voice_config_show(theirs).await.unwrap().record);
    // The other tenant sees none of it.
    assert!(store.call_show(mine, call).await.unwrap().is_none());
    assert!(store.call_list(mine, &CallFilter { limit: 10, ..CallFilter::default() }).await.unwrap().is_empty());
    assert!(store.leg_list(mine, call).await.unwrap().is_empty());
    assert!(store.translation_list(mine, call).await.unwrap().is_empty());
    assert!(store.call_event_list(mine, call, 10).await.unwrap().is_empty());
    assert!(store.recording_by_call(mine, call).await.unwrap().is_none());
    assert!(store.user_by_id(mine, user).await.unwrap().is_none());
    assert!(store.membership_by_user(mine, user).await.unwrap().is_none());
    assert!(store.membership_by_sip_name(mine, "theo").await.unwrap().is_none());
    assert!(!store.voice_config_show(mine).await.unwrap().record);
    for translations in [false, true] {
        let filter = StreamFilter::Organization { organization: mine, translations };
        assert!(store.stream_after(&filter, 0, 10).await.unwrap().is_empty());
    }
    let filter = StreamFilter::Translations { organization: mine, call, people: true };
    assert!(store.stream_after(&filter, 0, 10).await.unwrap().is_empty());
    // The other tenant cannot change it either.
    let key = store.api_key_by_hash("key").await.unwrap().unwrap();
    assert!(!store.api_key_revoke(mine, key.id, &By::system("test")).await.unwrap());
    assert_eq!(store.session_expire(mine).await.unwrap(), 0);
    assert!(
        store.session_by_hash("session").await.unwrap().is_some_and(|found| found.membership.organization == theirs)
    );
}

async fn names_are_unique(store: Store) {
    let Two { mine, .. } = two(&store).await;
    assert!(matches!(store.organization_create("theirs").await, Err(StoreError::Taken(_))));
    for (email, sip_name) in [("theo@example.com", "other"), ("other@example.com", "theo")] {
        let new = NewMember { email, name: "x", password_hash: "h", role: Role::Agent, sip_name };
        assert!(matches!(store.user_create(mine, new).await, Err(StoreError::Taken(_))), "{email} {sip_name}");
    }
    // A refused request leaves no partial data.
    assert!(store.user_by_email("other@example.com").await.unwrap().is_none());
}

async fn logins_are_found(store: Store) {
    assert!(!store.user_exists().await.unwrap());
    assert!(store.organization_default().await.unwrap().is_none());
    let Two { mine, theirs, user, .. } = two(&store).await;
    assert!(store.user_exists().await.unwrap());
    assert_eq!(store.organization_default().await.unwrap().unwrap().id, mine);
    assert_eq!(store.organization_list().await.unwrap(), [mine, theirs]);
    assert_eq!(store.organization_by_name("theirs").await.unwrap().unwrap().id, theirs);
    let (found, membership) = store.user_by_email("THEO@example.com").await.unwrap().unwrap();
    assert_eq!((found.id, membership.organization, membership.role), (user, theirs, Role::Agent));
    assert_eq!(store.membership_organization("theo").await.unwrap(), Some(theirs));
    assert!(store.user_by_email("nobody@example.com").await.unwrap().is_none());
    assert!(store.api_key_by_hash("no key").await.unwrap().is_none());
}

async fn passwords_end_sessions(store: Store) {
    let Two { theirs, user, .. } = two(&store).await;
    assert!(store.user_password_change(user, "new hash", None, &By::system("test")).await.unwrap());
    assert!(store.session_by_hash("session").await.unwrap().is_none());
    assert_eq!(store.user_by_id(theirs, user).await.unwrap().unwrap().password_hash, "new hash");
    assert!(!store.user_password_change(UserId(Uuid::now_v7()), "x", None, &By::system("test")).await.unwrap());
}

async fn panics_leave_nothing(store: Store) {
    let Two { mine, theirs, .. } = two(&store).await;
    // More rounds than there are connections.
    for _ in 0..40 {
        let inner = store.clone();
        let work = tokio::spawn(async move {
            let mut tx = inner.db.write(theirs).await.unwrap();
            let sql = "UPDATE voice_configs SET record = FALSE WHERE organization_id = $1";
            assert_eq!(tx.run(sql, &[theirs.into()]).await.unwrap(), 1);
            panic!("in the middle of the unit of work");
        });
        assert!(work.await.unwrap_err().is_panic());
        assert!(store.voice_config_show(theirs).await.unwrap().record);
        assert!(!store.voice_config_show(mine).await.unwrap().record);
    }
}

async fn reuse_keeps_tenants_apart(store: Store) {
    let Two { mine, theirs, call, .. } = two(&store).await;
    let asked = (0..400).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let (who, seen) = if n % 2 == 0 { (theirs, true) } else { (mine, false) };
            assert_eq!(store.call_show(who, call).await.unwrap().is_some(), seen);
        })
    });
    for one in asked.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}

async fn changes_are_written_in_order(store: Store) {
    let Two { mine, theirs, call, .. } = two(&store).await;
    let before = store.stream_latest().await.unwrap();
    let other = new_call(mine);
    let (id, at) = (other.id, now());
    let status = |call, status| Change::CallStatus { call, status, cause: Some("normal".into()), at };
    let changes = [
        Change::CallCreated { call: other, at },
        status(call, CallStatus::Ringing),
        status(id, CallStatus::Answered),
        status(Uuid::now_v7(), CallStatus::Ringing),
        status(call, CallStatus::Ended),
        status(call, CallStatus::Ringing),
        words(call, 2, "Hal", false),
        words(call, 2, "Hallo", true),
        words(call, 2, "Hal", false),
    ];
    let written = store.changes_record(&changes).await.unwrap();
    let kinds: Vec<(&str, bool)> =
        written.events.iter().map(|event| (&*event.kind, event.organization == mine)).collect();
    let expected = [
        ("call.created", true),
        ("call.status", false),
        ("call.status", true),
        ("call.status", false),
        ("translation.partial", false),
        ("translation.final", false),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(written.unknown, 1);
    assert!(written.events.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert_eq!(store.stream_latest().await.unwrap(), written.events.last().unwrap().id);
    let filter = StreamFilter::Organization { organization: theirs, translations: false };
    let kept = store.stream_after(&filter, before, 10).await.unwrap();
    let told: Vec<&StoredEvent> =
        written.events.iter().filter(|e| e.organization == theirs && !e.kind.starts_with("translation")).collect();
    assert_eq!(kept.iter().collect::<Vec<_>>(), told);
    let shown = store.call_show(theirs, call).await.unwrap().unwrap();
    assert_eq!((shown.status.as_str(), shown.ended_at), ("ended", Some(at)));
}

async fn unsettled_words_are_reported(store: Store) {
    let Two { theirs, call, .. } = two(&store).await;
    let unsettled = |text: &str| match words(call, 3, text, false) {
        Change::Translation { call, event, at } => {
            Change::Translation { call, event: TranslationEvent { is_passing: true, ..event }, at }
        }
        other => other,
    };
    let before = (store.stream_latest().await.unwrap(), store.translation_list(theirs, call).await.unwrap());
    assert_eq!(store.changes_record(&[unsettled("good")]).await.unwrap().reports.len(), 1);
    let reports = store.passing_reports(&[unsettled("good mor"), unsettled("good morning")]).expect("a known call");
    assert_eq!(reports.iter().map(|report| report.kind).collect::<Vec<_>>(), ["translation.partial"; 2]);
    assert!(reports[1].body.contains("\"good morning\"") && reports[1].organization == theirs, "{reports:?}");
    let after = (store.stream_latest().await.unwrap(), store.translation_list(theirs, call).await.unwrap());
    assert_eq!(after, before);
    // What is to be stored needs the database.
    assert_eq!(store.passing_reports(&[unsettled("good"), words(call, 3, "good morning", true)]), None);
}

async fn endings_are_kept(store: Store) {
    let Two { theirs, call, .. } = two(&store).await;
    let text = Some("Line 3 is busy\0".into());
    let ending = Ending { q850: Some(17), text, ..Ending::refused(486) };
    let leg = |leg, ending: Option<Ending>| Change::Leg {
        call,
        leg,
        role: LegRole::Customer,
        state: if ending.is_some() { LegState::Ended } else { LegState::Ringing },
        peer: "+15555550142".into(),
        agent: None,
        codec: None,
        ending,
        at: now(),
    };
    let late = Ending::far_end(HangupCause::Normal);
    let over = Change::CallStatus { call, status: CallStatus::Failed, cause: Some("shutdown".into()), at: now() };
    let changes = [leg(1, Some(ending.clone())), leg(1, Some(late)), leg(2, None), over];
    let written = store.changes_record(&changes).await.unwrap();
    let told = written.events.iter().find(|event| &*event.kind == "call.leg").unwrap();
    let told: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!((&told["ending"]["q850"], &told["ending"]["by"]), (&json!(17), &json!("far_end")));
    let legs = store.leg_list(theirs, call).await.unwrap();
    let kept = Ending { text: Some("Line 3 is busy\u{fffd}".into()), ..ending };
    assert_eq!(legs[0].ending.as_ref(), Some(&kept), "the first report counts");
    let unheard: Ending = HangupCause::Shutdown.into();
    assert_eq!(
        (legs[1].state.as_str(), legs[1].ending.as_ref()),
        ("ended", Some(&unheard)),
        "the leg ends with its call"
    );
}

async fn open_calls_are_closed(store: Store) {
    let Two { mine, theirs, call, .. } = two(&store).await;
    let other = new_call(mine);
    let id = other.id;
    store.changes_record(&[Change::CallCreated { call: other, at: now() }]).await.unwrap();
    assert_eq!(store.calls_close_left_open().await.unwrap(), 2);
    assert_eq!(store.calls_close_left_open().await.unwrap(), 0);
    for (who, call) in [(theirs, call), (mine, id)] {
        let shown = store.call_show(who, call).await.unwrap().unwrap();
        assert_eq!((shown.status.as_str(), shown.ended_reason.as_deref()), ("failed", Some("crash")));
    }
    let leg = store.leg_list(theirs, call).await.unwrap().remove(0);
    let ending = leg.ending.expect("the leg must have an ending");
    assert_eq!((leg.state.as_str(), ending.cause, ending.by), ("ended", HangupCause::Internal, EndedBy::Tandem));
    assert_eq!(ending.text.as_deref(), Some("the server stopped while the call was running"));
    assert_eq!(store.recording_by_call(theirs, call).await.unwrap().unwrap().state, "interrupted");
}

async fn events_are_immutable(store: Store) {
    let Two { theirs, .. } = two(&store).await;
    let text = store.tamper_for_test(theirs).await.unwrap_err().to_string();
    assert!(text.contains("append-only"), "{text}");
}

async fn old_events_are_removed(store: Store) {
    let Two { mine, theirs, call, .. } = two(&store).await;
    let partials = (0..1_200).map(|n| words(call, 5, &format!("par{n}"), false)).collect::<Vec<_>>();
    store.changes_record(&partials).await.unwrap();
    store.changes_record(&[words(call, 5, "partial no more", true)]).await.unwrap();
    let count = async || {
        let filter = StreamFilter::Organization { organization: theirs, translations: true };
        store.stream_after(&filter, 0, 10_000).await.unwrap().len()
    };
    let all = count().await;
    let later = now() + std::time::Duration::from_secs(1);
    assert_eq!(store.partial_prune(mine, later).await.unwrap(), 0);
    assert_eq!(store.partial_prune(theirs, now() - std::time::Duration::from_secs(3_600)).await.unwrap(), 0);
    assert_eq!(store.partial_prune(theirs, later).await.unwrap(), 1_200);
    assert_eq!(count().await, all - 1_200);
    // Events of a running call are kept.
    assert_eq!(store.event_prune(theirs, later).await.unwrap(), 0);
    let ended = Change::CallStatus { call, status: CallStatus::Ended, cause: Some("normal".into()), at: now() };
    store.changes_record(&[ended]).await.unwrap();
    assert_eq!(store.event_prune(mine, later).await.unwrap(), 0);
    assert_eq!(store.event_prune(theirs, later).await.unwrap() as usize, all - 1_200 + 1);
    assert_eq!(count().await, 0);
    assert!(store.call_show(theirs, call).await.unwrap().is_some());
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_restored_completely_on_both() {
    let postgres = Postgres::start().await;
    let (database, empty) = (postgres.database().await, postgres.database().await);
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = [StorePlace::new("sqlite:t.db", folder.path()), place(&database)];
    let there = [StorePlace::new("sqlite:t.db", other.path()), place(&empty)];
    let (key, shared) = (SealKey::in_folder(other.path()), SealKey::in_folder(shared_folder()));
    for (n, (from, to)) in here.iter().zip(&there).enumerate() {
        let store = Store::open(from).await.unwrap();
        let Two { theirs, call, .. } = two(&store).await;
        let writing = {
            let store = store.clone();
            tokio::spawn(async move {
                for text in 0..200 {
                    store.changes_record(&[words(call, 9, &format!("word {text}"), false)]).await.unwrap();
                }
            })
        };
        let file = folder.path().join(format!("backup-{n}"));
        backup(from, &file).await.unwrap();
        writing.await.unwrap();
        let again = backup(from, &file).await.unwrap_err().to_string();
        assert!(again.contains("already exists"), "{again}");
        store.close().await;

        // The key of the SQLite backup is not in the other folder; the PostgreSQL stores share one.
        let left_out = restore(to, &file, if n == 0 { &key } else { &shared }).await.unwrap();
        assert_eq!(left_out.is_some(), n == 0, "{left_out:?}");
        let store = Store::open(to).await.unwrap();
        let shown = store.call_show(theirs, call).await.unwrap().unwrap();
        assert_eq!(shown.to, "+15555550142");
        // All that was committed before the copy began is in it, in order, and nothing is partial.
        let filter = StreamFilter::Organization { organization: theirs, translations: true };
        let events = store.stream_after(&filter, 0, 1_000).await.unwrap();
        assert!(events.len() >= 4 && events.windows(2).all(|pair| pair[0].id < pair[1].id));
        // The next event gets an id above all earlier ones.
        let next = store.changes_record(&[words(call, 10, "after", true)]).await.unwrap();
        assert!(next.events[0].id > events.last().unwrap().id);
        store.close().await;
        assert!(restore(to, &file, &key).await.is_err(), "an existing store must not be overwritten");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let names = |folder: &std::path::Path| {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    let unfinished =
        |name: &std::ffi::OsString| ["part", "restoring"].iter().any(|end| name.to_string_lossy().ends_with(end));
    for folder in [folder.path(), other.path()] {
        assert!(!names(folder).iter().any(unfinished), "{:?}", names(folder));
    }
    let torn = folder.path().join("torn");
    std::fs::write(&torn, &std::fs::read(folder.path().join("backup-0")).unwrap()[..20_000]).unwrap();
    let place = StorePlace::new("sqlite:new.db", other.path());
    let text = restore(&place, &torn, &key).await.unwrap_err().to_string();
    assert!(text.contains("damaged"), "{text}");
    assert!(!other.path().join("new.db").exists());
    postgres.stop().await;
}

#[tokio::test]
async fn a_backup_is_not_restored_beside_files_of_an_old_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
    store.organization_create("acme").await.unwrap();
    let (file, key) = (folder.path().join("backup"), SealKey::in_folder(folder.path()));
    backup(&StorePlace::new("sqlite:t.db", folder.path()), &file).await.unwrap();
    store.close().await;
    for (name, content) in
        [("t.db", &b""[..]), ("t.db-wal", b""), ("t.db-shm", b"x"), ("t.db-journal", b"x"), (SPOOL, b"0123abcd {}\n")]
    {
        let there = tempfile::tempdir().unwrap();
        let place = StorePlace::new("sqlite:t.db", there.path());
        let remains = there.path().join(name);
        std::fs::write(&remains, content).unwrap();
        let text = restore(&place, &file, &key).await.unwrap_err().to_string();
        assert!(text.contains(&remains.display().to_string()), "{text}");
        assert_eq!(std::fs::read(&remains).unwrap(), content, "{name} must not be changed");
        assert_eq!(std::fs::read_dir(there.path()).unwrap().count(), 1, "no file may be created beside {name}");
        std::fs::remove_file(remains).unwrap();
        // A spool without events is not in the way.
        std::fs::write(there.path().join(SPOOL), [0; 4_096]).unwrap();
        restore(&place, &file, &key).await.unwrap();
    }
    // The error names every file at once, and the file that is no backup.
    let there = tempfile::tempdir().unwrap();
    let place = StorePlace::new("sqlite:t.db", there.path());
    for name in ["t.db-wal", "t.db-shm"] {
        std::fs::write(there.path().join(name), "x").unwrap();
    }
    let text = restore(&place, &file, &key).await.unwrap_err().to_string();
    assert!(text.contains("t.db-wal, ") && text.contains("t.db-shm"), "{text}");
    let live = there.path().join("live");
    std::fs::copy(&file, &live).unwrap();
    std::fs::write(there.path().join("live-wal"), "x").unwrap();
    let text = restore(&StorePlace::new("sqlite:new.db", there.path()), &live, &key).await.unwrap_err().to_string();
    assert!(text.contains("live-wal") && text.contains("tandem backup"), "{text}");
}

/// A client that disconnects cancels its request at whichever await it has reached.
#[tokio::test]
async fn a_cancelled_unit_of_work_leaves_no_tenant_on_its_connection() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let store = Store::open(&place(&database)).await.unwrap();
    let db::Db::Postgres(pool) = &store.db else { panic!("not PostgreSQL") };
    let pool = pool.get().unwrap();
    for polls in (0..60).map(|n| n % 4) {
        let mut begin = Box::pin(store.db.write(OrganizationId(Uuid::now_v7())));
        for _ in 0..polls {
            let over = std::future::poll_fn(|context| std::task::Poll::Ready(begin.as_mut().poll(context).is_ready()));
            if over.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let mut held = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        held.push(pool.acquire().await.unwrap());
    }
    for connection in &mut held {
        // Every connection examines all the others.
        let sql = "SELECT COALESCE(current_setting('app.current_org_id', true), ''), (SELECT COUNT(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND state LIKE 'idle in transaction%')";
        let row = sqlx::query(sql).fetch_one(&mut **connection).await.unwrap();
        assert_eq!((row.get::<String, _>(0).as_str(), row.get::<i64, _>(1)), ("", 0), "a transaction is left open");
    }
    drop(held);
    store.close().await;
    postgres.stop().await;
}

/// Roles, versions and the catalogue, which only PostgreSQL has.
#[tokio::test]
async fn postgresql_is_refused_unless_its_roles_keep_tenants_apart() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let folder = shared_folder();
    let open = |url: String, migrate_url: Option<String>| async move {
        Store::open(&StorePlace { url: &url, migrate_url: migrate_url.as_deref(), folder }).await
    };

    // There is no schema, and this role may not create it.
    let text = open(database.url.clone(), None).await.unwrap_err().to_string();
    assert!(text.contains("lacks schema 1") && text.contains("tandem migrate up"), "{text}");
    // It works with the owner's URL, also a second time, and then without it.
    for migrate_url in [Some(database.migrate_url.clone()), Some(database.migrate_url.clone()), None] {
        open(database.url.clone(), migrate_url).await.unwrap().close().await;
    }
    for (url, what) in [(&database.migrate_url, "owns the tables"), (&database.admin_url, "is a superuser")] {
        let text = open(url.clone(), None).await.unwrap_err().to_string();
        assert!(text.contains(what) && text.contains("store.migrate_url"), "{text}");
        assert!(!text.contains("only-for-tests"), "{text}");
    }
    let text = open(database.url.replace("only-for-tests", "wrong"), None).await;
    assert!(text.is_ok() || !text.unwrap_err().to_string().contains("wrong"));

    // A query without a tenant sees no rows and cannot write.
    let store = open(database.url.clone(), None).await.unwrap();
    let Two { theirs, .. } = two(&store).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    for table in tables(&database, true).await {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 0, "{table} is seen without a tenant");
    }
    let insert = "INSERT INTO organizations (id, name, created_at) VALUES (gen_random_uuid(), 'x', 0)";
    assert!(sqlx::query(insert).execute(&mut connection).await.is_err());
    // One tenant cannot write for another.
    let mut tx = store.db.write(theirs).await.unwrap();
    let sql = "INSERT INTO voice_configs SELECT $1, live_translate, transcribe, translate_from, translate_to, \
               voice_to_voice, record, updated_at FROM voice_configs";
    assert!(tx.run(sql, &[Uuid::now_v7().into()]).await.is_err());
    drop(tx);

    // Every role may create objects in `public`, as before PostgreSQL 15: the owner revokes that; otherwise the store
    // is refused.
    let mut admin = PgConnection::connect(&database.admin_url).await.unwrap();
    let everybody = "GRANT CREATE ON SCHEMA public TO PUBLIC";
    sqlx::query(everybody).execute(&mut admin).await.unwrap();
    let text = open(database.url.clone(), None).await.unwrap_err().to_string();
    assert!(text.contains("REVOKE CREATE ON SCHEMA public FROM PUBLIC"), "{text}");
    open(database.url.clone(), Some(database.migrate_url.clone())).await.unwrap().close().await;
    open(database.url.clone(), None).await.unwrap().close().await;
    for sql in ["ALTER SCHEMA public OWNER TO postgres", everybody] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    }
    let text = open(database.url.clone(), Some(database.migrate_url.clone())).await.unwrap_err().to_string();
    assert!(text.contains("as a superuser"), "{text}");
    for sql in ["REVOKE CREATE ON SCHEMA public FROM PUBLIC", "ALTER SCHEMA public OWNER TO pg_database_owner"] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    }

    // A store newer than this binary.
    let mut owner = PgConnection::connect(&database.migrate_url).await.unwrap();
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               VALUES (9999, 'later', true, '', 0)";
    sqlx::query(sql).execute(&mut owner).await.unwrap();
    for migrate_url in [None, Some(database.migrate_url.clone())] {
        let text = open(database.url.clone(), migrate_url).await.unwrap_err().to_string();
        assert!(text.contains("newer tandem (schema 9999)"), "{text}");
    }
    store.close().await;
    postgres.stop().await;
}

/// Returns our tables: all, or only those that belong to tenants.
async fn tables(database: &Database, of_tenants: bool) -> Vec<String> {
    let mut connection = PgConnection::connect(&database.admin_url).await.unwrap();
    let sql = "SELECT c.relname::TEXT, EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid \
               AND a.attname = 'organization_id' AND NOT a.attisdropped) FROM pg_class c \
               WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relkind IN ('r', 'p') ORDER BY 1";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().filter(|row| !of_tenants || row.get(1)).map(|row| row.get(0)).collect()
}

/// Tables that belong to no tenant, and why.
const GLOBAL: &[&str] = &[
    // Applied migrations.
    "_sqlx_migrations",
    // Last batch that each run of the process has written.
    "ingest_marks",
    // Id of the key that seals secrets.
    "seal",
    // The tenants themselves, whose policy is on `id`.
    "organizations",
    // A person may belong to several tenants, each of which sees the person.
    "users",
    // Attempts come before the tenant is known; the subject is a hash.
    "attempts",
];

/// Those of them without a policy, because they hold no data of tenants.
const UNGUARDED: &[&str] = &["_sqlx_migrations", "ingest_marks", "attempts", "seal"];

#[tokio::test]
async fn every_tenants_table_has_forced_policies_and_an_index_by_tenant() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    Store::open(&place(&database)).await.unwrap().close().await;
    let mut connection = PgConnection::connect(&database.admin_url).await.unwrap();
    let mut wrong = Vec::new();
    let of_tenants = tables(&database, true).await;
    assert!(of_tenants.len() >= 9, "{of_tenants:?}");
    for table in tables(&database, false).await {
        if !of_tenants.contains(&table) {
            if !GLOBAL.contains(&table.as_str()) {
                wrong.push(format!("{table}: neither organization_id nor a line in GLOBAL"));
            }
            if UNGUARDED.contains(&table.as_str()) {
                continue;
            }
        }
        let sql = "SELECT c.relrowsecurity, c.relforcerowsecurity, \
                   EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = '{0}' \
                           AND pg_get_expr(p.polqual, p.polrelid) LIKE '%current_organization()%'), \
                   EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
                           WHERE i.indrelid = c.oid AND i.indpred IS NULL \
                           AND a.attname = CASE WHEN c.relname IN ('organizations', 'users') THEN 'id' \
                                                ELSE 'organization_id' END) \
                   FROM pg_class c WHERE c.oid = $1::REGCLASS";
        let row = sqlx::query(sql).bind(format!("public.{table}")).fetch_one(&mut connection).await.unwrap();
        for (column, what) in
            ["row level security", "FORCE", "a tenant's policy", "an index by tenant"].iter().enumerate()
        {
            if !row.get::<bool, _>(column) {
                wrong.push(format!("{table}: lacks {what}"));
            }
        }
    }
    // Functions that bypass the policies return ids only, and only the serving role may call them.
    let sql = "SELECT p.proname::TEXT, pg_get_function_result(p.oid), \
               has_function_privilege('public', p.oid, 'EXECUTE'), array_to_string(p.proconfig, ' ') \
               FROM pg_proc p WHERE p.pronamespace = 'public'::REGNAMESPACE AND p.prosecdef";
    for row in sqlx::query(sql).fetch_all(&mut connection).await.unwrap() {
        let (name, result, public, settings): (String, String, bool, Option<String>) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if !name.starts_with("look_up_") || !is_ids_only(&result) {
            wrong.push(format!("{name} returns {result}"));
        }
        if public || !settings.unwrap_or_default().starts_with("search_path=public") {
            wrong.push(format!("{name}: every role may call it, or its search_path is not fixed"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    postgres.stop().await;
}

/// Returns whether a result type is like `TABLE(organization_id uuid, user_id uuid)`.
fn is_ids_only(result: &str) -> bool {
    let columns = result.strip_prefix("TABLE(").and_then(|rest| rest.strip_suffix(')'));
    columns.is_some_and(|columns| columns.split(", ").all(|column| column.ends_with("id uuid")))
}

#[tokio::test]
async fn every_migration_can_be_reverted_on_both() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let mut names = Vec::new();
    for place in [StorePlace::new("sqlite:t.db", folder.path()), place(&database)] {
        schema_up(&place).await.unwrap();
        let steps = schema_status(&place).await.unwrap();
        assert!(steps.len() >= 2 && steps.iter().all(|step| step.applied), "{steps:?}");
        // One by one down to an empty database, and up again.
        for left in steps.iter().rev().skip(1).map(|step| step.version).chain([0]) {
            schema_down(&place, left).await.unwrap();
            let applied = schema_status(&place).await.unwrap();
            assert_eq!(applied.iter().filter(|step| step.applied).map(|step| step.version).max().unwrap_or(0), left);
        }
        Store::open(&place).await.unwrap().close().await;
        names.push(steps.into_iter().map(|step| (step.version, step.name)).collect::<Vec<_>>());
    }
    assert_eq!(names[0], names[1], "the two databases have different steps");
    let left = "SELECT COUNT(*)::TEXT FROM pg_proc WHERE pronamespace = 'public'::REGNAMESPACE AND prosecdef";
    assert!(database.text(left).await.unwrap().parse::<u32>().unwrap() > 0);
    postgres.stop().await;
}
