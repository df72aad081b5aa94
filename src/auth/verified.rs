use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long credentials that were verified need no hash again.
pub const VERIFIED_FOR: Duration = Duration::from_mins(5);

/// How many credentials that were verified are remembered; the oldest of them make room for new ones.
pub const VERIFIED_MAX: usize = SHARDS * PER_SHARD_MAX;

/// Workers that look at the same time seldom wait for one another.
const SHARDS: usize = 16;
const PER_SHARD_MAX: usize = 256;

/// What stands for a user's name, password and hash: a keyed digest, from which none of them can be had.
pub(super) type Mark = [u8; 32];

/// The credentials that were found right of late.
pub(super) struct Verified {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    until: HashMap<Mark, Instant>,
    /// In the order in which they end, which is that in which they came.
    order: VecDeque<Mark>,
}

impl Verified {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Whether these were verified, and that still counts.
    pub(super) fn holds(&self, mark: &Mark, now: Instant) -> bool {
        self.shard(mark).until.get(mark).is_some_and(|until| *until > now)
    }

    /// Remembers that these were verified now.
    pub(super) fn add(&self, mark: Mark, now: Instant) {
        let mut shard = self.shard(&mark);
        if shard.until.insert(mark, now + VERIFIED_FOR).is_some() {
            shard.order.retain(|other| *other != mark);
        }
        shard.order.push_back(mark);
        while let Some(oldest) = shard.order.front().copied() {
            let over = shard.order.len() > PER_SHARD_MAX;
            let ended = shard.until.get(&oldest).is_none_or(|until| *until <= now);
            if !over && !ended {
                break;
            }
            shard.order.pop_front();
            shard.until.remove(&oldest);
        }
    }

    fn shard(&self, mark: &Mark) -> MutexGuard<'_, Shard> {
        let [first, ..] = *mark;
        let [shard, ..] = &self.shards;
        let shard = self.shards.get(usize::from(first) % SHARDS).unwrap_or(shard);
        // Each change is whole for those who look: a mark that is in one of both only is forgotten sooner or later.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Verified")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize) -> Mark {
        let mut mark = [0; 32];
        mark[1..9].copy_from_slice(&number.to_le_bytes());
        mark
    }

    #[test]
    fn what_was_verified_counts_for_its_time_and_no_longer() {
        let (verified, now) = (Verified::new(), Instant::now());
        verified.add(mark(1), now);
        let last = now + VERIFIED_FOR - Duration::from_millis(1);
        assert!(verified.holds(&mark(1), now) && verified.holds(&mark(1), last));
        assert!(!verified.holds(&mark(1), now + VERIFIED_FOR) && !verified.holds(&mark(2), now));
        verified.add(mark(1), last);
        assert!(verified.holds(&mark(1), now + VERIFIED_FOR));
    }

    #[test]
    fn as_many_as_there_is_room_for_are_remembered_and_the_oldest_goes_for_one_more() {
        let (verified, now) = (Verified::new(), Instant::now());
        for number in 0..PER_SHARD_MAX {
            verified.add(mark(number), now);
        }
        verified.add(mark(0), now);
        assert!((0..PER_SHARD_MAX).all(|number| verified.holds(&mark(number), now)));
        verified.add(mark(PER_SHARD_MAX), now);
        assert!(!verified.holds(&mark(1), now));
        assert!([0, 2, PER_SHARD_MAX].iter().all(|number| verified.holds(&mark(*number), now)));
        assert_eq!(verified.shard(&mark(0)).until.len(), PER_SHARD_MAX);
        // Those whose time is over make room by themselves.
        verified.add(mark(1), now + VERIFIED_FOR);
        assert_eq!(verified.shard(&mark(0)).order.len(), 1);
    }
}
