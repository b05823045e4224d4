//! A caller on a trunk reaches a callee on a trunk, and the audio between them is relayed unchanged.

use std::collections::HashMap;
use std::time::Duration;

use tests::ports;
use tests::rtp::{RtpEnd, assert_unaltered};
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};
use tokio::task::JoinSet;

const CALLS: usize = 20;
const RATE: u32 = 10;
/// Number of packets in each call: two seconds of audio.
const PACKETS: usize = 100;
const HOLD: Duration = Duration::from_millis(3_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_relayed_calls_are_bit_exact_and_release_every_resource() {
    let callee_port = ports::free();
    let tandem = Tandem::start(&Setup::to_callees(callee_port)).await;
    let before = tandem.holdings().await;

    let callee = Sipp::echo_callee(callee_port, CALLS).await;
    let mut ends = HashMap::new();
    for _ in 0..CALLS {
        let end = RtpEnd::bind().await;
        ends.insert(end.port(), end);
    }
    let calls: Vec<(String, u16)> =
        ends.keys().enumerate().map(|(n, port)| (format!("+15550000{n:03}"), *port)).collect();
    let caller = Sipp::caller(tandem.sip(), &calls, RATE, HOLD);

    let mut talking = JoinSet::new();
    for n in 0..CALLS {
        let (ours, theirs) = caller.next_answered(n, Duration::from_secs(10)).await;
        let end = ends.remove(&ours).expect("each call has its own port");
        talking.spawn(async move { (n, end.exchange(theirs, n as u64, PACKETS, Duration::from_secs(1)).await) });
    }
    let mut heard = 0;
    while let Some(done) = talking.join_next().await {
        let (n, (sent, came)) = done.expect("no panic in an endpoint");
        assert_unaltered(&format!("call {n}"), &sent, &came);
        heard += came.len();
    }
    assert_eq!(heard, CALLS * PACKETS);
    let relayed = tandem.metric("tandem_media_packets_relayed_total", "").await;

    caller.succeeds(Duration::from_secs(10)).await;
    callee.succeeds(Duration::from_secs(10)).await;
    tandem.gives_back(&before, Duration::from_secs(5)).await;
    assert_eq!(tandem.metric("tandem_calls_total", "").await, CALLS as f64);
    assert!(relayed > 0.0, "the packets went through as samples, not as headers");
    tandem.stop().await;
}
