//! A stream in memory that does what it is told, to reach what a real socket does only by chance.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::net::Ending;

/// What the next read does.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Bytes(Vec<u8>),
    /// Nothing now, and at once again.
    Pending,
    /// Nothing until this much later.
    After(Duration),
    End,
    Fail(io::ErrorKind),
    /// Bytes without end.
    Endless,
}

/// What the next write does.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Take(usize),
    Pending,
    After(Duration),
    Fail(io::ErrorKind),
    /// Never again.
    Stall,
}

/// What the stream was given.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) bytes: Vec<u8>,
    pub(super) ending: Option<Ending>,
    pub(super) closed: bool,
}

/// The double. Reads that are not scripted never come; writes that are not scripted take everything.
#[derive(Debug)]
pub(super) struct Script {
    reads: VecDeque<Read>,
    writes: VecDeque<Write>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    write_sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Taken, and not passed on before a flush, as TLS may.
    held: Option<Vec<u8>>,
    flushes: bool,
    refuses_to_finish: bool,
    seen: Arc<Mutex<Seen>>,
    socket: TcpStream,
}

impl Script {
    /// The socket is there to be asked for its queue, and for nothing else.
    pub(super) fn new(socket: TcpStream, reads: Vec<Read>, writes: Vec<Write>) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let script = Self {
            reads: reads.into(),
            writes: writes.into(),
            sleep: None,
            write_sleep: None,
            held: None,
            flushes: true,
            refuses_to_finish: false,
            seen: Arc::clone(&seen),
            socket,
        };
        (script, seen)
    }

    /// Passes bytes on only when it is flushed.
    pub(super) fn holding(mut self) -> Self {
        self.held = Some(Vec::new());
        self
    }

    /// Takes everything, and passes nothing on.
    pub(super) fn never_flushing(mut self) -> Self {
        self.flushes = false;
        self.holding()
    }

    /// Cannot be told of an end, as TLS on a connection that was reset.
    pub(super) fn refusing_to_finish(mut self) -> Self {
        self.refuses_to_finish = true;
        self
    }

    fn release(&mut self) {
        if let Some(held) = &mut self.held {
            self.seen.lock().unwrap().bytes.append(held);
        }
    }
}

/// Nothing now; woken at once, or when the time has come.
fn wait(sleep: &mut Option<Pin<Box<tokio::time::Sleep>>>, time: Duration, context: &mut Context<'_>) -> Poll<()> {
    let waiting = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
    std::task::ready!(waiting.as_mut().poll(context));
    *sleep = None;
    Poll::Ready(())
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.reads.front_mut() {
            None => Poll::Pending,
            Some(Read::Bytes(bytes)) => {
                let count = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..count]);
                bytes.drain(..count);
                if bytes.is_empty() {
                    this.reads.pop_front();
                }
                Poll::Ready(Ok(()))
            }
            Some(Read::Endless) => {
                buffer.initialize_unfilled();
                buffer.set_filled(buffer.capacity());
                Poll::Ready(Ok(()))
            }
            Some(Read::Pending) => {
                this.reads.pop_front();
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Read::After(time)) => {
                std::task::ready!(wait(&mut this.sleep, *time, context));
                this.reads.pop_front();
                self.poll_read(context, buffer)
            }
            // Those stay so.
            Some(Read::End) => Poll::Ready(Ok(())),
            Some(Read::Fail(kind)) => Poll::Ready(Err((*kind).into())),
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let count = match this.writes.front() {
            None => bytes.len(),
            Some(Write::Take(count)) => {
                let count = (*count).min(bytes.len());
                this.writes.pop_front();
                count
            }
            Some(Write::Pending) => {
                this.writes.pop_front();
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Write::After(time)) => {
                std::task::ready!(wait(&mut this.write_sleep, *time, context));
                this.writes.pop_front();
                return self.poll_write(context, bytes);
            }
            Some(Write::Fail(kind)) => return Poll::Ready(Err((*kind).into())),
            Some(Write::Stall) => return Poll::Pending,
        };
        match &mut this.held {
            Some(held) => held.extend_from_slice(&bytes[..count]),
            None => this.seen.lock().unwrap().bytes.extend_from_slice(&bytes[..count]),
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.flushes {
            return Poll::Pending;
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(context, Ending::Whole)
    }
}

impl Transport for Script {
    fn tcp(&self) -> &TcpStream {
        &self.socket
    }

    fn poll_finish(self: Pin<&mut Self>, _context: &mut Context<'_>, ending: Ending) -> Poll<io::Result<()>> {
        if self.refuses_to_finish {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(seen.ending, None, "ended twice");
        seen.ending = Some(ending);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.seen.lock().unwrap().closed = true;
    }
}
