//! Tests of descriptions and offer/answer.
//!
//! The texts of sipp, baresip and Chromium are those that the programs send. Every test parses an offer or an answer, and
//! checks the agreement and the text that we send. The second half covers keys (SDES), comfort noise and packet lengths.
//!
//! Not here: browser sessions, which `leg::webrtc` tests.

use super::*;
use crate::units::{ClockRate, SampleRate};

fn local() -> Local {
    Local {
        address: "192.0.2.9".parse().unwrap(),
        rtp_port: 20_000,
        rtcp_port: 20_001,
        session_id: 77,
        codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma],
        srtp: LocalSrtp::new(Srtp::Optional, [1; 32]),
        comfort_noise: false,
    }
}

fn answer_to(offer: &str) -> (String, Audio) {
    local().answer(&Session::parse(offer).unwrap(), 3).unwrap()
}

/// Offer of sipp's built-in scenario.
const SIPP: &str = "v=0\r\no=user1 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// Offer of baresip: telephone-event only at 8 kHz, rtcp-mux and a label.
const BARESIP: &str = "v=0\r\no=- 3945 2174 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    a=tool:baresip 1.0\r\nm=audio 10020 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\n\
    a=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:10021\r\na=sendrecv\r\na=label:1\r\n\
    a=rtcp-rsize\r\na=rtcp-mux\r\na=ssrc:1 cname:sip:a@b\r\na=ptime:20\r\n";

/// Offer of Chromium, shortened.
const CHROMIUM: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlsl\r\na=fingerprint:sha-256 6B:8B\r\na=setup:actpass\r\n\
    a=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n";

#[test]
fn sipp_is_answered_in_pcmu() {
    let (text, audio) = answer_to(SIPP);
    assert_eq!((audio.codec, audio.payload_type, audio.receive_payload_type), (Codec::Pcmu, 0, 0));
    assert_eq!(audio.remote_rtp, "127.0.0.1:6000".parse().unwrap());
    assert_eq!(audio.remote_rtcp, "127.0.0.1:6001".parse().unwrap());
    assert_eq!((audio.telephone_event, audio.ptime, audio.rtcp_mux), (None, Ptime::MS_20, false));
    assert_eq!(
        text,
        "v=0\r\no=- 77 3 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn first_codec_of_the_offer_wins_with_its_number_and_mux() {
    let (text, audio) = answer_to(BARESIP);
    assert_eq!((audio.codec, audio.payload_type), (Codec::Opus, 96));
    assert!(audio.rtcp_mux && text.contains("a=rtcp-mux\r\n"));
    assert_eq!(audio.remote_rtcp, audio.remote_rtp);
    let event = audio.telephone_event.unwrap();
    assert_eq!((event.payload_type, event.clock), (101, ClockRate::HZ_8000), "the only one that is offered");
    assert!(text.contains("m=audio 20000 RTP/AVP 96 101\r\n"));
}

#[test]
fn telephone_event_is_chosen_by_the_codecs_clock() {
    let offer = SIPP.replace("RTP/AVP 0", "RTP/AVP 111 110 0 126").to_owned()
        + "a=rtpmap:111 opus/48000/2\r\na=rtpmap:126 telephone-event/8000\r\na=rtpmap:110 telephone-event/48000\r\n";
    let (_, audio) = answer_to(&offer);
    assert_eq!(audio.telephone_event.map(|event| (event.payload_type, event.clock.0)), Some((110, 48_000)));
    let narrow = Local { codecs: vec![Codec::Pcmu], ..local() };
    let (_, audio) = narrow.answer(&Session::parse(&offer).unwrap(), 1).unwrap();
    assert_eq!(audio.telephone_event.map(|event| (event.payload_type, event.clock.0)), Some((126, 8_000)));
}

#[test]
fn browsers_are_recognised_and_not_answered_here() {
    let offer = Session::parse(CHROMIUM).unwrap();
    assert!(is_webrtc(&offer));
    assert!(!is_webrtc(&Session::parse(BARESIP).unwrap()));
    assert_eq!(local().answer(&offer, 1).unwrap_err(), SdpError::NoAudio);
    let over_avp = SIPP.to_owned() + "a=ice-ufrag:x\r\na=fingerprint:sha-256 6B\r\n";
    assert!(is_webrtc(&Session::parse(over_avp).unwrap()));
}

#[test]
fn codec_and_address_of_any_description_are_found() {
    let browser = Session::parse(CHROMIUM).unwrap();
    assert_eq!(browser.first_audio_codec(), Some(Codec::Opus));
    let l16 = Session::parse(SIPP.replace("0 PCMU/8000", "0 L16/16000")).unwrap();
    assert_eq!(l16.first_audio_codec(), Some(Codec::L16 { rate: SampleRate::HZ_16000 }));
    assert_eq!(l16.connection_address(), Some("127.0.0.1".parse().unwrap()));
    assert_eq!(Session::parse("v=0\n").unwrap().first_audio_codec(), None);
}

#[test]
fn every_offered_section_is_answered_in_its_place() {
    let offer = "v=0\r\no=bob 1 1 IN IP4 host.example.com\r\ns=\r\nt=3338481189 3370017201\r\n\
        m=video 6024 RTP/AVP 107\r\nc=IN IP6 2001:db8::1\r\nm=audio 22334 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n\
        m=image 0 udptl t38\r\nm=audio 5000 RTP/SAVP 8\r\n";
    let (text, audio) = answer_to(offer);
    let media: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    let expected = ["m=video 0 RTP/AVP 107", "m=audio 20000 RTP/AVP 0", "m=image 0 udptl t38", "m=audio 0 RTP/SAVP 8"];
    assert_eq!(media, expected);
    assert_eq!(audio.remote_rtp, "192.0.2.1:22334".parse().unwrap());
    assert!(text.contains("t=3338481189 3370017201\r\n"));
}

#[test]
fn hold_is_answered_with_the_reversed_direction() {
    for (attribute, ours) in [
        ("a=sendonly", Direction::RecvOnly),
        ("a=recvonly", Direction::SendOnly),
        ("a=inactive", Direction::Inactive),
        ("a=sendrecv", Direction::SendRecv),
    ] {
        let (text, audio) = answer_to(&format!("{SIPP}{attribute}\r\n"));
        assert_eq!(audio.direction, ours);
        assert!(text.contains(&format!("a={}\r\n", ours.as_str())));
        let at_session = SIPP.replace("m=audio", &format!("{attribute}\r\nm=audio"));
        assert_eq!(answer_to(&at_session).1.direction, ours, "session level");
    }
    let old = SIPP.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0");
    assert_eq!(answer_to(&old).1.direction, Direction::RecvOnly);
    assert_eq!(answer_to(&format!("{old}a=inactive\r\n")).1.direction, Direction::Inactive);
}

#[test]
fn packet_length_follows_the_peer_between_10_and_60_ms() {
    let offer = SIPP.replace("RTP/AVP 0", "RTP/AVP 111 0") + "a=rtpmap:111 opus/48000/2\r\n";
    for (lines, pcmu, opus) in [
        ("a=ptime:10\r\n", 10, 10),
        ("a=ptime:30\r\n", 30, 20),
        ("a=ptime:50\r\n", 50, 40),
        ("a=ptime:60\r\n", 60, 60),
        ("a=ptime:80\r\n", 20, 20),
        ("a=ptime:5\r\n", 20, 20),
        ("a=ptime:x\r\n", 20, 20),
        ("a=ptime:40\r\na=maxptime:30\r\n", 30, 20),
        ("", 20, 20),
    ] {
        let session = Session::parse(format!("{offer}{lines}")).unwrap();
        let ms = |codec| {
            let local = Local { codecs: vec![codec], ..local() };
            local.answer(&session, 1).unwrap().1.ptime.0.as_millis()
        };
        assert_eq!((ms(Codec::Pcmu), ms(Codec::Opus)), (pcmu, opus), "{lines:?}");
    }
}

#[test]
fn our_offer_can_be_answered_with_other_payload_types() {
    let ours = local().offer(1, Direction::SendRecv);
    assert!(ours.contains("m=audio 20000 RTP/AVP 111 0 8 110 101\r\n"), "{ours}");
    let answer = "v=0\r\no=x 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 98 99\r\na=rtpmap:98 OPUS/48000/2\r\na=rtpmap:99 telephone-event/48000\r\n\
        a=rtcp:4007 IN IP4 198.51.100.8\r\na=ptime:40\r\na=recvonly\r\n";
    let audio = local().accept(&Session::parse(answer).unwrap()).unwrap();
    assert_eq!((audio.codec, audio.payload_type, audio.receive_payload_type), (Codec::Opus, 98, 111));
    let event = audio.telephone_event.unwrap();
    assert_eq!((event.payload_type, event.receive_payload_type, event.clock.0), (99, 110, 48_000));
    assert_eq!(audio.remote_rtcp, "198.51.100.8:4007".parse().unwrap());
    assert_eq!((audio.direction, audio.ptime.0.as_millis()), (Direction::SendOnly, 40));
}

#[test]
fn payload_types_without_rtpmap_have_the_meaning_of_the_offer() {
    let answer = SIPP.replace("RTP/AVP 0\r\na=rtpmap:0 PCMU/8000", "RTP/AVP 111 110");
    let audio = local().accept(&Session::parse(answer).unwrap()).unwrap();
    assert_eq!((audio.codec, audio.payload_type), (Codec::Opus, 111));
    assert_eq!(audio.telephone_event.map(|event| event.payload_type), Some(110));
    let foreign = SIPP.replace("RTP/AVP 0\r\na=rtpmap:0 PCMU/8000", "RTP/AVP 98");
    assert_eq!(local().accept(&Session::parse(foreign).unwrap()), Err(SdpError::NoCommonCodec));
}

#[test]
fn redefined_static_payload_types_follow_their_rtpmap() {
    let offer = SIPP.replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 G726-32/8000");
    assert_eq!(local().answer(&Session::parse(offer).unwrap(), 1).unwrap_err(), SdpError::NoCommonCodec);
}

#[test]
fn unusable_offers_are_refused_with_their_reason() {
    for (text, error) in [
        (SIPP.replace("m=audio 6000", "m=audio 0"), SdpError::NoAudio),
        (SIPP.replace("RTP/AVP", "RTP/SAVP"), SdpError::Keys),
        ("v=0\r\n".to_owned(), SdpError::NoAudio),
        (SIPP.replace("RTP/AVP 0", "RTP/AVP 18"), SdpError::NoCommonCodec),
        (SIPP.replace("c=IN IP4 127.0.0.1\r\n", ""), SdpError::Address),
        (SIPP.replace("c=IN IP4 127.0.0.1", "c=IN IP4 media.example.com"), SdpError::Address),
        (SIPP.replace("c=IN IP4 127.0.0.1", "c=IN IP4 224.2.1.1/127"), SdpError::Address),
    ] {
        assert_eq!(local().answer(&Session::parse(&text).unwrap(), 1).unwrap_err(), error, "{text}");
    }
    for (text, error) in [
        (SIPP.replace("audio 6000", "audio 66000"), SdpError::Syntax('m')),
        (SIPP.replace("c=IN", "c=OUT"), SdpError::Syntax('c')),
        ("a=x\n".repeat(MAX_ATTRIBUTES + 1), SdpError::TooLarge),
        ("m=audio 1 RTP/AVP 0\n".repeat(MAX_MEDIA + 1), SdpError::TooLarge),
        ("x".repeat(MAX_SDP + 1), SdpError::TooLarge),
    ] {
        assert_eq!(Session::parse(&text), Err(error));
    }
    let rejected = SIPP.replace("audio 6000", "audio 0");
    assert_eq!(local().accept(&Session::parse(rejected).unwrap()), Err(SdpError::Rejected));
}

#[test]
fn bare_line_feeds_and_unknown_lines_are_accepted() {
    let text = SIPP.replace("\r\n", "\n") + "a=what-is-this:1 2 3\nz=0 0\nq=?\nnonsense\n";
    assert_eq!(answer_to(&text).1, answer_to(SIPP).1);
}

#[test]
fn ipv6_and_l16_and_odd_rtcp_ports_are_written() {
    let local = Local {
        address: "2001:db8::9".parse().unwrap(),
        rtcp_port: 30_000,
        codecs: vec![Codec::L16 { rate: SampleRate::HZ_16000 }, Codec::Pcma],
        ..local()
    };
    let offer = local.offer(1, Direction::Inactive);
    assert!(offer.contains("c=IN IP6 2001:db8::9\r\n") && offer.contains("a=rtcp:30000\r\n"), "{offer}");
    assert!(offer.contains("a=rtpmap:112 L16/16000\r\n") && offer.contains("a=inactive\r\n"), "{offer}");
    let (_, audio) = local.answer(&Session::parse(&offer).unwrap(), 1).unwrap();
    assert_eq!((audio.codec, audio.direction), (Codec::L16 { rate: SampleRate::HZ_16000 }, Direction::Inactive));
    assert_eq!(audio.remote_rtcp.port(), 30_000);
}

#[test]
fn mutated_descriptions_never_cause_a_panic() {
    let secure = SIPP.replace("RTP/AVP", "RTP/SAVP") + &crypto(KEY_A);
    let corpus = [SIPP, BARESIP, CHROMIUM, &secure];
    let mut state = 0x5d_5d5d_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    let pieces: [&[u8]; 8] =
        [b"\r\n", b"=", b" ", b":", b"/", b"m=audio 0 RTP/AVP 0\n", b"99999999999", b"a=rtcp:65535 IN IP4 ::\n"];
    for round in 0..20_000 {
        let mut bytes = corpus[round % corpus.len()].as_bytes().to_vec();
        for _ in 0..=below(4) {
            let at = below(bytes.len() + 1);
            let end = (at + below(30)).min(bytes.len());
            match below(4) {
                0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, pieces[below(pieces.len())].iter().copied())),
                _ => bytes.extend_from_within(at..end),
            }
        }
        let result = std::panic::catch_unwind(|| fuzz::fuzz_session(&bytes));
        assert!(result.is_ok(), "round {round}: {}", bytes.escape_ascii());
    }
}

// ---- keys ----

const KEY_A: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const KEY_B: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

fn with_policy(policy: Srtp) -> Local {
    Local { srtp: LocalSrtp::new(policy, [3; 32]), ..local() }
}

/// Offer of a telephone with keys (RFC 4568 section 4, and as seen in practice).
fn secure_offer(lines: &str) -> Session {
    Session::parse(SIPP.replace("RTP/AVP", "RTP/SAVP") + lines).unwrap()
}

fn crypto(key: &str) -> String {
    format!("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n")
}

#[test]
fn offered_keys_are_answered_under_the_same_number_with_our_own() {
    let offer = format!("a=crypto:2 F8_128_HMAC_SHA1_80 inline:{KEY_B}\r\n{}", crypto(KEY_A));
    let (text, audio) = local().answer(&secure_offer(&offer), 1).unwrap();
    let keys = audio.srtp.unwrap();
    assert!(text.contains("m=audio 20000 RTP/SAVP 0\r\n"), "{text}");
    assert_eq!(text.matches("a=crypto:").count(), 1);
    assert!(text.contains("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"), "{text}");
    assert!(!text.contains(KEY_A) && keys.send != keys.receive);
    // The far end reads our key from the answer.
    let answer = Session::parse(&text).unwrap();
    let line = answer.audio().unwrap().attribute("crypto").flatten().unwrap();
    assert_eq!(crypto::Crypto::parse(line).unwrap().key, keys.send);
    let (_, avpf) = local().answer(&Session::parse(SIPP.replace("AVP", "SAVPF") + &crypto(KEY_A)).unwrap(), 1).unwrap();
    assert!(avpf.srtp.is_some());
}

#[test]
fn our_key_is_kept_while_theirs_is_and_never_used_again() {
    let mut local = with_policy(Srtp::Optional);
    let mut agreed = |key: &str, version| {
        let (_, audio) = local.answer(&secure_offer(&crypto(key)), version).unwrap();
        local.srtp.agreed = audio.srtp;
        audio.srtp.unwrap()
    };
    let first = agreed(KEY_A, 1);
    assert_eq!(agreed(KEY_A, 2), first, "a refresh");
    let other = agreed(KEY_B, 3);
    assert_ne!((other.send, other.receive), (first.send, first.receive));
    assert_ne!(other.send, first.send, "another device does not know the roll-over counter");
    let again = agreed(KEY_A, 4);
    assert_eq!(again.receive, first.receive);
    assert_ne!(again.send, first.send, "a new context never uses an old key");
}

#[test]
fn policy_decides_whether_media_may_be_plain() {
    let plain = Session::parse(SIPP).unwrap();
    let (secure, opportunistic) =
        (secure_offer(&crypto(KEY_A)), Session::parse(SIPP.to_owned() + &crypto(KEY_A)).unwrap());
    let outcome = |policy, offer: &Session| with_policy(policy).answer(offer, 1).map(|(_, audio)| audio.srtp.is_some());
    for (policy, expected) in [
        (Srtp::Off, [Ok(false), Err(SdpError::Keys), Ok(false)]),
        (Srtp::Optional, [Ok(false), Ok(true), Ok(true)]),
        (Srtp::Required, [Err(SdpError::Keys), Ok(true), Ok(true)]),
    ] {
        assert_eq!([&plain, &secure, &opportunistic].map(|offer| outcome(policy, offer)), expected, "{policy:?}");
    }
    assert_eq!(SdpError::Keys.sip_status(), 488);
    assert_eq!(outcome(Srtp::Optional, &secure_offer("")), Err(SdpError::Keys));
    for (policy, protocol) in [(Srtp::Off, "RTP/AVP"), (Srtp::Optional, "RTP/AVP"), (Srtp::Required, "RTP/SAVP")] {
        let text = with_policy(policy).offer(1, Direction::SendRecv);
        assert!(text.contains(&format!(" {protocol} ")), "{policy:?}: {text}");
        assert_eq!(text.contains("a=crypto"), policy == Srtp::Required);
    }
}

#[test]
fn both_sides_of_an_offer_end_up_with_the_same_keys() {
    let caller = with_policy(Srtp::Required);
    let mut callee = local();
    callee.srtp = LocalSrtp::new(Srtp::Optional, [9; 32]);
    let offer = caller.offer(1, Direction::SendRecv);
    let (answer, theirs) = callee.answer(&Session::parse(&offer).unwrap(), 1).unwrap();
    let ours = caller.accept(&Session::parse(&answer).unwrap()).unwrap().srtp.unwrap();
    let theirs = theirs.srtp.unwrap();
    assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
    for wrong in [
        answer.replace("RTP/SAVP", "RTP/AVP"),
        answer.replace("a=crypto:1", "a=crypto:2"),
        answer.replace("a=crypto", "a=x"),
    ] {
        assert!(caller.accept(&Session::parse(&wrong).unwrap()).is_err(), "{wrong}");
    }
    // A later offer of either side continues with the agreed key.
    let mut again = callee;
    again.srtp.agreed = Some(theirs);
    let text = again.offer(2, Direction::SendRecv);
    assert!(text.contains("RTP/SAVP") && text.matches("a=crypto").count() == 1, "{text}");
}

#[test]
fn a_forked_offer_is_answered_more_than_once() {
    let mut caller = with_policy(Srtp::Required);
    let offer = Session::parse(caller.offer(1, Direction::SendRecv)).unwrap();
    let mut keys = Vec::new();
    for (suite, secret) in [("AES_CM_128_HMAC_SHA1_80", 8), ("AEAD_AES_128_GCM", 9)] {
        let mut offer = offer.clone();
        for media in &mut offer.media {
            let other = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.contains(suite));
            media.attributes.retain(|attribute| attribute.name != "crypto" || !other(&attribute.value));
        }
        let mut callee = local();
        callee.srtp = LocalSrtp::new(Srtp::Optional, [secret; 32]);
        let (answer, theirs) = callee.answer(&offer, 1).unwrap();
        caller.srtp.reopen();
        let ours = caller.accept(&Session::parse(&answer).unwrap()).unwrap();
        caller.srtp.agreed = ours.srtp;
        let (ours, theirs) = (ours.srtp.unwrap(), theirs.srtp.unwrap());
        assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
        keys.push(ours);
    }
    assert_ne!(keys[0].send, keys[1].send);
}

#[test]
fn crypto_lines_that_would_change_the_packets_are_ignored() {
    let short = &KEY_A[..38];
    let gcm = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3OA==";
    for (line, followed) in [
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}"), true),
        (format!("1 aes_cm_128_hmac_sha1_32 INLINE:{KEY_A}|2^20"), true),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}|1048576 WSH=128 -NEW=1"), true),
        (format!("999999999 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}"), true),
        (format!("1 AEAD_AES_128_GCM inline:{gcm}"), true),
        (format!("1 AEAD_AES_128_GCM inline:{}", gcm.trim_end_matches('=')), true),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}|2^20|1:4"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}|1:4"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A};inline:{KEY_B}"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A} KDR=1"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A} UNENCRYPTED_SRTP"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A} UNAUTHENTICATED_SRTP"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{short}"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}AAAA"), false),
        (format!("1 AEAD_AES_128_GCM inline:{KEY_A}"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}{KEY_A}{KEY_A}"), false),
        (format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}"), false),
        (format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY_A}"), false),
        ("1 AES_CM_128_HMAC_SHA1_80 uri:example".to_owned(), false),
        ("1 AES_CM_128_HMAC_SHA1_80".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(crypto::Crypto::parse(&line).is_some(), followed, "{line}");
    }
}

#[test]
fn debug_output_contains_no_keys() {
    let (_, audio) = local().answer(&secure_offer(&crypto(KEY_A)), 1).unwrap();
    let text = format!("{audio:?} {:?} {:?}", local(), audio.srtp.unwrap().send);
    assert!(text.contains("AesCm128HmacSha1_80"));
    assert!(!text.contains("89, 83"), "the first bytes of the key: {text}");
    let line = crypto::Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_A}")).unwrap();
    let shown = format!("{line:?}");
    assert!(!shown.contains("89, 83"), "{shown}");
}

#[test]
fn g722_is_payload_type_9_with_or_without_rtpmap_and_has_a_clock_of_8_khz() {
    for line in ["", "a=rtpmap:9 G722/8000\r\n"] {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 9 0\r\n{line}a=ptime:30\r\n");
        let wide = Local { codecs: vec![Codec::G722, Codec::Pcmu], ..local() };
        let (answer, audio) = wide.answer(&Session::parse(&text).unwrap(), 1).unwrap();
        assert_eq!((audio.codec, audio.payload_type, audio.ptime.0.as_millis()), (Codec::G722, 9, 30));
        assert_eq!(audio.codec.clock().0, 8_000);
        assert_eq!(audio.codec.sample_rate(), SampleRate::HZ_16000);
        assert!(answer.contains("a=rtpmap:9 G722/8000\r\n"), "{answer}");
    }
}

#[test]
fn comfort_noise_is_agreed_at_the_clock_of_the_codec_if_enabled() {
    let offer = "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 0 13 98\r\na=rtpmap:98 CN/16000\r\n";
    for (wanted, codec) in [(true, Codec::Pcmu), (false, Codec::Pcmu)] {
        let local = Local { codecs: vec![codec], comfort_noise: wanted, ..local() };
        let (answer, audio) = local.answer(&Session::parse(offer).unwrap(), 1).unwrap();
        assert_eq!(audio.comfort_noise.map(|noise| noise.payload_type), wanted.then_some(13));
        assert_eq!(answer.contains("a=rtpmap:13 CN/8000\r\n"), wanted, "{answer}");
    }
    // Our offer, and the answer of the other end.
    let here = Local { codecs: vec![Codec::Opus, Codec::G722, Codec::Pcma], comfort_noise: true, ..local() };
    let offered = here.offer(1, Direction::SendRecv);
    assert!(offered.contains(" 13\r\n") && offered.matches("CN/").count() == 1, "{offered}");
    let there = Local { codecs: vec![Codec::Pcma], ..here.clone() };
    let (answer, _) = there.answer(&Session::parse(&offered).unwrap(), 1).unwrap();
    let agreed = here.accept(&Session::parse(&answer).unwrap()).unwrap();
    assert_eq!((agreed.codec, agreed.comfort_noise.map(|noise| noise.receive_payload_type)), (Codec::Pcma, Some(13)));
    let there = Local { codecs: vec![Codec::Opus], ..here.clone() };
    let (answer, audio) = there.answer(&Session::parse(&offered).unwrap(), 1).unwrap();
    assert!(audio.comfort_noise.is_none() && !answer.contains("CN/"), "Opus has its own mechanism: {answer}");
}

#[test]
fn request_for_dtx_is_read_from_the_format_parameters() {
    for (parameters, wished) in [("minptime=10; usedtx=1", true), ("usedtx=0", false), ("xusedtx=1", false)] {
        let offer = format!(
            "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 {parameters}\r\n"
        );
        let local = Local { codecs: vec![Codec::Opus], ..local() };
        let (_, audio) = local.answer(&Session::parse(&offer).unwrap(), 1).unwrap();
        assert_eq!(audio.dtx, wished, "{parameters}");
    }
}

#[test]
fn packet_length_is_as_requested_if_codec_and_datagram_allow_it() {
    let rate = SampleRate::HZ_48000;
    for (codec, asked, longest, given) in [
        (Codec::Pcmu, 50, None, 50),
        (Codec::Opus, 50, None, 40),
        (Codec::Opus, 30, None, 20),
        (Codec::Opus, 60, Some(45), 40),
        (Codec::G722, 60, Some(30), 30),
        (Codec::L16 { rate }, 20, None, 10),
        (Codec::L16 { rate: SampleRate::HZ_16000 }, 60, None, 40),
    ] {
        let longest = longest.map_or(String::new(), |ms: u32| format!("a=maxptime:{ms}\r\n"));
        let offer = format!(
            "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 96\r\na=rtpmap:96 {}\r\na=ptime:{asked}\r\n{longest}",
            codec.rtpmap()
        );
        let local = Local { codecs: vec![codec], ..local() };
        let (_, audio) = local.answer(&Session::parse(&offer).unwrap(), 1).unwrap();
        assert_eq!(audio.ptime.0.as_millis(), given, "{codec:?} {asked} ms");
    }
}
