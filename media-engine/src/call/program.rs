//! Legs with a call program: the program controls a leg whenever it talks with no other party.
//!
//! ```text
//!   up ─▶ Scripted(Program) ─ an added leg answers ─▶ Floor ─ the others leave ─▶ Scripted(Program)
//!               │ └ hears ring-back while a leg is called     └ ProgramOver ─▶ it does not return
//! ```
//!
//! Not here: the program's steps (`script`), and their execution (the engine).

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

    /// Takes the leg from its program, because another party has come to talk with it.
    pub(super) fn leave_program(&mut self) -> Vec<Effect> {
        for leg in self.legs.iter_mut().filter(|leg| leg.is_with_program()) {
            leg.seat = Seat::Floor;
        }
        Vec::new()
    }

    /// Returns the last remaining party to its program, unmuted and off hold, after the others have gone.
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
        if was_flagged { self.seat_notice(id) } else { Vec::new() }
    }

    /// Hands the one party that talked with this leg to a call program, and hangs up this leg; `None`: there is no such party, or
    /// it has a program already.
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
