//! RTCP packets as borrowed views (RFC 3550 section 6).
//!
//! ```text
//! datagram = packet · packet · …        packet = |V=2|P| count | type | words − 1 | body … |
//!   200 SR   ssrc, sender info, count × report block       202 SDES  count × chunk
//!   201 RR   ssrc, count × report block                    203 BYE   count × ssrc, reason
//! ```
//!
//! [`parse`] yields packets up to the first malformed one. Reduced-size RTCP
//! (RFC 5506) is accepted. Not here: feedback and extended reports, which are returned as
//! [`Packet::Other`] with their bodies.

/// Length of a report block in bytes.
pub const REPORT_BLOCK_LEN: usize = 24;

/// Sender information of a sender report (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// SSRC of the sender.
    pub ssrc: u32,
    /// Time on the sender's clock: NTP seconds in the upper half, their fraction in the lower.
    pub ntp: u64,
    /// RTP timestamp of the stream at the same moment.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// Reception report about one stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// SSRC of the stream reported on.
    pub ssrc: u32,
    /// Share of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start; 24 bits, negative with duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number with its wraps in the upper half.
    pub extended_highest: u32,
    /// Inter-arrival jitter in ticks of the stream's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 if there was none.
    pub last_sender_report: u32,
    /// Time since that report arrived, in 1/65536 s.
    pub delay_since_last: u32,
}

impl ReportBlock {
    pub(crate) fn read(b: &[u8; REPORT_BLOCK_LEN]) -> ReportBlock {
        let word = |at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        ReportBlock {
            ssrc: word(0),
            fraction_lost: b[4],
            // Shifting left drops the upper byte; shifting right restores the sign of the 24 bits.
            cumulative_lost: ((word(4) << 8) as i32) >> 8,
            extended_highest: word(8),
            jitter: word(12),
            last_sender_report: word(16),
            delay_since_last: word(20),
        }
    }

    pub(crate) fn bytes(&self) -> [u8; REPORT_BLOCK_LEN] {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let words = [
            self.ssrc,
            u32::from(self.fraction_lost) << 24 | lost,
            self.extended_highest,
            self.jitter,
            self.last_sender_report,
            self.delay_since_last,
        ];
        let mut out = [0; REPORT_BLOCK_LEN];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

/// Iterator over the report blocks of one packet.
#[derive(Clone, Debug)]
pub struct ReportBlocks<'a> {
    bytes: &'a [u8],
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.bytes.split_first_chunk::<REPORT_BLOCK_LEN>()?;
        self.bytes = rest;
        Some(ReportBlock::read(block))
    }
}

/// Source descriptions (RFC 3550 section 6.5).
#[derive(Clone, Debug)]
pub struct Sdes<'a> {
    bytes: &'a [u8],
}

/// One item of a source description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesItem<'a> {
    /// SSRC of the source described.
    pub ssrc: u32,
    /// Item type; 1 is CNAME.
    pub kind: u8,
    /// Text of the item, UTF-8 according to the RFC but not checked.
    pub text: &'a [u8],
}

impl<'a> Sdes<'a> {
    /// Returns all items of all chunks, up to the first malformed one.
    pub fn items(&self) -> impl Iterator<Item = SdesItem<'a>> + use<'a> {
        let mut rest = self.bytes;
        let mut ssrc: Option<u32> = None;
        std::iter::from_fn(move || {
            loop {
                let Some(source) = ssrc else {
                    let (head, after) = rest.split_first_chunk::<4>()?;
                    ssrc = Some(u32::from_be_bytes(*head));
                    rest = after;
                    continue;
                };
                let (&kind, after) = rest.split_first()?;
                if kind == 0 {
                    // The chunk ends with one to four zero bytes, at a multiple of 32 bits, as it began.
                    rest = rest.get((rest.len() - 1) % 4 + 1..)?;
                    ssrc = None;
                    continue;
                }
                let (&len, after) = after.split_first()?;
                let text = after.get(..usize::from(len))?;
                rest = &after[usize::from(len)..];
                return Some(SdesItem { ssrc: source, kind, text });
            }
        })
    }

    /// Returns the first canonical name.
    pub fn cname(&self) -> Option<&'a [u8]> {
        self.items().find(|item| item.kind == 1).map(|item| item.text)
    }
}

/// A goodbye packet (RFC 3550 section 6.6).
#[derive(Clone, Debug)]
pub struct Bye<'a> {
    sources: &'a [u8],
    reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    /// Returns the SSRCs of the sources that leave.
    pub fn sources(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.sources.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Returns the reason, if there is one; UTF-8 according to the RFC but not checked.
    pub fn reason(&self) -> Option<&'a [u8]> {
        self.reason
    }
}

/// One RTCP packet.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// 200: report of a participant that sends and receives.
    SenderReport {
        /// Sender information of the participant.
        report: SenderReport,
        /// Reports about the streams that it receives.
        blocks: ReportBlocks<'a>,
    },
    /// 201: report of a participant that only receives.
    ReceiverReport {
        /// SSRC of the participant.
        ssrc: u32,
        /// Reports about the streams that it receives.
        blocks: ReportBlocks<'a>,
    },
    /// 202: source descriptions.
    Sdes(Sdes<'a>),
    /// 203: a goodbye packet.
    Bye(Bye<'a>),
    /// Any other well-formed packet.
    Other {
        /// Packet type, such as 205 for transport feedback (RFC 4585).
        packet_type: u8,
        /// The count or format field, 0 to 31.
        count: u8,
        /// Bytes after the first word, without padding.
        body: &'a [u8],
    },
}

/// Iterator over the packets of a datagram; see [`parse`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
    malformed: bool,
}

/// Returns the packets of one datagram (for SRTCP: after decryption), up to the first malformed one.
pub fn parse(bytes: &[u8]) -> Packets<'_> {
    Packets { rest: bytes, malformed: bytes.is_empty() }
}

impl Packets<'_> {
    /// Returns whether iteration stopped at malformed bytes; the caller should count that.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        if self.malformed || self.rest.is_empty() {
            return None;
        }
        let packet = split_packet(self.rest).and_then(|(packet, rest)| {
            self.rest = rest;
            read_packet(packet)
        });
        self.malformed = packet.is_none();
        packet
    }
}

/// Splits one whole packet from the front; returns it and the rest.
fn split_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = bytes.first_chunk::<4>()?;
    let len = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
    (head[0] >> 6 == 2).then_some(())?;
    bytes.split_at_checked(len)
}

fn read_packet(packet: &[u8]) -> Option<Packet<'_>> {
    let (count, packet_type) = (packet[0] & 0x1f, packet[1]);
    let mut body = &packet[4..];
    if packet[0] & 0x20 != 0 {
        let padding = usize::from(*body.last()?);
        if padding == 0 || !padding.is_multiple_of(4) {
            return None;
        }
        body = body.get(..body.len().checked_sub(padding)?)?;
    }
    match packet_type {
        200 => {
            let (info, rest) = body.split_first_chunk::<24>()?;
            let word = |at: usize| u32::from_be_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
            let report = SenderReport {
                ssrc: word(0),
                ntp: u64::from(word(4)) << 32 | u64::from(word(8)),
                rtp_timestamp: word(12),
                packets: word(16),
                octets: word(20),
            };
            Some(Packet::SenderReport { report, blocks: blocks(rest, count)? })
        }
        201 => {
            let (ssrc, rest) = body.split_first_chunk::<4>()?;
            Some(Packet::ReceiverReport { ssrc: u32::from_be_bytes(*ssrc), blocks: blocks(rest, count)? })
        }
        202 => Some(Packet::Sdes(Sdes { bytes: body })),
        203 => {
            let (sources, rest) = body.split_at_checked(4 * usize::from(count))?;
            let reason = match rest.split_first() {
                Some((&len, text)) => Some(text.get(..usize::from(len))?),
                None => None,
            };
            Some(Packet::Bye(Bye { sources, reason }))
        }
        192..=223 => Some(Packet::Other { packet_type, count, body }),
        _ => None,
    }
}

/// Returns the blocks that the header announces; profile-specific extensions after them are ignored.
fn blocks(bytes: &[u8], count: u8) -> Option<ReportBlocks<'_>> {
    Some(ReportBlocks { bytes: bytes.get(..REPORT_BLOCK_LEN * usize::from(count))? })
}
