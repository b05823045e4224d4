//! The server over real sockets: SIP over WebSocket, TLS, admin socket, start and stop, and the output of the binary.
//!
//! Each test starts a whole server on free ports of 127.0.0.1 with a data folder of its own. The engine is a fake that hands WebSocket
//! connections to the test; only the test of the SIP certificate runs the real one. Covered: forwarding and refusing of SIP over
//! WebSocket, bounded queues, metrics, self-signed certificates, reloading of certificate files, operator commands with and without a
//! running server, and the error texts of the program `tandem`.
//!
//! Every wait is bounded by `SOON`. Not here: the API behind the sockets (`api.rs` and its neighbours), whole calls (`tests/e2e`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command as Process, Output};
use std::sync::Arc;
use std::time::Duration;

use control_api::admin::{self, Reply as AdminReply, Request as AdminRequest};
use control_api::config::Config;
use control_api::engine::{Command, Engine, Event, WsConnection};
use control_api::serve::{Running, ServeError, serve, serve_with};
use control_api::store::Role;
use futures_util::{SinkExt, StreamExt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use support::fake_engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// Longest time that a step of these tests may take.
const SOON: Duration = Duration::from_secs(10);
/// Configuration with free ports, so that tests can run at the same time.
const FREE: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n";

struct Server {
    running: Running,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
}

async fn start(config: &str, data: &Path) -> Result<Server, ServeError> {
    let (engine, envelopes) = Engine::pair(16);
    let (commands, _refuse) = fake_engine(envelopes, Arc::default());
    let (events, received) = mpsc::channel(16);
    let running = serve_with(Config::from_toml(config).unwrap(), data, engine, received).await?;
    Ok(Server { running, commands, events })
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.running.http).await.unwrap()
    }

    /// Opens a WebSocket to `/sip` as a browser with a page of `origin` does.
    async fn sip(
        &self,
        protocol: Option<&str>,
        origin: Option<&str>,
    ) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, WsError> {
        let mut request = format!("ws://{}/sip", self.running.http).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let (socket, response) = client_async(request, self.connect().await).await?;
        assert_eq!(response.headers()["sec-websocket-protocol"], "sip");
        Ok(socket)
    }

    async fn next_connection(&mut self) -> WsConnection {
        match timeout(SOON, self.commands.recv()).await.unwrap() {
            Some(Command::SipConnection(connection)) => connection,
            other => panic!("no connection: {other:?}"),
        }
    }

    async fn stop(self) {
        drop(self.events);
        timeout(SOON, self.running.stop()).await.expect("the server did not stop in time");
    }
}

#[tokio::test]
async fn sip_over_websocket_is_carried_both_ways_and_closed_from_either_side() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(FREE, folder.path()).await.unwrap();
    let origin = format!("http://{}", server.running.http);
    let mut browser = server.sip(Some("foo, sip"), Some(&origin)).await.unwrap();
    let mut engine = server.next_connection().await;
    assert!(!engine.secure);
    assert_eq!(engine.peer, browser.get_ref().local_addr().unwrap());
    browser.send(Message::text("REGISTER sip:x SIP/2.0\r\n\r\n")).await.unwrap();
    assert_eq!(engine.incoming.recv().await.unwrap(), "REGISTER sip:x SIP/2.0\r\n\r\n");
    browser.send(Message::binary(b"\r\n\r\n".to_vec())).await.unwrap();
    assert_eq!(engine.incoming.recv().await.unwrap(), "\r\n\r\n");
    engine.outgoing.send("SIP/2.0 200 OK\r\n\r\n".into()).await.unwrap();
    assert_eq!(browser.next().await.unwrap().unwrap(), Message::text("SIP/2.0 200 OK\r\n\r\n"));
    // The client closes: its Close is answered, and the incoming channel of the engine ends.
    browser.close(None).await.unwrap();
    let answer = timeout(SOON, browser.next()).await.unwrap();
    assert!(matches!(answer, Some(Ok(Message::Close(_)))), "{answer:?}");
    assert_eq!(timeout(SOON, engine.incoming.recv()).await.unwrap(), None);
    // The engine closes by dropping its end: the client receives a Close.
    let mut browser = server.sip(Some("sip"), None).await.unwrap();
    drop(server.next_connection().await);
    let end = timeout(SOON, browser.next()).await.unwrap();
    assert!(matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");
    server.stop().await;
}

#[tokio::test]
async fn sip_over_websocket_is_refused_for_other_origins_and_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(FREE, folder.path()).await.unwrap();
    let own = format!("http://{}", server.running.http);
    for (protocol, origin, expected) in [
        (Some("sip"), Some("https://evil.example.com"), 403),
        (Some("sip"), Some("null"), 403),
        (None, Some(own.as_str()), 400),
        (Some("xmpp"), Some(own.as_str()), 400),
    ] {
        match server.sip(protocol, origin).await {
            Err(WsError::Http(response)) => assert_eq!(response.status().as_u16(), expected, "{protocol:?} {origin:?}"),
            other => panic!("{protocol:?} {origin:?}: {other:?}"),
        }
    }
    assert!(server.commands.try_recv().is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_browser_that_does_not_read_has_a_bounded_queue_and_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(FREE, folder.path()).await.unwrap();
    let stuck = server.sip(Some("sip"), None).await.unwrap();
    let stuck_engine = server.next_connection().await;
    let mut other = server.sip(Some("sip"), None).await.unwrap();
    let other_engine = server.next_connection().await;
    // The engine never waits: it fills the queue of the connection and then drops the connection.
    let message = bytes::Bytes::from(vec![b'x'; 60_000]);
    let full = timeout(SOON, async {
        loop {
            if stuck_engine.outgoing.try_send(message.clone()).is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    full.await.expect("the queue has no bound");
    other_engine.outgoing.try_send("SIP/2.0 200 OK\r\n\r\n".into()).unwrap();
    assert_eq!(timeout(SOON, other.next()).await.unwrap().unwrap().unwrap(), Message::text("SIP/2.0 200 OK\r\n\r\n"));
    drop((stuck_engine, stuck));
    server.stop().await;
}

#[tokio::test]
async fn messages_over_the_size_limit_close_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(FREE, folder.path()).await.unwrap();
    let mut browser = server.sip(Some("sip"), None).await.unwrap();
    let mut engine = server.next_connection().await;
    browser.send(Message::text("x".repeat(70_000))).await.unwrap();
    assert_eq!(timeout(SOON, engine.incoming.recv()).await.unwrap(), None);
    server.stop().await;
}

/// Sends a GET request over a plain or TLS stream and returns the whole answer as text.
async fn get(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A TLS peer that closes without close_notify gives an error here, after everything has been read.
    let _ended = timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own_and_count_by_route() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(FREE, folder.path()).await.unwrap();
    get(server.connect().await, "/api/calls/0190f3c4-7a1b-7c2d-8e3f-0123456789ab").await;
    let metrics = get(TcpStream::connect(server.running.metrics.unwrap()).await.unwrap(), "/metrics").await;
    assert!(metrics.contains("tandem_http_requests_total"), "{metrics}");
    assert!(metrics.contains("/api/calls/{id}") && !metrics.contains("0190f3c4"), "{metrics}");
    assert!(get(server.connect().await, "/metrics").await.starts_with("HTTP/1.1 404"));
    server.stop().await;
}

/// Accepts any certificate and remembers the last one.
#[derive(Debug, Default)]
struct AnyCertificate(std::sync::Mutex<Vec<u8>>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = end_entity.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

async fn tls(server: &Server) -> (TlsStream, Vec<u8>) {
    tls_at(server.running.http).await
}

async fn tls_at(address: SocketAddr) -> (TlsStream, Vec<u8>) {
    let verifier = Arc::new(AnyCertificate::default());
    let config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let stream =
        timeout(SOON, connector.connect(name, TcpStream::connect(address).await.unwrap())).await.unwrap().unwrap();
    let certificate = verifier.0.lock().unwrap().clone();
    (stream, certificate)
}

#[tokio::test]
async fn a_self_signed_certificate_is_created_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{FREE}\n").replace("[http]", "[http]\ntls = \"self-signed\"");
    let server = start(&config, folder.path()).await.unwrap();
    assert!(server.running.url().starts_with("https://127.0.0.1:"));
    let (stream, first) = tls(&server).await;
    assert!(get(stream, "/health").await.starts_with("HTTP/1.1 200"));
    server.stop().await;
    let server = start(&config, folder.path()).await.unwrap();
    let (_, second) = tls(&server).await;
    assert_eq!(first, second, "a browser that trusts the certificate must trust it after a restart");
    let key = folder.path().join("tls/self-signed.key.pem");
    assert_eq!(mode(&key) & 0o077, 0, "only the owner of the file may read the key");
    server.stop().await;
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode()
}

#[tokio::test]
async fn certificate_files_are_read_again_without_dropping_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&cert, made.cert.pem()).unwrap();
    };
    renew();
    let tls_key = format!("[http]\ntls = {{ cert = {cert:?}, key = {key:?} }}");
    let server = start(&FREE.replace("[http]", &tls_key), &folder.path().join("data")).await.unwrap();
    let (old_connection, before) = tls(&server).await;
    // After half a renewal the old certificate and key stay in use.
    std::fs::write(&cert, "nonsense").unwrap();
    let (_, during) = tls(&server).await;
    assert_eq!(before, during);
    renew();
    let renewed = timeout(SOON * 2, async {
        loop {
            let (stream, now) = tls(&server).await;
            if now != before {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(
        get(renewed.await.expect("the new certificate was not loaded in time"), "/health")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(get(old_connection, "/health").await.starts_with("HTTP/1.1 200"), "the old connection is still open");
    server.stop().await;
}

#[tokio::test]
async fn the_certificate_of_sip_is_read_again_without_dropping_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&cert, made.cert.pem()).unwrap();
    };
    renew();
    let config = format!("{FREE}[sip]\nlisten = [\"tls:127.0.0.1:0\"]\ntls = {{ cert = {cert:?}, key = {key:?} }}\n");
    let running = serve(Config::from_toml(&config).unwrap(), &folder.path().join("data")).await.unwrap();
    let address = running.sip[0].address;
    let (mut old_connection, before) = tls_at(address).await;
    sip_options(&mut old_connection).await;
    renew();
    let renewed = timeout(SOON * 2, async {
        loop {
            let (stream, now) = tls_at(address).await;
            if now != before {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    sip_options(&mut renewed.await.expect("the new certificate was not loaded in time")).await;
    sip_options(&mut old_connection).await;
    running.stop().await;
}

/// Sends an OPTIONS request and expects a 200.
async fn sip_options(stream: &mut TlsStream) {
    let request = "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
        From: <sip:x@localhost>;tag=x\r\nTo: <sip:localhost>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let byte =
            timeout(SOON, stream.read_u8()).await.expect("no answer in time").expect("the connection was closed");
        answer.push(byte);
    }
    assert!(answer.starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn operator_commands_work_with_and_without_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default();
    let key_of = |scopes: Option<&[&str]>, expires_in_days| AdminRequest::ApikeyCreate {
        organization: "acme".into(),
        name: "x".into(),
        scopes: scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
        expires_in_days,
    };
    let create = || key_of(None, None);
    let Ok(AdminReply::Apikey { made: true, key: offline, .. }) = admin::ask(&config, folder.path(), create()).await
    else {
        panic!("no key was created without a server")
    };
    let server = start(FREE, folder.path()).await.unwrap();
    assert_eq!(mode(&folder.path().join("admin.sock")) & 0o777, 0o600);
    let Ok(AdminReply::Apikey { made: false, key: online, .. }) = admin::ask(&config, folder.path(), create()).await
    else {
        panic!("no key was created by the server")
    };
    for key in [offline, online] {
        let mut stream = server.connect().await;
        let head =
            format!("GET /api/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for (scopes, days, says) in [
        (Some(&["calls.read", "all"][..]), None, "scopes[1]: unknown permission"),
        (Some(&["retention.write"]), None, "scopes[0]: a key cannot have more permissions than an admin"),
        (Some(&[]), None, "scopes: expected at least one"),
        (None, Some(0), "expires_in_days: expected 1 to 3650"),
        (None, Some(3_651), "expires_in_days: expected 1 to 3650"),
    ] {
        let refused = admin::ask(&config, folder.path(), key_of(scopes, days)).await.err().unwrap().to_string();
        assert!(refused.starts_with(says), "{refused}");
    }
    let user = AdminRequest::UserCreate {
        organization: "acme".into(),
        email: "anna@example.com".into(),
        name: "Anna".into(),
        role: Role::Admin,
        sip_name: "anna".into(),
    };
    assert!(matches!(admin::ask(&config, folder.path(), user.clone()).await, Ok(AdminReply::Password { .. })));
    let twice = admin::ask(&config, folder.path(), user).await.err().unwrap().to_string();
    assert!(twice.contains("exists already"), "{twice}");
    let nobody = AdminRequest::UserPassword { email: "nobody@example.com".into() };
    let nobody = admin::ask(&config, folder.path(), nobody).await.err().unwrap().to_string();
    assert!(nobody.contains("tandem user create"), "{nobody}");
    // An unknown command gets an answer, and the socket stays open.
    let mut stream = tokio::net::UnixStream::connect(folder.path().join("admin.sock")).await.unwrap();
    stream.write_all(b"{\"command\": \"rm -rf\"}\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("not understood"), "{answer}");
    server.stop().await;
    assert!(!folder.path().join("admin.sock").exists());
}

#[tokio::test]
async fn each_failure_at_start_is_one_sentence_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = async |config: &str, data: &Path| start(config, data).await.err().unwrap().to_string();
    let text = refused(&FREE.replacen("127.0.0.1:0", &address.to_string(), 1), folder.path()).await;
    assert!(
        text.contains("http.listen") && text.contains(&address.to_string()) && text.contains("free the port"),
        "{text}"
    );
    let metrics = format!("[http]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"{address}\"");
    assert!(refused(&metrics, folder.path()).await.contains("metrics.listen"));
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let text = refused(FREE, &file.join("data")).await;
    assert!(text.contains("--data"), "{text}");
    let tls = FREE.replace("[http]", "[http]\ntls = { cert = \"/nonexistent/c.pem\", key = \"/nonexistent/k.pem\" }");
    let text = refused(&tls, folder.path()).await;
    assert!(text.contains("http.tls") && text.contains("/nonexistent/c.pem"), "{text}");
    let store = format!("{FREE}\n[store]\nurl = \"postgres://x\"");
    assert!(refused(&store, folder.path()).await.contains("store.url"));
    let deep = folder.path().join("a".repeat(100));
    assert!(refused(FREE, &deep).await.contains("too long"));
    // The failed starts left nothing behind that prevents a start.
    let server = start(FREE, folder.path()).await.unwrap();
    let text = refused(FREE, folder.path()).await;
    assert!(text.contains("another tandem is running"), "{text}");
    server.stop().await;
}

/// Runs the program `tandem` without the `TANDEM_` variables of the environment.
fn tandem(arguments: &[&str]) -> Output {
    let mut process = Process::new(env!("CARGO_BIN_EXE_tandem"));
    process.args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TANDEM_")) {
        process.env_remove(name);
    }
    process.output().unwrap()
}

#[test]
fn a_failing_command_prints_one_sentence_and_exits_with_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "[http]\nlistn = \"127.0.0.1:1\"\n").unwrap();
    let data = folder.path().join("data");
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    for (arguments, expected) in [
        (vec!["serve", "--config", file, "--data", data], "did you mean `http.listen`?"),
        (vec!["serve", "--config", "/nonexistent.toml", "--data", data], "/nonexistent.toml"),
        (vec!["apikey", "create", "--org", "acme", "--data", "/nonexistent/data"], "there is no tandem data here"),
    ] {
        let output = tandem(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text.trim().lines().count(), 1, "{text}");
        assert!(text.starts_with("tandem: ") && text.contains(expected), "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn only_the_key_is_printed_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = tandem(&["apikey", "create", "--org", "acme", "--data", folder.path().to_str().unwrap()]);
    assert!(output.status.success());
    let key = String::from_utf8(output.stdout).unwrap();
    assert!(key.starts_with("tdm_") && key.trim_end().len() == 47, "{key}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("did not exist and was created"));
}

#[tokio::test]
async fn a_key_made_on_the_command_line_has_the_given_scopes_and_expiry() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let create = |terms: &[&str]| tandem(&[&["apikey", "create", "--org", "acme", "--data", data], terms].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    let output = create(&["--scope", "calls.read", "--scope", "calls.dial", "--expires-in-days", "30"]);
    let key = text(output.stdout);
    for (terms, says) in [
        (&["--scope", "calls.reed"][..], "tandem: scopes[0]: unknown permission"),
        (&["--expires-in-days", "3651"], "tandem: expires_in_days: expected 1 to 3650"),
    ] {
        let refused = create(terms);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(refused.stderr).starts_with(says), "{terms:?}");
    }
    let help = text(tandem(&["apikey", "create", "--help"]).stdout);
    assert!(help.contains("--scope <PERMISSION>") && help.contains("--expires-in-days <DAYS>"), "{help}");

    let server = start(FREE, folder.path()).await.unwrap();
    let ask = async |request: &str, body: &str| {
        let mut stream = server.connect().await;
        let head = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask("GET /api/calls", "").await.starts_with("HTTP/1.1 200"));
    assert!(ask("GET /api/team/members", "").await.starts_with("HTTP/1.1 403"));
    let known = ask("POST /api/auth/validate-key", &format!("{{\"key\": \"{key}\"}}")).await;
    let known: serde_json::Value = serde_json::from_str(known.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(known["scopes"], serde_json::json!(["calls.read", "calls.dial"]), "{known}");
    let ends: jiff::Timestamp = known["expires_at"].as_str().unwrap().parse().unwrap();
    let days = (ends.as_second() - jiff::Timestamp::now().as_second()) as f64 / 86_400.0;
    assert!((29.9..=30.0).contains(&days), "{days}");
    server.stop().await;
}
