use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How the bytes of one direction came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The sender said that it was done: FIN on TCP, close_notify on TLS (RFC 8446 section 6.1).
    Whole,
    /// A TLS sender's TCP connection ended without close_notify: what came may be less than what was sent.
    Truncated,
}

/// A byte stream over one TCP socket: the socket itself, or TLS on it.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket below, for its options and its queues; never to be read or written.
    fn tcp(&self) -> &TcpStream;

    /// The socket below, if what it gives and takes is what the stream gives and takes: nothing has been read ahead, nothing
    /// waits to be written, and nothing is in between. Then the kernel may move the bytes.
    fn bare(&self) -> Option<&TcpStream> {
        None
    }

    /// Expects long transfers: whole [buffers](super::buffer) are written at once from now on.
    fn expect_bulk(&mut self) {}

    /// Ends our direction, after all that was written.
    ///
    /// `Whole` is FIN on TCP, close_notify and FIN on TLS. `Truncated` is FIN alone, so that a TLS peer is not told that
    /// what it got was all.
    fn poll_finish(self: Pin<&mut Self>, context: &mut Context<'_>, ending: Ending) -> Poll<io::Result<()>>;
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn bare(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn poll_finish(self: Pin<&mut Self>, context: &mut Context<'_>, _ending: Ending) -> Poll<io::Result<()>> {
        self.poll_shutdown(context)
    }
}
