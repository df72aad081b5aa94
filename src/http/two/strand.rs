use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tunnel::End;

/// A stream of an HTTP/2 connection that carries bytes both ways. Dropping it resets what has not ended.
#[derive(Debug)]
pub(in crate::http) struct Strand {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    /// Has come and was not yet read.
    held: Bytes,
}

impl Strand {
    pub(in crate::http) fn new(sender: SendStream<Bytes>, receiver: RecvStream) -> Self {
        Self { sender, receiver, held: Bytes::new() }
    }

    /// What it sends on.
    pub(in crate::http) fn into_sender(self) -> SendStream<Bytes> {
        self.sender
    }
}

impl End for Strand {
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.sender.poll_reset(context).map(|_reason| ())
    }

    fn reset(&mut self) {
        // As a TCP connection would be (RFC 8441 section 5).
        self.sender.send_reset(Reason::CANCEL);
    }

    fn finish(&mut self, context: &mut Context<'_>) {
        let _gone = Pin::new(self).poll_shutdown(context);
    }
}

fn broken(error: &h2::Error) -> io::Error {
    tracing::debug!(%error, "a tunnel's stream is gone");
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Strand {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.held.is_empty() {
            match ready!(self.receiver.poll_data(context)) {
                Some(Ok(data)) => self.held = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.held.len().min(buffer.remaining());
        buffer.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.advance(count);
        if self.held.is_empty() {
            // An empty slice would hold all that came with it.
            self.held = Bytes::new();
        }
        // Of a stream that is over nothing is to be released.
        let _over = self.receiver.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Strand {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.sender.reserve_capacity(bytes.len());
        while self.sender.capacity() == 0 {
            match ready!(self.sender.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = self.sender.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(bytes.get(..count).unwrap_or_default());
        match self.sender.send_data(data, false) {
            Ok(()) => Poll::Ready(Ok(count)),
            Err(error) => Poll::Ready(Err(broken(&error))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sender.send_data(Bytes::new(), true).map_err(|error| broken(&error)))
    }
}
