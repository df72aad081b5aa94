use std::sync::{Arc, OnceLock};

use prometheus::{IntCounter, IntGauge};

use super::meters::{Held, Meters};

/// What stands for the route of a connection that has none yet. Names of routes begin with a letter or digit.
pub const NO_ROUTE: &str = "-";

/// The metric handles of one route, each looked up once.
#[derive(Debug)]
pub struct RouteMeter {
    name: Arc<str>,
    meters: Arc<Meters>,
    active: IntGauge,
    // Made at first use: a hundred thousand routes would else be a million series that nobody has touched.
    received: OnceLock<IntCounter>,
    sent: OnceLock<IntCounter>,
    connects: [OnceLock<IntCounter>; ConnectResult::ALL.len()],
    requests: [OnceLock<IntCounter>; StatusClass::ALL.len()],
}

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
    const ALL: [Self; 8] = [
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
    const ALL: [Self; 6] =
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

    const fn as_str(self) -> &'static str {
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

impl RouteMeter {
    pub(super) fn new(meters: &Arc<Meters>, name: &str) -> Self {
        Self {
            name: name.into(),
            meters: Arc::clone(meters),
            active: meters.active.with_label_values(&[name]),
            received: OnceLock::new(),
            sent: OnceLock::new(),
            connects: Default::default(),
            requests: Default::default(),
        }
    }

    /// The route's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The process's meters.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Counts one live connection of the route, until the value is dropped.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held::new(self.active.clone())
    }

    /// How many live connections the route has.
    #[must_use]
    pub fn live(&self) -> u64 {
        u64::try_from(self.active.get()).unwrap_or(0)
    }

    /// Counts payload bytes from and to clients.
    pub fn moved(&self, received: u64, sent: u64) {
        let label = [&*self.name];
        if received > 0 {
            self.received.get_or_init(|| self.meters.received.with_label_values(&label)).inc_by(received);
        }
        if sent > 0 {
            self.sent.get_or_init(|| self.meters.sent.with_label_values(&label)).inc_by(sent);
        }
    }

    /// Counts one attempt to connect to a target.
    pub fn connect(&self, result: ConnectResult) {
        let labels = [&*self.name, result.as_str()];
        if let Some(counter) = self.connects.get(result as usize) {
            counter.get_or_init(|| self.meters.connects.with_label_values(&labels)).inc();
        }
    }

    /// Counts one request.
    pub fn request(&self, class: StatusClass) {
        let labels = [&*self.name, class.as_str()];
        if let Some(counter) = self.requests.get(class as usize) {
            counter.get_or_init(|| self.meters.requests.with_label_values(&labels)).inc();
        }
    }
}
