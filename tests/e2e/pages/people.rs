//! An owner signs up; a member is invited, works within the limits of the role, and is removed.

use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::api::Api;
use tests::browser::Browser;
use tests::ears::FarEnd;
use tests::tandem::{Setup, Tandem};

use super::{CALLER, Kept, PASSWORD, PATIENCE, browser, is_quiet, log_in, was_refused};

/// A number that is routed to the agent.
const CALLED: &str = "+15550001";
/// Elements of a section of the settings that can change a value.
const CHANGES: &str = "#settings-section :is(.primary, select:enabled, input:enabled, .row-tools button)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_signs_up_and_adds_and_removes_a_member() {
    people(Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_signs_up_and_adds_and_removes_a_member_on_postgres() {
    people(Kept::postgres().await).await;
}

async fn people(kept: Kept) {
    let tandem = Tandem::start(&Setup { store: kept.store(), ..Setup::default() }).await;
    let http = &tandem.http;
    let stranger = Api::new(http, "");
    let mut owner = browser().await;

    // Without any account, every page redirects to the sign-up.
    owner.open(&format!("{http}/calls")).await;
    for (field, text) in [("organization", "Möbius & Sons"), ("name", "Zoë Ünal"), ("email", "Zoe@test.example")] {
        owner.fill(&format!("#signup-{field}"), text).await;
    }
    owner.fill("#signup-password", "short").await;
    owner.click("#signup-submit").await;
    owner.says("[data-field=password] .problem", "12").await;
    was_refused(&mut owner).await;
    assert_eq!(
        stranger.get("/api/auth/providers").await["signup"],
        "first_user",
        "a refused sign-up creates no member"
    );
    owner.fill("#signup-password", PASSWORD).await;
    owner.click("#signup-submit").await;
    owner.arrive("/agent").await;
    let api = Api::sign_in(http, "zoe@test.example", PASSWORD).await;
    let session = api.get("/api/auth/session").await;
    assert_eq!((&session["user"]["role"], &session["user"]["name"]), (&json!("owner"), &json!("Zoë Ünal")));
    assert_eq!(session["organization"]["name"], "Möbius & Sons");
    owner.reload().await;
    owner.says(".bar .who", "Zoë Ünal").await;

    // After signing out and in again, the requested page opens.
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

    // An agent sees own calls, and cannot change anything of the organization's.
    member.click("nav a[data-page=calls]").await;
    member.list("#calls-list [data-call]", "data-call", &calls[..1]).await;
    member.open(&format!("{http}/calls/{}", calls[1])).await;
    member.visible("#call-missing", PATIENCE).await;
    was_refused(&mut member).await;
    member.click("nav a[data-page=settings]").await;
    let sections = ["organization", "members", "voice", "capabilities", "caller-id", "targets", "sounds", "account"];
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

    // Another role shows more; without a membership nothing is shown.
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

/// Invites an agent, who opens the link in her own browser; returns that browser, at the telephone page, and her member id.
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
    let anna = anna.expect("the invited person is a member");
    assert_eq!((&anna["role"], &anna["name"]), (&json!("agent"), &json!("Anna Karlsson")));
    assert_eq!(api.get("/api/team/invitations").await["invitations"][0]["state"], "accepted");
    // The link works only once.
    let mut late = browser().await;
    late.open(&link).await;
    late.visible("#invitation-over", PATIENCE).await;
    late.close().await;
    owner.reload().await;
    owner.says("#invitations", "Accepted").await;
    is_quiet(owner).await;
    (member, anna["user_id"].as_str().expect("an id").to_owned())
}

/// Makes two calls: the first rang in the member's page, the second did not.
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
