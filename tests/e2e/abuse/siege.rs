//! Every attack at once during fifty calls: packet loss of the calls, and the server's resources afterwards.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::ports;
use tests::rtp::RtpEnd;
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::gate::strange;

const CALLS: usize = 50;
const PTIME: Duration = Duration::from_millis(20);
const MIB: u64 = 1 << 20;
/// Number of attacking addresses: 127.0.1.1 to 127.0.1.50.
const ADDRESSES: u8 = 50;
/// Number of connections that each attacking address tries to keep open.
const CONNECTIONS: usize = 40;
/// Interval after which a refused connection is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Deadline within which all calls are answered; they last for that much longer than the attacks.
const SETUP: Duration = Duration::from_secs(30);
/// Time after the last attack within which every idle connection is closed and every transaction has expired.
const SETTLED: Duration = Duration::from_secs(150);
/// Permitted growth of memory, for caches and the allocator.
const GROWTH: u64 = 50 * MIB;
/// Spellings of a premium number, which no account here may call.
const FORBIDDEN: [&str; 6] = [
    "+19005551234",
    "sip:%2B19005551234@127.0.0.1",
    "sip:+1-900-555-1234@localhost.",
    "tel:+1(900)555-1234",
    "sip:0019005551234;phone-context=+1@127.0.0.1;user=phone",
    "sip:%09+19005551234@127.0.0.1",
];

/// Packets of one call, sent and received.
#[derive(Default)]
struct Count {
    sent: AtomicU64,
    heard: AtomicU64,
}

/// Sends packets to a leg for ever, every third one three times, and counts each packet once.
async fn talk(end: RtpEnd, to: SocketAddr, count: Arc<Count>) {
    let mut pace = interval(PTIME);
    let mut sent = 0_usize;
    let mut payload = [0xff_u8; 160];
    loop {
        tokio::select! {
            _ = pace.tick() => {
                payload[..8].copy_from_slice(&(sent as u64).to_be_bytes());
                for _ in 0..if sent.is_multiple_of(3) { 3 } else { 1 } {
                    end.send(to, sent, &payload).await;
                }
                sent += 1;
                count.sent.fetch_add(1, Ordering::Relaxed);
            }
            () = end.heard() => {
                count.heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn attacker(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 1 + (n % usize::from(ADDRESSES)) as u8)
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    timeout(Duration::from_secs(5), socket.connect(to)).await.ok()?.ok()
}

/// Behaviour of a hostile connection once it is open.
#[derive(Clone, Copy)]
enum Connection {
    Silent,
    /// Sends one byte of a request's header per second.
    Slow,
    /// Sends the beginning of HTTP/2's preface.
    Preface,
    /// Requests pages without end and reads none.
    Deaf,
}

/// Opens one hostile connection again and again, each for as long as the server permits it.
async fn besiege(n: usize, server: SocketAddr, kind: Connection) {
    loop {
        if let Some(stream) = connect(attacker(n), server).await {
            hold(stream, kind).await;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Misuses a connection and returns when the server has closed it.
async fn hold(mut stream: TcpStream, kind: Connection) {
    let mut buffer = [0; 256];
    match kind {
        Connection::Silent => drop(stream.read(&mut buffer).await),
        Connection::Preface => {
            if stream.write_all(b"PRI * HTTP/2.0\r\n").await.is_ok() {
                drop(stream.read(&mut buffer).await);
            }
        }
        Connection::Slow => {
            let mut pace = interval(Duration::from_secs(1));
            for byte in b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')) {
                pace.tick().await;
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        }
        Connection::Deaf => while stream.write_all(b"GET /agent HTTP/1.1\r\nhost: localhost\r\n\r\n").await.is_ok() {},
    }
}

/// Sends unauthenticated requests over UDP, 200 per second.
async fn sip_flood(server: SocketAddr, seed: u64) {
    let mut noise = StdRng::seed_from_u64(seed);
    let socket = UdpSocket::bind((attacker(seed as usize), 0)).await.expect("an address on loopback");
    let mut pace = interval(Duration::from_millis(5));
    for n in 0.. {
        pace.tick().await;
        // A full system buffer loses a datagram, as a network does.
        let _ = socket.try_send_to(&strange(n, &mut noise), server);
    }
}

/// Sends wrong passwords, invented keys and malformed bodies, about 20 per second.
async fn http_flood(base: String, seed: u64) {
    let client = reqwest::Client::builder().local_address(std::net::IpAddr::from(attacker(seed as usize))).build();
    let client = client.expect("an HTTP client");
    let mut pace = interval(Duration::from_millis(50));
    for n in 0_u64.. {
        pace.tick().await;
        let request = match n % 4 {
            0 => client
                .post(format!("{base}/api/auth/login"))
                .json(&json!({"email": "anna@test.example", "password": n.to_string()})),
            1 => client.get(format!("{base}/api/calls")).bearer_auth(format!("tdm_{n:043}")),
            2 => client
                .post(format!("{base}/api/calls"))
                .header("content-type", "application/json")
                .body("{\"to\": \"\u{0}"),
            _ => client.get(format!("{base}/readyz")),
        };
        // Refused connections are part of the attack.
        let _ = timeout(Duration::from_secs(10), request.send()).await;
    }
}

/// Sends datagrams from strangers to the whole range of media ports, a thousand per second.
async fn media_flood(seed: u64) {
    let mut noise = StdRng::seed_from_u64(seed);
    let socket = UdpSocket::bind((attacker(seed as usize), 0)).await.expect("an address on loopback");
    let mut pace = interval(Duration::from_millis(10));
    let mut packet = [0_u8; 172];
    loop {
        pace.tick().await;
        for _ in 0..10 {
            noise.fill(&mut packet[..]);
            (packet[0], packet[1]) = (0x80, 0);
            let port = noise.random_range(ports::MEDIA_RANGE);
            // Most ports are closed and refuse.
            let _ = socket.try_send_to(&packet, (Ipv4Addr::LOCALHOST, port).into());
        }
    }
}

/// Tries forbidden calls with an API key of the attacker's own organization.
async fn dial_flood(api: tests::api::Api) {
    let mut pace = interval(Duration::from_millis(250));
    for to in FORBIDDEN.iter().cycle() {
        pace.tick().await;
        let body = json!({ "mode": "direct", "to": to });
        let (status, answer) = api.ask(Method::POST, "/api/calls", Some(body)).await;
        // A store that is busy with the other attacks may not answer in time; then no number is called either.
        let is_refused = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(is_refused, "{to} was called: {status} {answer}");
    }
}

/// Open files of the server, except for those of its data folder, because the database's pool grows with the load.
fn open_files(tandem: &Tandem) -> Vec<String> {
    let fds = std::fs::read_dir(format!("/proc/{}/fd", tandem.process().pid())).expect("the server's open files");
    let link = |fd: std::fs::DirEntry| Some(std::fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned());
    let data = tandem.data().to_string_lossy().into_owned();
    fds.filter_map(|fd| link(fd.ok()?)).filter(|link| !link.starts_with(&data)).collect()
}

/// Runs fifty calls, half relayed to a callee and half to the echo application, for `span` under every attack.
async fn siege(span: Duration) {
    let callee_port = ports::free();
    let setup = Setup {
        sip: vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0"],
        routes: vec![("+1555*", "trunk:callees"), ("echo", "app:echo")],
        // The default limits, as in production.
        further: "[limits]\n",
        ..Setup::to_callees(callee_port)
    };
    let tandem = Tandem::start(&setup).await;
    let rival = tandem.api("rival").await;
    let callee = Sipp::echo_callee(callee_port, CALLS / 2).await;
    let before = (tandem.holdings().await, open_files(&tandem).len(), tandem.process().memory());

    let mut calls = Vec::new();
    let mut ends = Vec::new();
    for n in 0..CALLS {
        let end = RtpEnd::bind().await;
        let to = if n % 2 == 0 { format!("+1555{n:07}") } else { "echo".into() };
        calls.push(Sipp::caller(tandem.sip(), &[(to, end.port())], 1, span + SETUP));
        ends.push(end);
    }
    let mut talking = JoinSet::new();
    let mut counts = Vec::new();
    for (caller, end) in calls.iter().zip(ends) {
        let (_, through) = caller.next_answered(0, SETUP).await;
        let count = Arc::new(Count::default());
        talking.spawn(talk(end, through, Arc::clone(&count)));
        counts.push(count);
    }

    let mut attacks = JoinSet::new();
    let http: SocketAddr = tandem.http.strip_prefix("http://").and_then(|at| at.parse().ok()).expect("an address");
    let kinds = [Connection::Silent, Connection::Slow, Connection::Preface, Connection::Deaf];
    for n in 0..CONNECTIONS * usize::from(ADDRESSES) {
        let server = if n % 3 == 0 { tandem.sip[1] } else { http };
        attacks.spawn(besiege(n, server, kinds[n % kinds.len()]));
    }
    for seed in 0..2 {
        attacks.spawn(sip_flood(tandem.sip(), seed));
        attacks.spawn(http_flood(tandem.http.clone(), seed));
        attacks.spawn(media_flood(seed));
    }
    attacks.spawn(dial_flood(rival));
    let end = Instant::now() + span;
    if let Ok(ended) = tokio::time::timeout_at(end, attacks.join_next()).await {
        panic!("an attack ended early: {ended:?}");
    }
    attacks.shutdown().await;
    talking.shutdown().await;

    let counted = |count: &Arc<Count>| (count.sent.load(Ordering::Relaxed), count.heard.load(Ordering::Relaxed));
    let counts: Vec<(u64, u64)> = counts.iter().map(counted).collect();
    println!("siege: packets sent and received, relayed and echoed calls in turn: {counts:?}");
    for (n, (sent, heard)) in counts.into_iter().enumerate() {
        assert!(heard * 50 >= sent * 49, "call {n}: {heard} of {sent} packets came back");
        assert!(heard <= sent, "call {n}: {heard} packets came back of {sent}: copies passed");
    }
    Sipp::all_succeed(calls, Duration::from_secs(60)).await;
    callee.succeeds(Duration::from_secs(10)).await;
    tandem.gives_back(&before.0, SETTLED).await;
    settles(&tandem, before.1, before.2).await;
    tandem.stop().await;
}

/// Waits until open files and memory are back at their initial values.
async fn settles(tandem: &Tandem, open_before: usize, memory_before: u64) {
    let (mut open, mut grown) = (Vec::new(), 0);
    let wait = async {
        let mut look = interval(Duration::from_secs(1));
        loop {
            look.tick().await;
            (open, grown) = (open_files(tandem), tandem.process().memory().saturating_sub(memory_before));
            // Connections of metrics clients come and go.
            if open.len() <= open_before + 4 && grown <= GROWTH {
                return;
            }
        }
    };
    let settled = timeout(SETTLED, wait).await.is_ok();
    println!("siege: {} open files ({open_before} before), {grown} B of memory more than before", open.len());
    assert!(settled, "{open_before} open files before, {grown} B of memory more than before, now open: {open:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: attacks for an hour, or for TANDEM_SIEGE_S seconds; make soak runs it"]
async fn an_hour_of_every_attack_harms_none_of_fifty_calls() {
    let span = std::env::var("TANDEM_SIEGE_S").map_or(Ok(3_600), |text| text.parse());
    siege(Duration::from_secs(span.expect("TANDEM_SIEGE_S is a number of seconds"))).await;
}
