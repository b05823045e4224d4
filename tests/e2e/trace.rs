//! The SIP messages of a call, as the operator and the API see them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tests::browser::Browser;
use tests::ports;
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);

/// A caller behind a trunk, and a carrier that requires a password. Times are removed.
const LADDER: &str = "\
│─ INVITE, SDP ──────────────▶│                             │
│◀─────────────── 100 Trying ─│                             │
│                             │─ INVITE, SDP ──────────────▶│
│                             │◀───────── 401 Unauthorized ─│
│                             │─ ACK ──────────────────────▶│
│                             │─ INVITE, SDP ──────────────▶│
│                             │◀────────────── 180 Ringing ─│
│◀────────────── 180 Ringing ─│                             │
│                             │◀────────────── 200 OK, SDP ─│
│                             │─ ACK ──────────────────────▶│
│◀────────────── 200 OK, SDP ─│                             │
│─ ACK ──────────────────────▶│                             │
│─ BYE ──────────────────────▶│                             │
│◀───────────── 200 OK (BYE) ─│                             │
│                             │─ BYE ──────────────────────▶│
│                             │◀───────────── 200 OK (BYE) ─│
";

/// Asserts that the page shows the same ladder, and one of its messages.
async fn the_page_shows_it(url: &str, browser: &mut Browser) {
    browser.open(url).await;
    browser.click("[data-role=ladder] summary").await;
    let arrow = |step: usize| format!("[data-role=ladder] .rung:nth-child({step}) .arrow");
    browser.attribute(&arrow(16), "data-tone", "success", PATIENCE).await;
    let mut shown = String::new();
    for step in 1..=16 {
        let words = browser.text(&arrow(step)).await;
        shown += &format!("{}\n", words.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let drawn = LADDER.lines().map(|rung| {
        let words = rung.split(|c: char| "│─◀▶,".contains(c) || c == ' ');
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ") + "\n"
    });
    assert_eq!(shown, drawn.collect::<String>());
    browser.click(&arrow(6)).await;
    // The message is the INVITE with credentials.
    browser.attribute(&arrow(6), "aria-expanded", "true", PATIENCE).await;
    browser.visible("[data-role=ladder] .rung:nth-child(6) pre:not([data-waiting])", PATIENCE).await;
    let message = browser.text("[data-role=ladder] pre").await;
    assert!(message.contains("Authorization: (removed)") && message.contains("m=audio "), "{message}");
}

/// Returns the rungs of a command's output, without times.
fn rungs(printed: &str) -> String {
    let rungs = printed.lines().filter(|line| line.contains('│'));
    rungs.map(|line| format!("{}\n", line.trim_start_matches(|c| c != '│'))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sip_messages_of_a_call_are_shown_to_the_operator_and_its_organization_only() {
    let carrier_port = ports::free();
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![format!("127.0.0.1:{carrier_port}")])],
        trunk_settings: "options_s = 0\nuser = \"account\"\npassword = \"hush\"\n",
        routes: vec![("+1555*", "trunk:carrier")],
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    let stranger = tandem.api("other").await;
    let carrier = Sipp::carrier(carrier_port, 1).await;
    let caller = Sipp::caller(tandem.sip(), &[("+15550100".into(), ports::free())], 1, Duration::from_secs(2));
    let call = api.call_becomes("bridged", PATIENCE).await;
    let id = call["id"].as_str().expect("an id");

    // Both follow the call from its middle to its end.
    let (trace, tail) = (["trace", id, "--follow"], ["tail", id]);
    let (followed, tail) = tokio::join!(tandem.run_command(&trace), tandem.run_command(&tail));
    for expected in [" call.status ", "status=\"bridged\"", "status=\"ended\"", "sound of leg "] {
        assert!(tail.contains(expected), "`{expected}` is missing:\n{tail}");
    }
    assert_eq!(rungs(&followed), LADDER, "\n{followed}");
    caller.succeeds(PATIENCE).await;
    carrier.succeeds(PATIENCE).await;

    let drawn = tandem.run_command(&["trace", id]).await;
    assert_eq!(rungs(&drawn), LADDER, "\n{drawn}");
    let head: Vec<&str> = drawn.lines().take(4).collect();
    assert!(head[0].starts_with(&format!("call {id}, began 20")) && head[0].ends_with(", over"), "{drawn}");
    assert!(head[2].contains("customer +3491•••0001") && head[2].contains("agent •••00"), "{drawn}");
    assert!(head[3].contains(&format!("udp 127.0.0.1:{carrier_port}")), "{drawn}");
    assert!(!drawn.contains("34910000001") && !drawn.contains("15550100"), "numbers are masked:\n{drawn}");

    let full = tandem.run_command(&["trace", id, "--full"]).await;
    assert!(full.contains("From: <sip:+34910000001@") && full.contains("m=audio "), "{full}");
    assert!(full.contains("WWW-Authenticate: Digest realm="), "a challenge is no secret:\n{full}");
    assert!(full.contains("            Authorization: (removed)\n") && !full.contains("response="), "{full}");

    let path = format!("/api/calls/{id}/trace");
    let ladder = api.get(&path).await;
    let steps = ladder["steps"].as_array().expect("steps");
    assert_eq!((steps.len(), &ladder["running"], &ladder["dropped"]), (16, &Value::from(false), &Value::from(0)));
    assert!(steps.iter().all(|step| step.get("message").is_none()), "texts are included only on request");
    assert_eq!(ladder["parties"][0]["peer"], "+34910000001");
    let with_texts = api.get(&format!("{path}?messages=true")).await.to_string();
    assert!(with_texts.contains("m=audio ") && !with_texts.contains("response="), "{with_texts}");
    assert_eq!(stranger.ask(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);

    let account = tandem.agent("acme", "anna").await;
    let mut browser = Browser::launch(440.0, -12.0).await;
    browser.sign_in(&tandem.http, &account).await;
    the_page_shows_it(&format!("{}/live#{id}", tandem.http), &mut browser).await;
    browser.close().await;

    let unknown = tandem.run_refused_command(&["trace", "0190f3c4-7a1b-7c2d-8e3f-0123456789ab"]).await;
    assert!(unknown.contains("no messages of this call are stored"), "{unknown}");
    let unreadable = tandem.run_refused_command(&["trace", "yesterday"]).await;
    assert!(unreadable.contains("`yesterday`: a call id is a UUID"), "{unreadable}");
    tandem.stop().await;
}
