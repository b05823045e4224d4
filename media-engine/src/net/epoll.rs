//! Readiness of a worker's sockets, and the wake-up from other threads (epoll, eventfd).
//!
//! Not here: what is read. Level-triggered: a socket that is not emptied is reported again.

#![allow(unsafe_code, reason = "epoll and eventfd are syscalls")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

/// Room for the reports of one wait.
pub(crate) struct Ready {
    events: Vec<libc::epoll_event>,
}

impl Ready {
    /// Room for `capacity` sockets per wait.
    pub(crate) fn with_capacity(capacity: usize) -> Ready {
        Ready { events: Vec::with_capacity(capacity) }
    }

    /// Number of sockets reported by the last wait.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Token of report `index`.
    pub(crate) fn token(&self, index: usize) -> u64 {
        self.events[index].u64
    }
}

impl Epoll {
    /// A new instance.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers; the result is checked.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and owned by nobody else.
        Ok(Epoll { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Report `fd` with `token` whenever it can be read. It leaves by being closed.
    pub(crate) fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open for the call, `event` outlives it.
        let result = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_fd().as_raw_fd(), &raw mut event)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for readable sockets, at most `timeout` (`None`: for ever). An interrupted wait reports nothing.
    pub(crate) fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<()> {
        ready.events.clear();
        let room = ready.events.capacity().min(i32::MAX as usize) as i32;
        let span = timeout.map(|t| libc::timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) });
        let span_ptr = span.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `events` has room for `room` entries, of which the kernel writes the first `count`; `span` lives
        // through the call; the signal mask is null, of which the size is ignored.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                ready.events.as_mut_ptr(),
                room,
                span_ptr,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        // SAFETY: the kernel has written `count` entries, which is at most the capacity.
        unsafe { ready.events.set_len(count as usize) };
        Ok(())
    }
}

/// Wakes a worker from another thread.
#[derive(Debug)]
pub(crate) struct Wake {
    fd: OwnedFd,
    pending: AtomicBool,
}

impl Wake {
    /// A new eventfd.
    pub(crate) fn new() -> io::Result<Wake> {
        // SAFETY: takes no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and owned by nobody else.
        Ok(Wake { fd: unsafe { OwnedFd::from_raw_fd(fd) }, pending: AtomicBool::new(false) })
    }

    /// Makes the worker's wait return. Cheap when it is already due to.
    pub(crate) fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: writes eight bytes of a live array. It can only fail when the counter is full, which wakes as well.
            unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Called by the woken before it looks at what there is to do.
    pub(crate) fn acknowledge(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: reads into eight live bytes; nothing to read is no harm.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        self.pending.store(false, Ordering::Release);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
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
        epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert_eq!(ready.len(), 0);
        wake.wake();
        wake.wake();
        epoll.wait(&mut ready, None).unwrap();
        assert_eq!((ready.len(), ready.token(0)), (1, 7));
        wake.acknowledge();
        epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert_eq!(ready.len(), 0);
        wake.wake();
        epoll.wait(&mut ready, None).unwrap();
        assert_eq!(ready.len(), 1, "a wake after the acknowledgement is not lost");
    }
}
