use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frames::FrameBudget;
use crate::connection::Connection;
use crate::net::{Transport, sys};

/// An HTTP/2 client's stream under hyper, which notes what only the stream itself can tell: bytes moved, how the client
/// left, and since when it takes nothing.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    notebook: Arc<Notebook>,
    budget: FrameBudget,
}

/// What is known of the stream while hyper owns it.
#[derive(Debug, Default)]
pub(super) struct Notebook(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    stalled_since: Option<Instant>,
    /// What the client had not yet acknowledged when it was last asked for.
    unsent: Option<usize>,
    touched: bool,
    ended: bool,
    lost: bool,
    head: Option<HeadBegun>,
}

/// A head that has begun to come and is not whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadBegun {
    number: u64,
    pub(super) since: Instant,
    /// How much of it has come.
    pub(super) come: u64,
}

/// How the client stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The client has taken nothing of what we have for it since then.
    pub(super) stalled_since: Option<Instant>,
    /// It has sent something.
    pub(super) touched: bool,
    /// It has ended its direction.
    pub(super) ended: bool,
    /// Its connection was reset, or broke in another way.
    pub(super) lost: bool,
    pub(super) head: Option<HeadBegun>,
}

impl Notebook {
    pub(super) fn standing(&self) -> Standing {
        let notes = self.notes();
        Standing {
            stalled_since: notes.stalled_since,
            touched: notes.touched,
            ended: notes.ended,
            lost: notes.lost,
            head: notes.head,
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each note is set in one step, so it is right whatever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Transport> Watched<S> {
    pub(super) fn new(stream: S, connection: &Arc<Connection>, notebook: &Arc<Notebook>) -> Self {
        Self { stream, connection: Arc::clone(connection), notebook: Arc::clone(notebook), budget: FrameBudget::new() }
    }

    /// Notes what a write has come to.
    fn wrote<T>(&self, result: Poll<io::Result<T>>, count: impl FnOnce(&T) -> usize) -> Poll<io::Result<T>> {
        let mut notes = self.notebook.notes();
        match &result {
            Poll::Pending => {
                // A client that reads slowly acknowledges, long before there is room for another write.
                let unsent = sys::unsent_bytes(self.stream.tcp()).unwrap_or(0);
                let reads = notes.unsent.is_some_and(|before| unsent < before);
                if reads || notes.stalled_since.is_none() {
                    notes.stalled_since = Some(Instant::now());
                }
                notes.unsent = Some(unsent);
            }
            Poll::Ready(Ok(done)) => {
                notes.stalled_since = None;
                notes.unsent = None;
                let bytes = count(done);
                if bytes > 0 {
                    self.connection.traffic().add_out(bytes as u64);
                }
            }
            Poll::Ready(Err(_)) => notes.lost = true,
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
        let mut notes = this.notebook.notes();
        if let Err(error) = result {
            // TLS that ends without close_notify: at the boundary of a message it is an end like any other.
            let ended = error.kind() == io::ErrorKind::UnexpectedEof;
            notes.ended |= ended;
            notes.lost |= !ended;
            return Poll::Ready(Err(error));
        }
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() {
            notes.ended = true;
            return Poll::Ready(Ok(()));
        }
        notes.touched = true;
        this.connection.traffic().add_in(bytes.len() as u64);
        if !this.budget.received(bytes) {
            this.connection.set_error("the client sends frame after frame that ask for nothing");
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        notes.head = this.budget.head().map(|(number, come)| match notes.head {
            Some(begun) if begun.number == number => HeadBegun { come, ..begun },
            Some(_) | None => HeadBegun { number, since: Instant::now(), come },
        });
        Poll::Ready(Ok(()))
    }
}

impl<S: Transport> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &result {
            self.budget.sent(bytes.get(..*count).unwrap_or_default());
        }
        self.wrote(result, |count| *count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(count)) = &result {
            let mut left = *count;
            for slice in slices {
                let taken = slice.len().min(left);
                self.budget.sent(slice.get(..taken).unwrap_or_default());
                left = left.saturating_sub(taken);
            }
        }
        self.wrote(result, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when all has been written, so a flush that is ready means that the client has taken everything.
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(result, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wrote(result, |()| 0)
    }
}
