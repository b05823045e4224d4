//! Panics in parts of the server: a debug build lets the operator cause them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tests::tandem::{Setup, Tandem};

/// Deadline for the end: longer than a failed server may take to close what it can.
const ENDS: Duration = Duration::from_secs(25);

/// Parts that every server has.
const PARTS: [&str; 10] =
    ["SIP", "SIP resolver", "switchboard", "ingest", "recorder", "media-0", "HTTP", "spool", "jobs", "admin socket"];

/// Asserts that the server exits as failed, with the reason in its log, when a part panics.
async fn ends_when(part: &str) {
    let mut tandem = Tandem::start(&Setup::default()).await;
    let mut socket = UnixStream::connect(tandem.data().join("admin.sock")).expect("the admin socket");
    writeln!(socket, "{}", serde_json::json!({ "command": "panic", "name": part })).expect("a command is taken");
    let told = tandem.fails(ENDS).await;
    let reason = format!("a part of the server has failed: {part} panicked: provoked");
    assert!(told.contains(&reason), "{part}: {told}");
    assert!(!told.contains("not everything could be closed in time"), "{part}: {told}");
    // The socket's other end is closed when its process ends.
    let _rest = socket.read_to_end(&mut Vec::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_task_ends_the_process_with_its_reason() {
    futures_util::future::join_all(PARTS.map(ends_when)).await;
}
