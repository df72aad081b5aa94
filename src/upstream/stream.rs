use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::net::{Claim, Ending, Owner, Transport};
use crate::tls::{Agreed, TargetTls};

/// A connection to a target.
#[derive(Debug)]
pub struct Stream {
    bytes: Bytes,
    // After the socket.
    claim: Claim,
}

#[derive(Debug)]
enum Bytes {
    /// As they are.
    Plain(TcpStream),
    /// Inside TLS.
    Tls(Box<TargetTls<TcpStream>>),
}

impl Stream {
    pub(super) fn plain(stream: TcpStream, claim: Claim) -> Self {
        Self { bytes: Bytes::Plain(stream), claim }
    }

    pub(super) fn tls(stream: TargetTls<TcpStream>, claim: Claim) -> Self {
        Self { bytes: Bytes::Tls(Box::new(stream)), claim }
    }

    /// What TLS with the target came to, if there is any.
    #[must_use]
    pub fn agreed(&self) -> Option<&Agreed> {
        match &self.bytes {
            Bytes::Plain(_) => None,
            Bytes::Tls(stream) => Some(stream.agreed()),
        }
    }

    /// Says whose its socket is from now on.
    pub fn assign(&self, owner: Owner) {
        self.claim.assign(owner);
    }
}

macro_rules! forward {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match &mut $self.get_mut().bytes {
            Bytes::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, poll_write, context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, poll_write_vectored, context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(stream) => stream.is_write_vectored(),
            Bytes::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_shutdown, context)
    }
}

impl Transport for Stream {
    fn tcp(&self) -> &TcpStream {
        match &self.bytes {
            Bytes::Plain(stream) => stream,
            Bytes::Tls(stream) => stream.tcp(),
        }
    }

    fn bare(&self) -> Option<&TcpStream> {
        match &self.bytes {
            Bytes::Plain(stream) => Some(stream),
            Bytes::Tls(_) => None,
        }
    }

    fn expect_bulk(&mut self) {
        match &mut self.bytes {
            Bytes::Plain(stream) => stream.expect_bulk(),
            Bytes::Tls(stream) => stream.expect_bulk(),
        }
    }

    fn poll_finish(self: Pin<&mut Self>, context: &mut Context<'_>, ending: Ending) -> Poll<io::Result<()>> {
        forward!(self, poll_finish, context, ending)
    }
}
