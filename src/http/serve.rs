use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::activity::Activity;
use super::answer;
use super::body::Body;
use super::closing;
use super::driver::{Driver, End, Step};
use super::exchange::Exchange;
use super::host::Host;
use super::streams::Streams;
use super::tunnel;
use super::watched::{Watched, Wire};
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

/// The smallest read buffer that hyper takes.
const READ_BUFFER_MIN: usize = 8192;

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
        Version::Http1 => serve_http1(stream, settings, desk).await,
        Version::Http2 => serve_http2(stream, settings, desk).await,
    }
}

async fn serve_http1<S, H, F>(stream: S, settings: &Settings, desk: Desk<H>) -> Outcome
where
    S: Transport + 'static,
    H: Fn(Request<Incoming>, Exchange) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let wire = Wire::http1();
    let mut driver = Driver::new(settings, Version::Http1, &desk.connection, &desk.activity, &wire);
    let activity = Arc::clone(&desk.activity);
    let connection = Arc::clone(&desk.connection);
    let io = TokioIo::new(Watched::new(stream, &connection, &wire));
    let service = {
        let wire = Arc::clone(&wire);
        service_fn(move |request| {
            let sound = wire.verdict().inspect_err(|fault| tracing::debug!(%fault, "a request is refused"));
            desk.take(request, sound.is_ok())
        })
    };
    // No timer of hyper's own: it would be set anew for each request, and the driver's covers what it covers.
    let mut serving = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(settings.max_request_head)
        .max_buf_size(settings.max_request_head.max(READ_BUFFER_MIN))
        .serve_connection(io, service)
        .with_upgrades();
    let _abandoned = Abandoned(Arc::clone(&activity));
    let end = driver
        .run(|context, step| match step {
            Step::Poll => Pin::new(&mut serving).poll(context),
            Step::Drain => {
                Pin::new(&mut serving).graceful_shutdown();
                std::task::Poll::Pending
            }
        })
        .await;
    let outcome = driver.outcome(&end);
    match (&end, activity.take_tunnel()) {
        (End::Done(Ok(())), Some(mut tunnel)) => {
            tunnel.limits.max_lifetime = settings.max_lifetime;
            // Boxed: few connections become tunnels, and all would carry the room for one.
            return Box::pin(tunnel::run::<S>(tunnel, &connection)).await;
        }
        // Requests that end with the connection are told why before they are dropped.
        (_, tunnel) => {
            activity.set_ending(outcome);
            drop(tunnel);
        }
    }
    let Some(parts) = serving.into_parts() else { return outcome };
    let stream = parts.io.into_inner().into_inner();
    drop(parts.service);
    let abrupt = activity.is_unframed();
    closing::close(stream, &end, outcome, wire.standing(), abrupt, settings.linger, connection.leash()).await;
    outcome
}

async fn serve_http2<S, H, F>(stream: S, settings: &Settings, desk: Desk<H>) -> Outcome
where
    S: Transport + 'static,
    H: Fn(Request<Incoming>, Exchange) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let wire = Wire::http2();
    let mut driver = Driver::new(settings, Version::Http2, &desk.connection, &desk.activity, &wire);
    let activity = Arc::clone(&desk.activity);
    let connection = Arc::clone(&desk.connection);
    let io = TokioIo::new(Watched::new(stream, &connection, &wire));
    let streams = Streams::new(settings.body);
    let head = u32::try_from(settings.max_request_head).unwrap_or(u32::MAX);
    let service = service_fn(move |request| desk.take(request, true));
    let end = {
        let mut serving = pin!(
            http2::Builder::new(streams.executor())
                .timer(TokioTimer::new())
                .max_concurrent_streams(H2_STREAMS_MAX)
                .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
                .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
                .max_send_buf_size(H2_SEND_BUFFER_BYTES)
                .max_local_error_reset_streams(H2_RESETS_MAX)
                .max_header_list_size(head)
                .serve_connection(io, service)
        );
        let _abandoned = Abandoned(Arc::clone(&activity));
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

/// Tells the requests of a connection why they end with it if its task is dropped; declared after hyper's side, so that it
/// is dropped before.
///
/// A tunnel that was not opened is dropped with it: it holds an exchange, which holds the activity that holds the tunnel.
struct Abandoned(Arc<Activity>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.set_ending(Outcome::new(Phase::Serve, Party::Operator, Cause::Cut));
        drop(self.0.take_tunnel());
    }
}

/// Where the requests of a connection are taken in.
#[derive(Clone)]
struct Desk<H> {
    registry: Arc<Registry>,
    connection: Arc<Connection>,
    activity: Arc<Activity>,
    service: H,
}

impl<H, F> Desk<H>
where
    H: Fn(Request<Incoming>, Exchange) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    /// Opens the exchange of a request, and hands it to the service or refuses it.
    fn take(
        &self,
        request: Request<Incoming>,
        framed: bool,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<H, F> {
        let host = Host::of(&request);
        let sound = framed && host.is_ok();
        let host = host.unwrap_or_else(|fault| {
            tracing::debug!(%fault, "a request is refused");
            Host::none()
        });
        let exchange = Exchange::open(&self.registry, &self.connection, &self.activity, &request, host);
        let taken = if sound { Ok((self.service)(request, exchange)) } else { Err(exchange) };
        async move {
            Ok(match taken {
                Ok(answer) => answer.await,
                Err(exchange) => {
                    answer::failure(Outcome::new(Phase::Serve, Party::Client, Cause::RequestMalformed), exchange)
                }
            })
        }
    }
}
