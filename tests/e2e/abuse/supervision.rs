//! Parts of the server that panic: a debug build lets the operator make them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tests::tandem::{Setup, Tandem};

/// Longer than a server that is not whole any more may take to close what it can.
const ENDS: Duration = Duration::from_secs(25);

/// Every part that is always there.
const PARTS: [&str; 10] =
    ["SIP", "SIP resolver", "switchboard", "ingest", "recorder", "media-0", "HTTP", "spool", "jobs", "admin socket"];

/// The server ends with the reason in its log, and as failed.
async fn ends_when(part: &str) {
    let mut tandem = Tandem::start(&Setup::default()).await;
    let mut socket = UnixStream::connect(tandem.data().join("admin.sock")).expect("the admin socket");
    writeln!(socket, "{}", serde_json::json!({ "command": "panic", "name": part })).expect("a command is taken");
    let told = tandem.fails(ENDS).await;
    let reason = format!("the server is not whole any more: {part} panicked: provoked");
    assert!(told.contains(&reason), "{part}: {told}");
    assert!(!told.contains("not everything could be closed in time"), "{part}: {told}");
    // The socket's other end has ended with its process.
    let _rest = socket.read_to_end(&mut Vec::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_panics_ends_the_process_with_its_reason() {
    futures_util::future::join_all(PARTS.map(ends_when)).await;
}
