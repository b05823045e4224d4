//! The pages as people use them: real browsers, a real server. What a page claims to have done is asked of the server, and
//! what it shows must stand there still after a reload.

use std::path::PathBuf;
use std::time::Duration;

use codecs::SampleRate;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tests::api::Api;
use tests::browser::Browser;
use tests::ears::FarEnd;
use tests::postgres::{Database, Postgres};
use tests::tandem::{Account, Setup, Tandem};
use tests::{ports, seed, sound};

const HERTZ: f32 = 440.0;
const LEVEL_DBFS: f32 = -12.0;
const PATIENCE: Duration = Duration::from_secs(10);
const CALLER: &str = "+34910000001";
/// A number that the routes send to the agent.
const CALLED: &str = "+15550001";
/// A number that is answered by the recorder.
const RECORDED: &str = "+15550002";
const PASSWORD: &str = "seven quiet otters";

async fn browser() -> Browser {
    Browser::launch(HERTZ, LEVEL_DBFS).await
}

/// What of a section of the settings changes something.
const CHANGES: &str = "#settings-section :is(.primary, select:enabled, input:enabled, .row-tools button)";

/// Fills the log-in page, wherever it leads to.
async fn log_in(browser: &mut Browser, email: &str, password: &str) {
    browser.fill("#login-email", email).await;
    browser.fill("#login-password", password).await;
    browser.click("#login-submit").await;
}

/// What a page complained of since the last time, but for what Chromium says of every meter.
async fn complaints(browser: &mut Browser) -> Vec<String> {
    let mut complaints = browser.complaints().await;
    complaints.retain(|text| !text.contains("ScriptProcessorNode"));
    complaints
}

async fn is_quiet(browser: &mut Browser) {
    let complaints = complaints(browser).await;
    assert!(complaints.is_empty(), "the page complained: {complaints:?}");
}

/// Requests were refused or unanswered, as the browser says by itself; the page says nothing else.
async fn was_refused(browser: &mut Browser) {
    let complaints = complaints(browser).await;
    let told = complaints.iter().all(|text| text.starts_with("Failed to load resource"));
    assert!(told && !complaints.is_empty(), "the page complained: {complaints:?}");
}

/// Where a server keeps its rows.
enum Kept {
    Sqlite,
    Postgres(Postgres, Database),
}

impl Kept {
    async fn postgres() -> Kept {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        Kept::Postgres(postgres, database)
    }

    /// Keys of `[store]`.
    fn store(&self) -> String {
        match self {
            Kept::Sqlite => String::new(),
            Kept::Postgres(_, database) => {
                format!("url = {:?}\nmigrate_url = {:?}\n", database.url, database.migrate_url)
            }
        }
    }

    /// Changes rows under a running server.
    async fn run(&self, tandem: &Tandem, sql: &[String]) {
        macro_rules! run {
            ($connection:expr) => {{
                let mut connection = $connection.await.expect("the database opens");
                for statement in sql {
                    connection.execute(AssertSqlSafe(statement.clone())).await.expect("rows changed");
                }
            }};
        }
        match self {
            Kept::Sqlite => run!(SqliteConnection::connect(&format!("sqlite:{}", file(tandem).display()))),
            Kept::Postgres(_, database) => run!(PgConnection::connect(&database.admin_url)),
        }
    }

    async fn stop(self) {
        if let Kept::Postgres(postgres, _) = self {
            postgres.stop().await;
        }
    }
}

fn file(tandem: &Tandem) -> PathBuf {
    tandem.data().join("tandem.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_signs_up_and_a_member_comes_and_goes() {
    people(Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_signs_up_and_a_member_comes_and_goes_on_postgres() {
    people(Kept::postgres().await).await;
}

async fn people(kept: Kept) {
    let tandem = Tandem::start(&Setup { store: kept.store(), ..Setup::default() }).await;
    let http = &tandem.http;
    let stranger = Api::new(http, "");
    let mut owner = browser().await;

    // Nobody has an account: whatever is opened, it is sign-up that comes.
    owner.open(&format!("{http}/calls")).await;
    for (field, text) in [("organization", "Möbius & Sons"), ("name", "Zoë Ünal"), ("email", "Zoe@test.example")] {
        owner.fill(&format!("#signup-{field}"), text).await;
    }
    owner.fill("#signup-password", "short").await;
    owner.click("#signup-submit").await;
    owner.says("[data-field=password] .problem", "12").await;
    was_refused(&mut owner).await;
    assert_eq!(stranger.get("/api/auth/providers").await["signup"], "first_user", "a refused sign-up made nobody");
    owner.fill("#signup-password", PASSWORD).await;
    owner.click("#signup-submit").await;
    owner.arrive("/agent").await;
    let api = Api::sign_in(http, "zoe@test.example", PASSWORD).await;
    let session = api.get("/api/auth/session").await;
    assert_eq!((&session["user"]["role"], &session["user"]["name"]), (&json!("owner"), &json!("Zoë Ünal")));
    assert_eq!(session["organization"]["name"], "Möbius & Sons");
    owner.reload().await;
    owner.says(".bar .who", "Zoë Ünal").await;

    // Out, and in again by the page that was wanted.
    owner.click("#logout").await;
    owner.arrive("/login").await;
    is_quiet(&mut owner).await;
    owner.open(&format!("{http}/settings#targets")).await;
    owner.arrive("/login?next=%2Fsettings%23targets").await;
    log_in(&mut owner, "zoe@test.example", "seven loud otters").await;
    owner.says("#login-problem", "password").await;
    was_refused(&mut owner).await;
    owner.reload().await;
    log_in(&mut owner, "zoe@test.example", PASSWORD).await;
    owner.arrive("/settings#targets").await;
    owner.visible("#targets[data-state=empty]", PATIENCE).await;

    let (mut member, anna) = joins(&mut owner, &api, http).await;
    let calls = two_calls(&tandem, &mut member, &api).await;

    // An agent sees own calls, and changes nothing of the organization's.
    member.click("nav a[data-page=calls]").await;
    member.list("#calls-list [data-call]", "data-call", &calls[..1]).await;
    member.open(&format!("{http}/calls/{}", calls[1])).await;
    member.visible("#call-missing", PATIENCE).await;
    was_refused(&mut member).await;
    member.click("nav a[data-page=settings]").await;
    let sections = ["organization", "members", "voice", "capabilities", "caller-id", "targets", "account"];
    member.list("a[data-section]", "data-section", &sections).await;
    for section in &sections[..6] {
        member.click(&format!("a[data-section={section}]")).await;
        member.visible(&format!("a[data-section={section}][aria-current]"), PATIENCE).await;
        member.visible("#settings-section [data-role=locked]", PATIENCE).await;
        member.list::<&str>(CHANGES, "id", &[]).await;
    }
    is_quiet(&mut member).await;
    let agent = Api::sign_in(http, "anna@test.example", PASSWORD).await;
    let (status, _) = agent.ask(Method::PATCH, "/api/organizations/current", Some(json!({ "name": "Mine" }))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    // Another role shows more; nobody's membership shows nothing.
    owner.click("a[data-section=members]").await;
    let row = format!("#members tr[data-id=\"{anna}\"]");
    owner.choose(&format!("{row} select"), "supervisor").await;
    owner.says(&format!("{row} .saved"), "Saved").await;
    assert_eq!(agent.get("/api/auth/session").await["user"]["role"], "supervisor");
    owner.reload().await;
    owner.visible(&row, PATIENCE).await;
    assert_eq!(owner.value(&format!("{row} select")).await, "supervisor");
    member.click("nav a[data-page=calls]").await;
    member.list("#calls-list [data-call]", "data-call", &[&calls[1], &calls[0]]).await;
    member.click("nav a[data-page=settings]").await;
    member.visible("#settings-section [data-role=locked]", PATIENCE).await;
    owner.click(&format!("{row} [data-role=remove]")).await;
    owner.click("#member-remove [data-role=confirm]").await;
    let zoe = session["user"]["id"].as_str().expect("an id");
    owner.list("#members tr[data-id]", "data-id", &[zoe]).await;
    assert_eq!(api.get("/api/team/members").await["members"].as_array().map(Vec::len), Some(1));
    is_quiet(&mut member).await;
    member.click("nav a[data-page=calls]").await;
    member.arrive("/login?next=%2Fcalls").await;
    log_in(&mut member, "anna@test.example", PASSWORD).await;
    member.visible("#login-problem:not(:empty)", PATIENCE).await;
    was_refused(&mut member).await;
    is_quiet(&mut owner).await;

    member.close().await;
    owner.close().await;
    tandem.stop().await;
    kept.stop().await;
}

/// The owner invites an agent, who opens the link in a browser of her own: that browser, at the phone, and who she is.
async fn joins(owner: &mut Browser, api: &Api, http: &str) -> (Browser, String) {
    owner.click("a[data-section=members]").await;
    owner.click("#invite").await;
    owner.fill("#invite-email", "anna@test.example").await;
    owner.choose("#invite-role", "agent").await;
    owner.click("#invite-form-submit").await;
    owner.visible("#invite-link", PATIENCE).await;
    let link = owner.value("#invite-link").await;
    assert!(link.starts_with(&format!("{http}/invitation#")), "{link}");
    owner.click("#invite-dialog .actions .primary").await;
    owner.says("#invitations", "Open").await;
    assert_eq!(api.get("/api/team/invitations").await["invitations"][0]["email"], "anna@test.example");

    let mut member = browser().await;
    member.open(&link).await;
    member.visible("#invitation-email", PATIENCE).await;
    assert_eq!(member.value("#invitation-email").await, "anna@test.example");
    member.says("h1", "Möbius & Sons").await;
    member.fill("#invitation-name", "Anna Karlsson").await;
    member.fill("#invitation-password", PASSWORD).await;
    member.click("#invitation-submit").await;
    member.arrive("/agent").await;
    member.attribute("#registration-state", "data-state", "registered", PATIENCE).await;
    let members = api.get("/api/team/members").await["members"].clone();
    let anna = members.as_array().expect("members").iter().find(|one| one["email"] == "anna@test.example");
    let anna = anna.expect("whoever took the invitation is a member");
    assert_eq!((&anna["role"], &anna["name"]), (&json!("agent"), &json!("Anna Karlsson")));
    assert_eq!(api.get("/api/team/invitations").await["invitations"][0]["state"], "accepted");
    // The link works once.
    let mut late = browser().await;
    late.open(&link).await;
    late.visible("#invitation-over", PATIENCE).await;
    late.close().await;
    owner.reload().await;
    owner.says("#invitations", "Accepted").await;
    is_quiet(owner).await;
    (member, anna["user_id"].as_str().expect("an id").to_owned())
}

/// Two calls that were: the first rang in the member's page, the second did not.
async fn two_calls(tandem: &Tandem, member: &mut Browser, api: &Api) -> [String; 2] {
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.party.call(CALLER, CALLED).expect("a call placed");
    member.line_becomes("incoming", PATIENCE).await;
    far.party.hang_up();
    member.line_becomes("idle", PATIENCE).await;
    let rang = api.call_becomes("failed", PATIENCE).await;
    far.call(CALLER, "echo", PATIENCE).await;
    far.party.hang_up();
    let other = api.call_becomes("ended", PATIENCE).await;
    far.party.stop().await;
    [rang, other].map(|call| call["id"].as_str().expect("an id").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_stands_after_a_reload_and_what_is_refused_is_not_said_to_be_saved() {
    let address = format!("127.0.0.1:{}", ports::free());
    let setup = Setup {
        // Started again later, where the pages look for it.
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
    targets(&mut page, &api).await;
    keys(&mut page, &api, &http).await;
    let account = own_account(&mut page, account, &http).await;

    // The right is taken away while the form is open.
    let other = Api::sign_in(&http, &second.email, &second.password).await;
    let me = other.get("/api/team/members").await["members"].clone();
    let me = me.as_array().expect("members").iter().find(|one| one["email"] == account.email).expect("a member").clone();
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

    // The server goes away and comes back: nothing typed is lost.
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
    // More than the operator allows.
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
    assert_eq!(api.get("/api/voice/config").await["record"], false, "what was refused changed nothing");
    page.fill("#voice-translate_to", "es-419").await;
    page.click("#voice-submit").await;
    page.says("#voice-status", "Saved").await;
    let config = json!({
        "live_translate": true, "transcribe": false, "translate_from": "en", "translate_to": "es-419",
        "voice_to_voice": true, "record": true,
    });
    assert_eq!(api.get("/api/voice/config").await, config);
    page.reload().await;
    page.visible("#voice-submit", PATIENCE).await;
    assert!(page.checked("#voice-record").await && page.checked("#voice-voice_to_voice").await);
    assert_eq!(page.value("#voice-translate_to").await, "es-419");
    page.check("#voice-record", false).await;
    page.click("#voice-submit").await;
    page.says("#voice-status", "Saved").await;

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

    // What the organization may not do is refused at the switch that asks for it; the rest can still be saved.
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

    page.click("#rule-add").await;
    page.fill("#rule-agent", "nobody").await;
    page.fill("#rule-destination_prefix", "+44").await;
    page.click("#rule-form-submit").await;
    page.says("[data-field=agent] .problem", "no agent").await;
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
    assert_eq!(status, StatusCode::FORBIDDEN, "a key may what it was given");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_found_heard_read_and_judged() {
    calls(Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_found_heard_read_and_judged_on_postgres() {
    calls(Kept::postgres().await).await;
}

/// Of which the first tenant has three hundred.
const SEEDED: u32 = 500;

async fn calls(kept: Kept) {
    let setup = Setup {
        store: kept.store(),
        routes: vec![(RECORDED, "app:record"), ("*", "agent:anna")],
        ..Setup::default()
    };
    // Made once, so that there are tables to fill.
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

/// The first page of calls that the server finds.
async fn ids(api: &Api, query: &str) -> Vec<String> {
    let list = api.get(&format!("/api/calls?{query}")).await;
    let id = |call: &Value| call["id"].as_str().expect("an id").to_owned();
    list["calls"].as_array().expect("calls").iter().map(id).collect()
}

/// How many calls the server finds on all pages.
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
    // The file has what the filters leave, on whatever page.
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
    // Each filter alone: field, what is filled in, the address, what the server is asked for.
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
        // All were made within the last hour, and none of them failed.
        match choice {
            "inbound" => page.list(ROWS, "data-call", &ids(api, "direction=inbound").await).await,
            "failed" => page.says("#calls-empty", "No call fits").await,
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

    // Filters together, page by page; where one stands is kept.
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

/// A call that the open list hears of while it runs, with six seconds of a recording.
async fn a_recorded_call(page: &mut Browser, tandem: &Tandem, api: &Api) -> String {
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call(CALLER, RECORDED, PATIENCE).await;
    let rate = SampleRate::HZ_8000;
    far.party.say(1, rate, &sound::tone(rate, HERTZ, LEVEL_DBFS, 6.0)).expect("a clip to say");
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

/// What was said from the recording's beginning on, in seconds, by whom, and what it means; the third was missed.
const SAID: [(u64, f64, &str, &str, &str); 3] = [
    (1, 1.0, "customer", "Where is my package?", "¿Dónde está mi paquete?"),
    (2, 3.0, "agent", "Llega el jueves.", "It arrives on Thursday."),
    (3, 4.5, "customer", "", ""),
];

/// Puts words to the recorded call, as recognition would.
async fn words(kept: &Kept, tandem: &Tandem, api: &Api, call: &str) {
    let sql = SAID.into_iter().flat_map(|(segment, at, leg, text, meaning)| {
        let missed = text.is_empty();
        let translation = if missed { Value::Null } else { json!(meaning) };
        let body = json!({
            "segment": segment, "call_id": call, "leg": leg, "source_language": "en", "target_language": "es", "text": text,
            "translation": translation, "final": true, "missed": missed, "lag_ms": {},
        });
        let meaning = if missed { "NULL".to_owned() } else { format!("'{meaning}'") };
        let heard = format!(
            "INSERT INTO translations (organization_id, call_id, segment, event_id, final, text, translation, body) \
             VALUES ('{HOME}', '{call}', {segment}, 0, TRUE, '{text}', {meaning}, '{body}')"
        );
        let kept = (!missed).then(|| version(call, segment, 1, leg, text, "live", at));
        [Some(heard), kept]
    });
    let sql: Vec<String> = sql.flatten().collect();
    kept.run(tandem, &sql).await;
    let told = api.get(&format!("/api/calls/{call}/transcript")).await;
    assert_eq!(told["segments"].as_array().map(Vec::len), Some(2), "{told}");
}

/// The tenant whose calls these are.
const HOME: &str = seed::ORGANIZATIONS[0];

fn version(call: &str, segment: u64, version: u64, leg: &str, text: &str, source: &str, at: f64) -> String {
    let ms = (at * 1_000.0) as u64;
    format!(
        "INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at) \
         SELECT organization_id, call_id, {segment}, {version}, '{leg}', 'en', '{text}', '{source}', started_at + {ms} \
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
    for moment in ["The call was made", "Recording begins", "The recording is complete", "The call ended"] {
        page.says("#events", moment).await;
    }

    // Nobody has heard it yet. A sentence plays from where it was said, and is marked while it is heard.
    let heard = "/api/audit-logs?action=recording.read";
    assert_eq!(api.get(heard).await["audit_logs"], json!([]), "who looks at a page has heard nothing");
    page.click("#transcript [data-segment=\"2\"] [data-role=play]").await;
    page.attribute("#transcript [data-segment=\"2\"]", "data-playing", "", PATIENCE).await;
    let player = page.call("player", json!("#recording")).await;
    let at = player["at"].as_f64().expect("a position");
    assert!((3.0..4.4).contains(&at) && player["plays"] == true, "{player}");
    assert!(player["duration"].as_f64().is_some_and(|seconds| (5.0..9.0).contains(&seconds)), "{player}");
    assert_eq!(api.get(heard).await["audit_logs"][0]["target"], format!("call:{call}"));

    // A link for somebody without an account.
    page.click("#recording-link").await;
    page.visible("#recording-url", PATIENCE).await;
    let url = page.value("#recording-url").await;
    let path = url.strip_prefix(&tandem.http).expect("a link to this server");
    let answer = Api::new(&tandem.http, "").send(Method::GET, path, None).await;
    assert_eq!((answer.status(), &answer.headers()["content-type"]), (StatusCode::OK, &"audio/wav".parse().expect("a value")));
    page.click("#recording-link-dialog [aria-label=Close]").await;

    // What was missed is told by the recording later on.
    kept.run(tandem, &[version(call, 3, 1, "customer", "Thank you.", "recording", 4.5)]).await;
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
    page.says("#notes", "changed").await;
    assert_eq!(api.get(&path).await["notes"][0]["text"], "Got a discount");
    page.click("#notes [data-role=remove]").await;
    page.click("#note-remove [data-role=confirm]").await;
    page.list("#notes [data-note]", "data-note", &[] as &[&str]).await;
    page.reload().await;
    page.says("section[aria-label=Notes]", "Nobody has written anything yet").await;
    assert_eq!(api.get(&path).await["notes"], json!([]));
}
