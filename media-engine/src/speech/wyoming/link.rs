//! A connection to a provider: the stdio of a child process, or a TCP socket.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use wyoming::{Decoder, Event};

use crate::config::SpeechProvider;
use crate::speech::SpeechError;

/// Name of the local process's program.
const PROGRAM: &str = "tandem-local-speech";
/// Number of bytes read at once.
const PIECE: usize = 16 * 1024;
/// Longest time to wait for a TCP server to accept.
const CONNECT: Duration = Duration::from_secs(2);

/// A connection to a provider. Dropping it kills the child process, if there is one.
pub(super) struct Link {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    decoder: Decoder,
    piece: Vec<u8>,
    out: Vec<u8>,
    /// Killed when dropped.
    _child: Option<Child>,
}

impl Link {
    pub(super) async fn connect(provider: &SpeechProvider) -> Result<Link, SpeechError> {
        match provider {
            SpeechProvider::Local(path) => spawn(path.clone()),
            SpeechProvider::Wyoming(address) => {
                let unavailable = |why: String| {
                    SpeechError::Unavailable(format!(
                        "{address}: {why}; start the server or change its address under [speech]"
                    ))
                };
                let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address))
                    .await
                    .map_err(|_| unavailable("no connection within 2 s".into()))?
                    .map_err(|error| unavailable(error.to_string()))?;
                stream.set_nodelay(true).map_err(|error| unavailable(error.to_string()))?;
                let (reader, writer) = stream.into_split();
                Ok(Link::over(Box::new(reader), Box::new(writer), None))
            }
        }
    }

    fn over(
        reader: Box<dyn AsyncRead + Send + Unpin>,
        writer: Box<dyn AsyncWrite + Send + Unpin>,
        child: Option<Child>,
    ) -> Link {
        Link {
            reader,
            writer,
            decoder: Decoder::new(),
            piece: Vec::with_capacity(PIECE),
            out: Vec::new(),
            _child: child,
        }
    }

    pub(super) async fn send(&mut self, event: &Event) -> Result<(), SpeechError> {
        self.out.clear();
        event.write_to(&mut self.out);
        let sent = async {
            self.writer.write_all(&self.out).await?;
            self.writer.flush().await
        };
        sent.await.map_err(lost)
    }

    /// Waits for the next event. Cancel-safe: bytes that were read stay in the decoder. Malformed events are counted and
    /// left out as long as the stream remains readable.
    pub(super) async fn receive(&mut self) -> Result<Event, SpeechError> {
        loop {
            match self.decoder.poll_event() {
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) if error.is_fatal() => return Err(SpeechError::Refused(error.to_string())),
                Some(Err(error)) => {
                    metrics::counter!("tandem_speech_bad_events_total").increment(1);
                    tracing::warn!(%error, "an event of the speech process or server cannot be read");
                    continue;
                }
                None => {}
            }
            self.piece.clear();
            if self.reader.read_buf(&mut self.piece).await.map_err(lost)? == 0 {
                return Err(SpeechError::Unavailable("the speech process or server closed the connection".into()));
            }
            self.decoder.push(&self.piece);
        }
    }
}

fn lost(error: std::io::Error) -> SpeechError {
    SpeechError::Unavailable(format!("the connection to the speech process or server broke: {error}"))
}

fn spawn(path: Option<PathBuf>) -> Result<Link, SpeechError> {
    let program = path.unwrap_or_else(local_program);
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            SpeechError::Unavailable(format!(
                "{}: {error}; build it with `make build` and put it next to `tandem` or in PATH",
                program.display()
            ))
        })?;
    match (child.stdout.take(), child.stdin.take()) {
        (Some(stdout), Some(stdin)) => Ok(Link::over(Box::new(stdout), Box::new(stdin), Some(child))),
        _ => Err(SpeechError::Unavailable(format!(
            "{}: its standard input and output are not available",
            program.display()
        ))),
    }
}

/// Returns the program next to the running one, else its bare name, for PATH. Test programs are one folder deeper.
fn local_program() -> PathBuf {
    let here = std::env::current_exe().ok();
    let folders = here.iter().flat_map(|program| program.ancestors().skip(1).take(2));
    folders.map(|folder| folder.join(PROGRAM)).find(|path| path.is_file()).unwrap_or_else(|| PROGRAM.into())
}
