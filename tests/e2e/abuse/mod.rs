//! Attacks on a running server: each test attacks the real binary and asserts that the server bounds the attack and that other
//! calls continue. `docs/security.md` names the test of every bound.

mod access;
mod connections;
mod dialling;
mod disk;
mod events;
mod media;
mod siege;
mod supervision;
