use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frames::FrameBudget;
use crate::connection::Connection;
use crate::http::rate::{HeadTime, MinRate};
use crate::http::taking::Taking;
use crate::http::unacknowledged::{Due, Unacknowledged};
use crate::net::{Ending, Transport, sys};
use crate::outcome::Cause;

/// What is written at once at most: a TLS stream takes no more.
const OUTBOX_BYTES: usize = 64 * 1024;

thread_local! {
    /// What the next connection of this thread gathers its frames in. Idle connections hold none.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An HTTP/2 client's stream. The h2 crate reads and writes by one handle, and who serves the client looks at it by another.
///
/// Written frames are gathered, and go out together by [`Wire::poll_send`]: the h2 crate would make a system call of each.
#[derive(Debug)]
pub(super) struct Wire<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    connection: Arc<Connection>,
    budget: FrameBudget,
    outbox: Vec<u8>,
    /// How much of the outbox has been written.
    written: usize,
    unflushed: bool,
    /// What the client has not taken, while a write does not go on.
    stall: Option<Unacknowledged>,
    /// Writes have not gone on since then.
    blocked_since: Option<Instant>,
    /// How long they have not gone on before.
    blocked: Duration,
    /// What the client has to send and take on average.
    least: Option<MinRate>,
    /// How it takes what is sent to it.
    taking: Option<Taking>,
    /// What has come is to be looked at by all before the end is told.
    fresh: bool,
    /// There was nothing to be read, and the task is woken when there is: until it looks again it need not try.
    dry: bool,
    touched: bool,
    /// How the client's direction has ended.
    end: Option<Ending>,
    lost: bool,
    head: Option<HeadBegun>,
}

/// A head that has begun to come and is not whole.
#[derive(Clone, Copy, Debug)]
struct HeadBegun {
    number: u64,
    time: HeadTime,
}

/// How the client stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// It has sent something.
    pub(super) touched: bool,
    /// It has ended its direction.
    pub(super) ended: bool,
    /// Its connection was reset, or broke in another way.
    pub(super) lost: bool,
}

impl<S> Clone for Wire<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Wire<S> {
    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        // One task has all handles, and each change is whole before the next can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn standing(&self) -> Standing {
        let inner = self.inner();
        Standing { touched: inner.touched, ended: inner.end.is_some(), lost: inner.lost }
    }

    /// When the time of the head that is under way is over, if one is, and what that means: it holds up all of the connection.
    pub(super) fn head_over(&self, timeout: Duration, now: Instant) -> Option<(Instant, Cause)> {
        self.inner().head.as_mut()?.time.over(timeout, now)
    }

    /// Whether the client takes no more for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.inner().stall.is_some()
    }

    /// For how long in all the client has taken no more.
    pub(super) fn blocked_for(&self, now: Instant) -> Duration {
        let inner = self.inner();
        let present = inner.blocked_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        inner.blocked.saturating_add(present)
    }

    /// How much of the body of a stream's answer the client's socket has.
    pub(super) fn delivered(&self, stream: u32) -> u64 {
        self.inner().budget.delivered(stream)
    }

    /// Somebody will ask for this stream.
    pub(super) fn follow(&self, stream: u32) {
        self.inner().budget.follow(stream);
    }

    /// Nobody asks for a stream any more.
    pub(super) fn forget(&self, stream: u32) {
        self.inner().budget.forget(stream);
    }

    /// What has come has been looked at: if it was followed by the end, that is told now.
    pub(super) fn settle(&self) {
        self.inner().fresh = false;
    }

    /// The task goes around again, and what has come in the meantime is to be read.
    pub(super) fn look(&self) {
        self.inner().dry = false;
    }
}

impl<S: Transport> Wire<S> {
    pub(super) fn new(stream: S, connection: &Arc<Connection>, least: Option<MinRate>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            stream,
            connection: Arc::clone(connection),
            budget: FrameBudget::new(),
            outbox: Vec::new(),
            written: 0,
            unflushed: false,
            stall: None,
            blocked_since: None,
            blocked: Duration::ZERO,
            least,
            taking: None,
            fresh: false,
            dry: false,
            touched: false,
            end: None,
            lost: false,
            head: None,
        })))
    }

    /// What is to be done about a client that may take nothing for `patience`, and when; none if it takes.
    pub(super) fn due(&self, now: Instant, patience: Duration) -> Option<Due> {
        let mut inner = self.inner();
        let mut stall = inner.stall?;
        if let Due::Look(at) = stall.due(patience)
            && at <= now
        {
            stall.look(inner.unsent(), now);
            inner.stall = Some(stall);
        }
        Some(stall.due(patience))
    }

    /// When a client that takes no more for now is too slow, if it has to keep to a rate. `counts`: what waits has one.
    pub(super) fn slow_at(&self, now: Instant, counts: bool) -> Option<Instant> {
        let mut inner = self.inner();
        let (least, _stall) = (inner.least?, inner.stall?);
        if counts {
            let (unsent, written) = (inner.unsent() as u64, inner.connection.traffic().bytes_out());
            inner.taking.get_or_insert_with(|| Taking::new(least, written, unsent, now)).held(unsent, now)
        } else {
            inner.taking = None;
            None
        }
    }

    /// Writes what has been gathered; ready when the client's socket has all of it.
    ///
    /// # Errors
    /// The client's connection is gone.
    ///
    /// # Cancel safety
    /// What was not written stays.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        ready!(inner.poll_drain(context))?;
        if inner.unflushed {
            ready!(inner.poll_on(context, |stream, context| stream.poll_flush(context)))?;
            inner.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction in order, as far as that needs no waiting.
    pub(super) fn close(&self, context: &mut Context<'_>) {
        if self.poll_send(context).is_ready() {
            let _not_waited_for = Pin::new(&mut self.inner().stream).poll_finish(context, Ending::Whole);
        }
    }
}

impl<S: Transport> Inner<S> {
    /// What the client has not acknowledged.
    fn unsent(&self) -> usize {
        sys::unsent_bytes(self.stream.tcp()).unwrap_or(0)
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.outbox.get(self.written..).filter(|rest| !rest.is_empty()) {
            let result = Pin::new(&mut self.stream).poll_write(context, rest);
            if let Poll::Ready(Ok(count)) = &result {
                self.budget.sent(rest.get(..*count).unwrap_or(rest));
            }
            let count = ready!(self.noted(result))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written = self.written.saturating_add(count);
            self.unflushed = true;
            self.connection.traffic().add_out(count as u64);
            if let Some(taking) = &mut self.taking {
                taking.wrote(count as u64);
            }
        }
        if let Some(taking) = &mut self.taking {
            taking.flows(Instant::now());
        }
        if !self.outbox.is_empty() {
            self.written = 0;
            let mut empty = std::mem::take(&mut self.outbox);
            empty.clear();
            SCRATCH.set(empty);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_on<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let result = act(Pin::new(&mut self.stream), context);
        self.noted(result)
    }

    /// Notes what a write has come to.
    fn noted<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Pending if self.stall.is_none() => {
                let now = Instant::now();
                self.stall = Some(Unacknowledged::begin(self.unsent(), now));
                self.blocked_since = Some(now);
            }
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => {
                self.stall = None;
                if let Some(since) = self.blocked_since.take() {
                    self.blocked = self.blocked.saturating_add(since.elapsed());
                }
            }
            Poll::Ready(Err(_)) => self.lost = true,
        }
        result
    }

    /// Gathers bytes. Gives how many found room.
    fn gather(&mut self, bytes: &[u8]) -> usize {
        if self.outbox.is_empty() {
            self.outbox = SCRATCH.take();
        }
        let room = OUTBOX_BYTES.saturating_sub(self.outbox.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.outbox.extend_from_slice(taken);
        taken.len()
    }

    fn is_full(&self) -> bool {
        self.outbox.len() >= OUTBOX_BYTES
    }
}

impl<S: Transport> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        if inner.lost {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // The h2 crate tries again after each request that it has given out.
        if inner.dry {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if inner.end.is_none() {
            let polled = Pin::new(&mut inner.stream).poll_read(context, buffer);
            inner.dry = polled.is_pending();
            match ready!(polled) {
                Ok(()) if buffer.filled().len() == before => inner.end = Some(Ending::Whole),
                Ok(()) => {}
                // TLS that ends without close_notify: at the boundary of a message it is an end like any other.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => inner.end = Some(Ending::Truncated),
                Err(error) => {
                    inner.lost = true;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match inner.end {
            // The h2 crate forgets that a stream was whole when the connection ends: first it is looked at.
            Some(_) if inner.fresh => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Ending::Whole) => return Poll::Ready(Ok(())),
            Some(Ending::Truncated) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            None => {}
        }
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        (inner.touched, inner.fresh) = (true, true);
        inner.connection.traffic().add_in(bytes.len() as u64);
        if !inner.budget.received(bytes) {
            inner.connection.set_error("the client sends frame after frame that ask for nothing");
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        inner.head = inner.budget.head().map(|(number, come)| match inner.head {
            Some(mut begun) if begun.number == number => {
                begun.time.come(come, Instant::now());
                begun
            }
            Some(_) | None => HeadBegun { number, time: HeadTime::begin(inner.least, come, Instant::now()) },
        });
        Poll::Ready(Ok(()))
    }
}

impl<S: Transport> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        if inner.is_full() {
            ready!(inner.poll_drain(context))?;
        }
        Poll::Ready(Ok(inner.gather(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        if inner.is_full() {
            ready!(inner.poll_drain(context))?;
        }
        let mut count = 0_usize;
        for slice in slices {
            count = count.saturating_add(inner.gather(slice));
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is sent yet: whoever serves the client sends when all frames are there.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        self.inner().poll_on(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::connection::{ConnectionGuard, Gate, Registry};
    use crate::net::{ClientAddress, ListenAddress};
    use crate::outcome::{Outcome, Party, Phase};
    use crate::telemetry::{AccessLog, Meters};

    /// A wire, and the client at its other end.
    async fn wire() -> (Wire<TcpStream>, TcpStream, ConnectionGuard) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let registry = Arc::new(Registry::new(Arc::new(Meters::new()), AccessLog::off()));
        let here = ListenAddress::new(stream.local_addr().unwrap());
        let slot = Arc::new(Gate::new(1)).enter().await;
        let guard = ConnectionGuard::open(&registry, slot, here, ClientAddress::new(address));
        (Wire::new(stream, guard.connection(), None), client, guard)
    }

    fn finished(guard: ConnectionGuard) {
        guard.close(Outcome::new(Phase::Serve, Party::Client, Cause::Finished));
    }

    #[tokio::test]
    async fn frames_go_out_together_and_the_end_waits_until_what_came_before_is_looked_at() {
        let (mut wire, mut client, guard) = wire().await;
        for _ in 0..3 {
            wire.write_all(b"frame").await.unwrap();
            wire.flush().await.unwrap();
        }
        assert_eq!(guard.connection().traffic().bytes_out(), 0);
        poll_fn(|context| wire.poll_send(context)).await.unwrap();
        assert_eq!(guard.connection().traffic().bytes_out(), 15);
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut bytes = [0; 4];
        poll_fn(|context| {
            wire.look();
            let mut buffer = ReadBuf::new(&mut bytes);
            Pin::new(&mut wire).poll_read(context, &mut buffer)
        })
        .await
        .unwrap();
        let mut more = [0; 1];
        let ended = poll_fn(|context| {
            wire.look();
            let mut buffer = ReadBuf::new(&mut more);
            let end = Pin::new(&mut wire).poll_read(context, &mut buffer).is_ready();
            // Once the kernel has the FIN it is noted, and not told.
            if wire.standing().ended { Poll::Ready(end) } else { Poll::Pending }
        });
        assert!(!ended.await);
        wire.settle();
        assert_eq!(wire.read(&mut more).await.unwrap(), 0);
        finished(guard);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_looked_at_a_few_times_and_given_up_at_its_time() {
        let (mut wire, _client, guard) = wire().await;
        let patience = Duration::from_secs(10);
        assert_eq!(wire.due(Instant::now(), patience), None);
        let mut context = Context::from_waker(std::task::Waker::noop());
        while Pin::new(&mut wire).poll_write(&mut context, &[b'x'; 16 * 1024]).is_ready() {}
        assert!(wire.is_blocked());
        let mut looks = 0;
        let mut now = Instant::now();
        let begun = now;
        while let Some(Due::Look(at)) = wire.due(now, patience) {
            (looks, now) = (looks + 1, at);
        }
        // What its socket took while we looked for the first time does not count for twice the time.
        assert!((2..20).contains(&looks) && now - begun < patience * 3 / 2, "{looks} looks in {:?}", now - begun);
        finished(guard);
    }
}
