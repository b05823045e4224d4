//! TLS of pages and SIP listeners: files that are read again when they change, or a self-signed pair kept in the data folder.
//!
//! Running connections keep what they agreed on; only new handshakes see new certificates.

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

/// How often the files' times are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Why TLS cannot be set up. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct TlsError {
    /// `http.tls` or `sip.tls`.
    key: &'static str,
    problem: String,
}

/// Certificate and key files.
#[derive(Clone, Debug)]
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

/// Makes the process use one TLS implementation. Two would panic at the first handshake.
pub(crate) fn install_provider() {
    // Another part of the process, or an earlier server in it, may have done so: then it is the same one.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// How listeners shake hands.
pub(crate) struct TlsListeners {
    /// Pages and API; none: plain HTTP.
    pub(crate) http: Option<Arc<ServerConfig>>,
    /// SIP; none without a TLS listener.
    pub(crate) sip: Option<Arc<ServerConfig>>,
}

/// Reads or makes the certificates that are needed. Files are watched until `stopping`.
pub(crate) fn start(config: &Config, data: &Path, stopping: &CancellationToken) -> Result<TlsListeners, TlsError> {
    let show = |key, tls: &Tls| -> Result<ServerConfig, TlsError> {
        let wrong = |problem| TlsError { key, problem };
        let pair = match tls {
            Tls::Files { cert, key } => Pair { cert: cert.clone(), key: key.clone() },
            Tls::SelfSigned | Tls::Off => self_signed(config, data).map_err(wrong)?,
        };
        // Before the files are read: what changes while they are is then seen as a change.
        let seen = changed_at(&pair);
        let shown = Arc::new(Shown(RwLock::new(load(&pair).map_err(wrong)?)));
        if matches!(tls, Tls::Files { .. }) {
            tokio::spawn(watch(pair, seen, Arc::clone(&shown), stopping.clone()));
        }
        Ok(ServerConfig::builder().with_no_client_auth().with_cert_resolver(shown))
    };
    let http = config.http.tls.is_on().then(|| -> Result<Arc<ServerConfig>, TlsError> {
        let mut server = show("http.tls", &config.http.tls)?;
        // HTTP/1.1 only: WebSockets and event streams need no more.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    });
    let sip = config.sip.has_tls().then(|| {
        let (key, tls) = config.sip.tls.as_ref().map_or(("http.tls", &config.http.tls), |tls| ("sip.tls", tls));
        show(key, tls).map(Arc::new)
    });
    Ok(TlsListeners { http: http.transpose()?, sip: sip.transpose()? })
}

/// What new handshakes are shown.
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
        .map_err(|error| wrong(&pair.cert, format!("no PEM certificate can be read: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong(&pair.cert, "holds no PEM certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key)
        .map_err(|error| wrong(&pair.key, format!("no PEM private key can be read: {error}")))?;
    CertifiedKey::from_der(certificates, key, &rustls::crypto::aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|error| wrong(&pair.key, format!("does not belong to {}: {error}", pair.cert.display())))
}

/// The kept pair, or a new one for every name under which this server may be reached.
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

/// Reads the files again on SIGHUP and when they change. What cannot be used is told, and the old pair stays.
async fn watch(pair: Pair, mut seen: Times, shown: Arc<Shown>, stopping: CancellationToken) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be caught; certificates are read again when their files change");
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
                tracing::info!(cert = %pair.cert.display(), "certificate read again");
            }
            // A half-written pair is looked at again when the other half changes.
            Err(error) => tracing::error!(error, "the certificate is not changed"),
        }
        seen = now;
    }
}

/// When certificate and key were written last.
type Times = [Option<SystemTime>; 2];

fn changed_at(pair: &Pair) -> Times {
    [&pair.cert, &pair.key].map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}
