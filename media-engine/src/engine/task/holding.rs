//! Hold as telephones show it: offers of `a=sendonly` and `a=inactive`, in both directions (RFC 3264 section 8.4).
//!
//! ```text
//!   ours     a leg is set aside ─▶ offer ─ answered ─▶ changed meanwhile? ─▶ the next offer
//!                                    └ 491 ─▶ again, once the offer that was under way is answered
//!   theirs   its media does not want to hear us ─▶ Input::Holds
//! ```
//!
//! Not here: what who waits hears (`music`).

use super::CallTask;
use crate::call::{Holding, Input};
use crate::leg::flow::{Flow, Incoming, Outgoing};
use crate::sdp::Session;
use crate::units::LegId;

impl CallTask {
    /// Whether a leg's own telephone has put the call on hold: by its media. It does not want to hear us; one that sends a sound lets the
    /// others hear that.
    pub(super) async fn judge_holding(&mut self, id: LegId, flow: &Flow) {
        let holding = match (&flow.outgoing, &flow.incoming) {
            (Outgoing::OnHold, Incoming::Flowing) => Holding::Sounding,
            (Outgoing::OnHold, _) => Holding::Silent,
            _ => Holding::No,
        };
        self.holds(id, holding).await;
    }

    /// The same by our answer to its offer, at once.
    pub(super) async fn judge_answer(&mut self, id: LegId, answer: &str) {
        let Ok(session) = Session::parse(answer.as_bytes()) else { return };
        let Some(media) = session.media.iter().find(|media| media.port != 0) else { return };
        let ours = session.direction_of(media);
        let before = self.leg(id).map(|leg| leg.holding);
        let holding = match (ours.sends(), ours.receives()) {
            (true, _) => Holding::No,
            // Its media tells whether it has a sound.
            (false, true) if before == Some(Holding::Silent) => Holding::Silent,
            (false, true) => Holding::Sounding,
            (false, false) => Holding::Silent,
        };
        self.holds(id, holding).await;
    }

    async fn holds(&mut self, id: LegId, holding: Holding) {
        if self.call.check_connected(id).is_err() {
            return;
        }
        // What we asked for ourselves is no doing of its telephone's.
        let Some(leg) = self.leg_mut(id).filter(|leg| !leg.hold_offered) else { return };
        if std::mem::replace(&mut leg.holding, holding) != holding {
            self.handle(Input::Holds { leg: id, holding }).await;
        }
    }

    /// Shows a leg that it was set aside, or is so no more, where that is wanted.
    pub(super) fn show_hold(&mut self, id: LegId) {
        let on = self.call.is_set_aside(id);
        if let Some(leg) = self.leg_mut(id) {
            leg.hold_wanted = on;
        }
        self.offer_hold(id);
    }

    /// An offer to the leg, or one of its own, has been answered: what has changed meanwhile is offered now.
    pub(super) fn offer_hold(&mut self, id: LegId) {
        let agents = self.shared.config.sip.hold;
        let offer = self.leg_mut(id).and_then(|leg| Some((leg.dialog?, leg.offer_hold(agents)?)));
        if let Some((dialog, sdp)) = offer {
            tracing::debug!(call = %self.id, leg = %id, "a leg is shown whether it is on hold");
            self.signals().offer(dialog, sdp);
        }
    }

    /// The leg took no offer. Where another one was under way, ours is made again behind it.
    pub(super) fn on_offer_failed(&mut self, id: LegId, status: u16) {
        tracing::info!(call = %self.id, leg = %id, status, "a leg took no offer");
        if let Some(leg) = self.leg_mut(id) {
            leg.hold_offer_failed(status == 491);
        }
    }
}
