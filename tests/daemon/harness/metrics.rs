//! The Prometheus text of `/metrics`, parsed.

use std::collections::BTreeMap;

/// One moment of the daemon's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect();
        Self { samples }
    }

    /// The sum of the series of `smartproxy_NAME` that have all of these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let matches = |sample: &&Sample| {
            sample.name.strip_prefix("smartproxy_") == Some(name)
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(matches).map(|sample| sample.value as i64).sum()
    }

    /// The series of `smartproxy_NAME` that are not zero, for people.
    pub(crate) fn shown(&self, name: &str) -> String {
        let of_name = |sample: &&Sample| sample.name.strip_prefix("smartproxy_") == Some(name) && sample.value != 0.0;
        let shown: Vec<_> =
            self.samples.iter().filter(of_name).map(|sample| format!("{:?} {}", sample.labels, sample.value)).collect();
        shown.join("\n")
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    // Label values come from enums and from the names of routes: none has a quote or a comma.
    let labels = labels
        .split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

#[test]
fn a_metrics_text_is_summed_by_label() {
    let metrics =
        Metrics::parse("# HELP x\nsmartproxy_a{b=\"c\",d=\"e\"} 2\nsmartproxy_a{b=\"c\"} 3\nsmartproxy_f 7\n");
    assert_eq!((metrics.sum("a", &[("b", "c")]), metrics.sum("a", &[("d", "e")]), metrics.sum("f", &[])), (5, 2, 7));
}
