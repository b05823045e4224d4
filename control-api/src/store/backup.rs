//! A copy of a store that is in use, and the way back from it. Recordings are files beside it and are not in it.
//!
//! SQLite: `VACUUM INTO`, a consistent copy that no writer waits for. PostgreSQL: `pg_dump` and `pg_restore`, as the role
//! that owns the schema.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::db::Db;
use super::{StoreError, StorePlace, postgres, schema, sqlite};

/// Copies the store into `file`, which must not exist. Works while the server runs.
pub async fn backup(place: &StorePlace<'_>, file: &Path) -> Result<(), StoreError> {
    if file.exists() {
        return Err(StoreError::Backup(format!("{} exists already; name a new file", file.display())));
    }
    if place.is_postgres() {
        let mut command = Command::new("pg_dump");
        command.args(["--format=custom", "--enable-row-security", "--file"]).arg(file);
        return run(command, schema::owner(place)?).await;
    }
    let db = sqlite::connect(&schema::path(place)?, false).await?;
    let Db::Sqlite { readers, .. } = &db else { return Err(StoreError::None) };
    let copied = sqlx::query("VACUUM INTO $1").bind(file.to_string_lossy().into_owned()).execute(readers).await;
    db.close().await;
    copied?;
    // Only what is on the disk is a backup, and only what can be read.
    std::fs::File::open(file).and_then(|copy| copy.sync_all()).map_err(|error| unusable(file, &error.to_string()))?;
    sqlite::check_file(file).await
}

/// Brings a backup back into a store that does not exist yet (PostgreSQL: into an empty database).
pub async fn restore(place: &StorePlace<'_>, file: &Path) -> Result<(), StoreError> {
    if place.is_postgres() {
        let mut command = Command::new("pg_restore");
        command.args(["--exit-on-error", "--single-transaction", "--no-privileges"]).arg(file);
        run(command, schema::owner(place)?).await?;
        return schema::schema_up(place).await;
    }
    let path = schema::path(place)?;
    if path.exists() {
        return Err(StoreError::Backup(format!(
            "{} exists; move it away first, so that nothing is overwritten",
            path.display()
        )));
    }
    sqlite::check_file(file).await?;
    std::fs::copy(file, &path).map_err(|error| unusable(&path, &error.to_string()))?;
    schema::schema_up(place).await
}

fn unusable(file: &Path, why: &str) -> StoreError {
    StoreError::Backup(format!("{}: {why}", file.display()))
}

/// Runs a program of PostgreSQL's on the database that `url` names; the password goes by the environment, which other
/// users cannot read.
async fn run(mut command: Command, url: &str) -> Result<(), StoreError> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let server = postgres::server_of(url)?;
    command.env("PGHOST", server.host).env("PGPORT", server.port.to_string()).env("PGUSER", server.user);
    command.env("PGDATABASE", &server.database);
    if let Some(password) = server.password {
        command.env("PGPASSWORD", password);
    }
    if name == "pg_restore" {
        command.args(["--dbname", &server.database]);
    }
    let output = command.stdin(Stdio::null()).output().await.map_err(|error| {
        StoreError::Backup(format!("{name} does not start ({error}); install PostgreSQL's client programs"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(StoreError::Backup(format!("{name}: {}", said.lines().next().unwrap_or("it failed without a word"))))
}
