//! Backup of a store while it is in use, and restore from a backup. Recordings are separate files and are not included.
//!
//! ```text
//! backup:   store ─ VACUUM INTO, pg_dump ─▶ FILE.part ─ checked, synced ─▶ renamed to FILE ─▶ folder synced
//! restore:  FILE ─ checked ─▶ nothing of an old store in the way ─▶ DATABASE.restoring ─ synced ─▶ renamed ─▶ folder synced
//! ```
//!
//! Invariants: a file under its final name is complete and on the disk; nothing is overwritten; a restored database is
//! never combined with the remains of an older one: its write-ahead log, its journal, or events that waited for it.
//!
//! PostgreSQL: `pg_dump` and `pg_restore`, as the role that owns the schema.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use tokio::process::Command;

use super::db::Db;
use super::seal::{self, SealKey, SealState};
use super::{StoreError, StorePlace, postgres, schema, sqlite};

/// Name of the file in the data folder in which events wait while the database is away.
pub const SPOOL: &str = "events.spool";

/// Suffixes of the files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Copies the store into `file`, which must not exist. A server may be running on the store.
///
/// # Errors
/// [`StoreError::Backup`] when the file exists or cannot be written, or `pg_dump` fails; else when the store cannot be
/// read. The text says what to do.
pub async fn backup(place: &StorePlace<'_>, file: &Path) -> Result<(), StoreError> {
    if exists(file) {
        return Err(StoreError::Backup(format!("{} already exists; choose a new file", file.display())));
    }
    let part = Part::new(file, ".part")?;
    if place.is_postgres() {
        let mut command = Command::new("pg_dump");
        command.args(["--format=custom", "--enable-row-security", "--file"]).arg(&part.path);
        run(command, schema::owner(place)?).await?;
    } else {
        let db = sqlite::connect(&schema::path(place)?, false).await?;
        let Db::Sqlite { readers, .. } = &db else { return Err(StoreError::None) };
        let into = part.path.to_string_lossy().into_owned();
        let copied = sqlx::query("VACUUM INTO $1").bind(into).execute(readers).await;
        db.close().await;
        copied?;
        // A copy that cannot be read is not a backup.
        sqlite::check_file(&part.path).await?;
    }
    part.keep(file)
}

/// Restores a backup into a store that does not exist yet (PostgreSQL: into an empty database). If `key` does not open
/// the secrets, they are left out and the id of their key is returned.
///
/// # Errors
/// [`StoreError::Backup`] when an old store is in the way, the file is no backup, or `pg_restore` fails; else when the
/// store cannot be opened. The text says what to do.
pub async fn restore(place: &StorePlace<'_>, file: &Path, key: &SealKey) -> Result<Option<String>, StoreError> {
    restore_database(place, file).await?;
    match seal::seal_state(place, key).await? {
        SealState::Locked(_) => seal::seal_forget(place, key).await.map(Some),
        SealState::Unsealed | SealState::Opens => Ok(None),
    }
}

async fn restore_database(place: &StorePlace<'_>, file: &Path) -> Result<(), StoreError> {
    if place.is_postgres() {
        refuse_remains(&waiting_spool(place)?)?;
        let mut command = Command::new("pg_restore");
        command.args(["--exit-on-error", "--single-transaction", "--no-privileges"]).arg(file);
        run(command, schema::owner(place)?).await?;
        return schema::schema_up(place).await;
    }
    let path = schema::path(place)?;
    let beside = BESIDE.map(|end| with_end(&path, end));
    let mut remains: Vec<PathBuf> = std::iter::once(path.clone()).chain(beside).filter(|file| exists(file)).collect();
    remains.extend(waiting_spool(place)?);
    refuse_remains(&remains)?;
    let live: Vec<PathBuf> = BESIDE.map(|end| with_end(file, end)).into_iter().filter(|file| exists(file)).collect();
    if !live.is_empty() {
        return Err(StoreError::Backup(format!(
            "{} is a database in use, not a backup: {} belongs to it; make a copy of it with `tandem backup`",
            file.display(),
            joined_names(&live)
        )));
    }
    sqlite::check_backup(file).await?;
    let mut source = File::open(file).map_err(|error| unusable(file, &error))?;
    let copy = Part::new(&path, ".restoring")?;
    let copied = copy.file.try_clone().and_then(|mut target| std::io::copy(&mut source, &mut target));
    copied.map_err(|error| unusable(&copy.path, &error))?;
    copy.keep(&path)?;
    schema::schema_up(place).await
}

/// Returns the spool of the old store if events wait in it. A spool without events holds zeros only.
fn waiting_spool(place: &StorePlace<'_>) -> Result<Vec<PathBuf>, StoreError> {
    let path = place.folder.join(SPOOL);
    let mut first = [0];
    let read = match File::open(&path) {
        Ok(mut spool) => spool.read(&mut first).map_err(|error| unusable(&path, &error))?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(unusable(&path, &error)),
    };
    Ok(if read == 1 && first != [0] { vec![path] } else { Vec::new() })
}

/// Refuses to restore if files of an old store are in the way.
fn refuse_remains(remains: &[PathBuf]) -> Result<(), StoreError> {
    if remains.is_empty() {
        return Ok(());
    }
    Err(StoreError::Backup(format!(
        "an old store is in the way: {}; move all of it away first, so that nothing is overwritten or mixed into the restored store",
        joined_names(remains)
    )))
}

fn joined_names(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// Returns whether the path is taken, also by a broken symbolic link.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A file that is written beside its final path; removed on drop unless it was kept.
struct Part {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Part {
    /// Creates the file, readable by this user only. A file that an interrupted attempt left is replaced.
    fn new(target: &Path, end: &str) -> Result<Part, StoreError> {
        let path = with_end(target, end);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(&path, &error)),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| unusable(&path, &error))?;
        Ok(Part { path, file, kept: false })
    }

    /// Renames the file to its final path, which must be free. It is on the disk when this returns.
    fn keep(mut self, target: &Path) -> Result<(), StoreError> {
        self.file.sync_all().map_err(|error| unusable(&self.path, &error))?;
        let renamed = match rustix::fs::renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            // A file system without this flag, such as NFS.
            Err(Errno::INVAL | Errno::NOSYS) if !exists(target) => std::fs::rename(&self.path, target),
            renamed => renamed.map_err(Into::into),
        };
        renamed.map_err(|error| unusable(target, &error))?;
        self.kept = true;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| unusable(folder, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished copy could not be removed");
        }
    }
}

fn unusable(file: &Path, why: &std::io::Error) -> StoreError {
    StoreError::Backup(format!("{}: {why}", file.display()))
}

/// Runs a client program of PostgreSQL on the database of `url`. The password is passed in the environment, which other
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
        StoreError::Backup(format!("{name} cannot be started ({error}); install PostgreSQL's client programs"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(StoreError::Backup(format!("{name}: {}", said.lines().next().unwrap_or("it failed without a message"))))
}
