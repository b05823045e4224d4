//! How one leg takes another's place in a call that is talking: transfers, and INVITE with Replaces.
//!
//! ```text
//!   Transfer ─▶ third leg Dialling ─answers─▶ Exchange ─▶ the transferor stands third and has its time to hang up
//!                     └ fails ─▶ transferor still there? joined again : the call ends
//!   Replace  ─▶ third leg Offered ─accepted─▶ Exchange ─▶ what was replaced is hung up at once (RFC 3891 section 3)
//! ```
//!
//! - One succession at a time; a leg that still leaves makes room for the next.
//! - A transferor that hangs up leaves the transfer running (RFC 5589 section 6.1); when the party that stays hangs up, all
//!   is over.

use super::{Call, Destination, Effect, LegPhase, Side, TransferState, WaitingSound};
use crate::error::HangupCause;

/// The leg beside the two that are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Third {
    pub(super) phase: LegPhase,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is to take the place of `of`.
    Successor { of: Side, by: Means },
    /// It was replaced and may hang up by itself.
    Leaving,
}

/// How a successor comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// We call it; the party that stays waits, or hears it already (`heard`).
    Called { heard: bool },
    /// It is fetched from another call, in which it is up.
    Fetched,
    /// It called us.
    Came,
}

impl Call {
    /// Whether this leg's place may be taken now: both are up, and nobody else is about to take one's place.
    pub fn may_be_succeeded(&self, side: Side) -> bool {
        let both_up = [Side::First, Side::Second].into_iter().all(|side| self.leg(side) == Some(LegPhase::Up));
        let free = !matches!(&self.third, Some(Third { part: Part::Successor { .. }, .. }));
        // Somebody may come for a lost leg; its party's doings can wait.
        let present = self.lost.is_none_or(|lost| lost == side);
        self.is_talking() && side != Side::Third && both_up && free && present
    }

    /// Whom this leg is joined with, or will be.
    pub fn partner(&self, side: Side) -> Side {
        match (&self.third, side) {
            (Some(Third { part: Part::Successor { of, .. }, .. }), Side::Third) => of.other(),
            _ => side.other(),
        }
    }

    /// Whether this leg is heard, or will be: not once it was replaced.
    pub fn takes_part(&self, side: Side) -> bool {
        side != Side::Third || matches!(&self.third, Some(Third { part: Part::Successor { .. }, .. }))
    }

    /// Whether somebody is about to take this leg's place.
    pub(super) fn successor_of(&self, side: Side) -> bool {
        matches!(&self.third, Some(Third { part: Part::Successor { of, .. }, .. }) if *of == side)
    }

    /// Who waits for the outcome of a transfer.
    pub fn transferor(&self) -> Option<Side> {
        match &self.third {
            Some(Third { part: Part::Successor { of, by: Means::Called { .. } | Means::Fetched }, .. }) => Some(*of),
            _ => None,
        }
    }

    pub(super) fn on_transfer(&mut self, by: Side, to: Option<Destination>) -> Vec<Effect> {
        if !self.may_be_succeeded(by) {
            return vec![Effect::TellTransfer(by, TransferState::Refused)];
        }
        let means = if to.is_some() { Means::Called { heard: false } } else { Means::Fetched };
        let mut effects = self.let_go();
        self.third = Some(Third { phase: LegPhase::Dialling, part: Part::Successor { of: by, by: means } });
        effects.push(Effect::TellTransfer(by, TransferState::Started));
        if let Some(to) = to {
            effects.push(Effect::Wait(by.other(), WaitingSound::Ringback));
            effects.extend([Effect::Dial(Side::Third, to), Effect::ArmRingTimer]);
        }
        effects
    }

    pub(super) fn on_replace(&mut self, side: Side) -> Vec<Effect> {
        if !self.may_be_succeeded(side) {
            return Vec::new();
        }
        let mut effects = self.let_go();
        self.third = Some(Third { phase: LegPhase::Offered, part: Part::Successor { of: side, by: Means::Came } });
        effects.push(Effect::Accept(Side::Third));
        effects
    }

    /// The leg that is joined with `side` goes on in another call; this one is over.
    pub(super) fn on_take(&mut self, side: Side) -> Vec<Effect> {
        if !self.may_be_succeeded(side) {
            return Vec::new();
        }
        let taken = side.other();
        if let Some(leg) = self.leg_mut(taken) {
            *leg = LegPhase::Over;
        }
        let mut effects = vec![Effect::Give(taken)];
        effects.extend(self.end(HangupCause::Transferred));
        effects
    }

    pub(super) fn on_third_ringing(&self) -> Vec<Effect> {
        match (self.leg(Side::Third), self.transferor()) {
            (Some(LegPhase::Dialling), Some(by)) => vec![Effect::TellTransfer(by, TransferState::Ringing)],
            _ => Vec::new(),
        }
    }

    pub(super) fn on_third_early_media(&mut self) -> Vec<Effect> {
        let Some(Third { phase: LegPhase::Dialling, part: Part::Successor { of, by: Means::Called { heard } } }) =
            &mut self.third
        else {
            return Vec::new();
        };
        if std::mem::replace(heard, true) {
            return Vec::new();
        }
        vec![Effect::JoinThird(of.other()), Effect::TellTransfer(*of, TransferState::Ringing)]
    }

    /// The successor is there.
    pub(super) fn on_third_answered(&mut self) -> Vec<Effect> {
        let Some(Third { phase: LegPhase::Offered | LegPhase::Dialling, part: Part::Successor { of, by } }) =
            self.third
        else {
            return Vec::new();
        };
        let mut effects = vec![Effect::DisarmRingTimer];
        if by != Means::Came {
            effects.push(Effect::TellTransfer(of, TransferState::Done));
        }
        effects.push(Effect::Exchange(of));
        effects.extend(self.found(of));
        let replaced = self.leg_mut(of).map(|leg| std::mem::replace(leg, LegPhase::Up));
        self.third = None;
        if by != (Means::Called { heard: true }) {
            effects.push(Effect::Join);
        }
        effects.push(Effect::Listen(of));
        match (replaced, by) {
            (Some(LegPhase::Up), Means::Came) => {
                effects.push(Effect::Release(Side::Third, HangupCause::Transferred));
                effects.push(Effect::Forget(Side::Third));
            }
            (Some(LegPhase::Up), _) => {
                self.third = Some(Third { phase: LegPhase::Up, part: Part::Leaving });
                effects.push(Effect::ArmLeaveTimer);
            }
            // It went before, and nothing of it is left.
            _ => {}
        }
        effects
    }

    /// The third leg failed, went or rang too long (`ringing`: it is still to be cancelled).
    pub(super) fn on_third_over(&mut self, cause: HangupCause, ringing: bool) -> Vec<Effect> {
        let Some(Third { part, .. }) = self.third else { return Vec::new() };
        let Part::Successor { of, by } = part else {
            self.third = None;
            return vec![Effect::Forget(Side::Third)];
        };
        let mut effects = vec![Effect::DisarmRingTimer];
        if by != Means::Came {
            effects.push(Effect::TellTransfer(of, TransferState::Failed(cause.clone())));
        }
        if ringing {
            effects.push(Effect::Cancel(Side::Third));
        }
        effects.push(Effect::Forget(Side::Third));
        self.third = None;
        if self.leg(of) == Some(LegPhase::Over) {
            effects.extend(self.end(cause));
        } else if matches!(by, Means::Called { .. }) {
            let waits = self.wait_for_lost();
            effects.extend(if waits.is_empty() { vec![Effect::Join] } else { waits });
        }
        effects
    }

    pub(super) fn on_leave_timeout(&mut self) -> Vec<Effect> {
        self.let_go()
    }

    /// Hangs up a leg that was replaced and has not gone by itself.
    fn let_go(&mut self) -> Vec<Effect> {
        if !matches!(&self.third, Some(Third { part: Part::Leaving, .. })) {
            return Vec::new();
        }
        self.third = None;
        vec![Effect::Release(Side::Third, HangupCause::Transferred), Effect::Forget(Side::Third)]
    }
}
