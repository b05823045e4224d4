//! Batches of datagrams: one syscall to receive many, one to send many (recvmmsg, sendmmsg).
//!
//! ```text
//! socket ── receive() ──▶ ReceiveBatch: fixed buffers ── datagram(i) ──▶ (source, bytes)
//! push(to, bytes) ──▶ SendBatch ── flush(socket) ──▶ socket
//! ```
//!
//! Invariants: no allocation after construction; a datagram larger than a buffer is reported as empty, never cut short.

#![allow(unsafe_code, reason = "recvmmsg and sendmmsg are syscalls")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

/// Longest datagram that is accepted: above any RTP, RTCP, STUN or DTLS packet of a path with the usual MTU.
pub(crate) const MAX_DATAGRAM: usize = 2048;

/// Buffers for received datagrams.
pub(crate) struct ReceiveBatch {
    buffers: Box<[[u8; MAX_DATAGRAM]]>,
    names: Box<[libc::sockaddr_storage]>,
    // Points into `buffers` and `names`; kept because the headers point at it.
    _vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the raw pointers inside point only to memory that the struct owns on the heap.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    /// Creates a batch for `count` datagrams.
    pub(crate) fn new(count: usize) -> ReceiveBatch {
        let mut buffers = vec![[0_u8; MAX_DATAGRAM]; count].into_boxed_slice();
        // SAFETY: the C structs of this module are plain old data, for which all zeros is a valid value.
        let mut names = vec![unsafe { zeroed::<libc::sockaddr_storage>() }; count].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .iter_mut()
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: MAX_DATAGRAM })
            .collect();
        let headers = (0..count).map(|i| header(&mut names[i], &mut vectors[i])).collect();
        ReceiveBatch { buffers, names, _vectors: vectors, headers }
    }

    /// Receives the waiting datagrams, at most `most`, without blocking; returns their number. Asking for one more than there are
    /// costs the kernel a part of what receiving one does. An error caused by an earlier send (ICMP) is not reported, as it does not
    /// concern this socket.
    pub(crate) fn receive(&mut self, socket: &impl AsRawFd, most: usize) -> io::Result<usize> {
        // SAFETY: the headers point at buffers, names and vectors that this struct owns and does not move.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                most.min(self.headers.len()) as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count >= 0 {
            return Ok(count as usize);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => Ok(0),
            _ => Err(error),
        }
    }

    /// Returns datagram `index` of the last `receive`, which returned a larger number. `None` if it was truncated or has an unknown
    /// address family. The bytes may be modified in place; the next `receive` overwrites them.
    pub(crate) fn datagram(&mut self, index: usize) -> Option<(SocketAddr, &mut [u8])> {
        let header = &mut self.headers[index];
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let length = (header.msg_len as usize).min(MAX_DATAGRAM);
        Some((address_of(&self.names[index])?, &mut self.buffers[index][..length]))
    }
}

/// Datagrams collected for sending through one socket.
pub(crate) struct SendBatch {
    buffers: Box<[[u8; MAX_DATAGRAM]]>,
    names: Box<[libc::sockaddr_storage]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    used: usize,
}

// SAFETY: the raw pointers inside point only to memory that the struct owns on the heap.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Creates a batch for `count` datagrams.
    pub(crate) fn new(count: usize) -> SendBatch {
        let ReceiveBatch { buffers, names, _vectors: vectors, headers } = ReceiveBatch::new(count);
        SendBatch { buffers, names, vectors, headers, used: 0 }
    }

    /// Returns whether `flush` is due before the next `push`.
    pub(crate) fn is_full(&self) -> bool {
        self.used == self.headers.len()
    }

    /// Copies a datagram into the batch; `false` if the batch is full (the caller must flush first) or the datagram is too long.
    pub(crate) fn push(&mut self, to: SocketAddr, bytes: &[u8]) -> bool {
        if self.is_full() || bytes.len() > MAX_DATAGRAM {
            return false;
        }
        let index = self.used;
        self.buffers[index][..bytes.len()].copy_from_slice(bytes);
        self.vectors[index].iov_len = bytes.len();
        self.headers[index].msg_hdr.msg_namelen = write_address(to, &mut self.names[index]);
        self.used += 1;
        true
    }

    /// Sends all collected datagrams; returns how many the system refused (its queue is full, or the path is closed).
    pub(crate) fn flush(&mut self, socket: &impl AsRawFd) -> usize {
        let (mut sent, mut refused) = (0, 0);
        while sent + refused < self.used {
            let from = sent + refused;
            // SAFETY: the headers from `from` to `used` point at buffers, names and vectors that this struct owns.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr().add(from),
                    (self.used - from) as u32,
                    libc::MSG_DONTWAIT,
                )
            };
            if count > 0 {
                sent += count as usize;
            } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                refused += 1;
            }
        }
        self.used = 0;
        refused
    }
}

/// Sends one datagram without blocking. An error left by ICMP is cleared from the socket, and the datagram is sent.
pub(crate) fn send(socket: &std::net::UdpSocket, to: SocketAddr, bytes: &[u8]) -> bool {
    match socket.send_to(bytes, to) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.send_to(bytes, to).is_ok(),
        Err(_) => false,
    }
}

fn header(name: &mut libc::sockaddr_storage, vector: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: all zeros is a valid mmsghdr: no name, no vectors, no control data.
    let mut header: libc::mmsghdr = unsafe { zeroed() };
    header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

fn address_of(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which struct the storage holds; storage is large enough and aligned for all.
            let v4 = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            // A v4 peer on a dual-stack socket is returned with its v4 address, as in SDP and candidates.
            Some(match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddr::new(IpAddr::V4(v4), port),
                None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)),
            })
        }
        _ => None,
    }
}

fn write_address(address: SocketAddr, name: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: storage is large enough and aligned for sockaddr_in, and any bytes are valid in it.
            let to = unsafe { &mut *std::ptr::from_mut(name).cast::<libc::sockaddr_in>() };
            to.sin_family = libc::AF_INET as libc::sa_family_t;
            to.sin_port = v4.port().to_be();
            to.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above, for sockaddr_in6.
            let to = unsafe { &mut *std::ptr::from_mut(name).cast::<libc::sockaddr_in6>() };
            to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            to.sin6_port = v6.port().to_be();
            to.sin6_flowinfo = 0;
            to.sin6_addr.s6_addr = v6.ip().octets();
            to.sin6_scope_id = v6.scope_id();
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn batch_arrives_whole_with_its_source() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let (here, there) = (UdpSocket::bind(local).unwrap(), UdpSocket::bind(local).unwrap());
            let mut out = SendBatch::new(4);
            for n in 0..4_u8 {
                assert!(out.push(there.local_addr().unwrap(), &[n; 5]));
            }
            assert!(out.is_full() && !out.push(there.local_addr().unwrap(), b"beyond"));
            assert_eq!(out.flush(&here), 0);
            let (mut batch, mut got) = (ReceiveBatch::new(8), Vec::new());
            for index in 0..batch.receive(&there, 8).unwrap() {
                let (from, bytes) = batch.datagram(index).unwrap();
                assert_eq!(from, here.local_addr().unwrap());
                got.push(bytes.to_vec());
            }
            assert_eq!(got, [[0; 5], [1; 5], [2; 5], [3; 5]]);
            assert_eq!(batch.receive(&there, 8).unwrap(), 0);
        }
    }

    #[test]
    fn oversized_datagram_is_dropped_not_cut() {
        let (here, there) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        here.send_to(&[0; MAX_DATAGRAM + 1], there.local_addr().unwrap()).unwrap();
        let mut batch = ReceiveBatch::new(2);
        assert_eq!(batch.receive(&there, 8).unwrap(), 1);
        assert_eq!(batch.datagram(0), None);
    }

    #[test]
    fn closed_peer_does_not_affect_the_next_send() {
        let here = UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let there = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..3 {
            assert!(send(&here, gone, b"x"));
            assert!(send(&here, there.local_addr().unwrap(), b"x"));
        }
    }
}
