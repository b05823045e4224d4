//! Recordings of a call program: a message of its caller, which ends by itself, and recordings that continue beside the program.
//!
//! ```text
//! beep ─▶ record_start (that leg only) ─▶ tap ─▶ Vad: silent for too long ──┐
//!                                           └──▶ keys in the sound          ├─▶ record_stop ─▶ on_recording_over ─▶ RecordEnded
//!                                    telephone-event, INFO: the finish key ─┤
//!                                                            maximum length ┘
//! ```
//!
//! The message of a caller who has hung up ends when its file is complete. Not here: the files themselves (`recordings`).

use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::dtmf::{DtmfDetector, DtmfEvent};
use codecs::vad::Vad;

use super::CallTask;
use super::program::Doing;
use super::prompts::Owner;
use super::recordings::RecordingOver;
use crate::audio::tap::TapReader;
use crate::call::KeyWay;
use crate::call::script::{Input, MessageRules, RecordEnd, Ticket};
use crate::engine::consumers;
use crate::engine::prompt::Sound;
use crate::net::clock;
use crate::units::LegId;
use crate::worker::WorkerRequest;

/// Interval at which the tap of a message is emptied.
const LISTEN: Duration = Duration::from_millis(20);
/// Capacity of that tap in frames: one second.
const TAP: usize = 50;
/// Frequency and length of the beep before a message.
const BEEP_HZ: u16 = 1_000;
const BEEP_MS: u32 = 300;

/// A message that is being recorded.
pub(super) struct Message {
    /// Leg whose message it is.
    leg: LegId,
    /// Number of its recording.
    number: u32,
    rules: MessageRules,
    media: LegId,
    /// Tap on the leg's audio; `None`: it has been closed.
    tap: Option<TapReader>,
    /// Detector of speech.
    vad: Option<(SampleRate, Vad)>,
    /// Detector of keys, if they come in the sound.
    keys: Option<DtmfDetector>,
    hears_keys: bool,
    /// Time at which the silence is too long, unless the caller speaks before.
    silent_at: Instant,
    longest_at: Instant,
    look_at: Instant,
    /// Reason for the end; `None` while the message continues.
    end: Option<RecordEnd>,
    /// The recording has been told to end.
    is_ending: bool,
}

impl Message {
    /// Returns the keys that have come since the last look, with how long they were held.
    fn listen(&mut self, now: Instant) -> Vec<(char, u32)> {
        let mut keys = Vec::new();
        self.look_at = now + LISTEN;
        while let Some(item) = self.tap.as_mut().and_then(TapReader::pop) {
            let rate = item.frame.rate;
            if self.vad.as_ref().is_none_or(|(known, _)| *known != rate) {
                self.vad = Some((rate, Vad::new(rate)));
                self.keys = self.hears_keys.then(|| DtmfDetector::new(rate));
            }
            if self.vad.as_mut().is_some_and(|(_, vad)| vad.push(item.frame.samples())) {
                self.silent_at = now + self.rules.silence;
            }
            if let Some(detector) = &mut self.keys {
                detector.push(item.frame.samples(), |event| {
                    if let DtmfEvent::Ended { digit, duration_ms } = event {
                        keys.push((digit, duration_ms));
                    }
                });
            }
        }
        keys
    }

    /// Returns when the tap is due to be emptied; `None`: the message is ending.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.end.is_none().then_some(self.look_at)
    }

    /// Returns the number of the recording that is to be ended now; only once.
    pub(super) fn take_end(&mut self) -> Option<u32> {
        (self.end.is_some() && !std::mem::replace(&mut self.is_ending, true)).then_some(self.number)
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Ends the message, unless it is ending already.
    fn end(&mut self, why: RecordEnd) {
        self.end.get_or_insert(why);
    }
}

impl CallTask {
    /// Starts a message of the leg, with its beep if it has one.
    pub(super) async fn program_takes_message(&mut self, ticket: Ticket, leg: LegId, rules: MessageRules) {
        if !self.settings.record_app {
            tracing::info!(call = %self.id, %leg, "the call program cannot record: recording is switched off");
            return self.program_record_failed(ticket);
        }
        let beep = || Sound::Tone { hz: vec![BEEP_HZ], duration_ms: BEEP_MS };
        if rules.beep
            && let Ok(play) = self.play(Some(leg), beep(), Owner::Program)
            && self.prompts.is_playing(play)
        {
            return self.programs.open(ticket, Doing::Beep { play, rules });
        }
        self.record_message(ticket, leg, rules).await;
    }

    /// Starts the recording of a message once no beep is left to be heard.
    pub(super) async fn record_message(&mut self, ticket: Ticket, leg: LegId, rules: MessageRules) {
        let Some((media, hears_keys)) =
            self.leg(leg).and_then(|leg| Some((leg.media()?, !leg.knows_telephone_events())))
        else {
            return self.program_record_failed(ticket);
        };
        let Some(tap) = consumers::listen(&self.worker, media, TAP) else { return self.program_record_failed(ticket) };
        let now = clock::now();
        let message = Message {
            leg,
            number: self.call.next_recording(),
            media,
            tap: Some(tap),
            vad: None,
            keys: None,
            hears_keys,
            silent_at: now + rules.silence,
            longest_at: now + rules.longest,
            look_at: now + LISTEN,
            end: None,
            is_ending: false,
            rules,
        };
        self.programs.open(ticket, Doing::Message(Box::new(message)));
        self.program_starts_recording(ticket, Some(leg), false).await;
    }

    /// Starts a recording that continues beside the program.
    pub(super) async fn program_records(&mut self, ticket: Ticket) {
        if !self.settings.record_app {
            tracing::info!(call = %self.id, "the call program cannot record: recording is switched off");
            return self.program_record_failed(ticket);
        }
        self.programs.open(ticket, Doing::Recording(self.call.next_recording()));
        self.program_starts_recording(ticket, None, self.settings.record_heard).await;
    }

    async fn program_starts_recording(&mut self, ticket: Ticket, leg: Option<LegId>, heard: bool) {
        if let Err(error) = self.record_start(leg, heard).await {
            tracing::warn!(call = %self.id, %error, "the call program's recording could not be started");
            if let Some(Doing::Message(mut message)) = self.programs.close(ticket) {
                self.stop_listening(&mut message);
            }
            self.program_record_failed(ticket);
        }
    }

    fn program_record_failed(&mut self, ticket: Ticket) {
        self.programs.push(Input::RecordEnded { ticket, end: RecordEnd::Failed, duration: Duration::ZERO });
    }

    fn stop_listening(&self, message: &mut Message) {
        if message.tap.take().is_some() {
            self.media_command(WorkerRequest::Untap { leg: message.media });
        }
    }

    /// Pauses or resumes a program's recording.
    pub(super) async fn program_pauses_recording(&mut self, ticket: Ticket, on: bool) {
        let Some(number) = self.programs.recording(ticket) else { return };
        if let Err(error) = self.record_pause(number, on).await {
            tracing::info!(call = %self.id, %error, "a call program's recording cannot be paused");
        }
    }

    /// Ends a recording or a message whose ticket is closed.
    pub(super) async fn program_stops_recording(&mut self, number: u32, message: Option<Box<Message>>) {
        if let Some(mut message) = message {
            self.stop_listening(&mut message);
        }
        // An error means that the recording has ended already.
        let _ = self.record_stop(number).await;
    }

    /// Empties the tap of a message, and ends the message if a time-out has passed.
    pub(super) fn message_due(&mut self) {
        let now = clock::now();
        let Some(message) = self.programs.message() else { return };
        let (leg, keys) = (message.leg, message.listen(now));
        if message.longest_at <= now {
            message.end(RecordEnd::Longest);
        } else if message.silent_at <= now {
            message.end(RecordEnd::Silence);
        }
        for (digit, duration_ms) in keys {
            self.on_key(leg, digit, duration_ms, KeyWay::Sound);
        }
    }

    /// Takes a key, which may end a message.
    pub(super) fn message_hears_key(&mut self, leg: LegId, digit: char) {
        if let Some(message) = self.programs.message()
            && message.leg == leg
            && message.rules.finish == Some(digit)
        {
            message.end(RecordEnd::FinishKey);
        }
    }

    /// Reports a recording that has ended, with all its files on the disk.
    pub(super) fn program_recorded(&mut self, over: &RecordingOver) {
        let Some(ticket) = self.programs.ticket_of_recording(over.number) else { return };
        let end = match self.programs.close(ticket) {
            _ if over.fault.is_some() => RecordEnd::Failed,
            Some(Doing::Message(message)) => match message.end {
                Some(end) => end,
                None if self.has_hung_up(message.leg) => RecordEnd::FarEndGone,
                None => RecordEnd::Stopped,
            },
            _ => RecordEnd::Stopped,
        };
        let duration = Duration::from_millis(over.duration_ms);
        self.programs.push(Input::RecordEnded { ticket, end, duration });
    }
}
