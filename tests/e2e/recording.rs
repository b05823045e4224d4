//! Recordings: both channels share one clock, and files are readable whatever happens to the process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use media_engine::sdp::Codec;
use reqwest::Method;
use serde_json::{Value, json};
use tests::desk::{Desk, LEVEL_DBFS};
use tests::ears::FarEnd;
use tests::ports;
use tests::rtp::RtpEnd;
use tests::sipp::Sipp;
use tests::sound;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);
/// PCMU code of silence.
const SILENT: u8 = 0xff;
const LOUD: u8 = 0x80;
/// Number of packets between two clicks, which are recorded in both channels.
const PERIOD: usize = 25;
const CLICKS: usize = 6;

/// A packet of silence, or one that begins with two milliseconds of full scale. The first second has no clicks: until the stream's
/// minimum delay is known, the time at which its packets were spoken cannot be determined.
fn payload(n: usize) -> Vec<u8> {
    let mut payload = vec![SILENT; 160];
    if n >= 50 && n % PERIOD == PERIOD / 2 {
        payload[..16].fill(LOUD);
    }
    payload
}

/// Sample positions at which a click begins.
fn clicks(samples: &[i16]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    for (n, sample) in samples.iter().enumerate() {
        if sample.unsigned_abs() > 12_000 && found.last().is_none_or(|last| n > last + 800) {
            found.push(n);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_speech_is_simultaneous_in_both_recorded_channels() {
    let callee_port = ports::free();
    let tandem = Tandem::start(&Setup {
        trunks: vec![("callees", vec![format!("127.0.0.1:{callee_port}")])],
        routes: vec![("*", "trunk:callees")],
        ..Setup::default()
    })
    .await;
    let api = tandem.api("Home").await;
    api.voice_config(json!({ "record": true })).await;

    let (customer, agent) = (RtpEnd::bind().await, RtpEnd::bind().await);
    let callee = Sipp::callee(callee_port, agent.port()).await;
    let hold = Duration::from_secs(6);
    let caller = Sipp::caller(tandem.sip(), &[("+15550001".into(), customer.port())], 1, hold);
    let (_, to_customer_leg) = caller.next_answered(0, PATIENCE).await;
    let (to_agent_leg, before) = agent.peer(PATIENCE, &customer, to_customer_leg).await;
    // Both packets are sent at the same moment by the same task.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for n in 0..50 + PERIOD * CLICKS {
        pace.tick().await;
        customer.send(to_customer_leg, before + n, &payload(n)).await;
        agent.send(to_agent_leg, before + n, &payload(n)).await;
    }
    caller.succeeds(PATIENCE).await;
    callee.succeeds(PATIENCE).await;

    let call = api.call_becomes("ended", PATIENCE).await;
    let id = call["id"].as_str().expect("an id");
    let detail = api.get(&format!("/api/calls/{id}")).await;
    assert_eq!(detail["recording"]["state"], "finished", "{detail}");
    let file = recording(&tandem.data());
    let (rate, channels) = sound::read_wav(&file).expect("a finished WAV file");
    assert_eq!(channels.len(), 2, "customer and agent");
    let (first, second) = (clicks(&channels[0]), clicks(&channels[1]));
    assert_eq!((first.len(), second.len()), (CLICKS, CLICKS), "clicks in each channel: {first:?} {second:?}");
    let apart_ms: Vec<f64> =
        first.iter().zip(&second).map(|(a, b)| a.abs_diff(*b) as f64 * 1_000.0 / f64::from(rate.hz())).collect();
    println!("clicks in the two channels lie apart by {apart_ms:.2?} ms");
    assert!(apart_ms.iter().all(|&ms| ms <= 5.0), "channels apart by {apart_ms:.2?} ms");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_a_readable_recording_and_its_database_row() {
    let setup = Setup::default();
    let tandem = Tandem::start(&setup).await;
    let api = tandem.api("Home").await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "record", PATIENCE).await;
    let rate = codecs::SampleRate::HZ_8000;
    far.party.say(1, rate, &sound::tone(rate, 440.0, -12.0, 10.0)).expect("a clip to send");
    api.call_becomes("bridged", PATIENCE).await;

    // By its size, the file contains three seconds of two channels of 16 bits.
    let flushed = 3 * rate.hz() as usize;
    let file = grows(&tandem.data(), 44 + flushed * 4).await;
    let name = file.file_name().expect("a name").to_owned();
    let folder = tandem.kill().await;
    far.party.stop().await;

    let file = folder.path().join("data/recordings").join(name);
    let (rate, channels) = sound::read_wav(&file).expect("a readable WAV file after SIGKILL");
    assert_eq!(channels.len(), 2);
    // Unflushed audio may be lost: at most the last second.
    let least = flushed - rate.hz() as usize;
    assert!(channels[0].len() >= least, "{} samples of at least {least}", channels[0].len());
    let middle = &channels[0][channels[0].len() / 2..channels[0].len() / 2 + 4_000];
    sound::assert_tone("the recording that was cut off", middle, rate, 440.0, -12.0, 1.0);

    let tandem = Tandem::start_in(folder, &setup).await;
    let api = tandem.api("Home").await;
    let call = api.newest_call().await.expect("the call's row");
    let detail = api.get(&format!("/api/calls/{}", call["id"].as_str().expect("an id"))).await;
    assert_eq!((&detail["status"], &detail["ended_reason"]), (&json!("ended"), &json!("crash")), "{detail}");
    assert_eq!(detail["recording"]["state"], "interrupted", "{detail}");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recording_application_records_nothing_where_recording_is_disabled() {
    let tandem = Tandem::start(&Setup::default()).await;
    let api = tandem.api("Home").await;
    let (status, _) = api.ask(Method::PUT, "/api/call-capabilities", Some(json!({ "record": false }))).await;
    assert_eq!(status, 200);
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "record", PATIENCE).await;
    api.call_becomes("bridged", PATIENCE).await;
    far.hear(0.0, 1.0).await;
    far.party.stop().await;
    let call = api.call_becomes("ended", PATIENCE).await;
    let detail = api.get(&format!("/api/calls/{}", call["id"].as_str().expect("an id"))).await;
    assert_eq!(detail["recording"], Value::Null, "{detail}");
    assert_eq!(find(&tandem.data()), None, "a file was written");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_of_a_carrier_before_it_refuses_a_direct_call_is_recorded() {
    let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..Setup::default()
    })
    .await;
    let api = tandem.api("Home").await;
    api.voice_config(json!({ "record": true })).await;
    let mut carrier = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let (status, made) =
        api.ask(Method::POST, "/api/calls", Some(json!({ "mode": "direct", "to": "+15550142" }))).await;
    assert_eq!(status, 201, "{made}");
    let invite = carrier.rings(PATIENCE).await;
    let _sound = carrier.announce(&invite, 440.0).await;
    // By its size, the file contains two seconds of two channels of 16 bits.
    let file = grows(&tandem.data(), 44 + 2 * 8_000 * 4).await;
    carrier.refuse(&invite, 486).await;
    let call = api.call_becomes("failed", PATIENCE).await;
    assert_eq!(call["ended_reason"], "busy", "{call}");
    let (rate, channels) = sound::read_wav(&file).expect("a recording");
    let middle = &channels[0][channels[0].len() / 2..][..4_000];
    sound::assert_tone("the announcement", middle, rate, 440.0, LEVEL_DBFS, 1.0);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_waiting_for_an_unanswered_call_hears_ring_back_and_is_not_recorded() {
    let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    api.voice_config(json!({ "record": true })).await;
    let (mut anna, _) = Desk::of_agent(&tandem, "anna").await;
    let mut carrier = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let bridge = json!({ "mode": "bridge", "agent": "anna", "to": "+15550142" });
    let (status, made) = api.ask(Method::POST, "/api/calls", Some(bridge)).await;
    assert_eq!(status, 201, "{made}");
    let invite = anna.rings(PATIENCE).await;
    let mut line = anna.answer(&invite, 600.0, PATIENCE).await;
    let invite = carrier.rings(PATIENCE).await;
    line.sound.until_tone(425.0, PATIENCE).await;
    carrier.refuse(&invite, 486).await;
    anna.is_hung_up(&line, PATIENCE).await;
    let call = api.call_becomes("failed", PATIENCE).await;
    let detail = api.get(&format!("/api/calls/{}", call["id"].as_str().expect("an id"))).await;
    assert_eq!(detail["recording"], Value::Null, "{detail}");
    assert_eq!(find(&tandem.data()), None, "a file was written");
    tandem.stop().await;
}

/// Returns the only recording in a data folder.
fn recording(data: &std::path::Path) -> PathBuf {
    find(data).unwrap_or_else(|| panic!("no recording in {}", data.display()))
}

fn find(data: &std::path::Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(data.join("recordings")).ok()?;
    files.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.extension().is_some_and(|kind| kind == "wav"))
}

/// Waits until the recording has at least `bytes`, and returns its path.
async fn grows(data: &std::path::Path, bytes: usize) -> PathBuf {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let wait = async {
        loop {
            look.tick().await;
            if let Some(path) = find(data)
                && std::fs::metadata(&path).is_ok_and(|file| file.len() as usize >= bytes)
            {
                return path;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("the recording did not grow to {bytes} bytes"))
}
