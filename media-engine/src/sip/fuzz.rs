//! Fuzz targets of the wire part: plain functions over bytes, and the torture messages that they start from.

use super::message::Message;
use super::write::response_to;
use super::{digest, framing, gate, header, reason, uri};

/// Parses bytes as a datagram. A message that passes the gate can be answered, and its response passes the gate too.
pub fn fuzz_message(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    for name in [header::Name::Via, header::Name::Contact, header::Name::Other] {
        let _ = message.headers(name).count();
    }
    bounded(&reason::Told::of(&message));
    let verdict = gate::check(&message);
    let source = "192.0.2.1:5060".parse().ok();
    let answer = response_to(&message, source, 400, "Bad Request", Some("t")).build();
    if verdict.is_err() || !message.is_request() || message.headers(header::Name::Via).count() != 1 {
        return;
    }
    let answer = Message::parse(&answer).expect("a response to a checked request parses");
    assert_eq!(gate::check(&answer), Ok(()), "a response to a checked request passes the gate");
    assert_eq!(answer.call_id(), message.call_id());
    assert_eq!(answer.cseq(), message.cseq());
}

/// Feeds bytes to the stream framer in pieces of several sizes; the size never changes the frames.
pub fn fuzz_stream(bytes: &[u8]) {
    let frames = |piece: usize| {
        let mut framer = framing::StreamFramer::new();
        let mut out = Vec::new();
        for part in bytes.chunks(piece) {
            framer.push(part);
            loop {
                match framer.poll() {
                    Ok(Some(frame)) => out.push(Ok(frame)),
                    Ok(None) => break,
                    Err(error) => {
                        out.push(Err(error));
                        return out;
                    }
                }
            }
        }
        out
    };
    let whole = frames(bytes.len().max(1));
    assert_eq!(whole, frames(7));
}

/// Parses text as URI, address, Via, Reason and digest headers.
pub fn fuzz_values(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(parsed) = uri::Uri::parse(text) {
        assert!(parsed.equivalent(&parsed));
    }
    let _ = header::NameAddr::parse(text).map(|address| address.display_name().map(|name| name.len()));
    let _ = header::Via::parse(text);
    let _ = header::CSeq::parse(text);
    let _ = digest::Challenge::parse(text);
    let _ = digest::Credentials::parse(text);
    bounded(&reason::Told::of_reason(text));
}

/// Checks that the details read from a reason are safe to keep and show.
fn bounded(told: &reason::Told) {
    assert!(told.q850.is_none_or(|cause| (1..=127).contains(&cause)));
    let fits = |text: &String| text.chars().count() <= reason::TEXT_MAX && !text.contains(char::is_control);
    assert!(told.text.as_ref().is_none_or(fits));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) struct Torture {
        pub(crate) id: String,
        pub(crate) class: String,
        pub(crate) want: Vec<u16>,
        pub(crate) bytes: Vec<u8>,
    }

    /// Returns the test messages of RFC 4475 and RFC 5118.
    pub(crate) fn torture() -> Vec<Torture> {
        let text = include_str!("../../tests/data/sip-torture/rfc.json");
        let rows: serde_json::Value = serde_json::from_str(text).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| Torture {
                id: text(&row["id"]),
                class: text(&row["cls"]),
                want: row["want"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap() as u16).collect(),
                bytes: hex::decode(text(&row["data"]).strip_prefix("hex:").unwrap()).unwrap(),
            })
            .collect()
    }

    /// The verdict of parser and gate, without an endpoint behind them.
    #[derive(Debug, PartialEq)]
    enum Verdict {
        Dropped,
        Refused(u16),
        Request,
        Response,
    }

    fn verdict(bytes: &[u8]) -> Verdict {
        let Ok(message) = Message::parse(bytes) else { return Verdict::Dropped };
        match gate::check(&message) {
            Err(refusal) => refusal.status.map_or(Verdict::Dropped, Verdict::Refused),
            Ok(()) if message.is_request() => Verdict::Request,
            Ok(()) => Verdict::Response,
        }
    }

    /// Messages that are refused only behind the gate: for bodies, Accept, credentials.
    const BEHIND_THE_GATE: [&str; 3] = ["invut", "sdp01", "regaut01"];

    #[test]
    fn every_torture_message_gets_a_verdict_that_fits_its_class() {
        let messages = torture();
        assert_eq!(messages.len(), 61);
        for Torture { id, class, want, bytes } in messages {
            let verdict = verdict(&bytes);
            let fits = match (class.as_str(), &verdict) {
                ("V", verdict) => *verdict == Verdict::Request || *verdict == Verdict::Response,
                ("I", Verdict::Refused(status)) => want.contains(status),
                ("I", Verdict::Dropped) => true,
                ("I", Verdict::Request) => BEHIND_THE_GATE.contains(&id.as_str()),
                ("L", Verdict::Refused(status)) => want.is_empty() || want.contains(status),
                ("L", Verdict::Request) => true,
                ("R", verdict) => *verdict == Verdict::Dropped || *verdict == Verdict::Response,
                _ => false,
            };
            assert!(fits, "{id} ({class}, {want:?}): {verdict:?}");
        }
    }

    #[test]
    fn refused_torture_messages_get_an_answer_that_their_sender_can_match() {
        for Torture { id, bytes, .. } in torture() {
            let Ok(message) = Message::parse(&bytes) else { continue };
            let Err(gate::Refusal { status: Some(status), .. }) = gate::check(&message) else { continue };
            let source = "192.0.2.1:5060".parse().ok();
            let bytes = response_to(&message, source, status, "No", Some("t")).build();
            let answer = Message::parse(&bytes).unwrap();
            assert_eq!(answer.status(), Some(status), "{id}");
            assert_eq!(answer.header(header::Name::CSeq), message.header(header::Name::CSeq), "{id}");
        }
    }

    /// A small seeded generator: the same sequence in every run.
    struct Seeded(u64);

    impl Seeded {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, limit: usize) -> usize {
            (self.next() % limit.max(1) as u64) as usize
        }
    }

    const PIECES: [&[u8]; 16] = [
        b"\r\n",
        b"\r\n ",
        b"\r\n\r\n",
        b",",
        b";",
        b"\"",
        b"\\",
        b"<",
        b">",
        b"%",
        b"%00",
        b"[",
        b"\0",
        b"\xff",
        b"99999999999",
        b"l: -1\r\n",
    ];

    fn mutate(bytes: &mut Vec<u8>, other: &[u8], seeded: &mut Seeded) {
        for _ in 0..=seeded.below(4) {
            let at = seeded.below(bytes.len() + 1);
            let end = (at + seeded.below(40)).min(bytes.len());
            match seeded.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << seeded.below(8),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, PIECES[seeded.below(PIECES.len())].iter().copied())),
                3 => {
                    let from = seeded.below(other.len());
                    let to = (from + seeded.below(80)).min(other.len());
                    drop(bytes.splice(at..end, other[from..to].iter().copied()));
                }
                _ => bytes.extend_from_within(at..end),
            }
        }
    }

    #[test]
    fn mutated_torture_messages_never_break_parser_gate_framer_or_writer() {
        let corpus = torture();
        let mut seeded = Seeded(0x7461_6e64_656d);
        for round in 0..20_000 {
            let seed = seeded.0;
            let mut bytes = corpus[round % corpus.len()].bytes.clone();
            let other = seeded.below(corpus.len());
            mutate(&mut bytes, &corpus[other].bytes, &mut seeded);
            let result = std::panic::catch_unwind(|| {
                fuzz_message(&bytes);
                fuzz_stream(&bytes);
                bytes.split(|&b| b == b'\n').take(12).for_each(|line| {
                    let value = line.iter().position(|&b| b == b':').map_or(line, |at| &line[at + 1..]);
                    fuzz_values(value.trim_ascii());
                });
            });
            assert!(result.is_ok(), "round {round}, seed {seed:#x}: {}", bytes.escape_ascii());
        }
    }

    /// Values of Reason and Warning headers as telephone systems send them.
    const REASONS: [&str; 6] = [
        "Reason: Q.850;cause=16;text=\"Normal call clearing\"",
        "Reason: SIP;cause=200;text=\"Call completed elsewhere\", Q.850 ;cause=31",
        "Reason: Q.850;cause=1;text=\"No \\\"such\\\" number\";location=RN",
        "Reason: preemption ;cause=1 ;text=\"UA Preemption\"",
        "Warning: 399 pbx.example \"Line out of order\", 370 192.0.2.1:5060 \"Insufficient bandwidth\"",
        "Warning: 307 [2001:db8::1]:5060 \"Session parameter 'foo' not understood\"",
    ];

    #[test]
    fn mutated_reasons_and_warnings_never_break_their_parser() {
        let mut seeded = Seeded(0x7265_6173_6f6e);
        for round in 0..20_000 {
            let seed = seeded.0;
            let mut line = REASONS[round % REASONS.len()].as_bytes().to_vec();
            let other = REASONS[seeded.below(REASONS.len())];
            mutate(&mut line, other.as_bytes(), &mut seeded);
            let head = b"BYE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n";
            let message = [&head[..], &line, b"\r\nContent-Length: 0\r\n\r\n"].concat();
            let result = std::panic::catch_unwind(|| {
                fuzz_message(&message);
                fuzz_values(line.splitn(2, |&b| b == b':').last().unwrap_or_default());
            });
            assert!(result.is_ok(), "round {round}, seed {seed:#x}: {}", line.escape_ascii());
        }
    }
}
