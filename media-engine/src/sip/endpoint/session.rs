//! Requests that keep a session alive (RFC 4028): UPDATE, or re-INVITE for a peer without it.
//!
//! Our INVITEs propose an interval and let the peer choose who refreshes. An incoming call gets the interval that it
//! proposes, refreshed by the caller unless it wants us to (`refresher=uas`), as browsers expect.
//!
//! Not here: when a refresh is due (`session_timer`).

use std::time::Instant;

use super::Endpoint;
use super::command::DialogId;
use super::legs::LegState;
use super::legs::OurOffer;
use super::session_timer::{Due, SessionTimer, min_se, refresh_session};
use super::tables::ClientUser;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Method};
use crate::sip::write::RequestBuilder;

impl Endpoint {
    /// Handles a request that has refreshed the session, maybe with another interval.
    pub(super) fn session_refreshed(&mut self, id: DialogId, agreed: Option<SessionTimer>, now: Instant) {
        if let Some(talking) = self.legs.talking(id) {
            talking.session.refreshed(agreed, id, now, &mut self.out);
        }
    }

    /// Handles the timer of a session.
    pub(super) fn session_timer(&mut self, id: DialogId, now: Instant) {
        let Some(talking) = self.legs.talking(id).filter(|talking| talking.closing.is_none()) else { return };
        match talking.session.due(id, now, &mut self.out) {
            Some(Due::Refresh) => self.send_refresh(id, now),
            Some(Due::Expired) => self.dialog_is_dead(id, "the session was not refreshed", now),
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
            let session = talking.session.agreed();
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
                let session = SessionTimer::of_answer(response);
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
        if self.legs.talking(id).is_some_and(|talking| talking.session.raise(least)) {
            self.send_refresh(id, now);
        }
    }
}
