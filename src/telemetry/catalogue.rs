use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// What sort of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often something was how much: `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl MetricKind {
    /// The word of the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric, as `docs/metrics.md` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// The whole name.
    pub name: &'static str,
    /// What sort of number it is.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Makes the metrics, and remembers what was made: a metric is written down nowhere else.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    registry: Registry,
    infos: Vec<MetricInfo>,
}

type Labels = &'static [&'static str];

impl Catalogue {
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> IntCounter {
        self.add(MetricKind::Counter, name, help, &[], |options, _| IntCounter::with_opts(options))
    }

    pub(super) fn counters(&mut self, name: &'static str, help: &'static str, labels: Labels) -> IntCounterVec {
        self.add(MetricKind::Counter, name, help, labels, IntCounterVec::new)
    }

    /// One that counts parts of a second.
    pub(super) fn seconds(&mut self, name: &'static str, help: &'static str) -> Counter {
        self.add(MetricKind::Counter, name, help, &[], |options, _| Counter::with_opts(options))
    }

    pub(super) fn seconds_of(&mut self, name: &'static str, help: &'static str, labels: Labels) -> CounterVec {
        self.add(MetricKind::Counter, name, help, labels, CounterVec::new)
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> IntGauge {
        self.add(MetricKind::Gauge, name, help, &[], |options, _| IntGauge::with_opts(options))
    }

    pub(super) fn gauges(&mut self, name: &'static str, help: &'static str, labels: Labels) -> IntGaugeVec {
        self.add(MetricKind::Gauge, name, help, labels, IntGaugeVec::new)
    }

    /// A moment, in seconds since 1970.
    pub(super) fn moment(&mut self, name: &'static str, help: &'static str) -> Gauge {
        self.add(MetricKind::Gauge, name, help, &[], |options, _| Gauge::with_opts(options))
    }

    pub(super) fn moments(&mut self, name: &'static str, help: &'static str, labels: Labels) -> GaugeVec {
        self.add(MetricKind::Gauge, name, help, labels, GaugeVec::new)
    }

    pub(super) fn histogram(&mut self, name: &'static str, help: &'static str, buckets: &[f64]) -> Histogram {
        self.add(MetricKind::Histogram, name, help, &[], |options, _| Histogram::with_opts(bounded(options, buckets)))
    }

    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Labels,
        buckets: &[f64],
    ) -> HistogramVec {
        let make = |options, labels: &[&str]| HistogramVec::new(bounded(options, buckets), labels);
        self.add(MetricKind::Histogram, name, help, labels, make)
    }

    /// Where the metrics are gathered from, and what they are.
    pub(super) fn finish(self) -> (Registry, Vec<MetricInfo>) {
        (self.registry, self.infos)
    }

    #[expect(clippy::expect_used, reason = "names and labels are constants, and a unit test makes them all")]
    fn add<C: Collector + Clone + 'static>(
        &mut self,
        kind: MetricKind,
        name: &'static str,
        help: &'static str,
        labels: Labels,
        make: impl FnOnce(Opts, &[&str]) -> prometheus::Result<C>,
    ) -> C {
        let metric = make(Opts::new(name, help), labels).expect("the constants are valid names");
        self.registry.register(Box::new(metric.clone())).expect("the constants are each used once");
        self.infos.push(MetricInfo { name, kind, labels, help });
        metric
    }
}

fn bounded(options: Opts, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::from(options).buckets(buckets.to_vec())
}
