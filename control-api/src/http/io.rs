//! Streams of HTTP connections: writes that stall are given up, and requests with ambiguous framing are made unreadable.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::framing::RequestFraming;
use super::places::Place;

/// Time within which a client must accept [`TAKEN`] bytes of its response, or all that is left.
const WRITE: Duration = Duration::from_secs(20);
/// Number of bytes that count as progress.
const TAKEN: usize = 4096;
/// Replaces the end of a head that must be refused. It is not HTTP, so the parser answers 400 and closes.
const UNREADABLE: &[u8] = b"\0\r\n\r\n";

/// Socket whose peer must read.
pub(super) struct Stalling {
    stream: TcpStream,
    listener: &'static str,
    place: Arc<Place>,
    /// Set while the peer accepts too little.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Number of bytes accepted since then.
    taken: usize,
}

impl Stalling {
    pub(super) fn new(stream: TcpStream, listener: &'static str, place: Arc<Place>) -> Stalling {
        Stalling { stream, listener, place, deadline: None, taken: 0 }
    }

    /// Limits the time for which writing `wanted` bytes makes too little progress.
    fn bound(
        &mut self,
        progress: Poll<io::Result<usize>>,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = progress {
            self.taken = self.taken.saturating_add(*written.as_ref().unwrap_or(&0));
            let enough = self.taken >= TAKEN || written.as_ref().is_ok_and(|written| *written >= wanted);
            if enough && self.deadline.take().is_some() {
                self.place.stalls(false);
            }
            return Poll::Ready(written);
        }
        let place = &self.place;
        let deadline = self.deadline.get_or_insert_with(|| {
            place.stalls(true);
            self.taken = 0;
            Box::pin(tokio::time::sleep(WRITE))
        });
        ready!(deadline.as_mut().poll(cx));
        metrics::counter!("tandem_http_connections_closed_total", "listener" => self.listener, "why" => "stalled")
            .increment(1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncRead for Stalling {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stalling {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bound(progress, bytes.len(), cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bound(progress, slices.iter().map(|slice| slice.len()).sum(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Plain stream on which the framing of requests is checked.
pub(super) struct Watched<I> {
    io: I,
    framing: RequestFraming,
    place: Arc<Place>,
    /// Bytes that the parser must still read in place of the received ones.
    instead: &'static [u8],
}

impl<I> Watched<I> {
    pub(super) fn new(io: I, place: Arc<Place>) -> Watched<I> {
        Watched { io, framing: RequestFraming::new(), place, instead: &[] }
    }

    fn give_instead(&mut self, buf: &mut ReadBuf<'_>) {
        let (now, later) = self.instead.split_at(self.instead.len().min(buf.remaining()));
        buf.put_slice(now);
        self.instead = later;
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.instead.is_empty() {
            self.give_instead(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if !self.place.is_upgraded()
            && let Some(good) = self.framing.refused_at(&buf.filled()[before..])
        {
            metrics::counter!("tandem_http_ambiguous_framing_total").increment(1);
            buf.set_filled(before + good);
            self.instead = UNREADABLE;
            self.give_instead(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
