//! A control plane over an engine that this file plays.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod smtp;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use control_api::auth::{KeyTerms, NewAccount, Passwords, account_create, api_key_create};
use control_api::config::Config;
use control_api::engine::{
    CallTrace, Command, CommandError, Engine, Envelope, Event, EventKind, LagMs, LegId, RecordingPart, Reply,
    TraceParty, TraceStep, TranslationEvent, Transport, call_id,
};
use control_api::events::{Bus, Tenants, Writer, ingest};
use control_api::store::{Role, Store, StorePlace};
use control_api::{AppState, app};
use futures_util::StreamExt;
use serde_json::Value;
use tests::postgres::Postgres;
use tokio::sync::mpsc;
use tower::ServiceExt;
use uuid::Uuid;

/// A server without sockets.
pub struct World {
    pub folder: tempfile::TempDir,
    pub state: AppState,
    pub app: Router,
    /// Key of the organization `acme`.
    pub key: String,
    /// Key of the organization `other`.
    pub other_key: String,
    /// What was asked of the engine.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// The engine's voice.
    pub events: mpsc::Sender<Event>,
    /// What the engine answers next, instead of Done.
    pub refuse: Arc<Mutex<Option<CommandError>>>,
    /// What the engine answers next to those who want a call's messages.
    pub trace: Arc<Mutex<Option<CallTrace>>>,
}

/// Password of `anna@example.com` (admin, SIP name `anna`) and `vera@example.com` (viewer) of `acme`.
pub const PASSWORD: &str = "a long enough password";

/// An engine that answers `Done`, or what `refuse` says once.
pub fn fake_engine(
    mut envelopes: mpsc::Receiver<Envelope>,
    trace: Arc<Mutex<Option<CallTrace>>>,
) -> (mpsc::UnboundedReceiver<Command>, Arc<Mutex<Option<CommandError>>>) {
    let (told, commands) = mpsc::unbounded_channel();
    let refuse: Arc<Mutex<Option<CommandError>>> = Arc::default();
    let refusal = refuse.clone();
    tokio::spawn(async move {
        while let Some(Envelope { command, reply }) = envelopes.recv().await {
            if matches!(command, Command::Calls) {
                // Asked every few seconds by the server itself: no test waits for it. An error: the server stops.
                let _ = reply.send(Ok(Reply::Calls(Vec::new())));
                continue;
            }
            let trace = matches!(command, Command::Trace { .. }).then(|| trace.lock().unwrap().take()).flatten();
            let answer = match refusal.lock().unwrap().take() {
                Some(error) => Err(error),
                None => Ok(trace.map_or(Reply::Done, |trace| Reply::Trace(Box::new(trace)))),
            };
            let _test_is_over = told.send(command);
            let _asker_is_gone = reply.send(answer);
        }
    });
    (commands, refuse)
}

/// Which database the worlds of a suite are on.
pub enum Kept {
    Sqlite,
    /// Each world in a database of its own.
    Postgres(Postgres),
}

impl Kept {
    pub async fn world(&self, config: &str) -> World {
        let Kept::Postgres(postgres) = self else { return world(config).await };
        let database = postgres.database().await;
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
        let store = Store::open(&place).await.unwrap();
        world_on(config, folder, store).await
    }
}

pub async fn world(config: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
    world_on(config, folder, store).await
}

/// Nobody has ever been here.
pub async fn empty_world(config: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
    running(config, folder, store, [String::new(), String::new()]).await
}

/// Like [`world`], over another store. In the configuration, `{acme}` and `{other}` stand for the organizations' ids.
pub async fn world_on(config: &str, folder: tempfile::TempDir, store: Store) -> World {
    let passwords = Passwords::new();
    for (email, role) in [("anna@example.com", Role::Admin), ("vera@example.com", Role::Viewer)] {
        let sip_name = email.split('@').next().unwrap();
        let account = NewAccount {
            organization: "acme".into(),
            email: email.into(),
            name: sip_name.into(),
            role,
            sip_name: sip_name.into(),
            password: Some(PASSWORD.into()),
        };
        account_create(&store, &passwords, account).await.unwrap();
    }
    let (_, made, key) = api_key_create(&store, "acme", "test", &KeyTerms::default()).await.unwrap();
    assert!(!made);
    let (_, made, other_key) = api_key_create(&store, "other", "test", &KeyTerms::default()).await.unwrap();
    assert!(made);
    let mut config = config.to_owned();
    for name in ["acme", "other"] {
        let id = store.organization_by_name(name).await.unwrap().unwrap().id.to_string();
        config = config.replace(&format!("{{{name}}}"), &id);
    }
    running(&config, folder, store, [key.reveal().into(), other_key.reveal().into()]).await
}

async fn running(config: &str, folder: tempfile::TempDir, store: Store, [key, other_key]: [String; 2]) -> World {
    let (engine, envelopes) = Engine::pair(16);
    let trace = Arc::default();
    let (commands, refuse) = fake_engine(envelopes, Arc::clone(&trace));
    let bus = Bus::start(store.clone()).await.unwrap();
    let (events, received) = mpsc::channel(1024);
    let state = AppState::new(Config::from_toml(config).unwrap(), store.clone(), engine.clone(), bus.clone());
    let writer = Writer::open(bus.clone(), &folder.path().join("events.spool")).unwrap();
    tokio::spawn(ingest(Tenants::new(store), engine, bus, state.limits.clone(), writer, received));
    World { folder, app: app(state.clone()), state, key, other_key, commands, events, refuse, trace }
}

/// A person's browser: what it sends with every request.
#[derive(Clone, Debug)]
pub struct Browser {
    pub cookie: String,
    pub csrf: String,
}

impl Browser {
    /// From the answer to a log-in or sign-up.
    pub fn of(answer: &Answer) -> Browser {
        assert!(answer.status.is_success(), "{answer:?}");
        let cookies = answer.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap());
        let cookie = cookies.map(|cookie| cookie.split(';').next().unwrap()).collect::<Vec<_>>().join("; ");
        Browser { cookie, csrf: answer.json()["csrf_token"].as_str().unwrap().to_owned() }
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Status and field of a problem, which must be well-formed.
    pub fn problem(&self) -> (u16, Option<String>) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{self:?}");
        let json = self.json();
        assert!(json["type"].as_str().unwrap().starts_with("urn:tandem:problem:"), "{json}");
        assert!(!json["title"].as_str().unwrap().is_empty() && !json["detail"].as_str().unwrap().is_empty(), "{json}");
        assert_eq!(json["status"], self.status.as_u16(), "{json}");
        (self.status.as_u16(), json["field"].as_str().map(Into::into))
    }
}

impl World {
    /// The same installation after a restart: nothing is remembered but what is in the store.
    pub async fn restarted(self) -> World {
        self.state.store.close().await;
        let store = Store::open(&StorePlace::new("sqlite:t.db", self.folder.path())).await.unwrap();
        running("", self.folder, store, [self.key, self.other_key]).await
    }

    /// Sends a request; the answer may be a stream.
    pub async fn send(&self, request: Request<Body>) -> axum::response::Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    pub async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    /// As `acme`'s key.
    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {}", self.key))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.with_json(Method::POST, path, body).await
    }

    pub async fn with_json(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.answer(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// As nobody, from a page of ours.
    pub async fn stranger(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        self.answer(request.header(header::HOST, "h").body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Logs in with [`PASSWORD`].
    pub async fn sign_in(&self, email: &str) -> Browser {
        let body = serde_json::json!({"email": email, "password": PASSWORD}).to_string();
        Browser::of(&self.stranger(Method::POST, "/api/auth/login", &body).await)
    }

    /// Adds a member of `acme` and logs in.
    pub async fn member(&self, name: &str, role: Role) -> Browser {
        let email = format!("{name}@example.com");
        let account = NewAccount {
            organization: "acme".into(),
            email: email.clone(),
            name: name.into(),
            role,
            sip_name: name.into(),
            password: Some(PASSWORD.into()),
        };
        account_create(&self.state.store, &self.state.passwords, account).await.unwrap();
        self.sign_in(&email).await
    }

    /// A request of a page of ours.
    pub fn page(&self, browser: &Browser, method: Method, path: &str, body: &str) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "h")
            .header(header::ORIGIN, "http://h")
            .header(header::COOKIE, &browser.cookie)
            .header("x-csrf-token", &browser.csrf)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    pub async fn by(&self, browser: &Browser, method: Method, path: &str, body: &str) -> Answer {
        self.answer(self.page(browser, method, path, body)).await
    }

    /// As the key `key`.
    pub async fn with_key(&self, key: &str, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "application/json");
        self.answer(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Starts a call and returns its id.
    pub async fn call(&mut self) -> Uuid {
        let answer = self.post("/api/calls", r#"{"mode": "direct", "to": "+15555550142", "app": "echo"}"#).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert!(matches!(self.commands.recv().await, Some(Command::CallCreate(_))));
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// The engine has kept one message of a call, for whoever asks next.
    pub fn trace(&self, call: Uuid, text: &str) {
        let step = TraceStep {
            number: 1,
            at: SystemTime::now(),
            leg: LegId(1),
            sent: false,
            transport: Transport::Udp,
            peer: "192.0.2.7:5060".parse().unwrap(),
            label: "INVITE".into(),
            body: String::new(),
            again: false,
            text: text.into(),
            cut: false,
        };
        let parties = vec![TraceParty { leg: LegId(1), role: "customer", peer: "+34910000001".into() }];
        let trace = CallTrace { call: call_id(call), parties, steps: vec![step], dropped: 0, running: true };
        *self.trace.lock().unwrap() = Some(trace);
    }

    /// The engine tells something.
    pub async fn tell(&self, call: Uuid, kind: EventKind) {
        self.events.send(Event { at: SystemTime::now(), call: Some(call_id(call)), kind }).await.unwrap();
    }

    /// The engine tells something that is no call's.
    pub async fn tell_all(&self, kind: EventKind) {
        self.events.send(Event { at: SystemTime::now(), call: None, kind }).await.unwrap();
    }

    /// Waits until everything told so far is written down: events are taken in order.
    pub async fn until(&self, mut done: impl AsyncFnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !done().await {
            assert!(tokio::time::Instant::now() < deadline, "it does not become true");
            tokio::task::yield_now().await;
        }
    }
}

/// A segment's state.
pub fn words(segment: u64, text: &str, is_final: bool, translation: Option<&str>) -> EventKind {
    EventKind::Translation(TranslationEvent {
        segment,
        leg: "customer".into(),
        source_language: "en".into(),
        target_language: "es".into(),
        text: text.into(),
        translation: translation.map(Into::into),
        is_final,
        unrecognised: false,
        missed: false,
        began_ms_ago: None,
        ended_ms_ago: None,
        lag_ms: LagMs::default(),
    })
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sse {
    pub id: Option<i64>,
    pub event: String,
    pub data: String,
}

/// Reads server-sent events from a body.
pub struct SseReader {
    body: axum::body::BodyDataStream,
    text: String,
}

impl SseReader {
    pub fn new(response: axum::response::Response) -> SseReader {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        SseReader { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; `None` when the stream is over.
    pub async fn next(&mut self) -> Option<Sse> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
                };
                if let Some(data) = field("data") {
                    let id = field("id").map(|id| id.parse().unwrap());
                    return Some(Sse { id, event: field("event").unwrap_or_default(), data });
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("nothing comes")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

/// The first part of a call's first recording, whose channels are nobody's.
pub fn first_part() -> RecordingPart {
    RecordingPart { number: 1, of: None, part: 1, channels: Vec::new() }
}
