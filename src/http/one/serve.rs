use std::future::{self, Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::answering::{Answering, Asked, Discarded, Fed, Progress};
use super::closing::{self, Closed, End, Rest};
use super::content::Content;
use super::feed::feed;
use super::wire::{Keep, Wire};
use crate::connection::Connection;
use crate::drain::{Hearing, Order};
use crate::head::{Request, Response};
use crate::http::activity::{Abandoned, Activity};
use crate::http::body::Body;
use crate::http::codec::{HeadFault, HeadLimits, HeadScan, RequestHead};
use crate::http::exchange::Exchange;
use crate::http::incoming::Incoming;
use crate::http::rate::HeadTime;
use crate::http::serve::{Desk, Settings};
use crate::http::timer::Timer;
use crate::http::unacknowledged::Due;
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// How often a client is looked at of whom nothing is read, since nobody wants its body yet or too much waits already:
/// nothing but a read tells of a reset by itself.
const LOOK_EVERY: Duration = Duration::from_millis(250);

fn next_look() -> Instant {
    Instant::now() + LOOK_EVERY
}

/// Serves an HTTP/1 client until its connection ends, and says how.
pub(in crate::http) async fn serve<S, H, F>(stream: S, settings: &Settings, desk: Desk<H>) -> Outcome
where
    S: Transport + 'static,
    H: Fn(Request<Incoming>, Exchange) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let connection = Arc::clone(desk.connection());
    let mut client = Client::new(stream, settings, &desk);
    let end = client.run(&desk).await;
    let outcome = client.outcome(&end);
    let rest = Rest { unread: client.unread, unframed: client.activity.is_unframed() };
    let lost = client.wire.lost();
    let (stream, leftover) = client.wire.into_parts();
    match end {
        // Boxed: few connections become tunnels, and all would carry the room for one.
        End::Tunnel(tunnel) => {
            let tunnel = tunnel.run(stream, leftover.freeze(), settings.max_lifetime, &connection);
            Box::pin(tunnel).await
        }
        _ if lost => outcome,
        end => match closing::close(stream, &end, rest, settings.linger, connection.leash()).await {
            // Who resets what was to end in order has ended it.
            Closed::Reset if outcome.cause == Cause::Finished => serving(Party::Client, Cause::Reset),
            Closed::Reset | Closed::Done => outcome,
        },
    }
}

/// One client connection.
struct Client<'a, S> {
    wire: Wire<S>,
    scan: HeadScan,
    settings: &'a Settings,
    connection: Arc<Connection>,
    activity: Arc<Activity>,
    hearing: Hearing,
    /// The connection is to end after the request in progress, for this reason.
    leaving: Option<Outcome>,
    /// When the connection's lifetime ends.
    expires: Option<Instant>,
    /// For whatever is waited for.
    timer: Timer,
    /// No request has been in progress since then.
    idle_since: Instant,
    /// Of a head that has begun and is not complete.
    head: Option<HeadTime>,
    /// What an answered request has left of its body is thrown away since then.
    discarding_since: Option<Instant>,
    /// When the client is looked at of whom nothing is read.
    look: Option<Instant>,
    /// The client may still be sending what nobody will read.
    unread: bool,
}

/// Why there is no next request.
enum NoHead {
    End(End),
    Refused(HeadFault),
}

impl<'a, S: Transport> Client<'a, S> {
    fn new<H>(stream: S, settings: &'a Settings, desk: &Desk<H>) -> Self {
        let connection = Arc::clone(desk.connection());
        // A lifetime that no clock can reach is none.
        let opened = Instant::from_std(connection.opened());
        let expires = settings.max_lifetime.and_then(|lifetime| opened.checked_add(lifetime));
        Self {
            wire: Wire::new(stream, Some(Arc::clone(&connection))).with_least(settings.min_rate),
            scan: HeadScan::default(),
            settings,
            activity: Arc::clone(desk.activity()),
            connection,
            hearing: Hearing::default(),
            leaving: None,
            expires,
            timer: Timer::default(),
            idle_since: Instant::now(),
            head: None,
            discarding_since: None,
            look: None,
            unread: false,
        }
    }

    /// The story of a connection: heads and answers, until one of the two ends it.
    async fn run<H, F>(&mut self, desk: &Desk<H>) -> End
    where
        H: Fn(Request<Incoming>, Exchange) -> F,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        loop {
            let head = match poll_fn(|context| self.poll_head(context)).await {
                Ok(head) => head,
                Err(NoHead::End(end)) => return end,
                Err(NoHead::Refused(fault)) => return self.refuse(fault, desk).await,
            };
            let RequestHead { parts, length, keep_alive, expects_continue } = head;
            let method = Some(parts.method.clone());
            let asked = Asked { method, version: parts.version, keep_alive, expects_continue };
            let content = Content::new(length);
            let (feeder, incoming) = if content.is_done() {
                (None, Incoming::empty())
            } else {
                let (feeder, feed) = feed(content.left());
                (Some(feeder), Incoming::http1(feed))
            };
            let handling = desk.take(Request::from_parts(parts, incoming));
            if let Err(end) = self.exchange(Answering::new(asked, handling, content, feeder)).await {
                return end;
            }
            self.idle_since = Instant::now();
            self.discarding_since = None;
            self.wire.outbox.shrink();
        }
    }

    /// Answers a head that is no request; nothing behind it can be told apart.
    async fn refuse<H>(&mut self, fault: HeadFault, desk: &Desk<H>) -> End {
        tracing::debug!(%fault, "a request is refused");
        let cause = match fault.status() {
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Cause::RequestHeadTooLarge,
            _ => Cause::RequestMalformed,
        };
        let outcome = serving(Party::Client, cause);
        let asked = Asked { method: None, version: Version::HTTP_11, keep_alive: false, expects_continue: false };
        let handling = (Arc::default(), future::ready(desk.refuse(fault.status(), outcome, &fault.to_string())));
        let answered = self.exchange(Answering::new(asked, handling, Content::Done, None)).await;
        self.unread = true;
        answered.err().unwrap_or(End::Left(outcome))
    }

    /// Waits for the head of the next request.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<RequestHead, NoHead>> {
        let limits = HeadLimits { head: self.settings.max_request_head, target: self.settings.max_request_head };
        let ended = |end| Poll::Ready(Err(NoHead::End(end)));
        loop {
            match self.scan.request(&mut self.wire.inbox, &limits) {
                Ok(Some(head)) => {
                    self.scan = HeadScan::default();
                    self.head = None;
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(NoHead::Refused(fault))),
            }
            if let Err(end) = self.hear(context) {
                return ended(end);
            }
            let begun = self.scan.begun();
            if begun {
                let (come, now) = (self.wire.inbox.len() as u64, Instant::now());
                match &mut self.head {
                    Some(head) => head.come(come, now),
                    None => self.head = Some(HeadTime::begin(self.settings.min_rate, come, now)),
                }
            }
            match self.wire.poll_fill(context, Keep::Copied) {
                Poll::Ready(Ok(0)) => {
                    let cause = match (self.wire.touched(), begun) {
                        (false, _) => Cause::Empty,
                        (true, true) => Cause::ClosedEarly,
                        (true, false) => Cause::Finished,
                    };
                    return ended(End::Left(serving(Party::Client, cause)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return ended(End::Lost(serving(Party::Client, Cause::Reset))),
                // Only now: what has come by then is still answered.
                Poll::Pending if !begun && let Some(outcome) = self.leaving => return ended(End::Left(outcome)),
                Poll::Pending => {
                    let over = match &mut self.head {
                        Some(head) => {
                            let over = head.over(self.settings.request_head, Instant::now());
                            over.map(|(at, cause)| (at, serving(Party::Client, cause)))
                        }
                        None => {
                            let idle = serving(Party::Proxy, Cause::KeepAliveTimeout);
                            Some((self.idle_since + self.settings.keep_alive, idle))
                        }
                    };
                    return self
                        .poll_time(context, over.map(|(at, outcome)| (at, End::Left(outcome))))
                        .map(|end| Err(NoHead::End(end)));
                }
            }
        }
    }

    /// Answers one request. What it leaves of the request's body is thrown away.
    ///
    /// # Errors
    /// The connection cannot take another request.
    async fn exchange<F>(&mut self, mut answering: Answering<F>) -> Result<(), End>
    where
        F: Future<Output = Response<Body>>,
    {
        self.wire.next_answer();
        let mut abandoned = Abandoned::new(&self.activity);
        let result = poll_fn(|context| self.poll_exchange(context, &mut answering)).await;
        abandoned.settle();
        self.unread = answering.is_unread();
        if let Err(end) = &result {
            // A request that ends with the connection is told why before it is dropped; so is a tunnel whose 101 did not reach
            // the client. It holds an exchange, which holds the activity that holds the tunnel: nobody else would drop it.
            self.activity.set_ending(self.outcome(end));
            answering.set_unsent(self.wire.outbox.payload() as u64);
            drop(self.activity.take_tunnel());
        }
        let closes = answering.closes();
        drop(answering);
        result?;
        if let Some(tunnel) = self.activity.take_tunnel() {
            return Err(End::Tunnel(Box::new(tunnel)));
        }
        match (self.activity.fatal(), self.leaving) {
            (Some(fatal), _) => Err(End::Left(fatal)),
            (None, Some(leaving)) if closes => Err(End::Left(leaving)),
            (None, None) if closes || self.unread => Err(End::Left(serving(Party::Proxy, Cause::Finished))),
            (None, Some(_) | None) => Ok(()),
        }
    }

    fn poll_exchange<F>(&mut self, context: &mut Context<'_>, answering: &mut Answering<F>) -> Poll<Result<(), End>>
    where
        F: Future<Output = Response<Body>>,
    {
        loop {
            if let Err(end) = self.hear(context) {
                return Poll::Ready(Err(end));
            }
            let leaving = self.leaving.is_some();
            let progress = answering.answer(context, &mut self.wire.outbox, leaving);
            match (self.wire.poll_drain(context), progress) {
                (Poll::Ready(Ok(())), Progress::Full) => continue,
                (Poll::Ready(Ok(())), Progress::Sent) => return self.poll_discard(context, answering),
                (Poll::Ready(Ok(())), Progress::Broken) => {
                    let internal = serving(Party::Proxy, Cause::Internal);
                    return Poll::Ready(Err(End::Broken(self.activity.fatal().unwrap_or(internal))));
                }
                (Poll::Ready(Ok(())), Progress::Waiting) | (Poll::Pending, _) => {}
                (Poll::Ready(Err(_)), _) => return Poll::Ready(Err(End::Lost(serving(Party::Client, Cause::Reset)))),
            }
            let fed = answering.feed(context, &mut self.wire);
            match fed {
                Fed::Moved => {}
                Fed::Gone(cause) if self.wire.lost() => {
                    return Poll::Ready(Err(End::Lost(serving(Party::Client, cause))));
                }
                // Half of an answer must not look whole to a client that has only closed its sending side.
                Fed::Gone(cause) if answering.is_under_way() => {
                    if answering.is_unframed() {
                        self.activity.set_unframed();
                    }
                    return Poll::Ready(Err(End::Broken(serving(Party::Client, cause))));
                }
                Fed::Gone(cause) => return Poll::Ready(Err(End::Left(serving(Party::Client, cause)))),
                Fed::Waiting | Fed::Full => {
                    let (patience, cause) = if answering.is_sent() {
                        (self.settings.linger, Cause::LingerTimeout)
                    } else {
                        (self.settings.body, Cause::BodyTimeout)
                    };
                    if fed == Fed::Waiting {
                        self.look = None;
                    } else if *self.look.get_or_insert_with(next_look) <= Instant::now() {
                        self.look = Some(next_look());
                        if self.wire.is_reset() {
                            return Poll::Ready(Err(End::Lost(serving(Party::Client, Cause::Reset))));
                        }
                    }
                    if let Some(end) = ready!(self.poll_stall(context, patience, cause)) {
                        return Poll::Ready(Err(end));
                    }
                }
            }
        }
    }

    /// Ready with how the connection ends when the client has taken nothing of what there is for it for its time, or takes
    /// it too slowly, and with none when it is time for a look.
    fn poll_stall(&mut self, context: &mut Context<'_>, patience: Duration, cause: Cause) -> Poll<Option<End>> {
        let look = self.look;
        loop {
            // Asked anew whenever its time has come, as the client may have taken something since.
            let slow = self.wire.slow_at();
            if slow.is_some_and(|slow| slow <= Instant::now()) {
                return Poll::Ready(Some(End::Cut(serving(Party::Client, Cause::ResponseSlow))));
            }
            let (due, last) = match self.wire.stalled(patience) {
                None => (None, false),
                Some(Due::Over(at)) => (Some(at), true),
                Some(Due::Look(at)) => (Some(at), false),
            };
            let at = due.into_iter().chain(look).chain(slow).min();
            let end = |at| (at, End::Cut(serving(Party::Client, cause)));
            let end = ready!(self.poll_time(context, at.map(end)));
            let now = Instant::now();
            let over = due.is_some_and(|due| last && due <= now);
            if over || self.expires.is_some_and(|expires| expires <= now) {
                return Poll::Ready(Some(end));
            }
            if look.is_some_and(|look| look <= now) {
                return Poll::Ready(None);
            }
            self.wire.look();
        }
    }

    /// Ready when nothing of the request is left to be read, or nothing will be: then the connection ends.
    fn poll_discard<F>(&mut self, context: &mut Context<'_>, answering: &mut Answering<F>) -> Poll<Result<(), End>>
    where
        F: Future<Output = Response<Body>>,
    {
        match answering.discard(context, &mut self.wire) {
            Discarded::All | Discarded::Never => Poll::Ready(Ok(())),
            Discarded::Lost => Poll::Ready(Err(End::Lost(serving(Party::Client, Cause::Reset)))),
            Discarded::Waiting => {
                let since = *self.discarding_since.get_or_insert_with(Instant::now);
                let late = (since + self.settings.linger, End::Left(serving(Party::Client, Cause::LingerTimeout)));
                self.poll_time(context, Some(late)).map(|_end| Ok(()))
            }
        }
    }

    /// Hears what is ordered of the connection.
    fn hear(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        let by_operator = |cause| serving(Party::Operator, cause);
        while let Poll::Ready(order) = self.connection.leash().poll_heard(context, &mut self.hearing) {
            match order {
                Order::Drain => self.leaving = self.leaving.or(Some(by_operator(Cause::Drained))),
                Order::Cut => return Err(End::Cut(by_operator(Cause::Cut))),
                Order::Kill => return Err(End::Cut(by_operator(Cause::Killed))),
            }
        }
        Ok(())
    }

    /// Ready with how the connection ends, when a time is over: the one given, or the connection's lifetime.
    fn poll_time(&mut self, context: &mut Context<'_>, deadline: Option<(Instant, End)>) -> Poll<End> {
        let lifetime = self.expires.map(|at| (at, End::Cut(serving(Party::Proxy, Cause::LifetimeReached))));
        let first = match (deadline, lifetime) {
            (Some(deadline), Some(lifetime)) => Some(if deadline.0 <= lifetime.0 { deadline } else { lifetime }),
            (deadline, lifetime) => deadline.or(lifetime),
        };
        let Some((at, end)) = first else { return Poll::Pending };
        self.timer.poll(context, at).map(|()| end)
    }

    /// What the end means.
    fn outcome(&self, end: &End) -> Outcome {
        let outcome = match end {
            End::Left(outcome) | End::Broken(outcome) | End::Cut(outcome) | End::Lost(outcome) => *outcome,
            End::Tunnel(_) => return serving(Party::Client, Cause::Finished),
        };
        let polite = matches!(outcome.cause, Cause::Finished | Cause::KeepAliveTimeout | Cause::ClosedEarly);
        if polite && !self.activity.answered() { self.connection.failure().unwrap_or(outcome) } else { outcome }
    }
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}
