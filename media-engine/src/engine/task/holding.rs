//! Hold as telephones signal it: offers of `a=sendonly` and `a=inactive`, in both directions (RFC 3264 section 8.4).
//!
//! ```text
//!   ours     a leg is set aside ─▶ offer ─ answered ─▶ changed meanwhile? ─▶ the next offer
//!                                    └ 491 ─▶ again, once the pending offer is answered
//!   theirs   the peer's media stops receiving ours ─▶ Input::Holds
//! ```
//!
//! Not here: the sound that waiting parties hear (`music`).

use super::CallTask;
use crate::call::{Holding, Input};
use crate::leg::flow::{Flow, Incoming, Outgoing};
use crate::sdp::Session;
use crate::units::LegId;

impl CallTask {
    /// Judges by a leg's media whether its own telephone has put the call on hold: the leg does not receive our media. If it
    /// sends a sound, the others hear that.
    pub(super) async fn judge_holding(&mut self, id: LegId, flow: &Flow) {
        let holding = match (&flow.outgoing, &flow.incoming) {
            (Outgoing::OnHold, Incoming::Flowing) => Holding::Sounding,
            (Outgoing::OnHold, _) => Holding::Silent,
            _ => Holding::No,
        };
        self.holds(id, holding).await;
    }

    /// Judges the same at once, by our answer to the leg's offer.
    pub(super) async fn judge_answer(&mut self, id: LegId, answer: &str) {
        let Ok(session) = Session::parse(answer.as_bytes()) else { return };
        let Some(media) = session.media.iter().find(|media| media.port != 0) else { return };
        let ours = session.direction_of(media);
        let before = self.leg(id).map(|leg| leg.holding);
        let holding = match (ours.sends(), ours.receives()) {
            (true, _) => Holding::No,
            // The media will show whether the leg sends a sound.
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
        // A hold that we requested ourselves does not count as the telephone's.
        let Some(leg) = self.leg_mut(id).filter(|leg| !leg.hold_offered) else { return };
        if std::mem::replace(&mut leg.holding, holding) != holding {
            self.handle(Input::Holds { leg: id, holding }).await;
        }
    }

    /// Shows a leg that it is on hold or no longer on hold, if its settings ask for that.
    pub(super) fn show_hold(&mut self, id: LegId) {
        let on = self.call.is_set_aside(id);
        if let Some(leg) = self.leg_mut(id) {
            leg.hold_wanted = on;
        }
        self.offer_hold(id);
    }

    /// Offers the current hold state, if it has changed and no other offer is pending.
    pub(super) fn offer_hold(&mut self, id: LegId) {
        let agents = self.shared.config.sip.hold;
        let offer = self.leg_mut(id).and_then(|leg| Some((leg.dialog?, leg.offer_hold(agents)?)));
        if let Some((dialog, sdp)) = offer {
            tracing::debug!(call = %self.id, leg = %id, "offering the hold state to a leg");
            self.signals().offer(dialog, sdp);
        }
    }

    /// Handles an offer that the leg did not accept. If another offer was pending, ours is repeated after it.
    pub(super) fn on_offer_failed(&mut self, id: LegId, status: u16) {
        tracing::info!(call = %self.id, leg = %id, status, "a leg did not accept an offer");
        if let Some(leg) = self.leg_mut(id) {
            leg.hold_offer_failed(status == 491);
        }
    }
}
