//! Attacks on a running server: each test does to the real binary what an attacker would do, and asserts that the server
//! bounds it and that everybody else's calls go on. `docs/security.md` names the test of every bound.

mod access;
mod connections;
mod dialling;
mod disk;
mod events;
mod media;
mod siege;
mod supervision;
