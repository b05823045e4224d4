//! The input of listeners: datagrams, and connections that the owner admits or refuses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, mpsc};

use super::connection::Inbound;
use super::meters;
use crate::sip::{FlowId, Transport};

/// Pause after a failed accept or receive, such as when file descriptors have run out.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// A datagram, and the listener that received it.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) listener: FlowId,
    pub(super) peer: SocketAddr,
    pub(super) bytes: Bytes,
}

/// Reads a UDP listener's datagrams; those for which the owner has no room are dropped.
pub(super) async fn read_udp(listener: FlowId, socket: Arc<UdpSocket>, datagrams: mpsc::Sender<Datagram>) {
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
        // Keep-alives of NAT bindings: line ends or zero bytes.
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

/// Accepts connections, as many as there are `sockets` for.
pub(super) async fn accept(
    listener: TcpListener,
    transport: Transport,
    sockets: Arc<Semaphore>,
    streams: mpsc::Sender<Inbound>,
) {
    loop {
        let Ok(socket) = Arc::clone(&sockets).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                meters::accept_failed(transport);
                tracing::debug!(%error, "SIP connections could not be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let Ok(local) = stream.local_addr() else { continue };
        if streams.send(Inbound::Accepted { stream, transport, local, peer, socket }).await.is_err() {
            return;
        }
    }
}
