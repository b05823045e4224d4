//! The task that owns the endpoint.
//!
//! All input comes to this task by bounded channels: commands, datagrams, messages of connections, changed trunks. It
//! feeds the endpoint, sends datagrams at once, and puts other messages into the queues of their connections. Nothing
//! that it does can wait for a peer. It also admits connections, opens ours, and closes those that are idle or stay
//! strangers.
//!
//! Not here: reading and writing of connections (`connection`), opening of streams (`opening`), resolution of names
//! (`resolve`).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::alarm::{Alarm, until};
use super::connection::{Connection, Inbound, Inbox, carry, read_ws};
use super::intake::{Datagram, accept, read_udp};
use super::listen::{Bound, address_towards, route_to_anywhere};
use super::opening::{Connect, Opening, Roots};
use super::resolve::Book;
use super::{Census, ConnectionLimits, Control, NotAttached, WsConnection, meters};
use crate::admission::{ConnectionTable, Full, Standing};
use crate::net::clock;
use crate::net::supervisor::Supervisor;
use crate::sip::id_table::IdTable;
use crate::sip::{Endpoint, EndpointConfig, Flow, FlowId, NamedLeg, SipCommand, SipEvent, SipOutput, Trace, Transport};

/// Most datagrams that may wait for the owner; more are dropped and left to retransmission.
const DATAGRAMS: usize = 4096;
/// Most messages of all connections that may wait for the owner; readers wait while it is full.
const STREAMS: usize = 1024;
/// Most events beyond the engine's channel; while there are more, the network is not read.
const WAITING_EVENTS: usize = 4096;
/// Time in which connections may write what is queued when the stack stops.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Interval at which the gauges of the endpoint's sizes are updated, and idle connections are searched.
const LOOK_ROUND: Duration = Duration::from_secs(1);
/// Most changed trunks that may wait for the owner; the look-ups wait while it is full.
const RESOLVED: usize = 16;
/// Most peers for which the address of a listener on all addresses is cached.
const VIEWS: usize = 1024;
/// Most accepted connections that may be waiting for the owner, or closing, in addition to those that have a place;
/// each holds a descriptor.
const PLACELESS: usize = 16;
/// Interval at which known peers are checked: one whose registration has ended is a stranger again.
const LOOK_AT_KNOWN: Duration = Duration::from_secs(10);
/// Shortest interval between log lines about refused and displaced connections.
const TELL_REFUSALS: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct UdpListener {
    socket: Arc<UdpSocket>,
    bound: SocketAddr,
}

/// Our identity towards TLS peers, and the authorities that we trust.
pub(super) struct Security {
    /// Configuration of TLS listeners; set if there are any.
    pub(super) server: Option<Arc<ServerConfig>>,
    pub(super) roots: Roots,
}

/// Most messages that may wait for one connection of ours.
const TRUNK_QUEUE: usize = 4096;
/// Time that registrars have to remove our registrations when we stop.
const UNREGISTER: Duration = Duration::from_secs(1);

struct Stack {
    endpoint: Endpoint,
    trace: Trace,
    limits: ConnectionLimits,
    security: Security,
    listeners: IdTable<FlowId, UdpListener>,
    connections: IdTable<FlowId, Connection>,
    /// Accepted TCP and TLS connections.
    accepted: ConnectionTable<FlowId>,
    /// Accepted connections that have ended but may still write to a slow peer. They keep their places until they are
    /// closed, and are the first to make room.
    ending: IdTable<FlowId, CancellationToken>,
    /// Sockets of accepted connections that may be open.
    sockets: Arc<Semaphore>,
    /// Connections that we have opened, and the time of their last use.
    outgoing: IdTable<FlowId, Instant>,
    /// Connections that we may be opening at once.
    attempts: Arc<Semaphore>,
    websockets: ConnectionTable<FlowId>,
    /// Time of the last check of known peers.
    looked_at_known: Instant,
    refusals: Refusals,
    /// Our address as seen by peers of listeners on all addresses.
    views: HashMap<(FlowId, IpAddr), SocketAddr>,
    /// Our address in messages over WebSockets, whose socket belongs to the HTTP server.
    ws_local: SocketAddr,
    events: mpsc::Sender<SipEvent>,
    waiting: VecDeque<SipEvent>,
    streams: mpsc::Sender<Inbound>,
    next_flow: u64,
    tasks: TaskTracker,
    /// Cancelled to stop everything.
    root: CancellationToken,
    /// Stops listeners and look-ups: no new input arrives.
    intake: CancellationToken,
}

/// The owner's ends of its channels with the engine, and the supervisor that learns of the end of the owner or a
/// listener.
pub(super) struct Ends {
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) events: mpsc::Sender<SipEvent>,
    pub(super) supervisor: Supervisor,
}

/// Starts the owner and its listeners' tasks.
pub(super) fn spawn(
    config: EndpointConfig,
    sockets: Vec<Bound>,
    security: Security,
    book: Book,
    limits: ConnectionLimits,
    trace: Trace,
    Ends { control, events, supervisor }: Ends,
) {
    let (streams, streams_out) = mpsc::channel(STREAMS);
    let (datagrams, datagrams_out) = mpsc::channel(DATAGRAMS);
    let (resolved, resolved_out) = mpsc::channel(RESOLVED);
    let first = sockets.first().map(|socket| socket.listener().address);
    let ws_local = first.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 5060)));
    let root = CancellationToken::new();
    let mut stack = Stack {
        endpoint: Endpoint::new(config),
        trace,
        limits,
        security,
        listeners: IdTable::default(),
        connections: IdTable::default(),
        accepted: ConnectionTable::new(limits.tcp_bounds()),
        ending: IdTable::default(),
        sockets: Arc::new(Semaphore::new(limits.tcp + PLACELESS)),
        outgoing: IdTable::default(),
        attempts: Arc::new(Semaphore::new(limits.connecting)),
        websockets: ConnectionTable::new(limits.websocket_bounds()),
        looked_at_known: clock::now(),
        refusals: Refusals::default(),
        views: HashMap::new(),
        ws_local: SocketAddr::new(route_to_anywhere(ws_local.ip()), ws_local.port()),
        events,
        waiting: VecDeque::new(),
        streams,
        next_flow: 1,
        tasks: TaskTracker::new(),
        intake: root.child_token(),
        root,
    };
    for socket in sockets {
        stack.listen(socket, &datagrams, &supervisor);
    }
    let token = stack.intake.clone();
    let resolver = async move {
        let _ended = token.run_until_cancelled(book.run(resolved)).await;
    };
    stack.tasks.spawn(supervisor.run("SIP resolver", resolver));
    let inputs = Inputs { control, datagrams: datagrams_out, streams: streams_out, resolved: resolved_out };
    supervisor.spawn("SIP", stack.run(inputs));
}

/// The inputs of the owner.
struct Inputs {
    control: mpsc::Receiver<Control>,
    datagrams: mpsc::Receiver<Datagram>,
    streams: mpsc::Receiver<Inbound>,
    resolved: mpsc::Receiver<SipCommand>,
}

impl Stack {
    fn listen(&mut self, socket: Bound, datagrams: &mpsc::Sender<Datagram>, supervisor: &Supervisor) {
        let id = self.new_flow();
        let token = self.intake.clone();
        let name = format!("SIP listener {}", socket.listener());
        let super::Listener { transport, address } = socket.listener();
        let local = SocketAddr::new(route_to_anywhere(address.ip()), address.port());
        self.endpoint.listener(Flow { id, transport, local, peer: local });
        match socket {
            Bound::Udp(socket, bound) => {
                self.listeners.insert(id, UdpListener { socket: Arc::clone(&socket), bound });
                let reader = read_udp(id, socket, datagrams.clone());
                let reader = async move {
                    let _ended = token.run_until_cancelled(reader).await;
                };
                self.tasks.spawn(supervisor.run(&name, reader));
            }
            Bound::Tcp(listener, _) | Bound::Tls(listener, _) => {
                let accepter = accept(listener, transport, Arc::clone(&self.sockets), self.streams.clone());
                let accepter = async move {
                    let _ended = token.run_until_cancelled(accepter).await;
                };
                self.tasks.spawn(supervisor.run(&name, accepter));
            }
        }
    }

    fn new_flow(&mut self) -> FlowId {
        let id = FlowId(self.next_flow);
        self.next_flow += 1;
        id
    }

    async fn run(mut self, inputs: Inputs) {
        let Inputs { mut control, mut datagrams, mut streams, mut resolved } = inputs;
        let events = self.events.clone();
        let mut round = tokio::time::interval(LOOK_ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // The stop request to confirm, and the deadline for removing our registrations.
        let mut leaving: Option<(oneshot::Sender<()>, Instant)> = None;
        let mut alarm = Alarm::new();
        let stopped = loop {
            self.take_outputs();
            if leaving.is_some() && !self.endpoint.is_unregistering() {
                break leaving.take().map(|(reply, _)| reply);
            }
            let reading = self.waiting.len() < WAITING_EVENTS;
            tokio::select! {
                room = events.reserve(), if !self.waiting.is_empty() => match room {
                    Ok(room) => {
                        if let Some(event) = self.waiting.pop_front() {
                            room.send(event);
                        }
                    }
                    // Without an engine SIP has no purpose.
                    Err(_) => break None,
                },
                _ = round.tick() => {
                    meters::sizes(&self.endpoint.sizes());
                    meters::trunks(&self.endpoint.trunk_status(clock::now()));
                    meters::trace(&self.trace.census());
                    self.run_periodic(clock::now());
                }
                Some(command) = resolved.recv() => self.endpoint.handle_command(command, clock::now()),
                () = alarm.ring(self.endpoint.poll_timeout()) => self.endpoint.handle_timeout(clock::now()),
                order = control.recv() => match order {
                    Some(Control::Command(command)) => self.endpoint.handle_command(*command, clock::now()),
                    // The caller may have gone away; its ends of the connection are then closed.
                    Some(Control::Attach(connection, reply)) => drop(reply.send(self.attach(*connection))),
                    Some(Control::CredentialEnd(user, reply)) => {
                        self.endpoint.handle_command(SipCommand::CredentialEnd { user }, clock::now());
                        // The caller may have gone away.
                        let _ = reply.send(());
                    }
                    Some(Control::Census(reply)) => self.send_census(reply),
                    // The caller may have gone away.
                    Some(Control::Trunks(reply)) => drop(reply.send(self.endpoint.trunk_status(clock::now()))),
                    Some(Control::Label(dialog, label)) => log_named(self.trace.label(dialog, *label)),
                    // The caller may have gone away.
                    Some(Control::Trace(call, reply)) => drop(reply.send(self.trace.of_call(call))),
                    Some(Control::Stop(reply)) if leaving.is_none() => {
                        self.endpoint.handle_command(SipCommand::Drain, clock::now());
                        leaving = Some((reply, clock::now() + UNREGISTER));
                    }
                    Some(Control::Stop(_)) => {}
                    None => break None,
                },
                () = until(leaving.as_ref().map(|(_, by)| *by)), if leaving.is_some() => {
                    break leaving.take().map(|(reply, _)| reply);
                }
                Some(datagram) = datagrams.recv(), if reading => self.take_datagram(&datagram),
                Some(inbound) = streams.recv(), if reading => self.take_inbound(inbound),
            }
        };
        self.stop(streams).await;
        if let Some(reply) = stopped {
            // The caller may have gone away.
            let _ = reply.send(());
        }
    }

    fn take_datagram(&mut self, datagram: &Datagram) {
        let Some(listener) = self.listeners.get(&datagram.listener) else { return };
        let local = if listener.bound.ip().is_unspecified() {
            if self.views.len() == VIEWS {
                self.views.clear();
            }
            let view = self.views.entry((datagram.listener, datagram.peer.ip()));
            *view.or_insert_with(|| address_towards(listener.bound, datagram.peer.ip()))
        } else {
            listener.bound
        };
        let flow = Flow { id: datagram.listener, transport: Transport::Udp, local, peer: datagram.peer };
        meters::message(&datagram.bytes);
        self.handle_message(&flow, &datagram.bytes);
    }

    fn handle_message(&mut self, flow: &Flow, bytes: &[u8]) {
        let now = clock::now();
        self.trace.received(flow, bytes, now);
        self.endpoint.handle_message(flow, bytes, now);
    }

    fn take_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Message { flow, bytes, _credit } => {
                // A message that arrives after its connection was closed cannot be answered.
                if self.connections.contains_key(&flow.id) {
                    meters::message(&bytes);
                    self.handle_message(&flow, &bytes);
                    self.mark_known(&flow);
                    self.mark_spoken(flow.id);
                }
            }
            Inbound::Closed { flow, why } => drop(self.forget(flow, why)),
            Inbound::Gone { flow } => {
                self.ending.remove(&flow);
                self.accepted.leave(flow);
            }
            Inbound::Accepted { stream, transport, local, peer, socket } => {
                self.accept(stream, transport, local, peer, socket);
            }
        }
    }

    /// Marks a peer that is no longer a stranger: it may be silent for longer, and keeps its place.
    fn mark_known(&mut self, flow: &Flow) {
        if let Some(connection) = self.connections.get_mut(&flow.id)
            && connection.stranger_since.is_some()
            && self.endpoint.is_flow_known(flow)
        {
            connection.stranger_since = None;
            connection.known.store(true, Ordering::Relaxed);
            let table = if flow.transport.is_websocket() { &mut self.websockets } else { &mut self.accepted };
            table.set_standing(flow.id, Standing::Known);
            table.set_idle_since(flow.id, None);
        }
    }

    /// Records that a stranger has sent a message, which gives it more time.
    fn mark_spoken(&mut self, id: FlowId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.stranger_since.is_some()
            && !std::mem::replace(&mut connection.has_spoken, true)
        {
            let idle_since = Some(clock::now() + self.limits.stranger_grace);
            let is_websocket = connection.flow.transport.is_websocket();
            let table = if is_websocket { &mut self.websockets } else { &mut self.accepted };
            table.set_idle_since(id, idle_since);
        }
    }

    fn accept(
        &mut self,
        stream: TcpStream,
        transport: Transport,
        local: SocketAddr,
        peer: SocketAddr,
        socket: OwnedSemaphorePermit,
    ) {
        let opening = match (transport, &self.security.server) {
            (Transport::Tls, Some(server)) => Opening::Handshake(stream, Arc::clone(server), self.limits.handshake),
            (Transport::Tls, None) => return meters::refused("no_certificate"),
            _ => Opening::Accepted(stream),
        };
        let flow = Flow { id: self.new_flow(), transport, local, peer };
        let now = clock::now();
        let standing = self.standing(&flow);
        let idle_since = (standing == Standing::Stranger).then(|| now + self.limits.silent_grace);
        match self.accepted.admit(flow.id, peer.ip(), standing, idle_since, now) {
            Ok(displaced) => self.displace(displaced),
            Err(full) => return self.refuse(full.word()),
        }
        self.open(flow, opening, standing, Some(socket));
    }

    fn standing(&self, flow: &Flow) -> Standing {
        if self.endpoint.is_flow_known(flow) { Standing::Known } else { Standing::Stranger }
    }

    fn refuse(&mut self, why: &'static str) {
        self.refusals.refused += 1;
        meters::refused(why);
    }

    /// Closes a connection that made room for another.
    fn displace(&mut self, displaced: Option<FlowId>) {
        let Some(id) = displaced else { return };
        self.refusals.displaced += 1;
        let ended = self.forget(id, "displaced").map(|connection| connection.token);
        if let Some(token) = ended.or_else(|| self.ending.get(&id).cloned()) {
            token.cancel();
        }
    }

    /// Opens a connection for the endpoint, in a separate task.
    fn connect(&mut self, flow: Flow, server_name: String) {
        let Ok(attempt) = Arc::clone(&self.attempts).try_acquire_owned() else {
            meters::refused("connecting");
            return self.endpoint.handle_flow_closed(flow.id, clock::now());
        };
        let tls = (flow.transport == Transport::Tls).then(|| (self.security.roots.clone(), server_name));
        let connect = Connect { peer: flow.peer, tls, within: self.limits.connect, _attempt: attempt };
        self.outgoing.insert(flow.id, clock::now());
        self.open(flow, Opening::Connect(connect), Standing::Known, None);
    }

    /// Starts the task of a connection. `socket` is held until the connection is closed.
    fn open(&mut self, flow: Flow, opening: Opening, standing: Standing, socket: Option<OwnedSemaphorePermit>) {
        let token = self.root.child_token();
        // A trunk's connection carries all its calls, whose messages wait while it is opened.
        let room = if flow.id.is_outgoing() { TRUNK_QUEUE } else { self.limits.queue };
        let (outgoing, queue) = mpsc::channel(room);
        let inbox = Inbox::new(flow, self.streams.clone(), token.clone(), self.limits);
        let known = Arc::clone(&inbox.known);
        known.store(standing == Standing::Known, Ordering::Relaxed);
        let (carried, owner) = (carry(inbox, opening, outgoing.downgrade(), queue), self.streams.clone());
        self.tasks.spawn(async move {
            carried.await;
            if socket.is_some() {
                drop(socket);
                // The owner may have stopped; its count is then no longer needed.
                let _ = owner.send(Inbound::Gone { flow: flow.id }).await;
            }
        });
        let stranger_since = (standing == Standing::Stranger).then(clock::now);
        self.remember(Connection { flow, outgoing, token, known, stranger_since, has_spoken: false });
    }

    /// Does the work that is due once a second.
    fn run_periodic(&mut self, now: Instant) {
        self.close_idle(now);
        self.close_strangers(now);
        if now.saturating_duration_since(self.looked_at_known) >= LOOK_AT_KNOWN {
            self.looked_at_known = now;
            self.look_at_known(now);
        }
        self.refusals.log(now);
    }

    /// Closes peers that have been strangers for too long.
    fn close_strangers(&mut self, now: Instant) {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= self.limits.stranger_life;
        let strangers =
            self.connections.iter().filter(|(_, connection)| connection.stranger_since.is_some_and(is_over));
        let over: Vec<FlowId> = strangers.map(|(id, _)| *id).collect();
        for id in over {
            if let Some(connection) = self.forget(id, "stranger") {
                connection.token.cancel();
            }
        }
    }

    /// Makes peers strangers again whose registration, call or trunk has ended.
    fn look_at_known(&mut self, now: Instant) {
        let incoming = self.connections.values_mut().filter(|connection| !connection.flow.id.is_outgoing());
        for connection in incoming.filter(|connection| connection.stranger_since.is_none()) {
            if !self.endpoint.is_flow_known(&connection.flow) {
                connection.stranger_since = Some(now);
                connection.known.store(false, Ordering::Relaxed);
                let is_websocket = connection.flow.transport.is_websocket();
                let table = if is_websocket { &mut self.websockets } else { &mut self.accepted };
                table.set_standing(connection.flow.id, Standing::Stranger);
                table.set_idle_since(connection.flow.id, Some(now + self.limits.stranger_grace));
            }
        }
    }

    /// Closes connections of ours that nothing has needed for long.
    fn close_idle(&mut self, now: Instant) {
        let mut idle = Vec::new();
        for (&id, needed) in &mut self.outgoing {
            if self.endpoint.is_flow_used(id) {
                *needed = now;
            } else if now.saturating_duration_since(*needed) >= self.limits.idle {
                idle.push(id);
            }
        }
        for id in idle {
            drop(self.forget(id, "idle"));
        }
    }

    fn attach(&mut self, connection: WsConnection) -> Result<(), NotAttached> {
        let transport = if connection.secure { Transport::Wss } else { Transport::Ws };
        let flow = Flow { id: self.new_flow(), transport, local: self.ws_local, peer: connection.peer };
        let now = clock::now();
        let idle_since = Some(now + self.limits.silent_grace);
        match self.websockets.admit(flow.id, flow.peer.ip(), Standing::Stranger, idle_since, now) {
            Ok(displaced) => self.displace(displaced),
            Err(full) => {
                self.refuse(if full == Full::Address { "websockets_of_address" } else { "websockets" });
                return Err(full.into());
            }
        }
        let token = self.root.child_token();
        let weak = connection.outgoing.downgrade();
        let inbox = Inbox::new(flow, self.streams.clone(), token.clone(), self.limits);
        let known = Arc::clone(&inbox.known);
        self.remember(Connection {
            flow,
            outgoing: connection.outgoing,
            token,
            known,
            stranger_since: Some(now),
            has_spoken: false,
        });
        self.tasks.spawn(read_ws(inbox, connection.incoming, weak));
        Ok(())
    }

    fn remember(&mut self, connection: Connection) {
        meters::connections(connection.flow.transport, 1.0);
        tracing::debug!(flow = connection.flow.id.0, peer = %connection.flow.peer, "SIP connection");
        self.connections.insert(connection.flow.id, connection);
    }

    /// Removes a connection that has ended or is being closed: its queue may still be written.
    fn forget(&mut self, id: FlowId, why: &'static str) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        meters::connections(connection.flow.transport, -1.0);
        meters::closed(why);
        tracing::debug!(flow = id.0, why, "SIP connection closed");
        if connection.flow.transport.is_websocket() {
            self.websockets.leave(id);
            // Its reader holds the other end; a TCP reader ends with the writer.
            connection.token.cancel();
        } else if self.outgoing.remove(&id).is_none() {
            self.accepted.set_standing(id, Standing::Stranger);
            self.accepted.set_idle_since(id, Some(clock::now()));
            self.ending.insert(id, connection.token.clone());
        }
        self.endpoint.handle_flow_closed(id, clock::now());
        Some(connection)
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                SipOutput::Transmit { flow, bytes } => self.transmit(&flow, bytes),
                SipOutput::Event(SipEvent::Refused { peer, why }) => {
                    meters::refused(why);
                    tracing::debug!(%peer, why, "SIP message refused");
                }
                SipOutput::Event(event) => {
                    self.trace_event(&event);
                    self.send_event(event);
                }
                SipOutput::Connect { flow, server_name } => self.connect(flow, server_name),
                SipOutput::CloseFlow(id) => drop(self.forget(id, "evicted")),
            }
        }
    }

    fn trace_event(&mut self, event: &SipEvent) {
        match event {
            SipEvent::Incoming { dialog, call_id, .. } => self.trace.begins(*dialog, call_id),
            SipEvent::Ended { dialog, .. } | SipEvent::Failed { dialog, .. } => self.trace.ends(*dialog),
            _ => {}
        }
    }

    /// Sends an event, directly into the engine's channel if no earlier one is waiting.
    fn send_event(&mut self, event: SipEvent) {
        if !self.waiting.is_empty() {
            return self.waiting.push_back(event);
        }
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            meters::queue_full("events");
            self.waiting.push_back(event);
        }
    }

    fn transmit(&mut self, flow: &Flow, bytes: Vec<u8>) {
        log_named(self.trace.sent(flow, &bytes, clock::now(), |tag| self.endpoint.dialog_of_tag(tag)));
        if flow.transport == Transport::Udp {
            let Some(listener) = self.listeners.get(&flow.id) else { return meters::send_failed() };
            if let Err(error) = listener.socket.try_send_to(&bytes, flow.peer) {
                meters::send_failed();
                tracing::debug!(peer = %flow.peer, %error, "SIP datagram not sent");
            }
            return;
        }
        let Some(connection) = self.connections.get(&flow.id) else {
            // The connection has closed: requests that wait for a response must fail now, not at their time-out.
            meters::send_failed();
            return self.endpoint.handle_flow_closed(flow.id, clock::now());
        };
        if let Some(needed) = self.outgoing.get_mut(&flow.id) {
            *needed = clock::now();
        }
        if let Err(error) = connection.outgoing.try_send(bytes.into()) {
            let why = match error {
                mpsc::error::TrySendError::Full(_) => {
                    meters::queue_full("connection");
                    "queue_full"
                }
                mpsc::error::TrySendError::Closed(_) => "write_failed",
            };
            if let Some(connection) = self.forget(flow.id, why) {
                connection.token.cancel();
            }
        }
    }

    fn send_census(&self, reply: oneshot::Sender<Census>) {
        let (sizes, connections) = (self.endpoint.sizes(), self.connections.len());
        // The caller may have gone away.
        let _ = reply.send(Census { sizes, connections, waiting_events: self.waiting.len() });
    }

    async fn stop(mut self, streams: mpsc::Receiver<Inbound>) {
        drop(streams);
        self.intake.cancel();
        for (_, connection) in self.connections.drain() {
            meters::connections(connection.flow.transport, -1.0);
            // The writer of a WebSocket is the HTTP server; it writes what it has and closes.
            if connection.flow.transport.is_websocket() {
                connection.token.cancel();
            }
        }
        self.listeners.clear();
        self.tasks.close();
        // Readers end with their writers, so this waits only for what is still queued.
        let _ = tokio::time::timeout(LAST_WORDS, self.tasks.wait()).await;
        self.root.cancel();
        self.tasks.wait().await;
    }
}

/// Logs the Call-ID of a leg, once, so that a call of the log can be found in SIP traces and in other systems' logs.
fn log_named(leg: Option<NamedLeg>) {
    if let Some(NamedLeg { call, leg, call_id }) = leg {
        // As a quoted string, because the far end of an incoming call chose it.
        tracing::info!(%call, %leg, sip_call_id = ?call_id, "the SIP dialog of a leg");
    }
}

/// Connections that were refused or displaced since they were last logged.
#[derive(Debug, Default)]
struct Refusals {
    refused: u64,
    displaced: u64,
    told: Option<Instant>,
}

impl Refusals {
    /// Logs the counts, unless that was done a moment ago.
    fn log(&mut self, now: Instant) {
        let is_soon = self.told.is_some_and(|told| now.saturating_duration_since(told) < TELL_REFUSALS);
        if is_soon || self.refused + self.displaced == 0 {
            return;
        }
        let Refusals { refused, displaced, .. } = *self;
        tracing::warn!(refused, displaced, "too many SIP connections from strangers");
        *self = Refusals { told: Some(now), ..Refusals::default() };
    }
}
