//! How a call is set up: the plan, and legs that ring, send early media and answer.

use std::time::{Duration, Instant};

use super::leg::{Leg, LegPhase, LegRole, Part, Seat};
use super::{Call, Destination, Effect, Notice, Plan, Status};
use crate::config::App;
use crate::error::HangupCause;
use crate::units::LegId;

impl Call {
    pub(super) fn on_proceed(&mut self, now: Instant) -> Vec<Effect> {
        if self.status != Status::Announced {
            return Vec::new();
        }
        self.decision = None;
        let Some((first, role)) = self.legs.first().map(|leg| (leg.id, leg.role)) else { return Vec::new() };
        match self.plan.take() {
            Some(Plan::Join(to)) => {
                self.status = Status::Connecting;
                self.dial(role.other(), Part::Callee, to, now)
            }
            plan => {
                self.seat(first);
                let mut effects = vec![Effect::Answer(first)];
                effects.extend(self.go_on_alone(first, plan));
                effects
            }
        }
    }

    /// Calls a destination at once.
    pub(super) fn dial(&mut self, role: LegRole, part: Part, to: Destination, now: Instant) -> Vec<Effect> {
        let ring = match part {
            Part::Opener => self.timing.ring_first,
            Part::Callee => self.timing.ring_second,
            Part::Heir { .. } | Part::Added | Part::Party => None,
        };
        let phase = self.dialling(&to, ring, now);
        let Some(id) = self.enter(role, phase, part) else { return self.end(&HangupCause::Internal.into()) };
        if let Some(leg) = self.leg_mut(id) {
            leg.is_agent = matches!(to, Destination::Agent(_) | Destination::Browser(_));
        }
        vec![Effect::Ring(id, to)]
    }

    /// Returns the phase of a leg that is called from now on. An emergency call has no maximum duration.
    pub(super) fn dialling(&mut self, to: &Destination, ring: Option<Duration>, now: Instant) -> LegPhase {
        if matches!(to, Destination::Emergency { .. }) {
            (self.longest, self.screens) = (None, None);
        }
        let until = ring.and_then(|ring| now.checked_add(ring)).unwrap_or(now + self.timing.ring);
        LegPhase::Dialling { until, early: false }
    }

    pub(super) fn on_rang(&mut self, id: LegId) -> Vec<Effect> {
        let Some(leg) = self.leg(id) else { return Vec::new() };
        let LegPhase::Dialling { early, .. } = leg.phase else { return Vec::new() };
        match leg.part {
            Part::Heir { .. } => self.on_heir_rang(id),
            // A caller who hears the callee's own ring-back does not need ours.
            Part::Callee => match self.opener() {
                Some((first, LegPhase::Offered { .. })) if !early => {
                    vec![Effect::Alert(first), Effect::Tell(Notice::Ringing)]
                }
                Some((_, LegPhase::Offered { .. })) => vec![Effect::Tell(Notice::Ringing)],
                _ => Vec::new(),
            },
            Part::Opener | Part::Party => vec![Effect::Tell(Notice::Ringing)],
            Part::Added => Vec::new(),
        }
    }

    pub(super) fn on_early_media(&mut self, id: LegId) -> Vec<Effect> {
        let joins = matches!(self.plan, Some(Plan::Join(_)));
        let Some(leg) = self.leg_mut(id) else { return Vec::new() };
        let LegPhase::Dialling { early, .. } = &mut leg.phase else { return Vec::new() };
        if leg.part == Part::Opener && joins {
            // No leg is there yet to hear it.
            return self.on_rang(id);
        }
        if std::mem::replace(early, true) {
            return Vec::new();
        }
        match leg.part {
            Part::Heir { .. } => self.on_heir_rang(id),
            Part::Added => Vec::new(),
            Part::Opener | Part::Party => vec![Effect::Tell(Notice::Ringing), Effect::Tell(Notice::EarlyMedia)],
            Part::Callee => {
                let opener = self.legs.iter_mut().find(|leg| leg.part == Part::Opener);
                let Some(leg) = opener else { return Vec::new() };
                let LegPhase::Offered { early } = &mut leg.phase else { return Vec::new() };
                *early = true;
                vec![Effect::AnswerEarly(leg.id), Effect::Tell(Notice::Ringing)]
            }
        }
    }

    pub(super) fn on_answered(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        if let Some(effects) = self.screen_answered(id, now) {
            return effects;
        }
        let Some(leg) = self.leg_mut(id) else { return Vec::new() };
        match (&leg.phase, leg.part) {
            (LegPhase::Offered { .. } | LegPhase::Dialling { .. }, Part::Heir { of, by }) => {
                self.on_heir_up(id, (of, by), now)
            }
            (LegPhase::Offered { .. } | LegPhase::Dialling { .. }, Part::Added) => self.on_added_up(id, now),
            (LegPhase::Dialling { .. }, Part::Opener) => self.on_opener_up(id, now),
            (LegPhase::Dialling { .. }, Part::Callee) => self.on_callee_up(id),
            _ => Vec::new(),
        }
    }

    /// Goes on with the plan, because the leg that was called first can be talked with.
    pub(super) fn on_opener_up(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let Some(role) = self.role(id) else { return Vec::new() };
        let is_reported = self.leg(id).is_some_and(Leg::is_up);
        self.seat(id);
        match self.plan.take() {
            Some(Plan::Join(to)) => {
                let mut effects = Vec::new();
                if !is_reported {
                    effects.push(Effect::Tell(Notice::Answered));
                }
                effects.extend(self.dial(role.other(), Part::Callee, to, now));
                effects
            }
            plan => self.go_on_alone(id, plan),
        }
    }

    /// Joins the leg that the plan has called with the first one, which is answered if it called us.
    pub(super) fn on_callee_up(&mut self, id: LegId) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some((first, LegPhase::Offered { .. })) = self.opener() {
            self.seat(first);
            effects.push(Effect::Answer(first));
        }
        self.seat(id);
        self.status = Status::Talking;
        effects.push(Effect::Tell(Notice::Bridged));
        effects
    }

    /// Continues with the first leg alone: no other leg is called.
    fn go_on_alone(&mut self, id: LegId, plan: Option<Plan>) -> Vec<Effect> {
        self.status = Status::Talking;
        let notice = match (plan, self.leg_mut(id)) {
            (Some(Plan::Application(app)), Some(leg)) => {
                (leg.seat, leg.program) = (Seat::Scripted(app), app == App::Program);
                Notice::Bridged
            }
            _ => Notice::Answered,
        };
        vec![Effect::Tell(notice)]
    }

    /// Returns the leg that opened the call, until it is seated.
    fn opener(&self) -> Option<(LegId, &LegPhase)> {
        self.legs.iter().find(|leg| leg.part == Part::Opener).map(|leg| (leg.id, &leg.phase))
    }

    /// Seats a leg as a party that is up.
    pub(super) fn seat(&mut self, id: LegId) {
        if let Some(leg) = self.leg_mut(id) {
            (leg.phase, leg.part) = (LegPhase::Up, Part::Party);
        }
    }
}
