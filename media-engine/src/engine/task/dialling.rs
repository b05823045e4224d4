//! Legs that a call dials.

use super::CallTask;
use crate::call::{Destination, Input, Side};
use crate::engine::dial;
use crate::engine::event::LegState;
use crate::engine::leg::{Leg, Offers};
use crate::error::HangupCause;
use crate::sdp::Codec;
use crate::sip::{DialogId, SipCommand, Source, Target};
use crate::units::mask;

impl CallTask {
    pub(super) async fn dial(&mut self, side: Side, destination: Destination) {
        let failed = |why: String, task: &mut CallTask| {
            tracing::warn!(call = %task.id, why, "a leg could not be called");
            task.pending.push_back(Input::Failed(side, HangupCause::Unreachable));
        };
        if side == Side::Third {
            self.third = Leg::new(self.shared.new_leg(), self.role_of_third(), String::new());
        }
        let owner = match &destination {
            Destination::Agent(user) => Some(Source::User(user.clone())),
            Destination::Trunk { trunk, .. } | Destination::Emergency { trunk, .. } => {
                Some(Source::Trunk(trunk.clone()))
            }
            Destination::Uri(_) => None,
        };
        self.leg_mut(side).owner = owner.map(|owner| self.shared.claim(owner, &self.worker));
        self.leg_mut(side).peer = match &destination {
            Destination::Agent(user) | Destination::Trunk { user, .. } | Destination::Emergency { user, .. } => {
                user.clone()
            }
            Destination::Uri(uri) => uri.clone(),
        };
        if matches!(destination, Destination::Emergency { .. }) {
            self.longest = None;
        }
        let shared = self.shared.clone();
        let trunk = match &destination {
            Destination::Trunk { trunk, .. } | Destination::Emergency { trunk, .. } => shared.trunk(Some(trunk)),
            _ => None,
        };
        if let Some(trunk) = trunk {
            self.leg_mut(side).goes_through(trunk);
        }
        let mut headers = self.passed.clone();
        headers.retain(|(name, _)| trunk.is_none_or(|trunk| trunk.sip.passes(name)));
        let target = match dial::target(&destination, &shared.sip).await {
            Ok(target) => target,
            Err(why) => return failed(why, self),
        };
        let prefer = self.first_offered_codec(side);
        let may_be_browser = matches!(destination, Destination::Agent(_));
        let (worker, media_in) = (self.worker.clone(), self.media_in.clone());
        self.leg_mut(side).noise = self.leg(self.call.partner(side)).has_noise();
        let leg = self.leg_mut(side);
        leg.peer_address = match &target {
            Target::Uri { addr, .. } => Some(addr.ip()),
            _ => None,
        };
        let offers = leg.make_offers(&shared, &worker, &media_in, prefer.as_ref(), may_be_browser).await;
        let Offers { sdp, sdp_v6, webrtc_sdp } = match offers {
            Ok(offers) => offers,
            Err(error) => return failed(error.to_string(), self),
        };
        let dialog = DialogId::outgoing();
        self.leg_mut(side).dialog = Some(dialog);
        self.shared.dialogs.insert(dialog, (self.id, self.inbox_in.clone()));
        self.name_dialog(side);
        let from_user = self.shown_to(side, may_be_browser).unwrap_or_else(|| "tandem".into());
        tracing::info!(call = %self.id, leg = %self.leg(side).id, to = %mask(&self.leg(side).peer), "calling");
        self.tell_leg(side, LegState::Ringing);
        self.sip(SipCommand::Invite {
            dialog,
            target,
            from_user,
            from_display: None,
            anonymous: self.anonymous,
            headers,
            sdp,
            sdp_v6,
            webrtc_sdp,
        });
    }

    /// Who calls, as a dialled leg is shown it: to an agent who gets a transferred call, the party that stays in it.
    fn shown_to(&self, side: Side, is_agent: bool) -> Option<String> {
        let stays = &self.leg(self.call.partner(side)).peer;
        let shows_other = side == Side::Third && is_agent && !stays.is_empty();
        if shows_other { Some(stays.clone()) } else { self.from.clone() }
    }

    /// The caller's first codec: offered first to the other leg, so that both can be relayed.
    fn first_offered_codec(&self, dialled: Side) -> Option<Codec> {
        let other = self.leg(self.call.partner(dialled));
        if let Some(audio) = &other.audio {
            return Some(audio.codec);
        }
        let offer = other.offer.as_ref()?;
        let session = crate::sdp::Session::parse(offer.as_bytes()).ok()?;
        session.first_audio_codec()
    }
}
