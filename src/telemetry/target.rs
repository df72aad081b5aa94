use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::catalogue::Catalogue;
use super::meters::Meters;
use super::users::Users;
use super::words::ConnectResult;
use super::{buckets, seconds, unix_seconds};

/// The series of all targets.
#[derive(Debug)]
pub(super) struct TargetSeries {
    attempts: IntCounterVec,
    in_flight: IntGaugeVec,
    connect_seconds: HistogramVec,
    first_byte_seconds: HistogramVec,
    resolved: GaugeVec,
    users: Users<()>,
}

/// The metric handles of one target, each looked up once. All routes that have the target share them.
#[derive(Debug)]
pub struct TargetMeter {
    label: Arc<str>,
    meters: Arc<Meters>,
    attempts: [OnceLock<IntCounter>; ConnectResult::ALL.len()],
    in_flight: OnceLock<IntGauge>,
    connect_seconds: OnceLock<Histogram>,
    first_byte_seconds: OnceLock<Histogram>,
    resolved: OnceLock<Gauge>,
}

impl TargetSeries {
    pub(super) fn new(make: &mut Catalogue) -> Self {
        Self {
            attempts: make.counters(
                "smartproxy_target_attempts_total",
                "Attempts to connect to a target, of all routes that have it.",
                &["target", "result"],
            ),
            in_flight: make.gauges(
                "smartproxy_target_in_flight",
                "Connections to a target that stand or are being made, and of one that requests share each of these.",
                &["target"],
            ),
            connect_seconds: make.histograms(
                "smartproxy_target_connect_seconds",
                "Attempts to connect to a target that came to stand, TLS included.",
                &["target"],
                buckets::PHASE,
            ),
            first_byte_seconds: make.histograms(
                "smartproxy_target_first_byte_seconds",
                "From the head of a request to the head of the target's answer.",
                &["target"],
                buckets::REQUEST,
            ),
            resolved: make.moments(
                "smartproxy_target_resolved_timestamp_seconds",
                "When the system last gave addresses for the name of a target; stands still while its last ones are used in place of new ones.",
                &["target"],
            ),
            users: Users::default(),
        }
    }

    fn remove(&self, target: &str) {
        // An error is a series that was never made.
        for result in ConnectResult::ALL {
            let _ = self.attempts.remove_label_values(&[target, result.as_str()]);
        }
        let _ = self.in_flight.remove_label_values(&[target]);
        let _ = self.connect_seconds.remove_label_values(&[target]);
        let _ = self.first_byte_seconds.remove_label_values(&[target]);
        let _ = self.resolved.remove_label_values(&[target]);
    }
}

impl TargetMeter {
    pub(super) fn new(meters: &Arc<Meters>, label: &Arc<str>) -> Self {
        meters.targets.users.enter(label);
        Self {
            label: Arc::clone(label),
            meters: Arc::clone(meters),
            attempts: Default::default(),
            in_flight: OnceLock::new(),
            connect_seconds: OnceLock::new(),
            first_byte_seconds: OnceLock::new(),
            resolved: OnceLock::new(),
        }
    }

    /// Makes the series of attempts and of what is in flight, at zero.
    pub fn show(&self) {
        for result in ConnectResult::ALL {
            self.attempts(result);
        }
        self.in_flight();
    }

    /// Counts one attempt to connect to it.
    pub fn attempt(&self, result: ConnectResult) {
        if let Some(counter) = self.attempts(result) {
            counter.inc();
        }
    }

    /// How long an attempt took that came to stand.
    pub fn connected(&self, took: Duration) {
        let made = || self.meters.targets.connect_seconds.with_label_values(&[&*self.label]);
        self.connect_seconds.get_or_init(made).observe(seconds(took));
    }

    /// How long the head of an answer of its was waited for.
    pub fn answered(&self, after: Duration) {
        let made = || self.meters.targets.first_byte_seconds.with_label_values(&[&*self.label]);
        self.first_byte_seconds.get_or_init(made).observe(seconds(after));
    }

    /// The system has given addresses for its name.
    pub fn resolved(&self, at: SystemTime) {
        let made = || self.meters.targets.resolved.with_label_values(&[&*self.label]);
        self.resolved.get_or_init(made).set(unix_seconds(at));
    }

    /// Says how many connections are in flight.
    pub fn set_in_flight(&self, count: u32) {
        self.in_flight().set(i64::from(count));
    }

    fn in_flight(&self) -> &IntGauge {
        self.in_flight.get_or_init(|| self.meters.targets.in_flight.with_label_values(&[&*self.label]))
    }

    fn attempts(&self, result: ConnectResult) -> Option<&IntCounter> {
        let made = || self.meters.targets.attempts.with_label_values(&[&*self.label, result.as_str()]);
        self.attempts.get(result as usize).map(|counter| counter.get_or_init(made))
    }
}

impl Drop for TargetMeter {
    fn drop(&mut self) {
        let series = &self.meters.targets;
        series.users.leave(&self.label, |()| series.remove(&self.label));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_target_go_with_its_last_user() {
        let meters = Arc::new(Meters::new());
        let label: Arc<str> = "10.0.0.1:80".into();
        let (first, second) = (meters.target(&label), meters.target(&label));
        for target in [&first, &second] {
            target.show();
            target.attempt(ConnectResult::Connected);
            target.connected(Duration::from_millis(3));
            target.answered(Duration::from_millis(3));
            target.resolved(SystemTime::now());
            target.set_in_flight(1);
        }
        drop(first);
        let text = meters.text();
        assert!(
            text.contains(r#"smartproxy_target_attempts_total{result="connected",target="10.0.0.1:80"} 2"#),
            "{text}"
        );
        assert!(
            text.contains(r#"smartproxy_target_connect_seconds_bucket{target="10.0.0.1:80",le="0.005"} 2"#),
            "{text}"
        );
        drop(second);
        assert!(!meters.text().contains("10.0.0.1"));
    }
}
