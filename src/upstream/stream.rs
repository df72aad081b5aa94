use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
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
    Plain {
        stream: TcpStream,
        /// Nothing has been written: the runtime may not have heard yet that it can be.
        fresh: bool,
    },
    /// Inside TLS.
    Tls(Box<TargetTls<TcpStream>>),
}

impl Stream {
    pub(super) fn plain(stream: TcpStream, claim: Claim) -> Self {
        Self { bytes: Bytes::Plain { stream, fresh: true }, claim }
    }

    pub(super) fn tls(stream: TargetTls<TcpStream>, claim: Claim) -> Self {
        Self { bytes: Bytes::Tls(Box::new(stream)), claim }
    }

    /// What TLS with the target came to, if there is any.
    #[must_use]
    pub fn agreed(&self) -> Option<&Agreed> {
        match &self.bytes {
            Bytes::Plain { .. } => None,
            Bytes::Tls(stream) => Some(stream.agreed()),
        }
    }

    /// The first write tries the socket itself, without asking the runtime, which hears of a socket's readiness only after
    /// its task has been left. Nothing, if it has to be waited for.
    fn write_early(&mut self, write: impl FnOnce(SockRef<'_>) -> io::Result<usize>) -> Option<io::Result<usize>> {
        let Bytes::Plain { stream, fresh } = &mut self.bytes else { return None };
        if !std::mem::take(fresh) {
            return None;
        }
        match write(SockRef::from(&*stream)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
            done => Some(done),
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
            Bytes::Plain { stream, .. } => Pin::new(stream).$method($($argument),*),
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
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.write_early(|socket| socket.send_with_flags(bytes, libc::MSG_NOSIGNAL)) {
            Some(written) => Poll::Ready(written),
            None => forward!(self, poll_write, context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.write_early(|socket| socket.send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)) {
            Some(written) => Poll::Ready(written),
            None => forward!(self, poll_write_vectored, context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain { stream, .. } => stream.is_write_vectored(),
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
            Bytes::Plain { stream, .. } => stream,
            Bytes::Tls(stream) => stream.tcp(),
        }
    }

    fn bare(&self) -> Option<&TcpStream> {
        match &self.bytes {
            Bytes::Plain { stream, .. } => Some(stream),
            Bytes::Tls(_) => None,
        }
    }

    fn expect_bulk(&mut self) {
        match &mut self.bytes {
            Bytes::Plain { stream, .. } => stream.expect_bulk(),
            Bytes::Tls(stream) => stream.expect_bulk(),
        }
    }

    fn poll_finish(self: Pin<&mut Self>, context: &mut Context<'_>, ending: Ending) -> Poll<io::Result<()>> {
        forward!(self, poll_finish, context, ending)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A stream of which the runtime has not heard anything yet, and its other end.
    async fn fresh() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_nonblocking(true).unwrap();
        let near = TcpStream::from_std(near).unwrap();
        let claim = Claim::new(&near, Owner::Target(1));
        (Stream::plain(near, claim), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_first_write_does_not_wait_for_the_runtime_and_all_that_was_written_arrives_in_order() {
        let mut context = Context::from_waker(Waker::noop());
        for vectored in [false, true] {
            let (mut stream, mut far) = fresh().await;
            let stream = pin!(&mut stream);
            let written = match vectored {
                false => stream.poll_write(&mut context, b"hello "),
                true => {
                    let slices = [io::IoSlice::new(b"hel"), io::IoSlice::new(b"lo ")];
                    stream.poll_write_vectored(&mut context, &slices)
                }
            };
            assert!(matches!(written, Poll::Ready(Ok(6))), "{written:?}");
            let mut seen = [0; 6];
            far.read_exact(&mut seen).await.unwrap();
            assert_eq!(&seen, b"hello ");
        }
    }

    #[tokio::test]
    async fn a_first_write_that_the_socket_takes_only_part_of_is_waited_for_as_any_other() {
        const LENGTH: usize = 32 * 1024 * 1024;
        let (mut stream, mut far) = fresh().await;
        let writing = tokio::spawn(async move {
            stream.write_all(&vec![7; LENGTH]).await.unwrap();
        });
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert!(seen.len() == LENGTH && seen.iter().all(|byte| *byte == 7));
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn a_first_write_to_a_peer_that_has_reset_is_an_error() {
        let mut context = Context::from_waker(Waker::noop());
        let (mut stream, far) = fresh().await;
        crate::net::reset_on_close(&far);
        drop(far);
        let written = pin!(&mut stream).poll_write(&mut context, b"hello");
        assert!(matches!(written, Poll::Ready(Err(_))), "{written:?}");
    }
}
