//! Our own registrations at a trunk.

use super::*;

fn order() -> SipCommand {
    let (trunk, user, password) = ("carrier".into(), "acct".into(), "pw".into());
    SipCommand::Register { trunk, user, password, expires: secs(600) }
}

fn challenge(request: &str, extra: &str) -> String {
    let line = format!("WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\"{extra}\r\nCall-ID");
    respond(request, 401, "t", "").replacen("Call-ID", &line, 1)
}

fn grant(request: &str, seconds: u32) -> String {
    respond(request, 200, "t", "").replace("Contact: <sip:bob@", &format!("Expires: {seconds}\r\nContact: <sip:bob@"))
}

#[test]
fn we_register_at_a_trunk_with_digest_and_refresh_before_the_end() {
    let mut bench = Bench::new();
    let first = bench.command(order()).only().to_owned();
    assert!(first.starts_with("REGISTER sip:198.51.100.7 SIP/2.0"));
    assert_eq!(header(&first, Name::Authorization), None);
    let second = bench.receive(&trunk(), &challenge(&first, "")).only().to_owned();
    assert_eq!(header(&second, Name::CallId), header(&first, Name::CallId));
    assert_eq!(header(&second, Name::CSeq).as_deref(), Some("2 REGISTER"));
    assert_ne!(header(&second, Name::Via), header(&first, Name::Via));
    let proof = digest::Credentials::parse(&header(&second, Name::Authorization).unwrap()).unwrap();
    assert!(proof.matches("REGISTER", &digest::ha1(digest::Algorithm::Md5, "acct", "carrier", "pw")));
    bench.receive(&trunk(), &grant(&second, 100));
    let (user, trunk_name) = ("acct".to_owned(), "carrier".to_owned());
    let granted = SipEvent::RegistrationState { trunk: trunk_name.clone(), user: user.clone(), ok: true, status: 200 };
    assert_eq!(bench.events, [granted]);
    assert!(bench.wait(secs(79)).sent.is_empty());
    let third = bench.wait(secs(1)).only().to_owned();
    assert_eq!(header(&third, Name::CSeq).as_deref(), Some("3 REGISTER"));
    let fourth = bench.receive(&trunk(), &challenge(&third, "")).only().to_owned();
    bench.receive(&trunk(), &challenge(&fourth, ""));
    let refused = SipEvent::RegistrationState { trunk: trunk_name, user, ok: false, status: 401 };
    assert_eq!((bench.sent.len(), &bench.events[..]), (0, &[refused][..]), "a wrong password is not tried again");
    assert!(bench.wait(secs(1_799)).sent.is_empty(), "for half an hour");
    bench.wait(secs(1)).find("REGISTER");
    bench.command(SipCommand::Drain).assert_rests();
}

#[test]
fn a_stale_nonce_is_answered_with_the_new_one() {
    let mut bench = Bench::new();
    let first = bench.command(order()).only().to_owned();
    let second = bench.receive(&trunk(), &challenge(&first, "")).only().to_owned();
    let third = bench.receive(&trunk(), &challenge(&second, ", stale=true")).only().to_owned();
    assert_eq!(header(&third, Name::CSeq).as_deref(), Some("3 REGISTER"));
    assert!(bench.events.is_empty());
}

#[test]
fn an_unanswered_registration_is_retried_when_its_name_resolves_anew() {
    let mut bench = Bench::new();
    bench.command(order());
    bench.wait(secs(33));
    let moved = Destination::udp("198.51.100.8:5070".parse().unwrap());
    bench.command(SipCommand::TrunkResolved { trunk: "carrier".into(), destinations: vec![moved] });
    bench.wait(Duration::from_millis(1));
    bench.find("REGISTER");
    assert_eq!(bench.sent[0].0.peer, "198.51.100.8:5070".parse().unwrap());
    bench.command(SipCommand::Drain).assert_rests();
}

#[test]
fn a_registration_that_is_granted_while_draining_is_removed_again() {
    let mut bench = Bench::new();
    let first = bench.command(order()).only().to_owned();
    assert!(bench.command(SipCommand::Drain).sent.is_empty(), "no registration is granted yet");
    let back = bench.receive(&trunk(), &grant(&first, 600)).only().to_owned();
    assert_eq!(header(&back, Name::Expires).as_deref(), Some("0"));
    bench.receive(&trunk(), &grant(&back, 600));
    assert!(bench.sent.is_empty(), "it is sent only once");
    assert!(matches!(&bench.events[..], [SipEvent::RegistrationState { ok: false, status: 200, .. }]));
    bench.assert_rests();
}

#[test]
fn an_unanswered_registration_is_reported() {
    let mut bench = Bench::new();
    bench.command(order());
    bench.wait(secs(33));
    assert!(matches!(&bench.events[..], [SipEvent::RegistrationState { ok: false, status: 408, .. }]));
    bench.command(SipCommand::Drain).assert_rests();
}
