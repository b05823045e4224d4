//! Points that other stacks are known to get wrong, one fact each. Similar tests: reliable provisional responses in
//! `reliable`, forked 180s that are separate dialogs in `early`, glare in `glare`.

use super::*;

/// Delivers the bytes of a request unchanged.
fn deliver(bench: &mut Bench, flow: &Flow, bytes: &[u8]) {
    bench.sent.clear();
    bench.events.clear();
    bench.endpoint.handle_message(flow, bytes, bench.now);
    bench.collect();
}

fn incoming_reliable(bench: &mut Bench) -> (DialogId, String) {
    bench.receive(&trunk(), &reliable_invite(1, "Supported"));
    let SipEvent::Incoming { dialog, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(ANSWER.into()) });
    (dialog, bench.only().to_owned())
}

#[test]
fn prack_answer_lost_and_the_200_still_leaves() {
    let mut bench = Bench::new();
    let (dialog, early) = incoming_reliable(&mut bench);
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    // The first PRACK is lost: the 183 is repeated, and so is the PRACK.
    assert_eq!(bench.wait(Duration::from_millis(500)).only(), early);
    bench.receive(&trunk(), &prack(1, 2, &early, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]);
    // The response to the PRACK is lost: its copy gets it again; the 200 of the call is repeated independently.
    bench.receive(&trunk(), &prack(1, 2, &early, ""));
    assert_eq!(header(bench.only(), Name::CSeq).as_deref(), Some("2 PRACK"));
    let repeated = bench.wait(Duration::from_millis(600)).only();
    assert_eq!(header(repeated, Name::CSeq).as_deref(), Some("1 INVITE"));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag_of(&early), ""));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn early_update_is_answered_on_both_sides() {
    let mut bench = Bench::new();
    let (dialog, early) = incoming_reliable(&mut bench);
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 2, &tag_of(&early), ""));
    assert!(bench.only().starts_with("SIP/2.0 200"));
    bench.command(SipCommand::Bye { dialog, reason: None });
    let (dialog, order) = call_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &respond(&sent, 180, "t", ""));
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 1, "t", ""));
    assert!(bench.only().starts_with("SIP/2.0 200"));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn bye_in_an_early_dialog_ends_the_invite_with_487() {
    let mut bench = Bench::new();
    let (dialog, early) = incoming_reliable(&mut bench);
    bench.receive(&trunk(), &in_dialog(1, "BYE", 2, &tag_of(&early), ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.receive(&trunk(), &in_dialog(1, "PRACK", 3, &tag_of(&early), ""));
    assert!(bench.only().starts_with("SIP/2.0 481"));
    bench.receive(&trunk(), &invite(1).replace("INVITE", "ACK"));
    bench.assert_rests();
}

#[test]
fn delayed_offer_is_made_in_the_200_and_answered_in_the_ack() {
    for answered in [true, false] {
        let mut bench = Bench::new();
        bench.receive(&trunk(), &with_body(invite(1).split("Content-Type").next().unwrap(), ""));
        let SipEvent::Incoming { dialog, sdp: None, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
        bench.command(SipCommand::Accept { dialog, sdp: OFFER.into() });
        assert!(bench.only().ends_with(OFFER));
        let tag = tag_of(bench.only());
        bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, if answered { ANSWER } else { "" }));
        if answered {
            assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: ANSWER.into() }]);
            bench.command(SipCommand::Bye { dialog, reason: None });
        } else {
            assert!(bench.only().starts_with("BYE ") && matches!(&bench.events[..], [SipEvent::Ended { .. }]));
        }
        bench.assert_rests();
    }
}

#[test]
fn overlapping_invites_are_500_or_491() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, OFFER));
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 3, &tag, OFFER));
    assert!(bench.find("SIP/2.0 500").contains("Retry-After"), "the peer overtakes itself");
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 4, &tag, OFFER));
    assert!(bench.find("SIP/2.0 491").contains("4 INVITE"), "our 200 has no ACK yet");
    bench.receive(&trunk(), &in_dialog(1, "ACK", 2, &tag, ""));
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 5, &tag, OFFER));
    assert!(bench.find("SIP/2.0 491").contains("5 INVITE"), "ours crosses it");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_lower_cseq_is_500() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "INFO", 9, &tag, ""));
    for method in ["INVITE", "UPDATE", "INFO", "BYE", "PRACK", "REFER", "NOTIFY"] {
        bench.receive(&trunk(), &in_dialog(1, method, 8, &tag, "").replace("d1-8", &format!("d1-8{method}")));
        assert!(bench.find("SIP/2.0 500").contains(&format!("8 {method}")) && bench.events.is_empty());
    }
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn udp_without_content_length_keeps_its_body() {
    let mut bench = Bench::new();
    let text = invite(1);
    let line = format!("Content-Length: {}\r\n", OFFER.len());
    bench.receive(&trunk(), &text.replace(&line, ""));
    assert!(matches!(&bench.events[..], [SipEvent::Incoming { sdp: Some(sdp), .. }] if sdp == OFFER));
}

#[test]
fn a_header_with_invalid_utf8_keeps_the_headers_after_it() {
    let mut bench = Bench::new();
    let text = invite(1).replacen("Max-Forwards", "Subject: x\r\nMax-Forwards", 1);
    let mut bytes = text.into_bytes();
    let at = bytes.windows(10).position(|window| window == b"Subject: x").unwrap() + 9;
    bytes.splice(at..at + 1, [0xff, 0xfe, b'x', 0xc3]);
    deliver(&mut bench, &trunk(), &bytes);
    let [SipEvent::Incoming { from_user, call_id, sdp, .. }] = &bench.events[..] else { panic!("{:?}", bench.events) };
    assert_eq!((&**from_user, &**call_id, sdp.as_deref()), ("+15550142", "call1", Some(OFFER)));
}

#[test]
fn wrong_content_lengths_are_refused() {
    let good = format!("Content-Length: {}", OFFER.len());
    for bad in [
        format!("Content-Length: {}", OFFER.len() + 1),
        format!("{good}\r\nContent-Length: 7"),
        format!("{good}\r\nl: {}", OFFER.len()),
        format!("Content-Length: {}", u64::MAX),
        "Content-Length: 18446744073709551616".to_owned(),
        "Content-Length: -1".to_owned(),
    ] {
        let mut bench = Bench::new();
        bench.receive(&trunk(), &invite(1).replace(&good, &bad));
        assert!(bench.only().starts_with("SIP/2.0 400 ") && bench.events.is_empty(), "{bad}");
        assert!(bench.endpoint.is_idle(), "{bad}");
    }
}

#[test]
fn reason_phrases_are_kept_in_both_directions() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.command(SipCommand::Reject { dialog, status: 603, reason: Some("Keine Auskünfte".into()), q850: None });
    assert_eq!(bench.lines(), ["SIP/2.0 603 Keine Auskünfte"]);
    bench.receive(&trunk(), &invite(1).replace("INVITE", "ACK"));
    let (dialog, order) = call_trunk();
    let sent = bench.command(order).only().to_owned();
    let reason = "Caller Origination Number is Invalid D35";
    bench.receive(&trunk(), &respond(&sent, 403, "t", "").replacen("Said", reason, 1));
    assert_eq!(
        bench.events,
        [SipEvent::Failed { dialog, status: 403, reason: reason.into(), told: Some(Box::default()) }]
    );
    bench.assert_rests();
}

#[test]
fn nonce_counts_beyond_0xff_and_the_algorithm_sha_256_are_taken() {
    let mut bench = Bench::new();
    let phone = flow(Transport::Udp, 1, "203.0.113.9:5071");
    let valid_for = secs(86_400);
    bench.command(SipCommand::CredentialSet { user: "alice".into(), password: "secret".into(), valid_for });
    let request = |cseq: u32, extra: &str| {
        let text = register(cseq, "<sip:alice@10.0.0.9:5070>", extra);
        text.replace("WS u8k2.invalid", "UDP 10.0.0.9;rport")
    };
    let challenge = bench.receive(&phone, &request(1, "")).only().to_owned();
    let message = Message::parse(challenge.as_bytes()).unwrap();
    let sha = message.lines(Name::WwwAuthenticate).find(|line| line.contains("algorithm=SHA-256")).unwrap();
    let sha = Challenge::parse(sha).unwrap();
    for (cseq, count) in [(2, 1), (3, 0xff), (4, 0x100), (5, 0x1_0000), (6, 0xff_ffff)] {
        let uri = "sip:example.com";
        let credentials = digest::answer(&sha, "alice", "secret", "REGISTER", uri, "abcdef", count);
        assert!(credentials.contains(&format!("nc={count:08x}")) && credentials.contains("algorithm=SHA-256"));
        bench.receive(&phone, &request(cseq, &format!("Authorization: {credentials}\r\n")));
        assert!(bench.only().starts_with("SIP/2.0 200"), "{count:x}: {}", bench.only());
    }
}

/// Returns the steps of look-up tables and timers for each of `calls` answers without ACK, to the last clean-up.
fn steps_of_unacknowledged(calls: u32) -> f64 {
    let mut bench = Bench::new();
    for n in 0..calls {
        let dialog = bench.incoming(n);
        bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    }
    bench.wait(secs(31));
    assert!(bench.events.is_empty());
    bench.wait(secs(60));
    assert_eq!(bench.events.len(), calls as usize, "each ends once");
    let steps = bench.endpoint.steps();
    bench.assert_rests();
    steps as f64 / f64::from(calls)
}

#[test]
fn the_cost_of_an_answer_without_ack_does_not_grow_with_their_number() {
    let (few, many) = (steps_of_unacknowledged(500), steps_of_unacknowledged(16_000));
    assert!(many < few * 1.1, "{many} steps a call of 16,000, {few} of 500");
}
