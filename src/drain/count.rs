use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many of something are live, and a way to wait until none is.
#[derive(Debug, Default)]
pub struct Count {
    live: AtomicUsize,
    gone: Notify,
}

/// One of those that are counted; its drop is the report.
#[derive(Debug)]
pub struct Counted(Arc<Count>);

impl Counted {
    /// Counts one more.
    #[must_use]
    pub fn new(count: &Arc<Count>) -> Self {
        count.live.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.gone.notify_waiters();
        }
    }
}

impl Count {
    /// How many are live now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Waits for a moment at which none is live.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn none(&self) {
        loop {
            let gone = self.gone.notified();
            tokio::pin!(gone);
            // Enabled before the count is read, so that a drop between the two is not missed.
            gone.as_mut().enable();
            if self.live() == 0 {
                return;
            }
            gone.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_drop_is_the_report() {
        let count = Arc::new(Count::default());
        count.none().await;
        let first = Counted::new(&count);
        let second = Counted::new(&count);
        assert_eq!(count.live(), 2);
        let waiting = tokio::spawn({
            let count = Arc::clone(&count);
            async move { count.none().await }
        });
        drop(first);
        drop(second);
        waiting.await.unwrap();
        assert_eq!(count.live(), 0);
    }
}
