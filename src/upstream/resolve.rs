use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::name::HostName;

/// How long the addresses of a name are used before they are asked for again.
///
/// The system's resolver does not tell how long they are valid; this is short enough to follow a moving service, and long
/// enough that a busy route asks rarely.
pub const FRESH_FOR: Duration = Duration::from_secs(5);

/// How long a name that could not be resolved is not asked for again.
pub const FAILED_FOR: Duration = Duration::from_secs(1);

/// How many names are remembered.
pub const NAMES_MAX: usize = 4096;

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// The system's resolver says so.
    #[error("the name could not be resolved; is it right, and does the system's resolver know it?")]
    System(#[source] Arc<io::Error>),
    /// It answered with nothing.
    #[error("the name has no address")]
    NoAddress,
    /// It did not answer within `timeouts.connect`.
    #[error("the name was not resolved within timeouts.connect")]
    Timeout,
    /// Too many names are being resolved.
    #[error("more than {NAMES_MAX} names are being resolved at once")]
    TooMany,
}

/// The addresses of a name.
pub(super) async fn addresses(_name: &HostName) -> Result<Arc<[IpAddr]>, ResolveError> {
    Err(ResolveError::NoAddress)
}
