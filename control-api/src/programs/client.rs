//! Client that fetches programs from a server: one POST on a connection of its own.
//!
//! Invariants: the whole request, including the look-up of the name, takes at most 2 s. At most 64 KiB of a response are read.
//! Redirects are not followed. No connection is made to an address that is not public, unless the configuration lists it,
//! whatever the name. The number of simultaneous requests is bounded.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, Uri, header};
use futures_util::StreamExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio_rustls::TlsConnector;

use crate::config::Network;
use crate::engine::{FetchFailure, PROGRAM_BYTES, is_public};

/// Longest duration of a request with its response.
pub(super) const LONGEST: Duration = Duration::from_secs(2);
/// Largest number of simultaneous requests of all calls. Further ones wait, within their own time limit.
const REQUESTS: usize = 256;
/// Largest number of addresses that are tried for one name.
const ADDRESSES: usize = 4;
/// Largest head of a response, in bytes.
const HEAD_MAX: usize = 16 * 1_024;

/// HTTP client for program servers; clones share the limits.
#[derive(Clone)]
pub(super) struct Client {
    /// Networks that may be contacted although they are not public.
    networks: Arc<[Network]>,
    turns: Arc<Semaphore>,
    /// Created on first use, because reading the system's certificates takes a while.
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Client {
    pub(super) fn new(networks: Vec<Network>) -> Client {
        Client { networks: networks.into(), turns: Arc::new(Semaphore::new(REQUESTS)), tls: Arc::default() }
    }

    /// Posts JSON and returns the whole body of the response. The caller must limit the time.
    pub(super) async fn fetch(
        &self,
        url: &str,
        headers: [(&'static str, String); 3],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, FetchFailure> {
        let _turn = self.turns.acquire().await.map_err(|_| FetchFailure::Unreachable)?;
        let place = Place::read(url).ok_or(FetchFailure::Forbidden)?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(place.path.as_str())
            .header(header::HOST, place.authority.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, "Tandem");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).map_err(|_| FetchFailure::Forbidden)?;
        let stream = self.connect(&place).await?;
        if !place.is_secure {
            return exchange(stream, request).await;
        }
        let tls = self.tls.get_or_try_init(tls_config).await.map_err(unreachable)?;
        let name = ServerName::try_from(place.host.clone()).map_err(unreachable)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(unreachable)?;
        exchange(stream, request).await
    }

    /// Connects to the first of the host's permitted addresses that answers.
    async fn connect(&self, place: &Place) -> Result<TcpStream, FetchFailure> {
        let found = tokio::net::lookup_host((place.host.as_str(), place.port)).await.map_err(unreachable)?;
        let mut refused = None;
        for address in found.filter(|address| self.may_ask(address)).take(ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = Some(unreachable(error)),
            }
        }
        Err(refused.unwrap_or(FetchFailure::Forbidden))
    }

    fn may_ask(&self, address: &SocketAddr) -> bool {
        let ip: IpAddr = address.ip();
        is_public(ip) || self.networks.iter().any(|network| network.contains(ip))
    }
}

/// Parsed URL of a program.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    is_secure: bool,
    /// Host without brackets.
    host: String,
    port: u16,
    /// Authority as written in the URL.
    authority: String,
    path: String,
}

impl Place {
    fn read(url: &str) -> Option<Place> {
        let uri: Uri = url.parse().ok()?;
        let is_secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Some(Place { is_secure, host, port, authority: authority.as_str().to_owned(), path })
    }
}

fn unreachable(error: impl std::fmt::Display) -> FetchFailure {
    tracing::debug!(%error, "cannot reach a program server");
    FetchFailure::Unreachable
}

async fn tls_config() -> std::io::Result<Arc<ClientConfig>> {
    tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "cannot read some of the system's root certificates");
        }
        // System stores contain unusual certificates. Those that cannot be parsed are ignored.
        let (_usable, _odd) = roots.add_parsable_certificates(system.certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(std::io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    })
    .await?
}

/// Sends the request over a connection and reads the response.
async fn exchange<S>(stream: S, request: Request<Body>) -> Result<Vec<u8>, FetchFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(unreachable)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchFailure::Status(response.status().as_u16()));
        }
        let mut pieces = Body::new(response.into_body()).into_data_stream();
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece.map_err(unreachable)?);
            if whole.len() > PROGRAM_BYTES {
                return Err(FetchFailure::TooLarge);
            }
        }
        Ok(whole)
    };
    // The connection is driven together with the response and dropped with it.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => match ended {
            // The data that was read before the end is still to be processed.
            Ok(()) => answer.await,
            Err(error) => Err(unreachable(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Option<(bool, String, u16, String)> {
        Place::read(url).map(|place| (place.is_secure, place.host, place.port, place.path))
    }

    #[test]
    fn urls_lead_to_a_host_a_port_and_a_path() {
        for (url, is_secure, host, port, path) in [
            ("https://programs.example/menu?x=1", true, "programs.example", 443, "/menu?x=1"),
            ("http://192.0.2.7:8080", false, "192.0.2.7", 8080, "/"),
            ("http://[::1]:8080/a", false, "::1", 8080, "/a"),
        ] {
            assert_eq!(place(url), Some((is_secure, host.to_owned(), port, path.to_owned())), "{url}");
        }
        for url in ["ftp://programs.example/", "/menu", "https://me:secret@programs.example/"] {
            assert_eq!(place(url), None, "{url}");
        }
    }

    #[test]
    fn private_addresses_are_contacted_only_if_listed() {
        let open = Client::new(vec!["10.1.0.0/16".parse().unwrap()]);
        for (address, may) in [
            ("93.184.216.34:443", true),
            ("10.1.2.3:80", true),
            ("10.2.2.3:80", false),
            ("127.0.0.1:80", false),
            ("169.254.169.254:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("[fd00::1]:80", false),
        ] {
            assert_eq!(open.may_ask(&address.parse().unwrap()), may, "{address}");
        }
    }
}
