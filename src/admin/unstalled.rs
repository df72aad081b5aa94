use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long an operator's client may take nothing of its answer. One that reads at all does so within this: it is here or
/// near, and asks for a few pages. Scrapers give up themselves after 10 s (Prometheus' `scrape_timeout`).
pub(super) const STALL_MAX: Duration = Duration::from_secs(5);

/// A stream whose writes fail when its peer has taken nothing for [`STALL_MAX`], so that a client that never reads does not
/// keep its place for ever.
#[derive(Debug)]
pub(super) struct Unstalled<S> {
    stream: S,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstalled<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, stalled: None }
    }

    /// What a write comes to: itself if it has come to something, or an error when it has waited for too long.
    fn unless_stalled<T>(&mut self, context: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.unless_stalled(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.stream).poll_shutdown(context);
        this.unless_stalled(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, _far) = duplex(16);
        let mut near = Unstalled::new(near);
        let begun = Instant::now();
        let error = near.write_all(&[7; 17]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, STALL_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_in_time_is_served_for_as_long_as_it_needs() {
        let (near, mut far) = duplex(16);
        let mut near = Unstalled::new(near);
        let begun = Instant::now();
        let reading = tokio::spawn(async move {
            let mut taken = [0; 160];
            for piece in taken.chunks_mut(16) {
                tokio::time::sleep(STALL_MAX - Duration::from_millis(1)).await;
                far.read_exact(piece).await.unwrap();
            }
            taken
        });
        near.write_all(&[7; 160]).await.unwrap();
        assert_eq!(reading.await.unwrap(), [7; 160]);
        assert!(begun.elapsed() > STALL_MAX * 9);
    }
}
