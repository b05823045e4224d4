//! REGISTER as browsers and phones send it, and calls of users.
//!
//! Covers digest authentication with MD5 and SHA-256, expiry and removal of contacts, several passwords of one user,
//! silenced scanners, Path headers, and INVITEs that users send with their password.
//!
//! Not here: our own registrations at trunks (`registering`), the table of contacts itself (`registrar`).

use super::*;

const CONTACT: &str =
    "<sip:k7p2@4x9.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:5f9a>\";expires=600";

fn with_password(bench: &mut Bench, password: &str, seconds: u64) {
    let (user, password) = ("alice".into(), password.into());
    bench.command(SipCommand::CredentialSet { user, password, valid_for: secs(seconds) });
}

#[test]
fn a_browser_registers_with_digest_and_finds_its_contact_echoed() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 86_400);
    bench.receive(&browser(7), &register(1, CONTACT, ""));
    let challenge = bench.only().to_owned();
    assert!(challenge.starts_with("SIP/2.0 401"));
    assert_eq!(Message::parse(challenge.as_bytes()).unwrap().lines(Name::WwwAuthenticate).count(), 1);
    let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", "alice", "secret", 1));
    bench.receive(&browser(7), &register(2, CONTACT, &line));
    let ok = bench.only();
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
    assert_eq!(header(ok, Name::Contact).as_deref(), Some(CONTACT));
    assert!(header(ok, Name::Via).unwrap().starts_with("SIP/2.0/WS u8k2.invalid;branch=z9hG4bKr2"));
    assert_eq!(header(ok, Name::Require).as_deref(), Some("outbound"));
    assert_eq!(bench.events, [SipEvent::Registered { user: "alice".into(), contacts: 1 }]);
    bench.wait(secs(100));
    // The same nonce serves far beyond 0xff requests.
    for count in 2..=400 {
        let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", "alice", "secret", count));
        bench.receive(&browser(7), &register(1 + count, CONTACT, &line));
        assert!(bench.only().starts_with("SIP/2.0 200"), "count {count}: {}", bench.only());
    }
    let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", "alice", "secret", 300));
    bench.receive(&browser(7), &register(500, CONTACT, &line));
    assert!(bench.only().starts_with("SIP/2.0 401") && bench.only().contains("stale=true"), "a replay");
    assert_eq!(bench.endpoint.sizes().contacts, 1);
    bench.wait(secs(599));
    assert!(bench.events.is_empty());
    bench.wait(secs(2));
    assert_eq!(bench.events, [SipEvent::Registered { user: "alice".into(), contacts: 0 }]);
    bench.assert_rests();
}

#[test]
fn sha_256_registers_too() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 600);
    let phone = flow(Transport::Tcp, 7, "203.0.113.20:40000");
    let challenge = bench.receive(&phone, &register(1, CONTACT, "")).only().to_owned();
    let message = Message::parse(challenge.as_bytes()).unwrap();
    let challenges: Vec<Challenge> =
        message.lines(Name::WwwAuthenticate).map(|line| Challenge::parse(line).unwrap()).collect();
    let algorithms: Vec<_> = challenges.iter().map(|challenge| challenge.algorithm).collect();
    assert_eq!(algorithms, [digest::Algorithm::Md5, digest::Algorithm::Sha256], "old phones read the first one only");
    let answer = digest::answer(&challenges[1], "alice", "secret", "REGISTER", "sip:example.com", "c", 1);
    bench.receive(&phone, &register(2, CONTACT, &format!("Authorization: {answer}\r\n")));
    assert!(bench.only().starts_with("SIP/2.0 200"));
}

#[test]
fn browsers_are_challenged_with_md5_only() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 600);
    let challenge = bench.receive(&browser(7), &register(1, CONTACT, "")).only().to_owned();
    let message = Message::parse(challenge.as_bytes()).unwrap();
    let challenges: Vec<Challenge> =
        message.lines(Name::WwwAuthenticate).map(|line| Challenge::parse(line).unwrap()).collect();
    let algorithms: Vec<_> = challenges.iter().map(|challenge| challenge.algorithm).collect();
    assert_eq!(algorithms, [digest::Algorithm::Md5], "JsSIP reads the last challenge and knows MD5 only");
}

/// Registers with a request that is correct except for `change`; returns the response.
fn attempt(bench: &mut Bench, user: &str, password: &str, cseq: u32, change: impl Fn(String) -> String) -> String {
    let by = browser(7);
    let challenge = bench.receive(&by, &change(register(cseq, CONTACT, ""))).only().to_owned();
    if !challenge.starts_with("SIP/2.0 401") {
        return challenge;
    }
    let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", user, password, 1));
    bench.receive(&by, &change(register(cseq + 1, CONTACT, &line))).only().to_owned()
}

#[test]
fn wrong_passwords_unknown_users_and_foreign_addresses_are_refused() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 86_400);
    let (user, password) = ("bob".into(), "bobs".into());
    bench.command(SipCommand::CredentialSet { user, password, valid_for: secs(600) });
    for (user, password) in [("alice", "wrong"), ("nobody", "secret"), ("bob", "bobs")] {
        let answer = attempt(&mut bench, user, password, 1, |text| text);
        assert!(answer.starts_with("SIP/2.0 403"), "{user}: {answer}");
        assert!(bench.events.is_empty());
    }
    assert_eq!(bench.endpoint.sizes().contacts, 0);
    bench.assert_rests();
}

/// Sends REGISTERs over UDP from `peer` with this password; returns how many got a response.
fn guesses(bench: &mut Bench, peer: &str, password: &str, count: usize) -> usize {
    let by = flow(Transport::Udp, 1, peer);
    let udp = |text: String| text.replace("SIP/2.0/WS u8k2.invalid", &format!("SIP/2.0/UDP {peer};rport"));
    let mut answered = 0;
    for n in 0..count {
        let cseq = 100 + 2 * u32::try_from(n).unwrap();
        let Some(challenge) = bench.receive(&by, &udp(register(cseq, CONTACT, ""))).sent.first().cloned() else {
            continue;
        };
        let line = format!("Authorization: {}\r\n", authorize(&challenge.1, "REGISTER", "alice", password, 1));
        answered += bench.receive(&by, &udp(register(cseq + 1, CONTACT, &line))).sent.len();
    }
    answered
}

#[test]
fn a_password_guesser_is_ignored_for_five_minutes_without_harm_to_others() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 86_400);
    let scanner = flow(Transport::Udp, 1, "203.0.113.66:5060");
    assert_eq!(guesses(&mut bench, "203.0.113.66:5060", "wrong", 30), 10);
    bench.receive(&scanner, &invite(1));
    assert!(bench.sent.is_empty(), "{:?}", bench.lines());
    bench.receive(&scanner, &invite(1).replace("INVITE", "OPTIONS"));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"], "its neighbour's monitoring goes on");
    assert_eq!(guesses(&mut bench, "203.0.113.67:5060", "secret", 1), 1, "another address");
    bench.wait(secs(300));
    assert_eq!(guesses(&mut bench, "203.0.113.66:5060", "secret", 1), 1);
    assert_eq!(guesses(&mut bench, "203.0.113.66:5060", "wrong", 30), 30, "it has authenticated within the hour");
}

#[test]
fn rare_guesses_and_a_trunks_wrong_password_silence_nobody() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 86_400);
    for _ in 0..30 {
        assert_eq!(guesses(&mut bench, "203.0.113.66:5060", "wrong", 1), 1);
        bench.wait(secs(10));
    }
    assert_eq!(guesses(&mut bench, "198.51.100.7:5060", "wrong", 30), 30);
}

#[test]
fn a_scanner_is_reported_to_the_engine_once() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 86_400);
    guesses(&mut bench, "203.0.113.66:5060", "wrong", 9);
    assert!(bench.events.is_empty());
    let by = flow(Transport::Udp, 1, "203.0.113.66:5060");
    let challenge = bench.receive(&by, &register(7, CONTACT, "")).only().to_owned();
    let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", "alice", "wrong", 1));
    bench.receive(&by, &register(8, CONTACT, &line));
    assert_eq!(bench.events, [SipEvent::Scanner { address: by.peer.ip(), silence: secs(300) }]);
}

#[test]
fn every_request_of_a_stranger_is_challenged_even_if_it_is_not_served() {
    for method in ["MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY", "REFER", "INVITE"] {
        let mut bench = Bench::new();
        let stranger = flow(Transport::Udp, 1, "203.0.113.66:5060");
        bench.receive(&stranger, &invite(1).replace("INVITE", method));
        assert!(bench.only().starts_with("SIP/2.0 407"), "{method}: {}", bench.only());
        assert!(bench.endpoint.is_idle() && bench.events.is_empty());
    }
}

#[test]
fn several_passwords_are_valid_each_until_its_end() {
    let mut bench = Bench::new();
    with_password(&mut bench, "old", 30);
    with_password(&mut bench, "new", 300);
    assert!(attempt(&mut bench, "alice", "old", 1, |text| text).starts_with("SIP/2.0 200"));
    assert!(attempt(&mut bench, "alice", "new", 3, |text| text).starts_with("SIP/2.0 200"));
    bench.wait(secs(31));
    assert!(attempt(&mut bench, "alice", "old", 5, |text| text).starts_with("SIP/2.0 403"));
    assert!(attempt(&mut bench, "alice", "new", 7, |text| text).starts_with("SIP/2.0 200"));
    bench.wait(secs(300));
    assert_eq!(bench.endpoint.sizes().passwords, 0);
}

#[test]
fn expiry_follows_the_wish_within_our_bounds() {
    for (wish, answer) in [
        ("expires=5", Err(423)),
        ("expires=30", Ok("expires=30")),
        ("expires=4294967999", Ok("expires=3600")),
        ("expires=x", Ok("expires=600")),
        ("q=0.5", Ok("q=0.5;expires=600")),
    ] {
        let mut bench = Bench::new();
        with_password(&mut bench, "secret", 600);
        let text = attempt(&mut bench, "alice", "secret", 1, |text| text.replacen("expires=600", wish, 1));
        match answer {
            Ok(end) => assert!(header(&text, Name::Contact).unwrap().ends_with(end), "{wish}: {text}"),
            Err(status) => {
                assert!(text.starts_with(&format!("SIP/2.0 {status}")), "{text}");
                assert_eq!(header(&text, Name::MinExpires).as_deref(), Some("30"));
            }
        }
    }
}

#[test]
fn contacts_are_removed_one_by_one_and_all_at_once() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 600);
    let two = |text: String| text.replacen(";expires=600", ";expires=600, <sip:other@z.invalid>;expires=60", 1);
    let answer = attempt(&mut bench, "alice", "secret", 1, two);
    assert_eq!(Message::parse(answer.as_bytes()).unwrap().headers(Name::Contact).count(), 2);
    let gone = |text: String| text.replacen(";expires=600", ";expires=0", 1);
    assert!(attempt(&mut bench, "alice", "secret", 3, gone).contains("sip:other@z.invalid"));
    assert_eq!(bench.events, [SipEvent::Registered { user: "alice".into(), contacts: 1 }]);
    let query = |text: String| text.lines().filter(|l| !l.starts_with("Contact")).map(|l| format!("{l}\r\n")).collect();
    assert!(attempt(&mut bench, "alice", "secret", 5, query).contains("sip:other@z.invalid"));
    assert!(bench.events.is_empty(), "a query changes nothing");
    let star = |text: String| text.replacen(CONTACT, "*", 1);
    assert!(attempt(&mut bench, "alice", "secret", 7, star).starts_with("SIP/2.0 400"), "Expires is not 0");
    let star = |text: String| text.replacen(CONTACT, "*", 1).replacen("Expires: 600", "Expires: 0", 1);
    assert_eq!(header(&attempt(&mut bench, "alice", "secret", 9, star), Name::Contact), None);
    assert_eq!(bench.events, [SipEvent::Registered { user: "alice".into(), contacts: 0 }]);
}

#[test]
fn an_ended_user_is_refused_at_once_and_its_calls_continue() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 600);
    assert!(attempt(&mut bench, "alice", "secret", 1, |text| text).starts_with("SIP/2.0 200"));
    let by = browser(8);
    let challenge = bench.receive(&by, &user_invite(1, "")).only().to_owned();
    let line = format!("Proxy-Authorization: {}\r\n", authorize(&challenge, "INVITE", "alice", "secret", 1));
    bench.receive(&by, &user_invite(2, &line));
    let [SipEvent::Incoming { dialog, .. }] = &bench.events[..] else { panic!("{:?}", bench.events) };
    let dialog = *dialog;
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    bench.command(SipCommand::CredentialEnd { user: "alice".into() });
    assert_eq!(bench.events, [SipEvent::Registered { user: "alice".into(), contacts: 0 }], "the call sends no event");
    assert!(attempt(&mut bench, "alice", "secret", 3, |text| text).starts_with("SIP/2.0 403"));
    let line = format!("Proxy-Authorization: {}\r\n", authorize(&challenge, "INVITE", "alice", "secret", 2));
    let another = user_invite(9, &line).replace("Call-ID: useful", "Call-ID: another");
    assert!(bench.receive(&by, &another).only().starts_with("SIP/2.0 403"));
    assert_eq!((bench.endpoint.sizes().contacts, bench.endpoint.sizes().dialogs), (0, 1));
    with_password(&mut bench, "new", 600);
    assert!(attempt(&mut bench, "alice", "new", 5, |text| text).starts_with("SIP/2.0 200"));
}

#[test]
fn a_copy_of_a_register_over_udp_gets_the_same_answer() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 600);
    let phone = flow(Transport::Udp, 1, "203.0.113.9:5071");
    let udp = |text: String| text.replace("SIP/2.0/WS u8k2.invalid", "SIP/2.0/UDP 10.0.0.9:5070;rport");
    let challenge = bench.receive(&phone, &udp(register(1, "<sip:alice@10.0.0.9:5070>", ""))).only().to_owned();
    let again = bench.receive(&phone, &udp(register(1, "<sip:alice@10.0.0.9:5070>", ""))).only().to_owned();
    assert_eq!(tag_of(&challenge), tag_of(&again), "stateless, but alike");
    assert_eq!(bench.endpoint.sizes().server_transactions, 0);
    let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", "alice", "secret", 1));
    let request = udp(register(2, "<sip:alice@10.0.0.9:5070>", &line));
    let ok = bench.receive(&phone, &request).only().to_owned();
    assert!(ok.starts_with("SIP/2.0 200"));
    assert_eq!(bench.receive(&phone, &request).only(), ok);
    assert!(bench.events.is_empty());
}

#[test]
fn paths_are_echoed_and_followed() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 600);
    let path = |text: String| text.replacen("Contact", "Path: <sip:edge.example;lr>\r\nContact", 1);
    let ok = attempt(&mut bench, "alice", "secret", 1, path);
    assert_eq!(header(&ok, Name::Path).as_deref(), Some("<sip:edge.example;lr>"));
    let (dialog, target) = (DialogId::outgoing(), Target::User("alice".into()));
    bench.command(SipCommand::from(Invite::new(dialog, target, OFFER).from_user("x")));
    assert_eq!(header(bench.only(), Name::Route).as_deref(), Some("<sip:edge.example;lr>"));
}

fn user_invite(cseq: u32, extra: &str) -> String {
    let head = format!(
        "INVITE sip:+15550199@example.com SIP/2.0\r\nVia: SIP/2.0/WS f3.invalid;branch=z9hG4bKu{cseq}\r\n\
         Max-Forwards: 69\r\nTo: <sip:+15550199@example.com>\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=al\r\n\
         Call-ID: useful\r\nCSeq: {cseq} INVITE\r\n{extra}Contact: <sip:k7p2@4x9.invalid;transport=ws;ob>\r\n\
         Session-Expires: 90\r\nSupported: timer,ice,replaces,outbound\r\n"
    );
    with_body(&head, OFFER)
}

#[test]
fn a_user_calls_with_digest_and_only_in_its_own_name() {
    let mut bench = Bench::new();
    with_password(&mut bench, "secret", 600);
    let by = browser(8);
    let challenge = bench.receive(&by, &user_invite(1, "")).only().to_owned();
    assert!(challenge.starts_with("SIP/2.0 407"));
    bench.receive(&by, &user_invite(1, "").replace("INVITE", "ACK"));
    assert!(bench.sent.is_empty() && bench.endpoint.is_idle(), "the ACK is absorbed");
    let line = format!("Proxy-Authorization: {}\r\n", authorize(&challenge, "INVITE", "alice", "secret", 1));
    bench.receive(&by, &user_invite(2, &line));
    let [SipEvent::Incoming { dialog, from, from_user, to_user, .. }] = &bench.events[..] else { panic!() };
    assert_eq!((from, &**from_user, &**to_user), (&Source::User("alice".into()), "alice", "+15550199"));
    let dialog = *dialog;
    bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
    let ok = bench.only().to_owned();
    assert_eq!(bench.sent[0].0, by);
    assert_eq!(header(&ok, Name::Via).unwrap(), "SIP/2.0/WS f3.invalid;branch=z9hG4bKu2;received=203.0.113.20");
    bench.command(SipCommand::Bye { dialog, reason: None });
    assert!(bench.sent.is_empty(), "not before the ACK");
    bench.close(&by);
    assert!(bench.events.is_empty(), "its end was reported before");
    bench.assert_rests();

    let challenge = bench.receive(&by, &user_invite(3, "")).only().to_owned();
    let line = format!("Proxy-Authorization: {}\r\n", authorize(&challenge, "INVITE", "alice", "secret", 1));
    bench.receive(&by, &user_invite(4, &line).replace("sip:alice@example.com", "sip:boss@example.com"));
    assert!(bench.only().starts_with("SIP/2.0 403") && bench.events.is_empty());
    let line = format!("Proxy-Authorization: {}\r\n", authorize(&challenge, "INVITE", "alice", "guess", 2));
    bench.receive(&by, &user_invite(5, &line));
    assert!(bench.only().starts_with("SIP/2.0 403") && bench.events.is_empty());
    bench.assert_rests();
}

#[test]
fn a_nonce_of_an_earlier_start_is_stale_not_wrong() {
    let mut before = Bench::new();
    with_password(&mut before, "secret", 600);
    let challenge = before.receive(&browser(7), &register(1, CONTACT, "")).only().to_owned();
    let mut after = Bench::with(EndpointConfig { seed: [8; 32], ..config() });
    with_password(&mut after, "secret", 600);
    let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", "alice", "secret", 9));
    let answer = after.receive(&browser(7), &register(2, CONTACT, &line)).only();
    assert!(answer.starts_with("SIP/2.0 401") && answer.contains("stale=true"));
}
