use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::agreed::Agreed;
use super::ahead::ReadAhead;
use super::certificate::Certificate;
use super::first::FirstRecords;
use super::policy::PolicyId;
use crate::name::HostName;
use crate::net::{Ending, Transport, buffer};

/// How much a stream takes before it has to be written to the socket, in bytes of plaintext: four records of the largest
/// size.
pub(super) const BUFFER_MAX: usize = 64 * 1024;

/// The same of one that is relayed: one system call takes what one read brings.
const BULK_BUFFER_MAX: usize = buffer::SIZE;

/// What is known of a TLS connection with a client.
#[derive(Clone, Debug)]
pub struct ClientSession {
    /// What the two agreed on.
    pub agreed: Agreed,
    /// The name that the client asked for.
    pub server_name: Option<HostName>,
    /// The certificate that it was shown; a request for a host that this does not cover is answered with 421.
    pub certificate: Arc<Certificate>,
    /// The settings that it was accepted under; a request for a route with others is answered with 421.
    pub policy: PolicyId,
    /// Whether it showed a certificate, which then has been verified.
    pub authenticated: bool,
}

/// A client's connection, decrypted.
///
/// A read of zero bytes is the client's close_notify; FIN without it is [`io::ErrorKind::UnexpectedEof`], the mark of
/// [`Ending::Truncated`]. After either the other direction still works. Written bytes may wait inside until
/// `poll_flush` or `poll_finish`. Dropping the stream sends no close_notify. A client that breaks TLS after the handshake
/// makes reads fail with [`io::ErrorKind::InvalidData`]; it is sent the alert.
///
/// Memory, measured: idle, with a read waiting, 6.6 KiB, of which 4 KiB are the read buffer and 1.2 KiB this struct; the
/// client's certificate chain comes on top if there is one. Under load up to two records (36 KiB) of input and 64 KiB that
/// have been read ahead, and 64 KiB of output that the socket does not take, 128 when relayed; all are given back by the next
/// read or flush that finds nothing more to do.
///
/// The first 14 KiB of a connection go out in records of a segment, all others in records of up to 16 KiB.
#[derive(Debug)]
pub struct ClientTls<S> {
    // Boxed: it is handed from stage to stage, each of which would carry the room for it as long as the connection lives.
    stream: Box<tokio_rustls::server::TlsStream<ReadAhead<S>>>,
    first: FirstRecords,
    /// What the next read fails with: the bytes that came before it were given first.
    failure: Option<io::Error>,
    session: Arc<ClientSession>,
}

impl<S> ClientTls<S> {
    pub(super) fn new(stream: tokio_rustls::server::TlsStream<ReadAhead<S>>, session: ClientSession) -> Self {
        Self { stream: Box::new(stream), first: FirstRecords::new(), failure: None, session: Arc::new(session) }
    }

    /// What is known of the connection.
    #[must_use]
    pub fn session(&self) -> &Arc<ClientSession> {
        &self.session
    }

    /// Gives up TLS, for [`close_in_order`](super::close_in_order) after [`Transport::poll_finish`].
    #[must_use]
    pub fn into_below(self) -> S {
        self.stream.into_inner().0.into_below()
    }
}

/// A connection to a target, decrypted. Reads, endings and memory (idle 8.5 KiB) are as with [`ClientTls`].
#[derive(Debug)]
pub struct TargetTls<S> {
    stream: tokio_rustls::client::TlsStream<ReadAhead<S>>,
    first: FirstRecords,
    /// As with [`ClientTls`].
    failure: Option<io::Error>,
    agreed: Agreed,
}

impl<S> TargetTls<S> {
    pub(super) fn new(stream: tokio_rustls::client::TlsStream<ReadAhead<S>>) -> Self {
        let agreed = Agreed::read(stream.get_ref().1);
        Self { stream, first: FirstRecords::new(), failure: None, agreed }
    }

    /// What was agreed on with the target.
    #[must_use]
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Gives up TLS, for [`close_in_order`](super::close_in_order) after [`Transport::poll_finish`].
    #[must_use]
    pub fn into_below(self) -> S {
        self.stream.into_inner().0.into_below()
    }
}

macro_rules! tls_transport {
    ($stream:ident) => {
        impl<S: Transport> $stream<S> {
            /// Writes as much as is to go out in small records; the socket may not have taken all of it.
            fn write_first(&mut self, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
                let taken = self.first.write(&mut self.stream.get_mut().1.writer(), slices)?;
                if taken > 0
                    && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
                {
                    flushed?;
                }
                Ok(taken)
            }
        }

        impl<S: Transport> AsyncRead for $stream<S> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                if let Some(error) = self.failure.take() {
                    return Poll::Ready(Err(error));
                }
                let mut before = buffer.filled().len();
                ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
                // The library gives one record at a time. What follows has been read already, and is for the same write.
                while buffer.filled().len() > before && buffer.remaining() > 0 && self.stream.get_ref().0.has_more() {
                    before = buffer.filled().len();
                    match Pin::new(&mut self.stream).poll_read(context, buffer) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => self.failure = Some(error),
                        Poll::Pending => break,
                    }
                }
                Poll::Ready(Ok(()))
            }
        }

        impl<S: Transport> AsyncBufRead for $stream<S> {
            fn poll_fill_buf(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
                if let Some(error) = self.failure.take() {
                    return Poll::Ready(Err(error));
                }
                Pin::new(&mut self.get_mut().stream).poll_fill_buf(context)
            }

            fn consume(mut self: Pin<&mut Self>, amount: usize) {
                Pin::new(&mut self.stream).consume(amount);
            }
        }

        impl<S: Transport> AsyncWrite for $stream<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let early = self.write_first(context, &[io::IoSlice::new(bytes)])?;
                if early > 0 {
                    return Poll::Ready(Ok(early));
                }
                Pin::new(&mut self.stream).poll_write(context, bytes)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let early = self.write_first(context, slices)?;
                if early > 0 {
                    return Poll::Ready(Ok(early));
                }
                Pin::new(&mut self.stream).poll_write_vectored(context, slices)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_flush(context)
            }

            /// The same as finishing whole.
            fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_shutdown(context)
            }
        }

        impl<S: Transport> Transport for $stream<S> {
            fn tcp(&self) -> &TcpStream {
                self.stream.get_ref().0.below().tcp()
            }

            fn expect_bulk(&mut self) {
                self.stream.get_mut().1.set_buffer_limit(Some(BULK_BUFFER_MAX));
            }

            fn poll_finish(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                ending: Ending,
            ) -> Poll<io::Result<()>> {
                match ending {
                    // close_notify, then what waits, then FIN.
                    Ending::Whole => Pin::new(&mut self.stream).poll_shutdown(context),
                    Ending::Truncated => {
                        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
                        let (below, _) = self.stream.get_mut();
                        Pin::new(below.below_mut()).poll_finish(context, ending)
                    }
                }
            }
        }
    };
}

tls_transport!(ClientTls);
tls_transport!(TargetTls);
