//! The only reader of the clock: pure rooms are passed what these functions return.

use std::time::{Instant, SystemTime};

/// Monotonic time, for everything that is measured or scheduled.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time, for everything that is shown or stored.
#[allow(clippy::disallowed_methods)]
pub fn system_now() -> SystemTime {
    SystemTime::now()
}
