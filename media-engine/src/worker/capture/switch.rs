//! A switch whose inputs and outputs are written down as they happen.

use std::ops::Deref;
use std::time::Instant;

use super::{Capture, Entry};
use crate::worker::outbox::Output;
use crate::worker::switch::{Input, Outcome, Switch};

/// A switch, and its capture where one was asked for. Whatever is done to the switch goes through here.
pub(crate) struct CapturedSwitch {
    switch: Switch,
    capture: Option<Capture>,
}

impl CapturedSwitch {
    /// `switch` is as it was made: a capture begins with its first input.
    pub(crate) fn new(switch: Switch, capture: Option<Capture>) -> CapturedSwitch {
        CapturedSwitch { switch, capture }
    }

    /// See [`Switch::handle`].
    pub(crate) fn handle(&mut self, input: Input<'_>, now: Instant) -> Outcome {
        if let Some(capture) = self.capture.as_mut().filter(|_| input.is_replayable()) {
            capture.note(now, &Entry::Input(&input));
        }
        self.switch.handle(input, now)
    }

    /// See [`Switch::poll_output`].
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
