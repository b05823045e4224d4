use std::time::{Duration, SystemTime};

use super::redact::redacted;
use super::*;
use crate::sip::flow::FlowId;
use crate::units::test_epoch;

const CALL: CallId = CallId(7);

fn flow(port: u16) -> Flow {
    let local = "192.0.2.1:5060".parse().expect("the address is valid");
    Flow { id: FlowId(1), transport: Transport::Udp, local, peer: SocketAddr::from(([192, 0, 2, 2], port)) }
}

fn label(leg: u64) -> TraceLabel {
    TraceLabel { call: CALL, leg: LegId(leg), role: "customer", peer: "+34910000001".into() }
}

fn request(method: &str, call_id: &str, to_tag: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:bob@192.0.2.1 SIP/2.0\r\nFrom: <sip:alice@192.0.2.2>;tag=ours\r\nTo: <sip:bob@192.0.2.1>{to_tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 {method}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn answer(status: &str, method: &str, call_id: &str) -> Vec<u8> {
    format!("SIP/2.0 {status}\r\nCSeq: 1 {method}\r\ni: {call_id}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn steps(trace: &Trace) -> Vec<(u64, bool, String, String, bool)> {
    let trace = CallTrace::new(CALL, trace.of_call(CALL), test_epoch(), SystemTime::UNIX_EPOCH);
    trace.steps.into_iter().map(|step| (step.leg.0, step.sent, step.label, step.body, step.again)).collect()
}

/// A trace with one incoming call whose INVITE has arrived.
fn with_call(level: TraceLevel, bounds: TraceBounds) -> Trace {
    let mut trace = Trace::new(level, bounds);
    trace.received(&flow(5070), &request("INVITE", "a", "", "v=0\r\na=sendonly\r\n"), test_epoch());
    trace.begins(DialogId(2), "a");
    trace.label(DialogId(2), label(1));
    trace
}

#[test]
fn a_leg_is_named_once_with_its_call_id() {
    let mut trace = Trace::new(TraceLevel::Headers, TraceBounds::default());
    let (near, far, now) = (flow(5070), flow(5080), test_epoch());
    let named = |leg, call_id: &str| Some(NamedLeg { call: CALL, leg: LegId(leg), call_id: call_id.into() });
    trace.received(&near, &request("INVITE", "a", "", ""), now);
    trace.begins(DialogId(2), "a");
    assert_eq!(trace.label(DialogId(2), label(1)), named(1, "a"), "the caller's, when its leg is known");
    assert_eq!(trace.sent(&near, &answer("200 OK", "INVITE", "a"), now, |_| None), None);
    assert_eq!(trace.label(DialogId(3), label(2)), None, "a leg of ours has sent nothing yet");
    let invite = request("INVITE", "b", "", "");
    assert_eq!(trace.sent(&far, &invite, now, |_| Some(DialogId(3))), named(2, "b"));
    assert_eq!(trace.sent(&far, &invite, now, |_| Some(DialogId(3))), None, "a retransmission");
    let onwards = request("INVITE", "c", "", "");
    assert_eq!(trace.sent(&far, &onwards, now, |_| Some(DialogId(3))), named(2, "c"), "a further destination");
}

#[test]
fn both_legs_of_a_call_are_one_ladder_in_the_order_of_their_messages() {
    let mut trace = Trace::new(TraceLevel::Full, TraceBounds::default());
    let (near, far, now) = (flow(5070), flow(5080), test_epoch());
    let invite = request("INVITE", "a", "", "");
    trace.received(&near, &invite, now);
    trace.sent(&near, &answer("407 Proxy Authentication Required", "INVITE", "a"), now, |_| None);
    trace.received(&near, &request("ACK", "a", "", ""), now);
    trace.received(&near, &request("INVITE", "a", "", "v=0\r\n"), now);
    trace.sent(&near, &answer("100 Trying", "INVITE", "a"), now, |_| None);
    trace.begins(DialogId(2), "a");
    trace.label(DialogId(2), label(1));
    trace.label(DialogId(3), label(2));
    let ours = |tag: &str| (tag == "ours").then_some(DialogId(3));
    trace.sent(&far, &request("INVITE", "b", "", "v=0\r\n"), now, ours);
    trace.sent(&far, &request("INVITE", "b", "", "v=0\r\n"), now, ours);
    trace.received(&far, &answer("503 Busy\x1b[2J", "INVITE", "b"), now);
    // A further destination has a Call-ID of its own.
    trace.sent(&flow(5090), &request("INVITE", "c", "", "v=0\r\n"), now, ours);
    trace.received(&near, &request("INVITE", "a", ";tag=x", "v=0\r\na=inactive\r\n"), now);
    trace.received(&near, &request("BYE", "a", ";tag=x", ""), now);
    trace.ends(DialogId(2));
    trace.sent(&near, &answer("200 OK", "BYE", "a"), now, |_| None);
    let expected = [
        (1, false, "INVITE", "", false),
        (1, true, "407 Proxy Authentication Required", "", false),
        (1, false, "ACK", "", false),
        (1, false, "INVITE", "SDP", false),
        (1, true, "100 Trying", "", false),
        (2, true, "INVITE", "SDP", false),
        (2, true, "INVITE", "SDP", true),
        (2, false, "503 Busy\u{fffd}[2J", "", false),
        (2, true, "INVITE", "SDP", false),
        (1, false, "re-INVITE", "SDP inactive", false),
        (1, false, "BYE", "", false),
        (1, true, "200 OK (BYE)", "", false),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(leg, sent, label, body, again)| (leg, sent, label.to_owned(), body.to_owned(), again))
        .collect();
    assert_eq!(steps(&trace), expected);
}

#[test]
fn steps_have_the_wall_clock_time_of_their_messages() {
    let trace = with_call(TraceLevel::Full, TraceBounds::default());
    let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
    let legs = trace.of_call(CALL);
    let began = legs[0].messages[0].at;
    let shown = CallTrace::new(CALL, legs, began + Duration::from_secs(60), hour);
    assert_eq!(shown.steps[0].at, hour - Duration::from_secs(60));
    assert!(shown.running);
}

#[test]
fn a_level_says_how_much_is_kept() {
    let text = |level| {
        let shown = CallTrace::new(
            CALL,
            with_call(level, TraceBounds::default()).of_call(CALL),
            test_epoch(),
            SystemTime::UNIX_EPOCH,
        );
        shown.steps.into_iter().map(|step| (step.text, step.cut)).next()
    };
    assert_eq!(text(TraceLevel::Off), None);
    let (headers, cut) = text(TraceLevel::Headers).expect("a message is kept");
    assert!(headers.ends_with("Content-Length: 17\n") && cut, "{headers:?}");
    let (full, cut) = text(TraceLevel::Full).expect("a message is kept");
    assert!(full.ends_with("v=0\na=sendonly\n") && !cut, "{full:?}");
}

#[test]
fn a_flood_of_messages_keeps_its_dialog_within_its_bounds() {
    let bounds = TraceBounds { message: 600, messages: 20, dialog: 8_000, ..TraceBounds::default() };
    let mut trace = with_call(TraceLevel::Full, bounds);
    for n in 0..10_000 {
        trace.received(&flow(5070), &request("INFO", "a", ";tag=x", &"x".repeat(n % 900)), test_epoch());
        let conversation = &trace.dialogs[&DialogId(2)];
        assert!(conversation.messages.len() <= 20 && conversation.bytes <= 8_000, "{}", conversation.bytes);
        assert!(conversation.messages.iter().all(|kept| kept.bytes.len() <= 600));
    }
    let (census, kept) = (trace.census(), trace.dialogs[&DialogId(2)].messages.len());
    assert_eq!(census.dropped_messages, 10_001 - kept as u64);
    let shown = CallTrace::new(CALL, trace.of_call(CALL), test_epoch(), SystemTime::UNIX_EPOCH);
    assert_eq!((shown.steps.len(), shown.dropped), (kept, census.dropped_messages));
}

#[test]
fn a_flood_of_calls_keeps_everything_within_its_bounds_and_drops_ended_calls_first() {
    let bounds = TraceBounds { dialogs: 50, total: 100_000, ..TraceBounds::default() };
    let mut trace = with_call(TraceLevel::Full, bounds);
    for n in 0..5_000 {
        let (dialog, call_id) = (DialogId(4 + 2 * n), format!("flood-{n}"));
        trace.received(&flow(5071), &request("INVITE", &call_id, "", &"x".repeat((n % 3_000) as usize)), test_epoch());
        trace.begins(dialog, &call_id);
        trace.ends(dialog);
        let census = trace.census();
        assert!(census.bytes <= 100_000 + bounds.waiting && census.dialogs <= 50, "{census:?}");
        assert_eq!(trace.running.len() + trace.ended.len(), census.dialogs);
        assert_eq!(trace.by_call_id.len(), census.dialogs);
    }
    assert_eq!(trace.census().dropped_dialogs, 5_001 - trace.dialogs.len() as u64);
    assert_eq!(steps(&trace).len(), 1, "the running call is kept");
    // If all are running, the oldest one is dropped.
    for n in 0..60 {
        let call_id = format!("running-{n}");
        trace.received(&flow(5071), &request("INVITE", &call_id, "", ""), test_epoch());
        trace.begins(DialogId(100_000 + 2 * n), &call_id);
    }
    assert_eq!((steps(&trace).len(), trace.dialogs.len()), (0, 50));
    let total: usize = trace.dialogs.values().map(Conversation::size).sum();
    assert_eq!(total, trace.bytes, "the counted bytes are those kept");
}

#[test]
fn strangers_fill_only_the_waiting_room() {
    let bounds = TraceBounds { waiting: 4_000, ..TraceBounds::default() };
    let mut trace = Trace::new(TraceLevel::Full, bounds);
    for n in 0..2_000 {
        for method in ["INVITE", "OPTIONS", "REGISTER", "BYE", "MESSAGE"] {
            trace.received(&flow(5070), &request(method, &format!("{method}{n}"), "", ""), test_epoch());
        }
        trace.received(&flow(5070), &answer("200 OK", "INVITE", &format!("answer{n}")), test_epoch());
        assert!(trace.census().bytes <= 4_000);
    }
    assert_eq!(trace.census().dialogs, 0);
    assert!(trace.waiting.iter().all(|(_, kept)| kept.bytes.starts_with(b"INVITE ")));
}

#[test]
fn a_label_for_an_unknown_dialog_keeps_nothing_of_strangers() {
    let mut trace = Trace::new(TraceLevel::Full, TraceBounds::default());
    trace.label(DialogId(2), label(1));
    assert_eq!(trace.census().dialogs, 0);
    let mut off = Trace::new(TraceLevel::Off, TraceBounds::default());
    off.label(DialogId(3), label(1));
    off.sent(&flow(5070), &request("INVITE", "b", "", ""), test_epoch(), |_| Some(DialogId(3)));
    assert_eq!(off.census(), TraceCensus::default());
}

/// No input causes a panic or exceeds the bounds.
#[test]
fn mutated_messages_never_panic_and_keep_the_bounds() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::SmallRng::seed_from_u64(11);
    let mut trace =
        with_call(TraceLevel::Headers, TraceBounds { dialog: 20_000, total: 50_000, ..TraceBounds::default() });
    for _ in 0..20_000 {
        let mut bytes = request("INVITE", "a", ";tag=x", "v=0\r\na=crypto:1 X inline:k\r\n");
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        trace.received(&flow(5070), &bytes, test_epoch());
        let text = redacted(&bytes);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
    }
    assert!(trace.census().bytes <= 50_000 + TraceBounds::default().waiting);
    assert!(!steps(&trace).is_empty());
}

/// Every place in which a secret travels, in the ways in which peers write it.
#[test]
fn no_secret_is_shown() {
    for line in [
        "Authorization: Digest username=\"a\", response=\"HUSH\"",
        "AUTHORIZATION:Digest HUSH",
        "Authorization : Digest HUSH",
        "authorization: Basic HUSH",
        "Authorization: Bearer HUSH",
        "Authorization: Digest username=\"a\",\r\n response=\"HUSH\",\r\n\tcnonce=\"HUSH\"",
        "Authorization:\r\n Digest HUSH",
        "Proxy-Authorization: Digest username=\"a\", nonce=\"n\", response=\"HUSH\"",
        "Authentication-Info: rspauth=\"HUSH\", nextnonce=\"n\"",
        "Proxy-Authentication-Info: rspauth=\"HUSH\"",
        "X-Auth-Token: HUSH",
        "X-Api-Key: HUSH",
        "X-Password: HUSH",
        "X-Client-Secret: HUSH",
        "Cookie: session=HUSH",
        "Set-Cookie: session=HUSH",
        "X-Forwarded-Identity: Digest username=\"a\", response=\"HUSH\"",
        "Contact: <sip:alice:HUSH@192.0.2.2>",
        "Contact: <SIPS:alice:HUSH@192.0.2.2;transport=tls>, <sip:bob:HUSH@192.0.2.3>",
        "Refer-To: <sip:bob@192.0.2.3?Authorization=HUSH&Subject=x>",
        "Refer-To: <sip:bob@192.0.2.3?Proxy-Authorization=HUSH>",
        "\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:HUSH|2^20|1:4",
        "\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE:HUSH",
        "\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 uri:HUSH",
        "\r\nA=Crypto:2 AEAD_AES_256_GCM inline:HUSH;inline:HUSH",
        "\r\n a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:HUSH",
        "\r\na=ice-pwd:HUSH",
        "\r\na=ice-ufrag:abcd\ra=ice-pwd:HUSH\rm=audio",
        "\r\na=key-mgmt:mikey HUSH",
        "\r\nk=clear:HUSH",
        "\r\nk=base64:HUSH",
        "\r\nSIP/2.0 200 OK\r\nAuthorization: Digest HUSH",
    ] {
        for end in ["\r\n", "\n"] {
            let message = format!(
                "INVITE sip:carol:HUSH@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1\r\n{line}\r\nCSeq: 1 INVITE\r\n"
            );
            let text = redacted(message.replace("\r\n", end).as_bytes());
            assert!(!text.to_ascii_uppercase().contains("HUSH"), "{line:?}: {text}");
            assert!(text.matches(redact::REMOVED).count() >= 2, "{line:?}: {text}");
            assert!(text.contains("192.0.2.2:5060;branch=z9hG4bK1\n") && text.ends_with("CSeq: 1 INVITE\n"), "{text}");
        }
    }
}

#[test]
fn text_without_secrets_is_unchanged() {
    let message = "SIP/2.0 401 Unauthorized\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1\nFrom: <sip:a@b:5060>;tag=1@2\n\
                   WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=SHA-256\nProxy-Authenticate: Digest realm=\"x\"\n\
                   Contact: <sip:192.0.2.1:5060;transport=tcp>, <sip:x@192.0.2.1:5061>\nRefer-To: <sip:b@c?Replaces=a%40b>\n\n\
                   v=0\na=ice-ufrag:abcd\na=fingerprint:sha-256 00:11\na=rtpmap:0 PCMU/8000\n";
    assert_eq!(redacted(message.as_bytes()), message);
    assert_eq!(
        redacted(b"BYE x SIP/2.0\r\nSubject: \x1b]0;x\x07 \xff\r\n\r\n"),
        "BYE x SIP/2.0\nSubject: \u{fffd}]0;x\u{fffd} \u{fffd}\n"
    );
}
