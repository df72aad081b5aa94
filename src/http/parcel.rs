use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use crate::net::pipe::Pipe;

/// What a body gives at once.
#[derive(Debug)]
pub(super) enum Parcel {
    Frame(Frame<Bytes>),
    /// Data that we have not seen; the pipe is not empty.
    Piped(Pipe),
}

/// What is taken by who asks a body for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Frames,
    /// Frames, and data in pipes.
    Pipes,
}

/// A body that can give its data in pipes.
pub(super) trait Parcels: http_body::Body<Data = Bytes> {
    /// As [`poll_frame`](http_body::Body::poll_frame), for one who `takes` more than frames.
    ///
    /// # Errors
    /// Those of `poll_frame`.
    fn poll_parcel(&mut self, context: &mut Context<'_>, takes: Takes) -> Poll<Option<Result<Parcel, Self::Error>>>;
}

impl Parcel {
    /// How much of a body's data it is.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.data_ref().map_or(0, Bytes::len),
            Self::Piped(pipe) => pipe.held(),
        }
    }

    /// Changes what is no data in a pipe.
    pub(super) fn map_frame(self, change: impl FnOnce(Frame<Bytes>) -> Frame<Bytes>) -> Self {
        match self {
            Self::Frame(frame) => Self::Frame(change(frame)),
            Self::Piped(pipe) => Self::Piped(pipe),
        }
    }

    /// The same as bytes.
    ///
    /// # Errors
    /// The system's, which has no reason for one.
    pub(super) fn into_frame(self) -> io::Result<Frame<Bytes>> {
        match self {
            Self::Frame(frame) => Ok(frame),
            Self::Piped(pipe) => Ok(Frame::data(pipe.into_bytes()?.into())),
        }
    }
}
