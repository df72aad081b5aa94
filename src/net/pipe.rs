//! Pipes through which the kernel moves bytes from one socket to another (splice(2)) without showing them to us.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{is_near_last_for_clients, sys};

/// How much a pipe is to hold: what any user may ask for by default (`fs.pipe-max-size`, pipe(7)).
///
/// Measured (`docs/performance.md`): with 1 MiB a gigabyte costs half of what it costs with the system's own 64 KiB.
pub const SIZE: usize = 1024 * 1024;

/// What a pipe has to hold to be worth more than the buffer: the system's own size. A user with many pipes is given smaller
/// ones (`fs.pipe-user-pages-soft`, pipe(7)).
const SIZE_LEAST: usize = 64 * 1024;

/// Pipes of the process: one for so many descriptors of its limit. Two descriptors each make 1.6 % of them, out of the tenth
/// that connections leave.
const DESCRIPTORS_PER_PIPE: u64 = 128;

/// The most, however many descriptors there are: what they hold when all sinks are slow is memory of the kernel's, 256 MiB.
const PIPES_MAX: u64 = 256;

/// Empty pipes that a thread keeps for the next that wants one. At most one is wanted at a time for each direction that has
/// bytes in it, so these are for bursts.
const KEPT_MAX: usize = 16;

/// Pipes that are open in the process.
static OPEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept { pipes: Vec::new(), unused: 0 }) };
}

/// A thread's empty pipes.
struct Kept {
    pipes: Vec<Pipe>,
    /// The fewest that there were since [`let_go_of_unused_pipes`] was called last: so many nobody has wanted.
    unused: usize,
}

/// A pipe, and how much is in it. Counted from when it is opened until it is dropped.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: u32,
}

/// What came of an attempt to move bytes without looking at them.
#[derive(Debug)]
pub enum Spliced {
    /// So many have been moved; none is the end.
    Moved(usize),
    /// The system does not do it here, which says nothing about the connection.
    Refused,
    /// The connection is at fault.
    Failed(io::Error),
}

impl Pipe {
    /// An empty pipe, if there is one to be had; if not, bytes are to be copied.
    #[must_use]
    pub fn take() -> Option<Self> {
        #[cfg(test)]
        tests::fault(tests::Place::Open).ok()?;
        let kept = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let pipe = kept.pipes.pop();
            kept.unused = kept.unused.min(kept.pipes.len());
            pipe
        });
        kept.ok().flatten().or_else(Self::open)
    }

    /// Keeps the pipe for the next that wants one. One that is not empty is closed, with what is in it.
    pub fn give_back(self) {
        if self.held > 0 {
            return;
        }
        // While the thread ends there is nowhere to put it, and it is closed.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.pipes.len() < KEPT_MAX {
                kept.pipes.push(self);
            }
        });
    }

    /// How many bytes are in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held as usize
    }

    /// Moves bytes from a socket into the pipe, at most so many and never more; it has to be empty: then all that keeps it
    /// waiting is the source.
    pub fn poll_fill(&mut self, context: &mut Context<'_>, source: &TcpStream, most: usize) -> Poll<Spliced> {
        debug_assert_eq!(self.held, 0);
        loop {
            if let Err(error) = ready!(source.poll_read_ready(context)) {
                return Poll::Ready(Spliced::Failed(error));
            }
            let moved = source.try_io(Interest::READABLE, || {
                #[cfg(test)]
                tests::fault(tests::Place::Fill)?;
                Ok(splice(source, None, &self.write, None, most.min(SIZE), FLAGS)?)
            });
            match moved {
                Ok(moved) => {
                    self.held = u32::try_from(moved).unwrap_or(u32::MAX);
                    return Poll::Ready(Spliced::Moved(moved));
                }
                Err(error) if is_to_be_repeated(&error) => {}
                Err(error) => return Poll::Ready(failed(error)),
            }
        }
    }

    /// Moves bytes out of the pipe, which has to hold some, into a socket.
    pub fn poll_drain(&mut self, context: &mut Context<'_>, sink: &TcpStream) -> Poll<Spliced> {
        loop {
            if let Err(error) = ready!(sink.poll_write_ready(context)) {
                return Poll::Ready(Spliced::Failed(error));
            }
            let moved = sink.try_io(Interest::WRITABLE, || {
                #[cfg(test)]
                tests::fault(tests::Place::Drain)?;
                Ok(splice(&self.read, None, sink, None, self.held(), FLAGS)?)
            });
            match moved {
                Ok(0) => return Poll::Ready(Spliced::Failed(io::ErrorKind::WriteZero.into())),
                Ok(moved) => {
                    self.held = self.held.saturating_sub(u32::try_from(moved).unwrap_or(u32::MAX));
                    return Poll::Ready(Spliced::Moved(moved));
                }
                Err(error) if is_to_be_repeated(&error) => {}
                Err(error) => return Poll::Ready(failed(error)),
            }
        }
    }

    /// Takes the bytes out, to be copied after all.
    ///
    /// # Errors
    /// The system's, which has no reason for one.
    pub fn into_bytes(self) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; self.held()];
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let taken = rustix::io::read(&self.read, &mut *rest)?;
            if taken == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            rest = rest.get_mut(taken..).unwrap_or_default();
        }
        Ok(bytes.into())
    }

    /// Opens a pipe, unless there are enough of them or the last descriptors are near.
    fn open() -> Option<Self> {
        let allowed = sys::descriptor_limit().map_or(0, |limit| limit / DESCRIPTORS_PER_PIPE).min(PIPES_MAX);
        let counted =
            OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < allowed).then_some(open + 1));
        counted.ok()?;
        let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        let pipe = Self { read, write, held: 0 };
        // A user may have no more large ones, and is then given what the system gives anybody.
        let size = fcntl_setpipe_size(&pipe.write, SIZE).or_else(|_refused| fcntl_getpipe_size(&pipe.write));
        let is_large = size.is_ok_and(|size| size >= SIZE_LEAST);
        (is_large && !is_near_last_for_clients(&pipe.write)).then_some(pipe)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes those of this thread's empty pipes that nobody has wanted since this was called last.
pub fn let_go_of_unused_pipes() {
    KEPT.with_borrow_mut(|kept| {
        let kept_on = kept.pipes.len().saturating_sub(kept.unused);
        kept.pipes.truncate(kept_on);
        kept.unused = kept.pipes.len();
    });
}

/// The pipe never makes the call wait, whatever the sockets are set to.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Whether a call was only too early; a socket that is not ready has then been marked as such.
fn is_to_be_repeated(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn failed(error: io::Error) -> Spliced {
    // What splice(2) says when it cannot be done with these two, or not at all: by the kernel, by a filter of system calls, or
    // for want of memory. A connection never fails so, and what a socket says of its connection it says once.
    match Errno::from_io_error(&error) {
        Some(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOMEM) => {
            Spliced::Refused
        }
        Some(_) | None => Spliced::Failed(error),
    }
}

#[cfg(test)]
pub(crate) mod tests;
