use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;

use super::body::Body;
use super::exchange::Exchange;
use crate::connection::{Connection, Registry};
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// What a client speaks: known by ALPN, or by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1 or HTTP/1.0.
    Http1,
    /// HTTP/2, with its preface still to be read.
    Http2,
}

/// The limits of a client connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From a request's first byte to the end of its head.
    pub request_head: Duration,
    /// Between requests.
    pub keep_alive: Duration,
    /// An answer that the client does not take.
    pub body: Duration,
    /// Our last bytes reaching a client that has stopped reading, and what it still sends being thrown away.
    pub linger: Duration,
    /// The longest head of a request, in bytes.
    pub max_request_head: usize,
}

/// Serves a client until its connection ends, and says how.
///
/// Owns the stream. `service` is called once for each request that is well formed and names one host; the answer's
/// [`Body`] carries the exchange. [`Order::Drain`](crate::drain::Order::Drain) ends the connection after the requests in
/// progress, the orders above it at once.
///
/// # Cancel safety
/// Dropping the future closes the connection and ends its requests.
pub async fn serve<S, H, F>(
    stream: S,
    version: Version,
    settings: &Settings,
    registry: &Arc<Registry>,
    connection: &Arc<Connection>,
    service: H,
) -> Outcome
where
    S: Transport + 'static,
    H: Fn(Request<Incoming>, Exchange) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let _ = (stream, version, settings, registry, connection, service);
    Outcome::new(Phase::Serve, Party::Client, Cause::Finished)
}
