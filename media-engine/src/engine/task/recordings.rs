//! Carries out what the machine says of recordings (`call::recording`).
//!
//! ```text
//!   Effect::Record ─▶ begin · attach and detach legs · pause · finish ─▶ recorder
//!   recorder ─ PartReport ─▶ EventKind::Recording, RecordingSeated ─ no more ─▶ on_recording_over
//! ```
//!
//! Invariant: a leg has a tap in a recording exactly while the machine names it there.

use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use codecs::SampleRate;

use super::CallTask;
use crate::call::{Input, Recorded};
use crate::engine::command::CommandError;
use crate::engine::consumers;
use crate::engine::event::{EventKind, LegRole, RecordingChannel, RecordingPart, RecordingState};
use crate::net::clock;
use crate::record_io::{ChannelReport, Joining, NewRecording, PartReport, PartState, Recording};
use crate::units::LegId;

/// How long the disk may take to seal recordings when their call is over.
const SEALING: Duration = Duration::from_secs(2);

/// A recording and what is known of it.
pub(super) struct CallRecording {
    number: u32,
    /// The leg that it is of.
    of: Option<LegId>,
    recording: Recording,
    /// When its first sample was.
    began: SystemTime,
    /// Who is recorded now.
    legs: Vec<LegId>,
    /// Who has ever been.
    people: Vec<Person>,
    paused: bool,
    /// The part that is being written.
    open: Option<RecordingPart>,
    /// Audio in the parts that have ended.
    duration_ms: u64,
    /// Why it ended too early.
    fault: Option<String>,
    /// It was told to end.
    is_ending: bool,
}

/// Who is behind a leg.
struct Person {
    leg: LegId,
    role: LegRole,
    peer: String,
    agent: Option<String>,
}

/// A recording that has ended, with all its files on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordingOver {
    /// Its number in the call.
    pub(super) number: u32,
    /// The leg that it was of; `None`: everybody.
    pub(super) leg: Option<LegId>,
    /// Audio in its files, pauses included.
    pub(super) duration_ms: u64,
    /// Why it ended too early.
    pub(super) fault: Option<String>,
}

impl CallRecording {
    /// Has it sealed. Where the writer is overloaded that comes later: when it is dropped.
    fn end(&mut self) {
        if std::mem::replace(&mut self.is_ending, true) {
            return;
        }
        if let Err(error) = self.recording.finish() {
            tracing::error!(number = self.number, %error, "a recording is not ended in time");
        }
    }

    /// A part as it is told: with people and times.
    fn part(&self, part: u32, channels: Vec<ChannelReport>) -> RecordingPart {
        let channel = |ChannelReport { channel, leg, from, until }: ChannelReport| {
            let person = self.people.iter().find(|person| person.leg == leg)?;
            let Person { role, peer, agent, .. } = person;
            let (from, until) = (self.began + from, until.map(|until| self.began + until));
            Some(RecordingChannel { channel, leg, role: *role, peer: peer.clone(), agent: agent.clone(), from, until })
        };
        let channels = channels.into_iter().filter_map(channel).collect();
        RecordingPart { number: self.number, of: self.of, part, channels }
    }
}

impl CallTask {
    /// Starts a recording of everybody, or of one leg alone; its number in the call.
    ///
    /// # Errors
    /// [`CommandError::NoLeg`], or [`CommandError::Conflict`] where the call's state allows none.
    pub(super) async fn record_start(&mut self, leg: Option<LegId>) -> Result<u32, CommandError> {
        let input = Input::Record { leg };
        self.call.check(&input)?;
        let number = self.call.next_recording();
        self.handle(input).await;
        Ok(number)
    }

    /// Pauses a recording, or lets it go on.
    ///
    /// # Errors
    /// [`CommandError::NoRecording`].
    pub(super) async fn record_pause(&mut self, number: u32, on: bool) -> Result<(), CommandError> {
        let input = Input::RecordPause { number, on };
        self.call.check(&input)?;
        self.handle(input).await;
        Ok(())
    }

    /// Ends a recording. [`Self::on_recording_over`] follows when its file is on the disk.
    ///
    /// # Errors
    /// [`CommandError::NoRecording`].
    pub(super) async fn record_stop(&mut self, number: u32) -> Result<(), CommandError> {
        let input = Input::RecordStop { number };
        self.call.check(&input)?;
        self.handle(input).await;
        Ok(())
    }

    /// A recording has ended: by a verb, with its leg, by a fault, or with the call.
    fn on_recording_over(&mut self, over: &RecordingOver) {
        let RecordingOver { number, leg, duration_ms, fault } = over;
        tracing::debug!(call = %self.id, number, ?leg, duration_ms, ?fault, "a recording has ended");
    }

    /// What runs from now on, and whom it takes.
    pub(super) fn on_record(&mut self, recorded: Vec<Recorded>) {
        let now = clock::now();
        for recording in &mut self.recordings {
            if recorded.iter().all(|wanted| wanted.number != recording.number) {
                recording.end();
            }
        }
        for wanted in recorded {
            match self.recordings.iter().position(|recording| recording.number == wanted.number) {
                Some(at) => self.follow_recorded(at, &wanted, now),
                None => self.begin_recording(&wanted, now),
            }
        }
    }

    fn begin_recording(&mut self, Recorded { number, of, paused, legs }: &Recorded, start: Instant) {
        let wide = self.legs.iter().any(|leg| leg.codec == Some("opus"));
        let rate = if wide { SampleRate::HZ_16000 } else { SampleRate::HZ_8000 };
        let began = clock::system_now();
        let least = if of.is_some() { 1 } else { 2 };
        let (joining, people): (Vec<Joining>, Vec<Person>) =
            legs.iter().filter_map(|leg| self.join_recording(*leg)).unzip();
        let new = NewRecording { name: self.recording_name(*number), rate, start, least, legs: joining };
        let (number, of, legs) = (*number, *of, people.iter().map(|person| person.leg).collect());
        match self.shared.recorder.begin(new) {
            Ok(recording) => self.recordings.push(CallRecording {
                number,
                of,
                recording,
                began,
                legs,
                people,
                paused: *paused,
                open: None,
                duration_ms: 0,
                fault: None,
                is_ending: false,
            }),
            Err(error) => {
                let part = RecordingPart { number, of, part: 1, channels: Vec::new() };
                self.tell_unrecorded(part, error.to_string(), began);
                self.pending.push_back(Input::RecordStop { number });
                let fault = Some(error.to_string());
                self.on_recording_over(&RecordingOver { number, leg: of, duration_ms: 0, fault });
            }
        }
    }

    /// A tap on a leg for a recording, and who it is.
    fn join_recording(&self, leg: LegId) -> Option<(Joining, Person)> {
        let of = self.leg(leg)?;
        let person = Person { leg, role: of.role, peer: of.peer.clone(), agent: of.agent().map(str::to_owned) };
        match consumers::record_leg(&self.worker, (leg, of.media()?), of.role) {
            Ok(joining) => Some((joining, person)),
            Err(note) => {
                tracing::error!(call = %self.id, %leg, note, "a leg is not recorded");
                None
            }
        }
    }

    /// Whom a recording that runs takes from now on, and whether it takes anything.
    fn follow_recorded(&mut self, at: usize, Recorded { number, paused, legs, .. }: &Recorded, now: Instant) {
        let is_new = |leg: &&LegId| !self.recordings[at].legs.contains(leg);
        let new: Vec<(Joining, Person)> =
            legs.iter().filter(is_new).filter_map(|leg| self.join_recording(*leg)).collect();
        let running = &mut self.recordings[at];
        let mut outcome = Ok(());
        for leg in running.legs.extract_if(.., |leg| !legs.contains(leg)) {
            outcome = outcome.and(running.recording.detach(leg, now));
        }
        for (joining, person) in new {
            running.legs.push(joining.leg);
            running.people.retain(|known| known.leg != joining.leg);
            running.people.push(person);
            outcome = outcome.and(running.recording.attach(joining, now));
        }
        if running.paused != *paused {
            running.paused = *paused;
            outcome = outcome.and(running.recording.pause(*paused, now));
            self.shared.tell(Some(self.id), EventKind::RecordingPaused { number: *number, paused: *paused });
        }
        if let Err(error) = outcome {
            tracing::error!(call = %self.id, number, %error, "a recording does not follow its call");
        }
    }

    /// A leg goes to another call: nothing more of it is recorded here.
    pub(super) fn leave_recordings(&mut self, leg: LegId) {
        let now = clock::now();
        for recording in &mut self.recordings {
            for leg in recording.legs.extract_if(.., |recorded| *recorded == leg) {
                if let Err(error) = recording.recording.detach(leg, now) {
                    tracing::error!(call = %self.id, %leg, %error, "a recording does not let go of a leg");
                }
            }
        }
    }

    /// Tells what became of a part of a recording; `None`: there is nothing more of it.
    pub(super) async fn on_recorded(&mut self, number: u32, report: Option<PartReport>) {
        let Some(at) = self.recordings.iter().position(|recording| recording.number == number) else { return };
        let Some(report) = report else {
            let CallRecording { of, duration_ms, fault, .. } = self.recordings.remove(at);
            return self.on_recording_over(&RecordingOver { number, leg: of, duration_ms, fault });
        };
        let is_interrupted = self.tell_recorded(at, report);
        // Nothing more of it is written, so that it need not be stopped.
        if is_interrupted && self.call.check(&Input::RecordStop { number }).is_ok() {
            self.handle(Input::RecordStop { number }).await;
        }
    }

    /// Whether the part has ended before its time. A part begins when its first sample was, not when its file was made.
    fn tell_recorded(&mut self, at: usize, report: PartReport) -> bool {
        let PartReport { part, path, state, offset, duration_ms, channels } = report;
        let recording = &mut self.recordings[at];
        let part = recording.part(part, channels);
        let is_open = matches!(state, PartState::Started | PartState::Seated);
        recording.open = is_open.then(|| part.clone());
        if !is_open {
            recording.duration_ms += duration_ms;
        }
        let (state, at) = match state {
            PartState::Seated => {
                self.shared.tell(Some(self.id), EventKind::RecordingSeated(part));
                return false;
            }
            PartState::Started => (RecordingState::Started, recording.began + offset),
            PartState::Finished => (RecordingState::Finished, clock::system_now()),
            PartState::Interrupted(note) => {
                recording.fault = Some(note.clone());
                (RecordingState::Interrupted(note), clock::system_now())
            }
        };
        let is_interrupted = matches!(state, RecordingState::Interrupted(_));
        self.shared.tell_at(at, Some(self.id), EventKind::Recording { part, path, state, duration_ms });
        is_interrupted
    }

    /// Seals the recordings and tells of their last parts. A writer that hangs on its disk is not waited for longer than 2 s.
    pub(super) async fn finish_recordings(&mut self) {
        self.recordings.iter_mut().for_each(CallRecording::end);
        let deadline = tokio::time::Instant::now() + SEALING;
        while !self.recordings.is_empty() {
            let next = tokio::time::timeout_at(deadline, next_recorded(&mut self.recordings)).await;
            let Ok((number, report)) = next else { break };
            let Some(at) = self.recordings.iter().position(|recording| recording.number == number) else { break };
            match report {
                Some(report) => {
                    self.tell_recorded(at, report);
                }
                None => {
                    let CallRecording { of, duration_ms, fault, .. } = self.recordings.remove(at);
                    self.on_recording_over(&RecordingOver { number, leg: of, duration_ms, fault });
                }
            }
        }
        let note = "the disk did not answer within 2 s";
        for CallRecording { number, of, open, duration_ms, .. } in std::mem::take(&mut self.recordings) {
            if let Some(part) = open {
                self.tell_unrecorded(part, note.into(), clock::system_now());
            }
            self.on_recording_over(&RecordingOver { number, leg: of, duration_ms, fault: Some(note.into()) });
        }
    }

    fn tell_unrecorded(&self, part: RecordingPart, note: String, at: SystemTime) {
        let name = self.recording_name(part.number);
        let name = if part.part == 1 { format!("{name}.wav") } else { format!("{name}.{}.wav", part.part) };
        let path = self.shared.config.record_dir.join(name);
        let state = RecordingState::Interrupted(note);
        self.shared.tell_at(at, Some(self.id), EventKind::Recording { part, path, state, duration_ms: 0 });
    }

    /// What the files of a recording are called, but for their end.
    fn recording_name(&self, number: u32) -> String {
        match number {
            1 => self.id.to_string(),
            number => format!("{}.r{number}", self.id),
        }
    }
}

/// The next report of a recording, by its number; `None`: there is nothing more of it. Never without one.
pub(super) async fn next_recorded(recordings: &mut [CallRecording]) -> (u32, Option<PartReport>) {
    std::future::poll_fn(|context| {
        for recording in &mut *recordings {
            if let Poll::Ready(report) = recording.recording.poll_report(context) {
                return Poll::Ready((recording.number, report));
            }
        }
        Poll::Pending
    })
    .await
}
