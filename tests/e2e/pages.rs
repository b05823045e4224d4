//! The pages in use: real browsers, a real server. Every action that a page confirms is verified through the API, and every value
//! that it shows must still be there after a reload.

mod calls;
mod desk;
mod people;
mod settings;
mod supervise;

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tests::browser::Browser;
use tests::postgres::{Database, Postgres};
use tests::tandem::Tandem;

const HERTZ: f32 = 440.0;
const LEVEL_DBFS: f32 = -12.0;
const PATIENCE: Duration = Duration::from_secs(10);
const CALLER: &str = "+34910000001";
const PASSWORD: &str = "seven quiet otters";

async fn browser() -> Browser {
    Browser::launch(HERTZ, LEVEL_DBFS).await
}

/// Fills in the login page and submits it, whatever page follows.
async fn log_in(browser: &mut Browser, email: &str, password: &str) {
    browser.fill("#login-email", email).await;
    browser.fill("#login-password", password).await;
    browser.click("#login-submit").await;
}

/// Returns the page's console messages since the last call, except for those that Chromium writes about every meter.
async fn complaints(browser: &mut Browser) -> Vec<String> {
    let mut complaints = browser.complaints().await;
    complaints.retain(|text| !text.contains("ScriptProcessorNode"));
    complaints
}

async fn is_quiet(browser: &mut Browser) {
    let complaints = complaints(browser).await;
    assert!(complaints.is_empty(), "the page complained: {complaints:?}");
}

/// Asserts that the console contains only the browser's own messages about refused or unanswered requests.
async fn was_refused(browser: &mut Browser) {
    let complaints = complaints(browser).await;
    let told = complaints.iter().all(|text| text.starts_with("Failed to load resource"));
    assert!(told && !complaints.is_empty(), "the page complained: {complaints:?}");
}

/// Database of a server.
enum Kept {
    Sqlite,
    Postgres(Box<Postgres>, Database),
}

impl Kept {
    async fn postgres() -> Kept {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        Kept::Postgres(Box::new(postgres), database)
    }

    /// Keys of `[store]`, as TOML.
    fn store(&self) -> String {
        match self {
            Kept::Sqlite => String::new(),
            Kept::Postgres(_, database) => {
                format!("url = {:?}\nmigrate_url = {:?}\n", database.url, database.migrate_url)
            }
        }
    }

    /// Runs SQL in the database of a running server.
    async fn run(&self, tandem: &Tandem, sql: &[String]) {
        macro_rules! run {
            ($connection:expr) => {{
                let mut connection = $connection.await.expect("the database opens");
                for statement in sql {
                    connection.execute(AssertSqlSafe(statement.clone())).await.expect("rows changed");
                }
            }};
        }
        match self {
            Kept::Sqlite => {
                run!(SqliteConnection::connect(&format!("sqlite:{}", tandem.data().join("tandem.db").display())))
            }
            Kept::Postgres(_, database) => run!(PgConnection::connect(&database.admin_url)),
        }
    }

    async fn stop(self) {
        if let Kept::Postgres(postgres, _) = self {
            postgres.stop().await;
        }
    }
}
