//! Legs that are screened: a detector tells what answered before anybody talks with the leg.
//!
//! ```text
//!   Dialling ─ Answered ─▶ Screened ─ Verdict ─┬─ Connect ──▶ what an answer means without screening
//!                             ▲                ├─ Program ──▶ with its program; every other leg is hung up
//!                             └──── Again ─────┤
//!                                              └─ HangUp ───▶ Over
//! ```
//!
//! A customer's leg that the call's plan dials is screened when the call was told so by [`Input::Screen`] and the number is no
//! emergency number. Until the verdict the leg is heard by nobody, is not recognised, translated or recorded, and hears silence;
//! who waits for it hears ring-back. Early media is heard before the answer, and parted from it by the answer.
//!
//! Invariant: a screened leg leaves its seat by exactly one verdict, or after its time limit as if the verdict had been to connect.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::leg::{Leg, LegPhase, LegRole, Part, Seat};
use super::{Call, Effect, Notice, Status, hang_up};
use crate::config::App;
use crate::error::HangupCause;
use crate::units::LegId;

/// What follows a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// The call goes on as if the leg had just answered.
    Connect,
    /// A call program takes the leg, and every other leg is hung up.
    Program,
    /// The leg is judged again within this time.
    Again(Duration),
    /// The call ends with this cause.
    HangUp(HangupCause),
}

impl Leg {
    /// Returns whether a detector listens to the leg and nobody talks with it.
    pub(super) fn is_screened(&self) -> bool {
        matches!(self.seat, Seat::Screened { .. })
    }
}

impl Call {
    /// Returns whether a detector listens to the leg and nobody talks with it.
    pub fn is_screened(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::is_screened)
    }

    pub(super) fn on_screen(&mut self, limit: Option<Duration>) -> Vec<Effect> {
        self.screens = limit;
        Vec::new()
    }

    /// Seats a leg that has just answered before the detector; `None`: it is not to be screened.
    pub(super) fn screen_answered(&mut self, id: LegId, now: Instant) -> Option<Vec<Effect>> {
        let until = now.checked_add(self.screens?)?;
        let leg = self.leg_mut(id)?;
        let is_called = matches!(leg.phase, LegPhase::Dialling { .. });
        let by_plan = matches!(leg.part, Part::Opener | Part::Callee);
        if !is_called || !by_plan || leg.is_agent || leg.role != LegRole::Customer {
            return None;
        }
        (leg.phase, leg.seat) = (LegPhase::Up, Seat::Screened { until });
        let answered = (leg.part == Part::Opener).then_some(Effect::Tell(Notice::Answered));
        Some(answered.into_iter().chain([Effect::Tell(Notice::Screened(id))]).collect())
    }

    pub(super) fn on_verdict(&mut self, id: LegId, followed: Followed, now: Instant) -> Vec<Effect> {
        let Some(leg) = self.leg_mut(id) else { return Vec::new() };
        let Seat::Screened { until } = &mut leg.seat else { return Vec::new() };
        match followed {
            Followed::Again(limit) => {
                *until = now.checked_add(limit).unwrap_or(*until);
                Vec::new()
            }
            Followed::Connect => {
                leg.seat = Seat::Floor;
                match leg.part {
                    Part::Opener => self.on_opener_up(id, now),
                    _ => self.on_callee_up(id),
                }
            }
            Followed::Program => self.leave_to_program(id),
            Followed::HangUp(cause) => {
                // The called number has answered, whatever answered it.
                self.status = Status::Talking;
                self.end(&cause.into())
            }
        }
    }

    /// Handles a tone before the answer that says that the leg will not be answered.
    pub(super) fn on_early_verdict(&mut self, id: LegId, cause: HangupCause, now: Instant) -> Vec<Effect> {
        match self.leg(id).map(|leg| &leg.phase) {
            Some(LegPhase::Dialling { .. }) => self.put_out(id, cause, now),
            _ => Vec::new(),
        }
    }

    /// Leaves the leg to its program, alone.
    fn leave_to_program(&mut self, id: LegId) -> Vec<Effect> {
        (self.plan, self.status) = (None, Status::Talking);
        let mut effects = Vec::new();
        for other in self.legs.iter().map(|leg| leg.id).filter(|other| *other != id).collect::<Vec<_>>() {
            if let Some(gone) = self.remove(other) {
                effects.extend(hang_up(&gone, &HangupCause::NotHuman.into()));
                effects.push(Effect::Forget(other));
            }
        }
        self.seat(id);
        if let Some(leg) = self.leg_mut(id) {
            (leg.seat, leg.program) = (Seat::Scripted(App::Program), true);
            // A program's leg is heard, as after a return to it.
            if std::mem::take(&mut leg.muted) {
                effects.extend(self.seat_notice(id));
            }
        }
        effects.push(Effect::Tell(Notice::Bridged));
        effects
    }
}
