//! The connect helper: the only place where a socket towards a target is opened.

mod addresses;
mod attempt;
mod failure;
mod race;
mod socket;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use failure::{ConnectError, FAILURES_MAX, FailedAttempt, Failure};

use tokio::time::{Instant, timeout_at};

use self::attempt::{Attempt, Opened};
use self::race::race;
use super::balance::{Choice, Order, Targets};
use super::health::Health;
use super::resolve::{ResolveError, Resolver};
use super::stream::Stream;
use super::target::{InFlight, Target, TargetHost};
use crate::connection::{Connection, State};
use crate::name::HostName;
use crate::net::{ClientAddress, ListenAddress, TargetAddress};
use crate::outcome::with_causes;
use crate::sniff::ProxyVersion;
use crate::telemetry::RouteMeter;
use crate::tls::ClientPolicy;

/// How many addresses of one name are tried.
pub const ADDRESSES_MAX: usize = 8;

/// How long an address has to answer before the next one is tried beside it (RFC 8305 section 8, "Connection Attempt
/// Delay", recommended).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything that is to be known to connect one client to one of its route's targets.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The targets to choose from.
    pub targets: &'a Targets,
    /// For whom; what the choice may depend on, and the source in a PROXY header.
    pub client: ClientAddress,
    /// Where we listen for the client: the port to preserve.
    pub listener: ListenAddress,
    /// TLS to the target, if there is to be any.
    pub tls: Option<&'a ClientPolicy>,
    /// The PROXY header to send first, if any.
    pub proxy_header: Option<ProxyVersion>,
    /// How long what may take.
    pub timeouts: &'a Timeouts,
    /// Where attempts are counted.
    pub meter: &'a RouteMeter,
    /// The client's connection.
    pub connection: &'a Connection,
}

/// How long connecting may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One attempt, until its TCP connection stands.
    pub connect: Duration,
    /// All attempts, over all addresses and targets, TLS included.
    pub connect_total: Duration,
    /// The TLS handshake of one attempt.
    pub tls_handshake: Duration,
}

/// A connection to a target.
#[derive(Debug)]
pub struct Connected {
    /// The connection; a PROXY header has been sent and TLS stands, where asked for.
    pub stream: Stream,
    /// To which target.
    pub target: Arc<Target>,
    /// At which of its addresses.
    pub address: TargetAddress,
    /// Counts the connection for the target; to be kept as long as the stream.
    // After the stream, so that it is given back after the socket.
    pub in_flight: InFlight,
}

/// Connects to the first target that can be connected to.
///
/// Each attempt is recorded exactly once, whatever comes of it.
///
/// # Errors
/// Every attempt and how it failed. [`ConnectError::outcome`] says whose fault it is.
///
/// # Cancel safety
/// Dropping the future closes what is open and records the attempts that were being made as cancelled.
pub fn connect<'a>(plan: &'a Plan<'a>) -> impl Future<Output = Result<Connected, ConnectError>> + 'a {
    connect_in(plan, plan.targets.order(plan.client.ip()))
}

/// The same, for one who has looked at the order of the targets already.
///
/// # Errors
/// As [`connect()`] has them.
///
/// # Cancel safety
/// As [`connect()`] has it.
pub fn connect_in<'a>(
    plan: &'a Plan<'a>,
    order: Order<'a>,
) -> impl Future<Output = Result<Connected, ConnectError>> + 'a {
    connect_with(plan, order, Resolver::system())
}

// No `async fn`: that keeps room for its arguments twice.
fn connect_with<'a>(
    plan: &'a Plan<'a>,
    mut order: Order<'a>,
    resolver: &'a Arc<Resolver>,
) -> impl Future<Output = Result<Connected, ConnectError>> + 'a {
    let mut error = ConnectError::default();
    async move {
        plan.connection.enter(State::Connecting);
        let start = Instant::now();
        // A limit past the end of the clock is none; a day is as good.
        let deadline = start.checked_add(plan.timeouts.connect_total).unwrap_or_else(|| start + DAY);
        let course = Course { plan, resolver, deadline };
        let mut now = start;
        for choice in order.by_ref() {
            if let Some(connected) = course.attempt(&choice, now, &mut error).await {
                return Ok(connected);
            }
            now = Instant::now();
            if error.is_final() || now >= deadline {
                break;
            }
        }
        Err(error)
    }
}

/// What all attempts of one call have in common.
struct Course<'a> {
    plan: &'a Plan<'a>,
    resolver: &'a Arc<Resolver>,
    deadline: Instant,
}

impl<'a> Course<'a> {
    /// A connection to the target, with TLS where asked for; and what it says of the target's health. Begins at `begun`, which
    /// is now.
    async fn attempt(&self, choice: &Choice<'a>, begun: Instant, error: &mut ConnectError) -> Option<Connected> {
        let before = error.count();
        if let Some(opened) = self.open(choice.target(), begun, error).await {
            match opened.establish().await {
                Ok(connected) => {
                    self.connected(choice);
                    return Some(connected);
                }
                Err(failed) => error.add(failed),
            }
        }
        self.failed(choice, error.telling_since(before)?, begun);
        None
    }

    /// A connection to the target stands, which may be news.
    fn connected(&self, choice: &Choice<'_>) {
        if let Some(after) = choice.health().and_then(Health::succeeded) {
            tracing::info!(
                target: "smartproxy::health",
                route = %self.plan.meter.name(),
                target = %choice.target().label(),
                ?after,
                "the target is back"
            );
        }
    }

    /// The target could not be connected to; `failed` tells the most of why.
    fn failed(&self, choice: &Choice<'_>, failed: &FailedAttempt, begun: Instant) {
        let Some(health) = choice.health() else { return };
        let cause = failed.failure.outcome().cause;
        if self.counts(&failed.failure, begun) && health.failed(cause, begun) {
            tracing::warn!(
                target: "smartproxy::health",
                route = %self.plan.meter.name(),
                target = %choice.target().label(),
                cause = cause.as_str(),
                error = %with_causes(&failed.failure),
                set_aside = ?health.policy().set_aside,
                "the target is set aside: it is tried only where no other is left"
            );
        }
    }

    /// Whether a failure says something of the target, which had the time that an attempt may take.
    fn counts(&self, failure: &Failure, begun: Instant) -> bool {
        match failure {
            Failure::Refused
            | Failure::Unreachable(_)
            | Failure::Timeout
            | Failure::ResolveFailed(_)
            | Failure::Tls(_)
            | Failure::TlsTimeout
            | Failure::Reset
            | Failure::Other(_) => true,
            Failure::TotalTimeout => {
                begun.elapsed() >= self.plan.timeouts.connect.min(self.plan.timeouts.connect_total)
            }
            Failure::OutOfDescriptors(_) | Failure::NoTarget => false,
        }
    }

    /// A TCP connection to the target.
    async fn open(&self, target: &'a Arc<Target>, begun: Instant, error: &mut ConnectError) -> Option<Opened<'a>> {
        let attempt = Attempt::begin(self.plan, target, begun, self.deadline);
        match target.host() {
            TargetHost::Address(address) => attempt.open(*address).await.map_err(|failed| error.add(failed)).ok(),
            // On the heap, so that connections to addresses need not keep room for a race.
            TargetHost::Name(name) => Box::pin(self.open_name(attempt, target, name, error)).await,
        }
    }

    /// A TCP connection to one of the addresses of a name. The first attempt begins with the question for them; each
    /// further address is an attempt of its own.
    async fn open_name(
        &self,
        first: Attempt<'a>,
        target: &'a Arc<Target>,
        name: &HostName,
        error: &mut ConnectError,
    ) -> Option<Opened<'a>> {
        let late = Failure::ResolveFailed(ResolveError::Timeout);
        let (at, passed) = first.limit(self.plan.timeouts.connect, late);
        let found = match timeout_at(at, self.resolver.addresses(name)).await {
            Ok(answer) => answer.map_err(Failure::ResolveFailed),
            Err(_elapsed) => self.resolver.instead(name).ok_or(passed),
        };
        match found {
            Ok(found) => {
                if !found.stale {
                    target.meter(self.plan.meter.meters()).resolved(SystemTime::now());
                }
                self.open_one_of(&found.addresses, first, target, error).await
            }
            Err(failure) => {
                error.add(first.failed(failure));
                None
            }
        }
    }

    async fn open_one_of(
        &self,
        found: &[IpAddr],
        first: Attempt<'a>,
        target: &'a Arc<Target>,
        error: &mut ConnectError,
    ) -> Option<Opened<'a>> {
        let mut first = Some(first);
        let start = |address| {
            let attempt =
                first.take().unwrap_or_else(|| Attempt::begin(self.plan, target, Instant::now(), self.deadline));
            attempt.open(address)
        };
        race(found, start, error).await
    }
}
