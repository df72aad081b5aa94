//! What is measured, and what is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::peer::Kind;

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// In the column's unit: CPU time for each operation, memory for each connection, or time.
    pub(crate) cost: f64,
    /// Operations in a second.
    pub(crate) rate: Option<f64>,
    /// The 50th, 99th and 99.9th percentile of the time that an operation takes, in microseconds.
    pub(crate) latency: Option<[f64; 3]>,
    /// What the process tree has in memory when it is measured, in MiB.
    pub(crate) memory: Option<f64>,
}

/// All measurements.
#[derive(Debug, Default)]
pub(crate) struct Results(BTreeMap<(&'static str, Kind), BTreeMap<usize, Sample>>);

impl Results {
    pub(crate) fn add(&mut self, column: &'static str, kind: Kind, round: usize, sample: Sample) {
        self.0.entry((column, kind)).or_default().insert(round, sample);
    }

    /// One figure of all rounds.
    pub(crate) fn spread(
        &self,
        column: &'static str,
        kind: Kind,
        figure: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(self.0.get(&(column, kind))?.values().filter_map(figure).collect())
    }

    /// Ours by that of the better peer, round by round.
    pub(crate) fn ratio(&self, column: &'static str, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        let of = |kind, round: &usize| self.0.get(&(column, kind))?.get(round).and_then(&figure);
        let ours = self.0.get(&(column, Kind::Smartproxy))?;
        let ratios = ours.iter().filter_map(|(round, sample)| {
            let best =
                [Kind::Nginx, Kind::Haproxy].into_iter().filter_map(|kind| of(kind, round)).min_by(f64::total_cmp)?;
            Some(figure(sample)? / best)
        });
        Spread::of(ratios.collect())
    }
}

/// The middle of several rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => *values.get(middle)?,
            _ => (values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0,
        };
        Some(Self { median, least: *values.first()?, most: *values.last()? })
    }
}

/// The 50th, 99th and 99.9th percentile, in microseconds.
pub(crate) fn percentiles(mut times: Vec<Duration>) -> Option<[f64; 3]> {
    times.sort();
    let last = times.len().checked_sub(1)?;
    Some([0.5, 0.99, 0.999].map(|part| times[(last as f64 * part).round() as usize].as_secs_f64() * 1e6))
}
