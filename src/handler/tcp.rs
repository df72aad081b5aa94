use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::route::{Action, Forward, Route};
use crate::connection::{Connection, State};
use crate::drain::Order;
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase, with_causes};
use crate::relay::{Side, relay};
use crate::upstream::{Connected, Plan, connect};

/// Relays plain or decrypted bytes to a target, untouched.
pub async fn tcp<S: Transport>(client: S, route: &Route, connection: &Connection) -> Outcome {
    let forward = match &route.action {
        Action::Forward(forward) => forward,
        // The configuration refuses both for anything but HTTP; the outcome says whose fault it would be.
        Action::Redirect(_) | Action::Respond(_) => {
            return Outcome::new(Phase::Route, Party::Proxy, Cause::NoTarget);
        }
    };
    // On the heap, so that nothing is left of it once the relay has begun.
    let connected = match Box::pin(reach(&client, route, forward, connection)).await {
        Ok(connected) => connected,
        Err(outcome) => return outcome,
    };
    connection.enter(State::Relaying);
    let Connected { stream: target, in_flight: _in_flight, .. } = connected;
    let half_closed = |_side: Side| connection.enter(State::HalfClosed);
    let opened = Instant::from_std(connection.opened());
    relay(client, target, &route.relay, opened, connection.traffic(), connection.leash(), half_closed).await
}

/// Connects to a target, for as long as the client is there and nobody has ended it.
async fn reach<S: Transport>(
    client: &S,
    route: &Route,
    forward: &Forward,
    connection: &Connection,
) -> Result<Connected, Outcome> {
    let client_address = connection.client();
    let plan = Plan {
        targets: &forward.targets,
        client: client_address,
        listener: connection.listener(),
        tls: forward.tls.as_deref(),
        proxy_header: forward.proxy_header,
        timeouts: &forward.timeouts,
        meter: &route.meter,
        connection,
    };
    tokio::select! {
        biased;
        order = connection.leash().end() => Err(ended(Phase::Connect, order)),
        connected = connect(&plan) => connected.map_err(|error| {
            connection.set_error(&with_causes(error.failure()));
            error.outcome()
        }),
        () = reset(client.tcp()) => Err(Outcome::new(Phase::Connect, Party::Client, Cause::Reset)),
    }
}

/// Waits until the client resets its connection. A client that has only finished sending is still waiting for its answer.
async fn reset(client: &TcpStream) {
    loop {
        match client.ready(Interest::ERROR).await {
            Ok(ready) if ready.is_error() => return,
            // Nothing to do about it here: the next read or write meets the same error, and says so.
            Ok(_) => tokio::task::yield_now().await,
            Err(_) => return,
        }
    }
}

/// How a connection ends that was told to, in the middle of a phase.
#[must_use]
pub fn ended(phase: Phase, order: Order) -> Outcome {
    let cause = match order {
        Order::Drain => Cause::Drained,
        Order::Cut => Cause::Cut,
        Order::Kill => Cause::Killed,
    };
    Outcome::new(phase, Party::Operator, cause)
}
