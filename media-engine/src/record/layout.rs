//! Assignment of the channels of a file to tracks: what a leg says, and what it hears.
//!
//! ```text
//!   says    customer ─▶ channel 0   agent ─▶ channel 1, or whichever of the two is free   all others ─▶ after the reserved ones
//!   hears   customer ─▶ channel 2   agent ─▶ channel 3, or whichever of the two is free   all others ─▶ likewise
//! ```
//!
//! The number of channels of a WAV file cannot change. A leg that joins therefore takes a channel that no leg has had in this file,
//! or the recording continues in a next file ([`Layout::next`]).

use std::time::Instant;

use crate::units::LegId;

/// Maximum number of channels of a file.
pub const CHANNELS_MAX: usize = 16;

/// One side of a leg, which is recorded in a channel of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Track {
    /// Leg that is recorded.
    pub leg: LegId,
    /// Whether what the leg hears is recorded, rather than what it says.
    pub heard: bool,
}

impl Track {
    /// Returns the track of what a leg says.
    pub fn said(leg: LegId) -> Track {
        Track { leg, heard: false }
    }

    /// Returns the track of what a leg hears.
    pub fn heard(leg: LegId) -> Track {
        Track { leg, heard: true }
    }
}

/// Channels that a file has at least, whether or not they have a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Channels for what legs say: one for a single leg, two for a customer and an agent.
    pub said: usize,
    /// Channels for what legs hear, after those; none if that is not recorded.
    pub heard: usize,
}

/// Preference of a leg for one of the first two channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first channel, which players play on the left.
    Customer,
    /// The second channel, which players play on the right.
    Agent,
}

/// Assignment of a channel to a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Track that the channel holds.
    pub track: Track,
    /// Time at which the leg joined.
    pub from: Instant,
    /// Time at which the leg left; `None` while it takes part.
    pub until: Option<Instant>,
}

/// The channels of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    reserved: Reserved,
    seats: Vec<Option<Seat>>,
}

/// No channel is left for another track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a recording has at most {CHANNELS_MAX} channels at a time")]
pub struct Full;

impl Layout {
    /// Creates the layout of a file with the reserved channels.
    pub fn new(reserved: Reserved) -> Layout {
        Layout { reserved, seats: vec![None; reserved.said + reserved.heard] }
    }

    /// Returns all channels, including those that no track has had.
    pub fn seats(&self) -> &[Option<Seat>] {
        &self.seats
    }

    /// Returns the track of each channel, in order.
    pub fn tracks(&self) -> Vec<Option<Track>> {
        self.seats.iter().map(|seat| seat.map(|seat| seat.track)).collect()
    }

    /// Returns whether a track has a channel.
    pub fn has(&self, track: Track) -> bool {
        self.seats.iter().flatten().any(|seat| seat.track == track)
    }

    /// Returns whether a track of a leg has a channel.
    pub fn has_leg(&self, leg: LegId) -> bool {
        self.seats.iter().flatten().any(|seat| seat.track.leg == leg)
    }

    /// Gives a track an existing channel that no track has had; one that returns gets its own. Returns whether it now has one.
    pub fn admit(&mut self, track: Track, side: Side, at: Instant) -> bool {
        if let Some(seat) = self.seats.iter_mut().flatten().find(|seat| seat.track == track) {
            seat.until = None;
            return true;
        }
        let Reserved { said, heard } = self.reserved;
        let own = if track.heard { said..said + heard } else { 0..said };
        let wanted = own.start
            + match side {
                Side::Customer => 0,
                Side::Agent => 1,
            };
        let wanted = Some(wanted).filter(|channel| own.contains(channel));
        let further = said + heard..self.seats.len();
        let is_free = |channel: &usize| self.seats.get(*channel).is_some_and(Option::is_none);
        let Some(channel) = wanted.into_iter().chain(own).chain(further).find(is_free) else { return false };
        self.seats[channel] = Some(Seat { track, from: at, until: None });
        true
    }

    /// Like [`Layout::admit`], for a file without samples: a channel is added if none is free.
    ///
    /// # Errors
    /// [`Full`] if the file has the maximum number of channels; the track is not recorded.
    pub fn admit_or_grow(&mut self, track: Track, side: Side, at: Instant) -> Result<(), Full> {
        if self.admit(track, side, at) {
            return Ok(());
        }
        if self.seats.len() >= CHANNELS_MAX {
            return Err(Full);
        }
        self.seats.push(Some(Seat { track, from: at, until: None }));
        Ok(())
    }

    /// Notes that a leg has left; the channels of its tracks remain their own.
    pub fn leave(&mut self, leg: LegId, at: Instant) {
        let of_leg = self.seats.iter_mut().flatten().filter(|seat| seat.track.leg == leg);
        for seat in of_leg.filter(|seat| seat.until.is_none()) {
            seat.until = Some(at);
        }
    }

    /// Frees the channels of legs that had left at this time, for the next file with as many channels.
    pub fn vacate(&mut self, at: Instant) {
        for seat in &mut self.seats {
            seat.take_if(|seat| seat.until.is_some_and(|until| until <= at));
        }
    }

    /// Returns the channels of the next file: the reserved ones, and those of the legs that take part.
    #[must_use]
    pub fn next(&self) -> Layout {
        let is_there = |seat: &Option<Seat>| seat.filter(|seat| seat.until.is_none());
        let reserved = self.reserved.said + self.reserved.heard;
        let (first, more) = self.seats.split_at(reserved.min(self.seats.len()));
        let mut seats: Vec<Option<Seat>> = first.iter().map(is_there).collect();
        seats.extend(more.iter().map(is_there).filter(Option::is_some));
        Layout { reserved: self.reserved, seats }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;
    use crate::units::test_epoch;

    const ALICE: Track = Track { leg: LegId(1), heard: false };
    const ANNA: Track = Track { leg: LegId(2), heard: false };
    const BEN: Track = Track { leg: LegId(3), heard: false };
    const CALL: Reserved = Reserved { said: 2, heard: 0 };

    /// Returns the time `seconds` after a base that is the same for a whole test run.
    fn at(seconds: u64) -> Instant {
        static EPOCH: LazyLock<Instant> = LazyLock::new(test_epoch);
        *EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn customer_is_left_and_agent_right_in_any_order_of_joining() {
        let mut layout = Layout::new(CALL);
        assert!(layout.admit(ANNA, Side::Agent, at(0)) && layout.admit(ALICE, Side::Customer, at(1)));
        assert_eq!(layout.tracks(), [Some(ALICE), Some(ANNA)]);
        // Two agents who talk with each other have one channel each.
        let mut layout = Layout::new(CALL);
        assert!(layout.admit(ANNA, Side::Agent, at(0)) && layout.admit(BEN, Side::Agent, at(1)));
        assert_eq!(layout.tracks(), [Some(BEN), Some(ANNA)]);
    }

    #[test]
    fn what_legs_hear_has_channels_of_its_own_behind_what_they_say() {
        let (alice, anna, ben) = [ALICE, ANNA, BEN].map(|track| Track::heard(track.leg)).into();
        let mut layout = Layout::new(Reserved { said: 2, heard: 2 });
        assert!(layout.admit(ALICE, Side::Customer, at(0)) && layout.admit(alice, Side::Customer, at(0)));
        assert_eq!(layout.tracks(), [Some(ALICE), None, Some(alice), None]);
        assert!(layout.admit(ANNA, Side::Agent, at(1)) && layout.admit(anna, Side::Agent, at(1)));
        assert!(!layout.admit(ben, Side::Agent, at(2)));
        layout.leave(ANNA.leg, at(3));
        let mut next = layout.next();
        for track in [BEN, ben] {
            assert_eq!(next.admit_or_grow(track, Side::Agent, at(3)), Ok(()));
        }
        assert_eq!(next.tracks(), [Some(ALICE), Some(BEN), Some(alice), Some(ben)]);
        let mut alone = Layout::new(Reserved { said: 1, heard: 1 });
        assert!(alone.admit(anna, Side::Agent, at(0)) && alone.admit(ANNA, Side::Agent, at(0)));
        assert_eq!(alone.tracks(), [Some(ANNA), Some(anna)]);
    }

    #[test]
    fn a_channel_is_never_shared_and_the_next_file_has_the_present_legs() {
        let mut layout = Layout::new(CALL);
        assert!(layout.admit(ALICE, Side::Customer, at(0)) && layout.admit(ANNA, Side::Agent, at(0)));
        layout.leave(ANNA.leg, at(5));
        assert!(!layout.admit(BEN, Side::Agent, at(6)), "anna's channel remains hers");
        assert_eq!(layout.seats()[1], Some(Seat { track: ANNA, from: at(0), until: Some(at(5)) }));
        let mut next = layout.next();
        assert_eq!(next.admit_or_grow(BEN, Side::Agent, at(6)), Ok(()));
        assert_eq!(next.tracks(), [Some(ALICE), Some(BEN)]);
        assert_eq!(next.admit_or_grow(ANNA, Side::Agent, at(7)), Ok(()));
        assert_eq!(next.tracks(), [Some(ALICE), Some(BEN), Some(ANNA)]);
        next.leave(BEN.leg, at(8));
        let mut full = next.clone();
        full.vacate(at(7));
        assert_eq!(full, next, "what ben said until then is still to be written");
        full.vacate(at(8));
        assert_eq!(full.tracks(), [Some(ALICE), None, Some(ANNA)]);
        assert_eq!(next.next().tracks(), [Some(ALICE), None, Some(ANNA)]);
        next.leave(ANNA.leg, at(9));
        assert_eq!(next.next().tracks(), [Some(ALICE), None]);
    }

    #[test]
    fn a_leg_that_returns_has_its_previous_channel() {
        let mut layout = Layout::new(Reserved { said: 1, heard: 0 });
        assert!(layout.admit(ALICE, Side::Customer, at(0)));
        layout.leave(ALICE.leg, at(1));
        assert!(layout.admit(ALICE, Side::Customer, at(2)));
        assert_eq!(layout.seats(), [Some(Seat { track: ALICE, from: at(0), until: None })]);
    }

    #[test]
    fn channels_are_bounded() {
        let mut layout = Layout::new(CALL);
        for leg in 0..CHANNELS_MAX as u64 {
            assert_eq!(layout.admit_or_grow(Track::said(LegId(leg)), Side::Agent, at(0)), Ok(()));
        }
        assert_eq!(layout.admit_or_grow(Track::said(LegId(99)), Side::Agent, at(0)), Err(Full));
        assert_eq!(layout.seats().len(), CHANNELS_MAX);
    }
}
