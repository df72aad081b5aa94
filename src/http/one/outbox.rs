use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};

use crate::http::parcel::Takes;
use crate::net::Transport;
use crate::net::pipe::{Pipe, Spliced};

/// Data up to this size are copied behind what waits already, so that a head and a small body are one write, and one TLS
/// record. Copying this much costs less than a second slice of a vectored write.
const COPIED_MAX: usize = 4 * 1024;

/// What has been encoded and not yet written: small pieces in one buffer, then at most one large piece of a body, and what
/// follows it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    before: BytesMut,
    large: Large,
    after: BytesMut,
    /// How much of `before` and `after` is a body's, at most: it lies between heads and chunk sizes.
    copied: usize,
    /// The kernel may move data from a pipe to the stream.
    pub(super) piping: bool,
}

/// A large piece of a body.
#[derive(Debug)]
pub(super) enum Large {
    Bytes(Bytes),
    /// A pipe that is not empty.
    Piped(Pipe),
}

impl Large {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Piped(pipe) => pipe.held(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Large {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.large.is_empty() && self.after.is_empty()
    }

    /// Whether another piece of a body may be put in: what a peer does not take is not read from the other one either.
    pub(super) fn has_room(&self) -> bool {
        self.large.is_empty() && self.before.len() < COPIED_MAX
    }

    /// What a body may give: a pipe only where nothing waits that could go out in one write with bytes.
    pub(super) fn takes(&self) -> Takes {
        if self.piping && self.is_empty() { Takes::Pipes } else { Takes::Frames }
    }

    /// Where heads, chunk sizes and line ends are written to.
    pub(super) fn text(&mut self) -> &mut BytesMut {
        if self.large.is_empty() { &mut self.before } else { &mut self.after }
    }

    /// Puts data of a body in, for which there has to be room.
    pub(super) fn push(&mut self, data: Large) {
        match data {
            Large::Bytes(bytes) if !self.large.is_empty() || bytes.len() <= COPIED_MAX => {
                self.text().extend_from_slice(&bytes);
                self.copied += bytes.len();
            }
            Large::Bytes(_) | Large::Piped(_) => {
                debug_assert!(self.large.is_empty());
                self.large = data;
            }
        }
    }

    /// How much of a body waits to be written. What frames it may count for it: the peer is not said to have had more than
    /// it had.
    pub(super) fn payload(&self) -> usize {
        self.large.len() + self.copied.min(self.before.len() + self.after.len())
    }

    /// Writes once. Gives how many bytes that was.
    ///
    /// # Errors
    /// The peer's connection is gone.
    ///
    /// # Cancel safety
    /// What was not written stays.
    pub(super) fn poll_write<S: Transport>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let written = match &self.large {
            Large::Piped(_) if self.before.is_empty() => return self.poll_splice(stream, context),
            Large::Bytes(data) if !data.is_empty() => {
                if self.before.is_empty() && self.after.is_empty() {
                    ready!(Pin::new(stream).poll_write(context, data))
                } else {
                    let slices = [IoSlice::new(&self.before), IoSlice::new(data), IoSlice::new(&self.after)];
                    ready!(Pin::new(stream).poll_write_vectored(context, &slices))
                }
            }
            Large::Bytes(_) | Large::Piped(_) => ready!(Pin::new(stream).poll_write(context, &self.before)),
        }?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    /// Writes once what is in the pipe. It becomes bytes where the kernel does not do that.
    fn poll_splice<S: Transport>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Large::Piped(pipe) = &mut self.large else { return Poll::Ready(Ok(0)) };
        let spliced = stream.bare().map_or(Poll::Ready(Spliced::Refused), |socket| pipe.poll_drain(context, socket));
        match ready!(spliced) {
            Spliced::Moved(moved) => {
                self.advance(0);
                Poll::Ready(Ok(moved))
            }
            Spliced::Failed(error) => Poll::Ready(Err(error)),
            Spliced::Refused => {
                self.piping = false;
                if let Large::Piped(pipe) = std::mem::take(&mut self.large) {
                    self.large = Large::Bytes(pipe.into_bytes()?.into());
                }
                self.poll_write(stream, context)
            }
        }
    }

    fn advance(&mut self, written: usize) {
        let mut left = written;
        let before = self.before.len().min(left);
        self.before.advance(before);
        left = left.saturating_sub(before);
        if let Large::Bytes(data) = &mut self.large {
            let taken = data.len().min(left);
            data.advance(taken);
            left = left.saturating_sub(taken);
            self.after.advance(self.after.len().min(left));
        }
        if self.large.is_empty() {
            // An empty slice of a large read would hold all of it, and another may want the pipe.
            match std::mem::take(&mut self.large) {
                Large::Bytes(_) => {}
                Large::Piped(pipe) => pipe.give_back(),
            }
            if self.before.is_empty() {
                std::mem::swap(&mut self.before, &mut self.after);
                self.after = BytesMut::new();
            }
        }
        self.copied = self.copied.min(self.before.len() + self.after.len());
    }

    /// Gives its memory back, for a connection that waits for its next message.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}
