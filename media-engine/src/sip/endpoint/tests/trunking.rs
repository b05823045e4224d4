//! Trunks with several places, passwords, limits and number formats.
//!
//! A trunk's place `n` has the address 198.51.100.`n`. Covers failover between places and their health, answered
//! challenges, the limits of channels and calls per second, and the numbers and identities that a trunk sees.
//!
//! Not here: registrations at a trunk in detail (`registering`), connections (`connecting`).

use super::*;
use crate::sip::trunk::{NumberFormat, TrunkCredentials, TrunkSettings};

fn place(n: u8) -> Flow {
    flow(Transport::Udp, 1, &format!("198.51.100.{n}:5060"))
}

fn destination(n: u8, priority: u16) -> Destination {
    Destination { priority, ..Destination::udp(place(n).peer) }
}

fn with_settings(destinations: Vec<Destination>, settings: TrunkSettings) -> Bench {
    let addresses = destinations.iter().flat_map(|to| &to.addresses).map(|address| address.ip()).collect();
    let trunks = vec![Trunk { name: "carrier".into(), addresses, destinations, settings }];
    Bench::with(EndpointConfig { trunks, ..EndpointConfig::new("example.com", [9; 32]) })
}

fn account() -> TrunkSettings {
    let credentials = TrunkCredentials { user: "acct".into(), password: "pw".into() };
    TrunkSettings { credentials: Some(credentials), ..TrunkSettings::default() }
}

fn call() -> (DialogId, SipCommand) {
    let dialog = DialogId::outgoing();
    let target = Target::Trunk { name: "carrier".into(), user: "+34911222333".into() };
    let command = SipCommand::from(Invite::new(dialog, target, OFFER).from_user("+15550100"));
    (dialog, command)
}

/// The last numbers of the addresses to which the latest INVITEs were sent.
fn tried(bench: &Bench) -> Vec<u8> {
    let invites = bench.sent.iter().filter(|(_, text)| text.starts_with("INVITE"));
    invites.map(|(flow, _)| if let std::net::IpAddr::V4(ip) = flow.peer.ip() { ip.octets()[3] } else { 0 }).collect()
}

fn challenge(request: &str, status: u16, algorithm: &str, extra: &str) -> String {
    let name = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
    let line = format!(
        "{name}: Digest realm=\"carrier\", nonce=\"n{status}\", qop=\"auth\", algorithm={algorithm}{extra}\r\nCall-ID"
    );
    respond(request, status, "t", "").replacen("Call-ID", &line, 1)
}

fn failed(dialog: DialogId, status: u16) -> SipEvent {
    SipEvent::Failed { dialog, status, reason: "Said".into(), told: Some(Box::default()) }
}

#[test]
fn a_full_or_unreachable_place_is_followed_by_the_next_at_once() {
    for status in [408, 480, 503, 504] {
        let mut bench =
            with_settings(vec![destination(8, 2), destination(7, 1), destination(9, 3)], TrunkSettings::default());
        let (dialog, command) = call();
        let first = bench.command(command).only().to_owned();
        assert_eq!(tried(&bench), [7], "the lowest priority first");
        bench.receive(&place(7), &respond(&first, status, "a", ""));
        assert_eq!(tried(&bench), [8], "{status}");
        let second = bench.find("INVITE").to_owned();
        assert_ne!(header(&second, Name::CallId), header(&first, Name::CallId));
        bench.receive(&place(8), &respond(&second, 200, "b", ANSWER));
        assert!(matches!(&bench.events[..], [SipEvent::Answered { dialog: answered, .. }] if *answered == dialog));
        bench.command(SipCommand::Bye { dialog, reason: None });
        bench.assert_rests();
    }
}

#[test]
fn a_statement_about_the_callee_holds_for_all_places() {
    for status in [403, 404, 486, 488, 500, 603] {
        let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], TrunkSettings::default());
        let (dialog, command) = call();
        let first = bench.command(command).only().to_owned();
        bench.receive(&place(7), &respond(&first, status, "a", ""));
        assert_eq!((tried(&bench), &bench.events[..]), (vec![], &[failed(dialog, status)][..]), "{status}");
        bench.assert_rests();
    }
}

#[test]
fn a_call_fails_once_with_the_most_informative_status_when_no_place_is_left() {
    let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], TrunkSettings::default());
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.receive(&place(7), &respond(&first, 503, "a", ""));
    let second = bench.find("INVITE").to_owned();
    bench.receive(&place(8), &respond(&second, 486, "b", ""));
    assert_eq!(bench.events, [failed(dialog, 486)]);
    bench.assert_rests();
}

#[test]
fn a_place_that_is_silent_after_a_challenge_is_left_for_the_next() {
    let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], account());
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.receive(&place(7), &respond(&first, 100, "", ""));
    bench.receive(&place(7), &challenge(&first, 407, "MD5", ""));
    assert_eq!(tried(&bench), [7]);
    bench.wait(Duration::from_millis(1_999));
    assert_eq!(tried(&bench), [7, 7], "only copies over UDP");
    bench.wait(Duration::from_millis(2));
    assert_eq!(tried(&bench), [8]);
    bench.command(SipCommand::Cancel { dialog });
    bench.assert_rests();
}

#[test]
fn a_prack_is_sent_with_the_password_if_it_is_challenged() {
    let mut bench = with_settings(vec![destination(7, 1)], account());
    let (dialog, command) = call();
    let invite = bench.command(command).only().to_owned();
    bench.receive(&place(7), &reliably(&invite, 183, "far", 1, ANSWER));
    let prack = bench.find("PRACK ").to_owned();
    bench.receive(&place(7), &challenge(&prack, 407, "MD5", ""));
    let again = bench.only();
    assert!(again.starts_with("PRACK ") && header(again, Name::RAck) == header(&prack, Name::RAck));
    assert!(header(again, Name::ProxyAuthorization).unwrap().contains("username=\"acct\""));
    bench.command(SipCommand::Cancel { dialog });
    bench.assert_rests();
}

#[test]
fn a_silent_place_is_left_after_two_seconds_and_a_late_answer_is_ended() {
    for late in [180, 200] {
        let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], TrunkSettings::default());
        let (dialog, command) = call();
        let first = bench.command(command).only().to_owned();
        bench.wait(Duration::from_millis(1_999));
        assert_eq!(tried(&bench), [7, 7], "only copies over UDP");
        bench.wait(Duration::from_millis(2));
        assert_eq!(tried(&bench), [8]);
        let second = bench.find("INVITE").to_owned();
        bench.receive(&place(7), &respond(&first, late, "a", if late == 200 { ANSWER } else { "" }));
        let lines = bench.lines();
        match late {
            180 => assert!(matches!(&lines[..], [line] if line.starts_with("CANCEL")), "{lines:?}"),
            _ => assert!(
                matches!(&lines[..], [ack, bye] if ack.starts_with("ACK") && bye.starts_with("BYE")),
                "{lines:?}"
            ),
        }
        assert!(bench.events.is_empty(), "the call has moved on");
        bench.receive(&place(8), &respond(&second, 486, "b", ""));
        assert_eq!(bench.events, [failed(dialog, 486)]);
        bench.assert_rests();
    }
}

#[test]
fn a_place_that_rings_is_not_left_for_the_next() {
    let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], TrunkSettings::default());
    let first = bench.command(call().1).only().to_owned();
    bench.receive(&place(7), &respond(&first, 100, "", ""));
    bench.wait(secs(60));
    assert!(tried(&bench).is_empty());
    bench.receive(&place(7), &respond(&first, 486, "a", ""));
    bench.assert_rests();
}

#[test]
fn three_failures_set_a_place_aside_until_it_answers_again() {
    let every = Some(secs(20));
    let settings = TrunkSettings { probe: every, ..TrunkSettings::default() };
    let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], settings);
    let answer = |bench: &mut Bench, deaf: &[u8]| {
        let asked: Vec<(Flow, String)> =
            bench.sent.iter().filter(|(_, text)| text.starts_with("OPTIONS")).cloned().collect();
        assert!(!asked.is_empty());
        let mut events = Vec::new();
        for (to, options) in asked.iter().filter(|(to, _)| !deaf.iter().any(|n| place(*n).peer == to.peer)) {
            bench.receive(to, &respond(options, 404, "o", ""));
            events.append(&mut bench.events);
        }
        events
    };
    bench.command(SipCommand::TrunksStart);
    assert_eq!(bench.sent.len(), 2, "both are asked at once");
    answer(&mut bench, &[7]);
    // Each probe of the one that does not respond times out after 32 s.
    let mut told = Vec::new();
    for _ in 0..60 {
        bench.wait(secs(2));
        told.append(&mut bench.events.clone());
        if bench.sent.iter().any(|(_, text)| text.starts_with("OPTIONS")) {
            told.extend(answer(&mut bench, &[7]));
        }
    }
    let down = SipEvent::TrunkHealth {
        trunk: "carrier".into(),
        address: place(7).peer,
        healthy: false,
        why: "Request Timeout".into(),
    };
    assert_eq!(told, [down], "reported once");
    let status = bench.endpoint.trunk_status(bench.now);
    assert_eq!(status[0].places.iter().map(|place| place.healthy).collect::<Vec<_>>(), [false, true]);
    let invite = bench.command(call().1).find("INVITE").to_owned();
    assert_eq!(tried(&bench), [8], "the one that is set aside comes last");
    bench.receive(&place(8), &respond(&invite, 486, "b", ""));
    let mut told = Vec::new();
    for _ in 0..15 {
        bench.wait(secs(2));
        if bench.sent.iter().any(|(_, text)| text.starts_with("OPTIONS")) {
            told.extend(answer(&mut bench, &[]));
        }
    }
    assert!(matches!(&told[..], [SipEvent::TrunkHealth { healthy: true, .. }]), "{told:?}");
    bench.command(call().1);
    assert_eq!(tried(&bench), [7]);
}

#[test]
fn a_place_is_set_aside_for_the_time_that_it_asks_for() {
    let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], TrunkSettings::default());
    let first = bench.command(call().1).only().to_owned();
    let busy = respond(&first, 503, "a", "").replacen("Call-ID", "Retry-After: 60 (full)\r\nCall-ID", 1);
    bench.receive(&place(7), &busy);
    bench.wait(secs(59));
    bench.command(call().1);
    assert_eq!(tried(&bench), [8]);
    bench.wait(secs(2));
    bench.command(call().1);
    assert_eq!(tried(&bench), [7]);
}

#[test]
fn a_silent_place_gets_more_time_if_only_unhealthy_ones_are_left() {
    let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], TrunkSettings::default());
    for _ in 0..3 {
        let (dialog, command) = call();
        bench.command(command);
        let invite = bench.find("INVITE").to_owned();
        // 7 answers 486; 8 is never asked, and so stays healthy.
        bench.receive(&place(7), &respond(&invite, 486, "a", ""));
        assert_eq!(bench.events, [failed(dialog, 486)]);
    }
    // Now 8 fails three times.
    for _ in 0..3 {
        let (_, command) = call();
        let first = bench.command(command).find("INVITE").to_owned();
        bench.receive(&place(7), &respond(&first, 480, "a", ""));
        let second = bench.find("INVITE").to_owned();
        bench.receive(&place(8), &respond(&second, 503, "b", ""));
    }
    bench.command(call().1);
    bench.wait(Duration::from_millis(3_999));
    assert!(tried(&bench).iter().all(|n| *n == 7), "no healthy place waits");
    bench.wait(Duration::from_millis(2));
    assert_eq!(tried(&bench), [8]);
}

#[test]
fn a_trunk_that_challenges_gets_its_own_password() {
    for (status, algorithm) in [(401, "MD5"), (407, "SHA-256"), (407, "MD5")] {
        let mut bench = with_settings(vec![destination(7, 1)], account());
        let (dialog, command) = call();
        let first = bench.command(command).only().to_owned();
        assert!(first.starts_with("INVITE sip:+34911222333@198.51.100.7 SIP/2.0"));
        bench.receive(&place(7), &challenge(&first, status, algorithm, ""));
        let second = bench.find("INVITE").to_owned();
        assert!(bench.find("ACK").contains("CSeq: 1 ACK"));
        assert_eq!(header(&second, Name::CallId), header(&first, Name::CallId));
        assert_eq!(header(&second, Name::From), header(&first, Name::From));
        assert_eq!(header(&second, Name::CSeq).as_deref(), Some("2 INVITE"));
        assert_ne!(header(&second, Name::Via), header(&first, Name::Via));
        let name = if status == 401 { Name::Authorization } else { Name::ProxyAuthorization };
        let proof = digest::Credentials::parse(&header(&second, name).unwrap()).unwrap();
        let algorithm = if algorithm == "MD5" { digest::Algorithm::Md5 } else { digest::Algorithm::Sha256 };
        assert!(proof.matches("INVITE", &digest::ha1(algorithm, "acct", "carrier", "pw")));
        bench.receive(&place(7), &respond(&second, 200, "b", ANSWER));
        assert!(matches!(&bench.events[..], [SipEvent::Answered { .. }]), "{:?}", bench.events);
        bench.command(SipCommand::Bye { dialog, reason: None });
        let bye = bench.find("BYE").to_owned();
        assert_eq!(header(&bye, Name::CSeq).as_deref(), Some("3 BYE"));
        bench.receive(&place(7), &challenge(&bye, status, "MD5", ""));
        let again = bench.find("BYE");
        assert!(header(again, name).is_some() && again.contains("CSeq: 4 BYE"), "{again}");
        bench.assert_rests();
    }
}

#[test]
fn a_wrong_password_ends_the_call_and_a_stale_nonce_does_not() {
    let mut bench = with_settings(vec![destination(7, 1)], account());
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.receive(&place(7), &challenge(&first, 407, "MD5", ""));
    let second = bench.find("INVITE").to_owned();
    bench.receive(&place(7), &challenge(&second, 407, "MD5", ", stale=true"));
    let third = bench.find("INVITE").to_owned();
    assert_eq!(header(&third, Name::CSeq).as_deref(), Some("3 INVITE"));
    assert_eq!(Message::parse(third.as_bytes()).unwrap().count(Name::ProxyAuthorization), 1);
    bench.receive(&place(7), &challenge(&third, 407, "MD5", ""));
    assert_eq!(bench.events, [failed(dialog, 407)]);
    let status = bench.endpoint.trunk_status(bench.now);
    assert!(status[0].last_error.as_ref().unwrap().contains("407"), "{status:?}");
    bench.assert_rests();
}

#[test]
fn no_trunk_gets_another_trunks_password() {
    let trunks = vec![
        Trunk { name: "paid".into(), destinations: vec![destination(6, 1)], settings: account(), ..Trunk::default() },
        Trunk { name: "carrier".into(), destinations: vec![destination(7, 1)], ..Trunk::default() },
    ];
    let mut bench = Bench::with(EndpointConfig { trunks, ..EndpointConfig::new("example.com", [9; 32]) });
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.receive(&place(7), &challenge(&first, 401, "MD5", ""));
    assert_eq!((tried(&bench), &bench.events[..]), (vec![], &[failed(dialog, 401)][..]));
    bench.assert_rests();
}

#[test]
fn a_cancelled_call_answers_no_challenge() {
    let mut bench = with_settings(vec![destination(7, 1)], account());
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.command(SipCommand::Cancel { dialog });
    bench.receive(&place(7), &challenge(&first, 407, "MD5", ""));
    assert!(tried(&bench).is_empty());
    bench.assert_rests();
}

#[test]
fn a_challenged_re_invite_is_sent_again_and_answered() {
    let mut bench = with_settings(vec![destination(7, 1)], account());
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.receive(&place(7), &respond(&first, 200, "b", ANSWER));
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    let offer = bench.find("INVITE").to_owned();
    bench.receive(&place(7), &challenge(&offer, 407, "MD5", ""));
    let again = bench.find("INVITE").to_owned();
    bench.receive(&place(7), &respond(&again, 200, "b", ANSWER));
    assert!(matches!(&bench.events[..], [SipEvent::ReinviteAnswered { .. }]), "{:?}", bench.events);
    assert!(bench.find("ACK").contains("CSeq: 3 ACK"));
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert!(bench.find("BYE").contains("CSeq: 4 BYE"));
    bench.assert_rests();
}

#[test]
fn a_trunk_carries_no_more_calls_than_its_channels_in_both_directions() {
    let settings = TrunkSettings { channels: Some(2), ..TrunkSettings::default() };
    let mut bench = with_settings(vec![destination(7, 1)], settings);
    let dialog = bench.incoming(1);
    bench.command(call().1);
    assert_eq!(tried(&bench), [7]);
    let (refused, command) = call();
    bench.command(command);
    assert!(matches!(&bench.events[..], [SipEvent::Failed { dialog, status: 503, .. }] if *dialog == refused));
    bench.receive(&trunk(), &invite(2));
    assert!(bench.find("SIP/2.0 503").contains("Retry-After"));
    assert_eq!(bench.endpoint.trunk_status(bench.now)[0].calls, 2);
    bench.command(SipCommand::Reject { dialog, status: 486, reason: None, q850: None });
    assert_eq!(bench.endpoint.trunk_status(bench.now)[0].calls, 1);
    bench.command(call().1);
    assert_eq!(tried(&bench), [7]);
}

#[test]
fn a_trunks_limit_of_calls_per_second_is_kept() {
    let settings = TrunkSettings { calls_per_second: Some(5), ..TrunkSettings::default() };
    let mut bench = with_settings(vec![destination(7, 1)], settings);
    let start = |bench: &mut Bench| {
        bench.command(call().1);
        tried(bench).len()
    };
    assert_eq!((0..20).map(|_| start(&mut bench)).sum::<usize>(), 5);
    bench.wait(Duration::from_millis(200));
    assert_eq!((0..20).map(|_| start(&mut bench)).sum::<usize>(), 1);
    bench.wait(secs(60));
    assert_eq!((0..20).map(|_| start(&mut bench)).sum::<usize>(), 5, "nothing is saved up");
}

#[test]
fn numbers_and_callers_are_written_as_the_trunk_wants_them() {
    let settings = TrunkSettings {
        numbers: NumberFormat::National { country: "34".into(), prefix: String::new() },
        assert_identity: true,
        from_host: Some("carrier.example".into()),
        ..account()
    };
    let mut bench = with_settings(vec![destination(7, 1)], settings);
    let (_, command) = call();
    let invite = bench.command(command.clone()).only().to_owned();
    assert!(invite.starts_with("INVITE sip:911222333@198.51.100.7 SIP/2.0"), "{invite}");
    assert!(header(&invite, Name::From).unwrap().starts_with("<sip:0015550100@carrier.example>;tag="));
    assert!(invite.contains("P-Asserted-Identity: <sip:0015550100@carrier.example>\r\n"));
    assert!(!invite.contains("Privacy"));
    let SipCommand::Invite(invite) = command else { unreachable!() };
    let (dialog, from_display) = (DialogId::outgoing(), Some("Anna".into()));
    let hidden = SipCommand::from(Invite { dialog, from_display, anonymous: true, ..*invite });
    let invite = bench.command(hidden).only().to_owned();
    assert!(header(&invite, Name::From).unwrap().starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="));
    assert!(invite.contains("Privacy: id\r\n"));
    assert!(invite.contains("P-Asserted-Identity: \"Anna\" <sip:0015550100@carrier.example>\r\n"));
}

#[test]
fn a_call_without_an_identity_shows_the_trunks_own_or_none() {
    let numbers = NumberFormat::E164;
    let from = Some("+34910000001".to_owned());
    for (settings, shown) in [
        (TrunkSettings::default(), "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="),
        (account(), "<sip:acct@198.51.100.7>;tag="),
        (TrunkSettings { from: from.clone(), ..TrunkSettings::default() }, "<sip:+34910000001@example.com>;tag="),
        (TrunkSettings { from, numbers, ..account() }, "<sip:34910000001@198.51.100.7>;tag="),
    ] {
        let settings = TrunkSettings { assert_identity: true, ..settings };
        let mut bench = with_settings(vec![destination(7, 1)], settings);
        let (_, mut command) = call();
        if let SipCommand::Invite(invite) = &mut command {
            invite.from_user = None;
        }
        let invite = bench.command(command).only().to_owned();
        assert!(header(&invite, Name::From).unwrap().starts_with(shown), "{invite}");
        assert_eq!(invite.contains("P-Asserted-Identity"), !shown.contains("Anonymous"), "{invite}");
        assert!(!invite.contains("+15550100"), "{invite}");
    }
}

#[test]
fn a_call_of_a_trunk_has_full_numbers_and_only_the_permitted_headers() {
    let settings = TrunkSettings {
        numbers: NumberFormat::E164,
        assert_identity: true,
        pass_headers: vec!["X-Account".into(), "diversion".into()],
        ..TrunkSettings::default()
    };
    let mut bench = with_settings(vec![destination(7, 1)], settings);
    let extra = "P-Asserted-Identity: \"Bob\" <sip:34600111222@carrier>, <tel:+34600111222>\r\nPrivacy: id;critical\r\n\
        Diversion: <sip:+34900@x>;reason=unconditional\r\nX-Account: 7\r\nX-Secret: 1\r\nCall-ID";
    let text = invite(1).replacen("Call-ID", extra, 1).replace("sip:+15550100@", "sip:15550100@");
    bench.receive(&trunk(), &text);
    let [SipEvent::Incoming { from_user, from_display, anonymous, headers, to_user, .. }] = &bench.events[..] else {
        panic!("{:?}", bench.events)
    };
    assert_eq!((&**from_user, from_display.as_deref(), &**to_user), ("+34600111222", Some("Bob"), "+15550100"));
    assert!(*anonymous);
    let passed: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(passed, [("Diversion", "<sip:+34900@x>;reason=unconditional"), ("X-Account", "7")]);
}

#[test]
fn trunks_register_on_their_own_and_unregister_at_the_stop() {
    let settings = TrunkSettings { register: Some(secs(300)), ..account() };
    let mut bench = with_settings(vec![destination(7, 1)], settings);
    let first = bench.command(SipCommand::TrunksStart).only().to_owned();
    assert!(first.starts_with("REGISTER sip:198.51.100.7 SIP/2.0") && first.contains("Expires: 300"), "{first}");
    let brief = respond(&first, 423, "t", "").replacen("Call-ID", "Min-Expires: 900\r\nCall-ID", 1);
    let second = bench.receive(&place(7), &brief).only().to_owned();
    assert!(second.contains("Expires: 900"), "{second}");
    assert_eq!(bench.endpoint.trunk_status(bench.now)[0].registered, Some(false));
    let granted = respond(&second, 200, "t", "").replace("Contact: <sip:bob@", "Expires: 900\r\nContact: <sip:bob@");
    bench.receive(&place(7), &granted);
    assert_eq!(bench.endpoint.trunk_status(bench.now)[0].registered, Some(true));
    let last = bench.command(SipCommand::Drain).only().to_owned();
    assert!(last.starts_with("REGISTER") && last.contains("Expires: 0"), "{last}");
    bench.receive(&place(7), &respond(&last, 200, "t", ""));
    bench.assert_rests();
}

#[test]
fn a_failed_registration_is_tried_elsewhere_and_less_and_less_often() {
    let settings = TrunkSettings { register: Some(secs(300)), ..account() };
    let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], settings);
    let mut request = bench.command(SipCommand::TrunksStart).only().to_owned();
    let (mut at, mut pauses) = (7, Vec::new());
    for _ in 0..9 {
        bench.receive(&place(at), &respond(&request, 503, "t", ""));
        let refused = bench.now;
        while !bench.sent.iter().any(|(_, text)| text.starts_with("REGISTER")) {
            bench.wait(secs(1));
        }
        pauses.push((bench.now - refused).as_secs());
        let (to, next) = bench.sent[0].clone();
        at = if at == 7 { 8 } else { 7 };
        assert_eq!(to.peer, place(at).peer);
        request = next;
    }
    assert!((15..=31).contains(&pauses[0]) && pauses[8] >= 900 && pauses[8] <= 1_801, "{pauses:?}");
}

#[test]
fn a_callee_that_has_rung_is_not_called_at_another_place() {
    for (status, further) in [(480, false), (408, false), (503, true)] {
        let mut bench = with_settings(vec![destination(7, 1), destination(8, 2)], TrunkSettings::default());
        let first = bench.command(call().1).only().to_owned();
        bench.receive(&place(7), &respond(&first, 180, "a", ""));
        bench.receive(&place(7), &respond(&first, status, "a", ""));
        assert_eq!(tried(&bench).len(), usize::from(further), "{status}");
    }
}

#[test]
fn neither_trunk_limits_nor_draining_stop_an_emergency_call() {
    let settings = TrunkSettings { channels: Some(0), calls_per_second: Some(0), ..TrunkSettings::default() };
    let mut bench = with_settings(vec![destination(7, 1)], settings);
    bench.command(SipCommand::Drain);
    let (_, mut command) = call();
    assert!(matches!(bench.command(command.clone()).events[..], [SipEvent::Failed { status: 503, .. }]));
    if let SipCommand::Invite(invite) = &mut command {
        invite.dialog = DialogId::outgoing();
        invite.target = Target::Emergency { name: "carrier".into(), user: "112".into() };
    }
    assert!(bench.command(command).only().starts_with("INVITE sip:112@198.51.100.7 SIP/2.0"));
}

#[test]
fn a_registrar_that_challenges_and_then_wants_a_longer_expiry_gets_both() {
    let settings = TrunkSettings { register: Some(secs(300)), ..account() };
    let mut bench = with_settings(vec![destination(7, 1)], settings);
    let first = bench.command(SipCommand::TrunksStart).only().to_owned();
    let second = bench.receive(&place(7), &challenge(&first, 401, "MD5", "")).only().to_owned();
    let brief = respond(&second, 423, "t", "").replacen("Call-ID", "Min-Expires: 900\r\nCall-ID", 1);
    let third = bench.receive(&place(7), &brief).only().to_owned();
    let fourth = bench.receive(&place(7), &challenge(&third, 401, "MD5", "")).only().to_owned();
    assert!(fourth.contains("Expires: 900") && header(&fourth, Name::Authorization).is_some(), "{fourth}");
}

#[test]
fn a_challenged_request_gets_the_dialogs_next_number() {
    let mut bench = with_settings(vec![destination(7, 1)], account());
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.receive(&place(7), &respond(&first, 200, "b", ANSWER));
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    let offer = bench.find("INVITE").to_owned();
    let (content_type, body) = ("application/dtmf".into(), "5".into());
    assert!(bench.command(SipCommand::Info { dialog, content_type, body }).only().contains("CSeq: 3 INFO"));
    bench.receive(&place(7), &challenge(&offer, 407, "MD5", ""));
    let again = bench.find("INVITE").to_owned();
    assert!(again.contains("CSeq: 4 INVITE"), "{again}");
    bench.receive(&place(7), &respond(&again, 200, "b", ANSWER));
    assert!(matches!(&bench.events[..], [SipEvent::ReinviteAnswered { .. }]), "{:?}", bench.events);
}

#[test]
fn places_that_no_listener_reaches_are_left_out() {
    let far = Destination::udp("[2001:db8::7]:5060".parse().unwrap());
    let mut bench = with_settings(vec![far, destination(8, 2)], TrunkSettings::default());
    bench.command(call().1);
    assert_eq!(tried(&bench), [8]);
    let status = bench.endpoint.trunk_status(bench.now);
    assert_eq!(status[0].last_error, None);
}

/// Our credentials in the only message that was sent.
fn proof(bench: &Bench, start: &str, header_name: Name) -> String {
    let text = bench.find(start);
    header(text, header_name).unwrap_or_else(|| panic!("no proof in {text}"))
}

#[test]
fn the_ack_of_a_2xx_has_the_credentials_of_its_invite() {
    let mut bench = with_settings(vec![destination(7, 1)], account());
    let (dialog, command) = call();
    let first = bench.command(command).only().to_owned();
    bench.receive(&place(7), &challenge(&first, 407, "MD5", ""));
    assert_eq!(header(bench.find("ACK "), Name::ProxyAuthorization), None, "that of a refusal is hop by hop");
    let proven = bench.find("INVITE ").to_owned();
    let given = proof(&bench, "INVITE ", Name::ProxyAuthorization);
    // A copy of the answer is acknowledged in the same way.
    for _ in 0..2 {
        bench.receive(&place(7), &respond(&proven, 200, "far", ANSWER));
        assert_eq!(proof(&bench, "ACK ", Name::ProxyAuthorization), given);
    }
    let again = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
    bench.receive(&place(7), &challenge(&again, 401, "MD5", ""));
    let proven = bench.find("INVITE ").to_owned();
    let given = proof(&bench, "INVITE ", Name::Authorization);
    bench.receive(&place(7), &respond(&proven, 200, "far", ANSWER));
    assert_eq!(proof(&bench, "ACK ", Name::Authorization), given);
    let unasked = bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() }).only().to_owned();
    bench.receive(&place(7), &respond(&unasked, 200, "far", ANSWER));
    let ack = bench.find("ACK ");
    assert_eq!((header(ack, Name::Authorization), header(ack, Name::ProxyAuthorization)), (None, None));
    bench.command(SipCommand::Bye { dialog, reason: None });
    bench.assert_rests();
}
