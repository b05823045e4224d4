//! Splits a byte stream into SIP messages (RFC 3261 section 18.3, RFC 5626 section 3.5.1).
//!
//! ```text
//!  push(bytes) ─▶ [head … CRLF CRLF][body of Content-Length] ─▶ poll() = Message | Ping | Pong
//! ```
//!
//! Invariants: the framer never holds more than one message and one read; once broken it stays broken, because the
//! start of the next message is unknown. Not here: time-outs (`sip_io`).

use super::header::{Name, parse_digits};
use super::message::{MAX_MESSAGE, end_of_head};

/// One unit of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message.
    Message(Vec<u8>),
    /// The second of two line ends between messages: the peer's ping, to be answered with [`PONG`].
    Ping,
    /// A first line end between messages: the answer to our ping, a stray one, or half a ping.
    Pong,
}

/// Keep-alive request of either side.
pub const PING: &[u8] = b"\r\n\r\n";
/// Answer to a [`PING`].
pub const PONG: &[u8] = b"\r\n";

/// Why a stream cannot be split any further. The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Head or message longer than [`MAX_MESSAGE`].
    #[error("message too large")]
    TooLarge,
    /// No Content-Length, or one that is not a single number.
    #[error("no usable Content-Length")]
    ContentLength,
    /// Bytes between messages that are neither line ends nor text.
    #[error("not SIP")]
    NotSip,
}

/// Collects the bytes of a stream and returns its messages.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// Bytes of the head that were already searched for its end.
    searched: usize,
    /// Length of the message, once its head is complete.
    expected: Option<usize>,
    /// Whether the previous frame was a line end that has not become a ping.
    line_end: bool,
    broken: Option<FramingError>,
}

impl StreamFramer {
    /// Creates an empty framer.
    pub fn new() -> StreamFramer {
        StreamFramer::default()
    }

    /// Adds received bytes. Call [`poll`](Self::poll) until it returns `None` before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Returns whether an incomplete message has begun, so that its peer must continue soon.
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Returns the next frame, or `None` if more bytes are needed.
    ///
    /// A message whose Content-Length is useless is returned as its head only, so that it can be refused; the error
    /// follows.
    ///
    /// # Errors
    /// Returns a [`FramingError`] if the stream cannot be split any further; close the connection.
    pub fn poll(&mut self) -> Result<Option<Frame>, FramingError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        if let Some(keep_alive) = self.poll_line_ends() {
            return Ok(Some(keep_alive));
        }
        match self.buffer.first() {
            None => return Ok(None),
            Some(b'\r') if self.buffer.len() == 1 => return Ok(None),
            Some(byte) if !byte.is_ascii_graphic() => return Err(self.break_off(FramingError::NotSip)),
            Some(_) => {}
        }
        let Some(whole) = self.expect_message()? else { return Ok(None) };
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let rest = self.buffer.split_off(whole);
        let message = std::mem::replace(&mut self.buffer, rest);
        (self.searched, self.expected, self.line_end) = (0, None, false);
        if self.broken.is_some() {
            self.buffer = Vec::new();
        }
        Ok(Some(Frame::Message(message)))
    }

    fn poll_line_ends(&mut self) -> Option<Frame> {
        if !self.buffer.starts_with(b"\r\n") {
            return None;
        }
        self.buffer.drain(..2);
        self.line_end = !self.line_end;
        Some(if self.line_end { Frame::Pong } else { Frame::Ping })
    }

    fn expect_message(&mut self) -> Result<Option<usize>, FramingError> {
        if self.expected.is_some() {
            return Ok(self.expected);
        }
        let Some(at) = end_of_head(&self.buffer[self.searched..]) else {
            self.searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > MAX_MESSAGE {
                return Err(self.break_off(FramingError::TooLarge));
            }
            return Ok(None);
        };
        let head = self.searched + at + 4;
        let whole = match content_length(&self.buffer[..head]) {
            Ok(length) if head + length > MAX_MESSAGE => return Err(self.break_off(FramingError::TooLarge)),
            Ok(length) => head + length,
            Err(absent) if absent => return Err(self.break_off(FramingError::ContentLength)),
            Err(_) => {
                self.broken = Some(FramingError::ContentLength);
                head
            }
        };
        self.expected = Some(whole);
        Ok(self.expected)
    }

    fn break_off(&mut self, error: FramingError) -> FramingError {
        self.broken = Some(error);
        self.buffer = Vec::new();
        error
    }
}

/// Returns the number in the head's only Content-Length; `Err(true)` if there is none, `Err(false)` if it is useless.
fn content_length(head: &[u8]) -> Result<usize, bool> {
    let mut found = None;
    for line in head.split(|&b| b == b'\n') {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let name = std::str::from_utf8(&line[..colon]).unwrap_or("").trim_end();
        if Name::parse(name) != Name::ContentLength {
            continue;
        }
        let value = std::str::from_utf8(&line[colon + 1..]).unwrap_or("").trim();
        let length = parse_digits(value).ok_or(false)?;
        if found.replace(length as usize).is_some() {
            return Err(false);
        }
    }
    found.ok_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\n";

    fn frames(text: &str) -> (Vec<Frame>, Option<FramingError>) {
        let mut framer = StreamFramer::new();
        framer.push(text.as_bytes());
        let mut out = Vec::new();
        loop {
            match framer.poll() {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => return (out, None),
                Err(error) => return (out, Some(error)),
            }
        }
    }

    fn message(text: &str) -> Frame {
        Frame::Message(text.as_bytes().to_vec())
    }

    #[test]
    fn messages_and_keep_alives_are_separated() {
        let first = format!("{HEAD}l: 5\r\n\r\nab\r\nc");
        let second = format!("{HEAD}Content-Length : 0\r\n\r\n");
        let (out, error) = frames(&format!("{first}\r\n\r\n{second}{first}"));
        assert_eq!(out, [message(&first), Frame::Pong, Frame::Ping, message(&second), message(&first)]);
        assert_eq!(error, None);
    }

    #[test]
    fn a_useless_content_length_yields_the_head_and_then_the_error() {
        for length in ["l: -1", "l: 1\r\nl: 1", "l: 99999999999", "l: 0x10"] {
            let head = format!("{HEAD}{length}\r\n\r\n");
            let (out, error) = frames(&format!("{head}body"));
            assert_eq!(out, [message(&head)], "{length}");
            assert_eq!(error, Some(FramingError::ContentLength));
        }
    }

    #[test]
    fn streams_that_cannot_be_split_are_closed() {
        assert_eq!(frames(&format!("{HEAD}\r\n")), (vec![], Some(FramingError::ContentLength)));
        assert_eq!(frames("\u{16}\u{3}\u{1}"), (vec![], Some(FramingError::NotSip)));
        assert_eq!(frames(&"x".repeat(MAX_MESSAGE + 1)), (vec![], Some(FramingError::TooLarge)));
        assert_eq!(frames(&format!("{HEAD}l: 65536\r\n\r\n")), (vec![], Some(FramingError::TooLarge)));
    }

    #[test]
    fn an_incomplete_message_is_partial() {
        let mut framer = StreamFramer::new();
        assert!(!framer.is_partial());
        framer.push(HEAD.as_bytes());
        assert_eq!(framer.poll(), Ok(None));
        assert!(framer.is_partial());
    }
}
