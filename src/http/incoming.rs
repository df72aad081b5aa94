use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::one::Feed;
use super::two::Intake;

/// What is read and thrown away of a body that nobody wanted.
pub(super) const DISCARDED_MAX: u64 = 256 * 1024;

/// The body of a client's request as it comes, by whatever protocol.
#[derive(Debug)]
pub struct Incoming(Source);

#[derive(Debug)]
enum Source {
    /// There is none.
    Empty,
    /// From an HTTP/1 connection.
    Http1(Feed),
    /// From a stream of an HTTP/2 connection.
    Http2(Intake),
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
    pub const fn empty() -> Self {
        Self(Source::Empty)
    }

    pub(super) const fn http1(feed: Feed) -> Self {
        Self(Source::Http1(feed))
    }

    pub(super) const fn http2(intake: Intake) -> Self {
        Self(Source::Http2(intake))
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match &mut self.get_mut().0 {
            Source::Empty => Poll::Ready(None),
            Source::Http1(feed) => feed.poll_frame(context),
            Source::Http2(intake) => intake.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Empty => true,
            Source::Http1(feed) => feed.is_end(),
            Source::Http2(intake) => intake.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Empty => SizeHint::with_exact(0),
            Source::Http1(feed) => feed.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Http2(intake) => intake.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
