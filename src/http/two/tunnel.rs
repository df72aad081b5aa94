use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::strand::Strand;
use crate::http::exchange::Exchange;
use crate::net::{Ending, Prefixed, Transport, reset_on_close};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::upstream::{InFlight, Stream};

/// What one direction holds at most.
const BUFFER_BYTES: usize = 16 * 1024;

/// What one stream of an HTTP/2 client becomes when a target has accepted its upgrade: bytes both ways.
#[derive(Debug)]
pub(in crate::http) struct StreamTunnel {
    pub(in crate::http) target: Prefixed<Stream>,
    /// Without a byte in either direction.
    pub(in crate::http) idle: Duration,
    pub(in crate::http) exchange: Exchange,
    /// After the exchange, so that the target is free when the books are closed.
    pub(in crate::http) in_flight: InFlight,
}

impl StreamTunnel {
    /// Relays until the tunnel ends. Gives the client's stream if it is to be reset.
    pub(super) async fn run(self, mut client: Strand) -> Option<Strand> {
        let Self { mut target, idle, exchange, in_flight } = self;
        let (mut inward, mut outward) = (Pipe::default(), Pipe::default());
        let mut first = None;
        let mut moved = Instant::now();
        // A limit that no clock can reach is none; a day is as good.
        let end = |moved: Instant| moved.checked_add(idle).unwrap_or(moved + Duration::from_secs(86_400));
        let mut timer = pin!(sleep_until(end(moved)));
        let cause = poll_fn(|context| {
            let progress = exchange.progress();
            let there = inward.poll(context, &mut client, &mut target, |bytes| progress.add_in(bytes));
            let back = outward.poll(context, &mut target, &mut client, |bytes| progress.add_out(bytes));
            if let Some(cause) =
                lost(&there, Party::Client, Party::Target).or(lost(&back, Party::Target, Party::Client))
            {
                return Poll::Ready(cause);
            }
            if inward.ended && first.is_none() {
                first = Some(Party::Client);
            } else if outward.ended && first.is_none() {
                first = Some(Party::Target);
            }
            match (there.is_ready(), back.is_ready()) {
                (true, true) => return Poll::Ready((first.unwrap_or(Party::Client), Cause::Finished)),
                // It takes no more, and not because we have ended it.
                (_, false) if client.poll_gone(context).is_ready() => {
                    return Poll::Ready((Party::Client, Cause::Reset));
                }
                (_, _) => {}
            }
            let active = [&mut inward, &mut outward].into_iter().fold(false, |active, pipe| pipe.take_moved() | active);
            if active {
                moved = Instant::now();
            }
            elapsed(timer.as_mut(), end(moved), context).map(|()| (Party::Proxy, Cause::TunnelTimeout))
        })
        .await;
        let (party, cause) = cause;
        if cause == Cause::Reset {
            // Neither side may take what it has got for all there was; one that has been told the end has got all.
            if !inward.finished {
                reset_on_close(target.tcp());
            }
        }
        // Best effort: a close_notify that the socket does not take at once is not sent.
        let mut context = Context::from_waker(Waker::noop());
        let _not_waited_for = Pin::new(&mut target).poll_finish(&mut context, Ending::Whole);
        if cause != Cause::Reset && !outward.finished {
            let _gone = Pin::new(&mut client).poll_shutdown(&mut context);
        }
        drop((target, in_flight));
        exchange.close(Outcome::new(Phase::Relay, party, cause));
        (cause == Cause::Reset).then_some(client)
    }
}

/// Ready when the moment has come; if not, the task is woken then.
fn elapsed(mut timer: Pin<&mut Sleep>, at: Instant, context: &mut Context<'_>) -> Poll<()> {
    loop {
        // It fires early, once, when the moment has moved away.
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        timer.as_mut().reset(at);
    }
}

fn lost(direction: &Poll<Result<(), Loss>>, source: Party, sink: Party) -> Option<(Party, Cause)> {
    match direction {
        Poll::Pending | Poll::Ready(Ok(())) => None,
        Poll::Ready(Err(Loss::Source)) => Some((source, Cause::Reset)),
        Poll::Ready(Err(Loss::Sink)) => Some((sink, Cause::Reset)),
    }
}

/// Whose connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Source,
    Sink,
}

/// One direction. It holds a buffer only while its sink takes less than its source gave.
#[derive(Debug, Default)]
struct Pipe {
    pending: Vec<u8>,
    sent: usize,
    unflushed: bool,
    /// The source has ended its direction.
    ended: bool,
    /// The sink has been told so.
    finished: bool,
    moved: bool,
}

impl Pipe {
    /// Moves bytes; ready when the sink has been told of the source's end.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
        count: impl Fn(u64),
    ) -> Poll<Result<(), Loss>> {
        while !self.finished {
            if let Some(rest) = self.pending.get(self.sent..).filter(|rest| !rest.is_empty()) {
                match Pin::new(&mut *sink).poll_write(context, rest) {
                    Poll::Ready(Ok(taken)) if taken > 0 => {
                        count(taken as u64);
                        self.sent = self.sent.saturating_add(taken);
                        (self.moved, self.unflushed) = (true, true);
                        continue;
                    }
                    Poll::Ready(Ok(_) | Err(_)) => return Poll::Ready(Err(Loss::Sink)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.pending = Vec::new();
            if self.ended {
                match Pin::new(&mut *sink).poll_shutdown(context) {
                    // A sink that is gone has had all bytes, and only missed the word that they were all.
                    Poll::Ready(Ok(()) | Err(_)) => self.finished = true,
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            match self.poll_read(context, source) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Loss::Source)),
                Poll::Pending => return self.poll_flush(context, sink),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>, source: &mut (impl AsyncRead + Unpin)) -> Poll<io::Result<()>> {
        let mut buffer = [0; BUFFER_BYTES];
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(source).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            // TLS that ends without close_notify.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => self.ended = buffer.filled().is_empty(),
        }
        self.pending = buffer.filled().to_vec();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// TLS may hold bytes that it has taken but not passed on.
    fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Loss>> {
        if self.unflushed {
            match Pin::new(sink).poll_flush(context) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Loss::Sink)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}
