//! The jitter buffer under virtual time: delay, loss, drift and unusual senders.
//!
//! Every network is seeded; a failure message contains the seed.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../sim/leg.rs"]
mod leg;
#[path = "../sim/network.rs"]
mod network;

mod delay;
mod hostile;
mod hours;
mod senders;
mod soak;
