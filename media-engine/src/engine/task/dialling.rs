//! Legs that a call dials.
//!
//! ```text
//!   transfer, added ─▶ ask ─ LegWanted ─▶ control plane ─ LegProceed ─▶ dial          LegReject, or no decision within 2 s ─▶ failed
//!   else     ─▶ dial (the call itself was decided)
//! ```
//!
//! Invariant: an agent's name is shown to agents only.

use super::{CallTask, Rooms};
use crate::call::{Destination, EndedBy, Ending, Input};
use crate::engine::dial::{self, Refusal, name_of};
use crate::engine::event::{EventKind, LegRole, LegState};
use crate::engine::leg::Leg;
use crate::engine::signalling::Ring;
use crate::error::HangupCause;
use crate::sdp::Codec;
use crate::sip::{DialogId, Source, Target};
use crate::units::{LegId, mask};

/// Refusal of a call to an agent of another group: the same as the SIP core's for an agent who is not registered, so that neither
/// reveals whether the agent exists.
const NOT_REACHED: Refusal = Refusal { status: 480, why: "Not Registered" };

/// Header of an INVITE to a supervisor's telephone, with the id of the supervised call. A page distinguishes by it the INVITE
/// that it requested from calls that must ring.
const SUPERVISES: &str = "Tandem-Supervises";
/// Header of an INVITE to the telephone of an agent who picks up a parked call.
const PICKS_UP: &str = "Tandem-Picks-Up";

impl CallTask {
    /// Asks whether a transfer's leg may be called.
    pub(super) fn ask(&mut self, id: LegId, by: LegId, destination: &Destination) {
        let transferor = self.leg(by).and_then(Leg::owner);
        let agent = transferor.and_then(|owner| match owner {
            Source::User(user) => Some(user.clone()),
            Source::Trunk(_) => None,
        });
        let emergency = matches!(destination, Destination::Emergency { .. });
        let to = name_of(destination).to_owned();
        self.enter(id, to.clone());
        self.shared.tell(Some(self.id), EventKind::LegWanted { leg: id, to, agent, emergency });
    }

    /// Applies the control plane's decision on a leg that a transfer wants.
    pub(super) async fn on_leg_decided(&mut self, id: LegId, decision: Result<Option<String>, HangupCause>) {
        match decision {
            Ok(from) => {
                if let Some(leg) = self.leg_mut(id) {
                    // An identity that a request asked for was judged when the request came.
                    leg.shown = leg.shown.take().or(from);
                }
                self.handle(Input::Allowed(id)).await;
            }
            Err(cause) => {
                tracing::info!(call = %self.id, leg = %id, cause = cause.as_str(), "the control plane refused a leg");
                self.handle(Input::Denied(id, cause.into())).await;
            }
        }
    }

    /// Adds a leg that is to be called.
    fn enter(&mut self, id: LegId, peer: String) {
        if self.leg(id).is_none() {
            let role = self.call.role(id).unwrap_or(LegRole::Customer);
            let mut leg = Leg::new(id, role, peer);
            leg.added = self.call.is_added(id);
            self.legs.push(leg);
        }
    }

    /// Calls a leg; if that fails, the leg is gone at once.
    pub(super) async fn ring(&mut self, id: LegId, destination: Destination) {
        self.enter(id, name_of(&destination).to_owned());
        if let Err(unreached) = self.try_ring(id, destination).await {
            tracing::warn!(call = %self.id, leg = %id, why = unreached.why, "a leg could not be called");
            self.pending.push_back(Input::Gone(id, unreached.ending.clone()));
            self.unreached = Some(unreached);
        }
    }

    /// Returns the text that a caller gets besides the status: why the leg that ended the call could not be reached. A caller who
    /// is not one of our users gets the status only.
    pub(super) fn words_for(&self, caller: LegId, cause: &HangupCause) -> Option<&str> {
        let is_user = matches!(self.leg(caller).and_then(Leg::owner), Some(Source::User(_)));
        let unreached = self.unreached.as_ref().filter(|unreached| is_user && unreached.ending.cause == *cause)?;
        Some(&unreached.why)
    }

    async fn try_ring(&mut self, id: LegId, destination: Destination) -> Result<(), Unreached> {
        let shared = self.shared.clone();
        let (destination, target) = match &destination {
            Destination::Agent(user) | Destination::Browser(user) if !self.reaches(user) => Err(NOT_REACHED),
            _ => dial::target(&shared, destination).await,
        }?;
        let owner = match &destination {
            Destination::Agent(user) | Destination::Browser(user) => Some(Source::User(user.clone())),
            Destination::Trunk { trunk, .. } | Destination::Emergency { trunk, .. } => {
                Some(Source::Trunk(trunk.clone()))
            }
            Destination::Uri(_) => None,
        };
        let trunk = match &destination {
            Destination::Trunk { trunk, .. } | Destination::Emergency { trunk, .. } => shared.trunk(Some(trunk)),
            _ => None,
        };
        let mut headers = self.passed.clone();
        headers.retain(|(name, _)| trunk.is_none_or(|trunk| trunk.sip.passes(name)));
        let may_be_browser = matches!(destination, Destination::Agent(_) | Destination::Browser(_));
        if may_be_browser && self.call.role(id) == Some(LegRole::Supervisor) {
            headers.push((SUPERVISES.to_owned(), self.id.to_string()));
        }
        if may_be_browser && self.picks_up == Some(id) {
            headers.push((PICKS_UP.to_owned(), self.id.to_string()));
        }
        let prefer = self.first_offered_codec(id);
        let noise = self.partner(id).is_some_and(Leg::has_noise);
        let dialog = DialogId::outgoing();
        let Some((leg, Rooms { shared, worker, events })) = self.with_leg(id) else { return Ok(()) };
        leg.owner = owner.map(|owner| shared.claim(owner, &worker));
        leg.peer = name_of(&destination).to_owned();
        if let Some(trunk) = trunk {
            leg.goes_through(trunk);
        }
        leg.noise = noise;
        leg.peer_address = match &target {
            Target::Uri { addr, .. } => Some(addr.ip()),
            _ => None,
        };
        let offers = leg.make_offers(&shared, &worker, &events, prefer.as_ref(), may_be_browser).await;
        let offers =
            offers.map_err(|error| Unreached { ending: HangupCause::Unreachable.into(), why: error.to_string() })?;
        leg.dialog = Some(dialog);
        shared.dialogs.insert(dialog, (self.id, self.inbox_in.clone()));
        let from = self.shown_to(id, may_be_browser);
        if let Some(leg) = self.leg(id) {
            self.name_dialog(leg);
            tracing::info!(call = %self.id, leg = %id, to = %mask(&leg.peer), "calling");
        }
        self.tell_leg(id, LegState::Ringing);
        // A leg that joins a running call is called by the party that wants it there, not by the caller.
        let anonymous = self.anonymous && (!self.joins_later(id) || may_be_browser);
        self.signals().ring(dialog, Ring { target, from, anonymous, cause: self.cause.clone(), headers, offers });
        Ok(())
    }

    /// Returns whether an agent belongs to this call's group. An unclaimed call from a trunk takes the agent's group.
    pub(super) fn reaches(&mut self, user: &str) -> bool {
        let theirs = self.shared.group_of(user);
        if std::mem::take(&mut self.is_unclaimed) {
            self.group = theirs;
        }
        self.group == theirs
    }

    /// Returns whether a leg is called into a call that is already talking: by a transfer, or beside the others.
    fn joins_later(&self, id: LegId) -> bool {
        self.call.place_of_heir(id).is_some() || self.leg(id).is_some_and(|leg| leg.added)
    }

    /// Returns the identity that a dialled leg is shown: for an agent who joins a talking call, the party in it; outside, the
    /// identity that was decided.
    fn shown_to(&self, id: LegId, is_agent: bool) -> Option<String> {
        let joins_later = self.joins_later(id);
        if let Some((_, shown)) = self.first_shown.as_ref().filter(|(first, _)| *first == id) {
            return shown.clone().or_else(|| is_agent.then(|| "tandem".into()));
        }
        if !is_agent {
            return if joins_later { self.leg(id)?.shown.clone() } else { self.from.clone() };
        }
        let is_added = self.leg(id).is_some_and(|leg| leg.added);
        let customer = || self.legs.iter().find(|leg| leg.id != id && leg.role == LegRole::Customer);
        let stays = if is_added { customer() } else { self.partner(id) };
        let stays = stays.map(|leg| leg.peer.clone()).filter(|peer| joins_later && !peer.is_empty());
        stays.or_else(|| self.caller.clone()).or_else(|| Some("tandem".into()))
    }

    /// Returns the caller's first codec, which is offered first to the other leg so that packets can be relayed.
    fn first_offered_codec(&self, dialled: LegId) -> Option<Codec> {
        let other = self.partner(dialled)?;
        if let Some(audio) = &other.audio {
            return Some(audio.codec);
        }
        let offer = other.offer.as_ref()?;
        let session = crate::sdp::Session::parse(offer.as_bytes()).ok()?;
        session.first_audio_codec()
    }
}

/// A leg that could not be reached.
pub(super) struct Unreached {
    pub(super) ending: Ending,
    pub(super) why: String,
}

impl From<Refusal> for Unreached {
    fn from(refusal: Refusal) -> Unreached {
        let Refusal { status, why } = refusal.counted();
        let ending = Ending { by: EndedBy::Tandem, text: Some(why.to_owned()), ..Ending::refused(status) };
        Unreached { ending, why: why.to_owned() }
    }
}
