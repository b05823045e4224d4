//! A switch whose inputs and outputs are recorded as they happen.

use std::ops::Deref;
use std::time::Instant;

use super::{Capture, Entry};
use crate::worker::outbox::Output;
use crate::worker::switch::{Input, Outcome, Switch};

/// A switch with an optional capture. All inputs and outputs of the switch go through here.
pub(crate) struct CapturedSwitch {
    switch: Switch,
    capture: Option<Capture>,
}

impl CapturedSwitch {
    /// Wraps a new switch: a capture begins with the first input.
    pub(crate) fn new(switch: Switch, capture: Option<Capture>) -> CapturedSwitch {
        CapturedSwitch { switch, capture }
    }

    /// Handles an input as [`Switch::handle`] does, and records it.
    pub(crate) fn handle(&mut self, input: Input<'_>, now: Instant) -> Outcome {
        if let Some(capture) = self.capture.as_mut().filter(|_| input.is_replayable()) {
            capture.note(now, &Entry::Input(&input));
        }
        self.switch.handle(input, now)
    }

    /// Returns the next output as [`Switch::poll_output`] does, and records it.
    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<Output<'_>> {
        let output = self.switch.poll_output()?;
        if let Some(capture) = &mut self.capture
            && let Some(entry) = Entry::output(&output)
        {
            capture.note(now, &entry);
        }
        Some(output)
    }
}

impl Deref for CapturedSwitch {
    type Target = Switch;

    fn deref(&self) -> &Switch {
        &self.switch
    }
}
