//! The connect helper: the only place where a socket towards a target is opened.

mod failure;

use std::sync::Arc;
use std::time::Duration;

pub use failure::{ConnectError, FAILURES_MAX, FailedAttempt, Failure};

use super::balance::Targets;
use super::stream::Stream;
use super::target::{InFlight, Target};
use crate::connection::{Connection, State};
use crate::net::{ClientAddress, ListenAddress, TargetAddress};
use crate::sniff::ProxyVersion;
use crate::telemetry::RouteMeter;
use crate::tls::ClientPolicy;

/// How many addresses of one name are tried.
pub const ADDRESSES_MAX: usize = 8;

/// How long an address has to answer before the next one is tried beside it (RFC 8305 section 8, "Connection Attempt
/// Delay", recommended).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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
    plan.connection.enter(State::Connecting);
    Err(ConnectError::default())
}
