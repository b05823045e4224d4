//! TLS listeners: registration, calls, and incomplete handshakes.

use media_engine::sip::digest::{self, Challenge};
use media_engine::sip::header::Name;

use super::*;

#[tokio::test]
async fn a_tls_listener_takes_a_registration_and_calls_both_ways() {
    let authority = Authority::new();
    let mut stack = Stack::start(&authority, &[HERE], ConnectionLimits::default()).await;
    let mut peer = authority.connect(&stack).await;
    peer.options().await;

    let (user, password) = ("anna".to_owned(), "secret".to_owned());
    let valid_for = Duration::from_secs(60);
    stack.handle.send(SipCommand::CredentialSet { user, password, valid_for }).unwrap();
    let challenge = peer.ask(request("REGISTER", "register", "", "")).await;
    let parsed = Message::parse(challenge.as_bytes()).unwrap();
    let challenge = Challenge::parse(parsed.lines(Name::WwwAuthenticate).next().unwrap()).unwrap();
    let proof = digest::answer(&challenge, "anna", "secret", "REGISTER", "sip:100@example.com", "c", 1);
    let granted = peer.ask(request("REGISTER", "register", &format!("Authorization: {proof}\r\n"), "")).await;
    assert!(granted.starts_with("SIP/2.0 200"), "{granted}");
    assert_eq!(stack.event().await, SipEvent::Registered { user: "anna".into(), contacts: 1 });

    let out = stack.call(Target::User("anna".into()));
    peer.take_call().await;
    assert_eq!(stack.answered().await, out);

    let invite = request("INVITE", "in", "Content-Type: application/sdp\r\n", SDP);
    let trying = peer.ask(invite).await;
    assert!(trying.starts_with("SIP/2.0 100"), "{trying}");
    let dialog = stack.take_call().await;
    let ok = peer.message().await;
    assert!(ok.starts_with("SIP/2.0 200") && ok.contains(";transport=tls>"), "{ok}");
    drop(peer);
    assert_eq!(stack.event().await, SipEvent::Unreachable { dialog: out }, "the user's device is waited for");
    assert_eq!(stack.event().await, SipEvent::Registered { user: "anna".into(), contacts: 0 });
    for dialog in [out, dialog] {
        stack.handle.send(SipCommand::Bye { dialog, reason: None }).unwrap();
        assert_eq!(stack.event().await, SipEvent::Ended { dialog, reason: None, fault: None });
    }
}

#[tokio::test]
async fn handshakes_that_never_end_are_bounded_and_timed_out() {
    let authority = Authority::new();
    let limits =
        ConnectionLimits { tcp_per_address: 3, handshake: Duration::from_secs(2), ..ConnectionLimits::default() };
    let stack = Stack::start(&authority, &[], limits).await;
    let connect = async || Peer::new(TcpStream::connect(stack.address(Transport::Tls)).await.unwrap());
    let (mut first, mut second, mut third) = (connect().await, connect().await, connect().await);
    timeout(PROMPT, connect().await.closed()).await.expect("one too many of an address is closed at once");
    assert_eq!(stack.census().await.connections, 3, "and uses no other connection's place");
    // An incomplete handshake.
    third.send([0x16, 3, 1]).await;
    for peer in [&mut first, &mut second, &mut third] {
        peer.closed().await;
    }
    assert_eq!(stack.census().await.connections, 0);
    authority.connect(&stack).await.options().await;
}

#[tokio::test]
async fn a_connection_that_is_not_tls_is_closed_and_affects_no_other() {
    let authority = Authority::new();
    let stack = Stack::start(&authority, &[], ConnectionLimits::default()).await;
    let mut peer = authority.connect(&stack).await;
    let mut plain = Peer::new(TcpStream::connect(stack.address(Transport::Tls)).await.unwrap());
    plain.send(request("OPTIONS", "plain", "", "")).await;
    let mut buffer = Vec::new();
    // The answer may be a TLS alert, but no SIP.
    let _ = timeout(PATIENCE, plain.stream.read_to_end(&mut buffer)).await.expect("closed");
    assert!(!buffer.starts_with(b"SIP"), "{buffer:?}");
    peer.options().await;
}

#[tokio::test]
async fn a_tls_listener_without_certificate_is_refused_with_a_reason() {
    let config = SipConfig { tls: None, ..Authority::new().config("127.0.0.1") };
    let error = SipStack::start(&config, &[]).await.unwrap_err().to_string();
    assert!(error.starts_with("sip.tls:"), "{error}");
    let config = SipConfig { tls_ca: Some("/nonexistent/ca.pem".into()), ..Authority::new().config("127.0.0.1") };
    let error = SipStack::start(&config, &[]).await.unwrap_err().to_string();
    assert!(error.starts_with("sip.tls_ca: /nonexistent/ca.pem"), "{error}");
}
