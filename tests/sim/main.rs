//! Virtual-time tests: pure rooms over networks that are made up and seeded. No sockets, no sleeps.

mod sip;
mod world;
