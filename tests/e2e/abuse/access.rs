//! Tenants, passwords, rights, and the first sign-up.
//!
//! The attackers are members of another organization, members with fewer rights, and unauthenticated clients with loopback
//! addresses of their own. Each test tries to get calls, names, sessions or rights that it must not get, over the API and by SIP.
//!
//! Not here: what a role may do in detail (control-api's own tests), dialled destinations (`dialling`).

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use media_engine::sdp::Codec;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tests::api::{Api, SentEvent};
use tests::ears::FarEnd;
use tests::ports;
use tests::postgres::Postgres;
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);
const NUMBER: &str = "+15555550177";
/// Level in dBFS above which audio is speech: higher than the tone that a waiting party hears.
const SPEECH_DBFS: f32 = -40.0;

fn numbers_ring() -> Setup {
    Setup { routes: vec![("+1555*", "app:echo"), ("*", "agent:anna")], ..Setup::default() }
}

/// Calls a number from a trunk and hangs up; returns for each organization whether the call is in its list.
async fn call_is_of(tandem: &Tandem, organizations: [&Api; 2]) -> [bool; 2] {
    let mut caller = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    let calls = async |api: &Api| api.get("/api/calls").await["calls"].as_array().expect("a list").len();
    let before = [calls(organizations[0]).await, calls(organizations[1]).await];
    let [mut first, mut second] =
        [organizations[0].events("/api/events", None).await, organizations[1].events("/api/events", None).await];
    caller.call("+34910000001", NUMBER, PATIENCE).await;
    caller.party.hang_up();
    let is_new = |event: &SentEvent| (event.name == "call.created").then_some(());
    tokio::select! {
        () = first.until("a call", PATIENCE, is_new) => {}
        () = second.until("a call", PATIENCE, is_new) => {}
    }
    let now = [calls(organizations[0]).await, calls(organizations[1]).await];
    caller.party.stop().await;
    [now[0] > before[0], now[1] > before[1]]
}

/// Regression test: an organization that listed a number received its calls and their recordings.
async fn listing_a_number_takes_no_calls(setup: &Setup) {
    let tandem = Tandem::start(setup).await;
    let (acme, evil) = (tandem.api("acme").await, tandem.api("evil").await);
    let number = json!({ "number": NUMBER });
    for api in [&evil, &acme] {
        let (status, made) = api.ask(Method::POST, "/api/caller-id/numbers", Some(number.clone())).await;
        assert_eq!(
            (status, &made["proven_at"]),
            (StatusCode::CREATED, &Value::Null),
            "listing a number blocks no organization: {made}"
        );
    }
    assert_eq!(call_is_of(&tandem, [&acme, &evil]).await, [true, false], "the default organization's");
    // The operator assigns the number while the server runs; no organization takes it over by listing it or requesting a code.
    let told = tandem.run_command(&["number", "assign", "--org", "evil", NUMBER]).await;
    assert!(told.contains(&format!("{NUMBER}  proven")), "{told}");
    assert_eq!(call_is_of(&tandem, [&acme, &evil]).await, [false, true]);
    let why = tandem.run_refused_command(&["number", "assign", "--org", "acme", NUMBER]).await;
    assert!(why.contains("tandem number remove"), "{why}");
    let listed = acme.get("/api/caller-id/numbers").await["numbers"][0]["id"].as_str().expect("an id").to_owned();
    let (status, _) = acme.ask(Method::POST, &format!("/api/caller-id/numbers/{listed}/call"), None).await;
    assert_eq!(status, StatusCode::CONFLICT, "another organization has it");
    tandem.run_command(&["number", "remove", NUMBER]).await;
    assert_eq!(call_is_of(&tandem, [&acme, &evil]).await, [true, false]);
    // Without a speech provider the API refers to the operator.
    let (status, refused) = acme.ask(Method::POST, &format!("/api/caller-id/numbers/{listed}/call"), None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("tandem number assign")), "{refused}");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_only_listed_receives_no_calls() {
    listing_a_number_takes_no_calls(&numbers_ring()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_only_listed_receives_no_calls_on_postgresql() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let store = format!("url = {:?}\nmigrate_url = {:?}\n", database.url, database.migrate_url);
    listing_a_number_takes_no_calls(&Setup { store, ..numbers_ring() }).await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_a_removed_telephone_is_not_given_to_another_organization() {
    let tandem = Tandem::start(&Setup::default()).await;
    let acme = tandem.api("acme").await;
    tandem.member("acme", "ana", "agent").await;
    let members = acme.get("/api/team/members").await;
    let ana = members["members"][0]["user_id"].as_str().expect("an id");
    let (status, _) = acme.ask(Method::DELETE, &format!("/api/team/members/{ana}"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let create = |org| ["user", "create", "--org", org, "--email", "eve@test.example", "--sip-name", "ana"];
    let why = tandem.run_refused_command(&create("evil")).await;
    assert!(why.contains("SIP name exists already"), "{why}");
    tandem.run_command(&create("acme")).await;
    tandem.stop().await;
}

/// A client of the API with its own loopback address.
struct From {
    client: Client,
    base: String,
}

impl From {
    fn new(tandem: &Tandem, address: &str) -> From {
        let address: IpAddr = address.parse().expect("an address");
        From { client: Client::builder().local_address(address).build().expect("a client"), base: tandem.http.clone() }
    }

    async fn login(&self, email: &str, password: &str) -> Response {
        let body = json!({ "email": email, "password": password }).to_string();
        let request = self.client.post(format!("{}/api/auth/login", self.base));
        request.header("content-type", "application/json").body(body).send().await.expect("an answer")
    }
}

fn retry_after(answer: &Response) -> u64 {
    answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_lock_no_user_out() {
    let tandem = Tandem::start(&Setup::default()).await;
    let owner = tandem.member("acme", "ana", "owner").await;
    let (attacker, elsewhere) = (From::new(&tandem, "127.0.0.1"), From::new(&tandem, "127.0.0.2"));
    let mut refused = 0;
    for n in 0..30 {
        let answer = attacker.login(&owner.email, &format!("wrong password {n}")).await;
        refused += u32::from(answer.status() == StatusCode::TOO_MANY_REQUESTS);
        assert!(answer.status() == StatusCode::UNAUTHORIZED || retry_after(&answer) <= 30, "{answer:?}");
    }
    assert!(refused >= 15, "guessing is slowed down: {refused} of 30");
    let let_in = elsewhere.login(&owner.email, &owner.password).await;
    assert_eq!(let_in.status(), StatusCode::OK, "from another network at once");
    // The attacker's network is admitted again after the time that the answer contains.
    let mut answer = attacker.login(&owner.email, &owner.password).await;
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        tokio::time::sleep(Duration::from_secs(retry_after(&answer))).await;
        answer = attacker.login(&owner.email, &owner.password).await;
    }
    assert_eq!(answer.status(), StatusCode::OK);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_user_can_grant_more_rights_than_their_own() {
    let tandem = Tandem::start(&Setup::default()).await;
    let api = tandem.api("acme").await;
    let owner = tandem.member("acme", "olga", "owner").await;
    let admin = tandem.member("acme", "ada", "admin").await;
    let viewer = tandem.member("acme", "vera", "viewer").await;
    let [owner, admin] = [owner, admin].map(|account| {
        let base = tandem.http.clone();
        async move { Api::sign_in(&base, &account.email, &account.password).await }
    });
    let (owner, admin) = (owner.await, admin.await);
    let key = async |scopes: Value| {
        let made = api.ask(Method::POST, "/api/api-keys", Some(json!({"name": "k", "scopes": scopes}))).await.1;
        api.with_key(made["key"].as_str().expect("a key"))
    };
    let narrow = key(json!(["team.write", "api_keys.write", "organization.read"])).await;
    let members = api.get("/api/team/members").await["members"].clone();
    let id = |name: &str| {
        let all = members.as_array().expect("a list");
        all.iter().find(|member| member["sip_name"] == name).expect("a member")["user_id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let invite = |role: &str, to: &str| json!({ "role": role, "email": format!("{to}@test.example") });
    for (who, api, roles) in [
        ("a key with team.write", &narrow, &["owner", "admin", "supervisor", "agent", "compliance", "viewer"][..]),
        ("an admin", &admin, &["owner", "compliance"]),
    ] {
        for role in roles {
            let (status, _) = api.ask(Method::POST, "/api/team/invitations", Some(invite(role, "mallory"))).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{who} invites as {role}");
            let path = format!("/api/team/members/{}", id("vera"));
            let (status, _) = api.ask(Method::PATCH, &path, Some(json!({ "role": role }))).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{who} makes {role}");
        }
        let path = format!("/api/team/members/{}", id("olga"));
        for (method, body) in [(Method::PATCH, Some(json!({"role": "viewer"}))), (Method::DELETE, None)] {
            assert_eq!(api.ask(method, &path, body).await.0, StatusCode::FORBIDDEN, "{who} unmakes the owner");
        }
    }
    // A key cannot revoke or create a key with more rights either.
    let keys = api.get("/api/api-keys").await["api_keys"].clone();
    let mightier =
        keys.as_array().expect("a list").iter().find(|key| key["scopes"].as_array().is_some_and(|all| all.len() > 5));
    let path = format!("/api/api-keys/{}", mightier.expect("the operator's")["id"].as_str().expect("an id"));
    assert_eq!(narrow.ask(Method::DELETE, &path, None).await.0, StatusCode::FORBIDDEN);
    let child = json!({"name": "child", "scopes": ["team.write", "calls.dial"]});
    let (status, _) = narrow.ask(Method::POST, "/api/api-keys", Some(child)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "no more than its maker");
    // Rights that an admin granted end with the admin's own: an invitation is checked again when it is accepted.
    let (status, made) = admin.ask(Method::POST, "/api/team/invitations", Some(invite("admin", "late"))).await;
    assert_eq!(status, StatusCode::CREATED);
    let token = made["url"].as_str().and_then(|url| url.split_once('#')).expect("a link").1.to_owned();
    let offer = async || api.ask(Method::POST, "/api/auth/invitation", Some(json!({ "token": token }))).await.0;
    assert_eq!(offer().await, StatusCode::OK);
    let path = format!("/api/team/members/{}", id("ada"));
    assert_eq!(owner.ask(Method::PATCH, &path, Some(json!({"role": "agent"}))).await.0, StatusCode::OK);
    assert_eq!(offer().await, StatusCode::NOT_FOUND);
    let body = json!({"invitation": token, "name": "Late", "password": viewer.password});
    assert_eq!(api.with_key("").ask(Method::POST, "/api/auth/signup", Some(body)).await.0, StatusCode::NOT_FOUND);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_public_server_is_claimed_with_the_code_on_its_terminal() {
    let tandem = Tandem::start(&Setup { http: "0.0.0.0:0".into(), ..Setup::default() }).await;
    let file = tandem.data().join("signup-code");
    let code = std::fs::read_to_string(&file).expect("the code's file");
    let code = code.trim();
    assert_eq!(std::fs::metadata(&file).expect("its mode").permissions().mode() & 0o777, 0o600);
    let printed = |line: &str| line.strip_prefix("sign-up code").map(|rest| rest.trim() == code);
    assert!(tandem.process().line("the code", PATIENCE, printed).await, "the terminal shows it");
    let client = Client::new();
    let signup = async |host: &str, code: Option<&str>| {
        let body = json!({"organization": "Acme", "name": "Eve", "email": "eve@test.example",
            "password": "a long password", "code": code});
        let request = client.post(format!("{}/api/auth/signup", tandem.http)).header("host", host);
        request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("an answer")
            .status()
    };
    for (host, given, expected) in [
        ("evil.example", Some(code), StatusCode::MISDIRECTED_REQUEST),
        ("evil.example:8080", None, StatusCode::MISDIRECTED_REQUEST),
        ("localhost", None, StatusCode::UNPROCESSABLE_ENTITY),
        ("localhost", Some("wrong-wrong-wrong"), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(signup(host, given).await, expected, "{host} {given:?}");
    }
    for path in ["/", "/signup", "/api/auth/providers", "/openapi.json", "/sip"] {
        let rebound = client.get(format!("{}{path}", tandem.http)).header("host", "evil.example").send().await;
        assert_eq!(rebound.expect("an answer").status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
    let probe = client.get(format!("{}/health", tandem.http)).header("host", "evil.example").send().await;
    assert_eq!(probe.expect("an answer").status(), StatusCode::OK, "probes know no name");
    assert_eq!(signup("localhost", Some(code)).await, StatusCode::CREATED);
    assert!(!file.exists(), "a code is used once");
    let free = client.get(format!("{}/login", tandem.http)).header("host", "voice.example").send().await;
    assert_eq!(free.expect("an answer").status(), StatusCode::OK, "set up, it answers under every name");
    tandem.stop().await;
}

/// Returns the level in dBFS of the loudest 100 ms of PCMU received during `time`.
async fn loudest(media: &tokio::net::UdpSocket, time: Duration) -> f32 {
    let (mut samples, mut packet) = (Vec::new(), [0; 2048]);
    let _over = tokio::time::timeout(time, async {
        loop {
            let length = media.recv(&mut packet).await.expect("a packet");
            // RTP with the fixed header only.
            if length > 12 && packet[1] & 0x7f == 0 {
                samples.extend(packet[12..length].iter().map(|byte| codecs::g711::ulaw_decode(*byte)));
            }
        }
    })
    .await;
    samples.chunks(800).map(codecs::tones::level_dbfs).fold(f32::MIN, f32::max)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_spoken_only_at_the_number_and_attempts_are_limited() {
    let port = ports::free();
    let tandem = Tandem::start(&Setup { speech: true, ..Setup::to_callees(port) }).await;
    let media = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port for media");
    let _owner = Sipp::callee(port, media.local_addr().expect("its address").port()).await;
    let api = tandem.api("acme").await;
    let (_, number) = api.ask(Method::POST, "/api/caller-id/numbers", Some(json!({ "number": NUMBER }))).await;
    let path = format!("/api/caller-id/numbers/{}", number["id"].as_str().expect("an id"));
    // The speech provider takes a moment to start.
    let speaks =
        |line: &str| (line.contains("speech provider kind=\"tts\"") && line.contains("state=\"up\"")).then_some(());
    tandem.process().line("a provider that speaks", Duration::from_secs(60), speaks).await;
    let (status, answer) = api.ask(Method::POST, &format!("{path}/call"), None).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let loudest = loudest(&media, Duration::from_secs(8)).await;
    assert!(loudest > SPEECH_DBFS, "speech is heard: {loudest} dBFS");
    for _ in 0..5 {
        let (status, refused) = api.ask(Method::POST, &format!("{path}/code"), Some(json!({"code": "000000"}))).await;
        assert_eq!((status, &refused["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("code")));
    }
    let (status, _) = api.ask(Method::POST, &format!("{path}/code"), Some(json!({"code": "000000"}))).await;
    assert_eq!(status, StatusCode::CONFLICT, "five tries");
    assert_eq!(api.get("/api/calls").await["calls"], json!([]), "such a call has no transcript");
    tandem.stop().await;
}
