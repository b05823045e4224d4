//! What a call program records: a message of its caller, which ends by itself, and recordings that go on beside the program.
//!
//! ```text
//! beep ─▶ record_start (that leg alone) ─▶ tap ─▶ Vad: silent for too long ─┐
//!                                           └──▶ keys in the sound          ├─▶ record_stop ─▶ on_recording_over ─▶ RecordEnded
//!                                    telephone-event, INFO: the finish key ─┤
//!                                                              longest time ┘
//! ```
//!
//! A message of a caller who has hung up is over when its file is. Not here: files (`listening`).

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

/// How often the tap of a message is emptied.
const LISTEN: Duration = Duration::from_millis(20);
/// Frames that it may hold: one second.
const TAP: usize = 50;
/// The beep before a message.
const BEEP_HZ: u16 = 1_000;
const BEEP_MS: u32 = 300;

/// A message that is being recorded.
pub(super) struct Message {
    /// Whose it is.
    leg: LegId,
    /// The number of its recording.
    number: u32,
    rules: MessageRules,
    media: LegId,
    /// Nothing: nobody listens any more.
    tap: Option<TapReader>,
    /// Listens for words.
    vad: Option<(SampleRate, Vad)>,
    /// Listens for keys, where they come in the sound.
    keys: Option<DtmfDetector>,
    hears_keys: bool,
    /// When it has been silent for too long, unless something is said before.
    silent_at: Instant,
    longest_at: Instant,
    look_at: Instant,
    /// Why it ends; nothing while it goes on.
    end: Option<RecordEnd>,
    /// Its recording was told to end.
    is_ending: bool,
}

impl Message {
    /// What has come since the last look: the keys, and how long they were held.
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

    /// When it is listened to next; `None`: it ends.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.end.is_none().then_some(self.look_at)
    }

    /// Its recording's number, when that is to be ended now: once.
    pub(super) fn take_end(&mut self) -> Option<u32> {
        (self.end.is_some() && !std::mem::replace(&mut self.is_ending, true)).then_some(self.number)
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Ends it, unless it ends already.
    fn end(&mut self, why: RecordEnd) {
        self.end.get_or_insert(why);
    }
}

impl CallTask {
    /// A message of the leg's is wanted.
    pub(super) async fn program_takes_message(&mut self, ticket: Ticket, leg: LegId, rules: MessageRules) {
        if !self.settings.record_app {
            tracing::info!(call = %self.id, %leg, "a call program records nothing: recording is switched off");
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

    /// Nothing is to be heard before a message any more.
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
        self.program_starts_recording(ticket, Some(leg)).await;
    }

    /// A recording that goes on beside the program.
    pub(super) async fn program_records(&mut self, ticket: Ticket) {
        if !self.settings.record_app {
            tracing::info!(call = %self.id, "a call program records nothing: recording is switched off");
            return self.program_record_failed(ticket);
        }
        self.programs.open(ticket, Doing::Recording(self.call.next_recording()));
        self.program_starts_recording(ticket, None).await;
    }

    async fn program_starts_recording(&mut self, ticket: Ticket, leg: Option<LegId>) {
        if let Err(error) = self.record_start(leg).await {
            tracing::warn!(call = %self.id, %error, "a call program cannot record");
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

    /// Leaves a gap in a program's recording, or goes on with it.
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
        // An error: it is over already.
        let _ = self.record_stop(number).await;
    }

    /// The time has come to listen to a message.
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

    /// A key was pressed, perhaps to end a message.
    pub(super) fn message_hears_key(&mut self, leg: LegId, digit: char) {
        if let Some(message) = self.programs.message()
            && message.leg == leg
            && message.rules.finish == Some(digit)
        {
            message.end(RecordEnd::FinishKey);
        }
    }

    /// A recording has ended, with all its files on the disk.
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
