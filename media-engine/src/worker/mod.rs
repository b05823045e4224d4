//! Media threads, optionally pinned to CPUs, that own whole legs.
//!
//! ```text
//!           WorkerRequest (bounded mailbox + eventfd)          WorkerEvent (bounded channel per leg)
//! call ─────────────────────────▶ ┌─────────────────────┐ ─────────────────────────▶ call
//!                                 │ thread: epoll, ticks│
//! sockets ── datagrams ─────────▶ │  switch (pure)      │ ── datagrams ───────────▶ sockets
//! recorder, recogniser ◀── tap ── │                     │ ◀── Play ── synthesiser
//!                                 └─────────────────────┘
//! ```
//!
//! Invariants: all legs of a call are on one worker; the packet path has no lock, no await, no allocation and no clock read per
//! packet; every queue is bounded and its overflow counted.
//!
//! Not here: signalling, negotiation (`sdp`) and the reaction to events (`call`).

pub mod capture;
mod command;
mod mailbox;
mod meters;
mod music;
mod outbox;
mod pace;
mod play;
mod pool;
pub mod switch;
mod thread;

pub use crate::config::App;
pub use crate::leg::flow::{Flow, Incoming, Outgoing};
pub use crate::rtcp::mos::Rating;
pub use command::{
    Census, ConferenceRole, DetachedLeg, GAIN_DB, LegMedia, LegQuality, Overloaded, WorkerCommand, WorkerEvent,
    WorkerEventKind, WorkerRequest,
};
pub use outbox::Output;
pub use pool::{Pool, Worker};
