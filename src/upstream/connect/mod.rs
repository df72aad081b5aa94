//! The connect helper: the only place where a socket towards a target is opened.

mod addresses;
mod attempt;
mod failure;
mod race;
mod socket;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use failure::{ConnectError, FAILURES_MAX, FailedAttempt, Failure};

use tokio::time::{Instant, timeout_at};

use self::attempt::{Attempt, Opened};
use self::race::race;
use super::balance::Targets;
use super::resolve::{ResolveError, Resolver};
use super::stream::Stream;
use super::target::{InFlight, Target, TargetHost};
use crate::connection::{Connection, State};
use crate::name::HostName;
use crate::net::{ClientAddress, ListenAddress, TargetAddress};
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
    /// Where the client came to: the port to preserve, and the destination in a PROXY header.
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
pub async fn connect(plan: &Plan<'_>) -> Result<Connected, ConnectError> {
    connect_with(plan, Resolver::system()).await
}

async fn connect_with(plan: &Plan<'_>, resolver: &Arc<Resolver>) -> Result<Connected, ConnectError> {
    plan.connection.enter(State::Connecting);
    let start = Instant::now();
    // A limit past the end of the clock is none; a day is as good.
    let deadline = start.checked_add(plan.timeouts.connect_total).unwrap_or_else(|| start + DAY);
    let course = Course { plan, resolver, deadline };
    let mut error = ConnectError::default();
    for target in plan.targets.order(plan.client.ip()) {
        if let Some(opened) = course.open(target, &mut error).await {
            match opened.establish().await {
                Ok(connected) => return Ok(connected),
                Err(failed) => error.add(failed),
            }
        }
        if error.is_final() || Instant::now() >= deadline {
            break;
        }
    }
    Err(error)
}

/// What all attempts of one call have in common.
struct Course<'a> {
    plan: &'a Plan<'a>,
    resolver: &'a Arc<Resolver>,
    deadline: Instant,
}

impl<'a> Course<'a> {
    /// A TCP connection to the target.
    async fn open(&self, target: &'a Arc<Target>, error: &mut ConnectError) -> Option<Opened<'a>> {
        let attempt = Attempt::begin(self.plan, target, self.deadline);
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
        let failure = match timeout_at(at, self.resolver.addresses(name)).await {
            Ok(Ok(found)) => return self.open_one_of(&found, first, target, error).await,
            Ok(Err(unknown)) => Failure::ResolveFailed(unknown),
            Err(_elapsed) => passed,
        };
        error.add(first.failed(failure));
        None
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
            let attempt = first.take().unwrap_or_else(|| Attempt::begin(self.plan, target, self.deadline));
            attempt.open(address)
        };
        race(found, start, error).await
    }
}
