//! re-INVITE, UPDATE and session timers.
//!
//! Covers offers of either side in an answered call, their refusal and cancellation, and refreshes of the session by UPDATE
//! or re-INVITE (RFC 3261 section 14, RFC 3311, RFC 4028).
//!
//! Not here: retries after 491 (`glare`), UPDATE before the answer in detail (`early`, `reliable`).

use super::*;

#[test]
fn a_re_invite_is_reported_and_answered() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, OFFER));
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying"]);
    assert_eq!(bench.events, [SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 3, &tag, OFFER));
    assert!(bench.find("SIP/2.0 500").contains("Retry-After"), "one at a time");
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    assert!(bench.only().ends_with(ANSWER));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 2, &tag, ""));
    assert!(bench.wait(secs(40)).lines().iter().all(|line| line.starts_with("SIP/2.0 500")));
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 4, &tag, OFFER));
    bench.command(SipCommand::RejectReinvite { dialog, status: 488 });
    assert_eq!(bench.lines(), ["SIP/2.0 488 Not Acceptable Here"]);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 4, &tag, "").replace("INVITE", "ACK"));
    bench.receive(&trunk(), &in_dialog(1, "BYE", 5, &tag, ""));
    assert_eq!(bench.events.len(), 1);
    bench.assert_rests();
}

#[test]
fn a_re_invite_without_sdp_gets_the_present_session_as_offer() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]);
    assert!(bench.find("SIP/2.0 200").ends_with(ANSWER) && bench.events.is_empty());
    bench.receive(&trunk(), &in_dialog(1, "ACK", 2, &tag, OFFER));
    assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: OFFER.into() }]);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 3, &tag, ""));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 3, &tag, ""));
    assert!(bench.find("BYE ").contains("tag=far1"), "an ACK without the answer ends the call");
    assert_eq!(bench.events.len(), 1);
    bench.assert_rests();
}

#[test]
fn a_first_invite_without_sdp_gets_our_offer() {
    let mut bench = Bench::new();
    let text = with_body(invite(1).split("Content-Type").next().unwrap(), "");
    bench.receive(&trunk(), &text);
    let SipEvent::Incoming { dialog, sdp: None, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Accept { dialog, sdp: OFFER.into() });
    let tag = tag_of(bench.only());
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ANSWER));
    assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: ANSWER.into() }]);
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn offers_from_both_sides_at_once_are_491() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    let ours = bench.only().to_owned();
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, OFFER));
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying", "SIP/2.0 491 Request Pending"]);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, OFFER));
    assert_eq!(bench.lines(), ["SIP/2.0 491 Request Pending"], "a copy gets the same");
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, "").replace("INVITE", "ACK"));
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 3, &tag, OFFER));
    assert_eq!(bench.lines(), ["SIP/2.0 491 Request Pending"]);
    bench.receive(&trunk(), &respond(&ours, 488, "", ""));
    assert_eq!(bench.events, [SipEvent::ReinviteFailed { dialog, status: 488 }]);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 4, &tag, OFFER));
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    assert_eq!(bench.events, [SipEvent::ReinviteFailed { dialog, status: 491 }], "ours has to wait for the answer");
    bench.receive(&trunk(), &in_dialog(1, "BYE", 5, &tag, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    bench.assert_rests();
}

#[test]
fn our_re_invite_is_acknowledged_and_a_lost_dialog_ends() {
    let mut bench = Bench::new();
    let (dialog, _) = bench.answered(1);
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    let ours = bench.only().to_owned();
    assert_eq!(header(&ours, Name::CSeq).as_deref(), Some("1 INVITE"));
    bench.receive(&trunk(), &respond(&ours, 200, "", ANSWER));
    assert!(bench.only().starts_with("ACK sip:bob@198.51.100.7:5060"), "the target has moved");
    assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: ANSWER.into() }]);
    bench.receive(&trunk(), &respond(&ours, 200, "", ANSWER));
    assert!(bench.only().starts_with("ACK ") && bench.events.is_empty());
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    let ours = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&ours, 481, "", ""));
    assert!(bench.find("ACK ").contains("call1") && bench.find("BYE ").contains("call1"));
    assert!(matches!(&bench.events[..], [SipEvent::Ended { .. }]));
    bench.assert_rests();
}

#[test]
fn a_re_invite_that_is_never_answered_leaves_nothing() {
    for provisional in [false, true] {
        let mut bench = Bench::new();
        let (dialog, tag) = bench.answered(1);
        bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
        let ours = bench.only().to_owned();
        if provisional {
            bench.receive(&trunk(), &respond(&ours, 100, "", ""));
        }
        bench.receive(&trunk(), &in_dialog(1, "BYE", 2, &tag, ""));
        assert!(matches!(&bench.events[..], [SipEvent::Ended { .. }]));
        bench.wait(secs(20));
        bench.receive(&trunk(), &respond(&ours, 200, "", ANSWER));
        assert!(bench.only().starts_with("ACK "), "a late answer is acknowledged");
        bench.assert_rests();
    }
}

#[test]
fn a_cancelled_re_invite_leaves_the_session_as_it_was() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, OFFER));
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, "").replace("INVITE", "CANCEL"));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert!(bench.events.is_empty());
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    assert!(bench.sent.is_empty());
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, "").replace("INVITE", "ACK"));
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 3, &tag, OFFER));
    assert_eq!(bench.events.len(), 1);
    bench.receive(&trunk(), &in_dialog(1, "BYE", 4, &tag, ""));
    bench.assert_rests();
}

fn with_session(request: &str, value: &str) -> String {
    request.replacen("Call-ID", &format!("Supported: timer\r\nSession-Expires: {value}\r\nCall-ID"), 1)
}

#[test]
fn a_browsers_session_timer_is_agreed_refreshed_by_update_and_enforced() {
    let mut bench = Bench::new();
    bench.receive(&trunk(), &with_session(&invite(1), "90"));
    let SipEvent::Incoming { dialog, .. } = bench.events[0] else { panic!() };
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    let ok = bench.only();
    assert_eq!(header(ok, Name::SessionExpires).as_deref(), Some("90;refresher=uac"));
    assert_eq!(header(ok, Name::Require).as_deref(), Some("timer"));
    let tag = tag_of(ok);
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ""));
    for n in 2..6 {
        assert!(bench.wait(secs(45)).events.is_empty());
        bench.receive(&trunk(), &with_session(&in_dialog(1, "UPDATE", n, &tag, ""), "90;refresher=uac"));
        let ok = bench.only();
        assert!(ok.starts_with("SIP/2.0 200") && bench.events.is_empty());
        assert_eq!(header(ok, Name::SessionExpires).as_deref(), Some("90;refresher=uac"));
        assert!(header(ok, Name::Contact).is_some());
    }
    assert!(bench.wait(secs(59)).events.is_empty());
    bench.wait(secs(2));
    assert!(bench.find("BYE ").contains("call1"));
    assert!(matches!(&bench.events[..], [SipEvent::Ended { fault: Some(_), .. }]));
    bench.assert_rests();
}

#[test]
fn a_peer_that_wants_us_to_refresh_gets_updates() {
    let mut bench = Bench::new();
    bench.receive(&trunk(), &with_session(&invite(1), "1800;refresher=uas"));
    let SipEvent::Incoming { dialog, .. } = bench.events[0] else { panic!() };
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    assert_eq!(header(bench.only(), Name::SessionExpires).as_deref(), Some("1800;refresher=uas"));
    let tag = tag_of(bench.only());
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ""));
    for _ in 0..3 {
        bench.wait(secs(900));
        let update = bench.only().to_owned();
        assert!(update.starts_with("UPDATE "));
        assert_eq!(header(&update, Name::SessionExpires).as_deref(), Some("1800;refresher=uac"));
        bench.receive(&trunk(), &accepted(&update, "1800;refresher=uac", ""));
    }
    bench.wait(secs(900));
    let update = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&update, 481, "", ""));
    assert!(matches!(&bench.events[..], [SipEvent::Ended { .. }]));
    bench.assert_rests();
}

#[test]
fn too_small_an_interval_is_422() {
    let mut bench = Bench::new();
    bench.receive(&trunk(), &with_session(&invite(1), "60"));
    assert_eq!(header(bench.find("SIP/2.0 422"), Name::MinSe).as_deref(), Some("90"));
    assert!(bench.events.is_empty());
    bench.assert_rests();
}

/// An answered incoming call whose caller wants us to refresh.
fn refreshed_by_us(bench: &mut Bench, invite: &str) -> (DialogId, String) {
    bench.receive(&trunk(), &with_session(invite, "1800;refresher=uas"));
    let SipEvent::Incoming { dialog, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    let tag = tag_of(bench.only());
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ""));
    (dialog, tag)
}

fn accepted(request: &str, session: &str, body: &str) -> String {
    respond(request, 200, "t", body).replacen("Contact", &format!("Session-Expires: {session}\r\nContact"), 1)
}

#[test]
fn a_peer_without_update_is_refreshed_by_re_invite_with_the_same_session() {
    let mut bench = Bench::new();
    let (dialog, _) = refreshed_by_us(&mut bench, &invite(1).replace(", UPDATE", ""));
    for _ in 0..3 {
        bench.wait(secs(900));
        let again = bench.only().to_owned();
        assert!(again.starts_with("INVITE ") && again.ends_with(ANSWER), "unchanged, its version too");
        assert_eq!(header(&again, Name::SessionExpires).as_deref(), Some("1800;refresher=uac"));
        let ok = accepted(&again, "1800;refresher=uac", OFFER).replace("Allow: INVITE, UPDATE", "Allow: INVITE");
        bench.receive(&trunk(), &ok);
        assert!(bench.only().starts_with("ACK "));
        assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: OFFER.into() }], "it may be other media");
    }
    bench.wait(secs(900));
    let again = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&again, 408, "", ""));
    assert!(bench.find("BYE ").contains("call1"));
    assert!(matches!(&bench.events[..], [SipEvent::Ended { dialog: d, fault: Some(_), .. }] if *d == dialog));
    bench.assert_rests();
}

#[test]
fn a_refresh_that_fails_ends_the_call_before_the_session_does() {
    let mut bench = Bench::new();
    let (dialog, _) = refreshed_by_us(&mut bench, &invite(1));
    bench.wait(secs(900));
    let update = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&update, 405, "", ""));
    let again = bench.only().to_owned();
    bench.receive(&trunk(), &respond(&again, 488, "", ""));
    assert!(bench.wait(secs(867)).events.is_empty() && bench.sent.is_empty());
    bench.wait(secs(2));
    assert!(bench.lines()[0].starts_with("BYE "), "32 s before the end");
    assert!(matches!(&bench.events[..], [SipEvent::Ended { dialog: d, fault: Some(_), .. }] if *d == dialog));
    bench.assert_rests();
}

#[test]
fn a_refresh_refused_as_an_update_is_repeated_as_a_re_invite() {
    for (status, seconds) in [(405, 0), (501, 0), (488, 0), (491, 5), (500, 5)] {
        let mut bench = Bench::new();
        let (dialog, _) = refreshed_by_us(&mut bench, &invite(1));
        bench.wait(secs(900));
        let update = bench.only().to_owned();
        bench.receive(&trunk(), &respond(&update, status, "", ""));
        if seconds > 0 {
            assert!(bench.sent.is_empty(), "{status}: {:?}", bench.lines());
            bench.wait(secs(seconds));
        }
        let again = bench.find("INVITE ").to_owned();
        assert!(again.ends_with(ANSWER), "{status}");
        bench.receive(&trunk(), &accepted(&again, "1800;refresher=uac", OFFER));
        assert!(bench.wait(secs(895)).events.is_empty(), "{status}: the session lives on");
        bench.command(SipCommand::Bye { dialog, reason: None });
        bench.assert_rests();
    }
}

#[test]
fn a_refresh_with_a_too_small_interval_is_sent_again_with_the_requested_one() {
    let mut bench = Bench::new();
    let (dialog, _) = refreshed_by_us(&mut bench, &invite(1));
    bench.wait(secs(900));
    let small = |request: &str| respond(request, 422, "", "").replacen("Contact", "Min-SE: 4000\r\nContact", 1);
    let update = bench.only().to_owned();
    bench.receive(&trunk(), &small(&update));
    let again = bench.only().to_owned();
    assert_eq!(header(&again, Name::SessionExpires).as_deref(), Some("4000;refresher=uac"));
    bench.receive(&trunk(), &small(&again));
    assert!(bench.sent.is_empty(), "it is sent only once");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn the_answer_to_our_call_decides_who_refreshes() {
    for (session, we_refresh) in [("1800;refresher=uac", true), ("1800;refresher=uas", false), ("1800", true)] {
        let mut bench = Bench::new();
        let (_, order) = call_trunk();
        let sent = bench.command(order).only().to_owned();
        assert!(header(&sent, Name::Supported).unwrap().contains("timer"));
        bench.receive(&trunk(), &accepted(&sent, session, ANSWER));
        bench.wait(secs(901));
        assert_eq!(bench.lines().iter().any(|line| line.starts_with("UPDATE ")), we_refresh, "{session}");
        if !we_refresh {
            bench.wait(secs(866));
            assert!(bench.sent.is_empty());
            assert!(bench.wait(secs(2)).lines()[0].starts_with("BYE "));
        }
        bench.wait(secs(900));
        bench.assert_rests();
    }
}

#[test]
fn an_update_with_an_offer_is_reported() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 2, &tag, OFFER));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.events, [SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    assert!(bench.only().starts_with("SIP/2.0 200") && bench.only().ends_with(ANSWER));
    assert!(bench.wait(secs(1)).sent.is_empty(), "no ACK is waited for");
    bench.receive(&trunk(), &in_dialog(1, "BYE", 3, &tag, ""));
    bench.assert_rests();
}

#[test]
fn an_early_update_is_accepted_only_without_an_offer() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.command(SipCommand::Progress { dialog, status: 183, sdp: Some(ANSWER.into()) });
    let tag = tag_of(bench.only());
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 2, &tag, ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    bench.receive(&trunk(), &in_dialog(1, "UPDATE", 3, &tag, OFFER));
    assert_eq!(bench.lines(), ["SIP/2.0 500 Server Internal Error"]);
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    assert_eq!(header(bench.only(), Name::CSeq).as_deref(), Some("1 INVITE"));
    bench.receive(&trunk(), &in_dialog(1, "ACK", 1, &tag, ""));
    assert!(bench.wait(secs(5)).lines().is_empty(), "the ACK is for the INVITE, whatever came in between");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}
