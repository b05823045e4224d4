//! Who hears whom: legs that are joined, and legs that wait.

use super::CallTask;
use crate::call::{Input, Side, WaitingSound};
use crate::config::App;
use crate::worker::WorkerCommand;

impl CallTask {
    pub(super) fn join(&mut self) {
        for side in [Side::First, Side::Second] {
            self.end_wait(side);
        }
        if let (Some(a), Some(b)) = (self.first.media(), self.second.media()) {
            self.media_command(WorkerCommand::Bridge { a, b });
        }
    }

    /// Lets a leg hear the third one, which has not answered.
    pub(super) fn join_with_third(&mut self, side: Side) {
        self.end_wait(side);
        if let (Some(a), Some(b)) = (self.leg(side).media(), self.third.media()) {
            self.media_command(WorkerCommand::Bridge { a, b });
        }
    }

    /// Parts a leg from the other one and lets it hear that it waits.
    pub(super) fn wait(&mut self, side: Side, sound: WaitingSound) {
        let app = match sound {
            WaitingSound::Ringback => App::Ringback,
            WaitingSound::Hold => App::Hold,
        };
        self.leg_mut(side).waits = true;
        if let Some(leg) = self.leg(side).media() {
            self.media_command(WorkerCommand::Unbridge { leg });
            self.media_command(WorkerCommand::App { leg, app: Some(app) });
        }
    }

    fn end_wait(&mut self, side: Side) {
        if std::mem::take(&mut self.leg_mut(side).waits)
            && let Some(leg) = self.leg(side).media()
        {
            self.media_command(WorkerCommand::App { leg, app: None });
        }
    }

    /// A leg of which nothing comes any more is lost, and one without a connection and without sound; until there is sound, or a
    /// connection to one that is on hold.
    pub(super) async fn judge_loss(&mut self, side: Side) {
        let leg = self.leg(side);
        if leg.out_of_reach || leg.unreachable && (leg.silent || leg.on_hold) {
            self.transition(Input::Lost(side)).await;
        // A silent one will offer its media anew, or is dead by the worker's clock.
        } else if !leg.silent && leg.media().is_some() {
            self.transition(Input::Back(side)).await;
        }
    }
}
