//! SQLite: opening and checking the file. WAL mode, so that readers never wait for the writer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Row as _, SqlitePool};

use super::StoreError;
use super::db::Db;

/// The numbered migrations, embedded.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// Connections for reading. More would not help, because reads of SQLite are short and in memory.
const READERS: u32 = 8;

/// Opens the file, creates it if it is missing, and applies the missing migrations.
pub(super) async fn open(path: &Path) -> Result<Db, StoreError> {
    let db = connect(path, true).await?;
    let Db::Sqlite { writer, .. } = &db else { return Err(StoreError::None) };
    check_integrity(writer, path).await?;
    MIGRATIONS.run(writer).await.map_err(|error| StoreError::Migrate(migration_problem(&error, path)))?;
    Ok(db)
}

/// Opens an empty database in memory, which answers queries of a store that keeps nothing.
pub(super) async fn none() -> Result<Db, StoreError> {
    // The database lives in its only connection, which is therefore neither closed when idle nor replaced.
    let options = SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None);
    let pool = options.max_lifetime(None).connect("sqlite::memory:").await?;
    MIGRATIONS.run(&pool).await.map_err(|error| StoreError::Migrate(error.to_string()))?;
    Ok(Db::Sqlite { writer: pool.clone(), readers: pool })
}

/// Connects without touching the schema.
pub(super) async fn connect(path: &Path, create: bool) -> Result<Db, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on the disk when it returns: truncating the spool, keys and audit rows rely on it.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5));
    let writer = pool_of(1).connect_with(options.clone()).await;
    let writer = writer.map_err(|error| {
        // SQLITE_CORRUPT, which is already reported while connecting if the schema itself is damaged.
        match error.as_database_error().and_then(|error| error.code()).as_deref() {
            Some("11") => damaged(path, &error.to_string()),
            _ => StoreError::Open(format!(
                "cannot open {}: {error}; choose a file that this user may write",
                path.display()
            )),
        }
    })?;
    let readers = pool_of(READERS).connect_with(options).await?;
    Ok(Db::Sqlite { writer, readers })
}

/// Returns a pool that takes back a connection only outside of a transaction. SQLite rolls back by itself when the disk
/// is full or fails; the ROLLBACK of sqlx then fails, and sqlx counts a transaction on the connection for ever.
fn pool_of(connections: u32) -> SqlitePoolOptions {
    let options = SqlitePoolOptions::new().max_connections(connections);
    options.after_release(|connection, _| {
        Box::pin(async move {
            // The ping is answered after any rollback that is still queued.
            connection.ping().await?;
            let clean = !connection.is_in_transaction();
            if !clean {
                metrics::counter!("tandem_store_connections_discarded_total").increment(1);
            }
            Ok(clean)
        })
    })
}

/// Refuses a file that is not an intact database.
pub(super) async fn check_file(path: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    let pool = pool.map_err(|error| damaged(path, &error.to_string()))?;
    let checked = check_integrity(&pool, path).await;
    pool.close().await;
    checked
}

/// Refuses a file that is not an intact store of this or an earlier version.
pub(super) async fn check_backup(path: &Path) -> Result<(), StoreError> {
    check_file(path).await?;
    let no_store = || StoreError::Backup(format!("{} is a database, but not a store of tandem", path.display()));
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let newest = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&pool).await;
    pool.close().await;
    let newest: Option<i64> = newest.map_err(|_| no_store())?.try_get(0)?;
    let newest = newest.ok_or_else(no_store)?;
    if MIGRATIONS.version_exists(newest) {
        return Ok(());
    }
    Err(StoreError::Migrate(migration_problem(&MigrateError::VersionMissing(newest), path)))
}

/// Refuses a damaged file, which is neither repaired nor recreated.
async fn check_integrity(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let failed = |what: &str| damaged(path, what);
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(pool).await.map_err(|error| failed(&error.to_string()))?;
    match row.try_get::<String, _>(0)?.as_str() {
        "ok" => Ok(()),
        other => Err(failed(other)),
    }
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Open(format!(
        "{} is damaged ({what}); restore a backup, or move the file away to start with an empty one",
        path.display()
    ))
}

/// Returns the file that a store URL names. A relative path is resolved in `folder`.
pub(super) fn path_of(url: &str, folder: &Path) -> Result<PathBuf, StoreError> {
    let path = url.strip_prefix("sqlite:").unwrap_or_default();
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains('?') || path.contains(":memory:") {
        return Err(StoreError::Open(format!(
            "`{url}` does not name a file; expected sqlite:PATH, such as sqlite:tandem.db"
        )));
    }
    Ok(folder.join(path))
}

pub(super) fn migration_problem(error: &MigrateError, path: &Path) -> String {
    match error {
        MigrateError::VersionMissing(version) => format!(
            "{} was written by a newer tandem (schema {version}); run that version, or start with another data folder",
            path.display()
        ),
        MigrateError::VersionMismatch(version) => format!(
            "{} was created by a different build of schema {version}; start with another data folder",
            path.display()
        ),
        other => format!("{} cannot be migrated to this version: {other}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, StorePlace};
    use super::*;

    #[test]
    fn relative_paths_are_resolved_in_the_data_folder() {
        let folder = Path::new("/data");
        assert_eq!(path_of("sqlite:tandem.db", folder).unwrap(), Path::new("/data/tandem.db"));
        assert_eq!(path_of("sqlite:///srv/t.db", folder).unwrap(), Path::new("/srv/t.db"));
    }

    async fn open(folder: &Path) -> Result<Store, StoreError> {
        Store::open(&StorePlace::new("sqlite:t.db", folder)).await
    }

    #[tokio::test]
    async fn other_schemes_are_refused_without_revealing_passwords() {
        let folder = tempfile::tempdir().unwrap();
        for bad in [
            "mysql://user:secret@host/db",
            "tandem.db",
            "sqlite:",
            "sqlite::memory:",
            "postgres://user:secret@host:x/db",
        ] {
            let text = Store::open(&StorePlace::new(bad, folder.path())).await.unwrap_err().to_string();
            assert!(text.starts_with("store.url"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_store_can_be_reopened_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).await.unwrap().close().await;
        let store = open(folder.path()).await.unwrap();
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                   VALUES (9999, 'later', 1, x'00', 0)";
        let mut tx = store.db.write_outside().await.unwrap();
        tx.run(sql, &[]).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        let text = open(folder.path()).await.unwrap_err().to_string();
        assert!(text.contains("newer tandem (schema 9999)"), "{text}");
    }

    #[tokio::test]
    async fn without_a_store_no_accounts_and_no_files_are_created() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("none", folder.path())).await.unwrap();
        assert!(!store.keeps() && store.organization_default().await.unwrap().is_none());
        let error = store.organization_create("Acme").await.unwrap_err().to_string();
        assert!(error.contains("store.url") && error.contains("database"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        store.close().await;
    }

    #[tokio::test]
    async fn a_store_that_was_full_accepts_writes_again_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let Db::Sqlite { writer, .. } = &store.db else { panic!("not SQLite") };
        for _ in 0..3 {
            // SQLite reports SQLITE_FULL and rolls back by itself, as on a full disk; a new connection has no such
            // limit.
            sqlx::raw_sql("PRAGMA max_page_count = 1").execute(writer).await.unwrap();
            let mut failed = None;
            for n in 0..200 {
                let name = format!("{} {n}{}", uuid::Uuid::now_v7(), "x".repeat(4_000));
                if let Err(error) = store.organization_create(&name).await {
                    failed = Some(error);
                    break;
                }
            }
            let error = failed.expect("writing must fail at the limit");
            assert!(error.to_string().contains("full") && error.is_transient(), "{error}");
            store
                .organization_create(&uuid::Uuid::now_v7().to_string())
                .await
                .expect("a new connection must have room again");
        }
    }

    #[tokio::test]
    async fn a_commit_is_on_the_disk_when_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let Db::Sqlite { writer, .. } = &store.db else { panic!("not SQLite") };
        let row = sqlx::query("PRAGMA synchronous").fetch_one(writer).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 2, "2 is FULL: the write-ahead log is synced by every commit");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_and_left_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        std::fs::write(&path, "this is a shopping list, not a database, and longer than a header").unwrap();
        assert!(matches!(open(folder.path()).await, Err(StoreError::Open(_))));
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is a shopping list"));
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_and_left_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        for n in 0..200 {
            store.organization_create(&format!("organization {n}")).await.unwrap();
        }
        store.close().await;
        let path = folder.path().join("t.db");
        let whole = std::fs::read(&path).unwrap();
        // Damage to the schema, then to rows only.
        for from in [4096, whole.len() - 2 * 4096] {
            let mut bytes = whole.clone();
            bytes[from..].fill(0x5a);
            std::fs::write(&path, &bytes).unwrap();
            let text = open(folder.path()).await.unwrap_err().to_string();
            assert!(text.contains("damaged") && text.contains("backup"), "{text}");
            assert!(std::fs::read(&path).unwrap() == bytes, "the file was changed");
        }
    }
}
