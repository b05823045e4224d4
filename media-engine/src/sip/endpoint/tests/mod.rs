//! The endpoint against hand-written peers, under virtual time.
//!
//! A [`Bench`] holds an endpoint and its clock. A test delivers messages and commands to it, lets time pass with `wait`, and
//! checks the messages and events of the last step. `assert_rests` lets all timers end and checks that nothing is left.
//!
//! Addresses: the trunk is 198.51.100.7 over UDP; browsers connect by WebSocket.

mod calls;
mod conformance;
mod connecting;
mod early;
mod glare;
mod hostile;
mod looping;
mod malformed;
mod pairs;
mod referring;
mod refusals;
mod registering;
mod registration;
mod reliable;
mod retries;
mod sessions;
mod trunking;

use std::time::Duration;

use super::abilities::{ALLOW, SDP, SUPPORTED};
use super::*;
use crate::sip::digest::{self, Challenge};
use crate::sip::flow::Transport;
use crate::sip::header::Name;
use crate::sip::limits::Limits;
use crate::sip::message::Message;
use crate::sip::trunk::{Destination, Trunk};
use crate::units::test_epoch;

pub(super) const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0\r\n";
pub(super) const ANSWER: &str = "v=0\r\no=- 2 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 5000 RTP/AVP 0\r\n";

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A flow to us from `peer`; UDP flows share listener 1.
pub(super) fn flow(transport: Transport, id: u64, peer: &str) -> Flow {
    Flow { id: FlowId(id), transport, local: "192.0.2.1:5060".parse().unwrap(), peer: peer.parse().unwrap() }
}

/// The flow of the trunk.
pub(super) fn trunk() -> Flow {
    flow(Transport::Udp, 1, "198.51.100.7:5060")
}

/// The flow of a browser.
pub(super) fn browser(id: u64) -> Flow {
    flow(Transport::Ws, id, "203.0.113.20:40000")
}

pub(super) fn config() -> EndpointConfig {
    EndpointConfig {
        trunks: vec![Trunk {
            name: "carrier".into(),
            addresses: vec!["198.51.100.7".parse().unwrap()],
            destinations: vec![Destination::udp("198.51.100.7:5060".parse().unwrap())],
            ..Trunk::default()
        }],
        ..EndpointConfig::new("example.com", [9; 32])
    }
}

/// An endpoint, its clock, and its last outputs.
pub(super) struct Bench {
    pub(super) endpoint: Endpoint,
    pub(super) now: Instant,
    pub(super) sent: Vec<(Flow, String)>,
    pub(super) events: Vec<SipEvent>,
    /// Connections requested since the start.
    pub(super) connects: Vec<(Flow, String)>,
    /// Connections closed by the endpoint since the start.
    pub(super) closed: Vec<FlowId>,
}

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::with(config())
    }

    pub(super) fn with(config: EndpointConfig) -> Bench {
        let mut endpoint = Endpoint::new(config);
        endpoint.listener(flow(Transport::Udp, 1, "0.0.0.0:0"));
        Bench {
            endpoint,
            now: test_epoch(),
            sent: Vec::new(),
            events: Vec::new(),
            connects: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                SipOutput::Transmit { flow, bytes } => {
                    self.sent.push((flow, String::from_utf8_lossy(&bytes).into_owned()));
                }
                SipOutput::Event(SipEvent::Refused { .. }) => {}
                SipOutput::Event(event) => self.events.push(event),
                SipOutput::Connect { flow, server_name } => self.connects.push((flow, server_name)),
                SipOutput::CloseFlow(flow) => self.closed.push(flow),
            }
        }
    }

    /// Clears earlier outputs and delivers a message.
    pub(super) fn receive(&mut self, flow: &Flow, text: &str) -> &mut Bench {
        self.sent.clear();
        self.events.clear();
        self.endpoint.handle_message(flow, text.as_bytes(), self.now);
        self.collect();
        self
    }

    pub(super) fn command(&mut self, command: SipCommand) -> &mut Bench {
        self.sent.clear();
        self.events.clear();
        self.endpoint.handle_command(command, self.now);
        self.collect();
        self
    }

    pub(super) fn close(&mut self, flow: &Flow) -> &mut Bench {
        self.sent.clear();
        self.events.clear();
        self.endpoint.handle_flow_closed(flow.id, self.now);
        self.collect();
        self
    }

    /// Lets time pass, with every deadline on the way.
    pub(super) fn wait(&mut self, span: Duration) -> &mut Bench {
        self.sent.clear();
        self.events.clear();
        let end = self.now + span;
        while let Some(next) = self.endpoint.poll_timeout().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.endpoint.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
        self.endpoint.handle_timeout(end);
        self.collect();
        self
    }

    /// Returns the first lines of the sent messages.
    pub(super) fn lines(&self) -> Vec<&str> {
        self.sent.iter().map(|(_, text)| text.lines().next().unwrap()).collect()
    }

    /// Returns the only message sent.
    pub(super) fn only(&self) -> &str {
        assert_eq!(self.sent.len(), 1, "{:?}", self.lines());
        &self.sent[0].1
    }

    /// Returns the message whose first line starts like this.
    pub(super) fn find(&self, start: &str) -> &str {
        let found = self.sent.iter().find(|(_, text)| text.starts_with(start));
        &found.unwrap_or_else(|| panic!("no {start} in {:?}", self.lines())).1
    }

    /// Lets all timers end; nothing may be left then.
    pub(super) fn assert_rests(&mut self) {
        self.wait(secs(400));
        self.collect();
        let sizes = self.endpoint.sizes();
        let rest = Sizes { contacts: 0, passwords: 0, overflows: 0, ..sizes };
        assert_eq!(rest, Sizes::default());
        assert!(self.endpoint.is_idle());
    }

    /// Starts an incoming call from the trunk, up to its event.
    pub(super) fn incoming(&mut self, n: u32) -> DialogId {
        self.receive(&trunk(), &invite(n));
        match &self.events[..] {
            [SipEvent::Incoming { dialog, .. }] => *dialog,
            other => panic!("{other:?}"),
        }
    }

    /// Starts an answered incoming call; also returns our To tag.
    pub(super) fn answered(&mut self, n: u32) -> (DialogId, String) {
        let dialog = self.incoming(n);
        self.command(SipCommand::Accept { dialog, sdp: ANSWER.into() });
        let tag = tag_of(self.find("SIP/2.0 200"));
        self.receive(&trunk(), &in_dialog(n, "ACK", 1, &tag, ""));
        (dialog, tag)
    }

    /// Gives alice a password and registers a contact by `flow`.
    pub(super) fn register(&mut self, flow: &Flow, contact: &str) {
        let valid_for = secs(86_400);
        self.command(SipCommand::CredentialSet { user: "alice".into(), password: "secret".into(), valid_for });
        let request = register(1, contact, "");
        self.receive(flow, &request);
        let authorization = authorize(self.only(), "REGISTER", "alice", "secret", 1);
        self.receive(flow, &register(2, contact, &format!("Authorization: {authorization}\r\n")));
        assert!(self.only().starts_with("SIP/2.0 200"), "{}", self.only());
    }

    /// Registers a contact over UDP in addition to the one registered by [`register`](Bench::register).
    pub(super) fn register_further(&mut self, flow: &Flow, contact: &str) {
        let over_udp = |request: String| request.replace("WS u8k2.invalid", "UDP 10.0.0.9;rport");
        let challenge = self.receive(flow, &over_udp(register(3, contact, ""))).only().to_owned();
        let line = format!("Authorization: {}\r\n", authorize(&challenge, "REGISTER", "alice", "secret", 1));
        self.receive(flow, &over_udp(register(4, contact, &line)));
    }
}

/// An INVITE of the trunk; each `n` is another call.
pub(super) fn invite(n: u32) -> String {
    with_body(
        &format!(
            "INVITE sip:+15550100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKi{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: \"Cust\" <sip:+15550142@198.51.100.7>;tag=far{n}\r\n\
             To: <sip:+15550100@192.0.2.1>\r\nCall-ID: call{n}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:+15550142@198.51.100.7:5060>\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n"
        ),
        OFFER,
    )
}

/// A request of the trunk within a call.
pub(super) fn in_dialog(n: u32, method: &str, cseq: u32, to_tag: &str, body: &str) -> String {
    // The ACK for a 2xx is a transaction of its own; other requests are distinguished by their number.
    let own = if method == "ACK" { "a" } else { "" };
    let head = format!(
        "{method} sip:+15550100@192.0.2.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKd{n}-{cseq}{own};rport\r\nMax-Forwards: 70\r\n\
         From: \"Cust\" <sip:+15550142@198.51.100.7>;tag=far{n}\r\nTo: <sip:+15550100@192.0.2.1>;tag={to_tag}\r\n\
         Call-ID: call{n}\r\nCSeq: {cseq} {method}\r\nContact: <sip:+15550142@198.51.100.7:5060>\r\n"
    );
    with_body(&head, body)
}

pub(super) fn with_body(head: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// An INVITE of a caller that supports (`Supported`) or requires (`Require`) reliable provisional responses.
pub(super) fn reliable_invite(n: u32, demand: &str) -> String {
    invite(n).replacen("Max-Forwards", &format!("{demand}: 100rel\r\nMax-Forwards"), 1)
}

/// The PRACK of a reliable provisional response to call `n`.
pub(super) fn prack(n: u32, cseq: u32, answer: &str, body: &str) -> String {
    let (rseq, tag) = (header(answer, Name::RSeq).unwrap(), tag_of(answer));
    in_dialog(n, "PRACK", cseq, &tag, body).replacen("Contact", &format!("RAck: {rseq} 1 INVITE\r\nContact"), 1)
}

/// A reliable provisional response to a request of ours.
pub(super) fn reliably(request: &str, status: u16, tag: &str, rseq: u32, body: &str) -> String {
    let rseq = format!("Require: 100rel\r\nRSeq: {rseq}\r\nContent-Length");
    respond(request, status, tag, body).replacen("Content-Length", &rseq, 1)
}

/// A command to call the trunk.
pub(super) fn call_trunk() -> (DialogId, SipCommand) {
    let target = Target::Trunk { name: "carrier".into(), user: "+15550142".into() };
    let dialog = DialogId::outgoing();
    let order = SipCommand::from(Invite::new(dialog, target, OFFER).from_user("+15550100"));
    (dialog, order)
}

/// A request of the callee in a dialog of a call of ours.
pub(super) fn from_callee(invite: &str, method: &str, cseq: u32, tag: &str, body: &str) -> String {
    let invite = Message::parse(invite.as_bytes()).unwrap();
    let header = |name| invite.header(name).unwrap().to_owned();
    let head = format!(
        "{method} sip:+15550100@192.0.2.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKc{tag}{cseq}{method};rport\r\nMax-Forwards: 70\r\n\
         From: {};tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:moved-{tag}@198.51.100.7:5060>\r\n",
        header(Name::To),
        header(Name::From),
        header(Name::CallId),
    );
    with_body(&head, body)
}

/// A response to a request of ours.
pub(super) fn respond(request: &str, status: u16, tag: &str, body: &str) -> String {
    let request = Message::parse(request.as_bytes()).unwrap();
    let tag = (status > 100).then_some(tag);
    let head = crate::sip::write::ResponseHead::of(&request, None, tag);
    let response = head.response(status, "Said");
    let response = response.header("Contact", "<sip:bob@198.51.100.7:5060>").header("Allow", "INVITE, UPDATE");
    let response = response.record_routes(&head);
    let bytes = if body.is_empty() { response.build() } else { response.body(SDP, body).build() };
    String::from_utf8(bytes).unwrap()
}

/// The To tag of a message.
pub(super) fn tag_of(text: &str) -> String {
    Message::parse(text.as_bytes()).unwrap().to().unwrap().tag().unwrap().to_owned()
}

pub(super) fn header(text: &str, name: Name) -> Option<String> {
    Message::parse(text.as_bytes()).unwrap().header(name).map(str::to_owned)
}

/// A REGISTER as a browser sends it.
pub(super) fn register(cseq: u32, contact: &str, extra: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS u8k2.invalid;branch=z9hG4bKr{cseq}\r\n\
         Max-Forwards: 69\r\nTo: <sip:alice@example.com>\r\nFrom: <sip:alice@example.com>;tag=reg\r\n\
         Call-ID: registration\r\nCSeq: {cseq} REGISTER\r\n{extra}Contact: {contact}\r\nExpires: 600\r\n\
         Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY\r\nSupported: path,gruu,outbound\r\n\
         User-Agent: test\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Credentials for the MD5 challenge in a 401 or 407.
pub(super) fn authorize(challenge: &str, method: &str, user: &str, password: &str, count: u32) -> String {
    let message = Message::parse(challenge.as_bytes()).unwrap();
    let lines = message.lines(Name::WwwAuthenticate).chain(message.lines(Name::ProxyAuthenticate));
    let challenge = lines.map(|line| Challenge::parse(line).unwrap()).find(|c| c.algorithm == digest::Algorithm::Md5);
    digest::answer(&challenge.unwrap(), user, password, method, "sip:example.com", "abcdef", count)
}
