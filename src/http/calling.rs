use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, StatusCode};

use super::one::{self, Broken, Link};
use super::parcel::{Parcel, Takes};
use super::pool::Terms;
use super::request_body::RequestBody;
use super::timer::Timer;
use super::two::{self, Far, Mux, Slot};
use crate::connection::ConnectionId;
use crate::head::{Headers, Request, ResponseParts};
use crate::net::{Owner, Prefixed};
use crate::upstream::Target;

/// A target's connection, or a place on one, for the use of one request. Dropping it gives it up at once.
#[derive(Debug)]
pub(super) enum Lease {
    /// A connection of its own.
    Http1(Link, Terms),
    /// A stream of a connection that others share.
    Http2(Slot),
}

/// A request in progress at a target. Dropping it breaks it off: its connection is closed, or its stream reset.
// Boxed: it is moved from the request's handling into the answer's body, and it is large.
#[derive(Debug)]
pub(super) enum Calling {
    /// On a connection of its own.
    Http1(Box<(one::Call, Terms)>),
    /// On a stream.
    Http2(Box<two::Call>),
}

impl Lease {
    pub(super) fn target(&self) -> &Arc<Target> {
        match self {
            Self::Http1(link, _) => link.target(),
            Self::Http2(slot) => slot.mux().target(),
        }
    }

    /// The shared connection, if it is one.
    pub(super) fn mux(&self) -> Option<&Arc<Mux>> {
        match self {
            Self::Http1(..) => None,
            Self::Http2(slot) => Some(slot.mux()),
        }
    }

    /// Whether a WebSocket can be opened on it.
    pub(super) fn takes_websockets(&self) -> bool {
        match self {
            Self::Http1(..) => true,
            Self::Http2(slot) => slot.takes_websockets(),
        }
    }

    /// Begins a request.
    pub(super) fn call(self, request: Request<Box<RequestBody>>) -> Calling {
        match self {
            Self::Http1(link, terms) => Calling::Http1(Box::new((one::Call::new(link, request), terms))),
            Self::Http2(slot) => Calling::Http2(Box::new(two::Call::new(slot, request))),
        }
    }
}

impl Calling {
    pub(super) fn target(&self) -> &Arc<Target> {
        match self {
            Self::Http1(calling) => calling.0.target(),
            Self::Http2(call) => call.target(),
        }
    }

    /// The timer of who waits for the answer, if the connection has one.
    pub(super) fn take_timer(&mut self) -> Timer {
        match self {
            Self::Http1(calling) => calling.0.take_timer(),
            Self::Http2(_) => Timer::default(),
        }
    }

    /// Keeps it for the next request on the connection.
    pub(super) fn keep_timer(&mut self, timer: Timer) {
        match self {
            Self::Http1(calling) => calling.0.keep_timer(timer),
            Self::Http2(_) => {}
        }
    }

    /// The request's method.
    pub(super) fn method(&self) -> &Method {
        match self {
            Self::Http1(calling) => calling.0.method(),
            Self::Http2(call) => call.method(),
        }
    }

    /// Whether the connection has served another request before.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(calling) => calling.1.is_reused(),
            Self::Http2(call) => call.slot().is_reused(),
        }
    }

    /// Whether the connection can become something else than HTTP, by a 101.
    pub(super) fn can_switch(&self) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2(_) => false,
        }
    }

    /// Whether a success makes a tunnel of the request's stream (RFC 8441 section 4).
    pub(super) fn is_extended(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(call) => call.is_extended(),
        }
    }

    /// Whether anything of the request may have reached the target.
    pub(super) fn wrote(&self) -> bool {
        match self {
            Self::Http1(calling) => calling.0.wrote(),
            Self::Http2(_) => true,
        }
    }

    /// Whether something of an answer has come.
    pub(super) fn heard(&self) -> bool {
        match self {
            Self::Http1(calling) => calling.0.heard(),
            Self::Http2(call) => call.heard(),
        }
    }

    /// The target has left a request without an answer: it may be gone without a word, and others are not to wait for it on
    /// the same connection.
    pub(super) fn distrust(&self) {
        match self {
            // It ends with the request.
            Self::Http1(_) => {}
            Self::Http2(call) => call.slot().mux().retire(),
        }
    }

    /// The head of the final answer; `interim` gets those before it (RFC 9110 section 15.2).
    ///
    /// # Errors
    /// See [`Broken`].
    ///
    /// # Cancel safety
    /// Nothing is lost; to be called again.
    pub(super) async fn answer(&mut self, interim: impl FnMut(StatusCode, Headers)) -> Result<ResponseParts, Broken> {
        match self {
            Self::Http1(calling) => calling.0.answer(interim).await,
            Self::Http2(call) => call.answer(interim).await,
        }
    }

    /// The next part of the answer's body; `None` after its end.
    ///
    /// # Errors
    /// See [`Broken`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) fn poll_parcel(
        &mut self,
        context: &mut Context<'_>,
        takes: Takes,
    ) -> Poll<Option<Result<Parcel, Broken>>> {
        match self {
            Self::Http1(calling) => calling.0.poll_parcel(context, takes),
            Self::Http2(call) => call.poll_frame(context).map(|frame| Some(frame?.map(Parcel::Frame))),
        }
    }

    /// Sends what can be sent of the request, while nobody asks for more of the answer.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(super) fn mind_request(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        match self {
            Self::Http1(calling) => calling.0.send(context),
            Self::Http2(call) => call.send(context),
        }
    }

    /// Whether all of the answer has been given out.
    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::Http1(calling) => calling.0.is_end(),
            Self::Http2(call) => call.is_end(),
        }
    }

    /// What is still to come of the answer's body, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Http1(calling) => calling.0.left(),
            Self::Http2(call) => call.left(),
        }
    }

    /// The request as it was, if it can be sent once more.
    pub(super) fn into_request(self) -> Option<Request<Box<RequestBody>>> {
        match self {
            Self::Http1(calling) => calling.0.into_request(),
            Self::Http2(call) => call.into_request(),
        }
    }

    /// Gives the connection to the next request if it can take one: all of the request has been sent, and all of the
    /// answer has come. If not, it is closed in order, or the stream reset.
    pub(super) fn give_back(self) {
        match self {
            Self::Http1(calling) => {
                let (call, terms) = *calling;
                terms.give_back(call.into_link());
            }
            Self::Http2(call) => drop(call),
        }
    }

    /// What leads to the target when HTTP has ended there: after a 101, or a success where that makes a tunnel.
    pub(super) fn into_far(self, connection: ConnectionId) -> Option<Far> {
        match self {
            Self::Http1(calling) => {
                let (call, terms) = *calling;
                let (stream, leftover) = call.into_stream();
                stream.assign(Owner::Target(connection.0));
                Some(Far::Socket(Prefixed::new(leftover.freeze(), stream), terms.into_in_flight()))
            }
            Self::Http2(call) => call.into_strand().map(|(strand, slot)| Far::Strand(strand, slot)),
        }
    }
}
