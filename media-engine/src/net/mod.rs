//! Clock, sockets, ports, and who has to run for good: the only reader of the clock.

pub mod clock;
pub(crate) mod epoll;
pub mod ports;
pub mod supervisor;
pub(crate) mod udp;
