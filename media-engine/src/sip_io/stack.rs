//! The task that owns the endpoint: everything comes to it, nothing that it does can wait for a peer.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, Inbound, Inbox, read_tcp, read_ws, write_tcp};
use super::listen::{Bound, address_towards, route_to_anywhere};
use super::{Census, ConnectionLimits, Control, WsConnection, meters};
use crate::net::clock;
use crate::sip::{Endpoint, EndpointConfig, Flow, FlowId, SipEvent, SipOutput, Transport};

/// Datagrams that may wait for the owner; more are dropped, and retransmission heals it.
const DATAGRAMS: usize = 4096;
/// Messages of all connections that may wait for the owner; readers wait when it is full.
const STREAMS: usize = 1024;
/// Events beyond the engine's channel; with more, the network is no longer read.
const WAITING_EVENTS: usize = 4096;
/// What connections may take to write what waits when the stack stops.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The gauges of what the endpoint holds follow this often.
const TELL_SIZES: Duration = Duration::from_secs(1);
/// How many peers' views of a listener on all addresses are remembered.
const VIEWS: usize = 1024;
/// A TCP peer that acknowledges nothing for this long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept or receive, such as when file descriptors have run out.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Datagram {
    listener: FlowId,
    peer: SocketAddr,
    bytes: Bytes,
}

#[derive(Debug)]
struct UdpListener {
    socket: Arc<UdpSocket>,
    bound: SocketAddr,
}

struct Stack {
    endpoint: Endpoint,
    limits: ConnectionLimits,
    listeners: HashMap<FlowId, UdpListener>,
    connections: HashMap<FlowId, Connection>,
    /// Open TCP connections by address.
    addresses: HashMap<IpAddr, usize>,
    websockets: usize,
    /// Our address as seen by peers of listeners on all addresses.
    views: HashMap<(FlowId, IpAddr), SocketAddr>,
    /// Our address in messages over WebSockets, whose socket is the HTTP server's.
    ws_local: SocketAddr,
    events: mpsc::Sender<SipEvent>,
    waiting: VecDeque<SipEvent>,
    streams: mpsc::Sender<Inbound>,
    next_flow: u64,
    tasks: TaskTracker,
    root: CancellationToken,
}

/// Starts the owner with its listeners' tasks.
pub(super) fn spawn(
    config: EndpointConfig,
    sockets: Vec<Bound>,
    limits: ConnectionLimits,
    control: mpsc::Receiver<Control>,
    events: mpsc::Sender<SipEvent>,
) {
    let (streams, streams_out) = mpsc::channel(STREAMS);
    let (datagrams, datagrams_out) = mpsc::channel(DATAGRAMS);
    let first = sockets.first().map(|socket| socket.listener().address);
    let ws_local = first.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 5060)));
    let mut stack = Stack {
        endpoint: Endpoint::new(config),
        limits,
        listeners: HashMap::new(),
        connections: HashMap::new(),
        addresses: HashMap::new(),
        websockets: 0,
        views: HashMap::new(),
        ws_local: SocketAddr::new(route_to_anywhere(ws_local.ip()), ws_local.port()),
        events,
        waiting: VecDeque::new(),
        streams,
        next_flow: 1,
        tasks: TaskTracker::new(),
        root: CancellationToken::new(),
    };
    for socket in sockets {
        stack.listen(socket, &datagrams);
    }
    tokio::spawn(stack.run(control, datagrams_out, streams_out));
}

impl Stack {
    fn listen(&mut self, socket: Bound, datagrams: &mpsc::Sender<Datagram>) {
        let id = self.new_flow();
        let token = self.root.child_token();
        match socket {
            Bound::Udp(socket, bound) => {
                let local = SocketAddr::new(route_to_anywhere(bound.ip()), bound.port());
                self.endpoint.listener(Flow { id, transport: Transport::Udp, local, peer: local });
                self.listeners.insert(id, UdpListener { socket: Arc::clone(&socket), bound });
                let reader = read_udp(id, socket, datagrams.clone());
                self.tasks.spawn(async move { token.run_until_cancelled(reader).await });
            }
            Bound::Tcp(listener, _) => {
                let accepter = accept_tcp(listener, self.streams.clone());
                self.tasks.spawn(async move { token.run_until_cancelled(accepter).await });
            }
        }
    }

    fn new_flow(&mut self) -> FlowId {
        let id = FlowId(self.next_flow);
        self.next_flow += 1;
        id
    }

    async fn run(
        mut self,
        mut control: mpsc::Receiver<Control>,
        mut datagrams: mpsc::Receiver<Datagram>,
        mut streams: mpsc::Receiver<Inbound>,
    ) {
        let events = self.events.clone();
        let mut telling = tokio::time::interval(TELL_SIZES);
        telling.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let stopped = loop {
            self.take_outputs();
            let reading = self.waiting.len() < WAITING_EVENTS;
            tokio::select! {
                room = events.reserve(), if !self.waiting.is_empty() => match room {
                    Ok(room) => {
                        if let Some(event) = self.waiting.pop_front() {
                            room.send(event);
                        }
                    }
                    // Without an engine there is nothing to do for SIP.
                    Err(_) => break None,
                },
                _ = telling.tick() => {
                    meters::sizes(&self.endpoint.sizes());
                    meters::trunks(&self.endpoint.trunk_status(clock::now()));
                }
                () = until(self.endpoint.poll_timeout()) => self.endpoint.handle_timeout(clock::now()),
                order = control.recv() => match order {
                    Some(Control::Command(command)) => self.endpoint.handle_command(*command, clock::now()),
                    Some(Control::Attach(connection)) => self.attach(*connection),
                    Some(Control::Census(reply)) => self.tell_census(reply),
                    // Whoever asked may have given up waiting.
                    Some(Control::Trunks(reply)) => drop(reply.send(self.endpoint.trunk_status(clock::now()))),
                    Some(Control::Stop(reply)) => break Some(reply),
                    None => break None,
                },
                Some(datagram) = datagrams.recv(), if reading => self.take_datagram(&datagram),
                Some(inbound) = streams.recv(), if reading => self.take_inbound(inbound),
            }
        };
        self.stop(streams).await;
        if let Some(reply) = stopped {
            // Whoever asked may have given up waiting.
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
        self.endpoint.handle_message(&flow, &datagram.bytes, clock::now());
    }

    fn take_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Message { flow, bytes, _credit } => {
                // A message that was under way when its connection was closed has no way back.
                if self.connections.contains_key(&flow.id) {
                    meters::message(&bytes);
                    self.endpoint.handle_message(&flow, &bytes, clock::now());
                }
            }
            Inbound::Closed { flow, why } => drop(self.forget(flow, why)),
            Inbound::Accepted { stream, local, peer } => self.accept(stream, local, peer),
        }
    }

    fn accept(&mut self, stream: TcpStream, local: SocketAddr, peer: SocketAddr) {
        if self.connections.len() - self.websockets >= self.limits.tcp {
            return meters::refused("connections");
        }
        let of_address = self.addresses.entry(peer.ip()).or_default();
        if *of_address >= self.limits.tcp_per_address {
            return meters::refused("connections_of_address");
        }
        *of_address += 1;
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "TCP options stay as they are");
        }
        let flow = Flow { id: self.new_flow(), transport: Transport::Tcp, local, peer };
        let (inbox, outgoing, queue) = self.open(flow);
        let (read, write) = stream.into_split();
        self.tasks.spawn(read_tcp(inbox.clone(), read, outgoing.downgrade()));
        self.tasks.spawn(write_tcp(inbox, write, queue));
    }

    fn open(&mut self, flow: Flow) -> (Inbox, mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
        let token = self.root.child_token();
        let (outgoing, queue) = mpsc::channel(self.limits.queue);
        self.remember(Connection { flow, outgoing: outgoing.clone(), token: token.clone() });
        (Inbox::new(flow, self.streams.clone(), token, self.limits), outgoing, queue)
    }

    fn attach(&mut self, connection: WsConnection) {
        if self.websockets >= self.limits.websockets {
            // Dropping both its ends closes it.
            return meters::refused("websockets");
        }
        self.websockets += 1;
        let transport = if connection.secure { Transport::Wss } else { Transport::Ws };
        let flow = Flow { id: self.new_flow(), transport, local: self.ws_local, peer: connection.peer };
        let token = self.root.child_token();
        let weak = connection.outgoing.downgrade();
        self.remember(Connection { flow, outgoing: connection.outgoing, token: token.clone() });
        let inbox = Inbox::new(flow, self.streams.clone(), token, self.limits);
        self.tasks.spawn(read_ws(inbox, connection.incoming, weak));
    }

    fn remember(&mut self, connection: Connection) {
        meters::connections(connection.flow.transport, 1.0);
        tracing::debug!(flow = connection.flow.id.0, peer = %connection.flow.peer, "SIP connection");
        self.connections.insert(connection.flow.id, connection);
    }

    /// A connection has ended or is to end: what its queue holds may still be written.
    fn forget(&mut self, id: FlowId, why: &'static str) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        meters::connections(connection.flow.transport, -1.0);
        meters::closed(why);
        tracing::debug!(flow = id.0, why, "SIP connection closed");
        if connection.flow.transport.is_websocket() {
            self.websockets -= 1;
            // Its reader holds the other end; TCP's ends with the writer.
            connection.token.cancel();
        } else if let Some(count) = self.addresses.get_mut(&connection.flow.peer.ip()) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&connection.flow.peer.ip());
            }
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
                SipOutput::Event(event) => self.tell(event),
                SipOutput::CloseFlow(id) => drop(self.forget(id, "misbehaved")),
            }
        }
    }

    /// Straight into the engine's channel while nothing waits before it.
    fn tell(&mut self, event: SipEvent) {
        if !self.waiting.is_empty() {
            return self.waiting.push_back(event);
        }
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            meters::queue_full("events");
            self.waiting.push_back(event);
        }
    }

    fn transmit(&mut self, flow: &Flow, bytes: Vec<u8>) {
        if flow.transport == Transport::Udp {
            let Some(listener) = self.listeners.get(&flow.id) else { return meters::send_failed() };
            if let Err(error) = listener.socket.try_send_to(&bytes, flow.peer) {
                meters::send_failed();
                tracing::debug!(peer = %flow.peer, %error, "SIP datagram not sent");
            }
            return;
        }
        let Some(connection) = self.connections.get(&flow.id) else { return meters::send_failed() };
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

    fn tell_census(&self, reply: oneshot::Sender<Census>) {
        let (sizes, connections) = (self.endpoint.sizes(), self.connections.len());
        // Whoever asked may have given up waiting.
        let _ = reply.send(Census { sizes, connections, waiting_events: self.waiting.len() });
    }

    async fn stop(mut self, streams: mpsc::Receiver<Inbound>) {
        drop(streams);
        for (_, connection) in self.connections.drain() {
            meters::connections(connection.flow.transport, -1.0);
            // A WebSocket's writer is the HTTP server; it writes what it has and closes.
            if connection.flow.transport.is_websocket() {
                connection.token.cancel();
            }
        }
        self.listeners.clear();
        self.tasks.close();
        // Readers end with their writers, so that this wait is for last words alone.
        let _ = tokio::time::timeout(LAST_WORDS, self.tasks.wait()).await;
        self.root.cancel();
        self.tasks.wait().await;
    }
}

/// Sleeps until `deadline`, or for ever without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT))
}

async fn read_udp(listener: FlowId, socket: Arc<UdpSocket>, datagrams: mpsc::Sender<Datagram>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "SIP datagrams could not be read");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        // Keep-alives of NAT bindings: line ends, or single bytes of nothing.
        if buffer[..length].iter().all(|b| matches!(b, b'\r' | b'\n' | b'\0')) || peer.port() == 0 {
            continue;
        }
        let bytes = Bytes::copy_from_slice(&buffer[..length]);
        match datagrams.try_send(Datagram { listener, peer, bytes }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => meters::queue_full("datagrams"),
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

async fn accept_tcp(listener: TcpListener, streams: mpsc::Sender<Inbound>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "SIP connections could not be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let Ok(local) = stream.local_addr() else { continue };
        if streams.send(Inbound::Accepted { stream, local, peer }).await.is_err() {
            return;
        }
    }
}
