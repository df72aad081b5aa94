use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::calling::Lease;
use super::exchange::Exchange;
use super::forward::{Forwarding, TargetProtocol};
use super::pool::PoolKey;
use super::send::Failed;
use super::two::{Mux, Opener, Over, Place, Turn, Unopened};
use crate::connection::{Connection, State};
use crate::net::Owner;
use crate::outcome::{Cause, Outcome, Party, Phase, with_causes};
use crate::tls::ClientPolicy;
use crate::upstream::{Choice, Connected, Failure, Order, Plan, Target, connect_in};

/// What may be shared with whom; none if a PROXY header says who the client is, so that the connection is its alone.
fn key(target: &Arc<Target>, forwarding: &Forwarding<'_>) -> Option<PoolKey> {
    let plan = &forwarding.plan;
    match plan.proxy_header {
        Some(_) => None,
        None => Some(PoolKey::new(target, plan.listener.port(), forwarding.policy)),
    }
}

/// A connection to the target that stands and has room for a request.
///
/// None if the target is to be probed: what was connected before it was set aside does not tell whether it can be connected
/// to again.
pub(super) fn standing(choice: &Choice<'_>, forwarding: &Forwarding<'_>) -> Option<Lease> {
    if choice.is_probe() {
        return None;
    }
    let key = key(choice.target(), forwarding)?;
    let keep = forwarding.timeouts.upstream_keep_alive;
    let shared = || forwarding.pool.shared().find(key, keep, None).map(Lease::Http2);
    let idle = || forwarding.pool.checkout(key, keep);
    match forwarding.protocol {
        TargetProtocol::Http1 => idle(),
        TargetProtocol::Http2 => shared(),
        TargetProtocol::Agreed => shared().or_else(idle),
    }
}

/// A new connection to the first target of `order`, or to another if that one fails; or a place on one that has become
/// free, or that another request opens, but for the one to `avoid`.
pub(super) async fn fresh<'a>(
    mut order: Order<'a>,
    avoid: Option<&Arc<Mux>>,
    exchange: &mut Exchange,
    forwarding: &'a Forwarding<'a>,
) -> Result<Lease, Failed> {
    let key = match (forwarding.protocol, order.peek()) {
        (TargetProtocol::Http2 | TargetProtocol::Agreed, Some(first)) if !first.is_probe() => {
            key(first.target(), forwarding)
        }
        (TargetProtocol::Http1 | TargetProtocol::Http2 | TargetProtocol::Agreed, _) => None,
    };
    let Some(key) = key else { return open(order, None, exchange, forwarding).await };
    let shelf = forwarding.pool.shared();
    let keep = forwarding.timeouts.upstream_keep_alive;
    let patience = Instant::now().checked_add(forwarding.plan.timeouts.connect_total);
    loop {
        if let Some(slot) = shelf.find(key, keep, avoid) {
            return Ok(Lease::Http2(slot));
        }
        let mut opening = match shelf.turn(key) {
            Turn::Open(opener) => return open(order, Some(opener), exchange, forwarding).await,
            Turn::Alone => return open(order, None, exchange, forwarding).await,
            Turn::Wait(opening) => opening,
        };
        let changed = match patience {
            Some(at) => timeout_at(at, opening.changed()).await,
            None => Ok(opening.changed().await),
        };
        match changed.map(|told| told.ok().and_then(|()| *opening.borrow())) {
            // Whoever opened it has left, or has opened one: there may be room on it.
            Ok(None | Some(Over::Opened)) => {}
            Ok(Some(Over::Http1 | Over::Failed)) | Err(_) => return open(order, None, exchange, forwarding).await,
        }
    }
}

/// A connection of HTTP/1.1, whatever else the target would agree to.
pub(super) async fn plainer(exchange: &mut Exchange, forwarding: &Forwarding<'_>) -> Result<Lease, Failed> {
    let plan = Plan { tls: forwarding.plan.tls.map(ClientPolicy::http1), ..forwarding.plan };
    let forwarding = Forwarding { plan, protocol: TargetProtocol::Http1, ..*forwarding };
    let mut order = plan.targets.order(plan.client.ip());
    let Some(first) = order.peek() else { return Err(Failed { outcome: Failure::NoTarget.outcome() }) };
    match standing(first, &forwarding) {
        Some(lease) => Ok(lease),
        None => open(order, None, exchange, &forwarding).await,
    }
}

async fn open<'a>(
    order: Order<'a>,
    opener: Option<Opener>,
    exchange: &mut Exchange,
    forwarding: &'a Forwarding<'a>,
) -> Result<Lease, Failed> {
    let begun = Instant::now();
    let connecting = Connecting(Arc::clone(exchange.connection()));
    let opened = establish(order, exchange, forwarding).await;
    drop(connecting);
    if opened.is_ok() {
        exchange.set_connect(begun.elapsed());
    }
    if let Some(opener) = opener {
        opener.tell(match &opened {
            Ok(Lease::Http1(..)) => Over::Http1,
            Ok(Lease::Http2(_)) => Over::Opened,
            Err(_) => Over::Failed,
        });
    }
    opened
}

async fn establish<'a>(
    order: Order<'a>,
    exchange: &mut Exchange,
    forwarding: &'a Forwarding<'a>,
) -> Result<Lease, Failed> {
    let connected = connect_in(&forwarding.plan, order).await.map_err(|error| {
        if let Some(attempt) = error.telling() {
            exchange.set_target(&attempt.target);
        }
        exchange.set_error(&with_causes(error.failure()));
        Failed { outcome: error.outcome() }
    })?;
    let key = key(&connected.target, forwarding);
    let http2 = match forwarding.protocol {
        TargetProtocol::Http1 => false,
        TargetProtocol::Http2 => true,
        TargetProtocol::Agreed => connected.stream.agreed().is_some_and(|agreed| agreed.alpn.as_deref() == Some(b"h2")),
    };
    if http2 {
        multiplex(connected, key, exchange, forwarding).await
    } else {
        Ok(forwarding.pool.adopt(connected, key, forwarding.timeouts.upstream_keep_alive))
    }
}

/// Begins HTTP/2 on a connection; without a `key` it is for one request only.
async fn multiplex(
    connected: Connected,
    key: Option<PoolKey>,
    exchange: &mut Exchange,
    forwarding: &Forwarding<'_>,
) -> Result<Lease, Failed> {
    let Connected { stream, target, address: _, in_flight } = connected;
    exchange.set_target(target.label());
    stream.assign(Owner::Pool);
    let pool = forwarding.pool;
    let mux = Mux::open(stream, target, pool.stand(), forwarding.plan.timeouts.connect).await.map_err(|error| {
        exchange.set_error(&with_causes(&error));
        let outcome = |phase, cause| Failed { outcome: Outcome::new(phase, Party::Target, cause) };
        match error {
            Unopened::Closed(_) => outcome(Phase::Serve, Cause::TargetClosed),
            Unopened::NotHttp2(_) => outcome(Phase::Serve, Cause::ResponseMalformed),
            Unopened::Timeout => outcome(Phase::Connect, Cause::ConnectTimeout),
        }
    })?;
    // Before anybody else knows of it.
    let place = mux.enter(forwarding.timeouts.upstream_keep_alive);
    drop(in_flight);
    match key {
        Some(key) => pool.shared().add(key, &mux),
        None => mux.retire(),
    }
    match place {
        Place::Free(slot) => Ok(Lease::Http2(slot)),
        Place::Full => {
            exchange.set_error("the target allows no streams at all (SETTINGS_MAX_CONCURRENT_STREAMS)");
            Err(Failed::of(Party::Target, Cause::TargetClosed))
        }
        Place::Gone => {
            exchange.set_error("the target has ended the connection as soon as it stood");
            Err(Failed::of(Party::Target, Cause::TargetClosed))
        }
    }
}

/// Takes the client's connection out of its connecting state when a target is connected to, or nobody wants it any more.
struct Connecting(Arc<Connection>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.enter(State::Serving);
    }
}
