use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::activity::Activity;
use super::body::Body;
use super::exchange::Exchange;
use super::host::Host;
use super::incoming::Incoming;
use super::progress::Progress;
use super::rate::MinRate;
use super::{answer, one, two, websocket};
use crate::connection::{Connection, Registry, State};
use crate::head::{Request, Response};
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Requests of one HTTP/2 connection at once (RFC 9113 section 6.5.2 recommends no less than 100).
pub const H2_STREAMS_MAX: u32 = 128;

/// What an HTTP/2 client may send on one stream before its target has taken it: 80 Mbit/s over 100 ms, as with Go's server.
pub const H2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// What an HTTP/2 client may send on all streams before their targets have taken it: twice as much as on one, so that one
/// whose target takes nothing leaves the others room.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// What an HTTP/2 stream may hold that its client has not taken.
pub const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Streams of one HTTP/2 connection that we have reset because of the client and still remember (CVE-2023-44487).
pub const H2_RESETS_MAX: usize = 256;

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
    /// The connection's whole life, from its acceptance; `None` is for ever.
    pub max_lifetime: Option<Duration>,
    /// The longest head of a request, in bytes.
    pub max_request_head: usize,
    /// What the client has to send of a head, and to take of an answer, on average; `None` is anything.
    pub min_rate: Option<MinRate>,
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
    connection.enter(State::Serving);
    let desk = Desk { activity: Activity::new(registry, connection), service };
    match version {
        Version::Http1 => one::serve(stream, settings, desk).await,
        // Boxed: an HTTP/1 connection would carry the room for it.
        Version::Http2 => Box::pin(two::serve(stream, settings, desk)).await,
    }
}

/// Where the requests of a connection are taken in.
pub(super) struct Desk<H> {
    activity: Arc<Activity>,
    service: H,
}

impl<H> Desk<H> {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        self.activity.connection()
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Refuses a request whose head could not be read.
    pub(super) fn refuse(&self, status: StatusCode, outcome: Outcome, why: &str) -> Response<Body> {
        let mut exchange = Exchange::unread(&self.activity);
        exchange.set_error(why);
        answer::failure_with(status, outcome, exchange)
    }

    /// Opens the exchange of a request, and hands it to the service or refuses it. Gives what is noted of it beside its
    /// answer.
    pub(super) fn take<F>(
        &self,
        request: Request<Incoming>,
    ) -> (Arc<Progress>, impl Future<Output = Response<Body>> + Send + use<H, F>)
    where
        H: Fn(Request<Incoming>, Exchange) -> F,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let last = self.activity.host();
        let (host, fault) = match Host::of_next(&request, &last) {
            Ok(host) => (host, padded(&request).then(|| PADDED.to_owned())),
            Err(fault) => (Host::none(), Some(fault.to_string())),
        };
        let first = host != last;
        if first {
            self.activity.set_host(&host);
        }
        let mut exchange = Exchange::open(&self.activity, &request, host, first);
        let progress = Arc::clone(exchange.progress());
        let (connect, unknown) = (websocket::is_connect(&request), websocket::is_unknown(&request));
        let taken = match fault {
            // Boxed where they are made: both are large, and each move of them would be a copy.
            None => Ok(Box::pin((self.service)(request, exchange))),
            Some(fault) => {
                tracing::debug!(%fault, "a request is refused");
                exchange.set_error(&fault);
                Err(exchange)
            }
        };
        let answer = async move {
            let malformed = Outcome::new(Phase::Serve, Party::Client, Cause::RequestMalformed);
            match taken {
                Ok(answer) => {
                    let mut response = answer.await;
                    if connect {
                        websocket::settle(&mut response);
                    }
                    response
                }
                // RFC 9220 section 3.
                Err(exchange) if unknown => answer::failure_with(StatusCode::NOT_IMPLEMENTED, malformed, exchange),
                Err(exchange) => answer::failure(malformed, exchange),
            }
        };
        (progress, answer)
    }
}

/// What is wrong with a [`padded`] request.
const PADDED: &str =
    "a field's value begins or ends with a blank, which HTTP/2 has no use for (RFC 9113 section 8.2.1)";

/// Whether a value has blanks around it. HTTP/1 takes them off; in HTTP/2 they are a fault, and targets would read another
/// value than we do.
fn padded<B>(request: &Request<B>) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    request.version() == http::Version::HTTP_2
        && request.headers().iter().any(|(_, value)| blank(value.as_bytes().first()) || blank(value.as_bytes().last()))
}
