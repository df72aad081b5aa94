//! Answers of the proxy's own.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{StatusCode, Version};

use super::body::Body;
use super::errors::ErrorAnswers;
use super::exchange::Exchange;
use crate::head::{Headers, Response, ResponseParts};
use crate::outcome::{Cause, Outcome};

/// The name of the field that carries the request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer with a body that is known whole: the end of the exchange is that it has been written.
#[must_use]
pub fn whole(status: StatusCode, body: impl Into<Bytes>, exchange: Exchange) -> Response<Body> {
    whole_with(status, body, exchange, |_, _| {})
}

/// [`whole`] with fields that `fill` adds while the exchange is at hand.
#[must_use]
pub fn whole_with(
    status: StatusCode,
    body: impl Into<Bytes>,
    mut exchange: Exchange,
    fill: impl FnOnce(&mut Headers, &Exchange),
) -> Response<Body> {
    exchange.set_status(status);
    let mut headers = Headers::new();
    headers.insert(X_REQUEST_ID, exchange.id().header().clone());
    fill(&mut headers, &exchange);
    Response::from_parts(ResponseParts::new(status, Version::HTTP_11, headers), Body::whole(body.into(), exchange))
}

/// The answer to a request that has failed: the status that belongs to the cause, and a page of the
/// operator's or a few words with the request's id.
#[must_use]
pub fn failure(outcome: Outcome, exchange: Exchange) -> Response<Body> {
    failure_with(status_of(outcome.cause), outcome, exchange)
}

/// [`failure`] with another status.
#[must_use]
pub fn failure_with(status: StatusCode, outcome: Outcome, exchange: Exchange) -> Response<Body> {
    exchange.fail(outcome);
    let multiplexed = exchange.version() == Version::HTTP_2;
    let close = !multiplexed && (ends_connection(outcome.cause) || turns_away(outcome.cause));
    if close {
        exchange.activity().set_fatal(outcome);
    } else if multiplexed && turns_away(outcome.cause) {
        exchange.activity().set_parting(outcome);
    }
    let ours = ErrorAnswers::default();
    let errors = exchange.errors().map_or(&ours, |errors| &**errors);
    let (content_type, body) = errors.write(status, outcome.cause, &exchange);
    let mut response = whole(status, body, exchange);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The status that tells a client of a cause.
#[must_use]
pub const fn status_of(cause: Cause) -> StatusCode {
    match cause {
        Cause::RequestMalformed | Cause::TlsExpected => StatusCode::BAD_REQUEST,
        Cause::Blocked | Cause::Denied => StatusCode::FORBIDDEN,
        Cause::Unauthenticated => StatusCode::UNAUTHORIZED,
        Cause::NoRoute => StatusCode::NOT_FOUND,
        Cause::RequestHeadTimeout | Cause::RequestHeadSlow | Cause::RequestBodySlow => StatusCode::REQUEST_TIMEOUT,
        Cause::RequestBodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Cause::Looped => StatusCode::LOOP_DETECTED,
        Cause::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Cause::RequestHeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Cause::Refused
        | Cause::Unreachable
        | Cause::ResolveFailed
        | Cause::ConnectFailed
        | Cause::UpstreamTls
        | Cause::ResponseMalformed
        | Cause::TargetClosed
        | Cause::NoWebsockets
        | Cause::Reset
        | Cause::ProtocolError => StatusCode::BAD_GATEWAY,
        Cause::NoTarget
        | Cause::AuthenticationBusy
        | Cause::OutOfDescriptors
        | Cause::RouteConnectionLimit
        | Cause::ClientConnectionLimit
        | Cause::LifetimeReached
        | Cause::Drained
        | Cause::Cut
        | Cause::Killed => StatusCode::SERVICE_UNAVAILABLE,
        Cause::ConnectTimeout | Cause::UpstreamTlsTimeout | Cause::ResponseHeadTimeout | Cause::BodyTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        // The client is gone, or the fault was met before there was a request; an answer is an answer to nobody.
        Cause::ClosedEarly
        | Cause::Empty
        | Cause::ProxyHeaderMissing
        | Cause::ProxyHeaderMalformed
        | Cause::ProxyHeaderUntrusted
        | Cause::SniffTimeout
        | Cause::HelloMalformed
        | Cause::HelloTooLarge
        | Cause::NoCertificate
        | Cause::HandshakeFailed
        | Cause::HandshakeTimeout
        | Cause::ClientCertificate
        | Cause::KeepAliveTimeout
        | Cause::ResponseSlow => StatusCode::BAD_REQUEST,
        Cause::Finished
        | Cause::IdleTimeout
        | Cause::HalfClosedTimeout
        | Cause::LingerTimeout
        | Cause::TunnelTimeout
        | Cause::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether what follows on the connection cannot be trusted, or is the rest of a body that nobody wants.
const fn ends_connection(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::RequestMalformed
            | Cause::RequestBodyTooLarge
            | Cause::RequestHeadTooLarge
            | Cause::BodyTimeout
            | Cause::RequestBodySlow
            | Cause::ClosedEarly
    )
}

/// Whether the client is not let in: a connection that stays would be one that no limit counts.
const fn turns_away(cause: Cause) -> bool {
    matches!(cause, Cause::Blocked | Cause::RouteConnectionLimit | Cause::ClientConnectionLimit)
}
