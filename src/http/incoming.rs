use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Frame, SizeHint};

use super::disguise::remove_alike;
use super::one::Feed;

/// What is read and thrown away of a body that nobody wanted.
pub(super) const DISCARDED_MAX: u64 = 256 * 1024;

/// The body of a client's request as it comes, by whatever protocol.
#[derive(Debug)]
pub struct Incoming {
    source: Source,
    /// Trailer fields that somebody else than the client has to say.
    forbidden: Vec<HeaderName>,
}

#[derive(Debug)]
enum Source {
    /// There is none.
    Empty,
    /// From an HTTP/1 connection.
    Http1(Feed),
    /// From a stream of an HTTP/2 connection.
    Http2(hyper::body::Incoming, Leftover),
}

/// Where the body of an HTTP/2 request goes that nobody has read to its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Leftover(Arc<Mutex<Option<hyper::body::Incoming>>>);

impl Leftover {
    /// Reads what is left and throws it away, up to a limit; to be called when the request has been answered.
    ///
    /// A stream whose body is dropped is reset, and some clients (curl 7.88) then take no notice of the answer.
    pub(super) async fn discard(self) {
        let Some(mut body) = self.slot().take() else { return };
        let mut left = DISCARDED_MAX;
        while let Some(Ok(frame)) = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }

    /// Whether there is something to throw away.
    pub(super) fn is_there(&self) -> bool {
        self.slot().is_some()
    }

    fn slot(&self) -> MutexGuard<'_, Option<hyper::body::Incoming>> {
        // Each change is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Source::Http2(body, leftover) = std::mem::replace(&mut self.source, Source::Empty)
            && !http_body::Body::is_end_stream(&body)
        {
            *leftover.slot() = Some(body);
        }
    }
}

/// Why a client's body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncomingError {
    /// Its framing is broken.
    #[error("the request body's framing is broken")]
    Malformed,
    /// The client reset its connection or its stream.
    #[error("the client has reset its connection")]
    Reset,
    /// The client's connection ended in the middle of the body.
    #[error("the client has closed its connection")]
    ClosedEarly,
}

impl Incoming {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(Source::Empty)
    }

    pub(super) fn http1(feed: Feed) -> Self {
        Self::from(Source::Http1(feed))
    }

    pub(super) fn http2(body: hyper::body::Incoming, leftover: &Leftover) -> Self {
        Self::from(Source::Http2(body, leftover.clone()))
    }

    fn from(source: Source) -> Self {
        Self { source, forbidden: Vec::new() }
    }

    /// Takes these fields, and those that read the same, from the trailers that may come: a target may put them to the
    /// others (RFC 9110 section 6.5.1).
    pub(super) fn forbid_trailers<'a>(&mut self, names: impl IntoIterator<Item = &'a HeaderName>) {
        self.forbidden.extend(names.into_iter().cloned());
    }
}

impl Incoming {
    /// Whether another task than the one that serves the client may take what comes: an HTTP/1 connection reads for those
    /// that it polls itself.
    pub(super) const fn can_leave(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Http2(_, _) => true,
            Source::Http1(_) => false,
        }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Empty => None,
            Source::Http1(feed) => ready!(feed.poll_frame(context)),
            Source::Http2(body, _) => {
                ready!(Pin::new(body).poll_frame(context)).map(|frame| frame.map_err(|error| blame(&error)))
            }
        };
        if this.forbidden.is_empty() {
            return Poll::Ready(frame);
        }
        Poll::Ready(frame.map(|frame| frame.map(|frame| without(frame, &this.forbidden))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Http1(feed) => feed.is_end(),
            Source::Http2(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Http1(feed) => feed.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Http2(body, _) => body.size_hint(),
        }
    }
}

fn without(frame: Frame<Bytes>, forbidden: &[HeaderName]) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            forbidden.iter().for_each(|name| remove_alike(&mut trailers, name));
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

fn blame(error: &hyper::Error) -> IncomingError {
    let system = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match system.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => IncomingError::Malformed,
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => IncomingError::Reset,
        Some(_) | None => IncomingError::ClosedEarly,
    }
}
