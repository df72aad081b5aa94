use tokio::time::Instant;

use crate::http::rate::{MinRate, Rate};

/// How a client takes an answer, or over HTTP/2 all that is sent to it, from the first time on that it has held it up.
#[derive(Debug)]
pub(super) struct Taking {
    rate: Rate,
    /// What has been written and is not yet acknowledged: what waits in our own kernel has not been taken.
    unsent: u64,
}

impl Taking {
    /// A client that has been written so much, of which so much is not acknowledged.
    pub(super) fn new(least: MinRate, written: u64, unsent: u64, now: Instant) -> Self {
        let mut rate = Rate::new(least);
        rate.moved(written.saturating_sub(unsent), now);
        Self { rate, unsent }
    }

    /// Notes that so much was written.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.unsent = self.unsent.saturating_add(bytes);
    }

    /// Notes that the client holds the answer up, with so much not acknowledged. Gives when it is too slow, as [`Rate::wait`].
    pub(super) fn held(&mut self, unsent: u64, now: Instant) -> Option<Instant> {
        self.rate.moved(self.unsent.saturating_sub(unsent), now);
        self.unsent = unsent;
        self.rate.wait(now)
    }

    /// Notes that nothing waits for the client.
    pub(super) fn flows(&mut self, now: Instant) {
        self.rate.pause(now);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_the_client_has_acknowledged_is_taken() {
        let begun = Instant::now();
        let least = MinRate::new(NonZeroU64::new(100).unwrap());
        let grace = Rate::new(least).wait(begun).unwrap() - begun;
        let mut taking = Taking::new(least, 1000, 1000, begun);
        assert_eq!(taking.held(1000, begun), Some(begun + grace), "what waited before is no merit");
        taking.wrote(500);
        assert_eq!(taking.held(1500, begun), Some(begun + grace), "nor what is written");
        assert_eq!(taking.held(1300, begun), Some(begun + grace + Duration::from_secs(2)));
        taking.flows(begun + Duration::from_secs(3));
        let again = begun + Duration::from_secs(100);
        assert_eq!(taking.held(1300, again), Some(again + grace - Duration::from_secs(1)));
        let mut taking = Taking::new(least, 1500, 1000, begun);
        assert_eq!(taking.held(1000, begun), Some(begun + grace + Duration::from_secs(5)), "what was taken before is");
    }
}
