//! HTTP server: accepts connections, limits their number and duration, and passes their requests to the routes.
//!
//! ```text
//!  accept ─▶ places (admission)     ─▶ TLS ─▶ io (stalled writes, framing) ─▶ hyper, HTTP/1.1 ─▶ Router
//!                │ too many: closed at once, or the stranger that was idle longest is
//!                └ a place is released when its connection ends, also an upgraded one
//! ```
//!
//! Deadlines: a first request must be complete 10 s after the connection was accepted, including the TLS handshake; a further one
//! 30 s after the previous response; and a client must accept some of its response within 20 s. A connection that misses a
//! deadline is closed.
//!
//! Not here: the content of requests (`routes`), their rate (`gate/rate_limit`), the time for bodies (`body`).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

pub(crate) use super::places::{Place, Places, connection_bounds};

use super::io::{Stalling, Watched};
use super::places::Busy;

/// Time in which the first request of a connection must be complete, including the TLS handshake.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Time after the previous response in which the headers of a further request must be complete.
const NEXT_REQUEST: Duration = Duration::from_secs(30);
/// Size limit of request line and headers, in bytes. Larger ones get 431.
const HEAD_MAX: usize = 32 * 1024;
/// Number of bytes that are still read of a refused request, so that the response reaches the client.
const LINGER_BYTES: usize = 1 << 20;
/// Time for which they are read.
const LINGER: Duration = Duration::from_secs(2);
/// Pause after a failed accept, for example when there are no more file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(50);
/// Number of connections that are accepted before other tasks run. It is smaller than the smallest table.
const IN_A_ROW: u32 = 16;
/// Interval at which refused and displaced connections are logged.
const TELL_REFUSALS: Duration = Duration::from_secs(10);
/// Time in which requests are completed when the server stops.
const STOP: Duration = Duration::from_secs(3);

/// Listener with its settings.
pub(crate) struct Door {
    /// Name of the listener in metrics and logs.
    pub(crate) name: &'static str,
    /// Non-blocking socket that accepts connections.
    pub(crate) listener: std::net::TcpListener,
    /// TLS configuration; `None` for plain HTTP.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Table that decides which connections stay.
    pub(crate) places: Places,
    /// Returns whether an address is one of the operator's reverse proxies, which carry many clients.
    pub(crate) is_proxy: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// State shared by all connections of a listener.
struct Shared {
    name: &'static str,
    tls: Option<TlsAcceptor>,
    app: Router,
    http: http1::Builder,
    /// Cancelled when no new requests are accepted.
    stopping: CancellationToken,
    /// Cancelled when the remaining connections must be closed.
    cut: CancellationToken,
}

/// Serves `app` until `stopping`. Then completes pending requests, for 3 s at most.
pub(crate) async fn serve(door: Door, app: Router, stopping: CancellationToken) {
    let Door { name, listener, tls, places, is_proxy } = door;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(name, %error, "cannot use the listener"),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(NEXT_REQUEST).max_buf_size(HEAD_MAX);
    let cut = CancellationToken::new();
    let tls = tls.map(TlsAcceptor::from);
    let shared = Arc::new(Shared { name, tls, app, http, stopping: stopping.clone(), cut: cut.clone() });
    let connections = TaskTracker::new();
    let mut tell = tokio::time::interval(TELL_REFUSALS);
    let mut count = 0_u32;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            _ = tell.tick() => {
                places.tell(name);
                continue;
            }
            accepted = async { (places.socket().await, listener.accept().await) } => accepted,
        };
        match accepted {
            (socket, Ok((stream, peer))) => {
                if let Some(place) = places.admit(socket, peer.ip(), is_proxy(peer.ip())) {
                    connections.spawn(carry(Arc::clone(&shared), stream, peer, Arc::new(place)));
                }
                // In a flood, data of newcomers is read before others take their places.
                count = count.wrapping_add(1);
                if count.is_multiple_of(IN_A_ROW) {
                    tokio::task::yield_now().await;
                }
            }
            (_, Err(error)) => {
                metrics::counter!("tandem_http_accept_failed_total", "listener" => name).increment(1);
                tracing::debug!(name, %error, "cannot accept connections");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(STOP, connections.wait()).await.is_err() {
        cut.cancel();
        connections.wait().await;
    }
}

/// Serves a connection from its acceptance to its end or its upgrade.
async fn carry(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, place: Arc<Place>) {
    let closed = tokio::select! {
        () = converse(&shared, stream, peer, &place) => return,
        () = place.displaced() => "displaced",
        () = silence(&place) => "silent",
        () = shared.cut.cancelled() => "stopped",
    };
    metrics::counter!("tandem_http_connections_closed_total", "listener" => shared.name, "why" => closed).increment(1);
}

/// Returns when no request has arrived in time. Otherwise it never returns.
async fn silence(place: &Place) {
    tokio::time::sleep(FIRST_REQUEST).await;
    if place.has_asked() {
        std::future::pending().await
    }
}

async fn converse(shared: &Shared, stream: TcpStream, peer: SocketAddr, place: &Arc<Place>) {
    tune(&stream);
    let stream = Stalling::new(stream, shared.name, Arc::clone(place));
    match &shared.tls {
        None => requests(shared, stream, peer, place).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => requests(shared, stream, peer, place).await,
            Err(error) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        },
    }
}

fn tune(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP options");
    }
}

/// Answers requests until either side closes.
async fn requests<I>(shared: &Shared, io: I, peer: SocketAddr, place: &Arc<Place>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (app, of_request) = (shared.app.clone(), Arc::clone(place));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let request =
            request.map(|body| Body::new(Arriving { body, place: Arc::clone(&of_request), is_awaited: false }));
        answer(app.clone(), request, peer, Arc::clone(&of_request))
    });
    let io = TokioIo::new(Watched::new(io, Arc::clone(place)));
    let mut connection = shared.http.serve_connection(io, service).with_upgrades();
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shared.stopping.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Err(error) = ended else { return };
    tracing::debug!(%peer, %error, "an HTTP connection ended early");
    if error.is_parse()
        && let Some(parts) = connection.into_parts()
    {
        metrics::counter!("tandem_http_malformed_total", "listener" => shared.name).increment(1);
        linger(parts.io.into_inner()).await;
    }
}

/// Reads on for a moment. Unread bytes would make the system reset the connection, and the client would lose the response.
async fn linger(mut io: impl AsyncRead + Unpin) {
    let mut buffer = vec![0; 8 * 1024];
    let mut left = LINGER_BYTES;
    let drain = async {
        while let Ok(count @ 1..) = io.read(&mut buffer).await {
            left = left.saturating_sub(count);
            if left == 0 {
                break;
            }
        }
    };
    // Whether it was too slow or is gone, the connection is closed.
    let _slow = timeout(LINGER, drain).await;
}

async fn answer(
    mut app: Router,
    mut request: Request,
    peer: SocketAddr,
    place: Arc<Place>,
) -> Result<Response<InUse>, Infallible> {
    let busy = Place::busy(&place);
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(Arc::clone(&place));
    let response = app.call(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        place.upgraded();
    }
    Ok(response.map(|body| InUse { body, _busy: busy }))
}

/// Body of a request. While the client must send more, the connection may be displaced.
struct Arriving {
    body: Incoming,
    place: Arc<Place>,
    is_awaited: bool,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() != self.is_awaited {
            self.is_awaited = frame.is_pending();
            self.place.awaits_body(self.is_awaited);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Body of a response. The connection is in use until it has been sent completely.
struct InUse {
    body: Body,
    _busy: Busy,
}

impl HttpBody for InUse {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpSocket;

    use super::*;
    use crate::engine::ConnectionBounds;

    /// Server that is open until it is dropped. Its large page exceeds the buffers of a socket.
    struct Open {
        address: SocketAddr,
        places: Places,
        closing: CancellationToken,
        serving: tokio::task::JoinHandle<()>,
    }

    impl Open {
        fn new(tls: Option<Arc<ServerConfig>>) -> Open {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap();
            let bounds = ConnectionBounds { total: 8, strangers: 8, per_address: 8, per_site: 8 };
            let places = Places::new("test", bounds);
            let door = Door { name: "test", listener, tls, places: places.clone(), is_proxy: Box::new(|_| false) };
            let big = "x".repeat(32 << 20);
            let app = Router::new()
                .route("/", get(|| async { "here" }).post(|body: String| async move { body }))
                .route("/big", get(move || async { big }));
            let closing = CancellationToken::new();
            let serving = tokio::spawn(serve(door, app, closing.clone()));
            Open { address, places, closing, serving }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    /// Reads to the end and returns how long the connection was open.
    async fn open_for(mut stream: TcpStream) -> Duration {
        let since = tokio::time::Instant::now();
        // A reset counts as an end.
        let _reset = stream.read_to_end(&mut Vec::new()).await;
        since.elapsed()
    }

    fn is_about(found: Duration, wanted: Duration) -> bool {
        found + Duration::from_millis(10) >= wanted && found < wanted + Duration::from_secs(1)
    }

    fn tls() -> Arc<ServerConfig> {
        crate::http::tls::install_provider();
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![pair.cert.der().clone()], key).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_complete_request_is_closed_in_time() {
        let starts: [&[u8]; 5] =
            [b"", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n\r\n", b"\x16\x03\x01"];
        for (config, own) in [(None, starts[2]), (Some(tls()), starts[4])] {
            let open = Open::new(config);
            for start in starts {
                let mut stream = open.connect().await;
                stream.write_all(start).await.unwrap();
                let lasted = open_for(stream).await;
                // Another protocol may be refused at once. Silence and the beginning of a request get the full time.
                let is_refused = lasted < Duration::from_secs(1);
                assert!(is_about(lasted, FIRST_REQUEST) || is_refused, "{start:?}: {lasted:?}");
                assert!(!is_refused || !(start.is_empty() || start == own), "{start:?} {lasted:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slowly_arriving_bytes_do_not_keep_a_connection_open() {
        let open = Open::new(None);
        let mut stream = open.connect().await;
        let since = tokio::time::Instant::now();
        let mut bytes = b"GET / HTTP/1.1\r\nX: ".iter().copied().chain(std::iter::repeat(b'x'));
        while stream.write_all(&[bytes.next().unwrap()]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(since.elapsed() < FIRST_REQUEST * 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed_after_the_time_for_the_next_request() {
        let open = Open::new(None);
        let mut stream = open.connect().await;
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"here") {
                stream.read_buf(&mut answer).await.unwrap();
            }
        }
        stream.write_all(b"GET /").await.unwrap();
        let lasted = open_for(stream).await;
        assert!(is_about(lasted, NEXT_REQUEST), "{lasted:?}");
    }

    #[tokio::test]
    async fn clients_that_keep_the_server_waiting_are_displaced_by_others() {
        for kept in [
            &b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"[..],
            b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            let open = Open::new(None);
            let mut waiting = Vec::new();
            for _ in 0..16 {
                let mut stream = open.connect().await;
                stream.write_all(kept).await.unwrap();
                waiting.push(stream);
            }
            let mut newcomer = open.connect().await;
            newcomer.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            newcomer.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("here"), "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_closed_and_its_place_released() {
        let open = Open::new(None);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(open.address).await.unwrap();
        stream.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let since = tokio::time::Instant::now();
        while open.places.count() == 0 {
            tokio::task::yield_now().await;
        }
        while open.places.count() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(since.elapsed() < Duration::from_secs(60));
        }
    }

    #[tokio::test]
    async fn a_stopping_server_completes_requests_and_closes_other_connections() {
        let open = Open::new(None);
        let mut idle = open.connect().await;
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let silent = open.connect().await;
        while open.places.count() < 2 {
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        open.closing.cancel();
        open.serving.await.unwrap();
        assert!(begun.elapsed() < STOP + Duration::from_secs(1));
        let mut answer = String::new();
        idle.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
        open_for(silent).await;
        assert_eq!(open.places.count(), 0);
    }
}
