//! Writes recordings off the packet path.
