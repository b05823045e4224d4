//! Offers from both sides at once, and the times of the retries (RFC 3261 section 14.1).

use super::*;

/// Waits for the next INVITE of ours; returns how long it took.
fn next_invite(bench: &mut Bench, most: Duration) -> (Duration, String) {
    let start = bench.now;
    while bench.now - start <= most {
        bench.wait(Duration::from_millis(10));
        if let Some((_, text)) = bench.sent.iter().find(|(_, text)| text.starts_with("INVITE ")) {
            return (bench.now - start, text.clone());
        }
    }
    panic!("nothing within {most:?}");
}

/// An answered call of ours to the trunk: its dialog and INVITE.
pub(super) fn answered_call(bench: &mut Bench) -> (DialogId, String) {
    let (dialog, order) = call_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &respond(&sent, 200, "t", ANSWER));
    (dialog, sent)
}

#[test]
fn a_re_invite_refused_with_491_is_retried_later_by_the_caller_than_by_the_callee() {
    let mut waits = std::collections::BTreeSet::new();
    for n in 1..20 {
        let mut bench = Bench::with(EndpointConfig { seed: [n; 32], ..config() });
        let (dialog, _) = bench.answered(1);
        let (called, _) = answered_call(&mut bench);
        for (dialog, least, most) in [(dialog, 0, 2_000), (called, 2_100, 4_000)] {
            let ours = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
            bench.receive(&trunk(), &respond(&ours, 491, "", ""));
            assert!(bench.events.is_empty() && bench.only().starts_with("ACK "));
            let (waited, again) = next_invite(&mut bench, secs(5));
            let waited = waited.as_millis() as u64;
            assert!((least..=most + 10).contains(&waited), "{waited} ms");
            waits.insert(waited);
            assert!(again.ends_with(OFFER));
            bench.receive(&trunk(), &respond(&again, 200, "", ANSWER));
            assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: ANSWER.into() }]);
            bench.command(SipCommand::Bye { dialog, reason: None });
        }
        bench.assert_rests();
    }
    assert!(waits.len() > 20, "the times are spread: {waits:?}");
}

#[test]
fn three_refusals_with_491_are_reported() {
    let mut bench = Bench::new();
    let (dialog, _) = bench.answered(1);
    let mut ours = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
    for _ in 0..2 {
        bench.receive(&trunk(), &respond(&ours, 491, "", ""));
        assert!(bench.events.is_empty());
        bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
        assert_eq!(bench.events, [SipEvent::ReinviteFailed { dialog, status: 491 }], "one offer at a time");
        ours = next_invite(&mut bench, secs(3)).1;
    }
    bench.receive(&trunk(), &respond(&ours, 491, "", ""));
    assert_eq!(bench.events, [SipEvent::ReinviteFailed { dialog, status: 491 }]);
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn the_peers_offer_succeeds_while_ours_waits_and_outdates_it() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    let ours = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
    bench.receive(&trunk(), &respond(&ours, 491, "", ""));
    bench.receive(&trunk(), &in_dialog(1, "INVITE", 2, &tag, OFFER));
    assert_eq!(bench.events, [SipEvent::Reoffer { dialog, sdp: OFFER.into() }]);
    bench.command(SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() });
    assert!(bench.only().starts_with("SIP/2.0 200"));
    assert_eq!(bench.events, [SipEvent::ReinviteFailed { dialog, status: 491 }]);
    bench.receive(&trunk(), &in_dialog(1, "ACK", 2, &tag, ""));
    assert!(bench.wait(secs(5)).sent.is_empty());
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_waiting_offer_ends_with_its_call() {
    for by_peer in [false, true] {
        let mut bench = Bench::new();
        let (dialog, tag) = bench.answered(1);
        let ours = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
        bench.receive(&trunk(), &respond(&ours, 491, "", ""));
        match by_peer {
            true => bench.receive(&trunk(), &in_dialog(1, "BYE", 2, &tag, "")),
            false => bench.command(SipCommand::Bye { dialog, reason: None }),
        };
        assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
        assert!(!bench.wait(secs(5)).lines().iter().any(|line| line.starts_with("INVITE")));
        bench.assert_rests();
    }
}

#[test]
fn a_late_copy_of_an_answer_is_not_taken_for_that_of_the_next_offer() {
    let mut bench = Bench::new();
    let (dialog, _) = bench.answered(1);
    let first = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
    bench.receive(&trunk(), &respond(&first, 200, "", ANSWER));
    let second = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
    bench.receive(&trunk(), &respond(&first, 200, "", ANSWER));
    assert!(bench.only().starts_with("ACK ") && bench.events.is_empty());
    bench.receive(&trunk(), &respond(&second, 200, "", ANSWER));
    assert_eq!(bench.events, [SipEvent::ReinviteAnswered { dialog, sdp: ANSWER.into() }]);
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}
