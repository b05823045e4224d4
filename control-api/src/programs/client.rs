//! Asks a server for a program: one POST over a connection of its own.
//!
//! Invariants: 2 s for all of it, with the look-up of the name; at most 64 KiB of an answer are read; no redirect is followed; no
//! connection goes to an address that is not public, unless the configuration lists it, whatever name leads there. Requests at once
//! are bounded.

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

/// How long an answer may take.
pub(super) const LONGEST: Duration = Duration::from_secs(2);
/// Requests of all calls at once; more wait for their turn within their time.
const REQUESTS: usize = 256;
/// Most addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// Largest head of an answer.
const HEAD_MAX: usize = 16 * 1_024;

/// The way to servers of programs; clones share it.
#[derive(Clone)]
pub(super) struct Client {
    /// Addresses that may be asked although they are not public.
    networks: Arc<[Network]>,
    turns: Arc<Semaphore>,
    /// Made when it is first needed: reading the system's certificates takes a while.
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Client {
    pub(super) fn new(networks: Vec<Network>) -> Client {
        Client { networks: networks.into(), turns: Arc::new(Semaphore::new(REQUESTS)), tls: Arc::default() }
    }

    /// Posts JSON; the whole body of the answer. Whoever calls this bounds its time.
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

    /// Connects to the first of the host's addresses that may be asked and answers.
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

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    is_secure: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// As it stands in the URL.
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
    tracing::debug!(%error, "a server of call programs cannot be reached");
    FetchFailure::Unreachable
}

async fn tls_config() -> std::io::Result<Arc<ClientConfig>> {
    tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some of the system's root certificates cannot be read");
        }
        // Stores hold odd certificates; those that cannot be used vouch for nobody.
        let (_usable, _odd) = roots.add_parsable_certificates(system.certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(std::io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    })
    .await?
}

/// Sends the request over a connection, and reads the answer.
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
    // The connection is driven beside the answer, and dropped with it.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => match ended {
            // What was read before the end is still to be taken.
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
    fn private_addresses_are_asked_only_where_they_are_listed() {
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
