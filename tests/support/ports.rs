//! Ports for peers that need to know their port before they start.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// First port handed out here: below the system's ephemeral range and outside the ports that Tandem uses in tests.
const FIRST: u16 = 14_000;
const COUNT: u16 = 4_000;

/// Port range of `[media] ports` in tests.
pub const MEDIA: &str = "20000-23999";

/// The same range, as numbers.
pub const MEDIA_RANGE: std::ops::RangeInclusive<u16> = 20_000..=23_999;

/// Returns a free even port on 127.0.0.1 whose odd neighbour is free too, for UDP and TCP.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..COUNT {
        // Processes of one run start at different ports.
        let step = NEXT.fetch_add(2, Ordering::Relaxed);
        let start = (std::process::id() as u16).wrapping_mul(38) & !1;
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let udp = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if udp(port) && udp(port + 1) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT);
}

/// Waits until UDP `port` is bound, without using it.
pub async fn until_bound(port: u16, deadline: Duration) {
    let mut look = tokio::time::interval(Duration::from_millis(10));
    let wanted = format!(":{port:04X}");
    let wait = async {
        loop {
            look.tick().await;
            let table = std::fs::read_to_string("/proc/net/udp").expect("the system's UDP sockets");
            if table.lines().any(|row| row.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&wanted))) {
                return;
            }
        }
    };
    assert!(
        tokio::time::timeout(deadline, wait).await.is_ok(),
        "no program listened on port {port} within {deadline:?}"
    );
}
