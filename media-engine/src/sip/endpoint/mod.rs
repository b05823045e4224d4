//! The SIP endpoint: messages, commands and `now` in; messages and events out.

mod command;
mod config;
mod event;
mod flow;

use std::collections::VecDeque;
use std::time::Instant;

pub use command::{DialogId, SipCommand, Target};
pub use config::{EndpointConfig, Limits};
pub use event::{SipEvent, SipOutput, Sizes, Source};
pub use flow::{Flow, FlowId, Transport};

pub use crate::sip::transaction::Timers;

/// A SIP user agent for many calls, users and trunks at once. Not a socket in sight: see `sip_io` for its driver.
pub struct Endpoint {
    config: EndpointConfig,
    listeners: Vec<Flow>,
    outputs: VecDeque<SipOutput>,
}

impl Endpoint {
    /// An endpoint without listeners or users.
    pub fn new(config: EndpointConfig) -> Endpoint {
        Endpoint { config, listeners: Vec::new(), outputs: VecDeque::new() }
    }

    /// Announces a UDP listener: requests to trunks leave from the first one of the target's address family.
    pub fn listener(&mut self, flow: Flow) {
        self.listeners.push(flow);
    }

    /// Takes one whole SIP message, or a keep-alive, that came by `flow`.
    pub fn handle_message(&mut self, _flow: &Flow, _bytes: &[u8], _now: Instant) {}

    /// A connection is gone: its registrations go, and its dialogs end.
    pub fn handle_flow_closed(&mut self, _flow: FlowId, _now: Instant) {}

    /// Takes an order of the engine.
    pub fn handle_command(&mut self, _command: SipCommand, _now: Instant) {}

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The next thing for the driver to do; call until `None` after each `handle_*`.
    pub fn poll_output(&mut self) -> Option<SipOutput> {
        self.outputs.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] is to be called next, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// How much is held now.
    pub fn sizes(&self) -> Sizes {
        Sizes::default()
    }

    /// Whether no transaction, dialog or output is left. Registrations and passwords do not count.
    pub fn is_idle(&self) -> bool {
        self.outputs.is_empty()
    }
}
