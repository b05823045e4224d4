//! Clock, sockets, ports: the only reader of the clock.
