//! The reading side: passes the captured inputs to a new switch and compares its outputs with the captured ones.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::BufRead;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::entry::{Entry, Line, Read, Start, VERSION, text_of};
use crate::error::ReplayError;
use crate::net::clock;
use crate::units::{ConferenceId, LegId};
use crate::worker::command::WorkerCommand;
use crate::worker::outbox::Output;
use crate::worker::switch::{Input, Slot, Socket, Switch};

/// Length of the longest line that is read, in bytes: a Play command of 120 s at 48 kHz.
const MAX_LINE: usize = 64 << 20;

/// The first output that differs from the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Line of the capture, counted from 1; 0 if the replay sent more than the capture contains.
    pub line: u64,
    /// Output according to the capture.
    pub written: String,
    /// Output of the replay.
    pub replayed: String,
}

/// Result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Datagrams, commands and timeouts passed in.
    pub inputs: u64,
    /// Datagrams that were sent byte for byte as captured.
    pub datagrams: u64,
    /// Events that were sent as captured.
    pub events: u64,
    /// Outputs of browser legs, and of legs that had heard them, which are not compared.
    pub uncompared: u64,
    /// Number of blocks missing from the capture; nothing is compared after the first gap.
    pub missing_blocks: u64,
    /// Time between the start and the last entry of the capture.
    pub span: Duration,
    /// First difference; `None` if the replay matched.
    pub difference: Option<Difference>,
}

/// Replays a capture and compares the outputs.
///
/// # Errors
/// Returns a [`ReplayError`] if the file cannot be read or is not a capture. A difference is not an error; the report
/// contains it.
pub fn replay(capture: impl BufRead) -> Result<Report, ReplayError> {
    let mut replay: Option<Replay> = None;
    for (index, text) in bounded_lines(capture).enumerate() {
        let line = index as u64 + 1;
        let text = text?;
        let malformed = |problem: String| ReplayError::Line { line, problem };
        if replay.is_none() {
            check_version(&text).map_err(malformed)?;
        }
        let Line::<Read> { at, entry } = serde_json::from_str(&text)
            .map_err(|error| malformed(format!("expected a line of a Tandem capture: {error}")))?;
        match (&mut replay, entry) {
            (None, Entry::Start(start)) => replay = Some(Replay::new(start, clock::now())),
            (None, _) => return Err(malformed("expected `start` as the first entry".into())),
            (Some(replay), entry) => replay.take(line, at, entry).map_err(malformed)?,
        }
    }
    let replay = replay.ok_or(ReplayError::Line { line: 1, problem: "the file is empty".into() })?;
    Ok(replay.finish())
}

/// Refuses a capture of another version by its first line, before the other fields are parsed, which may differ there.
/// Version 1 had the version beside `kind`.
fn check_version(first: &str) -> Result<(), String> {
    let line: serde_json::Value = serde_json::from_str(first).unwrap_or_default();
    match line.get("start").unwrap_or(&line).get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version != u64::from(VERSION) => Err(format!(
            "this capture has version {version}, and this program replays version {VERSION}: use the program that wrote it"
        )),
        _ => Ok(()),
    }
}

fn bounded_lines(mut from: impl BufRead) -> impl Iterator<Item = std::io::Result<String>> {
    std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        match std::io::Read::take(&mut from, MAX_LINE as u64).read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => Some(String::from_utf8(bytes).map_err(|error| std::io::Error::other(error.utf8_error()))),
            Err(error) => Some(Err(error)),
        }
    })
}

struct Replay {
    switch: Switch,
    base: Instant,
    report: Report,
    /// Outputs of the replay, from legs that are compared, that the capture has not confirmed yet.
    sent: VecDeque<String>,
    told: VecDeque<String>,
    taint: Taint,
    slots: HashMap<Slot, LegId>,
}

/// Legs whose outputs cannot be compared: those that a replay lacks (browser legs, and legs from another switch) and
/// all legs that have heard them, directly or through others.
#[derive(Default)]
struct Taint {
    absent: HashSet<LegId>,
    /// Legs in each conference.
    conferences: HashMap<ConferenceId, HashSet<LegId>>,
    tainted: HashSet<LegId>,
}

impl Replay {
    fn new(start: Start, base: Instant) -> Replay {
        let Start { seed, wall, shared, opus, .. } = start;
        Replay {
            switch: Switch::new(seed, shared, base, UNIX_EPOCH + Duration::from_nanos(wall)).with_opus(opus),
            base,
            report: Report::default(),
            sent: VecDeque::new(),
            told: VecDeque::new(),
            taint: Taint::default(),
            slots: HashMap::new(),
        }
    }

    fn take(&mut self, line: u64, at: u64, entry: Read) -> Result<(), String> {
        let span = Duration::from_nanos(at);
        let now = self.base.checked_add(span).ok_or("at: expected nanoseconds since the capture began")?;
        self.report.span = self.report.span.max(span);
        match entry {
            Entry::Start(_) => return Err("`start` appears twice".into()),
            Entry::Broken { blocks } => self.report.missing_blocks = blocks,
            Entry::Input(input) => {
                self.report.inputs += 1;
                self.apply(input, now);
            }
            Entry::Sent { slot, socket, to, bytes } => {
                if self.compares() && !self.is_tainted(slot) {
                    let replayed = self.sent.pop_front().unwrap_or("nothing".into());
                    let written = describe(slot, socket, to, &bytes);
                    self.compare(line, written, replayed, |report| &mut report.datagrams);
                } else {
                    self.report.uncompared += 1;
                }
            }
            Entry::Told { leg, event } => {
                if self.compares() && !self.taint.tainted.contains(&leg) {
                    let replayed = self.told.pop_front().unwrap_or("nothing".into());
                    self.compare(line, format!("{leg}: {event}"), replayed, |report| &mut report.events);
                } else {
                    self.report.uncompared += 1;
                }
                // Such a leg may have ended by itself; its slot is free for the next one.
                if self.taint.absent.contains(&leg) && event.starts_with("Closed") {
                    self.apply(WorkerCommand::LegClose { leg }.into(), now);
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, input: Input<'_>, now: Instant) {
        self.taint.follow(&input);
        let opens = match &input {
            Input::Open { leg, .. } | Input::OpenBrowser { leg, .. } | Input::Attach { leg, .. } => Some(*leg),
            _ => None,
        };
        let outcome = self.switch.handle(input, now);
        if let (Some(leg), Some(slot)) = (opens, outcome.slot()) {
            self.slots.insert(slot, leg);
        }
        self.drain();
    }

    fn compares(&self) -> bool {
        self.report.difference.is_none() && self.report.missing_blocks == 0
    }

    fn is_tainted(&self, slot: Slot) -> bool {
        self.slots.get(&slot).is_some_and(|leg| self.taint.tainted.contains(leg))
    }

    fn compare(&mut self, line: u64, written: String, replayed: String, count: fn(&mut Report) -> &mut u64) {
        if written == replayed {
            *count(&mut self.report) += 1;
        } else {
            self.report.difference = Some(Difference { line, written, replayed });
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { slot, socket, to, bytes } => {
                    if !self.slots.get(&slot).is_some_and(|leg| self.taint.tainted.contains(leg)) {
                        self.sent.push_back(describe(slot, socket, to, bytes));
                    }
                }
                Output::Event(_, event) => {
                    if !self.taint.tainted.contains(&event.leg) {
                        self.told.push_back(format!("{}: {}", event.leg, text_of(&event)));
                    }
                }
            }
        }
    }

    fn finish(mut self) -> Report {
        // Outputs that are left over are a difference, unless the comparison had stopped before.
        if self.compares()
            && let Some(replayed) = self.sent.pop_front()
        {
            let written = "nothing".into();
            self.report.difference = Some(Difference { line: 0, written, replayed });
        }
        self.report
    }
}

impl Taint {
    /// Tracks which legs will hear which others.
    fn follow(&mut self, input: &Input<'_>) {
        match input {
            Input::OpenBrowser { leg, .. } | Input::Attach { leg, .. } => {
                self.absent.insert(*leg);
                self.tainted.insert(*leg);
            }
            Input::Command(WorkerCommand::Bridge { a, b }) => self.spread([*a, *b].into()),
            Input::Command(WorkerCommand::ConferenceJoin { conference, leg, .. }) => {
                let members = self.conferences.entry(*conference).or_default();
                members.insert(*leg);
                let members = members.clone();
                self.spread(members);
            }
            Input::Command(WorkerCommand::ConferenceLeave { leg }) => {
                for members in self.conferences.values_mut() {
                    members.remove(leg);
                }
            }
            // A listener taints itself only: the overheard legs do not hear it.
            Input::Command(WorkerCommand::Overhear { leg, of }) if of.iter().any(|of| self.tainted.contains(of)) => {
                self.tainted.insert(*leg);
            }
            _ => {}
        }
    }

    /// Records that these legs hear each other.
    fn spread(&mut self, together: HashSet<LegId>) {
        if together.iter().any(|leg| self.tainted.contains(leg)) {
            self.tainted.extend(together);
        }
    }
}

fn describe(slot: Slot, socket: Socket, to: std::net::SocketAddr, bytes: &[u8]) -> String {
    format!("slot {} {socket:?} to {to}: {}", slot.0, hex::encode(bytes))
}
