//! Retries of refused INVITEs: 422 and redirections.

use super::*;

fn redirect(request: &str, contacts: &str) -> String {
    respond(request, 302, "r", "").replace("<sip:bob@198.51.100.7:5060>", contacts)
}

#[test]
fn a_422_is_answered_once_with_the_interval_that_it_asks_for() {
    let mut bench = Bench::new();
    let (dialog, order) = call_trunk();
    let sent = bench.command(order).only().to_owned();
    assert_eq!(header(&sent, Name::SessionExpires).as_deref(), Some("1800"));
    assert_eq!(header(&sent, Name::MinSe).as_deref(), Some("90"));
    let small = |request: &str| respond(request, 422, "t", "").replacen("Contact", "Min-SE: 3600\r\nContact", 1);
    bench.receive(&trunk(), &small(&sent));
    let again = bench.find("INVITE ").to_owned();
    assert!(bench.find("ACK ").contains("1 ACK") && bench.events.is_empty());
    assert_eq!(header(&again, Name::SessionExpires).as_deref(), Some("3600"));
    assert_eq!(header(&again, Name::MinSe).as_deref(), Some("3600"));
    assert_eq!(header(&again, Name::CSeq).as_deref(), Some("2 INVITE"));
    for same in [Name::CallId, Name::From, Name::To, Name::Contact, Name::ContentType, Name::Supported] {
        assert_eq!(header(&again, same), header(&sent, same));
    }
    assert_ne!(header(&again, Name::Via), header(&sent, Name::Via));
    assert!(again.ends_with(OFFER));
    bench.receive(&trunk(), &small(&sent));
    assert!(bench.only().starts_with("ACK "), "a copy starts nothing");
    bench.receive(&trunk(), &reliably(&again, 180, "t", 1, ""));
    assert_eq!(header(bench.only(), Name::RAck).as_deref(), Some("1 2 INVITE"));
    bench.receive(&trunk(), &small(&again));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { dialog: d, status: 422, .. }] if *d == dialog));
    bench.assert_rests();
}

#[test]
fn a_call_sent_again_can_be_answered_or_given_up() {
    for answered in [false, true] {
        let mut bench = Bench::new();
        let (dialog, order) = call_trunk();
        let sent = bench.command(order).only().to_owned();
        bench.receive(&trunk(), &redirect(&sent, "<sip:other@198.51.100.7:5070>"));
        let again = bench.find("INVITE ").to_owned();
        bench.receive(&trunk(), &respond(&again, 180, "t", ""));
        if answered {
            bench.receive(&trunk(), &respond(&again, 200, "t", ANSWER));
            assert!(matches!(&bench.events[..], [SipEvent::Answered { .. }]));
            assert_eq!(header(bench.only(), Name::CSeq).as_deref(), Some("2 ACK"));
        }
        let start = if answered { "BYE " } else { "CANCEL sip:other@" };
        assert!(bench.command(SipCommand::Bye { dialog, reason: None }).only().starts_with(start));
        bench.assert_rests();
    }
}

#[test]
fn contacts_of_a_redirection_are_tried_in_turn_within_the_trunk() {
    let mut bench = Bench::new();
    let (dialog, order) = call_trunk();
    let sent = bench.command(order).only().to_owned();
    let contacts = "<sip:far@203.0.113.9>, <tel:+15550143>, <sips:a@198.51.100.7>, <sip:b@198.51.100.7;transport=tcp>, \
        <sip:c@198.51.100.7?X=y>, <sip:name@example.net>, <sip:one@198.51.100.7>, <sip:two@198.51.100.7:5070>";
    bench.receive(&trunk(), &redirect(&sent, contacts));
    let first = bench.find("INVITE ").to_owned();
    assert!(first.starts_with("INVITE sip:one@198.51.100.7 SIP/2.0") && bench.events.is_empty());
    bench.receive(&trunk(), &respond(&first, 486, "x", ""));
    let (by, second) = bench.sent.iter().find(|(_, text)| text.starts_with("INVITE ")).unwrap().clone();
    assert!(second.starts_with("INVITE sip:two@198.51.100.7:5070 SIP/2.0"));
    assert_eq!(by.peer, "198.51.100.7:5070".parse().unwrap());
    assert_eq!(header(&second, Name::CSeq).as_deref(), Some("3 INVITE"));
    bench.receive(&by, &redirect(&second, "<sip:three@198.51.100.7>"));
    assert!(bench.only().starts_with("ACK "), "one level only");
    assert!(matches!(&bench.events[..], [SipEvent::Failed { dialog: d, .. }] if *d == dialog));
    bench.assert_rests();
}

#[test]
fn redirections_to_nowhere_and_beyond_five_contacts_fail() {
    let mut bench = Bench::new();
    let (_, order) = call_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &redirect(&sent, "<sip:far@203.0.113.9>"));
    assert!(bench.only().starts_with("ACK "));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 302, .. }]));
    let (_, order) = call_trunk();
    let mut sent = bench.command(order).only().to_owned();
    let contacts: Vec<String> = (0..9).map(|n| format!("<sip:c{n}@198.51.100.7>")).collect();
    let mut answer = redirect(&sent, &contacts.join(", "));
    for n in 0..5 {
        bench.receive(&trunk(), &answer);
        sent = bench.find(&format!("INVITE sip:c{n}@")).to_owned();
        answer = respond(&sent, 480, "x", "");
    }
    bench.receive(&trunk(), &answer);
    assert!(bench.only().starts_with("ACK ") && bench.events.len() == 1);
    bench.assert_rests();
}

#[test]
fn a_decline_everywhere_stops_the_search() {
    let mut bench = Bench::new();
    let (_, order) = call_trunk();
    let sent = bench.command(order).only().to_owned();
    bench.receive(&trunk(), &redirect(&sent, "<sip:one@198.51.100.7>, <sip:two@198.51.100.7>"));
    let first = bench.find("INVITE ").to_owned();
    bench.receive(&trunk(), &respond(&first, 603, "x", ""));
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 603, .. }]) && bench.sent.len() == 1);
    bench.assert_rests();
}

#[test]
fn failing_contacts_of_a_redirection_do_not_count_against_its_sender() {
    let mut bench = Bench::new();
    let healthy = |bench: &Bench| bench.endpoint.trunk_status(bench.now)[0].places[0].healthy;
    let contacts = [5070, 5080, 5090].map(|port| format!("<sip:one@198.51.100.7:{port}>"));
    let sent = bench.command(call_trunk().1).find("INVITE ").to_owned();
    bench.receive(&trunk(), &redirect(&sent, &contacts.join(", ")));
    for contact in &contacts {
        let (by, invite) = bench.sent.iter().find(|(_, text)| text.starts_with("INVITE ")).unwrap().clone();
        let busy = respond(&invite, 503, "x", "").replacen("Call-ID", "Retry-After: 60\r\nCall-ID", 1);
        bench.receive(&by, &busy);
        assert!(healthy(&bench), "{contact}");
    }
    for _ in 0..3 {
        let sent = bench.command(call_trunk().1).find("INVITE ").to_owned();
        bench.receive(&trunk(), &redirect(&sent, &contacts[0]));
    }
    bench.wait(secs(33));
    assert_eq!(bench.events.len(), 3, "none of them answers: {:?}", bench.events);
    assert!(healthy(&bench));
    bench.assert_rests();
    // The place itself is judged as before.
    for _ in 0..3 {
        let sent = bench.command(call_trunk().1).find("INVITE ").to_owned();
        bench.receive(&trunk(), &respond(&sent, 503, "x", ""));
    }
    assert!(!healthy(&bench));
}
