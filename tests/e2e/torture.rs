//! The torture messages of RFC 4475 and RFC 5118 against the running server: it survives, answers, and keeps no state.

use std::time::Duration;

use tests::repository;
use tests::sip::Wire;
use tests::tandem::{Setup, Tandem};

const MESSAGES: usize = 61;
/// Deadline for the answer to OPTIONS after any message.
const ANSWER: Duration = Duration::from_millis(500);

fn messages() -> Vec<(String, Vec<u8>)> {
    let file = repository().join("media-engine/tests/data/sip-torture/rfc.json");
    let text = std::fs::read_to_string(&file).expect("the torture messages");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list");
    let message = |row: &serde_json::Value| {
        let (id, data) = (row["id"].as_str().expect("an id"), row["data"].as_str().expect("data"));
        let bytes = match data.strip_prefix("hex:") {
            Some(digits) => hex::decode(digits).expect("hexadecimal"),
            None => data.as_bytes().to_vec(),
        };
        (id.to_owned(), bytes)
    };
    let messages: Vec<_> = rows.iter().map(message).collect();
    assert_eq!(messages.len(), MESSAGES);
    messages
}

async fn connections_leave_nothing(connect: impl AsyncFn(&Tandem) -> Wire) {
    // No peer is a trunk here: messages of strangers become no calls.
    let trunks = vec![("elsewhere", vec!["192.0.2.1".into()])];
    let sip = vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"];
    let tandem = Tandem::start(&Setup { sip, trunks, ..Setup::default() }).await;
    let before = tandem.holdings().await;
    for (id, bytes) in messages() {
        let mut wire = connect(&tandem).await;
        // The server may close a connection because of a message; it must then serve the next connection.
        wire.send(&bytes).await;
        let mut other = connect(&tandem).await;
        assert_eq!(other.options(ANSWER).await, Some(200), "OPTIONS after {id}");
    }
    tandem.gives_back(&before, Duration::from_secs(5)).await;
    for gauge in ["tandem_sip_connections", "tandem_sip_transactions", "tandem_sip_contacts"] {
        tandem.becomes_zero(gauge, Duration::from_secs(5)).await;
    }
    assert_eq!(tandem.metric("tandem_call_panics_total", "").await, 0.0);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_messages_over_websocket_leave_no_state() {
    connections_leave_nothing(async |tandem| Wire::websocket(&tandem.http).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_messages_over_tcp_leave_no_state() {
    connections_leave_nothing(async |tandem| Wire::tcp(tandem.sip[1]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_messages_over_tls_leave_no_state() {
    connections_leave_nothing(async |tandem| Wire::tls(tandem.sip[2]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_messages_over_udp_leave_no_state() {
    let tandem = Tandem::start(&Setup::default()).await;
    let before = tandem.holdings().await;
    let mut wire = Wire::udp(tandem.sip()).await;
    for (id, bytes) in messages() {
        wire.send(&bytes).await;
        assert_eq!(wire.options(ANSWER).await, Some(200), "OPTIONS after {id}");
    }
    // Messages from a trunk's address may become calls; those end when no ACK arrives.
    tandem.gives_back(&before, Duration::from_secs(20)).await;
    if tests::soak() {
        // Answers are kept for retransmitted requests for 32 s (RFC 3261, timers H and J).
        tandem.becomes_zero("tandem_sip_transactions", Duration::from_secs(40)).await;
        tandem.becomes_zero("tandem_sip_timers", Duration::from_secs(5)).await;
    }
    assert_eq!(tandem.metric("tandem_call_panics_total", "").await, 0.0);
    tandem.stop().await;
}
