//! A browser that cannot send UDP: its audio goes through a TURN server, over TCP and over TLS.

use std::time::Duration;

use codecs::SampleRate;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use tests::browser::Browser;
use tests::coturn::Coturn;
use tests::ears::FarEnd;
use tests::sound;
use tests::talk::{LEVEL_DBFS, TOLERANCE_DB, sound_flows_both_ways};
use tests::tandem::{Setup, Tandem};
use tests::wall::Wall;

const HERTZ: f32 = 440.0;
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum time from applying the answer to the first decoded frame.
const FIRST_FRAME_MS: f64 = 2_000.0;

/// Makes calls in both directions; `uris` are those of the relay, and `way` is the relay protocol in the browser's statistics.
async fn sound_through_the_relay(uris: impl Fn(&Coturn) -> Vec<String>, way: &str) {
    let wall = Wall::build().await;
    let turn = Coturn::start(&wall).await;
    let tandem = Tandem::start(&Setup {
        // Without TLS a page on another host gets no microphone.
        tls: "self-signed",
        http: format!("{}:0", wall.outside()),
        addresses: vec!["127.0.0.1".into(), wall.outside().to_string()],
        turn: format!("uris = {:?}\nsecret = {:?}\n", uris(&turn), Coturn::SECRET),
        ..Setup::default()
    })
    .await;
    let account = tandem.agent("Home", "anna").await;
    let mut browser = Browser::launch_in(Some(&wall.inside()), HERTZ, LEVEL_DBFS).await;
    browser.sign_in(&tandem.http, &account).await;
    let before = tandem.holdings().await;

    // The page receives a call.
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.party.call("+34910000001", "+15550001").expect("a call placed");
    browser.line_becomes("incoming", PATIENCE).await;
    browser.click("#answer").await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Answered).await;
    browser.line_becomes("active", PATIENCE).await;
    let called_ms = browser.first_frame_ms(PATIENCE).await;
    let path = browser.path().await;
    assert_eq!(
        (path["type"].as_str(), path["relay"].as_str()),
        (Some("relay"), Some(way)),
        "{path}\n{}",
        turn.output()
    );
    sound_flows_both_ways(&mut far, &mut browser, HERTZ, HERTZ).await;
    far.party.hang_up();
    browser.line_becomes("idle", PATIENCE).await;

    // The page places a call.
    browser.fill("#dial-input", "tone").await;
    browser.click("#dial").await;
    browser.line_becomes("active", PATIENCE).await;
    let calling_ms = browser.first_frame_ms(PATIENCE).await;
    let page = browser.hear(1.0).await;
    sound::assert_tone("the tone in the page", &page, SampleRate::HZ_48000, 1_000.0, -16.0, TOLERANCE_DB);
    let path = browser.path().await;
    assert_eq!(
        (path["type"].as_str(), path["relay"].as_str()),
        (Some("relay"), Some(way)),
        "{path}\n{}",
        turn.output()
    );
    browser.click("#hangup").await;
    browser.line_becomes("idle", PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    println!(
        "through TURN over {way}, answer applied to first decoded frame: called {called_ms:.0} ms, calling {calling_ms:.0} ms"
    );
    assert!(called_ms.max(calling_ms) <= FIRST_FRAME_MS, "called {called_ms:.0} ms, calling {calling_ms:.0} ms");
    far.party.stop().await;
    browser.close().await;
    tandem.stop().await;
    turn.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_without_udp_has_audio_through_turn_over_tcp() {
    sound_through_the_relay(Coturn::plain, "tcp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_without_udp_has_audio_through_turn_over_tls() {
    sound_through_the_relay(Coturn::secure, "tls").await;
}
