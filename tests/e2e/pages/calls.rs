//! Calls are found among hundreds, and a recorded one is played, read and rated.
//!
//! ```text
//! seeded store (SQLite or PostgreSQL) ─▶ server ─▶ calls page: filters, pages, export ─▶ call page: player, transcript, rating
//! ```
//!
//! The results on the page are compared with the API's. Transcripts are inserted into the store as recognition would write them.
//! Not here: speech recognition itself.

use codecs::SampleRate;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::Api;
use tests::browser::Browser;
use tests::ears::FarEnd;
use tests::speech::Prompt;
use tests::tandem::{Setup, Tandem};
use tests::{seed, sound};

use super::{CALLER, HERTZ, Kept, LEVEL_DBFS, PATIENCE, browser, is_quiet, log_in, was_refused};

/// A number that the recorder answers.
const RECORDED: &str = "+15550002";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_found_played_read_and_rated() {
    calls(Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_found_played_read_and_rated_on_postgres() {
    calls(Kept::postgres().await).await;
}

/// Number of seeded calls; the first tenant has three hundred of them.
const SEEDED: u32 = 500;

async fn calls(kept: Kept) {
    let setup =
        Setup { store: kept.store(), routes: vec![(RECORDED, "app:record"), ("*", "agent:anna")], ..Setup::default() };
    // The first start creates the tables.
    let tandem = Tandem::start(&setup).await;
    let folder = tandem.kill().await;
    match &kept {
        Kept::Sqlite => seed::sqlite(&folder.path().join("data/tandem.db"), SEEDED).await,
        Kept::Postgres(_, database) => seed::postgres(&database.admin_url, SEEDED).await,
    }
    let tandem = Tandem::start_in(folder, &setup).await;
    let http = &tandem.http;
    let account = tandem.member("seed-0", "anna", "owner").await;
    let api = Api::sign_in(http, &account.email, &account.password).await;
    let number = json!({ "number": RECORDED });
    let (status, _) = api.ask(Method::POST, "/api/caller-id/numbers", Some(number)).await;
    assert_eq!(status, StatusCode::CREATED);
    tandem.run_command(&["number", "assign", "--org", "seed-0", RECORDED]).await;

    let mut page = browser().await;
    page.open(&format!("{http}/calls?outcome=sale")).await;
    page.arrive("/login?next=%2Fcalls%3Foutcome%3Dsale").await;
    log_in(&mut page, &account.email, &account.password).await;
    page.arrive("/calls?outcome=sale").await;
    was_refused(&mut page).await;
    page.list(ROWS, "data-call", &ids(&api, "outcome=sale").await).await;
    filters(&mut page, &api).await;
    is_quiet(&mut page).await;

    let call = a_recorded_call(&mut page, &tandem, &api).await;
    words(&kept, &tandem, &api, &call).await;
    page.click(&format!("{ROWS}[data-call=\"{call}\"] a")).await;
    page.arrive(&format!("/calls/{call}")).await;
    transcript(&mut page, &kept, &tandem, &api, &call).await;
    outcome(&mut page, &api, &call).await;
    notes(&mut page, &api, &call).await;
    is_quiet(&mut page).await;
    page.close().await;
    tandem.stop().await;
    kept.stop().await;
}

const ROWS: &str = "#calls-list > [data-call]";

/// Ids on the first page of calls that the server finds.
async fn ids(api: &Api, query: &str) -> Vec<String> {
    let list = api.get(&format!("/api/calls?{query}")).await;
    let id = |call: &Value| call["id"].as_str().expect("an id").to_owned();
    list["calls"].as_array().expect("calls").iter().map(id).collect()
}

/// Number of calls that the server finds on all pages.
async fn total(api: &Api, query: &str) -> usize {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = api.get(&format!("/api/calls?{query}&limit=200{cursor}")).await;
        count += page["calls"].as_array().expect("calls").len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return count,
        }
    }
}

async fn filters(page: &mut Browser, api: &Api) {
    // The file contains the filtered calls of all pages.
    let (name, text) = page.download("#export-csv").await;
    let sales = total(api, "outcome=sale").await;
    assert!(name == "calls.csv" && sales > 20, "{name}: {sales}");
    assert_eq!(text.lines().count(), sales + 1, "a line for each, and the head");
    let (name, text) = page.download("#export-json").await;
    let exported: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert!(name == "calls.json" && exported.len() == sales, "{name}: {} of {sales}", exported.len());
    assert!(exported.iter().all(|call| call["outcome"] == "sale"));

    page.click("#calls-reset").await;
    page.arrive("/calls").await;
    let all = ids(api, "").await;
    page.list(ROWS, "data-call", &all).await;
    // Each filter by itself: field, value, the page's address, and the server's query.
    let each = [
        ("agent", "agent3", "agent=agent3", "agent=agent3"),
        ("number", "+1555550 1005", "number=%2B1555550+1005", "number=%2B15555501005"),
        ("outcome", "callback", "outcome=callback", "outcome=callback"),
        ("q", "item42 hello", "q=item42+hello", "q=item42%20hello"),
        ("q", "call123", "q=call123", "q=call123"),
    ];
    for (field, text, address, query) in each {
        page.fill(&format!("#calls-{field}"), text).await;
        page.click("#calls-search").await;
        page.arrive(&format!("/calls?{address}")).await;
        let found = ids(api, query).await;
        assert!(!found.is_empty() && found != all, "{query} finds {} calls", found.len());
        page.list(ROWS, "data-call", &found).await;
        page.reload().await;
        page.list(ROWS, "data-call", &found).await;
        assert_eq!(page.value(&format!("#calls-{field}")).await, text);
        page.click("#calls-reset").await;
        page.list(ROWS, "data-call", &all).await;
    }
    for (field, choice) in [("direction", "inbound"), ("status", "failed"), ("when", "yesterday")] {
        page.choose(&format!("#calls-{field}"), choice).await;
        page.arrive(&format!("/calls?{field}={choice}")).await;
        // All calls were made within the last hour, and none of them failed.
        match choice {
            "inbound" => page.list(ROWS, "data-call", &ids(api, "direction=inbound").await).await,
            "failed" => page.says("#calls-empty", "No calls match").await,
            _ => page.arrive("/calls?when=yesterday").await,
        }
        page.click("#calls-reset").await;
        page.list(ROWS, "data-call", &all).await;
    }
    page.choose("#calls-when", "between").await;
    for day in ["from", "to"] {
        page.fill(&format!("#calls-{day}"), "2020-02-29").await;
    }
    page.click("#calls-search").await;
    page.arrive("/calls?when=between&from=2020-02-29&to=2020-02-29").await;
    page.click("#calls-empty button").await;
    page.arrive("/calls").await;

    // Filters combined, page by page; the position is kept.
    page.choose("#calls-direction", "outbound").await;
    page.fill("#calls-outcome", "sale").await;
    page.click("#calls-search").await;
    page.list(ROWS, "data-call", &ids(api, "outcome=sale&direction=outbound").await).await;
    page.fill("#calls-outcome", "").await;
    page.click("#calls-search").await;
    let first = api.get("/api/calls?direction=outbound").await;
    let cursor = first["next_cursor"].as_str().expect("a second page");
    let second = ids(api, &format!("direction=outbound&cursor={cursor}")).await;
    page.list(ROWS, "data-call", &ids(api, "direction=outbound").await).await;
    page.click("#calls-older").await;
    page.list(ROWS, "data-call", &second).await;
    page.reload().await;
    page.list(ROWS, "data-call", &second).await;
    page.says("#calls-count", "page 2").await;
    page.click("#calls-newer").await;
    page.list(ROWS, "data-call", &ids(api, "direction=outbound").await).await;
    page.arrive("/calls?direction=outbound").await;
    is_quiet(page).await;

    page.fill("#calls-number", "my aunt").await;
    page.click("#calls-search").await;
    page.says("[data-field=number] .problem", "digits").await;
    was_refused(page).await;
    page.click("#calls-reset").await;
    page.list(ROWS, "data-call", &all).await;
}

/// Makes a recorded call of five seconds, which the open list shows while it runs.
async fn a_recorded_call(page: &mut Browser, tandem: &Tandem, api: &Api) -> String {
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call(CALLER, RECORDED, PATIENCE).await;
    let rate = SampleRate::HZ_8000;
    far.party.say(1, rate, &sound::tone(rate, HERTZ, LEVEL_DBFS, 5.0)).expect("a clip to send");
    page.says("#calls-fresh", "1 new call").await;
    page.click("#calls-fresh").await;
    let call = api.newest_call().await.expect("the call's row")["id"].as_str().expect("an id").to_owned();
    let row = format!("{ROWS}[data-call=\"{call}\"]");
    page.attribute(&row, "data-status", "bridged", PATIENCE).await;
    far.until(PATIENCE, |noticed| matches!(noticed, Noticed::Said(1))).await;
    far.party.hang_up();
    page.attribute(&row, "data-status", "ended", PATIENCE).await;
    api.call_becomes("ended", PATIENCE).await;
    far.party.stop().await;
    call
}

/// Segments: number, seconds from the start of the recording, speaker, text and translation; the third was missed.
const SAID: [(u64, f64, &str, &str, &str); 3] = [
    (1, 1.0, "customer", "Where is my package?", "¿Dónde está mi paquete?"),
    (2, 3.0, "agent", "Llega el jueves.", "It arrives on Thursday."),
    (3, 4.5, "customer", "", ""),
];

/// Adds words to the recorded call, as recognition would.
async fn words(kept: &Kept, tandem: &Tandem, api: &Api, call: &str) {
    let mut sql = Vec::new();
    for (segment, at, leg, text, meaning) in SAID {
        let missed = text.is_empty();
        let (translation, column) =
            if missed { (Value::Null, "NULL".to_owned()) } else { (json!(meaning), format!("'{meaning}'")) };
        let body = json!({
            "segment": segment, "call_id": call, "leg": leg, "source_language": "en", "target_language": "es", "text": text,
            "translation": translation, "final": true, "missed": missed, "lag_ms": {},
        });
        sql.push(format!(
            "INSERT INTO translations (organization_id, call_id, segment, event_id, final, text, translation, body) \
             VALUES ('{HOME}', '{call}', {segment}, 0, TRUE, '{text}', {column}, '{body}')"
        ));
        if !missed {
            sql.push(transcribed(call, segment, leg, text, "live", at));
        }
    }
    kept.run(tandem, &sql).await;
    let told = api.get(&format!("/api/calls/{call}/transcript")).await;
    assert_eq!(told["segments"].as_array().map(Vec::len), Some(2), "{told}");
}

/// Tenant that owns these calls.
const HOME: &str = seed::ORGANIZATIONS[0];

/// SQL for the first version of a segment, spoken `at` seconds after the start of the recording.
fn transcribed(call: &str, segment: u64, leg: &str, text: &str, source: &str, at: f64) -> String {
    let ms = (at * 1_000.0) as u64;
    format!(
        "INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at) \
         SELECT organization_id, call_id, {segment}, 1, '{leg}', 'en', '{text}', '{source}', started_at + {ms} \
         FROM recordings WHERE call_id = '{call}'"
    )
}

async fn transcript(page: &mut Browser, kept: &Kept, tandem: &Tandem, api: &Api, call: &str) {
    page.list("#transcript > li", "data-segment", &["1", "2", "3"]).await;
    for (segment, _, _, text, meaning) in &SAID[..2] {
        page.says(&format!("#transcript [data-segment=\"{segment}\"] .source"), text).await;
        page.says(&format!("#transcript [data-segment=\"{segment}\"] .target"), meaning).await;
    }
    page.says("#transcript [data-segment=\"3\"] .source", "(not heard)").await;
    for moment in ["The call was created", "Recording started", "The recording is complete", "The call ended"] {
        page.says("#events", moment).await;
    }

    // The recording has not been played yet. A sentence plays from its start, and is marked while it plays.
    let heard = "/api/audit-logs?action=recording.read";
    assert_eq!(api.get(heard).await["audit_logs"], json!([]), "opening a page is not playing the recording");
    page.click("#transcript [data-segment=\"2\"] [data-role=play]").await;
    page.attribute("#transcript [data-segment=\"2\"]", "data-playing", "", PATIENCE).await;
    let player = page.call("player", json!("#recording")).await;
    let at = player["at"].as_f64().expect("a position");
    assert!((3.0..4.4).contains(&at) && player["plays"] == true, "{player}");
    assert!(player["duration"].as_f64().is_some_and(|seconds| (4.0..8.0).contains(&seconds)), "{player}");
    assert_eq!(api.get(heard).await["audit_logs"][0]["target"], format!("call:{call}"));

    // A link for a person without an account.
    page.click("#recording-link").await;
    page.visible("#recording-url", PATIENCE).await;
    let url = page.value("#recording-url").await;
    let path = url.strip_prefix(&tandem.http).expect("a link to this server");
    let answer = Api::new(&tandem.http, "").send(Method::GET, path, None).await;
    assert_eq!(
        (answer.status(), &answer.headers()["content-type"]),
        (StatusCode::OK, &"audio/wav".parse().expect("a value"))
    );
    page.click("#recording-link-dialog [aria-label=Close]").await;

    // The missed segment is recognised later, from the recording.
    kept.run(tandem, &[transcribed(call, 3, "customer", "Thank you.", "recording", 4.5)]).await;
    page.reload().await;
    page.says("#transcript [data-segment=\"3\"]", "Thank you.").await;
    page.says("#transcript [data-segment=\"3\"]", "from the recording").await;
    page.fill("#transcript-find", "JUEVES").await;
    page.says("#transcript mark", "jueves").await;
}

async fn outcome(page: &mut Browser, api: &Api, call: &str) {
    page.fill("#outcome-outcome", "Call back").await;
    page.fill("#outcome-note", "on Thursday").await;
    page.click("#outcome-submit").await;
    page.says("#outcome-status", "Saved").await;
    page.fill("#outcome-outcome", "Sale").await;
    page.click("#outcome-submit").await;
    page.says("#outcome-now", "Sale").await;
    page.reload().await;
    page.says("#outcome-now", "Sale").await;
    page.click("section[aria-label=Outcome] summary").await;
    page.says("#outcome-history li:first-child", "Sale").await;
    page.says("#outcome-history li:last-child", "on Thursday").await;
    let told = api.get(&format!("/api/calls/{call}/outcome")).await;
    assert_eq!((&told["outcome"], told["history"].as_array().map(Vec::len)), (&json!("Sale"), Some(2)));
    page.click(".back").await;
    page.says(&format!("{ROWS}[data-call=\"{call}\"] .call-outcome"), "Sale").await;
    page.click(&format!("{ROWS}[data-call=\"{call}\"] a")).await;
    page.says("#outcome-now", "Sale").await;
}

async fn notes(page: &mut Browser, api: &Api, call: &str) {
    let path = format!("/api/calls/{call}/notes");
    page.fill("#note-text", "Asked for <b>a discount</b>").await;
    page.click("#note-submit").await;
    page.says("#notes", "Asked for <b>a discount</b>").await;
    assert_eq!(page.value("#note-text").await, "");
    page.reload().await;
    page.says("#notes", "Asked for <b>a discount</b>").await;
    page.click("#notes [data-role=edit]").await;
    page.fill("#notes textarea", "Got a discount").await;
    page.click("#notes [type=submit]").await;
    page.says("#notes .note-text", "Got a discount").await;
    page.says("#notes", "edited").await;
    assert_eq!(api.get(&path).await["notes"][0]["text"], "Got a discount");
    page.click("#notes [data-role=remove]").await;
    page.click("#note-remove [data-role=confirm]").await;
    page.list("#notes [data-note]", "data-note", &[] as &[&str]).await;
    page.reload().await;
    page.says("section[aria-label=Notes]", "There are no notes yet").await;
    assert_eq!(api.get(&path).await["notes"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unrecognised_speech_is_marked_and_can_be_played() {
    // No speech recogniser is configured.
    let tandem = Tandem::start(&Setup::default()).await;
    let http = &tandem.http;
    let account = tandem.member("Home", "anna", "owner").await;
    let api = Api::sign_in(http, &account.email, &account.password).await;
    api.voice_config(json!({ "live_translate": true, "record": true })).await;
    let mut page = browser().await;
    page.open(&format!("{http}/live")).await;
    log_in(&mut page, &account.email, &account.password).await;
    page.arrive("/live").await;
    was_refused(&mut page).await;

    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    let mut agent = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    let token = api.post("/api/webrtc/token").await;
    let text = |key: &str| token[key].as_str().expect("text in the token");
    agent.party.register(text("username"), text("password")).expect("a registration sent");
    agent.until(PATIENCE, |noticed| *noticed == Noticed::Registered(true)).await;
    far.party.call(CALLER, "+15550001").expect("a call placed");
    agent.until(PATIENCE, |noticed| matches!(noticed, Noticed::Rings { .. })).await;
    agent.party.answer().expect("the call answered");
    far.until(PATIENCE, |noticed| *noticed == Noticed::Answered).await;
    let rate = SampleRate::HZ_8000;
    let prompt = Prompt { voice: "en-us+f3", text: "Where is my package? It has not come." };
    let folder = tempfile::tempdir().expect("a folder for speech");
    far.party.say(1, rate, &prompt.speak(rate, folder.path())).expect("a clip to send");
    page.says("[data-call] [data-missed=true] .source", "(not heard)").await;
    far.until(PATIENCE, |noticed| matches!(noticed, Noticed::Said(1))).await;
    far.party.hang_up();
    let call = api.call_becomes("ended", PATIENCE).await;
    far.party.stop().await;
    agent.party.stop().await;
    page.click("[data-call] a[title=\"Call details\"]").await;
    page.arrive(&format!("/calls/{}", call["id"].as_str().expect("an id"))).await;
    page.says("#transcript [data-missed=true] .source", "(not heard)").await;
    page.click("#transcript [data-missed=true] [data-role=play]").await;
    page.attribute("#transcript [data-missed=true]", "data-playing", "", PATIENCE).await;
    is_quiet(&mut page).await;
    page.close().await;
    tandem.stop().await;
}
