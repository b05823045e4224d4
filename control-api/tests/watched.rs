//! Rate limits, the audit log, and ids of requests.
//!
//! Rate limits: the defaults, their headers, separate buckets for groups of operations and for people, organizations and addresses, and
//! the limits that operators and owners set. Audit log: filters, export, the hash chain under concurrent changes, and detection of rows
//! that were changed or deleted past the triggers of the database. Ids of requests: taken from the caller if well-formed, otherwise new,
//! returned with every answer and stored in the audit log.
//!
//! Time is real: buckets refill during a test, so remaining counts are compared with tolerance where that matters.
//! Not here: which limit each operation is charged to (`access.rs`), and limits of mail and of failed log-ins (`people.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use control_api::store::{By, Deed, OrganizationId, Role};
use serde_json::{Value, json};
use sqlx::Connection;
use support::{PASSWORD, World, world};

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers[name].to_str().unwrap().parse().unwrap()
}

async fn acme(world: &World) -> OrganizationId {
    world.state.store.organization_by_name("acme").await.unwrap().unwrap().id
}

#[tokio::test]
async fn by_default_every_counted_answer_has_rate_limit_headers() {
    let world = world("").await;
    for left in [599, 598] {
        let answer = world.get("/api/calls").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(number(&answer.headers, "x-ratelimit-limit"), 600);
        // The bucket regains one request every 100 ms.
        assert!((left..600).contains(&number(&answer.headers, "x-ratelimit-remaining")), "{answer:?}");
        assert!(number(&answer.headers, "x-ratelimit-reset") <= 1);
    }
    // Requests that are refused for other reasons are counted and have the headers, too.
    assert_eq!(number(&world.get("/api/calls?limit=0").await.headers, "x-ratelimit-limit"), 600);
    for path in ["/health", "/readyz", "/api/health", "/", "/openapi.json"] {
        let answer = world.stranger(Method::GET, path, "").await;
        assert!(!answer.headers.contains_key("x-ratelimit-limit"), "{path}");
    }
    let request = world.request(Method::GET, "/api/events").body(Body::empty()).unwrap();
    assert!(!world.send(request).await.headers().contains_key("x-ratelimit-limit"));
    let limits = world.get("/api/usage/limits").await.json();
    let named = |name: &str| {
        let all = limits["limits"].as_array().unwrap();
        let limit = all.iter().find(|limit| limit["name"] == name).unwrap();
        (limit["limit"].as_u64().unwrap(), limit["window_s"].as_u64().unwrap())
    };
    for (name, expected) in [
        ("default", (600, 60)),
        ("calls", (20, 300)),
        ("speech", (10, 300)),
        ("configuration", (10, 900)),
        ("retention", (5, 900)),
    ] {
        assert_eq!(named(name), expected, "{name}");
    }
}

#[tokio::test]
async fn the_eleventh_change_of_configuration_is_refused_for_that_person_only() {
    let world = world("").await;
    let (anna, again) = (world.sign_in("anna@example.com").await, world.sign_in("anna@example.com").await);
    let olga = world.member("olga", Role::Owner).await;
    let put = |browser| world.with_browser(browser, Method::PUT, "/api/voice/config", r#"{"record": true}"#);
    for left in (0..10).rev() {
        let answer = put(&anna).await;
        assert_eq!((answer.status, number(&answer.headers, "x-ratelimit-remaining")), (StatusCode::OK, left));
    }
    let refused = put(&anna).await;
    assert_eq!(refused.problem().0, 429);
    let wait = number(&refused.headers, "retry-after");
    assert!((80..=90).contains(&wait), "{wait}");
    assert_eq!(number(&refused.headers, "x-ratelimit-remaining"), 0);
    assert_eq!(number(&refused.headers, "x-ratelimit-limit"), 10);
    // Another session of the same person shares the limit; a colleague and read requests are not affected.
    assert_eq!(put(&again).await.problem().0, 429);
    assert_eq!(put(&olga).await.status, StatusCode::OK);
    assert_eq!(world.with_browser(&anna, Method::GET, "/api/voice/config", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn starting_calls_and_saying_texts_have_their_own_limits() {
    let mut world = world("[dial]\ncalls_per_second = 0").await;
    let out = r#"{"mode": "direct", "to": "+15555550142"}"#;
    let call = world.call().await;
    for _ in 0..19 {
        assert_eq!(world.post("/api/calls", out).await.status, StatusCode::CREATED);
    }
    assert_eq!(world.post("/api/calls", out).await.problem().0, 429);
    let urgent = world.post("/api/calls", r#"{"mode": "direct", "to": "112"}"#).await;
    assert_eq!(urgent.status, StatusCode::CREATED, "emergency calls are not limited");
    let say = format!("/api/calls/{call}/say");
    for _ in 0..10 {
        assert_eq!(world.post(&say, r#"{"text": "hola"}"#).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(world.post(&say, r#"{"text": "hola"}"#).await.problem().0, 429);
    let hung_up = world.post(&format!("/api/calls/{call}/hangup"), "").await;
    assert_eq!(hung_up.status, StatusCode::ACCEPTED, "hanging up is not limited");
}

#[tokio::test]
async fn retention_changes_and_requests_without_a_log_in_have_their_own_limits() {
    let world = world("").await;
    let olga = world.member("olga", Role::Owner).await;
    let put =
        || world.with_browser(&olga, Method::PUT, "/api/organizations/current/retention", r#"{"events_days": 9}"#);
    for _ in 0..5 {
        assert_eq!(put().await.status, StatusCode::OK);
    }
    assert_eq!(put().await.problem().0, 429);
    // The log-in above was the first request from this address.
    for _ in 0..99 {
        assert_eq!(world.stranger(Method::POST, "/api/auth/invitation", r#"{"token": "x"}"#).await.problem().0, 404);
    }
    let login = json!({"email": "anna@example.com", "password": PASSWORD}).to_string();
    for (path, body) in
        [("/api/auth/login", login.as_str()), ("/api/auth/signup", "{}"), ("/api/auth/invitation", "{}")]
    {
        let refused = world.stranger(Method::POST, path, body).await;
        assert_eq!(refused.problem().0, 429, "{path}");
        assert!(number(&refused.headers, "retry-after") <= 9);
    }
    assert_eq!(world.get("/api/calls").await.status, StatusCode::OK, "requests with a valid key are not affected");
}

#[tokio::test]
async fn one_tenant_at_its_limit_does_not_slow_another() {
    let world = world("[limits]\ndefault = \"50/1min\"").await;
    let theirs = || world.with_key(&world.other_key, Method::GET, "/api/calls", "");
    assert_eq!(number(&theirs().await.headers, "x-ratelimit-remaining"), 49);
    let mut refused = 0;
    for _ in 0..500 {
        refused += usize::from(world.get("/api/calls").await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused >= 440, "{refused}");
    // While the flood continues, every request of the other organization is served from its own bucket.
    let flood = async {
        for _ in 0..500 {
            world.get("/api/calls").await;
        }
    };
    let served = async {
        for _ in 0..40 {
            assert_eq!(theirs().await.status, StatusCode::OK);
        }
    };
    tokio::join!(flood, served);
}

#[tokio::test]
async fn the_operator_raises_an_organizations_limit_and_an_owner_lowers_it() {
    let config = "[limits]\ncalls = \"2/5min\"\n[[limits.organizations]]\nid = \"{other}\"\ncalls = \"4/5min\"\n[dial]\ncalls_per_second = 0";
    let world = world(config).await;
    let out = r#"{"mode": "direct", "to": "+15555550142"}"#;
    let started = async |key: &str| {
        let mut started = 0;
        while world.with_key(key, Method::POST, "/api/calls", out).await.status == StatusCode::CREATED {
            started += 1;
        }
        started
    };
    assert_eq!((started(&world.key).await, started(&world.other_key).await), (2, 4));
    let lower = r#"{"limits": {"calls": 1}}"#;
    let changed = world.with_key(&world.other_key, Method::PATCH, "/api/organizations/current", lower).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(started(&world.other_key).await, 0, "a changed limit does not give back used requests");
}

#[tokio::test]
async fn every_answer_has_a_request_id_that_the_audit_log_keeps() {
    let world = world("").await;
    let sent = |id: &'static str| {
        let request = world.request(Method::PUT, "/api/voice/config").header("x-request-id", id);
        let body = Body::from(r#"{"record": true}"#);
        world.answer(request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap())
    };
    assert_eq!(sent("trace-42.a_B").await.headers["x-request-id"], "trace-42.a_B");
    for bad in ["two words", "a;b", "<x>", ""] {
        let made = sent(bad).await.headers["x-request-id"].to_str().unwrap().to_owned();
        assert!(made.parse::<uuid::Uuid>().is_ok(), "{bad}: {made}");
    }
    for path in ["/", "/nothing", "/api/nothing", "/health"] {
        assert!(world.stranger(Method::GET, path, "").await.headers.contains_key("x-request-id"), "{path}");
    }
    let log = world.get("/api/audit-logs?action=voice_config.update").await.json();
    let first = log["audit_logs"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&first["request_id"], &first["actor"]["kind"]), (&json!("trace-42.a_B"), &json!("key")));
    assert_eq!((&first["before"]["record"], &first["after"]["record"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn headers_cannot_be_injected() {
    let world = world("").await;
    // The HTTP library refuses header values with line breaks; valid values are not copied into other headers.
    for value in ["x\r\nSet-Cookie: a=b", "x\nX: y", "x\0"] {
        assert!(axum::http::HeaderValue::from_bytes(value.as_bytes()).is_err(), "{value:?}");
    }
    let request = Request::get("/api/auth/providers")
        .header("x-request-id", "a%0d%0aset-cookie:b")
        .header(header::HOST, "evil\t");
    let answer = world.answer(request.body(Body::empty()).unwrap()).await;
    assert!(!answer.headers.contains_key(header::SET_COOKIE));
    assert_ne!(answer.headers["x-request-id"], "a%0d%0aset-cookie:b");
    let rename = json!({"name": "x\r\nSet-Cookie: a=b"}).to_string();
    let answer = world.with_json(Method::PATCH, "/api/organizations/current", &rename).await;
    assert_eq!(answer.problem(), (422, Some("name".into())));
}

#[tokio::test]
async fn the_audit_log_is_filtered_and_exported_whole() {
    let world = world("").await;
    let organization = acme(&world).await;
    let by = |name: &str| By { name: name.into(), ..By::system("x") };
    let deeds: Vec<(By, Deed)> = (0..1_205)
        .map(|n| (by(["=HYPERLINK(1)", "eve"][n % 2]), Deed::new("test.do", format!("thing:{}", n % 3)).after(n)))
        .collect();
    world.state.store.audit_append(organization, &deeds).await.unwrap();
    let list = async |query: &str| world.get(&format!("/api/audit-logs?{query}")).await.json();
    let page = list("action=test.do&limit=200").await;
    let rows = page["audit_logs"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["after"], &rows[199]["after"]), (200, &json!(1204), &json!(1005)));
    let next = list(&format!("action=test.do&limit=2&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!(next["audit_logs"][0]["after"], json!(1004));
    let few = list("actor=eve&target=thing:0&limit=3").await;
    assert!(few["audit_logs"].as_array().unwrap().iter().all(|row| row["after"].as_u64().unwrap() % 6 == 3), "{few}");
    assert_eq!(list("from=2100-01-01T00:00:00Z").await["audit_logs"], json!([]));
    assert_eq!(list("to=2000-01-01T00:00:00Z").await["audit_logs"], json!([]));
    for (query, field) in [
        ("from=yesterday", "from"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("who=me", "who"),
        ("actor=%00", "actor"),
    ] {
        let answer = world.get(&format!("/api/audit-logs?{query}")).await;
        assert_eq!(answer.problem(), (422, Some(field.into())), "{query}");
    }
    let csv = world.get("/api/audit-logs/export?action=test.do").await;
    assert!(csv.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/csv"));
    let text = String::from_utf8(csv.bytes).unwrap();
    assert_eq!(text.lines().count(), 1_206);
    assert!(text.contains(",'=HYPERLINK(1),") && !text.contains(",=HYPERLINK"), "{}", &text[..500]);
    let exported = world.get("/api/audit-logs/export?format=json").await.json();
    let exported = exported.as_array().unwrap();
    assert_eq!(exported[0]["action"], "audit.export", "the export itself is in the log");
    assert!(exported.len() > 1_205);
    assert_eq!(world.get("/api/audit-logs/export?format=xml").await.problem(), (422, Some("format".into())));
}

#[tokio::test]
async fn concurrent_changes_make_one_intact_audit_chain() {
    let world = world("[limits]\nconfiguration = \"off\"\ndefault = \"off\"").await;
    let changes = (0..60).map(|n| {
        let world = &world;
        async move {
            let body = format!("{{\"record\": {}}}", n % 2 == 0);
            assert_eq!(world.with_json(Method::PUT, "/api/voice/config", &body).await.status, StatusCode::OK);
        }
    });
    let keys = (0..20).map(|n| {
        let world = &world;
        async move {
            let body = json!({"name": format!("k{n}"), "scopes": ["calls.read"]}).to_string();
            assert_eq!(world.post("/api/api-keys", &body).await.status, StatusCode::CREATED);
        }
    });
    tokio::join!(futures_util::future::join_all(changes), futures_util::future::join_all(keys));
    let proof = world.get("/api/audit-logs/verify").await.json();
    assert_eq!((&proof["intact"], proof["checked"].as_u64()), (&json!(true), Some(83)), "{proof}");
}

#[tokio::test]
async fn the_audit_log_is_append_only_and_tampering_past_the_triggers_is_detected() {
    let world = world("").await;
    let organization = acme(&world).await;
    for n in 0..5 {
        world
            .state
            .store
            .audit_append(organization, &[(By::system("x"), Deed::new("test.do", "x").after(n))])
            .await
            .unwrap();
    }
    let file = format!("sqlite:{}", world.folder.path().join("t.db").display());
    let mut outside = sqlx::SqliteConnection::connect(&file).await.unwrap();
    for sql in ["UPDATE audit_log SET actor_name = 'nobody'", "DELETE FROM audit_log"] {
        let error = sqlx::query(sql).execute(&mut outside).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    let verify = async || world.get("/api/audit-logs/verify").await.json();
    assert_eq!(verify().await["intact"], true);
    // The owner of the database can drop the triggers; the hash chain then shows the change.
    sqlx::query("DROP TRIGGER audit_log_never_changes").execute(&mut outside).await.unwrap();
    let row: Value = world.get("/api/audit-logs?action=test.do&limit=5").await.json()["audit_logs"][2].clone();
    let id = row["id"].as_str().unwrap();
    let change = async |outside: &mut sqlx::SqliteConnection, after: &str| {
        let sql = "UPDATE audit_log SET after = $1 WHERE id = $2";
        sqlx::query(sql).bind(after).bind(id).execute(outside).await.unwrap();
    };
    change(&mut outside, "99").await;
    let proof = verify().await;
    assert_eq!((&proof["intact"], &proof["first_broken"]), (&json!(false), &row["id"]), "{proof}");
    change(&mut outside, "2").await;
    assert_eq!(verify().await["intact"], true, "the row is as before");
    sqlx::query("DROP TRIGGER audit_log_never_shrinks").execute(&mut outside).await.unwrap();
    sqlx::query("DELETE FROM audit_log WHERE id = $1").bind(id).execute(&mut outside).await.unwrap();
    assert_eq!(verify().await["intact"], false, "a row is missing");
}
