//! A certificate authority for these tests.

use std::io::Write;
use std::sync::Arc;

use media_engine::config::SipConfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Peer, Stack};
use media_engine::sip::Transport;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
    pem: NamedTempFile,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let mut pem = NamedTempFile::new().unwrap();
        pem.write_all(root.pem().as_bytes()).unwrap();
        Authority { issuer: Issuer::new(params, key), root, pem }
    }

    /// Server configuration with a certificate for `name`.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![certificate.der().clone()];
        Arc::new(versions.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// Configuration of a stack with every kind of listener and a certificate for `name`, which trusts this authority.
    pub(crate) fn config(&self, name: &str) -> SipConfig {
        SipConfig {
            listen: ["udp", "tcp", "tls"].map(|transport| format!("{transport}:127.0.0.1:0")).to_vec(),
            domain: "example.com".into(),
            tls: Some(self.server(name)),
            tls_ca: Some(self.pem.path().to_owned()),
            ..SipConfig::default()
        }
    }

    /// Opens a TLS connection to a stack.
    pub(crate) async fn connect(&self, stack: &Stack) -> Peer<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = Arc::new(versions.with_root_certificates(roots).with_no_client_auth());
        let stream = TcpStream::connect(stack.address(Transport::Tls)).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        Peer::new(TlsConnector::from(client).connect(name, stream).await.unwrap())
    }
}
