//! Reliable provisional responses of ours (RFC 3262), and UPDATE before our answer.

use super::*;

fn ring(bench: &mut Bench, demand: &str) -> DialogId {
    bench.receive(&trunk(), &reliable_invite(1, demand));
    let SipEvent::Incoming { dialog, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    dialog
}

/// Early media, sent reliably; returns the dialog and the 183.
fn early_media(bench: &mut Bench) -> (DialogId, String) {
    let dialog = ring(bench, "Supported");
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(ANSWER.into()) });
    (dialog, bench.only().to_owned())
}

#[test]
fn a_caller_that_supports_100rel_gets_only_descriptions_reliably() {
    let mut bench = Bench::new();
    let dialog = ring(&mut bench, "Supported");
    bench.command(SipCommand::Progress { dialog, status: 180, sdp: None });
    assert_eq!((header(bench.only(), Name::Require), header(bench.only(), Name::RSeq)), (None, None));
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(ANSWER.into()) });
    let early = bench.only().to_owned();
    assert_eq!(header(&early, Name::Require).as_deref(), Some("100rel"));
    assert!(early.ends_with(ANSWER) && header(&early, Name::Contact).is_some());
    bench.receive(&trunk(), &prack(1, 2, &early, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    bench.receive(&trunk(), &prack(1, 2, &early, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"], "a copy gets the same answer");
    bench.receive(&trunk(), &prack(1, 3, &early, ""));
    assert!(bench.only().starts_with("SIP/2.0 481"), "no response waits any more");
    bench.wait(secs(5));
    assert!(bench.sent.is_empty(), "the 183 is not repeated");
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(OFFER.into()) });
    assert!(!bench.only().contains("m=audio"), "the answer is known for certain: there is no second one");
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    assert!(bench.only().starts_with("SIP/2.0 200") && !bench.only().contains("m=audio"));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag_of(&early), ""));
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 4, &tag_of(&early), ""));
    assert!(bench.find("SIP/2.0 200").ends_with(ANSWER), "the session is remembered");
    bench.receive(&trunk(), &in_dialog(1, "ACK", 4, &tag_of(&early), OFFER));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_reliable_answer_is_repeated_at_doubling_intervals_until_504() {
    let mut bench = Bench::new();
    let (dialog, early) = early_media(&mut bench);
    let mut gaps = Vec::new();
    for _ in 0..6 {
        let before = bench.now;
        while bench.wait(Duration::from_millis(100)).sent.is_empty() {}
        assert_eq!(bench.only(), early);
        gaps.push((bench.now - before).as_millis());
    }
    assert_eq!(gaps, [500, 1_000, 2_000, 4_000, 8_000, 16_000]);
    bench.wait(Duration::from_millis(600));
    assert_eq!(bench.lines(), ["SIP/2.0 504 Server Time-out"]);
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: Some("no PRACK was received") }]);
    bench.assert_rests();
}

#[test]
fn an_answer_waits_for_the_prack_of_the_description() {
    let mut bench = Bench::new();
    let (dialog, early) = early_media(&mut bench);
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    assert!(bench.sent.is_empty());
    bench.command(SipCommand::Progress { dialog, status: 180, sdp: None });
    assert!(bench.sent.is_empty(), "the call counts as answered");
    bench.receive(&trunk(), &prack(1, 2, &early, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]);
    assert_eq!(header(&bench.sent[1].1, Name::CSeq).as_deref(), Some("1 INVITE"));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag_of(&early), ""));
    bench.receive(&trunk(), &in_dialog(1, "BYE", 3, &tag_of(&early), ""));
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.assert_rests();
}

#[test]
fn a_caller_that_requires_100rel_gets_one_response_at_a_time() {
    let mut bench = Bench::new();
    let dialog = ring(&mut bench, "Require");
    bench.command(SipCommand::Progress { dialog, status: 180, sdp: None });
    let first = bench.only().to_owned();
    bench.command(SipCommand::Progress { dialog, status: 181, sdp: None });
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(ANSWER.into()) });
    assert!(bench.sent.is_empty(), "one response at a time");
    bench.receive(&trunk(), &prack(1, 2, &first, ""));
    let second = bench.find("SIP/2.0 181").to_owned();
    let rseq = |text: &str| header(text, Name::RSeq).unwrap().parse::<u32>().unwrap();
    assert_eq!(rseq(&second), rseq(&first) + 1);
    bench.receive(&trunk(), &prack(1, 3, &first, ""));
    assert!(bench.only().starts_with("SIP/2.0 481"), "acknowledged before");
    bench.receive(&trunk(), &prack(1, 4, &second, ""));
    let third = bench.find("SIP/2.0 183").to_owned();
    assert!(third.ends_with(ANSWER));
    bench.command(SipCommand::Reject { dialog, status: 486, reason: None, q850: None });
    assert_eq!(bench.lines(), ["SIP/2.0 486 Busy Here"], "a refusal waits for nothing");
    bench.receive(&trunk(), &invite(1).replace("INVITE", "ACK"));
    bench.assert_rests();
}

#[test]
fn an_answer_need_not_wait_for_ringing_and_its_prack_may_come_later() {
    let mut bench = Bench::new();
    let dialog = ring(&mut bench, "Require");
    bench.command(SipCommand::Progress { dialog, status: 180, sdp: None });
    let ringing = bench.only().to_owned();
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    assert!(bench.only().ends_with(ANSWER));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag_of(&ringing), ""));
    bench.receive(&trunk(), &prack(1, 2, &ringing, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    bench.receive(&trunk(), &prack(1, 3, &ringing, ""));
    assert!(bench.only().starts_with("SIP/2.0 481"));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn progress_behind_a_missing_prack_is_bounded_and_counted() {
    let mut bench = Bench::new();
    let dialog = ring(&mut bench, "Require");
    for _ in 0..12 {
        bench.command(SipCommand::Progress { dialog, status: 180, sdp: None });
    }
    assert_eq!(bench.endpoint.sizes().overflows, 3, "one is sent, eight wait");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_prack_brings_the_answer_to_our_early_offer() {
    let mut bench = Bench::new();
    let text = with_body(reliable_invite(1, "Supported").split("Content-Type").next().unwrap(), "");
    bench.receive(&trunk(), &text);
    let SipEvent::Incoming { dialog, sdp: None, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(OFFER.into()) });
    let early = bench.only().to_owned();
    bench.receive(&trunk(), &prack(1, 2, &early, ""));
    assert!(bench.only().starts_with("SIP/2.0 400"), "the answer is missing");
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 3, &tag_of(&early), OFFER));
    assert!(bench.only().starts_with("SIP/2.0 491"), "our offer is open");
    bench.receive(&trunk(), &prack(1, 4, &early, ANSWER));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: ANSWER.into() }]);
    bench.command(SipCommand::Accept { dialog, sdp: OFFER.into() });
    assert!(!bench.only().contains("m=audio"), "no second offer");
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag_of(&early), ""));
    assert!(bench.sent.is_empty(), "no answer is missing");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn an_offer_of_ours_is_never_sent_unreliably() {
    let mut bench = Bench::new();
    bench.receive(&trunk(), &with_body(invite(1).split("Content-Type").next().unwrap(), ""));
    let SipEvent::Incoming { dialog, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(OFFER.into()) });
    assert!(bench.only().starts_with("SIP/2.0 183") && !bench.only().contains("m=audio"));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_prack_may_make_a_new_offer_and_our_200_waits_for_its_answer() {
    let mut bench = Bench::new();
    let (dialog, early) = early_media(&mut bench);
    bench.receive(&trunk(), &prack(1, 2, &early, OFFER));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.events, [SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    assert!(bench.sent.is_empty());
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]);
    assert!(bench.sent[0].1.ends_with(ANSWER) && bench.sent[0].1.contains("PRACK"));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag_of(&early), ""));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn malformed_and_foreign_pracks_acknowledge_nothing() {
    let mut bench = Bench::new();
    let (dialog, early) = early_media(&mut bench);
    let good = prack(1, 2, &early, "");
    let rack = good.lines().find(|line| line.starts_with("RAck")).unwrap().to_owned();
    for (n, bad) in ["RAck: 1", "RAck: 4294967296 1 INVITE", "RAck: x 1 INVITE", "RAck: 1 1 INVITE", "X: y"]
        .into_iter()
        .chain([rack.replace("INVITE", "BYE").as_str(), rack.replace(" 1 ", " 2 ").as_str()])
        .enumerate()
    {
        let text = prack(1, n as u32 + 2, &early, "").replace(&rack, bad);
        bench.receive(&trunk(), &text);
        assert!(bench.only().starts_with("SIP/2.0 481"), "{bad}");
    }
    assert_eq!(bench.wait(Duration::from_millis(500)).only(), early, "still repeated");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn update_before_our_answer_is_accepted_only_after_the_first_offer_is_settled() {
    let mut bench = Bench::new();
    let (dialog, early) = early_media(&mut bench);
    let tag = tag_of(&early);
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 2, &tag, ""));
    assert!(bench.only().starts_with("SIP/2.0 200") && header(bench.only(), Name::Contact).is_some());
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 3, &tag, OFFER));
    assert!(bench.only().starts_with("SIP/2.0 500") && bench.only().contains("Retry-After"));
    bench.receive(&trunk(), &prack(1, 4, &early, ""));
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 5, &tag, OFFER));
    assert_eq!(bench.events, [SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 6, &tag, OFFER));
    assert!(bench.only().starts_with("SIP/2.0 500"), "one at a time");
    bench.command(SipCommand::RejectReinvite { dialog, status: 488 });
    assert_eq!(bench.lines(), ["SIP/2.0 488 Not Acceptable Here"]);
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 7, &tag, OFFER));
    bench.receive(&trunk(), &in_dialog(1, "BYE", 8, &tag, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated", "SIP/2.0 487 Request Terminated"]);
    bench.receive(&trunk(), &invite(1).replace("INVITE", "ACK"));
    bench.assert_rests();
}

#[test]
fn a_later_offer_repeats_what_was_agreed_last_before_the_answer() {
    let by_update = ANSWER.replace("5000", "5002").replace("- 2 1 IN", "- 2 2 IN");
    for method in ["UPDATE", "PRACK"] {
        let mut bench = Bench::new();
        let (dialog, early) = early_media(&mut bench);
        let tag = tag_of(&early);
        match method {
            "PRACK" => bench.receive(&trunk(), &prack(1, 2, &early, OFFER)),
            _ => {
                bench.receive(&trunk(), &prack(1, 2, &early, ""));
                bench.receive(&trunk(), &in_dialog(1, "UPDATE", 3, &tag, OFFER))
            }
        };
        bench.command(SipCommand::AcceptReinvite { dialog, sdp: by_update.clone() });
        assert!(bench.only().ends_with(&by_update), "{method}");
        // The engine may accept with its first description.
        bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
        bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ""));
        bench.receive(&trunk(), &in_dialog(1, "INVITE", 4, &tag, ""));
        assert!(bench.find("SIP/2.0 200").ends_with(&by_update), "{method}: {:?}", bench.sent);
        bench.receive(&trunk(), &in_dialog(1, "ACK", 4, &tag, OFFER));
        bench.command(SipCommand::Bye { dialog, reason: None });
        bench.assert_rests();
    }
}

#[test]
fn our_early_offer_is_the_last_description_sent() {
    let mut bench = Bench::new();
    let text = with_body(reliable_invite(1, "Supported").split("Content-Type").next().unwrap(), "");
    bench.receive(&trunk(), &text);
    let [SipEvent::Incoming { dialog, .. }] = bench.events[..] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(OFFER.into()) });
    let early = bench.only().to_owned();
    let tag = tag_of(&early);
    bench.receive(&trunk(), &prack(1, 2, &early, ANSWER));
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ""));
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 3, &tag, ""));
    assert!(bench.find("SIP/2.0 200").ends_with(OFFER));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 3, &tag, ANSWER));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}
