//! Free space in the folder of recordings, and the limits at which recording stops or a warning is logged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::RecordConfig;

/// Interval at which the file system is queried.
const LOOK: Duration = Duration::from_secs(1);
/// Upper bounds of the limits, as divisors of the size of the file system: one in ten, one in five.
const MOST_MIN: u64 = 10;
const MOST_WARN: u64 = 5;
/// A state is left upwards only above its limit plus this part of it: one in eight.
const SLACK: u64 = 8;

/// Whether there is room for recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Free space is above the warning limit.
    Enough,
    /// Free space is below the warning limit: everything is recorded, and the operator should free space.
    Low,
    /// Free space is below the floor: nothing is recorded.
    Exhausted,
}

/// Free space in the folder of recordings, and its classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Classification of the free space.
    pub room: Room,
    /// Free bytes available to this user.
    pub free: u64,
    /// Free bytes below which nothing is recorded.
    pub floor: u64,
}

/// Queries the file system, and publishes changes of the room.
pub(super) struct Watch {
    folder: PathBuf,
    min: u64,
    warn: u64,
    looked: Option<Instant>,
    space: watch::Sender<Space>,
}

impl Watch {
    pub(super) fn new(folder: &Path, config: &RecordConfig) -> (Watch, watch::Receiver<Space>) {
        let (space, told) = watch::channel(Space { room: Room::Enough, free: u64::MAX, floor: 0 });
        let (min, warn) = (config.min_free, config.warn_free);
        (Watch { folder: folder.to_owned(), min, warn, looked: None, space }, told)
    }

    /// Queries the file system if the interval has passed; returns the current state.
    pub(super) fn look(&mut self, now: Instant) -> Space {
        let due = self.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK);
        if due {
            self.looked = Some(now);
            if let Some((free, total)) = free_and_total(&self.folder) {
                self.judge(free, total);
            }
        }
        *self.space.borrow()
    }

    pub(super) fn judge(&mut self, free: u64, total: u64) {
        metrics::gauge!("tandem_disk_free_bytes", "folder" => "recordings").set(free as f64);
        let floor = self.min.min(total / MOST_MIN);
        let warn = self.warn.min(total / MOST_WARN).max(floor);
        let before = self.space.borrow().room;
        let room = room(before, free, floor, warn);
        if room != before {
            let (free_mb, floor_mb) = (free >> 20, floor >> 20);
            match room {
                Room::Enough => tracing::info!(free_mb, "there is room for recordings again"),
                Room::Low => tracing::warn!(free_mb, floor_mb, "little room is left for recordings"),
                Room::Exhausted => {
                    tracing::error!(free_mb, floor_mb, "no room is left for recordings: nothing is recorded")
                }
            }
        }
        self.space.send_if_modified(|space| {
            *space = Space { room, free, floor };
            room != before
        });
    }
}

#[cfg(test)]
impl Watch {
    /// Stops the queries: the last result stays in effect.
    pub(super) fn hold(&mut self) {
        self.looked = Some(crate::net::clock::now() + Duration::from_secs(3_600));
    }
}

/// Classifies `free`; leaving a state upwards takes a little more than entering it.
fn room(before: Room, free: u64, floor: u64, warn: u64) -> Room {
    let raised = |mark: u64| mark.saturating_add(mark / SLACK);
    let floor = if before == Room::Exhausted { raised(floor) } else { floor };
    let warn = if before == Room::Enough { warn } else { raised(warn) };
    match () {
        () if free < floor => Room::Exhausted,
        () if free < warn => Room::Low,
        () => Room::Enough,
    }
}

/// Returns the bytes available to this user, and all bytes, of the file system that holds `folder`.
fn free_and_total(folder: &Path) -> Option<(u64, u64)> {
    let answer = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
    Some((bytes(answer.f_bavail), bytes(answer.f_blocks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_left_upwards_only_with_some_room_to_spare() {
        let steps = [
            (Room::Enough, 2_000, Room::Enough),
            (Room::Enough, 1_999, Room::Low),
            (Room::Low, 2_100, Room::Low),
            (Room::Low, 2_250, Room::Enough),
            (Room::Low, 499, Room::Exhausted),
            (Room::Exhausted, 550, Room::Exhausted),
            (Room::Exhausted, 563, Room::Low),
            (Room::Exhausted, 9_999, Room::Enough),
        ];
        for (before, free, after) in steps {
            assert_eq!(room(before, free, 500, 2_000), after, "{before:?} at {free}");
        }
        assert_eq!(room(Room::Enough, 0, 0, 0), Room::Enough, "both limits are off");
    }

    #[test]
    fn limits_are_lower_on_a_small_file_system() {
        let config = RecordConfig { min_free: 500 << 20, warn_free: 2_000 << 20, ..RecordConfig::default() };
        let (mut watch, told) = Watch::new(Path::new("/"), &config);
        for (free_mb, total_mb, room) in [
            (4, 32, Room::Low),
            (20, 32, Room::Enough),
            (3, 32, Room::Exhausted),
            (499, 100_000, Room::Exhausted),
            (1_999, 100_000, Room::Low),
            (50_000, 100_000, Room::Enough),
        ] {
            watch.judge(free_mb << 20, total_mb << 20);
            assert_eq!(told.borrow().room, room, "{free_mb} of {total_mb} MB");
        }
    }

    #[test]
    fn the_root_file_system_reports_its_free_space() {
        let (free, total) = free_and_total(Path::new("/")).expect("/ exists");
        assert!(0 < total && free <= total);
        assert_eq!(free_and_total(Path::new("/nowhere")), None);
    }
}
