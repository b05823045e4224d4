//! SQLite: opening, migrating, closing. WAL, so that readers never wait for the writer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Store, StoreError};

/// The numbered migrations, embedded.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// Connections for reading. More do not help: SQLite reads are short and in memory.
const READERS: u32 = 8;

impl Store {
    /// Opens the database that `url` names, creates it when absent, and applies what migrations are missing.
    ///
    /// `url`: `sqlite:PATH`; a relative path lies in `folder`. `none`: nothing is kept. Errors say what to do.
    pub async fn open(url: &str, folder: &Path) -> Result<Store, StoreError> {
        if url == "none" {
            return Store::none().await;
        }
        let path = sqlite_path(url, folder)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(|e| {
            StoreError::Open(format!("cannot open {}: {e}; choose a file that this user may write", path.display()))
        })?;
        MIGRATIONS.run(&writer).await.map_err(|error| StoreError::Migrate(migration_problem(&error, &path)))?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?;
        Ok(Store { writer, readers, keeps: true })
    }

    /// An empty database in memory, for what asks whether there is anything.
    async fn none() -> Result<Store, StoreError> {
        // Its one connection holds it: it is neither closed when idle nor replaced.
        let options = SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None);
        let pool = options.max_lifetime(None).connect("sqlite::memory:").await?;
        MIGRATIONS.run(&pool).await.map_err(|error| StoreError::Migrate(error.to_string()))?;
        Ok(Store { writer: pool.clone(), readers: pool, keeps: false })
    }

    /// Waits for running queries and closes the files; the write-ahead log is folded in.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The file that a store URL names.
fn sqlite_path(url: &str, folder: &Path) -> Result<PathBuf, StoreError> {
    let expected = "expected sqlite:PATH, such as sqlite:tandem.db, or none";
    let Some(path) = url.strip_prefix("sqlite:") else {
        let scheme = url.split(':').next().unwrap_or_default();
        return Err(StoreError::Open(format!("this version stores in SQLite only, not in `{scheme}`; {expected}")));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains('?') || path.contains(":memory:") {
        return Err(StoreError::Open(format!("`{url}` names no file; {expected}")));
    }
    Ok(folder.join(path))
}

fn migration_problem(error: &MigrateError, path: &Path) -> String {
    match error {
        MigrateError::VersionMissing(version) => format!(
            "{} was written by a newer tandem (schema {version}); run that version, or start with another data folder",
            path.display()
        ),
        MigrateError::VersionMismatch(version) => format!(
            "{} was made by a different build of schema {version}; start with another data folder",
            path.display()
        ),
        other => format!("{} cannot be brought to this version: {other}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_lie_in_the_data_folder() {
        let folder = Path::new("/data");
        assert_eq!(sqlite_path("sqlite:tandem.db", folder).unwrap(), Path::new("/data/tandem.db"));
        assert_eq!(sqlite_path("sqlite:///srv/t.db", folder).unwrap(), Path::new("/srv/t.db"));
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for bad in ["postgres://user:secret@host/db", "tandem.db", "sqlite:", "sqlite::memory:"] {
            let text = sqlite_path(bad, Path::new("/data")).unwrap_err().to_string();
            assert!(text.starts_with("store.url: "), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_store_opens_twice_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Store::open("sqlite:t.db", folder.path()).await.unwrap().close().await;
        let store = Store::open("sqlite:t.db", folder.path()).await.unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', 1, x'00', 0)",
        )
        .execute(&store.writer)
        .await
        .unwrap();
        store.close().await;
        let text = Store::open("sqlite:t.db", folder.path()).await.unwrap_err().to_string();
        assert!(text.contains("newer tandem (schema 9999)"), "{text}");
    }

    #[tokio::test]
    async fn without_a_store_there_are_no_accounts_and_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("none", folder.path()).await.unwrap();
        assert!(!store.keeps() && store.organization_default().await.unwrap().is_none());
        let error = store.organization_create("Acme").await.unwrap_err().to_string();
        assert!(error.contains("store.url") && error.contains("database"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        store.close().await;
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        std::fs::write(&path, "this is a shopping list, not a database, and longer than a header").unwrap();
        assert!(matches!(Store::open("sqlite:t.db", folder.path()).await, Err(StoreError::Open(_))));
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is a shopping list"));
    }
}
