//! Events of the Wyoming protocol over bytes, for both ends of a connection.
//!
//! ```text
//! {"type":"audio-chunk","data_length":40,"payload_length":320}\n   one JSON line
//! <data_length bytes of JSON>                                      merged over the line's optional "data"
//! <payload_length bytes>                                           raw, such as PCM
//! ```
//!
//! Not here: sockets, processes, what events mean. Invariant: no input makes [`parse`] panic or asks for more than
//! the bounds below.

#![forbid(unsafe_code)]

use serde_json::{Map, Value};

/// Longest JSON line.
pub const LINE_MAX: usize = 64 * 1024;
/// Longest data block.
pub const DATA_MAX: usize = 1024 * 1024;
/// Longest payload: half a minute at 16 kHz.
pub const PAYLOAD_MAX: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Such as `audio-chunk`.
    pub kind: String,
    /// Fields of the event.
    pub data: Map<String, Value>,
    /// Raw bytes, such as PCM.
    pub payload: Vec<u8>,
}

/// Bytes that are no event. The connection cannot be used any more: where the next event begins is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line without end.
    #[error("the event's line is longer than {LINE_MAX} bytes")]
    LineTooLong,
    /// The line or the data block is not a JSON object.
    #[error("{0}: expected a JSON object")]
    NotAnObject(&'static str),
    /// No `type`.
    #[error("type: expected a string")]
    NoType,
    /// A length that is no number or beyond its bound.
    #[error("{0}: expected a number of bytes up to 1048576")]
    BadLength(&'static str),
}

impl Event {
    /// An event without data.
    pub fn new(kind: &str) -> Event {
        Event { kind: kind.to_owned(), ..Event::default() }
    }

    /// The same with one more field.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Event {
        self.data.insert(key.to_owned(), value.into());
        self
    }

    /// An `audio-chunk` of mono 16-bit samples.
    pub fn audio_chunk(rate: u32, samples: &[i16]) -> Event {
        let mut event = Event::new("audio-chunk").with("rate", rate).with("width", 2).with("channels", 1);
        event.payload = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        event
    }

    /// A field's text, or nothing.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(Value::as_str)
    }

    /// A field's number, or nothing.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.data.get(key).and_then(Value::as_u64)
    }

    /// The payload as mono 16-bit samples: `channels` are averaged, other widths and odd bytes are refused.
    pub fn samples(&self) -> Option<Vec<i16>> {
        let channels = usize::try_from(self.number("channels").unwrap_or(1)).ok()?;
        if self.number("width").unwrap_or(2) != 2 || !(1..=8).contains(&channels) {
            return None;
        }
        if !self.payload.len().is_multiple_of(2 * channels) {
            return None;
        }
        let frame = |bytes: &[u8]| {
            let sum: i32 = bytes.chunks_exact(2).map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]]))).sum();
            (sum / channels as i32) as i16
        };
        Some(self.payload.chunks_exact(2 * channels).map(frame).collect())
    }

    /// Appends the event's bytes.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let data =
            if self.data.is_empty() { Vec::new() } else { Value::Object(self.data.clone()).to_string().into_bytes() };
        let mut line = Map::new();
        line.insert("type".into(), self.kind.as_str().into());
        line.insert("version".into(), "1.10.2".into());
        if !data.is_empty() {
            line.insert("data_length".into(), data.len().into());
        }
        if !self.payload.is_empty() {
            line.insert("payload_length".into(), self.payload.len().into());
        }
        out.extend_from_slice(Value::Object(line).to_string().as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&data);
        out.extend_from_slice(&self.payload);
    }
}

/// The first event of `bytes` and how many bytes it took; `None` when more are needed.
///
/// # Errors
/// See [`ParseError`]: close the connection.
pub fn parse(bytes: &[u8]) -> Result<Option<(Event, usize)>, ParseError> {
    let window = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() >= LINE_MAX { Err(ParseError::LineTooLong) } else { Ok(None) };
    };
    let mut line = object(&bytes[..end], "line")?;
    let Some(Value::String(kind)) = line.remove("type") else { return Err(ParseError::NoType) };
    let data_length = length(&line, "data_length", DATA_MAX)?;
    let payload_length = length(&line, "payload_length", PAYLOAD_MAX)?;
    let data_at = end + 1;
    let payload_at = data_at + data_length;
    let total = payload_at + payload_length;
    if bytes.len() < total {
        return Ok(None);
    }
    let mut data = match line.remove("data") {
        Some(Value::Object(inline)) => inline,
        Some(Value::Null) | None => Map::new(),
        Some(_) => return Err(ParseError::NotAnObject("data")),
    };
    if data_length > 0 {
        data.extend(object(&bytes[data_at..payload_at], "data")?);
    }
    Ok(Some((Event { kind, data, payload: bytes[payload_at..total].to_vec() }, total)))
}

fn object(bytes: &[u8], name: &'static str) -> Result<Map<String, Value>, ParseError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(ParseError::NotAnObject(name)),
    }
}

fn length(line: &Map<String, Value>, key: &'static str, max: usize) -> Result<usize, ParseError> {
    match line.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_u64()
            .and_then(|length| usize::try_from(length).ok())
            .filter(|&length| length <= max)
            .ok_or(ParseError::BadLength(key)),
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng};

    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        Event::new("synthesize").with("text", "Su pedido llega el lunes.").write_to(&mut bytes);
        Event::audio_chunk(16_000, &[1, -2, 3]).write_to(&mut bytes);
        bytes
    }

    #[test]
    fn events_survive_the_wire_whatever_the_pieces() {
        let bytes = sample();
        let (first, used) = parse(&bytes).unwrap().unwrap();
        assert_eq!(first.text("text"), Some("Su pedido llega el lunes."));
        let (second, rest) = parse(&bytes[used..]).unwrap().unwrap();
        assert_eq!(second.samples(), Some(vec![1, -2, 3]));
        assert_eq!(used + rest, bytes.len());
        for cut in 0..used {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn inline_data_is_merged_under_the_data_block() {
        let bytes = b"{\"type\":\"x\",\"data\":{\"a\":1,\"b\":2},\"data_length\":7}\n{\"b\":3}";
        let (event, used) = parse(bytes).unwrap().unwrap();
        assert_eq!((event.number("a"), event.number("b"), used), (Some(1), Some(3), bytes.len()));
    }

    #[test]
    fn bad_lines_name_the_field() {
        for (bytes, error) in [
            (&b"[]\n"[..], ParseError::NotAnObject("line")),
            (b"{}\n", ParseError::NoType),
            (b"{\"type\":\"x\",\"payload_length\":-1}\n", ParseError::BadLength("payload_length")),
            (b"{\"type\":\"x\",\"data_length\":99999999}\n", ParseError::BadLength("data_length")),
            (b"{\"type\":\"x\",\"data\":3}\n", ParseError::NotAnObject("data")),
        ] {
            assert_eq!(parse(bytes), Err(error));
        }
        assert_eq!(parse(&vec![b' '; LINE_MAX]), Err(ParseError::LineTooLong));
    }

    #[test]
    fn stereo_is_averaged_and_odd_payloads_are_refused() {
        let mut event = Event::audio_chunk(16_000, &[10, 20]).with("channels", 2);
        assert_eq!(event.samples(), Some(vec![15]));
        event.payload.pop();
        assert_eq!(event.samples(), None);
    }

    #[test]
    fn mutated_bytes_never_panic_the_parser() {
        let seed = 0x7a4d_0001;
        let mut random = StdRng::seed_from_u64(seed);
        let base = sample();
        for _ in 0..20_000 {
            let mut bytes = base.clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"{}\"\n-9,:"[random.random_range(0..8)]),
                }
            }
            if let Ok(Some((event, used))) = parse(&bytes) {
                assert!(used <= bytes.len(), "seed {seed:#x}");
                let _ = event.samples();
            }
        }
    }
}
