//! One direction of a relay: from a source to a sink.

mod splice;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::net::buffer::with_buffer;
use crate::net::pipe::Pipe;
use crate::net::{Ending, Transport};
use crate::outcome::Cause;

#[cfg(test)]
pub(super) use self::splice::EAGER;

/// Reads that one direction may do before it lets others run.
///
/// Eight of [`SHARE`] are 512 KiB, about 140 us at the measured 0.27 s/GB: so long may a busy connection delay the others
/// of its worker. More than that gains nothing, as the price of a wake-up is spread over 512 KiB.
pub(super) const TURN_READS: u32 = 8;

/// What counts as one read. A larger one counts as several.
pub(super) const SHARE: usize = 64 * 1024;

/// What a sink may hold when more is read for it: the largest TLS record (RFC 8446 section 5.1).
const LITTLE: usize = 16 * 1024;

/// One direction. It holds bytes only while its sink takes less than its source gave: at most what one read can take,
/// [`SIZE`](crate::net::buffer::SIZE) bytes in a buffer, or what one splice can take in a pipe. Nothing is read until that has gone.
#[derive(Debug)]
pub(super) struct Half {
    state: State,
    pending: Pending,
    /// KiB that have come in large reads, the last ones in a row; or the mark that the system refuses to splice.
    streak: u16,
    /// The sink may hold bytes that it has taken but not passed on, as TLS does.
    unflushed: bool,
    /// They are many, and go first: while they do not, the source is kept waiting.
    clogged: bool,
    /// The source's kernel connection has ended, behind bytes that have not been read.
    source_is_over: bool,
    /// Bytes have moved since [`Half::take_moved`] was asked last.
    moved: bool,
}

/// What the sink has not taken of the last read.
#[derive(Debug, Default)]
enum Pending {
    #[default]
    Nothing,
    /// From `sent` on.
    Bytes { bytes: Box<[u8]>, sent: u32 },
    /// In the kernel; the pipe is not empty.
    Piped(Pipe),
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Bytes flow. Of a source that is known to be `lost`, what it sent before is still to be read.
    Running { lost: bool },
    /// The source is over; its last bytes are on their way, and then the sink is told.
    Flushing(Last),
    /// The sink has been told that the source has ended.
    Finished,
    /// The sink has all bytes of a source that was lost, and has not been told that it was.
    Delivered,
    /// The sink takes no more; what was for it is gone.
    Abandoned,
}

/// What follows the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// The end of the direction.
    End(Ending),
    /// Nothing: the source was lost, which the sink must not take for an end.
    Loss,
}

/// What the other direction or the connection has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The turn is over, with more to do at once.
    Yielded,
    /// The source sends no more.
    Ended,
    /// The sink has been told so.
    Finished,
    /// The sink has all bytes, but could not be told that they were all.
    FinishFailed(Cause),
    /// The source's connection is gone.
    SourceLost(Cause),
    /// The sink's connection is gone.
    SinkLost(Cause),
    /// All that a lost source sent has been delivered.
    Delivered,
}

impl Half {
    pub(super) fn new() -> Self {
        let state = State::Running { lost: false };
        Self {
            state,
            pending: Pending::Nothing,
            streak: 0,
            unflushed: false,
            clogged: false,
            source_is_over: false,
            moved: false,
        }
    }

    /// Moves bytes until there is something to say, or nothing to do; `count` hears of each that the sink has taken. `last`
    /// says that the other direction has finished, so that both sockets are closed when this one has.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut impl Transport,
        sink: &mut impl Transport,
        reads_left: &mut u32,
        last: bool,
        count: impl Fn(u64),
    ) -> Poll<Event> {
        match self.state {
            State::Running { .. } => {
                if let Err(error) = ready!(self.poll_pending(context, sink, &count)) {
                    return Poll::Ready(self.sink_lost(&error));
                }
                // Where both sides are bare TCP sockets and the direction has shown that it is busy, bytes do not come
                // to us at all.
                if self.is_worth_a_pipe()
                    && let (Some(source), Some(sink)) = (source.bare(), sink.bare())
                    && let Some(polled) = self.poll_splice(context, source, sink, reads_left, &count)
                {
                    return polled;
                }
                with_buffer(|buffer| self.poll_shuttle(context, source, sink, buffer, reads_left, &count))
            }
            State::Flushing(word) => match ready!(self.poll_deliver(context, sink, &count)) {
                Ok(()) => self.poll_last(context, sink, word, last),
                Err(error) => Poll::Ready(self.sink_lost(&error)),
            },
            State::Finished | State::Delivered | State::Abandoned => Poll::Pending,
        }
    }

    /// The source is known to be lost: what it sent before is delivered, but its end is none.
    pub(super) fn source_is_lost(&mut self) {
        match self.state {
            State::Running { .. } => self.state = State::Running { lost: true },
            State::Flushing(_) => self.state = State::Flushing(Last::Loss),
            State::Finished | State::Delivered | State::Abandoned => {}
        }
    }

    /// The source has ended, though not all that it sent has been read.
    pub(super) fn source_is_over(&mut self) {
        self.source_is_over = true;
    }

    /// The sink takes no more.
    pub(super) fn abandon(&mut self) {
        self.state = State::Abandoned;
        self.pending = Pending::Nothing;
        (self.unflushed, self.clogged) = (false, false);
    }

    /// Whether bytes have moved since this was asked last.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether the source may still have something to say.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether the sink keeps the source waiting.
    pub(super) fn is_blocked(&self) -> bool {
        match self.pending {
            Pending::Nothing => self.clogged,
            Pending::Bytes { .. } | Pending::Piped(_) => true,
        }
    }

    /// Whether the source has ended, and its last bytes or the word of its end are what the sink has to take.
    pub(super) fn is_lingering(&self) -> bool {
        match self.state {
            State::Running { .. } => self.source_is_over && self.is_blocked(),
            State::Flushing(_) => true,
            State::Finished | State::Delivered | State::Abandoned => false,
        }
    }

    /// Whether there are bytes that the kernel has not taken for the sink.
    pub(super) fn is_undelivered(&self) -> bool {
        self.is_blocked() || self.unflushed
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match &self.pending {
            Pending::Nothing => 0,
            Pending::Bytes { bytes, .. } => bytes.len(),
            Pending::Piped(pipe) => pipe.held(),
        }
    }

    /// Reads and writes in turn, until one side has to be waited for.
    fn poll_shuttle(
        &mut self,
        context: &mut Context<'_>,
        source: &mut impl Transport,
        sink: &mut impl Transport,
        buffer: &mut [u8],
        reads_left: &mut u32,
        count: &impl Fn(u64),
    ) -> Poll<Event> {
        loop {
            if self.clogged {
                if let Err(error) = ready!(self.poll_flush(context, sink)) {
                    return Poll::Ready(self.sink_lost(&error));
                }
                self.clogged = false;
            }
            let Some(left) = reads_left.checked_sub(1) else { return Poll::Ready(Event::Yielded) };
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *source).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(self.ended(Ending::Whole)),
                Poll::Ready(Ok(())) => {}
                // What TLS says of a connection that ended without close_notify.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(self.ended(Ending::Truncated));
                }
                Poll::Ready(Err(error)) => {
                    self.state = State::Flushing(Last::Loss);
                    return Poll::Ready(Event::SourceLost(cause(&error)));
                }
                // Only now: as long as there is more to read, a later write takes the earlier bytes along.
                Poll::Pending => {
                    return match ready!(self.poll_flush(context, sink)) {
                        Ok(()) => Poll::Pending,
                        Err(error) => Poll::Ready(self.sink_lost(&error)),
                    };
                }
            }
            let mut rest = read.filled();
            let length = rest.len();
            *reads_left = left.saturating_sub(u32::try_from(length.saturating_sub(1) / SHARE).unwrap_or(u32::MAX));
            self.moved = true;
            self.has_come(length);
            while !rest.is_empty() {
                match self.poll_write(context, sink, rest, count) {
                    Poll::Ready(Ok(taken)) => rest = rest.get(taken..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Poll::Ready(self.sink_lost(&error)),
                    Poll::Pending => {
                        self.pending = Pending::Bytes { bytes: Box::from(rest), sent: 0 };
                        return Poll::Pending;
                    }
                }
            }
            // A sink that takes more than it passes on is let do that first: otherwise what is read next would be held beside
            // it, and leave in pieces of a record. Behind a little the source is read on: it may end with it.
            self.clogged = length > LITTLE && sink.bare().is_none();
            // The pipe is tried at once, not at the next wake-up: a fast source gives none.
            if self.is_worth_a_pipe() && source.bare().is_some() && sink.bare().is_some() {
                return Poll::Ready(Event::Yielded);
            }
        }
    }

    /// Ready when nothing is left of the last read; its buffer is freed then, its pipe given back.
    fn poll_pending(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl Transport,
        count: &impl Fn(u64),
    ) -> Poll<io::Result<()>> {
        // Out of `self` for the loop; put back when the sink keeps us waiting.
        match std::mem::take(&mut self.pending) {
            Pending::Nothing => return Poll::Ready(Ok(())),
            Pending::Bytes { bytes, sent } => return self.poll_bytes(context, sink, bytes, sent, count),
            Pending::Piped(pipe) => {
                if let Some(pipe) = ready!(self.poll_drain(context, pipe, sink.tcp(), count))? {
                    pipe.give_back();
                }
            }
        }
        // Now bytes, if anything.
        match std::mem::take(&mut self.pending) {
            Pending::Bytes { bytes, sent } => self.poll_bytes(context, sink, bytes, sent, count),
            Pending::Nothing | Pending::Piped(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl Transport,
        bytes: Box<[u8]>,
        mut sent: u32,
        count: &impl Fn(u64),
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = bytes.get(sent as usize..).filter(|rest| !rest.is_empty()) {
            match self.poll_write(context, sink, rest, count) {
                Poll::Ready(Ok(taken)) => sent = sent.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.pending = Pending::Bytes { bytes, sent };
                    return Poll::Pending;
                }
            }
        }
        self.clogged = bytes.len() > LITTLE && sink.bare().is_none();
        Poll::Ready(Ok(()))
    }

    /// Ready when all that was read is with the kernel.
    fn poll_deliver(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl Transport,
        count: &impl Fn(u64),
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context, sink, count))?;
        self.poll_flush(context, sink)
    }

    fn poll_last(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl Transport,
        word: Last,
        last: bool,
    ) -> Poll<Event> {
        let (state, event) = match word {
            Last::Loss => (State::Delivered, Event::Delivered),
            // The close that follows says it: nothing is left to be read, which would make it a reset.
            Last::End(_) if last && sink.bare().is_some() => (State::Finished, Event::Finished),
            Last::End(ending) => match ready!(Pin::new(sink).poll_finish(context, ending)) {
                Ok(()) => (State::Finished, Event::Finished),
                Err(error) => (State::Finished, Event::FinishFailed(cause(&error))),
            },
        };
        self.state = state;
        self.moved = true;
        Poll::Ready(event)
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl Transport,
        bytes: &[u8],
        count: &impl Fn(u64),
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(sink).poll_write(context, bytes))?;
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        count(taken as u64);
        self.moved = true;
        self.unflushed = true;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>, sink: &mut impl Transport) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(sink).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn ended(&mut self, ending: Ending) -> Event {
        let lost = self.state == State::Running { lost: true };
        self.state = State::Flushing(if lost { Last::Loss } else { Last::End(ending) });
        Event::Ended
    }

    fn sink_lost(&mut self, error: &io::Error) -> Event {
        self.abandon();
        Event::SinkLost(cause(error))
    }
}

/// What an error says of the connection that it came from.
fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        // The kernel gave up: nothing came back for what was sent, or the way there is gone.
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Cause::Unreachable
        }
        // How rustls reports an alert, or a record that is none.
        io::ErrorKind::InvalidData => Cause::ProtocolError,
        // ECONNRESET; EPIPE for a write after it; and what else ends a connection without FIN.
        _ => Cause::Reset,
    }
}
