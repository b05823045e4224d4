//! The early dialogs of one INVITE of ours: each To tag in its provisional responses is a dialog of its own (RFC 3261
//! section 12.1.2), with its route set, target, RSeq and session description.
//!
//! ```text
//!   18x ─▶ early dialog of its To tag ─▶ its order among the reliable ones ─▶ its news
//! ```
//! [`EarlyDialogs`] owns them. There are at most [`MAX_EARLY`].
//!
//! Not here: the requests within them (`early`). Sources: RFC 3262 section 4, RFC 3311 section 5.

use super::abilities::has_option;
use super::ids::ClientId;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::{Name, parse_digits};
use crate::sip::message::Message;
use crate::sip::trunk::TrunkIndex;

/// Most early dialogs of one INVITE; provisional responses of further ones are counted and dropped.
const MAX_EARLY: usize = 16;

/// The early dialogs of one INVITE.
#[derive(Default)]
pub(super) struct EarlyDialogs(Vec<Early>);

/// One early dialog of an INVITE of ours.
pub(super) struct Early {
    pub(super) dialog: Dialog,
    /// Number among the early dialogs of the call.
    fork: u32,
    /// The callee's latest session description.
    sdp: Option<String>,
    /// Our answer to the callee's latest offer, if it has made one.
    said: Option<String>,
    /// RSeq of the last reliable response that was accepted, and its PRACK.
    acknowledged: Option<(u32, ClientId)>,
    /// Whether the answer to our offer came reliably, so that the callee may make a new offer.
    settled: bool,
}

/// Position of a provisional response among the earlier ones (RFC 3262 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Unreliable,
    /// The next reliable one, with its RSeq.
    Next(u32),
    /// A copy of the last reliable one, with its RSeq and its PRACK.
    Repeated(u32, ClientId),
    Unexpected,
}

impl EarlyDialogs {
    /// Removes and returns the early dialog with this To tag.
    pub(super) fn take(&mut self, tag: &str) -> Option<Early> {
        let place = self.0.iter().position(|early| *early.dialog.remote_tag == *tag)?;
        let early = self.0.swap_remove(place);
        // The others stay as long as the INVITE's transaction lingers.
        self.0.shrink_to_fit();
        Some(early)
    }

    /// Returns the early dialog that a request of the callee belongs to.
    pub(super) fn of_request(&mut self, request: &Message<'_>) -> Option<&mut Early> {
        self.0.iter_mut().find(|early| early.dialog.is_of(request))
    }

    /// Returns the early dialog with this number.
    pub(super) fn numbered(&mut self, fork: u32) -> Option<&mut Early> {
        self.0.iter_mut().find(|early| early.fork == fork)
    }

    /// Finds or creates the early dialog of a provisional response; `None` if there are too many. `count` is the number
    /// of early dialogs of the call so far.
    pub(super) fn of_answer(
        &mut self,
        count: &mut u32,
        (local, contact, trunk): (&str, &str, Option<TrunkIndex>),
        flow: &Flow,
        answer: &Message<'_>,
    ) -> Option<&mut Early> {
        let tag = answer.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        if let Some(place) = self.0.iter().position(|early| *early.dialog.remote_tag == *tag) {
            let early = &mut self.0[place];
            early.dialog.refresh(answer, *flow);
            return Some(early);
        }
        if self.0.len() >= MAX_EARLY {
            return None;
        }
        let mut dialog = Dialog::uac(answer, local, *flow, contact);
        dialog.trunk = trunk;
        let fork = *count;
        *count += 1;
        self.0.push(Early { dialog, fork, sdp: None, said: None, acknowledged: None, settled: false });
        self.0.last_mut()
    }
}

impl Early {
    /// Returns the number of the early dialog within the call.
    pub(super) fn number(&self) -> u32 {
        self.fork
    }

    /// Returns the position of a provisional response.
    pub(super) fn order_of(&self, answer: &Message<'_>) -> Order {
        if !has_option(answer, Name::Require, "100rel") {
            return Order::Unreliable;
        }
        match (answer.header(Name::RSeq).and_then(parse_digits), self.acknowledged) {
            (Some(rseq @ 1..), None) => Order::Next(rseq),
            (Some(rseq), Some((last, prack))) if rseq == last => Order::Repeated(rseq, prack),
            (Some(rseq), Some((last, _))) if last.checked_add(1) == Some(rseq) => Order::Next(rseq),
            _ => Order::Unexpected,
        }
    }

    /// Records the PRACK of a reliable response.
    pub(super) fn acknowledge(&mut self, rseq: u32, prack: ClientId) {
        self.acknowledged = Some((rseq, prack));
    }

    /// Takes the session description of a provisional response; returns it if it is news. Once settled, further ones in
    /// responses have no meaning (RFC 3261 section 13.2.1).
    pub(super) fn describe(&mut self, sdp: Option<String>, order: Order) -> Option<String> {
        let described = sdp.is_some();
        let news = sdp.filter(|sdp| !self.settled && self.sdp.as_ref() != Some(sdp));
        if news.is_some() {
            self.sdp.clone_from(&news);
        }
        self.settled |= described && order != Order::Unreliable;
        news
    }

    /// Returns whether the answer to our offer came reliably, so that the callee may make a new offer.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Records our answer to an offer of the callee.
    pub(super) fn answered_offer(&mut self, offer: String, answer: String) {
        (self.sdp, self.said) = (Some(offer), Some(answer));
    }

    /// Returns the callee's session description when it answers the call with `sdp`: the earlier one counts if it was
    /// settled, or if the answer has none.
    pub(super) fn answer(&self, sdp: Option<String>) -> Option<String> {
        sdp.filter(|_| !self.settled).or_else(|| self.sdp.clone())
    }

    /// Returns our answer to the callee's latest offer, if it has made one.
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::flow::{FlowId, Transport};

    fn ringing(tag: &str, extra: &str) -> String {
        format!(
            "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=ours\r\n\
             To: <sip:c@d>;tag={tag}\r\nCall-ID: call\r\nCSeq: 1 INVITE\r\n{extra}Content-Length: 0\r\n\r\n"
        )
    }

    /// Finds or creates the early dialog of a response with this tag; returns its number and order.
    fn receive(early: &mut EarlyDialogs, count: &mut u32, tag: &str, extra: &str) -> Option<(u32, Order)> {
        let address = "192.0.2.1:5060".parse().unwrap();
        let flow = Flow { id: FlowId(1), transport: Transport::Udp, local: address, peer: address };
        let text = ringing(tag, extra);
        let response = Message::parse(text.as_bytes()).unwrap();
        let early = early.of_answer(count, ("<sip:a@b>;tag=ours", "<sip:a@h>", None), &flow, &response)?;
        Some((early.number(), early.order_of(&response)))
    }

    #[test]
    fn each_tag_is_a_dialog_and_their_number_is_bounded() {
        let (mut early, mut count) = (EarlyDialogs::default(), 3);
        for n in 0..MAX_EARLY {
            let found = receive(&mut early, &mut count, &n.to_string(), "");
            assert_eq!(found, Some((3 + n as u32, Order::Unreliable)), "numbered within the call");
        }
        assert_eq!(receive(&mut early, &mut count, "more", ""), None);
        assert_eq!(receive(&mut early, &mut count, "0", ""), Some((3, Order::Unreliable)));
        assert!(early.take("0").is_some() && early.take("0").is_none());
    }

    #[test]
    fn reliable_responses_are_taken_in_the_order_of_their_numbers() {
        let (mut early, mut count, prack) = (EarlyDialogs::default(), 0, ClientId(9));
        let mut order = |early: &mut EarlyDialogs, rseq: &str| {
            receive(early, &mut count, "t", &format!("Require: 100rel\r\nRSeq: {rseq}\r\n")).unwrap().1
        };
        assert_eq!(order(&mut early, "0"), Order::Unexpected);
        assert_eq!(order(&mut early, "5"), Order::Next(5));
        early.numbered(0).unwrap().acknowledge(5, prack);
        for (rseq, expected) in [
            ("5", Order::Repeated(5, prack)),
            ("6", Order::Next(6)),
            ("7", Order::Unexpected),
            ("4", Order::Unexpected),
            ("x", Order::Unexpected),
        ] {
            assert_eq!(order(&mut early, rseq), expected, "{rseq}");
        }
    }

    #[test]
    fn a_description_is_news_once_and_settled_when_it_came_reliably() {
        let (mut early, mut count) = (EarlyDialogs::default(), 0);
        receive(&mut early, &mut count, "t", "");
        let early = early.numbered(0).unwrap();
        let sdp = |text: &str| Some(text.to_owned());
        assert_eq!(early.describe(sdp("one"), Order::Unreliable), sdp("one"));
        assert_eq!(early.describe(sdp("one"), Order::Unreliable), None);
        assert_eq!((early.is_settled(), early.answer(sdp("two")), early.answer(None)), (false, sdp("two"), sdp("one")));
        assert_eq!(early.describe(sdp("two"), Order::Next(1)), sdp("two"));
        assert_eq!((early.is_settled(), early.describe(sdp("three"), Order::Unreliable)), (true, None));
        assert_eq!((early.answer(sdp("three")), early.said()), (sdp("two"), None));
        early.answered_offer("four".into(), "ours".into());
        assert_eq!((early.answer(None), early.said()), (sdp("four"), Some("ours")));
    }
}
