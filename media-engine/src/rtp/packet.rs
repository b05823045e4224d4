//! RTP packet view and header writer (RFC 3550 section 5.1).
//!
//! ```text
//!  0                   1                   2                   3
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |  CSRC × CC  | extension: profile, length, words | payload | padding, count |
//! ```
//!
//! The view checks every length once, in [`RtpPacket::parse`]; the accessors then cannot fail.
//! Not here: the meaning of header extensions and of payloads.

/// Bytes of a header without contributing sources and extension.
pub const HEADER_LEN: usize = 12;

/// Why bytes are not a usable RTP packet. The caller should drop and count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Fewer bytes than the header, its contributing sources or its extension require.
    #[error("the packet ends inside its header")]
    Short,
    /// The version is not 2: STUN, DTLS or noise.
    #[error("not RTP version 2")]
    Version,
    /// The padding count is zero or larger than the part after the header.
    #[error("the padding is longer than the payload")]
    Padding,
    /// The output buffer is smaller than the data to be written.
    #[error("the output buffer is too small")]
    BufferTooSmall,
    /// A payload type is above 127, or a field exceeds its width.
    #[error("a field does not fit its width")]
    Range,
}

/// A checked view of one RTP packet.
#[derive(Clone, Copy, Debug)]
pub struct RtpPacket<'a> {
    bytes: &'a [u8],
    header_len: usize,
    payload_end: usize,
}

impl<'a> RtpPacket<'a> {
    /// Parses `bytes`, one whole datagram (for SRTP: after decryption).
    ///
    /// # Errors
    /// [`RtpError`] when a length does not fit; the caller should drop and count the datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<RtpPacket<'a>, RtpError> {
        if bytes.len() < HEADER_LEN {
            return Err(RtpError::Short);
        }
        if bytes[0] >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let mut header_len = HEADER_LEN + 4 * usize::from(bytes[0] & 0x0f);
        if bytes[0] & 0x10 != 0 {
            let words = bytes.get(header_len + 2..header_len + 4).ok_or(RtpError::Short)?;
            header_len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        if bytes.len() < header_len {
            return Err(RtpError::Short);
        }
        let mut payload_end = bytes.len();
        if bytes[0] & 0x20 != 0 {
            let padding = usize::from(bytes[bytes.len() - 1]);
            if padding == 0 || padding > bytes.len() - header_len {
                return Err(RtpError::Padding);
            }
            payload_end -= padding;
        }
        Ok(RtpPacket { bytes, header_len, payload_end })
    }

    /// Returns the payload type, 0 to 127.
    pub fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7f
    }

    /// Returns the marker bit: for audio, the first packet of a talkspurt (RFC 3551 section 4.1).
    pub fn marker(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// Returns the sequence number.
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// Returns the timestamp in ticks of the RTP clock.
    pub fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]])
    }

    /// Returns the synchronisation source identifier.
    pub fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.bytes[8], self.bytes[9], self.bytes[10], self.bytes[11]])
    }

    /// Returns the payload without padding; may be empty.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header_len..self.payload_end]
    }

    /// Returns the number of bytes before the payload: header, contributing sources, extension.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Returns the header fields that a relay forwards.
    pub fn header(&self) -> RtpHeader {
        RtpHeader {
            payload_type: self.payload_type(),
            marker: self.marker(),
            sequence: self.sequence(),
            timestamp: self.timestamp(),
            ssrc: self.ssrc(),
        }
    }
}

/// Fixed header of an outgoing packet: no contributing sources, extension or padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Whether this is the first packet of a talkspurt.
    pub marker: bool,
    /// Sequence number, wrapping at 16 bits.
    pub sequence: u16,
    /// Timestamp in ticks of the RTP clock.
    pub timestamp: u32,
    /// Synchronisation source identifier.
    pub ssrc: u32,
}

impl RtpHeader {
    /// Writes the header to the front of `out`; returns the bytes written, always [`HEADER_LEN`].
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`] below 12 bytes, [`RtpError::Range`] for a payload type above 127.
    pub fn write_to(&self, out: &mut [u8]) -> Result<usize, RtpError> {
        let out = out.get_mut(..HEADER_LEN).ok_or(RtpError::BufferTooSmall)?;
        if self.payload_type > 127 {
            return Err(RtpError::Range);
        }
        out[0] = 2 << 6;
        out[1] = u8::from(self.marker) << 7 | self.payload_type;
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        Ok(HEADER_LEN)
    }
}

/// Returns whether a datagram on a port shared by RTP and RTCP is RTCP: second byte 192 to 223
/// (RFC 5761 section 4). Does not check whether it is well formed.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 16] = [0x80, 0x80, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];

    #[test]
    fn fields_of_a_plain_packet_are_read() {
        let packet = RtpPacket::parse(&PLAIN).unwrap();
        let expected = RtpHeader { payload_type: 0, marker: true, sequence: 0x1234, timestamp: 160, ssrc: 0xdead_beef };
        assert_eq!(packet.header(), expected);
        assert_eq!((packet.payload(), packet.header_len()), (&[1, 2, 3, 4][..], 12));
    }

    #[test]
    fn written_header_is_read_back() {
        let header = RtpHeader { payload_type: 127, marker: false, sequence: 65535, timestamp: u32::MAX, ssrc: 1 };
        let mut out = [0xff; 14];
        assert_eq!(header.write_to(&mut out), Ok(12));
        assert_eq!(RtpPacket::parse(&out).unwrap().header(), header);
        assert_eq!(out[12..], [0xff, 0xff]);
        assert_eq!(header.write_to(&mut out[..11]), Err(RtpError::BufferTooSmall));
        assert_eq!(RtpHeader { payload_type: 128, ..header }.write_to(&mut out), Err(RtpError::Range));
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_skipped() {
        let mut bytes = PLAIN[..12].to_vec();
        bytes[0] = 0x80 | 0x20 | 0x10 | 2;
        bytes.extend([9; 8]);
        bytes.extend([0xbe, 0xde, 0, 1, 7, 7, 7, 7]);
        bytes.extend([42, 43, 0, 0, 3]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!((packet.header_len(), packet.payload()), (28, &[42, 43][..]));
    }

    #[test]
    fn packets_with_wrong_lengths_are_refused() {
        for (edit, error) in [
            ((0, 0x00), RtpError::Version),
            ((0, 0xc0), RtpError::Version),
            ((0, 0x82), RtpError::Short),
            ((0, 0x92), RtpError::Short),
            ((15, 0), RtpError::Padding),
            ((15, 5), RtpError::Padding),
        ] {
            let mut bytes = PLAIN;
            if error == RtpError::Padding {
                bytes[0] |= 0x20;
            }
            bytes[edit.0] = edit.1;
            assert_eq!(RtpPacket::parse(&bytes).unwrap_err(), error, "{edit:?}");
        }
        for len in 0..12 {
            assert_eq!(RtpPacket::parse(&PLAIN[..len]).unwrap_err(), RtpError::Short);
        }
        assert!(RtpPacket::parse(&PLAIN[..12]).unwrap().payload().is_empty());
    }

    #[test]
    fn extension_longer_than_the_packet_is_refused() {
        let mut bytes = PLAIN;
        bytes[0] |= 0x10;
        bytes[14] = 0xff;
        bytes[15] = 0xff;
        assert_eq!(RtpPacket::parse(&bytes).unwrap_err(), RtpError::Short);
    }

    #[test]
    fn rtcp_is_distinguished_from_rtp_by_its_second_byte() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(is_rtcp(&[0x81, 223, 0, 6]));
        assert!(!is_rtcp(&[0x80, 0x80 | 63, 0, 6]), "dynamic type with marker");
        assert!(!is_rtcp(&[0x80, 96 | 0x80, 0, 6]), "byte 224: RTP");
        assert!(!is_rtcp(&[0x00, 200, 0, 6]), "STUN");
        assert!(!is_rtcp(&[0x80, 200, 0]));
    }
}
