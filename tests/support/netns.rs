//! Network namespaces, as the command `ip` makes them.

use std::process::Command;

const NEEDS: &str = "this test makes network namespaces: run it as root (CAP_NET_ADMIN and CAP_SYS_ADMIN) on a Linux with \
                     CONFIG_NET_NS, CONFIG_VETH and CONFIG_IP_MULTIPLE_TABLES, with Debian's iproute2 (`make setup-test`)";

/// Runs `ip` with these words.
///
/// # Panics
/// With what it said, and what it needs, when it fails.
pub(crate) fn ip(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    run(line, &words);
}

/// Lets a namespace pass on what is for others.
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

/// Takes away what was made; what is not there cannot go: as good.
pub(crate) fn take_away(line: &str) {
    let _gone = Command::new("ip").args(line.split(' ')).output();
}
