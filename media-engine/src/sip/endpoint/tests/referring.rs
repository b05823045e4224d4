//! Transfers by REFER, in both directions.

use super::*;

fn refer(cseq: u32, tag: &str, to: &str, extra: &str) -> String {
    in_dialog(1, "REFER", cseq, tag, "").replacen("Contact", &format!("Refer-To: {to}\r\n{extra}Contact"), 1)
}

fn notify(cseq: u32, tag: &str, event: &str, state: &str, line: &str) -> String {
    let head = in_dialog(1, "NOTIFY", cseq, tag, &format!("{line}\r\n"));
    let extra = format!("Event: {event}\r\nSubscription-State: {state}\r\nContact");
    head.replacen("Contact", &extra, 1).replace("application/sdp", "message/sipfrag;version=2.0")
}

#[test]
fn a_peers_transfer_is_accepted_and_its_progress_is_reported() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    let to = "\"Bob\" <sip:bob@example.com;user=phone?X-A=b&Replaces=call9%40host%3Bto-tag%3Dt1%3Bfrom-tag%3Df1>";
    bench.receive(&trunk(), &refer(2, &tag, to, "Referred-By: <sip:alice@example.com>\r\n"));
    assert_eq!(bench.lines()[0], "SIP/2.0 202 Accepted");
    let (call_id, to_tag, from_tag) = ("call9@host".into(), "t1".into(), "f1".into());
    let told = SipEvent::Referred {
        dialog,
        refer: ReferId(2),
        to: "sip:bob@example.com;user=phone".into(),
        replaces: Some(Replaces { call_id, to_tag, from_tag, early_only: false }),
        replaced: None,
        referred_by: Some("<sip:alice@example.com>".into()),
    };
    assert_eq!(bench.events, [told]);
    let trying = bench.find("NOTIFY ").to_owned();
    assert_eq!(header(&trying, Name::Event).as_deref(), Some("refer;id=2"));
    assert!(header(&trying, Name::SubscriptionState).unwrap().starts_with("active;expires="));
    assert_eq!(header(&trying, Name::ContentType).as_deref(), Some("message/sipfrag;version=2.0"));
    assert!(trying.ends_with("\r\n\r\nSIP/2.0 100 Trying\r\n"));
    bench.receive(&trunk(), &respond(&trying, 200, "", ""));
    bench.receive(&trunk(), &refer(3, &tag, "<sip:carol@example.com>", ""));
    assert!(bench.only().starts_with("SIP/2.0 491"), "one at a time");
    let progress = |status, reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        SipCommand::ReferProgress { dialog, refer: ReferId(2), status, reason }
    };
    assert!(bench.command(progress(180, None)).only().ends_with("SIP/2.0 180 Ringing\r\n"));
    let last = bench.command(progress(486, Some("Gone\r\nFishing"))).only().to_owned();
    assert!(last.ends_with("SIP/2.0 486 GoneFishing\r\n"));
    assert_eq!(header(&last, Name::SubscriptionState).as_deref(), Some("terminated;reason=noresource"));
    assert!(bench.command(progress(200, None)).sent.is_empty(), "the final status was already sent");
    bench.receive(&trunk(), &refer(4, &tag, "<sip:carol@example.com>", ""));
    assert_eq!(bench.lines()[0], "SIP/2.0 202 Accepted");
    assert!(bench.command(progress(200, None)).sent.is_empty(), "that REFER has already ended");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_transfer_without_subscription_sends_no_notify() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    let extra = "Refer-Sub: false\r\nRequire: norefersub\r\n";
    bench.receive(&trunk(), &refer(2, &tag, "<sip:bob@example.com>", extra));
    assert_eq!(bench.lines(), ["SIP/2.0 202 Accepted"]);
    assert_eq!(Message::parse(bench.only().as_bytes()).unwrap().extension("Refer-Sub"), Some("false"));
    let over = SipCommand::ReferProgress { dialog, refer: ReferId(2), status: 200, reason: None };
    assert!(bench.command(over).sent.is_empty());
    bench.receive(&trunk(), &refer(3, &tag, "<sip:bob@example.com>", extra));
    assert_eq!((bench.lines(), bench.events.len()), (vec!["SIP/2.0 202 Accepted"], 1), "the first one has ended");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn transfers_that_make_no_sense_are_refused() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    for (n, (to, status)) in [
        ("bob", 400),
        ("<sip:a@b>\r\nRefer-To: <sip:c@d>", 400),
        ("<tel:+15550143>", 416),
        ("<sip:bob@example.com;method=BYE>", 603),
        ("<sip:bob@example.com?Replaces=x%3Bto-tag%3D1>", 400),
        ("<sip:b@example.com?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", 400),
    ]
    .into_iter()
    .enumerate()
    {
        bench.receive(&trunk(), &refer(n as u32 + 2, &tag, to, ""));
        assert!(bench.only().starts_with(&format!("SIP/2.0 {status} ")), "{to}: {}", bench.only());
        assert!(bench.events.is_empty());
    }
    bench.receive(&trunk(), &in_dialog(1, "REFER", 20, &tag, ""));
    assert!(bench.only().starts_with("SIP/2.0 400"), "no Refer-To");
    bench.command(SipCommand::Bye { dialog, reason: None });
    let outside = refer(30, "x", "<sip:bob@example.com>", "").replace(";tag=x", "");
    bench.receive(&trunk(), &outside);
    assert!(bench.only().starts_with("SIP/2.0 405"), "only within a dialog");
    bench.assert_rests();
}

#[test]
fn a_peer_without_the_subscription_gets_no_further_notify() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &refer(2, &tag, "<sip:bob@example.com>", ""));
    let trying = bench.find("NOTIFY ").to_owned();
    bench.receive(&trunk(), &respond(&trying, 481, "", ""));
    let over = SipCommand::ReferProgress { dialog, refer: ReferId(2), status: 200, reason: None };
    assert!(bench.command(over).sent.is_empty() && bench.events.is_empty());
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn our_transfer_is_reported_by_its_last_notify() {
    for (state, line, status) in [
        ("terminated;reason=noresource", "SIP/2.0 200 OK", 200),
        ("terminated;reason=noresource", "SIP/2.0 486 Busy Here", 486),
        ("active;expires=60", "SIP/2.0 603 Decline", 603),
        ("terminated;reason=timeout", "SIP/2.0 180 Ringing", 500),
        ("terminated", "nonsense", 500),
    ] {
        let mut bench = Bench::new();
        let (dialog, tag) = bench.answered(1);
        let (call_id, to_tag, from_tag) = ("a;b@c".into(), "1".into(), "2".into());
        let replaces = Some(Replaces { call_id, to_tag, from_tag, early_only: false });
        let order = SipCommand::Refer { dialog, to: "sip:bob@example.com".into(), replaces };
        let sent = bench.command(order.clone()).only().to_owned();
        let wanted = "<sip:bob@example.com?Replaces=a%3Bb%40c%3Bto-tag%3D1%3Bfrom-tag%3D2>";
        assert_eq!(header(&sent, Name::ReferTo).as_deref(), Some(wanted));
        bench.command(order);
        assert_eq!(bench.events, [SipEvent::ReferResult { dialog, status: 491 }]);
        bench.receive(&trunk(), &respond(&sent, 202, "", ""));
        bench.receive(&trunk(), &notify(2, &tag, "refer", "active", "SIP/2.0 100 Trying"));
        assert_eq!((bench.lines(), bench.events.len()), (vec!["SIP/2.0 200 OK"], 0));
        bench.receive(&trunk(), &notify(3, &tag, "presence", "active", "x"));
        assert!(bench.only().starts_with("SIP/2.0 481"));
        bench.receive(&trunk(), &notify(4, &tag, "Refer;id=1", state, line));
        assert_eq!(bench.events, [SipEvent::ReferResult { dialog, status }]);
        bench.receive(&trunk(), &notify(5, &tag, "refer", state, line));
        assert!(bench.only().starts_with("SIP/2.0 481") && bench.events.is_empty());
        bench.command(SipCommand::Bye { dialog, reason: None });
        bench.assert_rests();
    }
}

#[test]
fn a_refused_transfer_of_ours_is_reported() {
    for status in [405, 603, 0] {
        let mut bench = Bench::new();
        let (dialog, _) = bench.answered(1);
        let order = SipCommand::Refer { dialog, to: "sip:bob@example.com".into(), replaces: None };
        let sent = bench.command(order).only().to_owned();
        match status {
            0 => bench.wait(secs(33)),
            _ => bench.receive(&trunk(), &respond(&sent, status, "", "")),
        };
        let status = if status == 0 { 408 } else { status };
        assert_eq!(bench.events, [SipEvent::ReferResult { dialog, status }]);
        bench.command(SipCommand::Bye { dialog, reason: None });
        bench.assert_rests();
    }
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    let order = |to: &str| SipCommand::Refer { dialog, to: to.into(), replaces: None };
    bench.command(order("sip:bob@example.com"));
    assert_eq!(bench.events, [SipEvent::ReferResult { dialog, status: 491 }], "not answered yet");
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    bench.command(order("tel:+1"));
    assert_eq!(bench.events, [SipEvent::ReferResult { dialog, status: 416 }]);
    bench.wait(secs(40));
    bench.assert_rests();
}

/// An INVITE that asks to take over call 1.
fn replacing(n: u32, value: &str) -> String {
    invite(n).replacen("Max-Forwards", &format!("Require: replaces\r\nReplaces: {value}\r\nMax-Forwards"), 1)
}

#[test]
fn a_call_that_replaces_an_answered_one_is_reported_with_that_dialog() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &replacing(2, &format!("call1;to-tag={tag};from-tag=far1")));
    let [SipEvent::Incoming { dialog: new, replaces, .. }] = bench.events[..] else { panic!("{:?}", bench.events) };
    assert_eq!(replaces, Some(dialog));
    bench.command(SipCommand::Reject { dialog: new, status: 403, reason: None, q850: None });
    assert!(bench.only().starts_with("SIP/2.0 403"));
}

#[test]
fn a_replaces_that_names_no_answered_call_is_refused_without_the_engine() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &invite(3));
    let SipEvent::Incoming { dialog: early, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Progress { dialog: early, status: 180, sdp: None });
    let early = tag_of(bench.only());
    let refused = |bench: &mut Bench, n, value: &str, status: &str| {
        bench.receive(&trunk(), &replacing(n, value));
        assert!(bench.only().starts_with(&format!("SIP/2.0 {status} ")), "{value}: {}", bench.only());
        assert!(bench.events.is_empty(), "{value}: {:?}", bench.events);
    };
    for (n, (value, status)) in [
        (format!("call1;to-tag={tag}"), "400"),
        (format!("call1;to-tag={tag};from-tag=far1\r\nReplaces: call1;to-tag={tag};from-tag=far1"), "400"),
        (format!("call2;to-tag={tag};from-tag=far1"), "481"),
        (format!("call1;to-tag={tag};from-tag=far2"), "481"),
        (format!("call1;to-tag=far1;from-tag={tag}"), "481"),
        (format!("call3;to-tag={early};from-tag=far3"), "481"),
        (format!("call1;to-tag={tag};from-tag=far1;early-only"), "486"),
    ]
    .iter()
    .enumerate()
    {
        refused(&mut bench, 10 + n as u32, value, status);
    }
    bench.command(SipCommand::Bye { dialog, reason: None });
    refused(&mut bench, 20, &format!("call1;to-tag={tag};from-tag=far1"), "481");
}

#[test]
fn a_transfer_to_a_call_of_this_endpoint_names_its_dialog() {
    let mut bench = Bench::new();
    let (_, tag) = bench.answered(1);
    bench.receive(&trunk(), &invite(2));
    let SipEvent::Incoming { dialog: other, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Accept { dialog: other, sdp: ANSWER.into() });
    let other_tag = tag_of(bench.only());
    bench.receive(&trunk(), &in_dialog(2, "ACK", 1, &other_tag, ""));
    let to = format!("<sip:bob@example.com?Replaces=call2%3Bto-tag%3D{other_tag}%3Bfrom-tag%3Dfar2>");
    bench.receive(&trunk(), &refer(2, &tag, &to, ""));
    assert!(matches!(bench.events[..], [SipEvent::Referred { replaced: Some(found), .. }] if found == other));
}

#[test]
fn a_transfer_without_progress_reports_ends_by_itself() {
    let over = |bench: &mut Bench, dialog, after: u64| {
        assert!(bench.wait(secs(after - 1)).events.is_empty(), "{:?}", bench.events);
        bench.wait(secs(2));
        assert_eq!(bench.events, [SipEvent::ReferResult { dialog, status: 408 }]);
    };
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    let order = || SipCommand::Refer { dialog, to: "sip:bob@example.com".into(), replaces: None };
    let sent = bench.command(order()).only().to_owned();
    bench.receive(&trunk(), &respond(&sent, 202, "", ""));
    over(&mut bench, dialog, 32);
    // Reports that announce more, believed for ten minutes at most.
    let promises = [("active;expires=60", 60), ("active", 180), ("pending;expires=4294967295", 600)];
    for (n, (promise, seconds)) in (2..).zip(promises) {
        let sent = bench.command(order()).only().to_owned();
        bench.receive(&trunk(), &notify(n, &tag, "refer", promise, "SIP/2.0 180 Ringing"));
        assert!(bench.only().starts_with("SIP/2.0 200"));
        bench.receive(&trunk(), &respond(&sent, 202, "", ""));
        over(&mut bench, dialog, seconds);
    }
    bench.command(order());
    bench.receive(&trunk(), &notify(9, &tag, "refer", "terminated;reason=noresource", "SIP/2.0 200 OK"));
    assert_eq!(bench.events, [SipEvent::ReferResult { dialog, status: 200 }]);
    assert!(bench.wait(secs(700)).events.is_empty(), "the end is reported once");
    bench.command(order());
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_transfer_that_ends_without_room_for_notify_allows_the_next() {
    let mut config = config();
    config.limits.transactions = 8;
    let mut bench = Bench::with(config);
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &refer(2, &tag, "<sip:bob@example.com>", ""));
    let trying = bench.find("NOTIFY ").to_owned();
    bench.receive(&trunk(), &respond(&trying, 200, "", ""));
    let mut n = 2;
    while bench.endpoint.sizes().server_transactions + bench.endpoint.sizes().client_transactions < 8 {
        bench.receive(&trunk(), &invite(n));
        n += 1;
    }
    let over = SipCommand::ReferProgress { dialog, refer: ReferId(2), status: 200, reason: None };
    assert!(bench.command(over).sent.is_empty(), "there is no room for the NOTIFY");
    bench.wait(secs(400));
    bench.receive(&trunk(), &refer(3, &tag, "<sip:carol@example.com>", ""));
    assert_eq!(bench.lines()[0], "SIP/2.0 202 Accepted");
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}
