//! PostgreSQL, 14 or newer: opening and checking the database. The schema belongs to a second role.
//!
//! ```text
//! migrate_url (owner) ─▶ migrations ─▶ grants to the serving role
//! url (serving role)  ─▶ refused if it could bypass row level security: owner, superuser, BYPASSRLS
//! ```

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Row as _};
use tokio::time::timeout;

use super::StoreError;
use super::db::{Db, Pool};

/// The numbered migrations, embedded. They have the same names as those of SQLite.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Connections of the pool; fewer keep one core of PostgreSQL busy. All are opened at the start, so that the first
/// burst does not wait for their password exchanges.
const CONNECTIONS: u32 = 10;
/// A request fails after waiting this long for a connection, so that no request waits for a database that is away.
const ACQUIRE: Duration = Duration::from_secs(3);
/// Time limit for connecting as the migrating role.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that was used this recently is not tested again, which saves a round trip. No PostgreSQL server
/// restarts within this time.
const TRUSTED: Duration = Duration::from_millis(50);
/// Oldest supported version, by the needs of row level security and our statements.
const VERSION_MIN: i32 = 140_000;

/// Connects as the serving role, after the migrating role, if given, has brought the schema up to date.
pub(super) async fn open(url: &str, migrate_url: Option<&str>) -> Result<Db, StoreError> {
    let options = parse("store.url", url)?;
    if let Some(migrate_url) = migrate_url {
        let mut connection = connect_migrating(migrate_url).await?;
        MIGRATIONS.run(&mut connection).await.map_err(|error| problem(&error))?;
        grant(&mut connection, options.get_username()).await?;
        connection.close().await?;
    }
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).min_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
    let pool = pool.test_before_acquire(false).before_acquire(|connection, of| {
        Box::pin(async move {
            if of.idle_for > TRUSTED {
                connection.ping().await?;
            }
            Ok(true)
        })
    });
    // Commits must be on the disk before the spool is truncated or a key is shown.
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async move {
            pin_search_path(connection).await?;
            let sql = "SELECT set_config('synchronous_commit', 'on', false) \
                       WHERE current_setting('synchronous_commit') = 'off'";
            sqlx::query(sql).execute(&mut *connection).await.map(drop)
        })
    });
    let pool = pool.connect_with(options).await;
    let pool = pool.map_err(|error| connect_error("store.url", error))?;
    check_version(&pool).await?;
    check_role(&pool).await?;
    check_search_path(&pool).await?;
    check_schema(&pool).await?;
    Ok(Db::Postgres(Pool::connected(pool)))
}

/// Opens a connection of the role that owns the schema.
pub(super) async fn connect_migrating(url: &str) -> Result<PgConnection, StoreError> {
    let options = parse("store.migrate_url", url)?;
    let connect = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        pin_search_path(&mut connection).await?;
        Ok(connection)
    };
    let connected = timeout(CONNECT, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    connected.map_err(|error| connect_error("store.migrate_url", error))
}

/// Overrides the role's own search path: names resolve to our schema, and temporary tables never come first.
async fn pin_search_path(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET search_path = public, pg_temp").execute(connection).await.map(drop)
}

/// Returns the name of the role in a URL.
pub(super) fn role_of(url: &str) -> Result<String, StoreError> {
    Ok(parse("store.url", url)?.get_username().to_owned())
}

/// Parts of a URL, for the client programs of PostgreSQL.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) database: String,
}

pub(super) fn server_of(url: &str) -> Result<Server, StoreError> {
    let options = parse("store.migrate_url", url)?;
    // sqlx gives access to everything but the password.
    let userinfo = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map_or("", |(user, _)| user);
    let password = userinfo.split_once(':').map(|(_, password)| percent_decoded(password));
    let user = options.get_username().to_owned();
    Ok(Server {
        host: options.get_host().to_owned(),
        port: options.get_port(),
        database: options.get_database().unwrap_or(&user).to_owned(),
        user,
        password,
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses a URL. The error does not repeat it, because URLs contain passwords.
fn parse(key: &'static str, url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        StoreError::Open(format!("{key} cannot be read; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"))
    })?;
    Ok(options.application_name("tandem"))
}

fn connect_error(key: &'static str, error: sqlx::Error) -> StoreError {
    let why = match &error {
        sqlx::Error::PoolTimedOut => "it does not answer".to_owned(),
        other => other.to_string(),
    };
    let text = format!("cannot connect to PostgreSQL with {key}: {why}; check host, database, role and password");
    match StoreError::Database(error).is_transient() {
        true => StoreError::Unreachable(text),
        false => StoreError::Open(text),
    }
}

/// Grants the serving role the use of the tables, and the look-up functions to it only.
pub(super) async fn grant(connection: &mut PgConnection, role: &str) -> Result<(), StoreError> {
    let quoted = sqlx::query("SELECT quote_ident($1), EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)");
    let row = quoted.bind(role).fetch_one(&mut *connection).await?;
    let (name, exists): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !exists {
        return Err(StoreError::Open(format!(
            "store.url names the role {name}, which does not exist; create it with: CREATE ROLE {name} LOGIN PASSWORD '…'"
        )));
    }
    // The server itself has quoted the name. Before PostgreSQL 15 every role may create objects in `public`; if this
    // role does not own that schema, `check_search_path` reports it.
    let statements = format!(
        "DO $$ BEGIN REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         EXCEPTION WHEN insufficient_privilege THEN NULL; END $$; \
         GRANT USAGE ON SCHEMA public TO {name}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}; \
         REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM {name}; \
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {name}; \
         DO $$ DECLARE f REGPROCEDURE; BEGIN \
         FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'look\\_up\\_%' \
             AND pronamespace = 'public'::REGNAMESPACE LOOP \
             EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f); \
             EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {name}', f); \
         END LOOP; END $$;"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

/// Refuses a schema in which other roles may create objects, because a function or table of theirs could replace ours.
async fn check_search_path(pool: &PgPool) -> Result<(), StoreError> {
    let sql = "SELECT has_schema_privilege('public', 'public', 'CREATE') \
               OR has_schema_privilege(current_user, 'public', 'CREATE')";
    let row = sqlx::query(sql).fetch_one(pool).await?;
    if row.try_get(0)? {
        return Err(StoreError::Open(
            "every role may create objects in the database's schema `public`, which could replace those of tandem; as a \
            superuser, run in this database: REVOKE CREATE ON SCHEMA public FROM PUBLIC"
                .to_owned(),
        ));
    }
    Ok(())
}

async fn check_version(pool: &PgPool) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT current_setting('server_version_num')::INT4, current_setting('server_version')");
    let row = row.fetch_one(pool).await?;
    if row.try_get::<i32, _>(0)? < VERSION_MIN {
        let version: String = row.try_get(1)?;
        return Err(StoreError::Open(format!("PostgreSQL {version} is too old; 14 or newer is needed")));
    }
    Ok(())
}

/// Refuses a role that row level security does not restrict.
async fn check_role(pool: &PgPool) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT quote_ident(current_user), r.rolsuper, r.rolbypassrls, EXISTS (SELECT 1 FROM pg_class c \
         WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relkind = 'r' AND pg_has_role(current_user, c.relowner, 'MEMBER')) \
         FROM pg_roles r WHERE r.rolname = current_user",
    );
    let row = row.fetch_one(pool).await?;
    let name: String = row.try_get(0)?;
    let what = if row.try_get(1)? {
        "is a superuser"
    } else if row.try_get(2)? {
        "has BYPASSRLS"
    } else if row.try_get(3)? {
        "owns the tables"
    } else {
        return Ok(());
    };
    Err(StoreError::Open(format!(
        "the role {name} of store.url {what}, so nothing would keep organizations apart; use a separate role for serving \
        (CREATE ROLE tandem LOGIN PASSWORD '…') and set store.migrate_url to the owner's URL"
    )))
}

/// Refuses a schema of another version.
async fn check_schema(pool: &PgPool) -> Result<(), StoreError> {
    let exists = sqlx::query("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
    let applied: Vec<i64> = if exists.try_get(0)? {
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version");
        let rows = rows.fetch_all(pool).await.map_err(|_| {
            StoreError::Migrate("the serving role may not use the tables; run `tandem migrate up`".to_owned())
        })?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    if let Some(newer) = applied.iter().find(|version| !MIGRATIONS.version_exists(**version)) {
        return Err(problem(&MigrateError::VersionMissing(*newer)));
    }
    let missing = MIGRATIONS.iter().filter(|migration| !migration.migration_type.is_down_migration());
    match missing.map(|migration| migration.version).find(|version| !applied.contains(version)) {
        None => Ok(()),
        Some(version) => Err(StoreError::Migrate(format!(
            "the database lacks schema {version}; set store.migrate_url to the owner's URL, or run `tandem migrate up` with it"
        ))),
    }
}

pub(super) fn problem(error: &MigrateError) -> StoreError {
    StoreError::Migrate(match error {
        MigrateError::VersionMissing(version) => {
            format!(
                "the database was written by a newer tandem (schema {version}); run that version, or use another database"
            )
        }
        MigrateError::VersionMismatch(version) => {
            format!("the database was created by a different build of schema {version}; use another database")
        }
        other => format!("the database cannot be migrated to this version: {other}"),
    })
}
