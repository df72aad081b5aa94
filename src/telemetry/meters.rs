use std::sync::Arc;
use std::time::Duration;

use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

use super::catalogue::{Catalogue, MetricInfo};
use super::moment::MomentSeries;
use super::process::ProcessMeter;
use super::route::{RouteMeter, RouteSeries};
use super::target::{TargetMeter, TargetSeries};
use super::words::{AcceptFault, Checkout, HandshakeSide, LookupResult, ReloadResult};
use super::{buckets, seconds};
use crate::outcome::Cause;

/// Every metric of the process. Made once at start; the handles in it are shared.
///
/// Label values come from the configuration and from enums, never from a peer.
#[derive(Debug)]
pub struct Meters {
    registry: Registry,
    catalogue: Vec<MetricInfo>,
    /// Client connections accepted.
    pub accepted: IntCounter,
    accept_errors: [IntCounter; AcceptFault::ALL.len()],
    /// TLS handshakes, by side, version, key exchange group, kind and result.
    handshakes: IntCounterVec,
    handshake_seconds: [Histogram; HandshakeSide::ALL.len()],
    sniff_seconds: Histogram,
    reloads: [IntCounter; ReloadResult::ALL.len()],
    checkouts: [IntCounter; Checkout::ALL.len()],
    /// Lookups of names, which the process's one resolver counts.
    pub lookups: LookupMeter,
    /// Lines of the access log that were dropped since its reader was too slow.
    pub access_lines_dropped: IntCounter,
    /// Lines of the log that were dropped since its reader was too slow.
    pub log_lines_dropped: IntCounter,
    pub(super) routes: RouteSeries,
    pub(super) targets: TargetSeries,
    pub(super) moment: MomentSeries,
    process: ProcessMeter,
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
        let mut make = Catalogue::default();
        let accepted = make.counter("smartproxy_connections_accepted_total", "Client connections accepted.");
        let routes = RouteSeries::new(&mut make);
        let sniff_seconds = make.histogram(
            "smartproxy_sniff_seconds",
            "Reading what a client begins with (PROXY header, ClientHello, preface), where that was enough.",
            buckets::PHASE,
        );
        let handshakes = make.counters(
            "smartproxy_tls_handshakes_total",
            "TLS handshakes ended.",
            &["side", "version", "group", "kind", "result"],
        );
        let handshake_seconds = make.histograms(
            "smartproxy_tls_handshake_seconds",
            "TLS handshakes that came to stand, with clients and with targets.",
            &["side"],
            buckets::PHASE,
        );
        let targets = TargetSeries::new(&mut make);
        let checkouts = make.counters(
            "smartproxy_upstream_checkouts_total",
            "Connections to targets that requests were sent on, opened for them or reused.",
            &["connection"],
        );
        let lookups = LookupMeter::new(&mut make);
        let accept_errors =
            make.counters("smartproxy_accept_errors_total", "Failures to accept a connection.", &["class"]);
        let reloads = make.counters("smartproxy_reloads_total", "Reloads of the configuration.", &["result"]);
        let moment = MomentSeries::new(&mut make);
        let access_lines_dropped =
            make.counter("smartproxy_access_log_lines_dropped_total", "Access log lines dropped.");
        let log_lines_dropped = make.counter("smartproxy_log_lines_dropped_total", "Log lines dropped.");
        let build = make.gauges("smartproxy_build_info", "1, with what was built as labels.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let process = ProcessMeter::new(&mut make);
        let (registry, catalogue) = make.finish();
        Self {
            registry,
            catalogue,
            accepted,
            accept_errors: AcceptFault::ALL.map(|class| accept_errors.with_label_values(&[class.as_str()])),
            handshakes,
            handshake_seconds: HandshakeSide::ALL.map(|side| handshake_seconds.with_label_values(&[side.as_str()])),
            sniff_seconds,
            reloads: ReloadResult::ALL.map(|result| reloads.with_label_values(&[result.as_str()])),
            checkouts: Checkout::ALL.map(|checkout| checkouts.with_label_values(&[checkout.as_str()])),
            lookups,
            access_lines_dropped,
            log_lines_dropped,
            routes,
            targets,
            moment,
            process,
        }
    }

    /// Every metric there is, as the documents list them.
    #[must_use]
    pub fn catalogue(&self) -> &[MetricInfo] {
        &self.catalogue
    }

    /// The handles of one route.
    #[must_use]
    pub fn route(self: &Arc<Self>, name: &str) -> Arc<RouteMeter> {
        Arc::new(RouteMeter::new(self, name))
    }

    /// The handles of one target, by its label.
    #[must_use]
    pub fn target(self: &Arc<Self>, label: &Arc<str>) -> TargetMeter {
        TargetMeter::new(self, label)
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
        self.moment.reloaded(result);
    }

    /// Counts a connection to a target that a request is sent on.
    pub fn checkout(&self, checkout: Checkout) {
        if let Some(counter) = self.checkouts.get(checkout as usize) {
            counter.inc();
        }
    }

    /// How long it took until it was known what a client speaks.
    pub fn sniffed(&self, took: Duration) {
        self.sniff_seconds.observe(seconds(took));
    }

    /// How long a TLS handshake took that came to stand.
    pub fn shook_hands(&self, side: HandshakeSide, took: Duration) {
        if let Some(histogram) = self.handshake_seconds.get(side as usize) {
            histogram.observe(seconds(took));
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
        self.process.update();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Lookups of names. Its clones count on together.
#[derive(Clone, Debug)]
pub struct LookupMeter {
    lookups: [IntCounter; LookupResult::ALL.len()],
    took: Histogram,
}

impl LookupMeter {
    fn new(make: &mut Catalogue) -> Self {
        let lookups = make.counters(
            "smartproxy_dns_lookups_total",
            "Times that the system was asked for the addresses of a name.",
            &["result"],
        );
        let took = make.histogram(
            "smartproxy_dns_lookup_seconds",
            "How long the system took to say the addresses of a name, or that there are none.",
            buckets::PHASE,
        );
        Self { lookups: LookupResult::ALL.map(|result| lookups.with_label_values(&[result.as_str()])), took }
    }

    /// Counts one.
    pub fn count(&self, result: LookupResult, took: Duration) {
        if let Some(counter) = self.lookups.get(result as usize) {
            counter.inc();
        }
        self.took.observe(seconds(took));
    }
}

/// A gauge that one owner sets.
#[derive(Debug)]
pub struct Level(pub(super) IntGauge);

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

#[cfg(test)]
mod tests {
    use super::*;

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
            r#"upstream_checkouts_total{connection="opened"} 0"#,
            r#"upstream_checkouts_total{connection="reused"} 0"#,
            r#"dns_lookups_total{result="found"} 0"#,
            r#"dns_lookups_total{result="empty"} 0"#,
            r#"dns_lookups_total{result="failed"} 0"#,
            "connections_accepted_total 0",
            "access_log_lines_dropped_total 0",
            "log_lines_dropped_total 0",
        ] {
            assert!(text.contains(&format!("smartproxy_{series}\n")), "{series} in {text}");
        }
        AcceptFault::ALL.iter().for_each(|class| meters.accept_error(*class));
        ReloadResult::ALL.iter().for_each(|result| meters.reload(*result));
        Checkout::ALL.iter().for_each(|checkout| meters.checkout(*checkout));
        LookupResult::ALL.iter().for_each(|result| meters.lookups.count(*result, Duration::ZERO));
        let text = meters.text();
        assert_eq!(text.matches("_total{class=").count(), 3);
        let ones = text.lines().filter(|line| line.contains("_total{") && line.ends_with("} 1"));
        assert_eq!(ones.count(), 3 + 2 + 2 + 3, "{text}");
    }
}
