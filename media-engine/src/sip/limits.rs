//! Bounds of what messages from outside can make an endpoint keep.

/// Upper bounds. A request that would exceed one is refused with 503 (or 403 for a user's own bounds) and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client and server transactions together. Finished ones count until their timers end (32 s over UDP).
    pub transactions: usize,
    /// Server transactions of one address, or of one /64 with IPv6; trunks are not bound by it.
    pub transactions_per_address: usize,
    /// Call legs in any state.
    pub dialogs: usize,
    /// Connections that we open.
    pub connections: usize,
    /// Users that have a password.
    pub users: usize,
    /// Valid passwords of one user; setting one more drops the one that expires first.
    pub passwords_per_user: usize,
    /// Registered contacts of one user.
    pub contacts_per_user: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            transactions: 200_000,
            transactions_per_address: 20_000,
            dialogs: 50_000,
            connections: 1024,
            users: 20_000,
            passwords_per_user: 8,
            contacts_per_user: 8,
        }
    }
}
