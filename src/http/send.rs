use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use http::Method;
use http::header::UPGRADE;
use tokio::time::Instant;

use super::calling::{Calling, Lease};
use super::exchange::Exchange;
use super::forward::{Forwarding, TargetProtocol, Timeouts};
use super::one::Broken;
use super::opening;
use super::request::{is_idempotent, set_host};
use super::request_body::RequestBody;
use super::timer::Timer;
use super::{seat, websocket};
use crate::head::{Request, ResponseParts};
use crate::outcome::{Cause, Outcome, Party, Phase, with_causes};
use crate::telemetry::Checkout;
use crate::upstream::Failure;

/// What is said of a target that has no way to carry a WebSocket.
const NO_WEBSOCKETS: &str = "the target takes no WebSockets over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441); \
                             set upstream_protocol to \"http1\", or to \"auto\" inside TLS";

/// Why there is no answer of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) outcome: Outcome,
}

impl Failed {
    pub(super) const fn of(party: Party, cause: Cause) -> Self {
        Self { outcome: Outcome::new(Phase::Serve, party, cause) }
    }
}

/// What one attempt to send has come to.
enum Attempt {
    Answered(ResponseParts, Calling),
    /// The connection was stale, or the target has not taken the request, which may go out once more.
    Again(Request<Box<RequestBody>>),
    Failed(Failed),
}

/// Sends the request on a connection that stands, or on a new one; once more on another where the first was stale, or its
/// target has not taken the request.
pub(super) async fn send(
    request: Request<Box<RequestBody>>,
    exchange: &mut Exchange,
    forwarding: &Forwarding<'_>,
) -> Result<(ResponseParts, Calling), Failed> {
    // Boxed, as all that few requests need: the others would carry the room for it.
    if seat::sit(exchange, forwarding) {
        Box::pin(seat::wait(exchange, forwarding)).await?;
    }
    let plan = &forwarding.plan;
    // One turn per request: who is chosen is who is connected to if no connection leads there.
    let turn = || plan.targets.order(plan.client.ip());
    let mut order = turn();
    let Some(first) = order.peek() else {
        return Err(Failed { outcome: Failure::NoTarget.outcome() });
    };
    let (lease, order) = match opening::standing(first, forwarding) {
        Some(lease) => (lease, Some(order)),
        None => (Box::pin(opening::fresh(order, None, exchange, forwarding)).await?, None),
    };
    let lease = if request.headers().contains_key(UPGRADE) {
        Box::pin(suited(lease, &request, exchange, forwarding)).await?
    } else {
        lease
    };
    let mux = lease.mux().cloned();
    let request = match attempt(request, lease, exchange, forwarding).await {
        Attempt::Answered(parts, calling) => return Ok((parts, calling)),
        Attempt::Failed(failed) => return Err(failed),
        Attempt::Again(request) => request,
    };
    let again = opening::fresh(order.unwrap_or_else(turn), mux.as_ref(), exchange, forwarding);
    let lease = Box::pin(again).await?;
    let lease = if request.headers().contains_key(UPGRADE) {
        Box::pin(suited(lease, &request, exchange, forwarding)).await?
    } else {
        lease
    };
    match Box::pin(attempt(request, lease, exchange, forwarding)).await {
        Attempt::Answered(parts, calling) => Ok((parts, calling)),
        Attempt::Failed(failed) => Err(failed),
        // There is no third time.
        Attempt::Again(_) => Err(Failed::of(Party::Target, Cause::TargetClosed)),
    }
}

/// A connection that can become what the request asks for: a WebSocket by HTTP/2 where the target takes it so, else, and all
/// other upgrades, by HTTP/1.1 where that may be spoken.
async fn suited(
    lease: Lease,
    request: &Request<Box<RequestBody>>,
    exchange: &mut Exchange,
    forwarding: &Forwarding<'_>,
) -> Result<Lease, Failed> {
    let Some(mux) = lease.mux() else { return Ok(lease) };
    let websocket = websocket::is_asked(request.headers());
    if websocket && lease.takes_websockets() {
        return Ok(lease);
    }
    match forwarding.protocol {
        TargetProtocol::Agreed => {
            drop(lease);
            Box::pin(opening::plainer(exchange, forwarding)).await
        }
        TargetProtocol::Http2 if websocket => {
            exchange.set_target(mux.target().label());
            exchange.set_error(NO_WEBSOCKETS);
            Err(Failed::of(Party::Target, Cause::NoWebsockets))
        }
        // The target may do without, and an answer in HTTP is as good.
        TargetProtocol::Http1 | TargetProtocol::Http2 => Ok(lease),
    }
}

async fn attempt(
    mut request: Request<Box<RequestBody>>,
    lease: Lease,
    exchange: &mut Exchange,
    forwarding: &Forwarding<'_>,
) -> Attempt {
    let target = lease.target();
    exchange.set_target(target.label());
    exchange.connection().set_target(target.label());
    // The host of `CONNECT` is where the tunnel leads (RFC 9112 section 3.2.3).
    let preserve = forwarding.preserve_host || request.method() == Method::CONNECT;
    set_host(request.headers_mut(), exchange, preserve, target);
    let mut calling = lease.call(request);
    forwarding.plan.meter.meters().checkout(if calling.is_reused() { Checkout::Reused } else { Checkout::Opened });
    let mut timer = calling.take_timer();
    let answer = {
        let (progress, passes_on) = (exchange.progress(), !exchange.is_in_question());
        let interim = |status, headers| {
            if passes_on {
                progress.add_interim(status, headers);
            }
        };
        let answer = pin!(calling.answer(interim));
        within(answer, forwarding.timeouts, exchange, &mut timer).await
    };
    calling.keep_timer(timer);
    let answer = match answer {
        Ok(answer) => answer,
        Err(cause) => {
            calling.distrust();
            return Attempt::Failed(Failed::of(Party::Target, cause));
        }
    };
    let broken = match answer {
        Ok(parts) => return Attempt::Answered(parts, calling),
        Err(broken) => broken,
    };
    tracing::debug!(error = %with_causes(&broken), target = %calling.target().label(), reused = calling.is_reused(), "no answer came");
    let cause = match &broken {
        Broken::Malformed(_) => Cause::ResponseMalformed,
        // The body has told the exchange what is wrong with it.
        Broken::Request => Cause::TargetClosed,
        Broken::Reset(_) => Cause::Reset,
        Broken::Refused(_) => match calling.into_request() {
            Some(request) => return Attempt::Again(request),
            None => Cause::Reset,
        },
        Broken::Closed(_) => {
            // Only a connection that has waited can be stale, and only a request that has done nothing may be sent again.
            let harmless = !calling.wrote() || is_idempotent(calling.method());
            if calling.is_reused()
                && !calling.heard()
                && harmless
                && let Some(request) = calling.into_request()
            {
                return Attempt::Again(request);
            }
            Cause::TargetClosed
        }
    };
    // What is wrong with the request's body is the cause itself; that it is broken would say less.
    if !matches!(broken, Broken::Request) {
        exchange.set_error(&with_causes(&broken));
    }
    Attempt::Failed(Failed::of(Party::Target, cause))
}

/// The answer.
///
/// # Errors
/// Its head does not come for `response_head` after all of the request was sent, or the target takes nothing of the
/// request's body for `body`. A client that sends nothing of it is found out by the body itself.
async fn within<T>(
    mut answer: Pin<&mut impl Future<Output = T>>,
    timeouts: &Timeouts,
    exchange: &Exchange,
    timer: &mut Timer,
) -> Result<T, Cause> {
    let progress = exchange.progress();
    loop {
        let (sent, moved) = (progress.sent(), progress.bytes_in());
        let patience = if sent { timeouts.response_head } else { timeouts.body };
        // One that no clock can reach is none.
        let over = Instant::now().checked_add(patience);
        let answered = poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => over.map_or(Poll::Pending, |over| timer.poll(context, over).map(|()| None)),
        });
        match answered.await {
            Some(answer) => return Ok(answer),
            None if sent => return Err(Cause::ResponseHeadTimeout),
            // A client that sends nothing is found out by the body itself, which has a time of its own.
            None if progress.starving() => {}
            None if !progress.sent() && progress.bytes_in() == moved => return Err(Cause::BodyTimeout),
            None => {}
        }
    }
}
