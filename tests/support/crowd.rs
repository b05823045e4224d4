//! A crowd of attackers: connections that are silent, slow, half open or never read, from many loopback addresses.
//!
//! The connections belong to a child process (binary `crowd` of this crate), which has its own descriptor table. Each connection
//! that the server closes is opened again a few seconds later, for as long as the crowd runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::process::Process;
use crate::sip::options;

/// Number of loopback addresses that a crowd uses.
pub const ADDRESSES: u32 = 50;
/// Pause between the end of a connection and the next attempt.
const PAUSE: Duration = Duration::from_secs(4);
/// Interval between two bytes of a slow connection.
const SLOW: Duration = Duration::from_millis(700);
/// Deadline within which every connection has been tried once.
const READY: Duration = Duration::from_secs(60);

/// Listeners that a crowd attacks, by protocol.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Listeners for plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Listeners for HTTP or SIP over TLS, which receive incomplete handshakes.
    pub tls: Vec<SocketAddr>,
    /// Listeners for SIP over TCP.
    pub sip: Vec<SocketAddr>,
}

/// A running crowd, in its own process.
pub struct Crowd {
    process: Process,
}

impl Crowd {
    /// Starts `connections` attackers with the binary `program`, and returns when each has tried once.
    pub async fn gather(program: &str, targets: &Targets, connections: usize) -> Crowd {
        let mut command = Command::new(program);
        command.arg(connections.to_string());
        for (kind, addresses) in [("http", &targets.http), ("tls", &targets.tls), ("sip", &targets.sip)] {
            for address in addresses {
                command.arg(format!("{kind}={address}"));
            }
        }
        let process = Process::start("crowd", "it is built with the tests", &mut command);
        process.line("all have tried", READY, |line| (line == "gathered").then_some(())).await;
        Crowd { process }
    }

    /// Returns the number of connections that are open now.
    pub fn open(&self) -> usize {
        let links = std::fs::read_dir(format!("/proc/{}/fd", self.process.pid())).expect("the crowd is running");
        let is_socket = |entry: std::io::Result<std::fs::DirEntry>| {
            let link = std::fs::read_link(entry.ok()?.path()).ok()?;
            link.to_string_lossy().starts_with("socket:").then_some(())
        };
        links.filter_map(is_socket).count()
    }

    /// Stops the process and so closes every connection.
    pub async fn leave(self) {
        self.process.stop().await;
    }
}

/// Attacks on plain HTTP, used in turn.
const HTTP: [fn(TcpStream, Ipv4Addr) -> Nuisance; 8] = [
    |stream, _| Box::pin(silent(stream)),
    |stream, _| Box::pin(says(stream, b"PRI * HTTP/2.0\r\n\r\nSM".to_vec())),
    |stream, _| Box::pin(says(stream, b"GET /health HT".to_vec())),
    |stream, _| Box::pin(drips(stream, b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ".to_vec())),
    |stream, _| Box::pin(shuts(stream)),
    |stream, _| Box::pin(never_reads(stream, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50))),
    |stream, _| Box::pin(says(stream, UPGRADE.as_bytes().to_vec())),
    |stream, _| {
        Box::pin(says(stream, b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{".to_vec()))
    },
];

/// Attacks on TLS, used in turn.
const TLS: [fn(TcpStream, Ipv4Addr) -> Nuisance; 2] =
    [|stream, _| Box::pin(silent(stream)), |stream, _| Box::pin(says(stream, vec![0x16, 3, 1, 1, 0, 1]))];

/// Attacks on SIP, used in turn.
const SIP: [fn(TcpStream, Ipv4Addr) -> Nuisance; 4] = [
    |stream, _| Box::pin(silent(stream)),
    |stream, _| Box::pin(drips(stream, b"OPTIONS sip:x SIP/2.0\r\nX-Long: ".to_vec())),
    |stream, from| Box::pin(says(stream, options("TCP", u64::from(from.to_bits())).into_bytes())),
    |stream, from| Box::pin(never_reads(stream, options("TCP", u64::from(from.to_bits())).repeat(200).into_bytes())),
];

/// An upgrade to SIP over WebSocket.
const UPGRADE: &str = "GET /sip HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

type Nuisance = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Main function of the program `crowd`; arguments: `CONNECTIONS KIND=ADDRESS…`. Runs until the process ends.
pub async fn run(arguments: impl Iterator<Item = String>) {
    let mut arguments = arguments.skip(1);
    let connections: u32 = arguments.next().and_then(|count| count.parse().ok()).expect("how many connections");
    let mut ways = Vec::new();
    for target in arguments {
        let (kind, address) = target.split_once('=').expect("KIND=ADDRESS");
        let address: SocketAddr = address.parse().expect("an address and a port");
        let of_kind: &[fn(TcpStream, Ipv4Addr) -> Nuisance] = match kind {
            "http" => &HTTP,
            "tls" => &TLS,
            _ => &SIP,
        };
        ways.extend(of_kind.iter().map(|way| (address, *way)));
    }
    let (tried, mut trying) = tokio::sync::mpsc::channel(1_024);
    for n in 0..connections {
        let (to, way) = ways[n as usize % ways.len()];
        let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 66, 1).to_bits() + n / ways.len() as u32 % ADDRESSES);
        let tried = tried.clone();
        tokio::spawn(async move {
            loop {
                let stream = connect(from, to).await;
                // Only the first attempt is reported.
                let _told = tried.send(n).await;
                if let Some(stream) = stream {
                    way(stream, from).await;
                }
                sleep(PAUSE).await;
            }
        });
        // The system's accept queue is limited, so the connections are spread over time.
        if n % 100 == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    drop(tried);
    let mut first = vec![false; connections as usize];
    let mut left = connections;
    while left > 0 {
        let n = trying.recv().await.expect("attackers never give up") as usize;
        left -= u32::from(!std::mem::replace(&mut first[n], true));
    }
    println!("gathered");
    while trying.recv().await.is_some() {}
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_recv_buffer_size(4096).ok()?;
    socket.bind(SocketAddr::from((from, 0))).ok()?;
    timeout(Duration::from_secs(10), socket.connect(to)).await.ok()?.ok()
}

/// Sends nothing and reads until the server closes the connection.
async fn silent(mut stream: TcpStream) {
    let mut buffer = [0; 512];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

async fn says(mut stream: TcpStream, bytes: Vec<u8>) {
    if stream.write_all(&bytes).await.is_ok() {
        silent(stream).await;
    }
}

/// Sends one byte at a time, for ever.
async fn drips(mut stream: TcpStream, start: Vec<u8>) {
    for byte in start.into_iter().chain(std::iter::repeat(b'x')) {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        sleep(SLOW).await;
    }
}

/// Closes its sending direction and keeps the connection open.
async fn shuts(mut stream: TcpStream) {
    if stream.write_all(b"GET /health HTTP/1.1\r\n").await.is_ok() && stream.shutdown().await.is_ok() {
        silent(stream).await;
    }
}

/// Sends many requests and reads no answer. Such a client notices a closed connection only when it writes.
async fn never_reads(mut stream: TcpStream, bytes: Vec<u8>) {
    while stream.write_all(&bytes).await.is_ok() {
        sleep(SLOW).await;
    }
}
