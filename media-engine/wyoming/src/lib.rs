//! Framing of the Wyoming protocol, shared by the local speech process and the engine's client of it.
//!
//! ```text
//!   {"type":"audio-chunk","data_length":40,"payload_length":640}\n   one JSON line
//!   {"rate":16000,"width":2,"channels":1}...                         data_length bytes of JSON
//!   ............................................                     payload_length bytes
//! ```
//!
//! Invariants: bytes in, events out, nothing else; every length is bounded before memory is taken; whatever comes in,
//! nothing panics. Not here: what the events mean, sockets, processes.
//!
//! Source: Wyoming protocol as written by its Python package 1.10 (header `data` and the data block are merged, the block
//! wins).

#![forbid(unsafe_code)]

use serde_json::{Map, Value};

/// Longest header line, in bytes without its end.
pub const MAX_LINE: usize = 64 * 1024;
/// Longest data block, in bytes.
pub const MAX_DATA: usize = 1024 * 1024;
/// Longest payload, in bytes: over a minute of 16-bit sound at 16 kHz.
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;

/// Written into the headers we send.
const VERSION: &str = "1.10.2";

/// One message of the protocol.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// `type` of the header, such as `audio-chunk`.
    pub kind: String,
    /// Fields of the event.
    pub data: Map<String, Value>,
    /// Raw bytes: sound, for `audio-chunk`.
    pub payload: Vec<u8>,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The header is not a JSON object.
    #[error("the header line is not a JSON object")]
    BadHeader,
    /// No `type`, or not a string.
    #[error("the header has no `type`")]
    NoType,
    /// A length is negative, broken or not a number.
    #[error("`data_length` or `payload_length` is not a length")]
    BadLength,
    /// The data block is not a JSON object.
    #[error("the data block is not a JSON object")]
    BadData,
    /// More than [`MAX_LINE`] bytes without an end of line.
    #[error("the header line is longer than 64 KiB")]
    LineTooLong,
    /// More than [`MAX_DATA`] bytes announced.
    #[error("the data block is longer than 1 MiB")]
    DataTooLong,
    /// More than [`MAX_PAYLOAD`] bytes announced.
    #[error("the payload is longer than 4 MiB")]
    PayloadTooLong,
}

impl WireError {
    /// Whether the place of the next event is lost: the connection must be closed.
    pub fn is_fatal(self) -> bool {
        matches!(self, WireError::LineTooLong | WireError::DataTooLong | WireError::PayloadTooLong)
    }
}

/// Format of raw sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second.
    pub rate: u32,
    /// Bytes per sample; 2 is signed 16 bit, little endian.
    pub width: u16,
    /// Channels, interleaved.
    pub channels: u16,
}

impl AudioFormat {
    /// Mono, signed 16 bit.
    pub const fn mono(rate: u32) -> AudioFormat {
        AudioFormat { rate, width: 2, channels: 1 }
    }

    /// The format that an `audio-start` or `audio-chunk` names, if it names one.
    pub fn of(event: &Event) -> Option<AudioFormat> {
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64);
        Some(AudioFormat {
            rate: u32::try_from(number("rate")?).ok()?,
            width: u16::try_from(number("width")?).ok()?,
            channels: u16::try_from(number("channels")?).ok()?,
        })
    }

    fn describe(self, event: Event) -> Event {
        event.with("rate", self.rate).with("width", self.width).with("channels", self.channels)
    }
}

impl Event {
    /// An event without fields.
    pub fn new(kind: &str) -> Event {
        Event { kind: kind.to_owned(), ..Event::default() }
    }

    /// The same with a field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Event {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// `audio-start` in `format`.
    pub fn audio_start(format: AudioFormat) -> Event {
        format.describe(Event::new("audio-start"))
    }

    /// `audio-chunk` of mono 16-bit samples.
    pub fn audio_chunk(rate: u32, samples: &[i16]) -> Event {
        let mut event = AudioFormat::mono(rate).describe(Event::new("audio-chunk"));
        event.payload = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        event
    }

    /// `error` with a sentence for people and a word for programs.
    pub fn error(code: &str, text: &str) -> Event {
        Event::new("error").with("text", text).with("code", code)
    }

    /// A text field; empty when it is absent or no text.
    pub fn text(&self, name: &str) -> &str {
        self.data.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A truth field; `false` when it is absent.
    pub fn flag(&self, name: &str) -> bool {
        self.data.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Appends the event's bytes to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let data =
            if self.data.is_empty() { Vec::new() } else { Value::Object(self.data.clone()).to_string().into_bytes() };
        let mut header = Map::new();
        header.insert("type".into(), self.kind.as_str().into());
        header.insert("version".into(), VERSION.into());
        if !data.is_empty() {
            header.insert("data_length".into(), data.len().into());
        }
        if !self.payload.is_empty() {
            header.insert("payload_length".into(), self.payload.len().into());
        }
        out.extend_from_slice(Value::Object(header).to_string().as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&data);
        out.extend_from_slice(&self.payload);
    }
}

/// Finds events in a stream of bytes that comes in pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already used up.
    start: usize,
    /// Bytes from `start` known to hold no end of line.
    scanned: usize,
    header: Option<Header>,
}

#[derive(Debug)]
struct Header {
    event: Event,
    data_length: usize,
    payload_length: usize,
}

impl Decoder {
    /// An empty stream.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Adds bytes. Take out events with [`Decoder::poll_event`] until there are none before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the stream stands between two events: an end here cuts nothing off.
    pub fn is_empty(&self) -> bool {
        self.header.is_none() && self.start == self.buffer.len()
    }

    /// The next event or error; `None`: more bytes are needed.
    ///
    /// After an error for which [`WireError::is_fatal`] holds the stream cannot be read on; after others it can.
    pub fn poll_event(&mut self) -> Option<Result<Event, WireError>> {
        if self.header.is_none() {
            let line = match self.take_line()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            match parse_header(&line) {
                Ok(header) => self.header = Some(header),
                Err(error) => return Some(Err(error)),
            }
        }
        let needed = self.header.as_ref().map(|header| header.data_length + header.payload_length)?;
        if self.buffer.len() - self.start < needed {
            return None;
        }
        let Header { mut event, data_length, payload_length } = self.header.take()?;
        let data_end = self.start + data_length;
        let payload_end = data_end + payload_length;
        let data = &self.buffer[self.start..data_end];
        event.payload = self.buffer[data_end..payload_end].to_vec();
        let merged = merge(&mut event.data, data);
        self.start = payload_end;
        Some(merged.map(|()| event))
    }

    /// One line without its end; blank lines are skipped.
    fn take_line(&mut self) -> Option<Result<Vec<u8>, WireError>> {
        loop {
            let rest = &self.buffer[self.start..];
            let Some(length) = rest[self.scanned..].iter().position(|&byte| byte == b'\n') else {
                self.scanned = rest.len();
                return (rest.len() > MAX_LINE).then_some(Err(WireError::LineTooLong));
            };
            let length = self.scanned + length;
            let line = rest[..length].trim_ascii().to_vec();
            self.start += length + 1;
            self.scanned = 0;
            if length > MAX_LINE {
                return Some(Err(WireError::LineTooLong));
            }
            if !line.is_empty() {
                return Some(Ok(line));
            }
        }
    }
}

fn parse_header(line: &[u8]) -> Result<Header, WireError> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(line) else {
        return Err(WireError::BadHeader);
    };
    let Some(Value::String(kind)) = fields.remove("type") else {
        return Err(WireError::NoType);
    };
    let length = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value.as_u64().ok_or(WireError::BadLength),
    };
    let (data_length, payload_length) = (length("data_length")?, length("payload_length")?);
    if data_length > MAX_DATA as u64 {
        return Err(WireError::DataTooLong);
    }
    if payload_length > MAX_PAYLOAD as u64 {
        return Err(WireError::PayloadTooLong);
    }
    let data = match fields.remove("data") {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    let event = Event { kind, data, payload: Vec::new() };
    Ok(Header { event, data_length: data_length as usize, payload_length: payload_length as usize })
}

fn merge(fields: &mut Map<String, Value>, data: &[u8]) -> Result<(), WireError> {
    if data.is_empty() {
        return Ok(());
    }
    match serde_json::from_slice(data) {
        Ok(Value::Object(more)) => {
            fields.extend(more);
            Ok(())
        }
        _ => Err(WireError::BadData),
    }
}

/// Samples out of bytes that may be cut anywhere: an odd byte waits for the next piece.
#[derive(Debug, Default)]
pub struct SampleReader {
    odd: Option<u8>,
}

impl SampleReader {
    /// Appends the samples in `bytes` (signed 16 bit, little endian) to `out`.
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<i16>) {
        let mut bytes = bytes;
        if let (Some(low), Some((&high, rest))) = (self.odd, bytes.split_first()) {
            out.push(i16::from_le_bytes([low, high]));
            self.odd = None;
            bytes = rest;
        }
        let pairs = bytes.chunks_exact(2);
        if let [last] = pairs.remainder() {
            self.odd = Some(*last);
        }
        out.extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }
}

/// Entry point of the fuzz run.
#[doc(hidden)]
pub mod fuzz {
    use super::{Decoder, Event};

    /// Any bytes, in pieces whose sizes the bytes themselves decide: no panic, and what was understood survives being
    /// written and read again.
    pub fn fuzz_decoder(bytes: &[u8]) {
        let mut decoder = Decoder::new();
        let step = usize::from(bytes.first().copied().unwrap_or(1)).max(1);
        for piece in bytes.chunks(step) {
            decoder.push(piece);
            while let Some(found) = decoder.poll_event() {
                match found {
                    Ok(event) => check_round_trip(&event),
                    Err(error) if error.is_fatal() => return,
                    Err(_) => {}
                }
            }
        }
    }

    fn check_round_trip(event: &Event) {
        let mut written = Vec::new();
        event.write_to(&mut written);
        let mut again = Decoder::new();
        again.push(&written);
        assert_eq!(again.poll_event(), Some(Ok(event.clone())));
        assert!(again.is_empty());
    }
}

#[cfg(test)]
mod tests;
