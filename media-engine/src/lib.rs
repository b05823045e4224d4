//! The media engine of Tandem.
//!
//! ```text
//!   control plane ── Command ─▶ Engine ── Event ─▶ control plane
//!                               │
//!          ┌────────────────────┼──────────────────────┐
//!       sip_io               worker                 speech, record_io     io: sockets, files, clock
//!          │                    │                      │
//!         sip          leg ─ call ─ audio      translate, record          pure: bytes and now in,
//!          │            │                                                       effects out
//!         sdp   jitter, srtp, rtp, rtcp
//! ```
//!
//! The pure modules never read the clock, open a socket or depend on tokio; they build with
//! `--no-default-features`. The io modules drive them behind the default feature `io`.

pub mod config;
pub mod error;
pub mod units;

pub mod admission;
pub mod amd;
pub mod audio;
pub mod call;
pub mod jitter;
pub mod leg;
pub mod record;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub mod srtp;
pub mod translate;

#[cfg(feature = "io")]
pub mod engine;
#[cfg(feature = "io")]
pub mod net;
#[cfg(feature = "io")]
pub mod party;
#[cfg(feature = "io")]
pub mod record_io;
#[cfg(feature = "io")]
pub mod sip_io;
#[cfg(feature = "io")]
pub mod speech;
#[cfg(feature = "io")]
pub mod worker;

pub use config::Config;
#[cfg(feature = "io")]
pub use engine::{Command, CommandError, Engine, Event, EventKind, Reply};
