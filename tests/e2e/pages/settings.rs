//! The settings: saved values survive a reload, and refused values are not shown as saved.
//!
//! Each section of the page is changed as a user does it; the value is then read through the API and, after a reload, on the page.
//! Refusals come from lost rights, limits of the operator, missing capabilities and a stopped server.
//!
//! Not here: the rules behind the values (control-api's own tests).

use codecs::SampleRate;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::Api;
use tests::browser::Browser;
use tests::ports;
use tests::sound;
use tests::tandem::{Account, Setup, Tandem};

use super::{PASSWORD, PATIENCE, browser, is_quiet, log_in, was_refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_survive_a_reload_and_refused_settings_are_not_shown_as_saved() {
    let address = format!("127.0.0.1:{}", ports::free());
    let setup = Setup {
        // The restarted server must have the address that the pages use.
        http: address,
        further: "[limits]\ndefault = \"6000/1min\"\ncalls = \"200/5min\"\nspeech = \"off\"\nconfiguration = \"600/15min\"\n\
                  retention = \"500/15min\"\nentrance = \"off\"\n",
        ..Setup::default()
    };
    let tandem = Tandem::start(&setup).await;
    let http = tandem.http.clone();
    let account = tandem.member("Home", "olga", "owner").await;
    let second = tandem.member("Home", "otto", "owner").await;
    let api = Api::sign_in(&http, &account.email, &account.password).await;
    let mut page = browser().await;
    page.open(&format!("{http}/settings")).await;
    log_in(&mut page, &account.email, &account.password).await;
    page.arrive("/settings").await;

    organization(&mut page, &api).await;
    voice(&mut page, &api).await;
    callers(&mut page, &api).await;
    sounds(&mut page, &api).await;
    targets(&mut page, &api).await;
    keys(&mut page, &api, &http).await;
    let account = own_account(&mut page, account, &http).await;

    // The right is revoked while the form is open.
    let other = Api::sign_in(&http, &second.email, &second.password).await;
    let me = other.get("/api/team/members").await["members"].clone();
    let me =
        me.as_array().expect("members").iter().find(|one| one["email"] == account.email).expect("a member").clone();
    let path = format!("/api/team/members/{}", me["user_id"].as_str().expect("an id"));
    page.click("a[data-section=organization]").await;
    page.fill("#organization-name", "Theirs").await;
    let (status, _) = other.ask(Method::PATCH, &path, Some(json!({ "role": "viewer" }))).await;
    assert_eq!(status, StatusCode::OK);
    page.click("#organization-submit").await;
    page.says("#organization-problem", "organization.write").await;
    assert_eq!(page.text("#organization-status").await, "");
    assert_eq!(page.value("#organization-name").await, "Theirs");
    assert_eq!(other.get("/api/organizations/current").await["name"], "Home & <b>Away</b>");
    was_refused(&mut page).await;
    page.reload().await;
    page.visible("#settings-section [data-role=locked]", PATIENCE).await;
    let (status, _) = other.ask(Method::PATCH, &path, Some(json!({ "role": "owner" }))).await;
    assert_eq!(status, StatusCode::OK);

    // The server stops and returns: typed values are kept.
    page.reload().await;
    page.fill("#organization-name", "Back again").await;
    let folder = tandem.kill().await;
    page.click("#organization-submit").await;
    page.says("#organization-problem", "does not answer").await;
    assert_eq!(page.text("#organization-status").await, "");
    assert_eq!(page.value("#organization-name").await, "Back again");
    was_refused(&mut page).await;
    let tandem = Tandem::start_in(folder, &setup).await;
    page.click("#organization-submit").await;
    page.says("#organization-status", "Saved").await;
    assert_eq!(page.text("#organization-problem").await, "");
    let api = Api::sign_in(&http, &account.email, &account.password).await;
    assert_eq!(api.get("/api/organizations/current").await["name"], "Back again");
    is_quiet(&mut page).await;
    page.close().await;
    tandem.stop().await;
}

async fn organization(page: &mut Browser, api: &Api) {
    page.fill("#organization-name", "Home & <b>Away</b>").await;
    page.click("#organization-submit").await;
    page.says("#organization-status", "Saved").await;
    page.says(".settings-side", "Home & <b>Away</b>").await;
    page.fill("#retention-recordings_days", "30").await;
    page.click("#retention-submit").await;
    page.says("#retention-status", "Saved").await;
    // The value exceeds the operator's limit.
    page.fill("#limit-calls", "201").await;
    page.click("#limits-submit").await;
    page.says("[data-field=calls] .problem", "200").await;
    assert_eq!(page.text("#limits-status").await, "");
    was_refused(page).await;
    page.fill("#limit-calls", "150").await;
    page.click("#limits-submit").await;
    page.says("#limits-status", "Saved").await;
    let told = api.get("/api/organizations/current").await;
    assert_eq!(told["name"], "Home & <b>Away</b>");
    assert_eq!(told["retention"], json!({ "recordings_days": 30, "events_days": null }));
    assert_eq!(told["limits"], json!({ "calls": 150 }));
    page.reload().await;
    page.visible("#limit-calls", PATIENCE).await;
    for (field, value) in
        [("organization-name", "Home & <b>Away</b>"), ("retention-recordings_days", "30"), ("limit-calls", "150")]
    {
        assert_eq!(page.value(&format!("#{field}")).await, value, "{field}");
    }
    page.fill("#retention-recordings_days", "").await;
    page.click("#retention-submit").await;
    page.says("#retention-status", "Saved").await;
    assert_eq!(api.get("/api/organizations/current").await["retention"]["recordings_days"], Value::Null);
    is_quiet(page).await;
}

async fn voice(page: &mut Browser, api: &Api) {
    page.click("a[data-section=voice]").await;
    page.visible("#voice-submit", PATIENCE).await;
    for switch in ["live_translate", "voice_to_voice", "record"] {
        page.check(&format!("#voice-{switch}"), true).await;
    }
    page.fill("#voice-translate_to", "the language of Cervantes").await;
    page.click("#voice-submit").await;
    page.says("[data-field=translate_to] .problem", "BCP 47").await;
    assert_eq!(page.text("#voice-status").await, "");
    was_refused(page).await;
    assert_eq!(api.get("/api/voice/config").await["record"], false, "a refused change has no effect");
    page.fill("#voice-translate_to", "es-419").await;
    page.choose("#voice-agent_hears", "translation").await;
    page.fill("#voice-budget_ms", "2.5").await;
    page.click("#voice-submit").await;
    page.says("#voice-status", "Saved").await;
    let config = json!({
        "live_translate": true, "transcribe": false, "translate_from": "en", "translate_to": "es-419",
        "voice_to_voice": true, "customer_hears": "ducked", "agent_hears": "translation", "budget_ms": 2_500, "record": true,
        "record_heard": false,
        "amd": { "mode": "off", "limit_s": 10, "actions": {} },
    });
    assert_eq!(api.get("/api/voice/config").await, config);
    page.reload().await;
    page.visible("#voice-submit", PATIENCE).await;
    assert!(page.checked("#voice-record").await && page.checked("#voice-voice_to_voice").await);
    assert_eq!(page.value("#voice-translate_to").await, "es-419");
    assert_eq!(page.value("#voice-agent_hears").await, "translation");
    page.check("#voice-record", false).await;
    page.click("#voice-submit").await;
    page.says("#voice-status", "Saved").await;

    page.fill("#glossary-terms", "en: smart meter").await;
    page.click("#glossary-submit").await;
    page.says("[data-field=terms] .problem", "Line 1").await;
    page.fill("#glossary-terms", "en: smart meter = es: contador inteligente").await;
    page.fill("#glossary-names", "Grünwald").await;
    page.click("#glossary-submit").await;
    page.says("#glossary-status", "Saved").await;
    let term = json!({ "from": "en", "source": "smart meter", "to": "es", "target": "contador inteligente" });
    assert_eq!(api.get("/api/glossary").await, json!({ "terms": [term], "names": ["Grünwald"] }));
    page.reload().await;
    page.visible("#glossary-submit", PATIENCE).await;
    assert_eq!(page.value("#glossary-names").await, "Grünwald");

    page.click("a[data-section=capabilities]").await;
    page.check("#capability-record", false).await;
    page.check("#capability-api_dialing", false).await;
    page.click("#capabilities-submit").await;
    page.says("#capabilities-status", "Saved").await;
    let capabilities = api.get("/api/call-capabilities").await;
    let told = ["record", "api_dialing", "transfer"].map(|name| capabilities[name].as_bool());
    assert_eq!(told, [Some(false), Some(false), Some(true)]);
    page.reload().await;
    page.visible("#capabilities-submit", PATIENCE).await;
    assert!(!page.checked("#capability-record").await && page.checked("#capability-transfer").await);

    // A feature that the organization may not use is refused at its switch; the other values can still be saved.
    page.click("a[data-section=voice]").await;
    page.check("#voice-record", true).await;
    page.click("#voice-submit").await;
    page.says("[data-field=record] .problem", "switched off").await;
    assert_eq!(page.text("#voice-status").await, "");
    was_refused(page).await;
    assert_eq!(api.get("/api/voice/config").await["record"], false);
    page.check("#voice-record", false).await;
    page.fill("#voice-translate_from", "fr").await;
    page.click("#voice-submit").await;
    page.says("#voice-status", "Saved").await;
    assert_eq!(api.get("/api/voice/config").await["translate_from"], "fr");
    is_quiet(page).await;
}

/// Edits the call program of a number: a wrong line is marked and refused, a correct program is saved.
async fn program(page: &mut Browser, api: &Api, number: &str) {
    let path = format!("/api/caller-id/numbers/{number}/program");
    page.click("#numbers [data-role=program]").await;
    page.choose("#program-source", "steps").await;
    page.fill("#program-steps", "[\n  {\"hangup\": {}}\n  {\"hangup\": {}}\n]").await;
    page.click("#program-form-submit").await;
    page.says("[data-field=program] .problem", "Line 3, column 3: Expected a comma").await;
    page.fill("#program-steps", "[\n  {\"pause\": {\"ms\": 0}}\n]").await;
    page.click("#program-form-submit").await;
    page.says("[data-field=program] .problem", "Line 2, steps[0].pause.ms: expected").await;
    was_refused(page).await;
    let (status, _) = api.ask(Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "a refused value is not stored");
    page.fill("#program-steps", "[{\"pause\": {\"ms\": 500}}, {\"hangup\": {}}]").await;
    page.click("#program-form-submit").await;
    page.list("#program-dialog", "id", &[""; 0]).await;
    assert_eq!(api.get(&path).await["program"], json!([{ "pause": { "ms": 500 } }, { "hangup": {} }]));

    page.reload().await;
    page.click("#numbers [data-role=program]").await;
    page.choose("#program-source", "none").await;
    page.click("#program-form-submit").await;
    page.list("#program-dialog", "id", &[""; 0]).await;
    let (status, _) = api.ask(Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    is_quiet(page).await;
}

/// Uploads a file and makes it the music on hold.
async fn sounds(page: &mut Browser, api: &Api) {
    let folder = tempfile::tempdir().expect("an empty folder");
    let path = folder.path().join("quiet_piano.wav");
    sound::write_wav(&path, SampleRate::HZ_16000, &sound::tone(SampleRate::HZ_16000, 440.0, -16.0, 2.0));
    page.click("a[data-section=sounds]").await;
    page.visible("#sounds[data-state=empty]", PATIENCE).await;
    page.click("#sound-add").await;
    page.attach("#sound-file", &path).await;
    assert_eq!(page.value("#sound-name").await, "quiet piano");
    page.click("#sound-form-submit").await;
    page.says("#sounds", "quiet piano").await;
    page.says("#sounds", "0:02").await;

    page.click("a[data-section=voice]").await;
    page.choose("#handling-hold_music", "quiet piano").await;
    page.check("#handling-supervision_notice", true).await;
    page.click("#handling-submit").await;
    page.says("#handling-status", "Saved").await;
    let handling = json!({ "hold_music": "quiet piano", "supervision_notice": true });
    assert_eq!(api.get("/api/call-handling").await, handling);
    page.reload().await;
    page.visible("#handling-submit", PATIENCE).await;
    assert_eq!(page.value("#handling-hold_music").await, "quiet piano");
    assert!(page.checked("#handling-supervision_notice").await);
    is_quiet(page).await;
}

async fn callers(page: &mut Browser, api: &Api) {
    page.click("a[data-section=caller-id]").await;
    page.click("#number-add").await;
    page.fill("#number-number", "0910 000 001").await;
    page.click("#number-form-submit").await;
    page.says("[data-field=number] .problem", "E.164").await;
    was_refused(page).await;
    assert_eq!(api.get("/api/caller-id/numbers").await["numbers"], json!([]));
    page.fill("#number-number", "+34 910 000 001").await;
    page.fill("#number-label", "Madrid").await;
    page.click("#number-form-submit").await;
    page.says("#numbers", "+34910000001").await;
    let number = api.get("/api/caller-id/numbers").await["numbers"][0].clone();
    assert_eq!((&number["number"], &number["label"]), (&json!("+34910000001"), &json!("Madrid")));
    page.click("#numbers [data-role=edit]").await;
    page.fill("#number-label", "Madrid, second floor").await;
    page.click("#number-form-submit").await;
    page.says("#numbers", "Madrid, second floor").await;

    program(page, api, number["id"].as_str().expect("an id")).await;

    page.click("#rule-add").await;
    page.fill("#rule-agent", "nobody").await;
    page.fill("#rule-destination_prefix", "+44").await;
    page.click("#rule-form-submit").await;
    page.says("[data-field=agent] .problem", "agent of your organization has this").await;
    was_refused(page).await;
    page.fill("#rule-agent", "olga").await;
    page.click("#rule-form-submit").await;
    page.says("#rules", "Agent olga, to numbers that begin with +44").await;
    page.click("#rules [data-role=edit]").await;
    page.fill("#rule-agent", "").await;
    page.click("#rule-form-submit").await;
    page.says("#rules", "Everybody, to numbers that begin with +44").await;
    page.reload().await;
    page.says("#rules", "Everybody, to numbers that begin with +44").await;
    page.says("#numbers", "Madrid, second floor").await;
    let rule = api.get("/api/caller-id/rules").await["rules"][0].clone();
    assert_eq!((&rule["agent"], &rule["destination_prefix"]), (&Value::Null, &json!("+44")));
    assert_eq!(rule["number_id"], number["id"]);

    page.click("#rules [data-role=remove]").await;
    page.click("#rule-remove [data-role=confirm]").await;
    page.visible("#rules[data-state=empty]", PATIENCE).await;
    page.click("#numbers [data-role=remove]").await;
    page.click("#number-remove [data-role=confirm]").await;
    page.visible("#numbers[data-state=empty]", PATIENCE).await;
    assert_eq!(api.get("/api/caller-id/rules").await["rules"], json!([]));
    assert_eq!(api.get("/api/caller-id/numbers").await["numbers"], json!([]));
    is_quiet(page).await;
}

async fn targets(page: &mut Browser, api: &Api) {
    page.click("a[data-section=targets]").await;
    page.click("#target-add").await;
    page.fill("#target-name", "Interpreters").await;
    page.fill("#target-address", "the desk").await;
    page.click("#target-form-submit").await;
    page.visible("[data-field=address] .problem:not(:empty)", PATIENCE).await;
    was_refused(page).await;
    assert_eq!(api.get("/api/voice/targets").await["targets"], json!([]));
    page.fill("#target-address", "sip:desk@example.com").await;
    page.click("#target-form-submit").await;
    page.says("#targets", "sip:desk@example.com").await;
    page.click("#targets [data-role=edit]").await;
    page.fill("#target-address", "+44 20 7946 0123").await;
    page.click("#target-form-submit").await;
    page.says("#targets", "+442079460123").await;
    page.reload().await;
    page.says("#targets", "+442079460123").await;
    let target = api.get("/api/voice/targets").await["targets"][0].clone();
    assert_eq!((&target["name"], &target["address"]), (&json!("Interpreters"), &json!("+442079460123")));
    page.click("#targets [data-role=remove]").await;
    page.click("#target-remove [data-role=confirm]").await;
    page.visible("#targets[data-state=empty]", PATIENCE).await;
    assert_eq!(api.get("/api/voice/targets").await["targets"], json!([]));
    is_quiet(page).await;
}

async fn keys(page: &mut Browser, api: &Api, http: &str) {
    page.click("a[data-section=keys]").await;
    page.click("#key-add").await;
    page.fill("#key-name", "Wallboard").await;
    page.check("#key-scopes-calls-read", true).await;
    page.click("#key-form-submit").await;
    page.visible("#key-secret", PATIENCE).await;
    let key = page.value("#key-secret").await;
    let program = Api::new(http, &key);
    program.get("/api/calls").await;
    let (status, _) = program.ask(Method::GET, "/api/api-keys", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a key has the granted rights");
    page.click("#key-dialog .actions .primary").await;
    page.says("#keys", "Wallboard").await;
    page.reload().await;
    page.says("#keys", "calls.read").await;
    assert!(!page.text("body").await.contains(&key), "a key is shown once");
    page.click("#keys [data-role=revoke]").await;
    page.click("#key-revoke [data-role=confirm]").await;
    page.says("#keys", "Revoked").await;
    let (status, _) = program.ask(Method::GET, "/api/calls", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(api.get("/api/api-keys").await["api_keys"][0]["revoked_at"].is_string());
    is_quiet(page).await;
}

async fn own_account(page: &mut Browser, account: Account, http: &str) -> Account {
    page.click("a[data-section=account]").await;
    page.fill("#account-name", "Olga Petrova").await;
    page.click("#account-submit").await;
    page.says("#account-status", "Saved").await;
    page.says(".bar .who", "Olga Petrova").await;
    page.fill("#password-current", "not the one").await;
    page.fill("#password-new", PASSWORD).await;
    page.click("#password-submit").await;
    page.visible("[data-field=current] .problem:not(:empty)", PATIENCE).await;
    assert_eq!(page.text("#password-status").await, "");
    was_refused(page).await;
    page.fill("#password-current", &account.password).await;
    page.click("#password-submit").await;
    page.says("#password-status", "Changed").await;
    page.reload().await;
    page.says(".bar .who", "Olga Petrova").await;
    is_quiet(page).await;
    let account = Account { password: PASSWORD.into(), ..account };
    let told = Api::sign_in(http, &account.email, &account.password).await.get("/api/users/me").await;
    assert_eq!(told["name"], "Olga Petrova");
    account
}
