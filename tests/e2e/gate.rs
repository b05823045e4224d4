//! Unauthenticated traffic: a flood of it is shed cheaply, password guessers get no answer, and many short calls release every
//! resource.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tests::ports;
use tests::rtp::RtpEnd;
use tests::sip::options;
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval, timeout_at};

/// Number of requests in the flood.
const FLOOD: u64 = 10_000;
const RATE: u64 = 2_000;
/// Interval between two probes.
const PROBE: Duration = Duration::from_millis(20);
const ANSWER: Duration = Duration::from_millis(500);
const MIB: u64 = 1 << 20;

/// A request from an unknown sender: any method, some with a wrong password, some malformed.
pub(crate) fn strange(n: u64, noise: &mut StdRng) -> Vec<u8> {
    const METHODS: [&str; 10] =
        ["INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "BYE", "CANCEL", "OPTIONS", "CONJURE"];
    let method = METHODS[noise.random_range(0..METHODS.len())];
    let password = match noise.random_range(0..10) {
        0 => format!(
            "Authorization: Digest username=\"u{n}\",realm=\"127.0.0.1\",nonce=\"{n:x}\",uri=\"sip:a\",response=\"{n:032x}\"\r\n"
        ),
        _ => String::new(),
    };
    let text = format!(
        "{method} sip:+8835100{n}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bKf{n};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:u{n}@127.0.0.1>;tag=f{n}\r\nTo: <sip:u{n}@127.0.0.1>\r\nCall-ID: flood{n}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:u{n}@127.0.0.9>\r\n{password}Content-Length: 0\r\n\r\n"
    );
    let mut bytes = text.into_bytes();
    if noise.random_range(0..10) == 0 {
        let at = noise.random_range(0..bytes.len());
        bytes[at] = noise.random();
    }
    bytes
}

/// Sends the flood at its rate and discards every answer.
async fn flood(server: SocketAddr) {
    let socket = Arc::new(UdpSocket::bind("127.0.0.9:0").await.expect("an address on loopback"));
    let reader = Arc::clone(&socket);
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while reader.recv_from(&mut buffer).await.is_ok() {}
    });
    let mut noise = StdRng::seed_from_u64(7);
    let mut pace = interval(Duration::from_millis(10));
    let mut sent = 0;
    while sent < FLOOD {
        pace.tick().await;
        for n in sent..(sent + RATE / 100).min(FLOOD) {
            // A full system buffer loses a datagram, as a network does.
            let _ = socket.try_send_to(&strange(n, &mut noise), server);
        }
        sent += RATE / 100;
    }
    reading.abort();
}

/// Sends OPTIONS for `span` and returns the number of timely answers and of requests.
async fn probe(server: SocketAddr, span: Duration) -> (usize, usize) {
    let socket = UdpSocket::bind("127.0.0.8:0").await.expect("an address on loopback");
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let mut pace = interval(PROBE);
    let mut buffer = [0; 4096];
    let (end, last) = (Instant::now() + span, Instant::now() + span + ANSWER);
    loop {
        tokio::select! {
            now = pace.tick(), if Instant::now() < end => {
                let id = 0x7100_0000 + asked.len() as u64;
                socket.send_to(options("UDP", id).as_bytes(), server).await.expect("a datagram sent");
                asked.push(now);
                answered.push(false);
            }
            came = timeout_at(last, socket.recv_from(&mut buffer)) => {
                let Ok(came) = came else { break };
                let (length, _) = came.expect("a datagram");
                let text = String::from_utf8_lossy(&buffer[..length]);
                let id = text.lines().find_map(|line| line.strip_prefix("Call-ID: options-")).expect("our Call-ID");
                let n = u64::from_str_radix(id, 16).expect("our number") as usize - 0x7100_0000;
                answered[n] |= text.starts_with("SIP/2.0 200") && asked[n].elapsed() <= ANSWER;
            }
        }
    }
    (answered.iter().filter(|answered| **answered).count(), asked.len())
}

/// Returns the maximum resident memory of `tandem` until `done` completes.
async fn most_memory(tandem: &Tandem, done: impl Future<Output = ()>) -> u64 {
    let mut look = interval(Duration::from_millis(50));
    let mut most = 0;
    tokio::pin!(done);
    loop {
        tokio::select! {
            () = &mut done => return most,
            _ = look.tick() => most = most.max(tandem.process().memory()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_is_shed_while_calls_and_probes_continue() {
    let tandem = Tandem::start(&Setup::default()).await;
    // Memory that the first call and the first probe load once does not count towards the flood.
    let (answered, asked) = probe(tandem.sip(), Duration::from_millis(200)).await;
    assert_eq!(answered, asked, "probes before the flood");
    let end = RtpEnd::bind().await;
    let caller = Sipp::caller(tandem.sip(), &[("echo".into(), end.port())], 1, Duration::from_secs(9));
    let (_, through) = caller.next_answered(0, Duration::from_secs(10)).await;
    let before = tandem.process().memory();
    let span = Duration::from_millis(FLOOD * 1000 / RATE);
    let talking = tokio::spawn(async move { end.exchange(through, 1, 300, Duration::from_secs(1)).await });
    let probing = tokio::spawn(probe(tandem.sip(), span));
    let most = most_memory(&tandem, flood(tandem.sip())).await;
    let (answered, asked) = probing.await.expect("no panic while probing");
    assert!(answered * 100 >= asked * 99, "{answered} of {asked} probes were answered within {ANSWER:?}");
    let (sent, came) = talking.await.expect("no panic while talking");
    assert!(came.len() * 50 >= sent.len() * 49, "{} of {} packets came back during the flood", came.len(), sent.len());
    let after = tandem.process().memory();
    println!("flood: {before} B before, {most} B at most, {after} B after; {answered} of {asked} probes");
    assert!(most.saturating_sub(before) <= 64 * MIB, "{before} B before, {most} B at most");
    assert!(after.saturating_sub(before) <= 16 * MIB, "{before} B before, {after} B after");
    let refused = tandem.metric("tandem_sip_refused_total", "").await;
    assert!(refused >= FLOOD as f64 * 0.5, "{refused} requests were counted as refused");
    // Its wrong passwords carry invented nonces, so the sender address may be forged.
    assert_eq!(tandem.metric("tandem_sip_scanners_total", "").await, 0.0);
    caller.succeeds(Duration::from_secs(15)).await;
    tandem.stop().await;
}

/// Runs calls through two trunks, a hundred a second, and asserts that every resource is released.
async fn short_calls(calls: usize) {
    let callee_port = ports::free();
    let tandem = Tandem::start(&Setup::to_callees(callee_port)).await;
    let callee = Sipp::echo_callee(callee_port, calls + 20).await;
    let media = RtpEnd::bind().await;
    let numbers =
        |count: usize| -> Vec<(String, u16)> { (0..count).map(|n| (format!("+1555{n:07}"), media.port())).collect() };
    // The first calls load code and data that stay.
    let first = Sipp::caller(tandem.sip(), &numbers(20), 10, Duration::from_millis(100));
    first.succeeds(Duration::from_secs(20)).await;
    tandem.becomes_zero("tandem_sip_dialogs", Duration::from_secs(5)).await;
    let before = tandem.holdings().await;
    let memory = tandem.process().memory();
    let caller = Sipp::caller(tandem.sip(), &numbers(calls), 100, Duration::from_millis(200));
    caller.succeeds(Duration::from_secs(30 + calls as u64 / 20)).await;
    callee.succeeds(Duration::from_secs(10)).await;
    tandem.gives_back(&before, Duration::from_secs(10)).await;
    let grown = tandem.process().memory().saturating_sub(memory);
    println!("{calls} short calls: {grown} B more than after the first 20");
    // Transactions linger for 32 s (4 kB for each call of the last half minute), and the caches of the store and the allocator
    // fill.
    assert!(grown <= 24 * MIB + 3_200 * 8 * 1024, "{grown} B");
    assert_eq!(tandem.metric("tandem_calls_total", "").await, (calls + 20) as f64);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_short_calls_release_every_resource() {
    short_calls(500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: takes three minutes; make soak runs it"]
async fn eighteen_thousand_short_calls_release_every_resource() {
    short_calls(18_000).await;
}
