//! Hop limits of INVITEs that result from others, loops, and numbers to which a carrier redirects.

use super::*;
use crate::sip::dial::DialConfig;
use crate::sip::{Cause, dial};

/// An INVITE of the trunk with another Max-Forwards.
fn with_hops(n: u32, hops: &str) -> String {
    invite(n).replacen("Max-Forwards: 70\r\n", hops, 1)
}

/// Our INVITE to `user` that results from the incoming one.
fn caused(bench: &mut Bench, cause: Cause, user: &str) -> String {
    let (_, mut order) = call_trunk();
    if let SipCommand::Invite(invite) = &mut order {
        (invite.target, invite.cause) = (Target::Trunk { name: "carrier".into(), user: user.into() }, cause);
    }
    bench.command(order).find("INVITE ").to_owned()
}

#[test]
fn an_invite_has_one_hop_less_than_the_one_that_caused_it() {
    for (hops, left) in
        [("Max-Forwards: 70\r\n", 69), ("Max-Forwards: 1\r\n", 0), ("", 69), ("Max-Forwards: 255\r\n", 69)]
    {
        let mut bench = Bench::new();
        bench.receive(&trunk(), &with_hops(1, hops));
        let [SipEvent::Incoming { cause, .. }] = &bench.events[..] else { panic!("{:?}", bench.events) };
        assert_eq!(*cause, Cause { max_forwards: left, called: Some("+15550100".into()) });
        let cause = cause.clone();
        let sent = caused(&mut bench, cause, "+15550199");
        assert_eq!(header(&sent, Name::MaxForwards), Some(left.to_string()), "{hops}");
    }
    let mut bench = Bench::new();
    bench.receive(&trunk(), &with_hops(1, "Max-Forwards: 0\r\n"));
    assert!(bench.only().starts_with("SIP/2.0 483"), "{}", bench.only());
    assert!(bench.events.is_empty());
}

#[test]
fn an_invite_that_comes_back_is_a_loop_only_for_the_same_number() {
    let mut bench = Bench::new();
    bench.receive(&trunk(), &invite(1));
    let [SipEvent::Incoming { cause, .. }] = &bench.events[..] else { panic!("{:?}", bench.events) };
    let cause = cause.clone();
    let first = caused(&mut bench, cause, "+15550199");
    // Asked for a longer interval, it is sent again: that one is recognised too.
    bench.receive(&trunk(), &respond(&first, 422, "t", "").replacen("Contact", "Min-SE: 3600\r\nContact", 1));
    let again = bench.find("INVITE ").to_owned();
    let own_call = caused(&mut bench, Cause::default(), "+15550100");
    for (n, sent) in [&first, &again, &own_call].into_iter().enumerate() {
        let via = format!("Via: {}\r\n", header(sent, Name::Via).unwrap());
        for (other, lines) in
            [(10, via.clone()), (20, format!("Via: SIP/2.0/UDP proxy.example;branch=z9hG4bKp\r\n{via}"))]
        {
            let number = n as u32 + other;
            let back = invite(number).replacen("Max-Forwards", &format!("{lines}Max-Forwards"), 1);
            bench.receive(&trunk(), &back);
            assert!(bench.only().starts_with("SIP/2.0 482"), "{}", bench.only());
            assert!(bench.events.is_empty());
            // The spelling of the number makes no difference.
            let spelled =
                back.replacen("sip:+15550100@", "sip:%2B1-555.0100@", 1).replace("Call-ID: call", "Call-ID: spelled");
            bench.receive(&trunk(), &spelled);
            assert!(bench.only().starts_with("SIP/2.0 482"), "{}", bench.only());
            let elsewhere =
                back.replacen("sip:+15550100@", "sip:+15550177@", 1).replace("Call-ID: call", "Call-ID: other");
            bench.receive(&trunk(), &elsewhere);
            assert!(matches!(&bench.events[..], [SipEvent::Incoming { .. }]), "{:?}", bench.events);
        }
    }
}

#[test]
fn the_dialled_number_is_reported_in_one_form_and_refused_if_ambiguous() {
    for (n, (user, told)) in [
        ("+15550100", Some("+15550100")),
        ("%2B1-555-01.00", Some("+15550100")),
        ("+15550100;npdi:secret", Some("+15550100")),
        ("1-1-2", Some("112")),
        ("anna", Some("anna")),
        ("an%6ea;x=y", Some("anna")),
        ("%09+15550100", None),
        ("%252B15550100", None),
        ("+1555%000100", None),
        ("+1555O1OO", None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bench = Bench::new();
        bench.receive(&trunk(), &invite(n as u32).replacen("sip:+15550100@", &format!("sip:{user}@"), 1));
        match told {
            Some(told) => {
                let [SipEvent::Incoming { to_user, .. }] = &bench.events[..] else {
                    panic!("{user}: {:?}", bench.events)
                };
                assert_eq!(to_user, told, "{user}");
            }
            None => {
                assert!(
                    bench.events.is_empty() && bench.only().starts_with("SIP/2.0 400"),
                    "{user}: {:?}",
                    bench.lines()
                );
            }
        }
    }
}

#[test]
fn a_carrier_cannot_redirect_to_a_forbidden_number() {
    let guard = dial::Guard::new(DialConfig { allow: vec!["+1555".into()], ..DialConfig::default() });
    let mut bench = Bench::with(EndpointConfig { guard, ..config() });
    let sent = bench.command(call_trunk().1).only().to_owned();
    let contacts = "<sip:+19005551234@198.51.100.7>, <sip:%2B1900-5551234@198.51.100.7>, <sip:+34911222333@198.51.100.7>, \
        <sip:112@198.51.100.7>, <sip:someone@198.51.100.7>, <sip:+15550188;rn=+19005551234@198.51.100.7>";
    let redirected = respond(&sent, 302, "r", "").replace("<sip:bob@198.51.100.7:5060>", contacts);
    bench.receive(&trunk(), &redirected);
    assert!(bench.only().starts_with("ACK "), "{:?}", bench.lines());
    let sent = bench.command(call_trunk().1).only().to_owned();
    let redirected = respond(&sent, 302, "r", "")
        .replace("<sip:bob@198.51.100.7:5060>", "<sip:+15550188;rn=+15550189@198.51.100.7>");
    bench.receive(&trunk(), &redirected);
    assert!(bench.find("INVITE ").starts_with("INVITE sip:+15550188;rn=+15550189@"));
}
