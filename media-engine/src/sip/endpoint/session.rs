//! Session timers (RFC 4028).
//!
//! ```text
//!   refreshed ─▶ half the interval ── ours: UPDATE, or re-INVITE for a peer without it ─▶ refreshed
//!            └─▶ min(32 s, a third) before the end ─▶ BYE
//! ```
//! Our INVITEs propose an interval and let the peer choose who refreshes. An incoming call gets the interval that it
//! proposes, refreshed by the caller unless it wants us to (`refresher=uas`), as browsers expect.

use std::time::{Duration, Instant};

use super::Endpoint;
use super::abilities::{PeerAbilities, SUPPORTED};
use super::command::DialogId;
use super::legs::{Leg, LegState, OurOffer, SessionTimer};
use super::outbox::Timeout;
use super::tables::ClientUser;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::{Name, Params};
use crate::sip::message::{Message, Method, parse_delta_seconds};
use crate::sip::write::{RequestBuilder, ResponseBuilder};

/// Smallest interval that RFC 4028 section 5 allows.
pub(super) const MIN_SE: u32 = 90;
/// The interval that we propose, in seconds: the value that RFC 4028 section 4 recommends.
pub(super) const INTERVAL: u32 = 1800;

/// A request's proposal for the session interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// No proposal, or one that needs no part of ours.
    None,
    Agreed(SessionTimer),
    /// The interval is too small: 422.
    TooSmall,
}

/// State of a refresh of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Refresh {
    #[default]
    Idle,
    Sent,
    /// Sent again with the longer interval that a 422 has asked for.
    Raised,
}

impl Endpoint {
    pub(super) fn session_proposal(&self, request: &Message<'_>) -> Proposal {
        let peer = PeerAbilities::of(request);
        let Some((seconds, refresher)) = session_expires(request) else { return Proposal::None };
        if seconds < MIN_SE {
            return if peer.timer { Proposal::TooSmall } else { Proposal::None };
        }
        // A peer without timers cannot refresh; a proxy has asked on its behalf (section 9).
        let we_refresh = refresher.map_or(!peer.timer, |refresher| refresher.eq_ignore_ascii_case("uas"));
        Proposal::Agreed(SessionTimer { interval: Duration::from_secs(u64::from(seconds)), we_refresh })
    }

    /// Returns the interval set by the response to a request of ours, in which `uas` is the peer.
    pub(super) fn session_of_answer(&self, answer: &Message<'_>) -> Option<SessionTimer> {
        let (seconds, refresher) = session_expires(answer).filter(|(seconds, _)| *seconds >= MIN_SE)?;
        let we_refresh = !refresher.is_some_and(|refresher| refresher.eq_ignore_ascii_case("uas"));
        Some(SessionTimer { interval: Duration::from_secs(u64::from(seconds)), we_refresh })
    }

    /// Arms the session's timer anew, or cancels it.
    pub(super) fn watch_session(&mut self, leg: &mut Leg, now: Instant) {
        let LegState::Talking(talking) = &leg.state else { return };
        let refreshing = talking.refresh != Refresh::Idle;
        let deadline = talking.session.map(|session| now + session.delay(refreshing));
        self.out.rearm(&mut leg.session_timer, deadline, now, Timeout::Session(leg.id));
    }

    /// Handles a request that has refreshed the session, maybe with another interval.
    pub(super) fn session_refreshed(&mut self, id: DialogId, session: Option<SessionTimer>, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state {
            talking.session = session;
            talking.refresh = Refresh::Idle;
            self.watch_session(&mut leg, now);
        }
        self.legs.put(leg);
    }

    pub(super) fn session_timer(&mut self, id: DialogId, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        leg.session_timer = None;
        let due = match &mut leg.state {
            LegState::Talking(talking) if talking.closing.is_none() => talking.session.map(|session| {
                let refreshes = session.we_refresh && talking.refresh == Refresh::Idle;
                talking.refresh = Refresh::Sent;
                refreshes
            }),
            _ => None,
        };
        if due == Some(true) {
            self.watch_session(&mut leg, now);
        }
        self.legs.put(leg);
        match due {
            Some(true) => self.send_refresh(id, now),
            Some(false) => self.dialog_is_dead(id, "the session was not refreshed", now),
            None => {}
        }
    }

    /// Sends UPDATE if the peer supports it, else offers the present session again (section 7.4).
    fn send_refresh(&mut self, id: DialogId, now: Instant) {
        let Some(talking) = self.legs.talking(id) else { return };
        if !talking.peer.update {
            // A re-INVITE that is under way refreshes too.
            if talking.may_offer() {
                let sdp = talking.sdp.clone();
                self.send_offer(id, OurOffer::refresh(sdp), now);
            }
            return;
        }
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state {
            let session = talking.session;
            let finish = |request: RequestBuilder, dialog: &Dialog| {
                refresh_session(request.header("Contact", &dialog.contact), session)
            };
            self.request_in_dialog(&mut talking.dialog, Method::Update, ClientUser::Refresh(id), finish, now);
        }
        self.legs.put(leg);
    }

    /// Handles a response to our UPDATE. If the peer refuses the UPDATE, a re-INVITE is sent at once or later.
    pub(super) fn refresh_answer(
        &mut self,
        id: DialogId,
        flow: &Flow,
        response: &Message<'_>,
        status: u16,
        now: Instant,
    ) {
        match status {
            481 | 408 => self.dialog_is_dead(id, "the peer has lost the dialog", now),
            200..300 => {
                let session = self.session_of_answer(response);
                if let Some(talking) = self.legs.talking(id) {
                    talking.dialog.refresh(response, *flow);
                    self.session_refreshed(id, session, now);
                }
            }
            100..200 => {}
            422 => self.raise_interval(id, response, now),
            // The request came at a bad time.
            491 | 500 | 503 | 504 => self.refresh_later(id, now),
            _ => {
                if let Some(talking) = self.legs.talking(id) {
                    talking.peer.update = false;
                    self.send_refresh(id, now);
                }
            }
        }
    }

    /// Tries again by re-INVITE in some seconds. If that fails too, the session expires.
    pub(super) fn refresh_later(&mut self, id: DialogId, now: Instant) {
        let Some(talking) = self.legs.talking(id) else { return };
        // A re-INVITE that is under way refreshes too.
        if talking.our_offer.is_none() {
            let sdp = talking.sdp.clone();
            self.offer_again_later(id, OurOffer::refresh(sdp), now);
        }
    }

    /// Handles a 422 to a refresh: it is sent once more, with the interval that the peer wants.
    pub(super) fn raise_interval(&mut self, id: DialogId, response: &Message<'_>, now: Instant) {
        let least = min_se(response);
        let Some(talking) = self.legs.talking(id).filter(|talking| talking.refresh == Refresh::Sent) else { return };
        let Some(session) = &mut talking.session else { return };
        session.interval = session.interval.max(least);
        talking.refresh = Refresh::Raised;
        self.send_refresh(id, now);
    }
}

/// Adds our proposal to an INVITE.
pub(super) fn propose_session(request: RequestBuilder) -> RequestBuilder {
    request.header("Supported", SUPPORTED).header("Session-Expires", INTERVAL).header("Min-SE", MIN_SE)
}

/// Repeats the agreed interval and refresher in a request of ours within the dialog.
pub(super) fn refresh_session(request: RequestBuilder, session: Option<SessionTimer>) -> RequestBuilder {
    let request = request.header("Supported", SUPPORTED);
    let Some(session) = session else { return request };
    let refresher = if session.we_refresh { "uac" } else { "uas" };
    request.header("Session-Expires", format_args!("{};refresher={refresher}", session.interval.as_secs()))
}

/// Adds the agreed interval to a 2xx; `refresher` is relative to the request (RFC 4028 section 9).
pub(super) fn add_session(
    response: ResponseBuilder,
    session: Option<SessionTimer>,
    peer: PeerAbilities,
) -> ResponseBuilder {
    let Some(session) = session else { return response };
    let refresher = if session.we_refresh { "uas" } else { "uac" };
    let value = format!("{};refresher={refresher}", session.interval.as_secs());
    let required = (peer.timer && !session.we_refresh).then_some("timer");
    response.header("Session-Expires", value).header_opt("Require", required)
}

/// Returns the interval that a 422 asks for.
pub(super) fn min_se(response: &Message<'_>) -> Duration {
    let seconds = response.header(Name::MinSe).and_then(parse_delta_seconds).unwrap_or(MIN_SE).max(MIN_SE);
    Duration::from_secs(u64::from(seconds))
}

/// Returns seconds and refresher of Session-Expires.
fn session_expires<'m>(message: &'m Message<'_>) -> Option<(u32, Option<&'m str>)> {
    let value = message.header(Name::SessionExpires)?;
    let (seconds, params) = value.split_at(value.find(';').unwrap_or(value.len()));
    let seconds = parse_delta_seconds(seconds.trim())?;
    let params = Params::parse(params).unwrap_or_default();
    Some((seconds, params.value("refresher")))
}
