//! An agent's page during a call: reloaded, or without its connection. The call continues.

use std::time::{Duration, Instant};

use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::ears::FarEnd;
use tests::roam::Roam;
use tests::sound;
use tests::talk::{LEVEL_DBFS, TOLERANCE_DB, sound_flows_both_ways};
use tests::tandem::{Setup, Tandem};

const HERTZ: f32 = 440.0;
const CUSTOMER_HZ: f32 = 700.0;
/// Frequency of the tone that the other party of a lost leg hears, in Hz.
const HOLD_HZ: f32 = 350.0;
const PATIENCE: Duration = Duration::from_secs(10);
/// Promised maximum time until the page has its call back.
const BACK: Duration = Duration::from_secs(5);
/// Maximum silence that the other party of an unreachable leg hears.
const SILENCE: Duration = Duration::from_millis(1_600);

struct Scene {
    tandem: Tandem,
    browser: Browser,
    far: FarEnd,
}

impl Scene {
    /// Sets up a conversation between a customer and a page.
    async fn open() -> Scene {
        Scene::open_in(&Setup::default(), None).await
    }

    /// Like [`Scene::open`], with a browser in a network namespace.
    async fn open_in(setup: &Setup, namespace: Option<&str>) -> Scene {
        let tandem = Tandem::start(setup).await;
        let account = tandem.agent("Home", "anna").await;
        let mut browser = Browser::launch_in(namespace, HERTZ, LEVEL_DBFS).await;
        browser.sign_in(&tandem.http, &account).await;
        let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
        far.party.call("+34910000001", "+15550001").expect("a call placed");
        browser.line_becomes("incoming", PATIENCE).await;
        browser.click("#answer").await;
        far.until(PATIENCE, |noticed| *noticed == Noticed::Answered).await;
        browser.line_becomes("active", PATIENCE).await;
        let mut scene = Scene { tandem, browser, far };
        scene.sound_flows_both_ways().await;
        scene
    }

    async fn sound_flows_both_ways(&mut self) {
        sound_flows_both_ways(&mut self.far, &mut self.browser, HERTZ, CUSTOMER_HZ).await;
    }

    /// Listens at the customer until the page's tone has been heard again for 200 ms. Returns how long that took, when the hold
    /// tone began, and how much of it was heard.
    async fn until_the_page_is_back(&mut self, since: Instant) -> (Duration, Duration, Duration) {
        let mut reader = self.far.party.heard().expect("a tap");
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let (mut tones, mut began, mut held, mut gone) = (0, None, Duration::ZERO, false);
        while since.elapsed() < 3 * BACK {
            look.tick().await;
            while let Some(item) = reader.pop() {
                let samples = item.frame.samples();
                let level = |hertz| codecs::tones::goertzel_dbfs(samples, item.frame.rate, hertz);
                let there = level(HERTZ) > LEVEL_DBFS - 6.0;
                gone |= !there;
                tones = if there && gone { tones + 1 } else { 0 };
                // The expected tone leaks into the window of its neighbour.
                if level(HOLD_HZ) > (level(HERTZ) + 6.0).max(-36.0) {
                    began.get_or_insert(since.elapsed());
                    held += Duration::from_millis(20);
                }
                if tones == 10 {
                    return (since.elapsed(), began.unwrap_or(Duration::MAX), held);
                }
            }
        }
        panic!("the page was not heard again within {:?}; the hold tone lasted {held:?}", 3 * BACK);
    }

    async fn hang_up(mut self) {
        self.browser.click("#hangup").await;
        self.far.until(PATIENCE, |noticed| *noticed == Noticed::Over).await;
        self.browser.line_becomes("idle", PATIENCE).await;
        for gauge in ["tandem_calls_running", "tandem_media_legs", "tandem_sip_dialogs"] {
            self.tandem.becomes_zero(gauge, PATIENCE).await;
        }
        self.far.party.stop().await;
        self.browser.close().await;
        self.tandem.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reloaded_page_regains_its_call_within_5_s_while_the_customer_hears_a_tone() {
    let mut scene = Scene::open().await;
    let shown = scene.browser.text("#call-peer").await;
    let begun = Instant::now();
    scene.browser.reload().await;
    let (took, _, held) = scene.until_the_page_is_back(begun).await;
    println!("the call was back {took:?} after the reload; hold sound for {held:?}");
    assert!(took <= BACK, "the call was back after {took:?}");
    assert!(held >= Duration::from_millis(100), "the customer heard the hold tone for {held:?} only");
    scene.browser.line_becomes("active", PATIENCE).await;
    assert_eq!(scene.browser.text("#call-peer").await, shown, "the page shows the peer again");
    scene.sound_flows_both_ways().await;
    scene.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_outlives_the_connection_of_its_page_and_continues_on_the_next() {
    let mut scene = Scene::open().await;
    let dropped = scene.browser.call("dropSockets", Value::Null).await;
    assert_eq!(dropped, json!(1), "the page had one WebSocket");
    // The audio is not affected, because it does not use the WebSocket.
    let (rate, heard) = scene.far.hear_samples(0.0, 2.0).await;
    sound::assert_tone("the browser's tone meanwhile", &heard, rate, HERTZ, LEVEL_DBFS, TOLERANCE_DB);
    scene.browser.attribute("#registration-state", "data-state", "registered", BACK).await;
    assert_eq!(scene.browser.call("openSockets", Value::Null).await, json!(1));
    scene.sound_flows_both_ways().await;
    // The server's own requests reach the page through its new connection.
    scene.far.party.hang_up();
    scene.browser.line_becomes("idle", PATIENCE).await;
    for gauge in ["tandem_calls_running", "tandem_media_legs", "tandem_sip_dialogs"] {
        scene.tandem.becomes_zero(gauge, PATIENCE).await;
    }
    scene.far.party.stop().await;
    scene.browser.close().await;
    scene.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_changes_networks_regains_its_call_within_5_s() {
    let roam = Roam::start();
    let setup = Setup {
        // Without TLS a page on another host gets no microphone.
        tls: "self-signed",
        http: format!("{}:0", roam.home()),
        addresses: vec!["127.0.0.1".into(), roam.home().to_string()],
        ..Setup::default()
    };
    let mut scene = Scene::open_in(&setup, Some(&roam.away())).await;
    let begun = Instant::now();
    roam.change();
    let (took, began, held) = scene.until_the_page_is_back(begun).await;
    println!("the call was back {took:?} after the network had changed; hold sound from {began:?} on, for {held:?}");
    assert!(took <= BACK, "the call was back after {took:?}");
    assert!(began <= SILENCE, "the customer heard the hold tone after {began:?} only");
    scene.sound_flows_both_ways().await;
    scene.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_of_a_page_that_does_not_return_ends_after_a_grace_period() {
    let mut scene = Scene::open().await;
    let begun = Instant::now();
    scene.browser.close().await;
    scene.far.until(Duration::from_secs(40), |noticed| *noticed == Noticed::Over).await;
    let took = begun.elapsed();
    println!("the customer was hung up {took:?} after the page was closed");
    assert!(took >= Duration::from_secs(10), "the page had {took:?} to return");
    scene.tandem.becomes_zero("tandem_media_legs", PATIENCE).await;
    scene.tandem.becomes_zero("tandem_sip_dialogs", Duration::from_secs(40)).await;
    scene.far.party.stop().await;
    scene.tandem.stop().await;
}
