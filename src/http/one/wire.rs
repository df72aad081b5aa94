use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::task::coop;
use tokio::time::Instant;

use super::outbox::Outbox;
use super::piping::Piping;
use crate::connection::Connection;
use crate::http::rate::MinRate;
use crate::http::taking::Taking;
use crate::http::unacknowledged::{Due, Unacknowledged};
use crate::net::pipe::{Pipe, Spliced};
use crate::net::{Transport, sys};

/// What one read takes; the larger it is, the fewer calls a large body needs (measured: `docs/performance.md`).
const READ_BYTES: usize = 64 * 1024;

/// Reads up to this size are copied out of the thread's buffer, so that few bytes do not hold a large one.
const COPIED_MAX: usize = 2 * 1024;

/// How much of what goes through a pipe counts as one read of the task's turn, as in the relay: it takes a third of the time.
const PIPED_PER_READ: usize = 3 * READ_BYTES;

thread_local! {
    /// What the next read of this thread goes to. Idle connections hold none.
    static SCRATCH: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// How what was read is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// In memory of its own: a head may wait for its rest as long as `request_head` allows.
    Copied,
    /// In the memory that it was read to: a body goes on at once.
    Shared,
}

/// A stream with what has been read from it and not yet used, and what is still to be written to it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    /// The client's connection, if the stream is that: it counts the bytes.
    counted: Option<Arc<Connection>>,
    pub(super) inbox: BytesMut,
    pub(super) outbox: Outbox,
    unflushed: bool,
    stall: Option<Unacknowledged>,
    /// What the peer has to take on average, while it holds an answer up.
    least: Option<MinRate>,
    /// How much of the answer has been written.
    written: u64,
    taking: Option<Taking>,
    piping: Piping,
    touched: bool,
    wrote: bool,
    lost: bool,
    truncated: bool,
}

impl<S: Transport> Wire<S> {
    pub(super) fn new(stream: S, counted: Option<Arc<Connection>>) -> Self {
        Self {
            stream,
            counted,
            inbox: BytesMut::new(),
            outbox: Outbox::default(),
            unflushed: false,
            stall: None,
            least: None,
            written: 0,
            taking: None,
            piping: Piping::new(),
            touched: false,
            wrote: false,
            lost: false,
            truncated: false,
        }
    }

    /// Holds the peer to a rate, where there is one.
    pub(super) fn with_least(self, least: Option<MinRate>) -> Self {
        Self { least, ..self }
    }

    /// The stream, and what was read from it beyond the last message.
    pub(super) fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.inbox)
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Whether the peer has ever sent a byte.
    pub(super) fn touched(&self) -> bool {
        self.touched
    }

    /// Whether a byte has been written since [`Wire::next_request`].
    pub(super) fn wrote(&self) -> bool {
        self.wrote
    }

    /// Forgets that something has been written: another request begins.
    pub(super) fn next_request(&mut self) {
        self.wrote = false;
        self.outbox.piping = self.stream.bare().is_some();
    }

    /// Whether the peer's connection was reset, or broke in another way.
    pub(super) fn lost(&self) -> bool {
        self.lost
    }

    /// Whether the peer's TLS ended without close_notify, so that what came may be less than what was sent.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// What is to be done about a peer that takes nothing of what we have for it, if it does not, and when.
    pub(super) fn stalled(&self, patience: Duration) -> Option<Due> {
        self.stall.map(|stall| stall.due(patience))
    }

    /// Sees whether a peer that is waited for has taken anything.
    pub(super) fn look(&mut self) {
        let bytes = sys::unsent_bytes(self.stream.tcp()).unwrap_or(0);
        if let Some(stall) = &mut self.stall {
            stall.look(bytes, Instant::now());
        }
    }

    /// Whether the peer has reset its connection, as a look behind what it has sent and nobody has read tells.
    pub(super) fn is_reset(&mut self) -> bool {
        self.lost |= sys::peer(self.stream.tcp()).is_ok_and(|peer| peer == sys::Peer::Lost);
        self.lost
    }

    /// Another answer begins, whose rate is its own.
    pub(super) fn next_answer(&mut self) {
        self.taking = None;
        self.written = 0;
        self.outbox.piping = self.stream.bare().is_some();
    }

    /// When a peer that holds the answer up is too slow, if it has to keep to a rate. To be asked when nothing more can be
    /// written.
    pub(super) fn slow_at(&mut self) -> Option<Instant> {
        let (least, _stall, now) = (self.least?, self.stall?, Instant::now());
        let unsent = sys::unsent_bytes(self.stream.tcp()).unwrap_or(0) as u64;
        self.taking.get_or_insert_with(|| Taking::new(least, self.written, unsent, now)).held(unsent, now)
    }

    /// Reads once, behind what is in the inbox. Gives how many bytes have come; none is the end of the peer's direction.
    ///
    /// # Errors
    /// The peer's connection is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>, keep: Keep) -> Poll<io::Result<usize>> {
        if self.inbox.is_empty() {
            // It may be an empty slice of a large read, and the wait may be long.
            self.inbox = BytesMut::new();
        }
        // Nothing has come more often than not, and then no buffer is wanted. What is wrong with a socket its read tells.
        if let Some(socket) = self.stream.bare() {
            let _read_tells = ready!(socket.poll_read_ready(context));
        }
        let mut scratch = SCRATCH.take().unwrap_or_default();
        if scratch.capacity() < READ_BYTES / 2 {
            scratch.reserve(READ_BYTES);
        }
        let result = pin!(self.stream.read_buf(&mut scratch)).poll(context);
        if keep == Keep::Shared && self.inbox.is_empty() && scratch.len() > COPIED_MAX {
            self.inbox = scratch.split();
        } else {
            self.inbox.extend_from_slice(&scratch);
            scratch.clear();
        }
        SCRATCH.set(Some(scratch));
        Poll::Ready(self.has_come(ready!(result)))
    }

    /// Moves what comes next of a body into a pipe, at most the `left` bytes of it; no pipe is the end of the peer's direction.
    /// `None` if it is to be read instead: it is not worth a pipe, or the kernel does not do it.
    ///
    /// # Errors
    /// The peer's connection is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) fn poll_pipe(
        &mut self,
        context: &mut Context<'_>,
        left: Option<u64>,
    ) -> Option<Poll<io::Result<Option<Pipe>>>> {
        let left = left.filter(|left| self.inbox.is_empty() && self.piping.is_worth_it(*left))?;
        // It may be an empty slice of a large read.
        self.inbox = BytesMut::new();
        let socket = self.stream.bare()?;
        let Some(mut pipe) = Pipe::take() else {
            self.piping.had_none();
            return None;
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let result = match pipe.poll_fill(context, socket, most) {
            Poll::Ready(Spliced::Moved(count)) => Ok(count),
            Poll::Ready(Spliced::Failed(error)) => Err(error),
            Poll::Ready(Spliced::Refused) => {
                self.piping.was_refused();
                return None;
            }
            Poll::Pending => {
                pipe.give_back();
                return Some(Poll::Pending);
            }
        };
        // A turn of the task is to be no longer than if the bytes had been copied.
        for _more in 0..pipe.held() / PIPED_PER_READ {
            if let Poll::Ready(one) = coop::poll_proceed(context) {
                one.made_progress();
            }
        }
        let full = if pipe.held() > 0 {
            Some(pipe)
        } else {
            pipe.give_back();
            None
        };
        Some(Poll::Ready(self.has_come(result).map(|_count| full)))
    }

    /// Notes what a read has come to.
    fn has_come(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(0) => Ok(0),
            Ok(count) => {
                self.touched = true;
                self.piping.has_come(count);
                if let Some(connection) = &self.counted {
                    connection.traffic().add_in(count as u64);
                }
                Ok(count)
            }
            // TLS that ends without close_notify: between two messages it is an end like any other.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.truncated = true;
                Ok(0)
            }
            Err(error) => {
                self.lost = true;
                Err(error)
            }
        }
    }

    /// Writes until the outbox is empty and the peer's socket has all of it.
    ///
    /// # Errors
    /// The peer's connection is gone.
    ///
    /// # Cancel safety
    /// What was not written stays.
    pub(super) fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let result = self.outbox.poll_write(&mut self.stream, context);
            let written = ready!(self.noted(result))?;
            self.unflushed = true;
            self.wrote = true;
            self.written = self.written.saturating_add(written as u64);
            if let Some(connection) = &self.counted {
                connection.traffic().add_out(written as u64);
            }
            if let Some(taking) = &mut self.taking {
                taking.wrote(written as u64);
            }
        }
        if self.unflushed {
            let result = Pin::new(&mut self.stream).poll_flush(context);
            ready!(self.noted(result))?;
            self.unflushed = false;
        }
        if let Some(taking) = &mut self.taking {
            taking.flows(Instant::now());
        }
        Poll::Ready(Ok(()))
    }

    /// Notes what a write has come to.
    fn noted<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Pending if self.stall.is_some() => self.look(),
            Poll::Pending => {
                let bytes = sys::unsent_bytes(self.stream.tcp()).unwrap_or(0);
                self.stall = Some(Unacknowledged::begin(bytes, Instant::now()));
            }
            Poll::Ready(Ok(_)) => self.stall = None,
            Poll::Ready(Err(_)) => self.lost = true,
        }
        result
    }
}
