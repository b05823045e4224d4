//! State of one direction of a translated conversation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::endpoint::{Endpointer, Heard};
use super::event::{LagMs, TranslationEvent};

/// Number of segments remembered; older ones are closed.
pub const SEGMENTS_MAX: usize = 32;
/// Number of frames from before the onset that the recogniser gets: 10 frames, 200 ms.
const PRE_ROLL: usize = 10;

/// Parameters of a [`Session`].
#[derive(Clone, Debug)]
pub struct SessionParams {
    /// Leg of the speaker: `customer` or `agent`.
    pub leg: String,
    /// BCP 47 tag of the speaker's language.
    pub source_language: String,
    /// BCP 47 tag of the listener's language.
    pub target_language: String,
    /// Whether final texts are translated; otherwise they are only transcribed.
    pub translate: bool,
    /// Whether translations are spoken.
    pub voice: bool,
    /// Number of the next segment, shared by both directions of a call.
    pub segments: Arc<AtomicU64>,
}

/// Work that the caller must do for the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Begin a segment: its audio follows.
    Begin(u64),
    /// Recognise audio of the open segment, at the session's rate.
    Audio(Vec<i16>),
    /// Finish the segment: its audio is complete.
    End(u64),
    /// Translate the final text of a segment.
    Translate(u64, String),
    /// Speak the translation of a segment.
    Speak(u64, String),
    /// Send an event to the listeners.
    Publish(TranslationEvent),
}

/// One direction, from a speaker's frames or typed text to translated speech.
#[derive(Debug)]
pub struct Session {
    params: SessionParams,
    endpointer: Endpointer,
    pre_roll: VecDeque<Vec<i16>>,
    open: Option<u64>,
    segments: BTreeMap<u64, Segment>,
    effects: VecDeque<Effect>,
}

#[derive(Debug, Default)]
struct Segment {
    text: String,
    translation: Option<String>,
    is_final: bool,
    unrecognised: bool,
    /// Whether recognition missed the segment; published when its speech has ended.
    missed: bool,
    /// Beginning of the speech; `None` for typed text.
    began_at: Option<Instant>,
    ended_at: Option<Instant>,
    final_at: Option<Instant>,
    translated_at: Option<Instant>,
    lag: LagMs,
}

impl Session {
    /// Creates a session without segments.
    pub fn new(params: SessionParams) -> Session {
        Session {
            params,
            endpointer: Endpointer::default(),
            pre_roll: VecDeque::with_capacity(PRE_ROLL),
            open: None,
            segments: BTreeMap::new(),
            effects: VecDeque::new(),
        }
    }

    /// Processes one frame of the speaker that ended at `until`; `speech` is the decision of voice activity detection.
    pub fn handle_frame(&mut self, samples: &[i16], speech: bool, until: Instant) {
        match self.endpointer.on_frame(speech, until) {
            Heard::Nothing => {
                if self.pre_roll.len() == PRE_ROLL {
                    self.pre_roll.pop_front();
                }
                self.pre_roll.push_back(samples.to_vec());
            }
            Heard::Begin(began_at) => {
                let number = self.open_segment(Segment { began_at: Some(began_at), ..Segment::default() });
                self.open = Some(number);
                self.effects.push_back(Effect::Begin(number));
                let before: Vec<i16> = self.pre_roll.drain(..).flatten().collect();
                if !before.is_empty() {
                    self.effects.push_back(Effect::Audio(before));
                }
                self.effects.push_back(Effect::Audio(samples.to_vec()));
            }
            Heard::Speech => self.effects.push_back(Effect::Audio(samples.to_vec())),
            Heard::End(ended_at) => self.close_segment(ended_at, until),
        }
    }

    /// Ends the open segment, as when the call ends.
    pub fn finish(&mut self, now: Instant) {
        if let Some(ended_at) = self.endpointer.finish() {
            self.close_segment(ended_at, now);
        }
    }

    /// Processes the recogniser's current guess.
    pub fn handle_partial(&mut self, number: u64, text: &str, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.is_final || segment.missed || segment.text == text || text.is_empty() {
            return;
        }
        segment.text = text.to_owned();
        self.publish(number, now);
    }

    /// Processes the final text. `unrecognised`: there were words, but none in the recogniser's vocabulary.
    pub fn handle_final(&mut self, number: u64, text: &str, unrecognised: bool, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.is_final || segment.missed {
            return;
        }
        let was_shown = !segment.text.is_empty();
        segment.is_final = true;
        segment.unrecognised = unrecognised;
        segment.text = if unrecognised { String::new() } else { text.trim().to_owned() };
        segment.final_at = Some(now);
        segment.lag.stt = segment.ended_at.map(|ended| millis(ended, now));
        let text = segment.text.clone();
        if text.is_empty() && !unrecognised && !was_shown {
            // A cough that was taken for speech: it is not published.
            self.segments.remove(&number);
            return;
        }
        self.publish(number, now);
        if !text.is_empty() && self.params.translate {
            self.effects.push_back(Effect::Translate(number, text));
        }
    }

    /// Notes that recognition of a segment failed. Listeners are informed when its speech has ended, so that its duration is known.
    pub fn handle_missed(&mut self, number: u64, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.is_final || segment.missed {
            return;
        }
        segment.missed = true;
        segment.text.clear();
        self.publish_missed(number, now);
    }

    /// Marks all unfinished segments as missed because the recogniser has ended.
    pub fn handle_recogniser_gone(&mut self, now: Instant) {
        let owed: Vec<u64> = self.segments.iter().filter(|(_, segment)| !segment.is_final).map(|(n, _)| *n).collect();
        for number in owed {
            self.handle_missed(number, now);
        }
    }

    /// Processes the translation of a segment.
    pub fn handle_translation(&mut self, number: u64, translation: &str, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.translation.is_some() {
            return;
        }
        segment.translation = Some(translation.to_owned());
        segment.translated_at = Some(now);
        segment.lag.translate = segment.final_at.map(|at| millis(at, now));
        if !self.params.voice {
            segment.lag.total = segment.ended_at.map(|ended| millis(ended, now));
        }
        self.publish(number, now);
        if self.params.voice && !translation.is_empty() {
            self.effects.push_back(Effect::Speak(number, translation.to_owned()));
        }
    }

    /// Notes that the first sample of a segment's translation was sent to the listener at `at`.
    pub fn handle_spoken(&mut self, number: u64, at: Instant, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.lag.tts.is_some() {
            return;
        }
        segment.lag.tts = segment.translated_at.map(|translated| millis(translated, at));
        segment.lag.total = segment.ended_at.map(|ended| millis(ended, at));
        self.publish(number, now);
    }

    /// Processes typed text: a segment that was spoken and recognised at once.
    pub fn handle_typed(&mut self, text: &str, now: Instant) {
        let segment = Segment { ended_at: Some(now), ..Segment::default() };
        let number = self.open_segment(segment);
        self.handle_final(number, text, false, now);
    }

    /// Returns the next effect to carry out.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn open_segment(&mut self, segment: Segment) -> u64 {
        let number = self.params.segments.fetch_add(1, Ordering::Relaxed);
        if self.segments.len() == SEGMENTS_MAX {
            self.segments.pop_first();
        }
        self.segments.insert(number, segment);
        number
    }

    fn close_segment(&mut self, ended_at: Instant, now: Instant) {
        let Some(number) = self.open.take() else { return };
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.ended_at = Some(ended_at);
        }
        self.effects.push_back(Effect::End(number));
        self.publish_missed(number, now);
    }

    fn publish_missed(&mut self, number: u64, now: Instant) {
        let Some(segment) = self.segments.get_mut(&number) else { return };
        if segment.missed && !segment.is_final && segment.ended_at.is_some() {
            segment.is_final = true;
            self.publish(number, now);
        }
    }

    fn publish(&mut self, number: u64, now: Instant) {
        let Some(segment) = self.segments.get(&number) else { return };
        let ago = |at: Option<Instant>| at.map(|at| u64::from(millis(at, now)));
        self.effects.push_back(Effect::Publish(TranslationEvent {
            segment: number,
            leg: self.params.leg.clone(),
            source_language: self.params.source_language.clone(),
            target_language: self.params.target_language.clone(),
            text: segment.text.clone(),
            translation: segment.translation.clone(),
            is_final: segment.is_final,
            unrecognised: segment.unrecognised,
            missed: segment.missed,
            began_ms_ago: ago(segment.began_at),
            ended_ms_ago: ago(segment.began_at.and(segment.ended_at)),
            lag_ms: segment.lag,
        }));
    }
}

fn millis(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u32::MAX)
}
