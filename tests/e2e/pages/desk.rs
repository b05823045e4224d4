//! The agent's telephone as a person uses it: how calls end, who has the focus, what is asked before a call is lost.

use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use tests::browser::Browser;
use tests::ears::FarEnd;
use tests::tandem::{Setup, Tandem};

use super::{CALLER, PATIENCE, browser, is_quiet};

const CALLED: &str = "+15550001";

/// A server that leads `CALLED` to anna, and two names to agents.
async fn server() -> Tandem {
    let routes = vec![(CALLED, "agent:anna"), ("ben", "agent:ben"), ("echo", "app:echo")];
    Tandem::start(&Setup { routes, ..Setup::default() }).await
}

/// Dials in the page; waits until the page says these words about the end.
async fn dial(browser: &mut Browser, number: &str, words: &str) {
    browser.fill("#dial-input", number).await;
    browser.click("#dial").await;
    browser.says("#call-message", words).await;
    browser.line_becomes("idle", PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_is_told_in_the_servers_words() {
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
async fn a_ringing_call_leaves_the_focus_and_signing_out_of_a_call_is_asked() {
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
async fn a_call_that_another_tab_answered_is_not_told_as_given_up() {
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
