//! A real browser on the server's own page: audio both ways, keys, and hang-up by either side.

use std::net::SocketAddr;
use std::time::Duration;

use codecs::SampleRate;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use tests::browser::Browser;
use tests::desk::{self, Desk};
use tests::ears::FarEnd;
use tests::ports;
use tests::sound;
use tests::talk::{LEVEL_DBFS, TOLERANCE_DB, sound_flows_both_ways};
use tests::tandem::{Setup, Tandem};

const HERTZ: f32 = 440.0;
const PATIENCE: Duration = Duration::from_secs(10);

/// A number that is routed to the agent.
const CALLED: &str = "+15550001";
const CALLER: &str = "+34910000001";

/// Lets the customer call, checks which caller the page shows, and answers in the page.
async fn ring_and_answer(far: &mut FarEnd, browser: &mut Browser) {
    far.party.call(CALLER, CALLED).expect("a call placed");
    browser.line_becomes("incoming", PATIENCE).await;
    let peer = browser.text("#incoming-peer").await;
    assert!(peer.contains(CALLER), "the page says that {peer:?} calls");
    browser.click("#answer").await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Answered).await;
    browser.line_becomes("active", PATIENCE).await;
}

async fn a_call_in_the_page(setup: Setup) {
    let tandem = Tandem::start(&setup).await;
    let account = tandem.agent("Home", "anna").await;
    let mut browser = Browser::launch(HERTZ, LEVEL_DBFS).await;
    browser.sign_in(&tandem.http, &account).await;
    let before = tandem.holdings().await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;

    ring_and_answer(&mut far, &mut browser).await;
    sound_flows_both_ways(&mut far, &mut browser, HERTZ, HERTZ).await;
    browser.click("#keypad summary").await;
    for key in ["5", "0", "#", "*"] {
        browser.click(&format!(".key[data-digit=\"{key}\"]")).await;
    }
    far.until_keys("50#*", PATIENCE).await;
    far.party.hang_up();
    browser.line_becomes("idle", PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    ring_and_answer(&mut far, &mut browser).await;
    browser.click("#hangup").await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Over).await;
    browser.line_becomes("idle", PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    let complaints = browser.complaints().await;
    let unexpected: Vec<_> = complaints.iter().filter(|text| !text.contains("ScriptProcessorNode")).collect();
    assert!(unexpected.is_empty(), "the page complained: {unexpected:?}");
    far.party.stop().await;
    browser.close().await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_and_a_page_over_http_hear_each_other() {
    a_call_in_the_page(Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_and_a_page_over_https_hear_each_other() {
    a_call_in_the_page(Setup { tls: "self-signed", ..Setup::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calling_page_hears_early_media_before_the_answer() {
    const SAID_HZ: f32 = 700.0;
    let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        routes: vec![("+*", "trunk:carrier"), ("*", "agent:anna")],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..Setup::default()
    })
    .await;
    let account = tandem.agent("Home", "anna").await;
    let mut browser = Browser::launch(HERTZ, LEVEL_DBFS).await;
    browser.sign_in(&tandem.http, &account).await;
    let before = tandem.holdings().await;
    let mut customer = Desk::start_at(carrier, tandem.sip(), CALLED).await;

    browser.fill("#dial-input", CALLED).await;
    browser.click("#dial").await;
    let invite = customer.rings(PATIENCE).await;
    let mut sound = customer.announce(&invite, SAID_HZ).await;
    sound.until_tone(HERTZ, PATIENCE).await;
    let page = browser.hear(1.0).await;
    sound::assert_tone("the announcement", &page, SampleRate::HZ_48000, SAID_HZ, desk::LEVEL_DBFS, TOLERANCE_DB);
    browser.line_becomes("calling", PATIENCE).await;

    let mut line = customer.answer_with(&invite, sound, PATIENCE).await;
    browser.line_becomes("active", PATIENCE).await;
    line.sound.hears_tone("the page", HERTZ, PATIENCE).await;
    let page = browser.hear(1.0).await;
    sound::assert_tone("the customer", &page, SampleRate::HZ_48000, SAID_HZ, desk::LEVEL_DBFS, TOLERANCE_DB);
    customer.hang_up(&mut line, PATIENCE).await;
    browser.line_becomes("idle", PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    // The network plays an announcement and refuses the call; the page must show that.
    browser.fill("#dial-input", CALLED).await;
    browser.click("#dial").await;
    let invite = customer.rings(PATIENCE).await;
    let mut sound = customer.announce(&invite, SAID_HZ).await;
    sound.until_tone(HERTZ, PATIENCE).await;
    customer.refuse(&invite, 486).await;
    browser.line_becomes("idle", PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;
    browser.close().await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_frame_follows_the_answer_within_300_ms() {
    let calls = if tests::soak() { 20 } else { 5 };
    let tandem = Tandem::start(&Setup::default()).await;
    let account = tandem.agent("Home", "anna").await;
    let mut browser = Browser::launch(HERTZ, LEVEL_DBFS).await;
    browser.sign_in(&tandem.http, &account).await;
    let mut times = Vec::new();
    for n in 0..calls {
        browser.fill("#dial-input", "tone").await;
        browser.click("#dial").await;
        browser.line_becomes("active", PATIENCE).await;
        times.push(browser.first_frame_ms(PATIENCE).await);
        if n + 1 == calls {
            let heard = browser.hear(1.0).await;
            sound::assert_tone("the tone in the page", &heard, SampleRate::HZ_48000, 1_000.0, -16.0, TOLERANCE_DB);
        }
        browser.click("#hangup").await;
        browser.line_becomes("idle", PATIENCE).await;
    }
    times.sort_by(f64::total_cmp);
    // Nearest rank: the 19th of 20, the 5th of 5.
    let p95 = times[(times.len() * 95).div_ceil(100) - 1];
    println!("answer applied to first decoded frame, {calls} calls, ms: {times:.0?}");
    assert!(p95 <= 300.0, "p95 is {p95:.0} ms: {times:.0?}");
    browser.close().await;
    tandem.stop().await;
}
