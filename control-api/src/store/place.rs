//! Places in lists that are ordered by time, then identity: a page begins after one.

use jiff::Timestamp;
use uuid::Uuid;

/// A place between two entries of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Time of the entry before it, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Identity of the entry before it.
    pub id: Uuid,
}

impl Place {
    /// Before every entry: the beginning of a list with the oldest entries first.
    pub const FIRST: Place = Place { at: i64::MIN, id: Uuid::nil() };
    /// After every entry: the beginning of a list with the newest entries first.
    pub const LAST: Place = Place { at: i64::MAX, id: Uuid::max() };

    /// Returns the place just after an entry.
    pub fn of(at: Timestamp, id: Uuid) -> Place {
        Place { at: at.as_millisecond(), id }
    }
}
