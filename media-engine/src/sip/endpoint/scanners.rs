//! Scanners: an address that fails to authenticate again and again is ignored for a while.
//!
//! ```text
//!   wrong password ─▶ 10 within a minute ─▶ silenced for 5 min ─▶ count starts anew
//!   right password ─▶ trusted for an hour: failures from there silence nobody
//! ```
//!
//! - Only requests are ignored, and not OPTIONS: monitoring from behind the same NAT continues, and its response
//!   reveals nothing.
//! - WebSockets are exempt: a page whose password has expired asks the API for another one and continues.
//! - Trunks are never silenced: their failures are not recorded, and nothing from them is ignored (`admission`).
//! - Over UDP an address can be forged: an address that has recently authenticated cannot be silenced by others.
//! - A challenge is not a failure and costs nothing. A wrong password counts only with a nonce that was sent to the
//!   address it comes from: a forged sender never receives one.
//! - At most [`MOST`] addresses are remembered, IPv6 ones by their /64; further ones are not tracked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::event::SipEvent;
use crate::sip::flow::{Flow, network};

/// Failures within [`WINDOW`] that silence an address.
const FAILURES: u8 = 10;
const WINDOW: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_secs(300);
const TRUST: Duration = Duration::from_secs(3600);
/// Most addresses that are remembered.
const MOST: usize = 16_384;
/// Interval at which expired records are removed if there is no room.
const SWEEP: Duration = Duration::from_secs(1);

/// Records of addresses that have tried to authenticate.
#[derive(Debug, Default)]
pub(super) struct Scanners {
    records: HashMap<IpAddr, Record>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Record {
    Failing { since: Instant, failures: u8 },
    Silenced { until: Instant },
    Trusted { until: Instant },
}

impl Record {
    fn until(self) -> Instant {
        match self {
            Record::Failing { since, .. } => since + WINDOW,
            Record::Silenced { until } | Record::Trusted { until } => until,
        }
    }
}

impl Scanners {
    /// Returns whether a message is ignored unread: a request from a silenced address.
    pub(super) fn ignores(&self, flow: &Flow, bytes: &[u8], now: Instant) -> bool {
        self.is_silenced(flow.peer.ip(), now)
            && !bytes.starts_with(b"OPTIONS ")
            && !bytes.starts_with(b"SIP/2.0 ")
            && !flow.transport.is_websocket()
    }

    /// Records a failure; returns the event if it silences the address.
    pub(super) fn failed(&mut self, flow: &Flow, now: Instant) -> Option<SipEvent> {
        let address = flow.peer.ip();
        let silenced = !flow.transport.is_websocket() && self.count(address, now);
        silenced.then_some(SipEvent::Scanner { address, silence: SILENCE })
    }

    /// Records a success: the address is trusted for a while.
    pub(super) fn succeeded(&mut self, flow: &Flow, now: Instant) {
        self.note(network(flow.peer.ip()), Record::Trusted { until: now + TRUST }, now);
    }

    fn is_silenced(&self, address: IpAddr, now: Instant) -> bool {
        matches!(self.records.get(&network(address)), Some(Record::Silenced { until }) if *until > now)
    }

    /// Counts a failure; returns whether it silences the address.
    fn count(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = network(address);
        let known = self.records.get(&address).copied().filter(|record| record.until() > now);
        let next = match known {
            Some(Record::Trusted { .. } | Record::Silenced { .. }) => return false,
            Some(Record::Failing { failures, .. }) if failures + 1 >= FAILURES => {
                Record::Silenced { until: now + SILENCE }
            }
            Some(Record::Failing { since, failures }) => Record::Failing { since, failures: failures + 1 },
            None => Record::Failing { since: now, failures: 1 },
        };
        self.note(address, next, now);
        matches!(next, Record::Silenced { .. })
    }

    fn note(&mut self, address: IpAddr, record: Record, now: Instant) {
        let full = self.records.len() >= MOST && !self.records.contains_key(&address);
        if full && self.swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP) {
            self.swept = Some(now);
            self.records.retain(|_, record| record.until() > now);
        }
        if !full || self.records.len() < MOST {
            self.records.insert(address, record);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::units::test_epoch;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + n))
    }

    #[test]
    fn remembered_addresses_are_bounded_and_expired_ones_make_room() {
        let mut scanners = Scanners::default();
        let start = test_epoch();
        for n in 0..40_000 {
            scanners.count(address(n), start);
        }
        assert_eq!(scanners.records.len(), MOST);
        scanners.count(address(50_000), start + WINDOW);
        assert_eq!(scanners.records.len(), 1);
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let mut scanners = Scanners::default();
        let now = test_epoch();
        let of = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, last));
        let silenced: Vec<bool> = (1..=11).map(|n| scanners.count(of(n), now)).collect();
        assert_eq!(silenced.iter().position(|silenced| *silenced), Some(9));
        assert!(scanners.is_silenced(of(99), now) && !scanners.is_silenced(address(1), now));
    }
}
