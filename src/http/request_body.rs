use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::body::BodyError;
use super::incoming::{Incoming, IncomingError};
use super::parcel::{Parcel, Parcels, Takes};
use super::progress::Progress;
use super::rate::{MinRate, Rate};
use super::stall::{Over, Stall};
use super::trailers;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// The body of a client's request, on its way to a target.
///
/// It counts, ends with an error at the limit or when the client stalls or is too slow, and tells the exchange why.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    /// What was taken already, and is to be sent a second time.
    again: VecDeque<Frame<Bytes>>,
    progress: Arc<Progress>,
    stall: Stall,
    /// How the client keeps to the rate that it has to keep to.
    rate: Option<Rate>,
    /// What may still come; `None` is no limit.
    allowed: Option<u64>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, progress: &Arc<Progress>, timeout: Duration, limit: Option<u64>) -> Self {
        if http_body::Body::is_end_stream(&incoming) {
            progress.set_sent();
        }
        let (progress, stall) = (Arc::clone(progress), Stall::new(timeout));
        Self { incoming: Some(incoming), again: VecDeque::new(), progress, stall, rate: None, allowed: limit }
    }

    /// Holds the client to a rate, where there is one.
    pub(super) fn with_least(self, least: Option<MinRate>) -> Self {
        Self { rate: least.map(Rate::new), ..self }
    }

    /// Gives back what was taken of it, all of it and in order.
    pub(super) fn put_back(&mut self, frames: impl IntoIterator<Item = Frame<Bytes>>) {
        self.again.extend(frames);
    }

    /// The client may be silent for as long as it wants, and slow: somebody else minds whether anything moves at all.
    pub(super) fn be_patient(&mut self) {
        self.stall = Stall::new(Duration::ZERO);
        self.rate = None;
    }

    fn fail(&mut self, party: Party, cause: Cause, error: BodyError) -> Poll<Option<Result<Parcel, BodyError>>> {
        self.progress.set_fault(Outcome::new(Phase::Serve, party, cause));
        // What the client still sends is read and thrown away by who serves it.
        self.incoming = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Parcels for RequestBody {
    fn poll_parcel(&mut self, context: &mut Context<'_>, takes: Takes) -> Poll<Option<Result<Parcel, BodyError>>> {
        let this = self;
        if let Some(frame) = this.again.pop_front() {
            return Poll::Ready(Some(Ok(Parcel::Frame(frame))));
        }
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let parcel = match incoming.poll_parcel(context, takes) {
            Poll::Ready(parcel) => parcel,
            Poll::Pending => {
                this.progress.set_starving(true);
                let slow = this.rate.as_mut().and_then(|rate| rate.wait(Instant::now()));
                return match ready!(this.stall.poll_with(context, slow)) {
                    Over::Silent => this.fail(Party::Client, Cause::BodyTimeout, BodyError::Timeout),
                    Over::Slow => this.fail(Party::Client, Cause::RequestBodySlow, BodyError::Slow),
                };
            }
        };
        this.progress.set_starving(false);
        this.stall.reset();
        if let Some(rate) = &mut this.rate {
            rate.pause(Instant::now());
        }
        match parcel {
            None => {
                this.progress.set_sent();
                Poll::Ready(None)
            }
            Some(Ok(parcel)) => {
                let length = parcel.len() as u64;
                this.progress.add_in(length);
                if let Some(rate) = &mut this.rate {
                    rate.moved(length, Instant::now());
                }
                if let Some(allowed) = &mut this.allowed {
                    match allowed.checked_sub(length) {
                        Some(rest) => *allowed = rest,
                        None => return this.fail(Party::Client, Cause::RequestBodyTooLarge, BodyError::TooLarge),
                    }
                }
                if http_body::Body::is_end_stream(this) {
                    this.progress.set_sent();
                }
                Poll::Ready(Some(Ok(parcel.map_frame(trailers::filtered))))
            }
            Some(Err(error)) => {
                let cause = match error {
                    IncomingError::Malformed => Cause::RequestMalformed,
                    IncomingError::Reset => Cause::Reset,
                    IncomingError::ClosedEarly => Cause::ClosedEarly,
                };
                this.fail(Party::Client, cause, BodyError::CutOff)
            }
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let parcel = ready!(self.get_mut().poll_parcel(context, Takes::Frames));
        Poll::Ready(parcel.map(|parcel| parcel?.into_frame().map_err(|_| BodyError::CutOff)))
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_empty() && self.incoming.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let coming = self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint);
        let again: u64 = self.again.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        match coming.exact() {
            Some(left) if !self.again.iter().any(Frame::is_trailers) => {
                SizeHint::with_exact(left.saturating_add(again))
            }
            Some(_) | None => SizeHint::default(),
        }
    }
}
