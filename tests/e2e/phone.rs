//! A real SIP phone with the built-in applications.

use std::time::Duration;

use codecs::SampleRate;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::Api;
use tests::baresip::Baresip;
use tests::desk::{Desk, LEVEL_DBFS, Line, hear_each_other};
use tests::sound;
use tests::tandem::{Setup, Tandem};

const HERTZ: f32 = 440.0;
const PATIENCE: Duration = Duration::from_secs(10);
const ANNA_HZ: f32 = 600.0;

/// Calls `echo`, records for three seconds, and asserts that the phone hears its own tone.
async fn echo(codec: &str, decoder: &str, tolerance_db: f32) {
    echo_for(|| Baresip::start(codec, HERTZ as u32), codec, decoder, tolerance_db).await;
}

async fn echo_for<F: Future<Output = Baresip>>(
    start: impl FnOnce() -> F,
    codec: &str,
    decoder: &str,
    tolerance_db: f32,
) {
    let tandem = Tandem::start(&Setup::default()).await;
    echo_at(&tandem, &format!("sip:echo@{}", tandem.sip()), start().await, codec, decoder, tolerance_db).await;
    tandem.stop().await;
}

async fn echo_at(tandem: &Tandem, uri: &str, mut phone: Baresip, codec: &str, decoder: &str, tolerance_db: f32) {
    let before = tandem.holdings().await;
    phone.dial(uri, PATIENCE).await;
    phone.hears(Duration::from_secs(3), PATIENCE).await;
    phone.hang_up(PATIENCE).await;
    assert!(phone.printed(&format!("Set audio decoder: {decoder}")), "the call did not use {decoder}");

    let last_two_seconds = |direction: &str| {
        let (rate, channels) = sound::read_wav(&phone.sound(direction)).expect("baresip's WAV file");
        let samples = channels[0].clone();
        assert!(samples.len() > rate.hz() as usize * 5 / 2, "{direction}: {} samples at {rate}", samples.len());
        (rate, samples[samples.len() - 2 * rate.hz() as usize..].to_vec())
    };
    let (rate, spoken): (SampleRate, Vec<i16>) = last_two_seconds("enc");
    let (_, heard) = last_two_seconds("dec");
    let level = sound::find(&spoken, rate, HERTZ).tone_dbfs;
    assert!(level > -30.0, "baresip sent no tone: {level} dBFS");
    sound::assert_tone(&format!("echo over {codec}"), &heard, rate, HERTZ, level, tolerance_db);

    phone.stop().await;
    tandem.gives_back(&before, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_with_pcmu() {
    echo("PCMU", "PCMU 8000Hz", 0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_with_opus() {
    echo("opus/48000/2", "opus 48000Hz", 1.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_with_srtp() {
    echo_for(|| Baresip::start_encrypted("PCMU", HERTZ as u32), "PCMU over SRTP", "PCMU 8000Hz", 0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_over_tls_with_srtp() {
    let tandem = Tandem::start(&Setup { sip: vec!["udp:127.0.0.1:0", "tls:127.0.0.1:0"], ..Setup::default() }).await;
    let phone = Baresip::start_secure("PCMU", HERTZ as u32).await;
    let uri = format!("sip:echo@{};transport=tls", tandem.sip[1]);
    echo_at(&tandem, &uri, phone, "PCMU over SRTP and TLS", "PCMU 8000Hz", 0.5).await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_over_tls_with_srtp_holds_is_held_and_presses_keys() {
    let tandem = Tandem::start(&Setup { sip: vec!["udp:127.0.0.1:0", "tls:127.0.0.1:0"], ..Setup::default() }).await;
    let (mut desk, session) = Desk::of_agent(&tandem, "anna").await;
    let before = tandem.holdings().await;
    let mut events = session.events("/api/events", None).await;

    let mut phone = Baresip::start_secure("PCMU", HERTZ as u32).await;
    let uri = format!("sip:100@{};transport=tls", tandem.sip[1]);
    let ((), mut anna) = tokio::join!(phone.dial(&uri, PATIENCE), async {
        let invite = desk.rings(PATIENCE).await;
        desk.answer(&invite, ANNA_HZ, PATIENCE).await
    });
    both_hear("at first", &phone, &mut anna).await;
    for direction in ["sendonly", "inactive"] {
        desk.redirect(&mut anna, direction, PATIENCE).await;
        anna.sound.hears_nothing("while anna holds", Duration::from_millis(300)).await;
        desk.redirect(&mut anna, "sendrecv", PATIENCE).await;
        both_hear(&format!("after anna's hold ({direction})"), &phone, &mut anna).await;
    }
    phone.press("5#");
    for key in ["5", "#"] {
        let told = events.until("a key", PATIENCE, |event| (event.name == "call.dtmf").then(|| event.data.clone()));
        assert_eq!(told.await["digit"], key);
    }
    both_hear("after the keys", &phone, &mut anna).await;
    for _round in ["first", "second"] {
        phone.hold(PATIENCE).await;
        phone.resume(PATIENCE).await;
        anna.sound.until_tone(HERTZ, PATIENCE).await;
    }
    let invites = tandem.metric("tandem_sip_requests_total", "method=\"INVITE\"").await;
    assert_eq!(invites, 1.0 + 4.0 + 4.0, "each hold and each return is a re-INVITE");

    phone.hang_up(PATIENCE).await;
    desk.is_hung_up(&anna, PATIENCE).await;
    phone.stop().await;
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}

/// Asserts that each party hears the other's tone and nothing else.
async fn both_hear(step: &str, phone: &Baresip, anna: &mut Line) {
    tokio::join!(anna.sound.until_tone(HERTZ, PATIENCE), async {
        // Audio from before the stream has settled is ignored.
        let (rate, heard) = phone.hears_next(Duration::from_millis(800), PATIENCE).await;
        let what = format!("{step}: baresip hears");
        sound::assert_tone(&what, &heard[heard.len() / 2..], rate, ANNA_HZ, LEVEL_DBFS, 1.0);
    });
}

/// Reasons for which a member loses the right to call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    Removed,
    Role,
    OwnPassword,
    OperatorsPassword,
    Key,
}

/// Asserts that a member's telephone is cut off at once: it cannot register and is not reached, while its running call continues.
async fn loses_the_telephone(tandem: &Tandem, api: &Api, stays: &mut Desk, loss: Loss) {
    let name = format!("{loss:?}").to_lowercase();
    let account = tandem.agent("acme", &name).await;
    let session = Api::sign_in(&tandem.http, &account.email, &account.password).await;
    let mut key = None;
    let token = match loss {
        Loss::Key => {
            // A member who registers a telephone for another may do what that one may.
            let roles = api.get("/api/rbac/roles").await;
            let admin = roles["roles"].as_array().expect("roles").iter().find(|role| role["role"] == "admin");
            let scopes = &admin.expect("admins")["permissions"];
            let request = json!({ "name": "kiosk", "scopes": scopes });
            let (status, made) = api.ask(Method::POST, "/api/api-keys", Some(request)).await;
            assert_eq!(status, StatusCode::CREATED, "{made}");
            key = Some(made["id"].clone());
            let kiosk = api.with_key(made["key"].as_str().expect("a key"));
            kiosk.post(&format!("/api/webrtc/token?agent={name}")).await
        }
        _ => session.post("/api/webrtc/token").await,
    };
    let password = token["password"].as_str().expect("a password").to_owned();
    let mut desk = Desk::start("127.0.0.1", tandem.sip(), &name).await;
    desk.register(&password, PATIENCE).await;
    let (mine, theirs) = tokio::join!(desk.call("stays", HERTZ, "", PATIENCE), async {
        let invite = stays.rings(PATIENCE).await;
        stays.answer(&invite, ANNA_HZ, PATIENCE).await
    });
    let (mut mine, mut theirs) = (mine.expect("answered"), theirs);

    let me = session.get("/api/users/me").await;
    let member = format!("/api/team/members/{}", me["id"].as_str().expect("an id"));
    let done = async |api: &Api, method: Method, path: &str, body: Option<Value>| {
        let (status, answer) = api.ask(method, path, body).await;
        assert!(status.is_success(), "{loss:?}: {status} {answer}");
    };
    match loss {
        Loss::Removed => {
            let answer = api.send(Method::DELETE, &member, None).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
        Loss::Role => done(api, Method::PATCH, &member, Some(json!({ "role": "viewer" }))).await,
        Loss::OwnPassword => {
            let change = json!({ "current": account.password, "new": "another long password" }).to_string();
            let answer = session.send(Method::POST, "/api/auth/password", Some(change)).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
        Loss::OperatorsPassword => drop(tandem.run_command(&["user", "password", "--email", &account.email]).await),
        Loss::Key => {
            let key = key.as_ref().and_then(Value::as_str).expect("an id");
            let answer = api.send(Method::DELETE, &format!("/api/api-keys/{key}"), None).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
    }
    let (status, answer) = desk.registers(&password, PATIENCE).await;
    assert_eq!(status, Some(403), "{loss:?}: {answer}");
    assert_eq!(desk.call("stays", HERTZ, "", PATIENCE).await.err(), Some(403), "{loss:?}");
    let unreached = stays.call(&name, ANNA_HZ, "", PATIENCE).await.err();
    assert!(matches!(unreached, Some(404 | 480)), "{loss:?}: {unreached:?}");
    hear_each_other((&mut mine, HERTZ), (&mut theirs, ANNA_HZ)).await;
    stays.hang_up(&mut theirs, PATIENCE).await;
    desk.is_hung_up(&mine, PATIENCE).await;
    if loss == Loss::OwnPassword {
        // A member who may still call gets a new telephone.
        let token = session.post("/api/webrtc/token").await;
        desk.register(token["password"].as_str().expect("a password"), PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_telephone_ends_new_calls_but_not_the_running_one() {
    let losses = [Loss::Removed, Loss::Role, Loss::OwnPassword, Loss::OperatorsPassword, Loss::Key];
    let routes = vec![
        ("removed", "agent:removed"),
        ("role", "agent:role"),
        ("ownpassword", "agent:ownpassword"),
        ("operatorspassword", "agent:operatorspassword"),
        ("key", "agent:key"),
        ("stays", "agent:stays"),
    ];
    let further = "[limits]\nconfiguration = \"off\"\n";
    // The address must not be this machine's own: calls from there would be a trunk's, and no password would be required.
    let trunks = vec![("carrier", vec!["127.0.0.2:5060".to_owned()])];
    let tandem = Tandem::start(&Setup { trunks, routes, further, ..Setup::default() }).await;
    let api = tandem.api("acme").await;
    let (mut stays, _) = Desk::of_agent(&tandem, "stays").await;
    for loss in losses {
        loses_the_telephone(&tandem, &api, &mut stays, loss).await;
    }
    let password = stays.password().expect("registered").to_owned();
    stays.register(&password, PATIENCE).await;
    tandem.stop().await;
}
