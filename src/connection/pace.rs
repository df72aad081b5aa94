use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many marks are kept. With one in each second, a rate is that of the last four to five seconds: short enough to show
/// what goes on now, long enough that a transfer in bursts does not flicker.
const MARKS: usize = 5;

/// The shortest time that bytes are spread over: the first bytes of a connection that has just come are no flood.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// How fast a connection moves bytes now. What it moved up to a few moments ago is marked from outside, so that whoever moves
/// them has nothing to do for it; without marks the rate is that of its whole life.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Marks>);

/// The last marks; at first all of them are the moment at which the connection was opened.
#[derive(Debug, Default)]
struct Marks {
    marks: [Mark; MARKS],
    /// Where the next one goes, which is where the oldest is.
    next: usize,
}

/// What had been moved at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// The time since the connection was opened.
    pub(super) at: Duration,
    /// From the client.
    pub(super) inward: u64,
    /// To the client.
    pub(super) outward: u64,
}

/// Bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) inward: u64,
    pub(super) outward: u64,
}

impl Pace {
    /// Takes the place of the oldest mark.
    pub(super) fn mark(&self, now: Mark) {
        let mut kept = self.marks();
        let next = kept.next;
        if let Some(oldest) = kept.marks.get_mut(next) {
            *oldest = now;
        }
        kept.next = (next + 1) % MARKS;
    }

    /// What has been moved since the oldest mark, by the second.
    pub(super) fn rate(&self, now: Mark) -> Rate {
        let kept = self.marks();
        let since = kept.marks.get(kept.next).copied().unwrap_or_default();
        drop(kept);
        let span = now.at.saturating_sub(since.at).max(SPAN_MIN);
        // Bytes that are taken back, to be counted again, may make less of it than there was.
        let by_second = |now: u64, then: u64| per_second(now.saturating_sub(then), span);
        Rate { inward: by_second(now.inward, since.inward), outward: by_second(now.outward, since.outward) }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        // Each mark is set in one step, so they are right whatever panicked beside them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn per_second(bytes: u64, span: Duration) -> u64 {
    let rate = u128::from(bytes).saturating_mul(1_000).checked_div(span.as_millis()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64, inward: u64) -> Mark {
        Mark { at: Duration::from_secs_f64(seconds), inward, outward: 2 * inward }
    }

    #[test]
    fn b21_a_rate_is_of_what_moved_lately_however_old_the_connection_is() {
        let pace = Pace::default();
        // A thousand bytes in each second, for an hour.
        for second in 1..=3_600_u32 {
            pace.mark(at(f64::from(second), u64::from(second) * 1_000));
        }
        assert_eq!(pace.rate(at(3_600.5, 3_600_500)), Rate { inward: 1_000, outward: 2_000 });
        // Then none: the rate falls to nothing, though the sum stays.
        for second in 3_601..=3_605_u32 {
            pace.mark(at(f64::from(second), 3_600_000));
        }
        assert_eq!(pace.rate(at(3_605.9, 3_600_000)), Rate::default());
        // Then a burst, which counts by the seconds that it is looked at over.
        assert_eq!(pace.rate(at(3_606.0, 3_605_000)), Rate { inward: 1_000, outward: 2_000 });
    }

    #[test]
    fn a_young_connection_is_measured_from_its_beginning_and_its_first_moment_as_a_second() {
        let pace = Pace::default();
        assert_eq!(pace.rate(at(0.001, 500)), Rate { inward: 500, outward: 1_000 });
        assert_eq!(pace.rate(at(2.0, 500)), Rate { inward: 250, outward: 500 });
        pace.mark(at(2.0, 500));
        assert_eq!(pace.rate(at(4.0, 2_000)), Rate { inward: 500, outward: 1_000 });
    }

    #[test]
    fn bytes_that_were_taken_back_are_no_negative_rate() {
        let pace = Pace::default();
        for second in 1..=5 {
            pace.mark(at(f64::from(second), 1_000));
        }
        assert_eq!(pace.rate(at(6.0, 900)), Rate::default());
        assert_eq!(per_second(u64::MAX, SPAN_MIN), u64::MAX);
    }
}
