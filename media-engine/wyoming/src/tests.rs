use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};

use super::*;

const SHEET: &[u8] = b"{\"type\":\"synthesize\",\"version\":\"1.10.2\",\"data_length\":19,\"payload_length\":0}\n{\"text\":\"Hi there\"}{\"type\":\"audio-stop\"}\n";

const CORPUS: &[&[u8]] = &[
    SHEET,
    b"{\"type\":\"ping\",\"data\":{\"text\":\"a\"}}\n",
    b"{\"type\":\"audio-chunk\",\"data_length\":38,\"payload_length\":4}\n{\"rate\":8000,\"width\":2,\"channels\":1}  \x01\x02\x03\x04",
    b"{\"type\":1}\n{}\n[]\nnull\n\n\r\n",
    b"{\"type\":\"x\",\"data_length\":-1}\n{\"type\":\"x\",\"data_length\":1e300}\n",
    b"{\"type\":\"x\",\"payload_length\":18446744073709551615}\n",
    b"{\"type\":\"x\",\"data\":[1],\"data_length\":2}\n[]{\"type\":\"y\"}\n",
];

fn events(bytes: &[u8], step: usize) -> Vec<Result<Event, WireError>> {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.push(piece);
        while let Some(event) = decoder.poll_event() {
            let fatal = matches!(&event, Err(error) if error.is_fatal());
            found.push(event);
            if fatal {
                return found;
            }
        }
    }
    found
}

#[test]
fn events_are_parsed_however_the_bytes_are_split() {
    let expected = vec![Ok(Event::new("synthesize").with("text", "Hi there")), Ok(Event::new("audio-stop"))];
    for step in 1..=SHEET.len() {
        assert_eq!(events(SHEET, step), expected, "pieces of {step}");
    }
}

#[test]
fn the_data_block_overrides_the_data_of_the_header() {
    let bytes = b"{\"type\":\"x\",\"data\":{\"a\":1,\"b\":2},\"data_length\":7}\n{\"b\":3}";
    assert_eq!(events(bytes, 9), vec![Ok(Event::new("x").with("a", 1).with("b", 3))]);
}

#[test]
fn a_bad_line_is_reported_and_the_next_event_is_read() {
    let bytes = b"nonsense\n{\"type\":1}\n{\"type\":\"x\",\"data_length\":-4}\n{\"type\":\"x\",\"data_length\":2}\n[]{\"type\":\"ok\"}\n";
    let expected = vec![
        Err(WireError::BadHeader),
        Err(WireError::NoType),
        Err(WireError::BadLength),
        Err(WireError::BadData),
        Ok(Event::new("ok")),
    ];
    assert_eq!(events(bytes, 5), expected);
}

#[test]
fn an_oversize_event_is_refused_before_it_is_stored() {
    let data = format!("{{\"type\":\"x\",\"data_length\":{}}}\n", MAX_DATA + 1);
    assert_eq!(events(data.as_bytes(), 100), vec![Err(WireError::DataTooLong)]);
    let payload = format!("{{\"type\":\"x\",\"payload_length\":{}}}\n", u64::MAX);
    assert_eq!(events(payload.as_bytes(), 100), vec![Err(WireError::PayloadTooLong)]);
    assert_eq!(events(&vec![b' '; MAX_LINE + 2], 4096), vec![Err(WireError::LineTooLong)]);
    assert!(WireError::LineTooLong.is_fatal() && !WireError::BadData.is_fatal());
}

#[test]
fn audio_survives_the_wire_even_when_a_sample_is_split() {
    let event = Event::audio_chunk(8_000, &[1, -2, 300]);
    assert_eq!(AudioFormat::of(&event), Some(AudioFormat::mono(8_000)));
    let mut reader = SampleReader::default();
    let mut samples = Vec::new();
    for piece in event.payload.chunks(3) {
        reader.read(piece, &mut samples);
    }
    assert_eq!(samples, [1, -2, 300]);
}

#[test]
fn mutated_streams_never_panic() {
    let seed = 0x5eed_0001;
    let mut rng = SmallRng::seed_from_u64(seed);
    for round in 0..20_000_u32 {
        let mut bytes = CORPUS[round as usize % CORPUS.len()].to_vec();
        for _ in 0..rng.random_range(0..6) {
            let at = rng.random_range(0..bytes.len().max(1));
            match rng.random_range(0..4) {
                0 if at < bytes.len() => bytes[at] = rng.random(),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at.min(bytes.len()), rng.random()),
                _ => bytes.extend_from_slice(CORPUS[rng.random_range(0..CORPUS.len())]),
            }
        }
        fuzz::fuzz_decoder(&bytes);
    }
}
