//! The transfers of one dialog: REFER both ways, and what the NOTIFY requests about them say (RFC 3515, RFC 4488).
//!
//! ```text
//!   peer's REFER ─▶ accept ─▶ report … report(final) ─▶ a Notice for each, unless the peer wants none
//!   our REFER ─▶ begin ─▶ answered(2xx) ─▶ notified … notified(final) ─▶ result
//!                                  └─ nothing for too long ─▶ overdue ─▶ result 408
//! ```
//! [`Referrals`] owns both subscriptions of the dialog, and the timer of ours.
//!
//! - One in each direction at a time.
//! - Each REFER of ours has exactly one result, unless its dialog ends first.
//! - Ours ends with 408 if the peer reports nothing: no NOTIFY within 64·T1 of the 2xx (RFC 6665 section 4.1.2.4), or
//!   none within the time that the last one announced.
//!
//! Not here: the requests themselves (`referring`), the effect of a transfer on a call (`engine`).

use std::time::{Duration, Instant};

use super::command::{DialogId, ReferId, Replaces};
use super::outbox::{Outbox, Timeout};
use crate::sip::header::{Name, NameAddr, Params};
use crate::sip::message::{Message, Start, parse_delta_seconds};
use crate::sip::uri::decode_escapes;
use crate::sip::wheel::TimerKey;
use crate::sip::write::RequestBuilder;

/// Announced lifetime of a subscription without news, in seconds.
const EXPIRES: u32 = 180;
/// Longest announced lifetime that is accepted from a peer, in seconds.
const EXPIRES_MOST: u32 = 600;
const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// The transfers of one dialog.
#[derive(Default)]
pub(super) struct Referrals {
    theirs: Option<Theirs>,
    ours: Option<Ours>,
}

/// The peer's REFER in progress.
struct Theirs {
    id: ReferId,
    /// Whether the peer wants no NOTIFY (RFC 4488).
    quiet: bool,
}

/// A REFER of ours in progress.
struct Ours {
    /// Time at which it is given up.
    timer: Option<TimerKey>,
}

/// The content of a NOTIFY about the peer's REFER.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    id: ReferId,
    status: u16,
    reason: String,
}

impl Referrals {
    /// Returns whether a REFER of the peer is in progress.
    pub(super) fn is_referred(&self) -> bool {
        self.theirs.is_some()
    }

    /// Begins the peer's REFER; `quiet` if the peer wants no NOTIFY.
    pub(super) fn accept(&mut self, id: ReferId, quiet: bool) {
        self.theirs = Some(Theirs { id, quiet });
    }

    /// Returns whether this REFER of the peer is in progress.
    pub(super) fn is_current(&self, id: ReferId) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.id == id)
    }

    /// Records the progress of the peer's REFER, which ends with a final status; returns the NOTIFY that reports it.
    pub(super) fn report(&mut self, status: u16, reason: &str) -> Option<Notice> {
        let &Theirs { id, quiet } = self.theirs.as_ref()?;
        if status >= 200 {
            self.theirs = None;
        }
        let reason = || reason.chars().filter(|c| !c.is_control()).collect();
        (!quiet).then(|| Notice { id, status, reason: reason() })
    }

    /// Handles the refusal of a NOTIFY of ours: the peer may have no such subscription any more (RFC 6665 section
    /// 4.2.2).
    pub(super) fn notify_refused(&mut self, status: u16) {
        if matches!(status, 481 | 489) {
            self.theirs = None;
        }
    }

    /// Returns whether a REFER of ours is in progress.
    pub(super) fn refers(&self) -> bool {
        self.ours.is_some()
    }

    /// Begins a REFER of ours.
    pub(super) fn begin(&mut self) {
        self.ours = Some(Ours { timer: None });
    }

    /// Handles the response to our REFER; returns its result if it has ended. A 2xx only says that NOTIFY will follow,
    /// the first one within `patience`.
    pub(super) fn answered(
        &mut self,
        dialog: DialogId,
        status: u16,
        patience: Duration,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<u16> {
        match (status, &mut self.ours) {
            (..200, _) => None,
            (200..300, Some(Ours { timer: timer @ None })) => {
                out.rearm_after(timer, patience, now, Timeout::Refer(dialog));
                None
            }
            // A NOTIFY has arrived before it.
            (200..300, _) => None,
            _ => self.end(status, out),
        }
    }

    /// Returns whether a NOTIFY belongs to a REFER of ours.
    pub(super) fn expects(&self, notify: &Message<'_>) -> bool {
        let event = notify.header(Name::Event).and_then(|event| event.split(';').next()).unwrap_or_default();
        self.refers() && event.trim().eq_ignore_ascii_case("refer")
    }

    /// Handles a NOTIFY about our REFER; returns its result if it has ended.
    pub(super) fn notified(
        &mut self,
        dialog: DialogId,
        notify: &Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<u16> {
        let state = notify.header(Name::SubscriptionState).unwrap_or_default();
        let (state, params) = state.split_at(state.find(';').unwrap_or(state.len()));
        let over = state.trim().eq_ignore_ascii_case("terminated");
        match fragment_status(notify.body()) {
            Some(status @ 200..) => self.end(status, out),
            // The subscription ends before the transfer: its result will not be reported.
            _ if over => self.end(500, out),
            _ => {
                let promised = Params::parse(params).unwrap_or_default().value("expires").and_then(parse_delta_seconds);
                let span = Duration::from_secs(u64::from(promised.unwrap_or(EXPIRES).min(EXPIRES_MOST)));
                out.rearm_after(&mut self.ours.as_mut()?.timer, span, now, Timeout::Refer(dialog));
                None
            }
        }
    }

    /// Ends our REFER whose peer has reported nothing for too long; returns its result.
    pub(super) fn overdue(&mut self) -> Option<u16> {
        self.ours.take().map(|_| 408)
    }

    /// Ends both subscriptions with their dialog.
    pub(super) fn dismantle(&mut self, out: &mut Outbox) {
        self.theirs = None;
        self.end(487, out);
    }

    fn end(&mut self, status: u16, out: &mut Outbox) -> Option<u16> {
        let mut ours = self.ours.take()?;
        out.cancel(&mut ours.timer);
        Some(status)
    }
}

impl Notice {
    /// Completes a NOTIFY.
    pub(super) fn write(&self, request: RequestBuilder) -> RequestBuilder {
        let Notice { id: ReferId(number), status, reason } = self;
        let state = match status {
            200.. => "terminated;reason=noresource".to_owned(),
            _ => format!("active;expires={EXPIRES}"),
        };
        request
            .header("Event", format_args!("refer;id={number}"))
            .header("Subscription-State", state)
            .body(SIPFRAG, format!("SIP/2.0 {status} {reason}\r\n"))
    }
}

/// Returns the target of a REFER and the dialog to be replaced there, or the status and label of its refusal.
pub(super) fn referral(refer: &Message<'_>) -> Result<(String, Option<Replaces>), (u16, &'static str)> {
    const BAD: (u16, &str) = (400, "refer_to");
    let mut values = refer.lines(Name::ReferTo);
    let (Some(value), None) = (values.next(), values.next()) else { return Err(BAD) };
    let target = NameAddr::parse(value).map_err(|_| BAD)?.uri;
    if !target.scheme.is_sip() {
        return Err((416, "refer_to_scheme"));
    }
    if target.params.value("method").is_some_and(|method| method != "INVITE") {
        return Err((603, "refer_method"));
    }
    let headers = target.headers.unwrap_or_default().split('&').filter_map(|header| header.split_once('='));
    let mut replaces = None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("Replaces") {
            if replaces.is_some() {
                return Err(BAD);
            }
            replaces = Some(Replaces::parse(&decode_escapes(value)).ok_or(BAD)?);
        }
    }
    let to = target.as_str().split('?').next().unwrap_or_default();
    Ok((to.to_owned(), replaces))
}

/// Returns the status in a message/sipfrag body.
fn fragment_status(body: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(body).ok()?.lines().next()?;
    let with_end = format!("{line}\r\n\r\n");
    match Message::parse(with_end.as_bytes()).ok()?.start() {
        Start::Response { status, .. } => Some(status),
        Start::Request { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    const DIALOG: DialogId = DialogId(2);
    const PATIENCE: Duration = Duration::from_secs(32);

    fn notice(status: u16, reason: &str) -> Option<Notice> {
        Some(Notice { id: ReferId(7), status, reason: reason.into() })
    }

    fn notify(state: &str, body: &str) -> String {
        format!(
            "NOTIFY sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nEvent: refer\r\n\
             Subscription-State: {state}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Begins a REFER of ours that the peer has accepted, at time zero.
    fn accepted() -> (Referrals, Outbox, Instant) {
        let (mut referrals, mut out, now) = (Referrals::default(), Outbox::new(), test_epoch());
        referrals.begin();
        assert_eq!(referrals.answered(DIALOG, 202, PATIENCE, now, &mut out), None);
        (referrals, out, now)
    }

    fn notified(referrals: &mut Referrals, text: &str, now: Instant, out: &mut Outbox) -> Option<u16> {
        let notify = Message::parse(text.as_bytes()).unwrap();
        assert!(referrals.expects(&notify));
        referrals.notified(DIALOG, &notify, now, out)
    }

    #[test]
    fn a_peers_refer_is_reported_until_its_final_status() {
        let mut referrals = Referrals::default();
        assert_eq!(referrals.report(180, "Ringing"), None, "nothing is in progress");
        referrals.accept(ReferId(7), false);
        assert!(referrals.is_referred() && referrals.is_current(ReferId(7)) && !referrals.is_current(ReferId(8)));
        assert_eq!(referrals.report(180, "Rin\r\nging"), notice(180, "Ringing"));
        assert_eq!(referrals.report(200, "OK"), notice(200, "OK"));
        assert_eq!((referrals.is_referred(), referrals.report(200, "OK")), (false, None));
    }

    #[test]
    fn a_quiet_refer_ends_without_a_notice() {
        let mut referrals = Referrals::default();
        referrals.accept(ReferId(7), true);
        assert_eq!((referrals.report(100, "Trying"), referrals.report(486, "Busy Here")), (None, None));
        assert!(!referrals.is_referred());
    }

    #[test]
    fn only_a_lost_subscription_ends_the_peers_refer() {
        let mut referrals = Referrals::default();
        referrals.accept(ReferId(7), false);
        for (status, goes_on) in [(200, true), (408, true), (500, true), (481, false)] {
            referrals.notify_refused(status);
            assert_eq!(referrals.is_referred(), goes_on, "{status}");
        }
    }

    #[test]
    fn a_refusal_or_a_final_notify_is_the_one_result() {
        let (mut referrals, mut out, now) = accepted();
        assert_eq!(referrals.answered(DIALOG, 603, PATIENCE, now, &mut out), Some(603));
        assert_eq!((referrals.refers(), out.timer_count()), (false, 0));
        for (state, body, result) in [
            ("active;expires=60", "SIP/2.0 486 Busy Here\r\n", 486),
            ("terminated;reason=noresource", "SIP/2.0 200 OK\r\n", 200),
            ("terminated", "SIP/2.0 180 Ringing\r\n", 500),
            ("terminated", "?", 500),
        ] {
            let (mut referrals, mut out, now) = accepted();
            assert_eq!(notified(&mut referrals, &notify(state, body), now, &mut out), Some(result), "{state} {body}");
            assert_eq!((referrals.overdue(), out.timer_count()), (None, 0));
        }
    }

    #[test]
    fn silence_is_waited_for_as_long_as_was_announced() {
        for (state, seconds) in [("active;expires=60", 60), ("active", 180), ("active;expires=86400", 600)] {
            let (mut referrals, mut out, now) = accepted();
            let trying = notify(state, "SIP/2.0 100 Trying\r\n");
            assert_eq!(notified(&mut referrals, &trying, now, &mut out), None);
            let end = now + Duration::from_secs(seconds);
            assert_eq!(out.expire(end - Duration::from_millis(1)), None, "{state}");
            assert_eq!(out.expire(end), Some(Timeout::Refer(DIALOG)), "{state}");
            assert_eq!(referrals.overdue(), Some(408));
        }
        let (_referrals, mut out, now) = accepted();
        assert_eq!(out.expire(now + PATIENCE), Some(Timeout::Refer(DIALOG)), "no NOTIFY at all");
    }

    #[test]
    fn a_response_after_the_first_notify_does_not_shorten_the_wait() {
        let (mut referrals, mut out, now) = (Referrals::default(), Outbox::new(), test_epoch());
        referrals.begin();
        notified(&mut referrals, &notify("active;expires=60", "SIP/2.0 100 Trying\r\n"), now, &mut out);
        referrals.answered(DIALOG, 202, PATIENCE, now, &mut out);
        assert_eq!(out.expire(now + PATIENCE), None);
        referrals.dismantle(&mut out);
        assert_eq!(out.timer_count(), 0);
    }
}
