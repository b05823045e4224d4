//! linphone over TLS with encrypted media: holds from both ends, keys in both forms; tones in both directions are checked after
//! every step.

use std::time::Duration;

use tests::api::{Events, SentEvent};
use tests::desk::{Desk, LEVEL_DBFS, Line};
use tests::linphone::Linphone;
use tests::sound;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);
const LINPHONE_HZ: f32 = 440.0;
/// Frequency of its music on hold, in Hz.
const HELD_HZ: f32 = 330.0;
const ANNA_HZ: f32 = 600.0;

/// Asserts that each party hears the other's tone and nothing else.
async fn both_hear(step: &str, phone: &mut Linphone, anna: &mut Line) {
    tokio::join!(anna.sound.until_tone(LINPHONE_HZ, PATIENCE), async {
        // Audio from before the stream has settled is ignored.
        let (rate, heard) = phone.hears(0.8, PATIENCE).await;
        let what = format!("{step}: linphone hears");
        sound::assert_tone(&what, &heard[heard.len() / 2..], rate, ANNA_HZ, LEVEL_DBFS, 1.0);
    });
}

/// Waits until events report these keys, in this order.
async fn keys_are_told(events: &mut Events, keys: &str) {
    for key in keys.chars() {
        let digit =
            |event: &SentEvent| (event.name == "call.dtmf").then(|| event.data["digit"].as_str().map(str::to_owned));
        let told = events.until("a key", PATIENCE, digit).await;
        assert_eq!(told, Some(key.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linphone_over_tls_with_srtp_holds_is_held_and_presses_keys() {
    let tandem = Tandem::start(&Setup { sip: vec!["udp:127.0.0.1:0", "tls:127.0.0.1:0"], ..Setup::default() }).await;
    let (mut desk, session) = Desk::of_agent(&tandem, "anna").await;
    let before = tandem.holdings().await;
    let mut events = session.events("/api/events", None).await;

    let mut phone = Linphone::start(LINPHONE_HZ, HELD_HZ, LEVEL_DBFS).await;
    let uri = format!("sip:100@{};transport=tls", tandem.sip[1]);
    let ((), mut anna) = tokio::join!(phone.dial(&uri, PATIENCE), async {
        let invite = desk.rings(PATIENCE).await;
        desk.answer(&invite, ANNA_HZ, PATIENCE).await
    });
    both_hear("at first", &mut phone, &mut anna).await;
    for round in ["first", "second"] {
        phone.hold(PATIENCE).await;
        anna.sound.until_tone(HELD_HZ, PATIENCE).await;
        phone.resume(PATIENCE).await;
        both_hear(&format!("after linphone's {round} hold"), &mut phone, &mut anna).await;
    }
    for direction in ["sendonly", "inactive"] {
        desk.redirect(&mut anna, direction, PATIENCE).await;
        anna.sound.hears_nothing("while anna holds", Duration::from_millis(300)).await;
        desk.redirect(&mut anna, "sendrecv", PATIENCE).await;
        both_hear(&format!("after anna's hold ({direction})"), &mut phone, &mut anna).await;
    }
    let invites = tandem.metric("tandem_sip_requests_total", "method=\"INVITE\"").await;
    assert_eq!(invites, 1.0 + 4.0 + 4.0, "each hold and each return is a re-INVITE");

    phone.press("5");
    keys_are_told(&mut events, "5").await;
    assert_eq!(tandem.metric("tandem_sip_requests_total", "method=\"INFO\"").await, 0.0, "telephone-events");
    phone.press_by_info();
    phone.press("9");
    keys_are_told(&mut events, "9").await;
    assert_eq!(tandem.metric("tandem_sip_requests_total", "method=\"INFO\"").await, 1.0);

    phone.hang_up(PATIENCE).await;
    desk.is_hung_up(&anna, PATIENCE).await;
    phone.stop().await;
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}
