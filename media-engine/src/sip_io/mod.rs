//! Runs the SIP core over sockets: UDP, TCP, TLS, and WebSockets that the HTTP server hands over.
//!
//! ```text
//!  UDP reader ───── bounded, drops ─────┐
//!  TCP, TLS ×n ──── bounded, waits ─────┤                      ┌─▶ UDP: sent at once or dropped
//!  WebSocket reader ×n ─────────────────┼─▶ one task owns the ─┼─▶ each connection's own bounded queue
//!  SipHandle::send ─ bounded, refuses ──┤   sip::Endpoint      │      full: the connection is closed
//!  names of trunks ─ bounded, waits ────┘                      ├─▶ connections that we open: a task each
//!                                                              └─▶ events: kept in order, never lost
//! ```
//!
//! - The owner of the endpoint never awaits a peer. A peer that stops reading fills its own queue and is closed; a peer
//!   that floods waits for its own credit, or loses its own datagrams.
//! - While the engine does not take events, the network is not read; nothing is thrown away.
//! - Every queue is bounded and its overflow counted in `tandem_sip_queue_full_total`.
//! - Trunks and registered users keep their connections: if there are too many, only strangers are displaced or refused
//!   ([`admission`](crate::admission)), and no peer stays a stranger for long.
//!
//! Not here: the meaning of messages (`sip`), HTTP upgrades (control plane), media (`worker`).

mod alarm;
mod connection;
mod intake;
mod listen;
mod meters;
mod opening;
mod resolve;
mod stack;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opening::Roots;
use resolve::{Book, Names, Owners};
use tokio::sync::{mpsc, oneshot};

use crate::admission::{ConnectionBounds, Full};
use crate::config::{SipConfig, TrunkConfig};
use crate::error::StartError;
use crate::net::clock;
use crate::net::descriptors::{self, Budget};
use crate::net::supervisor::Supervisor;
use crate::sip::dial::{Guard, Place};
use crate::sip::trace::TracedLeg;
use crate::sip::{
    CallTrace, DialogId, EndpointConfig, SipCommand, SipEvent, Sizes, Trace, TraceBounds, TraceLabel, TraceLevel,
    Transport, TrunkStatus, Uri,
};
use crate::units::CallId;

/// A SIP-over-WebSocket connection (RFC 7118) whose HTTP upgrade was done elsewhere.
///
/// Each message is one whole SIP message. Dropping either end closes the connection.
#[derive(Debug)]
pub struct WsConnection {
    /// Whether the socket uses TLS.
    pub secure: bool,
    /// Address of the client.
    pub peer: SocketAddr,
    /// Messages from the client; the creator bounds the channel.
    pub incoming: mpsc::Receiver<Bytes>,
    /// Messages to the client; if the bounded channel is full, the connection is closed.
    pub outgoing: mpsc::Sender<Bytes>,
}

/// The stack's queue is full, or the stack has stopped; try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the SIP stack is overloaded")]
pub struct Busy;

/// Why a WebSocket was not taken over; both its ends are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAttached {
    /// Its address has too many connections on which no user has registered.
    #[error("too many WebSockets from this address")]
    Address,
    /// There are too many WebSockets.
    #[error("too many WebSockets")]
    Table,
    /// The stack is overloaded or has stopped.
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl From<Full> for NotAttached {
    fn from(full: Full) -> NotAttached {
        match full {
            Full::Address => NotAttached::Address,
            Full::Table => NotAttached::Table,
        }
    }
}

/// A listener as written in `sip.listen`, with its actual port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// Address and port it is bound to.
    pub address: SocketAddr,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.via_token().to_ascii_lowercase(), self.address)
    }
}

/// Bounds and time-outs of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Most connections by TCP and TLS together, unfinished handshakes included. Those that we open are bounded by
    /// [`Limits::connections`](crate::sip::Limits::connections).
    pub tcp: usize,
    /// Most strangers of one address, or of one IPv6 /64; a /48 may have four times as many. Trunks' addresses are
    /// exempt.
    pub tcp_per_address: usize,
    /// Most WebSockets; counted separately, so that a flood of TCP connections keeps no browser out.
    pub websockets: usize,
    /// Like `tcp_per_address`, for WebSockets.
    pub websockets_per_address: usize,
    /// Most messages that may wait to be written to one connection.
    pub queue: usize,
    /// Time after connecting in which a peer must complete its TLS handshake.
    pub handshake: Duration,
    /// Time in which a connection of ours must be open, TLS handshake included.
    pub connect: Duration,
    /// Most connections of ours that may be opening at the same time; further ones fail at once.
    pub connecting: usize,
    /// Time after connecting in which a TCP peer must complete its first message.
    pub first_message: Duration,
    /// Time after its first byte in which any further message must be complete.
    pub message: Duration,
    /// Silence after which a TCP connection is closed; longer than a registration. A connection of ours is closed if
    /// nothing has needed it for this long.
    pub idle: Duration,
    /// The same for a peer, by WebSocket too, that has not yet been a trunk, a registered user or a party of a call.
    pub stranger_idle: Duration,
    /// Time after which a peer that is still a stranger is closed, whatever it sends.
    pub stranger_life: Duration,
    /// Time after which a peer that has sent nothing makes room for another; see
    /// [`ConnectionTable`](crate::admission::ConnectionTable).
    pub silent_grace: Duration,
    /// The same for a stranger that has sent a message.
    pub stranger_grace: Duration,
    /// Time in which one message must be written to a TCP peer.
    pub write: Duration,
    /// Interval at which a stream is pinged with a double line end (RFC 5626 section 4.4.1).
    pub ping: Duration,
    /// Time in which the peer of a connection of ours must answer a ping, or send anything else.
    pub pong: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            tcp: 4096,
            tcp_per_address: 256,
            websockets: 16_384,
            websockets_per_address: 128,
            queue: 128,
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(4),
            connecting: 256,
            first_message: Duration::from_secs(10),
            message: Duration::from_secs(10),
            idle: Duration::from_secs(65 * 60),
            stranger_idle: Duration::from_secs(150),
            stranger_life: Duration::from_secs(300),
            silent_grace: Duration::from_secs(1),
            stranger_grace: Duration::from_secs(5),
            write: Duration::from_secs(20),
            ping: Duration::from_secs(25),
            pong: Duration::from_secs(10),
        }
    }
}

impl ConnectionLimits {
    /// Returns the defaults, within a process's share of descriptors for SIP connections and WebSockets.
    pub fn within(budget: &Budget) -> ConnectionLimits {
        ConnectionLimits {
            tcp: budget.sip,
            tcp_per_address: (budget.sip / 8).clamp(8, 256),
            websockets: budget.websockets,
            websockets_per_address: (budget.websockets / 8).clamp(8, 128),
            ..ConnectionLimits::default()
        }
    }

    /// Returns the same for this process's own table of descriptors.
    pub fn of_process() -> ConnectionLimits {
        ConnectionLimits::within(&Budget::of(descriptors::limit()))
    }

    fn tcp_bounds(&self) -> ConnectionBounds {
        bounds(self.tcp, self.tcp_per_address)
    }

    fn websocket_bounds(&self) -> ConnectionBounds {
        bounds(self.websockets, self.websockets_per_address)
    }
}

/// Returns bounds with three quarters for strangers and the rest for known peers.
fn bounds(total: usize, per_address: usize) -> ConnectionBounds {
    ConnectionBounds { total, strangers: total - total / 4, per_address, per_site: per_address.saturating_mul(4) }
}

/// How much the stack holds, for tests and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Sizes of the endpoint.
    pub sizes: Sizes,
    /// Open connections and WebSockets, and those that are being opened.
    pub connections: usize,
    /// Events that wait for the engine, beyond those in its channel.
    pub waiting_events: usize,
}

/// Sends commands to the stack. Clones are cheap. When the last one is dropped, the stack stops.
#[derive(Clone, Debug)]
pub struct SipHandle {
    control: mpsc::Sender<Control>,
    listeners: Arc<[Listener]>,
    names: Arc<Names>,
    owners: Arc<Owners>,
    traces: bool,
}

#[derive(Debug)]
enum Control {
    Command(Box<SipCommand>),
    Attach(Box<WsConnection>, oneshot::Sender<Result<(), NotAttached>>),
    CredentialEnd(String, oneshot::Sender<()>),
    Census(oneshot::Sender<Census>),
    Trunks(oneshot::Sender<Vec<TrunkStatus>>),
    Label(DialogId, Box<TraceLabel>),
    Trace(CallId, oneshot::Sender<Vec<TracedLeg>>),
    Stop(oneshot::Sender<()>),
}

impl SipHandle {
    /// Sends a command to the endpoint. Commands are executed in the order in which they are sent.
    ///
    /// # Errors
    /// Returns [`Busy`] if too many commands are waiting or the stack has stopped; the command was not taken.
    pub fn send(&self, command: SipCommand) -> Result<(), Busy> {
        self.control(Control::Command(Box::new(command)))
    }

    /// Takes over a WebSocket.
    ///
    /// # Errors
    /// Returns [`NotAttached`] if there are too many WebSockets or too many commands waiting; the connection is closed.
    pub async fn attach(&self, connection: WsConnection) -> Result<(), NotAttached> {
        let (reply, answer) = oneshot::channel();
        self.control(Control::Attach(Box::new(connection), reply))?;
        answer.await.unwrap_or(Err(NotAttached::Busy(Busy)))
    }

    fn control(&self, control: Control) -> Result<(), Busy> {
        self.control.try_send(control).map_err(|_| {
            meters::queue_full("commands");
            Busy
        })
    }

    /// Returns the listeners in the order of the configuration, with their actual ports.
    pub fn local_addresses(&self) -> &[Listener] {
        &self.listeners
    }

    /// Returns the state of every trunk; `None` if the stack has stopped.
    pub async fn trunks(&self) -> Option<Vec<TrunkStatus>> {
        let (reply, answer) = oneshot::channel();
        self.control.send(Control::Trunks(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Removes all passwords and contacts of a user; returns once no further request of that user is accepted. `None`
    /// if the stack has stopped.
    pub async fn credential_end(&self, user: String) -> Option<()> {
        let (reply, answer) = oneshot::channel();
        self.control.send(Control::CredentialEnd(user, reply)).await.ok()?;
        answer.await.ok()
    }

    /// Returns whether messages are kept for [`SipHandle::trace`].
    pub fn traces(&self) -> bool {
        self.traces
    }

    /// Sets the owner of a dialog for its trace. For an outgoing dialog, call it before sending the INVITE command.
    pub fn label(&self, dialog: DialogId, label: TraceLabel) {
        if self.traces && self.control(Control::Label(dialog, Box::new(label))).is_err() {
            tracing::warn!("the SIP stack is overloaded: a leg will not be traced");
        }
    }

    /// Returns the messages of a call that are still kept, without secrets; `None` if the stack has stopped. A trace
    /// without parties means that nothing is kept of the call.
    pub async fn trace(&self, call: CallId) -> Option<CallTrace> {
        let (reply, answer) = oneshot::channel();
        self.control.send(Control::Trace(call, reply)).await.ok()?;
        let legs = answer.await.ok()?;
        Some(CallTrace::new(call, legs, clock::now(), clock::system_now()))
    }

    /// Returns the address and transport to which a `sip:` or `sips:` URI leads: SRV records, then addresses (RFC 3263,
    /// without NAPTR).
    ///
    /// # Errors
    /// Returns the fault of the URI or its host in words.
    pub async fn locate(&self, uri: &str) -> Result<(Transport, SocketAddr), String> {
        let uri = Uri::parse(uri).ok().filter(|uri| uri.scheme.is_sip());
        let place = uri.and_then(|uri| Place::of_uri(&uri).ok()).ok_or("not a SIP URI that can be called")?;
        let found = self.addresses(&place).await?;
        let near = found.into_iter().find(|(_, address)| self.reaches(*address));
        near.ok_or_else(|| format!("{}: no address", place.host()))
    }

    /// Returns every address to which a host leads, with its transport, in the order in which they should be tried.
    ///
    /// # Errors
    /// Returns in words why the host has no address.
    pub async fn addresses(&self, place: &Place) -> Result<Vec<(Transport, SocketAddr)>, String> {
        let found = self.names.find(place).await?.destinations;
        let all = found.iter().flat_map(|to| to.addresses.iter().map(|address| (to.transport, *address)));
        Ok(all.collect())
    }

    /// Returns whether a listener of ours has this address's family.
    pub fn reaches(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|own| own.address.is_ipv4() == address.is_ipv4())
    }

    /// Returns the trunk that has this address now: with this port if there is one, else with another.
    pub fn trunk_at(&self, address: SocketAddr) -> Option<String> {
        self.owners.of(address)
    }

    /// Returns how much the stack holds; `None` if it has stopped.
    pub async fn census(&self) -> Option<Census> {
        let (reply, answer) = oneshot::channel();
        self.control.send(Control::Census(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Executes the commands sent before, lets connections write what is queued (for at most a second), and closes
    /// everything.
    pub async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        if self.control.send(Control::Stop(reply)).await.is_ok() {
            // An error means that the stack has already stopped.
            let _ = done.await;
        }
    }
}

/// Starts the stack.
#[derive(Debug)]
pub struct SipStack;

impl SipStack {
    /// Most commands that may wait for the endpoint.
    const COMMANDS: usize = 4096;
    /// Most events that may wait for the engine in its channel.
    const EVENTS: usize = 1024;

    /// Binds the listeners, resolves trunks' hosts and starts the task that owns the endpoint. A name that is not
    /// resolved within 2 s is resolved in the background. Connections are bounded by the process's table of
    /// descriptors.
    ///
    /// # Errors
    /// Returns [`StartError::Listen`] if an address cannot be bound, and [`StartError::Config`] for a configuration
    /// that cannot be used.
    pub async fn start(
        sip: &SipConfig,
        trunks: &[TrunkConfig],
    ) -> Result<(SipHandle, mpsc::Receiver<SipEvent>), StartError> {
        SipStack::start_with(sip, trunks, ConnectionLimits::of_process()).await
    }

    /// Like [`start`](Self::start), with other bounds for connections.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with(
        sip: &SipConfig,
        trunks: &[TrunkConfig],
        limits: ConnectionLimits,
    ) -> Result<(SipHandle, mpsc::Receiver<SipEvent>), StartError> {
        SipStack::start_supervised(sip, trunks, limits, Supervisor::log_only()).await
    }

    /// Like [`start_with`](Self::start_with); the supervisor lists the stack as `SIP`, and its listeners and the
    /// resolver under their own names.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_supervised(
        sip: &SipConfig,
        trunks: &[TrunkConfig],
        limits: ConnectionLimits,
        supervisor: Supervisor,
    ) -> Result<(SipHandle, mpsc::Receiver<SipEvent>), StartError> {
        let sockets = listen::bind_all(&sip.listen)?;
        let secure = sockets.iter().any(|socket| socket.listener().transport == Transport::Tls);
        if secure && sip.tls.is_none() {
            let problem = "a tls: listener needs a certificate".into();
            return Err(StartError::Config { key: "sip.tls".into(), problem });
        }
        let roots = Roots::new(sip.tls_ca.as_deref())?;
        let listeners: Arc<[Listener]> = sockets.iter().map(listen::Bound::listener).collect();
        let domain = match sip.domain.as_str() {
            "" => listeners
                .first()
                .map_or("localhost".to_owned(), |first| listen::route_to_anywhere(first.address.ip()).to_string()),
            domain => domain.to_owned(),
        };
        let mut config = EndpointConfig::new(domain, fresh_seed()?);
        let wrong = |problem| StartError::Config { key: "sip.advertise".into(), problem };
        config.advertise = sip.advertise.as_deref().map(|text| text.parse().map_err(wrong)).transpose()?;
        let names = Arc::new(Names::new(sip.resolver));
        let book = Book::open(trunks, &names).await?;
        let owners = book.owners();
        config.guard = Guard::new(sip.dial.clone());
        config.trunks = book.trunks();
        for trunk in &mut config.trunks {
            let of_name = trunks.iter().find(|known| known.name == trunk.name);
            trunk.settings = of_name.map(|known| known.sip.clone()).unwrap_or_default();
        }
        let (control, control_out) = mpsc::channel(SipStack::COMMANDS);
        let (events_in, events) = mpsc::channel(SipStack::EVENTS);
        for listener in listeners.iter() {
            tracing::info!(%listener, "listening for SIP");
        }
        let security = stack::Security { server: sip.tls.clone(), roots };
        let trace = Trace::new(sip.trace, TraceBounds::default());
        let ends = stack::Ends { control: control_out, events: events_in, supervisor };
        stack::spawn(config, sockets, security, book, limits, trace, ends);
        let traces = sip.trace != TraceLevel::Off;
        let handle = SipHandle { control, listeners, names, owners, traces };
        // The queue is still empty.
        let _ = handle.send(SipCommand::TrunksStart);
        Ok((handle, events))
    }
}

fn fresh_seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| StartError::Config {
        key: "sip".into(),
        problem: "the system provides no random numbers; tags and nonces cannot be created".into(),
    })?;
    Ok(seed)
}
