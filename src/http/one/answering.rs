use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{Method, StatusCode, Version};
use http_body::{Body as _, Frame};

use super::content::Content;
use super::date;
use super::feed::Feeder;
use super::outbox::Outbox;
use super::outgoing::{Loaded, Outgoing};
use super::wire::{Keep, Wire};
use crate::head::{Headers, Response};
use crate::http::body::Body;
use crate::http::codec::Length;
use crate::http::codec::Piece;
use crate::http::codec::ReasonPhrase;
use crate::http::codec::encode::{self, ResponseFraming};
use crate::http::incoming::{DISCARDED_MAX, IncomingError};
use crate::http::parcel::{Parcel, Takes};
use crate::http::progress::Progress as Told;
use crate::http::{hop, websocket};
use crate::net::Transport;
use crate::outcome::Cause;

/// What is read of requests behind the one that is being answered. More stays in the kernel, where it holds the client up.
const PIPELINED_MAX: usize = 8 * 1024;

/// The framing of an interim answer.
const NO_BODY: ResponseFraming = ResponseFraming { length: Length::Empty, declared: None, connection: None };

/// What a request has said of itself that its answer has to respect.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// None if the head could not be read.
    pub(super) method: Option<Method>,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

/// One request on its way to its answer, and the answer on its way to the client.
#[derive(Debug)]
pub(super) struct Answering<F> {
    asked: Asked,
    /// What comes before the answer.
    told: Arc<Told>,
    /// The request's body, as far as it has not come.
    content: Content,
    /// Gives it to who handles the request; none if nobody wants it, or no more of it.
    feeder: Option<Feeder>,
    /// Boxed: an idle connection would carry the room for the largest of all requests.
    handling: Option<Pin<Box<F>>>,
    outgoing: Option<Outgoing<Body>>,
    /// The outbox has all of the answer that there will be.
    over: Option<Progress>,
    /// The connection ends behind the answer.
    close: bool,
    /// The client has been told to send the body.
    continued: bool,
    discarded: u64,
    /// The framing of the request's body is broken.
    broken: bool,
    /// The answer ends with the connection.
    unframed: bool,
}

/// How far an answer has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is being made.
    Waiting,
    /// The outbox is full.
    Full,
    /// All of it is in the outbox.
    Sent,
    /// What there is of it is in the outbox, and no more will come.
    Broken,
}

/// What reading the client's side has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// Something has happened: look again.
    Moved,
    /// Nothing more can be done now.
    Waiting,
    /// The same, and nothing more is read for now: only a look at the socket tells whether the client is still there.
    Full,
    /// The client has left.
    Gone(Cause),
}

/// What has become of a body that nobody wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discarded {
    /// It is gone, and the next request may come.
    All,
    /// The client still has to send it.
    Waiting,
    /// It is too much, or broken, or the client would not have sent it.
    Never,
    /// The client has reset its connection.
    Lost,
}

impl<F: Future<Output = Response<Body>>> Answering<F> {
    pub(super) fn new(
        asked: Asked,
        (told, handling): (Arc<Told>, F),
        content: Content,
        feeder: Option<Feeder>,
    ) -> Self {
        Self {
            asked,
            told,
            content,
            feeder,
            handling: Some(Box::pin(handling)),
            outgoing: None,
            over: None,
            close: false,
            continued: false,
            discarded: 0,
            broken: false,
            unframed: false,
        }
    }

    /// Makes and encodes what can be made of the answer. `leaving`: the connection is not to take another request.
    pub(super) fn answer(&mut self, context: &mut Context<'_>, outbox: &mut Outbox, leaving: bool) -> Progress {
        if let Some(handling) = &mut self.handling {
            let handled = handling.as_mut().poll(context);
            // What a client does not take is not made more: a target may send these without end.
            for (status, headers) in if outbox.has_room() { self.told.take_interim() } else { Vec::new() } {
                let is_continue = status == StatusCode::CONTINUE;
                let unasked = is_continue && (self.continued || !self.asked.expects_continue);
                // HTTP/1.0 knows none (RFC 9110 section 15.2).
                if self.asked.version == Version::HTTP_11 && !unasked {
                    self.continued |= is_continue;
                    encode::response_head(outbox.text(), status, None, &headers, NO_BODY);
                }
            }
            let Poll::Ready(response) = handled else { return Progress::Waiting };
            // Those that found no room are late now.
            drop(self.told.take_interim());
            self.handling = None;
            self.outgoing = Some(self.begin(response, outbox, leaving));
        }
        if let Some(over) = self.over {
            return over;
        }
        let Some(outgoing) = &mut self.outgoing else { return Progress::Waiting };
        match outgoing.load(outbox, context) {
            Ok(Loaded::Waiting) => Progress::Waiting,
            Ok(Loaded::Full) => Progress::Full,
            Ok(Loaded::All) => *self.over.insert(Progress::Sent),
            Err(error) => {
                tracing::debug!(%error, "an answer has broken off");
                *self.over.insert(Progress::Broken)
            }
        }
    }

    /// Encodes the head.
    fn begin(&mut self, response: Response<Body>, outbox: &mut Outbox, leaving: bool) -> Outgoing<Body> {
        let opened = websocket::is_opened(&response);
        let (mut parts, body) = response.into_parts();
        let (status, headers) = (parts.status, &mut parts.headers);
        let switching = status == StatusCode::SWITCHING_PROTOCOLS || opened;
        let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let exact = body.size_hint().exact();
        let head_only = self.asked.method == Some(Method::HEAD);
        let without = head_only || switching || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        let (length, declared) = match exact {
            _ if head_only => (Length::Empty, said.or(exact.filter(|length| *length > 0))),
            _ if status == StatusCode::NOT_MODIFIED => (Length::Empty, said),
            _ if without => (Length::Empty, None),
            Some(length) => (Length::Known(length), None),
            None if self.asked.version == Version::HTTP_11 => (Length::Chunked, None),
            None => (Length::UntilClose, None),
        };
        // What the client was not asked for it may send or not, and there is too much of some bodies to throw away.
        let unwanted = self.feeder.as_ref().is_none_or(Feeder::is_dropped) && self.is_beyond_discarding();
        // What a client has sent behind a `CONNECT` was meant for the tunnel, and is no request of its own.
        let refused = self.asked.method == Some(Method::CONNECT) && !opened;
        self.close = leaving
            || unwanted
            || refused
            || !self.asked.keep_alive
            || length == Length::UntilClose
            || hop::has_token(headers, &CONNECTION, "close");
        self.unframed = length == Length::UntilClose;
        let connection = match (switching, self.close) {
            (true, _) => None,
            (false, true) => Some("close"),
            // What HTTP/1.0 does not take for granted.
            (false, false) => (self.asked.version == Version::HTTP_10).then_some("keep-alive"),
        };
        if !switching {
            headers.remove(CONNECTION);
        }
        if !headers.contains_key(DATE)
            && let Some(date) = date::now()
        {
            headers.insert(DATE, date);
        }
        let reason = parts.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
        let framing = ResponseFraming { length, declared, connection };
        encode::response_head(outbox.text(), status, reason, headers, framing);
        Outgoing::new(body, length)
    }

    /// Reads what the client's side is wanted for: the request's body, or to see whether the client is still there.
    pub(super) fn feed<S: Transport>(&mut self, context: &mut Context<'_>, wire: &mut Wire<S>) -> Fed {
        let Some(feeder) = self.feeder.take().filter(|feeder| !feeder.is_dropped()) else {
            return self.watch(context, wire);
        };
        let fed = match feeder.wanted() {
            Some(takes) => self.give(context, wire, &feeder, takes),
            None => Fed::Full,
        };
        if !self.content.is_done() && !self.broken {
            self.feeder = Some(feeder);
        }
        fed
    }

    fn give<S: Transport>(
        &mut self,
        context: &mut Context<'_>,
        wire: &mut Wire<S>,
        feeder: &Feeder,
        takes: Takes,
    ) -> Fed {
        if self.asked.expects_continue && !self.continued && self.outgoing.is_none() {
            self.continued = true;
            encode::response_head(wire.outbox.text(), StatusCode::CONTINUE, None, &Headers::new(), NO_BODY);
            return Fed::Moved;
        }
        let piece = match self.content.next(&mut wire.inbox) {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                if takes == Takes::Pipes
                    && let Some(polled) = wire.poll_pipe(context, self.content.left())
                {
                    return match polled {
                        Poll::Ready(Ok(None)) => Fed::Gone(Cause::ClosedEarly),
                        Poll::Ready(Ok(Some(pipe))) => {
                            self.content.took(pipe.held());
                            feeder.put(Parcel::Piped(pipe), self.content.left(), context.waker());
                            Fed::Moved
                        }
                        Poll::Ready(Err(_)) => Fed::Gone(Cause::Reset),
                        Poll::Pending => Fed::Waiting,
                    };
                }
                return match wire.poll_fill(context, Keep::Shared) {
                    Poll::Ready(Ok(0)) => Fed::Gone(Cause::ClosedEarly),
                    Poll::Ready(Ok(_)) => Fed::Moved,
                    Poll::Ready(Err(_)) => Fed::Gone(Cause::Reset),
                    Poll::Pending => Fed::Waiting,
                };
            }
            Err(fault) => {
                tracing::debug!(%fault, "a request's body is refused");
                feeder.end(Err(IncomingError::Malformed));
                self.broken = true;
                return Fed::Moved;
            }
        };
        match piece {
            Piece::Data(data) => {
                feeder.put(Parcel::Frame(Frame::data(data)), self.content.left(), context.waker());
            }
            Piece::Trailers(trailers) => {
                feeder.put(Parcel::Frame(Frame::trailers(trailers)), self.content.left(), context.waker());
            }
            Piece::End => feeder.end(Ok(())),
        }
        Fed::Moved
    }

    /// Reads on behind a request that has come whole: to hear of the client's leaving.
    fn watch<S: Transport>(&mut self, context: &mut Context<'_>, wire: &mut Wire<S>) -> Fed {
        if !self.content.is_done() || wire.inbox.len() >= PIPELINED_MAX {
            return Fed::Full;
        }
        match wire.poll_fill(context, Keep::Copied) {
            Poll::Ready(Ok(0)) => Fed::Gone(Cause::ClosedEarly),
            Poll::Ready(Ok(_)) => Fed::Moved,
            Poll::Ready(Err(_)) => Fed::Gone(Cause::Reset),
            Poll::Pending => Fed::Waiting,
        }
    }

    /// Throws away what is left of the request's body.
    pub(super) fn discard<S: Transport>(&mut self, context: &mut Context<'_>, wire: &mut Wire<S>) -> Discarded {
        // The body goes as soon as nobody wants it: it may be what the request's handling waits for.
        self.feeder = None;
        if self.content.is_done() {
            return Discarded::All;
        }
        if self.broken || self.close || self.is_beyond_discarding() {
            return Discarded::Never;
        }
        loop {
            match self.content.next(&mut wire.inbox) {
                Ok(Some(Piece::Data(data))) => self.discarded = self.discarded.saturating_add(data.len() as u64),
                Ok(Some(Piece::Trailers(_))) => {}
                Ok(Some(Piece::End)) => return Discarded::All,
                Ok(None) => match wire.poll_fill(context, Keep::Shared) {
                    Poll::Ready(Ok(0)) => return Discarded::Never,
                    Poll::Ready(Err(_)) => return Discarded::Lost,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => return Discarded::Waiting,
                },
                Err(_) => return Discarded::Never,
            }
            if self.discarded > DISCARDED_MAX {
                return Discarded::Never;
            }
        }
    }

    /// Whether what is left of the request's body cannot be thrown away: the client may not send it, or it is too much.
    fn is_beyond_discarding(&self) -> bool {
        let unasked = self.asked.expects_continue && !self.continued;
        let much = self.content.left().is_some_and(|left| left > DISCARDED_MAX);
        !self.content.is_done() && (unasked || much)
    }

    /// Notes how much of the answer's body is not written, and never will be.
    pub(super) fn set_unsent(&self, bytes: u64) {
        self.told.set_unsent(bytes);
    }

    /// Whether the answer has begun and is not all in the outbox.
    pub(super) fn is_under_way(&self) -> bool {
        self.outgoing.is_some() && !self.is_sent()
    }

    /// Whether only the end of the connection shows the end of the answer.
    pub(super) fn is_unframed(&self) -> bool {
        self.unframed
    }

    /// Whether the connection ends behind the answer.
    pub(super) fn closes(&self) -> bool {
        self.close
    }

    /// Whether the client may still be sending what nobody will read.
    pub(super) fn is_unread(&self) -> bool {
        self.broken || !self.content.is_done()
    }

    /// Whether all of the answer is in the outbox.
    pub(super) fn is_sent(&self) -> bool {
        self.over == Some(Progress::Sent)
    }
}
