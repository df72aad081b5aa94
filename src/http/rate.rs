use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::Cause;

/// How long a client may be waited for before its rate counts: as long as Kestrel's `MinRequestBodyDataRate` and
/// `MinResponseDataRate` have it (`gracePeriod` of 5 s), which covers a slow start. Apache's `mod_reqtimeout` (`MinRate`)
/// begins with 20 s.
const GRACE: Duration = Duration::from_secs(5);

/// What a client has to move on average, of a head, of a body or of an answer, while it is the one that is waited for.
///
/// The average is over all of the wait, as Kestrel and `mod_reqtimeout` count it, so a client that was fast may pause: who
/// wants to hold a connection has to move as much for each second of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinRate {
    bytes_per_second: NonZeroU64,
    grace: Duration,
}

/// How one message of a client keeps to a [`MinRate`]. Only the time counts in which the client is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    least: MinRate,
    moved: u64,
    /// In waits that are over.
    waited: Duration,
    /// The wait that goes on has begun then.
    since: Option<Instant>,
}

impl MinRate {
    /// So many bytes a second, after a grace of five seconds.
    #[must_use]
    pub const fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, grace: GRACE }
    }

    #[cfg(test)]
    pub(super) const fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// How long a client that has moved so much may have been waited for.
    pub(super) fn patience(self, moved: u64) -> Duration {
        let nanoseconds = u128::from(moved).saturating_mul(1_000_000_000) / u128::from(self.bytes_per_second.get());
        let earned = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.grace.saturating_add(earned)
    }
}

/// How long a head of which so much has come may take from its first byte on, and what it means if it takes longer.
pub(super) fn head_patience(timeout: Duration, least: Option<MinRate>, come: u64) -> (Duration, Cause) {
    let slow = least.map(|least| least.patience(come));
    match slow.filter(|slow| *slow < timeout) {
        Some(slow) => (slow, Cause::RequestHeadSlow),
        None => (timeout, Cause::RequestHeadTimeout),
    }
}

impl Rate {
    pub(super) const fn new(least: MinRate) -> Self {
        Self { least, moved: 0, waited: Duration::ZERO, since: None }
    }

    /// The client has moved so much more.
    pub(super) fn moved(&mut self, bytes: u64) {
        self.moved = self.moved.saturating_add(bytes);
    }

    /// The client is waited for. Gives when it will have been too slow, if it moves nothing more: at or before `now` if it is;
    /// `None` is beyond what a clock can say.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.since.get_or_insert(now);
        since.checked_add(self.least.patience(self.moved).saturating_sub(self.waited))
    }

    /// The client is no longer waited for.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(now.saturating_duration_since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(bytes_per_second: u64) -> Rate {
        Rate::new(MinRate::new(NonZeroU64::new(bytes_per_second).unwrap()))
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn who_moves_nothing_is_slow_when_the_grace_is_over() {
        let begun = Instant::now();
        let mut rate = rate(100);
        assert_eq!(rate.wait(begun), Some(begun + GRACE));
        assert_eq!(rate.wait(begun + seconds(4)), Some(begun + GRACE), "the same wait");
    }

    #[test]
    fn each_byte_earns_its_part_of_a_second() {
        let begun = Instant::now();
        let mut rate = rate(100);
        rate.wait(begun);
        rate.moved(250);
        assert_eq!(rate.wait(begun + seconds(1)), Some(begun + GRACE + Duration::from_millis(2500)));
    }

    #[test]
    fn time_in_which_the_client_is_not_waited_for_does_not_count() {
        let begun = Instant::now();
        let mut rate = rate(100);
        rate.wait(begun);
        rate.pause(begun + seconds(2));
        rate.pause(begun + seconds(60));
        let again = begun + seconds(3600);
        assert_eq!(rate.wait(again), Some(again + seconds(3)));
    }

    #[test]
    fn a_head_is_late_or_slow_whichever_comes_first() {
        let least = MinRate::new(NonZeroU64::new(100).unwrap());
        assert_eq!(head_patience(seconds(10), None, 0), (seconds(10), Cause::RequestHeadTimeout));
        assert_eq!(head_patience(seconds(10), Some(least), 200), (seconds(7), Cause::RequestHeadSlow));
        assert_eq!(head_patience(seconds(10), Some(least), 500), (seconds(10), Cause::RequestHeadTimeout));
    }

    #[test]
    fn what_no_clock_can_say_is_never() {
        let mut rate = rate(1);
        rate.moved(u64::MAX);
        rate.moved(u64::MAX);
        let now = Instant::now();
        assert!(rate.wait(now).is_none_or(|at| at > now + Duration::from_hours(24)));
    }

    proptest! {
        /// A client that keeps to the rate is never slow; one that moves half of it is, whatever its pauses are.
        #[test]
        fn who_keeps_to_the_rate_is_not_slow_and_who_moves_half_of_it_is(
            bytes_per_second in 1_u64..1_000_000,
            turns in prop::collection::vec((1_u64..3000, 0_u64..10_000), 1..200),
        ) {
            let mut now = Instant::now();
            let (mut good, mut bad) = (rate(bytes_per_second), rate(bytes_per_second));
            let mut waited = Duration::ZERO;
            for (wait, idle) in turns {
                prop_assert!(good.wait(now).is_none_or(|at| at > now));
                bad.wait(now);
                let wait_for = Duration::from_millis(wait);
                now += wait_for;
                waited += wait_for;
                good.moved((wait * bytes_per_second).div_ceil(1000));
                bad.moved(wait * bytes_per_second / 2000);
                prop_assert!(good.wait(now).is_none_or(|at| at > now));
                if waited > GRACE * 2 {
                    prop_assert!(bad.wait(now).is_some_and(|at| at <= now));
                }
                good.pause(now);
                bad.pause(now);
                now += Duration::from_millis(idle);
            }
        }
    }
}
