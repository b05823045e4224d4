//! The live page in use by a supervisor: listening, whispering and barging in with the page's own telephone, and the confirmations
//! before.

use std::net::SocketAddr;

use codecs::SampleRate;
use tests::browser::Browser;
use tests::desk::{Desk, Line, hear_each_other, hears_tones};
use tests::ports;
use tests::sound;
use tests::tandem::{Setup, Tandem};
use tokio::time::Instant;

use super::{HERTZ, PATIENCE, browser, is_quiet};

const CUSTOMER_HZ: f32 = 700.0;
const ANNA_HZ: f32 = 1000.0;
/// Level above which the page hears a tone; below [`NOT_HEARD_DBFS`] it does not.
const HEARD_DBFS: f32 = -24.0;
const NOT_HEARD_DBFS: f32 = -40.0;

/// Asserts that a line hears these tones of the three parties, and no others.
async fn hears(what: &str, line: &mut Line, tones: &[f32]) {
    let others: Vec<f32> = [HERTZ, CUSTOMER_HZ, ANNA_HZ].into_iter().filter(|hertz| !tones.contains(hertz)).collect();
    hears_tones(what, line, tones, &others).await;
}

/// Asserts that the page comes to hear both parties, and not itself.
async fn page_hears_both(what: &str, page: &mut Browser) {
    let until = Instant::now() + PATIENCE;
    loop {
        let heard = page.hear(0.6).await;
        let level = |hertz: f32| sound::find(&heard, SampleRate::HZ_48000, hertz).tone_dbfs;
        let levels = [level(CUSTOMER_HZ), level(ANNA_HZ), level(HERTZ)];
        if levels[0] > HEARD_DBFS && levels[1] > HEARD_DBFS && levels[2] < NOT_HEARD_DBFS {
            return;
        }
        assert!(Instant::now() < until, "{what}: customer, agent and itself at {levels:?} dBFS");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_listens_whispers_and_barges_in_from_the_live_page() {
    let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        routes: vec![("+*", "trunk:carrier"), ("100", "agent:anna")],
        ..Setup::default()
    })
    .await;
    let (mut anna_desk, _) = Desk::of_agent(&tandem, "anna").await;
    let account = tandem.member("acme", "sara", "supervisor").await;
    let mut page = browser().await;
    page.sign_in(&tandem.http, &account).await;
    page.open(&format!("{}/live", tandem.http)).await;
    page.visible("#calls-empty", PATIENCE).await;
    let mut customer_desk = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let (customer, mut anna) = tokio::join!(customer_desk.call("100", CUSTOMER_HZ, "", PATIENCE), async {
        let invite = anna_desk.rings(PATIENCE).await;
        anna_desk.answer(&invite, ANNA_HZ, PATIENCE).await
    });
    let mut customer = customer.expect("anna answered");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;

    page.click("[data-call] [data-role=listen]").await;
    page.attribute("#supervision", "data-phase", "in", PATIENCE).await;
    page_hears_both("listening", &mut page).await;
    tokio::join!(
        hears("the customer, listened to", &mut customer, &[ANNA_HZ]),
        hears("anna, listened to", &mut anna, &[CUSTOMER_HZ]),
    );
    page.says("[data-media-leg] [data-role=seat]:not([hidden])", "Listens").await;
    for (mode, of_customer, of_anna) in [
        ("whisper", &[ANNA_HZ][..], &[CUSTOMER_HZ, HERTZ][..]),
        ("barge", &[ANNA_HZ, HERTZ], &[CUSTOMER_HZ, HERTZ]),
        ("listen", &[ANNA_HZ], &[CUSTOMER_HZ]),
    ] {
        page.click(&format!("#supervision [data-mode={mode}]")).await;
        tokio::join!(hears(mode, &mut customer, of_customer), hears(mode, &mut anna, of_anna));
        page_hears_both(mode, &mut page).await;
    }
    page.click("#supervision-leave").await;
    page.attribute("[data-call] [data-role=listen]", "aria-pressed", "false", PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;

    // The second time with the registered telephone; ending the call ends the supervision, and asks for confirmation first.
    page.click("[data-call] [data-role=barge]").await;
    page.attribute("#supervision", "data-phase", "in", PATIENCE).await;
    hears("the customer, barged in on", &mut customer, &[ANNA_HZ, HERTZ]).await;
    page.click("[data-call] [data-role=end]").await;
    page.click("#end-call [data-role=confirm]").await;
    anna_desk.is_hung_up(&anna, PATIENCE).await;
    customer_desk.is_hung_up(&customer, PATIENCE).await;
    page.attribute("[data-call]", "data-status", "ended", PATIENCE).await;
    page.attribute("[data-call] [data-role=barge]", "aria-pressed", "false", PATIENCE).await;
    is_quiet(&mut page).await;
    page.close().await;
    tandem.stop().await;
}
