use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::strand::Strand;
use super::target::Slot;
use crate::http::exchange::Exchange;
use crate::net::{Ending, Prefixed, Transport, reset_on_close};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::relay::{Limits, Side};
use crate::upstream::{InFlight, Stream};

/// What one direction holds at most.
const BUFFER_BYTES: usize = 16 * 1024;

/// Where a tunnel leads: what a target's connection has become, or a stream of one that others share.
#[derive(Debug)]
pub(in crate::http) enum Far {
    Socket(Prefixed<Stream>, InFlight),
    Strand(Strand, Slot),
}

/// One end of a tunnel.
pub(in crate::http) trait End: AsyncRead + AsyncWrite + Unpin {
    /// Ready when the peer takes no more, though it may not have been sent anything.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Sees to it that the peer does not take what it has got for all there was.
    fn reset(&mut self);

    /// Ends our direction in order, as far as that needs no waiting.
    fn finish(&mut self, context: &mut Context<'_>);
}

impl<S: Transport> End for Prefixed<S> {
    fn poll_gone(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn reset(&mut self) {
        reset_on_close(self.tcp());
    }

    fn finish(&mut self, context: &mut Context<'_>) {
        // Best effort: a close_notify that the socket does not take at once is not sent.
        let _not_waited_for = Pin::new(self).poll_finish(context, Ending::Whole);
    }
}

/// What one stream of an HTTP/2 client becomes when a target has accepted its upgrade: bytes both ways.
#[derive(Debug)]
pub(in crate::http) struct StreamTunnel {
    pub(in crate::http) far: Far,
    /// `max_lifetime` is the connection's, and minded by who serves that; `linger` is not minded.
    pub(in crate::http) limits: Limits,
    pub(in crate::http) exchange: Exchange,
}

impl StreamTunnel {
    /// Relays until the tunnel ends. Gives the client's stream if it is to be reset.
    pub(super) async fn run(self, mut client: Strand) -> Option<Strand> {
        let Self { far, limits, exchange } = self;
        let progress = exchange.progress();
        let count = |there, back| {
            progress.add_in(there);
            progress.add_out(back);
        };
        let outcome = match far {
            Far::Socket(target, in_flight) => {
                let outcome = carry(&mut client, target, &limits, |_side| {}, count).await;
                drop(in_flight);
                outcome
            }
            Far::Strand(target, slot) => {
                let outcome = carry(&mut client, target, &limits, |_side| {}, count).await;
                drop(slot);
                outcome
            }
        };
        exchange.close(outcome);
        (outcome.cause == Cause::Reset).then_some(client)
    }
}

/// Moves bytes between a client and a target until both have ended, one is lost, or nothing moves for `idle`, or for
/// `half_closed` once one has ended; `on_half_closed` is told which was first, and `count` of each move, in and out. The target
/// is finished or reset by then; the client only finished.
pub(in crate::http) async fn carry(
    client: &mut impl End,
    mut target: impl End,
    limits: &Limits,
    on_half_closed: impl Fn(Side),
    count: impl Fn(u64, u64),
) -> Outcome {
    let (mut inward, mut outward) = (Pipe::default(), Pipe::default());
    let mut first = None;
    let mut moved = Instant::now();
    // A limit that no clock can reach is none; a day is as good.
    let end = |moved: Instant, limit| moved.checked_add(limit).unwrap_or(moved + Duration::from_secs(86_400));
    let mut timer = pin!(sleep_until(end(moved, limits.idle)));
    let (party, cause) = poll_fn(|context| {
        let there = inward.poll(context, client, &mut target, |bytes| count(bytes, 0));
        let back = outward.poll(context, &mut target, client, |bytes| count(0, bytes));
        if let Some(cause) = lost(&there, Party::Client, Party::Target).or(lost(&back, Party::Target, Party::Client)) {
            return Poll::Ready(cause);
        }
        let ended = [(inward.ended, Side::Client), (outward.ended, Side::Target)];
        if first.is_none()
            && let Some((_, side)) = ended.into_iter().find(|(ended, _)| *ended)
        {
            first = Some(side);
            on_half_closed(side);
        }
        if there.is_ready() && back.is_ready() {
            return Poll::Ready((first.unwrap_or(Side::Client).party(), Cause::Finished));
        }
        // One takes no more, and not because we have ended it.
        if back.is_pending() && client.poll_gone(context).is_ready() {
            return Poll::Ready((Party::Client, Cause::Reset));
        }
        if there.is_pending() && target.poll_gone(context).is_ready() {
            return Poll::Ready((Party::Target, Cause::Reset));
        }
        let active = [&mut inward, &mut outward].into_iter().fold(false, |active, pipe| pipe.take_moved() | active);
        if active {
            moved = Instant::now();
        }
        let (limit, cause) = match first {
            None => (limits.idle, Cause::TunnelTimeout),
            Some(_) => (limits.half_closed, Cause::HalfClosedTimeout),
        };
        elapsed(timer.as_mut(), end(moved, limit), context).map(|()| (Party::Proxy, cause))
    })
    .await;
    let mut context = Context::from_waker(Waker::noop());
    // Neither side may take what it has got for all there was; one that has been told of the end has got all.
    match cause {
        Cause::Reset if !inward.finished => target.reset(),
        _ if !inward.finished => target.finish(&mut context),
        _ => {}
    }
    if cause != Cause::Reset && !outward.finished {
        client.finish(&mut context);
    }
    Outcome::new(Phase::Relay, party, cause)
}

/// Ready when the moment has come; if not, the task is woken then.
fn elapsed(mut timer: Pin<&mut Sleep>, at: Instant, context: &mut Context<'_>) -> Poll<()> {
    // It may be the earlier now.
    if at < timer.deadline() {
        timer.as_mut().reset(at);
    }
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
    /// Bytes, or the end of them, have moved since [`Pipe::take_moved`] was asked last.
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
                    Poll::Ready(Ok(()) | Err(_)) => (self.moved, self.finished) = (true, true),
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
        self.moved = true;
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
