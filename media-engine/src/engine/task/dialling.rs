//! Legs that a call dials.
//!
//! ```text
//!   transfer, added ─▶ ask ─ LegWanted ─▶ control plane ─ LegProceed ─▶ dial          LegReject, or nothing within 2 s ─▶ failed
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

/// What a call to an agent of another group is answered: the words of the SIP core for an agent who is not registered, so that
/// neither tells whether there is one.
const NOT_REACHED: Refusal = Refusal { status: 480, why: "Not Registered" };

/// Header of an INVITE to a supervisor's telephone: the call that is supervised, by which a page tells this INVITE, that it asked for,
/// from calls that must ring.
const SUPERVISES: &str = "Tandem-Supervises";
/// The same of an INVITE to a telephone whose agent picks up a parked call.
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

    /// The control plane has decided on a leg that a transfer wants.
    pub(super) async fn on_leg_decided(&mut self, id: LegId, decision: Result<Option<String>, HangupCause>) {
        match decision {
            Ok(from) => {
                if let Some(leg) = self.leg_mut(id) {
                    // What a request asked for was judged when it came.
                    leg.shown = leg.shown.take().or(from);
                }
                self.handle(Input::Allowed(id)).await;
            }
            Err(cause) => {
                tracing::info!(call = %self.id, leg = %id, cause = cause.as_str(), "a further leg was refused");
                self.handle(Input::Denied(id, cause.into())).await;
            }
        }
    }

    /// Takes a leg in that is to be called.
    fn enter(&mut self, id: LegId, peer: String) {
        if self.leg(id).is_none() {
            let role = self.call.role(id).unwrap_or(LegRole::Customer);
            let mut leg = Leg::new(id, role, peer);
            leg.added = self.call.is_added(id);
            self.legs.push(leg);
        }
    }

    /// Calls a leg; when that cannot be, it is gone at once.
    pub(super) async fn ring(&mut self, id: LegId, destination: Destination) {
        self.enter(id, name_of(&destination).to_owned());
        if let Err(unreached) = self.try_ring(id, destination).await {
            tracing::warn!(call = %self.id, leg = %id, why = unreached.why, "a leg could not be called");
            self.pending.push_back(Input::Gone(id, unreached.ending.clone()));
            self.unreached = Some(unreached);
        }
    }

    /// What a caller is told in words besides the status: why the leg could not be reached that ended the call. A stranger is told
    /// the status alone.
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
        // A leg that joins a running call is called by whoever wants it there, not by the caller.
        let anonymous = self.anonymous && (!self.joins_later(id) || may_be_browser);
        self.signals().ring(dialog, Ring { target, from, anonymous, cause: self.cause.clone(), headers, offers });
        Ok(())
    }

    /// Whether an agent is of this call's group. A call from a trunk that nobody has claimed becomes the agent's.
    pub(super) fn reaches(&mut self, user: &str) -> bool {
        let theirs = self.shared.group_of(user);
        if std::mem::take(&mut self.is_unclaimed) {
            self.group = theirs;
        }
        self.group == theirs
    }

    /// Whether a leg is called into a call that talks already: by a transfer, or beside the others.
    fn joins_later(&self, id: LegId) -> bool {
        self.call.place_of_heir(id).is_some() || self.leg(id).is_some_and(|leg| leg.added)
    }

    /// Who calls, as a dialled leg is shown it. To an agent who joins a call that talks: the party that is in it. Outside: the
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

    /// The caller's first codec: offered first to the other leg, so that both can be relayed.
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
