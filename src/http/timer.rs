use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for one wait after another, which stays set between them: to set one and to take it back at every wait costs more
/// than the rest of a short wait does.
///
/// One that is still set for an earlier time than is asked for fires early, once, and is set again. Whom it was set for last
/// may be woken for nothing by that.
#[derive(Debug, Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom it wakes.
    waits: Option<Waker>,
}

impl Timer {
    /// Ready at `at`.
    ///
    /// # Cancel safety
    /// It can be polled for another time at any time.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if self.waits.as_ref().is_some_and(|waits| waits.will_wake(context.waker()))
            && sleep.deadline() <= at
            && !sleep.is_elapsed()
        {
            return Poll::Pending;
        }
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            // A task that has used up its turn is woken at once instead, and nobody is kept.
            self.waits = coop::has_budget_remaining().then(|| context.waker().clone());
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if at <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_turn_is_woken_in_time_all_the_same() {
        let waiting = tokio::spawn(async {
            let (mut timer, at) = (Timer::default(), Instant::now() + Duration::from_secs(5));
            poll_fn(|context| {
                while let Poll::Ready(one) = coop::poll_proceed(context) {
                    one.made_progress();
                }
                assert!(timer.poll(context, at).is_pending());
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
            let polls = AtomicUsize::new(0);
            poll_fn(|context| {
                polls.fetch_add(1, Ordering::Relaxed);
                timer.poll(context, at)
            })
            .await;
            let late = Instant::now() - at;
            assert!(late <= Duration::from_millis(1), "{late:?}");
            assert_eq!(polls.load(Ordering::Relaxed), 2, "woken once, by the timer");
        });
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_lasts_as_long_as_it_is_asked_to_whatever_the_one_before_was() {
        let mut timer = Timer::default();
        for seconds in [5, 1, 60, 2, 2, 0, 3] {
            // Each wait is behind one that was given up in the middle.
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
