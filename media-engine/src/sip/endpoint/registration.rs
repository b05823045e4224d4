//! Incoming REGISTER requests (RFC 3261 section 10.3, RFC 3327, RFC 5626).

use std::time::{Duration, Instant};

use super::Endpoint;
use super::abilities::has_option;
use super::authentication::Admission;
use super::event::SipEvent;
use crate::sip::flow::Flow;
use crate::sip::header::{Contact, Name, NameAddr};
use crate::sip::message::{Message, parse_delta_seconds};
use crate::sip::registrar::{Change, ContactChange, Origin};

/// Most contacts in one REGISTER.
const MAX_CONTACTS: usize = 16;

/// Why a REGISTER cannot be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ungranted {
    /// 400 with this label.
    Bad(&'static str),
    /// 423: the requested expiry is below our minimum.
    TooBrief,
}

impl Endpoint {
    pub(super) fn receive_register(&mut self, flow: &Flow, request: &Message<'_>, now: Instant) {
        let user = match self.authenticate(flow, request, now) {
            Admission::Admitted(user) => user,
            Admission::Challenge { stale } => {
                self.out.refused(flow, if stale { "stale_nonce" } else { "challenged" });
                return self.challenge(flow, request, 401, stale, now);
            }
            Admission::Refused { status, why } => return self.refuse(flow, request, status, why),
        };
        let of = request.to().ok().and_then(|to| to.uri.user_decoded()).unwrap_or_default();
        if of != user {
            return self.refuse(flow, request, 403, "other_user");
        }
        if !flow.transport.is_reliable()
            && let Some(why) = self.full_for(flow)
        {
            return self.refuse(flow, request, 503, why);
        }
        let outbound = has_option(request, Name::Supported, "outbound");
        let change = match self.registration_change(request, outbound) {
            Ok(change) => change,
            Err(Ungranted::TooBrief) => {
                let least = self.config.registration_min.as_secs();
                let response = self.response(flow, request, 423).header("Min-Expires", least);
                return self.answer(flow, request, response, now);
            }
            Err(Ungranted::Bad(why)) => {
                self.out.refused(flow, why);
                return self.answer(flow, request, self.response(flow, request, 400), now);
            }
        };
        let path: Vec<String> = request.headers(Name::Path).map(str::to_owned).collect();
        let origin = Origin {
            flow: *flow,
            call_id: request.call_id().unwrap_or_default(),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
            path: &path,
        };
        let Ok(contacts) = self.registrar.update(&user, &change, &origin, now) else {
            self.out.refused(flow, "register_out_of_order");
            return self.answer(flow, request, self.response(flow, request, 500), now);
        };
        let kept_flow = matches!(&change, Change::Contacts(list) if list.iter().any(|c| c.instance.is_some()));
        if let Change::Contacts(contacts) = &change {
            for contact in contacts.iter().filter(|contact| !contact.expires.is_zero()) {
                self.device_returned(&user, &contact.uri, flow);
            }
        }
        self.confirm_registration(flow, request, &user, outbound && kept_flow, now);
        if change != Change::Contacts(Vec::new()) {
            self.event(SipEvent::Registered { user, contacts });
        }
    }

    /// Sends 200 with all contacts of the user, each as received, with its remaining time.
    fn confirm_registration(&mut self, flow: &Flow, request: &Message<'_>, user: &str, outbound: bool, now: Instant) {
        let mut response = self.response(flow, request, 200);
        for binding in self.registrar.bindings(user) {
            // Rounded up, so that a peer that refreshes in the last second is not too late.
            let left = binding.expires_at.saturating_duration_since(now).as_millis().div_ceil(1000);
            response = response.header("Contact", format_args!("{};expires={left}", binding.contact));
        }
        for path in request.headers(Name::Path) {
            response = response.header("Path", path);
        }
        if outbound {
            response = response.header("Require", "outbound");
        }
        self.answer(flow, request, response.header("Supported", "path, outbound"), now);
    }

    fn registration_change(&self, request: &Message<'_>, outbound: bool) -> Result<Change, Ungranted> {
        let mut contacts = Vec::new();
        for (index, value) in request.headers(Name::Contact).enumerate() {
            if index >= MAX_CONTACTS {
                return Err(Ungranted::Bad("too_many_contacts"));
            }
            match Contact::parse(value) {
                Ok(Contact::Star) => {
                    let alone = request.headers(Name::Contact).count() == 1 && request.expires() == Some(0);
                    return if alone { Ok(Change::RemoveAll) } else { Err(Ungranted::Bad("star_contact")) };
                }
                Ok(Contact::Address(address)) => {
                    let expires = self.granted_expiry(request, &address)?;
                    contacts.push(contact_change(value, &address, expires, outbound));
                }
                Err(_) => return Err(Ungranted::Bad("contact")),
            }
        }
        Ok(Change::Contacts(contacts))
    }

    /// Returns the expiry of a contact: the requested one, at most our longest.
    fn granted_expiry(&self, request: &Message<'_>, address: &NameAddr<'_>) -> Result<Duration, Ungranted> {
        let wish = address.params.value("expires").and_then(parse_delta_seconds).or_else(|| request.expires());
        let longest = self.config.registration_expires;
        match wish.map(|seconds| Duration::from_secs(u64::from(seconds))) {
            None => Ok(longest),
            Some(wish) if wish.is_zero() => Ok(wish),
            Some(wish) if wish < self.config.registration_min => Err(Ungranted::TooBrief),
            Some(wish) => Ok(wish.min(longest)),
        }
    }
}

fn contact_change(value: &str, address: &NameAddr<'_>, expires: Duration, outbound: bool) -> ContactChange {
    let reg_id = address.params.value("reg-id").and_then(parse_delta_seconds).filter(|id| *id > 0 && outbound);
    let instance = address.params.value("+sip.instance").zip(reg_id);
    ContactChange {
        contact: without_expires(value),
        uri: address.uri.as_str().to_owned(),
        instance: instance.map(|(instance, reg_id)| (instance.to_owned(), reg_id)),
        expires,
    }
}

/// Returns a Contact value as written, without its `expires` parameter. Values without angle brackets get them.
fn without_expires(value: &str) -> String {
    let value = value.trim();
    let Ok(address) = NameAddr::parse(value) else { return value.to_owned() };
    let uri = address.uri.as_str();
    let start = uri.as_ptr() as usize - value.as_ptr() as usize;
    let end = start + uri.len();
    let (before, mut after) = (&value[..start], &value[end..]);
    let bracketed = after.starts_with('>');
    let mut out = String::with_capacity(value.len() + 2);
    out.push_str(before);
    out.push_str(if bracketed { "" } else { "<" });
    out.push_str(uri);
    out.push('>');
    after = after.strip_prefix('>').unwrap_or(after);
    let Some(params) = after.trim_start().strip_prefix(';') else { return out };
    for param in crate::sip::header::SplitOutside::new(params, b';') {
        let name = param.split('=').next().unwrap_or_default().trim();
        if !name.eq_ignore_ascii_case("expires") && !param.trim().is_empty() {
            out.push(';');
            out.push_str(param);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_echoed_as_written_without_its_expiry() {
        for (value, echoed) in [
            (
                "<sip:k7p@x1.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:1;2>\";expires=600",
                "<sip:k7p@x1.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:1;2>\"",
            ),
            ("\"A <b>\" <sip:a@b>;expires=1;q=0.5", "\"A <b>\" <sip:a@b>;q=0.5"),
            ("sip:a@b;expires=60", "<sip:a@b>"),
            ("<sip:a@b;expires=5>", "<sip:a@b;expires=5>"),
        ] {
            assert_eq!(without_expires(value), echoed);
        }
    }
}
