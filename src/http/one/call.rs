use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::header::EXPECT;
use http::{Method, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::content::Content;
use super::outgoing::{Loaded, Outgoing};
use super::wire::{Keep, Wire};
use crate::head::{Headers, Request, RequestParts, ResponseParts};
use crate::http::codec::Length;
use crate::http::codec::Piece;
use crate::http::codec::encode;
use crate::http::codec::{HeadLimits, HeadScan, ResponseHead};
use crate::http::parcel::{Parcel, Takes};
use crate::http::pool::RESPONSE_HEAD_MAX;
use crate::http::request_body::RequestBody;
use crate::http::timer::Timer;
use crate::net::{Ending, Transport};
use crate::upstream::{Stream, Target};

/// How long a target may think about `Expect: 100-continue`, as curl's clients and Go's do.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

const LIMITS: HeadLimits = HeadLimits { head: RESPONSE_HEAD_MAX, target: RESPONSE_HEAD_MAX };

/// A connection to a target on which no request is in progress.
#[derive(Debug)]
pub(in crate::http) struct Link {
    // Boxed: it is moved from the pool to the request and back.
    wire: Box<Wire<Stream>>,
    target: Arc<Target>,
    /// Of who waits for an answer on it.
    timer: Timer,
}

impl Link {
    pub(in crate::http) fn new(stream: Stream, target: Arc<Target>) -> Self {
        Self { wire: Box::new(Wire::new(stream, None)), target, timer: Timer::default() }
    }

    pub(in crate::http) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Ready when the connection is of no more use: the target has closed it, or says something that nobody has asked for.
    pub(in crate::http) fn poll_stale(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.wire.inbox.is_empty() {
            return Poll::Ready(());
        }
        self.wire.poll_fill(context, Keep::Copied).map(|_whatever_came| ())
    }

    /// Closes it in order, as far as that needs no waiting: a TLS target is told that this was all.
    pub(in crate::http) fn close(mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _not_waited_for = Pin::new(self.wire.stream()).poll_finish(&mut context, Ending::Whole);
    }
}

/// A request on its way over a connection to a target, and the answer on its way back: both at once, by one task.
#[derive(Debug)]
pub(in crate::http) struct Call {
    link: Link,
    parts: Box<RequestParts>,
    outgoing: Outgoing<RequestBody>,
    /// All of the request is in the outbox.
    loaded: bool,
    /// Something of the body has been asked for, so that the request cannot be sent a second time.
    begun: bool,
    /// The target is asked whether it wants the body at all (RFC 9110 section 10.1.1); what it does not answer in time is
    /// taken for a yes.
    asking: Option<Pin<Box<Sleep>>>,
    /// The target takes no more of the request. What it still says counts.
    deaf: bool,
    heard: bool,
    scan: HeadScan,
    content: Content,
    /// What of the body came with its head.
    first: Option<Piece>,
    /// The target will take another request on this connection.
    keep_alive: bool,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum Broken {
    /// The request's own body has failed.
    #[error("the request's body has failed")]
    Request,
    /// The target has closed the connection, or reset it.
    #[error("the target has closed its connection")]
    Closed(#[source] Option<io::Error>),
    /// The target has not taken the request, and nothing of it was processed (HTTP/2).
    #[error("the target has refused the request's stream: {0}")]
    Refused(h2::Reason),
    /// The target has broken off the request, and only that (HTTP/2).
    #[error("the target has reset the request's stream: {0}")]
    Reset(h2::Reason),
    /// What the target says is no valid answer.
    #[error("the target's answer is not valid HTTP: {0}")]
    Malformed(String),
}

impl Call {
    /// A request whose head is ready to be sent.
    pub(in crate::http) fn new(mut link: Link, request: Request<Box<RequestBody>>) -> Self {
        link.wire.next_request();
        let (parts, body) = request.into_parts();
        let body = *body;
        let length = match body.size_hint().exact() {
            Some(0) => Length::Empty,
            Some(length) => Length::Known(length),
            None if body.is_end_stream() => Length::Empty,
            None => Length::Chunked,
        };
        let expects = parts.headers.contains_key(EXPECT);
        encode::request_head(link.wire.outbox.text(), &parts, length);
        Self {
            link,
            parts,
            outgoing: Outgoing::new(body, length),
            loaded: length == Length::Empty,
            begun: false,
            asking: (length != Length::Empty && expects).then(|| Box::pin(sleep(CONTINUE_PATIENCE))),
            deaf: false,
            heard: false,
            scan: HeadScan::default(),
            content: Content::Done,
            first: None,
            keep_alive: false,
        }
    }

    pub(in crate::http) fn target(&self) -> &Arc<Target> {
        &self.link.target
    }

    pub(in crate::http) fn take_timer(&mut self) -> Timer {
        std::mem::take(&mut self.link.timer)
    }

    pub(in crate::http) fn keep_timer(&mut self, timer: Timer) {
        self.link.timer = timer;
    }

    /// The request's method.
    pub(in crate::http) fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Whether anything of the request may have reached the target.
    pub(in crate::http) fn wrote(&self) -> bool {
        self.link.wire.wrote()
    }

    /// Whether a byte of an answer has come.
    pub(in crate::http) fn heard(&self) -> bool {
        self.heard
    }

    /// The head of the final answer; `interim` gets those before it (RFC 9110 section 15.2).
    ///
    /// # Errors
    /// See [`Broken`].
    ///
    /// # Cancel safety
    /// Nothing is lost; to be called again.
    pub(in crate::http) async fn answer(
        &mut self,
        mut interim: impl FnMut(StatusCode, Headers),
    ) -> Result<ResponseParts, Broken> {
        loop {
            let head = poll_fn(|context| self.poll_head(context)).await?;
            let status = head.parts.status;
            let asking = self.asking.take().is_some();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                interim(status, head.parts.headers);
                continue;
            }
            // It does not want the body, and the connection ends with the answer.
            self.deaf |= asking;
            self.content = Content::new(head.length);
            self.keep_alive = head.keep_alive;
            if let Content::Chunked(_) = self.content {
                // Chunks that are not valid are found while the client can still be told so. It is not waited for them.
                let first = self.content.next(&mut self.link.wire.inbox);
                let first = first.map_err(|fault| Broken::Malformed(fault.to_string()))?;
                self.first = first.filter(|piece| *piece != Piece::End);
            }
            return Ok(head.parts);
        }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Broken>> {
        self.send(context)?;
        loop {
            let asked: &Method = &self.parts.method;
            match self.scan.response(&mut self.link.wire.inbox, &LIMITS, asked) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(Broken::Malformed(fault.to_string()))),
            }
            match ready!(self.link.wire.poll_fill(context, Keep::Copied)) {
                Ok(0) => return Poll::Ready(Err(Broken::Closed(None))),
                Ok(_) => self.heard = true,
                Err(error) => return Poll::Ready(Err(Broken::Closed(Some(error)))),
            }
        }
    }

    /// The next part of the answer's body; `None` after its end.
    ///
    /// # Errors
    /// See [`Broken`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(in crate::http) fn poll_parcel(
        &mut self,
        context: &mut Context<'_>,
        takes: Takes,
    ) -> Poll<Option<Result<Parcel, Broken>>> {
        if let Err(broken) = self.send(context) {
            return Poll::Ready(Some(Err(broken)));
        }
        loop {
            let first = self.first.take().map(|first| Ok(Some(first)));
            match first.unwrap_or_else(|| self.content.next(&mut self.link.wire.inbox)) {
                Ok(Some(Piece::Data(data))) => return Poll::Ready(Some(Ok(Parcel::Frame(Frame::data(data))))),
                Ok(Some(Piece::Trailers(trailers))) => {
                    return Poll::Ready(Some(Ok(Parcel::Frame(Frame::trailers(trailers)))));
                }
                Ok(Some(Piece::End)) => return Poll::Ready(None),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Some(Err(Broken::Malformed(fault.to_string())))),
            }
            if takes == Takes::Pipes
                && let Some(polled) = self.link.wire.poll_pipe(context, self.content.left())
            {
                return Poll::Ready(Some(match ready!(polled) {
                    Ok(None) => Err(Broken::Closed(None)),
                    Ok(Some(pipe)) => {
                        self.content.took(pipe.held());
                        Ok(Parcel::Piped(pipe))
                    }
                    Err(error) => Err(Broken::Closed(Some(error))),
                }));
            }
            match ready!(self.link.wire.poll_fill(context, Keep::Shared)) {
                Ok(0) if !self.link.wire.is_truncated() && self.content.end() => self.keep_alive = false,
                Ok(0) => return Poll::Ready(Some(Err(Broken::Closed(None)))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(Broken::Closed(Some(error))))),
            }
        }
    }

    /// Whether all of the answer has been given out.
    pub(in crate::http) fn is_end(&self) -> bool {
        self.content.is_done() && self.first.is_none()
    }

    /// What is still to come of the answer's body, if that is known.
    pub(in crate::http) fn left(&self) -> Option<u64> {
        // What came of chunks may be all of them, and have trailers behind it.
        if self.first.is_some() { None } else { self.content.left() }
    }

    /// Sends what can be sent of the request. Whether the target takes it is for its answer to say: one that closes its
    /// reading side may have answered before.
    ///
    /// # Errors
    /// [`Broken::Request`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(in crate::http) fn send(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        loop {
            if self.deaf {
                return Ok(());
            }
            let mut full = false;
            if let Some(patience) = &mut self.asking
                && patience.as_mut().poll(context).is_ready()
            {
                self.asking = None;
            }
            if !self.loaded && self.asking.is_none() {
                self.begun = true;
                match self.outgoing.load(&mut self.link.wire.outbox, context) {
                    Ok(Loaded::All) => self.loaded = true,
                    Ok(Loaded::Full) => full = true,
                    Ok(Loaded::Waiting) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a request's body has failed");
                        return Err(Broken::Request);
                    }
                }
            }
            match self.link.wire.poll_drain(context) {
                Poll::Ready(Ok(())) if full => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "a target takes no more of a request");
                    self.deaf = true;
                }
            }
        }
    }

    /// The connection, and whether the target will take another request on it: all of both messages has gone over it, and
    /// nothing else.
    pub(in crate::http) fn into_link(self) -> (Link, bool) {
        let end = self.is_end();
        let wire = &*self.link.wire;
        let whole = self.loaded && wire.outbox.is_empty() && end;
        let free = whole && self.keep_alive && !self.deaf && wire.inbox.is_empty();
        (self.link, free)
    }

    /// The stream, and what the target has sent on it behind its head, after a 101 (RFC 9110 section 7.8).
    pub(in crate::http) fn into_stream(self) -> (Stream, BytesMut) {
        self.link.wire.into_parts()
    }

    /// The request as it was, if nothing of its body has been asked for.
    pub(in crate::http) fn into_request(self) -> Option<Request<Box<RequestBody>>> {
        let body = self.outgoing.into_body();
        (!self.begun).then(|| Request::from_parts(self.parts, Box::new(body)))
    }
}
