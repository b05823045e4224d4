//! Fuzz target of the description parser.

use super::{Codec, Direction, Local, LocalSrtp, Session, Srtp, is_webrtc};

/// Parses bytes as a description, answers it and accepts the answer; our own texts must always parse.
pub fn fuzz_session(bytes: &[u8]) {
    let Ok(session) = Session::parse(bytes) else { return };
    let _ = is_webrtc(&session);
    let local = Local {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        rtp_port: 20_000,
        rtcp_port: 20_001,
        session_id: 1,
        codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::Opus],
        srtp: LocalSrtp::new(Srtp::Optional, [7; 32]),
        comfort_noise: true,
    };
    let _ = local.accept(&session);
    if let Ok((text, audio)) = local.answer(&session, 1) {
        let answer = Session::parse(&text).expect("our own answer can be parsed");
        assert_eq!(answer.media.len(), session.media.len(), "an answer has the offer's sections");
        let back = answer.audio().map(|media| answer.direction_of(media));
        let first_is_ours = session.media.first().is_some_and(|media| media.kind == "audio" && media.port != 0);
        assert!(!first_is_ours || session.media.len() > 1 || back == Some(audio.direction));
    }
    assert!(Session::parse(local.offer(1, Direction::SendRecv)).is_ok());
}
