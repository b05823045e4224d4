//! Virtual-time tests: pure modules over simulated networks with seeds. No sockets, no sleeps.

mod sip;
mod world;
