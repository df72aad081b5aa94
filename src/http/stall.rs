use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The time without progress of something that is being waited for. It costs nothing while there is no waiting.
#[derive(Debug)]
pub(super) struct Stall {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// The wait that goes on has begun then.
    since: Option<Instant>,
}

/// Which time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// That without progress.
    Silent,
    /// The one that was given.
    Slow,
}

impl Stall {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self { timeout, timer: None, since: None }
    }

    pub(super) fn reset(&mut self) {
        self.since = None;
    }

    /// Ready when the wait that began with the first poll since the last reset has lasted for the timeout.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_with(context, None).map(|_over| ())
    }

    /// [`Stall::poll`], but ready at `slow` if that is before. One timer serves both.
    pub(super) fn poll_with(&mut self, context: &mut Context<'_>, slow: Option<Instant>) -> Poll<Over> {
        self.poll_behind(context, Duration::ZERO, slow)
    }

    /// [`Stall::poll_with`] by a clock that is `behind` of ours, as it stands still at times.
    pub(super) fn poll_behind(
        &mut self,
        context: &mut Context<'_>,
        behind: Duration,
        slow: Option<Instant>,
    ) -> Poll<Over> {
        let silent = if self.timeout.is_zero() {
            None
        } else {
            self.since.get_or_insert_with(|| Instant::now() - behind).checked_add(self.timeout)
        };
        let (at, over) = match (silent, slow) {
            (None, None) => return Poll::Pending,
            (Some(silent), Some(slow)) if silent <= slow => (silent, Over::Silent),
            (Some(silent), None) => (silent, Over::Silent),
            (_, Some(slow)) => (slow, Over::Slow),
        };
        let Some(at) = at.checked_add(behind) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context).map(|()| over)
    }
}
