//! Every ordered pair of events that may happen to a dialog at the same time, at every stage of a call.
//!
//! In every case the end of the dialog is reported exactly once, no event names it afterwards, and nothing is left when
//! the timers have ended. Seeds decide which messages of the peer get lost and how much time lies between the two.
//!
//! Not here: conversations of more than two mutated messages (`hostile`).

use super::super::legs::LegState;
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    /// A request of the peer in the dialog, without or with a session description.
    Peer(&'static str, bool),
    /// The CANCEL of the peer's INVITE.
    PeerCancels,
    /// The PRACK of our last reliable response.
    PeerPracks,
    /// A response to our last request except ACK, with a session description, reliable or not.
    Answer(u16, bool),
    Engine(Order),
    FlowCloses,
    Waits(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Progress(bool),
    Accept,
    Reject,
    Bye,
    Cancel,
    Reinvite,
    AcceptReinvite,
    RejectReinvite,
    Refer,
    ReferProgress,
    Info,
}

use Happening::{Answer, Engine, FlowCloses, Peer, PeerCancels, PeerPracks, Waits};

const HAPPENINGS: [Happening; 38] = [
    Peer("BYE", false),
    Peer("INVITE", true),
    Peer("INVITE", false),
    Peer("UPDATE", true),
    Peer("UPDATE", false),
    Peer("ACK", false),
    Peer("ACK", true),
    Peer("INFO", false),
    Peer("REFER", false),
    Peer("NOTIFY", false),
    PeerCancels,
    PeerPracks,
    Answer(100, false),
    Answer(180, false),
    Answer(180, true),
    Answer(183, false),
    Answer(183, true),
    Answer(200, false),
    Answer(200, true),
    Answer(302, false),
    Answer(422, false),
    Answer(481, false),
    Answer(486, false),
    Answer(491, false),
    Engine(Order::Progress(false)),
    Engine(Order::Progress(true)),
    Engine(Order::Accept),
    Engine(Order::Reject),
    Engine(Order::Bye),
    Engine(Order::Cancel),
    Engine(Order::Reinvite),
    Engine(Order::AcceptReinvite),
    Engine(Order::RejectReinvite),
    Engine(Order::Refer),
    Engine(Order::ReferProgress),
    Engine(Order::Info),
    FlowCloses,
    Waits(40),
];

/// How a call reaches the stage at which the pair happens.
const STAGES: [(bool, &[Happening]); 15] = [
    (false, &[]),
    (false, &[Engine(Order::Progress(false))]),
    (false, &[Engine(Order::Progress(true))]),
    (false, &[Engine(Order::Progress(true)), PeerPracks, Peer("UPDATE", true)]),
    (false, &[Engine(Order::Progress(true)), Engine(Order::Accept)]),
    (false, &[Engine(Order::Accept)]),
    (false, &[Engine(Order::Accept), Peer("ACK", false)]),
    (false, &[Engine(Order::Accept), Peer("ACK", false), Engine(Order::Reinvite)]),
    (false, &[Engine(Order::Accept), Peer("ACK", false), Peer("INVITE", true)]),
    (false, &[Engine(Order::Accept), Peer("ACK", false), Peer("REFER", false)]),
    (true, &[]),
    (true, &[Answer(183, true)]),
    (true, &[Answer(183, true), Peer("UPDATE", true)]),
    (true, &[Answer(200, true)]),
    (true, &[Answer(200, true), Engine(Order::Reinvite), Answer(491, false)]),
];

struct Call {
    bench: Bench,
    outgoing: bool,
    by: Flow,
    dialog: DialogId,
    /// The INVITE that we sent.
    invite: String,
    tag: String,
    cseq: u32,
    rseq: u32,
    /// Our last request that wants a response, and our last reliable response.
    request: Option<String>,
    reliable: Option<String>,
    told: Vec<SipEvent>,
}

impl Call {
    fn start(outgoing: bool, browser_call: bool) -> Call {
        let by = if browser_call { browser(7) } else { trunk() };
        let mut call = Call {
            bench: Bench::new(),
            outgoing,
            by,
            dialog: DialogId(2),
            invite: String::new(),
            tag: String::new(),
            cseq: 1,
            rseq: 0,
            request: None,
            reliable: None,
            told: Vec::new(),
        };
        if outgoing {
            call.call_out(browser_call);
        } else {
            call.call_in();
        }
        call
    }

    fn call_out(&mut self, browser_call: bool) {
        let (dialog, mut order) = call_trunk();
        if browser_call {
            self.bench.register(&self.by, "<sip:k1@x.invalid;transport=ws>");
            if let SipCommand::Invite(invite) = &mut order {
                invite.target = Target::User("alice".into());
            }
        }
        self.dialog = dialog;
        self.invite = self.bench.command(order).only().to_owned();
        self.request = Some(self.invite.clone());
    }

    fn call_in(&mut self) {
        self.bench.receive(&self.by, &reliable_invite(1, "Supported"));
        assert!(matches!(&self.bench.events[..], [SipEvent::Incoming { dialog, .. }] if *dialog == self.dialog));
        // The peer learns the tag from our first response other than 100.
        self.tag = match self.bench.endpoint.legs.get(self.dialog).map(|leg| &leg.state) {
            Some(LegState::Ringing(ringing)) => ringing.dialog.local_tag.to_string(),
            _ => panic!("it rings"),
        };
    }

    /// Lets one event happen; if it is a message of the peer and `lost` is set, it does not arrive.
    fn happens(&mut self, happening: Happening, lost: bool) {
        self.bench.sent.clear();
        self.bench.events.clear();
        match happening {
            Engine(order) => drop(self.bench.command(self.order(order))),
            FlowCloses => drop(self.bench.close(&self.by)),
            Waits(seconds) => drop(self.bench.wait(secs(seconds))),
            _ => {
                if let Some(text) = self.message(happening).filter(|_| !lost) {
                    self.bench.receive(&self.by, &text);
                }
            }
        }
        self.note();
    }

    fn order(&self, order: Order) -> SipCommand {
        let dialog = self.dialog;
        let refer = ReferId(self.cseq);
        match order {
            Order::Progress(early) => {
                SipCommand::Progress { dialog, status: 183, sdp: early.then(|| ANSWER.to_owned()) }
            }
            Order::Accept => SipCommand::Accept { dialog, sdp: ANSWER.into() },
            Order::Reject => SipCommand::Reject { dialog, status: 486, reason: None, q850: None },
            Order::Bye => SipCommand::Bye { dialog, reason: None },
            Order::Cancel => SipCommand::Cancel { dialog },
            Order::Reinvite => SipCommand::Reinvite { dialog, sdp: OFFER.into() },
            Order::AcceptReinvite => SipCommand::AcceptReinvite { dialog, sdp: ANSWER.into() },
            Order::RejectReinvite => SipCommand::RejectReinvite { dialog, status: 488 },
            Order::Refer => SipCommand::Refer { dialog, to: "sip:c@example.com".into(), replaces: None },
            Order::ReferProgress => SipCommand::ReferProgress { dialog, refer, status: 200, reason: None },
            Order::Info => SipCommand::Info { dialog, content_type: "a/b".into(), body: "x".into() },
        }
    }

    fn message(&mut self, happening: Happening) -> Option<String> {
        match happening {
            Peer("ACK", body) => {
                let text = if self.outgoing {
                    from_callee(&self.invite, "ACK", self.cseq, "t", if body { ANSWER } else { "" })
                } else {
                    in_dialog(1, "ACK", self.cseq, &self.tag, if body { ANSWER } else { "" })
                };
                Some(text)
            }
            Peer(method, body) => {
                self.cseq += 1;
                let body = if body { OFFER } else { "" };
                let text = if self.outgoing {
                    from_callee(&self.invite, method, self.cseq, "t", body)
                } else {
                    in_dialog(1, method, self.cseq, &self.tag, body)
                };
                let extra =
                    "Refer-To: <sip:c@example.com>\r\nEvent: refer\r\nSubscription-State: terminated\r\nContact";
                Some(if matches!(method, "REFER" | "NOTIFY") { text.replacen("Contact", extra, 1) } else { text })
            }
            PeerCancels => (!self.outgoing).then(|| invite(1).replace("INVITE", "CANCEL")),
            PeerPracks => {
                self.cseq += 1;
                self.reliable.as_ref().map(|reliable| prack(1, self.cseq, reliable, ""))
            }
            Answer(status, reliable_or_body) => {
                let request = self.request.as_ref()?;
                if (101..200).contains(&status) && reliable_or_body {
                    self.rseq += 1;
                    return Some(reliably(request, status, "t", self.rseq, ANSWER));
                }
                let body = if reliable_or_body { ANSWER } else { "" };
                Some(respond(request, status, "t", body).replacen("Contact", "Min-SE: 2000\r\nContact", 1))
            }
            Engine(_) | FlowCloses | Waits(_) => None,
        }
    }

    fn note(&mut self) {
        for (_, text) in &self.bench.sent {
            if text.starts_with("SIP/2.0") {
                if text.contains("\r\nRSeq: ") {
                    self.reliable = Some(text.clone());
                }
            } else if !text.starts_with("ACK ") {
                self.request = Some(text.clone());
            }
        }
        self.told.extend(self.bench.events.iter().filter(|event| event.dialog() == Some(self.dialog)).cloned());
    }

    /// Ends the call if it has not ended yet, then checks its events and what is left.
    fn ends(mut self) {
        let is_end = |event: &SipEvent| matches!(event, SipEvent::Ended { .. } | SipEvent::Failed { .. });
        if !self.told.iter().any(is_end) {
            self.happens(Engine(Order::Bye), false);
        }
        self.bench.wait(secs(4_000));
        self.note();
        let ends = self.told.iter().filter(|event| is_end(event)).count();
        assert_eq!(ends, 1, "{:?}", self.told);
        assert!(self.told.last().is_some_and(is_end), "{:?}", self.told);
        assert!(self.bench.endpoint.is_idle(), "left: {:?}", self.bench.endpoint.sizes());
        assert_eq!(self.bench.endpoint.sizes().index_entries, 0);
    }
}

/// Runs one pair; the seed's bits decide which messages are lost and how much time passes.
fn run(stage: usize, browser_call: bool, pair: [Happening; 2], seed: u32) {
    let (outgoing, before) = STAGES[stage];
    let mut call = Call::start(outgoing, browser_call);
    for happening in before {
        call.happens(*happening, false);
    }
    call.happens(pair[0], seed & 1 == 1);
    if seed & 2 == 2 {
        call.happens(Waits(1), false);
    }
    call.happens(pair[1], seed & 4 == 4);
    // A late message arrives after all, as a copy or out of order.
    if seed & 8 == 8 {
        call.happens(pair[0], false);
    }
    call.ends();
}

#[test]
fn every_pair_of_events_at_every_stage_ends_once_and_leaves_nothing() {
    let mut seed = 0x2545_f491_u32;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed
    };
    for (stage, (outgoing, _)) in STAGES.iter().enumerate() {
        for first in HAPPENINGS {
            for second in HAPPENINGS {
                let browser_call = *outgoing && next() % 4 == 0;
                // The first run is undisturbed.
                for seed in [0, next() >> 8] {
                    let case = || run(stage, browser_call, [first, second], seed);
                    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(case));
                    assert!(ended.is_ok(), "stage {stage}, browser {browser_call}, {first:?}, {second:?}, seed {seed}");
                }
            }
        }
    }
}
