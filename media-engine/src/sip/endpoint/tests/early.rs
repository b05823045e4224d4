//! Early dialogs of our calls: forks, PRACK, UPDATE and BYE before the answer.

use super::*;

/// A call to the trunk: its dialog and INVITE.
fn calling(bench: &mut Bench) -> (DialogId, String) {
    let (dialog, order) = call_trunk();
    (dialog, bench.command(order).only().to_owned())
}

fn by_way_of(answer: &str, contact: &str, route: &str) -> String {
    answer.replace("sip:bob@198.51.100.7:5060", contact).replacen(
        "Contact",
        &format!("Record-Route: <{route};lr>\r\nContact"),
        1,
    )
}

#[test]
fn a_reliable_answer_is_acknowledged_in_its_early_dialog() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    assert!(header(&sent, Name::Supported).unwrap().contains("100rel"));
    bench.receive(&trunk(), &reliably(&sent, 183, "t", 9, ANSWER));
    let first = bench.only().to_owned();
    assert!(first.starts_with("PRACK sip:bob@198.51.100.7:5060 SIP/2.0") && first.contains(";tag=t\r\n"));
    assert_eq!(header(&first, Name::RAck).as_deref(), Some("9 1 INVITE"));
    assert_eq!(header(&first, Name::CSeq).as_deref(), Some("2 PRACK"));
    assert_eq!(bench.events, [SipEvent::Progress { dialog, status: 183, sdp: Some(ANSWER.into()), fork: 0 }]);
    bench.receive(&trunk(), &reliably(&sent, 183, "t", 9, ANSWER));
    assert!(bench.sent.is_empty() && bench.events.is_empty(), "our PRACK is on its way");
    bench.receive(&trunk(), &reliably(&sent, 180, "t", 11, ""));
    assert!(bench.sent.is_empty() && bench.events.is_empty(), "number 10 is missing");
    bench.receive(&trunk(), &reliably(&sent, 180, "t", 8, ""));
    bench.receive(&trunk(), &reliably(&sent, 180, "t", 0, ""));
    assert!(bench.sent.is_empty() && bench.events.is_empty(), "an old number, and none at all");
    bench.receive(&trunk(), &reliably(&sent, 180, "t", 10, ""));
    assert_eq!(header(bench.only(), Name::RAck).as_deref(), Some("10 1 INVITE"));
    assert_eq!(header(bench.only(), Name::CSeq).as_deref(), Some("3 PRACK"));
    let second = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&first, 200, "t", ""));
    bench.receive(&trunk(), &respond(&second, 200, "t", ""));
    bench.receive(&trunk(), &respond(&sent, 200, "t", ""));
    assert_eq!(header(bench.only(), Name::CSeq).as_deref(), Some("1 ACK"));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { sdp, .. }] if sdp == ANSWER));
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert_eq!(header(bench.only(), Name::CSeq).as_deref(), Some("4 BYE"), "numbers go on");
    bench.assert_rests();
}

#[test]
fn a_repeat_is_acknowledged_again_once_our_prack_is_forgotten() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    bench.receive(&trunk(), &reliably(&sent, 183, "t", 1, ANSWER));
    let first = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&first, 200, "t", ""));
    bench.wait(secs(6));
    bench.receive(&trunk(), &reliably(&sent, 183, "t", 1, ANSWER));
    assert_eq!(header(bench.only(), Name::RAck).as_deref(), Some("1 1 INVITE"));
    assert!(bench.events.is_empty());
    bench.command(SipCommand::Cancel { dialog });
    bench.assert_rests();
}

#[test]
fn forked_180s_are_separate_dialogs() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    let place = |tag| (format!("sip:{tag}@198.51.100.8:5070"), format!("sip:{tag}@198.51.100.9"));
    for (tag, news) in [("one", 1), ("two", 0)] {
        let (contact, route) = place(tag);
        bench.receive(&trunk(), &by_way_of(&reliably(&sent, 180, tag, 5, ""), &contact, &route));
        let prack = bench.only();
        assert!(prack.starts_with(&format!("PRACK {contact} SIP/2.0")), "its own target: {prack}");
        assert_eq!(header(prack, Name::Route), Some(format!("<{route};lr>")), "and route set");
        assert_eq!(header(prack, Name::CSeq).as_deref(), Some("2 PRACK"), "and numbers");
        assert_eq!(bench.events.len(), news, "ringing is reported once");
    }
    for (tag, fork) in [("one", 0), ("two", 1)] {
        let (contact, route) = place(tag);
        bench.receive(&trunk(), &by_way_of(&reliably(&sent, 183, tag, 6, ANSWER), &contact, &route));
        assert_eq!(bench.events, [SipEvent::Progress { dialog, status: 183, sdp: Some(ANSWER.into()), fork }]);
    }
    bench.receive(&trunk(), &respond(&sent, 200, "two", ""));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { sdp, .. }] if sdp == ANSWER));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn an_answer_without_description_does_not_borrow_that_of_another_early_dialog() {
    let mut bench = Bench::new();
    let (_, sent) = calling(&mut bench);
    bench.receive(&trunk(), &respond(&sent, 183, "one", ANSWER));
    bench.receive(&trunk(), &respond(&sent, 180, "two", ""));
    bench.receive(&trunk(), &respond(&sent, 200, "two", ""));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 488, .. }]));
    assert!(bench.find("BYE ").contains(";tag=two"));
    bench.assert_rests();
}

#[test]
fn early_dialogs_are_bounded_and_a_further_one_may_still_answer() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    for n in 0..20 {
        bench.receive(&trunk(), &reliably(&sent, 183, &format!("t{n}"), 1, ANSWER));
        assert_eq!(bench.sent.len(), usize::from(n < 16), "{n}");
    }
    assert_eq!(bench.endpoint.sizes().overflows, 4);
    bench.receive(&trunk(), &respond(&sent, 200, "t19", ANSWER));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { .. }]));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_bye_of_the_callee_ends_its_early_dialog_only() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    for tag in ["one", "two"] {
        bench.receive(&trunk(), &reliably(&sent, 183, tag, 1, ANSWER));
    }
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 1, "one", OFFER));
    assert_eq!(bench.events, [SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.receive(&trunk(), &from_callee(&sent, "BYE", 2, "one", ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"], "BYE, and the open UPDATE");
    assert!(bench.events.is_empty());
    bench.receive(&trunk(), &from_callee(&sent, "INFO", 3, "one", ""));
    assert!(bench.only().starts_with("SIP/2.0 481"));
    bench.receive(&trunk(), &respond(&sent, 200, "two", ""));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { .. }]));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn giving_up_cancels_the_whole_invite() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    for tag in ["one", "two"] {
        bench.receive(&trunk(), &reliably(&sent, 180, tag, 1, ""));
    }
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert!(bench.only().starts_with("CANCEL "));
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 1, "one", ""));
    assert!(bench.only().starts_with("SIP/2.0 200"));
    bench.receive(&trunk(), &respond(&sent, 487, "one", ""));
    assert!(bench.only().starts_with("ACK ") && bench.events.is_empty());
    bench.assert_rests();
}

#[test]
fn update_of_a_callee_is_accepted_only_after_our_offer_is_settled() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    bench.receive(&trunk(), &respond(&sent, 183, "t", ANSWER));
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 1, "t", OFFER));
    assert!(bench.only().starts_with("SIP/2.0 491"), "the answer to our offer is not certain");
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 2, "t", ""));
    assert!(bench.only().starts_with("SIP/2.0 200") && header(bench.only(), Name::Contact).is_some());
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 2, "t", "").replace("branch=z9hG4bK", "branch=z9hG4bKx"));
    assert!(bench.only().starts_with("SIP/2.0 500"), "an old number");
    bench.receive(&trunk(), &reliably(&sent, 183, "t", 1, ANSWER));
    assert!(bench.only().starts_with("PRACK sip:bob@"), "its Contact counts");
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 3, "t", OFFER));
    assert_eq!(bench.events, [SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 4, "t", OFFER));
    assert!(bench.only().starts_with("SIP/2.0 500") && bench.only().contains("Retry-After"));
    bench.receive(&trunk(), &from_callee(&sent, "INVITE", 5, "t", OFFER));
    assert!(bench.only().starts_with("SIP/2.0 491"));
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    assert!(bench.only().starts_with("SIP/2.0 200") && bench.only().ends_with(ANSWER));
    bench.receive(&trunk(), &respond(&sent, 200, "t", ANSWER));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { sdp, .. }] if sdp == OFFER), "the latest of the callee");
    bench.receive(&trunk(), &from_callee(&sent, "BYE", 3, "t", ""));
    assert!(bench.only().starts_with("SIP/2.0 500"), "numbers go on");
    bench.receive(&trunk(), &from_callee(&sent, "BYE", 6, "t", ""));
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.assert_rests();
}

#[test]
fn an_offer_that_is_open_when_the_call_is_answered_is_still_answered() {
    for (answering, outcome) in [("t", "SIP/2.0 200 OK"), ("other", "SIP/2.0 487 Request Terminated")] {
        let mut bench = Bench::new();
        let (dialog, sent) = calling(&mut bench);
        bench.receive(&trunk(), &reliably(&sent, 183, "t", 1, ANSWER));
        bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 1, "t", OFFER));
        bench.receive(&trunk(), &respond(&sent, 200, answering, ANSWER));
        let at_once = bench.lines().contains(&outcome);
        bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
        assert!(at_once || bench.lines() == [outcome], "{answering}");
        bench.command(SipCommand::Bye { dialog, reason: None });
        bench.assert_rests();
    }
}

#[test]
fn a_refused_call_leaves_no_offer_open() {
    let mut bench = Bench::new();
    let (_, sent) = calling(&mut bench);
    bench.receive(&trunk(), &reliably(&sent, 183, "t", 1, ANSWER));
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 1, "t", OFFER));
    bench.receive(&trunk(), &respond(&sent, 486, "t", ""));
    assert!(bench.find("SIP/2.0 487").contains("UPDATE"));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 486, .. }]));
    bench.assert_rests();
}

#[test]
fn a_later_offer_repeats_what_was_agreed_with_the_callee_before_its_answer() {
    let mut bench = Bench::new();
    let (dialog, sent) = calling(&mut bench);
    bench.receive(&trunk(), &reliably(&sent, 183, "t", 1, ANSWER));
    bench.receive(&trunk(), &from_callee(&sent, "UPDATE", 1, "t", OFFER));
    let by_update = ANSWER.replace("5000", "5002").replace("- 2 1 IN", "- 2 2 IN");
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: by_update.clone() });
    assert!(bench.only().ends_with(&by_update));
    bench.receive(&trunk(), &respond(&sent, 200, "t", ""));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { .. }]));
    bench.receive(&trunk(), &from_callee(&sent, "INVITE", 2, "t", ""));
    assert!(bench.find("SIP/2.0 200").ends_with(&by_update), "{:?}", bench.sent);
    bench.receive(&trunk(), &from_callee(&sent, "ACK", 2, "t", OFFER));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}
