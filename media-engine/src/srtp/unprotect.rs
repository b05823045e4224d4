//! The receiving side: turns datagrams into clear packets if the key's holder sent them, and only once.

use super::session::{AEAD_TAG, Cipher, Session, crypt, is_tag, nonce, open, tag_of};
use super::window::Sources;
use super::{MAX_OVERHEAD, MasterKey, SrtpError, rtp_header_len, word};

/// Bit before the SRTCP index that marks an encrypted packet.
const ENCRYPTED: u32 = 1 << 31;
/// Length of the part of an RTCP packet that stays clear: first header and source.
const RTCP_CLEAR: usize = 8;

/// Context that opens the packets of the far end under one master key.
pub struct Unprotect {
    session: Session,
    sources: Sources,
}

impl Unprotect {
    /// Creates a context that has received no packet.
    pub fn new(key: &MasterKey) -> Unprotect {
        Unprotect { session: Session::new(key), sources: Sources::default() }
    }

    /// Opens one SRTP datagram; returns the length of the clear packet at its front.
    ///
    /// # Errors
    /// [`SrtpError`]; the caller should drop and count the datagram. Its bytes may have changed, the context has not.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let tag_len = self.session.suite.rtp_tag_len();
        let length = packet.len().checked_sub(tag_len).ok_or(SrtpError::Malformed)?;
        let header = rtp_header_len(&packet[..length]).ok_or(SrtpError::Malformed)?;
        let ssrc = word(packet, 8);
        let mut source = self.sources.find(ssrc);
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let index = source.rtp.index_of(sequence).filter(|index| source.rtp.is_fresh(*index));
        let index = index.ok_or(SrtpError::Replayed)?;
        match &self.session.rtp {
            Cipher::Counter { aes, hmac, salt } => {
                let mut kept = [0; MAX_OVERHEAD];
                let tag = &mut kept[..tag_len];
                tag.copy_from_slice(&packet[length..]);
                packet[length..length + 4].copy_from_slice(&((index >> 16) as u32).to_be_bytes());
                if !is_tag(&tag_of(hmac, &packet[..length + 4]), tag) {
                    return Err(SrtpError::Unauthentic);
                }
                crypt(aes, salt, ssrc, index, &mut packet[header..length]).ok_or(SrtpError::Malformed)?;
            }
            Cipher::Aead { key, salt } => {
                let (aad, rest) = packet.split_at_mut(header);
                if !open(key, nonce(salt, ssrc, index), aad, rest) {
                    return Err(SrtpError::Unauthentic);
                }
            }
        }
        source.rtp.take(index);
        self.sources.keep(source);
        Ok(length)
    }

    /// Opens one SRTCP datagram; returns the length of the clear compound packet at its front.
    ///
    /// # Errors
    /// [`SrtpError`]; the caller should drop and count the datagram. Its bytes may have changed, the context has not.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let overhead = 4 + self.session.suite.rtcp_tag_len();
        let length = packet.len().checked_sub(overhead).filter(|length| *length >= RTCP_CLEAR);
        let length = length.filter(|_| packet[0] >> 6 == 2).ok_or(SrtpError::Malformed)?;
        let ssrc = word(packet, 4);
        let mut source = self.sources.find(ssrc);
        // The index is before an HMAC's tag and after an AEAD's.
        let trailer = word(packet, if self.is_aead() { length + AEAD_TAG } else { length });
        let index = u64::from(trailer & !ENCRYPTED);
        if !source.rtcp.is_fresh(index) {
            return Err(SrtpError::Replayed);
        }
        let opened = match &self.session.rtcp {
            Cipher::Counter { aes, hmac, salt } => {
                let (packet, tag) = packet.split_at_mut(length + 4);
                let clear = trailer & ENCRYPTED == 0;
                is_tag(&tag_of(hmac, packet), tag)
                    && (clear || crypt(aes, salt, ssrc, index, &mut packet[RTCP_CLEAR..length]).is_some())
            }
            Cipher::Aead { key, salt } => {
                let nonce = nonce(salt, ssrc, index);
                if trailer & ENCRYPTED == 0 {
                    // Nothing is encrypted: index and tag change places, so that all authenticated bytes are contiguous.
                    packet[length..].rotate_right(4);
                    let (aad, tag) = packet.split_at_mut(length + 4);
                    open(key, nonce, aad, tag)
                } else {
                    let mut aad = [0; RTCP_CLEAR + 4];
                    aad[..RTCP_CLEAR].copy_from_slice(&packet[..RTCP_CLEAR]);
                    aad[RTCP_CLEAR..].copy_from_slice(&trailer.to_be_bytes());
                    open(key, nonce, &aad, &mut packet[RTCP_CLEAR..length + AEAD_TAG])
                }
            }
        };
        if !opened {
            return Err(SrtpError::Unauthentic);
        }
        source.rtcp.take(index);
        self.sources.keep(source);
        Ok(length)
    }

    fn is_aead(&self) -> bool {
        matches!(self.session.rtcp, Cipher::Aead { .. })
    }
}
