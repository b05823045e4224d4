//! Resolution of the names of trunks and of URIs.

use media_engine::config::NameServer as Resolver;

use super::dns::NameServer;
use super::*;

fn config(authority: &Authority, server: &NameServer) -> SipConfig {
    SipConfig { resolver: Resolver::At(server.address), ..authority.config("127.0.0.1") }
}

#[tokio::test]
async fn srv_records_choose_the_host_by_priority() {
    let authority = Authority::new();
    let server = NameServer::start().await;
    server.host("a.carrier.test");
    server.host("b.carrier.test");
    let (mut first, mut second) = (
        Stack::start(&authority, &[HERE], ConnectionLimits::default()).await,
        Stack::start(&authority, &[HERE], ConnectionLimits::default()).await,
    );
    let (a, b) = (first.address(Transport::Tcp).port(), second.address(Transport::Tcp).port());
    server.service("_sip._tcp.carrier.test", &[(20, b, "b.carrier.test"), (10, a, "a.carrier.test")]);
    server.service("_sip._tcp.other.test", &[(10, b, "b.carrier.test"), (20, a, "a.carrier.test")]);
    let trunks = [("carrier", "carrier.test"), ("other", "tcp:other.test")];
    let mut stack = Stack::start_with(config(&authority, &server), &trunks, ConnectionLimits::default()).await;
    for (trunk, far) in [("carrier", &mut first), ("other", &mut second)] {
        let dialog = stack.invite(trunk);
        far.take_call().await;
        assert_eq!(stack.answered().await, dialog, "{trunk}");
    }
    assert_eq!(stack.handle.locate("sip:bob@other.test").await, Ok((Transport::Tcp, ([127, 0, 0, 1], b).into())));
}

#[tokio::test]
async fn a_uri_is_resolved_by_its_port_transport_and_name() {
    let authority = Authority::new();
    let server = NameServer::start().await;
    server.host("plain.test");
    server.host("sip.plain.test");
    server.service("_sips._tcp.secure.test", &[(1, 5071, "sip.plain.test")]);
    server.service("_sip._udp.none.test", &[(1, 5060, "")]);
    let stack = Stack::start_with(config(&authority, &server), &[], ConnectionLimits::default()).await;
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    for (uri, led) in [
        ("sip:bob@plain.test", (Transport::Udp, at(5060))),
        ("sip:bob@plain.test:5070;transport=tcp", (Transport::Tcp, at(5070))),
        ("sips:bob@plain.test", (Transport::Tls, at(5061))),
        ("sip:bob@secure.test", (Transport::Tls, at(5071))),
        ("sips:secure.test", (Transport::Tls, at(5071))),
        ("sip:127.0.0.1:5090", (Transport::Udp, at(5090))),
    ] {
        assert_eq!(stack.handle.locate(uri).await, Ok(led), "{uri}");
    }
    for (uri, word) in
        [("sip:bob@none.test", "none.test"), ("tel:+1", "not a SIP URI"), ("sip:unknown.test", "no such host")]
    {
        let error = stack.handle.locate(uri).await.unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_name_server_that_never_answers_delays_no_other_call() {
    let authority = Authority::new();
    let server = NameServer::start().await;
    server.host("good.test");
    let mut far = Stack::start(&authority, &[HERE], ConnectionLimits::default()).await;
    let good = format!("good.test:{}", far.address(Transport::Udp).port());
    let trunks = [("dead", "silent.test"), ("good", &*good)];
    let started = media_engine::net::clock::now();
    let mut stack = Stack::start_with(config(&authority, &server), &trunks, ConnectionLimits::default()).await;
    assert!(started.elapsed() < Duration::from_secs(4), "the start waits for 2 s at most");
    let lost = stack.invite("dead");
    assert_eq!(timeout(PROMPT, stack.failed()).await.expect("reported at once"), (lost, 503));
    let dialog = stack.invite("good");
    far.take_call().await;
    assert_eq!(timeout(PROMPT, stack.answered()).await.expect("not behind the look-up"), dialog);
}
