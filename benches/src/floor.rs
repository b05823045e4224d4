//! A bare forwarder: a socket per leg, one epoll, receive and send, nothing else. The least that a relay on sockets costs.

#![allow(unsafe_code, reason = "epoll is a syscall")]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;
use media_engine::sdp::Codec;

use crate::cpu;
use crate::generator::LegEnd;

/// A running forwarder.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts a forwarder of `calls` calls whose legs all talk to `generator`.
pub(crate) fn start(calls: usize, generator: SocketAddr, cpu: usize) -> Result<(Running, Vec<LegEnd>)> {
    let sockets: Vec<UdpSocket> =
        (0..calls * 2).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let mut ends = Vec::new();
    for (index, socket) in sockets.iter().enumerate() {
        socket.set_nonblocking(true)?;
        ends.push(LegEnd { address: socket.local_addr()?, codec: Codec::Pcmu, listener: index ^ 1, relayed: true });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("floor-0".into()).spawn(move || {
        cpu::pin(cpu);
        forward(&sockets, generator, &stopped);
    })?;
    Ok((Running { stop, thread }, ends))
}

impl Running {
    /// Ends the forwarder.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow::anyhow!("the forwarder ended by a fault"))
    }
}

fn forward(sockets: &[UdpSocket], generator: SocketAddr, stop: &AtomicBool) {
    // SAFETY: takes no pointers; a failure makes the next calls fail, which ends the loop.
    let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(raw >= 0, "epoll: {}", std::io::Error::last_os_error());
    // SAFETY: `raw` is open and owned by nobody else.
    let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
    for (index, socket) in sockets.iter().enumerate() {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
        // SAFETY: both descriptors are open, `event` outlives the call.
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
    }
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    let mut bytes = [0; 2048];
    while !stop.load(Ordering::Acquire) {
        // SAFETY: `events` has room for the number given.
        let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), 256, 100) };
        for event in &events[..count.max(0) as usize] {
            let index = event.u64 as usize;
            while let Ok((length, _)) = sockets[index].recv_from(&mut bytes) {
                // What the system refuses is lost, and counted as such by the generator.
                let _ = sockets[index ^ 1].send_to(&bytes[..length], generator);
            }
        }
    }
}
