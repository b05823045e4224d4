//! The generator's sockets: datagrams in batches, with the time at which the kernel queued them.
//!
//! A datagram sent over the loopback interface is queued at its receiver during the sender's call. The kernel's timestamp
//! (`SO_TIMESTAMPNS`) is that moment, so the generator's polling interval does not affect any delay.

#![allow(unsafe_code, reason = "recvmmsg, setsockopt and clock_gettime are syscalls")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Result, ensure};

/// Maximum number of datagrams per read.
const BATCH: usize = 32;
/// Buffer size for one datagram.
const ROOM: usize = 2048;
/// Buffer size for the ancillary data of one datagram: one timestamp and its header, twice over.
const CONTROL: usize = 64;
/// Size of the socket's receive buffer in bytes, for packets that wait while the generator sends.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Nanoseconds since 1970, by the clock of the kernel's timestamps.
pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    nanoseconds(time)
}

fn nanoseconds(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Opens a non-blocking socket on a free loopback port, with timestamps for its datagrams.
pub(crate) fn open() -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let reference = socket2::SockRef::from(&socket);
    reference.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    let on: libc::c_int = 1;
    // SAFETY: `on` outlives the call, and its size is given.
    let refused = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    } < 0;
    ensure!(!refused, "the kernel stamps no datagrams: {}", io::Error::last_os_error());
    Ok(socket)
}

/// Ancillary data, aligned as its header requires.
#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Buffers of one read.
pub(crate) struct Batch {
    buffers: Box<[[u8; ROOM]; BATCH]>,
    controls: Box<[Control; BATCH]>,
    names: Box<[libc::sockaddr_in; BATCH]>,
    vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        // SAFETY: all zeros is valid in all three structs: no address, no buffer, no name.
        let (name, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Batch {
            buffers: Box::new([[0; ROOM]; BATCH]),
            controls: Box::new([Control([0; CONTROL]); BATCH]),
            names: Box::new([name; BATCH]),
            vectors: Box::new([vector; BATCH]),
            headers: Box::new([header; BATCH]),
        }
    }

    /// Reads waiting datagrams from `socket`, at most a batch; returns their number.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> usize {
        for index in 0..BATCH {
            self.vectors[index] = libc::iovec { iov_base: self.buffers[index].as_mut_ptr().cast(), iov_len: ROOM };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: every header points to a name, a vector, a buffer and control space that this struct owns.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        count.max(0) as usize
    }

    /// Datagram `index` of the last read: port of its sender, time at which the kernel queued it, and its bytes, which may be
    /// altered in place.
    pub(crate) fn datagram(&mut self, index: usize) -> (u16, u64, &mut [u8]) {
        let header = &self.headers[index];
        let at = stamp(&header.msg_hdr).unwrap_or_else(now_ns);
        let length = (header.msg_len as usize).min(ROOM);
        (u16::from_be(self.names[index].sin_port), at, &mut self.buffers[index][..length])
    }
}

/// Returns the kernel's timestamp in the ancillary data.
fn stamp(header: &libc::msghdr) -> Option<u64> {
    // SAFETY: the kernel filled the control space that `header` names; CMSG_* stay within its length.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = control.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS {
                return Some(nanoseconds(libc::CMSG_DATA(control).cast::<libc::timespec>().read_unaligned()));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// Reports which of many sockets have waiting datagrams.
pub(crate) struct Watch {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Watch {
    pub(crate) fn new() -> Result<Watch> {
        // SAFETY: the call takes no pointers.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        ensure!(raw >= 0, "epoll: {}", io::Error::last_os_error());
        // SAFETY: `raw` is open and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Watch { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 64] })
    }

    pub(crate) fn add(&self, socket: &UdpSocket, token: usize) -> Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token as u64 };
        let (epoll, socket) = (self.epoll.as_raw_fd(), socket.as_raw_fd());
        // SAFETY: both descriptors are open, and `event` outlives the call.
        let refused = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &raw mut event) } < 0;
        ensure!(!refused, "epoll: {}", io::Error::last_os_error());
        Ok(())
    }

    /// Returns the number of sockets with waiting datagrams; `token` identifies them.
    pub(crate) fn look(&mut self) -> usize {
        let room = self.events.len() as libc::c_int;
        // SAFETY: `events` has room for the given number; the call does not wait.
        let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), room, 0) };
        count.max(0) as usize
    }

    /// Token of the `index`th socket of the last [`Watch::look`].
    pub(crate) fn token(&self, index: usize) -> usize {
        self.events[index].u64 as usize
    }
}

/// Sends one datagram. A full queue shows as loss; an error left behind by ICMP is removed from the socket first.
pub(crate) fn send(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    if let Err(error) = socket.send_to(bytes, to)
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        let _ = socket.send_to(bytes, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_carry_their_send_time_not_the_time_of_reading() {
        let (here, there) = (open().unwrap(), open().unwrap());
        let mut batch = Batch::new();
        let send_some = |count: u8| {
            let before = now_ns();
            for n in 0..count {
                send(&here, there.local_addr().unwrap(), &[n; 9]);
            }
            let after = now_ns();
            // The read comes later than the sends by more than the sends took.
            while now_ns() < after + (after - before) * 2 {
                std::hint::spin_loop();
            }
            (before, after)
        };
        // The kernel begins to stamp datagrams a moment after the first socket on the machine requested it; until then the time is
        // that of the read.
        let begun = now_ns();
        loop {
            let (_, after) = send_some(1);
            assert_eq!(batch.receive(&there), 1);
            if batch.datagram(0).1 <= after {
                break;
            }
            assert!(now_ns() < begun + 1_000_000_000, "datagrams are not stamped on their way");
        }
        let (before, after) = send_some(3);
        assert_eq!(batch.receive(&there), 3);
        for n in 0..3 {
            let (port, at, bytes) = batch.datagram(n);
            assert_eq!((port, &*bytes), (here.local_addr().unwrap().port(), &[n as u8; 9][..]));
            assert!((before..=after).contains(&at), "{before} {at} {after}");
        }
        assert_eq!(batch.receive(&there), 0);
    }
}
