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
    #[error(transparent)]
    Tls(TargetTlsError),
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
            // ENOSPC: fs.epoll.max_user_watches (epoll_ctl(2)).
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC) => {
                return Self::OutOfDescriptors(error);
            }
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

    /// Whether no other target can do better.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::OutOfDescriptors(_) | Self::NoTarget => true,
            Self::Refused
            | Self::Unreachable(_)
            | Self::Timeout
            | Self::TotalTimeout
            | Self::ResolveFailed(_)
            | Self::Tls(_)
            | Self::TlsTimeout
            | Self::Reset
            | Self::Other(_) => false,
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
#[error("no connection to any target; attempts: {}", self.count())]
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
        telling(&self.attempts)
    }

    /// The same, of the attempts after the first `before`.
    pub(super) fn telling_since(&self, before: usize) -> Option<&FailedAttempt> {
        telling(self.attempts.get(before.saturating_sub(self.forgotten)..).unwrap_or_default())
    }

    /// How many attempts have failed.
    pub(super) fn count(&self) -> usize {
        self.attempts.len().saturating_add(self.forgotten)
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

    /// Whether it makes no sense to try another target.
    pub(super) fn is_final(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.failure.is_final())
    }

    pub(super) fn add(&mut self, attempt: FailedAttempt) {
        if self.attempts.len() >= FAILURES_MAX {
            self.attempts.remove(0);
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.attempts.push(attempt);
    }
}

fn telling(attempts: &[FailedAttempt]) -> Option<&FailedAttempt> {
    attempts.iter().max_by_key(|attempt| attempt.failure.weight())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::with_causes;

    fn attempt(failure: Failure) -> FailedAttempt {
        FailedAttempt { target: "t:1".into(), address: None, failure, elapsed: Duration::ZERO }
    }

    fn system(number: i32) -> Failure {
        Failure::from_socket(io::Error::from_raw_os_error(number))
    }

    #[test]
    fn each_error_of_a_socket_has_its_cause_and_its_party() {
        let cases: [(&[i32], Party, Cause, ConnectResult); 6] = [
            (&[libc::ECONNREFUSED], Party::Target, Cause::Refused, ConnectResult::Refused),
            (
                &[libc::EHOSTUNREACH, libc::ENETUNREACH, libc::ENETDOWN, libc::EHOSTDOWN, libc::ENONET],
                Party::Target,
                Cause::Unreachable,
                ConnectResult::Unreachable,
            ),
            (&[libc::ETIMEDOUT], Party::Target, Cause::ConnectTimeout, ConnectResult::Timeout),
            (
                &[libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::ENOSPC],
                Party::Proxy,
                Cause::OutOfDescriptors,
                ConnectResult::Failed,
            ),
            (&[libc::ECONNRESET, libc::EPIPE], Party::Target, Cause::ConnectFailed, ConnectResult::Failed),
            (&[libc::EADDRNOTAVAIL, libc::EPERM, 9_999], Party::Target, Cause::ConnectFailed, ConnectResult::Failed),
        ];
        for (numbers, party, cause, result) in cases {
            for number in numbers {
                let failure = system(*number);
                assert_eq!(failure.outcome(), Outcome::new(Phase::Connect, party, cause), "{number}");
                assert_eq!(failure.result(), result, "{number}");
            }
        }
    }

    #[test]
    fn tls_failures_belong_to_the_upstream_handshake() {
        let outcome = |cause| Outcome::new(Phase::UpstreamHandshake, Party::Target, cause);
        assert_eq!(Failure::Tls(TargetTlsError::Closed).outcome(), outcome(Cause::UpstreamTls));
        assert_eq!(Failure::TlsTimeout.outcome(), outcome(Cause::UpstreamTlsTimeout));
    }

    #[test]
    fn the_last_failure_tells_unless_it_is_a_dead_family_or_an_earlier_one_was_ours() {
        let cause = |failures: Vec<Failure>| {
            let mut error = ConnectError::default();
            failures.into_iter().for_each(|failure| error.add(attempt(failure)));
            error.outcome().cause
        };
        assert_eq!(cause(vec![]), Cause::NoTarget);
        assert_eq!(cause(vec![Failure::Timeout, Failure::Refused]), Cause::Refused);
        assert_eq!(cause(vec![Failure::Refused, system(libc::ENETUNREACH)]), Cause::Refused);
        assert_eq!(cause(vec![system(libc::ENETUNREACH)]), Cause::Unreachable);
        assert_eq!(cause(vec![system(libc::EMFILE), Failure::Timeout]), Cause::OutOfDescriptors);
    }

    #[test]
    fn one_failure_above_the_limit_makes_the_earliest_forgotten() {
        let mut error = ConnectError::default();
        for number in 0..=FAILURES_MAX {
            error.add(FailedAttempt { target: number.to_string().into(), ..attempt(Failure::Refused) });
        }
        assert_eq!((error.attempts.len(), error.forgotten), (FAILURES_MAX, 1));
        assert_eq!(&*error.attempts[0].target, "1");
        assert_eq!(error.to_string(), "no connection to any target; attempts: 17");
    }

    #[test]
    fn a_failure_is_told_with_what_it_comes_from() {
        let failure = Failure::ResolveFailed(ResolveError::System(Arc::new(io::Error::other("try again"))));
        assert_eq!(
            with_causes(&failure),
            "the target's name gave no address: the system's resolver does not know the name, or could not ask: try again"
        );
    }
}
