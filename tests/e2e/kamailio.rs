//! Kamailio between Tandem and a peer: as a record-routing front proxy, and as the far trunk.

use std::time::Duration;

use codecs::SampleRate;
use media_engine::sdp::Codec;
use tests::ears::FarEnd;
use tests::kamailio::Kamailio;
use tests::ports;
use tests::sipp::Sipp;
use tests::sound;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_a_front_proxy_has_audio_and_is_ended_by_the_caller() {
    let tandem = Tandem::start(&Setup::default()).await;
    let before = tandem.holdings().await;
    let kamailio = Kamailio::in_front_of(tandem.sip()).await;
    let mut caller = FarEnd::start(kamailio.address, vec![Codec::Pcmu]).await;
    caller.call("+34910000001", "tone", PATIENCE).await;
    let (rate, heard) = caller.hear_samples(0.3, 1.0).await;
    sound::assert_tone("a tone through the proxy", &heard, rate, 1_000.0, -16.0, 0.5);
    caller.party.hang_up();
    tandem.gives_back(&before, PATIENCE).await;
    assert_eq!(
        tandem.metric("tandem_sip_requests_total", "method=\"BYE\"").await,
        1.0,
        "by the route that was recorded"
    );
    caller.party.stop().await;
    kamailio.stop().await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_a_proxy_as_trunk_has_audio_and_is_ended_by_the_server() {
    let callee_port = ports::free();
    let callee = Sipp::echo_callee(callee_port, 1).await;
    let kamailio = Kamailio::in_front_of(([127, 0, 0, 1], callee_port).into()).await;
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![kamailio.address.to_string()])],
        routes: vec![("+1555*", "trunk:carrier")],
        ..Setup::default()
    })
    .await;
    let before = tandem.holdings().await;
    let mut caller = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    caller.call("+34910000001", "+15550100", PATIENCE).await;
    let tone = sound::tone(SampleRate::HZ_8000, 440.0, -12.0, 3.0);
    caller.party.say(1, SampleRate::HZ_8000, &tone).expect("a tone is sent");
    let (rate, heard) = caller.hear_samples(1.0, 1.0).await;
    sound::assert_tone("the echo behind the proxy", &heard, rate, 440.0, -12.0, 1.0);
    caller.party.hang_up();
    // The server's BYE has passed through the proxy to the callee, which answered it.
    callee.succeeds(PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;
    caller.party.stop().await;
    kamailio.stop().await;
    tandem.stop().await;
}
