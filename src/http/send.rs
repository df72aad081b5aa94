use std::sync::Arc;

use http::response::Parts;
use http::{Request, Version};
use tokio::time::{Instant, timeout};

use super::exchange::Exchange;
use super::forward::{Forwarding, Timeouts};
use super::one::Broken;
use super::pool::{Calling, Lease, PoolKey};
use super::request::{is_idempotent, set_host};
use super::request_body::RequestBody;
use crate::connection::{Connection, State};
use crate::outcome::{Cause, Outcome, Party, Phase, with_causes};
use crate::upstream::{Failure, Order, connect_in};

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
    Answered(Parts, Box<Calling>),
    /// The pooled connection was stale, and the request may go out once more.
    Again(Box<Request<RequestBody>>),
    Failed(Failed),
}

/// Sends the request on a pooled connection, or on a new one; on a new one after a pooled one that was stale.
pub(super) async fn send(
    request: Request<RequestBody>,
    exchange: &mut Exchange,
    forwarding: &Forwarding<'_>,
) -> Result<(Parts, Box<Calling>), Failed> {
    let plan = &forwarding.plan;
    // One turn per request: who is chosen is who is connected to if no idle connection leads there.
    let mut order = plan.targets.order(plan.client.ip());
    let Some(first) = order.peek() else {
        return Err(Failed { outcome: Failure::NoTarget.outcome() });
    };
    // A PROXY header says who the client is, so the connection is this client's alone; and what was connected before a
    // target was set aside does not tell whether it can be connected to again.
    let pooled = if plan.proxy_header.is_some() || first.is_probe() {
        None
    } else {
        let key = PoolKey::new(first.target(), plan.listener.port(), forwarding.policy);
        forwarding.pool.checkout(key, forwarding.timeouts.upstream_keep_alive)
    };
    let request = match pooled {
        None => request,
        Some(lease) => match attempt(request, lease, exchange, forwarding).await {
            Attempt::Answered(parts, calling) => return Ok((parts, calling)),
            Attempt::Failed(failed) => return Err(failed),
            Attempt::Again(request) => *request,
        },
    };
    let lease = fresh(order, exchange, forwarding).await?;
    match attempt(request, lease, exchange, forwarding).await {
        Attempt::Answered(parts, calling) => Ok((parts, calling)),
        Attempt::Failed(failed) => Err(failed),
        // A new connection is never stale, and there is no third time.
        Attempt::Again(_) => Err(Failed::of(Party::Target, Cause::TargetClosed)),
    }
}

async fn attempt(
    mut request: Request<RequestBody>,
    lease: Lease,
    exchange: &mut Exchange,
    forwarding: &Forwarding<'_>,
) -> Attempt {
    let target = Arc::clone(lease.target());
    exchange.set_target(target.label());
    exchange.connection().set_target(target.label());
    let port = target.port(forwarding.plan.listener.port());
    set_host(request.headers_mut(), exchange, forwarding.preserve_host, &target, port);
    let mut calling = lease.call(request);
    let activity = Arc::clone(exchange.activity());
    let multiplexed = exchange.version() == Version::HTTP_2;
    let interim = |status, headers| {
        // The activity is the whole connection's, and hyper has no way to send these on an HTTP/2 stream.
        if !multiplexed {
            activity.add_interim(status, headers);
        }
    };
    let answer = match within(calling.call.answer(interim), forwarding.timeouts, exchange).await {
        Ok(answer) => answer,
        Err(cause) => return Attempt::Failed(Failed::of(Party::Target, cause)),
    };
    let broken = match answer {
        Ok(parts) => return Attempt::Answered(parts, calling),
        Err(broken) => broken,
    };
    tracing::debug!(error = %with_causes(&broken), upstream = %target.label(), reused = calling.is_reused(), "no answer came");
    let cause = match &broken {
        Broken::Malformed(_) => Cause::ResponseMalformed,
        // The body has told the exchange what is wrong with it.
        Broken::Request => Cause::TargetClosed,
        Broken::Closed(_) => {
            // Only a connection that has waited can be stale, and only a request that has done nothing may be sent again.
            let harmless = !calling.call.wrote() || is_idempotent(calling.call.method());
            if calling.is_reused()
                && !calling.call.heard()
                && harmless
                && let Some(request) = calling.call.into_request()
            {
                return Attempt::Again(Box::new(request));
            }
            Cause::TargetClosed
        }
    };
    exchange.set_error(&with_causes(&broken));
    Attempt::Failed(Failed::of(Party::Target, cause))
}

/// The answer.
///
/// # Errors
/// Its head does not come for `response_head` after all of the request was sent, or the target takes nothing of the
/// request's body for `body`. A client that sends nothing of it is found out by the body itself.
async fn within<T>(answer: impl Future<Output = T>, timeouts: &Timeouts, exchange: &Exchange) -> Result<T, Cause> {
    let mut answer = std::pin::pin!(answer);
    let progress = exchange.progress();
    loop {
        let (sent, moved) = (progress.sent(), progress.bytes_in());
        let patience = if sent { timeouts.response_head } else { timeouts.body };
        match timeout(patience, answer.as_mut()).await {
            Ok(answer) => return Ok(answer),
            Err(_) if sent => return Err(Cause::ResponseHeadTimeout),
            // A client that sends nothing is found out by the body itself, which has a time of its own.
            Err(_) if progress.starving() => {}
            Err(_) if !progress.sent() && progress.bytes_in() == moved => return Err(Cause::BodyTimeout),
            Err(_) => {}
        }
    }
}

/// A new connection to the target whose turn it is, or to another if that one fails.
async fn fresh<'a>(order: Order<'a>, exchange: &mut Exchange, forwarding: &'a Forwarding<'a>) -> Result<Lease, Failed> {
    let begun = Instant::now();
    let plan = &forwarding.plan;
    let connecting = Connecting(Arc::clone(exchange.connection()));
    let connected = connect_in(plan, order).await;
    drop(connecting);
    let connected = connected.map_err(|error| {
        if let Some(attempt) = error.telling() {
            exchange.set_target(&attempt.target);
        }
        exchange.set_error(&with_causes(error.failure()));
        Failed { outcome: error.outcome() }
    })?;
    exchange.set_connect(begun.elapsed());
    let key = match plan.proxy_header {
        Some(_) => None,
        None => Some(PoolKey::new(&connected.target, plan.listener.port(), forwarding.policy)),
    };
    let keep = forwarding.timeouts.upstream_keep_alive;
    Ok(forwarding.pool.adopt(connected, key, keep))
}

/// Takes the client's connection out of its connecting state when a target is connected to, or nobody wants it any more.
struct Connecting(Arc<Connection>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.enter(State::Serving);
    }
}
