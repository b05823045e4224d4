//! The process's table of file descriptors: its size, and its division among kinds of connections.
//!
//! ```text
//!  table ─┬─ HTTP: pages, API, event streams, WebSockets   1/4
//!         ├─ SIP connections that peers open               3/16
//!         ├─ metrics                                       1/64
//!         └─ the rest, more than half                      media, SIP sockets, connections of ours, files, store
//! ```
//!
//! Strangers can only open connections of the first three kinds. However small the table is, they cannot take the
//! descriptors that calls need. `e2e::abuse::connections` verifies this with 256 descriptors.

#![allow(unsafe_code, reason = "getrlimit and setrlimit are syscalls")]

use std::io;

/// Upper bound for the limit: no process needs more, and some systems have a limit of thousands of millions.
const ENOUGH: u64 = 1 << 20;

/// Returns the size of the table: the soft limit, `RLIMIT_NOFILE`.
pub fn limit() -> usize {
    let limit = read().map_or(1024, |limit| limit.rlim_cur.min(ENOUGH));
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Raises the soft limit to the hard one, at most to 1,048,576; returns the limit that then applies.
///
/// # Errors
/// The error of the operating system; the limit is unchanged, and the caller may continue with it.
pub fn raise_limit() -> io::Result<usize> {
    let mut limit = read()?;
    let wanted = limit.rlim_max.min(ENOUGH);
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted;
        // SAFETY: `limit` is a valid rlimit that outlives the call; the result is checked.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(self::limit())
}

fn read() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that the call fills; the result is checked.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// Maximum numbers of simultaneous connections that peers may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Size of the table, in descriptors.
    pub limit: usize,
    /// HTTP connections of all kinds.
    pub http: usize,
    /// WebSockets, which are part of `http`.
    pub websockets: usize,
    /// Connections to the metrics listener.
    pub metrics: usize,
    /// SIP connections over TCP and TLS that peers open, including unfinished handshakes.
    pub sip: usize,
}

impl Budget {
    /// Returns the shares of a table with `limit` descriptors.
    pub fn of(limit: usize) -> Budget {
        let http = (limit / 4).clamp(8, 32_768);
        Budget {
            limit,
            http,
            websockets: (http / 4 * 3).min(16_384),
            metrics: (limit / 64).clamp(2, 64),
            sip: (limit / 16 * 3).clamp(8, 8_192),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_can_use_less_than_half_of_the_table() {
        for limit in [64, 256, 1024, 4096, 20_000, 65_536, 1 << 20] {
            let budget = Budget::of(limit);
            let strangers = budget.http + budget.metrics + budget.sip;
            assert!(strangers * 2 < limit, "{limit}: {budget:?}");
            assert!(budget.websockets < budget.http, "{limit}: WebSockets leave room for pages and API");
        }
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let raised = raise_limit().unwrap();
        assert_eq!(raised as u64, read().unwrap().rlim_max.min(ENOUGH));
        assert_eq!(limit(), raised);
    }
}
