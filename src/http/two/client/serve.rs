use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use http::Method;
use http::header::EXPECT;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

use super::answering::{Answering, Asked};
use super::bell::{Alarm, Bell};
use super::clock::{Clock, Then, Work};
use super::ending::{self, End};
use super::intake::Intake;
use super::sending::Pace;
use super::streams::Streams;
use super::ties::Ties;
use super::wire::Wire;
use crate::drain::{Hearing, Order};
use crate::head::{Request, Response};
use crate::http::activity::{Abandoned, Activity};
use crate::http::body::Body;
use crate::http::exchange::Exchange;
use crate::http::incoming::Incoming;
use crate::http::request::said_length;
use crate::http::serve::{
    Desk, H2_CONNECTION_WINDOW_BYTES, H2_RESETS_MAX, H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX,
    Settings,
};
use crate::http::{hop, websocket};
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// The number of the connection among those who ring; streams count from 0.
const CONNECTION: usize = usize::MAX;

/// How often a task goes around before it lets others have their turn.
const ROUNDS_MAX: usize = 32;

/// Serves an HTTP/2 client until its connection ends, and says how.
pub(in crate::http) async fn serve<S, H, F>(stream: S, settings: &Settings, desk: Desk<H>) -> Outcome
where
    S: Transport + 'static,
    H: Fn(Request<Incoming>, Exchange) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let activity = Arc::clone(desk.activity());
    let wire = Wire::new(stream, desk.connection(), settings.min_rate);
    let mut client = Client::new(&wire, settings, &desk, |request| desk.take(request));
    // Requests that end with the connection are told why before they are dropped.
    let abandoned = Abandoned::new(&activity);
    let mut timer = pin!(sleep_until(Instant::now() + settings.keep_alive));
    let end = poll_fn(|context| client.poll(context, timer.as_mut())).await;
    client.streams.sent(&wire, false);
    let outcome = ending::outcome(&end, &activity, desk.connection(), client.clock.leaving(), wire.standing());
    activity.set_ending(outcome);
    drop(abandoned);
    let panicked = client.streams.panicked();
    drop(client);
    if let End::Left(_) = end {
        wire.close(&mut Context::from_waker(Waker::noop()));
    }
    if panicked { Outcome::new(Phase::Serve, Party::Proxy, Cause::Internal) } else { outcome }
}

/// One client connection: the h2 crate's side of it, its streams, and its times, all polled by one task.
struct Client<'a, S, T, F> {
    link: Link<S>,
    wire: Wire<S>,
    bell: Arc<Bell>,
    alarm: Arc<Alarm>,
    waker: Waker,
    /// Who has rung.
    rung: Vec<usize>,
    streams: Streams<F>,
    take: T,
    clock: Clock<'a>,
    settings: &'a Settings,
    connection: Arc<crate::connection::Connection>,
    activity: Arc<Activity>,
    hearing: Hearing,
}

impl<S, T, F> Drop for Client<'_, S, T, F> {
    fn drop(&mut self) {
        self.streams.cut(&self.wire);
    }
}

enum Link<S> {
    Greeting(Handshake<Wire<S>, Bytes>),
    Open(Connection<Wire<S>, Bytes>),
}

impl<'a, S, T, F> Client<'a, S, T, F>
where
    S: Transport,
    T: Fn(Request<Incoming>) -> (Arc<crate::http::progress::Progress>, F),
    F: Future<Output = Response<Body>>,
{
    fn new<H>(wire: &Wire<S>, settings: &'a Settings, desk: &Desk<H>, take: T) -> Self {
        let bell = Arc::<Bell>::default();
        let alarm = Alarm::new(CONNECTION, &bell);
        let waker = Waker::from(Arc::clone(&alarm));
        waker.wake_by_ref();
        Self {
            link: Link::Greeting(builder(settings).handshake(wire.clone())),
            wire: wire.clone(),
            streams: Streams::new(&bell),
            bell,
            alarm,
            waker,
            rung: Vec::new(),
            take,
            clock: Clock::new(settings, desk.connection()),
            settings,
            connection: Arc::clone(desk.connection()),
            activity: Arc::clone(desk.activity()),
            hearing: Hearing::default(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        self.bell.attend(context.waker());
        for _ in 0..ROUNDS_MAX {
            let mut rung = std::mem::take(&mut self.rung);
            self.bell.take(&mut rung);
            let quiet = rung.is_empty();
            let mut frames = false;
            for number in rung.drain(..) {
                if number == CONNECTION {
                    frames = true;
                } else {
                    self.streams.poll(number, &self.wire);
                }
            }
            self.rung = rung;
            frames |= !quiet && self.streams.awaits_flush();
            if frames && let Poll::Ready(end) = self.poll_frames() {
                return Poll::Ready(end);
            }
            if !quiet {
                if !has_budget_remaining() {
                    break;
                }
                continue;
            }
            if let Poll::Ready(end) = self.hear(context) {
                return Poll::Ready(end);
            }
            if let Poll::Ready(end) = self.poll_time(context, timer.as_mut()) {
                return Poll::Ready(end);
            }
            if self.bell.rest() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads and writes frames: takes in the requests that have come, and sends what there is to be sent.
    fn poll_frames(&mut self) -> Poll<End> {
        self.alarm.reset();
        self.wire.settle();
        self.wire.look();
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        if let Poll::Ready(result) = self.poll_requests(&mut context) {
            return Poll::Ready(End::Done(result));
        }
        match self.wire.poll_send(&mut context) {
            Poll::Ready(Ok(())) => self.streams.sent(&self.wire, true),
            // The h2 crate meets the same when it reads or writes next, and tells the streams.
            Poll::Ready(Err(_)) => waker.wake_by_ref(),
            Poll::Pending => self.streams.sent(&self.wire, false),
        }
        Poll::Pending
    }

    fn poll_requests(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.link {
                Link::Greeting(handshake) => match Pin::new(handshake).poll(context) {
                    Poll::Ready(Ok(mut connection)) => {
                        if self.clock.leaving().is_some() {
                            connection.graceful_shutdown();
                        }
                        self.link = Link::Open(connection);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                Link::Open(connection) => match connection.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        let ties = Ties::default();
        let (parts, stream) = Request::from(request).into_parts();
        let asked = Asked {
            head: parts.method == Method::HEAD,
            expects_continue: parts.headers.contains_key(EXPECT)
                && hop::has_token(&parts.headers, &EXPECT, "100-continue"),
        };
        let (incoming, stream) = if parts.method == Method::CONNECT {
            (Incoming::empty(), Some(stream))
        } else if stream.is_end_stream() {
            (Incoming::empty(), None)
        } else {
            (Incoming::http2(Intake::new(stream, said_length(&parts.headers), &ties)), None)
        };
        let mut request = Request::from_parts(parts, incoming);
        websocket::recognize(&mut request, &ties);
        let handling = (self.take)(request);
        let pace = Pace { patience: self.settings.body, least: self.settings.min_rate };
        self.streams.add(Answering::new(asked, ties, handling, (respond, stream), pace));
    }

    /// Hears what is ordered of the connection, by others or by its own requests.
    fn hear(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let by_operator = |cause| Outcome::new(Phase::Serve, Party::Operator, cause);
        while let Poll::Ready(order) = self.connection.leash().poll_heard(context, &mut self.hearing) {
            match order {
                Order::Drain => self.leave(by_operator(Cause::Drained)),
                Order::Cut => return Poll::Ready(End::Cut(by_operator(Cause::Cut))),
                Order::Kill => return Poll::Ready(End::Cut(by_operator(Cause::Killed))),
            }
        }
        if let Some(outcome) = self.activity.parting() {
            self.leave(outcome);
        }
        Poll::Pending
    }

    /// Tells the client that the connection ends after the requests in progress; in two steps, so that none that is on its
    /// way is lost (RFC 9113 section 6.8).
    fn leave(&mut self, outcome: Outcome) {
        if self.clock.leave(outcome) {
            if let Link::Open(connection) = &mut self.link {
                connection.graceful_shutdown();
            }
            self.waker.wake_by_ref();
        }
    }

    fn poll_time(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        let now = Instant::now();
        let live = self.activity.live();
        let work = Work {
            live: live > 0,
            busy: live > self.streams.ended(),
            tunnels: self.wire.is_blocked() && !self.streams.owe_answers(),
        };
        let Some(deadline) = self.clock.deadline(now, &self.wire, work) else { return Poll::Pending };
        if deadline.at <= now {
            match deadline.then {
                Then::Look => {}
                Then::Leave => self.leave(deadline.outcome),
                Then::Left => return Poll::Ready(End::Left(deadline.outcome)),
                Then::Cut => return Poll::Ready(End::Cut(deadline.outcome)),
            }
            self.waker.wake_by_ref();
            return Poll::Pending;
        }
        // A deadline that moves away leaves the timer alone: it fires early, once, and is set again here.
        if timer.deadline() > deadline.at || timer.is_elapsed() {
            timer.as_mut().reset(deadline.at);
        }
        if timer.as_mut().poll(context).is_ready() {
            self.waker.wake_by_ref();
        }
        Poll::Pending
    }
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(H2_SEND_BUFFER_BYTES)
        .max_local_error_reset_streams(Some(H2_RESETS_MAX))
        .max_header_list_size(u32::try_from(settings.max_request_head).unwrap_or(u32::MAX));
    builder
}
