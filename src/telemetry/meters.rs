use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::route::RouteMeter;
use crate::outcome::{Cause, Outcome};

/// Every metric of the process. Made once at start; the handles in it are shared.
///
/// Label values come from the configuration and from enums, never from a peer.
#[derive(Debug)]
pub struct Meters {
    registry: Registry,
    /// Client connections accepted.
    pub accepted: IntCounter,
    accept_errors: [IntCounter; AcceptFault::ALL.len()],
    /// TLS handshakes, by side, version, key exchange group, kind and result.
    handshakes: IntCounterVec,
    reloads: [IntCounter; ReloadResult::ALL.len()],
    /// Lines of the access log that were dropped since its reader was too slow.
    pub access_lines_dropped: IntCounter,
    /// Lines of the log that were dropped since its reader was too slow.
    pub log_lines_dropped: IntCounter,
    pub(super) closed: IntCounterVec,
    failed: IntCounterVec,
    pub(super) active: IntGaugeVec,
    pub(super) received: IntCounterVec,
    pub(super) sent: IntCounterVec,
    pub(super) connects: IntCounterVec,
    pub(super) requests: IntCounterVec,
    idle_upstream: IntGaugeVec,
    set_aside: IntGaugeVec,
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

impl Meters {
    /// All metrics, at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let ending = ["route", "phase", "party", "cause"];
        let handshake = ["side", "version", "group", "kind", "result"];
        let accept_errors = counters(&registry, "accept_errors_total", "Failures to accept a connection.", &["class"]);
        let reloads = counters(&registry, "reloads_total", "Reloads of the configuration.", &["result"]);
        Self {
            accepted: counter(&registry, "connections_accepted_total", "Client connections accepted."),
            accept_errors: AcceptFault::ALL.map(|class| accept_errors.with_label_values(&[class.as_str()])),
            handshakes: counters(&registry, "tls_handshakes_total", "TLS handshakes ended.", &handshake),
            reloads: ReloadResult::ALL.map(|result| reloads.with_label_values(&[result.as_str()])),
            access_lines_dropped: counter(&registry, "access_log_lines_dropped_total", "Access log lines dropped."),
            log_lines_dropped: counter(&registry, "log_lines_dropped_total", "Log lines dropped."),
            closed: counters(&registry, "connections_closed_total", "Client connections ended.", &ending),
            failed: counters(
                &registry,
                "connections_failed_total",
                "Client connections ended by a failure without having reached a target; counted in closed too.",
                &ending,
            ),
            active: gauges(&registry, "connections_active", "Live client connections.", &["route"]),
            received: counters(&registry, "received_bytes_total", "Payload bytes from clients.", &["route"]),
            sent: counters(&registry, "sent_bytes_total", "Payload bytes to clients.", &["route"]),
            connects: counters(
                &registry,
                "upstream_connects_total",
                "Attempts to connect to a target.",
                &["route", "result"],
            ),
            requests: counters(&registry, "requests_total", "HTTP requests answered.", &["route", "status"]),
            idle_upstream: gauges(
                &registry,
                "upstream_idle_connections",
                "Pooled connections to targets that no request uses, as of the last second.",
                &["worker"],
            ),
            set_aside: gauges(
                &registry,
                "upstream_target_set_aside",
                "Whether a target is set aside (1) since it could not be connected to, or was once (0).",
                &["route", "target"],
            ),
            registry,
        }
    }

    /// The level of one worker's pool of idle upstream connections.
    #[must_use]
    pub fn idle_upstream(&self, worker: usize) -> Level {
        Level(self.idle_upstream.with_label_values(&[&worker.to_string()]))
    }

    /// Which targets of which routes are set aside now, of those that ever were; all that was said before is forgotten.
    pub fn set_aside<'a>(&self, targets: impl Iterator<Item = (&'a str, &'a str, bool)>) {
        self.set_aside.reset();
        for (route, target, aside) in targets {
            self.set_aside.with_label_values(&[route, target]).set(i64::from(aside));
        }
    }

    /// The handles of one route.
    #[must_use]
    pub fn route(self: &Arc<Self>, name: &str) -> Arc<RouteMeter> {
        Arc::new(RouteMeter::new(self, name))
    }

    /// Counts a failure to accept.
    pub fn accept_error(&self, class: AcceptFault) {
        if let Some(counter) = self.accept_errors.get(class as usize) {
            counter.inc();
        }
    }

    /// Counts a reload of the configuration.
    pub fn reload(&self, result: ReloadResult) {
        if let Some(counter) = self.reloads.get(result as usize) {
            counter.inc();
        }
    }

    /// Counts the end of one connection, once.
    pub fn closed(&self, route: &str, outcome: Outcome, reached_target: bool) {
        let labels = [route, outcome.phase.as_str(), outcome.party.as_str(), outcome.cause.as_str()];
        self.closed.with_label_values(&labels).inc();
        if outcome.cause.is_failure() && !reached_target {
            self.failed.with_label_values(&labels).inc();
        }
    }

    /// Counts a TLS handshake that succeeded.
    pub fn handshake_done(&self, side: HandshakeSide, version: &str, group: Option<&str>, resumed: bool) {
        let kind = if resumed { "resumed" } else { "full" };
        self.handshakes.with_label_values(&[side.as_str(), version, group.unwrap_or("none"), kind, "done"]).inc();
    }

    /// Counts a TLS handshake that failed.
    pub fn handshake_failed(&self, side: HandshakeSide, cause: Cause) {
        self.handshakes.with_label_values(&[side.as_str(), "none", "none", "none", cause.as_str()]).inc();
    }

    /// Every metric in the Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
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
    const ALL: [Self; 3] = [Self::Peer, Self::Exhausted, Self::Broken];

    const fn as_str(self) -> &'static str {
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
    const ALL: [Self; 2] = [Self::Done, Self::Refused];

    const fn as_str(self) -> &'static str {
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
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Target => "target",
        }
    }
}

/// A gauge that one owner sets.
#[derive(Debug)]
pub struct Level(IntGauge);

impl Level {
    /// Sets it.
    pub fn set(&self, level: usize) {
        self.0.set(i64::try_from(level).unwrap_or(i64::MAX));
    }
}

/// One more on a gauge, for as long as this lives.
#[derive(Debug)]
pub struct Held(IntGauge);

impl Held {
    /// Adds one.
    #[must_use]
    pub fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::with_opts(options(name, help)))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(options(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(options(name, help), labels))
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("smartproxy")
}

#[expect(clippy::expect_used, reason = "the names and labels are the constants above, and a unit test builds them all")]
fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("the constants above are valid names");
    registry.register(Box::new(metric.clone())).expect("the constants above are each used once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Party, Phase};

    #[test]
    fn an_ending_is_counted_once_and_a_failure_before_the_target_once_more() {
        let meters = Arc::new(Meters::new());
        let refused = Outcome::new(Phase::Connect, Party::Target, Cause::Refused);
        meters.closed("shop", refused, false);
        meters.closed("shop", Outcome::new(Phase::Relay, Party::Client, Cause::Reset), true);
        meters.closed("shop", Outcome::new(Phase::Relay, Party::Client, Cause::Finished), false);
        let text = meters.text();
        let refused = r#"{cause="refused",party="target",phase="connect",route="shop"} 1"#;
        assert!(text.contains(&format!("smartproxy_connections_closed_total{refused}")), "{text}");
        assert!(text.contains(&format!("smartproxy_connections_failed_total{refused}")), "{text}");
        assert_eq!(text.matches("smartproxy_connections_closed_total{").count(), 3);
        assert_eq!(text.matches("smartproxy_connections_failed_total{").count(), 1);
    }

    #[test]
    fn a_held_gauge_falls_when_it_is_dropped() {
        let meters = Arc::new(Meters::new());
        let route = meters.route("shop");
        let held = route.hold();
        assert!(meters.text().contains(r#"smartproxy_connections_active{route="shop"} 1"#));
        drop(held);
        assert!(meters.text().contains(r#"smartproxy_connections_active{route="shop"} 0"#));
    }

    #[test]
    fn what_has_fixed_names_is_there_at_zero_and_each_is_counted_under_its_own() {
        let meters = Meters::new();
        let text = meters.text();
        for series in [
            r#"accept_errors_total{class="peer"} 0"#,
            r#"accept_errors_total{class="exhausted"} 0"#,
            r#"accept_errors_total{class="broken"} 0"#,
            r#"reloads_total{result="done"} 0"#,
            r#"reloads_total{result="refused"} 0"#,
            "connections_accepted_total 0",
            "access_log_lines_dropped_total 0",
            "log_lines_dropped_total 0",
        ] {
            assert!(text.contains(&format!("smartproxy_{series}\n")), "{series} in {text}");
        }
        AcceptFault::ALL.iter().for_each(|class| meters.accept_error(*class));
        ReloadResult::ALL.iter().for_each(|result| meters.reload(*result));
        assert_eq!(meters.text().matches("_total{class=").count(), 3);
        assert_eq!(meters.text().matches("} 1\n").count(), 5);
    }
}
