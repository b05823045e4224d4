//! Inexpensive HTTP clients: scheduled keep-alive requests, and streams of server-sent events.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::latencies::Latencies;

/// A keep-alive connection.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(server: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a GET, reads the whole body and returns the status.
    pub(super) async fn get(&mut self, path: &str, key: &str) -> Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let status = self.status().await?;
        let mut length = 0;
        while let Some((name, value)) = self.header().await? {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().context("the length is not a number")?;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).await?;
        Ok(status)
    }

    /// Opens a stream of events.
    pub(super) async fn listen(mut self, path: &str, key: &str) -> Result<Events> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\naccept: text/event-stream\r\n\r\n"
        );
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        match self.status().await? {
            200 => {}
            status => bail!("the stream was answered with {status}"),
        }
        while self.header().await?.is_some() {}
        Ok(Events { stream: self.stream, line: Vec::new() })
    }

    async fn status(&mut self) -> Result<u16> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).await? == 0 {
            bail!("the server closed the connection");
        }
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer without a status")
    }

    async fn header(&mut self) -> Result<Option<(String, String)>> {
        self.line.clear();
        self.stream.read_line(&mut self.line).await?;
        let line = self.line.trim_end();
        if line.is_empty() {
            return Ok(None);
        }
        let (name, value) = line.split_once(':').context("a header without a colon")?;
        Ok(Some((name.to_owned(), value.trim().to_owned())))
    }
}

/// A stream of server-sent events.
pub(super) struct Events {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Events {
    /// Returns the data of the next event and its time of arrival.
    pub(super) async fn next(&mut self) -> Result<(String, Instant)> {
        loop {
            self.line.clear();
            if self.stream.read_until(b'\n', &mut self.line).await? == 0 {
                bail!("the stream ended");
            }
            if let Some(data) = self.line.strip_prefix(b"data:") {
                return Ok((String::from_utf8_lossy(data).trim().to_owned(), Instant::now()));
            }
        }
    }

    /// Stops reading and keeps the connection open.
    pub(super) fn stall(self) -> TcpStream {
        self.stream.into_inner()
    }
}

/// Sends `rate` requests a second for `seconds` over `connections`, each at its scheduled time whether the one before was answered
/// or not. Latencies count from the scheduled time. Also returns the number of answers other than 200, and the total duration.
pub(super) async fn requests(
    server: SocketAddr,
    key: &str,
    paths: &[String],
    rate: u32,
    seconds: u32,
    connections: usize,
) -> Result<(Latencies, u64, Duration)> {
    let total = u64::from(rate) * u64::from(seconds);
    let begin = Instant::now() + Duration::from_millis(200);
    let mut workers = Vec::new();
    for n in 0..connections {
        let (key, paths) = (key.to_owned(), paths.to_vec());
        let mut connection = Connection::open(server).await?;
        workers.push(tokio::spawn(async move {
            let (mut latencies, mut failed) = (Latencies::default(), 0);
            for number in (n as u64..total).step_by(connections) {
                let due = begin + Duration::from_secs_f64(number as f64 / f64::from(rate));
                tokio::time::sleep_until(due.into()).await;
                let path = &paths[number as usize % paths.len()];
                match connection.get(path, &key).await {
                    Ok(200) => latencies.add(due.elapsed()),
                    _ => failed += 1,
                }
            }
            (latencies, failed)
        }));
    }
    let (mut latencies, mut failed) = (Latencies::default(), 0);
    for worker in workers {
        let (some, not) = worker.await?;
        latencies.merge(some);
        failed += not;
    }
    Ok((latencies, failed, begin.elapsed()))
}
