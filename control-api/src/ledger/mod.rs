//! Ledger: the audit log, and the log of who played which recording.

pub(crate) mod play_log;

pub mod audit;
