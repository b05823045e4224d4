//! Session descriptions of a call's legs: takes those of peers, and makes our own.
//!
//! ```text
//!   callee:  183 ─▶ on_early_media ─▶ 200 ─▶ on_answer        the last answer decides the media
//!   caller:  describe ─▶ 183 (answer_early) ─▶ 200 (answer)    both carry the same description
//! ```

use super::{CallTask, Rooms};
use crate::call::Input;
use crate::engine::event::LegState;
use crate::engine::leg::{Leg, NoMedia};
use crate::error::HangupCause;
use crate::sip::DialogId;
use crate::units::LegId;

impl CallTask {
    /// Returns whether sound that a leg sends before its answer can be heard, by another leg that has media or can have it, or by
    /// a consumer of the call's audio.
    pub(super) fn can_hear_early(&self, leg: LegId) -> bool {
        let can_hear = |other: &Leg| other.offer.is_some() || other.media().is_some();
        self.leg(leg).is_some_and(Leg::takes_early_media) && self.partner(leg).is_none_or(can_hear)
    }

    pub(super) async fn on_early_media(&mut self, id: LegId, sdp: &str) {
        let Some((leg, rooms)) = self.with_leg(id) else { return };
        match leg.take_answer(&rooms.worker, sdp).await {
            Ok(()) => {
                self.handle(Input::EarlyMedia(id)).await;
                self.screen_early(id);
            }
            Err(error) => {
                tracing::info!(call = %self.id, leg = %id, %error, "the early media is not usable");
                self.handle(Input::Rang(id)).await;
            }
        }
    }

    /// Takes the answer to an offer that the peer had requested: our first one, or a repetition of the agreement.
    pub(super) async fn on_later_answer(&mut self, id: LegId, sdp: &str) {
        let Some((leg, rooms)) = self.with_leg(id) else { return };
        let first = std::mem::take(&mut leg.awaits_answer);
        let taken = match first {
            true => leg.take_answer(&rooms.worker, sdp).await,
            false => leg.take_later_answer(&rooms.worker, sdp),
        };
        match taken {
            Ok(()) if first => self.tell_leg(id, LegState::Answered),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(call = %self.id, leg = %id, %error, "the answer is not usable");
                self.handle(Input::HangUp(HangupCause::Incompatible)).await;
            }
        }
    }

    pub(super) async fn on_answer(&mut self, id: LegId, sdp: &str, remote: std::net::SocketAddr) {
        let Some((leg, rooms)) = self.with_leg(id) else { return };
        match leg.take_answer(&rooms.worker, sdp).await {
            Ok(()) => {
                tracing::debug!(call = %self.id, leg = %id, %remote, "leg answered");
                self.tell_leg(id, LegState::Answered);
                self.handle(Input::Answered(id)).await;
            }
            Err(error) => {
                tracing::warn!(call = %self.id, leg = %id, %error, "the answer is not usable");
                if let Some(dialog) = self.dialog(id) {
                    self.signals().hang_up_incompatible(dialog);
                }
                self.handle(Input::Gone(id, HangupCause::Incompatible.into())).await;
            }
        }
    }

    /// Answers a re-INVITE.
    pub(super) async fn answer_reoffer(&mut self, id: LegId, offer: &str) -> Result<String, NoMedia> {
        match self.with_leg(id) {
            Some((leg, rooms)) => leg.answer_reoffer(&rooms.worker, offer).await,
            None => Err(NoMedia::no_leg()),
        }
    }

    /// Opens an offered leg's media before the call is answered.
    pub(super) async fn answer_early(&mut self, leg: LegId) {
        let Some(dialog) = self.dialog(leg) else { return };
        match self.describe(leg).await {
            Ok(sdp) => self.signals().answer_early(dialog, sdp),
            Err(error) => self.refuse_offer(leg, dialog, &error),
        }
    }

    pub(super) async fn answer(&mut self, id: LegId) {
        let Some(dialog) = self.dialog(id) else { return };
        match self.describe(id).await {
            Ok(sdp) => {
                self.signals().answer(dialog, sdp);
                self.inform_answered(dialog);
                if self.leg(id).is_some_and(|leg| !leg.awaits_answer) {
                    self.tell_leg(id, LegState::Answered);
                }
                self.pending.push_back(Input::Answered(id));
            }
            Err(error) => self.refuse_offer(id, dialog, &error),
        }
    }

    /// Returns our description for a leg that called us: the answer to its offer, or an offer if it made none.
    async fn describe(&mut self, id: LegId) -> Result<String, NoMedia> {
        let partner = self.partner(id);
        let prefer = partner.and_then(|leg| leg.audio.as_ref()).map(|audio| audio.codec);
        let noise = partner.is_some_and(Leg::has_noise);
        let (leg, Rooms { shared, worker, events }) = self.with_leg(id).ok_or_else(NoMedia::no_leg)?;
        if let Some(answer) = &leg.answer {
            return Ok(answer.clone());
        }
        leg.noise = noise;
        let sdp = if leg.offer.is_some() {
            leg.make_answer(&shared, &worker, &events, prefer.as_ref()).await?
        } else {
            leg.awaits_answer = true;
            leg.make_offers(&shared, &worker, &events, prefer.as_ref(), false).await?.sdp
        };
        leg.answer = Some(sdp.clone());
        Ok(sdp)
    }

    fn refuse_offer(&mut self, leg: LegId, dialog: DialogId, error: &NoMedia) {
        tracing::warn!(call = %self.id, %leg, %error, "the offer cannot be answered");
        self.signals().refuse(dialog, 488, None);
        self.pending.push_back(Input::Gone(leg, HangupCause::Incompatible.into()));
    }
}
