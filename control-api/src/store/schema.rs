//! The numbered migrations of the schema: up, down, status. Opening a store applies all of them.

use std::path::{Path, PathBuf};

use sqlx::migrate::{Migrate, MigrateError};

use super::db::Db;
use super::seal::{self, Sealer};
use super::{SealKey, Store, StoreError, postgres, sqlite};
use crate::tenant::text::without_password;

/// One numbered migration and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStep {
    /// Number of the migration.
    pub version: i64,
    /// Short description of the migration.
    pub name: String,
    /// Whether it has been applied to the store.
    pub applied: bool,
}

/// Location of the store, from the configuration.
#[derive(Clone, Copy)]
pub struct StorePlace<'a> {
    /// URL: `sqlite:PATH`, `postgres://…` or `none`.
    pub url: &'a str,
    /// PostgreSQL only: URL of the role that owns the schema.
    pub migrate_url: Option<&'a str>,
    /// Folder in which relative paths are resolved.
    pub folder: &'a Path,
}

impl std::fmt::Debug for StorePlace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorePlace")
            .field("url", &without_password(self.url))
            .field("migrate_url", &self.migrate_url.map(without_password))
            .field("folder", &self.folder)
            .finish()
    }
}

impl<'a> StorePlace<'a> {
    /// Returns the location of a store without a second role.
    pub fn new(url: &'a str, folder: &'a Path) -> StorePlace<'a> {
        StorePlace { url, migrate_url: None, folder }
    }

    /// Returns whether the store is on a PostgreSQL server.
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres://") || self.url.starts_with("postgresql://")
    }
}

impl Store {
    /// Opens the store at `place`: creates a missing SQLite file and applies missing migrations (on PostgreSQL only
    /// with the owner's URL). Secrets are sealed with the key file in the folder, which is created if the store has no
    /// key yet.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated, or the key does not open its secrets. The text says what to do.
    pub async fn open(place: &StorePlace<'_>) -> Result<Store, StoreError> {
        Store::open_sealed(place, &SealKey::in_folder(place.folder)).await
    }

    /// Opens the store at `place` like [`Store::open`], with the given key.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated, or the key does not open its secrets. The text says what to do.
    pub async fn open_sealed(place: &StorePlace<'_>, key: &SealKey) -> Result<Store, StoreError> {
        if place.url == "none" {
            return Ok(Store::over(sqlite::none().await?, false, Sealer::passing()));
        }
        let db = connect(place).await?;
        match seal::open(&db, key).await {
            Ok(sealer) => Ok(Store::over(db, true, sealer)),
            Err(error) => {
                db.close().await;
                Err(error)
            }
        }
    }

    /// Waits for running queries and closes the connections; SQLite's write-ahead log is merged into the file.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.rows_outside("SELECT 1 AS one", &[]).await.map(drop)
    }
}

/// Opens a database and applies the migrations that it lacks.
pub(super) async fn connect(place: &StorePlace<'_>) -> Result<Db, StoreError> {
    match place.is_postgres() {
        true => postgres::open(place.url, place.migrate_url).await,
        false => sqlite::open(&path(place)?).await,
    }
}

/// Returns every migration and whether the store has it. Nothing is migrated.
///
/// # Errors
/// When the database cannot be opened. The text says what to do.
pub async fn schema_status(place: &StorePlace<'_>) -> Result<Vec<SchemaStep>, StoreError> {
    let (migrator, applied) = if place.is_postgres() {
        let mut connection = postgres::connect_migrating(place.migrate_url.unwrap_or(place.url)).await?;
        let applied = applied(&mut connection).await.map_err(|error| postgres::problem(&error))?;
        (&postgres::MIGRATIONS, applied)
    } else {
        let path = path(place)?;
        let db = sqlite::connect(&path, false).await?;
        let Db::Sqlite { writer, .. } = &db else { return Err(StoreError::None) };
        let mut connection = writer.acquire().await?;
        let applied = applied(&mut *connection).await;
        drop(connection);
        db.close().await;
        (&sqlite::MIGRATIONS, applied.map_err(|error| StoreError::Migrate(sqlite::migration_problem(&error, &path)))?)
    };
    let steps = migrator.iter().filter(|step| !step.migration_type.is_down_migration());
    Ok(steps
        .map(|step| SchemaStep {
            version: step.version,
            name: step.description.to_string(),
            applied: applied.contains(&step.version),
        })
        .collect())
}

async fn applied<C: Migrate>(connection: &mut C) -> Result<Vec<i64>, MigrateError> {
    let table = "_sqlx_migrations";
    connection.ensure_migrations_table(table).await?;
    Ok(connection.list_applied_migrations(table).await?.into_iter().map(|step| step.version).collect())
}

/// Applies all missing migrations.
///
/// # Errors
/// When the database cannot be opened or migrated, or on PostgreSQL there is no owner's URL. The text says what to do.
pub async fn schema_up(place: &StorePlace<'_>) -> Result<(), StoreError> {
    if !place.is_postgres() {
        let db = sqlite::open(&path(place)?).await?;
        db.close().await;
        return Ok(());
    }
    let owner = owner(place)?;
    let mut connection = postgres::connect_migrating(owner).await?;
    postgres::MIGRATIONS.run(&mut connection).await.map_err(|error| postgres::problem(&error))?;
    postgres::grant(&mut connection, &postgres::role_of(place.url)?).await
}

/// Reverts the newest migrations until `version` is the newest one left; 0 leaves an empty database. Data in what they
/// created are lost.
///
/// # Errors
/// When the database cannot be opened, a migration cannot be reverted, or on PostgreSQL there is no owner's URL.
pub async fn schema_down(place: &StorePlace<'_>, version: i64) -> Result<(), StoreError> {
    if place.is_postgres() {
        let mut connection = postgres::connect_migrating(owner(place)?).await?;
        return postgres::MIGRATIONS.undo(&mut connection, version).await.map_err(|error| postgres::problem(&error));
    }
    let path = path(place)?;
    let db = sqlite::connect(&path, false).await?;
    let Db::Sqlite { writer, .. } = &db else { return Err(StoreError::None) };
    let undone = sqlite::MIGRATIONS.undo(writer, version).await;
    db.close().await;
    undone.map_err(|error| StoreError::Migrate(sqlite::migration_problem(&error, &path)))
}

pub(super) fn owner<'a>(place: &StorePlace<'a>) -> Result<&'a str, StoreError> {
    place.migrate_url.ok_or_else(|| {
        StoreError::Migrate("store.migrate_url is required: the URL of the role that owns the schema".to_owned())
    })
}

pub(super) fn path(place: &StorePlace<'_>) -> Result<PathBuf, StoreError> {
    if !place.url.starts_with("sqlite:") {
        // The text is not repeated, because it may contain a password.
        return Err(StoreError::Open(
            "this is not a supported store; expected sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/DATABASE or none"
                .into(),
        ));
    }
    sqlite::path_of(place.url, place.folder)
}
