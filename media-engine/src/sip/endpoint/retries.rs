//! Retries of refused INVITEs, changed as the refusal demands.
//!
//! ```text
//!   422 ─▶ with the interval that the callee wants (RFC 4028 section 7.4)
//!   3xx ─▶ to its contacts, one after the other, as long as they are the same trunk (RFC 3261 section 8.1.3.4)
//! ```
//! The new INVITE has the Call-ID, From and To of the old one and the next CSeq, and replaces it in the call.
//!
//! Not here: challenges, and failover to other destinations.

use std::time::Instant;

use super::Endpoint;
use super::abilities::SDP;
use super::early_dialogs::EarlyDialogs;
use super::ids::TagOwner;
use super::session_timer::{INTERVAL, min_se};
use super::tables::{Client, ClientUser};
use crate::sip::dial::{Dialled, Plan, Verdict, Written};
use crate::sip::flow::{Flow, Transport};
use crate::sip::header::Name;
use crate::sip::message::{Message, Method};
use crate::sip::trunk::TrunkIndex;
use crate::sip::uri::Uri;
use crate::sip::write::RequestBuilder;

/// Most contacts of a redirection that are tried.
const MAX_CONTACTS: usize = 5;

/// Differences between a retried INVITE and the first one.
struct Change<'c> {
    flow: Flow,
    /// The Request-URI, if it changes.
    uri: Option<&'c str>,
    /// Headers, which replace those with the same name.
    headers: &'c [(Name, String)],
}

impl Endpoint {
    /// Handles the refusal of an INVITE that is still wanted; returns whether it was sent again, in which case the
    /// refusal is not reported.
    pub(super) fn retry_call(
        &mut self,
        client: &mut Client,
        response: &Message<'_>,
        status: u16,
        now: Instant,
    ) -> bool {
        let ClientUser::Fork(fork) = &mut client.user else { return false };
        let request = std::mem::take(&mut fork.request);
        if fork.abandoned || !self.has_room() {
            return false;
        }
        if status == 422 && !fork.raised {
            fork.raised = true;
            let least = min_se(response).as_secs();
            let session = (Name::SessionExpires, least.max(u64::from(INTERVAL)).to_string());
            let headers = [session, (Name::MinSe, least.to_string())];
            let change = Change { flow: client.flow, uri: None, headers: &headers };
            return self.send_retry(client, &request, change, now);
        }
        if (300..400).contains(&status) && fork.contacts.is_none() {
            let trunk = fork.place.as_ref().map(|place| place.trunk);
            fork.contacts = Some(self.usable_contacts(trunk, &client.flow, response));
        }
        let next = fork.contacts.as_mut().filter(|_| status < 600).and_then(|contacts| contacts.pop());
        let Some((uri, flow)) = next else { return false };
        self.send_retry(client, &request, Change { flow, uri: Some(&uri), headers: &[] }, now)
    }

    /// Returns the contacts of a redirection that may be called, the last one first: at addresses of the trunk that
    /// redirects, with numbers that may be called there.
    fn usable_contacts(&self, trunk: Option<TrunkIndex>, flow: &Flow, response: &Message<'_>) -> Vec<(String, Flow)> {
        let trunk = trunk.map(|trunk| self.trunks.trunk(trunk));
        let (Some(trunk), Transport::Udp) = (trunk, flow.transport) else { return Vec::new() };
        let usable = |uri: &Uri<'_>| {
            let ip = uri.host.ip().filter(|ip| trunk.addresses.contains(ip) && ip.is_ipv4() == flow.local.is_ipv4())?;
            self.may_lead_to(uri, &trunk.settings.plan).then_some(())?;
            let udp = uri.transport().is_none_or(|transport| transport.eq_ignore_ascii_case("udp"));
            let plain = uri.as_str().starts_with("sip:") && uri.headers.is_none() && udp;
            plain.then(|| flow.towards((ip, uri.port.unwrap_or(5060)).into()))
        };
        let contacts = response.contacts().filter_map(|contact| {
            let contact = contact.ok()?;
            let uri = contact.address()?.uri;
            Some((uri.as_str().to_owned(), usable(&uri)?))
        });
        let mut contacts: Vec<_> = contacts.take(MAX_CONTACTS).collect();
        contacts.reverse();
        contacts
    }

    /// Returns whether the number or name of a redirection, and its routing number (RFC 4694), may be called.
    fn may_lead_to(&self, uri: &Uri<'_>, plan: &Plan) -> bool {
        let guard = &self.config.guard;
        let judged = |dialled: Dialled| match dialled {
            // A caller of another number is not redirected to the emergency services.
            Dialled::Emergency(_) => false,
            Dialled::Number { number, .. } => guard.verdict(&number, plan) == Verdict::Allowed,
            Dialled::Uri { user, .. } => guard.verdict_of_name(&user, plan) == Verdict::Allowed,
        };
        let user = uri.user_decoded().unwrap_or_default();
        let mut routed_by = user.split(';').skip(1).filter_map(|param| param.trim_start().strip_prefix("rn="));
        uri.password.is_none()
            && Written::of_uri(uri).is_ok_and(|written| judged(guard.dialled(written)))
            && routed_by.all(|number| guard.read(number).is_ok_and(judged))
    }

    /// Sends the INVITE again; the new transaction replaces the old one.
    fn send_retry(&mut self, client: &mut Client, request: &[u8], change: Change<'_>, now: Instant) -> bool {
        let Ok(invite) = Message::parse(request) else { return false };
        let ClientUser::Fork(fork) = &mut client.user else { return false };
        let old_uri = invite.request_uri().map_or("", |uri| uri.as_str());
        let cseq = invite.cseq().map_or(0, |cseq| cseq.number).saturating_add(1);
        let branch = self.tokens.branch_again(invite.top_via().ok().and_then(|via| via.branch()));
        let uri = change.uri.unwrap_or(old_uri);
        let mut again = RequestBuilder::new("INVITE", uri).header("Via", self.config.via(&change.flow, &branch));
        let written = [Name::Via, Name::CSeq, Name::ContentType, Name::ContentLength];
        for (name, value) in invite.all_headers() {
            let known = Name::parse(name);
            let changed = known != Name::Other && change.headers.iter().any(|(name, _)| *name == known);
            if !(changed || written.contains(&known)) {
                again = again.header(name, value);
            }
        }
        for (name, value) in change.headers {
            again = again.header(name.as_str(), value);
        }
        let bytes = again.header("CSeq", format_args!("{cseq} INVITE")).body(SDP, invite.body()).build();
        fork.provisional = false;
        fork.early = EarlyDialogs::default();
        let (dialog, tag) = (fork.dialog, fork.local_tag.clone());
        let trunk = fork.place.as_ref().map(|place| place.trunk);
        let user = std::mem::replace(&mut client.user, ClientUser::Nobody);
        let new = self.start_client_of(trunk, change.flow, &branch, Method::Invite, bytes, user, now);
        self.legs.give_tag(tag, TagOwner::Fork(new));
        if let Some(calling) = self.legs.calling(dialog) {
            for fork in calling.forks.iter_mut().filter(|(fork, _)| *fork == client.id) {
                *fork = (new, change.flow);
            }
        }
        self.attempt_again(dialog, now);
        true
    }
}
