//! A large store of calls: five tenants, the first with six calls in ten; agents, numbers, outcomes, recordings, words.
//!
//! Words are inserted as recognition inserts them, through the rows whose triggers maintain the search index. Every call contains
//! `hello` and `hola`; `itemN` (N below 200) occurs in one call of a hundred, `orderN` (N below 5,000) in one of 2,500, `callN`
//! only in the Nth.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

/// Ids of the tenants; the first has most calls.
pub const ORGANIZATIONS: [&str; 5] = [
    "00000000-0000-7000-8000-000000000000",
    "00000000-0000-7000-8000-000000000001",
    "00000000-0000-7000-8000-000000000002",
    "00000000-0000-7000-8000-000000000003",
    "00000000-0000-7000-8000-000000000004",
];

/// Interval between the starts of two calls, in milliseconds.
const STEP_MS: u64 = 7_000;

/// Columns that are the same in both databases, in terms of `i`, the call's number, and `at`, its start time.
const CALL: &str = "'ended', CASE i % 3 WHEN 0 THEN 'inbound' ELSE 'outbound' END, \
    CASE i % 3 WHEN 0 THEN NULL ELSE 'direct' END, \
    '+1555550' || (1000 + i % 40), '+1' || (2000000000 + (i * 7919) % 700000000), 'agent' || (i % 40), \
    '{\"live_translate\":true,\"transcribe\":false,\"translate_from\":\"en\",\"translate_to\":\"es\",\
    \"voice_to_voice\":false,\"record\":true}', \
    at, at + 2000, at + 62000, 'normal', \
    CASE WHEN i % 7 = 0 THEN 'sale' WHEN i % 11 = 0 THEN 'callback' END, \
    CASE WHEN i % 13 = 0 THEN 'machine' WHEN i % 2 = 0 THEN 'human' END";
const FIRST: &str = "'hello thank you for calling about order' || ((i * 31) % 5000) || ' and item' || (i % 200)";
const SECOND: &str = "'yes please ask for call' || i || ' or for item' || ((i + 100) % 200)";
const MEANING: &str = "'hola gracias por llamar por el pedido' || ((i * 31) % 5000)";

fn first_at(calls: u32) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    u64::try_from(now).unwrap_or(u64::MAX).saturating_sub(u64::from(calls) * STEP_MS)
}

/// Statements that fill both databases; the query `rows` yields i, at, id and organization.
fn statements(rows: &str) -> Vec<String> {
    let transcript = |segment: u32, text: &str| {
        format!(
            "INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at) \
             SELECT organization, id, {segment}, 1, 'customer', 'en', {text}, 'live', at + 5000 FROM {rows} AS seed"
        )
    };
    vec![
        format!(
            "INSERT INTO calls (id, organization_id, status, direction, mode, from_address, to_address, agent, config, \
             created_at, answered_at, ended_at, ended_reason, outcome, amd) SELECT id, organization, {CALL} FROM {rows} AS seed"
        ),
        "INSERT INTO call_stays (organization_id, call_id, leg, agent, call_at, joined_at, left_at, is_first) \
         SELECT organization_id, id, 0, agent, created_at, created_at, ended_at, TRUE FROM calls"
            .to_owned(),
        format!(
            "INSERT INTO recordings (organization_id, call_id, path, state, duration_ms, started_at, ended_at) \
             SELECT organization, id, '/nowhere.wav', 'finished', 60000, at + 2000, at + 62000 FROM {rows} AS seed"
        ),
        transcript(1, FIRST),
        transcript(2, SECOND),
        format!(
            "INSERT INTO translations (organization_id, call_id, segment, event_id, final, text, translation, body) \
             SELECT organization, id, 1, 0, TRUE, {FIRST}, {MEANING}, '{{}}' FROM {rows} AS seed"
        ),
    ]
}

const ORGANIZATION: &str = "'00000000-0000-7000-8000-00000000000' || CASE WHEN i % 10 < 6 THEN 0 ELSE i % 4 + 1 END";

/// Fills a SQLite store that has its schema and no other user, and updates its statistics.
pub async fn sqlite(file: &Path, calls: u32) {
    let mut connection =
        SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.expect("the store opens");
    let first = first_at(calls);
    let rows = format!(
        "(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {calls}) \
         SELECT i, {first} + i * {STEP_MS} AS at, {ORGANIZATION} AS organization, \
         substr(printf('%012x', {first} + i * {STEP_MS}), 1, 8) || '-' || substr(printf('%012x', {first} + i * {STEP_MS}), 9) \
         || printf('-7%03x-8%03x-%012x', i % 4096, i % 4096, i) AS id FROM n)"
    );
    let mut script = vec!["BEGIN".to_owned()];
    for (n, id) in ORGANIZATIONS.iter().enumerate() {
        script.push(format!("INSERT INTO organizations (id, name, created_at) VALUES ('{id}', 'seed-{n}', {n})"));
    }
    script.extend(statements(&rows));
    script.extend(["COMMIT".to_owned(), "ANALYZE".to_owned()]);
    for statement in script {
        connection.execute(AssertSqlSafe(statement)).await.expect("the store is filled");
    }
    connection.close().await.expect("the store closes");
}

/// Fills a PostgreSQL store as a superuser, and updates its statistics.
pub async fn postgres(admin_url: &str, calls: u32) {
    let mut connection = PgConnection::connect(admin_url).await.expect("a superuser's connection");
    let first = first_at(calls);
    let rows = format!(
        "(SELECT i, {first} + i * {STEP_MS} AS at, ({ORGANIZATION})::UUID AS organization, \
         (lpad(to_hex({first} + i * {STEP_MS}), 12, '0') || '7' || lpad(to_hex(i % 4096), 3, '0') || '8' \
         || lpad(to_hex(i % 4096), 3, '0') || lpad(to_hex(i), 12, '0'))::UUID AS id \
         FROM generate_series(0::BIGINT, {calls} - 1) AS i)"
    );
    for (n, id) in ORGANIZATIONS.iter().enumerate() {
        let sql = format!("INSERT INTO organizations (id, name, created_at) VALUES ('{id}', 'seed-{n}', {n})");
        connection.execute(AssertSqlSafe(sql)).await.expect("a tenant made");
    }
    for statement in statements(&rows) {
        connection.execute(AssertSqlSafe(statement)).await.expect("the store is filled");
    }
    connection.execute("VACUUM ANALYZE").await.expect("statistics gathered");
    connection.close().await.expect("the connection closes");
}
