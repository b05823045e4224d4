//! Simultaneous translation in a real call: the agent hears clauses while the customer goes on speaking.

use std::time::Duration;

use codecs::SampleRate;
use codecs::tones::goertzel_dbfs;
use serde_json::json;
use tests::desk::Desk;
use tests::interpreter::{FIRST_HZ, Interpreter, LEVEL_DBFS, STEP_HZ};
use tests::office::PATIENCE;
use tests::ports;
use tests::speech::PROMPTS;
use tests::tandem::{Setup, Tandem};
use tokio::time::Instant;

const RATE: SampleRate = SampleRate::HZ_8000;
/// Number of tones that are told apart: those below 4 kHz.
const TONES: usize = 22;

/// Returns which of the interpreter's tones a frame holds, if any.
fn tone_of(frame: &[i16]) -> Option<usize> {
    let level = |n: &usize| goertzel_dbfs(frame, RATE, FIRST_HZ + STEP_HZ * *n as f32);
    (0..TONES).max_by(|a, b| level(a).total_cmp(&level(b))).filter(|n| level(n) > LEVEL_DBFS - 6.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_hears_clauses_in_order_while_the_customer_goes_on() {
    let interpreter = Interpreter::start().await;
    let carrier = std::net::SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let tandem = Tandem::start(&Setup {
        speech: true,
        trunks: vec![("carrier", vec![carrier.to_string()])],
        routes: vec![("100", "agent:anna")],
        further: interpreter.section().leak(),
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    let translation =
        json!({ "live_translate": true, "voice_to_voice": true, "translate_from": "en", "translate_to": "es" });
    api.voice_config(translation).await;
    let (mut anna, _) = Desk::of_agent(&tandem, "anna").await;
    let mut customer = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let before = tandem.holdings().await;
    let (line, mut agent) = tokio::join!(customer.call("100", 0.0, "", PATIENCE), async {
        let invite = anna.rings(PATIENCE).await;
        anna.answer(&invite, 0.0, PATIENCE).await
    });
    let mut line = line.expect("anna answers");
    let call = api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();

    let folder = tempfile::tempdir().expect("a folder");
    let speech = PROMPTS[2].speak(RATE, folder.path());
    line.sound.say(&speech);
    let mut tones: Vec<(usize, Instant)> = Vec::new();
    let until = Instant::now() + Duration::from_secs_f32(speech.len() as f32 / 8_000.0 + 4.0);
    while Instant::now() < until {
        let frame = agent.sound.next(PATIENCE).await;
        if let Some(tone) = tone_of(&frame)
            && tones.last().is_none_or(|(last, _)| *last != tone)
        {
            tones.push((tone, Instant::now()));
        }
    }
    let said = line.sound.said().expect("the speech has ended");
    let early = tones.iter().filter(|(_, at)| *at < said).count();
    assert!(early >= 4, "{early} clauses were heard before the end of speech: {tones:?}");
    let order: Vec<usize> = tones.iter().map(|(tone, _)| *tone).collect();
    assert_eq!(order, (0..order.len()).collect::<Vec<_>>(), "each clause is heard once, in order");

    // The record agrees with what was heard.
    let list = api.get(&format!("/api/calls/{call}/translations")).await;
    let segments = list["translations"].as_array().expect("segments");
    let clauses: Vec<_> =
        segments.iter().flat_map(|segment| segment["clauses"].as_array().into_iter().flatten()).collect();
    let voiced = clauses.iter().filter(|clause| clause["heard"] == "voice").count();
    assert_eq!(voiced, tones.len(), "{list:#}");
    for clause in &clauses {
        let text = clause["text"].as_str().expect("text");
        assert_eq!(clause["translation"], text.to_uppercase(), "{clause}");
        assert!(
            clause["heard"] != "voice" || clause["lag_ms"]["total"].as_u64().is_some_and(|ms| ms < 4_000),
            "{clause}"
        );
    }
    for segment in segments {
        let texts = segment["clauses"].as_array().into_iter().flatten().filter_map(|clause| clause["text"].as_str());
        assert_eq!(segment["text"], texts.collect::<Vec<_>>().join(" "), "every word is in one clause: {segment}");
    }

    customer.hang_up(&mut line, PATIENCE).await;
    anna.is_hung_up(&agent, PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}
