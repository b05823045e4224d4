//! Collection of digits from legs, in whichever way keys arrive.
//!
//! ```text
//! telephone-event, INFO ────────────────────────┐
//! tap ─▶ DtmfDetector (in-band; only where no ──┴─▶ on_key ─▶ Gather ─▶ Gathered ─▶ reported
//!        telephone-event was agreed)                  └ the first key ends a prompt that may be interrupted
//! ```
//!
//! Invariant: the end of every collection that was started is reported exactly once, and its tap is closed with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::dtmf::{DtmfDetector, DtmfEvent};

use super::CallTask;
use super::prompts::Owner;
use crate::audio::tap::TapReader;
use crate::call::{Gather, GatherEnd, Gathered, KeyWay, KeyWays};
use crate::engine::command::CommandError;
use crate::engine::consumers;
use crate::engine::event::EventKind;
use crate::engine::prompt::{GatherId, NewGather, PlayId, Sound};
use crate::net::clock;
use crate::units::LegId;
use crate::worker::WorkerRequest;

/// Interval at which taps that listen for keys are emptied.
const LISTEN: Duration = Duration::from_millis(20);
/// Capacity of such a tap in frames: one second.
const TAP: usize = 50;

/// A collection in progress.
pub(super) struct Gathering {
    id: GatherId,
    leg: LegId,
    gather: Gather,
    /// Prompt that is being played.
    prompt: Option<PlayId>,
    /// Prompts that follow it, in turn.
    next_prompts: VecDeque<Sound>,
    barge_in: bool,
    owner: Owner,
    /// Keys are reported to the owner only.
    secret: bool,
    ways: KeyWays,
    ears: Option<Ears>,
}

/// Detector of keys in a leg's sound.
struct Ears {
    media: LegId,
    tap: TapReader,
    detector: Option<(SampleRate, DtmfDetector)>,
    /// Time at which the tap is due to be emptied.
    at: Instant,
}

impl Ears {
    /// Returns the keys that have come, with how long they were held.
    fn listen(&mut self, now: Instant) -> Vec<(char, u32)> {
        let mut keys = Vec::new();
        self.at = now + LISTEN;
        while let Some(item) = self.tap.pop() {
            let rate = item.frame.rate;
            if self.detector.as_ref().is_none_or(|(known, _)| *known != rate) {
                self.detector = Some((rate, DtmfDetector::new(rate)));
            }
            if let Some((_, detector)) = &mut self.detector {
                detector.push(item.frame.samples(), |event| {
                    if let DtmfEvent::Ended { digit, duration_ms } = event {
                        keys.push((digit, duration_ms));
                    }
                });
            }
        }
        keys
    }
}

impl CallTask {
    /// Starts to collect digits from a leg.
    pub(super) fn gather(
        &mut self,
        leg: LegId,
        new: NewGather,
        owner: Owner,
    ) -> Result<(GatherId, Option<PlayId>), CommandError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let NewGather { rules, prompts, barge_in, secret } = new;
        rules.check().map_err(|(field, problem)| CommandError::Invalid { field, problem })?;
        self.call.check_connected(leg)?;
        if self.gathers.iter().any(|gathering| gathering.leg == leg) {
            return Err(CommandError::Conflict("digits are already being collected from this leg".into()));
        }
        let mut next_prompts = VecDeque::from(prompts);
        let prompt = next_prompts.pop_front().map(|sound| self.play(Some(leg), sound, owner)).transpose()?;
        let id = GatherId(NEXT.fetch_add(1, Ordering::Relaxed));
        let mut gather = Gather::new(rules);
        if prompt.is_none() {
            gather.listen(clock::now());
        }
        let ears = self.ears(leg);
        let ways = KeyWays::default();
        self.gathers.push(Gathering { id, leg, gather, prompt, next_prompts, barge_in, owner, secret, ways, ears });
        Ok((id, prompt))
    }

    /// Creates a detector for a leg whose keys come in its sound.
    fn ears(&self, id: LegId) -> Option<Ears> {
        let leg = self.leg(id).filter(|leg| !leg.knows_telephone_events())?;
        let media = leg.media()?;
        let tap = consumers::listen(&self.worker, media, TAP)?;
        Some(Ears { media, tap, detector: None, at: clock::now() + LISTEN })
    }

    /// Returns when a tap or a time-out is due.
    pub(super) fn next_gather(&self) -> Option<Instant> {
        let due = |gathering: &Gathering| {
            [gathering.gather.poll_timeout(), gathering.ears.as_ref().map(|ears| ears.at)].into_iter().flatten().min()
        };
        self.gathers.iter().filter_map(due).min()
    }

    /// Empties the taps that are due, and ends collections whose time-out has passed.
    pub(super) fn gathers_due(&mut self) {
        let now = clock::now();
        let mut heard = Vec::new();
        for Gathering { leg, ears, .. } in &mut self.gathers {
            if let Some(ears) = ears.as_mut().filter(|ears| ears.at <= now) {
                heard.extend(ears.listen(now).into_iter().map(|(digit, held)| (*leg, digit, held)));
            }
        }
        for (leg, digit, duration_ms) in heard {
            self.on_key(leg, digit, duration_ms, KeyWay::Sound);
        }
        let mut over = Vec::new();
        for gathering in &mut self.gathers {
            over.extend(gathering.gather.timeout(now).map(|gathered| (gathering.id, gathered)));
        }
        for (id, gathered) in over {
            self.end_gather(id, gathered);
        }
    }

    /// Takes a key of a leg's far end. `false`: it repeats a key that was reported in another way.
    pub(super) fn on_key(&mut self, leg: LegId, digit: char, duration_ms: u32, way: KeyWay) -> bool {
        let now = clock::now();
        let mut gathering = self.gathers.iter_mut().find(|gathering| gathering.leg == leg);
        if gathering.as_mut().is_some_and(|gathering| !gathering.ways.is_new(digit, way, now)) {
            return false;
        }
        if !gathering.as_ref().is_some_and(|gathering| gathering.secret) {
            self.shared.tell(Some(self.id), EventKind::Dtmf { leg, digit, duration_ms });
        }
        let Some(gathering) = gathering else {
            self.message_hears_key(leg, digit);
            return true;
        };
        if gathering.prompt.is_some() && !gathering.barge_in {
            return true;
        }
        let (id, prompt) = (gathering.id, gathering.prompt.take());
        gathering.next_prompts.clear();
        let gathered = gathering.gather.key(digit, now);
        if let Some(prompt) = prompt {
            self.stop_play(prompt);
        }
        if let Some(gathered) = gathered {
            self.end_gather(id, gathered);
        }
        true
    }

    /// Starts the next prompt after one has ended. After the last one, keys count.
    pub(super) fn on_prompt_over(&mut self, play: PlayId) {
        let Some(at) = self.gathers.iter().position(|gathering| gathering.prompt == Some(play)) else { return };
        let mut prompt = None;
        while prompt.is_none()
            && let Some(next) = self.gathers[at].next_prompts.pop_front()
        {
            let Gathering { leg, owner, .. } = self.gathers[at];
            // A prompt that cannot be played, or ends at once, is skipped.
            prompt = self.play(Some(leg), next, owner).ok().filter(|id| self.prompts.is_playing(*id));
        }
        if let Some(gathering) = self.gathers.get_mut(at) {
            gathering.prompt = prompt;
            if prompt.is_none() {
                gathering.gather.listen(clock::now());
            }
        }
    }

    /// Ends a collection on request; `false`: it has ended or never existed.
    pub(super) fn stop_gather(&mut self, id: GatherId) -> bool {
        self.break_gather(id, GatherEnd::Stopped)
    }

    pub(super) fn stop_gathers(&mut self) {
        self.break_gathers(|_| true, GatherEnd::Stopped);
    }

    /// Ends the collections of a leg that has gone, or all of them if the call has ended (`None`).
    pub(super) fn gathers_leave(&mut self, leg: Option<LegId>) {
        self.break_gathers(|gathering| leg.is_none_or(|leg| leg == gathering.leg), GatherEnd::LegGone);
    }

    fn break_gathers(&mut self, is_meant: impl Fn(&Gathering) -> bool, end: GatherEnd) {
        let ids: Vec<GatherId> = self.gathers.iter().filter(|it| is_meant(it)).map(|it| it.id).collect();
        for id in ids {
            self.break_gather(id, end);
        }
    }

    fn break_gather(&mut self, id: GatherId, end: GatherEnd) -> bool {
        let gathered = self.gathers.iter_mut().find(|it| it.id == id).map(|it| it.gather.end(end));
        let is_there = gathered.is_some();
        if let Some(gathered) = gathered {
            self.end_gather(id, gathered);
        }
        is_there
    }

    fn end_gather(&mut self, id: GatherId, gathered: Gathered) {
        let Some(at) = self.gathers.iter().position(|gathering| gathering.id == id) else { return };
        let Gathering { leg, prompt, ears, owner, .. } = self.gathers.swap_remove(at);
        if let Some(Ears { media, tap, .. }) = ears {
            drop(tap);
            self.media_command(WorkerRequest::Untap { leg: media });
        }
        match owner {
            Owner::Verb => {
                let Gathered { digits, end, enough } = gathered;
                self.shared.tell(Some(self.id), EventKind::Gathered { gather: id, leg, digits, end, enough });
            }
            Owner::Program => self.program_gathered(id, gathered),
            // Nothing is collected from a screened leg.
            Owner::Screening => {}
        }
        if let Some(prompt) = prompt {
            self.stop_play(prompt);
        }
    }
}
