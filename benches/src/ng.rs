//! The control protocol of rtpengine: a cookie and a bencoded dictionary in one datagram each way.
//!
//! Only the parts that the meter uses: text, lists of text, dictionaries. Source: rtpengine's README, "The NG control protocol";
//! bencode as in BEP 3.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A bencoded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(i64),
    Text(Vec<u8>),
    List(Vec<Value>),
    Dictionary(BTreeMap<Vec<u8>, Value>),
}

impl Value {
    pub(crate) fn text(text: &str) -> Value {
        Value::Text(text.as_bytes().to_vec())
    }

    pub(crate) fn list(items: &[&str]) -> Value {
        Value::List(items.iter().map(|item| Value::text(item)).collect())
    }

    pub(crate) fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Dictionary(entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)).collect())
    }

    /// Appends the encoded value.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Value::Integer(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
            Value::Text(text) => write_text(text, out),
            Value::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.write_to(out));
                out.push(b'e');
            }
            Value::Dictionary(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_text(key, out);
                    value.write_to(out);
                }
                out.push(b'e');
            }
        }
    }

    /// Parses one value and returns it with the remaining bytes; `None` when it is malformed, or nested deeper than any answer is.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Value, &[u8])> {
        Value::parse_within(bytes, 8)
    }

    fn parse_within(bytes: &[u8], depth: u8) -> Option<(Value, &[u8])> {
        let depth = depth.checked_sub(1)?;
        match bytes {
            [b'i', rest @ ..] => {
                let end = rest.iter().position(|&byte| byte == b'e')?;
                let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
                Some((Value::Integer(number), &rest[end + 1..]))
            }
            [b'l', rest @ ..] => {
                let (mut items, mut rest) = (Vec::new(), rest);
                while *rest.first()? != b'e' {
                    let (item, after) = Value::parse_within(rest, depth)?;
                    items.push(item);
                    rest = after;
                }
                Some((Value::List(items), &rest[1..]))
            }
            [b'd', rest @ ..] => {
                let (mut entries, mut rest) = (BTreeMap::new(), rest);
                while *rest.first()? != b'e' {
                    let (key, after) = parse_text(rest)?;
                    let (value, after) = Value::parse_within(after, depth)?;
                    entries.insert(key.to_vec(), value);
                    rest = after;
                }
                Some((Value::Dictionary(entries), &rest[1..]))
            }
            _ => parse_text(bytes).map(|(text, rest)| (Value::Text(text.to_vec()), rest)),
        }
    }

    /// Returns the text under `key` of a dictionary.
    pub(crate) fn text_of(&self, key: &str) -> Option<String> {
        let Value::Dictionary(entries) = self else { return None };
        let Value::Text(text) = entries.get(key.as_bytes())? else { return None };
        String::from_utf8(text.clone()).ok()
    }
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", text.len()).as_bytes());
    out.extend_from_slice(text);
}

fn parse_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let end = (colon + 1).checked_add(length)?;
    (end <= bytes.len()).then(|| (&bytes[colon + 1..end], &bytes[end..]))
}

/// Control client of one rtpengine.
pub(crate) struct Client {
    socket: UdpSocket,
    cookie: u64,
}

impl Client {
    pub(crate) fn new(to: SocketAddr) -> Result<Client> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(Client { socket, cookie: 0 })
    }

    /// Repeats a request until it is answered, for at most `span`; the daemon repeats its answer to a repeated cookie.
    pub(crate) fn ask(&mut self, question: &Value, span: Duration) -> Result<Value> {
        self.cookie += 1;
        let cookie = format!("tandem{} ", self.cookie);
        let mut datagram = cookie.clone().into_bytes();
        question.write_to(&mut datagram);
        let (mut bytes, end) = (vec![0; 16_384], Instant::now() + span);
        while Instant::now() < end {
            // While the daemon starts the datagram is refused, which shows at the next read.
            let _ = self.socket.send(&datagram);
            while let Ok(length) = self.socket.recv(&mut bytes) {
                let Some(body) = bytes[..length].strip_prefix(cookie.as_bytes()) else { continue };
                let (answer, _) = Value::parse(body).context("rtpengine answered something else than bencode")?;
                if answer.text_of("result").as_deref() == Some("error") {
                    bail!("rtpengine refused: {}", answer.text_of("error-reason").unwrap_or_default());
                }
                return Ok(answer);
            }
            // The refusal arrives at once, and a starting daemon gives no sign to wait for.
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("rtpengine did not answer within {span:?}")
    }

    /// Sends a request that is answered with SDP.
    pub(crate) fn ask_for_sdp(&mut self, question: &Value) -> Result<String> {
        let answer = self.ask(question, Duration::from_secs(5))?;
        let sdp = answer.text_of("sdp");
        ensure!(sdp.is_some(), "rtpengine answered without SDP: {answer:?}");
        Ok(sdp.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_messages_decode_to_the_same_value() {
        let value = Value::dictionary([
            ("sdp", Value::text("v=0\r\n:e1:")),
            ("flags", Value::list(&["a", ""])),
            ("codec", Value::dictionary([("transcode", Value::list(&["opus/48000/1"]))])),
            ("n", Value::Integer(-7)),
        ]);
        let mut bytes = Vec::new();
        value.write_to(&mut bytes);
        let expected = b"d5:codecd9:transcodel12:opus/48000/1ee5:flagsl1:a0:e1:ni-7e3:sdp9:v=0\r\n:e1:e";
        assert_eq!(bytes, expected, "keys in order: {}", String::from_utf8_lossy(&bytes));
        assert_eq!(Value::parse(&bytes), Some((value, &[][..])));
    }

    #[test]
    fn truncated_answers_are_rejected() {
        let whole = b"d6:result2:ok3:sdp4:v=0\n5:totald2:rtl1:ai5eeee";
        assert!(Value::parse(whole).is_some_and(|(_, rest)| rest.is_empty()));
        for end in 0..whole.len() {
            assert_eq!(Value::parse(&whole[..end]), None, "cut at {end}");
        }
        for hostile in [&b"99999999999999999999:a"[..], b"18446744073709551615:a", b"i5", b"-1:a", &[b'l'; 5_000]] {
            assert_eq!(Value::parse(hostile), None);
        }
    }
}
