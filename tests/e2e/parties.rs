//! Real telephones as parties of every verb: baresip, linphone over TLS with encrypted media, and Firefox; two trunks.
//!
//! ```text
//! customer: a trunk's, baresip, linphone ── Tandem ── anna, ben (registered), carla (Firefox)
//! ```
//! Every party sends a distinct tone, so that the tests can check which parties hear each other, before, during and after a verb.

use std::net::SocketAddr;
use std::time::Duration;

use codecs::SampleRate;
use reqwest::Method;
use serde_json::{Value, json};
use tests::api::Api;
use tests::baresip::Baresip;
use tests::browser::Kind;
use tests::desk::{Desk, LEVEL_DBFS, Line, hear_each_other};
use tests::linphone::Linphone;
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tests::ports;
use tests::rtp::RtpEnd;
use tests::sipp::Sipp;
use tests::softphone::{Library, Softphone};
use tests::sound;
use tests::tandem::{Holdings, Setup, Tandem};
use tokio::time::Instant;

const CUSTOMER: &str = "+15550142";
/// Frequency of Carla's tone on any telephone, in Hz.
const CARLA_HZ: f32 = 1_000.0;
/// Frequency of the tone that a held party hears at intervals, in Hz.
const HOLD_HZ: f32 = 350.0;
const TONES: [f32; 4] = [CUSTOMER_HZ, ANNA_HZ, BEN_HZ, CARLA_HZ];
/// Level above which a tone counts as heard; the levels of telephones and browsers differ.
const HEARD_DBFS: f32 = -32.0;
/// Level below which a tone counts as not heard.
const SILENT_DBFS: f32 = -42.0;

/// A party whose received audio can be examined.
trait Ear {
    /// Records the next half second of received audio.
    async fn listen(&mut self) -> (SampleRate, Vec<i16>);
}

impl Ear for Line {
    async fn listen(&mut self) -> (SampleRate, Vec<i16>) {
        (SampleRate::HZ_8000, self.sound.hears(0.5, PATIENCE).await)
    }
}

impl Ear for Baresip {
    async fn listen(&mut self) -> (SampleRate, Vec<i16>) {
        self.hears_next(Duration::from_millis(500), PATIENCE).await
    }
}

impl Ear for Linphone {
    async fn listen(&mut self) -> (SampleRate, Vec<i16>) {
        self.hears(0.5, PATIENCE).await
    }
}

impl Ear for Softphone {
    async fn listen(&mut self) -> (SampleRate, Vec<i16>) {
        (SampleRate::HZ_48000, self.hear(0.5).await)
    }
}

/// Asserts that a party comes to hear these tones and no others.
async fn hears(what: &str, ear: &mut impl Ear, tones: &[f32]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (rate, heard) = ear.listen().await;
        let levels = TONES.map(|hertz| (hertz, sound::find(&heard, rate, hertz).tone_dbfs));
        let is_right = |(hertz, dbfs): &(f32, f32)| {
            if tones.contains(hertz) { *dbfs > HEARD_DBFS } else { *dbfs < SILENT_DBFS }
        };
        if levels.iter().all(is_right) {
            return;
        }
        assert!(Instant::now() < until, "{what}: expected {tones:?} Hz only, heard (Hz, dBFS) {levels:?}");
    }
}

/// Waits until a party hears a tone at intervals, and none of the others.
async fn hears_at_times(what: &str, ear: &mut impl Ear, hertz: f32) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (rate, heard) = ear.listen().await;
        let stretches = heard.chunks_exact(rate.samples_in_ms(100));
        if stretches.map(|part| sound::find(part, rate, hertz).tone_dbfs).any(|dbfs| dbfs > SILENT_DBFS) {
            return;
        }
        assert!(Instant::now() < until, "{what}: no {hertz} Hz was heard");
    }
}

/// Runs a verb that must succeed, and returns its answer.
async fn done(api: &Api, method: Method, call: &str, path: &str, body: Value) -> Value {
    let body = (!body.is_null()).then_some(body);
    let (status, answer) = api.ask(method, &format!("/api/calls/{call}/{path}"), body).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

/// Waits until the leg at `peer` has answered, and returns its number.
async fn answered(office: &Office, call: &str, peer: &str) -> u64 {
    office.leg(call, peer, |leg| leg["state"] == "answered").await["leg"].as_u64().expect("a number")
}

/// API session of carla, who has no telephone yet.
async fn carla(office: &Office) -> Api {
    let account = office.tandem.member("acme", "carla", "admin").await;
    Api::sign_in(&office.tandem.http, &account.email, &account.password).await
}

/// Changes a supervisor from listening through all modes and back.
async fn changes_mode(
    office: &Office,
    call: &str,
    leg: u64,
    carla: &mut impl Ear,
    (customer, anna): (&mut Line, &mut Line),
) {
    for (mode, of_customer, of_anna) in [
        ("listen", &[ANNA_HZ][..], &[CUSTOMER_HZ][..]),
        ("whisper", &[ANNA_HZ], &[CUSTOMER_HZ, CARLA_HZ]),
        ("barge", &[ANNA_HZ, CARLA_HZ], &[CUSTOMER_HZ, CARLA_HZ]),
        ("listen", &[ANNA_HZ], &[CUSTOMER_HZ]),
    ] {
        done(&office.api, Method::PUT, call, &format!("supervise/{leg}"), json!({ "mode": mode })).await;
        let [of_carla, to_customer, to_anna] = ["carla", "the customer", "anna"].map(|who| format!("{who}, {mode}"));
        tokio::join!(
            hears(&of_carla, carla, &[CUSTOMER_HZ, ANNA_HZ]),
            hears(&to_customer, customer, of_customer),
            hears(&to_anna, anna, of_anna),
        );
    }
}

/// Takes a telephone that has called anna through every verb: in a conference with ben it is held, muted and sent keys; it ends up
/// with ben only.
async fn goes_through_every_verb<P: Ear>(
    scene: &mut Scene,
    phone: &mut P,
    anna: &mut Line,
    keys: impl AsyncFnOnce(&mut P, &str),
) {
    let api = scene.api.clone();
    let call = api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
    let shown = api.get(&format!("/api/calls/{call}")).await;
    let mut legs = shown["legs"].as_array().expect("legs").iter();
    let leg =
        legs.find(|leg| leg["role"] == "customer").expect("the telephone's leg")["leg"].as_u64().expect("a number");
    let post = async |verb: &str, body: Value| {
        done(&api, Method::POST, &call, &format!("legs/{leg}/{verb}"), body).await;
    };
    tokio::join!(hears("the phone, before", phone, &[ANNA_HZ]), hears("anna, before", anna, &[CARLA_HZ]));

    let added = done(&api, Method::POST, &call, "legs", json!({ "agent": "ben" })).await;
    let invite = scene.ben.rings(PATIENCE).await;
    let mut ben = scene.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    tokio::join!(
        hears("the phone, of three", phone, &[ANNA_HZ, BEN_HZ]),
        hears("anna, of three", anna, &[CARLA_HZ, BEN_HZ]),
        hears("ben, of three", &mut ben, &[CARLA_HZ, ANNA_HZ]),
    );
    post("hold", Value::Null).await;
    tokio::join!(
        hears("the phone, held", phone, &[]),
        hears("anna, the phone held", anna, &[BEN_HZ]),
        hears("ben, the phone held", &mut ben, &[ANNA_HZ]),
    );
    hears_at_times("the phone, held", phone, HOLD_HZ).await;
    post("resume", Value::Null).await;
    tokio::join!(
        hears("the phone, back", phone, &[ANNA_HZ, BEN_HZ]),
        hears("anna, the phone back", anna, &[CARLA_HZ, BEN_HZ]),
        hears("ben, the phone back", &mut ben, &[CARLA_HZ, ANNA_HZ]),
    );
    post("mute", Value::Null).await;
    tokio::join!(
        hears("the phone, muted", phone, &[ANNA_HZ, BEN_HZ]),
        hears("anna, the phone muted", anna, &[BEN_HZ]),
        hears("ben, the phone muted", &mut ben, &[ANNA_HZ]),
    );
    post("unmute", Value::Null).await;
    hears("anna, the phone not muted any more", anna, &[CARLA_HZ, BEN_HZ]).await;
    post("dtmf", json!({ "digits": "5*0#" })).await;
    keys(phone, "5*0#").await;

    done(&api, Method::DELETE, &call, &format!("legs/{}", added["leg"]), Value::Null).await;
    scene.ben.is_hung_up(&ben, PATIENCE).await;
    tokio::join!(hears("the phone, of two again", phone, &[ANNA_HZ]), hears("anna, of two again", anna, &[CARLA_HZ]));
    let to = format!("sip:ben@{}", scene.tandem.sip());
    scene.anna.refer(anna, &to, None, PATIENCE).await;
    let invite = scene.ben.rings(PATIENCE).await;
    let mut ben = scene.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    scene.anna.is_hung_up(anna, PATIENCE).await;
    tokio::join!(hears("the phone, transferred", phone, &[BEN_HZ]), hears("ben, after", &mut ben, &[CARLA_HZ]));
    scene.ben.hang_up(&mut ben, PATIENCE).await;
}

/// Takes a telephone that has called anna through the verbs by which it changes hands: consultation with ben, who takes the call
/// over, parks it and gets it back; and through every mode of supervision by anna.
async fn changes_hands<P: Ear>(scene: &mut Scene, phone: &mut P, anna: &mut Line) {
    let api = scene.api.clone();
    let call = api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
    let leg_at = async |is_it: &dyn Fn(&Value) -> bool| {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let until = Instant::now() + PATIENCE;
        loop {
            look.tick().await;
            let shown = api.get(&format!("/api/calls/{call}")).await;
            let mut legs = shown["legs"].as_array().expect("legs").iter();
            if let Some(leg) = legs.find(|leg| leg["state"] == "answered" && is_it(leg)) {
                return leg["leg"].as_u64().expect("a number");
            }
            assert!(Instant::now() < until, "the leg has not answered: {shown:#}");
        }
    };
    let of_phone = leg_at(&|leg| leg["role"] == "customer").await;
    let of_anna = leg_at(&|leg| leg["peer"] == "anna").await;

    done(&api, Method::POST, &call, &format!("legs/{of_phone}/hold"), Value::Null).await;
    done(&api, Method::POST, &call, "legs", json!({ "agent": "ben" })).await;
    let invite = scene.ben.rings(PATIENCE).await;
    let mut ben = scene.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    tokio::join!(
        hears("the phone waits", phone, &[]),
        hears("anna consults", anna, &[BEN_HZ]),
        hears("ben is consulted", &mut ben, &[ANNA_HZ]),
    );
    done(&api, Method::DELETE, &call, &format!("legs/{of_anna}"), Value::Null).await;
    scene.anna.is_hung_up(anna, PATIENCE).await;
    tokio::join!(hears("the phone, taken over", phone, &[BEN_HZ]), hears("ben, taking over", &mut ben, &[CARLA_HZ]));

    let of_ben = leg_at(&|leg| leg["peer"] == "ben").await;
    done(&api, Method::POST, &call, "park", json!({ "leg": of_ben, "slot": 5 })).await;
    scene.ben.is_hung_up(&ben, PATIENCE).await;
    hears("the phone, parked", phone, &[]).await;
    hears_at_times("the phone, parked", phone, HOLD_HZ).await;
    let (status, picked) = api.ask(Method::POST, "/api/parked/5/pickup", Some(json!({ "agent": "ben" }))).await;
    assert!(status.is_success(), "{status} {picked}");
    let invite = scene.ben.rings(PATIENCE).await;
    let mut ben = scene.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    tokio::join!(hears("the phone, picked up", phone, &[BEN_HZ]), hears("ben, picking up", &mut ben, &[CARLA_HZ]));

    done(&api, Method::POST, &call, "supervise", json!({ "mode": "listen", "agent": "anna" })).await;
    let invite = scene.anna.rings(PATIENCE).await;
    let mut anna = scene.anna.answer(&invite, ANNA_HZ, PATIENCE).await;
    let of_anna = leg_at(&|leg| leg["peer"] == "anna").await;
    for (mode, of_phone, of_ben) in [
        ("listen", &[BEN_HZ][..], &[CARLA_HZ][..]),
        ("whisper", &[BEN_HZ], &[CARLA_HZ, ANNA_HZ]),
        ("barge", &[BEN_HZ, ANNA_HZ], &[CARLA_HZ, ANNA_HZ]),
    ] {
        done(&api, Method::PUT, &call, &format!("supervise/{of_anna}"), json!({ "mode": mode })).await;
        let [of_the_phone, to_ben, to_anna] = ["the phone", "ben", "anna"].map(|who| format!("{who}, {mode}"));
        tokio::join!(
            hears(&of_the_phone, phone, of_phone),
            hears(&to_ben, &mut ben, of_ben),
            hears(&to_anna, &mut anna, &[CARLA_HZ, BEN_HZ]),
        );
    }
    scene.anna.hang_up(&mut anna, PATIENCE).await;
    tokio::join!(hears("the phone, alone with ben", phone, &[BEN_HZ]), hears("ben, alone", &mut ben, &[CARLA_HZ]));
    scene.ben.hang_up(&mut ben, PATIENCE).await;
}

/// A server, two agents, and a telephone that calls.
struct Scene {
    tandem: Tandem,
    api: Api,
    anna: Desk,
    ben: Desk,
    before: Holdings,
}

impl Scene {
    async fn open() -> Scene {
        let tandem =
            Tandem::start(&Setup { sip: vec!["udp:127.0.0.1:0", "tls:127.0.0.1:0"], ..Setup::default() }).await;
        let api = tandem.api("acme").await;
        let ((anna, _), (ben, _)) = (Desk::of_agent(&tandem, "anna").await, Desk::of_agent(&tandem, "ben").await);
        let before = tandem.holdings().await;
        Scene { tandem, api, anna, ben, before }
    }

    async fn answers(&mut self) -> Line {
        let invite = self.anna.rings(PATIENCE).await;
        self.anna.answer(&invite, ANNA_HZ, PATIENCE).await
    }

    async fn close(self) {
        self.tandem.gives_back(&self.before, PATIENCE).await;
        self.tandem.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_in_a_conference_is_held_muted_sent_keys_and_transferred() {
    let mut scene = Scene::open().await;
    let mut phone = Baresip::start("PCMU", CARLA_HZ as u32).await;
    let uri = format!("sip:100@{}", scene.tandem.sip());
    let ((), mut anna) = tokio::join!(phone.dial(&uri, PATIENCE), scene.answers());
    let keys = async |phone: &mut Baresip, keys: &str| phone.until_keys(keys, PATIENCE).await;
    goes_through_every_verb(&mut scene, &mut phone, &mut anna, keys).await;
    phone.stop().await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linphone_over_tls_in_a_conference_is_held_muted_sent_keys_and_transferred() {
    let mut scene = Scene::open().await;
    let mut phone = Linphone::start(CARLA_HZ, CARLA_HZ, LEVEL_DBFS).await;
    let uri = format!("sip:100@{};transport=tls", scene.tandem.sip[1]);
    let ((), mut anna) = tokio::join!(phone.dial(&uri, PATIENCE), scene.answers());
    let keys = async |phone: &mut Linphone, keys: &str| phone.until_keys(keys, PATIENCE).await;
    goes_through_every_verb(&mut scene, &mut phone, &mut anna, keys).await;
    phone.stop().await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_waits_for_a_consultation_is_parked_picked_up_and_supervised() {
    let mut scene = Scene::open().await;
    let mut phone = Baresip::start("PCMU", CARLA_HZ as u32).await;
    let uri = format!("sip:100@{}", scene.tandem.sip());
    let ((), mut anna) = tokio::join!(phone.dial(&uri, PATIENCE), scene.answers());
    changes_hands(&mut scene, &mut phone, &mut anna).await;
    phone.stop().await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linphone_over_tls_waits_for_a_consultation_is_parked_picked_up_and_supervised() {
    let mut scene = Scene::open().await;
    let mut phone = Linphone::start(CARLA_HZ, CARLA_HZ, LEVEL_DBFS).await;
    let uri = format!("sip:100@{};transport=tls", scene.tandem.sip[1]);
    let ((), mut anna) = tokio::join!(phone.dial(&uri, PATIENCE), scene.answers());
    changes_hands(&mut scene, &mut phone, &mut anna).await;
    phone.stop().await;
    scene.close().await;
}

/// Number of packets relayed within the next second, and number of bridged legs at its end.
async fn relayed(tandem: &Tandem) -> (f64, f64) {
    let name = "tandem_media_packets_relayed_total";
    let before = (Instant::now(), tandem.metric(name, "").await);
    let mut look = tokio::time::interval(Duration::from_millis(100));
    // The server updates its counters once a second, so the difference of two updates covers a whole second.
    let mut steps = Vec::new();
    let mut last = before.1;
    while steps.len() < 2 {
        look.tick().await;
        let now = tandem.metric(name, "").await;
        if now > last {
            steps.push((Instant::now(), now));
            last = now;
        }
        assert!(before.0.elapsed() < PATIENCE, "nothing is relayed");
    }
    let per_second = (steps[1].1 - steps[0].1) / (steps[1].0 - steps[0].0).as_secs_f64();
    (per_second, tandem.metric("tandem_media_bridged_legs", "").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_in_firefox_listens_while_the_call_stays_relayed_and_barges_in() {
    let mut office = Office::open().await;
    let session = carla(&office).await;
    let token = session.post("/api/webrtc/token").await;
    let mut phone =
        Softphone::start(Kind::Firefox, Library::SipJs, &office.tandem.http, token, CARLA_HZ, LEVEL_DBFS).await;
    phone.becomes("registered", PATIENCE).await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let without = relayed(&office.tandem).await;
    done(&office.api, Method::POST, &call, "supervise", json!({ "mode": "listen", "agent": "carla" })).await;
    phone.becomes("incoming", PATIENCE).await;
    phone.does("answer", Value::Null).await;
    phone.becomes("active", PATIENCE).await;
    let leg = answered(&office, &call, "carla").await;
    hears("carla, listening", &mut phone, &[CUSTOMER_HZ, ANNA_HZ]).await;
    let with = relayed(&office.tandem).await;
    for (per_second, bridged) in [without, with] {
        // Two streams of 50 packets a second.
        assert!((80.0..120.0).contains(&per_second), "relayed a second: {without:?} without, {with:?} with a listener");
        assert_eq!(bridged, 2.0, "{without:?} without, {with:?} with a listener");
    }
    changes_mode(&office, &call, leg, &mut phone, (&mut customer, &mut anna)).await;
    let after = relayed(&office.tandem).await;
    assert!((80.0..120.0).contains(&after.0) && after.1 == 2.0, "listening again, it is relayed again: {after:?}");
    phone.does("hangUp", Value::Null).await;
    phone.becomes("registered", PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    phone.close().await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_as_a_carrier_receives_keys_as_telephone_events() {
    let port = ports::free();
    let tandem = Tandem::start(&Setup::to_callees(port)).await;
    let api = tandem.api("acme").await;
    let before = tandem.holdings().await;
    let end = RtpEnd::bind().await;
    let callee = SocketAddr::from(([127, 0, 0, 1], port));
    let carrier = Sipp::awaits("callee_hears_keys", callee, end.port(), 1).await;
    let body = json!({ "mode": "direct", "to": CUSTOMER, "app": "tone" });
    let (status, made) = api.ask(Method::POST, "/api/calls", Some(body)).await;
    assert!(status.is_success(), "{status} {made}");
    let call = made["id"].as_str().expect("an id").to_owned();
    api.call_becomes("bridged", PATIENCE).await;
    let shown = api.get(&format!("/api/calls/{call}")).await;
    let leg = &shown["legs"][0]["leg"];
    let (path, keys) = (format!("legs/{leg}/dtmf"), json!({ "digits": "5*,0#D9" }));
    let (came, _) = tokio::join!(end.keys(101, 6, PATIENCE), done(&api, Method::POST, &call, &path, keys));
    assert_eq!(came, "5*0#D9");
    done(&api, Method::POST, &call, "hangup", Value::Null).await;
    carrier.succeeds(PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}

/// A server with two trunks, and the parties behind them.
struct Trunks {
    tandem: Tandem,
    api: Api,
    anna: Desk,
    customer: Desk,
    expert: Desk,
}

/// Number of the expert, on the second trunk.
const EXPERT: &str = "+34910000100";

impl Trunks {
    async fn open() -> Trunks {
        let [first, second] = [2, 3].map(|host| SocketAddr::from(([127, 0, 0, host], ports::free())));
        let tandem = Tandem::start(&Setup {
            trunks: vec![("first", vec![first.to_string()]), ("second", vec![second.to_string()])],
            routes: vec![("+1555*", "trunk:first"), ("+34*", "trunk:second"), ("100", "agent:anna")],
            further: "[dial]\nallow = [\"+1555\", \"+34\"]\n",
            ..Setup::default()
        })
        .await;
        let api = tandem.api("acme").await;
        let (anna, _) = Desk::of_agent(&tandem, "anna").await;
        let customer = Desk::start_at(first, tandem.sip(), CUSTOMER).await;
        let expert = Desk::start_at(second, tandem.sip(), EXPERT).await;
        Trunks { tandem, api, anna, customer, expert }
    }

    /// Lets the customer call through the first trunk and anna answer.
    async fn talk(&mut self) -> (Line, Line) {
        let (customer, mut anna) = tokio::join!(self.customer.call("100", CUSTOMER_HZ, "", PATIENCE), async {
            let invite = self.anna.rings(PATIENCE).await;
            self.anna.answer(&invite, ANNA_HZ, PATIENCE).await
        });
        let mut customer = customer.expect("anna answered");
        hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
        (customer, anna)
    }

    /// Anna joins her two calls by REFER with Replaces. Customer and expert talk without her, and the customer hangs up.
    async fn join(&mut self, (mut anna, consults): (Line, Line), (mut customer, mut expert): (Line, Line)) {
        let to = format!("sip:{EXPERT}@{}", self.tandem.sip());
        self.anna.refer(&mut anna, &to, Some(&consults), PATIENCE).await;
        assert_eq!(self.anna.notified(&anna, PATIENCE).await, [100, 200]);
        hear_each_other((&mut customer, CUSTOMER_HZ), (&mut expert, BEN_HZ)).await;
        self.anna.is_hung_up(&consults, PATIENCE).await;
        self.anna.is_hung_up(&anna, PATIENCE).await;
        self.customer.hang_up(&mut customer, PATIENCE).await;
        self.expert.is_hung_up(&expert, PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_consults_over_two_trunks_by_the_api_and_transfers_the_customer() {
    let mut office = Trunks::open().await;
    let before = office.tandem.holdings().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
    let shown = office.api.get(&format!("/api/calls/{call}")).await;
    let leg_of = |role: &str| {
        let mut legs = shown["legs"].as_array().expect("legs").iter();
        legs.find(|leg| leg["role"] == role).expect("a leg")["leg"].as_u64().expect("a number")
    };
    let (of_customer, of_anna) = (leg_of("customer"), leg_of("agent"));
    done(&office.api, Method::POST, &call, &format!("legs/{of_customer}/hold"), Value::Null).await;
    // A plain number would be routed to the first trunk.
    let to = format!("sip:{EXPERT}@{}", office.expert.address());
    done(&office.api, Method::POST, &call, "legs", json!({ "to": to, "ring_s": 20 })).await;
    let invite = office.expert.rings(PATIENCE).await;
    assert!(invite.starts_with(&format!("INVITE sip:{EXPERT}@")), "{invite}");
    let mut expert = office.expert.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut anna, ANNA_HZ), (&mut expert, BEN_HZ)).await;
    hears("the customer waits", &mut customer, &[]).await;
    done(&office.api, Method::DELETE, &call, &format!("legs/{of_anna}"), Value::Null).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut expert, BEN_HZ)).await;
    office.expert.hang_up(&mut expert, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.tandem.gives_back(&before, PATIENCE).await;
    office.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telephone_joins_parties_on_two_trunks_by_refer_with_replaces() {
    let mut office = Trunks::open().await;
    let before = office.tandem.holdings().await;
    let (mut customer, mut anna) = office.talk().await;
    office.anna.redirect(&mut anna, "sendonly", PATIENCE).await;
    let (consults, mut expert) = tokio::join!(office.anna.call(EXPERT, ANNA_HZ, "", PATIENCE), async {
        let invite = office.expert.rings(PATIENCE).await;
        office.expert.answer(&invite, BEN_HZ, PATIENCE).await
    });
    let mut consults = consults.expect("the expert answered");
    hear_each_other((&mut consults, ANNA_HZ), (&mut expert, BEN_HZ)).await;
    hears("the customer waits", &mut customer, &[ANNA_HZ]).await;
    office.join((anna, consults), (customer, expert)).await;
    office.tandem.gives_back(&before, PATIENCE).await;
    let calls = office.api.get("/api/calls").await;
    let mut ends: Vec<&str> =
        calls["calls"].as_array().expect("a list").iter().filter_map(|call| call["ended_reason"].as_str()).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["normal", "transferred"], "{calls}");
    office.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telephone_joins_calls_of_two_media_threads_by_refer_with_replaces() {
    let mut office = Trunks::open().await;
    let before = office.tandem.holdings().await;
    let (customer, mut anna) = office.talk().await;
    office.anna.redirect(&mut anna, "sendonly", PATIENCE).await;
    // A call between numbers is assigned to the thread with fewer legs; anna is added on that thread.
    let [first, second] = [EXPERT, "+34910000101"].map(|number| json!({ "to": number, "trunk": "second" }));
    let (status, made) =
        office.api.ask(Method::POST, "/api/calls", Some(json!({ "first": first, "second": second }))).await;
    assert!(status.is_success(), "{status} {made}");
    let call = made["id"].as_str().expect("an id").to_owned();
    let invite = office.expert.rings(PATIENCE).await;
    let mut expert = office.expert.answer(&invite, BEN_HZ, PATIENCE).await;
    let invite = office.expert.rings(PATIENCE).await;
    let mut colleague = office.expert.answer(&invite, CARLA_HZ, PATIENCE).await;
    hear_each_other((&mut expert, BEN_HZ), (&mut colleague, CARLA_HZ)).await;
    let (_, mut consults) =
        tokio::join!(done(&office.api, Method::POST, &call, "legs", json!({ "agent": "anna" })), async {
            let invite = office.anna.rings(PATIENCE).await;
            office.anna.answer(&invite, ANNA_HZ, PATIENCE).await
        });
    office.expert.hang_up(&mut colleague, PATIENCE).await;
    hear_each_other((&mut consults, ANNA_HZ), (&mut expert, BEN_HZ)).await;
    for worker in ["0", "1"] {
        office.tandem.becomes("tandem_media_legs", &format!("worker={worker:?}"), 2.0, PATIENCE).await;
    }
    office.join((anna, consults), (customer, expert)).await;
    office.tandem.gives_back(&before, PATIENCE).await;
    office.tandem.stop().await;
}
