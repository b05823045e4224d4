//! Calls between SIP endpoints joined by a link that loses, duplicates or delays one chosen message (`world`).
//!
//! Every call flow runs once undisturbed, then once for every message and every disturbance of it. Each time all sides must report
//! the same events as in the undisturbed run, and no state may be left when the timers have ended.
//!
//! Not here: real sockets (`media-engine/tests/sip_sockets.rs`), other stacks as peers (`tests/e2e`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use media_engine::sip::digest::{Algorithm, Challenge, answer};
use media_engine::sip::{DialogId, Invite, Message, Name, SipCommand, SipEvent, SipOutput, Target};

use crate::world::{ANSWER, Fault, LATENCY, OFFER, Script, World, address, disturb, flow, ms};

fn invite_of(target: Target) -> SipCommand {
    SipCommand::from(Invite::new(DialogId(1), target, OFFER).from_user("+15550100"))
}

fn invite() -> SipCommand {
    invite_of(Target::Trunk { name: "side1".into(), user: "+15550142".into() })
}

/// Time of a command, and the command.
type Order = (Duration, fn() -> SipCommand);

/// Runs a call flow between two sides that must end in the same way whatever is disturbed.
fn same_story(name: &str, orders: &[Order], script: Script, expected: [&[&str]; 2]) {
    let run = |fault| {
        let mut world = World::new(2, fault, script);
        world.order(ms(0), 0, invite());
        for (delay, command) in orders {
            world.order(*delay, 0, command());
        }
        world.run();
        world
    };
    assert_eq!(run(Fault::None).story(), expected, "{name}");
    disturb(name, run, |world, story| assert_eq!(world.story(), story));
}

fn ring_and_accept(dialog: DialogId) -> Vec<(Duration, SipCommand)> {
    vec![
        (ms(50), SipCommand::Progress { dialog, status: 180, sdp: None }),
        (ms(1_000), SipCommand::Accept { dialog, sdp: ANSWER.into() }),
    ]
}

fn bye(dialog: DialogId) -> SipCommand {
    SipCommand::Bye { dialog, reason: None }
}

#[test]
fn a_call_hung_up_by_the_caller() {
    same_story(
        "caller hangs up",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => ring_and_accept(*dialog),
            SipEvent::Answered { dialog, .. } => vec![(ms(10_000), bye(*dialog))],
            _ => vec![],
        },
        [&["answered true", "ended"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_call_hung_up_by_the_callee() {
    same_story(
        "callee hangs up",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => {
                let mut orders = ring_and_accept(*dialog);
                orders.push((ms(10_000), bye(*dialog)));
                orders
            }
            _ => vec![],
        },
        [&["answered true", "ended"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_call_hung_up_by_the_callee_before_the_ack_can_arrive() {
    same_story(
        "callee hangs up at once",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => {
                let mut orders = ring_and_accept(*dialog);
                orders.push((ms(1_005), bye(*dialog)));
                orders
            }
            _ => vec![],
        },
        [&["answered true", "ended"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_call_hung_up_by_both_at_once() {
    same_story(
        "both hang up",
        &[(ms(6_000), || bye(DialogId(1)))],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => {
                let mut orders = ring_and_accept(*dialog);
                orders.push((ms(5_985), bye(*dialog)));
                orders
            }
            _ => vec![],
        },
        [&["answered true", "ended"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_call_with_early_media() {
    same_story(
        "early media",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => vec![
                (ms(50), SipCommand::Progress { dialog: *dialog, status: 183, sdp: Some(ANSWER.into()) }),
                (ms(2_000), SipCommand::Accept { dialog: *dialog, sdp: ANSWER.into() }),
            ],
            SipEvent::Answered { dialog, .. } => vec![(ms(8_000), bye(*dialog))],
            _ => vec![],
        },
        [&["answered true", "ended"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_call_whose_early_media_is_changed_before_the_answer() {
    same_story(
        "early media changes",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => vec![
                (ms(50), SipCommand::Progress { dialog: *dialog, status: 183, sdp: Some(ANSWER.into()) }),
                (ms(60), SipCommand::Progress { dialog: *dialog, status: 180, sdp: None }),
                (ms(70), SipCommand::Accept { dialog: *dialog, sdp: ANSWER.into() }),
            ],
            SipEvent::Answered { dialog, .. } => vec![(ms(8_000), bye(*dialog))],
            _ => vec![],
        },
        [&["answered true", "ended"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_call_that_is_transferred() {
    same_story(
        "transfer",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => ring_and_accept(*dialog),
            SipEvent::Answered { dialog, .. } => vec![(
                ms(8_000),
                SipCommand::Refer { dialog: *dialog, to: "sip:carol@example.com".into(), replaces: None },
            )],
            SipEvent::Referred { dialog, refer, .. } => {
                let told = |status| SipCommand::ReferProgress { dialog: *dialog, refer: *refer, status, reason: None };
                vec![(ms(5_000), told(180)), (ms(15_000), told(200))]
            }
            SipEvent::ReferResult { dialog, .. } => vec![(ms(100), bye(*dialog))],
            _ => vec![],
        },
        [&["answered true", "transfer 200", "ended"], &["incoming true", "referred sip:carol@example.com", "ended"]],
    );
}

#[test]
fn a_busy_callee() {
    same_story(
        "busy",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => {
                vec![(ms(200), SipCommand::Reject { dialog: *dialog, status: 486, reason: None, q850: None })]
            }
            _ => vec![],
        },
        [&["failed 486"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_cancelled_call() {
    same_story(
        "cancel",
        &[(ms(3_000), || SipCommand::Cancel { dialog: DialogId(1) })],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => {
                vec![(ms(50), SipCommand::Progress { dialog: *dialog, status: 180, sdp: None })]
            }
            _ => vec![],
        },
        [&["failed 487"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_cancel_that_crosses_the_answer() {
    same_story(
        "cancel crosses 200",
        &[(ms(1_015), || SipCommand::Cancel { dialog: DialogId(1) })],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => ring_and_accept(*dialog),
            _ => vec![],
        },
        [&["failed 487"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_cancel_before_any_response() {
    same_story(
        "cancel at once",
        &[(ms(1), || SipCommand::Cancel { dialog: DialogId(1) })],
        |_, _| vec![],
        [&["failed 487"], &["incoming true", "ended"]],
    );
}

#[test]
fn a_session_changed_by_the_caller() {
    same_story(
        "caller sends a new offer",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => ring_and_accept(*dialog),
            SipEvent::Answered { dialog, .. } => vec![
                (ms(8_000), SipCommand::Reinvite { dialog: *dialog, sdp: OFFER.into() }),
                (ms(20_000), bye(*dialog)),
            ],
            SipEvent::Reoffer { dialog, .. } => {
                vec![(ms(100), SipCommand::AcceptReinvite { dialog: *dialog, sdp: ANSWER.into() })]
            }
            _ => vec![],
        },
        [&["answered true", "offer answered", "ended"], &["incoming true", "offered", "ended"]],
    );
}

#[test]
fn a_change_of_the_session_by_the_callee_that_is_refused() {
    same_story(
        "callee's offer is refused",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => {
                let mut orders = ring_and_accept(*dialog);
                orders.push((ms(9_000), SipCommand::Reinvite { dialog: *dialog, sdp: OFFER.into() }));
                orders.push((ms(20_000), bye(*dialog)));
                orders
            }
            SipEvent::Reoffer { dialog, .. } => {
                vec![(ms(100), SipCommand::RejectReinvite { dialog: *dialog, status: 488 })]
            }
            _ => vec![],
        },
        [&["answered true", "offered", "ended"], &["incoming true", "offer refused 488", "ended"]],
    );
}

#[test]
fn key_presses_by_info() {
    same_story(
        "info",
        &[],
        |_, event| match event {
            SipEvent::Incoming { dialog, .. } => ring_and_accept(*dialog),
            SipEvent::Answered { dialog, .. } => {
                let info = |digit: &str| SipCommand::Info {
                    dialog: *dialog,
                    content_type: "application/dtmf-relay".into(),
                    body: digit.into(),
                };
                vec![(ms(3_000), info("5")), (ms(9_000), info("#")), (ms(15_000), bye(*dialog))]
            }
            _ => vec![],
        },
        [&["answered true", "ended"], &["incoming true", "info 5", "info #", "ended"]],
    );
}

#[test]
fn crossing_offers_are_resolved() {
    // The disturbance decides which of the two offers succeeds; both sides always learn the result of theirs.
    let script: Script = |_, event| match event {
        SipEvent::Incoming { dialog, .. } => {
            let mut orders = ring_and_accept(*dialog);
            orders.push((ms(8_980), SipCommand::Reinvite { dialog: *dialog, sdp: ANSWER.into() }));
            orders
        }
        SipEvent::Reoffer { dialog, .. } => {
            vec![(ms(100), SipCommand::AcceptReinvite { dialog: *dialog, sdp: ANSWER.into() })]
        }
        _ => vec![],
    };
    let run = |fault| {
        let mut world = World::new(2, fault, script);
        world.order(ms(0), 0, invite());
        world.order(ms(8_990), 0, SipCommand::Reinvite { dialog: DialogId(1), sdp: OFFER.into() });
        world.order(ms(60_000), 0, bye(DialogId(1)));
        world.run();
        world
    };
    // The callee may retry first; its offer makes the caller's obsolete.
    let story = run(Fault::None).story();
    let [caller, callee] = &story[..] else { panic!("{story:?}") };
    assert_eq!(caller[1..3], ["offered", "offer refused 491"]);
    assert_eq!(callee[1..2], ["offer answered"]);
    disturb("glare", run, |world, _| {
        for side in world.story() {
            let outcomes = side.iter().filter(|told| told.starts_with("offer ")).count();
            assert_eq!((outcomes, side.last().map(String::as_str)), (1, Some("ended")), "{side:?}");
        }
    });
}

/// Registers side `from` as a contact of alice at side 0, without disturbance.
fn register_side(world: &mut World, from: usize) {
    let valid_for = Duration::from_secs(60);
    let credential = SipCommand::CredentialSet { user: "alice".into(), password: "secret".into(), valid_for };
    world.sides[0].endpoint.handle_command(credential, world.now);
    let mut authorization = String::new();
    for cseq in 1..=2 {
        let text = register_text(from, cseq, 60, &authorization);
        world.sides[0].endpoint.handle_message(&flow(0, address(from)), text.as_bytes(), world.now);
        while let Some(output) = world.sides[0].endpoint.poll_output() {
            if let SipOutput::Transmit { bytes, .. } = output {
                authorization = authorize(&bytes, 1).unwrap_or_default();
            }
        }
    }
}

fn register_text(from: usize, cseq: u32, expires: u32, authorization: &str) -> String {
    let own = address(from);
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKreg{from}-{cseq};rport\r\n\
         Max-Forwards: 70\r\nTo: <sip:alice@example.com>\r\nFrom: <sip:alice@example.com>;tag=r{from}\r\n\
         Call-ID: reg{from}\r\nCSeq: {cseq} REGISTER\r\n{authorization}Contact: <sip:alice@{own}>\r\n\
         Expires: {expires}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Returns an Authorization line for the MD5 challenge in a 401.
fn authorize(answered: &[u8], count: u32) -> Option<String> {
    let message = Message::parse(answered).ok()?;
    let challenges = message.lines(Name::WwwAuthenticate).filter_map(|line| Challenge::parse(line).ok());
    let challenge = challenges.into_iter().find(|challenge| challenge.algorithm == Algorithm::Md5)?;
    let value = answer(&challenge, "alice", "secret", "REGISTER", "sip:example.com", "cn", count);
    Some(format!("Authorization: {value}\r\n"))
}

#[test]
fn a_call_to_two_contacts_of_which_one_answers() {
    let script: Script = |side, event| match (side, event) {
        (1, SipEvent::Incoming { dialog, .. }) => {
            let mut orders = ring_and_accept(*dialog);
            // This is later than any first copy can arrive, so that both contacts have rung.
            orders[1].0 = ms(5_000);
            orders
        }
        (2, SipEvent::Incoming { dialog, .. }) => {
            vec![(ms(50), SipCommand::Progress { dialog: *dialog, status: 180, sdp: None })]
        }
        (0, SipEvent::Answered { dialog, .. }) => vec![(ms(10_000), bye(*dialog))],
        _ => vec![],
    };
    let run = |fault| {
        let mut world = World::new(3, fault, script);
        register_side(&mut world, 1);
        register_side(&mut world, 2);
        world.order(ms(0), 0, invite_of(Target::User("alice".into())));
        world.run();
        world
    };
    let undisturbed = run(Fault::None).story();
    assert_eq!(undisturbed[0], ["answered true", "ended", "registered 0"], "{undisturbed:?}");
    assert_eq!(undisturbed[1..], [["incoming true", "ended"], ["incoming true", "ended"]]);
    disturb("fork", run, |world, story| assert_eq!(world.story(), story));
}

#[test]
fn a_call_that_two_contacts_answer_at_once() {
    let script: Script = |side, event| match (side, event) {
        (1 | 2, SipEvent::Incoming { dialog, .. }) => ring_and_accept(*dialog),
        (0, SipEvent::Answered { dialog, .. }) => vec![(ms(10_000), bye(*dialog))],
        _ => vec![],
    };
    let run = |fault| {
        let mut world = World::new(3, fault, script);
        register_side(&mut world, 1);
        register_side(&mut world, 2);
        world.order(ms(0), 0, invite_of(Target::User("alice".into())));
        world.run();
        world
    };
    // The disturbance decides which contact wins; one wins, and the call of the other ends.
    disturb("two answers", run, |world, story| assert_eq!(world.story(), story));
}

/// A phone that registers and later unregisters; it retransmits its requests as section 17.1.2 requires.
struct Phone {
    cseq: u32,
    expires: u32,
    authorization: String,
    done: bool,
}

/// Runs a registration and its end over the link; the world contains the phone's results of both.
fn registration(fault: Fault) -> World {
    let mut world = World::new(1, fault, |_, _| vec![]);
    let valid_for = Duration::from_secs(120);
    let credential = SipCommand::CredentialSet { user: "alice".into(), password: "secret".into(), valid_for };
    world.sides[0].endpoint.handle_command(credential, world.now);
    let mut phone = Phone { cseq: 1, expires: 60, authorization: String::new(), done: false };
    let mut arrivals: BTreeMap<(Instant, u64), (bool, Vec<u8>)> = BTreeMap::new();
    let (mut serial, mut sent, mut interval) = (0u64, 0usize, ms(500));
    let mut resend = world.now;
    let end = world.now + Duration::from_secs(200);
    while world.now < end {
        let mut link = Vec::new();
        if !phone.done && world.now >= resend {
            link.push((true, register_text(5, phone.cseq, phone.expires, &phone.authorization).into_bytes()));
            resend = world.now + interval;
            interval = (interval * 2).min(ms(4_000));
        }
        world.sides[0].endpoint.handle_timeout(world.now);
        while let Some((key, (to_server, bytes))) = arrivals.pop_first() {
            if key.0 > world.now {
                arrivals.insert(key, (to_server, bytes));
                break;
            }
            if to_server {
                world.sides[0].endpoint.handle_message(&flow(0, address(5)), &bytes, world.now);
            } else if phone.hears(&bytes) {
                // A new request is sent at once; after success the phone waits and then unregisters.
                interval = ms(500);
                resend = if phone.expires == 0 && phone.authorization.is_empty() {
                    world.now + Duration::from_secs(10)
                } else {
                    world.now
                };
            }
        }
        while let Some(output) = world.sides[0].endpoint.poll_output() {
            match output {
                SipOutput::Transmit { bytes, .. } => link.push((false, bytes)),
                SipOutput::Event(event) => world.sides[0].events.push(event),
                SipOutput::Connect { .. } | SipOutput::CloseFlow(_) => panic!("nothing here deserves that"),
            }
        }
        for (to_server, bytes) in link {
            let delays: &[Duration] = match fault {
                Fault::Lost(n) if n == sent => &[],
                Fault::Doubled(n) if n == sent => &[LATENCY, ms(30)],
                Fault::Late(n, delay) if n == sent => &[delay],
                _ => &[LATENCY],
            };
            sent += 1;
            for delay in delays {
                serial += 1;
                arrivals.insert((world.now + *delay, serial), (to_server, bytes.clone()));
            }
        }
        world.now += ms(5);
    }
    assert!(phone.done, "the phone has unregistered");
    world.sent = sent;
    world
}

impl Phone {
    /// Handles an answer; returns whether it changes the phone's state.
    fn hears(&mut self, bytes: &[u8]) -> bool {
        let message = Message::parse(bytes).expect("the endpoint writes well");
        if message.cseq().expect("answers have CSeq").number != self.cseq || self.done {
            return false;
        }
        match message.status() {
            Some(401) => self.authorization = authorize(bytes, 1).expect("a challenge can be answered"),
            Some(200) if self.expires > 0 => {
                assert!(message.header(Name::Contact).is_some_and(|contact| contact.ends_with(";expires=60")));
                self.expires = 0;
                self.authorization = String::new();
            }
            Some(200) => self.done = true,
            other => panic!("{other:?}"),
        }
        self.cseq += 1;
        true
    }
}

#[test]
fn a_registration_and_its_end() {
    assert_eq!(registration(Fault::None).story(), [["registered 1", "registered 0"]]);
    disturb("register", registration, |world, story| {
        assert_eq!(world.story(), story);
        assert_eq!(world.sides[0].endpoint.sizes().contacts, 0);
    });
}

/// Runs `count` complete calls, one every millisecond; returns the time that the timers of one call took.
fn finished_calls(count: u64) -> Duration {
    let script: Script = |_, event| match event {
        SipEvent::Incoming { dialog, .. } => vec![(ms(1), SipCommand::Accept { dialog: *dialog, sdp: ANSWER.into() })],
        SipEvent::Answered { dialog, .. } => vec![(ms(30), bye(*dialog))],
        _ => vec![],
    };
    let mut world = World::new(2, Fault::None, script);
    for number in 0..count {
        let dialog = DialogId(2 * number + 1);
        let target = Target::Trunk { name: "side1".into(), user: "+15550142".into() };
        let order = SipCommand::from(Invite::new(dialog, target, OFFER).from_user("+15550100"));
        world.order(ms(number), 0, order);
    }
    let start = Instant::now();
    world.run();
    let spent = start.elapsed();
    for side in &world.sides {
        let ended = side.events.iter().filter(|event| matches!(event, SipEvent::Ended { .. })).count();
        assert_eq!(ended as u64, count);
    }
    world.assert_nothing_left();
    spent / count as u32
}

#[test]
fn ten_thousand_finished_calls_leave_no_state_and_cost_the_same_each() {
    // With quadratic clean-up, a call of the second run would take about twenty times as long.
    let few = (0..3).map(|_| finished_calls(500)).min().expect("three runs");
    let many = finished_calls(10_000);
    println!("per call, both sides: {few:?} of 500, {many:?} of 10,000");
    assert!(many < few * 6, "{many:?} a call of 10,000, {few:?} a call of 500");
}
