//! Drives the SIP core over sockets.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::sync::mpsc;

/// A SIP-over-WebSocket connection (RFC 7118) whose HTTP upgrade was done elsewhere.
///
/// Each message is one whole SIP message. Dropping either end closes the connection.
#[derive(Debug)]
pub struct WsConnection {
    /// Whether the socket is TLS.
    pub secure: bool,
    /// The client's address.
    pub peer: SocketAddr,
    /// Messages from the client; bounded by the maker.
    pub incoming: mpsc::Receiver<Bytes>,
    /// Messages to the client; bounded: when full, the connection is closed.
    pub outgoing: mpsc::Sender<Bytes>,
}
