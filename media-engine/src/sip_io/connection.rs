//! Connections: what reads them, what writes them, and how they end.
//!
//! ```text
//!  TcpStream ─ read ─▶ StreamFramer ─▶ credit ─▶ owner of the endpoint
//!  TcpStream ◀ write ─ bounded queue ◀────────── owner
//! ```
//!
//! A reader waits only for its own credit; a writer only for its own peer. Each ends by itself, by
//! the token of its connection, or when its queue's last sender is gone (then it writes what waits).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{ConnectionLimits, meters};
use crate::net::clock;
use crate::sip::framing::{Frame, PING, PONG, StreamFramer};
use crate::sip::{Flow, FlowId};

/// Messages of one connection that may wait for the owner.
const CREDIT: usize = 16;
/// Bytes asked from a socket at once.
const READ: usize = 16 * 1024;

/// What a connection tells the owner.
#[derive(Debug)]
pub(super) enum Inbound {
    /// A whole message.
    Message { flow: Flow, bytes: Bytes, _credit: OwnedSemaphorePermit },
    /// The reader has ended; nothing follows.
    Closed { flow: FlowId, why: &'static str },
    /// A TCP listener took a connection.
    Accepted { stream: TcpStream, local: SocketAddr, peer: SocketAddr },
}

/// The owner's end of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: Flow,
    /// Bounded; full means closed.
    pub(super) outgoing: mpsc::Sender<Bytes>,
    /// Ends reader and writer at once.
    pub(super) token: CancellationToken,
}

/// Where a reader delivers.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    pub(super) flow: Flow,
    pub(super) owner: mpsc::Sender<Inbound>,
    pub(super) token: CancellationToken,
    pub(super) limits: ConnectionLimits,
    credit: Arc<Semaphore>,
}

/// Why a reader ends; words for metrics.
type Why = &'static str;

impl Inbox {
    pub(super) fn new(
        flow: Flow,
        owner: mpsc::Sender<Inbound>,
        token: CancellationToken,
        limits: ConnectionLimits,
    ) -> Inbox {
        Inbox { flow, owner, token, limits, credit: Arc::new(Semaphore::new(CREDIT)) }
    }

    /// Waits for credit, so that a flood waits here and not in the owner's queue.
    async fn deliver(&self, bytes: Bytes) -> Result<(), Why> {
        let credit = Arc::clone(&self.credit).acquire_owned().await.map_err(|_| "stopped")?;
        self.owner.send(Inbound::Message { flow: self.flow, bytes, _credit: credit }).await.map_err(|_| "stopped")
    }

    /// Runs a reader to its end and tells the owner, unless the owner itself ended it.
    async fn run(self, reader: impl Future<Output = Why>) {
        let why = tokio::select! {
            () = self.token.cancelled() => return,
            why = reader => why,
        };
        // The owner may have stopped: then nobody needs to know.
        let _ = self.owner.send(Inbound::Closed { flow: self.flow.id, why }).await;
    }
}

/// Keep-alives go by the same bounded queue as messages: a peer that does not read them is closed.
/// `Err` also when the owner has let go of the connection.
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

/// Reads a TCP connection until it ends.
pub(super) async fn read_tcp(inbox: Inbox, half: OwnedReadHalf, outgoing: mpsc::WeakSender<Bytes>) {
    let reader = TcpReader {
        framer: StreamFramer::new(),
        seen_message: false,
        deadline: clock::now() + inbox.limits.first_message,
        next_ping: clock::now() + inbox.limits.ping,
        inbox: inbox.clone(),
        outgoing,
    };
    let (token, patience) = (inbox.token.clone(), inbox.limits.write);
    inbox.run(reader.run(half)).await;
    // What waits may still be written (an answer to a peer that has finished sending), but not for ever.
    let _ = tokio::time::timeout(patience, token.cancelled()).await;
    token.cancel();
}

struct TcpReader {
    inbox: Inbox,
    framer: StreamFramer,
    outgoing: mpsc::WeakSender<Bytes>,
    /// A whole message has come.
    seen_message: bool,
    /// When the peer must have completed its message, or said anything.
    deadline: Instant,
    next_ping: Instant,
}

impl TcpReader {
    async fn run(mut self, mut half: OwnedReadHalf) -> Why {
        let mut buffer = vec![0; READ];
        loop {
            let wake = self.deadline.min(self.next_ping);
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
                    let now = clock::now();
                    if now >= self.deadline {
                        return "timed_out";
                    }
                    if now >= self.next_ping {
                        self.next_ping = now + self.inbox.limits.ping;
                        if let Err(why) = keep_alive(&self.outgoing, PING) {
                            return why;
                        }
                    }
                }
            }
        }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), Why> {
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
                Frame::Pong => {}
            }
        }
        let (now, partial) = (clock::now(), self.framer.is_partial());
        if completed {
            self.seen_message = true;
            self.deadline = now + if partial { self.inbox.limits.message } else { self.inbox.limits.idle };
        } else if self.seen_message && partial != was_partial {
            self.deadline = now + self.inbox.limits.message;
        } else if self.seen_message && !partial {
            self.deadline = now + self.inbox.limits.idle;
        }
        // Else the deadline stands: bytes that trickle in do not move that of their message, and line ends
        // do not move that of the first one.
        Ok(())
    }
}

/// Reads a WebSocket until it ends. Each message is one SIP message, or a keep-alive (RFC 7118 section 6).
pub(super) async fn read_ws(inbox: Inbox, mut incoming: mpsc::Receiver<Bytes>, outgoing: mpsc::WeakSender<Bytes>) {
    let reader = {
        let inbox = inbox.clone();
        async move {
            let mut next_ping = clock::now() + inbox.limits.ping;
            loop {
                tokio::select! {
                    message = incoming.recv() => {
                        let Some(message) = message else { return "ended" };
                        let taken = match line_ends(&message) {
                            None => inbox.deliver(message).await,
                            Some(true) => keep_alive(&outgoing, PONG),
                            Some(false) => Ok(()),
                        };
                        if let Err(why) = taken {
                            return why;
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

/// For a message of nothing but line ends: whether it is a ping.
fn line_ends(message: &[u8]) -> Option<bool> {
    message.iter().all(|b| matches!(b, b'\r' | b'\n')).then_some(message == PING)
}

/// Writes a connection's queue to its socket until the queue's senders are gone, the peer fails, or the token ends it.
pub(super) async fn write_tcp(inbox: Inbox, mut half: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) {
    let writing = async {
        while let Some(message) = queue.recv().await {
            match tokio::time::timeout(inbox.limits.write, half.write_all(&message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Some("write_failed"),
                Err(_) => return Some("write_timed_out"),
            }
        }
        // The peer may be gone already; the socket closes either way.
        let _ = half.shutdown().await;
        None
    };
    let failed = tokio::select! {
        () = inbox.token.cancelled() => return,
        failed = writing => failed,
    };
    inbox.token.cancel();
    if let Some(why) = failed {
        // The owner may have stopped: then nobody needs to know.
        let _ = inbox.owner.send(Inbound::Closed { flow: inbox.flow.id, why }).await;
    }
}
