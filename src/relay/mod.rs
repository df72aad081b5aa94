//! Bytes both ways between two streams, until the end.

mod duplex;
mod half;
mod patience;

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::duplex::Duplex;
use crate::drain::Leash;
use crate::net::Transport;
use crate::outcome::{Outcome, Party};
use crate::telemetry::Traffic;

/// One of the two ends of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that came to us.
    Client,
    /// The one that we went to.
    Target,
}

impl Side {
    /// The opposite end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Target,
            Self::Target => Self::Client,
        }
    }

    /// The side as the party of an outcome.
    #[must_use]
    pub const fn party(self) -> Party {
        match self {
            Self::Client => Party::Client,
            Self::Target => Party::Target,
        }
    }
}

/// How long a relay waits. All but `max_lifetime` measure time without progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No byte in either direction.
    pub idle: Duration,
    /// One side has finished and the other moves no byte.
    pub half_closed: Duration,
    /// The last bytes of one side do not reach the other, which has stopped reading.
    pub linger: Duration,
    /// The whole connection, from the instant it was opened; `None` for no limit.
    pub max_lifetime: Option<Duration>,
}

/// Relays until both sides have ended, one is lost, a limit is reached or the leash is pulled; then both are closed.
///
/// Owns both streams: they are closed when the future is ready, or dropped. Bytes that one side sends are counted in
/// `traffic` as the other takes them, so the counts are exact whatever the end.
///
/// - A side that ends its direction ends it on the other too, after its last byte, and the opposite direction goes on.
///   `on_half_closed` is told once which side was first.
/// - A side that is lost (reset, unreachable, a broken TLS record) has what it sent before delivered, then the other is
///   reset: it must not take the bytes for all there were. Bytes for the lost side are gone.
/// - `idle` and `half_closed` end both sides in order, as all that was sent has arrived; if something is still on its way,
///   and at every other limit, both are reset.
/// - `opened` is when `max_lifetime` began.
/// - [`Order::Drain`](crate::drain::Order::Drain) changes nothing here; the orders above it end the relay at once.
///
/// # Cancel safety
/// Dropping the future closes both streams at once; bytes that one side has sent and the other has not taken are lost.
pub fn relay<'a, C: Transport, T: Transport>(
    client: C,
    target: T,
    limits: &'a Limits,
    opened: Instant,
    traffic: &'a Traffic,
    leash: &'a Leash,
    on_half_closed: impl FnMut(Side) + Send,
) -> impl Future<Output = Outcome> + Send {
    // Not an `async fn`: that keeps its arguments apart from where they are moved to, and streams are large.
    let mut duplex = Duplex::new(client, target, limits, opened, traffic, leash, on_half_closed);
    async move {
        let mut timer = pin!(sleep_until(duplex.wake_at()));
        poll_fn(|context| duplex.poll(context, timer.as_mut())).await
    }
}

#[cfg(test)]
mod tests;

/// The same tests again, with all that can go through a pipe going through one.
#[cfg(test)]
#[path = "tests/mod.rs"]
#[expect(clippy::duplicate_mod, reason = "both ways have to keep the same promises")]
mod spliced;
