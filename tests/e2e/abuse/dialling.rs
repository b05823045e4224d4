//! Destinations written so that they pass the guard; identities; loops.
