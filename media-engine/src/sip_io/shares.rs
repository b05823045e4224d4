//! How many connections each address has, or with IPv6 each customer's network.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::sip::endpoint::network;

/// Accepted connections by where they come from. Nothing is kept of addresses without any.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<IpAddr, usize>);

impl Shares {
    /// One more from `address`, unless there are `most`; whether it may be.
    pub(super) fn take(&mut self, address: IpAddr, most: usize) -> bool {
        let count = self.0.entry(network(address)).or_default();
        let fits = *count < most;
        *count += usize::from(fits);
        fits
    }

    /// One that was taken has ended.
    pub(super) fn give_back(&mut self, address: IpAddr) {
        let address = network(address);
        if let Some(count) = self.0.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_share_and_others_do_not() {
        let mut shares = Shares::default();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(shares.take(at("2001:db8:1:2::1"), 2) && shares.take(at("2001:db8:1:2:ffff::9"), 2));
        assert!(!shares.take(at("2001:db8:1:2::3"), 2));
        assert!(shares.take(at("2001:db8:1:3::1"), 2));
        assert!(shares.take(at("192.0.2.1"), 1) && shares.take(at("192.0.2.2"), 1));
        assert!(!shares.take(at("::ffff:192.0.2.1"), 1), "the same address");
        shares.give_back(at("2001:db8:1:2::1"));
        assert!(shares.take(at("2001:db8:1:2::3"), 2));
        for address in ["2001:db8:1:2::1", "2001:db8:1:2::1", "2001:db8:1:3::1", "192.0.2.1", "192.0.2.2"] {
            shares.give_back(at(address));
        }
        assert!(shares.0.is_empty());
    }
}
