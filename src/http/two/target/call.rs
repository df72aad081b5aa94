use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use http_body::{Body, Frame};

use super::mux::Slot;
use super::outgoing::Outgoing;
use super::request;
use crate::head::{Headers, Request, RequestParts, ResponseParts};
use crate::http::one::Broken;
use crate::http::request_body::RequestBody;
use crate::http::two::strand::Strand;
use crate::http::websocket;
use crate::upstream::Target;

/// What is said of a target that is gone without a word.
const SILENT: &str = "the target was silent and has not answered a PING";

/// A request on a stream of a target's connection, and the answer to it. Dropping it resets the stream.
#[derive(Debug)]
pub(in crate::http) struct Call {
    parts: Box<RequestParts>,
    request: Sending,
    answer: Answer,
    heard: bool,
    /// It is an extended `CONNECT`: its stream may become a tunnel.
    extended: bool,
    /// What is still to come of the answer's body, if its head has said so.
    left: Option<u64>,
    // After the stream's own, so that its place is free when the stream is.
    slot: Slot,
}

/// Who sends the request.
#[derive(Debug)]
enum Sending {
    /// This call, whenever it is polled.
    Here(Outgoing),
    /// Nobody: the stream could not be opened.
    Unsent(RequestBody),
}

#[derive(Debug)]
enum Answer {
    /// There will be none, for this reason.
    None(Option<Broken>),
    Head(ResponseFuture),
    Body(RecvStream),
    Trailers(RecvStream),
    Done,
}

impl Call {
    /// Sends the head, and of the body what is there.
    pub(in crate::http) fn new(mut slot: Slot, request: Request<Box<RequestBody>>) -> Self {
        let (parts, body) = request.into_parts();
        let body = *body;
        let ended = body.is_end_stream();
        let extended = ended && slot.takes_websockets() && websocket::is_asked(&parts.headers);
        let sent = match request::head(&parts, slot.mux().scheme(), extended) {
            Some(head) => slot.sender.send_request(head, ended && !extended).map_err(|error| broken(error, &slot)),
            None => Err(Broken::Malformed("the request's host cannot be an HTTP/2 authority".into())),
        };
        let (request, answer) = match sent {
            Ok((answer, stream)) => (Sending::Here(Outgoing::new(body, stream, ended)), Answer::Head(answer)),
            Err(broken) => (Sending::Unsent(body), Answer::None(Some(broken))),
        };
        Self { parts, request, answer, heard: false, extended, left: None, slot }
    }

    pub(in crate::http) fn target(&self) -> &Arc<Target> {
        self.slot.mux().target()
    }

    pub(in crate::http) fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(in crate::http) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Whether a success makes a tunnel of its stream.
    pub(in crate::http) fn is_extended(&self) -> bool {
        self.extended
    }

    /// Whether an answer has begun.
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
        let parts = poll_fn(|context| self.poll_head(context, &mut interim)).await?;
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        self.left = length.and_then(|length| length.parse().ok());
        if !self.is_end() {
            self.settle();
        }
        Ok(parts)
    }

    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        interim: &mut impl FnMut(StatusCode, Headers),
    ) -> Poll<Result<ResponseParts, Broken>> {
        self.send(context)?;
        let answer = match &mut self.answer {
            Answer::Head(answer) => answer,
            Answer::None(broken) => return Poll::Ready(Err(broken.take().unwrap_or(Broken::Closed(None)))),
            Answer::Body(_) | Answer::Trailers(_) | Answer::Done => return Poll::Ready(Err(Broken::Closed(None))),
        };
        while let Poll::Ready(Some(Ok(response))) = answer.poll_informational(context) {
            self.heard = true;
            let (parts, ()) = response.into_parts();
            interim(parts.status, parts.headers.into());
        }
        let answer = ready!(Pin::new(answer).poll(context));
        let response = answer.map_err(|error| broken(error, &self.slot))?;
        self.heard = true;
        let (parts, body) = response.into_parts();
        self.answer = Answer::Body(body);
        Poll::Ready(Ok(parts.into()))
    }

    /// The answer has come while the request may still be on its way.
    fn settle(&mut self) {
        match &mut self.request {
            Sending::Here(outgoing) => outgoing.settle(),
            Sending::Unsent(_) => {}
        }
    }

    /// Sends what can be sent of the request.
    ///
    /// # Errors
    /// [`Broken::Request`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(in crate::http) fn send(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        match &mut self.request {
            Sending::Here(outgoing) => match outgoing.poll(context) {
                Poll::Ready(Err(broken)) => Err(broken),
                Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
            },
            Sending::Unsent(_) => Ok(()),
        }
    }

    /// The next frame of the answer's body; `None` after its end.
    ///
    /// # Errors
    /// See [`Broken`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(in crate::http) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Err(broken) = self.send(context) {
            return Poll::Ready(Some(Err(broken)));
        }
        loop {
            match &mut self.answer {
                Answer::None(_) | Answer::Head(_) | Answer::Done => return Poll::Ready(None),
                Answer::Body(body) => match ready!(body.poll_data(context)) {
                    Some(Ok(data)) => {
                        // It has left our memory when the client's stream takes it, and is not asked for before it can.
                        let released = body.flow_control().release_capacity(data.len());
                        tracing::trace!(?released, "an answer goes on");
                        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Some(Err(error)) if self.is_whole_after(&error) => self.answer = Answer::Done,
                    Some(Err(error)) => return self.fail(error),
                    None => {
                        if let Answer::Body(body) = std::mem::replace(&mut self.answer, Answer::Done) {
                            self.answer = Answer::Trailers(body);
                        }
                    }
                },
                Answer::Trailers(body) => match ready!(body.poll_trailers(context)) {
                    Ok(trailers) => {
                        self.answer = Answer::Done;
                        return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                    }
                    Err(error) => return self.fail(error),
                },
            }
        }
    }

    fn fail(&mut self, error: h2::Error) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.answer = Answer::Done;
        Poll::Ready(Some(Err(broken(error, &self.slot))))
    }

    /// Whether the target only says that it wants no more of the request: it has answered (RFC 9113 section 8.1).
    fn is_whole_after(&self, error: &h2::Error) -> bool {
        error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR) && self.left == Some(0)
    }

    /// Whether all of the answer has been given out.
    pub(in crate::http) fn is_end(&self) -> bool {
        match &self.answer {
            Answer::None(_) | Answer::Head(_) => false,
            Answer::Body(body) | Answer::Trailers(body) => body.is_end_stream(),
            Answer::Done => true,
        }
    }

    /// What is still to come of the answer's body, if that is known.
    pub(in crate::http) fn left(&self) -> Option<u64> {
        self.left
    }

    /// The stream as a tunnel, after a success that makes it one, and its place.
    pub(in crate::http) fn into_strand(self) -> Option<(Strand, Slot)> {
        match (self.request, self.answer) {
            (Sending::Here(outgoing), Answer::Body(body)) if self.extended => {
                Some((Strand::new(outgoing.into_stream(), body), self.slot))
            }
            (_, _) => None,
        }
    }

    /// The request as it was, if all of it is still here.
    pub(in crate::http) fn into_request(self) -> Option<Request<Box<RequestBody>>> {
        let body = match self.request {
            Sending::Here(outgoing) => outgoing.into_body()?,
            Sending::Unsent(body) => body,
        };
        Some(Request::from_parts(self.parts, Box::new(body)))
    }
}

/// What an error on a stream means.
fn broken(error: h2::Error, slot: &Slot) -> Broken {
    match error.reason() {
        // Of a stream that GOAWAY leaves out, and of one that is refused, nothing was processed (RFC 9113 section 8.7).
        Some(reason) if error.is_remote() && (error.is_go_away() || reason == Reason::REFUSED_STREAM) => {
            if error.is_go_away() {
                slot.mux().retire();
            }
            Broken::Refused(reason)
        }
        Some(reason) if error.is_remote() => Broken::Reset(reason),
        Some(_) => Broken::Malformed(error.to_string()),
        None if slot.mux().is_silent() => Broken::Closed(Some(io::Error::new(io::ErrorKind::TimedOut, SILENT))),
        None if error.is_io() => Broken::Closed(error.into_io()),
        None => Broken::Malformed(error.to_string()),
    }
}
