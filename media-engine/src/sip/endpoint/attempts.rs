//! The attempts of one call through a trunk: the places that are left, and the patience with the one that is tried.
//!
//! ```text
//!   next ─▶ a place ─▶ watch ─┬─ responds ─▶ stop
//!                             └─ silent for 2 s (4 s if only unhealthy places are left) ─▶ timer ─▶ next
//! ```
//! [`Attempts`] owns the call as ordered, its places, and the timer. A place is tried once; with the last one there is no
//! timer, since nothing else could be tried.
//!
//! Not here: the INVITE to a place (`trunking`), the health of places (`trunks`).

use std::time::{Duration, Instant};

use super::command::{DialogId, Invite};
use super::outbox::{Outbox, Timeout};
use super::place::Place;
use super::trunks::Trunks;
use crate::sip::wheel::TimerKey;

/// How long a place may be silent while a healthy one is left to try.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a place may be silent while only unhealthy ones are left to try.
const PATIENCE_WITHOUT_CHOICE: Duration = Duration::from_secs(4);

/// A call that may try further places of its trunk.
pub(super) struct Attempts {
    call: Invite,
    /// The number as the trunk writes it.
    user: String,
    /// Places left to try, the next one last.
    left: Vec<Place>,
    /// Timer for the silence of the place that is being tried.
    patience: Option<TimerKey>,
}

impl Attempts {
    /// Returns the attempts of a call to `user` at these places, in this order.
    pub(super) fn new(call: Invite, user: String, mut places: Vec<Place>) -> Attempts {
        places.reverse();
        Attempts { call, user, left: places, patience: None }
    }

    /// Returns the call as the engine ordered it.
    pub(super) fn call(&self) -> &Invite {
        &self.call
    }

    /// Takes the place that is tried next, and the URI of the callee there.
    pub(super) fn next(&mut self) -> Option<(Place, String)> {
        let place = self.left.pop()?;
        let uri = place.uri(&self.user);
        Some((place, uri))
    }

    /// Begins to wait for a sign of the place that is being tried, if another one is left.
    pub(super) fn watch(&mut self, dialog: DialogId, trunks: &Trunks, now: Instant, out: &mut Outbox) {
        let Some(next) = self.left.last() else { return };
        let patience = if trunks.is_healthy(next, now) { PATIENCE } else { PATIENCE_WITHOUT_CHOICE };
        out.rearm_after(&mut self.patience, patience, now, Timeout::Attempt(dialog));
    }

    /// Stops waiting: the place has responded, or the call goes on elsewhere.
    pub(super) fn stop(&mut self, out: &mut Outbox) {
        out.cancel(&mut self.patience);
    }

    /// Handles the timer: the place has been silent for too long.
    pub(super) fn expired(&mut self) {
        self.patience = None;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::sip::endpoint::command::Target;
    use crate::sip::endpoint::tokens::Tokens;
    use crate::sip::trunk::{Destination, Trunk, TrunkIndex};
    use crate::units::test_epoch;

    const DIALOG: DialogId = DialogId(1);

    /// A trunk of two places, and the attempts of a call there.
    fn attempts(now: Instant) -> (Trunks, Attempts) {
        let destination = |n: u8| {
            let address = SocketAddr::from(([198, 51, 100, n], 5060));
            Destination { priority: n.into(), ..Destination::udp(address) }
        };
        let destinations = vec![destination(1), destination(2)];
        let trunks = Trunks::new(vec![Trunk { destinations, ..Trunk::default() }]);
        let places = trunks.places(TrunkIndex(0), |_| true, &mut Tokens::new(&[7; 32]), now);
        let call = Invite::new(DIALOG, Target::User("a".into()), "v=0");
        (trunks, Attempts::new(call, "100".into(), places))
    }

    #[test]
    fn places_are_tried_once_each_in_their_order() {
        let (_, mut attempts) = attempts(test_epoch());
        assert_eq!(attempts.next().map(|(_, uri)| uri).as_deref(), Some("sip:100@198.51.100.1"));
        assert_eq!(attempts.next().map(|(_, uri)| uri).as_deref(), Some("sip:100@198.51.100.2"));
        assert_eq!(attempts.next(), None);
    }

    #[test]
    fn a_silent_place_gets_more_time_if_only_unhealthy_ones_are_left() {
        for (failures, seconds) in [(0, 2), (3, 4)] {
            let (mut out, now) = (Outbox::new(), test_epoch());
            let (mut trunks, mut attempts) = attempts(now);
            let other = trunks.places(TrunkIndex(0), |_| true, &mut Tokens::new(&[7; 32]), now).swap_remove(1);
            (0..failures).for_each(|_| trunks.failed(&other, "silent", None, now, &mut out));
            attempts.next();
            attempts.watch(DIALOG, &trunks, now, &mut out);
            assert_eq!(out.expire(now + Duration::from_millis(seconds * 1000 - 1)), None);
            assert_eq!(out.expire(now + Duration::from_secs(seconds)), Some(Timeout::Attempt(DIALOG)));
        }
    }

    #[test]
    fn the_last_place_is_waited_for_and_a_sign_stops_the_timer() {
        let (mut out, now) = (Outbox::new(), test_epoch());
        let (trunks, mut attempts) = attempts(now);
        attempts.next();
        attempts.watch(DIALOG, &trunks, now, &mut out);
        attempts.stop(&mut out);
        assert_eq!(out.timer_count(), 0);
        attempts.next();
        attempts.watch(DIALOG, &trunks, now, &mut out);
        assert_eq!(out.timer_count(), 0, "nothing else could be tried");
    }
}
