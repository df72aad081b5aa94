use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Data up to this size are copied behind what waits already, so that a head and a small body are one write, and one TLS
/// record. Copying this much costs less than a second slice of a vectored write.
const COPIED_MAX: usize = 4 * 1024;

/// What has been encoded and not yet written: small pieces in one buffer, then at most one large piece of a body, and what
/// follows it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    before: BytesMut,
    data: Bytes,
    after: BytesMut,
    /// How much of `before` and `after` is a body's, at most: it lies between heads and chunk sizes.
    copied: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.data.is_empty() && self.after.is_empty()
    }

    /// Whether another piece of a body may be put in: what a peer does not take is not read from the other one either.
    pub(super) fn has_room(&self) -> bool {
        self.data.is_empty() && self.before.len() < COPIED_MAX
    }

    /// Where heads, chunk sizes and line ends are written to.
    pub(super) fn text(&mut self) -> &mut BytesMut {
        if self.data.is_empty() { &mut self.before } else { &mut self.after }
    }

    /// Puts data of a body in.
    pub(super) fn push(&mut self, data: Bytes) {
        if self.data.is_empty() && data.len() > COPIED_MAX {
            self.data = data;
        } else {
            self.text().extend_from_slice(&data);
            self.copied += data.len();
        }
    }

    /// How much of a body waits to be written. What frames it may count for it: the peer is not said to have had more than
    /// it had.
    pub(super) fn payload(&self) -> usize {
        self.data.len() + self.copied.min(self.before.len() + self.after.len())
    }

    /// Writes once. Gives how many bytes that was.
    ///
    /// # Errors
    /// The peer's connection is gone.
    ///
    /// # Cancel safety
    /// What was not written stays.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        let written = if self.data.is_empty() {
            ready!(stream.poll_write(context, &self.before))
        } else if self.before.is_empty() && self.after.is_empty() {
            ready!(stream.poll_write(context, &self.data))
        } else {
            let slices = [IoSlice::new(&self.before), IoSlice::new(&self.data), IoSlice::new(&self.after)];
            ready!(stream.poll_write_vectored(context, &slices))
        }?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, written: usize) {
        let mut left = written;
        let before = self.before.len().min(left);
        self.before.advance(before);
        left = left.saturating_sub(before);
        let data = self.data.len().min(left);
        self.data.advance(data);
        left = left.saturating_sub(data);
        self.after.advance(self.after.len().min(left));
        if self.data.is_empty() {
            // An empty slice of a large read would hold all of it.
            self.data = Bytes::new();
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
