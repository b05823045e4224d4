//! A minimal SIP client: complete messages as bytes over UDP, TCP, TLS or WebSocket, and waiting for an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Transport by which a client reaches the server.
pub enum Wire {
    /// UDP: one message per datagram.
    Udp(UdpSocket),
    /// A TCP stream.
    Tcp(TcpStream),
    /// A TLS stream over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// SIP over WebSocket (RFC 7118).
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

impl Wire {
    /// Opens a UDP socket connected to `server`.
    pub async fn udp(server: SocketAddr) -> Wire {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a UDP socket");
        socket.connect(server).await.expect("a route on loopback");
        Wire::Udp(socket)
    }

    /// Opens a TCP connection to `server`.
    pub async fn tcp(server: SocketAddr) -> Wire {
        Wire::Tcp(TcpStream::connect(server).await.expect("a connection to the SIP listener"))
    }

    /// Opens a TLS connection to `server` without verifying its certificate.
    pub async fn tls(server: SocketAddr) -> Wire {
        Wire::tls_over(TcpStream::connect(server).await.expect("a connection to the SIP listener")).await
    }

    /// Starts TLS on an existing connection without verifying the certificate.
    pub async fn tls_over(stream: TcpStream) -> Wire {
        // The process may have installed its provider already.
        let _ = aws_lc_rs::default_provider().install_default();
        let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        let name = ServerName::try_from("localhost").expect("a name");
        Wire::Tls(Box::new(connector.connect(name, stream).await.expect("a TLS handshake")))
    }

    /// Opens a WebSocket to `/sip` of the server whose pages are at `http`.
    pub async fn websocket(http: &str) -> Wire {
        let url = format!("{}/sip", http.replacen("http", "ws", 1));
        let mut request = url.as_str().into_client_request().expect("a WebSocket URL");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "sip".parse().expect("a token"));
        headers.insert("origin", http.parse().expect("an origin"));
        let (socket, _answer) = tokio_tungstenite::connect_async(request).await.expect("the WebSocket upgraded");
        Wire::WebSocket(Box::new(socket))
    }

    /// Name of the transport in Via.
    pub fn token(&self) -> &'static str {
        match self {
            Wire::Udp(_) => "UDP",
            Wire::Tcp(_) => "TCP",
            Wire::Tls(_) => "TLS",
            Wire::WebSocket(_) => "WS",
        }
    }

    /// Sends bytes; returns `false` when the connection is closed.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        match self {
            // A refused UDP port shows only at the next call, so tests check the server with OPTIONS.
            Wire::Udp(socket) => socket.send(bytes).await.is_ok(),
            Wire::Tcp(stream) => stream.write_all(bytes).await.is_ok(),
            Wire::Tls(stream) => stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok(),
            Wire::WebSocket(socket) => {
                let message = match std::str::from_utf8(bytes) {
                    Ok(text) => Message::text(text),
                    Err(_) => Message::binary(bytes.to_vec()),
                };
                socket.send(message).await.is_ok()
            }
        }
    }

    /// Returns the next bytes; `None` when the server has closed the connection.
    pub async fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let length = match self {
            Wire::Udp(socket) => socket.recv(&mut buffer).await.ok()?,
            Wire::Tcp(stream) => stream.read(&mut buffer).await.ok().filter(|&length| length > 0)?,
            Wire::Tls(stream) => stream.read(&mut buffer).await.ok().filter(|&length| length > 0)?,
            Wire::WebSocket(socket) => loop {
                match socket.next().await?.ok()? {
                    Message::Text(text) => return Some(text.as_bytes().to_vec()),
                    Message::Binary(bytes) => return Some(bytes.to_vec()),
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
        };
        buffer.truncate(length);
        Some(buffer)
    }

    /// Sends OPTIONS and returns the status code of its answer, or `None` when none arrives in time.
    pub async fn options(&mut self, deadline: Duration) -> Option<u16> {
        let id: u64 = rand::random();
        let message = options(self.token(), id);
        if !self.send(message.as_bytes()).await {
            return None;
        }
        let wanted = format!("options-{id:x}");
        let wait = async {
            loop {
                let answer = self.receive().await?;
                let text = String::from_utf8_lossy(&answer);
                if text.starts_with("SIP/2.0 ") && text.contains(&wanted) {
                    return text.get(8..11)?.parse().ok();
                }
            }
        };
        timeout(deadline, wait).await.ok().flatten()
    }
}

/// Accepts every certificate: these tests are about the messages sent afterwards.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// An OPTIONS request that any server must answer.
pub fn options(transport: &str, id: u64) -> String {
    format!(
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/{transport} client.invalid;branch=z9hG4bK{id:x};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:probe@client.invalid>;tag={id:x}\r\n\
         To: <sip:127.0.0.1>\r\n\
         Call-ID: options-{id:x}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}
