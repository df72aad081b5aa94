/// How one attempt to connect to a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectResult {
    /// The connection (and TLS on it, if asked for) stands.
    Connected,
    /// ECONNREFUSED.
    Refused,
    /// No way to the host or network.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The name could not be resolved.
    ResolveFailed,
    /// TLS with the target failed.
    Tls,
    /// Given up, since the client left or another address was faster.
    Cancelled,
    /// Anything else.
    Failed,
}

impl ConnectResult {
    pub(super) const ALL: [Self; 8] = [
        Self::Connected,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::ResolveFailed,
        Self::Tls,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::ResolveFailed => "resolve_failed",
            Self::Tls => "tls",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// The first digit of an HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 1xx: an upgrade.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx, and whatever is no valid status.
    ServerError,
    /// No status could be sent: the client was gone before.
    Unanswered,
}

impl StatusClass {
    pub(super) const ALL: [Self; 6] =
        [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError, Self::Unanswered];

    /// The class of a status code.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Unanswered => "none",
        }
    }
}

/// What an error of `accept` means for the loop. Nothing is a fault of the listener but the last class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFault {
    /// The connection that was to be accepted is gone or broken: go on with the next.
    Peer,
    /// This process or host is out of something: rest, say the cure once, go on.
    Exhausted,
    /// The listener is broken: stop.
    Broken,
}

impl AcceptFault {
    pub(super) const ALL: [Self; 3] = [Self::Peer, Self::Exhausted, Self::Broken];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Exhausted => "exhausted",
            Self::Broken => "broken",
        }
    }
}

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// The new generation runs.
    Done,
    /// Everything is as it was.
    Refused,
}

impl ReloadResult {
    pub(super) const ALL: [Self; 2] = [Self::Done, Self::Refused];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// With whom a TLS handshake was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeSide {
    /// A client.
    Client,
    /// A target.
    Target,
}

impl HandshakeSide {
    pub(super) const ALL: [Self; 2] = [Self::Client, Self::Target];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Target => "target",
        }
    }
}

/// Where a request's connection to its target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkout {
    /// It was opened for the request.
    Opened,
    /// It has served another request before.
    Reused,
}

impl Checkout {
    pub(super) const ALL: [Self; 2] = [Self::Opened, Self::Reused];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reused => "reused",
        }
    }
}

/// What came of asking for the addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// Addresses.
    Found,
    /// The name has none.
    Empty,
    /// The system's resolver does not know the name, or could not ask.
    Failed,
}

impl LookupResult {
    pub(super) const ALL: [Self; 3] = [Self::Found, Self::Empty, Self::Failed];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Empty => "empty",
            Self::Failed => "failed",
        }
    }
}

/// What the daemon is up to, as a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonState {
    /// Not all listeners are bound yet.
    Starting,
    /// Accepting.
    Ready,
    /// Stopping.
    Draining,
}

impl DaemonState {
    pub(super) const ALL: [Self; 3] = [Self::Starting, Self::Ready, Self::Draining];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// What sort of thing may have leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeakKind {
    /// A TCP socket that nothing alive owns.
    Socket,
    /// A connection that is counted as live, and whose socket is gone.
    Guard,
    /// A connection that is in a state for longer than any timeout lets it.
    State,
    /// A count that differs from what it counts.
    Gauge,
    /// Tasks on the workers that nothing alive explains.
    Task,
}

impl LeakKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Socket, Self::Guard, Self::State, Self::Gauge, Self::Task];

    /// The name in metrics, logs and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Guard => "guard",
            Self::State => "state",
            Self::Gauge => "gauge",
            Self::Task => "task",
        }
    }
}
