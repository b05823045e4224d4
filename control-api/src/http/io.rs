//! What bytes pass through: writes that stall are given up, and requests that are framed in two ways are made unreadable.

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

/// A client takes [`TAKEN`] bytes of its answer, or all that is left, within this.
const WRITE: Duration = Duration::from_secs(20);
const TAKEN: usize = 4096;
/// Takes the place of the end of a head that must be refused: no HTTP, so that the parser answers 400 and closes.
const UNREADABLE: &[u8] = b"\0\r\n\r\n";

/// A socket whose peer must read.
pub(super) struct Stalling {
    stream: TcpStream,
    listener: &'static str,
    place: Arc<Place>,
    /// Set while the peer takes too little.
    deadline: Option<Pin<Box<Sleep>>>,
    /// What it has taken since that was set.
    taken: usize,
}

impl Stalling {
    pub(super) fn new(stream: TcpStream, listener: &'static str, place: Arc<Place>) -> Stalling {
        Stalling { stream, listener, place, deadline: None, taken: 0 }
    }

    /// Bounds the time for which writing `wanted` bytes makes too little progress.
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

/// A plain stream whose requests' framing is looked at.
pub(super) struct Watched<I> {
    io: I,
    framing: RequestFraming,
    place: Arc<Place>,
    /// Bytes that the parser still has to read in place of those that came.
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
