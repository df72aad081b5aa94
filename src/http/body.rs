use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Method, StatusCode, Version};
use http_body::{Frame, SizeHint};

use super::calling::Calling;
use super::exchange::Exchange;
use super::one::Broken;
use super::parcel::{Parcel, Parcels, Takes};
use super::stall::Stall;
use super::trailers;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Why a body ended before its end. What it means for the connection is in the exchange's outcome.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender closed or reset its connection, or broke the body's framing.
    #[error("the body was cut off by its sender")]
    CutOff,
    /// The target reset its stream for a reason that is the client's to know; its own stream is reset for the same.
    #[error("the target has broken off its answer")]
    Reset(Reason),
    /// No progress for `timeouts.body`.
    #[error("the body made no progress within timeouts.body")]
    Timeout,
    /// Slower than `limits.min_rate`.
    #[error("the body comes more slowly than limits.min_rate")]
    Slow,
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
    Streamed(Streamed),
}

#[derive(Debug)]
struct Streamed {
    /// None when all of the answer has come, or nothing more will.
    calling: Option<Calling>,
    stall: Stall,
    /// What had come of the request when the stall was last looked at.
    moved: u64,
    /// All of it has come.
    whole: bool,
    /// It has broken off for this reason while nobody asked for it.
    broken: Option<(Cause, BodyError)>,
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

    /// The body of a target's answer; the target's connection is given back when all of it has come.
    pub(super) fn streamed(calling: Calling, timeout: Duration, exchange: Exchange) -> Self {
        if calling.is_end() {
            calling.give_back();
            return Self { content: Content::Whole(Bytes::new()), exchange: Some(exchange) };
        }
        let (stall, moved) = (Stall::new(timeout), exchange.progress().bytes_in());
        let streamed = Streamed { calling: Some(calling), stall, moved, whole: false, broken: None };
        Self { content: Content::Streamed(streamed), exchange: Some(exchange) }
    }

    /// The client is told of another status than was noted.
    pub(super) fn restate(&mut self, status: StatusCode) {
        if let Some(exchange) = &mut self.exchange {
            exchange.set_status(status);
        }
    }

    /// Notes how the exchange has failed; the first failure counts.
    pub(super) fn note(&self, outcome: Outcome) {
        if let Some(exchange) = &self.exchange {
            exchange.fail(outcome);
        }
    }

    /// Goes on with the request while nobody asks for the answer.
    pub(super) fn mind_request(&mut self, context: &mut Context<'_>) {
        if let Content::Streamed(streamed) = &mut self.content
            && let Some(calling) = &mut streamed.calling
            && let Err(broken) = calling.mind_request(context)
        {
            streamed.broken = Some(meaning(&broken));
            streamed.calling = None;
        }
    }

    fn fail(&mut self, outcome: Outcome) {
        if let Some(exchange) = &self.exchange {
            exchange.fail(outcome);
            // The request's body may have failed before, and have failed the answer.
            let outcome = exchange.progress().fault().unwrap_or(outcome);
            // HTTP/2 resets the one stream; HTTP/1 has no way to go on.
            if exchange.version() != Version::HTTP_2 {
                exchange.activity().set_fatal(outcome);
            }
            if exchange.version() == Version::HTTP_10 {
                exchange.activity().set_unframed();
            }
        }
        if let Content::Streamed(streamed) = &mut self.content {
            streamed.calling = None;
        }
    }

    /// Whether nothing of it is missing at the client.
    fn is_whole(&self) -> bool {
        http_body::Body::is_end_stream(self)
            || self.exchange.as_ref().is_some_and(|exchange| exchange.method() == Some(&Method::HEAD))
    }
}

impl Streamed {
    /// All of it has come: the target's connection is free again.
    fn complete(&mut self) {
        self.whole = true;
        if let Some(calling) = self.calling.take() {
            calling.give_back();
        }
    }
}

/// What it means for an answer that its request has broken off at the target.
fn meaning(broken: &Broken) -> (Cause, BodyError) {
    match broken {
        Broken::Malformed(_) => (Cause::ResponseMalformed, BodyError::CutOff),
        Broken::Closed(_) | Broken::Request => (Cause::TargetClosed, BodyError::CutOff),
        Broken::Refused(reason) | Broken::Reset(reason) => (Cause::Reset, passed_on(*reason)),
    }
}

/// What a client is told of why a target has reset a stream. Most reasons are about what we and the target say to each
/// other; that it was refused would have the client send it again, though an answer had begun.
const fn passed_on(reason: Reason) -> BodyError {
    match reason {
        Reason::CANCEL | Reason::ENHANCE_YOUR_CALM => BodyError::Reset(reason),
        _ => BodyError::CutOff,
    }
}

impl Parcels for Body {
    fn poll_parcel(&mut self, context: &mut Context<'_>, takes: Takes) -> Poll<Option<Result<Parcel, BodyError>>> {
        let this = self;
        let streamed = match &mut this.content {
            Content::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                if let Some(exchange) = &this.exchange {
                    exchange.progress().add_out(bytes.len() as u64);
                }
                return Poll::Ready(Some(Ok(Parcel::Frame(Frame::data(bytes)))));
            }
            Content::Streamed(streamed) => streamed,
        };
        let failure = |cause| Outcome::new(Phase::Serve, Party::Target, cause);
        if let Some((cause, error)) = streamed.broken.take() {
            this.fail(failure(cause));
            return Poll::Ready(Some(Err(error)));
        }
        let Some(calling) = &mut streamed.calling else { return Poll::Ready(None) };
        let parcel = match calling.poll_parcel(context, takes) {
            Poll::Ready(parcel) => parcel,
            Poll::Pending => {
                let moved = this.exchange.as_ref().map_or(0, |exchange| exchange.progress().bytes_in());
                loop {
                    ready!(streamed.stall.poll(context));
                    if std::mem::replace(&mut streamed.moved, moved) == moved {
                        break;
                    }
                    // The request goes on, and the answer may be to all of it.
                    streamed.stall.reset();
                }
                this.fail(failure(Cause::BodyTimeout));
                return Poll::Ready(Some(Err(BodyError::Timeout)));
            }
        };
        streamed.stall.reset();
        match parcel {
            None => {
                streamed.complete();
                Poll::Ready(None)
            }
            Some(Ok(parcel)) => {
                if let Some(exchange) = &this.exchange {
                    exchange.progress().add_out(parcel.len() as u64);
                }
                if calling.is_end() {
                    streamed.complete();
                }
                Poll::Ready(Some(Ok(parcel.map_frame(trailers::filtered))))
            }
            Some(Err(broken)) => {
                tracing::debug!(%broken, target = %calling.target().label(), "an answer has broken off");
                let (cause, error) = meaning(&broken);
                this.fail(failure(cause));
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let parcel = ready!(self.get_mut().poll_parcel(context, Takes::Frames));
        Poll::Ready(parcel.map(|parcel| parcel?.into_frame().map_err(|_| BodyError::CutOff)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Streamed(streamed) => streamed.whole,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streamed(streamed) => {
                let left = streamed.calling.as_ref().and_then(|calling| calling.left());
                left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
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
