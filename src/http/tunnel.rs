use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::exchange::Exchange;
use super::target_stream::TargetStream;
use super::watched::Watched;
use crate::connection::{Connection, State};
use crate::net::{Prefixed, Transport};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::relay::{Limits, relay};
use crate::upstream::{InFlight, Stream};

/// What a client connection becomes when a target has accepted an upgrade: bytes both ways (RFC 9110 section 7.8).
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) target: OnUpgrade,
    pub(super) limits: Limits,
    pub(super) exchange: Exchange,
    /// After the exchange, so that the target is free when the books are closed.
    pub(super) in_flight: InFlight,
}

/// Relays until the tunnel ends, and says how.
pub(super) async fn run<S: Transport + 'static>(tunnel: Tunnel, connection: &Arc<Connection>) -> Outcome {
    let Tunnel { client, target, limits, exchange, in_flight } = tunnel;
    let internal = Outcome::new(Phase::Serve, Party::Proxy, Cause::Internal);
    let opening = async { Some((regained::<Watched<S>>(client).await?, regained::<TargetStream>(target).await?)) };
    let opened = tokio::select! {
        opened = opening => opened,
        _ = connection.leash().end() => None,
    };
    let Some(((head, client), (answer, target))) = opened else {
        let outcome = exchange.activity().ending().unwrap_or(internal);
        exchange.close(outcome);
        return outcome;
    };
    connection.enter(State::Relaying);
    let traffic = connection.traffic();
    let before = (traffic.bytes_in(), traffic.bytes_out());
    let client: Prefixed<S> = Prefixed::new(head, client.into_inner());
    let target: Prefixed<Stream> = Prefixed::new(answer, target.into_inner());
    let half_closed = |_side| connection.enter(State::HalfClosed);
    let opened = Instant::from_std(connection.opened());
    let outcome = relay(client, target, &limits, opened, traffic, connection.leash(), half_closed).await;
    drop(in_flight);
    let cause = match outcome.cause {
        Cause::IdleTimeout => Cause::TunnelTimeout,
        other => other,
    };
    let outcome = Outcome { cause, ..outcome };
    exchange.progress().add_in(traffic.bytes_in().saturating_sub(before.0));
    exchange.progress().add_out(traffic.bytes_out().saturating_sub(before.1));
    exchange.close(outcome);
    outcome
}

/// The stream that hyper had, and what hyper has read from it beyond the head.
async fn regained<I>(upgrade: OnUpgrade) -> Option<(bytes::Bytes, I)>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let upgraded: Upgraded = upgrade.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<I>>().ok()?;
    Some((parts.read_buf, parts.io.into_inner()))
}
