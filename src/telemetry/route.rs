use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::catalogue::Catalogue;
use super::meters::{Held, Meters};
use super::users::Users;
use super::words::{ConnectResult, StatusClass};
use super::{buckets, seconds};
use crate::outcome::Outcome;

/// What stands for the route of a connection that has none yet. Names of routes begin with a letter or digit.
pub const NO_ROUTE: &str = "-";

/// So many routes at most have their series from the start, at zero; where there are more, each series begins with its first
/// event. A route has up to 17, so this is a text of 2 MiB; a hundred thousand routes would be two million series that nobody
/// has touched.
pub const ROUTES_SHOWN_MAX: usize = 1_000;

/// The series of all routes.
#[derive(Debug)]
pub(super) struct RouteSeries {
    pub(super) active: IntGaugeVec,
    pub(super) received: IntCounterVec,
    pub(super) sent: IntCounterVec,
    connects: IntCounterVec,
    pub(super) requests: IntCounterVec,
    pub(super) closed: IntCounterVec,
    failed: IntCounterVec,
    /// Endings whose series went with their route.
    pub(super) forgotten: IntCounterVec,
    /// What else went so.
    pub(super) gone: Gone,
    connection_seconds: HistogramVec,
    connect_seconds: HistogramVec,
    first_byte_seconds: HistogramVec,
    request_seconds: HistogramVec,
    users: Users<Shared>,
}

/// Sums of counters that went with their route, so that what the process has done never becomes less.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) requests: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

/// What all handles of one route share.
#[derive(Debug, Default)]
struct Shared {
    /// Whether any series of the route was made: of a hundred thousand routes that a reload takes away most have none, and
    /// whoever lets go of them last is not held up by looking for each.
    made: AtomicBool,
    /// Its live connections, those of its handles before a reload too. Made when shown, or by the first connection.
    active: OnceLock<IntGauge>,
    /// How its connections have ended so far.
    endings: RwLock<foldhash::HashMap<Outcome, Ending>>,
}

#[derive(Debug)]
struct Ending {
    closed: IntCounter,
    failed: OnceLock<IntCounter>,
}

/// The metric handles of one route, each looked up once: what is counted for a connection or a request costs an atomic or
/// two, and allocates nothing but for the first of its kind.
#[derive(Debug)]
pub struct RouteMeter {
    name: Arc<str>,
    meters: Arc<Meters>,
    shared: Arc<Shared>,
    // Each is made when shown, or at first use.
    received: OnceLock<IntCounter>,
    sent: OnceLock<IntCounter>,
    connects: [OnceLock<IntCounter>; ConnectResult::ALL.len()],
    requests: [OnceLock<IntCounter>; StatusClass::ALL.len()],
    connection_seconds: OnceLock<Histogram>,
    connect_seconds: OnceLock<Histogram>,
    first_byte_seconds: OnceLock<Histogram>,
    request_seconds: OnceLock<Histogram>,
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

impl RouteSeries {
    pub(super) fn new(make: &mut Catalogue) -> Self {
        const ENDING: &[&str] = &["route", "phase", "party", "cause"];
        Self {
            active: make.gauges("smartproxy_connections_active", "Live client connections.", &["route"]),
            received: make.counters("smartproxy_received_bytes_total", "Payload bytes from clients.", &["route"]),
            sent: make.counters("smartproxy_sent_bytes_total", "Payload bytes to clients.", &["route"]),
            connects: make.counters(
                "smartproxy_upstream_connects_total",
                "Attempts to connect to a target.",
                &["route", "result"],
            ),
            requests: make.counters("smartproxy_requests_total", "HTTP requests answered.", &["route", "status"]),
            closed: make.counters("smartproxy_connections_closed_total", "Client connections ended.", ENDING),
            failed: make.counters(
                "smartproxy_connections_failed_total",
                "Client connections ended by a failure without having reached a target; counted in closed too.",
                ENDING,
            ),
            forgotten: make.counters(
                "smartproxy_connections_closed_forgotten_total",
                "Ended client connections of routes that a reload has removed since, whose series are gone.",
                &["cause"],
            ),
            gone: Gone::default(),
            connection_seconds: make.histograms(
                "smartproxy_connection_seconds",
                "Whole client connections, from accept to end.",
                &["route"],
                buckets::CONNECTION,
            ),
            connect_seconds: make.histograms(
                "smartproxy_connect_seconds",
                "Attempts to connect to a target that came to stand, TLS included.",
                &["route"],
                buckets::PHASE,
            ),
            first_byte_seconds: make.histograms(
                "smartproxy_first_byte_seconds",
                "From the head of a request to the head of its target's answer.",
                &["route"],
                buckets::REQUEST,
            ),
            request_seconds: make.histograms(
                "smartproxy_request_seconds",
                "Whole HTTP requests, from their head to the end of their answer.",
                &["route"],
                buckets::REQUEST,
            ),
            users: Users::default(),
        }
    }

    /// The series of a route that nobody uses any more go, and are not counted on.
    fn remove(&self, route: &str, shared: &Shared) {
        if !shared.made.load(Ordering::Acquire) {
            return;
        }
        // An error is a series that was never made.
        for (single, gone) in [(&self.received, &self.gone.received), (&self.sent, &self.gone.sent)] {
            keep(single, &[route], gone);
            let _ = single.remove_label_values(&[route]);
        }
        let _ = self.active.remove_label_values(&[route]);
        for histogram in
            [&self.connection_seconds, &self.connect_seconds, &self.first_byte_seconds, &self.request_seconds]
        {
            let _ = histogram.remove_label_values(&[route]);
        }
        for result in ConnectResult::ALL {
            let _ = self.connects.remove_label_values(&[route, result.as_str()]);
        }
        for class in StatusClass::ALL {
            keep(&self.requests, &[route, class.as_str()], &self.gone.requests);
            let _ = self.requests.remove_label_values(&[route, class.as_str()]);
        }
        for (outcome, ending) in shared.endings.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = labels(route, *outcome);
            self.forgotten.with_label_values(&[outcome.cause.as_str()]).inc_by(ending.closed.get());
            let _ = self.closed.remove_label_values(&labels);
            let _ = self.failed.remove_label_values(&labels);
        }
    }
}

impl RouteMeter {
    pub(super) fn new(meters: &Arc<Meters>, name: &str) -> Self {
        let name: Arc<str> = name.into();
        let shared = meters.routes.users.enter(&name);
        Self {
            name,
            meters: Arc::clone(meters),
            shared,
            received: OnceLock::new(),
            sent: OnceLock::new(),
            connects: Default::default(),
            requests: Default::default(),
            connection_seconds: OnceLock::new(),
            connect_seconds: OnceLock::new(),
            first_byte_seconds: OnceLock::new(),
            request_seconds: OnceLock::new(),
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

    /// How many live connections the route has; `None` if it has never had one. Of a hundred thousand routes most have not, and
    /// a series for each would be made by who only asks.
    #[must_use]
    pub fn live(&self) -> Option<u64> {
        self.shared.active.get().map(|active| u64::try_from(active.get()).unwrap_or(0))
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

    /// How long an attempt took that came to stand.
    pub fn connected(&self, took: Duration) {
        let made = || self.series().connect_seconds.with_label_values(&[&*self.name]);
        self.connect_seconds.get_or_init(made).observe(seconds(took));
    }

    /// How long the head of a target's answer was waited for.
    pub fn answered(&self, after: Duration) {
        let made = || self.series().first_byte_seconds.with_label_values(&[&*self.name]);
        self.first_byte_seconds.get_or_init(made).observe(seconds(after));
    }

    /// Counts one request, and how long it took.
    pub fn request(&self, class: StatusClass, took: Duration) {
        if let Some(counter) = self.requests(class) {
            counter.inc();
        }
        let made = || self.series().request_seconds.with_label_values(&[&*self.name]);
        self.request_seconds.get_or_init(made).observe(seconds(took));
    }

    /// Counts the end of one connection, once, and how long it took.
    pub fn closed(&self, outcome: Outcome, reached_target: bool, took: Duration) {
        let failed = outcome.cause.is_failure() && !reached_target;
        self.count_ending(outcome, failed);
        let made = || self.series().connection_seconds.with_label_values(&[&*self.name]);
        self.connection_seconds.get_or_init(made).observe(seconds(took));
    }

    fn count_ending(&self, outcome: Outcome, failed: bool) {
        let count = |ending: &Ending| {
            ending.closed.inc();
            if failed {
                let made = || self.series().failed.with_label_values(&labels(&self.name, outcome));
                ending.failed.get_or_init(made).inc();
            }
        };
        // A map is whole even if another thread has panicked while it held the lock.
        let known = self.shared.endings.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ending) = known.get(&outcome) {
            return count(ending);
        }
        drop(known);
        let mut endings = self.shared.endings.write().unwrap_or_else(PoisonError::into_inner);
        let made = || self.series().closed.with_label_values(&labels(&self.name, outcome));
        count(endings.entry(outcome).or_insert_with(|| Ending { closed: made(), failed: OnceLock::new() }));
    }

    /// Where a series is made.
    fn series(&self) -> &RouteSeries {
        self.shared.made.store(true, Ordering::Release);
        &self.meters.routes
    }

    /// What has been counted. Series that do not exist yet are not made by it.
    #[must_use]
    pub fn counts(&self) -> RouteCounts {
        let of = |counter: &OnceLock<IntCounter>| counter.get().map_or(0, IntCounter::get);
        RouteCounts {
            active: self.live().unwrap_or(0),
            requests: self.requests.iter().map(of).sum(),
            errors: self.requests.get(StatusClass::ServerError as usize).map_or(0, of),
            received: of(&self.received),
            sent: of(&self.sent),
        }
    }

    fn active(&self) -> &IntGauge {
        self.shared.active.get_or_init(|| self.series().active.with_label_values(&[&*self.name]))
    }

    fn received(&self) -> &IntCounter {
        self.received.get_or_init(|| self.series().received.with_label_values(&[&*self.name]))
    }

    fn sent(&self) -> &IntCounter {
        self.sent.get_or_init(|| self.series().sent.with_label_values(&[&*self.name]))
    }

    fn connects(&self, result: ConnectResult) -> Option<&IntCounter> {
        let made = || self.series().connects.with_label_values(&[&*self.name, result.as_str()]);
        self.connects.get(result as usize).map(|counter| counter.get_or_init(made))
    }

    fn requests(&self, class: StatusClass) -> Option<&IntCounter> {
        let made = || self.series().requests.with_label_values(&[&*self.name, class.as_str()]);
        self.requests.get(class as usize).map(|counter| counter.get_or_init(made))
    }
}

impl Drop for RouteMeter {
    fn drop(&mut self) {
        let series = &self.meters.routes;
        series.users.leave(&self.name, |shared| series.remove(&self.name, shared));
    }
}

/// Adds a counter that is about to go to what has gone.
fn keep(counters: &IntCounterVec, labels: &[&str], gone: &AtomicU64) {
    if let Ok(counter) = counters.get_metric_with_label_values(labels) {
        gone.fetch_add(counter.get(), Ordering::Relaxed);
    }
}

fn labels(route: &str, outcome: Outcome) -> [&str; 4] {
    [route, outcome.phase.as_str(), outcome.party.as_str(), outcome.cause.as_str()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Cause, Party, Phase};

    #[test]
    fn a_routes_series_are_there_once_shown_and_none_is_counted_by_it() {
        let meters = Arc::new(Meters::new());
        let route = meters.route("shop");
        assert_eq!((route.live(), route.counts().active), (None, 0));
        assert!(!meters.text().contains("shop"), "a configuration that is refused leaves nothing behind");
        let held = route.hold();
        // What a reload builds anew knows of who stayed.
        assert_eq!((meters.route("shop").live(), meters.route("shop").counts().active), (Some(1), 1));
        drop(held);
        assert_eq!(route.live(), Some(0));
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

    #[test]
    fn an_ending_is_counted_once_and_a_failure_before_the_target_once_more() {
        let meters = Arc::new(Meters::new());
        let route = meters.route("shop");
        let moment = Duration::from_millis(1);
        let refused = Outcome::new(Phase::Connect, Party::Target, Cause::Refused);
        route.closed(refused, false, moment);
        route.closed(Outcome::new(Phase::Relay, Party::Client, Cause::Reset), true, moment);
        route.closed(Outcome::new(Phase::Relay, Party::Client, Cause::Finished), false, moment);
        let text = meters.text();
        let refused = r#"{cause="refused",party="target",phase="connect",route="shop"} 1"#;
        assert!(text.contains(&format!("smartproxy_connections_closed_total{refused}")), "{text}");
        assert!(text.contains(&format!("smartproxy_connections_failed_total{refused}")), "{text}");
        assert_eq!(text.matches("smartproxy_connections_closed_total{").count(), 3);
        assert_eq!(text.matches("smartproxy_connections_failed_total{").count(), 1);
        assert!(text.contains(r#"smartproxy_connection_seconds_count{route="shop"} 3"#), "{text}");
    }

    #[test]
    fn the_series_of_a_route_go_with_its_last_user_and_its_endings_are_still_in_the_books() {
        let meters = Arc::new(Meters::new());
        let (before, after) = (meters.route("shop"), meters.route("shop"));
        let moment = Duration::from_millis(1);
        let finished = Outcome::new(Phase::Relay, Party::Client, Cause::Finished);
        let use_all = |route: &RouteMeter| {
            route.show_traffic();
            route.show_connects();
            route.show_requests();
            route.connected(moment);
            route.answered(moment);
            route.request(StatusClass::Success, moment);
            route.closed(finished, false, moment);
            route.closed(Outcome::new(Phase::Connect, Party::Target, Cause::Refused), false, moment);
        };
        use_all(&before);
        // What a reload has built anew goes on where it was.
        drop(before);
        use_all(&after);
        let text = meters.text();
        let series =
            r#"smartproxy_connections_closed_total{cause="finished",party="client",phase="relay",route="shop"} 2"#;
        assert!(text.contains(series), "{text}");
        assert!(!text.contains("forgotten_total{"), "{text}");
        let totals = meters.totals();
        drop(after);
        let text = meters.text();
        assert!(!text.contains("shop"), "{text}");
        for cause in ["finished", "refused"] {
            let series = format!("smartproxy_connections_closed_forgotten_total{{cause=\"{cause}\"}} 2");
            assert!(text.contains(&series), "{text}");
        }
        assert_eq!(meters.totals(), totals, "what was done was done");
        // Who comes back begins anew.
        use_all(&meters.route("shop"));
        assert!(meters.text().contains("forgotten_total{cause=\"finished\"} 3"));
    }
}
