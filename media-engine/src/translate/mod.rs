//! Turns and segments of live translation; no vendor's name.

mod event;

pub use event::{LagMs, TranslationEvent};
