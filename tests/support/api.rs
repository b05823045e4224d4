//! Client of the HTTP API: requests, and streams of server-sent events.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

/// A client of one server with one key or session.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    base: String,
    /// An API key, or a session's cookie.
    proof: Proof,
}

#[derive(Clone, Debug)]
enum Proof {
    Nothing,
    Key(String),
    /// The cookie comes with the header that proves that a page of the server sends the request.
    Session {
        cookie: String,
        csrf: String,
    },
}

impl Api {
    /// Creates a client of the server at `base` with an API key.
    pub fn new(base: &str, key: &str) -> Api {
        let proof = if key.is_empty() { Proof::Nothing } else { Proof::Key(key.to_owned()) };
        Api { client: Client::new(), base: base.to_owned(), proof }
    }

    /// Signs a member in and returns a client with that session.
    pub async fn sign_in(base: &str, email: &str, password: &str) -> Api {
        let stranger = Api::new(base, "");
        let body = serde_json::json!({ "email": email, "password": password });
        let answer = stranger.send(Method::POST, "/api/auth/login", Some(body.to_string())).await;
        assert!(answer.status().is_success(), "{email} cannot sign in: {}", answer.status());
        let cookie = answer.headers()["set-cookie"].to_str().expect("text");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let body: Value = answer.json().await.expect("a session");
        let csrf = body["csrf_token"].as_str().expect("a CSRF token").to_owned();
        Api { proof: Proof::Session { cookie, csrf }, ..stranger }
    }

    /// Returns a client of the same server with another key.
    pub fn with_key(&self, key: &str) -> Api {
        Api { client: self.client.clone(), ..Api::new(&self.base, key) }
    }

    /// Returns a client with the same key for another address, after the server was restarted.
    pub fn with_base(&self, base: &str) -> Api {
        Api { base: base.to_owned(), ..self.clone() }
    }

    /// Sends a request with an unchanged `body`.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Response {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        request.send().await.expect("an answer over HTTP")
    }

    /// Sends POST with an `Idempotency-Key` and returns the status, whether the answer is a repetition, and the body.
    ///
    /// # Errors
    /// The server became unreachable during the request.
    pub async fn once(&self, path: &str, key: &str, body: &Value) -> reqwest::Result<(StatusCode, bool, Value)> {
        let request = self.request(Method::POST, path).header("idempotency-key", key).json(body);
        let answer = request.send().await?;
        let (status, replayed) = (answer.status(), answer.headers().contains_key("idempotent-replayed"));
        Ok((status, replayed, answer.json().await?))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.proof {
            Proof::Nothing => request,
            Proof::Key(key) => request.bearer_auth(key),
            Proof::Session { cookie, csrf } => {
                request.header("cookie", cookie).header("x-csrf-token", csrf).header("origin", &self.base)
            }
        }
    }

    /// Sends a request and returns the status and JSON of the answer; `null` if there is no body.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let answer = self.send(method, path, body.map(|body| body.to_string())).await;
        let status = answer.status();
        let text = answer.text().await.expect("the answer's text");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Sends a file, which must be accepted, and returns the answer's JSON.
    pub async fn upload(&self, path: &str, content_type: &str, file: Vec<u8>) -> Value {
        let request = self.request(Method::POST, path).header("content-type", content_type).body(file);
        let answer = request.send().await.expect("an answer over HTTP");
        let status = answer.status();
        let text = answer.text().await.expect("the answer's text");
        assert!(status.is_success(), "POST {path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Returns the JSON of a GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert!(status.is_success(), "GET {path}: {status} {body}");
        body
    }

    /// Returns the JSON of a POST without a body that must succeed.
    pub async fn post(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::POST, path, None).await;
        assert!(status.is_success(), "POST {path}: {status} {body}");
        body
    }

    /// Changes part of the organization's voice configuration.
    pub async fn voice_config(&self, change: Value) {
        let mut config = self.get("/api/voice/config").await;
        for (key, value) in change.as_object().expect("an object") {
            config[key] = value.clone();
        }
        let (status, body) = self.ask(Method::PUT, "/api/voice/config", Some(config)).await;
        assert!(status.is_success(), "PUT /api/voice/config: {status} {body}");
    }

    /// Opens a stream of events; `after` is sent as Last-Event-ID.
    pub async fn events(&self, path: &str, after: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, path);
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.expect("a stream over HTTP");
        assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
        let bytes = answer.bytes_stream().map(|chunk| chunk.map(|chunk| chunk.to_vec()));
        Events { bytes: Box::pin(bytes), buffer: Vec::new() }
    }

    /// Returns the newest call of the organization, as in the list of calls.
    pub async fn newest_call(&self) -> Option<Value> {
        let list = self.get("/api/calls").await;
        let calls = list.as_array().or_else(|| list["calls"].as_array()).or_else(|| list["items"].as_array());
        calls.expect("a list of calls").first().cloned()
    }

    /// Waits until the newest call has `status`, and returns its row.
    pub async fn call_becomes(&self, status: &str, deadline: Duration) -> Value {
        let mut seen = None;
        let wait = async {
            let mut again = tokio::time::interval(Duration::from_millis(100));
            loop {
                again.tick().await;
                seen = self.newest_call().await;
                if let Some(call) = seen.as_ref().filter(|call| call["status"] == status) {
                    return call.clone();
                }
            }
        };
        let found = timeout(deadline, wait).await;
        found.unwrap_or_else(|_| panic!("no call became {status} within {deadline:?}; newest: {seen:?}"))
    }
}

/// One server-sent event with its JSON data.
#[derive(Clone, Debug)]
pub struct SentEvent {
    /// Value of the field `id`, for resuming a stream.
    pub id: String,
    /// Value of the field `event`.
    pub name: String,
    /// Value of the field `data`, parsed as JSON.
    pub data: Value,
}

/// An open stream of server-sent events.
pub struct Events {
    bytes: Pin<Box<dyn Stream<Item = Result<Vec<u8>, reqwest::Error>> + Send>>,
    buffer: Vec<u8>,
}

impl Events {
    /// Returns the next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<SentEvent> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                    return Some(event);
                }
            }
            let chunk = self.bytes.next().await?.ok()?;
            self.buffer.extend(chunk.into_iter().filter(|&byte| byte != b'\r'));
        }
    }

    /// Returns the first result that `find` gives for an event. Panics when the deadline passes.
    pub async fn until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut find: impl FnMut(&SentEvent) -> Option<T>,
    ) -> T {
        let mut seen = Vec::new();
        let wait = async {
            loop {
                let event = self.next().await.unwrap_or_else(|| panic!("the stream ended without: {what}"));
                if let Some(found) = find(&event) {
                    return found;
                }
                seen.push(event);
            }
        };
        let found = timeout(deadline, wait).await;
        found.unwrap_or_else(|_| panic!("no event within {deadline:?}: {what}; seen: {seen:#?}"))
    }
}

/// Returns `None` for comments and events without data.
fn parse(block: &str) -> Option<SentEvent> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
    };
    let data = field("data");
    if data.is_empty() {
        return None;
    }
    Some(SentEvent { id: field("id"), name: field("event"), data: serde_json::from_str(&data).unwrap_or(Value::Null) })
}
