//! Joins the rooms: takes commands, runs calls, tells events.
//!
//! ```text
//! control plane ─ Command ─▶ inbox ─▶ one task per call ─▶ call::transition ─▶ effects
//!                                        ▲    ▲                 │ sip_io, worker, speech, record_io
//!                                        │    └── worker events ◀┘
//!                                        └─────── dialog events
//! ```

mod command;
mod event;

pub use crate::translate::{LagMs, TranslationEvent};
pub use command::{CallMode, CallSettings, Command, CommandError, Engine, Envelope, Reply};
pub use event::{
    CallStatus, Direction, Event, EventKind, LegRole, LegState, ProviderKind, ProviderState, RecordingState,
};
