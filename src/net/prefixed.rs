use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::transport::{Ending, Transport};

/// A stream that first gives back the bytes that an earlier stage has read from it.
///
/// Writes go straight through.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: Bytes,
    stream: S,
}

impl<S> Prefixed<S> {
    /// Puts `prefix` in front of what `stream` will still give.
    #[must_use]
    pub fn new(prefix: Bytes, stream: S) -> Self {
        Self { prefix, stream }
    }

    /// A stream of which nothing has been read.
    #[must_use]
    pub fn untouched(stream: S) -> Self {
        Self::new(Bytes::new(), stream)
    }

    /// The bytes not yet given back, and the stream.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, S) {
        (self.prefix, self.stream)
    }

    /// The bytes not yet given back.
    #[must_use]
    pub fn prefix(&self) -> &Bytes {
        &self.prefix
    }

    /// The stream behind the prefix.
    pub fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() || buffer.remaining() == 0 {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix.split_to(length));
        if !self.prefix.has_remaining() {
            // An empty slice of a large allocation would hold all of it for the life of the connection.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
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

impl<S: Transport> Transport for Prefixed<S> {
    fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }

    fn bare(&self) -> Option<&TcpStream> {
        if self.prefix.is_empty() { self.stream.bare() } else { None }
    }

    fn expect_bulk(&mut self) {
        self.stream.expect_bulk();
    }

    fn poll_finish(mut self: Pin<&mut Self>, context: &mut Context<'_>, ending: Ending) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_finish(context, ending)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_prefix_comes_first_and_whole_whatever_the_size_of_the_reads() {
        for size in 1..=8 {
            let (near, mut far) = duplex(64);
            far.write_all(b" world").await.unwrap();
            far.shutdown().await.unwrap();
            let mut stream = Prefixed::new(Bytes::from_static(b"hello"), near);
            let mut seen = Vec::new();
            let mut chunk = vec![0; size];
            loop {
                let count = stream.read(&mut chunk).await.unwrap();
                if count == 0 {
                    break;
                }
                seen.extend_from_slice(&chunk[..count]);
            }
            assert_eq!(seen, b"hello world");
        }
    }

    #[tokio::test]
    async fn what_was_not_read_is_given_back() {
        let (near, _far) = duplex(64);
        let mut stream = Prefixed::new(Bytes::from_static(b"hello"), near);
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        let (rest, _stream) = stream.into_parts();
        assert_eq!(&rest[..], b"llo");
    }
}
