//! The agent's telephone in use: how calls end, which element has the focus, the confirmations before a call is lost, and the
//! actions on a running call.

use std::net::SocketAddr;
use std::time::Duration;

use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use serde_json::json;
use tests::browser::Browser;
use tests::desk::{Desk, Line, hear_each_other, hears_tones};
use tests::ears::FarEnd;
use tests::ports;
use tests::tandem::{Setup, Tandem};

use super::{CALLER, HERTZ, PATIENCE, browser, is_quiet};

const CALLED: &str = "+15550001";
/// Deadline for a page to return: without its server it reconnects every 15 s at most, and must register before it finds that its
/// call has ended.
const RETURN: Duration = Duration::from_secs(45);

/// Starts a server that routes `CALLED` to anna, and two names to agents.
async fn server() -> Tandem {
    let routes = vec![(CALLED, "agent:anna"), ("ben", "agent:ben"), ("echo", "app:echo")];
    Tandem::start(&Setup { routes, ..Setup::default() }).await
}

/// Dials in the page and waits until the page shows `words` about the end.
async fn dial(browser: &mut Browser, number: &str, words: &str) {
    browser.fill("#dial-input", number).await;
    browser.click("#dial").await;
    browser.says("#call-message", words).await;
    browser.line_becomes("idle", PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_is_shown_with_the_server_s_message() {
    let tandem = server().await;
    let account = tandem.member("Home", "anna", "agent").await;
    let mut page = browser().await;
    page.sign_in(&tandem.http, &account).await;
    dial(&mut page, "112", "This system does not place emergency calls").await;
    dial(&mut page, "ben", "not signed in").await;
    dial(&mut page, "nowhere", "no route for this number").await;
    is_quiet(&mut page).await;
    page.close().await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ringing_call_does_not_take_the_focus_and_signing_out_in_a_call_asks_first() {
    let tandem = server().await;
    let account = tandem.member("Home", "anna", "agent").await;
    let mut page = browser().await;
    page.sign_in(&tandem.http, &account).await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    page.fill("#dial-input", "+44").await;
    far.party.call(CALLER, CALLED).expect("a call placed");
    page.line_becomes("incoming", PATIENCE).await;
    for key in ["2", "0", "Enter", "7"] {
        page.press(key).await;
    }
    assert_eq!(page.value("#dial-input").await, "+44207");
    page.line_becomes("incoming", PATIENCE).await;

    page.click("#answer").await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Answered).await;
    page.line_becomes("active", PATIENCE).await;
    page.click("#logout").await;
    page.visible("#logout-confirm", PATIENCE).await;
    page.press("Escape").await;
    page.line_becomes("active", PATIENCE).await;
    page.click("#logout").await;
    page.click("#logout-confirm [data-role=confirm]").await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Over).await;
    page.arrive("/login").await;
    far.party.stop().await;
    page.close().await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_answered_in_another_tab_is_not_shown_as_missed() {
    let tandem = server().await;
    let account = tandem.member("Home", "anna", "agent").await;
    let (mut here, mut there) = (browser().await, browser().await);
    here.sign_in(&tandem.http, &account).await;
    there.sign_in(&tandem.http, &account).await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.party.call(CALLER, CALLED).expect("a call placed");
    here.line_becomes("incoming", PATIENCE).await;
    there.line_becomes("incoming", PATIENCE).await;
    there.click("#answer").await;
    there.line_becomes("active", PATIENCE).await;
    here.says("#call-message", "answered elsewhere").await;
    there.click("#hangup").await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Over).await;
    there.says("#call-message", "You ended the call").await;
    far.party.stop().await;
    here.close().await;
    there.close().await;
    tandem.stop().await;
}

const CUSTOMER_HZ: f32 = 700.0;
const BEN_HZ: f32 = 1000.0;
/// Frequency of the tone that a held party hears at intervals, in Hz.
const HOLD_HZ: f32 = 350.0;

/// Anna, whose only role is agent, at her page; ben at a telephone; a customer who talks with anna.
struct Talk {
    tandem: Tandem,
    anna: Browser,
    ben: Desk,
    customer_desk: Desk,
    customer: Line,
}

impl Talk {
    async fn begin() -> Talk {
        let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
        let tandem = Tandem::start(&Setup {
            trunks: vec![("carrier", vec![carrier.to_string()])],
            routes: vec![("+*", "trunk:carrier"), ("100", "agent:anna")],
            ..Setup::default()
        })
        .await;
        let account = tandem.member("acme", "anna", "agent").await;
        let (ben, _) = Desk::of_agent(&tandem, "ben").await;
        let mut anna = browser().await;
        anna.sign_in(&tandem.http, &account).await;
        let mut customer_desk = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
        let (customer, ()) = tokio::join!(customer_desk.call("100", CUSTOMER_HZ, "", PATIENCE), async {
            anna.line_becomes("incoming", PATIENCE).await;
            anna.press("Control+Enter").await;
            anna.line_becomes("active", PATIENCE).await;
        });
        anna.visible("[data-party][data-me=false][data-state=talking]", PATIENCE).await;
        Talk { tandem, anna, ben, customer_desk, customer: customer.expect("anna answered") }
    }

    /// Chooses ben with the keyboard, and confirms with this key.
    async fn choose_ben(&mut self, confirm: &str) {
        self.anna.fill("#picker-input", "ben").await;
        self.anna.attribute("#picker-0", "data-address", "ben", PATIENCE).await;
        self.anna.press(confirm).await;
    }

    async fn end(self) {
        self.anna.close().await;
        self.tandem.stop().await;
    }
}

/// Asserts that a line hears these tones and no others.
async fn hears(what: &str, line: &mut Line, tones: &[f32]) {
    let others: Vec<f32> = [HERTZ, CUSTOMER_HZ, BEN_HZ].into_iter().filter(|hertz| !tones.contains(hertz)).collect();
    hears_tones(what, line, tones, &others).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_holds_consults_swaps_joins_and_connects_with_the_keyboard() {
    let mut talk = Talk::begin().await;
    hears("the customer", &mut talk.customer, &[HERTZ]).await;
    talk.anna.press("h").await;
    talk.anna.visible("[data-party][data-state=held]", PATIENCE).await;
    hears("the customer on hold", &mut talk.customer, &[]).await;
    talk.customer.sound.until_tone(HOLD_HZ, PATIENCE).await;
    talk.anna.press("h").await;
    hears("the customer again", &mut talk.customer, &[HERTZ]).await;

    talk.anna.press("t").await;
    talk.choose_ben("Shift+Enter").await;
    let invite = talk.ben.rings(PATIENCE).await;
    let mut ben = talk.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    talk.anna.visible("#consult", PATIENCE).await;
    tokio::join!(hears("ben", &mut ben, &[HERTZ]), hears("the customer waits", &mut talk.customer, &[]));
    talk.anna.press("s").await;
    tokio::join!(hears("ben waits", &mut ben, &[]), hears("the customer", &mut talk.customer, &[HERTZ]));
    talk.anna.press("j").await;
    tokio::join!(
        hears("ben hears both", &mut ben, &[HERTZ, CUSTOMER_HZ]),
        hears("the customer hears both", &mut talk.customer, &[HERTZ, BEN_HZ]),
    );
    talk.anna.press("m").await;
    talk.anna.visible("[data-party][data-me=true][data-state=muted]", PATIENCE).await;
    hears("ben, without anna", &mut ben, &[CUSTOMER_HZ]).await;
    talk.anna.press("l").await;
    talk.anna.says("#call-message", "keep talking").await;
    hear_each_other((&mut talk.customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    talk.ben.hang_up(&mut ben, PATIENCE).await;
    talk.customer_desk.is_hung_up(&talk.customer, PATIENCE).await;
    talk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blind_transfer_succeeds_or_returns_with_its_reason() {
    let mut talk = Talk::begin().await;
    talk.anna.press("t").await;
    talk.choose_ben("Enter").await;
    let invite = talk.ben.rings(PATIENCE).await;
    talk.anna.visible("#transfer-state", PATIENCE).await;
    talk.ben.refuse(&invite, 486).await;
    talk.anna.says("#control-problem", "The line is busy").await;
    hears("the customer is back", &mut talk.customer, &[HERTZ]).await;

    talk.anna.press("t").await;
    talk.choose_ben("Enter").await;
    let invite = talk.ben.rings(PATIENCE).await;
    let mut ben = talk.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    talk.anna.line_becomes("idle", PATIENCE).await;
    talk.anna.says("#call-message", "The call was transferred to").await;
    hear_each_other((&mut talk.customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    talk.ben.hang_up(&mut ben, PATIENCE).await;
    talk.customer_desk.is_hung_up(&talk.customer, PATIENCE).await;
    talk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_parks_a_call_with_a_key_and_picks_it_up_again() {
    let mut talk = Talk::begin().await;
    talk.anna.press("p").await;
    talk.anna.line_becomes("idle", PATIENCE).await;
    talk.anna.says("#call-message", "is parked in slot 1").await;
    talk.anna.says("#parked-list [data-slot=\"1\"]", "parked by you").await;
    hears("the customer in the slot", &mut talk.customer, &[]).await;
    talk.customer.sound.until_tone(HOLD_HZ, PATIENCE).await;

    // The same key opens the list, where the call that has waited longest is picked up.
    talk.anna.press("p").await;
    talk.anna.press("Enter").await;
    talk.anna.line_becomes("active", PATIENCE).await;
    talk.anna.visible("[data-party][data-me=false][data-state=talking]", PATIENCE).await;
    hears("the customer again", &mut talk.customer, &[HERTZ]).await;
    talk.anna.list("#parked-list [data-slot]", "data-slot", &[""; 0]).await;
    talk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_paused_with_a_key_shows_a_gap_on_the_calls_page() {
    const RUNNING: &str = "[data-role=recordings] [data-recording=\"1\"]";
    let mut talk = Talk::begin().await;
    for state in ["started", "paused", "started"] {
        talk.anna.press("r").await;
        talk.anna.attribute(RUNNING, "data-state", state, PATIENCE).await;
    }
    talk.anna.click("[data-role=record-stop]").await;
    talk.anna.visible("[data-role=record-start]", PATIENCE).await;
    talk.anna.click("#hangup").await;
    talk.anna.line_becomes("idle", PATIENCE).await;

    let api = talk.tandem.api("acme").await;
    let call = api.get("/api/calls").await["calls"][0]["id"].as_str().expect("an id").to_owned();
    let recording = api.get(&format!("/api/calls/{call}/recordings")).await["recordings"][0].clone();
    assert_eq!((&recording["number"], &recording["state"]), (&json!(1), &json!("finished")), "{recording}");
    assert!(recording["gaps"].as_array().is_some_and(|gaps| gaps.len() == 1), "{recording}");
    talk.anna.open(&format!("{}/calls/{call}", talk.tandem.http)).await;
    talk.anna.list("#recording-channels [data-channel]", "data-channel", &["0", "1"]).await;
    talk.anna.says("#recording-gaps", "Paused").await;
    talk.anna.says("#leg-timeline [data-recording-facts=\"1\"]", "Paused").await;
    talk.anna.says("#events", "The recording is paused").await;
    talk.anna.says("#leg-timeline", "Hung up").await;
    is_quiet(&mut talk.anna).await;
    talk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_not_shown_as_a_hang_up() {
    let setup = Setup { http: format!("127.0.0.1:{}", ports::free()), ..Setup::default() };
    let tandem = Tandem::start(&setup).await;
    let account = tandem.member("Home", "anna", "agent").await;
    let mut page = browser().await;
    page.sign_in(&tandem.http, &account).await;
    page.fill("#dial-input", "echo").await;
    page.click("#dial").await;
    page.line_becomes("active", PATIENCE).await;
    let tandem = Tandem::start_in(tandem.kill().await, &setup).await;
    page.line_becomes("idle", RETURN).await;
    page.says("#call-message", "restarted").await;
    page.close().await;
    tandem.stop().await;
}
