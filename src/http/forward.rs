use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answer;
use super::body::Body;
use super::exchange::Exchange;
use super::pool::Pool;
use crate::net::AddressSet;

/// How long a forwarded request waits. All measure time without progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request's last byte to the head of the answer.
    pub response_head: Duration,
    /// A body, either way.
    pub body: Duration,
    /// An upgraded connection without a byte in either direction.
    pub tunnel: Duration,
    /// Our last bytes reaching a peer that has stopped reading.
    pub linger: Duration,
    /// A pooled connection to a target.
    pub upstream_keep_alive: Duration,
}

/// Who is believed about the client before it.
#[derive(Clone, Debug, Default)]
pub struct ForwardedPolicy {
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are kept.
    pub trusted: AddressSet,
}

/// What is changed in a head, in this order: removed, set, added.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    /// Fields that go.
    pub remove: Vec<HeaderName>,
    /// Fields that are replaced, or made.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that come to those of the same name.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// What the client's side of the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// How a request is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The worker's connections to targets.
    pub pool: &'a Arc<Pool>,
    /// How long it waits.
    pub timeouts: &'a Timeouts,
    /// Who is believed.
    pub forwarded: &'a ForwardedPolicy,
    /// What the client came by.
    pub scheme: Scheme,
    /// Whether the target gets the client's Host, rather than its own name.
    pub preserve_host: bool,
    /// What is changed in the request's head.
    pub request_headers: &'a HeaderEdits,
    /// What is changed in the answer's head.
    pub response_headers: &'a HeaderEdits,
    /// The longest request body in bytes; `None` is no limit.
    pub max_request_body: Option<u64>,
}

/// Sends a request to a target and gives its answer, streaming both ways.
///
/// Never fails: what fails becomes an answer that says so, and the exchange's outcome.
///
/// # Cancel safety
/// Dropping the future ends the exchange and the target's connection.
pub async fn forward(request: Request<Incoming>, exchange: Exchange, _forwarding: Forwarding<'_>) -> Response<Body> {
    drop(request);
    answer::whole(StatusCode::NOT_IMPLEMENTED, "", exchange)
}
