//! SIP over WebSocket (RFC 7118): the HTTP upgrade; what is said over it is the engine's.
//!
//! Invariants: both directions are bounded. A client that sends faster than the engine reads is held up by TCP; a
//! client that does not read loses its connection, because the engine's side of a full queue closes it.

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

use crate::client::Client;
use crate::engine::{Command, WsConnection};
use crate::problem::Problem;
use crate::state::AppState;

/// Subprotocol of RFC 7118 section 3.
const SUBPROTOCOL: &str = "sip";
/// Largest message: the engine's own bound for stream transports.
const MESSAGE_MAX: usize = 64 * 1024;
/// Messages waiting in each direction.
const QUEUE: usize = 64;
/// Proxies drop lines that are silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Nothing heard for this long, not even a pong: the client is gone.
const SILENCE_MAX: Duration = Duration::from_secs(70);
/// A client that takes nothing for this long is gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Upgrades to SIP over WebSocket. Identity is checked by SIP digest, so there is no log-in here.
pub(super) async fn upgrade(
    State(state): State<AppState>,
    client: Client,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let socket = socket.map_err(|error| Problem {
        status: StatusCode::UPGRADE_REQUIRED,
        ..Problem::malformed(format!("this is the address of SIP over WebSocket: {error}"))
    })?;
    // Browsers always send an Origin; programs may leave it out.
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = origin.to_str().is_ok_and(|origin| client.is_own_origin(&state.config, origin));
        if !own {
            return Err(Problem::forbidden("SIP over WebSocket is for pages of this server; set http.public_url"));
        }
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if !offered.flat_map(|line| line.split(',')).any(|name| name.trim() == SUBPROTOCOL) {
        return Err(Problem::malformed("Sec-WebSocket-Protocol: expected `sip` (RFC 7118)"));
    }
    // Before the upgrade: one too many gets an answer that says so. When the client does not go on, both ends are dropped.
    let (to_engine, incoming) = mpsc::channel(QUEUE);
    let (outgoing, from_engine) = mpsc::channel(QUEUE);
    let connection = WsConnection { secure: client.secure, peer: client.address, incoming, outgoing };
    state.engine.command(Command::SipConnection(connection)).await?;
    let socket = socket.protocols([SUBPROTOCOL]).max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    Ok(socket.on_upgrade(move |socket| carry(state, socket, to_engine, from_engine)))
}

/// Carries messages between the client and the engine until either side ends it.
async fn carry(state: AppState, socket: WebSocket, to_engine: mpsc::Sender<Bytes>, from_engine: mpsc::Receiver<Bytes>) {
    let (sink, stream) = socket.split();
    metrics::gauge!("tandem_sip_websockets").increment(1.0);
    let reading_ended = CancellationToken::new();
    let reader = read(stream, to_engine, reading_ended.clone());
    let writer = write(sink, from_engine, reading_ended, state.stopping.clone());
    // The reader waits for the writer's pings to be answered; the first to end, ends both.
    tokio::select! {
        () = writer => {}
        () = async { reader.await; std::future::pending::<()>().await } => {}
    }
    metrics::gauge!("tandem_sip_websockets").decrement(1.0);
}

/// Client to engine. Close frames are answered by the protocol layer while this reads on.
async fn read(mut stream: SplitStream<WebSocket>, to_engine: mpsc::Sender<Bytes>, ended: CancellationToken) {
    let _guard = ended.drop_guard();
    while let Ok(Some(Ok(message))) = timeout(SILENCE_MAX, stream.next()).await {
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) => continue,
            // The answer goes out when the stream is polled once more.
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

/// Engine to client, with pings in between; says goodbye when either side ends.
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
                // SIP is text; RFC 7118 lets bodies that are not be sent as binary.
                Some(bytes) => match String::from_utf8(bytes.into()) {
                    Ok(text) => Message::text(text),
                    Err(error) => Message::binary(error.into_bytes()),
                },
                None => return close(&mut sink, close_code::NORMAL, "").await,
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
            () = reading_ended.cancelled() => return close(&mut sink, close_code::NORMAL, "").await,
            () = stopping.cancelled() => return close(&mut sink, close_code::AWAY, "the server stops").await,
        };
        if !matches!(timeout(WRITE_MAX, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    // The client may have gone first.
    let _gone = timeout(WRITE_MAX, sink.send(Message::Close(Some(frame)))).await;
}
