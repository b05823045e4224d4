//! Fuzz functions of this module: no input causes a panic or changes state, and only sealed packets are opened.

use super::{MAX_OVERHEAD, MasterKey, Protect, SrtpError, Suite, Unprotect};

/// Opens `bytes` as a packet of a stranger and as one of ours. The first byte selects the suite.
pub fn fuzz_srtp(bytes: &[u8]) {
    let Some((&choice, datagram)) = bytes.split_first() else { return };
    let suite = Suite::ALL[usize::from(choice) % Suite::ALL.len()];
    let key = MasterKey::new(suite, &[choice; 44][..suite.key_and_salt_len()]).expect("the length fits the suite");
    fuzz_rtp(&key, datagram);
    fuzz_rtcp(&key, datagram);
}

fn fuzz_rtp(key: &MasterKey, datagram: &[u8]) {
    let (mut protect, mut unprotect) = (Protect::new(key), Unprotect::new(key));
    // Guessing a tag is not expected: 32 bits match once in four thousand million rounds.
    assert!(unprotect.rtp(&mut datagram.to_vec()).is_err());
    let mut sealed = [datagram, &[0; MAX_OVERHEAD]].concat();
    let Some(length) = protect.rtp(&mut sealed, datagram.len()) else { return };
    let mut opened = sealed[..length].to_vec();
    assert_eq!(unprotect.rtp(&mut opened), Ok(datagram.len()));
    assert_eq!(opened[..datagram.len()], *datagram);
    assert_eq!(unprotect.rtp(&mut sealed[..length].to_vec()), Err(SrtpError::Replayed));
    assert_eq!(protect.rtp(&mut sealed, datagram.len()), None, "an index encrypts once");
}

fn fuzz_rtcp(key: &MasterKey, datagram: &[u8]) {
    let (mut protect, mut unprotect) = (Protect::new(key), Unprotect::new(key));
    assert!(unprotect.rtcp(&mut datagram.to_vec()).is_err());
    let mut sealed = [datagram, &[0; MAX_OVERHEAD]].concat();
    let Some(length) = protect.rtcp(&mut sealed, datagram.len()) else { return };
    let mut opened = sealed[..length].to_vec();
    assert_eq!(unprotect.rtcp(&mut opened), Ok(datagram.len()));
    assert_eq!(opened[..datagram.len()], *datagram);
    assert_eq!(unprotect.rtcp(&mut sealed[..length].to_vec()), Err(SrtpError::Replayed));
}
