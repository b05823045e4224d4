//! JsSIP and SIP.js as published, in Chromium and in Firefox: every step is verified by tones in both directions, including a
//! reload of the page during a call.

use std::time::{Duration, Instant};

use codecs::SampleRate;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use serde_json::{Value, json};
use tests::browser::Kind;
use tests::ears::FarEnd;
use tests::softphone::{Library, Softphone};
use tests::sound;
use tests::tandem::{Holdings, Setup, Tandem};

/// Frequency of the phone's microphone, in Hz.
const HERTZ: f32 = 440.0;
const DBFS: f32 = -12.0;
/// Frequency of the customer's tone, in Hz.
const FAR_HERTZ: f32 = 1_000.0;
const FAR_DBFS: f32 = -15.0;
/// Tolerance of a level in dB, because Opus does not preserve levels exactly.
const TOLERANCE_DB: f32 = 1.5;
const PATIENCE: Duration = Duration::from_secs(10);
/// Promised maximum time until a reloaded page has its call back.
const BACK: Duration = Duration::from_secs(5);
/// Upper limit of silence through codecs and comfort noise.
const SILENCE_DBFS: f32 = -55.0;
const RATE: SampleRate = SampleRate::HZ_48000;
/// Level of Firefox's built-in tone, in dBFS.
const FIREFOX_DBFS: f32 = -20.0;

/// Duration of one clip of the customer's: the phone begins to record within the first second.
const CLIP_S: f32 = 2.0;
/// Maximum number of attempts to hear a tone: a machine with other work delays calls by some frames.
const LISTENS: u64 = 3;

/// Asserts that the phone hears a tone.
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

/// Asserts that a tone passes in each direction, one after the other.
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
        far.party.say(clip, SampleRate::HZ_8000, &voice).expect("a clip to send");
        let heard = phone.hear(0.6).await;
        far.until(PATIENCE, |noticed| *noticed == Noticed::Said(clip)).await;
        if sound::find(&heard, RATE, FAR_HERTZ).is_tone(FAR_HERTZ, FAR_DBFS, TOLERANCE_DB) {
            return;
        }
        let what = format!("{step}: the customer in the phone");
        assert!(clip < LISTENS, "{what}: {:?}", sound::find(&heard, RATE, FAR_HERTZ));
    }
}

/// Holds and resumes twice, and asserts that nothing is heard while on hold.
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

/// A registered phone with its server.
struct Scene {
    tandem: Tandem,
    phone: Softphone,
    domain: String,
    before: Holdings,
    /// Level of its microphone, in dBFS.
    dbfs: f32,
}

impl Scene {
    async fn open(kind: Kind, library: Library) -> Scene {
        let dbfs = if kind == Kind::Firefox { FIREFOX_DBFS } else { DBFS };
        let tandem = Tandem::start(&Setup::default()).await;
        let api = tandem.api("Home").await;
        tandem.agent("Home", "anna").await;
        let token = api.post("/api/webrtc/token?agent=anna").await;
        let domain = token["sip_uri"].as_str().and_then(|uri| uri.split_once('@')).expect("an address").1.to_owned();
        let mut phone = Softphone::start(kind, library, &tandem.http, token, HERTZ, DBFS).await;
        phone.becomes("registered", PATIENCE).await;
        let before = tandem.holdings().await;
        Scene { tandem, phone, domain, before, dbfs }
    }

    async fn close(self) {
        self.phone.close().await;
        self.tandem.stop().await;
    }
}

/// Calls the echo and asserts that the phone hears its own tone, also after each of two holds.
async fn a_phone_calls(kind: Kind, library: Library) {
    let mut scene = Scene::open(kind, library).await;
    scene.phone.does("call", json!(format!("sip:echo@{}", scene.domain))).await;
    scene.phone.becomes("active", PATIENCE).await;
    phone_hears("calling: the echo", &mut scene.phone, HERTZ, scene.dbfs).await;
    for round in ["first", "second"] {
        scene.phone.does("hold", Value::Null).await;
        scene.phone.becomes("held", PATIENCE).await;
        scene.phone.does("unhold", Value::Null).await;
        scene.phone.becomes("active", PATIENCE).await;
        let heard = scene.phone.hear(0.6).await;
        sound::assert_tone(
            &format!("calling, after the {round} hold: the echo"),
            &heard,
            RATE,
            HERTZ,
            scene.dbfs,
            TOLERANCE_DB,
        );
    }
    scene.phone.does("hangUp", Value::Null).await;
    scene.phone.becomes("registered", PATIENCE).await;
    scene.tandem.gives_back(&scene.before, PATIENCE).await;
    scene.close().await;
}

/// Lets a customer call; then two holds, a reload of the page, and keys.
async fn a_phone_is_called(kind: Kind, library: Library) {
    let mut scene = Scene::open(kind, library).await;
    let mut far = FarEnd::start(scene.tandem.sip(), vec![Codec::Pcmu]).await;
    far.party.call("+34910000001", "+15550001").expect("a call placed");
    scene.phone.becomes("incoming", PATIENCE).await;
    scene.phone.does("answer", Value::Null).await;
    far.until(PATIENCE, |noticed| *noticed == Noticed::Answered).await;
    scene.phone.becomes("active", PATIENCE).await;
    both_hear("called", &mut scene.phone, &mut far, scene.dbfs).await;
    hold_and_unhold(&mut scene.phone, &mut far, scene.dbfs).await;
    let begun = Instant::now();
    scene.phone.reload(PATIENCE).await;
    let took = begun.elapsed();
    println!("the phone had its call back {took:?} after its page was reloaded");
    assert!(took <= BACK, "the phone had its call back after {took:?}");
    both_hear("after the reload", &mut scene.phone, &mut far, scene.dbfs).await;
    for key in ["5", "0", "#", "*"] {
        scene.phone.does("press", json!(key)).await;
        far.until_keys(key, PATIENCE).await;
    }
    assert_eq!(far.keys, "50#*");
    both_hear("after the keys", &mut scene.phone, &mut far, scene.dbfs).await;
    far.party.hang_up();
    scene.phone.becomes("registered", PATIENCE).await;
    scene.tandem.gives_back(&scene.before, PATIENCE).await;
    far.party.stop().await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jssip_in_chromium_calls_and_holds() {
    a_phone_calls(Kind::Chromium, Library::JsSip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jssip_in_chromium_is_called_holds_is_reloaded_and_presses_keys() {
    a_phone_is_called(Kind::Chromium, Library::JsSip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: each library and each browser is in one of the others; make soak runs all of them"]
async fn jssip_in_firefox_calls_and_holds() {
    a_phone_calls(Kind::Firefox, Library::JsSip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: each library and each browser is in one of the others; make soak runs all of them"]
async fn jssip_in_firefox_is_called_holds_is_reloaded_and_presses_keys() {
    a_phone_is_called(Kind::Firefox, Library::JsSip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: each library and each browser is in one of the others; make soak runs all of them"]
async fn sipjs_in_chromium_calls_and_holds() {
    a_phone_calls(Kind::Chromium, Library::SipJs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: each library and each browser is in one of the others; make soak runs all of them"]
async fn sipjs_in_chromium_is_called_holds_is_reloaded_and_presses_keys() {
    a_phone_is_called(Kind::Chromium, Library::SipJs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipjs_in_firefox_calls_and_holds() {
    a_phone_calls(Kind::Firefox, Library::SipJs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipjs_in_firefox_is_called_holds_is_reloaded_and_presses_keys() {
    a_phone_is_called(Kind::Firefox, Library::SipJs).await;
}
