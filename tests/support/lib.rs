//! Shared support for the end-to-end tests: the real binary, its real peers, and measurement of audio.
//!
//! ```text
//! Tandem (child process) ◀─ SIP, RTP ─▶ Sipp, Baresip, Linphone, RtpEnd, media_engine::party::Party
//!        ▲      ▲
//!        │      └─ WebSocket, WebRTC ── Browser (node driver ─ Chromium, Firefox)
//!        └─ HTTP, SSE ── Api, Crowd
//! ```
//!
//! Invariants: a missing peer program fails the test with the package to install; every started process is stopped by the process
//! id that was stored, also when a test fails; every wait is for a line, a packet or an event, and has a deadline. Not here:
//! scenarios (those are the tests) and virtual time (`tests/sim`).

pub mod api;
pub mod baresip;
pub mod browser;
pub mod coturn;
pub mod crowd;
pub mod desk;
pub mod ears;
pub mod impair;
pub mod interpreter;
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
pub mod transcriber;
pub mod wall;

use std::path::PathBuf;

/// Root folder of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the member crate lies in the repository").to_owned()
}

/// Path of a file under `tests/data`.
pub fn data(path: &str) -> PathBuf {
    repository().join("tests/data").join(path)
}

/// Returns a folder of the data that may not be shipped (`TANDEM_SHARED`, by default `../shared` beside the clone). Without it a
/// test is skipped, which is said in its output; on CI its absence is a failure.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let beside = || repository().parent().map(|parent| parent.join("shared")).unwrap_or_default();
    let found = std::env::var_os("TANDEM_SHARED").map_or_else(beside, PathBuf::from).join(folder);
    if found.is_dir() {
        return Some(found);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not there: set TANDEM_SHARED", found.display());
    eprintln!("{} is not there: 1 skipped", found.display());
    None
}

/// Returns whether every check runs at full length (`TANDEM_SOAK`).
pub fn soak() -> bool {
    std::env::var_os("TANDEM_SOAK").is_some_and(|value| value != "0")
}
