use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::activity::{Abandoned, Activity};
use super::body::Body;
use super::driver::{Driver, Step};
use super::exchange::Exchange;
use super::host::Host;
use super::incoming::{Incoming, Leftover};
use super::rate::MinRate;
use super::streams::Streams;
use super::watched::{Notebook, Watched};
use super::{answer, one, websocket};
use crate::connection::{Connection, Registry, State};
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Requests of one HTTP/2 connection at once (RFC 9113 section 6.5.2 recommends no less than 100).
pub const H2_STREAMS_MAX: u32 = 128;

/// What an HTTP/2 client may send on one stream before we have read it.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// What an HTTP/2 client may send on all streams before we have read it.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// What an HTTP/2 stream may hold that its client has not taken.
pub const H2_SEND_BUFFER_BYTES: usize = 256 * 1024;

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
    let desk =
        Desk { registry: Arc::clone(registry), connection: Arc::clone(connection), activity: Arc::default(), service };
    match version {
        Version::Http1 => one::serve(stream, settings, desk).await,
        Version::Http2 => serve_http2(stream, settings, desk).await,
    }
}

async fn serve_http2<S, H, F>(stream: S, settings: &Settings, desk: Desk<H>) -> Outcome
where
    S: Transport + 'static,
    H: Fn(Request<Incoming>, Exchange) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let notebook = Arc::<Notebook>::default();
    let mut driver = Driver::new(settings, &desk.connection, &desk.activity, &notebook);
    let activity = Arc::clone(&desk.activity);
    let connection = Arc::clone(&desk.connection);
    let io = TokioIo::new(Watched::new(stream, &connection, &notebook));
    let streams = Streams::new(settings.body, settings.min_rate);
    let head = u32::try_from(settings.max_request_head).unwrap_or(u32::MAX);
    let (tasks, patience) = (streams.executor(), settings.body);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let leftover = Leftover::default();
        let mut request = request.map(|body| Incoming::http2(body, &leftover));
        websocket::recognize(&mut request, &tasks);
        let answer = desk.take(request);
        let tasks = tasks.clone();
        async move {
            let answer = answer.await;
            if leftover.is_there() {
                // A task of the connection, which ends with it.
                tasks.execute(async move { drop(timeout(patience, leftover.discard()).await) });
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let end = {
        let mut serving = pin!(
            http2::Builder::new(streams.executor())
                .timer(TokioTimer::new())
                .enable_connect_protocol()
                .max_concurrent_streams(H2_STREAMS_MAX)
                .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
                .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
                .max_send_buf_size(H2_SEND_BUFFER_BYTES)
                .max_local_error_reset_streams(H2_RESETS_MAX)
                .max_header_list_size(head)
                .serve_connection(io, service)
        );
        let _abandoned = Abandoned::new(&activity);
        let end = driver
            .run(|context, step| match step {
                Step::Poll => {
                    streams.reap(context);
                    serving.as_mut().poll(context)
                }
                Step::Drain => {
                    serving.as_mut().graceful_shutdown();
                    std::task::Poll::Pending
                }
            })
            .await;
        // Requests that end with the connection are told why before they are dropped.
        activity.set_ending(driver.outcome(&end));
        end
    };
    let panicked = streams.end().await;
    if panicked {
        return Outcome::new(Phase::Serve, Party::Proxy, Cause::Internal);
    }
    driver.outcome(&end)
}

/// Where the requests of a connection are taken in.
#[derive(Clone)]
pub(super) struct Desk<H> {
    registry: Arc<Registry>,
    connection: Arc<Connection>,
    activity: Arc<Activity>,
    service: H,
}

impl<H> Desk<H> {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Refuses a request whose head could not be read.
    pub(super) fn refuse(&self, status: StatusCode, outcome: Outcome, why: &str) -> Response<Body> {
        let mut exchange = Exchange::unread(&self.registry, &self.connection, &self.activity);
        exchange.set_error(why);
        answer::failure_with(status, outcome, exchange)
    }

    /// Opens the exchange of a request, and hands it to the service or refuses it.
    pub(super) fn take<F>(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send + use<H, F>
    where
        H: Fn(Request<Incoming>, Exchange) -> F,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (host, fault) = match Host::of(&request) {
            Ok(host) => (host, None),
            Err(fault) => (Host::none(), Some(fault)),
        };
        let mut exchange = Exchange::open(&self.registry, &self.connection, &self.activity, &request, host);
        let extended = websocket::is_extended(&request);
        let connect = request.method() == Method::CONNECT;
        let taken = match fault {
            None => Ok((self.service)(request, exchange)),
            Some(fault) => {
                tracing::debug!(%fault, "a request is refused");
                exchange.set_error(&fault.to_string());
                Err(exchange)
            }
        };
        async move {
            let malformed = Outcome::new(Phase::Serve, Party::Client, Cause::RequestMalformed);
            match taken {
                Ok(answer) => {
                    let mut response = answer.await;
                    if extended {
                        websocket::settle(&mut response);
                    }
                    response
                }
                // Whatever it would lead to: we make no tunnels but those of an upgrade (RFC 9110 section 9.1, RFC 9220
                // section 3).
                Err(exchange) if connect => answer::failure_with(StatusCode::NOT_IMPLEMENTED, malformed, exchange),
                Err(exchange) => answer::failure(malformed, exchange),
            }
        }
    }
}
