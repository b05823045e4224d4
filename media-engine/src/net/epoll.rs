//! Readiness of a worker's sockets, wake-up from other threads, the alarm and the beat (epoll, eventfd, timerfd).
//!
//! Invariants: reports are level-triggered, so a socket that was not emptied is reported again; a [`Wake`] that comes after
//! the acknowledgement is not lost; an [`Alarm`] is reported once each time it is set. Nothing allocates after construction.
//!
//! Not here: reading and writing of the sockets.

#![allow(unsafe_code, reason = "epoll, eventfd and timerfd are syscalls")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::clock;

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

/// Buffer for the reports of one wait.
pub(crate) struct Ready {
    events: Vec<libc::epoll_event>,
}

impl Ready {
    /// Creates a buffer for `capacity` sockets per wait.
    pub(crate) fn with_capacity(capacity: usize) -> Ready {
        Ready { events: Vec::with_capacity(capacity) }
    }

    /// Returns the number of sockets reported by the last wait.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns the token of report `index`.
    pub(crate) fn token(&self, index: usize) -> u64 {
        self.events[index].u64
    }
}

impl Epoll {
    /// Creates a new instance.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers; the result is checked.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and has no other owner.
        Ok(Epoll { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Registers `fd` to be reported with `token` whenever it is readable, until [`Epoll::remove`] or until it is closed.
    pub(crate) fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.add_for(libc::EPOLLIN, fd, token)
    }

    /// Stops the reports of `fd`, which stays open.
    pub(crate) fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        // SAFETY: both descriptors are open for the call; an event is not needed to delete.
        let result = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_fd().as_raw_fd(), std::ptr::null_mut())
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Registers `alarm` to be reported with `token` once each time it fires.
    pub(crate) fn add_alarm(&self, alarm: &Alarm, token: u64) -> io::Result<()> {
        self.add_for(libc::EPOLLIN | libc::EPOLLET, alarm, token)
    }

    fn add_for(&self, events: libc::c_int, fd: &impl AsFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: both descriptors are open for the call, `event` outlives it.
        let result = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_fd().as_raw_fd(), &raw mut event)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until a socket, a wake-up or an alarm is readable. An interrupted wait reports nothing.
    pub(crate) fn wait(&self, ready: &mut Ready) -> io::Result<()> {
        self.report(ready, -1)
    }

    /// Reports what is readable now, without waiting.
    pub(crate) fn look(&self, ready: &mut Ready) -> io::Result<()> {
        self.report(ready, 0)
    }

    /// Waits for at most `timeout_ms`; −1 waits forever.
    fn report(&self, ready: &mut Ready, timeout_ms: libc::c_int) -> io::Result<()> {
        ready.events.clear();
        let room = ready.events.capacity().min(i32::MAX as usize) as i32;
        // SAFETY: `events` has room for `room` entries, of which the kernel writes the first `count`.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), ready.events.as_mut_ptr(), room, timeout_ms) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        // SAFETY: the kernel has written `count` entries, which is at most the capacity.
        unsafe { ready.events.set_len(count as usize) };
        Ok(())
    }
}

/// Makes a wait return at a given time. It stays set while packets are processed: a time-out for each wait would make the
/// kernel set and remove a timer per packet, which costs more than all else that the relay does with the packet.
#[derive(Debug)]
pub(crate) struct Alarm {
    fd: OwnedFd,
    set_for: Option<Instant>,
}

impl Alarm {
    /// Creates a timer that is not set.
    pub(crate) fn new() -> io::Result<Alarm> {
        Ok(Alarm { fd: timer(libc::TFD_NONBLOCK)?, set_for: None })
    }

    /// Sets the alarm to be reported at `at` at the latest. An alarm that is set for an earlier time is left unchanged.
    pub(crate) fn set(&mut self, at: Instant) -> io::Result<()> {
        if self.set_for.is_some_and(|set_for| set_for <= at) {
            return Ok(());
        }
        // Setting clears the expiration.
        set_timer(&self.fd, at, Duration::ZERO)?;
        self.set_for = Some(at);
        Ok(())
    }

    /// Notes that the alarm was reported, so that the next `set` sets it again.
    pub(crate) fn rang(&mut self) {
        self.set_for = None;
    }
}

/// A periodic timer, for a thread that would otherwise set an alarm for nearly every millisecond: the kernel repeats it by itself.
#[derive(Debug)]
pub(crate) struct Beat {
    fd: OwnedFd,
    beats: bool,
}

impl Beat {
    /// Creates a stopped beat.
    pub(crate) fn new() -> io::Result<Beat> {
        Ok(Beat { fd: timer(0)?, beats: false })
    }

    /// Starts the beat, the first one at `first`; does nothing if it is running. See [`Beat::stop`].
    pub(crate) fn start(&mut self, first: impl FnOnce() -> Instant, every: Duration) -> io::Result<()> {
        if !self.beats {
            set_timer(&self.fd, first(), every)?;
            self.beats = true;
        }
        Ok(())
    }

    /// Stops the beat.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.beats) {
            set_timespec(&self.fd, Duration::ZERO, Duration::ZERO)?;
        }
        Ok(())
    }

    /// Waits for the next beat, if none was missed since the last one. To be called only between `start` and `stop`.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut count = [0_u8; 8];
        // SAFETY: reads into eight live bytes.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        if read >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
    }
}

fn timer(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; the result is checked.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is open and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a timer. A time in the past means now; an interval of zero means once.
fn set_timer(fd: &OwnedFd, at: Instant, every: Duration) -> io::Result<()> {
    // Zero would unset the timer.
    set_timespec(fd, at.saturating_duration_since(clock::now()).max(Duration::from_nanos(1)), every)
}

fn set_timespec(fd: &OwnedFd, first: Duration, every: Duration) -> io::Result<()> {
    let spec = |span: Duration| libc::timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()),
    };
    let value = libc::itimerspec { it_interval: spec(every), it_value: spec(first) };
    // SAFETY: `value` outlives the call; the old value is not requested.
    let result = unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &raw const value, std::ptr::null_mut()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Wakes a worker from another thread.
#[derive(Debug)]
pub(crate) struct Wake {
    fd: OwnedFd,
    pending: AtomicBool,
}

impl Wake {
    /// Creates a new eventfd.
    pub(crate) fn new() -> io::Result<Wake> {
        // SAFETY: takes no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and has no other owner.
        Ok(Wake { fd: unsafe { OwnedFd::from_raw_fd(fd) }, pending: AtomicBool::new(false) })
    }

    /// Makes the worker's wait return. Cheap if a wake-up is already pending.
    pub(crate) fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: writes eight bytes of a live array. It can only fail when the counter is full, which wakes as well.
            unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Clears the wake-up; to be called by the woken thread before it looks for work.
    pub(crate) fn acknowledge(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: reads into eight live bytes; it is harmless if there is nothing to read.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        self.pending.store(false, Ordering::Release);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Gives the calling thread priority over all threads with ordinary scheduling (SCHED_RR).
pub(crate) fn run_before_others() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: `parameters` outlives the call; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Pins the calling thread to `cpu`.
pub(crate) fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such CPU"));
    }
    // SAFETY: an all-zero set is valid; `cpu` is inside it; the set outlives the call.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_is_reported_once_until_acknowledged() {
        let (epoll, wake, mut ready) = (Epoll::new().unwrap(), Wake::new().unwrap(), Ready::with_capacity(4));
        epoll.add(&wake, 7).unwrap();
        epoll.look(&mut ready).unwrap();
        assert_eq!(ready.len(), 0);
        wake.wake();
        wake.wake();
        epoll.wait(&mut ready).unwrap();
        assert_eq!((ready.len(), ready.token(0)), (1, 7));
        wake.acknowledge();
        epoll.look(&mut ready).unwrap();
        assert_eq!(ready.len(), 0);
        wake.wake();
        epoll.wait(&mut ready).unwrap();
        assert_eq!(ready.len(), 1, "a wake after the acknowledgement is not lost");
    }

    #[test]
    fn alarm_fires_once_at_its_earliest_time() {
        let (epoll, mut alarm, mut ready) = (Epoll::new().unwrap(), Alarm::new().unwrap(), Ready::with_capacity(4));
        epoll.add_alarm(&alarm, 7).unwrap();
        let start = clock::now();
        for ms in [3_600_000, 5, 60_000] {
            alarm.set(start + Duration::from_millis(ms)).unwrap();
        }
        epoll.wait(&mut ready).unwrap();
        assert_eq!((ready.len(), ready.token(0)), (1, 7));
        assert!(clock::now() - start >= Duration::from_millis(5));
        epoll.look(&mut ready).unwrap();
        assert_eq!(ready.len(), 0, "reported once");
        alarm.rang();
        alarm.set(start + Duration::from_secs(3_600)).unwrap();
        epoll.look(&mut ready).unwrap();
        assert_eq!(ready.len(), 0);
        alarm.set(start).unwrap();
        epoll.wait(&mut ready).unwrap();
        assert_eq!(ready.len(), 1, "a time in the past is reported");
    }

    #[test]
    fn beat_repeats_by_itself_until_it_is_stopped() {
        let (mut beat, every, start) = (Beat::new().unwrap(), Duration::from_millis(2), clock::now());
        for count in 1..=20 {
            beat.start(|| start + every, every).unwrap();
            beat.wait().unwrap();
            assert!(clock::now() >= start + every * count, "a beat never comes early");
        }
        beat.stop().unwrap();
        beat.start(clock::now, Duration::from_secs(3_600)).unwrap();
        beat.wait().unwrap();
    }
}
