//! Bytes that are moved by the kernel, and never come to us.

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::{Event, Half, Last, Pending, SHARE, State, cause};
use crate::net::Ending;
use crate::net::pipe::{self, Pipe, Spliced};

/// What a read has to bring for the next ones to be worth a pipe, if they are like it. Smaller ones are copied for less than
/// the two calls more cost that a pipe may need.
const LARGE_READ: usize = 8 * 1024;

/// How much has to have come in large reads, one after the other, before bytes go through a pipe (`docs/performance.md`).
const SPLICE_AFTER: u16 = 128;

/// How much of a splice counts as one read of [`TURN_READS`](super::TURN_READS): it takes a third of the time of a copy.
const SPLICED_PER_READ: usize = 3 * SHARE;

/// The mark of a direction that has to be copied.
const NEVER: u16 = u16::MAX;

impl Half {
    /// Moves bytes through a pipe, until one side has to be waited for; nothing, if they have to be copied. The pipe is held
    /// only while there is something in it.
    pub(super) fn poll_splice(
        &mut self,
        context: &mut Context<'_>,
        source: &TcpStream,
        sink: &TcpStream,
        reads_left: &mut u32,
        count: &impl Fn(u64),
    ) -> Option<Poll<Event>> {
        let Some(mut pipe) = Pipe::take() else {
            // There may be one later.
            self.streak = 0;
            return None;
        };
        // A socket passes on what it takes.
        self.unflushed = false;
        loop {
            let Some(left) = reads_left.checked_sub(1) else {
                pipe.give_back();
                return Some(Poll::Ready(Event::Yielded));
            };
            match pipe.poll_fill(context, source, pipe::SIZE) {
                Poll::Ready(Spliced::Moved(0)) => {
                    pipe.give_back();
                    return Some(Poll::Ready(self.ended(Ending::Whole)));
                }
                Poll::Ready(Spliced::Moved(moved)) => {
                    *reads_left = left.saturating_sub(u32::try_from(moved / SPLICED_PER_READ).unwrap_or(u32::MAX));
                    self.moved = true;
                    self.has_come(moved);
                }
                Poll::Ready(Spliced::Refused) => {
                    self.streak = NEVER;
                    return None;
                }
                Poll::Ready(Spliced::Failed(error)) => {
                    pipe.give_back();
                    self.state = State::Flushing(Last::Loss);
                    return Some(Poll::Ready(Event::SourceLost(cause(&error))));
                }
                Poll::Pending => {
                    pipe.give_back();
                    return Some(Poll::Pending);
                }
            }
            match self.poll_drain(context, pipe, sink, count) {
                Poll::Ready(Ok(Some(drained))) => pipe = drained,
                // What was in it has to be copied now, as all that comes after.
                Poll::Ready(Ok(None)) => return Some(Poll::Ready(Event::Yielded)),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(self.sink_lost(&error))),
                Poll::Pending => return Some(Poll::Pending),
            }
            if !self.is_worth_a_pipe() {
                pipe.give_back();
                return None;
            }
        }
    }

    /// Ready with the pipe when it is empty, and without one when what is left of it has become bytes. A pipe whose sink is
    /// lost is closed.
    pub(super) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        mut pipe: Pipe,
        sink: &TcpStream,
        count: &impl Fn(u64),
    ) -> Poll<io::Result<Option<Pipe>>> {
        while pipe.held() > 0 {
            match pipe.poll_drain(context, sink) {
                Poll::Ready(Spliced::Moved(moved)) => {
                    count(moved as u64);
                    self.moved = true;
                }
                Poll::Ready(Spliced::Refused) => {
                    self.streak = NEVER;
                    self.pending = Pending::Bytes { bytes: pipe.into_bytes()?, sent: 0 };
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Spliced::Failed(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.pending = Pending::Piped(pipe);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(Some(pipe)))
    }

    /// Whether bytes have come so that more of them are worth a pipe.
    pub(super) fn is_worth_a_pipe(&self) -> bool {
        self.streak != NEVER && (self.streak >= SPLICE_AFTER || is_eager())
    }

    /// Notes how much came at once.
    pub(super) fn has_come(&mut self, length: usize) {
        if self.streak == NEVER {
            return;
        }
        self.streak = match u16::try_from(length / 1024) {
            Ok(kib) if length >= LARGE_READ => self.streak.saturating_add(kib).min(SPLICE_AFTER),
            Ok(_) => 0,
            Err(_) => SPLICE_AFTER,
        };
    }
}

#[cfg(test)]
thread_local! {
    /// Whether all is to go through pipes on this thread that can.
    pub(in crate::relay) static EAGER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

#[cfg(test)]
fn is_eager() -> bool {
    EAGER.get()
}

#[cfg(not(test))]
const fn is_eager() -> bool {
    false
}
