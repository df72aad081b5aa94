use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Frame, SizeHint};

use super::disguise::remove_alike;
use super::one::Feed;
use super::parcel::{Parcel, Parcels, Takes};
use super::two::Intake;
use crate::head::Headers;

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
    pub fn empty() -> Self {
        Self::from(Source::Empty)
    }

    pub(super) fn http1(feed: Feed) -> Self {
        Self::from(Source::Http1(feed))
    }

    pub(super) fn http2(intake: Intake) -> Self {
        Self::from(Source::Http2(intake))
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

impl Parcels for Incoming {
    fn poll_parcel(&mut self, context: &mut Context<'_>, takes: Takes) -> Poll<Option<Result<Parcel, IncomingError>>> {
        let parcel = match &mut self.source {
            Source::Empty => None,
            Source::Http1(feed) => ready!(feed.poll_parcel(context, takes)),
            Source::Http2(intake) => ready!(intake.poll_frame(context)).map(|frame| frame.map(Parcel::Frame)),
        };
        if self.forbidden.is_empty() {
            return Poll::Ready(parcel);
        }
        Poll::Ready(parcel.map(|parcel| Ok(parcel?.map_frame(|frame| without(frame, &self.forbidden)))))
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let parcel = ready!(self.get_mut().poll_parcel(context, Takes::Frames));
        Poll::Ready(parcel.map(|parcel| parcel?.into_frame().map_err(|_| IncomingError::ClosedEarly)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Http1(feed) => feed.is_end(),
            Source::Http2(intake) => intake.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Http1(feed) => feed.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Http2(intake) => intake.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

fn without(frame: Frame<Bytes>, forbidden: &[HeaderName]) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => {
            let mut trailers = Headers::from(trailers);
            forbidden.iter().for_each(|name| remove_alike(&mut trailers, name));
            Frame::trailers(trailers.into())
        }
        Err(frame) => frame,
    }
}
