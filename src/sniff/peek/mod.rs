#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::client_hello::{ClientHello, HelloReader};
use super::preface::Preface;
use super::proxy_header::{ProxyHeader, ProxyHeaderFound};
use super::{Progress, SniffError};
use crate::net::Prefixed;
use crate::outcome::Phase;

/// The most that one read takes, and so the most that is held above the parsers' own limits.
///
/// A post-quantum ClientHello of 1.8 KB comes in one.
pub const READ_LENGTH_MAX: usize = 4096;

/// What a connection opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// TLS; its whole ClientHello has arrived.
    Tls(ClientHello),
    /// The beginning of an HTTP/1 request.
    Http1,
    /// The whole connection preface of HTTP/2.
    Http2,
    /// Bytes of something else.
    Other,
}

/// Reads the PROXY header in front of a connection, and takes it off.
///
/// `None` says for sure that there is none; whether there must be, and whether the peer may send one, is the caller's to
/// judge. What was read behind the header, or instead of it, comes out of the stream again.
///
/// # Errors
/// How the connection ended; see [`SniffError::outcome`]. The stream is closed.
///
/// # Cancel safety
/// None: dropping the future drops the stream, which closes the connection.
pub async fn read_proxy_header<S: AsyncRead + Unpin>(
    stream: S,
    deadline: Instant,
) -> Result<(Option<ProxyHeader>, Prefixed<S>), SniffError> {
    let mut peek = Peek::new(Prefixed::untouched(stream), Phase::ProxyHeader);
    let found = peek.read_until(deadline, |received| Ok(ProxyHeader::read(received)?)).await?;
    Ok(match found {
        Some(ProxyHeaderFound { header, length }) => (Some(header), peek.finish(length)),
        None => (None, peek.finish(0)),
    })
}

/// Learns what a connection speaks.
///
/// Every byte that was read comes out of the stream again.
///
/// # Errors
/// How the connection ended; see [`SniffError::outcome`]. The stream is closed.
///
/// # Cancel safety
/// None: dropping the future drops the stream, which closes the connection.
pub async fn read_opening<S: AsyncRead + Unpin>(
    stream: Prefixed<S>,
    deadline: Instant,
) -> Result<(Opening, Prefixed<S>), SniffError> {
    let mut peek = Peek::new(stream, Phase::Sniff);
    let mut hello = HelloReader::new();
    let opening = peek
        .read_until(deadline, |received| match Preface::read(received) {
            Progress::NeedMore => Ok(Progress::NeedMore),
            Progress::Done(Preface::Tls) => Ok(match hello.advance(received)? {
                Progress::NeedMore => Progress::NeedMore,
                Progress::Done(hello) => Progress::Done(Opening::Tls(hello)),
            }),
            Progress::Done(Preface::Http1) => Ok(Progress::Done(Opening::Http1)),
            Progress::Done(Preface::Http2) => Ok(Progress::Done(Opening::Http2)),
            Progress::Done(Preface::Other) => Ok(Progress::Done(Opening::Other)),
        })
        .await?;
    Ok((opening, peek.finish(0)))
}

/// A stream and what has been read ahead from it.
struct Peek<S> {
    received: BytesMut,
    stream: S,
    phase: Phase,
}

impl<S: AsyncRead + Unpin> Peek<S> {
    fn new(stream: Prefixed<S>, phase: Phase) -> Self {
        let (prefix, stream) = stream.into_parts();
        // No copy where the prefix is held nowhere else, as the one of an earlier stage is not.
        Self { received: BytesMut::from(prefix), stream, phase }
    }

    /// Reads until `parse` has an answer, which its own limits force.
    async fn read_until<T>(
        &mut self,
        deadline: Instant,
        mut parse: impl FnMut(&[u8]) -> Result<Progress<T>, SniffError>,
    ) -> Result<T, SniffError> {
        let phase = self.phase;
        let reading = async {
            loop {
                if let Progress::Done(answer) = parse(&self.received)? {
                    return Ok(answer);
                }
                if self.read().await.map_err(|error| SniffError::read(phase, error))? == 0 {
                    let empty = self.received.is_empty();
                    return Err(if empty { SniffError::Empty { phase } } else { SniffError::ClosedEarly { phase } });
                }
            }
        };
        timeout_at(deadline, reading).await.unwrap_or(Err(SniffError::Timeout { phase }))
    }

    /// Reads once; 0 is the end of the stream.
    ///
    /// The bytes go through the stack, so that a connection holds no buffer before its first byte, nor one larger than needed.
    async fn read(&mut self) -> io::Result<usize> {
        poll_fn(|context| {
            let mut space = [MaybeUninit::uninit(); READ_LENGTH_MAX];
            let mut chunk = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk))?;
            self.received.extend_from_slice(chunk.filled());
            Poll::Ready(Ok(chunk.filled().len()))
        })
        .await
    }

    /// The stream, with all that was read put back but the first `consumed` bytes.
    fn finish(self, consumed: usize) -> Prefixed<S> {
        let mut received = self.received.freeze();
        let _consumed = received.split_to(consumed.min(received.len()));
        Prefixed::new(received, self.stream)
    }
}
