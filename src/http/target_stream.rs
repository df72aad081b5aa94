use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::Stream;

/// A target's stream under hyper, which notes whether the target has said anything.
#[derive(Debug)]
pub(super) struct TargetStream {
    stream: Stream,
    heard: Arc<Heard>,
}

/// Whether a byte has come from the target since the last request began: then the request must not be sent again.
#[derive(Debug, Default)]
pub(super) struct Heard(AtomicBool);

impl Heard {
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub(super) fn anything(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl TargetStream {
    pub(super) fn new(stream: Stream, heard: &Arc<Heard>) -> Self {
        Self { stream, heard: Arc::clone(heard) }
    }

    pub(super) fn into_inner(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for TargetStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.heard.0.store(true, Ordering::Release);
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for TargetStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
