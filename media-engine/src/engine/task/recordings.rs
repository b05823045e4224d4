//! Carries out the machine's decisions about recordings (`call::recording`).
//!
//! Files are written by `record_io`, one for each part; this file joins its reports with the people behind the legs.
//!
//! ```text
//!   Effect::Record ─▶ begin · attach and detach legs · pause · finish ─▶ recorder
//!   recorder ─ PartReport ─▶ EventKind::Recording, RecordingSeated ─ no more ─▶ on_recording_over
//! ```
//!
//! Invariant: a leg has a tap in a recording exactly while the machine names it there. Not here: the choice of what is recorded
//! (`call::recording`, `listening`), and the writing of files (`record_io`).

use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use codecs::SampleRate;

use super::CallTask;
use crate::call::{Input, Recorded};
use crate::engine::command::CommandError;
use crate::engine::consumers;
use crate::engine::event::{EventKind, LegRole, RecordingChannel, RecordingPart, RecordingState};
use crate::net::clock;
use crate::record_io::{ChannelReport, Joining, NewRecording, PartReport, PartState, Recording, Reserved, Track};
use crate::units::LegId;

/// Time for the disk to seal recordings after their call has ended.
const SEALING: Duration = Duration::from_secs(2);

/// A recording with its legs and parts.
pub(super) struct CallRecording {
    number: u32,
    /// Leg that the recording is of; `None`: all legs.
    of: Option<LegId>,
    recording: Recording,
    /// Time of its first sample.
    began: SystemTime,
    /// Legs that are recorded now.
    legs: Vec<LegId>,
    /// People who are or were recorded.
    people: Vec<Person>,
    paused: bool,
    /// Part that is being written.
    open: Option<RecordingPart>,
    /// Audio in the parts that have ended, in milliseconds.
    duration_ms: u64,
    /// Reason why it ended too early.
    fault: Option<String>,
    /// It has been told to end.
    is_ending: bool,
}

/// The person behind a leg.
struct Person {
    leg: LegId,
    role: LegRole,
    peer: String,
    agent: Option<String>,
}

/// A recording that has ended, with all its files on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordingOver {
    /// Number of the recording in the call.
    pub(super) number: u32,
    /// Leg that it was of; `None`: all legs.
    pub(super) leg: Option<LegId>,
    /// Audio in its files in milliseconds, including pauses.
    pub(super) duration_ms: u64,
    /// Reason why it ended too early.
    pub(super) fault: Option<String>,
}

impl CallRecording {
    /// Has the recording sealed. If the writer is overloaded, that happens when the recording is dropped.
    fn end(&mut self) {
        if std::mem::replace(&mut self.is_ending, true) {
            return;
        }
        if let Err(error) = self.recording.finish() {
            tracing::error!(number = self.number, %error, "a recording could not be ended in time");
        }
    }

    /// Returns a part as it is reported: with people and times.
    fn part(&self, part: u32, channels: Vec<ChannelReport>) -> RecordingPart {
        let channel = |ChannelReport { channel, track: Track { leg, heard }, from, until }: ChannelReport| {
            let person = self.people.iter().find(|person| person.leg == leg)?;
            let Person { role, peer, agent, .. } = person;
            let (from, until) = (self.began + from, until.map(|until| self.began + until));
            let (role, peer, agent) = (*role, peer.clone(), agent.clone());
            Some(RecordingChannel { channel, leg, heard, role, peer, agent, from, until })
        };
        let channels = channels.into_iter().filter_map(channel).collect();
        RecordingPart { number: self.number, of: self.of, part, channels }
    }
}

impl CallTask {
    /// Starts a recording of all legs or of one leg, and returns its number in the call. `heard`: what they hear is recorded too.
    ///
    /// # Errors
    /// [`CommandError::NoLeg`], or [`CommandError::Conflict`] if the call's state allows no recording.
    pub(super) async fn record_start(&mut self, leg: Option<LegId>, heard: bool) -> Result<u32, CommandError> {
        let input = Input::Record { leg, heard };
        self.call.check(&input)?;
        let number = self.call.next_recording();
        self.handle(input).await;
        Ok(number)
    }

    /// Pauses or resumes a recording.
    ///
    /// # Errors
    /// [`CommandError::NoRecording`] if it is not running.
    pub(super) async fn record_pause(&mut self, number: u32, on: bool) -> Result<(), CommandError> {
        let input = Input::RecordPause { number, on };
        self.call.check(&input)?;
        self.handle(input).await;
        Ok(())
    }

    /// Ends a recording. [`Self::on_recording_over`] follows when its file is on the disk.
    ///
    /// # Errors
    /// [`CommandError::NoRecording`] if it is not running.
    pub(super) async fn record_stop(&mut self, number: u32) -> Result<(), CommandError> {
        let input = Input::RecordStop { number };
        self.call.check(&input)?;
        self.handle(input).await;
        Ok(())
    }

    /// Reports a recording that has ended: by a verb, with its leg, by a fault, or with the call.
    fn on_recording_over(&mut self, over: &RecordingOver) {
        let RecordingOver { number, leg, duration_ms, fault } = over;
        tracing::debug!(call = %self.id, number, ?leg, duration_ms, ?fault, "a recording has ended");
        self.program_recorded(over);
    }

    /// Applies the machine's list of running recordings and their legs.
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

    fn begin_recording(&mut self, Recorded { number, of, heard, paused, legs }: &Recorded, start: Instant) {
        let wide = self.legs.iter().any(|leg| leg.codec == Some("opus"));
        let rate = if wide { SampleRate::HZ_16000 } else { SampleRate::HZ_8000 };
        let began = clock::system_now();
        let said = if of.is_some() { 1 } else { 2 };
        let reserved = Reserved { said, heard: if *heard { said } else { 0 } };
        let (joining, people): (Vec<Joining>, Vec<Person>) =
            legs.iter().filter_map(|leg| self.join_recording(*leg, *heard)).unzip();
        let new = NewRecording { name: self.recording_name(*number), rate, start, reserved, legs: joining };
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

    /// Opens the taps on a leg for a recording, and describes the person behind it.
    fn join_recording(&self, leg: LegId, heard: bool) -> Option<(Joining, Person)> {
        let of = self.leg(leg)?;
        let person = Person { leg, role: of.role, peer: of.peer.clone(), agent: of.agent().map(str::to_owned) };
        match consumers::record_leg(&self.worker, (leg, of.media()?), of.role, heard) {
            Ok(joining) => Some((joining, person)),
            Err(note) => {
                tracing::error!(call = %self.id, %leg, note, "a leg is not recorded");
                None
            }
        }
    }

    /// Changes the legs of a running recording, and pauses or resumes it.
    fn follow_recorded(&mut self, at: usize, Recorded { number, heard, paused, legs, .. }: &Recorded, now: Instant) {
        let is_new = |leg: &&LegId| !self.recordings[at].legs.contains(leg);
        let new: Vec<(Joining, Person)> =
            legs.iter().filter(is_new).filter_map(|leg| self.join_recording(*leg, *heard)).collect();
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
            tracing::error!(call = %self.id, number, %error, "a recording could not follow a change of its call");
        }
    }

    /// Takes a leg that goes to another call out of all recordings.
    pub(super) fn leave_recordings(&mut self, leg: LegId) {
        let now = clock::now();
        for recording in &mut self.recordings {
            for leg in recording.legs.extract_if(.., |recorded| *recorded == leg) {
                if let Err(error) = recording.recording.detach(leg, now) {
                    tracing::error!(call = %self.id, %leg, %error, "a leg could not be taken out of a recording");
                }
            }
        }
    }

    /// Reports a change of a part of a recording; `None`: the recording has ended.
    pub(super) async fn on_recorded(&mut self, number: u32, report: Option<PartReport>) {
        let Some(at) = self.recordings.iter().position(|recording| recording.number == number) else { return };
        let Some(report) = report else {
            let CallRecording { of, duration_ms, fault, .. } = self.recordings.remove(at);
            return self.on_recording_over(&RecordingOver { number, leg: of, duration_ms, fault });
        };
        let is_interrupted = self.tell_recorded(at, report);
        // An interrupted recording writes nothing more, and must not be stopped again.
        if is_interrupted && self.call.check(&Input::RecordStop { number }).is_ok() {
            self.handle(Input::RecordStop { number }).await;
        }
    }

    /// Reports a part, and returns whether it was interrupted. A part begins with its first sample, not with the creation of its
    /// file.
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

    /// Seals the recordings and reports their last parts. A writer that hangs on its disk delays the end by at most 2 s.
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

    /// Returns the name of a recording's files, without the extension.
    fn recording_name(&self, number: u32) -> String {
        match number {
            1 => self.id.to_string(),
            number => format!("{}.r{number}", self.id),
        }
    }
}

/// Returns the next report of a recording, with its number; `None`: the recording has ended. Waits forever if there is no
/// recording.
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
