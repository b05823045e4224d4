//! Session timers (RFC 4028).
//!
//! The peer proposes an interval in its INVITE; we agree and leave the refreshing to it (`refresher=uac`), as browsers
//! expect. When it wants us to refresh and knows UPDATE, we do. A session that is not refreshed in time is hung up.

use std::time::{Duration, Instant};

use super::command::DialogId;
use super::flow::Flow;
use super::legs::{Leg, LegState, PeerAbilities, SessionTimer};
use super::tables::ClientUser;
use super::{Endpoint, SUPPORTED, Timeout};
use crate::sip::dialog::Dialog;
use crate::sip::header::{Name, Params};
use crate::sip::message::{Message, Method, parse_delta_seconds};
use crate::sip::write::{RequestBuilder, ResponseBuilder};

/// Smallest interval that RFC 4028 section 5 lets anyone ask for.
pub(super) const MIN_SE: u32 = 90;

/// What a request says about the session's interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// Nothing, or something that we need not take part in.
    None,
    Agreed(SessionTimer),
    /// 422.
    TooSmall,
}

impl Endpoint {
    pub(super) fn session_proposal(&self, request: &Message<'_>) -> Proposal {
        let peer = PeerAbilities::of(request);
        let Some((seconds, refresher)) = session_expires(request) else { return Proposal::None };
        if seconds < MIN_SE {
            return if peer.timer { Proposal::TooSmall } else { Proposal::None };
        }
        // A peer without timers cannot refresh; a proxy has asked in its name (section 9).
        let we_refresh = refresher.map_or(!peer.timer, |refresher| refresher.eq_ignore_ascii_case("uas"));
        if we_refresh && !peer.update {
            // Without UPDATE we could not refresh, so we do not promise to.
            return Proposal::None;
        }
        Proposal::Agreed(SessionTimer { interval: Duration::from_secs(u64::from(seconds)), we_refresh })
    }

    /// The interval that the answer to our INVITE sets. There `uas` is the peer.
    pub(super) fn session_of_answer(&self, answer: &Message<'_>, peer: PeerAbilities) -> Option<SessionTimer> {
        let (seconds, refresher) = session_expires(answer).filter(|(seconds, _)| *seconds >= MIN_SE)?;
        let we_refresh = !refresher.is_some_and(|refresher| refresher.eq_ignore_ascii_case("uas"));
        let interval = Duration::from_secs(u64::from(seconds));
        (!we_refresh || peer.update).then_some(SessionTimer { interval, we_refresh })
    }

    /// Arms the session's timer anew, or takes it away.
    pub(super) fn watch_session(&mut self, leg: &mut Leg, now: Instant) {
        let LegState::Talking(talking) = &leg.state else { return };
        let deadline = talking.session.map(|session| now + session.delay());
        self.rearm(&mut leg.session_timer, deadline, now, Timeout::Session(leg.id));
    }

    /// A request of the peer has refreshed the session, maybe with another interval.
    pub(super) fn session_refreshed(&mut self, id: DialogId, session: Option<SessionTimer>, now: Instant) {
        let Some(mut leg) = self.legs.remove(&id) else { return };
        if let LegState::Talking(talking) = &mut leg.state {
            talking.session = session;
            self.watch_session(&mut leg, now);
        }
        self.legs.insert(id, leg);
    }

    pub(super) fn session_timer(&mut self, id: DialogId, now: Instant) {
        let Some(mut leg) = self.legs.remove(&id) else { return };
        leg.session_timer = None;
        let LegState::Talking(talking) = &mut leg.state else {
            self.legs.insert(id, leg);
            return;
        };
        match talking.session {
            Some(SessionTimer { interval, we_refresh: true }) if talking.closing.is_none() => {
                let finish = |request: RequestBuilder, dialog: &Dialog| {
                    request
                        .header("Contact", &dialog.contact)
                        .header("Supported", SUPPORTED)
                        .header("Session-Expires", format_args!("{};refresher=uac", interval.as_secs()))
                };
                let user = ClientUser::Refresh(id);
                self.request_in_dialog(&mut talking.dialog, Method::Update, user, finish, now);
                self.watch_session(&mut leg, now);
                self.legs.insert(id, leg);
            }
            Some(SessionTimer { we_refresh: false, .. }) if talking.closing.is_none() => {
                self.legs.insert(id, leg);
                self.dialog_is_dead(id, "the session was not refreshed", now);
            }
            _ => {
                self.legs.insert(id, leg);
            }
        }
    }

    /// An answer to our UPDATE. A refusal other than "no such dialog" is tried again at the next refresh.
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
                if let Some(talking) = self.talking(id) {
                    talking.dialog.refresh(response, *flow);
                }
            }
            422 => {
                let least = response.header(Name::MinSe).and_then(parse_delta_seconds).unwrap_or(MIN_SE);
                if let Some(session) = self.talking(id).and_then(|talking| talking.session.as_mut()) {
                    session.interval = session.interval.max(Duration::from_secs(u64::from(least)));
                }
            }
            _ => {}
        }
    }
}

/// Tells the agreed interval in a 2xx; `refresher` is seen from the request (RFC 4028 section 9).
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

/// Seconds and refresher of Session-Expires.
fn session_expires<'m>(message: &'m Message<'_>) -> Option<(u32, Option<&'m str>)> {
    let value = message.header(Name::SessionExpires)?;
    let (seconds, params) = value.split_at(value.find(';').unwrap_or(value.len()));
    let seconds = parse_delta_seconds(seconds.trim())?;
    let params = Params::parse(params).unwrap_or_default();
    Some((seconds, params.value("refresher")))
}
