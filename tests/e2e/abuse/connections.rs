//! Connections that send nothing, send too much, or never read.
//!
//! ```text
//! crowd (child process, fifty loopback addresses) ─▶ HTTP, TLS, SIP listeners ◀─ regular users: page, telephone, call, monitor
//! ```
//!
//! During an attack every regular user must be served within [`PATIENCE`]; afterwards descriptors and memory must be released. Not
//! here: floods of messages (`gate`), all attacks at once (`siege`).

use std::net::SocketAddr;
use std::time::Duration;

use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::Api;
use tests::browser::Kind;
use tests::crowd::{Crowd, Targets};
use tests::ears::FarEnd;
use tests::ports;
use tests::sip::Wire;
use tests::sipp::Sipp;
use tests::softphone::{Library, Softphone};
use tests::sound;
use tests::tandem::{Setup, Tandem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Deadline for an answer during an attack.
const PATIENCE: Duration = Duration::from_secs(10);
/// Duration of the attack by many connections.
const SIEGE: Duration = Duration::from_secs(300);
/// Path of the attackers' program.
const CROWD: &str = env!("CARGO_BIN_EXE_crowd");

/// Asserts that the server answers on a new connection, as for a monitor.
async fn is_healthy(http: &str) {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(PATIENCE).build().expect("a client");
    let answer = client.get(format!("{http}/health")).send().await.expect("/health is answered");
    assert_eq!(answer.status(), StatusCode::OK);
}

/// Calls an application by SIP and asserts that it is heard.
async fn calls(tandem: &Tandem) {
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "tone", PATIENCE).await;
    let (rate, heard) = far.hear_samples(0.4, 0.4).await;
    sound::assert_tone("a call beside attackers", &heard, rate, 1_000.0, -16.0, 1.0);
    far.party.stop().await;
}

async fn connect_from(own: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(own.parse().expect("an address"), 0))?;
    socket.connect(to).await
}

/// Sends bytes and returns what the server sends until it closes the connection.
async fn said_to(http: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(http).await.expect("a connection");
    // A server that refuses early may close before everything was sent.
    let _early = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    assert!(read.is_ok(), "the answer arrives before the end of the connection: {read:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_leave_descriptors_for_requests_and_calls() {
    let tandem = Tandem::start(&Setup { descriptors: Some(256), ..Setup::default() }).await;
    let mut silent = Vec::new();
    for n in 0..230 {
        let mut stream = TcpStream::connect(tandem.http_listener()).await.expect("the system takes a connection");
        if n % 2 == 0 {
            stream.write_all(b"PRI * HTTP/2.0\r\n").await.expect("the start of the preface of HTTP/2");
        }
        silent.push(stream);
    }
    is_healthy(&tandem.http).await;
    calls(&tandem).await;
    let shut = tandem.metric("tandem_http_connections_closed_total", "why=\"displaced\"").await;
    assert!(shut > 100.0, "the silent make room for each other: {shut}");
    tandem.stop().await;
}

/// A server with every listener, and regular users whom attackers must not lock out.
struct Regulars {
    tandem: Tandem,
    api: Api,
    carrier: Sipp,
    /// A call that began before the attack.
    earlier: FarEnd,
}

impl Regulars {
    async fn start(descriptors: Option<u32>) -> Regulars {
        let carrier_port = ports::free();
        let tandem = Tandem::start(&Setup {
            sip: vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"],
            trunks: vec![("carrier", vec![format!("127.0.0.1:{carrier_port}")])],
            routes: vec![("echo", "app:echo"), ("tone", "app:tone")],
            further: "[dial]\nemergency_trunk = \"carrier\"\n",
            descriptors,
            ..Setup::default()
        })
        .await;
        let api = tandem.api("Home").await;
        tandem.agent("Home", "anna").await;
        let carrier = Sipp::echo_callee(carrier_port, 1).await;
        let mut earlier = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
        earlier.call("+34910000001", "tone", PATIENCE).await;
        Regulars { tandem, api, carrier, earlier }
    }

    fn targets(&self) -> Targets {
        let tandem = &self.tandem;
        Targets {
            http: vec![tandem.http_listener(), tandem.metrics_listener()],
            tls: vec![tandem.sip[2]],
            sip: vec![tandem.sip[1]],
        }
    }

    /// Asserts that every regular user is served.
    async fn are_served(&mut self) {
        let Regulars { tandem, api, earlier, .. } = self;
        for _ in 0..5 {
            is_healthy(&tandem.http).await;
        }
        api.get("/api/calls").await;
        let (rate, heard) = earlier.hear_samples(0.2, 0.4).await;
        sound::assert_tone("the call from before", &heard, rate, 1_000.0, -16.0, 1.0);
        calls(tandem).await;
        // The address is not a trunk's: the clients are strangers, like every telephone before it registers.
        let stranger = || connect_from("127.0.0.77", tandem.sip[1]);
        let secure = connect_from("127.0.0.77", tandem.sip[2]).await.expect("a connection");
        for mut wire in [
            Wire::udp(tandem.sip()).await,
            Wire::Tcp(stranger().await.expect("a connection")),
            Wire::tls_over(secure).await,
            Wire::websocket(&tandem.http).await,
        ] {
            assert_eq!(wire.options(PATIENCE).await, Some(200), "OPTIONS over {}", wire.token());
        }
        assert!(tandem.metric("tandem_calls_running", "").await >= 1.0, "the metrics are readable");
    }

    /// Makes a call from a browser's page.
    async fn call_from_a_browser(&self) {
        let token = self.api.post("/api/webrtc/token?agent=anna").await;
        let domain = token["sip_uri"].as_str().and_then(|uri| uri.split_once('@')).expect("an address").1.to_owned();
        let mut phone = Softphone::start(Kind::Chromium, Library::SipJs, &self.tandem.http, token, 440.0, -12.0).await;
        phone.becomes("registered", PATIENCE).await;
        phone.does("call", json!(format!("sip:echo@{domain}"))).await;
        phone.becomes("active", PATIENCE).await;
        phone.does("hangUp", Value::Null).await;
        phone.becomes("registered", PATIENCE).await;
        phone.close().await;
    }

    /// Calls an emergency number, which the carrier answers.
    async fn call_for_help(&self) {
        let body = json!({ "mode": "direct", "to": "112" });
        assert_eq!(self.api.ask(Method::POST, "/api/calls", Some(body)).await.0, StatusCode::CREATED);
        let call = self.api.call_becomes("answered", PATIENCE).await;
        let path = format!("/api/calls/{}/hangup", call["id"].as_str().expect("an id"));
        assert!(self.api.ask(Method::POST, &path, None).await.0.is_success());
    }

    async fn stop(self) {
        self.carrier.succeeds(PATIENCE).await;
        self.earlier.party.stop().await;
        self.tandem.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_attackers_from_fifty_addresses_lock_no_user_out_of_a_small_server() {
    let mut regulars = Regulars::start(Some(256)).await;
    let crowd = Crowd::gather(CROWD, &regulars.targets(), 2_000).await;
    regulars.are_served().await;
    regulars.call_from_a_browser().await;
    regulars.call_for_help().await;
    assert!(crowd.open() > 30, "the crowd is still connected: {}", crowd.open());
    crowd.leave().await;
    regulars.are_served().await;
    regulars.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: the same with 20,000 attackers, for five minutes"]
async fn twenty_thousand_attackers_from_fifty_addresses_lock_no_user_out() {
    let mut regulars = Regulars::start(None).await;
    let targets = regulars.targets();
    let (one, other) = tokio::join!(Crowd::gather(CROWD, &targets, 10_000), Crowd::gather(CROWD, &targets, 10_000));
    let end = Instant::now() + SIEGE;
    regulars.call_for_help().await;
    while Instant::now() < end {
        regulars.are_served().await;
        regulars.call_from_a_browser().await;
        println!("{} attackers are connected", one.open() + other.open());
    }
    assert!(one.open() + other.open() > 2_000, "the crowd is still connected");
    one.leave().await;
    other.leave().await;
    regulars.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_of_one_address_are_bounded_and_others_still_connect() {
    let tandem = Tandem::start(&Setup::default()).await;
    let upgrade = "GET /sip HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..300 {
        let mut stream = connect_from("127.0.0.66", tandem.http_listener()).await.expect("a connection");
        stream.write_all(upgrade.as_bytes()).await.expect("the request sent");
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer").expect("a status line");
        match &answer {
            b"HTTP/1.1 101" => open.push(stream),
            b"HTTP/1.1 503" => refused += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    assert!(open.len() <= 128 && open.len() + refused == 300, "{} open, {refused} refused", open.len());
    assert_eq!(Wire::websocket(&tandem.http).await.options(PATIENCE).await, Some(200), "from another address");
    let counted = tandem.metric("tandem_sip_refused_total", "websockets_of_address").await;
    assert_eq!(counted, refused as f64);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_or_oversized_requests_get_an_http_error() {
    let tandem = Tandem::start(&Setup::default()).await;
    let http = tandem.http_listener();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 0",
        "Transfer-Encoding: gzip, chunked\r\nX: y\r\nContent-Length: 4",
    ] {
        let request = format!("POST /api/auth/login HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}");
        let said = said_to(http, request.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{lengths}: {said}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "nothing after it is answered: {said}");
    }
    let long = "a".repeat(300_000);
    for (request, status) in [
        (format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"), 431),
        (format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: 1\r\n".repeat(30_000)), 431),
        (format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: 1\r\n".repeat(150)), 431),
        (format!("GET /health?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &long[..9_000]), 414),
    ] {
        let said = said_to(http, request.as_bytes()).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {said}");
    }
    for path in ["/api/calls", "/api/nothing", "/api/health", "/health", "/readyz", "/openapi.json"] {
        let answer = reqwest::get(format!("{}{path}", tandem.http)).await.expect("an answer");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    }
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_written_to_a_file_have_no_colours() {
    let tandem = Tandem::start(&Setup { colours: true, ..Setup::default() }).await;
    is_healthy(&tandem.http).await;
    let said = tandem.process().output();
    assert!(said.contains("INFO") && !said.contains('\u{1b}'), "{said}");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_json_objects_of_the_configured_levels_on_request() {
    let further = "[log]\nformat = \"json\"\nlevel = \"warn\"\nrooms = { sip_io = \"info\" }\n";
    let tandem = Tandem::start(&Setup { further, ..Setup::default() }).await;
    is_healthy(&tandem.http).await;
    let output = tandem.process().output();
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).collect();
    let has = |level: &str, target: &str| {
        lines.iter().any(|line| line["level"] == level && line["target"].as_str().is_some_and(|at| at.contains(target)))
    };
    assert!(has("INFO", "media_engine::sip_io"), "{output}");
    assert!(lines.iter().all(|line| line["level"] != "INFO" || line["target"] == "media_engine::sip_io"), "{output}");
    tandem.stop().await;
}

/// Number of requests in one flood, half of them over HTTP.
const FLOOD: u64 = 6_000;
/// Number of login attempts among them: each takes 19 MiB for a moment.
const LOGINS: u64 = 100;
const MIB: u64 = 1 << 20;

/// Sends one of several kinds of unauthenticated requests.
async fn asks_something(client: &reqwest::Client, http: &str, n: u64) {
    let token = format!("tdm_{n:043}");
    let request = match n % 5 {
        0 => client.get(format!("{http}/openapi.json")),
        1 => client.get(format!("{http}/api/calls")).bearer_auth(token),
        2 => client.get(format!("{http}/{n}{}", "a".repeat(n as usize % 4_000))),
        3 if n < LOGINS * 5 => {
            let body = json!({ "email": format!("user{n}@test.example"), "password": "not the right one" });
            client.post(format!("{http}/api/auth/login")).json(&body)
        }
        _ => client.get(format!("{http}/readyz")).header("x-padding", "y".repeat(20_000)),
    };
    // The status does not matter; the test is about the server's memory.
    if let Ok(answer) = request.send().await {
        let _read = answer.bytes().await;
    }
}

async fn flood(tandem: &Tandem) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.9:0").await.expect("an address on loopback");
    let clients: Vec<reqwest::Client> = (1..=20)
        .map(|n| {
            reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 67, n])).build().expect("a client")
        })
        .collect();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..FLOOD {
        if n % 2 == 0 {
            // A full system buffer loses a datagram, as a network does.
            let _lost = socket
                .try_send_to(tests::sip::options("UDP", n).replace("OPTIONS", "REGISTER").as_bytes(), tandem.sip());
            continue;
        }
        let (client, http) = (clients[n as usize % clients.len()].clone(), tandem.http.clone());
        running.spawn(async move { asks_something(&client, &http, n / 2).await });
        if running.len() > 200 {
            running.join_next().await;
        }
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_returned_after_floods() {
    let tandem = Tandem::start(&Setup::default()).await;
    is_healthy(&tandem.http).await;
    let before = tandem.process().memory();
    let mut after = Vec::new();
    for round in 0..3 {
        flood(&tandem).await;
        let end = Instant::now() + Duration::from_secs(40);
        let mut now = tandem.process().memory();
        while now > before + 50 * MIB {
            assert!(Instant::now() < end, "flood {round}: {} MiB before, {} MiB now", before / MIB, now / MIB);
            tokio::time::sleep(Duration::from_millis(500)).await;
            now = tandem.process().memory();
        }
        after.push(now);
    }
    println!("{} MiB before, then {:?}", before / MIB, after.iter().map(|bytes| bytes / MIB).collect::<Vec<_>>());
    assert!(after[2] < after[0] + 12 * MIB, "it climbs: {after:?}");
    tandem.stop().await;
}
