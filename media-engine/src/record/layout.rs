//! Assignment of the channels of a file to legs.
//!
//! ```text
//!   side    customer ─▶ channel 0   agent ─▶ channel 1, or whichever of the two is free   all others ─▶ 2, 3, …
//! ```
//!
//! The number of channels of a WAV file cannot change. A leg that joins therefore takes a channel that no leg has had in this file,
//! or the recording continues in a next file ([`Layout::next`]).

use std::time::Instant;

use crate::units::LegId;

/// Maximum number of channels of a file.
pub const CHANNELS_MAX: usize = 16;

/// Preference of a leg for one of the first two channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first channel, which players play on the left.
    Customer,
    /// The second channel, which players play on the right.
    Agent,
}

/// Assignment of a channel to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Leg that is heard in the channel.
    pub leg: LegId,
    /// Time at which the leg joined.
    pub from: Instant,
    /// Time at which the leg left; `None` while it takes part.
    pub until: Option<Instant>,
}

/// The channels of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    seats: Vec<Option<Seat>>,
}

/// No channel is left for another leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a recording has at most {CHANNELS_MAX} channels at a time")]
pub struct Full;

impl Layout {
    /// Creates the layout of a file with at least `least` channels.
    pub fn new(least: usize) -> Layout {
        Layout { seats: vec![None; least] }
    }

    /// Returns all channels, including those that no leg has had.
    pub fn seats(&self) -> &[Option<Seat>] {
        &self.seats
    }

    /// Returns the leg of each channel, in order.
    pub fn legs(&self) -> Vec<Option<LegId>> {
        self.seats.iter().map(|seat| seat.map(|seat| seat.leg)).collect()
    }

    /// Returns whether a leg has a channel.
    pub fn has(&self, leg: LegId) -> bool {
        self.seats.iter().flatten().any(|seat| seat.leg == leg)
    }

    /// Gives a leg an existing channel that no leg has had; a leg that returns gets its own. Returns whether it now has one.
    pub fn admit(&mut self, leg: LegId, side: Side, at: Instant) -> bool {
        if let Some(seat) = self.seats.iter_mut().flatten().find(|seat| seat.leg == leg) {
            seat.until = None;
            return true;
        }
        let wanted = match side {
            Side::Customer => 0,
            Side::Agent => 1,
        };
        let is_free = |seats: &[Option<Seat>], channel: usize| seats.get(channel).is_some_and(Option::is_none);
        let free = (0..self.seats.len()).find(|channel| is_free(&self.seats, *channel));
        let Some(channel) = Some(wanted).filter(|channel| is_free(&self.seats, *channel)).or(free) else {
            return false;
        };
        self.seats[channel] = Some(Seat { leg, from: at, until: None });
        true
    }

    /// Like [`Layout::admit`], for a file without samples: a channel is added if none is free.
    ///
    /// # Errors
    /// [`Full`] if the file has the maximum number of channels; the leg is not recorded.
    pub fn admit_or_grow(&mut self, leg: LegId, side: Side, at: Instant) -> Result<(), Full> {
        if self.admit(leg, side, at) {
            return Ok(());
        }
        if self.seats.len() >= CHANNELS_MAX {
            return Err(Full);
        }
        self.seats.push(Some(Seat { leg, from: at, until: None }));
        Ok(())
    }

    /// Notes that a leg has left; its channel remains its own.
    pub fn leave(&mut self, leg: LegId, at: Instant) {
        let seat = self.seats.iter_mut().flatten().find(|seat| seat.leg == leg);
        if let Some(seat) = seat.filter(|seat| seat.until.is_none()) {
            seat.until = Some(at);
        }
    }

    /// Frees the channels of legs that had left at this time, for the next file with as many channels.
    pub fn vacate(&mut self, at: Instant) {
        for seat in &mut self.seats {
            seat.take_if(|seat| seat.until.is_some_and(|until| until <= at));
        }
    }

    /// Returns the channels of the next file, at least `least`: those of the legs that take part.
    #[must_use]
    pub fn next(&self, least: usize) -> Layout {
        let is_there = |seat: &Option<Seat>| seat.filter(|seat| seat.until.is_none());
        let (first, more) = self.seats.split_at(least.min(self.seats.len()));
        let mut seats: Vec<Option<Seat>> = first.iter().map(is_there).collect();
        seats.extend(more.iter().map(is_there).filter(Option::is_some));
        Layout { seats }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;
    use crate::units::test_epoch;

    const ALICE: LegId = LegId(1);
    const ANNA: LegId = LegId(2);
    const BEN: LegId = LegId(3);

    /// Returns the time `seconds` after a base that is the same for a whole test run.
    fn at(seconds: u64) -> Instant {
        static EPOCH: LazyLock<Instant> = LazyLock::new(test_epoch);
        *EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn customer_is_left_and_agent_right_in_any_order_of_joining() {
        let mut layout = Layout::new(2);
        assert!(layout.admit(ANNA, Side::Agent, at(0)) && layout.admit(ALICE, Side::Customer, at(1)));
        assert_eq!(layout.legs(), [Some(ALICE), Some(ANNA)]);
        // Two agents who talk with each other have one channel each.
        let mut layout = Layout::new(2);
        assert!(layout.admit(ANNA, Side::Agent, at(0)) && layout.admit(BEN, Side::Agent, at(1)));
        assert_eq!(layout.legs(), [Some(BEN), Some(ANNA)]);
    }

    #[test]
    fn a_channel_is_never_shared_and_the_next_file_has_the_present_legs() {
        let mut layout = Layout::new(2);
        assert!(layout.admit(ALICE, Side::Customer, at(0)) && layout.admit(ANNA, Side::Agent, at(0)));
        layout.leave(ANNA, at(5));
        assert!(!layout.admit(BEN, Side::Agent, at(6)), "anna's channel remains hers");
        assert_eq!(layout.seats()[1], Some(Seat { leg: ANNA, from: at(0), until: Some(at(5)) }));
        let mut next = layout.next(2);
        assert_eq!(next.admit_or_grow(BEN, Side::Agent, at(6)), Ok(()));
        assert_eq!(next.legs(), [Some(ALICE), Some(BEN)]);
        assert_eq!(next.admit_or_grow(ANNA, Side::Agent, at(7)), Ok(()));
        assert_eq!(next.legs(), [Some(ALICE), Some(BEN), Some(ANNA)]);
        next.leave(BEN, at(8));
        let mut full = next.clone();
        full.vacate(at(7));
        assert_eq!(full, next, "what ben said until then is still to be written");
        full.vacate(at(8));
        assert_eq!(full.legs(), [Some(ALICE), None, Some(ANNA)]);
        assert_eq!(next.next(2).legs(), [Some(ALICE), None, Some(ANNA)]);
        next.leave(ANNA, at(9));
        assert_eq!(next.next(2).legs(), [Some(ALICE), None]);
    }

    #[test]
    fn a_leg_that_returns_has_its_previous_channel() {
        let mut layout = Layout::new(1);
        assert!(layout.admit(ALICE, Side::Customer, at(0)));
        layout.leave(ALICE, at(1));
        assert!(layout.admit(ALICE, Side::Customer, at(2)));
        assert_eq!(layout.seats(), [Some(Seat { leg: ALICE, from: at(0), until: None })]);
    }

    #[test]
    fn channels_are_bounded() {
        let mut layout = Layout::new(2);
        for leg in 0..CHANNELS_MAX as u64 {
            assert_eq!(layout.admit_or_grow(LegId(leg), Side::Agent, at(0)), Ok(()));
        }
        assert_eq!(layout.admit_or_grow(LegId(99), Side::Agent, at(0)), Err(Full));
        assert_eq!(layout.seats().len(), CHANNELS_MAX);
    }
}
