use super::*;
use crate::units::{ClockRate, SampleRate};

fn local() -> Local {
    Local {
        address: "192.0.2.9".parse().unwrap(),
        rtp_port: 20_000,
        rtcp_port: 20_001,
        session_id: 77,
        codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma],
    }
}

fn answer_to(offer: &str) -> (String, Audio) {
    local().answer(&Session::parse(offer).unwrap(), 3).unwrap()
}

/// As sipp's built-in scenario writes it.
const SIPP: &str = "v=0\r\no=user1 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// As baresip writes it: telephone-event only at 8 kHz, rtcp-mux and a label.
const BARESIP: &str = "v=0\r\no=- 3945 2174 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    a=tool:baresip 1.0\r\nm=audio 10020 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\n\
    a=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:10021\r\na=sendrecv\r\na=label:1\r\n\
    a=rtcp-rsize\r\na=rtcp-mux\r\na=ssrc:1 cname:sip:a@b\r\na=ptime:20\r\n";

/// As Chromium writes it, shortened.
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
    assert_eq!((event.payload_type, event.clock), (101, ClockRate::HZ_8000), "the only one there is");
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
fn hold_is_answered_by_its_mirror() {
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
fn what_we_offer_we_can_accept_also_with_other_numbers() {
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
fn bare_numbers_in_an_answer_mean_what_the_offer_said() {
    let answer = SIPP.replace("RTP/AVP 0\r\na=rtpmap:0 PCMU/8000", "RTP/AVP 111 110");
    let audio = local().accept(&Session::parse(answer).unwrap()).unwrap();
    assert_eq!((audio.codec, audio.payload_type), (Codec::Opus, 111));
    assert_eq!(audio.telephone_event.map(|event| event.payload_type), Some(110));
    let foreign = SIPP.replace("RTP/AVP 0\r\na=rtpmap:0 PCMU/8000", "RTP/AVP 98");
    assert_eq!(local().accept(&Session::parse(foreign).unwrap()), Err(SdpError::NoCommonCodec));
}

#[test]
fn redefined_static_numbers_mean_what_their_rtpmap_says() {
    let offer = SIPP.replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 G726-32/8000");
    assert_eq!(local().answer(&Session::parse(offer).unwrap(), 1).unwrap_err(), SdpError::NoCommonCodec);
}

#[test]
fn unusable_offers_are_refused_by_name() {
    for (text, error) in [
        (SIPP.replace("m=audio 6000", "m=audio 0"), SdpError::NoAudio),
        (SIPP.replace("RTP/AVP", "RTP/SAVP"), SdpError::NoAudio),
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
fn line_feeds_alone_and_unknown_lines_are_read() {
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
fn mutated_descriptions_never_break_parser_or_answer() {
    let corpus = [SIPP, BARESIP, CHROMIUM];
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
