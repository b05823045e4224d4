//! Connections that we open: shared, announced before they are used, failing at once.

use std::net::SocketAddr;

use super::*;
use crate::sip::trunk::Destination;

/// An endpoint with listeners of every transport, and a carrier that is reached over `transport`.
fn bench(transport: Transport) -> Bench {
    let mut config = config();
    config.limits.connections = 2;
    config.trunks[0].destinations = vec![Destination {
        host: "sip.carrier.example".into(),
        port: None,
        transport,
        addresses: vec!["198.51.100.7:5061".parse().unwrap()],
        priority: 0,
        weight: 1,
    }];
    let mut bench = Bench::with(config);
    for (id, transport, port) in [(2, Transport::Tcp, 5060), (3, Transport::Tls, 5061)] {
        let local = SocketAddr::from(([192, 0, 2, 1], port));
        bench.endpoint.listener(Flow { id: FlowId(id), transport, local, peer: local });
    }
    bench
}

fn out(target: Target) -> (DialogId, SipCommand) {
    let dialog = DialogId::outgoing();
    let order = SipCommand::from(Invite::new(dialog, target, OFFER).from_user("+15550100"));
    (dialog, order)
}

fn through_trunk() -> (DialogId, SipCommand) {
    out(Target::Trunk { name: "carrier".into(), user: "+15550142".into() })
}

fn to_uri(address: &str) -> SipCommand {
    let (uri, addr) = (format!("sip:bob@{address}"), address.parse().unwrap());
    out(Target::Uri { uri, addr, transport: Transport::Tcp }).1
}

#[test]
fn a_connection_is_requested_once_and_shared() {
    let mut bench = bench(Transport::Tls);
    let (first, order) = through_trunk();
    let invite = bench.command(order).only().to_owned();
    let (flow, name) = bench.connects[0].clone();
    assert!(flow.id.is_outgoing());
    assert_eq!(
        (flow.transport, flow.peer, &*name),
        (Transport::Tls, "198.51.100.7:5061".parse().unwrap(), "sip.carrier.example")
    );
    assert_eq!(bench.sent[0].0, flow);
    assert!(invite.contains("Via: SIP/2.0/TLS 192.0.2.1:5061;branch="), "{invite}");
    assert!(invite.contains("Contact: <sip:+15550100@192.0.2.1:5061;transport=tls>"), "{invite}");
    let (second, order) = through_trunk();
    bench.command(order);
    assert_eq!((bench.sent[0].0, bench.connects.len()), (flow, 1));
    bench.receive(&flow, &respond(&invite, 200, "far", ANSWER));
    assert!(matches!(&bench.events[..], [SipEvent::Answered { dialog, .. }] if *dialog == first));
    assert_eq!(bench.sent[0].0, flow, "the ACK goes by the same connection");
    assert!(bench.endpoint.is_flow_used(flow.id));
    for dialog in [first, second] {
        bench.command(SipCommand::Bye { dialog, reason: None });
    }
    bench.assert_rests();
    assert!(!bench.endpoint.is_flow_used(flow.id));
    bench.command(through_trunk().1);
    assert_eq!(bench.connects.len(), 1, "it is still open");
}

#[test]
fn a_lost_connection_fails_its_calls_at_once_and_the_next_call_opens_another() {
    let mut bench = bench(Transport::Tcp);
    let (dialog, order) = through_trunk();
    bench.command(order);
    let flow = bench.connects[0].0;
    bench.close(&flow);
    let reason = "Connection Failed".into();
    assert_eq!(bench.events, [SipEvent::Failed { dialog, status: 503, reason, told: None }]);
    let (trunk, user, password) = ("carrier".into(), "acct".into(), "pw".into());
    bench.command(SipCommand::Register { trunk, user, password, expires: secs(600) });
    let again = bench.connects[1].0;
    assert_ne!(again.id, flow.id);
    assert!(bench.endpoint.is_flow_used(again.id));
    bench.close(&again);
    assert!(matches!(&bench.events[..], [SipEvent::RegistrationState { ok: false, status: 503, .. }]));
    // Otherwise it would be tried again.
    bench.command(SipCommand::Drain).assert_rests();
}

#[test]
fn a_trunks_answered_call_outlives_its_connection_and_opens_another() {
    let mut bench = bench(Transport::Tls);
    let (dialog, order) = through_trunk();
    let invite = bench.command(order).only().to_owned();
    let flow = bench.connects[0].0;
    bench.receive(&flow, &respond(&invite, 200, "far", ANSWER));
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    bench.close(&flow);
    assert_eq!(bench.events, [SipEvent::ReinviteFailed { dialog, status: 503 }], "what was under way fails");
    assert!(bench.sent.is_empty() && bench.connects.len() == 1, "{:?}", bench.lines());
    bench.command(SipCommand::Reinvite { dialog, sdp: OFFER.into() });
    let (again, name) = bench.connects[1].clone();
    assert_eq!((again.peer, &*name, bench.sent[0].0), (flow.peer, "sip.carrier.example", again));
    let offer = bench.only().to_owned();
    bench.receive(&again, &respond(&offer, 200, "far", ANSWER));
    assert_eq!(bench.sent[0].0, again, "the ACK");
    bench.close(&again);
    assert!(bench.events.is_empty(), "{:?}", bench.events);
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert_eq!((bench.connects.len(), bench.only().starts_with("BYE ")), (3, true));
    bench.assert_rests();
}

#[test]
fn a_call_over_a_connection_opened_by_its_trunk_is_hung_up_over_one_of_ours() {
    let mut bench = bench(Transport::Tcp);
    let theirs = flow(Transport::Tcp, 9, "198.51.100.7:33333");
    bench.receive(&theirs, &invite(1));
    let SipEvent::Incoming { dialog, .. } = bench.events[0] else { panic!("{:?}", bench.events) };
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    let tag = tag_of(bench.only());
    bench.receive(&theirs, &in_dialog(1, "ACK", 1, &tag, ""));
    bench.close(&theirs);
    assert!(bench.events.is_empty(), "{:?}", bench.events);
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert_eq!(bench.connects[0].0.peer, "198.51.100.7:5061".parse().unwrap(), "where it listens");
    assert!(bench.only().starts_with("BYE "));
    bench.assert_rests();
}

#[test]
fn a_call_whose_trunk_cannot_be_reached_any_more_ends_once() {
    let mut bench = bench(Transport::Tcp);
    let (dialog, order) = through_trunk();
    let invite = bench.command(order).only().to_owned();
    let flow = bench.connects[0].0;
    bench.receive(&flow, &respond(&invite, 200, "far", ANSWER));
    bench.close(&flow);
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert!(matches!(&bench.events[..], [SipEvent::Ended { .. }]));
    let second = bench.connects[1].0;
    bench.close(&second);
    assert!(
        bench.sent.is_empty() && bench.connects.len() == 2 && bench.events.is_empty(),
        "it is not retried for ever"
    );
    bench.assert_rests();
}

#[test]
fn the_longest_idle_connection_makes_room_for_a_new_one() {
    let mut bench = bench(Transport::Tcp);
    let end = |bench: &mut Bench, n: usize| {
        let invite = bench.find("INVITE ").to_owned();
        let flow = bench.connects[n].0;
        bench.receive(&flow, &respond(&invite, 486, "x", ""));
    };
    for (n, address) in ["198.51.100.1:5060", "198.51.100.2:5060"].into_iter().enumerate() {
        bench.command(to_uri(address));
        end(&mut bench, n);
    }
    // The first one is used again, so the second one has been idle the longest.
    bench.command(to_uri("198.51.100.1:5060"));
    end(&mut bench, 0);
    assert_eq!(bench.command(to_uri("198.51.100.3:5060")).sent.len(), 1);
    assert_eq!(bench.closed, [bench.connects[1].0.id]);
    // That one waits for a response, so now the first one is closed.
    assert_eq!(bench.command(to_uri("198.51.100.4:5060")).sent.len(), 1);
    assert_eq!(bench.closed, [bench.connects[1].0.id, bench.connects[0].0.id]);
    assert!(bench.command(to_uri("198.51.100.5:5060")).sent.is_empty(), "both are needed");
    assert_eq!((bench.closed.len(), bench.endpoint.sizes().overflows), (2, 1));
}

#[test]
fn one_connection_too_many_is_refused_and_counted() {
    let mut bench = bench(Transport::Tcp);
    for (address, sent) in [("198.51.100.1:5060", 1), ("198.51.100.2:5060", 1), ("198.51.100.3:5060", 0)] {
        assert_eq!(bench.command(to_uri(address)).sent.len(), sent, "{address}");
    }
    assert!(matches!(&bench.events[..], [SipEvent::Failed { status: 503, .. }]));
    assert_eq!(bench.endpoint.sizes().overflows, 1);
    let first = bench.connects[0].0;
    bench.close(&first);
    assert_eq!(bench.command(to_uri("198.51.100.3:5060")).sent.len(), 1);
}

#[test]
fn a_large_request_stays_on_udp_undivided() {
    let mut bench = bench(Transport::Udp);
    let long = "a=candidate:1 1 udp 1 192.0.2.1 4000 typ host\r\n".repeat(60);
    let (_, mut order) = through_trunk();
    if let SipCommand::Invite(invite) = &mut order {
        invite.sdp.push_str(&long);
    }
    let invite = bench.command(order).only().to_owned();
    assert!(invite.len() > 3000 && invite.ends_with(&long));
    assert_eq!(bench.sent[0].0.transport, Transport::Udp);
    assert!(bench.connects.is_empty());
}

#[test]
fn peers_are_given_the_advertised_address() {
    for (advertise, transport, told) in [
        ("203.0.113.9", Transport::Udp, "203.0.113.9:5060"),
        ("203.0.113.9:5080", Transport::Udp, "203.0.113.9:5080"),
        ("voice.example.com:5080", Transport::Tcp, "voice.example.com:5080"),
        ("voice.example.com:5080", Transport::Tls, "voice.example.com:5061"),
        ("2001:db8::9", Transport::Tcp, "[2001:db8::9]:5060"),
    ] {
        let mut bench = bench(transport);
        bench.endpoint.config.advertise = Some(advertise.parse().unwrap());
        let invite = bench.command(through_trunk().1).only().to_owned();
        assert!(header(&invite, Name::Via).unwrap().starts_with(&format!("SIP/2.0/{transport} {told};")), "{invite}");
        assert!(header(&invite, Name::Contact).unwrap().starts_with(&format!("<sip:+15550100@{told}")), "{invite}");
    }
    for wrong in ["", "0.0.0.0", "[::]:5060", "a b", "host:", "host:0", "host:99999", "sip:host"] {
        let error = wrong.parse::<Advertise>().unwrap_err();
        assert!(error.contains("HOST[:PORT]"), "{error}");
    }
}

#[test]
fn a_newly_resolved_trunk_is_called_and_recognised_at_its_new_address() {
    let mut bench = bench(Transport::Udp);
    let moved = Destination::udp("198.51.100.8:5070".parse().unwrap());
    bench.command(SipCommand::TrunkResolved { trunk: "carrier".into(), destinations: vec![moved] });
    bench.command(through_trunk().1);
    assert_eq!(bench.sent[0].0.peer, "198.51.100.8:5070".parse().unwrap());
    let from = |peer: &str| flow(Transport::Udp, 1, peer);
    bench.receive(&from("198.51.100.7:5060"), &invite(1));
    assert!(bench.events.is_empty() && bench.only().starts_with("SIP/2.0 407"), "{}", bench.only());
    bench.receive(&from("198.51.100.8:5060"), &invite(2));
    assert!(matches!(&bench.events[..], [SipEvent::Incoming { from: Source::Trunk(name), .. }] if name == "carrier"));
}

#[test]
fn the_peer_of_a_connection_is_known_by_trunk_registration_or_call() {
    let mut bench = Bench::new();
    let (page, phone) = (browser(7), flow(Transport::Tcp, 8, "203.0.113.21:5060"));
    assert!(bench.endpoint.is_flow_known(&flow(Transport::Tcp, 9, "198.51.100.7:40000")), "a trunk's address");
    assert!(!bench.endpoint.is_flow_known(&flow(Transport::Ws, 9, "198.51.100.7:40000")), "a page from there");
    let options = register(5, "<sip:a@x.invalid>", "").replace("REGISTER", "OPTIONS");
    assert!(bench.receive(&page, &options).only().starts_with("SIP/2.0 200"));
    bench.receive(&page, &register(1, "<sip:a@x.invalid>", ""));
    assert!(!bench.endpoint.is_flow_known(&page), "it was only asked for a password");
    bench.register(&page, "<sip:a@x.invalid;transport=ws>");
    assert!(bench.endpoint.is_flow_known(&page) && !bench.endpoint.is_flow_known(&phone));
    bench.wait(secs(601));
    assert!(!bench.endpoint.is_flow_known(&page), "its registration has ended");
}
