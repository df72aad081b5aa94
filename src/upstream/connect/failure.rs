use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::net::TargetAddress;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::telemetry::ConnectResult;
use crate::tls::TargetTlsError;
use crate::upstream::resolve::ResolveError;

/// How many failed attempts an error remembers; with more, the earliest are forgotten.
pub const FAILURES_MAX: usize = 16;

/// Why one attempt to connect to a target failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody listens there.
    #[error("the target refused the connection; does it run, and on this port?")]
    Refused,
    /// The network does not lead there.
    #[error("the target is unreachable")]
    Unreachable(#[source] io::Error),
    /// No answer within `timeouts.connect`.
    #[error("the target did not answer within timeouts.connect")]
    Timeout,
    /// `timeouts.connect_total` passed.
    #[error("timeouts.connect_total passed before the target answered")]
    TotalTimeout,
    /// The target's name has no address.
    #[error("the target's name gave no address")]
    ResolveFailed(#[source] ResolveError),
    /// The proxy is short of descriptors or memory.
    #[error("the proxy has no file descriptor or memory left for a socket; raise its limit on open files")]
    OutOfDescriptors(#[source] io::Error),
    /// TLS with the target failed.
    #[error("the TLS handshake with the target failed")]
    Tls(#[source] TargetTlsError),
    /// No TLS within `timeouts.tls_handshake`.
    #[error("the target did not complete the TLS handshake within timeouts.tls_handshake")]
    TlsTimeout,
    /// The target reset the connection before it was of use.
    #[error("the target reset the connection at once")]
    Reset,
    /// The system's error.
    #[error("connecting to the target failed")]
    Other(#[source] io::Error),
    /// There is no target to try.
    #[error("the route has no target that could be tried")]
    NoTarget,
}

impl Failure {
    /// How a connection that ended so is recorded.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let (party, cause) = match self {
            Self::Refused => (Party::Target, Cause::Refused),
            Self::Unreachable(_) => (Party::Target, Cause::Unreachable),
            Self::Timeout | Self::TotalTimeout => (Party::Target, Cause::ConnectTimeout),
            Self::ResolveFailed(_) => (Party::Target, Cause::ResolveFailed),
            Self::OutOfDescriptors(_) => (Party::Proxy, Cause::OutOfDescriptors),
            Self::Tls(error) => return error.outcome(),
            Self::TlsTimeout => return TargetTlsError::Timeout.outcome(),
            Self::Reset | Self::Other(_) => (Party::Target, Cause::ConnectFailed),
            Self::NoTarget => (Party::Proxy, Cause::NoTarget),
        };
        Outcome::new(Phase::Connect, party, cause)
    }

    /// What the attempt is counted as.
    pub(super) fn result(&self) -> ConnectResult {
        match self {
            Self::Refused => ConnectResult::Refused,
            Self::Unreachable(_) => ConnectResult::Unreachable,
            Self::Timeout | Self::TotalTimeout => ConnectResult::Timeout,
            Self::ResolveFailed(_) => ConnectResult::ResolveFailed,
            Self::Tls(_) | Self::TlsTimeout => ConnectResult::Tls,
            Self::OutOfDescriptors(_) | Self::Reset | Self::Other(_) | Self::NoTarget => ConnectResult::Failed,
        }
    }

    /// Reads an error of the socket, while connecting or writing the first bytes.
    pub(super) fn from_socket(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => return Self::OutOfDescriptors(error),
            Some(libc::EHOSTDOWN | libc::ENONET) => return Self::Unreachable(error),
            Some(_) | None => {}
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Self::Unreachable(error)
            }
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::Reset
            }
            _ => Self::Other(error),
        }
    }

    /// How much it tells of why there is no connection, against other failures.
    fn weight(&self) -> u8 {
        match self {
            // Of a name's two families often one leads nowhere, and that is no news.
            Self::Unreachable(_) => 0,
            Self::Refused
            | Self::Timeout
            | Self::TotalTimeout
            | Self::ResolveFailed(_)
            | Self::Tls(_)
            | Self::TlsTimeout
            | Self::Reset
            | Self::Other(_)
            | Self::NoTarget => 1,
            // Ours, and what came after it may come from it.
            Self::OutOfDescriptors(_) => 2,
        }
    }
}

/// One attempt that came to nothing.
#[derive(Debug)]
pub struct FailedAttempt {
    /// The target's label.
    pub target: Arc<str>,
    /// The address, if the target has one.
    pub address: Option<TargetAddress>,
    /// Why.
    pub failure: Failure,
    /// From the start of the attempt to its failure.
    pub elapsed: Duration,
}

/// No target could be connected to.
#[derive(Debug, Default, thiserror::Error)]
#[error("no connection to any target; attempts: {}", self.attempts.len().saturating_add(self.forgotten))]
pub struct ConnectError {
    /// The failed attempts in the order in which they ended, at most [`FAILURES_MAX`]. Empty: there was no target to try.
    pub attempts: Vec<FailedAttempt>,
    /// How many failed before those.
    pub forgotten: usize,
}

impl ConnectError {
    /// The attempt that tells the most of why there is no connection: the last one, as a rule.
    #[must_use]
    pub fn telling(&self) -> Option<&FailedAttempt> {
        self.attempts.iter().max_by_key(|attempt| attempt.failure.weight())
    }

    /// Why there is no connection.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        self.telling().map_or(&Failure::NoTarget, |attempt| &attempt.failure)
    }

    /// How a connection, or a request, is recorded that ended so.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.failure().outcome()
    }

    pub(super) fn add(&mut self, attempt: FailedAttempt) {
        if self.attempts.len() >= FAILURES_MAX {
            self.attempts.remove(0);
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.attempts.push(attempt);
    }
}
