//! Legs that a call dials.
//!
//! ```text
//!   transfer ─▶ want ─ LegWanted ─▶ control plane ─ LegProceed ─▶ dial          LegReject, or nothing within 2 s ─▶ failed
//!   else     ─▶ dial (the call itself was decided)
//! ```
//!
//! Invariant: an agent's name is shown to agents only.

use super::{CallTask, DECISION};
use crate::call::{Destination, Input, Side};
use crate::engine::dial::{self, Refusal};
use crate::engine::event::{EventKind, LegState};
use crate::engine::leg::{Leg, Offers};
use crate::error::HangupCause;
use crate::net::clock;
use crate::sdp::Codec;
use crate::sip::{DialogId, SipCommand, Source, Target};
use crate::units::{LegId, mask};

/// What an agent of another group is answered, as if nobody were registered.
const NOT_REACHED: Refusal = Refusal { status: 480, why: "no agent of this call's organization has this name" };

/// A leg that waits for the control plane.
pub(super) struct Wanted {
    destination: Destination,
    until: tokio::time::Instant,
}

impl Wanted {
    pub(super) fn until(&self) -> tokio::time::Instant {
        self.until
    }
}

impl CallTask {
    /// Asks whether the third leg may be called.
    pub(super) fn want(&mut self, destination: Destination) {
        self.third = Leg::new(self.shared.new_leg(), self.role_of_third(), String::new());
        let transferor = self.call.transferor().and_then(|side| self.leg(side).owner());
        let agent = transferor.and_then(|owner| match owner {
            Source::User(user) => Some(user.clone()),
            Source::Trunk(_) => None,
        });
        let emergency = matches!(destination, Destination::Emergency { .. });
        let to = name_of(&destination).to_owned();
        self.third.peer.clone_from(&to);
        self.shared.tell(Some(self.id), EventKind::LegWanted { leg: self.third.id, to, agent, emergency });
        let until = tokio::time::Instant::from_std(clock::now() + DECISION);
        self.wanted = Some(Wanted { destination, until });
    }

    /// The control plane has decided on the third leg.
    pub(super) async fn on_leg_decided(&mut self, leg: LegId, decision: Result<Option<String>, HangupCause>) {
        if self.third.id != leg {
            return;
        }
        let Some(Wanted { destination, .. }) = self.wanted.take() else { return };
        match decision {
            Ok(from) => self.dial_third(destination, from).await,
            Err(cause) => {
                tracing::info!(call = %self.id, %leg, cause = cause.as_str(), "a transfer's leg was refused");
                self.transition(Input::Failed(Side::Third, cause)).await;
            }
        }
    }

    /// The control plane has said nothing: nobody is called past the limits but somebody in need.
    pub(super) async fn on_undecided(&mut self) {
        let Some(Wanted { destination, .. }) = self.wanted.take() else { return };
        metrics::counter!("tandem_legs_undecided_total").increment(1);
        tracing::warn!(call = %self.id, leg = %self.third.id, "no decision on a transfer's leg within 2 s");
        match destination {
            Destination::Emergency { .. } => self.dial_third(destination, None).await,
            _ => {
                self.third.failed_status = Some(503);
                self.transition(Input::Failed(Side::Third, HangupCause::Unreachable)).await;
            }
        }
    }

    async fn dial_third(&mut self, destination: Destination, from: Option<String>) {
        self.third.shown = from;
        self.dial(Side::Third, destination).await;
        self.settle().await;
    }

    pub(super) async fn dial(&mut self, side: Side, destination: Destination) {
        let failed = |cause: HangupCause, why: &str, task: &mut CallTask| {
            tracing::warn!(call = %task.id, leg = %task.leg(side).id, why, "a leg could not be called");
            task.pending.push_back(Input::Failed(side, cause));
        };
        let shared = self.shared.clone();
        let reached = match &destination {
            Destination::Agent(user) if !self.reaches(user) => Err(NOT_REACHED),
            _ => dial::target(&shared, destination).await,
        };
        let (destination, target) = match reached {
            Ok(found) => found,
            Err(refusal) => {
                let Refusal { status, why } = refusal.counted();
                self.leg_mut(side).failed_status = Some(status);
                return failed(HangupCause::from_sip_status(status), why, self);
            }
        };
        let owner = match &destination {
            Destination::Agent(user) => Some(Source::User(user.clone())),
            Destination::Trunk { trunk, .. } | Destination::Emergency { trunk, .. } => {
                Some(Source::Trunk(trunk.clone()))
            }
            Destination::Uri(_) => None,
        };
        self.leg_mut(side).owner = owner.map(|owner| self.shared.claim(owner, &self.worker));
        self.leg_mut(side).peer = name_of(&destination).to_owned();
        if matches!(destination, Destination::Emergency { .. }) {
            self.longest = None;
        }
        let trunk = match &destination {
            Destination::Trunk { trunk, .. } | Destination::Emergency { trunk, .. } => shared.trunk(Some(trunk)),
            _ => None,
        };
        if let Some(trunk) = trunk {
            self.leg_mut(side).goes_through(trunk);
        }
        let mut headers = self.passed.clone();
        headers.retain(|(name, _)| trunk.is_none_or(|trunk| trunk.sip.passes(name)));
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
            Err(error) => return failed(HangupCause::Unreachable, &error.to_string(), self),
        };
        let dialog = DialogId::outgoing();
        self.leg_mut(side).dialog = Some(dialog);
        self.shared.dialogs.insert(dialog, (self.id, self.inbox_in.clone()));
        self.name_dialog(side);
        let from_user = self.shown_to(side, may_be_browser);
        tracing::info!(call = %self.id, leg = %self.leg(side).id, to = %mask(&self.leg(side).peer), "calling");
        self.tell_leg(side, LegState::Ringing);
        self.sip(SipCommand::Invite {
            dialog,
            target,
            from_user,
            from_display: None,
            // A transfer's leg is called by whoever transfers, not by the caller.
            anonymous: self.anonymous && (side != Side::Third || may_be_browser),
            cause: self.cause.clone(),
            headers,
            sdp,
            sdp_v6,
            webrtc_sdp,
        });
    }

    /// Whether an agent is of this call's group. A call from a trunk that nobody has claimed becomes the agent's.
    fn reaches(&mut self, user: &str) -> bool {
        let theirs = self.shared.group_of(user);
        if std::mem::take(&mut self.is_unclaimed) {
            self.group = theirs;
        }
        self.group == theirs
    }

    /// Who calls, as a dialled leg is shown it. To an agent who gets a transferred call: the party that stays in it. Outside:
    /// the identity that was decided.
    fn shown_to(&self, side: Side, is_agent: bool) -> Option<String> {
        if !is_agent {
            return if side == Side::Third { self.third.shown.clone() } else { self.from.clone() };
        }
        let stays = &self.leg(self.call.partner(side)).peer;
        let shows_other = side == Side::Third && !stays.is_empty();
        let shown = if shows_other { Some(stays.clone()) } else { self.caller.clone() };
        shown.or_else(|| Some("tandem".into()))
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

/// Number, agent's name or URI.
fn name_of(destination: &Destination) -> &str {
    match destination {
        Destination::Agent(user) | Destination::Trunk { user, .. } | Destination::Emergency { user, .. } => user,
        Destination::Uri(uri) => uri,
    }
}
