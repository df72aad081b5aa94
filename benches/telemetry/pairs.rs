//! The same work alone and looked at, in turns, so that what else the machine does falls on both alike.

use std::time::Duration;

/// How many pairs; what is told is the median of them.
const PAIRS: usize = 15;

/// How much of the processor's time each of a pair has. There is one look in it, so this is how often an operator looks; by the clock it
/// is longer on a machine that is busy with other things.
pub(crate) const TURN: Duration = Duration::from_secs(1);

/// What was done in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    /// Of who does the work.
    pub(crate) processor: Duration,
}

/// Pairs of turns: the first of each alone, the second looked at.
#[derive(Debug)]
pub(crate) struct Pairs(Vec<[Turn; 2]>);

impl Pairs {
    /// `work` does as much as it can in a turn; it is told whether it is looked at.
    pub(crate) fn measure(mut work: impl FnMut(bool) -> Turn) -> Self {
        // Nothing is as fast at first as it is later.
        work(true);
        work(false);
        let pair = |place: usize| {
            if place.is_multiple_of(2) {
                [false, true].map(&mut work)
            } else {
                let [looked_at, alone] = [true, false].map(&mut work);
                [alone, looked_at]
            }
        };
        Self((0..PAIRS).map(pair).collect())
    }

    /// Says how many operations there were alone and how the others compare.
    pub(crate) fn tell(&self, what: &str) {
        let alone: Vec<_> = self.0.iter().map(|[alone, _]| 1.0 / alone.cost()).collect();
        println!("{what}: {:.0} in a second of the processor alone", quantile(&alone, 2));
        let rates: Vec<_> = self.0.iter().map(|[alone, looked_at]| looked_at.rate() / alone.rate() - 1.0).collect();
        let costs: Vec<_> = self.0.iter().map(|[alone, looked_at]| looked_at.cost() / alone.cost() - 1.0).collect();
        for (what, shares) in [("operations in a second", &rates), ("processor time of each", &costs)] {
            let quarter = |part: usize| quantile(shares, part) * 100.0;
            println!(
                "  looked at, {what}: {:+.2} % (median of {PAIRS} pairs; half of them {:+.2} % to {:+.2} %)",
                quarter(2),
                quarter(1),
                quarter(3)
            );
        }
    }
}

impl Turn {
    fn rate(self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    fn cost(self) -> f64 {
        self.processor.as_secs_f64() / self.operations as f64
    }
}

/// So many quarters of the way through the values, in their order.
fn quantile(values: &[f64], quarters: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() * quarters / 4]
}
