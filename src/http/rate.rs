use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::Cause;

/// How long a client may be waited for before its rate counts: as long as Kestrel's `MinRequestBodyDataRate` and
/// `MinResponseDataRate` have it (`gracePeriod` of 5 s), which covers a slow start. Apache's `mod_reqtimeout` (`MinRate`)
/// begins with 20 s.
const GRACE_MILLISECONDS: u32 = 5_000;

/// How far ahead of its rate a client can be, however much it has moved. Without a bound, the megabytes that its kernel takes
/// at once, and that it need not read, would be worth minutes of a low rate; Kestrel has none, `mod_reqtimeout` one for heads
/// (`header=20-40`). A kernel that was full lets more come in steps of a sixteenth of its buffer, so a client that reads
/// steadily seems to pause between them: half of what `timeouts.body` allows by default leaves it room, and has the rate be
/// the cause where both would cut.
const AHEAD_MAX_MILLISECONDS: u32 = 30_000;

/// What a client has to move on average, of a head, of a body or of an answer, while it is the one that is waited for.
///
/// It is given time, five seconds at first, that the wait for it uses up, and that each byte adds its part of a second to, up to
/// half a minute: so the average is over about as long, and who was fast may pause for that and no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinRate {
    bytes_per_second: NonZeroU64,
    // Each connection has a few of these, so they are small.
    grace_milliseconds: u32,
    ahead_max_milliseconds: u32,
}

/// How one message of a client keeps to a [`MinRate`]. Only the time counts in which the client is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    least: MinRate,
    /// How much longer it may be waited for, from `since` on if that is set.
    left: Duration,
    /// The wait that goes on has been taken into account up to then.
    since: Option<Instant>,
}

/// The time of a head, from its first byte on: that for all of it, and what its rate leaves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadTime {
    begun: Instant,
    rate: Option<Rate>,
    /// How much of it has come.
    come: u64,
}

impl MinRate {
    /// So many bytes a second, after a grace of five seconds.
    #[must_use]
    pub const fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            grace_milliseconds: GRACE_MILLISECONDS,
            ahead_max_milliseconds: AHEAD_MAX_MILLISECONDS,
        }
    }

    #[cfg(test)]
    pub(super) const fn with_times(self, grace_milliseconds: u32, ahead_max_milliseconds: u32) -> Self {
        Self { grace_milliseconds, ahead_max_milliseconds, ..self }
    }

    fn ahead_max(self) -> Duration {
        Duration::from_millis(self.ahead_max_milliseconds.into())
    }

    /// What so many bytes are worth.
    fn earned(self, bytes: u64) -> Duration {
        let nanoseconds = u128::from(bytes).saturating_mul(1_000_000_000) / u128::from(self.bytes_per_second.get());
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl Rate {
    pub(super) fn new(least: MinRate) -> Self {
        Self { least, left: Duration::from_millis(least.grace_milliseconds.into()), since: None }
    }

    /// The client has moved so much more.
    pub(super) fn moved(&mut self, bytes: u64, now: Instant) {
        if self.since.is_some() {
            self.pause(now);
            self.since = Some(now);
        }
        self.left = self.left.saturating_add(self.least.earned(bytes)).min(self.least.ahead_max());
    }

    /// The client is waited for. Gives when it will have been too slow, if it moves nothing more: at or before `now` if it is;
    /// `None` is beyond what a clock can say.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Instant> {
        self.since.get_or_insert(now).checked_add(self.left)
    }

    /// The client is no longer waited for.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
    }
}

impl HeadTime {
    /// The first bytes of a head have come.
    pub(super) fn begin(least: Option<MinRate>, come: u64, now: Instant) -> Self {
        let mut time = Self { begun: now, rate: least.map(Rate::new), come: 0 };
        time.come(come, now);
        time
    }

    /// So much of it has come by now.
    pub(super) fn come(&mut self, come: u64, now: Instant) {
        if let Some(rate) = &mut self.rate {
            rate.wait(now);
            rate.moved(come.saturating_sub(self.come), now);
        }
        self.come = come;
    }

    /// When it is over, if it may take so long, and what that means; `None` is beyond what a clock can say.
    pub(super) fn over(&mut self, timeout: Duration, now: Instant) -> Option<(Instant, Cause)> {
        let late = self.begun.checked_add(timeout).map(|at| (at, Cause::RequestHeadTimeout));
        let slow = self.rate.as_mut().and_then(|rate| rate.wait(now)).map(|at| (at, Cause::RequestHeadSlow));
        late.into_iter().chain(slow).min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);
    const AHEAD_MAX: Duration = Duration::from_secs(30);

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
        rate.moved(250, begun + seconds(1));
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
    fn a_burst_is_worth_no_more_than_half_a_minute() {
        let begun = Instant::now();
        let mut rate = rate(100);
        rate.wait(begun);
        rate.moved(4 * 1024 * 1024, begun + seconds(1));
        assert_eq!(rate.wait(begun + seconds(1)), Some(begun + seconds(31)));
        // What it moves then is less than what the time takes.
        let mut now = begun + seconds(1);
        loop {
            now += seconds(1);
            // Asked before, as a timer does.
            if rate.wait(now).is_none_or(|at| at <= now) {
                break;
            }
            rate.moved(12, now);
        }
        assert_eq!(now - begun, seconds(35), "30 s, and what 12 % of the rate earn of them");
    }

    #[test]
    fn who_takes_in_steps_what_the_rate_asks_for_is_not_slow() {
        let mut now = Instant::now();
        let mut rate = rate(100);
        rate.moved(3000, now);
        for _ in 0..100 {
            rate.wait(now);
            now += seconds(29);
            assert!(rate.wait(now).is_some_and(|at| at > now));
            rate.moved(2900, now);
        }
    }

    #[test]
    fn a_head_is_late_or_slow_whichever_comes_first() {
        let least = MinRate::new(NonZeroU64::new(100).unwrap());
        let now = Instant::now();
        let over = |least, timeout, come| {
            HeadTime::begin(least, come, now).over(timeout, now).map(|(at, cause)| (at - now, cause))
        };
        assert_eq!(over(None, seconds(10), 0), Some((seconds(10), Cause::RequestHeadTimeout)));
        assert_eq!(over(Some(least), seconds(10), 200), Some((seconds(7), Cause::RequestHeadSlow)));
        assert_eq!(over(Some(least), seconds(10), 500), Some((seconds(10), Cause::RequestHeadTimeout)));
        assert_eq!(over(Some(least), seconds(600), 50_000), Some((AHEAD_MAX, Cause::RequestHeadSlow)), "a burst");
        assert_eq!(over(None, Duration::MAX, 0), None);
    }

    #[test]
    fn what_has_come_of_a_head_earns_once() {
        let least = MinRate::new(NonZeroU64::new(100).unwrap());
        let begun = Instant::now();
        let mut head = HeadTime::begin(Some(least), 100, begun);
        for come in [100, 100, 300] {
            head.come(come, begun + seconds(1));
        }
        assert_eq!(head.over(seconds(600), begun + seconds(1)), Some((begun + seconds(8), Cause::RequestHeadSlow)));
    }

    #[test]
    fn what_no_clock_can_say_is_never() {
        let now = Instant::now();
        let mut rate = Rate::new(MinRate::new(NonZeroU64::MIN).with_times(0, u32::MAX));
        rate.moved(u64::MAX, now);
        rate.moved(u64::MAX, now);
        assert!(rate.wait(now).is_none_or(|at| at > now + Duration::from_hours(24)));
    }

    proptest! {
        /// A client that keeps to the rate is never slow; one that moves half of it is, whatever its pauses are and whatever it
        /// has moved before.
        #[test]
        fn who_keeps_to_the_rate_is_not_slow_and_who_moves_half_of_it_is(
            bytes_per_second in 1_u64..1_000_000,
            burst in 0_u64..1_000_000_000,
            turns in prop::collection::vec((1_u64..3000, 0_u64..10_000), 1..200),
        ) {
            let mut now = Instant::now();
            let (mut good, mut bad) = (rate(bytes_per_second), rate(bytes_per_second));
            bad.moved(burst, now);
            let mut waited = Duration::ZERO;
            let mut slow = false;
            for (wait, idle) in turns {
                prop_assert!(good.wait(now).is_none_or(|at| at > now));
                bad.wait(now);
                let wait_for = Duration::from_millis(wait);
                now += wait_for;
                waited += wait_for;
                good.moved((wait * bytes_per_second).div_ceil(1000), now);
                prop_assert!(good.wait(now).is_none_or(|at| at > now));
                // Seen when the wait is over, as a timer would.
                slow |= bad.wait(now).is_some_and(|at| at <= now);
                bad.moved(wait * bytes_per_second / 2000, now);
                if waited > AHEAD_MAX * 2 {
                    prop_assert!(slow);
                }
                good.pause(now);
                bad.pause(now);
                now += Duration::from_millis(idle);
            }
        }
    }
}
