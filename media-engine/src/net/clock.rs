//! The only reader of the clock: pure modules receive the values that these functions return.

use std::time::{Duration, Instant, SystemTime};

/// Returns monotonic time, for everything that is measured or scheduled.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns wall-clock time, for everything that is displayed or stored.
#[allow(clippy::disallowed_methods)]
pub fn system_now() -> SystemTime {
    SystemTime::now()
}

/// Returns the CPU time of the calling thread.
#[allow(unsafe_code, reason = "clock_gettime is a syscall")]
pub(crate) fn thread_run_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable for the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.clamp(0, 999_999_999) as u32)
}
