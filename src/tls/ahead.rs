//! Reading more than the library asks for.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read from the socket at once: four records of the largest size.
///
/// The library asks for 4 KiB at a time, which is five system calls for a record; that is what uploads spend their time on.
const SIZE: usize = 64 * 1024;

/// Buffers that a thread keeps while none has anything in it.
const KEPT_MAX: usize = 4;

thread_local! {
    #[expect(clippy::vec_box, reason = "a stream holds the box itself, and an idle one only the room for none")]
    static KEPT: RefCell<Vec<Box<Held>>> = const { RefCell::new(Vec::new()) };
}

/// What has been read and not been asked for.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Held {
    fn take() -> Box<Self> {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        kept.unwrap_or_else(|| Box::new(Self { bytes: vec![0; SIZE], at: 0, end: 0 }))
    }

    fn give_back(self: Box<Self>) {
        // While the thread ends there is nowhere to put it, and it is freed.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(self);
            }
        });
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }
}

/// A stream that is read in large pieces and gives them in those that are asked for. It holds a buffer only while there is
/// something in it.
#[derive(Debug)]
pub(super) struct ReadAhead<S> {
    below: S,
    held: Option<Box<Held>>,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(below: S) -> Self {
        Self { below, held: None }
    }

    pub(super) fn below(&self) -> &S {
        &self.below
    }

    pub(super) fn below_mut(&mut self) -> &mut S {
        &mut self.below
    }

    /// Gives up what was read ahead.
    pub(super) fn into_below(self) -> S {
        self.below
    }

    /// Whether more can be had without a system call.
    pub(super) fn has_more(&self) -> bool {
        self.held.is_some()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = match self.held.take() {
            Some(held) => held,
            None => {
                let mut held = Held::take();
                let mut read = ReadBuf::new(&mut held.bytes);
                let polled = Pin::new(&mut self.below).poll_read(context, &mut read);
                let end = read.filled().len();
                if end == 0 {
                    held.give_back();
                    return Poll::Ready(ready!(polled));
                }
                (held.at, held.end) = (0, end);
                held
            }
        };
        let count = held.rest().len().min(buffer.remaining());
        buffer.put_slice(held.rest().get(..count).unwrap_or_default());
        held.at = held.at.saturating_add(count);
        if held.rest().is_empty() {
            held.give_back();
        } else {
            self.held = Some(held);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.below).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.below).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.below.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.below).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.below).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn kept() -> usize {
        KEPT.with_borrow(Vec::len)
    }

    #[tokio::test]
    async fn what_is_read_ahead_comes_in_the_pieces_that_are_asked_for_and_then_the_end() {
        let (mut near, far) = duplex(2 * SIZE);
        let sent: Vec<u8> = (0..SIZE + 1000).map(|index| (index % 251) as u8).collect();
        near.write_all(&sent).await.unwrap();
        drop(near);
        let mut stream = ReadAhead::new(far);
        let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece).await.unwrap() {
                0 => break,
                count => seen.extend_from_slice(&piece[..count]),
            }
        }
        assert!(seen == sent && !stream.has_more());
        assert_eq!(kept(), 1);
    }

    #[tokio::test]
    async fn a_buffer_is_held_only_while_there_is_something_in_it() {
        let (mut near, far) = duplex(1024);
        let mut stream = ReadAhead::new(far);
        near.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut [0; 2]).await.unwrap();
        assert!(stream.has_more() && kept() == 0);
        stream.read_exact(&mut [0; 3]).await.unwrap();
        assert!(!stream.has_more() && kept() == 1);
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        std::future::poll_fn(|context| {
            assert!(Pin::new(&mut stream).poll_read(context, &mut read).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(kept(), 1);
    }
}
