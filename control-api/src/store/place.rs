//! A place in a list that is ordered by time, then identity: where its next page goes on.

use jiff::Timestamp;
use uuid::Uuid;

/// Between two entries of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Time of the entry before, in milliseconds.
    pub at: i64,
    /// Its identity.
    pub id: Uuid,
}

impl Place {
    /// Before everything: where a list that begins with the oldest begins.
    pub const FIRST: Place = Place { at: i64::MIN, id: Uuid::nil() };
    /// After everything: where a list that begins with the newest begins.
    pub const LAST: Place = Place { at: i64::MAX, id: Uuid::max() };

    /// Just behind an entry.
    pub fn of(at: Timestamp, id: Uuid) -> Place {
        Place { at: at.as_millisecond(), id }
    }
}
