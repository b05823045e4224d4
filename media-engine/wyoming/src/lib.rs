//! Framing of the Wyoming protocol, shared by the local speech process and the engine's client of it.
//!
//! ```text
//!   {"type":"audio-chunk","data_length":40,"payload_length":640}\n   one JSON line
//!   {"rate":16000,"width":2,"channels":1}...                         data_length bytes of JSON
//!   ............................................                     payload_length bytes
//! ```
//!
//! [`Event::write_to`] encodes; [`Decoder`] takes bytes in pieces of any size and returns events.
//!
//! Invariants: this crate only converts between bytes and events; every length is checked before memory is allocated; no input
//! causes a panic. Not here: the meaning of events, sockets, processes.
//!
//! Source: Wyoming protocol as written by its Python package 1.10 (header `data` and the data block are merged, and the block
//! takes precedence).

#![forbid(unsafe_code)]

use serde_json::{Map, Value};

/// Maximum length of a header line, in bytes without the line end.
pub const MAX_LINE: usize = 64 * 1024;
/// Maximum length of a data block, in bytes.
pub const MAX_DATA: usize = 1024 * 1024;
/// Maximum length of a payload, in bytes: over a minute of 16-bit audio at 16 kHz.
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;

/// Protocol version in the headers that this crate writes.
const VERSION: &str = "1.10.2";

/// One message of the protocol, with its data and payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// `type` of the header, such as `audio-chunk`.
    pub kind: String,
    /// Fields of the header's data and the data block.
    pub data: Map<String, Value>,
    /// Raw bytes of the payload; audio for `audio-chunk`.
    pub payload: Vec<u8>,
}

/// Reason why received bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The header is not a JSON object.
    #[error("the header line is not a JSON object")]
    BadHeader,
    /// The header has no `type`, or `type` is not a string.
    #[error("the header has no `type`")]
    NoType,
    /// A length is negative, malformed or not a number.
    #[error("`data_length` or `payload_length` is not a length")]
    BadLength,
    /// The data block is not a JSON object.
    #[error("the data block is not a JSON object")]
    BadData,
    /// More than [`MAX_LINE`] bytes without a line end.
    #[error("the header line is longer than 64 KiB")]
    LineTooLong,
    /// The header announces more than [`MAX_DATA`] bytes.
    #[error("the data block is longer than 1 MiB")]
    DataTooLong,
    /// The header announces more than [`MAX_PAYLOAD`] bytes.
    #[error("the payload is longer than 4 MiB")]
    PayloadTooLong,
}

impl WireError {
    /// Returns whether the position of the next event is lost, so that the connection must be closed.
    pub fn is_fatal(self) -> bool {
        matches!(self, WireError::LineTooLong | WireError::DataTooLong | WireError::PayloadTooLong)
    }
}

/// Format of raw audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second and channel.
    pub rate: u32,
    /// Bytes per sample; 2 is signed 16 bit, little-endian.
    pub width: u16,
    /// Number of interleaved channels.
    pub channels: u16,
}

impl AudioFormat {
    /// Returns mono audio with signed 16-bit samples.
    pub const fn mono(rate: u32) -> AudioFormat {
        AudioFormat { rate, width: 2, channels: 1 }
    }

    /// Returns the format in an `audio-start` or `audio-chunk`; `None` if it is absent or malformed.
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
    /// Creates an event of this type without fields or payload.
    pub fn new(kind: &str) -> Event {
        Event { kind: kind.to_owned(), ..Event::default() }
    }

    /// Adds or replaces a field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Event {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// Creates `audio-start` in `format`.
    pub fn audio_start(format: AudioFormat) -> Event {
        format.describe(Event::new("audio-start"))
    }

    /// Creates `audio-chunk` of mono 16-bit samples.
    pub fn audio_chunk(rate: u32, samples: &[i16]) -> Event {
        let mut event = AudioFormat::mono(rate).describe(Event::new("audio-chunk"));
        event.payload = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        event
    }

    /// Creates `error` with a sentence for people and a code for programs.
    pub fn error(code: &str, text: &str) -> Event {
        Event::new("error").with("text", text).with("code", code)
    }

    /// Returns a text field; empty when it is absent or not a string.
    pub fn text(&self, name: &str) -> &str {
        self.data.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a boolean field; `false` when it is absent or not a boolean.
    pub fn flag(&self, name: &str) -> bool {
        self.data.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Appends the encoded event to `out`.
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

/// Decodes events from a stream of bytes that arrives in pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are already consumed.
    start: usize,
    /// Bytes from `start` that are known to contain no line end.
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
    /// Creates a decoder at the start of a stream.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Adds bytes. Call [`Decoder::poll_event`] until it returns `None` before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns whether the stream is between two events, so that an end here truncates none.
    pub fn is_empty(&self) -> bool {
        self.header.is_none() && self.start == self.buffer.len()
    }

    /// Returns the next event or error; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The next bytes are not an event. Close the connection if [`WireError::is_fatal`] is true; otherwise call again.
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

    /// Takes one line without its end; blank lines are skipped.
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

/// Converts bytes in pieces of any length to samples: an odd byte waits for the next piece.
#[derive(Debug, Default)]
pub struct SampleReader {
    odd: Option<u8>,
}

impl SampleReader {
    /// Appends the samples in `bytes` (signed 16 bit, little-endian) to `out`.
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

/// Entry point for fuzzing.
#[doc(hidden)]
pub mod fuzz {
    use super::{Decoder, Event};

    /// Decodes arbitrary bytes, in pieces whose sizes the bytes determine. Panics if a decoded event does not survive encoding and
    /// decoding.
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
