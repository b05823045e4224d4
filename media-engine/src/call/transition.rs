//! The transition function.

use super::{Call, CallLeg, Effect, Input, LegPhase, Phase, Plan, Side};
use crate::error::HangupCause;

impl Call {
    /// Takes one input; the effects are to be carried out in order.
    pub fn transition(&mut self, input: Input) -> Vec<Effect> {
        if self.is_over() {
            return Vec::new();
        }
        match input {
            Input::Proceed => self.on_proceed(),
            Input::Refuse(cause) | Input::Hangup(cause) => self.end(cause),
            Input::Ringing(side) => self.on_ringing(side),
            Input::EarlyMedia(side) => self.on_early_media(side),
            Input::Answered(side) => self.on_answered(side),
            Input::Failed(side, cause) | Input::Gone(side, cause) => self.on_gone(side, cause),
            Input::RingTimeout => self.on_ring_timeout(),
        }
    }

    fn on_proceed(&mut self) -> Vec<Effect> {
        if self.phase != Phase::Announced {
            return Vec::new();
        }
        match self.plan.clone() {
            Plan::Join(destination) => {
                self.phase = Phase::Connecting;
                self.second = Some(CallLeg { id: self.second_id, phase: LegPhase::Dialling });
                vec![Effect::Dial(Side::Second, destination), Effect::ArmRingTimer]
            }
            Plan::Application(app) => {
                self.phase = Phase::Talking;
                self.first.phase = LegPhase::Up;
                vec![Effect::Accept(Side::First), Effect::Run(Side::First, app), Effect::TellBridged]
            }
            Plan::Hold => {
                self.phase = Phase::Talking;
                self.first.phase = LegPhase::Up;
                vec![Effect::Accept(Side::First), Effect::TellAnswered]
            }
        }
    }

    fn on_ringing(&mut self, side: Side) -> Vec<Effect> {
        if self.phase != Phase::Connecting || self.leg_mut(side).is_none_or(|leg| leg.phase != LegPhase::Dialling) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        // A caller who hears the callee's own ring-back needs none of its telephone's.
        if side == Side::Second && self.first.phase == LegPhase::Offered && !self.early {
            effects.push(Effect::Alert(Side::First));
        }
        if !(side == Side::Second && self.first.phase == LegPhase::Up) {
            effects.push(Effect::TellRinging);
        }
        effects
    }

    fn on_early_media(&mut self, side: Side) -> Vec<Effect> {
        let dialling = self.leg_mut(side).is_some_and(|leg| leg.phase == LegPhase::Dialling);
        if self.phase != Phase::Connecting || side != Side::Second || !dialling || self.early {
            return Vec::new();
        }
        self.early = true;
        match self.first.phase {
            LegPhase::Offered => vec![Effect::AnswerEarly(Side::First), Effect::Join, Effect::TellRinging],
            _ => vec![Effect::Join],
        }
    }

    fn on_answered(&mut self, side: Side) -> Vec<Effect> {
        let Some(leg) = self.leg_mut(side) else { return Vec::new() };
        if leg.phase != LegPhase::Dialling {
            return Vec::new();
        }
        leg.phase = LegPhase::Up;
        match side {
            Side::Second => self.on_second_answered(),
            Side::First => self.on_first_answered(),
        }
    }

    fn on_second_answered(&mut self) -> Vec<Effect> {
        let mut effects = vec![Effect::DisarmRingTimer];
        if self.first.phase == LegPhase::Offered {
            self.first.phase = LegPhase::Up;
            effects.push(Effect::Accept(Side::First));
        }
        self.phase = Phase::Talking;
        if !self.early {
            effects.push(Effect::Join);
        }
        effects.push(Effect::TellBridged);
        effects
    }

    fn on_first_answered(&mut self) -> Vec<Effect> {
        match self.plan.clone() {
            Plan::Join(destination) => {
                self.second = Some(CallLeg { id: self.second_id, phase: LegPhase::Dialling });
                vec![Effect::TellAnswered, Effect::Dial(Side::Second, destination), Effect::ArmRingTimer]
            }
            Plan::Application(app) => {
                self.phase = Phase::Talking;
                vec![Effect::DisarmRingTimer, Effect::Run(Side::First, app), Effect::TellBridged]
            }
            Plan::Hold => {
                self.phase = Phase::Talking;
                vec![Effect::DisarmRingTimer, Effect::TellAnswered]
            }
        }
    }

    fn on_gone(&mut self, side: Side, cause: HangupCause) -> Vec<Effect> {
        let Some(leg) = self.leg_mut(side) else { return Vec::new() };
        if leg.phase == LegPhase::Over {
            return Vec::new();
        }
        leg.phase = LegPhase::Over;
        self.end(cause)
    }

    fn on_ring_timeout(&mut self) -> Vec<Effect> {
        if self.phase != Phase::Connecting { Vec::new() } else { self.end(HangupCause::NoAnswer) }
    }

    /// Ends the call: every leg that still stands is rejected, cancelled or released.
    fn end(&mut self, cause: HangupCause) -> Vec<Effect> {
        let answered = self.phase == Phase::Talking;
        self.phase = Phase::Over(cause.clone());
        let mut effects = vec![Effect::DisarmRingTimer];
        for side in [Side::First, Side::Second] {
            let Some(leg) = self.leg_mut(side) else { continue };
            let effect = match leg.phase {
                LegPhase::Offered => Effect::Reject(side, cause.clone()),
                LegPhase::Dialling => Effect::Cancel(side),
                LegPhase::Up => Effect::Release(side, cause.clone()),
                LegPhase::Over => continue,
            };
            leg.phase = LegPhase::Over;
            effects.push(effect);
        }
        effects.push(Effect::TellOver { cause, answered });
        effects
    }
}
