//! Incoming and outgoing calls.
//!
//! Covers the way from INVITE to the end of a call: answers and refusals, repeats until the ACK, CANCEL and its crossings,
//! forks to several contacts, lost connections and INFO.
//!
//! Not here: reliable responses (`reliable`), early dialogs (`early`), changed sessions (`sessions`), trunks (`trunking`).

use super::*;

fn call(target: Target) -> (DialogId, SipCommand) {
    let dialog = DialogId::outgoing();
    let headers = vec![
        ("X-Account".into(), "7".into()),
        ("Via".into(), "forged".into()),
        ("v".into(), "forged".into()),
        ("X-Split".into(), "a\r\nEvil: 1".into()),
    ];
    let from_display = Some("Tan \"dem\"".into());
    (
        dialog,
        SipCommand::from(Invite { from_display, headers, ..Invite::new(dialog, target, OFFER).from_user("+15550100") }),
    )
}

fn to_trunk() -> (DialogId, SipCommand) {
    call(Target::Trunk { name: "carrier".into(), user: "+15550142".into() })
}

#[test]
fn an_incoming_call_is_tried_rung_answered_and_hung_up() {
    let mut bench = Bench::new();
    bench.receive(&trunk(), &invite(1));
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying"]);
    let SipEvent::Incoming { dialog, from, from_user, from_display, to_user, call_id, sdp, .. } =
        bench.events.remove(0)
    else {
        panic!()
    };
    assert_eq!(from, Source::Trunk("carrier".into()));
    assert_eq!((&*from_user, from_display.as_deref(), &*to_user), ("+15550142", Some("Cust"), "+15550100"));
    assert_eq!((&*call_id, sdp.as_deref()), ("call1", Some(OFFER)));
    assert!(!dialog.is_outgoing());
    bench.receive(&trunk(), &invite(1));
    assert_eq!((bench.lines(), bench.events.len()), (vec!["SIP/2.0 100 Trying"], 0), "a copy gets the last answer");
    bench.command(SipCommand::Progress { dialog, status: 180, sdp: None });
    let ringing_tag = tag_of(bench.find("SIP/2.0 180"));
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    let ok = bench.only().to_owned();
    assert_eq!(tag_of(&ok), ringing_tag);
    assert!(ok.ends_with(ANSWER));
    assert!(header(&ok, Name::Via).unwrap().contains("rport=5060"));
    assert_eq!(header(&ok, Name::Contact).as_deref(), Some("<sip:+15550100@192.0.2.1:5060>"));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &ringing_tag, ""));
    assert!(bench.wait(secs(60)).sent.is_empty());
    bench.receive(&trunk(), &in_dialog(1, "BYE", 2, &ringing_tag, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.receive(&trunk(), &in_dialog(1, "BYE", 2, &ringing_tag, ""));
    assert_eq!((bench.lines(), bench.events.len()), (vec!["SIP/2.0 200 OK"], 0));
    bench.assert_rests();
}

#[test]
fn an_answer_is_repeated_until_the_ack_and_given_up_after_64_t1() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    bench.wait(Duration::from_millis(31_900));
    assert_eq!(bench.sent.len(), 10);
    assert!(bench.lines().iter().all(|line| line.starts_with("SIP/2.0 200")));
    bench.wait(secs(1));
    assert!(bench.find("BYE ").contains("tag=far1"));
    assert!(matches!(&bench.events[..], [SipEvent::Ended { fault: Some(_), .. }]));
    bench.assert_rests();
}

#[test]
fn a_hang_up_before_the_ack_waits_for_it() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    let tag = tag_of(bench.only());
    bench.command(SipCommand::Bye { dialog, reason: Some("Q.850;cause=16".into()) });
    assert!(bench.sent.is_empty());
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ""));
    assert_eq!(header(bench.find("BYE "), Name::Reason).as_deref(), Some("Q.850;cause=16"));
    assert!(bench.events.is_empty(), "the end is reported once");
    let bye = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&bye, 200, "", ""));
    bench.assert_rests();
}

#[test]
fn cancel_ends_a_ringing_call_and_its_reason_is_reported() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    let cancel = invite(1).replace("INVITE", "CANCEL").replace("Contact", "Reason: SIP;cause=200\r\nContact");
    bench.receive(&trunk(), &cancel);
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: Some("SIP;cause=200".into()), fault: None }]);
    assert_eq!(tag_of(&bench.sent[0].1), tag_of(&bench.sent[1].1));
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    assert!(bench.sent.is_empty(), "commands for a dialog that has ended are ignored");
    bench.receive(&trunk(), &invite(1).replace("INVITE", "ACK"));
    assert!(bench.wait(secs(40)).sent.is_empty());
    bench.assert_rests();
}

#[test]
fn a_refused_call_repeats_the_refusal_until_the_ack() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.command(SipCommand::Reject { dialog, status: 486, reason: Some("Nobody Here".into()), q850: None });
    assert_eq!(bench.lines(), ["SIP/2.0 486 Nobody Here"]);
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    assert_eq!(bench.wait(Duration::from_millis(600)).lines(), ["SIP/2.0 486 Nobody Here"]);
    bench.receive(&trunk(), &invite(1).replace("INVITE", "ACK"));
    assert!(bench.wait(secs(60)).sent.is_empty());
    bench.assert_rests();
}

#[test]
fn an_unanswered_call_is_ended_by_the_endpoint_itself() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.wait(secs(301));
    assert!(bench.find("SIP/2.0 480").contains("call1"));
    assert!(matches!(&bench.events[..], [SipEvent::Ended { dialog: ended, .. }] if *ended == dialog));
    bench.assert_rests();
}

#[test]
fn an_outgoing_call_leaves_by_the_listener_and_is_acknowledged() {
    let mut bench = Bench::new();
    let (dialog, order) = to_trunk();
    bench.command(order);
    let (by, sent) = bench.sent[0].clone();
    assert_eq!((by.id, by.peer), (FlowId(1), "198.51.100.7:5060".parse().unwrap()));
    assert!(sent.starts_with("INVITE sip:+15550142@198.51.100.7 SIP/2.0\r\n"), "{sent}");
    let invite = Message::parse(sent.as_bytes()).unwrap();
    assert_eq!(crate::sip::gate::check(&invite), Ok(()));
    assert_eq!(invite.from().unwrap().display_name().as_deref(), Some("Tan \"dem\""));
    assert_eq!((invite.extension("X-Account"), invite.extension("X-Split")), (Some("7"), None));
    assert_eq!(invite.count(Name::Via), 1);
    bench.receive(&trunk(), &respond(&sent, 100, "", ""));
    assert!(bench.events.is_empty());
    bench.receive(&trunk(), &respond(&sent, 183, "t", ANSWER));
    assert_eq!(bench.events, [SipEvent::Progress { dialog, status: 183, sdp: Some(ANSWER.into()), fork: 0 }]);
    bench.receive(&trunk(), &respond(&sent, 183, "t", ANSWER));
    assert!(bench.events.is_empty(), "the answer is reported once");
    bench.receive(&trunk(), &respond(&sent, 200, "t", ANSWER));
    let remote = "198.51.100.7:5060".parse().unwrap();
    assert_eq!(bench.events, [SipEvent::Answered { dialog, sdp: ANSWER.into(), remote }]);
    let ack = bench.only();
    assert!(ack.starts_with("ACK sip:bob@198.51.100.7:5060 SIP/2.0"));
    assert_ne!(header(ack, Name::Via), header(&sent, Name::Via));
    bench.receive(&trunk(), &respond(&sent, 200, "t", ANSWER));
    assert!(bench.only().starts_with("ACK ") && bench.events.is_empty());
    bench.command(SipCommand::Bye { dialog, reason: None });
    let bye = bench.only().to_owned();
    assert_eq!(header(&bye, Name::CSeq).as_deref(), Some("2 BYE"));
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.receive(&trunk(), &respond(&bye, 200, "t", ""));
    bench.assert_rests();
}

#[test]
fn an_answer_without_sdp_uses_the_early_one_of_the_same_dialog() {
    let mut bench = Bench::new();
    let (dialog, order) = to_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &respond(&sent, 183, "t", ANSWER));
    bench.receive(&trunk(), &respond(&sent, 200, "t", ""));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { sdp, .. }] if sdp == ANSWER));
    bench.command(SipCommand::Bye { dialog, reason: None });
    let (_, order) = to_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &respond(&sent, 200, "t", ""));
    assert_eq!((bench.lines().len(), bench.find("BYE ").is_empty()), (2, false));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 488, .. }]));
    bench.assert_rests();
}

#[test]
fn forked_and_late_answers_are_acknowledged_and_hung_up() {
    let mut bench = Bench::new();
    let (dialog, order) = to_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &respond(&sent, 200, "first", ANSWER));
    bench.receive(&trunk(), &respond(&sent, 200, "second", ANSWER));
    assert_eq!(bench.sent.len(), 2);
    assert!(bench.find("ACK ").contains("tag=second") && bench.find("BYE ").contains("tag=second"));
    assert!(bench.events.is_empty());
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.receive(&trunk(), &respond(&sent, 200, "first", ANSWER));
    assert!(bench.only().starts_with("ACK "), "its BYE is on its way");
    bench.wait(secs(60));
    bench.receive(&trunk(), &respond(&sent, 200, "third", ANSWER));
    assert!(bench.find("ACK ").contains("tag=third") && bench.find("BYE ").contains("tag=third"), "after a minute too");
    let forged =
        respond(&sent, 200, "x", ANSWER).replacen("From: ", "From: <sip:a@b>;tag=0123456789ab012345670123 ", 1);
    bench.receive(&trunk(), &forged.replace(" \"Tan", "\r\nX-Old: \"Tan"));
    assert!(bench.sent.is_empty(), "not an INVITE of ours");
    bench.assert_rests();
}

#[test]
fn cancel_waits_for_a_provisional_answer_and_a_crossing_answer_is_hung_up() {
    let mut bench = Bench::new();
    let (dialog, order) = to_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.command(SipCommand::Cancel { dialog });
    assert!(bench.sent.is_empty());
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 487, .. }]));
    bench.receive(&trunk(), &respond(&sent, 180, "t", ""));
    let cancel = bench.only().to_owned();
    assert!(cancel.starts_with("CANCEL sip:+15550142@198.51.100.7 SIP/2.0"));
    assert_eq!(header(&cancel, Name::Via), header(&sent, Name::Via));
    assert_eq!(header(&cancel, Name::CSeq).as_deref(), Some("1 CANCEL"));
    assert_eq!(header(&cancel, Name::Reason), None, "nobody else was answered");
    bench.receive(&trunk(), &respond(&sent, 180, "t", ""));
    assert!(bench.sent.is_empty(), "CANCEL is sent once");
    bench.receive(&trunk(), &respond(&cancel, 200, "t", ""));
    bench.receive(&trunk(), &respond(&sent, 200, "t", ANSWER));
    assert_eq!((bench.sent.len(), bench.events.len()), (2, 0));
    assert!(bench.find("ACK ").contains("tag=t") && bench.find("BYE ").contains("tag=t"));
    bench.assert_rests();
}

#[test]
fn a_cancelled_call_that_never_ends_at_the_other_side_is_forgotten() {
    let mut bench = Bench::new();
    let (dialog, order) = to_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &respond(&sent, 180, "t", ""));
    bench.command(SipCommand::Cancel { dialog });
    assert!(bench.only().starts_with("CANCEL "));
    bench.assert_rests();
}

#[test]
fn failures_are_acknowledged_and_reported_with_status_and_reason() {
    for status in [401, 407, 486, 503, 603] {
        let mut bench = Bench::new();
        let (dialog, order) = to_trunk();
        let sent = bench.command(order).only().to_owned();
        bench.receive(&trunk(), &respond(&sent, status, "t", ""));
        let ack = bench.only();
        assert_eq!(header(ack, Name::Via), header(&sent, Name::Via));
        assert!(ack.starts_with("ACK ") && ack.contains(";tag=t\r\n"));
        assert_eq!(
            bench.events,
            [SipEvent::Failed { dialog, status, reason: "Said".into(), told: Some(Box::default()) }]
        );
        bench.receive(&trunk(), &respond(&sent, status, "t", ""));
        assert!(bench.only().starts_with("ACK ") && bench.events.is_empty());
        bench.assert_rests();
    }
}

#[test]
fn calls_that_cannot_be_sent_fail_at_once() {
    for (target, status) in [
        (Target::Trunk { name: "unknown".into(), user: "1".into() }, 404),
        (Target::User("nobody".into()), 480),
        (
            Target::Uri { uri: "tel:+1".into(), addr: "198.51.100.7:5060".parse().unwrap(), transport: Transport::Udp },
            416,
        ),
        (
            Target::Uri {
                uri: "sip:a@b".into(),
                addr: "[2001:db8::1]:5060".parse().unwrap(),
                transport: Transport::Udp,
            },
            503,
        ),
    ] {
        let mut bench = Bench::new();
        let (dialog, order) = call(target);
        bench.command(order);
        assert!(bench.sent.is_empty());
        assert!(
            matches!(&bench.events[..], [SipEvent::Failed { dialog: d, status: s, .. }] if *d == dialog && *s == status)
        );
        bench.assert_rests();
    }
}

#[test]
fn no_answer_at_all_fails_with_408_after_64_t1() {
    let mut bench = Bench::new();
    let (dialog, order) = to_trunk();
    bench.command(order);
    bench.wait(Duration::from_millis(31_999));
    assert_eq!((bench.sent.len(), bench.events.len()), (6, 0));
    bench.wait(secs(1));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { dialog: d, status: 408, .. }] if *d == dialog));
    bench.assert_rests();
}

#[test]
fn all_contacts_ring_the_first_answer_wins_and_the_others_are_cancelled() {
    let mut bench = Bench::new();
    let phone = flow(Transport::Udp, 1, "203.0.113.9:5071");
    bench.register(&browser(7), "<sip:k1@x.invalid;transport=ws>");
    let (first, second) = (browser(7), phone);
    bench.register_further(&phone, "<sip:alice@10.0.0.9:5070>");
    assert_eq!(bench.events, [SipEvent::Registered { user: "alice".into(), contacts: 2 }]);

    let (dialog, order) = call(Target::User("alice".into()));
    bench.command(order);
    let sent = bench.sent.clone();
    assert_eq!([sent[0].0, sent[1].0], [first, second]);
    assert!(sent[0].1.starts_with("INVITE sip:k1@x.invalid;transport=ws SIP/2.0"));
    assert!(sent[1].1.starts_with("INVITE sip:alice@10.0.0.9:5070 SIP/2.0"));
    assert_ne!(header(&sent[0].1, Name::CallId), header(&sent[1].1, Name::CallId));
    bench.receive(&first, &respond(&sent[0].1, 180, "b", ""));
    assert_eq!(bench.events.len(), 1);
    bench.receive(&second, &respond(&sent[1].1, 180, "p", ""));
    assert_eq!(bench.events.len(), 0, "ringing is reported once");
    bench.receive(&second, &respond(&sent[1].1, 200, "p", ANSWER));
    assert_eq!(bench.lines().len(), 2);
    let (by, ack) = bench.sent.iter().find(|(_, text)| text.starts_with("ACK ")).unwrap().clone();
    assert_eq!(by.peer, "198.51.100.7:5060".parse().unwrap(), "to the Contact of the answer: {ack}");
    let cancel = bench.find("CANCEL sip:k1@x.invalid").to_owned();
    assert_eq!(header(&cancel, Name::Reason).as_deref(), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { dialog: d, .. }] if *d == dialog));
    // The browser had already answered.
    bench.receive(&first, &respond(&sent[0].1, 200, "b", ANSWER));
    assert!(bench.find("ACK ").contains("tag=b") && bench.find("BYE ").contains("tag=b"));
    assert!(bench.events.is_empty() && bench.sent.iter().all(|(by, _)| *by == first));
    bench.receive(&first, &respond(&cancel, 481, "b", ""));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn browsers_are_offered_webrtc_and_phones_plain_rtp() {
    let mut bench = Bench::new();
    let phone = flow(Transport::Udp, 1, "203.0.113.9:5071");
    bench.register(&browser(7), "<sip:k1@x.invalid;transport=ws>");
    let (_, mut order) = call(Target::User("alice".into()));
    if let SipCommand::Invite(invite) = &mut order {
        invite.webrtc_sdp = Some("v=0 webrtc".into());
    }
    assert!(bench.command(order.clone()).only().ends_with("\r\nv=0 webrtc"));
    let mut bench = Bench::new();
    bench.register(&phone, "<sip:alice@10.0.0.9:5070>");
    assert!(bench.command(order).only().ends_with(OFFER));
}

#[test]
fn a_call_to_browsers_rings_no_other_telephone_of_the_user() {
    let mut bench = Bench::new();
    let phone = flow(Transport::Udp, 1, "203.0.113.9:5071");
    bench.register(&phone, "<sip:alice@10.0.0.9:5070>");
    let (dialog, order) = call(Target::Browser("alice".into()));
    let reason = "Not Registered".into();
    let failed = SipEvent::Failed { dialog, status: 480, reason, told: None };
    assert_eq!(bench.command(order).events, [failed], "the desk telephone does not count");
    let mut bench = Bench::new();
    bench.register(&browser(7), "<sip:k1@x.invalid;transport=ws>");
    bench.register_further(&phone, "<sip:alice@10.0.0.9:5070>");
    for (target, rings) in [(Target::User("alice".into()), 2), (Target::Browser("alice".into()), 1)] {
        let sent = &bench.command(call(target).1).sent;
        assert_eq!((sent.len(), sent[0].0), (rings, browser(7)), "{sent:?}");
    }
}

#[test]
fn each_peer_is_offered_media_in_its_own_family_of_addresses() {
    for (peer, offered) in
        [("203.0.113.9:5071", OFFER), ("[2001:db8::9]:5071", "v6"), ("[::ffff:203.0.113.9]:5071", OFFER)]
    {
        let mut bench = Bench::new();
        bench.register(&flow(Transport::Udp, 1, peer), "<sip:alice@10.0.0.9:5070>");
        let (_, mut order) = call(Target::User("alice".into()));
        if let SipCommand::Invite(invite) = &mut order {
            invite.sdp_v6 = Some("v6".into());
        }
        assert!(bench.command(order).only().ends_with(&format!("\r\n\r\n{offered}")), "{peer}");
    }
}

#[test]
fn a_call_fails_with_its_last_contact_and_a_decline_ends_it_for_all() {
    for (statuses, told, cancelled) in [([486, 480], 486, false), ([404, 486], 486, false), ([603, 0], 603, true)] {
        let mut bench = Bench::new();
        bench.register(&browser(7), "<sip:k1@x.invalid;transport=ws>, <sip:k2@y.invalid;transport=ws>");
        let (dialog, order) = call(Target::User("alice".into()));
        bench.command(order);
        let sent = bench.sent.clone();
        bench.receive(&browser(7), &respond(&sent[1].1, 180, "b", ""));
        bench.receive(&browser(7), &respond(&sent[0].1, statuses[0], "a", ""));
        if !cancelled {
            assert!(bench.events.is_empty());
            bench.receive(&browser(7), &respond(&sent[1].1, statuses[1], "b", ""));
        }
        assert!(
            matches!(&bench.events[..], [SipEvent::Failed { dialog: d, status, .. }] if *d == dialog && *status == told)
        );
        assert_eq!(bench.lines().iter().any(|line| line.starts_with("CANCEL")), cancelled);
        bench.assert_rests();
    }
}

#[test]
fn a_browser_call_goes_by_its_socket_and_outlives_it() {
    let mut bench = Bench::new();
    bench.register(&browser(7), "<sip:k1@x.invalid;transport=ws>");
    let (dialog, order) = call(Target::User("alice".into()));
    let sent = bench.command(order).only().to_owned();
    assert!(sent.contains("Via: SIP/2.0/WS 192.0.2.1:5060;branch="));
    assert!(header(&sent, Name::Contact).unwrap().contains(";transport=ws>"));
    let ok = respond(&sent, 200, "b", ANSWER).replace("bob@198.51.100.7:5060", "k1@x.invalid;transport=ws");
    bench.receive(&browser(7), &ok);
    assert_eq!(bench.sent[0].0, browser(7));
    assert!(bench.only().starts_with("ACK sip:k1@x.invalid;transport=ws"));
    bench.close(&browser(7));
    let gone = |contacts| SipEvent::Registered { user: "alice".into(), contacts };
    assert_eq!(bench.events, [SipEvent::Unreachable { dialog }, gone(0)]);
    // Another device of the user is not this one.
    bench.register(&browser(8), "<sip:k2@x.invalid;transport=ws>");
    assert_eq!(bench.events, [gone(1)]);
    bench.close(&browser(8));
    bench.register(&browser(9), "<sip:k1@x.invalid;transport=ws;ob>");
    assert_eq!(bench.events, [SipEvent::Reachable { dialog }, gone(1)]);
    bench.command(SipCommand::Info { dialog, content_type: "a/b".into(), body: "c".into() });
    assert_eq!(bench.sent[0].0, browser(9), "the dialog goes on over the new connection");
    let info = bench.only().to_owned();
    bench.receive(&browser(9), &respond(&info, 200, "b", ""));
    bench.close(&browser(9));
    assert_eq!(bench.events, [SipEvent::Unreachable { dialog }, gone(0)]);
    // A request within the dialog also shows where the device is now.
    bench.receive(&browser(10), &from_callee(&sent, "UPDATE", 1, "b", OFFER));
    assert_eq!(bench.events, [SipEvent::Reachable { dialog }, SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    bench.close(&browser(10));
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert_eq!(
        bench.events,
        [SipEvent::Ended { dialog, reason: None, fault: None }],
        "nobody is there to receive the BYE"
    );
    bench.assert_rests();
}

#[test]
fn a_lost_socket_fails_its_fork_only() {
    let mut bench = Bench::new();
    bench.register(&browser(7), "<sip:k1@x.invalid;transport=ws>");
    let (dialog, order) = call(Target::User("alice".into()));
    bench.command(order);
    bench.close(&browser(7));
    assert!(matches!(&bench.events[0], SipEvent::Failed { dialog: d, status: 503, .. } if *d == dialog));
    bench.assert_rests();
    let mut bench = Bench::new();
    let incoming = bench.incoming(1);
    bench.close(&browser(7));
    assert!(bench.events.is_empty());
    bench.close(&trunk());
    assert!(bench.events.is_empty(), "UDP calls do not depend on a socket");
    bench.command(SipCommand::Reject { dialog: incoming, status: 486, reason: None, q850: None });
    bench.assert_rests();
}

#[test]
fn info_goes_both_ways() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    let body = "Signal=5\r\nDuration=160";
    let info = in_dialog(1, "INFO", 2, &tag, body).replace("application/sdp", "Application/DTMF-Relay; x=y");
    bench.receive(&trunk(), &info);
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    let content_type = "application/dtmf-relay".to_owned();
    assert_eq!(bench.events, [SipEvent::Info { dialog, content_type: content_type.clone(), body: body.into() }]);
    bench.receive(&trunk(), &info);
    assert!(bench.events.is_empty(), "a copy is answered and not reported");
    bench.command(SipCommand::Info { dialog, content_type, body: body.into() });
    let sent = bench.only().to_owned();
    assert!(sent.starts_with("INFO ") && sent.ends_with(body));
    bench.receive(&trunk(), &respond(&sent, 200, "", ""));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_caller_may_say_bye_before_the_answer() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.command(SipCommand::Progress { dialog, status: 180, sdp: None });
    let tag = tag_of(bench.only());
    bench.receive(&trunk(), &in_dialog(1, "BYE", 2, &tag, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.events.len(), 1);
    bench.assert_rests();
}
