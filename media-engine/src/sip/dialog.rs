//! Dialogs (RFC 3261 section 12): the shared state of two user agents between INVITE and BYE.
//!
//! ```text
//!   INVITE received ─▶ Dialog::uas ┐
//!   answer received ─▶ Dialog::uac ┴─▶ request("BYE", …) ─▶ next_flow()
//! ```
//!
//! - A dialog is identified by Call-ID and both tags; our tag by itself is unguessable.
//! - Requests go back by the flow of the peer's last message. Only a UDP peer whose Contact (or first route) is a
//!   public address is sent to that address; for private addresses, names and `.invalid` hosts the source of its last
//!   message is used.
//!
//! Not here: which requests are allowed when (`endpoint`), offers and answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::sip::flow::{Flow, Transport};
use crate::sip::header::{Name, NameAddr};
use crate::sip::message::Message;
use crate::sip::trunk::TrunkIndex;
use crate::sip::uri::Uri;
use crate::sip::write::RequestBuilder;

/// One dialog between us and a peer.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: Box<str>,
    pub(crate) local_tag: Box<str>,
    pub(crate) remote_tag: Box<str>,
    /// Our address with our tag, as in From of our requests.
    local: Box<str>,
    /// The peer's address with its tag, as in To of our requests.
    remote: Box<str>,
    /// CSeq number of our last request.
    pub(crate) local_cseq: u32,
    /// CSeq number of the peer's last request; `None` before the first.
    pub(crate) remote_cseq: Option<u32>,
    /// URI of the peer's Contact.
    target: Box<str>,
    routes: Box<[Box<str>]>,
    /// Flow of the peer's last message.
    pub(crate) flow: Flow,
    /// Our Contact value.
    pub(crate) contact: Box<str>,
    /// The trunk whose challenges are answered, by its index in the configuration.
    pub(crate) trunk: Option<TrunkIndex>,
}

impl Dialog {
    /// Creates the dialog of an INVITE from the peer, answered with `local_tag`.
    pub(crate) fn uas(invite: &Message<'_>, local_tag: &str, flow: Flow, contact: String) -> Dialog {
        let from = invite.from().ok();
        let target = invite.contact().ok().or(from).map_or("", |address| address.uri.as_str());
        Dialog {
            call_id: invite.call_id().unwrap_or_default().into(),
            local_tag: local_tag.into(),
            remote_tag: from.and_then(|from| from.tag()).unwrap_or_default().into(),
            local: format!("{};tag={local_tag}", invite.header(Name::To).unwrap_or_default()).into(),
            remote: invite.header(Name::From).unwrap_or_default().into(),
            local_cseq: 0,
            remote_cseq: invite.cseq().ok().map(|cseq| cseq.number),
            target: target.into(),
            routes: invite.headers(Name::RecordRoute).map(Box::from).collect(),
            flow,
            contact: contact.into(),
            trunk: None,
        }
    }

    /// Creates the dialog of an answer to our INVITE. `local` is the From value that we sent.
    pub(crate) fn uac(answer: &Message<'_>, local: &str, flow: Flow, contact: &str) -> Dialog {
        let to = answer.to().ok();
        let target = answer.contact().ok().or(to).map_or("", |address| address.uri.as_str());
        let mut routes: Vec<Box<str>> = answer.headers(Name::RecordRoute).map(Box::from).collect();
        routes.reverse();
        Dialog {
            call_id: answer.call_id().unwrap_or_default().into(),
            local_tag: NameAddr::parse(local).ok().and_then(|from| from.tag()).unwrap_or_default().into(),
            remote_tag: to.and_then(|to| to.tag()).unwrap_or_default().into(),
            local: local.into(),
            remote: answer.header(Name::To).unwrap_or_default().into(),
            local_cseq: answer.cseq().map_or(0, |cseq| cseq.number),
            remote_cseq: None,
            target: target.into(),
            routes: routes.into(),
            flow,
            contact: contact.into(),
            trunk: None,
        }
    }

    /// Returns whether a request from the peer belongs to this dialog.
    pub(crate) fn is_of(&self, request: &Message<'_>) -> bool {
        let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        request.call_id().is_ok_and(|call_id| *call_id == *self.call_id) && *from_tag == *self.remote_tag
    }

    /// Applies a message of the peer that may move it to another location: its flow, and for INVITE and UPDATE its
    /// Contact (RFC 3261 section 12.2.2).
    pub(crate) fn refresh(&mut self, message: &Message<'_>, flow: Flow) {
        self.flow = flow;
        if let Ok(contact) = message.contact() {
            self.target = contact.uri.as_str().into();
        }
    }

    /// Returns whether the peer's Contact names the same device as this URI: devices behind WebSockets make up user and
    /// host, and keep them for their lifetime (RFC 7118 section 5).
    pub(crate) fn is_at(&self, contact: &str) -> bool {
        let (Ok(own), Ok(other)) = (Uri::parse(&self.target), Uri::parse(contact)) else { return false };
        own.user == other.user
            && own.port == other.port
            && own.host.to_string().eq_ignore_ascii_case(&other.host.to_string())
    }

    /// Continues the numbers of the early dialog, in which requests have been sent already.
    pub(crate) fn continue_from(&mut self, early: &Dialog) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = early.remote_cseq;
    }

    /// Returns the CSeq number of our next request.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Starts a request within the dialog, complete except for Contact and body.
    pub(crate) fn request(&self, method: &str, cseq: u32, via: &str) -> RequestBuilder {
        let first_is_strict = self.routes.first().is_some_and(|route| !is_loose(route));
        let first = self.routes.first().and_then(|route| NameAddr::parse(route).ok());
        // A strict router expects itself in the Request-URI and the target as the last route (section 12.2.1.1).
        let uri = if first_is_strict { first.map_or("", |first| first.uri.as_str()) } else { &*self.target };
        let mut request = RequestBuilder::new(method, uri).header("Via", via);
        for route in self.routes.iter().skip(usize::from(first_is_strict)) {
            request = request.header("Route", route);
        }
        if first_is_strict {
            request = request.header("Route", format_args!("<{}>", self.target));
        }
        request
            .header("Max-Forwards", 70)
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format_args!("{cseq} {method}"))
    }

    /// Returns the flow of the next request.
    pub(crate) fn next_flow(&self) -> Flow {
        if self.flow.transport != Transport::Udp {
            return self.flow;
        }
        let first = self.routes.first().and_then(|route| NameAddr::parse(route).ok()).map(|route| route.uri);
        let hop = first.or_else(|| Uri::parse(&self.target).ok());
        let address = hop.and_then(|hop| {
            let ip = hop.host.ip().filter(|ip| is_public(*ip) && ip.is_ipv4() == self.flow.local.is_ipv4())?;
            let udp = hop.transport().is_none_or(|transport| transport.eq_ignore_ascii_case("udp"));
            udp.then(|| SocketAddr::new(ip, hop.port.unwrap_or(5060)))
        });
        address.map_or(self.flow, |address| self.flow.towards(address))
    }
}

fn is_loose(route: &str) -> bool {
    NameAddr::parse(route).is_ok_and(|route| route.uri.params.has("lr"))
}

/// Returns whether an address can be reached from anywhere: not private, shared, local or unspecified (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || shared)
                && v4 != Ipv4Addr::BROADCAST
                && v4.octets()[0] != 0
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::FlowId;

    const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n\
        Record-Route: <sip:198.51.100.1;lr>\r\nRecord-Route: <sip:198.51.100.2:5080;lr;ftag=x>\r\n\
        From: <sip:a@example.com>;tag=ours\r\nTo: <sip:b@example.com>;tag=theirs\r\nCall-ID: 1\r\nCSeq: 7 INVITE\r\n\
        Contact: <sip:b@10.0.0.5:5070>\r\nContent-Length: 0\r\n\r\n";

    fn flow(transport: Transport) -> Flow {
        Flow {
            id: FlowId(1),
            transport,
            local: "192.0.2.1:5060".parse().unwrap(),
            peer: "203.0.113.5:1024".parse().unwrap(),
        }
    }

    fn dialog(answer: &str, transport: Transport) -> Dialog {
        let answer = Message::parse(answer.as_bytes()).unwrap();
        Dialog::uac(&answer, "<sip:a@example.com>;tag=ours", flow(transport), "<sip:a@192.0.2.1:5060>")
    }

    #[test]
    fn the_callers_route_set_is_reversed_and_sent_in_order() {
        let dialog = dialog(OK, Transport::Udp);
        let bytes = dialog.request("BYE", 8, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK2").build();
        let bye = Message::parse(&bytes).unwrap();
        let routes: Vec<&str> = bye.headers(Name::Route).collect();
        assert_eq!(routes, ["<sip:198.51.100.2:5080;lr;ftag=x>", "<sip:198.51.100.1;lr>"]);
        assert_eq!(bye.request_uri().unwrap().as_str(), "sip:b@10.0.0.5:5070");
        assert_eq!((bye.to().unwrap().tag(), bye.cseq().unwrap().number), (Some("theirs"), 8));
        assert_eq!(dialog.next_flow().peer, "198.51.100.2:5080".parse().unwrap());
    }

    #[test]
    fn a_strict_router_finds_itself_in_the_request_uri() {
        let dialog = dialog(&OK.replace(":5080;lr;ftag=x", ":5080"), Transport::Udp);
        let bytes = dialog.request("BYE", 8, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK2").build();
        let bye = Message::parse(&bytes).unwrap();
        assert_eq!(bye.request_uri().unwrap().as_str(), "sip:198.51.100.2:5080");
        let routes: Vec<&str> = bye.headers(Name::Route).collect();
        assert_eq!(routes, ["<sip:198.51.100.1;lr>", "<sip:b@10.0.0.5:5070>"]);
    }

    #[test]
    fn requests_go_to_public_contacts_or_to_the_source_of_the_last_message() {
        let direct: String = OK.split_inclusive("\r\n").filter(|line| !line.starts_with("Record-Route")).collect();
        for (contact, transport, to) in [
            ("sip:b@198.51.100.9:5070", Transport::Udp, "198.51.100.9:5070"),
            ("sip:b@198.51.100.9", Transport::Udp, "198.51.100.9:5060"),
            ("sip:b@10.0.0.5:5070", Transport::Udp, "203.0.113.5:1024"),
            ("sip:b@100.64.9.9", Transport::Udp, "203.0.113.5:1024"),
            ("sip:b@127.0.0.1:5070", Transport::Udp, "203.0.113.5:1024"),
            ("sip:b@f7b.invalid;transport=ws", Transport::Udp, "203.0.113.5:1024"),
            ("sip:b@[2001:db8::1]", Transport::Udp, "203.0.113.5:1024"),
            ("sip:b@198.51.100.9;transport=tcp", Transport::Udp, "203.0.113.5:1024"),
            ("sip:b@198.51.100.9:5070", Transport::Ws, "203.0.113.5:1024"),
        ] {
            let dialog = dialog(&direct.replace("sip:b@10.0.0.5:5070", contact), transport);
            assert_eq!(dialog.next_flow().peer, to.parse().unwrap(), "{contact} {transport}");
        }
    }
}
