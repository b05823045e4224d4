//! Detection of requests that state their length in two ways: `Content-Length` together with `Transfer-Encoding`.
//!
//! A proxy may use one of them and this server the other, so that a request is taken for the body of another one (RFC 9112
//! section 6.3). hyper removes `Content-Length` before any handler sees it, so the bytes are checked on their way to hyper.
//!
//! ```text
//!  Head ─▶ Body{left} ──▶ Head        Chunk size ─▶ data ─▶ size … 0 ─▶ trailer ─▶ Head
//!       └▶ refused: the bytes after it are not checked
//! ```
//!
//! Requests that hyper itself refuses (unequal lengths, an unknown encoding, folded lines) are left to it.

/// Number of bytes of a header line that are kept. Names, lengths and encodings are shorter.
const LINE_KEPT: usize = 256;

/// Parser that follows the requests of one connection.
#[derive(Debug)]
pub(super) struct RequestFraming {
    state: State,
    /// Beginning of the current line, without line ends.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head(Head),
    Body {
        left: u64,
    },
    ChunkSize {
        size: u64,
    },
    ChunkExtension {
        size: u64,
    },
    ChunkEnd,
    ChunkData {
        left: u64,
    },
    Trailer,
    /// Refused, or a message that cannot be followed.
    Opaque,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Whether the request line has been read.
    has_begun: bool,
    length: Option<u64>,
    has_length: bool,
    /// Set if the request has an encoding: whether the last coding is `chunked`.
    encoding: Option<bool>,
}

impl RequestFraming {
    pub(super) fn new() -> RequestFraming {
        RequestFraming { state: State::Head(Head::default()), line: Vec::new() }
    }

    /// Processes the next bytes. Returns the offset of the last byte of a head whose request must be refused.
    pub(super) fn refused_at(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let (byte, rest) = (bytes[at], (bytes.len() - at) as u64);
            match self.state {
                State::Opaque => return None,
                State::Body { left } | State::ChunkData { left } => {
                    let skipped = left.min(rest);
                    at += skipped as usize;
                    self.state = match (self.state, left - skipped) {
                        (State::Body { .. }, 0) => State::Head(Head::default()),
                        (State::Body { .. }, left) => State::Body { left },
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::ChunkData { left },
                    };
                    continue;
                }
                State::Head(head) if byte == b'\n' => {
                    self.state = self.head_line(head);
                    self.line.clear();
                    if matches!(self.state, State::Opaque) {
                        return Some(at);
                    }
                }
                State::Trailer if byte == b'\n' => {
                    if self.line.is_empty() {
                        self.state = State::Head(Head::default());
                    }
                    self.line.clear();
                }
                State::Head(_) | State::Trailer => self.keep(byte),
                State::ChunkSize { size } => self.state = chunk_size(size, byte),
                State::ChunkExtension { size } if byte == b'\n' => self.state = chunk_begins(size),
                State::ChunkExtension { .. } => {}
                State::ChunkEnd if byte == b'\n' => self.state = State::ChunkSize { size: 0 },
                State::ChunkEnd => {}
            }
            at += 1;
        }
        None
    }

    fn keep(&mut self, byte: u8) {
        if byte != b'\r' && self.line.len() < LINE_KEPT {
            self.line.push(byte);
        }
    }

    /// Returns the state after a line of a head. `Opaque` means that the head is complete and must be refused.
    fn head_line(&self, mut head: Head) -> State {
        if self.line.is_empty() {
            return match head {
                // Empty lines before a request are skipped.
                Head { has_begun: false, .. } => State::Head(head),
                Head { has_length: true, encoding: Some(_), .. } => State::Opaque,
                Head { encoding: Some(true), .. } => State::ChunkSize { size: 0 },
                Head { length: Some(left @ 1..), .. } => State::Body { left },
                _ => State::Head(Head::default()),
            };
        }
        if !std::mem::replace(&mut head.has_begun, true) {
            return State::Head(head);
        }
        let colon = self.line.iter().position(|byte| *byte == b':').unwrap_or(self.line.len());
        let (name, value) = self.line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            head.has_length = true;
            head.length = str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
            head.encoding = Some(last.eq_ignore_ascii_case(b"chunked"));
        }
        State::Head(head)
    }
}

fn chunk_size(size: u64, byte: u8) -> State {
    match byte {
        b'\n' => chunk_begins(size),
        b'\r' | b' ' | b'\t' => State::ChunkSize { size },
        b';' => State::ChunkExtension { size },
        digit => {
            let digit = char::from(digit).to_digit(16).map(u64::from);
            let larger = digit.and_then(|digit| size.checked_mul(16)?.checked_add(digit));
            larger.map_or(State::Opaque, |size| State::ChunkSize { size })
        }
    }
}

fn chunk_begins(size: u64) -> State {
    if size == 0 { State::Trailer } else { State::ChunkData { left: size } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the offset at which the framing refuses a text that is fed in pieces of `step` bytes.
    fn refused(text: &[u8], step: usize) -> Option<usize> {
        let mut framing = RequestFraming::new();
        let mut before = 0;
        for piece in text.chunks(step) {
            if let Some(at) = framing.refused_at(piece) {
                return Some(before + at);
            }
            before += piece.len();
        }
        None
    }

    const BOTH: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

    #[test]
    fn a_length_with_an_encoding_is_refused_in_every_spelling_and_split() {
        for text in [
            BOTH.to_owned(),
            BOTH.replace("\r\n", "\n"),
            BOTH.replace("Content-Length", "cOnTeNt-LeNgTh"),
            BOTH.replace(
                "Content-Length: 4\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding:chunked\r\nContent-Length:4",
            ),
            BOTH.replace("chunked", "gzip, chunked"),
            BOTH.replace(": 4", ": nothing"),
            format!("\r\n\r\n{BOTH}"),
            format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{BOTH}"),
            format!("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\r\n\r\nx{BOTH}"),
            format!(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\n\n\n\n\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n{BOTH}"
            ),
        ] {
            let blank = if text.contains("\r\n") { "\r\n\r\n" } else { "\n\n" };
            let head = text.rfind("ncoding").map(|at| at + text[at..].find(blank).unwrap() + blank.len() - 1);
            let head = head.max(
                text.to_lowercase()
                    .rfind("content-length")
                    .map(|at| at + text[at..].find(blank).unwrap() + blank.len() - 1),
            );
            for step in [1, 2, 3, 7, 4096] {
                assert_eq!(refused(text.as_bytes(), step), head, "{step}: {text:?}");
            }
        }
    }

    #[test]
    fn bodies_and_ordinary_requests_are_not_refused() {
        let inner = BOTH.len();
        for text in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
            format!("POST / HTTP/1.1\r\nContent-Length: {inner}\r\n\r\n{BOTH}GET / HTTP/1.1\r\n\r\n"),
            format!(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{inner:x}\r\n{BOTH}\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
            ),
            "POST /content-length: HTTP/1.1\r\nX-Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
        ] {
            for step in [1, 5, 4096] {
                assert_eq!(refused(text.as_bytes(), step), None, "{step}: {text:?}");
            }
        }
    }

    #[test]
    fn the_result_does_not_depend_on_how_bytes_are_split() {
        let words: [&[u8]; 14] = [
            b"POST / HTTP/1.1\r\n",
            b"Content-Length: ",
            b"Transfer-Encoding: chunked",
            b"\r\n",
            b"\n",
            b"\r",
            b"3",
            b"ffffffffffffffffff",
            b"0\r\n\r\n",
            b";",
            b":",
            b"abc",
            b"\0\xff",
            b"\r\n\r\n",
        ];
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..12 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                text.extend_from_slice(words[(random >> 32) as usize % words.len()]);
            }
            let whole = refused(&text, text.len());
            assert_eq!(refused(&text, 1), whole, "{text:?}");
            assert_eq!(refused(&text, 1 + (random % 9) as usize), whole, "{text:?}");
        }
    }
}
