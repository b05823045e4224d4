//! Opening of a connection's byte stream: accepted, accepted with a TLS handshake, or opened by us.
//!
//! Nothing here waits longer than its limit. Servers that we connect to over TLS must present a certificate that is
//! issued by one of the system's roots or the configured authority, for the requested host (RFC 5922). The reason why a
//! connection of ours could not be opened is logged.
//!
//! Not here: reading and writing (`connection`), admission of peers (`stack`).

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::connection::Why;
use crate::error::StartError;

/// Time without acknowledgement after which a TCP peer counts as disconnected.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// An open byte stream.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream that is not open yet.
#[derive(Debug)]
pub(super) enum Opening {
    /// A peer has connected; nothing else is needed.
    Accepted(TcpStream),
    /// A peer has connected; its TLS handshake must complete within the given time.
    Handshake(TcpStream, Arc<ServerConfig>, Duration),
    /// We open the connection.
    Connect(Connect),
}

/// A connection of ours to be opened.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) peer: SocketAddr,
    /// For TLS: the trusted roots, and the name that the peer's certificate must have.
    pub(super) tls: Option<(Roots, String)>,
    /// Time limit for the whole opening.
    pub(super) within: Duration,
    /// Released when the connection is open or has failed.
    pub(super) _attempt: OwnedSemaphorePermit,
}

impl Opening {
    pub(super) async fn open(self) -> Result<Stream, Why> {
        match self {
            Opening::Accepted(stream) => {
                tune(&stream);
                Ok(Stream::Tcp(stream))
            }
            Opening::Handshake(stream, config, within) => {
                tune(&stream);
                match timeout(within, TlsAcceptor::from(config).accept(stream)).await {
                    Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "TLS handshake of a SIP peer failed");
                        Err("handshake_failed")
                    }
                    Err(_) => Err("handshake_timed_out"),
                }
            }
            Opening::Connect(connect) => connect.open().await,
        }
    }
}

impl Connect {
    async fn open(self) -> Result<Stream, Why> {
        let name = self.tls.as_ref().map(|(_, name)| name.as_str());
        match timeout(self.within, self.connect()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                tracing::warn!(peer = %self.peer, name, %error, "SIP connection could not be opened");
                Err("connect_failed")
            }
            Err(_) => {
                tracing::warn!(peer = %self.peer, name, within = ?self.within, "SIP connection was not opened in time");
                Err("connect_timed_out")
            }
        }
    }

    async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(self.peer).await?;
        tune(&stream);
        let Some((roots, name)) = &self.tls else { return Ok(Stream::Tcp(stream)) };
        let bare = name.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(bare).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = TlsConnector::from(roots.client().await?);
        Ok(Stream::Tls(Box::new(connector.connect(name, stream).await?.into())))
    }
}

fn tune(stream: &TcpStream) {
    let tuned =
        stream.set_nodelay(true).and_then(|()| socket2::SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT)));
    if let Err(error) = tuned {
        tracing::debug!(%error, "TCP options not changed");
    }
}

/// Authorities for servers' certificates. The system's roots are read when they are first needed.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    own: Arc<[CertificateDer<'static>]>,
    client: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Roots {
    /// Combines the system's roots with those in the PEM file `ca` (`sip.tls_ca`).
    pub(super) fn new(ca: Option<&Path>) -> Result<Roots, StartError> {
        let own: Vec<CertificateDer<'static>> = match ca {
            None => Vec::new(),
            Some(path) => {
                let wrong = |problem: String| StartError::Config {
                    key: "sip.tls_ca".into(),
                    problem: format!("{}: {problem}", path.display()),
                };
                let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let read = read.map_err(|error| wrong(format!("no PEM certificate can be read: {error}")))?;
                if read.is_empty() {
                    return Err(wrong("holds no PEM certificate".into()));
                }
                // Checked now, not when the first connection is opened.
                let mut store = RootCertStore::empty();
                for (n, certificate) in read.iter().enumerate() {
                    let added = store.add(certificate.clone());
                    added.map_err(|error| {
                        wrong(format!("certificate {} cannot be used as an authority: {error}", n + 1))
                    })?;
                }
                read
            }
        };
        Ok(Roots { own: own.into(), client: Arc::default() })
    }

    async fn client(&self) -> io::Result<Arc<ClientConfig>> {
        let make = || async {
            let own = Arc::clone(&self.own);
            tokio::task::spawn_blocking(move || client_config(&own)).await?
        };
        self.client.get_or_try_init(make).await.cloned()
    }
}

fn client_config(own: &[CertificateDer<'static>]) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "some of the system's root certificates cannot be read");
    }
    // System stores may hold malformed certificates; those are skipped.
    let (_usable, _odd) = roots.add_parsable_certificates(system.certs);
    for certificate in own {
        roots.add(certificate.clone()).map_err(|error| io::Error::other(format!("sip.tls_ca: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_unusable_authority_is_refused_and_named_at_the_start() {
        let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let good = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem();
        for (text, told) in [
            (String::new(), Some("holds no PEM certificate")),
            (pem("AAAA"), Some("certificate 1")),
            (format!("{good}{}", pem("MAMBAf8=")), Some("certificate 2")),
            (good, None),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let error = Roots::new(Some(file.path())).err().map(|error| error.to_string());
            let name = file.path().to_str().unwrap();
            match (&error, told) {
                (None, None) => {}
                (Some(error), Some(told)) => {
                    assert!(error.contains("sip.tls_ca") && error.contains(name) && error.contains(told), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
