//! Clock, sockets, ports, descriptors, memory, and who has to run for good: the only reader of the clock.

pub mod clock;
pub mod descriptors;
pub(crate) mod epoll;
pub mod memory;
pub mod ports;
pub mod supervisor;
pub(crate) mod udp;
