use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body as _, Frame};
use tokio::time::Instant;

use super::wire::Wire;
use crate::http::body::{Body, BodyError};
use crate::http::rate::{MinRate, Rate};
use crate::http::stall::{Over, Stall};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// An answer's body on its way to its stream.
///
/// A piece is taken from the body only when the one before it has found room in the client's windows, so a client that reads
/// slowly holds its target back, and only that one.
#[derive(Debug)]
pub(super) struct Sending {
    body: Body,
    stream: SendStream<Bytes>,
    /// Waits for the client's windows.
    waiting: Bytes,
    /// By a clock that stands still while the client holds up all of its connection, which has times of its own for that.
    stall: Stall,
    /// How the client keeps to the rate that it has to keep to, by the same clock.
    rate: Option<Rate>,
}

/// What is asked of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long it may take or send nothing.
    pub(super) patience: Duration,
    /// What it has to take of an answer on average.
    pub(super) least: Option<MinRate>,
}

/// What has become of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it is on its way.
    All,
    /// The client has reset the stream, or is gone.
    Gone,
    /// It has broken off, and the stream is to be reset for this reason when the rest has gone out.
    Broken(Reason),
    /// The client gives it no window, or too little, and the stream is to be reset.
    Stalled,
}

impl Sending {
    pub(super) fn new(body: Body, stream: SendStream<Bytes>, pace: Pace) -> Self {
        let Pace { patience, least } = pace;
        Self { body, stream, waiting: Bytes::new(), stall: Stall::new(patience), rate: least.map(Rate::new) }
    }

    /// Resets its stream.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Whether the client has reset its stream. Nobody is woken when it does.
    pub(super) fn is_reset(&mut self) -> bool {
        self.stream.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// The answer ends with a fault of ours.
    pub(super) fn fail(&self, outcome: Outcome) {
        self.body.note(outcome);
    }

    /// Sends what can be sent.
    pub(super) fn poll<S>(&mut self, context: &mut Context<'_>, wire: &Wire<S>) -> Poll<Sent> {
        loop {
            if self.stream.poll_reset(context).is_ready() {
                return Poll::Ready(Sent::Gone);
            }
            if !self.waiting.is_empty() {
                match self.poll_waiting(context, wire) {
                    Poll::Ready(None) => continue,
                    Poll::Ready(Some(sent)) => return Poll::Ready(sent),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let sent = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.end(Bytes::new()),
                Poll::Ready(Some(Ok(frame))) => match self.take(frame) {
                    Some(sent) => sent,
                    None => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "an answer has broken off");
                    Sent::Broken(reason(&error))
                }
            };
            return Poll::Ready(sent);
        }
    }

    /// Sends of what waits as much as the client's windows have room for.
    fn poll_waiting<S>(&mut self, context: &mut Context<'_>, wire: &Wire<S>) -> Poll<Option<Sent>> {
        // Asked for when there is something to send: what is reserved is taken from the connection's other streams.
        self.stream.reserve_capacity(self.waiting.len());
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Some(Sent::Gone)),
                Poll::Pending => {
                    // The client may have to send the rest of its request before it reads.
                    self.body.mind_request(context);
                    let now = Instant::now();
                    let behind = wire.blocked_for(now);
                    let slow = self.rate.as_mut().and_then(|rate| rate.wait(now - behind));
                    let cause = match ready!(self.stall.poll_behind(context, behind, slow)) {
                        Over::Silent => Cause::BodyTimeout,
                        Over::Slow => Cause::ResponseSlow,
                    };
                    self.body.note(Outcome::new(Phase::Serve, Party::Client, cause));
                    return Poll::Ready(Some(Sent::Stalled));
                }
            }
        }
        self.stall.reset();
        let room = self.stream.capacity().min(self.waiting.len());
        let data = self.waiting.split_to(room);
        if let Some(rate) = &mut self.rate {
            let now = Instant::now();
            let now = now - wire.blocked_for(now);
            rate.moved(room as u64, now);
            // From here on the target is waited for.
            if self.waiting.is_empty() {
                rate.pause(now);
            }
        }
        if self.waiting.is_empty() && self.body.is_end_stream() {
            return Poll::Ready(Some(self.end(data)));
        }
        Poll::Ready(self.stream.send_data(data, false).is_err().then_some(Sent::Gone))
    }

    /// Takes a piece. Gives what has become of the body if it was the last.
    fn take(&mut self, frame: Frame<Bytes>) -> Option<Sent> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => self.body.is_end_stream().then(|| self.end(data)),
            Ok(data) => {
                self.waiting = data;
                None
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                Some(if self.stream.send_trailers(trailers).is_ok() { Sent::All } else { Sent::Gone })
            }
        }
    }

    fn end(&mut self, data: Bytes) -> Sent {
        if self.stream.send_data(data, true).is_ok() { Sent::All } else { Sent::Gone }
    }
}

/// What the client is told of an answer that has broken off.
const fn reason(error: &BodyError) -> Reason {
    match error {
        BodyError::Reset(reason) => *reason,
        BodyError::CutOff | BodyError::Timeout | BodyError::Slow | BodyError::TooLarge => Reason::INTERNAL_ERROR,
    }
}
