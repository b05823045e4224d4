//! A peer that sends and never reads is closed, and delays no other peer.

use std::time::Duration;

use tests::ears::FarEnd;
use tests::sip::{Wire, options};
use tests::sound;
use tests::tandem::{Setup, Tandem};

use media_engine::sdp::Codec;

/// Deadline for answers to every other peer.
const ANSWER: Duration = Duration::from_millis(500);
/// Number of requests: more answers than any system buffers for a peer that reads none.
const REQUESTS: u64 = 60_000;

/// Sends requests and reads no answer, until the server closes the connection. Returns the number of requests sent.
async fn pour(mut wire: Wire) -> u64 {
    for sent in 0..REQUESTS {
        if !wire.send(options(wire.token(), 0x5100_0000 + sent).as_bytes()).await {
            return sent;
        }
    }
    REQUESTS
}

async fn harms_nobody_else(wire: Wire, tandem: &Tandem, closed: &str) {
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "tone", Duration::from_secs(5)).await;
    let mut other = Wire::udp(tandem.sip()).await;
    let pouring = tokio::spawn(pour(wire));
    for asked in 0.. {
        let poured_out = pouring.is_finished();
        assert_eq!(other.options(ANSWER).await, Some(200), "OPTIONS number {asked} while a peer does not read");
        if poured_out {
            break;
        }
    }
    let sent = pouring.await.expect("no panic while pouring");
    assert!(sent < REQUESTS, "the peer that reads nothing was never closed");
    let closings = tandem.metric("tandem_sip_connections_closed_total", closed).await;
    assert_eq!(closings, 1.0, "connections closed with {closed}");
    let (rate, heard) = far.hear_samples(0.2, 1.0).await;
    sound::assert_tone("a call beside the peer that does not read", &heard, rate, 1_000.0, -16.0, 0.5);
    far.party.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_peer_that_stops_reading_affects_no_other_peer() {
    let tandem = Tandem::start(&Setup { sip: vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], ..Setup::default() }).await;
    let wire = Wire::tcp(tandem.sip[1]).await;
    harms_nobody_else(wire, &tandem, "queue_full").await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_peer_that_stops_reading_affects_no_other_peer() {
    let tandem = Tandem::start(&Setup::default()).await;
    let wire = Wire::websocket(&tandem.http).await;
    harms_nobody_else(wire, &tandem, "queue_full").await;
    tandem.stop().await;
}
