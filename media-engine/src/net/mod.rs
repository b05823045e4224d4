//! Clock, sockets, ports, file descriptors, memory, and supervision of permanent tasks. Only this module reads the clock.

pub mod clock;
pub mod descriptors;
pub(crate) mod epoll;
pub mod memory;
pub mod ports;
pub mod supervisor;
pub(crate) mod udp;
