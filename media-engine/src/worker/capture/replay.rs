//! The reading side: a fresh switch, the same inputs, and what left it compared with what is written.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::BufRead;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::entry::{Entry, Hex, Line, VERSION};
use crate::audio::tap::{TapReader, tap};
use crate::config::App;
use crate::error::ReplayError;
use crate::net::clock;
use crate::units::{ConferenceId, LegId, SampleRate};
use crate::worker::outbox::Output;
use crate::worker::switch::{Slot, Socket, Switch};

/// Longest line that is read: a Play command of 120 s at 48 kHz.
const MAX_LINE: usize = 64 << 20;

/// The first thing that left otherwise than it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Line of the capture, counted from 1; 0: the replay sent more than is written.
    pub line: u64,
    /// What is written.
    pub written: String,
    /// What the replay did.
    pub replayed: String,
}

/// What a replay showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Datagrams, commands and timeouts put in.
    pub inputs: u64,
    /// Datagrams that left, byte for byte as written.
    pub datagrams: u64,
    /// Events that were told as written.
    pub events: u64,
    /// What left browser legs, and legs that had heard them, which is not compared.
    pub uncompared: u64,
    /// Blocks that the capture lacks: from there on nothing is compared.
    pub missing_blocks: u64,
    /// Time that the capture spans.
    pub span: Duration,
    /// The first difference, if any.
    pub difference: Option<Difference>,
}

/// Replays a capture.
///
/// # Errors
/// [`ReplayError`] when the file cannot be read or is no capture. A difference is no error: it stands in the report.
pub fn replay(capture: impl BufRead) -> Result<Report, ReplayError> {
    let mut replay: Option<Replay> = None;
    for (index, text) in bounded_lines(capture).enumerate() {
        let line = index as u64 + 1;
        let text = text?;
        let malformed = |problem: String| ReplayError::Line { line, problem };
        let Line { at, entry } = serde_json::from_str(&text)
            .map_err(|error| malformed(format!("expected a line of a tandem capture: {error}")))?;
        match (&mut replay, entry) {
            (None, Entry::Start { version: VERSION, seed, wall, shared, opus }) => {
                let base = clock::now();
                let mut switch = Switch::new(seed, shared, base, UNIX_EPOCH + Duration::from_nanos(wall));
                switch.set_opus(opus.into());
                replay = Some(Replay::new(switch, base));
            }
            (None, Entry::Start { version, .. }) => {
                return Err(malformed(format!("version {version}; this program replays version {VERSION}")));
            }
            (None, _) => return Err(malformed("expected `start` first".into())),
            (Some(replay), entry) => replay.take(line, at, entry).map_err(malformed)?,
        }
    }
    let replay = replay.ok_or(ReplayError::Line { line: 1, problem: "the file is empty".into() })?;
    Ok(replay.finish())
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
    /// What left the replay, of legs that are compared, and is not written yet.
    sent: VecDeque<String>,
    told: VecDeque<String>,
    /// Readers of taps, so that taps go on as they did.
    readers: HashMap<u64, VecDeque<TapReader>>,
    browsers: HashSet<u64>,
    /// Legs in each conference.
    conferences: HashMap<u64, HashSet<u64>>,
    /// Browser legs, and all that has heard them, or one who had.
    tainted: HashSet<u64>,
    slots: HashMap<u32, u64>,
}

impl Replay {
    fn new(switch: Switch, base: Instant) -> Replay {
        Replay {
            switch,
            base,
            report: Report::default(),
            sent: VecDeque::new(),
            told: VecDeque::new(),
            readers: HashMap::new(),
            browsers: HashSet::new(),
            conferences: HashMap::new(),
            tainted: HashSet::new(),
            slots: HashMap::new(),
        }
    }

    fn take(&mut self, line: u64, at: u64, entry: Entry) -> Result<(), String> {
        let span = Duration::from_nanos(at);
        let now = self.base.checked_add(span).ok_or("`at` is beyond all time")?;
        self.report.span = self.report.span.max(span);
        match entry {
            Entry::Broken { blocks } => self.report.missing_blocks = blocks,
            Entry::Sent { slot, socket, to, bytes: Hex(bytes) } => {
                if self.compares() && !self.is_tainted(slot) {
                    let replayed = self.sent.pop_front().unwrap_or("nothing".into());
                    let written = describe(slot, socket.into(), to, &bytes);
                    self.compare(line, written, replayed, |report| &mut report.datagrams);
                } else {
                    self.report.uncompared += 1;
                }
            }
            Entry::Told { leg, event } => {
                if self.compares() && !self.tainted.contains(&leg) {
                    let replayed = self.told.pop_front().unwrap_or("nothing".into());
                    self.compare(line, format!("leg {leg}: {event}"), replayed, |report| &mut report.events);
                } else {
                    self.report.uncompared += 1;
                }
                // A browser may leave of its own accord, and its place is free for the next leg.
                if self.browsers.contains(&leg) && event.starts_with("Closed") {
                    self.switch.leg_close(LegId(leg), now);
                    self.drain();
                }
            }
            input => {
                self.report.inputs += 1;
                self.put_in(input, now)?;
                self.drain();
            }
        }
        Ok(())
    }

    fn compares(&self) -> bool {
        self.report.difference.is_none() && self.report.missing_blocks == 0
    }

    fn is_tainted(&self, slot: u32) -> bool {
        self.slots.get(&slot).is_some_and(|leg| self.tainted.contains(leg))
    }

    /// What has heard a browser, or one who had, sounds otherwise without it: so does whoever hears that from here on.
    fn taint(&mut self, together: &[u64]) {
        if together.iter().any(|leg| self.tainted.contains(leg)) {
            self.tainted.extend(together);
        }
    }

    fn compare(&mut self, line: u64, written: String, replayed: String, count: fn(&mut Report) -> &mut u64) {
        if written == replayed {
            *count(&mut self.report) += 1;
        } else {
            self.report.difference = Some(Difference { line, written, replayed });
        }
    }

    fn put_in(&mut self, entry: Entry, now: Instant) -> Result<(), String> {
        let switch = &mut self.switch;
        match entry {
            Entry::Datagram { slot, socket, from, bytes: Hex(mut bytes) } => match socket.into() {
                Socket::Shared(at) => switch.handle_shared_datagram(at, from, &mut bytes, now),
                socket => switch.handle_datagram(Slot(slot), socket, from, &mut bytes, now),
            },
            Entry::Timeout => switch.handle_timeout(now),
            Entry::Open { leg, audio, nat } => {
                let audio = audio.map(|audio| audio.audio().ok_or("audio that cannot be agreed on")).transpose()?;
                let slot = switch.leg_open_rtp(LegId(leg), audio, nat, now);
                self.slots.insert(slot.0, leg);
            }
            Entry::OpenBrowser { leg } => {
                let slot = switch.leg_open_absent(LegId(leg), now);
                self.slots.insert(slot.0, leg);
                self.browsers.insert(leg);
                self.tainted.insert(leg);
            }
            Entry::Update { leg, audio } => {
                switch.rtp_update(LegId(leg), audio.audio().ok_or("audio that cannot be agreed on")?, now);
            }
            Entry::Bridge { a, b } => {
                self.taint(&[a, b]);
                self.switch.bridge(LegId(a), LegId(b), now);
            }
            Entry::Unbridge { leg } => switch.unbridge(LegId(leg), now),
            Entry::App { leg, app } => switch.app(LegId(leg), app.map(App::from), now),
            Entry::Tap { leg } => {
                let (writer, reader) = tap(1);
                self.readers.entry(leg).or_default().push_back(reader);
                switch.tap(LegId(leg), writer, now);
            }
            Entry::Untap { leg, kept } => {
                let readers = self.readers.entry(leg).or_default();
                while readers.len() > kept {
                    readers.pop_front();
                }
                switch.untap(LegId(leg), now);
            }
            Entry::Play { leg, segment, hz, samples, last } => {
                let rate = SampleRate::from_hz(hz).ok_or("unknown sample rate")?;
                switch.play(LegId(leg), segment, rate, samples.into(), last, now);
            }
            Entry::StopPlay { leg, segment } => switch.stop_play(LegId(leg), segment, now),
            Entry::Mute { leg, muted } => switch.mute(LegId(leg), muted, now),
            Entry::Press { leg, digit, duration_ms } => switch.send_dtmf(LegId(leg), digit, duration_ms, now),
            Entry::Join { conference, leg, role } => {
                let members = self.conferences.entry(conference).or_default();
                members.insert(leg);
                let members: Vec<u64> = members.iter().copied().collect();
                self.taint(&members);
                self.switch.conference_join(ConferenceId(conference), LegId(leg), role.into(), now);
            }
            Entry::Gain { from, to, gain } => switch.conference_gain(LegId(from), LegId(to), gain),
            Entry::Leave { leg } => {
                for members in self.conferences.values_mut() {
                    members.remove(&leg);
                }
                switch.conference_leave(LegId(leg), now);
            }
            Entry::Overhear { leg, of } => {
                // Whom it overhears does not hear it.
                if of.iter().any(|other| self.tainted.contains(other)) {
                    self.tainted.insert(leg);
                }
                let of: Vec<LegId> = of.into_iter().map(LegId).collect();
                self.switch.overhear(LegId(leg), &of, now);
            }
            Entry::DeadAfter { leg, ms } => switch.media_timeout(LegId(leg), ms.map(Duration::from_millis), now),
            Entry::Effort { complexity } => switch.set_effort(complexity),
            Entry::Close { leg } => switch.leg_close(LegId(leg), now),
            Entry::Fail { leg, why } => switch.leg_fail(LegId(leg), why, now),
            Entry::Start { .. } => return Err("`start` a second time".into()),
            Entry::Broken { .. } | Entry::Sent { .. } | Entry::Told { .. } => {}
        }
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { slot, socket, to, bytes } => {
                    let tainted = self.slots.get(&slot.0).is_some_and(|leg| self.tainted.contains(leg));
                    if !tainted {
                        self.sent.push_back(describe(slot.0, socket, to, bytes));
                    }
                }
                Output::Event(_, event) => {
                    if let Entry::Told { leg, event } = Entry::told(&event)
                        && !self.tainted.contains(&leg)
                    {
                        self.told.push_back(format!("leg {leg}: {event}"));
                    }
                }
            }
        }
    }

    fn finish(mut self) -> Report {
        // What is left over counts only where it could have been written: a capture cut short is no such place.
        if self.compares()
            && let Some(replayed) = self.sent.pop_front()
        {
            let written = "nothing".into();
            self.report.difference = Some(Difference { line: 0, written, replayed });
        }
        self.report
    }
}

fn describe(slot: u32, socket: Socket, to: std::net::SocketAddr, bytes: &[u8]) -> String {
    format!("slot {slot} {socket:?} to {to}: {}", hex::encode(bytes))
}
