//! Who may send a request outside dialogs: a trunk from its address, or a user who proves its password and whose name is
//! in From. A stranger is challenged once and then refused; neither leaves any state.
//!
//! Not here: the proof itself (`authentication`).

use std::time::Instant;

use super::Endpoint;
use super::authentication::Admission;
use super::event::Source;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::Message;

impl Endpoint {
    /// Returns whether a message is ignored unread: a request from an address that was silenced.
    pub(super) fn is_ignored(&self, flow: &Flow, bytes: &[u8], now: Instant) -> bool {
        self.authentication.ignores(flow, bytes, now) && self.trunks.owner_of(flow).is_none()
    }

    /// Returns whether a request outside dialogs may be acted upon, and its proven source.
    pub(super) fn source_of(&mut self, flow: &Flow, request: &Message<'_>, now: Instant) -> Admission<Source> {
        if let Some(trunk) = self.trunks.owner_of(flow) {
            return Admission::Admitted(Source::Trunk(trunk.name.clone()));
        }
        let from = request.from().ok().and_then(|from| from.uri.user_decoded()).unwrap_or_default().into_owned();
        match self.authenticate(flow, request, now) {
            Admission::Admitted(user) if user == from => Admission::Admitted(Source::User(user)),
            Admission::Admitted(_) => Admission::Refused { status: 403, why: "other_user" },
            Admission::Challenge { stale } => Admission::Challenge { stale },
            Admission::Refused { status, why } => Admission::Refused { status, why },
        }
    }

    /// Returns the user whose password the request proves.
    pub(super) fn authenticate(&mut self, flow: &Flow, request: &Message<'_>, now: Instant) -> Admission<String> {
        let against = (&self.registrar, self.trunks.owner_of(flow).is_some());
        self.authentication.authenticate(flow, request, against, now, &mut self.out)
    }

    /// Asks for a password.
    pub(super) fn challenge(&mut self, flow: &Flow, request: &Message<'_>, status: u16, stale: bool, now: Instant) {
        let name = if status == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
        let challenges = self.authentication.challenges(flow, stale, now);
        let response = challenges.iter().fold(self.response(flow, request, status), |response, challenge| {
            response.header(name.as_str(), challenge)
        });
        self.reply(flow, request, response);
    }
}
