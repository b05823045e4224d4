//! Test vectors of the RFCs, and behaviour of networks and attackers. The reference is str0m: see `leg/webrtc/tests.rs`.

use super::session::{Cipher, Session, crypt, nonce, open, seal};
use super::*;
use crate::rtp::RtpHeader;
use crate::rtp::fuzz::mutate::{Random, mutate_and_run};

/// Master key and salt of RFC 3711 appendix B.3, extended for suites with longer keys.
const MASTER: [u8; 44] = *b"\xE1\xF9\x7A\x0D\x3E\x01\x8B\xE0\xD6\x4F\xA3\x2C\x06\xDE\x41\x39\
    \x0E\xC6\x75\xAD\x49\x8A\xFE\xEB\xB6\x96\x0B\x3A\xAB\xE6\
    \x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e";

fn key(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &MASTER[..suite.key_and_salt_len()]).unwrap()
}

fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0xd5; 172];
    let timestamp = u32::from(sequence) * 160;
    RtpHeader { payload_type: 0, marker: false, sequence, timestamp, ssrc }.write_to(&mut bytes).unwrap();
    bytes[12] = sequence as u8;
    bytes
}

fn report(ssrc: u32, count: u8) -> Vec<u8> {
    [&[0x80, 201, 0, 2][..], &ssrc.to_be_bytes(), &[1, 2, 3, count]].concat()
}

fn sealed(protect: &mut Protect, clear: &[u8]) -> Vec<u8> {
    let mut bytes = [clear, &[0; MAX_OVERHEAD]].concat();
    let length = if crate::rtp::is_rtcp(clear) {
        protect.rtcp(&mut bytes, clear.len())
    } else {
        protect.rtp(&mut bytes, clear.len())
    };
    bytes.truncate(length.expect("the packet is sent for the first time"));
    bytes
}

fn opened(unprotect: &mut Unprotect, datagram: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut bytes = datagram.to_vec();
    let length = if crate::rtp::is_rtcp(datagram) { unprotect.rtcp(&mut bytes) } else { unprotect.rtp(&mut bytes) }?;
    bytes.truncate(length);
    Ok(bytes)
}

// ---- vectors ----

#[test]
fn session_keys_are_those_of_rfc_3711_b_3() {
    let Cipher::Counter { aes, salt, .. } = Session::new(&key(Suite::AesCm128HmacSha1_80)).rtp else { panic!() };
    assert_eq!(hex::encode_upper(salt), "30CBBC08863D8C85D49DB34A9AE1");
    // Key stream of the cipher key given in the RFC: the derived key is verified by its effect.
    let given = hex::decode("C61E7A93744F39EE10734AFE3FF7A087").unwrap();
    let (mut derived, mut expected) = ([0_u8; 48], [0_u8; 48]);
    crypt(&aes, &[0; 14], 1, 2, &mut derived).unwrap();
    crypt(&super::session::counter_mode(&given), &[0; 14], 1, 2, &mut expected).unwrap();
    assert_eq!(derived, expected);
    let auth: [u8; 20] = super::session::derive(&key(Suite::AesCm128HmacSha1_80), 1);
    assert_eq!(hex::encode_upper(auth), "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
}

#[test]
fn key_stream_is_that_of_rfc_3711_b_2() {
    let aes = super::session::counter_mode(b"\x2B\x7E\x15\x16\x28\xAE\xD2\xA6\xAB\xF7\x15\x88\x09\xCF\x4F\x3C");
    let salt = b"\xF0\xF1\xF2\xF3\xF4\xF5\xF6\xF7\xF8\xF9\xFA\xFB\xFC\xFD";
    let mut stream = vec![0; 16 * 0xff02];
    crypt(&aes, salt, 0, 0, &mut stream).unwrap();
    for (block, expected) in [
        (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ] {
        assert_eq!(hex::encode_upper(&stream[16 * block..][..16]), expected, "block {block:x}");
    }
}

#[test]
fn aead_packets_are_those_of_rfc_7714_16() {
    let secret: [u8; 16] = std::array::from_fn(|n| n as u8);
    let aead = aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_128_GCM, &secret).unwrap();
    let aead = aws_lc_rs::aead::LessSafeKey::new(aead);
    let salt = b"Quid pro quo";
    // Section 16.1.1: RTP, header as associated data.
    let mut payload = b"Gallia est omnis divisa in partes tres".to_vec();
    let header = hex::decode("8040f17b8041f8d35501a0b2").unwrap();
    let tag = seal(&aead, nonce(salt, 0x5501_a0b2, 0xf17b), &header, &mut payload).unwrap();
    payload.extend(tag.as_ref());
    let expected = "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
        899d7f27beb16a9152cf765ee4390cce";
    assert_eq!(hex::encode(&payload), expected);
    assert!(open(&aead, nonce(salt, 0x5501_a0b2, 0xf17b), &header, &mut payload));
    // Section 16.2.1: RTCP, header and index as associated data.
    let mut report =
        hex::decode("4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")
            .unwrap();
    let aad = hex::decode("81c8000d4d617273800005d4").unwrap();
    let tag = seal(&aead, nonce(salt, 0x4d61_7273, 0x5d4), &aad, &mut report).unwrap();
    let expected = "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b";
    assert_eq!(
        (hex::encode(report).as_str(), hex::encode(tag.as_ref()).as_str()),
        (expected, "c84aa45896cf4d2fc5abf87245d9eade")
    );
}

// ---- the network, and attackers ----

#[test]
fn replayed_and_too_old_packets_are_refused() {
    for suite in Suite::ALL {
        let (mut protect, mut unprotect) = (Protect::new(&key(suite)), Unprotect::new(&key(suite)));
        let sent: Vec<_> = (0..300).map(|sequence| sealed(&mut protect, &packet(1, sequence))).collect();
        // Out of order within the window, each once.
        for (n, expected) in [
            (0, Ok(())),
            (0, Err(SrtpError::Replayed)),
            (150, Ok(())),
            (22, Err(SrtpError::Replayed)),
            (23, Ok(())),
            (149, Ok(())),
            (23, Err(SrtpError::Replayed)),
            (299, Ok(())),
            (150, Err(SrtpError::Replayed)),
            (298, Ok(())),
        ] {
            assert_eq!(opened(&mut unprotect, &sent[n]).map(drop), expected, "{suite:?} {n}");
        }
        let reports: Vec<_> = (0..3).map(|n| sealed(&mut protect, &report(1, n))).collect();
        for (n, expected) in [(1, Ok(())), (0, Ok(())), (1, Err(SrtpError::Replayed)), (2, Ok(()))] {
            assert_eq!(opened(&mut unprotect, &reports[n]).map(drop), expected, "{suite:?} report {n}");
        }
    }
}

#[test]
fn every_damaged_byte_is_detected_and_no_state_changes() {
    for suite in Suite::ALL {
        let (mut protect, mut unprotect) = (Protect::new(&key(suite)), Unprotect::new(&key(suite)));
        for clear in [packet(5, 40_000), report(5, 1)] {
            let sent = sealed(&mut protect, &clear);
            for at in 0..sent.len() {
                let mut forged = sent.clone();
                forged[at] ^= 0x11;
                assert!(opened(&mut unprotect, &forged).is_err(), "{suite:?} byte {at}");
            }
            for length in 0..sent.len() {
                assert!(opened(&mut unprotect, &sent[..length]).is_err(), "{suite:?} cut to {length}");
            }
            assert_eq!(opened(&mut unprotect, &sent), Ok(clear), "{suite:?}: neither source nor window has changed");
        }
    }
}

#[test]
fn forged_sequence_numbers_move_neither_window_nor_rollover() {
    for suite in Suite::ALL {
        let (mut protect, mut unprotect) = (Protect::new(&key(suite)), Unprotect::new(&key(suite)));
        let mut random = Random::new(11);
        for n in 65_000..66_500_u32 {
            let clear = packet(3, n as u16);
            let sent = sealed(&mut protect, &clear);
            let mut forged = sent.clone();
            forged[2] = random.next() as u8;
            forged[3] = forged[3].wrapping_add(1 + random.below(200) as u8);
            assert!(opened(&mut unprotect, &forged).is_err());
            assert_eq!(opened(&mut unprotect, &sent), Ok(clear), "{suite:?} {n}");
        }
    }
}

#[test]
fn rollover_is_followed_through_loss_and_reordering() {
    for suite in Suite::ALL {
        for seed in 0..20 {
            let (mut protect, mut unprotect) = (Protect::new(&key(suite)), Unprotect::new(&key(suite)));
            let mut random = Random::new(seed + 1);
            let mut waiting: Vec<(u32, Vec<u8>)> = Vec::new();
            let (mut came, mut sent) = (0, 0);
            for step in 0..3000_u32 {
                // Steps of up to a thousand: several roll-overs with bursts of loss between them.
                let number = 30_000 + step * (1 + seed as u32 % 3 * 40);
                let bytes = sealed(&mut protect, &packet(1, number as u16));
                if random.below(10) < 8 {
                    sent += 1;
                    waiting.push((step + random.below(3) as u32, bytes));
                }
                for (_, bytes) in waiting.extract_if(.., |(due, _)| *due <= step) {
                    came += usize::from(opened(&mut unprotect, &bytes).is_ok());
                }
            }
            assert_eq!(came + waiting.len(), sent, "{suite:?} seed {seed}");
        }
    }
}

#[test]
fn sources_have_separate_numbers_and_share_a_key() {
    for suite in Suite::ALL {
        let (mut protect, mut unprotect) = (Protect::new(&key(suite)), Unprotect::new(&key(suite)));
        for n in 0..200_u32 {
            for ssrc in 0..4 {
                let clear = packet(ssrc, (n + ssrc * 16_380) as u16);
                let sent = sealed(&mut protect, &clear);
                assert_eq!(opened(&mut unprotect, &sent), Ok(clear), "{suite:?}");
            }
        }
    }
}

#[test]
fn no_index_encrypts_two_packets() {
    for suite in Suite::ALL {
        let mut protect = Protect::new(&key(suite));
        let mut bytes = [packet(1, 500), vec![0; MAX_OVERHEAD]].concat();
        assert!(protect.rtp(&mut bytes, 172).is_some());
        let mut other = [packet(1, 500), vec![1; MAX_OVERHEAD]].concat();
        assert_eq!(protect.rtp(&mut other, 172), None, "{suite:?}");
        assert_eq!(protect.rtp(&mut [packet(1, 501)].concat(), 172), None, "no room for the tag");
        assert!(protect.rtp(&mut [packet(1, 499), vec![0; MAX_OVERHEAD]].concat(), 172).is_some(), "reordered");
    }
}

#[test]
fn unencrypted_reports_are_authenticated_too() {
    // Written by hand, because we never send such packets. RFC 3711 section 3.4, E flag 0.
    let clear = report(9, 3);
    let Cipher::Counter { hmac, .. } = Session::new(&key(Suite::AesCm128HmacSha1_80)).rtcp else { panic!() };
    let mut counter = [clear.as_slice(), &[0, 0, 0, 4]].concat();
    let tag = super::session::tag_of(&hmac, &counter);
    counter.extend(&tag.as_ref()[..10]);
    let Cipher::Aead { key: aead, salt } = Session::new(&key(Suite::AeadAes128Gcm)).rtcp else { panic!() };
    let aad = [clear.as_slice(), &[0, 0, 0, 4]].concat();
    let tag = seal(&aead, nonce(&salt, 9, 4), &aad, &mut []).unwrap();
    let aead = [clear.as_slice(), tag.as_ref(), &[0, 0, 0, 4]].concat();
    for (suite, datagram) in [(Suite::AesCm128HmacSha1_80, counter), (Suite::AeadAes128Gcm, aead)] {
        let mut unprotect = Unprotect::new(&key(suite));
        let mut forged = datagram.clone();
        forged[11] ^= 1;
        assert_eq!(opened(&mut unprotect, &forged), Err(SrtpError::Unauthentic), "{suite:?}");
        assert_eq!(opened(&mut unprotect, &datagram).as_ref(), Ok(&clear), "{suite:?}");
        assert_eq!(opened(&mut unprotect, &datagram), Err(SrtpError::Replayed), "{suite:?}");
    }
}

#[test]
fn master_key_is_hidden_in_debug_and_read_back_from_its_serialised_form() {
    for suite in Suite::ALL {
        let bytes = &MASTER[..suite.key_and_salt_len()];
        let key = MasterKey::new(suite, bytes).unwrap();
        let (back, length) = key.key_and_salt();
        assert_eq!(back[..length], *bytes);
        assert_eq!(format!("{key:?}"), format!("MasterKey {{ suite: {suite:?}, .. }}"));
        assert!(MasterKey::new(suite, &bytes[1..]).is_none());
    }
}

#[test]
fn mutated_packets_are_refused_and_change_no_state() {
    let mut seeds = Vec::new();
    for (choice, suite) in Suite::ALL.into_iter().enumerate() {
        let key = MasterKey::new(suite, &[choice as u8; 44][..suite.key_and_salt_len()]).unwrap();
        let mut protect = Protect::new(&MasterKey { key: [0xee; MAX_KEY], ..key });
        for clear in [packet(7, 65_535), report(7, 0)] {
            seeds.push([&[choice as u8][..], &sealed(&mut protect, &clear)].concat());
            seeds.push([&[choice as u8][..], &clear].concat());
        }
    }
    mutate_and_run(&seeds, 30_000, fuzz::fuzz_srtp);
}
