//! Strangers, limits, and requests that are not served.

use super::*;

fn stranger() -> Flow {
    flow(Transport::Udp, 1, "203.0.113.66:5060")
}

#[test]
fn options_from_anyone_are_answered_with_our_abilities() {
    let mut bench = Bench::new();
    let options = invite(1).replace("INVITE", "OPTIONS").replace("Max-Forwards: 70", "Max-Forwards: 0");
    bench.receive(&stranger(), &options);
    let ok = bench.only();
    assert!(ok.starts_with("SIP/2.0 200"));
    assert_eq!(header(ok, Name::Allow).as_deref(), Some(ALLOW));
    assert_eq!(header(ok, Name::Accept).as_deref(), Some("application/sdp"));
    assert_eq!(header(ok, Name::Supported).as_deref(), Some(SUPPORTED));
    assert!(bench.endpoint.is_idle(), "no state");
}

#[test]
fn a_stranger_is_challenged_and_costs_nothing() {
    let mut bench = Bench::new();
    for n in 0..1_000 {
        bench.receive(&stranger(), &invite(n));
        assert!(bench.only().starts_with("SIP/2.0 407"));
    }
    assert!(bench.endpoint.is_idle() && bench.events.is_empty());
    let first = bench.receive(&stranger(), &invite(1)).only().to_owned();
    let second = bench.receive(&stranger(), &invite(1)).only().to_owned();
    assert_eq!(tag_of(&first), tag_of(&second), "copies are answered alike");
}

#[test]
fn a_websocket_from_a_trunks_address_is_still_a_stranger() {
    let mut bench = Bench::new();
    bench.receive(&flow(Transport::Ws, 7, "198.51.100.7:40000"), &invite(1));
    assert!(bench.only().starts_with("SIP/2.0 407"));
}

#[test]
fn a_call_whose_address_holds_control_characters_or_is_too_long_is_refused() {
    let long = "9".repeat(257);
    let (called, caller) = ("sip:+15550100@192.0.2.1 SIP", "<sip:+15550142@");
    for (from, to, status) in [
        (called, "sip:%00evil@192.0.2.1 SIP".to_owned(), 400),
        (called, "sip:a%0D%0Ab@192.0.2.1 SIP".to_owned(), 400),
        (called, "sip:%C2%85@192.0.2.1 SIP".to_owned(), 400),
        (called, format!("sip:{long}@192.0.2.1 SIP"), 414),
        (caller, "<sip:%00evil@".to_owned(), 400),
        (caller, "<sip:%7F@".to_owned(), 400),
        (caller, format!("<sip:{long}@"), 400),
    ] {
        let mut bench = Bench::new();
        let changed = invite(1).replace(from, &to);
        assert_ne!(changed, invite(1), "{from}");
        bench.receive(&trunk(), &changed);
        assert!(bench.only().starts_with(&format!("SIP/2.0 {status} ")), "{to}: {}", bench.only());
        assert!(bench.events.iter().all(|event| matches!(event, SipEvent::Refused { .. })), "{:?}", bench.events);
        assert!(bench.endpoint.is_idle());
    }
    let mut bench = Bench::new();
    bench.receive(&trunk(), &invite(1).replace(caller, &format!("<sip:{}@", &long[..256])));
    assert!(matches!(&bench.events[..], [SipEvent::Incoming { from_user, .. }] if from_user.len() == 256));
}

#[test]
fn requests_that_are_not_served_are_refused_with_the_right_status() {
    for (from, to, status) in [
        ("INVITE", "SUBSCRIBE", 405),
        ("INVITE", "PRACK", 481),
        ("INVITE", "BYE", 481),
        ("INVITE", "CANCEL", 481),
        ("INVITE", "CONJURE", 501),
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("Max-Forwards", "Require: join\r\nMax-Forwards", 420),
        ("application/sdp", "text/plain", 415),
        ("Content-Type", "Content-Encoding: gzip\r\nContent-Type", 415),
        ("To: <sip:+15550100@192.0.2.1>", "To: <sip:+15550100@192.0.2.1>;tag=unknown", 481),
    ] {
        let mut bench = Bench::new();
        bench.receive(&trunk(), &invite(1).replace(from, to));
        assert!(bench.only().starts_with(&format!("SIP/2.0 {status} ")), "{to}: {}", bench.only());
        assert!(bench.events.is_empty());
        assert!(bench.endpoint.is_idle());
        match status {
            405 | 501 => assert_eq!(header(bench.only(), Name::Allow).as_deref(), Some(ALLOW)),
            415 => assert_eq!(header(bench.only(), Name::Accept).as_deref(), Some("application/sdp")),
            420 => assert_eq!(header(bench.only(), Name::Unsupported).as_deref(), Some("join")),
            _ => {}
        }
    }
}

#[test]
fn extensions_that_are_served_may_be_required() {
    let mut bench = Bench::new();
    bench.receive(&trunk(), &invite(1).replace("Max-Forwards", "Require: timer\r\nMax-Forwards"));
    assert_eq!(bench.events.len(), 1);
}

#[test]
fn the_same_call_by_another_route_is_merged() {
    let mut bench = Bench::new();
    bench.incoming(1);
    bench.receive(&trunk(), &invite(1).replace("branch=z9hG4bKi1", "branch=z9hG4bKother"));
    assert!(bench.only().starts_with("SIP/2.0 482") && bench.events.is_empty());
}

#[test]
fn answers_go_where_the_via_asks() {
    let mut bench = Bench::new();
    let odd = flow(Transport::Udp, 1, "198.51.100.7:33333");
    bench.receive(&odd, &invite(1));
    assert_eq!(bench.sent[0].0.peer, odd.peer, "rport: to the source");
    bench.receive(&odd, &invite(2).replace(";rport", "").replace("7:5060;branch", "7:5099;branch"));
    assert_eq!(bench.sent[0].0.peer, "198.51.100.7:5099".parse().unwrap(), "otherwise to the port in the Via");
    bench.receive(&odd, &invite(3).replace(";rport", "").replace("7:5060;branch", "7;branch"));
    assert_eq!(bench.sent[0].0.peer, "198.51.100.7:5060".parse().unwrap());
}

#[test]
fn an_rfc_2543_call_without_magic_branch_works() {
    let mut bench = Bench::new();
    let old = |text: String| text.replace(";branch=z9hG4bKi1", "").replace(";branch=z9hG4bKd1-1a", "");
    bench.receive(&trunk(), &old(invite(1)));
    let [SipEvent::Incoming { dialog, .. }] = bench.events[..] else { panic!("{:?}", bench.events) };
    bench.receive(&trunk(), &old(invite(1)));
    assert_eq!((bench.lines(), bench.events.len()), (vec!["SIP/2.0 100 Trying"], 0));
    bench.command(SipCommand::Reject { dialog, status: 404, reason: None, q850: None });
    bench.receive(&trunk(), &old(invite(1).replace("INVITE", "ACK")));
    assert!(bench.wait(secs(40)).sent.is_empty());
    bench.assert_rests();
}

#[test]
fn an_ack_with_the_invites_branch_still_confirms_the_call() {
    let mut bench = Bench::new();
    let dialog = bench.incoming(1);
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    let tag = tag_of(bench.only());
    let ack = in_dialog(1, "ACK", 1, &tag, "").replace("z9hG4bKd1-1a", "z9hG4bKi1");
    bench.receive(&trunk(), &ack);
    assert!(bench.wait(secs(40)).sent.is_empty());
}

#[test]
fn requests_out_of_order_or_of_other_tags_are_refused() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "BYE", 9, &tag, "").replace("tag=far1", "tag=other"));
    assert!(bench.only().starts_with("SIP/2.0 481") && bench.events.is_empty());
    bench.receive(&trunk(), &in_dialog(1, "BYE", 9, &tag, "").replace("Call-ID: call1", "Call-ID: call2"));
    assert!(bench.only().starts_with("SIP/2.0 481") && bench.events.is_empty());
    bench.receive(&trunk(), &in_dialog(1, "INFO", 9, &tag, ""));
    bench.receive(&trunk(), &in_dialog(1, "BYE", 8, &tag, ""));
    assert!(bench.only().starts_with("SIP/2.0 500") && bench.events.is_empty());
    bench.receive(&trunk(), &in_dialog(1, "SUBSCRIBE", 10, &tag, ""));
    assert!(bench.only().starts_with("SIP/2.0 405"));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}

#[test]
fn a_full_table_answers_503_and_counts_it() {
    let limits = Limits { dialogs: 2, transactions: 1_000, ..Limits::default() };
    let mut bench = Bench::with(EndpointConfig { limits, ..config() });
    bench.incoming(1);
    bench.incoming(2);
    bench.receive(&trunk(), &invite(3));
    assert!(bench.only().starts_with("SIP/2.0 503") && bench.only().contains("Retry-After: 5"));
    let target = Target::Trunk { name: "carrier".into(), user: "1".into() };
    bench.command(SipCommand::from(Invite::new(DialogId::outgoing(), target, OFFER).from_user("x")));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 503, .. }]));
    assert_eq!(bench.endpoint.sizes().overflows, 2);
    let limits = Limits { transactions: 3, ..Limits::default() };
    let mut bench = Bench::with(EndpointConfig { limits, ..config() });
    let (dialog, tag) = bench.answered(1);
    bench.receive(&trunk(), &in_dialog(1, "INFO", 2, &tag, "x"));
    bench.receive(&trunk(), &in_dialog(1, "INFO", 3, &tag, "x"));
    bench.receive(&trunk(), &in_dialog(1, "INFO", 4, &tag, "x"));
    assert!(bench.only().starts_with("SIP/2.0 503"));
    bench.receive(&trunk(), &in_dialog(1, "BYE", 5, &tag, ""));
    assert!(bench.only().starts_with("SIP/2.0 200"), "a hang-up always gets through");
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.assert_rests();
}

#[test]
fn one_address_fills_only_its_own_share_of_transactions() {
    let limits = Limits { transactions_per_address: 2, ..Limits::default() };
    let mut bench = Bench::with(EndpointConfig { limits, ..config() });
    let valid_for = secs(86_400);
    bench.command(SipCommand::CredentialSet { user: "alice".into(), password: "secret".into(), valid_for });
    let mut cseq = 0;
    let mut registers = |bench: &mut Bench, peer: &str| {
        let (from, contact) = (flow(Transport::Udp, 1, peer), "<sip:alice@x.invalid>");
        cseq += 2;
        bench.receive(&from, &register(cseq, contact, ""));
        let authorization = authorize(bench.only(), "REGISTER", "alice", "secret", 1);
        bench.receive(&from, &register(cseq + 1, contact, &format!("Authorization: {authorization}\r\n")));
        bench.only().split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for expected in ["200", "200", "503"] {
        assert_eq!(registers(&mut bench, "[2001:db8:1:2::9]:5060"), expected);
    }
    assert_eq!(bench.endpoint.sizes().overflows, 1);
    assert_eq!(registers(&mut bench, "[2001:db8:1:2::77]:5070"), "503", "of the same network");
    assert_eq!(registers(&mut bench, "[2001:db8:1:3::9]:5060"), "200");
    // A trunk's calls are bounded by its channels.
    for call in 1..=5 {
        bench.incoming(call);
    }
    bench.wait(Duration::from_secs(33));
    assert_eq!(registers(&mut bench, "[2001:db8:1:2::9]:5060"), "200", "shares are given back");
}

#[test]
fn a_draining_endpoint_takes_no_new_calls_and_keeps_the_old_ones() {
    let mut bench = Bench::new();
    let (dialog, tag) = bench.answered(1);
    bench.command(SipCommand::Drain);
    bench.receive(&trunk(), &invite(2));
    assert!(bench.only().starts_with("SIP/2.0 503"));
    bench.receive(&trunk(), &in_dialog(1, "BYE", 2, &tag, ""));
    assert_eq!(bench.events, [SipEvent::Ended { dialog, reason: None, fault: None }]);
    bench.assert_rests();
}

#[test]
fn keep_alives_are_answered_on_connections_only() {
    let mut bench = Bench::new();
    bench.receive(&browser(7), "\r\n\r\n");
    assert_eq!(bench.only(), "\r\n");
    assert!(bench.receive(&browser(7), "\r\n").sent.is_empty());
    assert!(bench.receive(&trunk(), "\r\n\r\n").sent.is_empty());
}
