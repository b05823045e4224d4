//! The transition function.

use super::{Call, Effect, Input, LegPhase, Phase, Plan, Side, TransferState};
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
            Input::Transfer { by, to } => self.on_transfer(by, to),
            Input::Replace(side) => self.on_replace(side),
            Input::Take(side) => self.on_take(side),
            Input::LeaveTimeout => self.on_leave_timeout(),
            Input::Lost(side) => self.on_lost(side),
            Input::Back(side) => self.on_back(side),
            Input::LostTimeout => self.on_lost_timeout(),
        }
    }

    fn on_proceed(&mut self) -> Vec<Effect> {
        if self.phase != Phase::Announced {
            return Vec::new();
        }
        match self.plan.clone() {
            Plan::Join(destination) => {
                self.phase = Phase::Connecting;
                self.second = Some(LegPhase::Dialling);
                vec![Effect::Dial(Side::Second, destination), Effect::ArmRingTimer]
            }
            Plan::Application(app) => {
                self.phase = Phase::Talking;
                self.first = LegPhase::Up;
                vec![Effect::Accept(Side::First), Effect::Run(Side::First, app), Effect::TellBridged]
            }
            Plan::Hold => {
                self.phase = Phase::Talking;
                self.first = LegPhase::Up;
                vec![Effect::Accept(Side::First), Effect::TellAnswered]
            }
        }
    }

    fn on_ringing(&mut self, side: Side) -> Vec<Effect> {
        if side == Side::Third {
            return self.on_third_ringing();
        }
        if self.phase != Phase::Connecting || self.leg(side) != Some(LegPhase::Dialling) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        // A caller who hears the callee's own ring-back needs none of its telephone's.
        if side == Side::Second && self.first == LegPhase::Offered && !self.early {
            effects.push(Effect::Alert(Side::First));
        }
        if !(side == Side::Second && self.first == LegPhase::Up) {
            effects.push(Effect::TellRinging);
        }
        effects
    }

    fn on_early_media(&mut self, side: Side) -> Vec<Effect> {
        if side == Side::Third {
            return self.on_third_early_media();
        }
        let dialling = self.leg(side) == Some(LegPhase::Dialling);
        if self.phase != Phase::Connecting || side != Side::Second || !dialling || self.early {
            return Vec::new();
        }
        self.early = true;
        match self.first {
            LegPhase::Offered => vec![Effect::AnswerEarly(Side::First), Effect::Join, Effect::TellRinging],
            _ => vec![Effect::Join],
        }
    }

    fn on_answered(&mut self, side: Side) -> Vec<Effect> {
        if side == Side::Third {
            return self.on_third_answered();
        }
        let Some(leg) = self.leg_mut(side).filter(|leg| **leg == LegPhase::Dialling) else { return Vec::new() };
        *leg = LegPhase::Up;
        match side {
            Side::First => self.on_first_answered(),
            Side::Second | Side::Third => self.on_second_answered(),
        }
    }

    fn on_second_answered(&mut self) -> Vec<Effect> {
        let mut effects = vec![Effect::DisarmRingTimer];
        if self.first == LegPhase::Offered {
            self.first = LegPhase::Up;
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
                self.second = Some(LegPhase::Dialling);
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
        if side == Side::Third {
            return self.on_third_over(cause, false);
        }
        let Some(leg) = self.leg_mut(side).filter(|leg| **leg != LegPhase::Over) else { return Vec::new() };
        *leg = LegPhase::Over;
        if self.successor_of(side) {
            // It leaves the other party to its successor.
            return vec![Effect::Forget(side)];
        }
        self.end(cause)
    }

    fn on_ring_timeout(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Connecting => self.end(HangupCause::NoAnswer),
            _ if self.leg(Side::Third) == Some(LegPhase::Dialling) => self.on_third_over(HangupCause::NoAnswer, true),
            _ => Vec::new(),
        }
    }

    /// Ends the call: every leg that still stands is rejected, cancelled or released.
    pub(super) fn end(&mut self, cause: HangupCause) -> Vec<Effect> {
        let answered = self.phase == Phase::Talking;
        self.phase = Phase::Over(cause.clone());
        let mut effects = vec![Effect::DisarmRingTimer];
        if let Some(by) = self.transferor() {
            effects.push(Effect::TellTransfer(by, TransferState::Failed(cause.clone())));
        }
        for side in Side::ALL {
            let Some(leg) = self.leg_mut(side) else { continue };
            let effect = match leg {
                LegPhase::Offered => Effect::Reject(side, cause.clone()),
                LegPhase::Dialling => Effect::Cancel(side),
                LegPhase::Up => Effect::Release(side, cause.clone()),
                LegPhase::Over => continue,
            };
            *leg = LegPhase::Over;
            effects.push(effect);
        }
        effects.push(Effect::TellOver { cause, answered });
        effects
    }
}
