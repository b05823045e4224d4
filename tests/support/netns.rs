//! Network namespaces, managed with the command `ip`.

use std::process::Command;

const NEEDS: &str = "this test makes network namespaces: run it as root (CAP_NET_ADMIN and CAP_SYS_ADMIN) on a Linux with \
                     CONFIG_NET_NS, CONFIG_VETH and CONFIG_IP_MULTIPLE_TABLES, with Debian's iproute2 (`make setup-test`)";

/// Runs `ip` with the arguments in `line`.
///
/// # Panics
/// When the command fails, with its output and the required privileges.
pub(crate) fn ip(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    run(line, &words);
}

/// Enables IP forwarding in a namespace.
///
/// # Panics
/// As [`ip`] does.
pub(crate) fn forward(namespace: &str) {
    let words = ["netns", "exec", namespace, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"];
    run(&words.join(" "), &words);
}

fn run(line: &str, words: &[&str]) {
    let done =
        Command::new("ip").args(words).output().unwrap_or_else(|error| panic!("`ip` does not run ({error}): {NEEDS}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "`ip {line}`: {}; {NEEDS}", said.trim());
}

/// Runs `ip` to delete an object, and ignores failures, since the object may already be gone.
pub(crate) fn take_away(line: &str) {
    let _gone = Command::new("ip").args(line.split(' ')).output();
}
