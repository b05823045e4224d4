//! People over the API: sign-up, log-in, sessions, invitations and their mail, the team, API keys.
//!
//! Requests enter the router directly; mail goes to the SMTP server of `support::smtp` on a real socket. Covered: the first user of an
//! installation, open and closed sign-up, accepting, revoking and replacing invitations, resetting passwords, slowing down guesses,
//! roles and the last owner, ending the telephones of people who lose the right to call, scopes and expiry of keys, cursors of lists,
//! limits of mail, health and readiness, and refusing bad tokens before the store is read.
//!
//! Not here: the permissions of every operation (`access.rs`), rate limits and the audit log itself (`watched.rs`), agents' telephones on
//! the network (`server.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use control_api::engine::Command;
use control_api::store::{Role, Store, StorePlace};
use serde_json::{Value, json};
use support::smtp::{Refusal, Smtp};
use support::{Answer, Browser, PASSWORD, World, empty_world, world};

const DELETE: Method = Method::DELETE;
const GET: Method = Method::GET;
const PATCH: Method = Method::PATCH;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

async fn sign_up(world: &World, organization: &str, email: &str) -> Answer {
    let body = json!({"organization": organization, "name": "Olga", "email": email, "password": PASSWORD});
    world.stranger(POST, "/api/auth/signup", &body.to_string()).await
}

async fn login(world: &World, email: &str, password: &str) -> Answer {
    world.stranger(POST, "/api/auth/login", &json!({"email": email, "password": password}).to_string()).await
}

async fn signup_mode(world: &World) -> Value {
    world.stranger(GET, "/api/auth/providers", "").await.json()["signup"].clone()
}

#[tokio::test]
async fn the_first_user_owns_a_fresh_installation_and_then_sign_up_is_closed() {
    let world = empty_world("").await;
    assert_eq!(signup_mode(&world).await, "first_user");
    for path in ["/", "/login", "/agent"] {
        let page = world.stranger(GET, path, "").await;
        assert_eq!(
            (page.status.as_u16(), &page.headers[header::LOCATION]),
            (307, &"/signup".parse().unwrap()),
            "{path}"
        );
    }
    assert_eq!(world.stranger(GET, "/signup", "").await.status, StatusCode::OK);
    let answer = sign_up(&world, "Acme Ltd", "Olga@Example.com").await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let session = answer.json();
    assert_eq!((&session["user"]["role"], &session["user"]["email"]), (&json!("owner"), &json!("olga@example.com")));
    assert_eq!((&session["organization"]["name"], &session["user"]["sip_name"]), (&json!("Acme Ltd"), &json!("olga")));
    assert!(session["permissions"].as_array().unwrap().contains(&json!("retention.write")));
    let olga = Browser::of(&answer);
    let me = world.with_browser(&olga, GET, "/api/users/me", "").await.json();
    assert_eq!((&me["name"], &me["organization"]["name"]), (&json!("Olga"), &json!("Acme Ltd")));
    assert_eq!(signup_mode(&world).await, "invitation");
    assert_eq!(sign_up(&world, "Other", "second@example.com").await.problem().0, 403);
    assert_eq!(
        world.stranger(GET, "/", "").await.status,
        StatusCode::OK,
        "the pages are shown after the first sign-up"
    );
    // The audit log names the person and the address.
    let log = world.with_browser(&olga, GET, "/api/audit-logs?action=organization.create", "").await.json();
    let entry = &log["audit_logs"][0];
    assert_eq!((&entry["actor"]["name"], &entry["after"]["name"]), (&json!("olga@example.com"), &json!("Acme Ltd")));
    assert_eq!((&entry["actor"]["id"], &entry["address"]), (&me["id"], &json!("0.0.0.0")));
}

#[tokio::test]
async fn of_concurrent_first_sign_ups_exactly_one_succeeds() {
    let world = empty_world("").await;
    let all = (0..8).map(|n| {
        let world = &world;
        async move { sign_up(world, &format!("org {n}"), &format!("u{n}@example.com")).await.status.as_u16() }
    });
    let mut statuses = futures_util::future::join_all(all).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403, 403, 403, 403, 403, 403, 403]);
}

#[tokio::test]
async fn open_sign_up_creates_an_organization_that_sees_no_other() {
    let world = empty_world("[auth]\nsignup = \"open\"").await;
    assert_eq!(sign_up(&world, "One", "one@example.com").await.status, StatusCode::CREATED);
    assert_eq!(signup_mode(&world).await, "open");
    let two = Browser::of(&sign_up(&world, "Two", "two@example.com").await);
    let members = world.with_browser(&two, GET, "/api/team/members", "").await.json();
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
    for (organization, email, field) in [("One", "three@example.com", None), ("Three", "one@example.com", None)] {
        assert_eq!(sign_up(&world, organization, email).await.problem(), (409, field), "{organization} {email}");
    }
    for (body, field) in [
        (json!({"name": "x", "password": PASSWORD}), "organization"),
        (json!({"organization": "x", "invitation": "y", "name": "x", "password": PASSWORD}), "organization"),
        (json!({"organization": "x", "name": "x", "password": PASSWORD}), "email"),
        (json!({"organization": "x", "name": "", "email": "x@y", "password": PASSWORD}), "name"),
        (json!({"organization": "x", "name": "a\u{0}b", "email": "x@y", "password": PASSWORD}), "name"),
        (json!({"organization": " x", "name": "x", "email": "x@y", "password": PASSWORD}), "organization"),
        (json!({"organization": "x", "name": "x", "email": "nobody", "password": PASSWORD}), "email"),
        (json!({"organization": "x", "name": "x", "email": "x@y", "password": "short"}), "password"),
        (
            json!({"organization": "x", "name": "x", "email": "x@y", "password": PASSWORD, "sip_name": "A B"}),
            "sip_name",
        ),
        (json!({"organization": "x", "name": "x", "email": "x@y", "password": PASSWORD, "role": "owner"}), "role"),
    ] {
        let answer = world.stranger(POST, "/api/auth/signup", &body.to_string()).await;
        assert_eq!(answer.problem(), (422, Some(field.into())), "{body}");
    }
}

#[tokio::test]
async fn an_invitation_is_accepted_once_and_can_be_revoked_or_replaced() {
    let world = world("[http]\npublic_url = \"https://voice.example.com\"\n[limits]\nconfiguration = \"off\"").await;
    let olga = world.member("olga", Role::Owner).await;
    let own = |browser: &Browser, method, path: &str, body: &str| {
        let mut request = world.page(browser, method, path, body);
        request.headers_mut().insert(header::ORIGIN, "https://voice.example.com".parse().unwrap());
        world.answer(request)
    };
    let invite = r#"{"email": "Greta@example.com", "role": "supervisor"}"#;
    let made = own(&olga, POST, "/api/team/invitations", invite).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let made = made.json();
    assert_eq!(
        (&made["mailed"], &made["state"], &made["email"]),
        (&json!(false), &json!("open"), &json!("greta@example.com"))
    );
    let token = made["url"].as_str().unwrap().strip_prefix("https://voice.example.com/invitation#").unwrap().to_owned();
    let offer = world.stranger(POST, "/api/auth/invitation", &json!({"token": token}).to_string()).await.json();
    assert_eq!((&offer["organization"], &offer["role"]), (&json!("acme"), &json!("supervisor")));
    for wrong in ["", "x", &"y".repeat(300)] {
        let answer = world.stranger(POST, "/api/auth/invitation", &json!({"token": wrong}).to_string()).await;
        assert_eq!(answer.problem().0, 404);
    }
    let join = |email: Option<&str>| {
        let body = json!({"invitation": token, "name": "Greta", "password": PASSWORD, "email": email});
        let world = &world;
        async move { world.stranger(POST, "/api/auth/signup", &body.to_string()).await }
    };
    assert_eq!(join(Some("mallory@example.com")).await.problem(), (422, Some("email".into())));
    let (first, second) = tokio::join!(join(None), join(None));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{first:?} {second:?}");
    assert!([401, 404, 409].contains(&statuses[1]), "{first:?} {second:?}");
    let joined = if first.status == StatusCode::CREATED { first } else { second };
    assert_eq!(joined.json()["user"]["role"], "supervisor");
    assert_eq!(join(None).await.problem().0, 404);
    // An invitation that was revoked or replaced by a newer one is unknown.
    for replaced in [false, true] {
        let made =
            own(&olga, POST, "/api/team/invitations", r#"{"email": "h@example.com", "role": "agent"}"#).await.json();
        if replaced {
            own(&olga, POST, "/api/team/invitations", r#"{"email": "h@example.com", "role": "viewer"}"#).await;
        } else {
            let path = format!("/api/team/invitations/{}", made["id"].as_str().unwrap());
            assert_eq!(own(&olga, DELETE, &path, "").await.status, StatusCode::NO_CONTENT);
            assert_eq!(own(&olga, DELETE, &path, "").await.problem().0, 404);
        }
        let token = made["url"].as_str().unwrap().split('#').nth(1).unwrap();
        let answer = world.stranger(POST, "/api/auth/invitation", &json!({"token": token}).to_string()).await;
        assert_eq!(answer.problem().0, 404, "replaced: {replaced}");
    }
    let page = own(&olga, GET, "/api/team/invitations?limit=2", "").await.json();
    let states: Vec<&Value> = page["invitations"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["open", "revoked"]);
    let next = format!("/api/team/invitations?cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = own(&olga, GET, &next, "").await.json();
    assert_eq!((rest["invitations"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));
    assert_eq!(
        own(&olga, POST, "/api/team/invitations", invite).await.problem().0,
        409,
        "the person is a member already"
    );
    // Only owners invite owners.
    let body = r#"{"email": "o@example.com", "role": "owner"}"#;
    assert_eq!(world.post("/api/team/invitations", body).await.problem().0, 403);
}

#[tokio::test]
async fn an_existing_account_joins_with_its_password_and_chooses_the_organization() {
    let world = world("").await;
    let other = world.other_key.clone();
    let made = world
        .with_key(&other, POST, "/api/team/invitations", r#"{"email": "anna@example.com", "role": "agent"}"#)
        .await
        .json();
    let token = made["url"].as_str().unwrap().split('#').nth(1).unwrap().to_owned();
    let join = |password: &str| {
        let body = json!({"invitation": token, "name": "not used", "password": password}).to_string();
        let world = &world;
        async move { world.stranger(POST, "/api/auth/signup", &body).await }
    };
    assert_eq!(join("not her password").await.problem().0, 401);
    let joined = join(PASSWORD).await.json();
    assert_eq!((&joined["organization"]["name"], &joined["user"]["name"]), (&json!("other"), &json!("anna")));
    assert_ne!(joined["user"]["sip_name"], "anna", "SIP names are unique across organizations");
    for (organization, role) in [(None, "admin"), (Some("acme"), "admin"), (Some("other"), "agent")] {
        let body = json!({"email": "anna@example.com", "password": PASSWORD, "organization": organization});
        let session = world.stranger(POST, "/api/auth/login", &body.to_string()).await.json();
        assert_eq!(session["user"]["role"], role, "{organization:?}");
    }
    for organization in ["nowhere", ""] {
        let body = json!({"email": "anna@example.com", "password": PASSWORD, "organization": organization});
        let answer = world.stranger(POST, "/api/auth/login", &body.to_string()).await;
        assert_eq!(answer.problem(), (422, Some("organization".into())));
    }
    // A member who is removed from one organization stays in the other.
    let id = joined["user"]["id"].as_str().unwrap();
    let gone = world.with_key(&other, DELETE, &format!("/api/team/members/{id}"), "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(world.sign_in("anna@example.com").await.csrf.len(), 64);
}

#[tokio::test]
async fn sessions_can_be_refreshed_and_end_when_the_password_changes() {
    let world = world("").await;
    let (one, two) = (world.sign_in("anna@example.com").await, world.sign_in("anna@example.com").await);
    let refreshed = world.with_browser(&one, POST, "/api/auth/refresh", "").await;
    assert_eq!(refreshed.status, StatusCode::OK, "{refreshed:?}");
    let new = Browser::of(&refreshed);
    assert_ne!((&new.cookie, &new.csrf), (&one.cookie, &one.csrf));
    assert_eq!(world.with_browser(&one, GET, "/api/auth/session", "").await.problem().0, 401);
    assert_eq!(world.with_browser(&new, GET, "/api/auth/csrf", "").await.json()["csrf_token"], new.csrf);
    let change = |current: &str, next: &str| json!({"current": current, "new": next}).to_string();
    let next = "another long password";
    for (body, field) in [(change("wrong", next), "current"), (change(PASSWORD, "short"), "new")] {
        assert_eq!(
            world.with_browser(&new, POST, "/api/auth/password", &body).await.problem(),
            (422, Some(field.into()))
        );
    }
    let changed = world.with_browser(&new, POST, "/api/auth/password", &change(PASSWORD, next)).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{changed:?}");
    assert_eq!(
        world.with_browser(&new, GET, "/api/auth/session", "").await.status,
        StatusCode::OK,
        "the session that changed the password stays"
    );
    assert_eq!(world.with_browser(&two, GET, "/api/auth/session", "").await.problem().0, 401);
    assert_eq!(login(&world, "anna@example.com", PASSWORD).await.problem().0, 401);
    assert_eq!(login(&world, "anna@example.com", next).await.status, StatusCode::OK);
    // Log-out deletes both cookies; without a session it has no effect.
    let out = world.with_browser(&new, POST, "/api/auth/logout", "").await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let cookies: Vec<&str> =
        out.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
    assert!(cookies.iter().all(|cookie| cookie.contains("Max-Age=0")) && cookies.len() == 2, "{cookies:?}");
    assert_eq!(world.with_browser(&new, GET, "/api/auth/session", "").await.problem().0, 401);
    assert_eq!(world.stranger(POST, "/api/auth/logout", "").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn failed_log_ins_slow_down_their_network_also_after_a_restart() {
    let world = world("").await;
    for _ in 0..10 {
        assert_eq!(login(&world, "anna@example.com", "wrong password here").await.problem().0, 401);
    }
    // Each further wrong password makes the wait longer; attempts during the wait do not.
    let waits = |answer: &Answer| answer.headers[header::RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
    for wait in [1, 1, 1] {
        let refused = login(&world, "anna@example.com", PASSWORD).await;
        assert_eq!((refused.problem().0, waits(&refused)), (429, wait));
    }
    let until = Instant::now() + Duration::from_secs(1);
    tokio::time::sleep_until(until.into()).await;
    assert_eq!(login(&world, "anna@example.com", "wrong password here").await.problem().0, 401);
    let other = world.restarted().await;
    let refused = login(&other, "Anna@example.com", PASSWORD).await;
    assert_eq!((refused.problem().0, waits(&refused)), (429, 2));
    assert_eq!(login(&other, "vera@example.com", PASSWORD).await.status, StatusCode::OK);
    // The audit log holds refused and successful log-ins.
    let log = other.get("/api/audit-logs?action=session.refuse&limit=200").await.json();
    assert_eq!(log["audit_logs"].as_array().unwrap().len(), 11);
    assert_eq!(
        other.get("/api/audit-logs?action=session.open").await.json()["audit_logs"][0]["actor"]["name"],
        "vera@example.com"
    );
}

#[tokio::test]
async fn only_owners_change_owners_and_the_last_owner_stays() {
    let world = world("[limits]\nconfiguration = \"off\"").await;
    let olga = world.member("olga", Role::Owner).await;
    let anna = world.sign_in("anna@example.com").await;
    let members = world.with_browser(&anna, GET, "/api/team/members", "").await.json();
    let id = |name: &str| {
        let all = members["members"].as_array().unwrap();
        let found = all.iter().find(|member| member["name"] == name).unwrap();
        found["user_id"].as_str().unwrap().to_owned()
    };
    let path = |name: &str| format!("/api/team/members/{}", id(name));
    assert!(members["members"].as_array().unwrap().iter().any(|member| member["last_login_at"].is_string()));
    let owner = r#"{"role": "owner"}"#;
    for (browser, method, name, body) in [
        (&anna, PATCH, "anna", owner),
        (&anna, PATCH, "vera", owner),
        (&anna, PATCH, "olga", r#"{"role": "viewer"}"#),
        (&anna, DELETE, "olga", ""),
    ] {
        assert_eq!(world.with_browser(browser, method, &path(name), body).await.problem().0, 403, "{name} {body}");
    }
    assert_eq!(
        world.with_json(PATCH, &path("vera"), owner).await.problem().0,
        403,
        "a key has at most the permissions of an admin"
    );
    assert_eq!(world.with_browser(&olga, PATCH, &path("olga"), r#"{"role": "admin"}"#).await.problem().0, 409);
    assert_eq!(world.with_browser(&olga, DELETE, &path("olga"), "").await.problem().0, 409);
    assert_eq!(world.with_browser(&olga, PATCH, &path("anna"), owner).await.status, StatusCode::OK);
    assert_eq!(world.with_browser(&anna, PATCH, &path("olga"), r#"{"role": "viewer"}"#).await.status, StatusCode::OK);
    // A changed role takes effect at once.
    assert_eq!(world.with_browser(&olga, PATCH, &path("vera"), r#"{"role": "agent"}"#).await.problem().0, 403);
    let vera = world.sign_in("vera@example.com").await;
    assert_eq!(world.with_browser(&anna, DELETE, &path("vera"), "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.with_browser(&vera, GET, "/api/users/me", "").await.problem().0, 401);
    assert_eq!(login(&world, "vera@example.com", PASSWORD).await.problem().0, 401);
    assert_eq!(world.with_browser(&anna, GET, &format!("/api/users/{}", id("vera")), "").await.problem().0, 404);
    // A removed member can be invited again.
    let again = world
        .with_browser(&anna, POST, "/api/team/invitations", r#"{"email": "vera@example.com", "role": "viewer"}"#)
        .await;
    assert_eq!(again.status, StatusCode::CREATED);
    let log = world.with_browser(&anna, GET, &format!("/api/audit-logs?target=member:{}", id("vera")), "").await.json();
    assert_eq!(log["audit_logs"][0]["before"]["role"], "viewer");
    let log = world.with_browser(&anna, GET, &format!("/api/audit-logs?target=member:{}", id("anna")), "").await.json();
    let change = (&log["audit_logs"][0]["before"], &log["audit_logs"][0]["after"]);
    assert_eq!(change, (&json!({"role": "admin"}), &json!({"role": "owner"})));
}

/// Takes all waiting commands and returns the SIP names of those that end telephone credentials.
fn take_ended_telephones(world: &mut World) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(command) = world.commands.try_recv() {
        if let Command::CredentialEnd { user } = command {
            names.push(user);
        }
    }
    names
}

#[tokio::test]
async fn a_person_who_loses_the_right_to_call_loses_the_telephone() {
    let mut world = world("[limits]\nconfiguration = \"off\"").await;
    let ben = world.member("ben", Role::Agent).await;
    let me = world.with_browser(&ben, GET, "/api/users/me", "").await.json();
    let path = format!("/api/team/members/{}", me["id"].as_str().unwrap());
    let olga = world.member("olga", Role::Owner).await;
    for (role, ends) in [("supervisor", false), ("viewer", true), ("compliance", true), ("agent", false)] {
        let changed = world.with_browser(&olga, PATCH, &path, &json!({"role": role}).to_string()).await;
        assert_eq!(changed.status, StatusCode::OK, "{role}");
        assert_eq!(take_ended_telephones(&mut world), if ends { vec!["ben"] } else { vec![] }, "{role}");
    }
    assert_eq!(world.with_browser(&ben, POST, "/api/webrtc/token", "").await.status, StatusCode::OK);
    let change = json!({"current": PASSWORD, "new": "another long password"}).to_string();
    assert_eq!(world.with_browser(&ben, POST, "/api/auth/password", &change).await.status, StatusCode::NO_CONTENT);
    assert_eq!(take_ended_telephones(&mut world), ["ben"]);
    // Revoking a key ends the telephones that were opened with it, and no others.
    let body = r#"{"name": "kiosk", "scopes": ["calls.dial"]}"#;
    let made = world.post("/api/api-keys", body).await.json();
    let key = made["key"].as_str().unwrap();
    let token = async |agent: &str| world.with_key(key, POST, &format!("/api/webrtc/token?agent={agent}"), "").await;
    assert_eq!(token("ben").await.status, StatusCode::OK);
    assert_eq!(token("vera").await.problem().0, 403, "a viewer has permissions that this key does not have");
    assert_eq!(world.post("/api/webrtc/token?agent=anna", "").await.status, StatusCode::OK, "opened with another key");
    let revoked = world.with_json(DELETE, &format!("/api/api-keys/{}", made["id"].as_str().unwrap()), "").await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(take_ended_telephones(&mut world), ["ben"]);
    assert_eq!(world.with_json(DELETE, &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(take_ended_telephones(&mut world), ["ben"]);
    assert_eq!(world.with_json(DELETE, &path, "").await.problem().0, 404);
    assert_eq!(take_ended_telephones(&mut world), Vec::<String>::new());
}

#[tokio::test]
async fn keys_are_shown_once_listed_without_the_secret_and_can_be_revoked() {
    let world = world("").await;
    let body = r#"{"name": "dialler", "scopes": ["calls.dial", "calls.read"], "expires_in_days": 30}"#;
    let made = world.post("/api/api-keys", body).await.json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with(made["prefix"].as_str().unwrap()) && key.len() == 47, "{key}");
    let listed = world.get("/api/api-keys?limit=1").await;
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(key));
    let listed = listed.json();
    assert_eq!(listed["api_keys"][0]["scopes"], json!(["calls.read", "calls.dial"]));
    assert!(listed["api_keys"][0]["expires_at"].is_string() && listed["next_cursor"].is_string());
    let asked = |key: &str| {
        let body = json!({"key": key}).to_string();
        let world = &world;
        async move { world.stranger(POST, "/api/auth/validate-key", &body).await.json() }
    };
    let answer = asked(key).await;
    assert_eq!((&answer["valid"], &answer["name"]), (&json!(true), &json!("dialler")));
    assert_eq!(asked("tdm_no").await, json!({"valid": false}));
    assert_eq!(world.with_key(key, GET, "/api/calls", "").await.status, StatusCode::OK);
    let path = format!("/api/api-keys/{}", made["id"].as_str().unwrap());
    assert_eq!(world.with_json(DELETE, &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.with_key(key, GET, "/api/calls", "").await.problem().0, 401, "a revoked key is refused at once");
    assert_eq!(asked(key).await["valid"], false);
    assert_eq!(world.with_json(DELETE, &path, "").await.problem().0, 404);
    let listed = world.get("/api/api-keys").await.json();
    let row = listed["api_keys"].as_array().unwrap().iter().find(|row| row["id"] == made["id"]).unwrap().clone();
    assert!(row["revoked_at"].is_string() && row["last_used_at"].is_string(), "{row}");
    for (body, field) in [
        (r#"{"name": ""}"#, "name"),
        (r#"{"name": "x"}"#, "scopes"),
        (r#"{"name": "x", "scopes": []}"#, "scopes"),
        (r#"{"name": "x", "scopes": null}"#, "scopes"),
        (r#"{"name": "x", "scopes": ["all"]}"#, "scopes[0]"),
        (r#"{"name": "x", "scopes": ["calls.read"], "expires_in_days": 0}"#, "expires_in_days"),
        (r#"{"name": "x", "scopes": ["calls.read"], "expires_in_days": 99999}"#, "expires_in_days"),
    ] {
        assert_eq!(world.post("/api/api-keys", body).await.problem(), (422, Some(field.into())), "{body}");
    }
}

#[tokio::test]
async fn a_key_without_scopes_is_refused_and_never_gets_all_permissions() {
    let world = world("").await;
    let before = world.get("/api/api-keys").await.json();
    for body in [r#"{"name": "x"}"#, r#"{"name": "x", "scopes": []}"#] {
        let refused = world.post("/api/api-keys", body).await;
        assert_eq!(refused.problem(), (422, Some("scopes".into())), "{body}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("expected at least one permission"), "{detail}");
    }
    assert_eq!(world.get("/api/api-keys").await.json()["api_keys"], before["api_keys"], "no key was created");
}

#[tokio::test]
async fn each_list_accepts_only_its_own_cursors() {
    let world = world("[limits]\nconfiguration = \"off\"").await;
    for name in ["ben", "carl", "dora"] {
        world.member(name, Role::Agent).await;
        let invitation = json!({"email": format!("{name}@new.example.com"), "role": "agent"}).to_string();
        assert_eq!(world.post("/api/team/invitations", &invitation).await.status, StatusCode::CREATED);
        let key = json!({"name": name, "scopes": ["calls.read"]}).to_string();
        assert_eq!(world.post("/api/api-keys", &key).await.status, StatusCode::CREATED);
    }
    let lists = [
        ("/api/team/members", "members"),
        ("/api/team/invitations", "invitations"),
        ("/api/api-keys", "api_keys"),
        ("/api/audit-logs", "audit_logs"),
    ];
    let mut cursors = Vec::new();
    for (path, list) in lists {
        let whole = world.get(&format!("{path}?limit=200")).await.json()[list].as_array().unwrap().clone();
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.get(&format!("{path}?limit=2{cursor}")).await.json();
            seen.extend(page[list].as_array().unwrap().iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert!(seen.len() > 2 && seen == whole, "{path}: {seen:?}");
        cursors.push(cursor);
    }
    for (n, (path, _)) in lists.iter().enumerate() {
        for (m, cursor) in cursors.iter().enumerate().filter(|(m, _)| *m != n) {
            let wrong = world.get(&format!("{path}?limit=2{cursor}")).await;
            assert_eq!(wrong.problem(), (422, Some("cursor".into())), "{path} by {}", lists[m].0);
        }
        let theirs = world.with_key(&world.other_key, GET, &format!("{path}?limit=2{}", cursors[n]), "").await;
        assert_eq!(theirs.problem(), (422, Some("cursor".into())), "{path}");
        assert_eq!(world.get(&format!("{path}?limit=201")).await.problem(), (422, Some("limit".into())), "{path}");
    }
    let filtered = world.get(&format!("/api/audit-logs?limit=2&action=user.create{}", cursors[3])).await;
    assert_eq!(filtered.problem(), (422, Some("cursor".into())));
}

#[tokio::test]
async fn name_limits_and_retention_of_an_organization_need_their_permissions() {
    let world = world("[limits]\nconfiguration = \"off\"").await;
    let olga = world.member("olga", Role::Owner).await;
    let carl = world.member("carl", Role::Compliance).await;
    let path = "/api/organizations/current";
    let changed =
        world.with_browser(&olga, PATCH, path, r#"{"name": "Acme Ltd", "limits": {"calls": 5}}"#).await.json();
    assert_eq!((&changed["name"], &changed["limits"]), (&json!("Acme Ltd"), &json!({"calls": 5})));
    for (body, field) in [
        (r#"{"limits": {"calls": 21}}"#, "limits.calls"),
        (r#"{"limits": {"calls": 0}}"#, "limits.calls"),
        (r#"{"limits": {"dial": 1}}"#, "limits.dial"),
        (r#"{"name": "a\u0000"}"#, "name"),
    ] {
        assert_eq!(world.with_browser(&olga, PATCH, path, body).await.problem(), (422, Some(field.into())), "{body}");
    }
    assert_eq!(world.with_browser(&olga, PATCH, path, r#"{"name": "other"}"#).await.problem().0, 409);
    let limits = world.with_browser(&olga, GET, "/api/usage/limits", "").await.json();
    let calls = limits["limits"].as_array().unwrap().iter().find(|limit| limit["name"] == "calls").unwrap();
    assert_eq!((&calls["limit"], &calls["window_s"], &calls["remaining"]), (&json!(5), &json!(300), &json!(5)));
    let kept = world.with_browser(&carl, PUT, &format!("{path}/retention"), r#"{"recordings_days": 90}"#).await.json();
    assert_eq!(kept["retention"], json!({"recordings_days": 90, "events_days": null}));
    assert_eq!(world.with_browser(&carl, PATCH, path, r#"{"name": "x"}"#).await.problem().0, 403);
    for body in [r#"{"recordings_days": 0}"#, r#"{"recordings_days": 36501}"#] {
        let answer = world.with_browser(&carl, PUT, &format!("{path}/retention"), body).await;
        assert_eq!(answer.problem(), (422, Some("recordings_days".into())), "{body}");
    }
    // Owners of the first organization can create further ones; owners of those cannot.
    let made = world.with_browser(&olga, POST, "/api/organizations", r#"{"name": "Daughter"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let body = json!({"email": "olga@example.com", "password": PASSWORD, "organization": "Daughter"}).to_string();
    let there = Browser::of(&world.stranger(POST, "/api/auth/login", &body).await);
    assert_eq!(world.with_browser(&there, GET, "/api/organizations/current", "").await.json()["name"], "Daughter");
    assert_eq!(
        world.with_browser(&there, POST, "/api/organizations", r#"{"name": "Granddaughter"}"#).await.problem().0,
        403
    );
}

#[tokio::test]
async fn an_invitation_link_is_returned_even_when_the_mail_server_refuses() {
    let mut smtp = Smtp::start().await;
    let config = format!(
        "[mail]\nurl = \"smtp://user:pass%20word@127.0.0.1:{}\"\nfrom = \"Tandem <tandem@example.com>\"\n\
         [http]\npublic_url = \"https://voice.example.com\"",
        smtp.port
    );
    let world = world(&config).await;
    assert_eq!(world.stranger(GET, "/api/auth/providers", "").await.json()["mail"], true);
    let invite = async |email: &str| -> Value {
        let body = json!({"email": email, "role": "agent"}).to_string();
        let made = world.post("/api/team/invitations", &body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.json()
    };
    let made = invite("greta@example.com").await;
    assert_eq!(made["mailed"], true);
    let mail = smtp.mail().await;
    assert_eq!((mail.from.as_str(), mail.to.as_str()), ("<tandem@example.com>", "<greta@example.com>"));
    assert_eq!(mail.login.as_deref(), Some("\0user\0pass word"));
    let text = mail.text.replace("=\r\n", "").replace("=3D", "=");
    assert!(text.contains(made["url"].as_str().unwrap()), "{text}");
    assert!(text.contains("Subject: Invitation to acme\r\n"), "{text}");
    for refusal in [Refusal::Greeting, Refusal::Login, Refusal::Receiver, Refusal::Text, Refusal::HangUp] {
        smtp.refuse(refusal);
        let made = invite(&format!("{refusal:?}@example.com")).await;
        assert_eq!(made["mailed"], false, "{refusal:?}");
        assert!(made["url"].as_str().unwrap().contains("/invitation#"));
    }
}

#[tokio::test]
async fn a_password_reset_link_is_mailed_and_works_once() {
    let mut smtp = Smtp::start().await;
    let config = format!(
        "[mail]\nurl = \"smtp://127.0.0.1:{}\"\nfrom = \"tandem@example.com\"\n\
         [http]\npublic_url = \"https://voice.example.com\"",
        smtp.port
    );
    let world = world(&config).await;
    let anna = world.sign_in("anna@example.com").await;
    let forgot = async |email: &str| {
        let answer = world.stranger(POST, "/api/auth/password-reset", &json!({"email": email}).to_string()).await;
        (answer.status, answer.bytes)
    };
    let token = async |smtp: &mut Smtp| {
        let mail = smtp.mail().await;
        assert_eq!(mail.to, "<anna@example.com>");
        let text = mail.text.replace("=\r\n", "").replace("=3D", "=");
        let link = text.split("https://voice.example.com/reset#").nth(1).expect("a link to this server");
        link.split_whitespace().next().unwrap().to_owned()
    };
    let set = async |token: &str, password: &str| {
        let body = json!({"token": token, "password": password}).to_string();
        world.stranger(PUT, "/api/auth/password-reset", &body).await
    };
    // The answer does not reveal whether the account exists.
    assert_eq!(forgot("nobody@example.com").await, forgot("Anna@example.com").await);
    let first = token(&mut smtp).await;
    forgot("anna@example.com").await;
    let second = token(&mut smtp).await;
    assert_eq!(set(&second, "short").await.problem(), (422, Some("password".into())));
    for wrong in ["", "x", &"y".repeat(300)] {
        assert_eq!(set(wrong, "another long password").await.problem().0, 404);
    }
    let both = tokio::join!(set(&second, "another long password"), set(&second, "yet another password"));
    let mut statuses = [both.0.status.as_u16(), both.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 404], "a link works once");
    assert_eq!(
        set(&first, "another long password").await.problem().0,
        404,
        "using a link invalidates the earlier ones"
    );
    assert_eq!(
        world.with_browser(&anna, GET, "/api/auth/session", "").await.problem().0,
        401,
        "the reset ends every session"
    );
    assert_eq!(login(&world, "anna@example.com", PASSWORD).await.problem().0, 401);
    let new = if both.0.status == StatusCode::NO_CONTENT { "another long password" } else { "yet another password" };
    assert_eq!(login(&world, "anna@example.com", new).await.status, StatusCode::OK);
    // An account gets at most three mails an hour; the answers are the same beyond that.
    for _ in 0..3 {
        assert_eq!(forgot("anna@example.com").await.0, StatusCode::ACCEPTED);
    }
    token(&mut smtp).await;
    assert!(smtp.nothing_more().await);
    // Requests from one network have a limit of their own.
    let mut last = StatusCode::ACCEPTED;
    for n in 0..20 {
        last = forgot(&format!("nobody{n}@example.com")).await.0;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn no_password_reset_link_is_mailed_without_a_public_url() {
    let mut smtp = Smtp::start().await;
    let config = format!("[mail]\nurl = \"smtp://127.0.0.1:{}\"\nfrom = \"tandem@example.com\"", smtp.port);
    let world = world(&config).await;
    let body = r#"{"email": "anna@example.com"}"#;
    // Without `public_url` the link would lead to the host that the request's Host header names.
    assert_eq!(world.stranger(POST, "/api/auth/password-reset", body).await.problem().0, 403);
    assert!(smtp.nothing_more().await);
}

#[tokio::test]
async fn invitation_mail_to_strangers_is_bounded() {
    let mut smtp = Smtp::start().await;
    let mail = format!("[mail]\nurl = \"smtp://127.0.0.1:{}\"\nfrom = \"tandem@example.com\"", smtp.port);
    let limits = "[limits]\nconfiguration = \"off\"\nentrance = \"off\"";
    let open = world(&format!("{mail}\n[auth]\nsignup = \"open\"\n{limits}")).await;
    let invite = async |world: &World, email: &str| {
        world.post("/api/team/invitations", &json!({"email": email, "role": "agent"}).to_string()).await
    };
    let made = invite(&open, "victim@example.com").await.json();
    assert_eq!(made["mailed"], false, "with open sign-up the link is shown, not mailed");
    assert!(smtp.nothing_more().await);
    // With sign-up by invitation, mail is limited per address, and invitations per organization.
    let world = world(&format!("{mail}\n{limits}")).await;
    for mailed in [true, true, true, false] {
        assert_eq!(invite(&world, "victim@example.com").await.json()["mailed"], mailed);
    }
    let mut statuses = Vec::new();
    for _ in 0..47 {
        statuses.push(invite(&world, "victim@example.com").await.status.as_u16());
    }
    assert_eq!((statuses[45], statuses[46]), (201, 429), "an organization may send 50 invitations a day");
}

#[tokio::test]
async fn sessions_of_one_person_share_a_rate_limit() {
    let world = world("[limits]\ndefault = \"5/60min\"").await;
    let anna = world.sign_in("anna@example.com").await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(world.with_browser(&anna, GET, "/api/users/me", "").await.status.as_u16());
    }
    assert_eq!(statuses, [200; 5]);
    let again = world.sign_in("anna@example.com").await;
    assert_eq!(world.with_browser(&again, GET, "/api/users/me", "").await.problem().0, 429);
}

#[tokio::test]
async fn mail_headers_cannot_be_injected() {
    let mut smtp = Smtp::start().await;
    let config = format!("[mail]\nurl = \"smtp://127.0.0.1:{}\"\nfrom = \"tandem@example.com\"", smtp.port);
    let world = world(&config).await;
    for email in ["a@example.com\r\nBcc: b@example.com", "a@example.com\nx", "a@b@c", "\"a b\"@example.com>", "a @b"] {
        let body = json!({"email": email, "role": "agent"}).to_string();
        let answer = world.post("/api/team/invitations", &body).await;
        let fine = answer.problem() == (422, Some("email".into()));
        assert!(fine, "{email:?}: {answer:?}");
    }
    let body = r#"{"name": "Ünïcode, \"Ltd\" <x@y>"}"#;
    assert_eq!(world.with_json(PATCH, "/api/organizations/current", body).await.status, StatusCode::OK);
    assert_eq!(
        world.post("/api/team/invitations", r#"{"email": "z@example.com", "role": "agent"}"#).await.json()["mailed"],
        true
    );
    let mail = smtp.mail().await;
    let (head, _) = mail.text.split_once("\r\n\r\n").unwrap();
    assert!(head.is_ascii() && head.contains("=?utf-8?b?"), "{head}");
}

#[tokio::test]
async fn health_and_readiness_need_no_log_in() {
    let world = world("").await;
    for path in ["/health", "/api/health"] {
        assert_eq!(world.stranger(GET, path, "").await.json()["status"], "ok");
    }
    let ready = world.stranger(GET, "/readyz", "").await;
    assert_eq!(
        (ready.status, ready.json()),
        (StatusCode::OK, json!({"ready": true, "store": true, "listeners": true}))
    );
    world.state.store.close().await;
    let away = world.stranger(GET, "/readyz", "").await;
    assert_eq!((away.status.as_u16(), away.json()), (503, json!({"ready": false, "store": false, "listeners": true})));
}

#[tokio::test]
async fn operator_commands_are_in_the_audit_log() {
    let world = world("").await;
    let log = world.get("/api/audit-logs?actor=operator").await.json();
    let actions: Vec<&str> =
        log["audit_logs"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["api_key.create", "user.create", "user.create"]);
    assert_eq!(log["audit_logs"][0]["actor"]["kind"], "system");
    // The log holds no secrets.
    let text = world.get("/api/audit-logs").await.json().to_string();
    assert!(!text.contains(&world.key) && !text.contains("argon2") && !text.contains(PASSWORD));
    let store = Store::open(&StorePlace::new("sqlite:t.db", world.folder.path())).await.unwrap();
    assert!(store.audit_verify(store.organization_default().await.unwrap().unwrap().id).await.unwrap().intact);
    let request =
        Request::get("/api/audit-logs").header(header::AUTHORIZATION, "Bearer x").body(Body::empty()).unwrap();
    assert_eq!(world.answer(request).await.problem().0, 401);
}

#[tokio::test]
async fn bad_tokens_are_refused_before_the_store_is_asked() {
    let world = world("[limits]\ndefault = \"5/1min\"\n").await;
    let with = async |token: &str| world.with_key(token, GET, "/api/calls", "").await.status.as_u16();
    assert_eq!(with(&world.key).await, 200);
    for n in 0..5 {
        assert_eq!(with(&format!("tdm_{n:043}")).await, 401);
    }
    assert_eq!(with("tdm_9999999999999999999999999999999999999999999").await, 429);
    // From here on, a look-up in the store fails with 500.
    world.state.store.close().await;
    world.state.auth.credentials.forget();
    assert_eq!(with("tdm_8888888888888888888888888888888888888888888").await, 429, "an unknown token is not looked up");
    assert_eq!(with(&world.key).await, 500, "a token that was valid before is looked up even from this address");
}

#[tokio::test]
async fn malformed_tokens_are_not_looked_up() {
    let world = world("").await;
    world.state.store.close().await;
    for token in ["nonsense", "tdm_", "tdm_short", &"x".repeat(47)] {
        assert_eq!(world.with_key(token, GET, "/api/calls", "").await.status.as_u16(), 401, "{token}");
    }
    assert_eq!(world.with_key(&world.key, GET, "/api/calls", "").await.status.as_u16(), 500);
}

#[tokio::test]
async fn the_result_of_the_readiness_check_is_cached() {
    let world = world("").await;
    for _ in 0..10 {
        assert_eq!(world.stranger(GET, "/readyz", "").await.status, StatusCode::OK);
    }
    world.state.store.close().await;
    assert_eq!(world.stranger(GET, "/readyz", "").await.status, StatusCode::OK, "the result of the last check");
    world.until(async || world.stranger(GET, "/readyz", "").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
}
