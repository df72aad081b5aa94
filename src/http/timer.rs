use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for one wait after another, which stays set between them: to set one and to take it back at every wait costs more
/// than the rest of a short wait does.
///
/// One that is still set for an earlier time than is asked for fires early, once, and is set again. Whom it was set for last
/// may be woken for nothing by that.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready at `at`.
    ///
    /// # Cancel safety
    /// It can be polled for another time at any time.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if at <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_lasts_as_long_as_it_is_asked_to_whatever_the_one_before_was() {
        let mut timer = Timer::default();
        for seconds in [5, 1, 60, 2, 2, 0, 3] {
            // Half of the waits are given up in the middle.
            let given_up = Instant::now() + Duration::from_secs(100);
            let early =
                tokio::time::timeout(Duration::from_millis(1), poll_fn(|context| timer.poll(context, given_up)));
            assert!(early.await.is_err());
            let (begun, at) = (Instant::now(), Instant::now() + Duration::from_secs(seconds));
            poll_fn(|context| timer.poll(context, at)).await;
            let took = begun.elapsed();
            assert!(
                took >= Duration::from_secs(seconds) && took <= Duration::from_millis(1000 * seconds + 2),
                "{took:?}"
            );
        }
    }
}
