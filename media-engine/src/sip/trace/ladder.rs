//! Turns kept messages into a ladder: one step for each message, with a label in words.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use super::redact::{plain, redacted};
use super::{Kept, TracedLeg, header};
use crate::sip::flow::Transport;
use crate::units::{CallId, LegId};

/// Longest label in characters.
const LABEL_MAX: usize = 60;

/// The SIP messages of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTrace {
    /// The traced call.
    pub call: CallId,
    /// Its legs, in the order in which they began.
    pub parties: Vec<TraceParty>,
    /// Its messages, in the order in which they arrived and were sent.
    pub steps: Vec<TraceStep>,
    /// Earlier messages that are no longer kept.
    pub dropped: u64,
    /// Whether one of its dialogs is still running.
    pub running: bool,
}

/// The other end of one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParty {
    /// The leg that leads to it.
    pub leg: LegId,
    /// Role of the leg in the call, such as `customer`.
    pub role: &'static str,
    /// Number, agent's name or URI: not masked.
    pub peer: String,
}

/// One message of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// Increases from step to step; numbers in between belong to other calls.
    pub number: u64,
    /// Wall-clock time at which it arrived or was sent.
    pub at: SystemTime,
    /// The leg it belongs to.
    pub leg: LegId,
    /// Whether it was sent by us; otherwise it was received from the leg's other end.
    pub sent: bool,
    /// Transport of the message.
    pub transport: Transport,
    /// Address that it came from or went to.
    pub peer: SocketAddr,
    /// Method or status, such as `INVITE`, `re-INVITE`, `180 Ringing`, `200 OK (BYE)`.
    pub label: String,
    /// Kind of the body, such as `SDP`, `SDP sendonly`; empty without one.
    pub body: String,
    /// Whether it repeats an earlier message in the same direction.
    pub again: bool,
    /// The message without secrets, with lines that end in `\n`.
    pub text: String,
    /// Whether bytes at its end were not kept.
    pub cut: bool,
}

impl CallTrace {
    /// Lays out the kept legs of `call`. `now` and `wall` are the same moment.
    pub fn new(call: CallId, legs: Vec<TracedLeg>, now: Instant, wall: SystemTime) -> CallTrace {
        let parties = legs.iter().map(|leg| TraceParty {
            leg: leg.label.leg,
            role: leg.label.role,
            peer: plain(&leg.label.peer),
        });
        let mut trace = CallTrace {
            call,
            parties: parties.collect(),
            steps: Vec::new(),
            dropped: legs.iter().map(|leg| leg.dropped).sum(),
            running: legs.iter().any(|leg| leg.running),
        };
        for TracedLeg { label, messages, .. } in legs {
            let mut seen = HashSet::new();
            for kept in &messages {
                let again = !seen.insert((kept.sent, kept.peer, &kept.bytes));
                let at = wall.checked_sub(now.saturating_duration_since(kept.at)).unwrap_or(wall);
                trace.steps.push(step(kept, label.leg, at, again));
            }
        }
        trace.steps.sort_by_key(|step| step.number);
        trace
    }
}

fn step(kept: &Kept, leg: LegId, at: SystemTime, again: bool) -> TraceStep {
    TraceStep {
        number: kept.number,
        at,
        leg,
        sent: kept.sent,
        transport: kept.transport,
        peer: kept.peer,
        label: label(&kept.bytes),
        body: body(&kept.bytes),
        again,
        text: redacted(&kept.bytes),
        cut: kept.cut,
    }
}

/// Returns the method, or status and reason.
fn label(bytes: &[u8]) -> String {
    let first = bytes.split(|&byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let label = match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let status = plain(status.trim());
            let cseq = String::from_utf8_lossy(header(bytes, &["cseq"]).unwrap_or_default()).into_owned();
            match cseq.rsplit([' ', '\t']).next().unwrap_or_default() {
                "" | "INVITE" => status,
                method => format!("{status} ({})", plain(method)),
            }
        }
        None => {
            let method = plain(first.split(' ').next().unwrap_or_default());
            let in_dialog = header(bytes, &["to", "t"]).is_some_and(|to| to.windows(5).any(|part| part == b";tag="));
            if method == "INVITE" && in_dialog { "re-INVITE".into() } else { method }
        }
    };
    match label.char_indices().nth(LABEL_MAX) {
        Some((end, _)) => format!("{}…", &label[..end]),
        None => label,
    }
}

/// Returns the kind of the body in a word or two.
fn body(bytes: &[u8]) -> String {
    let kind = String::from_utf8_lossy(header(bytes, &["content-type", "c"]).unwrap_or_default()).to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let empty = header(bytes, &["content-length", "l"]).is_some_and(|length| length.iter().all(|&digit| digit == b'0'));
    match kind {
        _ if empty => String::new(),
        "" => String::new(),
        "application/sdp" => {
            let direction = ["sendonly", "recvonly", "inactive"].into_iter().find(|direction| {
                let attribute = format!("a={direction}");
                bytes
                    .split(|&byte| matches!(byte, b'\r' | b'\n'))
                    .any(|line| line.trim_ascii_end() == attribute.as_bytes())
            });
            direction.map_or_else(|| "SDP".into(), |direction| format!("SDP {direction}"))
        }
        other => plain(other.rsplit('/').next().unwrap_or(other)),
    }
}
