use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::exchange::Exchange;
use crate::connection::{Connection, State};
use crate::net::{Prefixed, Transport};
use crate::outcome::{Cause, Outcome};
use crate::relay::{Limits, relay};
use crate::upstream::{InFlight, Stream};

/// What a client connection becomes when a target has accepted an upgrade: bytes both ways (RFC 9110 section 7.8).
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) target: Prefixed<Stream>,
    pub(super) limits: Limits,
    pub(super) exchange: Exchange,
    /// After the exchange, so that the target is free when the books are closed.
    pub(super) in_flight: InFlight,
}

impl Tunnel {
    /// Relays until the tunnel ends, and says how. `leftover` is what the client has sent behind its request.
    pub(super) async fn run<S: Transport + 'static>(
        self,
        client: S,
        leftover: Bytes,
        max_lifetime: Option<Duration>,
        connection: &Arc<Connection>,
    ) -> Outcome {
        let Self { target, limits, exchange, in_flight } = self;
        let limits = Limits { max_lifetime, ..limits };
        connection.enter(State::Relaying);
        let traffic = connection.traffic();
        // It was counted when it was read, and will be again when the target takes it.
        traffic.retract_in(leftover.len() as u64);
        let before = (traffic.bytes_in(), traffic.bytes_out());
        let client = Prefixed::new(leftover, client);
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
}
