//! Clock, sockets, ports: the only reader of the clock.

pub mod clock;
pub(crate) mod epoll;
pub mod ports;
pub(crate) mod udp;
