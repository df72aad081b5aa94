use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::Frame;

use super::ties::Ties;
use crate::http::incoming::IncomingError;

/// The body of a request as it comes on its stream.
///
/// What has been given out makes room for more when it has been taken, which is when the next piece is asked for.
#[derive(Debug)]
pub(in crate::http) struct Intake {
    /// None when all of it has come, or nothing more will.
    stream: Option<RecvStream>,
    /// What is still to come, if that is known.
    left: Option<u64>,
    /// What was given out last, and counts against the client's window.
    owed: usize,
    /// Only trailers may come.
    drained: bool,
    ties: Ties,
}

impl Intake {
    pub(super) fn new(stream: RecvStream, left: Option<u64>, ties: &Ties) -> Self {
        Self { stream: Some(stream), left, owed: 0, drained: false, ties: ties.clone() }
    }

    pub(in crate::http) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        self.settle();
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        while !self.drained {
            match stream.poll_data(context) {
                Poll::Pending => {
                    self.ties.want();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => {
                    self.owed = data.len();
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(error))) => return self.fail(&error),
                Poll::Ready(None) => self.drained = true,
            }
        }
        match ready!(stream.poll_trailers(context)) {
            Ok(trailers) => {
                self.stream = None;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whether all of it has been given out.
    pub(in crate::http) fn is_end(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    /// What is still to come, if that is known.
    pub(in crate::http) fn left(&self) -> Option<u64> {
        if self.is_end() { Some(0) } else { self.left }
    }

    fn fail(&mut self, error: &h2::Error) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        tracing::debug!(%error, "a request's body has broken off");
        self.stream = None;
        Poll::Ready(Some(Err(blame(error))))
    }

    /// Lets the client send as much as was given out last.
    fn settle(&mut self) {
        release(self.stream.as_mut(), std::mem::take(&mut self.owed));
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.settle();
        if let Some(stream) = self.stream.take()
            && !stream.is_end_stream()
        {
            self.ties.leave(stream);
        }
    }
}

/// Gives a client room on its stream for what has been taken from it.
pub(super) fn release(stream: Option<&mut RecvStream>, bytes: usize) {
    if let Some(stream) = stream
        && bytes > 0
    {
        // Of a stream that is over nothing is to be released.
        let _over = stream.flow_control().release_capacity(bytes);
    }
}

fn blame(error: &h2::Error) -> IncomingError {
    match error.get_io().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset) => IncomingError::Reset,
        Some(_) => IncomingError::ClosedEarly,
        // More or less than content-length says, for instance: the h2 crate has reset the stream for it.
        None if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) => IncomingError::Malformed,
        None => IncomingError::ClosedEarly,
    }
}
