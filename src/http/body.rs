use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::exchange::{Exchange, Progress};
use super::pool::Lease;
use super::{streams, trailers};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Why a body ended before its end. What it means for the connection is in the exchange's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The sender closed or reset its connection, or broke the body's framing.
    #[error("the body was cut off by its sender")]
    CutOff,
    /// No progress for `timeouts.body`.
    #[error("the body made no progress within timeouts.body")]
    Timeout,
    /// Longer than `limits.max_request_body`.
    #[error("the body is longer than limits.max_request_body")]
    TooLarge,
}

/// The body of an answer to a client. It carries the request's [`Exchange`], which ends with it.
#[derive(Debug)]
pub struct Body {
    content: Content,
    exchange: Option<Exchange>,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Streamed(Box<Streamed>),
}

#[derive(Debug)]
struct Streamed {
    incoming: Incoming,
    stall: Stall,
    lease: Option<Lease>,
}

impl Body {
    /// No body, and no exchange: that goes on in the tunnel.
    pub(super) const fn upgraded() -> Self {
        Self { content: Content::Whole(Bytes::new()), exchange: None }
    }

    /// A body that is known whole; it may be empty.
    #[must_use]
    pub fn whole(bytes: Bytes, exchange: Exchange) -> Self {
        Self { content: Content::Whole(bytes), exchange: Some(exchange) }
    }

    /// The body of a target's answer; `lease` gives the target's connection back when all of it has come.
    pub(super) fn streamed(incoming: Incoming, timeout: Duration, lease: Lease, exchange: Exchange) -> Self {
        let streamed = Streamed { incoming, stall: Stall::new(timeout), lease: Some(lease) };
        let mut body = Self { content: Content::Streamed(Box::new(streamed)), exchange: Some(exchange) };
        if http_body::Body::is_end_stream(&body) {
            body.complete();
        }
        body
    }

    /// All of it has gone on: the target's connection is free again.
    fn complete(&mut self) {
        let whole = self.exchange.as_ref().is_some_and(|exchange| exchange.progress().sent());
        if let Content::Streamed(streamed) = &mut self.content
            && let Some(lease) = streamed.lease.take()
        {
            lease.give_back(whole);
        }
    }

    fn fail(&mut self, outcome: Outcome) {
        if let Some(exchange) = &self.exchange {
            exchange.fail(outcome);
            // HTTP/2 resets the one stream; HTTP/1 has no way to go on.
            if exchange.version() != Version::HTTP_2 {
                exchange.activity().set_fatal(outcome);
            }
            if exchange.version() == Version::HTTP_10 {
                exchange.activity().set_unframed();
            }
        }
        if let Content::Streamed(streamed) = &mut self.content {
            streamed.lease = None;
        }
    }

    /// Whether nothing of it is missing at the client.
    fn is_whole(&self) -> bool {
        http_body::Body::is_end_stream(self)
            || self.exchange.as_ref().is_some_and(|exchange| *exchange.method() == Method::HEAD)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let streamed = match &mut this.content {
            Content::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                if let Some(exchange) = &this.exchange {
                    exchange.progress().add_out(bytes.len() as u64);
                }
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Content::Streamed(streamed) => streamed,
        };
        if let Some(exchange) = &this.exchange
            && exchange.version() == Version::HTTP_2
        {
            streams::note_streaming(exchange.progress());
        }
        let failure = |cause| Outcome::new(Phase::Serve, Party::Target, cause);
        let frame = match Pin::new(&mut streamed.incoming).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(streamed.stall.poll(context));
                this.fail(failure(Cause::BodyTimeout));
                return Poll::Ready(Some(Err(BodyError::Timeout)));
            }
        };
        streamed.stall.reset();
        match frame {
            None => {
                this.complete();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if let (Some(data), Some(exchange)) = (frame.data_ref(), &this.exchange) {
                    exchange.progress().add_out(data.len() as u64);
                }
                let frame = trailers::filtered(frame);
                if this.is_end_stream() {
                    this.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => {
                this.fail(failure(Cause::TargetClosed));
                Poll::Ready(Some(Err(BodyError::CutOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Streamed(streamed) => streamed.lease.is_none() || streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let whole = self.is_whole();
        if let Some(exchange) = self.exchange.take()
            && whole
        {
            exchange.close(Outcome::new(Phase::Serve, Party::Client, Cause::Finished));
        }
    }
}

/// The body of a client's request, on its way to a target.
///
/// It counts, ends with an error at the limit or when the client stalls, and tells the exchange why.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    progress: Arc<Progress>,
    stall: Stall,
    /// What may still come; `None` is no limit.
    allowed: Option<u64>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, progress: &Arc<Progress>, timeout: Duration, limit: Option<u64>) -> Self {
        if http_body::Body::is_end_stream(&incoming) {
            progress.set_sent();
        }
        Self { incoming: Some(incoming), progress: Arc::clone(progress), stall: Stall::new(timeout), allowed: limit }
    }

    /// No body at all, for a request that is sent a second time.
    pub(super) fn empty(progress: &Arc<Progress>) -> Self {
        Self { incoming: None, progress: Arc::clone(progress), stall: Stall::new(Duration::ZERO), allowed: None }
    }

    fn fail(&mut self, party: Party, cause: Cause, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.progress.set_fault(Outcome::new(Phase::Serve, party, cause));
        // What the client still sends is read and thrown away by who serves it.
        self.incoming = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = match Pin::new(incoming).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(this.stall.poll(context));
                return this.fail(Party::Client, Cause::BodyTimeout, BodyError::Timeout);
            }
        };
        this.stall.reset();
        match frame {
            None => {
                this.progress.set_sent();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.progress.add_in(length);
                if let Some(allowed) = &mut this.allowed {
                    match allowed.checked_sub(length) {
                        Some(rest) => *allowed = rest,
                        None => return this.fail(Party::Proxy, Cause::RequestBodyTooLarge, BodyError::TooLarge),
                    }
                }
                if this.is_end_stream() {
                    this.progress.set_sent();
                }
                Poll::Ready(Some(Ok(trailers::filtered(frame))))
            }
            Some(Err(_)) => this.fail(Party::Client, Cause::ClosedEarly, BodyError::CutOff),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// The time without progress of something that is being waited for. It costs nothing while there is no waiting.
#[derive(Debug)]
struct Stall {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Stall {
    const fn new(timeout: Duration) -> Self {
        Self { timeout, timer: None, running: false }
    }

    fn reset(&mut self) {
        self.running = false;
    }

    /// Ready when the wait that began with the first poll since the last reset has lasted for the timeout.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.timeout.is_zero() {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + self.timeout)));
        if !self.running {
            self.running = true;
            timer.as_mut().reset(Instant::now() + self.timeout);
        }
        timer.as_mut().poll(context)
    }
}
