//! A bare forwarder: one socket per leg, one epoll, receive and send. This is the lower bound for a relay on sockets that is woken
//! for each packet.

#![allow(unsafe_code, reason = "epoll is a syscall")]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::Result;

use super::{FarEnd, order, say};
use crate::sound::payload_type;

pub(super) fn run() -> Result<()> {
    say(&"ready")?;
    let Some(setup) = order()? else { return Ok(()) };
    let sockets: Vec<UdpSocket> =
        setup.offers.iter().map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let payload_type = payload_type(setup.case.codecs()[0]);
    let mut ends = Vec::new();
    for socket in &sockets {
        socket.set_nonblocking(true)?;
        ends.push(FarEnd { address: socket.local_addr()?, payload_type, answer: None, keys: None });
    }
    std::thread::Builder::new().name("floor-0".into()).spawn(move || forward(&sockets, setup.generator))?;
    say(&ends)?;
    order()?;
    // The forwarder only waits for packets and ends with the process.
    Ok(())
}

fn forward(sockets: &[UdpSocket], generator: SocketAddr) {
    // SAFETY: the call takes no pointers; a failure makes the next calls fail, which ends the loop.
    let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(raw >= 0, "epoll: {}", std::io::Error::last_os_error());
    // SAFETY: `raw` is open and has no other owner.
    let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
    for (index, socket) in sockets.iter().enumerate() {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
        // SAFETY: both descriptors are open, and `event` outlives the call.
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
    }
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    let mut bytes = [0; 2048];
    loop {
        // SAFETY: `events` has room for the given number.
        let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), 256, -1) };
        for event in &events[..count.max(0) as usize] {
            let index = event.u64 as usize;
            // Further datagrams are reported again: looking for them would cost a system call for each packet.
            if let Ok((length, _)) = sockets[index].recv_from(&mut bytes) {
                // A datagram that the system refuses is lost, and counted as such by the generator.
                let _ = sockets[index ^ 1].send_to(&bytes[..length], generator);
            }
        }
    }
}
