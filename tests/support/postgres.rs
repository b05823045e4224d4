//! A PostgreSQL server for one test: Debian's programs, on a free port, with a temporary data folder. `DATABASE_URL` (of a
//! superuser) selects an existing server instead.
//!
//! Every database has two roles, as recommended to operators: `tandem_owner`, which migrates and is not a superuser, and `tandem`,
//! which serves.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tempfile::TempDir;

use crate::ports;
use crate::process::Process;

const INSTALL: &str = "install Debian's postgresql (`make setup-test`)";
const READY: Duration = Duration::from_secs(20);
const PASSWORD: &str = "only-for-tests";

/// A running PostgreSQL server.
pub struct Postgres {
    process: Option<Process>,
    place: Option<Place>,
    /// URL of a superuser, without the database name.
    admin: String,
    made: AtomicU32,
}

/// Folder, port and user of a server that this test started.
struct Place {
    folder: TempDir,
    port: u16,
}

/// URLs of one database.
#[derive(Clone, Debug)]
pub struct Database {
    /// URL for the role that serves.
    pub url: String,
    /// URL for the role that owns the schema.
    pub migrate_url: String,
    /// URL for a superuser.
    pub admin_url: String,
}

impl Postgres {
    /// Starts a server, or connects to the one of `DATABASE_URL`.
    pub async fn start() -> Postgres {
        let (process, place, admin) = match std::env::var("DATABASE_URL") {
            Ok(url) => (None, None, url.rsplit_once('/').map_or(url.clone(), |(server, _)| server.to_owned())),
            Err(_) => {
                let folder = tempfile::tempdir().expect("a folder for PostgreSQL");
                let place = Place { folder, port: ports::free() };
                place.make();
                let process = place.serve().await;
                let admin = format!("postgres://postgres@127.0.0.1:{}", place.port);
                (Some(process), Some(place), admin)
            }
        };
        let postgres = Postgres { process, place, admin, made: AtomicU32::new(0) };
        let mut connection = postgres.connect("postgres").await;
        for role in ["tandem_owner", "tandem"] {
            // Other processes may use the same server.
            let sql = format!(
                "DO $$ BEGIN CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; \
                 EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            );
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a role made");
        }
        postgres
    }

    /// Creates an empty database.
    pub async fn database(&self) -> Database {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("tandem_test_{}_{number}", std::process::id());
        let mut connection = self.connect("postgres").await;
        for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name} OWNER tandem_owner")] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a database made");
        }
        let (_, server) = self.admin.rsplit_once('@').expect("DATABASE_URL names a user");
        Database {
            url: format!("postgres://tandem:{PASSWORD}@{server}/{name}"),
            migrate_url: format!("postgres://tandem_owner:{PASSWORD}@{server}/{name}"),
            admin_url: format!("{}/{name}", self.admin),
        }
    }

    /// Stops the server at once and closes its connections, as an operator would. [`Postgres::resume`] starts it again.
    pub async fn halt(&mut self) {
        let mut process = self.process.take().expect("a server of our own runs");
        // SIGINT: fast shutdown.
        process.signal(libc::SIGINT);
        process.exited(READY).await;
    }

    /// Starts the server again on the same port with the same data.
    pub async fn resume(&mut self) {
        let place = self.place.as_ref().expect("a server of our own");
        self.process = Some(place.serve().await);
    }

    /// Stops the server and removes its data.
    pub async fn stop(mut self) {
        if self.process.is_some() {
            self.halt().await;
        }
    }

    async fn connect(&self, database: &str) -> PgConnection {
        let url = format!("{}/{database}", self.admin);
        PgConnection::connect(&url).await.unwrap_or_else(|error| panic!("PostgreSQL does not answer: {error}"))
    }
}

impl Drop for Postgres {
    /// Handles a failed test: SIGTERM would wait for the server's connections.
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.signal(libc::SIGINT);
        }
    }
}

impl Database {
    /// Runs a query as a superuser and returns the first column of the first row.
    pub async fn text(&self, sql: &'static str) -> Option<String> {
        let mut connection = PgConnection::connect(&self.admin_url).await.expect("a superuser's connection");
        let row = sqlx::query(sql).fetch_optional(&mut connection).await.expect("the query runs");
        row.map(|row| row.get(0))
    }
}

impl Place {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Builds a command that runs as the user of Debian's package if the test runs as root, which PostgreSQL refuses.
    fn as_its_user(&self, program: &str) -> Command {
        let mut command = Command::new(programs().join(program));
        if let Some((uid, gid)) = unprivileged() {
            chown(self.folder.path(), Some(uid), Some(gid)).expect("the folder's owner changed");
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.folder.path());
        command
    }

    fn make(&self) {
        let mut command = self.as_its_user("initdb");
        command.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]);
        let output = command.arg("-D").arg(self.data()).output().unwrap_or_else(|e| panic!("initdb ({e}): {INSTALL}"));
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    async fn serve(&self) -> Process {
        let mut command = self.as_its_user("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k", ""]);
        // Tests check that clients lose no data, not that the disk is durable.
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=200"] {
            command.args(["-c", setting]);
        }
        let process = Process::start("postgres", INSTALL, &mut command);
        let ready = |line: &str| line.contains("ready to accept connections").then_some(());
        process.line("that it is ready", READY, ready).await;
        process
    }
}

/// Folder of the newest version's programs on Debian; elsewhere they are on the path.
fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.pop().map_or_else(|| Path::new("").to_owned(), |(_, path)| path)
}

/// Ids of the user and group `postgres` if the test runs as root.
fn unprivileged() -> Option<(u32, u32)> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let users = root.then(|| std::fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable"))?;
    let fields: Vec<&str> = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}
