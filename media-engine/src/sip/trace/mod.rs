//! Traces of calls: the SIP messages of each call, kept for later queries by `tandem trace CALL` and the call's page.
//!
//! ```text
//!  message ─▶ Call-ID known? ── yes ──▶ ring of its dialog ── on demand ─▶ ladder ─▶ redact
//!                   └ no: INVITE, its ACK and answers ─▶ waiting room ── a call begins ─▶ its ring
//! ```
//!
//! - While nobody queries, keeping a message costs a search for its Call-ID and a copy of bounded length. Nothing is
//!   parsed.
//! - Strangers leave nothing: messages that belong to no call expire in the waiting room, which is small.
//! - Every size is bounded ([`TraceBounds`]). The oldest entry is dropped first, ended dialogs before running ones, and
//!   is counted.
//! - Keys, passwords and values derived from them stay here: text leaves only through [`redact`].
//!
//! Not here: permission to query, and masking of numbers (control plane).

mod ladder;
pub mod redact;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Instant;

pub use ladder::{CallTrace, TraceParty, TraceStep};

use crate::sip::endpoint::DialogId;
use crate::sip::flow::{Flow, Transport};
use crate::units::{CallId, LegId};

/// How much of each message is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceLevel {
    /// Messages are not kept.
    #[default]
    Off,
    /// Everything before the body.
    Headers,
    /// Headers and body, within the bounds.
    Full,
}

impl FromStr for TraceLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(TraceLevel::Off),
            "headers" => Ok(TraceLevel::Headers),
            "full" => Ok(TraceLevel::Full),
            _ => Err(format!("`{text}`: expected off, headers or full")),
        }
    }
}

/// Bounds of everything that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceBounds {
    /// Most bytes of one message; the rest is cut off.
    pub message: usize,
    /// Most messages of one dialog.
    pub messages: usize,
    /// Most bytes of one dialog.
    pub dialog: usize,
    /// Most dialogs, running and ended.
    pub dialogs: usize,
    /// Most bytes of all dialogs.
    pub total: usize,
    /// Most bytes of messages that belong to no call yet.
    pub waiting: usize,
}

impl Default for TraceBounds {
    /// 16 MiB: some two thousand calls of two legs.
    fn default() -> TraceBounds {
        TraceBounds {
            message: 8 << 10,
            messages: 200,
            dialog: 256 << 10,
            dialogs: 8192,
            total: 16 << 20,
            waiting: 128 << 10,
        }
    }
}

/// Owner of a dialog, as reported by the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLabel {
    /// Call that the dialog belongs to.
    pub call: CallId,
    /// Leg of that call.
    pub leg: LegId,
    /// Role of the leg in the call, such as `customer`.
    pub role: &'static str,
    /// The other end: number, agent's name or URI.
    pub peer: String,
}

/// A Call-ID that a leg of a call has got, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLeg {
    /// Call that the leg belongs to.
    pub call: CallId,
    /// Leg of that call.
    pub leg: LegId,
    /// Call-ID of its messages, as the far end of an incoming call chose it.
    pub call_id: String,
}

/// How much is kept, and how much was dropped since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCensus {
    /// Dialogs, running and ended.
    pub dialogs: usize,
    /// Bytes of all dialogs and of the waiting room.
    pub bytes: usize,
    /// Messages dropped because their dialog had no room.
    pub dropped_messages: u64,
    /// Dialogs dropped as a whole.
    pub dropped_dialogs: u64,
}

/// One message as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    /// Position in the order of all messages.
    number: u64,
    at: Instant,
    sent: bool,
    transport: Transport,
    peer: SocketAddr,
    /// Whether bytes at the end were not kept.
    cut: bool,
    bytes: Box<[u8]>,
}

impl Kept {
    /// Returns its bytes of memory.
    fn size(&self) -> usize {
        size_of::<Kept>() + self.bytes.len()
    }
}

/// The messages of one dialog: those of all INVITEs of one leg, including those to further destinations.
#[derive(Debug, Default)]
struct Conversation {
    /// Position in the order of all dialogs: of its begin, or once it has ended of its end.
    turn: u64,
    ended: bool,
    label: Option<TraceLabel>,
    call_ids: Vec<Box<[u8]>>,
    messages: VecDeque<Kept>,
    bytes: usize,
    dropped: u64,
}

impl Conversation {
    /// Memory in addition to that of its messages, including entries of the look-up tables.
    const OVERHEAD: usize = 512;

    fn size(&self) -> usize {
        Conversation::OVERHEAD + self.bytes
    }

    /// Returns its leg with its newest Call-ID; `None` while one of them is missing.
    fn named(&self) -> Option<NamedLeg> {
        let TraceLabel { call, leg, .. } = *self.label.as_ref()?;
        let call_id = String::from_utf8_lossy(self.call_ids.last()?).into_owned();
        Some(NamedLeg { call, leg, call_id })
    }
}

/// One leg of a call as it was kept: [`CallTrace::new`] makes a ladder of several.
#[derive(Clone, Debug)]
pub struct TracedLeg {
    label: TraceLabel,
    messages: Vec<Kept>,
    dropped: u64,
    running: bool,
}

/// The traces of all calls.
#[derive(Debug)]
pub struct Trace {
    level: TraceLevel,
    bounds: TraceBounds,
    dialogs: HashMap<DialogId, Conversation>,
    by_call_id: HashMap<Box<[u8]>, DialogId>,
    /// Dialogs by their turn: running ones, and ended ones, which are dropped first.
    running: BTreeMap<u64, DialogId>,
    ended: BTreeMap<u64, DialogId>,
    bytes: usize,
    /// Messages that may turn out to belong to a call, by a hash of their Call-ID.
    waiting: VecDeque<(u64, Kept)>,
    waiting_bytes: usize,
    hasher: RandomState,
    last: u64,
    dropped_messages: u64,
    dropped_dialogs: u64,
}

impl Trace {
    /// Creates an empty trace.
    pub fn new(level: TraceLevel, bounds: TraceBounds) -> Trace {
        Trace {
            level,
            bounds,
            dialogs: HashMap::new(),
            by_call_id: HashMap::new(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            bytes: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            hasher: RandomState::new(),
            last: 0,
            dropped_messages: 0,
            dropped_dialogs: 0,
        }
    }

    /// Returns whether messages are kept at all.
    pub fn is_on(&self) -> bool {
        self.level != TraceLevel::Off
    }

    /// Adds a message that arrived by `flow`.
    pub fn received(&mut self, flow: &Flow, bytes: &[u8], now: Instant) {
        if self.is_on() {
            self.take(false, flow, bytes, now, |_| None);
        }
    }

    /// Adds a message that is sent by `flow`. `dialog_of` returns the dialog of the INVITE that has a tag of ours. Returns the leg
    /// whose first message under this Call-ID it is.
    pub fn sent(
        &mut self,
        flow: &Flow,
        bytes: &[u8],
        now: Instant,
        dialog_of: impl FnOnce(&str) -> Option<DialogId>,
    ) -> Option<NamedLeg> {
        if self.is_on() { self.take(true, flow, bytes, now, dialog_of) } else { None }
    }

    /// Assigns the earlier messages of an incoming call to `dialog`.
    pub fn begins(&mut self, dialog: DialogId, call_id: &str) {
        if !self.is_on() || self.by_call_id.contains_key(call_id.as_bytes()) {
            // The call came back to us with its Call-ID unchanged: it stays with the leg that sent it.
            return;
        }
        self.open(dialog, call_id.as_bytes());
        let hash = self.hasher.hash_one(call_id.as_bytes());
        let mut n = 0;
        while n < self.waiting.len() {
            if self.waiting[n].0 == hash
                && let Some((_, kept)) = self.waiting.remove(n)
            {
                self.waiting_bytes -= kept.size();
                self.push(dialog, kept);
            } else {
                n += 1;
            }
        }
    }

    /// Sets the owner of a dialog. A dialog of ours may have sent nothing yet. Returns the leg if the dialog has a Call-ID already.
    pub fn label(&mut self, dialog: DialogId, label: TraceLabel) -> Option<NamedLeg> {
        if !self.is_on() {
            return None;
        }
        if dialog.is_outgoing() {
            self.open_unnamed(dialog);
        }
        let conversation = self.dialogs.get_mut(&dialog)?;
        conversation.label = Some(label);
        conversation.named()
    }

    /// Marks a dialog as ended. Later messages of it are kept too, until it is dropped.
    pub fn ends(&mut self, dialog: DialogId) {
        let Some(conversation) = self.dialogs.get_mut(&dialog).filter(|conversation| !conversation.ended) else {
            return;
        };
        self.running.remove(&conversation.turn);
        self.last += 1;
        (conversation.ended, conversation.turn) = (true, self.last);
        self.ended.insert(self.last, dialog);
    }

    /// Returns what is kept of a call, by leg.
    pub fn of_call(&self, call: CallId) -> Vec<TracedLeg> {
        let mut legs: Vec<_> = self
            .dialogs
            .values()
            .filter_map(|conversation| Some((conversation, conversation.label.as_ref()?)))
            .filter(|(_, label)| label.call == call)
            .map(|(conversation, label)| TracedLeg {
                label: label.clone(),
                messages: conversation.messages.iter().cloned().collect(),
                dropped: conversation.dropped,
                running: !conversation.ended,
            })
            .collect();
        legs.sort_by_key(|leg| leg.label.leg);
        legs
    }

    /// Returns how much is kept.
    pub fn census(&self) -> TraceCensus {
        TraceCensus {
            dialogs: self.dialogs.len(),
            bytes: self.bytes + self.waiting_bytes,
            dropped_messages: self.dropped_messages,
            dropped_dialogs: self.dropped_dialogs,
        }
    }

    fn take(
        &mut self,
        sent: bool,
        flow: &Flow,
        bytes: &[u8],
        now: Instant,
        dialog_of: impl FnOnce(&str) -> Option<DialogId>,
    ) -> Option<NamedLeg> {
        let bytes = bytes.trim_ascii_start();
        let call_id = header(bytes, &["call-id", "i"])?;
        let known = self.by_call_id.get(call_id).copied();
        let dialog = match known {
            None if !may_begin_call(bytes, sent) => return None,
            None => our_tag(bytes).filter(|_| sent).and_then(dialog_of),
            known => known,
        };
        self.last += 1;
        let (bytes, cut) = self.cut(bytes);
        let (number, transport, peer) = (self.last, flow.transport, flow.peer);
        let kept = Kept { number, at: now, sent, transport, peer, cut, bytes: bytes.into() };
        let Some(dialog) = dialog else {
            self.wait(self.hasher.hash_one(call_id), kept);
            return None;
        };
        let mut named = None;
        if known.is_none() {
            self.open(dialog, call_id);
            named = self.dialogs.get(&dialog).and_then(Conversation::named);
        }
        self.push(dialog, kept);
        named
    }

    /// Returns the part of a message that is kept, and whether bytes were cut off.
    fn cut<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let wanted = match self.level {
            TraceLevel::Full => bytes.len(),
            TraceLevel::Headers | TraceLevel::Off => end_of_headers(bytes),
        };
        let kept = wanted.min(self.bounds.message);
        (&bytes[..kept], kept < bytes.len())
    }

    fn wait(&mut self, hash: u64, kept: Kept) {
        self.waiting_bytes += kept.size();
        self.waiting.push_back((hash, kept));
        while self.waiting_bytes > self.bounds.waiting
            && let Some((_, kept)) = self.waiting.pop_front()
        {
            self.waiting_bytes -= kept.size();
        }
    }

    /// Assigns a Call-ID to a dialog.
    fn open(&mut self, dialog: DialogId, call_id: &[u8]) {
        self.open_unnamed(dialog);
        if let Some(conversation) = self.dialogs.get_mut(&dialog) {
            // The Call-ID is stored in both tables.
            conversation.bytes += 2 * call_id.len();
            self.bytes += 2 * call_id.len();
            conversation.call_ids.push(call_id.into());
            self.by_call_id.insert(call_id.into(), dialog);
        }
    }

    fn open_unnamed(&mut self, dialog: DialogId) {
        if self.dialogs.contains_key(&dialog) {
            return;
        }
        self.last += 1;
        let conversation = Conversation { turn: self.last, ..Conversation::default() };
        self.bytes += conversation.size();
        self.dialogs.insert(dialog, conversation);
        self.running.insert(self.last, dialog);
        self.make_room();
    }

    fn push(&mut self, dialog: DialogId, kept: Kept) {
        let Some(conversation) = self.dialogs.get_mut(&dialog) else { return };
        conversation.bytes += kept.size();
        self.bytes += kept.size();
        conversation.messages.push_back(kept);
        while (conversation.messages.len() > self.bounds.messages || conversation.bytes > self.bounds.dialog)
            && let Some(oldest) = conversation.messages.pop_front()
        {
            conversation.bytes -= oldest.size();
            self.bytes -= oldest.size();
            conversation.dropped += 1;
            self.dropped_messages += 1;
        }
        self.make_room();
    }

    /// Drops dialogs: ended ones first, in the order of their ends, then the oldest running ones.
    fn make_room(&mut self) {
        while self.bytes > self.bounds.total || self.dialogs.len() > self.bounds.dialogs {
            let Some((_, dialog)) = self.ended.pop_first().or_else(|| self.running.pop_first()) else { return };
            let Some(conversation) = self.dialogs.remove(&dialog) else { continue };
            for call_id in &conversation.call_ids {
                self.by_call_id.remove(call_id);
            }
            self.bytes -= conversation.size();
            self.dropped_dialogs += 1;
        }
    }
}

/// Returns the value of the first header with one of these names, in lower case; short forms are names of their own.
fn header<'a>(bytes: &'a [u8], names: &[&str]) -> Option<&'a [u8]> {
    let mut rest = bytes;
    loop {
        // The first line is the start line.
        rest = &rest[line_length(rest)?..];
        let first = rest.first()?.to_ascii_lowercase();
        if matches!(first, b'\r' | b'\n') {
            return None;
        }
        // The first letter rules out most lines.
        if !names.iter().any(|known| known.as_bytes().first() == Some(&first)) {
            continue;
        }
        let line = &rest[..line_length(rest).unwrap_or(rest.len())];
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = line[..colon].trim_ascii_end();
        if names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)) {
            return Some(line[colon + 1..].trim_ascii());
        }
    }
}

/// Returns the length of the first line with its end, if it has one.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n').map(|end| end + 1)
}

/// Returns the index after the empty line that ends the headers, or the length.
fn end_of_headers(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = line_length(&bytes[at..]) {
        at += length;
        match bytes[at..] {
            [b'\n', ..] => return at + 1,
            [b'\r', b'\n', ..] => return at + 2,
            _ => {}
        }
    }
    bytes.len()
}

/// Returns whether a message of no known call may belong to one that is about to begin, such as an INVITE that is
/// challenged. Other requests of strangers and unrequested responses do not.
fn may_begin_call(bytes: &[u8], sent: bool) -> bool {
    if bytes.starts_with(b"SIP/") {
        return sent && header(bytes, &["cseq"]).is_some_and(|cseq| cseq.ends_with(b"INVITE"));
    }
    bytes.starts_with(b"INVITE ") || bytes.starts_with(b"ACK ")
}

/// Returns the tag in From.
fn our_tag(bytes: &[u8]) -> Option<&str> {
    let from = std::str::from_utf8(header(bytes, &["from", "f"])?).ok()?;
    let (_, tag) = from.rsplit_once(";tag=")?;
    tag.split(';').next()
}

#[cfg(test)]
mod tests;
