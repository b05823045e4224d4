//! JsSIP and SIP.js as their makers ship them, in Chromium and in Firefox: every step is proven by tones in both directions.

use std::time::Duration;

use codecs::SampleRate;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use serde_json::{Value, json};
use tests::browser::Kind;
use tests::ears::FarEnd;
use tests::softphone::{Library, Softphone};
use tests::sound;
use tests::tandem::{Setup, Tandem};

/// The phone's microphone.
const HERTZ: f32 = 440.0;
const DBFS: f32 = -12.0;
/// The customer's voice.
const FAR_HERTZ: f32 = 1_000.0;
const FAR_DBFS: f32 = -15.0;
/// Opus is not a measuring instrument.
const TOLERANCE_DB: f32 = 1.5;
const PATIENCE: Duration = Duration::from_secs(10);
/// Silence through codecs and comfort noise.
const SILENCE_DBFS: f32 = -55.0;
const RATE: SampleRate = SampleRate::HZ_48000;
/// How loud Firefox's own tone is: its makers chose.
const FIREFOX_DBFS: f32 = -20.0;

/// One clip of the customer's: the phone starts its ear within the first second.
const CLIP_S: f32 = 2.0;
/// How often is listened for a tone at most: a machine with other work holds calls up for some frames.
const LISTENS: u64 = 3;

/// The phone hears a tone.
async fn phone_hears(what: &str, phone: &mut Softphone, hertz: f32, dbfs: f32) {
    let mut heard = phone.hear(0.6).await;
    for _again in 1..LISTENS {
        if sound::find(&heard, RATE, hertz).is_tone(hertz, dbfs, TOLERANCE_DB) {
            return;
        }
        heard = phone.hear(0.6).await;
    }
    sound::assert_tone(what, &heard, RATE, hertz, dbfs, TOLERANCE_DB);
}

/// A tone in each direction, one after the other.
async fn both_hear(step: &str, phone: &mut Softphone, far: &mut FarEnd, dbfs: f32) {
    let (mut rate, mut heard) = far.hear_samples(0.6, 0.6).await;
    for _again in 1..LISTENS {
        if sound::find(&heard, rate, HERTZ).is_tone(HERTZ, dbfs, TOLERANCE_DB) {
            break;
        }
        (rate, heard) = far.hear_samples(0.6, 0.6).await;
    }
    sound::assert_tone(&format!("{step}: the phone's tone at the customer"), &heard, rate, HERTZ, dbfs, TOLERANCE_DB);
    let voice = sound::tone(SampleRate::HZ_8000, FAR_HERTZ, FAR_DBFS, CLIP_S);
    for clip in 1..=LISTENS {
        far.party.say(clip, SampleRate::HZ_8000, &voice).expect("a clip to say");
        let heard = phone.hear(0.6).await;
        far.until(PATIENCE, |noticed| *noticed == Noticed::Said(clip)).await;
        if sound::find(&heard, RATE, FAR_HERTZ).is_tone(FAR_HERTZ, FAR_DBFS, TOLERANCE_DB) {
            return;
        }
        let what = format!("{step}: the customer in the phone");
        assert!(clip < LISTENS, "{what}: {:?}", sound::find(&heard, RATE, FAR_HERTZ));
    }
}

/// Twice, and nothing is heard meanwhile.
async fn hold_and_unhold(phone: &mut Softphone, far: &mut FarEnd, dbfs: f32) {
    for round in ["first", "second"] {
        phone.does("hold", Value::Null).await;
        phone.becomes("held", PATIENCE).await;
        let (rate, heard) = far.hear_samples(0.6, 0.4).await;
        let found = sound::find(&heard, rate, HERTZ);
        assert!(found.total_dbfs < SILENCE_DBFS, "{round} hold: the customer hears {found:?}");
        phone.does("unhold", Value::Null).await;
        phone.becomes("active", PATIENCE).await;
        both_hear(&format!("after the {round} hold"), phone, far, dbfs).await;
    }
}

async fn a_phone_is_used(kind: Kind, library: Library) {
    let dbfs = if kind == Kind::Firefox { FIREFOX_DBFS } else { DBFS };
    let tandem = Tandem::start(&Setup::default()).await;
    let api = tandem.api("Home").await;
    tandem.agent("Home", "anna").await;
    let token = api.get("/api/webrtc/token?agent=anna").await;
    let domain = token["sip_uri"].as_str().and_then(|uri| uri.split_once('@')).expect("an address").1.to_owned();
    let mut phone = Softphone::start(kind, library, &tandem.http, token, HERTZ, DBFS).await;
    phone.becomes("registered", PATIENCE).await;
    let before = tandem.holdings().await;

    // It calls: its own tone comes back.
    phone.does("call", json!(format!("sip:echo@{domain}"))).await;
    phone.becomes("active", PATIENCE).await;
    phone_hears("calling: the echo", &mut phone, HERTZ, dbfs).await;
    for round in ["first", "second"] {
        phone.does("hold", Value::Null).await;
        phone.becomes("held", PATIENCE).await;
        phone.does("unhold", Value::Null).await;
        phone.becomes("active", PATIENCE).await;
        let heard = phone.hear(0.6).await;
        sound::assert_tone(
            &format!("calling, after the {round} hold: the echo"),
            &heard,
            RATE,
            HERTZ,
            dbfs,
            TOLERANCE_DB,
        );
    }
    phone.does("hangUp", Value::Null).await;
    phone.becomes("registered", PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    // It is called.
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.party.call("+34910000001", "+15550001").expect("a call placed");
    phone.becomes("incoming", PATIENCE).await;
    phone.does("answer", Value::Null).await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Answered).await;
    phone.becomes("active", PATIENCE).await;
    both_hear("called", &mut phone, &mut far, dbfs).await;
    hold_and_unhold(&mut phone, &mut far, dbfs).await;
    for key in ["5", "0", "#", "*"] {
        phone.does("press", json!(key)).await;
        far.until_keys(key, PATIENCE).await;
    }
    assert_eq!(far.keys, "50#*");
    both_hear("after the keys", &mut phone, &mut far, dbfs).await;
    far.party.hang_up();
    phone.becomes("registered", PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    far.party.stop().await;
    phone.close().await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jssip_in_chromium_calls_holds_and_presses_keys() {
    a_phone_is_used(Kind::Chromium, Library::JsSip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: each library and each browser is in one of the others; make soak runs all four"]
async fn sipjs_in_chromium_calls_holds_and_presses_keys() {
    a_phone_is_used(Kind::Chromium, Library::SipJs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: each library and each browser is in one of the others; make soak runs all four"]
async fn jssip_in_firefox_calls_holds_and_presses_keys() {
    a_phone_is_used(Kind::Firefox, Library::JsSip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipjs_in_firefox_calls_holds_and_presses_keys() {
    a_phone_is_used(Kind::Firefox, Library::SipJs).await;
}
