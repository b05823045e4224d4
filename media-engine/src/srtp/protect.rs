//! The sending side: turns clear packets into protected datagrams.

use super::session::{AEAD_TAG, Cipher, Session, crypt, nonce, seal, tag_of};
use super::window::Sources;
use super::{MasterKey, rtp_header_len, word};

/// SRTCP indices have 31 bits (RFC 3711 section 3.4).
const RTCP_INDICES: u32 = 1 << 31;
/// Bit before the SRTCP index that marks an encrypted packet.
const ENCRYPTED: u32 = 1 << 31;
/// Length of the part of an RTCP packet that stays clear: first header and source.
const RTCP_CLEAR: usize = 8;

/// Context that protects the packets of one side under one master key.
pub struct Protect {
    session: Session,
    sources: Sources,
    /// SRTCP index of the next packet: a single count for all sources, so that it rises for each of them.
    rtcp_index: u32,
}

impl Protect {
    /// Creates a context for a key that has not been used.
    pub fn new(key: &MasterKey) -> Protect {
        Protect { session: Session::new(key), sources: Sources::default(), rtcp_index: 0 }
    }

    /// Protects the RTP packet in the first `length` bytes; returns its new length.
    ///
    /// Returns `None` if nothing may be sent: it is not an RTP packet, `packet` has no room for the tag ([`super::MAX_OVERHEAD`] always
    /// suffices), its number was sent before or is too old to be checked, or the key is used up after 2⁴⁸ packets.
    pub fn rtp(&mut self, packet: &mut [u8], length: usize) -> Option<usize> {
        let end = length.checked_add(self.session.suite.rtp_tag_len())?;
        let packet = packet.get_mut(..end)?;
        let header = rtp_header_len(&packet[..length])?;
        let ssrc = word(packet, 8);
        let mut source = self.sources.find(ssrc);
        let index = source.rtp.index_of(u16::from_be_bytes([packet[2], packet[3]]))?;
        if !source.rtp.is_fresh(index) {
            return None;
        }
        // Recorded before the key stream is used, so that this index encrypts nothing else, whatever happens then.
        source.rtp.take(index);
        self.sources.keep(source);
        match &self.session.rtp {
            Cipher::Counter { aes, hmac, salt } => {
                crypt(aes, salt, ssrc, index, &mut packet[header..length])?;
                // The rollover counter is authenticated with the packet but not sent: it is written where the tag will be.
                packet[length..length + 4].copy_from_slice(&((index >> 16) as u32).to_be_bytes());
                let tag = tag_of(hmac, &packet[..length + 4]);
                packet[length..].copy_from_slice(&tag.as_ref()[..end - length]);
            }
            Cipher::Aead { key, salt } => {
                let (aad, rest) = packet.split_at_mut(header);
                let tag = seal(key, nonce(salt, ssrc, index), aad, &mut rest[..length - header])?;
                rest[length - header..].copy_from_slice(tag.as_ref());
            }
        }
        Some(end)
    }

    /// Protects the RTCP compound packet in the first `length` bytes; returns its new length.
    ///
    /// Returns `None` if nothing may be sent: it is not an RTCP packet, `packet` has no room for index and tag
    /// ([`super::MAX_OVERHEAD`] always suffices), or the key is used up after 2³¹ packets.
    pub fn rtcp(&mut self, packet: &mut [u8], length: usize) -> Option<usize> {
        let end = length.checked_add(4 + self.session.suite.rtcp_tag_len())?;
        let packet = packet.get_mut(..end)?;
        if length < RTCP_CLEAR || packet[0] >> 6 != 2 {
            return None;
        }
        let (ssrc, index) = (word(packet, 4), self.rtcp_index);
        if index == RTCP_INDICES {
            return None;
        }
        self.rtcp_index += 1;
        let trailer = (index | ENCRYPTED).to_be_bytes();
        match &self.session.rtcp {
            Cipher::Counter { aes, hmac, salt } => {
                crypt(aes, salt, ssrc, u64::from(index), &mut packet[RTCP_CLEAR..length])?;
                packet[length..length + 4].copy_from_slice(&trailer);
                let tag = tag_of(hmac, &packet[..length + 4]);
                packet[length + 4..].copy_from_slice(&tag.as_ref()[..end - length - 4]);
            }
            Cipher::Aead { key, salt } => {
                let mut aad = [0; RTCP_CLEAR + 4];
                aad[..RTCP_CLEAR].copy_from_slice(&packet[..RTCP_CLEAR]);
                aad[RTCP_CLEAR..].copy_from_slice(&trailer);
                let tag = seal(key, nonce(salt, ssrc, u64::from(index)), &aad, &mut packet[RTCP_CLEAR..length])?;
                packet[length..length + AEAD_TAG].copy_from_slice(tag.as_ref());
                packet[length + AEAD_TAG..].copy_from_slice(&trailer);
            }
        }
        Some(end)
    }
}
