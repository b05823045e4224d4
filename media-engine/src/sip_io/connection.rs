//! Connections: their readers, their writers, and how they end.
//!
//! ```text
//!  Opening ─▶ Stream ─ read ─▶ StreamFramer ─▶ credit ─▶ owner of the endpoint
//!             Stream ◀ write ─ bounded queue ◀────────── owner
//! ```
//!
//! One task carries a connection from its opening to its end; messages to be written meanwhile wait in its queue. A
//! reader waits only for its own credit, a writer only for its own peer. Each ends when its stream ends, when the token
//! of its connection is cancelled, or when its queue's last sender is dropped (then it writes what is queued).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::alarm::until;
use super::opening::{Opening, Stream};
use super::{ConnectionLimits, meters};
use crate::net::clock;
use crate::sip::framing::{Frame, PING, PONG, StreamFramer};
use crate::sip::{Flow, FlowId, Transport};

/// Most messages of one connection that may wait for the owner.
const CREDIT: usize = 16;
/// Bytes requested from a socket at once.
const READ: usize = 16 * 1024;

/// A message from a connection's task to the owner.
#[derive(Debug)]
pub(super) enum Inbound {
    /// A whole SIP message.
    Message { flow: Flow, bytes: Bytes, _credit: OwnedSemaphorePermit },
    /// The reader has ended; nothing follows.
    Closed { flow: FlowId, why: &'static str },
    /// The socket of an accepted connection is closed.
    Gone { flow: FlowId },
    /// A listener accepted a connection; over TLS its handshake is still to come.
    Accepted {
        stream: TcpStream,
        transport: Transport,
        local: SocketAddr,
        peer: SocketAddr,
        socket: OwnedSemaphorePermit,
    },
}

/// The owner's end of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: Flow,
    /// Queue of messages to be written; if it is full, the connection is closed.
    pub(super) outgoing: mpsc::Sender<Bytes>,
    /// Ends reader and writer at once.
    pub(super) token: CancellationToken,
    /// Whether the peer is not a stranger, and may be silent for long.
    pub(super) known: Arc<AtomicBool>,
    /// Since when the peer has been a stranger; `None` for known peers and connections of ours.
    pub(super) stranger_since: Option<Instant>,
    /// Whether it has sent a whole message.
    pub(super) has_spoken: bool,
}

/// A reader's way to the owner.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    pub(super) flow: Flow,
    pub(super) owner: mpsc::Sender<Inbound>,
    pub(super) token: CancellationToken,
    pub(super) limits: ConnectionLimits,
    /// The same flag as in [`Connection`].
    pub(super) known: Arc<AtomicBool>,
    credit: Arc<Semaphore>,
}

/// Why a connection ends: a label for metrics.
pub(super) type Why = &'static str;

impl Inbox {
    pub(super) fn new(
        flow: Flow,
        owner: mpsc::Sender<Inbound>,
        token: CancellationToken,
        limits: ConnectionLimits,
    ) -> Inbox {
        Inbox { flow, owner, token, limits, known: Arc::default(), credit: Arc::new(Semaphore::new(CREDIT)) }
    }

    /// Returns how long the peer may be silent; `None` if without limit.
    fn patience(&self) -> Option<Duration> {
        match self.known.load(Ordering::Relaxed) {
            // The owner closes connections of ours that nothing needs.
            _ if self.flow.id.is_outgoing() => None,
            false => Some(self.limits.stranger_idle),
            // The HTTP server detects WebSockets whose peer has disappeared.
            true if self.flow.transport.is_websocket() => None,
            true => Some(self.limits.idle),
        }
    }

    /// Sends a message after waiting for credit, so that a flood waits here and not in the owner's queue.
    async fn deliver(&self, bytes: Bytes) -> Result<(), Why> {
        let credit = Arc::clone(&self.credit).acquire_owned().await.map_err(|_| "stopped")?;
        self.owner.send(Inbound::Message { flow: self.flow, bytes, _credit: credit }).await.map_err(|_| "stopped")
    }

    /// Runs a reader to its end and reports it to the owner, unless the owner itself ended it.
    async fn run(self, reader: impl Future<Output = Why>) {
        let why = tokio::select! {
            () = self.token.cancelled() => return,
            why = reader => why,
        };
        self.closed(why).await;
    }

    async fn closed(&self, why: Why) {
        // The owner may have stopped; it then needs no report.
        let _ = self.owner.send(Inbound::Closed { flow: self.flow.id, why }).await;
    }
}

/// Queues a keep-alive in the same bounded queue as messages: a peer that does not read is closed. Returns `Err` also
/// if the owner has dropped the connection.
fn keep_alive(outgoing: &mpsc::WeakSender<Bytes>, bytes: &'static [u8]) -> Result<(), Why> {
    let outgoing = outgoing.upgrade().ok_or("stopped")?;
    outgoing.try_send(Bytes::from_static(bytes)).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            meters::queue_full("connection");
            "queue_full"
        }
        mpsc::error::TrySendError::Closed(_) => "write_failed",
    })
}

/// Carries a TCP or TLS connection from its opening to its end.
pub(super) async fn carry(
    inbox: Inbox,
    opening: Opening,
    outgoing: mpsc::WeakSender<Bytes>,
    queue: mpsc::Receiver<Bytes>,
) {
    let opened = tokio::select! {
        () = inbox.token.cancelled() => return,
        opened = opening.open() => opened,
    };
    match opened {
        Ok(Stream::Tcp(stream)) => {
            let (read, write) = stream.into_split();
            tokio::join!(read_stream(inbox.clone(), read, outgoing), write_stream(inbox, write, queue));
        }
        Ok(Stream::Tls(stream)) => {
            let (read, write) = tokio::io::split(*stream);
            tokio::join!(read_stream(inbox.clone(), read, outgoing), write_stream(inbox, write, queue));
        }
        Err(why) => inbox.closed(why).await,
    }
}

/// Reads a stream until it ends.
async fn read_stream(inbox: Inbox, half: impl AsyncRead + Unpin, outgoing: mpsc::WeakSender<Bytes>) {
    let now = clock::now();
    let ours = inbox.flow.id.is_outgoing();
    let reader = StreamReader {
        framer: StreamFramer::new(),
        seen_message: ours,
        deadline: (!ours).then(|| now + inbox.limits.first_message),
        silent_since: None,
        next_ping: now + inbox.limits.ping,
        pong_by: None,
        answers_pings: false,
        inbox: inbox.clone(),
        outgoing,
    };
    let (token, patience) = (inbox.token.clone(), inbox.limits.write);
    inbox.run(reader.run(half)).await;
    // Queued messages may still be written (a response to a peer that has finished sending), but not without limit.
    let _ = tokio::time::timeout(patience, token.cancelled()).await;
    token.cancel();
}

struct StreamReader {
    inbox: Inbox,
    framer: StreamFramer,
    outgoing: mpsc::WeakSender<Bytes>,
    /// Whether a whole message has arrived.
    seen_message: bool,
    /// Time by which the peer must have completed its message, or sent anything. Connections of ours are closed by the
    /// owner if nothing needs them.
    deadline: Option<Instant>,
    /// Time of the last data, while the peer may be silent: the owner may have marked it as known since the deadline
    /// was set.
    silent_since: Option<Instant>,
    next_ping: Instant,
    /// Time by which the peer must send something after our last ping; set on a connection of ours whose peer has
    /// answered a ping before (RFC 5626 section 4.4.1). Many peers never answer pings; TCP detects when those are dead.
    pong_by: Option<Instant>,
    answers_pings: bool,
}

impl StreamReader {
    async fn run(mut self, mut half: impl AsyncRead + Unpin) -> Why {
        let mut buffer = vec![0; READ];
        loop {
            let wake = [self.deadline, self.pong_by].into_iter().flatten().fold(self.next_ping, Instant::min);
            tokio::select! {
                read = half.read(&mut buffer) => match read {
                    Ok(0) => return "ended",
                    Ok(count) => {
                        if let Err(why) = self.take(&buffer[..count]).await {
                            return why;
                        }
                    }
                    Err(_) => return "read_failed",
                },
                () = tokio::time::sleep_until(wake.into()) => {
                    if let Err(why) = self.on_time(clock::now()) {
                        return why;
                    }
                }
            }
        }
    }

    fn on_time(&mut self, now: Instant) -> Result<(), Why> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline = self.silent_since.zip(self.inbox.patience()).map(|(since, patience)| since + patience);
            if self.deadline.is_none_or(|deadline| now >= deadline) {
                return Err("timed_out");
            }
        }
        if self.pong_by.is_some_and(|pong_by| now >= pong_by) {
            return Err("no_pong");
        }
        if now >= self.next_ping {
            self.next_ping = now + self.inbox.limits.ping;
            if self.inbox.flow.id.is_outgoing() && self.answers_pings {
                self.pong_by.get_or_insert(now + self.inbox.limits.pong);
            }
            keep_alive(&self.outgoing, PING)?;
        }
        Ok(())
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), Why> {
        self.pong_by = None;
        let mut completed = false;
        let was_partial = self.framer.is_partial();
        self.framer.push(bytes);
        while let Some(frame) = self.framer.poll().map_err(|_| "not_sip")? {
            match frame {
                Frame::Message(message) => {
                    completed = true;
                    self.inbox.deliver(message.into()).await?;
                }
                Frame::Ping => keep_alive(&self.outgoing, PONG)?,
                Frame::Pong => self.answers_pings = true,
            }
        }
        let (now, partial) = (clock::now(), self.framer.is_partial());
        self.seen_message |= completed;
        if self.seen_message && !partial {
            self.silent_since = Some(now);
            self.deadline = self.inbox.patience().map(|patience| now + patience);
        } else if self.seen_message && (completed || !was_partial) {
            self.silent_since = None;
            self.deadline = Some(now + self.inbox.limits.message);
        }
        // Otherwise the deadline stays: bytes that trickle in do not extend the time for their message, and line ends
        // do not extend the time for the first one.
        Ok(())
    }
}

/// Reads a WebSocket until it ends. Each message is one SIP message, or a keep-alive (RFC 7118 section 6).
pub(super) async fn read_ws(inbox: Inbox, mut incoming: mpsc::Receiver<Bytes>, outgoing: mpsc::WeakSender<Bytes>) {
    let reader = {
        let inbox = inbox.clone();
        async move {
            let mut heard = clock::now();
            let mut next_ping = heard + inbox.limits.ping;
            loop {
                let silent = inbox.patience().map(|patience| heard + patience);
                tokio::select! {
                    message = incoming.recv() => {
                        let Some(message) = message else { return "ended" };
                        heard = clock::now();
                        let taken = match line_ends(&message) {
                            None => inbox.deliver(message).await,
                            Some(true) => keep_alive(&outgoing, PONG),
                            Some(false) => Ok(()),
                        };
                        if let Err(why) = taken {
                            return why;
                        }
                    }
                    // The owner may have marked the peer as known meanwhile.
                    () = until(silent), if silent.is_some() => {
                        if inbox.patience().is_some_and(|patience| clock::now() >= heard + patience) {
                            return "timed_out";
                        }
                    }
                    () = tokio::time::sleep_until(next_ping.into()) => {
                        next_ping = clock::now() + inbox.limits.ping;
                        if let Err(why) = keep_alive(&outgoing, PING) {
                            return why;
                        }
                    }
                }
            }
        }
    };
    inbox.run(reader).await;
}

/// Returns whether a message that has only line ends is a ping; `None` for any other message.
fn line_ends(message: &[u8]) -> Option<bool> {
    message.iter().all(|b| matches!(b, b'\r' | b'\n')).then_some(message == PING)
}

/// Writes a connection's queue to its stream until the queue's senders are dropped, the peer fails, or the token is
/// cancelled.
async fn write_stream(inbox: Inbox, mut half: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Bytes>) {
    let writing = async {
        while let Some(message) = queue.recv().await {
            let written = async {
                half.write_all(&message).await?;
                half.flush().await
            };
            match tokio::time::timeout(inbox.limits.write, written).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Some("write_failed"),
                Err(_) => return Some("write_timed_out"),
            }
        }
        // The peer may have disconnected already; the socket closes either way.
        let _ = tokio::time::timeout(inbox.limits.write, half.shutdown()).await;
        None
    };
    let failed = tokio::select! {
        () = inbox.token.cancelled() => return,
        failed = writing => failed,
    };
    inbox.token.cancel();
    if let Some(why) = failed {
        inbox.closed(why).await;
    }
}
