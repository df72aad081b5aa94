use std::io;

use super::client_hello::{HelloFault, MalformedHello};
use super::proxy_header::ProxyHeaderFault;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Why a connection ended before it was known what it speaks.
#[derive(Debug, thiserror::Error)]
pub enum SniffError {
    /// The client closed before its first byte.
    #[error("the client closed without having sent a byte")]
    Empty {
        /// What was being read.
        phase: Phase,
    },
    /// The client closed when more was needed.
    #[error("the client closed before it had shown what it speaks")]
    ClosedEarly {
        /// What was being read.
        phase: Phase,
    },
    /// The deadline passed: `timeouts.sniff`.
    #[error("the client did not show in time what it speaks (timeouts.sniff)")]
    Timeout {
        /// What was being read.
        phase: Phase,
    },
    /// The client reset the connection.
    #[error("the client reset the connection")]
    Reset {
        /// What was being read.
        phase: Phase,
        /// The system's error.
        source: io::Error,
    },
    /// The connection broke in another way, as when the client's host can no longer be reached.
    #[error("reading from the client failed")]
    Io {
        /// What was being read.
        phase: Phase,
        /// The system's error.
        source: io::Error,
    },
    /// The ClientHello breaks a rule of TLS.
    #[error("the client sent a malformed TLS ClientHello")]
    HelloMalformed {
        /// Which rule.
        source: MalformedHello,
    },
    /// The ClientHello is above our limits.
    #[error("{}", HelloFault::TooLarge)]
    HelloTooLarge,
    /// The PROXY header breaks a rule of its protocol, or is above our limit.
    #[error("the client sent a malformed PROXY header")]
    ProxyHeaderMalformed {
        /// Which rule.
        source: ProxyHeaderFault,
    },
}

impl SniffError {
    /// How the connection ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Empty { phase } => Outcome::new(*phase, Party::Client, Cause::Empty),
            Self::ClosedEarly { phase } => Outcome::new(*phase, Party::Client, Cause::ClosedEarly),
            Self::Timeout { phase } => Outcome::new(*phase, Party::Client, Cause::SniffTimeout),
            Self::Reset { phase, source: _ } => Outcome::new(*phase, Party::Client, Cause::Reset),
            // The system gave the client up; no reset came that could be passed on.
            Self::Io { phase, source: _ } => Outcome::new(*phase, Party::Client, Cause::ClosedEarly),
            Self::HelloMalformed { source: _ } => Outcome::new(Phase::Sniff, Party::Client, Cause::HelloMalformed),
            Self::HelloTooLarge => Outcome::new(Phase::Sniff, Party::Client, Cause::HelloTooLarge),
            Self::ProxyHeaderMalformed { source: _ } => {
                Outcome::new(Phase::ProxyHeader, Party::Client, Cause::ProxyHeaderMalformed)
            }
        }
    }

    pub(super) fn read(phase: Phase, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::ConnectionReset {
            Self::Reset { phase, source }
        } else {
            Self::Io { phase, source }
        }
    }
}

impl From<HelloFault> for SniffError {
    fn from(fault: HelloFault) -> Self {
        match fault {
            HelloFault::Malformed(source) => Self::HelloMalformed { source },
            HelloFault::TooLarge => Self::HelloTooLarge,
        }
    }
}

impl From<ProxyHeaderFault> for SniffError {
    fn from(source: ProxyHeaderFault) -> Self {
        Self::ProxyHeaderMalformed { source }
    }
}
