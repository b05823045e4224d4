//! RTCP writers into a given buffer (RFC 3550 section 6).
//!
//! ```text
//! write_compound: SR or RR · SDES with CNAME [ · BYE ]        (RFC 3550 section 6.1)
//! ```
//!
//! Invariants: [`parse`](super::parse) reads back every written packet; nothing allocates; if a buffer
//! is too small, an error is returned and the buffer contains an unfinished packet.

use super::packet::{ReportBlock, SenderReport};

/// Longest canonical name or reason that is written, in bytes.
pub const MAX_TEXT: usize = 255;
/// Maximum number of report blocks in one packet.
pub const MAX_BLOCKS: usize = 31;

/// Why a packet could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// The output buffer is smaller than the packet.
    #[error("the output buffer is too small")]
    BufferTooSmall,
    /// A text has more than 255 bytes, or there are more than 31 blocks.
    #[error("a field does not fit its width")]
    Range,
}

/// Content of a compound packet.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    /// SSRC of the stream that we send.
    pub ssrc: u32,
    /// Sender information; `None` produces a receiver report.
    pub sender: Option<SenderReport>,
    /// Reports about received streams; at most 31.
    pub blocks: &'a [ReportBlock],
    /// Canonical name, at most 255 bytes.
    pub cname: &'a str,
    /// Whether a goodbye is appended.
    pub bye: bool,
}

/// Writes a compound packet; returns its length.
///
/// # Errors
/// [`RtcpError`]; 100 bytes plus the length of the name suffice for a compound packet with one block.
pub fn write_compound(out: &mut [u8], compound: &Compound<'_>) -> Result<usize, RtcpError> {
    let mut at = match &compound.sender {
        Some(report) => write_sender_report(out, report, compound.blocks)?,
        None => write_receiver_report(out, compound.ssrc, compound.blocks)?,
    };
    at += write_sdes(&mut out[at..], compound.ssrc, compound.cname)?;
    if compound.bye {
        at += write_bye(&mut out[at..], compound.ssrc, "")?;
    }
    Ok(at)
}

/// Writes a sender report; returns its length.
///
/// # Errors
/// [`RtcpError`] if the buffer is too small or there are more than 31 blocks; nothing is to be sent then.
pub fn write_sender_report(out: &mut [u8], report: &SenderReport, blocks: &[ReportBlock]) -> Result<usize, RtcpError> {
    let mut writer = Writer::begin(out, 200, blocks.len())?;
    writer.word(report.ssrc)?;
    writer.word((report.ntp >> 32) as u32)?;
    writer.word(report.ntp as u32)?;
    writer.word(report.rtp_timestamp)?;
    writer.word(report.packets)?;
    writer.word(report.octets)?;
    writer.blocks(blocks)?;
    writer.finish()
}

/// Writes a receiver report; returns its length.
///
/// # Errors
/// [`RtcpError`] if the buffer is too small or there are more than 31 blocks; nothing is to be sent then.
pub fn write_receiver_report(out: &mut [u8], ssrc: u32, blocks: &[ReportBlock]) -> Result<usize, RtcpError> {
    let mut writer = Writer::begin(out, 201, blocks.len())?;
    writer.word(ssrc)?;
    writer.blocks(blocks)?;
    writer.finish()
}

/// Writes a source description with one canonical name; returns its length.
///
/// # Errors
/// [`RtcpError`] if the buffer is too small or the name has more than 255 bytes; nothing is to be sent then.
pub fn write_sdes(out: &mut [u8], ssrc: u32, cname: &str) -> Result<usize, RtcpError> {
    let mut writer = Writer::begin(out, 202, 1)?;
    writer.word(ssrc)?;
    writer.put(&[1, text_len(cname)?])?;
    writer.put(cname.as_bytes())?;
    // The list of items ends with at least one zero byte.
    writer.put(&[0])?;
    writer.finish()
}

/// Writes a goodbye, with a reason unless it is empty; returns its length.
///
/// # Errors
/// [`RtcpError`] if the buffer is too small or the reason has more than 255 bytes; nothing is to be sent then.
pub fn write_bye(out: &mut [u8], ssrc: u32, reason: &str) -> Result<usize, RtcpError> {
    let mut writer = Writer::begin(out, 203, 1)?;
    writer.word(ssrc)?;
    if !reason.is_empty() {
        writer.put(&[text_len(reason)?])?;
        writer.put(reason.as_bytes())?;
    }
    writer.finish()
}

fn text_len(text: &str) -> Result<u8, RtcpError> {
    u8::try_from(text.len()).map_err(|_| RtcpError::Range)
}

/// One packet that is being written.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    fn begin(out: &'a mut [u8], packet_type: u8, count: usize) -> Result<Writer<'a>, RtcpError> {
        if count > MAX_BLOCKS {
            return Err(RtcpError::Range);
        }
        let mut writer = Writer { out, at: 0 };
        writer.put(&[2 << 6 | count as u8, packet_type, 0, 0])?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), RtcpError> {
        let place = self.out.get_mut(self.at..self.at + bytes.len()).ok_or(RtcpError::BufferTooSmall)?;
        place.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    fn word(&mut self, word: u32) -> Result<(), RtcpError> {
        self.put(&word.to_be_bytes())
    }

    fn blocks(&mut self, blocks: &[ReportBlock]) -> Result<(), RtcpError> {
        blocks.iter().try_for_each(|block| self.put(&block.bytes()))
    }

    /// Pads to a whole word and writes the length.
    fn finish(mut self) -> Result<usize, RtcpError> {
        while !self.at.is_multiple_of(4) {
            self.put(&[0])?;
        }
        let words = (self.at / 4 - 1) as u16;
        self.out[2..4].copy_from_slice(&words.to_be_bytes());
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Packet, parse};
    use super::*;

    const SENDER: SenderReport =
        SenderReport { ssrc: 0x0102_0304, ntp: 0x1122_3344_5566_7788, rtp_timestamp: 160, packets: 5, octets: 800 };
    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0xaabb_ccdd,
        fraction_lost: 25,
        cumulative_lost: -3,
        extended_highest: 0x0001_0002,
        jitter: 40,
        last_sender_report: 0x3344_5566,
        delay_since_last: 0x0001_8000,
    };

    #[test]
    fn compound_is_read_back_as_written() {
        for cname in ["", "a", "ab", "abc", "leg@example"] {
            let mut out = [0xff; 256];
            let compound = Compound { ssrc: 7, sender: Some(SENDER), blocks: &[BLOCK, BLOCK], cname, bye: true };
            let len = write_compound(&mut out, &compound).unwrap();
            assert_eq!((len % 4, out[len]), (0, 0xff));
            let mut packets = parse(&out[..len]);
            let Some(Packet::SenderReport { report, blocks }) = packets.next() else { panic!() };
            assert_eq!((report, blocks.collect::<Vec<_>>()), (SENDER, vec![BLOCK, BLOCK]));
            let Some(Packet::Sdes(sdes)) = packets.next() else { panic!() };
            assert_eq!((sdes.cname(), sdes.items().count()), (Some(cname.as_bytes()), 1));
            let Some(Packet::Bye(bye)) = packets.next() else { panic!() };
            assert_eq!((bye.sources().collect::<Vec<_>>(), bye.reason()), (vec![7], None));
            assert!(packets.next().is_none() && !packets.is_malformed());
        }
    }

    #[test]
    fn sender_report_has_the_rfc_s_layout() {
        let mut out = [0; 52];
        assert_eq!(write_sender_report(&mut out, &SENDER, &[BLOCK]), Ok(52));
        #[rustfmt::skip]
        let expected = [
            0x81, 200, 0, 12, 1, 2, 3, 4, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 160,
            0, 0, 0, 5, 0, 0, 3, 0x20, 0xaa, 0xbb, 0xcc, 0xdd, 25, 0xff, 0xff, 0xfd, 0, 1, 0, 2,
            0, 0, 0, 40, 0x33, 0x44, 0x55, 0x66, 0, 1, 0x80, 0,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn receiver_report_and_reasoned_goodbye_are_read_back() {
        let mut out = [0; 128];
        let len = write_receiver_report(&mut out, 9, &[]).unwrap();
        let Some(Packet::ReceiverReport { ssrc: 9, mut blocks }) = parse(&out[..len]).next() else { panic!() };
        assert!(blocks.next().is_none());
        let len = write_bye(&mut out, 9, "tea time").unwrap();
        let Some(Packet::Bye(bye)) = parse(&out[..len]).next() else { panic!() };
        assert_eq!(bye.reason(), Some(&b"tea time"[..]));
    }

    #[test]
    fn small_buffers_and_wide_fields_are_refused() {
        let compound = Compound { ssrc: 7, sender: Some(SENDER), blocks: &[BLOCK], cname: "abc", bye: true };
        let mut whole = [0; 256];
        let len = write_compound(&mut whole, &compound).unwrap();
        for short in 0..len {
            assert_eq!(write_compound(&mut whole[..short], &compound), Err(RtcpError::BufferTooSmall), "{short}");
        }
        assert_eq!(write_sdes(&mut [0; 512], 1, &"x".repeat(256)), Err(RtcpError::Range));
        assert_eq!(write_receiver_report(&mut [0; 1024], 1, &[BLOCK; 32]), Err(RtcpError::Range));
    }

    #[test]
    fn packets_with_wrong_lengths_end_the_iteration() {
        let mut out = [0; 52];
        write_sender_report(&mut out, &SENDER, &[BLOCK]).unwrap();
        for (at, value) in [(0, 0x82), (0, 0x41), (0, 0xa1), (3, 13), (3, 11), (1, 100)] {
            let mut bytes = out;
            bytes[at] = value;
            bytes[51] = 0;
            let mut packets = parse(&bytes);
            assert!(packets.by_ref().next().is_none(), "{at} {value}");
            assert!(packets.is_malformed());
        }
        assert!(parse(&[]).is_malformed());
    }

    #[test]
    fn unknown_packets_are_skipped_and_padding_is_removed() {
        let mut bytes = vec![0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        bytes.extend([0xa0, 204, 0, 2, 9, 9, 9, 9, 0, 0, 0, 4]);
        let packets: Vec<(u8, u8, usize)> = parse(&bytes)
            .map(|packet| match packet {
                Packet::Other { packet_type, count, body } => (packet_type, count, body.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(packets, [(205, 1, 8), (204, 0, 4)]);
    }

    #[test]
    fn second_chunk_of_a_description_is_found() {
        let mut bytes = vec![0x82, 202, 0, 0];
        bytes.extend([0, 0, 0, 1, 1, 2, b'a', b'b', 2, 0, 0, 0]);
        bytes.extend([0, 0, 0, 2, 1, 1, b'c', 0]);
        bytes[3] = (bytes.len() / 4 - 1) as u8;
        let Some(Packet::Sdes(sdes)) = parse(&bytes).next() else { panic!() };
        let items: Vec<_> = sdes.items().map(|item| (item.ssrc, item.kind, item.text)).collect();
        assert_eq!(items, [(1, 1, &b"ab"[..]), (1, 2, b""), (2, 1, b"c")]);
    }
}
