//! The SIP endpoint: messages, commands and `now` in; messages, events and the next deadline out.
//!
//! ```text
//!   handle_message ─▶ requests ─┬─▶ servers (transactions) ─▶ incoming, in_dialog ┐
//!                  │            ├─▶ registration ─▶ Registrar                      ├─▶ outbox ─▶ poll_output
//!                  │            └─▶ refused without any state                      │
//!                  └─ responses ──▶ client (transactions) ─▶ outgoing, in_dialog ──┤
//!   handle_command ──▶ incoming, outgoing, in_dialog ────────────────────────────┤
//!   handle_timeout ──▶ outbox (timers) ─▶ transactions, legs, machines ──────────┘
//! ```
//! The endpoint assigns each message, command and timer to its owner and passes on what follows. State that can be
//! separated belongs to a machine with private fields, which knows nothing of the endpoint:
//!
//! ```text
//!   servers          requests of peers            trunks           health, limits and places of trunks
//!   leg_table        legs, tags, connections      registrations    our registrations at trunks
//!   connections      listeners, what we opened    authentication   nonces, proofs, `scanners`
//!   outbox           outputs and timers           tokens           tags, branches, Call-IDs
//!   for each dialog: attempts, early_dialogs, referrals (REFER), reliable (100rel), session_timer (RFC 4028)
//! ```
//!
//! - A stranger costs nothing: until a request is known to come from a trunk, a user or a dialog, it is answered
//!   without any state (RFC 3261 section 8.2.7).
//! - The state that a call leaves behind is removed by timers; after the last of them `sizes()` is what it was before
//!   the call.
//! - Every dialog that was announced to the engine ends with exactly one `Failed` or `Ended`.
//! - Everything that messages from outside can make grow has a bound in [`Limits`](crate::sip::Limits).
//!
//! Not here: sockets, DNS and connections (`sip_io`), the content of session descriptions (`sdp`), routes of numbers,
//! the decision who may take over a dialog (RFC 3891; an outgoing call that still rings cannot be taken over).
//! Sources: RFC 3261, 3262, 3311, 3326, 3327, 3515, 3581, 3891, 4028, 4320, 4488, 5626, 6026, 7118.

mod abilities;
mod admission;
mod attempts;
mod authentication;
mod challenging;
mod client;
mod command;
mod config;
mod connecting;
mod connections;
mod early;
mod early_dialogs;
mod ending;
mod event;
mod glare;
mod ids;
mod in_dialog;
mod incoming;
mod leg_table;
mod legs;
mod offers;
mod outbox;
mod outgoing;
mod place;
mod proof;
mod provisional;
mod referrals;
mod referring;
mod registering;
mod registration;
mod registrations;
mod reliable;
mod requests;
mod retries;
mod scanners;
mod server;
mod servers;
mod session;
mod session_timer;
mod status;
mod tables;
mod tokens;
mod trunking;
mod trunks;

use std::time::Instant;

use authentication::Authentication;
pub use command::{Cause, DialogId, Invite, ReferId, Replaces, SipCommand, Target};
pub use config::{Advertise, EndpointConfig};
use connections::Connections;
pub use event::{SipEvent, SipOutput, Sizes, Source};
use ids::TagOwner;
use leg_table::Legs;
use outbox::{Outbox, Timeout};
use registrations::Registrations;
use servers::Servers;
use tables::Tables;
use tokens::Tokens;
use trunks::Trunks;
pub use trunks::{PlaceStatus, TrunkStatus};

use crate::sip::flow::{Flow, FlowId};
use crate::sip::registrar::Registrar;
use crate::sip::transaction::Pace;
pub use crate::sip::transaction::Timers;
use crate::sip::trunk::TrunkCredentials;

/// A SIP user agent for many calls, users and trunks at once. It has no sockets: `sip_io` drives it.
pub struct Endpoint {
    config: EndpointConfig,
    tokens: Tokens,
    trunks: Trunks,
    connections: Connections,
    servers: Servers,
    tables: Tables,
    legs: Legs,
    registrar: Registrar,
    registrations: Registrations,
    authentication: Authentication,
    out: Outbox,
    last_incoming: u64,
    draining: bool,
}

impl Endpoint {
    /// Creates an endpoint without listeners or users.
    pub fn new(mut config: EndpointConfig) -> Endpoint {
        let tokens = Tokens::new(&config.seed);
        Endpoint {
            trunks: Trunks::new(std::mem::take(&mut config.trunks)),
            authentication: Authentication::new(&config.domain, &tokens),
            tokens,
            registrar: Registrar::new(config.limits),
            registrations: Registrations::default(),
            connections: Connections::new(config.limits.connections),
            servers: Servers::new(config.timers, &config.user_agent),
            tables: Tables::default(),
            legs: Legs::default(),
            out: Outbox::new(),
            last_incoming: 0,
            draining: false,
            config,
        }
    }

    /// Announces a listener. UDP requests leave from the first UDP listener of the target's address family; over TCP
    /// and TLS the listener's address is the one that peers are given as ours.
    pub fn listener(&mut self, flow: Flow) {
        self.connections.listen(flow);
    }

    /// Takes one whole SIP message or keep-alive that arrived by `flow`. No content makes it panic.
    pub fn handle_message(&mut self, flow: &Flow, bytes: &[u8], now: Instant) {
        self.receive(flow, bytes, now);
    }

    /// Reports that a connection has closed or could not be opened. Its registrations are removed and its requests fail
    /// with 503. Its dialogs end, except answered ones of users' devices, which may come back.
    pub fn handle_flow_closed(&mut self, flow: FlowId, now: Instant) {
        for dialog in self.legs.on_flow(flow) {
            self.leg_lost_flow(dialog, flow, now);
        }
        self.connection_lost(flow, now);
        for change in self.registrar.flow_closed(flow) {
            self.event(SipEvent::Registered { user: change.user, contacts: change.contacts });
        }
    }

    /// Executes a command of the engine.
    pub fn handle_command(&mut self, command: SipCommand, now: Instant) {
        match command {
            SipCommand::Invite(invite) => self.invite(*invite, now),
            SipCommand::Progress { dialog, status, sdp } => self.progress(dialog, status, sdp, now),
            SipCommand::Accept { dialog, sdp } => self.accept(dialog, sdp, now),
            SipCommand::AnswerHeader { dialog, name, value } => {
                if let Some(ringing) = self.legs.ringing(dialog) {
                    ringing.headers.push((name, value));
                }
            }
            SipCommand::Reject { dialog, status, reason, q850 } => {
                self.reject(dialog, (status, reason.as_deref()), q850, now);
            }
            SipCommand::Cancel { dialog } => self.hang_up(dialog, None, now),
            SipCommand::Bye { dialog, reason } => self.hang_up(dialog, reason, now),
            SipCommand::Reinvite { dialog, sdp } => self.reinvite(dialog, sdp, now),
            SipCommand::AcceptReinvite { dialog, sdp } => self.accept_reinvite(dialog, sdp, now),
            SipCommand::RejectReinvite { dialog, status } => self.reject_reinvite(dialog, status, now),
            SipCommand::CredentialSet { user, password, valid_for } => {
                if self.registrar.credential_set(&user, &password, valid_for, now).is_err() {
                    self.out.overflow();
                }
            }
            SipCommand::CredentialEnd { user } => {
                if let Some(change) = self.registrar.credential_end(&user) {
                    self.event(SipEvent::Registered { user: change.user, contacts: change.contacts });
                }
            }
            SipCommand::Info { dialog, content_type, body } => self.send_info(dialog, &content_type, body, now),
            SipCommand::Refer { dialog, to, replaces } => self.refer(dialog, &to, replaces.as_ref(), now),
            SipCommand::ReferProgress { dialog, refer, status, reason } => {
                self.refer_progress(dialog, refer, (status, reason.as_deref()), now);
            }
            SipCommand::Register { trunk, user, password, expires } => {
                self.register(trunk, TrunkCredentials { user, password }, expires, now);
            }
            SipCommand::TrunksStart => self.start_trunks(now),
            SipCommand::TrunkResolved { trunk, destinations } => self.trunk_resolved(&trunk, destinations, now),
            SipCommand::Drain => {
                self.draining = true;
                self.unregister(now);
            }
        }
    }

    /// Runs everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timeout) = self.out.expire(now) {
            match timeout {
                Timeout::Client(id) => self.client_timer(id, now),
                Timeout::Server(id) => self.servers.expired(id, now, &mut self.out),
                Timeout::Leg(dialog) => self.leg_timer(dialog, now),
                Timeout::Session(dialog) => self.session_timer(dialog, now),
                Timeout::Offer(dialog) => self.offer_timer(dialog, now),
                Timeout::Refer(dialog) => self.refer_timer(dialog),
                Timeout::Register(index) => self.registration_timer(index, now),
                Timeout::Attempt(dialog) => self.attempt_timer(dialog, now),
                Timeout::Probe(trunk) => self.probe(trunk, now),
            }
        }
        for change in self.registrar.expire(now) {
            self.event(SipEvent::Registered { user: change.user, contacts: change.contacts });
        }
    }

    /// Returns the next action for the driver; call it until `None` after each `handle_*`.
    pub fn poll_output(&mut self) -> Option<SipOutput> {
        self.out.poll()
    }

    /// Returns the time of the next [`Endpoint::handle_timeout`] call. Nothing may be due then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.out.next(), self.registrar.next()].into_iter().flatten().min()
    }

    /// Returns how much is held now. Counting the registrar's part takes time that grows with its users.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            server_transactions: self.servers.len(),
            client_transactions: self.tables.client_count(),
            dialogs: self.legs.len(),
            index_entries: self.servers.key_count() + self.tables.key_count() + self.legs.entry_count(),
            timers: self.out.timer_count(),
            contacts: self.registrar.contact_count(),
            passwords: self.registrar.password_count(),
            overflows: self.out.overflows(),
        }
    }

    /// Returns the dialog of the INVITE or call that has this tag of ours.
    pub fn dialog_of_tag(&self, tag: &str) -> Option<DialogId> {
        match self.legs.owner_of(tag)? {
            TagOwner::Leg(dialog) => Some(dialog),
            TagOwner::Fork(client) => match &self.tables.client(client)?.user {
                tables::ClientUser::Fork(fork) => Some(fork.dialog),
                _ => None,
            },
        }
    }

    /// Returns whether no transaction, dialog or output is left. Registrations and passwords do not count.
    pub fn is_idle(&self) -> bool {
        self.out.is_empty()
            && self.legs.len() == 0
            && self.servers.len() + self.tables.client_count() + self.out.timer_count() == 0
    }

    /// Steps of timers and tables so far: unlike time, the same number on every machine.
    #[cfg(test)]
    fn steps(&self) -> u64 {
        self.out.steps() + self.servers.steps() + self.tables.steps
    }

    fn event(&mut self, event: SipEvent) {
        self.out.event(event);
    }

    fn transmit(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.out.transmit(flow, bytes);
    }

    fn pace(&self, flow: &Flow) -> Pace {
        Pace { timers: self.config.timers, reliable: flow.transport.is_reliable() }
    }

    /// Returns whether one more transaction fits; a refusal is counted.
    fn has_room(&mut self) -> bool {
        let fits = self.tables.client_count() + self.servers.len() < self.config.limits.transactions;
        if !fits {
            self.out.overflow();
        }
        fits
    }

    /// Returns why a peer may start no further transaction by `flow`, or `None` if it may; a refusal is counted.
    fn full_for(&mut self, flow: &Flow) -> Option<&'static str> {
        let share = self.servers.count_of(flow.peer.ip());
        if share >= self.config.limits.transactions_per_address && self.trunks.owner_of(flow).is_none() {
            self.out.overflow();
            return Some("address_full");
        }
        (!self.has_room()).then_some("full")
    }

    /// Returns whether one more leg fits; a refusal is counted.
    fn has_room_for_leg(&mut self) -> bool {
        let fits = self.legs.len() < self.config.limits.dialogs;
        if !fits {
            self.out.overflow();
        }
        fits
    }
}

#[cfg(test)]
mod tests;
