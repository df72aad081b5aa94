use std::sync::{Arc, OnceLock};

use prometheus::{IntCounter, IntGauge};

use super::meters::{Held, Meters};

/// What stands for the route of a connection that has none yet. Names of routes begin with a letter or digit.
pub const NO_ROUTE: &str = "-";

/// So many routes at most have their series from the start, at zero; where there are more, each series begins with its first
/// event. A route has up to 17, so this is a text of 2 MiB; a hundred thousand routes would be two million series that nobody
/// has touched.
pub const ROUTES_SHOWN_MAX: usize = 1_000;

/// The metric handles of one route, each looked up once.
#[derive(Debug)]
pub struct RouteMeter {
    name: Arc<str>,
    meters: Arc<Meters>,
    // Each is made when shown, or at first use.
    active: OnceLock<IntGauge>,
    received: OnceLock<IntCounter>,
    sent: OnceLock<IntCounter>,
    connects: [OnceLock<IntCounter>; ConnectResult::ALL.len()],
    requests: [OnceLock<IntCounter>; StatusClass::ALL.len()],
}

/// What has been counted for one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteCounts {
    /// Live connections.
    pub active: u64,
    /// HTTP requests answered.
    pub requests: u64,
    /// Those of them that were answered with 5xx.
    pub errors: u64,
    /// Payload bytes from clients.
    pub received: u64,
    /// Payload bytes to clients.
    pub sent: u64,
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
            active: OnceLock::new(),
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
        Held::new(self.active().clone())
    }

    /// How many live connections the route has.
    #[must_use]
    pub fn live(&self) -> u64 {
        u64::try_from(self.active().get()).unwrap_or(0)
    }

    /// Makes the series of live connections and of payload bytes, at zero: a counter that begins with its first event hides that event from who asks
    /// for a rate.
    pub fn show_traffic(&self) {
        self.active();
        self.received();
        self.sent();
    }

    /// Makes the series of attempts to connect, at zero.
    pub fn show_connects(&self) {
        for result in ConnectResult::ALL {
            self.connects(result);
        }
    }

    /// Makes the series of requests, at zero.
    pub fn show_requests(&self) {
        for class in StatusClass::ALL {
            self.requests(class);
        }
    }

    /// Counts payload bytes from and to clients.
    pub fn moved(&self, received: u64, sent: u64) {
        if received > 0 {
            self.received().inc_by(received);
        }
        if sent > 0 {
            self.sent().inc_by(sent);
        }
    }

    /// Counts one attempt to connect to a target.
    pub fn connect(&self, result: ConnectResult) {
        if let Some(counter) = self.connects(result) {
            counter.inc();
        }
    }

    /// Counts one request.
    pub fn request(&self, class: StatusClass) {
        if let Some(counter) = self.requests(class) {
            counter.inc();
        }
    }

    /// What has been counted. Series that do not exist yet are not made by it.
    #[must_use]
    pub fn counts(&self) -> RouteCounts {
        let of = |counter: &OnceLock<IntCounter>| counter.get().map_or(0, IntCounter::get);
        RouteCounts {
            active: self.active.get().map_or(0, |active| u64::try_from(active.get()).unwrap_or(0)),
            requests: self.requests.iter().map(of).sum(),
            errors: self.requests.get(StatusClass::ServerError as usize).map_or(0, of),
            received: of(&self.received),
            sent: of(&self.sent),
        }
    }

    fn active(&self) -> &IntGauge {
        self.active.get_or_init(|| self.meters.active.with_label_values(&[&*self.name]))
    }

    fn received(&self) -> &IntCounter {
        self.received.get_or_init(|| self.meters.received.with_label_values(&[&*self.name]))
    }

    fn sent(&self) -> &IntCounter {
        self.sent.get_or_init(|| self.meters.sent.with_label_values(&[&*self.name]))
    }

    fn connects(&self, result: ConnectResult) -> Option<&IntCounter> {
        let made = || self.meters.connects.with_label_values(&[&*self.name, result.as_str()]);
        self.connects.get(result as usize).map(|counter| counter.get_or_init(made))
    }

    fn requests(&self, class: StatusClass) -> Option<&IntCounter> {
        let made = || self.meters.requests.with_label_values(&[&*self.name, class.as_str()]);
        self.requests.get(class as usize).map(|counter| counter.get_or_init(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routes_series_are_there_once_shown_and_none_is_counted_by_it() {
        let meters = Arc::new(Meters::new());
        let route = meters.route("shop");
        assert!(!meters.text().contains("shop"), "a configuration that is refused leaves nothing behind");
        route.show_traffic();
        route.show_connects();
        route.show_requests();
        let text = meters.text();
        assert_eq!(text.matches(r#"route="shop""#).count(), 1 + 2 + ConnectResult::ALL.len() + StatusClass::ALL.len());
        assert!(
            text.contains(r#"smartproxy_upstream_connects_total{result="resolve_failed",route="shop"} 0"#),
            "{text}"
        );
        route.connect(ConnectResult::ResolveFailed);
        let text = meters.text();
        assert!(
            text.contains(r#"smartproxy_upstream_connects_total{result="resolve_failed",route="shop"} 1"#),
            "{text}"
        );
    }
}
