//! SIP messages of a call as a ladder diagram: the data for API and operator, and its drawing for a terminal.
//!
//! ```text
//!    seconds  customer +3491•••0001                tandem                      agent anna
//!              udp 192.0.2.7:5060                                          wss 192.0.2.9:52010
//!      0.000            │─ INVITE, SDP ──────────────▶│                             │
//!      0.001            │◀─────────────── 100 Trying ─│                             │
//! ```
//!
//! Not here: storing messages and removing secrets from them (the engine), and permissions (routes, admin).

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::engine::{CallTrace, call_uuid, mask};
use crate::store::TAIL;

/// Column of the first party's line.
const FIRST_LANE: usize = 22;
/// Distance between two lines, in columns.
const PITCH: usize = 30;
/// Indentation of the text of messages.
const INDENT: &str = "            ";

/// SIP messages of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ladder {
    /// Id of the call.
    pub call: Uuid,
    /// Time of the first message that is still stored.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// Whether the call is running, so that further messages may follow.
    pub running: bool,
    /// Number of earlier messages that are no longer stored.
    pub dropped: u64,
    /// Parties that exchanged messages with Tandem, in the order in which their legs began.
    pub parties: Vec<LadderParty>,
    /// The messages, oldest first.
    pub steps: Vec<LadderStep>,
}

/// Remote end of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LadderParty {
    /// Number of the leg within its call.
    pub leg: u64,
    /// Role of the party: `customer` or `agent`.
    pub role: String,
    /// Phone number, agent name or URI of the party.
    pub peer: String,
    /// Transport and address of its first message, such as `udp 192.0.2.7:5060`.
    pub address: String,
}

/// One SIP message of a ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LadderStep {
    /// Number of the message, which increases from step to step.
    pub number: u64,
    /// Milliseconds since `began_at`.
    pub after_ms: u64,
    /// Number of the leg that the message belongs to.
    pub leg: u64,
    /// Whether Tandem sent the message to the party; otherwise Tandem received it.
    pub sent: bool,
    /// Kind of message, such as `INVITE`, `re-INVITE`, `180 Ringing`, `200 OK (BYE)`.
    pub label: String,
    /// Kind of body, such as `SDP`, `SDP sendonly`; empty without a body.
    pub body: String,
    /// Whether the message is a retransmission of an earlier one.
    pub again: bool,
    /// Transport and address of the party.
    pub address: String,
    /// Text of the message without passwords and keys, if it was requested.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// Whether the end of the message was not stored.
    pub cut: bool,
}

impl Ladder {
    /// Converts the engine's trace. With `messages`, the texts of messages are included.
    pub fn new(trace: CallTrace, messages: bool) -> Ladder {
        let at = |at| Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
        let began_at = trace.steps.first().map_or(Timestamp::UNIX_EPOCH, |step| at(step.at));
        let steps: Vec<LadderStep> = trace
            .steps
            .into_iter()
            .map(|step| LadderStep {
                number: step.number,
                after_ms: u64::try_from(at(step.at).duration_since(began_at).as_millis()).unwrap_or(0),
                leg: step.leg.0,
                sent: step.sent,
                label: step.label,
                body: step.body,
                again: step.again,
                address: format!("{} {}", step.transport.via_token().to_ascii_lowercase(), step.peer),
                message: messages.then_some(step.text),
                cut: step.cut,
            })
            .collect();
        let party = |party: crate::engine::TraceParty| LadderParty {
            leg: party.leg.0,
            role: party.role.to_owned(),
            address: steps.iter().find(|step| step.leg == party.leg.0).map_or_else(String::new, |s| s.address.clone()),
            peer: party.peer,
        };
        Ladder {
            call: call_uuid(trace.call),
            began_at,
            running: trace.running,
            dropped: trace.dropped,
            parties: trace.parties.into_iter().map(party).collect(),
            steps,
        }
    }

    /// Removes messages that came after an actor left the call, at `left_at`. `None` keeps all of them.
    pub fn until(mut self, left_at: Option<Timestamp>) -> Ladder {
        let Some(left_at) = left_at else { return self };
        let most = u64::try_from(left_at.duration_since(self.began_at).saturating_add(TAIL).as_millis()).unwrap_or(0);
        self.steps.retain(|step| step.after_ms <= most);
        let steps = &self.steps;
        self.parties.retain(|party| steps.iter().any(|step| step.leg == party.leg));
        self
    }

    /// Masks the numbers of the parties.
    pub fn masked(mut self) -> Ladder {
        for party in &mut self.parties {
            let uri = party.peer.split_once(':').map_or(party.peer.as_str(), |(_scheme, rest)| rest);
            let user = uri.split_once('@').map_or(uri, |(user, _host)| user);
            if user.chars().any(|c| c.is_ascii_digit()) && user.chars().all(|c| !c.is_alphabetic()) {
                party.peer = mask(user);
            }
        }
        self
    }

    /// Returns the lines above the ladder: the call, and the parties of the columns.
    pub fn head(&self) -> String {
        let state = if self.running { "running" } else { "over" };
        let mut out = format!("call {}, began {:.3}, {state}\n", self.call, self.began_at);
        if self.dropped > 0 {
            let _infallible = writeln!(out, "{} earlier messages are no longer stored", self.dropped);
        }
        let (mut names, mut addresses) = (Canvas::default(), Canvas::default());
        names.put(3, "seconds");
        names.centre(lane(1), "tandem");
        for (n, party) in self.parties.iter().enumerate() {
            let at = lane(lane_of_party(n));
            names.centre(at, &format!("{} {}", party.role, party.peer));
            addresses.centre(at, &party.address);
        }
        out.push('\n');
        out + &names.line() + &addresses.line()
    }

    /// Returns the lines of the messages after the one with this number.
    pub fn rungs(&self, after: u64) -> String {
        let mut out = String::new();
        for step in self.steps.iter().filter(|step| step.number > after) {
            out += &self.rung(step);
            if let Some(message) = &step.message {
                for line in message.lines() {
                    let _infallible = writeln!(out, "{INDENT}{line}");
                }
                out += if step.cut { "            (the rest was not stored)\n\n" } else { "\n" };
            }
        }
        out
    }

    fn rung(&self, step: &LadderStep) -> String {
        let mut line = Canvas::default();
        line.put(0, &format!("{:>10}", format!("{}.{:03}", step.after_ms / 1000, step.after_ms % 1000)));
        for n in 0..self.parties.len().max(1) + 1 {
            line.put(lane(n), "│");
        }
        let party = self.parties.iter().position(|party| party.leg == step.leg).unwrap_or(0);
        let (left, right) = match lane_of_party(party) {
            0 => (lane(0), lane(1)),
            other => (lane(1), lane(other)),
        };
        // All parties but the first are to the right of Tandem.
        line.arrow(left, right, &text_of(step), step.sent == (party > 0));
        if self.parties.get(party).is_some_and(|party| party.address != step.address) {
            line.put(lane(self.parties.len()) + 3, &step.address);
        }
        line.line()
    }
}

fn text_of(step: &LadderStep) -> String {
    let again = if step.again { "again" } else { "" };
    let parts = [step.label.as_str(), &step.body, again];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn lane(n: usize) -> usize {
    FIRST_LANE + n * PITCH
}

/// Returns the column of a party: the first is to the left of Tandem, the others are to the right.
fn lane_of_party(n: usize) -> usize {
    if n == 0 { 0 } else { n + 1 }
}

/// One line of text that is drawn piece by piece.
#[derive(Default)]
struct Canvas(Vec<char>);

impl Canvas {
    fn put(&mut self, at: usize, text: &str) {
        for (n, c) in text.chars().enumerate() {
            if self.0.len() <= at + n {
                self.0.resize(at + n + 1, ' ');
            }
            self.0[at + n] = c;
        }
    }

    /// Centres a text, truncated to the distance between two lines.
    fn centre(&mut self, at: usize, text: &str) {
        let text = truncated(text, PITCH - 2);
        self.put(at.saturating_sub(text.chars().count() / 2), &text);
    }

    fn arrow(&mut self, left: usize, right: usize, text: &str, to_right: bool) {
        let room = right - left - 1;
        // One dash before the text, at least one after it, and the arrowhead.
        let text = truncated(text, room - 5);
        let rest = room - 4 - text.chars().count();
        let strokes = "─".repeat(rest);
        let arrow = match to_right {
            true => format!("─ {text} {strokes}▶"),
            false => format!("◀{strokes} {text} ─"),
        };
        self.put(left + 1, &arrow);
    }

    fn line(self) -> String {
        let text: String = self.0.into_iter().collect();
        format!("{}\n", text.trim_end())
    }
}

/// Returns a text truncated to `width` characters.
fn truncated(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(leg: u64, role: &str, peer: &str, address: &str) -> LadderParty {
        LadderParty { leg, role: role.into(), peer: peer.into(), address: address.into() }
    }

    fn step(number: u64, after_ms: u64, leg: u64, sent: bool, label: &str, body: &str) -> LadderStep {
        let address = if leg == 1 { "udp 192.0.2.7:5060" } else { "wss 192.0.2.9:52010" };
        LadderStep {
            number,
            after_ms,
            leg,
            sent,
            label: label.into(),
            body: body.into(),
            again: false,
            address: address.into(),
            message: None,
            cut: false,
        }
    }

    fn ladder(steps: Vec<LadderStep>) -> Ladder {
        Ladder {
            call: Uuid::nil(),
            began_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            running: false,
            dropped: 0,
            parties: vec![
                party(1, "customer", "+34910000001", "udp 192.0.2.7:5060"),
                party(2, "agent", "anna", "wss 192.0.2.9:52010"),
            ],
            steps,
        }
    }

    #[test]
    fn a_call_is_drawn_with_its_parties_around_tandem() {
        let mut steps = vec![
            step(1, 0, 1, false, "INVITE", "SDP"),
            step(2, 1, 1, true, "100 Trying", ""),
            step(4, 12, 2, true, "INVITE", "SDP"),
            step(5, 512, 2, true, "INVITE", "SDP"),
            step(6, 61_234, 2, false, "407 Proxy Authentication Required", ""),
            step(9, 61_235, 2, true, "BYE", ""),
        ];
        steps[3].again = true;
        steps[5].address = "wss 192.0.2.10:52011".into();
        let ladder = ladder(steps).masked();
        let drawn = ladder.head() + &ladder.rungs(0);
        let expected = "\
call 00000000-0000-0000-0000-000000000000, began 2026-01-02T03:04:05.678Z, over

   seconds  customer +3491•••0001                tandem                      agent anna
             udp 192.0.2.7:5060                                          wss 192.0.2.9:52010
     0.000            │─ INVITE, SDP ──────────────▶│                             │
     0.001            │◀─────────────── 100 Trying ─│                             │
     0.012            │                             │─ INVITE, SDP ──────────────▶│
     0.512            │                             │─ INVITE, SDP, again ───────▶│
    61.234            │                             │◀─ 407 Proxy Authenticatio… ─│
    61.235            │                             │─ BYE ──────────────────────▶│  wss 192.0.2.10:52011
";
        assert_eq!(drawn, expected, "\n{drawn}");
    }
}
