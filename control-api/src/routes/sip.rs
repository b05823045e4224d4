//! SIP over WebSocket (RFC 7118): the HTTP upgrade. The SIP messages are handled by the engine.
//!
//! Invariants: both directions are bounded. A client that sends faster than the engine reads is slowed down by TCP. A client that
//! does not read loses its connection, because the engine closes it when its queue is full.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::{Command, WsConnection};
use crate::http::client::Client;
use crate::http::problem::Problem;
use crate::state::AppState;

/// Subprotocol of RFC 7118 section 3.
const SUBPROTOCOL: &str = "sip";
/// Largest message in bytes, the same as the engine's limit for stream transports.
const MESSAGE_MAX: usize = 64 * 1024;
/// Number of messages that may wait in each direction.
const QUEUE: usize = 64;
/// Interval of pings. Proxies close connections that are silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(25);
/// A client that has sent nothing for this long, not even a pong, is disconnected.
const SILENCE_MAX: Duration = Duration::from_secs(70);
/// A client that has accepted nothing for this long is disconnected.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Upgrades to SIP over WebSocket. Clients authenticate by SIP digest, so no log-in is required here.
pub(super) async fn upgrade(
    State(state): State<AppState>,
    client: Client,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let socket = socket.map_err(|error| Problem {
        status: StatusCode::UPGRADE_REQUIRED,
        ..Problem::malformed(format!("this address accepts only SIP over WebSocket: {error}"))
    })?;
    // Browsers always send an Origin; programs may leave it out.
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = origin.to_str().is_ok_and(|origin| client.is_own_origin(&state.config, origin));
        if !own {
            return Err(Problem::forbidden(
                "SIP over WebSocket is available only to pages of this server; the operator can set http.public_url",
            ));
        }
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if !offered.flat_map(|line| line.split(',')).any(|name| name.trim() == SUBPROTOCOL) {
        return Err(Problem::malformed("Sec-WebSocket-Protocol: expected `sip` (RFC 7118)"));
    }
    // The engine is asked before the upgrade, so that a connection over the limit gets an HTTP response that says so. If the
    // client does not complete the upgrade, both ends are dropped.
    let (to_engine, incoming) = mpsc::channel(QUEUE);
    let (outgoing, from_engine) = mpsc::channel(QUEUE);
    let connection = WsConnection { secure: client.secure, peer: client.address, incoming, outgoing };
    state.engine.command(Command::SipConnection(connection)).await?;
    let socket = socket.protocols([SUBPROTOCOL]).max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    Ok(socket.on_upgrade(move |socket| carry(state, socket, to_engine, from_engine)))
}

/// Carries messages between the client and the engine until either side closes.
async fn carry(state: AppState, socket: WebSocket, to_engine: mpsc::Sender<Bytes>, from_engine: mpsc::Receiver<Bytes>) {
    let (sink, stream) = socket.split();
    metrics::gauge!("tandem_sip_websockets").increment(1.0);
    let reading_ended = CancellationToken::new();
    let reader = read(stream, to_engine, reading_ended.clone());
    let writer = write(sink, from_engine, reading_ended, state.stopping.clone());
    // The writer's end ends the connection. When the reader ends, it tells the writer, which then closes.
    tokio::select! {
        () = writer => {}
        () = async { reader.await; std::future::pending::<()>().await } => {}
    }
    metrics::gauge!("tandem_sip_websockets").decrement(1.0);
}

/// Passes messages from the client to the engine. Close frames are answered by the protocol layer while this continues to read.
async fn read(mut stream: SplitStream<WebSocket>, to_engine: mpsc::Sender<Bytes>, ended: CancellationToken) {
    let _guard = ended.drop_guard();
    while let Ok(Some(Ok(message))) = timeout(SILENCE_MAX, stream.next()).await {
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) => continue,
            // The reply is sent when the stream is polled again.
            Message::Close(_) => {
                let _answered = timeout(WRITE_MAX, stream.next()).await;
                return;
            }
        };
        if to_engine.send(bytes).await.is_err() {
            return;
        }
    }
}

/// Passes messages from the engine to the client, with pings in between. Sends a close frame when either side ends.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut from_engine: mpsc::Receiver<Bytes>,
    reading_ended: CancellationToken,
    stopping: CancellationToken,
) {
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let message = tokio::select! {
            message = from_engine.recv() => match message {
                // SIP is text. RFC 7118 allows bodies that are not to be sent as binary.
                Some(bytes) => match String::from_utf8(bytes.into()) {
                    Ok(text) => Message::text(text),
                    Err(error) => Message::binary(error.into_bytes()),
                },
                None => return close(&mut sink, close_code::NORMAL, "").await,
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
            () = reading_ended.cancelled() => return close(&mut sink, close_code::NORMAL, "").await,
            () = stopping.cancelled() => return close(&mut sink, close_code::AWAY, "the server is stopping").await,
        };
        if !matches!(timeout(WRITE_MAX, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    // The client may have disconnected already.
    let _gone = timeout(WRITE_MAX, sink.send(Message::Close(Some(frame)))).await;
}
