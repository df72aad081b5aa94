use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::exchange::Exchange;
use super::two::{Far, carry};
use crate::connection::{Connection, State};
use crate::drain::Order;
use crate::net::{Prefixed, Transport, reset_on_close};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::relay::{Limits, Side, relay};

/// What a client connection becomes when a target has accepted an upgrade: bytes both ways (RFC 9110 section 7.8).
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) far: Far,
    pub(super) limits: Limits,
    pub(super) exchange: Exchange,
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
        let Self { far, limits, exchange } = self;
        let limits = Limits { max_lifetime, ..limits };
        connection.enter(State::Relaying);
        let traffic = connection.traffic();
        // It was counted when it was read, and will be again when the target takes it.
        traffic.retract_in(leftover.len() as u64);
        let before = (traffic.bytes_in(), traffic.bytes_out());
        let mut client = Prefixed::new(leftover, client);
        let opened = Instant::from_std(connection.opened());
        let half_closed = |_side: Side| connection.enter(State::HalfClosed);
        let outcome = match far {
            Far::Socket(target, in_flight) => {
                let outcome = relay(client, target, &limits, opened, traffic, connection.leash(), half_closed).await;
                drop(in_flight);
                outcome
            }
            Far::Strand(target, slot) => {
                let count = |there, back| {
                    traffic.add_in(there);
                    traffic.add_out(back);
                };
                let carrying = carry(&mut client, target, &limits, half_closed, count);
                let outcome = ended(carrying, opened, max_lifetime, connection).await;
                if ![Cause::Finished, Cause::TunnelTimeout, Cause::HalfClosedTimeout].contains(&outcome.cause) {
                    reset_on_close(client.tcp());
                }
                drop(slot);
                outcome
            }
        };
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

/// How carrying ends: by itself, by the leash, or with the connection's lifetime.
async fn ended(
    carrying: impl Future<Output = Outcome>,
    opened: Instant,
    max_lifetime: Option<Duration>,
    connection: &Connection,
) -> Outcome {
    // A lifetime that no clock can reach is none.
    let expires = max_lifetime.and_then(|lifetime| opened.checked_add(lifetime));
    let expired = async {
        match expires {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        order = connection.leash().end() => {
            let cause = if order == Order::Kill { Cause::Killed } else { Cause::Cut };
            Outcome::new(Phase::Relay, Party::Operator, cause)
        }
        outcome = carrying => outcome,
        () = expired => Outcome::new(Phase::Relay, Party::Proxy, Cause::LifetimeReached),
    }
}
