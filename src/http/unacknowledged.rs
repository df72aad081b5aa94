use std::time::Duration;

use tokio::time::Instant;

/// How many looks are taken within the time that a peer has. The first is taken when a write does not go on, and what the
/// kernel had for the peer then, the peer may still take into the last room that it has: it has taken nothing only from the
/// look on that saw the last of that. So it is cut up to an eighth of its time late, not at twice its time.
const LOOKS: u32 = 8;

/// The shortest time between two looks.
const LOOK_SHORTEST: Duration = Duration::from_millis(10);

/// Since when a peer has taken nothing of what is there for it, by what it has not acknowledged: a peer that reads slowly
/// acknowledges long before there is room for another write. Knows no clock and no socket: it is handed the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacknowledged {
    since: Instant,
    looked: Instant,
    /// What the peer had not acknowledged at the last look.
    bytes: usize,
}

impl Unacknowledged {
    /// A write does not go on, and so many bytes are not acknowledged.
    pub(super) const fn begin(bytes: usize, now: Instant) -> Self {
        Self { since: now, looked: now, bytes }
    }

    /// So many bytes are not acknowledged now.
    pub(super) fn look(&mut self, bytes: usize, now: Instant) {
        if bytes < self.bytes {
            self.since = now;
        }
        self.looked = now;
        self.bytes = bytes;
    }

    /// When the next look is due, for a peer that may take nothing for `patience`: [`Due::Over`] is when that has passed.
    pub(super) fn due(&self, patience: Duration) -> Due {
        let look = self.looked + (patience / LOOKS).max(LOOK_SHORTEST);
        match self.since.checked_add(patience) {
            Some(over) if over <= look => Due::Over(over),
            Some(_) | None => Due::Look(look),
        }
    }
}

/// What is to be done about a peer that takes nothing, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// See whether it has taken anything.
    Look(Instant),
    /// Give it up.
    Over(Instant),
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(8);

    /// When the peer is given up that has so many bytes unacknowledged after so many seconds.
    fn given_up(unacknowledged: impl Fn(f64) -> usize) -> f64 {
        let begin = Instant::now();
        let after = |now: Instant| now.duration_since(begin).as_secs_f64();
        let mut stall = Unacknowledged::begin(unacknowledged(0.0), begin);
        for _ in 0..10_000 {
            match stall.due(PATIENCE) {
                Due::Over(at) => return after(at),
                Due::Look(at) => stall.look(unacknowledged(after(at)), at),
            }
        }
        f64::INFINITY
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up_at_its_time() {
        assert!((given_up(|_| 1000) - 8.0).abs() < 0.001);
        // What was sent before the first look is acknowledged after it.
        let late = given_up(|after| if after < 0.5 { 1000 } else { 400 });
        assert!((8.5..9.01).contains(&late), "{late}");
    }

    #[test]
    fn a_peer_that_takes_something_now_and_then_is_not() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's small numbers")]
        let slow = given_up(|after| 1_000_000_usize.saturating_sub((after / 6.0) as usize * 100));
        assert!(slow > 1000.0, "{slow}");
    }

    #[test]
    fn a_time_that_no_clock_can_hold_is_never_over() {
        let stall = Unacknowledged::begin(1, Instant::now());
        assert!(matches!(stall.due(Duration::MAX / 16), Due::Look(_)));
    }
}
