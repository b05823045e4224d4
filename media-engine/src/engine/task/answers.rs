//! Session descriptions of a call's legs: theirs are taken, ours are made.
//!
//! ```text
//!   callee:  183 ─▶ on_early_media ─▶ 200 ─▶ on_answer        media is the last answer's
//!   caller:  describe ─▶ 183 (answer_early) ─▶ 200 (accept)    both say the same
//! ```

use super::CallTask;
use crate::call::{Input, Side};
use crate::engine::event::LegState;
use crate::engine::leg::NoMedia;
use crate::error::HangupCause;
use crate::sip::{DialogId, SipCommand};

impl CallTask {
    /// Whether the sound that a leg sends before its answer can be heard: the other one is there, or can be.
    pub(super) fn can_hear_early(&self, side: Side) -> bool {
        let other = self.leg(self.call.partner(side));
        self.leg(side).takes_early_media() && (other.offer.is_some() || other.media().is_some())
    }

    pub(super) async fn on_early_media(&mut self, side: Side, sdp: &str) {
        let worker = self.worker.clone();
        match self.leg_mut(side).take_answer(&worker, sdp).await {
            Ok(()) => self.transition(Input::EarlyMedia(side)).await,
            Err(error) => {
                tracing::info!(call = %self.id, leg = %self.leg(side).id, %error, "early media cannot be used");
                self.transition(Input::Ringing(side)).await;
            }
        }
    }

    /// The answer to an offer that the peer had asked for: to our first one, or to a repetition of what was agreed.
    pub(super) async fn on_later_answer(&mut self, side: Side, sdp: &str) {
        let worker = self.worker.clone();
        let first = std::mem::take(&mut self.leg_mut(side).awaits_answer);
        let taken = match first {
            true => self.leg_mut(side).take_answer(&worker, sdp).await,
            false => self.leg_mut(side).take_later_answer(&worker, sdp),
        };
        match taken {
            Ok(()) if first => self.tell_leg(side, LegState::Answered),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(call = %self.id, leg = %self.leg(side).id, %error, "the answer cannot be used");
                self.transition(Input::Hangup(HangupCause::Incompatible)).await;
            }
        }
    }

    pub(super) async fn on_answer(&mut self, side: Side, sdp: &str, remote: std::net::SocketAddr) {
        let worker = self.worker.clone();
        match self.leg_mut(side).take_answer(&worker, sdp).await {
            Ok(()) => {
                tracing::debug!(call = %self.id, %remote, codec = self.leg(side).codec, "leg answered");
                self.tell_leg(side, LegState::Answered);
                self.transition(Input::Answered(side)).await;
            }
            Err(error) => {
                tracing::warn!(call = %self.id, leg = %self.leg(side).id, %error, "the answer cannot be used");
                if let Some(dialog) = self.leg(side).dialog {
                    self.sip(SipCommand::Bye { dialog, reason: Some("SIP;cause=488".into()) });
                }
                self.transition(Input::Failed(side, HangupCause::Incompatible)).await;
            }
        }
    }

    /// Opens an offered leg's media before the call is answered.
    pub(super) async fn answer_early(&mut self, side: Side) {
        let Some(dialog) = self.leg(side).dialog else { return };
        match self.describe(side).await {
            Ok(sdp) => self.sip(SipCommand::Progress { dialog, status: 183, sdp: Some(sdp) }),
            Err(error) => self.refuse_offer(side, dialog, &error),
        }
    }

    pub(super) async fn accept(&mut self, side: Side) {
        let Some(dialog) = self.leg(side).dialog else { return };
        match self.describe(side).await {
            Ok(sdp) => {
                self.sip(SipCommand::Accept { dialog, sdp });
                if !self.leg(side).awaits_answer {
                    self.tell_leg(side, LegState::Answered);
                }
                if side == Side::Third {
                    self.pending.push_back(Input::Answered(side));
                }
            }
            Err(error) => self.refuse_offer(side, dialog, &error),
        }
    }

    /// Our description for a leg that called us: the answer to its offer, or an offer when it made none.
    async fn describe(&mut self, side: Side) -> Result<String, NoMedia> {
        if let Some(answer) = &self.leg(side).answer {
            return Ok(answer.clone());
        }
        let partner = self.call.partner(side);
        let prefer = self.leg(partner).audio.as_ref().map(|audio| audio.codec);
        let (shared, worker, media_in) = (self.shared.clone(), self.worker.clone(), self.media_in.clone());
        let noise = self.leg(partner).has_noise();
        let leg = self.leg_mut(side);
        leg.noise = noise;
        let sdp = if leg.offer.is_some() {
            leg.make_answer(&shared, &worker, &media_in, prefer.as_ref()).await?
        } else {
            leg.awaits_answer = true;
            leg.make_offers(&shared, &worker, &media_in, prefer.as_ref(), false).await?.sdp
        };
        leg.answer = Some(sdp.clone());
        Ok(sdp)
    }

    fn refuse_offer(&mut self, side: Side, dialog: DialogId, error: &NoMedia) {
        tracing::warn!(call = %self.id, leg = %self.leg(side).id, %error, "the offer cannot be answered");
        self.sip(SipCommand::Reject { dialog, status: 488, reason: None });
        self.pending.push_back(Input::Failed(side, HangupCause::Incompatible));
    }
}
