//! What the end-to-end tests share: the real binary, its real peers, and measuring sound.
//!
//! ```text
//! Tandem (child process) ◀─ SIP, RTP ─▶ Sipp, Baresip, Linphone, RtpEnd, media_engine::party::Party
//!        ▲      ▲
//!        │      └─ WebSocket, WebRTC ── Browser (node driver ─ Chromium, Firefox)
//!        └─ HTTP, SSE ── Api, Crowd
//! ```
//!
//! Invariants: a peer that is missing fails the test and says what to install; everything started is stopped by
//! the process id held, also when a test fails; waits are for lines, packets and events, each with a deadline.
//! Not here: scenarios (they are the tests), virtual time (`tests/sim`).

pub mod api;
pub mod baresip;
pub mod browser;
pub mod coturn;
pub mod crowd;
pub mod desk;
pub mod ears;
pub mod impair;
pub mod kamailio;
pub mod leaks;
pub mod linphone;
mod netns;
pub mod office;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod program_server;
pub mod quality;
pub mod roam;
pub mod rtp;
pub mod seed;
pub mod sip;
pub mod sipp;
pub mod softphone;
pub mod sound;
pub mod speech;
pub mod talk;
pub mod tandem;
pub mod wall;

use std::path::PathBuf;

/// The repository's folder.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the member crate lies in the repository").to_owned()
}

/// A file under `tests/data`.
pub fn data(path: &str) -> PathBuf {
    repository().join("tests/data").join(path)
}

/// Whether every check runs at full length.
pub fn soak() -> bool {
    std::env::var_os("TANDEM_SOAK").is_some_and(|value| value != "0")
}
