//! TLS of pages and SIP listeners: certificate files that are reloaded when they change, or a self-signed certificate in the data
//! folder.
//!
//! Existing connections keep their session; only new handshakes use new certificates.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Tls};

/// Interval at which the modification times of the files are checked.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Reason why TLS cannot be set up. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct TlsError {
    /// Configuration key: `http.tls` or `sip.tls`.
    key: &'static str,
    problem: String,
}

/// Files of certificate and key.
#[derive(Clone, Debug)]
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

/// Selects the TLS implementation of the process. Two implementations would panic at the first handshake.
pub(crate) fn install_provider() {
    // Another part of the process, or an earlier server in it, may have selected the same implementation already.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// TLS configurations of the listeners.
pub(crate) struct TlsListeners {
    /// Configuration for pages and API; `None` for plain HTTP.
    pub(crate) http: Option<Arc<ServerConfig>>,
    /// Configuration for SIP; `None` without a TLS listener.
    pub(crate) sip: Option<Arc<ServerConfig>>,
}

/// Reads or creates the required certificates. Files are watched until `stopping`.
pub(crate) fn start(config: &Config, data: &Path, stopping: &CancellationToken) -> Result<TlsListeners, TlsError> {
    let show = |key, tls: &Tls| -> Result<ServerConfig, TlsError> {
        let wrong = |problem| TlsError { key, problem };
        let pair = match tls {
            Tls::Files { cert, key } => Pair { cert: cert.clone(), key: key.clone() },
            Tls::SelfSigned | Tls::Off => self_signed(config, data).map_err(wrong)?,
        };
        // Before the files are read, so that a change during reading is noticed.
        let seen = changed_at(&pair);
        let shown = Arc::new(Shown(RwLock::new(load(&pair).map_err(wrong)?)));
        if matches!(tls, Tls::Files { .. }) {
            tokio::spawn(watch(pair, seen, Arc::clone(&shown), stopping.clone()));
        }
        Ok(ServerConfig::builder().with_no_client_auth().with_cert_resolver(shown))
    };
    let http = config.http.tls.is_on().then(|| -> Result<Arc<ServerConfig>, TlsError> {
        let mut server = show("http.tls", &config.http.tls)?;
        // Only HTTP/1.1, which is sufficient for WebSockets and event streams.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    });
    let sip = config.sip.has_tls().then(|| {
        let (key, tls) = config.sip.tls.as_ref().map_or(("http.tls", &config.http.tls), |tls| ("sip.tls", tls));
        show(key, tls).map(Arc::new)
    });
    Ok(TlsListeners { http: http.transpose()?, sip: sip.transpose()? })
}

/// Certificate for new handshakes.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn load(pair: &Pair) -> Result<Arc<CertifiedKey>, String> {
    let wrong = |path: &Path, problem: String| format!("{}: {problem}", path.display());
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&pair.cert)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(&pair.cert, format!("cannot read a PEM certificate: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong(&pair.cert, "contains no PEM certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key)
        .map_err(|error| wrong(&pair.key, format!("cannot read a PEM private key: {error}")))?;
    CertifiedKey::from_der(certificates, key, &rustls::crypto::aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|error| wrong(&pair.key, format!("does not belong to {}: {error}", pair.cert.display())))
}

/// Returns the stored self-signed certificate, or creates one for every name under which this server can be reached.
fn self_signed(config: &Config, data: &Path) -> Result<Pair, String> {
    let folder = data.join("tls");
    let pair = Pair { cert: folder.join("self-signed.cert.pem"), key: folder.join("self-signed.key.pem") };
    if pair.cert.exists() && pair.key.exists() {
        return Ok(pair);
    }
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    let addresses = config.media.address.iter().copied().chain([config.http.listen.ip()]);
    let addresses = addresses.chain(config.media.advertise.iter().copied());
    names.extend(addresses.filter(|address| !address.is_unspecified()).map(|address: IpAddr| address.to_string()));
    if let Some(url) = &config.http.public_url {
        names.push(url.host().trim_matches(['[', ']']).to_owned());
    }
    names.extend(config.sip.advertise.iter().map(|advertise| advertise.host.trim_matches(['[', ']']).to_owned()));
    names.sort();
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let unwritable = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(unwritable)?;
    write_private(&pair.key, &made.signing_key.serialize_pem()).map_err(unwritable)?;
    write_private(&pair.cert, &made.cert.pem()).map_err(unwritable)?;
    Ok(pair)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// Reloads the files on SIGHUP and when they change. Unusable files are logged, and the old certificate stays.
async fn watch(pair: Pair, mut seen: Times, shown: Arc<Shown>, stopping: CancellationToken) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::warn!(%error, "cannot handle SIGHUP, so changed certificates are not reloaded");
            return;
        }
    };
    let mut tick = tokio::time::interval(WATCH_EVERY);
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            _ = tick.tick() => false,
            () = stopping.cancelled() => return,
        };
        let now = changed_at(&pair);
        if !asked && now == seen {
            continue;
        }
        match load(&pair) {
            Ok(certificate) => {
                *shown.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
                tracing::info!(cert = %pair.cert.display(), "certificate reloaded");
            }
            // A partly written pair is checked again when the other file changes.
            Err(error) => tracing::error!(error, "cannot reload the certificate; the old one stays in use"),
        }
        seen = now;
    }
}

/// Modification times of certificate and key.
type Times = [Option<SystemTime>; 2];

fn changed_at(pair: &Pair) -> Times {
    [&pair.cert, &pair.key].map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}
