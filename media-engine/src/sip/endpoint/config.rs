//! What an endpoint is told at its start.

use std::time::Duration;

use crate::sip::transaction::Timers;
use crate::sip::trunk::Trunk;

/// Identity, trunks and bounds of an [`Endpoint`](super::Endpoint).
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Digest realm, and the host of users' addresses.
    pub domain: String,
    /// Value of User-Agent and Server headers.
    pub user_agent: String,
    /// Carriers: calls from these addresses need no password, and calls can be sent to them.
    pub trunks: Vec<Trunk>,
    /// Source of every tag, branch, Call-ID and nonce key; must be secret and fresh for each start.
    pub seed: [u8; 32],
    /// Longest registration granted; also what a REGISTER without an expiry gets.
    pub registration_expires: Duration,
    /// Shortest registration granted: less is refused with 423 (RFC 3261 section 10.3).
    pub registration_min: Duration,
    /// How long an incoming call may stay unanswered, and an outgoing one without a final answer, before this
    /// endpoint ends it by itself. A backstop behind the engine's own ring time-out.
    pub unanswered: Duration,
    /// Bounds of everything that outside messages can make grow.
    pub limits: Limits,
    /// T1, T2 and T4 (RFC 3261 table 4).
    pub timers: Timers,
}

impl EndpointConfig {
    /// The defaults for `domain`, with the caller's fresh `seed`.
    pub fn new(domain: impl Into<String>, seed: [u8; 32]) -> EndpointConfig {
        EndpointConfig {
            domain: domain.into(),
            user_agent: concat!("Tandem/", env!("CARGO_PKG_VERSION")).into(),
            trunks: Vec::new(),
            seed,
            registration_expires: Duration::from_secs(3600),
            registration_min: Duration::from_secs(30),
            unanswered: Duration::from_secs(300),
            limits: Limits::default(),
            timers: Timers::default(),
        }
    }
}

/// Upper bounds. What would exceed one is refused with 503 (or 403 for a user's own bounds) and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client and server transactions together. Finished ones count until their timers end (32 s over UDP).
    pub transactions: usize,
    /// Calls' legs in any state.
    pub dialogs: usize,
    /// Users that have a password.
    pub users: usize,
    /// Valid passwords of one user; setting one more drops the one that expires first.
    pub passwords_per_user: usize,
    /// Registered contacts of one user.
    pub contacts_per_user: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { transactions: 200_000, dialogs: 50_000, users: 20_000, passwords_per_user: 8, contacts_per_user: 8 }
    }
}
