//! The session timer of a dialog (RFC 4028): the interval that was agreed, when to refresh it, when it has expired.
//!
//! ```text
//!   refreshed ─▶ half the interval ── ours: Due::Refresh ─▶ refreshed
//!            └─▶ min(32 s, a third) before the end ─▶ Due::Expired
//! ```
//! [`Session`] owns the agreed interval, the state of our refresh, and the timer of both.
//!
//! - A refresh of ours that fails does not expire the session early: its end stays where it was.
//! - The interval is raised at most once for each refresh.
//!
//! Not here: the requests that refresh a session (`session`).

use std::time::{Duration, Instant};

use super::abilities::{PeerAbilities, SUPPORTED};
use super::command::DialogId;
use super::outbox::{Outbox, Timeout};
use crate::sip::header::{Name, Params};
use crate::sip::message::{Message, parse_delta_seconds};
use crate::sip::wheel::TimerKey;
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
enum Refresh {
    #[default]
    Idle,
    Sent,
    /// Sent again with the longer interval that a 422 has asked for.
    Raised,
}

/// An agreed session interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionTimer {
    pub(super) interval: Duration,
    pub(super) we_refresh: bool,
}

impl SessionTimer {
    /// Returns the interval set by the response to a request of ours, in which `uas` is the peer.
    pub(super) fn of_answer(answer: &Message<'_>) -> Option<SessionTimer> {
        let (seconds, refresher) = session_expires(answer).filter(|(seconds, _)| *seconds >= MIN_SE)?;
        let we_refresh = !refresher.is_some_and(|refresher| refresher.eq_ignore_ascii_case("uas"));
        Some(SessionTimer { interval: Duration::from_secs(u64::from(seconds)), we_refresh })
    }

    /// Returns the time until the next action after a refresh: half the interval if the next refresh is ours, else
    /// shortly before the session expires (RFC 4028 section 10). `refreshing` is set if our refresh is being sent and
    /// half the interval has passed.
    fn delay(&self, refreshing: bool) -> Duration {
        let end = self.interval - (self.interval / 3).min(Duration::from_secs(32));
        match (self.we_refresh, refreshing) {
            (false, _) => end,
            (true, false) => self.interval / 2,
            (true, true) => end - self.interval / 2,
        }
    }
}

/// What is due in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is our turn to refresh it.
    Refresh,
    /// Nobody has refreshed it in time.
    Expired,
}

/// The session timer of one answered dialog.
#[derive(Default)]
pub(super) struct Session {
    agreed: Option<SessionTimer>,
    refresh: Refresh,
    timer: Option<TimerKey>,
}

impl Session {
    /// Returns a session that begins now; `None`: it never expires.
    pub(super) fn start(agreed: Option<SessionTimer>, dialog: DialogId, now: Instant, out: &mut Outbox) -> Session {
        let mut session = Session::default();
        session.refreshed(agreed, dialog, now, out);
        session
    }

    /// Returns the interval that was agreed.
    pub(super) fn agreed(&self) -> Option<SessionTimer> {
        self.agreed
    }

    /// Handles a request that has refreshed the session, maybe with another interval.
    pub(super) fn refreshed(&mut self, agreed: Option<SessionTimer>, dialog: DialogId, now: Instant, out: &mut Outbox) {
        (self.agreed, self.refresh) = (agreed, Refresh::Idle);
        self.watch(dialog, now, out);
    }

    /// Handles the timer.
    pub(super) fn due(&mut self, dialog: DialogId, now: Instant, out: &mut Outbox) -> Option<Due> {
        self.timer = None;
        let ours = self.agreed?.we_refresh && self.refresh == Refresh::Idle;
        self.refresh = Refresh::Sent;
        if !ours {
            return Some(Due::Expired);
        }
        self.watch(dialog, now, out);
        Some(Due::Refresh)
    }

    /// Handles a 422 to a refresh; returns whether it is sent once more, with the interval that the peer wants.
    pub(super) fn raise(&mut self, least: Duration) -> bool {
        let (Refresh::Sent, Some(agreed)) = (self.refresh, &mut self.agreed) else { return false };
        agreed.interval = agreed.interval.max(least);
        self.refresh = Refresh::Raised;
        true
    }

    /// Ends the session's timer with its dialog.
    pub(super) fn dismantle(&mut self, out: &mut Outbox) {
        out.cancel(&mut self.timer);
    }

    fn watch(&mut self, dialog: DialogId, now: Instant, out: &mut Outbox) {
        let refreshing = self.refresh != Refresh::Idle;
        let deadline = self.agreed.map(|agreed| now + agreed.delay(refreshing));
        out.rearm(&mut self.timer, deadline, now, Timeout::Session(dialog));
    }
}

impl Proposal {
    /// Reads the proposal of a request.
    pub(super) fn of(request: &Message<'_>) -> Proposal {
        let peer = PeerAbilities::of(request);
        let Some((seconds, refresher)) = session_expires(request) else { return Proposal::None };
        if seconds < MIN_SE {
            return if peer.timer { Proposal::TooSmall } else { Proposal::None };
        }
        // A peer without timers cannot refresh; a proxy has asked on its behalf (section 9).
        let we_refresh = refresher.map_or(!peer.timer, |refresher| refresher.eq_ignore_ascii_case("uas"));
        Proposal::Agreed(SessionTimer { interval: Duration::from_secs(u64::from(seconds)), we_refresh })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    const DIALOG: DialogId = DialogId(2);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn agreed(seconds: u64, we_refresh: bool) -> Option<SessionTimer> {
        Some(SessionTimer { interval: secs(seconds), we_refresh })
    }

    /// Lets the timer expire; returns when it did, in seconds from `start`, and what was due.
    fn next(session: &mut Session, start: Instant, out: &mut Outbox) -> Option<(u64, Due)> {
        for second in 0..4_000 {
            if out.expire(start + secs(second)) == Some(Timeout::Session(DIALOG)) {
                return Some((second, session.due(DIALOG, start + secs(second), out)?));
            }
        }
        None
    }

    #[test]
    fn ours_is_refreshed_at_half_the_interval_and_expires_before_its_end() {
        let (mut out, start) = (Outbox::new(), test_epoch());
        let mut session = Session::start(agreed(1_800, true), DIALOG, start, &mut out);
        assert_eq!(next(&mut session, start, &mut out), Some((900, Due::Refresh)));
        assert_eq!(next(&mut session, start, &mut out), Some((1_768, Due::Expired)));
        session.refreshed(agreed(90, true), DIALOG, start + secs(1_768), &mut out);
        assert_eq!(next(&mut session, start, &mut out), Some((1_768 + 45, Due::Refresh)));
    }

    #[test]
    fn the_peers_expires_a_third_or_half_a_minute_before_its_end() {
        for (interval, end) in [(90, 60), (1_800, 1_768)] {
            let (mut out, start) = (Outbox::new(), test_epoch());
            let mut session = Session::start(agreed(interval, false), DIALOG, start, &mut out);
            assert_eq!(next(&mut session, start, &mut out), Some((end, Due::Expired)), "{interval}");
        }
    }

    #[test]
    fn nothing_is_due_without_an_interval_or_after_the_end() {
        let (mut out, start) = (Outbox::new(), test_epoch());
        let mut session = Session::start(None, DIALOG, start, &mut out);
        assert_eq!((session.agreed(), out.timer_count()), (None, 0));
        session.refreshed(agreed(90, true), DIALOG, start, &mut out);
        session.dismantle(&mut out);
        assert_eq!(next(&mut session, start, &mut out), None);
    }

    #[test]
    fn a_refresh_is_raised_once() {
        let (mut out, start) = (Outbox::new(), test_epoch());
        let mut session = Session::start(agreed(90, true), DIALOG, start, &mut out);
        assert!(!session.raise(secs(600)), "nothing was sent");
        next(&mut session, start, &mut out);
        assert_eq!([session.raise(secs(600)), session.raise(secs(900))], [true, false]);
        assert_eq!(session.agreed(), agreed(600, true));
        session.refreshed(session.agreed(), DIALOG, start, &mut out);
        assert!(!session.raise(secs(900)), "it was refreshed");
    }

    #[test]
    fn who_refreshes_follows_from_the_proposal_and_its_sender() {
        for (headers, proposal) in [
            ("", Proposal::None),
            (
                "Session-Expires: 600\r\nSupported: timer\r\n",
                agreed(600, false).map_or(Proposal::None, Proposal::Agreed),
            ),
            (
                "Session-Expires: 600;refresher=uas\r\nSupported: timer\r\n",
                agreed(600, true).map_or(Proposal::None, Proposal::Agreed),
            ),
            ("Session-Expires: 600\r\n", agreed(600, true).map_or(Proposal::None, Proposal::Agreed)),
            ("Session-Expires: 89\r\nSupported: timer\r\n", Proposal::TooSmall),
            ("Session-Expires: 89\r\n", Proposal::None),
        ] {
            let text = format!(
                "UPDATE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n{headers}Content-Length: 0\r\n\r\n"
            );
            assert_eq!(Proposal::of(&Message::parse(text.as_bytes()).unwrap()), proposal, "{headers}");
        }
    }
}
