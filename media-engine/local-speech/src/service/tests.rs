use std::io::Cursor;
use std::sync::mpsc::Sender;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};

use super::*;

/// A writer that sends its bytes to a channel.
#[derive(Clone)]
struct Collector(Sender<Vec<u8>>);

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Serves `input` and returns all answers once every thread of the connection has ended.
fn answers(input: Vec<u8>) -> Vec<Event> {
    let (sender, written) = std::sync::mpsc::channel();
    let phrases = Arc::new(Phrases::load(None).unwrap());
    serve(Cursor::new(input), Box::new(Collector(sender)), &phrases).unwrap();
    let mut decoder = Decoder::new();
    for bytes in written {
        decoder.push(&bytes);
    }
    std::iter::from_fn(|| decoder.poll_event()).map(|event| event.unwrap()).collect()
}

fn bytes(events: &[Event]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        event.write_to(&mut out);
    }
    out
}

fn codes(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|event| event.kind == "error").map(|event| event.text("code")).collect()
}

#[test]
fn the_service_describes_itself_and_answers_pings() {
    let found = answers(bytes(&[Event::new("describe"), Event::new("ping").with("text", "x")]));
    assert_eq!(found[0].data["asr"][0]["models"][0]["languages"], json!(["en"]));
    assert_eq!(found[0].data["tts"][0]["installed"], json!(true));
    assert_eq!(found[1], Event::new("pong").with("text", "x"));
}

#[test]
fn spanish_recognition_is_refused_with_a_reason() {
    let found = answers(bytes(&[
        Event::new("transcribe").with("language", "es"),
        Event::audio_start(AudioFormat::mono(8_000)),
        Event::audio_chunk(8_000, &[0; 160]),
        Event::new("audio-stop"),
    ]));
    assert_eq!(codes(&found), ["unsupported-language", "unsupported-language"]);
    assert!(found[0].text("text").contains("only English"), "{:?}", found[0]);
}

#[test]
fn silence_gives_neither_text_nor_an_unrecognised_event() {
    let found = answers(bytes(&[
        Event::new("transcribe").with("language", "en"),
        Event::audio_start(AudioFormat::mono(8_000)),
        Event::audio_chunk(8_000, &[0; 8_000]),
        Event::new("audio-stop"),
    ]));
    let transcript = found.iter().find(|event| event.kind == "transcript").expect("a transcript");
    assert_eq!((transcript.text("text"), transcript.flag("unrecognised")), ("", false));
}

#[test]
fn known_phrases_are_looked_up_and_others_are_machine_translated() {
    let ask = |text: &str, from: &str, to: &str| {
        Event::new("translate").with("text", text).with("source_language", from).with("target_language", to)
    };
    let found = answers(bytes(&[
        ask("i lost my card", "en", "es-419"),
        ask("Perdí mi tarjeta", "es", "en"),
        ask("The red house is very old.", "en", "es"),
        ask("x", "en", "de"),
        ask("", "en", "es"),
    ]));
    let texts: Vec<&str> = found.iter().map(|event| event.text("text")).collect();
    assert_eq!(texts[..2], ["Perdí mi tarjeta.", "I lost my card."]);
    assert!(texts[2].starts_with("La casa roja"), "{}", texts[2]);
    assert_eq!(codes(&found), ["unsupported-language", "bad-request"]);
    assert!(found[3..].iter().all(|event| event.text("request") == "translate"));
}

#[test]
fn synthesised_speech_is_streamed_between_start_and_stop() {
    let found = answers(bytes(&[Event::new("synthesize")
        .with("text", "Buenos días.")
        .with("voice", json!({"language": "es"}))]));
    assert_eq!(found.first().map(|event| event.kind.as_str()), Some("audio-start"));
    assert_eq!(found.last().map(|event| event.kind.as_str()), Some("audio-stop"));
    assert!(found.len() > 10, "{} events", found.len());
}

#[test]
fn garbage_gets_an_error_and_the_connection_stays_usable() {
    let mut input = b"rubbish\n{\"type\":\"dance\"}\n".to_vec();
    input.extend(bytes(&[
        Event::audio_start(AudioFormat { rate: 8_000, width: 4, channels: 2 }),
        Event::new("audio-stop"),
    ]));
    input.extend(bytes(&[
        Event::audio_start(AudioFormat::mono(11_025)),
        Event::new("audio-chunk"),
        Event::new("ping"),
    ]));
    let found = answers(input);
    let mut found_codes = codes(&found);
    found_codes.sort_unstable();
    assert_eq!(found_codes, ["bad-request", "unknown-event", "unsupported-audio", "unsupported-audio"]);
    assert!(found.iter().any(|event| event.kind == "pong"));
}

#[test]
fn an_oversize_event_ends_the_connection_with_a_reason() {
    let found = answers(b"{\"type\":\"audio-chunk\",\"payload_length\":999999999}\n{\"type\":\"ping\"}\n".to_vec());
    assert_eq!(codes(&found), ["bad-request"]);
    assert_eq!(found.len(), 1);
}

#[test]
fn mutated_connections_never_panic() {
    let phrases = Arc::new(Phrases::load(None).unwrap());
    let seed = bytes(&[
        Event::new("transcribe").with("language", "en"),
        Event::audio_start(AudioFormat::mono(8_000)),
        Event::audio_chunk(8_000, &[700; 40]),
        Event::new("audio-stop"),
        Event::new("translate").with("text", "").with("source_language", "en").with("target_language", "es"),
        Event::new("synthesize").with("text", ""),
        Event::new("describe"),
    ]);
    let mut rng = SmallRng::seed_from_u64(0x5eed_0002);
    for _ in 0..300 {
        let mut input = seed.clone();
        for _ in 0..rng.random_range(1..12) {
            let at = rng.random_range(0..input.len());
            if rng.random() {
                input[at] = rng.random();
            } else {
                input.remove(at);
            }
        }
        fuzz::fuzz_connection(&input, &phrases);
    }
}
