//! A leg that a call program has: whenever it talks with nobody.
//!
//! ```text
//!   up ─▶ Scripted(Program) ─ somebody who was added answers ─▶ Floor ─ the others leave ─▶ Scripted(Program)
//!               │ └ hears ring-back while somebody is called            └ ProgramOver ─▶ it goes back no more
//! ```
//!
//! Not here: what the program does (`script`), and who carries it out (the engine).

use std::time::Instant;

use super::leg::Seat;
use super::{Call, Effect, Notice, Plan, Status, hang_up};
use crate::config::App;
use crate::error::HangupCause;
use crate::units::LegId;

impl Call {
    pub(super) fn on_proceed_with_program(&mut self, now: Instant) -> Vec<Effect> {
        if self.status == Status::Announced {
            self.plan = Some(Plan::Application(App::Program));
        }
        self.on_proceed(now)
    }

    /// Somebody has come whom it talks with.
    pub(super) fn leave_program(&mut self) -> Vec<Effect> {
        for leg in self.legs.iter_mut().filter(|leg| leg.is_with_program()) {
            leg.seat = Seat::Floor;
        }
        Vec::new()
    }

    /// The others have gone: whoever is left alone goes back to its program, with a voice.
    pub(super) fn return_to_program(&mut self) -> Vec<Effect> {
        if self.parked.is_some() {
            return Vec::new();
        }
        let mut parties = self.legs.iter_mut().filter(|leg| leg.is_party());
        let (Some(leg), None) = (parties.next(), parties.next()) else { return Vec::new() };
        if !leg.program {
            return Vec::new();
        }
        leg.seat = Seat::Scripted(App::Program);
        let (id, was_flagged) = (leg.id, leg.held || leg.muted);
        (leg.held, leg.muted) = (false, false);
        if was_flagged { self.seat_told(id) } else { Vec::new() }
    }

    /// A call program has the one party that talked with this one, which is hung up; `None`: there is none, or it has a program already.
    pub(super) fn give_to_program(&mut self, transferor: LegId) -> Option<Vec<Effect>> {
        let mut others = self.legs.iter().filter(|leg| leg.is_party() && leg.id != transferor);
        let (Some(leg), None) = (others.next(), others.next()) else { return None };
        let id = leg.id;
        if leg.program || !leg.is_up() || self.parked.is_some() {
            return None;
        }
        let mut effects = Vec::new();
        if let Some(gone) = self.remove(transferor) {
            effects.extend(hang_up(&gone, &HangupCause::Transferred.into()));
            effects.push(Effect::Forget(transferor));
        }
        if let Some(leg) = self.leg_mut(id) {
            leg.program = true;
        }
        effects.extend(self.return_to_program());
        effects.push(Effect::Tell(Notice::WithProgram(id)));
        Some(effects)
    }

    pub(super) fn on_program_over(&mut self, id: LegId) -> Vec<Effect> {
        if let Some(leg) = self.leg_mut(id) {
            leg.program = false;
        }
        Vec::new()
    }
}
