//! A server of call programs over HTTP or HTTPS that can show every fault of such a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Capacity of the queue of received requests.
const KEPT: usize = 64;

/// The server. Its answer depends on the path:
///
/// | path | answer |
/// |---|---|
/// | `/good` | the program |
/// | `/wrong` | 200 with a body that is not a program |
/// | `/huge` | 200 with an endless body |
/// | `/redirect` | 302 to `/good` |
/// | `/slow` | no answer; the connection stays open |
/// | else | 404 |
pub struct ProgramServer {
    scheme: &'static str,
    address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
    task: JoinHandle<()>,
}

/// A request that the server received.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path of the request line.
    pub path: String,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body of `Content-Length` bytes.
    pub body: Vec<u8>,
}

impl Asked {
    /// Returns the value of a header; empty if the header is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl Drop for ProgramServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ProgramServer {
    /// Starts a server on 127.0.0.1 that answers `/good` with this program.
    pub async fn start(program: &Value) -> ProgramServer {
        ProgramServer::start_with(program, None).await
    }

    /// Like [`ProgramServer::start`], over HTTPS.
    pub async fn start_secure(program: &Value, identity: &Identity) -> ProgramServer {
        ProgramServer::start_with(program, Some(identity.acceptor())).await
    }

    async fn start_with(program: &Value, tls: Option<TlsAcceptor>) -> ProgramServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (asked_in, asked) = mpsc::channel(KEPT);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let program = program.to_string();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Errors of a connection concern its client only.
                drop(tokio::spawn(accept(stream, tls.clone(), asked_in.clone(), program.clone())));
            }
        });
        ProgramServer { scheme, address, asked, task }
    }

    /// Returns the URL of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Waits for the next request and returns it. Panics when none arrives before the deadline.
    pub async fn asked(&mut self, deadline: Duration) -> Asked {
        let asked = tokio::time::timeout(deadline, self.asked.recv()).await;
        asked.unwrap_or_else(|_| panic!("no request within {deadline:?}")).expect("the server runs")
    }
}

/// A self-signed certificate for 127.0.0.1 with its key.
pub struct Identity(rcgen::CertifiedKey<rcgen::KeyPair>);

impl Identity {
    /// Generates a new key and certificate.
    pub fn new() -> Identity {
        Identity(rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate"))
    }

    /// Returns the certificate in PEM, as in a list of authorities.
    pub fn pem(&self) -> String {
        self.0.cert.pem()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.0.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![self.0.cert.der().clone()], key)
            .expect("a certificate with its key");
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Identity {
    fn default() -> Self {
        Identity::new()
    }
}

async fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    asked: mpsc::Sender<Asked>,
    program: String,
) -> std::io::Result<()> {
    match tls {
        Some(tls) => serve(tls.accept(stream).await?, asked, program).await,
        None => serve(stream, asked, program).await,
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    asked: mpsc::Sender<Asked>,
    program: String,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read_request(&mut stream).await?;
    let path = request.path.clone();
    // The receiver may have been dropped.
    let _ = asked.send(request).await;
    let ok = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let answer = match path.as_str() {
        "/good" => ok(&program),
        "/wrong" => ok("<html>It works!</html>"),
        "/redirect" => "HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/huge" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(format!("1000\r\n{}\r\n", "[".repeat(0x1000)).as_bytes()).await?;
            }
        }
        "/slow" => return std::future::pending().await,
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Reads an HTTP request with a body of `Content-Length` bytes.
pub(crate) async fn read_request(stream: &mut BufReader<impl AsyncRead + Unpin>) -> std::io::Result<Asked> {
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok(Asked { path, headers, body })
}
