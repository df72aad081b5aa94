use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, EXPECT,
    HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRAILER,
};
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use tokio::time::timeout;

use super::answer::X_REQUEST_ID;
use super::body::Body;
use super::calling::Calling;
use super::disguise::remove_alike;
use super::exchange::Exchange;
use super::forward::Forwarding;
use super::incoming::Incoming;
use super::parcel::Takes;
use super::request::join_cookies;
use super::request_body::RequestBody;
use super::request_id::RequestId;
use super::send::send;
use super::{answer, forwarded, hop, response};
use crate::head::{Headers, Request, RequestParts, Response, ResponseParts};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// What is read and thrown away of the body of an answer that lets a request through.
pub const ANSWER_DISCARDED_MAX: usize = 64 * 1024;

/// How long a request that was let through waits for the rest of that body.
const DISCARDING: Duration = Duration::from_millis(500);

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Fields that are about the request's body, or make the answer depend on a copy that the client has.
const NOT_ASKED: [HeaderName; 14] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
    EXPECT,
    TRAILER,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

/// Fields by which other proxies tell such a server what it is asked about: from a client they would be about another
/// request than the one that goes on.
const CLAIMS: [HeaderName; 6] = [
    X_FORWARDED_METHOD,
    X_FORWARDED_URI,
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// How another server is asked whether a request may go on.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Who is asked, and how it is connected to.
    pub forwarding: Forwarding<'a>,
    /// What it is asked for.
    pub path: &'a PathAndQuery,
    /// Which headers of its answer the request gets.
    pub copied: &'a [HeaderName],
}

/// Asks whether a request may go on; gives what the server says of it. Its body waits untouched.
///
/// What the client says under the names of these headers is taken from the request, whatever the answer says.
///
/// # Errors
/// The answer that the client gets instead: the server's own if it denies the request, or that it could not be asked.
///
/// # Cancel safety
/// Dropping the future ends the exchange and the server's connection.
pub async fn ask(
    request: &mut Request<Incoming>,
    mut exchange: Exchange,
    asking: Asking<'_>,
) -> Result<(Exchange, Headers), Response<Body>> {
    for name in asking.copied {
        remove_alike(request.headers_mut(), name);
    }
    request.body_mut().forbid_trailers(asking.copied);
    let forwarding = &asking.forwarding;
    let failing = |party, cause| Outcome::new(Phase::Route, party, cause);
    if forwarding.forwarded.via.as_ref().is_some_and(|via| via.is_loop(request.headers())) {
        return Err(answer::failure(failing(Party::Client, Cause::Looped), exchange));
    }
    exchange.begin_question();
    let question = question(request, &mut exchange, &asking);
    let answered = send(question, &mut exchange, forwarding).await;
    exchange.end_question();
    let (parts, calling) = match answered {
        Ok(answered) => answered,
        Err(failed) => return Err(answer::failure(failed.outcome, exchange)),
    };
    if !parts.status.is_success() {
        return Err(denied(parts, calling, exchange, forwarding).await);
    }
    let mut vouched = Headers::new();
    for name in asking.copied {
        for value in parts.headers.get_all(name) {
            vouched.append(name.clone(), value.clone());
        }
    }
    discard(calling).await;
    exchange.forget_target();
    Ok((exchange, vouched))
}

/// The request by which the server is asked.
fn question(request: &Request<Incoming>, exchange: &mut Exchange, asking: &Asking<'_>) -> Request<Box<RequestBody>> {
    let forwarding = &asking.forwarding;
    let mut headers = request.headers().clone();
    hop::remove(&mut headers);
    for name in &NOT_ASKED {
        headers.remove(name);
    }
    for name in &CLAIMS {
        remove_alike(&mut headers, name);
    }
    join_cookies(&mut headers);
    let connection = exchange.connection();
    let trusted = forwarding.forwarded.trusted.contains(connection.client().ip());
    forwarded::tell(&mut headers, &exchange.introduction(forwarding.scheme), trusted);
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    for (name, value) in [(X_FORWARDED_METHOD, request.method().as_str()), (X_FORWARDED_URI, path)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    if let Some(via) = &forwarding.forwarded.via {
        via.add(&mut headers, request.version());
    }
    if trusted && let Some(id) = headers.get(X_REQUEST_ID).and_then(RequestId::adopt) {
        exchange.set_id(id);
    }
    headers.insert(X_REQUEST_ID, exchange.id().header().clone());
    let body = RequestBody::new(Incoming::empty(), exchange.progress(), forwarding.timeouts.body, None);
    let uri = Uri::from(asking.path.clone());
    Request::from_parts(Box::new(RequestParts::new(Method::GET, uri, Version::HTTP_11, headers)), Box::new(body))
}

/// Hands on the answer of a server that denies a request.
async fn denied(
    mut parts: ResponseParts,
    calling: Calling,
    mut exchange: Exchange,
    forwarding: &Forwarding<'_>,
) -> Response<Body> {
    exchange.set_first_byte(calling.target());
    if let Err(refused) = response::prepare(&mut parts, false, &exchange, forwarding) {
        exchange.set_error(&refused.to_string());
        return answer::failure(Outcome::new(Phase::Serve, Party::Target, Cause::ResponseMalformed), exchange);
    }
    exchange.set_status(parts.status);
    exchange.fail(Outcome::new(Phase::Route, Party::Target, Cause::Denied));
    let body = if exchange.method() == Some(&Method::HEAD) {
        // It was asked by GET.
        discard(calling).await;
        Body::whole(Bytes::new(), exchange)
    } else {
        Body::streamed(calling, forwarding.timeouts.body, exchange)
    };
    Response::from_parts(parts, body)
}

/// Reads the rest of an answer and gives its connection back, if it is not long; if it is, the connection is closed.
async fn discard(mut calling: Calling) {
    let mut left = ANSWER_DISCARDED_MAX;
    let whole = async {
        while !calling.is_end() {
            match poll_fn(|context| calling.poll_parcel(context, Takes::Frames)).await {
                None => return true,
                Some(Ok(parcel)) => match left.checked_sub(parcel.len()) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Some(Err(_)) => return false,
            }
        }
        true
    };
    if timeout(DISCARDING, whole).await == Ok(true) {
        calling.give_back();
    }
}
