use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The time without progress of something that is being waited for. It costs nothing while there is no waiting.
#[derive(Debug)]
pub(super) struct Stall {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Stall {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self { timeout, timer: None, running: false }
    }

    pub(super) fn reset(&mut self) {
        self.running = false;
    }

    /// Ready when the wait that began with the first poll since the last reset has lasted for the timeout.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.timeout.is_zero() {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + self.timeout)));
        if !self.running {
            self.running = true;
            timer.as_mut().reset(Instant::now() + self.timeout);
        }
        timer.as_mut().poll(context)
    }
}
