//! The control plane without sockets, over a fake engine.
//!
//! A [`World`] is one installation: a store in a temporary folder (or a PostgreSQL database), the router, and the far ends of the two
//! channels to the engine. Requests go straight into the router ([`World::answer`], [`World::send`]). The commands that they cause
//! arrive in [`World::commands`]; the events that the engine would send are injected with [`World::emit`] and written by the real
//! ingest task.
//!
//! Every world except [`empty_world`] holds the organizations `acme` (people `anna`, an admin, and `vera`, a viewer) and `other`, each with
//! an API key of all scopes. The organizations do not know of each other.
//!
//! Not here: sockets, TLS and the command line (`server.rs`), the SMTP server ([`smtp`]), the real engine (`media-engine`, `tests/e2e`).
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod smtp;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use control_api::auth::{KeyTerms, NewAccount, Passwords, account_create, api_key_create};
use control_api::config::Config;
use control_api::engine::translation::schedule::Level;
use control_api::engine::translation::{Listener, ListenerPatch};
use control_api::engine::{
    CallTrace, Command, CommandError, Engine, Envelope, Event, EventKind, LagMs, LegId, RecordingPart, Reply,
    TraceParty, TraceStep, TranslationEvent, Transport, Verb, call_id,
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

/// An installation without sockets. Dropping it deletes its folder.
pub struct World {
    /// Holds the SQLite store `t.db`, the spool of events and the recordings of a test.
    pub folder: tempfile::TempDir,
    pub state: AppState,
    pub app: Router,
    /// Key of the organization `acme`.
    pub key: String,
    /// Key of the organization `other`.
    pub other_key: String,
    /// Commands that the engine received, in order, without the periodic `Calls`.
    pub commands: mpsc::Receiver<Command>,
    /// Sender of engine events.
    pub events: mpsc::Sender<Event>,
    /// Error with which the engine answers the next command, once; `None` answers `Done`.
    pub refuse: Arc<Mutex<Option<CommandError>>>,
    /// Trace with which the engine answers the next `Command::Trace`, once; `None` answers `Done`.
    pub trace: Arc<Mutex<Option<CallTrace>>>,
}

/// Password of `anna@example.com` (admin, SIP name `anna`) and `vera@example.com` (viewer) of `acme`.
pub const PASSWORD: &str = "a long enough password";

/// Largest number of commands that a test may leave unread.
const COMMANDS: usize = 4_096;

/// Starts an engine that answers every command with `Done`, or once with the error or the trace that a test has set.
///
/// Returns the commands that it receives and the place for the error.
pub fn fake_engine(
    mut envelopes: mpsc::Receiver<Envelope>,
    trace: Arc<Mutex<Option<CallTrace>>>,
) -> (mpsc::Receiver<Command>, Arc<Mutex<Option<CommandError>>>) {
    let (received, commands) = mpsc::channel(COMMANDS);
    let refuse: Arc<Mutex<Option<CommandError>>> = Arc::default();
    let refusal = refuse.clone();
    tokio::spawn(async move {
        while let Some(Envelope { command, reply, .. }) = envelopes.recv().await {
            if matches!(command, Command::Calls) {
                // The server asks every few seconds by itself, and no test waits for it. Sending fails when the server has stopped.
                let _ = reply.send(Ok(Reply::Calls(Vec::new())));
                continue;
            }
            let trace = matches!(command, Command::Trace { .. }).then(|| trace.lock().unwrap().take()).flatten();
            let answer = match refusal.lock().unwrap().take() {
                Some(error) => Err(error),
                None => Ok(match &command {
                    Command::CallVerb { verb: Verb::Listening(patches), .. } => Reply::Listening(listeners(patches)),
                    _ => trace.map_or(Reply::Done, |trace| Reply::Trace(Box::new(trace))),
                }),
            };
            // A closed channel means that the test has ended.
            if let Err(mpsc::error::TrySendError::Full(command)) = received.try_send(command) {
                panic!("the test has left {COMMANDS} commands unread: {command:?}");
            }
            let _caller_has_gone_away = reply.send(answer);
        }
    });
    (commands, refuse)
}

/// Returns how the sides listen after these changes of a call between English and Spanish.
fn listeners(patches: &[ListenerPatch; 2]) -> [Listener; 2] {
    let [customer, agent] = patches;
    [(customer, "en"), (agent, "es")].map(|(patch, language)| Listener {
        language: patch.language.clone().unwrap_or_else(|| language.to_owned()),
        hears: patch.hears.unwrap_or_default(),
        level: Level::Voice,
    })
}

/// Database on which the worlds of a suite are created.
pub enum Database {
    /// A file in the folder of each world.
    Sqlite,
    /// One server; each world gets its own database.
    Postgres(Postgres),
}

impl Database {
    /// Like [`world`], on this database.
    pub async fn world(&self, config: &str) -> World {
        let Database::Postgres(postgres) = self else { return world(config).await };
        let database = postgres.database().await;
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
        let store = Store::open(&place).await.unwrap();
        world_on(config, folder, store).await
    }
}

/// An installation with the configuration `config` (TOML) on SQLite.
pub async fn world(config: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
    world_on(config, folder, store).await
}

/// A fresh installation: no organization, no user and no key.
pub async fn empty_world(config: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
    start_world(config, folder, store, [String::new(), String::new()]).await
}

/// Like [`world`], on another store. In `config`, `{acme}` and `{other}` are replaced by the ids of the organizations.
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
    start_world(&config, folder, store, [key.reveal().into(), other_key.reveal().into()]).await
}

async fn start_world(config: &str, folder: tempfile::TempDir, store: Store, [key, other_key]: [String; 2]) -> World {
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

/// A person's browser: the credentials that it sends with every request.
#[derive(Clone, Debug)]
pub struct Browser {
    pub cookie: String,
    pub csrf: String,
}

impl Browser {
    /// Takes the cookies and the CSRF token from a successful answer to a log-in or sign-up.
    pub fn of(answer: &Answer) -> Browser {
        assert!(answer.status.is_success(), "{answer:?}");
        let cookies = answer.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap());
        let cookie = cookies.map(|cookie| cookie.split(';').next().unwrap()).collect::<Vec<_>>().join("; ");
        Browser { cookie, csrf: answer.json()["csrf_token"].as_str().unwrap().to_owned() }
    }
}

/// An HTTP answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Parses the body as JSON. Panics if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("the body is not JSON: {self:?}"))
    }

    /// Returns the status and the field of a problem document, which must be well-formed (RFC 9457).
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
    /// The same installation after a restart: only the contents of the store remain, and the configuration is empty.
    pub async fn restarted(self) -> World {
        self.state.store.close().await;
        let store = Store::open(&StorePlace::new("sqlite:t.db", self.folder.path())).await.unwrap();
        start_world("", self.folder, store, [self.key, self.other_key]).await
    }

    /// Sends a request and returns the response with its body unread; the body may be a stream without end.
    pub async fn send(&self, request: Request<Body>) -> axum::response::Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request and reads the whole answer, at most 16 MiB.
    pub async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    /// Begins a request with the API key of `acme`.
    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {}", self.key))
    }

    /// Sends a GET request with the API key of `acme`.
    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    /// Sends a POST request with a JSON body and the API key of `acme`.
    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.with_json(Method::POST, path, body).await
    }

    /// Sends a request with a JSON body and the API key of `acme`.
    pub async fn with_json(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.answer(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Sends a JSON request without credentials and without an `Origin` header.
    pub async fn stranger(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        self.answer(request.header(header::HOST, "h").body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Logs in with [`PASSWORD`]; the log-in must succeed.
    pub async fn sign_in(&self, email: &str) -> Browser {
        let body = serde_json::json!({"email": email, "password": PASSWORD}).to_string();
        Browser::of(&self.stranger(Method::POST, "/api/auth/login", &body).await)
    }

    /// Adds the member `NAME@example.com` (SIP name `name`) to `acme` and logs in.
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
        account_create(&self.state.store, &self.state.auth.passwords, account).await.unwrap();
        self.sign_in(&email).await
    }

    /// Builds a request as the server's own pages send it: with cookies, CSRF token and a matching `Origin`.
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

    /// Sends a request as `browser`, as the server's own pages do.
    pub async fn with_browser(&self, browser: &Browser, method: Method, path: &str, body: &str) -> Answer {
        self.answer(self.page(browser, method, path, body)).await
    }

    /// Sends a JSON request with the API key `key`.
    pub async fn with_key(&self, key: &str, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "application/json");
        self.answer(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Starts a call by the API, takes the command from [`World::commands`] and returns the id of the call.
    pub async fn call(&mut self) -> Uuid {
        let answer = self.post("/api/calls", r#"{"mode": "direct", "to": "+15555550142", "app": "echo"}"#).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert!(matches!(self.commands.recv().await, Some(Command::CallCreate(_))));
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Makes the engine answer the next `Command::Trace` with one received INVITE whose text is `text`.
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

    /// Sends an engine event of one call.
    pub async fn emit(&self, call: Uuid, kind: EventKind) {
        self.events.send(Event { at: SystemTime::now(), call: Some(call_id(call)), kind }).await.unwrap();
    }

    /// Sends an engine event that belongs to no call.
    pub async fn emit_global(&self, kind: EventKind) {
        self.events.send(Event { at: SystemTime::now(), call: None, kind }).await.unwrap();
    }

    /// Waits until `done` returns true, at most 10 s.
    ///
    /// Events are ingested in the order in which they were sent, so waiting for the effect of the last one covers all before it.
    pub async fn until(&self, mut done: impl AsyncFnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !done().await {
            assert!(tokio::time::Instant::now() < deadline, "the condition did not become true within 10 s");
            tokio::task::yield_now().await;
        }
    }
}

/// A translation event of the customer (English to Spanish): the state of segment `segment`.
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
        ..TranslationEvent::default()
    })
}

/// One server-sent event. `id` is `None` for events that are not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sse {
    pub id: Option<i64>,
    pub event: String,
    pub data: String,
}

/// Reads server-sent events from the body of a response.
pub struct SseReader {
    body: axum::body::BodyDataStream,
    text: String,
}

impl SseReader {
    /// The response must be a 200 with the type `text/event-stream`.
    pub fn new(response: axum::response::Response) -> SseReader {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        SseReader { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// Returns the next event, or `None` when the stream has ended. Comments are skipped. Panics after 20 s without data.
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
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next())
                .await
                .expect("no data came within 20 s")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

/// The first part of the first recording of a call, without channels.
pub fn first_part() -> RecordingPart {
    RecordingPart { number: 1, of: None, part: 1, channels: Vec::new() }
}
