//! Torture messages and mutated ones: no panic, the right responses, nothing left.

use super::*;
use crate::sip::fuzz::tests::torture;

/// A fresh endpoint that serves example.com, and its responses to one datagram from a stranger.
fn answers(flow: &Flow, bytes: &[u8]) -> (Bench, Vec<u16>) {
    let mut bench = Bench::new();
    bench.endpoint.handle_message(flow, bytes, bench.now);
    bench.collect();
    let statuses = bench
        .sent
        .iter()
        .map(|(_, text)| Message::parse(text.as_bytes()).unwrap().status().expect("only responses are sent"))
        .collect();
    (bench, statuses)
}

#[test]
fn torture_messages_get_the_expected_responses_and_leave_nothing() {
    for transport in [Transport::Udp, Transport::Ws] {
        let stranger = flow(transport, 1, "203.0.113.66:5060");
        for message in torture() {
            let (mut bench, statuses) = answers(&stranger, &message.bytes);
            let id = &message.id;
            assert!(statuses.len() <= 1, "{id}: {statuses:?}");
            match message.class.as_str() {
                "R" => assert!(statuses.is_empty(), "{id}: {statuses:?}"),
                "I" => {
                    let right = statuses.iter().any(|status| message.want.contains(status));
                    assert!(right || statuses.is_empty(), "{id}: {statuses:?}, wanted {:?}", message.want);
                }
                // Either refused as listed, or accepted and treated like any other request of a stranger.
                "L" => {
                    let right =
                        |status: &u16| message.want.contains(status) || [200, 400, 401, 405, 407].contains(status);
                    assert!(statuses.iter().all(right), "{id}: {statuses:?}, wanted {:?}", message.want);
                }
                _ if message.want.is_empty() => assert!(!statuses.contains(&400), "{id}: it is valid: {statuses:?}"),
                _ => assert!(statuses.iter().any(|s| message.want.contains(s)), "{id}: {statuses:?}"),
            }
            assert!(bench.events.is_empty(), "{id}: {:?}", bench.events);
            assert!(bench.endpoint.is_idle(), "{id} left {:?}", bench.endpoint.sizes());
            let options = invite(1).replace("INVITE", "OPTIONS");
            assert!(bench.receive(&stranger, &options).only().starts_with("SIP/2.0 200"), "{id}");
        }
    }
}

#[test]
fn torture_messages_from_a_trunk_leave_nothing_after_their_timers() {
    for message in torture() {
        let (mut bench, _) = answers(&trunk(), &message.bytes);
        let dialogs: Vec<DialogId> = bench
            .events
            .drain(..)
            .filter_map(|event| if let SipEvent::Incoming { dialog, .. } = event { Some(dialog) } else { None })
            .collect();
        for dialog in dialogs {
            bench.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
        }
        bench.assert_rests();
    }
}

/// xorshift: the same sequence in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn mutate(&mut self, text: &str) -> Vec<u8> {
        const PIECES: [&str; 12] =
            ["\r\n", "\r\n\r\n", ",", ";", "\"", "<", ">", ";tag=", "0", "4294967295", "INVITE", "SIP/2.0 200 OK\r\n"];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(30)).min(bytes.len());
            match self.below(4) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
                _ => bytes.extend_from_within(at..end),
            }
        }
        bytes
    }
}

/// A message that a peer may send next after those that it has received: whole conversations, in almost any order.
fn utterance(seeded: &mut Seeded, heard: &[String], step: u32) -> String {
    let Some(last) = heard.get(seeded.below(heard.len() + 1)) else { return reliable_invite(step, "Supported") };
    let Ok(message) = Message::parse(last.as_bytes()) else { return invite(step) };
    let body = ["", OFFER][seeded.below(2)];
    if message.is_request() && seeded.below(3) > 0 {
        let status = [100, 180, 183, 200, 200, 200, 302, 401, 422, 481, 486, 491, 603][seeded.below(13)];
        let tag = ["p", "p", "p", "q"][seeded.below(4)];
        if (101..200).contains(&status) && seeded.below(2) == 0 {
            return reliably(last, status, tag, 1 + seeded.below(3) as u32, body);
        }
        return respond(last, status, tag, body);
    }
    let cseq = message.cseq().map_or(1, |cseq| cseq.number);
    match seeded.below(11) {
        0 => from_peer(&message, "CANCEL", cseq, ""),
        1 | 2 if !message.is_request() => from_peer(&message, "ACK", cseq, body),
        3 if seeded.below(3) == 0 => from_peer(&message, "BYE", step, ""),
        3 | 4 => from_peer(&message, "INVITE", step, body),
        5 => from_peer(&message, "UPDATE", step, body),
        6 => from_peer(&message, "INFO", step, "x"),
        7 => from_peer(&message, "REFER", step, "").replacen("Contact", "Refer-To: <sip:c@d>\r\nContact", 1),
        8 => from_peer(&message, "PRACK", step, body).replacen("Contact", &rack(&message), 1),
        9 => from_peer(&message, "NOTIFY", step, "x").replacen("Contact", "Event: refer\r\nContact", 1),
        _ => register(step, ["*", "<sip:a@b.invalid>"][seeded.below(2)], ""),
    }
}

/// The RAck of a reliable response that was received, as a line before Contact.
fn rack(heard: &Message<'_>) -> String {
    let rseq = heard.header(Name::RSeq).unwrap_or("1");
    format!("RAck: {rseq} {} INVITE\r\nContact", heard.cseq().map_or(1, |cseq| cseq.number))
}

/// A request of the peer in the call of `heard`. CANCEL, and some ACKs, share the INVITE's branch.
fn from_peer(heard: &Message<'_>, method: &str, cseq: u32, body: &str) -> String {
    let (from, to) = (heard.header(Name::From).unwrap_or_default(), heard.header(Name::To).unwrap_or_default());
    let (from, to) = if heard.is_request() { (to, from) } else { (from, to) };
    let tagged = if from.contains(";tag=") { String::new() } else { ";tag=p".into() };
    let via = heard.header(Name::Via).unwrap_or_default();
    let via = match method {
        "CANCEL" | "ACK" if cseq.is_multiple_of(2) || method == "CANCEL" => via.to_owned(),
        _ => format!("SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKf{method}{cseq};rport"),
    };
    let call_id = heard.call_id().unwrap_or_default();
    let head = format!(
        "{method} sip:+15550100@192.0.2.1:5060 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}{tagged}\r\n\
         To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:p@198.51.100.7:5060>\r\n"
    );
    with_body(&head, body)
}

fn order(seeded: &mut Seeded, dialogs: &[DialogId]) -> SipCommand {
    let dialog = dialogs.get(seeded.below(dialogs.len())).copied().unwrap_or(DialogId(2));
    let sdp = || ANSWER.to_owned();
    match seeded.below(13) {
        10 => SipCommand::Progress { dialog, status: 183, sdp: Some(sdp()) },
        11 => SipCommand::Refer { dialog, to: "sip:c@example.com".into(), replaces: None },
        12 => SipCommand::ReferProgress { dialog, refer: ReferId(7), status: 200, reason: None },
        0 => SipCommand::Progress { dialog, status: 180, sdp: None },
        1 | 2 => SipCommand::Accept { dialog, sdp: sdp() },
        3 if seeded.below(4) == 0 => SipCommand::Reject { dialog, status: 486, reason: None, q850: None },
        4 if seeded.below(4) == 0 => SipCommand::Bye { dialog, reason: None },
        3 | 5 => SipCommand::Reinvite { dialog, sdp: sdp() },
        4 | 6 => SipCommand::AcceptReinvite { dialog, sdp: sdp() },
        7 => SipCommand::RejectReinvite { dialog, status: 488 },
        8 => SipCommand::Info { dialog, content_type: "a/b".into(), body: "x".into() },
        _ => {
            let target = Target::Trunk { name: "carrier".into(), user: "1".into() };
            SipCommand::from(Invite::new(DialogId::outgoing(), target, sdp()).from_user("x"))
        }
    }
}

#[test]
fn mutated_conversations_never_panic_report_each_end_once_and_leave_nothing() {
    let mut kinds = std::collections::BTreeMap::new();
    for round in 0..1_500u64 {
        let mut seeded = Seeded(0x5349_5053 + round * 7919);
        let mut bench = Bench::new();
        let mut heard: Vec<String> = Vec::new();
        let mut open: Vec<DialogId> = Vec::new();
        let mut ended: Vec<DialogId> = Vec::new();
        for step in 2..80 {
            bench.sent.clear();
            bench.events.clear();
            match seeded.below(8) {
                0..=2 => {
                    let order = order(&mut seeded, &open);
                    if let SipCommand::Invite(invite) = &order {
                        open.push(invite.dialog);
                    }
                    bench.command(order);
                }
                3 => {
                    let span = [10, 10, 600, 600, 5_000, 40_000][seeded.below(6)];
                    bench.wait(Duration::from_millis(span));
                }
                4 if seeded.below(10) == 0 => drop(bench.close(&browser(7))),
                _ => {
                    let text = utterance(&mut seeded, &heard, step);
                    let bytes = if seeded.below(5) == 0 { seeded.mutate(&text) } else { text.into_bytes() };
                    let by = if seeded.below(12) == 0 { browser(7) } else { trunk() };
                    bench.sent.clear();
                    bench.events.clear();
                    bench.endpoint.handle_message(&by, &bytes, bench.now);
                    bench.collect();
                }
            }
            note(&bench.events, &mut open, &mut ended, round);
            for event in &bench.events {
                let text = format!("{event:?}");
                *kinds.entry(text.split([' ', '{']).next().unwrap().to_owned()).or_insert(0) += 1;
            }
            heard.extend(bench.sent.iter().map(|(_, text)| text.clone()));
            let surplus = heard.len().saturating_sub(6);
            heard.drain(..surplus);
        }
        for dialog in open.clone() {
            bench.command(SipCommand::Bye { dialog, reason: None });
            note(&bench.events, &mut open, &mut ended, round);
        }
        assert_eq!(open, [], "round {round}: the end of every dialog is reported");
        bench.wait(secs(700));
        assert!(bench.endpoint.is_idle(), "round {round} left {:?}", bench.endpoint.sizes());
        assert_eq!(bench.endpoint.sizes().index_entries, 0, "round {round}");
    }
    for kind in [
        "Incoming",
        "Progress",
        "Answered",
        "Failed",
        "Reoffer",
        "ReinviteAnswered",
        "ReinviteFailed",
        "Info",
        "Referred",
        "ReferResult",
    ] {
        assert!(kinds.get(kind).is_some_and(|count| *count >= 20), "conversations reach {kind}: {kinds:?}");
    }
}

fn note(events: &[SipEvent], open: &mut Vec<DialogId>, ended: &mut Vec<DialogId>, round: u64) {
    for event in events {
        let dialog = match event {
            SipEvent::Incoming { dialog, .. } => {
                open.push(*dialog);
                continue;
            }
            SipEvent::Ended { dialog, .. } | SipEvent::Failed { dialog, .. } => {
                open.retain(|known| known != dialog);
                assert!(!ended.contains(dialog), "round {round}: {dialog:?} ends twice");
                ended.push(*dialog);
                continue;
            }
            SipEvent::Progress { dialog, .. }
            | SipEvent::Answered { dialog, .. }
            | SipEvent::Reoffer { dialog, .. }
            | SipEvent::ReinviteAnswered { dialog, .. }
            | SipEvent::ReinviteFailed { dialog, .. }
            | SipEvent::Info { dialog, .. }
            | SipEvent::Referred { dialog, .. }
            | SipEvent::ReferResult { dialog, .. }
            | SipEvent::Unreachable { dialog }
            | SipEvent::Reachable { dialog } => dialog,
            SipEvent::Registered { .. }
            | SipEvent::Scanner { .. }
            | SipEvent::RegistrationState { .. }
            | SipEvent::TrunkHealth { .. }
            | SipEvent::Refused { .. } => continue,
        };
        assert!(open.contains(dialog), "round {round}: {event:?} after the end");
    }
}
